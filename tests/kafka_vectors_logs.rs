//! Logs as they grow, roll, close and recover, against what the classes of Kafka 4.3.0 made of the same input.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use logdir::batch::builder::{BatchBuf, BatchBuilder, BatchSpec, NewRecord};
use logdir::batch::compression::Compressor;
use logdir::storage::index::build::IndexedBatch;
use logdir::storage::names::{SegmentFileKind, segment_file_name};
use logdir::storage::recovery::{self, LoadError, LoadOptions};
use logdir::storage::writer::segment::SegmentWriter;
use logdir::storage::writer::{Appended, Durability, LogConfig, LogWriter, Refusal};
use logdir::types::{LeaderEpoch, Offset};
use serde_json::Value;
use support::{compared_all, hex, int, lines, list, text};

/// When the clock of the vectors starts.
const START_MS: i64 = 1_750_000_000_000;

fn u32_of(case: &Value, name: &str) -> u32 {
    u32::try_from(int(case, name)).unwrap()
}

/// Kafka's configuration, which the vectors keep as text.
fn config_of(case: &Value) -> LogConfig {
    let number = |name: &str| case["config"][name].as_str().and_then(|text| text.parse::<i64>().ok());
    let or = |name: &str, default: u32| number(name).map_or(default, |n| u32::try_from(n).unwrap());
    let defaults = LogConfig::default();
    LogConfig {
        segment_bytes: or("internal.segment.bytes", defaults.segment_bytes),
        segment_ms: number("segment.ms").unwrap_or(defaults.segment_ms),
        segment_index_bytes: or("segment.index.bytes", defaults.segment_index_bytes),
        index_interval_bytes: or("index.interval.bytes", defaults.index_interval_bytes),
        ..defaults
    }
}

/// One record of `value_len` zero bytes, as every batch of these vectors.
fn batch_of(batch: &Value) -> BatchBuf {
    let (base, last) = (int(batch, "base_offset"), int(batch, "last_offset"));
    let epoch = batch["leader_epoch"].as_i64().map_or(0, |epoch| i32::try_from(epoch).unwrap());
    let spec = BatchSpec { base_offset: Offset::new(base), leader_epoch: LeaderEpoch(epoch), ..BatchSpec::default() };
    let mut builder = BatchBuilder::new(spec);
    let value = vec![0; usize::try_from(int(batch, "value_len")).unwrap()];
    let timestamp_ms = int(batch, "max_timestamp");
    builder.push(&NewRecord { timestamp_ms, value: Some(&value), ..NewRecord::default() }).unwrap();
    builder.set_last_offset_delta(i32::try_from(last - base).unwrap()).unwrap();
    let sealed = builder.seal(&mut Compressor::default()).unwrap();
    assert_eq!(sealed.bytes().len() as i64, int(batch, "size"), "{batch}");
    sealed
}

fn indexed(batches: &[BatchBuf], mut position: u64) -> Vec<IndexedBatch> {
    let one = |batch: &BatchBuf| {
        let view = batch.view();
        let size_bytes = batch.bytes().len() as u64;
        let at = u32::try_from(position).unwrap();
        position += size_bytes;
        IndexedBatch {
            position: at,
            size_bytes,
            last_offset: view.last_offset(),
            max_timestamp_ms: view.max_timestamp_ms(),
        }
    };
    batches.iter().map(one).collect()
}

fn file(dir: &Path, base: Offset, kind: SegmentFileKind) -> Vec<u8> {
    std::fs::read(dir.join(segment_file_name(base, kind))).unwrap()
}

/// What a segment's indexes hold, entries in memory and entries in the files together.
fn index_of(dir: &Path, base: Offset, segment: &mut SegmentWriter) -> (Vec<u8>, Vec<u8>) {
    segment.write_out().unwrap();
    (file(dir, base, SegmentFileKind::OffsetIndex), file(dir, base, SegmentFileKind::TimeIndex))
}

