//! Forecasts of a broker's start, and the start itself, on random damages of a real directory.
//!
//! Skipped without `LOGDIR_KAFKA_LIBS`. `LOGDIR_LIVE_REPEATS` multiplies the work (a thorough run: 10, which is 60
//! damages); `LOGDIR_LIVE_SEED` starts elsewhere.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/broker.rs"]
mod broker;
#[path = "support/copy.rs"]
mod copy;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use broker::{Broker, Kafka};
use copy::copy;
use logdir::storage::forecast::{
    self, BrokerSettings, Fate, Forecast, ForecastOptions, Loaded, PartitionForecast, files_after,
};
use logdir::storage::properties;

const TOPICS: [(&str, i32); 4] = [("plain", 3), ("txn", 2), ("other", 3), ("wide", 2)];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: a number")))
}

/// A broker with two log directories, and copies of them after a kill and after a clean stop.
struct Stage {
    broker: Broker,
    dirs: [PathBuf; 2],
    killed: [PathBuf; 2],
    stopped: [PathBuf; 2],
}

impl Stage {
    fn new(kafka: &Kafka) -> Stage {
        let settings = "log.dirs=$DIR/data,$DIR/data2\nlog.index.interval.bytes=900\n\
                        metadata.log.max.snapshot.interval.ms=2000\nmetadata.log.max.record.bytes.between.snapshots=4000\n";
        let mut broker = Broker::start(kafka, settings);
        let dirs = [broker.data(), broker.file("data2")];
        let of = |broker: &Broker, kind: &str| [1, 2].map(|number| broker.file(&format!("{kind}{number}")));
        let (killed, stopped) = (of(&broker, "killed"), of(&broker, "stopped"));
        {
            let mut clients = broker.clients();
            for (topic, partitions) in TOPICS {
                let own = if topic == "other" { "" } else { " internal.segment.bytes=12000" };
                clients.run(&format!("create {topic} {partitions} retention.ms=-1{own}"));
            }
            for (topic, partitions) in TOPICS {
                match topic {
                    "txn" => clients.run(&format!("transactions {topic} {partitions} 5 30 open")),
                    _ => clients.run(&format!("produce {topic} {partitions} 7 60")),
                };
            }
            clients.run("create gone 2");
            clients.run("delete-topic gone");
        }
        broker.kill();
        dirs.iter().zip(&killed).for_each(|(from, to)| copy(from, to));
        broker.restart();
        broker.stop();
        dirs.iter().zip(&stopped).for_each(|(from, to)| copy(from, to));
        Stage { broker, dirs, killed, stopped }
    }

    /// The broker's directories as they were, and how.
    fn restore(&self, clean: bool) {
        let from = if clean { &self.stopped } else { &self.killed };
        for (dir, from) in self.dirs.iter().zip(from) {
            fs::remove_dir_all(dir).unwrap();
            copy(from, dir);
        }
    }

    fn forecast(&self) -> Forecast {
        let text = fs::read(self.broker.file("server.properties")).unwrap();
        let settings = BrokerSettings::from_properties(&properties::parse(&text).unwrap()).unwrap();
        let now_ms = jiff::Timestamp::now().as_millisecond();
        forecast::forecast(&self.dirs, &ForecastOptions { settings, now_ms, ..ForecastOptions::default() }, &())
    }

    /// Directories of partitions with data, of both log directories.
    fn partitions(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for dir in &self.dirs {
            for entry in fs::read_dir(dir).unwrap().flatten() {
                let name = entry.file_name().into_string().unwrap();
                let is_ours = TOPICS.iter().any(|(topic, _)| name.starts_with(&format!("{topic}-")));
                if entry.path().is_dir() && is_ours {
                    found.push(entry.path());
                }
            }
        }
        found.sort();
        found
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

fn pick<'a>(random: &mut fastrand::Rng, dir: &'a mut Vec<PathBuf>, suffix: &str) -> Option<&'a PathBuf> {
    dir.retain(|path| path.to_string_lossy().ends_with(suffix) && path.is_file());
    let at = random.usize(..dir.len().max(1));
    dir.get(at)
}

