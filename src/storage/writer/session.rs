//! Appending to the partitions of one log directory, beside other processes that do the same.
//!
//! # The protocol
//!
//! 1. A session takes Kafka's lock on the directory, shared ([`DirLock`]): no broker starts meanwhile, none
//!    runs. This, and every change of the directory's own files, happens in a turn at the log directory.
//! 2. Before the first byte of a partition changes, or the first partition of an empty directory is made, `.kafka_cleanshutdown` is put aside: it becomes
//!    `.kafka_cleanshutdown.logdir`, whose first line counts the sessions that rely on it. A broker that starts
//!    after a crash finds no marker and recovers; a plain file of another name it ignores.
//! 3. A partition is appended to in a turn at its directory. A session that is alone keeps its turns; as soon
//!    as there are others it has one at a time, for one append, and hands everything to the kernel before it
//!    ends it. Who takes a turn first takes in what others appended, or recovers the log if one of them died
//!    in the middle.
//! 4. At its end a session closes its logs as a clean shutdown does, writes their recovery points, high
//!    watermarks and log start offsets, and the last one puts the marker back: if it was there, or the
//!    directory was new, and everything written since is known to be on disk, by every session.
//!
//! So after a clean end the next broker start scans nothing, and after any other it misses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::log::{Appended, LogWriter};
use super::write_back::WriteBack;
use super::{Durability, LogConfig};
use crate::batch::Frame;
use crate::batch::builder::BatchBuf;
use crate::batch::scan::Source;
use crate::batch::walk::{Stop, Walker};
use crate::storage::checkpoint::{self, CLEANER, HIGH_WATERMARK, LOG_START, RECOVERY_POINT};
use crate::storage::create::{self, CreateError};
use crate::storage::file_source::FileSource;
use crate::storage::fs::{self, StorageError};
use crate::storage::leader_epochs::LeaderEpochs;
use crate::storage::lock::{DirLock, LockError, Turn};
use crate::storage::log_dir::{LogDir, open_partition_dir};
use crate::storage::names::{DirKind, PartitionDirName, SegmentFileKind, segment_file_name};
use crate::storage::partition::{Checkpoints, Partition, present};
use crate::storage::recovery::{self, LoadError, LoadOptions, Loss, Plan};
use crate::storage::{clean_shutdown, index, index::offset::OffsetIndex};
use crate::types::{Offset, Position, TimestampMs, TopicPartition, Uuid};

/// Where the marker of a clean shutdown waits while sessions run.
const ASIDE: &str = ".kafka_cleanshutdown.logdir";
/// What a marker says of a directory that no broker had yet.
const NEW_MARKER: &[u8] = br#"{"version":0,"brokerEpoch":-1}"#;
/// Bytes handed to the kernel after which their write-back to the disk is started.
const WRITE_BACK_BYTES: u64 = 8 << 20;
/// Bytes that all logs together keep before they hand them to the kernel.
const PENDING_BYTES_MAX: usize = 16 << 20;

/// How a session writes.
#[derive(Debug, Clone, Copy)]
pub struct SessionOptions {
    /// Settings of every log.
    pub config: LogConfig,
    /// What [`AppendSession::flush`] and [`AppendSession::close`] promise.
    pub durability: Durability,
    /// Open logs that recovery shortens.
    pub allow_truncate: bool,
}

/// Why a session, or a partition in it, cannot be opened. Nothing was changed.
#[derive(Debug, Error)]
pub enum SessionError {
    /// A broker or another program has the directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A broker would not start on the partition either.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Recovery, as a broker does it, would remove data.
    #[error("{}: opening it for appending needs a recovery, which removes data: {}", dir.display(), first_of(losses))]
    WouldLose {
        /// The partition directory.
        dir: PathBuf,
        /// What would go.
        losses: Vec<Loss>,
    },
    /// There is no such partition directory.
    #[error("partition {partition} not found in {}", dir.display())]
    NoPartition {
        /// The partition.
        partition: TopicPartition,
        /// The log directory.
        dir: PathBuf,
    },
}

fn first_of(losses: &[Loss]) -> String {
    let more = losses.len().saturating_sub(1);
    let first = losses.first().map(Loss::to_string).unwrap_or_default();
    if more > 0 { format!("{first} (and {more} more)") } else { first }
}

