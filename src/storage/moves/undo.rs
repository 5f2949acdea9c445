//! A run taken back: what is not done is undone here, what is done is done the other way round.

use std::path::PathBuf;

use super::commit::{commit, rename_once};
use super::job::{Act, Job, State, Under};
use super::journal::Journal;
use super::{MoveError, checkpoints};
use crate::storage::fs;
use crate::types::TopicPartition;

/// Jobs that are taken back together: their log directories' checkpoints are written once.
const TOGETHER: usize = 256;

/// Takes back every job that has not come to its end, as far as that can be done at once, and finishes the others. The
/// journal then has jobs that are done or undone.
///
/// As with [`run`](super::run), a crash at any moment leaves every partition whole in one of its places.
pub fn undo(journal: &mut Journal) -> Result<(), MoveError> {
    let open = (0..journal.jobs.len()).rev().filter(|number| journal.jobs[*number].state < State::Done);
    let open: Vec<usize> = open.collect();
    for numbers in open.chunks(TOGETHER) {
        let (mut back, mut forth) = (Vec::new(), Vec::new());
        for number in numbers {
            let Some(tracked) = journal.jobs.get(*number) else { continue };
            if take_back(&tracked.job, tracked.state)? { back.push(*number) } else { forth.push(*number) }
        }
        let mut left = Vec::new();
        for job in back.iter().filter_map(|number| journal.jobs.get(*number)).map(|tracked| &tracked.job) {
            // What is there, because it was to be replaced or is somebody else's, keeps what is said of it.
            if job.act != Act::Drop && !fs::is_dir(&job.target())? {
                left.push((job.partition(), job.to.as_path()));
            }
        }
        checkpoints::forget(&left)?;
        journal.note(&back, State::Undone)?;
        commit(journal, &forth)?;
    }
    Ok(())
}

/// What has to be done the other way round: the partition, what is done with it, where it is and where it goes; of what is
/// dropped, where it was copied from.
///
/// A replica that was dropped does not come back.
pub fn reversed(journal: &Journal) -> Vec<(TopicPartition, Act, PathBuf, PathBuf)> {
    let done = journal.jobs.iter().filter(|tracked| tracked.state == State::Done);
    let back = |job: &Job| match job.act {
        Act::Move => Some((job.partition(), Act::Move, job.to.clone(), job.from.clone())),
        Act::Copy => Some((job.partition(), Act::Drop, job.to.clone(), job.from.clone())),
        Act::Drop => None,
    };
    done.filter_map(|tracked| back(&tracked.job)).collect()
}

/// Takes a job back; `false` where it is to be finished first. What the checkpoints of where it was to go say is left.
fn take_back(job: &Job, state: State) -> Result<bool, MoveError> {
    // From then on it may be in use where it is, and its checkpoints are there alone.
    if state >= State::Committed {
        return Ok(false);
    }
    match job.act {
        Act::Drop => {
            if fs::is_dir(&job.condemned())? {
                rename_once(&job.condemned(), &job.source())?;
                fs::sync_dir(&job.from)?;
            }
            return Ok(true);
        }
        Act::Move if job.renames => return Ok(fs::is_dir(&job.source())?),
        // Where one takes the place of another, either may stay: the other broker goes on from there.
        Act::Copy => {
            if !job.replaces && job.under(&job.target())? == Under::Ours {
                return Ok(false);
            }
        }
        Act::Move => {
            let is_retired = fs::is_dir(&job.retired())?;
            match job.under(&job.target())? {
                Under::Ours if is_retired => return Ok(false),
                Under::Other if is_retired => return Err(MoveError::Exists { path: job.target() }),
                _ if is_retired => {
                    rename_once(&job.retired(), &job.source())?;
                    fs::sync_dir(&job.from)?;
                }
                _ => {}
            }
        }
    }
    fs::remove_tree(&job.temporary(), None)?;
    fs::sync_dir(&job.to)?;
    Ok(true)
}
