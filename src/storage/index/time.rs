//! The time index: the largest timestamp so far, at some points of a segment.
//!
//! ```text
//!  at len  entry
//!   0   8  largest timestamp of the segment so far
//!   8   4  last offset of the batch that brought it, minus the base offset
//! ```
//!
//! An entry promises that no batch up to its offset holds a larger timestamp. The last entry of a
//! closed segment is the segment's largest timestamp and decides about retention.

use super::{Broken, IndexBytes, SanityError, Slots, Violation};
use crate::types::{NO_TIMESTAMP, Offset, TimestampMs};
use crate::wire;

/// Length of one entry.
pub const ENTRY_LEN: usize = 12;

/// One entry. Its numbers are as stored; damage can make them anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeEntry {
    /// The largest timestamp up to and including the batch.
    pub timestamp: TimestampMs,
    /// The batch's last offset.
    pub offset: Offset,
}

/// A time index, borrowed. Any bytes make one.
#[derive(Debug, Clone, Copy)]
pub struct TimeIndex<'a> {
    base: Offset,
    slots: Slots<'a, ENTRY_LEN>,
    len: usize,
}

impl<'a> TimeIndex<'a> {
    /// The index of the segment that starts at `base`, from the bytes of the whole file.
    pub fn new(base: Offset, bytes: &'a [u8]) -> Self {
        Self::over(base, Slots::new(bytes, bytes.len()))
    }

    /// The same from a file read by [`super::read`].
    pub fn from_file(base: Offset, file: &'a IndexBytes) -> Self {
        Self::over(base, Slots::new(&file.bytes, file.file_len))
    }

    fn over(base: Offset, slots: Slots<'a, ENTRY_LEN>) -> Self {
        let stored = slots.count().min(slots.bytes.len().div_ceil(ENTRY_LEN));
        let len = (1..stored).find(|&at| relative(slots.get(at)) == 0).unwrap_or(stored);
        // Where more zeros follow, a first entry of zeros is padding too. Where something else or
        // nothing follows, it stands for a first batch of one record with timestamp 0.
        let zeros_follow = len <= 1 && slots.count() > 1;
        let len = match slots.get(0) == [0; ENTRY_LEN] {
            true if zeros_follow => 0,
            true => len.max(1).min(slots.count()),
            false => len,
        };
        TimeIndex { base, slots, len }
    }

    /// The segment's base offset.
    pub fn base(&self) -> Offset {
        self.base
    }

    /// Number of entries before the padding.
    ///
    /// A first entry that is all zero, and followed by zeros only, could also stand for a first batch
    /// of one record with timestamp 0; nothing is lost by starting at the segment's start instead.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry before the padding.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of entries as Kafka counts them: all whole ones, padding included.
    pub fn raw_entries(&self) -> usize {
        self.slots.count()
    }

    /// Bytes after the last whole entry; Kafka ignores them and cuts them at the next close.
    pub fn trailing_bytes(&self) -> usize {
        self.slots.trailing()
    }

    /// Entry `at`, in the padding too; `None` from [`TimeIndex::raw_entries`] on.
    pub fn get(&self, at: usize) -> Option<TimeEntry> {
        (at < self.raw_entries()).then(|| self.entry(at))
    }

    /// The entries before the padding.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = TimeEntry> + ExactSizeIterator + use<'a> {
        let index = *self;
        (0..self.len).map(move |at| index.entry(at))
    }

    /// The last entry before the padding: the largest timestamp of a closed segment.
    pub fn last(&self) -> Option<TimeEntry> {
        self.entries().next_back()
    }

    /// Where to start looking for records from `target` on: the entry with the largest timestamp at
    /// or below it, else timestamp -1 at the segment's start.
    pub fn lookup(&self, target: TimestampMs) -> TimeEntry {
        self.lookup_among(self.len, target)
    }

    /// The same as a broker that opened the file would answer: padding counts as entries.
    pub fn raw_lookup(&self, target: TimestampMs) -> TimeEntry {
        self.lookup_among(self.raw_entries(), target)
    }

    /// `TimeIndex.sanityCheck`, on the file as Kafka would open it.
    pub fn sanity_check(&self) -> Result<(), SanityError> {
        if let Some(last) = self.raw_entries().checked_sub(1).map(|at| self.entry(at)) {
            let first = self.entry(0).timestamp;
            if last.timestamp < first {
                return Err(SanityError::LastTimestampBelowFirst { last: last.timestamp, first });
            }
            if last.offset < self.base {
                return Err(SanityError::LastOffsetBelowBase { last: last.offset, base: self.base });
            }
        }
        if self.trailing_bytes() > 0 {
            return Err(SanityError::PartialEntry { len: self.slots.len, entry_len: ENTRY_LEN });
        }
        Ok(())
    }

    /// The first entry no broker would have written there; `None` when the order holds throughout.
    ///
    /// Timestamps rise, offsets do not fall: the entry that closes a segment may repeat an offset.
    pub fn first_violation(&self) -> Option<Violation> {
        let mut previous: Option<TimeEntry> = None;
        for (entry, now) in self.entries().enumerate() {
            let what = if now.offset < self.base {
                Some(Broken::OffsetBelowBase { offset: now.offset, base: self.base })
            } else if now.timestamp < 0 {
                Some(Broken::NegativeTimestamp { timestamp: now.timestamp })
            } else {
                previous.and_then(|before| {
                    if now.timestamp <= before.timestamp {
                        Some(Broken::TimestampOrder { timestamp: now.timestamp, previous: before.timestamp })
                    } else if now.offset < before.offset {
                        Some(Broken::OffsetOrder { offset: now.offset, previous: before.offset })
                    } else {
                        None
                    }
                })
            };
            if let Some(what) = what {
                return Some(Violation { entry, what });
            }
            previous = Some(now);
        }
        let entry = self.slots.first_not_zero(self.len)?;
        Some(Violation { entry, what: Broken::AfterPadding { padding: self.len } })
    }

    fn lookup_among(&self, count: usize, target: TimestampMs) -> TimeEntry {
        match self.slots.floor(count, target, timestamp) {
            Some(at) => self.entry(at),
            None => TimeEntry { timestamp: NO_TIMESTAMP, offset: self.base },
        }
    }

    fn entry(&self, at: usize) -> TimeEntry {
        let slot = self.slots.get(at);
        TimeEntry { timestamp: timestamp(slot), offset: self.base.plus(relative(slot).into()) }
    }
}

