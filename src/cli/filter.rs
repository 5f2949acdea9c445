//! Which records to print, by the bytes of key, value and headers.
//!
//! Conditions of different kinds must all hold. Of the same kind, one of those given must hold, except
//! headers, of which each must be there. A null key or value satisfies no condition on it: not the exact
//! empty text, not a pattern that matches anything. A header `K` asks for the key alone, whatever its
//! value; `K=V` for one header with that key and exactly that value, which a null value never is.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use regex::bytes::Regex;

use crate::batch::record::RecordRef;

/// The filter options of a command.
#[derive(clap::Args, Debug, Clone, Default)]
#[command(next_help_heading = "Filters")]
pub struct FilterArgs {
    /// Only records with exactly this key (repeatable: any of them)
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub key: Vec<OsString>,
    /// Only records whose key starts with this
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, hide_short_help = true)]
    pub key_prefix: Vec<OsString>,
    /// Only records whose key matches this pattern; (?-u:\xFF) matches a byte
    #[arg(long, value_name = "RE", allow_hyphen_values = true)]
    pub key_re: Vec<Regex>,
    /// Only records with exactly this value
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, hide_short_help = true)]
    pub value: Vec<OsString>,
    /// Only records whose value starts with this
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, hide_short_help = true)]
    pub value_prefix: Vec<OsString>,
    /// Only records whose value matches this pattern
    #[arg(long, value_name = "RE", allow_hyphen_values = true)]
    pub value_re: Vec<Regex>,
    /// Only records with this header (repeatable: all of them)
    #[arg(long, value_name = "K[=V]")]
    pub header: Vec<OsString>,
}

impl FilterArgs {
    /// The filter these options describe.
    pub fn filter(&self) -> RecordFilter {
        let bytes = |args: &[OsString]| -> Vec<Vec<u8>> { args.iter().map(|arg| arg.clone().into_vec()).collect() };
        RecordFilter {
            key: BytesFilter { exact: bytes(&self.key), prefix: bytes(&self.key_prefix), pattern: self.key_re.clone() },
            value: BytesFilter {
                exact: bytes(&self.value),
                prefix: bytes(&self.value_prefix),
                pattern: self.value_re.clone(),
            },
            headers: self
                .header
                .iter()
                .map(|arg| {
                    let arg = arg.as_bytes();
                    match memchr::memchr(b'=', arg) {
                        Some(at) => HeaderFilter { key: arg[..at].to_vec(), value: Some(arg[at + 1..].to_vec()) },
                        None => HeaderFilter { key: arg.to_vec(), value: None },
                    }
                })
                .collect(),
        }
    }
}

/// Conditions on one run of bytes that may be null.
#[derive(Clone, Debug, Default)]
pub struct BytesFilter {
    /// Equal to one of these.
    pub exact: Vec<Vec<u8>>,
    /// Starting with one of these.
    pub prefix: Vec<Vec<u8>>,
    /// Matched by one of these.
    pub pattern: Vec<Regex>,
}

impl BytesFilter {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefix.is_empty() && self.pattern.is_empty()
    }

    /// Whether `bytes` meets the conditions.
    pub fn matches(&self, bytes: Option<&[u8]>) -> bool {
        if self.is_empty() {
            return true;
        }
        let Some(bytes) = bytes else { return false };
        (self.exact.is_empty() || self.exact.iter().any(|exact| exact == bytes))
            && (self.prefix.is_empty() || self.prefix.iter().any(|prefix| bytes.starts_with(prefix)))
            && (self.pattern.is_empty() || self.pattern.iter().any(|pattern| pattern.is_match(bytes)))
    }
}

/// A header that must be there.
#[derive(Clone, Debug)]
pub struct HeaderFilter {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; `None` for any, null included.
    pub value: Option<Vec<u8>>,
}

/// All conditions on a record.
#[derive(Clone, Debug, Default)]
pub struct RecordFilter {
    /// On its key.
    pub key: BytesFilter,
    /// On its value.
    pub value: BytesFilter,
    /// On its headers: each must be found.
    pub headers: Vec<HeaderFilter>,
}

impl RecordFilter {
    /// Whether every record passes, so that counting need not read records.
    pub fn is_empty(&self) -> bool {
        self.key.is_empty() && self.value.is_empty() && self.headers.is_empty()
    }

    /// Whether `record` meets all conditions.
    pub fn matches(&self, record: &RecordRef<'_>) -> bool {
        self.key.matches(record.key)
            && self.value.matches(record.value)
            && self.headers.iter().all(|wanted| {
                record.headers.iter().any(|(key, value)| {
                    key == wanted.key && wanted.value.as_deref().is_none_or(|wanted| value == Some(wanted))
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::record_format::test_records::record;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        filter: FilterArgs,
    }

    fn filter(args: &[&str]) -> RecordFilter {
        Command::try_parse_from([&["test"], args].concat()).unwrap().filter.filter()
    }

    #[test]
    fn conditions_and_nulls() {
        type Case<'a> = (&'a [&'a str], Option<&'a [u8]>, Option<&'a [u8]>, bool);
        let cases: &[Case<'_>] = &[
            (&[], None, None, true),
            (&["--key", "a"], Some(b"a"), None, true),
            (&["--key", "a"], Some(b"ab"), None, false),
            (&["--key", "a"], None, None, false),
            (&["--key", ""], Some(b""), None, true),
            (&["--key", ""], None, None, false),
            (&["--key", "a", "--key", "b"], Some(b"b"), None, true),
            (&["--key-prefix", "a"], Some(b"ab"), None, true),
            (&["--key-prefix", ""], None, None, false),
            (&["--key-re", "^k[0-9]+$"], Some(b"k17"), None, true),
            (&["--key-re", ""], None, None, false),
            (&["--key-re", r"(?-u:\xFF)"], Some(b"a\xFFb"), None, true),
            (&["--value", "v"], None, Some(b"v"), true),
            (&["--value-prefix", "-v"], None, Some(b"-v1"), true),
            (&["--value-re", "v", "--key", "k"], Some(b"k"), Some(b"v"), true),
            (&["--value-re", "v", "--key", "k"], Some(b"x"), Some(b"v"), false),
        ];
        for (args, key, value, expected) in cases {
            let stored = record(7, 0, *key, *value, &[]);
            assert_eq!(filter(args).matches(&stored.record()), *expected, "{args:?} {key:?} {value:?}");
        }
    }

    #[test]
    fn headers_are_asked_for_by_key_or_by_key_and_value() {
        let stored = record(7, 0, None, None, &[(b"trace", Some(b"a1")), (b"trace", Some(b"b=2")), (b"flag", None)]);
        let cases: &[(&[&str], bool)] = &[
            (&["--header", "trace"], true),
            (&["--header", "trace=a1"], true),
            (&["--header", "trace=b=2"], true),
            (&["--header", "trace=x"], false),
            (&["--header", "flag"], true),
            (&["--header", "flag="], false),
            (&["--header", "none"], false),
            (&["--header", "trace", "--header", "flag"], true),
            (&["--header", "trace", "--header", "none"], false),
        ];
        for (args, expected) in cases {
            assert_eq!(filter(args).matches(&stored.record()), *expected, "{args:?}");
        }
    }
}
