//! Copying files so that nothing of them is lost, and reading back what was copied.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, SeekFrom, Timespec, Timestamps};

use super::throttle::Throttle;
use super::{Damage, MoveError};
use crate::batch::walk::{Stop, Walker};
use crate::crc::Crc32c;
use crate::storage::file_source::FileSource;
use crate::storage::fs::{self, Opening, StorageError};

/// Bytes copied at once.
const PIECE_BYTES: u64 = 1 << 20;
/// After so many bytes they are on disk and out of the page cache: else a throttle would fill the cache at the rate of memory,
/// and the disk would be as busy as without one.
const SYNC_BYTES: u64 = 64 << 20;

/// What a copy keeps to.
pub struct Pace<'a> {
    /// Bytes a second, over all copies.
    pub throttle: Option<&'a Throttle>,
    /// Whether to stop.
    pub stops: &'a (dyn Fn() -> bool + Sync),
    /// Is told of each piece that was copied or read back.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

/// A file that was copied, and is not on disk yet.
pub struct Copied {
    source: File,
    target: File,
    path: PathBuf,
    /// The CRC-32C of its bytes.
    pub crc: u32,
}

impl Copied {
    /// Bytes, length, owner, mode and times are on disk when it returns, the name after a sync of its directory.
    ///
    /// On the descriptor that wrote: it learns of every error since.
    pub fn settle(self) -> Result<u32, MoveError> {
        fs::sync_whole(&self.target, &self.path).map_err(|error| StorageError::new(&self.path, error))?;
        for file in [&self.target, &self.source] {
            let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
        }
        Ok(self.crc)
    }
}

/// Copies a file, with owner, mode and times. Holes stay holes. The disk has begun to write it; [`Copied::settle`] waits.
///
/// Shares blocks where the file system does that (`FICLONE`), else lets the kernel copy (`copy_file_range`), else does it
/// itself.
pub fn copy_file(from: &Path, to: &Path, pace: &Pace<'_>) -> Result<Copied, MoveError> {
    let from_error = |error| MoveError::Source(StorageError::new(from, error));
    let to_error = |error| StorageError::new(to, error);
    let source = File::open(from).map_err(from_error)?;
    let metadata = source.metadata().map_err(from_error)?;
    let target = fs::open_to_write(to, Opening::Emptied).map_err(to_error)?;
    let len = metadata.len();
    let mut crc = Crc32c::new();
    if len > 0 && fs::clone_blocks(&source, &target, to).map_err(to_error)? {
        read_all(&source, len, &mut |piece| {
            crc.add(piece);
            (pace.progress)(piece.len() as u64);
            !(pace.stops)()
        })
        .map_err(from_error)?;
    } else {
        copy_bytes(&Copying { source: &source, target: &target, from, to, pace }, len, &mut crc)?;
    }
    if (pace.stops)() {
        return Err(MoveError::Stopped);
    }
    keep_attributes(&metadata, &target).map_err(to_error)?;
    // Starts to write it, and waits for nothing: many small files get their blocks before the first one waits.
    let _ = rustix::fs::fadvise(&target, 0, None, Advice::DontNeed);
    Ok(Copied { source, target, path: to.to_owned(), crc: crc.value() })
}

struct Copying<'a> {
    source: &'a File,
    target: &'a File,
    from: &'a Path,
    to: &'a Path,
    pace: &'a Pace<'a>,
}

