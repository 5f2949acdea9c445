//! `simulate-failover explore`.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use super::rules::{RuleArgs, refused};
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::consume::select::storage_problem;
use crate::cli::interrupt::Interrupt;
use crate::cli::json_row::JsonRow;
use crate::cli::table::{Column, Listing};
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man, size};
use crate::replication::event::{Acks, Event};
use crate::replication::explorer::{Ending, Limits, search};
use crate::replication::play::{Timeline, play};
use crate::replication::protocol::known::{Known, known};
use crate::replication::protocol::{Find, FoundHere, Protocol, Scope};
use crate::replication::rules::{Era, Rules};
use crate::replication::scenario::{Expect, Variant, to_file};
use crate::replication::state::State;
use crate::storage::fs::replace_atomic;

/// Search every order of events within bounds for the shortest way to lose or fork what is committed
///
/// What does harm is counted (--records, --faults); fetches, metadata, starts and requests to the controller are not. Prints
/// the shortest way as a scenario to run, or that there is none, how many states were looked at, and in which scope. Exits 1
/// when something is found, or when a limit ended the search.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("simulate-failover explore"))]
pub struct ExploreArgs {
    #[command(flatten)]
    rules: RuleArgs,
    /// Replicas, 1 to 3
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=3), help_heading = "Scope")]
    replicas: u8,
    /// Records that are sent, 1 to 4
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4), help_heading = "Scope")]
    records: u32,
    /// Level they are sent at: 1 or all
    #[arg(long, value_name = "ACKS", default_value = "all", value_parser = acks, help_heading = "Scope")]
    acks: Acks,
    /// How often what does harm may happen, 0 to 3 each: fence=2,elect=1,power=1,kill=1
    #[arg(long, value_name = "KIND=N", value_delimiter = ',', default_value = "fence=1,elect=1", value_parser = fault, help_heading = "Scope")]
    faults: Vec<(Fault, u8)>,
    /// Answers to fetches may be lost too
    #[arg(long, help_heading = "Scope")]
    lost_responses: bool,
    /// What to look for
    #[arg(long, value_name = "WHAT", value_enum, default_value = "any", help_heading = "Scope")]
    find: FindArg,
    /// Search the scopes of which the shortest way is known, or that there is none, and compare
    #[arg(long, conflicts_with_all = ["era", "set", "replicas", "records", "acks", "faults", "lost_responses", "find", "out"])]
    known: bool,
    /// End after so many states
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true, help_heading = "Limits")]
    max_states: u64,
    /// End before the states take more memory than this
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = size::parse, help_heading = "Limits")]
    max_memory: u64,
    /// Write the way that is found to this file, as a scenario
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    out: Option<PathBuf>,
}

/// What does harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Fence,
    Elect,
    Power,
    Kill,
}

/// What to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FindArg {
    /// An acknowledged record that the leader lacks
    AckedLost,
    /// Replicas that differ below their high watermarks
    Diverged,
    /// A record that a consumer has read and the leader lacks
    Consumer,
    /// Any of them
    Any,
}

fn acks(text: &str) -> Result<Acks, String> {
    Acks::parse(text).filter(|acks| *acks != Acks::None).ok_or_else(|| "expected 1 or all".to_owned())
}

fn fault(text: &str) -> Result<(Fault, u8), String> {
    let (kind, times) = text.split_once('=').ok_or("expected KIND=N")?;
    let kind = match kind {
        "fence" => Fault::Fence,
        "elect" => Fault::Elect,
        "power" | "power-loss" => Fault::Power,
        "kill" => Fault::Kill,
        _ => return Err("kinds are fence, elect, power, kill".to_owned()),
    };
    let times = times.parse().ok().filter(|times| *times <= 3).ok_or("expected a number from 0 to 3")?;
    Ok((kind, times))
}

