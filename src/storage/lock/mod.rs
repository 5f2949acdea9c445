//! Who may write: Kafka's lock on a log directory, and below it a turn per partition.
//!
//! A broker holds an exclusive record lock (`fcntl`) on the whole of `DIR/.lock` while it runs
//! (`FileLock`, `LogManager.lockLogDirs`). Ours is on the same file and of the same kind, an *open file
//! description* lock: it conflicts with the JVM's, and closing some other descriptor of the file in this
//! process does not drop it, as POSIX has it for the classic kind. `flock(2)` does not see either.
//!
//! - [`DirLock::shared`]: for what appends. Several processes hold it side by side, a broker then fails
//!   to start, and taking it fails while a broker runs.
//! - [`DirLock::exclusive`]: for what changes or removes existing bytes, and for deciding alone.
//! - [`Turn`]: between processes that hold the shared lock, one at a time. It is a `flock(2)` on a
//!   directory: on that of a partition, to append to it; on the log directory, to change its checkpoints
//!   and its clean-shutdown marker. No file is created for it, and the kernel ends it with its process.
//!
//! Readers take none of these.

mod stopped;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::FlockOperation;
use thiserror::Error;

use super::fs::StorageError;

/// Name of the lock file of a log directory.
pub const FILE_NAME: &str = ".lock";

/// Why a log directory cannot be locked.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds a lock that excludes this one.
    #[error("{} is open in {holder} which holds {}", dir.display(), dir.join(FILE_NAME).display())]
    Held {
        /// The log directory.
        dir: PathBuf,
        /// Who holds it.
        holder: Holder,
    },
    /// The lock file cannot be opened or created.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The process that holds a directory's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id; `None` for one of our kind of lock, of which the kernel does not tell.
    pub pid: Option<i32>,
    /// What runs there, as far as the system tells.
    pub name: Option<String>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.name, self.pid) {
            (Some(name), Some(pid)) => write!(f, "{name} (pid {pid})"),
            (None, Some(pid)) => write!(f, "a running process (pid {pid})"),
            (_, None) => f.write_str("another logdir process"),
        }
    }
}

impl Holder {
    fn of_pid(pid: i32) -> Holder {
        // The kernel says 0 or -1 for the holder of an open file description lock.
        let pid = Some(pid).filter(|pid| *pid > 0);
        Holder { pid, name: pid.and_then(process_name) }
    }
}

/// "a Kafka broker" for a JVM that runs one, else the program's name; `None` where the system does not tell.
fn process_name(pid: i32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split(|&byte| byte == 0).map(String::from_utf8_lossy);
    let program = words.next()?;
    if words.any(|word| word == "kafka.Kafka" || word.ends_with("kafka.server.KafkaRaftServer")) {
        return Some("a running Kafka broker".to_owned());
    }
    let program = program.rsplit('/').next().filter(|name| !name.is_empty())?;
    Some(format!("a running process, {program}"))
}

/// A held lock on a log directory; dropped with the value, or with the process.
#[derive(Debug)]
pub struct DirLock {
    file: File,
    dir: PathBuf,
}

impl DirLock {
    /// For appending: excludes brokers and everyone with the exclusive lock.
    ///
    /// Creates the lock file when it is missing, as a broker does. Never waits.
    pub fn shared(dir: &Path) -> Result<DirLock, LockError> {
        DirLock::take(dir, libc::F_RDLCK)
    }

    /// For changing and removing: excludes everyone.
    pub fn exclusive(dir: &Path) -> Result<DirLock, LockError> {
        DirLock::take(dir, libc::F_WRLCK)
    }

    fn take(dir: &Path, kind: i32) -> Result<DirLock, LockError> {
        let path = dir.join(FILE_NAME);
        let is_new = !path.exists();
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        if is_new {
            super::fs::give_to_owner(&path);
        }
        let lock = DirLock { file: opened.map_err(|error| StorageError::new(&path, error))?, dir: dir.to_owned() };
        if lock.set(kind).map_err(|error| StorageError::new(&path, error))? {
            return Ok(lock);
        }
        let holder = lock.holder(kind).map_err(|error| StorageError::new(&path, error))?;
        Err(LockError::Held { dir: dir.to_owned(), holder: holder.unwrap_or(Holder { pid: None, name: None }) })
    }

    /// Who else holds a lock on the directory, if anyone does.
    pub fn others(&self) -> Result<Option<Holder>, StorageError> {
        self.holder(libc::F_WRLCK).map_err(|error| StorageError::new(self.dir.join(FILE_NAME), error))
    }

    /// Makes a shared lock exclusive, if no one else holds one; else it stays shared.
    pub fn try_exclusive(&self) -> Result<bool, StorageError> {
        self.set(libc::F_WRLCK).map_err(|error| StorageError::new(self.dir.join(FILE_NAME), error))
    }

    /// Lets others share it again.
    pub fn share(&self) -> Result<(), StorageError> {
        self.set(libc::F_RDLCK).map(|_| ()).map_err(|error| StorageError::new(self.dir.join(FILE_NAME), error))
    }

    /// The log directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn set(&self, kind: i32) -> io::Result<bool> {
        match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&whole_file(kind))) {
            Ok(_) => Ok(true),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn holder(&self, kind: i32) -> io::Result<Option<Holder>> {
        let mut lock = whole_file(kind);
        fcntl(&self.file, FcntlArg::F_OFD_GETLK(&mut lock))?;
        Ok((i32::from(lock.l_type) != libc::F_UNLCK).then(|| Holder::of_pid(lock.l_pid)))
    }
}

