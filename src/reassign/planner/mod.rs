//! The planner: from what there is to an assignment that keeps every rule, with as few and as small moves as it finds.
//!
//! 1. Replicas that may stay do: not those on brokers to be emptied, not more than wanted, not more than a rack may hold.
//! 2. Replicas that are missing are placed, the largest first, where most bytes are lacking for each replica that is lacking.
//! 3. Counts are levelled, by replicas of the size that brings bytes level too.
//! 4. Bytes are brought within the tolerance, by moves that keep counts level and by swaps.
//! 5. Where few replicas move, or a rule is not met, changes are tried, hundreds of thousands of them; what is better is kept.
//! 6. Topics are spread, by exchanging replicas that move anyway.
//! 7. Leaders are levelled, by turning lists round.
//! 8. Replicas get disks, where disks are known.
//!
//! Deterministic: the same input gives the same plan.

mod chains;
mod crowd;
mod disks;
mod improve;
mod keep;
mod leaders;
mod level;
mod place;
mod shortfall;
#[cfg(test)]
mod tests;
mod tolerance;
mod topics;

use super::cluster::{Assignment, BrokerIndex, Problem};
use super::quota::{Quotas, to_f64};
use crowd::Crowd;
pub use shortfall::{Cause, Shortfall};

/// By how much less than the tolerance, in parts of the fair share, bytes are allowed to be off: the last few may find no partition.
const EDGE: f64 = 5e-5;

/// Where replicas are to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The brokers of every partition.
    pub assignment: Assignment,
    /// The disk of each replica of the assignment, by its place among the broker's; `None` is left to the broker. Empty where
    /// all are.
    pub disks: Vec<Option<u16>>,
    /// What it does not come to, and which rule forbids it.
    pub shortfalls: Vec<Shortfall>,
}

/// A plan that keeps the rules and is level, or as level as was found.
pub fn plan(problem: &Problem<'_>, quotas: &Quotas) -> Plan {
    let assignment = assignment(problem, quotas);
    let disks = disks::disks(problem, &assignment);
    let mut plan = Plan { assignment, disks, shortfalls: Vec::new() };
    plan.shortfalls = shortfall::shortfalls(problem, quotas, &plan);
    plan
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
///
/// Partitions are numbered by size here, the smallest first, so that a list of partitions in order is one by size.
struct Work<'p> {
    problem: &'p Problem<'p>,
    quotas: &'p Quotas,
    partitions: Vec<Partition>,
    /// For each partition the brokers it is on now, and after them those it was on.
    places: Vec<u16>,
    counts: Vec<i64>,
    bytes: Vec<f64>,
    /// Partitions that have a replica on each broker and may leave it, ascending.
    here: Vec<Vec<u32>>,
    /// Replicas on each broker that were not there.
    fresh: Vec<u32>,
    crowd: Crowd,
    /// Replicas that are made anew, and their bytes.
    moved: (u32, f64),
    /// Fewest bytes each broker should have.
    least: Vec<f64>,
    /// Most bytes it should have.
    most: Vec<f64>,
    /// Most bytes it may have.
    limit: Vec<f64>,
    /// Whether anything is asked of bytes.
    has_edges: bool,
    /// Mean size of a partition: what one more moved replica is worth beside its bytes.
    replica_price: f64,
    /// Whether no replica can go to another rack, because every rack has the most it may have of each partition.
    has_full_racks: bool,
    /// Whether a partition was on more brokers than it is to be on: which of them it leaves costs nothing.
    has_cuts: bool,
    /// How many partitions are looked at for one that suits.
    looks: usize,
    /// What went from where to where, while somebody may want to take it back.
    journal: Option<Vec<(usize, u16, u16)>>,
}

/// What is at hand of a partition; all that is asked of it again and again lies together.
struct Partition {
    size: f64,
    /// Its number in the cluster.
    number: u32,
    topic: u32,
    /// Where its brokers begin among all places.
    start: u32,
    /// How many it is on.
    len: u16,
    /// How many it may be on: where the brokers begin that it was on.
    room: u16,
    /// How many it was on.
    old: u16,
    wanted: u16,
    is_fixed: bool,
}

