//! Real log directories on which a partition's failovers are played: `broker-0/topic-0`, `broker-1/topic-0` ...
//!
//! What the state machine ([`crate::replication::machine`]) says happens to a replica is done to its files by the same code that
//! appends, truncates and recovers logs elsewhere; then [`Stage::differences`] compares them with the state. Each record is a batch of
//! its own, with the record's name as its value.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::checkpoint::{self, OffsetCheckpoint};
use super::create::{self, CreateError};
use super::file_source::FileSource;
use super::fs::{self, StorageError};
use super::leader_epochs;
use super::lock::{DirLock, LockError};
use super::recovery::{self, LoadError, LoadOptions};
use super::writer::{Appended, Durability, LogConfig, LogWriter};
use super::{clean_shutdown, names};
use crate::batch::Frame;
use crate::batch::builder::{BatchBuilder, BatchSpec, NewRecord};
use crate::batch::compression::{Compressor, Decompressor};
use crate::batch::walk::{Stop, Walker};
use crate::replication::broker_set::Broker;
use crate::replication::effect::{CutBy, Effect};
use crate::replication::event::Event;
use crate::replication::log::{Record, Stored};
use crate::replication::rules::Rules;
use crate::replication::state::State;
use crate::types::{LeaderEpoch, Offset, Position, ProducerId, TimestampMs, TopicPartition, Uuid};

/// Why something could not be done to the directories.
#[derive(Debug, Error)]
pub enum StageError {
    /// A file.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A directory that could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// A lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A log that could not be opened.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A log did not take what a replica took.
    #[error("{}: did not take a batch: {reason}", path.display())]
    Refused {
        /// The partition directory.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// Something is there already.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
}

/// The brokers' directories, and the logs that are open.
#[derive(Debug)]
pub struct Stage {
    topic: TopicPartition,
    hosts: Vec<Host>,
    config: LogConfig,
    begun_ms: TimestampMs,
    idempotence: bool,
    producers: u32,
    compressor: Compressor,
}

/// One broker's log directory.
#[derive(Debug)]
struct Host {
    dir: PathBuf,
    topic_id: Uuid,
    /// While its process runs.
    running: Option<(DirLock, LogWriter)>,
}

impl Stage {
    /// Makes `dir/broker-0` and so on, each a log directory with the empty partition, and starts the brokers.
    ///
    /// # Errors
    ///
    /// `dir` has something in it, or cannot be written.
    pub fn create(dir: &Path, topic: &TopicPartition, rules: &Rules, now_ms: TimestampMs) -> Result<Stage, StageError> {
        if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(StageError::NotEmpty(dir.to_owned()));
        }
        let random = || create::random_uuid().map_err(|error| StorageError::new(dir, error));
        let (cluster_id, topic_id) = (random()?.to_string(), random()?);
        let mut stage = Stage {
            topic: topic.clone(),
            hosts: Vec::new(),
            config: LogConfig::default(),
            begun_ms: now_ms,
            idempotence: rules.idempotence,
            producers: rules.producers.max(1),
            compressor: Compressor::default(),
        };
        for broker in rules.all().iter() {
            let log_dir = dir.join(format!("broker-{broker}"));
            create::log_dir(&log_dir, &cluster_id, i32::from(broker), random()?)?;
            create::partition(&log_dir, topic, topic_id)?;
            stage.hosts.push(Host { dir: log_dir, topic_id, running: None });
            stage.start(broker)?;
        }
        let initial = State::<{ crate::replication::state::REPLICAS_MAX }>::initial(rules);
        for broker in rules.all().iter() {
            for entry in initial.replica(broker).epochs.entries() {
                stage.log(broker)?.begin_epoch(epoch(entry.epoch))?;
            }
        }
        Ok(stage)
    }

    /// The partition directories, by broker.
    pub fn partition_dirs(&self) -> Vec<PathBuf> {
        self.hosts.iter().map(|host| host.partition_dir(&self.topic)).collect()
    }

