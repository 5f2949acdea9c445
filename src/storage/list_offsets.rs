//! Offsets by their place or by time, as a broker answers ListOffsets (`Partition.fetchOffsetForTimestamp`,
//! `UnifiedLog.fetchOffsetByTimestamp`), and the search by time that reading from a time on uses.
//!
//! | asked for | answer |
//! |---|---|
//! | earliest, earliest local | log start offset |
//! | latest | what the isolation lets a client see: the high watermark, or the last stable offset |
//! | maximum timestamp | the first record with it, in the first segment that reaches it |
//! | timestamp | the first record at or above it, in the first segment whose largest is at or above it |
//! | latest tiered, earliest pending upload | none: what lies in remote storage is not known here |
//!
//! A leader moves the high watermark to the log end as soon as all in-sync replicas have it: at once where it is the
//! only one, as after most starts of a single replica. Offline that is taken for done, and the log end is the answer;
//! the high watermark of the checkpoint is a lower bound that lags behind.
//!
//! Damage is passed over, and [`ListOffsets::take_remarks`] says where: what stood there may have been the answer.

use std::io;
use std::ops::ControlFlow;

use super::file_source::FileSource;
use super::fs::StorageError;
use super::index;
use super::index::offset::OffsetIndex;
use super::index::time::TimeIndex;
use super::leader_epochs;
use super::names::SegmentFileKind;
use super::partition::{LogTail, Notice, Partition, Segment, open_scanner, present, seek_if_true};
use super::remarks::{LogDamage, LogDamages, Remarks};
use super::transactions::Transactions;
use crate::batch::scan::{Depth, Scanner, Step};
use crate::batch::{Decompressor, Frame, PayloadError, RecordRef};
use crate::types::{LeaderEpoch, NO_TIMESTAMP, Offset, TimestampMs};

/// Which offset is asked for (`OffsetSpec`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first one a reader may see.
    Earliest,
    /// The first one that is on a local disk; here the same.
    EarliestLocal,
    /// The end of what a reader may see.
    Latest,
    /// The last one in remote storage.
    LatestTiered,
    /// The first one that is not yet in remote storage.
    EarliestPendingUpload,
    /// The record with the largest timestamp.
    MaxTimestamp,
    /// The first record with this timestamp or a later one.
    Timestamp(TimestampMs),
}

impl OffsetSpec {
    /// As the protocol numbers them: negative ones have a meaning of their own (`ListOffsetsRequest`).
    pub const fn of_number(number: i64) -> OffsetSpec {
        match number {
            -1 => OffsetSpec::Latest,
            -2 => OffsetSpec::Earliest,
            -3 => OffsetSpec::MaxTimestamp,
            -4 => OffsetSpec::EarliestLocal,
            -5 => OffsetSpec::LatestTiered,
            -6 => OffsetSpec::EarliestPendingUpload,
            ms => OffsetSpec::Timestamp(ms),
        }
    }

    /// The word of kafka-get-offsets for it; `None` for a timestamp.
    pub const fn word(self) -> Option<&'static str> {
        Some(match self {
            OffsetSpec::Earliest => "earliest",
            OffsetSpec::EarliestLocal => "earliest-local",
            OffsetSpec::Latest => "latest",
            OffsetSpec::LatestTiered => "latest-tiered",
            OffsetSpec::EarliestPendingUpload => "earliest-pending-upload",
            OffsetSpec::MaxTimestamp => "max-timestamp",
            OffsetSpec::Timestamp(_) => return None,
        })
    }
}

/// How far a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// To the high watermark.
    #[default]
    ReadUncommitted,
    /// To the last stable offset.
    ReadCommitted,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The offset.
    pub offset: Offset,
    /// The timestamp of the record there, where one was looked for by its time.
    pub timestamp_ms: Option<TimestampMs>,
    /// The leader epoch that goes with it, where it is known.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// Answers several questions about one partition; what they share is found once.
#[derive(Debug)]
pub struct ListOffsets<'p> {
    partition: &'p Partition,
    decompressor: Decompressor,
    log_end: Option<Offset>,
    last_stable: Option<Offset>,
    remarks: Remarks,
}

