//! Text output: raw values with delimiters, `-f` format strings and console-consumer's columns, all
//! compiled to one short list of pieces.
//!
//! The letters are kcat's; rpk's are added where they do not clash:
//!
//! ```text
//!  %s %v value        %S %V its length, -1 for null      %R the same, big-endian 32-bit
//!  %k key             %K its length                      %t topic  %p partition  %o offset
//!  %T %d time, ms     %d{strftime[%F]} %d{rfc3339}       %h headers as k=v,...  %h{ %k=%v }  %H how many
//!  %e leader epoch    %x %y %q producer id, epoch, sequence   %i running number from 1
//!  %a{compression} %a{timestamp-type} %a{transactional-bit} %a{control-bit}
//!  %% %{ %}           themselves
//! text {hex} {base64} {json};  numbers {hex64} ... {hex4} {big64} ... {big8} {little64} ... {byte} {bool}
//! ```

use std::io::Write as _;

use jiff::Timestamp;
use thiserror::Error;

use super::json::{append_base64, json_string};
use super::{BatchContext, Row};
use crate::batch::record::RecordRef;
use crate::cli::table::TimeText;
use crate::types::{LeaderEpoch, TimestampType};

/// Why a format string cannot be used.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{what} at column {column}")]
pub struct FormatError {
    /// What is wrong with which token.
    pub what: String,
    /// Where it starts, counted from 1.
    pub column: usize,
}

/// Bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Text {
    Topic,
    Key,
    Value,
    /// Of the header at hand, inside `%h{...}`.
    HeaderKey,
    HeaderValue,
}

/// Numbers of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Number {
    KeyLength,
    ValueLength,
    HeaderKeyLength,
    HeaderValueLength,
    Partition,
    Offset,
    Timestamp,
    Headers,
    LeaderEpoch,
    ProducerId,
    ProducerEpoch,
    Sequence,
    Running,
    Codec,
    TimestampType,
    Transactional,
    Control,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum TextStyle {
    Plain,
    Hex,
    Base64,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum NumberStyle {
    Decimal,
    /// This many digits, most significant first.
    Hex(u8),
    /// This many bytes.
    Big(u8),
    Little(u8),
    Bool,
}

/// One piece of the output.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum Piece {
    Literal(Box<[u8]>),
    Text(Text, TextStyle),
    Number(Number, NumberStyle),
    /// `k=v,k=v`, null values as `NULL`.
    HeadersCsv,
    HeadersBy(Box<[Piece]>),
    CodecName,
    TimestampTypeName,
    Strftime(Box<str>),
    Rfc3339,
    /// `CreateTime:ms`.
    ConsoleTimestamp,
    /// `NOT_PRESENT` for none.
    ConsoleEpoch,
    /// `k:v` with this between, `NO_HEADERS` for none.
    ConsoleHeaders(Box<[u8]>),
}

/// A compiled text format.
#[derive(Clone, Debug, PartialEq)]
pub struct TextFormat {
    pieces: Vec<Piece>,
    null: Vec<u8>,
}

impl TextFormat {
    /// Values, with the offset and the key in front where asked for.
    pub fn raw(key: Option<&[u8]>, record: &[u8], offset: bool) -> TextFormat {
        let mut pieces = Pieces::default();
        if offset {
            pieces.push(Piece::Number(Number::Offset, NumberStyle::Decimal));
            pieces.literal(key.unwrap_or(b"\t"));
        }
        if let Some(delimiter) = key {
            pieces.push(Piece::Text(Text::Key, TextStyle::Plain));
            pieces.literal(delimiter);
        }
        pieces.push(Piece::Text(Text::Value, TextStyle::Plain));
        pieces.literal(record);
        TextFormat { pieces: pieces.0, null: Vec::new() }
    }

    /// Compiles a `-f` format.
    pub fn parse(format: &str) -> Result<TextFormat, FormatError> {
        let mut parser = Parser { whole: format, at: 0, headers: false };
        Ok(TextFormat { pieces: parser.pieces()?.0, null: Vec::new() })
    }

    /// Whether it prints the running number of a record, which only one thread can know.
    pub fn is_numbered(&self) -> bool {
        fn numbered(pieces: &[Piece]) -> bool {
            pieces.iter().any(|piece| match piece {
                Piece::Number(Number::Running, _) => true,
                Piece::HeadersBy(inner) => numbered(inner),
                _ => false,
            })
        }
        numbered(&self.pieces)
    }

