//! The catalogue of failover scenarios: every cell as in the document that the rules were written down in.
//!
//! The scenarios' own files say what is expected of them; where the document is at hand (`../shared`, or
//! `LOGDIR_FAILOVER_SCENARIOS`), its tables are read once more and compared cell by cell.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;

use logdir::replication::play::{Timeline, play};
use logdir::replication::scenario::{self, Scenario, Variant, judge};
use logdir::replication::state::State;

fn played(variant: &Variant) -> Timeline {
    play(&variant.rules, State::initial(&variant.rules), &variant.steps).unwrap()
}

fn each(mut visit: impl FnMut(&Scenario, &Variant, &Timeline)) {
    for scenario in &scenario::all().unwrap() {
        scenario.variants.iter().for_each(|variant| visit(scenario, variant, &played(variant)));
    }
}

#[test]
fn every_scenario_ends_as_expected_and_keeps_the_rules() {
    let mut count = 0;
    each(|scenario, variant, timeline| {
        let unmet = variant.expect.unmet(timeline);
        assert!(unmet.is_empty(), "{} {}: {unmet:#?}", scenario.name, variant.name);
        for (row, number) in timeline.rows.iter().zip(1..) {
            assert!(row.broken.is_empty(), "{} {} step {number}: {:?}", scenario.name, variant.name, row.broken);
        }
        count += 1;
    });
    println!("{count} variants");
    assert!(count >= 48, "{count}");
}

#[test]
fn every_cell_is_that_of_the_document() {
    let path = std::env::var_os("LOGDIR_FAILOVER_SCENARIOS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/failover-scenarios.md"),
        PathBuf::from,
    );
    let Ok(document) = std::fs::read_to_string(&path) else {
        println!("skipped: there is no {}", path.display());
        return;
    };
    let mut cells = 0;
    each(|scenario, variant, timeline| {
        let id = scenario.id.as_deref().unwrap();
        if id == "S26" {
            // Its steps are told in words there, without cells.
            return;
        }
        let section = document.split(&format!("\n### {id} ")).nth(1).unwrap().split("\n### ").next().unwrap();
        let row = section
            .lines()
            .find_map(|line| line.strip_prefix(&format!("| {} | {}; ", variant.name, variant.rules.era)));
        let row: Vec<&str> = row.unwrap().trim_end_matches(" |").split(" | ").skip(1).collect();
        let found = cells_of(variant, timeline);
        assert_eq!(row, found, "{id} {}", variant.name);
        cells += found.len();
    });
    println!("{cells} cells");
}

/// The row of a variant, as the document writes it.
fn cells_of(variant: &Variant, timeline: &Timeline) -> Vec<String> {
    let state = timeline.last();
    let isr = state.controller.isr.to_string();
    let elr = state.controller.elr;
    let replicas = variant.rules.all().iter().map(|broker| {
        let replica = state.replica(broker);
        let log = judge::log(state, broker);
        let log = if log.is_empty() { "empty" } else { &log };
        let down = if replica.up { "" } else { " (down)" };
        format!("b{broker}{down} {}/{} `{log}`", replica.leo(), replica.hw)
    });
    let acked: Vec<String> = timeline.witness.acked().map(|(record, _)| format!("m{record}")).collect();
    let list = |texts: Vec<String>, separator: &str, none: &str| {
        if texts.is_empty() { none.to_owned() } else { texts.join(separator) }
    };
    vec![
        judge::leader(state),
        if elr.is_empty() { isr } else { format!("{isr} ELR {elr}") },
        replicas.collect::<Vec<_>>().join("<br>"),
        list(acked, ",", "-"),
        list(timeline.violations.iter().map(|(_, violation)| violation.to_string()).collect(), "; ", "none"),
        list(timeline.at_end.iter().map(ToString::to_string).collect(), "; ", "none"),
    ]
}
