//! `logdir recover`: partitions made good, as a broker would, past damage, or from replicas.

mod plan;
mod show;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::args::{GlobalArgs, OutputFormat, TopicArg, now_ms};
use super::consume::select::{OfReplicas, Selection, select, storage_problem};
use super::range::Partitions;
use super::ui::{Problem, Ui};
use super::{Outcome, dirs, man};
use crate::storage::fs::{StorageError, StorageErrorKind};
use crate::storage::lock::{self, DirLock, LockError};
use crate::storage::log_dir::LogDir;
use crate::storage::metadata_log;
use crate::storage::names::{DirKind, PartitionDirName};
use crate::storage::partition::Partition;
use crate::storage::restore::{Job, Sharing, small_files};
use crate::storage::swap::{self, Interrupted, Old, Staging, SwapError};
use crate::types::Uuid;

use self::plan::Planner;
use self::show::Rows;

/// How partitions are recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Cut what a broker would cut, file for file
    Kafka,
    /// Keep every batch whose checksum holds, on both sides of any damage
    Salvage,
    /// As salvage, with holes and a missing tail filled from replicas (--from)
    Merge,
}

/// Recover partitions: as a broker would, past damage, or from replicas
///
/// Prints what would be done and writes nothing; --execute does it, into a new log directory (--to) or in
/// place. In place the originals are kept inside each partition directory, where no broker looks,
/// until --commit. A run that was interrupted leaves the original or the result, and a rerun finishes it.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("recover"))]
pub struct RecoverArgs {
    /// Log directories or partition directories, instead of -d
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Topic; re:PATTERN for several (repeatable)
    #[arg(short, long, value_name = "TOPIC", value_parser = TopicArg::parse)]
    pub topic: Vec<TopicArg>,
    /// Partitions, such as 0,3-5; default all
    #[arg(short, long, value_name = "LIST", value_parser = Partitions::parse)]
    pub partition: Option<Partitions>,
    /// What to keep
    #[arg(long, value_name = "MODE", default_value = "kafka")]
    pub mode: Mode,
    /// With --mode merge: log directories or partition directories of replicas (repeatable)
    #[arg(long, value_name = "REPLICA_DIR", value_delimiter = ',')]
    pub from: Vec<PathBuf>,
    /// With --mode merge: take nothing from replicas at or above this offset
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub to_offset: Option<i64>,
    /// Write to this log directory, which is made if it is missing
    #[arg(long, value_name = "DIR", conflicts_with_all = ["in_place", "commit"])]
    pub to: Option<PathBuf>,
    /// Put the result in the place of the original, which is kept until --commit
    #[arg(long)]
    pub in_place: bool,
    /// Do it
    #[arg(long)]
    pub execute: bool,
    /// Remove the originals that an earlier --in-place kept
    #[arg(long, conflicts_with_all = ["in_place", "mode", "from"])]
    pub commit: bool,
    /// With --in-place: do not keep the original
    #[arg(long, requires = "in_place")]
    pub no_backup: bool,
    /// With --mode kafka: as after a crash, whatever the clean-shutdown marker says
    #[arg(long)]
    pub unclean: bool,
    /// With --mode kafka: as --unclean, and read every segment from the first on, whatever the recovery point says
    #[arg(long)]
    pub full: bool,
    /// With --mode salvage or merge: the topic's id, for a partition.metadata that is missing or wrong
    #[arg(long, value_name = "ID", value_parser = topic_id)]
    pub topic_id: Option<Uuid>,
    /// Go past a refusal that names this option in its hint
    #[arg(long)]
    pub force: bool,
    /// With salvage or merge: take sound batches of .deleted and .cleaned segments too, where they fill a hole or follow the end
    ///
    /// A broker that cuts a log at its start renames what it drops, and removes it a minute later; stopped in time, it is
    /// still there. In a compacted log, records that were cleaned away come back.
    #[arg(long)]
    pub with_deleted: bool,
    /// index.interval.bytes of the topic, if it has one of its own: no file of a log directory says so
    #[arg(long, value_name = "SIZE", value_parser = size_31)]
    pub index_interval_bytes: Option<u32>,
    /// segment.index.bytes of the topic, if it has one of its own
    #[arg(long, value_name = "SIZE", value_parser = size_31, hide_short_help = true)]
    pub segment_index_bytes: Option<u32>,
    /// Largest batch that is held in memory; beyond it a batch is damage
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = super::size::parse, hide_short_help = true)]
    pub max_batch_bytes: u64,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
}

