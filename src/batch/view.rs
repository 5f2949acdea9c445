//! Record batches, magic 2: the unit Kafka writes, checksums and compresses.
//!
//! ```text
//!  at  len  field
//!   0    8  base offset               ) assigned by the log on append;
//!   8    4  length of what follows    ) the CRC leaves them out, so assigning
//!  12    4  partition leader epoch    ) them does not touch the checksum
//!  16    1  magic (2)
//!  17    4  CRC-32C of [21..end]
//!  21    2  attributes: 0-2 codec, 3 log-append time, 4 transactional, 5 control, 6 delete horizon
//!  23    4  last offset - base offset, kept by compaction
//!  27    8  base timestamp, or the delete horizon
//!  35    8  largest timestamp, or the append time
//!  43    8  producer id
//!  51    2  producer epoch
//!  53    4  base sequence
//!  57    4  number of records, smaller after compaction
//!  61       records, or one compressed block of them
//! ```

use super::record::{RecordContext, sequence_after};
use super::{BatchError, ENTRY_OVERHEAD, Frame};
use crate::crc::crc32c;
use crate::types::{Codec, LeaderEpoch, Offset, ProducerId, TimestampMs, TimestampType};
use crate::wire::field;

/// Bytes before the records.
pub const HEADER_LEN: usize = 61;
/// The CRC covers the batch from here to its end.
pub const CRC_FROM: usize = 21;
/// Smallest value of the length field: a header and no records.
pub const MIN_LENGTH: i32 = 49;

pub(super) const TIMESTAMP_TYPE: u8 = 0x08;
pub(super) const TRANSACTIONAL: u8 = 0x10;
pub(super) const CONTROL: u8 = 0x20;
pub(super) const DELETE_HORIZON: u8 = 0x40;

