//! Records by the `-f` format that prints them: `%k %s\n`, `%K{big32}%S{big32}%k%s`.
//!
//! A text token ends where the literal after it begins, or is as long as its size says, which comes before it.
//! A size of -1 is null. A format of delimited tokens that ends in a literal reads record by record, as lines do,
//! so a bad record does not spoil the next; by any other format the tokens alone say where a record ends.

use std::ops::Range;

use memchr::memmem;

use super::lines::Delimiter;
use super::{Fault, Fixed, HeaderBytes, InputProblem, InputRecord, Place, Scratch, excerpt};
use crate::batch::Headers;
use crate::cli::record_format::{FormatError, Number, NumberStyle, Piece, Text, TextStyle, tokens};
use crate::types::{LeaderEpoch, Offset};

/// One step of reading a record.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    Literal(Box<[u8]>),
    /// As long as its size says.
    Sized(Text, TextStyle),
    /// Up to the literal that follows, or to the end of the record.
    Delimited(Text, TextStyle),
    Number(Number, NumberStyle),
    /// As many as `%H` says.
    Headers(Box<[Field]>),
}

/// A compiled `-f` format for reading.
#[derive(Clone, Debug)]
pub struct InputFormat {
    fields: Vec<Field>,
    /// What ends every record, when no field can contain it.
    delimiter: Option<Delimiter>,
    fixed: Fixed,
}

impl InputFormat {
    /// Compiles a `-f` format (see `consume`).
    ///
    /// Tokens that say what a record is read by: `%k %s %v %t %h{...}`, `%p %o %T %d %e`, sizes `%K %S %V %R %H`.
    /// The rest is refused, with the column, and so is what could not be read back: a token with no literal after it
    /// and no size before it, `%h{...}` without `%H`.
    pub fn parse(format: &str, fixed: Fixed) -> Result<Self, FormatError> {
        let mut fields = compile(&tokens(format)?, false)?;
        if fields.is_empty() {
            return Err(FormatError { what: "the format is empty, expected a token such as %s".to_owned(), column: 1 });
        }
        let is_text = |field: &Field| match field {
            Field::Literal(_) | Field::Delimited(..) => true,
            Field::Number(_, style) => !matches!(style, NumberStyle::Big(_) | NumberStyle::Little(_)),
            Field::Sized(..) | Field::Headers(_) => false,
        };
        let mut delimiter = None;
        if fields.iter().all(is_text)
            && let Some(Field::Literal(last)) = fields.last()
        {
            delimiter = Delimiter::new(last);
            fields.pop();
        }
        Ok(InputFormat { fields, delimiter, fixed })
    }

    pub(super) fn delimiter(&self) -> Option<&Delimiter> {
        self.delimiter.as_ref()
    }