/// Something a session did that its user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A log was read through and its indexes made again.
    Recovered {
        /// The partition directory.
        dir: PathBuf,
        /// Number of segments.
        segments: usize,
        /// What was done to files.
        changes: Vec<String>,
        /// Others write in the directory, and have not closed what they wrote: nothing need have gone wrong.
        is_shared: bool,
    },
    /// A log was shortened.
    Lost {
        /// The partition directory.
        dir: PathBuf,
        /// What is gone.
        losses: Vec<Loss>,
    },
    /// The directory was marked as cleanly shut down, and this log was not: it was recovered.
    MarkedCleanButIsNot {
        /// The partition directory.
        dir: PathBuf,
    },
}

/// Appends to the logs of one log directory.
#[derive(Debug)]
pub struct AppendSession {
    dir: PathBuf,
    lock: DirLock,
    turn: Turn,
    options: SessionOptions,
    /// The log directory as it was when the session began.
    at_start: LogDir,
    /// It was shut down cleanly, or holds no partition.
    clean: bool,
    /// No one else was in it then.
    first: bool,
    /// It held no partition then; since then, these were made by this session.
    is_new: bool,
    created: BTreeSet<TopicPartition>,
    /// When others were last looked for, and whether there were none.
    looked: (TimestampMs, bool),
    /// The marker is aside, and counts this session.
    begun: bool,
    /// A file could not be written or synced: of what came before, nothing can be promised any more.
    failed: bool,
    logs: BTreeMap<TopicPartition, Slot>,
    /// Of partitions whose other replicas need not have all that the log has.
    high_watermarks: BTreeMap<TopicPartition, Offset>,
    /// How far the cleaner has come, of logs that were copied with what it left.
    cleaner_points: BTreeMap<TopicPartition, Offset>,
    events: Vec<Event>,
    write_back: Option<WriteBack>,
    /// Bytes appended and not yet handed to the kernel, of all logs.
    pending_bytes: usize,
}

#[derive(Debug)]
struct Slot {
    turn: Turn,
    held: bool,
    log: LogWriter,
    /// Bytes in the log when its write-back was last started.
    written_back: u64,
}

impl AppendSession {
    /// Takes the lock of log directory `dir`. Nothing else changes before the first append.
    pub fn open(dir: &Path, options: SessionOptions) -> Result<AppendSession, SessionError> {
        AppendSession::open_under(dir, options, DirLock::shared)
    }

    /// The same, but nobody else appends meanwhile: for who has turns in several log directories, and would wait for another
    /// one who waits for it.
    pub fn open_alone(dir: &Path, options: SessionOptions) -> Result<AppendSession, SessionError> {
        AppendSession::open_under(dir, options, DirLock::exclusive)
    }

    fn open_under(
        dir: &Path,
        options: SessionOptions,
        lock: fn(&Path) -> Result<DirLock, LockError>,
    ) -> Result<AppendSession, SessionError> {
        let turn = Turn::at(dir)?;
        turn.take()?;
        let lock = lock(dir)?;
        let at_start = LogDir::open(dir)?;
        let first = lock.others()?.is_none();
        if first {
            // Of a session that ended by force. If the marker is gone too, the directory is not clean.
            fs::remove_if_present(&dir.join(ASIDE))?;
        }
        let is_new = kept(&at_start).next().is_none();
        let clean = at_start.clean_shutdown().is_some() || is_new || dir.join(ASIDE).exists();
        turn.end()?;
        let write_back = (options.durability == Durability::Synced).then(WriteBack::start);
        Ok(AppendSession {
            dir: dir.to_owned(),
            lock,
            turn,
            options,
            at_start,
            clean,
            first,
            is_new,
            created: BTreeSet::new(),
            looked: (TimestampMs::MIN, false),
            begun: false,
            failed: false,
            logs: BTreeMap::new(),
            high_watermarks: BTreeMap::new(),
            cleaner_points: BTreeMap::new(),
            events: Vec::new(),
            write_back,
            pending_bytes: 0,
        })
    }

    /// Most bytes that a log takes in one append (`segment.bytes`).
    pub fn segment_bytes(&self) -> usize {
        usize::try_from(self.options.config.segment_bytes).unwrap_or(usize::MAX)
    }

    /// The log directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The log directory as it was when the session began.
    pub const fn at_start(&self) -> &LogDir {
        &self.at_start
    }

    /// From now on logs are, or are not, opened that recovery shortens.
    pub const fn allow_truncate(&mut self, allow: bool) {
        self.options.allow_truncate = allow;
    }

    /// What was done that its user should know, since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Opens a partition, recovering it first where a broker would; returns its log.
    pub fn log(&mut self, partition: &TopicPartition, now_ms: TimestampMs) -> Result<&LogWriter, SessionError> {
        self.open_log(partition, now_ms)?;
        self.logs.get(partition).map(|slot| &slot.log).ok_or_else(|| self.no_partition(partition))
    }

