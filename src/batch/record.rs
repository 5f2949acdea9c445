//! Records: the messages inside a batch, read from its decompressed payload.
//!
//! ```text
//!  varint   length of what follows
//!  i8       attributes (always 0)
//!  varlong  timestamp - base timestamp
//!  varint   offset - base offset
//!  varint   key length, -1 = null      key
//!  varint   value length, -1 = null    value
//!  varint   number of headers
//!           per header: varint key length, key, varint value length (-1 = null), value
//! ```
//!
//! Records borrow from the payload; nothing is allocated. The rules of what is refused are those of
//! Kafka's `DefaultRecord.readFrom` and `DefaultRecordBatch.RecordIterator`.

use std::ops::ControlFlow;

use thiserror::Error;

use crate::types::{Offset, TimestampMs, TimestampType};
use crate::wire::{Reader, WireError};

/// Why a payload could not be read as the records its batch declares.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum RecordError {
    /// The batch declares a negative number of records.
    #[error("record count is {0}, expected 0 or more")]
    NegativeCount(i32),
    /// The payload ends before the declared number of records was read.
    #[error("payload ends after {read} of {declared} records")]
    PrematureEnd {
        /// Records read.
        read: u32,
        /// Records the batch declares.
        declared: u32,
    },
    /// Bytes remain after the declared number of records.
    #[error("{bytes} bytes remain after the {declared} records declared")]
    TrailingBytes {
        /// Records the batch declares.
        declared: u32,
        /// Bytes left over.
        bytes: usize,
    },
    /// A record's length reaches past the end of the payload.
    #[error("record {index} declares {declared} bytes, {available} remain in the batch")]
    SizeBeyondBatch {
        /// Number of the record in its batch, from 0.
        index: u32,
        /// Length the record declares.
        declared: i32,
        /// Bytes left in the payload.
        available: usize,
    },
    /// A record's fields take fewer bytes than it declares.
    #[error("record {index} declares {declared} bytes, its fields take {read}")]
    SizeMismatch {
        /// Number of the record in its batch, from 0.
        index: u32,
        /// Length the record declares.
        declared: usize,
        /// Bytes its fields took.
        read: usize,
    },
    /// A field of the record cannot be read.
    #[error("record {index}: {cause}")]
    Field {
        /// Number of the record in its batch, from 0.
        index: u32,
        /// What went wrong.
        cause: WireError,
    },
    /// The header count is negative or larger than the bytes left could hold.
    #[error("record {index} declares {declared} headers, {available} bytes remain in it")]
    HeaderCount {
        /// Number of the record in its batch, from 0.
        index: u32,
        /// Header count declared.
        declared: i32,
        /// Bytes left in the record.
        available: usize,
    },
    /// A header's key has a negative length; keys are never null.
    #[error("record {index}: header key length is {declared}, expected 0 or more")]
    HeaderKeyLength {
        /// Number of the record in its batch, from 0.
        index: u32,
        /// Length declared.
        declared: i32,
    },
}

/// One record, borrowed from its batch's payload.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Its logical address.
    pub offset: Offset,
    /// Its timestamp: the batch's for log-append time, its own otherwise, -1 when there is none.
    pub timestamp_ms: TimestampMs,
    /// Which clock the timestamp is of.
    pub timestamp_type: TimestampType,
    /// The producer's counter; -1 when written without idempotence.
    pub sequence: i32,
    /// The key; `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for null (a tombstone when there is a key).
    pub value: Option<&'a [u8]>,
    /// The headers, in the order written; keys may repeat.
    pub headers: Headers<'a>,
    /// The stored bytes: from the length field (magic 2) or the CRC (magic 0 and 1) to the end.
    pub raw: &'a [u8],
}

impl RecordRef<'_> {
    /// A key and no value: compaction removes the key.
    pub fn is_tombstone(&self) -> bool {
        self.key.is_some() && self.value.is_none()
    }
}

/// The headers of one record. Checked when the record was read, so iterating cannot fail.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    count: u32,
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// How many there are.
    pub const fn len(&self) -> u32 {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their number and stored bytes, to keep them beyond the batch.
    pub const fn parts(&self) -> (u32, &'a [u8]) {
        (self.count, self.bytes)
    }

    /// The headers that [`Headers::parts`] took apart.
    pub const fn of_parts(count: u32, bytes: &'a [u8]) -> Self {
        Headers { count, bytes }
    }

    /// Key and value of each, in the order written. Keys are bytes: Kafka reads them as UTF-8 but does not check.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        (0..self.count).map_while(move |_| {
            let key = reader.nullable_bytes().ok()??;
            let value = reader.nullable_bytes().ok()?;
            Some((key, value))
        })
    }
}

