//! What a check says about directories of real brokers: nothing of sound ones, where and what of damaged ones.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::{Path, PathBuf};

use logdir::batch::builder::{BatchBuf, BatchBuilder, BatchSpec, NewRecord};
use logdir::batch::compression::Compressor;
use logdir::storage::index::build::IndexLimits;
use logdir::storage::index::offset::OffsetIndex;
use logdir::storage::index::time::TimeIndex;
use logdir::storage::log_dir::open_partition_dir;
use logdir::storage::names::{DirKind, SegmentFileKind};
use logdir::storage::verify::log_dir::{self, CheckedDir, ClusterTopics, TopicIds};
use logdir::storage::verify::offset_index::OffsetIndexCheck;
use logdir::storage::verify::partition::{self, Around, PartitionReport};
use logdir::storage::verify::time_index::TimeIndexCheck;
use logdir::storage::verify::{Depth, Finding, Grade, IndexResult, Options, Placed, Rebuild};
use logdir::types::{LeaderEpoch, Offset};
use serde_json::Value;
use support::copy::copy;
use support::kafka_data::{Case, log_dirs_below};
use support::{compared_all, hex, int, lines, list, text};

const DEEP: Options = Options { depth: Depth::Deep, max_batch_bytes: 128 << 20, rebuild: None };

/// Checks one log directory: what was found about itself, and its partitions.
fn check(dir: &Path, options: &Options) -> (CheckedDir, Vec<PartitionReport>) {
    let mut dirs = log_dir::check(&[dir.to_owned()]).unwrap();
    let cluster = ClusterTopics::read(&mut dirs);
    let mut ids = TopicIds::with(&cluster);
    let checked = dirs.pop().unwrap();
    let mut reports = Vec::new();
    for (name, path) in checked.log_dir.partitions().filter(|(name, _)| name.kind != DirKind::Delete) {
        let partition = checked.log_dir.open_partition(name, path).unwrap();
        let is_compacted = cluster.is_compacted(&name.topic_partition.topic);
        let around = Around { is_compacted, ..checked.around };
        let mut report = partition::check(&partition, around, options, &|_| {}).unwrap();
        if let Some(id) = report.topic_id.filter(|_| name.kind == DirKind::Live) {
            report.findings.extend(ids.add(&name.topic_partition, id, path));
        }
        reports.push(report);
    }
    (checked, reports)
}

fn findings(dir: &Path, options: &Options) -> Vec<Finding> {
    let (checked, reports) = check(dir, options);
    let reports = reports.iter().flat_map(|report| report.findings.told().to_vec());
    checked.findings.told().iter().cloned().chain(reports).collect()
}

