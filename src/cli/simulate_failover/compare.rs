//! `simulate-failover compare`.

use super::rules::{self, RuleArgs, refused};
use super::source;
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::json_row::JsonRow;
use crate::cli::table::{Column, Listing, ListingStyle};
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::replication::play::{Timeline, play_adapted};
use crate::replication::rules::{Era, Rules};
use crate::replication::scenario::{Variant, judge};
use crate::replication::state::State;
use crate::replication::witness::{Violation, names};

/// Play the same steps under several eras or settings, and compare how they end in one table
///
/// Questions of followers are put where an era needs them, and steps that cannot happen under its rules are left out; how many is
/// told. Exits 1 when acknowledged records are lost or replicas diverge for good under one of them.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("simulate-failover compare"))]
pub struct CompareArgs {
    /// Scenario: a file (-: stdin), or a name or id as list gives them
    #[arg(value_name = "FILE|NAME")]
    scenario: String,
    /// Which variant's steps; without it the first
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Eras to compare: hw,epoch,epoch2,fenced,fetch,elr. Default: all
    #[arg(long, value_name = "ERA", value_delimiter = ',', value_parser = rules::era)]
    era: Vec<Era>,
    /// Change a setting everywhere, as run does (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = rules::setting)]
    set: Vec<(String, String)>,
    /// Compare values of a setting: min.insync.replicas=1,2 (repeatable: all combinations)
    #[arg(long, value_name = "KEY=VALUES", value_parser = vary)]
    vary: Vec<(String, Vec<String>)>,
}

fn vary(text: &str) -> Result<(String, Vec<String>), String> {
    let (key, values) = text.split_once('=').ok_or("expected KEY=VALUE,VALUE")?;
    let values: Vec<String> = values.split(',').map(str::to_owned).collect();
    values.iter().try_for_each(|value| rules::setting(&format!("{key}={value}")).map(|_| ()))?;
    Ok((key.to_owned(), values))
}

/// The variant of this name, or the first.
pub fn variant<'a>(variants: &'a [Variant], name: Option<&str>) -> anyhow::Result<&'a Variant> {
    let found = match name {
        None => variants.first(),
        Some(name) => variants.iter().find(|variant| variant.name == name),
    };
    found.ok_or_else(|| {
        let names: Vec<String> = variants.iter().map(|variant| format!("{:?}", variant.name)).collect();
        let problem = Problem::new("not_found", format!("there is no variant {:?}", name.unwrap_or_default()));
        problem.hint(format!("variants are {}", names.join(", "))).into()
    })
}

const COLUMNS: &[Column] = &[
    Column::left("RULES", 24),
    Column::left("LEADER", 7),
    Column::left("ISR", 10),
    Column::left("LEO/HW", 16),
    Column::right("ACKED", 5),
    Column::left("LOST", 8),
    Column::left("IN THE END", 10),
    Column::left("ON THE WAY", 0),
];

/// Plays and compares.
pub fn run(args: &CompareArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    super::only(global, &[OutputFormat::Table, OutputFormat::Json, OutputFormat::Tsv])?;
    let scenario = source::read(&args.scenario)?;
    let variant = variant(&scenario.variants, args.variant.as_deref())?;
    let style = if global.output() == Some(OutputFormat::Tsv) { ListingStyle::Tsv } else { ui.table_style() };
    let mut listing = Listing::new(COLUMNS, style);
    let is_json = global.output() == Some(OutputFormat::Json);
    if !is_json {
        listing.header(ui.out().buffer());
    }
    let mut outcome = Outcome::Done;
    for (name, rules) in settings(args, variant)? {
        let (timeline, left_out) = play_adapted(&rules, State::initial(&rules), &variant.steps);
        let is_bad = |it: &Violation| matches!(it, Violation::AckedLost(_) | Violation::Diverged { .. });
        if timeline.at_end.iter().any(is_bad) {
            outcome |= Outcome::Findings;
        }
        if is_json {
            row(&name, &timeline, &left_out).write(ui.out().buffer());
        } else {
            cells(&name, &timeline, &mut listing, ui.out().buffer());
        }
        if !left_out.is_empty() {
            let steps: Vec<String> = left_out.iter().map(ToString::to_string).collect();
            ui.note(&format!("{name}: cannot happen and was left out: step {}", steps.join(", ")));
        }
    }
    Ok(outcome)
}

