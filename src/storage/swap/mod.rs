//! Putting a finished partition directory in the place of another: old or new after a crash, never less.
//!
//! ```text
//!  1  topic-0.<id>-delete/new/     the new directory is built in a wrapper; a broker that starts removes the wrapper
//!  2  topic-0.<id>-stray/new/      it is whole and on disk; a broker leaves it alone from here on
//!  3  topic-0 <-> wrapper/new      both names change hands in one step (`renameat2`, RENAME_EXCHANGE)
//!  4  topic-0/.logdir-kept/        the old directory, inside the new one
//!  5  the wrapper goes; checkpoints of the log directory; then the journal goes
//! ```
//!
//! A broker does not only look at what has the partition's name: it loads `-stray` directories too, with the recovery point
//! and the log start of the partition itself, and cuts and recovers what it finds there (`LogManager.loadLog`). So neither
//! directory has such a name at any moment. Both lie one level deeper, where a broker takes regular files only (`LogLoader`,
//! `ProducerStateManager`): of the wrapper it makes an empty log, for whose files nobody asks.
//!
//! The file `.logdir-recover` says what is ours and what is left to do. It is in the wrapper first, and in the new directory
//! once that is whole, so that of two directories the one without it is the original. [`finish_interrupted`] finds it after
//! a crash and removes what was not put in place, or finishes what was.
//!
//! A broker may have started, and written, before that. What it wrote to `topic-0` stays: before the exchange the new
//! directory, which lacks it, is dropped and built anew; after it the old one is put away, and checkpoints are left alone
//! where the logs are not those that were built. What the checkpoints say in between holds for both directories.
//!
//! Where names cannot be exchanged, step 3 is two renames: for a moment `topic-0` is not there, and its data is in
//! `wrapper/old`. A broker that starts at that moment makes the partition anew; then nothing is decided here
//! ([`SwapError::Between`]).
//!
//! The caller holds the log directory's exclusive lock ([`super::lock::DirLock`]) all the time.

mod checkpoints;
mod journal;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use thiserror::Error;

pub use self::journal::{JOURNAL, Old};
use self::journal::{Journal, Logs, Ready};
use super::fs::{self, StorageError};
use super::names::{DirKind, PartitionDirName};
use super::{checkpoint, create};
use crate::types::{Offset, TopicPartition};

/// Where the old directory is kept, inside the partition directory.
pub const KEPT: &str = ".logdir-kept";
/// The new directory in its wrapper, and after the exchange the old one.
const NEW: &str = "new";
/// The old directory in the wrapper, where names cannot be exchanged.
const OLD: &str = "old";

/// What the log directory's checkpoints are to say about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// First offset that may be read.
    pub log_start: Offset,
    /// Base offset of the first segment; a log start at or below it has no entry.
    pub first_base: Offset,
    /// Offset of the next record: everything below is on disk.
    pub log_end: Offset,
}

/// Why a directory cannot be put in place. The original is there, under its name or the one that is said.
#[derive(Debug, Error)]
pub enum SwapError {
    /// A file or directory cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Originals of an earlier run wait for `--commit`.
    #[error("{}: holds the originals of an earlier run", path.display())]
    KeptAlready {
        /// Where they are.
        path: PathBuf,
    },
    /// The partition's name is a symbolic link: the directory it leads to has another place.
    #[error("{}: is a symbolic link; a directory can take the place of a directory only", path.display())]
    Link {
        /// The partition directory.
        path: PathBuf,
    },
    /// Something made the partition again while its directories were being exchanged.
    #[error(
        "{}: made by something else while {} was about to take its place; the original is in {}",
        live.display(), new.display(), old.display()
    )]
    Between {
        /// The partition directory that is there now.
        live: PathBuf,
        /// The finished result.
        new: PathBuf,
        /// The original.
        old: PathBuf,
    },
}

/// A directory being built beside, or instead of, a partition's.
#[derive(Debug)]
pub struct Staging {
    log_dir: PathBuf,
    journal: Journal,
    wrapper: PathBuf,
    dir: PathBuf,
}

/// What an interrupted run was found to have left, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interrupted {
    /// An unfinished directory was removed; the original was never touched.
    Removed(PathBuf),
    /// The new directory was in place already; the rest was done.
    Finished(PathBuf),
    /// This is the original of a partition whose new directory has been deleted or set aside since: it is left alone.
    Left(PathBuf),
}

/// Whether another directory may take the place of `partition`'s in `log_dir`, whether or not that is there. Reads only.
pub fn check_place(log_dir: &Path, partition: &TopicPartition) -> Result<(), SwapError> {
    let live = log_dir.join(partition.to_string());
    if live.is_symlink() {
        return Err(SwapError::Link { path: live });
    }
    let kept = live.join(KEPT);
    if kept.exists() {
        return Err(SwapError::KeptAlready { path: kept });
    }
    checkpoint::check_all(log_dir)?;
    Ok(())
}

