//! What the verbs that move directories share: locks, rows, progress, and what went wrong in words.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::cli::Outcome;
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::consume::select::storage_problem;
use crate::cli::interrupt::Interrupt;
use crate::cli::json_row::JsonRow;
use crate::cli::recover::{checkpoint_problem, lock_problem, tend_interrupted};
use crate::cli::size::SizeStyle;
use crate::cli::table::{Column, Listing, ListingStyle};
use crate::cli::ui::{Problem, Ui};
use crate::storage::fs::remove_if_present;
use crate::storage::lock::DirLock;
use crate::storage::moves::{self, Event, Found, Job, Journal, MoveError, Options};

const COLUMNS: &[Column] = &[
    Column::left("PARTITION", 20),
    Column::left("ACTION", 6),
    Column::right("SIZE", 10),
    Column::left("STATE", 12),
    Column::left("FROM", 20),
    Column::left("TO", 6),
];

/// How directories are moved, and whether they are.
#[derive(clap::Args, Debug, Clone, Copy)]
pub struct MovingArgs {
    /// Write at most so many bytes a second; a run that is gone on with keeps to what it was begun with
    #[arg(long, value_name = "SIZE", value_parser = super::throttle)]
    throttle: Option<u64>,
    /// Copies at once that read from or write to one file system
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    per_disk: u16,
    /// Say what would be done, write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    no_header: bool,
}

impl MovingArgs {
    pub fn options(&self, global: &GlobalArgs, force: bool) -> Options {
        let workers = global.threads().get().max(usize::from(self.per_disk));
        Options { workers, per_disk: usize::from(self.per_disk), throttle: self.throttle, force }
    }
}

/// Rows of jobs on stdout: a table, or JSON.
pub struct Rows {
    listing: Option<Listing>,
    header: bool,
}

impl Rows {
    pub fn new(args: &MovingArgs, global: &GlobalArgs, ui: &Ui) -> anyhow::Result<Rows> {
        let listing = match global.output() {
            Some(OutputFormat::Json) => None,
            Some(OutputFormat::Tsv) => Some(Listing::new(COLUMNS, ListingStyle::Tsv)),
            Some(OutputFormat::Table) | None => Some(Listing::new(COLUMNS, ui.table_style())),
            Some(OutputFormat::Kafka | OutputFormat::Prometheus) => {
                return Err(Problem::usage("there is no Kafka tool for this: --output kafka is not offered")
                    .hint("use --output table, json or tsv")
                    .into());
            }
        };
        Ok(Rows { listing, header: !args.no_header })
    }

    /// A job and how far it is.
    pub fn job(&mut self, job: &Job, state: &str, ui: &mut Ui) {
        let partition = job.partition();
        let size = ui.size_style().text(job.bytes());
        let out = ui.out().buffer();
        let Some(listing) = &mut self.listing else {
            JsonRow::new("move")
                .field("topic", partition.topic)
                .field("partition", partition.partition)
                .field("action", job.act.word())
                .field("size_bytes", job.copies().then(|| job.bytes()))
                .field("state", state)
                .field("from", job.from.to_string_lossy().into_owned())
                .field("to", (job.act != moves::Act::Drop).then(|| job.to.to_string_lossy().into_owned()))
                .field("renames", job.renames)
                .write(out);
            return;
        };
        if std::mem::take(&mut self.header) {
            listing.header(out);
        }
        listing.text(partition.to_string().as_bytes(), out);
        listing.text(job.act.word().as_bytes(), out);
        // What gets another name on its file system is not copied.
        listing.text(if job.copies() { size.as_bytes() } else { b"-" }, out);
        listing.text(state.as_bytes(), out);
        listing.text(job.from.to_string_lossy().as_bytes(), out);
        let to = if job.act == moves::Act::Drop { "-".into() } else { job.to.to_string_lossy() };
        listing.text(to.as_bytes(), out);
        listing.end_row(out);
    }

    /// Whether rows are JSON.
    pub const fn is_json(&self) -> bool {
        self.listing.is_none()
    }
}