impl<'p> ListOffsets<'p> {
    /// Reads nothing yet. Batches larger than `max_batch_bytes`, decompressed, are passed over.
    pub fn new(partition: &'p Partition, max_batch_bytes: usize) -> ListOffsets<'p> {
        let decompressor = Decompressor::with_cap(max_batch_bytes);
        ListOffsets { partition, decompressor, log_end: None, last_stable: None, remarks: Remarks::default() }
    }

    /// Files that could not be used and were made up for, and damage that was met on the way to an answer.
    pub fn take_remarks(&mut self) -> Remarks {
        std::mem::take(&mut self.remarks)
    }

    /// The end of the log, and damage at it.
    fn tail(&mut self) -> Result<LogTail, StorageError> {
        let tail = self.partition.tail()?;
        if let (Some(damage), Some(last)) = (&tail.damage, self.partition.segments().last()) {
            self.remarks.damages.add_scanned(&last.log, damage);
        }
        Ok(tail)
    }

    /// The offset the next record would get.
    pub fn log_end(&mut self) -> Result<Offset, StorageError> {
        let found = match self.log_end {
            Some(known) => known,
            None => self.tail()?.log_end,
        };
        self.log_end = Some(found);
        Ok(found)
    }

    /// The last stable offset below the log end.
    pub fn last_stable(&mut self) -> Result<Offset, StorageError> {
        if let Some(known) = self.last_stable {
            return Ok(known);
        }
        let end = self.log_end()?;
        let mut transactions = Transactions::new(self.partition);
        let found = transactions.last_stable(end)?;
        self.remarks.notices.append(&mut transactions.take_notices());
        self.remarks.damages.merge(transactions.take_damages());
        self.last_stable = Some(found);
        Ok(found)
    }

    /// What a broker answers; `None` when there is no such offset.
    pub fn answer(&mut self, spec: OffsetSpec, isolation: Isolation) -> Result<Option<Found>, StorageError> {
        let found = match spec {
            OffsetSpec::Earliest | OffsetSpec::EarliestLocal => {
                let offset = self.partition.log_start();
                let earliest = self.epochs().first().copied().filter(|entry| entry.start <= offset);
                let leader_epoch = earliest.map(|entry| entry.epoch);
                return Ok(Some(Found { offset, timestamp_ms: None, leader_epoch }));
            }
            OffsetSpec::Latest => {
                let offset = self.fetchable(isolation)?;
                // A leader answers with its own epoch, which begins with an entry of the file.
                let leader_epoch = self.epochs().last().map(|entry| entry.epoch);
                return Ok(Some(Found { offset, timestamp_ms: None, leader_epoch }));
            }
            OffsetSpec::LatestTiered | OffsetSpec::EarliestPendingUpload => None,
            OffsetSpec::MaxTimestamp => self.max_timestamp()?,
            OffsetSpec::Timestamp(target_ms) => self.by_timestamp(target_ms)?,
        };
        // What lies behind is there, and not yet to be seen (`ReplicaManager.fetchOffset`).
        let end = self.fetchable(isolation)?;
        Ok(found.filter(|found| found.offset < end))
    }

    fn fetchable(&mut self, isolation: Isolation) -> Result<Offset, StorageError> {
        match isolation {
            Isolation::ReadUncommitted => self.log_end(),
            Isolation::ReadCommitted => self.last_stable(),
        }
    }

    /// Entries of the leader epoch file; none where it cannot be read, which is noticed.
    fn epochs(&mut self) -> Vec<leader_epochs::EpochEntry> {
        let path = self.partition.dir().join(leader_epochs::FILE_NAME);
        match present(leader_epochs::read(&path)) {
            Ok(epochs) => epochs.map(|epochs| epochs.entries().to_vec()).unwrap_or_default(),
            Err(error) => {
                self.remarks.notices.push(Notice::new(path, format!("{}; leader epochs unknown", error.kind)));
                Vec::new()
            }
        }
    }

    /// `LogSegment.findOffsetByTimestamp` of the first segment whose largest timestamp is high enough. Where that one has
    /// no such record above the log start, a broker looks no further.
    fn by_timestamp(&mut self, target_ms: TimestampMs) -> Result<Option<Found>, StorageError> {
        for (number, segment) in self.partition.segments().iter().enumerate() {
            // A segment without timestamps (magic 0, or emptied by the cleaner) is as old as its file to a broker
            // (`LogSegment.largestTimestamp`), which then finds nothing in it and looks no further. Copies of a
            // directory have other file times, so here it is passed over.
            let largest = self.largest_of(number)?.map_or(NO_TIMESTAMP, |(timestamp, _)| timestamp);
            if largest < target_ms.max(0) {
                continue;
            }
            return self
                .partition
                .find_timestamp_from(
                    number,
                    target_ms,
                    self.partition.log_start(),
                    &mut self.decompressor,
                    &mut self.remarks.damages,
                )
                .map_err(|error| StorageError::new(&segment.log, error));
        }
        Ok(None)
    }

    fn max_timestamp(&mut self) -> Result<Option<Found>, StorageError> {
        let mut best: Option<(usize, TimestampMs, Offset)> = None;
        for number in 0..self.partition.segments().len() {
            let (timestamp, offset) = self.largest_of(number)?.unwrap_or((NO_TIMESTAMP, Offset::ZERO));
            if best.is_none_or(|(_, largest, _)| timestamp > largest) {
                best = Some((number, timestamp, offset));
            }
        }
        let Some((number, timestamp, offset)) = best else { return Ok(None) };
        let Some(segment) = self.partition.segments().get(number) else { return Ok(None) };
        let error = |error: io::Error| StorageError::new(&segment.log, error);
        let (decompressor, damages) = (&mut self.decompressor, &mut self.remarks.damages);
        if let Some(found) = first_with(segment, timestamp, offset, decompressor, damages).map_err(error)? {
            return Ok(found);
        }
        // The index named a timestamp that no batch has: the headers know better.
        match scan_largest(segment, damages)? {
            Some((timestamp, _)) => {
                Ok(first_with(segment, timestamp, segment.base, decompressor, damages).map_err(error)?.flatten())
            }
            None => Ok(None),
        }
    }

    /// The largest timestamp of a segment, and the last offset of the batch that has it: from the end of the time index,
    /// and in the last segment from what stands behind the last index entry too.
    fn largest_of(&mut self, number: usize) -> Result<Option<(TimestampMs, Offset)>, StorageError> {
        let Some(segment) = self.partition.segments().get(number) else { return Ok(None) };
        let path = segment.sibling(SegmentFileKind::TimeIndex);
        // One that cannot be read is as good as none.
        let has_index = path.is_file();
        let damages = &mut self.remarks.damages;
        let Ok(entry) = index::tail::time(segment.base, &path) else { return scan_largest(segment, damages) };
        if !has_index {
            return scan_largest(segment, damages);
        }
        let indexed = entry.map(|entry| (entry.timestamp, entry.offset));
        if number + 1 < self.partition.segments().len() {
            return Ok(indexed);
        }
        let tail = self.tail()?.largest;
        Ok(match (indexed, tail) {
            (Some(indexed), Some(tail)) if tail.0 > indexed.0 => Some(tail),
            (None, tail) => tail,
            (indexed, _) => indexed,
        })
    }
}

impl Partition {
    /// The first record at or behind `from` whose timestamp is at or above `target_ms`: control records count,
    /// offsets below `from` do not.
    ///
    /// As `UnifiedLog.searchOffsetInLocalLog`, but it goes on where the first segment with a large enough timestamp has
    /// it below `from` only. A time index that is missing or empty is made up for by scanning.
    pub fn find_timestamp(
        &self,
        target_ms: TimestampMs,
        from: Offset,
        max_batch_bytes: usize,
    ) -> Result<Option<(Offset, TimestampMs)>, StorageError> {
        let mut decompressor = Decompressor::with_cap(max_batch_bytes);
        let start = self.floor_segment(from);
        for (number, segment) in self.segments().iter().enumerate().skip(start) {
            let is_last = number + 1 == self.segments().len();
            let is_older = |index: TimeIndex<'_>| {
                index.first_violation().is_none() && index.last().is_some_and(|last| last.timestamp < target_ms)
            };
            if !is_last && time_index_of(segment, is_older) == Some(true) {
                continue;
            }
            // Whoever reads from there on meets the damage by itself.
            let damages = &mut LogDamages::default();
            let found = self.find_timestamp_from(number, target_ms, from, &mut decompressor, damages);
            if let Some(found) = found.map_err(|error| StorageError::new(&segment.log, error))? {
                return Ok(found.timestamp_ms.map(|timestamp| (found.offset, timestamp)));
            }
        }
        Ok(None)
    }

