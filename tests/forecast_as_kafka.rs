//! Forecasts of a broker's start, against what real brokers did with the same directories.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use logdir::schema::image::MetadataImage;
use logdir::schema::metadata::{PartitionRecord, Record};
use logdir::storage::forecast::{
    self, BrokerSettings, Fate, Forecast, ForecastOptions, MetadataSource, PartitionForecast, StrayReason, files_after,
};
use logdir::storage::writer::LogConfig;
use logdir::storage::{checkpoint, partition_metadata};
use logdir::types::{Offset, TopicPartition, Uuid};
use serde_json::Value;
use support::copy::copy;
use support::kafka_data::Case;
use support::{compared_all, int, lines, list, text};

const NOW_MS: i64 = 1_795_400_000_000;

fn options() -> ForecastOptions {
    ForecastOptions { now_ms: NOW_MS, ..ForecastOptions::default() }
}

fn start(dirs: &[PathBuf], options: &ForecastOptions) -> Forecast {
    forecast::forecast(dirs, options, &())
}

fn of<'a>(forecast: &'a Forecast, directory: &str) -> &'a PartitionForecast {
    let named = |partition: &&PartitionForecast| partition.dir.ends_with(directory);
    forecast.partitions.iter().find(named).unwrap_or_else(|| panic!("no {directory}: {:?}", forecast.refusals))
}

fn case(prefix: &str) -> Option<Case> {
    let cases = support::kafka_data_dir()?.join("cases");
    let mut dirs = fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path());
    let dir = dirs.find(|dir| dir.file_name().unwrap().to_string_lossy().starts_with(prefix));
    Some(Case::open(&dir.unwrap_or_else(|| panic!("no case {prefix}"))))
}

