//! Leader epochs of another cluster, brought below those of this one.
//!
//! An epoch counts the leaderships of one partition in one cluster. A log that comes from elsewhere may hold higher
//! ones than this cluster has come to. What Kafka 4.3 then does, by its code:
//!
//! - `Partition.makeLeader` assigns its epoch E at the log end (`LeaderEpochFileCache.assign`), which drops every entry
//!   with a higher epoch: where the old epochs began is forgotten, and `OffsetsForLeaderEpoch` answers -1 for them;
//! - a follower in epoch E skips every batch with a higher one and all that follow it, for ever
//!   (`UnifiedLog.hasHigherPartitionLeaderEpoch`, KAFKA-18723): the partition is never replicated;
//! - a consumer commits the epoch of the last batch it read with its offset; the next one of its group takes that for
//!   what the cluster has come to (`ConsumerCoordinator.refreshCommittedOffsets`, `Metadata.updateLastSeenEpochIfNewer`),
//!   ignores the metadata it gets as older than that, and gets no record any more.
//!
//! The first and the last are seen with a real broker in `tests/live_topics.rs`, the second is read in the code.
//!
//! So no batch may have a higher epoch than the cluster. Those that do get the cluster's: the field lies outside the
//! checksum, order stays order, and where an epoch began that is not higher stays known.

use std::fs::File;
use std::path::Path;

use crate::batch::walk::Walker;
use crate::storage::file_source::FileSource;
use crate::storage::fs::{self, Opening, StorageError};
use crate::storage::leader_epochs::LeaderEpochs;
use crate::storage::names::{SegmentFileKind, segment_file_name};
use crate::types::{LeaderEpoch, NO_TIMESTAMP, Offset, Position, TimestampMs};

/// Where a batch of magic 2 has its leader epoch.
pub(super) const EPOCH_AT: u64 = 12;

/// What the headers of a log's batches say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Highest leader epoch; `None` where no batch has one.
    pub highest_epoch: Option<LeaderEpoch>,
    /// Batches with a higher epoch than the cluster has.
    pub above: u64,
    /// Largest timestamp in each segment; -1 for none.
    pub newest_ms: Vec<TimestampMs>,
    /// Largest timestamp of a batch that has a producer id.
    pub newest_producer_ms: Option<TimestampMs>,
    /// Bytes of its segments.
    pub size_bytes: u64,
    /// Places between two batches where offsets are missing.
    pub holes: u64,
    /// First offset that is missing in the first of them, and the next there is.
    pub first_hole: Option<(Offset, Offset)>,
}

/// Reads the headers of all batches, of which those above `cap` are counted.
pub(super) fn survey(dir: &Path, segments: &[(Offset, u64)], cap: LeaderEpoch) -> Result<Survey, StorageError> {
    let mut survey = Survey::default();
    let mut next: Option<Offset> = None;
    for (base, len) in segments {
        let mut newest = NO_TIMESTAMP;
        walk(dir, *base, *len, |header| {
            newest = newest.max(header.newest_ms);
            // The base of a compressed message before magic 2 is not in its header.
            if let (Some(expected), Some(first)) = (next, header.first_offset)
                && first > expected
            {
                survey.holes += 1;
                survey.first_hole = survey.first_hole.or(Some((expected, first)));
            }
            next = Some(header.last_offset.next());
            survey.highest_epoch = survey.highest_epoch.max(Some(header.epoch).filter(|epoch| epoch.0 >= 0));
            survey.above += u64::from(header.epoch > cap);
            if header.has_producer {
                survey.newest_producer_ms = survey.newest_producer_ms.max(Some(header.newest_ms));
            }
            Ok(())
        })?;
        survey.newest_ms.push(newest);
        survey.size_bytes += len;
    }
    Ok(survey)
}

/// Gives batches above `cap` this epoch, and returns where each epoch begins; on disk when it returns.
///
/// The logs are written to where a batch needs it: they must not share their inode with others.
pub(super) fn cap(dir: &Path, segments: &[(Offset, u64)], cap: LeaderEpoch) -> Result<LeaderEpochs, StorageError> {
    let mut epochs = LeaderEpochs::new();
    for (base, len) in segments {
        let path = dir.join(segment_file_name(*base, SegmentFileKind::Log));
        let mut opened: Option<File> = None;
        walk(dir, *base, *len, |header| {
            let epoch = header.epoch.min(cap);
            if epoch.0 >= 0 && epochs.latest().is_none_or(|latest| latest.epoch < epoch) {
                epochs.assign(epoch, header.base_offset).map_err(std::io::Error::other)?;
            }
            if epoch == header.epoch {
                return Ok(());
            }
            if opened.is_none() {
                opened = Some(fs::open_to_write(&path, Opening::Existing)?);
            }
            let at = header.position.get() + EPOCH_AT;
            opened.as_ref().map_or(Ok(()), |file| fs::write_at(file, &path, &epoch.0.to_be_bytes(), at))
        })?;
        if let Some(file) = opened {
            fs::sync_file(&file, &path).map_err(|error| StorageError::new(&path, error))?;
        }
    }
    Ok(epochs)
}

