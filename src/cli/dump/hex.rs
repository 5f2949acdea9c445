//! Batches field by field: offset in the file, bytes, name, meaning.
//!
//! For learning the format and for bug reports. Records that are compressed are shown decompressed, and
//! their offsets count from the start of the decompressed payload, marked with `+`.

use std::io::{self, Write};

use super::paths::Input;
use super::table::{bytes_text, time_text};
use super::walk::{Event, Flow, walk};
use super::{DumpOptions, Report, Severity, Telling, payload_code};
use crate::batch::control::{ControlType, coordinator_epoch};
use crate::batch::scan::Damage;
use crate::batch::view::HEADER_LEN;
use crate::batch::{BatchError, BatchView, Decompressor, Frame, MessageView};
use crate::types::{Codec, Offset};
use crate::wire::{Reader, WireError};

/// Bytes shown on one line; a longer field goes on below.
const LINE_BYTES: usize = 16;
/// Of a long key, value or payload this much is shown.
const FIELD_BYTES_MAX: usize = 256;

pub(super) fn dump(
    options: &DumpOptions,
    inputs: &[Input],
    out: &mut dyn Write,
    telling: &mut Telling<'_>,
) -> io::Result<()> {
    let mut decompressor = Decompressor::with_cap(options.max_batch_bytes);
    let mut left = options.count.unwrap_or(u64::MAX);
    for input in inputs.iter().filter(|input| input.kind.is_some_and(|kind| kind.has_batches())) {
        if telling.is_over(options) {
            break;
        }
        if inputs.len() > 1 {
            writeln!(out, "{}", input.path.display())?;
        }
        walk(options, input, telling, &mut |event, telling| {
            if left == 0 {
                return Ok(Flow::Stop);
            }
            match event {
                Event::Batch { position, frame, wrong, .. } => {
                    if input.select.key.is_some()
                        && !super::rows::holds_selected(&input.select, &frame, &mut decompressor)
                    {
                        return Ok(Flow::On);
                    }
                    left -= 1;
                    let mut view = View { out: &mut *out, at: position, mark: ' ', indent: "" };
                    let ended = view.frame(&frame, wrong.as_ref(), &mut decompressor)?;
                    if let Err(error) = ended {
                        writeln!(view.out, "  !! {error}")?;
                        if wrong.is_none() {
                            let report = Report::new(Severity::Error, error.code, &input.path, error.to_string());
                            telling.damage(report.at(position, frame.base_offset().map(Offset::get)));
                        }
                    }
                    writeln!(out)?;
                }
                Event::Damage(damage) if !damage.framed => unframed(out, &damage)?,
                Event::Damage(_) => {}
                Event::Tail(position, tail) => writeln!(out, " {:08x}  !! {tail:?}", position.get())?,
            }
            Ok(if left == 0 { Flow::Stop } else { Flow::On })
        })?;
    }
    Ok(())
}

fn unframed(out: &mut dyn Write, damage: &Damage) -> io::Result<()> {
    writeln!(out, " {:08x}  !! up to {:08x}: {}\n", damage.position.get(), damage.end.get(), damage.reason)
}

/// Why the records end early.
#[derive(Debug, thiserror::Error)]
#[error("records: {message}")]
struct Ended {
    code: &'static str,
    message: String,
}

impl From<WireError> for Ended {
    fn from(error: WireError) -> Self {
        Ended { code: "bad_record", message: error.to_string() }
    }
}

/// Writes fields one after the other; `at` is where the next one starts.
struct View<'w> {
    out: &'w mut dyn Write,
    at: u64,
    /// `+` for positions in a decompressed payload.
    mark: char,
    indent: &'static str,
}