impl Staging {
    /// Makes an empty directory for `partition` in `log_dir`, where a broker removes it; [`check_place`] comes first.
    pub fn begin(log_dir: &Path, partition: &TopicPartition) -> Result<Staging, SwapError> {
        check_place(log_dir, partition)?;
        let id = create::unique_id(log_dir)?;
        let wrapper = named(log_dir, partition, DirKind::Delete, &id);
        let journal = Journal { id, partition: partition.clone(), old: Old::Kept, is_new_log: false, ready: None };
        fs::create_dir(&wrapper)?;
        journal.write(&wrapper)?;
        let dir = wrapper.join(NEW);
        fs::create_dir(&dir)?;
        Ok(Staging { log_dir: log_dir.to_owned(), journal, wrapper, dir })
    }

    /// What is built is another log than the partition had, all of it replicated: its high watermark is its end, and the
    /// cleaner begins anew.
    #[must_use]
    pub fn as_new_log(mut self) -> Staging {
        self.journal.is_new_log = true;
        self
    }

    /// The directory to be filled. The caller syncs every file in it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Says in the new directory that it is whole; on disk when it returns.
    fn ready(&mut self, ends: &Ends, old: Old) -> Result<(), StorageError> {
        self.journal.ready = Some(Ready { ends: *ends, logs: Logs::of(&self.dir)? });
        self.journal.old = old;
        self.journal.write(&self.dir)?;
        fs::sync_dir(&self.wrapper)
    }

    /// Gives the directory the partition's name, which is not taken; on disk when it returns.
    pub fn install(mut self, ends: &Ends) -> Result<PathBuf, SwapError> {
        let live = self.log_dir.join(self.journal.partition.to_string());
        // Entries without a directory are of one that is gone.
        checkpoint::forget(&self.log_dir, std::slice::from_ref(&self.journal.partition))?;
        // Before the name is there: whoever appends before the rest is done must not bring back what was deleted.
        checkpoints::set_log_start(&self.log_dir, &self.journal.partition, ends)?;
        self.ready(ends, Old::Kept)?;
        fs::rename(&self.dir, &live)?;
        fs::sync_dir(&self.log_dir)?;
        finish(&self.log_dir, &live)?;
        Ok(live)
    }

    /// Puts the directory in the partition's place; on disk when it returns.
    ///
    /// A crash at any moment leaves the old directory or the new one, and [`finish_interrupted`] does the rest.
    pub fn swap(mut self, ends: &Ends, old: Old) -> Result<PathBuf, SwapError> {
        let partition = self.journal.partition.clone();
        let live = self.log_dir.join(partition.to_string());
        check_place(&self.log_dir, &partition)?;
        checkpoints::prepare(&self.log_dir, &partition, ends, self.journal.is_new_log)?;
        self.ready(ends, old)?;
        let wrapper = stray(&self.log_dir, &self.journal);
        fs::rename(&self.wrapper, &wrapper)?;
        fs::sync_dir(&self.log_dir)?;
        let new = wrapper.join(NEW);
        if !fs::exchange(&new, &live)? {
            fs::rename(&live, &wrapper.join(OLD))?;
            sync_both(&wrapper, &self.log_dir)?;
            fs::rename(&new, &live)?;
        }
        sync_both(&self.log_dir, &wrapper)?;
        finish(&self.log_dir, &live)?;
        Ok(live)
    }

    /// Gives up: removes the directory.
    pub fn abandon(self) -> Result<(), StorageError> {
        fs::remove_tree(&self.wrapper, Some(JOURNAL))
    }
}

fn sync_both(first: &Path, second: &Path) -> Result<(), StorageError> {
    fs::sync_dir(first)?;
    fs::sync_dir(second)
}

fn named(log_dir: &Path, partition: &TopicPartition, kind: DirKind, id: &str) -> PathBuf {
    log_dir.join(PartitionDirName::suffixed(partition, kind, id).to_string())
}

/// The wrapper while the new directory is whole and not in place, or the old one not put away.
fn stray(log_dir: &Path, journal: &Journal) -> PathBuf {
    named(log_dir, &journal.partition, DirKind::Stray, &journal.id)
}

/// The wrapper while the new directory is being built, and when nothing in it is needed any more.
fn condemned(log_dir: &Path, journal: &Journal) -> PathBuf {
    named(log_dir, &journal.partition, DirKind::Delete, &journal.id)
}

/// The name of an original that a broker is to remove: told from the wrapper's by its id.
fn old_condemned(log_dir: &Path, journal: &Journal) -> PathBuf {
    let reversed: String = journal.id.chars().rev().collect();
    named(log_dir, &journal.partition, DirKind::Delete, &reversed)
}

/// The original in a wrapper: what lies there and is not the new directory, which has the journal.
fn original_in(wrapper: &Path, journal: &Journal) -> Result<Option<PathBuf>, StorageError> {
    let (new, old) = (wrapper.join(NEW), wrapper.join(OLD));
    if fs::is_dir(&old)? {
        return Ok(Some(old));
    }
    Ok(if fs::is_dir(&new)? && !is_new(&new, journal)? { Some(new) } else { None })
}

/// Whether `dir` is the new directory that a run finished building.
fn is_new(dir: &Path, journal: &Journal) -> Result<bool, StorageError> {
    let found = Journal::read(dir)?;
    Ok(found.is_some_and(|found| found.ready.is_some() && found.id == journal.id))
}

