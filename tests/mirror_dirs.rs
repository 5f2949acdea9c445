//! `logdir mirror` from one log directory to another: every recorded directory copied, nothing twice, killed anywhere.
//!
//! `LOGDIR_KILL_EVERY=1` kills at every system call (needs strace; every 41st by default).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/chance.rs"]
mod chance;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use chance::Chance;
use logdir::batch::scan::Depth;
use logdir::storage::leader_epochs;
use logdir::storage::log_dir::LogDir;
use logdir::storage::names::DirKind;
use logdir::storage::partition::Partition;
use logdir::storage::partition_metadata;
use logdir::storage::reader::{LogReader, ReadStep};
use logdir::types::{Offset, TopicPartition};
use serde_json::Value;
use support::kafka_data::{Case, log_dirs_below};
use support::strace::{NAMING, calls, places, strace};

fn mirror(source: &Path, to: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    command.env_clear().args(["mirror", "--json", "-d"]).arg(source).arg("--to").arg(to).args(more);
    command.stdin(Stdio::null()).output().unwrap()
}

fn rows(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn summary(output: &Output) -> Value {
    rows(output).pop().unwrap_or_else(|| panic!("no summary: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Live partitions but for the metadata log.
fn partitions(dir: &Path) -> BTreeMap<TopicPartition, Partition> {
    let log_dir = LogDir::open(dir).unwrap();
    let live = log_dir.partitions().filter(|(name, _)| name.kind == DirKind::Live);
    let live = live.filter(|(name, _)| name.topic_partition.topic != "__cluster_metadata");
    live.map(|(name, path)| (name.topic_partition.clone(), log_dir.open_partition(name, path).unwrap())).collect()
}

/// Every sound batch that readers may see a record of, byte for byte, with the base offset of its segment.
fn batches(partition: &Partition) -> Vec<(Offset, Vec<u8>)> {
    let mut reader = LogReader::new(partition, Depth::Crc, 1 << 30);
    let mut batches = Vec::new();
    // A segment that repeats what another one holds repeats nothing to a reader, who goes by offsets.
    let mut next = partition.log_start();
    loop {
        match reader.next().unwrap() {
            ReadStep::Entry { segment, entry } if entry.frame.last_offset() >= next => {
                next = entry.frame.last_offset().next();
                batches.push((partition.segments()[segment].base, entry.frame.bytes().to_vec()));
            }
            ReadStep::Entry { .. } | ReadStep::Damage { .. } | ReadStep::Gone { .. } => {}
            ReadStep::End { .. } => return batches,
        }
    }
}

fn epochs(partition: &Partition) -> Vec<leader_epochs::EpochEntry> {
    let read = leader_epochs::read(&partition.dir().join(leader_epochs::FILE_NAME));
    read.map(|epochs| epochs.entries().to_vec()).unwrap_or_default()
}

fn topic_id(partition: &Partition) -> Option<logdir::types::Uuid> {
    let read = partition_metadata::read(&partition.dir().join(partition_metadata::FILE_NAME)).ok();
    // One that Kafka keeps for itself is none.
    read.map(|read| read.topic_id).filter(|id| !id.is_reserved())
}

/// Whether `copy` is what `source` is: batches, segments, ends, epochs, ids, checkpoints.
fn assert_equal(source: &Partition, copy: &Partition) {
    let what = source.dir().display();
    assert_eq!(copy.log_start(), source.log_start(), "{what}: log start");
    let end = source.log_end().unwrap();
    assert_eq!(copy.log_end().unwrap(), end, "{what}: log end");
    let (ours, theirs) = (batches(copy), batches(source));
    assert!(ours.iter().map(|(_, bytes)| bytes).eq(theirs.iter().map(|(_, bytes)| bytes)), "{what}: batches");
    // Segments too, but for such as overlap.
    let held: usize = source.segments().iter().map(|segment| usize::try_from(segment.log_len).unwrap()).sum();
    if held == theirs.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() {
        assert!(ours == theirs, "{what}: segments");
    }
    // Where the file is lost or no such file, batches tell.
    if !epochs(source).is_empty() {
        assert_eq!(epochs(copy), epochs(source), "{what}: leader epochs");
    }
    assert_eq!(topic_id(copy), topic_id(source), "{what}: topic id");
    if source.checkpoints().high_watermark.is_some() {
        assert_eq!(copy.high_watermark(end), source.high_watermark(end), "{what}: high watermark");
    }
    assert_eq!(copy.checkpoints().cleaner, source.checkpoints().cleaner, "{what}: cleaner");
}

/// Name, length and time of all files.
fn files(dir: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        match metadata.is_dir() {
            true => files.extend(self::files(&entry.path())),
            false => files.push((entry.path(), metadata.len(), metadata.modified().unwrap())),
        }
    }
    files.sort();
    files
}

/// What `logdir` prints of a directory, in lines.
fn told(args: &[&str], dir: &Path) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_logdir")).env_clear().args(args).arg("-d").arg(dir).output().unwrap();
    output.stdout
}

/// Copies a directory twice; the second run copies nothing. The topics whose partitions were stopped are given back.
fn copied_and_compared(source: &Path, name: &str) -> usize {
    let temp = tempfile::tempdir().unwrap();
    let to = temp.path().join("copy");
    let first = mirror(source, &to, &[]);
    let rows_of: BTreeMap<TopicPartition, Value> = rows(&first)
        .into_iter()
        .filter(|row| row["type"] == "partition")
        .map(|row| {
            let number = i32::try_from(row["partition"].as_i64().unwrap()).unwrap();
            (TopicPartition::new(row["topic"].as_str().unwrap(), number), row)
        })
        .collect();
    let (sources, copies) = (partitions(source), partitions(&to));
    let mut stopped = 0;
    for (partition, source) in &sources {
        let row = &rows_of[partition];
        let copy = copies.get(partition).unwrap_or_else(|| panic!("{name}: {partition} was not copied"));
        if row["action"] == "stopped" {
            // What lies before the first thing that is wrong is there.
            let (ours, theirs) = (batches(copy), batches(source));
            assert!(theirs.starts_with(&ours), "{name}: {partition}: what was copied of a damaged log");
            assert_ne!(row["findings"].as_array().unwrap().len(), 0, "{name}: {partition}");
            stopped += 1;
            continue;
        }
        assert_equal(source, copy);
    }
    assert_eq!(copies.len(), sources.len(), "{name}");
    assert_eq!(first.status.code(), Some(i32::from(stopped > 0)), "{name}: {}", String::from_utf8_lossy(&first.stderr));
    let before = files(&to);
    let second = mirror(source, &to, &[]);
    assert_eq!(second.status.code(), first.status.code(), "{name}: {}", String::from_utf8_lossy(&second.stderr));
    let counted = summary(&second);
    assert_eq!(
        (&counted["copied"], &counted["grown"], &counted["size_bytes"]),
        (&0.into(), &0.into(), &0.into()),
        "{name}"
    );
    if stopped == 0 {
        assert_eq!(files(&to), before, "{name}: a second run writes nothing");
        for args in [&["groups", "describe", "--all", "--json"][..], &["transactions", "list", "--json"]] {
            let (ours, theirs) = (told(args, &to), told(args, source));
            let lines = |bytes: &[u8]| {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                let ageless = |line: &str| {
                    let mut value: Value = serde_json::from_str(line).unwrap();
                    value.as_object_mut().unwrap().remove("age_ms");
                    value
                };
                text.lines().map(ageless).collect::<Vec<_>>()
            };
            assert_eq!(lines(&ours), lines(&theirs), "{name}: {args:?}");
        }
    }
    stopped
}

#[test]
fn every_recorded_directory_is_copied_as_it_is_and_a_second_run_copies_nothing() {
    let cases = Case::all();
    if cases.is_empty() {
        println!("skipped: no recorded Kafka data beside the checkout");
    }
    let (mut dirs, mut stopped) = (0, 0);
    for case in &cases {
        for dir in log_dirs_below(case.data()) {
            stopped += copied_and_compared(&dir, &format!("{} {}", case.name, dir.display()));
            dirs += 1;
        }
    }
    println!("{dirs} directories of {} cases, {stopped} partitions stopped at damage", cases.len());
}

#[test]
fn the_fixtures_are_copied_as_they_are() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for name in ["codecs", "compacted", "legacy", "transactions"] {
        for dir in log_dirs_below(&fixtures.join(name).join("data")) {
            assert_eq!(copied_and_compared(&dir, name), 0, "{name}");
        }
    }
}

fn produce(data: &Path, topic: &str, create: &str, lines: usize, seed: u64) {
    let mut chance = Chance::of(seed);
    let mut text = Vec::new();
    for number in 0..lines {
        let size = usize::try_from(chance.below(400)).unwrap();
        text.extend_from_slice(format!("{number}:{}\n", "x".repeat(size)).as_bytes());
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    command.env_clear().arg("produce").arg("-d").arg(data).args(["-t", topic, "-K:", "--create", create]);
    command.args(["--segment-bytes", "262144", "-q"]).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &text).unwrap();
    assert!(child.wait().unwrap().success());
}

/// A log directory of three topics that rolls many segments.
fn source(dir: &Path) -> PathBuf {
    let data = dir.join("source");
    for (number, topic) in (0..).zip(["orders", "payments", "users"]) {
        produce(&data, topic, "3", 20_000, number);
    }
    data
}

fn assert_level(source: &Path, copy: &Path) {
    let copies = partitions(copy);
    for (partition, source) in &partitions(source) {
        assert_equal(source, &copies[partition]);
    }
    let unfinished: Vec<_> = fs::read_dir(copy).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let unfinished = unfinished.iter().filter(|name| name.to_str().unwrap().ends_with("-delete"));
    assert_eq!(unfinished.count(), 0, "unfinished copies are left");
}

#[test]
fn killed_fifty_times_at_random_and_finished_it_is_equal_and_holds_nothing_twice() {
    let temp = tempfile::tempdir().unwrap();
    let (source, to) = (source(temp.path()), temp.path().join("copy"));
    let mut chance = Chance::of(chance::number("LOGDIR_MIRROR_SEED", 7));
    let (mut killed, mut ended) = (0, 0);
    while killed < 50 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
        // Slow enough to be killed in the middle; a run that ends leaves the next one a source that has grown.
        command.env_clear().args(["mirror", "-q", "--throttle", "20MiB", "-d"]).arg(&source).arg("--to").arg(&to);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(500 + chance.below(200_000)));
        let is_over = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if is_over {
            assert!(status.success(), "{status}");
            ended += 1;
            produce(&source, "orders", "3", 8_000, 100 + ended);
        } else {
            killed += 1;
        }
    }
    let last = mirror(&source, &to, &[]);
    assert_eq!(last.status.code(), Some(0), "{}", String::from_utf8_lossy(&last.stderr));
    assert_level(&source, &to);
    let second = summary(&mirror(&source, &to, &[]));
    assert_eq!((&second["copied"], &second["grown"]), (&0.into(), &0.into()), "the run after that copies nothing");
    println!("killed {killed} times, came to its end {ended} times in between");
}

