//! One JSON object a line.
//!
//! Every row has `type` first; keys are only ever added. Numbers that a file stores as -1 stay -1; what
//! a format does not have is `null`. Bytes are `key` or `value` where they are UTF-8 (or `null`), else
//! `key_base64`, `value_base64`.
//!
//! | type | keys |
//! |---|---|
//! | `file` | `path kind`: rows of this file follow. Only when more than one file is dumped |
//! | `batch` | `base_offset last_offset count position size_bytes magic codec timestamp_type base_timestamp_ms max_timestamp_ms producer_id producer_epoch base_sequence leader_epoch transactional control delete_horizon_ms crc crc_valid` |
//! | `record` | `offset batch_position timestamp_ms timestamp_type leader_epoch producer_id producer_epoch sequence control headers key value`, and for control records `control_type` and, in markers, `coordinator_epoch`; with a decoder `decoded`: `type key version value` as fields |
//! | `damage` | `position end_position code message expected_offset next_offset`: bytes that hold no sound batch, or a batch whose records cannot be read |
//! | `doubt` | `position code message`: the batch in the next row is sound, but its place in the log is not |
//! | `tail` | `position code bytes`: the log ends inside a batch (`torn_tail`) or in zeros (`zero_tail`) |
//! | `index_entry` | `offset position` |
//! | `time_index_entry` | `timestamp_ms offset` |
//! | `aborted_transaction` | `version producer_id first_offset last_offset last_stable_offset` |
//! | `producer` | `producer_id producer_epoch last_sequence last_offset offset_delta timestamp_ms coordinator_epoch current_txn_first_offset` |
//! | `checkpoint` | `topic partition offset` |
//! | `leader_epoch` | `epoch start_offset` |
//! | `partition_metadata` | `version topic_id` |
//! | `quorum_state` | `data_version leader_id leader_epoch voted_id` |
//! | `meta_properties` | `version cluster_id node_id directory_id` |
//! | `summary` | see the summary: one of each file, each directory and the whole |
//!
//! A message (magic 0, 1) has no count, producer, epoch or flags: `null`; a compressed wrapper keeps only
//! its last offset, so its `base_offset` is `null` too. With a delete horizon, `base_timestamp_ms` is
//! what the file has in that place: the horizon.

use std::io::{self, Write};

use super::paths::Input;
use super::rows::{BatchRow, DamageRow, Entry, Field, RecordRow, Rows, drive};
use super::{DumpOptions, Telling};
use crate::batch::control::{ControlType, coordinator_epoch};
use crate::batch::scan::{Doubt, Tail};
use crate::batch::{BatchError, Frame};
use crate::json_text;
use crate::types::{Codec, Position};

pub(super) fn dump(
    options: &DumpOptions,
    inputs: &[Input],
    out: &mut dyn Write,
    telling: &mut Telling<'_>,
) -> io::Result<()> {
    let mut rows = Json { sink: out, line: Line::default(), names_files: inputs.len() > 1 };
    drive(options, inputs, &mut rows, telling)
}

struct Json<'w> {
    sink: &'w mut dyn Write,
    line: Line,
    names_files: bool,
}

/// Objects under construction.
#[derive(Default)]
pub(super) struct Line {
    buffer: Vec<u8>,
}

const FLUSH_BYTES: usize = 256 << 10;

impl Line {
    pub(super) fn open(&mut self, kind: &str) -> &mut Self {
        self.raw("{\"type\":\"");
        self.raw(kind);
        self.raw("\"");
        self
    }

    #[inline(always)]
    fn raw(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
    }

    #[inline(always)]
    fn key(&mut self, name: &str) {
        self.raw(",\"");
        self.raw(name);
        self.raw("\":");
    }

    #[inline]
    pub(super) fn int(&mut self, name: &str, value: impl itoa::Integer) -> &mut Self {
        self.key(name);
        self.buffer.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self
    }

