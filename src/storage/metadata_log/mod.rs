//! The metadata log on disk, `__cluster_metadata-0`, and the cluster it comes to at any moment.
//!
//! ```text
//! 00000000000000000000.log                      records, from offset 0 or from where a snapshot begins
//! 00000000000000001234-0000000005.checkpoint    snapshot: all that the records below offset 1234 came to
//! 00000000000000000000-0000000000.checkpoint    voters of a dynamic quorum, before the first record
//! ../bootstrap.checkpoint                       what the first controller writes into an empty log
//! ```
//!
//! An image is the newest complete snapshot at or below the wanted offset, and the records from there on. A snapshot
//! without its footer is passed over. Where the log begins above 0, questions can be answered from its first snapshot
//! on, and [`MetadataLogError::HistoryGone`] says where that is.
//!
//! Which records are *committed* is not on disk: with one voter all are, with more a new leader may take back the
//! last ones. Reading is streaming: memory is that of the image, not of the log.

mod records;
mod snapshot;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use self::records::{Content, Entry, FileEnd, read_file};
pub use self::snapshot::SnapshotFile;

use super::fs::StorageError;
use super::names::{PartitionFile, SegmentFileKind};
use super::partition::{Checkpoints, Notice, Partition, Segment, present};
use super::quorum_state::{self, VersionFields};
use crate::batch::BatchError;
use crate::batch::compression::Decompressor;
use crate::schema::image::{ImageBuilder, MetadataImage, Provenance};
use crate::types::{LeaderEpoch, Offset, TimestampMs};

/// Topic of the metadata log, whose one partition is 0 (`Topic.CLUSTER_METADATA_TOPIC_NAME`).
pub const TOPIC: &str = "__cluster_metadata";
/// Name of its directory.
pub const DIR_NAME: &str = "__cluster_metadata-0";

/// Problems that are kept one by one; more are counted only.
const PROBLEMS_MAX: usize = 20;

/// A metadata log, a snapshot or one segment of a log, as listed at one moment.
#[derive(Debug, Clone)]
pub struct MetadataLog {
    path: PathBuf,
    source: Source,
    /// Those that are complete by their names, the newest first.
    snapshots: Vec<SnapshotFile>,
    notices: Vec<Notice>,
}

#[derive(Debug, Clone)]
enum Source {
    Log(Partition),
    Snapshot(SnapshotFile),
    Segment(Segment),
}

/// A moment in the life of a metadata log: everything before it has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// All records.
    End,
    /// Those below this offset.
    At(Offset),
    /// Those below the first batch appended at this time or later.
    Time(TimestampMs),
}

/// Why a metadata log cannot be read, or not be asked.
#[derive(Debug, Error)]
pub enum MetadataLogError {
    /// A file cannot be read.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// Neither a directory with a metadata log nor a file of one.
    #[error("{}: neither a metadata log nor a snapshot of one", path.display())]
    NotOne {
        /// What was named.
        path: PathBuf,
    },
    /// The records before the moment are gone, and no snapshot has them.
    #[error("{}: the log begins at offset {log_start}, and no snapshot holds what was before {wanted}", path.display())]
    HistoryGone {
        /// The log.
        path: PathBuf,
        /// Its first offset.
        log_start: Offset,
        /// The moment asked for.
        wanted: String,
        /// First moment that can be asked for.
        first: Option<Offset>,
    },
}

/// Something in the log that a server would stop at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProblem {
    /// The file.
    pub path: PathBuf,
    /// Batch it is in, or begins at.
    pub position: u64,
    /// Offset of the record, where it has one.
    pub offset: Option<Offset>,
    /// What is wrong.
    pub message: String,
    /// What kind of thing is wrong.
    pub kind: ProblemKind,
}

/// Kinds of [`LogProblem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// A batch is not sound; nothing behind it is read.
    Batch(BatchError),
    /// A batch is cut where it is not the last; nothing behind it is read.
    Cut,
    /// A record cannot be read.
    Record,
    /// A record does not fit what came before it.
    Misfit,
    /// Offsets are missing.
    Gap,
}