/// Every combination, with its name.
fn settings(args: &CompareArgs, variant: &Variant) -> anyhow::Result<Vec<(String, Rules)>> {
    let eras: &[Era] = if args.era.is_empty() && args.vary.is_empty() {
        &Era::ALL
    } else if args.era.is_empty() {
        &[variant.rules.era]
    } else {
        &args.era
    };
    let mut out = Vec::new();
    for &era in eras {
        let mut rules = variant.rules.clone();
        if !args.era.is_empty() || era != rules.era {
            // As `run --era` has it: an era is that with its own protective rules.
            let wanted = RuleArgs { era: Some(era), set: Vec::new() };
            wanted.apply(&mut rules).map_err(|error| refused(&error))?;
        }
        let mut named = vec![(era.name().to_owned(), rules)];
        for (key, values) in &args.vary {
            let mut varied = Vec::new();
            for (name, rules) in &named {
                for value in values {
                    let mut rules = rules.clone();
                    rules.set(key, value).map_err(|error| refused(&error))?;
                    varied.push((format!("{name} {key}={value}"), rules));
                }
            }
            named = varied;
        }
        out.extend(named);
    }
    for (key, value) in &args.set {
        for (_, rules) in &mut out {
            rules.set(key, value).map_err(|error| refused(&error))?;
        }
    }
    Ok(out)
}

fn lost(timeline: &Timeline) -> String {
    let records = timeline.at_end.iter().find_map(|violation| match violation {
        Violation::AckedLost(records) => Some(names(records)),
        _ => None,
    });
    records.unwrap_or_else(|| "-".into())
}

fn texts<'a>(violations: impl Iterator<Item = &'a Violation>) -> String {
    let texts: Vec<String> = violations.map(ToString::to_string).collect();
    if texts.is_empty() { "-".into() } else { texts.join("; ") }
}

fn ends(timeline: &Timeline) -> String {
    let state = timeline.last();
    let ends = timeline.rules.all().iter().map(|broker| state.replica(broker));
    ends.map(|replica| format!("{}/{}", replica.leo(), replica.hw)).collect::<Vec<_>>().join(" ")
}

fn cells(name: &str, timeline: &Timeline, listing: &mut Listing, out: &mut Vec<u8>) {
    let state = timeline.last();
    let passed = timeline.violations.iter().map(|(_, violation)| violation).filter(|it| !timeline.at_end.contains(it));
    listing.text(name.as_bytes(), out);
    listing.text(judge::leader(state).as_bytes(), out);
    listing.text(state.controller.isr.to_string().as_bytes(), out);
    listing.text(ends(timeline).as_bytes(), out);
    listing.number(timeline.witness.acked().count(), out);
    listing.text(lost(timeline).as_bytes(), out);
    listing.text(texts(timeline.at_end.iter()).as_bytes(), out);
    listing.text(texts(passed).as_bytes(), out);
    listing.end_row(out);
}

fn row(name: &str, timeline: &Timeline, left_out: &[usize]) -> JsonRow {
    let state = timeline.last();
    let list = |violations: &mut dyn Iterator<Item = &Violation>| -> Vec<serde_json::Value> {
        violations.map(|violation| violation.to_string().into()).collect()
    };
    let brokers: Vec<serde_json::Value> = timeline
        .rules
        .all()
        .iter()
        .map(|broker| {
            let replica = state.replica(broker);
            serde_json::json!({"broker": broker, "leo": replica.leo(), "hw": replica.hw, "log": judge::log(state, broker)})
        })
        .collect();
    JsonRow::new("comparison")
        .field("rules", name)
        .field("era", timeline.rules.era.name())
        .field("leader", judge::leader(state))
        .field("isr", state.controller.isr.to_string())
        .field("replicas", brokers)
        .field("acked", timeline.witness.acked().map(|(record, _)| serde_json::Value::from(record)).collect::<Vec<_>>())
        .field("at_end", list(&mut timeline.at_end.iter()))
        .field("violations", list(&mut timeline.violations.iter().map(|(_, violation)| violation)))
        .field("left_out", left_out.iter().map(|&step| serde_json::Value::from(step)).collect::<Vec<_>>())
}
