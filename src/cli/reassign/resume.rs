//! `reassign resume` and `reassign rollback`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::moving::{self, MovingArgs, Rows, move_problem};
use super::sources;
use crate::cli::args::GlobalArgs;
use crate::cli::consume::select::storage_problem;
use crate::cli::recover::say_holders;
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::storage::create;
use crate::storage::fs::remove_if_present;
use crate::storage::moves::{self, Act, Job, Journal, State};
use crate::storage::partition::{Checkpoints, Partition};
use crate::storage::replicas::{Reach, by_reach};
use crate::types::TopicPartition;

/// Finish a reassign execute that was interrupted
///
/// From the journal in one of the log directories. Does nothing where there is none, so that it can stand before the start
/// of a broker.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("reassign resume"))]
pub struct ResumeArgs {
    #[command(flatten)]
    moving: MovingArgs,
    /// Move damaged logs as they are
    #[arg(long)]
    force: bool,
}

/// Take back a reassign execute: one that was interrupted, else the last one
///
/// What was moved goes back; what was copied to another broker goes, unless it holds more than where it came from. A replica
/// that was dropped does not come back.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("reassign rollback"))]
pub struct RollbackArgs {
    #[command(flatten)]
    moving: MovingArgs,
    /// Move damaged logs as they are; remove copies that hold more than where they came from
    #[arg(long)]
    force: bool,
}

const fn word(state: State) -> &'static str {
    match state {
        State::Planned => "planned",
        State::Copying => "copying",
        State::Verified => "verified",
        State::Retiring => "retiring",
        State::Committed => "committed",
        State::Checkpointed => "checkpointed",
        State::Done => "done",
        State::Undone => "undone",
    }
}

fn dirs_of(journal: &Journal) -> BTreeSet<PathBuf> {
    journal.log_dirs().iter().cloned().collect()
}

fn remove(path: &Path) -> anyhow::Result<()> {
    remove_if_present(path).map_err(|error| storage_problem(&error).into())
}

/// Finishes what is there to be finished.
pub fn resume(args: &ResumeArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let mut rows = Rows::new(&args.moving, global, ui)?;
    let found = moving::journals(global)?;
    moving::refuse_unreachable(&found)?;
    let mut outcome = Outcome::Done;
    if found.open.is_empty() {
        ui.note("no run was interrupted in these log directories");
    }
    for path in &found.open {
        let journal = Journal::read(path).map_err(|error| move_problem(&error))?;
        if args.moving.dry_run {
            say_holders(journal.log_dirs(), ui)?;
            journal.jobs.iter().for_each(|tracked| rows.job(&tracked.job, word(tracked.state), ui));
            continue;
        }
        let _locks = moving::lock(&dirs_of(&journal), ui)?;
        // Another process may have finished it before the locks were had.
        let Ok(journal) = Journal::read(path) else { continue };
        let undone = journal.undoes.clone();
        outcome |= moving::carry_out(journal, &args.moving.options(global, args.force), &mut rows, ui)?;
        // What was taken back is no run to be taken back any more.
        let is_of = |path: &&PathBuf| undone.as_deref().is_some_and(|id| path.to_string_lossy().contains(id));
        found.done.iter().filter(is_of).try_for_each(|path| remove(path))?;
    }
    if !args.moving.dry_run {
        moving::clear_stale(&found, &[])?;
        moving::forget_older(global)?;
    }
    Ok(outcome)
}

/// Takes back the run that was interrupted, or the last one.
pub fn rollback(args: &RollbackArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let mut rows = Rows::new(&args.moving, global, ui)?;
    let found = moving::journals(global)?;
    moving::refuse_unreachable(&found)?;
    let mut last = None;
    for path in &found.open {
        // Whichever is found first: of the run that it takes back the rest is in it.
        if Journal::read(path).map_err(|error| move_problem(&error))?.undoes.is_some() {
            return Err(Problem::new("interrupted", "is the journal of a rollback that was interrupted")
                .path(path)
                .outcome(Outcome::Refused)
                .hint("finish it with: logdir reassign resume")
                .into());
        }
    }
    for path in found.open.iter().chain(found.done.iter().rev()) {
        let journal = Journal::read(path).map_err(|error| move_problem(&error))?;
        if journal.undoes.is_none() {
            last = Some((journal, found.open.contains(path)));
            break;
        }
    }
    if !args.moving.dry_run {
        moving::clear_stale(&found, &[])?;
    }
    let Some((journal, is_open)) = last else {
        ui.note("there is no run to take back in these log directories");
        return Ok(Outcome::Done);
    };
    if args.moving.dry_run {
        say_holders(journal.log_dirs(), ui)?;
        for tracked in journal.jobs.iter().filter(|tracked| tracked.state != State::Undone) {
            rows.job(&tracked.job, "to be undone", ui);
        }
        return Ok(Outcome::Done);
    }
    let _locks = moving::lock(&dirs_of(&journal), ui)?;
    let mut journal = Journal::read(journal.path()).map_err(|error| move_problem(&error))?;
    if is_open {
        moves::undo(&mut journal).map_err(|error| move_problem(&error))?;
        let undone = journal.jobs.iter().filter(|tracked| tracked.state == State::Undone);
        undone.for_each(|tracked| rows.job(&tracked.job, "undone", ui));
    }
    let (back, mut outcome) = the_way_back(args, &journal, global, ui)?;
    if outcome > Outcome::Findings {
        ui.note("nothing that was done was taken back; run it again when that is mended");
        return Ok(outcome);
    }
    let id = journal.id().to_owned();
    // From here on the way back is what a rerun finishes.
    let begun = if back.is_empty() {
        None
    } else {
        Some(moves::begin(back, Some(id), journal.throttle).map_err(|error| move_problem(&error))?)
    };
    let done = if is_open { journal.close().map_err(|error| move_problem(&error))? } else { journal.path().to_owned() };
    remove(&done)?;
    match begun {
        Some(begun) => {
            outcome |= moving::carry_out(begun, &args.moving.options(global, args.force), &mut rows, ui)?;
        }
        None => ui.note("taken back"),
    }
    Ok(outcome)
}

