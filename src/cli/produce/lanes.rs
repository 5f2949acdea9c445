//! One lane for every partition that gets records: the batch being filled, and what became of those before.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::replicas;
use super::report::{LaneTally, Tally};
use super::sealer::{Sealed, Sealer};
use super::target::{self, Target};
use super::{Acks, Fsync, MinInsync, ProduceArgs, Timestamp};
use crate::batch::builder::{BatchBuilder, BatchSpec, BuildError, RatioEstimator, Timestamps};
use crate::batch::compression::Decompressor;
use crate::batch::view::HEADER_LEN;
use crate::batch::{BatchView, Frame};
use crate::cli::Outcome;
use crate::cli::args::GlobalArgs;
use crate::cli::consume::select::storage_problem;
use crate::cli::consume::stream::context_of;
use crate::cli::input::InputRecord;
use crate::cli::record_format::{Formatter, RecordFormat, Row};
use crate::cli::session::{session_problem, tell};
use crate::cli::topics::problem::create_problem;
use crate::cli::topics::say_made;
use crate::cli::ui::{Problem, Ui};
use crate::partitioner::Partitioner;
use crate::storage::create::TopicPlan;
use crate::storage::fs;
use crate::storage::producer_states::ProducerRefusal;
use crate::storage::recovery::{self, LoadOptions};
use crate::storage::replicated::{LogView, ReplicaSet};
use crate::storage::writer::log::{Appended, Refusal};
use crate::storage::writer::session::SessionError;
use crate::storage::writer::{AppendSession, LogConfig, SessionOptions};
use crate::types::{Codec, LeaderEpoch, Offset, ProducerId, TimestampMs, TimestampType, TopicPartition};

/// Uncompressed bytes at which a batch is full, however well it compresses.
const UNCOMPRESSED_MAX: usize = 512 << 10;
/// Uncompressed bytes that all open batches together may hold.
const OPEN_BYTES_MAX: usize = 16 << 20;
/// Stored bytes after which `--fsync batch` waits for the disk, and reports go out.
const COMMIT_BYTES: u64 = 1 << 20;

/// What a record takes beside its key, value and headers, about: length, attributes, deltas, lengths.
const RECORD_OVERHEAD: usize = 12;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Yes,
    /// It cannot be stored; [`Lanes::reason`] says why.
    No,
}

/// Who writes, with `--idempotent` and its like.
#[derive(Debug, Clone, Copy)]
struct Producer {
    id: ProducerId,
    epoch: i16,
    from_sequence: i32,
}

struct Topic {
    name: String,
    count: u32,
    partitioner: Partitioner,
    /// By partition.
    lanes: Vec<Option<usize>>,
    ratios: RatioEstimator,
}

struct Lane {
    topic: usize,
    partition: TopicPartition,
    /// Which log directory; of several replicas the leader's.
    dir: usize,
    /// All of them, where there are several.
    replicas: Option<Box<ReplicaSet>>,
    builder: BatchBuilder,
    /// When the open batch got its first record.
    opened: Option<Instant>,
    next_sequence: i32,
    /// Records that the partition has already.
    skip: u64,
    /// Of a dry run: the offset the next record would get.
    dry_next: Offset,
    tally: LaneTally,
}

/// All lanes, the sessions below them, and the threads beside them.
pub struct Lanes<'a> {
    args: &'a ProduceArgs,
    target: Target,
    sessions: Vec<Option<AppendSession>>,
    topics: Vec<Topic>,
    lanes: Vec<Lane>,
    sealer: Sealer,
    spare: Vec<BatchBuilder>,
    producer: Option<Producer>,
    config: LogConfig,
    min_insync_replicas: MinInsync,
    /// Of a dry run: what writing to several replicas comes to, by partition.
    foreseen: BTreeMap<TopicPartition, ReplicaSet>,
    batch_size: usize,
    seed: u64,
    now_ms: TimestampMs,
    open_bytes: usize,
    uncommitted: u64,
    flushed_at: Instant,
    formatter: Option<(Formatter, Decompressor)>,
    /// Lines to be printed once what they speak of is as safe as was asked for.
    lines: Vec<u8>,
    /// Records left out on request.
    pub skipped: u64,
    /// Something was appended.
    has_stored: bool,
    /// Why the record last refused cannot be stored.
    reason: String,
    /// Every record has something to be looked at: an offset, a sequence, a timestamp it must have.
    is_particular: bool,
    /// Uncompressed bytes at which a batch is full.
    uncompressed_max: usize,
    /// Largest record, where that is known before it is compressed.
    record_bytes_max: usize,
}

