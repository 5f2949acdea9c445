//! Who is present: a file in which every member of a group holds a place, and by which they take turns.
//!
//! A member's place is a byte of the file that its process has locked; the kernel lets it go with the process, however that
//! ends. Beside it stands when the member was last heard of, which tells of processes that are stopped.
//!
//! | at | |
//! |---|---|
//! | 0 | counts the changes of the group's book |
//! | 64 + 16 N | place N: heartbeat, last poll, in ms of the system's monotonic clock |
//!
//! A plain file whose name starts with a dot: a broker ignores it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::storage::fs::{StorageError, give_to_owner, remove_if_present};
use crate::storage::lock::Turn;
use crate::types::TimestampMs;

const HEADER_BYTES: u64 = 64;
const PLACE_BYTES: u64 = 16;
/// More processes than read one topic; a file that says otherwise is none of ours.
const PLACES_MAX: u32 = 1 << 16;

/// The file, and this process' place in it.
#[derive(Debug)]
pub(super) struct Roll {
    file: Arc<File>,
    turn: Turn,
    path: PathBuf,
    place: u32,
    pulse: Option<Pulse>,
}

/// What a place says of the member that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Presence {
    /// Its process is there.
    pub is_held: bool,
    /// When it was last alive.
    pub heartbeat_ms: TimestampMs,
    /// When it last took part.
    pub poll_ms: TimestampMs,
}

impl Roll {
    /// Opens the file, takes the turn, and a place.
    pub fn enter(path: &Path, heartbeat_every: Duration) -> Result<Roll, StorageError> {
        let failed = |error: io::Error| StorageError::new(path, error);
        let (file, turn) = loop {
            let is_new = !path.exists();
            let opened = File::options().read(true).write(true).create(true).truncate(false).open(path);
            let file = opened.map_err(failed)?;
            if is_new {
                give_to_owner(path);
            }
            let turn = Turn::of(file.try_clone().map_err(failed)?, path);
            turn.take()?;
            // The last one to leave removes it.
            if is_at(&file, path) {
                break (Arc::new(file), turn);
            }
        };
        let mut roll = Roll { file, turn, path: path.to_owned(), place: 0, pulse: None };
        while !roll.lock(roll.place).map_err(failed)? {
            roll.place += 1;
            if roll.place >= PLACES_MAX {
                return Err(failed(io::Error::other("no place is free in it")));
            }
        }
        roll.note_poll()?;
        beat(&roll.file, roll.place).map_err(failed)?;
        roll.pulse = Some(Pulse::start(Arc::clone(&roll.file), roll.place, heartbeat_every));
        Ok(roll)
    }

    /// Waits for the turn at the group. `false`: the group was empty meanwhile, and this is not its file any more.
    pub fn take_turn(&self) -> Result<bool, StorageError> {
        self.turn.take()?;
        Ok(is_at(&self.file, &self.path))
    }

    /// Ends the turn.
    pub fn end_turn(&self) -> Result<(), StorageError> {
        self.turn.end()
    }

    /// This process' place.
    pub const fn place(&self) -> u32 {
        self.place
    }

