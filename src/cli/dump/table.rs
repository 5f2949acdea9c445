//! Columns for people. Rows stream: widths are those of the head, a longer value shifts its row.

use std::io::{self, Write};

use super::paths::{FileKind, Input};
use super::rows::{BatchRow, DamageRow, Entry, Field, RecordRow, Rows, drive};
use super::{DumpOptions, Level, Telling};
use crate::batch::control::{ControlType, coordinator_epoch};
use crate::batch::scan::{Doubt, Tail};
use crate::batch::{BatchError, Frame};
use crate::cli::size::SizeStyle;
use crate::cli::table::printable;
use crate::types::{Position, TimestampMs};

pub(super) fn dump(
    options: &DumpOptions,
    inputs: &[Input],
    out: &mut dyn Write,
    telling: &mut Telling<'_>,
) -> io::Result<()> {
    let mut rows = Table {
        sink: out,
        buffer: Vec::new(),
        head: !options.no_header,
        level: options.level,
        exact_bytes: options.exact_bytes,
        names_files: inputs.len() > 1,
        headed: "",
    };
    drive(options, inputs, &mut rows, telling)
}

struct Table<'w> {
    sink: &'w mut dyn Write,
    buffer: Vec<u8>,
    head: bool,
    level: Level,
    exact_bytes: bool,
    names_files: bool,
    /// What kind of rows the last head was for.
    headed: &'static str,
}

/// A column: name, width, and whether it is aligned to the right.
type Column = (&'static str, usize, bool);

const BATCHES: &[Column] = &[
    ("BASE_OFFSET", 11, true),
    ("LAST_OFFSET", 11, true),
    ("COUNT", 5, true),
    ("POSITION", 8, true),
    ("SIZE", 8, true),
    ("CODEC", 5, false),
    ("CREATE_TIME", 24, false),
    ("PID", 3, true),
    ("EPOCH", 5, true),
    ("FLAGS", 5, false),
    ("CRC", 0, false),
];

const RECORDS: &[Column] = &[
    ("OFFSET", 10, true),
    ("CREATE_TIME", 24, false),
    ("SEQ", 3, true),
    ("KEY", 12, false),
    ("VALUE", 20, false),
    ("HEADERS", 0, false),
];

fn push_row(out: &mut Vec<u8>, columns: &[Column], cells: &[String]) {
    for (at, (cell, (_, width, right))) in cells.iter().zip(columns).enumerate() {
        let cell = printable(cell.as_bytes());
        let cell = String::from_utf8_lossy(&cell);
        if at > 0 {
            out.extend_from_slice(b"  ");
        }
        let pad = width.saturating_sub(cell.chars().count());
        let is_last = at + 1 == cells.len();
        if *right {
            out.resize(out.len() + pad, b' ');
        }
        out.extend_from_slice(cell.as_bytes());
        if !*right && !is_last {
            out.resize(out.len() + pad, b' ');
        }
    }
    out.push(b'\n');
}

impl Table<'_> {
    fn row(&mut self, kind: &'static str, columns: &[Column], cells: &[String]) -> io::Result<()> {
        if self.headed != kind {
            self.headed = kind;
            if self.head {
                let names: Vec<String> = columns.iter().map(|(name, ..)| (*name).to_owned()).collect();
                push_row(&mut self.buffer, columns, &names);
            }
        }
        push_row(&mut self.buffer, columns, cells);
        self.relieve()
    }

    fn relieve(&mut self) -> io::Result<()> {
        if self.buffer.len() >= 64 << 10 { self.finish() } else { Ok(()) }
    }
}

/// `2025-10-09T08:53:20.148Z`, or the number where the calendar has no day for it; `-` for none.
pub(super) fn time_text(ms: TimestampMs) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        _ if ms == crate::types::NO_TIMESTAMP => "-".to_owned(),
        Ok(time) => format!("{time:.3}"),
        Err(_) => ms.to_string(),
    }
}

/// `16.1 KiB`, or the exact number of bytes.
pub(super) fn size_text(bytes: u64, exact: bool) -> String {
    let style = if exact { SizeStyle::Exact } else { SizeStyle::Human };
    style.text(bytes)
}

/// Bytes on one line: what does not print is escaped.
pub(super) fn bytes_text(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "<null>".to_owned() };
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\\' => out.push_str("\\\\"),
                c if c.is_control() => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

fn flags(frame: &Frame<'_>) -> String {
    let horizon = matches!(frame, Frame::Batch(batch) if batch.delete_horizon_ms().is_some());
    let appended = frame.timestamp_type() == crate::types::TimestampType::LogAppend;
    let all = [(frame.is_transactional(), 'T'), (frame.is_control(), 'C'), (horizon, 'H'), (appended, 'A')];
    let set: String = all.iter().filter(|(is_set, _)| *is_set).map(|(_, letter)| *letter).collect();
    if set.is_empty() { "-".to_owned() } else { set }
}

