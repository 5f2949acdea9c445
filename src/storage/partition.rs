//! One partition directory: its segments, and the offsets that bound what can be read from it.
//!
//! | offset | where it comes from |
//! |---|---|
//! | log start | `log-start-offset-checkpoint`, at least the first segment's base offset |
//! | log end | one above the last sound batch of the last segment |
//! | high watermark | `replication-offset-checkpoint`, at most the log end |
//! | last stable | first offset of the earliest open transaction, else the end asked about |
//!
//! Nothing here writes, locks or repairs.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::file_source::FileSource;
use super::fs::{StorageError, StorageErrorKind};
use super::index;
use super::index::offset::{OffsetEntry, OffsetIndex};
use super::index::time::TimeIndex;
use super::names::{FileState, PartitionDirName, PartitionFile, SegmentFileKind, segment_file_name};
use crate::batch::scan::{Depth, ScanOptions, Scanner, Step};
use crate::types::{Offset, Position, TimestampMs, TopicPartition};

/// Files that share a base offset: the log and, beside it, its indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Lowest offset it may hold.
    pub base: Offset,
    /// Its `.log` file.
    pub log: PathBuf,
    /// Length of the log when the directory was listed, in bytes.
    pub log_len: u64,
}

impl Segment {
    /// A sibling file of the same base offset, in the same state (`.deleted`, `.swap` ... or in use).
    pub fn sibling(&self, kind: SegmentFileKind) -> PathBuf {
        let state = self.log.file_name().and_then(|name| match PartitionFile::parse(name) {
            PartitionFile::Segment(file) => Some(file.state),
            _ => None,
        });
        let name = segment_file_name(self.base, kind) + state.unwrap_or(FileState::Live).suffix();
        self.log.with_file_name(name)
    }

    /// The offset index; `None` when there is no such file.
    pub fn offset_index(&self) -> Result<Option<index::IndexBytes>, StorageError> {
        present(index::read(&self.sibling(SegmentFileKind::OffsetIndex)))
    }

    /// The time index; `None` when there is no such file.
    pub fn time_index(&self) -> Result<Option<index::IndexBytes>, StorageError> {
        present(index::read(&self.sibling(SegmentFileKind::TimeIndex)))
    }
}

/// A missing file is an answer.
pub(crate) fn present<T>(read: Result<T, StorageError>) -> Result<Option<T>, StorageError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Something a reader got around, and the user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The file it is about.
    pub path: PathBuf,
    /// What was found and what was done instead.
    pub message: String,
}

impl Notice {
    pub(crate) fn new(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Notice { path: path.into(), message: message.into() }
    }
}

/// Offsets of one partition as its log dir's checkpoint files have them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checkpoints {
    /// Log start offset; absent unless it lies above the first segment's base offset.
    pub log_start: Option<Offset>,
    /// High watermark.
    pub high_watermark: Option<Offset>,
    /// First offset not known to be on disk.
    pub recovery_point: Option<Offset>,
    /// First offset the log cleaner has not seen.
    pub cleaner: Option<Offset>,
}

/// One partition directory, as listed at one moment.
#[derive(Debug, Clone)]
pub struct Partition {
    dir: PathBuf,
    name: PartitionDirName,
    segments: Vec<Segment>,
    checkpoints: Checkpoints,
    notices: Vec<Notice>,
    is_whole: bool,
}

impl Partition {
    /// Lists the segments of the directory `dir`, whose name says which partition it holds.
    ///
    /// Files that are no segments in use are left out; names that would stop a broker are noticed.
    pub fn open(dir: &Path, checkpoints: Checkpoints) -> Result<Partition, StorageError> {
        let name = dir_name(dir).and_then(|name| PartitionDirName::parse(&name).ok());
        let name = name.unwrap_or_else(|| PartitionDirName::live(TopicPartition::new(dir.display().to_string(), 0)));
        let mut partition = Partition {
            dir: dir.to_owned(),
            name,
            segments: Vec::new(),
            checkpoints,
            notices: Vec::new(),
            is_whole: true,
        };
        partition.list()?;
        Ok(partition)
    }

    /// The partition that consists of the one file `log`, whatever state its name says it is in.
    ///
    /// The base offset is that of the name; `None` when the name holds none.
    pub fn of_file(log: &Path) -> Result<Option<Partition>, StorageError> {
        let Some(file_name) = log.file_name() else { return Ok(None) };
        let PartitionFile::Segment(file) = PartitionFile::parse(file_name) else { return Ok(None) };
        if file.kind != SegmentFileKind::Log {
            return Ok(None);
        }
        let log_len = std::fs::metadata(log).map_err(|error| StorageError::new(log, error))?.len();
        let dir = log.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = dir_name(dir).and_then(|name| PartitionDirName::parse(&name).ok());
        let name = name.unwrap_or_else(|| PartitionDirName::live(TopicPartition::new(dir.display().to_string(), 0)));
        Ok(Some(Partition {
            dir: dir.to_owned(),
            name,
            segments: vec![Segment { base: file.offset, log: log.to_owned(), log_len }],
            checkpoints: Checkpoints::default(),
            notices: Vec::new(),
            is_whole: false,
        }))
    }