    fn no_partition(&self, partition: &TopicPartition) -> SessionError {
        SessionError::NoPartition { partition: partition.clone(), dir: self.dir.clone() }
    }

    fn open_log(&mut self, partition: &TopicPartition, now_ms: TimestampMs) -> Result<(), SessionError> {
        if self.logs.contains_key(partition) {
            return Ok(());
        }
        let dir = self.dir.join(partition.to_string());
        if !dir.is_dir() {
            return Err(self.no_partition(partition));
        }
        // With others around a turn is never waited for while another one is held: two sessions would wait
        // for each other.
        self.end_turns_if_not_alone(now_ms)?;
        let turn = Turn::at(&dir)?;
        turn.take()?;
        let clean = self.clean && self.first && self.is_alone_in_writing()?;
        let log = self.recover(&dir, partition, clean, now_ms)?;
        self.logs.insert(partition.clone(), Slot { turn, held: true, log, written_back: 0 });
        Ok(())
    }

    /// Whether no one else has begun to write since the session started, but for those that ended in good order.
    ///
    /// Asked in a turn at a partition: who begins later finds it open.
    fn is_alone_in_writing(&self) -> Result<bool, StorageError> {
        if self.dir.join(clean_shutdown::FILE_NAME).exists() {
            return Ok(true);
        }
        let aside = Aside::read(&self.dir.join(ASIDE))?;
        Ok(aside.is_some_and(|aside| aside.sessions == u64::from(self.begun)))
    }

    fn recover(
        &mut self,
        dir: &Path,
        partition: &TopicPartition,
        clean: bool,
        now_ms: TimestampMs,
    ) -> Result<LogWriter, SessionError> {
        let checkpoints = self.checkpoints(partition)?;
        let mut options = LoadOptions {
            clean,
            recovery_point: checkpoints.recovery_point.unwrap_or(Offset::ZERO),
            log_start: checkpoints.log_start.unwrap_or(Offset::ZERO),
            now_ms,
            config: self.options.config,
        };
        let mut plan = recovery::plan(dir, &options);
        let trusted = clean && plan.as_ref().is_ok_and(|plan| ends_as_planned(plan).unwrap_or(false));
        if clean && !trusted {
            // A broker would take the wrong end for the right one, or not start: neither is for appending to.
            options.clean = false;
            plan = recovery::plan(dir, &options);
            self.events.push(Event::MarkedCleanButIsNot { dir: dir.to_owned() });
        }
        let mut plan = plan?;
        let losses = std::mem::take(&mut plan.losses);
        if !losses.is_empty() && !self.options.allow_truncate {
            return Err(SessionError::WouldLose { dir: dir.to_owned(), losses });
        }
        if plan.changes_files() {
            self.begin()?;
            plan.apply()?;
            if !plan.rebuilt.is_empty() {
                let (segments, changes) = (plan.rebuilt.len(), plan.describe());
                let is_shared = self.lock.others()?.is_some();
                self.events.push(Event::Recovered { dir: dir.to_owned(), segments, changes, is_shared });
            }
        }
        if checkpoints.recovery_point.is_some_and(|stored| stored > plan.recovery_point) {
            // What is appended now takes the place of what is gone: the old recovery point must not vouch for it.
            self.begin()?;
            self.lower(RECOVERY_POINT, partition, plan.recovery_point)?;
        }
        if !losses.is_empty() {
            self.events.push(Event::Lost { dir: dir.to_owned(), losses });
        }
        Ok(LogWriter::open(plan, self.options.config, self.options.durability, now_ms)?)
    }

    /// As they are now: another session may have lowered them since this one started.
    fn checkpoints(&self, partition: &TopicPartition) -> Result<Checkpoints, StorageError> {
        let stored = |name: &str| -> Result<Option<Offset>, StorageError> {
            // One that cannot be read is noticed when the session starts, and counts as empty.
            Ok(checkpoint::read(&self.dir.join(name)).ok().and_then(|stored| stored.get(partition)))
        };
        let at_start = self.at_start.checkpoints(&PartitionDirName::live(partition.clone()));
        Ok(Checkpoints { recovery_point: stored(RECOVERY_POINT)?, log_start: stored(LOG_START)?, ..at_start })
    }

    /// Puts the marker of a clean shutdown aside, on disk, before anything changes.
    fn begin(&mut self) -> Result<(), StorageError> {
        if self.begun {
            return Ok(());
        }
        self.turn.take()?;
        let done = self.put_marker_aside();
        self.begun = done.is_ok();
        self.turn.end()?;
        done
    }

