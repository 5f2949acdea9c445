//! How fast directories are moved, beside how fast the same bytes can be written, and read back, at all.
//!
//! `cargo bench --bench moves` moves 2 GiB in segments of 1 GiB from the disk of a temporary directory to memory and back,
//! copies 2,000 small partitions there and back, and gives 10,000 partitions another log directory on one file system. The
//! machine is shared: read the ratios. A path of memory (`/dev/shm`) waits for nothing; where there is none, all stays on one
//! file system, and only names change.
//!
//! Environment: `LOGDIR_BENCH_MIB` (2048), `LOGDIR_BENCH_SMALL` (2000), `LOGDIR_BENCH_RENAMED` (10000), `LOGDIR_BENCH_ROUNDS`
//! (3), `LOGDIR_BENCH_DIR` (a temporary directory), `LOGDIR_BENCH_OTHER` (`/dev/shm`).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![allow(dead_code, reason = "what the benchmarks share is more than this one needs")]

#[path = "support/copies.rs"]
mod copies;
#[path = "support/generate.rs"]
mod generate;
#[path = "support/rounds.rs"]
mod rounds;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use copies::{copy_dirs, files, forget};
use logdir::types::Codec;
use rounds::{Measured, env, measure, median_of, report};

fn log_dir(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("meta.properties"), "version=1\nnode.id=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\n").unwrap();
    fs::write(dir.join(".kafka_cleanshutdown"), "").unwrap();
}

/// Segments of 1 GiB in partitions of their own.
fn large(dir: &Path, bytes: u64) -> u64 {
    let mut made = 0;
    for number in 0.. {
        let left = bytes - made;
        if left == 0 {
            break;
        }
        let one = left.min(1 << 30);
        let partition = dir.join(format!("large-{number}"));
        generate::log(&partition.join("00000000000000000000.log"), one, Codec::None);
        let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
        command.args(["-qq", "verify-index", "--rebuild", "--execute"]).arg(&partition).stdout(Stdio::null());
        assert!(command.status().unwrap().code().is_some_and(|code| code <= 1));
        made += one;
    }
    dir_bytes(dir)
}

/// Partitions of one batch, with the files that a broker makes.
fn small(dir: &Path, topic: &str, count: u64) -> u64 {
    let template = dir.join("template");
    generate::log(&template, 8 << 10, Codec::None);
    let log = fs::read(&template).unwrap();
    fs::remove_file(&template).unwrap();
    for number in 0..count {
        let partition = dir.join(format!("{topic}-{number}"));
        fs::create_dir(&partition).unwrap();
        for (name, bytes) in [
            ("00000000000000000000.log", log.as_slice()),
            ("00000000000000000000.index", &[]),
            ("00000000000000000000.timeindex", &[0; 12]),
            ("leader-epoch-checkpoint", b"0\n1\n0 0\n"),
            ("partition.metadata", b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAB9g"),
        ] {
            fs::write(partition.join(name), bytes).unwrap();
        }
    }
    let entries: String = (0..count).map(|number| format!("{topic} {number} 80\n")).collect();
    for checkpoint in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint"] {
        fs::write(dir.join(checkpoint), format!("0\n{count}\n{entries}")).unwrap();
    }
    dir_bytes(dir)
}

fn dir_bytes(dir: &Path) -> u64 {
    let of = |path: PathBuf| if path.is_dir() { dir_bytes(&path) } else { fs::metadata(path).unwrap().len() };
    files(dir).into_iter().map(of).sum()
}

/// Two log directories of a broker, and plans to bring all that is in one to the other.
struct Ways {
    dirs: [PathBuf; 2],
    plans: [PathBuf; 2],
}

