//! Processes of one group that are killed, stopped and ended at random while they read: what is delivered, in which order, and
//! what is committed.
//!
//! `LOGDIR_CHAOS_SECONDS` and `LOGDIR_CHAOS_RECORDS` (of each of six partitions) say how long and how much; a thorough run is
//! `LOGDIR_CHAOS_SECONDS=60 LOGDIR_CHAOS_RECORDS=100000`. `LOGDIR_CHAOS_SEED` chooses what happens to whom.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/chance.rs"]
mod chance;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chance::{Chance, number};
use rustix::process::{Pid, Signal, kill_process};

const PARTITIONS: usize = 6;
const KEYS: usize = 16;
const PROCESSES: usize = 5;
const FORMAT: &str = "record %p %o %k %s\\n";

fn millis(chance: &mut Chance, from: u64, to: u64) -> Duration {
    Duration::from_millis(from + chance.below(to - from))
}

fn logdir(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    command.current_dir(dir).args(args);
    command
}

fn must(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A log directory with six partitions of `count` records; every key has its own count of them.
fn made(count: u64) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    std::fs::create_dir(dir.join("data")).unwrap();
    must(&mut logdir(dir, &["topics", "create", "t", "--partitions", "6", "-d", "data"]));
    must(&mut logdir(dir, &["topics", "create", "__consumer_offsets", "--partitions", "3", "-d", "data"]));
    for partition in 0..PARTITIONS {
        let mut lines = Vec::new();
        for number in 0..count {
            let (key, sequence) = (number % KEYS as u64, number / KEYS as u64);
            writeln!(lines, "{partition}k{key}:{sequence}").unwrap();
        }
        std::fs::write(dir.join("input"), lines).unwrap();
        let number = partition.to_string();
        must(&mut logdir(dir, &["produce", "-d", "data", "-t", "t", "-p", &number, "-K", ":", "-l", "input", "-q"]));
    }
    temp
}

/// A process of the group, and the file it writes everything to.
struct Member {
    child: Child,
    is_stopped: bool,
    resume_at: Option<Instant>,
}

struct Group {
    dir: PathBuf,
    args: Vec<String>,
    members: Vec<Member>,
    outputs: usize,
}

impl Group {
    fn start(&mut self) {
        let out = File::create(self.dir.join(format!("out-{}", self.outputs))).unwrap();
        self.outputs += 1;
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let child =
            logdir(&self.dir, &args).stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        self.members.push(Member { child, is_stopped: false, resume_at: None });
    }

    fn signal(&mut self, number: usize, signal: Signal) {
        let id = i32::try_from(self.members[number].child.id()).unwrap();
        let _ = kill_process(Pid::from_raw(id).unwrap(), signal);
    }

    /// Lets those go on whose time has come, and takes leave of those that ended.
    fn look(&mut self, all: bool) {
        for number in 0..self.members.len() {
            let is_due = self.members[number].resume_at.is_some_and(|at| all || at <= Instant::now());
            if is_due {
                self.members[number].resume_at = None;
                self.members[number].is_stopped = false;
                self.signal(number, Signal::CONT);
            }
        }
        self.members.retain_mut(|member| match member.child.try_wait().unwrap() {
            Some(status) => {
                // Ended by us: killed, or interrupted.
                assert!(status.code().is_none_or(|code| code == 130), "a member ended with {status}");
                false
            }
            None => true,
        });
    }
}

/// What happened to a record: who printed it, and in which generation of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Delivered {
    output: usize,
    generation: i64,
    line: usize,
}

/// What all processes printed.
#[derive(Default)]
struct Ledger {
    records: HashMap<(usize, u64), Vec<Delivered>>,
    /// By generation and partition: who read it.
    owners: BTreeMap<(i64, usize), BTreeSet<usize>>,
    /// The last record of a partition that an output has, in a generation.
    last: HashMap<(usize, i64, usize), u64>,
    generations: BTreeSet<i64>,
    refused: usize,
    lost: usize,
}