impl<'p> Work<'p> {
    fn new(problem: &'p Problem<'p>, quotas: &'p Quotas) -> Work<'p> {
        let brokers = problem.is_target.len();
        let cluster = problem.cluster;
        let mut order: Vec<u32> = (0..index_u32(cluster.partitions())).collect();
        order.sort_unstable_by_key(|it| (cluster.sizes[*it as usize], *it));
        let mut topic_of = vec![0; cluster.partitions()];
        for (topic, number) in cluster.topics.iter().zip(0..) {
            topic_of[topic.partitions.clone()].fill(number);
        }
        let mut partitions = Vec::with_capacity(order.len());
        let mut places = Vec::new();
        for number in order {
            let (old, wanted) = (cluster.current.of(number as usize), problem.wanted[number as usize]);
            let room = old.len().max(usize::from(wanted));
            let start = index_u32(places.len());
            places.resize(places.len() + room, 0);
            places.extend(old.iter().map(|it| it.0));
            let size = to_f64(cluster.sizes[number as usize]);
            let (topic, room, old) = (topic_of[number as usize], index_u16(room), index_u16(old.len()));
            let is_fixed = problem.is_fixed[number as usize];
            partitions.push(Partition { size, number, topic, start, len: 0, room, old, wanted, is_fixed });
        }
        let tolerance = problem.rules.bytes_tolerance.map(|it| (it - EDGE).max(it * 0.99));
        let limit: Vec<f64> = (0..brokers).map(|it| problem.limit(it)).collect();
        let most = |(share, limit): (&f64, &f64)| tolerance.map_or(*limit, |it| limit.min(share * (1.0 + it)));
        let most: Vec<f64> = quotas.bytes.iter().zip(&limit).map(most).collect();
        let least = |(share, most): (&f64, &f64)| tolerance.map_or(0.0, |it| most.min(share * (1.0 - it)));
        let least = quotas.bytes.iter().zip(&most).map(least).collect();
        let total: f64 = partitions.iter().map(|it| it.size).sum();
        Work {
            problem,
            quotas,
            replica_price: total / partitions.len().max(1) as f64,
            crowd: Crowd::new(problem, &partitions),
            partitions,
            places,
            counts: vec![0; brokers],
            bytes: vec![0.0; brokers],
            here: vec![Vec::new(); brokers],
            fresh: vec![0; brokers],
            moved: (0, 0.0),
            has_edges: tolerance.is_some() || limit.iter().any(|it| it.is_finite()),
            least,
            most,
            limit,
            has_full_racks: problem.has_racks() && problem.wanted.iter().all(|it| it % problem.racks == 0),
            has_cuts: cluster.current.iter().zip(&problem.wanted).any(|(old, wanted)| old.len() > usize::from(*wanted)),
            // The more there are, the nearer is one that suits.
            looks: (20_000_000 / cluster.partitions().max(1)).clamp(48, 400),
            journal: None,
        }
    }

    /// The brokers a partition is on; their order does not count until leaders are chosen.
    fn list(&self, partition: usize) -> &[u16] {
        let it = &self.partitions[partition];
        &self.places[it.start as usize..][..usize::from(it.len)]
    }

    /// The brokers it was on.
    fn old(&self, partition: usize) -> &[u16] {
        let it = &self.partitions[partition];
        &self.places[it.start as usize + usize::from(it.room)..][..usize::from(it.old)]
    }

    fn was_on(&self, partition: usize, broker: u16) -> bool {
        self.old(partition).contains(&broker)
    }

    fn size(&self, partition: usize) -> f64 {
        self.partitions[partition].size
    }

    /// Brokers that are to have replicas.
    fn targets(&self) -> Vec<u16> {
        (0..index_u16(self.counts.len())).filter(|it| self.problem.is_target[usize::from(*it)]).collect()
    }

    fn add(&mut self, partition: usize, broker: u16) {
        let it = &mut self.partitions[partition];
        let Some(place) = self.places.get_mut(it.start as usize + usize::from(it.len)) else { return };
        *place = broker;
        it.len += 1;
        let (at, size) = (usize::from(broker), it.size);
        self.counts[at] += 1;
        self.bytes[at] += size;
        self.crowd.add(it.topic, broker);
        if !self.was_on(partition, broker) {
            self.fresh[at] += 1;
            self.moved.0 += 1;
            self.moved.1 += size;
        }
        if self.partitions[partition].is_fixed {
            return;
        }
        let number = index_u32(partition);
        let here = &mut self.here[at];
        match here.last() {
            Some(last) if *last > number => here.insert(here.partition_point(|it| *it < number), number),
            _ => here.push(number),
        }
    }

    fn remove(&mut self, partition: usize, broker: u16) {
        let it = &mut self.partitions[partition];
        let list = &mut self.places[it.start as usize..][..usize::from(it.len)];
        let Some(place) = list.iter().position(|it| *it == broker) else { return };
        list[place..].rotate_left(1);
        it.len -= 1;
        let (at, size) = (usize::from(broker), it.size);
        self.counts[at] -= 1;
        self.bytes[at] -= size;
        self.crowd.remove(it.topic, broker);
        if !self.was_on(partition, broker) {
            self.fresh[at] -= 1;
            self.moved.0 -= 1;
            self.moved.1 -= size;
        }
        if let Ok(place) = self.here[at].binary_search(&index_u32(partition)) {
            self.here[at].remove(place);
        }
    }

    /// A replica goes from `a` to `b`.
    fn go(&mut self, partition: usize, a: u16, b: u16) {
        self.remove(partition, a);
        self.add(partition, b);
        if let Some(journal) = &mut self.journal {
            journal.push((partition, a, b));
        }
    }

    /// How many more replicas of the partition's topic a broker may have; below zero when it has too many.
    fn topic_room(&self, partition: usize, broker: u16) -> i32 {
        self.crowd.room(self.partitions[partition].topic, broker, |it| self.list(it).contains(&broker))
    }

    /// Whether the partition may have a replica on `to`, if the one on `without` goes.
    fn may(&self, partition: usize, to: u16, without: Option<u16>) -> bool {
        let list = self.list(partition);
        if list.contains(&to) {
            return false;
        }
        if !self.problem.has_racks() {
            return true;
        }
        let rack = |broker: u16| self.problem.rack[usize::from(broker)];
        let wanted = self.partitions[partition].wanted;
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

    /// Whether there is room on a broker for one more replica.
    fn has_room(&self, partition: usize, broker: u16) -> bool {
        self.bytes[usize::from(broker)] + self.size(partition) <= self.limit[usize::from(broker)]
    }

    /// Whether any replica may go from the one broker to the other, as far as racks tell.
    fn may_ever(&self, a: u16, b: u16) -> bool {
        !self.has_full_racks || self.problem.rack[usize::from(a)] == self.problem.rack[usize::from(b)]
    }

    fn finish(self) -> Assignment {
        let mut at = vec![0; self.partitions.len()];
        for (partition, it) in self.partitions.iter().enumerate() {
            at[it.number as usize] = partition;
        }
        let mut assignment = Assignment::new();
        let mut list = Vec::new();
        for partition in at {
            list.clear();
            list.extend(self.list(partition).iter().map(|broker| BrokerIndex(*broker)));
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
