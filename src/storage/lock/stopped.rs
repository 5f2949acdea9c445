//! A turn that does not come because the process that has it is stopped (`SIGSTOP`, or ctrl-Z in its shell).
//!
//! Its turn cannot be taken from it: when it goes on, it writes on where it was. So it is woken for as long as the turn
//! lasts, which is about a millisecond, and stopped again. Where the system has no `/proc`, its turn is waited for.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::storage::fs::StorageError;

/// After how long a wait it is looked who has the turn, and how often then.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a process that has the turn may be stopped without being woken: a debugger's, or another user's.
const STOPPED_MAX: Duration = Duration::from_secs(30);
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_millis(1);

/// Tries until `attempt` has the lock of `file`.
pub(super) fn wait(
    file: &File,
    path: &Path,
    attempt: &mut dyn FnMut() -> Result<bool, StorageError>,
) -> Result<(), StorageError> {
    let started = Instant::now();
    let mut pause = Duration::from_micros(20);
    let mut next_look = LOOK_EVERY;
    let mut stopped_since = None;
    let mut woken = Woken::default();
    while !attempt()? {
        sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
        if woken.is_some() {
            woken.stop_if_done(file);
        }
        if started.elapsed() < next_look {
            continue;
        }
        next_look = started.elapsed() + LOOK_EVERY;
        let Some(pid) = holders(file).into_iter().find(|pid| is_stopped(*pid)) else {
            stopped_since = None;
            continue;
        };
        woken.wake(pid);
        let since = *stopped_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= STOPPED_MAX {
            let text = format!(
                "process {pid}, which is stopped, has its turn here: let it go on (kill -CONT {pid}) or end it, and try again"
            );
            return Err(StorageError::new(path, io::Error::other(text)));
        }
    }
    Ok(())
}

/// The process that was woken; stopped again when this is dropped, at the latest.
#[derive(Debug, Default)]
struct Woken(Option<i32>);

impl Woken {
    const fn is_some(&self) -> bool {
        self.0.is_some()
    }

    fn wake(&mut self, pid: i32) {
        if self.0.is_some_and(|woken| woken != pid) {
            self.stop();
        }
        if signal(pid, Signal::CONT) {
            self.0 = Some(pid);
        }
    }

    fn stop_if_done(&mut self, file: &File) {
        if self.0.is_some_and(|pid| !holders(file).contains(&pid)) {
            self.stop();
        }
    }

    fn stop(&mut self) {
        if let Some(pid) = self.0.take() {
            signal(pid, Signal::STOP);
        }
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        self.stop();
    }
}

fn signal(pid: i32, signal: Signal) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// Processes with a `flock(2)` lock on the file, others than this one.
fn holders(file: &File) -> BTreeSet<i32> {
    let Ok(metadata) = file.metadata() else { return BTreeSet::new() };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let all: BTreeSet<(i32, u64)> = locks.lines().filter_map(flock_of).collect();
    let own = i32::try_from(std::process::id()).unwrap_or(-1);
    let mut pids: BTreeSet<i32> =
        all.iter().filter(|(_, inode)| *inode == metadata.ino()).map(|(pid, _)| *pid).collect();
    if pids.is_empty() {
        // Some file systems show the kernel's own number of a file there.
        pids = all.iter().map(|(pid, _)| *pid).collect();
    }
    pids.retain(|pid| *pid != own && has_open(*pid, &metadata));
    pids
}

/// Process and inode of a held lock, of a line such as `1: FLOCK  ADVISORY  WRITE 4711 fd:00:131 0 EOF`.
fn flock_of(line: &str) -> Option<(i32, u64)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    if words.next()? != "FLOCK" {
        return None;
    }
    let pid = words.nth(2)?.parse().ok()?;
    Some((pid, words.next()?.rsplit(':').next()?.parse().ok()?))
}

fn has_open(pid: i32, metadata: &Metadata) -> bool {
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| {
        std::fs::metadata(file.path()).is_ok_and(|it| (it.dev(), it.ino()) == (metadata.dev(), metadata.ino()))
    })
}

/// Stopped, or held by a debugger.
fn is_stopped(pid: i32) -> bool {
    // The name before it is in parentheses, and may hold any byte.
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.iter().rposition(|byte| *byte == b')').and_then(|at| stat.get(at + 2));
    matches!(state, Some(b'T' | b't'))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::storage::lock::Turn;

    #[test]
    fn held_locks_are_told_from_those_waited_for() {
        assert_eq!(flock_of("1: FLOCK  ADVISORY  WRITE 4711 fd:00:131 0 EOF"), Some((4711, 131)));
        assert_eq!(flock_of("1: -> FLOCK  ADVISORY  WRITE 4711 fd:00:131 0 EOF"), None);
        assert_eq!(flock_of("2: POSIX  ADVISORY  WRITE 4711 fd:00:131 0 EOF"), None);
        assert_eq!(flock_of("3: OFDLCK ADVISORY  READ -1 fd:00:131 0 0"), None);
    }

    /// A process that has the turn at `dir`, until its stdin ends.
    fn holder(dir: &Path) -> Option<Child> {
        let script = "use Fcntl ':flock'; open(F, '<', $ARGV[0]) or die; flock(F, LOCK_EX) or die; $| = 1; \
                      print \"held\\n\"; $_ = <STDIN>; flock(F, LOCK_UN); sleep 60";
        let mut child = Command::new("perl")
            .args(["-e", script])
            .arg(dir.join("file"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(child.stdout.take()?), &mut line).ok()?;
        (line == "held\n").then_some(child)
    }

    #[test]
    fn who_is_stopped_with_the_turn_ends_it_and_is_stopped_again() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let Some(mut child) = holder(dir.path()) else {
            eprintln!("skipped: no perl to hold a lock");
            return;
        };
        let pid = i32::try_from(child.id()).unwrap();
        assert!(signal(pid, Signal::STOP));
        while !is_stopped(pid) {
            sleep(Duration::from_millis(1));
        }
        // Its turn ends as soon as it goes on.
        drop(child.stdin.take());
        let turn = Turn::at(&dir.path().join("file")).unwrap();
        turn.take().unwrap();
        let started = Instant::now();
        while !is_stopped(pid) && started.elapsed() < Duration::from_secs(10) {
            sleep(Duration::from_millis(1));
        }
        let is_stopped_again = is_stopped(pid);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_stopped_again);
    }
}