    pub(super) fn optional(&mut self, name: &str, value: Option<impl itoa::Integer>) -> &mut Self {
        match value {
            Some(value) => self.int(name, value),
            None => self.null(name),
        }
    }

    pub(super) fn null(&mut self, name: &str) -> &mut Self {
        self.key(name);
        self.raw("null");
        self
    }

    pub(super) fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.key(name);
        self.raw(if value { "true" } else { "false" });
        self
    }

    pub(super) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.key(name);
        json_text::write(value.as_bytes(), &mut self.buffer);
        self
    }

    /// Bytes: text where they are, base64 under another name where not.
    fn bytes(&mut self, name: &str, value: Option<&[u8]>) -> &mut Self {
        let Some(value) = value else { return self.null(name) };
        match std::str::from_utf8(value) {
            Ok(text) => self.text(name, text),
            Err(_) => {
                self.raw(",\"");
                self.raw(name);
                self.raw("_base64\":\"");
                let at = self.buffer.len();
                self.buffer.resize(at + data_encoding::BASE64.encode_len(value.len()), 0);
                data_encoding::BASE64.encode_mut(value, self.buffer.get_mut(at..).unwrap_or_default());
                self.raw("\"");
                self
            }
        }
    }

    /// An array of objects.
    pub(super) fn array<T>(&mut self, name: &str, items: impl Iterator<Item = T>, fields: impl Fn(&mut Line, T)) {
        self.key(name);
        self.raw("[");
        for (at, item) in items.enumerate() {
            self.raw(if at > 0 { ",{" } else { "{" });
            let from = self.buffer.len();
            fields(self, item);
            // Every key is written with a comma before it; an object's first has none.
            if self.buffer.get(from) == Some(&b',') {
                self.buffer.remove(from);
            }
            self.raw("}");
        }
        self.raw("]");
    }

    pub(super) fn close(&mut self, sink: &mut dyn Write) -> io::Result<()> {
        self.raw("}\n");
        if self.buffer.len() >= FLUSH_BYTES { self.flush(sink) } else { Ok(()) }
    }

    pub(super) fn flush(&mut self, sink: &mut dyn Write) -> io::Result<()> {
        sink.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

pub(super) fn codec_text(codec: Result<Codec, BatchError>) -> std::borrow::Cow<'static, str> {
    match codec {
        Ok(codec) => codec.name().into(),
        Err(BatchError::UnknownCodec(id)) => format!("unknown({id})").into(),
        Err(_) => "unknown".into(),
    }
}

impl Json<'_> {
    fn close(&mut self) -> io::Result<()> {
        self.line.close(self.sink)
    }
}