    /// Reads one record that a delimiter ended.
    pub(super) fn parse_framed<'a>(
        &'a self,
        bytes: &'a [u8],
        limit: usize,
        scratch: &'a mut Scratch,
    ) -> Result<InputRecord<'a>, Fault> {
        let parts = match self.scan(bytes, true, limit, scratch) {
            Ok(parts) => parts,
            Err(Stop::Bad(fault)) => return Err(fault),
            Err(Stop::More(_)) => return Err(InputProblem::Cut { field: "the record" }.into()),
        };
        let remain = bytes.len() - parts.len.min(bytes.len());
        if remain > 0 {
            return Err(Fault { problem: InputProblem::Trailing { bytes: remain }, at: parts.len });
        }
        self.record(&parts, bytes, scratch)
    }

    /// Finds the parts of the first record of `bytes`, which end the input when `is_ended`.
    pub(super) fn scan(
        &self,
        bytes: &[u8],
        is_ended: bool,
        limit: usize,
        scratch: &mut Scratch,
    ) -> Result<Parts, Stop> {
        scratch.bytes.clear();
        scratch.headers.clear();
        let mut scanner = Scanner { bytes, is_ended, limit, at: 0 };
        let mut parts = Parts::default();
        scanner.fields(&self.fields, &mut parts, scratch)?;
        parts.len = scanner.at;
        Ok(parts)
    }

    /// The record of the parts found in `bytes`.
    pub(super) fn record<'a>(
        &'a self,
        parts: &Parts,
        bytes: &'a [u8],
        scratch: &'a mut Scratch,
    ) -> Result<InputRecord<'a>, Fault> {
        let headers: Headers<'a> = if scratch.headers.count == 0 {
            self.fixed.headers.view()
        } else {
            scratch.headers.extend(&self.fixed.headers);
            scratch.headers.view()
        };
        let scratch: &'a [u8] = &scratch.bytes;
        let of = |part: &Option<Part>| match part {
            Some(Part::Input(range)) => Some(Place::Input(bytes.get(range.clone()).unwrap_or_default()).bytes(scratch)),
            Some(Part::Scratch(range)) => Some(Place::Scratch(range.clone()).bytes(scratch)),
            None => None,
        };
        let topic = of(&parts.topic).map(std::str::from_utf8).transpose();
        let topic = topic.map_err(|_| InputProblem::Coding { field: "%t", coding: "UTF-8" })?;
        let narrow = |number: Option<i64>, field, expected| match number.map(i32::try_from) {
            Some(Err(_)) => Err(InputProblem::Range { field, found: number.unwrap_or_default(), expected }),
            Some(Ok(number)) => Ok(Some(number)),
            None => Ok(None),
        };
        Ok(InputRecord {
            topic,
            partition: narrow(parts.partition, "%p", "a 32-bit number")?,
            offset: parts.offset.map(Offset::new),
            timestamp_ms: parts.timestamp_ms,
            leader_epoch: narrow(parts.leader_epoch, "%e", "a 32-bit number")?.map(LeaderEpoch),
            ..InputRecord::new(self.fixed.key(of(&parts.key)), self.fixed.value(of(&parts.value)), headers)
        })
    }
}

fn compile(pieces: &[(Piece, usize)], in_headers: bool) -> Result<Vec<Field>, FormatError> {
    let mut fields = Vec::new();
    let mut sized: Vec<Number> = Vec::new();
    for (index, (piece, column)) in pieces.iter().enumerate() {
        let column = *column;
        let refuse = |what: &str| Err(FormatError { what: what.to_owned(), column });
        let field = match piece {
            Piece::Literal(bytes) => Field::Literal(bytes.clone()),
            Piece::Text(_, TextStyle::Json) => return refuse("{json} cannot be read back, expected {hex} or {base64}"),
            Piece::Text(Text::Topic, _) if in_headers => return refuse("%t stands inside %h{...}, expected %k and %v"),
            Piece::Text(text, style) => {
                let is_last = index + 1 == pieces.len();
                if size_of(*text).is_some_and(|size| sized.contains(&size)) {
                    Field::Sized(*text, *style)
                } else if matches!(pieces.get(index + 1), Some((Piece::Literal(_), _))) || (is_last && !in_headers) {
                    Field::Delimited(*text, *style)
                } else {
                    return refuse("nothing says where the token ends: expected its size before it or text after it");
                }
            }
            Piece::Number(_, NumberStyle::Bool) => return refuse("{bool} cannot be read back, expected a number"),
            Piece::Number(number, style) => {
                let in_place = match number {
                    Number::HeaderKeyLength | Number::HeaderValueLength => in_headers,
                    Number::KeyLength
                    | Number::ValueLength
                    | Number::Partition
                    | Number::Offset
                    | Number::Timestamp
                    | Number::Headers
                    | Number::LeaderEpoch => !in_headers,
                    _ => return refuse("the token can be printed but not read"),
                };
                if !in_place {
                    return refuse("the token cannot stand inside %h{...}, expected %K, %V, %k and %v");
                }
                let digits_follow = matches!(pieces.get(index + 1), Some((Piece::Number(_, NumberStyle::Decimal), _)));
                let text_follows = matches!(pieces.get(index + 1), Some((Piece::Text(..) | Piece::HeadersBy(_), _)));
                if *style == NumberStyle::Decimal && (digits_follow || text_follows) {
                    return refuse("nothing says where the number ends: expected text after it, or {big32}");
                }
                sized.push(*number);
                Field::Number(*number, *style)
            }
            Piece::HeadersBy(inner) => {
                if !sized.contains(&Number::Headers) {
                    return refuse("%h{...} needs the number of headers before it: expected %H");
                }
                let inner: Vec<_> = inner.iter().map(|piece| (piece.clone(), column)).collect();
                let inner = compile(&inner, true)?;
                let has_key = |field: &Field| {
                    matches!(field, Field::Sized(Text::HeaderKey, _) | Field::Delimited(Text::HeaderKey, _))
                };
                if !inner.iter().any(has_key) {
                    return refuse("%h{...} holds no key, expected %k");
                }
                Field::Headers(inner.into_boxed_slice())
            }
            Piece::HeadersCsv => return refuse("%h alone cannot be read back, expected %H and %h{...}"),
            Piece::CodecName
            | Piece::TimestampTypeName
            | Piece::Strftime(_)
            | Piece::Rfc3339
            | Piece::ConsoleTimestamp
            | Piece::ConsoleEpoch
            | Piece::ConsoleHeaders(_) => return refuse("the token can be printed but not read"),
        };
        fields.push(field);
    }
    Ok(fields)
}

