//! Failovers on real log directories: after every step each directory is what the rules say.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use logdir::replication::event::{Acks, Event};
use logdir::replication::play::{Timeline, play};
use logdir::replication::rules::{Era, Rules};
use logdir::replication::scenario;
use logdir::replication::simulator::{Fault, Options, Times, simulate};
use logdir::replication::state::State;
use logdir::storage::stage::Stage;
use logdir::types::TopicPartition;

/// 2026-01-01, so that what is written does not depend on the day.
const NOW_MS: i64 = 1_767_225_600_000;

fn on_directories(dir: &Path, timeline: &Timeline, name: &str) -> Stage {
    let mut stage = Stage::create(dir, &TopicPartition::new("orders", 0), &timeline.rules, NOW_MS).unwrap();
    assert_eq!(stage.differences(&timeline.initial).unwrap(), Vec::<String>::new(), "{name} at first");
    for (row, number) in timeline.rows.iter().zip(1..) {
        stage.carry_out(row.event, &row.effects, &row.state).unwrap();
        let differences = stage.differences(&row.state).unwrap();
        assert!(differences.is_empty(), "{name} step {number} ({}): {differences:#?}", row.event);
    }
    stage
}

#[test]
fn every_scenario_of_the_catalogue_can_be_played_on_directories() {
    let (mut variants, mut steps) = (0, 0);
    for scenario in scenario::all().unwrap() {
        for variant in &scenario.variants {
            let timeline = play(&variant.rules, State::initial(&variant.rules), &variant.steps).unwrap();
            let temp = tempfile::tempdir().unwrap();
            on_directories(temp.path(), &timeline, &format!("{} {}", scenario.name, variant.name));
            variants += 1;
            steps += timeline.rows.len();
        }
    }
    println!("{variants} variants, {steps} steps");
    assert!(variants >= 52);
}

#[test]
fn random_runs_can_be_played_on_directories() {
    for (era, number) in
        [(Era::Hw, 1), (Era::Epoch, 2), (Era::Epoch2, 3), (Era::Fenced, 4), (Era::Fetch, 5), (Era::Elr, 6)]
    {
        let rules = Rules { min_insync_replicas: 2, idempotence: era >= Era::Epoch, ..Rules::of(era, 3) };
        let options = Options {
            rules: rules.clone(),
            acks: Acks::All,
            faults: Fault::ALL.to_vec(),
            swarm: false,
            steps: 120,
            times: Times::default(),
        };
        let run = simulate(&options, 11, number);
        let events: Vec<Event> = run.events.iter().map(|(_, event)| *event).collect();
        let timeline = play(&rules, State::initial(&rules), &events).unwrap();
        let temp = tempfile::tempdir().unwrap();
        on_directories(temp.path(), &timeline, era.name());
    }
}

#[test]
fn what_is_left_behind_can_be_opened_and_has_nothing_wrong() {
    let scenario = scenario::find("rolling-restart").unwrap().unwrap();
    let variant = &scenario.variants[0];
    let timeline = play(&variant.rules, State::initial(&variant.rules), &variant.steps).unwrap();
    let temp = tempfile::tempdir().unwrap();
    drop(on_directories(temp.path(), &timeline, "rolling-restart"));
    for broker in 0..3 {
        let dir = temp.path().join(format!("broker-{broker}"));
        let output = assert_cmd::Command::cargo_bin("logdir").unwrap().arg("verify").arg(&dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let consumed =
            assert_cmd::Command::cargo_bin("logdir").unwrap().arg("consume").arg(dir.join("orders-0")).output();
        assert_eq!(String::from_utf8_lossy(&consumed.unwrap().stdout), "m0\nm1\nm2\nm3\n");
    }
}

#[test]
fn a_directory_that_holds_something_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("mine"), "here").unwrap();
    let refused = Stage::create(temp.path(), &TopicPartition::new("orders", 0), &Rules::of(Era::Fetch, 3), NOW_MS);
    assert!(refused.unwrap_err().to_string().contains("not empty"));
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
}
