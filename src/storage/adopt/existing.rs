//! What stands where an adopted partition is to go.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::epochs::EPOCH_AT;
use crate::batch::walk::Walker;
use crate::storage::file_source::FileSource;
use crate::storage::fs::{self, StorageError};
use crate::storage::names::{FileState, PartitionFile, SegmentFileKind, segment_file_name};
use crate::storage::partition::{Checkpoints, Partition};
use crate::types::{Offset, Position};

/// Bytes that are compared at once.
const PIECE_BYTES: usize = 1 << 20;

/// Whether a partition directory holds nothing: its logs are empty, or zeros from end to end as they are preallocated. Zeros
/// at the start alone are a lost write, with records behind them.
///
/// So does one with files beside those of a log in use, such as segments that are marked as deleted: somebody may want them.
pub(super) fn is_empty(dir: &Path) -> Result<bool, StorageError> {
    let listed = |error| StorageError::new(dir, error);
    for entry in std::fs::read_dir(dir).map_err(listed)? {
        let entry = entry.map_err(listed)?;
        // What an earlier run of this program keeps there has refusals of its own.
        if entry.file_name().as_encoded_bytes().starts_with(b".logdir-") {
            continue;
        }
        let is_of_a_log = match PartitionFile::parse(&entry.file_name()) {
            PartitionFile::Segment(file) => file.state == FileState::Live && file.is_canonical,
            PartitionFile::LeaderEpochs | PartitionFile::PartitionMetadata | PartitionFile::Temporary => true,
            _ => false,
        };
        if !is_of_a_log || !fs::is_file(&entry.path())? {
            return Ok(false);
        }
    }
    let partition = Partition::open(dir, Checkpoints::default())?;
    for segment in partition.segments() {
        let error = |error| StorageError::new(&segment.log, error);
        let file = File::open(&segment.log).map_err(error)?;
        let (mut piece, mut at) = (vec![0; PIECE_BYTES], 0);
        loop {
            let read = file.read_at(&mut piece, at).map_err(error)?;
            if piece.iter().take(read).any(|byte| *byte != 0) {
                return Ok(false);
            }
            if read == 0 {
                break;
            }
            at += read as u64;
        }
    }
    Ok(true)
}

/// Whether the log in `there` begins with that of `source`, whose segments are given, but for lower leader epochs.
///
/// Then it was adopted before, and may have grown since.
pub(super) fn begins_with(there: &Path, source: &Path, segments: &[(Offset, u64)]) -> Result<bool, StorageError> {
    let mut compared = false;
    for (base, len) in segments {
        let name = segment_file_name(*base, SegmentFileKind::Log);
        let (ours, theirs) = (there.join(&name), source.join(&name));
        if *len == 0 {
            continue;
        }
        if !std::fs::metadata(&ours).is_ok_and(|metadata| metadata.is_file() && metadata.len() >= *len) {
            return Ok(false);
        }
        if !same_batches(&ours, &theirs, *len)? {
            return Ok(false);
        }
        compared = true;
    }
    Ok(compared)
}

/// Whether the log in `there` is that of `source` without its first segments: adopted before, and retention has been at it.
pub(super) fn continues(there: &Path, source: &Path, segments: &[(Offset, u64)]) -> Result<bool, StorageError> {
    let partition = Partition::open(there, Checkpoints::default())?;
    let Some(first) = partition.segments().first().map(|segment| segment.base) else { return Ok(false) };
    let left: Vec<(Offset, u64)> = segments.iter().copied().filter(|(base, _)| *base >= first).collect();
    Ok(left.len() < segments.len() && begins_with(there, source, &left)?)
}

fn same_batches(ours: &Path, theirs: &Path, len: u64) -> Result<bool, StorageError> {
    let (ours_at, theirs_at) = (|error| StorageError::new(ours, error), |error| StorageError::new(theirs, error));
    let our_file = File::open(ours).map_err(ours_at)?;
    let their_file = File::open(theirs).map_err(theirs_at)?;
    let source = FileSource::up_to(their_file.try_clone().map_err(theirs_at)?, len).map_err(theirs_at)?;
    let mut walker = Walker::headers(source, Position::ZERO);
    let (mut left, mut right) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    while let Ok(walked) = walker.step().map_err(theirs_at)? {
        let (start, end) = (walked.position.get(), walked.position.get() + walked.size_bytes);
        let has_epoch = walked.frame.magic() >= 2;
        let mut at = start;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let (left, right) = (&mut left[..want], &mut right[..want]);
            our_file.read_exact_at(left, at).map_err(ours_at)?;
            their_file.read_exact_at(right, at).map_err(theirs_at)?;
            if at == start && has_epoch {
                let field = usize::try_from(EPOCH_AT).unwrap_or_default()..16;
                if let (Some(ours), Some(theirs)) = (left.get_mut(field.clone()), right.get(field)) {
                    ours.copy_from_slice(theirs);
                }
            }
            if left != right {
                return Ok(false);
            }
            at += want as u64;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_from_end_to_end_are_empty_and_zeros_in_front_are_not() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("orders-0");
        std::fs::create_dir(&dir).unwrap();
        let log = dir.join("00000000000000000000.log");
        for (bytes, expected) in
            [(vec![], true), (vec![0; 3 << 20], true), ([vec![0; 2 << 20], vec![1]].concat(), false)]
        {
            std::fs::write(&log, &bytes).unwrap();
            assert_eq!(is_empty(&dir).unwrap(), expected, "{} bytes", bytes.len());
        }
    }
}
