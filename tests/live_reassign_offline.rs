//! Directories moved while their brokers were stopped, and runs killed on the way: real brokers serve every record, or refuse to
//! start until the run is finished.
//!
//! Skipped without `LOGDIR_KAFKA_LIBS`. The kills need strace, and a system that lets it trace; `LOGDIR_LIVE_REPEATS=10`
//! tries ten times as many of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/broker.rs"]
mod broker;
#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/copy.rs"]
mod copy;
#[path = "support/strace.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod strace;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use broker::{Broker, Clients, Kafka};
use cluster::Cluster;
use logdir::storage::names::PartitionDirName;
use serde_json::{Value, json};

const REASSIGN: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

/// The records that are produced here are old: a broker would delete them half a minute after its start.
const KEPT: &str = "log.retention.ms=-1\n";

fn logdir(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    let output = command.env_clear().args(args).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn done(args: &[&str]) -> String {
    let (code, stdout, said) = logdir(args);
    assert_eq!(code, 0, "{args:?}: {stdout}{said}");
    stdout
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    lines.sort();
    lines
}

type Seen = (Vec<String>, String, Vec<String>);

/// What clients see: first and last offsets, every record, what groups have committed.
fn seen(cluster: &Cluster, topics: &[&str]) -> Seen {
    let pattern = topics.join("|");
    let earliest = cluster.tool(OFFSETS, &["--topic", &pattern, "--time", "earliest"]);
    let latest = cluster.tool(OFFSETS, &["--topic", &pattern, "--time", "latest"]);
    let records = cluster.file("records.jsonl");
    let mut clients = cluster.clients();
    clients.run(&format!("consume read_committed {} {}", records.display(), topics.join(" ")));
    drop(clients);
    let groups = cluster.tool(GROUPS, &["--describe", "--all-groups"]);
    (sorted(&(earliest + &latest)), fs::read_to_string(records).unwrap(), sorted(&groups))
}

fn assert_same(now: &Seen, before: &Seen) {
    assert_eq!(now.0, before.0, "offsets");
    assert_eq!(now.2, before.2, "groups");
    let differ = now.1.lines().zip(before.1.lines()).find(|(now, before)| now != before);
    assert_eq!(differ, None, "records");
    assert_eq!(now.1.lines().count(), before.1.lines().count(), "records");
}

/// Partition directories of a broker, each with its log directory.
fn held(dirs: &[PathBuf], topics: &[&str]) -> Vec<(String, i32, PathBuf)> {
    let mut held = Vec::new();
    for dir in dirs {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
            let name = PartitionDirName::parse(&entry.file_name()).unwrap();
            if topics.contains(&name.topic_partition.topic.as_str()) && name.unique_id.is_none() {
                held.push((name.topic_partition.topic, name.topic_partition.partition, dir.clone()));
            }
        }
    }
    held.sort();
    held
}

fn plan_of(partitions: &[Value], file: &Path) -> String {
    fs::write(file, json!({"version": 1, "partitions": partitions}).to_string()).unwrap();
    file.display().to_string()
}

fn listed(cluster: &Cluster, topic: &str, partition: i32) -> Vec<i64> {
    let said = cluster.tool(TOPICS, &["--describe", "--topic", topic]);
    let line = said.lines().find(|line| line.contains(&format!("Partition: {partition}\t"))).unwrap().to_owned();
    let ids = line.split("Replicas: ").nth(1).unwrap().split('\t').next().unwrap();
    ids.split(',').map(|id| id.trim().parse().unwrap()).collect()
}

