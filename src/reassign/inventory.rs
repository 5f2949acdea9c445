//! A cluster put together from what is known of it: directories, metadata, a list of replicas.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{Assignment, Broker, BrokerIndex, BrokerState, Cluster, Disk, Topic};

/// A partition by its topic and number.
pub type Partition = (String, i32);

/// The replicas of each partition in their order, with the log directory of each where it is named.
pub type ReplicaLists = BTreeMap<Partition, Vec<(i32, Option<String>)>>;

/// A log directory that was looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDir {
    /// The broker that it is of.
    pub broker: i32,
    /// The directory.
    pub disk: Disk,
    /// The partitions in it, with the bytes of their logs.
    pub partitions: Vec<(Partition, u64)>,
}

/// What is known of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Brokers with their racks.
    pub brokers: BTreeMap<i32, Option<String>>,
    /// The replicas of each partition; `None` where only directories tell.
    pub replicas: Option<ReplicaLists>,
    /// Log directories that were looked into.
    pub dirs: Vec<FoundDir>,
}

/// A cluster, and what its arrays do not hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// The cluster. Partitions of a topic of which only some are known follow one another.
    pub cluster: Cluster,
    /// The number of each partition in its topic.
    pub numbers: Vec<i32>,
    /// Partitions whose size is not known, and is taken for 0.
    pub unsized_partitions: usize,
    /// The order of replicas is not known: the ids ascend.
    pub is_unordered: bool,
    /// Brokers that have replicas and that nothing else is known of.
    pub strangers: Vec<i32>,
}

impl Inventory {
    /// Of a cluster whose partitions are all there.
    pub fn of(cluster: Cluster) -> Inventory {
        let numbers = cluster.topics.iter().flat_map(|topic| 0..topic.partitions.len());
        Inventory {
            numbers: numbers.map(|number| i32::try_from(number).unwrap_or(i32::MAX)).collect(),
            cluster,
            unsized_partitions: 0,
            is_unordered: false,
            strangers: Vec::new(),
        }
    }

    /// Puts together what is known.
    ///
    /// Where replica lists are known only partitions that they name count: others lie in directories that a broker would set
    /// aside. A partition is as large as its largest replica: those that are smaller have not caught up, or were cleaned.
    pub fn put_together(known: Known) -> Inventory {
        let Known { brokers, replicas, dirs } = known;
        let is_unordered = replicas.is_none();
        let mut sizes: BTreeMap<&Partition, u64> = BTreeMap::new();
        let mut held: BTreeMap<(&Partition, i32), &str> = BTreeMap::new();
        let mut found: BTreeMap<&Partition, BTreeSet<i32>> = BTreeMap::new();
        for dir in &dirs {
            for (partition, bytes) in &dir.partitions {
                let size = sizes.entry(partition).or_default();
                *size = (*size).max(*bytes);
                held.insert((partition, dir.broker), &dir.disk.path);
                found.entry(partition).or_default().insert(dir.broker);
            }
        }
        let mut replicas: ReplicaLists = replicas.unwrap_or_else(|| {
            let list = |ids: &BTreeSet<i32>| ids.iter().map(|id| (*id, None)).collect();
            found.iter().map(|(partition, ids)| ((*partition).clone(), list(ids))).collect()
        });
        // What a directory shows goes before what a list says of it.
        for (partition, list) in &mut replicas {
            for (broker, log_dir) in list {
                if let Some(path) = held.get(&(partition, *broker)) {
                    *log_dir = Some((*path).to_owned());
                }
            }
        }
        let mut disks: BTreeMap<i32, BTreeMap<String, Option<u64>>> = BTreeMap::new();
        let named = replicas.values().flatten().filter_map(|(broker, log_dir)| Some((*broker, log_dir.clone()?)));
        for (broker, path) in named {
            disks.entry(broker).or_default().entry(path).or_default();
        }
        for dir in &dirs {
            disks.entry(dir.broker).or_default().insert(dir.disk.path.clone(), dir.disk.capacity);
        }
        let in_lists: BTreeSet<i32> = replicas.values().flatten().map(|(broker, _)| *broker).collect();
        let strangers =
            in_lists.iter().filter(|id| !brokers.is_empty() && !brokers.contains_key(id)).copied().collect();
        let mut ids: BTreeSet<i32> = brokers.keys().copied().chain(dirs.iter().map(|dir| dir.broker)).collect();
        ids.extend(in_lists);
        let broker = |id: i32| Broker {
            id,
            rack: brokers.get(&id).cloned().flatten(),
            state: BrokerState::Keep,
            disks: disks.remove(&id).into_iter().flatten().map(|(path, capacity)| Disk { path, capacity }).collect(),
        };
        let mut cluster = Cluster { brokers: ids.into_iter().map(broker).collect(), ..Cluster::default() };
        cluster.current = Assignment::new();
        let mut inventory = Inventory { is_unordered, strangers, ..Inventory::of(cluster) };
        for (partition, list) in &replicas {
            let size = sizes.get(partition).copied();
            inventory.unsized_partitions += usize::from(size.is_none());
            inventory.add(partition, size.unwrap_or(0), list);
        }
        if inventory.cluster.disks.iter().all(Option::is_none) {
            inventory.cluster.disks.clear();
        }
        inventory
    }

