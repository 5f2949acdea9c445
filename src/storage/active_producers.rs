//! The producers a partition knows at its end, as a broker that has loaded it would (`kafka-transactions.sh
//! describe-producers`): the newest producer snapshot, and the log behind it.

use std::collections::BTreeMap;

use super::fs::StorageError;
use super::names::{FileState, PartitionFile, SegmentFileKind, segment_file_name};
use super::partition::{Notice, Partition, present};
use super::producer_state::{self, ProducerSnapshot};
use super::producer_states::ProducerStates;
use super::remarks::{LogDamages, Remarks};
use super::transactions::each_producer_batch;
use crate::batch::Frame;
use crate::batch::scan::Depth;
use crate::types::{Offset, ProducerId};

/// The producers of `partition` at its log end. None has expired: that is for a broker's clock to say.
///
/// Batches and snapshots that a broker could not take, and what is damaged, are passed over; `remarks` has a word on each.
/// Of batches of data the headers are read, not the checksums: see [`extents`].
pub fn active_producers(partition: &Partition, remarks: &mut Remarks) -> Result<ProducerStates, StorageError> {
    let mut from = partition.log_start();
    let mut states = ProducerStates::new(from);
    // One beyond the log end speaks of records that are gone; a broker drops it (`truncateAndReload`).
    if let Some((offset, snapshot)) = newest_snapshot(partition, partition.log_end()?, &mut remarks.notices)? {
        states = ProducerStates::from_snapshot(&snapshot, offset, 0, i64::MAX);
        from = offset;
    }
    let first = partition.floor_segment(from);
    for (number, segment) in partition.segments().iter().enumerate().skip(first) {
        let mut refused = None;
        let range = from..Offset::MAX;
        each_producer_batch(partition, number, range, Depth::Headers, &mut remarks.damages, &mut |batch| {
            if let Err(refusal) = states.replay(batch) {
                refused.get_or_insert_with(|| (batch.base_offset(), refusal));
            }
        })?;
        if let Some((offset, refusal)) = refused {
            let said = format!("batch at offset {offset}: {refusal}; passed over");
            remarks.notices.push(Notice::new(&segment.log, said));
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

/// What the transactions hold that are open in `partition`, each since its first offset.
///
/// One walk from the earliest of them to the end, checksums and all: where it meets damage, `damages` says how far that
/// reaches, and so which of them may have ended there.
pub fn extents(
    partition: &Partition,
    open: &BTreeMap<ProducerId, Offset>,
    damages: &mut LogDamages,
) -> Result<BTreeMap<ProducerId, Extent>, StorageError> {
    let mut extents: BTreeMap<_, _> = open.keys().map(|producer| (*producer, Extent::default())).collect();
    let Some(first) = open.values().min().copied() else { return Ok(extents) };
    for number in partition.floor_segment(first)..partition.segments().len() {
        each_producer_batch(partition, number, first..Offset::MAX, Depth::Crc, damages, &mut |batch| {
            if !batch.is_transactional() || batch.is_control() {
                return;
            }
            let producer = batch.producer_id();
            let Some(extent) = extents.get_mut(&producer) else { return };
            if open.get(&producer).is_some_and(|since| batch.last_offset() >= *since) {
                extent.batches += 1;
                extent.records += u64::try_from(batch.record_count()).unwrap_or(0);
                extent.size_bytes += Frame::Batch(*batch).size_bytes();
            }
        })?;
    }
    Ok(extents)
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