/// The exclusive locks of log directories, until they are dropped; what interrupted runs of other commands left is finished.
pub fn lock(dirs: &BTreeSet<PathBuf>, ui: &mut Ui) -> anyhow::Result<Vec<DirLock>> {
    let one = |dir: &PathBuf| {
        DirLock::exclusive(dir).map_err(|error| {
            lock_problem(&error).hint("stop the broker first; with -n the plan is shown meanwhile").into()
        })
    };
    let locks = dirs.iter().map(one).collect::<anyhow::Result<Vec<_>>>()?;
    tend_interrupted(dirs.iter(), true, ui)?;
    Ok(locks)
}

/// The log directories that jobs touch.
pub fn touched(jobs: &[Job]) -> BTreeSet<PathBuf> {
    jobs.iter().flat_map(|job| [job.from.clone(), job.to.clone()]).collect()
}

/// Journals in the log directories of the options.
pub fn journals(global: &GlobalArgs) -> anyhow::Result<Found> {
    Ok(moves::find(&global.log_dirs()?).map_err(|error| storage_problem(&error))?)
}

/// Removes what crashes left of runs that never began, or that ended: in log directories that are locked here, and in those that
/// nobody has locked. In others a run may be about to begin.
pub fn clear_stale(found: &Found, locked: &[DirLock]) -> anyhow::Result<()> {
    for path in &found.stale {
        let dir = path.parent().unwrap_or(path);
        let is_held = locked.iter().any(|lock| lock.dir() == dir);
        let lock = if is_held { None } else { DirLock::exclusive(dir).ok() };
        if is_held || lock.is_some() {
            remove_if_present(path).map_err(|error| storage_problem(&error))?;
        }
    }
    Ok(())
}

/// Refuses to go on without journals that markers speak of.
pub fn refuse_unreachable(found: &Found) -> anyhow::Result<()> {
    let Some(journal) = found.unreachable.first() else { return Ok(()) };
    Err(Problem::new("not_found", "is the journal of a run that was interrupted, and its log directory is not there")
        .path(journal)
        .hint("bring its disk back under the same path; until then brokers may refuse to start")
        .into())
}

/// Refuses to begin beside a run that was interrupted.
pub fn refuse_interrupted(found: &Found) -> anyhow::Result<()> {
    refuse_unreachable(found)?;
    let Some(journal) = found.open.first() else { return Ok(()) };
    Err(Problem::new("interrupted", "is the journal of a run that was interrupted")
        .path(journal)
        .outcome(Outcome::Refused)
        .hint("finish it with: logdir reassign resume, or take it back with: logdir reassign rollback")
        .into())
}

/// Carries out what is left of a run, and tells of it. The caller holds the locks.
pub fn carry_out(journal: Journal, options: &Options, rows: &mut Rows, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::listen()?;
    let waiting = journal.jobs.iter().filter(|tracked| tracked.state < moves::State::Committed);
    let bytes: u64 = waiting.map(|tracked| tracked.job.bytes()).sum();
    let path = journal.path().to_owned();
    // Every byte is written, and read back.
    let mut progress = ui.progress(bytes.saturating_mul(2), "moving and reading back");
    let begun = Instant::now();
    let mut outcome = Outcome::Done;
    let mut done = 0_u64;
    let finished = moves::run(journal, options, &|| interrupt.is_asked(), &mut |event| match event {
        Event::Progress(bytes) => progress.add(bytes),
        Event::Done(job) => {
            done += 1;
            rows.job(job, "done", ui);
            // What is done is seen while the rest is under way.
            let _ = ui.out().send();
        }
        Event::Failed(job, error) => {
            rows.job(job, "failed", ui);
            let problem = move_problem(error);
            outcome |= problem.ends_with();
            ui.error(problem);
        }
        Event::Anew(job) => {
            let text = "was written to since it was planned: its copy begins anew";
            ui.warning(Problem::new("notice", text).path(job.source()));
        }
        Event::GivenUp(job, why) => {
            rows.job(job, "given up", ui);
            outcome |= Outcome::Findings;
            ui.warning(Problem::new("not_done", format!("{}: not done: {why}", job.partition())).path(&job.from));
        }
        Event::Doubted(dir) => {
            let text = "is not marked as cleanly shut down any more, because a log came from a directory that is not: \
                        its broker looks at every log in it when it starts";
            ui.warning(Problem::new("notice", text).path(dir));
        }
    });
    drop(progress);
    let resume = || "go on with: logdir reassign resume; take it back with: logdir reassign rollback";
    match finished {
        Ok(finished) => {
            let seconds = begun.elapsed().max(Duration::from_millis(1)).as_secs_f64();
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate, for people"
            )]
            let rate = (bytes as f64 / seconds) as u64;
            let style = SizeStyle::Human;
            let copied = if bytes > 0 {
                format!("; {} copied and read back in {seconds:.1} s, {}/s", style.text(bytes), style.text(rate))
            } else {
                String::new()
            };
            ui.note(&format!("{done} done{copied}"));
            if finished.left > 0 {
                ui.note(&format!("{} not done: {}", finished.left, resume()));
            }
            Ok(outcome)
        }
        Err(MoveError::Stopped) => {
            ui.note(&format!("{}: interrupted; {}", path.display(), resume()));
            Ok(Outcome::Interrupted)
        }
        Err(error) => {
            let problem = move_problem(&error);
            let hint = resume();
            Err(if matches!(error, MoveError::Storage(_)) { problem.hint(hint) } else { problem }.into())
        }
    }
}

