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
use std::fs::{DirEntry, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file_source::FileSource;
use super::fs::{StorageError, StorageErrorKind};
use super::index;
use super::index::offset::{OffsetEntry, OffsetIndex};
use super::names::{FileState, PartitionDirName, PartitionFile, SegmentFileKind, SegmentFileName, segment_file_name};
use crate::batch::scan::{Advance, Damage, Depth, ScanOptions, Scanner, Step, Tail};
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
        let name = segment_file_name(self.base, kind) + self.state().suffix();
        self.log.with_file_name(name)
    }

    /// Whether its files were in use when they were listed.
    pub fn state(&self) -> FileState {
        match self.log.file_name().map(PartitionFile::parse) {
            Some(PartitionFile::Segment(file)) => file.state,
            _ => FileState::Live,
        }
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

/// The end of a partition's log, as [`Partition::tail`] finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogTail {
    /// The offset the next record would get.
    pub log_end: Offset,
    /// The largest timestamp of a batch read on the way, and that batch's last offset; of several the first.
    pub largest: Option<(TimestampMs, Offset)>,
    /// How the last segment ends.
    pub end: Tail,
    /// The first bytes among others that hold no sound batch.
    pub damage: Option<Damage>,
    /// How many bytes were read through.
    pub bytes: u64,
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

    /// What waits to be removed from the directory `dir`: the logs of its `.deleted` and `.cleaned` segments.
    pub fn set_aside(dir: &Path) -> Result<Partition, StorageError> {
        let error = |error: io::Error| StorageError::new(dir, error);
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(error)? {
            let entry = entry.map_err(error)?;
            let PartitionFile::Segment(file) = PartitionFile::parse(&entry.file_name()) else { continue };
            if file.kind != SegmentFileKind::Log || !matches!(file.state, FileState::Deleted | FileState::Cleaned) {
                continue;
            }
            // Removed since it was listed.
            let Ok(metadata) = entry.metadata() else { continue };
            segments.push(Segment { base: file.offset, log: entry.path(), log_len: metadata.len() });
        }
        segments.sort_by(|a, b| (a.base, &a.log).cmp(&(b.base, &b.log)));
        let name = PartitionDirName::live(TopicPartition::new(dir.display().to_string(), 0));
        let (checkpoints, notices) = (Checkpoints::default(), Vec::new());
        Ok(Partition { dir: dir.to_owned(), name, segments, checkpoints, notices, is_whole: false })
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
        let mut listing = Listing::steady(&self.dir)?;
        listing.put_replacements_in_place()?;
        listing.notice_orphans();
        self.segments = listing.segments;
        self.notices = listing.notices;
        Ok(())
    }

    /// Lists the segments again: a broker may have rolled or deleted some.
    pub fn refresh(&mut self) -> Result<(), StorageError> {
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
    /// A broker that trusts a clean shutdown marker may think otherwise; this is what is really there.
    pub fn log_end(&self) -> Result<Offset, StorageError> {
        Ok(self.tail()?.log_end)
    }

    /// What stands behind the last index entry of the last segment that proves true; without one, the whole segment.
    pub fn tail(&self) -> Result<LogTail, StorageError> {
        let nothing = LogTail { log_end: self.log_start(), largest: None, end: Tail::Clean, damage: None, bytes: 0 };
        let Some(last) = self.segments.last() else { return Ok(nothing) };
        let mut scanner = match open_scanner(last, Depth::Crc) {
            Ok(scanner) => scanner,
            Err(error) if error.is_not_found() => return Ok(LogTail { log_end: last.base, ..nothing }),
            Err(error) => return Err(error),
        };
        let error = |error: io::Error| StorageError::new(&last.log, error);
        // An index that cannot be read is as good as none.
        if let Ok(Some(entry)) = index::tail::offset(last.base, &last.sibling(SegmentFileKind::OffsetIndex)) {
            seek_if_true(&mut scanner, entry, last).map_err(error)?;
        }
        let mut tail = nothing;
        let from = scanner.position();
        loop {
            match scanner.next().map_err(error)? {
                Step::Entry(entry) => {
                    let timestamp = entry.frame.max_timestamp_ms();
                    if tail.largest.is_none_or(|(largest, _)| timestamp > largest) {
                        tail.largest = Some((timestamp, entry.frame.last_offset()));
                    }
                }
                Step::Damage(damage) => tail.damage = tail.damage.or(Some(damage)),
                Step::End(position, end) => {
                    tail.end = end;
                    tail.bytes = position.get().saturating_sub(from.get());
                    break;
                }
            }
        }
        tail.log_end = scanner.next_offset().unwrap_or(last.base).max(self.log_start());
        Ok(tail)
    }

    /// The high watermark of the checkpoint, at most `log_end`; `None` when no checkpoint has one.
    pub fn high_watermark(&self, log_end: Offset) -> Option<Offset> {
        self.checkpoints.high_watermark.map(|stored| stored.min(log_end))
    }

    /// Bytes of log from the index entry at or below `offset` on, or from the start of its segment where there is none.
    pub fn bytes_from(&self, offset: Offset) -> u64 {
        let first = self.floor_segment(offset);
        let all: u64 = self.segments.iter().skip(first).map(|segment| segment.log_len).sum();
        let skipped = self.segments.get(first).and_then(|segment| {
            let bytes = segment.offset_index().ok()??;
            let index = OffsetIndex::from_file(segment.base, &bytes);
            let position = u64::from(index.lookup(offset).raw_position.cast_unsigned());
            index.first_violation().is_none().then(|| position.min(segment.log_len))
        });
        all.saturating_sub(skipped.unwrap_or_default())
    }

    /// Number of the segment that holds `offset`, or the first when it lies below all.
    pub fn floor_segment(&self, offset: Offset) -> usize {
        self.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1)
    }
}