    fn put_marker_aside(&mut self) -> Result<(), StorageError> {
        let (marker_path, aside_path) = (self.dir.join(clean_shutdown::FILE_NAME), self.dir.join(ASIDE));
        let marker = present(fs::read_small(&marker_path, fs::PROPERTIES_BYTES_MAX))?;
        let aside = Aside::read(&aside_path)?;
        let aside = match (aside, marker) {
            (Some(aside), None) => Some(Aside { sessions: aside.sessions + 1, ..aside }),
            (_, Some(marker)) => Some(Aside { sessions: 1, marker }),
            (None, None) if self.is_all_ours()? => Some(Aside { sessions: 1, marker: NEW_MARKER.to_vec() }),
            (None, None) => None,
        };
        match aside {
            Some(aside) => aside.write(&aside_path)?,
            None => self.clean = false,
        }
        fs::remove_if_present(&marker_path)?;
        fs::sync_dir(&self.dir)
    }

    /// Whether nobody but this session has made a partition here.
    fn is_all_ours(&self) -> Result<bool, StorageError> {
        if !self.is_new {
            return Ok(false);
        }
        let now = LogDir::open(&self.dir)?;
        Ok(kept(&now).all(|partition| self.created.contains(partition)))
    }

    /// Makes a partition, empty: see [`create::partition`].
    pub fn create_partition(&mut self, partition: &TopicPartition, topic_id: Uuid) -> Result<PathBuf, CreateError> {
        self.create_partitions(std::slice::from_ref(partition), topic_id)?;
        Ok(self.dir.join(partition.to_string()))
    }

    /// Makes partitions of a topic, empty: see [`create::partitions`].
    pub fn create_partitions(&mut self, partitions: &[TopicPartition], topic_id: Uuid) -> Result<(), CreateError> {
        if self.is_new {
            // Before there is a partition: whoever comes next counts itself in.
            self.begin()?;
        }
        self.turn.take()?;
        let made = create::partitions(&self.dir, partitions, topic_id);
        self.turn.end()?;
        if made.is_ok() {
            self.created.extend(partitions.iter().cloned());
        }
        made
    }

    /// Gives a partition directory that was built beside its place, and is on disk, its name: with where the log starts, and
    /// that it is on disk up to `recovery_point`, in the checkpoints.
    pub fn install(
        &mut self,
        built: &Path,
        partition: &TopicPartition,
        log_start: Option<Offset>,
        recovery_point: Offset,
    ) -> Result<(), CreateError> {
        let path = self.dir.join(partition.to_string());
        if path.exists() {
            return Err(CreateError::Exists { path });
        }
        self.begin()?;
        self.turn.take()?;
        let done = self.put_in_place(built, &path, partition, log_start, recovery_point);
        self.turn.end()?;
        self.created.insert(partition.clone());
        Ok(done?)
    }

    fn put_in_place(
        &self,
        built: &Path,
        path: &Path,
        partition: &TopicPartition,
        log_start: Option<Offset>,
        recovery_point: Offset,
    ) -> Result<(), StorageError> {
        // What they say of a partition that was deleted does not hold for this one.
        checkpoint::forget(&self.dir, std::slice::from_ref(partition))?;
        self.write_checkpoint(LOG_START, std::iter::once((partition, log_start)))?;
        self.write_checkpoint(RECOVERY_POINT, std::iter::once((partition, Some(recovery_point))))?;
        fs::rename(built, path)?;
        fs::sync_dir(&self.dir)
    }

    /// Appends one batch to a partition as its leader: under the log's latest leader epoch.
    pub fn append(
        &mut self,
        partition: &TopicPartition,
        batch: &mut BatchBuf,
        now_ms: TimestampMs,
    ) -> Result<Appended, SessionError> {
        self.in_turn(partition, now_ms, |log| log.append_as_leader(batch, log.leader_epoch(), now_ms))
    }

    /// Appends batches to a partition with the offsets and epochs they have: see
    /// [`LogWriter::append_as_follower`]. A log that never held a record starts at the first of them.
    pub fn append_with_offsets(
        &mut self,
        partition: &TopicPartition,
        batches: &[u8],
        now_ms: TimestampMs,
    ) -> Result<Appended, SessionError> {
        let first = Frame::parse(batches).ok().and_then(|frame| frame.base_offset());
        self.append_from(partition, first.unwrap_or(Offset::ZERO), batches, now_ms)
    }

