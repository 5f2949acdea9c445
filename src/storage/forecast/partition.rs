//! One partition directory: how its log is loaded, and what becomes of it.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::changes::{self, FileChange};
use super::reason::{Reach, Reason};
use crate::batch::scan::{Depth, ScanOptions, Scanner, Step};
use crate::storage::file_source::FileSource;
use crate::storage::fs::StorageError;
use crate::storage::names::PartitionDirName;
use crate::storage::partition::{Checkpoints, Partition};
use crate::storage::placement::StrayReason;
use crate::storage::recovery::{Loss, Plan, RebuildReason};
use crate::types::{Offset, Position, Uuid};

/// What a broker makes of one partition directory.
#[derive(Debug, Clone)]
pub struct PartitionForecast {
    /// What its name says.
    pub name: PartitionDirName,
    /// The directory.
    pub dir: PathBuf,
    /// Number of its log directory in [`Forecast::log_dirs`](super::Forecast::log_dirs).
    pub log_dir: usize,
    /// Its topic's id, where `partition.metadata` has one.
    pub topic_id: Option<Uuid>,
    /// What becomes of it.
    pub fate: Fate,
    /// The log once it is loaded; `None` where it is not.
    pub loaded: Option<Loaded>,
}

/// What becomes of a partition directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is loaded, and serves.
    Served,
    /// It is the metadata log: a part of the server that is no broker opens it.
    Metadata,
    /// A copy for a move between log directories; it is loaded, and the move goes on.
    Future,
    /// A copy that has become the partition: it gets the plain name.
    Promoted,
    /// The partition that a finished copy replaces: it is renamed `-delete`, and goes a minute later.
    Replaced,
    /// It is renamed `-stray` and not served.
    Stray(StrayReason),
    /// It was set aside before: loaded, kept, not served.
    StaysStray,
    /// Its topic was deleted: it goes a minute after the start (`file.delete.delay.ms`).
    Deleted,
    /// There is none yet: an empty one is made, as the metadata assigns the partition to this broker.
    Created,
    /// It cannot be loaded.
    Failed {
        /// What that does to the rest.
        reach: Reach,
        /// Why.
        reason: Reason,
    },
}

impl Fate {
    /// The stable word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Fate::Served => "serve",
            Fate::Metadata => "metadata",
            Fate::Future => "future",
            Fate::Promoted => "promote",
            Fate::Replaced => "replace",
            Fate::Stray(_) => "stray",
            Fate::StaysStray => "keep-stray",
            Fate::Deleted => "delete",
            Fate::Created => "create",
            Fate::Failed { .. } => "fail",
        }
    }
}

/// A log as it is once a broker has loaded it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// First offset that may be read.
    pub log_start: Offset,
    /// Offset of the next record.
    pub log_end: Offset,
    /// Everything below is known to be on disk.
    pub recovery_point: Offset,
    /// First offset of its earliest open transaction, if it has one.
    pub first_unstable: Option<Offset>,
    /// Segments there are then.
    pub segments: usize,
    /// Data that goes.
    pub losses: Vec<Loss>,
    /// Bytes of logs that go.
    pub bytes_lost: u64,
    /// Sound records among them.
    pub records_lost: u64,
    /// Segments that go whole.
    pub segments_deleted: usize,
    /// Segments that are read through, and their indexes made again where they differ.
    pub segments_recovered: usize,
    /// Recovered because their indexes are missing or broken, not because the shutdown was unclean.
    pub indexes_rebuilt: usize,
    /// Producer snapshots that are removed.
    pub snapshots_removed: usize,
    /// Where sound batches end, if the broker, trusting its files, takes the log to end before that: the offsets
    /// between are given to other records then.
    pub hidden_end: Option<Offset>,
    /// The metadata log begins anew at its latest snapshot.
    pub truncated_to_snapshot: bool,
    /// Every change of a file, in its order.
    pub changes: Vec<FileChange>,
}