    fn list(&mut self) -> Result<(), StorageError> {
        let error = |error: io::Error| StorageError::new(&self.dir, error);
        let mut segments = Vec::new();
        let mut indexes = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(error)? {
            let entry = entry.map_err(error)?;
            let file_name = entry.file_name();
            match PartitionFile::parse(&file_name) {
                PartitionFile::Segment(file) if file.kind == SegmentFileKind::Log && file.state == FileState::Live => {
                    // Deleted between listing and looking: retention in a running broker.
                    let Ok(metadata) = entry.metadata() else { continue };
                    if !file.is_canonical {
                        let name = segment_file_name(file.offset, file.kind);
                        let said = format!("a broker would open {name} instead of this file; it is left out");
                        self.notices.push(Notice::new(entry.path(), said));
                        continue;
                    }
                    segments.push(Segment { base: file.offset, log: entry.path(), log_len: metadata.len() });
                }
                PartitionFile::Segment(file) if file.kind == SegmentFileKind::Log && file.state == FileState::Swap => {
                    let said = "a compaction or split was cut short; a broker puts this file in place when it \
                                starts, here it is left out";
                    self.notices.push(Notice::new(entry.path(), said));
                }
                PartitionFile::Segment(file)
                    if file.kind == SegmentFileKind::OffsetIndex && file.state == FileState::Live =>
                {
                    indexes.push((file.offset, entry.path()));
                }
                PartitionFile::NotAnOffset { .. } => {
                    let said = "not the name of a segment; a broker refuses to start over it";
                    self.notices.push(Notice::new(entry.path(), said));
                }
                _ => {}
            }
        }
        segments.sort_by_key(|segment| segment.base);
        indexes.sort();
        for (base, path) in indexes {
            if segments.binary_search_by_key(&base, |segment| segment.base).is_err() {
                let said = "there is no log of this name; the offsets it held are skipped";
                self.notices.push(Notice::new(path, said));
            }
        }
        self.segments = segments;
        Ok(())
    }

    /// Lists the segments again: a broker may have rolled or deleted some.
    pub fn refresh(&mut self) -> Result<(), StorageError> {
        self.notices.clear();
        self.list()
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether it is a directory, not one file of it.
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// What the directory's name says.
    pub const fn name(&self) -> &PartitionDirName {
        &self.name
    }

    /// The topic and partition, as far as the directory's name tells.
    pub const fn topic_partition(&self) -> &TopicPartition {
        &self.name.topic_partition
    }

    /// Segments in use, by base offset.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What the log dir's checkpoint files say about it.
    pub const fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// What was odd about the directory itself.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// The first offset readers may see.
    pub fn log_start(&self) -> Offset {
        let first = self.segments.first().map_or(Offset::ZERO, |segment| segment.base);
        self.checkpoints.log_start.unwrap_or(first).max(first)
    }

    /// The offset the next record would get: one above the last sound batch of the last segment.
    ///
    /// Found from the last index entry that proves true, else by scanning the segment. A broker that
    /// trusts a clean shutdown marker may think otherwise; this is what is really there.
    pub fn log_end(&self) -> Result<Offset, StorageError> {
        let Some(last) = self.segments.last() else { return Ok(self.log_start()) };
        let mut scanner = match open_scanner(last, Depth::Crc) {
            Ok(scanner) => scanner,
            Err(error) if error.is_not_found() => return Ok(last.base),
            Err(error) => return Err(error),
        };
        if let Ok(Some(bytes)) = last.offset_index() {
            let index = OffsetIndex::from_file(last.base, &bytes);
            if let Some(entry) = index.entries().next_back() {
                seek_if_true(&mut scanner, entry, last).map_err(|error| StorageError::new(&last.log, error))?;
            }
        }
        loop {
            match scanner.next().map_err(|error| StorageError::new(&last.log, error))? {
                Step::Entry(_) | Step::Damage(_) => {}
                Step::End(..) => return Ok(scanner.next_offset().unwrap_or(last.base).max(self.log_start())),
            }
        }
    }

    /// The high watermark of the checkpoint, at most `log_end`; `None` when no checkpoint has one.
    pub fn high_watermark(&self, log_end: Offset) -> Option<Offset> {
        self.checkpoints.high_watermark.map(|stored| stored.min(log_end))
    }

    /// Number of the segment that holds `offset`, or the first when it lies below all.
    pub fn floor_segment(&self, offset: Offset) -> usize {
        self.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1)
    }

