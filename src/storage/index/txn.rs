//! The transaction index: transactions aborted by a marker in this segment.
//!
//! ```text
//!  at len  entry
//!   0   2  version, 0
//!   2   8  producer id
//!  10   8  first offset of the transaction, maybe in an earlier segment
//!  18   8  last offset: that of the ABORT marker
//!  26   8  last stable offset when the marker was appended
//! ```
//!
//! Never preallocated; the first abort creates the file. Bytes after the last whole entry are ignored.
//! The rules are those of `TransactionIndex` of Kafka 4.3.

use thiserror::Error;

use crate::types::{Offset, ProducerId};
use crate::wire;

/// Length of one entry.
pub const ENTRY_LEN: usize = 34;

/// One aborted transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTxn {
    /// Version of the entry, as stored.
    pub version: i16,
    /// Who aborted.
    pub producer_id: ProducerId,
    /// First offset of the transaction in this partition.
    pub first_offset: Offset,
    /// Offset of the ABORT marker.
    pub last_offset: Offset,
    /// First offset of the earliest transaction then still open, else the one after the marker.
    pub last_stable_offset: Offset,
}

impl AbortedTxn {
    /// Reads one entry; any bytes make one.
    pub fn from_bytes(entry: &[u8; ENTRY_LEN]) -> Self {
        let offset = |bytes| Offset::new(i64::from_be_bytes(bytes));
        AbortedTxn {
            version: i16::from_be_bytes(wire::field::<0, 2, ENTRY_LEN>(entry)),
            producer_id: ProducerId(i64::from_be_bytes(wire::field::<2, 8, ENTRY_LEN>(entry))),
            first_offset: offset(wire::field::<10, 8, ENTRY_LEN>(entry)),
            last_offset: offset(wire::field::<18, 8, ENTRY_LEN>(entry)),
            last_stable_offset: offset(wire::field::<26, 8, ENTRY_LEN>(entry)),
        }
    }

    /// The entry as it is stored.
    pub fn to_bytes(&self) -> [u8; ENTRY_LEN] {
        let mut out = [0; ENTRY_LEN];
        out[..2].copy_from_slice(&self.version.to_be_bytes());
        let fields =
            [self.producer_id.0, self.first_offset.get(), self.last_offset.get(), self.last_stable_offset.get()];
        for (at, field) in fields.into_iter().enumerate() {
            out[2 + 8 * at..][..8].copy_from_slice(&field.to_be_bytes());
        }
        out
    }

    /// The version as Kafka reads it: only the first of the two bytes, signed (`AbortedTxn.version`).
    fn version_kafka_sees(&self) -> i8 {
        self.version.to_be_bytes()[0].cast_signed()
    }
}

/// What stops Kafka at an entry. Entries count from 0.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum TxnIndexError {
    /// Written by something newer (KafkaException).
    #[error("entry {entry}: expected version 0, found {found}")]
    Version {
        /// The entry.
        entry: usize,
        /// The version as Kafka reads it.
        found: i8,
    },
    /// The marker would lie before the segment (CorruptIndexException): the segment is recovered.
    #[error("entry {entry}: last offset {last} is below the base offset {base}")]
    LastOffsetBelowBase {
        /// The entry.
        entry: usize,
        /// Its last offset.
        last: Offset,
        /// The segment's base offset.
        base: Offset,
    },
}

/// The first entry that breaks what every transaction index Kafka writes keeps to.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum TxnViolation {
    /// Not the only version there is; Kafka itself overlooks a wrong second byte and negative ones.
    #[error("entry {entry}: expected version 0, found {found}")]
    Version {
        /// The entry.
        entry: usize,
        /// The stored version.
        found: i16,
    },
    /// Markers stand in the order of the log, within the segment.
    #[error("entry {entry}: last offset {last}, expected at least {least}")]
    LastOffset {
        /// The entry.
        entry: usize,
        /// Its last offset.
        last: Offset,
        /// The base offset, or the offset after the marker before.
        least: Offset,
    },
    /// A transaction starts at an offset, and before its marker.
    #[error("entry {entry}: first offset {first} of a transaction that ends at {last}")]
    FirstOffset {
        /// The entry.
        entry: usize,
        /// Its first offset.
        first: Offset,
        /// Its last offset.
        last: Offset,
    },
    /// The last stable offset lies at most one above the marker.
    #[error("entry {entry}: last stable offset {last_stable} at a marker at {last}")]
    LastStable {
        /// The entry.
        entry: usize,
        /// Its last stable offset.
        last_stable: Offset,
        /// Its last offset.
        last: Offset,
    },
}