    /// Prints this where a key or value is null (`-Z`); nothing by default.
    pub fn with_null(mut self, null: &[u8]) -> TextFormat {
        self.null = null.to_vec();
        self
    }

    #[inline]
    pub(super) fn write(&self, row: Row<'_>, running: u64, time: &mut TimeText, out: &mut Vec<u8>) {
        let bytes = row.record.key.map_or(0, <[u8]>::len) + row.record.value.map_or(0, <[u8]>::len);
        out.reserve(bytes + 64);
        for piece in &self.pieces {
            match piece {
                // Most delimiters are one byte, which is not worth a call to memcpy.
                Piece::Literal(bytes) => match **bytes {
                    [byte] => out.push(byte),
                    _ => out.extend_from_slice(bytes),
                },
                Piece::Text(Text::Value, TextStyle::Plain) => {
                    out.extend_from_slice(row.record.value.unwrap_or(&self.null));
                }
                Piece::Text(Text::Key, TextStyle::Plain) => out.extend_from_slice(row.record.key.unwrap_or(&self.null)),
                Piece::Number(Number::Offset, NumberStyle::Decimal) => decimal(row.record.offset.get(), out),
                piece => self.write_rest(piece, &Scope { row, running, header: None }, time, out),
            }
        }
    }

    fn write_rest(&self, piece: &Piece, scope: &Scope<'_>, time: &mut TimeText, out: &mut Vec<u8>) {
        let record = scope.row.record;
        match piece {
            Piece::Literal(bytes) => out.extend_from_slice(bytes),
            Piece::Text(text, style) => styled_text(scope.text(*text), *style, &self.null, out),
            Piece::Number(number, style) => styled_number(scope.number(*number), *style, out),
            Piece::HeadersCsv => {
                for (index, (key, value)) in record.headers.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(key);
                    out.push(b'=');
                    out.extend_from_slice(value.unwrap_or(b"NULL"));
                }
            }
            Piece::HeadersBy(inner) => {
                for header in record.headers.iter() {
                    let scope = Scope { header: Some(header), ..*scope };
                    for piece in inner {
                        self.write_rest(piece, &scope, time, out);
                    }
                }
            }
            Piece::CodecName => out.extend_from_slice(scope.row.batch.codec.name().as_bytes()),
            Piece::TimestampTypeName => out.extend_from_slice(record.timestamp_type.kafka_name().as_bytes()),
            Piece::Strftime(format) => match Timestamp::from_millisecond(record.timestamp_ms) {
                // Writing to a Vec cannot fail, and the format was tried when it was compiled.
                Ok(timestamp) => {
                    let _ = write!(out, "{}", timestamp.to_zoned(time.zone().clone()).strftime(&**format));
                }
                Err(_) => decimal(record.timestamp_ms, out),
            },
            Piece::Rfc3339 => time.write(record.timestamp_ms, out),
            Piece::ConsoleTimestamp => match record.timestamp_type {
                TimestampType::None => out.extend_from_slice(b"NO_TIMESTAMP"),
                known => {
                    out.extend_from_slice(known.kafka_name().as_bytes());
                    out.push(b':');
                    decimal(record.timestamp_ms, out);
                }
            },
            Piece::ConsoleEpoch => match scope.row.batch.leader_epoch {
                LeaderEpoch::NONE => out.extend_from_slice(b"NOT_PRESENT"),
                epoch => decimal(i64::from(epoch.0), out),
            },
            Piece::ConsoleHeaders(separator) => {
                if record.headers.is_empty() {
                    out.extend_from_slice(b"NO_HEADERS");
                }
                for (index, (key, value)) in record.headers.iter().enumerate() {
                    if index > 0 {
                        out.extend_from_slice(separator);
                    }
                    out.extend_from_slice(key);
                    out.push(b':');
                    out.extend_from_slice(value.unwrap_or(&self.null));
                }
            }
        }
    }
}

/// What a piece can refer to.
#[derive(Clone, Copy)]
struct Scope<'a> {
    row: Row<'a>,
    running: u64,
    header: Option<(&'a [u8], Option<&'a [u8]>)>,
}