#[test]
fn segments_and_their_indexes() {
    let Some(cases) = lines("index-segments") else { return };
    let mut compared = 0;
    for case in &cases {
        let id = text(case, "id");
        let dir = tempfile::tempdir().unwrap();
        let base = Offset::new(int(case, "base_offset"));
        let config = LogConfig {
            index_interval_bytes: u32_of(case, "index_interval_bytes"),
            segment_index_bytes: u32_of(case, "segment_index_bytes"),
            ..LogConfig::default()
        };
        let mut segment = SegmentWriter::create(dir.path(), base, &config, START_MS).unwrap();
        for (step, op) in list(case, "ops").iter().enumerate() {
            let at = format!("{id}, operation {step}");
            match text(op, "op") {
                "append" => {
                    let batches: Vec<BatchBuf> = list(op, "batches").iter().map(batch_of).collect();
                    let bytes: Vec<u8> = batches.iter().flat_map(|batch| batch.bytes().to_vec()).collect();
                    segment.append(&bytes, &indexed(&batches, segment.size_bytes())).unwrap();
                    let entries = (int(op, "index_entries"), int(op, "timeindex_entries"));
                    let found = segment.index().entries();
                    assert_eq!((found.0 as i64, found.1 as i64), entries, "{at}");
                }
                "close_and_reopen" => {
                    segment.become_inactive().unwrap();
                    let found = index_of(dir.path(), base, &mut segment);
                    assert_eq!(found, (hex(op, "index_after_close"), hex(op, "timeindex_after_close")), "{at}");
                    segment = SegmentWriter::open(dir.path(), base, &config, START_MS).unwrap();
                }
                "truncate_to" => {
                    let cut = segment.truncate_to(Offset::new(int(op, "offset")), START_MS).unwrap();
                    assert_eq!(cut as i64, int(op, "bytes_truncated"), "{at}");
                    assert_eq!(segment.size_bytes() as i64, int(op, "log_size"), "{at}");
                    let found = index_of(dir.path(), base, &mut segment);
                    assert_eq!(found, (hex(op, "index"), hex(op, "timeindex")), "{at}");
                }
                "recover" => {
                    // A recovery works on a closed segment, and leaves the byte counter of an open one alone.
                    let since = segment.index().since_entry();
                    segment.write_out().unwrap();
                    let options =
                        LoadOptions { clean: false, recovery_point: base, log_start: base, now_ms: START_MS, config };
                    let plan = recovery::plan(dir.path(), &options).unwrap();
                    assert!(plan.losses.is_empty(), "{at}");
                    plan.apply().unwrap();
                    segment = SegmentWriter::open(dir.path(), base, &config, START_MS).unwrap();
                    segment.count_on_from(since);
                    let found = index_of(dir.path(), base, &mut segment);
                    assert_eq!(found, (hex(op, "index"), hex(op, "timeindex")), "{at}");
                }
                "become_inactive" => {
                    segment.become_inactive().unwrap();
                    let found = index_of(dir.path(), base, &mut segment);
                    assert_eq!(found, (hex(op, "index"), hex(op, "timeindex")), "{at}");
                }
                other => panic!("{at}: {other}"),
            }
        }
        let live = index_of(dir.path(), base, &mut segment);
        assert_eq!(live, (hex(&case["live"], "index"), hex(&case["live"], "timeindex")), "{id}, live");
        assert_eq!(segment.size_bytes() as i64, int(&case["live"], "log_size"), "{id}");
        assert_eq!(segment.index().largest().timestamp, int(&case["live"], "max_timestamp"), "{id}");
        segment.become_inactive().unwrap();
        let closed = index_of(dir.path(), base, &mut segment);
        assert_eq!(
            closed,
            (hex(&case["after_close"], "index"), hex(&case["after_close"], "timeindex")),
            "{id}, closed"
        );
        let log = file(dir.path(), base, SegmentFileKind::Log);
        assert_eq!(support::sha256(&log), text(case, "log_sha256"), "{id}, the log");
        // The same with a tail, and without indexes.
        let recover = &case["recover"];
        let log = [log, hex(recover, "tail_appended")].concat();
        std::fs::write(dir.path().join(segment_file_name(base, SegmentFileKind::Log)), &log).unwrap();
        for kind in [SegmentFileKind::OffsetIndex, SegmentFileKind::TimeIndex] {
            std::fs::remove_file(dir.path().join(segment_file_name(base, kind))).unwrap();
        }
        let options = LoadOptions { clean: false, recovery_point: base, log_start: base, now_ms: START_MS, config };
        let plan = recovery::plan(dir.path(), &options).unwrap();
        assert_eq!(log.len() as i64 - plan.segments[0].1 as i64, int(recover, "bytes_truncated"), "{id}, recovered");
        plan.apply().unwrap();
        let found =
            (file(dir.path(), base, SegmentFileKind::OffsetIndex), file(dir.path(), base, SegmentFileKind::TimeIndex));
        assert_eq!(found, (hex(recover, "index"), hex(recover, "timeindex")), "{id}, recovered");
        assert_eq!(file(dir.path(), base, SegmentFileKind::Log).len() as i64, int(recover, "log_size"), "{id}");
        compared += 1;
    }
    compared_all("index-segments", compared, cases.len());
}