    /// The first record at or behind `from` whose timestamp is at or above `target_ms`, as
    /// `UnifiedLog.searchOffsetInLocalLog` finds it: control records count, offsets below `from` do not.
    ///
    /// A time index that is missing or empty is made up for by scanning.
    pub fn find_timestamp(
        &self,
        target_ms: TimestampMs,
        from: Offset,
        max_batch_bytes: usize,
    ) -> Result<Option<(Offset, TimestampMs)>, StorageError> {
        let mut decompressor = crate::batch::Decompressor::with_cap(max_batch_bytes);
        let start = self.floor_segment(from);
        for (number, segment) in self.segments.iter().enumerate().skip(start) {
            let is_last = number + 1 == self.segments.len();
            let bytes = segment.time_index()?;
            let time_index = bytes.as_ref().map(|bytes| TimeIndex::from_file(segment.base, bytes));
            let usable = time_index.filter(|index| !index.is_empty() && index.first_violation().is_none());
            if let Some(last) = usable.and_then(|index| index.last())
                && !is_last
                && last.timestamp < target_ms
            {
                continue;
            }
            // Everything below the floor entry is older than the target.
            let floor = usable.map_or(segment.base, |index| index.lookup(target_ms).offset).max(from);
            let found = self.find_timestamp_in(segment, floor, target_ms, from, &mut decompressor);
            if let Some(found) = found.map_err(|error| StorageError::new(&segment.log, error))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find_timestamp_in(
        &self,
        segment: &Segment,
        floor: Offset,
        target_ms: TimestampMs,
        from: Offset,
        decompressor: &mut crate::batch::Decompressor,
    ) -> io::Result<Option<(Offset, TimestampMs)>> {
        let mut scanner = match open_scanner(segment, Depth::Crc) {
            Ok(scanner) => scanner,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(io::Error::other(error)),
        };
        if let Ok(Some(bytes)) = segment.offset_index() {
            let index = OffsetIndex::from_file(segment.base, &bytes);
            seek_if_true(&mut scanner, index.lookup(floor), segment)?;
        }
        loop {
            match scanner.next()? {
                Step::Entry(entry) => {
                    if entry.frame.max_timestamp_ms() < target_ms || entry.frame.last_offset() < from {
                        continue;
                    }
                    let Ok(records) = entry.frame.records(decompressor) else { continue };
                    let hit = records
                        .map_while(Result::ok)
                        .find(|record| record.timestamp_ms >= target_ms && record.offset >= from);
                    if let Some(record) = hit {
                        return Ok(Some((record.offset, record.timestamp_ms)));
                    }
                }
                Step::Damage(_) => {}
                Step::End(..) => return Ok(None),
            }
        }
    }
}

/// Reads the log of `segment` from its start.
pub(crate) fn open_scanner(segment: &Segment, depth: Depth) -> Result<Scanner<FileSource>, StorageError> {
    let options = ScanOptions { depth, base_offset: Some(segment.base), ..ScanOptions::default() };
    open_scanner_with(segment, options)
}

pub(crate) fn open_scanner_with(segment: &Segment, options: ScanOptions) -> Result<Scanner<FileSource>, StorageError> {
    let error = |error: io::Error| StorageError::new(&segment.log, error);
    let metadata = std::fs::metadata(&segment.log).map_err(error)?;
    if !metadata.is_file() {
        return Err(StorageError::new(&segment.log, StorageErrorKind::NotAFile));
    }
    let file = File::open(&segment.log).map_err(error)?;
    let source = match options.depth {
        // A page holds the header; payloads are jumped over.
        Depth::Headers => FileSource::with_read_bytes(file, 4 << 10),
        Depth::Crc => FileSource::new(file),
    };
    Ok(Scanner::new(source.map_err(error)?, Position::ZERO, options))
}

/// Whether the index told the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seek {
    /// The scanner now stands at the entry's batch, or the entry was the start anyway.
    Done,
    /// There is no sound batch there, or it is not the one the entry speaks of; nothing moved.
    Lie,
}

/// Moves `scanner` to where the index entry points, if a sound batch stands there that starts at or
/// below the entry's offset: then every batch before it holds only lower offsets.
pub(crate) fn seek_if_true(
    scanner: &mut Scanner<FileSource>,
    entry: OffsetEntry,
    segment: &Segment,
) -> io::Result<Seek> {
    let Some(position) = entry.position() else { return Ok(Seek::Lie) };
    if position == Position::ZERO {
        return Ok(Seek::Done);
    }
    let home = (scanner.position(), scanner.next_offset());
    scanner.seek(position, Some(segment.base));
    let holds = match scanner.next()? {
        Step::Entry(found) => {
            let first = found.frame.base_offset().unwrap_or(segment.base);
            found.position == position && first <= entry.offset && found.frame.last_offset() >= segment.base
        }
        Step::Damage(_) | Step::End(..) => false,
    };
    if holds {
        scanner.seek(position, Some(segment.base));
        Ok(Seek::Done)
    } else {
        scanner.seek(home.0, home.1);
        Ok(Seek::Lie)
    }
}

/// The last component of a directory's path, also for `.` and paths that end in `..`.
fn dir_name(dir: &Path) -> Option<std::ffi::OsString> {
    match dir.file_name() {
        Some(name) => Some(name.to_owned()),
        None => dir.canonicalize().ok()?.file_name().map(OsStr::to_owned),
    }
}
