//! What the checkpoints of both log directories say of a partition that goes from one to the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::MoveError;
use crate::storage::checkpoint::{self, OffsetCheckpoint};
use crate::storage::clean_shutdown;
use crate::storage::fs::{self, StorageError};
use crate::storage::names::{DirKind, PartitionDirName};
use crate::types::TopicPartition;

/// A partition, the log directory it is in and the one it goes to.
pub(super) type Way<'a> = (TopicPartition, &'a Path, &'a Path);

/// Makes the checkpoints of where partitions go say what those of where they are say: nothing, where they say nothing.
///
/// This comes before the partition does: else a broker that starts in between would take the base of the first segment for
/// the log start, and show again what was deleted. Until the partition is there the entries speak of nothing, and do no harm.
pub(super) fn carry(ways: &[Way<'_>]) -> Result<(), StorageError> {
    let mut by_target: BTreeMap<&Path, Vec<&Way<'_>>> = BTreeMap::new();
    for way in ways {
        by_target.entry(way.2).or_default().push(way);
    }
    let mut sources: BTreeMap<(&Path, &str), OffsetCheckpoint> = BTreeMap::new();
    for (_, from, _) in ways {
        for name in checkpoint::ALL {
            if !sources.contains_key(&(*from, name)) {
                sources.insert((from, name), checkpoint::read_in(from, name)?);
            }
        }
    }
    for (target, ways) in by_target {
        for name in checkpoint::ALL {
            let stored = checkpoint::read_in(target, name)?;
            let value = |way: &Way<'_>| sources.get(&(way.1, name)).and_then(|source| source.get(&way.0));
            let updated = stored.with(ways.iter().map(|way| (&way.0, value(way))));
            if ways.iter().any(|way| stored.get(&way.0) != updated.get(&way.0)) {
                fs::replace_atomic(&target.join(name), updated.to_text().as_bytes())?;
            }
        }
    }
    Ok(())
}

/// Takes the entries of partitions out of the checkpoints of log directories that they left.
pub(super) fn forget(left: &[(TopicPartition, &Path)]) -> Result<(), StorageError> {
    let mut by_dir: BTreeMap<&Path, Vec<TopicPartition>> = BTreeMap::new();
    for (partition, dir) in left {
        by_dir.entry(dir).or_default().push(partition.clone());
    }
    by_dir.into_iter().try_for_each(|(dir, partitions)| checkpoint::forget(dir, &partitions))
}

/// Makes the marks of a clean shutdown true for what comes in; the log directories that lost theirs.
///
/// Where a log comes from a directory that has none, the mark goes: a broker would not look whether the log is whole. A log
/// directory that holds nothing yet gets the mark of where the first log comes from, and nothing is looked through in vain.
pub(super) fn mark(ways: &[Way<'_>]) -> Result<Vec<PathBuf>, MoveError> {
    let marker = |dir: &Path| dir.join(clean_shutdown::FILE_NAME);
    let mut doubted = Vec::new();
    for (_, from, to) in ways {
        match (fs::is_file(&marker(from))?, fs::is_file(&marker(to))?) {
            (false, true) => {
                fs::remove_if_present(&marker(to))?;
                fs::sync_dir(to)?;
                doubted.push((*to).to_owned());
            }
            (true, false) if is_empty(to)? => {
                let mark = fs::read_small(&marker(from), fs::PROPERTIES_BYTES_MAX)?;
                fs::replace_atomic(&marker(to), &mark)?;
            }
            _ => {}
        }
    }
    Ok(doubted)
}

/// Whether a log directory holds no partition.
fn is_empty(log_dir: &Path) -> Result<bool, StorageError> {
    let error = |error| StorageError::new(log_dir, error);
    for entry in std::fs::read_dir(log_dir).map_err(error)? {
        let entry = entry.map_err(error)?;
        let is_partition = PartitionDirName::parse(&entry.file_name()).is_ok_and(|name| name.kind == DirKind::Live);
        if is_partition && entry.file_type().map_err(error)?.is_dir() {
            return Ok(false);
        }
    }
    Ok(true)
}