    /// Does to the directories what `effects` say an event did to the replicas; `state` is that after it.
    pub fn carry_out(&mut self, event: Event, effects: &[Effect], state: &State) -> Result<(), StageError> {
        match event {
            Event::Kill(broker) | Event::PowerLoss { broker, .. } => self.end(broker)?,
            Event::Stop(broker) => self.stop(broker, state)?,
            Event::Start(broker) => self.start(broker)?,
            Event::Wipe(broker) => self.wipe(broker)?,
            _ => {}
        }
        for effect in effects {
            match *effect {
                Effect::Appended { broker, stored, .. } => self.append(broker, stored)?,
                Effect::Copied { broker, leader, from, to } => self.copy(leader, broker, from, to)?,
                Effect::Cut { broker, to, why: CutBy::Power, .. } => self.lose(broker, to)?,
                Effect::Cut { why: CutBy::Wipe, .. } => {}
                Effect::Cut { broker, to, .. } | Effect::EpochsCut { broker, to } => self.truncate(broker, to)?,
                Effect::Leads { broker, epoch: led } if state.replica(broker).epochs.has(led) => {
                    self.log(broker)?.begin_epoch(epoch(led))?;
                }
                _ => {}
            }
        }
        self.settle(state)
    }

    /// Flushes what is flushed, and writes the checkpoints that say so.
    fn settle(&mut self, state: &State) -> Result<(), StageError> {
        for (at, host) in (0..).zip(&mut self.hosts) {
            let replica = state.replica(at);
            let flushed = offset(replica.flushed);
            if let Some((_, log)) = &mut host.running {
                if log.recovery_point() < flushed && log.log_end() == flushed {
                    log.flush()?;
                }
                log.write_out()?;
            }
            host.checkpoint(&self.topic, checkpoint::RECOVERY_POINT, flushed)?;
            host.checkpoint(&self.topic, checkpoint::HIGH_WATERMARK, offset(replica.hw_checkpoint))?;
        }
        Ok(())
    }

    fn host(&mut self, broker: Broker) -> &mut Host {
        &mut self.hosts[usize::from(broker)]
    }

    fn log(&mut self, broker: Broker) -> Result<&mut LogWriter, StageError> {
        let host = self.host(broker);
        let path = host.dir.clone();
        let not_running = || StageError::Refused { path, reason: "its broker does not run".into() };
        host.running.as_mut().map(|(_, log)| log).ok_or_else(not_running)
    }

    fn now_ms(&self, record: Record) -> TimestampMs {
        self.begun_ms + i64::from(record)
    }

    fn append(&mut self, broker: Broker, stored: Stored) -> Result<(), StageError> {
        let now_ms = self.now_ms(stored.record);
        let mut spec = BatchSpec::default();
        if self.idempotence {
            spec.producer_id = ProducerId(1000 + i64::from(stored.record % self.producers));
            spec.producer_epoch = 0;
            spec.base_sequence = i32::try_from(stored.record / self.producers).unwrap_or(0);
        }
        let mut builder = BatchBuilder::new(spec);
        let value = format!("m{}", stored.record);
        let path = self.hosts[usize::from(broker)].partition_dir(&self.topic);
        let refused = |reason: String| StageError::Refused { path: path.clone(), reason };
        let record = NewRecord { timestamp_ms: now_ms, key: None, value: Some(value.as_bytes()), headers: &[] };
        builder.push(&record).map_err(|error| refused(error.to_string()))?;
        let mut batch = builder.seal(&mut self.compressor).map_err(|error| refused(error.to_string()))?;
        match self.log(broker)?.append_as_leader(&mut batch, epoch(stored.epoch), now_ms)? {
            Appended::Stored { .. } => Ok(()),
            other => Err(refused(format!("{other:?}"))),
        }
    }

    /// The follower stores the leader's batches byte for byte.
    fn copy(&mut self, leader: Broker, follower: Broker, from: u64, to: u64) -> Result<(), StageError> {
        self.log(leader)?.write_out()?;
        let dir = self.hosts[usize::from(leader)].partition_dir(&self.topic);
        let mut bytes = Vec::new();
        each_batch(&dir, |at, frame| {
            if at >= from && at < to {
                bytes.extend_from_slice(frame.bytes());
            }
        })?;
        let now_ms = self.now_ms(0);
        let path = self.hosts[usize::from(follower)].partition_dir(&self.topic);
        match self.log(follower)?.append_as_follower(&bytes, now_ms)? {
            Appended::Stored { .. } => Ok(()),
            other => Err(StageError::Refused { path, reason: format!("{other:?}") }),
        }
    }