impl<'a> Scope<'a> {
    fn text(&self, text: Text) -> Option<&'a [u8]> {
        let record: &RecordRef<'a> = self.row.record;
        match text {
            Text::Topic => Some(self.row.batch.topic.as_bytes()),
            Text::Key => record.key,
            Text::Value => record.value,
            Text::HeaderKey => self.header.map(|header| header.0),
            Text::HeaderValue => self.header.and_then(|header| header.1),
        }
    }

    fn number(&self, number: Number) -> i64 {
        let batch: &BatchContext<'_> = self.row.batch;
        let record = self.row.record;
        let length = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        match number {
            Number::KeyLength => length(record.key),
            Number::ValueLength => length(record.value),
            Number::HeaderKeyLength => length(self.text(Text::HeaderKey)),
            Number::HeaderValueLength => length(self.text(Text::HeaderValue)),
            Number::Partition => i64::from(batch.partition),
            Number::Offset => record.offset.get(),
            Number::Timestamp => record.timestamp_ms,
            Number::Headers => i64::from(record.headers.len()),
            Number::LeaderEpoch => i64::from(batch.leader_epoch.0),
            Number::ProducerId => batch.producer_id.0,
            Number::ProducerEpoch => i64::from(batch.producer_epoch),
            Number::Sequence => i64::from(record.sequence),
            Number::Running => i64::try_from(self.running).unwrap_or(i64::MAX),
            Number::Codec => i64::from(batch.codec.id()),
            Number::TimestampType => match record.timestamp_type {
                TimestampType::None => -1,
                TimestampType::Create => 0,
                TimestampType::LogAppend => 1,
            },
            Number::Transactional => i64::from(batch.transactional),
            Number::Control => i64::from(batch.control),
        }
    }
}

#[inline]
fn decimal(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn styled_text(bytes: Option<&[u8]>, style: TextStyle, null: &[u8], out: &mut Vec<u8>) {
    match (bytes, style) {
        (bytes, TextStyle::Json) => json_string(bytes, out),
        (None, _) => out.extend_from_slice(null),
        (Some(bytes), TextStyle::Plain) => out.extend_from_slice(bytes),
        (Some(bytes), TextStyle::Hex) => {
            let start = out.len();
            out.resize(start + bytes.len() * 2, 0);
            data_encoding::HEXLOWER.encode_mut(bytes, &mut out[start..]);
        }
        (Some(bytes), TextStyle::Base64) => append_base64(bytes, out),
    }
}

fn styled_number(number: i64, style: NumberStyle, out: &mut Vec<u8>) {
    match style {
        NumberStyle::Decimal => decimal(number, out),
        NumberStyle::Hex(digits) => {
            for digit in (0..digits).rev() {
                let nibble = (number >> (u32::from(digit) * 4)) & 15;
                out.push(b"0123456789abcdef"[usize::try_from(nibble).unwrap_or(0)]);
            }
        }
        NumberStyle::Big(width) => out.extend_from_slice(&number.to_be_bytes()[8 - usize::from(width)..]),
        NumberStyle::Little(width) => {
            let mut bytes = number.to_be_bytes();
            bytes.reverse();
            out.extend_from_slice(&bytes[..usize::from(width)]);
        }
        NumberStyle::Bool => out.extend_from_slice(if number == 0 { b"false" } else { b"true" }),
    }
}

/// The pieces of a `-f` format, each with the column it starts at, counted from 1.
///
/// For whoever reads records by the same format that prints them.
pub(in crate::cli) fn tokens(format: &str) -> Result<Vec<(Piece, usize)>, FormatError> {
    let Pieces(pieces, columns) = Parser { whole: format, at: 0, headers: false }.pieces()?;
    Ok(pieces.into_iter().zip(columns).collect())
}

/// Pieces under construction, and the column of each; neighbouring literals become one.
#[derive(Default)]
struct Pieces(Vec<Piece>, Vec<usize>);

impl Pieces {
    fn push(&mut self, piece: Piece) {
        self.0.push(piece);
    }

    fn literal(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Some(Piece::Literal(last)) = self.0.last_mut() {
            *last = [last, bytes].concat().into_boxed_slice();
        } else {
            self.push(Piece::Literal(bytes.into()));
        }
    }

    /// The piece just pushed, if one was, starts at `column`.
    fn begun_at(&mut self, column: usize) {
        self.1.resize(self.0.len(), column);
    }
}

struct Parser<'a> {
    whole: &'a str,
    /// Byte position of what is read next.
    at: usize,
    /// Inside `%h{...}`.
    headers: bool,
}

