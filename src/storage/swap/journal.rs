//! The file that says what a run that puts a directory in place is about, and how far it came.

use std::path::Path;

use serde_json::{Value, json};

use super::Ends;
use crate::storage::fs::{self, StorageError};
use crate::storage::names::{FileState, PartitionFile, SegmentFileKind};
use crate::storage::partition::present;
use crate::types::{Offset, TopicPartition};

/// Its name, in the wrapper and in the new directory.
pub const JOURNAL: &str = ".logdir-recover";

/// What becomes of the directory whose place is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Old {
    /// It is in `.logdir-kept` inside the new one.
    Kept,
    /// It is gone.
    Removed,
    /// It is beside the new one under a `-delete` name: a broker removes it a minute after its start.
    Condemned,
}

impl Old {
    const ALL: [(Old, &str); 3] = [(Old::Kept, "kept"), (Old::Removed, "removed"), (Old::Condemned, "condemned")];

    fn word(self) -> &'static str {
        Old::ALL.iter().find(|(old, _)| *old == self).map_or("kept", |(_, word)| word)
    }

    /// By its word; what is not known is kept.
    fn of_word(word: Option<&str>) -> Old {
        Old::ALL.iter().find(|(_, known)| Some(*known) == word).map_or(Old::Kept, |(old, _)| *old)
    }
}

/// What the logs of a directory come to. Whoever appends, rolls, cuts, cleans or removes a segment changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Logs {
    count: u64,
    bytes: u64,
    first: i64,
    last: i64,
}

impl Logs {
    /// Whether these come of `before` by appending: nothing in front is gone, and nothing is missing.
    pub(super) const fn has_grown_from(&self, before: &Logs) -> bool {
        self.first == before.first
            && self.last >= before.last
            && self.count >= before.count
            && self.bytes >= before.bytes
    }

    /// Of the segments in use in `dir`.
    pub(super) fn of(dir: &Path) -> Result<Logs, StorageError> {
        let error = |error| StorageError::new(dir, error);
        let mut logs = Logs { count: 0, bytes: 0, first: i64::MAX, last: i64::MIN };
        for entry in std::fs::read_dir(dir).map_err(error)? {
            let entry = entry.map_err(error)?;
            let PartitionFile::Segment(file) = PartitionFile::parse(&entry.file_name()) else { continue };
            if (file.kind, file.state) != (SegmentFileKind::Log, FileState::Live) {
                continue;
            }
            let base = file.offset.get();
            logs.count += 1;
            logs.bytes += entry.metadata().map_err(error)?.len();
            (logs.first, logs.last) = (logs.first.min(base), logs.last.max(base));
        }
        Ok(logs)
    }
}

/// What the journal says.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) id: String,
    pub(super) partition: TopicPartition,
    pub(super) old: Old,
    pub(super) is_new_log: bool,
    /// Where the new log starts and ends; `None` while it is being built.
    pub(super) ready: Option<Ready>,
}

/// The new log, when it was whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) ends: Ends,
    pub(super) logs: Logs,
}

impl Journal {
    /// Puts it into `dir`; on disk when it returns.
    pub(super) fn write(&self, dir: &Path) -> Result<(), StorageError> {
        let mut text = json!({
            "id": self.id,
            "topic": self.partition.topic,
            "partition": self.partition.partition,
            "state": if self.ready.is_some() { "ready" } else { "building" },
        });
        if let Some(Ready { ends, logs }) = self.ready {
            text["old"] = self.old.word().into();
            text["new_log"] = self.is_new_log.into();
            text["log_start"] = ends.log_start.get().into();
            text["first_base"] = ends.first_base.get().into();
            text["log_end"] = ends.log_end.get().into();
            text["logs"] = json!([logs.count, logs.bytes, logs.first, logs.last]);
        }
        fs::replace_atomic(&dir.join(JOURNAL), format!("{text}\n").as_bytes())
    }

    /// The journal in `dir`; `None` where there is none, or none of ours.
    pub(super) fn read(dir: &Path) -> Result<Option<Journal>, StorageError> {
        let Some(bytes) = present(fs::read_small(&dir.join(JOURNAL), fs::PROPERTIES_BYTES_MAX))? else {
            return Ok(None);
        };
        Ok(serde_json::from_slice::<Value>(&bytes).ok().and_then(|value| Journal::of(&value)))
    }

    fn of(value: &Value) -> Option<Journal> {
        let id = value["id"].as_str()?.to_owned();
        if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let partition = i32::try_from(value["partition"].as_i64()?).ok()?;
        let ready = if value["state"] == "ready" {
            let offset = |key: &str| value[key].as_i64().map(Offset::new);
            let ends = Ends {
                log_start: offset("log_start")?,
                first_base: offset("first_base")?,
                log_end: offset("log_end")?,
            };
            let logs = &value["logs"];
            let logs = Logs {
                count: logs[0].as_u64()?,
                bytes: logs[1].as_u64()?,
                first: logs[2].as_i64()?,
                last: logs[3].as_i64()?,
            };
            Some(Ready { ends, logs })
        } else {
            None
        };
        Some(Journal {
            id,
            partition: TopicPartition::new(value["topic"].as_str()?.to_owned(), partition),
            old: Old::of_word(value["old"].as_str()),
            is_new_log: value["new_log"].as_bool().unwrap_or(false),
            ready,
        })
    }
}
