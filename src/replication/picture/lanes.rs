//! The space-time diagram as data: what stands on which lane and what goes between which, step by step.
//!
//! Lanes are, from the left: clients, replicas in their order, the controller. Time runs downwards. Each step has lines;
//! everything of a step has a line on which it is alone between the lanes that it touches.

use super::explain::{findings, lines};
use super::history::{History, names};
use crate::replication::broker_set::Broker;
use crate::replication::effect::{CutBy, Effect, Refusal};
use crate::replication::event::{Acks, Event};
use crate::replication::play::{Row, Timeline};
use crate::replication::state::{Role, State};

/// A vertical lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Producers and consumers.
    Clients,
    /// A replica.
    Broker(Broker),
    /// The controller.
    Controller,
}

/// What an arrow carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrowKind {
    /// A question: a fetch, a record to append, an ISR that is asked for.
    Request,
    /// An answer.
    Answer,
    /// An answer that refuses.
    Refusal,
    /// What the controller has decided.
    Metadata,
}

/// Something that goes from one lane to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrow {
    /// From here.
    pub from: Lane,
    /// To there.
    pub to: Lane,
    /// What it carries.
    pub kind: ArrowKind,
    /// In a few words.
    pub text: String,
    /// Whether it does not arrive.
    pub is_lost: bool,
}

/// What a mark stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    /// It leads from here on, or the controller has chosen who is to.
    Leads,
    /// The controller has chosen somebody who need not have what was committed, or finds nobody.
    Unclean,
    /// It does not run from here on.
    Down,
    /// It runs from here on.
    Up,
    /// Its log lost what lay between the two offsets.
    Cut {
        /// Log end offset before.
        from: u64,
        /// Log end offset now.
        to: u64,
    },
    /// Its high watermark.
    HighWatermark,
    /// Its log end offset.
    LogEnd,
    /// Anything else.
    Note,
}

/// Something that happens on one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Where.
    pub lane: Lane,
    /// What it stands for.
    pub kind: MarkKind,
    /// In a few words.
    pub text: String,
}

/// An arrow or a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Between lanes.
    Arrow(Arrow),
    /// On one.
    Mark(Mark),
}

/// A replica after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Whether its process runs.
    pub is_up: bool,
    /// Whether it believes to lead.
    pub leads: bool,
    /// Leader epoch it believes.
    pub epoch: u32,
    /// Where records of an epoch lie: epoch, first record, first offset, how many.
    pub runs: Vec<(u32, u32, u64, u32)>,
    /// Log end offset.
    pub leo: u64,
    /// High watermark.
    pub hw: u64,
    /// End of what is flushed.
    pub flushed: u64,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number, from 1; 0 is the partition before the first.
    pub number: usize,
    /// Its words.
    pub words: String,
    /// What is drawn, each with its line, from 0.
    pub items: Vec<(usize, Item)>,
    /// How many lines it takes.
    pub lines: usize,
    /// The replicas afterwards.
    pub replicas: Vec<Shown>,
    /// Violations that begin, and why.
    pub violations: Vec<String>,
}

/// A space-time diagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagram {
    /// Lanes from the left.
    pub lanes: Vec<Lane>,
    /// The partition before the first step, and all steps.
    pub steps: Vec<Step>,
    /// The least and the largest offset at which any log begins or ends.
    pub offsets: (u64, u64),
}

impl Lane {
    /// What stands above it.
    pub fn name(self) -> String {
        match self {
            Lane::Clients => "clients".to_owned(),
            Lane::Broker(broker) => format!("b{broker}"),
            Lane::Controller => "controller".to_owned(),
        }
    }
}

