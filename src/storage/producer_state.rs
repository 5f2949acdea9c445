//! Producer snapshots: what a log knew about its producers at one offset.
//!
//! ```text
//!  at  len  field
//!   0    2  version, 1
//!   2    4  CRC-32C of [6..end]
//!   6    4  number of entries
//!  10   46  each:  0 8 producer id         22 4 offset delta of the last batch
//!                  8 2 producer epoch      26 8 timestamp
//!                 10 4 last sequence       34 4 coordinator epoch
//!                 14 8 last offset         38 8 first offset of the open transaction
//! ```
//!
//! The file is `<offset>.snapshot` and covers everything below that offset. A broker deletes one it
//! cannot read and falls back to an older one or to the log: none of the errors here loses data.

use std::path::Path;

use thiserror::Error;

use super::fs::{self, StorageError};
use crate::crc::crc32c;
use crate::types::{Offset, ProducerId, TimestampMs};
use crate::wire::{Reader, WireError};

/// The only readable version.
pub const VERSION: i16 = 1;
/// Length of one entry.
pub const ENTRY_LEN: usize = 46;
/// A snapshot above this length is refused: more than 11 million producers.
pub const SNAPSHOT_BYTES_MAX: u64 = 512 << 20;

/// What a log remembers of one producer. Numbers are as stored: -1 where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerEntry {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its newest epoch.
    pub producer_epoch: i16,
    /// Sequence of the last record of its last batch; -1 when no batch of this epoch is known.
    pub last_sequence: i32,
    /// Offset of that record; -1 when no batch of this epoch is known.
    pub last_offset: Offset,
    /// Last minus first offset of that batch.
    pub offset_delta: i32,
    /// Largest timestamp of the last batch, or that of the last marker.
    pub timestamp: TimestampMs,
    /// Epoch of the coordinator that wrote the last marker; -1 when there was none.
    pub coordinator_epoch: i32,
    /// First offset of the open transaction; -1 when none is open. See [`ProducerEntry::open_txn`].
    pub current_txn_first_offset: Offset,
}

impl ProducerEntry {
    /// First offset of the transaction that is open at the snapshot's offset.
    pub fn open_txn(&self) -> Option<Offset> {
        (self.current_txn_first_offset >= Offset::ZERO).then_some(self.current_txn_first_offset)
    }

    /// Whether a last batch is known; Kafka ignores sequence, offset and delta otherwise.
    pub fn has_batch(&self) -> bool {
        self.last_offset >= Offset::ZERO
    }
}

/// A snapshot whose checksum holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerSnapshot {
    /// One entry for each producer, in no particular order.
    pub entries: Vec<ProducerEntry>,
    /// Bytes after the last entry; the checksum covers them, Kafka ignores them.
    pub trailing_bytes: usize,
}

/// Why a snapshot cannot be used; all of them are Kafka's CorruptSnapshotException.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotError {
    /// The file ends early.
    #[error("needs {needed} bytes, {available} remain")]
    Truncated {
        /// Bytes the next field, or all entries, take.
        needed: usize,
        /// Bytes left.
        available: usize,
    },
    /// Another version.
    #[error("expected version {VERSION}, found {found}")]
    Version {
        /// The stored version.
        found: i16,
    },
    /// A number of entries below zero.
    #[error("expected a number of entries, found {found}")]
    NegativeCount {
        /// The stored count.
        found: i32,
    },
    /// More entries announced than bytes are left.
    #[error("{count} entries announced, {remaining} bytes remain")]
    CountTooLarge {
        /// The stored count.
        count: usize,
        /// Bytes left.
        remaining: usize,
    },
    /// Stored and computed checksums differ.
    #[error("stored CRC {stored:#010x}, computed {computed:#010x}")]
    CrcMismatch {
        /// The stored checksum.
        stored: u32,
        /// The checksum of what is there.
        computed: u32,
    },
}

impl From<WireError> for SnapshotError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Underflow { needed, available } => SnapshotError::Truncated { needed, available },
            // There is no variable-length number in a snapshot.
            WireError::VarintTooLong { .. } => SnapshotError::Truncated { needed: 0, available: 0 },
        }
    }
}

/// Parses a snapshot and checks its checksum, in the order of `ProducerStateManager.readSnapshot`:
/// frame first, checksum last.
pub fn parse(bytes: &[u8]) -> Result<ProducerSnapshot, SnapshotError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    if version != VERSION {
        return Err(SnapshotError::Version { found: version });
    }
    let stored = reader.u32()?;
    let covered = reader.rest();
    let found = reader.i32()?;
    let count = usize::try_from(found).map_err(|_| SnapshotError::NegativeCount { found })?;
    let remaining = reader.remaining();
    if count > remaining {
        return Err(SnapshotError::CountTooLarge { count, remaining });
    }
    let needed = count.saturating_mul(ENTRY_LEN);
    if needed > remaining {
        return Err(SnapshotError::Truncated { needed, available: remaining });
    }
    let entries = (0..count).map(|_| entry(&mut reader)).collect::<Result<_, _>>()?;
    let computed = crc32c(covered);
    if stored != computed {
        return Err(SnapshotError::CrcMismatch { stored, computed });
    }
    Ok(ProducerSnapshot { entries, trailing_bytes: reader.remaining() })
}

