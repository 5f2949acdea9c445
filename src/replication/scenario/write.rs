//! Scenarios as the files they are read from.

use std::fmt::Write as _;

use super::Variant;
use crate::replication::event::Event;
use crate::replication::rules::{Flush, Rules, Strategy};

/// A scenario file of one variant: what holds, as far as it differs from what the era says, and one step a line, repetitions
/// drawn together. `about` comes before it as a comment, `violations` are what is expected.
pub fn to_file(name: &str, about: &str, variant: &Variant, violations: &[String]) -> String {
    let mut out = String::new();
    for line in about.lines() {
        let _ = writeln!(out, "# {line}");
    }
    let rules = &variant.rules;
    let _ =
        writeln!(out, "schema = 1\nname = {}\nera = \"{}\"\nreplicas = {}", quoted(name), rules.era, rules.replicas);
    if rules.strategy == Strategy::Majority {
        out.push_str("strategy = \"majority\"\n");
    }
    out.push_str("steps = \"\"\"\n");
    for (event, times) in drawn_together(&variant.steps) {
        let _ = if times > 1 { writeln!(out, "{event} x{times}") } else { writeln!(out, "{event}") };
    }
    out.push_str("\"\"\"\n[config]\n");
    config(rules, &mut out);
    let list: Vec<String> = violations.iter().map(|violation| quoted(violation)).collect();
    let _ = writeln!(out, "[expect]\nat_end = [{}]", list.join(", "));
    out
}

fn config(rules: &Rules, out: &mut String) {
    let _ = writeln!(out, "\"min.insync.replicas\" = {}", rules.min_insync_replicas);
    let _ = writeln!(out, "\"unclean.leader.election.enable\" = {}", rules.unclean_leader_election);
    if rules.idempotence {
        out.push_str("\"enable.idempotence\" = true\n");
    }
    if rules.producers > 1 {
        let _ = writeln!(out, "producers = {}", rules.producers);
    }
    match rules.flush {
        Flush::Never => {}
        Flush::Every(1) => out.push_str("flush = \"every-record\"\n"),
        Flush::Every(records) => {
            let _ = writeln!(out, "flush = \"every:{records}\"");
        }
    }
    if let Some(records) = rules.records_per_fetch {
        let _ = writeln!(out, "records_per_fetch = {records}");
    }
    let (mut own, mut eras) = (rules.switches, rules.era.switches());
    let pairs = own.named().map(|(name, on)| (name, *on)).into_iter().zip(eras.named());
    let changed: Vec<String> =
        pairs.filter(|((_, own), (_, era))| own != *era).map(|((name, own), _)| format!("{name} = {own}")).collect();
    if !changed.is_empty() {
        let _ = writeln!(out, "switches = {{ {} }}", changed.join(", "));
    }
}

fn drawn_together(steps: &[Event]) -> Vec<(Event, usize)> {
    let mut out: Vec<(Event, usize)> = Vec::new();
    for &step in steps {
        match out.last_mut() {
            Some((last, times)) if *last == step => *times += 1,
            _ => out.push((step, 1)),
        }
    }
    out
}

/// As a basic string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::scenario::{Scenario, all};

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for scenario in all().unwrap() {
            for variant in &scenario.variants {
                let text = to_file(&variant.name, "a\nb", variant, &["DIVERGED b0/b1 below 2".into()]);
                let again = Scenario::parse(&text).unwrap();
                assert_eq!(
                    (&again.variants[0].rules, &again.variants[0].steps),
                    (&variant.rules, &variant.steps),
                    "{text}"
                );
            }
        }
    }
}