fn topic_id(text: &str) -> Result<Uuid, String> {
    Uuid::parse(text).filter(|id| *id != Uuid::ZERO).ok_or_else(|| "expected 22 characters of base64".to_owned())
}

fn size_31(text: &str) -> Result<u32, String> {
    let bytes = super::size::parse(text).map_err(|error| error.to_string())?;
    let fits = u32::try_from(bytes).ok().filter(|bytes| *bytes <= i32::MAX.cast_unsigned());
    fits.ok_or_else(|| "expected at most 2147483647 bytes".to_owned())
}

impl RecoverArgs {
    fn check(&self) -> anyhow::Result<()> {
        let usage = |text: &str| Err(Problem::usage(text).into());
        if self.mode == Mode::Merge && self.from.is_empty() {
            return usage("--mode merge needs --from REPLICA_DIR");
        }
        if self.mode != Mode::Merge && (!self.from.is_empty() || self.to_offset.is_some()) {
            return usage("--from and --to-offset are for --mode merge");
        }
        if self.mode != Mode::Kafka && (self.unclean || self.full) {
            return usage("--unclean and --full are for --mode kafka; the others read everything");
        }
        if self.mode == Mode::Kafka && self.topic_id.is_some() {
            return usage("--topic-id is for --mode salvage or merge; a broker does not repair partition.metadata");
        }
        if self.execute && self.to.is_none() && !self.in_place && !self.commit {
            return Err(Problem::usage("--execute needs to know where to write")
                .hint("say --in-place (the originals are kept until --commit) or --to DIR")
                .into());
        }
        Ok(())
    }
}

/// Plans, and with `--execute` recovers.
pub fn run(args: &RecoverArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    args.check()?;
    if global.output() == Some(OutputFormat::Kafka) {
        return Err(Problem::usage("there is no Kafka tool for this: --output kafka is not offered")
            .hint("use --output table, json or tsv")
            .into());
    }
    let log_dirs = dirs::beside_settings(&args.paths, global)?;
    let places = log_dirs_around(args, &log_dirs);
    // Until the end of the run: nobody starts on a directory that is about to change.
    let _locks = if args.execute { lock_all(args, &places)? } else { say_holders(&places, ui)? };
    tend_interrupted(places.iter().chain(&args.to), args.execute, ui)?;
    let selection = Selection {
        paths: &args.paths,
        log_dirs: &log_dirs,
        topics: &args.topic,
        partitions: args.partition.as_ref(),
        internal: true,
        of_replicas: OfReplicas::First,
    };
    let selected = select(&selection)?;
    let outcome = dirs::show_all(selected.failures, ui);
    for message in selected.messages {
        message.show(ui);
    }
    let mut run =
        Run { args, rows: Rows::new(args, global, ui), outcome, planner: Planner::new(args, global)?, changed: 0 };
    // First: a partition is put in place only where the checkpoints around it can be read.
    if args.mode != Mode::Kafka && !args.commit && args.to.is_none() {
        run.small_files(&named_log_dirs(args, &log_dirs), ui)?;
    }
    for partition in &selected.partitions {
        // Its snapshots and its quorum state are part of it, and no broker loads it.
        if partition.topic_partition().topic == metadata_log::TOPIC {
            ui.detail(&format!("{}: the controllers' own log is left alone", partition.dir().display()));
            continue;
        }
        let done = if args.commit { run.commit(partition, ui) } else { run.one(partition, &places, ui) };
        if let Err(error) = done {
            let problem = Problem::of(&error);
            run.outcome |= problem.ends_with();
            run.rows.failed();
            ui.error(problem);
        }
        let _ = ui.out().send()?;
    }
    run.end(ui)
}

