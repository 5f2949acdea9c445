//! Delimited values: kcat's `-K` and `-D`, and console-producer's properties.

use memchr::{memchr, memmem};
use thiserror::Error;

use super::{Fault, Fixed, HeaderBytes, InputProblem, InputRecord, Scratch};
use crate::batch::Headers;

/// Why options do not make a grammar.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum SetupError {
    /// An empty delimiter would end a record before every byte.
    #[error("{0} is empty, expected one byte or more")]
    Empty(&'static str),
    /// No `=`.
    #[error("'{0}' is not KEY=VALUE")]
    NotAPair(String),
    /// Two separators that could not be told apart.
    #[error("{0} and {1} may not be equal")]
    Equal(&'static str, &'static str),
    /// None that Kafka's reader knows.
    #[error(
        "unknown property '{0}', expected parse.key, key.separator, parse.headers, headers.delimiter, \
         headers.separator, headers.key.separator, null.marker or ignore.error"
    )]
    Unknown(String),
}

/// What ends a record, or a key.
#[derive(Clone, Debug)]
pub(super) enum Delimiter {
    Byte(u8),
    Bytes(Box<memmem::Finder<'static>>),
}

impl Delimiter {
    /// `None` when there is nothing to find.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [] => None,
            [byte] => Some(Delimiter::Byte(*byte)),
            bytes => Some(Delimiter::Bytes(Box::new(memmem::Finder::new(bytes).into_owned()))),
        }
    }

    #[inline]
    pub(super) fn find(&self, haystack: &[u8]) -> Option<usize> {
        match self {
            Delimiter::Byte(byte) => memchr(*byte, haystack),
            Delimiter::Bytes(finder) => finder.find(haystack),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Delimiter::Byte(_) => 1,
            Delimiter::Bytes(finder) => finder.needle().len(),
        }
    }
}

/// Delimited values.
///
/// An empty line is a record with an empty value, as for console-producer; kcat leaves empty lines out, which
/// [`Lines::with_empty_lines_skipped`] does. The last line needs no delimiter.
#[derive(Clone, Debug)]
pub struct Lines {
    delimiter: Delimiter,
    key_delimiter: Option<Delimiter>,
    console: Option<ConsoleReader>,
    fixed: Fixed,
    pub(super) skips_empty: bool,
}

impl Lines {
    /// Records that end with `delimiter` (`-D`, escapes already replaced).
    pub fn new(delimiter: &[u8], fixed: Fixed) -> Result<Self, SetupError> {
        let delimiter = Delimiter::new(delimiter).ok_or(SetupError::Empty("the record delimiter"))?;
        Ok(Lines { delimiter, key_delimiter: None, console: None, fixed, skips_empty: false })
    }

    /// What stands before the first `delimiter` of a record is its key (`-K`); without one, there is no key.
    pub fn with_key_delimiter(mut self, delimiter: &[u8]) -> Result<Self, SetupError> {
        self.key_delimiter = Some(Delimiter::new(delimiter).ok_or(SetupError::Empty("the key delimiter"))?);
        Ok(self)
    }

    /// Headers and keys are taken out as console-producer does.
    ///
    /// A carriage return before the newline is no part of the line then, as for Java's `BufferedReader`.
    pub fn with_console(mut self, console: ConsoleReader) -> Self {
        self.console = Some(console);
        self
    }

    /// Leaves empty lines out, as kcat does; they count as records in numbers all the same.
    pub fn with_empty_lines_skipped(mut self) -> Self {
        self.skips_empty = true;
        self
    }

    pub(super) fn delimiter(&self) -> &Delimiter {
        &self.delimiter
    }

