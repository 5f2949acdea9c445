//! How fast `logdir mirror` copies a log directory, beside a plain copy of the same files that is checked.
//!
//! `cargo bench --bench mirror` makes 1 GiB, once in segments of 64 MiB, which come over as files, and once in one segment, whose
//! batches are appended one by one; and looks at both again when there is nothing to copy. The machine is shared: read the
//! ratios.
//!
//! Environment: `LOGDIR_BENCH_MIB` (1024), `LOGDIR_BENCH_ROUNDS` (3), `LOGDIR_BENCH_DIR` (a temporary directory).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![allow(dead_code, reason = "what the benchmarks share is more than this one needs")]

#[path = "support/copies.rs"]
mod copies;
#[path = "support/generate.rs"]
mod generate;
#[path = "support/rounds.rs"]
mod rounds;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use copies::{copy_dirs, files, forget};
use logdir::batch::Frame;
use logdir::storage::create;
use logdir::storage::writer::{AppendSession, Durability, LogConfig, SessionOptions};
use logdir::types::{Codec, Offset, TopicPartition};
use rounds::{Measured, env, measure, peak_memory_mib, report};

/// A log directory with one partition of so many bytes, in segments of `segment_bytes`.
fn source(dir: &Path, bytes: u64, segment_bytes: u32) -> u64 {
    create::log_dir(dir, "4L6g3nShT-eMCtK--X86sw", 1, create::random_uuid().unwrap()).unwrap();
    let whole = dir.join("generated");
    generate::log(&whole, bytes, Codec::None);
    let config = LogConfig { segment_bytes, segment_ms: i64::MAX, ..LogConfig::default() };
    let options = SessionOptions { config, durability: Durability::Buffered, allow_truncate: false };
    let mut session = AppendSession::open(dir, options).unwrap();
    let partition = TopicPartition::new("orders", 0);
    session.create_partition(&partition, create::random_uuid().unwrap()).unwrap();
    let mut file = File::open(&whole).unwrap();
    let (mut buffer, mut held) = (vec![0; 4 << 20], 0);
    loop {
        let count = file.read(&mut buffer[held..]).unwrap();
        held += count;
        let mut at = 0;
        while let Ok(frame) = Frame::parse(&buffer[at..held]) {
            let len = frame.bytes().len();
            session.append_from(&partition, Offset::ZERO, &buffer[at..at + len], 1).unwrap();
            at += len;
        }
        buffer.copy_within(at..held, 0);
        held -= at;
        if count == 0 {
            break;
        }
    }
    session.close(1).unwrap();
    fs::remove_file(whole).unwrap();
    fs::metadata(dir.join("orders-0")).unwrap();
    files(&dir.join("orders-0")).iter().map(|file| fs::metadata(file).unwrap().len()).sum()
}

fn mirror(from: &Path, to: &Path) {
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_logdir"))
        .args(["mirror", "-qq", "-d"])
        .arg(from)
        .arg("--to")
        .arg(to)
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

fn main() {
    // `cargo test --benches` runs this too; it is no test.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let root = std::env::var_os("LOGDIR_BENCH_DIR").map_or_else(|| temp.path().to_owned(), PathBuf::from);
    let rounds = usize::try_from(env("LOGDIR_BENCH_ROUNDS", 3)).unwrap();
    let mut paths: Vec<Measured> = Vec::new();
    let mut add = |name: &str, bytes: u64, limit: Option<usize>, aim, run: Box<dyn Fn()>| {
        paths.push(Measured {
            name: name.to_owned(),
            bytes,
            records: 0,
            run,
            limit,
            aim,
            once: false,
            times: Vec::new(),
        });
        paths.len() - 1
    };
    let mut peaks = Vec::new();
    for (name, segment_bytes) in [("64 MiB segments", 64 << 20), ("one segment", i32::MAX.unsigned_abs())] {
        let from = root.join(name);
        let bytes = source(&from, env("LOGDIR_BENCH_MIB", 1024) << 20, segment_bytes);
        let (plain, into) = (from.clone(), root.join("plain"));
        let limit = add(
            &format!("copy, CRC, read back: {name}"),
            bytes,
            None,
            "",
            Box::new(move || copy_dirs(&plain, &into, true)),
        );
        let (source, to) = (from.clone(), root.join("copy"));
        let copied = Box::new(move || {
            for file in files(&source.join("orders-0")) {
                forget(&File::open(file).unwrap());
            }
            mirror(&source, &to);
            fs::remove_dir_all(&to).unwrap();
        });
        add(&format!("mirror: {name}"), bytes, Some(limit), "1.3", copied);
        let (source, to) = (from.clone(), root.join(format!("{name} copy")));
        mirror(&source, &to);
        add(&format!("mirror, nothing to copy: {name}"), 0, Some(limit), "", Box::new(move || mirror(&source, &to)));
        let peak = root.join("peak");
        let args = ["mirror", "-qq", "-d", from.to_str().unwrap(), "--to", peak.to_str().unwrap()];
        peaks.push((name, peak_memory_mib(Path::new(env!("CARGO_BIN_EXE_logdir")), &args)));
        let _ = fs::remove_dir_all(&peak);
    }
    measure(&mut paths, rounds);
    report(&paths);
    for (name, peak) in peaks {
        println!("largest memory, {name}: {}", peak.map_or("not known".to_owned(), |mib| format!("{mib:.0} MiB")));
    }
}
