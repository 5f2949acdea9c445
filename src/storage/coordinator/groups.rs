//! Groups and the offsets they have committed, as `__consumer_offsets` has them
//! (`GroupMetadataManager.replay`, `OffsetMetadataManager.replay`).

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::last_values::{LastValue, LastValues};
use super::partitions;
use crate::schema::coordinator::group::modern::{self, ModernGroup, ModernKind};
use crate::schema::coordinator::group::{ClassicGroup, CommittedOffset, ids};
use crate::schema::coordinator::{self, CoordinatorError, CoordinatorTopic, CoordinatorValue};
use crate::storage::fs::StorageError;
use crate::storage::log_dir::LogDir;
use crate::storage::partition::{Notice, Partition};
use crate::storage::remarks::Remarks;
use crate::types::{Offset, ProducerId, TimestampMs, TopicPartition};

/// `offsets.retention.minutes` of a broker that is not told otherwise, in ms: seven days.
pub const OFFSETS_RETENTION_MS: i64 = 7 * 24 * 3_600_000;

/// What the members of a group speak, and what is known of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// Nobody ever joined: offsets were committed by whoever assigned partitions to itself.
    Simple,
    /// Members choose among themselves.
    Classic(ClassicGroup),
    /// The coordinator assigns.
    Modern(ModernGroup),
}

/// An offset as it was committed last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// What was committed.
    pub committed: CommittedOffset,
    /// Offset of the record that says so.
    pub record_offset: Offset,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The partition of `__consumer_offsets` it stands in.
    pub coordinator_partition: i32,
    /// Its protocol and members.
    pub protocol: Protocol,
    /// What it has committed.
    pub offsets: BTreeMap<TopicPartition, Committed>,
    /// What open transactions will commit, or not.
    pub pending: BTreeMap<TopicPartition, Vec<(ProducerId, Committed)>>,
}

impl Group {
    /// A group that has nothing yet, in this partition of `__consumer_offsets`.
    pub fn new(coordinator_partition: i32) -> Group {
        Group { coordinator_partition, protocol: Protocol::Simple, offsets: BTreeMap::new(), pending: BTreeMap::new() }
    }

    /// `Classic`, `Consumer`, `Share` or `Streams`, as Kafka's tools have it (`GroupType`).
    pub const fn type_name(&self) -> &'static str {
        match &self.protocol {
            Protocol::Simple | Protocol::Classic(_) => "Classic",
            Protocol::Modern(group) => match group.kind {
                ModernKind::Consumer => "Consumer",
                ModernKind::Share => "Share",
                ModernKind::Streams => "Streams",
            },
        }
    }

    /// Its state as a coordinator that loads it has it.
    pub fn state_name(&self) -> &'static str {
        match &self.protocol {
            Protocol::Simple => "Empty",
            Protocol::Classic(group) => group.state(),
            Protocol::Modern(group) => group.state().name(),
        }
    }

    /// How many members it has.
    pub fn members(&self) -> usize {
        match &self.protocol {
            Protocol::Simple => 0,
            Protocol::Classic(group) => group.members.len(),
            Protocol::Modern(group) => group.members.len(),
        }
    }

    /// What the members' protocol is called: "consumer", or what other clients of the coordinator call theirs.
    pub fn protocol_type(&self) -> &str {
        match &self.protocol {
            Protocol::Simple => "",
            Protocol::Classic(group) => group.protocol_type.as_deref().unwrap_or_default(),
            Protocol::Modern(group) => match group.kind {
                ModernKind::Consumer => "consumer",
                ModernKind::Share => "share",
                ModernKind::Streams => "streams",
            },
        }
    }

    /// Whether somebody in it reads the topic, as far as that can be told (`Group.isSubscribedToTopic`).
    pub fn is_subscribed(&self, topic: &str) -> bool {
        match &self.protocol {
            Protocol::Simple => false,
            Protocol::Modern(group) => group.is_subscribed(topic),
            Protocol::Classic(group) if !group.is_consumer() => false,
            // What cannot be read may name any topic.
            Protocol::Classic(group) => group.members.iter().any(|member| {
                member
                    .parse_subscription()
                    .map_or(true, |subscription| subscription.topics.iter().any(|it| it == topic))
            }),
        }
    }

    /// Partitions whose offset a broker removes at its next look, which comes after `offsets.retention.check.interval.ms`
    /// (`OffsetMetadataManager.cleanupExpiredOffsets`).
    pub fn expired(&self, retention_ms: i64, now_ms: TimestampMs) -> Vec<&TopicPartition> {
        let empty_since = match &self.protocol {
            Protocol::Simple => None,
            Protocol::Classic(group) if group.protocol_type.is_none() => None,
            Protocol::Classic(group) if group.members.is_empty() => group.state_ms,
            Protocol::Classic(group) if group.is_consumer() => None,
            Protocol::Classic(_) => return Vec::new(),
            Protocol::Modern(group) if group.kind == ModernKind::Share => return Vec::new(),
            Protocol::Modern(_) => None,
        };
        let is_expired = |(partition, committed): &(&TopicPartition, &Committed)| {
            let base_ms = empty_since.unwrap_or(committed.committed.commit_ms);
            committed.committed.is_expired(base_ms, retention_ms, now_ms)
                && !self.is_subscribed(&partition.topic)
                && !self.pending.contains_key(partition)
        };
        self.offsets.iter().filter(is_expired).map(|(partition, _)| partition).collect()
    }
}

