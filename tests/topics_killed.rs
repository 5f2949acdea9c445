//! `topics create`, `delete` and `adopt`, and a `groups commit` that makes its topic, killed at their system calls: what was there or the result is there, and a rerun
//! finishes.
//!
//! Needs strace, and a system that lets it trace; without them the test says so and is skipped. By default every 41st system
//! call and those that name things, all with `LOGDIR_KILL_EVERY=1`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use support::copy::copy;
use support::strace::{NAMING, calls, kill_at, places, strace};

type Files = BTreeMap<String, Vec<u8>>;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transactions/data")
}

/// The files of a directory, those a run in progress keeps for itself apart; `None` where it is not there.
fn files(dir: &Path) -> Option<Files> {
    let ours = |name: &str| name.starts_with(".logdir-");
    let named = fs::read_dir(dir).ok()?.map(|entry| entry.unwrap()).filter(|entry| entry.path().is_file());
    let named = named.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
    Some(named.filter(|(name, _)| !ours(name)).collect())
}

/// Names in a log directory, those of set-aside directories without their random part.
fn names(dir: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        let suffix = ["-delete", "-stray"].into_iter().find(|suffix| name.ends_with(suffix));
        suffix.map_or(name.clone(), |suffix| format!("{}{suffix}", name.split('.').next().unwrap()))
    };
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

fn quiet(args: &[&str]) -> ExitStatus {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
}

/// Runs `args` on fresh directories, killed at one system call after the other; `check` looks at what is left each time, and
/// says whether the run had come to its end. Then it is run again, and `check` has to say so.
fn kill_at_every_call(what: &str, fresh: &dyn Fn(), args: &[&str], check: &dyn Fn(&str, bool) -> bool) {
    let every: usize = std::env::var("LOGDIR_KILL_EVERY").map_or(41, |text| text.parse().unwrap());
    let temp = tempfile::tempdir().unwrap();
    let log = temp.path().join("calls");
    fresh();
    let traced = strace(&["-f", "-o", log.to_str().unwrap()], args);
    if !traced.is_some_and(|status| status.success()) || !log.is_file() {
        println!("skipped: strace is not there, or may not trace");
        return;
    }
    assert!(check(what, true), "{what}: a whole run ends");
    let counts = calls(&log);
    let number: usize = counts.values().sum();
    let (mut tried, mut killed, mut before, mut after) = (0, 0, 0, 0);
    for (name, when) in places(&counts, every, &NAMING) {
        fresh();
        let inject = format!("inject={name}:signal=KILL:when={when}");
        let status = strace(&["-f", "-o", "/dev/null", "-e", &inject], args).unwrap();
        tried += 1;
        killed += usize::from(!status.success());
        let place = format!("{what}, killed at call {when} of {name}");
        if check(&place, false) {
            after += 1
        } else {
            before += 1
        }
        let output = Command::new(env!("CARGO_BIN_EXE_logdir")).env_clear().args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{place}: the rerun says {said}");
        assert!(check(&format!("{place}, run again"), true), "{place}: the rerun finishes");
    }
    println!(
        "{what}: {tried} of {number} system calls covered, {killed} runs killed; {before} left what was there, {after} the result"
    );
    assert!(killed > 5 && before > 0, "{what}: it was killed while something was left to do");
}

/// A node with partition `txn-a-1` as its broker made it, empty, and a source log directory.
struct Place {
    _temp: tempfile::TempDir,
    pristine: PathBuf,
    work: PathBuf,
    source: PathBuf,
}

impl Place {
    fn new() -> Place {
        let temp = tempfile::tempdir().unwrap();
        let [pristine, work, source] = ["pristine", "work", "source"].map(|name| temp.path().join(name));
        copy(&fixture(), &pristine);
        fs::remove_dir_all(pristine.join("txn-a-1")).unwrap();
        let args = ["topics", "create", "txn-a", "-d", pristine.to_str().unwrap()];
        assert!(quiet(&args).success());
        Place { _temp: temp, pristine, work, source }
    }

    fn fresh(&self) {
        for dir in [&self.work, &self.source] {
            let _ = fs::remove_dir_all(dir);
        }
        copy(&self.pristine, &self.work);
        copy(&fixture(), &self.source);
        fs::write(self.source.join(".lock"), "").unwrap();
    }

