//! Deleting partitions as a broker does: a directory is renamed `-delete`, and a broker removes it.
//!
//! The order is that of `LogManager.asyncDelete`: first the directory gets its other name, then the checkpoints of the log
//! directory lose their entries. The other way round a crash in between would leave a partition without its log start
//! offset, and records that were deleted would come back. An entry without a directory harms nothing, and a rerun
//! removes it.

use std::path::{Path, PathBuf};

use super::checkpoint::{self, OffsetCheckpoint};
use super::create;
use super::fs::{self, StorageError};
use super::log_dir::LogDir;
use super::names::{DirKind, PartitionDirName, PartitionFile, SegmentFileKind};
use crate::types::TopicPartition;

/// What deleting partitions of one log directory comes to.
#[derive(Debug, Clone)]
pub struct DeletePlan {
    /// The log directory.
    pub log_dir: PathBuf,
    /// Directories that get another name, by partition.
    pub renames: Vec<Rename>,
    /// Checkpoints that lose entries, with the partitions in each.
    pub entries: Vec<(&'static str, Vec<TopicPartition>)>,
}

/// A partition directory that is to be removed by a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// The partition.
    pub partition: TopicPartition,
    /// Its directory: the partition, or a copy of it being made (`-future`).
    pub from: PathBuf,
    /// The name it gets (`UnifiedLog.logDeleteDirName`).
    pub to: PathBuf,
    /// Bytes of its logs.
    pub size_bytes: u64,
}

/// A name for what was the directory `from` of a partition in `log_dir`, that a broker removes.
pub(crate) fn condemned(log_dir: &Path, partition: &TopicPartition) -> Result<PathBuf, StorageError> {
    let id = create::unique_id(log_dir)?;
    Ok(log_dir.join(PartitionDirName::suffixed(partition, DirKind::Delete, &id).to_string()))
}

/// Plans the deletion of the partitions in `log_dir` that are `wanted`. Reads only.
///
/// A checkpoint that cannot be read is an error: a broker does not start over it, and its entries cannot be taken out.
pub fn plan(log_dir: &LogDir, wanted: impl Fn(&TopicPartition) -> bool) -> Result<DeletePlan, StorageError> {
    let dir = log_dir.dir();
    let mut plan = DeletePlan { log_dir: dir.to_owned(), renames: Vec::new(), entries: Vec::new() };
    for (name, from) in log_dir.partitions() {
        let partition = &name.topic_partition;
        if matches!(name.kind, DirKind::Live | DirKind::Future) && wanted(partition) {
            let (partition, to) = (partition.clone(), condemned(dir, partition)?);
            plan.renames.push(Rename { partition, from: from.to_owned(), to, size_bytes: log_bytes(from)? });
        }
    }
    for name in checkpoint::ALL {
        let stored = checkpoint::read_in(dir, name)?;
        let gone: Vec<_> =
            stored.entries().iter().map(|(partition, _)| partition).filter(|it| wanted(it)).cloned().collect();
        if !gone.is_empty() {
            plan.entries.push((name, gone));
        }
    }
    Ok(plan)
}

impl DeletePlan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.renames.is_empty() && self.entries.is_empty()
    }

    /// Does it; on disk when it returns. The caller holds the directory's exclusive lock.
    pub fn execute(&self) -> Result<(), StorageError> {
        for rename in &self.renames {
            fs::rename(&rename.from, &rename.to)?;
        }
        if !self.renames.is_empty() {
            fs::sync_dir(&self.log_dir)?;
        }
        for (name, gone) in &self.entries {
            let stored = checkpoint::read_in(&self.log_dir, name)?;
            let left: OffsetCheckpoint = stored.with(gone.iter().map(|partition| (partition, None)));
            fs::replace_atomic(&self.log_dir.join(name), left.to_text().as_bytes())?;
        }
        Ok(())
    }
}