impl<'a> Lanes<'a> {
    /// Nothing opened yet.
    pub fn new(args: &'a ProduceArgs, global: &GlobalArgs, target: Target, ui: &Ui) -> anyhow::Result<Lanes<'a>> {
        let producer = producer_of(args)?;
        // With an id of its own a rerun has to send the same records the same way.
        let seed = match (args.seed, producer) {
            (Some(seed), _) => seed,
            (None, Some(producer)) => producer.id.0.cast_unsigned(),
            (None, None) => random()?,
        };
        let config = args.config(global)?;
        let threads = if args.compression.codec() == Codec::None { 1 } else { global.threads().get() };
        let format = args.output_format.clone().map(RecordFormat::Text);
        Ok(Lanes {
            sessions: target.dirs.iter().map(|_| None).collect(),
            target,
            topics: Vec::new(),
            lanes: Vec::new(),
            sealer: Sealer::new(threads),
            spare: Vec::new(),
            producer,
            config,
            min_insync_replicas: args.min_insync_replicas(global)?,
            foreseen: BTreeMap::new(),
            batch_size: usize::try_from(args.batch_size).unwrap_or(usize::MAX),
            seed,
            now_ms: clock_ms(),
            open_bytes: 0,
            uncommitted: 0,
            flushed_at: Instant::now(),
            formatter: format.map(|format| (Formatter::new(format, ui.time_text()), Decompressor::default())),
            lines: Vec::new(),
            skipped: 0,
            has_stored: false,
            reason: String::new(),
            is_particular: args.keep_offsets || producer.is_some() || args.timestamps_from_input,
            uncompressed_max: UNCOMPRESSED_MAX.max(usize::try_from(args.batch_size).unwrap_or(usize::MAX)),
            record_bytes_max: match args.compression.codec() {
                Codec::None => (config.max_message_bytes as usize).saturating_sub(HEADER_LEN),
                _ => usize::MAX,
            },
            args,
        })
    }

    /// Puts a record into its partition's batch.
    #[inline]
    pub fn take(&mut self, record: &InputRecord<'_>, ui: &mut Ui) -> anyhow::Result<Taken> {
        let topic = match (&self.args.topic, self.topics.is_empty()) {
            (Some(_), false) => 0,
            _ => match self.topic_of(record, ui)? {
                Some(topic) => topic,
                None => return Ok(Taken::No),
            },
        };
        let timestamp_ms = match (self.args.timestamp, record.timestamp_ms) {
            (Some(Timestamp::At(ms)), _) | (None, Some(ms)) => ms,
            _ => self.now_ms,
        };
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let bytes = len(record.key) + len(record.value) + record.headers.parts().1.len() + RECORD_OVERHEAD;
        let named = match (self.args.partition, self.args.partitioner) {
            (Some(partition), _) => Some(partition),
            (None, None) => record.partition,
            (None, Some(_)) => None,
        };
        let topic_state = &mut self.topics[topic];
        let partition = match named {
            None => topic_state.partitioner.partition(record.key, bytes),
            Some(partition) if u32::try_from(partition).is_ok_and(|partition| partition < topic_state.count) => {
                partition
            }
            Some(partition) => return Ok(self.no_partition(topic, partition)),
        };
        let lane = usize::try_from(partition).ok().and_then(|at| *topic_state.lanes.get(at)?);
        let lane = match lane {
            Some(lane) => lane,
            None => self.open_lane(topic, partition, ui).map_err(|error| self.after_others(error))?,
        };
        let timestamps = match (record.timestamp_type, self.args.timestamp) {
            (Some(TimestampType::LogAppend), None) => Timestamps::LogAppend(timestamp_ms),
            _ => Timestamps::Create,
        };
        // Nearly every record joins the open batch as it is.
        let open = &mut self.lanes[lane];
        if open.skip == 0
            && !self.is_particular
            && !open.builder.is_empty()
            && open.builder.spec().timestamps == timestamps
            && open.builder.uncompressed_size() < self.uncompressed_max
            && bytes <= self.record_bytes_max
        {
            let parts = (record.key, record.value);
            if let Ok(true) = open.builder.push_if_room(None, timestamp_ms, parts, record.headers, self.batch_size) {
                self.open_bytes += bytes;
                return Ok(Taken::Yes);
            }
        }
        self.start_or_refuse(lane, record, timestamp_ms, timestamps, bytes, ui)
    }

    /// Why the record last refused cannot be stored.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// "Refused" says that nothing was changed: not so once others have taken records, which are stored then.
    fn after_others(&self, error: anyhow::Error) -> anyhow::Error {
        let problem = Problem::of(&error);
        if self.lanes.is_empty() || self.args.dry_run || problem.ends_with() != Outcome::Refused {
            return error;
        }
        problem.outcome(Outcome::Findings).into()
    }

    #[cold]
    fn refuse(&mut self, reason: impl Into<String>) -> Taken {
        self.reason = reason.into();
        Taken::No
    }

    #[cold]
    fn no_partition(&mut self, topic: usize, partition: i32) -> Taken {
        let Topic { name, count, .. } = &self.topics[topic];
        let reason = format!("partition {partition} of topic '{name}' does not exist, it has {count}");
        self.refuse(reason)
    }

    fn topic_of(&mut self, record: &InputRecord<'_>, ui: &mut Ui) -> anyhow::Result<Option<usize>> {
        let Some(name) = self.args.topic.as_deref().or(record.topic) else {
            self.refuse("names no topic, and there is no -t");
            return Ok(None);
        };
        if let Some(at) = self.topics.iter().position(|topic| topic.name == name) {
            return Ok(Some(at));
        }
        self.open_topic(name, ui).map(Some).map_err(|error| self.after_others(error))
    }

    fn open_topic(&mut self, name: &str, ui: &mut Ui) -> anyhow::Result<usize> {
        let topic = self.target.topic(name, self.args)?.clone();
        if self.target.broker_count() > 1 {
            // All of them before anything is written: what is refused for one partition leaves the others as they were.
            let is_meant = |partition: &i32| self.args.partition.is_none_or(|only| only == *partition);
            for partition in topic.partitions().filter(is_meant) {
                let tp = TopicPartition::new(name, partition);
                let set = self.foresee(&tp, &topic, ui)?;
                if self.args.dry_run {
                    self.foreseen.insert(tp, set);
                }
            }
        }
        let (count, number) = (topic.count, self.topics.len() as u64);
        let strategy = self.args.partitioner.unwrap_or_default();
        self.topics.push(Topic {
            name: name.to_owned(),
            count: count.get(),
            partitioner: Partitioner::new(strategy, count, self.args.batch_size, self.seed.wrapping_add(number)),
            lanes: Vec::new(),
            ratios: RatioEstimator::default(),
        });
        Ok(self.topics.len() - 1)
    }

    fn open_lane(&mut self, topic: usize, partition: i32, ui: &mut Ui) -> anyhow::Result<usize> {
        let name = self.topics[topic].name.clone();
        let tp = TopicPartition::new(name.clone(), partition);
        let known = self.target.topic(&name, self.args)?.clone();
        let dirs = known.dirs_of(partition);
        let Some(dir) = dirs.first().copied() else {
            let text = format!("partition {tp} is in none of the log directories");
            let hint = "name the others with -d too, or choose a partition with -p";
            return Err(Problem::new("not_found", text).hint(hint).into());
        };
        let mut lane = Lane {
            topic,
            partition: tp.clone(),
            dir,
            replicas: None,
            builder: self.spare.pop().unwrap_or_else(|| BatchBuilder::new(BatchSpec::default())),
            opened: None,
            next_sequence: self.producer.map_or(-1, |producer| producer.from_sequence),
            skip: 0,
            dry_next: Offset::ZERO,
            tally: LaneTally::new(tp.clone()),
        };
        let is_replicated = self.target.broker_count() > 1;
        if self.args.dry_run && is_replicated {
            if let Some(set) = self.foreseen.remove(&tp) {
                replicas::tell(&tp, &set, true, ui);
                (lane.dir, lane.dry_next) = (set.dir(set.leader()), set.log_end());
            }
        } else if self.args.dry_run {
            lane.dry_next = self.look_at(&tp, dir, is_missing(&known, partition, dir), ui)?.log_end;
        } else {
            for dir in dirs {
                self.open_session(*dir, ui)?;
            }
            for plan in &known.missing {
                self.create(plan, ui)?;
            }
            let mut logs = Vec::with_capacity(dirs.len());
            for dir in dirs {
                logs.push(self.open_log(&tp, *dir, ui)?);
            }
            if is_replicated {
                let set = replicas::plan(&tp, dirs, logs, self.args, self.min_insync_replicas, &mut self.target)?;
                replicas::check(&tp, &set, self.args, &self.target)?;
                set.keep_high_watermarks(&mut self.sessions);
                for step in set.steps() {
                    let done = set.carry_out(step, &mut self.sessions, self.now_ms);
                    done.map_err(|error| session_problem(&error))?;
                }
                set.tell_high_watermarks(&mut self.sessions, false);
                replicas::tell(&tp, &set, false, ui);
                lane.dir = set.dir(set.leader());
                lane.replicas = Some(Box::new(set));
            }
            if let (Some(producer), Some(session)) = (self.producer, self.sessions[lane.dir].as_mut()) {
                let log = session.log(&tp, self.now_ms).map_err(|error| session_problem(&error))?;
                let known = log.producers().producer(producer.id).map(|state| state.to_entry());
                let there = known.and_then(|state| already_there(&producer, state.producer_epoch, state.last_sequence));
                lane.skip = there.unwrap_or_default();
                if lane.skip > 0 {
                    // What the run before stored counts as stored by this one, which must not end before it is on disk.
                    let dirs = if is_replicated { dirs } else { std::slice::from_ref(&lane.dir) };
                    for dir in dirs {
                        if let Some(session) = self.sessions[*dir].as_mut() {
                            session.vouch_for(&tp, self.now_ms).map_err(|error| session_problem(&error))?;
                        }
                    }
                }
            }
        }
        self.lanes.push(lane);
        let (number, at) = (self.lanes.len() - 1, usize::try_from(partition).unwrap_or_default());
        let lanes = &mut self.topics[topic].lanes;
        if lanes.len() <= at {
            lanes.resize(at + 1, None);
        }
        lanes[at] = Some(number);
        Ok(number)
    }

    /// What writing to all replicas of a partition comes to. Reads only.
    fn foresee(&mut self, tp: &TopicPartition, known: &target::Topic, ui: &mut Ui) -> anyhow::Result<ReplicaSet> {
        let dirs = known.dirs_of(tp.partition);
        let mut logs = Vec::with_capacity(dirs.len());
        for dir in dirs {
            logs.push(self.look_at(tp, *dir, is_missing(known, tp.partition, *dir), ui)?);
        }
        let is_new = logs.iter().all(|log| log.log_end == Offset::ZERO);
        let set = replicas::plan(tp, dirs, logs, self.args, self.min_insync_replicas, &mut self.target)?;
        replicas::check(tp, &set, self.args, &self.target)?;
        if !is_new {
            replicas::check_ends(tp, &set, &self.target)?;
        }
        Ok(set)
    }

    /// Opens a partition in the session of a log directory.
    fn open_log(&mut self, tp: &TopicPartition, dir: usize, ui: &mut Ui) -> anyhow::Result<LogView> {
        let Some(session) = self.sessions[dir].as_mut() else { return Err(anyhow::anyhow!("no session")) };
        let opened = session.log(tp, self.now_ms).map(LogView::of).map_err(|error| session_problem(&error));
        for event in session.take_events() {
            tell(&event, ui);
        }
        Ok(opened?)
    }

    fn open_session(&mut self, dir: usize, ui: &mut Ui) -> anyhow::Result<()> {
        if self.sessions[dir].is_some() {
            return Ok(());
        }
        let options = SessionOptions {
            config: self.config,
            durability: self.args.durability(),
            allow_truncate: self.args.allow_truncate,
        };
        // Of several brokers' directories each waits for the others.
        let open = if self.target.broker_count() > 1 { AppendSession::open_alone } else { AppendSession::open };
        let session = open(&self.target.dirs[dir], options).map_err(|error| session_problem(&error))?;
        for notice in session.at_start().notices() {
            ui.warning(Problem::new("notice", notice.message.clone()).path(&notice.path));
        }
        self.sessions[dir] = Some(session);
        Ok(())
    }

    /// Makes the partitions of a topic that are missing.
    fn create(&mut self, plan: &TopicPlan, ui: &mut Ui) -> anyhow::Result<()> {
        for (dir, partitions) in plan.by_dir() {
            self.open_session(dir, ui)?;
            if let Some(session) = self.sessions[dir].as_mut() {
                session.create_partitions(&partitions, plan.topic_id).map_err(|error| create_problem(&error))?;
            }
        }
        self.target.made(&plan.topic);
        say_made(plan, ui);
        Ok(())
    }

    /// Of a dry run: a partition's log, as opening it would find it.
    fn look_at(&self, tp: &TopicPartition, dir: usize, missing: bool, ui: &mut Ui) -> anyhow::Result<LogView> {
        let path = self.target.dirs[dir].join(tp.to_string());
        if missing {
            return Ok(LogView::default());
        }
        let log_dir = crate::storage::log_dir::LogDir::open(&self.target.dirs[dir]).map_err(|e| storage_problem(&e))?;
        let checkpoints = log_dir.checkpoints(&crate::storage::names::PartitionDirName::live(tp.clone()));
        let options = LoadOptions {
            clean: log_dir.clean_shutdown().is_some(),
            recovery_point: checkpoints.recovery_point.unwrap_or(Offset::ZERO),
            log_start: checkpoints.log_start.unwrap_or(Offset::ZERO),
            now_ms: self.now_ms,
            config: self.config,
        };
        let plan = recovery::plan(&path, &options).map_err(|error| session_problem(&SessionError::Load(error)))?;
        if !plan.losses.is_empty() && !self.args.dry_run && !self.args.allow_truncate {
            return Err(session_problem(&SessionError::WouldLose { dir: path, losses: plan.losses }).into());
        }
        for loss in plan.losses.iter().filter(|_| self.args.dry_run) {
            ui.warning(Problem::new("would_lose", loss.to_string()));
        }
        Ok(LogView { log_start: plan.log_start, log_end: plan.log_end, epochs: plan.epochs })
    }

    /// Puts a record into a batch of its own making, or into the open one if it may: with all that can be
    /// special about a record.
    fn start_or_refuse(
        &mut self,
        number: usize,
        record: &InputRecord<'_>,
        timestamp_ms: TimestampMs,
        timestamps: Timestamps,
        bytes: usize,
        ui: &mut Ui,
    ) -> anyhow::Result<Taken> {
        if self.args.timestamps_from_input && record.timestamp_ms.is_none() {
            return Ok(self.refuse("has no timestamp"));
        }
        if bytes > self.record_bytes_max {
            let max = self.config.max_message_bytes;
            return Ok(self.refuse(format!("takes {bytes} bytes, a batch may have {max} (--max-message-bytes)")));
        }
        let (offset, epoch) = match (self.args.keep_offsets, record.offset) {
            (false, _) => (None, LeaderEpoch::NONE),
            (true, None) => return Ok(self.refuse("has no offset")),
            (true, offset) => (offset, record.leader_epoch.unwrap_or(LeaderEpoch(0))),
        };
        let is_sequenced = self.producer.is_some();
        let lane = &mut self.lanes[number];
        if lane.skip > 0 {
            lane.skip -= 1;
            lane.tally.duplicates += 1;
            lane.next_sequence = after(lane.next_sequence);
            return Ok(Taken::Yes);
        }
        for _ in 0..2 {
            let lane = &mut self.lanes[number];
            if lane.builder.is_empty() {
                let codec = self.args.compression.codec();
                lane.builder.reset(BatchSpec {
                    base_offset: offset.unwrap_or(Offset::ZERO),
                    leader_epoch: epoch,
                    compression: self.args.compression,
                    timestamps,
                    producer_id: self.producer.map_or(ProducerId::NONE, |producer| producer.id),
                    producer_epoch: self.producer.map_or(-1, |producer| producer.epoch),
                    base_sequence: lane.next_sequence,
                    ..BatchSpec::default()
                });
                lane.builder.set_estimated_ratio(self.topics[lane.topic].ratios.estimation(codec));
                lane.opened = Some(Instant::now());
            }
            let spec = lane.builder.spec();
            let joins = spec.timestamps == timestamps
                && spec.leader_epoch == epoch
                && lane.builder.uncompressed_size() < self.uncompressed_max;
            if joins {
                let parts = (record.key, record.value);
                match lane.builder.push_if_room(offset, timestamp_ms, parts, record.headers, self.batch_size) {
                    Ok(true) => {
                        if is_sequenced {
                            lane.next_sequence = after(lane.next_sequence);
                        }
                        self.open_bytes += bytes;
                        if self.open_bytes > OPEN_BYTES_MAX {
                            self.close_all(ui)?;
                        }
                        return Ok(Taken::Yes);
                    }
                    // Too far from the first one for one batch.
                    Ok(false) | Err(BuildError::OffsetDelta { .. }) => {}
                    Err(error) => return Ok(self.refuse(error.to_string())),
                }
            }
            self.close(number, ui)?;
        }
        Ok(self.refuse("does not fit into a batch"))
    }

    /// Ends a lane's open batch and sends it on its way.
    fn close(&mut self, number: usize, ui: &mut Ui) -> anyhow::Result<()> {
        let lane = &mut self.lanes[number];
        if lane.builder.is_empty() {
            return Ok(());
        }
        lane.opened = None;
        self.open_bytes = self.open_bytes.saturating_sub(lane.builder.uncompressed_size());
        let next = self.spare.pop().unwrap_or_else(|| BatchBuilder::new(BatchSpec::default()));
        let full = std::mem::replace(&mut lane.builder, next);
        self.sealer.submit(number, full);
        self.append_sealed(false, ui)
    }

    fn close_all(&mut self, ui: &mut Ui) -> anyhow::Result<()> {
        for number in 0..self.lanes.len() {
            self.close(number, ui)?;
        }
        self.open_bytes = 0;
        Ok(())
    }

    /// Appends what is sealed, in order; with `wait`, all that is under way.
    fn append_sealed(&mut self, wait: bool, ui: &mut Ui) -> anyhow::Result<()> {
        while let Some(sealed) = self.sealer.next(wait) {
            self.append(sealed, ui)?;
        }
        Ok(())
    }

    fn append(&mut self, sealed: Sealed, ui: &mut Ui) -> anyhow::Result<()> {
        let Sealed { lane: number, uncompressed_bytes, records, mut builder, batch } = sealed;
        let stored = self.has_stored;
        let lane = &mut self.lanes[number];
        let mut batch = batch.map_err(|error| Problem::new("bad_input", format!("{}: {error}", lane.partition)))?;
        let codec = self.args.compression.codec();
        self.topics[lane.topic].ratios.update(codec, builder.observed_ratio());
        let appended = match self.sessions[lane.dir].as_mut() {
            Some(session) => {
                let appended = match &mut lane.replicas {
                    Some(set) => set.append(&mut self.sessions, &mut batch, self.args.keep_offsets, self.now_ms),
                    None if self.args.keep_offsets => {
                        session.append_with_offsets(&lane.partition, batch.bytes(), self.now_ms)
                    }
                    None => session.append(&lane.partition, &mut batch, self.now_ms),
                };
                for session in self.sessions.iter_mut().flatten() {
                    for event in session.take_events() {
                        tell(&event, ui);
                    }
                }
                appended.map_err(|error| {
                    let problem = session_problem(&error);
                    // "Refused" says that nothing was changed.
                    if stored && problem.ends_with() == Outcome::Refused {
                        return problem.outcome(Outcome::Findings);
                    }
                    problem
                })?
            }
            None => dry_append(lane, batch.view(), self.args.keep_offsets),
        };
        match appended {
            Appended::Stored { first, last } => {
                let size = batch.bytes().len() as u64;
                lane.tally.stored(first, last, records, size, uncompressed_bytes as u64);
                self.uncommitted += size;
                self.has_stored = true;
                if self.args.dry_run {
                    batch.assign(first, batch.view().leader_epoch());
                }
                if let Some((formatter, decompressor)) = &mut self.formatter {
                    print_stored(formatter, decompressor, &lane.partition, batch.view(), &mut self.lines);
                }
            }
            Appended::Duplicate { .. } => lane.tally.duplicates += records,
            Appended::Refused(refusal) => {
                return Err(refusal_problem(&lane.partition, &refusal, self.args.keep_offsets).into());
            }
        }
        builder.recycle(batch);
        self.spare.push(builder);
        if self.uncommitted >= COMMIT_BYTES {
            self.commit(ui)?;
        }
        Ok(())
    }

    /// Makes what was appended as safe as was asked for, then reports it.
    fn commit(&mut self, ui: &mut Ui) -> anyhow::Result<()> {
        self.uncommitted = 0;
        if self.args.fsync == Fsync::Batch {
            self.flush()?;
        } else if !self.lines.is_empty() {
            for session in self.sessions.iter_mut().flatten() {
                session.write_out().map_err(|error| storage_problem(&error))?;
            }
        }
        if !self.lines.is_empty() {
            ui.out().buffer().append(&mut self.lines);
            let _ = ui.out().drain()?;
        }
        Ok(())
    }

    /// Before the sessions end: what all replicas have is on all disks before a high watermark says so.
    fn settle_replicas(&mut self, outcome: Outcome, ui: &mut Ui) {
        if self.lanes.iter().all(|lane| lane.replicas.is_none()) {
            return;
        }
        let mut has_failed = outcome == Outcome::Failed;
        for session in self.sessions.iter_mut().flatten() {
            let done = if self.args.fsync == Fsync::Never { session.write_out() } else { session.flush() };
            // It is told once more, with its reason, when the session is closed.
            has_failed |= done.is_err();
        }
        for set in self.lanes.iter().filter_map(|lane| lane.replicas.as_ref()) {
            set.tell_high_watermarks(&mut self.sessions, has_failed);
        }
        if has_failed {
            let text = "a replica failed: records may be in the leader's log and not in all others; high watermarks are as before";
            ui.warning(Problem::new("not_replicated", text).hint("the next run makes the replicas level first"));
        }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        for session in self.sessions.iter_mut().flatten() {
            session.flush().map_err(|error| storage_problem(&error))?;
        }
        self.flushed_at = Instant::now();
        Ok(())
    }

    /// `--flush-ms`, and the clock for records that bring no time.
    pub fn flush_if_due(&mut self) -> anyhow::Result<()> {
        self.now_ms = clock_ms();
        match self.flush_every() {
            Some(every) if self.flushed_at.elapsed() >= every => self.flush(),
            _ => Ok(()),
        }
    }

    fn flush_every(&self) -> Option<Duration> {
        Some(self.config.flush_ms).filter(|ms| *ms < u64::MAX).map(Duration::from_millis)
    }

    /// The input has nothing to read: batches that have waited for `linger` leave; returns how long to wait at
    /// most for more input, `None` once nothing is left that could be done meanwhile.
    pub fn rest(&mut self, linger: Duration, ui: &mut Ui) -> anyhow::Result<Option<Duration>> {
        self.flush_if_due()?;
        let mut next: Option<Duration> = None;
        for number in 0..self.lanes.len() {
            let Some(waited) = self.lanes[number].opened.map(|opened| opened.elapsed()) else { continue };
            match linger.checked_sub(waited).filter(|left| !left.is_zero()) {
                Some(left) => next = Some(next.map_or(left, |next| next.min(left))),
                None => self.close(number, ui)?,
            }
        }
        if next.is_some() {
            return Ok(next);
        }
        self.append_sealed(true, ui)?;
        self.commit(ui)?;
        for session in self.sessions.iter_mut().flatten() {
            session.write_out().map_err(|error| storage_problem(&error))?;
            session.end_turns().map_err(|error| storage_problem(&error))?;
        }
        Ok(self
            .flush_every()
            .map(|every| every.saturating_sub(self.flushed_at.elapsed()).max(Duration::from_millis(1))))
    }

    /// Appends everything taken so far.
    pub fn drain(&mut self, ui: &mut Ui) -> anyhow::Result<()> {
        self.close_all(ui)?;
        self.append_sealed(true, ui)
    }

    /// Appends the rest and ends the sessions; says what was written.
    pub fn finish(mut self, outcome: Outcome, ui: &mut Ui) -> anyhow::Result<(Outcome, Tally)> {
        let mut outcome = outcome;
        // After a failure the rest is not tried again, but what is there is closed in good order.
        if outcome != Outcome::Failed
            && outcome != Outcome::Refused
            && let Err(error) = self.drain(ui).and_then(|()| self.commit(ui))
        {
            let problem = Problem::of(&error);
            outcome |= problem.ends_with();
            ui.error(problem);
        }
        let now_ms = clock_ms();
        self.settle_replicas(outcome, ui);
        for session in std::mem::take(&mut self.sessions).into_iter().flatten() {
            match session.close(now_ms) {
                Ok(events) => events.iter().for_each(|event| tell(event, ui)),
                Err(error) => {
                    let problem = session_problem(&error);
                    outcome |= problem.ends_with();
                    ui.error(problem);
                }
            }
        }
        let mut lanes: Vec<LaneTally> = self.lanes.into_iter().map(|lane| lane.tally).collect();
        lanes.sort_by(|a, b| a.partition.cmp(&b.partition));
        let tally = Tally {
            lanes,
            skipped: self.skipped,
            producer: self.producer.map(|producer| (producer.id, producer.epoch)),
            offsets_known: self.args.acks != Acks::None,
        };
        Ok((outcome, tally))
    }
}

/// Whether a partition is still to be made in a log directory.
fn is_missing(topic: &target::Topic, partition: i32, dir: usize) -> bool {
    topic.missing.iter().any(|plan| plan.missing.get(&partition) == Some(&dir))
}

fn dry_append(lane: &mut Lane, batch: BatchView<'_>, keep_offsets: bool) -> Appended {
    let (first, last) = if keep_offsets {
        (batch.base_offset(), batch.last_offset())
    } else {
        (lane.dry_next, lane.dry_next.plus(i64::from(batch.last_offset_delta())))
    };
    if first < lane.dry_next {
        return Appended::Refused(Refusal::OffsetOrder { found: first, expected: lane.dry_next });
    }
    lane.dry_next = last.next();
    Appended::Stored { first, last }
}

/// Sequences wrap after 2147483647 (`DefaultRecordBatch.incrementSequence`).
const fn after(sequence: i32) -> i32 {
    if sequence == i32::MAX { 0 } else { sequence + 1 }
}

/// How many of the records from the producer's first sequence on the partition has, up to `last`.
///
/// `None`: none that this could tell; the log's own checks answer then.
fn already_there(producer: &Producer, epoch: i16, last: i32) -> Option<u64> {
    if epoch != producer.epoch || last < 0 {
        return None;
    }
    // Sequences are a ring of 2^31: what is less than half of it ahead is ahead.
    let ahead = (i64::from(last) - i64::from(producer.from_sequence)).rem_euclid(1 << 31);
    (ahead < 1 << 30).then_some(ahead.cast_unsigned() + 1)
}

fn producer_of(args: &ProduceArgs) -> anyhow::Result<Option<Producer>> {
    let producer =
        |id: i64| Producer { id: ProducerId(id), epoch: args.producer_epoch, from_sequence: args.from_sequence };
    if let Some(id) = args.producer_id {
        return Ok(Some(producer(id)));
    }
    if let Some(path) = &args.state {
        return state_file(path, args).map(|id| Some(producer(id)));
    }
    Ok(if args.idempotent { Some(producer(new_producer_id()?)) } else { None })
}

/// A cluster hands ids out from 0 on, in blocks of 1000: the upper half of the range is never reached.
fn new_producer_id() -> anyhow::Result<i64> {
    let random = random()?;
    Ok(i64::try_from(random >> 2).unwrap_or_default() | 1 << 62)
}

fn random() -> anyhow::Result<u64> {
    Ok(getrandom::u64().map_err(io::Error::other)?)
}

/// The producer id kept in a file, which is made with a new one when it is not there.
fn state_file(path: &PathBuf, args: &ProduceArgs) -> anyhow::Result<i64> {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct State {
        producer_id: i64,
    }
    match fs::read_small(path, 1 << 16) {
        Ok(bytes) => match serde_json::from_slice::<State>(&bytes) {
            Ok(State { producer_id }) if producer_id >= 0 => Ok(producer_id),
            _ => {
                Err(Problem::new("malformed", "expected {\"producer_id\": N}, as --state writes it").path(path).into())
            }
        },
        Err(error) if error.is_not_found() => {
            let producer_id = new_producer_id()?;
            if !args.dry_run {
                let text = format!("{{\"producer_id\":{producer_id}}}\n");
                fs::replace_atomic(path, text.as_bytes()).map_err(|error| storage_problem(&error))?;
            }
            Ok(producer_id)
        }
        Err(error) => Err(storage_problem(&error).into()),
    }
}

fn clock_ms() -> TimestampMs {
    jiff::Timestamp::now().as_millisecond()
}

fn print_stored(
    formatter: &mut Formatter,
    decompressor: &mut Decompressor,
    partition: &TopicPartition,
    batch: BatchView<'_>,
    lines: &mut Vec<u8>,
) {
    let frame = Frame::Batch(batch);
    let context = context_of(&frame, partition);
    formatter.begin_batch(&context);
    let Ok(records) = frame.records(decompressor) else { return };
    for record in records.map_while(Result::ok) {
        formatter.write(Row { batch: &context, record: &record }, lines);
    }
}

fn refusal_problem(partition: &TopicPartition, refusal: &Refusal, keep_offsets: bool) -> Problem {
    let text = format!("{partition}: {refusal}");
    let (code, hint) = match refusal {
        Refusal::Producer(ProducerRefusal::InvalidProducerEpoch { .. }) => {
            ("fenced", "a newer epoch of this producer wrote here: take it over with a higher --producer-epoch")
        }
        Refusal::Producer(_) => {
            ("out_of_sequence", "the partition's last sequence of this producer tells where to go on: --from-sequence")
        }
        Refusal::MessageTooLarge { .. } => {
            ("too_large", "raise --max-message-bytes, and the topic's max.message.bytes")
        }
        Refusal::LargerThanSegment { .. } => ("too_large", "raise --segment-bytes"),
        Refusal::OffsetOrder { .. } if keep_offsets => {
            ("offset_order", "the log is ahead of the input already; leave --keep-offsets out to append at its end")
        }
        _ => ("refused", "batches before it are stored"),
    };
    Problem::new(code, text).outcome(Outcome::Findings).hint(hint)
}
