//! Directories of a Kafka that runs, was killed or stopped, read beside it: what `logdir` prints is what
//! Kafka's own consumer gets, byte for byte.
//!
//! Skipped without `LOGDIR_KAFKA_LIBS`; `LOGDIR_LIVE_REPEATS` asks for more rounds (a thorough run: 10).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/broker.rs"]
mod broker;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use broker::{Broker, Clients, Kafka, terminate};
use logdir::batch::control::TransactionMarker;
use logdir::batch::legacy::{self, LegacyMagic, MessageSetSpec};
use logdir::batch::{BatchBuilder, BatchSpec, Compression, Compressor, NewHeader, NewRecord, Timestamps};
use logdir::types::{Codec, LeaderEpoch, Offset, ProducerId};
use serde_json::Value;

/// Segments so small that every kind of roll, merge and deletion happens within seconds.
const SMALL: &str = "internal.segment.bytes=16384 index.interval.bytes=1024 retention.ms=-1";
const LEVELS: [&str; 2] = ["read_uncommitted", "read_committed"];

fn repeats() -> u64 {
    std::env::var("LOGDIR_LIVE_REPEATS").ok().map_or(1, |text| text.parse().expect("LOGDIR_LIVE_REPEATS: a number"))
}

fn logdir() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    command.env_clear().arg("consume").stdin(Stdio::null());
    command
}

/// What a run printed; it must end well and complain about nothing.
fn printed(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{command:?}: {said}");
    assert!(!said.contains("error"), "{command:?}: {said}");
    output.stdout
}

fn consume(data: &Path, topics: &[&str], level: &str) -> Vec<u8> {
    printed(logdir().arg("-d").arg(data).args(["-t", &topics.join(","), "--json", "--isolation-level", level]))
}

/// Lines that are equal, or a panic about the first that is not.
fn same(what: &str, found: &[u8], expected: &[u8]) -> usize {
    if found != expected {
        let found: Vec<_> = found.split(|byte| *byte == b'\n').map(String::from_utf8_lossy).collect();
        let expected: Vec<_> = expected.split(|byte| *byte == b'\n').map(String::from_utf8_lossy).collect();
        for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "{what}: line {number}");
        }
        panic!("{what}: {} lines, Kafka has {}", found.len(), expected.len());
    }
    bytecount(expected)
}

fn bytecount(lines: &[u8]) -> usize {
    lines.iter().filter(|byte| **byte == b'\n').count()
}

/// What Kafka's consumer gets of the topics, at each isolation level.
fn truth(broker: &Broker, clients: &mut Clients, topics: &[&str]) -> [Vec<u8>; 2] {
    LEVELS.map(|level| {
        let file = broker.file("truth.ndjson");
        clients.run(&format!("consume {level} {} {}", file.display(), topics.join(" ")));
        fs::read(&file).unwrap()
    })
}

fn compare(what: &str, broker: &Broker, topics: &[&str], truth: &[Vec<u8>; 2]) {
    for (level, truth) in LEVELS.iter().zip(truth) {
        let records = same(&format!("{what}, {level}"), &consume(&broker.data(), topics, level), truth);
        println!("{what}, {level}: {records} records are the same");
    }
}

#[test]
fn records_are_what_a_consumer_gets_from_a_broker_that_runs_was_killed_or_stopped() {
    let Some(kafka) = Kafka::find() else { return };
    let mut broker = Broker::start(&kafka, "");
    let mut clients = broker.clients();
    let topics = ["append", "mixed", "open", "transactions", "whole"];
    clients.run(&format!("create append 1 {SMALL} message.timestamp.type=LogAppendTime"));
    clients.run(&format!("create mixed 3 {SMALL}"));
    clients.run(&format!("create open 2 {SMALL}"));
    clients.run(&format!("create transactions 2 {SMALL}"));
    clients.run("create whole 2 retention.ms=-1");
    let produce = |clients: &mut Clients, seed: u64| {
        clients.run(&format!("produce append 1 {seed} 100"));
        clients.run(&format!("produce mixed 3 {} 150", seed + 1));
        clients.run(&format!("produce whole 2 {} 100", seed + 2));
        clients.run(&format!("transactions transactions 2 {} 60 closed", seed + 3));
    };
    for round in 0..repeats() {
        produce(&mut clients, 100 * round);
    }
    clients.run("transactions open 2 5 60 open");
    let before = truth(&broker, &mut clients, &topics);
    assert!(bytecount(&before[1]) + 50 < bytecount(&before[0]), "aborted and open transactions are left out");
    compare("running", &broker, &topics, &before);
    times(&broker, &mut clients, &before[0]);

    broker.kill();
    compare("killed", &broker, &topics, &before);

    broker.restart();
    produce(&mut clients, 77_000);
    let after = truth(&broker, &mut clients, &topics);
    assert!(bytecount(&after[0]) > bytecount(&before[0]));
    compare("running again", &broker, &topics, &after);
    broker.stop();
    compare("stopped", &broker, &topics, &after);
}

