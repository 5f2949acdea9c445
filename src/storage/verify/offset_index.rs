//! An offset index against the batches of its log, in one pass over both.
//!
//! Corrupt is what leads a look-up astray: an entry out of order, one that points at no batch, one whose offset
//! lies below the batch it points at, or above the log. Everything else works, and is equivalent at worst.
//!
//! Exact means: the entries a 4.x broker makes, for some `index.interval.bytes`. Which one need not be known. An
//! entry is made where more bytes than that came since the last one; so every stretch without an entry tells
//! the least it can be, every entry the most, and the index is exact as long as something lies between.

use super::{Corrupt, IndexResult, Placed};
use crate::storage::index::offset::{OffsetEntry, OffsetIndex};
use crate::types::Offset;

/// Values of `index.interval.bytes` that make an index what it is: at least the first, below the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// The longest stretch without an entry.
    pub least: u64,
    /// The shortest stretch that led to one; `u64::MAX` where there is no entry.
    pub below: u64,
}

impl Interval {
    /// Any value.
    pub const ANY: Interval = Interval { least: 0, below: u64::MAX };

    /// Whether any value is left.
    pub const fn is_possible(&self) -> bool {
        self.least < self.below
    }
}

/// Walks an index along its log.
#[derive(Debug)]
pub struct OffsetIndexCheck<'a> {
    index: OffsetIndex<'a>,
    next: usize,
    corrupt: Option<Corrupt>,
    odd: Option<Corrupt>,
    /// Offset of an entry that ends behind the batch it points at, and its number.
    open: Option<(usize, Offset)>,
    exact: bool,
    interval: Interval,
    since_entry: u64,
    last: Option<Offset>,
    /// Entries that point into bytes that hold no batch, of which nothing can be said.
    pub unchecked: usize,
}

impl<'a> OffsetIndexCheck<'a> {
    /// Of this index.
    pub fn new(index: OffsetIndex<'a>) -> Self {
        let violation = index.first_violation();
        let corrupt = violation.map(|found| Corrupt { entry: found.entry, what: found.what.to_string() });
        OffsetIndexCheck {
            index,
            next: 0,
            corrupt,
            odd: None,
            open: None,
            exact: true,
            interval: Interval::ANY,
            since_entry: 0,
            last: None,
            unchecked: 0,
        }
    }

    /// Takes the next batch; answers whether an entry points at it.
    pub fn batch(&mut self, batch: &Placed) -> bool {
        let mut indexed = false;
        while let Some(entry) = self.entry() {
            let at = u64::try_from(entry.raw_position).unwrap_or(0);
            if at > batch.position {
                break;
            }
            if at < batch.position {
                self.bad(format!(
                    "position {at} is not the start of a batch; the next one starts at {}",
                    batch.position
                ));
            } else {
                indexed = true;
                self.pointed_at(entry, batch);
            }
            self.next += 1;
        }
        if let Some((entry, offset)) = self.open {
            if offset == batch.last {
                self.open = None;
            } else if offset < batch.last {
                self.open = None;
                self.odd_entry(entry, format!("offset {offset} is not the last offset of any batch"));
            }
        }
        if indexed {
            self.interval.below = self.interval.below.min(self.since_entry);
            self.since_entry = 0;
        } else {
            self.interval.least = self.interval.least.max(self.since_entry);
        }
        self.since_entry += batch.size;
        self.last = self.last.max(Some(batch.last));
        indexed
    }

    fn pointed_at(&mut self, entry: OffsetEntry, batch: &Placed) {
        let OffsetEntry { offset, .. } = entry;
        // Of a compressed wrapper of magic 0 or 1 the first offset is not known; it is above the batch before.
        let first = batch.first.or(self.last.map(Offset::next)).unwrap_or(self.index.base());
        if offset < first {
            let holds = format!("{first}..={}", batch.last);
            self.bad(format!("offset {offset} points at position {}, where the batch holds {holds}", batch.position));
        } else if offset != batch.last {
            self.exact = false;
            if offset < batch.last {
                self.odd_entry(self.next, format!("offset {offset} is inside the batch at {}", batch.position));
            } else if let Some((entry, offset)) = self.open.replace((self.next, offset)) {
                self.odd_entry(entry, format!("offset {offset} is not the last offset of any batch"));
            }
        }
    }

    /// Bytes up to `end` hold no batch: entries that point there say nothing.
    pub fn damage(&mut self, end: u64) {
        self.exact = false;
        self.open = None;
        while self.entry().is_some_and(|entry| u64::try_from(entry.raw_position).is_ok_and(|at| at < end)) {
            self.next += 1;
            self.unchecked += 1;
        }
    }

    /// All batches were seen; the log ends at `len`.
    pub fn finish(mut self, len: u64) -> (IndexResult, Interval) {
        let last = self.last.unwrap_or(self.index.base());
        if let Some(entry) = self.entry() {
            let at = entry.raw_position;
            self.bad(format!("position {at} is behind the last batch, the log is {len} bytes long"));
        }
        if let Some((entry, offset)) = self.open {
            self.next = entry;
            self.bad(format!("offset {offset} is above the log's last, {last}"));
        }
        if let Some(corrupt) = self.corrupt {
            return (IndexResult::Corrupt(corrupt), self.interval);
        }
        let exact = self.exact && self.interval.is_possible();
        (if exact { IndexResult::Exact } else { IndexResult::Equivalent { odd: self.odd } }, self.interval)
    }

    fn entry(&self) -> Option<OffsetEntry> {
        (self.next < self.index.len()).then(|| self.index.get(self.next)).flatten()
    }

    fn bad(&mut self, what: String) {
        let found = Corrupt { entry: self.next, what };
        if self.corrupt.as_ref().is_none_or(|known| known.entry > found.entry) {
            self.corrupt = Some(found);
        }
    }

    fn odd_entry(&mut self, entry: usize, what: String) {
        self.exact = false;
        self.odd.get_or_insert(Corrupt { entry, what });
    }
}
