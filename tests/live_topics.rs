//! Topics made, deleted and adopted without a broker, given to a Kafka 4.3; and what it does with partitions that are none
//! of its own.
//!
//! Skipped without `LOGDIR_KAFKA_LIBS`. Of the twelve prepared directories two are started on by default, all of them with
//! `LOGDIR_LIVE_REPEATS=6`; `LOGDIR_LIVE_SEED` chooses which.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/broker.rs"]
mod broker;
mod support;
#[path = "live_topics/swap.rs"]
mod swap;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use broker::{Broker, Clients, Kafka};
use serde_json::Value;
use support::copy::copy;

const SOURCE_CLUSTER: &str = "YW5vdGhlciBjbHVzdGVyIQ";

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: a number")))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn logdir(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    let output = command.env_clear().args(args).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn done(args: &[&str]) -> String {
    let (code, stdout, stderr) = logdir(args);
    assert_eq!(code, 0, "{args:?}: {stdout}{stderr}");
    stdout
}

/// What Kafka's consumer gets of a topic, a line each.
fn served(broker: &Broker, clients: &mut Clients, isolation: &str, topic: &str) -> Vec<String> {
    let file = broker.file("served.ndjson");
    clients.run(&format!("consume {isolation} {} {topic}", text(&file)));
    fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect()
}

/// Records without the leader epoch, the one thing that may be another.
fn without_epochs(records: &[String]) -> Vec<Value> {
    let parse = |line: &String| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        record.as_object_mut().unwrap().remove("leader_epoch").expect("every record has one");
        record
    };
    records.iter().map(parse).collect()
}