fn copy_bytes(files: &Copying<'_>, len: u64, crc: &mut Crc32c) -> Result<(), MoveError> {
    let Copying { source, target, from, to, pace } = files;
    let from_error = |error| MoveError::Source(StorageError::new(*from, error));
    let to_error = |error| StorageError::new(*to, error);
    let mut piece = vec![0; usize::try_from(PIECE_BYTES.min(len)).unwrap_or_default()];
    let (mut at, mut synced) = (0, 0);
    while at < len {
        let data = next_data(source, at, len);
        add_zeros(crc, data - at);
        (pace.progress)(data - at);
        at = data;
        let hole = next_hole(source, at, len);
        while at < hole {
            let want = PIECE_BYTES.min(hole - at);
            if pace.throttle.is_some_and(|throttle| !throttle.wait(want, pace.stops)) || (pace.stops)() {
                return Err(MoveError::Stopped);
            }
            // What the source holds is what the copy is held against later.
            let bytes = piece.get_mut(..usize::try_from(want).unwrap_or_default()).unwrap_or_default();
            source.read_exact_at(bytes, at).map_err(from_error)?;
            crc.add(bytes);
            fs::copy_range(source, target, to, at, bytes).map_err(to_error)?;
            at += want;
            (pace.progress)(want);
            if at - synced >= SYNC_BYTES {
                fs::sync_file(target, to).map_err(to_error)?;
                let _ = rustix::fs::fadvise(target, 0, None, Advice::DontNeed);
                let _ = rustix::fs::fadvise(source, 0, None, Advice::DontNeed);
                synced = at;
            }
        }
    }
    if target.metadata().map_err(to_error)?.len() != len {
        fs::set_len(target, to, len).map_err(to_error)?;
    }
    Ok(())
}

/// Where data begins at or after `at`; `len` where only a hole follows.
fn next_data(file: &File, at: u64, len: u64) -> u64 {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => data.clamp(at, len),
        Err(rustix::io::Errno::NXIO) => len,
        // The file system does not tell: all of it is data.
        Err(_) => at,
    }
}

/// Where a hole begins after `at`, or the file ends.
fn next_hole(file: &File, at: u64, len: u64) -> u64 {
    rustix::fs::seek(file, SeekFrom::Hole(at)).map_or(len, |hole| hole.clamp(at.min(len), len))
}

fn add_zeros(crc: &mut Crc32c, mut count: u64) {
    const ZEROS: [u8; 4096] = [0; 4096];
    while count > 0 {
        let piece = usize::try_from(count).unwrap_or(usize::MAX).min(ZEROS.len());
        crc.add(ZEROS.get(..piece).unwrap_or_default());
        count -= piece as u64;
    }
}

/// Owner, mode and times. Retention looks at the time where records have none of their own.
fn keep_attributes(metadata: &Metadata, target: &File) -> io::Result<()> {
    let now = target.metadata()?;
    if (now.uid(), now.gid()) != (metadata.uid(), metadata.gid()) {
        // Only the superuser may; who is not could not read what is not theirs.
        let _ = std::os::unix::fs::fchown(target, Some(metadata.uid()), Some(metadata.gid()));
    }
    target.set_permissions(std::fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: time(metadata.atime(), metadata.atime_nsec()),
        last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
    };
    Ok(rustix::fs::futimens(target, &times)?)
}

/// Owner and mode of a directory, for the copy of it.
pub fn keep_dir_attributes(from: &Path, to: &Path) -> Result<(), StorageError> {
    let metadata = std::fs::metadata(from).map_err(|error| StorageError::new(from, error))?;
    let _ = std::os::unix::fs::chown(to, Some(metadata.uid()), Some(metadata.gid()));
    let mode = std::fs::Permissions::from_mode(metadata.mode() & 0o7777);
    std::fs::set_permissions(to, mode).map_err(|error| StorageError::new(to, error))
}

/// Reads a file to `len`, by pieces; ends early where `each` says so.
fn read_all(file: &File, len: u64, each: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut piece = vec![0; usize::try_from(PIECE_BYTES.min(len)).unwrap_or_default()];
    let mut reader = file;
    rustix::fs::seek(file, SeekFrom::Start(0))?;
    let mut left = len;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        let bytes = piece.get_mut(..want).unwrap_or_default();
        reader.read_exact(bytes)?;
        left -= want as u64;
        if !each(bytes) {
            break;
        }
    }
    Ok(())
}

/// The length and the CRC-32C of what is on disk under this name, not of what memory still has of it.
pub fn read_back(path: &Path, pace: &Pace<'_>) -> Result<(u64, u32), MoveError> {
    let error = |error| StorageError::new(path, error);
    let file = File::open(path).map_err(error)?;
    let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
    let len = file.metadata().map_err(error)?.len();
    let mut crc = Crc32c::new();
    let mut stopped = false;
    read_all(&file, len, &mut |piece| {
        crc.add(piece);
        (pace.progress)(piece.len() as u64);
        stopped = (pace.stops)();
        !stopped
    })
    .map_err(error)?;
    if stopped {
        return Err(MoveError::Stopped);
    }
    Ok((len, crc.value()))
}

