//! What `logdir produce` writes, given to a Kafka 4.3: brokers serve it without a recovery, append to it, crash
//! on it, and Kafka's own loader judges damaged logs as our recovery does.
//!
//! Skipped without `LOGDIR_KAFKA_LIBS`. `LOGDIR_LIVE_REPEATS` multiplies the work (a thorough run: 10, which
//! makes the 100,000 records of the first test a million).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/broker.rs"]
mod broker;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use broker::{Broker, Clients, Kafka};
use data_encoding::BASE64;
use logdir::partitioner::{PartitionCount, Strategy};
use logdir::storage::recovery::{self, LoadOptions};
use logdir::storage::writer::{Durability, LogConfig, LogWriter};
use logdir::storage::{partition_metadata, producer_state};
use logdir::types::Offset;
use serde_json::{Value, json};

const LEVELS: [&str; 2] = ["read_uncommitted", "read_committed"];
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const MARKER: &str = ".kafka_cleanshutdown";
/// Segments that roll many times in a small run; for the topic, and for `logdir produce`.
const SEGMENTS: &str = "internal.segment.bytes=262144 retention.ms=-1";
const SEGMENT_BYTES: [&str; 2] = ["--segment-bytes", "262144"];

fn repeats() -> u64 {
    std::env::var("LOGDIR_LIVE_REPEATS").ok().map_or(1, |text| text.parse().expect("LOGDIR_LIVE_REPEATS: a number"))
}

fn logdir(command: &str) -> Command {
    let mut logdir = Command::new(env!("CARGO_BIN_EXE_logdir"));
    logdir.env_clear().arg(command).stdin(Stdio::null());
    logdir
}

fn consume(data: &Path, topics: &[&str], level: &str) -> Vec<u8> {
    let mut command = logdir("consume");
    command.arg("-d").arg(data).args(["-t", &topics.join(","), "--json", "--isolation-level", level]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{command:?}: {}", said(&output));
    output.stdout
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs `logdir produce` over the lines.
fn run_produce(data: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut command = logdir("produce");
    let mut child = command
        .arg("-d")
        .arg(data)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // It may end before it has read all.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    })
}

/// As [`run_produce`], which must end well and say that it stored so many records.
fn produce(data: &Path, args: &[&str], input: &[u8], stored: usize) -> Output {
    let output = run_produce(data, args, input);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "produce {args:?}: {said}");
    assert!(!said.contains("error"), "produce {args:?}: {said}");
    let words = [format!("{stored} records to "), format!("{stored} record to ")];
    assert!(words.iter().any(|words| said.contains(words)), "produce {args:?}: {stored} records, but it says: {said}");
    output
}

/// Lines that are equal, or a panic about the first that is not.
fn same(what: &str, found: &[u8], expected: &[u8]) -> usize {
    let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    if found != expected {
        let mut pairs = found.split(|byte| *byte == b'\n').zip(expected.split(|byte| *byte == b'\n'));
        let first = pairs.position(|(found, expected)| found != expected);
        let line = |text: &[u8]| {
            first.and_then(|at| text.split(|byte| *byte == b'\n').nth(at)).map(String::from_utf8_lossy).map(head)
        };
        panic!(
            "{what}: {} lines, expected {}; line {first:?} is {:?}, expected {:?}",
            lines(found),
            lines(expected),
            line(found),
            line(expected)
        );
    }
    lines(expected)
}

/// Where a record stands, not what is in it.
fn head(line: std::borrow::Cow<'_, str>) -> String {
    line.split(",\"headers\"").next().unwrap_or_default().to_owned()
}

/// What Kafka's consumer gets of the topics, at each isolation level.
fn truth(broker: &Broker, clients: &mut Clients, topics: &[&str]) -> [Vec<u8>; 2] {
    LEVELS.map(|level| {
        let file = broker.file("truth.ndjson");
        clients.run(&format!("consume {level} {} {}", file.display(), topics.join(" ")));
        fs::read(&file).unwrap()
    })
}

/// What Kafka's consumer gets is what `logdir consume` reads.
fn compare(what: &str, broker: &Broker, clients: &mut Clients, topics: &[&str]) -> [Vec<u8>; 2] {
    let truth = truth(broker, clients, topics);
    compare_with(what, &broker.data(), topics, &truth);
    truth
}

fn compare_with(what: &str, data: &Path, topics: &[&str], truth: &[Vec<u8>; 2]) {
    for (level, truth) in LEVELS.iter().zip(truth) {
        let records = same(&format!("{what}, {level}"), &consume(data, topics, level), truth);
        println!("{what}, {level}: {records} records are the same");
    }
}

/// The broker took every log as it was.
fn started_clean(what: &str, broker: &Broker) {
    let log = broker.said_since_start();
    let data = broker.data().display().to_string();
    let skipped = log.lines().any(|line| line.contains("Skipping recovery") && line.contains(&data));
    assert!(skipped, "{what}: the broker does not skip recovery: {}", broker.said());
    not_said(
        what,
        &log,
        &["Recovering unflushed segment", "since no clean shutdown file was found", "recovering segment"],
    );
    not_damaged(what, broker);
}

/// Nothing was cut, renamed or found to be broken.
fn not_damaged(what: &str, broker: &Broker) {
    let words = ["runcating", "runcated", "orrupt", " stray", "orphaned", "nvalid", " ERROR ", "Deleting segment"];
    not_said(what, &broker.said_since_start(), &words);
    for entry in fs::read_dir(broker.data()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with("-stray"), "{what}: {name}");
    }
}

