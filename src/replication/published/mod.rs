//! Five published models of how followers cut their logs, from before leader epochs to KIP-320, as abstract machines.
//!
//! The machines are those that Kafka's developers wrote in TLA+ while they designed leader epochs
//! (`hachikuji/kafka-specification`): there are no messages, a follower's fetch and its answer are one step, and a
//! broker that fails is one that does nothing for a while. Equal counts of states are what says that these are the same
//! machines; the counts are in `tests/published_models.rs`.
//!
//! One partition. Every choice is taken: which member of the ISR is elected, when a broker hears of it, who fetches
//! next.

mod rules;
pub mod scope;
pub mod state;
mod steps;
mod symmetry;
pub mod text;
mod verdict;

use std::fmt;

use super::explorer::Model;
pub use scope::{Scope, ScopeError};
use state::State;
use symmetry::Symmetry;
pub use verdict::Violation;

/// Which rules brokers follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// A new follower cuts its log to its own high watermark (`KafkaTruncateToHighWatermark`, Kafka before 0.11).
    HighWatermark,
    /// It asks for the end of the last epoch in its log (`Kip101`, Kafka 0.11 to 1.1).
    Kip101,
    /// It goes back to the last record that both have (`Kip279`, Kafka 2.0).
    Kip279,
    /// It fetches at once and cuts when epochs turn out to differ; nobody compares leader epochs (`Kip320FirstTry`).
    Kip320FirstTry,
    /// As KIP-279, and leader and follower are to be in the same leader epoch (`Kip320`, Kafka 2.1).
    Kip320,
}

/// What must hold in every state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invariant {
    /// Nothing: all states are counted.
    Nothing,
    /// Whoever believes to lead has below its high watermark what all have whom it believes to be in sync.
    WeakIsr,
    /// Whoever believes to lead has below its high watermark what all have who are in sync: any of them may be elected.
    StrongIsr,
}

/// What happened, as the specification calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The controller makes a member of the ISR the leader.
    ControllerElectLeader(u8),
    /// The controller takes a broker out of the ISR; if it led, nobody does now.
    ControllerShrinkIsr(u8),
    /// A broker hears that it leads in this leader epoch.
    BecomeLeader(u8, u8),
    /// A broker hears that another one leads in this leader epoch, and cuts its log if the rules say so.
    BecomeFollower(u8, u8),
    /// Who believes to lead appends a record.
    LeaderWrite(u8),
    /// A leader takes another broker into the ISR.
    LeaderExpandIsr(u8, u8),
    /// A leader takes another broker out of the ISR.
    LeaderShrinkIsr(u8, u8),
    /// A leader raises its high watermark by one.
    LeaderIncHighWatermark(u8),
    /// A follower gets one record from the leader it knows.
    FollowerFetch(u8, u8),
    /// A follower cuts its log to what its leader has too.
    FollowerTruncate(u8, u8),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::ControllerElectLeader(broker) => write!(f, "controller elects b{broker}"),
            Event::ControllerShrinkIsr(broker) => write!(f, "controller takes b{broker} out of the ISR"),
            Event::BecomeLeader(broker, epoch) => write!(f, "b{broker} becomes leader of e{epoch}"),
            Event::BecomeFollower(broker, epoch) => write!(f, "b{broker} becomes follower in e{epoch}"),
            Event::LeaderWrite(broker) => write!(f, "b{broker} appends a record"),
            Event::LeaderExpandIsr(leader, broker) => write!(f, "b{leader} takes b{broker} into the ISR"),
            Event::LeaderShrinkIsr(leader, broker) => write!(f, "b{leader} takes b{broker} out of the ISR"),
            Event::LeaderIncHighWatermark(broker) => write!(f, "b{broker} raises its high watermark"),
            Event::FollowerFetch(follower, leader) => write!(f, "b{follower} fetches a record from b{leader}"),
            Event::FollowerTruncate(follower, leader) => write!(f, "b{follower} cuts its log to what b{leader} has"),
        }
    }
}

/// One of the five machines, and what is asked of it.
pub struct Published {
    rules: Rules,
    scope: Scope,
    invariant: Invariant,
    symmetry: Option<Symmetry>,
}

impl Published {
    /// The machine of these rules, as large as the scope says.
    pub const fn new(rules: Rules, scope: Scope, invariant: Invariant) -> Published {
        Published { rules, scope, invariant, symmetry: None }
    }

    /// Looks at one state in place of all that differ only in which broker is which.
    ///
    /// That loses nothing: no rule here prefers a broker to another one. Traces are told of real states all the same.
    pub fn with_symmetry(self) -> Published {
        Published { symmetry: Some(Symmetry::of(self.scope.replicas)), ..self }
    }
}

impl Model for Published {
    type State = State;
    type Event = Event;
    type Violation = Violation;

    fn initial(&self, out: &mut impl FnMut(State)) {
        out(State::initial(self.scope.replicas));
    }

    #[inline]
    fn successors(&self, state: &State, out: &mut impl FnMut(Event, State)) {
        steps::steps(self.rules, &self.scope, state, out);
    }

    fn verdict(&self, state: &State) -> Option<Violation> {
        verdict::verdict(self.invariant, self.scope.replicas, state)
    }

    #[inline]
    fn canonical(&self, state: State) -> State {
        self.symmetry.as_ref().map_or(state, |symmetry| symmetry.canonical(state))
    }
}