    /// The same within segment `number` (`LogSegment.findOffsetByTimestamp`).
    fn find_timestamp_from(
        &self,
        number: usize,
        target_ms: TimestampMs,
        from: Offset,
        decompressor: &mut Decompressor,
        damages: &mut LogDamages,
    ) -> io::Result<Option<Found>> {
        let Some(segment) = self.segments().get(number) else { return Ok(None) };
        // Everything below the floor entry is older than the target. An index that breaks its rules says nothing.
        let floor = time_index_of(segment, |index| {
            let usable = !index.is_empty() && index.first_violation().is_none();
            usable.then(|| index.lookup(target_ms).offset)
        });
        let floor = floor.flatten().unwrap_or(segment.base).max(from);
        let Some(mut scanner) = scanner_at(segment, floor)? else { return Ok(None) };
        loop {
            match scanner.next()? {
                Step::Entry(entry) => {
                    if entry.frame.max_timestamp_ms() < target_ms || entry.frame.last_offset() < from {
                        continue;
                    }
                    let epoch = Some(entry.frame.leader_epoch()).filter(|epoch| *epoch >= LeaderEpoch(0));
                    let is_it = |record: &RecordRef<'_>| record.timestamp_ms >= target_ms && record.offset >= from;
                    let hit = match first_record(&entry.frame, decompressor, &is_it) {
                        Ok(hit) => hit,
                        Err(reason) => {
                            let next = Some(entry.frame.last_offset().next());
                            let (log, position) = (segment.log.clone(), entry.position);
                            damages.add(LogDamage { log, position, reason, next });
                            continue;
                        }
                    };
                    if let Some((offset, timestamp_ms)) = hit {
                        let timestamp_ms = Some(timestamp_ms);
                        return Ok(Some(Found { offset, timestamp_ms, leader_epoch: epoch }));
                    }
                }
                Step::Damage(damage) => damages.add_scanned(&segment.log, &damage),
                Step::End(..) => return Ok(None),
            }
        }
    }
}