/// Does what is left after the new directory has the partition's name.
fn finish(log_dir: &Path, live: &Path) -> Result<(), SwapError> {
    let Some(journal) = Journal::read(live)? else { return Ok(()) };
    let wrapper = stray(log_dir, &journal);
    if let Some(original) = original_in(&wrapper, &journal)? {
        let place = match journal.old {
            Old::Kept => Some((live.join(KEPT), live)),
            Old::Condemned => Some((old_condemned(log_dir, &journal), log_dir)),
            Old::Removed => None,
        };
        if let Some((to, parent)) = place {
            fs::rename(&original, &to)?;
            sync_both(parent, &wrapper)?;
        }
    }
    drop_wrapper(log_dir, &journal)?;
    checkpoints::settle(log_dir, live, &journal)?;
    fs::sync_dir(log_dir)?;
    fs::remove_if_present(&live.join(JOURNAL))?;
    fs::sync_dir(live)?;
    Ok(())
}

/// Removes the wrapper with what is in it; under a name from which on a broker does so too.
fn drop_wrapper(log_dir: &Path, journal: &Journal) -> Result<(), StorageError> {
    let (from, to) = (stray(log_dir, journal), condemned(log_dir, journal));
    if fs::is_dir(&from)? {
        fs::rename(&from, &to)?;
        fs::sync_dir(log_dir)?;
    }
    fs::remove_tree(&to, Some(JOURNAL))
}

/// Directories in `log_dir` that an interrupted run left; reads only.
pub fn find_interrupted(log_dir: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let error = |error| StorageError::new(log_dir, error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(log_dir).map_err(error)? {
        let entry = entry.map_err(error)?;
        let Ok(name) = PartitionDirName::parse(&entry.file_name()) else { continue };
        let dir = entry.path();
        if dir.is_dir() && (dir.join(JOURNAL).is_file() || (name.kind == DirKind::Delete && is_barely_begun(&dir))) {
            found.push(dir);
        }
    }
    found.sort();
    Ok(found)
}

/// Killed before its journal was written, or after it was removed: nothing, or the journal's temporary file, is in it.
fn is_barely_begun(dir: &Path) -> bool {
    let temporary = format!("{JOURNAL}.tmp");
    std::fs::read_dir(dir)
        .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == temporary.as_str())))
}

/// Removes what an interrupted run did not put in place in `log_dir`, and finishes the rest.
pub fn finish_interrupted(log_dir: &Path) -> Result<Vec<Interrupted>, SwapError> {
    let mut done = Vec::new();
    for dir in find_interrupted(log_dir)? {
        // It may be gone with another one.
        if !dir.is_dir() {
            continue;
        }
        match Journal::read(&dir)? {
            Some(journal) => done.extend(finish_one(log_dir, dir, &journal)?),
            None if dir.file_name().is_some_and(is_condemned) && is_barely_begun(&dir) => {
                fs::remove_tree(&dir, None)?;
                done.push(Interrupted::Removed(dir));
            }
            None => {}
        }
    }
    if !done.is_empty() {
        fs::sync_dir(log_dir)?;
    }
    Ok(done)
}

fn is_condemned(name: &std::ffi::OsStr) -> bool {
    PartitionDirName::parse(name).is_ok_and(|name| matches!(name.kind, DirKind::Delete))
}

/// What is to be done with `dir`, which has this journal.
fn finish_one(log_dir: &Path, dir: PathBuf, journal: &Journal) -> Result<Option<Interrupted>, SwapError> {
    let live = log_dir.join(journal.partition.to_string());
    if dir == live {
        finish(log_dir, &live)?;
        return Ok(Some(Interrupted::Finished(live)));
    }
    if dir == condemned(log_dir, journal) {
        drop_wrapper(log_dir, journal)?;
        return Ok(Some(Interrupted::Removed(dir)));
    }
    if dir != stray(log_dir, journal) {
        // Once in place, and under another name since: a broker set it aside, or its topic was deleted. It may be the
        // only copy.
        return Ok(None);
    }
    let Some(original) = original_in(&dir, journal)? else {
        drop_wrapper(log_dir, journal)?;
        return Ok(Some(Interrupted::Removed(dir)));
    };
    let new = dir.join(NEW);
    let is_between = is_new(&new, journal)?;
    if is_between && live.exists() {
        return Err(SwapError::Between { live, new, old: original });
    }
    if is_between {
        fs::rename(&new, &live)?;
        sync_both(log_dir, &dir)?;
    }
    if !is_new(&live, journal)? {
        return Ok(Some(Interrupted::Left(original)));
    }
    finish(log_dir, &live)?;
    Ok(Some(Interrupted::Finished(live)))
}

/// Removes the originals kept in partition directory `dir`; `false` when there are none.
pub fn commit(dir: &Path) -> Result<bool, StorageError> {
    let kept = dir.join(KEPT);
    if !kept.is_dir() {
        return Ok(false);
    }
    fs::remove_tree(&kept, None)?;
    fs::sync_dir(dir)?;
    Ok(true)
}
