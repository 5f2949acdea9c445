//! One log that grows: the checks, the rolls and the small files of `UnifiedLog` in Kafka 4.3.
//!
//! A [`LogWriter`] comes only out of a [`Plan`] that was applied: nobody appends to a log that was not
//! recovered. It takes whole batches, and answers with what became of each append ([`Appended`]); a
//! refusal, a duplicate or a fenced producer is an answer, and leaves the log as it was.
//!
//! Batches wait in memory until a megabyte is together, [`LogWriter::write_out`] is called, or the log is
//! flushed or closed. On disk is what [`LogWriter::flush`] came back from.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::Durability;
use super::config::LogConfig;
use super::segment::{self, Incoming, SegmentWriter, WRITE_BYTES};
use crate::batch::builder::BatchBuf;
use crate::batch::walk::{Stop, Walker};
use crate::batch::{BatchError, ENTRY_OVERHEAD, Frame};
use crate::storage::file_source::FileSource;
use crate::storage::fs::{self, StorageError};
use crate::storage::index::build::{IndexError, IndexedBatch};
use crate::storage::index::time::TimeEntry;
use crate::storage::leader_epochs::{self, LeaderEpochs};
use crate::storage::names::{FileState, PartitionFile, SegmentFileKind, segment_file_name};
use crate::storage::producer_state;
use crate::storage::producer_states::{Check, Origin, Pending, ProducerRefusal, ProducerStates, TransactionVersion};
use crate::storage::recovery::{self, LoadError, LoadOptions, Plan};
use crate::types::{LeaderEpoch, NO_TIMESTAMP, Offset, TimestampMs};

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log.
    Stored {
        /// Offset of its first record.
        first: Offset,
        /// Offset of its last record.
        last: Offset,
    },
    /// The producer's batch is in the log already; nothing was added.
    Duplicate {
        /// Offset of its first record.
        first: Offset,
        /// Offset of its last record.
        last: Offset,
        /// Its largest timestamp.
        timestamp_ms: TimestampMs,
    },
    /// The log would not take it; nothing was added.
    Refused(Refusal),
}

/// Why a log does not take an append. Kafka's exception is named with each.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// `CorruptRecordException`: not whole batches, or a checksum that does not hold.
    #[error("batch {batch} of the append: {reason}")]
    Corrupt {
        /// Which one, from 0.
        batch: usize,
        /// What is wrong.
        reason: BatchError,
    },
    /// `RecordTooLargeException`.
    #[error("batch of {bytes} bytes, {max} are allowed (max.message.bytes)")]
    MessageTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        max: u32,
    },
    /// `RecordBatchTooLargeException`.
    #[error("append of {bytes} bytes, a segment takes {max} (segment.bytes)")]
    LargerThanSegment {
        /// Size of all its batches.
        bytes: u64,
        /// The limit.
        max: u32,
    },
    /// `OffsetsOutOfOrderException`, `UnexpectedAppendOffsetException`.
    #[error("offset {found}, expected {expected} or above")]
    OffsetOrder {
        /// First or last offset of a batch.
        found: Offset,
        /// Lowest offset that fits.
        expected: Offset,
    },
    /// `LogSegmentOffsetOverflowException`, or `IllegalArgumentException` from an index: refused here before
    /// anything is written, in Kafka the latter after.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A producer's sequence, epoch or transaction.
    #[error(transparent)]
    Producer(#[from] ProducerRefusal),
    /// The highest offset there is was reached.
    #[error("the log end offset {0} leaves no room for it")]
    OffsetsExhausted(Offset),
}

/// A log open for appending.
#[derive(Debug)]
pub struct LogWriter {
    dir: PathBuf,
    config: LogConfig,
    durability: Durability,
    /// Base offsets of the segments before the active one.
    older: Vec<Offset>,
    active: SegmentWriter,
    /// Base offsets of older segments that are not yet known to be on disk: rolled by us or by another process, or left
    /// by a session that ended by force.
    ///
    /// Not their open files: a log that is never synced rolls more often than a process may have files.
    rolled: Vec<Offset>,
    epochs: LeaderEpochs,
    producers: ProducerStates,
    pending: Pending,
    log_start: Offset,
    log_end: Offset,
    recovery_point: Offset,
    batches: Vec<IndexedBatch>,
    appended: bool,
}