impl Ledger {
    fn read(dir: &Path, outputs: usize) -> Ledger {
        let mut ledger = Ledger::default();
        for output in 0..outputs {
            let text = std::fs::read_to_string(dir.join(format!("out-{output}"))).unwrap();
            let mut generation = -1;
            let mut keys: HashMap<String, u64> = HashMap::new();
            // What is behind the last line's end was cut by a kill.
            let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
            for (number, line) in whole.lines().enumerate() {
                if let Some(rest) = line.strip_prefix("generation ") {
                    let next: i64 = rest.split(' ').next().unwrap().parse().unwrap();
                    assert!(next > generation, "out-{output}: generation {next} after {generation}");
                    generation = next;
                    ledger.generations.insert(generation);
                    keys.clear();
                } else if let Some(rest) = line.strip_prefix("record ") {
                    let words: Vec<&str> = rest.split(' ').collect();
                    let [partition, offset, key, sequence] = words[..] else { panic!("out-{output}: {line}") };
                    let (partition, offset): (usize, u64) = (partition.parse().unwrap(), offset.parse().unwrap());
                    let sequence: u64 = sequence.parse().unwrap();
                    assert!(generation >= 0, "out-{output}: a record before the first generation");
                    let before = keys.insert(key.to_owned(), sequence);
                    assert!(before.is_none_or(|before| before < sequence), "out-{output}: {line} after {before:?}");
                    ledger.owners.entry((generation, partition)).or_default().insert(output);
                    ledger.last.insert((output, generation, partition), offset);
                    let delivered = Delivered { output, generation, line: number };
                    ledger.records.entry((partition, offset)).or_default().push(delivered);
                } else if line.starts_with("not committed") {
                    ledger.refused += 1;
                } else if line.contains("joining again") {
                    // What it had was lost; it has a new start with its next generation.
                    ledger.lost += 1;
                } else {
                    assert!(!line.starts_with("error") && !line.contains("panicked"), "out-{output}: {line}");
                }
            }
        }
        ledger
    }
}

/// Offsets of `t` that the group committed, in the order of its log.
fn commits(dir: &Path) -> Vec<(usize, u64)> {
    let args = ["consume", "-d", "data", "-t", "__consumer_offsets", "--decode", "--output", "json"];
    let text = must(&mut logdir(dir, &args));
    let mut commits = Vec::new();
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let decoded = &row["decoded"];
        let (key, value) = (&decoded["key"], &decoded["value"]);
        if let (Some(partition), Some(offset)) = (key["partition"].as_u64(), value["offset"].as_u64()) {
            commits.push((usize::try_from(partition).unwrap(), offset));
        }
    }
    commits
}