impl MetadataLog {
    /// Opens what `path` names: a log directory, a `__cluster_metadata-0` in one, a snapshot, or a segment.
    pub fn open(path: &Path) -> Result<MetadataLog, MetadataLogError> {
        let metadata = std::fs::metadata(path).map_err(|error| StorageError::new(path, error))?;
        let not_one = || MetadataLogError::NotOne { path: path.to_owned() };
        if metadata.is_dir() {
            let inner = path.join(DIR_NAME);
            let dir = if inner.is_dir() { &inner } else { path };
            let is_named = dir.canonicalize().is_ok_and(|dir| dir.ends_with(DIR_NAME));
            let (snapshots, notices) = snapshot::list(dir)?;
            // Any directory may be a copy of one, if a snapshot or no name of another partition says so.
            if !is_named && snapshots.is_empty() {
                return Err(not_one());
            }
            let partition = Partition::open(dir, Checkpoints::default())?;
            return Ok(MetadataLog { path: dir.to_owned(), source: Source::Log(partition), snapshots, notices });
        }
        let name = path.file_name().unwrap_or_default();
        let source = match PartitionFile::parse(name) {
            PartitionFile::MetadataSnapshot { end_offset, epoch, .. } => {
                Source::Snapshot(SnapshotFile { path: path.to_owned(), id: Some((end_offset, epoch)) })
            }
            PartitionFile::Segment(file) if file.kind == SegmentFileKind::Log => {
                Source::Segment(Segment { base: file.offset, log: path.to_owned(), log_len: metadata.len() })
            }
            _ if name.to_string_lossy().contains(".checkpoint") => {
                Source::Snapshot(SnapshotFile { path: path.to_owned(), id: None })
            }
            _ => return Err(not_one()),
        };
        Ok(MetadataLog { path: path.to_owned(), source, snapshots: Vec::new(), notices: Vec::new() })
    }

    /// The directory of the log, or the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a snapshot: one moment, whose records have numbers of their own.
    pub fn is_snapshot(&self) -> bool {
        matches!(self.source, Source::Snapshot(_))
    }

    /// Whether it is one segment, taken by itself.
    pub fn is_segment(&self) -> bool {
        matches!(self.source, Source::Segment(_))
    }

    /// Files that were passed over.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Snapshots beside the log, complete by their names, the newest first.
    pub fn snapshots(&self) -> &[SnapshotFile] {
        &self.snapshots
    }

    /// First offset of the log; of a snapshot 0.
    pub fn log_start(&self) -> Offset {
        match &self.source {
            Source::Log(partition) if partition.segments().is_empty() => {
                self.snapshots.first().and_then(|newest| newest.id).map_or(Offset::ZERO, |(end, _)| end)
            }
            Source::Log(partition) => partition.log_start(),
            Source::Snapshot(_) => Offset::ZERO,
            Source::Segment(segment) => segment.base,
        }
    }

    /// Offset behind the last record of the log; of a snapshot, the offset it reaches to.
    pub fn log_end(&self) -> Result<Offset, StorageError> {
        match &self.source {
            Source::Log(partition) => Ok(partition.log_end()?.max(self.log_start())),
            Source::Snapshot(file) => Ok(file.id.map_or(Offset::ZERO, |(end, _)| end)),
            Source::Segment(segment) => {
                let mut end = segment.base;
                let mut decompressor = Decompressor::default();
                read_file(&segment.log, None, Offset::ZERO, &mut decompressor, &mut |entry| {
                    end = entry.last_offset.next();
                    ControlFlow::Continue(())
                })?;
                Ok(end)
            }
        }
    }

    /// Number of voters by the `quorum-state` file; only the one of a static quorum names them.
    pub fn static_voters(&self) -> Option<usize> {
        let Source::Log(_) = self.source else { return None };
        let state = present(quorum_state::read(&self.path.join(quorum_state::FILE_NAME))).ok().flatten()?;
        match state.version {
            VersionFields::V0 { current_voters, .. } => Some(current_voters.len()).filter(|count| *count > 0),
            VersionFields::V1 { .. } => None,
        }
    }