/// All that log directories hold of the group coordinator's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupCoordinator {
    groups: BTreeMap<String, Group>,
    partitions: BTreeSet<i32>,
    /// Those of them in which records could not be read.
    damaged: BTreeSet<i32>,
}

impl GroupCoordinator {
    /// Reads every partition of `__consumer_offsets` in `log_dirs`, side by side. What cannot be read is left out, with a word
    /// in `remarks`.
    pub fn read(log_dirs: &[LogDir], remarks: &mut Remarks) -> GroupCoordinator {
        let found: Vec<(i32, Partition)> =
            partitions(log_dirs, CoordinatorTopic::Group, &mut remarks.failures).into_iter().collect();
        let read: Vec<_> = found.par_iter().map(|(number, partition)| read_partition(*number, partition)).collect();
        let mut coordinator = GroupCoordinator::default();
        for ((number, _), loaded) in found.iter().zip(read) {
            coordinator.partitions.insert(*number);
            match loaded {
                Ok((groups, is_whole, said)) => {
                    if !is_whole {
                        coordinator.damaged.insert(*number);
                    }
                    remarks.merge(said);
                    coordinator.groups.extend(groups);
                }
                Err(error) => {
                    coordinator.damaged.insert(*number);
                    remarks.failures.push(error);
                }
            }
        }
        coordinator
    }

    /// Reads one partition of `__consumer_offsets`.
    pub fn read_one(partition: &Partition, remarks: &mut Remarks) -> Result<GroupCoordinator, StorageError> {
        let number = partition.topic_partition().partition;
        let (groups, is_whole, said) = read_partition(number, partition)?;
        remarks.merge(said);
        let damaged = if is_whole { BTreeSet::new() } else { BTreeSet::from([number]) };
        Ok(GroupCoordinator { groups, partitions: BTreeSet::from([number]), damaged })
    }

    /// Groups, by their ids.
    pub const fn groups(&self) -> &BTreeMap<String, Group> {
        &self.groups
    }

    /// One of them.
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    /// The partitions of `__consumer_offsets` that were found.
    pub const fn partitions(&self) -> &BTreeSet<i32> {
        &self.partitions
    }

    /// Those of them in which records are missing: what is said of their groups may be old.
    pub const fn damaged(&self) -> &BTreeSet<i32> {
        &self.damaged
    }
}

/// Brings the keys of offsets of before 0.9 to those of today (`GroupCoordinatorRecordSerde`); record types that Kafka 4.3 does
/// not know are left out, as a coordinator does.
pub(super) fn key_of(key: &[u8], out: &mut Vec<u8>) -> bool {
    let Some((id, rest)) = key.split_first_chunk::<2>() else { return false };
    let id = match i16::from_be_bytes(*id) {
        ids::LEGACY_OFFSET_COMMIT => ids::OFFSET_COMMIT,
        id => id,
    };
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(rest);
    true
}

/// Groups of a partition while they are put together.
#[derive(Default)]
struct Loading {
    group: Option<Group>,
    /// Offset of the newest record that makes the group be there.
    created: Option<Offset>,
    /// Offset of the newest record that removed a classic group.
    removed: Option<Offset>,
    classic: Option<(Offset, ClassicGroup)>,
    modern: Option<(Offset, ModernGroup)>,
}