impl TxnViolation {
    /// The entry.
    pub const fn entry(&self) -> usize {
        match self {
            TxnViolation::Version { entry, .. }
            | TxnViolation::LastOffset { entry, .. }
            | TxnViolation::FirstOffset { entry, .. }
            | TxnViolation::LastStable { entry, .. } => *entry,
        }
    }
}

/// Aborted transactions of one segment that matter to a fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// The transactions, in the order of their markers.
    pub aborted: Vec<AbortedTxn>,
    /// Whether that is all of them; otherwise the next segment's index may add more.
    pub is_complete: bool,
}

/// A transaction index, borrowed. Any bytes make one.
#[derive(Debug, Clone, Copy)]
pub struct TxnIndex<'a> {
    base: Offset,
    entries: &'a [[u8; ENTRY_LEN]],
    trailing: usize,
}

impl<'a> TxnIndex<'a> {
    /// The index of the segment that starts at `base`.
    pub fn new(base: Offset, bytes: &'a [u8]) -> Self {
        let (entries, trailing) = bytes.as_chunks();
        TxnIndex { base, entries, trailing: trailing.len() }
    }

    /// The segment's base offset.
    pub fn base(&self) -> Offset {
        self.base
    }

    /// Number of whole entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no transaction is listed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes after the last whole entry.
    pub fn trailing_bytes(&self) -> usize {
        self.trailing
    }