impl View<'_> {
    /// One field: its bytes, its name, its meaning.
    fn field(&mut self, bytes: &[u8], name: &str, meaning: &str) -> io::Result<()> {
        let shown = bytes.get(..FIELD_BYTES_MAX).unwrap_or(bytes);
        let mut lines = shown.chunks(LINE_BYTES);
        let first = lines.next().unwrap_or_default();
        let hex = |bytes: &[u8]| {
            let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            pairs.join(" ")
        };
        let (at, mark) = (self.at, self.mark);
        writeln!(self.out, "{mark}{at:08x}  {:<47}  {}{name:<20} {meaning}", hex(first), self.indent)?;
        let mut at = self.at + first.len() as u64;
        for line in lines {
            writeln!(self.out, "{mark}{at:08x}  {}", hex(line))?;
            at += line.len() as u64;
        }
        if shown.len() < bytes.len() {
            writeln!(self.out, "{mark}{at:08x}  ... {} bytes more", bytes.len() - shown.len())?;
        }
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn frame(
        &mut self,
        frame: &Frame<'_>,
        wrong: Option<&BatchError>,
        decompressor: &mut Decompressor,
    ) -> io::Result<Result<(), Ended>> {
        match frame {
            Frame::Batch(batch) => self.batch(batch, wrong, decompressor),
            Frame::Message(message) => self.message(message, decompressor),
        }
    }

    fn batch(
        &mut self,
        batch: &BatchView<'_>,
        wrong: Option<&BatchError>,
        decompressor: &mut Decompressor,
    ) -> io::Result<Result<(), Ended>> {
        let title = wrong.map_or_else(String::new, |error| format!("  !! {error}"));
        writeln!(self.out, "batch at {}, {} bytes{title}", self.at, batch.bytes().len())?;
        let header = batch.header();
        let mut taken = 0;
        let mut take = |len: usize| {
            let field = header.get(taken..taken + len).unwrap_or_default();
            taken += len;
            field
        };
        let crc = batch.computed_crc();
        let crc = if crc == batch.stored_crc() {
            format!("{:#010x}, holds", batch.stored_crc())
        } else {
            format!("{:#010x}, computed {crc:#010x}", batch.stored_crc())
        };
        let base_timestamp = match batch.delete_horizon_ms() {
            Some(horizon) => format!("{horizon} {} (delete horizon)", time_text(horizon)),
            None => stamp(batch.base_timestamp_ms()),
        };
        let last = format!("{} (last offset {})", batch.last_offset_delta(), batch.last_offset());
        let fields: [(usize, &str, String); 13] = [
            (8, "base offset", batch.base_offset().to_string()),
            (4, "length", batch.length().to_string()),
            (4, "leader epoch", batch.leader_epoch().to_string()),
            (1, "magic", batch.magic().to_string()),
            (4, "crc", crc),
            (2, "attributes", attributes(batch)),
            (4, "last offset delta", last),
            (8, "base timestamp", base_timestamp),
            (8, "max timestamp", stamp(batch.max_timestamp_ms())),
            (8, "producer id", batch.producer_id().to_string()),
            (2, "producer epoch", batch.producer_epoch().to_string()),
            (4, "base sequence", batch.base_sequence().to_string()),
            (4, "records", batch.record_count().to_string()),
        ];
        for (len, name, meaning) in &fields {
            self.field(take(*len), name, meaning)?;
        }
        debug_assert_eq!(taken, HEADER_LEN, "the fields are the header");
        let payload = match self.payload(batch.codec(), batch.magic(), batch.payload(), decompressor)? {
            Ok(payload) => payload,
            Err(ended) => return Ok(Err(ended)),
        };
        let mut reader = Reader::new(payload);
        for number in 0..u32::try_from(batch.record_count()).unwrap_or(0) {
            if reader.remaining() == 0 {
                let message = format!("payload ends after {number} records");
                return Ok(Err(Ended { code: "bad_record", message }));
            }
            if let Err(ended) = self.record(&mut reader, batch, number)? {
                return Ok(Err(ended));
            }
        }
        if reader.remaining() > 0 {
            self.field(reader.rest(), "left over", "not declared by the number of records")?;
            return Ok(Err(Ended { code: "bad_record", message: format!("{} bytes left over", reader.remaining()) }));
        }
        Ok(Ok(()))
    }

    /// Shows a compressed payload as a block and goes on inside it.
    fn payload<'b>(
        &mut self,
        codec: Result<Codec, BatchError>,
        magic: i8,
        stored: &'b [u8],
        decompressor: &'b mut Decompressor,
    ) -> io::Result<Result<&'b [u8], Ended>> {
        let codec = match codec {
            Ok(Codec::None) => return Ok(Ok(stored)),
            Ok(codec) => codec,
            Err(error) => {
                self.field(stored, "payload", &error.to_string())?;
                return Ok(Err(Ended { code: "unknown_codec", message: error.to_string() }));
            }
        };
        let plain = decompressor.decompress(codec, magic, stored);
        let meaning = match &plain {
            Ok(plain) => format!("{codec}, {} bytes, {} decompressed", stored.len(), plain.len()),
            Err(_) => format!("{codec}, {} bytes", stored.len()),
        };
        self.field(stored, "payload", &meaning)?;
        (self.at, self.mark) = (0, '+');
        Ok(plain.map_err(|error| {
            let error = crate::batch::PayloadError::Compression(error);
            Ended { code: payload_code(&error), message: error.to_string() }
        }))
    }

    fn record(&mut self, reader: &mut Reader<'_>, batch: &BatchView<'_>, number: u32) -> io::Result<Result<(), Ended>> {
        writeln!(self.out, "  record {number}")?;
        self.indent = "  ";
        let shown = self.record_fields(reader, batch);
        self.indent = "";
        match shown {
            Ok(()) => Ok(Ok(())),
            Err(Failed::Out(error)) => Err(error),
            Err(Failed::Record(ended)) => Ok(Err(ended)),
        }
    }

    fn record_fields(&mut self, reader: &mut Reader<'_>, batch: &BatchView<'_>) -> Result<(), Failed> {
        let (len, raw) = taken(reader, Reader::varint)?;
        self.field(raw, "length", &format!("{len}"))?;
        let behind = reader.remaining();
        let (attributes, raw) = taken(reader, Reader::i8)?;
        self.field(raw, "attributes", &format!("{attributes}"))?;
        let (delta, raw) = taken(reader, Reader::varlong)?;
        let base = batch.record_context();
        let stamped = base.log_append_ms.unwrap_or(base.base_timestamp_ms.wrapping_add(delta));
        self.field(raw, "timestamp delta", &format!("{delta} ({})", time_text(stamped)))?;
        let (delta, raw) = taken(reader, Reader::varint)?;
        let offset = base.base_offset.plus(i64::from(delta));
        self.field(raw, "offset delta", &format!("{delta} (offset {offset})"))?;
        let key = self.sized(reader, "key")?;
        let value = self.sized(reader, "value")?;
        if batch.is_control() {
            let kind = key.and_then(ControlType::of_key);
            let epoch =
                value.and_then(coordinator_epoch).filter(|_| kind.is_some_and(ControlType::is_transaction_marker));
            let name = kind.map_or("unreadable", ControlType::kafka_name);
            let epoch = epoch.map_or_else(String::new, |epoch| format!(", coordinator epoch {epoch}"));
            writeln!(self.out, "{:>58}  -> {name}{epoch}", "")?;
        }
        let (count, raw) = taken(reader, Reader::varint)?;
        self.field(raw, "headers", &format!("{count}"))?;
        for _ in 0..count.max(0) {
            self.sized(reader, "header key")?;
            self.sized(reader, "header value")?;
        }
        let read = behind - reader.remaining();
        if usize::try_from(len) != Ok(read) {
            let message = format!("a record declares {len} bytes, its fields take {read}");
            return Err(Failed::Record(Ended { code: "bad_record", message }));
        }
        Ok(())
    }

    /// A varint length and what it measures.
    fn sized<'a>(&mut self, reader: &mut Reader<'a>, name: &str) -> Result<Option<&'a [u8]>, Failed> {
        let (len, raw) = taken(reader, Reader::varint)?;
        self.field(raw, &format!("{name} length"), &if len < 0 { format!("{len} (null)") } else { len.to_string() })?;
        let Ok(len) = usize::try_from(len) else { return Ok(None) };
        let bytes = reader.bytes(len)?;
        if len > 0 {
            let shown = bytes.get(..FIELD_BYTES_MAX).unwrap_or(bytes);
            self.field(bytes, name, &bytes_text(Some(shown)))?;
        }
        Ok(Some(bytes))
    }

    fn message(&mut self, message: &MessageView<'_>, decompressor: &mut Decompressor) -> io::Result<Result<(), Ended>> {
        writeln!(self.out, "message at {}, {} bytes", self.at, message.bytes().len())?;
        self.message_fields(message.bytes(), message)?;
        match message.codec() {
            Ok(Codec::None) => Ok(Ok(())),
            codec => {
                let stored = message.value().unwrap_or_default();
                // The block itself was shown as the value.
                let plain = match codec {
                    Ok(codec) => decompressor.decompress(codec, message.magic(), stored).map_err(|error| {
                        let error = crate::batch::PayloadError::Compression(error);
                        Ended { code: payload_code(&error), message: error.to_string() }
                    }),
                    Err(error) => Err(Ended { code: "unknown_codec", message: error.to_string() }),
                };
                let mut rest = match plain {
                    Ok(plain) => plain,
                    Err(ended) => return Ok(Err(ended)),
                };
                (self.at, self.mark) = (0, '+');
                self.indent = "  ";
                let mut number = 0;
                while !rest.is_empty() {
                    let inner = match Frame::parse(rest) {
                        Ok(Frame::Message(inner)) => inner,
                        Ok(Frame::Batch(_)) => {
                            let message = "a batch inside a wrapper".to_owned();
                            return Ok(Err(Ended { code: "bad_message", message }));
                        }
                        Err(error) => return Ok(Err(Ended { code: "bad_message", message: error.to_string() })),
                    };
                    writeln!(self.out, "  inner message {number}")?;
                    self.message_fields(inner.bytes(), &inner)?;
                    rest = rest.get(inner.bytes().len()..).unwrap_or_default();
                    number += 1;
                }
                Ok(Ok(()))
            }
        }
    }

    fn message_fields(&mut self, bytes: &[u8], message: &MessageView<'_>) -> io::Result<()> {
        let mut rest = bytes;
        let mut take = |len: usize| {
            let (field, behind) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            rest = behind;
            field
        };
        let computed = message.computed_crc();
        let crc = if computed == message.stored_crc() {
            format!("{computed:#010x}, holds")
        } else {
            format!("{:#010x}, computed {computed:#010x}", message.stored_crc())
        };
        let length = bytes.len() - crate::batch::ENTRY_OVERHEAD;
        let codec = super::json::codec_text(message.codec());
        self.field(take(8), "offset", &message.offset().to_string())?;
        self.field(take(4), "length", &length.to_string())?;
        self.field(take(4), "crc", &crc)?;
        self.field(take(1), "magic", &message.magic().to_string())?;
        self.field(take(1), "attributes", &format!("{codec}, {}", message.timestamp_type().kafka_name()))?;
        if message.magic() != 0 {
            self.field(take(8), "timestamp", &stamp(message.timestamp_ms()))?;
        }
        for (name, part) in [("key", message.key()), ("value", message.value())] {
            let len = part.map_or_else(|| "null".to_owned(), |part| part.len().to_string());
            self.field(take(4), &format!("{name} length"), &len)?;
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                let shown = part.get(..FIELD_BYTES_MAX).unwrap_or(part);
                self.field(take(part.len()), name, &bytes_text(Some(shown)))?;
            }
        }
        Ok(())
    }
}

enum Failed {
    Out(io::Error),
    Record(Ended),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Out(error)
    }
}

impl From<WireError> for Failed {
    fn from(error: WireError) -> Self {
        Failed::Record(error.into())
    }
}

/// A value and the bytes it was read from.
fn taken<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, WireError>,
) -> Result<(T, &'a [u8]), WireError> {
    let before = reader.rest();
    let value = read(reader)?;
    let len = before.len() - reader.remaining();
    Ok((value, before.get(..len).unwrap_or_default()))
}

fn stamp(ms: i64) -> String {
    format!("{ms} ({})", time_text(ms))
}

fn attributes(batch: &BatchView<'_>) -> String {
    let mut words = vec![super::json::codec_text(batch.codec()).into_owned()];
    words.push(batch.timestamp_type().kafka_name().to_owned());
    if batch.is_transactional() {
        words.push("transactional".to_owned());
    }
    if batch.is_control() {
        words.push("control".to_owned());
    }
    if batch.delete_horizon_ms().is_some() {
        words.push("delete horizon".to_owned());
    }
    words.join(", ")
}
