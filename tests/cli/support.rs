//! Running the binary with a clean environment, on copies of real directories.

#[path = "../support/copy.rs"]
mod copying;

pub use self::copying::copy;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant, SystemTime};

use assert_cmd::Command;

/// `logdir` with nothing of this machine's environment.
pub fn logdir(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    command.env_clear().args(args);
    command
}

/// Exit code, stdout and stderr of a run.
pub fn run(args: &[&str]) -> (i32, String, String) {
    of_output(&logdir(args).output().unwrap())
}

/// The same in another current directory.
pub fn run_in(dir: &Path, args: &[&str]) -> (i32, String, String) {
    of_output(&logdir(args).current_dir(dir).output().unwrap())
}

fn of_output(output: &std::process::Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A folder below `fixtures`.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

/// A copy of a folder below `fixtures`, under the same last name.
pub fn copied(path: &str) -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let from = fixture(path);
    let to = temp.path().join(from.file_name().unwrap());
    copy(&from, &to);
    (temp, to)
}

/// Every file below `dir` with its bytes and the time it was changed.
pub fn state_of(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        let changed = entry.metadata().unwrap().modified().unwrap();
        if path.is_dir() {
            files.extend(state_of(&path));
            files.insert(path, (Vec::new(), changed));
        } else {
            files.insert(path.clone(), (std::fs::read(&path).unwrap(), changed));
        }
    }
    files
}

/// What a run took, beside what it printed.
pub struct Measured {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub peak_kib: u64,
    pub took: Duration,
}

/// Runs with an eye on the memory: the peak the kernel had noted a moment before the end.
pub fn measured(args: &[&str], keep_stdout: bool) -> Measured {
    let started = Instant::now();
    let mut child = Process::new(env!("CARGO_BIN_EXE_logdir"))
        .env_clear()
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reading = std::thread::spawn(move || {
        let mut stdout = Vec::new();
        if keep_stdout {
            out.read_to_end(&mut stdout).unwrap();
        } else {
            std::io::copy(&mut out, &mut std::io::sink()).unwrap();
        }
        stdout
    });
    let complaints = std::thread::spawn(move || {
        let mut stderr = String::new();
        err.read_to_string(&mut stderr).unwrap();
        stderr
    });
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    let code = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak_kib = peak_kib.max(line.and_then(|kib| kib.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status.code().unwrap();
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{args:?} hangs");
        std::thread::sleep(Duration::from_millis(1));
    };
    let took = started.elapsed();
    Measured { code, stdout: reading.join().unwrap(), stderr: complaints.join().unwrap(), peak_kib, took }
}
