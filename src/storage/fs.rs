//! Reading and replacing whole small files, and naming the file in every error.
//!
//! Nothing here follows a length it was told: a file that is larger than its kind can be, or that
//! grows while it is read, is refused. Devices and pipes are refused before they are opened, so a
//! scan of a directory cannot block on one.
//!
//! A small file is written by [`replace_atomic`]: after a crash at any moment it holds its old bytes or
//! its new ones. A name is on disk once [`sync_dir`] of its directory came back.
//!
//! Every change of a file that has to survive something goes through here. Under test each one is noted, so that
//! a loss of power can be played through at any moment (`storage::power_loss`).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::checkpoint::CheckpointError;
use super::index::txn::TxnIndexError;
use super::leader_epochs::LeaderEpochError;
use super::meta_properties::MetaPropertiesError;
use super::partition_metadata::PartitionMetadataError;
#[cfg(test)]
use super::power_loss::journal;
use super::producer_state::SnapshotError;
use super::quorum_state::QuorumStateError;
use super::writer::Durability;

/// A checkpoint file above this many bytes is not a checkpoint file (a million partitions fit).
pub const CHECKPOINT_BYTES_MAX: u64 = 64 << 20;
/// Cap for files of a few lines: `meta.properties`, `partition.metadata`, `quorum-state`.
pub const PROPERTIES_BYTES_MAX: u64 = 1 << 20;

/// What went wrong, and in which file.
#[derive(Debug, Error)]
#[error("{}: {kind}", path.display())]
pub struct StorageError {
    /// The file, as the caller named it.
    pub path: PathBuf,
    /// The reason.
    pub kind: StorageErrorKind,
}

impl StorageError {
    /// An error about the file at `path`.
    pub fn new(path: impl Into<PathBuf>, kind: impl Into<StorageErrorKind>) -> Self {
        StorageError { path: path.into(), kind: kind.into() }
    }

