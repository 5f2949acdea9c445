//! Whether there is room for what is copied, at every moment.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::MoveError;
use super::job::{Act, Job};
use crate::storage::fs::StorageError;

/// Of a hundred bytes that are copied so many more have to be free.
const HEAD_ROOM_PERCENT: u64 = 5;
/// What a partition's directory takes beside its files.
const DIR_BYTES: u64 = 64 << 10;

/// The file systems that jobs write to or free, by device.
#[derive(Debug, Clone, Default)]
pub(super) struct Room {
    free: HashMap<u64, u64>,
    device_of: HashMap<std::path::PathBuf, u64>,
}

impl Room {
    /// As it is now.
    pub(super) fn of<'a>(log_dirs: impl Iterator<Item = &'a Path>) -> Result<Room, StorageError> {
        let mut room = Room::default();
        for dir in log_dirs {
            let device = std::fs::metadata(dir).map_err(|error| StorageError::new(dir, error))?.dev();
            room.device_of.insert(dir.to_owned(), device);
            let found =
                rustix::fs::statvfs(dir).map_err(|errno| StorageError::new(dir, std::io::Error::from(errno)))?;
            room.free.insert(device, found.f_bavail.saturating_mul(found.f_frsize));
        }
        Ok(room)
    }

    /// The file system that a log directory is on.
    pub(super) fn device(&self, dir: &Path) -> u64 {
        self.device_of.get(dir).copied().unwrap_or_default()
    }

    fn free_at(&self, dir: &Path) -> u64 {
        self.free.get(&self.device(dir)).copied().unwrap_or_default()
    }

    /// Whether there is room for a job now.
    pub(super) fn fits(&self, job: &Job) -> bool {
        needed(job) <= self.free_at(&job.to)
    }

    /// A job takes its room.
    pub(super) fn take(&mut self, job: &Job) {
        let device = self.device(&job.to);
        if let Some(free) = self.free.get_mut(&device) {
            *free = free.saturating_sub(needed(job));
        }
    }

    /// A job has come to its end: what it takes is what it wrote, and what it moved away is free.
    pub(super) fn give(&mut self, job: &Job) {
        let (to, from) = (self.device(&job.to), self.device(&job.from));
        if let Some(free) = self.free.get_mut(&to) {
            *free = free.saturating_add(needed(job).saturating_sub(job.bytes()));
        }
        if job.act == Act::Move
            && let Some(free) = self.free.get_mut(&from)
        {
            *free = free.saturating_add(job.bytes());
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
                let (needed, free) = (needed(job), self.free_at(&job.to));
                return Err(MoveError::NoSpace { path: job.target(), needed, free, jobs: before });
            }
            left = waiting;
        }
        Ok(())
    }
}

/// Bytes that have to be free for a job.
fn needed(job: &Job) -> u64 {
    if !job.copies() {
        return 0;
    }
    let bytes = job.bytes();
    bytes.saturating_add(bytes / 100 * HEAD_ROOM_PERCENT).saturating_add(DIR_BYTES)
}
