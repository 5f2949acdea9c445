//! One segment that grows: its log, its indexes, and when to leave it for the next.
//!
//! Batches are collected and handed to the kernel in large writes, the log before its indexes: a reader
//! beside us, and a recovery after us, may find a log ahead of its indexes, never the other way round.
//! Unlike a broker we do not give index files their full size in advance: a crash leaves no padding.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::config::LogConfig;
use crate::batch::BatchError;
use crate::batch::walk::{Stop, Walker};
use crate::storage::file_source::FileSource;
use crate::storage::fs::{self, Opening, StorageError};
use crate::storage::index::build::{IndexBuilder, IndexError, IndexedBatch};
use crate::storage::index::offset::{self, OffsetEntry, OffsetIndex};
use crate::storage::index::time::{self, TimeEntry, TimeIndex};
use crate::storage::index::txn::{AbortedTxn, TxnIndex};
use crate::storage::index::{self};
use crate::storage::names::{SegmentFileKind, segment_file_name};
use crate::storage::partition::present;
use crate::types::{Offset, Position, TimestampMs};

/// Bytes collected before they are handed to the kernel: larger writes leave the cache, smaller ones
/// cost a fifth more.
pub const WRITE_BYTES: usize = 1 << 20;

/// An append, as far as it decides about rolling (`RollParams`).
#[derive(Debug, Clone, Copy)]
pub struct Incoming {
    /// Bytes of all its batches.
    pub size_bytes: u64,
    /// Its largest timestamp.
    pub max_timestamp_ms: TimestampMs,
    /// Its last offset.
    pub last_offset: Offset,
}

/// A segment open for appending.
#[derive(Debug)]
pub struct SegmentWriter {
    base: Offset,
    log: OpenFile,
    offset_index: OpenFile,
    time_index: OpenFile,
    txn_index: PathBuf,
    /// Batches not yet handed to the kernel.
    pending: Vec<u8>,
    index: IndexBuilder,
    /// Aborted transactions not yet in their index.
    aborted: Vec<AbortedTxn>,
    /// Largest timestamp of the first batch; `None` while there is none.
    first_timestamp_ms: Option<TimestampMs>,
    created_ms: TimestampMs,
    /// The log file is longer than what is in it.
    preallocated: bool,
    /// Something was handed to the kernel since the last sync.
    unsynced: bool,
}

/// A file and how much of it is ours.
#[derive(Debug)]
struct OpenFile {
    file: File,
    path: PathBuf,
    len: u64,
}

impl OpenFile {
    fn open(path: PathBuf, opening: Opening) -> Result<OpenFile, StorageError> {
        let file = fs::open_to_write(&path, opening).map_err(|error| StorageError::new(&path, error))?;
        let len = file.metadata().map_err(|error| StorageError::new(&path, error))?.len();
        Ok(OpenFile { file, path, len })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        if !bytes.is_empty() {
            fs::write_at(&self.file, &self.path, bytes, self.len).map_err(|error| self.error(error))?;
            self.len += bytes.len() as u64;
        }
        Ok(())
    }

    fn cut(&mut self, len: u64) -> Result<(), StorageError> {
        fs::set_len(&self.file, &self.path, len).map_err(|error| self.error(error))?;
        self.len = len;
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        fs::sync_file(&self.file, &self.path).map_err(|error| self.error(error))
    }

    fn error(&self, error: io::Error) -> StorageError {
        StorageError::new(&self.path, error)
    }
}