    /// Whether the file is simply not there; for most of Kafka's files that is an answer, not damage.
    pub fn is_not_found(&self) -> bool {
        matches!(&self.kind, StorageErrorKind::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Why a file could not be read or understood.
#[derive(Debug, Error)]
pub enum StorageErrorKind {
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A directory, pipe or device where a file was expected.
    #[error("not a regular file")]
    NotAFile,
    /// Larger than this kind of file can be.
    #[error("{len} bytes long, at most {max} expected")]
    TooLarge {
        /// Length found; when the file grew while it was read, what was read so far.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// An offset checkpoint, or the frame of a leader epoch checkpoint.
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    /// A leader epoch checkpoint.
    #[error("{0}")]
    LeaderEpochs(#[from] LeaderEpochError),
    /// A producer snapshot.
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
    /// A transaction index.
    #[error("{0}")]
    TxnIndex(#[from] TxnIndexError),
    /// A `meta.properties` file.
    #[error("{0}")]
    MetaProperties(#[from] MetaPropertiesError),
    /// A `partition.metadata` file.
    #[error("{0}")]
    PartitionMetadata(#[from] PartitionMetadataError),
    /// A `quorum-state` file.
    #[error("{0}")]
    QuorumState(#[from] QuorumStateError),
}

/// The contents of the file at `path`, which must not be longer than `bytes_max`.
pub fn read_small(path: &Path, bytes_max: u64) -> Result<Vec<u8>, StorageError> {
    read_capped(path, bytes_max).map_err(|kind| StorageError::new(path, kind))
}

/// Reads and parses in one go; the path goes into the error of either.
pub(crate) fn read_parsed<T, E: Into<StorageErrorKind>>(
    path: &Path,
    bytes_max: u64,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
) -> Result<T, StorageError> {
    let bytes = read_small(path, bytes_max)?;
    parse(&bytes).map_err(|error| StorageError::new(path, error))
}

fn read_capped(path: &Path, bytes_max: u64) -> Result<Vec<u8>, StorageErrorKind> {
    let (file, len) = open_file(path, bytes_max)?;
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    let read = bytes.len() as u64;
    if read > bytes_max {
        return Err(StorageErrorKind::TooLarge { len: read, max: bytes_max });
    }
    Ok(bytes)
}

/// Opens a regular file of at most `bytes_max` bytes; its length at this moment comes along.
pub(crate) fn open_file(path: &Path, bytes_max: u64) -> Result<(File, u64), StorageErrorKind> {
    // Before opening: opening a pipe waits for its other end.
    if !path.metadata()?.is_file() {
        return Err(StorageErrorKind::NotAFile);
    }
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    if len > bytes_max {
        return Err(StorageErrorKind::TooLarge { len, max: bytes_max });
    }
    Ok((file, len))
}

/// Whether there is a regular file at `path`, or a link to one; what is not there is none, and everything else is an error:
/// who takes a failed look for an answer leaves out what is there.
pub(crate) fn is_file(path: &Path) -> Result<bool, StorageError> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StorageError::new(path, error)),
    }
}

/// Whether there is a directory at `path`; a link to one is none.
pub(crate) fn is_dir(path: &Path) -> Result<bool, StorageError> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StorageError::new(path, error)),
    }
}

/// Gives what the superuser has just made to whom the directory around it belongs: a broker that runs as somebody else could
/// not open it. Where that cannot be done, `verify` says so.
pub(crate) fn give_to_owner(path: &Path) {
    use std::os::unix::fs::MetadataExt;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    if let Ok(around) = std::fs::metadata(parent_of(path))
        && (around.uid(), around.gid()) != (0, 0)
    {
        let _ = std::os::unix::fs::chown(path, Some(around.uid()), Some(around.gid()));
    }
}

/// Puts `bytes` in the place of the file at `path`: old or new after a crash, never a part of it.
///
/// On disk when it returns. The bytes go to `<name>.tmp`, as Kafka's own checkpoint writers do; one left
/// by a crash is harmless and overwritten.
pub fn replace_atomic(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    replace(path, bytes, Durability::Synced)
}

/// As [`replace_atomic`]; with [`Durability::Buffered`] the old bytes may come back when power is lost.
///
/// Never a part of the new ones: a broker does not start over half a checkpoint.
pub fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), StorageError> {
    let temporary = temporary_of(path);
    let written = open_to_write(&temporary, Opening::Emptied).and_then(|file| {
        write_at(&file, &temporary, bytes, 0)?;
        sync_file(&file, &temporary)
    });
    written.map_err(|error| StorageError::new(&temporary, error))?;
    rename(&temporary, path)?;
    if durability == Durability::Synced { sync_dir(parent_of(path)) } else { Ok(()) }
}

/// What of a file must be there before it is opened for writing, and what then is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// It is there.
    Existing,
    /// Made if it is missing.
    Kept,
    /// Made if it is missing, else without its bytes.
    Emptied,
}

/// Opens a file for reading and writing.
pub(crate) fn open_to_write(path: &Path, opening: Opening) -> io::Result<File> {
    let (create, truncate) = (opening != Opening::Existing, opening == Opening::Emptied);
    let was_there = !create || path.exists();
    #[cfg(test)]
    journal::attempt(path, !was_there)?;
    let file = File::options().read(true).write(true).create(create).truncate(truncate).open(path)?;
    if !was_there {
        give_to_owner(path);
    }
    #[cfg(test)]
    journal::opened(path, was_there, truncate);
    Ok(file)
}

/// Writes to `file`, which is at `path`.
pub(crate) fn write_at(file: &File, path: &Path, bytes: &[u8], at: u64) -> io::Result<()> {
    #[cfg(test)]
    journal::check(path)?;
    file.write_all_at(bytes, at)?;
    #[cfg(test)]
    journal::wrote(path, at, bytes);
    let _ = path;
    Ok(())
}

/// Makes `file`, which is at `path`, longer or shorter.
pub(crate) fn set_len(file: &File, path: &Path, len: u64) -> io::Result<()> {
    #[cfg(test)]
    journal::attempt(path, false)?;
    file.set_len(len)?;
    #[cfg(test)]
    journal::set_len(path, len);
    let _ = path;
    Ok(())
}

/// Waits until the bytes and the length of `file`, which is at `path`, are on disk.
///
/// After an error nothing is known of what was written before, and a second attempt may come back without one.
pub(crate) fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    #[cfg(test)]
    journal::check(path)?;
    file.sync_data()?;
    #[cfg(test)]
    journal::synced(path);
    let _ = path;
    Ok(())
}

/// Gives a file or directory another name.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StorageError> {
    #[cfg(test)]
    journal::attempt(to, false).map_err(|error| StorageError::new(to, error))?;
    std::fs::rename(from, to).map_err(|error| StorageError::new(to, error))?;
    #[cfg(test)]
    journal::renamed(from, to);
    Ok(())
}

/// Makes a directory and those it is in, each name on disk when it returns; those that are there are left alone.
pub(crate) fn create_dirs(dir: &Path) -> Result<(), StorageError> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = parent_of(dir);
    create_dirs(parent)?;
    match create_dir(dir) {
        // Someone else made it since.
        Err(_) if dir.is_dir() => {}
        done => done?,
    }
    sync_dir(parent)
}