/// The first entry of a log that is not valid, by the checksums of its batches. What is cut short at the end of the last
/// segment is how a write ends that did not, and not damage.
pub fn first_damage(log: &Path, is_last: bool) -> Result<Option<Damage>, MoveError> {
    let error = |error| StorageError::new(log, error);
    let source = File::open(log).and_then(FileSource::new).map_err(error)?;
    let mut walker = Walker::new(source);
    let what = loop {
        match walker.step().map_err(error)? {
            Ok(_) => {}
            Err(Stop::End) => return Ok(None),
            Err(Stop::Cut { .. }) if is_last => return Ok(None),
            Err(Stop::Cut { bytes, .. }) => break format!("{bytes} bytes that are no whole batch"),
            Err(Stop::Corrupt(reason)) => break reason.to_string(),
        }
    };
    Ok(Some(Damage { path: log.to_owned(), position: walker.position().get(), what }))
}

/// As [`first_damage`], over all logs in `dir`.
pub fn first_damage_in(dir: &Path, names: &[String]) -> Result<Option<Damage>, MoveError> {
    let logs: Vec<PathBuf> = names.iter().filter(|name| is_log(name)).map(|name| dir.join(name)).collect();
    for (number, log) in logs.iter().enumerate() {
        if let Some(damage) = first_damage(log, number + 1 == logs.len())? {
            return Ok(Some(damage));
        }
    }
    Ok(None)
}

fn is_log(name: &str) -> bool {
    use crate::storage::names::{FileState, PartitionFile, SegmentFileKind};
    matches!(
        PartitionFile::parse(name.as_ref()),
        PartitionFile::Segment(file) if file.kind == SegmentFileKind::Log && file.state == FileState::Live
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ANY_PACE: Pace<'static> = Pace { throttle: None, stops: &|| false, progress: &|_| {} };

    #[test]
    fn a_copy_has_the_bytes_the_holes_the_mode_and_the_time() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let file = File::create(&from).unwrap();
        let mut bytes = vec![0; 10 << 20];
        for (at, piece) in [(0usize, "at the start"), (5 << 20, "in the middle of nothing")] {
            file.write_all_at(piece.as_bytes(), at as u64).unwrap();
            bytes[at..at + piece.len()].copy_from_slice(piece.as_bytes());
        }
        file.set_len(bytes.len() as u64).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o640)).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 123_456_789);
        file.set_modified(time).unwrap();
        let crc = copy_file(&from, &to, &AT_ANY_PACE).unwrap().settle().unwrap();
        assert_eq!(crc, crate::crc::crc32c(&bytes));
        assert_eq!(read_back(&to, &AT_ANY_PACE).unwrap(), (bytes.len() as u64, crc));
        assert!(std::fs::read(&to).unwrap() == bytes);
        let (before, after) = (std::fs::metadata(&from).unwrap(), std::fs::metadata(&to).unwrap());
        assert_eq!((after.mode() & 0o7777, after.modified().unwrap()), (0o640, time));
        assert!(after.blocks() <= before.blocks(), "{} blocks of {}", after.blocks(), before.blocks());
        std::fs::write(&from, "").unwrap();
        assert_eq!(copy_file(&from, &to, &AT_ANY_PACE).unwrap().crc, crate::crc::crc32c(b""), "over a longer one");
        assert_eq!(std::fs::metadata(&to).unwrap().len(), 0);
    }

    #[test]
    fn a_copy_that_is_told_to_stop_does() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, vec![1; 3 << 20]).unwrap();
        let pieces = std::sync::atomic::AtomicU64::new(0);
        let stops = || pieces.load(std::sync::atomic::Ordering::Relaxed) > 0;
        let progress = |bytes| {
            pieces.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        };
        let pace = Pace { throttle: None, stops: &stops, progress: &progress };
        assert!(matches!(copy_file(&from, &to, &pace), Err(MoveError::Stopped)));
        assert!(pieces.into_inner() <= PIECE_BYTES);
    }
}