/// Searches.
pub fn run(args: &ExploreArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    super::only(global, &[OutputFormat::Table, OutputFormat::Json])?;
    let interrupt = Interrupt::listen()?;
    if args.known {
        return run_known(args, global, &interrupt, ui);
    }
    let mut rules = Rules { records_per_fetch: Some(1), ..Rules::of(Era::Elr, args.replicas) };
    args.rules.apply(&mut rules).map_err(|error| refused(&error))?;
    let scope = scope(args);
    let protocol = Protocol::new(rules, scope).map_err(|error| Problem::usage(error.to_string()))?;
    let begun = Instant::now();
    let found = explore(&protocol, args, global, &interrupt, ui);
    let seconds = begun.elapsed().as_secs_f64();
    let what = format!("{} states, {} steps tried, {seconds:.1} s", found.distinct, found.generated);
    match &found.ending {
        Ending::Interrupted => {
            ui.note(&format!("interrupted; no violation in {what}"));
            Ok(Outcome::Interrupted)
        }
        Ending::Violated(trace) => {
            let steps: Vec<Event> = trace.steps.iter().filter_map(|step| step.event).collect();
            violated(&protocol, &steps, &found, args, global, ui)
        }
        ending => {
            let is_exhausted = *ending == Ending::Exhausted;
            let end = if is_exhausted { "exhausted" } else { "limit reached, not exhausted" };
            match global.output() {
                Some(OutputFormat::Json) => summary(&protocol, &found, None, is_exhausted).write(ui.out().buffer()),
                _ => {
                    let text = format!("no violation in {} states, {scope}, {end}\n", found.distinct);
                    ui.out().buffer().extend_from_slice(text.as_bytes());
                }
            }
            ui.note(&what);
            Ok(if is_exhausted { Outcome::Done } else { Outcome::Findings })
        }
    }
}

fn scope(args: &ExploreArgs) -> Scope {
    let times =
        |kind| args.faults.iter().filter(|(of, _)| *of == kind).map(|(_, times)| *times).fold(0, u8::saturating_add);
    Scope {
        records: args.records,
        acks: args.acks,
        fences: times(Fault::Fence),
        elections: times(Fault::Elect),
        power_losses: times(Fault::Power),
        kills: times(Fault::Kill),
        lost_responses: args.lost_responses,
        find: match args.find {
            FindArg::AckedLost => Find::AckedLost,
            FindArg::Diverged => Find::Diverged,
            FindArg::Consumer => Find::Consumer,
            FindArg::Any => Find::Any,
        },
    }
}

