//! Whether what is to be copied fits.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{AdoptError, AdoptPlan};
use crate::storage::fs::{self, StorageError};
use crate::storage::names::{PartitionFile, SegmentFileKind};
use crate::storage::restore::Sharing;
use crate::storage::restore::as_kafka::{files_of, is_kafkas};

/// Files take whole blocks.
const BLOCK_BYTES: u64 = 4 << 10;
/// What a partition takes beside its logs.
const MADE_BYTES: u64 = 64 << 10;

/// Whether the log directory of `plans`, which is one, has the bytes that adopting them takes. Reads only.
pub fn check_space(plans: &[AdoptPlan], sharing: Sharing) -> Result<(), AdoptError> {
    let Some(first) = plans.first() else { return Ok(()) };
    let mut needed = 0_u64;
    for plan in plans.iter().filter(|plan| !plan.is_done()) {
        needed = needed.saturating_add(plan.bytes_needed(sharing)?);
    }
    enough(&first.log_dir, needed, fs::free_bytes(&first.log_dir)?)
}

fn enough(log_dir: &Path, needed: u64, free: u64) -> Result<(), AdoptError> {
    if needed > free {
        return Err(AdoptError::NoSpace { log_dir: log_dir.to_owned(), needed, free });
    }
    Ok(())
}

impl AdoptPlan {
    /// Bytes that are written to make it: logs that get a second name take none.
    fn bytes_needed(&self, sharing: Sharing) -> Result<u64, StorageError> {
        let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
        let links = self.sharing(sharing) == Sharing::Links && device(&self.source) == device(&self.log_dir);
        let active = self.segments.last().map(|(base, _)| *base);
        // What is not in the source is made: indexes, snapshots, small files, journals and the blocks of directories.
        let mut bytes = MADE_BYTES;
        for (name, path) in files_of(&self.source)? {
            let is_sealed = matches!(
                PartitionFile::parse(&name),
                PartitionFile::Segment(file) if file.kind == SegmentFileKind::Log && Some(file.offset) != active
            );
            if is_kafkas(&name) && !(links && is_sealed) {
                let len = std::fs::metadata(&path).map_err(|error| StorageError::new(&path, error))?.len();
                // As much again for a log's indexes, where they have to be made, as Kafka makes at most every 4 KiB.
                bytes += len.next_multiple_of(BLOCK_BYTES) + len / 200;
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused() {
        let dir = Path::new("data");
        enough(dir, 100, 100).unwrap();
        let refused = enough(dir, 101, 100).unwrap_err();
        assert_eq!(refused.to_string(), "data: 101 bytes are to be written, 100 are free");
    }
}