fn not_said(what: &str, log: &str, words: &[&str]) {
    // The metadata log is no log of ours.
    let ours = |line: &&str| !line.contains("__cluster_metadata");
    let found: Vec<_> =
        log.lines().filter(ours).filter(|line| words.iter().any(|word| line.contains(word))).take(20).collect();
    assert!(found.is_empty(), "{what}: the broker says: {found:#?}");
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// kafka-dump-log finds nothing wrong in copies of these partitions; returns what it prints of the logs.
fn dump(tools: &mut Clients, data: &Path, partitions: &[String]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut all = String::new();
    let (mut files, mut sane) = (0, 0);
    for partition in partitions {
        let copy = dir.path().join(partition);
        copy_dir(&data.join(partition), &copy);
        let mut names: Vec<PathBuf> = fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.retain(|path| path.extension().is_some_and(|kind| kind != "metadata"));
        names.sort();
        let list = |wanted: &dyn Fn(&str) -> bool| {
            let kind = |path: &&PathBuf| wanted(path.extension().unwrap().to_str().unwrap());
            let names: Vec<_> = names.iter().filter(kind).map(|path| path.display().to_string()).collect();
            (names.len(), names.join(","))
        };
        let out = dir.path().join("dump.txt");
        let (count, every) = list(&|_| true);
        tools.run(&format!("dump {} --deep-iteration --skip-record-metadata --files {every}", out.display()));
        let text = fs::read_to_string(&out).unwrap();
        let wrong = ["ismatch", "out of order", "isvalid: false", "trailing", "not found", "orrupt", "Ignoring"];
        // The first offset of every file counts as a gap.
        let gap = |line: &str| line.contains(" is followed by ") && !line.contains("  -1 is followed by ");
        let found: Vec<_> =
            text.lines().filter(|line| gap(line) || wrong.iter().any(|word| line.contains(word))).take(10).collect();
        assert!(found.is_empty(), "{partition}: kafka-dump-log says {found:#?}");
        let (indexes, list) = list(&|kind| kind.ends_with("index") && kind != "txnindex");
        tools.run(&format!("dump {} --index-sanity-check --files {list}", out.display()));
        let sanity = fs::read_to_string(&out).unwrap();
        let passed = |line: &&str| line.ends_with("passed sanity check.") || line.ends_with(" is empty.");
        assert_eq!(sanity.lines().filter(passed).count(), indexes, "{partition}: {sanity}");
        files += count;
        sane += indexes;
        all.push_str(&text);
    }
    println!("kafka-dump-log: nothing wrong in {files} files, {sane} indexes are sane");
    all
}

/// Every file below, with size and modification time.
fn listing(dir: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            // A broker's file may go between the two looks.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                dirs.push(entry.path());
            }
            // The times of a log directory itself tell of the broker's checkpoints.
            let size = if metadata.is_dir() { 0 } else { metadata.len() };
            found.insert(entry.path(), (size, metadata.modified().unwrap()));
        }
    }
    found
}

/// A record that was sent: the lowest and the highest timestamp it may have, and the rest of it.
type Record = (i64, i64, Value);

/// What was sent to each partition, in order.
#[derive(Default)]
struct Sent(BTreeMap<(String, i32), Vec<Record>>);

impl Sent {
    fn add(&mut self, topic: &str, partition: i32, timestamps: (i64, i64), record: Value) {
        let partition = self.0.entry((topic.to_owned(), partition)).or_default();
        partition.push((timestamps.0, timestamps.1, record));
    }

    /// Kafka's consumer got all of it, in order, at offsets without a gap.
    fn check(&self, what: &str, lines: &[u8]) {
        let mut found: BTreeMap<(String, i32), usize> = BTreeMap::new();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut line: Value = serde_json::from_slice(line).unwrap();
            let fields = line.as_object_mut().unwrap();
            let topic = fields.remove("topic").unwrap().as_str().unwrap().to_owned();
            let partition = i32::try_from(fields.remove("partition").unwrap().as_i64().unwrap()).unwrap();
            let offset = fields.remove("offset").unwrap().as_i64().unwrap();
            let timestamp = fields.remove("timestamp_ms").unwrap().as_i64().unwrap();
            assert_eq!(fields.remove("timestamp_type").unwrap(), "create");
            fields.remove("leader_epoch");
            let at = format!("{what}, {topic}-{partition}, offset {offset}");
            let next = found.entry((topic.clone(), partition)).or_default();
            let expected = self.0.get(&(topic, partition)).unwrap_or_else(|| panic!("{at}: nothing was sent there"));
            let (low, high, record) = expected.get(*next).unwrap_or_else(|| panic!("{at}: not sent"));
            assert_eq!(offset, *next as i64, "{at}: offsets have no gaps");
            assert!((*low..=*high).contains(&timestamp), "{at}: timestamp {timestamp}, sent {low} to {high}");
            assert!(line == *record, "{at}: it is not what was sent");
            *next += 1;
        }
        let expected: BTreeMap<_, _> = self.0.iter().map(|(at, records)| (at.clone(), records.len())).collect();
        assert_eq!(found, expected, "{what}: records by partition");
        println!("{what}: {} records came back as they were sent", expected.values().sum::<usize>());
    }
}

fn now_ms() -> i64 {
    logdir::storage::writer::log::now_ms()
}

