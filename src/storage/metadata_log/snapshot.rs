//! Snapshots of the metadata log: which there are, and whether they are complete.
//!
//! A snapshot begins with a header and ends with a footer, both control records; between them is all that the records
//! below its end offset came to. Its own offsets begin at 0.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::records::{Content, Entry, read_file};
use crate::batch::compression::Decompressor;
use crate::batch::walk::Walker;
use crate::schema::image::Provenance;
use crate::schema::metadata::ControlRecord;
use crate::storage::file_source::FileSource;
use crate::storage::fs::StorageError;
use crate::storage::names::{CheckpointState, PartitionFile};
use crate::storage::partition::Notice;
use crate::types::{LeaderEpoch, Offset, Position, TimestampMs};

/// What is said of a snapshot that is not complete.
pub(super) const NO_FOOTER: &str = "the snapshot has no footer: it was not written to its end";

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// The file.
    pub path: PathBuf,
    /// By its name: the offset that all records in it are below, and the epoch of the last one. `None` for
    /// `bootstrap.checkpoint` and other names.
    pub id: Option<(Offset, LeaderEpoch)>,
}

impl SnapshotFile {
    /// The time of the last record in it, if it is complete; `None` where it has no header or no footer.
    ///
    /// Walks over the headers of its batches, and reads the first and the last one.
    pub fn inspect(&self) -> Result<Option<TimestampMs>, StorageError> {
        let io = |error| StorageError::new(&self.path, error);
        let source = FileSource::with_read_bytes(File::open(&self.path).map_err(io)?, 4 << 10).map_err(io)?;
        let mut walker = Walker::headers(source, Position::ZERO);
        let mut last = None;
        while let Ok(walked) = walker.step().map_err(io)? {
            last = walked.frame.is_control().then(|| walked.frame.base_offset()).flatten();
        }
        let Some(last) = last else { return Ok(None) };
        let (mut header_ms, mut has_footer) = (None, false);
        let mut decompressor = Decompressor::default();
        let mut look = |entry: &Entry<'_>| {
            if let Content::Control { record, .. } = &entry.content {
                if let ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms } = record {
                    header_ms = header_ms.or(Some(*last_contained_log_timestamp_ms));
                }
                has_footer |= is_footer(record);
            }
        };
        read_file(&self.path, None, Offset::ZERO, &mut decompressor, &mut |entry| {
            look(entry);
            ControlFlow::Break(())
        })?;
        read_file(&self.path, None, last, &mut decompressor, &mut |entry| {
            look(entry);
            ControlFlow::Continue(())
        })?;
        Ok(header_ms.filter(|_| has_footer))
    }
}

/// The snapshots in `dir` that their names call complete, the newest first; a word about those that are not.
pub(super) fn list(dir: &Path) -> Result<(Vec<SnapshotFile>, Vec<Notice>), StorageError> {
    let io = |error| StorageError::new(dir, error);
    let (mut found, mut notices) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        if let PartitionFile::MetadataSnapshot { end_offset, epoch, state } = PartitionFile::parse(&name) {
            let path = dir.join(&name);
            if state != CheckpointState::Complete {
                notices.push(Notice::new(path, "a snapshot that was being written or removed; passed over"));
            } else {
                found.push(SnapshotFile { path, id: Some((end_offset, epoch)) });
            }
        }
    }
    // Kafka's order: the epoch first (`OffsetAndEpoch.compareTo`).
    found.sort_by_key(|file| std::cmp::Reverse(file.id.map(|(end, epoch)| (epoch, end))));
    notices.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((found, notices))
}

/// Whether a record ends a snapshot.
pub(super) fn is_footer(record: &ControlRecord) -> bool {
    *record == ControlRecord::SnapshotFooter
}

/// The last record that a snapshot of this name holds, told at its header.
pub(super) fn provenance(id: Option<(Offset, LeaderEpoch)>, entry: &Entry<'_>) -> Option<Provenance> {
    let Content::Control { record: ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms }, .. } =
        entry.content
    else {
        return None;
    };
    let (end, last_contained_epoch) = id?;
    let last_contained_offset = Offset::new(end.get().saturating_sub(1));
    Some(Provenance { last_contained_offset, last_contained_epoch, last_contained_log_timestamp_ms })
}
