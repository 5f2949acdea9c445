//! `logdir produce` to the log directories of several brokers: replicas of one partition are written to together.

use std::path::{Path, PathBuf};

use super::support::{logdir, run, state_of};

const CLUSTER: &str = "5L6g3nShT-eMCtK--X86sw";

/// Empty log directories of brokers 0, 1, 2 of one cluster.
fn brokers(root: &Path) -> Vec<PathBuf> {
    (0..3)
        .map(|node| {
            let dir = root.join(format!("broker-{node}"));
            let id = logdir::storage::create::random_uuid().unwrap();
            logdir::storage::create::log_dir(&dir, CLUSTER, node, id).unwrap();
            dir
        })
        .collect()
}

/// Runs with the log directories and this on stdin: exit code and stderr.
fn produce(dirs: &[PathBuf], args: &[&str], input: &str) -> (i32, String) {
    let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    let dirs = dirs.join(",");
    let args = [&["produce", "-d", &dirs], args].concat();
    let output = logdir(&args).write_stdin(input).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Every file of a partition directory but its recovery's, and what the checkpoints of the log directory say.
fn replica(dir: &Path, partition: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(dir.join(partition))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
        })
        .collect();
    for name in ["replication-offset-checkpoint", "recovery-point-offset-checkpoint"] {
        files.push((name.to_owned(), std::fs::read(dir.join(name)).unwrap()));
    }
    files.sort();
    files
}

fn values(dir: &Path) -> String {
    let (code, stdout, stderr) = run(&["consume", "-d", dir.to_str().unwrap(), "-f", "%o:%s "]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    stdout
}

#[test]
fn all_replicas_get_the_same_bytes() {
    let temp = tempfile::tempdir().unwrap();
    let dirs = brokers(temp.path());
    let input: String = (0..2000).map(|number| format!("k{number}:v{number}\n")).collect();
    let args = ["-t", "orders", "-K", ":", "--acks", "all", "--min-insync-replicas", "2"];
    let (code, stderr) = produce(&dirs, &[&args[..], &["--create", "2", "-z", "lz4"]].concat(), &input);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("2000 records to 2 partitions"), "{stderr}");
    for partition in ["orders-0", "orders-1"] {
        let leader = replica(&dirs[0], partition);
        assert!(leader.iter().any(|(name, bytes)| name.ends_with(".log") && bytes.len() > 10_000));
        assert_eq!(leader, replica(&dirs[1], partition));
        assert_eq!(leader, replica(&dirs[2], partition));
    }
    let marks = std::fs::read_to_string(dirs[2].join("replication-offset-checkpoint")).unwrap();
    let sum: u64 = marks.lines().skip(2).map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sum, 2000, "the high watermarks are the log ends: {marks}");
    for dir in &dirs {
        assert!(dir.join(".kafka_cleanshutdown").is_file());
    }
    let (code, stderr) = produce(&dirs, &args, "k1:again\n");
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(values(&dirs[0]), values(&dirs[1]));
    let named: Vec<&str> = dirs.iter().map(|dir| dir.to_str().unwrap()).collect();
    for dir in named {
        assert_eq!(run(&["verify", dir]).0, 0);
    }
}

#[test]
fn a_follower_that_lags_copies_first() {
    let temp = tempfile::tempdir().unwrap();
    let dirs = brokers(temp.path());
    assert_eq!(produce(&dirs, &["-t", "orders", "--create", "1"], "one\ntwo\n").0, 0);
    // Only broker 1 gets these; it reaches furthest then.
    assert_eq!(produce(&dirs[1..2], &["-t", "orders"], "three\nfour\n").0, 0);
    let before = state_of(temp.path());
    let (code, stderr) = produce(&dirs, &["-t", "orders", "-n"], "five\n");
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("orders-0: broker 0 would copy offsets 2..4 from broker 1"), "{stderr}");
    assert_eq!(before, state_of(temp.path()), "a dry run writes nothing");
    let (code, stderr) = produce(&dirs, &["-t", "orders", "-v"], "five\n");
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("broker 1 leads from offset 4, broker 0 and broker 2 follow"), "{stderr}");
    assert!(stderr.contains("broker 0 copied offsets 2..4 from broker 1"), "{stderr}");
    for dir in &dirs {
        assert_eq!(values(dir), "0:one 1:two 2:three 3:four 4:five ");
    }
    assert_eq!(replica(&dirs[0], "orders-0"), replica(&dirs[2], "orders-0"));
}