    fn truncate(&mut self, broker: Broker, to: u64) -> Result<(), StageError> {
        let now_ms = self.now_ms(0);
        let host = self.host(broker);
        if let Some((lock, log)) = host.running.take() {
            host.running = Some((lock, log.truncate_to(offset(to), now_ms)?));
        }
        Ok(())
    }

    /// The process is gone; what it had handed to the kernel is there.
    fn end(&mut self, broker: Broker) -> Result<(), StageError> {
        if let Some((lock, mut log)) = self.host(broker).running.take() {
            log.write_out()?;
            drop(lock);
        }
        Ok(())
    }

    /// What had not reached the disk is gone: the log file is shorter. Its indexes are left to the recovery.
    fn lose(&mut self, broker: Broker, to: u64) -> Result<(), StageError> {
        let dir = self.hosts[usize::from(broker)].partition_dir(&self.topic);
        let mut cut = None;
        let mut position = 0;
        each_batch(&dir, |at, frame| {
            if at >= to && cut.is_none() {
                cut = Some(position);
            }
            position += frame.bytes().len() as u64;
        })?;
        if let Some(cut) = cut {
            let path = log_path(&dir);
            let cut_off = std::fs::File::options().write(true).open(&path).and_then(|file| file.set_len(cut));
            cut_off.map_err(|error| StorageError::new(&path, error))?;
        }
        Ok(())
    }

    fn stop(&mut self, broker: Broker, state: &State) -> Result<(), StageError> {
        let epoch = state.replica(broker).clean.unwrap_or(0);
        let host = self.host(broker);
        if let Some((lock, mut log)) = host.running.take() {
            log.close()?;
            let marker = format!("{{\"version\":0,\"brokerEpoch\":{epoch}}}");
            fs::replace_atomic(&host.dir.join(clean_shutdown::FILE_NAME), marker.as_bytes())?;
            drop(lock);
        }
        Ok(())
    }

    /// The process starts, and recovers the log as its checkpoints and the marker say.
    fn start(&mut self, broker: Broker) -> Result<(), StageError> {
        let (config, now_ms, topic) = (self.config, self.now_ms(0), self.topic.clone());
        let host = self.host(broker);
        let lock = DirLock::exclusive(&host.dir)?;
        let marker = host.dir.join(clean_shutdown::FILE_NAME);
        let clean = clean_shutdown::read(&marker)?.is_some();
        let recovery_point = host.checkpointed(&topic, checkpoint::RECOVERY_POINT)?;
        let options = LoadOptions { clean, recovery_point, log_start: Offset::ZERO, now_ms, config };
        let plan = recovery::plan(&host.partition_dir(&topic), &options)?;
        plan.apply()?;
        let log = LogWriter::open(plan, config, Durability::Synced, now_ms)?;
        fs::remove_if_present(&marker)?;
        host.running = Some((lock, log));
        Ok(())
    }

    /// An empty disk, on which the broker makes the partition again.
    fn wipe(&mut self, broker: Broker) -> Result<(), StageError> {
        let topic = self.topic.clone();
        let host = self.host(broker);
        let dir = host.partition_dir(&topic);
        std::fs::remove_dir_all(&dir).map_err(|error| StorageError::new(&dir, error))?;
        for name in [clean_shutdown::FILE_NAME, checkpoint::RECOVERY_POINT, checkpoint::HIGH_WATERMARK] {
            fs::remove_if_present(&host.dir.join(name))?;
        }
        create::partition(&host.dir, &topic, host.topic_id)?;
        Ok(())
    }