#[test]
fn killed_at_its_system_calls_the_next_run_finishes() {
    let every: usize = std::env::var("LOGDIR_KILL_EVERY").map_or(41, |text| text.parse().unwrap());
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("source");
    produce(&data, "orders", "2", 6_000, 1);
    let to = temp.path().join("copy");
    // A first copy, and one that goes on.
    let base = temp.path().join("base");
    assert!(mirror(&data, &base, &[]).status.success());
    let grown = temp.path().join("grown");
    support::copy::copy(&data, &grown);
    produce(&grown, "orders", "2", 3_000, 2);
    for (what, source, begins_with) in [("first copy", &data, None), ("one that goes on", &grown, Some(&base))] {
        let fresh = || {
            let _ = fs::remove_dir_all(&to);
            if let Some(base) = begins_with {
                support::copy::copy(base, &to);
            }
        };
        let args = ["mirror", "-q", "-d", source.to_str().unwrap(), "--to", to.to_str().unwrap()];
        let log = temp.path().join("calls");
        fresh();
        let traced = strace(&["-f", "-o", log.to_str().unwrap()], &args);
        if !traced.is_some_and(|status| status.success()) || !log.is_file() {
            println!("skipped: strace is not there, or may not trace");
            return;
        }
        let mut kills = 0;
        for (name, when) in places(&calls(&log), every, &NAMING) {
            fresh();
            let inject = format!("inject={name}:signal=KILL:when={when}");
            kills += usize::from(!strace(&["-f", "-o", "/dev/null", "-e", &inject], &args).unwrap().success());
            let again = mirror(source, &to, &[]);
            let place = format!("{what}, killed at call {when} of {name}");
            assert_eq!(again.status.code(), Some(0), "{place}: {}", String::from_utf8_lossy(&again.stderr));
            assert_level(source, &to);
        }
        assert!(kills > 5, "{what}: killed {kills} times");
        println!("{what}: killed at {kills} system calls");
    }
}