/// The number that says how long a text is.
fn size_of(text: Text) -> Option<Number> {
    match text {
        Text::Key => Some(Number::KeyLength),
        Text::Value => Some(Number::ValueLength),
        Text::HeaderKey => Some(Number::HeaderKeyLength),
        Text::HeaderValue => Some(Number::HeaderValueLength),
        Text::Topic => None,
    }
}

fn name_of(text: Text) -> &'static str {
    match text {
        Text::Topic => "%t",
        Text::Key => "%k",
        Text::Value => "%s",
        Text::HeaderKey => "%k of a header",
        Text::HeaderValue => "%v of a header",
    }
}

fn name_of_number(number: Number) -> &'static str {
    match number {
        Number::KeyLength => "%K",
        Number::ValueLength => "%S",
        Number::HeaderKeyLength => "%K of a header",
        Number::HeaderValueLength => "%V of a header",
        Number::Partition => "%p",
        Number::Offset => "%o",
        Number::Timestamp => "%T",
        Number::Headers => "%H",
        Number::LeaderEpoch => "%e",
        _ => "a number",
    }
}

/// Why no record was found.
pub(super) enum Stop {
    /// It ends in what was not read yet, and has this many bytes or more.
    More(usize),
    Bad(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Bad(fault)
    }
}

#[derive(Debug, Clone)]
enum Part {
    Input(Range<usize>),
    Scratch(Range<usize>),
}

/// Where the fields of a record lie.
#[derive(Debug, Default)]
pub(super) struct Parts {
    len: usize,
    topic: Option<Part>,
    key: Option<Part>,
    value: Option<Part>,
    header_key: Option<Part>,
    header_value: Option<Part>,
    key_len: i64,
    value_len: i64,
    header_key_len: i64,
    header_value_len: i64,
    headers: i64,
    partition: Option<i64>,
    offset: Option<i64>,
    timestamp_ms: Option<i64>,
    leader_epoch: Option<i64>,
}