#[test]
fn sound_directories_have_no_problem() {
    let mut dirs: Vec<(String, PathBuf)> = Vec::new();
    let cases = Case::all();
    for case in &cases {
        // Damaged: 09 but for its originals, and 06c, which lost power.
        let root = if case.name.starts_with("09") { case.data().join("clean") } else { case.data().to_owned() };
        if !case.name.starts_with("06c") {
            dirs.extend(log_dirs_below(&root).into_iter().map(|dir| (case.name.clone(), dir)));
        }
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for name in ["codecs", "transactions", "legacy", "compacted"] {
        dirs.push((name.to_owned(), fixtures.join(name).join("data")));
    }
    let (mut partitions, mut exact, mut equivalent) = (0, 0, 0);
    for (name, dir) in &dirs {
        for depth in [Depth::Headers, Depth::Crc, Depth::Deep] {
            let bad: Vec<_> = findings(dir, &Options { depth, ..DEEP });
            let bad: Vec<_> = bad.into_iter().filter(|finding| finding.grade > Grade::Cosmetic).collect();
            assert_eq!(bad, [], "{name} at depth {depth:?}");
        }
        let (_, reports) = check(dir, &DEEP);
        for report in &reports {
            partitions += 1;
            for index in report.segments.iter().flat_map(|segment| &segment.indexes) {
                match &index.result {
                    Some(IndexResult::Exact) => exact += 1,
                    Some(IndexResult::Equivalent { odd: None }) => equivalent += 1,
                    other => panic!("{name}: {}: {other:?}", index.path.display()),
                }
            }
        }
    }
    println!("{} log dirs, {partitions} partitions: {exact} indexes exact, {equivalent} equivalent", dirs.len());
    assert!(dirs.len() >= 4 && exact > equivalent);
}

/// Code, grade, end of the file's name, position and offset; -1 where it is not looked at.
type Expected = (&'static str, &'static str, &'static str, i64, i64);

/// Of each damage of case 09 what has to be found; several where several files show it.
const DAMAGES: &[(&str, &[Expected])] = &[
    ("bitflip-body-last", &[("damage", "loses_data", "087.log", 2806, 108)]),
    ("bitflip-body-mid", &[("damage", "loses_data", "033.log", 2640, 48)]),
    ("bitflip-crc-last", &[("damage", "loses_data", ".log", -1, 126)]),
    ("bitflip-attr-mid", &[("damage", "loses_data", "042.log", 2687, 63)]),
    ("length-plus7-last", &[("damage", "loses_data", "120.log", 1129, 126)]),
    ("length-negative-mid", &[("damage", "loses_data", "030.log", 2726, 45)]),
    ("length-huge-last", &[("damage", "loses_data", "087.log", 2659, 108)]),
    ("length-zero-last", &[("damage", "loses_data", "123.log", 509, 126)]),
    (
        "truncated-body",
        &[
            ("torn_tail", "cosmetic", "100.log", 5108, 129),
            ("checkpoint", "loses_data", "recovery-point-offset-checkpoint", -1, 129),
            ("snapshot", "loses_data", "130.snapshot", -1, 129),
        ],
    ),
    (
        "truncated-header",
        &[
            ("torn_tail", "cosmetic", ".log", -1, 126),
            ("checkpoint", "loses_data", "replication-offset-checkpoint", -1, 126),
        ],
    ),
    (
        "truncated-11",
        &[
            ("torn_tail", "cosmetic", "123.log", 1041, 129),
            ("checkpoint", "loses_data", "recovery-point-offset-checkpoint", -1, 129),
        ],
    ),
    (
        "truncated-mid-segment",
        &[("torn_tail", "loses_data", "030.log", 5203, 58), ("gap", "loses_data", "060.log", -1, 58)],
    ),
    (
        "zeroed-tail",
        &[
            ("zero_tail", "cosmetic", "090.log", 4363, 124),
            ("checkpoint", "loses_data", "recovery-point-offset-checkpoint", -1, 124),
        ],
    ),
    ("zeros-appended", &[("zero_tail", "cosmetic", ".log", -1, 130)]),
    ("garbage-appended", &[("damage", "loses_data", "100.log", 5364, 130)]),
    ("magic-9-last", &[("damage", "loses_data", "088.log", 2689, 108)]),
    ("index-wrong-position", &[("offset_index", "loses_data", "030.index", -1, -1)]),
    ("index-unsorted", &[("offset_index", "loses_data", "033.index", -1, -1)]),
    ("index-last-below-base", &[("offset_index", "loses_data", "042.index", -1, -1)]),
    ("index-position-beyond-end", &[("offset_index", "loses_data", "028.index", -1, -1)]),
    ("index-not-multiple-of-8", &[("index_bytes", "cosmetic", ".index", -1, -1)]),
    ("timeindex-not-multiple-of-12", &[("index_bytes", "cosmetic", ".timeindex", -1, -1)]),
    ("timeindex-unsorted", &[("time_index", "loses_data", "030.timeindex", -1, -1)]),
    (
        "index-zeroed",
        &[("index_padding", "slows", "036.index", -1, -1), ("index_sparse", "slows", "036.index", -1, -1)],
    ),
    (
        "index-empty",
        &[("index_sparse", "slows", "042.index", -1, -1), ("closing_entry", "slows", "042.timeindex", -1, -1)],
    ),
    ("index-missing", &[("index_missing", "slows", "033.index", -1, -1)]),
    ("timeindex-missing-last", &[("index_missing", "slows", "126.timeindex", -1, -1)]),
    (
        "all-indexes-missing",
        &[("index_missing", "slows", "042.index", -1, -1), ("index_missing", "slows", "090.timeindex", -1, -1)],
    ),
    (
        "index-swapped",
        &[("offset_index", "loses_data", "000.index", -1, -1), ("offset_index", "loses_data", "034.index", -1, -1)],
    ),
    ("foreign-log-name", &[("bad_name", "stops_broker", "copy of 00000000000000000000.log", -1, -1)]),
    ("foreign-files", &[("left_over", "cosmetic", "notes.txt", -1, -1), ("left_over", "cosmetic", "log.bak", -1, -1)]),
    ("duplicate-segment", &[("offset_order", "loses_data", "031.log", 0, 30), ("overlap", "slows", "031.log", -1, 31)]),
    ("overlapping-segment", &[("overlap", "slows", "060.log", -1, 60)]),
    ("empty-log-mid", &[("gap", "loses_data", ".log", -1, -1), ("offset_index", "loses_data", "042.index", -1, -1)]),
    (
        "empty-log-last",
        &[
            ("offset_index", "loses_data", "126.index", -1, -1),
            ("checkpoint", "loses_data", "recovery-point-offset-checkpoint", -1, 126),
        ],
    ),
    ("missing-log-mid", &[("gap", "loses_data", "066.log", -1, 33), ("left_over", "cosmetic", "033.index", -1, 33)]),
    ("missing-log-first", &[("gap", "loses_data", "leader-epoch-checkpoint", -1, 0)]),
    ("lz4-bomb", &[("inflates", "cosmetic", ".log", -1, 130)]),
    ("zstd-bomb", &[("bad_records", "loses_data", "099.log", 5642, 130)]),
    ("count-lie", &[("bad_records", "loses_data", ".log", -1, 130)]),
    ("count-low", &[("bad_records", "loses_data", ".log", -1, 130)]),
    ("record-length-lie", &[("bad_records", "loses_data", "102.log", 4881, 130)]),
    ("codec-7", &[("bad_records", "loses_data", ".log", -1, 130)]),
    ("codec-mismatch", &[("bad_records", "loses_data", ".log", -1, 130)]),
    ("batches-swapped", &[("offset_order", "loses_data", "100.log", 2496, 117)]),
    ("batch-duplicated", &[("offset_order", "loses_data", "087.log", 5633, 126)]),
    ("batch-removed", &[("gap", "loses_data", "030.log", 2793, 45)]),
    ("leader-epoch-jump", &[("leader_epoch", "loses_data", "102.log", 2805, 117)]),
    (
        "segment-deleted-suffix",
        &[("gap", "loses_data", "090.log", -1, 42), ("left_over", "cosmetic", "042.log.deleted", -1, 42)],
    ),
    ("segment-swap-suffix", &[("left_over", "cosmetic", "log.swap", -1, -1)]),
    (
        "segment-cleaned-suffix",
        &[("gap", "loses_data", "063.log", -1, 33), ("left_over", "cosmetic", "033.log.cleaned", -1, 33)],
    ),
    (
        "snapshots-corrupt",
        &[("snapshot", "slows", "042.snapshot", -1, 42), ("snapshot", "slows", "130.snapshot", -1, 130)],
    ),
    ("snapshots-missing", &[("snapshot", "slows", "120.snapshot", -1, -1)]),
    ("txnindex-garbage", &[("txn_index", "loses_data", "036.txnindex", -1, -1)]),
    ("segment-renamed", &[("bad_name", "stops_broker", "042.log", -1, 41)]),
    ("leader-epoch-malformed", &[("epoch_file", "stops_broker", "leader-epoch-checkpoint", -1, -1)]),
    ("leader-epoch-missing", &[("epoch_file", "slows", "leader-epoch-checkpoint", -1, -1)]),
    ("partition-metadata-malformed", &[("partition_metadata", "loses_data", "partition.metadata", -1, -1)]),
    ("partition-metadata-missing", &[("partition_metadata", "loses_data", "partition.metadata", -1, -1)]),
    ("control-untouched", &[]),
];

#[test]
fn every_damage_of_case_09_is_found_graded_and_located() {
    let Some(kafka_data) = support::kafka_data_dir() else { return };
    let case = Case::open(&kafka_data.join("cases/09-corrupt"));
    let summary = case.truth_json("summary.json").unwrap();
    let (_, reports) = check(&case.data().join("corrupt"), &DEEP);
    let mut compared = 0;
    for (variant, damage) in summary.as_object().unwrap() {
        let topic = format!("v-{variant}");
        let report = reports.iter().find(|report| report.topic_partition.topic == topic).unwrap();
        let (_, expected) = DAMAGES.iter().find(|(name, _)| name == variant).unwrap_or_else(|| panic!("{variant}"));
        let found = report.findings.told();
        for (code, grade, file, position, offset) in *expected {
            let is_it = |finding: &&Finding| {
                finding.fault.code() == *code
                    && finding.grade.word() == *grade
                    && finding.path.to_string_lossy().ends_with(file)
                    && (*position < 0 || finding.position.is_some_and(|at| at.get() as i64 == *position))
                    && (*offset < 0 || finding.offset == Some(Offset::new(*offset)))
            };
            assert!(
                found.iter().any(|finding| is_it(&finding)),
                "{variant} ({}): {code} in {file}: {found:#?}",
                damage["damage"]
            );
        }
        if expected.is_empty() {
            assert_eq!(report.findings.worst().unwrap_or(Grade::Cosmetic), Grade::Cosmetic, "{variant}: {found:#?}");
        }
        compared += 1;
    }
    compared_all("case 09", compared, summary.as_object().unwrap().len());
    assert_eq!(compared, DAMAGES.len());
}

fn batch_of(batch: &Value) -> BatchBuf {
    let (base, last) = (int(batch, "base_offset"), int(batch, "last_offset"));
    let spec = BatchSpec { base_offset: Offset::new(base), leader_epoch: LeaderEpoch(0), ..BatchSpec::default() };
    let mut builder = BatchBuilder::new(spec);
    let value = vec![0; usize::try_from(int(batch, "value_len")).unwrap()];
    let record = NewRecord { timestamp_ms: int(batch, "max_timestamp"), value: Some(&value), ..NewRecord::default() };
    builder.push(&record).unwrap();
    builder.set_last_offset_delta(i32::try_from(last - base).unwrap()).unwrap();
    builder.seal(&mut Compressor::default()).unwrap()
}

/// The batches a segment of the vectors ends up with.
fn placed(case: &Value) -> Vec<Placed> {
    let mut placed: Vec<Placed> = Vec::new();
    for op in list(case, "ops") {
        match text(op, "op") {
            "append" => {
                for batch in list(op, "batches").iter().map(batch_of) {
                    let position = placed.last().map_or(0, |last| last.position + last.size);
                    let view = batch.view();
                    placed.push(Placed {
                        position,
                        size: batch.bytes().len() as u64,
                        first: Some(view.base_offset()),
                        last: view.last_offset(),
                        max_timestamp: view.max_timestamp_ms(),
                    });
                }
            }
            "truncate_to" => {
                let size = int(op, "log_size");
                placed.retain(|batch| (batch.position as i64) < size);
            }
            _ => {}
        }
    }
    placed
}

fn results(
    base: Offset,
    offset: &[u8],
    time: &[u8],
    batches: &[Placed],
    closed: bool,
) -> (IndexResult, IndexResult, (u64, u64)) {
    let mut offset = OffsetIndexCheck::new(OffsetIndex::new(base, offset));
    let mut time = TimeIndexCheck::new(TimeIndex::new(base, time));
    for batch in batches {
        let indexed = offset.batch(batch);
        time.batch(batch, indexed);
    }
    let (offset, interval) = offset.finish(batches.last().map_or(0, |last| last.position + last.size));
    (offset, time.finish(closed).result, (interval.least, interval.below))
}

#[test]
fn indexes_of_the_vectors_are_exact_or_equivalent_and_mutated_ones_are_not() {
    let Some(cases) = lines("index-segments") else { return };
    let mut random = fastrand::Rng::with_seed(7);
    let (mut compared, mut exact, mut mutated, mut broken) = (0, 0, 0, 0);
    for case in &cases {
        let id = text(case, "id");
        let base = Offset::new(int(case, "base_offset"));
        let batches = placed(case);
        let interval = int(case, "index_interval_bytes") as u64;
        let was_reopened = list(case, "ops").iter().any(|op| text(op, "op") != "append");
        let closed = &case["after_close"];
        for (state, is_closed) in [(&case["live"], false), (closed, true)] {
            let (offset, time, (least, below)) =
                results(base, &hex(state, "index"), &hex(state, "timeindex"), &batches, is_closed);
            let sound = |result: &IndexResult| !matches!(result, IndexResult::Corrupt(_));
            assert!(sound(&offset) && sound(&time), "{id}: {offset:?} {time:?}");
            // 2^31 bytes of zeros are enough to compare; a reopened index is not what a rebuild makes.
            if !was_reopened {
                assert_eq!((offset, time), (IndexResult::Exact, IndexResult::Exact), "{id}");
                assert!(least <= interval && interval < below, "{id}: {interval} in {least}..{below}");
                exact += 1;
            }
        }
        for _ in 0..6 {
            let mut index = hex(closed, "index");
            if index.is_empty() {
                break;
            }
            let at = random.usize(0..index.len());
            index[at] ^= 1 << random.u8(0..8);
            mutated += 1;
            let (found, ..) = results(base, &index, &[], &batches, true);
            if !looks_up(base, &index, &batches) {
                broken += 1;
                assert!(matches!(found, IndexResult::Corrupt(_)), "{id}: byte {at}: {found:?}");
            }
        }
        compared += 1;
    }
    println!("{exact} states exact; {mutated} mutations, {broken} of which break a look-up, all of them corrupt");
    assert!(broken > 100);
    compared_all("index-segments", compared, cases.len());
}

/// Whether a reader finds every offset: the entry at or below it points at a batch that does not lie behind it.
fn looks_up(base: Offset, index: &[u8], batches: &[Placed]) -> bool {
    let index = OffsetIndex::new(base, index);
    let mut previous = None;
    batches.iter().all(|batch| {
        let first: Offset = batch.first.unwrap();
        let from = previous.replace(batch.last).map_or(first, |last: Offset| last.next().max(base));
        [from, first, batch.last].iter().all(|target| {
            let found = index.raw_lookup(*target);
            let at = u64::try_from(found.raw_position);
            at.is_ok_and(|at| at <= batch.position && batches.iter().any(|batch| batch.position == at))
        })
    })
}

#[test]
fn what_the_sanity_check_refuses_is_no_index() {
    let Some(cases) = lines("index-sanity") else { return };
    let (mut compared, mut refused) = (0, 0);
    for case in &cases {
        let base = Offset::new(int(case, "base_offset"));
        let bytes = hex(case, "bytes");
        // Padding is told apart from entries, and is none in a closed index.
        let is_sane = match text(case, "kind") {
            "index" => {
                let index = OffsetIndex::new(base, &bytes);
                index.first_violation().is_none() && index.trailing_bytes() == 0 && index.raw_entries() == index.len()
            }
            _ => {
                let index = TimeIndex::new(base, &bytes);
                index.first_violation().is_none() && index.trailing_bytes() == 0 && index.raw_entries() == index.len()
            }
        };
        if case["sanity"] != "ok" {
            refused += 1;
            assert!(!is_sane, "{case}");
        }
        compared += 1;
    }
    println!("{refused} refused by Kafka");
    compared_all("index-sanity", compared, cases.len());
}

/// A copy of a log directory below `fixtures`, without its clean shutdown marker unless `is_clean`.
fn copied(name: &str, is_clean: bool) -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).join("data"), &dir);
    if !is_clean {
        std::fs::remove_file(dir.join(".kafka_cleanshutdown")).unwrap();
    }
    (temp, dir)
}

