//! The state machine as a model that can be searched: every order of events within bounds.
//!
//! What does harm (records sent, elections, fencing of a broker that runs, kills, power losses) is counted and bounded by the
//! [`Scope`]; what only goes on (fetches, questions, metadata, requests to the controller, starts, the fencing of a broker that
//! is down) is not. The way to a violation that is found, its events in order, can be played through as it is.

mod bits;
pub mod known;
mod packing;
mod scope;

pub use scope::{Find, Scope, ScopeError};

use super::broker_set::{Broker, BrokerSet};
use super::effect::Effect;
use super::event::{Acks, Event};
use super::explorer::Model;
use super::log::Record;
use super::machine::apply;
use super::rules::{Rules, Truncation};
use super::state::{Role, State};

/// Most replicas that are explored.
pub const REPLICAS: usize = 3;

/// A packed state.
pub type Packed = [u64; 4];

/// The machine under some rules, within a scope.
#[derive(Debug, Clone)]
pub struct Protocol {
    rules: Rules,
    scope: Scope,
}

/// A state with what has been done and seen on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) state: State<REPLICAS>,
    /// Acknowledged records, one bit each.
    pub(crate) acked: u8,
    /// Records that a consumer has read, one bit each; none where they are not looked for.
    pub(crate) read: u8,
    pub(crate) spent: Spent,
}

/// How much of the scope is used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) fences: u8,
    pub(crate) elections: u8,
    pub(crate) power_losses: u8,
    pub(crate) kills: u8,
}

/// How a search of the machine ended.
pub type FoundHere = super::explorer::Found<Packed, Event, Wrong>;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The leader of the newest epoch lacks an acknowledged record.
    AckedLost(Record),
    /// Two replicas differ below the high watermarks of both.
    Diverged(Broker, Broker),
    /// The leader of the newest epoch lacks a record that was read.
    ConsumerChanged(Record),
}

impl Protocol {
    /// The machine under `rules` within `scope`.
    ///
    /// # Errors
    ///
    /// There is no room for so much in a packed state.
    pub fn new(rules: Rules, scope: Scope) -> Result<Protocol, ScopeError> {
        scope.check(&rules)?;
        Ok(Protocol { rules, scope })
    }

    /// What holds.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Within which bounds.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Events that can be tried in `point`, in a fixed order, with what they use up.
    fn events(&self, point: &Point, mut each: impl FnMut(Event, Spent)) {
        let (scope, state, spent) = (&self.scope, &point.state, point.spent);
        let controller = &state.controller;
        for broker in self.rules.all().iter() {
            let replica = state.replica(broker);
            if !replica.up {
                if controller.unfenced.has(broker) {
                    each(Event::Fence(broker), spent);
                } else {
                    each(Event::Start(broker), spent);
                }
                continue;
            }
            if replica.leads() && state.next_record < scope.records {
                each(Event::Produce { acks: scope.acks, at: Some(broker) }, spent);
            }
            if let Role::Follower(Some(_)) = replica.role {
                if replica.asks {
                    each(Event::EpochQuery(broker), spent);
                } else {
                    each(Event::Fetch { broker, lost: false }, spent);
                    if scope.lost_responses {
                        each(Event::Fetch { broker, lost: true }, spent);
                    }
                }
            }
            if replica.partition_epoch != Some(controller.partition_epoch) {
                each(Event::Metadata(broker), spent);
            }
            if replica.pending.is_some() {
                each(Event::AlterPartition(Some(broker)), spent);
            }
            if controller.unfenced.has(broker) {
                if spent.fences < scope.fences {
                    each(Event::Fence(broker), Spent { fences: spent.fences + 1, ..spent });
                }
            } else {
                each(Event::Unfence(broker), spent);
            }
            if spent.elections < scope.elections && controller.leader != Some(broker) {
                each(Event::Elect(Some(broker)), Spent { elections: spent.elections + 1, ..spent });
            }
            if spent.kills < scope.kills {
                each(Event::Kill(broker), Spent { kills: spent.kills + 1, ..spent });
            }
            if spent.power_losses < scope.power_losses {
                each(Event::PowerLoss { broker, keep: 0 }, Spent { power_losses: spent.power_losses + 1, ..spent });
            }
        }
    }