    #[inline]
    pub(super) fn parse<'a>(&'a self, line: &'a [u8], scratch: &'a mut Scratch) -> Result<InputRecord<'a>, Fault> {
        if let Some(console) = &self.console {
            let line = match self.delimiter {
                Delimiter::Byte(b'\n') => line.strip_suffix(b"\r").unwrap_or(line),
                _ => line,
            };
            return console.parse(line, &self.fixed, scratch);
        }
        let split = self.key_delimiter.as_ref().and_then(|delimiter| {
            let at = delimiter.find(line)?;
            Some((line.get(..at)?, line.get(at + delimiter.len()..)?))
        });
        let (key, value) = match split {
            Some((key, value)) => (Some(key), value),
            None => (None, line),
        };
        Ok(InputRecord::new(self.fixed.key(key), self.fixed.value(Some(value)), self.fixed.headers.view()))
    }
}

/// What stands before a separator, and what after it.
type Halves<'a> = (&'a [u8], &'a [u8]);

/// console-producer's `--property` settings (`LineMessageReader` of Kafka 4.3).
///
/// Separators are taken as they are: Kafka takes `headers.separator` for a regular expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleReader {
    parse_key: bool,
    key_separator: String,
    parse_headers: bool,
    headers_delimiter: String,
    headers_separator: String,
    headers_key_separator: String,
    null_marker: Option<String>,
    ignore_error: bool,
}

impl ConsoleReader {
    /// Takes `KEY=VALUE` settings; later ones count. Separators have no escapes, and any text but "true" means false.
    pub fn new<S: AsRef<str>>(properties: impl IntoIterator<Item = S>) -> Result<Self, SetupError> {
        let mut reader = ConsoleReader {
            parse_key: false,
            key_separator: "\t".to_owned(),
            parse_headers: false,
            headers_delimiter: "\t".to_owned(),
            headers_separator: ",".to_owned(),
            headers_key_separator: ":".to_owned(),
            null_marker: None,
            ignore_error: false,
        };
        for property in properties {
            reader.set(property.as_ref())?;
        }
        reader.check()?;
        Ok(reader)
    }

    fn set(&mut self, property: &str) -> Result<(), SetupError> {
        let (name, value) = property.split_once('=').ok_or_else(|| SetupError::NotAPair(property.to_owned()))?;
        let flag = value.trim().eq_ignore_ascii_case("true");
        let text = || value.to_owned();
        match name {
            "parse.key" => self.parse_key = flag,
            "key.separator" => self.key_separator = text(),
            "parse.headers" => self.parse_headers = flag,
            "headers.delimiter" => self.headers_delimiter = text(),
            "headers.separator" => self.headers_separator = text(),
            "headers.key.separator" => self.headers_key_separator = text(),
            "null.marker" => self.null_marker = Some(text()),
            "ignore.error" => self.ignore_error = flag,
            _ => return Err(SetupError::Unknown(name.to_owned())),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), SetupError> {
        let [delimiter, separator, key_separator, own] =
            ["headers.delimiter", "headers.separator", "headers.key.separator", "key.separator"];
        let named = [
            (delimiter, &self.headers_delimiter),
            (separator, &self.headers_separator),
            (key_separator, &self.headers_key_separator),
            (own, &self.key_separator),
        ];
        if let Some((name, _)) = named.iter().find(|(_, text)| text.is_empty()) {
            return Err(SetupError::Empty(name));
        }
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            if named[a].1 == named[b].1 {
                return Err(SetupError::Equal(named[a].0, named[b].0));
            }
        }
        match named.iter().find(|(_, text)| Some(*text) == self.null_marker.as_ref()) {
            Some((name, _)) => Err(SetupError::Equal("null.marker", name)),
            None => Ok(()),
        }
    }

