//! Every sound batch of a damaged log, and of its replicas, in one log that loads without loss.
//!
//! ```text
//!  survey   a directory's logs -> batches in file order, damage between them     reads all, checks all
//!  arrange  -> runs of batches whose offsets rise                                pure
//!  merge    runs of a replica into the holes, or a divergence                    compares, decides
//!  compose  runs -> segments with their indexes, producers, leader epochs        headers only
//!  job      -> the steps of a plan, or the files of a new directory
//! ```
//!
//! Nothing is renumbered: a batch keeps its offsets, and a hole is a gap, as compaction leaves them. What no
//! checksum covers (base offset, length, leader epoch, magic) is repaired where its neighbours leave one
//! possible value, and only there.
//!
//! Memory does not grow with a log: batches that follow each other in one file are one [`Run`].

pub mod arrange;
mod compose;
mod files;
pub mod job;
mod merge;
mod survey;

use crate::batch::PREFIX_LEN;
use crate::types::{LeaderEpoch, Offset};

pub use self::arrange::Arranged;
pub use self::files::Files;
pub use self::merge::{Divergence, MergeError};

/// The bytes of an entry that no checksum of magic 2 covers, as they are to be.
pub type Prefix = [u8; PREFIX_LEN];

/// One batch: where it stands and what it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    /// Number of its file in [`Files`].
    pub file: usize,
    /// Its first byte.
    pub position: u64,
    /// Its bytes.
    pub len: u64,
    /// Its first offset; of a compressed wrapper of magic 0 or 1 that of its first message.
    pub first: Offset,
    /// Its last offset.
    pub last: Offset,
    /// The leadership that wrote it.
    pub epoch: LeaderEpoch,
    /// Its stored checksum.
    pub crc: u32,
    /// Its format.
    pub magic: i8,
    /// Where it differs from the file: its first bytes, repaired.
    pub repaired: Option<Prefix>,
}

impl Fact {
    /// Whether both are the same batch: a copy, or what a replica has of it.
    pub fn is_copy_of(&self, other: &Fact) -> bool {
        (self.first, self.last, self.len, self.crc) == (other.first, other.last, other.len, other.crc)
    }

    fn overlaps(&self, first: Offset, last: Offset) -> bool {
        self.first <= last && first <= self.last
    }
}

/// Batches that follow each other in one file, their offsets rising and their leader epochs not falling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Number of the file in [`Files`].
    pub file: usize,
    /// First byte.
    pub start: u64,
    /// First byte behind it.
    pub end: u64,
    /// First offset.
    pub first: Offset,
    /// Last offset.
    pub last: Offset,
    /// Leader epoch of its first batch.
    pub first_epoch: LeaderEpoch,
    /// Leader epoch of its last batch.
    pub last_epoch: LeaderEpoch,
    /// How many batches.
    pub batches: u64,
    /// Of a run of one batch: its first bytes, repaired.
    pub repaired: Option<Prefix>,
}

impl Run {
    /// A run of one batch.
    pub const fn of(fact: &Fact) -> Run {
        Run {
            file: fact.file,
            start: fact.position,
            end: fact.position + fact.len,
            first: fact.first,
            last: fact.last,
            first_epoch: fact.epoch,
            last_epoch: fact.epoch,
            batches: 1,
            repaired: fact.repaired,
        }
    }

    /// Takes the batch in, if it goes on where the run ends.
    pub fn take(&mut self, fact: &Fact) -> bool {
        let goes_on = self.file == fact.file && self.end == fact.position && self.last < fact.first;
        let plain = self.repaired.is_none() && fact.repaired.is_none();
        if !(goes_on && plain && self.last_epoch <= fact.epoch) {
            return false;
        }
        self.end += fact.len;
        self.last = fact.last;
        self.last_epoch = fact.epoch;
        self.batches += 1;
        true
    }

    /// Its bytes.
    pub const fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.end == self.start
    }
}

/// Puts a batch behind the last run, or into it.
pub(crate) fn append(runs: &mut Vec<Run>, fact: &Fact) {
    if !runs.last_mut().is_some_and(|run| run.take(fact)) {
        runs.push(Run::of(fact));
    }
}