fn random_bytes(random: &mut fastrand::Rng, len: std::ops::Range<usize>) -> Vec<u8> {
    let len = random.usize(len);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

/// Bytes of every kind, for the key, value and headers of a record.
fn bytes(random: &mut fastrand::Rng) -> Option<Vec<u8>> {
    Some(match random.u32(0..7) {
        0 => return None,
        1 => Vec::new(),
        2 => random_bytes(random, 0..40),
        3 => format!("tab\t\"quoted\" back\\slash \u{1}\u{1f}\u{7f} line\nend üé€🚀{}", random.u32(..)).into_bytes(),
        4 => format!("text {}", "compressible ".repeat(random.usize(0..40))).into_bytes(),
        _ => random_bytes(random, 60..160).iter().map(|byte| b'a' + byte % 26).collect(),
    })
}

/// As `consume --json` has it: text where it is UTF-8, else base64.
fn put(fields: &mut Value, name: &str, bytes: Option<Vec<u8>>) {
    match bytes.map(String::from_utf8) {
        None => fields[name] = Value::Null,
        Some(Ok(text)) => fields[name] = json!(text),
        Some(Err(error)) => fields[format!("{name}_base64")] = json!(BASE64.encode(error.as_bytes())),
    }
}

/// JSON lines with a partition, a timestamp, headers, nulls and bytes of every kind.
fn json_lines(topic: &str, count: u64, random: &mut fastrand::Rng, sent: &mut Sent) -> Vec<u8> {
    let mut lines = Vec::new();
    for number in 0..count {
        let mut record = json!({});
        put(&mut record, "key", bytes(random));
        put(&mut record, "value", bytes(random));
        let headers = (0..random.i32(-3..4).max(0)).map(|number| {
            let mut header = json!({"key": if random.bool() { "same".to_owned() } else { format!("hé\"{number}") }});
            put(&mut header, "value", bytes(random));
            header
        });
        record["headers"] = headers.collect();
        let timestamp_ms = 1_760_000_000_000 + random.i64(0..1_000_000);
        let partition = i32::try_from(number % 2).unwrap();
        sent.add(topic, partition, (timestamp_ms, timestamp_ms), record.clone());
        record["topic"] = json!(topic);
        record["partition"] = json!(partition);
        record["timestamp_ms"] = json!(timestamp_ms);
        lines.extend_from_slice(record.to_string().as_bytes());
        lines.push(b'\n');
    }
    lines
}

fn line_value(random: &mut fastrand::Rng, number: u64) -> String {
    let word: String = random_bytes(random, 20..120).iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    format!("{number} {word}")
}

/// What `logdir produce` writes into the codec topics: several runs, of every kind of input.
fn fill(data: &Path, count: u64, sent: &mut Sent) {
    let mut random = fastrand::Rng::with_seed(count);
    let two = PartitionCount::new(2).unwrap();
    for (number, codec) in CODECS.into_iter().enumerate() {
        let topic = format!("c-{codec}");
        let with = |args: &[&'static str]| {
            let all = ["-z", codec].into_iter().chain(SEGMENT_BYTES).chain(args.iter().copied());
            all.map(str::to_owned).collect::<Vec<_>>()
        };
        let run = |args: &[String], input: &[u8], stored: u64| {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            produce(data, &args, input, usize::try_from(stored).unwrap())
        };
        let (json, keyed, plain, sticky) = (count / 2, count / 4, count / 8, count / 8);

        let lines = json_lines(&topic, json, &mut random, sent);
        // A topic of its own or the one the lines name.
        let args = with(&["--input", "json", "--idempotent"]);
        run(&args, &lines, json);

        let mut lines = String::new();
        for number in 0..keyed {
            let (key, value) = (format!("key {}", random.u32(0..1000)), line_value(&mut random, number));
            let partition = Strategy::default().partition_of(Some(key.as_bytes()), two).unwrap();
            sent.add(
                &topic,
                partition,
                (1_760_000_123_456, 1_760_000_123_456),
                json!({"headers": [], "key": key, "value": value}),
            );
            lines.push_str(&format!("{key}\t{value}\n"));
        }
        let mut args = with(&["-K", "\\t", "--timestamp", "@1760000123456"]);
        args.extend(["-t".to_owned(), topic.clone()]);
        run(&args, lines.as_bytes(), keyed);

        let mut lines = String::new();
        let begun = now_ms();
        let mut records = Vec::new();
        for number in 0..plain {
            let value = if number % 10 == 3 { String::new() } else { line_value(&mut random, number) };
            lines.push_str(&format!("{value}\n"));
            let value = if value.is_empty() { Value::Null } else { json!(value) };
            let headers = json!([{"key": "h", "value": "v=1"}, {"key": "null", "value": null}]);
            records.push(json!({"headers": headers, "key": "fixed", "value": value}));
        }
        let producer = (8_000 + number).to_string();
        let mut args = with(&["-p", "1", "-Z", "-k", "fixed", "-H", "h=v=1", "-H", "null", "--producer-id"]);
        args.extend([producer, "-t".to_owned(), topic.clone()]);
        run(&args, lines.as_bytes(), plain);
        let ended = now_ms();
        records.into_iter().for_each(|record| sent.add(&topic, 1, (begun, ended), record));
        let again = run(&args, lines.as_bytes(), 0);
        assert!(said(&again).contains(&format!("{plain} there already")), "{}", said(&again));

        // Where records without a key went, it says itself.
        let values: Vec<String> = (0..sticky).map(|number| line_value(&mut random, number)).collect();
        let begun = now_ms();
        let mut args = with(&["--batch-size", "2000", "--output-format", "%p %o %s\\n"]);
        args.extend(["-t".to_owned(), topic.clone()]);
        let output = run(&args, (values.join("\n") + "\n").as_bytes(), sticky);
        let ended = now_ms();
        let mut stored: Vec<(i32, i64, &str)> = Vec::new();
        for line in std::str::from_utf8(&output.stdout).unwrap().lines() {
            let mut parts = line.splitn(3, ' ');
            let mut next = || parts.next().unwrap();
            stored.push((next().parse().unwrap(), next().parse().unwrap(), next()));
        }
        assert_eq!(stored.len() as u64, sticky, "{topic}: every record is reported");
        stored.sort_unstable();
        assert!((0..2).all(|partition| stored.iter().any(|record| record.0 == partition)), "both partitions get some");
        for (partition, offset, value) in stored {
            let at = sent.0.get(&(topic.clone(), partition)).map_or(0, Vec::len);
            assert_eq!(offset, at as i64, "{topic}-{partition}: the reported offset");
            sent.add(&topic, partition, (begun, ended), json!({"headers": [], "key": null, "value": value}));
        }
    }
}

fn partitions_of(topics: &[&str], count: i32) -> Vec<String> {
    topics.iter().flat_map(|topic| (0..count).map(move |partition| format!("{topic}-{partition}"))).collect()
}

/// Appends a few records to every partition of the topics, under a producer id and without one.
fn append_some(what: &str, data: &Path, topics: &[&str], partitions: i32, more: &[&str]) {
    for (number, topic) in topics.iter().enumerate() {
        for partition in 0..partitions {
            let lines: String = (0..300).map(|number| format!("{what} {number}\n")).collect();
            let partition = partition.to_string();
            let codec = CODECS[number % CODECS.len()];
            let mut args = vec!["-t", topic, "-p", &partition, "-z", codec, SEGMENT_BYTES[0], SEGMENT_BYTES[1]];
            args.extend_from_slice(more);
            if number % 2 == 0 {
                args.push("--idempotent");
            }
            produce(data, &args, lines.as_bytes(), 300);
        }
    }
}

#[test]
fn a_broker_serves_appends_to_and_crashes_on_what_produce_appended_to_its_logs() {
    let Some(kafka) = Kafka::find() else { return };
    let mut broker = Broker::start(&kafka, "");
    let data = broker.data();
    let mut clients = broker.clients();
    let mut tools = kafka.program("LiveProduce", &[], &broker.file("tools.log"));
    let ours = CODECS.map(|codec| format!("c-{codec}"));
    let mut ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    // As `logdir consume` prints them.
    ours.sort_unstable();
    for topic in &ours {
        clients.run(&format!("create {topic} 2 {SEGMENTS}"));
    }
    // Two that hold transactions of Kafka's, one of them open, before we come.
    clients.run("create mixed 2 internal.segment.bytes=65536 retention.ms=-1");
    clients.run("create open 2 internal.segment.bytes=65536 retention.ms=-1");
    clients.run("produce mixed 2 11 60");
    clients.run("transactions mixed 2 12 40 closed");
    clients.run("transactions open 2 5 40 open");
    let all: Vec<&str> = ours.iter().copied().chain(["mixed", "open"]).collect();
    broker.stop();

    let mut sent = Sent::default();
    let count = 20_000 * repeats();
    fill(&data, count, &mut sent);
    append_some("first", &data, &["mixed", "open"], 2, &[]);
    assert!(data.join(MARKER).exists(), "the directory is as clean as it was");
    let text = dump(&mut tools, &data, &partitions_of(&ours, 2));
    let segments = text.lines().filter(|line| line.starts_with("Log starting offset")).count();
    println!("{segments} segments of {} records", 5 * count);
    assert!(segments >= 20, "logs rolled");
    dump(&mut tools, &data, &partitions_of(&["mixed", "open"], 2));

    broker.restart();
    started_clean("after produce", &broker);
    let [uncommitted, _] = compare("after produce", &broker, &mut clients, &ours);
    sent.check("after produce", &uncommitted);
    drop((sent, uncommitted));
    let [uncommitted, committed] = compare("beside transactions", &broker, &mut clients, &["mixed", "open"]);
    assert!(committed.len() < uncommitted.len(), "aborted and open transactions are left out");

    let append = |clients: &mut Clients, seed: u64| {
        for topic in ["c-gzip", "c-lz4"] {
            clients.run(&format!("produce {topic} 2 {seed} 10"));
        }
        clients.run(&format!("transactions c-zstd 2 {seed} 15 closed"));
        clients.run(&format!("transactions c-none 2 {seed} 15 closed"));
        clients.run(&format!("produce mixed 2 {seed} 20"));
    };
    append(&mut clients, 100);
    // The same transactional ids again: the open transaction is aborted, behind what we appended.
    clients.run("transactions open 2 5 10 closed");
    let before = compare("the broker appended", &broker, &mut clients, &all);
    broker.stop();
    compare_with("stopped", &data, &all, &before);
    append_some("second", &data, &all, 2, &[]);
    broker.restart();
    started_clean("after another produce", &broker);
    compare("after another produce", &broker, &mut clients, &all);

    // A crash. What we need is recovered by us, the rest by the broker.
    append(&mut clients, 200);
    clients.run("transactions open 2 6 30 open");
    let before = truth(&broker, &mut clients, &all);
    broker.kill();
    compare_with("killed", &data, &all, &before);
    append_some("third", &data, &all, 2, &[]);
    assert!(!data.join(MARKER).exists(), "logs of others are still to be recovered");
    dump(&mut tools, &data, &partitions_of(&all, 2));
    broker.restart();
    not_damaged("after a crash", &broker);
    let after = compare("after a crash", &broker, &mut clients, &all);
    assert!(after[0].len() > before[0].len());

    // Another, with a torn tail.
    append(&mut clients, 300);
    let before = truth(&broker, &mut clients, &all);
    broker.kill();
    let torn: Vec<PathBuf> = ["c-lz4-0", "open-1"].map(|name| last_log(&data.join(name))).into();
    for log in &torn {
        let bytes = fs::read(log).unwrap();
        // Less than a whole batch.
        let batch = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
        let tail = bytes[..(batch - 1).min(100)].to_vec();
        File::options().append(true).open(log).unwrap().write_all(&tail).unwrap();
    }
    compare_torn(&data, &all, &before);
    let files = listing(&data);
    for partition in ["c-lz4", "open"] {
        let number = if partition == "open" { "1" } else { "0" };
        let refused = run_produce(&data, &["-t", partition, "-p", number], b"more\n");
        assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
        assert!(said(&refused).contains("--allow-truncate"), "{}", said(&refused));
    }
    assert_eq!(changed(&files, &listing(&data)), Vec::<String>::new(), "a refusal changes nothing");
    append_some("fourth", &data, &all, 2, &["--allow-truncate"]);
    dump(&mut tools, &data, &partitions_of(&all, 2));
    broker.restart();
    not_damaged("after a torn tail", &broker);
    let after = compare("after a torn tail", &broker, &mut clients, &all);
    assert!(after[0].len() > before[0].len());
    append(&mut clients, 400);
    compare("the broker appended again", &broker, &mut clients, &all);
    broker.stop();
}

/// A reader passes over a torn tail.
fn compare_torn(data: &Path, topics: &[&str], truth: &[Vec<u8>; 2]) {
    for (level, truth) in LEVELS.iter().zip(truth) {
        let mut command = logdir("consume");
        command.arg("-d").arg(data).args(["-t", &topics.join(","), "--json", "--isolation-level", level]);
        same(&format!("torn tail, {level}"), &command.output().unwrap().stdout, truth);
    }
}

fn last_log(dir: &Path) -> PathBuf {
    let logs = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    logs.filter(|path| path.extension().is_some_and(|kind| kind == "log")).max().unwrap()
}

/// Names of files that differ; those of `.lock` and directories' own times aside.
fn changed(before: &BTreeMap<PathBuf, (u64, SystemTime)>, after: &BTreeMap<PathBuf, (u64, SystemTime)>) -> Vec<String> {
    let names = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path));
    names.filter(|path| !path.is_dir()).map(|path| path.display().to_string()).collect()
}

