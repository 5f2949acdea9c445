//! Offset checkpoints: one number for each partition of a log directory.
//!
//! ```text
//! 0                    version
//! 2                    number of entries
//! orders 0 1500        topic, partition, offset
//! orders 1 1498
//! ```
//!
//! The same frame carries leader epochs ([`super::leader_epochs`]); only the entries differ. An
//! empty file, or one with only a version, holds no entries: a broker creates them empty.
//! What is refused, and at which step, follows `CheckpointFile` of Kafka 4.3.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use thiserror::Error;

use super::fs::{self, StorageError};
use super::java;
use crate::types::{Offset, TopicPartition};

/// Recovery points: everything below is known to be on disk.
pub const RECOVERY_POINT: &str = "recovery-point-offset-checkpoint";
/// Log start offsets, of the logs that start above their first segment's base offset.
pub const LOG_START: &str = "log-start-offset-checkpoint";
/// High watermarks.
pub const HIGH_WATERMARK: &str = "replication-offset-checkpoint";
/// First offset the cleaner has not looked at.
pub const CLEANER: &str = "cleaner-offset-checkpoint";

/// All that speak of partitions.
pub const ALL: [&str; 4] = [RECOVERY_POINT, LOG_START, HIGH_WATERMARK, CLEANER];

/// The only version there is.
pub const VERSION: i32 = 0;

/// Why a checkpoint file is not one. Lines count from 1.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum CheckpointError {
    /// Not text. Kafka takes the log directory offline.
    #[error("not UTF-8 at byte {byte}")]
    NotUtf8 {
        /// Where the text stops being text.
        byte: usize,
    },
    /// Line 1 or 2 is not a number. Kafka takes the log directory offline.
    #[error("line {line}: expected the {what}, found \"{found}\"")]
    Header {
        /// 1 or 2.
        line: usize,
        /// What belongs there.
        what: &'static str,
        /// What is there.
        found: String,
    },
    /// Written by something newer. Kafka takes the log directory offline.
    #[error("line 1: expected version {VERSION}, found {found}")]
    Version {
        /// The stored version.
        found: i32,
    },
    /// A count below zero; Kafka fails with IllegalArgumentException.
    #[error("line 2: expected a number of entries, found {found}")]
    NegativeCount {
        /// The stored count.
        found: i32,
    },
    /// A line with the wrong number of fields. Kafka takes the log directory offline.
    #[error("line {line}: expected {expected} fields, found \"{found}\"")]
    Malformed {
        /// Line number.
        line: usize,
        /// Fields an entry has.
        expected: usize,
        /// The line.
        found: String,
    },
    /// A field that should be a number (NumberFormatException). For recovery points and log starts
    /// Kafka only warns and goes on as if the file were empty; for leader epochs it does not start.
    #[error("line {line}: expected {what}, found \"{found}\"")]
    NotANumber {
        /// Line number.
        line: usize,
        /// What the field holds.
        what: &'static str,
        /// What is there.
        found: String,
    },
    /// The count of line 2 is not the number of lines that follow. Kafka takes the log directory offline.
    #[error("line 2: {expected} entries announced, {found} found")]
    CountMismatch {
        /// The stored count.
        expected: i32,
        /// Entries present.
        found: usize,
    },
}

/// The entries of one offset checkpoint file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OffsetCheckpoint {
    entries: Vec<(TopicPartition, Offset)>,
    at: HashMap<TopicPartition, usize>,
}

impl OffsetCheckpoint {
    /// Entries as they stand in the file, repetitions included.
    pub fn entries(&self) -> &[(TopicPartition, Offset)] {
        &self.entries
    }

    /// The offset of one partition; of a repeated one the last, as Kafka's map keeps it.
    pub fn get(&self, partition: &TopicPartition) -> Option<Offset> {
        self.at.get(partition).and_then(|&at| self.entries.get(at)).map(|(_, offset)| *offset)
    }

    /// How many partitions have an entry.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether no partition has an entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl OffsetCheckpoint {
    /// The same entries with these values set; `None` removes an entry.
    #[must_use]
    pub fn with<'a>(&self, values: impl Iterator<Item = (&'a TopicPartition, Option<Offset>)>) -> OffsetCheckpoint {
        let values: BTreeMap<&TopicPartition, Option<Offset>> = values.collect();
        let kept = self.entries.iter().filter(|(partition, _)| !values.contains_key(partition)).cloned();
        let set = values.iter().filter_map(|(partition, value)| Some(((*partition).clone(), (*value)?)));
        kept.chain(set).collect()
    }

    /// The text of a file with these entries.
    pub fn to_text(&self) -> String {
        to_text(self.entries.iter().map(|(partition, offset)| (partition, *offset)))
    }
}