/// Reads the snapshot at `path`.
pub fn read(path: &Path) -> Result<ProducerSnapshot, StorageError> {
    fs::read_parsed(path, SNAPSHOT_BYTES_MAX, parse)
}

/// The bytes of a snapshot with these entries.
pub fn to_bytes(entries: &[ProducerEntry]) -> Vec<u8> {
    let count = i32::try_from(entries.len()).unwrap_or(i32::MAX);
    let entries = entries.iter().take(usize::try_from(count).unwrap_or_default());
    let mut bytes = Vec::with_capacity(10 + entries.len() * ENTRY_LEN);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&count.to_be_bytes());
    for entry in entries {
        bytes.extend_from_slice(&entry.producer_id.0.to_be_bytes());
        bytes.extend_from_slice(&entry.producer_epoch.to_be_bytes());
        bytes.extend_from_slice(&entry.last_sequence.to_be_bytes());
        bytes.extend_from_slice(&entry.last_offset.get().to_be_bytes());
        bytes.extend_from_slice(&entry.offset_delta.to_be_bytes());
        bytes.extend_from_slice(&entry.timestamp.to_be_bytes());
        bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        bytes.extend_from_slice(&entry.current_txn_first_offset.get().to_be_bytes());
    }
    let crc = crc32c(&bytes[6..]);
    bytes[2..6].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn entry(reader: &mut Reader<'_>) -> Result<ProducerEntry, WireError> {
    Ok(ProducerEntry {
        producer_id: ProducerId(reader.i64()?),
        producer_epoch: reader.i16()?,
        last_sequence: reader.i32()?,
        last_offset: Offset::new(reader.i64()?),
        offset_delta: reader.i32()?,
        timestamp: reader.i64()?,
        coordinator_epoch: reader.i32()?,
        current_txn_first_offset: Offset::new(reader.i64()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Taken by a broker at a roll: producer 11 with a transaction open since offset 0.
    const REAL: &str = "00011a88132b00000001000000000000000b0004000000020000000000000002000000020000018bcfe56802ffffffff0000000000000000";

    fn real() -> Vec<u8> {
        data_encoding::HEXLOWER.decode(REAL.as_bytes()).unwrap()
    }

    #[test]
    fn a_real_snapshot_round_trips() {
        let snapshot = parse(&real()).unwrap();
        let entry = ProducerEntry {
            producer_id: ProducerId(11),
            producer_epoch: 4,
            last_sequence: 2,
            last_offset: Offset::new(2),
            offset_delta: 2,
            timestamp: 1_700_000_000_002,
            coordinator_epoch: -1,
            current_txn_first_offset: Offset::ZERO,
        };
        assert_eq!(snapshot, ProducerSnapshot { entries: vec![entry], trailing_bytes: 0 });
        assert_eq!((entry.open_txn(), entry.has_batch()), (Some(Offset::ZERO), true));
        assert_eq!(to_bytes(&snapshot.entries), real());
        assert_eq!(to_bytes(&[]), [0, 1, 0x48, 0x67, 0x4b, 0xc7, 0, 0, 0, 0]);
    }

    #[test]
    fn every_cut_is_truncated_and_every_flipped_bit_is_noticed() {
        let whole = real();
        for cut in 0..whole.len() {
            let found = parse(&whole[..cut]);
            assert!(
                matches!(found, Err(SnapshotError::Truncated { .. } | SnapshotError::CountTooLarge { .. })),
                "cut at {cut}: {found:?}"
            );
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn refusals_say_what_was_found() {
        let with_count = |count: i32| {
            let mut bytes = real();
            bytes[6..10].copy_from_slice(&count.to_be_bytes());
            bytes
        };
        let cases = [
            (vec![0, 2], SnapshotError::Version { found: 2 }),
            (with_count(-1), SnapshotError::NegativeCount { found: -1 }),
            (with_count(1_000), SnapshotError::CountTooLarge { count: 1_000, remaining: 46 }),
            (with_count(2), SnapshotError::Truncated { needed: 92, available: 46 }),
            (with_count(0), SnapshotError::CrcMismatch { stored: 0x1a88_132b, computed: crc32c(&with_count(0)[6..]) }),
        ];
        for (bytes, expected) in cases {
            assert_eq!(parse(&bytes), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..150)) {
            let _ = parse(&bytes);
            let _ = parse(&[&[0, 1][..], &bytes].concat());
        }

        #[test]
        fn entries_round_trip(raw in proptest::collection::vec(
            (any::<i64>(), any::<i16>(), any::<i32>(), any::<i64>(), any::<i32>(), any::<i64>(), any::<i32>(), any::<i64>()),
            0..6,
        )) {
            let entries: Vec<_> = raw.into_iter().map(|(id, epoch, sequence, last, delta, timestamp, coordinator, txn)| {
                ProducerEntry {
                    producer_id: ProducerId(id), producer_epoch: epoch, last_sequence: sequence,
                    last_offset: Offset::new(last), offset_delta: delta, timestamp,
                    coordinator_epoch: coordinator, current_txn_first_offset: Offset::new(txn),
                }
            }).collect();
            prop_assert_eq!(parse(&to_bytes(&entries)), Ok(ProducerSnapshot { entries, trailing_bytes: 0 }));
        }
    }
}