/// Highest leader epoch of the records.
fn highest_epoch(records: &[String]) -> i64 {
    let epoch = |line: &String| serde_json::from_str::<Value>(line).unwrap()["leader_epoch"].as_i64().unwrap();
    records.iter().map(epoch).max().unwrap()
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn batches(partition: &Path) -> Vec<Value> {
    let rows = done(&["dump-segment", text(partition), "--batches", "--json"]);
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter(|row| row["type"] == "batch").collect()
}

/// Ids of the producers of data from an offset on.
fn producers(partition: &Path, from: i64) -> BTreeSet<i64> {
    let data = batches(partition).into_iter().filter(|row| row["base_offset"].as_i64() >= Some(from));
    data.filter_map(|row| row["producer_id"].as_i64()).filter(|id| *id >= 0).collect()
}

fn log_end(partition: &Path) -> i64 {
    batches(partition).iter().filter_map(|row| row["last_offset"].as_i64()).max().unwrap() + 1
}

/// Topics of the source, with the number of partitions.
const TOPICS: [(&str, usize); 3] = [("plain", 2), ("txn", 2), ("hanging", 1)];
const ISOLATIONS: [&str; 2] = ["read_uncommitted", "read_committed"];

/// A cluster whose data is adopted elsewhere, stopped; and what its broker served of each topic, by isolation level.
fn source(kafka: &Kafka) -> (Broker, Vec<[Vec<String>; 2]>) {
    let mut broker = Broker::start_in(kafka, SOURCE_CLUSTER, "log.index.interval.bytes=900\n");
    let mut clients = broker.clients();
    for (topic, partitions) in TOPICS {
        clients.run(&format!("create {topic} {partitions} retention.ms=-1 internal.segment.bytes=14000"));
    }
    clients.run("produce plain 2 3 60");
    clients.run("transactions txn 2 4 30 closed");
    drop(clients);
    // Every stop and every start ends a leadership: epoch 2, then 4. Once it has started on it, the target has come to 2.
    broker.stop();
    broker.restart();
    broker.clients().run("produce plain 2 4 10");
    broker.stop();
    broker.restart();
    let mut clients = broker.clients();
    clients.run("produce plain 2 5 60");
    clients.run("transactions txn 2 6 30 closed");
    clients.run("transactions hanging 1 7 30 open");
    let of =
        |topic: &str, clients: &mut Clients| ISOLATIONS.map(|isolation| served(&broker, clients, isolation, topic));
    let truth = TOPICS.iter().map(|(topic, _)| of(topic, &mut clients)).collect();
    drop(clients);
    broker.stop();
    (broker, truth)
}

fn partition_dirs(data: &Path, topics: &[(&str, usize)]) -> Vec<PathBuf> {
    topics.iter().flat_map(|(topic, count)| (0..*count).map(move |at| data.join(format!("{topic}-{at}")))).collect()
}

#[test]
fn another_clusters_broker_serves_all_that_was_adopted_and_goes_on() {
    let Some(kafka) = Kafka::find() else { return };
    let (from, truth) = source(&kafka);
    for (number, (topic, _)) in TOPICS.iter().enumerate() {
        let [all, committed] = &truth[number];
        assert!(all.len() > committed.len() || *topic == "plain", "{topic}: something was aborted");
    }
    let mut broker = Broker::start(&kafka, "log.segment.delete.delay.ms=1000\nlog.index.interval.bytes=900\n");
    let data = broker.data();
    let mut clients = broker.clients();
    for (topic, partitions) in TOPICS {
        clients.run(&format!("create {topic} {partitions} retention.ms=-1 internal.segment.bytes=14000"));
    }
    clients.run("create raw 1 retention.ms=-1");
    clients.run("create made 3 retention.ms=-1");
    clients.run("create gone 2 retention.ms=-1");
    clients.run("produce gone 2 1 30");
    drop(clients);
    broker.stop();

    // Made here under the ids the cluster gave them: the directories are not those the broker made.
    let ids: Vec<_> = (0..3).map(|at| fs::read(data.join(format!("made-{at}/partition.metadata"))).unwrap()).collect();
    (0..3).for_each(|at| fs::remove_dir_all(data.join(format!("made-{at}"))).unwrap());
    done(&["topics", "create", "made", "-d", text(&data)]);
    for (at, id) in ids.iter().enumerate() {
        assert_eq!(&fs::read(data.join(format!("made-{at}/partition.metadata"))).unwrap(), id);
    }
    // Deleted here.
    done(&["topics", "delete", "gone", "-d", text(&data), "--execute"]);
    let condemned = names(&data).into_iter().filter(|name| name.ends_with("-delete")).count();
    assert_eq!(condemned, 2);

    // What needs a word is refused, all of it.
    let dirs = partition_dirs(&from.data(), &TOPICS);
    let mut adopt = vec!["topics", "adopt", "--to", text(&data), "--execute"];
    adopt.extend(dirs.iter().map(|dir| text(dir)));
    let before = names(&data);
    let (code, _, said) = logdir(&adopt);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("--abort-open"), "{said}");
    assert_eq!(names(&data), before, "nothing was adopted");
    adopt.push("--abort-open");
    println!("{}", done(&adopt));
    println!("{}", done(&["verify", "-d", text(&data), "-t", "re:^(plain|txn|hanging)$"]));
    // The same without what adopt does about epochs: the files as they are, with the cluster's id.
    let raw = data.join("raw-0");
    let id = fs::read(raw.join("partition.metadata")).unwrap();
    fs::remove_dir_all(&raw).unwrap();
    copy(&from.data().join("plain-0"), &raw);
    fs::write(raw.join("partition.metadata"), id).unwrap();
    let raw_epochs = fs::read_to_string(raw.join("leader-epoch-checkpoint")).unwrap();

    broker.restart();
    let mut clients = broker.clients();
    let mut counts = Vec::new();
    let mut compare = |what: &str, broker: &Broker, clients: &mut Clients, added: usize| {
        for (number, (topic, _)) in TOPICS.iter().enumerate() {
            let there = ISOLATIONS.map(|isolation| served(broker, clients, isolation, topic));
            for (at, isolation) in ISOLATIONS.iter().enumerate() {
                let (source, target) = (&truth[number][at], &there[at]);
                let what = format!("{what}: {topic}, {isolation}");
                let mut expected = without_epochs(source);
                let mut found = without_epochs(target);
                if *topic == "hanging" && *isolation == "read_committed" {
                    // Where they come from, nobody sees what follows the transaction that nobody ends.
                    assert!(found.len() > expected.len(), "{what}");
                    found.retain(|record| expected.contains(record));
                } else {
                    assert_eq!(found.len(), expected.len() + added, "{what}");
                    found.retain(|record| added == 0 || expected.contains(record));
                }
                let key = |record: &Value| (record["partition"].as_i64(), record["offset"].as_i64());
                expected.sort_by_key(key);
                found.sort_by_key(key);
                assert!(found == expected, "{what}: records differ");
                counts.push(format!("{topic} {isolation} {}", source.len()));
            }
            let (_, ours, _) = logdir(&["consume", "-d", text(&data), "-t", topic, "--json"]);
            assert!(there[0] == ours.lines().collect::<Vec<_>>(), "{what}: {topic}: as logdir reads it");
        }
    };
    compare("adopted", &broker, &mut clients, 0);
    let epochs = highest_epoch(&truth[1][0]);
    let lowered = highest_epoch(&served(&broker, &mut clients, "read_uncommitted", "txn"));
    assert!(lowered < epochs, "the source's leader epochs were up to {epochs}, the target's are {lowered}");

    // A group that read the batches goes on where it was.
    let first: usize = clients.run("resume readers plain").parse().unwrap();
    assert_eq!(first, truth[0][0].len());
    let first_raw: usize = clients.run("resume readers raw").parse().unwrap();
    assert!(first_raw > 100);
    clients.run("produce plain 2 9 6");
    clients.run("produce raw 1 9 6");
    let next: usize = clients.run("resume readers plain").parse().unwrap();
    assert_eq!(next, 60, "what was produced since");
    // Where epochs are left as they were, the leader forgets where they began, and the group waits for a leader of an epoch
    // that does not exist: this is why they are lowered.
    let forgotten = fs::read_to_string(raw.join("leader-epoch-checkpoint")).unwrap();
    let knows_4 = |epochs: &str| epochs.lines().any(|line| line.starts_with("4 "));
    assert!(knows_4(&raw_epochs) && !knows_4(&forgotten), "{raw_epochs:?} becomes {forgotten:?}");
    let stuck = clients.try_run("resume readers raw");
    println!("epochs as they were: {raw_epochs:?} becomes {forgotten:?}; the group then gets {stuck:?} of 60");
    assert!(stuck.is_err() || stuck == Ok("0".to_owned()), "{stuck:?}");

    // The topic that was made.
    clients.run("produce made 3 2 20");
    assert_eq!(served(&broker, &mut clients, "read_committed", "made").len(), 200);
    // The topic that was deleted: the cluster knows it, it is there, empty.
    assert_eq!(served(&broker, &mut clients, "read_uncommitted", "gone").len(), 0);
    let begun = Instant::now();
    while names(&data).iter().any(|name| name.ends_with("-delete")) {
        assert!(begun.elapsed() < Duration::from_secs(90), "the broker removes what was deleted: {:?}", names(&data));
        std::thread::sleep(Duration::from_millis(200));
    }

    // What was produced to "plain" came from producers whose ids are those of producers that wrote at the source.
    let ends = [0, 1].map(|at| log_end(&from.data().join(format!("plain-{at}"))));
    let theirs: BTreeSet<i64> =
        [0, 1].iter().flat_map(|at| producers(&from.data().join(format!("plain-{at}")), 0)).collect();
    let ours: BTreeSet<i64> =
        [0, 1].iter().flat_map(|at| producers(&data.join(format!("plain-{at}")), ends[*at])).collect();
    let shared = theirs.intersection(&ours).count();
    assert!(shared > 0, "ids of the source {theirs:?}, of what was produced since {ours:?}");
    println!(
        "{shared} producer ids were given out by both clusters, and no record was refused or taken for a duplicate"
    );
    clients.run("produce txn 2 8 6");
    clients.run("transactions txn 2 10 10 closed");
    let stray = |data: &Path| names(data).into_iter().filter(|name| name.ends_with("-stray")).collect::<Vec<_>>();
    assert_eq!(stray(&data), Vec::<String>::new());
    let grown = |clients: &mut Clients, broker: &Broker| {
        TOPICS.map(|(topic, _)| ISOLATIONS.map(|isolation| served(broker, clients, isolation, topic)))
    };
    let then = grown(&mut clients, &broker);
    drop(clients);
    for crash in [false, true] {
        if crash {
            broker.kill()
        } else {
            broker.stop()
        }
        broker.restart();
        let mut clients = broker.clients();
        let now = grown(&mut clients, &broker);
        assert!(now == then, "after a {}", if crash { "crash" } else { "clean stop" });
        let said = broker.said_since_start();
        for words in ["Found invalid", "CorruptRecord", "OutOfOrderSequence"] {
            assert!(!said.contains(words), "{words}");
        }
        if crash {
            clients.run("produce txn 2 11 6");
            clients.run("produce hanging 1 12 6");
        }
    }
    println!("{}", counts.join(", "));
    println!("leader epochs up to {epochs} were lowered to {lowered}");
}

