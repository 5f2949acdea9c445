//! How often things break, and how long they take: all of it the user's to say.

use super::configuration::{Configuration, REPLICAS_MAX};

/// Seconds of a day.
pub const DAY_S: f64 = 86_400.0;
/// Seconds of a year of 365.25 days.
pub const YEAR_S: f64 = 365.25 * DAY_S;

/// Rates of faults and speeds of repair.
///
/// Mean times between faults are those of exponential waits, and [`f64::INFINITY`] means never. The defaults are round
/// numbers of the right size for a rack server, not measurements of anybody's cluster. Power losses that several brokers share
/// are off by default: where they happen they outweigh everything else as long as nothing is flushed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Mean time from a broker's start to its next crash, process crashes and power losses of its machine taken together: 90 days.
    pub mtbf_s: f64,
    /// Part of those crashes that are power losses, 0 to 1: 0.2. A process that is killed leaves its page cache behind; a
    /// machine without power does not.
    pub power_share: f64,
    /// Mean time from a crash until the broker is back, exponential: 10 minutes.
    pub mttr_s: f64,
    /// Mean time between losses of a broker's disk, which comes back empty after the same repair: 50 years (2 % a year).
    pub disk_mtbf_s: f64,
    /// Zones that lose power on their own; broker `b` is in zone `b % zones`: 3.
    pub zones: u8,
    /// Mean time between power losses of one zone: never.
    pub zone_mtbf_s: f64,
    /// Mean time between power losses of everything: never.
    pub site_mtbf_s: f64,
    /// Mean time between episodes in which a follower stops fetching, though it is up: 180 days.
    pub slow_mtbf_s: f64,
    /// Mean length of such an episode, exponential: 1 minute.
    pub slow_s: f64,
    /// How long a dead broker is taken for alive (`broker.session.timeout.ms`; the election timeout of a majority): 9 s.
    pub broker_session_timeout_s: f64,
    /// How long a follower may be behind and stay in sync (`replica.lag.time.max.ms`): 30 s.
    pub replica_lag_time_max_s: f64,
    /// From the controller's choice until the new leader serves: 0.2 s.
    pub election_s: f64,
    /// From the leader's log until all followers in sync have a record: 10 ms. What `acks=1` stakes.
    pub replication_delay_s: f64,
    /// From the producer to the leader's log: 5 ms. What `acks=0` stakes beside that.
    pub send_delay_s: f64,
    /// Records written to the partition each second while it takes writes: 1 000.
    pub records_per_s: f64,
    /// Records each second that a replica can catch up with, more than are written: 20 000.
    pub catch_up_records_per_s: f64,
    /// Records the partition keeps, all of which a replica with an empty disk must fetch: 10 000 000.
    pub partition_records: f64,
    /// How long a record waits in the page cache before it is on the disk (Linux: `dirty_expire_centisecs`): 30 s.
    pub writeback_s: f64,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates {
            mtbf_s: 90.0 * DAY_S,
            power_share: 0.2,
            mttr_s: 600.0,
            disk_mtbf_s: 50.0 * YEAR_S,
            zones: 3,
            zone_mtbf_s: f64::INFINITY,
            site_mtbf_s: f64::INFINITY,
            slow_mtbf_s: 180.0 * DAY_S,
            slow_s: 60.0,
            broker_session_timeout_s: 9.0,
            replica_lag_time_max_s: 30.0,
            election_s: 0.2,
            replication_delay_s: 0.01,
            send_delay_s: 0.005,
            records_per_s: 1_000.0,
            catch_up_records_per_s: 20_000.0,
            partition_records: 1e7,
            writeback_s: 30.0,
        }
    }
}