#[test]
fn a_log_directory_made_by_produce_alone_takes_the_place_of_a_brokers() {
    let Some(kafka) = Kafka::find() else { return };
    let mut broker = Broker::start(&kafka, "metadata.log.dir=$DIR/meta\n");
    let data = broker.data();
    let mut clients = broker.clients();
    let mut tools = kafka.program("LiveProduce", &[], &broker.file("tools.log"));
    clients.run(&format!("create made 3 {SEGMENTS}"));
    broker.stop();
    let id = partition_metadata::read(&data.join("made-0/partition.metadata")).unwrap().topic_id.to_string();
    let meta = fs::read_to_string(data.join("meta.properties")).unwrap();
    let property = |name: &str| {
        let value = meta.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("{name} in {meta}")).to_owned()
    };
    let (cluster, node, directory) = (property("cluster.id"), property("node.id"), property("directory.id"));
    fs::rename(&data, broker.file("data.old")).unwrap();

    let mut random = fastrand::Rng::with_seed(3);
    let mut sent = Sent::default();
    let count = 3_000 * repeats();
    let lines = json_lines("made", count, &mut random, &mut sent);
    let make = ["--create", "3", "--topic-id", &id, "--cluster-id", &cluster, "--node-id", &node];
    let make = [&make[..], &["--directory-id", &directory, "-t", "made", "-z", "lz4"], &SEGMENT_BYTES].concat();
    let args = [&make[..], &["--input", "json", "--idempotent"]].concat();
    produce(&data, &args, &lines, usize::try_from(count).unwrap());
    assert!(data.join(MARKER).exists(), "a new directory is a clean one");
    // The third partition stays empty.
    dump(&mut tools, &data, &partitions_of(&["made"], 3));

    broker.restart();
    started_clean("made", &broker);
    let [uncommitted, _] = compare("made", &broker, &mut clients, &["made"]);
    sent.check("made", &uncommitted);
    clients.run("produce made 3 1 60");
    clients.run("transactions made 3 2 40 closed");
    let before = compare("made, and appended to", &broker, &mut clients, &["made"]);
    broker.stop();
    compare_with("made, stopped", &data, &["made"], &before);
    append_some("second", &data, &["made"], 3, &[]);
    broker.restart();
    started_clean("made, again", &broker);
    compare("made, again", &broker, &mut clients, &["made"]);
    broker.kill();
    append_some("third", &data, &["made"], 3, &[]);
    broker.restart();
    not_damaged("made, after a crash", &broker);
    compare("made, after a crash", &broker, &mut clients, &["made"]);
    broker.stop();
}

