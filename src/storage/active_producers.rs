//! The producers a partition knows at its end, as a broker that has loaded it would (`kafka-transactions.sh
//! describe-producers`): the newest producer snapshot, and the log behind it.

use super::fs::StorageError;
use super::names::{FileState, PartitionFile, SegmentFileKind, segment_file_name};
use super::partition::{Notice, Partition, present};
use super::producer_state::{self, ProducerSnapshot};
use super::producer_states::ProducerStates;
use super::transactions::each_producer_batch;
use crate::batch::Frame;
use crate::types::{Offset, ProducerId};

/// The producers of `partition` at its log end. None has expired: that is for a broker's clock to say.
///
/// Batches and snapshots that a broker could not take are passed over; `notices` has a word on each.
pub fn active_producers(partition: &Partition, notices: &mut Vec<Notice>) -> Result<ProducerStates, StorageError> {
    let mut from = partition.log_start();
    let mut states = ProducerStates::new(from);
    // One beyond the log end speaks of records that are gone; a broker drops it (`truncateAndReload`).
    if let Some((offset, snapshot)) = newest_snapshot(partition, partition.log_end()?, notices)? {
        states = ProducerStates::from_snapshot(&snapshot, offset, 0, i64::MAX);
        from = offset;
    }
    let first = partition.floor_segment(from);
    for segment in partition.segments().get(first..).unwrap_or_default() {
        let mut refused = None;
        each_producer_batch(segment, from, Offset::MAX, &mut |batch| {
            if let Err(refusal) = states.replay(batch) {
                refused.get_or_insert_with(|| (batch.base_offset(), refusal));
            }
        })?;
        if let Some((offset, refusal)) = refused {
            let said = format!("batch at offset {offset}: {refusal}; passed over");
            notices.push(Notice::new(&segment.log, said));
        }
    }
    Ok(states)
}

/// What an open transaction holds in a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Batches.
    pub batches: u64,
    /// Records: as many as the headers say.
    pub records: u64,
    /// Bytes of its batches.
    pub size_bytes: u64,
}

/// What the transaction of `producer_id` that is open since `first` holds; reads headers from there to the end.
pub fn extent(partition: &Partition, producer_id: ProducerId, first: Offset) -> Result<Extent, StorageError> {
    let mut extent = Extent::default();
    let from = partition.floor_segment(first);
    for segment in partition.segments().get(from..).unwrap_or_default() {
        each_producer_batch(segment, first, Offset::MAX, &mut |batch| {
            if batch.producer_id() == producer_id && batch.is_transactional() && !batch.is_control() {
                extent.batches += 1;
                extent.records += u64::try_from(batch.record_count()).unwrap_or(0);
                extent.size_bytes += Frame::Batch(*batch).size_bytes();
            }
        })?;
    }
    Ok(extent)
}

/// The producer snapshot of exactly this offset; `None` when there is none that can be read.
pub(super) fn snapshot_at(
    partition: &Partition,
    offset: Offset,
    notices: &mut Vec<Notice>,
) -> Option<ProducerSnapshot> {
    let path = partition.dir().join(segment_file_name(offset, SegmentFileKind::Snapshot));
    match present(producer_state::read(&path)) {
        Ok(found) => found,
        Err(error) => {
            notices.push(Notice::new(path, format!("{}; the log was scanned instead", error.kind)));
            None
        }
    }
}

/// The newest readable snapshot at or below `end`, as Kafka loads it (`ProducerStateManager.loadFromSnapshot`).
pub(super) fn newest_snapshot(
    partition: &Partition,
    end: Offset,
    notices: &mut Vec<Notice>,
) -> Result<Option<(Offset, ProducerSnapshot)>, StorageError> {
    let dir = partition.dir();
    let log_start = partition.log_start();
    let entries = std::fs::read_dir(dir).map_err(|error| StorageError::new(dir, error))?;
    let mut offsets: Vec<Offset> = entries
        .flatten()
        .filter_map(|entry| match PartitionFile::parse(&entry.file_name()) {
            PartitionFile::Segment(file)
                if file.kind == SegmentFileKind::Snapshot
                    && file.state == FileState::Live
                    && file.is_canonical
                    && file.offset <= end
                    && file.offset > log_start =>
            {
                Some(file.offset)
            }
            _ => None,
        })
        .collect();
    offsets.sort_unstable();
    while let Some(offset) = offsets.pop() {
        if let Some(snapshot) = snapshot_at(partition, offset, notices) {
            return Ok(Some((offset, snapshot)));
        }
    }
    Ok(None)
}
