//! The offset index: some offsets of a segment, and where their batches start.
//!
//! ```text
//!  at len  entry
//!   0   4  offset of the indexed batch's last record, minus the base offset
//!   4   4  position of the batch's first byte in the .log
//! ```
//!
//! An entry promises that no batch before `position` holds an offset at or above the entry's.

use super::{Broken, IndexBytes, SanityError, Slots, Violation};
use crate::types::{Offset, Position};
use crate::wire;

/// Length of one entry.
pub const ENTRY_LEN: usize = 8;

/// One entry. Its numbers are as stored; damage can make them anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetEntry {
    /// The last offset of the indexed batch.
    pub offset: Offset,
    /// Where the batch starts, as stored.
    pub raw_position: i32,
}

impl OffsetEntry {
    /// Where the batch starts; `None` when the stored number is negative.
    pub fn position(&self) -> Option<Position> {
        u64::try_from(self.raw_position).ok().map(Position::new)
    }
}

/// An offset index, borrowed. Any bytes make one.
///
/// ```
/// use logdir::{storage::index::offset::OffsetIndex, types::{Offset, Position}};
///
/// let bytes = [0, 0, 0, 19, 0, 0, 14, 255, 0, 0, 0, 0, 0, 0, 0, 0];
/// let index = OffsetIndex::new(Offset::new(2832), &bytes);
/// assert_eq!((index.len(), index.raw_entries()), (1, 2));
/// let found = index.lookup(Offset::new(2860));
/// assert_eq!((found.offset, found.position()), (Offset::new(2851), Some(Position::new(3839))));
/// assert_eq!(index.lookup(Offset::new(2850)).offset, Offset::new(2832));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct OffsetIndex<'a> {
    base: Offset,
    slots: Slots<'a, ENTRY_LEN>,
    len: usize,
}

