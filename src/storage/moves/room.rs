//! Whether there is room for what is copied, at every moment.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::MoveError;
use super::job::{Act, Job};
use crate::storage::fs::{self, StorageError};

/// Of a hundred bytes that are copied so many more have to be free.
const HEAD_ROOM_PERCENT: u64 = 5;
/// What a partition's directory takes beside its files.
const DIR_BYTES: u64 = 64 << 10;

/// The file systems that jobs write to or free, by device.
#[derive(Debug, Clone, Default)]
pub(super) struct Room {
    free: HashMap<u64, u64>,
    device_of: HashMap<PathBuf, u64>,
    /// Bytes that the unfinished copy of a job has taken already, by the id of the job.
    held: HashMap<String, u64>,
}

impl Room {
    /// As it is now, for these jobs.
    pub(super) fn of<'a>(jobs: impl Iterator<Item = &'a Job>) -> Result<Room, StorageError> {
        let mut room = Room::default();
        let mut log_dirs: BTreeSet<&Path> = BTreeSet::new();
        for job in jobs {
            log_dirs.extend([job.from.as_path(), job.to.as_path()]);
            let held = if job.copies() { bytes_in(&job.temporary())? } else { 0 };
            if held > 0 {
                room.held.insert(job.id.clone(), held);
            }
        }
        for dir in log_dirs {
            let device = std::fs::metadata(dir).map_err(|error| StorageError::new(dir, error))?.dev();
            room.device_of.insert(dir.to_owned(), device);
            room.free.insert(device, fs::free_bytes(dir)?);
        }
        Ok(room)
    }

    /// The file system that a log directory is on.
    pub(super) fn device(&self, dir: &Path) -> u64 {
        self.device_of.get(dir).copied().unwrap_or_default()
    }

    /// Bytes that have to be free for a job, beside those that a copy which is not finished has taken.
    fn needed(&self, job: &Job) -> u64 {
        whole(job).saturating_sub(self.held.get(&job.id).copied().unwrap_or_default())
    }

    fn free_at(&self, dir: &Path) -> u64 {
        self.free.get(&self.device(dir)).copied().unwrap_or_default()
    }

    /// Whether there is room for a job now.
    pub(super) fn fits(&self, job: &Job) -> bool {
        self.needed(job) <= self.free_at(&job.to)
    }

    /// A job takes its room.
    pub(super) fn take(&mut self, job: &Job) {
        let (device, needed) = (self.device(&job.to), self.needed(job));
        if let Some(free) = self.free.get_mut(&device) {
            *free = free.saturating_sub(needed);
        }
    }

    /// A job has come to its end: what it takes is what it wrote, and what it moved away is free.
    pub(super) fn give(&mut self, job: &Job) {
        let (to, from) = (self.device(&job.to), self.device(&job.from));
        if let Some(free) = self.free.get_mut(&to) {
            *free = free.saturating_add(whole(job).saturating_sub(job.stored_bytes));
        }
        if job.act == Act::Move
            && job.copies()
            && let Some(free) = self.free.get_mut(&from)
        {
            *free = free.saturating_add(job.stored_bytes);
        }
    }

    /// Whether all of the jobs can be done one after the other, those first that fit. Else which one cannot.
    pub(super) fn check(mut self, jobs: &[&Job]) -> Result<(), MoveError> {
        let mut left: Vec<&Job> = jobs.iter().copied().filter(|job| job.copies()).collect();
        while !left.is_empty() {
            let before = left.len();
            let mut waiting = Vec::new();
            for job in left {
                if self.fits(job) {
                    self.take(job);
                    self.give(job);
                } else {
                    waiting.push(job);
                }
            }
            if waiting.len() == before
                && let Some(job) = waiting.first()
            {
                let (needed, free) = (self.needed(job), self.free_at(&job.to));
                return Err(MoveError::NoSpace { path: job.target(), needed, free, jobs: before });
            }
            left = waiting;
        }
        Ok(())
    }
}

/// Bytes that a job takes while it is done.
fn whole(job: &Job) -> u64 {
    if !job.copies() {
        return 0;
    }
    let bytes = job.stored_bytes;
    bytes.saturating_add(bytes / 100 * HEAD_ROOM_PERCENT).saturating_add(DIR_BYTES)
}

/// Bytes on disk of the files in a directory; none where there is no directory.
fn bytes_in(dir: &Path) -> Result<u64, StorageError> {
    let error = |error| StorageError::new(dir, error);
    let entries = match std::fs::read_dir(dir) {
        Err(found) if found.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(error)?,
    };
    let mut bytes: u64 = 0;
    for entry in entries {
        let metadata = entry.and_then(|entry| entry.metadata()).map_err(error)?;
        bytes = bytes.saturating_add(metadata.blocks().saturating_mul(512));
    }
    Ok(bytes)
}