/// A prepared directory: its name, and what is done to the two log directories of a broker.
type Case = (&'static str, fn(&[PathBuf; 2]));

fn rewrite(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with(from)).unwrap_or_else(|| panic!("{from} in {text}"));
    fs::write(path, text.replace(line, to)).unwrap();
}

/// Where a partition is.
fn find(dirs: &[PathBuf; 2], partition: &str) -> PathBuf {
    dirs.iter().map(|dir| dir.join(partition)).find(|dir| dir.is_dir()).unwrap()
}

const CASES: [Case; 12] = [
    ("a topic that the cluster does not know", |dirs| {
        done(&["topics", "create", "unknown", "--partitions", "2", "-d", text(&dirs[1])]);
    }),
    ("one partition in both directories", |dirs| {
        let from = find(dirs, "kept-0");
        let to = dirs.iter().find(|dir| !from.starts_with(dir)).unwrap();
        copy(&from, &to.join("kept-0"));
    }),
    ("a partition without partition.metadata", |dirs| {
        fs::remove_file(find(dirs, "kept-1").join("partition.metadata")).unwrap();
    }),
    ("a directory of another cluster", |dirs| {
        rewrite(&dirs[1].join("meta.properties"), "cluster.id=", "cluster.id=YW5vdGhlciBjbHVzdGVyIQ");
    }),
    ("a topic id that is another's", |dirs| {
        fs::write(find(dirs, "kept-0").join("partition.metadata"), "version: 0\ntopic_id: yW0AUWagjn626Lt0gKLEwg")
            .unwrap();
    }),
    ("a directory of another node", |dirs| {
        rewrite(&dirs[1].join("meta.properties"), "node.id=", "node.id=7");
    }),
    ("a partition beyond the topic's last", |dirs| {
        copy(&find(dirs, "kept-1"), &dirs[0].join("kept-7"));
    }),
    ("a directory that is no partition", |dirs| fs::create_dir(dirs[1].join("lost+found")).unwrap()),
    ("left-overs under the names that a broker gives", |dirs| {
        let id = "0123456789abcdef0123456789abcdef";
        copy(&find(dirs, "kept-0"), &dirs[0].join(format!("kept-0.{id}-delete")));
        copy(&find(dirs, "kept-0"), &dirs[1].join(format!("kept-0.{id}-stray")));
        fs::remove_file(find(dirs, "kept-2").join("partition.metadata")).unwrap();
    }),
    ("two directories with one id", |dirs| {
        let meta = fs::read_to_string(dirs[0].join("meta.properties")).unwrap();
        let id = meta.lines().find(|line| line.starts_with("directory.id=")).unwrap();
        rewrite(&dirs[1].join("meta.properties"), "directory.id=", id);
    }),
    ("a deleted topic whose directory came back", |dirs| {
        // As from a backup: the cluster has deleted it since.
        copy(&dirs[0].parent().unwrap().join("backup/old-0"), &dirs[1].join("old-0"));
    }),
    ("a directory that was never formatted", |dirs| fs::remove_file(dirs[1].join("meta.properties")).unwrap()),
];