impl Rates {
    /// Brokers that crash independently and do nothing else, in a cluster that notices, elects and catches up in no time.
    ///
    /// The world of the formulas in [`closed`](super::closed): availability is a question of how many brokers are up, where
    /// unclean elections are allowed or a majority decides.
    pub const fn ideal(mtbf_s: f64, mttr_s: f64) -> Rates {
        Rates {
            mtbf_s,
            power_share: 0.0,
            mttr_s,
            disk_mtbf_s: f64::INFINITY,
            zones: 1,
            zone_mtbf_s: f64::INFINITY,
            site_mtbf_s: f64::INFINITY,
            slow_mtbf_s: f64::INFINITY,
            slow_s: 0.0,
            broker_session_timeout_s: 0.0,
            replica_lag_time_max_s: 0.0,
            election_s: 0.0,
            replication_delay_s: 0.0,
            send_delay_s: 0.0,
            records_per_s: 1.0,
            catch_up_records_per_s: f64::INFINITY,
            partition_records: 0.0,
            writeback_s: 0.0,
        }
    }

    /// Part of the time that a broker which only crashes is down: `mttr / (mtbf + mttr)`.
    pub fn down_fraction(&self) -> f64 {
        if self.mtbf_s.is_infinite() { 0.0 } else { self.mttr_s / (self.mtbf_s + self.mttr_s) }
    }

    /// Says what cannot be simulated.
    pub fn check(&self, configuration: &Configuration) -> Result<(), StatsError> {
        if !(1..=REPLICAS_MAX).contains(&configuration.replication_factor) {
            return Err(StatsError::ReplicationFactor { found: configuration.replication_factor });
        }
        if configuration.min_insync_replicas == 0 {
            return Err(StatsError::MinInsyncReplicas);
        }
        let above_zero = [
            ("mtbf_s", self.mtbf_s),
            ("disk_mtbf_s", self.disk_mtbf_s),
            ("zone_mtbf_s", self.zone_mtbf_s),
            ("site_mtbf_s", self.site_mtbf_s),
            ("slow_mtbf_s", self.slow_mtbf_s),
            ("zones", f64::from(self.zones)),
        ];
        for (name, found) in above_zero {
            if found.is_nan() || found <= 0.0 {
                return Err(StatsError::Rate { name, found, expected: "more than 0" });
            }
        }
        let finite = [
            ("mttr_s", self.mttr_s),
            ("slow_s", self.slow_s),
            ("broker_session_timeout_s", self.broker_session_timeout_s),
            ("replica_lag_time_max_s", self.replica_lag_time_max_s),
            ("election_s", self.election_s),
            ("replication_delay_s", self.replication_delay_s),
            ("send_delay_s", self.send_delay_s),
            ("records_per_s", self.records_per_s),
            ("partition_records", self.partition_records),
            ("writeback_s", self.writeback_s),
        ];
        for (name, found) in finite {
            if !found.is_finite() || found < 0.0 {
                return Err(StatsError::Rate { name, found, expected: "a number from 0" });
            }
        }
        if self.mttr_s == 0.0 {
            return Err(StatsError::Rate { name: "mttr_s", found: 0.0, expected: "more than 0" });
        }
        if !(0.0..=1.0).contains(&self.power_share) {
            return Err(StatsError::Rate { name: "power_share", found: self.power_share, expected: "0 to 1" });
        }
        if self.catch_up_records_per_s.is_nan() || self.catch_up_records_per_s <= self.records_per_s {
            let (found, expected) = (self.catch_up_records_per_s, "more than records_per_s");
            return Err(StatsError::Rate { name: "catch_up_records_per_s", found, expected });
        }
        Ok(())
    }
}

/// What cannot be simulated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StatsError {
    /// Too few or too many replicas.
    #[error("replication factor {found}, expected 1 to {REPLICAS_MAX}")]
    ReplicationFactor {
        /// As given.
        found: u8,
    },
    /// `min.insync.replicas` of 0.
    #[error("min.insync.replicas 0, expected 1 or more")]
    MinInsyncReplicas,
    /// A rate out of bounds.
    #[error("{name} {found}, expected {expected}")]
    Rate {
        /// Its name in [`Rates`].
        name: &'static str,
        /// As given.
        found: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// Nothing ever breaks.
    #[error("no fault ever happens, expected a mean time between faults that is finite")]
    NoFaults,
    /// The number of years is not one.
    #[error("{found} partition-years, expected more than 0 and at most {most}")]
    Years {
        /// As given.
        found: f64,
        /// Most that can be counted.
        most: f64,
    },
}