fn explore(
    protocol: &Protocol,
    args: &ExploreArgs,
    global: &GlobalArgs,
    interrupt: &Interrupt,
    ui: &mut Ui,
) -> FoundHere {
    let limits = Limits {
        threads: global.threads().get(),
        states_max: args.max_states,
        bytes_max: usize::try_from(args.max_memory).unwrap_or(usize::MAX),
    };
    let mut last = Instant::now();
    search(protocol, &limits, &mut |progress| {
        if ui.verbose() > 0 && last.elapsed().as_secs() >= 2 {
            last = Instant::now();
            ui.detail(&format!("{} steps deep, {} states, {} to go", progress.level, progress.distinct, progress.left));
        }
        if interrupt.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

/// The way that was found, played through and told.
fn violated(
    protocol: &Protocol,
    steps: &[Event],
    found: &FoundHere,
    args: &ExploreArgs,
    global: &GlobalArgs,
    ui: &mut Ui,
) -> anyhow::Result<Outcome> {
    let rules = protocol.rules().clone();
    let timeline = play(&rules, State::initial(&rules), steps)?;
    let violations: Vec<String> = timeline.at_end.iter().map(ToString::to_string).collect();
    let variant =
        Variant { name: "found".into(), rules, from: Vec::new(), steps: steps.to_vec(), expect: Expect::default() };
    let about = format!("The shortest way, of {} steps, within: {}", steps.len(), protocol.scope());
    let file = to_file("found", &about, &variant, &violations);
    if let Some(path) = &args.out {
        replace_atomic(path, file.as_bytes()).map_err(|error| storage_problem(&error))?;
        ui.note(&format!("written to {0}; play it with: logdir simulate-failover run {0}", path.display()));
    }
    match global.output() {
        Some(OutputFormat::Json) => summary(protocol, found, Some(&timeline), false).write(ui.out().buffer()),
        _ if args.out.is_some() => {
            let text = format!("{} after {} steps, {}\n", violations.join("; "), steps.len(), protocol.scope());
            ui.out().buffer().extend_from_slice(text.as_bytes());
        }
        _ => ui.out().buffer().extend_from_slice(file.as_bytes()),
    }
    ui.note(&format!(
        "{} in the fewest steps there can be, {}; {} states, {} steps tried",
        violations.join("; "),
        steps.len(),
        found.distinct,
        found.generated
    ));
    Ok(Outcome::Findings)
}

fn summary(protocol: &Protocol, found: &FoundHere, timeline: Option<&Timeline>, exhausted: bool) -> JsonRow {
    let steps = timeline.map(|timeline| {
        timeline.rows.iter().map(|row| serde_json::Value::from(row.event.to_string())).collect::<Vec<_>>()
    });
    let violations = timeline.map(|timeline| {
        timeline.at_end.iter().map(|violation| serde_json::Value::from(violation.to_string())).collect::<Vec<_>>()
    });
    JsonRow::new("exploration")
        .field("era", protocol.rules().era.name())
        .field("scope", protocol.scope().to_string())
        .field("states", found.distinct)
        .field("generated", found.generated)
        .field("exhausted", exhausted)
        .some("violations", violations)
        .some("steps", steps)
}

const COLUMNS: &[Column] = &[
    Column::left("NAME", 20),
    Column::left("ERA", 6),
    Column::left("FOUND", 27),
    Column::left("KNOWN", 27),
    Column::right("STATES", 9),
    Column::right("TRIED", 10),
    Column::left("", 5),
];

/// The scopes of which it is known how they end.
fn run_known(args: &ExploreArgs, global: &GlobalArgs, interrupt: &Interrupt, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let mut listing = Listing::new(COLUMNS, ui.table_style());
    let is_json = global.output() == Some(OutputFormat::Json);
    if !is_json {
        listing.header(ui.out().buffer());
    }
    let (mut outcome, begun) = (Outcome::Done, Instant::now());
    for row in known() {
        let protocol = Protocol::new(row.rules.clone(), row.scope)?;
        let found = explore(&protocol, args, global, interrupt, ui);
        let length = match &found.ending {
            Ending::Violated(trace) => Some(trace.steps.len() - 1),
            Ending::Exhausted => None,
            Ending::Interrupted => return Ok(Outcome::Interrupted),
            Ending::BoundReached => {
                let text = format!("{}: a limit was reached after {} states", row.name, found.distinct);
                return Err(Problem::new("error", text).hint("give it more with --max-states or --max-memory").into());
            }
        };
        let is_as_known = length == row.shortest;
        outcome |= if is_as_known { Outcome::Done } else { Outcome::Findings };
        if is_json {
            JsonRow::new("known")
                .field("name", row.name)
                .field("era", row.rules.era.name())
                .field("scope", row.scope.to_string())
                .field("shortest", length)
                .field("known", row.shortest)
                .field("states", found.distinct)
                .field("generated", found.generated)
                .write(ui.out().buffer());
        } else {
            let out = ui.out().buffer();
            listing.text(row.name.as_bytes(), out);
            listing.text(row.rules.era.name().as_bytes(), out);
            listing.text(ending(&row, length).as_bytes(), out);
            listing.text(ending(&row, row.shortest).as_bytes(), out);
            listing.number(found.distinct, out);
            listing.number(found.generated, out);
            listing.text(if is_as_known { b"same" } else { b"DIFFERENT" }, out);
            listing.end_row(out);
        }
        let _ = ui.out().send()?;
    }
    ui.note(&format!("{:.1} s", begun.elapsed().as_secs_f64()));
    Ok(outcome)
}

fn ending(row: &Known, length: Option<usize>) -> String {
    let what = match row.scope.find {
        Find::Diverged => "DIVERGED",
        Find::Consumer => "CONSUMER-CHANGED",
        Find::AckedLost | Find::Any => "ACKED-LOST",
    };
    length.map_or_else(|| "exhausted".to_owned(), |length| format!("{what} in {length} steps"))
}
