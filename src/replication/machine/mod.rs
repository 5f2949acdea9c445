//! The one state machine: a state and an event give the next state, and say what happened on the way.
//!
//! [`apply`] is all of it. The rules are those of Kafka's brokers (`Partition`, `ReplicaManager`, `AbstractFetcherThread`,
//! `ReplicaFetcherThread`) and of its controller (`ReplicationControlManager`, `PartitionChangeBuilder`), era by era
//! ([`super::rules`]). The timeline, the random simulator, the explorer, the real directories and `produce --acks all` all
//! go through it.
//!
//! - `produce`: what a leader does with a record;
//! - `replicate`: fetches, the questions of the older eras, high watermarks;
//! - `metadata`: what a broker does when it hears of the controller's decisions;
//! - `controller`: registrations, elections, the ISR;
//! - `faults`: crashes, power losses, shutdowns.

mod controller;
mod faults;
mod metadata;
mod produce;
mod replicate;

use thiserror::Error;

use super::broker_set::Broker;
use super::effect::Effect;
use super::event::Event;
use super::log::Record;
use super::rules::{Rules, Strategy};
use super::state::State;

/// Why an event cannot happen in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Impossible {
    /// Its process does not run.
    #[error("b{0} is down")]
    Down(Broker),
    /// Its process runs.
    #[error("b{0} runs; it must be down for that")]
    Running(Broker),
    /// The controller takes it for alive.
    #[error("b{0}'s earlier registration is not fenced yet: fence b{0} first")]
    Registered(Broker),
    /// It is fenced already.
    #[error("b{0} is fenced already")]
    Fenced(Broker),
    /// It is unfenced already.
    #[error("b{0} is unfenced already")]
    Unfenced(Broker),
    /// It has to ask first.
    #[error("b{0} does not fetch before it has asked its leader where to cut its log (epoch-query b{0})")]
    AsksFirst(Broker),
    /// It has nothing to ask.
    #[error(
        "b{0} has nothing to ask its leader: it does so once in every new leader epoch, in the eras epoch, epoch2, fenced"
    )]
    NothingToAsk(Broker),
    /// No leader waits for the controller.
    #[error("no leader has asked for another ISR")]
    NothingAsked,
    /// This one does not.
    #[error("b{0} has not asked for another ISR")]
    NotAsked(Broker),
    /// A change is under way.
    #[error("b{0} has asked for another ISR and waits for the answer")]
    AlreadyAsked(Broker),
    /// No leader has it in its ISR.
    #[error("no leader has b{0} in its ISR")]
    NotInIsr(Broker),
    /// It cannot be elected.
    #[error("b{0} cannot be elected: it is not an unfenced member of the ISR")]
    NotElectable(Broker),
    /// It leads already.
    #[error("b{0} leads already")]
    LeadsAlready(Broker),
    /// A broker has to be named.
    #[error("name the broker to elect")]
    WhoElected,
    /// Too few run.
    #[error("{up} brokers run, and {needed} have to answer to elect a leader")]
    NoMajority {
        /// That run.
        up: u32,
        /// That have to.
        needed: u32,
    },
    /// The record was never sent.
    #[error("m{0} was not sent yet")]
    NotSent(Record),
    /// The majority strategy has no such thing.
    #[error("{0} belongs to the ISR, and the majority strategy has none")]
    NoIsr(&'static str),
}

/// Takes one event. Every consequence goes to `sink` in the order in which it happens.
///
/// What is refused by the protocol (a fenced fetch, an ISR from a stale epoch, a record without a leader) is a consequence and
/// leaves the state as it is, but for the record's number.
///
/// # Errors
///
/// The event cannot happen in this state; the state is unchanged.
#[inline]
pub fn apply<const N: usize>(
    rules: &Rules,
    state: &mut State<N>,
    event: Event,
    sink: &mut impl FnMut(Effect),
) -> Result<(), Impossible> {
    let mut step = Step { rules, state, sink };
    match event {
        Event::Produce { acks, at } => {
            let record = step.state.next_record;
            step.state.next_record += 1;
            step.produce(record, acks, at);
            Ok(())
        }
        Event::Retry { record, acks, at } => {
            if record >= step.state.next_record {
                return Err(Impossible::NotSent(record));
            }
            step.produce(record, acks, at);
            Ok(())
        }
        Event::Fetch { broker, lost } => step.fetch(broker, lost),
        Event::EpochQuery(broker) => step.epoch_query(broker),
        Event::Metadata(broker) => step.metadata(broker),
        Event::AlterPartition(broker) => step.alter_partition(broker),
        Event::Lag(broker) => step.lag(broker),
        Event::Elect(broker) => step.elect(broker),
        Event::Fence(broker) => step.fence(broker),
        Event::Unfence(broker) => step.unfence(broker),
        Event::Kill(broker) => step.kill(broker),
        Event::PowerLoss { broker, keep } => step.power_loss(broker, keep),
        Event::Stop(broker) => step.stop(broker),
        Event::Start(broker) => step.start(broker),
        Event::Wipe(broker) => step.wipe(broker),
        Event::Flush(broker) => step.flush(broker),
        Event::Checkpoint(broker) => step.checkpoint(broker),
        Event::Consume => {
            step.consume();
            Ok(())
        }
    }
}

/// One event under way.
struct Step<'a, S, const N: usize> {
    rules: &'a Rules,
    state: &'a mut State<N>,
    sink: &'a mut S,
}

impl<S: FnMut(Effect), const N: usize> Step<'_, S, N> {
    #[inline]
    fn tell(&mut self, effect: Effect) {
        (self.sink)(effect);
    }

    fn must_run(&self, broker: Broker) -> Result<(), Impossible> {
        if self.state.replica(broker).up { Ok(()) } else { Err(Impossible::Down(broker)) }
    }

    fn must_be_down(&self, broker: Broker) -> Result<(), Impossible> {
        if self.state.replica(broker).up { Err(Impossible::Running(broker)) } else { Ok(()) }
    }

    fn must_have_isr(&self, what: &'static str) -> Result<(), Impossible> {
        match self.rules.strategy {
            Strategy::AllIsr => Ok(()),
            Strategy::Majority => Err(Impossible::NoIsr(what)),
        }
    }

    /// Sets a broker's high watermark.
    #[inline]
    fn set_hw(&mut self, broker: Broker, to: u64) {
        let from = std::mem::replace(&mut self.state.replica_mut(broker).hw, to);
        if from != to {
            self.tell(Effect::HwMoved { broker, from, to });
        }
    }
}
