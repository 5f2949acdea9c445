//! Histories of sessions, by chance, and the loss of power in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::disk::{Disk, Keep};
use super::journal;
use super::verdict::{self, Known};
use crate::batch::builder::{BatchBuf, BatchBuilder, BatchSpec, NewRecord};
use crate::batch::compression::Compressor;
use crate::storage::writer::log::Appended;
use crate::storage::writer::{AppendSession, Durability, LogConfig, SessionOptions};
use crate::types::{LeaderEpoch, ProducerId, TimestampMs, TopicPartition, Uuid};

/// Small enough that a few appends roll.
fn config() -> LogConfig {
    LogConfig { segment_bytes: 500, index_interval_bytes: 150, ..LogConfig::default() }
}

/// Records with their offsets.
type Records = Vec<(i64, Vec<u8>)>;

/// What happened up to an operation of the journal.
struct Mark {
    at: usize,
    known: Known,
}

struct History {
    root: tempfile::TempDir,
    seed: u64,
    random: fastrand::Rng,
    known: Known,
    marks: Vec<Mark>,
    /// What was acknowledged counts from here on: it is where the journal began.
    sequences: BTreeMap<(TopicPartition, ProducerId), i32>,
    /// Records in the log, acknowledged or not, as the sessions see it.
    logs: BTreeMap<TopicPartition, Records>,
    counter: u64,
    now_ms: TimestampMs,
}

impl History {
    fn new(seed: u64) -> History {
        let mut random = fastrand::Rng::with_seed(seed);
        let root = scratch();
        journal::begin(&root.path().join("data"));
        std::fs::create_dir(root.path().join("data")).unwrap();
        History {
            root,
            seed,
            known: Known { topic_id: Some(Uuid([random.u8(1..); 16])), ..Known::default() },
            random,
            marks: Vec::new(),
            sequences: BTreeMap::new(),
            logs: BTreeMap::new(),
            counter: 0,
            now_ms: 1_000_000,
        }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// From here on `known` holds.
    fn mark(&mut self) {
        self.marks.push(Mark { at: journal::len(&self.dir()), known: self.known.clone() });
    }

    fn tick(&mut self) -> TimestampMs {
        self.now_ms += self.random.i64(1..5);
        self.now_ms
    }

    fn open(&mut self, durability: Durability) -> AppendSession {
        self.known.gaps |= durability == Durability::Buffered;
        let options = SessionOptions { config: config(), durability, allow_truncate: true };
        AppendSession::open(&self.dir(), options).unwrap()
    }

    fn partitions() -> [TopicPartition; 3] {
        [0, 1, 2].map(|number| TopicPartition::new("t", number))
    }

    fn batch(&mut self, partition: &TopicPartition, first: i64) -> (BatchBuf, Records, Option<ProducerId>) {
        let producer = self.random.bool().then(|| ProducerId(self.random.i64(1..4)));
        let sequence = producer.map(|id| *self.sequences.get(&(partition.clone(), id)).unwrap_or(&0));
        let mut builder = BatchBuilder::new(BatchSpec {
            producer_id: producer.unwrap_or(ProducerId::NONE),
            producer_epoch: if producer.is_some() { 0 } else { -1 },
            base_sequence: sequence.unwrap_or(-1),
            ..BatchSpec::default()
        });
        let mut records = Vec::new();
        for delta in 0..self.random.i64(1..4) {
            self.counter += 1;
            let mut value = format!("{partition} {} ", self.counter).into_bytes();
            value.resize(value.len() + self.random.usize(0..60), b'.');
            let timestamp_ms = self.now_ms - self.random.i64(0..20);
            builder.push(&NewRecord { timestamp_ms, value: Some(&value), ..NewRecord::default() }).unwrap();
            records.push((first + delta, value));
        }
        (builder.seal(&mut Compressor::default()).unwrap(), records, producer)
    }

    fn append(&mut self, session: &mut AppendSession) {
        // One more often than the others, so that it rolls under everyone's hands.
        let number = if self.random.u8(0..10) < 6 { 0 } else { self.random.usize(0..3) };
        let partition = Self::partitions()[number].clone();
        let now_ms = self.tick();
        // A session that is about to write puts the marker aside: from here on it may be gone.
        self.known.closed = false;
        self.mark();
        if !self.known.made.contains(&partition) {
            session.create_partition(&partition, self.known.topic_id.unwrap()).unwrap();
            self.known.made.insert(partition.clone());
            self.mark();
        }
        // As the session sees it: what others appended since is not yet in it.
        session.log(&partition, now_ms).unwrap();
        let first = self.logs.get(&partition).and_then(|log| log.last()).map_or(0, |(offset, _)| offset + 1);
        let (mut batch, records, producer) = self.batch(&partition, first);
        for (offset, value) in &records {
            self.known.written.entry((partition.clone(), *offset)).or_default().insert(value.clone());
        }
        self.mark();
        let appended = if self.random.u8(0..10) == 0 && producer.is_none() {
            // Another leader's records, as they come to a follower.
            let epoch = LeaderEpoch(i32::try_from(self.counter).unwrap());
            batch.assign(crate::types::Offset::new(first), epoch);
            session.append_with_offsets(&partition, batch.bytes(), now_ms).unwrap()
        } else {
            session.append(&partition, &mut batch, now_ms).unwrap()
        };
        let Appended::Stored { first: at, .. } = appended else { panic!("seed {}: {appended:?}", self.seed) };
        assert_eq!(at.get(), first, "seed {}: {partition}", self.seed);
        if let Some(id) = producer {
            *self.sequences.entry((partition.clone(), id)).or_default() += i32::try_from(records.len()).unwrap();
        }
        self.logs.entry(partition).or_default().extend(records);
    }

    /// What these partitions hold is on disk now.
    fn acknowledge(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            for (offset, value) in self.logs.get(partition).into_iter().flatten() {
                self.known.acknowledged.insert((partition.clone(), *offset), value.clone());
            }
        }
        self.mark();
    }

