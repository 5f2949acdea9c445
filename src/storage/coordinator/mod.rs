//! What the coordinators keep in their topics, read from the partitions of log directories.
//!
//! A coordinator's state is the last value of each key. Records of a transaction (offsets that a producer commits) count
//! from its commit marker on, and never when it is aborted (`CoordinatorLoaderImpl` of Kafka 4.3).
//!
//! - [`group_log`]: writing there.
//! - [`followed`]: one group, looked at again and again.
//! - [`groups`]: what `__consumer_offsets` says of groups and of the offsets they have committed.
//! - [`last_values`]: the last value of each key of a partition.
//! - [`transactions`]: what `__transaction_state` says of each transactional id, and what that means for transactions
//!   that are open in partitions.

pub mod followed;
pub mod group_log;
pub mod groups;
pub mod last_values;
pub mod transactions;

use std::collections::BTreeMap;
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

/// What a coordinator meets when it reads a partition of its topic.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A record.
    Record {
        /// It.
        record: Applied<'a>,
        /// The producer in whose transaction it stands; it counts when that is committed.
        transaction: Option<ProducerId>,
    },
    /// A marker: the producer's transaction is over.
    End {
        /// Whose.
        producer: ProducerId,
        /// Committed, not aborted.
        is_commit: bool,
    },
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

/// How a replay has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Every record was read.
    pub is_whole: bool,
    /// Where what comes after it starts.
    pub next: Offset,
}

/// Visits every record and marker of `partition` from offset `from` on, or from its log start where that is higher, in their
/// order.
///
/// What cannot be read is passed over, with a word in `remarks`: a broker would fail to load the partition there.
pub fn replay(
    partition: &Partition,
    from: Offset,
    remarks: &mut Remarks,
    visit: &mut dyn FnMut(Event<'_>),
) -> Result<Replayed, StorageError> {
    let mut is_whole = true;
    let from = from.max(partition.log_start());
    let mut next = from;
    let mut reader = LogReader::new(partition, Depth::Crc, MAX_BATCH_BYTES as u64);
    reader.seek(from)?;
    let mut decompressor = Decompressor::default();
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
                next = entry.frame.last_offset().next().max(next);
                if let Err(reason) = visit_batch(&entry.frame, from, &mut decompressor, visit) {
                    is_whole = false;
                    let (log, next) = (log_of(segment).to_owned(), Some(entry.frame.last_offset().next()));
                    remarks.damages.add(LogDamage { log, position: entry.position, reason, next });
                }
            }
        }
    }
    remarks.notices.append(&mut reader.take_notices());
    Ok(Replayed { is_whole, next })
}

fn visit_batch(
    frame: &Frame<'_>,
    from: Offset,
    decompressor: &mut Decompressor,
    visit: &mut dyn FnMut(Event<'_>),
) -> Result<(), crate::batch::PayloadError> {
    let producer = frame.producer_id();
    let transaction = frame.is_transactional().then_some(producer);
    let mut each = |record: &RecordRef<'_>| {
        if frame.is_control() {
            let ends = record.key.and_then(ControlType::of_key);
            if matches!(ends, Some(ControlType::Commit | ControlType::Abort)) {
                visit(Event::End { producer, is_commit: ends == Some(ControlType::Commit) });
            }
        } else if record.offset >= from {
            let RecordRef { offset, timestamp_ms, key, value, .. } = *record;
            visit(Event::Record { record: Applied { offset, timestamp_ms, key, value }, transaction });
        }
        ControlFlow::<()>::Continue(())
    };
    frame.records(decompressor)?.visit(&mut each).map(|_| ())
}
