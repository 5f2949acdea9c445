//! What a plan changes: which replicas are made anew, where, and which are given up.

use super::cluster::{Assignment, BrokerIndex, BrokerState, Cluster};
use super::plan_json::{ANY_LOG_DIR, PlannedPartition};

/// A broker, and one of its log directories where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The broker.
    pub broker: BrokerIndex,
    /// The log directory, by its place among the broker's.
    pub disk: Option<u16>,
}

/// Who has the replicas of every partition, and on which disks.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// The replicas.
    pub assignment: &'a Assignment,
    /// The disk of each, by its place among the broker's; empty where nothing is known of disks.
    pub disks: &'a [Option<u16>],
}

impl<'a> Layout<'a> {
    /// As it is now.
    pub fn current(cluster: &'a Cluster) -> Layout<'a> {
        Layout { assignment: &cluster.current, disks: &cluster.disks }
    }

    /// Where the replicas of a partition are, in their order. A broker with one disk has them on that.
    pub fn places(self, cluster: &'a Cluster, partition: usize) -> impl Iterator<Item = Place> + Clone {
        let range = self.assignment.range(partition);
        self.assignment.of(partition).iter().zip(range).map(move |(broker, at)| {
            let only = || (cluster.brokers.get(broker.at())?.disks.len() == 1).then_some(0);
            let disk = self.disks.get(at).copied().flatten().or_else(only);
            Place { broker: *broker, disk }
        })
    }
}

/// The disk of each replica of a plan, where it says nothing of those that stay on their broker: they stay on their disk.
pub fn settled(cluster: &Cluster, assignment: &Assignment, disks: &[Option<u16>]) -> Vec<Option<u16>> {
    let mut settled = Vec::with_capacity(assignment.len());
    for partition in 0..assignment.len() {
        let before = Layout::current(cluster).places(cluster, partition);
        for (broker, at) in assignment.of(partition).iter().zip(assignment.range(partition)) {
            let stays = || before.clone().find(|place| place.broker == *broker)?.disk;
            settled.push(disks.get(at).copied().flatten().or_else(stays));
        }
    }
    settled
}

/// What changes of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The partition.
    pub partition: usize,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Where replicas are made anew: on brokers that have none, and on other disks of those that have one.
    pub gains: Vec<Place>,
    /// What is given up once they are made.
    pub leaves: Vec<Place>,
    /// The broker that is copied from: the first of now that lives; `None` where there is none.
    pub source: Option<BrokerIndex>,
}

impl Change {
    /// Every change from what is to `after`, by partition; also where only the order of replicas changes, which moves nothing.
    pub fn all(cluster: &Cluster, after: Layout<'_>) -> Vec<Change> {
        let before = Layout::current(cluster);
        let (mut old, mut new): (Vec<Place>, Vec<Place>) = (Vec::new(), Vec::new());
        let mut changes = Vec::new();
        for partition in 0..cluster.partitions().min(after.assignment.len()) {
            old.clear();
            old.extend(before.places(cluster, partition));
            new.clear();
            new.extend(after.places(cluster, partition));
            if old == new {
                continue;
            }
            let on = |places: &[Place], broker| places.iter().find(|place| place.broker == broker).copied();
            // A replica that stays on its broker moves only where it is told another disk.
            let moves = |old: &Place, new: &Place| new.disk.is_some() && new.disk != old.disk;
            let gains = new.iter().filter(|new| on(&old, new.broker).is_none_or(|old| moves(&old, new)));
            let leaves = old.iter().filter(|old| on(&new, old.broker).is_none_or(|new| moves(old, &new)));
            let (gains, leaves): (Vec<Place>, Vec<Place>) = (gains.copied().collect(), leaves.copied().collect());
            let is_reordered = !old.iter().map(|it| it.broker).eq(new.iter().map(|it| it.broker));
            if is_reordered || !gains.is_empty() {
                let lives = |place: &&Place| cluster.brokers[place.broker.at()].state != BrokerState::Dead;
                let source = old.iter().find(lives).map(|place| place.broker);
                changes.push(Change { partition, bytes: cluster.sizes[partition], gains, leaves, source });
            }
        }
        changes
    }

    /// Whether a replica is made anew on this broker although it has one: on another of its disks.
    pub fn is_within(&self, gain: Place) -> bool {
        self.leaves.iter().any(|leave| leave.broker == gain.broker)
    }