/// The log directories that are named as such: their own files are looked at too.
fn named_log_dirs(args: &RecoverArgs, log_dirs: &[PathBuf]) -> Vec<PathBuf> {
    let is_log_dir = |path: &&PathBuf| {
        let name = path.canonicalize().ok().and_then(|path| path.file_name().map(PartitionDirName::parse));
        name.is_none_or(|name| name.is_err()) || path.join(crate::storage::meta_properties::FILE_NAME).is_file()
    };
    args.paths.iter().filter(is_log_dir).chain(log_dirs).cloned().collect()
}

struct Run<'a> {
    args: &'a RecoverArgs,
    rows: Rows,
    outcome: Outcome,
    planner: Planner<'a>,
    /// Partitions with something to do.
    changed: usize,
}

impl Run<'_> {
    fn one(&mut self, partition: &Partition, places: &[PathBuf], ui: &mut Ui) -> anyhow::Result<()> {
        let log_dir = log_dir_of(partition, places);
        let job = self.planner.plan(partition, &log_dir, ui)?;
        let steps = job.steps();
        for step in &steps {
            self.rows.step(partition, step, ui)?;
        }
        self.rows.job(partition, &job, ui)?;
        if steps.is_empty() && self.args.to.is_none() {
            return Ok(());
        }
        self.changed += 1;
        if !self.args.execute {
            return Ok(());
        }
        match &self.args.to {
            Some(to) => self.write_to(to, &log_dir, partition, &job, ui),
            None => self.swap_in(&log_dir, partition, &job, ui),
        }
    }

    fn swap_in(&self, log_dir: &Path, partition: &Partition, job: &Job, ui: &mut Ui) -> anyhow::Result<()> {
        let staging = Staging::begin(log_dir, partition.topic_partition()).map_err(|error| swap_problem(&error))?;
        if let Err(error) = job.build(staging.dir(), Sharing::Links) {
            let problem = plan::restore_problem(&error);
            staging.abandon().map_err(|error| storage_problem(&error))?;
            return Err(problem.into());
        }
        let old = if self.args.no_backup { Old::Removed } else { Old::Kept };
        let live = staging.swap(&job.ends(), old).map_err(|error| swap_problem(&error))?;
        let text = if self.args.no_backup {
            format!("{}: recovered", live.display())
        } else {
            format!("{}: recovered; the original is in {}", live.display(), live.join(swap::KEPT).display())
        };
        ui.note(&text);
        Ok(())
    }

    fn write_to(&self, to: &Path, log_dir: &Path, partition: &Partition, job: &Job, ui: &mut Ui) -> anyhow::Result<()> {
        let target = to.join(partition.topic_partition().to_string());
        if target.exists() {
            return Err(Problem::new("exists", "is there already")
                .path(target)
                .outcome(Outcome::Refused)
                .hint("name another directory with --to")
                .into());
        }
        plan::make_log_dir(to, log_dir)?;
        let staging = Staging::begin(to, partition.topic_partition()).map_err(|error| swap_problem(&error))?;
        if let Err(error) = job.build(staging.dir(), Sharing::Copies) {
            let problem = plan::restore_problem(&error);
            staging.abandon().map_err(|error| storage_problem(&error))?;
            return Err(problem.into());
        }
        let made = staging.install(&job.ends()).map_err(|error| swap_problem(&error))?;
        ui.note(&format!("{}: recovered into {}", partition.dir().display(), made.display()));
        Ok(())
    }

    /// Checkpoints and `meta.properties` that cannot be read.
    fn small_files(&mut self, log_dirs: &[PathBuf], ui: &mut Ui) -> anyhow::Result<()> {
        for dir in log_dirs {
            let job = small_files::plan(dir, log_dirs, &self.args.from).map_err(|error| storage_problem(&error))?;
            for step in job.steps() {
                self.rows.dir_step(dir, step, ui)?;
            }
            self.changed += usize::from(!job.steps().is_empty());
            if let Some(missing) = job.missing() {
                self.outcome |= Outcome::Refused;
                ui.error(
                    Problem::new("malformed", missing)
                        .path(dir.join(crate::storage::meta_properties::FILE_NAME))
                        .outcome(Outcome::Refused)
                        .hint("name another log directory of the node with a second -d, or format it with the ids: kafka-storage.sh format"),
                );
            }
            if self.args.execute {
                job.apply().map_err(|error| storage_problem(&error))?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, partition: &Partition, ui: &mut Ui) -> anyhow::Result<()> {
        let kept = partition.dir().join(swap::KEPT);
        if !kept.is_dir() {
            return Ok(());
        }
        self.changed += 1;
        self.rows.kept(partition, &kept, ui)?;
        if self.args.execute {
            swap::commit(partition.dir()).map_err(|error| storage_problem(&error))?;
        }
        Ok(())
    }

    fn end(mut self, ui: &mut Ui) -> anyhow::Result<Outcome> {
        self.rows.summary(self.changed, ui)?;
        match (self.changed, self.args.execute, self.args.commit) {
            (0, _, true) => ui.note("no originals are kept"),
            // What could not be planned has been said.
            (0, _, false) if self.outcome != Outcome::Done => {}
            (0, _, false) => ui.note("nothing to do"),
            (_, false, true) => ui.note("nothing removed; run again with --commit --execute"),
            (_, false, false) => ui.note("nothing written; run again with --in-place --execute or --to DIR --execute"),
            (_, true, _) => {}
        }
        Ok(self.outcome)
    }
}

/// The log directories that what was named is in.
fn log_dirs_around(args: &RecoverArgs, log_dirs: &[PathBuf]) -> Vec<PathBuf> {
    let around = |path: &PathBuf| {
        let Ok(absolute) = path.canonicalize() else {
            // It may be about to come back: where names cannot be exchanged it is not there for a moment.
            let parent = crate::storage::fs::parent_of(path).canonicalize().ok()?;
            let is_left = swap::find_interrupted(&parent).is_ok_and(|left| !left.is_empty());
            return is_left.then_some(parent);
        };
        let name = absolute.file_name()?;
        let named = PartitionDirName::parse(name).is_ok_and(|name| name.kind == DirKind::Live);
        let is_partition = named && !path.join(crate::storage::meta_properties::FILE_NAME).is_file();
        let parent = absolute.parent()?.to_owned();
        Some(if is_partition { parent } else { absolute })
    };
    let found: BTreeSet<PathBuf> = args.paths.iter().chain(log_dirs).filter_map(around).collect();
    found.into_iter().collect()
}

/// The log directory that a partition is in.
fn log_dir_of(partition: &Partition, places: &[PathBuf]) -> PathBuf {
    let absolute = partition.dir().canonicalize().unwrap_or_else(|_| partition.dir().to_owned());
    let parent = absolute.parent().unwrap_or(Path::new(".")).to_owned();
    debug_assert!(places.is_empty() || places.contains(&parent), "every log directory was looked at");
    parent
}

fn lock_all(args: &RecoverArgs, places: &[PathBuf]) -> anyhow::Result<Vec<DirLock>> {
    if let Some(to) = &args.to {
        crate::storage::fs::create_dirs(to).map_err(|error| storage_problem(&error))?;
        let same = to.canonicalize().map_err(|error| storage_problem(&StorageError::new(to, error)))?;
        if places.contains(&same) {
            return Err(Problem::usage("--to names a directory that is to be recovered").hint("use --in-place").into());
        }
    }
    let all = places.iter().chain(&args.to);
    all.map(|dir| DirLock::exclusive(dir).map_err(|error| lock_problem(&error).into())).collect()
}

/// Warns of directories that others have open.
pub(super) fn say_holders(places: &[PathBuf], ui: &mut Ui) -> anyhow::Result<Vec<DirLock>> {
    for dir in places {
        if let Some(holder) = lock::holder(dir).map_err(|error| storage_problem(&error))? {
            let text = format!("is open in {holder}; what is planned now may not be true any more later");
            ui.warning(Problem::new("locked", text).path(dir).hint("stop it before that is done"));
        }
    }
    Ok(Vec::new())
}

/// Finishes what interrupted runs left in log directories, or says that it is there.
pub(super) fn tend_interrupted<'a>(
    dirs: impl Iterator<Item = &'a PathBuf>,
    execute: bool,
    ui: &mut Ui,
) -> anyhow::Result<()> {
    for dir in dirs.filter(|dir| dir.is_dir()) {
        if !execute {
            for left in swap::find_interrupted(dir).map_err(|error| storage_problem(&error))? {
                let problem = Problem::new("notice", "left by a run that was interrupted").path(left);
                ui.warning(problem.hint("--execute finishes it"));
            }
            continue;
        }
        for done in swap::finish_interrupted(dir).map_err(|error| swap_problem(&error))? {
            match done {
                Interrupted::Removed(path) => {
                    ui.note(&format!("{}: removed, an interrupted run left it", path.display()));
                }
                Interrupted::Finished(path) => {
                    ui.note(&format!("{}: finished what an interrupted run left", path.display()));
                }
                Interrupted::Left(path) => ui.warning(
                    Problem::new(
                        "notice",
                        "is the original of a partition whose result has been deleted or set aside since",
                    )
                    .path(path)
                    .hint("remove it when nothing in it is needed; to have it back, give it the partition's name"),
                ),
            }
        }
    }
    Ok(())
}

