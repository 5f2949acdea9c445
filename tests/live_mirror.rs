//! `logdir mirror` into and out of a Kafka 4.3: killed again and again, and every record arrives once.
//!
//! Skipped without `LOGDIR_KAFKA_LIBS`. `LOGDIR_LIVE_REPEATS` multiplies the records (10: a million).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/broker.rs"]
mod broker;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use broker::{Broker, Clients, Kafka, free_ports};
use logdir::batch::builder::{BatchBuilder, BatchSpec, NewHeader, NewRecord};
use logdir::batch::scan::Depth;
use logdir::batch::{Compressor, Decompressor};
use logdir::storage::log_dir::LogDir;
use logdir::storage::partition::Partition;
use logdir::storage::reader::{LogReader, ReadStep};
use logdir::storage::writer::{AppendSession, Durability, LogConfig, SessionOptions};
use logdir::types::TopicPartition;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const TOPICS: [&str; 3] = ["orders", "payments", "users"];
const SOURCE_ID: &str = "c291cmNlIGNsdXN0ZXIhIQ";

fn repeats() -> u64 {
    std::env::var("LOGDIR_LIVE_REPEATS").ok().map_or(1, |text| text.parse().expect("LOGDIR_LIVE_REPEATS: a number"))
}

fn logdir(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    command.env_clear().args(args).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs `logdir produce` over lines.
fn produce(data: &Path, args: &[&str], lines: &str) {
    let mut command = logdir(&["produce", "-q", "-d", data.to_str().unwrap()]);
    let mut child = command.args(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "produce {args:?}");
}

/// A log directory to be made, and what it is in.
fn new_data() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    (dir, data)
}

fn numbered(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|number| format!("record {number}\n")).collect()
}

/// A mirror of `data` into a broker.
struct Mirror<'a> {
    data: &'a Path,
    broker: &'a Broker,
}

impl Mirror<'_> {
    fn command(&self, more: &[&str]) -> Command {
        let to = format!("127.0.0.1:{}", self.broker.port());
        let data = self.data.to_str().unwrap();
        logdir(&[&["mirror", "-d", data, "--to-cluster", &to][..], more].concat())
    }

    fn output(&self, more: &[&str]) -> Output {
        self.command(more).output().unwrap()
    }

    /// Runs it; it must end like this. Gives stdout and stderr.
    fn run(&self, more: &[&str], code: i32) -> (String, String) {
        let output = self.output(more);
        let stdout = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{more:?}: {stdout}{}", said(&output));
        (stdout, said(&output))
    }

    /// The rows of JSON it prints, and what it says.
    fn rows(&self, more: &[&str], code: i32) -> (Vec<Value>, String) {
        let (stdout, said) = self.run(&[&["--json"], more].concat(), code);
        (stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), said)
    }

    fn spawn(&self, more: &[&str]) -> Child {
        self.command(more).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

fn of_kind<'r>(rows: &'r [Value], kind: &str) -> impl Iterator<Item = &'r Value> {
    rows.iter().filter(move |row| row["type"] == *kind)
}

fn records_of(rows: &[Value]) -> u64 {
    of_kind(rows, "summary").next().unwrap()["records"].as_u64().unwrap()
}

/// Records by partition, in order: offset, and everything else but the leader epoch.
type Records = BTreeMap<(String, i64), Vec<(i64, Value)>>;

/// What Kafka's consumer gets of the topics, committed records only.
fn truth(broker: &Broker, clients: &mut Clients, topics: &[&str]) -> Records {
    let file = broker.file("truth.ndjson");
    clients.run(&format!("consume read_committed {} {}", file.display(), topics.join(" ")));
    by_place(&fs::read_to_string(&file).unwrap())
}

/// Records of JSON lines, as `logdir consume` and Kafka's consumer in the tests print them.
fn by_place(lines: &str) -> Records {
    let mut records = Records::new();
    for line in lines.lines() {
        let mut record: Value = serde_json::from_str(line).unwrap();
        let fields = record.as_object_mut().unwrap();
        fields.remove("leader_epoch");
        let partition = fields.remove("partition").unwrap().as_i64().unwrap();
        let offset = fields.remove("offset").unwrap().as_i64().unwrap();
        let topic = fields["topic"].as_str().unwrap().to_owned();
        records.entry((topic, partition)).or_default().push((offset, record));
    }
    records
}

fn count(records: &Records) -> usize {
    records.values().map(Vec::len).sum()
}

/// The same records in the same order, none twice.
fn same(what: &str, target: &Records, source: &Records) {
    assert_eq!(target.keys().collect::<Vec<_>>(), source.keys().collect::<Vec<_>>(), "{what}: partitions");
    for (partition, records) in source {
        let found = &target[partition];
        let differs = found.iter().zip(records).position(|(found, record)| found.1 != record.1);
        if let Some(at) = differs {
            panic!("{what}: {partition:?}, record {at}: {:?}, expected {:?}", found[at], records[at]);
        }
        assert_eq!(found.len(), records.len(), "{what}: {partition:?}");
    }
    println!("{what}: {} records of {} partitions are the same", count(source), source.len());
}