/// Makes a directory; its name is on disk after [`sync_dir`] of the one it is in.
pub(crate) fn create_dir(dir: &Path) -> Result<(), StorageError> {
    #[cfg(test)]
    journal::attempt(dir, true).map_err(|error| StorageError::new(dir, error))?;
    std::fs::create_dir(dir).map_err(|error| StorageError::new(dir, error))?;
    give_to_owner(dir);
    #[cfg(test)]
    journal::made_dir(dir);
    Ok(())
}

/// Copies a file, its bytes on disk when it returns; its name is after [`sync_dir`].
///
/// Shares blocks where the file system can (`copy_file_range`), and never the inode.
pub(crate) fn copy_file(from: &Path, to: &Path) -> Result<(), StorageError> {
    let mut source = File::open(from).map_err(|error| StorageError::new(from, error))?;
    let copied = open_to_write(to, Opening::Emptied).and_then(|mut target| {
        io::copy(&mut source, &mut target)?;
        #[cfg(test)]
        journal::wrote(to, 0, &std::fs::read(to)?);
        sync_file(&target, to)
    });
    copied.map_err(|error| StorageError::new(to, error))
}

/// Copies `bytes`, which were read from a file at `at`, to the same place of another one: by the kernel where it does that
/// (`copy_file_range`), else as they are here.
///
/// Fails where the source ends before that.
pub(crate) fn copy_range(from: &File, to: &File, to_path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
    #[cfg(test)]
    journal::check(to_path)?;
    let len = bytes.len() as u64;
    let (mut from_at, mut to_at, end) = (at, at, at.saturating_add(len));
    while from_at < end {
        let want = usize::try_from(end - from_at).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(from, Some(&mut from_at), to, Some(&mut to_at), want) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => {}
            Err(
                rustix::io::Errno::XDEV
                | rustix::io::Errno::INVAL
                | rustix::io::Errno::NOSYS
                | rustix::io::Errno::OPNOTSUPP
                | rustix::io::Errno::PERM,
            ) => {
                let rest = bytes.get(bytes.len() - want.min(bytes.len())..).unwrap_or_default();
                to.write_all_at(rest, from_at)?;
                from_at = end;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    #[cfg(test)]
    {
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        to.read_exact_at(&mut bytes, at)?;
        journal::wrote(to_path, at, &bytes);
    }
    let _ = to_path;
    Ok(())
}

/// Makes `to`, which is empty, share the blocks of `from` (`FICLONE`); `false` where the file system does not do that.
pub(crate) fn clone_blocks(from: &File, to: &File, to_path: &Path) -> io::Result<bool> {
    #[cfg(test)]
    journal::check(to_path)?;
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => {
            #[cfg(test)]
            journal::wrote(to_path, 0, &std::fs::read(to_path)?);
            let _ = to_path;
            Ok(true)
        }
        // Whatever it is that stands in the way, bytes can be copied.
        Err(_) => Ok(false),
    }
}

/// As [`sync_file`], and what is noted of the file with it: owner, mode and times.
pub(crate) fn sync_whole(file: &File, path: &Path) -> io::Result<()> {
    #[cfg(test)]
    journal::check(path)?;
    file.sync_all()?;
    #[cfg(test)]
    journal::synced(path);
    let _ = path;
    Ok(())
}

/// Gives a file a second name; its bytes are on disk when it returns, the name after [`sync_dir`].
///
/// `false`: the file system does not do that here, and nothing was made.
pub(crate) fn hard_link(from: &Path, to: &Path) -> Result<bool, StorageError> {
    match std::fs::hard_link(from, to) {
        Ok(()) => {}
        Err(error) => {
            let cannot = [io::ErrorKind::CrossesDevices, io::ErrorKind::Unsupported, io::ErrorKind::PermissionDenied];
            let too_many = error.kind() == io::ErrorKind::TooManyLinks;
            return if cannot.contains(&error.kind()) || too_many {
                Ok(false)
            } else {
                Err(StorageError::new(to, error))
            };
        }
    }
    #[cfg(test)]
    journal::linked(from, to);
    File::open(to).and_then(|file| sync_file(&file, to)).map_err(|error| StorageError::new(to, error))?;
    Ok(true)
}

/// Exchanges two names in one step: at no moment is one of them not there (`renameat2`, `RENAME_EXCHANGE`).
///
/// `false`: the file system or the kernel does not do that, and nothing was changed.
pub(crate) fn exchange(a: &Path, b: &Path) -> Result<bool, StorageError> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
        Ok(()) => {
            #[cfg(test)]
            journal::exchanged(a, b);
            Ok(true)
        }
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => Ok(false),
        Err(errno) => Err(StorageError::new(b, io::Error::from(errno))),
    }
}

