//! Several replicas of one partition, in the log directories of several brokers: which of them is read.
//!
//! The one whose log reaches furthest, by its newest leader epoch and then by its end, as an election of a leader among
//! them compares logs (KIP-595, KIP-966). Where one of them has no leader epochs, their ends alone are compared.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::fs::StorageError;
use super::leader_epochs;
use super::log_dir::LogDir;
use super::names::DirKind;
use super::partition::Partition;
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// How far the log of a replica reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Its newest leader epoch; `None` where its directory does not tell.
    pub epoch: Option<LeaderEpoch>,
    /// One above its last offset.
    pub log_end: Offset,
}

impl Reach {
    /// How far `partition` reaches.
    pub fn of(partition: &Partition) -> Result<Reach, StorageError> {
        let epochs = leader_epochs::read(&partition.dir().join(leader_epochs::FILE_NAME)).ok();
        let epoch = epochs.and_then(|epochs| epochs.latest().map(|entry| entry.epoch));
        Ok(Reach { epoch, log_end: partition.log_end()? })
    }
}

impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(epoch) = self.epoch {
            write!(f, "leader epoch {epoch}, ")?;
        }
        write!(f, "log end {}", self.log_end)
    }
}

/// Numbers of replicas, the one that reaches furthest first; of equal ones the earlier.
pub fn by_reach(reaches: &[Reach]) -> Vec<usize> {
    let epochs_tell = reaches.iter().all(|reach| reach.epoch.is_some());
    let mut order: Vec<usize> = (0..reaches.len()).collect();
    order.sort_by_key(|number| {
        let reach = &reaches[*number];
        Reverse((reach.epoch.filter(|_| epochs_tell), reach.log_end))
    });
    order
}

/// A replica that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Its directory.
    pub dir: PathBuf,
    /// How far it reaches.
    pub reach: Reach,
}

/// The replica that is read, and those beside it.
#[derive(Debug)]
pub struct Chosen {
    /// It.
    pub partition: Partition,
    /// How far it reaches; `None` where it is the only one, and nobody looked.
    pub reach: Option<Reach>,
    /// Those that are not read: by how far they reach, or as they were named.
    pub others: Vec<Other>,
}

impl Chosen {
    /// Of the replicas of a partition, opened in the order in which their directories were named, the one that reaches
    /// furthest. `None` where there is none; those that cannot be read do not count, and are in `failures`.
    pub fn of(replicas: Vec<Partition>, failures: &mut Vec<StorageError>) -> Option<Chosen> {
        Chosen::by(&by_reach, replicas, failures)
    }

    /// The same, but the first one that can be read, whatever the others have.
    pub fn first(replicas: Vec<Partition>, failures: &mut Vec<StorageError>) -> Option<Chosen> {
        Chosen::by(&|reaches| (0..reaches.len()).collect(), replicas, failures)
    }

    fn by(
        order: &dyn Fn(&[Reach]) -> Vec<usize>,
        replicas: Vec<Partition>,
        failures: &mut Vec<StorageError>,
    ) -> Option<Chosen> {
        if replicas.len() < 2 {
            let partition = replicas.into_iter().next()?;
            return Some(Chosen { partition, reach: None, others: Vec::new() });
        }
        let (mut readable, mut reaches) = (Vec::new(), Vec::new());
        for replica in replicas {
            match Reach::of(&replica) {
                Ok(reach) => {
                    reaches.push(reach);
                    readable.push(Some(replica));
                }
                Err(error) => failures.push(error),
            }
        }
        let order = order(&reaches);
        let best = order.first().copied()?;
        let other = |number: &usize| {
            let dir = readable.get(*number)?.as_ref()?.dir().to_owned();
            Some(Other { dir, reach: reaches[*number] })
        };
        let others = order.iter().skip(1).filter_map(other).collect();
        let partition = readable.get_mut(best)?.take()?;
        Some(Chosen { partition, reach: reaches.get(best).copied(), others })
    }

    /// Whether another replica differs from the one that is read in how far it reaches.
    pub fn differs(&self) -> bool {
        self.others.iter().any(|other| Some(other.reach) != self.reach)
    }

    /// Which replica is meant and what the others have, in words; `None` where it is the only one.
    pub fn told(&self) -> Option<String> {
        let (reach, others) = (self.reach?, &self.others);
        if others.is_empty() {
            return None;
        }
        let name = self.partition.topic_partition();
        if !self.differs() {
            let dirs: Vec<_> = others.iter().map(|other| other.dir.display().to_string()).collect();
            return Some(format!("{name} is also in {}; only this one is read", dirs.join(", ")));
        }
        let of = |other: &Other| format!("{} ({})", other.dir.display(), other.reach);
        let others: Vec<_> = others.iter().map(of).collect();
        let is_furthest =
            by_reach(&[&[reach][..], &self.others.iter().map(|other| other.reach).collect::<Vec<_>>()].concat())
                .first()
                == Some(&0);
        let why = if is_furthest { ", which reaches furthest" } else { ", which was named first" };
        Some(format!("{name} is also in {}; only this one is read{why} ({reach})", others.join(", ")))
    }
}

/// The wanted partitions in `log_dirs`, each once. Future, stray and deleted directories do not count.
///
/// Replicas that cannot be read are in `failures`; a partition with no other is left out.
pub fn furthest(
    log_dirs: &[LogDir],
    is_wanted: &dyn Fn(&TopicPartition) -> bool,
    failures: &mut Vec<StorageError>,
) -> BTreeMap<TopicPartition, Chosen> {
    let mut replicas: BTreeMap<TopicPartition, Vec<Partition>> = BTreeMap::new();
    for log_dir in log_dirs {
        for (name, path) in live(log_dir).filter(|(name, _)| is_wanted(&name.topic_partition)) {
            match log_dir.open_partition(name, path) {
                Ok(opened) => replicas.entry(name.topic_partition.clone()).or_default().push(opened),
                // A topic deleted in a running broker.
                Err(error) if error.is_not_found() => {}
                Err(error) => failures.push(error),
            }
        }
    }
    let chosen = replicas.into_iter().filter_map(|(name, all)| Some((name, Chosen::of(all, failures)?)));
    chosen.collect()
}

fn live(log_dir: &LogDir) -> impl Iterator<Item = (&super::names::PartitionDirName, &Path)> {
    log_dir.partitions().filter(|(name, _)| name.kind == DirKind::Live)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_counts_for_more_than_an_end_where_all_have_one() {
        let reach = |epoch: Option<i32>, end| Reach { epoch: epoch.map(LeaderEpoch), log_end: Offset::new(end) };
        let cases: [(&[Reach], &[usize]); 5] = [
            (&[reach(Some(3), 90), reach(Some(4), 50)], &[1, 0]),
            (&[reach(Some(4), 50), reach(Some(4), 70), reach(Some(4), 60)], &[1, 2, 0]),
            (&[reach(None, 90), reach(Some(4), 50)], &[0, 1]),
            (&[reach(Some(2), 50), reach(Some(2), 50)], &[0, 1]),
            (&[], &[]),
        ];
        for (reaches, expected) in cases {
            assert_eq!(by_reach(reaches), expected, "{reaches:?}");
        }
    }
}
