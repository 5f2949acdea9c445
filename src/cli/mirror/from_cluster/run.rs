//! The run: looks at both sides, has the topics copied, and says what came of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::copying::Copying;
use super::lane::Lane;
use super::topics::{Source, leaderless};
use super::{offsets, topics};
use crate::cli::Outcome;
use crate::cli::args::GlobalArgs;
use crate::cli::consume::select::storage_problem;
use crate::cli::interrupt::Interrupt;
use crate::cli::json_row::JsonRow;
use crate::cli::mirror::rows::{Row, Rows};
use crate::cli::mirror::to_cluster::{failed, properties, show_said};
use crate::cli::mirror::{MirrorArgs, make_target, tell_findings};
use crate::cli::ui::{Problem, Ui};
use crate::cluster::client::{Cluster, REQUEST_MAX, Reader};
use crate::cluster::topics::{Admin, topics_of};
use crate::storage::log_dir::LogDir;
use crate::storage::mirror::OnGap;
use crate::storage::partition::present;
use crate::types::{Offset, TopicPartition};

/// Carries topics out of a cluster.
pub fn run(args: &MirrorArgs, servers: &str, to: &Path, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    if !global.dir.is_empty() {
        return Err(Problem::usage("-d names where records come from, and --from-cluster too")
            .hint("the log directory that gets the copies is named with --to")
            .into());
    }
    let interrupt = Interrupt::listen()?;
    let mut rows = Rows::new(args.no_header, global, ui)?;
    let properties = properties(&args.to_cluster, global.properties.as_deref())?;
    let cluster = Cluster::new(servers, properties).map_err(failed)?;
    let reader = cluster.reader("logdir-mirror").map_err(failed)?;
    let metadata = cluster.reach(&reader).map_err(failed)?;
    let wanted = topics::wanted(args, &topics_of(&metadata), servers)?;
    let leaderless = leaderless(&metadata);
    drop(metadata);
    let names: Vec<&str> = wanted.keys().map(String::as_str).collect();
    let configs = Admin::open(&cluster).and_then(|admin| admin.configs(&names)).map_err(failed)?;
    let opened = present(LogDir::open(to)).map_err(|error| storage_problem(&error))?;
    let copies = opened.as_ref().map_or_else(|| Ok(BTreeMap::new()), topics::copies)?;
    let source = Source { cluster: &cluster, reader: &reader, leaderless, interrupt: &interrupt };
    let mut lanes = topics::lanes(args, &wanted, &copies, &configs, &source, ui)?;
    if args.dry_run || interrupt.is_asked() {
        let outcome = report(args, &lanes, &mut rows, None, ui)?;
        return Ok(if interrupt.is_asked() { Outcome::Interrupted } else { outcome });
    }
    make_target(to, cluster_id(&reader).as_deref(), None, ui)?;
    let started = Instant::now();
    let opened = opened.map_or_else(|| LogDir::open(to), Ok).map_err(|error| storage_problem(&error))?;
    let mut copying = Copying::new(args, &source, to, opened);
    let ended = copying.run(&mut lanes, ui);
    let closed = copying.close(&mut lanes, ui);
    show_said(&cluster, ui);
    let mut outcome = ended?;
    closed?;
    // Of what is stopped the copy stays as it is, and its groups too.
    let going = lanes.iter().filter(|lane| !lane.is_stopped);
    let ends: BTreeMap<TopicPartition, Offset> = going.map(|lane| (lane.name.clone(), lane.next)).collect();
    outcome |= offsets::carry(&args.to_cluster.groups, &cluster, &reader, to, &ends, ui)?;
    outcome |= report(args, &lanes, &mut rows, Some(started.elapsed()), ui)?;
    if outcome == Outcome::Interrupted {
        ui.note("interrupted: what came over is whole and on disk; run it again to go on");
    }
    Ok(outcome)
}

fn cluster_id(reader: &Reader) -> Option<String> {
    reader.client().fetch_cluster_id(REQUEST_MAX)
}

/// Rows, findings and the sum; `took`: nothing was done without it.
fn report(
    args: &MirrorArgs,
    lanes: &[Lane],
    rows: &mut Rows,
    took: Option<Duration>,
    ui: &mut Ui,
) -> anyhow::Result<Outcome> {
    let on_gap = OnGap::from(args.on_gap);
    let (mut outcome, mut records, mut bytes) = (Outcome::Done, 0, 0);
    for lane in lanes {
        let action = match (lane.is_stopped, took, lane.records) {
            (true, _, _) => "stopped",
            (_, None, _) => "copy",
            (_, Some(_), 0) => "level",
            (_, Some(_), _) => "copied",
        };
        let to = if took.is_some() || lane.is_stopped { lane.next } else { Offset::new(lane.ends.1) };
        let row = Row {
            partition: &lane.name,
            action,
            from: lane.from,
            to,
            source_end: Offset::new(lane.ends.1),
            bytes: lane.bytes,
            findings: &lane.findings,
        };
        if action != "level" || rows.is_json() {
            rows.row(&row, ui)?;
        }
        outcome |= tell_findings(on_gap, &lane.name, &lane.findings, lane.is_stopped, ui);
        if lane.has_failed {
            outcome |= Outcome::Failed;
        }
        (records, bytes) = (records + lane.records, bytes + lane.bytes);
    }
    let seconds = took.map_or(0.0, |took| took.as_secs_f64());
    if rows.is_json() {
        JsonRow::new("summary")
            .field("partitions", lanes.len())
            .field("records", records)
            .field("size_bytes", bytes)
            .field("elapsed_ms", u64::try_from(took.unwrap_or_default().as_millis()).unwrap_or(u64::MAX))
            .field("executed", took.is_some())
            .write(ui.out().buffer());
    }
    let size = ui.size_style().text(bytes);
    match took {
        Some(_) => ui.note(&format!("{records} records, {size} from {} partitions in {seconds:.1} s", lanes.len())),
        None => ui.note(&format!("{} partitions; nothing written", lanes.len())),
    }
    Ok(outcome)
}
