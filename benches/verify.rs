//! How fast a log directory is checked, beside how fast its bytes can be read and checksummed at all.
//!
//! `cargo bench --bench verify` makes a directory of 10 partitions and 2 GiB, and one segment of 1 GiB with its three
//! indexes. The machine is shared: read the ratios, not the figures.
//!
//! Environment: `LOGDIR_BENCH_MIB` (2048), `LOGDIR_BENCH_ROUNDS` (5), `LOGDIR_BENCH_DIR` (a temporary directory).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

#[path = "support/generate.rs"]
mod generate;
#[path = "support/rounds.rs"]
mod rounds;

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use logdir::crc::crc32c;
use logdir::types::Codec;
use rayon::prelude::*;
use rounds::{Measured, command, env, measure, median_of, peak_memory_mib, report};

/// The floor: every byte read once and checksummed, nothing understood.
fn read_and_checksum(path: &Path) {
    let file = File::open(path).unwrap();
    let mut buffer = vec![0; 256 << 10];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut buffer, at).unwrap();
        if read == 0 {
            return;
        }
        black_box(crc32c(&buffer[..read]));
        at += read as u64;
    }
}

/// A topic with `partitions` of them, each with a log of about `bytes`; indexes by way of `verify-index --rebuild`.
fn topic(program: &Path, dir: &Path, partitions: usize, bytes: u64) -> (Vec<PathBuf>, u64) {
    let mut logs = Vec::new();
    let mut records = 0;
    for number in 0..partitions {
        let log = dir.join(format!("t-{number}")).join("00000000000000000000.log");
        records += generate::log(&log, bytes, Codec::None);
        logs.push(log);
    }
    let dirs: Vec<_> = logs.iter().map(|log| log.parent().unwrap().display().to_string()).collect();
    let mut rebuild = Command::new(program);
    rebuild.args(["-q", "verify-index", "--rebuild", "--execute"]).args(&dirs).stdout(Stdio::null());
    assert!(rebuild.status().unwrap().success());
    (logs, records)
}

fn main() {
    // `cargo test --benches` runs this too; it is no test.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let bytes = env("LOGDIR_BENCH_MIB", 2048) << 20;
    let rounds = usize::try_from(env("LOGDIR_BENCH_ROUNDS", 5)).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("LOGDIR_BENCH_DIR").map_or_else(|| temp.path().to_owned(), PathBuf::from);
    let program = PathBuf::from(env!("CARGO_BIN_EXE_logdir"));
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global().unwrap();
    let (logs, records) = topic(&program, &dir.join("ten"), 10, bytes / 10);
    let (one, one_records) = topic(&program, &dir.join("one"), 1, bytes / 2);
    let len = |logs: &[PathBuf]| logs.iter().map(|log| log.metadata().unwrap().len()).sum::<u64>();
    let (all, single) = (len(&logs), len(&one));
    let ten = dir.join("ten").display().to_string();
    let segment = one[0].display().to_string();

    let mut paths: Vec<Measured> = Vec::new();
    let mut add = |name: &str, bytes: u64, records: u64, limit, aim, run: Box<dyn Fn()>| {
        paths.push(Measured { name: name.into(), bytes, records, run, limit, aim, once: false, times: Vec::new() });
    };
    let two = ["--threads", "2"];
    let verify = |depth: &str| command(&program, &["verify", "-d", &ten, "--depth", depth, two[0], two[1]]);
    let floor = logs.clone();
    let read_all = Box::new(move || floor.par_iter().for_each(|log| read_and_checksum(log)));
    add("read+crc2: ten partitions, two threads", all, records, None, "", read_all);
    add("verify --depth crc, two threads", all, records, Some(0), ">= 7 GB/s", verify("crc"));
    add("verify --depth headers, two threads", all, records, Some(0), "", verify("headers"));
    add("verify --depth deep, two threads", all, records, Some(0), "", verify("deep"));
    let floor = one.clone();
    let read_one = Box::new(move || floor.iter().for_each(|log| read_and_checksum(log)));
    add("read+crc: one segment, one thread", single, one_records, None, "", read_one);
    let index = command(&program, &["verify-index", &segment, "--threads", "1"]);
    add("verify-index, one segment", single, one_records, Some(4), "<= 2 x", index);
    measure(&mut paths, rounds);
    report(&paths);
    for (name, aim) in [("verify --depth crc", "<= 64 MiB"), ("verify-index", "")] {
        let args = match name {
            "verify-index" => vec!["verify-index", &segment],
            _ => vec!["verify", "-d", &ten, "--depth", "crc"],
        };
        let memory = peak_memory_mib(&program, &args).unwrap_or(f64::NAN);
        println!("{name}: peak memory {memory:.1} MiB  {aim}");
    }
    let ratio = median_of(&paths, "read+crc2") / median_of(&paths, "verify --depth crc");
    println!("verify --depth crc reaches {:.0} % of what reading and checksumming the bytes takes", ratio * 100.0);
}
