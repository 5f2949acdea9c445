//! A run taken back: what is not done is undone here, what is done is done the other way round.

use std::path::PathBuf;

use super::commit::{commit, rename_once};
use super::job::{Act, Job, State};
use super::journal::Journal;
use super::{MoveError, checkpoints};
use crate::storage::fs;
use crate::types::TopicPartition;

/// Takes back every job that has not come to its end, as far as that can be done at once, and finishes the others. The
/// journal then has jobs that are done or undone.
///
/// As with [`run`](super::run), a crash at any moment leaves every partition whole in one of its places.
pub fn undo(journal: &mut Journal) -> Result<(), MoveError> {
    for number in (0..journal.jobs.len()).rev() {
        let Some(tracked) = journal.jobs.get(number) else { continue };
        if tracked.state >= State::Done {
            continue;
        }
        let (job, state) = (tracked.job.clone(), tracked.state);
        if take_back(&job, state)? {
            journal.note(&[number], State::Undone)?;
        } else {
            commit(journal, &[number])?;
        }
    }
    Ok(())
}

/// What has to be done the other way round: the partition, what is done with it, where it is and where it goes.
///
/// A replica that was dropped does not come back.
pub fn reversed(journal: &Journal) -> Vec<(TopicPartition, Act, PathBuf, PathBuf)> {
    let done = journal.jobs.iter().filter(|tracked| tracked.state == State::Done);
    let back = |job: &Job| match job.act {
        Act::Move => Some((job.partition(), Act::Move, job.to.clone(), job.from.clone())),
        Act::Copy => Some((job.partition(), Act::Drop, job.to.clone(), job.to.clone())),
        Act::Drop => None,
    };
    done.filter_map(|tracked| back(&tracked.job)).collect()
}

/// Takes a job back; `false` where it is to be finished first.
fn take_back(job: &Job, state: State) -> Result<bool, MoveError> {
    match job.act {
        Act::Drop => {
            // From then on its checkpoints, and with them its log start, may be gone.
            if state >= State::Committed {
                return Ok(false);
            }
            if fs::is_dir(&job.condemned())? {
                rename_once(&job.condemned(), &job.source())?;
                fs::sync_dir(&job.from)?;
            }
            return Ok(true);
        }
        Act::Move if job.renames => {
            if !fs::is_dir(&job.source())? {
                return Ok(false);
            }
        }
        Act::Copy => {
            // Where one takes the place of another, either may stay: the other broker goes on from there.
            if fs::is_dir(&job.target())? && (!job.replaces || state >= State::Committed) {
                return Ok(false);
            }
            fs::remove_tree(&job.temporary(), None)?;
        }
        Act::Move => {
            let is_retired = fs::is_dir(&job.retired())?;
            if !is_retired && state >= State::Committed {
                return Ok(false);
            }
            if is_retired {
                if fs::is_dir(&job.target())? {
                    // What it had where it was: from there it may be gone already.
                    checkpoints::carry(&[(job.partition(), &job.to, &job.from)])?;
                    rename_once(&job.target(), &job.temporary())?;
                    fs::sync_dir(&job.to)?;
                }
                rename_once(&job.retired(), &job.source())?;
                fs::sync_dir(&job.from)?;
            }
            fs::remove_tree(&job.temporary(), None)?;
        }
    }
    fs::sync_dir(&job.to)?;
    // What was to be replaced keeps what is said of it.
    if !job.replaces {
        checkpoints::forget(&[(job.partition(), &job.to)])?;
    }
    Ok(true)
}