/// The process that has `dir` open for writing, if one has; asks, takes nothing, writes nothing.
pub fn holder(dir: &Path) -> Result<Option<Holder>, StorageError> {
    let path = dir.join(FILE_NAME);
    // Opening a pipe would wait for its other end.
    if !super::fs::is_file(&path)? {
        return Ok(None);
    }
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::new(&path, error)),
    };
    let lock = DirLock { file, dir: dir.to_owned() };
    lock.holder(libc::F_WRLCK).map_err(|error| StorageError::new(&path, error))
}

fn whole_file(kind: i32) -> libc::flock {
    #[expect(clippy::cast_possible_truncation, reason = "the constants of the system fit their own field")]
    let kind = kind as libc::c_short;
    libc::flock { l_type: kind, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 }
}

/// A turn at a directory or a file, between the processes that share a log directory's lock.
#[derive(Debug)]
pub struct Turn {
    file: File,
    path: PathBuf,
}

impl Turn {
    /// A turn at what is at `path`, not yet taken.
    pub fn at(path: &Path) -> Result<Turn, StorageError> {
        let opened = File::open(path).map_err(|error| StorageError::new(path, error))?;
        Ok(Turn::of(opened, path))
    }

    /// A turn at the file at `path`, which is open here; not yet taken.
    pub fn of(file: File, path: &Path) -> Turn {
        Turn { file, path: path.to_owned() }
    }

    /// Waits for the turn; whoever has it ends it with what it is writing, or with its process.
    ///
    /// A process that is stopped in its turn is woken until the turn is over. Fails where that cannot be done for half a
    /// minute.
    pub fn take(&self) -> Result<(), StorageError> {
        let mut attempt = || self.flock(FlockOperation::NonBlockingLockExclusive);
        if attempt()? { Ok(()) } else { stopped::wait(&self.file, &self.path, &mut attempt) }
    }

    /// Ends the turn.
    pub fn end(&self) -> Result<(), StorageError> {
        self.flock(FlockOperation::Unlock).map(|_| ())
    }

    fn flock(&self, operation: FlockOperation) -> Result<bool, StorageError> {
        loop {
            match rustix::fs::flock(&self.file, operation) {
                Ok(()) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
                Err(errno) => return Err(StorageError::new(&self.path, io::Error::from(errno))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_locks_stand_side_by_side_and_exclude_the_exclusive_one() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(holder(dir.path()).unwrap(), None, "no lock file, no holder");
        assert!(!dir.path().join(FILE_NAME).exists(), "asking writes nothing");
        let first = DirLock::shared(dir.path()).unwrap();
        let second = DirLock::shared(dir.path()).unwrap();
        assert!(matches!(DirLock::exclusive(dir.path()), Err(LockError::Held { .. })));
        assert!(!first.try_exclusive().unwrap(), "the other one shares it");
        assert!(holder(dir.path()).unwrap().is_some());
        drop(second);
        assert!(first.try_exclusive().unwrap());
        let refused = DirLock::shared(dir.path()).unwrap_err();
        assert!(refused.to_string().contains("is open in another logdir process"), "{refused}");
        first.share().unwrap();
        assert!(DirLock::shared(dir.path()).is_ok());
        drop(first);
        assert!(DirLock::exclusive(dir.path()).is_ok());
    }

    #[test]
    fn another_process_of_the_classic_kind_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join(FILE_NAME);
        std::fs::write(&lock, "").unwrap();
        // Perl's fcntl takes the lock a JVM takes; where there is none, there is nothing to test against.
        let script = "use Fcntl; open(F, '+<', $ARGV[0]) or die; my $l = pack('s s l! l! i', F_WRLCK, 0, 0, 0, 0); \
                      fcntl(F, F_SETLK, $l) or die; $| = 1; print \"held\\n\"; sleep 60";
        let spawned = std::process::Command::new("perl")
            .args(["-e", script])
            .arg(&lock)
            .stdout(std::process::Stdio::piped())
            .spawn();
        let Ok(mut child) = spawned else {
            eprintln!("skipped: no perl to hold a classic lock");
            return;
        };
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        let refused = DirLock::shared(dir.path());
        let pid = i32::try_from(child.id()).unwrap();
        let asked = holder(dir.path()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(line, "held\n");
        let expected = Holder { pid: Some(pid), name: Some("a running process, perl".to_owned()) };
        assert!(matches!(refused, Err(LockError::Held { holder, .. }) if holder == expected));
        assert_eq!(asked, Some(expected));
        assert!(DirLock::exclusive(dir.path()).is_ok(), "the kernel ends it with its process");
    }

    #[test]
    fn a_pipe_in_the_place_of_the_lock_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join(FILE_NAME);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert_eq!(holder(dir.path()).unwrap(), None);
    }

    #[test]
    fn a_turn_is_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (Turn::at(dir.path()).unwrap(), Turn::at(dir.path()).unwrap());
        first.take().unwrap();
        assert!(rustix::fs::flock(&second.file, FlockOperation::NonBlockingLockExclusive).is_err());
        first.end().unwrap();
        second.take().unwrap();
    }
}