/// What has to be known about an append before it is taken.
struct Append {
    first: Offset,
    last: Offset,
    max_timestamp_ms: TimestampMs,
}

impl LogWriter {
    /// Opens the log that `plan`, which was applied, leads to.
    pub fn open(
        plan: Plan,
        config: LogConfig,
        durability: Durability,
        now_ms: TimestampMs,
    ) -> Result<LogWriter, StorageError> {
        let mut older: Vec<Offset> = plan.segments.iter().map(|(base, _)| *base).collect();
        let base = older.pop().unwrap_or(plan.log_start);
        // What the recovery found whole may still be in the kernel's memory alone (`UnifiedLog.flush` takes every
        // segment from the recovery point on).
        let ends = older.iter().skip(1).chain([&base]);
        let rolled = older.iter().zip(ends).filter(|(_, end)| **end > plan.recovery_point);
        let rolled = rolled.map(|(base, _)| *base).collect();
        Ok(LogWriter {
            active: SegmentWriter::open(&plan.dir, base, &config, now_ms)?,
            dir: plan.dir,
            config,
            durability,
            older,
            rolled,
            epochs: plan.epochs,
            producers: plan.producers,
            pending: Pending::new(Origin::Client, TransactionVersion::V0),
            log_start: plan.log_start,
            log_end: plan.log_end,
            recovery_point: plan.recovery_point,
            batches: Vec::new(),
            appended: false,
        })
    }

    /// The partition directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// First offset that may be read.
    pub const fn log_start(&self) -> Offset {
        self.log_start
    }

    /// Offset of the next record.
    pub const fn log_end(&self) -> Offset {
        self.log_end
    }

    /// Everything below is on disk.
    pub const fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    /// Base offset of the first segment.
    pub fn first_base(&self) -> Offset {
        self.older.first().copied().unwrap_or(self.active.base())
    }

    /// The leader epochs.
    pub const fn epochs(&self) -> &LeaderEpochs {
        &self.epochs
    }

    /// The producers.
    pub const fn producers(&self) -> &ProducerStates {
        &self.producers
    }

    /// The segment that grows.
    pub const fn active(&self) -> &SegmentWriter {
        &self.active
    }

    /// Base offset and size of every segment; of the older ones as they are on disk.
    pub fn segments(&self) -> Vec<(Offset, u64)> {
        let size = |base: &Offset| {
            let path = self.dir.join(segment_file_name(*base, SegmentFileKind::Log));
            std::fs::metadata(path).map_or(0, |metadata| metadata.len())
        };
        let older = self.older.iter().map(|base| (*base, size(base)));
        older.chain([(self.active.base(), self.active.size_bytes())]).collect()
    }

