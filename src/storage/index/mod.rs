//! The three indexes beside a segment's log: by offset, by time, and of aborted transactions.
//!
//! None has a header or a checksum. The offset and the time index are created at full size and
//! filled with zeros; a clean close cuts them. A view therefore shows two things:
//!
//! ```text
//!  | entry 0 | entry 1 | ... | 0 0 0 0 ... 0 0 0 | x x x |
//!  '------ entries ----------'                   '-------'
//!  '------------- raw_entries -------------------' trailing bytes: not a whole entry
//! ```
//!
//! What Kafka counts is `raw_entries`: it takes padding left by a crash for entries, and rebuilds the
//! indexes of such segments at the next start. A reader wants `entries`. The cut between them is the
//! first entry after the first one that stands for the base offset, as in Kafka's dump tool, or the
//! very first if it is all zero (in a time index: and zeros follow).
//!
//! Lookups search like `AbstractIndex`, down to its separate search of the warm end of the file: on a
//! sorted index that changes nothing, on a damaged one the answer is still the broker's.

pub mod build;
pub mod offset;
pub mod tail;
pub mod time;
pub mod txn;

use std::io::{ErrorKind, Read};
use std::path::Path;

use thiserror::Error;

use super::fs::{self, StorageError, StorageErrorKind};
use crate::types::{Offset, TimestampMs};

/// More bytes than this that are not padding cannot belong to a segment below 2 GiB.
pub const INDEX_BYTES_MAX: u64 = 512 << 20;

/// An index file in memory, without the zeros at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexBytes {
    bytes: Vec<u8>,
    file_len: usize,
}

impl IndexBytes {
    /// An index held in memory, whole.
    pub fn of(bytes: Vec<u8>) -> Self {
        IndexBytes { file_len: bytes.len(), bytes }
    }

    /// The file's bytes up to the last one that is not zero.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Length of the file.
    pub fn file_len(&self) -> usize {
        self.file_len
    }
}

/// Reads the index at `path`. Zeros at its end, 10 MiB of them in an active segment, take no memory.
pub fn read(path: &Path) -> Result<IndexBytes, StorageError> {
    read_stream(path).map_err(|kind| StorageError::new(path, kind))
}

fn read_stream(path: &Path) -> Result<IndexBytes, StorageErrorKind> {
    // Kafka maps an index whole, so none is longer than 31 bits can say.
    let (file, len) = fs::open_file(path, i32::MAX as u64)?;
    // What a running broker appends meanwhile is not looked at.
    let mut file = file.take(len);
    let mut index = IndexBytes::default();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let read = match file.read(&mut chunk) {
            Ok(0) => return Ok(index),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let filled = &chunk[..read];
        if let Some(last) = filled.iter().rposition(|&byte| byte != 0) {
            if (index.file_len + last) as u64 >= INDEX_BYTES_MAX {
                return Err(StorageErrorKind::TooLarge {
                    len: (index.file_len + last + 1) as u64,
                    max: INDEX_BYTES_MAX,
                });
            }
            index.bytes.resize(index.file_len, 0);
            index.bytes.extend_from_slice(&filled[..=last]);
        }
        index.file_len += read;
    }
}

/// What `AbstractIndex.sanityCheck` of the offset and time index refuses (`CorruptIndexException`).
///
/// It is a weak check, and brokers no longer run it at start: an index that passes may still lie.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum SanityError {
    /// The last entry points below the segment.
    #[error("the last offset is {last}, below the base offset {base}")]
    LastOffsetBelowBase {
        /// Offset of the last entry.
        last: Offset,
        /// The segment's base offset.
        base: Offset,
    },
    /// Time index: the last timestamp is lower than the first.
    #[error("the last timestamp is {last}, below the first, {first}")]
    LastTimestampBelowFirst {
        /// Timestamp of the last entry.
        last: TimestampMs,
        /// Timestamp of the first.
        first: TimestampMs,
    },
    /// The file does not end with an entry.
    #[error("{len} bytes long, not a multiple of {entry_len}")]
    PartialEntry {
        /// Length of the file.
        len: usize,
        /// Length of one entry.
        entry_len: usize,
    },
}

/// The first entry that breaks what every index Kafka writes keeps to: a lookup may go astray there.
///
/// Entries count from 0.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("entry {entry}: {what}")]
pub struct Violation {
    /// The entry.
    pub entry: usize,
    /// The rule it breaks.
    pub what: Broken,
}

