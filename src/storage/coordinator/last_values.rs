//! The last value of each key of a coordinator's partition, transactions taken into account.

use std::collections::HashMap;

use super::{Applied, Event, replay};
use crate::storage::fs::StorageError;
use crate::storage::partition::Partition;
use crate::storage::remarks::Remarks;
use crate::types::{Offset, ProducerId};

/// The newest record of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastValue {
    /// Its offset.
    pub offset: Offset,
    /// Its value; `None` where it removed the key.
    pub value: Option<Box<[u8]>>,
    /// Offset of the newest record of the key that had a value, in a transaction that is open or aborted too.
    pub last_set: Option<Offset>,
}

/// What a partition comes to.
///
/// Memory: one entry for each key that is or was there, with its value.
#[derive(Debug, Clone, Default)]
pub struct LastValues {
    last: HashMap<Box<[u8]>, LastValue>,
    pending: HashMap<ProducerId, HashMap<Box<[u8]>, LastValue>>,
    is_whole: bool,
    /// Where the records begin that were not read yet.
    next: Offset,
}

impl LastValues {
    /// Reads the whole partition.
    ///
    /// `key_of` may bring keys of several forms to one; `None` of it leaves the record out.
    pub fn read(
        partition: &Partition,
        remarks: &mut Remarks,
        key_of: &dyn Fn(&[u8], &mut Vec<u8>) -> bool,
    ) -> Result<LastValues, StorageError> {
        let mut values = LastValues { is_whole: true, ..LastValues::default() };
        values.read_on(partition, remarks, key_of)?;
        Ok(values)
    }

    /// Reads what has come since the last read.
    pub fn read_on(
        &mut self,
        partition: &Partition,
        remarks: &mut Remarks,
        key_of: &dyn Fn(&[u8], &mut Vec<u8>) -> bool,
    ) -> Result<(), StorageError> {
        let mut key = Vec::new();
        let replayed = replay(partition, self.next, remarks, &mut |event| match event {
            Event::Record { record, transaction } => {
                let Some(bytes) = record.key else { return };
                key.clear();
                if !key_of(bytes, &mut key) {
                    return;
                }
                match transaction {
                    None => self.apply(&key, &record),
                    Some(producer) => self.hold(producer, &key, &record),
                }
            }
            Event::End { producer, is_commit } => self.end(producer, is_commit),
        })?;
        self.is_whole &= replayed.is_whole;
        self.next = replayed.next;
        Ok(())
    }

    /// Where the records begin that were not read yet.
    pub const fn next(&self) -> Offset {
        self.next
    }

    /// Whether every record could be read.
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Each key and its newest record that counts.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &LastValue)> {
        self.last.iter().map(|(key, last)| (&**key, last))
    }

    /// Each key with the newest record of each transaction that is not over.
    pub fn pending(&self) -> impl Iterator<Item = (ProducerId, &[u8], &LastValue)> {
        self.pending
            .iter()
            .flat_map(|(producer, values)| values.iter().map(move |(key, last)| (*producer, &**key, last)))
    }

    fn apply(&mut self, key: &[u8], record: &Applied<'_>) {
        if record.value.is_none() {
            // Who removes a key removes what transactions are about to write there (`OffsetMetadataManager.replay`).
            for values in self.pending.values_mut() {
                values.remove(key);
            }
        }
        match self.last.get_mut(key) {
            Some(last) => last.replace(record),
            None => drop(self.last.insert(key.into(), LastValue::of(record))),
        }
    }

    fn hold(&mut self, producer: ProducerId, key: &[u8], record: &Applied<'_>) {
        if record.value.is_none() {
            return self.apply(key, record);
        }
        // Whatever becomes of the transaction: somebody wrote there.
        match self.last.get_mut(key) {
            Some(last) => last.last_set = Some(record.offset),
            None => {
                let untouched = LastValue { offset: Offset::new(-1), value: None, last_set: Some(record.offset) };
                self.last.insert(key.into(), untouched);
            }
        }
        let values = self.pending.entry(producer).or_default();
        match values.get_mut(key) {
            Some(last) => last.replace(record),
            None => drop(values.insert(key.into(), LastValue::of(record))),
        }
    }

    fn end(&mut self, producer: ProducerId, is_commit: bool) {
        for (key, value) in self.pending.remove(&producer).unwrap_or_default() {
            // What was committed outside while the transaction was open stays (KAFKA-5334).
            let is_newer = self.last.get(&key).is_none_or(|last| last.value.is_none() || value.offset > last.offset);
            if is_commit && is_newer {
                self.last.insert(key, value);
            }
        }
    }
}

impl LastValue {
    fn of(record: &Applied<'_>) -> LastValue {
        let last_set = record.value.map(|_| record.offset);
        LastValue { offset: record.offset, value: record.value.map(Box::from), last_set }
    }

    fn replace(&mut self, record: &Applied<'_>) {
        self.offset = record.offset;
        match (record.value, &mut self.value) {
            // Most values of a key are as long as the one before.
            (Some(new), Some(old)) if old.len() == new.len() => old.copy_from_slice(new),
            (new, old) => *old = new.map(Box::from),
        }
        if record.value.is_some() {
            self.last_set = Some(record.offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, value: Option<&[u8]>) -> Applied<'_> {
        Applied { offset: Offset::new(offset), timestamp_ms: 0, key: None, value }
    }

    fn value(values: &LastValues, key: &[u8]) -> Option<Vec<u8>> {
        values.last.get(key)?.value.as_ref().map(|value| value.to_vec())
    }

    #[test]
    fn a_transaction_counts_from_its_marker_on_and_never_over_what_is_newer() {
        let mut values = LastValues::default();
        let (one, two) = (ProducerId(1), ProducerId(2));
        values.apply(b"a", &record(0, Some(b"old")));
        values.hold(one, b"a", &record(1, Some(b"txn")));
        values.hold(two, b"b", &record(2, Some(b"gone")));
        assert_eq!(value(&values, b"a").unwrap(), b"old");
        assert_eq!(values.pending().count(), 2);
        values.end(two, false);
        assert_eq!((value(&values, b"b"), values.last[&b"b"[..]].last_set), (None, Some(Offset::new(2))));
        values.end(one, true);
        assert_eq!(value(&values, b"a").unwrap(), b"txn");
        values.hold(one, b"a", &record(3, Some(b"late")));
        values.apply(b"a", &record(4, Some(b"outside")));
        values.end(one, true);
        assert_eq!(value(&values, b"a").unwrap(), b"outside", "committed outside, after it in the log");
        values.hold(one, b"a", &record(5, Some(b"held")));
        values.apply(b"a", &record(6, None));
        values.end(one, true);
        assert_eq!((value(&values, b"a"), values.pending().count()), (None, 0), "removed, and what was held with it");
    }
}
