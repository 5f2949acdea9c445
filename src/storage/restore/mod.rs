//! A partition directory made good: what is to be done, and the new directory.
//!
//! ```text
//!  as_kafka   the broker's own recovery ([`super::recovery::plan`]), made on a copy
//!  salvage    every sound batch, on both sides of any damage
//!  merge      the same, holes and a missing tail filled from replicas
//! ```
//!
//! A [`Job`] is made by reading only. [`Job::build`] fills a directory beside the original, which
//! [`super::swap`] then puts in its place; nothing here changes a file of the original.

pub mod as_kafka;
pub mod small_files;

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::fs::{self, StorageError};
use super::recovery::LoadError;
use super::salvage::job::SalvageJob;
use super::salvage::{Divergence, MergeError};
use super::swap::Ends;
use crate::types::{Offset, Position, Uuid};

/// One change of one file of a partition, as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The file, by the name it has or gets.
    pub file: String,
    /// What is done to it.
    pub action: Action,
    /// How, and why.
    pub detail: String,
    /// Its bytes now; `None` where it is not there.
    pub bytes_before: Option<u64>,
    /// Its bytes then; `None` where it is gone.
    pub bytes_after: Option<u64>,
}

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Its end is cut off.
    Truncate,
    /// An index is made again from the log.
    Rebuild,
    /// A small file is written.
    Write,
    /// A log is written anew, with other batches than it has.
    Rewrite,
    /// It gets another name.
    Rename,
    /// It goes.
    Remove,
}

impl Action {
    /// The stable word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Action::Truncate => "truncate",
            Action::Rebuild => "rebuild",
            Action::Write => "write",
            Action::Rewrite => "rewrite",
            Action::Rename => "rename",
            Action::Remove => "remove",
        }
    }
}

/// Whether files of the original may be used under a second name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Sealed logs that stay as they are get a hard link: the original is put away, and nobody writes to either.
    Links,
    /// Everything is copied: the original goes on being used.
    Copies,
}

/// Data that does not come into the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The log it is in, by its name.
    pub file: String,
    /// Where in it.
    pub position: Position,
    /// How many bytes.
    pub bytes: u64,
    /// First offset that is missing then, where it is known.
    pub first: Option<Offset>,
    /// Next offset there is behind the hole; `None` at the end of the log.
    pub next: Option<Offset>,
    /// What is wrong.
    pub reason: String,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes at position {} are lost", self.bytes, self.position)?;
        match (self.first, self.next) {
            (Some(first), Some(next)) if first < next => write!(f, ", offsets {first} to {}", next.plus(-1))?,
            (Some(_), Some(_)) => f.write_str(", with no offset of their own")?,
            (Some(first), None) => write!(f, ", from offset {first} on")?,
            (None, _) => {}
        }
        write!(f, ": {}", self.reason)
    }
}

/// What is to be done with one partition.
#[derive(Debug)]
pub enum Job {
    /// As a broker would.
    Kafka(Box<as_kafka::KafkaJob>),
    /// Every sound batch, of replicas too.
    Salvage(Box<SalvageJob>),
}

impl Job {
    /// Every change of a file.
    pub fn steps(&self) -> Vec<Step> {
        match self {
            Job::Kafka(job) => job.steps(),
            Job::Salvage(job) => job.steps().to_vec(),
        }
    }

    /// What does not come into the result.
    pub fn losses(&self) -> Vec<Lost> {
        match self {
            Job::Kafka(job) => job.losses().iter().map(as_kafka::lost).collect(),
            Job::Salvage(job) => job.losses().to_vec(),
        }
    }

    /// What else a person should know.
    pub fn remarks(&self) -> &[String] {
        match self {
            Job::Kafka(_) => &[],
            Job::Salvage(job) => job.remarks(),
        }
    }

    /// Where the log starts and ends then.
    pub fn ends(&self) -> Ends {
        match self {
            Job::Kafka(job) => job.ends(),
            Job::Salvage(job) => job.ends(),
        }
    }

    /// Fills `staging`, an empty directory, with the result; on disk when it returns.
    pub fn build(&self, staging: &Path, sharing: Sharing) -> Result<(), RestoreError> {
        match self {
            Job::Kafka(job) => job.build(staging, sharing),
            Job::Salvage(job) => job.build(staging, sharing),
        }
    }
}

/// Why a partition cannot be restored. Nothing was changed.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A broker would not start over the directory.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A replica is not the same log.
    #[error(transparent)]
    Diverged(#[from] Box<Divergence>),
    /// A replica belongs to another topic, or its id is not the one that was given.
    #[error("{}: topic id {found}, expected {expected}", path.display())]
    TopicId {
        /// Its `partition.metadata`.
        path: PathBuf,
        /// The id there.
        found: Uuid,
        /// The id it should be.
        expected: Uuid,
    },
    /// The result does not load as it should; it was not put in place.
    #[error("{}: the result does not load as planned: {what}", path.display())]
    NotAsPlanned {
        /// Where it was built.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl From<MergeError> for RestoreError {
    fn from(error: MergeError) -> RestoreError {
        match error {
            MergeError::Storage(error) => error.into(),
            MergeError::Diverged(divergence) => divergence.into(),
        }
    }
}

/// Takes over a file of the original: by a second name where that is allowed, else as a copy. On disk afterwards.
pub(crate) fn take_over(from: &Path, to: &Path, sharing: Sharing, sealed: bool) -> Result<(), StorageError> {
    if sealed && sharing == Sharing::Links && fs::hard_link(from, to)? {
        return Ok(());
    }
    fs::copy_file(from, to)
}

/// What is known of a log that was restored.
pub(crate) fn ends_of(plan: &super::recovery::Plan) -> Ends {
    let first_base = plan.segments.first().map_or(plan.log_start, |(base, _)| *base);
    Ends { log_start: plan.log_start, first_base, log_end: plan.log_end }
}
