//! A log directory: one entry of a broker's `log.dirs`, with many partitions and a few files about them.
//!
//! Reading takes no lock and writes nothing, also while a broker runs. A directory that is no partition
//! stops a broker at its start; here it is only noticed.

use std::path::{Path, PathBuf};

use super::checkpoint::{self, CLEANER, HIGH_WATERMARK, LOG_START, OffsetCheckpoint, RECOVERY_POINT};
use super::fs::StorageError;
use super::meta_properties::{self, MetaProperties};
use super::names::{DirKind, PartitionDirName};
use super::partition::{Checkpoints, Notice, Partition, present};
use super::{clean_shutdown, clean_shutdown::CleanShutdown};

/// Name of the tiered-storage cache, which is no partition.
pub(crate) const REMOTE_CACHE: &str = "remote-log-index-cache";

/// One log directory, as listed at one moment.
#[derive(Debug, Clone)]
pub struct LogDir {
    dir: PathBuf,
    meta: Option<MetaProperties>,
    clean_shutdown: Option<CleanShutdown>,
    recovery_points: OffsetCheckpoint,
    log_starts: OffsetCheckpoint,
    high_watermarks: OffsetCheckpoint,
    cleaner_points: OffsetCheckpoint,
    partitions: Vec<(PartitionDirName, PathBuf)>,
    notices: Vec<Notice>,
}

impl LogDir {
    /// Lists `dir`. Fails only when the directory itself cannot be read; files in it that cannot are noticed.
    pub fn open(dir: &Path) -> Result<LogDir, StorageError> {
        let mut notices = Vec::new();
        let mut offsets = |name: &str| {
            let path = dir.join(name);
            match present(checkpoint::read(&path)) {
                Ok(found) => found.unwrap_or_default(),
                Err(error) => {
                    notices.push(Notice::new(path, format!("{}; read as if it were empty", error.kind)));
                    OffsetCheckpoint::default()
                }
            }
        };
        let recovery_points = offsets(RECOVERY_POINT);
        let log_starts = offsets(LOG_START);
        let high_watermarks = offsets(HIGH_WATERMARK);
        let cleaner_points = offsets(CLEANER);
        let meta_path = dir.join(meta_properties::FILE_NAME);
        let meta = present(meta_properties::read(&meta_path)).unwrap_or_else(|error| {
            notices.push(Notice::new(meta_path, format!("{}; identity unknown", error.kind)));
            None
        });
        let clean_shutdown = clean_shutdown::read(&dir.join(clean_shutdown::FILE_NAME)).unwrap_or(None);
        let mut log_dir = LogDir {
            dir: dir.to_owned(),
            meta,
            clean_shutdown,
            recovery_points,
            log_starts,
            high_watermarks,
            cleaner_points,
            partitions: Vec::new(),
            notices,
        };
        log_dir.list()?;
        Ok(log_dir)
    }

    fn list(&mut self) -> Result<(), StorageError> {
        let entries = std::fs::read_dir(&self.dir).map_err(|error| StorageError::new(&self.dir, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| StorageError::new(&self.dir, error))?;
            let path = entry.path();
            // Gone since it was listed: a topic deleted in a running broker.
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            if !metadata.is_dir() || entry.file_name() == REMOTE_CACHE {
                continue;
            }
            match PartitionDirName::parse(&entry.file_name()) {
                Ok(name) => self.partitions.push((name, path)),
                Err(error) => {
                    self.notices.push(Notice::new(path, format!("{error}; a broker refuses to start over it")));
                }
            }
        }
        self.partitions.sort_by(|a, b| {
            let key = |(name, path): &(PartitionDirName, PathBuf)| {
                (name.topic_partition.clone(), name.kind != DirKind::Live, path.clone())
            };
            key(a).cmp(&key(b))
        });
        Ok(())
    }

    /// Whether `dir` looks like a log directory: it has a `meta.properties` or partitions.
    pub fn is_one(dir: &Path) -> bool {
        if dir.join(meta_properties::FILE_NAME).is_file() {
            return true;
        }
        let Ok(entries) = std::fs::read_dir(dir) else { return false };
        entries.flatten().any(|entry| {
            PartitionDirName::parse(&entry.file_name()).is_ok() && entry.file_type().is_ok_and(|kind| kind.is_dir())
        })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Identity of cluster, node and directory; `None` when there is no readable `meta.properties`.
    pub const fn meta(&self) -> Option<&MetaProperties> {
        self.meta.as_ref()
    }

    /// The marker of a clean shutdown, which a broker removes when it starts.
    pub const fn clean_shutdown(&self) -> Option<&CleanShutdown> {
        self.clean_shutdown.as_ref()
    }

    /// Partition directories of every kind, by topic, partition and kind.
    pub fn partitions(&self) -> impl Iterator<Item = (&PartitionDirName, &Path)> {
        self.partitions.iter().map(|(name, path)| (name, path.as_path()))
    }

    /// What was odd about files and directories in it.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Opens one of its partition directories with what the checkpoint files say about it.
    pub fn open_partition(&self, name: &PartitionDirName, dir: &Path) -> Result<Partition, StorageError> {
        Partition::open(dir, self.checkpoints(name))
    }

    /// What the checkpoint files say about a partition. A future replica's entries stand under its plain name.
    pub fn checkpoints(&self, name: &PartitionDirName) -> Checkpoints {
        let of = |file: &OffsetCheckpoint| file.get(&name.topic_partition);
        Checkpoints {
            log_start: of(&self.log_starts),
            high_watermark: of(&self.high_watermarks),
            recovery_point: of(&self.recovery_points),
            cleaner: of(&self.cleaner_points),
        }
    }
}

/// Opens the partition directory `dir`, with the checkpoint files of the log dir around it if they are there.
pub fn open_partition_dir(dir: &Path) -> Result<(Partition, Vec<Notice>), StorageError> {
    let absolute = dir.canonicalize().map_err(|error| StorageError::new(dir, error))?;
    let mut notices = Vec::new();
    let name = absolute.file_name().and_then(|name| PartitionDirName::parse(name).ok());
    let mut checkpoints = Checkpoints::default();
    if let (Some(parent), Some(name)) = (dir_parent(dir, &absolute), name) {
        let mut read = |file: &str| match present(checkpoint::read(&parent.join(file))) {
            Ok(found) => found.and_then(|file| file.get(&name.topic_partition)),
            Err(error) => {
                notices.push(Notice::new(parent.join(file), format!("{}; read as if it were empty", error.kind)));
                None
            }
        };
        checkpoints = Checkpoints {
            log_start: read(LOG_START),
            high_watermark: read(HIGH_WATERMARK),
            recovery_point: read(RECOVERY_POINT),
            cleaner: read(CLEANER),
        };
    }
    Ok((Partition::open(dir, checkpoints)?, notices))
}

/// The directory around `dir`, spelled as the user spelled it where possible.
fn dir_parent(dir: &Path, absolute: &Path) -> Option<PathBuf> {
    match dir.parent() {
        Some(parent) if dir.file_name().is_some() => {
            Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
        }
        _ => absolute.parent().map(Path::to_owned),
    }
}
