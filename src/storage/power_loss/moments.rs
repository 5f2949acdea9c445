//! Single moments that histories meet seldom or never: each is the story of a bug.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::disk::{Disk, Keep};
use super::journal;
use super::verdict;
use crate::batch::builder::{BatchBuf, BatchBuilder, BatchSpec, NewRecord};
use crate::batch::compression::Compressor;
use crate::storage::checkpoint::{self, RECOVERY_POINT};
use crate::storage::create;
use crate::storage::names::{SegmentFileKind, segment_file_name};
use crate::storage::recovery::{self, LoadOptions, Plan};
use crate::storage::writer::{AppendSession, Durability, LogConfig, LogWriter, SessionOptions};
use crate::types::{Offset, ProducerId, TopicPartition, Uuid};

fn config() -> LogConfig {
    LogConfig { segment_bytes: 400, ..LogConfig::default() }
}

fn options() -> SessionOptions {
    SessionOptions { config: config(), durability: Durability::Synced, allow_truncate: false }
}

fn topic() -> (TopicPartition, Uuid) {
    (TopicPartition::new("t", 0), Uuid([9; 16]))
}

/// One record a batch.
fn batch(producer: Option<(i64, i32)>) -> BatchBuf {
    let mut builder = BatchBuilder::new(BatchSpec {
        producer_id: producer.map_or(ProducerId::NONE, |(id, _)| ProducerId(id)),
        producer_epoch: if producer.is_some() { 0 } else { -1 },
        base_sequence: producer.map_or(-1, |(_, sequence)| sequence),
        ..BatchSpec::default()
    });
    builder.push(&NewRecord { timestamp_ms: 1_000, value: Some(b"some value"), ..NewRecord::default() }).unwrap();
    builder.seal(&mut Compressor::default()).unwrap()
}

/// Loses power at every moment of a recovery: whatever is left recovers to the same log, each offset once.
fn recover_and_lose_power(root: &Path, partition: &str, end: i64) {
    let mut random = fastrand::Rng::with_seed(7);
    let unclean = LoadOptions {
        clean: false,
        recovery_point: Offset::ZERO,
        log_start: Offset::ZERO,
        now_ms: 0,
        config: LogConfig::default(),
    };
    let check = |plan: &Plan, when: &str| {
        assert_eq!(plan.log_end.get(), end, "{when}");
        plan.segments.len()
    };
    let mut disk = Disk::of(root);
    journal::begin(root);
    let plan = recovery::plan(&root.join(partition), &unclean).unwrap();
    check(&plan, "at first");
    plan.apply().unwrap();
    let ops = journal::end(root);
    for moment in 0..=ops.len() {
        for keep in [Keep::Nothing, Keep::All, Keep::Names, Keep::Bytes].into_iter().chain([Keep::Some(50); 4]) {
            let left = tempfile::tempdir().unwrap();
            disk.crash(left.path(), keep, &mut random);
            let when = format!("after {moment} of {ops:?}, {keep:?}");
            let plan = recovery::plan(&left.path().join(partition), &unclean).unwrap_or_else(|e| panic!("{when}: {e}"));
            check(&plan, &when);
            plan.apply().unwrap();
            let again = recovery::plan(&left.path().join(partition), &unclean).unwrap();
            check(&again, &when);
            assert!(again.losses.is_empty(), "{when}");
            let records = verdict::read(&again, false).unwrap_or_else(|broken| panic!("{when}: {broken}")).records;
            assert_eq!(records.keys().copied().collect::<BTreeSet<_>>(), (0..end).collect(), "{when}");
        }
        if let Some(op) = ops.get(moment) {
            disk.apply(op);
        }
    }
}

/// A partition with records 0 to 19, in segments of a few.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let (partition, id) = topic();
    let dir = create::partition(root.path(), &partition, id).unwrap();
    let plan = |dir: &Path| {
        let load = LoadOptions {
            clean: true,
            recovery_point: Offset::ZERO,
            log_start: Offset::ZERO,
            now_ms: 0,
            config: config(),
        };
        recovery::plan(dir, &load).unwrap()
    };
    let mut log = LogWriter::open(plan(&dir), config(), Durability::Synced, 0).unwrap();
    for _ in 0..20 {
        log.append_as_leader(&mut batch(None), log.leader_epoch(), 1_000).unwrap();
    }
    assert!(log.segments().len() > 3, "{:?}", log.segments());
    log.close().unwrap();
    (root, dir)
}

