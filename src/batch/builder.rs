//! Building record batches, magic 2, byte for byte as Kafka's `MemoryRecordsBuilder` does.
//!
//! A [`BatchBuilder`] takes records and keeps them encoded; [`BatchBuilder::seal`] compresses them, writes the
//! header and the checksum, and hands out a [`BatchBuf`]: a finished batch in its own bytes. What the log
//! decides at the append, base offset and leader epoch, stands outside the checksum and is set on the finished
//! batch by [`BatchBuf::assign`].
//!
//! Builder and batch know no file, clock or thread. Both are `Send`: a worker may fill and seal while another
//! thread appends.
//!
//! ```
//! use logdir::batch::builder::{BatchBuilder, BatchSpec, NewRecord};
//! use logdir::batch::{Compression, Compressor};
//! use logdir::types::{LeaderEpoch, Offset};
//!
//! let spec = BatchSpec { compression: Compression::parse("zstd:7")?, ..BatchSpec::default() };
//! let mut builder = BatchBuilder::new(spec);
//! for n in ["one", "two"] {
//!     builder.push(&NewRecord { timestamp_ms: 1_700_000_000_000, value: Some(n.as_bytes()), ..NewRecord::default() })?;
//! }
//! let mut batch = builder.seal(&mut Compressor::default())?;
//! batch.assign(Offset::new(4_000), LeaderEpoch(3));
//! assert_eq!(batch.view().last_offset(), Offset::new(4_001));
//! assert!(batch.view().verify_crc().is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use thiserror::Error;

use super::record::{Headers, RecordRef};
use super::view::{CONTROL, CRC_FROM, DELETE_HORIZON, HEADER_LEN, TIMESTAMP_TYPE, TRANSACTIONAL};
use super::{BatchError, BatchView, Compression, CompressionError, Compressor, ENTRY_OVERHEAD, Frame};
use crate::crc::crc32c;
use crate::types::{Codec, LeaderEpoch, NO_TIMESTAMP, Offset, ProducerId, TimestampMs, TimestampType};
use crate::wire::{unsigned_varlong_len, zigzag32, zigzag64};

/// A record to write.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// Create time; -1 for none.
    pub timestamp_ms: TimestampMs,
    /// The key; `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for null (a tombstone when there is a key).
    pub value: Option<&'a [u8]>,
    /// The headers, in the order to be written; keys may repeat.
    pub headers: &'a [NewHeader<'a>],
}

impl Default for NewRecord<'_> {
    /// No timestamp, key, value or headers.
    fn default() -> Self {
        NewRecord { timestamp_ms: NO_TIMESTAMP, key: None, value: None, headers: &[] }
    }
}

/// A header to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewHeader<'a> {
    /// The key: UTF-8, which Kafka expects and does not check; so what was read can always be written again.
    pub key: &'a [u8],
    /// The value; `None` for null.
    pub value: Option<&'a [u8]>,
}

/// Where a batch's timestamps come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Timestamps {
    /// From the records.
    #[default]
    Create,
    /// All records read as appended at this time, whatever they store.
    LogAppend(TimestampMs),
}

/// What a batch's header says beyond its records. The default is that of a producer without idempotence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchSpec {
    /// Offset that the records' deltas count from.
    pub base_offset: Offset,
    /// Epoch of the leader; [`LeaderEpoch::NONE`] until the log assigns one.
    pub leader_epoch: LeaderEpoch,
    /// Codec and level.
    pub compression: Compression,
    /// Where timestamps come from.
    pub timestamps: Timestamps,
    /// Who writes.
    pub producer_id: ProducerId,
    /// The producer's fencing number; -1 for none.
    pub producer_epoch: i16,
    /// Sequence of the first record; -1 for none.
    pub base_sequence: i32,
    /// Part of a transaction.
    pub transactional: bool,
    /// Holds markers, not data.
    pub control: bool,
    /// When tombstones or markers in it may be removed: takes the place of the base timestamp (KIP-534).
    pub delete_horizon_ms: Option<TimestampMs>,
}

impl Default for BatchSpec {
    fn default() -> Self {
        BatchSpec {
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::NONE,
            compression: Compression::NONE,
            timestamps: Timestamps::Create,
            producer_id: ProducerId::NONE,
            producer_epoch: -1,
            base_sequence: -1,
            transactional: false,
            control: false,
            delete_horizon_ms: None,
        }
    }
}

/// Why a record cannot join a batch, or a batch cannot be sealed. Nothing was changed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum BuildError {
    /// Offsets rise inside a batch.
    #[error("offset {offset} does not follow {previous}: offsets rise inside a batch")]
    OffsetNotRising {
        /// The offset asked for.
        offset: Offset,
        /// The last offset of the batch.
        previous: Offset,
    },
    /// A batch spans at most 2^31 offsets.
    #[error("offset {offset} is not within 2147483647 of the batch's base offset {base}")]
    OffsetDelta {
        /// The offset asked for.
        offset: Offset,
        /// The base offset of the batch.
        base: Offset,
    },
    /// Kafka's builder refuses it, also when it compacts: a log with such a record cannot be cleaned.
    #[error("timestamp {0} is negative, expected 0 or more, or -1 for none")]
    NegativeTimestamp(TimestampMs),
    /// The length fields of records and batches have 31 bits.
    #[error("the batch would take {bytes} bytes, expected 2147483647 or fewer")]
    TooLarge {
        /// What it would take.
        bytes: u64,
    },
    /// A batch without records is an answer of compaction only: see [`BatchBuilder::seal_empty`].
    #[error("the batch holds no records")]
    Empty,
    /// `MemoryRecordsBuilder.validateProducerState`.
    #[error("transactional records need a producer id")]
    NoProducerId,
    /// `MemoryRecordsBuilder.validateProducerState`.
    #[error("producer {0} needs an epoch of 0 or more")]
    NoProducerEpoch(ProducerId),
    /// `MemoryRecordsBuilder.validateProducerState`.
    #[error("producer {0} needs a sequence of 0 or more")]
    NoSequence(ProducerId),
    /// Messages of magic 0 and 1 have no headers.
    #[error("a message of magic 0 or 1 cannot have headers")]
    HeadersInLegacy,
    /// The codec could not compress.
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

