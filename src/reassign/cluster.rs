//! Brokers, disks and partitions, and an assignment of the ones to the others.
//!
//! Made for a million partitions: a partition is a number, and all lists are one array each.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A broker by its place in [`Cluster::brokers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerIndex(pub u16);

impl BrokerIndex {
    /// As an index of slices.
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// What becomes of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BrokerState {
    /// It stays.
    #[default]
    Keep,
    /// It has just joined.
    New,
    /// It is to be emptied.
    Drain,
    /// It is gone, with all it had.
    Dead,
}

impl BrokerState {
    /// Whether nothing is to be left on it.
    pub const fn is_emptied(self) -> bool {
        matches!(self, BrokerState::Drain | BrokerState::Dead)
    }
}

/// A log directory of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its path there.
    pub path: String,
    /// What it can hold, in bytes; `None` where that is not known.
    pub capacity: Option<u64>,
}

impl Disk {
    /// Most bytes it may have when this part of it is to stay free; infinite where its capacity is not known.
    pub fn limit(&self, headroom: Option<f64>) -> f64 {
        let free = headroom.unwrap_or(0.0).clamp(0.0, 1.0);
        self.capacity.map_or(f64::INFINITY, |capacity| super::quota::to_f64(capacity) * (1.0 - free))
    }
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Its `node.id`.
    pub id: i32,
    /// Its `broker.rack`.
    pub rack: Option<String>,
    /// What becomes of it.
    pub state: BrokerState,
    /// Its log directories, where they are known.
    pub disks: Vec<Disk>,
}

/// A topic and its partitions, which follow one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its partitions' numbers in the cluster; the first is its partition 0.
    pub partitions: Range<usize>,
}

/// The replicas of every partition; the first is the preferred leader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Where the replicas of each partition begin, and where the last ends.
    starts: Vec<u32>,
    replicas: Vec<BrokerIndex>,
}

impl Assignment {
    /// Of no partition yet.
    pub fn new() -> Assignment {
        Assignment { starts: vec![0], replicas: Vec::new() }
    }

    /// Adds the next partition.
    pub fn push(&mut self, replicas: &[BrokerIndex]) {
        self.replicas.extend_from_slice(replicas);
        self.starts.push(u32::try_from(self.replicas.len()).unwrap_or(u32::MAX));
    }

    /// Number of partitions.
    pub const fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the replicas of a partition are among all.
    pub fn range(&self, partition: usize) -> Range<usize> {
        let at = |index: usize| self.starts.get(index).map_or(0, |start| *start as usize);
        at(partition)..at(partition + 1)
    }

    /// The replicas of a partition.
    pub fn of(&self, partition: usize) -> &[BrokerIndex] {
        self.replicas.get(self.range(partition)).unwrap_or_default()
    }

    /// The replicas of each partition.
    pub fn iter(&self) -> impl Iterator<Item = &[BrokerIndex]> {
        (0..self.len()).map(|partition| self.of(partition))
    }
}

/// What there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Brokers, ascending by their ids.
    pub brokers: Vec<Broker>,
    /// Topics, with their partitions one after the other.
    pub topics: Vec<Topic>,
    /// Size of each partition, in bytes.
    pub sizes: Vec<u64>,
    /// Who has it.
    pub current: Assignment,
    /// The disk of each replica of `current`, by its place among the broker's; empty where nothing is known of disks.
    pub disks: Vec<Option<u16>>,
}

impl Cluster {
    /// The broker with this id.
    pub fn broker(&self, id: i32) -> Option<BrokerIndex> {
        let found = self.brokers.binary_search_by_key(&id, |broker| broker.id).ok()?;
        u16::try_from(found).ok().map(BrokerIndex)
    }

    /// Brokers that are to have replicas.
    pub fn targets(&self) -> impl Iterator<Item = BrokerIndex> {
        let all = self.brokers.iter().zip(0u16..);
        all.filter(|(broker, _)| !broker.state.is_emptied()).map(|(_, index)| BrokerIndex(index))
    }

    /// The disk of a partition's replica on a broker, by its place among the broker's; `None` where it has none there, or on a
    /// disk that is not known.
    pub fn disk_of(&self, partition: usize, broker: BrokerIndex) -> Option<u16> {
        let place = self.current.of(partition).iter().position(|it| *it == broker)?;
        let disk = *self.disks.get(self.current.range(partition).start + place)?;
        disk.filter(|disk| usize::from(*disk) < self.brokers.get(broker.at()).map_or(0, |it| it.disks.len()))
    }

    /// Number of partitions.
    pub const fn partitions(&self) -> usize {
        self.sizes.len()
    }

    /// The partition of this name.
    pub fn partition(&self, topic: &str, number: i32) -> Option<usize> {
        let found = self.topics.iter().find(|it| it.name == topic)?;
        let at = found.partitions.start.checked_add(usize::try_from(number).ok()?)?;
        found.partitions.contains(&at).then_some(at)
    }

    /// Topic and number of a partition.
    pub fn name(&self, partition: usize) -> (&str, usize) {
        let at = self.topics.partition_point(|topic| topic.partitions.end <= partition);
        self.topics.get(at).map_or(("", partition), |topic| (&*topic.name, partition - topic.partitions.start))
    }
}

/// How many replicas partitions are to have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Replication {
    /// As many as they have.
    #[default]
    Keep,
    /// So many.
    All(usize),
    /// So many of these topics, of the others as many as they have.
    Topics(BTreeMap<String, usize>),
}

impl Replication {
    /// How many replicas a partition of a topic is to have that has so many.
    pub fn of(&self, topic: &str, current: usize) -> usize {
        match self {
            Replication::Keep => current,
            Replication::All(count) => *count,
            Replication::Topics(counts) => counts.get(topic).copied().unwrap_or(current),
        }
    }
}

