//! `reassign verify`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::sources::{self, as_broker_names, read_json, shown};
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::json_row::JsonRow;
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::reassign::plan_json::{PlannedPartition, parse_plan};
use crate::reassign::progress::{Assigned, PartitionStatus, Progress, ReplicaStatus, Seen};
use crate::storage::inventory::LogDirs;
use crate::storage::names::DirKind;

/// Tell how far log directories are from a plan, in the words of kafka-reassign-partitions.sh --verify
///
/// What the cluster's metadata says counts, where one of the directories has it; else the brokers that have a directory of a
/// partition. Reads only; throttles that a running cluster has set stay. Exits 1 while something is not done.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("reassign verify"))]
pub struct VerifyArgs {
    /// The plan, as generate prints it (-: stdin)
    #[arg(long, value_name = "FILE")]
    reassignment_json_file: PathBuf,
}

/// Looks and tells.
pub fn run(args: &VerifyArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    if global.output() == Some(OutputFormat::Tsv) {
        let problem = Problem::usage("--output tsv is not offered: what is told is sentences");
        return Err(problem.hint("--json gives a row for each partition and replica").into());
    }
    let file = &args.reassignment_json_file;
    let text = read_json(file)?;
    let malformed = |error: &dyn std::fmt::Display| Problem::new("malformed", error.to_string()).path(shown(file));
    let mut plan = parse_plan(&text).map_err(|error| malformed(&error))?;
    let found = sources::look_into_dirs(global, ui)?;
    name_as_found(&mut plan, &found.dirs);
    let seen = seen(&found.dirs);
    let progress = Progress::of(&plan, &seen);
    match global.output() {
        Some(OutputFormat::Json) => rows(&progress, ui),
        _ => ui.out().buffer().extend_from_slice(progress.to_string().as_bytes()),
    }
    if seen.assigned.is_none() {
        ui.note("no __cluster_metadata-0 is in these directories: who has a partition is told by them, the order of replicas is not");
    }
    if !progress.unseen.is_empty() {
        let ids = progress.unseen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let text =
            format!("no directory of the brokers {ids} is here: they are taken to have what the plan gives them");
        ui.warning(Problem::new("unchecked", text).hint("name their log directories too with -d"));
    }
    for ((topic, number), broker) in &progress.missing {
        let text = format!("broker {broker} is to have {topic}-{number}, and no log directory of it here does");
        ui.warn_once(&format!("missing on {broker}"), Problem::new("not_found", text));
    }
    let outcome = if progress.is_completed() { Outcome::Done } else { Outcome::Findings };
    Ok(found.outcome.and(outcome))
}

/// Log directories of a plan by the paths that they are known by here, whichever way they were named.
pub fn name_as_found(plan: &mut [PlannedPartition], dirs: &LogDirs) {
    let real = |path: &Path| path.canonicalize().ok();
    let known: BTreeMap<PathBuf, String> =
        dirs.facts().iter().filter_map(|facts| Some((real(&facts.path)?, as_broker_names(&facts.path)))).collect();
    for log_dir in plan.iter_mut().filter_map(|it| it.log_dirs.as_mut()).flatten() {
        let path = Path::new(log_dir.as_str());
        if path.is_absolute()
            && let Some(name) = real(path).and_then(|path| known.get(&path))
        {
            log_dir.clone_from(name);
        }
    }
}

/// What metadata and directories tell.
fn seen(dirs: &LogDirs) -> Seen {
    let mut seen = Seen { brokers: dirs.facts().iter().filter_map(|facts| facts.node_id).collect(), ..Seen::default() };
    for (log_dir, name, _) in dirs.partitions() {
        let Some((facts, broker)) = dirs.facts().get(log_dir).and_then(|facts| Some((facts, facts.node_id?))) else {
            continue;
        };
        let partition = (name.topic_partition.topic.clone(), name.topic_partition.partition);
        let path = Some(as_broker_names(&facts.path));
        match name.kind {
            DirKind::Live => seen.held.entry((partition, broker)).or_default().current = path,
            DirKind::Future => seen.held.entry((partition, broker)).or_default().future = path,
            DirKind::Delete | DirKind::Stray => {}
        }
    }
    seen.assigned = sources::image(dirs).map(|image| {
        let records = image.topics().flat_map(|topic| topic.partitions.values().map(|it| (topic.name.clone(), it)));
        let assigned = records.map(|(topic, record)| {
            let is_moving = !record.adding_replicas.is_empty() || !record.removing_replicas.is_empty();
            ((topic, record.partition), Assigned { replicas: record.replicas.clone(), is_moving })
        });
        assigned.collect()
    });
    seen
}

fn rows(progress: &Progress, ui: &mut Ui) {
    let out = ui.out().buffer();
    for ((topic, number), status) in &progress.partitions {
        let (word, replicas, wanted) = match status {
            PartitionStatus::Completed => ("completed", None, None),
            PartitionStatus::InProgress => ("in_progress", None, None),
            PartitionStatus::Differs { replicas, wanted } => ("differs", Some(replicas.clone()), Some(wanted.clone())),
        };
        JsonRow::new("partition")
            .field("topic", topic.clone())
            .field("partition", *number)
            .field("status", word)
            .field("replicas", replicas)
            .field("wanted", wanted)
            .write(out);
    }
    for ((broker, (topic, number)), status) in &progress.replicas {
        let (word, log_dir, wanted) = match status {
            ReplicaStatus::Completed => ("completed", None, None),
            ReplicaStatus::InProgress => ("in_progress", None, None),
            ReplicaStatus::MovesElsewhere { future, wanted } => ("moves_elsewhere", Some(future), Some(wanted)),
            ReplicaStatus::Elsewhere { current, wanted } => ("elsewhere", Some(current), Some(wanted)),
            ReplicaStatus::NotFound => ("not_found", None, None),
            ReplicaStatus::Unknown => ("unknown", None, None),
        };
        JsonRow::new("replica")
            .field("topic", topic.clone())
            .field("partition", *number)
            .field("broker", *broker)
            .field("status", word)
            .field("log_dir", log_dir.cloned())
            .field("wanted", wanted.cloned())
            .write(out);
    }
    let done = progress.partitions.values().filter(|status| **status == PartitionStatus::Completed).count();
    let replicas_done = progress.replicas.values().filter(|status| **status == ReplicaStatus::Completed).count();
    JsonRow::new("summary")
        .field("partitions", progress.partitions.len())
        .field("completed_partitions", done)
        .field("replicas", progress.replicas.len())
        .field("completed_replicas", replicas_done)
        .field("missing_replicas", progress.missing.len())
        .field("completed", progress.is_completed())
        .write(out);
}