fn timestamp(slot: [u8; ENTRY_LEN]) -> TimestampMs {
    i64::from_be_bytes(wire::field::<0, 8, ENTRY_LEN>(&slot))
}

fn relative(slot: [u8; ENTRY_LEN]) -> i32 {
    i32::from_be_bytes(wire::field::<8, 4, ENTRY_LEN>(&slot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Entries, and what breaks at which of them.
    type Case = (&'static [(i64, i32)], Option<(usize, Broken)>);

    fn bytes(entries: &[(i64, i32)]) -> Vec<u8> {
        entries.iter().flat_map(|(t, o)| [&t.to_be_bytes()[..], &o.to_be_bytes()[..]].concat()).collect()
    }

    #[test]
    fn lookup_is_the_largest_timestamp_at_or_below() {
        let bytes = bytes(&[(1_000, 0), (2_000, 19), (3_000, 19), (0, 0)]);
        let index = TimeIndex::new(Offset::new(100), &bytes);
        assert_eq!((index.len(), index.raw_entries(), index.first_violation()), (3, 4, None));
        let cases = [(999, (-1, 100)), (1_000, (1_000, 100)), (2_999, (2_000, 119)), (i64::MAX, (3_000, 119))];
        for (target, (timestamp, offset)) in cases {
            let expected = TimeEntry { timestamp, offset: Offset::new(offset) };
            assert_eq!(index.lookup(target), expected, "{target}");
        }
    }

    #[test]
    fn zeros_are_padding_unless_an_entry_follows() {
        let cases: [(&[(i64, i32)], usize); 8] = [
            (&[], 0),
            (&[(0, 0)], 1),
            (&[(0, 0), (0, 0)], 0),
            (&[(0, 0), (7, 3)], 2),
            (&[(0, 0), (7, 3), (0, 0)], 2),
            (&[(0, 3), (0, 0)], 1),
            (&[(7, 0), (0, 0)], 1),
            (&[(7, 0), (9, 3), (0, 0)], 2),
        ];
        for (entries, len) in cases {
            let bytes = bytes(entries);
            let index = TimeIndex::new(Offset::new(100), &bytes);
            assert_eq!((index.len(), index.first_violation()), (len, None), "{entries:?}");
            let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
            let file = IndexBytes { bytes: bytes[..end].to_vec(), file_len: bytes.len() };
            assert_eq!(TimeIndex::from_file(Offset::new(100), &file).len(), len, "{entries:?} read");
        }
    }

    #[test]
    fn the_first_entry_out_of_order_is_named() {
        let cases: [Case; 6] = [
            (&[(5, 0), (9, 20), (0, 0)], None),
            (&[(-5, 1)], Some((0, Broken::NegativeTimestamp { timestamp: -5 }))),
            (&[(5, -1)], Some((0, Broken::OffsetBelowBase { offset: Offset::new(99), base: Offset::new(100) }))),
            (&[(5, 1), (5, 2)], Some((1, Broken::TimestampOrder { timestamp: 5, previous: 5 }))),
            (
                &[(5, 2), (6, 1)],
                Some((1, Broken::OffsetOrder { offset: Offset::new(101), previous: Offset::new(102) })),
            ),
            (&[(5, 1), (0, 0), (6, 2)], Some((2, Broken::AfterPadding { padding: 1 }))),
        ];
        for (entries, expected) in cases {
            let bytes = bytes(entries);
            let found = TimeIndex::new(Offset::new(100), &bytes).first_violation();
            assert_eq!(found, expected.map(|(entry, what)| Violation { entry, what }), "{entries:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_index(
            bytes in proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..150), base: i64, target: i64,
        ) {
            let index = TimeIndex::new(Offset::new(base), &bytes);
            prop_assert!(index.len() <= index.raw_entries());
            prop_assert_eq!(index.raw_entries() * ENTRY_LEN + index.trailing_bytes(), bytes.len());
            prop_assert_eq!(index.entries().next_back(), index.last());
            index.lookup(target);
            index.raw_lookup(target);
            let _ = index.sanity_check();
            index.first_violation();
        }
    }
}