/// A directory listed while a broker may be renaming files in it.
#[derive(Debug, Default)]
struct Listing {
    segments: Vec<Segment>,
    /// `.swap` files: what the cleaner or a split made, about to take the place of segments.
    replacements: Vec<Segment>,
    /// Lowest base offset of an unfinished replacement.
    cleaned: Option<Offset>,
    /// Offset indexes in use.
    indexes: Vec<(Offset, PathBuf)>,
    notices: Vec<Notice>,
}

/// A directory that changed within this time may be changing still.
const QUIET: Duration = Duration::from_secs(1);
/// Listings before the last one is taken for what it is.
const LISTINGS_MAX: usize = 10;

impl Listing {
    /// The files of one moment. Reading a directory is not atomic: a file renamed meanwhile can be missing under
    /// both names, one created meanwhile be there without the one created before it. So it is listed until
    /// two listings agree, unless it was left alone for a while.
    fn steady(dir: &Path) -> Result<Listing, StorageError> {
        let changed = || std::fs::metadata(dir).and_then(|metadata| metadata.modified()).ok();
        let before = changed();
        let mut listing = Listing::read(dir)?;
        let is_quiet = before.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > QUIET);
        if is_quiet && changed() == before {
            return Ok(listing);
        }
        for _ in 1..LISTINGS_MAX {
            let again = Listing::read(dir)?;
            let agree = again.paths().eq(listing.paths());
            listing = again;
            if agree {
                break;
            }
        }
        Ok(listing)
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.segments.iter().chain(&self.replacements).map(|segment| segment.log.as_path())
    }

    fn read(dir: &Path) -> Result<Listing, StorageError> {
        let error = |error: io::Error| StorageError::new(dir, error);
        let mut listing = Listing::default();
        for entry in std::fs::read_dir(dir).map_err(error)? {
            let entry = entry.map_err(error)?;
            match PartitionFile::parse(&entry.file_name()) {
                PartitionFile::Segment(file) if file.kind == SegmentFileKind::Log => listing.add(&entry, file),
                PartitionFile::Segment(file)
                    if file.kind == SegmentFileKind::OffsetIndex && file.state == FileState::Live =>
                {
                    listing.indexes.push((file.offset, entry.path()));
                }
                PartitionFile::NotAnOffset { .. } => {
                    let said = "not the name of a segment; a broker refuses to start over it";
                    listing.notices.push(Notice::new(entry.path(), said));
                }
                _ => {}
            }
        }
        listing.segments.sort_by_key(|segment| segment.base);
        listing.replacements.sort_by_key(|segment| segment.base);
        Ok(listing)
    }

    /// Says which indexes have lost their log.
    fn notice_orphans(&mut self) {
        self.indexes.sort();
        for (base, path) in std::mem::take(&mut self.indexes) {
            if self.segments.binary_search_by_key(&base, |segment| segment.base).is_err() {
                let said = "there is no log of this name; the offsets it held are skipped";
                self.notices.push(Notice::new(path, said));
            }
        }
    }

    fn add(&mut self, entry: &DirEntry, file: SegmentFileName) {
        let into = match file.state {
            FileState::Live => &mut self.segments,
            FileState::Swap if file.is_canonical => &mut self.replacements,
            FileState::Cleaned => {
                self.cleaned = Some(self.cleaned.map_or(file.offset, |lowest| lowest.min(file.offset)));
                return;
            }
            FileState::Swap | FileState::Deleted => return,
        };
        // Deleted between listing and looking: retention in a running broker.
        let Ok(metadata) = entry.metadata() else { return };
        if !file.is_canonical {
            let name = segment_file_name(file.offset, file.kind);
            let said = format!("a broker would open {name} instead of this file; it is left out");
            self.notices.push(Notice::new(entry.path(), said));
            return;
        }
        into.push(Segment { base: file.offset, log: entry.path(), log_len: metadata.len() });
    }

    /// Between dropping the old segments and renaming the new one (`LocalLog.replaceSegments`), the data is
    /// in the `.swap` file only. It counts then, as for a broker that starts (`LogLoader.load`).
    fn put_replacements_in_place(&mut self) -> Result<(), StorageError> {
        for replacement in std::mem::take(&mut self.replacements) {
            let base = replacement.base;
            // Nothing was dropped yet: the old segments are still whole.
            let is_early = self.cleaned.is_some_and(|cleaned| cleaned <= base);
            if is_early || self.segments.iter().any(|segment| segment.base == base) {
                continue;
            }
            let mut scanner = match open_scanner(&replacement, Depth::Headers) {
                Ok(scanner) => scanner,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            let error = |error: io::Error| StorageError::new(&replacement.log, error);
            while !matches!(scanner.advance().map_err(error)?, Advance::End(..)) {}
            let end = scanner.next_offset().unwrap_or(base);
            self.segments.retain(|segment| segment.base < base || segment.base >= end);
            let said = "a finished replacement that a broker puts in place; read as if it were there";
            self.notices.push(Notice::new(&replacement.log, said));
            let at = self.segments.partition_point(|segment| segment.base < base);
            self.segments.insert(at, replacement);
        }
        Ok(())
    }
}