type Loaded = (BTreeMap<String, Group>, bool, Remarks);

fn read_partition(number: i32, partition: &Partition) -> Result<Loaded, StorageError> {
    let mut remarks = Remarks::default();
    let values = LastValues::read(partition, &mut remarks, &key_of)?;
    let (groups, is_whole) = groups_of(number, &values, partition, &mut remarks);
    Ok((groups, is_whole, remarks))
}

/// The groups that the values of a partition amount to, and whether all of them could be read.
pub(super) fn groups_of(
    number: i32,
    values: &LastValues,
    partition: &Partition,
    remarks: &mut Remarks,
) -> (BTreeMap<String, Group>, bool) {
    let mut loading: BTreeMap<String, Loading> = BTreeMap::new();
    let mut is_whole = values.is_whole();
    let pending = values.pending().map(|(producer, key, last)| (Some(producer), key, last));
    for (producer, key, last) in values.iter().map(|(key, last)| (None, key, last)).chain(pending) {
        if let Err(error) = load(number, producer, key, last, &mut loading) {
            // A broker passes a type over that it does not know, and fails to load a partition over the rest.
            is_whole &= matches!(error, CoordinatorError::UnknownType { .. });
            let said = format!("record at offset {}: {error}", last.offset);
            remarks.notices.push(Notice::new(partition.dir(), said));
        }
    }
    let groups = loading.into_iter().filter_map(|(id, group)| Some((id, group.finish(number)?))).collect();
    (groups, is_whole)
}

fn load(
    number: i32,
    producer: Option<ProducerId>,
    key: &[u8],
    last: &LastValue,
    loading: &mut BTreeMap<String, Loading>,
) -> Result<(), CoordinatorError> {
    let record = coordinator::decode(CoordinatorTopic::Group, key, last.value.as_deref())?;
    let value = match &record.value {
        CoordinatorValue::Known(fields) => Some(fields),
        CoordinatorValue::Tombstone => None,
        // Of a newer broker: what it says is not known, that it is there is.
        CoordinatorValue::Unknown { .. } => None,
    };
    match record.kind.id {
        ids::OFFSET_COMMIT => {
            let (id, partition) = CommittedOffset::key_of(&record.key);
            let loading = loading.entry(id).or_default();
            loading.created = loading.created.max(last.last_set);
            let Some(value) = value else { return Ok(()) };
            let group = loading.group.get_or_insert_with(|| Group::new(number));
            let committed = Committed { committed: CommittedOffset::of(value), record_offset: last.offset };
            match producer {
                None => drop(group.offsets.insert(partition, committed)),
                Some(producer) => group.pending.entry(partition).or_default().push((producer, committed)),
            }
        }
        ids::GROUP_METADATA => {
            let loading = loading.entry(ClassicGroup::key_of(&record.key)).or_default();
            match value {
                Some(value) => {
                    loading.created = loading.created.max(Some(last.offset));
                    loading.classic = Some((last.offset, ClassicGroup::of(value)));
                }
                None => loading.removed = Some(last.offset),
            }
        }
        _ => {
            let Some((kind, id)) = modern::group_of(record.kind, &record.key) else { return Ok(()) };
            let Some(value) = value else { return Ok(()) };
            let loading = loading.entry(id).or_default();
            loading.created = loading.created.max(Some(last.offset));
            let (newest, group) = loading.modern.get_or_insert_with(|| (last.offset, ModernGroup::new(kind)));
            *newest = last.offset.max(*newest);
            if group.kind == kind {
                group.apply(record.kind, &record.key, value);
            }
        }
    }
    Ok(())
}

impl Loading {
    /// The group, where there is one: made since it was last removed.
    fn finish(self, number: i32) -> Option<Group> {
        if self.removed.is_some() && self.removed > self.created {
            return None;
        }
        let mut group = self.group.unwrap_or_else(|| Group::new(number));
        group.protocol = match (self.classic, self.modern) {
            (None, None) => Protocol::Simple,
            (Some((classic_at, classic)), Some((modern_at, modern))) => {
                if classic_at > modern_at {
                    Protocol::Classic(classic)
                } else {
                    Protocol::Modern(modern)
                }
            }
            (Some((_, classic)), None) => Protocol::Classic(classic),
            (None, Some((_, modern))) => Protocol::Modern(modern),
        };
        self.created.map(|_| group)
    }
}