impl Ways {
    fn new(root: &Path, name: &str, dirs: [PathBuf; 2]) -> Ways {
        let partitions: Vec<(String, String)> = files(&dirs[0])
            .iter()
            .filter(|path| path.is_dir())
            .map(|path| {
                let (topic, number) = path.file_name().unwrap().to_str().unwrap().rsplit_once('-').unwrap();
                (topic.to_owned(), number.to_owned())
            })
            .collect();
        let plan = |to: &Path, way: &str| {
            let one = |(topic, number): &(String, String)| {
                format!(r#"{{"topic":"{topic}","partition":{number},"replicas":[1],"log_dirs":["{}"]}}"#, to.display())
            };
            let all: Vec<String> = partitions.iter().map(one).collect();
            let file = root.join(format!("{name}-{way}.json"));
            fs::write(&file, format!(r#"{{"version":1,"partitions":[{}]}}"#, all.join(","))).unwrap();
            file
        };
        let plans = [plan(&dirs[1], "there"), plan(&dirs[0], "back")];
        Ways { dirs, plans }
    }

    /// All of it is moved, there or back; where it is copied, from the disk.
    fn go(&self, back: bool, copies: bool) -> Box<dyn Fn()> {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_logdir"));
        let (plan, from) = (self.plans[usize::from(back)].clone(), self.dirs[usize::from(back)].clone());
        let dirs = format!("{},{}", self.dirs[0].display(), self.dirs[1].display());
        Box::new(move || {
            let dirs_inside = files(&from).into_iter().filter(|path| copies && path.is_dir());
            for file in dirs_inside.flat_map(|dir| files(&dir)) {
                forget(&File::open(file).unwrap());
            }
            let mut command = Command::new(&program);
            command.args(["reassign", "execute", "-qq", "--threads", "2", "-d", &dirs, "--reassignment-json-file"]);
            let status = command.arg(&plan).stdout(Stdio::null()).status().unwrap();
            assert!(status.success());
        })
    }
}

fn main() {
    // `cargo test --benches` runs this too; it is no test.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let root = std::env::var_os("LOGDIR_BENCH_DIR").map_or_else(|| temp.path().to_owned(), PathBuf::from);
    let other = std::env::var_os("LOGDIR_BENCH_OTHER").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    let other = tempfile::tempdir_in(&other).unwrap();
    let rounds = usize::try_from(env("LOGDIR_BENCH_ROUNDS", 3)).unwrap();
    let device = |dir: &Path| fs::metadata(dir).unwrap().dev();
    if device(&root) == device(other.path()) {
        println!("{} is on the same file system: nothing is copied", other.path().display());
    }
    println!("disk: {}, memory: {}", root.display(), other.path().display());

    let mut paths: Vec<Measured> = Vec::new();
    let mut add = |name: &str, bytes: u64, limit: Option<usize>, run: Box<dyn Fn()>| {
        let name = name.to_owned();
        paths.push(Measured { name, bytes, records: 0, run, limit, aim: "", once: false, times: Vec::new() });
        paths.len() - 1
    };
    let sizes = [("large", env("LOGDIR_BENCH_MIB", 2048)), ("small", env("LOGDIR_BENCH_SMALL", 2_000))];
    for (name, size) in sizes {
        let (there, back) = (root.join(format!("{name} data")), other.path().join(format!("{name} data")));
        log_dir(&there);
        log_dir(&back);
        let bytes = if name == "small" { small(&there, "small", size) } else { large(&there, size << 20) };
        let copies = [root.join(format!("{name} copies")), other.path().join(format!("{name} copies"))];
        for copy in &copies {
            assert!(Command::new("cp").args(["-r"]).arg(&there).arg(copy).status().unwrap().success());
        }
        let ways = Ways::new(&root, name, [there, back]);
        for (way, from, to) in [("disk to memory", 0, 1), ("memory to disk", 1, 0)] {
            let (source, target) = (copies[from].clone(), [&root, other.path()][to].join("limit"));
            let (again, into) = (source.clone(), target.clone());
            let plain = Box::new(move || copy_dirs(&source, &target, false));
            let plain = add(&format!("read, write, sync: {name}, {way}"), bytes, None, plain);
            let checked = Box::new(move || copy_dirs(&again, &into, true));
            add(&format!("and CRC, read back: {name}, {way}"), bytes, Some(plain), checked);
            add(&format!("reassign execute: {name}, {way}"), bytes, Some(plain), ways.go(from == 1, true));
        }
    }
    let renamed = env("LOGDIR_BENCH_RENAMED", 10_000);
    let dirs = [root.join("renamed"), root.join("renamed there")];
    dirs.iter().for_each(|dir| log_dir(dir));
    small(&dirs[0], "renamed", renamed);
    let ways = Ways::new(&root, "renamed", dirs.clone());
    let rename = |from: &Path, to: &Path| {
        for dir in files(from).into_iter().filter(|path| path.is_dir()) {
            fs::rename(&dir, to.join(dir.file_name().unwrap())).unwrap();
        }
        [from, to].iter().for_each(|dir| File::open(dir).unwrap().sync_all().unwrap());
    };
    let [here, there] = dirs;
    let limit = Box::new(move || {
        rename(&here, &there);
        rename(&there, &here);
    });
    let limit = add("rename, sync: there and back", 0, None, limit);
    let (go, come) = (ways.go(false, false), ways.go(true, false));
    let both = Box::new(move || {
        go();
        come();
    });
    add("reassign execute: renamed there and back", 0, Some(limit), both);

    measure(&mut paths, rounds);
    report(&paths);
    for name in ["large", "small"] {
        for way in ["disk to memory", "memory to disk"] {
            let of = |path: &str| median_of(&paths, &format!("{path}: {name}, {way}"));
            let ours = of("reassign execute");
            println!(
                "{name}, {way}: {:.2} times a plain copy that is synced, {:.2} times one that is checked too",
                ours / of("read, write, sync"),
                ours / of("and CRC, read back")
            );
        }
    }
    let moved = median_of(&paths, "reassign execute: renamed");
    println!("{renamed} partitions renamed in {:.2} s", moved / 2.0);
}