/// Damages one partition directory; what was done.
fn damage_partition(dir: &Path, random: &mut fastrand::Rng) -> String {
    let name = |path: &Path| path.strip_prefix(dir.parent().unwrap()).unwrap().display().to_string();
    let mut all = files(dir);
    let kind = random.u8(..30);
    let suffix = match kind {
        0..=9 => ".log",
        10..=13 => "index",
        14..=15 => ".snapshot",
        _ => "",
    };
    let Some(path) = pick(random, &mut all, suffix).cloned() else { return "nothing".to_owned() };
    let len = fs::metadata(&path).unwrap().len();
    let file = || File::options().read(true).write(true).open(&path).unwrap();
    match kind {
        0..=2 if len > 0 => {
            let at = random.u64(..len);
            let mut byte = [0];
            file().read_exact_at(&mut byte, at).unwrap();
            file().write_all_at(&[byte[0] ^ 1 << random.u8(..8)], at).unwrap();
            format!("bit at {at} of {}", name(&path))
        }
        3..=4 => {
            let to = random.u64(..=len);
            file().set_len(to).unwrap();
            format!("{} cut from {len} to {to}", name(&path))
        }
        5 => {
            let zeros = random.u64(1..6_000);
            file().set_len(len + zeros).unwrap();
            format!("{zeros} zeros behind {}", name(&path))
        }
        6 => {
            let garbage: Vec<u8> = (0..random.usize(1..300)).map(|_| random.u8(..)).collect();
            file().write_all_at(&garbage, len).unwrap();
            format!("{} random bytes behind {}", garbage.len(), name(&path))
        }
        7 => {
            fs::remove_file(&path).unwrap();
            format!("{} removed", name(&path))
        }
        8..=9 => {
            let suffix = [".deleted", ".swap", ".cleaned"][random.usize(..3)];
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            for extension in ["log", "index", "timeindex", "txnindex"] {
                let from = dir.join(format!("{stem}.{extension}"));
                if from.is_file() {
                    fs::rename(&from, dir.join(format!("{stem}.{extension}{suffix}"))).unwrap();
                }
            }
            format!("segment of {} renamed {suffix}", name(&path))
        }
        10..=11 | 14 => {
            fs::remove_file(&path).unwrap();
            format!("{} removed", name(&path))
        }
        12 if len > 0 => {
            let at = random.u64(..len.min(400));
            file().write_all_at(&[random.u8(..); 8], at.min(len.saturating_sub(8))).unwrap();
            format!("bytes at {at} of {} overwritten", name(&path))
        }
        13 | 15 => {
            let to = random.u64(..=len.min(200));
            file().set_len(to).unwrap();
            format!("{} cut from {len} to {to}", name(&path))
        }
        16..=17 => {
            fs::write(dir.join("notes.txt"), "x").unwrap();
            fs::write(dir.join("00000000000000000123.log.deleted"), "x").unwrap();
            format!("foreign files in {}", name(dir))
        }
        18 => {
            // A killed broker may not have one.
            let _ = fs::remove_file(dir.join("leader-epoch-checkpoint"));
            format!("no leader epochs in {}", name(dir))
        }
        19 => {
            fs::write(dir.join("leader-epoch-checkpoint"), "0\n3\n0 0\n5 9\n9 99999\n").unwrap();
            format!("other leader epochs in {}", name(dir))
        }
        20..=21 => {
            let _ = fs::remove_file(dir.join("partition.metadata"));
            format!("no partition.metadata in {}", name(dir))
        }
        22 => {
            fs::write(dir.join("partition.metadata"), "version: 0\ntopic_id: yW0AUWagjn626Lt0gKLEwg").unwrap();
            format!("another topic id in {}", name(dir))
        }
        23 => {
            let to = dir.with_file_name(format!("foreign-{}", random.u8(..)));
            fs::rename(dir, &to).unwrap();
            format!("{} renamed {}", name(dir), name(&to))
        }
        24 => {
            let id = "0123456789abcdef0123456789abcdef";
            let suffix = ["delete", "stray"][random.usize(..2)];
            let to = PathBuf::from(format!("{}.{id}-{suffix}", dir.display()));
            if !to.exists() {
                fs::rename(dir, &to).unwrap();
            }
            format!("{} renamed -{suffix}", name(dir))
        }
        25 => {
            fs::remove_dir_all(dir).unwrap();
            format!("{} removed", name(dir))
        }
        26 => {
            // Both logs and their indexes: orphans of nothing.
            for file in files(dir).iter().filter(|file| file.extension().is_some_and(|it| it == "log")) {
                fs::remove_file(file).unwrap();
            }
            format!("all logs of {} removed", name(dir))
        }
        _ => {
            for file in files(dir).iter().filter(|file| file.extension().is_some_and(|it| it == "snapshot")) {
                fs::remove_file(file).unwrap();
            }
            format!("all snapshots of {} removed", name(dir))
        }
    }
}