    fn flush(&mut self, session: &mut AppendSession) {
        session.flush().unwrap();
        // What it has not opened it does not vouch for.
        let ends: Vec<_> = session.logs().map(|(partition, log)| (partition.clone(), log.log_end().get())).collect();
        for (partition, end) in ends {
            for (offset, value) in self.logs.get(&partition).into_iter().flatten().filter(|(at, _)| *at < end) {
                self.known.acknowledged.insert((partition.clone(), *offset), value.clone());
            }
        }
        self.mark();
    }

    fn close(&mut self, session: AppendSession, marks_clean: bool) {
        let partitions: Vec<_> =
            session.logs().filter(|(_, log)| log.has_appended()).map(|(partition, _)| partition.clone()).collect();
        let now_ms = self.tick();
        session.close(now_ms).unwrap();
        self.known.closed = marks_clean;
        self.acknowledge(&partitions);
    }

    /// Sessions one after the other, ended in good order or by force.
    fn sessions_in_a_row(&mut self) {
        let mut clean = true;
        for _ in 0..self.random.usize(1..4) {
            let durability = if self.random.u8(0..4) == 0 { Durability::Buffered } else { Durability::Synced };
            let mut session = self.open(durability);
            for _ in 0..self.random.usize(0..8) {
                self.append(&mut session);
                if durability == Durability::Synced && self.random.u8(0..4) == 0 {
                    self.flush(&mut session);
                }
            }
            let wrote = session.logs().any(|(_, log)| log.has_appended());
            match durability {
                Durability::Synced if self.random.u8(0..3) > 0 => self.close(session, wrote && clean),
                Durability::Buffered if self.random.bool() => {
                    session.close(self.now_ms).unwrap();
                    clean &= !wrote;
                }
                _ => {
                    self.forget_pending(session);
                    clean &= !wrote;
                }
            }
        }
    }

