//! What an assignment comes to: what it moves, how level it is, which rules it breaks.

use std::collections::{BTreeSet, HashMap};

use super::cluster::{Assignment, BrokerIndex, Problem};
use super::quota::{Quotas, to_f64};

/// How level replicas, bytes and leaders are over the brokers that are to have some.
#[derive(Debug, Clone, PartialEq)]
pub struct Balance {
    /// Replicas of each broker.
    pub counts: Vec<u64>,
    /// Bytes of each.
    pub bytes: Vec<u64>,
    /// Partitions of which each is the preferred leader.
    pub leaders: Vec<u64>,
    /// Replicas that are above or below the level quota.
    pub count_excess: u64,
    /// Most bytes in parts of the fair share.
    pub bytes_over_share: f64,
    /// Fewest.
    pub bytes_under_share: f64,
    /// Preferred leaders above the ceiling.
    pub leader_excess: u64,
    /// Replicas of a topic on a broker above its ceiling, over all of them.
    pub topic_excess: u64,
}

/// What it takes to come to an assignment from the current one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moves {
    /// Replicas that are made anew.
    pub replicas: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Partitions whose preferred leader changes.
    pub leaders: u64,
    /// Most bytes that enter one broker.
    pub largest_inflow: u64,
    /// Partitions with another replica list.
    pub partitions: u64,
    /// Replicas that move between disks of their broker; they are not among those that are made anew.
    pub disk_replicas: u64,
    /// Their bytes.
    pub disk_bytes: u64,
}

impl Balance {
    /// Of an assignment.
    pub fn of(problem: &Problem<'_>, quotas: &Quotas, assignment: &Assignment) -> Balance {
        let brokers = problem.is_target.len();
        let targets = problem.is_target.iter().filter(|it| **it).count().max(1) as u64;
        let (mut counts, mut bytes, mut leaders) = (vec![0u64; brokers], vec![0u64; brokers], vec![0u64; brokers]);
        let mut topic_excess = 0;
        let mut of_topic = vec![0u64; brokers];
        for topic in &problem.cluster.topics {
            of_topic.fill(0);
            let mut wanted = 0;
            for partition in topic.partitions.clone() {
                wanted += u64::from(problem.levelled[partition]);
                for (number, broker) in assignment.of(partition).iter().map(|broker| broker.at()).enumerate() {
                    if problem.is_target[broker] {
                        counts[broker] += 1;
                        bytes[broker] = bytes[broker].saturating_add(problem.cluster.sizes[partition]);
                        leaders[broker] += u64::from(number == 0);
                        of_topic[broker] += 1;
                    }
                }
            }
            let ceiling = wanted.div_ceil(targets).max(1);
            topic_excess += of_topic.iter().map(|count| count.saturating_sub(ceiling)).sum::<u64>();
        }
        let over: u64 = (0..brokers).map(|it| counts[it].saturating_sub(quotas.counts[it].1)).sum();
        let under: u64 = (0..brokers).map(|it| quotas.counts[it].0.saturating_sub(counts[it])).sum();
        let shares = (0..brokers).filter(|it| problem.is_target[*it] && quotas.bytes[*it] > 0.0);
        let shares: Vec<f64> = shares.map(|it| to_f64(bytes[it]) / quotas.bytes[it]).collect();
        let leader_excess = leaders.iter().map(|count| count.saturating_sub(quotas.leaders)).sum();
        Balance {
            count_excess: over.max(under),
            bytes_over_share: shares.iter().copied().reduce(f64::max).unwrap_or(1.0),
            bytes_under_share: shares.iter().copied().reduce(f64::min).unwrap_or(1.0),
            leader_excess,
            topic_excess,
            counts,
            bytes,
            leaders,
        }
    }
}

