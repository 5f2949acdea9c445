//! One line of a record, and the numbers that are written once and counted on.

use super::super::control_json::control_json;
use super::super::java_text::push_java_utf8;
use super::Out;
use super::log::Shape;
use crate::batch::RecordRef;
use crate::batch::control::{ControlType, coordinator_epoch};
use crate::cli::decode::{Decoder, NoKey};
use crate::crc::crc32;

/// A number at the end of some text, rewritten in place: of the next record's offset or timestamp
/// mostly the last digit differs.
#[derive(Default)]
pub(super) struct Counter {
    pub(super) text: Vec<u8>,
    pub(super) value: u64,
    /// The smallest number with one digit more; 0 before the first number.
    pub(super) limit: u64,
}

impl Counter {
    /// The text `prefix` and `value`; `prefix` must be the same in all calls.
    #[inline]
    pub(super) fn text(&mut self, prefix: &[&str], value: i64) -> &[u8] {
        let new = value.cast_unsigned();
        if value < 0 || new >= self.limit || new < self.limit / 10 {
            return self.rewrite(prefix, value);
        }
        let (mut left, mut old) = (new, self.value);
        for digit in self.text.iter_mut().rev() {
            if left == old {
                break;
            }
            *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
            left /= 10;
            old /= 10;
        }
        self.value = new;
        &self.text
    }

    #[cold]
    pub(super) fn rewrite(&mut self, prefix: &[&str], value: i64) -> &[u8] {
        self.text.clear();
        prefix.iter().for_each(|part| self.text.extend_from_slice(part.as_bytes()));
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(value);
        self.text.extend_from_slice(digits.as_bytes());
        // 0 where there is nothing to count on from: negative numbers, and 19 digits.
        let digits = u32::try_from(digits.len()).unwrap_or(u32::MAX);
        self.limit = if value < 0 { 0 } else { 10u64.checked_pow(digits).filter(|_| digits < 19).unwrap_or(0) };
        self.value = value.cast_unsigned();
        &self.text
    }
}

/// Text of a record line that is likely to be the same, or nearly so, for the next record.
#[derive(Default)]
pub(super) struct Reused {
    pub(super) offset: Counter,
    pub(super) timestamp: Counter,
    /// Sizes and sequence the text below is for.
    pub(super) sizes: Option<(Option<usize>, Option<usize>, i32)>,
    pub(super) sizes_text: Vec<u8>,
}

