//! `simulate-failover random`.

use std::path::PathBuf;

use rayon::prelude::*;

use super::rules::{RuleArgs, acks, refused};
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::consume::select::storage_problem;
use crate::cli::interrupt::Interrupt;
use crate::cli::json_row::JsonRow;
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::replication::event::{Acks, Event};
use crate::replication::picture;
use crate::replication::play::play_adapted;
use crate::replication::rules::{Era, Rules, Strategy};
use crate::replication::scenario::{Expect, Variant, to_file};
use crate::replication::simulator::{Fault, Options, Run, Times, shrink, simulate, simulate_while};
use crate::replication::state::State;
use crate::replication::witness::Violation;
use crate::storage::fs::replace_atomic;

/// Play random runs in virtual time: brokers that fetch, fail and come back, a client that sends and tries again
///
/// Without --era and --set: era elr, min.insync.replicas=2 (1 with two replicas), with --acks all enable.idempotence=true, and
/// wait_for_joining=true. Faults: kill, power-loss, stop and wipe of a broker; pause stops its process for a while; cut-off
/// parts it from the controller only; slow-metadata lets it hear of decisions late; slow-follower lets it fetch rarely;
/// lost-responses loses answers to fetches; election moves the leader. Everything is drawn from --seed: the same seed gives the same bytes everywhere. After the last fault each run heals, so what
/// is lost or diverged then is so for good. Exits 1 when that is so in some run; the last line says how to repeat the first.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("simulate-failover random"))]
pub struct RandomArgs {
    #[command(flatten)]
    rules: RuleArgs,
    /// Replicas, 1 to 9
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    replicas: u8,
    /// Level at which the client sends: 0, 1 or all
    #[arg(long, value_name = "ACKS", default_value = "all", value_parser = acks)]
    acks: Acks,
    /// Where chance begins
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Runs
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Only the run of this number, step by step
    #[arg(long, value_name = "N", conflicts_with = "runs")]
    run: Option<u64>,
    /// Events in a run, before it heals
    #[arg(long, value_name = "N", default_value_t = 500)]
    steps: usize,
    /// Kinds of faults: kill, power-loss, stop, pause, cut-off, slow-metadata, lost-responses, slow-follower, election, wipe.
    /// Default: all but wipe
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = fault)]
    faults: Vec<Fault>,
    /// Each run draws its own set of kinds of faults
    #[arg(long)]
    swarm: bool,
    /// Print the first run that lost or diverged as a scenario of as few steps as can be found
    #[arg(long)]
    shrink: bool,
    /// Write that scenario to this file
    #[arg(long, value_name = "FILE", requires = "shrink")]
    out: Option<PathBuf>,
}

fn fault(text: &str) -> Result<Fault, String> {
    Fault::parse(text).ok_or_else(|| format!("kinds are {}", Fault::ALL.map(Fault::name).join(", ")))
}

/// What is wrong with a run for good.
fn wrong(run: &Run) -> Option<&Violation> {
    run.at_end
        .iter()
        .find(|it| matches!(it, Violation::AckedLost(_) | Violation::SentLost(_) | Violation::Diverged { .. }))
}