    /// The partition as `layout` has it, for the tool: the log directories of `named` are named, others left to the broker.
    pub fn planned(&self, cluster: &Cluster, layout: Layout<'_>, number: i32, named: &[Place]) -> PlannedPartition {
        let places: Vec<Place> = layout.places(cluster, self.partition).collect();
        let path = |place: &Place| {
            let disks = &cluster.brokers.get(place.broker.at())?.disks;
            Some(disks.get(usize::from(place.disk?))?.path.clone())
        };
        let log_dir = |place: &Place| {
            Some(place).filter(|it| named.contains(it)).and_then(path).unwrap_or(ANY_LOG_DIR.to_owned())
        };
        PlannedPartition {
            topic: cluster.name(self.partition).0.to_owned(),
            partition: number,
            replicas: places.iter().map(|it| cluster.brokers.get(it.broker.at()).map_or(-1, |it| it.id)).collect(),
            log_dirs: Some(places.iter().map(log_dir).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cluster::{Broker, Disk, Topic};
    use super::*;

    fn cluster() -> Cluster {
        let disk = |name: &str| Disk { path: format!("/{name}"), capacity: None };
        let broker = |id: i32, disks: &[&str]| Broker {
            id,
            rack: None,
            state: BrokerState::Keep,
            disks: disks.iter().map(|name| disk(name)).collect(),
        };
        let mut current = Assignment::new();
        current.push(&[BrokerIndex(0), BrokerIndex(1)]);
        current.push(&[BrokerIndex(1)]);
        Cluster {
            brokers: vec![broker(1, &["a", "b"]), broker(2, &["c"]), broker(3, &["d", "e"])],
            topics: vec![Topic { name: "t".to_owned(), partitions: 0..2 }],
            sizes: vec![10, 20],
            current,
            disks: vec![Some(0), None, None],
        }
    }

    #[test]
    fn replicas_are_made_on_other_brokers_and_on_other_disks() {
        let cluster = cluster();
        let place = |broker: u16, disk: Option<u16>| Place { broker: BrokerIndex(broker), disk };
        type Case<'a> = (&'a [u16], &'a [Option<u16>], Option<(Vec<Place>, Vec<Place>)>);
        let cases: [Case<'_>; 6] = [
            (&[0, 1], &[None, None], None),
            (&[0, 1], &[Some(0), Some(0)], None),
            (&[1, 0], &[None, None], Some((vec![], vec![]))),
            (&[0, 1], &[Some(1), None], Some((vec![place(0, Some(1))], vec![place(0, Some(0))]))),
            (&[2, 1], &[Some(1), None], Some((vec![place(2, Some(1))], vec![place(0, Some(0))]))),
            (&[0], &[None], Some((vec![], vec![place(1, Some(0))]))),
        ];
        for (replicas, disks, expected) in cases {
            let mut assignment = Assignment::new();
            assignment.push(&replicas.iter().map(|it| BrokerIndex(*it)).collect::<Vec<_>>());
            assignment.push(&[BrokerIndex(1)]);
            let disks = settled(&cluster, &assignment, &[disks, &[None]].concat());
            let changes = Change::all(&cluster, Layout { assignment: &assignment, disks: &disks });
            let found = changes.first().map(|it| (it.gains.clone(), it.leaves.clone()));
            assert_eq!(found, expected, "{replicas:?} {disks:?}");
            assert!(changes.len() <= 1, "partition 1 stays");
        }
    }

    #[test]
    fn the_tool_is_told_a_log_directory_where_it_matters() {
        let cluster = cluster();
        let mut assignment = Assignment::new();
        assignment.push(&[BrokerIndex(2), BrokerIndex(1)]);
        assignment.push(&[BrokerIndex(1)]);
        let after = Layout { assignment: &assignment, disks: &[Some(1), None, None] };
        let change = &Change::all(&cluster, after)[0];
        let there = change.planned(&cluster, after, 0, &change.gains);
        assert_eq!((there.replicas, there.log_dirs), (vec![3, 2], Some(vec!["/e".to_owned(), "any".to_owned()])));
        let back = change.planned(&cluster, Layout::current(&cluster), 0, &change.leaves);
        assert_eq!((back.replicas, back.log_dirs), (vec![1, 2], Some(vec!["/a".to_owned(), "any".to_owned()])));
    }
}
