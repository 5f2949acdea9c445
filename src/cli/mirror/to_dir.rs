//! From log directories to another one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::MirrorArgs;
use super::rows::{Row, Rows, action_of};
use crate::batch::compression::MAX_BATCH_BYTES;
use crate::cli::Outcome;
use crate::cli::args::{GlobalArgs, now_ms};
use crate::cli::consume::select::{OfReplicas, Selected, Selection, select, storage_problem};
use crate::cli::consume::stream::resolve;
use crate::cli::dirs;
use crate::cli::interrupt::Interrupt;
use crate::cli::json_row::JsonRow;
use crate::cli::range::{Bound, Offsets};
use crate::cli::session::{session_problem, tell};
use crate::cli::topics::problem::create_problem;
use crate::cli::ui::{Problem, Progress, Ui};
use crate::schema::image::MetadataImage;
use crate::schema::topic_configs::topic_configs;
use crate::storage::fs::StorageError;
use crate::storage::log_dir::LogDir;
use crate::storage::mirror::{self, End, Finding, Mirror, MirrorError, OnGap, Options, Plan, Wish};
use crate::storage::moves::MoveError;
use crate::storage::partition::{Partition, present};
use crate::storage::{create, meta_properties, metadata_log};
use crate::types::{Offset, TopicPartition};

/// Copies, or says what would be.
pub(super) fn run(args: &MirrorArgs, to: &Path, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let mut rows = Rows::new(args.no_header, global, ui)?;
    let sources = global.log_dirs()?;
    refuse_same(&sources, to)?;
    let (partitions, mut outcome) = selected(args, &sources, ui)?;
    let opened = dirs::open(&sources, ui);
    let copies = copies(to)?;
    let (metadata, told) = dirs::believed_metadata(&opened.dirs, ui);
    outcome |= told;
    let image = metadata.as_ref().map(|metadata| &metadata.image);
    let plans = plans(args, partitions, copies.as_ref(), image, ui, &mut outcome)?;
    let on_gap = OnGap::from(args.on_gap);
    let bytes: u64 = plans.iter().filter(|plan| plan.has_work(on_gap)).map(|plan| plan.bytes).sum();
    let mut totals = Totals::default();
    if args.dry_run || !plans.iter().any(|plan| plan.has_work(on_gap)) {
        for plan in &plans {
            outcome |= would(plan, on_gap, &mut rows, &mut totals, ui)?;
        }
    } else {
        make_target(to, &opened.dirs, ui)?;
        refuse_full(to, bytes)?;
        let options =
            Options { on_gap, allow_truncate: args.allow_truncate, throttle: args.throttle, now_ms: now_ms() };
        let mut mirror = Mirror::open(to, options).map_err(|error| mirror_problem(&error))?;
        let progress = ui.progress(bytes, "copying");
        outcome |= carry_out(&mut mirror, &plans, progress, &mut rows, &mut totals, ui)?;
    }
    totals.tell(args.dry_run, rows.is_json(), ui);
    Ok(outcome)
}

/// A log directory is not its own copy.
fn refuse_same(sources: &[PathBuf], to: &Path) -> anyhow::Result<()> {
    let target = to.canonicalize().ok();
    match sources.iter().find(|source| target.is_some() && source.canonicalize().ok() == target) {
        Some(source) => Err(Problem::usage(format!("--to {}: is {} itself", to.display(), source.display()))
            .hint("name another directory, such as one on another disk")
            .into()),
        None => Ok(()),
    }
}

/// The partitions that are copied, internal ones first: what groups committed never gets ahead of the records of a source
/// that is in use.
fn selected(args: &MirrorArgs, sources: &[PathBuf], ui: &mut Ui) -> anyhow::Result<(Vec<Partition>, Outcome)> {
    let selection = Selection {
        paths: &[],
        log_dirs: sources,
        topics: &args.topic,
        partitions: args.partition.as_ref(),
        internal: !args.exclude_internal,
        of_replicas: OfReplicas::Furthest,
    };
    let Selected { mut partitions, failures, messages, .. } = select(&selection)?;
    messages.into_iter().for_each(|message| message.show(ui));
    let outcome = dirs::show_all(failures, ui);
    if partitions.iter().any(|partition| partition.topic_partition().topic == metadata_log::TOPIC) {
        ui.detail("the metadata log is not copied: it is of the node whose log directory it is in");
        partitions.retain(|partition| partition.topic_partition().topic != metadata_log::TOPIC);
    }
    partitions.sort_by_key(|partition| !partition.topic_partition().is_internal());
    Ok((partitions, outcome))
}

