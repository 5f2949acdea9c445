//! A time index against the batches of its log, in one pass over both.
//!
//! An entry `(t, o)` promises that nothing up to offset `o` is younger than `t`, and that something is as young: a
//! look-up for a later time starts behind `o`, and retention takes the last entry for the segment's age.

use super::{Corrupt, IndexResult, Placed};
use crate::storage::index::time::{TimeEntry, TimeIndex};
use crate::types::{NO_TIMESTAMP, Offset, TimestampMs};

/// Walks an index along its log.
#[derive(Debug)]
pub struct TimeIndexCheck<'a> {
    index: TimeIndex<'a>,
    next: usize,
    corrupt: Option<Corrupt>,
    odd: Option<Corrupt>,
    /// Entry the exact index would have next.
    canonical: usize,
    exact: bool,
    last_canonical: TimestampMs,
    /// The largest timestamp so far and the last offset of the batch that brought it.
    largest: TimeEntry,
    last: Option<Offset>,
    saw_damage: bool,
}

/// What the walk came to.
#[derive(Debug)]
pub struct TimeIndexOutcome {
    /// The result.
    pub result: IndexResult,
    /// The largest timestamp of the segment is not in the index: the entry of a close is missing.
    pub missing_closing: Option<TimeEntry>,
}

impl<'a> TimeIndexCheck<'a> {
    /// Of this index.
    pub fn new(index: TimeIndex<'a>) -> Self {
        let violation = index.first_violation();
        TimeIndexCheck {
            index,
            next: 0,
            corrupt: violation.map(|found| Corrupt { entry: found.entry, what: found.what.to_string() }),
            odd: None,
            canonical: 0,
            exact: true,
            last_canonical: NO_TIMESTAMP,
            largest: TimeEntry { timestamp: NO_TIMESTAMP, offset: index.base() },
            last: None,
            saw_damage: false,
        }
    }

    /// Takes the next batch; `indexed`: the offset index has an entry for it.
    pub fn batch(&mut self, batch: &Placed, indexed: bool) {
        while let Some(entry) = self.entry().filter(|entry| entry.offset < batch.last) {
            let first = batch.first.or(self.last.map(Offset::next)).unwrap_or(self.index.base());
            let most = match entry.offset >= first {
                true => self.largest.timestamp.max(batch.max_timestamp),
                false => self.largest.timestamp,
            };
            self.judge(entry, most);
            if !self.saw_damage {
                self.odd_entry(format!("offset {} is not the last offset of any batch", entry.offset));
            }
            self.next += 1;
        }
        if batch.max_timestamp > self.largest.timestamp {
            self.largest = TimeEntry { timestamp: batch.max_timestamp, offset: batch.last };
        }
        while let Some(entry) = self.entry().filter(|entry| entry.offset == batch.last) {
            self.judge(entry, self.largest.timestamp);
            self.next += 1;
        }
        if indexed {
            self.expect_largest();
        }
        self.last = Some(batch.last);
    }

    /// Nothing up to the entry's offset may be younger than it says, something must be as young; `most`: the
    /// largest timestamp that a record at or below the offset can have.
    fn judge(&mut self, entry: TimeEntry, most: TimestampMs) {
        let TimeEntry { timestamp, offset } = entry;
        if self.saw_damage {
            return;
        }
        if timestamp < self.largest.timestamp {
            self.bad(format!(
                "timestamp {timestamp} at offset {offset}, but the largest up to there is {}",
                self.largest.timestamp
            ));
        } else if timestamp > most {
            self.bad(format!(
                "timestamp {timestamp} at offset {offset}, but no record up to there is later than {most}"
            ));
        }
    }

    fn expect_largest(&mut self) {
        if self.largest.timestamp <= self.last_canonical {
            return;
        }
        self.last_canonical = self.largest.timestamp;
        self.exact &= self.canonical < self.index.len() && self.index.get(self.canonical) == Some(self.largest);
        self.canonical += 1;
    }

    /// Bytes that hold no batch follow: what they held is not known.
    pub fn damage(&mut self) {
        self.saw_damage = true;
        self.exact = false;
    }

    /// All batches were seen. `closed`: the segment is not the active one, its last entry must be its largest.
    pub fn finish(mut self, closed: bool) -> TimeIndexOutcome {
        let last = self.last.unwrap_or(self.index.base());
        while let Some(entry) = self.entry() {
            if !self.saw_damage {
                self.bad(format!("offset {} is above the log's last, {last}", entry.offset));
            }
            self.next += 1;
        }
        let known = self.index.last().map_or(NO_TIMESTAMP, |entry| entry.timestamp);
        let missing_closing = (closed && self.largest.timestamp > known).then_some(self.largest);
        if closed || self.canonical < self.index.len() {
            self.expect_largest();
        }
        self.exact &= self.canonical == self.index.len();
        let result = match self.corrupt {
            Some(corrupt) => IndexResult::Corrupt(corrupt),
            None if self.exact => IndexResult::Exact,
            None => IndexResult::Equivalent { odd: self.odd },
        };
        TimeIndexOutcome { result, missing_closing }
    }

    fn entry(&self) -> Option<TimeEntry> {
        (self.next < self.index.len()).then(|| self.index.get(self.next)).flatten()
    }

    fn bad(&mut self, what: String) {
        let found = Corrupt { entry: self.next, what };
        if self.corrupt.as_ref().is_none_or(|known| known.entry > found.entry) {
            self.corrupt = Some(found);
        }
    }

    fn odd_entry(&mut self, what: String) {
        self.odd.get_or_insert(Corrupt { entry: self.next, what });
    }
}