/// Removes the journals of runs that came to their end before the last one: only that can be taken back.
pub fn forget_older(dirs: &GlobalArgs) -> anyhow::Result<()> {
    let mut done = journals(dirs)?.done;
    done.pop();
    for path in done {
        remove_if_present(&path).map_err(|error| storage_problem(&error))?;
    }
    Ok(())
}

/// A run or job that is not done, as a person is told of it.
pub fn move_problem(error: &MoveError) -> Problem {
    let text = error.to_string();
    let refused = |code: &'static str| Problem::new(code, text.clone()).outcome(Outcome::Refused);
    match error {
        MoveError::Storage(error) => checkpoint_problem(error),
        MoveError::Journal { path, position, what } => Problem::new("malformed", format!("position {position}: {what}"))
            .path(path)
            .position(*position)
            .hint("the jobs in its lines up to there are done or can be seen; please report this"),
        MoveError::Nothing => Problem::usage(text),
        MoveError::Link { .. } => {
            refused("wrong_kind").hint("bring what the link leads to into the log directory, or move it by hand")
        }
        MoveError::NoFile { .. } => refused("wrong_kind").hint("move it out of the partition's directory"),
        MoveError::Kept { path } => refused("exists").hint(format!(
            "look whether the result is good, then remove them with: logdir recover {} --commit --execute",
            path.parent().unwrap_or(path).display()
        )),
        MoveError::Exists { path } => refused("exists").hint(format!(
            "see what is in it with: logdir log-dirs -d {}; a run that was interrupted goes on when what is not needed there is \
             moved out of the log directory",
            path.parent().unwrap_or(path).display()
        )),
        MoveError::Source(error) => checkpoint_problem(error)
            .hint("the others are moved; bring what can be read of it elsewhere with: logdir recover PARTITION_DIR --mode salvage --to DIR --execute"),
        MoveError::Gone { .. } => Problem::new("not_found", text)
            .hint("something else gave it another name or removed it; give it its name back and go on with: logdir reassign resume"),
        MoveError::Changed { .. } => Problem::new("changed", text)
            .hint("something writes to it without the log directory's lock; stop that and go on with: logdir reassign resume"),
        MoveError::Differs { .. } => Problem::new("io", text)
            .hint("the original is as it was; the new disk does not keep what is written to it: look at the system's log"),
        MoveError::Damaged { damage } => Problem::new("crc_mismatch", format!("position {}: {}", damage.position, damage.what))
            .path(&damage.path)
            .position(damage.position)
            .outcome(Outcome::Findings)
            .hint(format!(
                "it stays where it is; see what a broker would keep of it with: logdir recover {}; to move it as it is: --force",
                damage.path.parent().unwrap_or(&damage.path).display()
            )),
        MoveError::NoSpace { jobs, .. } => Problem::new("no_space", text)
            .outcome(Outcome::Refused)
            .hint(format!("make room, or move less at once: {jobs} partitions wait for room")),
        MoveError::Stopped => Problem::new("interrupted", text).outcome(Outcome::Interrupted),
    }
}
