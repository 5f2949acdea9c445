//! Which entries a batch leads to: the offset and the time index of one segment as a 4.3 broker fills them.
//!
//! Before a batch of `size` bytes at `position` is counted (`LogSegment.append`, and the same rule in
//! `LogSegment.recover`):
//!
//! ```text
//! if more than index.interval.bytes went in since the last entry:
//!     offset index += (last offset of this batch, position)
//!     time index   += (largest timestamp so far, last offset of the batch that brought it), if it is larger
//!                     than the last entry's
//!     nothing went in since the last entry
//! size went in
//! ```
//!
//! So the first batch has no entry. Rolling and closing add one last time entry. Counting starts at zero
//! again whenever a segment is opened or cut.

use thiserror::Error;

use super::offset::OffsetEntry;
use super::time::TimeEntry;
use super::{offset, time};
use crate::types::{NO_TIMESTAMP, Offset, TimestampMs};

/// The settings that decide about entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexLimits {
    /// `index.interval.bytes`: log bytes between two entries.
    pub interval_bytes: u64,
    /// `segment.index.bytes`: size at which an index is full.
    pub index_bytes_max: u64,
}

impl IndexLimits {
    /// Entries an offset index holds.
    pub const fn offset_entries_max(&self) -> u64 {
        self.index_bytes_max / offset::ENTRY_LEN as u64
    }

    /// Entries a time index holds, the closing one included.
    pub const fn time_entries_max(&self) -> u64 {
        self.index_bytes_max / time::ENTRY_LEN as u64
    }
}

/// Why an entry cannot be added. Kafka throws in each of these cases, and fails its start where it
/// happens during recovery.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum IndexError {
    /// `IllegalArgumentException`: the segment needs more entries than `segment.index.bytes` gives room for.
    #[error("the {what} index is full with {entries} entries (segment.index.bytes is too small for this segment)")]
    Full {
        /// "offset" or "time".
        what: &'static str,
        /// Entries it has.
        entries: u64,
    },
    /// `InvalidOffsetException`: batches are not in the order of their offsets.
    #[error("offset {offset} cannot follow {last} in the {what} index: the log's offsets are out of order")]
    OffsetOrder {
        /// "offset" or "time".
        what: &'static str,
        /// Offset of the entry to be added.
        offset: Offset,
        /// Offset of the last entry.
        last: Offset,
    },
    /// The offset is below the base or 2^31 or more above it.
    #[error("offset {offset} is not within 2^31 above the base offset {base}")]
    Range {
        /// The offset.
        offset: Offset,
        /// Base offset of the segment.
        base: Offset,
    },
}

/// What the builder needs to know of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedBatch {
    /// Position of its first byte.
    pub position: u32,
    /// Its size on disk.
    pub size_bytes: u64,
    /// Its last offset.
    pub last_offset: Offset,
    /// Its largest timestamp.
    pub max_timestamp_ms: TimestampMs,
}

/// The indexes of one segment while it grows. Entries wait in [`IndexBuilder::take`] to be written.
#[derive(Debug, Clone)]
pub struct IndexBuilder {
    base: Offset,
    limits: IndexLimits,
    offset_entries: u64,
    last_offset: Option<Offset>,
    time_entries: u64,
    last_time: Option<TimeEntry>,
    largest: Option<TimeEntry>,
    since_entry: u64,
    new: NewEntries,
}

/// Entries not yet in the files, as the files store them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewEntries {
    /// For the offset index.
    pub offset: Vec<u8>,
    /// For the time index.
    pub time: Vec<u8>,
}

impl IndexBuilder {
    /// Of an empty segment.
    pub fn new(base: Offset, limits: IndexLimits) -> IndexBuilder {
        IndexBuilder {
            base,
            limits,
            offset_entries: 0,
            last_offset: None,
            time_entries: 0,
            last_time: None,
            largest: None,
            since_entry: 0,
            new: NewEntries::default(),
        }
    }

