//! The inventory of real directories, beside what a live broker and Kafka's own tools said of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use logdir::storage::inventory::partition::TopicId;
use logdir::storage::inventory::{Depth, LogDirs, SurveyOptions, survey};
use logdir::storage::names::{DirKind, PartitionDirName};
use logdir::storage::partition::Checkpoints;
use logdir::types::{Codec, Offset};
use serde_json::Value;
use support::kafka_data::{Case, log_dirs_below};

const MAX_BATCH_BYTES: usize = 128 << 20;
const NOW_MS: i64 = 1_800_000_000_000;

fn kafka_text(dirs: &[PathBuf]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    let output = command.env_clear().arg("log-dirs").args(dirs).args(["--output", "kafka"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The partitions of every log directory in the tool's JSON, by broker and the last two parts of its path.
fn dirs_of(json: &Value) -> Vec<(i64, String, Vec<Value>)> {
    let mut dirs = Vec::new();
    for broker in json["brokers"].as_array().unwrap() {
        for dir in broker["logDirs"].as_array().unwrap() {
            let parts: Vec<&str> = dir["logDir"].as_str().unwrap().rsplit('/').take(2).collect();
            assert_eq!(dir["error"], Value::Null, "{dir}");
            let name = format!("{}/{}", parts[1], parts[0]);
            dirs.push((broker["broker"].as_i64().unwrap(), name, dir["partitions"].as_array().unwrap().clone()));
        }
    }
    dirs.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    dirs
}

/// What kafka-log-dirs.sh printed for a cluster of three brokers with two disks each, before and after a reassignment.
#[test]
fn the_text_of_kafka_log_dirs_is_that_of_a_real_cluster() {
    let Some(case) = Case::all().into_iter().find(|case| case.name == "08-reassign-jbod") else { return };
    let (mut compared, mut dirs) = (0, 0);
    for moment in ["before", "after"] {
        let truth = std::fs::read_to_string(case.truth.join(format!("log-dirs.{moment}.txt"))).unwrap();
        let ours = kafka_text(&log_dirs_below(&case.data().join(moment)));
        let (truth, ours): (Vec<&str>, Vec<&str>) = (truth.lines().collect(), ours.lines().collect());
        assert_eq!((ours.len(), &ours[..2]), (3, &truth[..2]), "{moment}");
        let (theirs_json, ours_json): (Value, Value) =
            (serde_json::from_str(truth[2]).unwrap(), serde_json::from_str(ours[2]).unwrap());
        assert_eq!(ours_json["version"], theirs_json["version"]);
        // The same keys in the same order, and as much text, but for the paths, which the record has short.
        let shape = |line: &str| line.split('"').filter(|part| !part.contains('-') && !part.contains('/')).count();
        assert_eq!(shape(ours[2]), shape(truth[2]), "{moment}");
        assert!(ours[2].starts_with("{\"brokers\":[{\"broker\":1,\"logDirs\":[{\"partitions\":[{\"partition\":\""));
        let (theirs, ours) = (dirs_of(&theirs_json), dirs_of(&ours_json));
        assert_eq!(theirs.len(), ours.len(), "{moment}");
        for (theirs, ours) in theirs.iter().zip(&ours) {
            assert_eq!((theirs.0, &theirs.1), (ours.0, &ours.1), "{moment}");
            // Their order too, which is that of Java's and Scala's hash maps.
            assert_eq!(ours.2, theirs.2, "{moment}: {}", ours.1);
            compared += theirs.2.len();
            dirs += 1;
        }
    }
    println!("log-dirs: {compared} partitions in {dirs} directories compared");
    assert!(compared > 50 && dirs == 12, "{compared} partitions in {dirs} directories");
}

/// Offsets, open transactions and times of every recorded partition; with every depth.
#[test]
fn facts_are_those_a_live_broker_told() {
    let cases = Case::all();
    let (mut partitions, mut stable_at_index, mut with_time) = (0, 0, 0);
    let mut wrong = Vec::new();
    for case in &cases {
        let Some(truth) = case.truth_json("offsets.json") else { continue };
        let dirs = LogDirs::open(&case.log_dirs(), None).unwrap();
        for (log_dir, name, path) in dirs.partitions().filter(|(_, name, _)| name.kind == DirKind::Live) {
            let Some(expected) = truth.get(name.topic_partition.to_string()) else { continue };
            for depth in [Depth::Index, Depth::Headers, Depth::Deep] {
                let facts = dirs.survey(log_dir, name, path, depth, NOW_MS, MAX_BATCH_BYTES).unwrap();
                let wanted = |field: &str| expected[field].as_i64().map(Offset::new);
                let mut check = |what: &str, found: String, wanted: String| {
                    if found != wanted {
                        let case = &case.name;
                        wrong.push(format!("{case}: {} {depth:?}: {what} {found}, broker {wanted}", path.display()));
                    }
                };
                check("start", facts.log_start.to_string(), wanted("logStartOffset").unwrap().to_string());
                check("end", facts.log_end.to_string(), wanted("endOffset").unwrap().to_string());
                if let Some(stable) = facts.last_stable() {
                    check("last stable", stable.to_string(), wanted("lastStableOffset").unwrap().to_string());
                    stable_at_index += usize::from(depth == Depth::Index);
                } else {
                    assert_eq!(depth, Depth::Index, "only the quick look may not know: {}", path.display());
                }
                if let Some(newest) = expected["maxTimestamp"].as_i64().filter(|newest| *newest >= 0) {
                    check("newest", format!("{:?}", facts.newest_ms), format!("{:?}", Some(newest)));
                    with_time += 1;
                }
                assert_eq!(facts.content.is_some(), depth > Depth::Index);
                if let Some(content) = &facts.content {
                    assert_eq!(content.damaged, 0, "{}", path.display());
                }
            }
            partitions += 1;
        }
    }
    println!("facts: {partitions} partitions compared, {stable_at_index} last stable offsets without reading headers");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases.is_empty() || (partitions > 200 && stable_at_index > 100 && with_time > 200), "{partitions}");
}

/// Topic ids, records, codecs and sizes against what was recorded in other ways: `topics.json`, the records a consumer
/// got, the names of topics that say their codec, the lengths of files.
#[test]
fn ids_records_and_codecs_are_those_recorded() {
    let cases = Case::all();
    let (mut ids, mut counted, mut codecs) = (0, 0, 0);
    for case in &cases {
        let (Some(offsets), Some(topics)) = (case.truth_json("offsets.json"), case.truth_json("topics.json")) else {
            continue;
        };
        let dirs = LogDirs::open(&case.log_dirs(), None).unwrap();
        for (log_dir, name, path) in dirs.partitions().filter(|(_, name, _)| name.kind == DirKind::Live) {
            let topic = name.topic_partition.topic.as_str();
            let label = format!("{}: {}", case.name, path.display());
            let facts = dirs.survey(log_dir, name, path, Depth::Deep, NOW_MS, MAX_BATCH_BYTES).unwrap();
            let on_disk = bytes_of_logs(path);
            assert_eq!(facts.log_bytes, on_disk, "{label}");
            assert!(facts.usage.apparent_bytes >= on_disk, "{label}");
            if let (TopicId::Known(id), Some(wanted)) = (facts.topic_id, topic_id(&topics, topic)) {
                assert_eq!(id.to_string(), wanted, "{label}");
                ids += 1;
            }
            let total = facts.content.unwrap().total();
            // Of a log without markers, holes and a start above its first record, a consumer gets every record.
            let expected = offsets.get(name.topic_partition.to_string());
            let consumed = expected.and_then(|expected| expected["records_read_uncommitted"].as_i64());
            let end = facts.log_end.get() - facts.log_start.get();
            let has_whole_start = facts.log_start == Offset::ZERO;
            if let Some(consumed) = consumed.filter(|consumed| *consumed == end && has_whole_start) {
                assert_eq!(total.records.map(u64::cast_signed), Some(consumed), "{label}");
                counted += 1;
            }
            for codec in Codec::ALL {
                let only = topic.starts_with("c-") && topic.ends_with(codec.name());
                if only && total.batches > 0 {
                    let found: Vec<Codec> = facts.content.unwrap().codecs().map(|(codec, _)| codec).collect();
                    assert_eq!(found, [codec], "{label}");
                    let ratio = total.ratio().unwrap();
                    assert!(codec == Codec::None || ratio != 1.0, "{label}: ratio {ratio}");
                    codecs += 1;
                }
            }
        }
    }
    println!("{ids} topic ids, {counted} counts of records, {codecs} codecs compared");
    assert!(cases.is_empty() || (ids > 100 && counted > 100 && codecs >= 5), "{ids} ids, {counted}, {codecs}");
}

/// How dirty logs are, for every kind of cleaner checkpoint: below, inside, between and behind segments.
#[test]
fn logs_are_as_dirty_as_the_cleaner_reckons() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/compacted");
    let table = std::fs::read_to_string(fixture.join("truth/log-to-clean.tsv")).unwrap();
    let mut compared = 0;
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let number = |at: usize| cells[at].parse::<i64>().unwrap();
        let checkpoints = Checkpoints { cleaner: Some(Offset::new(number(1))), ..Checkpoints::default() };
        let name = PartitionDirName::parse(cells[0].as_ref()).unwrap();
        let options = SurveyOptions {
            depth: Depth::Index,
            is_compacted: true,
            min_compaction_lag_ms: 0,
            now_ms: NOW_MS,
            max_batch_bytes: MAX_BATCH_BYTES,
        };
        let facts = survey(&name, &fixture.join("data").join(cells[0]), 0, checkpoints, &options).unwrap();
        let cleaning = facts.cleaning.unwrap();
        let found = (
            cleaning.first_dirty.get(),
            cleaning.clean_bytes.cast_signed(),
            cleaning.cleanable_bytes.cast_signed(),
            cleaning.dirty_ratio(),
        );
        // A log without anything to reckon with has no ratio: not a number in Java.
        let ratio = cells[5].parse::<f64>().ok().filter(|ratio| !ratio.is_nan());
        assert_eq!(found, (number(2), number(3), number(4), ratio), "{line}");
        compared += 1;
    }
    println!("{compared} answers of the cleaner compared");
    assert!(compared > 100, "{compared}");
}

fn bytes_of_logs(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let logs = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".log"));
    logs.map(|entry| entry.metadata().unwrap().len()).sum()
}

/// The id of a topic in `topics.json`, whichever way it is laid out.
fn topic_id(topics: &Value, name: &str) -> Option<String> {
    let entry = match topics {
        Value::Object(map) => map.get(name)?,
        Value::Array(list) => list.iter().find(|entry| entry["topic"] == name || entry["name"] == name)?,
        _ => return None,
    };
    let id = ["topic_id", "topicId", "id"].into_iter().find_map(|key| entry[key].as_str())?;
    Some(id.to_owned())
}