/// A `logdir produce` whose input stays open; it has said that it stored the lines it got.
struct Open {
    process: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Open {
    fn start(data: &Path, args: &[&str]) -> Open {
        let mut command = logdir("produce");
        command.arg("-d").arg(data).args(args).args(["--output-format", "%o\\n"]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Open { process, stdout }
    }

    fn write(&mut self, lines: u32) {
        self.write_lines((0..lines).map(|number| format!("open {number}\n")));
    }

    fn write_lines(&mut self, lines: impl ExactSizeIterator<Item = String>) {
        let stdin = self.process.stdin.as_mut().unwrap();
        let count = lines.len();
        stdin.write_all(lines.collect::<String>().as_bytes()).unwrap();
        stdin.flush().unwrap();
        for _ in 0..count {
            let mut line = String::new();
            self.stdout.read_line(&mut line).unwrap();
            assert!(line.trim().parse::<u64>().is_ok(), "an offset, not {line}");
        }
    }

    fn end(mut self) {
        drop(self.process.stdin.take());
        drop(self.stdout);
        let output = self.process.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }

    /// Ends it as a crash does.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn a_broker_and_produce_keep_each_other_out() {
    let Some(kafka) = Kafka::find() else { return };
    // What a broker writes on its own comes once a minute, except this.
    let mut broker = Broker::start(&kafka, "replica.high.watermark.checkpoint.interval.ms=600000\n");
    let data = broker.data();
    let mut clients = broker.clients();
    clients.run(&format!("create held 2 {SEGMENTS}"));
    clients.run("produce held 2 1 20");
    let before = truth(&broker, &mut clients, &["held"]);

    let keep = |files: BTreeMap<PathBuf, (u64, SystemTime)>| -> BTreeMap<PathBuf, (u64, SystemTime)> {
        let kept = |path: &Path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            !path.to_string_lossy().contains("__cluster_metadata") && !name.contains("-checkpoint")
        };
        files.into_iter().filter(|(path, _)| kept(path)).collect()
    };
    let files = keep(listing(&data));
    let (pid, words) = (broker.pid().to_string(), ["-t", "held", "-p", "0"]);
    let tries: [&[&str]; 4] = [
        &[],
        &["--allow-truncate", "--fsync", "never"],
        &["--create", "4"],
        &["--idempotent", "--fsync", "batch", "-z", "zstd"],
    ];
    for more in tries {
        let refused = run_produce(&data, &[&words[..], more].concat(), b"one\ntwo\n");
        let said = said(&refused);
        assert_eq!(refused.status.code(), Some(4), "{more:?}: {said}");
        assert!(said.contains("Kafka broker") && said.contains(&format!("pid {pid}")), "{more:?}: {said}");
    }
    let refused = run_produce(&data, &["-t", "new", "--create", "2"], b"one\n");
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
    let found = changed(&files, &keep(listing(&data)));
    assert_eq!(found, Vec::<String>::new(), "a refusal changes nothing");
    clients.run("produce held 2 2 5");
    let after = truth(&broker, &mut clients, &["held"]);
    assert!(after[0].starts_with(&before[0][..100]) && after[0].len() > before[0].len(), "the broker goes on");
    println!("five refusals name pid {pid}, {} files unchanged", files.len());
    broker.stop();

    let mut open = Open::start(&data, &["-t", "held", "-p", "1"]);
    open.write(50);
    let said = broker.start_refused();
    let line = said.lines().find(|line| line.contains("Failed to acquire lock on file .lock"));
    println!("the broker says: {}", line.map(|line| &line[line.find("Failed").unwrap()..][..36]).unwrap_or_default());
    assert!(line.is_some(), "{said}");
    open.write(50);
    open.end();
    assert!(data.join(MARKER).exists(), "the directory is as clean as it was");
    broker.restart();
    started_clean("after it was kept out", &broker);
    let [uncommitted, _] = compare("after it was kept out", &broker, &mut clients, &["held"]);
    assert_eq!(String::from_utf8(uncommitted).unwrap().matches("\"value\":\"open ").count(), 100);
    broker.stop();
}

/// The value of every record, by partition, in order.
fn values(lines: &[u8]) -> BTreeMap<i64, Vec<String>> {
    let mut found: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let record: Value = serde_json::from_slice(line).unwrap();
        let value = record["value"].as_str().unwrap().to_owned();
        found.entry(record["partition"].as_i64().unwrap()).or_default().push(value);
    }
    found
}