/// One batch, borrowed from a mapped segment or a read buffer.
///
/// Holding one means the header is complete and `bytes` is exactly one batch.
/// It does not mean the checksum holds (see [`BatchView::verify_crc`]), nor that the magic is 2:
/// a file reader of Kafka takes 3 to 127 for 2 as well, and an inspector must be able to show it.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    header: &'a [u8; HEADER_LEN],
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Takes `bytes`, which is one whole frame, for a batch.
    pub(super) fn of_frame(bytes: &'a [u8]) -> Result<Self, BatchError> {
        match bytes.first_chunk::<HEADER_LEN>() {
            Some(header) => Ok(BatchView { header, bytes }),
            None => Err(BatchError::LengthTooSmall {
                declared: i32::try_from(bytes.len().saturating_sub(ENTRY_OVERHEAD)).unwrap_or(i32::MAX),
                minimum: MIN_LENGTH,
            }),
        }
    }

    /// The whole batch as stored.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The header as stored.
    pub const fn header(&self) -> &'a [u8; HEADER_LEN] {
        self.header
    }

    /// The stored record section: records, or one compressed block.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Offset of the first record the batch was written with; compaction keeps it.
    pub fn base_offset(&self) -> Offset {
        Offset::new(i64::from_be_bytes(field::<0, 8, HEADER_LEN>(self.header)))
    }

    /// The length field: bytes of the batch after it.
    pub fn length(&self) -> i32 {
        i32::from_be_bytes(field::<8, 4, HEADER_LEN>(self.header))
    }

    /// Epoch of the leader that appended it. Not covered by the CRC.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(i32::from_be_bytes(field::<12, 4, HEADER_LEN>(self.header)))
    }

    /// The magic byte: 2 in every batch Kafka wrote.
    pub fn magic(&self) -> i8 {
        self.header[16].cast_signed()
    }

    /// The checksum as stored.
    pub fn stored_crc(&self) -> u32 {
        u32::from_be_bytes(field::<17, 4, HEADER_LEN>(self.header))
    }

    /// The checksum of the bytes as they are.
    pub fn computed_crc(&self) -> u32 {
        crc32c(self.bytes.get(CRC_FROM..).unwrap_or_default())
    }

    /// Whether the stored checksum is that of the bytes.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let (stored, computed) = (self.stored_crc(), self.computed_crc());
        if stored == computed { Ok(()) } else { Err(BatchError::CrcMismatch { stored, computed }) }
    }

    /// The attributes as stored; Kafka reads only the low byte.
    pub fn attributes(&self) -> i16 {
        i16::from_be_bytes(field::<21, 2, HEADER_LEN>(self.header))
    }

    fn flags(&self) -> u8 {
        self.header[22]
    }

    /// How the payload is compressed; the id when Kafka knows no such codec.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        let id = self.flags() & 0x07;
        Codec::from_id(id).ok_or(BatchError::UnknownCodec(id))
    }

    /// Which clock the timestamps are of.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.flags() & TIMESTAMP_TYPE == 0 { TimestampType::Create } else { TimestampType::LogAppend }
    }

    /// Part of a transaction: data or its marker.
    pub fn is_transactional(&self) -> bool {
        self.flags() & TRANSACTIONAL != 0
    }

    /// Holds a marker or metadata, not data.
    pub fn is_control(&self) -> bool {
        self.flags() & CONTROL != 0
    }

    /// When tombstones or markers in it may be removed; `None` before compaction first saw them (KIP-534).
    pub fn delete_horizon_ms(&self) -> Option<TimestampMs> {
        (self.flags() & DELETE_HORIZON != 0).then(|| self.base_timestamp_ms())
    }

    /// `last_offset - base_offset`.
    pub fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(field::<23, 4, HEADER_LEN>(self.header))
    }

    /// Offset of the last record the batch was written with; the next batch starts above it.
    pub fn last_offset(&self) -> Offset {
        self.base_offset().plus(i64::from(self.last_offset_delta()))
    }

    /// What the records' timestamp deltas count from.
    pub fn base_timestamp_ms(&self) -> TimestampMs {
        i64::from_be_bytes(field::<27, 8, HEADER_LEN>(self.header))
    }

    /// Largest record timestamp, or the append time.
    pub fn max_timestamp_ms(&self) -> TimestampMs {
        i64::from_be_bytes(field::<35, 8, HEADER_LEN>(self.header))
    }

    /// Who wrote it.
    pub fn producer_id(&self) -> ProducerId {
        ProducerId(i64::from_be_bytes(field::<43, 8, HEADER_LEN>(self.header)))
    }

    /// The producer's fencing number; -1 for none.
    pub fn producer_epoch(&self) -> i16 {
        i16::from_be_bytes(field::<51, 2, HEADER_LEN>(self.header))
    }

    /// Sequence of the first record; -1 for none, and in control batches.
    pub fn base_sequence(&self) -> i32 {
        i32::from_be_bytes(field::<53, 4, HEADER_LEN>(self.header))
    }

    /// Sequence of the last record the batch was written with; -1 for none.
    ///
    /// Only a base of exactly -1 counts as none here, as in `DefaultRecordBatch.lastSequence`.
    pub fn last_sequence(&self) -> i32 {
        match self.base_sequence() {
            base if base < -1 => base.wrapping_add(self.last_offset_delta()),
            base => sequence_after(base, self.last_offset_delta()),
        }
    }

    /// Number of records as declared: a claim until the payload was read.
    pub fn record_count(&self) -> i32 {
        i32::from_be_bytes(field::<57, 4, HEADER_LEN>(self.header))
    }

    /// What the records need to be read.
    pub fn record_context(&self) -> RecordContext {
        RecordContext {
            base_offset: self.base_offset(),
            base_timestamp_ms: self.base_timestamp_ms(),
            log_append_ms: match self.timestamp_type() {
                TimestampType::LogAppend => Some(self.max_timestamp_ms()),
                TimestampType::None | TimestampType::Create => None,
            },
            base_sequence: self.base_sequence(),
            count: self.record_count(),
        }
    }
}

impl<'a> From<BatchView<'a>> for Frame<'a> {
    fn from(batch: BatchView<'a>) -> Self {
        Frame::Batch(batch)
    }
}
