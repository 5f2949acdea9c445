//! Indexes made again from the log, and put in place.
//!
//! Each file is written beside, synced, and renamed over the old one: at any moment there is the one or the other, and
//! both are read in the same way.

use std::path::PathBuf;

use super::segment::SegmentReport;
use crate::storage::fs::{self, StorageError};
use crate::storage::names::SegmentFileKind;

/// One index file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIndex {
    /// Which.
    pub kind: SegmentFileKind,
    /// The file.
    pub path: PathBuf,
    /// What it will hold.
    pub bytes: Vec<u8>,
    /// Number of these bytes.
    pub new_bytes: u64,
    /// Bytes it holds now; `None`: it is not there.
    pub old_bytes: Option<u64>,
}

/// The indexes of a segment that change when they are made again; those that are the same already do not.
pub fn changes(report: &mut SegmentReport) -> Result<Vec<NewIndex>, StorageError> {
    let Some(made) = report.rebuilt.take() else { return Ok(Vec::new()) };
    let files = [
        (SegmentFileKind::OffsetIndex, made.offset),
        (SegmentFileKind::TimeIndex, made.time),
        (SegmentFileKind::TxnIndex, made.txn),
    ];
    let mut changes = Vec::new();
    for (kind, bytes) in files {
        let Some(bytes) = bytes else { continue };
        let path = report.log.with_extension(kind.suffix().trim_start_matches('.'));
        let old_bytes = match std::fs::metadata(&path) {
            Ok(metadata) => Some(metadata.len()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(StorageError::new(path, error)),
        };
        // There is none where nothing was aborted.
        if kind == SegmentFileKind::TxnIndex && bytes.is_empty() && old_bytes.is_none() {
            continue;
        }
        let is_same = old_bytes == Some(bytes.len() as u64)
            && std::fs::read(&path).map_err(|error| StorageError::new(&path, error))? == bytes;
        if !is_same {
            changes.push(NewIndex { kind, path, new_bytes: bytes.len() as u64, bytes, old_bytes });
        }
    }
    Ok(changes)
}

/// Writes one of them. The log directory must be locked for changing.
pub fn write(change: &NewIndex) -> Result<(), StorageError> {
    fs::replace_atomic(&change.path, &change.bytes)
}