#[test]
fn a_log_that_goes_on_differently_is_cut_only_on_request() {
    let temp = tempfile::tempdir().unwrap();
    let played = temp.path().join("played");
    // S11 up to where the old leader is down: it has m1 and m2, which the new one replaced by m3.
    let args = [
        "simulate-failover",
        "run",
        "acks-one-loss",
        "--variant",
        "acks=1",
        "--until",
        "18",
        "--dirs",
        played.to_str().unwrap(),
    ];
    let (code, _, stderr) = run(&args);
    assert!(code <= 1, "{stderr}");
    let dirs: Vec<PathBuf> = (0..3).map(|node| played.join(format!("broker-{node}"))).collect();
    let (topic, _) = topic_of(&dirs[0]);
    assert_ne!(values(&dirs[0]), values(&dirs[1]), "they differ to begin with");
    let before = state_of(&played);
    let (code, stderr) = produce(&dirs, &["-t", &topic], "new\n");
    assert_eq!(code, 4, "{stderr}");
    let refused = "from offset 1 on the log of broker 0 is not that of broker 1: it would be cut there, it goes to 3";
    assert!(stderr.contains(refused), "{stderr}");
    assert!(stderr.contains("--allow-truncate"), "{stderr}");
    assert_eq!(before, state_of(&played), "what is refused changes nothing");
    assert_eq!(produce(&dirs, &["-t", &topic, "-n"], "new\n").0, 4, "and so it is told beforehand");
    let (code, stderr) = produce(&dirs, &["-t", &topic, "--allow-truncate"], "new\n");
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("the log of broker 0 was cut at 1, it went to 3"), "{stderr}");
    assert_eq!(values(&dirs[0]), values(&dirs[1]));
    assert_eq!(values(&dirs[0]), values(&dirs[2]));
    assert!(values(&dirs[0]).ends_with("new "));
    for dir in &dirs {
        assert_eq!(high_watermark(dir, &topic), 3, "the log end");
        assert_eq!(run(&["verify", dir.to_str().unwrap()]).0, 0);
    }
}

/// Of partition 0.
fn high_watermark(dir: &Path, topic: &str) -> u64 {
    let text = std::fs::read_to_string(dir.join("replication-offset-checkpoint")).unwrap();
    let entry = text.lines().find_map(|line| line.strip_prefix(&format!("{topic} 0 "))).unwrap();
    entry.parse().unwrap()
}

/// One record at `offset` in leader epoch `epoch`, by one broker alone.
fn at(dir: &Path, offset: u64, epoch: u32, value: &str) {
    let row = format!(
        "{{\"topic\":\"orders\",\"partition\":0,\"offset\":{offset},\"leader_epoch\":{epoch},\"timestamp_ms\":1,\"value\":\"{value}\"}}\n"
    );
    let (code, stderr) = produce(&[dir.to_owned()], &["--input", "json", "--keep-offsets"], &row);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn high_watermarks_are_right_when_a_longer_log_was_cut() {
    let temp = tempfile::tempdir().unwrap();
    let dirs = brokers(temp.path());
    assert_eq!(produce(&dirs, &["-t", "orders", "--create", "1"], "one\ntwo\n").0, 0);
    let many: String = (0..10_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(produce(&dirs[..1], &["-t", "orders"], &many).0, 0);
    at(&dirs[1], 2, 1, "of the next leader");
    let (code, stderr) = produce(&dirs, &["-t", "orders", "--allow-truncate"], "new\n");
    assert_eq!(code, 0, "{stderr}");
    for dir in &dirs {
        assert_eq!(
            (values(dir).as_str(), high_watermark(dir, "orders")),
            ("0:one 1:two 2:of the next leader 3:new ", 4)
        );
        assert_eq!(run(&["verify", dir.to_str().unwrap()]).0, 0);
    }
}

#[test]
fn a_high_watermark_that_stands_still_stays_through_many_batches() {
    let temp = tempfile::tempdir().unwrap();
    let dirs = brokers(temp.path());
    assert_eq!(produce(&dirs, &["-t", "orders", "--create", "1"], "one\n").0, 0);
    let many: String = (0..3000).map(|number| format!("{number}\n")).collect();
    let args = ["-t", "orders", "--acks", "1", "--min-insync-replicas", "3", "--batch-size", "1"];
    let (code, stderr) = produce(&dirs[..2], &args, &many);
    assert_eq!(code, 0, "{stderr}");
    let batches = stderr.split(" batches").next().and_then(|text| text.rsplit(' ').next());
    assert!(batches.is_some_and(|batches| batches.parse::<u32>().unwrap() > 1100), "{stderr}");
    assert_eq!([0, 1].map(|broker| high_watermark(&dirs[broker], "orders")), [1, 1]);
}

#[test]
fn other_records_of_the_same_leader_epoch_are_not_taken_for_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let dirs = brokers(temp.path());
    assert_eq!(produce(&dirs, &["-t", "orders", "--create", "1"], "one\n").0, 0);
    assert_eq!(produce(&dirs[..1], &["-t", "orders"], "A\n").0, 0);
    assert_eq!(produce(&dirs[1..], &["-t", "orders"], "B\n").0, 0);
    let before = state_of(temp.path());
    let (code, stderr) = produce(&dirs, &["-t", "orders"], "new\n");
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("hold other records of the same leader epoch: the batches at offset 1 differ"), "{stderr}");
    assert_eq!(before, state_of(temp.path()));
}

