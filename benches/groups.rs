//! How fast the lag of a thousand groups is told from a large `__consumer_offsets`, beside reading and checksumming it.
//!
//! `cargo bench --bench groups` makes 50 partitions with 2 GiB of commits of 1,000 groups, 100 partitions each. The machine
//! is shared: read the ratios, not the figures.
//!
//! Environment: `LOGDIR_BENCH_GIB` (2), `LOGDIR_BENCH_ROUNDS` (3), `LOGDIR_BENCH_DIR` (a temporary directory).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![allow(dead_code, reason = "what the benchmarks share is more than this one needs")]

#[path = "support/rounds.rs"]
mod rounds;

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use logdir::batch::builder::{BatchBuilder, BatchSpec, NewRecord};
use logdir::batch::compression::Compressor;
use logdir::crc::crc32c;
use logdir::partitioner::{PartitionCount, partition_for_id};
use logdir::schema::coordinator::group::CommittedOffset;
use logdir::types::{LeaderEpoch, Offset, TopicPartition};
use rayon::prelude::*;
use rounds::{Measured, command, env, measure, median_of, peak_memory_mib, report};

const GROUPS: usize = 1_000;
const PARTITIONS: i32 = 100;
const COORDINATOR_PARTITIONS: u32 = 50;

/// The log directory: topic `events`, and commits of all groups again and again up to so many bytes.
fn log_dir(program: &Path, root: &Path, bytes: u64) -> PathBuf {
    let dir = root.join("data");
    let run = |args: &[&str]| {
        let status =
            Command::new(program).args(args).arg("-d").arg(&dir).stdin(Stdio::null()).stdout(Stdio::null()).status();
        assert!(status.unwrap().success(), "{args:?}");
    };
    run(&["-q", "produce", "-t", "events", "--create", "100"]);
    run(&["-q", "topics", "create", "__consumer_offsets", "--partitions", "50"]);
    let count = PartitionCount::new(COORDINATOR_PARTITIONS).unwrap();
    let mut homes: Vec<Vec<String>> = (0..COORDINATOR_PARTITIONS).map(|_| Vec::new()).collect();
    for number in 0..GROUPS {
        let group = format!("group-{number:04}");
        let home = usize::try_from(partition_for_id(&group, count)).unwrap();
        homes[home].push(group);
    }
    homes.par_iter().enumerate().for_each(|(number, groups)| {
        let share = bytes * groups.len() as u64 / GROUPS as u64;
        let path = dir.join(format!("__consumer_offsets-{number}/00000000000000000000.log"));
        commits(&path, groups, share);
    });
    dir
}

/// A log of commits: each batch is one commit of a group, of all partitions.
fn commits(path: &Path, groups: &[String], bytes: u64) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let keys: Vec<Vec<Vec<u8>>> = groups
        .iter()
        .map(|group| {
            let key = |number| CommittedOffset::key_bytes(group, &TopicPartition::new("events", number)).unwrap();
            (0..PARTITIONS).map(key).collect()
        })
        .collect();
    let (mut written, mut offset, mut round) = (0_u64, Offset::ZERO, 0_i64);
    let mut compressor = Compressor::default();
    let mut builder = BatchBuilder::new(BatchSpec::default());
    while written < bytes && !groups.is_empty() {
        for keys in &keys {
            let commit = CommittedOffset {
                offset: Offset::new(round),
                leader_epoch: Some(LeaderEpoch(0)),
                metadata: String::new(),
                commit_ms: 1_790_000_000_000 + round,
                expire_ms: None,
                topic_id: None,
            };
            let value = commit.value_bytes().unwrap();
            for key in keys {
                let record =
                    NewRecord { timestamp_ms: commit.commit_ms, key: Some(key), value: Some(&value), headers: &[] };
                builder.push(&record).unwrap();
            }
            let mut batch = builder.seal(&mut compressor).unwrap();
            batch.assign(offset, LeaderEpoch(0));
            offset = Offset::new(offset.get() + i64::from(PARTITIONS));
            file.write_all(batch.bytes()).unwrap();
            written += batch.bytes().len() as u64;
            builder.recycle(batch);
        }
        round += 1;
    }
    file.flush().unwrap();
}

/// The floor: every byte of the logs read and checksummed, in pieces.
fn read_and_check(dir: &Path) {
    let logs: Vec<PathBuf> = (0..COORDINATOR_PARTITIONS)
        .map(|number| dir.join(format!("__consumer_offsets-{number}/00000000000000000000.log")))
        .collect();
    logs.par_iter().for_each(|log| {
        let file = File::open(log).unwrap();
        let mut buffer = vec![0; 256 << 10];
        let (len, mut at) = (file.metadata().unwrap().len(), 0);
        while at < len {
            let want = buffer.len().min(usize::try_from(len - at).unwrap());
            file.read_exact_at(&mut buffer[..want], at).unwrap();
            black_box(crc32c(&buffer[..want]));
            at += want as u64;
        }
    });
}

fn main() {
    // `cargo test --benches` runs this too; it is no test.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let bytes = env("LOGDIR_BENCH_GIB", 2) << 30;
    let rounds = usize::try_from(env("LOGDIR_BENCH_ROUNDS", 3)).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let root = std::env::var_os("LOGDIR_BENCH_DIR").map_or_else(|| temp.path().to_owned(), PathBuf::from);
    let program = PathBuf::from(env!("CARGO_BIN_EXE_logdir"));
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global().unwrap();
    let dir = log_dir(&program, &root, bytes);
    let path = dir.display().to_string();
    let mut paths: Vec<Measured> = Vec::new();
    let mut add = |name: &str, limit, aim, run: Box<dyn Fn()>| {
        paths.push(Measured { name: name.into(), bytes, records: 0, run, limit, aim, once: false, times: Vec::new() });
    };
    let logs = dir.clone();
    add("read and checksum, two threads", None, "", Box::new(move || read_and_check(&logs)));
    let args = ["-qq", "--threads", "2", "groups", "describe", "--all-groups", "--json", "-d", &path];
    add("groups describe --all-groups, two threads", Some(0), "< 3 s", command(&program, &args));
    measure(&mut paths, rounds);
    report(&paths);
    let ratio = median_of(&paths, "groups describe") / median_of(&paths, "read and");
    let memory = peak_memory_mib(&program, &args).unwrap_or(f64::NAN);
    println!("{GROUPS} groups of {PARTITIONS} partitions: peak memory {memory:.1} MiB");
    println!("groups describe takes {ratio:.2} times what reading and checksumming the same logs takes");
}