/// The segments behind a cut were renamed, and the cut synced, before the new names were on disk: with the power
/// lost in between they came back behind the hole that the cut had made.
#[test]
fn segments_behind_a_cut_do_not_come_back() {
    let (root, dir) = filled();
    let second = segments(&dir)[1];
    let path = dir.join(segment_file_name(Offset::new(second), SegmentFileKind::Log));
    let mut bytes = std::fs::read(&path).unwrap();
    let one = batch(None).bytes().len();
    bytes[2 * one - 1] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    recover_and_lose_power(root.path(), "t-0", second + 1);
}

fn segments(dir: &Path) -> Vec<i64> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut bases: Vec<i64> =
        names.filter_map(|name| name.strip_suffix(".log").map(|base| base.parse().unwrap())).collect();
    bases.sort_unstable();
    bases
}

/// A broker removes the finished part of an interrupted split, then the unfinished one. The other way round, and
/// interrupted, the finished part is taken for the whole.
#[test]
fn an_interrupted_split_is_undone_whenever_it_is_interrupted_again() {
    let (root, dir) = filled();
    let bases = segments(&dir);
    let merged: Vec<u8> = bases.iter().flat_map(|base| std::fs::read(log(&dir, *base, "")).unwrap()).collect();
    let upper: Vec<u8> = bases[2..].iter().flat_map(|base| std::fs::read(log(&dir, *base, "")).unwrap()).collect();
    for base in &bases[1..] {
        for kind in SegmentFileKind::ALL {
            let _ = std::fs::remove_file(dir.join(segment_file_name(Offset::new(*base), kind)));
        }
    }
    std::fs::write(log(&dir, 0, ""), &merged).unwrap();
    std::fs::write(log(&dir, 0, ".cleaned"), &merged[..merged.len() - upper.len()]).unwrap();
    std::fs::write(log(&dir, bases[2], ".swap"), &upper).unwrap();
    recover_and_lose_power(root.path(), "t-0", 20);
}

/// What a cleaning replaced was removed, and its result renamed, without a wait in between: both could be there.
#[test]
fn a_finished_cleaning_is_put_in_place_once() {
    let (root, dir) = filled();
    let bases = segments(&dir);
    let merged: Vec<u8> = bases.iter().flat_map(|base| std::fs::read(log(&dir, *base, "")).unwrap()).collect();
    std::fs::write(log(&dir, 0, ".swap"), &merged).unwrap();
    recover_and_lose_power(root.path(), "t-0", 20);
}

fn log(dir: &Path, base: i64, suffix: &str) -> PathBuf {
    dir.join(segment_file_name(Offset::new(base), SegmentFileKind::Log) + suffix)
}

/// Only the innermost of the directories that were made for a log directory had its name on disk.
#[test]
fn a_log_directory_is_there_with_all_that_it_is_in() {
    let root = tempfile::tempdir().unwrap();
    journal::begin(root.path());
    create::log_dir(&root.path().join("a/b/data"), "cluster", 1, Uuid([3; 16])).unwrap();
    let mut disk = Disk::of(tempfile::tempdir().unwrap().path());
    journal::end(root.path()).iter().for_each(|op| disk.apply(op));
    let left = tempfile::tempdir().unwrap();
    disk.crash(left.path(), Keep::Nothing, &mut fastrand::Rng::with_seed(1));
    assert!(left.path().join("a/b/data/meta.properties").is_file());
}

/// The kernel reports a failed sync once. Closing the session synced again, without an error, and marked as clean
/// and as flushed what was not on disk.
#[test]
fn after_a_failed_sync_nothing_is_marked_as_safe() {
    let (partition, id) = topic();
    for failing in ["00000000000000000000.log", "00000000000000000005.log", "leader-epoch-checkpoint.tmp"] {
        let root = tempfile::tempdir().unwrap();
        let mut session = AppendSession::open(root.path(), options()).unwrap();
        session.create_partition(&partition, id).unwrap();
        journal::begin(root.path());
        journal::fail_next(root.path(), failing);
        let mut failed = false;
        for _ in 0..20 {
            let done = session.append(&partition, &mut batch(None), 1_000).map(|_| ());
            failed |= done.and_then(|()| Ok(session.flush()?)).is_err();
        }
        journal::end(root.path());
        assert!(failed, "{failing}");
        session.flush().unwrap_err();
        session.close(2_000).unwrap_err();
        assert!(!root.path().join(".kafka_cleanshutdown").exists(), "{failing}");
        assert!(checkpoint::read(&root.path().join(RECOVERY_POINT)).is_err(), "{failing}");
    }
}