/// The first offset at or after a time is the one that the broker names.
fn times(broker: &Broker, clients: &mut Clients, records: &[u8]) {
    let mut stamps: BTreeMap<(String, i64), Vec<i64>> = BTreeMap::new();
    for line in records.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let record: Value = serde_json::from_slice(line).unwrap();
        let partition = (record["topic"].as_str().unwrap().to_owned(), record["partition"].as_i64().unwrap());
        stamps.entry(partition).or_default().push(record["timestamp_ms"].as_i64().unwrap());
    }
    let mut compared = 0;
    for ((topic, partition), stamps) in stamps {
        let (min, max) = (*stamps.iter().min().unwrap(), *stamps.iter().max().unwrap());
        let mut asked = vec![min - 1, min, max, max + 1];
        // Exact timestamps and those between them, spread over the log.
        let step = stamps.len() / (15 * usize::try_from(repeats()).unwrap()).min(stamps.len()).max(1);
        asked.extend(stamps.iter().step_by(step.max(1)).flat_map(|stamp| [*stamp, stamp + 1]));
        let list: Vec<_> = asked.iter().map(i64::to_string).collect();
        let answer = clients.run(&format!("offsets {topic} {partition} {}", list.join(" ")));
        let expected: Vec<i64> = answer.split(' ').map(|offset| offset.parse().unwrap()).collect();
        for (ms, expected) in asked.iter().zip(expected) {
            let dir = broker.data().join(format!("{topic}-{partition}"));
            // A marker of a transaction is an answer too.
            let range = format!("@{ms}");
            let args = ["-o", &range, "-c", "1", "-f", "%o", "--print-control-records"];
            let found = printed(logdir().arg(dir).args(args));
            let found = String::from_utf8(found).unwrap();
            let expected = if expected < 0 { String::new() } else { expected.to_string() };
            assert_eq!(found, expected, "{topic}-{partition} at {ms}");
            compared += 1;
        }
    }
    println!("offsets by time: {compared} are the same");
}

/// A `consume --follow` that runs, and the lines it printed so far.
struct Follow {
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    stderr: PathBuf,
}

impl Follow {
    fn start(data: &Path, topic: &str, level: &str, stderr: PathBuf) -> Follow {
        let mut command = logdir();
        command.arg("-d").arg(data).args(["-t", topic, "--follow", "--isolation-level", level, "-f", "%p %o %s\\n"]);
        let mut process =
            command.stdout(Stdio::piped()).stderr(fs::File::create(&stderr).unwrap()).spawn().expect("logdir runs");
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                sink.lock().unwrap().push(line);
            }
        });
        Follow { process, lines, reader: Some(reader), stderr }
    }

    /// The next offset of every partition.
    fn positions(&self) -> BTreeMap<i32, i64> {
        let lines = self.lines.lock().unwrap();
        lines.iter().map(|line| parts(line)).map(|(partition, offset)| (partition, offset + 1)).collect()
    }

    /// Memory in use at its largest, in KiB.
    fn memory_max(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let line = line.unwrap_or_else(|| panic!("it follows until it is stopped: {}", self.said()));
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits for `count` lines, ends it, and gives all lines and what it said.
    fn finish(mut self, count: usize) -> (Vec<String>, String) {
        let started = Instant::now();
        while self.lines.lock().unwrap().len() < count && started.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(50));
        }
        // What it would print too much of comes within a few looks.
        std::thread::sleep(Duration::from_millis(400));
        assert!(self.process.try_wait().unwrap().is_none(), "it follows until it is stopped: {}", self.said());
        terminate(&self.process);
        self.process.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let lines = std::mem::take(&mut *self.lines.lock().unwrap());
        (lines, self.said())
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Partition and offset of a line "partition offset value".
fn parts(line: &str) -> (i32, i64) {
    let mut parts = line.split(' ');
    (parts.next().unwrap().parse().unwrap(), parts.next().unwrap().parse().unwrap())
}