/// Where a record's headers come from: both end in the same bytes.
#[derive(Clone, Copy)]
enum HeaderSource<'a> {
    New(&'a [NewHeader<'a>]),
    Encoded(Headers<'a>),
}

impl HeaderSource<'_> {
    #[inline]
    fn count(&self) -> usize {
        match self {
            HeaderSource::New(headers) => headers.len(),
            HeaderSource::Encoded(headers) => headers.len() as usize,
        }
    }

    #[inline]
    fn size(&self) -> usize {
        match self {
            HeaderSource::New(headers) => {
                headers.iter().map(|header| nullable_size(Some(header.key)) + nullable_size(header.value)).sum()
            }
            HeaderSource::Encoded(headers) => headers.parts().1.len(),
        }
    }
}

/// Bytes of a length and what it counts.
#[inline(always)]
fn nullable_size(bytes: Option<&[u8]>) -> usize {
    match bytes {
        // Twice the length is its zig-zag code; lengths that do not fit 31 bits are refused by their total.
        Some(bytes) => unsigned_varlong_len((bytes.len() as u64) << 1) + bytes.len(),
        None => 1,
    }
}

/// A record's parts and the size they take.
struct Encoding<'a> {
    timestamp: u64,
    offset: u32,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: HeaderSource<'a>,
    body_bytes: usize,
}

impl<'a> Encoding<'a> {
    #[inline(always)]
    fn new(
        timestamp_delta: i64,
        offset_delta: i32,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: HeaderSource<'a>,
    ) -> Self {
        let (timestamp, offset) = (zigzag64(timestamp_delta), zigzag32(offset_delta));
        let body_bytes = 1
            + unsigned_varlong_len(timestamp)
            + unsigned_varlong_len(u64::from(offset))
            + nullable_size(key)
            + nullable_size(value)
            + unsigned_varlong_len((headers.count() as u64) << 1)
            + headers.size();
        Encoding { timestamp, offset, key, value, headers, body_bytes }
    }

    /// Bytes with the length in front.
    #[inline(always)]
    fn bytes(&self) -> usize {
        unsigned_varlong_len((self.body_bytes as u64) << 1) + self.body_bytes
    }

    /// Fills `out`, which is [`Encoding::bytes`] long.
    #[inline(always)]
    fn write(&self, out: &mut [u8]) {
        let mut cursor = Cursor { out, at: 0 };
        cursor.varint((self.body_bytes as u64) << 1);
        cursor.byte(0);
        cursor.varint(self.timestamp);
        cursor.varint(u64::from(self.offset));
        cursor.nullable(self.key);
        cursor.nullable(self.value);
        cursor.varint((self.headers.count() as u64) << 1);
        match self.headers {
            HeaderSource::New(headers) => {
                for header in headers {
                    cursor.nullable(Some(header.key));
                    cursor.nullable(header.value);
                }
            }
            HeaderSource::Encoded(headers) => cursor.raw(headers.parts().1),
        }
        debug_assert_eq!(cursor.at, cursor.out.len(), "the size was computed for these parts");
    }
}

struct Cursor<'o> {
    out: &'o mut [u8],
    at: usize,
}

impl Cursor<'_> {
    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        self.out[self.at] = byte;
        self.at += 1;
    }

    /// One or two bytes in nearly every record: deltas, sizes and lengths below 8192.
    #[inline(always)]
    fn varint(&mut self, value: u64) {
        let [low, high, ..] = value.to_le_bytes();
        if value < 0x80 {
            self.byte(low);
        } else if value < 0x4000 {
            self.byte(low | 0x80);
            self.byte(high << 1 | low >> 7);
        } else {
            self.long_varint(value);
        }
    }

    #[cold]
    fn long_varint(&mut self, mut value: u64) {
        while value > 0x7f {
            let [low, ..] = value.to_le_bytes();
            self.byte(low | 0x80);
            value >>= 7;
        }
        let [low, ..] = value.to_le_bytes();
        self.byte(low);
    }

    #[inline(always)]
    fn raw(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    #[inline(always)]
    fn nullable(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.varint((bytes.len() as u64) << 1);
                self.raw(bytes);
            }
            // Zig-zag of -1.
            None => self.byte(1),
        }
    }
}

/// Collects records and seals them into batches, reusing its memory.
#[derive(Debug)]
pub struct BatchBuilder {
    spec: BatchSpec,
    /// Room for the header, then the records. Longer than `end`: bytes are zeroed once, not for every record.
    raw: Vec<u8>,
    /// Where the next record goes.
    end: usize,
    /// Memory of an earlier compressed batch.
    spare: Vec<u8>,
    count: i32,
    /// Of the last record, or as overridden; -1 before the first.
    last_delta: i32,
    base_timestamp_ms: Option<TimestampMs>,
    max_timestamp_ms: TimestampMs,
    /// `AbstractRecords.estimateSizeInBytesUpperBound` of the first record.
    first_bound: usize,
    estimated_ratio: f32,
    observed_ratio: f32,
}

const BYTES_MAX: u64 = i32::MAX as u64;

impl BatchBuilder {
    /// Starts an empty batch.
    pub fn new(spec: BatchSpec) -> Self {
        let mut builder = BatchBuilder {
            spec,
            raw: Vec::new(),
            end: HEADER_LEN,
            spare: Vec::new(),
            count: 0,
            last_delta: -1,
            base_timestamp_ms: None,
            max_timestamp_ms: NO_TIMESTAMP,
            first_bound: 0,
            estimated_ratio: 1.0,
            observed_ratio: 1.0,
        };
        builder.clear();
        builder
    }