/// A session that was in a clean directory first trusted every log in it, also one that another session had since
/// written to and left behind: producers were taken from the snapshot, which did not know of its batches.
#[test]
fn a_log_that_another_session_left_is_not_trusted() {
    let (partition, id) = topic();
    let root = tempfile::tempdir().unwrap();
    let mut maker = AppendSession::open(root.path(), options()).unwrap();
    maker.create_partition(&partition, id).unwrap();
    maker.close(1_000).unwrap();
    assert!(root.path().join(".kafka_cleanshutdown").exists(), "an empty partition is a clean one");
    let mut first = AppendSession::open(root.path(), options()).unwrap();
    let mut second = AppendSession::open(root.path(), options()).unwrap();
    second.append(&partition, &mut batch(Some((7, 0))), 1_000).unwrap();
    drop(second);
    let log = first.log(&partition, 1_001).unwrap();
    assert_eq!(log.log_end(), Offset::new(1));
    assert_eq!(log.producers().producer(ProducerId(7)).map(|state| state.last_sequence()), Some(0));
    first.append(&partition, &mut batch(Some((7, 1))), 1_002).unwrap();
    first.close(1_003).unwrap();
    assert!(!root.path().join(".kafka_cleanshutdown").exists(), "one session never came to its end");
}

/// A session that had nothing to write was the last one in the directory, and the marker stayed aside.
#[test]
fn the_last_session_that_wrote_puts_the_marker_back_beside_an_idle_one() {
    let (partition, id) = topic();
    let root = tempfile::tempdir().unwrap();
    let mut writer = AppendSession::open(root.path(), options()).unwrap();
    writer.create_partition(&partition, id).unwrap();
    writer.append(&partition, &mut batch(None), 1_000).unwrap();
    let mut idle = AppendSession::open(root.path(), options()).unwrap();
    writer.close(1_001).unwrap();
    assert!(root.path().join(".kafka_cleanshutdown").exists());
    idle.append(&partition, &mut batch(None), 1_002).unwrap();
    assert!(!root.path().join(".kafka_cleanshutdown").exists(), "it puts the marker aside before it writes");
    idle.close(1_003).unwrap();
    assert!(root.path().join(".kafka_cleanshutdown").exists());
}

/// A log that ends below its recovery point lost nothing that recovery sees: the checkpoint stayed above what was
/// appended next.
#[test]
fn a_recovery_point_above_the_log_is_lowered_before_anything_is_appended() {
    let (root, dir) = filled();
    std::fs::write(root.path().join(RECOVERY_POINT), "0\n1\nt 0 20\n").unwrap();
    for base in &segments(&dir)[1..] {
        for kind in SegmentFileKind::ALL {
            let _ = std::fs::remove_file(dir.join(segment_file_name(Offset::new(*base), kind)));
        }
    }
    let (partition, _) = topic();
    let buffered = SessionOptions { durability: Durability::Buffered, ..options() };
    let mut session = AppendSession::open(root.path(), buffered).unwrap();
    let end = session.log(&partition, 1_000).unwrap().log_end();
    assert!(end < Offset::new(20));
    session.append(&partition, &mut batch(None), 1_000).unwrap();
    drop(session);
    assert_eq!(checkpoint::read(&root.path().join(RECOVERY_POINT)).unwrap().get(&partition), Some(end));
}

/// Each of two sessions that ended at the same moment found the other one still there, and neither put the marker
/// back: the lock was given back after the turn in which it was looked for.
#[test]
fn one_of_two_sessions_that_end_together_puts_the_marker_back() {
    let (partition, id) = topic();
    for round in 0..40 {
        let root = tempfile::tempdir().unwrap();
        let mut first = AppendSession::open(root.path(), options()).unwrap();
        first.create_partition(&partition, id).unwrap();
        let second = AppendSession::open(root.path(), options()).unwrap();
        let together = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for session in [first, second] {
                scope.spawn(|| {
                    together.wait();
                    session.close(1_000).unwrap();
                });
            }
        });
        assert!(root.path().join(".kafka_cleanshutdown").exists(), "round {round}");
    }
}
