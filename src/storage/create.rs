//! Making log directories, topics and partition directories.
//!
//! A partition directory is made under a name that a broker removes at its start (`...-delete`) and gets its
//! own name when it is whole: a crash leaves nothing that a broker trips over, takes for a stray partition, or
//! serves without its topic id.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::checkpoint;
use super::fs::{self, Opening, StorageError};
use super::leader_epochs;
use super::lock::Turn;
use super::log_dir::LogDir;
use super::meta_properties::{self, MetaProperties};
use super::names::{DirKind, PartitionDirName, SegmentFileKind, TopicNameError, check_topic_name, segment_file_name};
use super::node::{Held, Node, NodeDir};
use super::partition_metadata;
use crate::types::{Offset, TopicPartition, Uuid};

/// Why something cannot be made. Nothing was.
#[derive(Debug, Error)]
pub enum CreateError {
    /// A file or directory cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The name is not one a topic can have.
    #[error("topic '{topic}': {reason}")]
    Name {
        /// The name.
        topic: String,
        /// What is wrong with it.
        reason: TopicNameError,
    },
    /// The directory holds a topic whose name differs only by "." and "_": a broker does not create it
    /// (`Topic.hasCollision`), their metrics would be the same.
    #[error("topic '{topic}' differs from '{other}' in {} only by \".\" and \"_\"", dir.display())]
    Collision {
        /// The name.
        topic: String,
        /// The one that is there.
        other: String,
        /// The log directory.
        dir: PathBuf,
    },
    /// The partition is there.
    #[error("{}: exists already", path.display())]
    Exists {
        /// Its directory.
        path: PathBuf,
    },
    /// The topic is there with another id.
    #[error("topic '{topic}' has the id {found} in {}, not {asked}", path.display())]
    TopicId {
        /// The topic.
        topic: String,
        /// The id that was asked for.
        asked: Uuid,
        /// The id it has.
        found: Uuid,
        /// Where.
        path: PathBuf,
    },
    /// The topic has another number of partitions.
    #[error("topic '{topic}' has {found} partitions in {}, not {asked}", path.display())]
    Count {
        /// The topic.
        topic: String,
        /// The number that was asked for.
        asked: i32,
        /// The number it has.
        found: i32,
        /// Where: a log directory, or the metadata log.
        path: PathBuf,
    },
    /// Nothing says how many partitions it is to have.
    #[error("topic '{topic}' is not known, and so is not how many partitions it has")]
    NoCount {
        /// The topic.
        topic: String,
    },
    /// The cluster assigns all partitions of the topic to other nodes.
    #[error("topic '{topic}' has no partition on this node ({node}), says {}", log.display())]
    NotHere {
        /// The topic.
        topic: String,
        /// This node.
        node: i32,
        /// The metadata log.
        log: PathBuf,
    },
    /// The cluster assigns a partition to a directory that was not named.
    #[error("partition {partition} is assigned to the log directory with the id {directory}, which was not named")]
    Directory {
        /// The partition.
        partition: TopicPartition,
        /// The directory's id.
        directory: Uuid,
    },
}

/// What making a topic in the log directories of a node comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// The topic.
    pub topic: String,
    /// The id it has, or gets.
    pub topic_id: Uuid,
    /// Number of its partitions.
    pub count: i32,
    /// Partitions that are there, with the number of their log directory.
    pub present: BTreeMap<i32, usize>,
    /// Partitions to be made, with the number of the log directory each goes to.
    pub missing: BTreeMap<i32, usize>,
    /// Partitions that the cluster assigns to other nodes.
    pub elsewhere: Vec<i32>,
    /// What the cluster's metadata says of the topic.
    pub standing: Standing,
}

/// What the cluster's metadata says of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It knows the topic: a broker serves what is made.
    Known,
    /// It does not: a broker renames what is made `-stray` at its start.
    Unknown,
    /// There is no metadata log in these directories.
    NoMetadata,
}

impl TopicPlan {
    /// The partitions to be made in each log directory, in the order in which to make them.
    ///
    /// The highest number first, so that after a crash in between the number of partitions can still be told.
    pub fn by_dir(&self) -> Vec<(usize, Vec<TopicPartition>)> {
        let mut dirs: BTreeMap<usize, Vec<TopicPartition>> = BTreeMap::new();
        for (partition, dir) in &self.missing {
            dirs.entry(*dir).or_default().push(TopicPartition::new(&self.topic, *partition));
        }
        let mut dirs: Vec<_> = dirs.into_iter().collect();
        dirs.sort_by_key(|(_, partitions)| std::cmp::Reverse(partitions.last().map(|partition| partition.partition)));
        dirs
    }
}