    /// Reads a partition while nobody writes to it: what is there is whole, as far as a recovery can make it.
    pub fn look<T>(
        &mut self,
        partition: &TopicPartition,
        now_ms: TimestampMs,
        look: impl FnOnce(&Partition) -> Result<T, StorageError>,
    ) -> Result<T, SessionError> {
        self.in_turn(partition, now_ms, |log| look(&as_written(log)?))
    }

    /// A partition as it is, for reading beside this session.
    pub fn read(&mut self, partition: &TopicPartition, now_ms: TimestampMs) -> Result<Partition, SessionError> {
        self.open_log(partition, now_ms)?;
        self.take_turn(partition, now_ms)?;
        let Some(slot) = self.logs.get_mut(partition) else { return Err(self.no_partition(partition)) };
        Ok(as_written(&mut slot.log)?)
    }

    /// Cuts a partition's log at `offset`, as a follower does: see [`LogWriter::truncate_to`].
    ///
    /// The recovery point and the high watermark are lowered first: they must not vouch for what is written there next.
    pub fn truncate_to(
        &mut self,
        partition: &TopicPartition,
        offset: Offset,
        now_ms: TimestampMs,
    ) -> Result<(), SessionError> {
        self.check()?;
        self.open_log(partition, now_ms)?;
        self.begin()?;
        self.take_turn(partition, now_ms)?;
        let done = self.cut(partition, offset, now_ms);
        self.failed |= done.is_err();
        done
    }

    fn cut(&mut self, partition: &TopicPartition, offset: Offset, now_ms: TimestampMs) -> Result<(), SessionError> {
        for name in [RECOVERY_POINT, HIGH_WATERMARK] {
            let stored = present(checkpoint::read(&self.dir.join(name)))?.unwrap_or_default();
            if stored.get(partition).is_some_and(|stored| stored > offset) {
                self.lower(name, partition, offset)?;
            }
        }
        let Some(slot) = self.logs.remove(partition) else { return Err(self.no_partition(partition)) };
        let mut log = slot.log.truncate_to(offset, now_ms)?;
        // Its small files are made to fit at the end, as after an append.
        log.goes_on(true);
        self.logs.insert(partition.clone(), Slot { log, written_back: 0, ..slot });
        Ok(())
    }

    /// Hands what a log holds to the kernel.
    pub fn write_out_log(&mut self, partition: &TopicPartition) -> Result<(), StorageError> {
        self.check()?;
        let Some(slot) = self.logs.get_mut(partition) else { return Ok(()) };
        self.pending_bytes = self.pending_bytes.saturating_sub(slot.log.pending_bytes());
        let done = slot.log.write_out();
        self.noting(done)
    }

    /// Appends batches as [`AppendSession::append_with_offsets`] does, but a log that never held a record begins at `start`.
    pub fn append_from(
        &mut self,
        partition: &TopicPartition,
        start: Offset,
        batches: &[u8],
        now_ms: TimestampMs,
    ) -> Result<Appended, SessionError> {
        self.in_turn(partition, now_ms, |log| {
            log.start_at(start, now_ms)?;
            log.append_as_follower(batches, now_ms)
        })
    }

    /// Starts a new segment of a partition at its log end.
    pub fn roll(&mut self, partition: &TopicPartition, now_ms: TimestampMs) -> Result<(), SessionError> {
        self.in_turn(partition, now_ms, |log| log.roll(now_ms))
    }

    /// Says where a log starts for its readers, and which leader epochs it has: see [`LogWriter::raise_log_start`],
    /// [`LogWriter::set_epochs`].
    pub fn describe(
        &mut self,
        partition: &TopicPartition,
        log_start: Offset,
        epochs: LeaderEpochs,
        now_ms: TimestampMs,
    ) -> Result<(), SessionError> {
        self.in_turn(partition, now_ms, |log| {
            log.raise_log_start(log_start);
            log.set_epochs(epochs)
        })
    }

    /// Notes that somebody was told that what a log holds is stored: it is closed, and on disk, at the end.
    pub fn vouch_for(&mut self, partition: &TopicPartition, now_ms: TimestampMs) -> Result<(), SessionError> {
        self.in_turn(partition, now_ms, |log| {
            log.goes_on(true);
            Ok(())
        })
    }

    /// The high watermark that is written at the end, where it is not the log's end.
    pub fn set_high_watermark(&mut self, partition: &TopicPartition, offset: Offset) {
        match self.high_watermarks.get_mut(partition) {
            Some(known) => *known = offset,
            None => drop(self.high_watermarks.insert(partition.clone(), offset)),
        }
    }