    /// The epoch to append under when nobody leads: the latest one of the log, 0 for a new log.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.epochs.latest().map_or(LeaderEpoch(0), |latest| latest.epoch)
    }

    /// Whether something was appended since it was opened.
    pub const fn has_appended(&self) -> bool {
        self.appended
    }

    /// Notes that something was appended by the writer whose place this one takes.
    pub(crate) const fn goes_on(&mut self, has_appended: bool) {
        self.appended |= has_appended;
    }

    /// Appends one batch as the partition's leader does: it gets the next offsets and `epoch`.
    pub fn append_as_leader(
        &mut self,
        batch: &mut BatchBuf,
        epoch: LeaderEpoch,
        now_ms: TimestampMs,
    ) -> Result<Appended, StorageError> {
        self.append_as(batch, epoch, Origin::Client, TransactionVersion::V0, now_ms)
    }

    /// As [`LogWriter::append_as_leader`], for what a coordinator writes: its markers, and its own records.
    pub fn append_as(
        &mut self,
        batch: &mut BatchBuf,
        epoch: LeaderEpoch,
        origin: Origin,
        version: TransactionVersion,
        now_ms: TimestampMs,
    ) -> Result<Appended, StorageError> {
        let Some(delta) = u32::try_from(batch.view().last_offset_delta()).ok() else {
            let reason = BatchError::LengthTooSmall { declared: batch.view().last_offset_delta(), minimum: 0 };
            return Ok(Appended::Refused(Refusal::Corrupt { batch: 0, reason }));
        };
        if self.log_end.get().checked_add(i64::from(delta) + 1).is_none() {
            return Ok(Appended::Refused(Refusal::OffsetsExhausted(self.log_end)));
        }
        batch.assign(self.log_end, epoch);
        self.pending.restart(origin, version);
        self.append(batch.bytes(), Some(self.config.max_message_bytes), now_ms)
    }

    /// Appends whole batches with the offsets and epochs they have: as a follower, or to restore a log.
    ///
    /// Offsets rise, and start at the log end or above it. Producers are not checked, only remembered.
    pub fn append_as_follower(&mut self, batches: &[u8], now_ms: TimestampMs) -> Result<Appended, StorageError> {
        self.pending.restart(Origin::Replication, TransactionVersion::V0);
        self.append(batches, None, now_ms)
    }

    fn append(
        &mut self,
        bytes: &[u8],
        message_bytes_max: Option<u32>,
        now_ms: TimestampMs,
    ) -> Result<Appended, StorageError> {
        let append = match self.analyze(bytes, message_bytes_max) {
            Ok(Some(append)) => append,
            Ok(None) => return Ok(Appended::Stored { first: self.log_end, last: self.log_end.plus(-1) }),
            Err(refusal) => return Ok(Appended::Refused(refusal)),
        };
        // Before the size check, and before the duplicate check, as a broker does.
        self.assign_epochs(bytes)?;
        if bytes.len() as u64 > u64::from(self.config.segment_bytes) {
            let bytes = bytes.len() as u64;
            return Ok(Appended::Refused(Refusal::LargerThanSegment { bytes, max: self.config.segment_bytes }));
        }
        let incoming = Incoming {
            size_bytes: bytes.len() as u64,
            max_timestamp_ms: append.max_timestamp_ms,
            last_offset: append.last,
        };
        if self.active.should_roll(&self.config, incoming, now_ms) {
            self.roll_to(append.first, now_ms)?;
        }
        for frame in frames(bytes).flatten() {
            let Frame::Batch(batch) = frame else { continue };
            match self.producers.prepare(&mut self.pending, &batch) {
                Ok(Check::New) => {}
                Ok(Check::Duplicate(of)) => {
                    let (first, last, timestamp_ms) = (of.first_offset(), of.last_offset, of.timestamp_ms);
                    return Ok(Appended::Duplicate { first, last, timestamp_ms });
                }
                Err(refusal) => return Ok(Appended::Refused(Refusal::Producer(refusal))),
            }
        }
        self.place_batches();
        if let Err(error) = self.check_range(append.last).and_then(|()| self.active.append(bytes, &self.batches)) {
            return Ok(Appended::Refused(Refusal::Index(error)));
        }
        self.log_end = append.last.next();
        self.appended = true;
        for txn in self.producers.commit(&mut self.pending, self.log_end) {
            if let Some(aborted) = txn.index_entry() {
                self.active.add_aborted(aborted);
            }
        }
        // One log, one replica: what was appended is replicated.
        self.producers.on_high_watermark(self.log_end);
        if self.active.pending_bytes() >= WRITE_BYTES {
            self.active.write_out()?;
        }
        // `LocalLog.unflushedMessages` counts offsets.
        let unflushed = self.log_end.get().saturating_sub(self.recovery_point.get());
        if u64::try_from(unflushed).is_ok_and(|unflushed| unflushed >= self.config.flush_messages) {
            self.flush()?;
        }
        Ok(Appended::Stored { first: append.first, last: append.last })
    }

    /// `UnifiedLog.analyzeAndValidateRecords`; fills `self.batches`, whose positions are still relative.
    fn analyze(&mut self, bytes: &[u8], message_bytes_max: Option<u32>) -> Result<Option<Append>, Refusal> {
        self.batches.clear();
        let mut append: Option<Append> = None;
        let mut position = 0;
        for (batch, frame) in frames(bytes).enumerate() {
            let corrupt = |reason| Refusal::Corrupt { batch, reason };
            let frame = frame.map_err(corrupt)?;
            frame.check_magic().map_err(corrupt)?;
            let size_bytes = frame.bytes().len() as u64;
            if let Some(max) = message_bytes_max.filter(|max| size_bytes > u64::from(*max)) {
                return Err(Refusal::MessageTooLarge { bytes: size_bytes, max });
            }
            frame.verify_crc().map_err(corrupt)?;
            let (first, last) = (frame.base_offset().unwrap_or(frame.last_offset()), frame.last_offset());
            let expected = append.as_ref().map_or(self.log_end, |append| append.last.next());
            // Of the append's first batch its first offset counts, of the others, as in Kafka, the last.
            let found = if append.is_none() { first } else { last };
            if found < expected || last < first {
                return Err(Refusal::OffsetOrder { found, expected });
            }
            let max_timestamp_ms = frame.max_timestamp_ms();
            self.batches.push(IndexedBatch { position, size_bytes, last_offset: last, max_timestamp_ms });
            position += u32::try_from(size_bytes).unwrap_or_default();
            let before = append.get_or_insert(Append { first, last, max_timestamp_ms: -1 });
            before.last = last;
            before.max_timestamp_ms = before.max_timestamp_ms.max(max_timestamp_ms);
        }
        Ok(append)
    }

    fn place_batches(&mut self) {
        let start = u32::try_from(self.active.size_bytes()).unwrap_or(u32::MAX);
        for batch in &mut self.batches {
            batch.position = batch.position.saturating_add(start);
        }
    }

    fn check_range(&self, last: Offset) -> Result<(), IndexError> {
        match last.relative_to(self.active.base()) {
            Some(_) => Ok(()),
            None => Err(IndexError::Range { offset: last, base: self.active.base() }),
        }
    }

    fn assign_epochs(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let mut changed = false;
        for frame in frames(bytes).flatten() {
            match frame {
                Frame::Batch(batch) => {
                    let (epoch, base) = (batch.leader_epoch(), batch.base_offset());
                    // A follower may hold batches without one: Kafka refuses the append, here it is kept.
                    changed |= epoch >= LeaderEpoch(0) && self.epochs.assign(epoch, base).unwrap_or(false);
                }
                Frame::Message(_) if !self.epochs.entries().is_empty() => {
                    self.epochs = LeaderEpochs::new();
                    changed = true;
                }
                Frame::Message(_) => {}
            }
        }
        if changed {
            self.write_epochs()?;
        }
        Ok(())
    }

    /// On disk before the first batch of an epoch is: a broker, and our own readers, take it for granted.
    fn write_epochs(&self) -> Result<(), StorageError> {
        let path = self.dir.join(leader_epochs::FILE_NAME);
        fs::replace(&path, self.epochs.to_text().as_bytes(), self.durability)
    }

    /// Starts a new segment at the log end.
    pub fn roll(&mut self, now_ms: TimestampMs) -> Result<(), StorageError> {
        self.roll_to(self.log_end, now_ms)
    }

    fn roll_to(&mut self, first: Offset, now_ms: TimestampMs) -> Result<(), StorageError> {
        let base = first.max(self.log_end);
        if base == self.active.base() {
            if self.active.size_bytes() == 0 {
                self.active = SegmentWriter::create(&self.dir, base, &self.config, now_ms)?;
            }
            return Ok(());
        }
        self.active.become_inactive()?;
        if self.durability == Durability::Synced {
            // Before there is a next one: a recovery takes no notice of records that are missing between two
            // segments, nor does a rerun that goes by the producer's last sequence.
            self.active.sync_log()?;
        }
        let next = SegmentWriter::create(&self.dir, base, &self.config, now_ms)?;
        let before = std::mem::replace(&mut self.active, next).base();
        self.older.push(before);
        // Its indexes may wait for the disk while the next one fills; those of a hundred may not.
        if self.durability == Durability::Synced {
            self.sync_rolled()?;
        }
        self.rolled.push(before);
        self.producers.set_map_end(base);
        self.take_snapshot()
    }

    fn sync_rolled(&mut self) -> Result<(), StorageError> {
        // What fails stays: nothing is on disk because it was tried once.
        while let Some(base) = self.rolled.last() {
            segment::sync_closed(&self.dir, *base)?;
            self.rolled.pop();
        }
        Ok(())
    }

    fn take_snapshot(&mut self) -> Result<(), StorageError> {
        let Some(offset) = self.producers.snapshot_due() else { return Ok(()) };
        let path = self.dir.join(segment_file_name(offset, SegmentFileKind::Snapshot));
        let bytes = producer_state::to_bytes(&self.producers.to_entries());
        fs::replace(&path, &bytes, self.durability)?;
        self.producers.snapshot_written();
        Ok(())
    }

    /// Hands everything to the kernel: it survives this process, and readers see it.
    pub fn write_out(&mut self) -> Result<(), StorageError> {
        self.active.write_out()
    }

    /// Bytes not yet handed to the kernel.
    pub const fn pending_bytes(&self) -> usize {
        self.active.pending_bytes()
    }

    /// Makes an empty log start at `offset`, for restoring one that does not start at 0.
    ///
    /// Does nothing to a log that has, or had, a record.
    pub fn start_at(&mut self, offset: Offset, now_ms: TimestampMs) -> Result<(), StorageError> {
        let untouched = self.log_end == Offset::ZERO && self.active.size_bytes() == 0 && self.older.is_empty();
        if !untouched || offset <= self.log_end {
            return Ok(());
        }
        let was = self.active.base();
        self.active = SegmentWriter::create(&self.dir, offset, &self.config, now_ms)?;
        for kind in SegmentFileKind::ALL {
            fs::remove_if_present(&self.dir.join(segment_file_name(was, kind)))?;
        }
        self.producers = ProducerStates::new(offset);
        (self.log_start, self.log_end, self.recovery_point) = (offset, offset, offset);
        Ok(())
    }

    /// Notes that `epoch` begins at the log end, as a broker does that becomes the partition's leader
    /// (`UnifiedLog.assignEpochStartOffset`).
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch) -> Result<(), StorageError> {
        if self.epochs.assign(epoch, self.log_end).unwrap_or(false) {
            self.write_epochs()?;
        }
        Ok(())
    }

    /// Takes these leader epochs for those of the log: for who copies a log, and knows epochs in which nothing was written.
    pub fn set_epochs(&mut self, epochs: LeaderEpochs) -> Result<(), StorageError> {
        if self.epochs != epochs {
            self.epochs = epochs;
            self.write_epochs()?;
        }
        Ok(())
    }

    /// Hides what lies below `offset` from readers, as `DeleteRecords` does; an offset outside the log hides nothing.
    pub fn raise_log_start(&mut self, offset: Offset) {
        if self.log_start < offset && offset <= self.log_end {
            self.log_start = offset;
        }
    }

    /// Cuts the log at `offset`, as a follower does whose leader's log goes on differently (`UnifiedLog.truncateTo`), and gives
    /// back the log as it is then.
    ///
    /// Leader epochs that begin there or later are forgotten also when there is nothing to cut. Logs go first, newest segment
    /// first, then what tells of them: after a crash in between a recovery finds a shorter log, and makes the rest fit.
    pub fn truncate_to(mut self, offset: Offset, now_ms: TimestampMs) -> Result<LogWriter, LoadError> {
        self.write_out()?;
        if offset < self.log_end {
            while self.active.base() > offset
                && let Some(before) = self.older.pop()
            {
                let gone = self.active.base();
                self.active = SegmentWriter::open(&self.dir, before, &self.config, now_ms)?;
                self.rolled.retain(|base| *base != before);
                for kind in SegmentFileKind::ALL {
                    fs::remove_if_present(&self.dir.join(segment_file_name(gone, kind)))?;
                }
            }
            self.active.truncate_to(offset, now_ms)?;
            self.active.write_out()?;
        }
        let epochs = self.epochs.entries().len();
        self.epochs.truncate_from_end(offset);
        if self.epochs.entries().len() != epochs {
            self.write_epochs()?;
        }
        if offset >= self.log_end {
            return Ok(self);
        }
        // Producers are what the batches that are left make them: from the last snapshot on.
        let LogWriter { dir, config, durability, log_start, recovery_point, appended, .. } = self;
        let recovery_point = recovery_point.min(offset);
        let options = LoadOptions { clean: true, recovery_point, log_start, now_ms, config };
        let mut plan = recovery::plan(&dir, &options)?;
        plan.apply()?;
        // A clean start vouches for all there is; here only what was on disk before is, and the segments behind it are not.
        plan.recovery_point = recovery_point;
        let mut log = LogWriter::open(plan, config, durability, now_ms)?;
        log.goes_on(appended);
        Ok(log)
    }

    /// Waits until everything appended is on disk; the recovery point is the log end then.
    pub fn flush(&mut self) -> Result<(), StorageError> {
        if self.recovery_point < self.log_end || !self.rolled.is_empty() {
            self.sync_rolled()?;
            self.active.sync_log()?;
            fs::sync_dir(&self.dir)?;
            self.recovery_point = self.log_end;
        }
        Ok(())
    }

    /// Ends the log as a clean shutdown does: a last time entry, a snapshot at the log end, no padding.
    ///
    /// With [`Durability::Synced`] all of it is on disk when this returns.
    pub fn close(&mut self) -> Result<(), StorageError> {
        self.take_snapshot()?;
        self.active.become_inactive()?;
        if self.durability == Durability::Synced {
            self.sync_rolled()?;
            self.active.sync()?;
            fs::sync_dir(&self.dir)?;
            self.recovery_point = self.log_end;
        }
        Ok(())
    }

    /// Takes in what another process appended since this one ended its turn.
    ///
    /// `Ok(false)`: what is there does not go on from what was there; the log has to be recovered anew.
    pub fn catch_up(&mut self, now_ms: TimestampMs) -> Result<bool, StorageError> {
        let known = self.active.size_bytes();
        let mut bases = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(|error| StorageError::new(&self.dir, error))? {
            let entry = entry.map_err(|error| StorageError::new(&self.dir, error))?;
            if let PartitionFile::Segment(file) = PartitionFile::parse(&entry.file_name())
                && (file.kind, file.state) == (SegmentFileKind::Log, FileState::Live)
                && file.offset >= self.active.base()
            {
                bases.push(file.offset);
            }
        }
        bases.sort_unstable();
        if bases.first() != Some(&self.active.base()) {
            return Ok(false);
        }
        let mut last = self.active.base();
        // What the open segment holds, and what is taken in.
        let mut largest = self.active.index().largest();
        for base in bases {
            let path = self.dir.join(segment_file_name(base, SegmentFileKind::Log));
            let file = std::fs::File::open(&path).map_err(|error| StorageError::new(&path, error))?;
            let source = FileSource::new(file).map_err(|error| StorageError::new(&path, error))?;
            let from = if base == self.active.base() { known } else { 0 };
            if crate::batch::scan::Source::len(&source) < from {
                return Ok(false);
            }
            if last != base {
                self.older.push(last);
                // Who rolled it may never sync it, and it holds what we wrote.
                self.rolled.push(last);
                last = base;
                largest = TimeEntry { timestamp: NO_TIMESTAMP, offset: base };
            }
            if !self.take_in(&path, source, from, &mut largest)? {
                return Ok(false);
            }
        }
        // Always: a recovery by the other process, which need not append anything, replaces index files.
        self.active = SegmentWriter::go_on(&self.dir, last, &self.config, largest, now_ms)?;
        Ok(true)
    }

    fn take_in(
        &mut self,
        path: &Path,
        source: FileSource,
        from: u64,
        largest: &mut TimeEntry,
    ) -> Result<bool, StorageError> {
        let mut walker = Walker::checked(source, crate::types::Position::new(from));
        loop {
            match walker.step().map_err(|error| StorageError::new(path, error))? {
                Ok(walked) => {
                    let frame = walked.frame;
                    if frame.base_offset().unwrap_or(frame.last_offset()) < self.log_end {
                        return Ok(false);
                    }
                    if let Frame::Batch(batch) = &frame {
                        if batch.leader_epoch() >= LeaderEpoch(0) {
                            let _ = self.epochs.assign(batch.leader_epoch(), batch.base_offset());
                        }
                        if self.producers.replay(batch).is_err() {
                            return Ok(false);
                        }
                    }
                    if frame.max_timestamp_ms() > largest.timestamp {
                        *largest = TimeEntry { timestamp: frame.max_timestamp_ms(), offset: frame.last_offset() };
                    }
                    self.log_end = frame.last_offset().next();
                    self.producers.set_map_end(self.log_end);
                }
                Err(Stop::End) => return Ok(true),
                Err(Stop::Cut { .. } | Stop::Corrupt(_)) => return Ok(false),
            }
        }
    }
}

/// The batches of an append, one after the other; an error is the last item.
fn frames(bytes: &[u8]) -> impl Iterator<Item = Result<Frame<'_>, BatchError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let frame = Frame::parse(rest);
        rest = match &frame {
            Ok(frame) => rest.get(frame.bytes().len().max(ENTRY_OVERHEAD)..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(frame)
    })
}

/// The current time, as Kafka counts it.
pub fn now_ms() -> TimestampMs {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}