    /// What adopting `from` makes of a partition.
    fn result(&self, from: &str, target: &str, more: &[&str]) -> Files {
        self.fresh();
        let (source, work) = (self.source.join(from), self.work.to_str().unwrap());
        let args = ["topics", "adopt", source.to_str().unwrap(), "--to", work, "--as", target, "--execute"];
        assert!(quiet(&[&args, more].concat()).success());
        files(&self.work.join(target)).unwrap()
    }
}

#[test]
fn an_adoption_leaves_the_empty_partition_or_the_adopted_one() {
    let place = Place::new();
    let result = place.result("txn-a-1", "txn-a-1", &[]);
    let (live, from) = (place.work.join("txn-a-1"), place.source.join("txn-a-1"));
    let original = files(&place.pristine.join("txn-a-1")).unwrap();
    let source = files(&fixture().join("txn-a-1")).unwrap();
    for moves in [false, true] {
        let mut args =
            vec!["topics", "adopt", from.to_str().unwrap(), "--to", place.work.to_str().unwrap(), "--execute"];
        args.extend(moves.then_some("--move"));
        let check = |place_: &str, is_over: bool| {
            let now = files(&live).unwrap_or_else(|| panic!("{place_}: the partition is gone"));
            let adopted = now == result;
            assert!(adopted || now == original, "{place_}: neither the one nor the other: {:?}", now.keys());
            assert!(adopted || files(&from).as_ref() == Some(&source), "{place_}: the source is as it was");
            if is_over {
                let left: Vec<_> = names(&place.work).into_iter().filter(|name| name.ends_with("-delete")).collect();
                assert!(left.is_empty() && !live.join(".logdir-recover").exists(), "{place_}: left over: {left:?}");
                let points = fs::read_to_string(place.work.join("recovery-point-offset-checkpoint")).unwrap();
                assert!(points.contains("\ntxn-a 1 117\n"), "{place_}: {points}");
                assert_eq!(from.exists(), !moves, "{place_}: the source");
            }
            adopted
        };
        let what = if moves { "adopt --move" } else { "adopt" };
        if !moves {
            kill_at_every_call(what, &|| place.fresh(), &args, &check);
            continue;
        }
        // Once the source is gone, and the note of it, it was done, and there is nothing left of it.
        let rerun = |place_: &str, is_over: bool| {
            let over = check(place_, is_over);
            let left: Vec<_> = names(&place.source).into_iter().filter(|name| name.ends_with("-delete")).collect();
            if !is_over && !from.exists() && !live.join(".logdir-moved").exists() {
                assert!(left.is_empty(), "{place_}: {left:?}");
                place.fresh();
            }
            if is_over {
                assert!(left.is_empty() && !live.join(".logdir-moved").exists(), "{place_}: left over: {left:?}");
                let points = fs::read_to_string(place.source.join("recovery-point-offset-checkpoint")).unwrap();
                assert!(!points.contains("\ntxn-a 1 "), "{place_}: {points}");
            }
            over
        };
        kill_at_every_call(what, &|| place.fresh(), &args, &rerun);
    }
}

#[test]
fn a_partition_that_is_put_aside_is_never_gone() {
    let place = Place::new();
    let result = place.result("txn-a-1", "txn-b-1", &["--replace"]);
    let (live, from) = (place.work.join("txn-b-1"), place.source.join("txn-a-1"));
    let original = files(&place.pristine.join("txn-b-1")).unwrap();
    let work = place.work.to_str().unwrap();
    let args = ["topics", "adopt", from.to_str().unwrap(), "--to", work, "--as", "txn-b-1", "--replace", "--execute"];
    let check = |place_: &str, is_over: bool| {
        let now = files(&live).unwrap_or_else(|| panic!("{place_}: the partition is gone"));
        let adopted = now == result;
        assert!(adopted || now == original, "{place_}: neither the one nor the other: {:?}", now.keys());
        let beside = fs::read_dir(&place.work).unwrap().map(|entry| entry.unwrap().path());
        let aside: Vec<_> = beside.filter(|path| path.to_string_lossy().contains("/txn-b-1.")).collect();
        let places = aside.iter().flat_map(|path| [path.clone(), path.join("new")]);
        let kept = places.filter(|path| files(path).as_ref() == Some(&original)).count();
        assert!(!adopted || kept == 1, "{place_}: the records that were there: {aside:?}");
        if is_over {
            assert_eq!(aside.len(), 1, "{place_}: {aside:?}");
            assert!(aside[0].to_string_lossy().ends_with("-delete"), "{place_}: {aside:?}");
        }
        adopted
    };
    kill_at_every_call("adopt --replace", &|| place.fresh(), &args, &check);
}