impl Rows for Table<'_> {
    fn file(&mut self, input: &Input) -> io::Result<()> {
        if self.names_files {
            let blank = if self.headed.is_empty() && self.buffer.is_empty() { "" } else { "\n" };
            self.headed = "file";
            if self.head {
                writeln!(self.buffer, "{blank}{}", input.path.display())?;
            }
        }
        if input.kind.is_some_and(FileKind::has_batches) && self.head && self.headed.is_empty() {
            // An empty log still shows what its columns are.
            let (kind, columns) = match self.level {
                Level::Batches => ("batch", BATCHES),
                Level::Records => ("record", RECORDS),
            };
            let names: Vec<String> = columns.iter().map(|(name, ..)| (*name).to_owned()).collect();
            push_row(&mut self.buffer, columns, &names);
            self.headed = kind;
        }
        Ok(())
    }

    fn batch(&mut self, row: &BatchRow<'_>) -> io::Result<()> {
        let frame = &row.frame;
        let (count, epoch, pid) = match frame {
            Frame::Batch(batch) => {
                (batch.record_count().to_string(), batch.leader_epoch().to_string(), batch.producer_id().to_string())
            }
            Frame::Message(_) => ("-".to_owned(), "-".to_owned(), "-".to_owned()),
        };
        let verdict = match row.wrong {
            None => "ok",
            Some(BatchError::CrcMismatch { .. }) => "bad",
            Some(BatchError::UnknownMagic(_)) => "magic?",
            Some(_) => "damaged",
        };
        let cells = [
            frame.base_offset().map_or_else(|| "-".to_owned(), |base| base.to_string()),
            frame.last_offset().to_string(),
            count,
            row.position.to_string(),
            size_text(frame.size_bytes(), self.exact_bytes),
            super::json::codec_text(frame.codec()).into_owned(),
            time_text(frame.max_timestamp_ms()),
            pid,
            epoch,
            flags(frame),
            format!("{:08x} {verdict}", frame.stored_crc()),
        ];
        self.row("batch", BATCHES, &cells)
    }

    fn record(&mut self, row: &RecordRow<'_>) -> io::Result<()> {
        let record = &row.record;
        let headers: Vec<String> = record
            .headers
            .iter()
            .map(|(key, value)| format!("{}={}", bytes_text(Some(key)), bytes_text(value)))
            .collect();
        let (key, value) = match record.key.and_then(ControlType::of_key) {
            Some(kind) if row.frame.is_control() => {
                let epoch = kind.is_transaction_marker().then(|| record.value.and_then(coordinator_epoch)).flatten();
                (
                    kind.kafka_name().to_owned(),
                    epoch.map_or_else(|| "-".to_owned(), |epoch| format!("coordinator epoch {epoch}")),
                )
            }
            _ => match row.decoder {
                Some(decoder) => decoder.cells(record.key, record.value),
                None => (bytes_text(record.key), bytes_text(record.value)),
            },
        };
        let cells = [
            record.offset.to_string(),
            time_text(record.timestamp_ms),
            record.sequence.to_string(),
            key,
            value,
            headers.join(","),
        ];
        let used = if record.headers.is_empty() { &cells[..5] } else { &cells[..] };
        self.row("record", RECORDS, used)
    }

    // What is wrong stands on stderr, with its position; rows are data.
    fn damage(&mut self, _row: &DamageRow) -> io::Result<()> {
        Ok(())
    }

    fn doubt(&mut self, _position: u64, _doubt: &Doubt) -> io::Result<()> {
        Ok(())
    }

    fn tail(&mut self, _position: Position, _tail: Tail) -> io::Result<()> {
        Ok(())
    }

    fn entry(&mut self, (name, fields): Entry<'_>) -> io::Result<()> {
        let names: Vec<String> = fields.iter().map(|(name, _)| name.to_ascii_uppercase()).collect();
        let cells: Vec<String> = fields
            .iter()
            .map(|(name, field)| match field {
                Field::Int(value) if name.ends_with("_ms") => time_text(*value),
                Field::Int(value) => value.to_string(),
                Field::Text(text) => text.clone(),
                Field::Null => "-".to_owned(),
            })
            .collect();
        let columns: Vec<Column> = fields
            .iter()
            .map(|(name, field)| match field {
                Field::Int(_) if name.ends_with("_ms") => ("", 24, false),
                Field::Int(_) | Field::Null => ("", name.len().max(8), true),
                Field::Text(_) => ("", name.len().max(22), false),
            })
            .collect();
        if self.headed != name {
            self.headed = name;
            if self.head {
                push_row(&mut self.buffer, &columns, &names);
            }
        }
        push_row(&mut self.buffer, &columns, &cells);
        self.relieve()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.sink.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_a_tenth() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (16_472, "16.1 KiB"),
            (1_048_575, "1.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(size_text(bytes, false), expected, "{bytes}");
        }
        assert_eq!(size_text(16_472, true), "16472");
    }

    #[test]
    fn times_and_bytes_are_readable() {
        assert_eq!(time_text(1_760_000_000_148), "2025-10-09T08:53:20.148Z");
        assert_eq!((time_text(-1), time_text(i64::MAX)), ("-".to_owned(), i64::MAX.to_string()));
        assert_eq!(bytes_text(Some(b"a\n\xff\xc3\xa9\x07")), "a\\n\\xff\u{e9}\\u{7}");
        assert_eq!(bytes_text(None), "<null>");
    }
}
