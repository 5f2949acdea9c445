//! How much may happen.

use std::fmt;

use thiserror::Error;

use super::REPLICAS;
use crate::replication::event::Acks;
use crate::replication::rules::{Flush, Rules, Strategy};

/// Most records in a packed state.
pub const RECORDS_MAX: u32 = 4;

/// Highest leader epoch in a packed state; what would go beyond is not looked at.
pub const EPOCH_MAX: u32 = 7;

/// What to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Find {
    /// An acknowledged record that the leader lacks.
    AckedLost,
    /// Replicas that differ below their high watermarks.
    Diverged,
    /// A record that a consumer has read and the leader lacks. The consumer reads at once whatever the controller's leader lets it.
    Consumer,
    /// Any of them.
    #[default]
    Any,
}

impl Find {
    /// Whether acknowledged records are looked for.
    pub(super) fn is_acked(self) -> bool {
        matches!(self, Find::AckedLost | Find::Any)
    }

    /// Whether differing replicas are.
    pub(super) fn is_diverged(self) -> bool {
        matches!(self, Find::Diverged | Find::Any)
    }

    /// Whether records that were read are.
    pub(super) fn is_consumer(self) -> bool {
        matches!(self, Find::Consumer | Find::Any)
    }
}

/// Bounds of what is explored: how often each thing that does harm may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Records sent.
    pub records: u32,
    /// Level they are sent at.
    pub acks: Acks,
    /// Brokers fenced while they run.
    pub fences: u8,
    /// Elections that somebody asks for.
    pub elections: u8,
    /// Power losses; nothing that was not flushed stays.
    pub power_losses: u8,
    /// Kills.
    pub kills: u8,
    /// Whether answers to fetches may be lost.
    pub lost_responses: bool,
    /// What to look for.
    pub find: Find,
}

impl Default for Scope {
    fn default() -> Scope {
        Scope {
            records: 1,
            acks: Acks::All,
            fences: 0,
            elections: 0,
            power_losses: 0,
            kills: 0,
            lost_responses: false,
            find: Find::Any,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.find {
            Find::AckedLost => "acked-lost",
            Find::Diverged => "diverged",
            Find::Consumer => "consumer",
            Find::Any => "acked-lost, diverged or consumer",
        };
        write!(f, "{what} with records={} acks={}", self.records, self.acks.name())?;
        let faults =
            [("fence", self.fences), ("elect", self.elections), ("power", self.power_losses), ("kill", self.kills)];
        for (name, times) in faults.iter().filter(|(_, times)| *times > 0) {
            write!(f, " {name}={times}")?;
        }
        f.write_str(if self.lost_responses { " lost-responses" } else { "" })
    }
}

/// A scope that a packed state has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ScopeError {
    /// Replicas.
    #[error("{0} replicas; at most {REPLICAS} can be explored")]
    Replicas(u8),
    /// Records.
    #[error("{0} records; 1 to {RECORDS_MAX} can be explored")]
    Records(u32),
    /// Faults.
    #[error("{0} faults of one kind; at most 3 can be explored")]
    Faults(u8),
    /// Something that is not explored.
    #[error("{0} is not explored")]
    Rule(&'static str),
}

impl Scope {
    pub(super) fn check(&self, rules: &Rules) -> Result<(), ScopeError> {
        if usize::from(rules.replicas) > REPLICAS {
            return Err(ScopeError::Replicas(rules.replicas));
        }
        if !(1..=RECORDS_MAX).contains(&self.records) {
            return Err(ScopeError::Records(self.records));
        }
        let most = self.fences.max(self.elections).max(self.power_losses).max(self.kills);
        if most > 3 {
            return Err(ScopeError::Faults(most));
        }
        if rules.strategy == Strategy::Majority {
            return Err(ScopeError::Rule("the majority strategy"));
        }
        if rules.producers > 1 {
            return Err(ScopeError::Rule("more than one producer"));
        }
        if rules.switches.wait_for_joining {
            return Err(ScopeError::Rule("wait_for_joining, which needs a clock,"));
        }
        if rules.flush != Flush::Never && rules.flush != Flush::Every(1) {
            return Err(ScopeError::Rule("a flush every few records"));
        }
        Ok(())
    }
}