#[test]
fn strays_and_refused_starts_come_as_forecast() {
    let Some(kafka) = Kafka::find() else { return };
    let (wanted, first) = (2 * number("LOGDIR_LIVE_REPEATS", 1), number("LOGDIR_LIVE_SEED", 1));
    let mut broker = Broker::start(&kafka, "log.dirs=$DIR/data,$DIR/data2\n");
    let dirs = [broker.data(), broker.file("data2")];
    let mut clients = broker.clients();
    clients.run("create kept 3 retention.ms=-1");
    clients.run("create old 1 retention.ms=-1");
    clients.run("produce kept 3 1 20");
    clients.run("produce old 1 1 20");
    let backup = broker.file("backup");
    copy(&find(&dirs, "old-0"), &backup.join("old-0"));
    clients.run("delete-topic old");
    drop(clients);
    broker.stop();
    let pristine = [broker.file("pristine1"), broker.file("pristine2")];
    dirs.iter().zip(&pristine).for_each(|(from, to)| copy(from, to));
    let properties = broker.file("server.properties");
    let (mut tried, mut right, mut strays, mut refusals) = (0_u64, 0_u64, 0, 0);
    for at in 0..wanted.min(CASES.len() as u64) {
        let number = usize::try_from((2 * (first - 1) + at) % CASES.len() as u64).unwrap();
        let (name, prepare) = CASES[number];
        for (dir, from) in dirs.iter().zip(&pristine) {
            fs::remove_dir_all(dir).unwrap();
            copy(from, dir);
        }
        prepare(&dirs);
        let (_, stdout, stderr) = logdir(&["verify", "--forecast", "-F", text(&properties), "--json"]);
        let rows: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let summary = rows.last().unwrap_or_else(|| panic!("{name}: {stderr}"));
        tried += 1;
        if summary["starts"] == false {
            let message = summary["refusals"][0]["message"].as_str().unwrap();
            let said = broker.start_refused();
            println!("{name}: refused as forecast: {message}");
            // The first words of Kafka's own.
            let start: String = message.split(['(', '.']).next().unwrap().chars().take(20).collect();
            assert!(said.contains(start.trim()), "{name}: forecast \"{message}\", it said: {said}");
            assert!(!said.contains("Kafka Server started"), "{name}");
            refusals += 1;
            right += 1;
            continue;
        }
        let of = |fates: &[&str]| -> BTreeSet<(String, String)> {
            let partitions = rows.iter().filter(|row| row["type"] == "forecast_partition");
            let with_fate = partitions.filter(|row| fates.contains(&row["fate"].as_str().unwrap()));
            let field = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
            with_fate.map(|row| (field(row, "dir"), field(row, "directory"))).collect()
        };
        let (to_stray, stay, made) = (of(&["stray"]), of(&["keep-stray"]), of(&["create"]));
        broker.restart();
        let mut found = BTreeSet::new();
        let mut stayed = BTreeSet::new();
        for dir in &dirs {
            for name in names(dir).into_iter().filter(|name| name.ends_with("-stray")) {
                let here = (text(dir).to_owned(), name.clone());
                if stay.contains(&here) {
                    stayed.insert(here);
                } else {
                    found.insert((text(dir).to_owned(), name.split('.').next().unwrap().to_owned()));
                }
            }
        }
        assert_eq!(found, to_stray, "{name}: renamed -stray");
        assert_eq!(stayed, stay, "{name}: left as -stray");
        for (_, directory) in &made {
            assert!(dirs.iter().any(|dir| dir.join(directory).is_dir()), "{name}: {directory} is made anew");
        }
        broker.kill();
        assert!(!to_stray.is_empty(), "{name}: something is set aside");
        println!("{name}: {} set aside, {} left so, {} made anew, as forecast", found.len(), stay.len(), made.len());
        strays += found.len();
        right += 1;
    }
    println!("{right} of {tried} forecasts came true: {strays} directories set aside, {refusals} starts refused");
    assert_eq!(right, tried);
    assert!(strays > 0 && refusals > 0);
}