/// What a group's consumer reads next in each partition: its first offsets.
fn goes_on_at(broker: &Broker, clients: &mut Clients, group: &str, topic: &str) -> BTreeMap<i64, i64> {
    let file = broker.file("taken.txt");
    clients.run(&format!("take-part {group} {topic} 1000000000 {} isolation.level=read_committed", file.display()));
    let mut first = BTreeMap::new();
    for line in fs::read_to_string(&file).unwrap().lines() {
        let (partition, offset) = line.split_once(' ').unwrap();
        first.entry(partition.parse().unwrap()).or_insert(offset.parse().unwrap());
    }
    first
}

/// What each group has committed in a stopped broker's directory.
fn committed(data: &Path, group: &str) -> BTreeMap<(String, i64), i64> {
    let output = logdir(&["groups", "export", group, "-q", "--json", "-d", data.to_str().unwrap()]).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let rows = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let rows = rows.map(|row| {
        let topic = row["topic"].as_str().unwrap().to_owned();
        ((topic, row["partition"].as_i64().unwrap()), row["offset"].as_i64().unwrap())
    });
    rows.collect()
}

/// The group's consumer in the target goes on with the record that is next in the source.
fn check_group(
    what: &str,
    (target, clients): (&Broker, &mut Clients),
    group: &str,
    source: (&BTreeMap<(String, i64), i64>, &Records),
    mirrored: &Records,
) {
    let topics: std::collections::BTreeSet<&str> = source.0.keys().map(|(topic, _)| topic.as_str()).collect();
    let mut checked = 0;
    for topic in topics {
        let first = goes_on_at(target, clients, group, topic);
        for ((_, partition), offset) in source.0.iter().filter(|((of, _), _)| of == topic) {
            let at = (topic.to_owned(), *partition);
            let Some(records) = source.1.get(&at) else { continue };
            let next = records.iter().position(|(there, _)| there >= offset);
            // Records are in the same order on both sides.
            let expected = next.map(|number| mirrored[&at][number].0);
            assert_eq!(
                first.get(partition).copied(),
                expected,
                "{what}: {group} in {topic}-{partition}, {offset} here"
            );
            checked += 1;
        }
    }
    println!("{what}: group {group} goes on at the very next record in {checked} partitions");
}