impl<'a> Parser<'a> {
    fn error(&self, at: usize, what: impl Into<String>) -> FormatError {
        FormatError { what: what.into(), column: self.column(at) }
    }

    fn rest(&self) -> &'a str {
        &self.whole[self.at..]
    }

    /// Column of the byte at `at`.
    fn column(&self, at: usize) -> usize {
        self.whole[..at].chars().count() + 1
    }

    fn pieces(&mut self) -> Result<Pieces, FormatError> {
        let mut pieces = Pieces::default();
        while let Some(at) = self.rest().find(['%', '\\']) {
            pieces.literal(&self.rest().as_bytes()[..at]);
            pieces.begun_at(self.column(self.at));
            self.at += at;
            let token_at = self.at;
            if self.rest().starts_with('\\') {
                let (byte, len) = escape(self.rest()).map_err(|what| self.error(token_at, what))?;
                match byte {
                    Some(byte) => pieces.literal(&[byte]),
                    // As in kcat, any other character stands for itself.
                    None => pieces.literal(&self.rest().as_bytes()[1..len]),
                }
                self.at += len;
            } else {
                self.token(&mut pieces)?;
            }
            pieces.begun_at(self.column(token_at));
        }
        pieces.literal(self.rest().as_bytes());
        pieces.begun_at(self.column(self.at));
        self.at = self.whole.len();
        Ok(pieces)
    }

    fn token(&mut self, pieces: &mut Pieces) -> Result<(), FormatError> {
        let token_at = self.at;
        let Some(letter) = self.rest().chars().nth(1) else {
            return Err(self.error(token_at, "'%' without a letter; write %% for a percent sign"));
        };
        self.at += 1 + letter.len_utf8();
        if let '%' | '{' | '}' = letter {
            pieces.literal(letter.to_string().as_bytes());
            return Ok(());
        }
        let text = match (letter, self.headers) {
            ('k', false) => Some(Text::Key),
            ('s' | 'v', false) => Some(Text::Value),
            ('k', true) => Some(Text::HeaderKey),
            ('s' | 'v', true) => Some(Text::HeaderValue),
            ('t', _) => Some(Text::Topic),
            _ => None,
        };
        let number = match (letter, self.headers) {
            ('K', false) => Some(Number::KeyLength),
            ('S' | 'V' | 'R', false) => Some(Number::ValueLength),
            ('K', true) => Some(Number::HeaderKeyLength),
            ('S' | 'V' | 'R', true) => Some(Number::HeaderValueLength),
            ('p', _) => Some(Number::Partition),
            ('o', _) => Some(Number::Offset),
            ('T' | 'd', _) => Some(Number::Timestamp),
            ('H', _) => Some(Number::Headers),
            ('e', _) => Some(Number::LeaderEpoch),
            ('x', _) => Some(Number::ProducerId),
            ('y', _) => Some(Number::ProducerEpoch),
            ('q', _) => Some(Number::Sequence),
            ('i', _) => Some(Number::Running),
            _ => None,
        };
        let known = text.is_some() || number.is_some() || letter == 'a' || (letter == 'h' && !self.headers);
        if !known {
            return Err(self.error(token_at, format!("unknown token '%{letter}'")));
        }
        let modifier = self.braces(token_at)?;
        let unknown = |parser: &Self, modifier: &str, expected: &str| {
            parser.error(token_at, format!("unknown modifier in '%{letter}{{{modifier}}}', expected {expected}"))
        };
        let piece = match (letter, modifier) {
            ('h', None) => Piece::HeadersCsv,
            ('h', Some((start, inner))) => {
                let end = start + inner.len();
                let mut parser = Parser { whole: &self.whole[..end], at: start, headers: true };
                Piece::HeadersBy(parser.pieces()?.0.into_boxed_slice())
            }
            ('a', modifier) => {
                let (name, style) = match modifier {
                    Some((_, modifier)) => modifier.split_once(';').map_or((modifier, None), |(n, s)| (n, Some(s))),
                    None => ("", None),
                };
                let number = match name {
                    "compression" => Number::Codec,
                    "timestamp-type" => Number::TimestampType,
                    "transactional-bit" => Number::Transactional,
                    "control-bit" => Number::Control,
                    _ => {
                        let expected = "compression, timestamp-type, transactional-bit or control-bit";
                        return Err(unknown(self, name, expected));
                    }
                };
                match (number, style) {
                    (Number::Codec, None) => Piece::CodecName,
                    (Number::TimestampType, None) => Piece::TimestampTypeName,
                    (number, None) => Piece::Number(number, NumberStyle::Decimal),
                    (number, Some(style)) => {
                        Piece::Number(number, number_style(style).ok_or_else(|| unknown(self, style, NUMBER_STYLES))?)
                    }
                }
            }
            ('R', None) => Piece::Number(number.unwrap_or(Number::ValueLength), NumberStyle::Big(4)),
            ('d', Some((_, "rfc3339"))) => Piece::Rfc3339,
            ('d', Some((_, modifier))) if modifier.starts_with("strftime") => {
                let format = modifier.strip_prefix("strftime[").and_then(|rest| rest.strip_suffix(']'));
                let format = format.ok_or_else(|| unknown(self, modifier, "strftime[FORMAT]"))?;
                let epoch = Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
                if jiff::fmt::strtime::format(format, &epoch).is_err() {
                    return Err(self.error(token_at, format!("strftime does not know a conversion in '{format}'")));
                }
                Piece::Strftime(format.into())
            }
            (_, modifier) => match (text, number) {
                (Some(text), _) => {
                    let style = match modifier.map(|(_, modifier)| modifier) {
                        None => TextStyle::Plain,
                        Some("hex") => TextStyle::Hex,
                        Some("base64") => TextStyle::Base64,
                        Some("json") => TextStyle::Json,
                        Some(other) => return Err(unknown(self, other, "hex, base64 or json")),
                    };
                    Piece::Text(text, style)
                }
                (None, Some(number)) => {
                    let style = match modifier {
                        None => NumberStyle::Decimal,
                        Some((_, style)) => number_style(style).ok_or_else(|| unknown(self, style, NUMBER_STYLES))?,
                    };
                    Piece::Number(number, style)
                }
                (None, None) => return Err(self.error(token_at, format!("unknown token '%{letter}'"))),
            },
        };
        pieces.push(piece);
        Ok(())
    }

    /// What stands in braces after the token, with where it starts. Braces inside nest; `%{` and `%}` do not count.
    fn braces(&mut self, token_at: usize) -> Result<Option<(usize, &'a str)>, FormatError> {
        if !self.rest().starts_with('{') {
            return Ok(None);
        }
        let start = self.at + 1;
        let bytes = self.whole.as_bytes();
        let (mut depth, mut at) = (1, start);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'%' => at += 1,
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.at = at + 1;
                return Ok(Some((start, &self.whole[start..at])));
            }
            at += 1;
        }
        let token = &self.whole[token_at..self.at];
        Err(self.error(token_at, format!("'{token}{{' has no closing brace; write %{{ for a brace")))
    }
}