/// What a batch header says about its records: all that is needed to read them.
#[derive(Clone, Copy, Debug)]
pub struct RecordContext {
    /// Offset that the records' deltas count from.
    pub base_offset: Offset,
    /// Timestamp that the records' deltas count from (the delete horizon where the batch has one).
    pub base_timestamp_ms: TimestampMs,
    /// Set for log-append time: every record's timestamp.
    pub log_append_ms: Option<TimestampMs>,
    /// First sequence; -1 for none.
    pub base_sequence: i32,
    /// Records declared.
    pub count: i32,
}

/// Reads the records of one payload in order; ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    reader: Reader<'a>,
    context: RecordContext,
    timestamp_type: TimestampType,
    declared: u32,
    index: u32,
    failed: Option<RecordError>,
}

impl<'a> Records<'a> {
    /// Starts at the first record of `payload`, which is the decompressed record section of a batch.
    ///
    /// A count of 0 reads as empty whatever the payload holds, as Kafka's iterator does.
    pub fn new(context: RecordContext, payload: &'a [u8]) -> Self {
        let (declared, failed) = match u32::try_from(context.count) {
            Ok(count) => (count, None),
            Err(_) => (0, Some(RecordError::NegativeCount(context.count))),
        };
        let timestamp_type =
            if context.log_append_ms.is_some() { TimestampType::LogAppend } else { TimestampType::Create };
        Records { reader: Reader::new(payload), context, timestamp_type, declared, index: 0, failed }
    }

    #[inline(always)]
    fn read_one(&mut self) -> Result<RecordRef<'a>, RecordError> {
        let index = self.index;
        let whole = self.reader.rest();
        if whole.is_empty() {
            return Err(RecordError::PrematureEnd { read: index, declared: self.declared });
        }
        let field = |cause| RecordError::Field { index, cause };
        let declared = self.reader.varint().map_err(field)?;
        let body_len = usize::try_from(declared)
            .ok()
            .filter(|len| *len <= self.reader.remaining())
            .ok_or(RecordError::SizeBeyondBatch { index, declared, available: self.reader.remaining() })?;
        let mut body = Reader::new(self.reader.bytes(body_len).map_err(field)?);

        body.i8().map_err(field)?;
        let timestamp_delta = body.varlong().map_err(field)?;
        let offset_delta = body.varint().map_err(field)?;
        let key = body.nullable_bytes().map_err(field)?;
        let value = body.nullable_bytes().map_err(field)?;
        let headers = Self::headers(&mut body, index)?;
        if body.remaining() > 0 {
            return Err(RecordError::SizeMismatch { index, declared: body_len, read: body_len - body.remaining() });
        }

