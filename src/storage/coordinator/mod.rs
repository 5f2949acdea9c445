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
use super::log_dir::LogDir;
use super::partition::Partition;
use super::reader::{LogReader, ReadStep};
use super::remarks::{LogDamage, Remarks};
use super::replicas;
use crate::batch::compression::{Decompressor, MAX_BATCH_BYTES};
use crate::batch::control::ControlType;
use crate::batch::scan::Depth;
use crate::batch::{Frame, RecordRef};
use crate::schema::coordinator::CoordinatorTopic;
use crate::types::{Offset, ProducerId, TimestampMs};

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

/// The partitions of a coordinator's topic in `log_dirs`, by number; of several replicas see [`replicas`]. Those that
/// cannot be opened are in `failures`.
pub fn partitions(
    log_dirs: &[LogDir],
    topic: CoordinatorTopic,
    failures: &mut Vec<StorageError>,
) -> BTreeMap<i32, Partition> {
    let found = replicas::furthest(log_dirs, &|partition| partition.topic == topic.topic(), failures);
    found.into_iter().map(|(partition, chosen)| (partition.partition, chosen.partition)).collect()
}

/// Visits every record of `partition` that counts, in the order in which it takes effect.
///
/// What cannot be read is passed over, with a word in `remarks`: a broker would fail to load the partition there. Answers
/// whether every record was read.
pub fn replay(
    partition: &Partition,
    remarks: &mut Remarks,
    visit: &mut dyn FnMut(Applied<'_>),
) -> Result<bool, StorageError> {
    let mut is_whole = true;
    let mut reader = LogReader::new(partition, Depth::Crc, MAX_BATCH_BYTES as u64);
    reader.seek(partition.log_start())?;
    let mut decompressor = Decompressor::default();
    let mut held: HashMap<ProducerId, Vec<Held>> = HashMap::new();
    let log_of = |segment: usize| partition.segments().get(segment).map_or(partition.dir(), |segment| &segment.log);
    loop {
        match reader.next()? {
            ReadStep::End { .. } => break,
            ReadStep::Gone { .. } => {}
            ReadStep::Damage { segment, damage } => {
                is_whole = false;
                remarks.damages.add_scanned(log_of(segment), &damage);
            }
            ReadStep::Entry { segment, entry } => {
                if let Err(reason) = apply(&entry.frame, partition.log_start(), &mut decompressor, &mut held, visit) {
                    is_whole = false;
                    let (log, next) = (log_of(segment).to_owned(), Some(entry.frame.last_offset().next()));
                    remarks.damages.add(LogDamage { log, position: entry.position, reason, next });
                }
            }
        }
    }
    remarks.notices.append(&mut reader.take_notices());
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