    /// Starts the next batch: drops the records, keeps the memory and the estimated ratio.
    pub fn reset(&mut self, spec: BatchSpec) {
        self.spec = spec;
        self.clear();
    }

    fn clear(&mut self) {
        self.end = HEADER_LEN;
        self.count = 0;
        self.last_delta = -1;
        self.base_timestamp_ms = self.spec.delete_horizon_ms;
        self.max_timestamp_ms = NO_TIMESTAMP;
        self.first_bound = 0;
    }

    /// What the header will say.
    pub const fn spec(&self) -> &BatchSpec {
        &self.spec
    }

    /// Takes back the memory of a batch that is no longer needed.
    pub fn recycle(&mut self, batch: BatchBuf) {
        if self.raw.capacity() == 0 {
            self.raw = batch.bytes;
        } else if self.spare.capacity() < batch.bytes.capacity() {
            self.spare = batch.bytes;
        }
    }

    /// Records in it.
    pub const fn record_count(&self) -> i32 {
        self.count
    }

    /// Whether it holds no records.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The offset [`BatchBuilder::push`] gives the next record.
    pub fn next_offset(&self) -> Offset {
        self.spec.base_offset.plus(i64::from(self.last_delta) + 1)
    }

    /// Largest timestamp of the records so far; -1 when none has one.
    pub const fn max_timestamp_ms(&self) -> TimestampMs {
        self.max_timestamp_ms
    }

    /// Adds a record at the next offset.
    #[inline]
    pub fn push(&mut self, record: &NewRecord<'_>) -> Result<(), BuildError> {
        let Some(delta) = self.last_delta.checked_add(1) else {
            return Err(BuildError::OffsetDelta { offset: self.next_offset(), base: self.spec.base_offset });
        };
        self.add(delta, record.timestamp_ms, record.key, record.value, HeaderSource::New(record.headers))
    }

    /// Adds a record at `offset`, which is above all before it: gaps stay gaps.
    pub fn push_at(&mut self, offset: Offset, record: &NewRecord<'_>) -> Result<(), BuildError> {
        let delta = self.delta_of(offset)?;
        self.add(delta, record.timestamp_ms, record.key, record.value, HeaderSource::New(record.headers))
    }

    /// Adds a record that was read, at its own offset, its headers byte for byte.
    pub fn push_read(&mut self, record: &RecordRef<'_>) -> Result<(), BuildError> {
        let delta = self.delta_of(record.offset)?;
        self.add(delta, record.timestamp_ms, record.key, record.value, HeaderSource::Encoded(record.headers))
    }

    /// Adds a record where a producer with this `batch.size` would ([`BatchBuilder::has_room_for`]); `false`, and
    /// nothing added, where it would start a new batch.
    ///
    /// At `offset` if there is one, else at the next offset. The headers are bytes as a record stores them.
    #[inline]
    pub fn push_if_room(
        &mut self,
        offset: Option<Offset>,
        timestamp_ms: TimestampMs,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        headers: Headers<'_>,
        batch_size: usize,
    ) -> Result<bool, BuildError> {
        let delta = match offset {
            Some(offset) => self.delta_of(offset)?,
            None => match self.last_delta.checked_add(1) {
                Some(delta) => delta,
                None => return Ok(false),
            },
        };
        let record = self.encoding(delta, timestamp_ms, key, value, HeaderSource::Encoded(headers))?;
        if self.count > 0 {
            let limit = batch_size.max(self.first_bound);
            if self.estimated_size().saturating_add(record.bytes()) > limit {
                return Ok(false);
            }
        }
        self.write(delta, timestamp_ms, &record)?;
        Ok(true)
    }

    fn delta_of(&self, offset: Offset) -> Result<i32, BuildError> {
        let base = self.spec.base_offset;
        let delta = offset.relative_to(base).and_then(|delta| i32::try_from(delta).ok());
        match delta {
            Some(delta) if delta > self.last_delta => Ok(delta),
            Some(_) => Err(BuildError::OffsetNotRising { offset, previous: base.plus(i64::from(self.last_delta)) }),
            None => Err(BuildError::OffsetDelta { offset, base }),
        }
    }

    #[inline]
    fn add(
        &mut self,
        delta: i32,
        timestamp_ms: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: HeaderSource<'_>,
    ) -> Result<(), BuildError> {
        let record = self.encoding(delta, timestamp_ms, key, value, headers)?;
        self.write(delta, timestamp_ms, &record)
    }

