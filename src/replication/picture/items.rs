//! What is drawn of a step: its event and effects as arrows and marks, in the order in which they happen.

use super::history::{answerer, names};
use super::lanes::{Arrow, ArrowKind, Item, Lane, Mark, MarkKind};
use crate::replication::broker_set::Broker;
use crate::replication::effect::{CutBy, Effect, Refusal};
use crate::replication::event::{Acks, Event};
use crate::replication::play::Row;
use crate::replication::state::{Role, State};

/// The arrows and marks of `row`; `before` is the partition before it.
pub fn items(before: &State, row: &Row) -> Vec<Item> {
    let mut items = Items { all: Vec::new(), state: &row.state };
    items.row(before, row);
    items.all
}

/// The items of one step while they are put together.
struct Items<'a> {
    all: Vec<Item>,
    state: &'a State,
}

impl Items<'_> {
    fn arrow(&mut self, from: Lane, to: Lane, kind: ArrowKind, text: impl Into<String>) {
        self.all.push(Item::Arrow(Arrow { from, to, kind, text: text.into(), is_lost: false }));
    }

    fn mark(&mut self, lane: Lane, kind: MarkKind, text: impl Into<String>) {
        self.all.push(Item::Mark(Mark { lane, kind, text: text.into() }));
    }

    /// The last arrow does not arrive.
    fn lose(&mut self) {
        if let Some(Item::Arrow(arrow)) = self.all.last_mut() {
            arrow.is_lost = true;
        }
    }

    fn row(&mut self, before: &State, row: &Row) {
        let target = self.begin(before, row.event);
        let mut actor = target;
        for effect in &row.effects {
            actor = answerer(effect).or(actor);
            self.effect(row.event, effect, target, actor);
        }
        if let (Event::EpochQuery(broker), true, Some(leader)) = (row.event, row.effects.is_empty(), target) {
            self.arrow(Lane::Broker(leader), Lane::Broker(broker), ArrowKind::Answer, "nothing to cut");
        }
    }

    /// What begins the step, and who is asked.
    fn begin(&mut self, before: &State, event: Event) -> Option<Broker> {
        let broker_lane = Lane::Broker;
        match event {
            Event::Produce { acks, at } => {
                return self.send(before, &format!("m{} acks={}", before.next_record, acks.name()), at);
            }
            Event::Retry { record, acks, at } => {
                return self.send(before, &format!("m{record} again acks={}", acks.name()), at);
            }
            Event::Fetch { broker, .. } | Event::EpochQuery(broker) => {
                let replica = before.replica(broker);
                let Role::Follower(Some(leader)) = replica.role else {
                    self.mark(broker_lane(broker), MarkKind::Note, "nobody to ask");
                    return None;
                };
                let text = match event {
                    Event::Fetch { .. } => format!("fetch {}", replica.leo()),
                    _ => replica.epochs.last().map_or_else(|| "end?".to_owned(), |epoch| format!("end of e{epoch}?")),
                };
                self.arrow(broker_lane(broker), broker_lane(leader), ArrowKind::Request, text);
                return Some(leader);
            }
            Event::Metadata(broker) => {
                let controller = &before.controller;
                let leader = controller.leader.map_or_else(|| "nobody".to_owned(), |leader| format!("b{leader}"));
                let text = format!("e{}: {leader} leads", controller.leader_epoch);
                self.arrow(Lane::Controller, broker_lane(broker), ArrowKind::Metadata, text);
            }
            Event::AlterPartition(named) => {
                let asked = |broker: &Broker| before.replica(*broker).up && before.replica(*broker).pending.is_some();
                let newest = (0..).take(before.brokers.len()).filter(asked);
                let newest = newest.max_by_key(|&broker| before.replica(broker).leader_epoch);
                if let Some(leader) = named.or(newest)
                    && let Some(request) = before.replica(leader).pending
                {
                    let text = format!("ISR {}?", request.isr);
                    self.arrow(broker_lane(leader), Lane::Controller, ArrowKind::Request, text);
                    return Some(leader);
                }
            }
            Event::Lag(broker) => self.mark(broker_lane(broker), MarkKind::Note, "lags"),
            Event::Fence(broker) => self.mark(Lane::Controller, MarkKind::Note, format!("b{broker} fenced")),
            Event::Unfence(broker) => self.mark(Lane::Controller, MarkKind::Note, format!("b{broker} unfenced")),
            Event::Kill(broker) => self.mark(broker_lane(broker), MarkKind::Down, "killed"),
            Event::PowerLoss { broker, .. } => self.mark(broker_lane(broker), MarkKind::Down, "power loss"),
            Event::Stop(broker) => self.mark(broker_lane(broker), MarkKind::Down, "stops"),
            Event::Start(broker) => self.mark(broker_lane(broker), MarkKind::Up, "starts"),
            Event::Wipe(broker) => self.mark(broker_lane(broker), MarkKind::Down, "new disk"),
            Event::Flush(broker) => self.mark(broker_lane(broker), MarkKind::Note, "flush"),
            Event::Checkpoint(broker) => self.mark(broker_lane(broker), MarkKind::Note, "checkpoint"),
            Event::Elect(_) | Event::Consume => {}
        }
        None
    }

    /// A producer's request.
    fn send(&mut self, before: &State, text: &str, at: Option<Broker>) -> Option<Broker> {
        let target = at.or(before.controller.leader);
        match target {
            Some(target) => self.arrow(Lane::Clients, Lane::Broker(target), ArrowKind::Request, text),
            None => self.mark(Lane::Clients, MarkKind::Note, text),
        }
        target
    }

    fn effect(&mut self, event: Event, effect: &Effect, target: Option<Broker>, actor: Option<Broker>) {
        use ArrowKind::{Answer, Refusal as Refuses};
        let lane = Lane::Broker;
        match *effect {
            Effect::Appended { broker, offset, stored, .. } => {
                self.mark(lane(broker), MarkKind::LogEnd, format!("m{} at {offset}", stored.record));
            }
            Effect::Acked { acks: Acks::None, .. } => {}
            Effect::Acked { record, .. } => {
                if let Some(actor) = actor {
                    self.arrow(lane(actor), Lane::Clients, Answer, format!("ack m{record}"));
                }
            }
            Effect::Refused { why: Refusal::Down, .. } | Effect::NotServed { why: Refusal::Down, .. } => self.lose(),
            Effect::Refused { why, .. } => match target {
                Some(target) => self.arrow(lane(target), Lane::Clients, Refuses, why.name()),
                None => self.mark(Lane::Clients, MarkKind::Note, why.name()),
            },
            Effect::Unknown { record, why } => {
                if let Some(actor) = actor {
                    self.arrow(lane(actor), Lane::Clients, Refuses, format!("m{record}: {why}"));
                }
            }
            Effect::Known { broker, record, offset } => {
                self.mark(lane(broker), MarkKind::Note, format!("has m{record} at {offset}"));
            }
            Effect::Copied { broker, leader, from, to } => {
                let log = &self.state.replica(broker).log;
                let records: Vec<u32> = (from..to).filter_map(|at| log.get(at)).map(|stored| stored.record).collect();
                self.arrow(lane(leader), lane(broker), Answer, names(&records));
                self.mark(lane(broker), MarkKind::LogEnd, format!("LEO {to}"));
            }
            Effect::AnswerLost { broker, leader } => {
                self.arrow(lane(leader), lane(broker), Answer, "answer");
                self.lose();
            }
            Effect::Idle { broker, leader } => self.arrow(lane(leader), lane(broker), Answer, "nothing new"),
            Effect::NotServed { broker, leader, why } => self.arrow(lane(leader), lane(broker), Refuses, why.name()),
            Effect::HwMoved { broker, from, to } => {
                self.mark(lane(broker), MarkKind::HighWatermark, format!("HW {from} -> {to}"));
            }
            Effect::EpochsCut { broker, to } => {
                if let Some(leader) = target {
                    self.arrow(lane(leader), lane(broker), Answer, format!("end {to}"));
                }
                self.mark(lane(broker), MarkKind::Note, format!("forgets an epoch at {to}"));
            }
            Effect::Cut { broker, from, to, why } => {
                if let (Event::Fetch { .. } | Event::EpochQuery(_), Some(leader)) = (event, target)
                    && why != CutBy::OutOfRange
                {
                    let known =
                        if why == CutBy::HighWatermark { "end unknown".to_owned() } else { format!("end {to}") };
                    self.arrow(lane(leader), lane(broker), Answer, known);
                }
                self.mark(lane(broker), MarkKind::Cut { from, to }, format!("cut {from} -> {to}"));
            }
            Effect::Leads { broker, epoch } => self.mark(lane(broker), MarkKind::Leads, format!("leads e{epoch}")),
            Effect::Follows { broker, leader, epoch } => {
                let leader = leader.map_or_else(|| "nobody".to_owned(), |leader| format!("b{leader}"));
                self.mark(lane(broker), MarkKind::Note, format!("follows {leader} e{epoch}"));
            }
            Effect::IsrAsked { broker, isr } => self.mark(lane(broker), MarkKind::Note, format!("wants {isr}")),
            Effect::IsrRefused { broker, why } => self.arrow(Lane::Controller, lane(broker), Refuses, why.name()),
            Effect::IsrChanged { isr, elr } if elr.is_empty() => {
                self.mark(Lane::Controller, MarkKind::Note, format!("ISR {isr}"));
            }
            Effect::IsrChanged { isr, elr } => {
                self.mark(Lane::Controller, MarkKind::Note, format!("ISR {isr}"));
                self.mark(Lane::Controller, MarkKind::Note, format!("ELR {elr}"));
            }
            Effect::Elected { broker, epoch, unclean: false } => {
                self.mark(Lane::Controller, MarkKind::Leads, format!("b{broker} elected e{epoch}"));
            }
            Effect::Elected { broker, epoch, unclean: true } => {
                self.mark(Lane::Controller, MarkKind::Unclean, format!("b{broker} unclean e{epoch}"));
            }
            Effect::NoLeader { epoch } => {
                self.mark(Lane::Controller, MarkKind::Unclean, format!("no leader e{epoch}"));
            }
            Effect::Consumed { broker, to: 0 } => self.arrow(lane(broker), Lane::Clients, Answer, "nothing to read"),
            Effect::Consumed { broker, to } => {
                self.arrow(lane(broker), Lane::Clients, Answer, format!("reads to {}", to - 1));
            }
        }
    }
}