/// A file listing of the vectors, beside a directory.
fn assert_files(dir: &Path, expected: &[Value], id: &str) {
    // Rolled while it was empty: Kafka renames the empty files and makes new ones, here they stay.
    let kept = |file: &&Value| !text(file, "name").ends_with(".deleted");
    let expected: Vec<&Value> = expected.iter().filter(kept).collect();
    let mut found: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    let names: Vec<&str> = expected.iter().map(|file| text(file, "name")).collect();
    // A broker's own flush makes the indexes of a segment that was rolled and not used; closing the log alone
    // does not. Here they are there from the start: without an offset index a segment is recovered.
    found.retain(|name| {
        let empty_index = name.ends_with("index") && std::fs::metadata(dir.join(name)).unwrap().len() == 0;
        names.contains(&name.as_str()) || !empty_index
    });
    assert_eq!(found, names, "{id}: the files");
    for expected in expected {
        let name = text(expected, "name");
        let bytes = std::fs::read(dir.join(name)).unwrap();
        if let Some(hexed) = expected["bytes"].as_str() {
            assert_eq!(data_encoding::HEXLOWER.encode(&bytes), hexed, "{id}: {name}");
        } else if let Some(text) = expected["text"].as_str() {
            assert_eq!(String::from_utf8(bytes).unwrap(), text, "{id}: {name}");
        } else {
            assert_eq!(bytes.len() as i64, int(expected, "size"), "{id}: {name}");
            if let Some(sum) = expected["sha256"].as_str() {
                assert_eq!(support::sha256(&bytes), sum, "{id}: {name}");
            }
        }
    }
}

fn open_new(dir: &Path, config: LogConfig, now_ms: i64) -> LogWriter {
    let options = LoadOptions { clean: true, recovery_point: Offset::ZERO, log_start: Offset::ZERO, now_ms, config };
    let plan = recovery::plan(dir, &options).unwrap();
    plan.apply().unwrap();
    LogWriter::open(plan, config, Durability::Buffered, now_ms).unwrap()
}

#[test]
fn logs_roll_where_a_broker_rolls() {
    let Some(cases) = lines("log-rolls") else { return };
    let (mut compared, mut refused_earlier) = (0, 0);
    for case in &cases {
        let id = text(case, "id");
        let dir = tempfile::tempdir().unwrap();
        let mut log = open_new(dir.path(), config_of(case), START_MS);
        let (mut half_written, mut now) = (false, START_MS);
        for (step, op) in list(case, "ops").iter().enumerate() {
            let at = format!("{id}, operation {step}");
            now = op["now"].as_i64().unwrap_or(now);
            match text(op, "op") {
                "roll" => log.roll(now).unwrap(),
                "append" => {
                    let batches: Vec<BatchBuf> = list(op, "batches").iter().map(batch_of).collect();
                    let bytes: Vec<u8> = batches.iter().flat_map(|batch| batch.bytes().to_vec()).collect();
                    let appended = if text(case, "mode") == "leader" && batches.len() == 1 {
                        let mut batch = batches[0].clone();
                        let epoch = batch.view().leader_epoch();
                        log.append_as_leader(&mut batch, epoch, now).unwrap()
                    } else {
                        log.append_as_follower(&bytes, now).unwrap()
                    };
                    match op["error"]["error"].as_str() {
                        None => assert!(matches!(appended, Appended::Stored { .. }), "{at}: {appended:?}"),
                        Some("RecordBatchTooLargeException") => {
                            let refused = matches!(appended, Appended::Refused(Refusal::LargerThanSegment { .. }));
                            assert!(refused, "{at}: {appended:?}");
                        }
                        Some("LogSegmentOffsetOverflowException") => {
                            let refused = matches!(appended, Appended::Refused(Refusal::Index(_)));
                            assert!(refused, "{at}: {appended:?}");
                        }
                        // An index fills up in the middle of the append. Kafka has written the batches by then,
                        // throws, and appends the next ones behind them: what follows is its own damage.
                        Some("IllegalArgumentException") => {
                            let refused = matches!(appended, Appended::Refused(Refusal::Index(_)));
                            assert!(refused, "{at}: {appended:?}");
                            half_written = true;
                        }
                        Some(other) => panic!("{at}: {other}"),
                    }
                }
                other => panic!("{at}: {other}"),
            }
            if half_written {
                break;
            }
            if let Some(segments) = op["segments"].as_array() {
                log.write_out().unwrap();
                let found: Vec<Vec<i64>> =
                    log.segments().iter().map(|(base, size)| vec![base.get(), *size as i64]).collect();
                let expected: Vec<Vec<i64>> = segments.iter().map(support::ints).collect();
                assert_eq!(found, expected, "{at}");
            }
        }
        if half_written {
            refused_earlier += 1;
            continue;
        }
        log.close().unwrap();
        assert_eq!(log.log_end().get(), int(case, "log_end_offset"), "{id}");
        assert_files(dir.path(), list(case, "files_after_close"), id);
        compared += 1;
    }
    println!("log-rolls: in {refused_earlier} cases Kafka writes an append and then throws; compared up to there");
    assert!(refused_earlier <= 8, "only where an index fills up within one append");
    compared_all("log-rolls", compared + refused_earlier, cases.len());
}