/// Removes a directory, which is empty; that it is not there is fine.
pub(crate) fn remove_dir(dir: &Path) -> Result<(), StorageError> {
    #[cfg(test)]
    journal::attempt(dir, false).map_err(|error| StorageError::new(dir, error))?;
    match std::fs::remove_dir(dir) {
        Ok(()) => {
            #[cfg(test)]
            journal::removed(dir);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StorageError::new(dir, error)),
    }
}

/// Removes a directory and all that is in it, the entry `last` last; that it is not there is fine.
///
/// Symbolic links are removed, not followed, and so is one in the place of `dir`.
pub(crate) fn remove_tree(dir: &Path, last: Option<&str>) -> Result<(), StorageError> {
    let error = |error| StorageError::new(dir, error);
    match std::fs::symlink_metadata(dir) {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(()),
        found if !found.as_ref().is_ok_and(std::fs::Metadata::is_dir) => {
            found.map_err(error)?;
            return remove_if_present(dir);
        }
        _ => {}
    }
    for entry in std::fs::read_dir(dir).map_err(error)? {
        let entry = entry.map_err(error)?;
        if last.is_some_and(|last| entry.file_name() == last) {
            continue;
        }
        if entry.file_type().map_err(error)?.is_dir() {
            remove_tree(&entry.path(), None)?;
        } else {
            remove_if_present(&entry.path())?;
        }
    }
    if let Some(last) = last {
        sync_dir(dir)?;
        remove_if_present(&dir.join(last))?;
    }
    remove_dir(dir)
}

fn temporary_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(".tmp");
    path.with_file_name(name)
}

/// The directory a file is in.
pub(crate) fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Bytes that are free on the file system of `dir`, for who is not the superuser.
pub fn free_bytes(dir: &Path) -> Result<u64, StorageError> {
    let found = rustix::fs::statvfs(dir).map_err(|errno| StorageError::new(dir, io::Error::from(errno)))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Waits until what was created, renamed or removed in `dir` is on disk.
pub fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    #[cfg(test)]
    journal::attempt(dir, false).map_err(|error| StorageError::new(dir, error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| StorageError::new(dir, error))?;
    #[cfg(test)]
    journal::synced_dir(dir);
    Ok(())
}

/// Removes a file; that it is not there is fine.
pub fn remove_if_present(path: &Path) -> Result<(), StorageError> {
    #[cfg(test)]
    journal::attempt(path, false).map_err(|error| StorageError::new(path, error))?;
    match std::fs::remove_file(path) {
        Ok(()) => {
            #[cfg(test)]
            journal::removed(path);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StorageError::new(path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recovery-point-offset-checkpoint");
        for text in ["0\n0\n", "0\n1\nt 0 5\n"] {
            std::fs::write(temporary_of(&path), "left by a crash, and longer than what follows").unwrap();
            replace_atomic(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
        let gone = dir.path().join("gone");
        assert!(replace_atomic(&gone.join("file"), b"").unwrap_err().is_not_found());
        remove_if_present(&path).unwrap();
        remove_if_present(&path).unwrap();
    }

    #[test]
    fn removing_a_tree_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, tree, link) = (dir.path().join("kept"), dir.path().join("tree"), dir.path().join("link"));
        std::fs::create_dir_all(kept.join("below")).unwrap();
        std::fs::write(kept.join("below/file"), "x").unwrap();
        std::fs::create_dir(&tree).unwrap();
        for place in [&link, &tree.join("inside")] {
            std::os::unix::fs::symlink(&kept, place).unwrap();
        }
        for place in [&link, &tree, &dir.path().join("none")] {
            remove_tree(place, None).unwrap();
            assert!(!place.exists() && !place.is_symlink(), "{}", place.display());
        }
        assert_eq!(std::fs::read_to_string(kept.join("below/file")).unwrap(), "x");
    }

    #[test]
    fn too_large_missing_and_not_a_file_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("five");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_small(&path, 5).unwrap(), b"12345");
        let too_large = read_small(&path, 4).unwrap_err();
        assert!(matches!(too_large.kind, StorageErrorKind::TooLarge { len: 5, max: 4 }));
        assert!(too_large.to_string().ends_with("five: 5 bytes long, at most 4 expected"), "{too_large}");
        assert!(read_small(&dir.path().join("none"), 4).unwrap_err().is_not_found());
        assert!(matches!(read_small(dir.path(), 4).unwrap_err().kind, StorageErrorKind::NotAFile));
    }
}
