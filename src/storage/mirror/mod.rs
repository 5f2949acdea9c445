//! A copy of partitions in another log directory, kept up with its source.
//!
//! ```text
//!  source partition      |=== segment ===|=== segment ===|== active ==|
//!  first copy            files, checked and read back     batches
//!  every later one                                 copy ends here ^  batches from there on
//! ```
//!
//! The copy is its own state: where its log ends is where it goes on, so a run that was killed, or a second one, asks nothing
//! but the two directories. Batches come over byte for byte, with offsets, epochs, producers and checksums; segments end
//! where those of the source do. A first copy is built under a name that a broker removes (`...-delete`), named by the topic's
//! id: a run that was killed finds again which files it had brought over.
//!
//! What does not go on from the copy ([`Finding`]) is told and never skipped: it stops the partition, unless the caller has
//! decided otherwise ([`OnGap::Keep`]). The source is only read, and may be in use; the copy's log directory is locked.

mod cut;
mod grow;
mod plan;
mod run;
mod standing;
mod whole;

use std::path::PathBuf;

use thiserror::Error;

pub use self::cut::{End, Why, cut};
pub use self::plan::{Plan, Wish, plan};
pub use self::run::{Done, Mirror, Options, open_copy};
use super::create::CreateError;
use super::fs::StorageError;
use super::moves::MoveError;
use super::writer::SessionError;
use super::writer::log::Refusal;
use crate::types::{Offset, Position, Uuid};

/// What is done where a source does not go on from its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnGap {
    /// The partition is left as it is; others are gone on with.
    #[default]
    Stop,
    /// What the copy has is kept. Behind offsets that are gone it goes on with the next there are; a partition whose records
    /// are not those of the copy is left alone.
    Keep,
}

/// What keeps a copy from going on where it ends.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Finding {
    /// Offsets that the source does not have (any more), and the copy neither.
    #[error("offsets {from}..{to} are gone from the source: the copy ends at {from}, the source starts at {to}")]
    Gap {
        /// First offset that is missing.
        from: Offset,
        /// First that is there again.
        to: Offset,
    },
    /// Offsets missing in the middle of a log that was not compacted.
    #[error("{}: offsets {from}..{to} are in no batch, and the log was not compacted", log.display())]
    Hole {
        /// The segment's log that goes on behind it.
        log: PathBuf,
        /// First offset that is missing.
        from: Offset,
        /// First that is there again.
        to: Offset,
    },
    /// Bytes that hold no sound batch.
    #[error("{}: position {position}: {reason}; offsets from {from} on are damaged", log.display())]
    Damage {
        /// The log.
        log: PathBuf,
        /// Where in it.
        position: Position,
        /// What is wrong.
        reason: String,
        /// First offset that cannot be read.
        from: Offset,
    },
    /// The source ends before the copy does: it was truncated, or is of an earlier moment.
    #[error(
        "the source ends at offset {source_end}, the copy at {copy_end}: the source was truncated, or is older than the copy"
    )]
    Shorter {
        /// The source's log end.
        source_end: Offset,
        /// The copy's.
        copy_end: Offset,
    },
    /// The last records of the copy are not those of the source.
    #[error(
        "the copy's records from offset {at} on are not those of the source: the source was truncated and written anew, or its \
         topic made again"
    )]
    Differs {
        /// First offset that is known to differ.
        at: Offset,
    },
    /// The topic was deleted and made again.
    #[error("the topic was re-created: the source's id is {source_id}, the copy's {copy_id}")]
    Recreated {
        /// The source's topic id.
        source_id: Uuid,
        /// The copy's.
        copy_id: Uuid,
    },
    /// The copy's log does not take a batch.
    #[error("the batch at offset {at} does not fit: {refusal}")]
    Refused {
        /// Its first offset.
        at: Offset,
        /// Why.
        refusal: Refusal,
    },
}

impl Finding {
    /// Whether the copy can go on behind it, with offsets missing.
    pub const fn can_be_passed(&self) -> bool {
        matches!(self, Finding::Gap { .. } | Finding::Hole { .. } | Finding::Damage { .. })
    }

    /// The stable word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Finding::Gap { .. } | Finding::Hole { .. } => "gap",
            Finding::Damage { .. } => "damage",
            Finding::Shorter { .. } => "shorter",
            Finding::Differs { .. } => "diverged",
            Finding::Recreated { .. } => "recreated",
            Finding::Refused { .. } => "refused",
        }
    }
}

/// Why a partition is not copied. What the copy has is as it was, or goes on where it did.
#[derive(Debug, Error)]
pub enum MirrorError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The copy cannot be opened for appending.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A file cannot be copied.
    #[error(transparent)]
    Copy(#[from] MoveError),
    /// A partition cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
}

impl MirrorError {
    /// Whether it is about a file below `dir`.
    fn is_at(&self, dir: &std::path::Path) -> bool {
        match self {
            MirrorError::Storage(error)
            | MirrorError::Session(SessionError::Storage(error))
            | MirrorError::Copy(MoveError::Storage(error) | MoveError::Source(error))
            | MirrorError::Create(CreateError::Storage(error)) => error.path.starts_with(dir),
            MirrorError::Copy(MoveError::Differs { .. }) => true,
            MirrorError::Session(_) | MirrorError::Copy(_) | MirrorError::Create(_) => false,
        }
    }

    /// Whether it was told to stop.
    pub const fn is_stopped(&self) -> bool {
        matches!(self, MirrorError::Copy(MoveError::Stopped))
    }
}
