//! Plans given to a running Kafka of three brokers with two log directories each: kafka-reassign-partitions.sh takes them as
//! they are, and what it says of them `logdir reassign verify` says of the directories.
//!
//! Skipped without `LOGDIR_KAFKA_LIBS`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/broker.rs"]
mod broker;
#[path = "support/cluster.rs"]
mod cluster;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use broker::Kafka;
use cluster::Cluster;
use serde_json::{Value, json};

const REASSIGN: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

fn logdir(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    let output = command.env_clear().args(args).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// What the tool says of a plan: its states, without the throttles that it clears then.
fn tools_verify(cluster: &Cluster, plan: &Path) -> String {
    let said = cluster.tool(REASSIGN, &["--verify", "--reassignment-json-file", plan.to_str().unwrap()]);
    said.lines().filter(|line| !line.starts_with("Clearing ")).map(|line| format!("{line}\n")).collect()
}

fn our_verify(cluster: &Cluster, plan: &Path) -> (i32, String) {
    let args =
        ["reassign", "verify", "--reassignment-json-file", plan.to_str().unwrap(), "-d", &cluster.all_log_dirs()];
    let (code, stdout, _) = logdir(&args);
    (code, stdout)
}

/// Has the tool execute a plan, and waits until it says that nothing is left of it.
fn execute(cluster: &Cluster, plan: &Path) -> String {
    let said = cluster.tool(REASSIGN, &["--execute", "--reassignment-json-file", plan.to_str().unwrap()]);
    assert!(said.contains("Successfully started partition reassignment"), "{said}");
    let started = Instant::now();
    loop {
        let said = tools_verify(cluster, plan);
        if !said.contains("still in progress") {
            return said;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{said}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// What the directories say of a plan, once brokers have heard of it and have let go of what they gave up.
fn settled(cluster: &Cluster, plan: &Path, expected: &str) -> i32 {
    let started = Instant::now();
    loop {
        let (code, said) = our_verify(cluster, plan);
        if said == expected && code == 0 {
            return code;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{said}instead of\n{expected}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn replicas(rows: &str) -> BTreeMap<i64, i64> {
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let brokers = rows.filter(|row| row["type"] == "broker");
    brokers.map(|row| (row["broker"].as_i64().unwrap(), row["replicas_before"].as_i64().unwrap())).collect()
}

#[test]
fn the_tool_executes_plans_as_they_are_and_both_say_when_they_are_done() {
    let Some(kafka) = Kafka::find() else { return };
    let mut cluster = Cluster::start(&kafka, 2, "");
    // Nothing is on broker 3.
    for (topic, assignment) in [("alpha", "1:2,1:2,2:1,1:2,1:2,1:2"), ("beta", "1,1,2"), ("gamma.x", "2:1,1:2,2:1")] {
        let said = cluster.tool(TOPICS, &["--create", "--topic", topic, "--replica-assignment", assignment]);
        assert!(said.contains("Created topic"), "{said}");
    }
    let mut clients = cluster.clients();
    for (topic, partitions, records) in [("alpha", 6, 400), ("beta", 3, 900), ("gamma.x", 3, 50)] {
        clients.run(&format!("produce {topic} {partitions} 1 {records}"));
    }
    drop(clients);

    let dirs = cluster.all_log_dirs();
    let (code, rows, _) = logdir(&["reassign", "generate", "-d", &dirs, "--json", "-q"]);
    assert_eq!((code, replicas(&rows)), (0, BTreeMap::from([(1, 11), (2, 10), (3, 0)])), "{rows}");
    let (code, plan, said) = logdir(&["reassign", "generate", "-d", &dirs]);
    assert_eq!(code, 0, "{said}");
    let file = cluster.file("plan.json");
    fs::write(&file, &plan).unwrap();
    // Before anything is done both say the same.
    let (code, ours) = our_verify(&cluster, &file);
    assert_eq!((code, ours), (1, tools_verify(&cluster, &file)));

    let done = execute(&cluster, &file);
    let is_done = |line: &str| line.ends_with("is completed.") || line.ends_with("completed successfully.");
    assert!(done.lines().skip(1).filter(|line| !line.is_empty()).all(is_done), "{done}");
    settled(&cluster, &file, &done);
    let (code, rows, _) = logdir(&["reassign", "generate", "-d", &dirs, "--json", "-q"]);
    assert_eq!((code, replicas(&rows)), (0, BTreeMap::from([(1, 7), (2, 7), (3, 7)])), "{rows}");

    // To another disk of the same broker.
    let (code, rows, _) = logdir(&["log-dirs", "-d", &dirs, "-t", "alpha", "-p", "0", "--kind", "live", "--json"]);
    assert_eq!(code, 0, "{rows}");
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let held: Vec<&Value> = rows.iter().filter(|row| row["type"] == "partition").collect();
    assert_eq!(held.len(), 2, "one on each of two brokers");
    let record = cluster.tool(TOPICS, &["--describe", "--topic", "alpha"]);
    let line = record.lines().find(|line| line.contains("Partition: 0\t")).unwrap();
    let ids: Vec<i64> = line
        .split("Replicas: ")
        .nth(1)
        .unwrap()
        .split('\t')
        .next()
        .unwrap()
        .split(',')
        .map(|id| id.parse().unwrap())
        .collect();
    let other = |id: &i64| {
        let row = held.iter().find(|row| row["node_id"].as_i64() == Some(*id)).unwrap();
        let dirs = cluster.log_dirs(usize::try_from(*id).unwrap());
        dirs.into_iter().map(|dir| dir.display().to_string()).find(|dir| row["log_dir"].as_str() != Some(dir)).unwrap()
    };
    let log_dirs: Vec<String> = ids.iter().map(other).collect();
    let plan = json!({"version": 1, "partitions": [{"topic": "alpha", "partition": 0, "replicas": ids, "log_dirs": log_dirs}]});
    let file = cluster.file("disks.json");
    fs::write(&file, plan.to_string()).unwrap();
    let (code, ours) = our_verify(&cluster, &file);
    assert_eq!((code, ours), (1, tools_verify(&cluster, &file)));
    let done = execute(&cluster, &file);
    assert_eq!(done.matches("completed successfully.").count(), 2, "{done}");
    settled(&cluster, &file, &done);

    // The same of brokers that are stopped.
    cluster.stop();
    settled(&cluster, &file, &done);
}