/// How a file is changed.
type Change = fn(&mut Vec<u8>);

/// One row of the matrix: what is done to which file, whether the marker of a clean shutdown stays, and what has
/// to be found: the fault, its grade, the end of the file's name.
struct Row(&'static str, &'static str, Change, bool, &'static str, &'static str, &'static str);

/// Of a partition of six segments, 0 70 122 177 252 321, log end 331 (fixture `codecs`, topic `c-none`).
const LOGS: &[Row] = &[
    Row(
        "a byte of the last segment",
        "c-none-0/00000000000000000321.log",
        |f| f[200] ^= 1,
        false,
        "damage",
        "loses_data",
        "321.log",
    ),
    Row(
        "the same, trusted",
        "c-none-0/00000000000000000321.log",
        |f| f[200] ^= 1,
        true,
        "damage",
        "loses_data",
        "321.log",
    ),
    Row(
        "a byte of another segment",
        "c-none-0/00000000000000000122.log",
        |f| f[4000] ^= 1,
        false,
        "damage",
        "loses_data",
        "122.log",
    ),
    Row(
        "the last 100 bytes gone",
        "c-none-0/00000000000000000321.log",
        |f| f.truncate(f.len() - 100),
        false,
        "torn_tail",
        "cosmetic",
        "321.log",
    ),
    Row(
        "the same, trusted",
        "c-none-0/00000000000000000321.log",
        |f| f.truncate(f.len() - 100),
        true,
        "torn_tail",
        "loses_data",
        "321.log",
    ),
    Row(
        "5000 zeros behind",
        "c-none-0/00000000000000000321.log",
        |f| f.resize(f.len() + 5000, 0),
        false,
        "zero_tail",
        "cosmetic",
        "321.log",
    ),
    Row(
        "the same, trusted",
        "c-none-0/00000000000000000321.log",
        |f| f.resize(f.len() + 5000, 0),
        true,
        "zero_tail",
        "stops_broker",
        "321.log",
    ),
    Row(
        "17 zeros behind",
        "c-none-0/00000000000000000321.log",
        |f| f.resize(f.len() + 17, 0),
        true,
        "zero_tail",
        "cosmetic",
        "321.log",
    ),
    Row(
        "300 bytes 0x11 behind",
        "c-none-0/00000000000000000321.log",
        |f| f.resize(f.len() + 300, 0x11),
        false,
        "damage",
        "loses_data",
        "321.log",
    ),
    Row(
        "length 5 in the first batch",
        "c-none-0/00000000000000000321.log",
        |f| f[8..12].copy_from_slice(&5i32.to_be_bytes()),
        false,
        "damage",
        "loses_data",
        "321.log",
    ),
    Row(
        "length -5 in the first batch",
        "c-none-0/00000000000000000321.log",
        |f| f[8..12].copy_from_slice(&(-5i32).to_be_bytes()),
        false,
        "damage",
        "loses_data",
        "321.log",
    ),
    Row("magic 3", "c-none-0/00000000000000000122.log", |f| f[16] = 3, false, "damage", "loses_data", "122.log"),
    Row("magic 0xff", "c-none-0/00000000000000000122.log", |f| f[16] = 0xff, false, "damage", "loses_data", "122.log"),
    Row(
        "a batch twice",
        "c-none-0/00000000000000000000.log",
        |f| {
            let first = f[..3728].to_vec();
            f.splice(3728..3728, first);
        },
        false,
        "offset_order",
        "loses_data",
        "000.log",
    ),
    Row(
        "two batches swapped",
        "c-none-0/00000000000000000000.log",
        |f| f[7930..8452].rotate_left(224),
        false,
        "offset_order",
        "loses_data",
        "000.log",
    ),
    Row(
        "an index of 0x7f",
        "c-none-0/00000000000000000000.index",
        |f| f.fill(0x7f),
        false,
        "offset_index",
        "loses_data",
        "000.index",
    ),
    Row(
        "3 bytes behind an index",
        "c-none-0/00000000000000000000.index",
        |f| f.extend([1, 2, 3]),
        false,
        "index_bytes",
        "cosmetic",
        "000.index",
    ),
    Row(
        "a snapshot of wrong bytes",
        "c-none-0/00000000000000000122.snapshot",
        |f| f[3] ^= 1,
        false,
        "snapshot",
        "slows",
        "122.snapshot",
    ),
    Row(
        "the newest snapshot of wrong bytes",
        "c-none-0/00000000000000000331.snapshot",
        |f| f[3] ^= 1,
        false,
        "snapshot",
        "slows",
        "331.snapshot",
    ),
    Row(
        "epochs: version 1",
        "c-none-0/leader-epoch-checkpoint",
        |f| f[0] = b'1',
        false,
        "epoch_file",
        "stops_broker",
        "leader-epoch-checkpoint",
    ),
    Row(
        "epochs: a count too large",
        "c-none-0/leader-epoch-checkpoint",
        |f| f[2] = b'7',
        false,
        "epoch_file",
        "stops_broker",
        "leader-epoch-checkpoint",
    ),
    Row(
        "epochs: no number",
        "c-none-0/leader-epoch-checkpoint",
        |f| f[4] = b'x',
        false,
        "epoch_file",
        "stops_broker",
        "leader-epoch-checkpoint",
    ),
    Row(
        "epochs: a negative one",
        "c-none-0/leader-epoch-checkpoint",
        |f| {
            f.splice(4..4, *b"-");
            f[5] = b'1';
        },
        false,
        "epoch_file",
        "stops_broker",
        "leader-epoch-checkpoint",
    ),
    Row(
        "epochs: another one",
        "c-none-0/leader-epoch-checkpoint",
        |f| f[4] = b'3',
        false,
        "leader_epoch",
        "loses_data",
        "000.log",
    ),
    Row(
        "epochs: beyond the log",
        "c-none-0/leader-epoch-checkpoint",
        |f| *f = b"0\n2\n0 0\n5 400\n".to_vec(),
        false,
        "epoch_file",
        "loses_data",
        "leader-epoch-checkpoint",
    ),
    Row(
        "topic id: one that the metadata does not have",
        "c-none-0/partition.metadata",
        |f| *f = b"version: 0\ntopic_id: Rxb6TNYpQwKP9QAa-GboDQ".to_vec(),
        false,
        "partition_metadata",
        "loses_data",
        "partition.metadata",
    ),
    Row(
        "topic id: zero",
        "c-none-0/partition.metadata",
        |f| *f = b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA".to_vec(),
        false,
        "partition_metadata",
        "stops_broker",
        "partition.metadata",
    ),
    Row(
        "topic id: version -1",
        "c-none-0/partition.metadata",
        |f| {
            f.splice(9..10, *b"-1");
        },
        false,
        "partition_metadata",
        "stops_broker",
        "partition.metadata",
    ),
    Row(
        "topic id: no space",
        "c-none-0/partition.metadata",
        |f| {
            f.remove(8);
        },
        false,
        "partition_metadata",
        "stops_broker",
        "partition.metadata",
    ),
    Row(
        "topic id: empty file",
        "c-none-0/partition.metadata",
        |f| f.clear(),
        false,
        "partition_metadata",
        "stops_broker",
        "partition.metadata",
    ),
    Row(
        "topic id: too short",
        "c-none-0/partition.metadata",
        |f| f.truncate(30),
        false,
        "partition_metadata",
        "stops_broker",
        "partition.metadata",
    ),
    Row(
        "recovery points: version 1",
        "recovery-point-offset-checkpoint",
        |f| f[0] = b'1',
        false,
        "checkpoint",
        "stops_broker",
        "recovery-point-offset-checkpoint",
    ),
    Row(
        "recovery points: above the log",
        "recovery-point-offset-checkpoint",
        |f| *f = b"0\n1\nc-none 0 99999\n".to_vec(),
        false,
        "checkpoint",
        "loses_data",
        "recovery-point-offset-checkpoint",
    ),
    Row(
        "high watermarks: version 1",
        "replication-offset-checkpoint",
        |f| f[0] = b'1',
        false,
        "checkpoint",
        "stops_broker",
        "replication-offset-checkpoint",
    ),
    Row(
        "high watermarks: above the log",
        "replication-offset-checkpoint",
        |f| *f = b"0\n1\nc-none 0 332\n".to_vec(),
        false,
        "checkpoint",
        "loses_data",
        "replication-offset-checkpoint",
    ),
    Row(
        "log starts: above the log",
        "log-start-offset-checkpoint",
        |f| *f = b"0\n1\nc-none 0 20000\n".to_vec(),
        false,
        "checkpoint",
        "loses_data",
        "log-start-offset-checkpoint",
    ),
    Row(
        "cleaner: above the log",
        "cleaner-offset-checkpoint",
        |f| *f = b"0\n1\nc-none 0 20000\n".to_vec(),
        false,
        "checkpoint",
        "cosmetic",
        "cleaner-offset-checkpoint",
    ),
    Row(
        "a checkpoint of an absent partition",
        "cleaner-offset-checkpoint",
        |f| *f = b"0\n1\ngone 7 1\n".to_vec(),
        false,
        "checkpoint",
        "cosmetic",
        "cleaner-offset-checkpoint",
    ),
    Row(
        "meta.properties: no cluster",
        "meta.properties",
        |f| *f = b"version=1\nnode.id=1\n".to_vec(),
        false,
        "meta_properties",
        "stops_broker",
        "meta.properties",
    ),
    Row(
        "meta.properties: version 2",
        "meta.properties",
        |f| *f = b"version=2\nnode.id=1\ncluster.id=x\n".to_vec(),
        false,
        "meta_properties",
        "stops_broker",
        "meta.properties",
    ),
];

fn assert_found(what: &str, dir: &Path, code: &str, grade: &str, file: &str) {
    let found = findings(dir, &DEEP);
    let is_it = |finding: &Finding| {
        finding.fault.code() == code && finding.grade.word() == grade && finding.path.to_string_lossy().ends_with(file)
    };
    assert!(found.iter().any(is_it), "{what}: {code} ({grade}) in {file}: {found:#?}");
}

#[test]
fn bad_bytes_of_the_matrix_are_found() {
    for Row(what, file, change, is_clean, code, grade, found_in) in LOGS {
        let (_temp, dir) = copied("codecs", *is_clean);
        let path = dir.join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        assert_found(what, &dir, code, grade, found_in);
    }
    println!("{} rows", LOGS.len());
}

#[test]
fn bad_names_of_the_matrix_are_found() {
    type Deed = fn(&Path);
    let rows: &[(&str, Deed, &str, &str, &str)] = &[
        ("a middle segment gone", |d| remove_segment(&d.join("c-none-0"), "122"), "gap", "loses_data", "177.log"),
        (
            "the first segment gone",
            |d| remove_segment(&d.join("c-none-0"), "000"),
            "gap",
            "loses_data",
            "leader-epoch-checkpoint",
        ),
        (
            "a segment's files .swap",
            |d| rename_segment(&d.join("c-none-0"), "122", ".swap"),
            "left_over",
            "cosmetic",
            "122.log.swap",
        ),
        (
            "a deleted file",
            |d| put(&d.join("c-none-0/00000000000000000123.log.deleted")),
            "left_over",
            "cosmetic",
            ".deleted",
        ),
        ("foo.txt in a partition", |d| put(&d.join("c-none-0/foo.txt")), "left_over", "cosmetic", "foo.txt"),
        ("abc.log", |d| put(&d.join("c-none-0/abc.log")), "bad_name", "stops_broker", "abc.log"),
        ("5.log", |d| put(&d.join("c-none-0/5.log")), "bad_name", "loses_data", "5.log"),
        (
            "an index without its log",
            |d| put(&d.join("c-none-0/00000000000000000777.index")),
            "left_over",
            "cosmetic",
            "777.index",
        ),
        (
            "a missing index",
            |d| gone(&d.join("c-none-0/00000000000000000122.index")),
            "index_missing",
            "slows",
            "122.index",
        ),
        (
            "a missing time index",
            |d| gone(&d.join("c-none-0/00000000000000000122.timeindex")),
            "index_missing",
            "slows",
            "122.timeindex",
        ),
        (
            "a snapshot beyond the log",
            |d| {
                let dir = d.join("c-none-0");
                let from = dir.join("00000000000000000331.snapshot");
                std::fs::copy(from, dir.join("00000000000000020000.snapshot")).unwrap();
            },
            "snapshot",
            "loses_data",
            "20000.snapshot",
        ),
        (
            "a snapshot of no segment",
            |d| {
                let dir = d.join("c-none-0");
                let from = dir.join("00000000000000000331.snapshot");
                std::fs::copy(from, dir.join("00000000000000000077.snapshot")).unwrap();
            },
            "left_over",
            "cosmetic",
            "077.snapshot",
        ),
        (
            "no partition.metadata",
            |d| gone(&d.join("c-none-0/partition.metadata")),
            "partition_metadata",
            "loses_data",
            "partition.metadata",
        ),
        (
            "no epochs",
            |d| gone(&d.join("c-none-0/leader-epoch-checkpoint")),
            "epoch_file",
            "slows",
            "leader-epoch-checkpoint",
        ),
        (
            "no meta.properties",
            |d| gone(&d.join("meta.properties")),
            "meta_properties",
            "stops_broker",
            "meta.properties",
        ),
        ("a directory foo", |d| std::fs::create_dir(d.join("foo")).unwrap(), "bad_name", "stops_broker", "foo"),
        (
            "a stray directory",
            |d| std::fs::rename(d.join("edge-0"), d.join(format!("edge-0.{}-stray", "a1".repeat(16)))).unwrap(),
            "left_over",
            "cosmetic",
            "-stray",
        ),
        (
            "a file that its owner may not write",
            |d| {
                use std::os::unix::fs::PermissionsExt;
                let path = d.join("c-none-0/00000000000000000122.index");
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o444)).unwrap();
            },
            "access",
            "stops_broker",
            "122.index",
        ),
    ];
    for (what, deed, code, grade, file) in rows {
        let (_temp, dir) = copied("codecs", false);
        deed(&dir);
        assert_found(what, &dir, code, grade, file);
    }
    // A directory of a topic that the metadata does not know.
    let (_temp, dir) = copied("codecs", false);
    std::fs::rename(dir.join("edge-0"), dir.join("nowhere-0")).unwrap();
    assert_found("an unknown topic", &dir, "partition_metadata", "loses_data", "nowhere-0/partition.metadata");
    // The metadata says what is compacted, though no checkpoint does.
    let (_temp, dir) = copied("compacted", true);
    std::fs::write(dir.join("cleaner-offset-checkpoint"), "").unwrap();
    let (_, reports) = check(&dir, &DEEP);
    assert!(
        reports.iter().filter(|report| report.topic_partition.topic == "compact").all(|report| report.is_compacted)
    );
    // A dropped log directory with transactions: its index names aborted ones.
    let (_temp, dir) = copied("transactions", true);
    let index = dir.join("txn-a-0/00000000000000000001.txnindex");
    gone(&index);
    assert_found("no transaction index", &dir, "txn_index", "loses_data", "001.txnindex");
    println!("{} rows", rows.len() + 1);
}