const NUMBER_STYLES: &str = "hex64 to hex4, big64 to big8, little64 to little8, byte, bool or ascii";

fn number_style(name: &str) -> Option<NumberStyle> {
    Some(match name {
        "ascii" | "number" => NumberStyle::Decimal,
        "hex64" => NumberStyle::Hex(16),
        "hex32" => NumberStyle::Hex(8),
        "hex16" => NumberStyle::Hex(4),
        "hex8" => NumberStyle::Hex(2),
        "hex4" => NumberStyle::Hex(1),
        "big64" => NumberStyle::Big(8),
        "big32" => NumberStyle::Big(4),
        "big16" => NumberStyle::Big(2),
        "big8" | "byte" => NumberStyle::Big(1),
        "little64" => NumberStyle::Little(8),
        "little32" => NumberStyle::Little(4),
        "little16" => NumberStyle::Little(2),
        "little8" => NumberStyle::Little(1),
        "bool" => NumberStyle::Bool,
        _ => return None,
    })
}

/// The escape at the start of `text` and its length; `None` for the byte when it is not one of ours.
fn escape(text: &str) -> Result<(Option<u8>, usize), String> {
    let Some(letter) = text.chars().nth(1) else {
        return Err("'\\' at the end; write \\\\ for a backslash".to_owned());
    };
    let simple = |byte| Ok((Some(byte), 2));
    match letter {
        'n' => simple(b'\n'),
        't' => simple(b'\t'),
        'r' => simple(b'\r'),
        '0' => simple(0),
        '\\' => simple(b'\\'),
        'x' => {
            let digits = text[2..].bytes().take(2).take_while(u8::is_ascii_hexdigit).count();
            match u8::from_str_radix(&text[2..2 + digits], 16) {
                Ok(byte) => Ok((Some(byte), 2 + digits)),
                Err(_) => Err("'\\x' needs one or two hexadecimal digits".to_owned()),
            }
        }
        other => Ok((None, 1 + other.len_utf8())),
    }
}