    #[inline(always)]
    fn encoding<'a>(
        &self,
        delta: i32,
        timestamp_ms: TimestampMs,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: HeaderSource<'a>,
    ) -> Result<Encoding<'a>, BuildError> {
        if timestamp_ms < NO_TIMESTAMP {
            return Err(BuildError::NegativeTimestamp(timestamp_ms));
        }
        let base_ms = self.base_timestamp_ms.unwrap_or(timestamp_ms);
        Ok(Encoding::new(timestamp_ms.wrapping_sub(base_ms), delta, key, value, headers))
    }

    #[inline(always)]
    fn write(&mut self, delta: i32, timestamp_ms: TimestampMs, record: &Encoding<'_>) -> Result<(), BuildError> {
        let bytes = record.bytes();
        let end = self.end.saturating_add(bytes);
        if end as u64 > BYTES_MAX {
            return Err(BuildError::TooLarge { bytes: end as u64 });
        }
        if end > self.raw.len() {
            self.grow(end);
        }
        record.write(&mut self.raw[self.end..end]);
        if self.count == 0 {
            self.first_bound = size_bound(record);
        }
        self.end = end;
        self.base_timestamp_ms = Some(self.base_timestamp_ms.unwrap_or(timestamp_ms));
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        self.last_delta = delta;
        self.count += 1;
        Ok(())
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        const FIRST: usize = 16 << 10;
        const STEP_MAX: usize = 4 << 20;
        let step = self.raw.len().clamp(FIRST, STEP_MAX);
        self.raw.resize(needed.max(self.raw.len() + step), 0);
    }

    /// Makes the batch span `delta` offsets beyond its base although its last record is lower: what compaction
    /// does to a batch whose last records it removed (`overrideLastOffset`).
    pub fn set_last_offset_delta(&mut self, delta: i32) -> Result<(), BuildError> {
        if delta < self.last_delta.max(0) {
            let base = self.spec.base_offset;
            let offset = base.plus(i64::from(delta));
            return Err(BuildError::OffsetNotRising { offset, previous: base.plus(i64::from(self.last_delta)) });
        }
        self.last_delta = delta;
        Ok(())
    }

    /// Bytes of the header and the records, uncompressed (`uncompressedBytesWritten`).
    pub const fn uncompressed_size(&self) -> usize {
        self.end
    }

    /// Bytes the batch is expected to take: exact without compression (`estimatedSizeInBytes`).
    pub fn estimated_size(&self) -> usize {
        // `COMPRESSION_RATE_ESTIMATION_FACTOR`; in 32-bit floats and in this order, as in Java.
        const FACTOR: f32 = 1.05;
        if self.spec.compression.codec() == Codec::None {
            return self.end;
        }
        #[expect(clippy::cast_precision_loss, reason = "Java's int to float")]
        let records_bytes = (self.end - HEADER_LEN) as f32;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive; Java's cast, which saturates too"
        )]
        let estimated = (records_bytes * self.estimated_ratio * FACTOR) as usize;
        HEADER_LEN + estimated
    }

    /// The compression ratio [`BatchBuilder::estimated_size`] assumes: take it from a [`RatioEstimator`].
    pub const fn set_estimated_ratio(&mut self, ratio: f32) {
        self.estimated_ratio = ratio;
    }

    /// Compressed by uncompressed size of the records of the batch sealed last: give it to a [`RatioEstimator`].
    pub const fn observed_ratio(&self) -> f32 {
        self.observed_ratio
    }

    /// Whether a producer with this `batch.size` would put `record` into this batch (`hasRoomFor`).
    ///
    /// The first record always fits; a first record above `batch_size` makes the batch as large as its own
    /// upper bound (`RecordAccumulator.append`).
    pub fn has_room_for(&self, record: &NewRecord<'_>, batch_size: usize) -> bool {
        if self.is_empty() {
            return true;
        }
        let limit = batch_size.max(self.first_bound);
        let estimated = self.estimated_size();
        if limit <= estimated {
            return false;
        }
        let delta = self.last_delta.wrapping_add(1);
        let timestamp_delta = record.timestamp_ms.wrapping_sub(self.base_timestamp_ms.unwrap_or(record.timestamp_ms));
        let headers = HeaderSource::New(record.headers);
        limit
            >= estimated
                .saturating_add(Encoding::new(timestamp_delta, delta, record.key, record.value, headers).bytes())
    }

    fn check_producer(&self) -> Result<(), BuildError> {
        let spec = &self.spec;
        match spec.producer_id {
            ProducerId::NONE if spec.transactional => Err(BuildError::NoProducerId),
            ProducerId::NONE => Ok(()),
            id if spec.producer_epoch == -1 => Err(BuildError::NoProducerEpoch(id)),
            id if spec.base_sequence < 0 && !spec.control => Err(BuildError::NoSequence(id)),
            _ => Ok(()),
        }
    }

    /// Finishes the batch: compression, header, checksum. The builder is empty afterwards, with the same spec.
    ///
    /// On an error the records stay. The memory goes with the batch; [`BatchBuilder::recycle`] brings it back.
    pub fn seal(&mut self, compressor: &mut Compressor) -> Result<BatchBuf, BuildError> {
        if self.is_empty() {
            return Err(BuildError::Empty);
        }
        self.check_producer()?;
        let compression = self.spec.compression;
        let mut bytes = if compression.codec() == Codec::None {
            self.raw.truncate(self.end);
            std::mem::take(&mut self.raw)
        } else {
            let mut out = std::mem::take(&mut self.spare);
            out.clear();
            out.resize(HEADER_LEN, 0);
            let records = self.raw.get(HEADER_LEN..self.end).unwrap_or_default();
            compressor.compress(compression, 2, records, &mut out)?;
            out
        };
        if bytes.len() as u64 > BYTES_MAX {
            return Err(BuildError::TooLarge { bytes: bytes.len() as u64 });
        }
        #[expect(clippy::cast_precision_loss, reason = "Java's int to float")]
        let ratio = (bytes.len() - HEADER_LEN) as f32 / (self.end - HEADER_LEN) as f32;
        self.observed_ratio = ratio;
        let (timestamp_type, max_timestamp_ms) = match self.spec.timestamps {
            Timestamps::Create => (TimestampType::Create, self.max_timestamp_ms),
            Timestamps::LogAppend(ms) => (TimestampType::LogAppend, ms),
        };
        let header = Header {
            spec: &self.spec,
            codec: compression.codec(),
            timestamp_type,
            has_horizon: self.spec.delete_horizon_ms.is_some(),
            base_timestamp_ms: self.base_timestamp_ms.unwrap_or(NO_TIMESTAMP),
            max_timestamp_ms,
            last_offset_delta: self.last_delta,
            count: self.count,
        };
        header.write(&mut bytes);
        self.clear();
        Ok(BatchBuf { bytes })
    }

    /// The batch that compaction leaves where it removed all records: a header that spans the offsets up to
    /// `last_offset_delta` and keeps the producer's state alive (`DefaultRecordBatch.writeEmptyHeader`).
    ///
    /// Such a batch is never compressed and has neither base timestamp nor delete horizon.
    /// `max_timestamp_ms` counts for [`Timestamps::Create`]. Records in the builder are not looked at.
    pub fn seal_empty(&self, last_offset_delta: i32, max_timestamp_ms: TimestampMs) -> BatchBuf {
        let (timestamp_type, max_timestamp_ms) = match self.spec.timestamps {
            Timestamps::Create => (TimestampType::Create, max_timestamp_ms),
            Timestamps::LogAppend(ms) => (TimestampType::LogAppend, ms),
        };
        let header = Header {
            spec: &self.spec,
            codec: Codec::None,
            timestamp_type,
            has_horizon: false,
            base_timestamp_ms: NO_TIMESTAMP,
            max_timestamp_ms,
            last_offset_delta,
            count: 0,
        };
        let mut bytes = vec![0; HEADER_LEN];
        header.write(&mut bytes);
        BatchBuf { bytes }
    }
}