impl SegmentWriter {
    /// Starts an empty segment, removing whatever stands under its names.
    pub fn create(dir: &Path, base: Offset, config: &LogConfig, now_ms: TimestampMs) -> Result<Self, StorageError> {
        let path = |kind| dir.join(segment_file_name(base, kind));
        fs::remove_if_present(&path(SegmentFileKind::TxnIndex))?;
        // Indexes first, their names on disk before the log has one: a broker recovers a segment without an index
        // when it opens it, before those in front of it, and does not start if one of them is damaged.
        let offset_index = OpenFile::open(path(SegmentFileKind::OffsetIndex), Opening::Emptied)?;
        let time_index = OpenFile::open(path(SegmentFileKind::TimeIndex), Opening::Emptied)?;
        fs::sync_dir(dir)?;
        let mut log = OpenFile::open(path(SegmentFileKind::Log), Opening::Emptied)?;
        if config.preallocate {
            log.cut(u64::from(config.segment_bytes))?;
            log.len = 0;
        }
        Ok(SegmentWriter {
            base,
            log,
            offset_index,
            time_index,
            txn_index: path(SegmentFileKind::TxnIndex),
            pending: Vec::new(),
            index: IndexBuilder::new(base, config.index_limits()),
            aborted: Vec::new(),
            first_timestamp_ms: None,
            created_ms: now_ms,
            preallocated: config.preallocate,
            unsynced: true,
        })
    }

    /// Opens a segment to append to it. Its files must be what a recovery or a clean stop left: the log
    /// ends with its last batch, the indexes are entries only.
    pub fn open(dir: &Path, base: Offset, config: &LogConfig, now_ms: TimestampMs) -> Result<Self, StorageError> {
        SegmentWriter::open_indexed(dir, base, config, now_ms).map(|(segment, _)| segment)
    }

    /// Opens a segment to go on where another writer of it, or we, left off between two turns at it.
    ///
    /// Index entries keep their distance, and `largest`, the largest timestamp so far, which may not be in the
    /// time index yet, is not forgotten: a broker takes the index's last entry for the segment's largest.
    pub fn go_on(
        dir: &Path,
        base: Offset,
        config: &LogConfig,
        largest: TimeEntry,
        now_ms: TimestampMs,
    ) -> Result<Self, StorageError> {
        let (mut segment, indexed) = SegmentWriter::open_indexed(dir, base, config, now_ms)?;
        segment.count_on_from(segment.log.len.saturating_sub(indexed.get()));
        if largest.timestamp > segment.index.largest().timestamp {
            segment.index.set_largest(largest);
        }
        Ok(segment)
    }

    /// A segment, and where its last offset index entry points.
    fn open_indexed(
        dir: &Path,
        base: Offset,
        config: &LogConfig,
        now_ms: TimestampMs,
    ) -> Result<(Self, Position), StorageError> {
        let path = |kind| dir.join(segment_file_name(base, kind));
        let log = OpenFile::open(path(SegmentFileKind::Log), Opening::Existing)?;
        let mut offset_index = OpenFile::open(path(SegmentFileKind::OffsetIndex), Opening::Kept)?;
        let mut time_index = OpenFile::open(path(SegmentFileKind::TimeIndex), Opening::Kept)?;
        // What is no whole entry is cut at the latest when a broker closes the file; before we add any.
        for (file, entry) in [(&mut offset_index, offset::ENTRY_LEN), (&mut time_index, time::ENTRY_LEN)] {
            let odd = file.len % entry as u64;
            if odd > 0 {
                file.cut(file.len - odd)?;
            }
        }
        let mut segment = SegmentWriter {
            base,
            log,
            index: IndexBuilder::new(base, config.index_limits()),
            offset_index,
            time_index,
            txn_index: path(SegmentFileKind::TxnIndex),
            pending: Vec::new(),
            aborted: Vec::new(),
            first_timestamp_ms: None,
            created_ms: now_ms,
            preallocated: false,
            unsynced: true,
        };
        let indexed = segment.resume_index(config)?;
        segment.first_timestamp_ms = segment.read_first_timestamp()?;
        Ok((segment, indexed))
    }