    /// Where the directories are not as `state` says, one line each.
    ///
    /// Of a broker that is down the leader epochs are left out: they are made to fit its log when it starts.
    pub fn differences(&self, state: &State) -> Result<Vec<String>, StageError> {
        let mut found = Vec::new();
        for (broker, host) in (0..).zip(&self.hosts) {
            let replica = state.replica(broker);
            let dir = host.partition_dir(&self.topic);
            let mut differs = |what: &str, on_disk: String, expected: String| {
                if on_disk != expected {
                    found.push(format!("{}: {what} is {on_disk}, the state says {expected}", dir.display()));
                }
            };
            let mut stored = Vec::new();
            each_batch(&dir, |at, frame| stored.push(described(at, &frame)))?;
            let expected: Vec<String> = replica
                .log
                .entries()
                .zip(0_u64..)
                .map(|(stored, at)| format!("{at}:m{}@e{}", stored.record, stored.epoch))
                .collect();
            differs("the log", stored.join(" "), expected.join(" "));
            let marker = clean_shutdown::read(&host.dir.join(clean_shutdown::FILE_NAME))?;
            let marker = marker.map(|marker| marker.broker_epoch);
            differs(
                "the clean-shutdown marker",
                format!("{marker:?}"),
                format!("{:?}", replica.clean.map(|epoch| Some(i64::from(epoch)))),
            );
            for (name, value) in
                [(checkpoint::RECOVERY_POINT, replica.flushed), (checkpoint::HIGH_WATERMARK, replica.hw_checkpoint)]
            {
                differs(name, host.checkpointed(&self.topic, name)?.to_string(), value.to_string());
            }
            if replica.up {
                let epochs = leader_epochs::read(&dir.join(leader_epochs::FILE_NAME));
                let epochs = epochs.map_or_else(|_| Vec::new(), |epochs| epochs.entries().to_vec());
                let epochs: Vec<String> =
                    epochs.iter().map(|entry| format!("{} from {}", entry.epoch.0, entry.start)).collect();
                let expected: Vec<String> = replica
                    .epochs
                    .entries()
                    .iter()
                    .map(|entry| format!("{} from {}", entry.epoch, entry.start))
                    .collect();
                differs(leader_epochs::FILE_NAME, epochs.join(", "), expected.join(", "));
            }
        }
        Ok(found)
    }
}

impl Host {
    fn partition_dir(&self, topic: &TopicPartition) -> PathBuf {
        self.dir.join(topic.to_string())
    }

    fn checkpointed(&self, topic: &TopicPartition, name: &str) -> Result<Offset, StorageError> {
        let path = self.dir.join(name);
        match checkpoint::read(&path) {
            Ok(checkpoint) => Ok(checkpoint.get(topic).unwrap_or(Offset::ZERO)),
            Err(error) if error.is_not_found() => Ok(Offset::ZERO),
            Err(error) => Err(error),
        }
    }

    /// Writes a value to a checkpoint when it is another than there.
    fn checkpoint(&self, topic: &TopicPartition, name: &str, value: Offset) -> Result<(), StorageError> {
        if self.checkpointed(topic, name)? == value {
            return Ok(());
        }
        let text = OffsetCheckpoint::default().with(std::iter::once((topic, Some(value)))).to_text();
        fs::replace_atomic(&self.dir.join(name), text.as_bytes())
    }
}

fn offset(value: u64) -> Offset {
    Offset::new(i64::try_from(value).unwrap_or(i64::MAX))
}

fn epoch(value: u32) -> LeaderEpoch {
    LeaderEpoch(i32::try_from(value).unwrap_or(i32::MAX))
}

/// The only segment: scenarios are short.
fn log_path(dir: &Path) -> PathBuf {
    dir.join(names::segment_file_name(Offset::ZERO, names::SegmentFileKind::Log))
}

/// Every batch with its base offset, to the end or to the first that is not whole.
fn each_batch(dir: &Path, mut visit: impl FnMut(u64, Frame<'_>)) -> Result<(), StorageError> {
    let path = log_path(dir);
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StorageError::new(&path, error)),
    };
    let source = FileSource::new(file).map_err(|error| StorageError::new(&path, error))?;
    let mut walker = Walker::checked(source, Position::ZERO);
    loop {
        match walker.step().map_err(|error| StorageError::new(&path, error))? {
            Ok(walked) => {
                let at = walked.frame.base_offset().map_or(0, |base| u64::try_from(base.get()).unwrap_or(0));
                visit(at, walked.frame);
            }
            Err(Stop::End | Stop::Cut { .. } | Stop::Corrupt(_)) => return Ok(()),
        }
    }
}

/// `3:m3@e1`, as the file has it.
fn described(at: u64, frame: &Frame<'_>) -> String {
    let Frame::Batch(batch) = frame else { return format!("{at}: no batch of this time") };
    let mut decompressor = Decompressor::default();
    let first = frame.records(&mut decompressor).ok().and_then(|mut records| records.next()).and_then(Result::ok);
    let value = first.and_then(|record| record.value.map(|value| String::from_utf8_lossy(value).into_owned()));
    format!("{at}:{}@e{}", value.unwrap_or_default(), batch.leader_epoch().0)
}
