//! A partition directory of any bytes: the plan ends, and once it was carried out the log opens, grows, closes,
//! and needs nothing more than its last snapshot at the next recovery.
#![no_main]

#[path = "support/checksums.rs"]
mod checksums;

use libfuzzer_sys::fuzz_target;
use logdir::batch::builder::{BatchBuilder, BatchSpec, NewRecord};
use logdir::batch::compression::Compressor;
use logdir::storage::recovery::{self, LoadOptions};
use logdir::storage::writer::{Appended, Durability, LogConfig, LogWriter};
use logdir::types::Offset;

const NAMES: [&str; 12] = [
    "00000000000000000000.log",
    "00000000000000000000.index",
    "00000000000000000000.timeindex",
    "00000000000000000000.txnindex",
    "00000000000000000007.log",
    "00000000000000000007.index",
    "00000000000000000007.snapshot",
    "00000000000000000009.snapshot",
    "00000000000000000007.log.swap",
    "00000000000000000007.log.cleaned",
    "00000000000000000007.log.deleted",
    "leader-epoch-checkpoint",
];

fuzz_target!(|data: (bool, bool, i64, i64, [Option<&[u8]>; 12])| {
    let (clean, sound, recovery_point, log_start, files) = data;
    let dir = std::env::temp_dir().join(format!("logdir-fuzz-recover-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a temporary directory");
    for (name, bytes) in NAMES.iter().zip(files) {
        let Some(bytes) = bytes else { continue };
        let mut bytes = bytes.to_vec();
        if sound && name.contains(".log") {
            checksums::put_right(&mut bytes);
        }
        std::fs::write(dir.join(name), bytes).expect("a file");
    }
    let config = LogConfig { segment_bytes: 4096, segment_index_bytes: 256, ..LogConfig::default() };
    let mut options = LoadOptions {
        clean,
        recovery_point: Offset::new(recovery_point & i64::MAX),
        log_start: Offset::new(log_start & 0xff),
        now_ms: 1,
        config,
    };
    let Ok(plan) = recovery::plan(&dir, &options) else { return };
    plan.apply().expect("a plan can be carried out");
    let Ok(mut log) = LogWriter::open(plan, config, Durability::Buffered, 1) else { return };
    let mut builder = BatchBuilder::new(BatchSpec::default());
    builder.push(&NewRecord { timestamp_ms: 1, value: Some(b"x"), ..NewRecord::default() }).expect("a record");
    let mut batch = builder.seal(&mut Compressor::default()).expect("a batch");
    let epoch = log.leader_epoch();
    let end = log.log_end();
    if let Appended::Stored { first, .. } = log.append_as_leader(&mut batch, epoch, 1).expect("a write") {
        assert_eq!(first, end);
    }
    log.close().expect("a close");
    let end = log.log_end();
    if !clean {
        // Damage below the recovery point stays unseen, as in a broker.
        options.recovery_point = log.recovery_point();
        options.log_start = log.log_start();
        let again = recovery::plan(&dir, &options).expect("what was recovered recovers");
        assert_eq!(again.log_end, end);
        assert!(again.losses.is_empty(), "{:?}", again.losses);
    }
});
