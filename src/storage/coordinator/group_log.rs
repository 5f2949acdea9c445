//! Writing to `__consumer_offsets`, as a coordinator does: records of offsets and groups, each in the partition that the
//! group's id belongs to.
//!
//! All that one call changes of a group is one batch: after a crash it is there whole, or not at all. Only what is larger
//! than a broker takes at once (`max.message.bytes`) is several.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::groups::{Group, Protocol};
use crate::batch::builder::{BatchBuilder, BatchSpec, BuildError, NewRecord};
use crate::batch::compression::Compressor;
use crate::batch::view::HEADER_LEN;
use crate::partitioner::{PartitionCount, partition_for_id};
use crate::schema::coordinator::CoordinatorTopic;
use crate::schema::coordinator::group::modern::ModernGroup;
use crate::schema::coordinator::group::{ClassicGroup, CommittedOffset};
use crate::schema::message::SchemaError;
use crate::storage::create::{self, CreateError, TopicPlan};
use crate::storage::fs::StorageError;
use crate::storage::log_dir::LogDir;
use crate::storage::names::DirKind;
use crate::storage::node::Node;
use crate::storage::partition::Partition;
use crate::storage::writer::session::Event;
use crate::storage::writer::{AppendSession, LogConfig, SessionError, SessionOptions};
use crate::types::{Offset, TimestampMs, TopicPartition};

/// Partitions that a broker gives the topic which is not told otherwise (`offsets.topic.num.partitions`).
pub const PARTITIONS: i32 = 50;

/// `segment.bytes` of the topic: a broker makes it with `offsets.topic.segment.bytes`
/// (`GroupCoordinatorService.groupMetadataTopicConfigs`).
const SEGMENT_BYTES: u32 = 100 << 20;

/// Bytes of a record beside its key and value, at most: seven varints.
const RECORD_OVERHEAD_MAX: usize = 40;

/// How the logs of the topic are written, with the settings that a broker makes it with.
pub fn log_config() -> LogConfig {
    LogConfig { segment_bytes: SEGMENT_BYTES, ..LogConfig::default() }
}

/// Plans the partitions of the topic that the directories of `node` lack, by the rules for every topic
/// ([`create::plan_topic`]): as the cluster knows it, else the rest of those that are there, else `count` of them. Reads
/// only.
pub fn plan(node: &Node, count: i32) -> Result<TopicPlan, CreateError> {
    let topic = CoordinatorTopic::Group.topic();
    let is_new = node.topic(topic).is_none() && node.partitions_of(topic).is_empty();
    create::plan_topic(node, topic, is_new.then_some(count), None)
}

/// Whether no partition of the topic that is in these directories has ever held a record.
///
/// Then those that lack were never made: whoever made the others ended in between.
pub fn is_unused(log_dirs: &[LogDir]) -> bool {
    let mut failures = Vec::new();
    let found = super::partitions(log_dirs, CoordinatorTopic::Group, &mut failures);
    let is_empty = |partition: &Partition| partition.log_end().is_ok_and(|end| end == Offset::ZERO);
    failures.is_empty() && found.values().all(is_empty)
}

/// The partition that a group's records are in, of a topic that is still to be made; `None` where none of it is on this
/// node.
pub fn planned_home(plan: &TopicPlan, group: &str) -> Option<i32> {
    let home = partition_for_id(group, count_of(plan)?);
    (plan.missing.contains_key(&home) || plan.present.contains_key(&home)).then_some(home)
}

fn count_of(plan: &TopicPlan) -> Option<PartitionCount> {
    u32::try_from(plan.count).ok().and_then(PartitionCount::new)
}

/// Something to be written of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It has committed this offset.
    Commit(TopicPartition, CommittedOffset),
    /// It has committed nothing there any more.
    Forget(TopicPartition),
    /// Its generation, members and protocol.
    Classic(ClassicGroup),
    /// It is gone, with its members; offsets are not among it.
    Remove(Box<Protocol>),
}

/// Why nothing can be written of a group.
#[derive(Debug, Error)]
pub enum GroupLogError {
    /// There is no such topic here.
    #[error("there is no {} in these directories", CoordinatorTopic::Group.topic())]
    NoTopic,
    /// How many partitions the topic has is not known, and so not where the group belongs.
    #[error(
        "partitions {missing:?} of {} are not in these directories: how many it has is not known",
        CoordinatorTopic::Group.topic()
    )]
    Incomplete {
        /// Those between the ones that are there.
        missing: Vec<i32>,
    },
    /// The group's partition is on another broker.
    #[error("group '{group}' belongs to {}-{partition}, which is not in these directories", CoordinatorTopic::Group.topic())]
    Elsewhere {
        /// The group.
        group: String,
        /// Its partition.
        partition: i32,
    },
    /// The log directory or the log cannot be opened or written.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The topic cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// A field is too long for its record.
    #[error("group '{group}': {reason}")]
    Record {
        /// The group.
        group: String,
        /// What is wrong.
        reason: SchemaError,
    },
    /// The records do not fit into a batch.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// `__consumer_offsets` in some log directories, to be written to.
