//! From log directories to another one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::rows::{Row, Rows, action_of};
use super::{MirrorArgs, make_target, tell_findings};
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
use crate::storage::fs::{self, StorageError};
use crate::storage::log_dir::LogDir;
use crate::storage::meta_properties::MetaProperties;
use crate::storage::metadata_log;
use crate::storage::mirror::{self, End, Finding, Mirror, MirrorError, OnGap, Options, Plan, Wish};
use crate::storage::moves::MoveError;
use crate::storage::partition::{Partition, present};
use crate::types::Offset;

/// Copies, or says what would be.
pub(super) fn run(args: &MirrorArgs, to: &Path, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let mut rows = Rows::new(args.no_header, global, ui)?;
    let sources = global.log_dirs()?;
    refuse_same(&sources, to)?;
    let (partitions, mut outcome) = selected(args, &sources, ui)?;
    // What cannot be opened was told.
    let opened: Vec<LogDir> = sources.iter().filter_map(|dir| LogDir::open(dir).ok()).collect();
    let copies = copies(to)?;
    let (metadata, told) = dirs::believed_metadata(&opened, ui);
    outcome |= told;
    let image = metadata.as_ref().map(|metadata| &metadata.image);
    let plans = plans(args, partitions, copies.as_ref(), image, ui, &mut outcome)?;
    let on_gap = OnGap::from(args.on_gap);
    let with_work = || plans.iter().filter(|plan| plan.has_work(on_gap));
    let mut totals = Totals::default();
    if args.dry_run || with_work().next().is_none() {
        for plan in &plans {
            outcome |= would(plan, on_gap, &mut rows, &mut totals, ui)?;
        }
    } else {
        let of_source = opened.iter().find_map(LogDir::meta);
        let cluster_id = of_source.and_then(MetaProperties::cluster_id);
        make_target(to, cluster_id, of_source.and_then(MetaProperties::node_id), ui)?;
        refuse_full(to, with_work().map(|plan| plan.bytes_needed(to)).sum())?;
        let options =
            Options { on_gap, allow_truncate: args.allow_truncate, throttle: args.throttle, now_ms: now_ms() };
        let mut mirror = Mirror::open(to, options).map_err(|error| mirror_problem(&error))?;
        let progress = ui.progress(with_work().map(|plan| plan.bytes).sum(), "copying");
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

/// A copy that cannot be finished is better not begun.
fn refuse_full(to: &Path, bytes: u64) -> anyhow::Result<()> {
    let free = fs::free_bytes(to).map_err(|error| storage_problem(&error))?;
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
        rows.row(&Row::of(plan, action, plan.to, bytes, &findings), ui)?;
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
            rows.row(&Row::of(plan, action, done.end, size, &done.findings), ui)?;
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