#[test]
fn what_a_follower_lacks_is_copied_in_pieces_that_fit_a_segment() {
    let temp = tempfile::tempdir().unwrap();
    let dirs = brokers(temp.path());
    assert_eq!(produce(&dirs, &["-t", "orders", "--create", "1"], "one\n").0, 0);
    let many: String = (0..40_000).map(|number| format!("{number} {}\n", "x".repeat(60))).collect();
    let args = ["-t", "orders", "--segment-bytes", "1048576"];
    assert_eq!(produce(&dirs[..1], &args, &many).0, 0);
    let (code, stderr) = produce(&dirs, &args, "last\n");
    assert_eq!(code, 0, "{stderr}");
    assert!(values(&dirs[0]) == values(&dirs[2]), "all have all");
    assert_eq!(high_watermark(&dirs[2], "orders"), 40_002);
}

#[test]
fn what_is_refused_for_one_partition_leaves_all_as_they_were() {
    let temp = tempfile::tempdir().unwrap();
    let dirs = brokers(temp.path());
    let before = state_of(temp.path());
    let args = ["-t", "orders", "--create", "2", "--min-insync-replicas", "9"];
    let (code, stderr) = produce(&dirs, &args, "one\n");
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("NOT_ENOUGH_REPLICAS: 3 in sync, min.insync.replicas is 9"), "{stderr}");
    assert_eq!(before, state_of(temp.path()), "not even made");
}

fn topic_of(dir: &Path) -> (String, i32) {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let name = names.filter(|name| !name.starts_with('.')).find(|name| dir.join(name).is_dir()).unwrap();
    let (topic, partition) = name.rsplit_once('-').unwrap();
    (topic.to_owned(), partition.parse().unwrap())
}

#[test]
fn too_few_in_sync_are_refused_with_kafkas_word() {
    let temp = tempfile::tempdir().unwrap();
    let dirs = brokers(temp.path());
    assert_eq!(produce(&dirs, &["-t", "orders", "--create", "1"], "one\n").0, 0);
    let args = ["-t", "orders", "--min-insync-replicas", "3"];
    let before = values(&dirs[0]);
    let (code, stderr) = produce(&dirs[..2], &args, "two\n");
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("orders-0: NOT_ENOUGH_REPLICAS: 2 in sync, min.insync.replicas is 3"), "{stderr}");
    assert_eq!(values(&dirs[0]), before);
    // acks=1 does not ask, and the high watermark stays where it was (KIP-966).
    let (code, stderr) = produce(&dirs[..2], &[&args[..], &["--acks", "1"]].concat(), "two\n");
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(values(&dirs[1]), "0:one 1:two ");
    let marks = std::fs::read_to_string(dirs[0].join("replication-offset-checkpoint")).unwrap();
    assert_eq!(marks, "0\n1\norders 0 1\n");
}

#[test]
fn directories_of_two_topics_of_one_name_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dirs = brokers(temp.path());
    for dir in &dirs[..2] {
        let (code, stderr) = produce(std::slice::from_ref(dir), &["-t", "orders", "--create", "1"], "one\n");
        assert_eq!(code, 0, "{stderr}");
    }
    let (code, stderr) = produce(&dirs[..2], &["-t", "orders"], "two\n");
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("orders-0 is of topic id"), "{stderr}");
}

#[test]
fn a_run_that_was_killed_is_made_good_by_the_next() {
    let temp = tempfile::tempdir().unwrap();
    let dirs = brokers(temp.path());
    assert_eq!(produce(&dirs, &["-t", "orders", "--create", "1"], "first\n").0, 0);
    // In an order in which the leader is not the first that is flushed.
    let named: Vec<String> = dirs.iter().rev().map(|dir| dir.display().to_string()).collect();
    for round in 0..4_u64 {
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_logdir"))
            .args(["produce", "-d", &named.join(","), "-t", "orders"])
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = process.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            use std::io::Write;
            while writeln!(stdin, "{}", "x".repeat(100)).is_ok() {}
        });
        std::thread::sleep(std::time::Duration::from_millis(60 + 70 * round));
        process.kill().unwrap();
        process.wait().unwrap();
        writer.join().unwrap();
    }
    let (mut code, mut stderr) = produce(&dirs, &["-t", "orders"], "last\n");
    if code == 4 && stderr.contains("a batch cut short") {
        // Killed within a write: as in a single directory, that is not cut off without being asked for.
        (code, stderr) = produce(&dirs, &["-t", "orders", "--allow-truncate"], "last\n");
    }
    assert_eq!(code, 0, "{stderr}");
    assert!(!stderr.contains(" was cut at "), "no follower is ahead of its leader: {stderr}");
    let all: Vec<String> = dirs.iter().map(|dir| values(dir)).collect();
    assert!(all[0].starts_with("0:first 1:x") && all[0].ends_with("last "));
    assert!(all[0] == all[1] && all[1] == all[2], "the replicas are level");
    for dir in &dirs {
        assert_eq!(run(&["verify", dir.to_str().unwrap()]).0, 0);
    }
}
