//! Changes of files, as something to show and to compare.

use std::collections::BTreeMap;
use std::path::Path;

use crate::storage::fs::StorageError;
use crate::storage::recovery::{Change, Plan};

/// One change of one file of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChange {
    /// It goes.
    Remove {
        /// Its name.
        file: String,
    },
    /// It gets another name; one that ends in `.deleted` goes a minute later (`file.delete.delay.ms`).
    Rename {
        /// Its name now.
        file: String,
        /// Its name then.
        to: String,
    },
    /// Its end goes.
    Cut {
        /// Its name.
        file: String,
        /// Its size then.
        size_bytes: u64,
    },
    /// It is made, or made again. An index of the last segment has room behind its entries while a broker runs.
    Write {
        /// Its name.
        file: String,
        /// Its size then.
        size_bytes: u64,
    },
}

impl FileChange {
    /// The stable word for the kind of change.
    pub const fn word(&self) -> &'static str {
        match self {
            FileChange::Remove { .. } => "remove",
            FileChange::Rename { .. } => "rename",
            FileChange::Cut { .. } => "cut",
            FileChange::Write { .. } => "write",
        }
    }

    /// The file it begins with.
    pub fn file(&self) -> &str {
        match self {
            FileChange::Remove { file }
            | FileChange::Rename { file, .. }
            | FileChange::Cut { file, .. }
            | FileChange::Write { file, .. } => file,
        }
    }
}

impl std::fmt::Display for FileChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FileChange::Remove { file } => write!(f, "remove {file}"),
            FileChange::Rename { file, to } => write!(f, "rename {file} to {to}"),
            FileChange::Cut { file, size_bytes } => write!(f, "cut {file} to {size_bytes} bytes"),
            FileChange::Write { file, size_bytes } => write!(f, "write {file} ({size_bytes} bytes)"),
        }
    }
}

/// The changes of a plan, without the bytes it would write.
pub(super) fn of_plan(plan: &Plan) -> Vec<FileChange> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let of = |change: &Change| match change {
        Change::Remove(path) => FileChange::Remove { file: name(path) },
        Change::Rename { from, to } => FileChange::Rename { file: name(from), to: name(to) },
        Change::Cut { path, len } => FileChange::Cut { file: name(path), size_bytes: *len },
        Change::Write { path, bytes } => FileChange::Write { file: name(path), size_bytes: bytes.len() as u64 },
    };
    plan.changes.in_order().map(of).collect()
}

/// Names and sizes of the files of `dir` once `changes` are made; what is renamed to `.deleted` is left out, as
/// it goes by itself.
pub fn files_after(dir: &Path, changes: &[FileChange]) -> Result<BTreeMap<String, u64>, StorageError> {
    let unreadable = |error| StorageError::new(dir, error);
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let metadata = std::fs::metadata(entry.path()).map_err(unreadable)?;
        if metadata.is_file() {
            files.insert(entry.file_name().to_string_lossy().into_owned(), metadata.len());
        }
    }
    for change in changes {
        match change {
            FileChange::Remove { file } => drop(files.remove(file)),
            FileChange::Rename { file, to } => {
                if let (Some(size), false) = (files.remove(file), to.ends_with(".deleted")) {
                    files.insert(to.clone(), size);
                }
            }
            FileChange::Cut { file, size_bytes } | FileChange::Write { file, size_bytes } => {
                files.insert(file.clone(), *size_bytes);
            }
        }
    }
    Ok(files)
}