/// Directories of killed brokers, and what the next start of the same broker made of them.
#[test]
fn what_killed_brokers_found_when_they_came_back() {
    let (mut partitions, mut indexes) = (0, 0);
    for (before, after) in [("01b", "01c"), ("02a", "02b"), ("06a", "06b"), ("06c", "06d")] {
        let (Some(before), Some(after)) = (case(before), case(after)) else { return };
        let dir = before.log_dirs().remove(0);
        let forecast = start(std::slice::from_ref(&dir), &options());
        let expected = after.truth_json("offsets.json").unwrap();
        assert!(forecast.starts() && forecast.log_dirs[0].offline.is_empty(), "{}: {forecast:?}", before.name);
        assert!(!forecast.log_dirs[0].clean, "{}", before.name);
        let from_log = matches!(forecast.metadata, MetadataSource::Log { is_committed: true, .. });
        assert!(from_log, "{}: {:?}", before.name, forecast.metadata);
        for partition in &forecast.partitions {
            let name = partition.name.topic_partition.to_string();
            let at = format!("{} {name}", before.name);
            let loaded = partition.loaded.as_ref().unwrap();
            let is_internal = name.starts_with("__");
            if name.starts_with("__cluster_metadata") {
                assert_eq!(partition.fate, Fate::Metadata, "{at}");
            } else {
                assert_eq!(partition.fate, Fate::Served, "{at}");
                let end = int(&expected[&name], "endOffset");
                // The broker goes on writing to its own topics.
                let agrees = loaded.log_end.get() == end || (is_internal && loaded.log_end.get() < end);
                assert!(agrees, "{at}: log end {} and {end}", loaded.log_end);
                assert_eq!(loaded.log_start.get(), int(&expected[&name], "logStartOffset"), "{at}");
            }
            let now = files_after(&partition.dir, &loaded.changes).unwrap();
            let then_dir = after.log_dirs().remove(0).join(&name);
            let written: BTreeSet<&str> = loaded.changes.iter().map(|change| change.file()).collect();
            let logs = |file: &&String| file.ends_with(".log");
            for (file, size) in now.iter().filter(|(file, _)| logs(file)) {
                let after = fs::read(then_dir.join(file)).unwrap();
                let before = fs::read(partition.dir.join(file)).unwrap();
                let kept = &before[..usize::try_from(*size).unwrap()];
                if is_internal {
                    assert!(after.starts_with(kept), "{at}: {file}");
                } else {
                    assert!(after == kept, "{at}: {file} has {} bytes, {size} expected", after.len());
                }
            }
            let mut names: Vec<String> =
                fs::read_dir(&then_dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.retain(|file| file.ends_with(".log"));
            names.sort();
            if !is_internal {
                assert_eq!(names, now.keys().filter(logs).cloned().collect::<Vec<_>>(), "{at}");
            }
            for (file, size) in now.iter().filter(|(file, _)| file.ends_with("index") && !is_internal) {
                if written.contains(file.as_str()) {
                    assert_eq!(fs::metadata(then_dir.join(file)).unwrap().len(), *size, "{at}: {file}");
                    indexes += 1;
                }
            }
            partitions += 1;
        }
    }
    println!("{partitions} partitions and {indexes} indexes made again compared");
    assert!(partitions > 20 && indexes > 10);
}

/// The metadata of a case whose metadata log was left out.
fn image_of(topics: &Value) -> MetadataImage {
    let mut image = MetadataImage::default();
    for (name, topic) in topics.as_object().unwrap() {
        let topic_id = Uuid::parse(text(topic, "topicId")).unwrap();
        image.apply(Record::Topic { name: name.clone(), topic_id }).unwrap();
        for partition in list(topic, "partitions") {
            let replicas: Vec<i32> =
                support::ints(&partition["replicas"]).into_iter().map(|id| i32::try_from(id).unwrap()).collect();
            let record = PartitionRecord {
                partition: i32::try_from(int(partition, "partition")).unwrap(),
                topic_id,
                isr: replicas.clone(),
                replicas,
                leader: 1,
                ..PartitionRecord::default()
            };
            image.apply(Record::Partition(record)).unwrap();
        }
        for (setting, value) in topic["configs"].as_object().unwrap() {
            let value = value.as_str().map(str::to_owned);
            let (name, resource_name) = (setting.clone(), name.clone());
            image.apply(Record::Config { resource_type: 2, resource_name, name, value }).unwrap();
        }
    }
    image
}

/// A log directory with only this partition in it.
fn alone(root: &Path, partition: &Path, small_files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in small_files {
        fs::copy(root.join(name), dir.path().join(name)).unwrap();
    }
    symlink(partition, dir.path().join(partition.file_name().unwrap())).unwrap();
    dir
}

/// Case 09: every damage, with the clean-shutdown marker and without it and recovery points.
#[test]
fn sixty_damages_in_both_kinds_of_start() {
    let Some(case) = case("09") else { return };
    let corrupt = case.data().join("corrupt");
    let summary = case.truth_json("summary.json").unwrap();
    let image = image_of(&case.truth_json("topics.json").unwrap());
    let small = ["meta.properties", "bootstrap.checkpoint", "log-start-offset-checkpoint"];
    let (mut compared, mut refused, mut strays) = (0, 0, 0);
    for (damage, truth) in summary.as_object().unwrap() {
        for (clean, answer) in [(false, "broker_unclean"), (true, "broker_clean_marker")] {
            let truth = &truth[answer];
            let at = format!("{damage}, {answer}");
            let partition = corrupt.join(format!("v-{damage}-0"));
            let dir = alone(&corrupt, &partition, &small);
            if clean {
                fs::write(dir.path().join(".kafka_cleanshutdown"), "").unwrap();
                let name = "recovery-point-offset-checkpoint";
                fs::copy(corrupt.join(name), dir.path().join(name)).unwrap();
            }
            let options = ForecastOptions { image: Some(image.clone()), ..options() };
            let mut forecast = start(&[dir.path().to_owned()], &options);
            assert_eq!(forecast.log_dirs[0].clean, clean, "{at}");
            // The others of the case's topics would be made anew.
            let others = format!("v-{damage}");
            forecast.partitions.retain(|partition| partition.name.topic_partition.topic == others);
            compared += 1;
            if truth["probe"].is_null() {
                assert!(!forecast.starts(), "{at}");
                refused += 1;
                continue;
            }
            assert!(forecast.starts(), "{at}: {:?}", forecast.refusals);
            let found = match &forecast.partitions[..] {
                [served] => {
                    assert_eq!(served.fate, Fate::Served, "{at}");
                    served
                }
                [a, b] => {
                    strays += 1;
                    let (stray, created) = if a.fate == Fate::Created { (b, a) } else { (a, b) };
                    assert!(matches!(stray.fate, Fate::Stray(_)), "{at}: {stray:?}");
                    assert_eq!(created.fate, Fate::Created, "{at}");
                    created
                }
                other => panic!("{at}: {other:?}"),
            };
            let loaded = found.loaded.as_ref().unwrap();
            assert_eq!(loaded.log_end.get(), int(&truth["probe"], "endOffset"), "{at}: log end");
            assert_eq!(loaded.log_start.get(), int(&truth["probe"], "logStartOffset"), "{at}: log start");
            // Cut in a way that makes a broker which trusts its files forget what is sound before the cut.
            let hides = clean && ["truncated-body", "truncated-11"].contains(&damage.as_str());
            assert_eq!(loaded.hidden_end.is_some(), hides, "{at}: {:?}", loaded.hidden_end);
            if found.fate == Fate::Served {
                compare_files(&at, found, &truth["log_files_after"]);
            }
        }
    }
    println!("{compared} starts compared: {refused} refused, {strays} with a stray directory");
    assert_eq!((compared, refused, strays), (2 * summary.as_object().unwrap().len(), 7, 4));
}

/// The files a broker left when it had started and stopped; it cut indexes to whole entries as it did.
fn compare_files(at: &str, partition: &PartitionForecast, truth: &Value) {
    let of_raft =
        |name: &str| name.ends_with(".snapshot") || name == "leader-epoch-checkpoint" || name == "partition.metadata";
    let mut found = files_after(&partition.dir, &partition.loaded.as_ref().unwrap().changes).unwrap();
    found.retain(|name, _| !of_raft(name) && !name.ends_with(".txnindex"));
    let truth: BTreeMap<&str, u64> = truth
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, size)| (name.as_str(), size.as_u64().unwrap()))
        .filter(|(name, _)| !name.ends_with(".txnindex") && *name != ".lock" && !name.ends_with(".deleted"))
        .collect();
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), truth.keys().copied().collect::<Vec<_>>(), "{at}");
    let last = found.keys().rfind(|name| name.ends_with(".timeindex")).cloned().unwrap();
    for (name, size) in &found {
        let entry = if name.ends_with(".timeindex") {
            12
        } else if name.ends_with(".index") {
            8
        } else {
            1
        };
        let (size, expected) = (*size, truth[name.as_str()]);
        // An index that is opened is cut to whole entries when it is closed. A clean stop adds a closing entry to
        // the time index of the active segment where it has none.
        let whole = size / entry * entry;
        let closing = *name == last && whole + 12 == expected;
        let agrees = size == expected || whole == expected || closing;
        assert!(agrees, "{at}: {name} has {expected} bytes, forecast {size}");
    }
}

