//! Partition directories brought to other log directories, never without one whole copy.
//!
//! Between log directories of one broker, to those of another, or away; while their brokers are stopped. A job goes
//! through these states, each noted in a journal before it is entered ([`State`]):
//!
//! ```text
//!             in the old log directory          in the new one                      a broker that starts now
//! copying     orders-0                          orders-0.<id>-delete                serves the old, removes the other
//! verified    orders-0                          orders-0.<id>-delete, read back     serves the old, removes the other
//! retiring    orders-0.<id>.moved               orders-0.<id>-delete                refuses to start: no such name
//! committed   orders-0.<id>.moved               orders-0                            refuses to start
//! checkpointed  orders-0.<id>-delete            orders-0                            serves the new, removes the other
//! ```
//!
//! A broker does not start with `orders-0` in two log directories, or over a directory whose name it does not know; it
//! removes what ends in `-delete`, and makes anew and empty what is not there. So there is never a moment at which both
//! have the name, or only such as it removes. On one file system all of this is one rename. What the checkpoints say of the
//! partition goes with it, before it does.
//!
//! A copy for another broker has no retiring: the original stays until its broker is no replica any more.
//!
//! The caller holds the exclusive lock of every log directory that is touched, all the time
//! ([`super::lock::DirLock`]).

mod checkpoints;
mod commit;
pub(in crate::storage) mod copy;
mod job;
mod journal;
mod room;
mod run;
#[cfg(test)]
mod tests;
pub mod throttle;
mod undo;

use std::path::PathBuf;

use thiserror::Error;

pub use self::job::{Act, FileFacts, Job, State};
pub use self::journal::{Found, Journal, Tracked, find};
pub use self::run::{Event, Finished, Options, begin, check_room, run};
pub use self::undo::{reversed, undo};
use super::fs::StorageError;

/// A place in a log that is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The log.
    pub path: PathBuf,
    /// The position of the first entry that is not valid.
    pub position: u64,
    /// What is wrong with it.
    pub what: String,
}

/// Why a job is not done. The partition is whole where it was, or where it is to be.
#[derive(Debug, Error)]
pub enum MoveError {
    /// A file or directory cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The journal is damaged before its end.
    #[error("{}: position {position}: {what}", path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// Where.
        position: u64,
        /// How.
        what: String,
    },
    /// There is nothing to do.
    #[error("there is nothing to move")]
    Nothing,
    /// What is to move is no directory of its own.
    #[error("{}: is not a directory, or a symbolic link to one", path.display())]
    Link {
        /// It.
        path: PathBuf,
    },
    /// Something that no broker makes in a partition directory.
    #[error("{}: is not a file that a broker makes", path.display())]
    NoFile {
        /// It.
        path: PathBuf,
    },
    /// Originals of a recovery are in the directory.
    #[error("{}: holds the originals of a recovery", path.display())]
    Kept {
        /// They.
        path: PathBuf,
    },
    /// The place is taken.
    #[error("{}: is there already", path.display())]
    Exists {
        /// It.
        path: PathBuf,
    },
    /// A directory has neither the name it had nor the one it was to get.
    #[error("{}: is gone, and there is no {}", path.display(), other.display())]
    Gone {
        /// The name it had.
        path: PathBuf,
        /// The one it was to get.
        other: PathBuf,
    },
    /// A file of the source cannot be read.
    #[error("{0}")]
    Source(StorageError),
    /// The source was written to since the job was planned.
    #[error("{}: was written to while it was copied", path.display())]
    Changed {
        /// It.
        path: PathBuf,
    },
    /// What was read back is not what was written, twice.
    #[error("{}: what was read back is not what was written", path.display())]
    Differs {
        /// The copy.
        path: PathBuf,
    },
    /// A log is damaged.
    #[error("{}: position {}: {}", damage.path.display(), damage.position, damage.what)]
    Damaged {
        /// Where and how.
        damage: Damage,
    },
    /// There is no room.
    #[error("{}: {needed} bytes have to be free for it, {free} are", path.display())]
    NoSpace {
        /// Where it was to go.
        path: PathBuf,
        /// Bytes needed, with head room.
        needed: u64,
        /// Bytes free on that file system.
        free: u64,
        /// How many jobs wait for room.
        jobs: usize,
    },
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
}

impl MoveError {
    /// Whether other jobs can go on.
    const fn is_of_one_job(&self) -> bool {
        matches!(
            self,
            MoveError::Source(_)
                | MoveError::Gone { .. }
                | MoveError::Changed { .. }
                | MoveError::Differs { .. }
                | MoveError::Damaged { .. }
                | MoveError::Exists { .. }
                | MoveError::NoFile { .. }
                | MoveError::Kept { .. }
        )
    }
}