impl Diagram {
    /// Draws a timeline. `with_numbers`: log ends and high watermarks are marks of their own, for want of a drawn log.
    pub fn of(timeline: &Timeline, with_numbers: bool) -> Diagram {
        let history = History::new(timeline);
        let mut lanes = vec![Lane::Clients];
        lanes.extend(timeline.rules.all().iter().map(Lane::Broker));
        lanes.push(Lane::Controller);
        let mut steps = vec![step(0, "(start)", &timeline.initial, timeline)];
        for (row, number) in timeline.rows.iter().zip(1..) {
            let mut drawn = step(number, &row.event.to_string(), &row.state, timeline);
            let mut items = Items { all: Vec::new(), state: &row.state };
            items.row(history.before(number - 1), row);
            items.all.retain(|item| with_numbers || !item.is_number());
            (drawn.items, drawn.lines) = place(items.all, &lanes);
            steps.push(drawn);
        }
        for finding in findings(&history) {
            if let Some(step) = steps.get_mut(finding.step) {
                step.violations.extend(lines(&history, &finding));
            }
        }
        let logs = || {
            let states = timeline.rows.iter().map(|row| &row.state).chain([&timeline.initial]);
            states.flat_map(|state| timeline.rules.all().iter().map(|broker| &state.replica(broker).log))
        };
        let first = logs().map(super::super::log::Log::start).min().unwrap_or(0);
        let last = logs().map(super::super::log::Log::end).max().unwrap_or(0);
        Diagram { lanes, steps, offsets: (first, last) }
    }

    /// Place of a lane, from 0 on the left.
    pub fn place(&self, lane: Lane) -> usize {
        place_of(&self.lanes, lane)
    }
}

fn place_of(lanes: &[Lane], lane: Lane) -> usize {
    lanes.iter().position(|it| *it == lane).unwrap_or(0)
}

fn step(number: usize, words: &str, state: &State, timeline: &Timeline) -> Step {
    let shown = |broker: Broker| {
        let replica = state.replica(broker);
        let mut at = replica.log.start();
        let runs = replica.log.runs().iter().map(|run| {
            let first = at;
            at += u64::from(run.len);
            (run.epoch, run.record, first, run.len)
        });
        Shown {
            is_up: replica.up,
            leads: replica.leads(),
            epoch: replica.leader_epoch,
            runs: runs.collect(),
            leo: replica.leo(),
            hw: replica.hw,
            flushed: replica.flushed,
        }
    };
    let replicas = timeline.rules.all().iter().map(shown).collect();
    Step { number, words: words.to_owned(), items: Vec::new(), lines: 0, replicas, violations: Vec::new() }
}

impl Item {
    fn is_number(&self) -> bool {
        matches!(self, Item::Mark(Mark { kind: MarkKind::HighWatermark | MarkKind::LogEnd, .. }))
    }
}

/// Gives each item the first line on which nothing is in its way, and not above what it follows from.
fn place(items: Vec<Item>, lanes: &[Lane]) -> (Vec<(usize, Item)>, usize) {
    // The segment behind each lane, and the last line on which the lane was touched.
    let (mut free, mut touched) = (vec![0; lanes.len()], vec![0; lanes.len()]);
    let mut placed = Vec::with_capacity(items.len());
    for item in items {
        let (segments, begins, ends) = match &item {
            Item::Arrow(arrow) => {
                let (from, to) = (place_of(lanes, arrow.from), place_of(lanes, arrow.to));
                (from.min(to)..from.max(to), from, to)
            }
            Item::Mark(mark) => {
                let at = place_of(lanes, mark.lane);
                (at..at + 1, at, at)
            }
        };
        let line = free[segments.clone()].iter().copied().max().unwrap_or(0).max(touched[begins]);
        free[segments].fill(line + 1);
        touched[begins] = touched[begins].max(line);
        touched[ends] = touched[ends].max(line);
        placed.push((line, item));
    }
    let lines = placed.iter().map(|(line, _)| line + 1).max().unwrap_or(0);
    (placed, lines)
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
            actor = who(effect).or(actor);
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

/// Whose effect it is, of those that an answer to a producer can follow.
fn who(effect: &Effect) -> Option<Broker> {
    match *effect {
        Effect::Follows { broker, .. } => Some(broker),
        _ => super::history::who(effect),
    }
}
