//! Messages of magic 0 and 1: what brokers before 0.11 wrote, one record an entry, or a compressed
//! wrapper around many.
//!
//! ```text
//!  at       field
//!   0  i64  offset; of the last inner message for a wrapper
//!   8  i32  length of what follows
//!  12  u32  CRC-32 (IEEE) of [16..end]
//!  16  i8   magic
//!  17  i8   attributes: 0-2 codec, 3 log-append time (magic 1)
//!  18  i64  timestamp (magic 1 only)
//!      i32  key length, -1 = null      key
//!      i32  value length, -1 = null    value
//! ```
//!
//! A wrapper's value is the compressed concatenation of entries of the same form: with absolute
//! offsets in magic 0, with offsets relative to the first in magic 1.

use super::builder::{BuildError, NewRecord, Timestamps};
use super::compression::{Compression, Compressor};
use super::record::{Headers, RecordRef};
use super::{BatchError, ENTRY_OVERHEAD, PayloadError};
use crate::crc::crc32;
use crate::types::{Codec, NO_TIMESTAMP, Offset, TimestampMs, TimestampType};
use crate::wire::Reader;

/// Smallest length field: CRC, magic, attributes and two lengths (`LegacyRecord.RECORD_OVERHEAD_V0`).
pub const MIN_LENGTH_V0: i32 = 14;
/// The same with a timestamp (`LegacyRecord.RECORD_OVERHEAD_V1`).
pub const MIN_LENGTH_V1: i32 = 22;

/// One entry of a magic 0 or 1 message set: a message, or a wrapper around compressed ones.
///
/// Holding one means the fixed fields and both lengths lie inside `bytes`.
/// The checksum is a second step, as it is for batches.
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    bytes: &'a [u8],
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

impl<'a> MessageView<'a> {
    /// Takes `bytes`, which is one whole frame, for a message.
    ///
    /// Kafka looks at key and value only when it reads the record; here lengths that do not fit
    /// are refused at once, and the frame is still known to the caller.
    pub(super) fn of_frame(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let magic = bytes.get(16).map_or(0, |byte| byte.cast_signed());
        let minimum = if magic == 0 { MIN_LENGTH_V0 } else { MIN_LENGTH_V1 };
        let declared = i32::try_from(bytes.len().saturating_sub(ENTRY_OVERHEAD)).unwrap_or(i32::MAX);
        if declared < minimum {
            return Err(BatchError::LengthTooSmall { declared, minimum });
        }
        let fields_at = if magic == 0 { 18 } else { 26 };
        let mut reader = Reader::new(bytes.get(fields_at..).unwrap_or_default());
        let mut nullable = |what| {
            let len = reader.i32().map_err(|_| BatchError::MessageField { what, declared: 0 })?;
            match usize::try_from(len) {
                Ok(len_bytes) => match reader.bytes(len_bytes) {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(_) => Err(BatchError::MessageField { what, declared: len }),
                },
                Err(_) => Ok(None),
            }
        };
        let key = nullable("key")?;
        let value = nullable("value")?;
        Ok(MessageView { bytes, key, value })
    }

    /// The whole entry as stored.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The offset field: this message's, or the last inner message's of a wrapper.
    pub fn offset(&self) -> Offset {
        Offset::new(self.i64_at(0))
    }

    fn i64_at(&self, at: usize) -> i64 {
        let tail = self.bytes.get(at..).and_then(<[u8]>::first_chunk::<8>);
        tail.map_or(0, |raw| i64::from_be_bytes(*raw))
    }

    /// The magic byte: 0 or 1 in every message Kafka wrote.
    pub fn magic(&self) -> i8 {
        self.bytes.get(16).map_or(0, |byte| byte.cast_signed())
    }

    fn attributes(&self) -> u8 {
        self.bytes.get(17).copied().unwrap_or(0)
    }

    /// The checksum as stored.
    pub fn stored_crc(&self) -> u32 {
        let tail = self.bytes.get(12..).and_then(<[u8]>::first_chunk::<4>);
        tail.map_or(0, |raw| u32::from_be_bytes(*raw))
    }

    /// The checksum of the bytes as they are.
    pub fn computed_crc(&self) -> u32 {
        crc32(self.bytes.get(16..).unwrap_or_default())
    }