/// The loader's vectors, as partitions of a log directory.
#[test]
fn vectors_of_the_loader() {
    let Some(cases) = lines("log-recovery") else { return };
    let mut compared = 0;
    for case in &cases {
        let id = format!("{} ({})", text(case, "id"), text(case, "damage"));
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("t-0");
        fs::create_dir(&dir).unwrap();
        let before = case["before"].as_object().unwrap();
        for (name, content) in case["damaged"].as_object().unwrap() {
            let content = if content == "=" { &before[name] } else { content };
            let content = content.as_str().unwrap();
            let hexed = data_encoding::HEXLOWER.decode(content.as_bytes()).ok();
            let is_text = name == "leader-epoch-checkpoint";
            fs::write(dir.join(name), hexed.filter(|_| !is_text).unwrap_or_else(|| content.into())).unwrap();
        }
        let id_text = partition_metadata::to_text(Uuid([9; 16]));
        fs::write(dir.join(partition_metadata::FILE_NAME), id_text).unwrap();
        fs::write(root.path().join("meta.properties"), "version=1\ncluster.id=c\nnode.id=1\n").unwrap();
        let entry = [(TopicPartition::new("t", 0), Offset::new(int(case, "recovery_point")))];
        let entries = |entry: &[(TopicPartition, Offset)]| {
            checkpoint::to_text(entry.iter().map(|(partition, offset)| (partition, *offset)))
        };
        fs::write(root.path().join(checkpoint::RECOVERY_POINT), entries(&entry)).unwrap();
        let entry = [(TopicPartition::new("t", 0), Offset::new(int(case, "log_start_offset")))];
        fs::write(root.path().join(checkpoint::LOG_START), entries(&entry)).unwrap();
        let number = |name: &str, default: u32| {
            case["config"][name].as_str().and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        let log = LogConfig {
            segment_index_bytes: number("segment.index.bytes", 10 << 20),
            index_interval_bytes: number("index.interval.bytes", 4096),
            ..LogConfig::default()
        };
        let options = ForecastOptions {
            settings: BrokerSettings { log, ..BrokerSettings::default() },
            assume_clean: Some(case["clean_shutdown"].as_bool().unwrap()),
            now_ms: 1_750_000_000_000,
            image: None,
        };
        let forecast = start(&[root.path().to_owned()], &options);
        compared += 1;
        if !case["error"].is_null() {
            assert!(!forecast.starts(), "{id}");
            assert!(forecast.refusals[0].message.contains(text(&case["error"], "error")), "{id}: {forecast:?}");
            continue;
        }
        let partition = of(&forecast, "t-0");
        let loaded = partition.loaded.as_ref().unwrap_or_else(|| panic!("{id}: {partition:?}"));
        assert_eq!(loaded.log_end.get(), int(case, "log_end_offset"), "{id}: log end");
        assert_eq!(loaded.log_start.get(), int(case, "log_start_offset_after"), "{id}: log start");
        assert_eq!(loaded.recovery_point.get(), int(case, "recovery_point_after"), "{id}: recovery point");
        let files = files_after(&dir, &loaded.changes).unwrap();
        let logs = files.iter().filter(|(name, _)| name.ends_with(".log"));
        let logs: Vec<(String, u64)> = logs.map(|(name, size)| (name.clone(), *size)).collect();
        let expected: Vec<(String, u64)> = list(case, "segments")
            .iter()
            .map(|segment| (format!("{:020}.log", segment[0].as_i64().unwrap()), segment[1].as_u64().unwrap()))
            .collect();
        assert_eq!(logs, expected, "{id}: logs");
        let after = case["after_load_and_close"].as_object().unwrap();
        let kept = |name: &&String| !name.ends_with(".deleted") && !name.ends_with(".snapshot");
        let mut names: Vec<&String> = files.keys().filter(|name| *name != partition_metadata::FILE_NAME).collect();
        names.retain(kept);
        // A log alone makes the time index of an empty segment when it closes; the loader has made it before.
        assert_eq!(names, after.keys().filter(kept).collect::<Vec<_>>(), "{id}: files");
    }
    compared_all("log-recovery", compared, cases.len());
}

/// A broker's directory that was stopped cleanly, with its metadata log.
fn stopped() -> Option<(tempfile::TempDir, PathBuf)> {
    let case = case("02b")?;
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("d1");
    copy(&case.log_dirs().remove(0), &dir);
    fs::write(dir.join(".kafka_cleanshutdown"), r#"{"version":0,"brokerEpoch":13}"#).unwrap();
    Some((temp, dir))
}

/// A second directory of the same broker, formatted and empty.
fn second(dir: &Path) -> PathBuf {
    let other = dir.with_file_name("d2");
    fs::create_dir(&other).unwrap();
    let meta = fs::read_to_string(dir.join("meta.properties")).unwrap();
    let lines = meta.lines().filter(|line| !line.starts_with("directory.id"));
    let meta = lines.map(|line| format!("{line}\n")).collect::<String>() + "directory.id=yW0AUWagjn626Lt0gKLEwz\n";
    fs::write(other.join("meta.properties"), meta).unwrap();
    other
}

#[derive(Debug)]
enum Expected {
    Starts,
    Refuses(&'static str),
    /// Directory 2 goes offline, and the rest starts.
    Offline(&'static str),
    Stray(&'static str),
}

type Damage = fn(&Path, &Path);

/// The whole-broker rows of the matrix of bad input: each was run with a broker of Kafka 4.3.0.
#[test]
fn bad_input_to_a_whole_broker() {
    use Expected::{Offline, Refuses, Starts, Stray};
    let rows: &[(&str, Damage, Expected)] = &[
        ("nothing", |_, _| {}, Starts),
        (
            "no meta.properties",
            |_, two| fs::remove_file(two.join("meta.properties")).unwrap(),
            Refuses("No `meta.properties` found in"),
        ),
        (
            "another cluster.id",
            |_, two| replace(&two.join("meta.properties"), "cluster.id=", "cluster.id=x"),
            Refuses("Invalid cluster.id in:"),
        ),
        (
            "another node.id",
            |_, two| replace(&two.join("meta.properties"), "node.id=", "node.id=4"),
            Refuses("Stored node id"),
        ),
        (
            "the same directory.id",
            |one, two| assert!(fs::copy(one.join("meta.properties"), two.join("meta.properties")).is_ok()),
            Refuses("Duplicate directory ID"),
        ),
        (
            "meta.properties of the second is none",
            |_, two| fs::write(two.join("meta.properties"), "version=9").unwrap(),
            Offline("version"),
        ),
        (
            "meta.properties of the first is none",
            |one, _| fs::write(one.join("meta.properties"), "version=9").unwrap(),
            Refuses("Encountered I/O error in metadata log directory"),
        ),
        (
            "directory foo",
            |one, _| fs::create_dir(one.join("foo")).unwrap(),
            Refuses("'foo' is not in the form of topic-partition"),
        ),
        ("file foo.txt", |one, _| fs::write(one.join("foo.txt"), "x").unwrap(), Starts),
        ("remote-log-index-cache", |one, _| fs::create_dir(one.join("remote-log-index-cache")).unwrap(), Starts),
        (
            "a partition twice",
            |one, two| copy(&one.join("idem-0"), &two.join("idem-0")),
            Refuses("Duplicate log directories for idem-0 are found in both"),
        ),
        (
            "abc.log in a partition",
            |one, _| fs::write(one.join("idem-0/abc.log"), "").unwrap(),
            Refuses("NumberFormatException"),
        ),
        (
            "recovery points of version 1",
            |_, two| fs::write(two.join(checkpoint::RECOVERY_POINT), "1\n0\n").unwrap(),
            Offline("version 0, found 1"),
        ),
        (
            "recovery points that are no numbers",
            |_, two| fs::write(two.join(checkpoint::RECOVERY_POINT), "0\n1\na 0 x\n").unwrap(),
            Starts,
        ),
        (
            "high watermarks of version 1",
            |_, two| fs::write(two.join(checkpoint::HIGH_WATERMARK), "1\n0\n").unwrap(),
            Offline("version 0, found 1"),
        ),
        (
            "the same in the only other one",
            |one, _| fs::write(one.join(checkpoint::HIGH_WATERMARK), "1\n0\n").unwrap(),
            Refuses("Shutdown broker because the metadata log dir"),
        ),
        ("an empty marker", |one, _| fs::write(one.join(".kafka_cleanshutdown"), "").unwrap(), Starts),
        (
            "an unknown topic id",
            |one, _| {
                fs::write(one.join("idem-0/partition.metadata"), partition_metadata::to_text(Uuid([5; 16]))).unwrap()
            },
            Stray("idem-0"),
        ),
        (
            "no partition.metadata",
            |one, _| fs::remove_file(one.join("idem-0/partition.metadata")).unwrap(),
            Stray("idem-0"),
        ),
        (
            "an empty partition.metadata",
            |one, _| fs::write(one.join("idem-0/partition.metadata"), "").unwrap(),
            Refuses("line 1 is missing"),
        ),
        (
            "a topic id of few bytes",
            |one, _| fs::write(one.join("idem-0/partition.metadata"), "version: 0\ntopic_id: abc").unwrap(),
            Refuses("base64"),
        ),
        ("version 1 and a third line", |one, _| append(&one.join("idem-0/partition.metadata"), "\nmore"), Starts),
        (
            "leader epochs that are no numbers",
            |one, _| fs::write(one.join("idem-0/leader-epoch-checkpoint"), "0\n1\na b\n").unwrap(),
            Refuses("expected"),
        ),
        ("no bootstrap.checkpoint", |one, _| fs::remove_file(one.join("bootstrap.checkpoint")).unwrap(), Starts),
        (
            "an empty bootstrap.checkpoint",
            |one, _| fs::write(one.join("bootstrap.checkpoint"), "").unwrap(),
            Refuses("No FeatureLevelRecord for metadata.version"),
        ),
        (
            "quorum-state is none",
            |one, _| fs::write(one.join("__cluster_metadata-0/quorum-state"), "x").unwrap(),
            Refuses("Quorum status"),
        ),
        (
            "a metadata log in the wrong place",
            |one, two| copy(&one.join("__cluster_metadata-0"), &two.join("__cluster_metadata-0")),
            Refuses("Found unexpected metadata location in data directory"),
        ),
        (
            "half a metadata snapshot",
            |one, _| {
                fs::write(one.join("__cluster_metadata-0/00000000000000000009-0000000001-1.checkpoint.part"), "x")
                    .unwrap()
            },
            Starts,
        ),
        (
            "a metadata snapshot without a number",
            |one, _| fs::write(one.join("__cluster_metadata-0/x.checkpoint"), "x").unwrap(),
            Refuses("NumberFormatException"),
        ),
    ];
    for (what, damage, expected) in rows {
        let Some((_temp, one)) = stopped() else { return };
        let two = second(&one);
        damage(&one, &two);
        let settings = BrokerSettings { dirs_in_order: true, ..BrokerSettings::default() };
        let forecast = start(&[one.clone(), two], &ForecastOptions { settings, ..options() });
        let refusals = format!("{what}: {:?}", forecast.refusals);
        match expected {
            Starts => {
                assert!(forecast.starts(), "{refusals}");
                assert!(forecast.log_dirs.iter().all(|dir| dir.offline.is_empty()), "{what}: {:?}", forecast.log_dirs);
                let all = forecast.partitions.iter().all(|it| matches!(it.fate, Fate::Served | Fate::Metadata));
                assert!(all, "{what}: {:?}", forecast.partitions);
                assert!(forecast.is_harmless(), "{what}");
            }
            Refuses(why) => assert!(forecast.refusals.iter().any(|it| it.message.contains(why)), "{refusals}"),
            Offline(why) => {
                assert!(forecast.starts(), "{refusals}");
                let [first, second] = &forecast.log_dirs[..] else { panic!() };
                assert!(first.offline.is_empty(), "{what}: {first:?}");
                assert!(second.offline[0].message.contains(why), "{what}: {second:?}");
            }
            Stray(directory) => {
                assert!(forecast.starts(), "{refusals}");
                let fates: Vec<&Fate> =
                    forecast.partitions.iter().filter(|it| it.dir.ends_with(directory)).map(|it| &it.fate).collect();
                let [a, b] = &fates[..] else { panic!("{what}: {fates:?}") };
                assert!(matches!(a, Fate::Stray(_)) != matches!(b, Fate::Stray(_)), "{what}: {fates:?}");
                assert!(**a == Fate::Created || **b == Fate::Created, "{what}: {fates:?}");
            }
        }
    }
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from));
    fs::write(path, text.replace(from, to)).unwrap();
}

fn append(path: &Path, more: &str) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text + more).unwrap();
}

/// Found by `live_forecast.rs`: a directory that its checkpoints have put offline lets no log be renamed, or read for
/// an open transaction, and what would be a directory less for a broker becomes no broker.
#[test]
fn a_stray_or_an_open_transaction_in_a_directory_that_goes_offline_stops_the_broker() {
    for (stray, open, starts) in [(false, false, true), (true, false, false), (false, true, false)] {
        let Some((_temp, one)) = stopped() else { return };
        let two = second(&one);
        copy(&one.join("idem-0"), &two.join("idem-0"));
        fs::remove_dir_all(one.join("idem-0")).unwrap();
        fs::write(two.join(checkpoint::RECOVERY_POINT), "1\n0\n").unwrap();
        if stray {
            fs::remove_file(two.join("idem-0/partition.metadata")).unwrap();
        }
        if open {
            let forecast = start(std::slice::from_ref(&one), &options());
            let open = |it: &&PartitionForecast| it.loaded.as_ref().is_some_and(|it| it.first_unstable.is_some());
            let hanging = forecast.partitions.iter().find(open).unwrap();
            let name = hanging.dir.file_name().unwrap();
            fs::rename(&hanging.dir, two.join(name)).unwrap();
        }
        let forecast = start(&[one, two], &options());
        assert_eq!(forecast.starts(), starts, "{:?}", forecast.refusals);
        assert!(!forecast.log_dirs[1].offline.is_empty());
    }
}

/// Who holds a partition is in the metadata log, and only what a recovery leaves of that log counts.
#[test]
fn a_cut_metadata_log_makes_partitions_stray() {
    let Some((_temp, dir)) = stopped() else { return };
    let log = dir.join("__cluster_metadata-0/00000000000000000000.log");
    // The topics are made early in the log; the broker registers before that.
    let position = first_topic(&log);
    File::options().write(true).open(&log).unwrap().set_len(position).unwrap();
    let forecast = start(std::slice::from_ref(&dir), &options());
    assert!(forecast.starts(), "{:?}", forecast.refusals);
    let strays = forecast.partitions.iter().filter(|it| matches!(it.fate, Fate::Stray(StrayReason::NotInMetadata(_))));
    assert_eq!(strays.count(), forecast.partitions.len() - 1);
    assert!(!forecast.is_harmless());
}

/// Where the batch with the first topic starts.
fn first_topic(log: &Path) -> u64 {
    let bytes = fs::read(log).unwrap();
    let mut at = 0;
    loop {
        let len = 12 + usize::try_from(u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap())).unwrap();
        // Frame 1, TopicRecord, version 0, in a record whose key is null.
        if bytes[at..at + len].windows(5).any(|window| window[0] == 1 && window[2..] == [1, 2, 0]) {
            return at as u64;
        }
        at += len;
    }
}

