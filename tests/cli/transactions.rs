//! `logdir transactions`: what a person and a script see of transactions.

use serde_json::Value;

use super::support::{copied, fixture, run, state_of};

fn data() -> String {
    fixture("transactions/data").display().to_string()
}

fn rows(args: &[&str]) -> (i32, Vec<Value>, String) {
    let (code, stdout, stderr) = run(&[&["transactions"], args, &["--json"]].concat());
    (code, stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), stderr)
}

#[test]
fn ids_are_listed_with_what_their_coordinator_knows() {
    let (code, all, stderr) = rows(&["list", "-d", &data()]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let ids: Vec<_> = all.iter().map(|row| row["transactional_id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted() && ids.contains(&"tx-0") && ids.contains(&"tx-hang"), "{ids:?}");
    assert!(all.iter().all(|row| row["type"] == "transactional_id" && row["coordinator_broker"] == 1), "{all:?}");
    let (_, commits, _) = rows(&["list", "-d", &data(), "--state", "completecommit"]);
    assert!(!commits.is_empty() && commits.len() < all.len());
    assert!(commits.iter().all(|row| row["state"] == "CompleteCommit"));
    let (_, some, _) = rows(&["list", "-d", &data(), "--transactional-id-pattern", "tx-[01]"]);
    assert_eq!(some.len(), 2, "the whole id must match: {some:?}");
    let (_, none, _) = rows(&["list", "-d", &data(), "--transactional-id-pattern", "tx-"]);
    assert!(none.is_empty());
    let (code, table, _) = run(&["transactions", "list", "-d", &data(), "--output", "kafka"]);
    assert_eq!(code, 0);
    assert!(table.starts_with("TransactionalId\tCoordinator\tProducerId\tTransactionState\t\n"), "{table}");
    let (code, _, stderr) = run(&["transactions", "list", "-d", &data(), "--state", "open"]);
    assert!(code == 2 && stderr.contains("expected one of Empty, Ongoing"), "{stderr}");
}

/// `tx-hang` of the fixture is open in two partitions, with a timeout of 15 minutes.
#[test]
fn what_is_open_is_found_in_the_partitions_and_judged() {
    let (code, late, _) = rows(&["find-hanging", "-d", &data()]);
    assert_eq!((code, late.len()), (1, 2), "{late:?}");
    for row in &late {
        assert_eq!((&row["verdict"], &row["transactional_id"]), (&"expired".into(), &"tx-hang".into()), "{row}");
        assert_eq!(row["holds_last_stable_offset"], true, "{row}");
        assert!(row["records"].as_i64().unwrap() > 0 && row["blocked_offsets"].as_i64().unwrap() > 0, "{row}");
    }
    // Kafka's tool leaves those to their coordinator.
    let (code, table, _) = run(&["transactions", "find-hanging", "-d", &data(), "--output", "kafka"]);
    assert_eq!((code, table.lines().count()), (0, 1), "{table}");
    let then = "2026-11-22T13:06:00Z";
    let (code, none, _) = rows(&["find-hanging", "-d", &data(), "--now", then]);
    assert_eq!((code, none.len()), (0, 0), "{none:?}");
    let (_, listed, _) = rows(&["list", "--by", "partition", "-d", &data(), "-t", "txn-a", "--now", then]);
    assert_eq!((listed.len(), &listed[0]["verdict"]), (1, &"open".into()), "{listed:?}");

    let (_temp, dir) = copied("transactions/data");
    let path = dir.display().to_string();
    let log = dir.join("__transaction_state-2/00000000000000000000.log");
    std::fs::write(&log, b"").unwrap();
    let (code, found, _) = rows(&["find-hanging", "-d", &path, "--now", then]);
    assert_eq!((code, found.len()), (1, 2), "{found:?}");
    for row in &found {
        assert_eq!((&row["verdict"], &row["transactional_id"]), (&"hanging".into(), &Value::Null), "{row}");
        assert!(row["reason"].as_str().unwrap().contains("no marker will ever come"), "{row}");
    }
    let (code, table, _) = run(&["transactions", "find-hanging", "-d", &path, "--output", "kafka"]);
    assert_eq!((code, table.lines().count()), (1, 3), "{table}");
    // With a part of the coordinator's topic missing nothing can be said.
    std::fs::remove_dir_all(dir.join("__transaction_state-2")).unwrap();
    let (code, found, stderr) = rows(&["find-hanging", "-d", &path]);
    assert_eq!((code, found.len()), (0, 0), "{found:?}");
    assert!(stderr.contains("2 open transactions cannot be judged"), "{stderr}");
    let (_, listed, _) = rows(&["list", "--by", "partition", "-d", &path]);
    assert!(listed.len() == 2 && listed.iter().all(|row| row["verdict"] == "unknown"), "{listed:?}");
}

#[test]
fn nothing_is_written() {
    let (_temp, dir) = copied("transactions/data");
    let path = dir.display().to_string();
    let before = state_of(&dir);
    for args in [&["list"][..], &["list", "--by", "partition"], &["find-hanging"], &["describe", "tx-0"]] {
        run(&[&["transactions"], args, &["-d", &path]].concat());
    }
    assert_eq!(before, state_of(&dir));
}

#[test]
fn an_id_is_described_and_an_unknown_one_placed() {
    let (code, found, _) = rows(&["describe", "tx-0", "-d", &data()]);
    assert_eq!((code, found.len(), &found[0]["transactional_id"]), (0, 1, &Value::from("tx-0")));
    let (code, _, stderr) = run(&["transactions", "describe", "nope", "-d", &data()]);
    assert_eq!(code, 3);
    assert!(
        stderr.contains("transactional id 'nope' not found") && stderr.contains("__transaction_state-2"),
        "{stderr}"
    );
    let (code, table, _) =
        run(&["transactions", "describe", "--transactional-id", "tx-0", "-d", &data(), "--output", "kafka"]);
    assert!(code == 0 && table.contains("\tCurrentTransactionStartTimeMs\t"), "{table}");
    let (_temp, dir) = copied("transactions/data");
    std::fs::remove_dir_all(dir.join("__transaction_state-2")).unwrap();
    let (code, _, stderr) = run(&["transactions", "describe", "nope", "-d", dir.to_str().unwrap()]);
    assert!(code == 3 && stderr.contains("which is not in these directories"), "{stderr}");
    assert!(stderr.contains("1 of 3 partitions of __transaction_state"), "{stderr}");
}

#[test]
fn producers_of_a_partition_are_described() {
    let (code, found, stderr) = rows(&["describe-producers", "-d", &data(), "-t", "txn-a", "-p", "0"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(found.iter().any(|row| row["producer_id"].as_i64() == Some(7)), "{found:?}");
    let (code, table, _) =
        run(&["transactions", "describe-producers", "-d", &data(), "-t", "txn-a", "-p", "0", "--output", "kafka"]);
    assert!(code == 0 && table.lines().count() == found.len() + 1, "{table}");
    let (code, _, stderr) = run(&["transactions", "describe-producers", "-d", &data(), "--output", "kafka"]);
    assert!(code == 2 && stderr.contains("-t TOPIC -p N"), "{stderr}");
    let (code, _, _) = run(&["transactions", "describe-producers", "-d", &data(), "-t", "nowhere"]);
    assert_eq!(code, 3);
}

/// Of a producer that no id here has it is not known whether one elsewhere has it: a disk alone says nothing of the others.
#[test]
fn what_is_missing_or_damaged_is_not_taken_for_hanging() {
    let then = "2026-11-22T13:06:00Z";
    let verdicts = |dir: &str| -> (i32, Vec<Value>) {
        let (code, found, _) = rows(&["list", "--by", "partition", "-d", dir, "--now", then]);
        (code, found.iter().map(|row| row["verdict"].clone()).collect())
    };
    // A second disk, without the metadata log and without the coordinator's other partitions.
    let (_temp, dir) = copied("transactions/data");
    for name in ["__cluster_metadata-0", "__transaction_state-1", "__transaction_state-2"] {
        std::fs::remove_dir_all(dir.join(name)).unwrap();
    }
    assert_eq!(verdicts(dir.to_str().unwrap()), (0, vec!["unknown".into(); 2]));
    // Records of the coordinator that cannot be read.
    let (_temp, dir) = copied("transactions/data");
    let log = dir.join("__transaction_state-2/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).unwrap();
    let len = bytes.len();
    for at in (0..len).step_by(40) {
        bytes[at] ^= 0x55;
    }
    std::fs::write(&log, bytes).unwrap();
    assert_eq!(verdicts(dir.to_str().unwrap()), (1, vec!["unknown".into(); 2]));
    let (code, _, stderr) = run(&["transactions", "describe", "tx-hang", "-d", dir.to_str().unwrap()]);
    assert!(code == 3 && stderr.contains("where records cannot be read"), "{code} {stderr}");
}

#[test]
fn a_snapshot_beyond_the_log_end_is_not_believed() {
    let (_temp, dir) = copied("transactions/data");
    let logs = std::fs::read_dir(dir.join("txn-a-0")).unwrap().flatten().map(|entry| entry.path());
    let last = logs.filter(|path| path.extension().is_some_and(|end| end == "log")).max().unwrap();
    std::fs::write(last, b"").unwrap();
    let (_, open, _) = rows(&["list", "--by", "partition", "-d", dir.to_str().unwrap(), "-t", "txn-a"]);
    for row in &open {
        assert!(row["records"].as_i64().unwrap() > 0 && row["first_offset"].as_i64().unwrap() < 97, "{row}");
    }
}

#[test]
fn a_pattern_matches_ids_from_end_to_end() {
    let count = |pattern: &str| rows(&["list", "-d", &data(), "--transactional-id-pattern", pattern]).1.len();
    assert_eq!((count("tx|tx-0"), count("tx-0|tx"), count("x-0")), (1, 1, 0));
    assert_eq!(run(&["transactions", "list", "-d", &data(), "--transactional-id-pattern", "("]).0, 2);
}