/// Records "NAME NUMBER" are all there, once, and in order within a partition.
fn all_once_in_order(what: &str, lines: &[u8], name: &str, count: usize) {
    let mut numbers = Vec::new();
    for (partition, values) in values(lines) {
        let mine = values.iter().filter_map(|value| value.strip_prefix(name)?.trim_start().parse::<usize>().ok());
        let mine: Vec<usize> = mine.collect();
        assert!(mine.is_sorted(), "{what}: partition {partition} keeps the order of {name}");
        numbers.extend(mine);
    }
    numbers.sort_unstable();
    let twice = numbers.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None, "{what}: {name} twice");
    assert_eq!(numbers.len(), count, "{what}: records of {name}");
}

#[test]
fn unsynced_and_concurrent_runs_lose_nothing() {
    let Some(kafka) = Kafka::find() else { return };
    let mut broker = Broker::start(&kafka, "");
    let data = broker.data();
    let mut clients = broker.clients();
    let mut tools = kafka.program("LiveProduce", &[], &broker.file("tools.log"));
    clients.run(&format!("create never 2 {SEGMENTS}"));
    clients.run(&format!("create shared 4 {SEGMENTS}"));
    clients.run(&format!("create crash 4 {SEGMENTS}"));
    clients.run(&format!("create times 1 {SEGMENTS}"));
    broker.stop();

    // Two that take turns, with timestamps that go up and down.
    let of_times = ["-t", "times", "-f", "%T %s\\n", "--batch-size", "200"];
    let mut turns = [Open::start(&data, &of_times), Open::start(&data, &of_times)];
    for turn in 0..8_i64 {
        let high = if turn == 2 || turn == 5 { 1_000_000 - turn } else { 0 };
        let times = (0..20_i32).map(|number| 1_760_000_000_000 + high + i64::from(number * 7919 % 1000));
        turns[usize::from(turn % 2 == 1)].write_lines(times.map(|time| format!("{time} turn {turn}\n")));
    }
    turns.into_iter().for_each(Open::end);

    // Two processes, and then three, on the same partitions; the directory stays clean.
    let count = usize::try_from(10_000 * repeats()).unwrap();
    let lines = |name: &str| (0..count).map(|number| format!("{name} {number}\n")).collect::<String>();
    let mut names = Vec::new();
    for round in 0..3 {
        let kinds: [&[&str]; 3] = [&["--idempotent", "-z", "lz4"], &["-z", "none"], &["--fsync", "batch"]];
        let running = if round == 0 { 2 } else { 3 };
        std::thread::scope(|scope| {
            for (number, kind) in kinds.iter().enumerate().take(running) {
                let name = format!("r{round}p{number}");
                let input = lines(&name);
                let batch_size = if round == 2 { "4000" } else { "400" };
                let common = ["-t", "shared", "--partitioner", "round-robin", "--batch-size", batch_size];
                let args = [&common[..], &SEGMENT_BYTES, kind].concat();
                let data = &data;
                names.push(name);
                scope.spawn(move || produce(data, &args, input.as_bytes(), count));
            }
        });
        assert!(data.join(MARKER).exists(), "round {round}: the last one to end puts the marker back");
    }
    dump(&mut tools, &data, &partitions_of(&["shared"], 4));
    broker.restart();
    started_clean("shared", &broker);
    let [uncommitted, _] = compare("shared", &broker, &mut clients, &["shared"]);
    for name in &names {
        all_once_in_order("shared", &uncommitted, name, count);
    }
    println!("{} processes, {count} records each: all are there once and in order", names.len());
    let [uncommitted, _] = compare("times", &broker, &mut clients, &["times"]);
    let records = uncommitted.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let records: Vec<Value> = records.map(|line| serde_json::from_slice(line).unwrap()).collect();
    let times: Vec<i64> = records.iter().map(|record| record["timestamp_ms"].as_i64().unwrap()).collect();
    let asked: Vec<i64> = times.iter().flat_map(|time| [*time, time + 1]).collect();
    let list: Vec<_> = asked.iter().map(i64::to_string).collect();
    let answer = clients.run(&format!("offsets times 0 {}", list.join(" ")));
    for (asked, found) in asked.iter().zip(answer.split(' ')) {
        let expected = times.iter().position(|time| time >= asked).map_or(-1, |at| at as i64);
        assert_eq!(found, expected.to_string(), "the broker's first offset at {asked}");
    }
    broker.stop();

    // One of two dies: the other one goes on, and a broker has to look at everything.
    let mut dying = Open::start(&data, &["-t", "crash", "--partitioner", "round-robin", "--batch-size", "300"]);
    dying.write(500);
    std::thread::scope(|scope| {
        let args = ["-t", "crash", "--partitioner", "round-robin", "--batch-size", "300"];
        let input = lines("alive");
        let data = &data;
        let alive = scope.spawn(move || produce(data, &args, input.as_bytes(), count));
        std::thread::sleep(Duration::from_millis(30));
        dying.write(200);
        dying.kill();
        alive.join().unwrap();
    });
    assert!(!data.join(MARKER).exists(), "one did not come to its end");
    dump(&mut tools, &data, &partitions_of(&["crash"], 4));
    broker.restart();
    let log = broker.said_since_start();
    assert!(log.contains("since no clean shutdown file was found"), "{}", broker.said());
    not_damaged("one died", &broker);
    let [uncommitted, _] = compare("one died", &broker, &mut clients, &["crash"]);
    all_once_in_order("one died", &uncommitted, "alive", count);
    let dead = values(&uncommitted).values().flatten().filter(|value| value.starts_with("open ")).count();
    assert_eq!(dead, 700, "what the dead one had reported is there");
    broker.stop();

    // Without a sync nothing vouches for the data, and the broker looks at it.
    let input = lines("never");
    let args = ["-t", "never", "--fsync", "never", "--partitioner", "round-robin"];
    produce(&data, &[&args[..], &SEGMENT_BYTES].concat(), input.as_bytes(), count);
    assert!(!data.join(MARKER).exists(), "nothing is known to be on disk");
    dump(&mut tools, &data, &partitions_of(&["never"], 2));
    broker.restart();
    let log = broker.said_since_start();
    assert!(log.contains("Recovering unflushed segment"), "{}", broker.said());
    not_damaged("never", &broker);
    let [uncommitted, _] = compare("never", &broker, &mut clients, &["never"]);
    all_once_in_order("never", &uncommitted, "never", count);
    broker.stop();
}

