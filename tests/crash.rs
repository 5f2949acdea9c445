//! Writers that die: `logdir produce` killed at a random moment, and logs cut at every byte.
//!
//! - `LOGDIR_CRASH_KILLS=N`: so many kills in all, spread over the three `--fsync` modes (default 200).
//! - `LOGDIR_CRASH_SEED=S`: one kill again, by the seed that a failure prints, in the mode of the test that is run.
//! - `LOGDIR_CRASH_EVERY_BYTE=1`: the log is cut at every byte instead of every 13th.
//!
//! The loss of power is played in the library itself: `storage::power_loss`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use logdir::batch::builder::{BatchBuf, BatchBuilder, BatchSpec, NewRecord};
use logdir::batch::compression::Compressor;
use logdir::storage::create;
use logdir::storage::log_dir::LogDir;
use logdir::storage::recovery::{self, CutReason, LoadOptions, Loss, Plan};
use logdir::storage::writer::{Appended, Durability, LogConfig, LogWriter};
use logdir::types::{LeaderEpoch, Offset, ProducerId, TopicPartition, Uuid};

const FORMAT: &str = "%p %o %s\n";
const PARTITIONS: usize = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[derive(Debug, Default)]
struct Tally {
    kills: usize,
    ended_before: usize,
    reported: usize,
    there: usize,
    torn: usize,
    torn_by_us: usize,
    refused: usize,
    reruns: usize,
    two_at_once: usize,
    not_made: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.kills += other.kills;
        self.ended_before += other.ended_before;
        self.reported += other.reported;
        self.there += other.there;
        self.torn += other.torn;
        self.torn_by_us += other.torn_by_us;
        self.refused += other.refused;
        self.reruns += other.reruns;
        self.two_at_once += other.two_at_once;
        self.not_made += other.not_made;
    }
}

/// One kill: a directory, what was sent to it and what came back.
struct Scene {
    temp: tempfile::TempDir,
    fsync: &'static str,
    seed: u64,
    random: fastrand::Rng,
    options: Vec<String>,
    sent: BTreeSet<String>,
    reported: BTreeMap<(i32, i64), String>,
    lines: u64,
    large: bool,
}

impl Scene {
    fn new(fsync: &'static str, seed: u64) -> Scene {
        let mut random = fastrand::Rng::with_seed(seed);
        let large = random.u8(0..5) == 0;
        let (batch, segment) = if large { ("400KiB", "1MiB") } else { ("200", "1500") };
        let mut options: Vec<String> =
            ["--batch-size", batch, "--segment-bytes", segment, "--index-interval-bytes", "300", "--linger"]
                .map(str::to_owned)
                .to_vec();
        options.push(random.u8(0..3).to_string());
        if random.u8(0..4) == 0 {
            options.extend(["-z", "zstd"].map(str::to_owned));
        }
        if random.u8(0..6) == 0 {
            options.push("--preallocate".to_owned());
        }
        let temp = tempfile::tempdir().unwrap();
        Scene { temp, fsync, seed, random, options, sent: BTreeSet::new(), reported: BTreeMap::new(), lines: 0, large }
    }