/// The files of a `before`, `damaged` or `after` object; "=" stands for the same as in `base`.
fn files_of(object: &Value, base: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let files = object.as_object().unwrap().iter().map(|(name, content)| {
        let content = content.as_str().unwrap();
        let bytes = match content {
            "=" => base[name].clone(),
            text if name == "leader-epoch-checkpoint" => text.as_bytes().to_vec(),
            hexed => data_encoding::HEXLOWER.decode(hexed.as_bytes()).unwrap_or_else(|_| hexed.as_bytes().to_vec()),
        };
        (name.clone(), bytes)
    });
    files.collect()
}

#[test]
fn damaged_logs_load_as_a_broker_loads_them() {
    let Some(cases) = lines("log-recovery") else { return };
    let mut compared = 0;
    for case in &cases {
        let id = format!("{} ({})", text(case, "id"), text(case, "damage"));
        let before = files_of(&case["before"], &BTreeMap::new());
        let damaged = files_of(&case["damaged"], &before);
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in &damaged {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        let config = config_of(case);
        let options = LoadOptions {
            clean: case["clean_shutdown"].as_bool().unwrap(),
            recovery_point: Offset::new(int(case, "recovery_point")),
            log_start: Offset::new(int(case, "log_start_offset")),
            now_ms: START_MS,
            config,
        };
        let plan = recovery::plan(dir.path(), &options);
        if !case["error"].is_null() {
            assert_eq!(text(&case["error"], "error"), "CorruptRecordException", "{id}");
            assert!(matches!(plan, Err(LoadError::Corrupt { .. })), "{id}: {plan:?}");
            compared += 1;
            continue;
        }
        let plan = plan.unwrap_or_else(|error| panic!("{id}: {error}"));
        let segments: Vec<Vec<i64>> = plan.segments.iter().map(|(base, len)| vec![base.get(), *len as i64]).collect();
        let expected: Vec<Vec<i64>> = list(case, "segments").iter().map(support::ints).collect();
        assert_eq!(segments, expected, "{id}: segments");
        assert_eq!(plan.log_end.get(), int(case, "log_end_offset"), "{id}: log end");
        assert_eq!(plan.log_start.get(), int(case, "log_start_offset_after"), "{id}: log start");
        assert_eq!(plan.recovery_point.get(), int(case, "recovery_point_after"), "{id}: recovery point");
        let latest = plan.epochs.latest().map(|latest| i64::from(latest.epoch.0));
        assert_eq!(latest, case["latest_epoch"].as_i64(), "{id}: epoch");
        let unstable = plan.producers.first_unstable_offset().map(Offset::get);
        assert_eq!(unstable, case["first_unstable_offset"].as_i64(), "{id}: first unstable offset");
        let mut producers: Vec<i64> = plan.producers.producers().map(|p| p.to_entry().producer_id.0).collect();
        producers.sort_unstable();
        let mut known: Vec<i64> = list(case, "producers").iter().map(|p| int(p, "producer_id")).collect();
        known.sort_unstable();
        assert_eq!(producers, known, "{id}: producers");
        plan.apply().unwrap();
        let mut log = LogWriter::open(plan, config, Durability::Buffered, START_MS).unwrap();
        log.close().unwrap();
        let after = files_of(&case["after_load_and_close"], &damaged);
        let found: BTreeMap<String, Vec<u8>> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
            .collect();
        // Of what waits for its removal the logs are compared: Kafka renames snapshots and time indexes that it
        // has made a moment before.
        let kept = |name: &&String| !name.ends_with(".deleted") || name.ends_with(".log.deleted");
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().filter(kept).cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&after), "{id}: files");
        for (name, bytes) in after.iter().filter(|(name, _)| kept(name)) {
            assert_eq!(
                data_encoding::HEXLOWER.encode(&found[name]),
                data_encoding::HEXLOWER.encode(bytes),
                "{id}: {name}"
            );
        }
        compared += 1;
    }
    compared_all("log-recovery", compared, cases.len());
}