impl Loaded {
    /// What is to be told of a plan: not the bytes it would write.
    pub(super) fn of_plan(plan: &Plan) -> Result<Loaded, StorageError> {
        let changes = changes::of_plan(plan);
        let mut loaded = Loaded {
            log_start: plan.log_start,
            log_end: plan.log_end,
            recovery_point: plan.recovery_point,
            first_unstable: plan.producers.first_unstable_offset(),
            segments: plan.segments.len(),
            losses: plan.losses.clone(),
            bytes_lost: 0,
            records_lost: 0,
            segments_deleted: 0,
            segments_recovered: plan.rebuilt.len(),
            indexes_rebuilt: plan.rebuilt.iter().filter(|rebuilt| rebuilt.why != RebuildReason::Unflushed).count(),
            snapshots_removed: changes.iter().filter(|change| is_snapshot_removal(change)).count(),
            hidden_end: None,
            truncated_to_snapshot: false,
            changes,
        };
        for loss in &plan.losses {
            let (log, position, bytes) = match loss {
                Loss::Cut { log, position, bytes, .. } => (log, *position, *bytes),
                // What there is of it is not lost: it was not there before the start either.
                Loss::NotAFile { .. } => continue,
                Loss::Segment { log, bytes } => {
                    loaded.segments_deleted += 1;
                    (log, Position::ZERO, *bytes)
                }
            };
            loaded.bytes_lost += bytes;
            loaded.records_lost += sound_records(log, position)?;
        }
        Ok(loaded)
    }

    /// Looks for batches behind the end of a log that is loaded without being read through (`LogSegment.readNextOffset`
    /// falls back to the segment's base where its last index entry leads to no batch).
    pub(super) fn look_behind_end(&mut self, dir: &Path) {
        let end = Partition::open(dir, Checkpoints::default()).and_then(|partition| partition.log_end());
        // What cannot be read has failed to load, or is not in use.
        self.hidden_end = end.ok().filter(|end| *end > self.log_end);
    }

    /// A log that is made.
    pub(super) fn empty() -> Loaded {
        Loaded {
            log_start: Offset::ZERO,
            log_end: Offset::ZERO,
            recovery_point: Offset::ZERO,
            first_unstable: None,
            segments: 1,
            losses: Vec::new(),
            bytes_lost: 0,
            records_lost: 0,
            segments_deleted: 0,
            segments_recovered: 0,
            indexes_rebuilt: 0,
            snapshots_removed: 0,
            hidden_end: None,
            truncated_to_snapshot: false,
            changes: Vec::new(),
        }
    }

    /// Whether anything that could be read is gone then.
    pub fn loses_data(&self) -> bool {
        !self.losses.is_empty() || self.truncated_to_snapshot || self.hidden_end.is_some()
    }
}

fn is_snapshot_removal(change: &FileChange) -> bool {
    match change {
        FileChange::Remove { file } => file.ends_with(".snapshot"),
        FileChange::Rename { to, .. } => to.ends_with(".snapshot.deleted"),
        FileChange::Cut { .. } | FileChange::Write { .. } => false,
    }
}

/// Records of the batches from `position` on that are sound, as their headers count them.
fn sound_records(log: &Path, position: Position) -> Result<u64, StorageError> {
    let unreadable = |error| StorageError::new(log, error);
    let source = File::open(log).and_then(FileSource::new).map_err(unreadable)?;
    let options = ScanOptions { depth: Depth::Crc, ..ScanOptions::default() };
    let mut scanner = Scanner::new(source, position, options);
    let mut records = 0_u64;
    loop {
        match scanner.next().map_err(unreadable)? {
            Step::Entry(entry) if entry.frame.is_control() => {}
            Step::Entry(entry) => {
                records += match entry.frame {
                    // A count that lies cannot exceed the offsets the batch takes.
                    crate::batch::Frame::Batch(batch) => {
                        let span = u64::from(batch.last_offset_delta().unsigned_abs()) + 1;
                        u64::try_from(batch.record_count()).unwrap_or(0).min(span)
                    }
                    crate::batch::Frame::Message(_) => 1,
                };
            }
            Step::Damage(_) => {}
            Step::End(..) => return Ok(records),
        }
    }
}
