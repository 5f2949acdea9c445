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
use logdir::types::Position;
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