/// What a plan has to keep to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    /// Replicas of a partition stand in racks as different as possible.
    pub spreads_racks: bool,
    /// How far a broker's bytes may be from its fair share, as a part of it.
    pub bytes_tolerance: Option<f64>,
    /// Replication factors.
    pub replication: Replication,
    /// How far a disk's bytes may be from its share of its broker's.
    pub disk_tolerance: Option<f64>,
    /// Only disks within brokers are balanced: replica lists stay.
    pub only_disks: bool,
    /// Part of each disk's capacity that is to stay free.
    pub headroom: Option<f64>,
    /// Partitions of which nothing changes.
    pub pinned: BTreeSet<usize>,
    /// Ids of brokers that neither give nor take; the others are levelled.
    pub excluded: BTreeSet<i32>,
}

/// A cluster and its rules, made ready: who may have what.
#[derive(Debug, Clone)]
pub struct Problem<'c> {
    /// What there is.
    pub cluster: &'c Cluster,
    /// What a plan has to keep to.
    pub rules: &'c Rules,
    /// Wanted number of replicas of each partition, not more than there are brokers for; of a fixed one as many as it has.
    pub wanted: Vec<u16>,
    /// How many of them are on brokers that are levelled.
    pub levelled: Vec<u16>,
    /// Whether a broker is to have replicas, and is levelled with the others.
    pub is_target: Vec<bool>,
    /// Whether a partition stays as it is: it is pinned, or nobody is left to copy it from.
    pub is_fixed: Vec<bool>,
    /// The rack of each broker, by number, those of targets first; all the same where racks do not matter.
    pub rack: Vec<u16>,
    /// How many racks the brokers that are to have replicas are in.
    pub racks: u16,
}

impl<'c> Problem<'c> {
    /// Puts both together.
    pub fn new(cluster: &'c Cluster, rules: &'c Rules) -> Problem<'c> {
        let is_target: Vec<bool> =
            cluster.brokers.iter().map(|it| !it.state.is_emptied() && !rules.excluded.contains(&it.id)).collect();
        let (rack, racks) = racks(cluster, rules, &is_target);
        let partitions = cluster.partitions();
        let (wanted, levelled) = (Vec::with_capacity(partitions), Vec::with_capacity(partitions));
        let is_fixed = Vec::with_capacity(partitions);
        let mut problem = Problem { cluster, rules, wanted, levelled, is_target, is_fixed, rack, racks };
        let targets = problem.is_target.iter().filter(|it| **it).count();
        for topic in &cluster.topics {
            for partition in topic.partitions.clone() {
                let current = cluster.current.of(partition);
                let count = |is: &dyn Fn(usize) -> bool| current.iter().filter(|it| is(it.at())).count();
                let dead = count(&|it| cluster.brokers[it].state == BrokerState::Dead);
                let is_fixed = rules.pinned.contains(&partition) || (dead > 0 && dead == current.len());
                let (wanted, levelled) = if is_fixed {
                    (current.len(), count(&|it| problem.is_target[it]))
                } else {
                    let excluded = count(&|it| problem.is_excluded(it));
                    let wanted = rules.replication.of(&topic.name, current.len()).min(targets + excluded);
                    (wanted, wanted.saturating_sub(excluded))
                };
                problem.is_fixed.push(is_fixed);
                problem.wanted.push(u16::try_from(wanted).unwrap_or(u16::MAX));
                problem.levelled.push(u16::try_from(levelled).unwrap_or(u16::MAX));
            }
        }
        problem
    }

    /// Whether a broker keeps what it has and takes no more.
    pub fn is_excluded(&self, broker: usize) -> bool {
        !self.is_target[broker] && !self.cluster.brokers[broker].state.is_emptied()
    }

    /// Most bytes a broker may have; infinite where the capacity of a disk is not known.
    pub fn limit(&self, broker: usize) -> f64 {
        let disks = &self.cluster.brokers[broker].disks;
        if disks.is_empty() {
            return f64::INFINITY;
        }
        disks.iter().map(|disk| disk.limit(self.rules.headroom)).sum()
    }

    /// Whether racks matter.
    pub const fn has_racks(&self) -> bool {
        self.racks > 1
    }

    /// Most replicas of a partition that one rack may hold, of so many in all.
    pub const fn rack_cap(&self, wanted: u16) -> u16 {
        if self.racks == 0 { wanted } else { wanted.div_ceil(self.racks) }
    }

    /// All replicas that are wanted on brokers that are levelled.
    pub fn total(&self) -> u64 {
        self.levelled.iter().map(|count| u64::from(*count)).sum()
    }
}

/// The number of each broker's rack, and how many racks targets are in; all one where replicas are not spread over racks.
fn racks(cluster: &Cluster, rules: &Rules, is_target: &[bool]) -> (Vec<u16>, u16) {
    let name = |broker: &'_ Broker| broker.rack.clone();
    let targets = || cluster.brokers.iter().zip(is_target).filter(|(_, is_target)| **is_target).map(|(it, _)| it);
    if !rules.spreads_racks || targets().any(|broker| broker.rack.is_none()) {
        return (vec![0; cluster.brokers.len()], 1);
    }
    let of_targets: BTreeSet<Option<String>> = targets().map(name).collect();
    let all: BTreeSet<Option<String>> = cluster.brokers.iter().map(name).collect();
    let ordered = of_targets.iter().chain(all.difference(&of_targets));
    let numbers: BTreeMap<&Option<String>, u16> = ordered.zip(0u16..).collect();
    let number = |broker: &Broker| numbers.get(&broker.rack).copied().unwrap_or(u16::MAX);
    (cluster.brokers.iter().map(number).collect(), u16::try_from(of_targets.len()).unwrap_or(u16::MAX))
}
