//! Cluster metadata records of real brokers, against what `kafka-dump-log.sh --cluster-metadata-decoder` printed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use logdir::batch::compression::Decompressor;
use logdir::batch::walk::Walker;
use logdir::schema::metadata::{self, Decoded};
use logdir::storage::file_source::FileSource;
use logdir::storage::metadata_log::{DIR_NAME, MetadataLog, Moment};
use logdir::types::Position;
use serde_json::{Value, json};
use support::kafka_data::{Case, unpack};

fn below(root: &Path, name: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, name, found);
        } else if path.to_string_lossy().ends_with(name) {
            found.push(path);
        }
    }
}

/// What Kafka printed for each record, by its offset.
fn printed(dump: &Path) -> BTreeMap<i64, String> {
    let text = fs::read_to_string(dump).unwrap();
    let of_record = |line: &str| {
        let (head, payload) = line.strip_prefix("| offset: ")?.split_once(" payload: ")?;
        Some((head.split(' ').next()?.parse().ok()?, payload.to_owned()))
    };
    text.lines().filter_map(of_record).collect()
}

fn ours(log: &Path) -> BTreeMap<i64, String> {
    let mut walker = Walker::checked(FileSource::new(fs::File::open(log).unwrap()).unwrap(), Position::ZERO);
    let mut decompressor = Decompressor::default();
    let mut found = BTreeMap::new();
    while let Ok(walked) = walker.step().unwrap() {
        if walked.frame.is_control() {
            continue;
        }
        let records = walked.frame.records(&mut decompressor).unwrap();
        let visited = records.visit(|record| {
            let value = record.value.unwrap();
            let Decoded::Known(record_of) = metadata::decode(value).unwrap() else { panic!("{value:?}") };
            let mut json = Vec::new();
            record_of.write_json(&mut json);
            found.insert(record.offset.get(), String::from_utf8(json).unwrap());
            ControlFlow::<()>::Continue(())
        });
        visited.unwrap();
    }
    found
}

#[test]
fn every_record_is_what_kafka_prints() {
    let (mut files, mut records) = (0, 0);
    for case in Case::all() {
        let archive = case.truth.join("dump.tar.gz");
        if !archive.is_file() {
            continue;
        }
        let dump = tempfile::tempdir().unwrap();
        unpack(&archive, dump.path());
        let mut logs = Vec::new();
        below(case.data(), ".log", &mut logs);
        for log in logs {
            if !log.parent().is_some_and(|dir| dir.ends_with("__cluster_metadata-0")) {
                continue;
            }
            let relative = log.strip_prefix(case.data()).unwrap().display().to_string();
            let text = dump.path().join("dump").join(relative + ".decoded.txt");
            let (expected, found) = (printed(&text), ours(&log));
            assert_eq!(found.len(), expected.len(), "{}: {}", case.name, log.display());
            for (offset, json) in &expected {
                assert_eq!(found.get(offset), Some(json), "{}: {} offset {offset}", case.name, log.display());
            }
            files += 1;
            records += expected.len();
        }
    }
    if support::kafka_data_dir().is_some() {
        println!("{records} records of {files} logs compared");
        assert!(files > 10 && records > 1_000, "{files} logs, {records} records");
    }
}

/// Topics, ids, partitions, replicas and settings of every metadata log are what the live brokers said. Leader and ISR
/// too where the broker was killed; a clean stop is in the log itself, and leaves no leader.
#[test]
fn images_are_what_the_brokers_said() {
    let (mut logs, mut topics, mut partitions, mut settings, mut leaders) = (0, 0, 0, 0, 0);
    for case in Case::all() {
        let Some(truth) = case.truth_json("topics.json") else { continue };
        let dirs: Vec<PathBuf> = case.log_dirs().into_iter().filter(|dir| dir.join(DIR_NAME).is_dir()).collect();
        let is_alone = dirs.len() == 1;
        for dir in dirs {
            let what = format!("{} {}", case.name, dir.display());
            let log = MetadataLog::open(&dir).unwrap();
            let mut replay = log.replay(Moment::End).unwrap();
            replay.advance(Moment::End, &mut |_, _| {}).unwrap();
            assert_eq!(replay.problems().1, 0, "{what}: {:?}", replay.problems());
            let image = replay.into_image();
            let expected = truth.as_object().unwrap();
            let names = image.topics().map(|topic| &topic.name).collect::<std::collections::BTreeSet<_>>();
            assert_eq!(names, expected.keys().collect(), "{what}");
            for (name, expected) in expected {
                let topic = image.topic_named(name).unwrap();
                assert_eq!(topic.topic_id.to_string(), expected["topicId"], "{what} {name}");
                let config = json!(image.topic_config(name).cloned().unwrap_or_default());
                assert_eq!(config, expected["configs"], "{what} {name}");
                settings += config.as_object().unwrap().len();
                let rows = support::list(expected, "partitions");
                assert_eq!(topic.partitions.len(), rows.len(), "{what} {name}");
                for (partition, row) in topic.partitions.values().zip(rows) {
                    let what = format!("{what} {name}-{}", partition.partition);
                    assert_eq!(
                        (json!(partition.partition), json!(partition.replicas)),
                        (row["partition"].clone(), row["replicas"].clone()),
                        "{what}"
                    );
                    if case.name.ends_with("-killed") {
                        let state = (json!(partition.leader), sorted(&json!(partition.isr)), json!(partition.elr));
                        assert_eq!(state, (row["leader"].clone(), sorted(&row["isr"]), row["elr"].clone()), "{what}");
                        leaders += 1;
                    } else if is_alone && case.name.ends_with("-clean") {
                        assert_eq!(partition.leader, -1, "{what}: no leader after a clean stop");
                        assert_eq!(sorted(&json!(partition.elr)), sorted(&row["isr"]), "{what}: who may lead again");
                        leaders += 1;
                    }
                    partitions += 1;
                }
                topics += 1;
            }
            logs += 1;
        }
    }
    if support::kafka_data_dir().is_some() {
        println!(
            "{logs} logs, {topics} topics, {partitions} partitions ({leaders} with leader), {settings} settings compared"
        );
        assert!(logs > 10 && topics > 80 && partitions > 150 && leaders > 50 && settings > 100);
    }
}

fn sorted(ids: &Value) -> Vec<i64> {
    let mut ids = support::ints(ids);
    ids.sort_unstable();
    ids
}
