//! The end of a move: the source goes, and a rerun knows that it did.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{AdoptError, AdoptPlan};
use crate::storage::checkpoint;
use crate::storage::delete::{self, Rename};
use crate::storage::fs::{self, StorageError};
use crate::storage::log_dir::LogDir;
use crate::storage::names::PartitionDirName;
use crate::storage::partition::present;
use crate::types::TopicPartition;

/// In the adopted directory, while its source is being removed.
pub(super) const RECORD: &str = ".logdir-moved";

/// A source that was adopted, and whose removal was begun.
#[derive(Debug)]
pub struct Moved {
    /// Where it was.
    pub source: PathBuf,
    /// The adopted partition.
    pub live: PathBuf,
    /// The name it got before its files went.
    condemned: PathBuf,
    /// The partition it was in its own log directory, if it was in use there: then checkpoints speak of it.
    in_use: Option<TopicPartition>,
}

/// The removal of `source` that an earlier run began after it was adopted as `partition`; `None` where it is there, or no
/// run did.
pub fn moved_before(source: &Path, log_dir: &Path, partition: &TopicPartition) -> Result<Option<Moved>, StorageError> {
    let live = log_dir.join(partition.to_string());
    if source.symlink_metadata().is_ok() {
        return Ok(None);
    }
    let (Ok(parent), Some(name)) = (fs::parent_of(source).canonicalize(), source.file_name()) else { return Ok(None) };
    let record = present(fs::read_small(&live.join(RECORD), fs::PROPERTIES_BYTES_MAX))?;
    let moved = record.and_then(|bytes| Moved::of(&serde_json::from_slice(&bytes).ok()?, &live));
    Ok(moved.filter(|moved| moved.source == parent.join(name)))
}

/// Whether an earlier run was removing the directory at `source`, which is there again, after it was adopted as `live`.
pub(super) fn was_moved_to(source: &Path, live: &Path) -> Result<bool, StorageError> {
    let record = present(fs::read_small(&live.join(RECORD), fs::PROPERTIES_BYTES_MAX))?;
    let moved = record.and_then(|bytes| Moved::of(&serde_json::from_slice(&bytes).ok()?, live));
    let source = source.canonicalize().map_err(|error| StorageError::new(source, error))?;
    Ok(moved.is_some_and(|moved| moved.source == source))
}

impl Moved {
    fn of(value: &Value, live: &Path) -> Option<Moved> {
        let source = PathBuf::from(value["source"].as_str()?);
        let condemned = source.parent()?.join(value["condemned"].as_str()?);
        // Only what has such a name is ever removed.
        let name = PartitionDirName::parse(condemned.file_name()?).ok()?;
        if name.kind != crate::storage::names::DirKind::Delete || condemned.parent() != source.parent() {
            return None;
        }
        let number = value["partition"].as_i64().and_then(|number| i32::try_from(number).ok());
        let in_use = value["topic"].as_str().zip(number);
        let in_use = in_use.map(|(topic, number)| TopicPartition::new(topic, number));
        Some(Moved { source, live: live.to_owned(), condemned, in_use })
    }

    fn write(&self) -> Result<(), StorageError> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let record = json!({
            "source": self.source.to_string_lossy(),
            "condemned": name(&self.condemned),
            "topic": self.in_use.as_ref().map(|partition| &partition.topic),
            "partition": self.in_use.as_ref().map(|partition| partition.partition),
        });
        fs::replace_atomic(&self.live.join(RECORD), format!("{record}\n").as_bytes())
    }

    /// Removes what is left of the source; on disk when it returns.
    ///
    /// The caller holds the exclusive lock of the log directory around it, if it is in one.
    pub fn finish(&self) -> Result<(), StorageError> {
        let parent = fs::parent_of(&self.source);
        if let Some(partition) = &self.in_use {
            checkpoint::forget(parent, std::slice::from_ref(partition))?;
        }
        fs::remove_tree(&self.condemned, None)?;
        fs::sync_dir(parent)?;
        fs::remove_if_present(&self.live.join(RECORD))?;
        fs::sync_dir(&self.live)
    }
}

impl AdoptPlan {
    /// Removes the source, which is in the target now: first it gets a `-delete` name, then it goes. Killed in between,
    /// [`moved_before`] finds it.
    ///
    /// The caller holds the exclusive lock of the log directory around it, if it is in one.
    pub fn remove_source(&self) -> Result<(), AdoptError> {
        let source = self.source.canonicalize().map_err(|error| StorageError::new(&self.source, error))?;
        let (parent, name) = (fs::parent_of(&source), source.file_name().unwrap_or_default());
        let name = PartitionDirName::parse(name).unwrap_or_else(|_| PartitionDirName::live(self.partition.clone()));
        let mut plan = delete::plan(&LogDir::open(parent)?, |partition| *partition == name.topic_partition)?;
        plan.renames.retain(|rename| rename.from == source);
        let is_in_use = !plan.renames.is_empty();
        if !is_in_use {
            // A copy that was set aside: what the checkpoints say is about another directory.
            let (partition, to) = (name.topic_partition.clone(), delete::condemned(parent, &name.topic_partition)?);
            plan.renames.push(Rename { partition, from: source.clone(), to, size_bytes: self.survey.size_bytes });
            plan.entries.clear();
        }
        let Some(rename) = plan.renames.first() else { return Ok(()) };
        let moved = Moved {
            live: self.log_dir.join(self.partition.to_string()),
            condemned: rename.to.clone(),
            in_use: is_in_use.then(|| name.topic_partition.clone()),
            source,
        };
        moved.write()?;
        plan.execute()?;
        moved.finish()?;
        Ok(())
    }
}