    /// Two sessions that take turns.
    fn sessions_side_by_side(&mut self) {
        // In peace all wait for the disk, and end in good order.
        let peace = self.random.bool();
        let mut sessions: Vec<(AppendSession, Durability)> = Vec::new();
        for _ in 0..self.random.usize(6..36) {
            for (session, _) in &mut sessions {
                session.end_turns().unwrap();
            }
            let number = self.random.usize(0..3);
            match self.random.u8(0..12) {
                0 if sessions.len() > number => {
                    let (session, durability) = sessions.swap_remove(number);
                    if durability == Durability::Synced {
                        self.close(session, false);
                    } else {
                        session.close(self.now_ms).unwrap();
                    }
                }
                1 if sessions.len() > number && !peace => {
                    let (session, _) = sessions.swap_remove(number);
                    self.forget_pending(session);
                }
                _ if sessions.len() <= number => {
                    let buffered = !peace && self.random.u8(0..4) == 0;
                    let durability = if buffered { Durability::Buffered } else { Durability::Synced };
                    let session = self.open(durability);
                    sessions.push((session, durability));
                }
                2 | 3 if sessions[number].1 == Durability::Synced => self.flush(&mut sessions[number].0),
                _ => self.append(&mut sessions[number].0),
            }
        }
        for (session, _) in &mut sessions {
            session.end_turns().unwrap();
        }
        let in_good_order = peace || self.random.bool();
        for (session, durability) in sessions {
            match durability {
                Durability::Synced if in_good_order => self.close(session, false),
                _ => self.forget_pending(session),
            }
        }
        if peace {
            self.known.closed = !self.known.made.is_empty();
            self.mark();
        }
    }

    /// A session ends by force: what it has not handed to the kernel is gone.
    fn forget_pending(&mut self, session: AppendSession) {
        let kept: Vec<(TopicPartition, i64)> = session
            .logs()
            .filter(|(_, log)| log.pending_bytes() > 0)
            .map(|(partition, log)| (partition.clone(), end_on_disk(log.dir())))
            .collect();
        drop(session);
        for (partition, end) in kept {
            let log = self.logs.get_mut(&partition).unwrap();
            log.retain(|(offset, _)| *offset < end);
            self.count_sequences_again(&partition);
        }
        self.mark();
    }

    fn count_sequences_again(&mut self, partition: &TopicPartition) {
        self.sequences.retain(|(of, _), _| of != partition);
        for (id, last) in sequences_on_disk(&self.dir().join(partition.to_string())) {
            self.sequences.insert((partition.clone(), id), last + 1);
        }
    }

    /// Power is lost at moments of this history.
    fn lose_power(self, of_each: usize) -> Tally {
        let dir = self.dir();
        let ops = journal::end(&dir);
        let start = scratch();
        let mut disk = Disk::of(start.path());
        let mut random = self.random;
        let mut tally = Tally { operations: ops.len(), ..Tally::default() };
        let mut marks = self.marks.iter().peekable();
        // Before the first mark nothing is written and nothing promised.
        let mut known = Known { topic_id: self.known.topic_id, ..Known::default() };
        let mut all = Known::default();
        for moment in 0..=ops.len() {
            while let Some(mark) = marks.next_if(|mark| mark.at <= moment) {
                known = mark.known.clone();
            }
            all.clone_from(&known);
            // An append under way may be there, wholly or not.
            if let Some(next) = marks.peek() {
                all.written.clone_from(&next.known.written);
                all.closed = false;
            }
            let closed = known.closed;
            all.closed = closed && marks.peek().is_none_or(|mark| mark.at > moment);
            let mut ways = vec![Keep::Nothing, Keep::All, Keep::Names, Keep::Bytes];
            ways.extend([50, 90, 10, 75].into_iter().cycle().take(of_each).map(Keep::Some));
            if !disk.is_open() {
                ways.truncate(1);
            }
            for keep in ways {
                let left = scratch();
                disk.crash(left.path(), keep, &mut random);
                tally.crashes += 1;
                tally.clean += usize::from(left.path().join(".kafka_cleanshutdown").exists());
                if let Err(broken) = verdict::of(left.path(), &all, config()) {
                    let last: Vec<String> =
                        ops[moment.saturating_sub(6)..moment].iter().map(|op| format!("\n  {op}")).collect();
                    if std::env::var_os("LOGDIR_POWER_TRACE").is_some() {
                        let mut marks = self.marks.iter().peekable();
                        for (at, op) in ops[..moment].iter().enumerate() {
                            while let Some(mark) = marks.next_if(|mark| mark.at <= at) {
                                let acknowledged: Vec<_> =
                                    mark.known.acknowledged.keys().map(|(p, o)| format!("{p}@{o}")).collect();
                                println!("  acknowledged {}", acknowledged.join(" "));
                            }
                            println!("{at} {op}");
                        }
                    }
                    let state = list(left.path());
                    panic!(
                        "LOGDIR_POWER_SEED={}: power lost after operation {moment} of {}, {keep:?}: {broken}\nlast operations:{}\nleft:{state}",
                        self.seed,
                        ops.len(),
                        last.concat()
                    );
                }
                if random.u8(0..40) == 0 {
                    tally.reopened += 1;
                    reopen(left.path(), &all, self.seed);
                }
            }
            if let Some(op) = ops.get(moment) {
                disk.apply(op);
            }
        }
        tally
    }
}