impl Reused {
    #[inline]
    pub(super) fn sizes(&mut self, record: &RecordRef<'_>) -> &[u8] {
        let now = (record.key.map(<[u8]>::len), record.value.map(<[u8]>::len), record.sequence);
        if self.sizes != Some(now) {
            self.sizes = Some(now);
            let out = &mut self.sizes_text;
            out.clear();
            let mut size = |name: &str, len: Option<usize>| {
                out.extend_from_slice(name.as_bytes());
                match len {
                    Some(len) => out.extend_from_slice(itoa::Buffer::new().format(len).as_bytes()),
                    None => out.extend_from_slice(b"-1"),
                }
            };
            size(" keySize: ", now.0);
            size(" valueSize: ", now.1);
            out.extend_from_slice(b" sequence: ");
            out.extend_from_slice(itoa::Buffer::new().format(now.2).as_bytes());
            out.extend_from_slice(b" headerKeys: [");
        }
        &self.sizes_text
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum RecordLineError {
    #[error("control record key is too short, or its version is negative")]
    Key,
    #[error("transaction marker's value is too short, or its version is negative")]
    Marker,
    #[error(transparent)]
    Value(#[from] super::super::control_json::ControlError),
    #[error(transparent)]
    NoKey(#[from] NoKey),
}

impl RecordLineError {
    pub(super) const fn code(&self) -> &'static str {
        match self {
            RecordLineError::NoKey(_) => "no_key",
            _ => "bad_control",
        }
    }
}

#[inline]
pub(super) fn record_line(
    out: &mut Out<'_>,
    reused: &mut Reused,
    shape: &Shape,
    record: &RecordRef<'_>,
) -> Result<(), RecordLineError> {
    let mut result = Ok(());
    if shape.metadata {
        out.bytes(reused.offset.text(&["| offset: "], record.offset.get()));
        if shape.is_batch {
            out.bytes(reused.timestamp.text(&[" ", shape.timestamp_type, ": "], record.timestamp_ms));
            out.bytes(reused.sizes(record));
            if !record.headers.is_empty() {
                header_keys(out, record);
            }
            out.text("]");
        } else {
            out.text(" ");
            out.text(shape.timestamp_type);
            out.field(": ", record.timestamp_ms);
            legacy_fields(out, record);
        }
        if shape.is_control {
            result = control_fields(out, record);
        }
    }
    if let (Some(decoder), true) = (shape.decoder, shape.contents && !shape.is_control) {
        result = decoded_contents(out, decoder, shape, record);
    } else if shape.contents && !shape.is_control {
        let mut prefix = if shape.metadata { " " } else { "| " };
        if let Some(key) = record.key {
            out.text(prefix);
            out.text("key: ");
            push_java_utf8(&mut out.buffer, key);
            prefix = " ";
        }
        if let Some(value) = record.value {
            out.text(prefix);
            out.text("payload: ");
            push_java_utf8(&mut out.buffer, value);
        }
    }
    out.line();
    result
}

fn decoded_contents(
    out: &mut Out<'_>,
    decoder: Decoder,
    shape: &Shape,
    record: &RecordRef<'_>,
) -> Result<(), RecordLineError> {
    let text = decoder.kafka_text(record.offset.get(), record.key, record.value)?;
    let mut prefix = if shape.metadata { " " } else { "| " };
    for (name, text) in [("key: ", text.key), ("payload: ", text.payload)] {
        if let Some(text) = text {
            out.text(prefix);
            out.text(name);
            out.bytes(&text);
            prefix = " ";
        }
    }
    Ok(())
}

pub(super) fn header_keys(out: &mut Out<'_>, record: &RecordRef<'_>) {
    for (at, (key, _)) in record.headers.iter().enumerate() {
        if at > 0 {
            out.text(",");
        }
        push_java_utf8(&mut out.buffer, key);
    }
}

/// Sizes as stored (any negative number is null), and the message's own checksum.
pub(super) fn legacy_fields(out: &mut Out<'_>, record: &RecordRef<'_>) {
    let number = |at: usize| {
        let raw = record.raw.get(at..).and_then(<[u8]>::first_chunk::<4>);
        raw.map_or(-1, |raw| i32::from_be_bytes(*raw))
    };
    let key_at = if record.raw.get(4) == Some(&0) { 6 } else { 14 };
    let key_size = number(key_at);
    out.field(" keySize: ", key_size);
    out.field(" valueSize: ", number(key_at + 4 + usize::try_from(key_size).unwrap_or(0)));
    let stored = number(0).cast_unsigned();
    out.flag(" isValid: ", stored == crc32(record.raw.get(4..).unwrap_or_default()));
    out.field(" crc: ", stored);
}

pub(super) fn control_fields(out: &mut Out<'_>, record: &RecordRef<'_>) -> Result<(), RecordLineError> {
    let key = record.key.unwrap_or_default();
    let kind = ControlType::of_key(key).ok_or(RecordLineError::Key)?;
    match kind {
        ControlType::Abort | ControlType::Commit => {
            let epoch = record.value.and_then(coordinator_epoch).ok_or(RecordLineError::Marker)?;
            out.text(" endTxnMarker: ");
            out.text(kind.kafka_name());
            out.field(" coordinatorEpoch: ", epoch);
        }
        ControlType::Unknown(id) => {
            out.field(" controlType: UNKNOWN(", id);
            out.text(")");
        }
        _ => {
            let json = control_json(kind, record.value)?.unwrap_or_default();
            out.text(match kind {
                ControlType::LeaderChange => " LeaderChange: ",
                ControlType::SnapshotHeader => " SnapshotHeader ",
                ControlType::SnapshotFooter => " SnapshotFooter ",
                ControlType::KRaftVersion => " KRaftVersion ",
                _ => " KRaftVoters ",
            });
            out.bytes(&json);
        }
    }
    Ok(())
}
