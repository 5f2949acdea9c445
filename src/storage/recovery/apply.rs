//! Making a plan's changes, so that a crash in between leaves a directory that recovers to the same end.
//!
//! Segments behind a cut go before the cut is made, the last one first: after a crash the damage that
//! condemned them is still there to condemn the rest. Nothing is written for a log before it is cut. Each step is
//! on disk before the next one is begun.

use std::path::Path;

use super::{Change, Changes, Plan};
use crate::storage::fs::{self, Opening, StorageError};

impl Plan {
    /// Makes the changes; on disk when it returns.
    ///
    /// The caller holds the locks, has removed the log directory's clean-shutdown marker if there are
    /// changes, and does not open the log before this has come back.
    pub fn apply(&self) -> Result<(), StorageError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        self.apply_in(&self.dir)
    }

    /// Makes the changes in `dir`, which holds the same files; on disk when it returns.
    ///
    /// Files that are cut are written to: they must not share their inode with those of the plan's directory.
    pub fn apply_in(&self, dir: &Path) -> Result<(), StorageError> {
        let mut before: Option<u8> = None;
        for (step, change) in self.changes.in_steps() {
            // A name that comes back when power is lost must not meet what came after it.
            if before.is_some_and(|before| before != step) {
                fs::sync_dir(dir)?;
            }
            before = Some(step);
            change.make(dir)?;
        }
        fs::sync_dir(dir)
    }
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.in_order().next().is_none()
    }

    /// Every change, in the order it is made.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &Change> {
        self.in_steps().map(|(_, change)| change)
    }

    /// Every change, with the number of the step it belongs to.
    fn in_steps(&self) -> impl Iterator<Item = (u8, &Change)> {
        let steps = [&self.stale, &self.early, &self.swapped, &self.dropped, &self.cut, &self.written, &self.removed];
        (0..).zip(steps).flat_map(|(step, changes)| changes.iter().map(move |change| (step, change)))
    }

    pub(crate) fn describe(&self) -> Vec<String> {
        self.in_order().map(Change::describe).collect()
    }
}

impl Change {
    /// Makes it in `dir`.
    fn make(&self, dir: &Path) -> Result<(), StorageError> {
        let at = |path: &Path| dir.join(path.file_name().unwrap_or_default());
        match self {
            Change::Remove(path) => fs::remove_if_present(&at(path)),
            Change::Rename { from, to } => fs::rename(&at(from), &at(to)),
            Change::Cut { path, len } => {
                let path = &at(path);
                let cut = fs::open_to_write(path, Opening::Existing).and_then(|file| {
                    fs::set_len(&file, path, *len)?;
                    fs::sync_file(&file, path)
                });
                cut.map_err(|error| StorageError::new(path, error))
            }
            Change::Write { path, bytes } => fs::replace_atomic(&at(path), bytes),
        }
    }

    fn describe(&self) -> String {
        let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        match self {
            Change::Remove(path) => format!("remove {}", name(path)),
            Change::Rename { from, to } => format!("rename {} to {}", name(from), name(to)),
            Change::Cut { path, len } => format!("cut {} to {len} bytes", name(path)),
            Change::Write { path, bytes } => format!("write {} ({} bytes)", name(path), bytes.len()),
        }
    }
}
