//! `partition.metadata`: the id of the topic a partition directory belongs to.
//!
//! ```text
//! version: 0
//! topic_id: Rxb6TNYpQwKP9QAa-GboDQ
//! ```
//!
//! No line end after the second line. A KRaft broker takes a directory without this file, or with an
//! id the cluster does not know, for a stray one.

use std::path::Path;

use thiserror::Error;

use super::fs::{self, StorageError};
use super::java;
use crate::types::Uuid;

/// The file's name in a partition directory.
pub const FILE_NAME: &str = "partition.metadata";

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Version of the file; Kafka writes 0 and reads later ones the same way.
    pub version: i32,
    /// The topic.
    pub topic_id: Uuid,
}

/// Why a file is not partition metadata. Lines count from 1.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum PartitionMetadataError {
    /// Not text.
    #[error("not UTF-8 at byte {byte}")]
    NotUtf8 {
        /// Where the text stops being text.
        byte: usize,
    },
    /// Fewer than two lines.
    #[error("line {line} is missing")]
    MissingLine {
        /// The line.
        line: usize,
    },
    /// A line that is not a name, a colon, white space and a value.
    #[error("line {line}: expected \"name: value\", found \"{found}\"")]
    Malformed {
        /// The line.
        line: usize,
        /// What is there.
        found: String,
    },
    /// A version that is no number.
    #[error("line 1: expected a version, found \"{found}\"")]
    VersionNotANumber {
        /// What is there.
        found: String,
    },
    /// A version below 0.
    #[error("line 1: expected version 0, found {found}")]
    Version {
        /// The stored version.
        found: i32,
    },
    /// A topic id that is no id.
    #[error("line 2: expected 22 characters of base64, found \"{found}\"")]
    TopicId {
        /// What is there.
        found: String,
    },
    /// The all-zero id, which no topic has.
    #[error("line 2: the topic id is zero")]
    ZeroTopicId,
}

/// Parses the file as `PartitionMetadataReadBuffer` does: the names before the colons do not matter,
/// nor do lines after the second.
pub fn parse(bytes: &[u8]) -> Result<PartitionMetadata, PartitionMetadataError> {
    use PartitionMetadataError as E;
    let text = std::str::from_utf8(bytes).map_err(|e| E::NotUtf8 { byte: e.valid_up_to() })?;
    let mut lines = java::lines(text);
    let mut value = |line| {
        let text = lines.next().ok_or(E::MissingLine { line })?;
        second_part(text).ok_or_else(|| E::Malformed { line, found: java::clip(text) })
    };
    let version = value(1)?;
    let version = version.parse().map_err(|_| E::VersionNotANumber { found: java::clip(version) })?;
    if version < 0 {
        return Err(E::Version { found: version });
    }
    let id = value(2)?;
    match Uuid::parse(id) {
        None => Err(E::TopicId { found: java::clip(id) }),
        Some(Uuid::ZERO) => Err(E::ZeroTopicId),
        Some(topic_id) => Ok(PartitionMetadata { version, topic_id }),
    }
}

/// Reads the file at `path`.
pub fn read(path: &Path) -> Result<PartitionMetadata, StorageError> {
    fs::read_parsed(path, fs::PROPERTIES_BYTES_MAX, parse)
}

/// The text of the file for this topic.
pub fn to_text(topic_id: Uuid) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

/// The second of the two parts that Java's `line.split(":\\s+")` leaves; `None` when there are not two.
fn second_part(line: &str) -> Option<&str> {
    let (_, mut value) = split_once(line)?;
    // Java drops empty parts at the end, so separators may follow the value.
    let mut parts = 1;
    let mut rest = value;
    while let Some((part, tail)) = split_once(rest) {
        if parts == 1 {
            value = part;
        } else if !part.is_empty() {
            return None;
        }
        parts += 1;
        rest = tail;
    }
    let is_second_last = parts == 1 || rest.is_empty();
    (is_second_last && !value.is_empty()).then_some(value)
}

/// The text before and after the first colon with white space behind it.
fn split_once(text: &str) -> Option<(&str, &str)> {
    let colon = text.match_indices(':').map(|(at, _)| at).find(|at| text[at + 1..].starts_with(java::is_space))?;
    Some((&text[..colon], text[colon + 1..].trim_start_matches(java::is_space)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "Rxb6TNYpQwKP9QAa-GboDQ";

    /// Recorded from `PartitionMetadataFile` of Kafka 4.3.0.
    #[test]
    fn accepted_as_kafka_accepts() {
        let cases = [
            ("version: 0\ntopic_id: ID", 0),
            ("version: 0\ntopic_id: ID\nzzz", 0),
            ("version: 5\ntopic_id: ID", 5),
            ("x: 0\ny: ID", 0),
            (": 0\n: ID", 0),
            ("version:   0\r\ntopic_id:\tID", 0),
            ("version: 0: \ntopic_id: ID", 0),
        ];
        for (text, version) in cases {
            let found = parse(text.replace("ID", ID).as_bytes());
            assert_eq!(found, Ok(PartitionMetadata { version, topic_id: Uuid::parse(ID).unwrap() }), "{text:?}");
        }
    }

    #[test]
    fn refused_as_kafka_refuses() {
        use PartitionMetadataError as E;
        let malformed = |line, found: &str| E::Malformed { line, found: found.to_owned() };
        let cases = [
            ("", E::MissingLine { line: 1 }),
            ("version: 0", E::MissingLine { line: 2 }),
            ("version:0\ntopic_id: ID", malformed(1, "version:0")),
            ("version: 0: 1\ntopic_id: ID", malformed(1, "version: 0: 1")),
            ("version: \ntopic_id: ID", malformed(1, "version: ")),
            ("version: 0\n\ntopic_id: ID", malformed(2, "")),
            ("version: 0\nfoo", malformed(2, "foo")),
            ("version: -1\ntopic_id: ID", E::Version { found: -1 }),
            ("version: x\ntopic_id: ID", E::VersionNotANumber { found: "x".into() }),
            ("version: 0 \ntopic_id: ID", E::VersionNotANumber { found: "0 ".into() }),
            ("version: 0\ntopic_id: zz", E::TopicId { found: "zz".into() }),
            ("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA", E::ZeroTopicId),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.replace("ID", ID).as_bytes()), Err(expected), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[:a0 \n\r\u{e9}]{0,30}") {
            let _ = parse(text.as_bytes());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn text_round_trips(id in any::<[u8; 16]>().prop_filter("zero", |id| *id != [0; 16])) {
            let topic_id = Uuid(id);
            prop_assert_eq!(parse(to_text(topic_id).as_bytes()), Ok(PartitionMetadata { version: 0, topic_id }));
        }
    }
}