    fn judge(&self, point: &Point) -> Option<Wrong> {
        let (state, find) = (&point.state, self.scope.find);
        if let Some(leader) = state.true_leader() {
            let log = &state.replica(leader).log;
            let lacks = |records: u8| {
                (0..self.scope.records).find(|&record| records >> record & 1 == 1 && log.find(record).is_none())
            };
            if let Some(record) = find.is_acked().then(|| lacks(point.acked)).flatten() {
                return Some(Wrong::AckedLost(record));
            }
            if let Some(record) = lacks(point.read) {
                return Some(Wrong::ConsumerChanged(record));
            }
        }
        if find.is_diverged() {
            for a in self.rules.all().iter() {
                for b in a + 1..self.rules.replicas {
                    let (one, other) = (state.replica(a), state.replica(b));
                    let below = one.hw.min(other.hw).min(one.leo()).min(other.leo());
                    if one.log.first_difference(&other.log, below).is_some() {
                        return Some(Wrong::Diverged(a, b));
                    }
                }
            }
        }
        None
    }

    /// Records that the controller's leader lets a consumer read.
    fn reads(&self, state: &State<REPLICAS>) -> u8 {
        let leader =
            state.controller.leader.filter(|&leader| self.scope.find.is_consumer() && state.replica(leader).leads());
        leader.map_or(0, |leader| {
            let replica = state.replica(leader);
            let below = replica.log.entries().zip(0..replica.hw);
            below.fold(0, |read, (stored, _)| read | 1 << stored.record)
        })
    }

    /// The state as it is written when nothing that does not matter any more is kept.
    fn tidy(&self, state: &mut State<REPLICAS>) {
        for broker in BrokerSet::first(self.rules.replicas).iter() {
            let replica = state.replica_mut(broker);
            if !replica.up && !self.scope.find.is_diverged() {
                // It is read from the checkpoint when the broker starts.
                replica.hw = 0;
            }
        }
    }
}

impl Model for Protocol {
    type State = Packed;
    type Event = Event;
    type Violation = Wrong;

    fn initial(&self, out: &mut impl FnMut(Packed)) {
        let state = State::initial(&self.rules);
        out(packing::pack(&self.rules, &Point { state, acked: 0, read: 0, spent: Spent::default() }));
    }

    fn successors(&self, packed: &Packed, out: &mut impl FnMut(Event, Packed)) {
        let point = packing::unpack(&self.rules, packed);
        let mut next = point.clone();
        self.events(&point, |event, spent| {
            let mut acked = point.acked;
            let mut refused = false;
            let sink = &mut |effect: Effect| match effect {
                Effect::Acked { record, acks, .. } if acks != Acks::None => acked |= 1 << record,
                Effect::Refused { .. } => refused = true,
                _ => {}
            };
            let possible = apply(&self.rules, &mut next.state, event, sink).is_ok() && !refused;
            if possible && next.state.controller.leader_epoch <= scope::EPOCH_MAX {
                self.tidy(&mut next.state);
                next.acked = acked;
                next.read |= self.reads(&next.state);
                next.spent = spent;
                if next != point {
                    out(event, packing::pack(&self.rules, &next));
                }
            }
            next.clone_from(&point);
        });
    }

    fn verdict(&self, packed: &Packed) -> Option<Wrong> {
        self.judge(&packing::unpack(&self.rules, packed))
    }
}

/// Whether brokers of these rules ask before they fetch.
fn has_questions(rules: &Rules) -> bool {
    matches!(rules.era.truncation(), Truncation::AskEnd | Truncation::AskEpochAndEnd)
}