#[derive(Debug)]
pub struct GroupLog {
    options: SessionOptions,
    count: PartitionCount,
    /// The log directory of each partition that is here.
    places: BTreeMap<i32, PathBuf>,
    sessions: BTreeMap<PathBuf, AppendSession>,
}

impl GroupLog {
    /// Finds the topic's partitions. `count`: how many there are, where the cluster's metadata tells; else those that are
    /// here must be all. Nothing is locked or opened yet.
    pub fn find(
        log_dirs: &[LogDir],
        count: Option<PartitionCount>,
        options: SessionOptions,
    ) -> Result<GroupLog, GroupLogError> {
        let mut places = BTreeMap::new();
        for log_dir in log_dirs {
            for (name, _) in log_dir.partitions().filter(|(name, _)| name.kind == DirKind::Live) {
                if name.topic_partition.topic == CoordinatorTopic::Group.topic() {
                    places.entry(name.topic_partition.partition).or_insert_with(|| log_dir.dir().to_owned());
                }
            }
        }
        let highest = *places.keys().next_back().ok_or(GroupLogError::NoTopic)?;
        let count = match count {
            Some(count) => count,
            None => {
                let missing: Vec<i32> = (0..highest).filter(|number| !places.contains_key(number)).collect();
                if !missing.is_empty() {
                    return Err(GroupLogError::Incomplete { missing });
                }
                let count = u32::try_from(highest).ok().and_then(|highest| PartitionCount::new(highest + 1));
                count.ok_or(GroupLogError::NoTopic)?
            }
        };
        Ok(GroupLog { options, count, places, sessions: BTreeMap::new() })
    }

    /// Makes the partitions of a [`plan`], empty, and goes on with the topic as it is then.
    ///
    /// On disk when this returns. After a crash each is there whole or not at all, and the highest is there first: how many
    /// there are can be told, and the next [`plan`] makes the rest.
    pub fn create(node: &Node, plan: &TopicPlan, options: SessionOptions) -> Result<GroupLog, GroupLogError> {
        let path_of = |dir: usize| node.dirs.get(dir).map(|dir| dir.path.clone());
        let count = count_of(plan).ok_or(GroupLogError::NoTopic)?;
        let mut sessions = BTreeMap::new();
        // All locks first: nothing is made where something could not be.
        for path in plan.by_dir().into_iter().filter_map(|(dir, _)| path_of(dir)) {
            let session = AppendSession::open(&path, options)?;
            sessions.insert(path, session);
        }
        for (dir, partitions) in plan.by_dir() {
            if let Some(session) = path_of(dir).and_then(|path| sessions.get_mut(&path)) {
                session.create_partitions(&partitions, plan.topic_id)?;
            }
        }
        let all = plan.present.iter().chain(&plan.missing);
        let places = all.filter_map(|(partition, dir)| Some((*partition, path_of(*dir)?))).collect();
        Ok(GroupLog { options, count, places, sessions })
    }

    /// The partition that a group's records are in, and whether it is here.
    pub fn home(&self, group: &str) -> Result<TopicPartition, GroupLogError> {
        let partition = partition_for_id(group, self.count);
        if !self.places.contains_key(&partition) {
            return Err(GroupLogError::Elsewhere { group: group.to_owned(), partition });
        }
        Ok(TopicPartition::new(CoordinatorTopic::Group.topic(), partition))
    }

    /// The log directory that a group's records are in.
    pub fn dir_of(&self, group: &str) -> Result<&Path, GroupLogError> {
        let home = self.home(group)?;
        self.places.get(&home.partition).map(PathBuf::as_path).ok_or(GroupLogError::NoTopic)
    }

