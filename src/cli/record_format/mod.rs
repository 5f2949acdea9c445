//! Records as bytes on stdout: raw values, format strings, console-consumer's columns, JSON lines, TSV.
//!
//! A [`Formatter`] is made once from the options, told of each batch with [`Formatter::begin_batch`],
//! and then appends one record at a time to a buffer that the caller owns and flushes. Nothing is
//! allocated per record, and bytes are never replaced: what is not UTF-8 leaves as it came, or as base64
//! where the format is JSON.

mod json;
mod text;

pub use self::text::{Console, ConsoleError, FormatError, TextFormat, unescape};
pub(in crate::cli) use self::text::{Number, NumberStyle, Piece, Text, TextStyle, tokens};

use crate::batch::control::ControlType;
use crate::batch::record::RecordRef;
use crate::cli::decode::{Decode, Decoder};
use crate::cli::table::{Column, Listing, ListingStyle, TimeText};
use crate::types::{Codec, LeaderEpoch, ProducerId, TimestampType};

/// What all records of a batch have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchContext<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Partition number.
    pub partition: i32,
    /// Leader epoch that wrote the batch.
    pub leader_epoch: LeaderEpoch,
    /// Producer, where idempotent.
    pub producer_id: ProducerId,
    /// The producer's epoch; -1 for none.
    pub producer_epoch: i16,
    /// How the batch is compressed.
    pub codec: Codec,
    /// Which clock its timestamps come from.
    pub timestamp_type: TimestampType,
    /// Part of a transaction.
    pub transactional: bool,
    /// A commit or abort marker, or another control record.
    pub control: bool,
}

/// One record with its batch: all that can be printed of it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its batch.
    pub batch: &'a BatchContext<'a>,
    /// The record.
    pub record: &'a RecordRef<'a>,
}

/// The shape records are printed in.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordFormat {
    /// Raw values, `-f`, console-consumer: a compiled list of pieces.
    Text(TextFormat),
    /// This tool's lossless JSON lines; `meta_only` gives the value's size instead of the value.
    Json {
        /// No values.
        meta_only: bool,
    },
    /// kcat's `-J`.
    KcatJson,
    /// One row per record, aligned or tab-separated.
    Listing(ListingStyle),
    /// One line per record as the formatters of console-consumer print those of internal topics; of other topics the
    /// raw value.
    Decoded,
}

const COLUMNS: &[Column] = &[
    Column::left("TOPIC", 10),
    Column::right("PARTITION", 9),
    Column::right("OFFSET", 10),
    Column::left("TIMESTAMP", 24),
    Column::left("KEY", 16),
    Column::left("VALUE", 5),
];

/// Writes records in one format.
#[derive(Clone, Debug)]
pub struct Formatter {
    format: RecordFormat,
    json: json::Parts,
    listing: Listing,
    time: TimeText,
    written: u64,
    decode: Option<Decode>,
    /// For the records of the batch last begun.
    decoder: Option<Decoder>,
}

impl Formatter {
    /// Prints in `format`, with times in the zone of `time`.
    pub fn new(format: RecordFormat, time: TimeText) -> Formatter {
        let style = match format {
            RecordFormat::Listing(style) => style,
            _ => ListingStyle::Tsv,
        };
        let (json, listing) = (json::Parts::default(), Listing::new(COLUMNS, style));
        Formatter { format, json, listing, time, written: 0, decode: None, decoder: None }
    }

    /// Prints what the records of internal topics say: in JSON as `decoded`, in other formats Kafka's JSON form in
    /// place of key and value.
    pub fn decoding(self, decode: Option<Decode>) -> Formatter {
        Formatter { decode, ..self }
    }

    /// Whether a row depends on how many were written before it.
    pub fn is_numbered(&self) -> bool {
        matches!(&self.format, RecordFormat::Text(text) if text.is_numbered())
    }

    /// Records written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Appends the head, in the formats that have one.
    pub fn header(&mut self, out: &mut Vec<u8>) {
        if let RecordFormat::Listing(_) = self.format {
            self.listing.header(out);
        }
    }

    /// Prepares what does not change within the batch. Call it before the first record of each batch,
    /// and again when records of several partitions alternate; it is cheap when nothing changed.
    pub fn begin_batch(&mut self, batch: &BatchContext<'_>) {
        self.decoder = self.decode.filter(|_| !batch.control).and_then(|decode| decode.of_topic(batch.topic));
        match self.format {
            RecordFormat::Json { .. } => self.json.begin_lossless(batch),
            RecordFormat::KcatJson => self.json.begin_kcat(batch),
            _ => {}
        }
    }

    /// Appends one record of the batch last begun, its line end included.
    #[inline]
    pub fn write(&mut self, row: Row<'_>, out: &mut Vec<u8>) {
        self.written += 1;
        match self.decoder {
            Some(decoder) => self.write_decoded(decoder, row, out),
            None => self.write_as_is(row, out),
        }
    }

