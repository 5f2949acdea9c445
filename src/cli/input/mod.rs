//! Bytes of stdin or of a file as records to produce.
//!
//! ```text
//!  source --fill--> buffer --next_buffered--> InputRecord (borrowed from the buffer)
//!                                |
//!                    Grammar: Lines | Json | Format | Whole
//! ```
//!
//! [`Input::next_buffered`] gives the records that have been read already and never blocks; [`Input::fill`] reads
//! more. Between the two the caller can flush, so that a slow writer at the other end of a pipe sees its records
//! stored:
//!
//! ```
//! use logdir::cli::input::{Fixed, Grammar, Input, Lines};
//!
//! let lines = Lines::new(b"\n", Fixed::default())?.with_key_delimiter(b":")?;
//! let mut input = Input::new(&b"k1:v1\nk2:v2"[..], Grammar::Lines(lines));
//! let mut keys = Vec::new();
//! loop {
//!     while let Some(record) = input.next_buffered() {
//!         keys.push(record?.key.map(<[u8]>::to_vec));
//!     }
//!     if !input.fill()? {
//!         break;
//!     }
//! }
//! assert_eq!(keys, [Some(b"k1".to_vec()), Some(b"k2".to_vec())]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! No byte of a record is ever part of an error's text, except a few and escaped.

mod format;
mod json;
mod lines;

use std::io::{self, Read};
use std::ops::Range;

use thiserror::Error;

pub use self::format::InputFormat;
use self::format::Stop;
use self::lines::Delimiter;
pub use self::lines::{ConsoleReader, Lines, SetupError};
use crate::batch::Headers;
use crate::types::{LeaderEpoch, Offset, TimestampMs, TimestampType};
use crate::wire::put_varint;

/// Bytes asked for at a time.
pub const CHUNK_BYTES: usize = 256 << 10;
/// The longest record by default.
pub const MAX_RECORD_BYTES: usize = 128 << 20;

/// One record of the input: what it says of itself, and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct InputRecord<'a> {
    /// The key; `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for null.
    pub value: Option<&'a [u8]>,
    /// The headers in order, encoded as a record stores them.
    pub headers: Headers<'a>,
    /// Topic it names.
    pub topic: Option<&'a str>,
    /// Partition it names.
    pub partition: Option<i32>,
    /// Offset it had.
    pub offset: Option<Offset>,
    /// Its timestamp.
    pub timestamp_ms: Option<TimestampMs>,
    /// Which clock the timestamp was of.
    pub timestamp_type: Option<TimestampType>,
    /// Leader epoch it was written under.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl<'a> InputRecord<'a> {
    /// A record of which only this is said.
    const fn new(key: Option<&'a [u8]>, value: Option<&'a [u8]>, headers: Headers<'a>) -> Self {
        InputRecord {
            key,
            value,
            headers,
            topic: None,
            partition: None,
            offset: None,
            timestamp_ms: None,
            timestamp_type: None,
            leader_epoch: None,
        }
    }
}

/// What the options give to every record: `-k`, `-H` and `-Z`.
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    key: Option<Vec<u8>>,
    headers: HeaderBytes,
    empty_is_null: bool,
}

impl Fixed {
    /// The key of records that bring none (`-k`).
    pub fn with_key(mut self, key: &[u8]) -> Self {
        self.key = Some(key.to_vec());
        self
    }

    /// One more header, after those of the record (`-H`); `None` for a null value.
    pub fn with_header(mut self, key: &[u8], value: Option<&[u8]>) -> Self {
        self.headers.push(key, value);
        self
    }

    /// Whether empty keys and values become null (`-Z`).
    pub fn with_empty_as_null(mut self, empty_is_null: bool) -> Self {
        self.empty_is_null = empty_is_null;
        self
    }

    #[inline]
    fn value<'a>(&self, value: Option<&'a [u8]>) -> Option<&'a [u8]> {
        value.filter(|value| !(self.empty_is_null && value.is_empty()))
    }

    /// As in kcat, a key that `-Z` made null gets the fixed one.
    #[inline]
    fn key<'a>(&'a self, key: Option<&'a [u8]>) -> Option<&'a [u8]> {
        self.value(key).or(self.key.as_deref())
    }
}