impl Rows for Json<'_> {
    fn file(&mut self, input: &Input) -> io::Result<()> {
        if !self.names_files {
            return Ok(());
        }
        self.line.open("file").text("path", &input.path.to_string_lossy());
        self.line.text("kind", input.kind.map_or("unknown", super::FileKind::name));
        self.close()
    }

    fn batch(&mut self, row: &BatchRow<'_>) -> io::Result<()> {
        let frame = &row.frame;
        let batch = match frame {
            Frame::Batch(batch) => Some(batch),
            Frame::Message(_) => None,
        };
        let has_timestamp = frame.timestamp_type().json_name().is_some();
        let line = self.line.open("batch");
        line.optional("base_offset", frame.base_offset().map(|offset| offset.get()));
        line.int("last_offset", frame.last_offset().get());
        line.optional("count", batch.map(|batch| batch.record_count()));
        line.int("position", row.position).int("size_bytes", frame.size_bytes()).int("magic", frame.magic());
        line.text("codec", &codec_text(frame.codec()));
        match frame.timestamp_type().json_name() {
            Some(name) => line.text("timestamp_type", name),
            None => line.null("timestamp_type"),
        };
        line.optional("base_timestamp_ms", batch.map(|batch| batch.base_timestamp_ms()));
        line.optional("max_timestamp_ms", has_timestamp.then(|| frame.max_timestamp_ms()));
        line.optional("producer_id", batch.map(|batch| batch.producer_id().0));
        line.optional("producer_epoch", batch.map(|batch| batch.producer_epoch()));
        line.optional("base_sequence", batch.map(|batch| batch.base_sequence()));
        line.optional("leader_epoch", batch.map(|batch| batch.leader_epoch().0));
        line.flag("transactional", frame.is_transactional()).flag("control", frame.is_control());
        line.optional("delete_horizon_ms", batch.and_then(|batch| batch.delete_horizon_ms()));
        line.int("crc", frame.stored_crc());
        let crc_valid = match row.wrong {
            None => true,
            Some(BatchError::CrcMismatch { .. }) => false,
            Some(_) => frame.verify_crc().is_ok(),
        };
        line.flag("crc_valid", crc_valid);
        self.close()
    }

    fn record(&mut self, row: &RecordRow<'_>) -> io::Result<()> {
        let (frame, record) = (row.frame, &row.record);
        let is_batch = matches!(frame, Frame::Batch(_));
        let line = self.line.open("record");
        line.int("offset", record.offset.get()).int("batch_position", row.position);
        let name = record.timestamp_type.json_name();
        line.optional("timestamp_ms", name.map(|_| record.timestamp_ms));
        match name {
            Some(name) => line.text("timestamp_type", name),
            None => line.null("timestamp_type"),
        };
        line.optional("leader_epoch", is_batch.then(|| frame.leader_epoch().0));
        line.optional("producer_id", is_batch.then(|| frame.producer_id().0));
        line.optional("producer_epoch", is_batch.then(|| frame.producer_epoch()));
        line.optional("sequence", is_batch.then_some(record.sequence));
        line.flag("control", frame.is_control());
        line.array("headers", record.headers.iter(), |line, (key, value)| {
            line.bytes("key", Some(key)).bytes("value", value);
        });
        line.bytes("key", record.key).bytes("value", record.value);
        if frame.is_control() {
            let kind = record.key.and_then(ControlType::of_key);
            match kind {
                Some(kind) => line.text("control_type", &kind.kafka_name().to_ascii_lowercase()),
                None => line.null("control_type"),
            };
            if kind.is_some_and(ControlType::is_transaction_marker) {
                line.optional("coordinator_epoch", record.value.and_then(coordinator_epoch));
            }
        }
        if let Some(decoder) = row.decoder {
            line.key("decoded");
            decoder.json(record.key, record.value, &mut line.buffer);
        }
        self.close()
    }

    fn damage(&mut self, row: &DamageRow) -> io::Result<()> {
        let line = self.line.open("damage").int("position", row.position).int("end_position", row.end_position);
        line.text("code", row.code).text("message", &row.message);
        line.optional("expected_offset", row.expected_offset).optional("next_offset", row.next_offset);
        self.close()
    }

    fn doubt(&mut self, position: u64, doubt: &Doubt) -> io::Result<()> {
        let line = self.line.open("doubt").int("position", position);
        line.text("code", super::walk::doubt_code(doubt)).text("message", &doubt.to_string());
        self.close()
    }

    fn tail(&mut self, position: Position, tail: Tail) -> io::Result<()> {
        let (code, bytes) = match tail {
            Tail::Clean => return Ok(()),
            Tail::Torn { bytes, .. } => ("torn_tail", bytes),
            Tail::Zeros { bytes } => ("zero_tail", bytes),
        };
        self.line.open("tail").int("position", position.get()).text("code", code).int("bytes", bytes);
        self.close()
    }

    fn entry(&mut self, (name, fields): Entry<'_>) -> io::Result<()> {
        let line = self.line.open(name);
        for (name, field) in fields {
            match field {
                Field::Int(value) => line.int(name, *value),
                Field::Text(text) => line.text(name, text),
                Field::Null => line.null(name),
            };
        }
        self.close()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.line.flush(self.sink)
    }
}
