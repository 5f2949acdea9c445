//! What a plan does not come to, which rule forbids it, and by how much.

use std::collections::BTreeMap;
use std::fmt;

use super::Plan;
use crate::reassign::cluster::{BrokerIndex, BrokerState, Problem};
use crate::reassign::measure::{Balance, breach, disk_bytes};
use crate::reassign::quota::{DiskShares, Quotas, to_f64};

/// What forbids something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Pinned partitions stay where they are.
    Pins,
    /// There is no room on disks.
    Room,
    /// Replicas have to be in different racks.
    Racks,
    /// Partitions are too large, or too few, for more.
    Sizes,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Pins => "pinned partitions stay where they are",
            Cause::Room => "there is no room on disks",
            Cause::Racks => "replicas have to be in different racks",
            Cause::Sizes => "no partitions of fitting sizes were found",
        })
    }
}

/// Something that a plan does not come to.
#[derive(Debug, Clone, PartialEq)]
pub enum Shortfall {
    /// Partitions want more replicas than there are brokers for.
    Replicas {
        /// How many partitions.
        partitions: usize,
        /// The first of them.
        first: String,
        /// How many replicas they want.
        wanted: usize,
        /// How many they get.
        brokers: usize,
    },
    /// All replicas of partitions were on dead brokers: there is nothing to copy; they stay as they are.
    NoSource {
        /// How many partitions.
        partitions: usize,
        /// The first of them.
        first: String,
    },
    /// Replicas stay on a broker that is to be emptied.
    Stays {
        /// Its id.
        broker: i32,
        /// How many.
        replicas: u64,
    },
    /// Partitions that break another rule.
    Breach {
        /// How many partitions.
        partitions: usize,
        /// The first of them, and what is wrong with it.
        first: String,
    },
    /// Counts of replicas are not level.
    Counts {
        /// Replicas above or below the quotas.
        replicas: u64,
        /// What forbids it.
        cause: Cause,
    },
    /// Preferred leaders are not level.
    Leaders {
        /// Leaders above the quota.
        leaders: u64,
    },
    /// A broker's bytes are outside of the tolerance.
    Bytes {
        /// Its id.
        broker: i32,
        /// Bytes too many, or too few when below zero.
        bytes: i64,
        /// What forbids it.
        cause: Cause,
    },
    /// A disk needs more room than there is.
    Room {
        /// The broker's id.
        broker: i32,
        /// The disk's path; none where all disks of the broker together lack room.
        path: Option<String>,
        /// Bytes that are lacking.
        bytes: u64,
    },
    /// A disk's bytes are outside of the tolerance.
    DiskShare {
        /// The broker's id.
        broker: i32,
        /// The disk's path.
        path: String,
        /// Bytes too many, or too few when below zero.
        bytes: i64,
    },
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |bytes: i64| if bytes < 0 { "below" } else { "above" };
        match self {
            Shortfall::Replicas { partitions, first, wanted, brokers } => {
                write!(
                    f,
                    "{partitions} partitions ({first} first) want {wanted} replicas, and there are {brokers} brokers for them"
                )
            }
            Shortfall::NoSource { partitions, first } => {
                write!(
                    f,
                    "{partitions} partitions ({first} first) were on dead brokers alone: there is nothing to copy, and they stay"
                )
            }
            Shortfall::Stays { broker, replicas } => {
                write!(
                    f,
                    "broker {broker}: {replicas} replicas stay, though it is to be emptied: their partitions are fixed"
                )
            }
            Shortfall::Breach { partitions, first } => write!(f, "{partitions} partitions break a rule; {first}"),
            Shortfall::Counts { replicas, cause } => {
                write!(f, "replica counts: {replicas} above or below the level quota: {cause}")
            }
            Shortfall::Leaders { leaders } => {
                write!(f, "preferred leaders: {leaders} above the level quota: no replica of theirs can lead elsewhere")
            }
            Shortfall::Bytes { broker, bytes, cause } => {
                write!(f, "broker {broker}: {} bytes {} the tolerance: {cause}", bytes.unsigned_abs(), side(*bytes))
            }
            Shortfall::Room { broker, path: None, bytes } => {
                write!(f, "broker {broker}: {bytes} bytes more are needed than its disks have room for")
            }
            Shortfall::Room { broker, path: Some(path), bytes } => {
                write!(f, "broker {broker}: {bytes} bytes more are needed than {path} has room for")
            }
            Shortfall::DiskShare { broker, path, bytes } => {
                write!(f, "broker {broker}: {path} is {} bytes {} the tolerance", bytes.unsigned_abs(), side(*bytes))
            }
        }
    }
}

/// All that a plan does not come to.
pub(super) fn shortfalls(problem: &Problem<'_>, quotas: &Quotas, plan: &Plan) -> Vec<Shortfall> {
    let mut all = of_partitions(problem, plan);
    if !problem.rules.only_disks {
        all.extend(of_brokers(problem, quotas, plan));
    }
    all.extend(of_disks(problem, plan));
    all
}

fn name(problem: &Problem<'_>, partition: usize) -> String {
    let (topic, number) = problem.cluster.name(partition);
    format!("{topic}-{number}")
}