/// Headers in the form a record stores them.
#[derive(Clone, Debug, Default)]
struct HeaderBytes {
    count: u32,
    bytes: Vec<u8>,
}

impl HeaderBytes {
    fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
    }

    fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.count = self.count.saturating_add(1);
        self.bytes(key);
        match value {
            Some(value) => self.bytes(value),
            None => put_varint(&mut self.bytes, -1),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        // The cap of a record is far below 2 GiB.
        put_varint(&mut self.bytes, i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        self.bytes.extend_from_slice(bytes);
    }

    fn extend(&mut self, other: &HeaderBytes) {
        self.count = self.count.saturating_add(other.count);
        self.bytes.extend_from_slice(&other.bytes);
    }

    fn view(&self) -> Headers<'_> {
        Headers::of_parts(self.count, &self.bytes)
    }
}

/// How bytes become records.
#[derive(Clone, Debug)]
pub enum Grammar {
    /// Delimited values, with a key where a delimiter says so.
    Lines(Lines),
    /// JSON lines, as `consume --json` and kcat's `-J` print them. Blank lines are skipped.
    Json,
    /// By a `-f` format.
    Format(InputFormat),
    /// The whole input is one value, empty or not.
    Whole(Fixed),
}

/// Where a record begins that cannot be used, and why.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("record {record} at byte {position}: {problem}")]
pub struct InputError {
    /// Number of the record from 1, bad ones and blank lines included: the line, where newlines end records.
    pub record: u64,
    /// Byte of the input the record starts at, or the field in it that is wrong, where that is known; from 0.
    pub position: u64,
    /// What is wrong.
    pub problem: InputProblem,
}

/// What is wrong with a record.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum InputProblem {
    /// It does not end within the limit.
    #[error("is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// A separator that must be there is not.
    #[error("expected {what} '{separator}', found none")]
    Separator {
        /// What it separates.
        what: &'static str,
        /// The separator, escaped.
        separator: String,
    },
    /// A header without key.
    #[error("header key is null, expected text")]
    NullHeaderKey,
    /// Not a line of JSON, or a field of the wrong kind.
    #[error("expected a JSON object: {0}")]
    Json(String),
    /// A field in base64 that is not.
    #[error("field {field}: expected padded base64")]
    Base64 {
        /// The field.
        field: &'static str,
    },
    /// A field that must be there is not. A null value must be said: it deletes the key at compaction.
    #[error("expected {expected}, found none of them")]
    Missing {
        /// The fields of which one is needed.
        expected: &'static str,
    },
    /// The same thing said by two fields.
    #[error("expected one of {fields}, found both")]
    Twice {
        /// The fields.
        fields: &'static str,
    },
    /// A commit or abort marker, or another control record; those are not data.
    #[error("is a control record, expected data")]
    Control,
    /// A timestamp type that is none.
    #[error("expected timestamp type create or log_append, found another word")]
    TimestampType,
    /// kcat's headers are key, value, key, value; this is where they are not.
    #[error("expected headers as objects, or as pairs of key and value")]
    Headers,
    /// The format wants these bytes here.
    #[error("expected '{expected}', found '{found}'")]
    Literal {
        /// What the format says, escaped.
        expected: String,
        /// What stands there, escaped and cut.
        found: String,
    },
    /// The format wants a number here.
    #[error("expected a number for {field}, found '{found}'")]
    Number {
        /// What it would be.
        field: &'static str,
        /// What stands there, escaped and cut.
        found: String,
    },
    /// A number that its field cannot hold.
    #[error("{field} is {found}, expected {expected}")]
    Range {
        /// The field.
        field: &'static str,
        /// The number.
        found: i64,
        /// What it may be.
        expected: &'static str,
    },
    /// The input ends inside the record.
    #[error("the input ends in {field}")]
    Cut {
        /// Where.
        field: &'static str,
    },
    /// More than the format describes.
    #[error("{bytes} bytes remain after the format's last token")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// Bytes that are not what their modifier says.
    #[error("{field} is not {coding}")]
    Coding {
        /// The field.
        field: &'static str,
        /// Hexadecimal, base64 or UTF-8.
        coding: &'static str,
    },
}

