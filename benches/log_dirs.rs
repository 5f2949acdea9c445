//! How fast the inventory of a log directory with very many partitions is, beside listing and opening the same files.
//!
//! `cargo bench --bench log_dirs` makes a log directory of 10,000 partitions of 3 segments of 16 KiB. The machine is
//! shared: read the ratios, not the figures.
//!
//! Environment: `LOGDIR_BENCH_PARTITIONS` (10000), `LOGDIR_BENCH_ROUNDS` (5), `LOGDIR_BENCH_DIR` (a temporary directory).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![allow(dead_code, reason = "what the benchmarks share is more than this one needs")]

#[path = "support/rounds.rs"]
mod rounds;

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use logdir::storage::checkpoint::{self, HIGH_WATERMARK, RECOVERY_POINT};
use logdir::types::{Offset, TopicPartition};
use rayon::prelude::*;
use rounds::{Measured, command, env, measure, median_of, peak_memory_mib};

const SEGMENTS: usize = 3;
/// Records of one segment: 160 of about 100 bytes are 16 KiB.
const RECORDS: usize = 160;

/// One partition as `produce` leaves it: three closed segments with indexes, snapshots, epochs, metadata.
fn template(program: &Path, dir: &Path) -> PathBuf {
    let mut produce = Command::new(program)
        .args(["-q", "produce", "-t", "bench", "--create", "1", "--segment-bytes", "16KiB", "--batch-size", "4096"])
        .arg("-d")
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = produce.stdin.take().unwrap();
    let value = "x".repeat(85);
    for number in 0..SEGMENTS * RECORDS {
        writeln!(input, "{number:08} {value}").unwrap();
    }
    drop(input);
    assert!(produce.wait().unwrap().success());
    dir.join("bench-0")
}

/// The log directory, and the end of each partition's log.
fn log_dir(program: &Path, root: &Path, partitions: usize) -> PathBuf {
    let dir = root.join("data");
    let first = template(program, &dir);
    let files: Vec<_> = std::fs::read_dir(&first).unwrap().map(|entry| entry.unwrap()).collect();
    let files: Vec<_> = files.iter().map(|file| (file.file_name(), std::fs::read(file.path()).unwrap())).collect();
    let logs = files.iter().filter(|(name, _)| name.to_string_lossy().ends_with(".log")).count();
    assert!(logs >= SEGMENTS, "{logs} segments");
    (1..partitions).into_par_iter().for_each(|number| {
        let copy = dir.join(format!("bench-{number}"));
        std::fs::create_dir_all(&copy).unwrap();
        for (name, bytes) in &files {
            std::fs::write(copy.join(name), bytes).unwrap();
        }
    });
    let end = Offset::new(i64::try_from(SEGMENTS * RECORDS).unwrap());
    let names: Vec<_> =
        (0..partitions).map(|number| TopicPartition::new("bench", i32::try_from(number).unwrap())).collect();
    for file in [RECOVERY_POINT, HIGH_WATERMARK] {
        let text = checkpoint::to_text(names.iter().map(|name| (name, end)));
        std::fs::write(dir.join(file), text).unwrap();
    }
    dir
}

/// The floor: every partition listed, every file asked for its length, and opened and read where the inventory
/// opens and reads it: small files whole, logs and indexes at their ends. Nothing is understood.
fn list_and_read(dir: &Path) {
    let partitions: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    partitions.par_iter().for_each(|partition| {
        let mut buffer = [0; 16 << 10];
        for entry in std::fs::read_dir(partition).unwrap() {
            let entry = entry.unwrap();
            let len = entry.metadata().unwrap().len();
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            let wanted = if name.ends_with(".log") { 4 << 10 } else { buffer.len() };
            let file = File::open(path).unwrap();
            let wanted = wanted.min(usize::try_from(len).unwrap());
            black_box(file.read_at(&mut buffer[..wanted], 0).unwrap());
        }
    });
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn main() {
    // `cargo test --benches` runs this too; it is no test.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let partitions = env("LOGDIR_BENCH_PARTITIONS", 10_000);
    let rounds = usize::try_from(env("LOGDIR_BENCH_ROUNDS", 5)).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let root = std::env::var_os("LOGDIR_BENCH_DIR").map_or_else(|| temp.path().to_owned(), PathBuf::from);
    let program = PathBuf::from(env!("CARGO_BIN_EXE_logdir"));
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global().unwrap();
    let dir = log_dir(&program, &root, usize::try_from(partitions).unwrap());
    let path = dir.display().to_string();

    let mut paths: Vec<Measured> = Vec::new();
    let mut add = |name: &str, limit, aim, run: Box<dyn Fn()>| {
        paths.push(Measured {
            name: name.into(),
            bytes: 0,
            records: partitions,
            run,
            limit,
            aim,
            once: false,
            times: Vec::new(),
        });
    };
    let floor = dir.clone();
    add("list+read: every file, two threads", None, "", Box::new(move || list_and_read(&floor)));
    let run = |args: &[&str]| {
        let all: Vec<&str> = ["-q", "log-dirs", &path, "--threads", "2"].iter().chain(args).copied().collect();
        command(&program, &all)
    };
    add("log-dirs, two threads", Some(0), "< 2 s", run(&[]));
    add("log-dirs --json, two threads", Some(0), "", run(&["--json"]));
    add("log-dirs --by topic, two threads", Some(0), "", run(&["--by", "topic"]));
    add("log-dirs --depth headers, two threads", Some(0), "", run(&["--depth", "headers"]));
    measure(&mut paths, rounds);
    println!("\n{:<44} {:>9} {:>14} {:>22}  aim", "path", "s", "us / partition", "time / limit");
    for line in &paths {
        let seconds = line.median();
        let ratio = line.limit.map_or(String::new(), |limit| format!("{:.2} x", seconds / paths[limit].median()));
        let each = seconds * 1e6 / partitions as f64;
        println!("{:<44} {seconds:>9.3} {each:>14.1} {ratio:>22}  {}", line.name, line.aim);
    }
    let args = ["-qq", "log-dirs", &path, "--threads", "2"];
    let memory = peak_memory_mib(&program, &args).unwrap_or(f64::NAN);
    println!("log-dirs: peak memory {memory:.1} MiB  < 100 MiB");
    let ratio = median_of(&paths, "log-dirs, two") / median_of(&paths, "list+read");
    println!("log-dirs takes {ratio:.2} times what listing and reading the same files takes");
}
