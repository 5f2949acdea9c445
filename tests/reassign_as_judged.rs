//! Quotas, bounds and measures of reassignments, beside those of the judge that planners are compared by.
//!
//! Skipped without the recorded instances (`../shared/reassign`, or `LOGDIR_REASSIGN`) and Python.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/reassign.rs"]
mod reassign;

use std::process::Command;

use logdir::reassign::bounds::Bounds;
use logdir::reassign::cluster::{Assignment, Cluster, Problem};
use logdir::reassign::measure::{Balance, Moves};
use logdir::reassign::plan_json::parse_plan;
use logdir::reassign::quota::Quotas;
use reassign::{instances, reassign_dir};
use serde_json::Value;

/// The current assignment with what a plan says.
fn planned(cluster: &Cluster, plan: &str) -> Assignment {
    let mut lists: Vec<_> = cluster.current.iter().map(<[_]>::to_vec).collect();
    for it in parse_plan(plan).unwrap() {
        let partition = cluster.partition(&it.topic, it.partition).unwrap();
        lists[partition] = it.replicas.iter().map(|id| cluster.broker(*id).unwrap()).collect();
    }
    let mut assignment = Assignment::new();
    lists.iter().for_each(|list| assignment.push(list));
    assignment
}

#[test]
fn measures_are_the_judges() {
    let Some(dir) = reassign_dir() else { return };
    let temp = tempfile::tempdir().unwrap();
    let instances = instances(&dir);
    let mut compared = 0;
    for (path, instance) in &instances {
        let cluster = &instance.cluster;
        let problem = Problem::new(cluster, &instance.rules);
        let quotas = Quotas::of(&problem);
        let bounds = Bounds::of(&problem, &quotas);
        // The plan that changes nothing, and one that turns every third list round and moves some replicas.
        let mut moved = Vec::new();
        for partition in (0..cluster.partitions()).step_by(3) {
            let (topic, number) = cluster.name(partition);
            let ids: Vec<i32> = cluster.current.of(partition).iter().map(|it| cluster.brokers[it.at()].id).collect();
            let free = cluster.brokers.iter().map(|broker| broker.id).find(|id| !ids.contains(id));
            let mut replicas: Vec<i32> = ids.iter().rev().copied().collect();
            if partition % 2 == 0 {
                replicas[0] = free.unwrap_or(replicas[0]);
            }
            let list = replicas.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            moved.push(format!("{{\"topic\":\"{topic}\",\"partition\":{number},\"replicas\":[{list}]}}"));
        }
        for plan in
            ["{\"partitions\":[]}".to_owned(), format!("{{\"version\":1,\"partitions\":[{}]}}", moved.join(","))]
        {
            let file = temp.path().join("plan.json");
            std::fs::write(&file, &plan).unwrap();
            let judged = Command::new("python3").arg(dir.join("check.py")).arg(path).arg(&file).arg("--json").output();
            let Ok(judged) = judged else {
                eprintln!("skipped: no python3");
                return;
            };
            // Python has a word for what JSON has none for.
            let text = String::from_utf8(judged.stdout).unwrap().replace("Infinity", "null");
            let judged: Value = serde_json::from_str(&text).unwrap();
            let metrics = &judged["metrics"];
            let assignment = planned(cluster, &plan);
            let moves = Moves::to(&problem, &assignment);
            let name = &instance.name;
            for (key, value) in [
                ("moved_replicas", moves.replicas),
                ("moved_bytes", moves.bytes),
                ("leader_changes", moves.leaders),
                ("largest_inflow_bytes", moves.largest_inflow),
            ] {
                assert_eq!(metrics[key].as_u64(), Some(value), "{name}: {key}");
            }
            for (key, value) in [
                ("forced_replicas", bounds.forced_replicas),
                ("forced_bytes", bounds.forced_bytes),
                ("replicas", bounds.replicas),
                ("bytes_balance", bounds.bytes),
            ] {
                let theirs = metrics["bounds"][key].as_u64().unwrap();
                // Theirs is added up in another order.
                assert!(theirs.abs_diff(value) <= 1 + value / 1_000_000_000, "{name}: {key} is {value}, not {theirs}");
            }
            for (key, assignment) in [("before", &cluster.current), ("after", &assignment)] {
                let balance = Balance::of(&problem, &quotas, assignment);
                let theirs = &metrics[key];
                assert_eq!(theirs["count_excess"].as_u64(), Some(balance.count_excess), "{name}: {key} count_excess");
                assert_eq!(
                    theirs["leader_excess"].as_u64(),
                    Some(balance.leader_excess),
                    "{name}: {key} leader_excess"
                );
                assert_eq!(theirs["topic_excess"].as_u64(), Some(balance.topic_excess), "{name}: {key} topic_excess");
                for (field, value) in
                    [("bytes_over_share", balance.bytes_over_share), ("bytes_under_share", balance.bytes_under_share)]
                {
                    let theirs = theirs[field].as_f64().unwrap();
                    assert!((theirs - value).abs() < 1e-9, "{name}: {key} {field} is {value}, not {theirs}");
                }
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 2 * instances.len());
    println!("{compared} plans measured as by the judge");
}