impl Parts {
    /// Bytes of the record.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn size(&self, text: Text) -> i64 {
        match text {
            Text::Key => self.key_len,
            Text::Value => self.value_len,
            Text::HeaderKey => self.header_key_len,
            Text::HeaderValue => self.header_value_len,
            Text::Topic => 0,
        }
    }

    fn set(&mut self, text: Text, part: Option<Part>) {
        match text {
            Text::Topic => self.topic = part,
            Text::Key => self.key = part,
            Text::Value => self.value = part,
            Text::HeaderKey => self.header_key = part,
            Text::HeaderValue => self.header_value = part,
        }
    }

    fn set_number(&mut self, number: Number, found: i64) {
        match number {
            Number::KeyLength => self.key_len = found,
            Number::ValueLength => self.value_len = found,
            Number::HeaderKeyLength => self.header_key_len = found,
            Number::HeaderValueLength => self.header_value_len = found,
            Number::Headers => self.headers = found,
            Number::Partition => self.partition = Some(found),
            Number::Offset => self.offset = Some(found),
            Number::Timestamp => self.timestamp_ms = Some(found),
            Number::LeaderEpoch => self.leader_epoch = Some(found),
            // None of these is compiled for reading.
            _ => {}
        }
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    is_ended: bool,
    limit: usize,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn bad<T>(&self, problem: InputProblem) -> Result<T, Stop> {
        Err(Stop::Bad(Fault { problem, at: self.at }))
    }

    /// `field` needs `len` bytes from here on, or more.
    fn short<T>(&self, field: &'static str, len: usize) -> Result<T, Stop> {
        if self.is_ended { self.bad(InputProblem::Cut { field }) } else { Err(Stop::More(self.at.saturating_add(len))) }
    }

    fn fields(&mut self, fields: &[Field], parts: &mut Parts, scratch: &mut Scratch) -> Result<(), Stop> {
        for (index, field) in fields.iter().enumerate() {
            let is_last = index + 1 == fields.len();
            match field {
                Field::Literal(literal) => self.literal(literal, is_last)?,
                Field::Number(number, style) => {
                    let found = self.number(*number, *style)?;
                    parts.set_number(*number, found);
                }
                Field::Sized(text, style) => {
                    let part = self.sized(*text, *style, parts.size(*text), scratch)?;
                    parts.set(*text, part);
                }
                Field::Delimited(text, style) => {
                    let end = match fields.get(index + 1) {
                        Some(Field::Literal(literal)) => memmem::find(self.rest(), literal),
                        _ => None,
                    };
                    // At the end of the input the last delimiter may be missing, and no other.
                    let len = match end {
                        Some(len) => len,
                        None if self.is_ended && index + 2 >= fields.len() => self.rest().len(),
                        None => return self.undelimited(*text, fields.get(index + 1)),
                    };
                    let range = self.at..self.at + len;
                    let part = self.decoded(*text, *style, range, scratch)?;
                    parts.set(*text, Some(part));
                    self.at += len;
                }
                Field::Headers(inner) => self.headers(inner, parts, scratch)?,
            }
        }
        Ok(())
    }

    fn undelimited<T>(&self, text: Text, next: Option<&Field>) -> Result<T, Stop> {
        match next {
            Some(Field::Literal(literal)) if self.is_ended => self.bad(InputProblem::Separator {
                what: match text {
                    Text::Key => "after %k",
                    Text::Topic => "after %t",
                    _ => "after a token",
                },
                separator: literal.escape_ascii().to_string(),
            }),
            _ => self.short(name_of(text), self.rest().len() + 1),
        }
    }

    fn literal(&mut self, literal: &[u8], is_last: bool) -> Result<(), Stop> {
        let rest = self.rest();
        if rest.starts_with(literal) {
            self.at += literal.len();
            return Ok(());
        }
        if literal.starts_with(rest) {
            // The last delimiter may be missing.
            return if is_last && self.is_ended && rest.is_empty() {
                Ok(())
            } else {
                self.short("a delimiter", literal.len())
            };
        }
        // Up to the first byte that differs, which is all that is sure to have been read.
        let same = rest.iter().zip(literal).take_while(|(found, expected)| found == expected).count();
        let found = excerpt(rest.get(..=same).unwrap_or(rest));
        self.bad(InputProblem::Literal { expected: literal.escape_ascii().to_string(), found })
    }

    fn number(&mut self, number: Number, style: NumberStyle) -> Result<i64, Stop> {
        let field = name_of_number(number);
        let rest = self.rest();
        let width = match style {
            NumberStyle::Decimal => {
                let sign = usize::from(rest.first() == Some(&b'-'));
                // No number has more than 19 digits; one more tells.
                let digits = rest.iter().skip(sign).take(20).take_while(|byte| byte.is_ascii_digit()).count();
                if sign + digits == rest.len() && !self.is_ended {
                    return self.short(field, rest.len() + 1);
                }
                sign + digits
            }
            NumberStyle::Hex(width) | NumberStyle::Big(width) | NumberStyle::Little(width) => usize::from(width),
            NumberStyle::Bool => 0,
        };
        let Some(bytes) = rest.get(..width) else { return self.short(field, width) };

        let text = std::str::from_utf8(bytes).ok();
        let found = match style {
            NumberStyle::Decimal | NumberStyle::Bool => text.and_then(|text| text.parse().ok()),
            NumberStyle::Hex(width) => text
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
                .and_then(|text| u64::from_str_radix(text, 16).ok())
                .map(|raw| printed_as(raw, u32::from(width) * 4)),
            NumberStyle::Big(_) => Some(bytes.iter().fold(0, |raw, byte| raw << 8 | u64::from(*byte)))
                .map(|raw| printed_as(raw, 8 * u32::try_from(width).unwrap_or(8))),
            NumberStyle::Little(_) => Some(bytes.iter().rev().fold(0, |raw, byte| raw << 8 | u64::from(*byte)))
                .map(|raw| printed_as(raw, 8 * u32::try_from(width).unwrap_or(8))),
        };
        match found {
            Some(found) => {
                self.at += width;
                Ok(found)
            }
            None => {
                let found = excerpt(if bytes.is_empty() { rest.get(..1).unwrap_or(rest) } else { bytes });
                self.bad(InputProblem::Number { field, found })
            }
        }
    }

    fn sized(&mut self, text: Text, style: TextStyle, size: i64, scratch: &mut Scratch) -> Result<Option<Part>, Stop> {
        let field = name_of(text);
        if size == -1 {
            return Ok(None);
        }
        let Some(size) = usize::try_from(size).ok() else {
            return self.bad(InputProblem::Range { field, found: size, expected: "a size of -1 or more" });
        };
        if size > self.limit {
            // Waiting for it would hold more than the caller allows.
            return self.bad(InputProblem::TooLong { limit: self.limit });
        }
        // The size is that of the bytes, not of their text.
        let len = match style {
            TextStyle::Hex => size * 2,
            TextStyle::Base64 => size.div_ceil(3) * 4,
            TextStyle::Plain | TextStyle::Json => size,
        };
        if self.rest().len() < len {
            return self.short(field, len);
        }
        let part = self.decoded(text, style, self.at..self.at + len, scratch)?;
        self.at += len;
        Ok(Some(part))
    }

    fn decoded(&self, text: Text, style: TextStyle, range: Range<usize>, scratch: &mut Scratch) -> Result<Part, Stop> {
        let (encoding, coding) = match style {
            TextStyle::Plain | TextStyle::Json => return Ok(Part::Input(range)),
            TextStyle::Hex => (data_encoding::HEXLOWER_PERMISSIVE, "hexadecimal"),
            TextStyle::Base64 => (data_encoding::BASE64, "padded base64"),
        };
        match encoding.decode(self.bytes.get(range).unwrap_or_default()) {
            Ok(bytes) => {
                let start = scratch.bytes.len();
                scratch.bytes.extend_from_slice(&bytes);
                Ok(Part::Scratch(start..scratch.bytes.len()))
            }
            Err(_) => self.bad(InputProblem::Coding { field: name_of(text), coding }),
        }
    }

    fn headers(&mut self, inner: &[Field], parts: &mut Parts, scratch: &mut Scratch) -> Result<(), Stop> {
        let Ok(count) = u32::try_from(parts.headers) else {
            let (field, found) = ("%H", parts.headers);
            return self.bad(InputProblem::Range { field, found, expected: "0 or more" });
        };
        for _ in 0..count {
            let before = self.at;
            (parts.header_key, parts.header_value) = (None, None);
            self.fields(inner, parts, scratch)?;
            if self.at == before {
                // Headers of no bytes would let a count of a few bytes fill the memory.
                return self.short("%h", self.rest().len() + 1);
            }
            let bytes = self.bytes;
            let Scratch { bytes: decoded, headers } = scratch;
            let of = |part: &Option<Part>| match part {
                Some(Part::Input(range)) => bytes.get(range.clone()),
                Some(Part::Scratch(range)) => decoded.get(range.clone()),
                None => None,
            };
            match of(&parts.header_key) {
                Some(key) => HeaderBytes::push(headers, key, of(&parts.header_value)),
                None => return self.bad(InputProblem::NullHeaderKey),
            }
        }
        Ok(())
    }
}

