//! How a copy stands to its source: whether what it has is the beginning of what the source has.

use std::path::Path;

use super::Finding;
use crate::batch::Frame;
use crate::batch::scan::Depth;
use crate::storage::fs::{StorageError, StorageErrorKind};
use crate::storage::leader_epochs::{self, EpochEnd, LeaderEpochs};
use crate::storage::partition::{Partition, present};
use crate::storage::partition_metadata;
use crate::storage::reader::{LogReader, ReadStep};
use crate::types::{LeaderEpoch, Offset, Uuid};

/// Batches longer than this are damage.
pub(super) const BATCH_BYTES_MAX: u64 = crate::batch::compression::MAX_BATCH_BYTES as u64;

/// What identifies a batch; the checksum covers all of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    base: Option<Offset>,
    last: Offset,
    epoch: LeaderEpoch,
    size_bytes: u64,
    crc: u32,
}

impl Identity {
    fn of(frame: &Frame<'_>) -> Identity {
        Identity {
            base: frame.base_offset(),
            last: frame.last_offset(),
            epoch: frame.leader_epoch(),
            size_bytes: frame.size_bytes(),
            crc: frame.stored_crc(),
        }
    }

    fn first(&self) -> Offset {
        self.base.unwrap_or(self.last)
    }
}

/// The topic's id in a partition directory; none before Kafka 2.8.
pub(super) fn topic_id(dir: &Path) -> Result<Option<Uuid>, StorageError> {
    let read = present(partition_metadata::read(&dir.join(partition_metadata::FILE_NAME)))?;
    Ok(read.map(|metadata| metadata.topic_id).filter(|id| !id.is_reserved()))
}

/// The leader epochs in a partition directory; none where the file is not there, or is not one.
pub(super) fn epochs(dir: &Path) -> Result<LeaderEpochs, StorageError> {
    match leader_epochs::read(&dir.join(leader_epochs::FILE_NAME)) {
        Ok(epochs) => Ok(epochs),
        Err(error) if error.is_not_found() || !matches!(error.kind, StorageErrorKind::Io(_)) => Ok(LeaderEpochs::new()),
        Err(error) => Err(error),
    }
}

/// What keeps `copy`, which ends at `copy_end`, from going on with `source`, which ends at `source_end`.
///
/// Compared are the topics' ids, the ends, and the last batch of the copy with the one the source has there. Of a log that was
/// compacted (`may_have_holes`) that one may be another by now: then their leader epochs tell.
pub(super) fn compare(
    source: &Partition,
    source_end: Offset,
    copy: &Partition,
    copy_end: Offset,
    may_have_holes: bool,
) -> Result<Option<Finding>, StorageError> {
    if let (Some(source_id), Some(copy_id)) = (topic_id(source.dir())?, topic_id(copy.dir())?)
        && source_id != copy_id
    {
        return Ok(Some(Finding::Recreated { source_id, copy_id }));
    }
    let Some(last) = batch_at(copy, copy_end.plus(-1), copy_end)? else {
        // It never had a record: any start is its own.
        return Ok(None);
    };
    if source.log_start() > copy_end {
        return Ok(Some(Finding::Gap { from: copy_end, to: source.log_start() }));
    }
    let fork = fork_of(&epochs(source.dir())?, source_end, &epochs(copy.dir())?, copy_end);
    if source_end < copy_end {
        return Ok(Some(match fork.filter(|fork| *fork < source_end) {
            Some(at) => Finding::Differs { at },
            None => Finding::Shorter { source_end, copy_end },
        }));
    }
    if let Some(at) = fork {
        return Ok(Some(Finding::Differs { at }));
    }
    let theirs = batch_at(source, last.first(), source_end)?;
    let same = match theirs {
        // The cleaner writes batches anew, with fewer records under the same epoch.
        Some(theirs) => {
            theirs == last || (may_have_holes && (theirs.first() != last.first() || theirs.epoch == last.epoch))
        }
        // Removed by retention, or by the cleaner.
        None => may_have_holes || last.first() < source.log_start(),
    };
    Ok((!same).then(|| Finding::Differs { at: last.first() }))
}

/// The first offset at which a leader epoch says that the copy has other records (KIP-101, KIP-279).
fn fork_of(source: &LeaderEpochs, source_end: Offset, copy: &LeaderEpochs, copy_end: Offset) -> Option<Offset> {
    let latest = copy.entries().iter().rev().find(|entry| entry.start < copy_end)?;
    if source.entries().is_empty() {
        return None;
    }
    match source.end_offset_for(latest.epoch, source_end) {
        EpochEnd::Known { epoch, end } if epoch == latest.epoch => (end < copy_end).then_some(end),
        // The source never knew that leadership: what the copy has of it came from somewhere else.
        EpochEnd::Known { end, .. } => Some(end.min(latest.start)),
        EpochEnd::Unknown => Some(latest.start),
    }
}

/// The last sound batch that begins at or below `offset`, or else the first that begins below `end`.
fn batch_at(partition: &Partition, offset: Offset, end: Offset) -> Result<Option<Identity>, StorageError> {
    let floor = partition.floor_segment(offset);
    for (number, segment) in partition.segments().iter().enumerate().take(floor + 1).rev() {
        let from = if number == floor { offset.max(segment.base) } else { segment.base };
        if let Some(found) = last_from(partition, from, offset, end)? {
            return Ok(Some(found));
        }
        // The segment is empty: its last batch was cut off, or none was written yet.
    }
    Ok(None)
}

fn last_from(
    partition: &Partition,
    from: Offset,
    offset: Offset,
    end: Offset,
) -> Result<Option<Identity>, StorageError> {
    let mut reader = LogReader::new(partition, Depth::Crc, BATCH_BYTES_MAX);
    reader.seek(from)?;
    let mut found = None;
    loop {
        match reader.next()? {
            ReadStep::Entry { entry, .. } => {
                let identity = Identity::of(&entry.frame);
                if identity.first() >= end || (identity.first() > offset && found.is_some()) {
                    return Ok(found);
                }
                found = Some(identity);
                if identity.last >= offset {
                    return Ok(found);
                }
            }
            ReadStep::Damage { .. } | ReadStep::Gone { .. } => {}
            ReadStep::End { .. } => return Ok(found),
        }
    }
}