/// A session of ours on what is left: takes it up, appends to every log and marks it as the broker's rules allow.
fn reopen(dir: &Path, known: &Known, seed: u64) {
    let options = SessionOptions { config: config(), durability: Durability::Synced, allow_truncate: true };
    let mut session = AppendSession::open(dir, options).unwrap();
    let mut known = known.clone();
    for partition in known.made.clone() {
        let end = session.log(&partition, 2_000_000).unwrap().log_end().get();
        let mut builder = BatchBuilder::new(BatchSpec { base_sequence: -1, ..BatchSpec::default() });
        let value = format!("{partition} after").into_bytes();
        builder.push(&NewRecord { timestamp_ms: 2_000_000, value: Some(&value), ..NewRecord::default() }).unwrap();
        let mut batch = builder.seal(&mut Compressor::default()).unwrap();
        let appended = session.append(&partition, &mut batch, 2_000_001).unwrap();
        assert!(matches!(appended, Appended::Stored { first, .. } if first.get() == end), "seed {seed}: {appended:?}");
        known.written.entry((partition.clone(), end)).or_default().insert(value.clone());
        known.acknowledged.insert((partition, end), value);
    }
    session.close(2_000_002).unwrap();
    known.closed = false;
    verdict::of(dir, &known, config()).unwrap_or_else(|broken| panic!("LOGDIR_POWER_SEED={seed}: reopened: {broken}"));
}

/// In memory where there is such a place: what a disk keeps is decided here, and not by one.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn list(dir: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            text.push_str(&list(&path));
        } else {
            text.push_str(&format!("\n  {} {} bytes", path.display(), entry.metadata().unwrap().len()));
        }
    }
    text
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    operations: usize,
    crashes: usize,
    clean: usize,
    reopened: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.operations += other.operations;
        self.crashes += other.crashes;
        self.clean += other.clean;
        self.reopened += other.reopened;
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn play(salt: u64, play: impl Fn(&mut History)) {
    let seeds = match number("LOGDIR_POWER_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("LOGDIR_POWER_SEEDS").unwrap_or(1)).map(|seed| seed * 10 + salt).collect(),
    };
    let mut sum = Tally::default();
    for seed in &seeds {
        let mut history = History::new(*seed);
        play(&mut history);
        sum += history.lose_power(3);
    }
    println!("{} histories: {sum:?}", seeds.len());
}

#[test]
fn what_sessions_in_a_row_acknowledged_survives_the_loss_of_power() {
    play(1, History::sessions_in_a_row);
}

#[test]
fn what_sessions_side_by_side_acknowledged_survives_the_loss_of_power() {
    play(2, History::sessions_side_by_side);
}

fn walk(dir: &Path) -> Vec<(i64, Option<ProducerId>, i32)> {
    use crate::batch::Frame;
    use crate::batch::walk::Walker;
    use crate::storage::file_source::FileSource;
    let mut logs: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    let mut batches = Vec::new();
    for log in logs {
        let mut walker = Walker::new(FileSource::new(std::fs::File::open(log).unwrap()).unwrap());
        while let Ok(walked) = walker.step().unwrap() {
            let Frame::Batch(batch) = walked.frame else { continue };
            let last = batch.base_sequence() + batch.last_offset_delta();
            let producer = Some(batch.producer_id()).filter(|id| id.is_some());
            batches.push((batch.last_offset().get(), producer, last));
        }
    }
    batches
}

fn end_on_disk(dir: &Path) -> i64 {
    walk(dir).last().map_or(0, |(last, ..)| last + 1)
}

fn sequences_on_disk(dir: &Path) -> BTreeMap<ProducerId, i32> {
    walk(dir).into_iter().filter_map(|(_, producer, last)| Some((producer?, last))).collect()
}