/// Lines by partition, in the order they came.
fn by_partition(lines: &[String]) -> BTreeMap<i32, Vec<&str>> {
    let mut found: BTreeMap<i32, Vec<&str>> = BTreeMap::new();
    for line in lines {
        found.entry(parts(line).0).or_default().push(line);
    }
    found
}

fn followed_all(what: &str, follow: Follow, written: &Path) {
    let expected: Vec<String> = fs::read_to_string(written).unwrap().lines().map(str::to_owned).collect();
    let memory_kib = follow.memory_max();
    let (found, said) = follow.finish(expected.len());
    let (found, expected_by) = (by_partition(&found), by_partition(&expected));
    for (partition, expected) in &expected_by {
        let found = found.get(partition).map(Vec::as_slice).unwrap_or_default();
        for (number, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert_eq!(found, expected, "{what}, partition {partition}, record {number}; {said}");
        }
        assert_eq!(found.len(), expected.len(), "{what}, partition {partition}: number of records; {said}");
    }
    assert!(!said.contains("error"), "{what}: {said}");
    assert!(memory_kib < 64 << 10, "{what}: {memory_kib} KiB");
    println!("{what}: {} records followed, {memory_kib} KiB at most; {said}", expected.len());
}

#[test]
fn follow_prints_all_that_a_broker_writes_once_and_in_order() {
    let Some(kafka) = Kafka::find() else { return };
    let settings = "log.retention.check.interval.ms=500\nlog.initial.task.delay.ms=500\n\
                    log.flush.start.offset.checkpoint.interval.ms=500\n";
    let mut broker = Broker::start(&kafka, settings);
    let data = broker.data();
    let (mut clients, mut writer) = (broker.clients(), broker.clients());
    // Files of deleted segments vanish at once, so that a reader who needs them is found out.
    clients.run(&format!("create plain 2 {SMALL} file.delete.delay.ms=0"));
    clients.run(&format!("create transactions 1 {SMALL}"));
    let plain = Follow::start(&data, "plain", "read_uncommitted", broker.file("plain.stderr"));
    let committed = Follow::start(&data, "transactions", "read_committed", broker.file("transactions.stderr"));
    let (plain_file, committed_file) = (broker.file("plain.written"), broker.file("transactions.written"));
    writer.run(&format!("write-start plain plain 2 {} 5000", plain_file.display()));
    let mut transactional = broker.clients();
    let start = format!("write-start transactions transactions 1 {} 5000", committed_file.display());
    transactional.run(&start);
    let started = Instant::now();
    let mut deletes = 0;
    while started.elapsed() < Duration::from_secs(10 * repeats()) {
        std::thread::sleep(Duration::from_millis(300));
        // Only what was printed is deleted, so nothing may be missing.
        for (partition, next) in plain.positions() {
            // A file may be ahead of the high watermark, and Kafka deletes nothing above that.
            match clients.try_run(&format!("delete-records plain {partition} {next}")) {
                Ok(_) => deletes += 1,
                Err(error) => assert!(error.contains("OffsetOutOfRange"), "{error}"),
            }
        }
    }
    writer.run("write-stop");
    transactional.run("write-stop");
    println!("follow: {deletes} deletions of records meanwhile");
    let gone = !data.join("plain-0/00000000000000000000.log").exists();
    assert!(gone, "segments were deleted meanwhile");
    followed_all("follow, plain", plain, &plain_file);
    followed_all("follow, committed", committed, &committed_file);

    // A reader of stdout that goes away ends it, with success.
    let mut command = logdir();
    command.arg("-d").arg(&data).args(["-t", "transactions", "--follow"]);
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(BufReader::new(process.stdout.take().unwrap()));
    transactional.run(&start);
    let closed = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait().unwrap() {
            break Some(status);
        }
        if closed.elapsed() > Duration::from_secs(20) {
            let _ = process.kill();
            let _ = process.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.expect("it ends when stdout is closed").code(), Some(0));
    broker.stop();
}