/// `DefaultRecordBatch.estimateBatchSizeUpperBound`.
fn size_bound(record: &Encoding<'_>) -> usize {
    // `DefaultRecord.MAX_RECORD_OVERHEAD`: length, attributes, deltas and header count at their longest.
    const RECORD_OVERHEAD_MAX: usize = 21;
    HEADER_LEN
        + RECORD_OVERHEAD_MAX
        + nullable_size(record.key)
        + nullable_size(record.value)
        + unsigned_varlong_len((record.headers.count() as u64) << 1)
        + record.headers.size()
}

/// A header's fields; drawn in [`super::view`].
struct Header<'a> {
    spec: &'a BatchSpec,
    codec: Codec,
    timestamp_type: TimestampType,
    has_horizon: bool,
    base_timestamp_ms: TimestampMs,
    max_timestamp_ms: TimestampMs,
    last_offset_delta: i32,
    count: i32,
}

impl Header<'_> {
    /// Writes the header into the first bytes of a batch that is otherwise finished, and the checksum of all.
    fn write(&self, batch: &mut [u8]) {
        let length = i32::try_from(batch.len() - ENTRY_OVERHEAD).unwrap_or(i32::MAX);
        let flags = [
            (self.timestamp_type == TimestampType::LogAppend, TIMESTAMP_TYPE),
            (self.spec.transactional, TRANSACTIONAL),
            (self.spec.control, CONTROL),
            (self.has_horizon, DELETE_HORIZON),
        ];
        let attributes = flags.iter().filter(|(set, _)| *set).fold(self.codec.id(), |all, (_, bit)| all | bit);
        let mut cursor = Cursor { out: batch, at: 0 };
        cursor.raw(&self.spec.base_offset.get().to_be_bytes());
        cursor.raw(&length.to_be_bytes());
        cursor.raw(&self.spec.leader_epoch.0.to_be_bytes());
        cursor.byte(2);
        cursor.raw(&[0; 4]);
        cursor.raw(&[0, attributes]);
        cursor.raw(&self.last_offset_delta.to_be_bytes());
        cursor.raw(&self.base_timestamp_ms.to_be_bytes());
        cursor.raw(&self.max_timestamp_ms.to_be_bytes());
        cursor.raw(&self.spec.producer_id.0.to_be_bytes());
        cursor.raw(&self.spec.producer_epoch.to_be_bytes());
        cursor.raw(&self.spec.base_sequence.to_be_bytes());
        cursor.raw(&self.count.to_be_bytes());
        write_crc(batch);
    }
}

/// Stores the checksum of `batch`, which is exactly one.
fn write_crc(batch: &mut [u8]) {
    let crc = crc32c(batch.get(CRC_FROM..).unwrap_or_default());
    if let Some(field) = batch.get_mut(17..CRC_FROM) {
        field.copy_from_slice(&crc.to_be_bytes());
    }
}

/// One finished batch in its own bytes, checksum and all.
#[derive(Clone, PartialEq, Eq)]
pub struct BatchBuf {
    /// At least a header.
    bytes: Vec<u8>,
}

impl std::fmt::Debug for BatchBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BatchBuf").field(&self.view().header()).finish()
    }
}

impl BatchBuf {
    /// Sets what the log decides when it appends. The checksum covers neither.
    pub fn assign(&mut self, base_offset: Offset, leader_epoch: LeaderEpoch) {
        put_assigned(&mut self.bytes, base_offset, leader_epoch);
    }

    /// Stamps the batch with the time of the append, as the leader of a topic with
    /// `message.timestamp.type=LogAppendTime` does: see [`set_log_append_time`].
    pub fn set_log_append_time(&mut self, timestamp_ms: TimestampMs) {
        put_log_append_time(&mut self.bytes, timestamp_ms);
    }

    /// The batch's fields and records.
    pub fn view(&self) -> BatchView<'_> {
        BatchView::of_frame(&self.bytes).expect("a sealed batch has a header")
    }

    /// The batch as it goes to disk.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, owned.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl AsRef<[u8]> for BatchBuf {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Sets base offset and leader epoch of the batch that `batch` starts with: 12 bytes outside the checksum.
///
/// An error when the bytes do not start with a whole batch of magic 2; nothing is changed then.
pub fn assign(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) -> Result<(), BatchError> {
    let len = batch_len(batch)?;
    put_assigned(&mut batch[..len], base_offset, leader_epoch);
    Ok(())
}

/// Stamps the batch that `batch` starts with as appended at `timestamp_ms`: the timestamp type becomes
/// log-append time, the largest timestamp this one, the checksum is computed anew.
///
/// Base timestamp and the records' deltas stay (`DefaultRecordBatch.setMaxTimestamp`). An error when the bytes
/// do not start with a whole batch of magic 2; nothing is changed then.
pub fn set_log_append_time(batch: &mut [u8], timestamp_ms: TimestampMs) -> Result<(), BatchError> {
    let len = batch_len(batch)?;
    put_log_append_time(&mut batch[..len], timestamp_ms);
    Ok(())
}

fn batch_len(bytes: &[u8]) -> Result<usize, BatchError> {
    match Frame::parse(bytes)? {
        Frame::Batch(batch) if batch.magic() == 2 => Ok(batch.bytes().len()),
        other => Err(BatchError::UnknownMagic(other.magic())),
    }
}

fn put_assigned(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    batch[0..8].copy_from_slice(&base_offset.get().to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.0.to_be_bytes());
}