/// Sums of many runs.
#[derive(Debug, Default)]
struct Sums {
    runs: u64,
    acked: u64,
    lost: u64,
    lost_runs: u64,
    diverged: u64,
    unavailable_ms: u64,
    first: Option<u64>,
    broken: Option<(u64, &'static str)>,
}

impl Sums {
    fn add(&mut self, number: u64, run: &Run) {
        self.runs += 1;
        self.acked += run.witness.acked().count() as u64;
        let lost = |violation: &Violation| match violation {
            Violation::AckedLost(records) | Violation::SentLost(records) => records.len() as u64,
            _ => 0,
        };
        let lost: u64 = run.at_end.iter().map(lost).sum();
        self.lost += lost;
        self.lost_runs += u64::from(lost > 0);
        self.diverged += u64::from(run.at_end.iter().any(|it| matches!(it, Violation::Diverged { .. })));
        self.unavailable_ms = self.unavailable_ms.max(run.unavailable_ms);
        if wrong(run).is_some() && self.first.is_none() {
            self.first = Some(number);
        }
        if let (None, Some(&broken)) = (self.broken, run.broken.first()) {
            self.broken = Some((number, broken));
        }
    }
}

/// Runs that are played before the next are, side by side.
const AT_ONCE: u64 = 256;

/// Plays them.
pub fn run(args: &RandomArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    super::only(global, &[OutputFormat::Table, OutputFormat::Json])?;
    let mut rules = Rules { idempotence: args.acks == Acks::All, ..Rules::of(Era::Elr, args.replicas) };
    rules.min_insync_replicas = if args.replicas > 2 { 2 } else { 1 };
    rules.switches.wait_for_joining = true;
    args.rules.apply(&mut rules).map_err(|error| refused(&error))?;
    if args.rules.era.is_some_and(|era| era >= Era::Fetch)
        && !args.rules.set.iter().any(|(key, _)| key.ends_with("wait_for_joining"))
    {
        rules.switches.wait_for_joining = true;
    }
    if rules.strategy == Strategy::Majority {
        return Err(Problem::usage("random plays with an in-sync set")
            .hint("a majority is played by run and compare (--set strategy=majority), and counted by stats")
            .into());
    }
    let faults = if args.faults.is_empty() { Fault::USUAL.to_vec() } else { args.faults.clone() };
    let options =
        Options { rules, acks: args.acks, faults, swarm: args.swarm, steps: args.steps, times: Times::default() };
    let interrupt = Interrupt::listen()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(global.threads().get()).build()?;
    let (mut sums, mut outcome) = (Sums::default(), Outcome::Done);
    let (from, to) = args.run.map_or((0, args.runs), |run| (run, run.saturating_add(1)));
    let mut at = from;
    let is_json = global.output() == Some(OutputFormat::Json);
    while at < to {
        let end = to.min(at.saturating_add(AT_ONCE));
        let goes_on = || !interrupt.is_asked();
        let play = |number| simulate_while(&options, args.seed, number, &goes_on);
        let played: Vec<Option<Run>> = pool.install(|| (at..end).into_par_iter().map(play).collect());
        // Those before the first that was broken off: which they are must not depend on the threads.
        for (number, run) in (at..end).zip(played.iter().map_while(Option::as_ref)) {
            sums.add(number, run);
            if is_json && (wrong(run).is_some() || args.run.is_some()) {
                row(number, run).write(ui.out().buffer());
            }
        }
        at = end;
        if interrupt.is_asked() {
            ui.note(&format!("interrupted after {} runs", sums.runs));
            outcome = Outcome::Interrupted;
            break;
        }
    }
    if let Some((number, broken)) = sums.broken {
        let text = format!("run {number} broke a rule of the protocol itself: {broken}");
        ui.warning(Problem::new("error", text).hint("with all protective rules on this is a fault of this program"));
    }
    outcome |= if sums.first.is_some() { Outcome::Findings } else { Outcome::Done };
    let repeat = sums.first.map(|number| format!("logdir simulate-failover random{} --run {number}", typed(args)));
    if is_json {
        summary(&sums, repeat.as_deref()).write(ui.out().buffer());
    } else if !(args.shrink && sums.first.is_some()) {
        told(&sums, repeat.as_deref(), ui.out().buffer());
    }
    if let (true, Some(number)) = (args.shrink, sums.first) {
        print_small(args, &options, number, is_json, &interrupt, ui)?;
    }
    if let (Some(number), false) = (args.run, is_json || args.shrink) {
        show(&options, args.seed, number, ui);
    }
    Ok(outcome)
}

/// The options as they would be typed again.
fn typed(args: &RandomArgs) -> String {
    use std::fmt::Write as _;
    let mut typed = args.rules.typed();
    if args.replicas != 3 {
        let _ = write!(typed, " --replicas {}", args.replicas);
    }
    if args.acks != Acks::All {
        let _ = write!(typed, " --acks {}", args.acks.name());
    }
    if args.steps != 500 {
        let _ = write!(typed, " --steps {}", args.steps);
    }
    if !args.faults.is_empty() {
        let names: Vec<&str> = args.faults.iter().map(|fault| fault.name()).collect();
        let _ = write!(typed, " --faults {}", names.join(","));
    }
    if args.swarm {
        typed.push_str(" --swarm");
    }
    let _ = write!(typed, " --seed {}", args.seed);
    typed
}

fn told(sums: &Sums, repeat: Option<&str>, out: &mut Vec<u8>) {
    let tenths = sums.unavailable_ms / 100;
    let text = format!(
        "{} runs  acknowledged {}  lost {} in {} runs  diverged {}  max unavailable {}.{} s\n",
        sums.runs,
        sums.acked,
        sums.lost,
        sums.lost_runs,
        sums.diverged,
        tenths / 10,
        tenths % 10
    );
    out.extend_from_slice(text.as_bytes());
    if let (Some(first), Some(repeat)) = (sums.first, repeat) {
        out.extend_from_slice(format!("first: run {first}; repeat with: {repeat}\n").as_bytes());
    }
}

fn row(number: u64, run: &Run) -> JsonRow {
    let violations: Vec<serde_json::Value> = run.at_end.iter().map(|it| it.to_string().into()).collect();
    let events: Vec<serde_json::Value> =
        run.events.iter().map(|(at, event)| serde_json::json!([at, event.to_string()])).collect();
    JsonRow::new("run")
        .field("run", number)
        .field("acked", run.witness.acked().count())
        .field("at_end", violations)
        .field("unavailable_ms", run.unavailable_ms)
        .field("lasted_ms", run.lasted_ms)
        .field("events", events)
}

fn summary(sums: &Sums, repeat: Option<&str>) -> JsonRow {
    JsonRow::new("summary")
        .field("runs", sums.runs)
        .field("acked", sums.acked)
        .field("lost", sums.lost)
        .field("lost_runs", sums.lost_runs)
        .field("diverged_runs", sums.diverged)
        .field("max_unavailable_ms", sums.unavailable_ms)
        .field("first", sums.first)
        .some("repeat", repeat)
}

/// A run step by step, and what it comes to.
fn show(options: &Options, seed: u64, number: u64, ui: &mut Ui) {
    let played = simulate(options, seed, number);
    let events: Vec<Event> = played.events.iter().map(|(_, event)| *event).collect();
    let (timeline, _) = play_adapted(&options.rules, State::initial(&options.rules), &events);
    let table = picture::table(&timeline, &picture::TableOptions { colour: ui.has_colour(), ends: None });
    let text = format!("\n{table}\n{}", picture::verdict(&timeline));
    ui.out().buffer().extend_from_slice(text.as_bytes());
}

/// The first run that went wrong, made small.
fn print_small(
    args: &RandomArgs,
    options: &Options,
    number: u64,
    is_json: bool,
    interrupt: &Interrupt,
    ui: &mut Ui,
) -> anyhow::Result<()> {
    if interrupt.is_asked() {
        return Ok(());
    }
    let played = simulate(options, args.seed, number);
    let events: Vec<Event> = played.events.iter().map(|(_, event)| *event).collect();
    let word = wrong(&played).map_or("ACKED-LOST", Violation::word);
    let mut rules = options.rules.clone();
    // It needs the clock, which a list of steps has not.
    rules.switches.wait_for_joining = false;
    let Some(small) = shrink::shrink(&rules, &events, word, &|| !interrupt.is_asked()) else {
        let text = format!("run {number} does not show {word} without its times");
        return Err(Problem::new("error", text).into());
    };
    let (timeline, _) = play_adapted(&rules, State::initial(&rules), &small);
    let violations: Vec<String> = timeline.at_end.iter().map(ToString::to_string).collect();
    let variant = Variant { name: "shrunk".into(), rules, from: Vec::new(), steps: small, expect: Expect::default() };
    let about =
        format!("Run {number} of seed {}, made small: {} events of {}.", args.seed, variant.steps.len(), events.len());
    let file = to_file("shrunk", &about, &variant, &violations);
    if let Some(path) = &args.out {
        replace_atomic(path, file.as_bytes()).map_err(|error| storage_problem(&error))?;
        ui.note(&format!("written to {0}; play it with: logdir simulate-failover run {0}", path.display()));
    } else if !is_json {
        ui.out().buffer().extend_from_slice(file.as_bytes());
    } else {
        JsonRow::new("shrunk").field("run", number).field("scenario", file).write(ui.out().buffer());
    }
    Ok(())
}