/// Reads the log of `segment` from its start.
pub(crate) fn open_scanner(segment: &Segment, depth: Depth) -> Result<Scanner<FileSource>, StorageError> {
    let options = ScanOptions { depth, base_offset: Some(segment.base), ..ScanOptions::default() };
    open_scanner_with(segment, options)
}

pub(crate) fn open_scanner_with(segment: &Segment, options: ScanOptions) -> Result<Scanner<FileSource>, StorageError> {
    let error = |error: io::Error| StorageError::new(&segment.log, error);
    let file = open_log(segment)?;
    let source = match options.depth {
        // A page holds the header; payloads are jumped over.
        Depth::Headers => FileSource::with_read_bytes(file, 4 << 10),
        Depth::Crc => FileSource::new(file),
    };
    Ok(Scanner::new(source.map_err(error)?, Position::ZERO, options))
}

/// Opens the log under the name it was listed by or, when a broker renamed it since, the one it has now:
/// in place where it was about to be put there, `.deleted` where it was dropped and is not yet removed.
fn open_log(segment: &Segment) -> Result<File, StorageError> {
    let error = |error: io::Error| StorageError::new(&segment.log, error);
    let open = |path: &Path| {
        // Before opening: opening a pipe waits for its other end.
        if !std::fs::metadata(path).map_err(error)?.is_file() {
            return Err(StorageError::new(path, StorageErrorKind::NotAFile));
        }
        File::open(path).map_err(error)
    };
    let missing = match open(&segment.log) {
        Err(error) if error.is_not_found() => error,
        opened => return opened,
    };
    let later: &[FileState] = match segment.state() {
        FileState::Live => &[FileState::Deleted],
        FileState::Swap => &[FileState::Live, FileState::Deleted],
        FileState::Deleted | FileState::Cleaned => &[],
    };
    let name = segment_file_name(segment.base, SegmentFileKind::Log);
    let mut renamed = later.iter().map(|state| segment.log.with_file_name(name.clone() + state.suffix()));
    renamed.find_map(|path| present(open(&path)).transpose()).unwrap_or(Err(missing))
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
