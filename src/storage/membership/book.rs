//! The state of a group that is at work, between the turns of its members.
//!
//! It counts as long as a member is present; after that the group's record in `__consumer_offsets` says what is left of it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::group::membership::Membership;
use crate::storage::fs::{self, StorageError, StorageErrorKind, remove_if_present};
use crate::storage::partition::present;
use crate::storage::writer::Durability;

/// Largest book that is read: some 10,000 members.
const BOOK_BYTES_MAX: u64 = 64 << 20;
/// Longest part of a file's name that is made of a group's id.
const NAME_BYTES_MAX: usize = 160;
const VERSION: u32 = 1;

/// Where the state of a group is.
#[derive(Debug, Clone)]
pub(super) struct Book {
    group: String,
    path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Page {
    version: u32,
    group: String,
    membership: Membership,
}

impl Book {
    /// Of `group`, in a log directory.
    pub fn new(dir: &Path, group: &str) -> Book {
        Book { group: group.to_owned(), path: dir.join(format!("{}.json", file_name(group))) }
    }

    /// The file in which its members are present.
    pub fn roll(&self) -> PathBuf {
        self.path.with_extension("lock")
    }

    /// What it says; `None` where there is none.
    pub fn read(&self) -> Result<Option<Membership>, StorageError> {
        let Some(bytes) = present(fs::read_small(&self.path, BOOK_BYTES_MAX))? else { return Ok(None) };
        let malformed = |text: String| StorageError::new(&self.path, StorageErrorKind::Io(std::io::Error::other(text)));
        let page: Page =
            serde_json::from_slice(&bytes).map_err(|error| malformed(format!("no group's state: {error}")))?;
        if page.version != VERSION {
            return Err(malformed(format!(
                "of version {}: another logdir, of another version, runs here",
                page.version
            )));
        }
        if page.group != self.group {
            return Err(malformed(format!("group '{}' has this file, not '{}'", page.group, self.group)));
        }
        Ok(Some(page.membership))
    }

    /// Writes it.
    pub fn write(&self, membership: &Membership) -> Result<(), StorageError> {
        let page = Page { version: VERSION, group: self.group.clone(), membership: membership.clone() };
        let bytes = serde_json::to_vec(&page)
            .map_err(|error| StorageError::new(&self.path, StorageErrorKind::Io(error.into())))?;
        // Nobody needs it after a crash of the machine.
        fs::replace(&self.path, &bytes, Durability::Buffered)
    }

    /// Removes it.
    pub fn remove(&self) -> Result<(), StorageError> {
        remove_if_present(&self.path)
    }
}

/// A name for files of the group, different from those of all others.
fn file_name(group: &str) -> String {
    let mut name = ".logdir-group-".to_owned();
    for byte in group.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => name.push(char::from(byte)),
            _ => drop(write!(name, "%{byte:02X}")),
        }
    }
    if name.len() > NAME_BYTES_MAX {
        name.truncate(NAME_BYTES_MAX);
        // Two of them with the same name would be told apart by what the book says.
        let _ = write!(name, "~{:08x}", crate::crc::crc32c(group.as_bytes()));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_files_of_its_own() {
        assert_eq!(file_name("orders.v1_a-b"), ".logdir-group-orders.v1_a-b");
        assert_eq!(file_name("a/b ü%"), ".logdir-group-a%2Fb%20%C3%BC%25");
        let (long, longer) = ("x".repeat(300), "x".repeat(301));
        assert_ne!(file_name(&long), file_name(&longer));
        assert!(file_name(&long).len() < 200);
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let book = Book::new(dir.path(), "g");
        assert_eq!(book.read().unwrap(), None);
        book.write(&Membership::default()).unwrap();
        assert_eq!(book.read().unwrap(), Some(Membership::default()));
        std::fs::write(&book.path, "{}").unwrap();
        assert!(book.read().unwrap_err().to_string().contains("no group's state"));
        book.remove().unwrap();
        assert_eq!(book.read().unwrap(), None);
    }
}
