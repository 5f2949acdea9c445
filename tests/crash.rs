//! Processes that are killed, and logs that are cut: what was reported is there, nothing is twice, nothing torn.
//!
//! `LOGDIR_CRASHES` is the number of processes to kill (200), `LOGDIR_CUT_STEP` the distance between two cuts in
//! bytes (7; 1 cuts at every byte). A failure names the seed, `LOGDIR_CRASH_SEED` repeats it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use logdir::batch::builder::{BatchBuilder, BatchSpec, NewRecord};
use logdir::batch::compression::Compressor;
use logdir::storage::log_dir::LogDir;
use logdir::storage::names::DirKind;
use logdir::storage::recovery::{self, LoadOptions, Loss};
use logdir::storage::writer::log::Appended;
use logdir::storage::writer::{Durability, LogConfig, LogWriter};
use logdir::types::{LeaderEpoch, Offset, ProducerId};

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn logdir(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    command.env_clear().args(args).args(["-d", dir.to_str().unwrap()]);
    command
}

/// Partition, offset and value of every record, in order; insists that all of it is readable.
fn stored(dir: &Path, at: &str) -> Vec<(String, i64, String)> {
    let opened = LogDir::open(dir).unwrap();
    if !opened.partitions().any(|(name, _)| name.kind == DirKind::Live) {
        return Vec::new();
    }
    let output = logdir(dir, &["consume", "-q", "-f", "%p %o %s\\n"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{at}: {errors}");
    String::from_utf8(output.stdout).unwrap().lines().map(parsed).collect()
}

fn parsed(line: &str) -> (String, i64, String) {
    let mut parts = line.splitn(3, ' ');
    let mut next = || parts.next().unwrap().to_owned();
    (next(), next().parse().unwrap(), next())
}

/// Offsets without a gap, no value twice, and everything that was reported where it was reported.
fn check(dir: &Path, reported: &[(String, i64, String)], at: &str) -> Vec<(String, i64, String)> {
    let found = stored(dir, at);
    let mut next: BTreeMap<&str, i64> = BTreeMap::new();
    let mut values = BTreeSet::new();
    for (partition, offset, value) in &found {
        let expected = next.entry(partition).or_default();
        assert_eq!(offset, expected, "{at}: partition {partition} has a gap");
        *expected += 1;
        assert!(values.insert(value), "{at}: '{value}' is there twice");
    }
    let places: BTreeMap<(&str, i64), &str> =
        found.iter().map(|(partition, offset, value)| ((partition.as_str(), *offset), value.as_str())).collect();
    for (partition, offset, value) in reported {
        let place = places.get(&(partition.as_str(), *offset));
        assert_eq!(place, Some(&value.as_str()), "{at}: reported at {partition} {offset}");
    }
    found
}

/// A directory that says it was shut down cleanly has nothing to recover.
fn check_marker(dir: &Path, at: &str) {
    let opened = LogDir::open(dir).unwrap();
    let clean = opened.clean_shutdown().is_some();
    assert!(opened.notices().is_empty(), "{at}: {:?}", opened.notices());
    for (name, path) in opened.partitions().filter(|(name, _)| name.kind == DirKind::Live) {
        let checkpoints = opened.checkpoints(name);
        let options = |clean| LoadOptions {
            clean,
            recovery_point: checkpoints.recovery_point.unwrap_or(Offset::ZERO),
            log_start: Offset::ZERO,
            now_ms: 0,
            config: LogConfig::default(),
        };
        let unclean = recovery::plan(path, &options(false)).unwrap();
        if clean {
            let trusting = recovery::plan(path, &options(true)).unwrap();
            assert!(unclean.losses.is_empty(), "{at}: marked clean, {:?}", unclean.losses);
            assert_eq!(trusting.log_end, unclean.log_end, "{at}: {}", path.display());
        }
        let point = checkpoints.recovery_point.unwrap_or(Offset::ZERO);
        let end = unclean.log_end;
        assert!(
            point <= end,
            "{at}: recovery point {point}, log end {end} of {}, {:?}",
            path.display(),
            unclean.losses
        );
    }
}

struct Killed {
    child: Child,
    feeding: std::thread::JoinHandle<()>,
    reading: std::thread::JoinHandle<Vec<(String, i64, String)>>,
}

/// A `produce` that gets `lines`, in bursts.
fn start(dir: &Path, args: &[&str], lines: Vec<String>, seed: u64) -> Killed {
    let mut child = logdir(dir, &[&["produce", "-qq"], args].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let feeding = std::thread::spawn(move || {
        let mut random = fastrand::Rng::with_seed(seed);
        for burst in lines.chunks(random.usize(1..400)) {
            if input.write_all(burst.concat().as_bytes()).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_micros(random.u64(0..3_000)));
        }
    });
    let reading = std::thread::spawn(move || {
        // What the kill cut off at the end was not reported.
        output.split(b'\n').map_while(Result::ok).filter_map(|line| String::from_utf8(line).ok()).collect::<Vec<_>>()
    });
    let reading = std::thread::spawn(move || {
        let lines = reading.join().unwrap();
        lines.iter().filter(|line| line.ends_with('.')).map(|line| parsed(line)).collect()
    });
    Killed { child, feeding, reading }
}

fn lines_of(who: usize, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("key-{}:{who}-{n} {}.\n", n % 23, "x".repeat(n % 60))).collect()
}

fn kill_once(fsync: &str, seed: u64) {
    let at = format!("--fsync {fsync}, seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let temp = tempfile::tempdir().unwrap();
    let (dir, state) = (temp.path().join("data"), temp.path().join("state.json"));
    let batch_size = random.usize(100..1_000).to_string();
    let mut args = vec!["-t", "t", "--create", "3", "-K:", "--fsync", fsync, "--output-format", "%p %o %s\\n"];
    args.extend(["--batch-size", &batch_size, "--segment-bytes", "6000", "--index-interval-bytes", "500"]);
    if random.u8(0..3) == 0 {
        args.extend(["-z", "zstd"]);
    }
    let with_state = random.u8(0..3) == 0;
    if with_state {
        args.extend(["--state", state.to_str().unwrap()]);
    }
    if random.bool() {
        // Not always a directory that is made in the same run.
        let made = logdir(&dir, &["produce", "-qq", "-t", "t", "--create", "3"]).stdin(Stdio::null()).status().unwrap();
        assert!(made.success(), "{at}");
    }
    let processes = if with_state || random.u8(0..3) > 0 { 1 } else { 2 };
    let mut running: Vec<Killed> =
        (0..processes).map(|who| start(&dir, &args, lines_of(who, 3_000), seed + who as u64)).collect();
    std::thread::sleep(Duration::from_millis(random.u64(2..90)));
    for killed in &mut running {
        killed.child.kill().unwrap();
        killed.child.wait().unwrap();
    }
    let mut reported = Vec::new();
    for killed in running {
        killed.feeding.join().unwrap();
        reported.extend(killed.reading.join().unwrap());
    }
    if !dir.is_dir() {
        assert!(reported.is_empty(), "{at}");
        return;
    }
    check(&dir, &reported, &at);
    check_marker(&dir, &format!("{at}, killed"));
    // The next run: refused where something torn would be cut, else it goes on.
    let more: Vec<String> = if with_state { lines_of(0, 3_000) } else { vec!["key-1:after the crash.\n".to_owned()] };
    let again = |extra: &[&str]| {
        let mut child = logdir(&dir, &[&["produce", "-qq"], &args[..], extra].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut input, more) = (child.stdin.take().unwrap(), more.concat());
        let feeding = std::thread::spawn(move || drop(input.write_all(more.as_bytes())));
        let output = child.wait_with_output().unwrap();
        feeding.join().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = again(&[]);
    if code == 4 {
        assert!(said.contains("removes data"), "{at}: {said}");
        check(&dir, &reported, &at);
        let (code, said) = again(&["--allow-truncate"]);
        assert_eq!(code, 0, "{at}: {said}");
    } else {
        assert_eq!(code, 0, "{at}: {said}");
    }
    let found = check(&dir, &reported, &at);
    check_marker(&dir, &at);
    if with_state {
        let values: BTreeSet<&str> = found.iter().map(|(_, _, value)| value.as_str()).collect();
        let input = lines_of(0, 3_000);
        let expected: BTreeSet<&str> = input.iter().map(|line| line.trim_end().split_once(':').unwrap().1).collect();
        assert!(values == expected, "{at}: the rerun completes the input, each record once");
    } else {
        assert!(found.iter().any(|(_, _, value)| value == "after the crash."), "{at}");
    }
}

fn kill_many(fsync: &str) {
    if let Some(seed) = env("LOGDIR_CRASH_SEED") {
        return kill_once(fsync, seed);
    }
    let times = env("LOGDIR_CRASHES").unwrap_or(200).div_ceil(3);
    for n in 0..times {
        kill_once(fsync, fastrand::u64(..1 << 32) + n);
    }
    println!("--fsync {fsync}: {times} processes killed");
}

#[test]
fn killed_with_fsync_never() {
    kill_many("never");
}

#[test]
fn killed_with_fsync_end() {
    kill_many("end");
}

#[test]
fn killed_with_fsync_batch() {
    kill_many("batch");
}

const CUT_CONFIG: LogConfig = LogConfig {
    segment_bytes: 70_000,
    segment_ms: i64::MAX,
    segment_index_bytes: 10 << 20,
    index_interval_bytes: 4096,
    max_message_bytes: 1 << 20,
    preallocate: false,
    flush_messages: u64::MAX,
    flush_ms: u64::MAX,
    producer_id_expiration_ms: i64::MAX,
};

fn append(log: &mut LogWriter, n: i32, epoch: i32) {
    let idempotent = n % 3 > 0;
    let mut builder = BatchBuilder::new(BatchSpec {
        producer_id: if idempotent { ProducerId(i64::from(n % 3)) } else { ProducerId::NONE },
        producer_epoch: if idempotent { 0 } else { -1 },
        base_sequence: if idempotent { n / 3 * 2 } else { -1 },
        ..BatchSpec::default()
    });
    for record in 0..2 {
        let value = vec![b'v'; 20 + usize::try_from(n * 37 % 700).unwrap()];
        let timestamp_ms = 1_000 + i64::from(n * 2 + record);
        builder.push(&NewRecord { timestamp_ms, value: Some(&value), ..NewRecord::default() }).unwrap();
    }
    let mut batch = builder.seal(&mut Compressor::default()).unwrap();
    let appended = log.append_as_leader(&mut batch, LeaderEpoch(epoch), 1_000).unwrap();
    assert!(matches!(appended, Appended::Stored { .. }), "{appended:?}");
}

/// The last 64 KiB of a log, cut behind every byte: recovery keeps every whole batch, and says what it cuts.
#[test]
fn a_log_cut_anywhere_keeps_every_whole_batch() {
    let step = usize::try_from(env("LOGDIR_CUT_STEP").unwrap_or(7)).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("t-0");
    std::fs::create_dir(&dir).unwrap();
    let options = LoadOptions {
        clean: false,
        recovery_point: Offset::ZERO,
        log_start: Offset::ZERO,
        now_ms: 1_000,
        config: CUT_CONFIG,
    };
    let plan = recovery::plan(&dir, &options).unwrap();
    plan.apply().unwrap();
    let mut log = LogWriter::open(plan, CUT_CONFIG, Durability::Buffered, 1_000).unwrap();
    // Where batches of the last segment end, and the offset after each.
    let mut ends = Vec::new();
    let mut n = 0;
    while log.segments().len() < 3 || log.active().size_bytes() < 66_000 {
        let base = log.active().base();
        append(&mut log, n, n / 100);
        if log.active().base() != base {
            ends.clear();
            ends.push((0, log.active().base()));
        }
        ends.push((log.active().size_bytes(), log.log_end()));
        n += 1;
    }
    // As after a kill: everything with the kernel, nothing closed.
    log.write_out().unwrap();
    let (base, path, whole) = (log.active().base(), log.active().path().to_owned(), log.active().size_bytes());
    drop(log);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    // What a broker would recover: from the active segment on.
    let options = LoadOptions { recovery_point: base, ..options };
    let (mut cuts, mut carried_out) = (0, 0);
    for cut in (0..=whole.min(64 << 10)).step_by(step) {
        let len = whole - cut;
        file.set_len(len).unwrap();
        let (end, next) = *ends.iter().rev().find(|(end, _)| *end <= len).unwrap();
        let plan = recovery::plan(&dir, &options).unwrap();
        assert_eq!(plan.log_end, next, "cut to {len} bytes");
        match &plan.losses[..] {
            // The first bytes of an offset are zeros, and zeros are nothing to lose.
            [] => assert!(len - end < 7, "cut to {len} bytes"),
            [Loss::Cut { position, bytes, next_offset, .. }] => {
                assert_eq!((position.get(), *bytes, *next_offset), (end, len - end, next));
            }
            other => panic!("cut to {len} bytes: {other:?}"),
        }
        cuts += 1;
        if cuts % 500 == 0 {
            let copy = temp.path().join("copy").join("t-0");
            let _ = std::fs::remove_dir_all(copy.parent().unwrap());
            std::fs::create_dir_all(&copy).unwrap();
            for entry in std::fs::read_dir(&dir).unwrap().flatten() {
                std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
            }
            let plan = recovery::plan(&copy, &options).unwrap();
            plan.apply().unwrap();
            let mut log = LogWriter::open(plan, CUT_CONFIG, Durability::Synced, 1_000).unwrap();
            append(&mut log, 0, 99);
            log.close().unwrap();
            let records = stored(copy.parent().unwrap(), "after the cut");
            assert_eq!(records.len() as i64, next.get() + 2);
            assert!(recovery::plan(&copy, &options).unwrap().losses.is_empty());
            carried_out += 1;
        }
    }
    println!("{cuts} cuts of the last {} bytes, {carried_out} carried out", whole.min(64 << 10));
    assert!(carried_out > 5);
}