#[test]
fn reads_of_a_directory_in_use_never_fail() {
    let Some(kafka) = Kafka::find() else { return };
    let settings = "log.retention.check.interval.ms=200\nlog.initial.task.delay.ms=200\n\
                    log.cleaner.backoff.ms=100\nlog.cleaner.min.compaction.lag.ms=0\n";
    let mut broker = Broker::start(&kafka, settings);
    let data = broker.data();
    let mut clients = broker.clients();
    clients.run(
        "create compacted 1 internal.segment.bytes=16384 cleanup.policy=compact min.cleanable.dirty.ratio=0.01 \
         segment.ms=500 file.delete.delay.ms=0",
    );
    clients.run("create kept 1 internal.segment.bytes=16384 retention.bytes=200000 file.delete.delay.ms=0");
    let (mut keys, mut plain) = (broker.clients(), broker.clients());
    keys.run(&format!("write-start keys compacted 1 {} 20000", broker.file("compacted.written").display()));
    plain.run(&format!("write-start plain kept 1 {} 10000", broker.file("kept.written").display()));

    let stop = Arc::new(Mutex::new(false));
    let topics = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut count = 0;
            while !*stop.lock().unwrap() {
                clients.run(&format!("create short{count} 2 internal.segment.bytes=16384 file.delete.delay.ms=0"));
                clients.run(&format!("produce short{count} 2 {count} 20"));
                clients.run(&format!("delete-topic short{count}"));
                count += 1;
            }
            count
        })
    };

    // Until every key was written: from then on, every read has to find them all.
    let file = broker.file("started.ndjson");
    let written = |keys: &mut Clients| {
        keys.run(&format!("consume read_uncommitted {} compacted", file.display())).parse::<u64>().unwrap() >= 80
    };
    let started = Instant::now();
    while !written(&mut keys) {
        assert!(started.elapsed() < Duration::from_secs(30), "the writer writes");
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut problems: BTreeMap<String, u64> = BTreeMap::new();
    let (mut runs, mut records, mut warnings) = (0, 0, 0);
    let mut ends: BTreeMap<String, i64> = BTreeMap::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20 * repeats()) {
        for (number, args) in [
            &["--isolation-level", "read_uncommitted"][..],
            &["--isolation-level", "read_committed"],
            &["-o", "-10"],
            &["-o", "@-5s"],
            &["-t", "compacted"],
            &["-t", "kept"],
            &["-t", "compacted", "--isolation-level", "read_committed"],
            &["-t", "compacted", "--merge"],
        ]
        .iter()
        .enumerate()
        {
            let whole = number != 2 && number != 3;
            let output = logdir().arg("-d").arg(&data).arg("--json").args(*args).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let mut problem = |text: String| *problems.entry(format!("{args:?}: {text}")).or_default() += 1;
            runs += 1;
            warnings += said.lines().filter(|line| line.contains("\"type\":\"warning\"")).count();
            if output.status.code() != Some(0) || said.contains("\"type\":\"error\"") {
                problem(format!("{}; {said}", output.status));
            }
            let mut last: BTreeMap<String, i64> = BTreeMap::new();
            let mut seen = BTreeSet::new();
            for line in output.stdout.split_inclusive(|byte| *byte == b'\n') {
                let Ok(record) = serde_json::from_slice::<Value>(line) else {
                    problem(format!("not a record: {}", String::from_utf8_lossy(line)));
                    continue;
                };
                records += 1;
                let topic = record["topic"].as_str().unwrap();
                let partition = format!("{topic}-{}", record["partition"]);
                let offset = record["offset"].as_i64().unwrap();
                if let Some(before) = last.insert(partition.clone(), offset)
                    && (offset <= before || (topic == "kept" && offset != before + 1 && !said.contains("kept-0")))
                {
                    problem(format!("{partition}: an offset behind another that it cannot follow"));
                    println!("{partition}: {before} then {offset}; {said}");
                }
                if topic == "compacted" || topic == "kept" {
                    let value = record["value"].as_str().unwrap();
                    let number = value.strip_prefix('n').and_then(|rest| rest.split('-').next()).unwrap();
                    assert!(value.ends_with(&format!("-{number}n")) && value.len() > 100, "{value}");
                }
                if topic == "compacted" {
                    seen.insert(record["key"].as_str().unwrap().to_owned());
                }
            }
            // Merging keeps to its first listing and says so when a segment of that is gone.
            let skipped = args.contains(&"--merge") && said.contains("its offsets are skipped");
            if whole && !skipped && !args.contains(&"kept") && seen.len() != 40 {
                problem("not every key of a compacted topic is there".to_owned());
                println!("run {runs}: {} keys; {said}", seen.len());
            }
            for (partition, offset) in last {
                let end = ends.entry(partition.clone()).or_default();
                if offset < *end && !partition.starts_with("short") {
                    problem(format!("{partition}: the end of the log went back"));
                    println!("{partition}: {end} then {offset}; {said}");
                }
                *end = offset.max(*end);
            }
        }
    }
    *stop.lock().unwrap() = true;
    let topics = topics.join().unwrap();
    keys.run("write-stop");
    plain.run("write-stop");
    println!("in use: {runs} runs, {records} records, {warnings} warnings, {topics} topics created and deleted");
    assert!(problems.is_empty(), "{problems:#?}");
    broker.stop();
}