#[test]
fn a_copy_that_goes_on_after_a_kill_needs_no_more_room_than_is_left_to_copy() {
    let temp = tempfile::tempdir().unwrap();
    let (data, to) = (temp.path().join("source"), temp.path().join("copy"));
    produce(&data, "orders", "1", 6_000, 1);
    let source = partitions(&data).pop_first().unwrap().1;
    let segments = source.segments().to_vec();
    assert!(segments.len() > 2);
    let id: String = topic_id(&source).unwrap().0.iter().map(|byte| format!("{byte:02x}")).collect();
    let plan = logdir::storage::mirror::plan(source, None, logdir::storage::mirror::Wish::default()).unwrap();
    assert_eq!(plan.bytes_needed(&to), plan.bytes, "nothing is there yet");
    // As a run leaves it that was killed when one segment was over, and another on its way.
    let staging = to.join(format!("orders-0.{id}-delete"));
    fs::create_dir_all(&staging).unwrap();
    for (segment, name) in [(&segments[0], None), (&segments[1], Some(".part"))] {
        let file = segment.log.file_name().unwrap().to_str().unwrap();
        let copied = staging.join(format!("{file}{}", name.unwrap_or_default()));
        fs::copy(&segment.log, &copied).unwrap();
        let time = segment.log.metadata().unwrap().modified().unwrap();
        fs::File::options().write(true).open(&copied).unwrap().set_modified(time).unwrap();
    }
    assert_eq!(plan.bytes_needed(&to), plan.bytes - segments[0].log_len);
}