impl<'a> OffsetIndex<'a> {
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
        let first_is_padding = slots.get(0) == [0; ENTRY_LEN];
        let padding = (1..stored).find(|&at| relative(slots.get(at)) == 0);
        let len = match padding {
            _ if first_is_padding => 0,
            Some(at) => at,
            None => stored,
        };
        OffsetIndex { base, slots, len }
    }

    /// The segment's base offset.
    pub fn base(&self) -> Offset {
        self.base
    }

    /// Number of entries before the padding.
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

    /// Entry `at`, in the padding too; `None` from [`OffsetIndex::raw_entries`] on.
    pub fn get(&self, at: usize) -> Option<OffsetEntry> {
        (at < self.raw_entries()).then(|| self.entry(at))
    }

    /// The entries before the padding.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = OffsetEntry> + ExactSizeIterator + use<'a> {
        let index = *self;
        (0..self.len).map(move |at| index.entry(at))
    }

    /// Where to start looking for `target`: the largest entry at or below it, else the segment's start.
    pub fn lookup(&self, target: Offset) -> OffsetEntry {
        self.lookup_among(self.len, target)
    }

    /// The same as a broker that opened the file would answer: padding counts as entries.
    pub fn raw_lookup(&self, target: Offset) -> OffsetEntry {
        self.lookup_among(self.raw_entries(), target)
    }

    /// `OffsetIndex.sanityCheck`, on the file as Kafka would open it.
    pub fn sanity_check(&self) -> Result<(), SanityError> {
        if let Some(last) = self.raw_entries().checked_sub(1).map(|at| self.entry(at).offset)
            && last < self.base
        {
            return Err(SanityError::LastOffsetBelowBase { last, base: self.base });
        }
        if self.trailing_bytes() > 0 {
            return Err(SanityError::PartialEntry { len: self.slots.len, entry_len: ENTRY_LEN });
        }
        Ok(())
    }

    /// The first entry no broker would have written there; `None` when the order holds throughout.
    ///
    /// Whether positions are those of batches only the log can tell.
    pub fn first_violation(&self) -> Option<Violation> {
        let mut previous: Option<OffsetEntry> = None;
        for (entry, now) in self.entries().enumerate() {
            let what = if now.offset < self.base {
                Some(Broken::OffsetBelowBase { offset: now.offset, base: self.base })
            } else if now.raw_position < 0 {
                Some(Broken::NegativePosition { position: now.raw_position })
            } else {
                previous.and_then(|before| {
                    if now.offset <= before.offset {
                        Some(Broken::OffsetOrder { offset: now.offset, previous: before.offset })
                    } else if now.raw_position <= before.raw_position {
                        Some(Broken::PositionOrder { position: now.raw_position, previous: before.raw_position })
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

    fn lookup_among(&self, count: usize, target: Offset) -> OffsetEntry {
        match self.slots.floor(count, target, |slot| self.base.plus(relative(slot).into())) {
            Some(at) => self.entry(at),
            None => OffsetEntry { offset: self.base, raw_position: 0 },
        }
    }

    fn entry(&self, at: usize) -> OffsetEntry {
        let slot = self.slots.get(at);
        OffsetEntry {
            offset: self.base.plus(relative(slot).into()),
            raw_position: i32::from_be_bytes(wire::field::<4, 4, ENTRY_LEN>(&slot)),
        }
    }
}

fn relative(slot: [u8; ENTRY_LEN]) -> i32 {
    i32::from_be_bytes(wire::field::<0, 4, ENTRY_LEN>(&slot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Entries, and what breaks at which of them.
    type Case = (&'static [(i32, i32)], Option<(usize, Broken)>);

    fn bytes(entries: &[(i32, i32)]) -> Vec<u8> {
        entries.iter().flat_map(|(o, p)| [o.to_be_bytes(), p.to_be_bytes()].concat()).collect()
    }

    #[test]
    fn padding_is_cut_where_the_dump_tool_stops() {
        let cases: [(&[(i32, i32)], usize); 6] = [
            (&[], 0),
            (&[(0, 0), (0, 0)], 0),
            (&[(5, 100), (0, 0), (0, 0)], 1),
            (&[(0, 100), (5, 200), (0, 0)], 2),
            (&[(5, 100), (9, 200)], 2),
            (&[(5, 100), (0, 7), (9, 200)], 1),
        ];
        for (entries, len) in cases {
            let bytes = bytes(entries);
            let index = OffsetIndex::new(Offset::ZERO, &bytes);
            assert_eq!((index.len(), index.raw_entries()), (len, entries.len()), "{entries:?}");
            assert_eq!(index.entries().len(), len, "{entries:?}");
        }
    }

    #[test]
    fn the_first_entry_out_of_order_is_named() {
        let cases: [Case; 7] = [
            (&[(5, 100), (9, 200), (0, 0)], None),
            (&[(-5, 100)], Some((0, Broken::OffsetBelowBase { offset: Offset::new(95), base: Offset::new(100) }))),
            (&[(5, -1)], Some((0, Broken::NegativePosition { position: -1 }))),
            (
                &[(5, 1), (5, 2)],
                Some((1, Broken::OffsetOrder { offset: Offset::new(105), previous: Offset::new(105) })),
            ),
            (&[(5, 1), (6, 1)], Some((1, Broken::PositionOrder { position: 1, previous: 1 }))),
            (&[(5, 1), (0, 0), (6, 2)], Some((2, Broken::AfterPadding { padding: 1 }))),
            (&[(5, 1), (0, 3)], Some((1, Broken::AfterPadding { padding: 1 }))),
        ];
        for (entries, expected) in cases {
            let bytes = bytes(entries);
            let found = OffsetIndex::new(Offset::new(100), &bytes).first_violation();
            assert_eq!(found, expected.map(|(entry, what)| Violation { entry, what }), "{entries:?}");
        }
    }

    #[test]
    fn a_broker_finds_itself_in_padding_where_a_reader_does_not() {
        let bytes = bytes(&[(5, 100), (9, 200), (0, 0), (0, 0), (0, 0)]);
        let index = OffsetIndex::new(Offset::ZERO, &bytes);
        assert_eq!(index.lookup(Offset::new(20)).raw_position, 200);
        assert_eq!(index.raw_lookup(Offset::new(20)).raw_position, 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_index(
            bytes in proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..100),
            zeros in 0usize..50, base: i64, target: i64,
        ) {
            let mut whole = bytes.clone();
            whole.resize(bytes.len() + zeros, 0);
            let plain = OffsetIndex::new(Offset::new(base), &whole);
            let mut short = whole.clone();
            while short.last() == Some(&0) { short.pop(); }
            let file = IndexBytes { bytes: short, file_len: whole.len() };
            let read = OffsetIndex::from_file(Offset::new(base), &file);
            let target = Offset::new(target);
            for index in [plain, read] {
                prop_assert_eq!(index.entries().collect::<Vec<_>>(), plain.entries().collect::<Vec<_>>());
                prop_assert_eq!(index.raw_entries(), whole.len() / ENTRY_LEN);
                prop_assert_eq!(index.lookup(target), plain.lookup(target));
                prop_assert_eq!(index.raw_lookup(target), plain.raw_lookup(target));
                prop_assert_eq!(index.sanity_check(), plain.sanity_check());
                prop_assert_eq!(index.first_violation(), plain.first_violation());
            }
        }
    }
}