impl Moves {
    /// From the current assignment to this one.
    pub fn to(problem: &Problem<'_>, assignment: &Assignment) -> Moves {
        let mut moves = Moves::default();
        let mut inflow = vec![0u64; problem.is_target.len()];
        for (partition, new) in assignment.iter().enumerate() {
            let (old, size) = (problem.cluster.current.of(partition), problem.cluster.sizes[partition]);
            for broker in new.iter().filter(|broker| !old.contains(broker)) {
                moves.replicas += 1;
                moves.bytes = moves.bytes.saturating_add(size);
                inflow[broker.at()] = inflow[broker.at()].saturating_add(size);
            }
            moves.leaders += u64::from(new.first() != old.first());
            moves.partitions += u64::from(new != old);
        }
        moves.largest_inflow = inflow.into_iter().max().unwrap_or(0);
        moves
    }
}

impl Moves {
    /// From the current assignment to this one, on these disks (as in [`Plan`](super::planner::Plan)).
    pub fn to_disks(problem: &Problem<'_>, assignment: &Assignment, disks: &[Option<u16>]) -> Moves {
        let mut moves = Moves::to(problem, assignment);
        for (partition, list) in assignment.iter().enumerate() {
            for (broker, number) in list.iter().zip(assignment.range(partition)) {
                let (old, new) = (problem.cluster.disk_of(partition, *broker), disks.get(number).copied().flatten());
                if old.is_some() && new.is_some() && old != new {
                    moves.disk_replicas += 1;
                    moves.disk_bytes = moves.disk_bytes.saturating_add(problem.cluster.sizes[partition]);
                }
            }
        }
        moves
    }
}

/// Bytes on each disk of each broker, of an assignment whose replicas are on these disks; what is on none that is known is not
/// counted.
pub fn disk_bytes(problem: &Problem<'_>, assignment: &Assignment, disks: &[Option<u16>]) -> Vec<Vec<u64>> {
    let mut bytes: Vec<Vec<u64>> = problem.cluster.brokers.iter().map(|broker| vec![0; broker.disks.len()]).collect();
    for (partition, list) in assignment.iter().enumerate() {
        for (broker, number) in list.iter().zip(assignment.range(partition)) {
            let disk = disks.get(number).copied().flatten();
            if let Some(sum) = disk.and_then(|disk| bytes[broker.at()].get_mut(usize::from(disk))) {
                *sum = sum.saturating_add(problem.cluster.sizes[partition]);
            }
        }
    }
    bytes
}

/// What is wrong with a partition's replicas, if anything is.
pub fn breach(problem: &Problem<'_>, partition: usize, replicas: &[BrokerIndex]) -> Option<String> {
    let (topic, number) = problem.cluster.name(partition);
    let wanted = problem.wanted.get(partition).copied().unwrap_or(0);
    let said = |text: String| Some(format!("{topic}-{number}: {text}"));
    let current = problem.cluster.current.of(partition);
    if problem.is_fixed.get(partition) == Some(&true) {
        return if replicas == current { None } else { said("it is to stay as it is".to_owned()) };
    }
    let distinct: BTreeSet<_> = replicas.iter().collect();
    if distinct.len() != replicas.len() {
        return said("a broker is named twice".to_owned());
    }
    let id = |broker: &BrokerIndex| problem.cluster.brokers.get(broker.at()).map_or(-1, |it| it.id);
    let mut others = replicas.iter().filter(|it| !problem.is_target.get(it.at()).copied().unwrap_or(false));
    match others.find(|it| !current.contains(it) || !problem.is_excluded(it.at())) {
        Some(new) if !current.contains(new) => return said(format!("a replica comes to broker {}", id(new))),
        Some(old) => return said(format!("a replica stays on broker {}, which is to be emptied", id(old))),
        None => {}
    }
    if replicas.len() != usize::from(wanted) {
        return said(format!("{} replicas, {wanted} wanted", replicas.len()));
    }
    if problem.has_racks() {
        let mut racks: HashMap<u16, u16> = HashMap::new();
        for broker in replicas {
            *racks.entry(problem.rack[broker.at()]).or_default() += 1;
        }
        let most = racks.values().copied().max().unwrap_or(0);
        if most > problem.rack_cap(wanted) || racks.len() < usize::from(wanted.min(problem.racks)) {
            return said(format!("{most} replicas in one rack, {} racks in all", racks.len()));
        }
    }
    None
}