/// Damages something a broker does not start over, or gives up a directory for.
fn damage_broker(stage: &Stage, random: &mut fastrand::Rng) -> String {
    let [one, two] = &stage.dirs;
    let partitions = stage.partitions();
    let partition = &partitions[random.usize(..partitions.len())];
    match random.u8(..14) {
        0 => {
            fs::create_dir(two.join("foo")).unwrap();
            "directory foo".to_owned()
        }
        1 => {
            fs::write(partition.join("copy of 000.log"), "").unwrap();
            format!("copy of 000.log in {}", partition.display())
        }
        2 => {
            fs::write(partition.join("leader-epoch-checkpoint"), "0\n1\na b\n").unwrap();
            format!("leader epochs of {} are no numbers", partition.display())
        }
        3 => {
            fs::write(partition.join("leader-epoch-checkpoint"), "1\n0\n").unwrap();
            format!("leader epochs of {} in version 1", partition.display())
        }
        4 => {
            fs::write(partition.join("partition.metadata"), "").unwrap();
            format!("empty partition.metadata in {}", partition.display())
        }
        5 => {
            fs::write(partition.join("partition.metadata"), "version: -1\ntopic_id: x").unwrap();
            format!("partition.metadata of version -1 in {}", partition.display())
        }
        6 => {
            fs::remove_file(two.join("meta.properties")).unwrap();
            "no meta.properties".to_owned()
        }
        7 => {
            fs::write(two.join("meta.properties"), "version=x").unwrap();
            "meta.properties that is none".to_owned()
        }
        8 => {
            let name =
                ["recovery-point-offset-checkpoint", "log-start-offset-checkpoint", "replication-offset-checkpoint"];
            let name = name[random.usize(..3)];
            fs::write(two.join(name), ["1\n0\n", "0\n5\n", "x", "0\n1\na b\n"][random.usize(..4)]).unwrap();
            format!("{name} of the second directory is none")
        }
        9 => {
            let other = if partition.starts_with(one) && !partition.starts_with(two) { two } else { one };
            copy(partition, &other.join(partition.file_name().unwrap()));
            format!("{} twice", partition.display())
        }
        10 => {
            fs::write(one.join("__cluster_metadata-0/quorum-state"), "{}").unwrap();
            "quorum-state without fields".to_owned()
        }
        11 => {
            fs::write(one.join("bootstrap.checkpoint"), "").unwrap();
            "empty bootstrap.checkpoint".to_owned()
        }
        12 => {
            let path = one.join("replication-offset-checkpoint");
            fs::write(path, "2\n0\n").unwrap();
            "high watermarks of the metadata's directory in version 2".to_owned()
        }
        _ => {
            copy(&one.join("__cluster_metadata-0"), &two.join("__cluster_metadata-0"));
            "a metadata log in the second directory".to_owned()
        }
    }
}

/// Damages small files that a broker gets around.
fn damage_small(stage: &Stage, random: &mut fastrand::Rng) -> String {
    let dir = &stage.dirs[random.usize(..2)];
    match random.u8(..6) {
        0 => {
            let marker = dir.join(".kafka_cleanshutdown");
            let there = marker.exists();
            if there {
                fs::remove_file(&marker).unwrap()
            } else {
                fs::write(&marker, "").unwrap()
            }
            format!("marker of {} {}", dir.display(), if there { "removed" } else { "made" })
        }
        1 => {
            let _ = fs::remove_file(dir.join("recovery-point-offset-checkpoint"));
            format!("no recovery points in {}", dir.display())
        }
        2 | 3 => {
            let name = ["recovery-point-offset-checkpoint", "log-start-offset-checkpoint"][random.usize(..2)];
            let most = if name.starts_with("log") { 150 } else { 400 };
            let lines: Vec<String> = TOPICS
                .iter()
                .flat_map(|(topic, partitions)| (0..*partitions).map(move |partition| format!("{topic} {partition}")))
                .map(|partition| format!("{partition} {}", random.u32(..most)))
                .collect();
            fs::write(dir.join(name), format!("0\n{}\n{}\n", lines.len(), lines.join("\n"))).unwrap();
            format!("random offsets in {name} of {}", dir.display())
        }
        4 => {
            fs::write(dir.join("recovery-point-offset-checkpoint"), "0\n1\na 0 x\n").unwrap();
            format!("recovery points of {} that are no numbers", dir.display())
        }
        _ => {
            let dir = stage.dirs[0].join("__cluster_metadata-0");
            let log = files(&dir).into_iter().rfind(|file| file.extension().is_some_and(|it| it == "log")).unwrap();
            let len = fs::metadata(&log).unwrap().len();
            let to = len - random.u64(..len.min(300));
            File::options().write(true).open(&log).unwrap().set_len(to).unwrap();
            fs::write(dir.join("00000000000000000001-0000000001-77.checkpoint.part"), "x").unwrap();
            format!("the metadata log cut from {len} to {to}")
        }
    }
}

