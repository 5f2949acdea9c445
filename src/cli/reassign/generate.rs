//! `reassign generate`.

use std::path::PathBuf;

use super::problem::RuleArgs;
use super::rows::Rows;
use super::sources::{self, Source};
use super::{compare, files};
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::consume::select::storage_problem;
use crate::cli::ui::{Problem as Said, Ui};
use crate::cli::{Outcome, man, size};
use crate::reassign::changes::{Change, Layout};
use crate::reassign::cluster::Problem;
use crate::reassign::inventory::Inventory;
use crate::reassign::picture;
use crate::reassign::plan_json::{PlannedPartition, write_plan};
use crate::reassign::quota::Quotas;
use crate::reassign::report::Report;
use crate::reassign::waves::{Limits, waves};
use crate::storage::fs::replace_atomic;

/// Plan a reassignment: level replicas, leaders and bytes over brokers and disks, and move as little as that takes
///
/// Reads log directories of brokers, or JSON, or both: then sizes are those of the directories. Prints the plan on stdout as
/// kafka-reassign-partitions.sh --execute takes it, only partitions that change, and what it comes to on stderr: before and
/// after, and beside what moves the least that any plan must move. Writes nothing unless --out-dir or --svg is given. Exits 1
/// when a rule keeps the plan from being level or valid.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("reassign generate"))]
pub struct GenerateArgs {
    /// The cluster: Kafka's JSON, what --generate or --execute printed, or an instance of reassign-instance/1 (-: stdin)
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,
    #[command(flatten)]
    rules: RuleArgs,
    #[command(flatten)]
    waves: WaveArgs,
    /// Write the plan, its waves and the way back to this directory: plan.json, wave-001.json ..., rollback.json
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    out_dir: Option<PathBuf>,
    /// Draw before and after: a picture with bars for each broker and disk
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    svg: Option<PathBuf>,
}

/// In which portions to move.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Waves")]
struct WaveArgs {
    /// Most bytes that a wave copies
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    wave_bytes: Option<u64>,
    /// Most partitions that change in a wave
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    wave_partitions: Option<usize>,
    /// Most partitions that change in a wave on one broker
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    wave_per_broker: Option<usize>,
    /// Bytes that a broker sends or receives in a second, to tell how long it takes
    #[arg(long, value_name = "SIZE", value_parser = super::throttle)]
    throttle: Option<u64>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a number from 1".to_owned())
}

impl GenerateArgs {
    /// Whether log directories are read: those that are named, or without a file those that are meant anyway.
    pub fn reads_dirs(&self, global: &GlobalArgs) -> bool {
        self.cluster.is_none() || !global.dir.is_empty() || global.properties.is_some()
    }

    fn limits(&self, headroom: f64) -> Limits {
        Limits {
            bytes: self.waves.wave_bytes,
            partitions: self.waves.wave_partitions,
            per_broker: self.waves.wave_per_broker,
            headroom,
        }
    }
}

