//! `topics list` and `topics describe` on directories of real brokers, against what live ones said of their topics.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use assert_cmd::Command;
use serde_json::Value;
use support::kafka_data::Case;

fn rows(args: &[&str]) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_logdir")).env_clear().args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn topics_are_described_as_a_live_broker_described_them() {
    let (mut cases, mut topics, mut ids, mut partitions, mut leaders, mut configs) = (0, 0, 0, 0, 0, 0);
    for case in Case::all() {
        let Some(truth) = case.truth_json("topics.json") else { continue };
        let dirs: Vec<String> = case.log_dirs().iter().map(|dir| dir.display().to_string()).collect();
        let dirs = dirs.join(",");
        let described = rows(&["topics", "describe", "-d", &dirs, "--json"]);
        let has_metadata = described.iter().any(|row| row["type"] == "feature");
        let of = |kind: &str, topic: &str| -> Vec<&Value> {
            described.iter().filter(|row| row["type"] == kind && row["topic"] == topic).collect()
        };
        let was_killed = case.name.ends_with("-killed");
        for (name, expected) in truth.as_object().unwrap() {
            let label = format!("{} {name}", case.name);
            let [topic] = of("topic", name)[..] else { panic!("{label}: described once") };
            if let Some(id) = expected["topicId"].as_str().filter(|id| !id.starts_with("AAAAAAAAAAAAAAAAAAAAA")) {
                // Before KRaft the id may stand in ZooKeeper alone.
                assert!(topic["topic_id"] == id || (topic["topic_id"].is_null() && !has_metadata), "{label}: {topic}");
                ids += usize::from(!topic["topic_id"].is_null());
            }
            let found = of("partition", name);
            let theirs = expected["partitions"].as_array().unwrap();
            topics += 1;
            if !has_metadata {
                continue;
            }
            assert_eq!(found.len(), theirs.len(), "{label}");
            for (found, expected) in found.iter().zip(theirs) {
                assert_eq!(found["partition"], expected["partition"], "{label}");
                assert_eq!(found["replicas"], expected["replicas"], "{label}");
                partitions += 1;
                if was_killed {
                    for field in ["leader", "isr", "elr"] {
                        assert_eq!(found[field], expected[field], "{label}: {field}");
                    }
                    leaders += 1;
                } else if found["leader"] == -1 {
                    // After a clean stop of all brokers the last one may lead again: as eligible, before Kafka 4.0 as in sync.
                    let may_lead = found["elr"].as_array().unwrap().iter().chain(found["isr"].as_array().unwrap());
                    let may_lead: Vec<_> = may_lead.collect();
                    let was_in_sync = expected["isr"].as_array().unwrap();
                    assert!(
                        !may_lead.is_empty() && may_lead.iter().all(|id| was_in_sync.contains(id)),
                        "{label}: {found}"
                    );
                }
            }
            let own: BTreeMap<&str, &str> = topic["configs"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|config| config["source"] == "DYNAMIC_TOPIC_CONFIG")
                .map(|config| (config["name"].as_str().unwrap(), config["value"].as_str().unwrap()))
                .collect();
            for (name, value) in expected["configs"].as_object().into_iter().flatten() {
                if let Some(ours) = own.get(name.as_str()) {
                    assert_eq!(*ours, value.as_str().unwrap(), "{label}: {name}");
                    configs += 1;
                }
            }
        }
        let listed = rows(&["topics", "list", "-d", &dirs, "--json"]);
        let listed: BTreeSet<&str> = listed.iter().map(|row| row["topic"].as_str().unwrap()).collect();
        for name in truth.as_object().unwrap().keys() {
            assert!(listed.contains(name.as_str()), "{}: {name} is listed", case.name);
        }
        cases += 1;
    }
    println!(
        "{cases} cases: {topics} topics, {ids} ids, {partitions} partitions, {leaders} with leader and ISR, {configs} settings"
    );
    if support::kafka_data_dir().is_some() {
        assert!(cases >= 15 && ids > 80 && partitions > 150 && leaders > 15 && configs > 50);
    }
}

#[test]
fn the_text_of_kafkas_tool_has_every_partition() {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transactions/data");
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_logdir"))
            .env_clear()
            .args(["topics", "describe", "-d", data.to_str().unwrap(), "--output", "kafka"])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = run(&["txn-b"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let head = lines[0];
    assert!(
        head.starts_with("Topic: txn-b\tTopicId: ") && head.contains("\tPartitionCount: 2\tReplicationFactor: 1\t"),
        "{text}"
    );
    assert_eq!(lines[1], "\tTopic: txn-b\tPartition: 0\tLeader: none\tReplicas: 1\tIsr: \tElr: 1\tLastKnownElr: 1");
    assert_eq!(run(&["--unavailable-partitions", "txn-b"]).lines().count(), 2, "partitions alone");
    assert_eq!(run(&["--at-min-isr-partitions", "txn-b"]), "");
    assert_eq!(run(&["--under-replicated-partitions"]), run(&["--unavailable-partitions"]));
    let overrides = run(&["--topics-with-overrides"]);
    assert!(overrides.lines().all(|line| line.starts_with("Topic: ")) && overrides.contains("txn-a"), "{overrides}");
}
