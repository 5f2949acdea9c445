//! The scopes of which it is known how they end: every one ends so, and what is found can be played.
//!
//! Shortest lengths are those that were found by another explorer of the same rules, and by hand in the proposals (KIP-101, 279, 320, 497,
//! 903, 966). A longer way would be a fault of the search, another length one of the rules.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ops::ControlFlow;

use logdir::replication::event::Event;
use logdir::replication::explorer::{Ending, Limits, search};
use logdir::replication::play::play;
use logdir::replication::protocol::known::{Known, known};
use logdir::replication::protocol::{Find, FoundHere, Protocol};
use logdir::replication::rules::Rules;
use logdir::replication::state::State;
use logdir::replication::witness::Violation;

/// Rows of several hundred thousand states, which take long where the program is not optimised.
const LARGE: [&str; 6] = ["elr", "no-epoch-start", "no-broker-epochs", "no-fence", "fence", "hw-min-isr"];

fn found(rules: &Rules, row: &Known, threads: usize) -> FoundHere {
    let protocol = Protocol::new(rules.clone(), row.scope).unwrap();
    search(&protocol, &Limits { threads, ..Limits::default() }, &mut |_| ControlFlow::Continue(()))
}

fn steps(found: &FoundHere) -> Option<Vec<Event>> {
    match &found.ending {
        Ending::Violated(trace) => Some(trace.steps.iter().filter_map(|step| step.event).collect()),
        Ending::Exhausted => None,
        ending => panic!("{ending:?}"),
    }
}

fn is_lost(rules: &Rules, events: &[Event]) -> bool {
    let timeline = play(rules, State::initial(rules), events).unwrap();
    timeline.at_end.iter().any(|it| matches!(it, Violation::AckedLost(_) | Violation::Diverged { .. }))
}

#[test]
fn every_row_ends_as_it_is_known_to() {
    let is_full = !cfg!(debug_assertions) || std::env::var_os("LOGDIR_EXPLORE").is_some_and(|it| it == "full");
    for row in known() {
        if !is_full && LARGE.contains(&row.name) {
            println!("{}: skipped: run it with LOGDIR_EXPLORE=full or --release", row.name);
            continue;
        }
        let two = found(&row.rules, &row, 2);
        let way = steps(&two);
        println!(
            "{}: {:?} steps, {} states, {} tried",
            row.name,
            way.as_ref().map(Vec::len),
            two.distinct,
            two.generated
        );
        assert_eq!(way.as_ref().map(Vec::len), row.shortest, "{}", row.name);
        if row.shortest.is_none() {
            assert_eq!(Some(two.distinct), row.states, "{}", row.name);
        }
        if let Some(way) = way.as_ref().filter(|_| row.scope.find != Find::Consumer) {
            assert!(is_lost(&row.rules, way), "{}: {way:?}", row.name);
        }
        if two.distinct < 200_000 {
            assert_eq!(steps(&found(&row.rules, &row, 1)), way, "{}: with one thread", row.name);
        }
    }
}

/// Rules that keep what is acknowledged lose it without the one that is switched off, and what is then found is kept with it.
#[test]
fn each_protective_rule_is_named_by_what_it_keeps_out() {
    let mut switched = vec!["no-maximal-isr", "no-elr"];
    if !cfg!(debug_assertions) {
        switched.extend(["no-epoch-start", "no-broker-epochs", "no-fence"]);
    }
    for row in known().into_iter().filter(|row| switched.contains(&row.name)) {
        let way = steps(&found(&row.rules, &row, 2)).unwrap();
        assert!(is_lost(&row.rules, &way));
        let mut safe = row.rules.clone();
        for (name, on) in safe.switches.named() {
            *on |= matches!(name, "maximal_isr" | "leso" | "broker_epoch_check" | "elr" | "fence");
        }
        let (timeline, _) = logdir::replication::play::play_adapted(&safe, State::initial(&safe), &way);
        assert!(timeline.at_end.is_empty(), "{}: {:?}", row.name, timeline.at_end);
    }
}
