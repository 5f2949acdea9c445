//! `simulate-failover run`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::compare::variant;
use super::rules::{RuleArgs, refused};
use super::source;
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::consume::select::storage_problem;
use crate::cli::dirs::believed_metadata;
use crate::cli::json_row::JsonRow;
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::replication::event::Event;
use crate::replication::picture;
use crate::replication::play::{Timeline, play, play_adapted};
use crate::replication::rules::Rules;
use crate::replication::scenario::Variant;
use crate::replication::state::State;
use crate::replication::witness::Violation;
use crate::storage::assess::{Knowledge, ReplicaDir};
use crate::storage::fs::replace_atomic;
use crate::storage::log_dir::LogDir;
use crate::storage::names::{PartitionDirName, check_topic_name};
use crate::storage::replicated::Initial;
use crate::storage::stage::{Stage, StageError};
use crate::storage::writer::log::now_ms;
use crate::types::TopicPartition;

/// Play a scenario: a row a step, then the verdict and the cause of what went wrong
///
/// Played as it is written the scenario's expectations are checked: exits 1 when one is not met, or when something is wrong that
/// they do not name. With other rules (--era, --set), fewer steps (--until) or --from nothing is expected: exits 1 when
/// acknowledged records are lost or replicas diverge for good.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("simulate-failover run"))]
pub struct RunArgs {
    /// Scenario: a file (-: stdin), or a name or id as list gives them
    #[arg(value_name = "FILE|NAME")]
    scenario: String,
    /// Only the variant of this name
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Begin with what these partition directories hold, one of each broker, instead of with empty replicas (repeatable, or a
    /// comma list)
    ///
    /// Brokers are down at first, and the controller knows what the metadata log beside them says. What is below the furthest
    /// high watermark counts as acknowledged and read. Nothing is written there.
    #[arg(long, value_name = "DIR", value_delimiter = ',', conflicts_with = "dirs")]
    from: Vec<PathBuf>,
    #[command(flatten)]
    rules: RuleArgs,
    /// Only the steps up to this number
    #[arg(long, value_name = "STEP", value_parser = clap::value_parser!(u64).range(1..))]
    until: Option<u64>,
    /// Draw the steps as a space-time diagram too: replicas as lanes, fetches as arrows
    #[arg(long, help_heading = "Output")]
    diagram: bool,
    /// Draw them as a picture
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    svg: Option<PathBuf>,
    /// Write a page to step through, all variants in one
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    html: Option<PathBuf>,
    /// Carry every step out on real log directories too, which are made in this one: broker-0, broker-1 ... Each step's
    /// directories are compared with what the rules say
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    dirs: Option<PathBuf>,
    /// Name of the topic in them
    #[arg(long, value_name = "TOPIC", default_value = "topic", value_parser = topic, requires = "dirs", help_heading = "Directories")]
    topic: String,
}

fn topic(text: &str) -> Result<String, String> {
    check_topic_name(text).map_err(|reason| reason.to_string())?;
    Ok(text.to_owned())
}

/// A variant that was played.
struct Played {
    name: String,
    variant: String,
    timeline: Timeline,
    /// What its numbers stand for, where it began with real directories.
    from: Option<Initial>,
    /// Whether it was played as it is written, so that its expectations hold.
    is_checked: bool,
    /// What is not as expected; where nothing was expected, what is wrong for good.
    unmet: Vec<String>,
}

/// Plays it.
pub fn run(args: &RunArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    super::only(global, &[OutputFormat::Table, OutputFormat::Json])?;
    let scenario = source::read(&args.scenario)?;
    let variants = match &args.variant {
        Some(name) => vec![variant(&scenario.variants, Some(name))?.clone()],
        None => scenario.variants.clone(),
    };
    let mut all = Vec::new();
    for variant in &variants {
        let name = if variant.name == scenario.name {
            scenario.name.clone()
        } else {
            format!("{}: {}", scenario.name, variant.name)
        };
        all.push(played(name, variant, args, ui)?);
    }
    // Before anything is printed.
    for (option, is_asked) in [("--dirs", args.dirs.is_some()), ("--svg", args.svg.is_some())] {
        if is_asked {
            only_one(option, &all)?;
        }
    }
    for (at, played) in all.iter().enumerate() {
        if at > 0 && global.output() != Some(OutputFormat::Json) {
            ui.out().buffer().push(b'\n');
        }
        tell(played, args, global, ui)?;
    }
    let mut outcome = if all.iter().all(|played| played.unmet.is_empty()) { Outcome::Done } else { Outcome::Findings };
    pictures(&scenario.name, &all, args, ui)?;
    if let Some(dir) = &args.dirs {
        outcome |= carry_out(dir, &args.topic, only_one("--dirs", &all)?, ui)?;
    }
    if all.len() > 1 && all.iter().all(|played| played.is_checked) && global.output() != Some(OutputFormat::Json) {
        let met = all.iter().filter(|played| played.unmet.is_empty()).count();
        ui.note(&format!("{met} of {} variants as expected", all.len()));
    }
    Ok(outcome)
}

fn played(name: String, variant: &Variant, args: &RunArgs, ui: &mut Ui) -> anyhow::Result<Played> {
    let until = args.until.and_then(|until| usize::try_from(until).ok()).unwrap_or(usize::MAX);
    let steps = &variant.steps[..variant.steps.len().min(until)];
    let mut rules = variant.rules.clone();
    args.rules.apply(&mut rules).map_err(|error| refused(&error))?;
    let from = match from_of(variant, args) {
        dirs if dirs.is_empty() => None,
        _ if args.dirs.is_some() => {
            return Err(Problem::usage("--dirs begins with empty replicas, and this scenario with real ones").into());
        }
        dirs => Some(initial(&dirs, &rules, ui)?),
    };
    if let Some(from) = &from {
        let known =
            if from.registered.is_some() { "" } else { " (there is no metadata log: all are taken for in sync)" };
        ui.note(&format!("all brokers are down at first; the controller has {}{known}", from.controller()));
    }
    let initial = from.as_ref().map_or_else(|| State::initial(&rules), |from| from.state.clone());
    let timeline = if args.rules.is_empty() {
        let impossible = |error: crate::replication::play::PlayError| {
            Problem::new("malformed", error.to_string()).hint("the steps before it can be seen with --until")
        };
        play(&rules, initial, steps).map_err(impossible)?
    } else {
        let (timeline, left_out) = play_adapted(&rules, initial, steps);
        if !left_out.is_empty() {
            let steps: Vec<String> = left_out.iter().map(ToString::to_string).collect();
            let text = format!("cannot happen under these rules and was left out: step {}", steps.join(", "));
            ui.warning(Problem::new("notice", text));
        }
        timeline
    };
    let is_checked = rules == variant.rules && steps.len() == variant.steps.len() && args.from.is_empty();
    let unmet = if is_checked {
        variant.expect.unmet(&timeline)
    } else {
        let is_bad = |it: &&Violation| matches!(it, Violation::AckedLost(_) | Violation::Diverged { .. });
        timeline.at_end.iter().filter(is_bad).map(ToString::to_string).collect()
    };
    for (row, number) in
        timeline.rows.iter().zip(1..).filter(|(row, _)| row.idle && !matches!(row.event, Event::Fetch { .. }))
    {
        let text = format!("step {number} ({}) changes nothing", row.event);
        ui.warn_once("changes nothing", Problem::new("notice", text));
    }
    if args.until.is_some_and(|until| until > variant.steps.len() as u64) {
        let text = format!("{name} has {} steps, and all are played", variant.steps.len());
        ui.warning(Problem::new("notice", text));
    }
    Ok(Played { name, variant: variant.name.clone(), timeline, from, is_checked, unmet })
}

/// Partition directories to begin with; those of a scenario file are beside it.
fn from_of(variant: &Variant, args: &RunArgs) -> Vec<PathBuf> {
    if !args.from.is_empty() {
        return args.from.clone();
    }
    let beside = Path::new(&args.scenario).parent().unwrap_or(Path::new(""));
    variant.from.iter().map(|dir| beside.join(dir)).collect()
}

fn initial(dirs: &[PathBuf], rules: &Rules, ui: &mut Ui) -> anyhow::Result<Initial> {
    let is_partition = |dir: &PathBuf| {
        let name = std::fs::canonicalize(dir).ok().and_then(|dir| dir.file_name().map(PartitionDirName::parse));
        // One that is not there is told of when it is opened.
        name.is_none_or(|name| name.is_ok())
    };
    if let Some(dir) = dirs.iter().find(|dir| !is_partition(dir)) {
        let problem = Problem::new("malformed", "no partition directory: its name is not TOPIC-PARTITION").path(dir);
        return Err(problem.hint("name the partition's directory in each broker's log directory").into());
    }
    let opened: Result<Vec<ReplicaDir>, _> = dirs.iter().map(|dir| ReplicaDir::open(dir)).collect();
    let replicas = opened.map_err(|error| storage_problem(&error))?;
    let names: BTreeSet<&TopicPartition> = replicas.iter().map(|it| it.partition.topic_partition()).collect();
    if names.len() > 1 {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let problem = Problem::usage(format!("these are directories of several partitions: {}", names.join(", ")));
        return Err(problem.hint("name those of one partition, one of each broker").into());
    }
    let paths: Vec<PathBuf> = replicas.iter().filter_map(|replica| replica.log_dir.clone()).collect();
    let opened: Result<Vec<LogDir>, _> = paths.iter().map(|path| LogDir::open(path)).collect();
    let (newest, _) = believed_metadata(&opened.map_err(|error| storage_problem(&error))?, ui);
    let read = Initial::read(&replicas, &Knowledge::read(&paths, newest), rules);
    let read = read.map_err(|error| storage_problem(&error))?;
    Ok(read.map_err(|error| {
        Problem::new("refused", error.to_string()).hint("say how many there are in the scenario: replicas = N")
    })?)
}

fn tell(played: &Played, args: &RunArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<()> {
    let verdict = picture::verdict(&played.timeline);
    if global.output() == Some(OutputFormat::Json) {
        rows(played, ui);
        return Ok(());
    }
    let colour = ui.has_colour();
    let mut text = format!("{}\n", played.name);
    if let Some(from) = &played.from {
        let places = from.places.iter().zip(0..).map(|(offset, number)| format!("{number} is {offset}"));
        text.push_str(&format!("{}\noffsets in the table: {}\n", from.told(), places.collect::<Vec<_>>().join(", ")));
    }
    if global.quiet == 0 {
        text.push_str(&picture::table(&played.timeline, &picture::TableOptions { colour, ends: None }));
        if args.diagram {
            text.push('\n');
            text.push_str(&picture::text(&played.timeline, &picture::TextOptions { width: 100, ascii: false }));
        }
        text.push('\n');
    }
    text.push_str(&verdict.to_string());
    let what = if played.is_checked { "NOT AS EXPECTED" } else { "WRONG IN THE END" };
    for unmet in &played.unmet {
        text.push_str(&format!("{what}: {unmet}\n"));
    }
    ui.out().buffer().extend_from_slice(text.as_bytes());
    let _ = ui.out().drain()?;
    Ok(())
}

/// A `variant` row, the timeline's own, and what is not as expected.
fn rows(played: &Played, ui: &mut Ui) {
    let out = ui.out().buffer();
    JsonRow::new("variant").field("name", played.name.clone()).write(out);
    if let Some(from) = &played.from {
        let places: Vec<serde_json::Value> = from.places.iter().map(|place| place.get().into()).collect();
        let brokers: Vec<serde_json::Value> = from.brokers.iter().map(|broker| (*broker).into()).collect();
        JsonRow::new("from").field("brokers", brokers).field("offsets", places).write(out);
    }
    out.extend_from_slice(picture::json(&played.timeline).as_bytes());
    let unmet: Vec<serde_json::Value> = played.unmet.iter().map(|unmet| unmet.clone().into()).collect();
    JsonRow::new("expectation").field("met", unmet.is_empty()).field("unmet", unmet).write(out);
}

/// The timeline, where there is one.
fn only_one<'a>(option: &str, all: &'a [Played]) -> anyhow::Result<&'a Timeline> {
    if let [played] = all {
        return Ok(&played.timeline);
    }
    let names: Vec<String> = all.iter().map(|played| format!("{:?}", played.variant)).collect();
    let problem = Problem::usage(format!("{option} takes one variant, and there are several"));
    Err(problem.hint(format!("choose one with --variant: {}", names.join(", "))).into())
}