    /// How far the log cleaner has come in a log that is a copy; written at the end.
    pub fn set_cleaner_point(&mut self, partition: &TopicPartition, offset: Offset) {
        self.cleaner_points.insert(partition.clone(), offset);
    }

    fn in_turn<T>(
        &mut self,
        partition: &TopicPartition,
        now_ms: TimestampMs,
        append: impl FnOnce(&mut LogWriter) -> Result<T, StorageError>,
    ) -> Result<T, SessionError> {
        self.check()?;
        let done = self.try_in_turn(partition, now_ms, append);
        self.failed |= matches!(done, Err(SessionError::Storage(_)));
        done
    }

    /// Whether a file could not be written or synced: nothing can be done with the session any more.
    pub const fn has_failed(&self) -> bool {
        self.failed
    }

    /// An error if a file could not be written or synced before.
    fn check(&self) -> Result<(), StorageError> {
        if self.failed {
            let text = "an earlier write or sync has failed; the directory is left for a recovery";
            return Err(StorageError::new(&self.dir, std::io::Error::other(text)));
        }
        Ok(())
    }

    fn noting<T>(&mut self, done: Result<T, StorageError>) -> Result<T, StorageError> {
        self.failed |= done.is_err();
        done
    }

    fn try_in_turn<T>(
        &mut self,
        partition: &TopicPartition,
        now_ms: TimestampMs,
        append: impl FnOnce(&mut LogWriter) -> Result<T, StorageError>,
    ) -> Result<T, SessionError> {
        self.open_log(partition, now_ms)?;
        self.begin()?;
        let alone = self.end_turns_if_not_alone(now_ms)?;
        self.take_turn(partition, now_ms)?;
        let Some(slot) = self.logs.get_mut(partition) else { return Err(self.no_partition(partition)) };
        let before = slot.log.pending_bytes();
        let done = append(&mut slot.log)?;
        if !alone {
            slot.end_turn()?;
        }
        self.pending_bytes = (self.pending_bytes + slot.log.pending_bytes()).saturating_sub(before);
        if let Some(write_back) = &mut self.write_back {
            let size = slot.log.active().size_bytes();
            if size < slot.written_back || size - slot.written_back >= WRITE_BACK_BYTES {
                write_back.begin(slot.log.active().log_handle()?)?;
                slot.written_back = size;
            }
        }
        if self.pending_bytes > PENDING_BYTES_MAX {
            self.write_out()?;
        }
        Ok(done)
    }

    /// Whether no one else is here; if someone is, all turns are over when this returns.
    fn end_turns_if_not_alone(&mut self, now_ms: TimestampMs) -> Result<bool, StorageError> {
        // Once a millisecond: a megabyte goes by in less.
        if self.looked.0 != now_ms {
            self.looked = (now_ms, self.lock.others()?.is_none());
        }
        if !self.looked.1 {
            self.end_turns()?;
        }
        Ok(self.looked.1)
    }

    fn take_turn(&mut self, partition: &TopicPartition, now_ms: TimestampMs) -> Result<(), SessionError> {
        let Some(slot) = self.logs.get_mut(partition).filter(|slot| !slot.held) else { return Ok(()) };
        slot.turn.take()?;
        slot.held = true;
        if slot.log.catch_up(now_ms)? {
            return Ok(());
        }
        // Someone died in the middle of an append, or cut the log: what is there has to be judged anew.
        let dir = slot.log.dir().to_owned();
        let log = self.recover(&dir, partition, false, now_ms)?;
        if let Some(slot) = self.logs.get_mut(partition) {
            let has_appended = slot.log.has_appended();
            slot.log = log;
            slot.log.goes_on(has_appended);
        }
        Ok(())
    }

    /// Lets others at every partition: before a wait of unknown length. Everything is with the kernel then.
    pub fn end_turns(&mut self) -> Result<(), StorageError> {
        self.check()?;
        let done = self.logs.values_mut().filter(|slot| slot.held).try_for_each(Slot::end_turn);
        self.noting(done)
    }

    /// Hands everything to the kernel.
    pub fn write_out(&mut self) -> Result<(), StorageError> {
        self.check()?;
        self.pending_bytes = 0;
        let done = self.logs.values_mut().try_for_each(|slot| slot.log.write_out());
        self.noting(done)
    }

    /// Waits until everything appended so far is on disk, one wait for all partitions.
    ///
    /// After an error nothing more can be done with the session: a second attempt could report success for data
    /// that the first one lost.
    pub fn flush(&mut self) -> Result<(), StorageError> {
        self.check()?;
        let done = self.flush_all();
        self.noting(done)
    }

