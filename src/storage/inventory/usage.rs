//! Bytes on disk: what files say they are long, what the file system has set aside for them, and what it has left.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::storage::fs::StorageError;
use crate::storage::names::{FileState, PartitionFile, SegmentFileKind};
use crate::types::TimestampMs;

/// Unit of `st_blocks`, whatever the file system's own blocks are.
const STAT_BLOCK_BYTES: u64 = 512;

/// Bytes of a directory's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Sum of the files' lengths.
    pub apparent_bytes: u64,
    /// Sum of what is allocated for them: less where files have holes, as the preallocated indexes of a killed broker.
    pub allocated_bytes: u64,
    /// Number of files.
    pub files: u64,
}

impl Usage {
    /// Takes one more file.
    pub fn add(&mut self, metadata: &Metadata) {
        self.apparent_bytes += metadata.len();
        self.allocated_bytes += metadata.blocks() * STAT_BLOCK_BYTES;
        self.files += 1;
    }

    /// Takes the files of another one.
    pub fn merge(&mut self, other: &Usage) {
        self.apparent_bytes += other.apparent_bytes;
        self.allocated_bytes += other.allocated_bytes;
        self.files += other.files;
    }

    /// Of the files directly in `dir`; symbolic links are counted as what they are.
    pub fn of_files_in(dir: &Path) -> Result<Usage, StorageError> {
        Ok(DirUsage::of(dir)?.usage)
    }
}

/// Bytes of a partition directory, and what its listing tells beside them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirUsage {
    /// All its files.
    pub usage: Usage,
    /// Files over whose names a broker does not start.
    pub stopping: Vec<PathBuf>,
    /// When the last log in use was written to.
    pub last_write_ms: Option<TimestampMs>,
}

impl DirUsage {
    /// Lists `dir`.
    pub fn of(dir: &Path) -> Result<DirUsage, StorageError> {
        let error = |error: io::Error| StorageError::new(dir, error);
        let mut found = DirUsage::default();
        for entry in std::fs::read_dir(dir).map_err(error)? {
            let entry = entry.map_err(error)?;
            // Removed since it was listed.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                continue;
            }
            found.usage.add(&metadata);
            let parsed = PartitionFile::parse(&entry.file_name());
            if parsed.stops_broker() {
                found.stopping.push(entry.path());
            }
            if let PartitionFile::Segment(file) = parsed
                && file.kind == SegmentFileKind::Log
                && file.state == FileState::Live
            {
                found.last_write_ms = found.last_write_ms.max(Some(modified_ms(&metadata)));
            }
        }
        found.stopping.sort();
        Ok(found)
    }
}

/// When the file was last written to, in ms since the epoch.
fn modified_ms(metadata: &Metadata) -> TimestampMs {
    metadata.mtime().saturating_mul(1_000).saturating_add(metadata.mtime_nsec() / 1_000_000)
}

/// The file system a log directory is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem {
    /// Its size, as `FileStore.getTotalSpace` has it.
    pub size_bytes: u64,
    /// What a broker may still fill (`getUsableSpace`): without the blocks kept for the superuser.
    pub free_bytes: u64,
    /// Which one it is: directories of one disk have the same.
    pub device: u64,
}

impl FileSystem {
    /// Of the directory `dir`; `None` when the system does not say.
    pub fn of(dir: &Path) -> Option<FileSystem> {
        let stat = rustix::fs::statvfs(dir).ok()?;
        let device = std::fs::metadata(dir).ok()?.dev();
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Some(FileSystem { size_bytes: bytes(stat.f_blocks), free_bytes: bytes(stat.f_bavail), device })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_apparent_and_not_allocated() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("00000000000000000000.log"), vec![1; 5_000]).unwrap();
        std::fs::File::create(dir.path().join("00000000000000000000.index")).unwrap().set_len(10 << 20).unwrap();
        std::fs::create_dir(dir.path().join("not a file")).unwrap();
        let found = DirUsage::of(dir.path()).unwrap();
        assert_eq!((found.usage.apparent_bytes, found.usage.files), (5_000 + (10 << 20), 2));
        assert!(found.usage.allocated_bytes < 1 << 20, "{found:?}");
        assert!(found.last_write_ms > Some(1_600_000_000_000));
        let system = FileSystem::of(dir.path()).unwrap();
        assert!(system.size_bytes >= system.free_bytes && system.size_bytes > 0);
        assert!(Usage::of_files_in(&dir.path().join("gone")).is_err());
    }
}