/// What is of interest in the header of a batch.
struct Header {
    position: Position,
    base_offset: Offset,
    /// As the header says it, where it does.
    first_offset: Option<Offset>,
    last_offset: Offset,
    /// -1 in messages before magic 2.
    epoch: LeaderEpoch,
    newest_ms: TimestampMs,
    has_producer: bool,
}

fn walk(
    dir: &Path,
    base: Offset,
    len: u64,
    mut each: impl FnMut(Header) -> std::io::Result<()>,
) -> Result<(), StorageError> {
    let path = dir.join(segment_file_name(base, SegmentFileKind::Log));
    let walked = || -> std::io::Result<()> {
        let mut walker = Walker::headers(FileSource::up_to(File::open(&path)?, len)?, Position::ZERO);
        // The log was read through, with its checksums, before: where it stops it ends.
        while let Ok(walked) = walker.step()? {
            let frame = walked.frame;
            each(Header {
                position: walked.position,
                base_offset: frame.base_offset().unwrap_or(base),
                first_offset: frame.base_offset(),
                last_offset: frame.last_offset(),
                epoch: frame.leader_epoch(),
                newest_ms: frame.max_timestamp_ms(),
                has_producer: frame.producer_id().0 >= 0,
            })?;
        }
        Ok(())
    };
    let mut walked = walked;
    walked().map_err(|error| StorageError::new(&path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::builder::{BatchBuilder, BatchSpec, NewRecord};
    use crate::batch::compression::Compressor;
    use crate::storage::leader_epochs::EpochEntry;

    fn batch(offset: i64, epoch: i32) -> Vec<u8> {
        let spec =
            BatchSpec { base_offset: Offset::new(offset), leader_epoch: LeaderEpoch(epoch), ..BatchSpec::default() };
        let mut builder = BatchBuilder::new(spec);
        builder.push(&NewRecord { timestamp_ms: 1_000 + offset, key: None, value: Some(b"x"), headers: &[] }).unwrap();
        builder.seal(&mut Compressor::default()).unwrap().into_bytes()
    }

    #[test]
    fn offsets_between_batches_that_none_has_are_holes() {
        for (offsets, holes, first) in
            [(&[5, 6, 7][..], 0, None), (&[0, 3, 4], 1, Some((1, 3))), (&[0, 2, 3, 9], 2, Some((1, 2))), (&[], 0, None)]
        {
            let dir = tempfile::tempdir().unwrap();
            let bytes: Vec<u8> = offsets.iter().flat_map(|offset| batch(*offset, 0)).collect();
            std::fs::write(dir.path().join("00000000000000000000.log"), &bytes).unwrap();
            let found = survey(dir.path(), &[(Offset::ZERO, bytes.len() as u64)], LeaderEpoch(0)).unwrap();
            let found_first = found.first_hole.map(|(first, next)| (first.get(), next.get()));
            assert_eq!((found.holes, found_first), (holes, first), "{offsets:?}");
        }
    }

    #[test]
    fn epochs_above_the_clusters_become_its_own_and_the_rest_stays() {
        // Epochs of the batches, the cluster's, how many are above it, where epochs then begin.
        type Case<'a> = (&'a [i32], i32, u64, &'a [(i32, i64)]);
        let cases: [Case<'_>; 6] = [
            (&[0, 0, 1], 5, 0, &[(0, 0), (1, 2)]),
            (&[0, 3, 7, 7], 3, 2, &[(0, 0), (3, 1)]),
            (&[2, 3, 9], 0, 3, &[(0, 0)]),
            (&[0, 4, 4, 9], 5, 1, &[(0, 0), (4, 1), (5, 3)]),
            (&[-1, -1, 2], 1, 1, &[(1, 2)]),
            (&[], 1, 0, &[]),
        ];
        for (epochs, ours, above, expected) in cases {
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().join("00000000000000000000.log");
            let batches =
                |epochs: &[i32]| epochs.iter().zip(0..).map(|(e, at)| batch(at, *e)).collect::<Vec<_>>().concat();
            std::fs::write(&log, batches(epochs)).unwrap();
            let segments = [(Offset::ZERO, std::fs::metadata(&log).unwrap().len())];
            let ours = LeaderEpoch(ours);
            let found = survey(dir.path(), &segments, ours).unwrap();
            assert_eq!(found.above, above, "{epochs:?}");
            assert_eq!(found.highest_epoch, epochs.iter().copied().max().filter(|max| *max >= 0).map(LeaderEpoch));
            let made = cap(dir.path(), &segments, ours).unwrap();
            let made: Vec<_> =
                made.entries().iter().map(|EpochEntry { epoch, start }| (epoch.0, start.get())).collect();
            assert_eq!(made, expected, "{epochs:?}");
            let lowered: Vec<i32> = epochs.iter().map(|epoch| (*epoch).min(ours.0)).collect();
            assert_eq!(std::fs::read(&log).unwrap(), batches(&lowered), "{epochs:?}: nothing else changes");
        }
    }
}