#[test]
fn what_was_moved_while_brokers_were_stopped_is_served() {
    let Some(kafka) = Kafka::find() else { return };
    let mut cluster = Cluster::start(&kafka, 2, KEPT);
    let assigned = [("alpha", "1,1,1,1,1,1"), ("beta", "2,2,2,2"), ("gamma", "1:2,2:1,1:2")];
    for (topic, assignment) in assigned {
        let said = cluster.tool(TOPICS, &["--create", "--topic", topic, "--replica-assignment", assignment]);
        assert!(said.contains("Created topic"), "{said}");
    }
    let mut clients = cluster.clients();
    for (topic, partitions, records) in [("alpha", 6, 400), ("beta", 4, 900), ("gamma", 3, 50)] {
        clients.run(&format!("produce {topic} {partitions} 1 {records}"));
    }
    // A log start above the base of the first segment, a group, transactions.
    clients.run("delete-records alpha 0 7");
    clients.run("delete-records beta 0 11");
    clients.run("resume readers beta");
    clients.run("transactions alpha 6 3 20 done");
    drop(clients);
    let topics = ["alpha", "beta", "gamma"];
    let before = seen(&cluster, &topics);
    cluster.stop();

    // Every partition of broker 1 to its other disk, what the coordinators keep too.
    let one = cluster.log_dirs(1);
    let moving = ["alpha", "__consumer_offsets", "__transaction_state"];
    let partitions: Vec<Value> = held(&one, &moving)
        .into_iter()
        .map(|(topic, partition, dir)| {
            let other = one.iter().find(|other| **other != dir).unwrap();
            json!({"topic": topic, "partition": partition, "replicas": [1], "log_dirs": [other]})
        })
        .collect();
    assert!(partitions.len() >= 6, "{partitions:?}");
    let plan = plan_of(&partitions, &cluster.file("disks.json"));
    let dirs = one.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(",");
    done(&["reassign", "execute", "-d", &dirs, "--reassignment-json-file", &plan]);
    done(&["reassign", "verify", "-d", &dirs, "--reassignment-json-file", &plan]);
    let (code, said, _) = logdir(&["verify", "-d", &dirs]);
    assert_eq!(code, 0, "{said}");
    cluster.restart();
    assert_same(&seen(&cluster, &topics), &before);
    let said = cluster.said_since_start(1);
    for word in ["stray", "Recovering unflushed", "ERROR", "Found log"] {
        assert!(!said.contains(word), "{word}: {said}");
    }
    // The tool sees them where the plan wanted them.
    let said = cluster.tool(REASSIGN, &["--verify", "--reassignment-json-file", &plan]);
    assert_eq!(said.matches("completed successfully.").count(), partitions.len(), "{said}");

    // From broker 2 to broker 3, each the only replica: the controllers are told while 2 is stopped, so that no broker copies.
    cluster.stop_one(2);
    let partitions: Vec<Value> =
        (0..4).map(|number| json!({"topic": "beta", "partition": number, "replicas": [3]})).collect();
    let plan = plan_of(&partitions, &cluster.file("brokers.json"));
    let said = cluster.tool(REASSIGN, &["--execute", "--reassignment-json-file", &plan]);
    assert!(said.contains("Successfully started partition reassignments"), "{said}");
    cluster.stop_one(3);
    let dirs = cluster.all_log_dirs();
    let (code, rows, said) = logdir(&["reassign", "execute", "-d", &dirs, "--reassignment-json-file", &plan]);
    // The originals stay until the controllers have taken 2 out of the list.
    assert_eq!(code, 1, "{rows}{said}");
    assert_eq!(rows.matches(" copy ").count(), 4, "{rows}{said}");
    assert!(said.contains("would begin with an empty log"), "{said}");
    cluster.restart();
    let started = Instant::now();
    while (0..4).any(|number| listed(&cluster, "beta", number) != [3]) {
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", listed(&cluster, "beta", 0));
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_same(&seen(&cluster, &topics), &before);
    let said = cluster.said_since_start(3);
    for word in ["stray", "Recovering unflushed", "ERROR", "Truncating"] {
        assert!(!said.contains(word), "{word}: {said}");
    }
    let said = cluster.tool(REASSIGN, &["--verify", "--reassignment-json-file", &plan]);
    assert_eq!(said.matches("is completed.").count(), 4, "{said}");
    assert_eq!(held(&cluster.log_dirs(3), &["beta"]).len(), 4);
}

/// A broker with a log directory on each of two file systems.
struct Two {
    broker: Broker,
    dirs: [PathBuf; 2],
    saved: PathBuf,
    plan: String,
    _other: tempfile::TempDir,
}

impl Two {
    fn restore(&self) {
        for (number, dir) in self.dirs.iter().enumerate() {
            let _ = fs::remove_dir_all(dir);
            copy::copy(&self.saved.join(number.to_string()), dir);
        }
    }

    fn log_dirs(&self) -> String {
        self.dirs.each_ref().map(|dir| dir.display().to_string()).join(",")
    }

    fn consumed(&self) -> String {
        let records = self.broker.file("records.jsonl");
        let mut clients: Clients = self.broker.clients();
        clients.run(&format!("consume read_committed {} alpha", records.display()));
        fs::read_to_string(records).unwrap()
    }

    fn refuses(&self) -> bool {
        let names = self.dirs.iter().flat_map(|dir| fs::read_dir(dir).unwrap().map(Result::unwrap));
        names.filter(|it| it.path().is_dir()).any(|it| PartitionDirName::parse(&it.file_name()).is_err())
    }
}

#[test]
fn a_broker_started_on_a_run_that_was_killed_serves_everything_or_refuses() {
    let Some(kafka) = Kafka::find() else { return };
    let repeats: usize = std::env::var("LOGDIR_LIVE_REPEATS").map_or(1, |text| text.parse().unwrap());
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return println!("skipped: there is no /dev/shm") };
    let second = other.path().join("d1");
    let mut broker = Broker::start(&kafka, &format!("log.dirs=$DIR/data,{}\n{KEPT}", second.display()));
    let mut clients = broker.clients();
    clients.run("create alpha 4");
    clients.run("produce alpha 4 1 300");
    drop(clients);
    broker.stop();
    let dirs = [broker.data(), second];
    let saved = broker.file("saved");
    for (number, dir) in dirs.iter().enumerate() {
        copy::copy(dir, &saved.join(number.to_string()));
    }
    let partitions: Vec<Value> = held(&dirs, &["alpha"])
        .into_iter()
        .map(|(topic, partition, dir)| {
            let to = dirs.iter().find(|to| **to != dir).unwrap();
            json!({"topic": topic, "partition": partition, "replicas": [1], "log_dirs": [to]})
        })
        .collect();
    assert_eq!(partitions.len(), 4);
    let plan = plan_of(&partitions, &broker.file("plan.json"));
    let mut two = Two { broker, dirs, saved, plan, _other: other };
    two.broker.restart();
    let expected = two.consumed();
    two.broker.stop();

    let log_dirs = two.log_dirs();
    let plan = two.plan.clone();
    let args = ["reassign", "execute", "-d", &log_dirs, "--reassignment-json-file", &plan];
    let log = two.broker.file("calls");
    two.restore();
    let traced = strace::strace(&["-f", "-o", log.to_str().unwrap()], &args);
    if !traced.is_some_and(|status| status.success()) || !log.is_file() {
        return println!("skipped: strace is not there, or may not trace");
    }
    // What changes names, and what waits for the disk.
    let counts = strace::calls(&log);
    let telling = counts.iter().filter(|(name, _)| ["rename", "unlink", "sync"].iter().any(|it| name.contains(it)));
    let moments: Vec<(String, usize)> =
        telling.flat_map(|(name, count)| (1..=*count).map(|when| (name.clone(), when))).collect();
    let tries = (3 * repeats).min(moments.len());
    let (mut refused, mut served) = (0, 0);
    // Those after which a broker refuses are few: every third is one of the renames of a run that come after it would.
    let text = fs::read_to_string(&log).unwrap();
    let renames = text.lines().filter(|line| line.contains("rename") && line.contains("= 0"));
    let names: Vec<&str> = renames.collect();
    let refused_at: Vec<usize> = (1..names.len()).filter(|at| names[at - 1].contains(".moved\"")).collect();
    let rename = moments.iter().position(|(name, _)| name.starts_with("rename")).unwrap();
    let spread = (0..tries).map(|number| match number % 3 {
        1 => rename + refused_at[number / 3 % refused_at.len()],
        _ => number * moments.len() / tries,
    });
    for at in spread {
        let (name, when) = &moments[at];
        two.restore();
        let inject = format!("inject={name}:signal=KILL:when={when}");
        let killed = strace::strace(&["-f", "-o", "/dev/null", "-e", &inject], &args).unwrap();
        let place = format!("killed ({}) at call {when} of {name}", !killed.success());
        if two.refuses() {
            refused += 1;
            let said = two.broker.start_refused();
            assert!(said.contains("is not in the form of topic-partition"), "{place}: {said}");
        } else {
            served += 1;
            two.broker.restart();
            assert_eq!(two.consumed(), expected, "{place}: the broker serves all");
            two.broker.stop();
        }
        if at % 2 == 0 {
            done(&["reassign", "resume", "-d", &log_dirs]);
            done(&args);
            done(&["reassign", "verify", "-d", &log_dirs, "--reassignment-json-file", &plan]);
        } else {
            done(&["reassign", "rollback", "-d", &log_dirs]);
        }
        two.broker.restart();
        assert_eq!(two.consumed(), expected, "{place}: after it was finished or taken back");
        two.broker.stop();
    }
    println!(
        "{tries} of {} moments: the broker served everything after {served}, and refused to start after {refused}",
        moments.len()
    );
}