fn gone(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

fn put(path: &Path) {
    std::fs::write(path, "").unwrap();
}

fn segment_files(dir: &Path, base: &str) -> Vec<PathBuf> {
    let prefix = format!("{:0>20}.", base);
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)).map(|entry| entry.path()).collect()
}

fn remove_segment(dir: &Path, base: &str) {
    segment_files(dir, base).iter().for_each(|path| gone(path));
}

fn rename_segment(dir: &Path, base: &str, suffix: &str) {
    for path in segment_files(dir, base).iter().filter(|path| path.extension().is_some_and(|e| e != "snapshot")) {
        std::fs::rename(path, format!("{}{suffix}", path.display())).unwrap();
    }
}

#[test]
fn log_directories_are_checked_against_each_other() {
    let (_one, first) = copied("codecs", true);
    let (_two, second) = copied("codecs", true);
    let text = std::fs::read_to_string(second.join("meta.properties")).unwrap();
    let told = |text: &str| -> Vec<(&'static str, &'static str)> {
        std::fs::write(second.join("meta.properties"), text).unwrap();
        let dirs = log_dir::check(&[first.clone(), second.clone()]).unwrap();
        let mut told: Vec<_> = dirs[1]
            .findings
            .told()
            .iter()
            .map(|f| (f.fault.code(), f.grade.word()))
            .filter(|f| f.1 != "cosmetic")
            .collect();
        told.dedup();
        told
    };
    let (meta, twice) = (("meta_properties", "stops_broker"), ("duplicate", "stops_broker"));
    assert_eq!(told(&text), [meta, twice], "the same directory.id, the same partitions");
    let other_id = |line: &str| if line.starts_with("directory.id") { String::new() } else { format!("{line}\n") };
    let fresh: String = text.lines().map(other_id).collect();
    assert_eq!(told(&fresh), [twice]);
    assert_eq!(told(&fresh.replace("node.id=1", "node.id=2")), [], "another broker's");
    let elsewhere: String = fresh
        .lines()
        .map(|l| if l.starts_with("cluster.id") { "cluster.id=x\n".into() } else { format!("{l}\n") })
        .collect();
    assert_eq!(
        told(&elsewhere),
        [meta],
        "another cluster's, the same node: in the wrong place, or none of this broker's"
    );
}