/// A lock that cannot be had, as a person is told of it.
pub(super) fn lock_problem(error: &LockError) -> Problem {
    match error {
        LockError::Held { .. } => Problem::new("locked", error.to_string())
            .outcome(Outcome::Refused)
            .hint("stop it first; without --execute the plan is shown meanwhile"),
        LockError::Storage(error) => storage_problem(error),
    }
}

/// A directory that cannot be put in place, as a person is told of it.
pub(super) fn swap_problem(error: &SwapError) -> Problem {
    match error {
        SwapError::Storage(error) => checkpoint_problem(error),
        SwapError::Link { .. } => Problem::new("wrong_kind", error.to_string())
            .outcome(Outcome::Refused)
            .hint("give the directory itself that name, in this log directory"),
        SwapError::KeptAlready { path } => Problem::new("exists", "holds the originals of an earlier run")
            .path(path)
            .outcome(Outcome::Refused)
            .hint("look whether the result is good, then remove them with: --commit --execute"),
        SwapError::Between { .. } => Problem::new("exists", error.to_string())
            .hint("with no broker running, give the directory you want the partition's name and remove the others"),
    }
}

/// A file that cannot be read; where it is a checkpoint, with what makes it good.
pub(super) fn checkpoint_problem(error: &StorageError) -> Problem {
    let problem = storage_problem(error);
    match &error.kind {
        StorageErrorKind::Checkpoint(_) => problem.hint(
            "what can be read of it is written anew by: logdir recover -d DIR --mode salvage --in-place --execute",
        ),
        _ => problem,
    }
}

/// What the planner needs to know of the log directory around a partition.
fn open_log_dir(log_dir: &Path) -> anyhow::Result<LogDir> {
    LogDir::open(log_dir).map_err(|error| storage_problem(&error).into())
}

/// The time of this run.
fn time() -> crate::types::TimestampMs {
    now_ms()
}