    /// Takes the locks of the log directories that these groups' partitions are in.
    pub fn lock<'g>(&mut self, groups: impl IntoIterator<Item = &'g str>) -> Result<(), GroupLogError> {
        let mut dirs = BTreeSet::new();
        for group in groups {
            let home = self.home(group)?;
            dirs.extend(self.places.get(&home.partition).cloned());
        }
        for dir in dirs {
            if !self.sessions.contains_key(&dir) {
                let session = AppendSession::open(&dir, self.options)?;
                self.sessions.insert(dir, session);
            }
        }
        Ok(())
    }

    /// Appends what changes of a group, as one batch if it is no larger than a broker takes; on disk after [`GroupLog::flush`] or [`GroupLog::close`].
    pub fn append(&mut self, group: &str, changes: &[Change], now_ms: TimestampMs) -> Result<(), GroupLogError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.lock([group])?;
        let home = self.home(group)?;
        let record = |reason| GroupLogError::Record { group: group.to_owned(), reason };
        let bytes_max = (self.options.config.max_message_bytes as usize).saturating_sub(HEADER_LEN);
        let mut batches = Vec::new();
        let mut builder = BatchBuilder::new(BatchSpec::default());
        let mut bytes = 0;
        for change in changes {
            for (key, value) in change.records(group).map_err(record)? {
                let size = key.len() + value.as_ref().map_or(0, Vec::len) + RECORD_OVERHEAD_MAX;
                if bytes > 0 && bytes + size > bytes_max {
                    batches.push(builder.seal(&mut Compressor::default())?);
                    builder = BatchBuilder::new(BatchSpec::default());
                    bytes = 0;
                }
                bytes += size;
                let record = NewRecord { timestamp_ms: now_ms, key: Some(&key), value: value.as_deref(), headers: &[] };
                builder.push(&record)?;
            }
        }
        batches.push(builder.seal(&mut Compressor::default())?);
        let session = self.places.get(&home.partition).and_then(|dir| self.sessions.get_mut(dir));
        if let Some(session) = session {
            for batch in &mut batches {
                session.append(&home, batch, now_ms)?;
            }
        }
        Ok(())
    }

    /// Reads a group's partition while nobody writes to it.
    pub fn look<T>(
        &mut self,
        group: &str,
        now_ms: TimestampMs,
        look: impl FnOnce(&Partition) -> Result<T, StorageError>,
    ) -> Result<T, GroupLogError> {
        self.lock([group])?;
        let home = self.home(group)?;
        let dir = self.dir_of(group)?.to_owned();
        let session = self.sessions.get_mut(&dir).ok_or(GroupLogError::NoTopic)?;
        Ok(session.look(&home, now_ms, look)?)
    }

    /// Lets others write: everything appended so far is with the kernel.
    pub fn end_turns(&mut self) -> Result<(), GroupLogError> {
        for session in self.sessions.values_mut() {
            session.end_turns().map_err(SessionError::from)?;
        }
        Ok(())
    }

    /// What was done that its user should know, since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.sessions.values_mut().flat_map(AppendSession::take_events).collect()
    }

    /// Waits until everything appended so far is on disk.
    pub fn flush(&mut self) -> Result<(), GroupLogError> {
        for session in self.sessions.values_mut() {
            session.flush().map_err(SessionError::from)?;
        }
        Ok(())
    }

    /// Ends all sessions, in good order: everything is on disk when this returns.
    pub fn close(self, now_ms: TimestampMs) -> Result<Vec<Event>, GroupLogError> {
        let mut events = Vec::new();
        for session in self.sessions.into_values() {
            events.extend(session.close(now_ms)?);
        }
        Ok(events)
    }
}

type Record = (Vec<u8>, Option<Vec<u8>>);

impl Change {
    /// The records that say so.
    fn records(&self, group: &str) -> Result<Vec<Record>, SchemaError> {
        Ok(match self {
            Change::Commit(partition, offset) => {
                vec![(CommittedOffset::key_bytes(group, partition)?, Some(offset.value_bytes()?))]
            }
            Change::Forget(partition) => vec![(CommittedOffset::key_bytes(group, partition)?, None)],
            Change::Classic(classic) => vec![(ClassicGroup::key_bytes(group)?, Some(classic.value_bytes()?))],
            Change::Remove(protocol) => match &**protocol {
                Protocol::Simple | Protocol::Classic(_) => vec![(ClassicGroup::key_bytes(group)?, None)],
                Protocol::Modern(modern) => {
                    let keys = ModernGroup::tombstone_keys(modern, group)?;
                    keys.into_iter().map(|key| (key, None)).collect()
                }
            },
        })
    }
}

/// Everything that has to be written so that nothing of a group is left (`GroupMetadataManager.createGroupTombstoneRecords`,
/// `OffsetMetadataManager.deleteAllOffsets`).
pub fn removal_of(group: &Group) -> Vec<Change> {
    let partitions: BTreeSet<&TopicPartition> = group.offsets.keys().chain(group.pending.keys()).collect();
    let mut changes: Vec<Change> = partitions.into_iter().cloned().map(Change::Forget).collect();
    changes.push(Change::Remove(Box::new(group.protocol.clone())));
    changes
}