    /// Visits all records from offset `from` on, those of a log also below its snapshots.
    pub fn read(
        &self,
        from: Offset,
        visit: &mut dyn FnMut(&Entry<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<LogProblem>, StorageError> {
        let mut problems = Problems::default();
        let mut decompressor = Decompressor::default();
        self.files(from, &mut decompressor, &mut problems, visit)?;
        Ok(problems.list)
    }

    /// Begins a replay from which `moment` can be reached.
    pub fn replay(&self, moment: Moment) -> Result<Replay<'_>, MetadataLogError> {
        let mut replay = Replay {
            log: self,
            builder: ImageBuilder::default(),
            base: None,
            next: Offset::ZERO,
            is_done: false,
            problems: Problems::default(),
            notices: Vec::new(),
            decompressor: Decompressor::default(),
        };
        match &self.source {
            Source::Log(_) => replay.choose_base(moment)?,
            Source::Segment(segment) => replay.next = segment.base,
            Source::Snapshot(_) => {}
        }
        Ok(replay)
    }

    fn files(
        &self,
        from: Offset,
        decompressor: &mut Decompressor,
        problems: &mut Problems,
        visit: &mut dyn FnMut(&Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let segments = match &self.source {
            Source::Snapshot(file) => {
                let end = read_file(&file.path, None, from, decompressor, visit)?;
                // A cut snapshot has lost its footer, which is said elsewhere.
                let _ = problems.of_end(&file.path, end, true);
                return Ok(());
            }
            Source::Segment(segment) => std::slice::from_ref(segment),
            Source::Log(partition) => partition.segments(),
        };
        let first = segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
        let wanted = segments.get(first..).unwrap_or_default();
        for (at, segment) in wanted.iter().enumerate() {
            let end = match read_file(&segment.log, Some(segment.log_len), from, decompressor, visit) {
                // A server removed it since it was listed: what it held is in a snapshot.
                Err(error) if error.is_not_found() => continue,
                end => end?,
            };
            let is_last = at + 1 == wanted.len();
            if end == FileEnd::Stopped || problems.of_end(&segment.log, end, is_last).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Problems, the first of them one by one.
#[derive(Debug, Clone, Default)]
struct Problems {
    list: Vec<LogProblem>,
    count: u64,
}

impl Problems {
    fn push(&mut self, problem: LogProblem) {
        self.count += 1;
        if self.list.len() < PROBLEMS_MAX {
            self.list.push(problem);
        }
    }

    fn merge(&mut self, others: Problems) {
        let count = self.count + others.count;
        others.list.into_iter().for_each(|problem| self.push(problem));
        self.count = count;
    }

    fn of_entry(&mut self, entry: &Entry<'_>, kind: ProblemKind, message: String) {
        let (path, position, offset) = (entry.path.to_owned(), entry.position.get(), Some(entry.offset));
        self.push(LogProblem { path, position, offset, message, kind });
    }

    /// Whether nothing behind this file counts.
    fn of_end(&mut self, path: &Path, end: FileEnd, is_last: bool) -> ControlFlow<()> {
        let (position, message, kind) = match end {
            FileEnd::Whole | FileEnd::Stopped => return ControlFlow::Continue(()),
            FileEnd::Cut { .. } if is_last => return ControlFlow::Break(()),
            FileEnd::Cut { position, bytes } => {
                (position, format!("{bytes} bytes are no whole batch"), ProblemKind::Cut)
            }
            FileEnd::Corrupt { position, reason } => (position, reason.to_string(), ProblemKind::Batch(reason)),
        };
        let message = format!("{message}; what follows is not read");
        let (path, position) = (path.to_owned(), position.get());
        self.push(LogProblem { path, position, offset: None, message, kind });
        ControlFlow::Break(())
    }
}

/// A replay of a metadata log: an image that goes from moment to moment.
#[derive(Debug)]
pub struct Replay<'l> {
    log: &'l MetadataLog,
    builder: ImageBuilder,
    base: Option<SnapshotFile>,
    next: Offset,
    is_done: bool,
    problems: Problems,
    notices: Vec<Notice>,
    decompressor: Decompressor,
}

impl Replay<'_> {
    /// The image so far.
    pub fn image(&self) -> &MetadataImage {
        self.builder.image()
    }

    /// The image so far, for keeps.
    pub fn into_image(self) -> MetadataImage {
        self.builder.build()
    }

    /// Offset of the next record: all below are in the image.
    pub fn next_offset(&self) -> Offset {
        self.next
    }

    /// The snapshot it began with.
    pub fn base(&self) -> Option<&SnapshotFile> {
        self.base.as_ref()
    }

    /// The first 20 problems met, and how many there were.
    pub fn problems(&self) -> (&[LogProblem], u64) {
        (&self.problems.list, self.problems.count)
    }

    /// Files that were passed over.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Whether there is nothing behind the records so far.
    pub fn is_at_end(&self) -> bool {
        self.is_done
    }

    /// Whether the records so far end inside a transaction, of which nothing counts.
    pub fn in_transaction(&self) -> bool {
        self.builder.in_transaction()
    }

    /// Goes on to `moment`; nothing happens where it has passed. `watch` gets each record of the log with the image
    /// before it, what an open transaction says included.
    pub fn advance(
        &mut self,
        moment: Moment,
        watch: &mut dyn FnMut(&Entry<'_>, &MetadataImage),
    ) -> Result<(), StorageError> {
        if self.is_done || matches!(moment, Moment::At(offset) if offset <= self.next) {
            return Ok(());
        }
        let is_log = !self.log.is_snapshot();
        let id = match &self.log.source {
            Source::Snapshot(file) => file.id,
            Source::Log(_) | Source::Segment(_) => None,
        };
        let base_epoch = self.base.as_ref().and_then(|base| base.id).map_or(LeaderEpoch(i32::MIN), |(_, epoch)| epoch);
        let Replay { log, builder, next, problems, notices, decompressor, .. } = self;
        let (mut found, mut reached) = (Problems::default(), false);
        let mut has_footer = false;
        log.files(*next, decompressor, problems, &mut |entry| {
            reached = match moment {
                Moment::End => false,
                Moment::At(offset) => entry.offset >= offset,
                Moment::Time(time_ms) => entry.timestamp_ms >= time_ms,
            };
            if reached {
                return ControlFlow::Break(());
            }
            if is_log && entry.leader_epoch < base_epoch {
                let message = format!(
                    "records from offset {} on are of epoch {}, the snapshot before them is of epoch {base_epoch}: a \
                     server drops the log for the snapshot",
                    entry.offset, entry.leader_epoch
                );
                notices.push(Notice::new(entry.path, message));
                return ControlFlow::Break(());
            }
            if is_log && entry.offset > *next {
                let message = format!("offsets {} to {} are missing", *next, entry.offset.get() - 1);
                found.of_entry(entry, ProblemKind::Gap, message);
            }
            watch(entry, builder.latest());
            push(entry, builder, &mut found);
            has_footer |= matches!(&entry.content, Content::Control { record, .. } if snapshot::is_footer(record));
            *next = entry.offset.next();
            if is_log {
                builder.at(Provenance {
                    last_contained_offset: entry.offset,
                    last_contained_epoch: entry.leader_epoch,
                    last_contained_log_timestamp_ms: entry.timestamp_ms,
                });
            } else if let Some(provenance) = snapshot::provenance(id, entry) {
                builder.at(provenance);
            }
            ControlFlow::Continue(())
        })?;
        if log.is_snapshot() && !has_footer {
            notices.push(Notice::new(&log.path, snapshot::NO_FOOTER));
        }
        problems.merge(found);
        self.is_done = !reached;
        Ok(())
    }

    /// The newest snapshot that is complete and not past the moment, or the start of the log.
    fn choose_base(&mut self, moment: Moment) -> Result<(), MetadataLogError> {
        let log_start = self.log.log_start();
        let mut first = None;
        for file in &self.log.snapshots {
            let Some((end, _)) = file.id.filter(|(end, _)| *end >= log_start) else { continue };
            let complete = match file.inspect() {
                Err(error) if error.is_not_found() => continue,
                complete => complete?,
            };
            let Some(header_ms) = complete else {
                self.notices.push(Notice::new(&file.path, format!("{}; passed over", snapshot::NO_FOOTER)));
                continue;
            };
            first = Some(end);
            let fits = match moment {
                Moment::End => true,
                Moment::At(offset) => end <= offset,
                Moment::Time(time_ms) => header_ms < time_ms,
            };
            if fits {
                return Ok(self.load(file)?);
            }
        }
        if log_start == Offset::ZERO {
            return Ok(());
        }
        let wanted = match moment {
            Moment::End => "its end".to_owned(),
            Moment::At(offset) => format!("offset {offset}"),
            Moment::Time(_) => "that time".to_owned(),
        };
        Err(MetadataLogError::HistoryGone { path: self.log.path.clone(), log_start, wanted, first })
    }

    fn load(&mut self, file: &SnapshotFile) -> Result<(), StorageError> {
        let Replay { builder, problems, decompressor, .. } = self;
        let end = read_file(&file.path, None, Offset::ZERO, decompressor, &mut |entry| {
            push(entry, builder, problems);
            if let Some(provenance) = snapshot::provenance(file.id, entry) {
                builder.at(provenance);
            }
            ControlFlow::Continue(())
        })?;
        let _ = problems.of_end(&file.path, end, true);
        self.next = file.id.map_or(Offset::ZERO, |(end, _)| end);
        self.base = Some(file.clone());
        Ok(())
    }
}

/// Takes one record into the image; one that cannot be taken is a problem.
fn push(entry: &Entry<'_>, builder: &mut ImageBuilder, problems: &mut Problems) {
    match &entry.content {
        Content::Data(decoded) => {
            if let Err(error) = builder.push(decoded.typed()) {
                problems.of_entry(entry, ProblemKind::Misfit, error.to_string());
            }
        }
        Content::Control { record, .. } => builder.push_control(record, entry.leader_epoch),
        Content::Unreadable(error) => problems.of_entry(entry, ProblemKind::Record, error.clone()),
    }
}