/// Log start and log end of every log that the broker says it has loaded, by the directory's name.
fn loaded(said: &str) -> BTreeMap<String, (i64, i64)> {
    let mut logs = BTreeMap::new();
    for line in said.lines() {
        let Some((_, rest)) = line.split_once("Completed load of Log(dir=") else { continue };
        let dir = rest.split(',').next().unwrap();
        let after = |what: &str| -> i64 {
            let (_, rest) = rest.rsplit_once(what).unwrap();
            rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
        };
        let end = after("log-end-offset ");
        let start = after("local-log-start-offset ");
        logs.insert(dir.to_owned(), (start, end));
    }
    logs
}

/// The directory of a partition after the start.
fn dir_then(partition: &PartitionForecast) -> PathBuf {
    let Fate::Stray(_) = partition.fate else { return partition.dir.clone() };
    let prefix = format!("{}.", partition.name.topic_partition);
    let parent = partition.dir.parent().unwrap();
    let mut found = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(&prefix) && name.ends_with("-stray")
    });
    found.next().unwrap_or_else(|| panic!("{} is not set aside", partition.dir.display()))
}

/// What the files of a partition would be, with the bytes of its logs.
struct Expected {
    files: BTreeMap<String, u64>,
    logs: BTreeMap<String, Vec<u8>>,
    written: Vec<String>,
}

fn expected(partition: &PartitionForecast, loaded: &Loaded) -> Expected {
    let mut expected = Expected { files: BTreeMap::new(), logs: BTreeMap::new(), written: Vec::new() };
    if partition.fate == Fate::Created {
        expected.files.insert("00000000000000000000.log".to_owned(), 0);
        expected.logs.insert("00000000000000000000.log".to_owned(), Vec::new());
        return expected;
    }
    expected.files = files_after(&partition.dir, &loaded.changes).unwrap();
    for change in &loaded.changes {
        if change.word() == "write" {
            expected.written.push(change.file().to_owned());
        }
    }
    for (file, size) in expected.files.iter().filter(|(file, _)| file.ends_with(".log")) {
        let path = [file.clone(), format!("{file}.swap")].map(|name| partition.dir.join(name));
        let bytes = path.iter().rev().find_map(|path| fs::read(path).ok()).unwrap_or_default();
        expected.logs.insert(file.clone(), bytes[..usize::try_from(*size).unwrap()].to_vec());
    }
    expected
}

fn compare_files(at: &str, partition: &PartitionForecast, expected: &Expected) {
    let dir = dir_then(partition);
    let then: BTreeMap<String, u64> = files(&dir)
        .iter()
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::metadata(path).unwrap().len()))
        .filter(|(name, _)| !name.ends_with(".deleted") && !name.ends_with(".tmp"))
        .collect();
    let of = |suffix: &str, files: &BTreeMap<String, u64>| -> Vec<String> {
        files.keys().filter(|name| name.ends_with(suffix)).cloned().collect()
    };
    for suffix in [".log", ".txnindex", ".snapshot", ".txt"] {
        assert_eq!(of(suffix, &then), of(suffix, &expected.files), "{at}: {suffix} files of {}", dir.display());
    }
    for (name, bytes) in &expected.logs {
        let found = fs::read(dir.join(name)).unwrap();
        assert!(found == *bytes, "{at}: {name} has {} bytes, forecast {}", found.len(), bytes.len());
    }
    // The active segment's indexes have room behind their entries.
    let active = expected.logs.keys().next_back().map(|name| name.trim_end_matches(".log").to_owned());
    for (name, size) in expected.files.iter().filter(|(name, _)| name.ends_with("index")) {
        let is_active = active.as_ref().is_some_and(|base| name.starts_with(base.as_str()));
        if !is_active || name.ends_with(".txnindex") {
            let found = then.get(name).copied();
            let cut = size / if name.ends_with(".timeindex") { 12 } else { 8 };
            let whole = cut * if name.ends_with(".timeindex") { 12 } else { 8 };
            let agrees = found == Some(*size) || (!expected.written.contains(name) && found == Some(whole));
            assert!(agrees, "{at}: {name} has {found:?} bytes, forecast {size}");
        }
    }
}

