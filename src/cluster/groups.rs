//! Committed offsets of groups in a live cluster.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Cluster, ClusterError, REQUEST_MAX, Reader, serve};
use crate::types::TopicPartition;

/// An offset to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The next one to read.
    pub offset: i64,
    /// What stands beside it.
    pub metadata: String,
}

/// What became of a group's offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// They are committed, but for those that the group has reached already.
    Done {
        /// What was there and reaches as far or further: left as it is.
        ahead: BTreeMap<TopicPartition, i64>,
    },
    /// It has members, whose offsets are theirs.
    InUse,
}

/// Commits offsets of a group that has no members. What it has committed already and reaches further stays.
pub fn commit(
    cluster: &Cluster,
    group: &str,
    offsets: &BTreeMap<TopicPartition, Commit>,
) -> Result<Committed, ClusterError> {
    let what = format!("committing offsets of group '{group}'");
    let failed = |error: KafkaError| cluster.failed(&what, &error);
    let reader = cluster.reader(group)?;
    let mut asked = TopicPartitionList::new();
    for partition in offsets.keys() {
        asked.add_partition(&partition.topic, partition.partition);
    }
    let there = reader.committed_offsets(asked, REQUEST_MAX).map_err(failed)?;
    let mut ahead = BTreeMap::new();
    for element in there.elements() {
        if let Offset::Offset(offset) = element.offset() {
            let partition = TopicPartition::new(element.topic(), element.partition());
            if offsets.get(&partition).is_some_and(|commit| commit.offset <= offset) {
                ahead.insert(partition, offset);
            }
        }
    }
    let mut new = TopicPartitionList::new();
    for (partition, commit) in offsets.iter().filter(|(partition, _)| !ahead.contains_key(*partition)) {
        let mut element = new.add_partition(&partition.topic, partition.partition);
        element.set_offset(Offset::Offset(commit.offset)).map_err(failed)?;
        element.set_metadata(&commit.metadata);
    }
    if new.count() == 0 {
        return Ok(Committed::Done { ahead });
    }
    let committed = reader.commit(&new, CommitMode::Sync);
    serve(&reader);
    match committed {
        Ok(()) => Ok(Committed::Done { ahead }),
        Err(error) => match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress
                | RDKafkaErrorCode::StaleMemberEpoch,
            ) => Ok(Committed::InUse),
            _ => Err(failed(error)),
        },
    }
}

/// What a group has committed of these partitions.
pub fn committed(
    cluster: &Cluster,
    group: &str,
    partitions: &[&TopicPartition],
) -> Result<BTreeMap<TopicPartition, Commit>, ClusterError> {
    let what = format!("committed offsets of group '{group}'");
    let reader = cluster.reader(group)?;
    let mut asked = TopicPartitionList::new();
    for partition in partitions {
        asked.add_partition(&partition.topic, partition.partition);
    }
    let there = reader.committed_offsets(asked, REQUEST_MAX).map_err(|error| cluster.failed(&what, &error))?;
    let commits = there.elements().into_iter().filter_map(|element| {
        let Offset::Offset(offset) = element.offset() else { return None };
        let commit = Commit { offset, metadata: element.metadata().to_owned() };
        Some((TopicPartition::new(element.topic(), element.partition()), commit))
    });
    Ok(commits.collect())
}

/// The groups of consumers that a cluster knows.
pub fn names(cluster: &Cluster, reader: &Reader) -> Result<BTreeSet<String>, ClusterError> {
    let listed = reader.fetch_group_list(None, REQUEST_MAX).map_err(|error| cluster.failed("groups", &error))?;
    let of_consumers = listed.groups().iter().filter(|group| matches!(group.protocol_type(), "consumer" | ""));
    Ok(of_consumers.map(|group| group.name().to_owned()).collect())
}