/// What can still be read of a file that is none any more ([`parse`] refuses it): every line that is an entry.
///
/// Neither version nor count is believed; a line that is cut in its last number cannot be told from a whole one, so
/// the last line counts only if its line end is there.
pub fn rescue(bytes: &[u8]) -> OffsetCheckpoint {
    let text = String::from_utf8_lossy(bytes);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let entry = |line: &str| {
        let [topic, partition, offset] = <[&str; 3]>::try_from(java::split_spaces(line, 3)).ok()?;
        let named = super::names::check_topic_name(topic).is_ok();
        let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
        (named && partition >= 0 && offset >= 0).then(|| (TopicPartition::new(topic, partition), Offset::new(offset)))
    };
    whole.lines().filter_map(entry).collect()
}

impl FromIterator<(TopicPartition, Offset)> for OffsetCheckpoint {
    fn from_iter<I: IntoIterator<Item = (TopicPartition, Offset)>>(entries: I) -> Self {
        let entries: Vec<_> = entries.into_iter().collect();
        let at = entries.iter().enumerate().map(|(at, (partition, _))| (partition.clone(), at)).collect();
        OffsetCheckpoint { entries, at }
    }
}

/// Parses an offset checkpoint.
///
/// ```
/// use logdir::{storage::checkpoint, types::{Offset, TopicPartition}};
///
/// let file = checkpoint::parse(b"0\n1\norders 0 1500\n")?;
/// assert_eq!(file.get(&TopicPartition::new("orders", 0)), Some(Offset::new(1500)));
/// # Ok::<(), checkpoint::CheckpointError>(())
/// ```
pub fn parse(bytes: &[u8]) -> Result<OffsetCheckpoint, CheckpointError> {
    let entries = parse_frame(bytes, |line, [topic, partition, offset]: [&str; 3]| {
        let partition = number(line, "a partition number", partition)?;
        let offset = number(line, "an offset", offset)?;
        Ok((TopicPartition::new(topic, partition), Offset::new(offset)))
    })?;
    Ok(entries.into_iter().collect())
}

/// Reads the offset checkpoint at `path`.
pub fn read(path: &Path) -> Result<OffsetCheckpoint, StorageError> {
    fs::read_parsed(path, fs::CHECKPOINT_BYTES_MAX, parse)
}

/// Reads the offset checkpoint called `name` in `log_dir`; one that is not there has no entries.
pub(crate) fn read_in(log_dir: &Path, name: &str) -> Result<OffsetCheckpoint, StorageError> {
    Ok(super::partition::present(read(&log_dir.join(name)))?.unwrap_or_default())
}

/// Whether all offset checkpoints in `log_dir` can be read. What cannot is not written anew: its other entries would go, and
/// one of another version is somebody else's.
pub(crate) fn check_all(log_dir: &Path) -> Result<(), StorageError> {
    ALL.iter().try_for_each(|name| read_in(log_dir, name).map(drop))
}

/// Takes the entries of `partitions` out of all checkpoints of `log_dir`; on disk when it returns.
///
/// Left by a directory that is gone they would be taken for what is true of the next one: a log that ends below a log
/// start is dropped. All files are read before one is written, and one that is no checkpoint is an error. The caller
/// holds the directory's lock.
pub(crate) fn forget(log_dir: &Path, partitions: &[TopicPartition]) -> Result<(), StorageError> {
    let mut changed = Vec::new();
    for name in ALL {
        let path = log_dir.join(name);
        let Some(stored) = super::partition::present(read(&path))? else { continue };
        let left = stored.with(partitions.iter().map(|partition| (partition, None)));
        if left.entries().len() < stored.entries().len() {
            changed.push((path, left));
        }
    }
    changed.iter().try_for_each(|(path, left)| fs::replace_atomic(path, left.to_text().as_bytes()))
}

/// The text of a checkpoint file with these entries, in this order.
pub fn to_text<'a>(entries: impl ExactSizeIterator<Item = (&'a TopicPartition, Offset)>) -> String {
    frame_text(entries.map(|(partition, offset)| format!("{} {} {offset}", partition.topic, partition.partition)))
}