/// Plans and prints.
pub fn run(args: &GenerateArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    if global.output() == Some(OutputFormat::Tsv) {
        return Err(Said::usage("a plan is JSON: --output tsv is not offered")
            .hint("leave --output out for the plan; --json gives the rows of the comparison")
            .into());
    }
    let mut source = sources::read(args.cluster.as_deref(), args.reads_dirs(global), global, ui)?;
    let rules = args.rules.apply(&mut source, ui)?;
    let Source { inventory, bounds, mut outcome, .. } = source;
    say_unknown(&inventory, args.cluster.is_some(), ui);
    let cluster = &inventory.cluster;
    let problem = Problem::new(cluster, &rules);
    let quotas = Quotas::of(&problem);
    let planned = args.rules.solve(&problem, &quotas)?;
    let after = planned.layout();
    let changes = Change::all(cluster, after);
    let mut report = Report::of(&problem, &quotas, after);
    let holds = |bound: &f64| args.rules.is_nothing() && (0.0..1e18).contains(bound);
    let known = |key: &str| bounds.get(key).copied().filter(holds).unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "looked at above")]
    let known = |key: &str| known(key).ceil() as u64;
    report.bounds.replicas = report.bounds.replicas.max(known("replicas_count_rack"));
    report.bounds.bytes = report.bounds.bytes.max(known("bytes_count_and_tolerance"));
    let ordered = waves(cluster, &changes, &args.limits(rules.headroom.unwrap_or(0.0)));

    match global.output() {
        Some(OutputFormat::Json) => Rows {
            inventory: &inventory,
            after,
            changes: &changes,
            waves: ordered.as_deref().ok(),
            throttle: args.waves.throttle,
            report: &report,
            shortfalls: &planned.shortfalls,
        }
        .print(ui)?,
        Some(OutputFormat::Kafka) => kafka(&inventory, after, &problem, ui),
        _ => {
            let plan = files::planned(&inventory, after, &changes.iter().collect::<Vec<_>>());
            line(&write_plan(&plan), ui);
        }
    }
    if let (Some(dir), Ok(waves)) = (&args.out_dir, &ordered) {
        files::write(dir, &inventory, after, &changes, waves)?;
        ui.note(&format!("the plan, {} waves and the way back are in {}", waves.len(), dir.display()));
    }
    if let Some(file) = &args.svg {
        let sizes = ui.size_style();
        let drawn = picture::draw(cluster, &report, &|bytes| sizes.text(bytes));
        replace_atomic(file, drawn.as_bytes()).map_err(|error| storage_problem(&error))?;
    }
    let names_dirs =
        changes.iter().any(|it| files::to_name(cluster, &it.gains).iter().any(|place| place.disk.is_some()));
    if names_dirs && args.reads_dirs(global) {
        ui.note("log_dirs in the plan are the paths that directories have here: brokers have to know them by the same");
    }
    // As JSON it is on stdout.
    if global.output() != Some(OutputFormat::Json) {
        compare::say(cluster, &report, ui);
        if changes.is_empty() {
            ui.note("nothing to do: the plan is empty");
        }
        compare::sum_up(cluster, &report, changes.len(), ordered.as_deref().ok(), args.waves.throttle, ui);
    }
    for shortfall in &planned.shortfalls {
        outcome |= Outcome::Findings;
        ui.warning(Said::new("no_plan", shortfall.clone()));
    }
    if let Err(no_room) = &ordered {
        outcome |= Outcome::Findings;
        let text = format!("there is no room for {} changes in any order: {}", no_room.stuck, no_room.told(&inventory));
        ui.error(
            Said::new("disk_full", text)
                .hint("make room there, or leave less with --headroom; nothing is written to --out-dir"),
        );
    }
    Ok(outcome)
}

/// What is not known of the cluster, and what is done without it.
fn say_unknown(inventory: &Inventory, has_file: bool, ui: &mut Ui) {
    if inventory.is_unordered {
        ui.warning(
            Said::new(
                "notice",
                "which replica is preferred is not known, and neither is any replica that no directory here holds",
            )
            .hint("name a directory with __cluster_metadata-0 too, or the JSON of --generate with --cluster"),
        );
    }
    let partitions = inventory.cluster.partitions();
    if inventory.unsized_partitions == partitions && partitions > 0 {
        ui.note("sizes are not known: replicas are levelled by their number; -d DIR,... has them measured");
    } else if inventory.unsized_partitions > 0 {
        let text = format!("the sizes of {} of {partitions} partitions are not known", inventory.unsized_partitions);
        let hint = if has_file {
            "name the log directories that hold them with -d"
        } else {
            "name the log directories of all brokers with -d"
        };
        ui.warning(Said::new("notice", text).hint(hint));
    }
}

/// The text of `kafka-reassign-partitions.sh --generate` (`ReassignPartitionsCommand.generateAssignment`).
///
/// Of all partitions that may change, also of those that do not.
fn kafka(inventory: &Inventory, after: Layout<'_>, problem: &Problem<'_>, ui: &mut Ui) {
    let cluster = &inventory.cluster;
    let now = Layout::current(cluster);
    let all = |layout: Layout<'_>, names_dirs: bool| {
        let one = |partition: usize| {
            let places: Vec<_> = layout.places(cluster, partition).collect();
            let was: Vec<_> = now.places(cluster, partition).collect();
            let new: Vec<_> = places.iter().filter(|it| !was.contains(it)).copied().collect();
            let named = if names_dirs { places.clone() } else { files::to_name(cluster, &new) };
            let change = Change { partition, bytes: 0, gains: Vec::new(), leaves: Vec::new(), source: None };
            change.planned(cluster, layout, inventory.name(partition).1, &named)
        };
        let may_change = (0..cluster.partitions()).filter(|partition| !problem.is_fixed[*partition]);
        files::sorted(may_change.map(one).collect::<Vec<PlannedPartition>>())
    };
    line(&format!("Current partition replica assignment\n{}\n", write_plan(&all(now, true))), ui);
    line(&format!("Proposed partition reassignment configuration\n{}", write_plan(&all(after, false))), ui);
}

fn line(text: &str, ui: &mut Ui) {
    ui.out().buffer().extend_from_slice(text.as_bytes());
    ui.out().buffer().push(b'\n');
}