    /// Adds the next partition in the order of names and numbers.
    fn add(&mut self, (topic, number): &Partition, size: u64, list: &[(i32, Option<String>)]) {
        let at = self.cluster.sizes.len();
        if self.cluster.topics.last().is_none_or(|last| last.name != *topic) {
            self.cluster.topics.push(Topic { name: topic.clone(), partitions: at..at });
        }
        if let Some(last) = self.cluster.topics.last_mut() {
            last.partitions.end = at + 1;
        }
        let known = list.iter().filter_map(|(id, log_dir)| Some((self.cluster.broker(*id)?, log_dir)));
        let (mut replicas, mut places): (Vec<BrokerIndex>, Vec<Option<u16>>) = (Vec::new(), Vec::new());
        for (broker, log_dir) in known {
            let disks = &self.cluster.brokers[broker.at()].disks;
            let place = log_dir.as_ref().and_then(|path| disks.iter().position(|disk| disk.path == *path));
            replicas.push(broker);
            places.push(place.and_then(|place| u16::try_from(place).ok()));
        }
        self.cluster.current.push(&replicas);
        self.cluster.disks.extend(places);
        self.cluster.sizes.push(size);
        self.numbers.push(*number);
    }

    /// Takes sizes from directories, of the partitions that are in one.
    pub fn take_sizes(&mut self, dirs: &[FoundDir]) {
        let mut sizes: BTreeMap<&Partition, u64> = BTreeMap::new();
        for (partition, bytes) in dirs.iter().flat_map(|dir| &dir.partitions) {
            let size = sizes.entry(partition).or_default();
            *size = (*size).max(*bytes);
        }
        for partition in 0..self.cluster.partitions() {
            let (topic, number) = self.name(partition);
            if let Some(size) = sizes.get(&(topic.to_owned(), number)) {
                self.cluster.sizes[partition] = *size;
            }
        }
    }

    /// Adds brokers that are not there yet, with their racks.
    pub fn add_brokers(&mut self, brokers: impl IntoIterator<Item = (i32, Option<String>)>) {
        let old: Vec<i32> = self.cluster.brokers.iter().map(|broker| broker.id).collect();
        for (id, rack) in brokers {
            if let Err(at) = self.cluster.brokers.binary_search_by_key(&id, |broker| broker.id) {
                let broker = Broker { id, rack, state: BrokerState::New, disks: Vec::new() };
                self.cluster.brokers.insert(at, broker);
            }
        }
        // Those behind a new one have moved up.
        let moved: Vec<BrokerIndex> = old.iter().filter_map(|id| self.cluster.broker(*id)).collect();
        let mut current = Assignment::new();
        let mut list = Vec::new();
        for replicas in self.cluster.current.iter() {
            list.clear();
            list.extend(replicas.iter().filter_map(|broker| moved.get(broker.at())));
            current.push(&list);
        }
        self.cluster.current = current;
    }