/// The directory of a partition written by `logdir produce`: segments, codecs, producers.
fn written(root: &Path, seed: u64) -> PathBuf {
    let data = root.join(format!("written-{seed}"));
    let mut random = fastrand::Rng::with_seed(seed);
    let now = now_ms();
    for run in 0..6 {
        let count = random.usize(20..200);
        let lines: String = (0..count)
            .map(|number| {
                let value = line_value(&mut random, number as u64);
                // Timestamps that go up and down.
                format!("{} {value}\n", now - random.i64(0..100_000))
            })
            .collect();
        let codec = CODECS[random.usize(0..CODECS.len())];
        let producer = (run / 2 * 7).to_string();
        let sequence = if run % 2 == 0 { "0" } else { "" };
        let mut args = vec!["-t", "t", "--create", "1", "-f", "%T %s\\n", "-z", codec, "--batch-size", "700"];
        args.extend(["--segment-bytes", "12000", "--index-interval-bytes", "900"]);
        if run != 3 && !sequence.is_empty() {
            args.extend(["--producer-id", &producer]);
        } else if run == 5 {
            // As large as those of --idempotent, and the same for every run.
            args.extend(["--producer-id", "4611686018427387999"]);
        }
        produce(&data, &args, lines.as_bytes(), count);
    }
    data.join("t-0")
}

/// Does something to the files of a partition; returns what.
fn damage(dir: &Path, random: &mut fastrand::Rng) -> String {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let pick = |random: &mut fastrand::Rng, kinds: &[&str]| {
        let of_kind: Vec<_> = names.iter().filter(|name| kinds.iter().any(|kind| name.ends_with(kind))).collect();
        // The last ones more often than their share.
        let at = if random.bool() { random.usize(0..of_kind.len()) } else { of_kind.len() - 1 };
        (dir.join(of_kind[at]), of_kind[at].clone(), random.u32(..))
    };
    let resize = |path: &Path, len: u64| File::options().write(true).open(path).unwrap().set_len(len).unwrap();
    let kind = random.u32(0..12);
    let ([(log, log_name, chance), (index, index_name, _)], (any, any_name, _)) = (
        [pick(random, &[".log"]), pick(random, &[".index", ".timeindex"])],
        pick(random, &[".index", ".timeindex", ".snapshot", "leader-epoch-checkpoint"]),
    );
    let mut bytes = fs::read(&log).unwrap();
    let len = bytes.len();
    let at = if len == 0 { 0 } else { chance as usize % len };
    match kind {
        0 | 1 => {
            resize(&log, at as u64);
            format!("cut {log_name} at {at} of {len}")
        }
        2..=4 if len > 0 => {
            let mask = random.u8(1..);
            bytes[at] ^= mask;
            fs::write(&log, &bytes).unwrap();
            format!("flip {log_name} at {at} by {mask:02x}")
        }
        5 => {
            let zeros = 1 + chance as usize % 3000;
            resize(&log, (len + zeros) as u64);
            format!("{zeros} zeros after {log_name}")
        }
        6 => {
            let zeros = if len == 0 { 0 } else { chance as usize % len.min(2000) };
            bytes[len - zeros..].fill(0);
            fs::write(&log, &bytes).unwrap();
            format!("the last {zeros} bytes of {log_name} are zeros")
        }
        7 => {
            let tail = random_bytes(random, 1..200);
            bytes.extend_from_slice(&tail);
            fs::write(&log, &bytes).unwrap();
            format!("{} random bytes after {log_name}", tail.len())
        }
        8 | 9 => {
            fs::remove_file(&any).unwrap();
            format!("no {any_name}")
        }
        10 => {
            let len = fs::metadata(&index).unwrap().len();
            let to = if len == 0 { 0 } else { u64::from(chance) % len };
            resize(&index, to);
            format!("cut {index_name} at {to} of {len}")
        }
        _ => {
            let mut bytes = fs::read(&index).unwrap();
            let start = if bytes.is_empty() { 0 } else { chance as usize % bytes.len() };
            bytes[start..].fill_with(|| random.u8(..));
            fs::write(&index, &bytes).unwrap();
            format!("random bytes in {index_name} from {start}")
        }
    }
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    // Of what waits for its removal the logs count: Kafka renames others that it has made a moment before.
    let kept = |name: &str| !name.ends_with(".deleted") || name.ends_with(".log.deleted");
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
    named.filter(|(name, _)| kept(name)).map(|(name, bytes)| (name.clone(), in_order(&name, bytes))).collect()
}