fn put_log_append_time(batch: &mut [u8], timestamp_ms: TimestampMs) {
    let time = timestamp_ms.to_be_bytes();
    if batch[22] & TIMESTAMP_TYPE != 0 && batch[35..43] == time {
        return;
    }
    // Kafka computes the attributes anew and drops bits nobody assigned.
    batch[21] = 0;
    batch[22] = (batch[22] & 0x7f) | TIMESTAMP_TYPE;
    batch[35..43].copy_from_slice(&time);
    write_crc(batch);
}

/// How well each codec compresses the records of one topic, learned batch by batch (`CompressionRatioEstimator`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatioEstimator {
    ratios: [f32; Codec::ALL.len()],
}

impl Default for RatioEstimator {
    /// Expects no codec to compress at all, as Kafka does at first.
    fn default() -> Self {
        RatioEstimator { ratios: [1.0; Codec::ALL.len()] }
    }
}

impl RatioEstimator {
    /// The ratio to expect of the next batch.
    pub fn estimation(&self, codec: Codec) -> f32 {
        self.ratios[usize::from(codec.id())]
    }

    /// Learns the ratio of a finished batch: gets worse at once, at least by 0.05, and better by 0.005 at most.
    pub fn update(&mut self, codec: Codec, observed: f32) -> f32 {
        const IMPROVING_STEP: f32 = 0.005;
        const DETERIORATE_STEP: f32 = 0.05;
        let ratio = &mut self.ratios[usize::from(codec.id())];
        if observed > *ratio {
            *ratio = observed.max(*ratio + DETERIORATE_STEP);
        } else if observed < *ratio {
            *ratio = observed.max(*ratio - IMPROVING_STEP);
        }
        *ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Decompressor;
    use proptest::prelude::*;

    const NOW: TimestampMs = 1_700_000_000_000;

    fn value(bytes: &[u8]) -> NewRecord<'_> {
        NewRecord { timestamp_ms: NOW, value: Some(bytes), ..NewRecord::default() }
    }

    fn offsets(batch: &BatchBuf) -> Vec<i64> {
        let mut decompressor = Decompressor::default();
        let records = Frame::from(batch.view()).records(&mut decompressor).unwrap();
        records.map(|record| record.unwrap().offset.get()).collect()
    }

    #[test]
    fn a_transactional_batch_is_byte_for_byte_kafkas() {
        // The worked example of a log written by Kafka 4.3.
        let stored = "0000000000000000 00000061 00000000 02 cc81f3f2 0010 00000002 0000018bcfe56800 0000018bcfe56802 \
                      000000000000000b 0004 00000000 00000003 1e00000004 6330 0e 636f6d6d697430 00 \
                      1e00020204 6331 0e 636f6d6d697431 00 1e00040404 6332 0e 636f6d6d697432 00"
            .replace(' ', "");
        let mut builder = BatchBuilder::new(BatchSpec {
            leader_epoch: LeaderEpoch(0),
            producer_id: ProducerId(11),
            producer_epoch: 4,
            base_sequence: 0,
            transactional: true,
            ..BatchSpec::default()
        });
        for (n, (key, value)) in [("c0", "commit0"), ("c1", "commit1"), ("c2", "commit2")].into_iter().enumerate() {
            let timestamp_ms = NOW + i64::try_from(n).unwrap();
            let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
            builder.push(&NewRecord { timestamp_ms, key, value, headers: &[] }).unwrap();
        }
        assert_eq!(builder.estimated_size(), 109);
        let batch = builder.seal(&mut Compressor::default()).unwrap();
        assert_eq!(data_encoding::HEXLOWER.encode(batch.bytes()), stored);
        assert!(builder.is_empty(), "a sealed batch leaves the builder empty");
    }

    #[test]
    fn offsets_rise_within_31_bits() {
        let base = Offset::new(100);
        let mut builder = BatchBuilder::new(BatchSpec { base_offset: base, ..BatchSpec::default() });
        let record = value(b"v");
        assert_eq!(
            builder.push_at(Offset::new(99), &record),
            Err(BuildError::OffsetDelta { offset: Offset::new(99), base })
        );
        builder.push_at(Offset::new(105), &record).unwrap();
        for offset in [100, 105] {
            let offset = Offset::new(offset);
            let refused = Err(BuildError::OffsetNotRising { offset, previous: Offset::new(105) });
            assert_eq!(builder.push_at(offset, &record), refused);
        }
        builder.push(&record).unwrap();
        assert_eq!(builder.next_offset(), Offset::new(107));
        let last = base.plus(i64::from(i32::MAX));
        assert_eq!(builder.push_at(last.next(), &record), Err(BuildError::OffsetDelta { offset: last.next(), base }));
        builder.push_at(last, &record).unwrap();
        assert_eq!(builder.push(&record), Err(BuildError::OffsetDelta { offset: last.next(), base }));
        assert_eq!(builder.record_count(), 3);
        let batch = builder.seal(&mut Compressor::default()).unwrap();
        assert_eq!(offsets(&batch), [105, 106, last.get()]);
    }

    #[test]
    fn the_last_offset_may_lie_behind_the_last_record_but_not_before_it() {
        let mut builder = BatchBuilder::new(BatchSpec::default());
        builder.push(&value(b"a")).unwrap();
        builder.push(&value(b"b")).unwrap();
        assert!(builder.set_last_offset_delta(0).is_err());
        builder.set_last_offset_delta(9).unwrap();
        let batch = builder.seal(&mut Compressor::default()).unwrap();
        assert_eq!((batch.view().last_offset(), batch.view().record_count()), (Offset::new(9), 2));
        let empty = builder.seal_empty(19, NOW);
        let view = empty.view();
        assert_eq!((view.last_offset(), view.record_count(), view.length()), (Offset::new(19), 0, 49));
        assert_eq!((view.base_timestamp_ms(), view.max_timestamp_ms()), (-1, NOW));
        assert_eq!(view.verify_crc(), Ok(()));
    }

