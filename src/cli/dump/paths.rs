//! From what the user named to files of a known kind, in the order they are dumped.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{DumpOptions, Output, Report, Severity, Telling};
use crate::storage::fs::StorageError;
use crate::storage::log_dir::LogDir;
use crate::storage::names::{PartitionDirName, PartitionFile, SegmentFileKind};
use crate::storage::{checkpoint, leader_epochs, meta_properties, partition_metadata, quorum_state};

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// Finds the files, in order. What cannot be found is reported.
pub(super) fn expand(options: &DumpOptions, telling: &mut Telling<'_>) -> Vec<Input> {
    let mut inputs = Vec::new();
    for path in &options.paths {
        for path in globbed(path, telling) {
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
    let parent = path.parent().unwrap_or(Path::new("")).to_owned();
    let is_last = kind != Some(FileKind::Log) || is_last_segment(path);
    inputs.push(Input { path: path.to_owned(), kind, group: 0, group_name: parent, is_last });
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
            PartitionFile::Segment(file) => (true, file.offset.get()),
            PartitionFile::MetadataSnapshot { end_offset, .. } => (true, end_offset.get()),
            _ => (false, 0),
        };
        files.push((!has_offset, offset, kind, entry.path()));
    }
    files.sort();
    let last_log = files.iter().rev().find(|(_, _, kind, _)| *kind == FileKind::Log).map(|(.., path)| path.clone());
    for (_, _, kind, file) in files {
        let is_last = kind != FileKind::Log || Some(&file) == last_log.as_ref();
        inputs.push(Input { path: file, kind: Some(kind), group: 0, group_name: path.to_owned(), is_last });
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