    /// What of `rest` stands before `separator`, and what after it; `None` when errors are ignored and it is missing.
    fn split<'a>(
        &self,
        rest: &'a [u8],
        what: &'static str,
        separator: &str,
    ) -> Result<Option<Halves<'a>>, InputProblem> {
        match memmem::find(rest, separator.as_bytes()) {
            Some(at) => {
                let (before, after) = rest.split_at(at);
                Ok(Some((before, after.get(separator.len()..).unwrap_or_default())))
            }
            None if self.ignore_error => Ok(None),
            None => Err(InputProblem::Separator { what, separator: separator.escape_default().to_string() }),
        }
    }

    fn nullable<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        (Some(bytes) != self.null_marker.as_deref().map(str::as_bytes)).then_some(bytes)
    }

    fn parse<'a>(&self, line: &'a [u8], fixed: &'a Fixed, scratch: &'a mut Scratch) -> Result<InputRecord<'a>, Fault> {
        let (mut rest, mut headers, mut key) = (line, None, None);
        if self.parse_headers
            && let Some((found, after)) = self.split(rest, "headers delimiter", &self.headers_delimiter)?
        {
            (headers, rest) = (self.nullable(found), after);
        }
        if self.parse_key
            && let Some((found, after)) = self.split(rest, "key separator", &self.key_separator)?
        {
            (key, rest) = (self.nullable(found), after);
        }
        let headers: Headers<'a> = match headers {
            None => fixed.headers.view(),
            Some(text) => {
                scratch.headers.clear();
                self.headers(text, &mut scratch.headers)?;
                scratch.headers.extend(&fixed.headers);
                scratch.headers.view()
            }
        };
        Ok(InputRecord::new(fixed.key(key), fixed.value(self.nullable(rest)), headers))
    }

    /// `LineMessageReader.splitHeaders`. As Java's `split` does, empty pairs at the end are left out.
    fn headers(&self, mut text: &[u8], out: &mut HeaderBytes) -> Result<(), InputProblem> {
        let separator = self.headers_separator.as_bytes();
        let is_one = memmem::find(text, separator).is_none();
        while !is_one && text.ends_with(separator) {
            text = text.strip_suffix(separator).unwrap_or_default();
        }
        if text.is_empty() && !is_one {
            return Ok(());
        }
        loop {
            let at = memmem::find(text, separator);
            let (pair, rest) = match at {
                Some(at) => (text.get(..at), text.get(at + separator.len()..)),
                None => (Some(text), None),
            };
            let pair = pair.unwrap_or_default();
            match self.split(pair, "header key separator", &self.headers_key_separator)? {
                None => out.push(pair, None),
                Some((key, value)) => {
                    let key = self.nullable(key).ok_or(InputProblem::NullHeaderKey)?;
                    out.push(key, self.nullable(value));
                }
            }
            match rest {
                Some(rest) => text = rest,
                None => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Record, by_every_cut};
    use super::super::{Fixed, Grammar};
    use super::*;

    fn shown(record: &Result<Record, String>) -> String {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or("-".into(), |b| b.escape_ascii().to_string());
        match record {
            Ok(record) => {
                let mut shown = format!("{}={}", text(&record.key), text(&record.value));
                for (key, value) in &record.headers {
                    shown += &format!(" {}:{}", key.escape_ascii(), text(value));
                }
                shown
            }
            Err(error) => error.clone(),
        }
    }

    fn check(input: &[u8], expected: &[&str], lines: impl Fn() -> Lines) {
        for found in by_every_cut(input, || Grammar::Lines(lines())) {
            assert_eq!(found.iter().map(shown).collect::<Vec<_>>(), expected, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn delimiters_split_records_and_keys() {
        type Case<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8], &'a [&'a str]);
        let cases: &[Case<'_>] = &[
            (b"\n", None, b"", &[]),
            (b"\n", None, b"a", &["-=a"]),
            (b"\n", None, b"a\n\nb\r\n", &["-=a", "-=", r"-=b\r"]),
            (b"\n", None, b"\n", &["-="]),
            (b"\n", Some(b":"), b"k:v:w\nnone\n:\nk:\n", &["k=v:w", "-=none", "=", "k="]),
            (b"\0", Some(b"=>"), b"k=>v\0=\0>\0\xff=>\n", &["k=v", "-==", "-=>", r"\xff=\n"]),
            (b"--", None, b"a---b--", &["-=a", "-=-b"]),
            (b"aab", None, b"aaabaaab", &["-=a", "-=a"]),
        ];
        for (delimiter, key, input, expected) in cases {
            check(input, expected, || {
                let lines = Lines::new(delimiter, Fixed::default()).unwrap();
                match key {
                    Some(key) => lines.with_key_delimiter(key).unwrap(),
                    None => lines,
                }
            });
        }
    }

    #[test]
    fn fixed_keys_headers_and_nulls() {
        let lines = |fixed: Fixed| Lines::new(b"\n", fixed).unwrap().with_key_delimiter(b":").unwrap();
        let fixed = || Fixed::default().with_key(b"f").with_header(b"h", Some(b"1")).with_header(b"h", None);
        check(b"v\nk:v\n:\n", &["f=v h:1 h:-", "k=v h:1 h:-", "= h:1 h:-"], || lines(fixed()));
        let null = || Fixed::default().with_empty_as_null(true);
        check(b"\n:\nk:\n:v", &["-=-", "-=-", "k=-", "-=v"], || lines(null()));
        check(b":v", &["f=v"], || lines(null().with_key(b"f")));
        check(b"\n\na\n\n", &["-=a"], || lines(Fixed::default()).with_empty_lines_skipped());
        for (name, found) in [
            ("the record delimiter", Lines::new(b"", Fixed::default()).err()),
            ("the key delimiter", lines(Fixed::default()).with_key_delimiter(b"").err()),
        ] {
            assert_eq!(found, Some(SetupError::Empty(name)));
        }
    }

    #[test]
    fn console_producer_properties() {
        let cases: &[(&[&str], &[u8], &[&str])] = &[
            (&[], b"a\tb\r\n\n", &[r"-=a\tb", "-="]),
            (
                &["parse.key=true"],
                b"k\tv\tw\nnone\n",
                &[r"k=v\tw", r"record 2 at byte 6: expected key separator '\t', found none"],
            ),
            (&["parse.key=TRUE", "key.separator==>", "ignore.error=true"], b"k=>v\nnone", &["k=v", "-=none"]),
            (&["parse.headers=true", "parse.key=true"], b"a:1,b:x:y,a:\tk\tv\n", &["k=v a:1 b:x:y a: f:1"]),
            (&["parse.headers=true"], b"a:1,,\tv\n,\tv\n", &["-=v a:1 f:1", "-=v f:1"]),
            (
                &["parse.headers=true"],
                b"\tv\nab\tv\n",
                &[
                    "record 1 at byte 0: expected header key separator ':', found none",
                    "record 2 at byte 3: expected header key separator ':', found none",
                ],
            ),
            (&["parse.headers=true", "ignore.error=true"], b"ab\tv\n", &["-=v ab:- f:1"]),
            (
                &["parse.headers=true", "parse.key=true", "null.marker=NULL"],
                b"NULL\tNULL\tNULL\na:NULL\tk\tv\nNULL:1\tk\tv\n",
                &["-=- f:1", "k=v a:- f:1", "record 3 at byte 26: header key is null, expected text"],
            ),
            (&["parse.key=false", "parse.key=yes"], b"a\tb", &[r"-=a\tb"]),
        ];
        for (properties, input, expected) in cases {
            let has_headers = properties.contains(&"parse.headers=true");
            check(input, expected, || {
                let fixed = if has_headers { Fixed::default().with_header(b"f", Some(b"1")) } else { Fixed::default() };
                Lines::new(b"\n", fixed).unwrap().with_console(ConsoleReader::new(*properties).unwrap())
            });
        }
        let refused: &[(&[&str], &str)] = &[
            (&["parse.key"], "'parse.key' is not KEY=VALUE"),
            (&["headers.delimiter=,"], "headers.delimiter and headers.separator may not be equal"),
            (&["headers.separator=:"], "headers.separator and headers.key.separator may not be equal"),
            (&["null.marker=x", "key.separator=x"], "null.marker and key.separator may not be equal"),
            (&["key.separator="], "key.separator is empty, expected one byte or more"),
        ];
        for (properties, expected) in refused {
            assert_eq!(ConsoleReader::new(*properties).unwrap_err().to_string(), *expected);
        }
        assert!(matches!(ConsoleReader::new(["parse.keys=true"]), Err(SetupError::Unknown(_))));
    }
}