    /// Of a segment whose indexes are on disk: their number of entries and the last ones.
    pub fn resume(
        base: Offset,
        limits: IndexLimits,
        (offset_entries, last_offset): (u64, Option<OffsetEntry>),
        (time_entries, last_time): (u64, Option<TimeEntry>),
    ) -> IndexBuilder {
        IndexBuilder {
            offset_entries,
            last_offset: last_offset.map(|entry| entry.offset),
            time_entries,
            last_time,
            ..IndexBuilder::new(base, limits)
        }
    }

    /// Base offset of the segment.
    pub const fn base(&self) -> Offset {
        self.base
    }

    /// The limits it was made with.
    pub const fn limits(&self) -> IndexLimits {
        self.limits
    }

    /// Whether the segment has to roll before the next append (`AbstractIndex.isFull`): a time index keeps
    /// one entry for the end.
    pub const fn is_full(&self) -> bool {
        self.offset_is_full() || self.time_is_full()
    }

    const fn offset_is_full(&self) -> bool {
        self.offset_entries >= self.limits.offset_entries_max()
    }

    const fn time_is_full(&self) -> bool {
        self.time_entries + 1 >= self.limits.time_entries_max()
    }

    /// The largest timestamp so far and the last offset of the batch that brought it.
    ///
    /// Of a segment that was opened and not appended to: the last entry of its time index.
    pub fn largest(&self) -> TimeEntry {
        self.largest.or(self.last_time).unwrap_or(TimeEntry { timestamp: NO_TIMESTAMP, offset: self.base })
    }

    /// Puts in place what is known of a segment that was cut.
    pub fn set_largest(&mut self, largest: TimeEntry) {
        self.largest = Some(largest);
    }

    /// Bytes of the log since the last entry, as the next batch will see them.
    pub const fn since_entry(&self) -> u64 {
        self.since_entry
    }

    /// Takes a count over from before the segment was rebuilt.
    pub fn set_since_entry(&mut self, bytes: u64) {
        self.since_entry = bytes;
    }

    /// Counts a batch, adding the entries it leads to. After an error no entry of this batch was added.
    pub fn add(&mut self, batch: IndexedBatch) -> Result<(), IndexError> {
        if batch.last_offset.relative_to(self.base).is_none() {
            return Err(IndexError::Range { offset: batch.last_offset, base: self.base });
        }
        if batch.max_timestamp_ms > self.largest().timestamp {
            self.largest = Some(TimeEntry { timestamp: batch.max_timestamp_ms, offset: batch.last_offset });
        }
        if self.since_entry > self.limits.interval_bytes {
            if self.offset_is_full() {
                return Err(IndexError::Full { what: "offset", entries: self.offset_entries });
            }
            if let Some(last) = self.last_offset.filter(|last| batch.last_offset <= *last) {
                return Err(IndexError::OffsetOrder { what: "offset", offset: batch.last_offset, last });
            }
            let largest = self.largest();
            self.check_time(largest)?;
            self.push_offset(batch.last_offset, batch.position);
            self.push_time(largest);
            self.since_entry = 0;
        }
        self.since_entry += batch.size_bytes;
        Ok(())
    }

    /// Adds the last time entry, of a segment that rolls or closes.
    pub fn close(&mut self) {
        let largest = self.largest();
        self.push_time(largest);
    }

    fn check_time(&self, entry: TimeEntry) -> Result<(), IndexError> {
        if self.time_is_full() {
            return Err(IndexError::Full { what: "time", entries: self.time_entries });
        }
        match self.last_time.filter(|last| entry.offset < last.offset) {
            Some(last) => Err(IndexError::OffsetOrder { what: "time", offset: entry.offset, last: last.offset }),
            None => Ok(()),
        }
    }

    fn push_offset(&mut self, offset: Offset, position: u32) {
        let relative = offset.relative_to(self.base).unwrap_or(u32::MAX);
        self.new.offset.extend_from_slice(&relative.to_be_bytes());
        self.new.offset.extend_from_slice(&position.to_be_bytes());
        self.offset_entries += 1;
        self.last_offset = Some(offset);
    }

