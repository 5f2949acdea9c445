//! From what the user named to files of a known kind, in the order they are dumped.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::selection::Bounds;
use super::{DumpOptions, Output, Report, Selection, Severity, Telling};
use crate::storage::evidence::Evidence;
use crate::storage::fs::StorageError;
use crate::storage::log_dir::{LogDir, open_partition_dir};
use crate::storage::names::{FileState, PartitionDirName, PartitionFile, SegmentFileKind};
use crate::storage::partition::Partition;
use crate::storage::{checkpoint, leader_epochs, meta_properties, partition_metadata, quorum_state};
use crate::types::Offset;

/// What a file is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// Record batches: `.log`.
    Log,
    /// Record batches: a snapshot of the cluster's metadata, `.checkpoint`.
    MetadataSnapshot,
    /// `.index`.
    OffsetIndex,
    /// `.timeindex`.
    TimeIndex,
    /// `.txnindex`.
    TxnIndex,
    /// `.snapshot`.
    ProducerSnapshot,
    /// `*-offset-checkpoint`.
    OffsetCheckpoint,
    /// `leader-epoch-checkpoint`.
    LeaderEpochs,
    /// `partition.metadata`.
    PartitionMetadata,
    /// `quorum-state`.
    QuorumState,
    /// `meta.properties`.
    MetaProperties,
}

impl FileKind {
    /// The word for it in JSON and for `--as`.
    pub const fn name(self) -> &'static str {
        match self {
            FileKind::Log => "log",
            FileKind::MetadataSnapshot => "checkpoint",
            FileKind::OffsetIndex => "index",
            FileKind::TimeIndex => "timeindex",
            FileKind::TxnIndex => "txnindex",
            FileKind::ProducerSnapshot => "snapshot",
            FileKind::OffsetCheckpoint => "offset-checkpoint",
            FileKind::LeaderEpochs => "leader-epochs",
            FileKind::PartitionMetadata => "partition-metadata",
            FileKind::QuorumState => "quorum-state",
            FileKind::MetaProperties => "meta-properties",
        }
    }

    /// All of them.
    pub const ALL: [FileKind; 11] = [
        FileKind::Log,
        FileKind::MetadataSnapshot,
        FileKind::OffsetIndex,
        FileKind::TimeIndex,
        FileKind::TxnIndex,
        FileKind::ProducerSnapshot,
        FileKind::OffsetCheckpoint,
        FileKind::LeaderEpochs,
        FileKind::PartitionMetadata,
        FileKind::QuorumState,
        FileKind::MetaProperties,
    ];

    /// Whether it holds record batches.
    pub const fn has_batches(self) -> bool {
        matches!(self, FileKind::Log | FileKind::MetadataSnapshot)
    }

    /// What a file is, as far as its name tells; files set aside (`.deleted`, `.swap`) are what they were.
    pub fn of_name(name: &OsStr) -> Option<FileKind> {
        let of_segment = |kind| match kind {
            SegmentFileKind::Log => FileKind::Log,
            SegmentFileKind::OffsetIndex => FileKind::OffsetIndex,
            SegmentFileKind::TimeIndex => FileKind::TimeIndex,
            SegmentFileKind::TxnIndex => FileKind::TxnIndex,
            SegmentFileKind::Snapshot => FileKind::ProducerSnapshot,
        };
        match PartitionFile::parse(name) {
            PartitionFile::Segment(file) => return Some(of_segment(file.kind)),
            PartitionFile::NotAnOffset { kind, .. } => return Some(of_segment(kind)),
            PartitionFile::MetadataSnapshot { .. } => return Some(FileKind::MetadataSnapshot),
            PartitionFile::LeaderEpochs => return Some(FileKind::LeaderEpochs),
            PartitionFile::PartitionMetadata => return Some(FileKind::PartitionMetadata),
            PartitionFile::QuorumState => return Some(FileKind::QuorumState),
            PartitionFile::Temporary | PartitionFile::Other => {}
        }
        match name.to_str()? {
            meta_properties::FILE_NAME => Some(FileKind::MetaProperties),
            leader_epochs::FILE_NAME => Some(FileKind::LeaderEpochs),
            partition_metadata::FILE_NAME => Some(FileKind::PartitionMetadata),
            quorum_state::FILE_NAME => Some(FileKind::QuorumState),
            checkpoint::RECOVERY_POINT | checkpoint::LOG_START | checkpoint::HIGH_WATERMARK | checkpoint::CLEANER => {
                Some(FileKind::OffsetCheckpoint)
            }
            other if other.ends_with(".checkpoint") => Some(FileKind::MetadataSnapshot),
            _ => None,
        }
    }
}