    #[test]
    fn what_kafkas_builder_refuses_is_refused() {
        let producer = |id, epoch, sequence, transactional, control| BatchSpec {
            producer_id: ProducerId(id),
            producer_epoch: epoch,
            base_sequence: sequence,
            transactional,
            control,
            ..BatchSpec::default()
        };
        let cases = [
            (producer(-1, -1, -1, false, false), None),
            (producer(-1, -1, -1, true, false), Some(BuildError::NoProducerId)),
            (producer(5, -1, 0, false, false), Some(BuildError::NoProducerEpoch(ProducerId(5)))),
            (producer(5, 0, -1, false, false), Some(BuildError::NoSequence(ProducerId(5)))),
            (producer(5, 0, -1, true, true), None),
            (producer(5, 0, 0, true, false), None),
        ];
        for (spec, refused) in cases {
            let mut builder = BatchBuilder::new(spec);
            builder.push(&value(b"v")).unwrap();
            assert_eq!(builder.seal(&mut Compressor::default()).err(), refused, "{spec:?}");
        }
        let mut builder = BatchBuilder::new(BatchSpec::default());
        assert_eq!(builder.seal(&mut Compressor::default()), Err(BuildError::Empty));
        let ancient = NewRecord { timestamp_ms: -2, ..NewRecord::default() };
        assert_eq!(builder.push(&ancient), Err(BuildError::NegativeTimestamp(-2)));
        builder.push(&NewRecord::default()).unwrap();
    }

    #[test]
    fn assigning_leaves_the_checksum_and_stamping_renews_it() {
        let mut builder = BatchBuilder::new(BatchSpec::default());
        builder.push(&value(b"v")).unwrap();
        let mut batch = builder.seal(&mut Compressor::default()).unwrap();
        let crc = batch.view().stored_crc();
        batch.assign(Offset::new(77), LeaderEpoch(5));
        let view = batch.view();
        assert_eq!(
            (view.base_offset(), view.leader_epoch(), view.stored_crc()),
            (Offset::new(77), LeaderEpoch(5), crc)
        );
        assert_eq!(view.verify_crc(), Ok(()));
        batch.set_log_append_time(NOW + 5);
        let view = batch.view();
        assert_eq!((view.timestamp_type(), view.max_timestamp_ms()), (TimestampType::LogAppend, NOW + 5));
        assert_eq!((view.base_timestamp_ms(), view.verify_crc()), (NOW, Ok(())));

        // The same inside a larger buffer, where what follows stays.
        let mut buffer = [batch.bytes(), b"behind"].concat();
        assign(&mut buffer, Offset::new(78), LeaderEpoch(6)).unwrap();
        set_log_append_time(&mut buffer, NOW + 6).unwrap();
        batch.assign(Offset::new(78), LeaderEpoch(6));
        batch.set_log_append_time(NOW + 6);
        assert_eq!(buffer, [batch.bytes(), b"behind"].concat());
        for cut in 0..batch.bytes().len() {
            let mut torn = batch.bytes()[..cut].to_vec();
            assert!(assign(&mut torn, Offset::ZERO, LeaderEpoch(0)).is_err(), "cut at {cut}");
            assert!(set_log_append_time(&mut torn, 1).is_err(), "cut at {cut}");
            assert_eq!(torn, batch.bytes()[..cut]);
        }
    }

    #[test]
    fn a_batch_takes_what_batch_size_allows() {
        // One record of 8 + 100 bytes: length 2, attributes, deltas, null key, value length 2, header count.
        let hundred = [0; 100];
        let record = value(&hundred);
        let size = 109;
        for (batch_size, expected) in [(1, 1), (61 + 3 * size, 3), (61 + 4 * size - 1, 3), (61 + 4 * size, 4)] {
            let mut builder = BatchBuilder::new(BatchSpec::default());
            while builder.has_room_for(&record, batch_size) {
                builder.push(&record).unwrap();
            }
            assert_eq!(builder.record_count(), expected, "batch.size {batch_size}");
        }
        // A large first record makes the batch as large as its upper bound: 13 bytes above its true size here.
        let mut builder = BatchBuilder::new(BatchSpec::default());
        builder.push(&record).unwrap();
        assert!(builder.has_room_for(&value(b"small"), 10));
        assert!(!builder.has_room_for(&value(b"not so small"), 10));
    }

    #[test]
    fn batches_are_full_where_kafkas_builder_is_full() {
        // Codec, estimated ratio, batch.size, value bytes; records that `MemoryRecordsBuilder` of 4.3 took.
        let cases = [
            (Codec::None, 1.0, 1, 100, 1),
            (Codec::None, 1.0, 388, 70000, 1),
            (Codec::None, 1.0, 497, 63, 6),
            (Codec::None, 1.0, 16384, 5000, 3),
            (Codec::Lz4, 1.0, 1, 64, 1),
            (Codec::Lz4, 1.0, 388, 8192, 1),
            (Codec::Lz4, 1.0, 497, 1, 52),
            (Codec::Lz4, 1.0, 16384, 100, 141),
            (Codec::Lz4, 1.0, 100000, 70000, 1),
            (Codec::Lz4, 0.1, 1, 63, 3),
            (Codec::Lz4, 0.1, 388, 5000, 1),
            (Codec::Lz4, 0.1, 497, 0, 519),
            (Codec::Lz4, 0.1, 16384, 64, 2093),
            (Codec::Lz4, 0.1, 100000, 8192, 107),
            (Codec::Lz4, 0.37, 1, 1, 6),
            (Codec::Lz4, 0.37, 388, 100, 6),
            (Codec::Lz4, 0.37, 496, 70000, 1),
            (Codec::Lz4, 0.37, 16384, 63, 582),
            (Codec::Lz4, 0.37, 100000, 5000, 49),
            (Codec::Lz4, 0.995, 1, 0, 3),
            (Codec::Lz4, 0.995, 388, 64, 4),
            (Codec::Lz4, 0.995, 496, 8192, 1),
            (Codec::Lz4, 0.995, 16384, 1, 1743),
            (Codec::Lz4, 0.995, 100000, 100, 870),
            (Codec::Lz4, 0.995, 1048576, 70000, 14),
            (Codec::Lz4, 1.3, 388, 63, 3),
            (Codec::Lz4, 1.3, 496, 5000, 1),
            (Codec::Lz4, 1.3, 16384, 0, 1503),
            (Codec::Lz4, 1.3, 100000, 64, 990),
            (Codec::Lz4, 1.3, 1048576, 8192, 93),
            (Codec::Lz4, 0.1, 16384, 100, 1405),
        ];
        for (codec, ratio, batch_size, value_bytes, expected) in cases {
            let mut builder = BatchBuilder::new(BatchSpec { compression: codec.into(), ..BatchSpec::default() });
            builder.set_estimated_ratio(ratio);
            let bytes = vec![0; value_bytes];
            while builder.has_room_for(&value(&bytes), batch_size) {
                builder.push(&value(&bytes)).unwrap();
            }
            assert_eq!(
                builder.record_count(),
                expected,
                "{codec} {ratio}, batch.size {batch_size}, {value_bytes} bytes"
            );
        }
    }