fn chaos(assignor: &str, per_record: bool) {
    let seconds = number("LOGDIR_CHAOS_SECONDS", 5);
    let count = number("LOGDIR_CHAOS_RECORDS", 10_000);
    let seed = number("LOGDIR_CHAOS_SEED", 1);
    let mut chance = Chance::of(seed * 100 + assignor.len() as u64 * 2 + u64::from(per_record));
    let temp = made(if per_record { count } else { 0 });
    let dir = temp.path();
    let mut args: Vec<String> =
        ["consume", "-d", "data", "-t", "t", "-G", "chaos", "-v", "-f", FORMAT, "--assignor", assignor]
            .map(str::to_owned)
            .to_vec();
    let mut drain_args = args.clone();
    args.extend(["--follow", "--session-timeout", "1s"].map(str::to_owned));
    if per_record {
        args.extend(["--commit-records", "1"].map(str::to_owned));
    } else {
        args.extend(["--commit-interval", "200ms"].map(str::to_owned));
    }
    let mut group = Group { dir: dir.to_owned(), args, members: Vec::new(), outputs: 0 };
    // Without a commit per record the reading would be over at once: the records come while it goes on.
    let feeder = (!per_record).then(|| {
        let dir = dir.to_owned();
        std::thread::spawn(move || {
            let rounds = seconds * 5;
            for round in 0..rounds {
                let begun = Instant::now();
                let (from, to) = (count * round / rounds, count * (round + 1) / rounds);
                let mut lines = Vec::new();
                for number in from..to {
                    for partition in 0..PARTITIONS {
                        writeln!(lines, "{partition}\t{partition}k{}:{}", number % KEYS as u64, number / KEYS as u64)
                            .unwrap();
                    }
                }
                std::fs::write(dir.join("feed"), lines).unwrap();
                must(&mut logdir(&dir, &["produce", "-d", "data", "-t", "t", "-f", "%p\t%k:%s\n", "-l", "feed", "-q"]));
                std::thread::sleep(Duration::from_millis(200).saturating_sub(begun.elapsed()));
            }
        })
    });
    let (mut kills, mut stops, mut leaves) = (0, 0, 0);
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        while group.members.len() < PROCESSES {
            group.start();
        }
        std::thread::sleep(millis(&mut chance, 20, 200));
        group.look(false);
        let running: Vec<usize> = (0..group.members.len()).filter(|it| !group.members[*it].is_stopped).collect();
        let Some(&chosen) = running.get(usize::try_from(chance.below(running.len().max(1) as u64)).unwrap()) else {
            continue;
        };
        match chance.below(10) {
            0..5 => {
                kills += 1;
                group.signal(chosen, Signal::KILL);
                let _ = group.members[chosen].child.wait();
            }
            5..8 if running.len() > 1 => {
                stops += 1;
                group.signal(chosen, Signal::STOP);
                group.members[chosen].is_stopped = true;
                // Shorter and longer than the session timeout.
                group.members[chosen].resume_at = Some(Instant::now() + millis(&mut chance, 50, 2_500));
            }
            _ => {
                leaves += 1;
                group.signal(chosen, Signal::TERM);
            }
        }
        group.look(false);
    }
    if let Some(feeder) = feeder {
        feeder.join().unwrap();
    }
    group.look(true);
    for number in 0..group.members.len() {
        group.signal(number, Signal::TERM);
    }
    let patience = Instant::now() + Duration::from_secs(60);
    while !group.members.is_empty() {
        assert!(Instant::now() < patience, "a member does not end");
        std::thread::sleep(Duration::from_millis(10));
        group.look(true);
    }
    let during: u64 = {
        let ledger = Ledger::read(dir, group.outputs);
        ledger.records.len() as u64
    };
    // What is left is read in peace.
    drain_args.push("--session-timeout".to_owned());
    drain_args.push("1s".to_owned());
    group.args = drain_args;
    group.start();
    let status = group.members[0].child.wait().unwrap();
    assert!(status.success(), "{status}");

    let ledger = Ledger::read(dir, group.outputs);
    let all: Vec<(usize, u64)> =
        (0..PARTITIONS).flat_map(|partition| (0..count).map(move |it| (partition, it))).collect();
    let missing: Vec<_> = all.iter().filter(|it| !ledger.records.contains_key(*it)).take(5).collect();
    assert!(missing.is_empty(), "never delivered: {missing:?} ...");
    assert_eq!(ledger.records.len(), all.len(), "more than there is");
    for ((generation, partition), owners) in &ledger.owners {
        assert_eq!(owners.len(), 1, "generation {generation}: t-{partition} was read by {owners:?}");
    }
    let repeated: usize = ledger.records.values().map(|it| it.len() - 1).sum();
    if per_record {
        // Only what was in flight: the last record that somebody printed before it was out.
        for ((partition, offset), delivered) in ledger.records.iter().filter(|(_, it)| it.len() > 1) {
            for (number, it) in delivered.iter().enumerate() {
                let is_last = ledger.last[&(it.output, it.generation, *partition)] == *offset;
                let later = delivered.iter().filter(|other| other.generation > it.generation).count();
                assert!(is_last || later == 0, "t-{partition} offset {offset}, delivery {number}: {delivered:?}");
            }
        }
        assert!(repeated <= kills + stops + ledger.refused, "{repeated} repeated");
    }
    let mut committed = [0; PARTITIONS];
    let commits = commits(dir);
    for (partition, offset) in &commits {
        assert!(committed[*partition] <= *offset, "t-{partition}: {offset} committed after {}", committed[*partition]);
        committed[*partition] = *offset;
    }
    assert_eq!(committed, [count; PARTITIONS]);
    eprintln!(
        "{assignor}{}: {} records ({during} of them meanwhile), {repeated} repeated; {kills} killed, {stops} stopped, {leaves} left, \
         {} generations, {} put out, {} commits refused, {} offsets committed",
        if per_record { ", a commit per record" } else { "" },
        all.len(),
        ledger.generations.len(),
        ledger.lost,
        ledger.refused,
        commits.len(),
    );
}

