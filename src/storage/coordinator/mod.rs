//! What the coordinators keep in their topics, read from the partitions of log directories.
//!
//! A coordinator's state is the last value of each key. Records of a transaction (offsets that a producer commits) count
//! from its commit marker on, and never when it is aborted (`CoordinatorLoaderImpl` of Kafka 4.3).
//!
//! - [`transactions`]: what `__transaction_state` says of each transactional id, and what that means for transactions
//!   that are open in partitions.

pub mod transactions;

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use super::fs::StorageError;
use super::leader_epochs;
use super::log_dir::LogDir;
use super::names::DirKind;
use super::partition::{Notice, Partition};
use super::reader::{LogReader, ReadStep};
use crate::batch::compression::{Decompressor, MAX_BATCH_BYTES};
use crate::batch::control::ControlType;
use crate::batch::scan::Depth;
use crate::batch::{Frame, RecordRef};
use crate::schema::coordinator::CoordinatorTopic;
use crate::types::{Offset, ProducerId, TimestampMs, TopicPartition};

/// A record that counts.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp_ms: TimestampMs,
    /// Its key; `None` where a broker ignores the record.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` removes the key.
    pub value: Option<&'a [u8]>,
}

/// A record whose transaction is not over.
struct Held {
    offset: Offset,
    timestamp_ms: TimestampMs,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// The partitions of a coordinator's topic in `log_dirs`, by number: see [`furthest_replicas`].
pub fn partitions(
    log_dirs: &[LogDir],
    topic: CoordinatorTopic,
    notices: &mut Vec<Notice>,
) -> Result<BTreeMap<i32, Partition>, StorageError> {
    let found = furthest_replicas(log_dirs, &|partition| partition.topic == topic.topic(), notices)?;
    Ok(found.into_iter().map(|(partition, opened)| (partition.partition, opened)).collect())
}

/// The wanted partitions in `log_dirs`, each once: of several replicas the one that reaches furthest, by leader epoch and
/// then by log end. Future, stray and deleted directories do not count.
pub fn furthest_replicas(
    log_dirs: &[LogDir],
    is_wanted: &dyn Fn(&TopicPartition) -> bool,
    notices: &mut Vec<Notice>,
) -> Result<BTreeMap<TopicPartition, Partition>, StorageError> {
    let mut best: BTreeMap<TopicPartition, Partition> = BTreeMap::new();
    for log_dir in log_dirs {
        for (name, path) in log_dir.partitions() {
            if name.kind != DirKind::Live || !is_wanted(&name.topic_partition) {
                continue;
            }
            let replica = log_dir.open_partition(name, path)?;
            let Some(other) = best.get(&name.topic_partition) else {
                best.insert(name.topic_partition.clone(), replica);
                continue;
            };
            let is_further = reach(&replica)? > reach(other)?;
            let (used, left_out) = if is_further { (&replica, other) } else { (other, &replica) };
            let said = format!("another replica reaches at least as far and is read: {}", used.dir().display());
            notices.push(Notice::new(left_out.dir(), said));
            if is_further {
                best.insert(name.topic_partition.clone(), replica);
            }
        }
    }
    Ok(best)
}

/// The newest leader epoch of a log and its end.
fn reach(partition: &Partition) -> Result<(i32, Offset), StorageError> {
    let epochs = leader_epochs::read(&partition.dir().join(leader_epochs::FILE_NAME)).ok();
    let epoch = epochs.and_then(|epochs| epochs.latest().map(|entry| entry.epoch.0));
    Ok((epoch.unwrap_or(-1), partition.log_end()?))
}

/// Visits every record of `partition` that counts, in the order in which it takes effect.
///
/// What cannot be read is passed over, with a word in `notices`: a broker would fail to load the partition there. Answers
/// whether every record was read.
pub fn replay(
    partition: &Partition,
    notices: &mut Vec<Notice>,
    visit: &mut dyn FnMut(Applied<'_>),
) -> Result<bool, StorageError> {
    let mut is_whole = true;
    let mut reader = LogReader::new(partition, Depth::Crc, MAX_BATCH_BYTES as u64);
    reader.seek(partition.log_start())?;
    let mut decompressor = Decompressor::default();
    let mut held: HashMap<ProducerId, Vec<Held>> = HashMap::new();
    loop {
        match reader.next()? {
            ReadStep::End { .. } => break,
            ReadStep::Gone { .. } => {}
            ReadStep::Damage { segment, damage } => {
                let log = partition.segments().get(segment).map_or(partition.dir(), |segment| &segment.log);
                is_whole = false;
                let said = format!("position {}: {}; records are missing", damage.position, damage.reason);
                notices.push(Notice::new(log, said));
            }
            ReadStep::Entry { segment, entry } => {
                if let Err(error) = apply(&entry.frame, partition.log_start(), &mut decompressor, &mut held, visit) {
                    let log = partition.segments().get(segment).map_or(partition.dir(), |segment| &segment.log);
                    is_whole = false;
                    let said = format!("batch at position {}: {error}; records are missing", entry.position);
                    notices.push(Notice::new(log, said));
                }
            }
        }
    }
    notices.append(&mut reader.take_notices());
    Ok(is_whole)
}

fn apply(
    frame: &Frame<'_>,
    log_start: Offset,
    decompressor: &mut Decompressor,
    held: &mut HashMap<ProducerId, Vec<Held>>,
    visit: &mut dyn FnMut(Applied<'_>),
) -> Result<(), crate::batch::PayloadError> {
    let producer_id = frame.producer_id();
    let mut each = |record: &RecordRef<'_>| {
        if frame.is_control() {
            let ended = held.remove(&producer_id).unwrap_or_default();
            if record.key.and_then(ControlType::of_key) == Some(ControlType::Commit) {
                for Held { offset, timestamp_ms, key, value } in ended {
                    visit(Applied { offset, timestamp_ms, key: key.as_deref(), value: value.as_deref() });
                }
            }
        } else if record.offset < log_start {
        } else if frame.is_transactional() {
            let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
            let held_record = Held { offset: record.offset, timestamp_ms: record.timestamp_ms, key, value };
            held.entry(producer_id).or_default().push(held_record);
        } else {
            let RecordRef { offset, timestamp_ms, key, value, .. } = *record;
            visit(Applied { offset, timestamp_ms, key, value });
        }
        ControlFlow::<()>::Continue(())
    };
    frame.records(decompressor)?.visit(&mut each).map(|_| ())
}