/// Made again, an index that a 4.x broker wrote without interruption has the bytes it had.
#[test]
fn a_rebuild_makes_the_bytes_a_broker_made() {
    let mut dirs: Vec<PathBuf> = Vec::new();
    let cases = Case::all();
    for case in cases.iter().filter(|case| !case.name.starts_with("09") && !case.name.starts_with("06c")) {
        dirs.extend(log_dirs_below(case.data()));
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    dirs.extend(["codecs", "transactions", "compacted"].map(|name| fixtures.join(name).join("data")));
    let (mut compared, mut bytes) = (0, 0);
    for dir in &dirs {
        let (_, reports) = check(dir, &DEEP);
        for report in reports {
            for segment in &report.segments {
                let Some(interval) = segment.interval else { continue };
                let limits = IndexLimits { interval_bytes: interval.least, index_bytes_max: 10 << 20 };
                let options = Options { rebuild: Some(Rebuild { limits, all: true }), ..DEEP };
                let (partition, _) = open_partition_dir(segment.log.parent().unwrap()).unwrap();
                let again = partition::check(&partition, Around::default(), &options, &|_| {}).unwrap();
                let again = again.segments.into_iter().find(|other| other.base == segment.base).unwrap();
                let made = again.rebuilt.unwrap();
                for index in &segment.indexes {
                    let (made, entry_len) = match index.kind {
                        SegmentFileKind::OffsetIndex => (made.offset.clone(), 8),
                        SegmentFileKind::TimeIndex => (made.time.clone(), 12),
                        _ => (made.txn.clone(), 34),
                    };
                    let stored = std::fs::read(&index.path).unwrap();
                    let stored = &stored[..index.entries * entry_len];
                    let made = made.unwrap();
                    if index.result != Some(IndexResult::Exact) {
                        continue;
                    }
                    // The entry of a close is not yet in the index of a segment that is written to.
                    assert!(made.starts_with(stored) && made.len() - stored.len() <= 12, "{}", index.path.display());
                    compared += 1;
                    bytes += made.len();
                }
            }
        }
    }
    println!("{compared} indexes, {bytes} bytes");
    assert!(compared > 50);
}
