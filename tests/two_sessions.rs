//! Two sessions that take turns at one partition leave what one alone would have left.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use logdir::batch::builder::{BatchBuf, BatchBuilder, BatchSpec, NewRecord};
use logdir::batch::compression::Compressor;
use logdir::storage::create;
use logdir::storage::index::offset::OffsetIndex;
use logdir::storage::index::time::TimeIndex;
use logdir::storage::lock::DirLock;
use logdir::storage::writer::{AppendSession, Appended, Durability, LogConfig, SessionOptions};
use logdir::types::{Offset, TopicPartition};

const NOW_MS: i64 = 1_760_000_000_000;

fn batch(timestamp_ms: i64) -> BatchBuf {
    let mut builder = BatchBuilder::new(BatchSpec::default());
    builder.push(&NewRecord { timestamp_ms, value: Some(&[7; 400]), ..NewRecord::default() }).unwrap();
    builder.seal(&mut Compressor::default()).unwrap()
}

fn append(session: &mut AppendSession, timestamp_ms: i64, now_ms: i64) {
    let stored = session.append(&TopicPartition::new("t", 0), &mut batch(timestamp_ms), now_ms).unwrap();
    assert!(matches!(stored, Appended::Stored { .. }), "{stored:?}");
}

/// A log directory with an empty partition.
fn made() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    create::partition(dir.path(), &TopicPartition::new("t", 0), create::random_uuid().unwrap()).unwrap();
    dir
}

fn session(dir: &Path, durability: Durability, config: LogConfig) -> AppendSession {
    AppendSession::open(dir, SessionOptions { config, durability, allow_truncate: false }).unwrap()
}

/// Entries of both indexes of the first segment: offsets, and the last of the times.
fn indexes(dir: &Path) -> (Vec<(i64, u64)>, (i64, i64)) {
    let read = |kind: &str| std::fs::read(dir.join(format!("t-0/00000000000000000000.{kind}"))).unwrap();
    let (offsets, times) = (read("index"), read("timeindex"));
    let offsets = OffsetIndex::new(Offset::ZERO, &offsets);
    let at = |at| offsets.get(at).unwrap();
    let entries = (0..offsets.raw_entries()).map(|n| (at(n).offset.get(), at(n).position().unwrap().get())).collect();
    let times = TimeIndex::new(Offset::ZERO, &times);
    let last = times.get(times.raw_entries() - 1).unwrap();
    (entries, (last.timestamp, last.offset.get()))
}

/// A session that took its turn again forgot what was not in the indexes yet: the time index never learned the
/// segment's largest timestamp, so that a broker found nothing by time there, and with small batches no index
/// entry was ever due.
#[test]
fn turns_do_not_show_in_the_indexes() {
    let (alone, shared) = (made(), made());
    let config = LogConfig::default();
    let timestamp = |n: i64| NOW_MS + if n == 21 { 500_000 } else { -n };
    let mut only = session(alone.path(), Durability::Buffered, config);
    (0..90).for_each(|n| append(&mut only, timestamp(n), NOW_MS + n));
    only.close(NOW_MS).unwrap();
    let mut two = [Durability::Synced, Durability::Buffered].map(|how| session(shared.path(), how, config));
    (0..90).for_each(|n| append(&mut two[usize::from(n % 3 == 0)], timestamp(n), NOW_MS + n));
    two.into_iter().for_each(|session| drop(session.close(NOW_MS).unwrap()));
    let (offsets, last_time) = indexes(shared.path());
    assert_eq!(last_time, (NOW_MS + 500_000, 21));
    assert_eq!((offsets, last_time), indexes(alone.path()));
}

/// A second session recovers the log, which replaces its indexes, and appends nothing; the first one, with
/// nothing new to take in, went on with the files that were no longer there.
#[test]
fn a_recovery_beside_a_session_does_not_take_its_index_away() {
    let dir = made();
    let config = LogConfig::default();
    let partition = TopicPartition::new("t", 0);
    let mut first = session(dir.path(), Durability::Synced, config);
    let mut second = session(dir.path(), Durability::Synced, config);
    (0..30).for_each(|n| append(&mut first, NOW_MS, NOW_MS + n));
    first.flush().unwrap();
    second.log(&partition, NOW_MS + 40).unwrap();
    second.end_turns().unwrap();
    (0..30).for_each(|n| append(&mut first, NOW_MS + n, NOW_MS + 100 + n));
    first.close(NOW_MS + 200).unwrap();
    second.close(NOW_MS + 200).unwrap();
    let (offsets, last_time) = indexes(dir.path());
    assert_eq!(last_time, (NOW_MS + 29, 59));
    assert!(offsets.len() >= 5 && offsets.last().unwrap().0 > 50, "{offsets:?}");
}

/// Rolled segments stayed open until a sync that never came: "too many open files" after some hundred.
#[test]
fn a_log_that_is_never_synced_keeps_no_files_open() {
    let dir = made();
    let mut session =
        session(dir.path(), Durability::Buffered, LogConfig { segment_bytes: 1_000, ..LogConfig::default() });
    (0..400).for_each(|n| append(&mut session, NOW_MS, NOW_MS + n));
    let fds = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    session.close(NOW_MS).unwrap();
    let logs = std::fs::read_dir(dir.path().join("t-0")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(logs.filter(|path| path.extension().is_some_and(|kind| kind == "log")).count(), 200);
    assert!(fds < 100, "{fds} open files");
}

/// The one that ended last saw the lock of the one before it, which it had not let go yet, and left the marker to it.
#[test]
fn the_marker_comes_back_also_beside_a_lock_about_to_be_let_go() {
    let dir = made();
    let marker = dir.path().join(".kafka_cleanshutdown");
    std::fs::write(&marker, r#"{"version":0,"brokerEpoch":7}"#).unwrap();
    let config = LogConfig::default();
    let mut two = [0, 1].map(|_| session(dir.path(), Durability::Synced, config));
    two.iter_mut().for_each(|session| append(session, NOW_MS, NOW_MS));
    assert!(!marker.exists());
    let lock = DirLock::shared(dir.path()).unwrap();
    for (left, session) in two.into_iter().enumerate() {
        session.close(NOW_MS).unwrap();
        assert_eq!(marker.exists(), left == 1, "the last one puts it back");
    }
    drop(lock);
    assert_eq!(std::fs::read_to_string(&marker).unwrap(), r#"{"version":0,"brokerEpoch":7}"#);
    // One that has not begun puts it aside again.
    let mut early = session(dir.path(), Durability::Synced, config);
    let mut late = session(dir.path(), Durability::Synced, config);
    append(&mut early, NOW_MS, NOW_MS + 10);
    early.close(NOW_MS).unwrap();
    assert!(marker.exists());
    append(&mut late, NOW_MS, NOW_MS + 20);
    assert!(!marker.exists());
    late.close(NOW_MS).unwrap();
    assert!(marker.exists());
}