#[test]
fn deleted_records_compacted_logs_and_deleted_topics_are_read_as_kafka_reads_them() {
    let Some(kafka) = Kafka::find() else { return };
    let settings = "log.flush.start.offset.checkpoint.interval.ms=300\nlog.cleaner.backoff.ms=100\n\
                    log.initial.task.delay.ms=300\n";
    let mut broker = Broker::start(&kafka, settings);
    let data = broker.data();
    let mut clients = broker.clients();
    clients.run(&format!("create cut 1 {SMALL}"));
    clients.run(&format!(
        "create compacted 1 {SMALL} cleanup.policy=compact min.cleanable.dirty.ratio=0.01 segment.ms=300 \
         delete.retention.ms=500"
    ));
    clients.run(&format!("create gone 1 {SMALL}"));
    for seed in 0..repeats() {
        clients.run(&format!("produce cut 1 {seed} 100"));
        clients.run(&format!("produce-keys compacted 30 400 {seed}"));
        clients.run(&format!("produce gone 1 {seed} 50"));
    }
    let produced = usize::try_from(repeats()).unwrap() * 5 * 400;

    // Inside a segment and at its end; the broker tells the disk within 300 ms.
    for below in [5, 333, 900] {
        assert_eq!(clients.run(&format!("delete-records cut 0 {below}")), below.to_string());
        std::thread::sleep(Duration::from_secs(1));
        let truth = truth(&broker, &mut clients, &["cut"]);
        compare(&format!("records deleted below {below}"), &broker, &["cut"], &truth);
    }

    let before = truth(&broker, &mut clients, &["gone"]);
    clients.run("delete-topic gone");
    let started = Instant::now();
    let dir = loop {
        let mut dirs = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
        let deleted = |path: &PathBuf| path.to_string_lossy().ends_with("-delete");
        if let Some(dir) = dirs.find(deleted) {
            break dir;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "the topic is deleted");
        std::thread::sleep(Duration::from_millis(50));
    };
    same("deleted topic", &printed(logdir().arg(dir).arg("--json")), &before[0]);

    // Compaction goes on in the background: it is done when nothing changes any more.
    let mut last = Vec::new();
    let started = Instant::now();
    loop {
        clients.run(&format!("produce-keys compacted 2 1 {}", started.elapsed().as_millis()));
        std::thread::sleep(Duration::from_millis(1_500));
        let now = truth(&broker, &mut clients, &["compacted"]);
        let count = bytecount(&now[0]);
        println!("compacted: {count} of {produced} records are left");
        let found = consume(&data, &["compacted"], LEVELS[0]);
        // Cleaning between the two reads is no difference.
        let again = truth(&broker, &mut clients, &["compacted"]);
        if now == again {
            same("compacted", &found, &now[0]);
            if count < produced / 4 && last == now {
                break;
            }
            last = now.to_vec();
        }
        if started.elapsed() > Duration::from_secs(15) && count < produced / 4 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "compaction gets to an end: {count} of {produced}");
    }
    let after = truth(&broker, &mut clients, &["compacted", "cut"]);
    broker.stop();
    let found = LEVELS.map(|level| consume(&data, &["compacted", "cut"], level));
    // The cleaner may have run once more before the stop; the log of the other topic cannot change.
    if found != after {
        broker.restart();
        let after = truth(&broker, &mut clients, &["compacted", "cut"]);
        compare("compacted and cut, started again", &broker, &["compacted", "cut"], &after);
    }
}

