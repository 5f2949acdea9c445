//! What the log directory's checkpoints say of a partition before and after another directory takes its place.
//!
//! A broker that starts in between reads them for whichever directory has the partition's name. So before the exchange
//! they say what is safe for both, and what is true of the new one only after it.

use std::path::Path;

use super::Ends;
use super::journal::{Journal, Logs};
use crate::storage::checkpoint::{self, CLEANER, HIGH_WATERMARK, LOG_START, RECOVERY_POINT};
use crate::storage::fs::{self, StorageError};
use crate::types::{Offset, TopicPartition};

/// Makes them hold for the directory that is there and for the one that takes its place.
///
/// - A recovery point must not vouch for what was not there when it was noted.
/// - A log whose end lies below its log start is dropped as a whole (`LogLoader.deleteSegmentsIfLogStartGreaterThanLogEnd`).
/// - The cleaner has seen nothing of another log.
pub(super) fn prepare(
    log_dir: &Path,
    partition: &TopicPartition,
    ends: &Ends,
    is_new_log: bool,
) -> Result<(), StorageError> {
    checkpoint::check_all(log_dir)?;
    let at_most = |most: Offset| move |stored: Option<Offset>| stored.map(|stored| stored.min(most));
    update(log_dir, RECOVERY_POINT, partition, at_most(ends.first_base))?;
    update(log_dir, LOG_START, partition, at_most(ends.log_start))?;
    update(log_dir, CLEANER, partition, |stored| at_most(ends.log_end)(stored).filter(|_| !is_new_log))
}

/// Makes them say of the partition in `live` what is true now, unless it has been in use since it took its place.
///
/// The recovery point is the log end, the high watermark and the cleaner's point at most that, the log start is there
/// only where it lies above the first segment's base offset. Where the logs are not those that were built, or the log
/// start is higher, a broker had the partition and has noted what is true.
pub(super) fn settle(log_dir: &Path, live: &Path, journal: &Journal) -> Result<(), StorageError> {
    let Journal { partition, is_new_log, ready: Some(ready), .. } = journal else { return Ok(()) };
    let ends = &ready.ends;
    let moved_on =
        checkpoint::read_in(log_dir, LOG_START)?.get(partition).is_some_and(|stored| stored > ends.log_start);
    let logs = Logs::of(live)?;
    if moved_on || logs != ready.logs {
        // What was deleted where it comes from stays deleted, though records were appended since.
        if !moved_on && logs.has_grown_from(&ready.logs) {
            checkpoint::check_all(log_dir)?;
            set_log_start(log_dir, partition, ends)?;
        }
        return Ok(());
    }
    checkpoint::check_all(log_dir)?;
    let capped = |stored: Option<Offset>| stored.map(|stored| stored.min(ends.log_end));
    update(log_dir, HIGH_WATERMARK, partition, |stored| if *is_new_log { Some(ends.log_end) } else { capped(stored) })?;
    update(log_dir, CLEANER, partition, |stored| capped(stored).filter(|_| !is_new_log))?;
    set_log_start(log_dir, partition, ends)?;
    update(log_dir, RECOVERY_POINT, partition, |_| Some(ends.log_end))
}

/// Notes the log start, where it lies above the first segment's base offset.
pub(super) fn set_log_start(log_dir: &Path, partition: &TopicPartition, ends: &Ends) -> Result<(), StorageError> {
    update(log_dir, LOG_START, partition, |_| Some(ends.log_start).filter(|start| *start > ends.first_base))
}

fn update(
    log_dir: &Path,
    name: &str,
    partition: &TopicPartition,
    value: impl FnOnce(Option<Offset>) -> Option<Offset>,
) -> Result<(), StorageError> {
    let stored = checkpoint::read_in(log_dir, name)?;
    let updated = stored.with([(partition, value(stored.get(partition)))].into_iter());
    if stored.get(partition) == updated.get(partition) {
        return Ok(());
    }
    fs::replace_atomic(&log_dir.join(name), updated.to_text().as_bytes())
}
