//! Settings of clients: read from a file or the command line, some of them secrets, some of them not the user's to set.

use std::collections::BTreeMap;
use std::fmt;

use crate::schema::image::is_secret_config;

/// Properties that decide whether every record arrives once: a mirror sets them itself.
const OURS: &[&str] = &[
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "delivery.report.only.error",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "isolation.level",
    "log.queue",
    "log_level",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "queuing.strategy",
    "request.required.acks",
    "transactional.id",
];

/// Why settings cannot be used. No message has a value in it: it may be a secret in the wrong place.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PropertyError {
    /// A line of a file without `=`.
    #[error("line {line}: expected key=value")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// A value of the command line without `=`, or without a name.
    #[error("expected key=value")]
    Argument,
    /// One that is set by us.
    #[error("'{0}' is set by mirror itself: records would be lost or doubled without it")]
    Ours(String),
}

/// Settings of clients, by name. Its `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties {
    entries: BTreeMap<String, String>,
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

impl Properties {
    /// Adds the lines of a file: `key=value`, with `#` in front a comment. A value is everything behind the first `=`,
    /// without white space around it.
    pub fn add_file(&mut self, text: &str) -> Result<(), PropertyError> {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            self.add(line).map_err(|error| match error {
                PropertyError::Argument => PropertyError::Line { line: number + 1 },
                other => other,
            })?;
        }
        Ok(())
    }

    /// Adds one `key=value`; what was there is replaced.
    pub fn add(&mut self, text: &str) -> Result<(), PropertyError> {
        let (name, value) = text.split_once('=').ok_or(PropertyError::Argument)?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(PropertyError::Argument);
        }
        if OURS.contains(&name) {
            return Err(PropertyError::Ours(name.to_owned()));
        }
        self.entries.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Whether the user set it.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What must not be shown.
    pub fn secrets(&self) -> Secrets {
        let secret = self.entries.iter().filter(|(name, value)| is_secret(name) && !value.is_empty());
        let mut values: Vec<String> = secret.map(|(_, value)| value.clone()).collect();
        // The longest first: one may be part of another.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Secrets(values)
    }
}

fn is_secret(name: &str) -> bool {
    let words = ["password", "secret", "jaas", "oauthbearer.config", "private.key", "ssl_key", "token"];
    is_secret_config(name) || name.ends_with(".pem") || words.iter().any(|word| name.contains(word))
}

/// Values that must not be shown. Its `Debug` shows none.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

impl Secrets {
    /// `text` with every secret in it replaced.
    pub fn redact(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[redacted]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hold_one_property_a_line() {
        let mut properties = Properties::default();
        let text = "# a comment\n\n security.protocol = SASL_PLAINTEXT \r\nsasl.password=a=b # c\nclient.id=\n";
        properties.add_file(text).unwrap();
        let read: Vec<_> = properties.iter().collect();
        let expected = [("client.id", ""), ("sasl.password", "a=b # c"), ("security.protocol", "SASL_PLAINTEXT")];
        assert_eq!(read, expected);
        for (text, expected) in [
            ("a=1\nhunter2", PropertyError::Line { line: 2 }),
            ("=hunter2", PropertyError::Line { line: 1 }),
            ("a b=hunter2", PropertyError::Line { line: 1 }),
            ("acks=1", PropertyError::Ours("acks".into())),
            ("transactional.id=x", PropertyError::Ours("transactional.id".into())),
        ] {
            let error = Properties::default().add_file(text).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{text}: {error}");
            assert_eq!(error, expected, "{text}");
        }
    }

    #[test]
    fn secrets_are_in_no_text() {
        let mut properties = Properties::default();
        for text in [
            "sasl.password=hunter2",
            "sasl.oauthbearer.client.secret=hunter2-longer",
            "ssl.key.pem=-----BEGIN",
            "sasl.username=alice",
        ] {
            properties.add(text).unwrap();
        }
        assert!(!format!("{properties:?}{:?}", properties.secrets()).contains("hunter2"));
        let secrets = properties.secrets();
        let told = secrets.redact("alice sent hunter2-longer, then hunter2 and -----BEGIN");
        assert_eq!(told, "alice sent [redacted], then [redacted] and [redacted]");
    }
}
