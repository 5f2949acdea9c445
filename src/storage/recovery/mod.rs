//! What a broker does with a partition directory when it opens it, decided before anything is done.
//!
//! [`plan`] is `LogLoader.load` of Kafka 4.3 on a model of the directory: it reads, and writes nothing.
//! Its answer, a [`Plan`], is the state of the opened log, what would be lost on the way
//! ([`Plan::losses`]), and every change of a file that leads there. [`Plan::apply`] makes the changes, in an
//! order that leaves a directory which recovers to the same state after a crash in between.
//!
//! What Kafka leaves unnoticed is left unnoticed here too: this is its judgement, not ours.

mod apply;
mod model;
mod producers;

use std::path::PathBuf;

use thiserror::Error;

use super::fs::StorageError;
use super::index::build::IndexError;
use super::leader_epochs::LeaderEpochs;
use super::producer_states::{ProducerRefusal, ProducerStates};
use super::writer::config::LogConfig;
use crate::batch::walk::Stop;
use crate::types::{Offset, Position, TimestampMs};

pub use self::model::{plan, plan_deleted};

/// What a broker knows about a partition before it looks into its directory.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// The log directory was shut down cleanly.
    pub clean: bool,
    /// From `recovery-point-offset-checkpoint`; 0 where it has no entry.
    pub recovery_point: Offset,
    /// From `log-start-offset-checkpoint`; 0 where it has no entry.
    pub log_start: Offset,
    /// The time, for the expiry of producers.
    pub now_ms: TimestampMs,
    /// The log's settings.
    pub config: LogConfig,
}

/// What opening a partition directory comes to.
#[derive(Debug)]
pub struct Plan {
    /// The partition directory.
    pub dir: PathBuf,
    /// What is to be done, see [`Plan::apply`].
    pub(crate) changes: Changes,
    /// What is lost by it.
    pub losses: Vec<Loss>,
    /// Segments whose indexes are made again, for which reason.
    pub rebuilt: Vec<Rebuilt>,
    /// Base offset and size of every segment there will be, in order.
    pub segments: Vec<(Offset, u64)>,
    /// First offset that may be read.
    pub log_start: Offset,
    /// Offset of the next record.
    pub log_end: Offset,
    /// Everything below is known to be on disk.
    pub recovery_point: Offset,
    /// Its leader epochs.
    pub epochs: LeaderEpochs,
    /// Its producers.
    pub producers: ProducerStates,
}

impl Plan {
    /// Whether any file changes.
    pub fn changes_files(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Every file change, in words, in the order it is made.
    pub fn describe(&self) -> Vec<String> {
        self.changes.describe()
    }
}

/// Data that opening the log removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// The end of a segment.
    Cut {
        /// Its log.
        log: PathBuf,
        /// Where it ends then.
        position: Position,
        /// Bytes that go.
        bytes: u64,
        /// What is wrong there.
        why: CutReason,
        /// Next offset of the log then.
        next_offset: Offset,
    },
    /// A whole segment, because one before it was cut or the log lies below its start offset.
    Segment {
        /// Its log.
        log: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// What has the name of a segment's log and is no file: a directory, a pipe, a link that leads nowhere. A broker goes on
    /// as if it were not there (`LogLoader.loadSegmentFiles`).
    NotAFile {
        /// Its path.
        log: PathBuf,
    },
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Loss::Cut { log, position, bytes, why, .. } => {
                write!(
                    f,
                    "{}: {why} at position {position}; it and all that follows, {bytes} bytes, would go",
                    log.display()
                )
            }
            Loss::Segment { log, bytes } => {
                write!(f, "{}: the whole segment, {bytes} bytes, would go with what is cut before it", log.display())
            }
            Loss::NotAFile { log } => {
                write!(f, "{}: not a regular file; the log would go on without this segment", log.display())
            }
        }
    }
}

/// Why a segment is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CutReason {
    /// An entry that is not whole.
    #[error("a batch cut short ({bytes} bytes are there{})", of_needed(*.needed))]
    Torn {
        /// Bytes of it.
        bytes: u64,
        /// Bytes it claims to take.
        needed: Option<u64>,
    },
    /// An entry that is not valid.
    #[error("{0}")]
    Corrupt(#[from] crate::batch::BatchError),
    /// Offsets out of order: Kafka removes the whole segment.
    #[error("{0}")]
    Order(IndexError),
}

fn of_needed(needed: Option<u64>) -> String {
    needed.map(|needed| format!(" of {needed}")).unwrap_or_default()
}

impl CutReason {
    fn of(stop: Stop) -> Option<CutReason> {
        match stop {
            Stop::End => None,
            Stop::Cut { bytes, needed } => Some(CutReason::Torn { bytes, needed }),
            Stop::Corrupt(reason) => Some(CutReason::Corrupt(reason)),
        }
    }
}

/// A segment that is read through, and its indexes made again where they are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// Base offset.
    pub base: Offset,
    /// Why.
    pub why: RebuildReason,
}

/// Why a segment is recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildReason {
    /// At or above the recovery point after an unclean shutdown.
    Unflushed,
    /// It has no offset index.
    NoOffsetIndex,
    /// Its transaction index is not sane.
    TxnIndex,
}

/// Why a broker would not open the directory at all.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A file cannot be read, or holds what nothing can be made of.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A segment file whose name is no offset (`NumberFormatException`).
    #[error("{}: a segment file needs a number for a name; a broker does not start over it", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// A segment that must be trusted ends in bytes that are no batch (`CorruptRecordException`).
    #[error("{}: position {position}: {reason}; a broker does not start over it", path.display())]
    Corrupt {
        /// The log.
        path: PathBuf,
        /// Where.
        position: Position,
        /// What is wrong.
        reason: crate::batch::BatchError,
    },
    /// A segment needs more index entries than fit (`IllegalArgumentException`).
    #[error("{}: {reason}", path.display())]
    Index {
        /// The log.
        path: PathBuf,
        /// What is wrong.
        reason: IndexError,
    },
    /// A segment holds offsets 2^31 or more above its base; a broker splits it (`LogSegmentOffsetOverflowException`).
    #[error("{}: holds offset {offset}, which is not within 2^31 above its base; a broker splits such a segment, this program does not", path.display())]
    Overflow {
        /// The log.
        path: PathBuf,
        /// The offset.
        offset: Offset,
    },
    /// A batch that no producer can have written (`InvalidTxnStateException`).
    #[error("{}: {refusal}", path.display())]
    Producer {
        /// The log.
        path: PathBuf,
        /// What is wrong.
        refusal: ProducerRefusal,
    },
}

/// What happens to files, in the order it happens.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Replacements of an interrupted split, which count only while its unfinished ones are there: removed first.
    pub stale: Vec<Change>,
    /// Left-overs of deletion and of an interrupted cleaning, and what its result replaces: removed.
    pub early: Vec<Change>,
    /// The result of a cleaning that was finished: put in place.
    pub swapped: Vec<Change>,
    /// Segments that go, as `.deleted`; the last ones first.
    pub dropped: Vec<Change>,
    /// Logs that are cut.
    pub cut: Vec<Change>,
    /// Files that are made or made again.
    pub written: Vec<Change>,
    /// Files that no one needs any more.
    pub removed: Vec<Change>,
}

/// One change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Remove(PathBuf),
    Rename { from: PathBuf, to: PathBuf },
    Cut { path: PathBuf, len: u64 },
    Write { path: PathBuf, bytes: Vec<u8> },
}
