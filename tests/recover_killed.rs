//! `recover --in-place --execute` killed at its system calls: the original or the result is there, and a rerun finishes.
//!
//! Needs strace, and a system that lets it trace; without them the test says so and is skipped. By default every 41st system
//! call and those that name things, all with `LOGDIR_KILL_EVERY=1`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::copy::copy;
use support::kafka_data::Case;
use support::strace::{calls, places, strace};

const TOPIC: &str = "v-bitflip-body-mid-0";
const KEPT: &str = ".logdir-kept";

/// The regular files of a directory, those a run in progress keeps for itself apart.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.path().is_file());
    let named = files.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let ours = |name: &str| name.starts_with(".logdir-recover");
    named.filter(|(name, _)| !ours(name)).map(|(name, path)| (name, fs::read(path).unwrap())).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn arguments<'a>(dir: &'a str, mode: &'a [&'a str]) -> Vec<&'a str> {
    [&["recover", dir, "--in-place", "--execute", "-q"], mode].concat()
}

/// `inject` is given to strace each time.
fn kill_at_every_call(pristine: &Path, mode: &[&str], inject: &[&str]) {
    let every: usize = std::env::var("LOGDIR_KILL_EVERY").map_or(41, |text| text.parse().unwrap());
    let temp = tempfile::tempdir().unwrap();
    let work = temp.path().join("data");
    let live = work.join(TOPIC);
    let fresh = || {
        let _ = fs::remove_dir_all(&work);
        copy(pristine, &work);
    };
    fresh();
    let log = temp.path().join("calls");
    let args = arguments(live.to_str().unwrap(), mode);
    let traced = strace(&[&["-f", "-o", log.to_str().unwrap()], inject].concat(), &args);
    if !traced.is_some_and(|status| status.success()) || !log.is_file() {
        println!("skipped: strace is not there, or may not trace");
        return;
    }
    let original = files(&pristine.join(TOPIC));
    let result = files(&live);
    let whole = names(&work);
    assert_ne!(original, result, "there is something to recover");
    assert_eq!(files(&live.join(KEPT)), original);
    let counts = calls(&log);
    let total: usize = counts.values().sum();
    let (mut tried, mut killed, mut before, mut after) = (0, 0, 0, 0);
    // Those that name things, of which there are few, are all tried.
    for (name, when) in places(&counts, every, &["rename", "linkat", "mkdir", "rmdir"]) {
        fresh();
        // What fails cannot be where it is killed too.
        if inject.iter().any(|option| option.starts_with(&format!("inject={name}:"))) {
            continue;
        }
        let kill = format!("inject={name}:signal=KILL:when={when}");
        let status = strace(&[&["-f", "-o", "/dev/null", "-e", &kill], inject].concat(), &args).unwrap();
        tried += 1;
        killed += usize::from(!status.success());
        let place = format!("{mode:?} {inject:?}, killed at call {when} of {name}");
        let mut beside = fs::read_dir(&work).unwrap().map(|entry| entry.unwrap().path());
        let wrapper = beside.find(|path| path.to_string_lossy().ends_with("-stray"));
        if let Some(wrapper) = &wrapper {
            // A broker loads it under the partition's recovery point and log start.
            let names = names(wrapper);
            assert!(
                names.iter().all(|name| [".logdir-recover", "new", "old"].contains(&&**name)),
                "{place}: {names:?}"
            );
        }
        // Only where names cannot be exchanged: between two renames both are beside their place.
        if let (false, Some(wrapper)) = (live.is_dir(), &wrapper) {
            assert!(!inject.is_empty(), "{place}: the partition is gone");
            assert_eq!(files(&wrapper.join("old")), original, "{place}");
            assert_eq!(files(&wrapper.join("new")), result, "{place}");
        }
        let now = if live.is_dir() { files(&live) } else { result.clone() };
        let finished = now == result;
        if finished {
            after += 1
        } else {
            before += 1
        }
        assert!(finished || now == original, "{place}: neither the original nor the result: {:?}", names(&live));
        if finished {
            // The original is not lost: kept, or about to be.
            let places = wrapper.iter().flat_map(|wrapper| [wrapper.join("old"), wrapper.join("new")]);
            let kept = places.chain([live.join(KEPT)]).find(|place| place.is_dir()).unwrap();
            assert_eq!(files(&kept), original, "{place}: the original");
        }
        let output = Command::new(env!("CARGO_BIN_EXE_logdir"))
            .env_clear()
            .args(arguments(live.to_str().unwrap(), mode))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{place}: the rerun says {said}");
        assert_eq!(files(&live), result, "{place}: after the rerun");
        assert_eq!(files(&live.join(KEPT)), original, "{place}: the original after the rerun");
        assert_eq!(names(&work), whole, "{place}: nothing is left over");
        assert!(!live.join(".logdir-recover").exists(), "{place}");
    }
    println!(
        "{mode:?}: {tried} of {total} system calls covered, {killed} runs killed; {before} left the original, {after} the result"
    );
    assert!(killed > 10 && before > 0 && after > 0, "{mode:?}: it was killed on both sides of the exchange");
}