/// A rule an index breaks.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// An offset below the segment's base offset.
    #[error("offset {offset} is below the base offset {base}")]
    OffsetBelowBase {
        /// The entry's offset.
        offset: Offset,
        /// The segment's base offset.
        base: Offset,
    },
    /// An offset that does not come after the one before (time index: that comes before it).
    #[error("offset {offset} follows {previous}")]
    OffsetOrder {
        /// The entry's offset.
        offset: Offset,
        /// The offset of the entry before.
        previous: Offset,
    },
    /// A position below zero.
    #[error("position {position} is negative")]
    NegativePosition {
        /// The entry's position.
        position: i32,
    },
    /// A position that does not come after the one before.
    #[error("position {position} follows {previous}")]
    PositionOrder {
        /// The entry's position.
        position: i32,
        /// The position of the entry before.
        previous: i32,
    },
    /// A timestamp below zero.
    #[error("timestamp {timestamp} is negative")]
    NegativeTimestamp {
        /// The entry's timestamp.
        timestamp: TimestampMs,
    },
    /// A timestamp that does not come after the one before.
    #[error("timestamp {timestamp} follows {previous}")]
    TimestampOrder {
        /// The entry's timestamp.
        timestamp: TimestampMs,
        /// The timestamp of the entry before.
        previous: TimestampMs,
    },
    /// Something other than zeros where the padding of a preallocated index has begun.
    #[error("not zero, after the padding began at entry {padding}")]
    AfterPadding {
        /// The entry that was taken for the start of padding.
        padding: usize,
    },
}

/// Entries of `N` bytes, and zeros from the end of `bytes` up to `len`.
#[derive(Debug, Clone, Copy)]
struct Slots<'a, const N: usize> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a, const N: usize> Slots<'a, N> {
    fn new(bytes: &'a [u8], file_len: usize) -> Self {
        Slots { bytes, len: file_len.max(bytes.len()) }
    }

    fn count(self) -> usize {
        self.len / N
    }

    fn trailing(self) -> usize {
        self.len % N
    }

    /// Entry `at`; zeros beyond what is stored.
    fn get(self, at: usize) -> [u8; N] {
        let mut slot = [0; N];
        let stored = self.bytes.get(at * N..).unwrap_or_default();
        let len = stored.len().min(N);
        slot[..len].copy_from_slice(&stored[..len]);
        slot
    }

    /// The first entry at or after `from` with a byte that is not zero.
    fn first_not_zero(self, from: usize) -> Option<usize> {
        let rest = self.bytes.get(from * N..self.bytes.len().min(self.count() * N)).unwrap_or_default();
        rest.iter().position(|&byte| byte != 0).map(|at| from + at / N)
    }

    /// `AbstractIndex.largestLowerBoundSlotFor` among the first `count` entries.
    fn floor<K: Ord>(self, count: usize, target: K, key: impl Fn([u8; N]) -> K) -> Option<usize> {
        let last = count.checked_sub(1)?;
        let key = |at| key(self.get(at));
        let first_warm = last.saturating_sub(8192 / N);
        let (mut low, mut high) = if key(first_warm) < target {
            (first_warm, last)
        } else if key(0) > target {
            return None;
        } else {
            (0, first_warm)
        };
        while low < high {
            let middle = (low + high).div_ceil(2);
            match key(middle).cmp(&target) {
                std::cmp::Ordering::Greater => high = middle - 1,
                std::cmp::Ordering::Less => low = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        Some(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_drops_the_zeros_and_keeps_the_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000000.index");
        let far = 200_000;
        let mut stored = vec![0; far];
        stored[3] = 7;
        stored[far - 1] = 9;
        let mut bytes = stored.clone();
        bytes.resize(10 << 20, 0);
        for (bytes, stored) in [(&bytes[..], &stored[..]), (&[0; 80], &[]), (&[], &[])] {
            std::fs::write(&path, bytes).unwrap();
            let index = read(&path).unwrap();
            assert_eq!((index.bytes(), index.file_len()), (stored, bytes.len()));
        }
    }

    #[test]
    fn floor_is_the_largest_entry_at_or_below_in_cold_and_warm_part() {
        let bytes: Vec<u8> = (0..3_000u64).flat_map(|n| (n * 10).to_be_bytes()).collect();
        let slots = Slots::<8>::new(&bytes, 0);
        for count in [0usize, 1, 2, 1_025, 1_026, 3_000] {
            for target in (0..30_020).step_by(5) {
                let expected = (0..count).rev().find(|&at| at as u64 * 10 <= target);
                assert_eq!(slots.floor(count, target, u64::from_be_bytes), expected, "{target} of {count}");
            }
        }
    }
}
