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

/// The last transaction of producer 18 in txn-b-0 is over: its marker is the batch at position 2316 of the last segment.
/// Nothing but the log knows that once the snapshot behind it is gone, and then a damaged marker is no missing one.
#[test]
fn a_damaged_marker_does_not_make_a_transaction_hang() {
    let (_temp, dir) = copied("transactions/data");
    let path = dir.display().to_string();
    let partition = dir.join("txn-b-0");
    std::fs::remove_file(partition.join("00000000000000000159.snapshot")).unwrap();
    let find = || rows(&["find-hanging", "-d", &path, "-t", "txn-b", "--now", "2026-11-22T13:06:00Z"]);
    let (code, found, stderr) = find();
    assert_eq!((code, found.len(), stderr.as_str()), (0, 0, ""));
    let log = partition.join("00000000000000000134.log");
    let sound = std::fs::read(&log).unwrap();
    // Its key, which only the checksum tells; its length, after which no batch is framed there.
    for (at, said) in [(2316 + 70, "stored CRC"), (2316 + 8, "needs ")] {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x55;
        std::fs::write(&log, &bytes).unwrap();
        let (code, found, stderr) = find();
        assert_eq!((code, found.len()), (1, 0), "{found:?} {stderr}");
        let error: Value = serde_json::from_str(stderr.lines().next().unwrap()).unwrap();
        assert!(error["path"].as_str().unwrap().ends_with("txn-b-0/00000000000000000134.log"), "{error}");
        assert!(error["position"] == 2316 && error["message"].as_str().unwrap().contains(said), "{error}");
        assert!(stderr.contains("1 open transactions cannot be judged: their marker may have stood"), "{stderr}");
        let (_, listed, _) = rows(&["list", "--by", "partition", "-d", &path, "-t", "txn-b"]);
        let of_18: Vec<_> = listed.iter().filter(|row| row["producer_id"] == 18).collect();
        assert!(of_18.len() == 1 && of_18[0]["verdict"] == "unknown", "{listed:?}");
        let (code, _, stderr) = run(&["transactions", "describe-producers", "-d", &path, "-t", "txn-b"]);
        assert!(code == 1 && stderr.contains("batch at position 2316"), "{code} {stderr}");
    }
    // Damage in front of a transaction ends none: the batch before its first.
    let mut bytes = sound.clone();
    bytes[2118 + 70] ^= 0x55;
    std::fs::write(&log, &bytes).unwrap();
    let (_, listed, _) = rows(&["list", "--by", "partition", "-d", &path, "-t", "txn-b"]);
    let of_21 = listed.iter().find(|row| row["producer_id"] == 21).unwrap();
    assert_eq!(of_21["verdict"], "expired", "{listed:?}");
}

#[test]
fn a_topic_that_is_nowhere_is_no_empty_answer() {
    for verb in [&["find-hanging"][..], &["list"], &["list", "--by", "partition"], &["describe-producers"]] {
        let (code, stdout, stderr) = run(&[&["transactions"], verb, &["-d", &data(), "-t", "txn-q"]].concat());
        assert_eq!((code, stdout.as_str()), (3, ""), "{verb:?}: {stderr}");
        assert!(stderr.contains("topic 'txn-q' not found in ") && stderr.contains("did you mean 'txn-a'?"), "{stderr}");
    }
    let (code, _, stderr) = run(&["transactions", "find-hanging", "-d", &data(), "-t", "txn-a", "-p", "7"]);
    assert!(code == 3 && stderr.contains("no such partition in these directories"), "{code} {stderr}");
    // A pattern that finds something, and a topic of which only the coordinator knows.
    assert_eq!(run(&["transactions", "list", "-d", &data(), "-t", "re:^txn"]).0, 0);
    let (_temp, dir) = copied("transactions/data");
    std::fs::remove_dir_all(dir.join("__cluster_metadata-0")).unwrap();
    for name in ["txn-b-0", "txn-b-1"] {
        std::fs::remove_dir_all(dir.join(name)).unwrap();
    }
    let (code, found, stderr) = rows(&["list", "-d", dir.to_str().unwrap(), "-t", "txn-b"]);
    assert!(code == 0 && found.len() == 1, "{code} {found:?} {stderr}");
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_answered() {
    let (temp, dir) = copied("transactions/data");
    let path = dir.display().to_string();
    let missing = temp.path().join("missing").display().to_string();
    let both = format!("{missing},{path}");
    let (code, found, stderr) = rows(&["find-hanging", "-d", &both]);
    assert_eq!((code, found.len()), (3, 2), "{stderr}");
    assert!(stderr.contains("missing\"") && stderr.contains("\"code\":\"not_found\""), "{stderr}");
    // A pipe in place of a log: opening it would wait for ever.
    let log = dir.join("txn-a-0/00000000000000000001.log");
    std::fs::remove_file(&log).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&log).status().unwrap().success());
    let (code, found, stderr) = rows(&["find-hanging", "-d", &path]);
    assert!(code == 3 && found.len() == 1 && found[0]["topic"] == "txn-b", "{found:?}");
    assert!(stderr.contains("txn-a-0/00000000000000000001.log"), "{stderr}");
    let (code, found, stderr) = rows(&["describe-producers", "-d", &path]);
    assert!(code == 3 && found.iter().any(|row| row["topic"] == "txn-b"), "{stderr}");
    assert!(found.iter().all(|row| row["topic"] != "txn-a" || row["partition"] != 0), "{found:?}");
    // The same in the coordinator's topic: its ids are not certain.
    let log = dir.join("__transaction_state-0/00000000000000000000.log");
    std::fs::remove_file(&log).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&log).status().unwrap().success());
    let (code, found, stderr) = rows(&["list", "-d", &path]);
    assert!(code == 3 && !found.is_empty(), "{found:?}");
    assert!(found.iter().all(|row| row["coordinator_partition"] != 0) && stderr.contains("__transaction_state-0"));
    let (code, _, stderr) = run(&["transactions", "list", "-d", &missing]);
    assert!(code == 3 && stderr.contains("missing: "), "{code} {stderr}");
}

#[test]
fn describe_gives_the_partitions_of_an_id_on_stdout() {
    let (code, stdout, stderr) = run(&["transactions", "describe", "tx-hang", "-d", &data()]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let rows: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let head = rows.iter().position(|row| row == &["TRANSACTIONAL_ID", "TOPIC", "PARTITION"]).unwrap();
    assert_eq!(rows[head + 1..head + 3], [["tx-hang", "txn-a", "0"], ["tx-hang", "txn-b", "0"]], "{stdout}");
}

/// Clocks of brokers differ: what is dated behind the moment that ages count to is in the future, and no older than that.
#[test]
fn a_moment_is_given_as_elsewhere_and_the_future_has_a_negative_age() {
    let list = |now: &str| run(&["transactions", "list", "-d", &data(), "--state", "ongoing", "--now", now]);
    assert_eq!(list("@2026-11-22T13:06:00Z"), list("2026-11-22T13:06:00Z"));
    let (code, stdout, _) = list("@2026-11-22T13:04:00Z");
    assert!(code == 0 && stdout.contains("  -59s  "), "{stdout}");
    let (_, found, _) = rows(&["find-hanging", "-d", &data(), "--now", "@2026-11-22T13:04:00Z"]);
    assert!(found.is_empty(), "{found:?}");
}
