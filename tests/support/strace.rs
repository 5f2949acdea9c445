//! Programs traced, and killed at one of their system calls, with strace.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Runs `logdir ARGS` under strace with these options; `None` where there is no strace.
pub fn strace(options: &[&str], args: &[&str]) -> Option<ExitStatus> {
    let mut command = Command::new("strace");
    command.args(options).arg(env!("CARGO_BIN_EXE_logdir")).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().ok()
}

/// System calls of one run that was logged with `-o`, in order.
pub fn sequence(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap();
    let name = |line: &str| {
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let (name, _) = call.split_once('(')?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_name.then(|| name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

/// System calls of one run, by name, and how often each.
pub fn calls(log: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in sequence(log) {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// What names things, and removes names.
pub const NAMING: [&str; 4] = ["rename", "mkdir", "rmdir", "unlink"];

/// Where to kill a run of these system calls: at each that is among `telling`, which are few, and at every so many of the others.
/// The call's name, and which one of that name.
pub fn places(counts: &BTreeMap<String, usize>, every: usize, telling: &[&str]) -> Vec<(String, usize)> {
    let all = counts.iter().flat_map(|(name, count)| (1..=*count).map(move |when| (name, when)));
    let tells = |name: &str| telling.iter().any(|call| name.contains(call));
    let chosen = all.zip(1..).filter(|((name, _), number)| number % every == 0 || tells(name));
    chosen.map(|((name, when), _)| (name.clone(), when)).collect()
}

/// How to kill a run at the system call that follows the first `name` of the one that was logged, or at that one itself;
/// an option of strace.
pub fn kill_at(log: &Path, name: &str, after: bool) -> Option<String> {
    let calls = sequence(log);
    let at = calls.iter().position(|call| call == name)? + usize::from(after);
    let call = calls.get(at)?;
    let when = calls[..=at].iter().filter(|other| *other == call).count();
    Some(format!("inject={call}:signal=KILL:when={when}"))
}