/// The log directory of the copies, where it is there.
fn copies(to: &Path) -> anyhow::Result<Option<LogDir>> {
    Ok(present(LogDir::open(to)).map_err(|error| storage_problem(&error))?)
}

fn plans(
    args: &MirrorArgs,
    partitions: Vec<Partition>,
    copies: Option<&LogDir>,
    image: Option<&MetadataImage>,
    ui: &mut Ui,
    outcome: &mut Outcome,
) -> anyhow::Result<Vec<Plan>> {
    let offsets = Offsets::new(&args.offset).map_err(|error| Problem::usage(error.to_string()))?;
    let mut copy_dirs = BTreeMap::new();
    for (name, path) in copies.into_iter().flat_map(LogDir::partitions) {
        if name.kind == crate::storage::names::DirKind::Live {
            copy_dirs.insert(name.topic_partition.clone(), (name, path));
        }
    }
    let ends = ends(args, &partitions, ui)?;
    let mut plans = Vec::with_capacity(partitions.len());
    for (number, source) in partitions.into_iter().enumerate() {
        let planned = || -> Result<Plan, StorageError> {
            let range = offsets.for_partition(source.topic_partition().partition);
            let at = |bound| resolve(&source, bound, Offset::MAX, MAX_BATCH_BYTES);
            let wish = Wish {
                start: if range.start == Bound::LogStart { None } else { at(range.start)? },
                end: match ends.get(number) {
                    Some(end) => Some(end.offset),
                    None if range.end == Bound::LogEnd => None,
                    None => at(range.end)?,
                },
                is_compacted: is_compacted(image, &source.topic_partition().topic),
            };
            let copy = match (copies, copy_dirs.get(source.topic_partition())) {
                (Some(copies), Some((name, path))) => Some(copies.open_partition(name, path)?),
                _ => None,
            };
            mirror::plan(source.clone(), copy.as_ref(), wish)
        };
        match planned() {
            Ok(plan) => plans.push(plan),
            Err(error) if error.is_not_found() => ui.detail(&format!("{error}: gone while it was looked at")),
            Err(error) => {
                let problem = storage_problem(&error);
                *outcome |= problem.ends_with();
                ui.error(problem);
            }
        }
    }
    Ok(plans)
}

/// Where partitions end with `--until`; nothing without it.
fn ends(args: &MirrorArgs, partitions: &[Partition], ui: &mut Ui) -> anyhow::Result<Vec<End>> {
    let Some(at_ms) = args.until else { return Ok(Vec::new()) };
    let ends = mirror::cut(partitions, at_ms).map_err(|error| storage_problem(&error))?;
    for (partition, end) in partitions.iter().zip(&ends) {
        if let Some(why) = &end.why {
            let partition = partition.topic_partition();
            let text = format!("{partition} ends at offset {}, not at {}: {why}", end.offset, end.by_time);
            ui.warn_once("until", Problem::new("notice", text));
        }
    }
    Ok(ends)
}

/// Whether the cleaner takes records out of the topic: by its settings, as far as they are known.
fn is_compacted(image: Option<&MetadataImage>, topic: &str) -> bool {
    let configs = topic_configs(image, topic, None, &BTreeMap::new());
    configs.iter().any(|config| config.name == "cleanup.policy" && config.value.contains("compact"))
}