/// Plans the partitions of `topic` that the directories of `node` lack. Reads only.
///
/// Where the cluster's metadata knows the topic, its id, its number of partitions and who holds them are taken from it.
/// Else it gets `count` partitions and the id it has, `topic_id`, or a random one. A partition whose directory nobody
/// decided goes where the fewest are, as a broker has it (`LogManager.nextLogDirs`).
pub fn plan_topic(
    node: &Node,
    topic: &str,
    count: Option<i32>,
    topic_id: Option<Uuid>,
) -> Result<TopicPlan, CreateError> {
    check_topic_name(topic).map_err(|reason| CreateError::Name { topic: topic.to_owned(), reason })?;
    let mut id = topic_id;
    for listed in node.dirs.iter().filter_map(|dir| dir.listed.as_ref()) {
        id = check_topic(listed, topic, id)?;
    }
    let present = node.partitions_of(topic);
    let mut held = node.logs();
    let mut emptiest = |place: Option<usize>| {
        let place = place.or_else(|| (0..held.len()).min_by_key(|at| held[*at])).unwrap_or_default();
        if let Some(held) = held.get_mut(place) {
            *held += 1;
        }
        place
    };
    let mut plan = TopicPlan {
        topic: topic.to_owned(),
        topic_id: Uuid::ZERO,
        count: 0,
        present,
        missing: BTreeMap::new(),
        elsewhere: Vec::new(),
        standing: if node.cluster.is_some() { Standing::Unknown } else { Standing::NoMetadata },
    };
    if let (Some(cluster), Some(known)) = (&node.cluster, node.topic(topic)) {
        let (found, path) = (known.topic_id, cluster.log.clone());
        if let Some(asked) = id.filter(|id| *id != found) {
            return Err(CreateError::TopicId { topic: topic.to_owned(), asked, found, path });
        }
        let partitions = i32::try_from(known.partitions.len()).unwrap_or(i32::MAX);
        if let Some(asked) = count.filter(|count| *count != partitions) {
            return Err(CreateError::Count { topic: topic.to_owned(), asked, found: partitions, path });
        }
        for partition in known.partitions.keys() {
            let Held::Here { directory, .. } = cluster.holds(known, *partition) else {
                plan.elsewhere.push(*partition);
                continue;
            };
            if plan.present.contains_key(partition) {
                continue;
            }
            let place = match directory {
                Some(directory) => {
                    let at = node.dirs.iter().position(|dir| NodeDir::id(dir) == Some(directory));
                    let partition = TopicPartition::new(topic, *partition);
                    Some(at.ok_or(CreateError::Directory { partition, directory })?)
                }
                None => None,
            };
            plan.missing.insert(*partition, emptiest(place));
        }
        if let (Some(node), true) = (cluster.node_id, plan.elsewhere.len() == known.partitions.len()) {
            return Err(CreateError::NotHere { topic: topic.to_owned(), node, log: path });
        }
        (plan.topic_id, plan.count, plan.standing) = (found, partitions, Standing::Known);
        return Ok(plan);
    }
    let highest = plan.present.last_key_value().map(|(partition, _)| *partition);
    let found = highest.map(|partition| partition.saturating_add(1));
    let count = count.or(found).ok_or_else(|| CreateError::NoCount { topic: topic.to_owned() })?;
    if let Some(found) = found.filter(|found| *found != count) {
        let path = plan.present.last_key_value().and_then(|(_, dir)| node.dirs.get(*dir));
        let path = path.map(|dir| dir.path.clone()).unwrap_or_default();
        return Err(CreateError::Count { topic: topic.to_owned(), asked: count, found, path });
    }
    let absent: Vec<i32> = (0..count).filter(|partition| !plan.present.contains_key(partition)).collect();
    plan.missing = absent.into_iter().map(|partition| (partition, emptiest(None))).collect();
    plan.count = count;
    plan.topic_id = match id {
        Some(id) => id,
        None => random_uuid().map_err(|error| StorageError::new(topic, error))?,
    };
    Ok(plan)
}