        let context = &self.context;
        let raw_len = whole.len() - self.reader.remaining();
        Ok(RecordRef {
            offset: context.base_offset.plus(i64::from(offset_delta)),
            timestamp_ms: match context.log_append_ms {
                Some(appended) => appended,
                None => context.base_timestamp_ms.wrapping_add(timestamp_delta),
            },
            timestamp_type: self.timestamp_type,
            sequence: sequence_after(context.base_sequence, offset_delta),
            key,
            value,
            headers,
            raw: whole.get(..raw_len).unwrap_or_default(),
        })
    }

    #[inline(always)]
    fn headers(body: &mut Reader<'a>, index: u32) -> Result<Headers<'a>, RecordError> {
        let field = |cause| RecordError::Field { index, cause };
        let declared = body.varint().map_err(field)?;
        if declared == 0 {
            return Ok(Headers::default());
        }
        Self::some_headers(body, index, declared)
    }

    fn some_headers(body: &mut Reader<'a>, index: u32, declared: i32) -> Result<Headers<'a>, RecordError> {
        let field = |cause| RecordError::Field { index, cause };
        let available = body.remaining();
        let count = u32::try_from(declared)
            .ok()
            .filter(|count| *count as usize <= available)
            .ok_or(RecordError::HeaderCount { index, declared, available })?;
        let bytes = body.rest();
        for _ in 0..count {
            let key_len = body.varint().map_err(field)?;
            let key_len =
                usize::try_from(key_len).map_err(|_| RecordError::HeaderKeyLength { index, declared: key_len })?;
            body.bytes(key_len).map_err(field)?;
            body.nullable_bytes().map_err(field)?;
        }
        let read = bytes.len() - body.remaining();
        Ok(Headers { count, bytes: bytes.get(..read).unwrap_or_default() })
    }
}

impl<'a> Records<'a> {
    /// Hands every record to `visit`, until that breaks or a record cannot be read.
    ///
    /// The same as iterating, without moving each record through two enums: worth a third of the time
    /// where records are small. What `visit` broke with is returned.
    #[inline]
    pub fn visit<B>(
        mut self,
        mut visit: impl FnMut(&RecordRef<'a>) -> ControlFlow<B>,
    ) -> Result<Option<B>, RecordError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        while self.index < self.declared {
            let record = self.read_one()?;
            self.index += 1;
            if let ControlFlow::Break(value) = visit(&record) {
                return Ok(Some(value));
            }
        }
        match (self.declared, self.reader.remaining()) {
            (0, _) | (_, 0) => Ok(None),
            (declared, bytes) => Err(RecordError::TrailingBytes { declared, bytes }),
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.index = self.declared;
            return Some(Err(error));
        }
        if self.index >= self.declared {
            return None;
        }
        match self.read_one() {
            Ok(record) => {
                self.index += 1;
                if self.index == self.declared && self.reader.remaining() > 0 {
                    // Kafka's iterator fails here instead of returning the last record. The record is
                    // whole, so it is returned, and the error comes after it.
                    self.failed =
                        Some(RecordError::TrailingBytes { declared: self.declared, bytes: self.reader.remaining() });
                }
                Some(Ok(record))
            }
            Err(error) => {
                self.index = self.declared;
                Some(Err(error))
            }
        }
    }
}

/// The sequence `delta` after `base`, wrapping inside 0 to 2147483647 (`DefaultRecordBatch.incrementSequence`);
/// -1 when `base` is -1.
pub const fn sequence_after(base: i32, delta: i32) -> i32 {
    if base < 0 {
        return -1;
    }
    let room = i32::MAX.wrapping_sub(delta);
    if base > room { delta.wrapping_sub(i32::MAX - base).wrapping_sub(1) } else { base.wrapping_add(delta) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: RecordContext = RecordContext {
        base_offset: Offset::new(100),
        base_timestamp_ms: 1_700_000_000_000,
        log_append_ms: None,
        base_sequence: 7,
        count: 1,
    };

    /// Record 3 of the worked example in the format reference: two equal header keys, one null value.
    const WITH_HEADERS: &[u8] = &[
        0x26, 0x00, 0x02, 0x02, 0x02, b'k', 0x01, 0x06, 0x04, b'h', b'1', 0x04, b'v', b'1', 0x04, b'h', b'2', 0x01,
        0x00, 0x00,
    ];

    #[test]
    fn fields_headers_and_nulls_are_read() {
        let record = Records::new(CONTEXT, WITH_HEADERS).next().unwrap().unwrap();
        assert_eq!((record.offset, record.timestamp_ms, record.sequence), (Offset::new(101), 1_700_000_000_001, 8));
        assert_eq!((record.key, record.value), (Some(&b"k"[..]), None));
        assert!(record.is_tombstone());
        let headers: Vec<_> = record.headers.iter().collect();
        assert_eq!(headers, [(&b"h1"[..], Some(&b"v1"[..])), (b"h2", None), (b"", Some(b""))]);
        assert_eq!(record.raw, WITH_HEADERS);
    }

    #[test]
    fn every_cut_is_refused_and_ends_the_iteration() {
        for cut in 0..WITH_HEADERS.len() {
            let mut records = Records::new(CONTEXT, &WITH_HEADERS[..cut]);
            assert!(records.next().unwrap().is_err(), "cut at {cut}");
            assert!(records.next().is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn the_count_is_a_claim() {
        let read = |count, payload: &[u8]| -> Vec<_> {
            Records::new(RecordContext { count, ..CONTEXT }, payload).map(|r| r.map(|_| ())).collect()
        };
        assert_eq!(read(0, WITH_HEADERS), [], "a count of 0 is empty, as in Kafka");
        assert_eq!(read(-1, WITH_HEADERS), [Err(RecordError::NegativeCount(-1))]);
        assert_eq!(read(2, WITH_HEADERS), [Ok(()), Err(RecordError::PrematureEnd { read: 1, declared: 2 })]);
        let twice = [WITH_HEADERS, WITH_HEADERS].concat();
        assert_eq!(read(1, &twice), [Ok(()), Err(RecordError::TrailingBytes { declared: 1, bytes: 20 })]);
    }

    #[test]
    fn visiting_gives_what_iterating_gives() {
        let twice = [WITH_HEADERS, WITH_HEADERS].concat();
        for (count, payload) in [(0, &twice[..]), (1, &twice), (2, &twice), (3, &twice), (-1, &twice), (1, &twice[..9])]
        {
            let records = Records::new(RecordContext { count, ..CONTEXT }, payload);
            let (mut read, mut failed) = (0, None);
            for record in records.clone() {
                match record {
                    Ok(_) => read += 1,
                    Err(error) => failed = Some(error),
                }
            }
            let mut visited = 0;
            let ended = records.clone().visit(|_| {
                visited += 1;
                ControlFlow::<()>::Continue(())
            });
            assert_eq!((visited, ended.err()), (read, failed), "count {count} of {} bytes", payload.len());
            let broke = records.visit(|record| ControlFlow::Break(record.offset));
            assert_eq!(broke.ok().flatten().is_some(), read > 0, "count {count}");
        }
    }

    #[test]
    fn sequences_wrap_below_two_to_the_31() {
        let cases = [((-1, 5), -1), ((0, 5), 5), ((i32::MAX, 0), i32::MAX), ((i32::MAX, 1), 0), ((i32::MAX - 1, 3), 1)];
        for ((base, delta), expected) in cases {
            assert_eq!(sequence_after(base, delta), expected, "{base} + {delta}");
        }
    }
}