/// Makes the log directory of the copies, of the cluster that the sources are of; tells where it is of another.
fn make_target(to: &Path, sources: &[LogDir], ui: &mut Ui) -> anyhow::Result<()> {
    let of_source = sources.iter().find_map(LogDir::meta);
    let path = to.join(meta_properties::FILE_NAME);
    let found = present(meta_properties::read(&path)).map_err(|error| storage_problem(&error))?;
    let Some(found) = found else {
        let random = || create::random_uuid().map_err(|error| StorageError::new(to, error));
        let cluster_id = match of_source.and_then(|meta| meta.cluster_id()) {
            Some(id) => id.to_owned(),
            None => random().map_err(|error| storage_problem(&error))?.to_string(),
        };
        let node_id = of_source.and_then(|meta| meta.node_id()).unwrap_or(1);
        let directory_id = random().map_err(|error| storage_problem(&error))?;
        return create::log_dir(to, &cluster_id, node_id, directory_id).map_err(|error| create_problem(&error).into());
    };
    if let (Some(ours), Some(theirs)) = (found.cluster_id(), of_source.and_then(|meta| meta.cluster_id()))
        && ours != theirs
    {
        let text = format!(
            "is of cluster {ours}, the source of {theirs}: a broker of that cluster does not know these topics"
        );
        ui.warning(Problem::new("notice", text).path(to).hint(
            "to have a broker of another cluster serve them: logdir topics adopt, or logdir mirror --to-cluster",
        ));
    }
    Ok(())
}

/// A copy that cannot be finished is better not begun.
fn refuse_full(to: &Path, bytes: u64) -> anyhow::Result<()> {
    let found = rustix::fs::statvfs(to)
        .map_err(|errno| storage_problem(&StorageError::new(to, std::io::Error::from(errno))))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    // Indexes, and blocks that are not full.
    let needed = bytes.saturating_add(bytes / 50);
    if needed > free {
        let text = format!("{needed} bytes have to be free for the copies, {free} are; nothing was copied");
        return Err(Problem::new("no_space", text)
            .path(to)
            .outcome(Outcome::Refused)
            .hint("make room, or copy fewer topics: -t")
            .into());
    }
    Ok(())
}

#[derive(Default)]
struct Totals {
    copied: usize,
    grown: usize,
    level: usize,
    stopped: usize,
    bytes: u64,
}

impl Totals {
    fn count(&mut self, action: &str, bytes: u64) {
        match action {
            "copied" | "copy" => self.copied += 1,
            "grown" | "grow" => self.grown += 1,
            "level" => self.level += 1,
            _ => self.stopped += 1,
        }
        self.bytes += bytes;
    }

    fn tell(&self, dry_run: bool, json: bool, ui: &mut Ui) {
        if json {
            JsonRow::new("summary")
                .field("copied", self.copied)
                .field("grown", self.grown)
                .field("level", self.level)
                .field("stopped", self.stopped)
                .field("size_bytes", self.bytes)
                .field("executed", !dry_run)
                .write(ui.out().buffer());
        }
        let size = ui.size_style().text(self.bytes);
        let Totals { copied, grown, level, stopped, .. } = self;
        let stopped = if *stopped > 0 { format!(", {stopped} stopped") } else { String::new() };
        let text = if dry_run {
            format!(
                "{copied} partitions to copy, {grown} to go on with, {size}; {level} are level{stopped}; nothing written"
            )
        } else {
            format!("{copied} partitions copied, {grown} gone on with, {size}; {level} were level{stopped}")
        };
        ui.note(&text);
    }
}

/// One partition that is only looked at.
fn would(plan: &Plan, on_gap: OnGap, rows: &mut Rows, totals: &mut Totals, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let has_work = plan.has_work(on_gap);
    let action = match (has_work, plan.is_level(), plan.has_copy) {
        (true, _, false) => "copy",
        (true, _, true) => "grow",
        (false, true, _) => "level",
        (false, false, _) => "stopped",
    };
    let findings: Vec<Finding> = plan.finding.iter().cloned().collect();
    let bytes = if has_work { plan.bytes } else { 0 };
    totals.count(action, bytes);
    if action != "level" || rows.is_json() {
        rows.row(&Row { plan, action, to: plan.to, bytes, findings: &findings }, ui)?;
    }
    let is_stopped = action == "stopped";
    Ok(tell_findings(on_gap, plan.partition(), &findings, is_stopped, ui))
}

