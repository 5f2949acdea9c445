//! `logdir consume --group`: what a person and a script see.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::support::{run_in, state_of};

/// A log directory with a topic of two partitions, of 20 records each.
fn made() -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    for partition in ["0", "1"] {
        let lines: String = (0..20).map(|number| format!("k{}:{partition}-{number}\n", number % 4)).collect();
        std::fs::write(temp.path().join("input"), lines).unwrap();
        let args =
            ["produce", "-d", "data", "-t", "orders", "--create", "2", "-p", partition, "-K", ":", "-l", "input"];
        let (code, _, stderr) = run_in(temp.path(), &args);
        assert_eq!(code, 0, "{stderr}");
    }
    temp
}

fn consume(dir: &Path, args: &[&str]) -> (i32, Vec<String>, String) {
    let (code, stdout, stderr) = run_in(dir, &[&["consume", "-d", "data", "-t", "orders"], args].concat());
    (code, stdout.lines().map(str::to_owned).collect(), stderr)
}

fn offsets(dir: &Path, group: &str) -> Vec<(i64, String)> {
    let (_, stdout, _) = run_in(dir, &["groups", "describe", group, "-d", "data", "--json"]);
    let rows = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (row["current_offset"].as_i64().unwrap(), row["metadata"].as_str().unwrap().to_owned())).collect()
}

fn both(offset: i64) -> Vec<(i64, String)> {
    vec![(offset, String::new()), (offset, String::new())]
}

#[test]
fn a_group_goes_on_where_it_was() {
    let temp = made();
    let dir = temp.path();
    let (code, first, stderr) = consume(dir, &["-G", "g", "-c", "15"]);
    assert_eq!((code, first.len()), (0, 15), "{stderr}");
    assert!(stderr.contains("made topic '__consumer_offsets' with 50 partitions"), "{stderr}");
    assert!(stderr.contains("group 'g': 15 records"), "{stderr}");
    let (code, second, stderr) = consume(dir, &["-G", "g", "--commit-metadata", "second run"]);
    assert_eq!((code, second.len()), (0, 25), "{stderr}");
    let mut all: Vec<String> = first.iter().chain(&second).cloned().collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 40, "nothing twice, nothing missing");
    let expected: Vec<(i64, String)> = (0..2).map(|_| (20, "second run".to_owned())).collect();
    let found = offsets(dir, "g");
    assert!(found.iter().all(|it| it.0 == 20) && found.contains(&expected[0]), "{found:?}");
    let (code, third, _) = consume(dir, &["-G", "g"]);
    assert_eq!((code, third.len()), (0, 0));
    // Members have left: a broker sees an empty group of consumers.
    let (_, stdout, _) = run_in(dir, &["groups", "list", "--state", "-d", "data", "--json"]);
    let row: Value = serde_json::from_str(stdout.trim()).unwrap();
    assert_eq!((row["group"].as_str(), row["state"].as_str()), (Some("g"), Some("Empty")), "{row}");
    let left: Vec<_> = std::fs::read_dir(dir.join("data")).unwrap().flatten().map(|it| it.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".logdir")), "{left:?}");
    let (code, _, stderr) = run_in(dir, &["verify", "data/__consumer_offsets-0", "data/orders-0"]);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn when_to_commit_is_a_choice() {
    let temp = made();
    let dir = temp.path();
    let (code, lines, _) = consume(dir, &["-G", "never", "--commit", "never"]);
    assert_eq!((code, lines.len()), (0, 40));
    assert_eq!(offsets(dir, "never"), []);
    let (code, lines, _) = consume(dir, &["-G", "before", "--commit", "before"]);
    assert_eq!((code, lines.len(), offsets(dir, "before")), (0, 40, both(20)));
    let (code, lines, _) = consume(dir, &["-G", "each", "--commit-records", "1", "-c", "7"]);
    assert_eq!((code, lines.len()), (0, 7));
    assert_eq!(offsets(dir, "each").iter().map(|it| it.0).sum::<i64>(), 7);
    // One record commit each, and the last look at the end.
    let args = ["-t", "__consumer_offsets", "--decode", "--json"];
    let (_, stdout, _) = run_in(dir, &[&["consume", "-d", "data"][..], &args].concat());
    let commits = stdout.lines().filter(|line| line.contains("\"each\"") && line.contains("OffsetCommit"));
    assert!(commits.count() >= 7);
}