    /// All entries, whatever their version.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = AbortedTxn> + ExactSizeIterator + use<'a> {
        self.entries.iter().map(AbortedTxn::from_bytes)
    }

    /// The transactions with a record in `fetch_offset..upper_bound` (`collectAbortedTxns`).
    pub fn collect_aborted(&self, fetch_offset: Offset, upper_bound: Offset) -> Result<Collected, TxnIndexError> {
        let mut collected = Collected::default();
        for txn in self.readable() {
            let txn = txn?;
            if txn.last_offset >= fetch_offset && txn.first_offset < upper_bound {
                collected.aborted.push(txn);
            }
            if txn.last_stable_offset >= upper_bound {
                collected.is_complete = true;
                break;
            }
        }
        Ok(collected)
    }

    /// `TransactionIndex.sanityCheck`, which a broker runs on every segment it loads.
    pub fn sanity_check(&self) -> Result<(), TxnIndexError> {
        for (entry, txn) in self.readable().enumerate() {
            let last = txn?.last_offset;
            if last < self.base {
                return Err(TxnIndexError::LastOffsetBelowBase { entry, last, base: self.base });
            }
        }
        Ok(())
    }

    /// Bytes to keep when the log is cut at `end` (`truncateTo`): entries before the first whose
    /// marker lies at or above it. `None` when there is no such entry and the file stays as it is.
    pub fn len_truncated_to(&self, end: Offset) -> Result<Option<usize>, TxnIndexError> {
        for (entry, txn) in self.readable().enumerate() {
            if txn?.last_offset >= end {
                return Ok(Some(entry * ENTRY_LEN));
            }
        }
        Ok(None)
    }

    /// The first entry no broker would have written there.
    pub fn first_violation(&self) -> Option<TxnViolation> {
        let mut least = self.base;
        for (entry, txn) in self.entries().enumerate() {
            let AbortedTxn { version, first_offset: first, last_offset: last, last_stable_offset: last_stable, .. } =
                txn;
            if version != 0 {
                return Some(TxnViolation::Version { entry, found: version });
            }
            if last < least {
                return Some(TxnViolation::LastOffset { entry, last, least });
            }
            if first < Offset::ZERO || first > last {
                return Some(TxnViolation::FirstOffset { entry, first, last });
            }
            if last_stable < Offset::ZERO || last_stable > last.next() {
                return Some(TxnViolation::LastStable { entry, last_stable, last });
            }
            least = last.next();
        }
        None
    }

    /// The entries as Kafka's iterator yields them: it throws at one it cannot read.
    fn readable(&self) -> impl Iterator<Item = Result<AbortedTxn, TxnIndexError>> + use<'a> {
        self.entries().enumerate().map(|(entry, txn)| match txn.version_kafka_sees() {
            ..=0 => Ok(txn),
            found => Err(TxnIndexError::Version { entry, found }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn txn(producer: i64, first: i64, last: i64, last_stable: i64) -> AbortedTxn {
        AbortedTxn {
            version: 0,
            producer_id: ProducerId(producer),
            first_offset: Offset::new(first),
            last_offset: Offset::new(last),
            last_stable_offset: Offset::new(last_stable),
        }
    }

    fn bytes(entries: &[AbortedTxn]) -> Vec<u8> {
        entries.iter().flat_map(AbortedTxn::to_bytes).collect()
    }

    #[test]
    fn a_real_file_is_read() {
        let hex = "0000000000000000000b0000000000000004000000000000000600000000000000070000000000000000000c0000000000000009000000000000000b000000000000000c";
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        let index = TxnIndex::new(Offset::ZERO, &bytes);
        let (first, second) = (txn(11, 4, 6, 7), txn(12, 9, 11, 12));
        assert_eq!(index.entries().collect::<Vec<_>>(), [first, second]);
        assert_eq!((index.sanity_check(), index.first_violation()), (Ok(()), None));
        let found = index.collect_aborted(Offset::new(5), Offset::new(7)).unwrap();
        assert_eq!(found, Collected { aborted: vec![first], is_complete: true });
        let found = index.collect_aborted(Offset::new(7), Offset::new(20)).unwrap();
        assert_eq!(found, Collected { aborted: vec![second], is_complete: false });
    }

    #[test]
    fn versions_are_judged_by_their_first_byte() {
        for (version, refused) in [(0, None), (1, None), (0x0100, Some(1)), (-1, None), (0x7f00, Some(127))] {
            let bytes = bytes(&[AbortedTxn { version, ..txn(1, 2, 3, 4) }]);
            let index = TxnIndex::new(Offset::ZERO, &bytes);
            let expected = refused.map(|found| TxnIndexError::Version { entry: 0, found });
            assert_eq!(index.sanity_check().err(), expected, "version {version:#x}");
            assert_eq!(index.first_violation().is_some(), version != 0, "version {version:#x}");
        }
    }

    #[test]
    fn the_first_entry_out_of_order_is_named() {
        let offset = Offset::new;
        let cases = [
            (vec![txn(1, 5, 12, 13), txn(1, 14, 15, 16)], None),
            (vec![txn(1, 5, 9, 10)], Some(TxnViolation::LastOffset { entry: 0, last: offset(9), least: offset(10) })),
            (
                vec![txn(1, 5, 12, 13), txn(2, 6, 12, 13)],
                Some(TxnViolation::LastOffset { entry: 1, last: offset(12), least: offset(13) }),
            ),
            (
                vec![txn(1, 13, 12, 13)],
                Some(TxnViolation::FirstOffset { entry: 0, first: offset(13), last: offset(12) }),
            ),
            (
                vec![txn(1, 5, 12, 14)],
                Some(TxnViolation::LastStable { entry: 0, last_stable: offset(14), last: offset(12) }),
            ),
        ];
        for (entries, expected) in cases {
            let bytes = bytes(&entries);
            assert_eq!(TxnIndex::new(offset(10), &bytes).first_violation(), expected, "{entries:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_index_and_entries_round_trip(
            whole in proptest::collection::vec(any::<u8>(), 0..150), base: i64, from: i64, upper: i64,
        ) {
            let index = TxnIndex::new(Offset::new(base), &whole);
            let again: Vec<u8> = index.entries().flat_map(|txn| txn.to_bytes()).collect();
            prop_assert_eq!(&again[..], &whole[..whole.len() - index.trailing_bytes()]);
            let _ = index.collect_aborted(Offset::new(from), Offset::new(upper));
            let _ = index.len_truncated_to(Offset::new(from));
            let _ = index.sanity_check();
            index.first_violation();
        }
    }
}