/// One file to dump.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// As the user named it, or below a directory the user named.
    pub path: PathBuf,
    /// What to read it as; `None` for a file that was named but is nothing of Kafka's.
    pub kind: Option<FileKind>,
    /// Number of the partition directory it came from, for summaries; files of one directory share it.
    pub group: usize,
    /// Name of that group.
    pub group_name: PathBuf,
    /// Whether a torn tail is the end of a partition: no later segment follows in its directory.
    pub is_last: bool,
    /// What of it to show.
    pub select: Selection,
    /// The files beside it, where a whole directory is dumped.
    pub evidence: Option<Evidence>,
}

/// Finds the files, in order. What cannot be found is reported.
pub(super) fn expand(options: &DumpOptions, telling: &mut Telling<'_>) -> Vec<Input> {
    let mut inputs = Vec::new();
    for path in &options.paths {
        for path in globbed(path, telling) {
            if telling.is_over(options) {
                break;
            }
            one(&path, options, &mut inputs, telling);
        }
    }
    // Consecutive files of one directory are one group.
    let mut group = 0;
    for at in 1..inputs.len() {
        if inputs[at].group_name != inputs[at - 1].group_name {
            group += 1;
        }
        inputs[at].group = group;
    }
    inputs
}

/// A pattern's matches; a path that exists is no pattern, whatever characters it has.
fn globbed(path: &Path, telling: &mut Telling<'_>) -> Vec<PathBuf> {
    let pattern = path.to_str().filter(|text| text.contains(['*', '?', '[']));
    let Some(pattern) = pattern.filter(|_| path.symlink_metadata().is_err()) else { return vec![path.to_owned()] };
    let found: Vec<PathBuf> = match glob::glob(pattern) {
        Ok(paths) => paths.flatten().collect(),
        Err(error) => {
            telling.outcome.unreadable = true;
            telling.say(Report::new(Severity::Error, "bad_pattern", path, error.to_string()));
            return Vec::new();
        }
    };
    if found.is_empty() {
        telling.outcome.unreadable = true;
        telling.say(Report::new(Severity::Error, "not_found", path, "no file matches the pattern"));
    }
    found
}

fn one(path: &Path, options: &DumpOptions, inputs: &mut Vec<Input>, telling: &mut Telling<'_>) {
    if path.is_dir() {
        let is_partition = path.file_name().is_some_and(|name| PartitionDirName::parse(name).is_ok());
        if !is_partition && LogDir::is_one(path) {
            return log_dir(path, options, inputs, telling);
        }
        return directory(path, options, inputs, telling);
    }
    let kind = options.as_kind.or_else(|| path.file_name().and_then(FileKind::of_name));
    if options.output != Output::Kafka {
        if let Err(error) = std::fs::metadata(path) {
            return telling.unreadable(&StorageError::new(path, error));
        }
        if kind.is_none() {
            telling.outcome.unreadable = true;
            let hint = "say what it is with --as log, index, timeindex, txnindex, snapshot or checkpoint";
            let text = "not the name of a file of Kafka's";
            return telling.say(Report::new(Severity::Error, "unknown_file", path, text).hint(hint));
        }
    }
    let parent = path.parent().unwrap_or(Path::new("")).to_owned();
    let is_last = kind != Some(FileKind::Log) || is_last_segment(path);
    let found = || Partition::of_file(path);
    let Some(select) = selection(options, path, kind, &mut Lazy::new(&found), telling) else { return };
    inputs.push(Input { path: path.to_owned(), kind, group: 0, group_name: parent, is_last, select, evidence: None });
}

/// A partition that is opened when a range asks for its number or its offsets, at most once.
struct Lazy<'a> {
    open: &'a dyn Fn() -> Result<Option<Partition>, StorageError>,
    partition: Option<Option<Partition>>,
    bounds: Option<Bounds>,
}

impl<'a> Lazy<'a> {
    fn new(open: &'a dyn Fn() -> Result<Option<Partition>, StorageError>) -> Self {
        Lazy { open, partition: None, bounds: None }
    }

    /// The partition; `None` for what is none.
    fn get(&mut self) -> Result<Option<&Partition>, StorageError> {
        if self.partition.is_none() {
            self.partition = Some((self.open)()?);
        }
        Ok(self.partition.as_ref().and_then(Option::as_ref))
    }

    fn number(&mut self) -> Result<i32, StorageError> {
        Ok(self.get()?.map_or(0, |partition| partition.topic_partition().partition))
    }

    /// Where its log starts and ends; `None` for what is no partition.
    fn bounds(&mut self) -> Result<Option<Bounds>, StorageError> {
        if self.bounds.is_none() {
            let bounds = self.get()?.map(|partition| Ok((partition.log_start(), partition.log_end()?)));
            self.bounds = bounds.transpose()?;
        }
        Ok(self.bounds)
    }
}