    /// Whether the stored checksum is that of the bytes.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let (stored, computed) = (self.stored_crc(), self.computed_crc());
        if stored == computed { Ok(()) } else { Err(BatchError::CrcMismatch { stored, computed }) }
    }

    /// How the value is compressed; anything but none makes this a wrapper.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        let id = self.attributes() & 0x07;
        Codec::from_id(id).ok_or(BatchError::UnknownCodec(id))
    }

    /// Which clock the timestamp is of; magic 0 has none.
    pub fn timestamp_type(&self) -> TimestampType {
        match (self.magic(), self.attributes() & 0x08) {
            (0, _) => TimestampType::None,
            (_, 0) => TimestampType::Create,
            _ => TimestampType::LogAppend,
        }
    }

    /// The timestamp; -1 for magic 0.
    pub fn timestamp_ms(&self) -> TimestampMs {
        if self.magic() == 0 { NO_TIMESTAMP } else { self.i64_at(18) }
    }

    /// The key.
    pub const fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value: for a wrapper, the compressed messages.
    pub const fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// This message as a record; meaningless for a wrapper.
    pub fn record(&self) -> RecordRef<'a> {
        RecordRef {
            offset: self.offset(),
            timestamp_ms: self.timestamp_ms(),
            timestamp_type: self.timestamp_type(),
            sequence: -1,
            key: self.key,
            value: self.value,
            headers: Headers::default(),
            raw: self.bytes.get(ENTRY_OVERHEAD..).unwrap_or_default(),
        }
    }
}

/// The messages inside a wrapper, in order, as Kafka reads them (`AbstractLegacyRecordBatch.DeepRecordsIterator`).
#[derive(Clone, Debug)]
pub struct InnerMessages<'a> {
    entries: Entries<'a>,
    wrapper: Wrapper,
    /// Added to each inner offset: 0 for magic 0, which stores absolute ones.
    base: i64,
    failed: Option<PayloadError>,
}

#[derive(Clone, Copy, Debug)]
struct Wrapper {
    magic: i8,
    timestamp_ms: TimestampMs,
    timestamp_type: TimestampType,
}

impl<'a> InnerMessages<'a> {
    /// Reads `payload`, the decompressed value of `wrapper`.
    ///
    /// The first pass finds the last inner offset, which in magic 1 gives all the absolute ones.
    pub fn new(wrapper: &MessageView<'_>, payload: &'a [u8]) -> Result<Self, PayloadError> {
        let mut last = None;
        for entry in (Entries { rest: payload }) {
            last = Some(entry?.offset());
        }
        let Some(last_inner) = last else { return Err(PayloadError::EmptyWrapper) };
        let wrapper_offset = wrapper.offset();
        let base = match wrapper.magic() {
            1 if wrapper_offset == Offset::ZERO => 0,
            1 if wrapper_offset < last_inner => {
                return Err(PayloadError::WrapperOffset { wrapper: wrapper_offset, last_inner });
            }
            1 => wrapper_offset.get().wrapping_sub(last_inner.get()),
            _ => 0,
        };
        Ok(InnerMessages {
            entries: Entries { rest: payload },
            wrapper: Wrapper {
                magic: wrapper.magic(),
                timestamp_ms: wrapper.timestamp_ms(),
                timestamp_type: wrapper.timestamp_type(),
            },
            base,
            failed: None,
        })
    }
}

impl<'a> Iterator for InnerMessages<'a> {
    type Item = Result<RecordRef<'a>, PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed.is_some() {
            return None;
        }
        let read = self.entries.next()?.and_then(|entry| match entry.codec() {
            Ok(Codec::None) => Ok(entry),
            _ => Err(PayloadError::NestedWrapper { offset: entry.offset() }),
        });
        match read {
            Ok(entry) => {
                let mut record = entry.record();
                if self.wrapper.magic == 1 {
                    record.offset = record.offset.plus(self.base);
                }
                if entry.magic() == 1 {
                    record.timestamp_type = self.wrapper.timestamp_type;
                    if self.wrapper.timestamp_type == TimestampType::LogAppend {
                        record.timestamp_ms = self.wrapper.timestamp_ms;
                    }
                }
                Some(Ok(record))
            }
            Err(error) => {
                self.failed = Some(error.clone());
                Some(Err(error))
            }
        }
    }
}