#[test]
fn a_broker_starts_as_forecast() {
    let Some(kafka) = Kafka::find() else { return };
    let rounds = number("LOGDIR_LIVE_REPEATS", 1);
    let first = number("LOGDIR_LIVE_SEED", 1);
    let mut stage = Stage::new(&kafka);
    let wanted = 6 * rounds;
    let (mut damages, mut starts, mut refusals, mut offline, mut compared, mut lossy) = (0, 0, 0, 0, 0, 0);
    let mut seed = first;
    while damages < wanted {
        let mut random = fastrand::Rng::with_seed(seed);
        let clean = random.bool();
        stage.restore(clean);
        let mut done = vec![format!("seed {seed}, {}", if clean { "stopped" } else { "killed" })];
        if random.u8(..4) == 0 {
            done.push(damage_small(&stage, &mut random));
        }
        let fatal = random.u8(..10) < 3;
        if fatal {
            done.push(damage_broker(&stage, &mut random));
        } else {
            for _ in 0..random.usize(4..8) {
                let partitions = stage.partitions();
                let at = random.usize(..partitions.len());
                done.push(damage_partition(&partitions[at], &mut random));
            }
        }
        damages += done.iter().skip(1).filter(|done| *done != "nothing").count() as u64;
        seed += 1;
        let at = done.join("; ");
        println!("{at}");
        let forecast = stage.forecast();
        if !forecast.starts() {
            println!("  refused: {}", forecast.refusals[0]);
            let said = stage.broker.start_refused();
            assert!(!said.contains("Kafka Server started"), "{at}");
            refusals += 1;
            continue;
        }
        let expectations: Vec<_> = forecast
            .partitions
            .iter()
            .filter(|partition| !partition.name.topic_partition.topic.starts_with("__"))
            .filter_map(|partition| Some((partition, expected(partition, partition.loaded.as_ref()?))))
            .collect();
        stage.broker.restart();
        let said = stage.broker.said_since_start();
        stage.broker.kill();
        starts += 1;
        for log_dir in &forecast.log_dirs {
            let is_offline = said.contains(&format!("Stopping serving logs in dir {}", log_dir.dir.display()));
            assert_eq!(is_offline, !log_dir.offline.is_empty(), "{at}: {} offline", log_dir.dir.display());
            offline += usize::from(is_offline);
        }
        let logs = loaded(&said);
        for (partition, expected) in &expectations {
            let loaded = partition.loaded.as_ref().unwrap();
            let then = dir_then(partition);
            let at = format!("{at}: {}", partition.dir.display());
            if partition.fate == Fate::Created {
                assert!(then.is_dir(), "{at} is made");
            } else {
                let known = logs.get(&then.display().to_string()).unwrap_or_else(|| panic!("{at} is not loaded"));
                assert_eq!(*known, (loaded.log_start.get(), loaded.log_end.get()), "{at}: log start and end");
            }
            if partition.fate != Fate::Deleted {
                compare_files(&at, partition, expected);
            }
            compared += 1;
            lossy += usize::from(loaded.loses_data());
        }
        // Nothing else was set aside.
        for dir in &stage.dirs {
            for entry in fs::read_dir(dir).unwrap().flatten() {
                let name = entry.file_name().into_string().unwrap();
                if let Some((plain, _)) = name.split_once('.').filter(|_| name.ends_with("-stray")) {
                    let known = forecast.partitions.iter().any(|partition| {
                        let is_it = partition.name.topic_partition.to_string() == plain;
                        is_it && matches!(partition.fate, Fate::Stray(_) | Fate::StaysStray)
                    });
                    assert!(known, "{at}: {name} was not forecast");
                }
            }
        }
    }
    println!(
        "{damages} damages: {starts} starts with {compared} partitions compared ({lossy} that lose data), {offline} \
         directories offline, {refusals} starts refused"
    );
}
