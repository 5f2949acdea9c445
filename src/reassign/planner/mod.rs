//! The planner: from what there is to an assignment that keeps every rule, with as few and as small moves as it finds.
//!
//! 1. Replicas that may stay do: not those on brokers to be emptied, not more than wanted, not more than a rack may hold.
//! 2. Replicas that are missing are placed, the largest first, where most bytes are lacking for each replica that is lacking.
//! 3. Counts are levelled, by replicas of the size that brings bytes level too.
//! 4. Bytes are brought within the tolerance, by moves that keep counts level and by swaps.
//! 5. Where few replicas move, some of the moves are taken back and made anew, again and again; what is better is kept.
//! 6. Topics are spread, by exchanging replicas that move anyway.
//! 7. Leaders are levelled, by turning lists round.
//!
//! Deterministic: the same input gives the same plan.

mod improve;
mod keep;
mod leaders;
mod level;
mod place;
mod tolerance;
mod topics;

use super::cluster::{Assignment, BrokerIndex, Problem};
use super::quota::{Quotas, to_f64};

/// Where replicas are to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The brokers of every partition.
    pub assignment: Assignment,
    /// The disk of each replica of the assignment, by its place among the broker's; `None` is left to the broker. Empty where
    /// all are.
    pub disks: Vec<Option<u16>>,
}

/// A plan that keeps the rules and is level, or as level as was found.
pub fn plan(problem: &Problem<'_>, quotas: &Quotas) -> Plan {
    let assignment = assignment(problem, quotas);
    Plan { assignment, disks: Vec::new() }
}

/// Brokers for all partitions.
fn assignment(problem: &Problem<'_>, quotas: &Quotas) -> Assignment {
    if problem.rules.only_disks {
        return problem.cluster.current.clone();
    }
    let mut work = Work::new(problem, quotas);
    work.keep();
    work.place();
    work.level();
    work.within_tolerance();
    work.improve();
    work.spread_topics();
    work.lead();
    work.finish()
}

/// A plan while it is made.
#[derive(Clone)]
struct Work<'p> {
    problem: &'p Problem<'p>,
    quotas: &'p Quotas,
    /// Replicas of each partition; order does not count until leaders are chosen.
    lists: Vec<Vec<u16>>,
    counts: Vec<i64>,
    bytes: Vec<f64>,
    /// Partitions of each broker that have a replica there now, ascending by size; some may have left.
    here: Vec<Vec<u32>>,
    topic_of: Vec<u32>,
    /// Replicas of each topic on each broker.
    spread: Vec<u16>,
    /// Ceiling of a topic's replicas on a broker.
    ceiling: Vec<u16>,
    /// How many bytes one more moved replica is worth.
    replica_price: f64,
}

impl<'p> Work<'p> {
    fn new(problem: &'p Problem<'p>, quotas: &'p Quotas) -> Work<'p> {
        let brokers = problem.is_target.len();
        let cluster = problem.cluster;
        let targets = problem.is_target.iter().filter(|it| **it).count().max(1);
        let mut topic_of = vec![0; cluster.partitions()];
        let mut ceiling = Vec::with_capacity(cluster.topics.len());
        for (number, topic) in cluster.topics.iter().enumerate() {
            let mut wanted = 0usize;
            for partition in topic.partitions.clone() {
                topic_of[partition] = index_u32(number);
                wanted += usize::from(problem.wanted[partition]);
            }
            ceiling.push(u16::try_from(wanted.div_ceil(targets).max(1)).unwrap_or(u16::MAX));
        }
        Work {
            problem,
            quotas,
            lists: vec![Vec::new(); cluster.partitions()],
            counts: vec![0; brokers],
            bytes: vec![0.0; brokers],
            here: vec![Vec::new(); brokers],
            topic_of,
            spread: vec![0; brokers * cluster.topics.len()],
            ceiling,
            replica_price: problem.cluster.sizes.iter().map(|it| to_f64(*it)).sum::<f64>()
                / (problem.cluster.sizes.len().max(1) as f64),
        }
    }

    fn size(&self, partition: usize) -> f64 {
        to_f64(self.problem.cluster.sizes[partition])
    }

    fn spread_at(&self, partition: usize, broker: u16) -> usize {
        self.topic_of[partition] as usize * self.counts.len() + usize::from(broker)
    }

    fn add(&mut self, partition: usize, broker: u16) {
        self.lists[partition].push(broker);
        self.counts[usize::from(broker)] += 1;
        self.bytes[usize::from(broker)] += self.size(partition);
        let at = self.spread_at(partition, broker);
        self.spread[at] += 1;
    }

    fn remove(&mut self, partition: usize, broker: u16) {
        self.lists[partition].retain(|it| *it != broker);
        self.counts[usize::from(broker)] -= 1;
        self.bytes[usize::from(broker)] -= self.size(partition);
        let at = self.spread_at(partition, broker);
        self.spread[at] -= 1;
    }

    fn was_on(&self, partition: usize, broker: u16) -> bool {
        self.problem.cluster.current.of(partition).contains(&BrokerIndex(broker))
    }

    /// Whether the partition may have a replica on `to`, if the one on `without` goes.
    fn may(&self, partition: usize, to: u16, without: Option<u16>) -> bool {
        let list = &self.lists[partition];
        if list.contains(&to) {
            return false;
        }
        if !self.problem.has_racks() {
            return true;
        }
        let rack = |broker: u16| self.problem.rack[usize::from(broker)];
        let wanted = self.problem.wanted[partition];
        let cap = self.problem.rack_cap(wanted);
        let there = list.iter().filter(|it| Some(**it) != without && rack(**it) == rack(to)).count();
        if there >= usize::from(cap) {
            return false;
        }
        // With fewer replicas than a full spread a rack may be doubled only when all have one.
        if wanted <= self.problem.racks || there == 0 {
            return true;
        }
        let mut racks: Vec<u16> = list.iter().filter(|it| Some(**it) != without).map(|it| rack(*it)).collect();
        racks.push(rack(to));
        racks.sort_unstable();
        racks.dedup();
        let left = usize::from(wanted).saturating_sub(list.len() + 1 - usize::from(without.is_some()));
        racks.len() + left >= usize::from(wanted.min(self.problem.racks))
    }

    fn finish(self) -> Assignment {
        let mut assignment = Assignment::new();
        let mut list = Vec::new();
        for it in &self.lists {
            list.clear();
            list.extend(it.iter().map(|broker| BrokerIndex(*broker)));
            assignment.push(&list);
        }
        assignment
    }
}

fn index_u16(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

fn index_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
