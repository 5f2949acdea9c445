//! What `logdir recover` makes of damaged partitions, given to a Kafka 4.3: it serves every record that was kept, after a
//! clean start and after a crash, and stays up.
//!
//! Skipped without `LOGDIR_KAFKA_LIBS` or the recorded directories.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/broker.rs"]
mod broker;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use broker::{Broker, Clients, Kafka};
use support::copy::copy;
use support::kafka_data::Case;

/// Their last batch has a checksum that holds and records that no consumer can read: kept, and no use to Kafka.
const UNREADABLE: [&str; 7] =
    ["codec-7", "codec-mismatch", "count-lie", "count-low", "lz4-bomb", "record-length-lie", "zstd-bomb"];

fn logdir(args: &[&str]) -> (Option<i32>, Vec<u8>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    let output = command.env_clear().args(args).stdin(Stdio::null()).output().unwrap();
    (output.status.code(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The topics' records as `logdir consume` reads them, and as Kafka's consumer gets them.
fn compare(what: &str, broker: &Broker, clients: &mut Clients, topics: &[String]) -> usize {
    let file = broker.file("truth.ndjson");
    clients.run(&format!("consume read_uncommitted {} {}", file.display(), topics.join(" ")));
    let served = fs::read(&file).unwrap();
    let (code, kept, said) =
        logdir(&["consume", "-d", broker.data().to_str().unwrap(), "-t", &topics.join(","), "--json"]);
    assert_eq!(code, Some(0), "{what}: {said}");
    let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    assert!(served == kept, "{what}: Kafka serves {} records, {} were kept", lines(&served), lines(&kept));
    lines(&served)
}

/// Nothing was found to be wrong, and nothing was cut.
fn not_damaged(what: &str, broker: &Broker) {
    let log = broker.said_since_start();
    for words in ["Found invalid", "Corrupt", "truncating to", "Deleting segments as part of log recovery", "ERROR"] {
        // Of our partitions: what else a broker says at its start is none of ours.
        let ours = |line: &str| line.contains("partition=v-") || line.contains("/v-");
        let line = log.lines().find(|line| line.contains(words) && ours(line));
        assert_eq!(line, None, "{what}");
    }
}

fn replace(live: &Path, damaged: &Path) {
    let id = fs::read(live.join("partition.metadata")).unwrap();
    fs::remove_dir_all(live).unwrap();
    copy(damaged, live);
    fs::write(live.join("partition.metadata"), id).unwrap();
}

#[test]
fn a_broker_serves_all_that_was_salvaged_and_stays_up() {
    let (Some(kafka), Some(dir)) = (Kafka::find(), support::kafka_data_dir()) else { return };
    let case = Case::open(&dir.join("cases/09-corrupt"));
    let (corrupt, clean) = (case.data().join("corrupt"), case.data().join("clean"));
    let mut topics: Vec<String> = fs::read_dir(&corrupt)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix("-0").map(str::to_owned))
        .filter(|topic| !UNREADABLE.contains(&topic.trim_start_matches("v-")))
        .collect();
    topics.sort();
    let mut broker = Broker::start(&kafka, "");
    let mut clients = broker.clients();
    for topic in &topics {
        clients.run(&format!("create {topic} 1 internal.segment.bytes=6000 index.interval.bytes=300 retention.ms=-1"));
    }
    drop(clients);
    broker.stop();
    let data = broker.data();
    let recover = |mode: &[&str]| {
        let place = ["recover", "-d", data.to_str().unwrap(), "-t", "re:^v-", "--index-interval-bytes", "300"];
        let (code, _, said) = logdir(&[&place[..], &["--in-place", "--execute"], mode].concat());
        assert_eq!(code, Some(0), "{said}");
    };
    let mut start_and_compare = |what: &str, bitflipped: usize| {
        broker.restart();
        let mut clients = broker.clients();
        let all = compare(what, &broker, &mut clients, &topics);
        let one = compare(what, &broker, &mut clients, &["v-bitflip-body-mid".to_owned()]);
        assert_eq!(one, bitflipped, "{what}");
        not_damaged(what, &broker);
        println!(
            "{what}: the broker serves all {all} records kept of {} partitions, {one} of v-bitflip-body-mid",
            topics.len()
        );
        drop(clients);
        // As a crash: it recovers what it does not know to be on disk.
        broker.kill();
        broker.restart();
        let mut clients = broker.clients();
        let again = compare(what, &broker, &mut clients, &topics);
        assert_eq!(again, all, "{what}: after a crash");
        not_damaged(what, &broker);
        let live: PathBuf = broker.data().join("v-bitflip-body-mid-0");
        assert!(live.join(".logdir-kept").is_dir(), "{what}: the broker leaves the originals alone");
        clients.run("produce v-bitflip-body-mid 1 5 20");
        drop(clients);
        broker.stop();
    };
    for topic in &topics {
        replace(&data.join(format!("{topic}-0")), &corrupt.join(format!("{topic}-0")));
    }
    recover(&["--mode", "salvage"]);
    start_and_compare("salvage", 126);
    for topic in &topics {
        replace(&data.join(format!("{topic}-0")), &corrupt.join(format!("{topic}-0")));
    }
    // The replica's ids are those of the cluster it was recorded in.
    recover(&["--mode", "merge", "--from", clean.to_str().unwrap(), "--force"]);
    start_and_compare("merge", 130);
}