    fn resume_index(&mut self, config: &LogConfig) -> Result<Position, StorageError> {
        let offsets = self.read_offset_index()?;
        let offsets = OffsetIndex::from_file(self.base, &offsets);
        let times = self.read_time_index()?;
        let times = TimeIndex::from_file(self.base, &times);
        let last_offset = offsets.raw_entries().checked_sub(1).and_then(|at| offsets.get(at));
        let last_time = times.raw_entries().checked_sub(1).and_then(|at| times.get(at));
        self.index = IndexBuilder::resume(
            self.base,
            config.index_limits(),
            (offsets.raw_entries() as u64, last_offset),
            (times.raw_entries() as u64, last_time),
        );
        Ok(last_offset.and_then(|entry| entry.position()).unwrap_or(Position::ZERO))
    }

    fn read_offset_index(&self) -> Result<index::IndexBytes, StorageError> {
        Ok(present(index::read(&self.offset_index.path))?.unwrap_or_default())
    }

    fn read_time_index(&self) -> Result<index::IndexBytes, StorageError> {
        Ok(present(index::read(&self.time_index.path))?.unwrap_or_default())
    }

    fn source(&self) -> Result<FileSource, StorageError> {
        let file = File::open(&self.log.path).map_err(|error| self.log.error(error))?;
        FileSource::new(file).map_err(|error| self.log.error(error))
    }

    fn read_first_timestamp(&self) -> Result<Option<TimestampMs>, StorageError> {
        let mut walker = Walker::headers(self.source()?, Position::ZERO);
        let step = walker.step().map_err(|error| self.log.error(error))?;
        Ok(step.ok().map(|walked| walked.frame.max_timestamp_ms()))
    }

    /// Base offset.
    pub const fn base(&self) -> Offset {
        self.base
    }

    /// Path of the log file.
    pub fn path(&self) -> &Path {
        &self.log.path
    }

    /// Bytes of batches in it, those not yet handed to the kernel included.
    pub const fn size_bytes(&self) -> u64 {
        self.log.len + self.pending.len() as u64
    }

    /// Bytes not yet handed to the kernel.
    pub const fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// The indexes as they grow.
    pub const fn index(&self) -> &IndexBuilder {
        &self.index
    }

    /// Counts towards the next index entry as if `bytes` had gone in since the last one.
    pub fn count_on_from(&mut self, bytes: u64) {
        self.index.set_since_entry(bytes);
    }

    /// Whether the append belongs into a new segment (`LogSegment.shouldRoll`).
    pub fn should_roll(&self, config: &LogConfig, incoming: Incoming, now_ms: TimestampMs) -> bool {
        let size = self.size_bytes();
        let waited_ms = match self.first_timestamp_ms {
            Some(first) if first >= 0 => incoming.max_timestamp_ms.saturating_sub(first),
            _ => now_ms.saturating_sub(self.created_ms),
        };
        size + incoming.size_bytes > u64::from(config.segment_bytes)
            || (size > 0 && waited_ms > config.segment_ms)
            || self.index.is_full()
            || incoming.last_offset.relative_to(self.base).is_none()
    }

    /// Whether its indexes have room for every entry these batches could need.
    pub fn check_room(&self, batches: &[IndexedBatch]) -> Result<(), IndexError> {
        let mut trial = self.index.clone();
        batches.iter().try_for_each(|batch| trial.add(*batch))
    }

