//! Recoveries where Kafka's loader does what one would not expect; found by `live_produce.rs` against Kafka 4.3.0.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use logdir::batch::builder::{BatchBuilder, BatchSpec, NewRecord};
use logdir::batch::compression::Compressor;
use logdir::storage::create;
use logdir::storage::recovery::{self, LoadOptions, Plan};
use logdir::storage::writer::{AppendSession, Durability, LogConfig, SessionOptions};
use logdir::types::{Offset, TopicPartition};

const CONFIG: fn() -> LogConfig =
    || LogConfig { segment_bytes: 2_200, index_interval_bytes: 600, ..LogConfig::default() };

/// Segments of four batches of two records.
fn written(dir: &tempfile::TempDir, batches: usize) -> PathBuf {
    let partition = TopicPartition::new("t", 0);
    let path = create::partition(dir.path(), &partition, create::random_uuid().unwrap()).unwrap();
    let options = SessionOptions { config: CONFIG(), durability: Durability::Buffered, allow_truncate: false };
    let mut session = AppendSession::open(dir.path(), options).unwrap();
    for _ in 0..batches {
        let mut builder = BatchBuilder::new(BatchSpec::default());
        for _ in 0..2 {
            builder.push(&NewRecord { value: Some(&[7; 220]), ..NewRecord::default() }).unwrap();
        }
        session.append(&partition, &mut builder.seal(&mut Compressor::default()).unwrap(), 0).unwrap();
    }
    session.close(0).unwrap();
    path
}

fn unclean(path: &std::path::Path) -> Plan {
    let zero = Offset::ZERO;
    let options = LoadOptions { clean: false, recovery_point: zero, log_start: zero, now_ms: 0, config: CONFIG() };
    recovery::plan(path, &options).unwrap()
}

/// `LogLoader.loadSegmentFiles` recovers a segment without an offset index and looks at no result; when
/// `recoverLog` comes to it there is nothing to cut any more, so that the segments behind it stay.
#[test]
fn a_cut_for_want_of_an_index_leaves_the_segments_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, 12);
    let log = path.join("00000000000000000000.log");
    let len = fs::metadata(&log).unwrap().len();
    File::options().write(true).open(&log).unwrap().set_len(len - 10).unwrap();
    let plan = unclean(&path);
    assert_eq!((plan.segments.len(), plan.log_end, plan.losses.len()), (1, Offset::new(6), 3));
    fs::remove_file(path.join("00000000000000000000.index")).unwrap();
    let plan = unclean(&path);
    assert_eq!((plan.segments.len(), plan.log_end), (3, Offset::new(24)));
    assert_eq!(plan.losses.len(), 1, "{:?}", plan.losses);
}

/// A base offset is in no checksum. Where a wrong one got the segment's last index entry, the end of the log is
/// looked for from there: no batch behind it holds that offset, and Kafka falls back to the segment's base.
#[test]
fn a_log_whose_offsets_go_back_ends_where_its_index_leads() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, 4);
    assert_eq!(unclean(&path).log_end, Offset::new(8));
    let log = path.join("00000000000000000000.log");
    let size = fs::metadata(&log).unwrap().len() / 4;
    // The third batch is the one that is indexed.
    File::options().write(true).open(&log).unwrap().write_all_at(&[99], 2 * size + 7).unwrap();
    let plan = unclean(&path);
    assert_eq!((plan.segments.len(), plan.segments[0].1, plan.losses.len()), (1, 4 * size, 0));
    assert_eq!(plan.log_end, Offset::ZERO);
}

/// `TransactionIndex.iterable` throws no CorruptIndexException at a version it does not know: nothing is rebuilt, the
/// broker does not start.
#[test]
fn a_transaction_index_of_another_version_stops_the_loading() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, 4);
    let zero = Offset::ZERO;
    for (version, loads) in [(0, true), (27, false), (0xff, true)] {
        let mut entry = [0; 34];
        entry[0] = version;
        entry[33] = 1;
        fs::write(path.join("00000000000000000000.txnindex"), entry).unwrap();
        for clean in [true, false] {
            let options = LoadOptions { clean, recovery_point: zero, log_start: zero, now_ms: 0, config: CONFIG() };
            let plan = recovery::plan(&path, &options);
            assert_eq!(plan.is_ok(), loads, "version {version}, clean {clean}: {plan:?}");
        }
    }
}