/// A producer snapshot by producer id: Kafka's own order is that of a hash map.
fn in_order(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    match producer_state::parse(&bytes) {
        Ok(mut snapshot) if name.ends_with(".snapshot") => {
            snapshot.entries.sort_by_key(|entry| entry.producer_id);
            producer_state::to_bytes(&snapshot.entries)
        }
        _ => bytes,
    }
}

#[test]
fn damaged_logs_of_ours_are_recovered_as_kafka_recovers_them() {
    let Some(kafka) = Kafka::find() else { return };
    let root = tempfile::tempdir().unwrap();
    let mut loader = kafka.program("LiveProduce", &[], &root.path().join("loader.log"));
    let variants = 400 * repeats();
    let (mut refused, mut lossy, mut wrong) = (0, 0, Vec::new());
    let mut sources = Vec::new();
    for variant in 0..variants {
        let mut random = fastrand::Rng::with_seed(9_000 + variant);
        if variant % 50 == 0 {
            sources.push(written(root.path(), variant));
        }
        let source = sources.last().unwrap();
        let (theirs, ours) = (root.path().join("theirs/t-0"), root.path().join("ours/t-0"));
        copy_dir(source, &theirs);
        let mut what: Vec<String> = Vec::new();
        for _ in 0..1 + random.u32(0..4) / 3 {
            what.push(damage(&theirs, &mut random));
        }
        copy_dir(&theirs, &ours);
        let clean = random.u32(0..5) == 0;
        let bases: Vec<i64> = files(source).keys().filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect();
        let recovery_point = match random.u32(0..3) {
            0 => 0,
            1 => bases[random.usize(0..bases.len())],
            _ => random.i64(0..=bases[bases.len() - 1] + 50),
        };
        let what = format!(
            "variant {variant} ({}; {}, recovery point {recovery_point})",
            what.join(", "),
            if clean { "clean" } else { "unclean" }
        );
        let answer = loader.try_run(&format!(
            "load {} {} {recovery_point} 0 internal.segment.bytes=12000 index.interval.bytes=900 segment.index.bytes=65536",
            theirs.display(),
            if clean { "clean" } else { "unclean" }
        ));
        let config = LogConfig {
            segment_bytes: 12_000,
            index_interval_bytes: 900,
            segment_index_bytes: 65_536,
            ..LogConfig::default()
        };
        let options = LoadOptions {
            clean,
            recovery_point: Offset::new(recovery_point),
            log_start: Offset::ZERO,
            now_ms: now_ms(),
            config,
        };
        let plan = recovery::plan(&ours, &options);
        match (answer, plan) {
            (Err(theirs), Err(ours)) => {
                refused += 1;
                if refused <= 5 {
                    println!("{what}: both refuse: {theirs}; {ours}");
                }
            }
            (Ok(answer), Ok(plan)) => {
                let segments: Vec<Value> = plan.segments.iter().map(|(base, len)| json!([base.get(), len])).collect();
                let entries = plan.producers.producers().map(|p| p.to_entry());
                let producers: BTreeMap<i64, i32> = entries.map(|p| (p.producer_id.0, p.last_sequence)).collect();
                let producers: Vec<Value> = producers.into_iter().map(|(id, sequence)| json!([id, sequence])).collect();
                let epochs = plan.epochs.entries().iter().map(|entry| json!([entry.epoch.0, entry.start.get()]));
                let found = json!({
                    "log_end": plan.log_end.get(), "log_start": plan.log_start.get(),
                    "recovery_point": plan.recovery_point.get(), "segments": segments, "producers": producers,
                    "epochs": epochs.collect::<Vec<_>>(),
                });
                let expected: Value = serde_json::from_str(&answer).unwrap();
                lossy += u64::from(!plan.losses.is_empty());
                if found != expected {
                    wrong.push(format!("{what}: we say {found}, Kafka {expected}"));
                }
                plan.apply().unwrap();
                let mut log = LogWriter::open(plan, config, Durability::Buffered, now_ms()).unwrap();
                log.close().unwrap();
                drop(log);
                let (found, expected) = (files(&ours), files(&theirs));
                let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
                if names(&found) != names(&expected) {
                    wrong.push(format!("{what}: we leave {:?}, Kafka {:?}", names(&found), names(&expected)));
                }
                for (name, bytes) in &expected {
                    if found.get(name).is_some_and(|found| found != bytes) {
                        let (ours, theirs) = (found[name].len(), bytes.len());
                        wrong.push(format!("{what}: {name} differs, {ours} bytes of ours and {theirs} of Kafka's"));
                    }
                }
            }
            (answer, plan) => {
                let ours = plan.map(|plan| plan.segments);
                wrong.push(format!("{what}: Kafka's answer is {answer:?}, ours {ours:?}"));
            }
        }
        fs::remove_dir_all(&theirs).unwrap();
        fs::remove_dir_all(&ours).unwrap();
    }
    println!("{variants} damaged logs: {lossy} lose data in the same way, {refused} are refused by both");
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
