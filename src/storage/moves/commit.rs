//! The last steps of jobs, several at once: from where nothing has changed yet to where nothing is left to do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::MoveError;
use super::checkpoints::{self, Way};
use super::job::{Act, Job, State, Under};
use super::journal::{Journal, Tracked};
use crate::storage::fs;

/// Takes the jobs with these numbers, whose copies are whole, to their end; goes on where an earlier run stopped. Log
/// directories that lost their mark of a clean shutdown.
///
/// Whatever ends it, a partition is whole in one of its places; and where it has its name in neither, the original has one
/// that a broker refuses.
pub(super) fn commit(journal: &mut Journal, numbers: &[usize]) -> Result<Vec<PathBuf>, MoveError> {
    let begun = |journal: &Journal, below: State| -> Vec<usize> {
        let state = |number: &usize| journal.jobs.get(*number).map_or(State::Undone, |tracked| tracked.state);
        numbers.iter().copied().filter(|number| state(number) < below).collect()
    };
    let mut doubted = Vec::new();
    let fresh = begun(journal, State::Retiring);
    if !fresh.is_empty() {
        let jobs = jobs(journal, &fresh);
        let ways: Vec<Way<'_>> = ways(&jobs);
        checkpoints::carry(&ways)?;
        doubted = checkpoints::mark(&ways)?;
        journal.note(&fresh, State::Retiring)?;
    }
    let retiring = begun(journal, State::Committed);
    if !retiring.is_empty() {
        swap(&jobs(journal, &retiring))?;
        journal.note(&retiring, State::Committed)?;
    }
    let committed = begun(journal, State::Checkpointed);
    if !committed.is_empty() {
        let jobs = jobs(journal, &committed);
        let left = jobs.iter().filter(|job| job.act != Act::Copy);
        checkpoints::forget(&left.map(|job| (job.partition(), job.from.as_path())).collect::<Vec<_>>())?;
        journal.note(&committed, State::Checkpointed)?;
    }
    let rest = begun(journal, State::Done);
    if let Some(job) = jobs(journal, &rest).into_iter().find(|job| job.act == Act::Move && !job.target().is_dir()) {
        // Somebody took it away: what is left of the original may be all there is.
        return Err(MoveError::Gone { path: job.target(), other: job.retired() });
    }
    if !rest.is_empty() {
        clear(&jobs(journal, &rest))?;
        journal.note(&rest, State::Done)?;
    }
    Ok(doubted)
}

fn jobs<'a>(journal: &'a Journal, numbers: &[usize]) -> Vec<&'a Job> {
    numbers.iter().filter_map(|number| journal.jobs.get(*number)).map(|tracked: &Tracked| &tracked.job).collect()
}

fn ways<'a>(jobs: &[&'a Job]) -> Vec<Way<'a>> {
    let goes = jobs.iter().filter(|job| job.act != Act::Drop);
    goes.map(|job| (job.partition(), job.from.as_path(), job.to.as_path())).collect()
}

/// Gives directories their new names; on disk when it returns.
fn swap(jobs: &[&Job]) -> Result<(), MoveError> {
    let mut touched: BTreeSet<&Path> = BTreeSet::new();
    for job in jobs {
        match job.act {
            Act::Copy => continue,
            Act::Move if job.renames => {
                rename_once(&job.source(), &job.target())?;
                touched.insert(&job.to);
            }
            // Never both names at once, and never neither without one that stops a broker.
            Act::Move => rename_once(&job.source(), &job.retired())?,
            Act::Drop if fs::is_dir(&job.source())? => rename_once(&job.source(), &job.condemned())?,
            Act::Drop => {}
        }
        touched.insert(&job.from);
    }
    touched.iter().try_for_each(|dir| fs::sync_dir(dir))?;
    touched.clear();
    for job in jobs.iter().filter(|job| job.copies()) {
        replace(job)?;
        touched.insert(&job.to);
    }
    Ok(touched.iter().try_for_each(|dir| fs::sync_dir(dir))?)
}

/// Gives a copy its name. What has it, where it may be replaced, gets the name that the copy had, and with it a broker's
/// leave to go.
fn replace(job: &Job) -> Result<(), MoveError> {
    let (temporary, target) = (job.temporary(), job.target());
    if !job.replaces || !fs::is_dir(&target)? || !fs::is_dir(&temporary)? {
        return rename_once(&temporary, &target);
    }
    if job.under(&target)? == Under::Ours {
        // They were exchanged, and that was not noted.
        return Ok(());
    }
    if !fs::exchange(&temporary, &target)? {
        // For a moment the partition is not there; its broker has nothing of it that others have not.
        fs::remove_tree(&target, None)?;
        fs::rename(&temporary, &target)?;
    }
    Ok(())
}

/// Removes what nothing needs any more; on disk when it returns.
fn clear(jobs: &[&Job]) -> Result<(), MoveError> {
    let mut touched: BTreeSet<&Path> = BTreeSet::new();
    let goes = |job: &&&Job| job.act == Act::Drop || (job.act == Act::Move && job.copies());
    for job in jobs.iter().filter(goes) {
        if fs::is_dir(&job.retired())? {
            // From here on a broker would start, and remove it by itself.
            rename_once(&job.retired(), &job.condemned())?;
            touched.insert(&job.from);
        }
    }
    touched.iter().try_for_each(|dir| fs::sync_dir(dir))?;
    for job in jobs.iter().filter(goes) {
        fs::remove_tree(&job.condemned(), None)?;
        touched.insert(&job.from);
    }
    for job in jobs.iter().filter(|job| job.replaces) {
        fs::remove_tree(&job.temporary(), None)?;
        touched.insert(&job.to);
    }
    Ok(touched.iter().try_for_each(|dir| fs::sync_dir(dir))?)
}

/// Gives a directory another name, or sees that it has it already.
pub(super) fn rename_once(from: &Path, to: &Path) -> Result<(), MoveError> {
    match (fs::is_dir(from)?, fs::is_dir(to)?) {
        (true, false) => Ok(fs::rename(from, to)?),
        (false, true) => Ok(()),
        (true, true) => Err(MoveError::Exists { path: to.to_owned() }),
        (false, false) => Err(MoveError::Gone { path: from.to_owned(), other: to.to_owned() }),
    }
}