    fn push_time(&mut self, entry: TimeEntry) {
        let last = self.last_time.map_or(NO_TIMESTAMP, |last| last.timestamp);
        if entry.timestamp <= last || self.last_time.is_some_and(|last| entry.offset < last.offset) {
            return;
        }
        let Some(relative) = entry.offset.relative_to(self.base) else { return };
        self.new.time.extend_from_slice(&entry.timestamp.to_be_bytes());
        self.new.time.extend_from_slice(&relative.to_be_bytes());
        self.time_entries += 1;
        self.last_time = Some(entry);
    }

    /// The entries added since the last call, to be appended to the files.
    pub fn take(&mut self) -> NewEntries {
        std::mem::take(&mut self.new)
    }

    /// Entries added and not yet taken.
    pub const fn pending(&self) -> &NewEntries {
        &self.new
    }

    /// Entries of both indexes, those waiting included.
    pub const fn entries(&self) -> (u64, u64) {
        (self.offset_entries, self.time_entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: IndexLimits = IndexLimits { interval_bytes: 100, index_bytes_max: 48 };

    fn batch(position: u32, last: i64, timestamp: i64) -> IndexedBatch {
        IndexedBatch { position, size_bytes: 101, last_offset: Offset::new(last), max_timestamp_ms: timestamp }
    }

    #[test]
    fn the_first_batch_has_no_entry_and_closing_adds_a_time() {
        let mut builder = IndexBuilder::new(Offset::new(10), LIMITS);
        builder.add(batch(0, 12, 5)).unwrap();
        assert_eq!(builder.entries(), (0, 0));
        builder.add(batch(101, 14, 4)).unwrap();
        assert_eq!(builder.entries(), (1, 1), "more than the interval went in");
        builder.add(batch(202, 15, 9)).unwrap();
        builder.close();
        builder.close();
        let new = builder.take();
        assert_eq!(new.offset, [[0, 0, 0, 4, 0, 0, 0, 101], [0, 0, 0, 5, 0, 0, 0, 202]].concat());
        assert_eq!(new.time[8..12], [0, 0, 0, 2], "the batch that brought the largest timestamp");
        assert_eq!(new.time.len(), 24, "the largest timestamp is there already");
    }

    #[test]
    fn a_full_index_wants_a_roll_and_refuses_entries() {
        let mut builder = IndexBuilder::new(Offset::ZERO, LIMITS);
        for n in 0..4 {
            assert!(!builder.is_full(), "before batch {n}");
            builder.add(batch(n * 101, i64::from(n), i64::from(n))).unwrap();
        }
        assert!(builder.is_full(), "three of four time entries");
        let full = builder.add(batch(404, 4, 4)).unwrap_err();
        assert_eq!(full, IndexError::Full { what: "time", entries: 3 });
        builder.close();
        assert_eq!(builder.entries(), (3, 4), "the last one is kept for the end");
    }

    #[test]
    fn offsets_out_of_order_are_noticed_where_an_entry_is_due() {
        let mut builder = IndexBuilder::new(Offset::ZERO, LIMITS);
        builder.add(batch(0, 5, 1)).unwrap();
        builder.add(batch(101, 9, 1)).unwrap();
        let wrong = builder.add(batch(202, 9, 1)).unwrap_err();
        assert_eq!(wrong, IndexError::OffsetOrder { what: "offset", offset: Offset::new(9), last: Offset::new(9) });
        let far = builder.add(batch(202, 1 << 31, 1)).unwrap_err();
        assert_eq!(far, IndexError::Range { offset: Offset::new(1 << 31), base: Offset::ZERO });
    }

    #[test]
    fn no_timestamp_is_never_indexed() {
        let mut builder = IndexBuilder::new(Offset::ZERO, LIMITS);
        builder.add(batch(0, 0, -1)).unwrap();
        builder.add(batch(101, 1, -1)).unwrap();
        builder.close();
        assert_eq!(builder.entries(), (1, 0));
    }
}