/// The first bytes of `found` for a message: escaped, so that no terminal obeys them.
fn excerpt(found: &[u8]) -> String {
    const SHOWN: usize = 16;
    let shown = found.get(..SHOWN).unwrap_or(found).escape_ascii().to_string();
    if found.len() > SHOWN { format!("{shown}...") } else { shown }
}

/// Memory reused from record to record.
#[derive(Debug, Default)]
struct Scratch {
    bytes: Vec<u8>,
    headers: HeaderBytes,
}

/// Bytes that lie in the input or were decoded.
#[derive(Clone, Debug)]
enum Place<'a> {
    Input(&'a [u8]),
    Scratch(Range<usize>),
}

impl<'a> Place<'a> {
    fn bytes(&self, scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Place::Input(bytes) => bytes,
            Place::Scratch(range) => scratch.get(range.clone()).unwrap_or_default(),
        }
    }
}

/// What is wrong, and at which byte of the record.
#[derive(Debug)]
struct Fault {
    problem: InputProblem,
    at: usize,
}

impl From<InputProblem> for Fault {
    fn from(problem: InputProblem) -> Self {
        Fault { problem, at: 0 }
    }
}

/// The records of one source.
#[derive(Debug)]
pub struct Input<R> {
    source: R,
    grammar: Grammar,
    held: Held,
    scratch: Scratch,
}

/// What was read and not yet returned, and where in the input that is.
#[derive(Debug)]
struct Held {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Position of the buffer's first byte in the input.
    buffer_at: u64,
    /// Bytes from `start` on in which there is no delimiter, or which a format needs at least.
    searched: usize,
    record: u64,
    record_at: u64,
    is_ended: bool,
    limit: usize,
}

impl Held {
    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Counts the record of `len` bytes, and `skipped` bytes after it, as returned. The bytes stay where they are.
    #[inline]
    fn take(&mut self, len: usize, skipped: usize) -> Range<usize> {
        let from = self.start;
        self.record += 1;
        self.record_at = self.buffer_at + from as u64;
        self.start = from + len + skipped;
        self.searched = 0;
        from..from + len
    }

    /// The next record up to `delimiter` or the end; `None` when that is not read yet.
    #[inline]
    fn frame(&mut self, delimiter: &Delimiter) -> Option<Result<Range<usize>, InputError>> {
        let rest = self.rest();
        let (len, skipped) = match delimiter.find(rest.get(self.searched..).unwrap_or_default()) {
            Some(at) => (self.searched + at, delimiter.len()),
            None if rest.is_empty() => return None,
            None if self.is_ended => (rest.len(), 0),
            None if rest.len() > self.limit => return Some(Err(self.give_up())),
            None => {
                // A delimiter of several bytes may be half here.
                self.searched = rest.len().saturating_sub(delimiter.len() - 1);
                return None;
            }
        };
        let range = self.take(len, skipped);
        if len > self.limit {
            return Some(Err(self.error(InputProblem::TooLong { limit: self.limit }.into())));
        }
        Some(Ok(range))
    }

    /// The next record that `skips` does not want left out.
    fn frame_unless(
        &mut self,
        delimiter: &Delimiter,
        skips: impl Fn(&[u8]) -> bool,
    ) -> Option<Result<Range<usize>, InputError>> {
        loop {
            let framed = self.frame(delimiter);
            match &framed {
                Some(Ok(range)) if skips(self.buffer.get(range.clone()).unwrap_or_default()) => {}
                _ => return framed,
            }
        }
    }

    /// All there is, when that is known.
    fn whole(&mut self) -> Option<Result<Range<usize>, InputError>> {
        let len = self.end - self.start;
        if len > self.limit {
            return Some(Err(self.give_up()));
        }
        (self.is_ended && self.record == 0).then(|| Ok(self.take(len, 0)))
    }

    /// The record at `start` cannot end: nothing after it can be found.
    fn give_up(&mut self) -> InputError {
        self.end_with(InputProblem::TooLong { limit: self.limit }.into())
    }

    fn end_with(&mut self, fault: Fault) -> InputError {
        let len = self.end - self.start;
        self.take(len, 0);
        self.is_ended = true;
        self.error(fault)
    }

    fn error(&self, fault: Fault) -> InputError {
        InputError { record: self.record, position: self.record_at + fault.at as u64, problem: fault.problem }
    }
}