/// A random id, as Kafka makes them (`Uuid.randomUuid`): of version 4, and its text does not start with a dash.
pub fn random_uuid() -> std::io::Result<Uuid> {
    loop {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let id = Uuid(bytes);
        if !id.to_string().starts_with('-') {
            return Ok(id);
        }
    }
}

/// What stands between a partition and the suffix of a directory that is not live: 32 hexadecimal digits that no other one in
/// `log_dir` has.
pub(crate) fn unique_id(log_dir: &Path) -> Result<String, StorageError> {
    let id = random_uuid().map_err(|error| StorageError::new(log_dir, error))?;
    Ok(id.0.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Makes a log directory with this identity: an empty one, or one that is not there yet.
///
/// What `kafka-storage format` writes for a broker; a controller's first metadata snapshot is not among it.
pub fn log_dir(dir: &Path, cluster_id: &str, node_id: i32, directory_id: Uuid) -> Result<(), CreateError> {
    let path = dir.join(meta_properties::FILE_NAME);
    if path.exists() {
        return Err(CreateError::Exists { path });
    }
    fs::create_dirs(dir)?;
    // Two that make the same one: the second finds it made.
    let turn = Turn::at(dir)?;
    turn.take()?;
    if path.exists() {
        return Err(CreateError::Exists { path });
    }
    let meta = MetaProperties::V1 { cluster_id: cluster_id.to_owned(), node_id, directory_id: Some(directory_id) };
    fs::replace_atomic(&path, meta.to_text().as_bytes())?;
    Ok(())
}

/// Whether `topic` can be made in `dir`; says which id it must have, if it has partitions there already.
pub fn check_topic(dir: &LogDir, topic: &str, topic_id: Option<Uuid>) -> Result<Option<Uuid>, CreateError> {
    check_topic_name(topic).map_err(|reason| CreateError::Name { topic: topic.to_owned(), reason })?;
    let alike = |name: &str| name.replace('.', "_");
    let live = || dir.partitions().filter(|(name, _)| name.kind == DirKind::Live);
    let topics: BTreeSet<&str> = live().map(|(name, _)| name.topic_partition.topic.as_str()).collect();
    if let Some(other) = topics.iter().find(|other| **other != topic && alike(other) == alike(topic)) {
        return Err(CreateError::Collision {
            topic: topic.to_owned(),
            other: (*other).to_owned(),
            dir: dir.dir().to_owned(),
        });
    }
    for (_, path) in live().filter(|(name, _)| name.topic_partition.topic == topic) {
        let path = path.join(partition_metadata::FILE_NAME);
        let Some(found) = super::partition::present(partition_metadata::read(&path))? else { continue };
        let found = found.topic_id;
        return match topic_id {
            Some(asked) if asked != found => Err(CreateError::TopicId { topic: topic.to_owned(), asked, found, path }),
            _ => Ok(Some(found)),
        };
    }
    Ok(topic_id)
}

/// Makes the directory of one partition, empty, on disk when this returns; returns its path.
///
/// The caller has checked the topic ([`check_topic`]) and holds the log directory's lock. With [`Uuid::ZERO`] it gets no
/// topic id.
pub fn partition(dir: &Path, partition: &TopicPartition, topic_id: Uuid) -> Result<PathBuf, CreateError> {
    partitions(dir, std::slice::from_ref(partition), topic_id)?;
    Ok(dir.join(partition.to_string()))
}

/// As [`partition`], for several of one topic: they get their names together, when all are whole.
pub fn partitions(dir: &Path, partitions: &[TopicPartition], topic_id: Uuid) -> Result<(), CreateError> {
    let paths: Vec<PathBuf> = partitions.iter().map(|partition| dir.join(partition.to_string())).collect();
    if let Some(path) = paths.iter().find(|path| path.exists()) {
        return Err(CreateError::Exists { path: path.clone() });
    }
    // A deletion that was killed leaves them behind.
    checkpoint::forget(dir, partitions)?;
    let unfinished = partitions.iter().map(|partition| unfinished(dir, partition, topic_id));
    let unfinished: Vec<PathBuf> = unfinished.collect::<Result<_, _>>()?;
    // The highest first: after a crash in between the number of partitions can still be told, and the rest be made.
    for (from, to) in unfinished.iter().zip(&paths).rev() {
        fs::rename(from, to)?;
    }
    fs::sync_dir(dir)?;
    Ok(())
}

/// Makes all files of a partition in a directory that a broker removes.
fn unfinished(dir: &Path, partition: &TopicPartition, topic_id: Uuid) -> Result<PathBuf, CreateError> {
    let unique = unique_id(dir)?;
    let unfinished = dir.join(PartitionDirName::suffixed(partition, DirKind::Delete, &unique).to_string());
    fs::create_dir(&unfinished)?;
    let file = |name: &str, bytes: &[u8]| {
        let path = unfinished.join(name);
        let written = fs::open_to_write(&path, Opening::Emptied).and_then(|file| {
            fs::write_at(&file, &path, bytes, 0)?;
            fs::sync_file(&file, &path)
        });
        written.map_err(|error| StorageError::new(path, error))
    };
    for kind in [SegmentFileKind::Log, SegmentFileKind::OffsetIndex, SegmentFileKind::TimeIndex] {
        file(&segment_file_name(Offset::ZERO, kind), b"")?;
    }
    file(leader_epochs::FILE_NAME, b"")?;
    // A copy of what Kafka before 2.8 wrote has none.
    if !topic_id.is_reserved() {
        // Whole or not there: a broker reads it in a directory to be deleted too, and does not start over half of one.
        let metadata = unfinished.join(partition_metadata::FILE_NAME);
        fs::replace_atomic(&metadata, partition_metadata::to_text(topic_id).as_bytes())?;
    }
    Ok(unfinished)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_partition_does_not_get_what_was_noted_of_a_deleted_one() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        for name in checkpoint::ALL {
            std::fs::write(dir.join(name), "0\n3\norders 0 500\norders 1 7\nother 0 9\n").unwrap();
        }
        let new = [TopicPartition::new("orders", 0), TopicPartition::new("orders", 2)];
        partitions(dir, &new, Uuid([9; 16])).unwrap();
        for name in checkpoint::ALL {
            assert_eq!(std::fs::read_to_string(dir.join(name)).unwrap(), "0\n2\norders 1 7\nother 0 9\n", "{name}");
        }
        // One that is not understood: nothing is made, and no file is written.
        std::fs::write(dir.join(checkpoint::CLEANER), "1\n1\nother 0 9\n").unwrap();
        std::fs::write(dir.join(checkpoint::LOG_START), "0\n1\nnext 0 9\n").unwrap();
        let next = [TopicPartition::new("next", 0)];
        assert!(matches!(partitions(dir, &next, Uuid([9; 16])), Err(CreateError::Storage(_))));
        assert!(!dir.join("next-0").exists());
        assert_eq!(std::fs::read_to_string(dir.join(checkpoint::LOG_START)).unwrap(), "0\n1\nnext 0 9\n");
    }

    #[test]
    fn a_new_log_dir_and_topic_are_read_back() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("broker-1/data");
        let directory_id = random_uuid().unwrap();
        log_dir(&dir, "4L6g3nShT-eMCtK--X86sw", 7, directory_id).unwrap();
        assert!(matches!(log_dir(&dir, "x", 7, directory_id), Err(CreateError::Exists { .. })));
        let topic_id = random_uuid().unwrap();
        let path = partition(&dir, &TopicPartition::new("a.b", 0), topic_id).unwrap();
        assert!(matches!(partition(&dir, &TopicPartition::new("a.b", 0), topic_id), Err(CreateError::Exists { .. })));
        let opened = LogDir::open(&dir).unwrap();
        let meta = opened.meta().unwrap();
        assert_eq!(
            (meta.cluster_id(), meta.node_id(), meta.directory_id()),
            (Some("4L6g3nShT-eMCtK--X86sw"), Some(7), Some(directory_id))
        );
        assert_eq!(opened.partitions().count(), 1, "nothing unfinished is left");
        assert_eq!(partition_metadata::read(&path.join(partition_metadata::FILE_NAME)).unwrap().topic_id, topic_id);
        assert_eq!(check_topic(&opened, "a.b", None).unwrap(), Some(topic_id));
        assert!(matches!(check_topic(&opened, "a.b", Some(directory_id)), Err(CreateError::TopicId { .. })));
        assert!(matches!(check_topic(&opened, "a_b", None), Err(CreateError::Collision { .. })));
        assert!(matches!(check_topic(&opened, "a b", None), Err(CreateError::Name { .. })));
        assert_eq!(check_topic(&opened, "other", None).unwrap(), None);
    }
}
