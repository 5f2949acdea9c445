//! What a live broker answered to ListOffsets for every partition of the recorded directories.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use logdir::storage::list_offsets::{Found, Isolation, ListOffsets, OffsetSpec};
use logdir::storage::log_dir::LogDir;
use logdir::storage::names::DirKind;
use support::kafka_data::Case;

const MAX_BATCH_BYTES: usize = 128 << 20;

#[test]
fn offsets_equal_what_the_broker_answered() {
    use Isolation::{ReadCommitted, ReadUncommitted};
    let cases = Case::all();
    let (mut partitions, mut internal, mut answers, mut with_max) = (0, 0, 0, 0);
    let (mut with_truth, mut compared_cases) = (0, 0);
    let mut wrong = Vec::new();
    for case in &cases {
        let Some(truth) = case.truth_json("offsets.json") else { continue };
        with_truth += 1;
        let before = partitions;
        for dir in case.log_dirs() {
            let log_dir = LogDir::open(&dir).unwrap();
            for (name, path) in log_dir.partitions() {
                let label = format!("{}: {}", case.name, path.display());
                let Some(expected) = truth.get(name.topic_partition.to_string()) else { continue };
                if name.kind != DirKind::Live {
                    continue;
                }
                let partition = log_dir.open_partition(name, path).unwrap();
                let mut offsets = ListOffsets::new(&partition, MAX_BATCH_BYTES);
                let mut answer = |spec, isolation| offsets.answer(spec, isolation).unwrap();
                let offset = |found: Option<Found>| found.map_or(-1, |found| found.offset.get());
                let max = answer(OffsetSpec::MaxTimestamp, ReadUncommitted);
                let found = [
                    ("logStartOffset", offset(answer(OffsetSpec::Earliest, ReadUncommitted))),
                    ("logStartOffset", offset(answer(OffsetSpec::EarliestLocal, ReadCommitted))),
                    ("endOffset", offset(answer(OffsetSpec::Latest, ReadUncommitted))),
                    ("lastStableOffset", offset(answer(OffsetSpec::Latest, ReadCommitted))),
                    ("offsetOfMaxTimestamp", offset(max)),
                    ("maxTimestamp", max.and_then(|found| found.timestamp_ms).unwrap_or(-1)),
                ];
                for (field, found) in found {
                    // Brokers before 3.0 cannot be asked for the maximum timestamp.
                    let Some(wanted) = expected[field].as_i64() else { continue };
                    answers += 1;
                    if found != wanted {
                        wrong.push(format!("{label}: {field} {found}, broker {wanted}"));
                    }
                }
                assert_eq!(answer(OffsetSpec::LatestTiered, ReadUncommitted), None, "{label}");
                with_max += usize::from(max.is_some());
                internal += usize::from(name.topic_partition.is_internal());
                partitions += 1;
            }
        }
        compared_cases += usize::from(partitions > before);
    }
    println!(
        "offsets: {compared_cases} cases, {partitions} partitions ({internal} internal), {answers} answers compared, \
         {with_max} with a maximum timestamp"
    );
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(compared_cases, with_truth, "every case that has answers is compared");
    assert!(cases.is_empty() || (internal > 0 && with_max > 0), "internal topics and timestamps are among them");
}

#[test]
fn timestamps_are_found_where_the_broker_finds_them() {
    let cases = Case::all();
    let mut compared = 0;
    let mut wrong = Vec::new();
    for case in &cases {
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
                // Both the broker's answer and the search that reads from a time on.
                let mut offsets = ListOffsets::new(&partition, MAX_BATCH_BYTES);
                let answer = offsets.answer(OffsetSpec::Timestamp(asked), Isolation::ReadUncommitted).unwrap();
                let answer = answer.map_or((-1, -1), |found| (found.offset.get(), found.timestamp_ms.unwrap_or(-1)));
                let found = partition.find_timestamp(asked, partition.log_start(), MAX_BATCH_BYTES).unwrap();
                let found = found.map_or((-1, -1), |(offset, ms)| (offset.get(), ms));
                let wanted = (line["offset"].as_i64().unwrap(), line["timestamp"].as_i64().unwrap_or(-1));
                if answer != wanted || found != wanted {
                    wrong.push(format!("{}: {line}: answer {answer:?}, found {found:?}", case.name));
                }
                compared += 1;
            }
        }
    }
    println!("offsets for times: {compared} look-ups compared");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases.is_empty() || compared > 0, "nothing was compared");
}