#[test]
fn offsets_outside_of_the_log_are_a_matter_of_policy() {
    let temp = made();
    let dir = temp.path();
    let (code, lines, _) = consume(dir, &["-G", "tail", "-o", "end"]);
    assert_eq!((code, lines.len(), offsets(dir, "tail")), (0, 0, both(20)), "where it starts is committed");
    let (code, lines, _) = consume(dir, &["-G", "last", "-o", "-3"]);
    assert_eq!((code, lines.len()), (0, 6));
    let before = state_of(&dir.join("data"));
    let (code, lines, stderr) = consume(dir, &["-G", "none", "-o", "stored"]);
    assert_eq!((code, lines.len()), (3, 0));
    assert!(stderr.contains("group 'none' has committed no offset of orders-0"), "{stderr}");
    assert!(stderr.contains("hint: let -o say where to start"), "{stderr}");
    let records = |path: &std::path::PathBuf| path.display().to_string().contains("orders-");
    let mut now = state_of(&dir.join("data"));
    now.retain(|path, _| records(path));
    let before: std::collections::BTreeMap<_, _> = before.into_iter().filter(|(path, _)| records(path)).collect();
    assert_eq!(now, before, "the records are only read");
    // Above the log end, as after a truncation.
    let (code, _, stderr) = run_in(dir, &["groups", "commit", "lost", "orders:0=99", "--force", "-d", "data"]);
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) = consume(dir, &["-G", "lost", "-o", "stored"]);
    assert_eq!(code, 3);
    assert!(stderr.contains("committed offset 99 of orders-0, which is outside of the log: 0 to 20"), "{stderr}");
    let (code, lines, stderr) = consume(dir, &["-G", "lost", "-o", "end"]);
    // The other partition has no committed offset either.
    assert_eq!((code, lines.len()), (0, 0));
    assert!(stderr.contains("warning: ") && stderr.contains("starting where -o says"), "{stderr}");
    assert_eq!(offsets(dir, "lost"), both(20));
}

#[test]
fn what_makes_no_sense_is_a_usage_error_and_writes_nothing() {
    let temp = made();
    let dir = temp.path();
    let before = state_of(&dir.join("data"));
    let cases: &[(&[&str], &str)] = &[
        (&["-G", ""], "a group's id cannot be empty"),
        (&["-G", "g", "-p", "0"], "a group shares its partitions out itself"),
        (&["-G", "g", "--merge"], "a group reads its partitions as they come"),
        (&["-G", "g", "-o", "3:5"], "has no end"),
        (&["-G", "g", "--workers", "2"], "--workers needs --exec"),
        (&["-G", "g", "--exec", "true", "--commit", "before"], "is committed when it is done"),
        (&["-G", "g", "--assignor", "best"], "'best' is no assignor"),
        (&["-G", "g", "--session-timeout", "0s"], "--session-timeout must be"),
        (&["--exec", "true"], "--exec needs a group"),
        (&["--commit", "never"], "--group"),
        (&["-o", "stored"], "no group is named"),
    ];
    for (args, expected) in cases {
        let (code, _, stderr) = consume(dir, args);
        assert!(code == 2 && stderr.contains(expected), "{args:?}: {code} {stderr}");
    }
    let (code, _, stderr) = run_in(dir, &["consume", "-d", "data", "-G", "g"]);
    assert!(code == 2 && stderr.contains("--group needs topics"), "{stderr}");
    let (code, _, stderr) = run_in(dir, &["consume", "-d", "data", "-G", "g", "-t", "ordres"]);
    assert!(code == 3 && stderr.contains("did you mean 'orders'?"), "{stderr}");
    assert_eq!(state_of(&dir.join("data")), before);
}

#[test]
fn an_interrupt_commits_and_leaves() {
    let temp = made();
    let dir = temp.path();
    let mut child = Command::new(env!("CARGO_BIN_EXE_logdir"))
        .current_dir(dir)
        .args(["consume", "-d", "data", "-t", "orders", "-G", "g", "--follow"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    for _ in 0..40 {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(offsets(dir, "g"), both(20));
    assert!(dir.join("data/.kafka_cleanshutdown").exists());
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let temp = made();
    let dir = temp.path();
    let script = format!(
        "{} consume -d data -t orders -G g --follow --commit-records 1 -u -q | head -n 3; echo ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_logdir")
    );
    let mut feeder =
        Command::new("bash").current_dir(dir).args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut feeder.stdout.take().unwrap(), &mut text).unwrap();
    feeder.wait().unwrap();
    assert!(text.lines().count() == 4 && text.ends_with("\n0\n"), "{text}");
    let committed: i64 = offsets(dir, "g").iter().map(|it| it.0).sum();
    assert!((3..=40).contains(&committed), "{committed}");
    // Even when everything is written before it goes: nothing more comes that could fail.
    for group in ["", "-G late"] {
        let script = format!(
            "{} consume -d data -t orders {group} --follow -q | (sleep 0.5; head -n 3); echo ${{PIPESTATUS[0]}}",
            env!("CARGO_BIN_EXE_logdir")
        );
        let output = Command::new("timeout").current_dir(dir).args(["20", "bash", "-c", &script]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().count() == 4 && text.ends_with("\n0\n"), "{group}: {text}");
    }
}

#[test]
fn members_that_know_no_common_assignor_are_refused() {
    let temp = made();
    let dir = temp.path();
    let mut child = Command::new(env!("CARGO_BIN_EXE_logdir"))
        .current_dir(dir)
        .args(["consume", "-d", "data", "-t", "orders", "-G", "g", "--follow", "-v", "--assignor", "range"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("generation 1") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0);
    }
    let (code, _, stderr) = consume(dir, &["-G", "g", "--assignor", "sticky"]);
    assert!(code == 4 && stderr.contains("theirs are range"), "{code} {stderr}");
    child.kill().unwrap();
    child.wait().unwrap();
    // Its place is free at once.
    let (code, lines, stderr) = consume(dir, &["-G", "g", "--assignor", "sticky"]);
    assert!(code == 0 && lines.len() <= 40, "{stderr}");
}