    fn dir(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    fn label(&self) -> String {
        format!("LOGDIR_CRASH_SEED={} (--fsync {})", self.seed, self.fsync)
    }

    fn input(&mut self, count: usize) -> Vec<String> {
        let lines: Vec<String> = (0..count)
            .map(|_| {
                self.lines += 1;
                let more = if self.large { 60_000 } else { self.random.usize(0..60) };
                // Not all alike, or a codec makes nothing of it.
                let letters: String = if self.large {
                    (0..more / 8).map(|_| format!("{:08x}", self.random.u32(..))).collect()
                } else {
                    "x".repeat(more)
                };
                format!("{}-{} {letters}", self.seed, self.lines)
            })
            .collect();
        self.sent.extend(lines.iter().cloned());
        lines
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
        command.env_clear().args(["produce", "-t", "t", "--fsync", self.fsync, "--output-format", FORMAT, "-d"]);
        command.arg(self.dir()).args(&self.options).args(more);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A run that is let alone: exit code and stderr. What it reports counts.
    fn run(&mut self, input: &[String], more: &[&str]) -> (i32, String) {
        let run = Run::start(self.command(more), input.to_vec(), None);
        let (code, reported, stderr) = run.end();
        self.note(reported);
        (code.unwrap(), stderr)
    }

    fn note(&mut self, reported: Vec<String>) {
        for line in reported {
            let mut parts = line.splitn(3, ' ');
            let mut next = || parts.next().unwrap();
            let (partition, offset) = (next().parse().unwrap(), next().parse().unwrap());
            let before = self.reported.insert((partition, offset), next().to_owned());
            assert!(before.is_none(), "{}: offset {offset} of partition {partition} is reported twice", self.label());
        }
    }

    fn partitions(&self) -> Vec<(TopicPartition, PathBuf)> {
        let Ok(dir) = LogDir::open(&self.dir()) else { return Vec::new() };
        let names = dir.partitions().filter(|(name, _)| name.kind == logdir::storage::names::DirKind::Live);
        names.map(|(name, path)| (name.topic_partition.clone(), path.to_owned())).collect()
    }

    /// Reads everything back, by the command and as a broker recovers: what was reported is there, nothing twice,
    /// no offset missing. Returns what recovery would cut.
    fn verify(&self, when: &str) -> Vec<(i32, Loss)> {
        let label = format!("{}, {when}", self.label());
        let dir = self.dir();
        let opened = LogDir::open(&dir).unwrap();
        assert!(opened.notices().is_empty(), "{label}: a broker would not start: {:?}", opened.notices());
        let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
        let mut found: BTreeMap<(i32, i64), String> = BTreeMap::new();
        let mut values = BTreeSet::new();
        if !self.partitions().is_empty() {
            let output = Command::new(env!("CARGO_BIN_EXE_logdir"))
                .env_clear()
                .args(["consume", "-t", "t", "-f", FORMAT, "-d"])
                .arg(&dir)
                .output()
                .unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{label}: {stderr}");
            for line in String::from_utf8(output.stdout).unwrap().lines() {
                let parts: Vec<&str> = line.splitn(3, ' ').collect();
                let (partition, offset) = (parts[0].parse::<i32>().unwrap(), parts[1].parse::<i64>().unwrap());
                let end = ends.entry(partition).or_default();
                assert_eq!(offset, *end, "{label}: partition {partition} goes on at a wrong offset");
                *end += 1;
                assert!(self.sent.contains(parts[2]), "{label}: {partition}@{offset} was never sent");
                assert!(values.insert(parts[2].to_owned()), "{label}: {partition}@{offset} is there twice");
                found.insert((partition, offset), parts[2].to_owned());
            }
        }
        for (at, value) in &self.reported {
            assert!(found.get(at) == Some(value), "{label}: {at:?} was reported and is not there");
        }
        let mut losses = Vec::new();
        for (partition, path) in self.partitions() {
            let number = partition.partition;
            let end = ends.get(&number).copied().unwrap_or(0);
            let plan = self.plan(&opened, &partition, &path, opened.clean_shutdown().is_some());
            assert_eq!(plan.log_end.get(), end, "{label}: partition {number} as a broker takes it");
            if opened.clean_shutdown().is_some() {
                self.assert_clean(&opened, &partition, &path, &label);
            }
            losses.extend(plan.losses.into_iter().map(|loss| (number, loss)));
        }
        losses
    }

    fn plan(&self, opened: &LogDir, partition: &TopicPartition, path: &Path, clean: bool) -> Plan {
        let name = logdir::storage::names::PartitionDirName::live(partition.clone());
        let stored = opened.checkpoints(&name);
        let options = LoadOptions {
            clean,
            recovery_point: stored.recovery_point.unwrap_or(Offset::ZERO),
            log_start: stored.log_start.unwrap_or(Offset::ZERO),
            now_ms: 0,
            config: LogConfig { index_interval_bytes: 300, ..LogConfig::default() },
        };
        recovery::plan(path, &options)
            .unwrap_or_else(|error| panic!("{}: a broker would not start: {error}", self.label()))
    }

    /// A log in a directory that is marked clean: a recovery of all of it finds nothing to do.
    fn assert_clean(&self, opened: &LogDir, partition: &TopicPartition, path: &Path, label: &str) {
        let trusted = self.plan(opened, partition, path, true);
        let but_snapshots = |plan: &Plan| -> Vec<String> {
            // A snapshot that no segment starts at is removed whenever a log is opened.
            plan.describe().into_iter().filter(|change| !change.contains(".snapshot")).collect()
        };
        let others = but_snapshots(&trusted);
        assert!(others.is_empty(), "{label}: marked clean, and a broker changes {others:?}");
        let options = LoadOptions {
            clean: false,
            recovery_point: Offset::ZERO,
            log_start: Offset::ZERO,
            now_ms: 0,
            config: LogConfig { index_interval_bytes: 300, ..LogConfig::default() },
        };
        let full = recovery::plan(path, &options).unwrap();
        assert!(full.losses.is_empty(), "{label}: marked clean, and damaged: {:?}", full.losses);
        assert_eq!((full.log_start, full.log_end), (trusted.log_start, trusted.log_end), "{label}");
        assert_eq!(full.epochs, trusted.epochs, "{label}");
        // Entries are counted anew whenever a segment is opened, also by a broker: others are as good.
        let others = but_snapshots(&full).into_iter().filter(|change| !change.contains("index")).collect::<Vec<_>>();
        for (base, _) in &full.segments {
            indexes_are_true(path, *base, label);
        }
        assert!(others.is_empty(), "{label}: marked clean, and a recovery changes {others:?}");
    }

    /// A run that is killed; with `beside`, two at once.
    fn kill(&mut self, more: &[&str], input: &[String], beside: bool, tally: &mut Tally) {
        let (first, second) = if beside { input.split_at(input.len() / 2) } else { (input, &input[..0]) };
        let lines = self.random.bool().then(|| self.random.usize(1..input.len()));
        let limit = Duration::from_micros(self.random.u64(0..60_000));
        let mut runs = vec![Run::start(self.command(more), first.to_vec(), lines)];
        if beside {
            // Who makes the topic is first, and partition 0 the last it makes; a second one that comes too early is
            // refused, which is not the point.
            if more.contains(&"--create") {
                let made = self.dir().join("t-0");
                let started = Instant::now();
                while !made.is_dir() && started.elapsed() < Duration::from_secs(20) {
                    std::thread::sleep(Duration::from_micros(500));
                }
            }
            runs.push(Run::start(self.command(&[]), second.to_vec(), None));
        }
        runs[0].wait_for_moment(if lines.is_some() { Duration::from_secs(20) } else { limit });
        if beside && self.random.bool() {
            // The other one goes on, takes turns with a dead one, and ends.
            let killed = runs.remove(0);
            self.note(killed.kill(tally));
            let (code, reported, stderr) = runs.remove(0).end();
            let code = code.unwrap();
            // A torn tail that the dead one left is not cut without being asked.
            assert!(code == 0 || (code == 4 && stderr.contains("removes data")), "{}: {code}: {stderr}", self.label());
            self.note(reported);
        } else {
            for run in runs {
                self.note(run.kill(tally));
            }
        }
    }

    /// Half a batch behind the last one, as an append leaves it that was killed in the middle.
    fn tear(&mut self) -> bool {
        let candidates = self.partitions();
        let Some((partition, path)) = self.random.choice(&candidates) else { return false };
        let next = self.plan(&LogDir::open(&self.dir()).unwrap(), partition, path, false).log_end;
        let mut logs: Vec<PathBuf> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        logs.sort();
        let mut first = std::fs::read(&logs[0]).unwrap();
        let last = logs.last().unwrap();
        let already =
            self.verify("before the tear").iter().any(|(_, loss)| matches!(loss, Loss::Cut { log, .. } if log == last));
        if first.len() < 80 || already || self.options.iter().any(|option| option == "--preallocate") {
            return false;
        }
        let len = usize::try_from(u32::from_be_bytes(first[8..12].try_into().unwrap())).unwrap() + 12;
        first[..8].copy_from_slice(&next.get().to_be_bytes());
        let half = self.random.usize(12..len.min(first.len()));
        std::fs::OpenOptions::new().append(true).open(last).unwrap().write_all(&first[..half]).unwrap();
        // Nothing that still says that it is clean is what a kill in the middle of an append leaves.
        let _ = std::fs::remove_file(self.dir().join(".kafka_cleanshutdown"));
        true
    }

    /// Every file but the two that a session may touch before it refuses.
    fn state(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut state = BTreeMap::new();
        let mut dirs = vec![self.dir()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if !path.ends_with(".lock") && !path.ends_with(".kafka_cleanshutdown.logdir") {
                    state.insert(path.clone(), std::fs::read(&path).unwrap());
                }
            }
        }
        state
    }
}

/// A running `logdir produce`, with threads that feed and read it.
struct Run {
    child: Child,
    feeding: JoinHandle<()>,
    reading: JoinHandle<Vec<String>>,
    complaining: JoinHandle<String>,
    moment: Receiver<()>,
}

impl Run {
    /// Starts it; the moment has come when `lines` lines were reported, or all was.
    fn start(mut command: Command, input: Vec<String>, lines: Option<usize>) -> Run {
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feeding = std::thread::spawn(move || {
            for (number, line) in input.iter().enumerate() {
                // A reader that was killed reads no more.
                if stdin.write_all(format!("{line}\n").as_bytes()).is_err() {
                    return;
                }
                if number % 16 == 15 {
                    std::thread::sleep(Duration::from_micros(300));
                }
            }
        });
        let (send, moment) = channel();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let reading = std::thread::spawn(move || {
            let mut reported = Vec::new();
            let mut line = String::new();
            while stdout.read_line(&mut line).unwrap() > 0 {
                // A line without its end was not yet reported.
                if line.ends_with('\n') {
                    reported.push(line.trim_end_matches('\n').to_owned());
                }
                line.clear();
                if lines == Some(reported.len()) {
                    let _ = send.send(());
                }
            }
            let _ = send.send(());
            reported
        });
        let mut stderr = child.stderr.take().unwrap();
        let complaining = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Run { child, feeding, reading, complaining, moment }
    }