#[test]
fn range() {
    chaos("range", false);
    chaos("range", true);
}

#[test]
fn round_robin() {
    chaos("roundrobin", false);
    chaos("roundrobin", true);
}

#[test]
fn sticky() {
    chaos("sticky", false);
    chaos("sticky", true);
}

#[test]
fn cooperative_sticky() {
    chaos("cooperative-sticky", false);
    chaos("cooperative-sticky", true);
}

/// Sixteen keys, eight workers that take their time, and a consumer that is killed again and again.
#[test]
fn workers_keep_the_order_of_keys_and_skip_nothing() {
    let count = 60 * KEYS as u64;
    let temp = made(count / 4);
    let dir = temp.path();
    let mut chance = Chance::of(number("LOGDIR_CHAOS_SEED", 1));
    // What a worker says it has done is in the file by then; how long it takes is up to the record.
    let script = "while read -r key sequence; do case $sequence in *3|*7) sleep 0.02;; *5) sleep 0.005;; esac; \
                  echo \"$RUN $key $sequence\" >> done; echo ok; done";
    let args = ["consume", "-d", "data", "-t", "t", "-G", "work", "--workers", "8", "--ack", "line", "--exec", script];
    let args = [&args[..], &["-f", "%k %s\\n", "--commit-records", "20", "--commit-interval", "50ms", "-q"]].concat();
    let mut kills = 0;
    for run in 0.. {
        let mut child = logdir(dir, &args).env("RUN", run.to_string()).stdin(Stdio::null()).spawn().unwrap();
        let patience = Instant::now() + if kills < 8 { millis(&mut chance, 50, 400) } else { Duration::from_secs(120) };
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() >= patience {
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        if let Some(status) = ended {
            assert!(status.success(), "{status}");
            break;
        }
        assert!(kills < 8, "it does not end");
        kills += 1;
        child.kill().unwrap();
        child.wait().unwrap();
        // Its workers end with what they have: they are not the next one's.
        std::thread::sleep(Duration::from_millis(100));
    }
    let text = std::fs::read_to_string(dir.join("done")).unwrap();
    let mut by_run: HashMap<(u64, &str), u64> = HashMap::new();
    let mut furthest: HashMap<&str, u64> = HashMap::new();
    let mut lines = 0usize;
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (run, key, sequence): (u64, &str, u64) = (words[0].parse().unwrap(), words[1], words[2].parse().unwrap());
        let before = by_run.insert((run, key), sequence);
        assert!(before.is_none_or(|before| sequence == before + 1), "{line} after {before:?}");
        // Nothing is skipped, whoever goes on.
        let next = furthest.get(key).map_or(0, |last| last + 1);
        assert!(sequence <= next, "{line}, but {next} was not done");
        if sequence == next {
            furthest.insert(key, sequence);
        }
        lines += 1;
    }
    let all = PARTITIONS * usize::try_from(count / 4).unwrap();
    let expected: usize = furthest.values().map(|last| usize::try_from(*last).unwrap() + 1).sum();
    assert_eq!((furthest.len(), expected), (PARTITIONS * KEYS, all));
    assert!(kills > 0, "it was over before it could be killed");
    eprintln!("8 workers: {all} records of {} keys, {} repeated after {kills} kills", furthest.len(), lines - all);
}