    /// Topic and number of a partition.
    pub fn name(&self, partition: usize) -> (&str, i32) {
        (self.cluster.name(partition).0, self.numbers.get(partition).copied().unwrap_or(-1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(broker: i32, path: &str, partitions: &[(&str, i32, u64)]) -> FoundDir {
        FoundDir {
            broker,
            disk: Disk { path: path.to_owned(), capacity: Some(1_000) },
            partitions: partitions.iter().map(|(topic, at, bytes)| (((*topic).to_owned(), *at), *bytes)).collect(),
        }
    }

    fn lists(inventory: &Inventory) -> Vec<(String, Vec<i32>, u64)> {
        let cluster = &inventory.cluster;
        let of = |partition: usize| {
            let (topic, number) = inventory.name(partition);
            let ids = cluster.current.of(partition).iter().map(|it| cluster.brokers[it.at()].id).collect();
            (format!("{topic}-{number}"), ids, cluster.sizes[partition])
        };
        (0..cluster.partitions()).map(of).collect()
    }

    #[test]
    fn directories_alone_give_sizes_and_no_order() {
        let dirs = vec![dir(2, "/b", &[("t", 0, 5), ("u", 7, 1)]), dir(1, "/a", &[("t", 0, 6)]), dir(1, "/c", &[])];
        let inventory = Inventory::put_together(Known { dirs, ..Known::default() });
        assert_eq!(lists(&inventory), [("t-0".to_owned(), vec![1, 2], 6), ("u-7".to_owned(), vec![2], 1)]);
        assert!(inventory.is_unordered);
        assert_eq!(inventory.cluster.disks, [Some(0), Some(0), Some(0)]);
        assert_eq!(inventory.cluster.brokers[0].disks.len(), 2);
    }

    #[test]
    fn lists_say_who_and_directories_how_large() {
        let known = Known {
            brokers: [(1, Some("r1".to_owned())), (2, None), (4, None)].into(),
            replicas: Some(BTreeMap::from([
                (("t".to_owned(), 0), vec![(2, None), (1, None)]),
                (("t".to_owned(), 3), vec![(9, Some("/x".to_owned())), (1, None)]),
            ])),
            dirs: vec![dir(1, "/a", &[("t", 0, 6), ("stray", 0, 1)])],
        };
        let inventory = Inventory::put_together(known);
        assert_eq!(lists(&inventory), [("t-0".to_owned(), vec![2, 1], 6), ("t-3".to_owned(), vec![9, 1], 0)]);
        assert_eq!((inventory.is_unordered, inventory.unsized_partitions), (false, 1));
        assert_eq!(inventory.strangers, [9]);
        assert_eq!(inventory.cluster.disks, [None, Some(0), Some(0), None]);
        let ids: Vec<i32> = inventory.cluster.brokers.iter().map(|it| it.id).collect();
        assert_eq!(ids, [1, 2, 4, 9]);
        assert_eq!(inventory.cluster.brokers[0].rack.as_deref(), Some("r1"));

        let before = lists(&inventory);
        let mut more = inventory.clone();
        more.add_brokers([(3, None), (0, Some("r2".to_owned())), (2, None)]);
        assert_eq!(lists(&more), before);
        let ids: Vec<i32> = more.cluster.brokers.iter().map(|it| it.id).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4, 9]);
        more.take_sizes(&[dir(5, "/a", &[("t", 3, 8), ("x", 0, 1)])]);
        assert_eq!(more.cluster.sizes, [6, 8]);
    }
}