/// Bytes of the logs in a partition directory.
pub(crate) fn log_bytes(dir: &Path) -> Result<u64, StorageError> {
    let error = |error| StorageError::new(dir, error);
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).map_err(error)? {
        let entry = entry.map_err(error)?;
        if let PartitionFile::Segment(file) = PartitionFile::parse(&entry.file_name())
            && file.kind == SegmentFileKind::Log
        {
            bytes += entry.metadata().map_err(error)?.len();
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::checkpoint::{HIGH_WATERMARK, LOG_START, RECOVERY_POINT};
    use crate::storage::power_loss::disk::{Disk, Keep};
    use crate::storage::power_loss::journal;
    use crate::types::Uuid;

    fn made(dir: &Path) {
        let topic = "a".repeat(249);
        for (topic, count) in [("orders", 2), (topic.as_str(), 1), ("other", 1)] {
            let partitions: Vec<_> = (0..count).map(|number| TopicPartition::new(topic, number)).collect();
            create::partitions(dir, &partitions, Uuid([9; 16])).unwrap();
        }
        for name in [RECOVERY_POINT, LOG_START, HIGH_WATERMARK] {
            std::fs::write(dir.join(name), "0\n3\norders 0 5\norders 1 6\nother 0 7\n").unwrap();
        }
    }

    #[test]
    fn directories_get_kafkas_name_and_checkpoints_lose_their_entries() {
        let dir = tempfile::tempdir().unwrap();
        made(dir.path());
        let plan = plan(&LogDir::open(dir.path()).unwrap(), |partition| partition.topic != "other").unwrap();
        assert_eq!((plan.renames.len(), plan.entries.len()), (3, 3));
        plan.execute().unwrap();
        let mut names: Vec<String> =
            std::fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.ends_with("-delete"));
        names.sort();
        assert_eq!(names.len(), 3);
        // 255 characters: as many of the topic's as fit before "-0.", 32 digits and "-delete".
        assert_eq!(names[0].len(), 255);
        assert!(names[0].starts_with(&format!("{}-0.", "a".repeat(213))), "{}", names[0]);
        let id = names[1].strip_prefix("orders-0.").unwrap().strip_suffix("-delete").unwrap();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()), "{id}");
        for name in [RECOVERY_POINT, LOG_START, HIGH_WATERMARK] {
            assert_eq!(std::fs::read_to_string(dir.path().join(name)).unwrap(), "0\n1\nother 0 7\n", "{name}");
        }
        let again = super::plan(&LogDir::open(dir.path()).unwrap(), |partition| partition.topic != "other").unwrap();
        assert!(again.is_empty());
    }

    #[test]
    fn a_loss_of_power_leaves_no_partition_without_its_entries() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().canonicalize().unwrap();
        made(&dir);
        let mut disk = Disk::of(&dir);
        let wanted = |partition: &TopicPartition| partition.topic == "orders";
        let plan = plan(&LogDir::open(&dir).unwrap(), wanted).unwrap();
        journal::begin(&dir);
        plan.execute().unwrap();
        let ops = journal::end(&dir);
        let mut random = fastrand::Rng::with_seed(3);
        let mut tried = 0;
        for done in 0..=ops.len() {
            if done > 0 {
                disk.apply(&ops[done - 1]);
            }
            for keep in [Keep::Nothing, Keep::All, Keep::Names, Keep::Bytes, Keep::Some(50), Keep::Some(50)] {
                let crashed = tempfile::tempdir().unwrap();
                disk.crash(crashed.path(), keep, &mut random);
                let starts = checkpoint::read(&crashed.path().join(LOG_START)).unwrap();
                for number in 0..2 {
                    let partition = TopicPartition::new("orders", number);
                    let is_there = crashed.path().join(partition.to_string()).is_dir();
                    assert!(!is_there || starts.get(&partition).is_some(), "after {done}, {keep:?}: {partition}");
                }
                super::plan(&LogDir::open(crashed.path()).unwrap(), wanted).unwrap().execute().unwrap();
                let left = LogDir::open(crashed.path()).unwrap();
                assert!(super::plan(&left, wanted).unwrap().is_empty(), "after {done}, {keep:?}");
                tried += 1;
            }
        }
        assert!(tried > 20);
    }
}
