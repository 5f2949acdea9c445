//! Producers and transactions on disk, against what a live broker and `kafka-transactions.sh` said of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;

use logdir::partitioner::PartitionCount;
use logdir::storage::active_producers::{active_producers, extents};
use logdir::storage::coordinator::transactions::{OpenTransaction, TransactionCoordinator, Unsure, Verdict};
use logdir::storage::log_dir::LogDir;
use logdir::storage::names::DirKind;
use logdir::storage::remarks::{LogDamages, Remarks};
use support::int;
use support::kafka_data::Case;

/// A day before the brokers of the cases ran; their clients wrote some timestamps of 2023.
const STARTED_MS: i64 = 1_795_352_000_000 - 86_400_000;

fn log_dirs(case: &Case) -> Vec<LogDir> {
    case.log_dirs().iter().map(|dir| LogDir::open(dir).unwrap()).collect()
}

#[test]
fn producers_are_those_a_broker_describes() {
    let (mut partitions, mut producers) = (0, 0);
    for case in Case::all() {
        let Some(offsets) = case.truth_json("offsets.json") else { continue };
        let log_dirs = log_dirs(&case);
        let [log_dir] = &log_dirs[..] else { continue };
        for (name, path) in log_dir.partitions().filter(|(name, _)| name.kind == DirKind::Live) {
            let Some(truth) = offsets.get(name.topic_partition.to_string()) else { continue };
            let Some(expected) = truth["producers"].as_array() else { continue };
            let partition = log_dir.open_partition(name, path).unwrap();
            let mut remarks = Remarks::default();
            let states = active_producers(&partition, &mut remarks).unwrap();
            let label = format!("{} {}", case.name, name.topic_partition);
            let ours: BTreeSet<_> = states
                .producers()
                .map(|state| {
                    let last = state.last_sequence();
                    let open = state.open_txn.map(logdir::types::Offset::get);
                    (
                        state.producer_id.0,
                        i64::from(state.producer_epoch),
                        i64::from(last),
                        state.last_timestamp_ms,
                        i64::from(state.coordinator_epoch),
                        open,
                    )
                })
                .collect();
            let theirs: BTreeSet<_> = expected
                .iter()
                .map(|row| {
                    (
                        int(row, "producerId"),
                        int(row, "epoch"),
                        int(row, "lastSequence"),
                        int(row, "lastTimestamp"),
                        row["coordinatorEpoch"].as_i64().unwrap_or(-1),
                        row["currentTxnStartOffset"].as_i64(),
                    )
                })
                .collect();
            // Of what was on disk a broker forgets at its start who wrote nothing for a day; no clock is ours.
            let expired = |row: &&(i64, i64, i64, i64, i64, Option<i64>)| row.3 < STARTED_MS && row.5.is_none();
            let more: Vec<_> = ours.difference(&theirs).filter(|row| !expired(row)).collect();
            assert!(more.is_empty() && ours.is_superset(&theirs), "{label}: {ours:?}, broker {theirs:?}");
            assert!(remarks.notices.is_empty() && remarks.damages.is_empty(), "{label}: {remarks:?}");
            partitions += 1;
            producers += theirs.len();
        }
    }
    println!("{producers} producers of {partitions} partitions compared");
    if support::kafka_data_dir().is_some() {
        assert!(partitions > 10 && producers > 20, "{producers} producers of {partitions} partitions");
    }
}