    #[test]
    fn ratios_get_worse_at_once_and_better_slowly() {
        let mut ratios = RatioEstimator::default();
        let cases = [(0.2, 0.995), (0.2, 0.990), (0.989, 0.989), (0.99, 1.039), (1.5, 1.5)];
        for (observed, expected) in cases {
            let found = ratios.update(Codec::Zstd, observed);
            assert!((found - expected).abs() < 1e-5, "{observed}: {found}");
        }
        assert_eq!(ratios.estimation(Codec::Gzip), 1.0);
    }

    #[test]
    fn memory_comes_back() {
        for codec in Codec::ALL {
            let spec = BatchSpec { compression: codec.into(), ..BatchSpec::default() };
            let mut builder = BatchBuilder::new(spec);
            let mut compressor = Compressor::default();
            let long = vec![7; 50_000];
            for round in 0..3 {
                for record in [&long[..], b"short"] {
                    builder.push(&value(record)).unwrap();
                }
                let batch = builder.seal(&mut compressor).unwrap();
                assert_eq!(offsets(&batch), [0, 1], "{codec}, round {round}");
                assert_eq!(batch.view().verify_crc(), Ok(()));
                builder.recycle(batch);
                builder.push(&value(b"left out")).unwrap();
                builder.reset(spec);
            }
        }
        fn sends<T: Send>() {}
        sends::<BatchBuilder>();
        sends::<BatchBuf>();
        sends::<Compressor>();
    }

    type Owned = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>, u8);

    fn records() -> impl Strategy<Value = Vec<Owned>> {
        let bytes = |max| proptest::collection::vec(any::<u8>(), 0..max);
        let timestamp = prop_oneof![Just(-1), 0..i64::MAX, NOW..NOW + 1_000];
        let headers = proptest::collection::vec((bytes(80), proptest::option::of(bytes(20))), 0..4);
        let record = (
            timestamp,
            proptest::option::of(bytes(200)),
            proptest::option::of(prop_oneof![bytes(40), bytes(20_000)]),
            headers,
            0u8..200,
        );
        proptest::collection::vec(record, 1..30)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_built_is_read_and_built_again(
            records in records(), codec in 0u8..5, append in any::<bool>(), horizon in proptest::option::of(0..i64::MAX),
            base in 0..i64::MAX / 2, sequence in 0..i32::MAX,
        ) {
            let spec = BatchSpec {
                base_offset: Offset::new(base),
                leader_epoch: LeaderEpoch(3),
                compression: Codec::from_id(codec).unwrap().into(),
                timestamps: if append { Timestamps::LogAppend(NOW) } else { Timestamps::Create },
                producer_id: ProducerId(9),
                producer_epoch: 1,
                base_sequence: sequence,
                delete_horizon_ms: horizon,
                ..BatchSpec::default()
            };
            let mut builder = BatchBuilder::new(spec);
            let mut offset = Offset::new(base);
            for (timestamp_ms, key, value, headers, gap) in &records {
                let headers: Vec<_> =
                    headers.iter().map(|(key, value)| NewHeader { key, value: value.as_deref() }).collect();
                offset = offset.plus(i64::from(*gap));
                let record = NewRecord {
                    timestamp_ms: *timestamp_ms, key: key.as_deref(), value: value.as_deref(), headers: &headers,
                };
                builder.push_at(offset, &record).unwrap();
                offset = offset.next();
            }
            let mut compressor = Compressor::default();
            let batch = builder.seal(&mut compressor).unwrap();
            prop_assert_eq!(batch.view().verify_crc(), Ok(()));
            prop_assert_eq!(batch.view().delete_horizon_ms(), horizon);
            let mut decompressor = Decompressor::default();
            let frame = Frame::parse(batch.bytes()).unwrap();
            let read: Vec<_> = frame.records(&mut decompressor).unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(read.len(), records.len());
            let mut offset = Offset::new(base);
            builder.reset(spec);
            for (found, (timestamp_ms, key, value, headers, gap)) in read.iter().zip(&records) {
                offset = offset.plus(i64::from(*gap));
                prop_assert_eq!(found.offset, offset);
                prop_assert_eq!(found.timestamp_ms, if append { NOW } else { *timestamp_ms });
                prop_assert_eq!((found.key, found.value), (key.as_deref(), value.as_deref()));
                let pairs: Vec<_> = headers.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
                prop_assert_eq!(found.headers.iter().collect::<Vec<_>>(), pairs);
                builder.push_read(found).unwrap();
                offset = offset.next();
            }
            if !append {
                // Log-append time reads as one timestamp, so the stored ones cannot come back.
                prop_assert_eq!(&builder.seal(&mut compressor).unwrap(), &batch);
            }
        }
    }
}