    fn flush_all(&mut self) -> Result<(), StorageError> {
        if let Some(write_back) = &mut self.write_back {
            write_back.wait()?;
        }
        let mut dirty: Vec<&mut Slot> =
            self.logs.values_mut().filter(|slot| slot.log.recovery_point() < slot.log.log_end()).collect();
        if let [only] = &mut dirty[..] {
            return only.log.flush();
        }
        // The disk takes several flushes together; one after the other each would wait for its own.
        let (send, receive) = std::sync::mpsc::channel();
        rayon::in_place_scope(|scope| {
            for slot in dirty {
                let send = send.clone();
                scope.spawn(move |_| {
                    let _ = send.send(slot.log.flush());
                });
            }
        });
        drop(send);
        receive.into_iter().collect()
    }

    /// The open logs.
    pub fn logs(&self) -> impl Iterator<Item = (&TopicPartition, &LogWriter)> {
        self.logs.iter().map(|(partition, slot)| (partition, &slot.log))
    }

    /// Ends the session: logs closed, checkpoints written, and, where that is true, the directory marked clean.
    ///
    /// With [`Durability::Synced`] everything is on disk when this returns. After a write or sync that failed it
    /// does none of this, and fails.
    pub fn close(mut self, now_ms: TimestampMs) -> Result<Vec<Event>, SessionError> {
        self.check()?;
        if let Some(write_back) = &mut self.write_back {
            write_back.wait()?;
        }
        let appended: Vec<TopicPartition> =
            self.logs.iter().filter(|(_, slot)| slot.log.has_appended()).map(|(p, _)| p.clone()).collect();
        for partition in &appended {
            if self.lock.others()?.is_some() {
                self.end_turns()?;
            }
            self.take_turn(partition, now_ms)?;
            if let Some(slot) = self.logs.get_mut(partition) {
                slot.log.close()?;
                slot.end_turn()?;
            }
        }
        self.turn.take()?;
        if self.begun {
            self.write_checkpoints()?;
        }
        self.put_marker_back()?;
        // The lock goes within the turn: the next one to end must not take this session for one that goes on.
        drop(self.lock);
        self.turn.end()?;
        Ok(self.events)
    }

    fn write_checkpoints(&self) -> Result<(), StorageError> {
        // Of the others it knows what they were, not what they are.
        let logs = || {
            let logs = self.logs.iter().filter(|(_, slot)| slot.log.has_appended());
            logs.map(|(partition, slot)| (partition, &slot.log))
        };
        // What is not known to be on disk keeps its old recovery point.
        if self.options.durability == Durability::Synced {
            self.write_checkpoint(RECOVERY_POINT, logs().map(|(p, log)| (p, Some(log.recovery_point()))))?;
        }
        // Of what was only opened the replicas know best how far it goes.
        let grown = logs().filter(|(_, log)| log.has_appended());
        let high = |p: &TopicPartition, log: &LogWriter| self.high_watermarks.get(p).copied().unwrap_or(log.log_end());
        self.write_checkpoint(HIGH_WATERMARK, grown.map(|(p, log)| (p, Some(high(p, log)))))?;
        let start = |log: &LogWriter| Some(log.log_start()).filter(|start| *start > log.first_base());
        self.write_checkpoint(LOG_START, logs().map(|(p, log)| (p, start(log))))?;
        self.write_checkpoint(CLEANER, self.cleaner_points.iter().map(|(p, offset)| (p, Some(*offset))))
    }

    /// Lowers one entry of a checkpoint at once.
    fn lower(&self, name: &str, partition: &TopicPartition, to: Offset) -> Result<(), StorageError> {
        self.turn.take()?;
        let lowered = self.write_checkpoint(name, std::iter::once((partition, Some(to))));
        self.turn.end()?;
        lowered
    }

    /// Sets entries of one checkpoint, `None` removing them; in a turn at the log directory.
    fn write_checkpoint<'a>(
        &self,
        name: &str,
        values: impl Iterator<Item = (&'a TopicPartition, Option<Offset>)>,
    ) -> Result<(), StorageError> {
        let path = self.dir.join(name);
        // One that cannot be read takes its log directory offline in a broker: not ours to replace.
        let stored = present(checkpoint::read(&path))?.unwrap_or_default();
        let updated = stored.with(values);
        if updated == stored {
            return Ok(());
        }
        fs::replace_atomic(&path, updated.to_text().as_bytes())
    }

