//! Groups on disk, against what a live broker and `kafka-consumer-groups.sh` said of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;

use logdir::storage::coordinator::groups::{Group, GroupCoordinator, Protocol};
use logdir::storage::log_dir::LogDir;
use logdir::storage::remarks::Remarks;
use logdir::types::TopicPartition;
use serde_json::{Value, json};
use support::kafka_data::Case;

fn by_topic<'a>(partitions: impl Iterator<Item = &'a TopicPartition>) -> Value {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    topics.values_mut().for_each(|numbers| numbers.sort_unstable());
    json!(topics)
}

fn described(group: &Group) -> Value {
    let (assignor, epoch, mut members) = match &group.protocol {
        Protocol::Simple => (String::new(), None, Vec::new()),
        Protocol::Classic(classic) => {
            let member = |member: &logdir::schema::coordinator::group::ClassicMember| {
                json!({
                    "clientId": member.client_id,
                    "memberId": member.id,
                    "groupInstanceId": member.instance_id,
                    "assignment": by_topic(member.parse_assignment().unwrap().partitions.iter()),
                })
            };
            let members: Vec<Value> = classic.members.iter().map(member).collect();
            (classic.protocol.clone().unwrap_or_default(), None, members)
        }
        Protocol::Modern(modern) => (modern.assignor().to_owned(), Some(modern.epoch), Vec::new()),
    };
    members.sort_by_key(|member| member["memberId"].as_str().unwrap().to_owned());
    let offsets: Vec<Value> = group
        .offsets
        .iter()
        .map(|(partition, committed)| {
            json!({
                "topic": partition.topic,
                "partition": partition.partition,
                "offset": committed.committed.offset.get(),
                "leaderEpoch": committed.committed.leader_epoch.map(|epoch| epoch.0),
                "metadata": committed.committed.metadata,
            })
        })
        .collect();
    json!({
        "type": group.type_name(),
        "state": group.state_name(),
        "assignor": assignor,
        "groupEpoch": epoch,
        "members": members,
        "offsets": offsets,
    })
}

/// What is not on the group's side: ends of logs.
fn expected(group: &Value) -> Value {
    let mut group = group.clone();
    for offset in group["offsets"].as_array_mut().unwrap() {
        let offset = offset.as_object_mut().unwrap();
        offset.remove("logEndOffset");
        offset.remove("lag");
    }
    group
}

#[test]
fn groups_are_those_a_broker_describes() {
    let mut compared = 0;
    for case in Case::all() {
        let Some(truth) = case.truth_json("groups.after.json") else { continue };
        let log_dirs: Vec<LogDir> = case.log_dirs().iter().map(|dir| LogDir::open(dir).unwrap()).collect();
        let mut remarks = Remarks::default();
        let coordinator = GroupCoordinator::read(&log_dirs, &mut remarks);
        assert!(remarks.damages.is_empty() && remarks.failures.is_empty() && coordinator.damaged().is_empty());
        let truth = truth.as_object().unwrap();
        let ours: BTreeMap<&String, Value> =
            coordinator.groups().iter().map(|(id, group)| (id, described(group))).collect();
        assert_eq!(
            ours.keys().collect::<Vec<_>>(),
            truth.keys().collect::<std::collections::BTreeSet<_>>().iter().collect::<Vec<_>>(),
            "{}",
            case.name
        );
        for (id, group) in &ours {
            assert_eq!(*group, expected(&truth[*id]), "{} {id}", case.name);
            compared += 1;
        }
    }
    if compared == 0 {
        eprintln!("skipped: no recorded data of real brokers");
        return;
    }
    println!("{compared} groups with their members and offsets");
    assert!(compared >= 14);
}

/// What the binary prints, stdout and stderr together, as the recorded texts have both.
fn printed(case: &Case, args: &[&str]) -> String {
    let dirs: Vec<String> = case.log_dirs().iter().map(|dir| dir.display().to_string()).collect();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_logdir"))
        .env_clear()
        .args(["groups"])
        .args(args)
        .args(["-d", &dirs.join(","), "--output", "kafka"])
        .output()
        .unwrap();
    String::from_utf8([output.stderr, output.stdout].concat()).unwrap()
}

/// The lines that are not empty, sorted: Kafka's order is that of its hash maps.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_text_is_that_of_kafka_consumer_groups() {
    let mut compared = 0;
    for case in Case::all() {
        for (name, args) in [
            ("list", &["list", "--state", "--type"][..]),
            ("describe", &["describe", "--all-groups"]),
            ("members", &["describe", "--all-groups", "--members", "-v"]),
            ("state", &["describe", "--all-groups", "--state"]),
        ] {
            let file = case.truth.join(format!("kafka-consumer-groups.after.{name}.txt"));
            let Ok(truth) = std::fs::read_to_string(&file) else { continue };
            let ours = printed(&case, args);
            assert_eq!(lines(&ours), lines(&truth), "{} {name}", case.name);
            compared += lines(&truth).len();
        }
    }
    if compared == 0 {
        eprintln!("skipped: no recorded data of real brokers");
        return;
    }
    println!("{compared} lines of kafka-consumer-groups.sh");
    assert!(compared > 100);
}