fn pictures(title: &str, all: &[Played], args: &RunArgs, ui: &mut Ui) -> anyhow::Result<()> {
    let mut write = |path: &Path, text: String| -> anyhow::Result<()> {
        replace_atomic(path, text.as_bytes()).map_err(|error| storage_problem(&error))?;
        ui.note(&format!("written to {}", path.display()));
        Ok(())
    };
    if let Some(path) = &args.svg {
        write(path, picture::svg(only_one("--svg", all)?))?;
    }
    if let Some(path) = &args.html {
        let named: Vec<(String, Timeline)> =
            all.iter().map(|played| (played.variant.clone(), played.timeline.clone())).collect();
        write(path, picture::html(title, &named))?;
    }
    Ok(())
}

/// Does what was played to real directories, and looks after each step whether they are as they should be.
fn carry_out(dir: &Path, topic: &str, timeline: &Timeline, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let problem = |error: StageError| {
        let code = if matches!(error, StageError::NotEmpty(_)) { "exists" } else { "error" };
        let problem = Problem::new(code, error.to_string());
        if code == "exists" {
            problem.outcome(Outcome::Refused).hint("name a directory that is not there yet")
        } else {
            problem
        }
    };
    let mut stage = Stage::create(dir, &TopicPartition::new(topic, 0), &timeline.rules, now_ms()).map_err(problem)?;
    for (row, number) in timeline.rows.iter().zip(1..) {
        stage.carry_out(row.event, &row.effects, &row.state).map_err(problem)?;
        let differences = stage.differences(&row.state).map_err(problem)?;
        for difference in &differences {
            ui.error(Problem::new("error", format!("after step {number} ({}): {difference}", row.event)));
        }
        if !differences.is_empty() {
            return Ok(Outcome::Failed);
        }
    }
    let dirs: Vec<String> = stage.partition_dirs().iter().map(|dir| dir.display().to_string()).collect();
    ui.note(&format!("{} steps on directories, each as the rules say: {}", timeline.rows.len(), dirs.join(" ")));
    Ok(Outcome::Done)
}
