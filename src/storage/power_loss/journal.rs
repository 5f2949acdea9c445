//! What was done to the files below a directory, in order.
//!
//! One journal per directory and not per thread: logs are synced from several threads.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One thing done to a file or directory, by its path below the recorded directory.
#[derive(Debug, Clone)]
pub enum Op {
    Made(PathBuf),
    MadeDir(PathBuf),
    Write { path: PathBuf, at: u64, bytes: Vec<u8> },
    SetLen { path: PathBuf, len: u64 },
    Synced(PathBuf),
    Renamed { from: PathBuf, to: PathBuf },
    Linked { from: PathBuf, to: PathBuf },
    Exchanged { a: PathBuf, b: PathBuf },
    Removed(PathBuf),
    SyncedDir(PathBuf),
}

impl std::fmt::Display for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Op::Made(path) => write!(f, "make {}", path.display()),
            Op::MadeDir(path) => write!(f, "make directory {}", path.display()),
            Op::Write { path, at, bytes } => write!(f, "write {} bytes at {at} to {}", bytes.len(), path.display()),
            Op::SetLen { path, len } => write!(f, "set the length of {} to {len}", path.display()),
            Op::Synced(path) => write!(f, "sync {}", path.display()),
            Op::Renamed { from, to } => write!(f, "rename {} to {}", from.display(), to.display()),
            Op::Linked { from, to } => write!(f, "link {} to {}", from.display(), to.display()),
            Op::Exchanged { a, b } => write!(f, "exchange {} and {}", a.display(), b.display()),
            Op::Removed(path) => write!(f, "remove {}", path.display()),
            Op::SyncedDir(path) => write!(f, "sync directory {}", path.display()),
        }
    }
}

#[derive(Debug, Default)]
struct Recording {
    root: PathBuf,
    ops: Vec<Op>,
    /// Writes and syncs of files whose path ends so fail, once.
    failing: Option<String>,
    /// Changes attempted so far.
    attempts: usize,
    /// From this attempt on changes fail, with this error of the system.
    fails_from: Option<(usize, Fails)>,
}

/// How changes fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fails {
    /// This one, as a bad sector has it.
    Once(rustix::io::Errno),
    /// What takes room, from here on, as a full disk has it; what gives room does not fail.
    Full,
}

static RECORDINGS: Mutex<Vec<Recording>> = Mutex::new(Vec::new());

fn recordings() -> MutexGuard<'static, Vec<Recording>> {
    RECORDINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records below `root` until [`end`].
pub fn begin(root: &Path) {
    recordings().push(Recording { root: root.to_owned(), ..Recording::default() });
}

/// Everything recorded.
pub fn end(root: &Path) -> Vec<Op> {
    let mut recordings = recordings();
    let at = recordings.iter().position(|recording| recording.root == root).unwrap();
    recordings.swap_remove(at).ops
}

/// Operations recorded so far.
pub fn len(root: &Path) -> usize {
    recordings().iter().find(|recording| recording.root == root).map_or(0, |recording| recording.ops.len())
}

/// Lets the next write or sync of a file whose path ends so fail.
pub fn fail_next(root: &Path, suffix: &str) {
    let mut recordings = recordings();
    let recording = recordings.iter_mut().find(|recording| recording.root == root).unwrap();
    recording.failing = Some(suffix.to_owned());
}

/// Lets the attempt with this number, counted from 0, fail.
pub fn fail_at(root: &Path, attempt: usize, fails: Fails) {
    let mut recordings = recordings();
    let recording = recordings.iter_mut().find(|recording| recording.root == root).unwrap();
    recording.fails_from = Some((attempt, fails));
}

/// Changes attempted so far.
pub fn attempts(root: &Path) -> usize {
    recordings().iter().find(|recording| recording.root == root).map_or(0, |recording| recording.attempts)
}

fn note(path: &Path, op: impl FnOnce(&dyn Fn(&Path) -> PathBuf) -> Op) {
    let mut recordings = recordings();
    let Some(recording) = recordings.iter_mut().find(|recording| path.starts_with(&recording.root)) else { return };
    let below = |path: &Path| path.strip_prefix(&recording.root).unwrap().to_owned();
    let op = op(&below);
    recording.ops.push(op);
}

pub fn check(path: &Path) -> io::Result<()> {
    for recording in recordings().iter_mut().filter(|recording| path.starts_with(&recording.root)) {
        if recording.failing.as_ref().is_some_and(|suffix| path.to_string_lossy().ends_with(suffix)) {
            recording.failing = None;
            return Err(io::Error::other("a failure made by the test"));
        }
    }
    attempt(path, true)
}

/// A change that takes room, or none, is about to be made.
pub fn attempt(path: &Path, takes_room: bool) -> io::Result<()> {
    for recording in recordings().iter_mut().filter(|recording| path.starts_with(&recording.root)) {
        let number = recording.attempts;
        recording.attempts += 1;
        match recording.fails_from {
            Some((at, Fails::Once(errno))) if at == number => return Err(errno.into()),
            Some((at, Fails::Full)) if at <= number && takes_room => return Err(rustix::io::Errno::NOSPC.into()),
            _ => {}
        }
    }
    Ok(())
}

pub fn opened(path: &Path, was_there: bool, emptied: bool) {
    if !was_there {
        note(path, |below| Op::Made(below(path)));
    } else if emptied {
        set_len(path, 0);
    }
}

pub fn made_dir(path: &Path) {
    note(path, |below| Op::MadeDir(below(path)));
}

pub fn wrote(path: &Path, at: u64, bytes: &[u8]) {
    note(path, |below| Op::Write { path: below(path), at, bytes: bytes.to_vec() });
}

pub fn set_len(path: &Path, len: u64) {
    note(path, |below| Op::SetLen { path: below(path), len });
}

pub fn synced(path: &Path) {
    note(path, |below| Op::Synced(below(path)));
}

pub fn renamed(from: &Path, to: &Path) {
    note(to, |below| Op::Renamed { from: below(from), to: below(to) });
}

pub fn linked(from: &Path, to: &Path) {
    note(to, |below| Op::Linked { from: below(from), to: below(to) });
}

pub fn exchanged(a: &Path, b: &Path) {
    note(a, |below| Op::Exchanged { a: below(a), b: below(b) });
}

pub fn removed(path: &Path) {
    note(path, |below| Op::Removed(below(path)));
}

pub fn synced_dir(path: &Path) {
    note(path, |below| Op::SyncedDir(below(path)));
}