/// Producer and epoch.
type Who = (i64, i16);
/// Number of a partition, first offset, offset of the marker.
type Placed = (usize, Offset, Offset);

/// Parts of committed transactions: who wrote them under which epoch, where, from which offset to which marker.
fn committed_parts(partition: &Partition) -> Vec<(Who, Offset, Offset)> {
    let mut reader = LogReader::new(partition, Depth::Crc, 1 << 30);
    let (mut open, mut parts) = (BTreeMap::new(), Vec::new());
    let mut decompressor = logdir::batch::Decompressor::default();
    loop {
        let entry = match reader.next().unwrap() {
            ReadStep::Entry { entry, .. } => entry,
            ReadStep::End { .. } => return parts,
            _ => continue,
        };
        let frame = entry.frame;
        if !frame.is_transactional() {
            continue;
        }
        let producer = frame.producer_id().0;
        if !frame.is_control() {
            open.entry(producer).or_insert((frame.producer_epoch(), frame.base_offset().unwrap()));
        } else if let Some((epoch, first)) = open.remove(&producer) {
            let records = frame.records(&mut decompressor).unwrap();
            let key =
                records.visit(|record| std::ops::ControlFlow::Break(record.key.unwrap().to_vec())).unwrap().unwrap();
            if key == [0, 0, 0, 1] {
                parts.push(((producer, epoch), first, frame.last_offset()));
            }
        }
    }
}

fn timestamps(partition: &Partition) -> Vec<i64> {
    let mut reader = LogReader::new(partition, Depth::Crc, 1 << 30);
    let mut times = Vec::new();
    loop {
        match reader.next().unwrap() {
            ReadStep::Entry { entry, .. } => times.push(entry.frame.max_timestamp_ms()),
            ReadStep::End { .. } => return times,
            _ => {}
        }
    }
}