/// Entries of a decompressed message set; a partial last one ends it quietly, as in Kafka.
#[derive(Clone, Debug)]
struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<MessageView<'a>, PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let declared = self.rest.get(8..).and_then(<[u8]>::first_chunk::<4>).map(|raw| i32::from_be_bytes(*raw))?;
        let len = match usize::try_from(declared) {
            Ok(len) if declared >= MIN_LENGTH_V0 => len + ENTRY_OVERHEAD,
            _ => {
                self.rest = &[];
                return Some(Err(PayloadError::Inner(BatchError::LengthTooSmall { declared, minimum: MIN_LENGTH_V0 })));
            }
        };
        let (entry, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        let magic = entry.get(16).map_or(0, |byte| byte.cast_signed());
        Some(match magic {
            0 | 1 => MessageView::of_frame(entry).map_err(PayloadError::Inner),
            other => Err(PayloadError::Inner(BatchError::UnknownMagic(other))),
        })
    }
}

/// The two formats before record batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LegacyMagic {
    /// Without timestamps.
    V0,
    /// With timestamps.
    V1,
}

/// How a message set is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageSetSpec {
    /// The format.
    pub magic: LegacyMagic,
    /// Anything but none makes one wrapper around all messages. zstd cannot.
    pub compression: Compression,
    /// Where timestamps come from.
    pub timestamps: Timestamps,
}