    /// How often the group's book has changed.
    pub fn version(&self) -> Result<u64, StorageError> {
        let mut bytes = [0; 8];
        self.read_at(&mut bytes, 0)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Counts one more change of the book; in a turn, before the change: whoever sees it waits for the turn's end.
    pub fn count_change(&self) -> Result<u64, StorageError> {
        let version = self.version()?.wrapping_add(1);
        self.file.write_all_at(&version.to_le_bytes(), 0).map_err(|error| self.failed(error))?;
        Ok(version)
    }

    /// Notes that this member takes part.
    pub fn note_poll(&self) -> Result<(), StorageError> {
        let written = self.file.write_all_at(&monotonic_ms().to_le_bytes(), at(self.place) + 8);
        written.map_err(|error| self.failed(error))
    }

    /// Who is at a place.
    pub fn presence(&self, place: u32) -> Result<Presence, StorageError> {
        let mut bytes = [0; 16];
        self.read_at(&mut bytes, at(place))?;
        let [heartbeat_ms, poll_ms] = [0, 8].map(|from| {
            let bytes = bytes[from..].first_chunk::<8>().copied().unwrap_or_default();
            i64::from_le_bytes(bytes)
        });
        let is_held = place == self.place || self.is_locked(place).map_err(|error| self.failed(error))?;
        Ok(Presence { is_held, heartbeat_ms, poll_ms })
    }

    /// Whether anybody else is present.
    pub fn has_others(&self) -> Result<bool, StorageError> {
        let len = self.file.metadata().map_err(|error| self.failed(error))?.len();
        let places = len.saturating_sub(HEADER_BYTES).div_ceil(PLACE_BYTES).min(u64::from(PLACES_MAX));
        for place in 0..u32::try_from(places).unwrap_or(PLACES_MAX) {
            if place != self.place && self.is_locked(place).map_err(|error| self.failed(error))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the file; in a turn, by the last one.
    pub fn remove(&self) -> Result<(), StorageError> {
        remove_if_present(&self.path)
    }

    fn failed(&self, error: io::Error) -> StorageError {
        StorageError::new(&self.path, error)
    }

    /// Reads; behind the end of the file there are zeros.
    fn read_at(&self, bytes: &mut [u8], position: u64) -> Result<(), StorageError> {
        match self.file.read_exact_at(bytes, position) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                bytes.fill(0);
                Ok(())
            }
            read => read.map_err(|error| self.failed(error)),
        }
    }

    fn lock(&self, place: u32) -> io::Result<bool> {
        match fcntl(&*self.file, FcntlArg::F_OFD_SETLK(&lock_of(place))) {
            Ok(_) => Ok(true),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn is_locked(&self, place: u32) -> io::Result<bool> {
        let mut lock = lock_of(place);
        fcntl(&*self.file, FcntlArg::F_OFD_GETLK(&mut lock))?;
        Ok(i32::from(lock.l_type) != libc::F_UNLCK)
    }
}

const fn at(place: u32) -> u64 {
    HEADER_BYTES + place as u64 * PLACE_BYTES
}

fn lock_of(place: u32) -> libc::flock {
    #[expect(clippy::cast_possible_truncation, reason = "the constants of the system fit their own field")]
    let kind = libc::F_WRLCK as libc::c_short;
    let start = i64::try_from(at(place)).unwrap_or(i64::MAX - 1);
    libc::flock { l_type: kind, l_whence: 0, l_start: start, l_len: 1, l_pid: 0 }
}

fn is_at(file: &File, path: &Path) -> bool {
    let both = file.metadata().and_then(|open| Ok((open, std::fs::metadata(path)?)));
    both.is_ok_and(|(open, there)| (open.dev(), open.ino()) == (there.dev(), there.ino()))
}

fn beat(file: &File, place: u32) -> io::Result<()> {
    file.write_all_at(&monotonic_ms().to_le_bytes(), at(place))
}

/// Ms of a clock that all processes share, which nobody sets and which stands while the machine sleeps.
pub(super) fn monotonic_ms() -> TimestampMs {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

/// Heartbeats, as long as it is kept.
#[derive(Debug)]
struct Pulse {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    fn start(file: Arc<File>, place: u32, every: Duration) -> Pulse {
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                // Who cannot write it is taken for silent, which is what it is.
                let _ = beat(&file, place);
            }
        });
        Pulse { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_place_is_held_as_long_as_its_file_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".roll");
        let first = Roll::enter(&path, LONG).unwrap();
        assert!(!first.has_others().unwrap());
        first.end_turn().unwrap();
        let second = Roll::enter(&path, LONG).unwrap();
        second.end_turn().unwrap();
        assert_eq!((first.place(), second.place()), (0, 1));
        assert!(first.has_others().unwrap() && second.has_others().unwrap());
        let seen = first.presence(1).unwrap();
        assert!(seen.is_held && seen.heartbeat_ms > 0 && seen.poll_ms > 0, "{seen:?}");
        assert_eq!(first.count_change().unwrap(), 1);
        assert_eq!(second.version().unwrap(), 1);
        drop(second);
        assert!(!first.presence(1).unwrap().is_held && !first.has_others().unwrap());
        let third = {
            let third = Roll::enter(&path, LONG).unwrap();
            third.end_turn().unwrap();
            third
        };
        assert_eq!(third.place(), 1, "free again");
    }

    #[test]
    fn a_file_that_was_removed_meanwhile_is_not_taken_for_the_groups() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".roll");
        let roll = Roll::enter(&path, LONG).unwrap();
        roll.end_turn().unwrap();
        assert!(roll.take_turn().unwrap());
        roll.remove().unwrap();
        roll.end_turn().unwrap();
        assert!(!roll.take_turn().unwrap());
        assert!(Roll::enter(&path, LONG).is_ok());
    }

    #[test]
    fn a_heart_beats_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let roll = Roll::enter(&dir.path().join(".roll"), Duration::from_millis(5)).unwrap();
        let before = roll.presence(0).unwrap();
        std::thread::sleep(Duration::from_millis(60));
        let after = roll.presence(0).unwrap();
        assert!(after.heartbeat_ms > before.heartbeat_ms && after.poll_ms == before.poll_ms);
    }
}