/// The number printed as these `bits`: -1 is all of them set, in every width; anything else is not negative.
fn printed_as(raw: u64, bits: u32) -> i64 {
    let all_set = u64::MAX >> 64_u32.saturating_sub(bits);
    if raw == all_set { -1 } else { raw.cast_signed() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{Record, by_every_cut, read};
    use super::super::{Grammar, Input};
    use super::*;
    use crate::cli::record_format::test_records::{CONTEXT, Header, printed, record};
    use crate::cli::record_format::{RecordFormat, TextFormat};

    fn grammar(format: &str) -> Grammar {
        Grammar::Format(InputFormat::parse(format, Fixed::default()).unwrap())
    }

    #[test]
    fn tokens_take_delimited_and_sized_fields() {
        let plain = |key: Option<&[u8]>, value: Option<&[u8]>| Record::of(key, value);
        let cases: &[(&str, &[u8], Vec<Record>)] = &[
            (r"%k %s\n", b"a b c\nd e", vec![plain(Some(b"a"), Some(b"b c")), plain(Some(b"d"), Some(b"e"))]),
            (r"%v\n", b"\n\nx", vec![plain(None, Some(b"")), plain(None, Some(b"")), plain(None, Some(b"x"))]),
            (r"%s", b"all\nof it", vec![plain(None, Some(b"all\nof it"))]),
            (
                r"%K{big32}%S{little16}%k%s",
                b"\0\0\0\x01\x02\0kvv\xff\xff\xff\xff\xff\xff",
                vec![plain(Some(b"k"), Some(b"vv")), plain(None, None)],
            ),
            (r"%R%s", b"\0\0\0\x03a\nb\0\0\0\0", vec![plain(None, Some(b"a\nb")), plain(None, Some(b""))]),
            (r"%K:%k=%S:%s;", b"1:k=-1:;0:=2:;;;", vec![plain(Some(b"k"), None), plain(Some(b""), Some(b";;"))]),
            (r"%k{hex},%s{base64}\n", b"6B6b,dnY=\n", vec![plain(Some(b"kk"), Some(b"vv"))]),
            (
                r"%t/%p@%o %T %e|%s\n",
                b"top/3@41 -1 7|v\n",
                vec![Record {
                    topic: Some("top".to_owned()),
                    partition: Some(3),
                    offset: Some(41),
                    timestamp_ms: Some(-1),
                    leader_epoch: Some(7),
                    ..plain(None, Some(b"v"))
                }],
            ),
            (
                r"%H %h{%k=%v;}%s\n",
                b"2 a=1;a=;v\n0 w\n",
                vec![
                    Record {
                        headers: vec![(b"a".to_vec(), Some(b"1".to_vec())), (b"a".to_vec(), Some(vec![]))],
                        ..plain(None, Some(b"v"))
                    },
                    plain(None, Some(b"w")),
                ],
            ),
        ];
        for (format, input, expected) in cases {
            for found in by_every_cut(input, || grammar(format)) {
                assert_eq!(found, expected.iter().cloned().map(Ok).collect::<Vec<_>>(), "{format}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_the_format_is_said_with_its_place() {
        let cases: &[(&str, &[u8], &[&str])] = &[
            (r"%k %s\n", b"nokey\na b\n", &["record 1 at byte 0: expected after %k ' ', found none", "a=b"]),
            (r"%p,%s\n", b"x,1\n7,v\n", &["record 1 at byte 0: expected a number for %p, found 'x'", "-=v"]),
            (r"%p,%s\n", b"3000000000,1\n", &["record 1 at byte 0: %p is 3000000000, expected a 32-bit number"]),
            (r"a%s\n", b"ax\n\x1b[31m\n", &["-=x", r"record 2 at byte 3: expected 'a', found '\x1b'"]),
            (r"%p\n", b"1 2\n", &["record 1 at byte 1: 2 bytes remain after the format's last token"]),
            (r"%K{big16}%k", b"\0\x05ab", &["record 1 at byte 2: the input ends in %k"]),
            (r"%K{big32}%k", b"\x7f\0\0\0ab", &["record 1 at byte 4: is longer than 1000 bytes"]),
            (r"%K %k;", b"-2 ;", &["record 1 at byte 3: %k is -2, expected a size of -1 or more"]),
            (r"%k{hex}\n", b"6\n", &["record 1 at byte 0: %k is not hexadecimal"]),
            (r"%t\n", b"\xff\n", &["record 1 at byte 0: %t is not UTF-8"]),
            (
                r"%H{big32}%h{%K{byte}%k}",
                b"\x7f\xff\xff\xff\x01a",
                &["record 1 at byte 6: the input ends in %K of a header"],
            ),
            (r"%H{byte}%h{%K{byte}%k}", b"\x01\xff", &["record 1 at byte 2: header key is null, expected text"]),
        ];
        for (format, input, expected) in cases {
            let found: Vec<_> = read(Input::with_limit(*input, grammar(format), 1_000))
                .into_iter()
                .map(|record| match record {
                    Ok(record) => {
                        let text = |bytes: Option<Vec<u8>>| bytes.map_or("-".into(), |b| b.escape_ascii().to_string());
                        format!("{}={}", text(record.key), text(record.value))
                    }
                    Err(error) => error,
                })
                .collect();
            assert_eq!(found, *expected, "{format}");
        }
    }

    #[test]
    fn formats_that_cannot_be_read_by_name_the_column() {
        let cases = [
            ("", 1, "empty"),
            ("%k%s\n", 1, "nothing says where the token ends"),
            ("%s %z", 4, "unknown token '%z'"),
            ("ab%x\n", 3, "printed but not read"),
            ("%s\n%i", 4, "printed but not read"),
            ("é%d{rfc3339}", 2, "printed but not read"),
            ("%s{json}\n", 1, "{json} cannot be read back"),
            ("%h\n", 1, "%h alone"),
            ("%s %h{%k=%v }", 4, "needs the number of headers"),
            ("%H %h{%v;}", 4, "holds no key"),
            ("%H %h{%k}", 4, "nothing says where the token ends"),
            ("%p%o\n", 1, "nothing says where the number ends"),
            ("%a{compression} %s", 1, "printed but not read"),
        ];
        for (format, column, what) in cases {
            let error = InputFormat::parse(format, Fixed::default()).unwrap_err();
            assert!(error.column == column && error.what.contains(what), "{format}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_a_sized_format_prints_it_reads(
            key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
            value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..400)),
            headers in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..9), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9))),
                0..4,
            ),
            format in prop_oneof![
                Just("%K{big32}%S{little64}%H{byte}%o{hex64}%T{big64}%h{%K{hex8}%V{big16}%k%v}%k%s"),
                Just("%K %S %H %o %T %h{%K;%V;%k{hex}%v}%k{base64}|%s{hex}\n"),
            ],
        ) {
            let given: Vec<Header<'_>> = headers.iter().map(|(k, v)| (k.as_slice(), v.as_deref())).collect();
            let stored = record(5, 6, key.as_deref(), value.as_deref(), &given);
            let mut line = printed(RecordFormat::Text(TextFormat::parse(format).unwrap()), &CONTEXT, &stored);
            line.extend_from_within(..);
            let expected = Record {
                headers, offset: Some(5), timestamp_ms: Some(6), ..Record::of(key.as_deref(), value.as_deref())
            };
            prop_assert_eq!(read(Input::new(&line[..], grammar(format))), [Ok(expected.clone()), Ok(expected)]);
        }
    }
}