impl<R: Read> Input<R> {
    /// Reads `source` by `grammar`, records of up to [`MAX_RECORD_BYTES`].
    pub fn new(source: R, grammar: Grammar) -> Self {
        Input::with_limit(source, grammar, MAX_RECORD_BYTES)
    }

    /// Reads `source` by `grammar`; a record above `limit` bytes (at most 1 GiB) is an error.
    pub fn with_limit(source: R, grammar: Grammar, limit: usize) -> Self {
        let held = Held {
            buffer: Vec::new(),
            start: 0,
            end: 0,
            buffer_at: 0,
            searched: 0,
            record: 0,
            record_at: 0,
            is_ended: false,
            limit: limit.min(1 << 30),
        };
        Input { source, grammar, held, scratch: Scratch::default() }
    }

    /// What it reads.
    pub const fn source(&self) -> &R {
        &self.source
    }

    /// What it reads, for a look beside the reading.
    pub const fn source_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// Number of the record last returned, from 1, bad ones and blank lines included.
    pub fn record_number(&self) -> u64 {
        self.held.record
    }

    /// Byte of the input that the record last returned starts at, from 0.
    pub fn record_position(&self) -> u64 {
        self.held.record_at
    }

    /// Reads more, blocking where the source blocks: one read of 256 KiB, or of as much as one record holds already.
    ///
    /// `false` once the input has ended and all of its records were returned.
    pub fn fill(&mut self) -> io::Result<bool> {
        let held = &mut self.held;
        if !held.is_ended {
            let len = held.end - held.start;
            if held.start > 0 {
                held.buffer.copy_within(held.start..held.end, 0);
                held.buffer_at += held.start as u64;
                (held.start, held.end) = (0, len);
            }
            let wanted = len + len.max(CHUNK_BYTES);
            if held.buffer.len() < wanted {
                held.buffer.resize(wanted, 0);
            }
            let free = held.buffer.get_mut(len..).unwrap_or_default();
            let read = loop {
                match self.source.read(free) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => break other?,
                }
            };
            held.end = (len + read).min(held.buffer.len());
            held.is_ended = read == 0;
        }
        let has_whole = matches!(self.grammar, Grammar::Whole(_)) && held.record == 0;
        Ok(!held.is_ended || held.start < held.end || has_whole)
    }

    /// The next record, of those read already; `None` when [`Input::fill`] is needed first. Never blocks.
    ///
    /// After an error the next call goes on with the next record, where it is known where that starts. It is not
    /// after a record that is too long and not by a format with sizes: there the input has ended.
    #[inline]
    pub fn next_buffered(&mut self) -> Option<Result<InputRecord<'_>, InputError>> {
        let Input { grammar, held, scratch, .. } = self;
        let grammar: &Grammar = grammar;
        let framed = match grammar {
            Grammar::Lines(lines) if !lines.skips_empty => held.frame(lines.delimiter()),
            Grammar::Lines(lines) => held.frame_unless(lines.delimiter(), <[u8]>::is_empty),
            Grammar::Json => held.frame_unless(&Delimiter::Byte(b'\n'), is_blank),
            Grammar::Format(format) => match format.delimiter() {
                Some(delimiter) => held.frame(delimiter),
                None => return next_of_format(format, held, scratch),
            },
            Grammar::Whole(_) => held.whole(),
        };
        let range = match framed? {
            Ok(range) => range,
            Err(error) => return Some(Err(error)),
        };
        let bytes = held.buffer.get(range).unwrap_or_default();
        let parsed = match grammar {
            Grammar::Lines(lines) => lines.parse(bytes, scratch),
            Grammar::Json => json::parse(bytes, scratch),
            Grammar::Format(format) => format.parse_framed(bytes, held.limit, scratch),
            Grammar::Whole(fixed) => {
                Ok(InputRecord::new(fixed.key(None), fixed.value(Some(bytes)), fixed.headers.view()))
            }
        };
        Some(parsed.map_err(|fault| held.error(fault)))
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// The next record by a format that says itself where a record ends.
fn next_of_format<'a>(
    format: &'a InputFormat,
    held: &'a mut Held,
    scratch: &'a mut Scratch,
) -> Option<Result<InputRecord<'a>, InputError>> {
    let len = held.end - held.start;
    if len == 0 || (len < held.searched && !held.is_ended) {
        return None;
    }
    let parts = match format.scan(held.rest(), held.is_ended, held.limit, scratch) {
        Ok(parts) => parts,
        Err(Stop::More(_)) if len > held.limit => return Some(Err(held.give_up())),
        Err(Stop::More(needed)) => {
            held.searched = needed;
            return None;
        }
        Err(Stop::Bad(fault)) => return Some(Err(held.end_with(fault))),
    };
    if parts.len() == 0 {
        // Nothing was taken, and nothing would be taken of what follows.
        return Some(Err(held.end_with(InputProblem::Trailing { bytes: len }.into())));
    }
    let range = held.take(parts.len(), 0);
    let held: &'a Held = held;
    let bytes = held.buffer.get(range).unwrap_or_default();
    Some(format.record(&parts, bytes, scratch).map_err(|fault| held.error(fault)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record that owns what it says.
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(super) struct Record {
        pub(super) key: Option<Vec<u8>>,
        pub(super) value: Option<Vec<u8>>,
        pub(super) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        pub(super) topic: Option<String>,
        pub(super) partition: Option<i32>,
        pub(super) offset: Option<i64>,
        pub(super) timestamp_ms: Option<i64>,
        pub(super) timestamp_type: Option<TimestampType>,
        pub(super) leader_epoch: Option<i32>,
    }

    impl Record {
        pub(super) fn of(key: Option<&[u8]>, value: Option<&[u8]>) -> Record {
            Record { key: key.map(<[u8]>::to_vec), value: value.map(<[u8]>::to_vec), ..Record::default() }
        }

        fn copied(record: &InputRecord<'_>) -> Record {
            let headers = record.headers.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect();
            Record {
                headers,
                topic: record.topic.map(str::to_owned),
                partition: record.partition,
                offset: record.offset.map(Offset::get),
                timestamp_ms: record.timestamp_ms,
                timestamp_type: record.timestamp_type,
                leader_epoch: record.leader_epoch.map(|epoch| epoch.0),
                ..Record::of(record.key, record.value)
            }
        }
    }

    /// All records, errors as text.
    pub(super) fn read<R: Read>(mut input: Input<R>) -> Vec<Result<Record, String>> {
        let mut records = Vec::new();
        loop {
            while let Some(record) = input.next_buffered() {
                records.push(record.map(|record| Record::copied(&record)).map_err(|error| error.to_string()));
            }
            if !input.fill().unwrap() {
                return records;
            }
        }
    }

    /// Gives `bytes` up to each of `cuts` in one read.
    struct Cut<'a> {
        bytes: &'a [u8],
        cuts: Vec<usize>,
    }

    impl Read for Cut<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let wanted = if self.cuts.is_empty() { self.bytes.len() } else { self.cuts.remove(0) };
            let len = wanted.min(out.len()).min(self.bytes.len());
            if len == 0 && !self.bytes.is_empty() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let (now, later) = self.bytes.split_at(len);
            out[..len].copy_from_slice(now);
            self.bytes = later;
            Ok(len)
        }
    }

    /// What `grammar` reads of `bytes` given in one piece, in two cut at every byte, and byte by byte.
    pub(super) fn by_every_cut(bytes: &[u8], grammar: impl Fn() -> Grammar) -> Vec<Vec<Result<Record, String>>> {
        let mut all: Vec<_> =
            (0..=bytes.len()).map(|cut| read(Input::new(Cut { bytes, cuts: vec![cut] }, grammar()))).collect();
        all.push(read(Input::new(Cut { bytes, cuts: vec![1; bytes.len()] }, grammar())));
        all
    }

    fn lines(delimiter: &[u8]) -> Lines {
        Lines::new(delimiter, Fixed::default()).unwrap()
    }

    #[test]
    fn whole_inputs_are_one_record_and_empty_ones_too() {
        for (bytes, null) in [(&b""[..], false), (b"", true), (b"a\nb\n", false)] {
            let fixed = || Fixed::default().with_key(b"k").with_header(b"h", None).with_empty_as_null(null);
            let value = (!null).then_some(bytes);
            let expected = Record { headers: vec![(b"h".to_vec(), None)], ..Record::of(Some(b"k"), value) };
            for found in by_every_cut(bytes, || Grammar::Whole(fixed())) {
                assert_eq!(found, [Ok(expected.clone())]);
            }
        }
        let found = read(Input::with_limit(&b"12345"[..], Grammar::Whole(Fixed::default()), 4));
        assert_eq!(found, [Err("record 1 at byte 0: is longer than 4 bytes".to_owned())]);
    }

    #[test]
    fn a_record_above_the_limit_is_an_error_that_names_it() {
        let long = [b"ok\n".to_vec(), vec![b'x'; 3 * CHUNK_BYTES], b"\nok".to_vec()].concat();
        let found = read(Input::with_limit(&long[..], Grammar::Lines(lines(b"\n")), CHUNK_BYTES));
        let error = format!("record 2 at byte 3: is longer than {CHUNK_BYTES} bytes");
        assert_eq!(found, [Ok(Record::of(None, Some(b"ok"))), Err(error)]);
        let held = [b"ok\n".to_vec(), vec![b'x'; 30], b"\nok".to_vec()].concat();
        let found = read(Input::with_limit(&held[..], Grammar::Lines(lines(b"\n")), 20));
        assert!(matches!(&found[..], [Ok(_), Err(_), Ok(_)]), "the record after it is known: {found:?}");
        let read = read(Input::new(&long[..], Grammar::Lines(lines(b"\n"))));
        let lens: Vec<_> = read.into_iter().map(|record| record.unwrap().value.unwrap().len()).collect();
        assert_eq!(lens, [2, 3 * CHUNK_BYTES, 2]);
    }

    #[test]
    fn the_caller_learns_what_is_there_before_it_blocks() {
        let mut input = Input::new(Cut { bytes: b"a\nb\nc", cuts: vec![3] }, Grammar::Lines(lines(b"\n")));
        assert!(input.next_buffered().is_none());
        assert!(input.fill().unwrap());
        assert_eq!(input.next_buffered().unwrap().unwrap().value, Some(&b"a"[..]));
        assert!(input.next_buffered().is_none(), "half a line is none");
        assert!(input.fill().unwrap());
        assert_eq!(input.next_buffered().unwrap().unwrap().value, Some(&b"b"[..]));
        assert_eq!((input.record_number(), input.record_position()), (2, 2));
        assert!(input.fill().unwrap(), "the last line waits for the end");
        assert_eq!(input.next_buffered().unwrap().unwrap().value, Some(&b"c"[..]));
        assert!(!input.fill().unwrap());
    }

    fn any_grammar() -> impl Strategy<Value = Grammar> {
        let format = |format: &str| Grammar::Format(InputFormat::parse(format, Fixed::default()).unwrap());
        let console = ConsoleReader::new(["parse.key=true", "parse.headers=true", "null.marker=N"]).unwrap();
        prop_oneof![
            Just(Grammar::Json),
            Just(Grammar::Whole(Fixed::default())),
            Just(Grammar::Lines(lines(b"\n").with_key_delimiter(b":").unwrap())),
            Just(Grammar::Lines(lines(b"\r\n").with_key_delimiter(b"::").unwrap().with_empty_lines_skipped())),
            Just(Grammar::Lines(lines(b"\n").with_console(console))),
            Just(format(r"%k %s\n")),
            Just(format(r"%K{byte}%k%H{byte}%h{%k=%V{byte}%v}%s\n")),
            Just(format(r"%p:%o %S:%s;")),
        ]
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_give_the_same_records_however_they_are_cut(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..60),
                r#"[a:=, \n\r\t;N{}"\[\]0-3]{0,60}"#.prop_map(String::into_bytes),
                r#"(\{"(key|value|payload|headers)":("a"|null|\["a",null\]|\[\{"key":"b"\}\])(,"value":"\\u00e9")?\}\n){0,4}"#
                    .prop_map(String::into_bytes),
            ],
            cuts in proptest::collection::vec(0_usize..20, 0..8),
            grammar in any_grammar(),
        ) {
            let whole = read(Input::new(&bytes[..], grammar.clone()));
            prop_assert_eq!(&whole, &read(Input::new(Cut { bytes: &bytes, cuts }, grammar.clone())));
            prop_assert_eq!(&whole, &read(Input::new(Cut { bytes: &bytes, cuts: vec![1; bytes.len()] }, grammar)));
        }
    }
}