/// A delimiter with its escapes (`\n \t \r \0 \\ \xHH`) replaced; other characters after a backslash stay as they are.
pub fn unescape(text: &str) -> Result<Vec<u8>, FormatError> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        let column = text.chars().count() - rest.chars().count() + 1;
        let (byte, len) = escape(rest).map_err(|what| FormatError { what, column })?;
        match byte {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(&rest.as_bytes()[1..len]),
        }
        rest = &rest[len..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// console-consumer's `--property` settings (`DefaultMessageFormatter` of Kafka 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Console {
    timestamp: bool,
    partition: bool,
    offset: bool,
    delivery: bool,
    epoch: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: Vec<u8>,
    line_separator: Vec<u8>,
    headers_separator: Vec<u8>,
    null_literal: Vec<u8>,
}

impl Default for Console {
    fn default() -> Self {
        Console {
            timestamp: false,
            partition: false,
            offset: false,
            delivery: false,
            epoch: false,
            headers: false,
            key: false,
            value: true,
            key_separator: b"\t".to_vec(),
            line_separator: b"\n".to_vec(),
            headers_separator: b",".to_vec(),
            null_literal: b"null".to_vec(),
        }
    }
}

/// Why a console-consumer property cannot be used.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ConsoleError {
    /// No `=`.
    #[error("'{0}' is not KEY=VALUE")]
    NotAPair(String),
    /// A deserializer class.
    #[error("'{0}' names a Java class; bytes are printed as they are stored")]
    Deserializer(String),
    /// None that Kafka's formatter knows.
    #[error(
        "unknown property '{0}', expected print.timestamp, print.partition, print.offset, print.delivery, print.epoch, \
         print.headers, print.key, print.value, key.separator, line.separator, headers.separator or null.literal"
    )]
    Unknown(String),
}

impl Console {
    /// Applies one `KEY=VALUE`. As in Kafka, any text but "true" means false, and separators have no escapes.
    pub fn set(&mut self, property: &str) -> Result<(), ConsoleError> {
        let (key, value) = property.split_once('=').ok_or_else(|| ConsoleError::NotAPair(property.to_owned()))?;
        let flag = value.trim().eq_ignore_ascii_case("true");
        let bytes = || value.as_bytes().to_vec();
        match key {
            "print.timestamp" => self.timestamp = flag,
            "print.partition" => self.partition = flag,
            "print.offset" => self.offset = flag,
            "print.delivery" => self.delivery = flag,
            "print.epoch" => self.epoch = flag,
            "print.headers" => self.headers = flag,
            "print.key" => self.key = flag,
            "print.value" => self.value = flag,
            "key.separator" => self.key_separator = bytes(),
            "line.separator" => self.line_separator = bytes(),
            "headers.separator" => self.headers_separator = bytes(),
            "null.literal" => self.null_literal = bytes(),
            _ if key.contains("deserializer") => return Err(ConsoleError::Deserializer(key.to_owned())),
            _ => return Err(ConsoleError::Unknown(key.to_owned())),
        }
        Ok(())
    }