    fn put_marker_back(&mut self) -> Result<(), StorageError> {
        let (marker_path, aside_path) = (self.dir.join(clean_shutdown::FILE_NAME), self.dir.join(ASIDE));
        let Some(aside) = Aside::read(&aside_path)? else { return Ok(()) };
        let left = aside.sessions.saturating_sub(u64::from(self.begun));
        // What this session wrote may not be on disk.
        let unsure = self.begun && self.options.durability != Durability::Synced;
        let alone = self.lock.others()?.is_none();
        match (unsure, left) {
            // Whoever holds the lock now has ended and is about to let it go, or has not begun, and will put the marker
            // aside again.
            (false, 0) => {
                fs::replace_atomic(&marker_path, &aside.marker)?;
                fs::remove_if_present(&aside_path)?;
            }
            (false, _) if !alone => Aside { sessions: left, ..aside }.write(&aside_path)?,
            // Or another session did not come to its end: a recovery has to look.
            _ => fs::remove_if_present(&aside_path)?,
        }
        fs::sync_dir(&self.dir)
    }
}

/// Partitions but for those that wait to be removed, or are not whole yet: a broker removes them at its start.
fn kept(dir: &LogDir) -> impl Iterator<Item = &TopicPartition> {
    dir.partitions().filter(|(name, _)| name.kind != DirKind::Delete).map(|(name, _)| &name.topic_partition)
}

/// A log's partition as others see it, once all is with the kernel.
fn as_written(log: &mut LogWriter) -> Result<Partition, StorageError> {
    log.write_out()?;
    Ok(open_partition_dir(log.dir())?.0)
}

impl Slot {
    fn end_turn(&mut self) -> Result<(), StorageError> {
        self.log.write_out()?;
        self.turn.end()?;
        self.held = false;
        Ok(())
    }
}

/// Whether the log of a plan for a clean directory ends with a whole, sound batch, at the offset the plan says.
///
/// A broker does not look: it takes the end its index leads to.
fn ends_as_planned(plan: &Plan) -> Result<bool, StorageError> {
    let Some((base, _)) = plan.segments.last() else { return Ok(true) };
    let path = plan.dir.join(segment_file_name(*base, SegmentFileKind::Log));
    let index_path = plan.dir.join(segment_file_name(*base, SegmentFileKind::OffsetIndex));
    let Ok(file) = std::fs::File::open(&path) else { return Ok(true) };
    let source = FileSource::new(file).map_err(|error| StorageError::new(&path, error))?;
    let bytes = present(index::read(&index_path))?.unwrap_or_default();
    let offsets = OffsetIndex::from_file(*base, &bytes);
    if offsets.first_violation().is_some() || offsets.raw_entries() != offsets.len() {
        return Ok(false);
    }
    let last = offsets.entries().next_back();
    let start = last.and_then(|entry| entry.position()).filter(|at| at.get() < source.len()).unwrap_or(Position::ZERO);
    let mut walker = Walker::checked(source, start);
    let mut next = *base;
    let mut first_last = None;
    loop {
        match walker.step().map_err(|error| StorageError::new(&path, error))? {
            Ok(walked) => {
                next = walked.frame.last_offset().next();
                first_last.get_or_insert(walked.frame.last_offset());
            }
            Err(Stop::End) => break,
            Err(Stop::Cut { .. } | Stop::Corrupt(_)) => return Ok(false),
        }
    }
    // The batch an entry names holds the entry's offset, or a later batch of the same append does.
    let true_entry =
        last.is_none_or(|entry| first_last.is_some_and(|found| found <= entry.offset && entry.offset < next));
    Ok(true_entry && next.max(plan.log_start) == plan.log_end)
}

/// The marker while it is aside.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Aside {
    /// Sessions that have begun and not ended.
    sessions: u64,
    /// What the marker said.
    marker: Vec<u8>,
}

impl Aside {
    fn read(path: &Path) -> Result<Option<Aside>, StorageError> {
        let Some(bytes) = present(fs::read_small(path, fs::PROPERTIES_BYTES_MAX))? else { return Ok(None) };
        let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
        let count = parts.next().and_then(|line| std::str::from_utf8(line).ok()).and_then(|line| line.parse().ok());
        // One that cannot be read is none of ours, or half of one: no directory is clean because of it.
        Ok(count.map(|sessions| Aside { sessions, marker: parts.next().unwrap_or_default().to_vec() }))
    }

    fn write(&self, path: &Path) -> Result<(), StorageError> {
        let mut bytes = format!("{}\n", self.sessions).into_bytes();
        bytes.extend_from_slice(&self.marker);
        fs::replace_atomic(path, &bytes)
    }
}
