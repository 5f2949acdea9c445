//! Why acknowledged records are lost, and why producers wait.

use std::fmt;

use super::fault::Fault;

/// Why a new leader lacks records that were acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The old leader had not sent them yet (`acks` 0 or 1).
    NotReplicated,
    /// The new one was slow, and in sync by the clock only (`acks` 0 or 1).
    SlowFollower,
    /// It was not in sync, and elected because `unclean.leader.election.enable` asks for it.
    UncleanElection,
    /// Its machine had lost power, and what it had not flushed.
    PowerLoss,
    /// Its zone had.
    ZonePowerLoss,
    /// All machines had.
    SitePowerLoss,
    /// Its disk had been lost.
    DiskLoss,
}

impl Cause {
    /// All causes.
    pub const ALL: [Cause; 7] = [
        Cause::NotReplicated,
        Cause::SlowFollower,
        Cause::UncleanElection,
        Cause::PowerLoss,
        Cause::ZonePowerLoss,
        Cause::SitePowerLoss,
        Cause::DiskLoss,
    ];

    /// Why a log that this fault cut is short.
    pub(super) const fn of(fault: Fault) -> Cause {
        match fault {
            Fault::PowerLoss => Cause::PowerLoss,
            Fault::ZonePowerLoss => Cause::ZonePowerLoss,
            Fault::SitePowerLoss => Cause::SitePowerLoss,
            Fault::DiskLoss => Cause::DiskLoss,
            Fault::SlowFollower => Cause::SlowFollower,
            Fault::Crash => Cause::NotReplicated,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Cause::NotReplicated => "not yet replicated",
            Cause::SlowFollower => "slow follower",
            Cause::UncleanElection => "unclean election",
            Cause::PowerLoss => "power loss",
            Cause::ZonePowerLoss => "zone power loss",
            Cause::SitePowerLoss => "site power loss",
            Cause::DiskLoss => "disk loss",
        })
    }
}

/// Why the partition does not take writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wait {
    /// A broker is dead and not yet known to be.
    NotNoticed,
    /// A leader is elected, and takes over.
    Election,
    /// No replica that may lead is there.
    NoLeader,
    /// There are fewer replicas in sync than it needs (`NOT_ENOUGH_REPLICAS`).
    TooFewInSync,
    /// A follower that is behind is waited for.
    SlowFollower,
}

impl Wait {
    /// All reasons.
    pub const ALL: [Wait; 5] =
        [Wait::NotNoticed, Wait::Election, Wait::NoLeader, Wait::TooFewInSync, Wait::SlowFollower];
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Wait::NotNoticed => "failure not yet noticed",
            Wait::Election => "election",
            Wait::NoLeader => "no leader",
            Wait::TooFewInSync => "too few in sync",
            Wait::SlowFollower => "slow follower",
        })
    }
}
