//! Log start, log end and last stable offsets of real directories, as a live broker gave them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use logdir::storage::log_dir::LogDir;
use logdir::storage::names::DirKind;
use logdir::storage::transactions::Transactions;
use logdir::types::Offset;
use support::kafka_data::Case;

#[test]
fn offsets_equal_what_the_broker_answered() {
    let mut compared = 0;
    let mut wrong = Vec::new();
    for case in Case::all() {
        let Some(truth) = case.truth_json("offsets.json") else { continue };
        for dir in case.log_dirs() {
            let log_dir = LogDir::open(&dir).unwrap();
            for (name, path) in log_dir.partitions() {
                let label = format!("{}: {}", case.name, path.display());
                let Some(expected) = truth.get(name.topic_partition.to_string()) else { continue };
                if name.kind != DirKind::Live {
                    continue;
                }
                let partition = log_dir.open_partition(name, path).unwrap();
                let end = partition.log_end().unwrap();
                let stable = Transactions::new(&partition).last_stable(end).unwrap();
                let found =
                    [("logStartOffset", partition.log_start()), ("endOffset", end), ("lastStableOffset", stable)];
                for (field, offset) in found {
                    let wanted = Offset::new(expected[field].as_i64().unwrap());
                    if offset != wanted {
                        wrong.push(format!("{label}: {field} {offset}, broker {wanted}"));
                    }
                }
                // The largest timestamp is found through the time index; it may lie below the log start.
                if let Some(max) = expected["maxTimestamp"].as_i64().filter(|max| *max >= 0) {
                    let found = partition.find_timestamp(max, Offset::ZERO, 128 << 20).unwrap();
                    if found.map(|(_, ms)| ms) != Some(max) {
                        wrong.push(format!("{label}: timestamp {max} found as {found:?}"));
                    }
                }
                compared += 1;
            }
        }
    }
    println!("offsets: {compared} partitions compared");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn timestamps_are_found_where_the_broker_finds_them() {
    let mut compared = 0;
    let mut wrong = Vec::new();
    for case in Case::all() {
        let Some(lines) = case.truth_lines("offsets-for-times.ndjson") else { continue };
        let log_dirs: Vec<_> = case.log_dirs().iter().map(|dir| LogDir::open(dir).unwrap()).collect();
        for line in lines {
            let name = format!("{}-{}", line["topic"].as_str().unwrap(), line["partition"]);
            for log_dir in &log_dirs {
                let Some((dir_name, path)) = log_dir.partitions().find(|(found, _)| found.to_string() == name) else {
                    continue;
                };
                let partition = log_dir.open_partition(dir_name, path).unwrap();
                let asked = line["query"].as_i64().unwrap();
                let found = partition.find_timestamp(asked, partition.log_start(), 128 << 20).unwrap();
                let offset = found.map_or(-1, |(offset, _)| offset.get());
                if Some(offset) != line["offset"].as_i64() {
                    wrong.push(format!("{}: {line}: found {found:?}", case.name));
                }
                compared += 1;
            }
        }
    }
    println!("offsets for times: {compared} look-ups compared");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