#[test]
fn other_brokers_partitions_are_stray_and_missing_ones_are_made() {
    let Some((_temp, dir)) = stopped() else { return };
    fs::remove_dir_all(dir.join("txn-a-1")).unwrap();
    let renamed = "mixed-0.0123456789abcdef0123456789abcdef";
    fs::rename(dir.join("mixed-0"), dir.join(format!("{renamed}-delete"))).unwrap();
    fs::rename(dir.join("idem-1"), dir.join("idem-1.0123456789abcdef0123456789abcdef-stray")).unwrap();
    let forecast = start(std::slice::from_ref(&dir), &options());
    assert!(forecast.starts(), "{:?}", forecast.refusals);
    assert_eq!(of(&forecast, "txn-a-1").fate, Fate::Created);
    assert_eq!(of(&forecast, &format!("{renamed}-delete")).fate, Fate::Deleted);
    assert_eq!(of(&forecast, "mixed-0").fate, Fate::Created);
    assert_eq!(of(&forecast, "idem-1.0123456789abcdef0123456789abcdef-stray").fate, Fate::StaysStray);
    let deleted = of(&forecast, &format!("{renamed}-delete")).loaded.as_ref().unwrap();
    assert_eq!(deleted.log_end, Offset::ZERO, "what is deleted counts as empty");

    // The same directory, moved to another broker.
    replace(&dir.join("meta.properties"), "node.id=1", "node.id=2");
    let forecast = start(std::slice::from_ref(&dir), &options());
    let fate = &of(&forecast, "idem-0").fate;
    let expected = Fate::Stray(StrayReason::NotAssigned { node_id: 2, replicas: vec![1] });
    assert_eq!(*fate, expected);
}

/// Case 08, in the middle of a move between log directories.
#[test]
fn moves_between_directories_go_on() {
    let Some(case) = case("08") else { return };
    let mut futures = 0;
    let mut roots: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for dir in support::kafka_data::log_dirs_below(case.data()) {
        roots.entry(dir.parent().unwrap().to_owned()).or_default().push(dir);
    }
    for dirs in roots.values() {
        let forecast = start(dirs, &options());
        assert!(forecast.starts(), "{dirs:?}: {:?}", forecast.refusals);
        for partition in &forecast.partitions {
            let is_stray = matches!(partition.fate, Fate::Stray(_) | Fate::Failed { .. });
            assert!(!is_stray, "{}: {:?}", partition.dir.display(), partition.fate);
            futures += usize::from(matches!(partition.fate, Fate::Future | Fate::Promoted));
        }
    }
    println!("{} brokers, {futures} copies on their way", roots.len());
}