/// Cuts a directory at every moment at which something happened in it; how many cuts had to be lowered.
fn cut_everywhere(dir: &Path, name: &str) -> usize {
    let partitions: Vec<Partition> = partitions(dir).into_values().collect();
    let mut transactions: BTreeMap<Who, Vec<Placed>> = BTreeMap::new();
    let mut moments: Vec<i64> = Vec::new();
    for (number, partition) in partitions.iter().enumerate() {
        moments.extend(timestamps(partition).into_iter().filter(|time| *time > 0));
        for (who, first, marker) in committed_parts(partition) {
            transactions.entry(who).or_default().push((number, first, marker));
        }
    }
    moments.sort_unstable();
    moments.dedup();
    let thinned = moments.len().div_ceil(150);
    let mut lowered = 0;
    for at_ms in moments.iter().step_by(thinned).copied().chain([i64::MAX / 2]) {
        let ends = logdir::storage::mirror::cut(&partitions, at_ms).unwrap();
        lowered += usize::from(ends.iter().any(|end| end.why.is_some()));
        for (who, parts) in &transactions {
            let inside = |(number, _, marker): &&Placed| *marker < ends[*number].offset;
            let outside = |(number, first, _): &&Placed| *first >= ends[*number].offset;
            let (ins, outs) = (parts.iter().filter(inside).count(), parts.iter().filter(outside).count());
            assert!(
                ins == parts.len() || outs == parts.len(),
                "{name} at {at_ms}: transaction {who:?} is in {ins} of {} parts, {outs} are not: {parts:?}",
                parts.len()
            );
        }
        for (partition, end) in partitions.iter().zip(&ends) {
            assert!(
                end.offset <= end.by_time && end.offset >= Offset::ZERO,
                "{name} at {at_ms}: {}",
                partition.dir().display()
            );
        }
        // Nobody is ahead of what is there.
        let of: BTreeMap<_, _> =
            partitions.iter().zip(&ends).map(|(it, end)| (it.topic_partition(), end.offset)).collect();
        for (partition, end) in partitions.iter().zip(&ends) {
            if partition.topic_partition().topic == "__consumer_offsets" {
                for ((group, read), committed) in commits_below(partition, end.offset) {
                    let Some(there) = of.get(&read) else { continue };
                    // Ahead of the source itself.
                    let source = partitions.iter().find(|it| *it.topic_partition() == read).unwrap();
                    if committed > source.log_end().unwrap() {
                        continue;
                    }
                    assert!(
                        committed <= *there,
                        "{name} at {at_ms}: {group} has {committed} of {read}, which ends at {there}"
                    );
                }
            }
        }
    }
    lowered
}

/// What groups had committed where the log ends at `end`, by the tables of the library.
fn commits_below(partition: &Partition, end: Offset) -> BTreeMap<(String, TopicPartition), Offset> {
    use logdir::schema::coordinator::group::{CommittedOffset, ids};
    use logdir::schema::coordinator::{CoordinatorTopic, CoordinatorValue, decode};
    use logdir::storage::coordinator::{Event, replay};
    let (mut commits, mut pending) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
    let mut at = Offset::ZERO;
    replay(partition, Offset::ZERO, &mut Default::default(), &mut |event| match event {
        Event::Record { record, transaction } if record.offset < end => {
            at = record.offset;
            let Ok(decoded) = decode(CoordinatorTopic::Group, record.key.unwrap_or_default(), record.value) else {
                return;
            };
            if decoded.kind.id != ids::OFFSET_COMMIT {
                return;
            }
            let key = CommittedOffset::key_of(&decoded.key);
            let committed = match &decoded.value {
                CoordinatorValue::Known(fields) => Some(CommittedOffset::of(fields).offset),
                _ => None,
            };
            match (transaction, committed) {
                (Some(producer), committed) => pending.entry(producer).or_default().push((key, committed)),
                (None, Some(committed)) => drop(commits.insert(key, committed)),
                (None, None) => drop(commits.remove(&key)),
            }
        }
        Event::Record { record, .. } => at = record.offset,
        Event::End { producer, is_commit } if at < end => {
            for (key, committed) in pending.remove(&producer).unwrap_or_default() {
                if let (true, Some(committed)) = (is_commit, committed) {
                    commits.insert(key, committed);
                }
            }
        }
        Event::End { .. } => {}
    })
    .unwrap();
    commits
}

#[test]
fn a_cut_at_any_moment_has_transactions_whole_and_no_group_ahead() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transactions/data");
    for dir in log_dirs_below(&fixture) {
        assert!(cut_everywhere(&dir, "transactions") > 0);
    }
    for case in Case::all().iter().filter(|case| case.name.starts_with("02a") || case.name.starts_with("04")) {
        for dir in case.log_dirs() {
            println!("{}: {} cuts lowered", case.name, cut_everywhere(&dir, &case.name));
        }
    }
}
