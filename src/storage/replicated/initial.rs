//! A partition as its brokers left it on their disks, as the state that the machine goes on from.

use thiserror::Error;

use super::{Cells, LogView, Member, NoReplica, number_in, numbers_in, places, raw, state_on_disk};
use crate::replication::assess::View;
use crate::replication::broker_set::{Broker, BrokerSet};
use crate::replication::rules::Rules;
use crate::replication::state::State;
use crate::storage::assess::{Knowledge, ReplicaDir};
use crate::storage::fs::StorageError;
use crate::storage::leader_epochs::{self, LeaderEpochs};
use crate::storage::partition::present;
use crate::storage::replicas::{Reach, by_reach};
use crate::types::Offset;

/// Why a scenario cannot be played from these directories.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum NotTheScenarios {
    /// More replicas than are played with.
    #[error("the partition has {count} replicas, and the scenario {asked}")]
    Count {
        /// There are.
        count: usize,
        /// It has.
        asked: u8,
    },
    /// A directory of a broker that has no replica.
    #[error(transparent)]
    NoReplica(#[from] NoReplica),
}

/// The state, and what its numbers stand for.
#[derive(Debug)]
pub struct Initial {
    /// All brokers are down, and all that is in their logs is on disk. Leader, leader epoch, ISR and ELR are those of the
    /// cluster's metadata; without, nobody leads and all are in sync.
    pub state: State,
    /// By number in the machine, the `node.id`; `None` where nothing is known of the replica.
    pub brokers: Vec<Option<i32>>,
    /// Offsets that each record of the machine stands for, from the first on; and the last one's end.
    pub places: Vec<Offset>,
    /// What the metadata says, where it says something.
    pub registered: Option<View>,
}

impl Initial {
    /// Of these replicas. Offsets below the highest log start are left out: not all have them.
    ///
    /// # Errors
    ///
    /// A log whose end cannot be found; or more replicas than `rules` have, or others than the metadata's.
    pub fn read(
        replicas: &[ReplicaDir],
        knowledge: &Knowledge,
        rules: &Rules,
    ) -> Result<Result<Initial, NotTheScenarios>, StorageError> {
        let mut members = Vec::with_capacity(replicas.len());
        let mut clean = Vec::with_capacity(replicas.len());
        for (dir, replica) in replicas.iter().enumerate() {
            let partition = &replica.partition;
            let path = partition.dir().join(leader_epochs::FILE_NAME);
            let epochs: LeaderEpochs = present(leader_epochs::read(&path))?.unwrap_or_default();
            let log = LogView { log_start: partition.log_start(), log_end: partition.log_end()?, epochs };
            let high_watermark = partition.high_watermark(log.log_end).unwrap_or(Offset::ZERO);
            members.push(Member { broker: replica.broker, dir, log, high_watermark });
            clean.push(replica.is_clean);
        }
        Ok(Initial::of(members, &clean, knowledge.newest(replicas), rules))
    }

    fn of(
        mut members: Vec<Member>,
        clean: &[bool],
        registered: Option<View>,
        rules: &Rules,
    ) -> Result<Initial, NotTheScenarios> {
        let count = registered.as_ref().map_or(members.len(), |view| view.replicas.len());
        if count > usize::from(rules.replicas) {
            return Err(NotTheScenarios::Count { count, asked: rules.replicas });
        }
        let number = |(at, member): (Broker, &Member)| match (&registered, member.broker) {
            (Some(view), Some(broker)) => number_in(&view.replicas, broker),
            _ => Ok(at),
        };
        let numbers: Vec<Broker> = (0..).zip(&members).map(number).collect::<Result<_, _>>()?;
        // From where on all have everything, as far as they reach.
        let start = members.iter().filter(|member| !member.log.is_new()).map(|member| member.log.log_start).max();
        let start = start.unwrap_or(Offset::ZERO);
        for member in &mut members {
            member.log.log_start = start;
            member.log.log_end = member.log.log_end.max(start);
            member.log.epochs.truncate_from_start(start);
        }
        let cells = Cells::new(members.iter().flat_map(places).collect());
        // Whose log a record is counted by does not matter: the same record of the same epoch is the same.
        let reaches: Vec<Reach> = members.iter().map(|member| member.log.reach()).collect();
        let reference = by_reach(&reaches).first().copied().unwrap_or_default();
        let mut state = state_on_disk(rules, &members, &numbers, reference, &cells);
        let mut brokers: Vec<Option<i32>> = match &registered {
            Some(view) => view.replicas.iter().copied().map(Some).collect(),
            None => Vec::new(),
        };
        brokers.resize(usize::from(rules.replicas), None);
        for ((member, number), clean) in members.iter().zip(&numbers).zip(clean) {
            let replica = state.replica_mut(*number);
            replica.flushed = replica.leo();
            replica.clean = clean.then_some(0);
            brokers[usize::from(*number)] = member.broker;
        }
        let controller = &mut state.controller;
        controller.leader_epoch =
            members.iter().filter_map(|member| member.log.epochs.latest()).map(|it| raw(it.epoch)).max().unwrap_or(0);
        controller.leader = None;
        controller.unfenced = BrokerSet::NONE;
        if let Some(view) = &registered {
            controller.isr = numbers_in(&view.replicas, &view.isr);
            controller.elr = numbers_in(&view.replicas, &view.elr);
            controller.leader = view.leader.and_then(|leader| number_in(&view.replicas, leader).ok());
            controller.leader_epoch = controller.leader_epoch.max(view.leader_epoch);
            // It has not noticed yet that they are gone; whom it had noticed of is not in sync any more.
            if controller.leader.is_some() {
                controller.unfenced = controller.isr;
            }
        } else {
            controller.isr = numbers.iter().copied().collect();
        }
        let places = cells.numbers().map(|number| cells.offset(number)).collect();
        Ok(Initial { state, brokers, places, registered })
    }

    /// What the controller has: `leader b1 e3, ISR {b1,b2}; b1, b2 are not fenced yet`.
    pub fn controller(&self) -> String {
        let controller = &self.state.controller;
        let leader = controller.leader.map_or_else(|| "no leader".to_owned(), |leader| format!("leader b{leader}"));
        let elr = if controller.elr.is_empty() { String::new() } else { format!(" ELR {}", controller.elr) };
        let unfenced = if controller.unfenced.is_empty() {
            "all are fenced".to_owned()
        } else {
            format!("{} not fenced yet", controller.unfenced)
        };
        format!("{leader} e{}, ISR {}{elr}; {unfenced}", controller.leader_epoch, controller.isr)
    }

    /// Replicas in a few words: `b0 is broker 1, ...`.
    pub fn told(&self) -> String {
        let told = |(number, broker): (usize, &Option<i32>)| match broker {
            Some(broker) => format!("b{number} is broker {broker}"),
            None => format!("b{number} is a broker that nothing is known of"),
        };
        self.brokers.iter().enumerate().map(told).collect::<Vec<_>>().join(", ")
    }
}
