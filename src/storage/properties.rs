//! Java properties text (`java.util.Properties.load`): ISO-8859-1, comments, escapes, continued lines.

use std::collections::BTreeMap;

use thiserror::Error;

/// Why text is not a properties file.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum PropertiesError {
    /// `\u` without four hex digits behind it (IllegalArgumentException).
    #[error("line {line}: expected four hex digits after \\u")]
    UnicodeEscape {
        /// The line, from 1, on which the entry starts.
        line: usize,
    },
}

/// All keys and values; of a repeated key the last value.
///
/// Escapes can spell half a surrogate pair; here that becomes U+FFFD.
pub fn parse(bytes: &[u8]) -> Result<BTreeMap<String, String>, PropertiesError> {
    let mut entries = BTreeMap::new();
    let mut lines = Lines { rest: bytes, line: 0 };
    while let Some((line, text)) = lines.logical() {
        let (key, value) = split(&text);
        let unescape = |raw| unescape(raw).ok_or(PropertiesError::UnicodeEscape { line });
        entries.insert(unescape(key)?, unescape(value)?);
    }
    Ok(entries)
}

/// Text that [`parse`] reads back, entries in the order given (`java.util.Properties.store`, without its comments).
pub fn to_text<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (key, value) in entries {
        escape(key, true, &mut text);
        text.push('=');
        escape(value, false, &mut text);
        text.push('\n');
    }
    text
}

fn escape(raw: &str, is_key: bool, text: &mut String) {
    for (at, c) in raw.chars().enumerate() {
        match c {
            // A space ends a key, and is skipped before a value.
            ' ' if is_key || at == 0 => text.push_str("\\ "),
            '\\' | '=' | ':' | '#' | '!' => text.extend(['\\', c]),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\x0c' => text.push_str("\\f"),
            ' '..='~' => text.push(c),
            _ => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    text.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
}

/// Lines as they stand in the file.
struct Lines<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Lines<'a> {
    fn natural(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.line += 1;
        let end = self.rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(self.rest.len());
        let (line, tail) = self.rest.split_at(end);
        self.rest = tail.strip_prefix(b"\r\n").or(tail.get(1..)).unwrap_or_default();
        Some(trim_start(line))
    }

    /// The next entry with its continued lines joined, and the line it starts on.
    ///
    /// Blank lines and comments are skipped; neither can be continued, and inside an entry neither is special.
    fn logical(&mut self) -> Option<(usize, Vec<u8>)> {
        let first = loop {
            let line = self.natural()?;
            if !matches!(line.first(), None | Some(b'#' | b'!')) {
                break line;
            }
        };
        let line = self.line;
        let mut text = first.to_vec();
        while ends_in_backslash(&text) {
            text.pop();
            match self.natural() {
                Some(more) => text.extend_from_slice(more),
                None => break,
            }
        }
        Some((line, text))
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0c)
}

fn trim_start(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|b| is_blank(**b)).count()..]
}

/// An even number of backslashes is that many halves of an escaped one.
fn ends_in_backslash(text: &[u8]) -> bool {
    text.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

/// Key and value, still escaped. The key ends at the first blank, `=` or `:` that is not escaped; one
/// `=` or `:` among the blanks behind it is dropped.
fn split(text: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let end = text.iter().position(|&byte| {
        let ends = !escaped && (is_blank(byte) || matches!(byte, b'=' | b':'));
        escaped = byte == b'\\' && !escaped;
        ends
    });
    let (key, rest) = text.split_at(end.unwrap_or(text.len()));
    let rest = trim_start(rest);
    let value = match rest {
        [b'=' | b':', value @ ..] => trim_start(value),
        value => value,
    };
    (key, value)
}

/// `None` when a `\u` is not followed by four hex digits.
fn unescape(raw: &[u8]) -> Option<String> {
    let mut units = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'\\' {
            units.push(u16::from(byte));
            continue;
        }
        let unit = match bytes.next() {
            // A file cannot end in the middle of an escape: what is left is dropped.
            None => break,
            Some(b't') => u16::from(b'\t'),
            Some(b'n') => u16::from(b'\n'),
            Some(b'r') => u16::from(b'\r'),
            Some(b'f') => 0x0c,
            Some(b'u') => {
                let (digits, rest) = bytes.as_slice().split_first_chunk::<4>()?;
                bytes = rest.iter();
                digits.iter().try_fold(0, |unit, &digit| {
                    Some(unit << 4 | u16::try_from(char::from(digit).to_digit(16)?).ok()?)
                })?
            }
            Some(&other) => u16::from(other),
        };
        units.push(unit);
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Recorded from `java.util.Properties.load` of Java 17.
    #[test]
    fn texts_are_read_as_java_reads_them() {
        let cases: [(&str, &[(&str, &str)]); 31] = [
            ("a=b", &[("a", "b")]),
            ("a:b", &[("a", "b")]),
            ("a b", &[("a", "b")]),
            ("a = b", &[("a", "b")]),
            ("a\t:\tb", &[("a", "b")]),
            (" a=b", &[("a", "b")]),
            ("\u{c} a=1", &[("a", "1")]),
            ("a", &[("a", "")]),
            ("a=", &[("a", "")]),
            ("=b", &[("", "b")]),
            ("a\\=b=c", &[("a=b", "c")]),
            ("a\\ b c", &[("a b", "c")]),
            ("a=b\\\n   c", &[("a", "bc")]),
            ("a=b\\\r\n  c\rd=e", &[("a", "bc"), ("d", "e")]),
            ("#x\\\ny=1", &[("y", "1")]),
            ("!x\ny=1", &[("y", "1")]),
            ("a=\\u0041\\t\\n\\q\\\\", &[("a", "A\t\nq\\")]),
            ("a=b \nc", &[("a", "b "), ("c", "")]),
            ("a==b", &[("a", "=b")]),
            ("a:=b", &[("a", "=b")]),
            ("a \\\n = b", &[("a", "b")]),
            ("a=b\\", &[("a", "b")]),
            ("a=1\na=2", &[("a", "2")]),
            ("a=\\\n\n b=2", &[("a", ""), ("b", "2")]),
            ("   \n  # c\n k=v", &[("k", "v")]),
            ("a=b\\\n#c\nd=e", &[("a", "b#c"), ("d", "e")]),
            ("a\\\nb=c", &[("ab", "c")]),
            ("a=x\\\\\nb=y", &[("a", "x\\"), ("b", "y")]),
            ("a = = b", &[("a", "= b")]),
            ("", &[]),
            ("\r\n\n", &[]),
        ];
        for (text, expected) in cases {
            let found = parse(text.as_bytes()).unwrap();
            let found: Vec<_> = found.iter().map(|(k, v)| (&**k, &**v)).collect();
            assert_eq!(found, expected, "{text:?}");
        }
        assert_eq!(parse(b"a=\xe9").unwrap()["a"], "é", "ISO-8859-1");
    }

    #[test]
    fn a_broken_unicode_escape_is_refused_with_its_line() {
        for text in ["#\na=\\u00g1", "\na=\\u00", "\n\\u=1"] {
            assert_eq!(parse(text.as_bytes()), Err(PropertiesError::UnicodeEscape { line: 2 }), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in proptest::collection::btree_map("\\PC{1,12}", "\\PC{0,12}|[ \t=:\\\\#]{0,5}", 0..5)) {
            let text = to_text(entries.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            prop_assert_eq!(parse(text.as_bytes()), Ok(entries));
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(&b"\\\\\\\n\r=: #!u0041\t"[..])], 0..80,
        )) {
            let _ = parse(&bytes);
        }
    }
}
