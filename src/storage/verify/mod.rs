//! Everything that can be checked about a log directory without a broker.
//!
//! | file | checks |
//! |---|---|
//! | [`segment`] | one pass over a segment: frames, checksums, records, offsets, epochs |
//! | [`offset_index`], [`time_index`], [`txn_index`] | indexes, along with that pass |
//! | [`producers`] | producer snapshots, against a replay along with that pass |
//! | [`partition`] | segments against each other, epoch file, checkpoints, names, left-overs |
//! | [`log_dir`] | checkpoint files, identity, log directories against each other |
//!
//! A check reads, and never writes. What it says is a list of [`Finding`]s, each with what is wrong, how bad it
//! is, where, and what to do about it.

mod access;
pub mod finding;
pub mod log_dir;
pub mod offset_index;
pub mod partition;
pub mod producers;
pub mod rebuild;
pub mod segment;
pub mod time_index;
pub mod txn_index;

use std::fmt;

pub use self::finding::{Advice, Fault, Finding, Findings, Grade};
use crate::batch::Frame;
use crate::storage::index::build::IndexLimits;
use crate::types::{Offset, Position, TimestampMs};

/// How closely a log is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Headers of batches; damage inside a payload goes unnoticed.
    Headers,
    /// Checksums of all bytes too.
    Crc,
    /// Records too: decompressed and counted, their offsets compared.
    Deep,
}

/// How to check.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How closely.
    pub depth: Depth,
    /// Largest batch, decompressed; one beyond it is damage.
    pub max_batch_bytes: usize,
    /// Make indexes again along the way.
    pub rebuild: Option<Rebuild>,
}

/// How to make indexes again.
#[derive(Debug, Clone, Copy)]
pub struct Rebuild {
    /// How many entries they get.
    pub limits: IndexLimits,
    /// Those that are sound too.
    pub all: bool,
}

/// Where a batch stands and what an index needs to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its first byte.
    pub position: u64,
    /// Its size on disk.
    pub size: u64,
    /// Its first offset; unknown of a compressed wrapper of magic 0 or 1.
    pub first: Option<Offset>,
    /// Its last offset.
    pub last: Offset,
    /// Its largest timestamp, as its header says.
    pub max_timestamp: TimestampMs,
}

impl Placed {
    /// Of a batch that stands at `position`.
    pub fn of(frame: &Frame<'_>, position: Position) -> Placed {
        Placed {
            position: position.get(),
            size: frame.size_bytes(),
            first: frame.base_offset(),
            last: frame.last_offset(),
            max_timestamp: frame.max_timestamp_ms(),
        }
    }
}

/// What an index comes to beside its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexResult {
    /// The bytes a rebuild makes, but for zeros behind them.
    Exact,
    /// Look-ups work, though other batches are indexed than a rebuild would choose.
    Equivalent {
        /// An entry that no broker writes.
        odd: Option<Corrupt>,
    },
    /// Look-ups go astray.
    Corrupt(Corrupt),
}

impl IndexResult {
    /// The stable word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            IndexResult::Exact => "exact",
            IndexResult::Equivalent { .. } => "equivalent",
            IndexResult::Corrupt(_) => "corrupt",
        }
    }
}

/// An entry of an index and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrupt {
    /// The entry, from 0; the number of entries where one is missing.
    pub entry: usize,
    /// The rule it breaks, what was expected and what was found.
    pub what: String,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}: {}", self.entry, self.what)
    }
}