#[test]
fn a_kill_at_any_system_call_leaves_the_original_or_the_result() {
    let Some(dir) = support::kafka_data_dir() else { return };
    let case = Case::open(&dir.join("cases/09-corrupt"));
    let temp = tempfile::tempdir().unwrap();
    let pristine = temp.path().join("pristine");
    fs::create_dir(&pristine).unwrap();
    let corrupt = case.data().join("corrupt");
    copy(&corrupt.join(TOPIC), &pristine.join(TOPIC));
    for entry in fs::read_dir(&corrupt).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        fs::copy(&entry, pristine.join(entry.file_name().unwrap())).unwrap();
    }
    fs::write(pristine.join(".lock"), "").unwrap();
    let clean = case.data().join("clean");
    kill_at_every_call(&pristine, &["--mode", "salvage"], &[]);
    kill_at_every_call(&pristine, &["--mode", "kafka", "--full"], &[]);
    kill_at_every_call(&pristine, &["--mode", "merge", "--from", clean.to_str().unwrap()], &[]);
    // A file system that cannot exchange names.
    kill_at_every_call(&pristine, &["--mode", "salvage"], &["-e", "inject=renameat2:error=EINVAL"]);
}

/// The same of `verify-index --rebuild`: every index is the old one or the new one, and a rerun finishes.
#[test]
fn a_rebuild_killed_at_any_system_call_leaves_old_and_new_indexes_and_no_others() {
    const TOPIC: &str = "v-index-unsorted-0";
    let Some(dir) = support::kafka_data_dir() else { return };
    let every: usize = std::env::var("LOGDIR_KILL_EVERY").map_or(41, |text| text.parse().unwrap());
    let case = Case::open(&dir.join("cases/09-corrupt"));
    let temp = tempfile::tempdir().unwrap();
    let work = temp.path().join("data");
    let live = work.join(TOPIC);
    let fresh = || {
        let _ = fs::remove_dir_all(&work);
        copy(&case.data().join("corrupt").join(TOPIC), &live);
        fs::remove_file(live.join("00000000000000000066.index")).unwrap();
        fs::write(live.join("00000000000000000100.timeindex"), [7; 12]).unwrap();
        fs::write(work.join(".lock"), "").unwrap();
    };
    let rebuild = |options: &[&str]| {
        let place = live.to_str().unwrap();
        let args = ["verify-index", place, "--rebuild", "--execute", "-q", "--threads", "1"];
        let mut traced = Command::new("strace");
        traced.args(options).arg(env!("CARGO_BIN_EXE_logdir")).args(args);
        traced.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    fresh();
    let original = files(&live);
    let log = temp.path().join("calls");
    let traced = rebuild(&["-f", "-o", log.to_str().unwrap()]);
    if !traced.is_ok_and(|status| status.success()) || !log.is_file() {
        println!("skipped: strace is not there, or may not trace");
        return;
    }
    let (result, whole) = (files(&live), names(&live));
    assert_ne!(original, result, "there is something to rebuild");
    let (mut tried, mut killed, mut mixed) = (0, 0, 0);
    let counts = calls(&log);
    let number: usize = counts.values().sum();
    for (name, when) in places(&counts, every, &["rename", "pwrite", "fsync", "fdatasync", "ftruncate"]) {
        fresh();
        let inject = format!("inject={name}:signal=KILL:when={when}");
        let status = rebuild(&["-f", "-o", "/dev/null", "-e", &inject]).unwrap();
        tried += 1;
        killed += usize::from(!status.success());
        let place = format!("killed at call {when} of {name}");
        let now: BTreeMap<_, _> = files(&live).into_iter().filter(|(name, _)| !name.ends_with(".tmp")).collect();
        for (name, bytes) in &now {
            let known = [original.get(name), result.get(name)];
            assert!(known.contains(&Some(bytes)), "{place}: {name} is neither the old one nor the new one");
        }
        assert!(original.keys().all(|name| now.contains_key(name)), "{place}: a file is gone");
        mixed += usize::from(now != original && now != result);
        let output = Command::new(env!("CARGO_BIN_EXE_logdir"))
            .env_clear()
            .args(["verify-index", live.to_str().unwrap(), "--rebuild", "--execute"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{place}: {}", String::from_utf8_lossy(&output.stderr));
        let after: BTreeMap<_, _> = files(&live).into_iter().filter(|(name, _)| !name.ends_with(".tmp")).collect();
        assert_eq!(after, result, "{place}: after the rerun");
    }
    println!(
        "{tried} of {number} system calls covered, {killed} runs killed, {mixed} between two indexes; {} files",
        whole.len()
    );
    assert!(killed > 5 && mixed > 0);
}