    /// Adds whole batches, which the caller has checked. Nothing is added after an error.
    pub fn append(&mut self, bytes: &[u8], batches: &[IndexedBatch]) -> Result<(), IndexError> {
        // One batch leads to one entry at most, and says before it is added that it cannot be.
        if let [batch] = batches {
            self.index.add(*batch)?;
        } else {
            self.check_room(batches)?;
            batches.iter().try_for_each(|batch| self.index.add(*batch))?;
        }
        if self.first_timestamp_ms.is_none() {
            self.first_timestamp_ms = batches.first().map(|batch| batch.max_timestamp_ms);
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    /// Adds a transaction that a marker in this segment aborted.
    pub fn add_aborted(&mut self, txn: AbortedTxn) {
        self.aborted.push(txn);
    }

    /// Hands everything to the kernel: the log, then its indexes.
    pub fn write_out(&mut self) -> Result<(), StorageError> {
        if !self.pending.is_empty() {
            self.log.append(&self.pending)?;
            self.pending.clear();
            // A partition that had its burst does not keep a buffer for good.
            if self.pending.capacity() > 2 * WRITE_BYTES {
                self.pending = Vec::new();
            }
            self.unsynced = true;
        }
        let entries = self.index.take();
        if !(entries.offset.is_empty() && entries.time.is_empty()) {
            self.offset_index.append(&entries.offset)?;
            self.time_index.append(&entries.time)?;
            self.unsynced = true;
        }
        if !self.aborted.is_empty() {
            let bytes: Vec<u8> = self.aborted.iter().flat_map(AbortedTxn::to_bytes).collect();
            OpenFile::open(self.txn_index.clone(), Opening::Kept)?.append(&bytes)?;
            self.aborted.clear();
            self.unsynced = true;
        }
        Ok(())
    }

    /// Waits until everything handed to the kernel is on disk: the log alone.
    ///
    /// The indexes can be made again from it.
    pub fn sync_log(&mut self) -> Result<(), StorageError> {
        self.write_out()?;
        self.log.sync()
    }

    /// Waits until log and indexes are on disk, in this order.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        self.write_out()?;
        if !self.unsynced {
            return Ok(());
        }
        self.log.sync()?;
        self.offset_index.sync()?;
        self.time_index.sync()?;
        sync_if_present(&self.txn_index)?;
        self.unsynced = false;
        Ok(())
    }

    /// A second handle on the log, for starting its write-back from another thread.
    pub fn log_handle(&self) -> Result<File, StorageError> {
        self.log.file.try_clone().map_err(|error| self.log.error(error))
    }

    /// The last time entry, and the end of preallocated zeros: what rolling and closing do
    /// (`LogSegment.onBecomeInactiveSegment`).
    pub fn become_inactive(&mut self) -> Result<(), StorageError> {
        self.index.close();
        self.write_out()?;
        if self.preallocated {
            self.log.cut(self.log.len)?;
            self.preallocated = false;
        }
        Ok(())
    }

    /// Cuts the segment before the batch that holds `offset`; returns the bytes cut
    /// (`LogSegment.truncateTo`).
    pub fn truncate_to(&mut self, offset: Offset, now_ms: TimestampMs) -> Result<u64, StorageError> {
        self.write_out()?;
        let was = self.log.len;
        let offsets = self.read_offset_index()?;
        let offsets = OffsetIndex::from_file(self.base, &offsets);
        let times = self.read_time_index()?;
        let times = TimeIndex::from_file(self.base, &times);
        let start = offsets.raw_lookup(offset).position().unwrap_or(Position::ZERO);
        let place = find_offset(&mut Walker::headers(self.source()?, start), offset);
        let place = place.map_err(|error| self.log.error(error.into_io()))?;
        // Log first: an index that says less than its log is no harm.
        let kept_offsets = (0..offsets.raw_entries()).filter_map(|at| offsets.get(at));
        let kept_offsets: Vec<OffsetEntry> = kept_offsets.take_while(|entry| entry.offset < offset).collect();
        let kept_times = (0..times.raw_entries()).filter_map(|at| times.get(at));
        let kept_times: Vec<TimeEntry> = kept_times.take_while(|entry| entry.offset < offset).collect();
        let largest = (self.index.largest().timestamp >= 0).then_some(());
        self.offset_index.cut((kept_offsets.len() * offset::ENTRY_LEN) as u64)?;
        self.time_index.cut((kept_times.len() * time::ENTRY_LEN) as u64)?;
        self.cut_txn_index(offset)?;
        if let Some(place) = place {
            self.log.cut(place.get())?;
            self.preallocated = false;
        }
        self.index = IndexBuilder::resume(
            self.base,
            self.index.limits(),
            (kept_offsets.len() as u64, kept_offsets.last().copied()),
            (kept_times.len() as u64, kept_times.last().copied()),
        );
        if self.log.len == 0 {
            self.created_ms = now_ms;
            self.first_timestamp_ms = None;
        }
        if largest.is_some() {
            self.index.set_largest(self.read_largest(&kept_offsets, kept_times.last().copied())?);
        }
        self.unsynced = true;
        Ok(was - self.log.len)
    }

    fn cut_txn_index(&mut self, offset: Offset) -> Result<(), StorageError> {
        self.aborted.retain(|txn| txn.last_offset < offset);
        let Some(bytes) = present(fs::read_small(&self.txn_index, index::INDEX_BYTES_MAX))? else { return Ok(()) };
        let len = TxnIndex::new(self.base, &bytes).len_truncated_to(offset);
        let len = len.map_err(|error| StorageError::new(&self.txn_index, error))?;
        if let Some(len) = len {
            let mut file = OpenFile::open(self.txn_index.clone(), Opening::Existing)?;
            file.cut(len as u64)?;
        }
        Ok(())
    }

    /// The largest timestamp of what is left (`LogSegment.readLargestTimestamp`).
    fn read_largest(&self, offsets: &[OffsetEntry], last: Option<TimeEntry>) -> Result<TimeEntry, StorageError> {
        let last = last.unwrap_or(TimeEntry { timestamp: -1, offset: self.base });
        let floor = offsets.iter().rev().find(|entry| entry.offset <= last.offset);
        let start = floor.and_then(OffsetEntry::position).unwrap_or(Position::ZERO);
        let mut walker = Walker::headers(self.source()?, start);
        let mut largest = last;
        while let Ok(walked) = walker.step().map_err(|error| self.log.error(error))? {
            if walked.frame.max_timestamp_ms() > largest.timestamp {
                largest = TimeEntry { timestamp: walked.frame.max_timestamp_ms(), offset: walked.frame.last_offset() };
            }
        }
        Ok(largest)
    }
}

/// Waits until all files of a segment that is not open are on disk.
pub(crate) fn sync_closed(dir: &Path, base: Offset) -> Result<(), StorageError> {
    let kinds =
        [SegmentFileKind::Log, SegmentFileKind::OffsetIndex, SegmentFileKind::TimeIndex, SegmentFileKind::TxnIndex];
    kinds.into_iter().try_for_each(|kind| sync_if_present(&dir.join(segment_file_name(base, kind))))
}

fn sync_if_present(path: &Path) -> Result<(), StorageError> {
    match File::open(path).and_then(|file| fs::sync_file(&file, path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StorageError::new(path, error)),
        _ => Ok(()),
    }
}

/// Why a look-up ended without an answer.
#[derive(Debug)]
pub(crate) enum LookupError {
    Io(io::Error),
    /// The position it was led to, or one behind it, holds no entry.
    Corrupt {
        position: Position,
        reason: BatchError,
    },
}

impl LookupError {
    fn into_io(self) -> io::Error {
        match self {
            LookupError::Io(error) => error,
            LookupError::Corrupt { position, reason } => {
                io::Error::new(io::ErrorKind::InvalidData, format!("position {position}: {reason}"))
            }
        }
    }
}

/// Position of the batch that holds `offset`, or of the first one above it (`FileRecords.searchForOffsetFromPosition`).
pub(crate) fn find_offset(walker: &mut Walker<FileSource>, offset: Offset) -> Result<Option<Position>, LookupError> {
    let mut previous: Option<(Position, Offset)> = None;
    let found = loop {
        let position = walker.position();
        let walked = match walker.step().map_err(LookupError::Io)? {
            Ok(walked) => walked,
            Err(Stop::End | Stop::Cut { .. }) => break None,
            Err(Stop::Corrupt(reason)) => return Err(LookupError::Corrupt { position, reason }),
        };
        let place = walked.position;
        let base = walked.frame.base_offset().unwrap_or(walked.frame.last_offset());
        if base == offset {
            return Ok(Some(place));
        }
        if base > offset {
            break Some(place);
        }
        previous = Some((place, walked.frame.last_offset()));
    };
    Ok(previous.filter(|(_, last)| *last >= offset).map(|(place, _)| place).or(found))
}