fn of_partitions(problem: &Problem<'_>, plan: &Plan) -> Vec<Shortfall> {
    let cluster = problem.cluster;
    let mut too_few: BTreeMap<(usize, usize), (usize, usize)> = BTreeMap::new();
    let mut no_source: Option<(usize, usize)> = None;
    let mut breaches: Option<(usize, String)> = None;
    for topic in &cluster.topics {
        for partition in topic.partitions.clone() {
            let current = cluster.current.of(partition);
            let asked = problem.rules.replication.of(&topic.name, current.len());
            let gets = usize::from(problem.wanted[partition]);
            if !problem.is_fixed[partition] && asked > gets {
                too_few.entry((asked, gets)).or_insert((0, partition)).0 += 1;
            }
            if !problem.rules.pinned.contains(&partition) && problem.is_fixed[partition] {
                no_source.get_or_insert((0, partition)).0 += 1;
            }
            let list = plan.assignment.of(partition);
            if !problem.rules.only_disks
                && let Some(text) = breach(problem, partition, list)
            {
                breaches.get_or_insert((0, text)).0 += 1;
            }
        }
    }
    let too_few = too_few.into_iter().map(|((wanted, brokers), (partitions, first))| Shortfall::Replicas {
        partitions,
        first: name(problem, first),
        wanted,
        brokers,
    });
    let no_source =
        no_source.map(|(partitions, first)| Shortfall::NoSource { partitions, first: name(problem, first) });
    let breaches = breaches.map(|(partitions, first)| Shortfall::Breach { partitions, first });
    too_few.chain(no_source).chain(breaches).collect()
}

fn of_brokers(problem: &Problem<'_>, quotas: &Quotas, plan: &Plan) -> Vec<Shortfall> {
    let brokers = &problem.cluster.brokers;
    let balance = Balance::of(problem, quotas, &plan.assignment);
    let mut all = Vec::new();
    let (mut staying, mut pinned) = (vec![0u64; brokers.len()], vec![0u64; brokers.len()]);
    for (partition, list) in plan.assignment.iter().enumerate() {
        for BrokerIndex(broker) in list {
            staying[usize::from(*broker)] += 1;
            pinned[usize::from(*broker)] += u64::from(problem.is_fixed[partition]);
        }
    }
    for (broker, replicas) in brokers.iter().zip(&staying) {
        if broker.state == BrokerState::Drain && *replicas > 0 {
            all.push(Shortfall::Stays { broker: broker.id, replicas: *replicas });
        }
    }
    let targets = || (0..brokers.len()).filter(|it| problem.is_target[*it]);
    let smallest = problem.cluster.sizes.iter().copied().min().map_or(0.0, to_f64);
    let is_full = |it: usize| to_f64(balance.bytes[it]) + smallest > problem.limit(it);
    let has_pins = targets().any(|it| pinned[it] > 0);
    let cause = |is_pinned: bool| {
        if is_pinned {
            Cause::Pins
        } else if targets().any(is_full) {
            Cause::Room
        } else if has_pins {
            Cause::Pins
        } else if problem.has_racks() {
            Cause::Racks
        } else {
            Cause::Sizes
        }
    };
    if balance.count_excess > 0 {
        let is_pinned = targets().any(|it| pinned[it] > quotas.counts[it].1);
        all.push(Shortfall::Counts { replicas: balance.count_excess, cause: cause(is_pinned) });
    }
    if balance.leader_excess > 0 {
        all.push(Shortfall::Leaders { leaders: balance.leader_excess });
    }
    for it in targets() {
        let (bytes, share) = (to_f64(balance.bytes[it]), quotas.bytes[it]);
        let lacking = bytes - problem.limit(it);
        if lacking >= 1.0 {
            all.push(Shortfall::Room { broker: brokers[it].id, path: None, bytes: whole(lacking).unsigned_abs() });
        }
        let Some(tolerance) = problem.rules.bytes_tolerance else { continue };
        let off = outside(bytes, share * (1.0 - tolerance), share * (1.0 + tolerance));
        if off.abs() >= 1.0 {
            all.push(Shortfall::Bytes { broker: brokers[it].id, bytes: whole(off), cause: cause(false) });
        }
    }
    all
}

fn of_disks(problem: &Problem<'_>, plan: &Plan) -> Vec<Shortfall> {
    let mut all = Vec::new();
    if plan.disks.is_empty() {
        return all;
    }
    let bytes = disk_bytes(problem, &plan.assignment, &plan.disks);
    for (broker, bytes) in problem.cluster.brokers.iter().zip(&bytes) {
        let total = bytes.iter().map(|it| to_f64(*it)).sum();
        let shares = DiskShares::of(problem.rules, &broker.disks, total);
        for (it, disk) in broker.disks.iter().enumerate().filter(|_| !broker.state.is_emptied()) {
            let bytes = to_f64(bytes[it]);
            let lacking = bytes - shares.limit[it];
            let (id, path) = (broker.id, disk.path.clone());
            if lacking >= 1.0 {
                all.push(Shortfall::Room { broker: id, path: Some(path), bytes: whole(lacking).unsigned_abs() });
                continue;
            }
            let off = outside(bytes, shares.fewest[it], shares.most[it]);
            if off.abs() >= 1.0 {
                all.push(Shortfall::DiskShare { broker: id, path, bytes: whole(off) });
            }
        }
    }
    all
}

/// How far above, or below, which is less than zero.
fn outside(bytes: f64, least: f64, most: f64) -> f64 {
    if bytes > most { bytes - most } else { (bytes - least).min(0.0) }
}

#[expect(clippy::cast_possible_truncation, reason = "bytes that are lacking; more than fit are as many as fit")]
const fn whole(bytes: f64) -> i64 {
    bytes as i64
}