/// Records of every size and kind; text, so that codecs have something to do.
struct Source {
    random: fastrand::Rng,
}

impl Source {
    fn bytes(&mut self) -> Option<Vec<u8>> {
        let len = match self.random.u32(0..20) {
            0 => return None,
            1 => 0,
            2..=14 => self.random.usize(1..200),
            15..=18 => self.random.usize(200..5_000),
            _ => self.random.usize(5_000..90_000),
        };
        let noise = self.random.u32(0..3) == 0;
        Some((0..len).map(|at| if noise { self.random.u8(..) } else { b"lorem ipsum dolor"[at % 17 % 7] }).collect())
    }
}

#[test]
fn kafka_reads_what_is_built() {
    let Some(kafka) = Kafka::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut clients = kafka.clients(9, &dir.path().join("clients.log"));
    let settings = [
        "none",
        "gzip",
        "gzip:1",
        "gzip:2",
        "gzip:9",
        "snappy",
        "lz4",
        "lz4:1",
        "lz4:2",
        "lz4:8",
        "lz4:12",
        "lz4:17",
        "zstd",
        "zstd:-131072",
        "zstd:-7",
        "zstd:1",
        "zstd:9",
        "zstd:15",
        "zstd:19",
        "zstd:22",
    ];
    let mut source = Source { random: fastrand::Rng::with_seed(43) };
    let hex = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => format!("x{}", data_encoding::HEXLOWER.encode(bytes)),
        None => "null".to_owned(),
    };
    let mut compressor = Compressor::default();
    let (mut file, mut expected, mut batches) = (Vec::new(), String::new(), 0);
    let mut builder = BatchBuilder::new(BatchSpec::default());
    let mut offset = 0;
    let line = |offset: i64, timestamp_ms: i64, sequence: i64, record: &NewRecord<'_>| {
        let headers: String = record
            .headers
            .iter()
            .map(|header| format!(" {}={}", str::from_utf8(header.key).unwrap(), hex(header.value)))
            .collect();
        format!("{offset} {timestamp_ms} {sequence} {} {}{headers}\n", hex(record.key), hex(record.value))
    };
    for round in 0..3 * repeats() {
        for (number, setting) in settings.iter().enumerate() {
            let compression = Compression::parse(setting).unwrap();
            let count = [1, 40, 3][usize::try_from(round).unwrap() % 3] * (1 + number % 4);
            let log_append = number % 5 == 4;
            let horizon = (number % 7 == 3).then_some(1_800_000_000_000);
            builder.reset(BatchSpec {
                base_offset: Offset::new(offset),
                leader_epoch: LeaderEpoch(7),
                compression,
                timestamps: if log_append { Timestamps::LogAppend(1_790_000_000_000) } else { Timestamps::Create },
                producer_id: ProducerId(4_000),
                producer_epoch: 2,
                base_sequence: i32::MAX - 2,
                transactional: number % 2 == 0,
                delete_horizon_ms: horizon,
                ..BatchSpec::default()
            });
            let mut lines = String::new();
            let first = offset;
            for _ in 0..count {
                offset += source.random.i64(0..3);
                let timestamp_ms = 1_760_000_000_000 + source.random.i64(0..100_000);
                let (key, value) = (source.bytes(), source.bytes());
                let values = [source.bytes(), source.bytes()];
                let headers = [
                    NewHeader { key: "tr\u{e4}ce".as_bytes(), value: values[0].as_deref() },
                    NewHeader { key: b"", value: values[1].as_deref() },
                ];
                let headers = &headers[source.random.usize(0..3)..];
                let record = NewRecord { timestamp_ms, key: key.as_deref(), value: value.as_deref(), headers };
                builder.push_at(Offset::new(offset), &record).unwrap();
                let sequence = (i64::from(i32::MAX) - 2 + (offset - first)) & i64::from(i32::MAX);
                let reads_as = if log_append { 1_790_000_000_000 } else { timestamp_ms };
                lines.push_str(&line(offset, reads_as, sequence, &record));
                offset += 1;
            }
            let batch = builder.seal(&mut compressor).unwrap();
            let view = batch.view();
            expected.push_str(&format!(
                "batch 2 {} {} {} 4000 false\n{lines}",
                compression.codec(),
                view.last_offset(),
                view.max_timestamp_ms()
            ));
            file.extend_from_slice(batch.bytes());
            builder.recycle(batch);
            batches += 1;
        }
        for commit in [true, false] {
            let marker = TransactionMarker {
                commit,
                coordinator_epoch: 9,
                producer_id: ProducerId(4_000),
                producer_epoch: 3,
                timestamp_ms: 1_760_000_000_500,
            };
            file.extend_from_slice(marker.seal(Offset::new(offset), LeaderEpoch(7)).unwrap().bytes());
            let kind = u8::from(commit);
            expected.push_str(&format!("batch 2 none {offset} 1760000000500 4000 true\n"));
            expected.push_str(&format!("{offset} 1760000000500 -1 x0000000{kind} x000000000009\n"));
            offset += 1;
            batches += 1;
        }
        for magic in [LegacyMagic::V0, LegacyMagic::V1] {
            for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4] {
                let texts: Vec<_> = (0..9).map(|_| (source.bytes(), source.bytes())).collect();
                let records: Vec<_> = texts
                    .iter()
                    .map(|(key, value)| {
                        offset += 2;
                        let timestamp_ms = 1_700_000_000_000 + source.random.i64(0..1_000);
                        let (key, value) = (key.as_deref(), value.as_deref());
                        (Offset::new(offset), NewRecord { timestamp_ms, key, value, headers: &[] })
                    })
                    .collect();
                let spec = MessageSetSpec { magic, compression: codec.into(), timestamps: Timestamps::Create };
                legacy::encode(spec, &records, &mut compressor, &mut file).unwrap();
                let time = |record: &NewRecord<'_>| if magic == LegacyMagic::V0 { -1 } else { record.timestamp_ms };
                let magic = magic.id();
                let last = records.last().unwrap().0;
                let max = records.iter().map(|(_, record)| time(record)).max().unwrap();
                if codec != Codec::None {
                    expected.push_str(&format!("batch {magic} {codec} {last} {max} -1 false\n"));
                    batches += 1;
                }
                for (offset, record) in &records {
                    if codec == Codec::None {
                        expected.push_str(&format!("batch {magic} none {offset} {} -1 false\n", time(record)));
                        batches += 1;
                    }
                    expected.push_str(&line(offset.get(), time(record), -1, record));
                }
                offset += 1;
            }
        }
    }
    let (log, read) = (dir.path().join("built.log"), dir.path().join("read.txt"));
    fs::write(&log, &file).unwrap();
    let answer = clients.run(&format!("read-batches {} {}", log.display(), read.display()));
    assert_eq!(answer, format!("{batches} {}", file.len()), "batches and bytes that Kafka found");
    let lines = same("what is built", &fs::read(&read).unwrap(), expected.as_bytes());
    println!("Kafka reads {batches} batches of {} bytes: {lines} lines are the same", file.len());
}