/// At the entry of the offset index for `offset`, where that is true; `None` when the segment is gone.
fn scanner_at(segment: &Segment, offset: Offset) -> io::Result<Option<Scanner<FileSource>>> {
    let mut scanner = match open_scanner(segment, Depth::Crc) {
        Ok(scanner) => scanner,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(io::Error::other(error)),
    };
    if let Ok(Some(bytes)) = segment.offset_index() {
        let index = OffsetIndex::from_file(segment.base, &bytes);
        seek_if_true(&mut scanner, index.lookup(offset), segment)?;
    }
    Ok(Some(scanner))
}

/// What `ask` says of the time index; `None` when there is none that can be read.
fn time_index_of<T>(segment: &Segment, ask: impl FnOnce(TimeIndex<'_>) -> T) -> Option<T> {
    let bytes = segment.time_index().ok()??;
    Some(ask(TimeIndex::from_file(segment.base, &bytes)))
}

/// The largest timestamp in the headers of a segment, and the last offset of the first batch that has it.
fn scan_largest(segment: &Segment, damages: &mut LogDamages) -> Result<Option<(TimestampMs, Offset)>, StorageError> {
    let error = |error: io::Error| StorageError::new(&segment.log, error);
    let mut scanner = match open_scanner(segment, Depth::Headers) {
        Ok(scanner) => scanner,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut largest: Option<(TimestampMs, Offset)> = None;
    loop {
        match scanner.next().map_err(error)? {
            Step::Entry(entry) => {
                let timestamp = entry.frame.max_timestamp_ms();
                if largest.is_none_or(|(before, _)| timestamp > before) {
                    largest = Some((timestamp, entry.frame.last_offset()));
                }
            }
            Step::Damage(damage) => damages.add_scanned(&segment.log, &damage),
            Step::End(..) => return Ok(largest),
        }
    }
}

/// The first record with the largest timestamp `timestamp`, whose batch ends at or behind `near` as the index says;
/// the outer `None` when no batch has it. A batch of magic 0 has no offset for it (`RecordBatch.offsetOfMaxTimestamp`).
fn first_with(
    segment: &Segment,
    timestamp: TimestampMs,
    near: Offset,
    decompressor: &mut Decompressor,
    damages: &mut LogDamages,
) -> io::Result<Option<Option<Found>>> {
    let Some(mut scanner) = scanner_at(segment, near)? else { return Ok(None) };
    loop {
        match scanner.next()? {
            Step::Entry(entry) if entry.frame.max_timestamp_ms() == timestamp => {
                if entry.frame.magic() == 0 {
                    return Ok(Some(None));
                }
                let leader_epoch = Some(entry.frame.leader_epoch()).filter(|epoch| *epoch >= LeaderEpoch(0));
                let hit = match first_record(&entry.frame, decompressor, &|record| record.timestamp_ms == timestamp) {
                    Ok(hit) => hit,
                    Err(reason) => {
                        let next = Some(entry.frame.last_offset().next());
                        damages.add(LogDamage { log: segment.log.clone(), position: entry.position, reason, next });
                        None
                    }
                };
                return Ok(Some(hit.map(|(offset, _)| Found { offset, timestamp_ms: Some(timestamp), leader_epoch })));
            }
            Step::Damage(damage) => damages.add_scanned(&segment.log, &damage),
            Step::Entry(_) => {}
            Step::End(..) => return Ok(None),
        }
    }
}

/// Offset and timestamp of the first record of a batch that `is_it` holds for.
fn first_record(
    frame: &Frame<'_>,
    decompressor: &mut Decompressor,
    is_it: &dyn Fn(&RecordRef<'_>) -> bool,
) -> Result<Option<(Offset, TimestampMs)>, PayloadError> {
    frame.records(decompressor)?.visit(|record| match is_it(record) {
        true => ControlFlow::Break((record.offset, record.timestamp_ms)),
        false => ControlFlow::Continue(()),
    })
}
