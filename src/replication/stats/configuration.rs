//! What is compared: the settings of a topic, its producers and its cluster.

use std::fmt;

use crate::replication::event::Acks;
use crate::replication::rules::Strategy;

/// Most replicas a partition can have here, as in the other simulators.
pub const REPLICAS_MAX: u8 = 9;

/// When a log is written to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flush {
    /// When the operating system does (Kafka's default): a power loss takes the last [`writeback_s`](super::Rates::writeback_s).
    Never,
    /// Before a record is acknowledged or counted (`flush.messages=1`).
    EveryRecord,
}

impl fmt::Display for Flush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Flush::Never => "never",
            Flush::EveryRecord => "every",
        })
    }
}

/// One combination of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Configuration {
    /// Replicas, each on a broker of its own: 1 to [`REPLICAS_MAX`].
    pub replication_factor: u8,
    /// `min.insync.replicas`; more than there are replicas counts as all of them.
    pub min_insync_replicas: u8,
    /// `acks` of all producers. With 0 what was sent counts as acknowledged: nobody will send it again.
    pub acks: Acks,
    /// `unclean.leader.election.enable`.
    pub is_unclean_allowed: bool,
    /// `flush.messages`.
    pub flush: Flush,
    /// Whether the cluster keeps eligible leader replicas (KIP-966, on in new clusters from 4.1).
    pub has_elr: bool,
    /// Kafka's way, or the other one, to which `min.insync.replicas`, unclean elections and the ELR mean nothing.
    pub strategy: Strategy,
}

impl Default for Configuration {
    /// Three replicas, two of them needed, `acks=all`, the ELR, and Kafka's defaults for the rest.
    fn default() -> Configuration {
        Configuration {
            replication_factor: 3,
            min_insync_replicas: 2,
            acks: Acks::All,
            is_unclean_allowed: false,
            flush: Flush::Never,
            has_elr: true,
            strategy: Strategy::AllIsr,
        }
    }
}

impl Configuration {
    /// The effective minimum of in-sync replicas (`min(min.insync.replicas, replication factor)`).
    pub fn min_isr(&self) -> u8 {
        self.min_insync_replicas.min(self.replication_factor)
    }

    /// How many replicas are more than half of them.
    pub const fn majority(&self) -> u8 {
        self.replication_factor / 2 + 1
    }
}

impl fmt::Display for Configuration {
    /// `rf 3, min.isr 2, acks all, unclean off, flush never, elr on, all-isr`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |is_on| if is_on { "on" } else { "off" };
        write!(f, "rf {}, ", self.replication_factor)?;
        match self.strategy {
            Strategy::AllIsr => write!(
                f,
                "min.isr {}, acks {}, unclean {}, flush {}, elr {}, {}",
                self.min_isr(),
                self.acks,
                on(self.is_unclean_allowed),
                self.flush,
                on(self.has_elr),
                self.strategy
            ),
            Strategy::Majority => write!(f, "acks {}, flush {}, {}", self.acks, self.flush, self.strategy),
        }
    }
}