fn carry_out(
    mirror: &mut Mirror,
    plans: &[Plan],
    progress: Progress,
    rows: &mut Rows,
    totals: &mut Totals,
    ui: &mut Ui,
) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::listen()?;
    let progress = std::sync::Mutex::new(progress);
    let add = |bytes| progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(bytes);
    let mut outcome = Outcome::Done;
    for plan in plans {
        let carried = mirror.carry_out(plan, &|| interrupt.is_asked(), &add);
        mirror.take_events().iter().for_each(|event| tell(event, ui));
        let done = match carried {
            Ok(done) => done,
            Err(error) if error.is_stopped() => {
                outcome = Outcome::Interrupted;
                break;
            }
            // What is wrong with one partition says nothing of the next; what is wrong with the disk ends all of it.
            Err(error) => {
                let problem = mirror_problem(&error);
                outcome |= problem.ends_with();
                ui.error(problem);
                totals.count("stopped", 0);
                if mirror.has_failed() {
                    break;
                }
                continue;
            }
        };
        let action = action_of(plan, &done);
        let size = done.whole_bytes + done.batch_bytes;
        totals.count(action, size);
        if action != "level" || rows.is_json() {
            rows.row(&Row { plan, action, to: done.end, bytes: size, findings: &done.findings }, ui)?;
        }
        outcome |= tell_findings(mirror.on_gap(), plan.partition(), &done.findings, done.is_stopped, ui);
        if interrupt.is_asked() {
            outcome = Outcome::Interrupted;
            break;
        }
    }
    if mirror.has_failed() {
        ui.hint("what came over is there; when the disk is well again, run it again to go on");
    }
    mirror.settle().map_err(|error| mirror_problem(&error))?;
    mirror.take_events().iter().for_each(|event| tell(event, ui));
    if outcome == Outcome::Interrupted {
        ui.note("interrupted: what came over is whole and on disk; run it again to go on");
    }
    Ok(outcome)
}

/// Tells what is in the way of a partition; a decision that was made leaves a warning.
fn tell_findings(
    on_gap: OnGap,
    partition: &TopicPartition,
    findings: &[Finding],
    is_stopped: bool,
    ui: &mut Ui,
) -> Outcome {
    let mut outcome = Outcome::Done;
    for finding in findings {
        let text = format!("{partition}: {finding}");
        let problem = Problem::new(finding.word(), text).outcome(Outcome::Findings);
        if on_gap == OnGap::Keep && !matches!(finding, Finding::Refused { .. }) {
            let what = if is_stopped { "the copy is kept as it is" } else { "what is missing is passed" };
            ui.warning(problem.hint(what));
            continue;
        }
        outcome |= Outcome::Findings;
        ui.error(problem.hint(match finding {
            Finding::Gap { .. } | Finding::Hole { .. } => "to go on behind what is missing: --on-gap keep".to_owned(),
            Finding::Damage { .. } => {
                "fill it from a replica first: logdir recover --mode merge; to go on behind it: --on-gap keep".to_owned()
            }
            Finding::Shorter { .. } | Finding::Differs { .. } | Finding::Recreated { .. } => format!(
                "to keep the copy and leave this partition: --on-gap keep; to copy it anew, into another directory: --to, or \
                 delete the copy first: logdir topics delete {} --execute",
                partition.topic
            ),
            Finding::Refused { .. } => "see what is there with: logdir dump-segment".to_owned(),
        }));
    }
    outcome
}

/// Why nothing could be copied, as a person is told of it.
fn mirror_problem(error: &MirrorError) -> Problem {
    match error {
        MirrorError::Storage(error) => storage_problem(error),
        MirrorError::Session(error) => session_problem(error),
        MirrorError::Copy(MoveError::Storage(error) | MoveError::Source(error)) => storage_problem(error),
        MirrorError::Copy(error) => Problem::new("io", error.to_string())
            .hint("the disk does not keep what is written to it: look at the system's log"),
        MirrorError::Create(error) => create_problem(error),
    }
}