#[test]
fn transactional_ids_are_those_kafkas_tool_lists() {
    let mut compared = 0;
    for case in Case::all() {
        let Ok(text) = std::fs::read_to_string(case.truth.join("kafka-transactions.list.txt")) else { continue };
        let row = |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        let theirs: BTreeSet<Vec<String>> = text.lines().skip(1).map(row).filter(|row| !row.is_empty()).collect();
        let mut remarks = Remarks::default();
        let coordinator = TransactionCoordinator::read(&log_dirs(&case), &mut remarks);
        let ours: BTreeSet<Vec<String>> = coordinator
            .ids()
            .map(|(id, known)| {
                let state = &known.state;
                vec![id.to_owned(), "1".to_owned(), state.producer_id.to_string(), state.status.name().to_owned()]
            })
            .collect();
        assert_eq!(ours, theirs, "{}", case.name);
        let is_sound = remarks.notices.is_empty() && remarks.damages.is_empty() && remarks.failures.is_empty();
        assert!(is_sound, "{}: {remarks:?}", case.name);
        compared += theirs.len();
    }
    println!("{compared} transactional ids compared");
    if support::kafka_data_dir().is_some() {
        assert!(compared >= 14, "{compared}");
    }
}

/// `tx-hang` of the killed case is open where its partitions say so, and nothing else is.
#[test]
fn what_is_open_is_judged_by_its_coordinator() {
    let Some(case) = Case::all().into_iter().find(|case| case.name.starts_with("02a")) else { return };
    let log_dirs = log_dirs(&case);
    let coordinator = TransactionCoordinator::read(&log_dirs, &mut Remarks::default());
    let count = PartitionCount::new(3);
    assert_eq!(coordinator.partitions().iter().copied().collect::<Vec<_>>(), [0, 1, 2]);
    let known = coordinator.id("tx-hang").unwrap();
    let (start, timeout) = (known.state.start_ms, i64::from(known.state.timeout_ms));
    let mut open = Vec::new();
    for (name, path) in log_dirs[0].partitions().filter(|(name, _)| name.kind == DirKind::Live) {
        let partition = log_dirs[0].open_partition(name, path).unwrap();
        for (first, producer_id) in active_producers(&partition, &mut Remarks::default()).unwrap().open_txns() {
            open.push(OpenTransaction {
                partition: name.topic_partition.clone(),
                producer_id,
                first,
                may_have_ended: false,
            });
        }
    }
    assert!(!open.is_empty());
    for txn in &open {
        let (id, _) = coordinator.of_producer(txn.producer_id).unwrap();
        assert_eq!(id, "tx-hang", "{txn:?}");
        assert!(known.state.partitions.contains(&txn.partition), "{txn:?}");
        let partition = log_dirs[0].partitions().find(|(name, _)| name.topic_partition == txn.partition).unwrap();
        let partition = log_dirs[0].open_partition(partition.0, partition.1).unwrap();
        let (since, mut damages) = ([(txn.producer_id, txn.first)].into(), LogDamages::default());
        let extent = extents(&partition, &since, &mut damages).unwrap()[&txn.producer_id];
        assert!(damages.is_empty(), "{damages:?}");
        assert!(extent.records > 0 && extent.size_bytes > 61, "{extent:?}");
        assert_eq!(coordinator.judge(txn, count, start + timeout), Verdict::Open);
        assert_eq!(coordinator.judge(txn, count, start + timeout + 1), Verdict::Expired);
        let foreign = OpenTransaction { producer_id: logdir::types::ProducerId(4_711), ..txn.clone() };
        assert!(matches!(coordinator.judge(&foreign, count, 0), Verdict::Hanging(_)));
        let unsure = |unsure| Verdict::Unknown(unsure);
        assert_eq!(coordinator.judge(&foreign, PartitionCount::new(4), 0), unsure(Unsure::Coordinator));
        let maybe = OpenTransaction { may_have_ended: true, ..foreign };
        assert_eq!(coordinator.judge(&maybe, count, 0), unsure(Unsure::Log));
        let elsewhere = logdir::types::TopicPartition::new("elsewhere", 0);
        let elsewhere = OpenTransaction { partition: elsewhere, ..txn.clone() };
        assert!(matches!(coordinator.judge(&elsewhere, count, 0), Verdict::Hanging(_)));
    }
    let partitions: BTreeSet<_> = open.iter().map(|txn| txn.partition.clone()).collect();
    let expected: BTreeSet<_> = known.state.partitions.iter().cloned().collect();
    assert_eq!(partitions, expected, "the coordinator knows of exactly these");
}