/// The frame around `lines`.
pub(super) fn frame_text(lines: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = format!("{VERSION}\n{}\n", lines.len());
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Checks the frame and hands every entry line, cut into `N` fields, to `entry`.
pub(super) fn parse_frame<const N: usize, T>(
    bytes: &[u8],
    mut entry: impl FnMut(usize, [&str; N]) -> Result<T, CheckpointError>,
) -> Result<Vec<T>, CheckpointError> {
    let text = std::str::from_utf8(bytes).map_err(|e| CheckpointError::NotUtf8 { byte: e.valid_up_to() })?;
    let mut lines = java::lines(text);
    let Some(version) = lines.next() else { return Ok(Vec::new()) };
    let version = header(1, "version", version)?;
    if version != VERSION {
        return Err(CheckpointError::Version { found: version });
    }
    let Some(count) = lines.next() else { return Ok(Vec::new()) };
    let count = header(2, "number of entries", count)?;
    if count < 0 {
        return Err(CheckpointError::NegativeCount { found: count });
    }
    // Room comes from the lines that are there: the count is only a claim.
    let mut entries = Vec::new();
    for (at, text) in lines.enumerate() {
        let line = at + 3;
        let fields = <[&str; N]>::try_from(java::split_spaces(text, N)).map_err(|_| CheckpointError::Malformed {
            line,
            expected: N,
            found: java::clip(text),
        })?;
        entries.push(entry(line, fields)?);
    }
    if usize::try_from(count) != Ok(entries.len()) {
        return Err(CheckpointError::CountMismatch { expected: count, found: entries.len() });
    }
    Ok(entries)
}

/// A number in the entry at `line`.
pub(super) fn number<T: std::str::FromStr>(line: usize, what: &'static str, text: &str) -> Result<T, CheckpointError> {
    text.parse().map_err(|_| CheckpointError::NotANumber { line, what, found: java::clip(text) })
}

fn header(line: usize, what: &'static str, text: &str) -> Result<i32, CheckpointError> {
    text.parse().map_err(|_| CheckpointError::Header { line, what, found: java::clip(text) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refusals_name_the_line() {
        use CheckpointError as E;
        let cases = [
            ("1\n0\n", E::Version { found: 1 }),
            (" 0\n", E::Header { line: 1, what: "version", found: " 0".into() }),
            ("0\n\n", E::Header { line: 2, what: "number of entries", found: String::new() }),
            ("0\n-1\n", E::NegativeCount { found: -1 }),
            ("0\n2147483647\n", E::CountMismatch { expected: i32::MAX, found: 0 }),
            ("0\n1\nt 0 5\n\n", E::Malformed { line: 4, expected: 3, found: String::new() }),
            ("0\n1\nt 0\n", E::Malformed { line: 3, expected: 3, found: "t 0".into() }),
            ("0\n1\nt x 5\n", E::NotANumber { line: 3, what: "a partition number", found: "x".into() }),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), Err(expected), "{text:?}");
        }
        assert_eq!(parse(b"0\n1\nt\xff 0 5\n"), Err(E::NotUtf8 { byte: 5 }));
    }

    #[test]
    fn odd_white_space_is_read_as_java_reads_it() {
        for (text, topic) in [("0\n1\n 0 5\n", ""), ("+0\r\n+1\r\na\u{b}0 +5 \r\n", "a")] {
            let file = parse(text.as_bytes()).unwrap();
            assert_eq!(file.entries(), [(TopicPartition::new(topic, 0), Offset::new(5))], "{text:?}");
        }
    }

    #[test]
    fn entries_are_rescued_from_a_file_that_is_none() {
        for (text, expected) in [
            ("0\n9\nt 0 5\nu 1 7\n", vec![("t", 0, 5), ("u", 1, 7)]),
            ("\0\0\0\nt 0 5\nu x 7\nv 1 70", vec![("t", 0, 5)]),
            ("", vec![]),
            ("no", vec![]),
        ] {
            let expected: OffsetCheckpoint =
                expected.into_iter().map(|(t, p, o)| (TopicPartition::new(t, p), Offset::new(o))).collect();
            assert_eq!(rescue(text.as_bytes()), expected, "{text:?}");
        }
        let two = rescue(b"0\n2\nt 0 5\nu 1 7\n");
        let (t, u) = (TopicPartition::new("t", 0), TopicPartition::new("u", 1));
        let changed = two.with([(&t, None), (&u, Some(Offset::new(8)))].into_iter());
        assert_eq!(changed.to_text(), "0\n1\nu 1 8\n");
    }

    #[test]
    fn of_a_repeated_partition_the_last_line_counts() {
        let file = parse(b"0\n2\nt 0 5\nt 0 6\n").unwrap();
        assert_eq!((file.entries().len(), file.len()), (2, 1));
        assert_eq!(file.get(&TopicPartition::new("t", 0)), Some(Offset::new(6)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn mutations_never_panic(at in 0usize..30, byte: u8) {
            let mut bytes = b"0\n2\nt 0 5\norders 12 15000\n".to_vec();
            if let Some(b) = bytes.get_mut(at) { *b = byte; } else { bytes.truncate(byte.into()); }
            let _ = parse(&bytes);
        }

        #[test]
        fn text_round_trips(entries in proptest::collection::vec(("[a-z._]{1,9}", any::<i32>(), any::<i64>()), 0..9)) {
            let file: OffsetCheckpoint =
                entries.into_iter().map(|(t, p, o)| (TopicPartition::new(t, p), Offset::new(o))).collect();
            let text = to_text(file.entries().iter().map(|(p, o)| (p, *o)));
            prop_assert_eq!(parse(text.as_bytes()), Ok(file));
        }
    }
}