    #[cold]
    fn write_decoded(&mut self, decoder: Decoder, row: Row<'_>, out: &mut Vec<u8>) {
        let record = row.record;
        match self.format {
            RecordFormat::Decoded => decoder.console_line(record.key, record.value, out),
            RecordFormat::Json { .. } => {
                self.write_as_is(row, out);
                // Before the `}` and the line end.
                out.truncate(out.len() - 2);
                out.extend_from_slice(b",\"decoded\":");
                decoder.json(record.key, record.value, out);
                out.extend_from_slice(b"}\n");
            }
            RecordFormat::Text(_) | RecordFormat::KcatJson | RecordFormat::Listing(_) => {
                let (key, value) = decoder.cells(record.key, record.value);
                let decoded = RecordRef { key: Some(key.as_bytes()), value: Some(value.as_bytes()), ..*record };
                self.write_as_is(Row { batch: row.batch, record: &decoded }, out);
            }
        }
    }

    #[inline]
    fn write_as_is(&mut self, row: Row<'_>, out: &mut Vec<u8>) {
        match &mut self.format {
            RecordFormat::Decoded => {
                out.extend_from_slice(row.record.value.unwrap_or_default());
                out.push(b'\n');
            }
            RecordFormat::Text(text) => text.write(row, self.written, &mut self.time, out),
            RecordFormat::Json { meta_only } => self.json.lossless(row, *meta_only, out),
            RecordFormat::KcatJson => self.json.kcat(row.record, out),
            RecordFormat::Listing(_) => {
                let (listing, record) = (&mut self.listing, row.record);
                listing.text(row.batch.topic.as_bytes(), out);
                listing.number(row.batch.partition, out);
                listing.number(record.offset.get(), out);
                listing.with(out, |cell| self.time.write(record.timestamp_ms, cell));
                for bytes in [record.key, record.value] {
                    listing.text(bytes.unwrap_or(b"null"), out);
                }
                listing.end_row(out);
            }
        }
    }
}

/// What a control record's key says it is (`ControlRecordType`): two 16-bit numbers, version and type.
fn control_name(key: Option<&[u8]>) -> &'static str {
    key.and_then(ControlType::of_key).map_or("unknown", ControlType::json_name)
}

#[cfg(test)]
pub(crate) mod test_records {
    //! Records made from fields, through their stored form.

    use super::*;
    use crate::batch::record::{RecordContext, Records};
    use crate::types::Offset;

    pub(crate) const CONTEXT: BatchContext<'static> = BatchContext {
        topic: "orders",
        partition: 0,
        leader_epoch: LeaderEpoch(0),
        producer_id: ProducerId::NONE,
        producer_epoch: -1,
        codec: Codec::None,
        timestamp_type: TimestampType::Create,
        transactional: false,
        control: false,
    };

    /// A header's key and value.
    pub(crate) type Header<'a> = (&'a [u8], Option<&'a [u8]>);

    /// The stored bytes of one record.
    pub(crate) struct Stored {
        payload: Vec<u8>,
        offset: i64,
        timestamp_ms: i64,
    }

    impl Stored {
        pub(crate) fn record(&self) -> RecordRef<'_> {
            let context = RecordContext {
                base_offset: Offset::new(self.offset),
                base_timestamp_ms: self.timestamp_ms,
                log_append_ms: None,
                base_sequence: -1,
                count: 1,
            };
            Records::new(context, &self.payload).next().unwrap().unwrap()
        }
    }

    fn varint(value: i32, out: &mut Vec<u8>) {
        let mut raw = ((value << 1) ^ (value >> 31)).cast_unsigned();
        while raw >= 0x80 {
            out.push(u8::try_from(raw & 0x7f).unwrap() | 0x80);
            raw >>= 7;
        }
        out.push(u8::try_from(raw).unwrap());
    }

    fn bytes(value: Option<&[u8]>, out: &mut Vec<u8>) {
        match value {
            None => varint(-1, out),
            Some(value) => {
                varint(i32::try_from(value.len()).unwrap(), out);
                out.extend_from_slice(value);
            }
        }
    }

    pub(crate) fn record(
        offset: i64,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Stored {
        let mut body = vec![0, 0, 0];
        bytes(key, &mut body);
        bytes(value, &mut body);
        varint(i32::try_from(headers.len()).unwrap(), &mut body);
        for (key, value) in headers {
            bytes(Some(key), &mut body);
            bytes(*value, &mut body);
        }
        let mut payload = Vec::new();
        varint(i32::try_from(body.len()).unwrap(), &mut payload);
        payload.extend_from_slice(&body);
        Stored { payload, offset, timestamp_ms }
    }

    /// What `format` prints of `stored` in `context`.
    pub(crate) fn printed(format: RecordFormat, context: &BatchContext<'_>, stored: &Stored) -> Vec<u8> {
        let mut formatter = Formatter::new(format, TimeText::utc());
        let mut out = Vec::new();
        formatter.begin_batch(context);
        formatter.write(Row { batch: context, record: &stored.record() }, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::test_records::{CONTEXT, printed, record};
    use super::*;

    #[test]
    fn listings_have_one_row_per_record() {
        let stored = record(41, 1_760_000_000_041, Some(b"k\t1"), None, &[]);
        let tsv = printed(RecordFormat::Listing(ListingStyle::Tsv), &CONTEXT, &stored);
        assert_eq!(String::from_utf8(tsv).unwrap(), "orders\t0\t41\t2025-10-09T08:53:20.041Z\tk\\t1\tnull\n");
        let table = printed(RecordFormat::Listing(ListingStyle::Table { bold: false }), &CONTEXT, &stored);
        let expected = "orders              0          41  2025-10-09T08:53:20.041Z  k\\t1              null\n";
        assert_eq!(String::from_utf8(table).unwrap(), expected);
    }
}