/// What of a file to show; `None`, and a word about it, when that cannot be told.
fn selection(
    options: &DumpOptions,
    path: &Path,
    kind: Option<FileKind>,
    partition: &mut Lazy<'_>,
    telling: &mut Telling<'_>,
) -> Option<Selection> {
    if !options.ranges.is_given() || !kind.is_some_and(FileKind::has_batches) {
        return Some(options.select.clone());
    }
    let mut ranged = || {
        let range = options.ranges.for_partition(partition.number()?);
        // Only what is counted from a log's start or end needs them.
        if !range.is_counted() {
            return Ok(Some(options.select.clone().within(range, (Offset::ZERO, Offset::MAX))));
        }
        Ok(partition.bounds()?.map(|bounds| options.select.clone().within(range, bounds)))
    };
    match ranged() {
        Ok(Some(select)) => Some(select),
        Ok(None) => {
            telling.outcome.unreadable = true;
            let text = "a range counted from the start or end needs a segment's .log file or a partition directory";
            telling.say(Report::new(Severity::Error, "wrong_kind", path, text));
            None
        }
        Err(error) => {
            telling.unreadable(&error);
            None
        }
    }
}

fn log_dir(path: &Path, options: &DumpOptions, inputs: &mut Vec<Input>, telling: &mut Telling<'_>) {
    directory(path, options, inputs, telling);
    match LogDir::open(path) {
        Ok(dir) => {
            for (_, partition) in dir.partitions() {
                directory(partition, options, inputs, telling);
            }
        }
        Err(error) => telling.unreadable(&error),
    }
}

/// The files of one directory: segments by offset, of each first the log, then its indexes; small files last.
fn directory(path: &Path, options: &DumpOptions, inputs: &mut Vec<Input>, telling: &mut Telling<'_>) {
    let listing = match std::fs::read_dir(path) {
        Ok(listing) => listing,
        Err(error) => return telling.unreadable(&StorageError::new(path, error)),
    };
    let mut files: Vec<(bool, i64, FileKind, PathBuf)> = Vec::new();
    for entry in listing.flatten() {
        let name = entry.file_name();
        let Some(kind) = FileKind::of_name(&name) else { continue };
        // In a partition's directory only what is in use, and for Kafka's text only what its tool knows.
        if options.output == Output::Kafka && kind > FileKind::ProducerSnapshot || entry.path().is_dir() {
            continue;
        }
        let (has_offset, offset) = match PartitionFile::parse(&name) {
            PartitionFile::Segment(file) if file.state != FileState::Live => continue,
            PartitionFile::Segment(file) => (true, file.offset.get()),
            PartitionFile::MetadataSnapshot { end_offset, .. } => (true, end_offset.get()),
            _ => (false, 0),
        };
        files.push((!has_offset, offset, kind, entry.path()));
    }
    files.sort();
    let last_log = files.iter().rev().find(|(_, _, kind, _)| *kind == FileKind::Log).map(|(.., path)| path.clone());
    let bases: Vec<i64> =
        files.iter().filter(|(.., kind, _)| *kind == FileKind::Log).map(|(_, base, ..)| *base).collect();
    let open = || open_partition_dir(path).map(|(partition, _)| Some(partition));
    let mut partition = Lazy::new(&open);
    // Kafka's text is what its tool says, which looks at no other file.
    let judged = options.output != Output::Kafka && !bases.is_empty();
    let evidence = if judged { partition.get().ok().flatten().map(Evidence::of) } else { None };
    let narrowed = options.ranges.is_given() || !options.select.is_everything();
    for (_, base, kind, file) in files {
        if narrowed && !kind.has_batches() {
            continue;
        }
        let Some(select) = selection(options, &file, Some(kind), &mut partition, telling) else { return };
        let next = bases.iter().copied().find(|next| *next > base);
        if kind == FileKind::Log && !select.may_hold_offsets(base, next) {
            continue;
        }
        let is_last = kind != FileKind::Log || Some(&file) == last_log.as_ref();
        let evidence = evidence.as_ref().filter(|_| kind == FileKind::Log).cloned();
        let group_name = path.to_owned();
        inputs.push(Input { path: file, kind: Some(kind), group: 0, group_name, is_last, select, evidence });
    }
}

/// Whether no segment with a higher base offset lies beside `log`.
fn is_last_segment(log: &Path) -> bool {
    let base = |name: &OsStr| match PartitionFile::parse(name) {
        PartitionFile::Segment(file) if file.kind == SegmentFileKind::Log => Some((file.offset, file.state)),
        _ => None,
    };
    let Some((own, state)) = log.file_name().and_then(base) else { return true };
    let dir = log.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(listing) = std::fs::read_dir(dir) else { return true };
    !listing.flatten().any(|entry| base(&entry.file_name()).is_some_and(|(other, s)| other > own && s == state))
}