/// Appends messages to `out` as brokers before 0.11 stored them: one entry each, or one wrapper around all.
///
/// Brokers since 4.0 read and compact these and write them no more. The rules are those of Kafka's
/// `MemoryRecordsBuilder`: offsets rise, records have no headers, and a wrapper's inner offsets count from
/// the first record's in magic 1. On an error `out` is as it was.
pub fn encode(
    spec: MessageSetSpec,
    records: &[(Offset, NewRecord<'_>)],
    compressor: &mut Compressor,
    out: &mut Vec<u8>,
) -> Result<(), BuildError> {
    let Some((first, _)) = records.first() else { return Err(BuildError::Empty) };
    let mut previous = None;
    let mut max_timestamp_ms = NO_TIMESTAMP;
    for (offset, record) in records {
        if let Some(previous) = previous.replace(*offset).filter(|previous| previous >= offset) {
            return Err(BuildError::OffsetNotRising { offset: *offset, previous });
        }
        if !record.headers.is_empty() {
            return Err(BuildError::HeadersInLegacy);
        }
        if record.timestamp_ms < NO_TIMESTAMP {
            return Err(BuildError::NegativeTimestamp(record.timestamp_ms));
        }
        max_timestamp_ms = max_timestamp_ms.max(record.timestamp_ms);
    }
    let (type_bit, append_ms) = match spec.timestamps {
        Timestamps::LogAppend(ms) if spec.magic == LegacyMagic::V1 => (0x08, Some(ms)),
        _ => (0, None),
    };
    let start = out.len();
    if spec.compression.codec() == Codec::None {
        for (offset, record) in records {
            let timestamp_ms = append_ms.unwrap_or(record.timestamp_ms);
            put_message(out, spec.magic, *offset, type_bit, timestamp_ms, record.key, record.value);
        }
    } else {
        let mut inner = Vec::new();
        for (offset, record) in records {
            let stored = match spec.magic {
                LegacyMagic::V0 => *offset,
                LegacyMagic::V1 => offset.plus(first.get().wrapping_neg()),
            };
            let timestamp_ms = append_ms.unwrap_or(record.timestamp_ms);
            put_message(&mut inner, spec.magic, stored, type_bit, timestamp_ms, record.key, record.value);
        }
        let mut value = Vec::new();
        compressor.compress(spec.compression, spec.magic.id(), &inner, &mut value)?;
        let attributes = type_bit | spec.compression.codec().id();
        let timestamp_ms = append_ms.unwrap_or(max_timestamp_ms);
        put_message(out, spec.magic, previous.unwrap_or(*first), attributes, timestamp_ms, None, Some(&value));
    }
    let bytes = (out.len() - start) as u64;
    if bytes > i32::MAX as u64 {
        out.truncate(start);
        return Err(BuildError::TooLarge { bytes });
    }
    Ok(())
}

impl LegacyMagic {
    /// The magic byte.
    pub const fn id(self) -> i8 {
        match self {
            LegacyMagic::V0 => 0,
            LegacyMagic::V1 => 1,
        }
    }
}

/// One entry; its lengths fit, or the caller drops it again.
fn put_message(
    out: &mut Vec<u8>,
    magic: LegacyMagic,
    offset: Offset,
    attributes: u8,
    timestamp_ms: TimestampMs,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) {
    let length = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX).to_be_bytes();
    let start = out.len();
    out.extend_from_slice(&offset.get().to_be_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&[magic.id().cast_unsigned(), attributes]);
    if magic == LegacyMagic::V1 {
        out.extend_from_slice(&timestamp_ms.to_be_bytes());
    }
    for field in [key, value] {
        match field {
            Some(bytes) => {
                out.extend_from_slice(&length(bytes.len()));
                out.extend_from_slice(bytes);
            }
            None => out.extend_from_slice(&(-1i32).to_be_bytes()),
        }
    }
    let message = out.get_mut(start..).unwrap_or_default();
    let size = length(message.len() - ENTRY_OVERHEAD);
    let crc = crc32(message.get(16..).unwrap_or_default());
    message[8..12].copy_from_slice(&size);
    message[12..16].copy_from_slice(&crc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Decompressor, Frame, NewHeader};

    #[test]
    fn messages_are_byte_for_byte_kafkas() {
        // Key "k2", value null, at offset 2: written by Kafka's builder for magic 0.
        let stored = "00000000000000020000001 08b23e3da0000000000026b32ffffffff".replace(' ', "");
        let record = NewRecord { timestamp_ms: 5, key: Some(b"k2"), ..NewRecord::default() };
        let spec =
            MessageSetSpec { magic: LegacyMagic::V0, compression: Compression::NONE, timestamps: Timestamps::Create };
        let mut out = Vec::new();
        encode(spec, &[(Offset::new(2), record)], &mut Compressor::default(), &mut out).unwrap();
        assert_eq!(data_encoding::HEXLOWER.encode(&out), stored);
    }

    #[test]
    fn message_sets_read_as_they_were_written() {
        let records: Vec<_> = [(10, 1_000, Some(&b"a"[..])), (11, 999, None), (15, 1_005, Some(b"c"))]
            .map(|(offset, timestamp_ms, value)| {
                (Offset::new(offset), NewRecord { timestamp_ms, value, ..NewRecord::default() })
            })
            .to_vec();
        let mut decompressor = Decompressor::default();
        for magic in [LegacyMagic::V0, LegacyMagic::V1] {
            for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4] {
                for timestamps in [Timestamps::Create, Timestamps::LogAppend(7_000)] {
                    let spec = MessageSetSpec { magic, compression: codec.into(), timestamps };
                    let mut out = b"before".to_vec();
                    encode(spec, &records, &mut Compressor::default(), &mut out).unwrap();
                    let mut rest = out.strip_prefix(b"before").unwrap();
                    let mut read = Vec::new();
                    while !rest.is_empty() {
                        let frame = Frame::parse(rest).unwrap();
                        assert_eq!(frame.verify_crc(), Ok(()), "{spec:?}");
                        rest = &rest[frame.bytes().len()..];
                        for record in frame.records(&mut decompressor).unwrap() {
                            let record = record.unwrap();
                            read.push((record.offset, record.timestamp_ms, record.value.map(<[u8]>::to_vec)));
                        }
                    }
                    let expected: Vec<_> = records
                        .iter()
                        .map(|(offset, record)| {
                            let timestamp_ms = match (magic, timestamps) {
                                (LegacyMagic::V0, _) => NO_TIMESTAMP,
                                (_, Timestamps::Create) => record.timestamp_ms,
                                (_, Timestamps::LogAppend(ms)) => ms,
                            };
                            (*offset, timestamp_ms, record.value.map(<[u8]>::to_vec))
                        })
                        .collect();
                    assert_eq!(read, expected, "{spec:?}");
                }
            }
        }
    }

    #[test]
    fn what_the_formats_cannot_hold_is_refused() {
        let plain = NewRecord::default();
        let headers = [NewHeader { key: b"h", value: None }];
        let zero = (Offset::ZERO, plain);
        let cases = [
            (Codec::None, vec![], BuildError::Empty),
            (Codec::None, vec![(Offset::ZERO, NewRecord { headers: &headers, ..plain })], BuildError::HeadersInLegacy),
            (
                Codec::None,
                vec![(Offset::ZERO, NewRecord { timestamp_ms: -3, ..plain })],
                BuildError::NegativeTimestamp(-3),
            ),
            (
                Codec::None,
                vec![zero, zero],
                BuildError::OffsetNotRising { offset: Offset::ZERO, previous: Offset::ZERO },
            ),
            (Codec::Zstd, vec![zero], BuildError::Compression(crate::batch::CompressionError::ZstdInLegacy)),
        ];
        for (codec, records, error) in cases {
            let spec =
                MessageSetSpec { magic: LegacyMagic::V1, compression: codec.into(), timestamps: Timestamps::Create };
            let mut out = Vec::new();
            assert_eq!(encode(spec, &records, &mut Compressor::default(), &mut out), Err(error));
            assert!(out.is_empty());
        }
    }
}
