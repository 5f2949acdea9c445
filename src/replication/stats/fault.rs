//! What breaks.

use std::fmt;

use super::rates::Rates;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A broker's process ends; its page cache survives.
    Crash,
    /// One machine loses power, and with it what was not on its disk.
    PowerLoss,
    /// A broker's disk is lost; it returns empty.
    DiskLoss,
    /// A follower stops fetching for a while.
    SlowFollower,
    /// All machines of a zone lose power together.
    ZonePowerLoss,
    /// All machines lose power together.
    SitePowerLoss,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Fault; 6] = [
        Fault::Crash,
        Fault::PowerLoss,
        Fault::DiskLoss,
        Fault::SlowFollower,
        Fault::ZonePowerLoss,
        Fault::SitePowerLoss,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Fault::Crash => "crash",
            Fault::PowerLoss => "power loss",
            Fault::DiskLoss => "disk loss",
            Fault::SlowFollower => "slow follower",
            Fault::ZonePowerLoss => "zone power loss",
            Fault::SitePowerLoss => "site power loss",
        })
    }
}

/// How often each kind happens in a state, a second, in the order of [`Fault::ALL`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hazards {
    pub(super) of: [f64; 6],
    pub(super) total: f64,
}

impl Hazards {
    /// To one broker that is up, to one follower that fetches, and to everybody.
    pub(super) fn of_one(rates: &Rates) -> Hazards {
        let of = [
            (1.0 - rates.power_share) / rates.mtbf_s,
            rates.power_share / rates.mtbf_s,
            1.0 / rates.disk_mtbf_s,
            1.0 / rates.slow_mtbf_s,
            f64::from(rates.zones) / rates.zone_mtbf_s,
            1.0 / rates.site_mtbf_s,
        ];
        Hazards { of, total: of.iter().sum() }
    }

    /// With so many brokers up, and so many followers that could become slow.
    pub(super) fn times(&self, up: u32, followers: u32) -> Hazards {
        let (up, followers) = (f64::from(up), f64::from(followers));
        let [crash, power, disk, slow, zone, site] = self.of;
        let of = [up * crash, up * power, up * disk, followers * slow, zone, site];
        Hazards { of, total: of.iter().sum() }
    }
}