    fn wait_for_moment(&mut self, limit: Duration) {
        let _ = self.moment.recv_timeout(limit);
    }

    /// Exit code, the lines reported, stderr.
    fn end(mut self) -> (Option<i32>, Vec<String>, String) {
        self.feeding.join().unwrap();
        let reported = self.reading.join().unwrap();
        let stderr = self.complaining.join().unwrap();
        (self.child.wait().unwrap().code(), reported, stderr)
    }

    fn kill(mut self, tally: &mut Tally) -> Vec<String> {
        self.child.kill().unwrap();
        let (code, reported, stderr) = self.end();
        match code {
            None => tally.kills += 1,
            Some(0) => tally.ended_before += 1,
            Some(code) => panic!("{code}: {stderr}"),
        }
        tally.reported += reported.len();
        reported
    }
}

fn one(fsync: &'static str, seed: u64, tally: &mut Tally) {
    let mut scene = Scene::new(fsync, seed);
    let label = scene.label();
    let create = PARTITIONS.to_string();
    let makes = scene.random.u8(0..3) == 0;
    let state = scene.random.u8(0..3) == 0;
    let beside = !state && scene.random.u8(0..3) == 0;
    if !makes {
        // Two runs in good order: the directory is clean, unless no one waited for the disk.
        let input = scene.input(if scene.large { 4 } else { 40 });
        for (half, more) in input.chunks(input.len() / 2).zip([&["--create", &create][..], &[]]) {
            let (code, stderr) = scene.run(half, more);
            assert_eq!(code, 0, "{label}: {stderr}");
            scene.verify("in good order");
            let marked = scene.dir().join(".kafka_cleanshutdown").exists();
            assert_eq!(marked, fsync != "never", "{label}: the marker");
        }
    }
    if !makes && scene.random.u8(0..3) == 0 {
        // Two at once, both in good order: they took turns, and the last one says that all is well.
        let input = scene.input(if scene.large { 6 } else { 200 });
        let runs: Vec<Run> =
            input.chunks(input.len() / 2).map(|half| Run::start(scene.command(&[]), half.to_vec(), None)).collect();
        for run in runs {
            let (code, reported, stderr) = run.end();
            assert_eq!(code, Some(0), "{label}: {stderr}");
            scene.note(reported);
        }
        scene.verify("after two in good order");
        assert_eq!(scene.dir().join(".kafka_cleanshutdown").exists(), fsync != "never", "{label}: the marker");
    }
    let state_file = scene.temp.path().join("state");
    let mut more = if makes { vec!["--create", &create] } else { Vec::new() };
    match (state, scene.random.bool()) {
        (true, _) => more.extend(["--state", state_file.to_str().unwrap()]),
        (false, true) => more.push("--idempotent"),
        (false, false) => {}
    }
    let count = if scene.large { scene.random.usize(4..24) } else { scene.random.usize(20..400) };
    let input = scene.input(count);
    tally.two_at_once += usize::from(beside);
    scene.kill(&more, &input, beside, tally);
    if !scene.dir().exists() {
        tally.not_made += 1;
        return;
    }
    if scene.random.u8(0..3) == 0 && scene.tear() {
        tally.torn_by_us += 1;
    }
    let losses = scene.verify("after the kill");
    for (_, loss) in &losses {
        assert!(matches!(loss, Loss::Cut { why: CutReason::Torn { .. }, .. }), "{label}: {loss:?}");
    }
    let mut cut: &[&str] = &[];
    if let Some((partition, _)) = losses.first() {
        tally.torn += losses.len();
        let before = scene.state();
        let partition = partition.to_string();
        let line = scene.input(1);
        let (code, stderr) = scene.run(&line, &["-p", &partition]);
        assert_eq!(code, 4, "{label}: {stderr}");
        assert!(before == scene.state(), "{label}: refused, and changed something");
        tally.refused += 1;
        cut = &["--allow-truncate"];
    }
    tally.not_made += usize::from(scene.partitions().is_empty());
    let again = if state {
        tally.reruns += 1;
        let mut rerun: Vec<&str> = vec!["--create", &create, "--state", state_file.to_str().unwrap()];
        rerun.extend(cut);
        let (code, stderr) = scene.run(&input, &rerun);
        assert_eq!(code, 0, "{label}: {stderr}");
        input
    } else {
        let lines = scene.input(if scene.large { 3 } else { 20 });
        let (code, stderr) = scene.run(&lines, &[&["--create", &create], cut].concat());
        assert_eq!(code, 0, "{label}: {stderr}");
        lines
    };
    let left = scene.verify("after the next run");
    assert!(left.iter().all(|(_, loss)| !matches!(loss, Loss::Segment { .. })), "{label}: {left:?}");
    // Nothing of the input is missing, and `verify` found nothing twice.
    let output = Command::new(env!("CARGO_BIN_EXE_logdir"))
        .env_clear()
        .args(["consume", "-t", "t", "-f", "%s\n", "-d"])
        .arg(scene.dir())
        .output()
        .unwrap();
    let there: BTreeSet<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    tally.there += there.len();
    for line in &again {
        assert!(there.contains(line), "{label}: a record of the input is missing after the rerun");
    }
}

/// Several at a time: most of the time goes by in waiting for the disk.
const AT_A_TIME: u64 = 3;

fn kills(fsync: &'static str, share: u64) {
    let mut tally = Tally::default();
    match number("LOGDIR_CRASH_SEED") {
        Some(seed) => one(fsync, seed, &mut tally),
        None => {
            let kills = (number("LOGDIR_CRASH_KILLS").unwrap_or(200) + share) / 3;
            let start = fastrand::u64(..1 << 40);
            println!("--fsync {fsync}: seeds from {start}");
            let some = |worker: u64| {
                let mut tally = Tally::default();
                let mut seeds = (start + worker..).step_by(usize::try_from(AT_A_TIME).unwrap());
                // One that ended before it was killed does not count.
                while (tally.kills as u64) < (kills + worker) / AT_A_TIME {
                    one(fsync, seeds.next().unwrap(), &mut tally);
                }
                tally
            };
            std::thread::scope(|scope| {
                let workers: Vec<_> = (0..AT_A_TIME).map(|worker| scope.spawn(move || some(worker))).collect();
                for worker in workers {
                    match worker.join() {
                        Ok(done) => tally += done,
                        Err(panic) => std::panic::resume_unwind(panic),
                    }
                }
            });
        }
    }
    println!("--fsync {fsync}: {tally:?}");
}

#[test]
fn killed_with_fsync_end() {
    kills("end", 0);
}

#[test]
fn killed_with_fsync_batch() {
    kills("batch", 1);
}

#[test]
fn killed_with_fsync_never() {
    kills("never", 2);
}

/// Entries of a segment's indexes name batches that are there, and the last time entry the largest timestamp.
fn indexes_are_true(dir: &Path, base: Offset, label: &str) {
    let name = |extension: &str| dir.join(format!("{:020}.{extension}", base.get()));
    let log = std::fs::read(name("log")).unwrap();
    let mut start = 0;
    let mut by_position = BTreeMap::new();
    let mut largest_by_last = BTreeMap::new();
    let mut largest = -1;
    for (end, next) in batches_of(&log) {
        let timestamp = i64::from_be_bytes(log[start + 35..start + 43].try_into().unwrap());
        largest = largest.max(timestamp);
        by_position.insert(start, next - 1);
        largest_by_last.insert(next - 1, timestamp);
        start = usize::try_from(end).unwrap();
    }
    let field = |bytes: &[u8]| i64::from(u32::from_be_bytes(bytes.try_into().unwrap()));
    for entry in std::fs::read(name("index")).unwrap().chunks_exact(8) {
        let (offset, position) = (base.get() + field(&entry[..4]), usize::try_from(field(&entry[4..])).unwrap());
        assert_eq!(by_position.get(&position), Some(&offset), "{label}: {}", name("index").display());
    }
    let mut last = -1;
    for entry in std::fs::read(name("timeindex")).unwrap().chunks_exact(12) {
        let (timestamp, offset) = (i64::from_be_bytes(entry[..8].try_into().unwrap()), base.get() + field(&entry[8..]));
        assert_eq!(largest_by_last.get(&offset), Some(&timestamp), "{label}: {}", name("timeindex").display());
        last = timestamp;
    }
    assert_eq!(last, largest, "{label}: {}", name("timeindex").display());
}

const CUT_BYTES: u64 = 64 << 10;

fn batch(producer: ProducerId, sequence: i32, first: i64, records: usize, random: &mut fastrand::Rng) -> BatchBuf {
    let is_idempotent = producer != ProducerId::NONE;
    let mut builder = BatchBuilder::new(BatchSpec {
        base_offset: Offset::new(first),
        producer_id: producer,
        producer_epoch: if is_idempotent { 0 } else { -1 },
        base_sequence: if is_idempotent { sequence } else { -1 },
        ..BatchSpec::default()
    });
    for _ in 0..records {
        let value = vec![b'v'; random.usize(0..300)];
        builder.push(&NewRecord { timestamp_ms: 1_000 + first, value: Some(&value), ..NewRecord::default() }).unwrap();
    }
    builder.seal(&mut Compressor::default()).unwrap()
}

/// Where each batch of the active segment ends, and the offset that follows it.
fn batches_of(log: &[u8]) -> Vec<(u64, i64)> {
    let mut ends = Vec::new();
    let mut at = 0;
    while at < log.len() {
        let field = |from: usize| i32::from_be_bytes(log[at + from..at + from + 4].try_into().unwrap());
        let base = i64::from_be_bytes(log[at..at + 8].try_into().unwrap());
        let next = base + i64::from(field(23)) + 1;
        at += 12 + usize::try_from(field(8)).unwrap();
        ends.push((at as u64, next));
    }
    ends
}

#[test]
fn a_log_cut_at_any_byte_ends_with_its_last_whole_batch() {
    let mut random = fastrand::Rng::with_seed(5);
    let temp = tempfile::tempdir().unwrap();
    let dir = create::partition(temp.path(), &TopicPartition::new("t", 0), Uuid([4; 16])).unwrap();
    // Whole segments, and one that is larger than what is cut.
    let config = LogConfig { segment_bytes: 90_000, index_interval_bytes: 1_000, ..LogConfig::default() };
    let load = |clean| LoadOptions { clean, recovery_point: Offset::ZERO, log_start: Offset::ZERO, now_ms: 0, config };
    let mut log = LogWriter::open(recovery::plan(&dir, &load(true)).unwrap(), config, Durability::Synced, 0).unwrap();
    let mut sequences = [0; 4];
    while log.segments().len() < 4 || log.active().size_bytes() < CUT_BYTES + 10_000 {
        let producer = random.usize(0..4);
        let records = random.usize(1..8);
        let id = if producer == 0 { ProducerId::NONE } else { ProducerId(producer as i64) };
        let end = log.log_end().get();
        let mut batch = batch(id, sequences[producer], end, records, &mut random);
        let appended = if random.u8(0..40) == 0 {
            let epoch = log.leader_epoch().0 + 1;
            batch.assign(Offset::new(end), LeaderEpoch(epoch));
            log.append_as_follower(batch.bytes(), 1_000).unwrap()
        } else {
            let epoch = log.leader_epoch();
            log.append_as_leader(&mut batch, epoch, 1_000).unwrap()
        };
        assert!(matches!(appended, Appended::Stored { .. }), "{appended:?}");
        sequences[producer] += i32::try_from(records).unwrap();
    }
    // As after a kill: with the kernel, and not closed.
    log.write_out().unwrap();
    let (active, base, segments) = (log.active().path().to_owned(), log.active().base(), log.segments());
    let epochs = log.epochs().entries().len();
    drop(log);
    let bytes = std::fs::read(&active).unwrap();
    let ends = batches_of(&bytes);
    let len = bytes.len() as u64;
    assert_eq!(ends.last().unwrap().0, len);
    let file = std::fs::OpenOptions::new().write(true).open(&active).unwrap();
    let every = number("LOGDIR_CRASH_EVERY_BYTE").is_some();
    // The active segment alone, as with a recovery point at its base; with none, all of them, a few times.
    let from_base = LoadOptions { recovery_point: base, ..load(false) };
    let (mut cuts, mut reopened) = (0, 0);
    for cut in (len - CUT_BYTES..=len).rev() {
        file.set_len(cut).unwrap();
        if !(every || cut % 13 == 0 || cut + 1_500 > len) {
            continue;
        }
        cuts += 1;
        let (end, next) = ends.iter().rev().find(|(end, _)| *end <= cut).copied().unwrap();
        let options = if cut % 1_009 == 0 { load(false) } else { from_base };
        let plan = recovery::plan(&dir, &options).unwrap();
        assert_eq!(plan.log_end.get(), next, "cut at {cut}");
        let expected: Vec<(Offset, u64)> =
            segments.iter().map(|(at, size)| (*at, if *at == base { end } else { *size })).collect();
        assert_eq!(plan.segments, expected, "cut at {cut}");
        let torn = &bytes[usize::try_from(end).unwrap()..usize::try_from(cut).unwrap()];
        match &plan.losses[..] {
            // What has only zeros of the next offset in it is taken for padding.
            [] => assert!(torn.iter().all(|byte| *byte == 0), "cut at {cut}"),
            [Loss::Cut { position, bytes, why: CutReason::Torn { .. }, next_offset, .. }] => {
                assert_eq!((position.get(), *bytes, next_offset.get()), (end, cut - end, next), "cut at {cut}");
            }
            losses => panic!("cut at {cut}: {losses:?}"),
        }
        assert!(plan.epochs.entries().len() <= epochs, "cut at {cut}");
        if cuts % 200 == 0 {
            reopened += 1;
            reopen(&dir, &options, config, next, &mut random);
        }
    }
    println!("{cuts} cuts of {len} bytes, {reopened} reopened");
    assert!(reopened > 10);
}

/// On a copy: the recovery is made, something appended, the log closed; a broker's clean and unclean start agree.
fn reopen(dir: &Path, options: &LoadOptions, config: LogConfig, end: i64, random: &mut fastrand::Rng) {
    let temp = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), temp.path().join(entry.file_name())).unwrap();
    }
    let plan = recovery::plan(temp.path(), options).unwrap();
    plan.apply().unwrap();
    let mut log = LogWriter::open(plan, config, Durability::Synced, 0).unwrap();
    let mut batch = batch(ProducerId::NONE, 0, 0, 3, random);
    let epoch = log.leader_epoch();
    let appended = log.append_as_leader(&mut batch, epoch, 1_000).unwrap();
    assert_eq!(appended, Appended::Stored { first: Offset::new(end), last: Offset::new(end + 2) });
    log.close().unwrap();
    for clean in [true, false] {
        let load = LoadOptions { clean, recovery_point: Offset::ZERO, log_start: Offset::ZERO, now_ms: 0, config };
        let plan = recovery::plan(temp.path(), &load).unwrap();
        assert_eq!((plan.log_end.get(), plan.losses.len()), (end + 3, 0), "clean: {clean}");
    }
}