/// Jobs that undo what is done.
fn the_way_back(
    args: &RollbackArgs,
    journal: &Journal,
    global: &GlobalArgs,
    ui: &mut Ui,
) -> anyhow::Result<(Vec<Job>, Outcome)> {
    let found = sources::look_into_dirs(global, ui)?;
    let is_listed = |partition: &TopicPartition, log_dir: &Path| {
        let same = |dir: &Path| dir.canonicalize().is_ok_and(|dir| dir == log_dir);
        let broker = found.dirs.facts().iter().find(|facts| same(&facts.path))?.node_id?;
        let topic = sources::image(&found.dirs)?.topic_named(&partition.topic)?;
        Some(topic.partitions.get(&partition.partition)?.replicas.contains(&broker))
    };
    let mut outcome = found.outcome;
    let mut jobs = Vec::new();
    for tracked in journal.jobs.iter().filter(|it| it.state == State::Done && it.job.act == Act::Drop) {
        outcome |= Outcome::Findings;
        let text = format!("{}: was dropped there, and does not come back", tracked.job.partition());
        let hint = "copy it from another replica with a plan that has it: logdir reassign execute";
        ui.warn_once("dropped", Problem::new("not_done", text).path(&tracked.job.from).hint(hint));
    }
    for (partition, act, from, to) in moves::reversed(journal) {
        if act == Act::Drop {
            let why = match more(journal, &partition, &from)? {
                More::Alone => Some(("what it was copied from is gone: it stays", None)),
                More::Further if !args.force => Some((
                    "it holds more than what it was copied from: it stays",
                    Some("to remove it in spite of that, --force"),
                )),
                _ if is_listed(&partition, &from) == Some(true) => Some((
                    "the controllers have its broker in the replica list: it would begin with an empty log, and stays",
                    Some("have the controllers take it out of the list first: kafka-reassign-partitions.sh --execute"),
                )),
                _ => None,
            };
            if let Some((why, hint)) = why {
                outcome |= Outcome::Findings;
                let problem = Problem::new("not_done", format!("{partition}: {why}")).path(&from);
                let problem = match hint {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                };
                ui.warn_once(why, problem);
                continue;
            }
        }
        let id = create::unique_id(&from).map_err(|error| storage_problem(&error))?;
        let job = match act {
            Act::Drop => Job::dropping(id, &partition, &from, [to]),
            _ => Job::new(id, &partition, act, &from, Some(&to)),
        };
        match job {
            Ok(job) => jobs.push(job),
            Err(error) => {
                let problem = move_problem(&error);
                outcome |= problem.ends_with();
                ui.error(problem);
            }
        }
    }
    Ok((jobs, outcome))
}

/// What a copy is beside what it was copied from.
enum More {
    /// It is there alone.
    Alone,
    /// It reaches further.
    Further,
    /// It does not.
    No,
}

fn more(journal: &Journal, partition: &TopicPartition, log_dir: &Path) -> anyhow::Result<More> {
    let origin = journal.jobs.iter().find(|tracked| {
        let job = &tracked.job;
        job.act == Act::Copy && job.to == log_dir && job.partition() == *partition
    });
    let Some(source) = origin.map(|tracked| tracked.job.source()).filter(|source| source.is_dir()) else {
        return Ok(More::Alone);
    };
    let reach = |dir: &Path| Partition::open(dir, Checkpoints::default()).and_then(|partition| Reach::of(&partition));
    let copy = log_dir.join(partition.to_string());
    let reaches = reach(&source).and_then(|source| Ok([source, reach(&copy)?]));
    let reaches = reaches.map_err(|error| storage_problem(&error))?;
    Ok(if by_reach(&reaches).first() == Some(&0) { More::No } else { More::Further })
}