/// Killed around the exchange; then somebody uses the partition, as a broker would, before it is run again.
#[test]
fn what_is_produced_between_a_kill_and_the_rerun_stays() {
    let place = Place::new();
    let (live, from) = (place.work.join("txn-b-1"), place.source.join("txn-a-1"));
    let work = place.work.to_str().unwrap();
    let args = ["topics", "adopt", from.to_str().unwrap(), "--to", work, "--as", "txn-b-1", "--replace", "--execute"];
    let original = files(&place.pristine.join("txn-b-1")).unwrap();
    let values = |dir: &Path| {
        let args = ["consume", dir.to_str().unwrap(), "-f", "%s\n"];
        let output = Command::new(env!("CARGO_BIN_EXE_logdir")).env_clear().args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    place.fresh();
    let log = place.work.with_file_name("calls");
    let traced = strace(&["-f", "-o", log.to_str().unwrap()], &args);
    if !traced.is_some_and(|status| status.success()) || !log.is_file() {
        println!("skipped: strace is not there, or may not trace");
        return;
    }
    let adopted = values(&live);
    for after in [false, true] {
        place.fresh();
        let kill = kill_at(&log, "renameat2", after).unwrap();
        let status = strace(&["-f", "-o", "/dev/null", "-e", &kill], &args).unwrap();
        assert!(!status.success(), "killed at {kill}");
        let before = values(&live);
        assert_eq!(before == adopted, after, "{kill}: on the one side of the exchange and on the other");
        let between = place.work.with_file_name("between");
        fs::write(&between, "between").unwrap();
        let produce = ["produce", "-d", work, "-t", "txn-b", "-p", "1", between.to_str().unwrap()];
        assert!(quiet(&produce).success(), "{kill}");
        let grown = values(&live);
        assert_eq!(grown.len(), before.len() + 1, "{kill}");
        let used = files(&live).unwrap();
        let mut beside = fs::read_dir(&place.work).unwrap().map(|entry| entry.unwrap().path());
        let wrapper = beside.find(|path| path.to_string_lossy().ends_with("-stray")).unwrap();
        if after {
            assert_eq!(files(&wrapper.join("new")), Some(original.clone()), "{kill}: the original");
        }
        let points = |name: &str| fs::read_to_string(place.work.join(name)).unwrap();
        let (point, watermark) = (points("recovery-point-offset-checkpoint"), points("replication-offset-checkpoint"));
        let output = Command::new(env!("CARGO_BIN_EXE_logdir")).env_clear().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{kill}: {}", String::from_utf8_lossy(&output.stderr));
        let beside = fs::read_dir(&place.work).unwrap().map(|entry| entry.unwrap().path());
        let aside: Vec<_> = beside.filter(|path| path.to_string_lossy().contains("/txn-b-1.")).collect();
        assert_eq!(aside.len(), 1, "{kill}: {aside:?}");
        if after {
            assert_eq!(values(&live), grown, "{kill}");
            assert_eq!(files(&live), Some(used), "{kill}: what was in use is left alone");
            assert_eq!(files(&aside[0]), Some(original.clone()), "{kill}: the original");
            assert_eq!(points("recovery-point-offset-checkpoint"), point, "{kill}");
            assert_eq!(points("replication-offset-checkpoint"), watermark, "{kill}");
        } else {
            assert_eq!(values(&live), adopted, "{kill}: adopted anew");
            assert_eq!(files(&aside[0]), Some(used), "{kill}: with what was produced meanwhile");
        }
    }
}

#[test]
fn a_deletion_and_a_creation_leave_whole_partitions() {
    let place = Place::new();
    place.fresh();
    let work = place.work.to_str().unwrap();
    let originals: Vec<_> = (0..3).map(|at| files(&place.pristine.join(format!("txn-a-{at}"))).unwrap()).collect();
    let deleted = |place_: &str, _: bool| {
        let live: Vec<bool> = (0..3).map(|at| place.work.join(format!("txn-a-{at}")).is_dir()).collect();
        let beside = fs::read_dir(&place.work).unwrap().map(|entry| entry.unwrap().path());
        let of_topic = beside.filter(|path| path.to_string_lossy().contains("/txn-a-"));
        let mut whole: Vec<_> = of_topic.map(|path| files(&path).unwrap()).collect();
        let mut expected = originals.clone();
        whole.sort();
        expected.sort();
        assert!(whole == expected, "{place_}: every directory is there, whole, under the one name or the other");
        let points = fs::read_to_string(place.work.join("recovery-point-offset-checkpoint")).unwrap();
        let over = !live.contains(&true) && !points.contains("txn-a ");
        assert!(live[0] || live[2] || over || points.contains("txn-a "), "{place_}");
        over
    };
    let args = ["topics", "delete", "txn-a", "-d", work, "--execute"];
    // A rerun after the end finds no topic.
    let rerun = |place_: &str, is_over: bool| {
        let over = deleted(place_, is_over);
        if over && !is_over {
            place.fresh();
        }
        over
    };
    kill_at_every_call("delete", &|| place.fresh(), &args, &rerun);

    let made = |place_: &str, is_over: bool| {
        let there: Vec<Files> = (0..3).filter_map(|at| files(&place.work.join(format!("new-{at}")))).collect();
        for files in &there {
            let whole = ["00000000000000000000.log", "leader-epoch-checkpoint", "partition.metadata"];
            assert!(whole.iter().all(|name| files.contains_key(*name)), "{place_}: {:?}", files.keys());
            assert_eq!(files["partition.metadata"], there[0]["partition.metadata"], "{place_}: one id");
        }
        assert!(!is_over || there.len() == 3, "{place_}");
        there.len() == 3
    };
    let args = ["topics", "create", "new", "--partitions", "3", "--if-not-exists", "-d", work];
    kill_at_every_call("create", &|| place.fresh(), &args, &made);
}

#[test]
fn a_first_commit_is_there_or_is_not_and_a_rerun_finishes() {
    let temp = tempfile::tempdir().unwrap();
    let [pristine, work] = ["pristine", "work"].map(|name| temp.path().join(name));
    let records = temp.path().join("records");
    fs::write(&records, "a\nb\nc\n").unwrap();
    let (from, records) = (pristine.to_str().unwrap(), records.to_str().unwrap());
    assert!(quiet(&["produce", "-d", from, "-t", "orders", "--create", "1", "-l", records]).success());
    let properties = temp.path().join("server.properties");
    fs::write(&properties, format!("log.dirs={}\noffsets.topic.num.partitions=4\n", work.display())).unwrap();
    let args = ["groups", "commit", "billing", "orders:0=2", "-F", properties.to_str().unwrap()];
    let exported = || {
        let args = ["groups", "export", "billing", "-d", work.to_str().unwrap()];
        let output = Command::new(env!("CARGO_BIN_EXE_logdir")).env_clear().args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let fresh = || {
        let _ = fs::remove_dir_all(&work);
        copy(&pristine, &work);
    };
    let check = |place: &str, is_over: bool| {
        let said = exported();
        assert!(said.is_empty() || said == "orders,0,2\n", "{place}: {said}");
        let partitions = names(&work).into_iter().filter(|name| name.starts_with("__consumer_offsets-"));
        let made = partitions.filter(|name| !name.ends_with("-delete")).count();
        assert!(said.is_empty() || made == 4, "{place}: {made} partitions");
        if is_over {
            assert!(quiet(&["verify", "-d", work.to_str().unwrap()]).success(), "{place}: verify");
        }
        made == 4 && !said.is_empty()
    };
    kill_at_every_call("groups commit", &fresh, &args, &check);
}