    /// The format these settings describe.
    pub fn format(&self) -> TextFormat {
        let number = |number| Piece::Number(number, NumberStyle::Decimal);
        let literal = |text: &[u8]| Piece::Literal(text.into());
        let columns = [
            (self.timestamp, vec![Piece::ConsoleTimestamp]),
            (self.partition, vec![literal(b"Partition:"), number(Number::Partition)]),
            (self.offset, vec![literal(b"Offset:"), number(Number::Offset)]),
            (self.delivery, vec![literal(b"Delivery:NOT_PRESENT")]),
            (self.epoch, vec![literal(b"Epoch:"), Piece::ConsoleEpoch]),
            (self.headers, vec![Piece::ConsoleHeaders(self.headers_separator.clone().into())]),
            (self.key, vec![Piece::Text(Text::Key, TextStyle::Plain)]),
            (self.value, vec![Piece::Text(Text::Value, TextStyle::Plain)]),
        ];
        let mut pieces = Pieces::default();
        let mut first = true;
        for (_, column) in columns.into_iter().filter(|(wanted, _)| *wanted) {
            if !first {
                pieces.literal(&self.key_separator);
            }
            first = false;
            for piece in column {
                match piece {
                    Piece::Literal(bytes) => pieces.literal(&bytes),
                    piece => pieces.push(piece),
                }
            }
        }
        if !first {
            pieces.literal(&self.line_separator);
        }
        TextFormat { pieces: pieces.0, null: self.null_literal.clone() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::RecordFormat;
    use super::super::test_records::{CONTEXT, Stored, printed, record};
    use super::*;
    use crate::types::{Codec, ProducerId};

    fn sample() -> Stored {
        record(41, 1_760_000_000_041, Some(b"k1"), Some(b"v\xff"), &[(b"trace", Some(b"a1")), (b"flag", None)])
    }

    fn shown(format: TextFormat, context: &BatchContext<'_>, stored: &Stored) -> String {
        printed(RecordFormat::Text(format), context, stored).escape_ascii().to_string()
    }

    #[test]
    fn raw_values_and_delimiters() {
        type Case<'a> = (Option<&'a [u8]>, &'a [u8], bool, &'a str);
        let cases: &[Case<'_>] = &[
            (None, b"\n", false, r"v\xff\n"),
            (Some(b":"), b"\n", false, r"k1:v\xff\n"),
            (Some(b":"), b"", true, r"41:k1:v\xff"),
            (None, b"\0", true, r"41\tv\xff\x00"),
        ];
        for (key, delimiter, offset, expected) in cases {
            assert_eq!(shown(TextFormat::raw(*key, delimiter, *offset), &CONTEXT, &sample()), *expected);
        }
        let null = record(1, 0, None, None, &[]);
        let format = TextFormat::raw(Some(b":"), b"\n", false);
        assert_eq!(shown(format.clone(), &CONTEXT, &null), r":\n");
        assert_eq!(shown(format.with_null(b"NULL"), &CONTEXT, &null), r"NULL:NULL\n");
    }

    #[test]
    fn every_token_of_a_format_string() {
        let context = BatchContext {
            leader_epoch: LeaderEpoch(5),
            producer_id: ProducerId(1000),
            producer_epoch: 3,
            codec: Codec::Zstd,
            transactional: true,
            ..CONTEXT
        };
        let cases = [
            ("", ""),
            ("plain", "plain"),
            ("%s|%v|%k|%t|%p|%o", r"v\xff|v\xff|k1|orders|0|41"),
            ("%S %V %K", "2 2 2"),
            ("%T %d", "1760000000041 1760000000041"),
            ("%d{strftime[%F %H:%M:%S]}", "2025-10-09 08:53:20"),
            ("%d{rfc3339}", "2025-10-09T08:53:20.041Z"),
            ("%h", "trace=a1,flag=NULL"),
            ("%h{ %k=%v;}", " trace=a1; flag=;"),
            ("%h{[%k{hex}:%V{big8}]}", r"[7472616365:\x02][666c6167:\xff]"),
            ("%h{%%%{%k%}}", "%{trace}%{flag}"),
            ("%H", "2"),
            ("%e %x %y %q", "5 1000 3 -1"),
            ("%a{compression} %a{timestamp-type} %a{transactional-bit} %a{control-bit}", "zstd CreateTime 1 0"),
            ("%a{compression;number} %a{transactional-bit;bool}", "4 true"),
            ("%R", r"\x00\x00\x00\x02"),
            ("%i%%", "1%"),
            ("%v{hex} %v{base64} %k{json} %v{json}", r#"76ff dv8= \"k1\" \"dv8=\""#),
            ("%o{hex32} %o{hex4} %o{hex64}", "00000029 9 0000000000000029"),
            ("%o{big32}%o{little16}%o{byte}", r"\x00\x00\x00))\x00)"),
            ("%q{hex16}", "ffff"),
            (r"\n\t\r\0\\\x41\x4g\q", r"\n\t\r\x00\\A\x04gq"),
            ("é%k", r"\xc3\xa9k1"),
            ("%{%}", "{}"),
        ];
        for (format, expected) in cases {
            let format = TextFormat::parse(format).unwrap_or_else(|error| panic!("{format}: {error}"));
            assert_eq!(shown(format.clone(), &context, &sample()), expected, "{format:?}");
        }
        let null = record(1, 0, None, None, &[]);
        let format = TextFormat::parse("%k,%s,%K,%S,%s{json},%s{hex},%h,%R").unwrap();
        assert_eq!(shown(format, &CONTEXT, &null), r",,-1,-1,null,,,\xff\xff\xff\xff");
    }

    #[test]
    fn a_bad_format_names_the_token_and_its_column() {
        let cases = [
            ("%o\\t%z", "unknown token '%z' at column 5"),
            ("é%Z", "unknown token '%Z' at column 2"),
            ("100%", "'%' without a letter; write %% for a percent sign at column 4"),
            ("%v{rot13}", "unknown modifier in '%v{rot13}', expected hex, base64 or json at column 1"),
            (
                "%o{x}",
                "unknown modifier in '%o{x}', expected hex64 to hex4, big64 to big8, little64 to little8, byte, bool or ascii at column 1",
            ),
            (
                "%a",
                "unknown modifier in '%a{}', expected compression, timestamp-type, transactional-bit or control-bit at column 1",
            ),
            ("%h{%z}", "unknown token '%z' at column 4"),
            ("%h{%k", "'%h{' has no closing brace; write %{ for a brace at column 1"),
            ("a\\", "'\\' at the end; write \\\\ for a backslash at column 2"),
            ("\\xg", "'\\x' needs one or two hexadecimal digits at column 1"),
            ("%d{strftime[%!]}", "strftime does not know a conversion in '%!' at column 1"),
            ("%d{strftime}", "unknown modifier in '%d{strftime}', expected strftime[FORMAT] at column 1"),
        ];
        for (format, expected) in cases {
            assert_eq!(TextFormat::parse(format).unwrap_err().to_string(), expected, "{format}");
        }
    }

    #[test]
    fn console_consumer_properties() {
        let all = ["timestamp", "partition", "offset", "delivery", "epoch", "headers", "key", "value"];
        let all: Vec<String> = all.iter().map(|name| format!("print.{name}=true")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let cases: &[(&[&str], &str)] = &[
            (&[], r"v\xff\n"),
            (&["print.key= TRUE "], r"k1\tv\xff\n"),
            (&["print.key=true", "print.value=false"], r"k1\n"),
            (&["print.value=false"], ""),
            (&["print.offset=true", "key.separator=|", "line.separator=;"], r"Offset:41|v\xff;"),
            (&["print.headers=true", "headers.separator= ; ", "null.literal=N"], r"trace:a1 ; flag:N\tv\xff\n"),
            (
                &all,
                r"CreateTime:1760000000041\tPartition:0\tOffset:41\tDelivery:NOT_PRESENT\tEpoch:0\ttrace:a1,flag:null\tk1\tv\xff\n",
            ),
        ];
        for (properties, expected) in cases {
            let mut console = Console::default();
            properties.iter().for_each(|property| console.set(property).unwrap());
            assert_eq!(shown(console.format(), &CONTEXT, &sample()), *expected, "{properties:?}");
        }
        let mut console = Console::default();
        for property in ["print.epoch=true", "print.headers=true"] {
            console.set(property).unwrap();
        }
        let old = BatchContext { leader_epoch: LeaderEpoch::NONE, ..CONTEXT };
        let null = record(1, 0, None, None, &[]);
        assert_eq!(shown(console.format(), &old, &null), r"Epoch:NOT_PRESENT\tNO_HEADERS\tnull\n");
        assert!(matches!(console.set("print.keys=true"), Err(ConsoleError::Unknown(_))));
        assert!(matches!(console.set("print.key"), Err(ConsoleError::NotAPair(_))));
        assert!(matches!(console.set("key.deserializer=x"), Err(ConsoleError::Deserializer(_))));
    }

    #[test]
    fn delimiters_have_escapes() {
        for (text, expected) in [("", &b""[..]), (r"\t", b"\t"), (r"a\x00b", b"a\0b"), (r"\|", b"|"), (r"\\n", b"\\n")]
        {
            assert_eq!(unescape(text).unwrap(), expected, "{text}");
        }
        assert_eq!(unescape("a\\").unwrap_err().column, 2);
    }

    proptest! {
        #[test]
        fn any_format_is_compiled_or_refused_without_a_panic(format in r"[%\\{}a-zA-Z0-9\[\]é;]{0,24}") {
            if let Ok(format) = TextFormat::parse(&format) {
                printed(RecordFormat::Text(format), &CONTEXT, &sample());
            }
        }
    }
}