#[test]
fn killed_again_and_again_every_record_arrives_once() {
    let Some(kafka) = Kafka::find() else { return };
    let mut random = fastrand::Rng::with_seed(10);
    let mut source = Broker::start_in(&kafka, SOURCE_ID, "");
    let mut clients = source.clients();
    let settings = "internal.segment.bytes=1048576 retention.ms=-1";
    for (topic, partitions) in TOPICS.iter().zip([6, 4, 2]) {
        clients.run(&format!("create {topic} {partitions} {settings}"));
    }
    let fill = |clients: &mut Clients, seed: u64, scale: u64| {
        for (topic, (partitions, records)) in TOPICS.iter().zip([(6, 4_800), (4, 3_000), (2, 1_500)]) {
            clients.run(&format!("produce {topic} {partitions} {seed} {}", records * scale));
            clients.run(&format!("transactions {topic} {partitions} {seed} {} closed", 60 * scale.min(5)));
        }
    };
    fill(&mut clients, 1, repeats());
    for (group, topic, max) in [("billing", "orders", 20_000), ("audit", "orders", 3_333), ("mail", "users", 777)] {
        let file = source.file("taken.txt");
        let command = format!("take-part {group} {topic} {max} {} isolation.level=read_committed", file.display());
        clients.run(&command);
    }
    // One of them stays open: what is behind it waits.
    clients.run("transactions users 2 77 20 open");
    let expected = truth(&source, &mut clients, &TOPICS);
    drop(clients);
    source.stop();
    let data = source.data();
    let groups = ["billing", "audit", "mail"].map(|group| (group, committed(&data, group)));

    let target = Broker::start(&kafka, "");
    let mirror = Mirror { data: &data, broker: &target };
    let (rows, _) = mirror.rows(&["-n", "--groups", "all"], 0);
    assert_eq!(of_kind(&rows, "partition").count(), 12);
    let sum = of_kind(&rows, "summary").next().unwrap();
    assert!(sum["records_max"].as_u64().unwrap() >= count(&expected) as u64 && sum["topics_made"] == 3, "{sum}");
    let mut clients = target.clients();

    let rate = format!("{}MiB/s", 2 * repeats());
    let args = ["--groups", "all", "--transaction-bytes", "200KiB", "--throttle", &rate];
    let (mut killed, mut early) = (0, 0);
    while killed < 10 {
        let mut run = mirror.spawn(&args);
        std::thread::sleep(Duration::from_millis(random.u64(200..2_500)));
        if run.try_wait().unwrap().is_some() {
            early += 1;
            assert!(early < 5, "runs end before they are killed: make them slower");
            break;
        }
        run.kill().unwrap();
        run.wait().unwrap();
        killed += 1;
    }
    let arrived = count(&truth(&target, &mut clients, &TOPICS));
    println!("{killed} runs were killed; {arrived} of {} records have arrived", count(&expected));
    let (rows, words) = mirror.rows(&["--groups", "all"], 0);
    println!("the last run wrote {}", records_of(&rows));
    assert!(words.contains("a transaction is open at offset"), "{words}");
    let mirrored = truth(&target, &mut clients, &TOPICS);
    same("after kills", &mirrored, &expected);
    for row in of_kind(&rows, "group_offset") {
        assert_eq!(row["exact"], true, "{row}");
    }
    for (group, committed) in &groups {
        assert!(!committed.is_empty(), "{group}");
        check_group("after kills", (&target, &mut clients), group, (committed, &expected), &mirrored);
    }
    // The settings came along, from the metadata log.
    let address = format!("127.0.0.1:{}", target.port());
    let args = ["--bootstrap-server", &address, "--describe", "--topic", "orders"];
    let described = kafka.tool("org.apache.kafka.tools.TopicCommand", &args);
    assert!(described.contains("retention.ms=-1"), "{described}");

    // Nothing is left; then there is more, and the open transaction is ended.
    let (rows, _) = mirror.rows(&[], 0);
    assert_eq!(records_of(&rows), 0);
    source.restart();
    let mut of_source = source.clients();
    fill(&mut of_source, 2, 1);
    of_source.run("transactions users 2 77 20 closed");
    of_source.run(&format!("take-part late orders 9000 {}", source.file("taken.txt").display()));
    let expected = truth(&source, &mut of_source, &TOPICS);
    drop(of_source);
    source.stop();
    let map = target.file("map.csv");
    let (rows, _) = mirror.rows(&["--map", map.to_str().unwrap()], 0);
    let mirrored = truth(&target, &mut clients, &TOPICS);
    same("with more", &mirrored, &expected);
    check_map(&map, records_of(&rows), &expected, &mirrored);

    // A group that nobody asked for while its records went over; it has a member in the target.
    clients.run(&format!("take-part late orders 10 {} stay=true", target.file("taken.txt").display()));
    let (_, words) = mirror.rows(&["--groups", "late"], 1);
    assert!(words.contains("group 'late' has members in the cluster"), "{words}");
    let fresh = target.clients();
    drop(std::mem::replace(&mut clients, fresh));
    wait_until("the member of group 'late' is gone", || mirror.output(&["--groups", "late"]).status.success());
    let late = committed(&data, "late");
    check_group("late", (&target, &mut clients), "late", (&late, &expected), &mirrored);
    let output = mirror.output(&["--groups", "nobody"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(90), "{what}: not so after 90 s");
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Every run of the map says which record became which; the cluster tells of those of earlier runs.
fn check_map(map: &Path, written: u64, source: &Records, target: &Records) {
    let of = |records: &Records| -> BTreeMap<(String, i64, i64), Value> {
        let each = records.iter().flat_map(|((topic, partition), records)| {
            records.iter().map(|(offset, record)| ((topic.clone(), *partition, *offset), record.clone()))
        });
        each.collect()
    };
    let (source, target) = (of(source), of(target));
    let (mut runs, mut records) = (0, 0);
    for line in fs::read_to_string(map).unwrap().lines().skip(1) {
        let parts: Vec<&str> = line.split(',').collect();
        let number = |at: usize| parts[at].parse::<i64>().unwrap();
        for n in 0..number(4) {
            let from = source.get(&(parts[0].to_owned(), number(1), number(2) + n));
            let to = target.get(&(parts[0].to_owned(), number(1), number(3) + n));
            assert!(from.is_some() && from == to, "{line}: record {n}");
            records += 1;
        }
        runs += 1;
    }
    assert!(records >= written, "{records} records in the map, {written} written");
    println!("{runs} runs of the map: {records} records are where it says");
}

/// Segments of a partition, by base offset.
fn segments(partition: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect();
    logs.sort();
    logs
}

fn remove_segment(log: &Path) {
    for kind in ["log", "index", "timeindex"] {
        fs::remove_file(log.with_extension(kind)).unwrap();
    }
}

fn base(log: &Path) -> u64 {
    log.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

#[test]
fn gaps_and_topics_made_again_are_told_before_anything_is_written() {
    let Some(kafka) = Kafka::find() else { return };
    let target = Broker::start(&kafka, "");
    let mut clients = target.clients();
    let (_dir, data) = new_data();
    let mirror = Mirror { data: &data, broker: &target };
    let small = ["-p", "0", "--batch-size", "500", "--segment-bytes", "4000"];
    let fill = |topic: &str, numbers| {
        produce(&data, &[&["-t", topic, "--create", "1"], &small[..]].concat(), &numbered(numbers))
    };
    let mut arrived =
        |topic: &str| truth(&target, &mut clients, &[topic]).into_values().next().map_or(0, |records| records.len());

    // The log starts above what is mirrored.
    fill("gap", 0..100);
    mirror.run(&[], 0);
    fill("gap", 100..3_000);
    let logs = segments(&data.join("gap-0"));
    assert!(logs.len() > 4, "{logs:?}");
    logs[..2].iter().for_each(|log| remove_segment(log));
    let start = base(&logs[2]);
    let (_, said) = mirror.run(&[], 1);
    assert!(said.contains(&format!("offsets 100..{start} were not mirrored and are gone")), "{said}");
    let (_, said) = mirror.run(&["-n"], 1);
    assert!(said.contains(&format!("offsets 100..{start} ")), "{said}");
    assert_eq!(arrived("gap"), 100, "nothing is written");

    // A segment is missing in the middle: what is in front of it goes over.
    remove_segment(&logs[4]);
    let (hole, behind) = (base(&logs[4]), base(&logs[5]));
    let (rows, said) = mirror.rows(&["--on-gap", "keep"], 0);
    assert!(said.contains(&format!("offsets {hole}..{behind} are missing")), "{said}");
    assert_eq!(records_of(&rows), 3_000 - start - (behind - hole));
    fill("hole", 0..2_000);
    let logs = segments(&data.join("hole-0"));
    remove_segment(&logs[2]);
    let (hole, behind) = (base(&logs[2]), base(&logs[3]));
    let (rows, said) = mirror.rows(&["-t", "hole"], 1);
    assert!(said.contains(&format!("offsets {hole}..{behind} are missing")), "{said}");
    assert_eq!((records_of(&rows), arrived("hole") as u64), (hole, hole));
    let (rows, _) = mirror.rows(&["-t", "hole", "--on-gap", "keep"], 0);
    assert_eq!(records_of(&rows), 2_000 - behind);

    // A topic that was made again.
    fill("again", 0..50);
    mirror.run(&["-t", "again"], 0);
    fs::remove_dir_all(data.join("again-0")).unwrap();
    fill("again", 0..70);
    let (_, said) = mirror.run(&["-t", "again"], 1);
    assert!(said.contains("the topic was made again: offsets up to 50 were mirrored"), "{said}");
    assert_eq!(arrived("again"), 50, "nothing is written");
    let (rows, _) = mirror.rows(&["-t", "again", "--on-gap", "keep"], 0);
    assert_eq!((records_of(&rows), arrived("again")), (70, 120));
    assert_eq!(records_of(&mirror.rows(&["-t", "again"], 0).0), 0);

    // A log that was cut.
    fill("cut", 0..1_000);
    mirror.run(&["-t", "cut"], 0);
    let logs = segments(&data.join("cut-0"));
    logs[2..].iter().for_each(|log| remove_segment(log));
    let (_, said) = mirror.run(&["-t", "cut"], 1);
    assert!(
        said.contains(&format!("offsets {}..1000 were mirrored and are not in the source any more", base(&logs[2]))),
        "{said}"
    );

    // Another number of partitions.
    produce(&data, &["-t", "wide", "--create", "2"], &numbered(0..10));
    clients.run("create wide 3");
    let (_, said) = mirror.run(&[], 4);
    assert!(said.contains("topic 'wide' has 2 partitions here and 3 in the cluster"), "{said}");

    // Records that are not from here.
    produce(&data, &["-t", "taken", "--create", "1"], &numbered(0..10));
    clients.run("create taken 1");
    clients.run("produce taken 1 5 1");
    let (_, said) = mirror.run(&["-t", "taken"], 4);
    assert!(
        said.contains("taken-0 holds records in the cluster (offsets 0..10)") && said.contains("--append"),
        "{said}"
    );
    let (rows, _) = mirror.rows(&["-t", "taken", "--append"], 0);
    assert_eq!(records_of(&rows), 10);

    // What a broker refuses; what is in front of it goes over.
    produce(&data, &["-t", "keyed", "--create", "1", "-K", ":", "--batch-size", "500"], "a:1\nb:2\n");
    mirror.run(&["-t", "keyed"], 0);
    clients.run("configure keyed cleanup.policy=compact");
    produce(&data, &["-t", "keyed", "-K", ":"], "c:3\n");
    produce(&data, &["-t", "keyed"], "no key\n");
    let (_, said) = mirror.run(&["-t", "keyed"], 3);
    assert!(said.contains("cleanup.policy=compact in the cluster") && said.contains(" on are refused"), "{said}");

    // Settings that are not the user's.
    for (args, words) in [
        (&["-X", "acks=1"][..], "'acks' is set by mirror itself"),
        (&["-X", "no.such=1"], "no.such"),
        (&["-X", "hunter2"], "expected key=value"),
        (&["--command-config", "/nowhere"], "/nowhere"),
    ] {
        let output = mirror.output(args);
        let code = if words == "/nowhere" { 3 } else { 2 };
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(
            said_by(&output).contains(words) && !said_by(&output).contains("hunter2"),
            "{args:?}: {}",
            said_by(&output)
        );
    }
}

fn said_by(output: &Output) -> String {
    said(output)
}

#[test]
fn one_instance_at_a_time_and_a_signal_ends_it_in_order() {
    let Some(kafka) = Kafka::find() else { return };
    let target = Broker::start(&kafka, "");
    let mut clients = target.clients();
    let (_dir, data) = new_data();
    produce(&data, &["-t", "numbers", "--create", "3"], &numbered(0..50_000));
    // A consumer that looks for it before the mirror has made it would have it made, with one partition.
    clients.run("create numbers 3");
    let mirror = Mirror { data: &data, broker: &target };
    let slow = ["--throttle", "100KiB/s", "--transaction-bytes", "20KiB"];
    let first = mirror.spawn(&slow);
    wait_for(&mut clients, &target, "numbers", 100);
    let second = mirror.spawn(&slow);
    let output = first.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("another instance with the transactional id 'logdir-mirror-"), "{}", said(&output));
    let before = count(&truth(&target, &mut clients, &["numbers"]));
    wait_for(&mut clients, &target, "numbers", before + 500);
    kill_process(Pid::from_child(&second), Signal::INT).unwrap();
    let output = second.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(said(&output).contains("run again to go on"), "{}", said(&output));
    let there = count(&truth(&target, &mut clients, &["numbers"]));
    let (rows, _) = mirror.rows(&[], 0);
    assert_eq!(records_of(&rows) + there as u64, 50_000);
    let values = truth(&target, &mut clients, &["numbers"]);
    let mut values: Vec<String> =
        values.values().flatten().map(|(_, record)| record["value"].as_str().unwrap().to_owned()).collect();
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 50_000);
    println!("fenced, interrupted and finished: 50000 records, each once");
}

fn wait_for(clients: &mut Clients, broker: &Broker, topic: &str, records: usize) {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        let file = broker.file("waiting.ndjson");
        let asked = clients.try_run(&format!("consume read_committed {} {topic}", file.display()));
        if asked.is_ok_and(|count| count.trim().parse::<usize>().is_ok_and(|count| count >= records)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{records} records of {topic} do not arrive");
}

#[test]
fn a_password_is_used_and_shown_nowhere() {
    let Some(kafka) = Kafka::find() else { return };
    let [sasl] = free_ports();
    let settings = format!(
        "listeners=PLAINTEXT://127.0.0.1:$PORT,SASL_PLAINTEXT://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:$CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT\n\
         sasl.enabled.mechanisms=PLAIN\n\
         listener.name.sasl_plaintext.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"hunter2-hunter2\";\n"
    );
    let target = Broker::start(&kafka, &settings);
    let mut clients = target.clients();
    let (dir, data) = new_data();
    produce(&data, &["-t", "numbers", "--create", "2"], &numbered(0..1_000));
    let file = dir.path().join("client.properties");
    let address = format!("127.0.0.1:{sasl}");
    let to =
        ["mirror", "-d", data.to_str().unwrap(), "--to-cluster", &address, "--command-config", file.to_str().unwrap()];
    let set = |password: &str| {
        let text = format!(
            "# how the cluster is spoken to\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=alice\n\
             sasl.password={password}\n"
        );
        fs::write(&file, text).unwrap();
    };
    let no_password = |output: &Output| {
        let all = [&output.stdout[..], &output.stderr].concat();
        assert!(!String::from_utf8_lossy(&all).contains("hunter2"), "{}", said(output));
    };
    set("hunter2-wrong");
    let started = Instant::now();
    let output = logdir(&to).args(["-v", "-X", "debug=all"]).output().unwrap();
    no_password(&output);
    let output = logdir(&to).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("uthentication"), "{}", said(&output));
    assert!(started.elapsed() < Duration::from_secs(60));
    no_password(&output);
    set("hunter2-hunter2");
    let output = logdir(&to).args(["-v", "-X", "debug=all", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    no_password(&output);
    assert_eq!(count(&truth(&target, &mut clients, &["numbers"])), 1_000);
    let dirs = fs::read_dir(target.data()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let logs = dirs.flat_map(|dir| segments(&dir));
    let mut looked = 0;
    for log in logs {
        let bytes = fs::read(&log).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{}", log.display());
        looked += 1;
    }
    println!("1000 records by way of SASL; no password in {looked} logs, stdout or stderr");

    // Nobody listens there.
    let [nobody] = free_ports();
    let started = Instant::now();
    let address = format!("127.0.0.1:{nobody}");
    let output = logdir(&["mirror", "-d", data.to_str().unwrap(), "--to-cluster", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("no broker of ") && said(&output).contains("efused"), "{}", said(&output));
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
}

#[test]
fn a_broker_that_stands_still_or_crashes_is_waited_for() {
    const RECORDS: u64 = 60_000;
    let Some(kafka) = Kafka::find() else { return };
    let mut broker = Broker::start(&kafka, "");
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("copy"));
    produce(&data, &["-t", "numbers", "--create", "3"], &numbered(0..RECORDS));
    let address = format!("127.0.0.1:{}", broker.port());
    let into = ["mirror", "-d", data.to_str().unwrap(), "--to-cluster", &address, "--transaction-bytes", "50KiB"];
    let out = ["mirror", "--from-cluster", &address, "--to", to.to_str().unwrap()];
    for (what, args, rate) in [("into a cluster", &into[..], "150KiB/s"), ("out of a cluster", &out, "30KiB/s")] {
        let started = Instant::now();
        let args = [args, &["--throttle", rate]].concat();
        let run = logdir(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs(2));
        let pid = Pid::from_raw(broker.pid().cast_signed()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        std::thread::sleep(Duration::from_secs(5));
        kill_process(pid, Signal::CONT).unwrap();
        std::thread::sleep(Duration::from_secs(1));
        broker.kill();
        std::thread::sleep(Duration::from_secs(1));
        broker.restart();
        let output = run.wait_with_output().unwrap();
        println!(
            "{what}: {:?} after {:.1} s: {}",
            output.status.code(),
            started.elapsed().as_secs_f64(),
            said(&output)
        );
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        // What librdkafka says again and again is told once.
        assert!(said(&output).lines().count() < 12, "{}", said(&output));
    }
    let there = truth(&broker, &mut broker.clients(), &["numbers"]);
    check_followed(&broker, &to);
    let values: std::collections::BTreeSet<&str> =
        there.values().flatten().map(|(_, record)| record["value"].as_str().unwrap()).collect();
    assert_eq!((count(&there), values.len()), (usize::try_from(RECORDS).unwrap(), usize::try_from(RECORDS).unwrap()));
    assert!(Copied { broker: &broker, to: &to }.records(&["numbers"]) == there, "offset by offset");
    // Leader epochs too: each start of the broker began one.
    broker.stop();
    let consumed = |data: &Path| {
        let args = ["consume", "-q", "--json", "--isolation-level", "read_committed", "-t", "numbers", "-d"];
        let output = logdir(&args).arg(data).output().unwrap();
        let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let lines = consumed(&to);
    assert!(lines.iter().any(|line| !line.contains("\"leader_epoch\":0")), "{}", lines[0]);
    assert!(lines == consumed(&broker.data()), "with leader epochs");
}

/// A copy out of a cluster has no holes between its batches: it can be copied on.
fn check_followed(broker: &Broker, to: &Path) {
    let again = broker.file("copied-on");
    let output =
        logdir(&["mirror", "--json", "-d", to.to_str().unwrap(), "--to", again.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn out_of_a_cluster_comes_what_is_odd() {
    let Some(kafka) = Kafka::find() else { return };
    let mut source = Broker::start(&kafka, "");
    let mut clients = source.clients();
    for (topic, partitions) in [("busy", 1), ("empty", 1), ("raw", 1), ("sparse", 1), ("wide", 30)] {
        clients.run(&format!("create {topic} {partitions} retention.ms=-1"));
    }
    clients.run("produce empty 1 1 100");
    let high = truth(&source, &mut clients, &["empty"])[&("empty".to_owned(), 0)].last().unwrap().0 + 1;
    clients.run(&format!("delete-records empty 0 {high}"));
    clients.run("transactions sparse 1 1 30 closed");
    drop(clients);
    source.stop();
    // No client of Kafka's writes such a key.
    append_raw(&source.data(), "raw", b"\xff\xfe key");
    source.restart();
    let mut clients = source.clients();
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("copy");
    let copied = Copied { broker: &source, to: &to };

    // Written to without a pause it is copied up to where it ended.
    clients.run(&format!("write-start plain busy 1 {} 2000", source.file("sent.txt").display()));
    std::thread::sleep(Duration::from_secs(1));
    let started = Instant::now();
    let (rows, words) = copied.rows(&[], 0);
    assert!(started.elapsed() < Duration::from_secs(60) && records_of(&rows) > 100, "{words}");
    clients.run("write-stop");
    let opened = LogDir::open(&to).unwrap();
    let partition = |topic: &str| {
        let (name, path) = opened.partitions().find(|(name, _)| name.topic_partition.topic == topic).unwrap();
        opened.open_partition(name, path).unwrap()
    };
    assert_eq!(partition("empty").log_end().unwrap().get(), high, "an empty log begins where that of the cluster does");
    assert_eq!(keys_of_headers(&partition("raw")), [b"\xff\xfe key".to_vec()]);
    check_followed(&source, &to);

    // As many files as it may have: more than the soft limit, not more than the hard one.
    let under = |limit: &str, to: &Path| {
        let address = format!("127.0.0.1:{}", source.port());
        let command = format!(
            "{limit}; exec {} mirror -q --from-cluster {address} -t wide --to {}",
            env!("CARGO_BIN_EXE_logdir"),
            to.display()
        );
        Command::new("sh").args(["-c", &command]).output().unwrap()
    };
    let output = under("ulimit -Sn 100", &dir.path().join("soft"));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let output = under("ulimit -n 100", &dir.path().join("hard"));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("184 files have to be open at once, 100 may be"), "{}", said(&output));
    for (args, code, words) in [
        (&["-t", "wide", "-p", "77"][..], 3, "-p names"),
        (&["-t", "wide", "--groups", "nobody"], 3, "group 'nobody' is not in the cluster"),
    ] {
        let (_, said) = copied.rows(args, code);
        assert!(said.contains(words), "{said}");
    }
}

/// Appends a record with a header of this key to partition 0 of a stopped broker's topic.
fn append_raw(data: &Path, topic: &str, key: &[u8]) {
    let header = NewHeader { key, value: Some(b"value") };
    let mut builder = BatchBuilder::new(BatchSpec::default());
    builder
        .push(&NewRecord { timestamp_ms: 7, value: Some(b"raw"), headers: &[header], ..NewRecord::default() })
        .unwrap();
    let mut batch = builder.seal(&mut Compressor::default()).unwrap();
    let options =
        SessionOptions { config: LogConfig::default(), durability: Durability::Synced, allow_truncate: false };
    let mut session = AppendSession::open(data, options).unwrap();
    session.append(&TopicPartition::new(topic, 0), &mut batch, 7).unwrap();
    session.close(7).unwrap();
}

fn keys_of_headers(partition: &Partition) -> Vec<Vec<u8>> {
    let mut reader = LogReader::new(partition, Depth::Crc, 1 << 30);
    let mut keys = Vec::new();
    loop {
        match reader.next().unwrap() {
            ReadStep::Entry { entry, .. } => {
                for record in entry.frame.records(&mut Decompressor::default()).unwrap() {
                    keys.extend(record.unwrap().headers.iter().map(|(key, _)| key.to_vec()));
                }
            }
            ReadStep::End { .. } => return keys,
            _ => {}
        }
    }
}

/// A copy of a broker's topics.
struct Copied<'a> {
    broker: &'a Broker,
    to: &'a Path,
}

impl Copied<'_> {
    fn command(&self, more: &[&str]) -> Command {
        let from = format!("127.0.0.1:{}", self.broker.port());
        logdir(&[&["mirror", "--from-cluster", &from, "--to", self.to.to_str().unwrap()][..], more].concat())
    }

    /// Runs it; it must end like this. Gives the rows of JSON it prints, and what it says.
    fn rows(&self, more: &[&str], code: i32) -> (Vec<Value>, String) {
        let output = self.command(&[&["--json"], more].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{more:?}: {}", said(&output));
        let stdout = String::from_utf8(output.stdout.clone()).unwrap();
        (stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), said(&output))
    }

    /// What `logdir consume` gets of it.
    fn records(&self, topics: &[&str]) -> Records {
        let args = ["consume", "-q", "--json", "-d", self.to.to_str().unwrap(), "-t", &topics.join(",")];
        let output = logdir(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        by_place(&String::from_utf8(output.stdout).unwrap())
    }
}

#[test]
fn a_cluster_is_copied_while_it_is_written_to_and_a_broker_serves_the_copy() {
    let Some(kafka) = Kafka::find() else { return };
    let mut random = fastrand::Rng::with_seed(11);
    let mut source = Broker::start_in(&kafka, SOURCE_ID, "");
    let topics = ["orders", "payments"];
    let (mut clients, mut others) = (source.clients(), source.clients());
    for (topic, partitions) in topics.iter().zip([4, 2]) {
        clients.run(&format!("create {topic} {partitions} internal.segment.bytes=1048576 retention.ms=-1"));
        clients.run(&format!("produce {topic} {partitions} 1 {}", 5_000 * repeats()));
    }
    let file = source.file("taken.txt");
    clients.run(&format!("take-part billing orders 3000 {} isolation.level=read_committed", file.display()));
    // One writes in transactions, some of them aborted, the other without, while the mirror is killed and goes on.
    clients.run(&format!("write-start transactions orders 4 {} 300", source.file("sent-1.txt").display()));
    others.run(&format!("write-start plain payments 2 {} 100", source.file("sent-2.txt").display()));
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("copy");
    let copied = Copied { broker: &source, to: &to };
    for _ in 0..10 {
        let mut run = copied.command(&["--follow", "-q"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.u64(300..3_000)));
        assert!(run.try_wait().unwrap().is_none(), "it follows until it is ended");
        run.kill().unwrap();
        run.wait().unwrap();
    }
    clients.run("write-stop");
    others.run("write-stop");
    let (rows, _) = copied.rows(&["--groups", "all"], 0);
    println!("10 runs were killed; the last one brought {} records", records_of(&rows));
    let expected = truth(&source, &mut clients, &topics);
    let found = copied.records(&topics);
    same("out of a cluster", &found, &expected);
    for (partition, records) in &expected {
        let offsets = |records: &[(i64, Value)]| records.iter().map(|(offset, _)| *offset).collect::<Vec<_>>();
        assert_eq!(offsets(&found[partition]), offsets(records), "{partition:?}: offsets");
    }
    let (rows, words) = copied.rows(&["--groups", "all"], 0);
    assert_eq!(records_of(&rows), 0, "{words}");
    // It follows until it is interrupted, and ends in order.
    let mut run = copied.command(&["--follow"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let verified = logdir(&["verify", "-d", to.to_str().unwrap(), "-q"]).output().unwrap();
    println!(
        "verify: {:?} {}",
        verified.status.code(),
        said(&verified).lines().take(3).collect::<Vec<_>>().join(" | ")
    );

    // What is gone, and what is another topic.
    clients.run("produce payments 2 3 3000");
    let high: i64 = truth(&source, &mut clients, &["payments"])[&("payments".to_owned(), 0)].last().unwrap().0;
    clients.run(&format!("delete-records payments 0 {high}"));
    let (rows, words) = copied.rows(&["-t", "payments"], 1);
    assert!(words.contains("are gone from the source") && words.contains("--on-gap keep"), "{words}");
    let row = of_kind(&rows, "partition").find(|row| row["partition"] == 0).unwrap();
    assert_eq!((&row["action"], &row["findings"][0]["code"]), (&"stopped".into(), &"gap".into()), "{row}");
    let (_, words) = copied.rows(&["-t", "payments", "--on-gap", "keep"], 0);
    assert!(words.contains("warning"), "{words}");
    clients.run("delete-topic payments");
    clients.run("create payments 2");
    let (_, words) = copied.rows(&["-t", "payments"], 1);
    assert!(words.contains("the source ends at offset 0"), "{words}");
    // One that is longer than its copy.
    clients.run("create again 1");
    clients.run("produce again 1 5 100");
    copied.rows(&["-t", "again"], 0);
    let before = copied.records(&["again"]);
    let last = before[&("again".to_owned(), 0)].last().unwrap().0;
    clients.run("delete-topic again");
    clients.run("create again 1");
    clients.run("produce again 1 6 300");
    let (_, words) = copied.rows(&["-t", "again"], 1);
    assert!(words.contains(&format!("from offset {last} on are not those of the source")), "{words}");
    assert_eq!(copied.records(&["again"]), before, "the copy is left as it is");
    drop((clients, others));
    source.stop();
    let committed_there = committed(&source.data(), "billing");
    assert!(!committed_there.is_empty());
    assert_eq!(committed(&to, "billing"), committed_there, "committed offsets came over as they are");

    // Another cluster's broker takes the copy in, and serves it.
    let mut target = Broker::start(&kafka, "");
    target.clients().run("create orders 4 retention.ms=-1");
    target.stop();
    let data = target.data();
    let mut adopt = vec!["topics", "adopt", "--to", data.to_str().unwrap(), "--replace", "--execute"];
    let dirs: Vec<PathBuf> = (0..4).map(|partition| to.join(format!("orders-{partition}"))).collect();
    adopt.extend(dirs.iter().map(|dir| dir.to_str().unwrap()));
    let output = logdir(&adopt).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    target.restart();
    let served = truth(&target, &mut target.clients(), &["orders"]);
    let of_orders: Records = expected.into_iter().filter(|((topic, _), _)| topic == "orders").collect();
    assert!(served == of_orders, "a broker serves the copy, offset by offset");
    println!("a broker serves {} records of the copy", count(&served));
}

#[test]
fn brokers_defaults_are_met_and_partitions_that_are_not_here_are_named() {
    const RECORDS: u64 = 50_000;
    let Some(kafka) = Kafka::find() else { return };
    let target = Broker::start(&kafka, "message.max.bytes=60000\nlog.retention.ms=60000\n");
    let (_dir, data) = new_data();
    let mirror = Mirror { data: &data, broker: &target };
    produce(&data, &["-t", "numbers", "--create", "3"], &numbered(0..RECORDS));
    let (rows, said) = mirror.rows(&[], 0);
    assert_eq!(records_of(&rows), RECORDS, "{said}");
    assert!(said.contains("taken to have 3 partitions"), "{said}");
    fs::remove_dir_all(data.join("numbers-1")).unwrap();
    let (_, said) = mirror.rows(&[], 1);
    assert!(said.contains("topic 'numbers': partitions 1 are in none of these directories"), "{said}");
    mirror.rows(&["-p", "0,2"], 0);
    // Records that are older than the brokers keep them; the topic is made here, and then it is there.
    let old = ["-t", "old", "--create", "1", "--timestamp", "2020-01-01T00:00:00Z"];
    produce(&data, &old, "old\n");
    let (_, said) = mirror.rows(&["-t", "old"], 0);
    assert!(said.contains("topic 'old': retention.ms=60000 is shorter than the records' age"), "{said}");
}

#[test]
fn an_open_transaction_of_somebody_elses_hides_no_progress() {
    let Some(kafka) = Kafka::find() else { return };
    let target = Broker::start(&kafka, "");
    let mut clients = target.clients();
    let (_dir, data) = new_data();
    let mirror = Mirror { data: &data, broker: &target };
    produce(&data, &["-t", "numbers", "--create", "1"], &numbered(0..1_000));
    // In the topic of records, in front of ours: no record of ours is lost for it.
    clients.run("create numbers 1");
    clients.run("transactions numbers 1 7 5 open");
    let name = ["--name", "n"];
    mirror.rows(&[&name[..], &["--append"]].concat(), 0);
    produce(&data, &["-t", "numbers"], &numbered(1_000..1_500));
    let (rows, _) = mirror.rows(&name, 0);
    assert_eq!(records_of(&rows), 500);
    clients.run("transactions numbers 1 7 5 closed");

    // In the topic of progress, in front of ours.
    let syncs = "mm2-offset-syncs.n.internal";
    // Its records have no keys.
    clients.run(&format!("configure {syncs} cleanup.policy=delete"));
    clients.run(&format!("transactions {syncs} 1 8 5 open"));
    produce(&data, &["-t", "numbers"], &numbered(1_500..2_000));
    let started = Instant::now();
    let (_, said) = mirror.rows(&name, 3);
    println!("after {:.1} s: {said}", started.elapsed().as_secs_f64());
    assert!(said.contains("a transaction of somebody else is open there"), "{said}");
    let (rows, _) = mirror.rows(&[&name[..], &["-n"]].concat(), 0);
    assert_eq!(of_kind(&rows, "summary").next().unwrap()["records_max"], 500);
    let offset = said.split("--start-offset ").nth(1).unwrap().split(|c: char| !c.is_ascii_digit()).next().unwrap();
    let address = format!("127.0.0.1:{}", target.port());
    let abort =
        ["--bootstrap-server", &address, "abort", "--topic", syncs, "--partition", "0", "--start-offset", offset];
    println!("abort: {}", kafka.tool("org.apache.kafka.tools.TransactionsCommand", &abort));
    let (rows, _) = mirror.rows(&name, 0);
    assert_eq!(records_of(&rows), 500);
    let there = truth(&target, &mut clients, &["numbers"]);
    let ours: Vec<&str> = there.values().flatten().filter_map(|(_, record)| record["value"].as_str()).collect();
    let ours: Vec<&&str> = ours.iter().filter(|value| value.starts_with("record ")).collect();
    assert_eq!(ours.len(), 2_000);
    assert_eq!(ours.iter().collect::<std::collections::BTreeSet<_>>().len(), 2_000);
}
