//! `reassign execute` killed at its system calls: at least one whole copy of everything is there, in a shape that a broker
//! serves or refuses, and `resume` finishes or `rollback` takes back.
//!
//! Needs strace, and a system that lets it trace; without them the test says so and is skipped. By default every 41st system
//! call, and every 5th of those that name things or wait for the disk; all with `LOGDIR_KILL_EVERY=1`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use logdir::storage::names::{DirKind, PartitionDirName};
use support::copy::copy;
use support::strace::{calls, strace};

type Files = BTreeMap<String, Vec<u8>>;

fn files(dir: &Path) -> Option<Files> {
    let entries = fs::read_dir(dir).ok()?.map(Result::unwrap);
    Some(entries.map(|it| (it.file_name().into_string().unwrap(), fs::read(it.path()).unwrap_or_default())).collect())
}

/// A log directory with partitions, an empty one beside it, and an empty one on another file system.
struct Place {
    _temp: tempfile::TempDir,
    _other: tempfile::TempDir,
    pristine: PathBuf,
    dirs: [PathBuf; 3],
    plan: PathBuf,
    held: BTreeMap<String, Files>,
}

/// What goes to the second, and to the third log directory.
const MOVED: [(&str, usize); 4] = [("txn-a-0", 2), ("txn-a-1", 1), ("txn-b-0", 2), ("idem-0", 1)];

impl Place {
    /// `None` where everything is on one file system.
    fn new() -> Option<Place> {
        let temp = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir_in("/dev/shm").ok()?;
        let base = temp.path().canonicalize().unwrap();
        if fs::metadata(&base).unwrap().dev() == fs::metadata(other.path()).unwrap().dev() {
            return None;
        }
        let dirs = [base.join("d0"), base.join("d1"), other.path().join("d2")];
        let pristine = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transactions/data");
        let held: BTreeMap<String, Files> = fs::read_dir(&pristine)
            .unwrap()
            .map(Result::unwrap)
            .filter(|it| it.path().is_dir() && it.file_name() != "__cluster_metadata-0")
            .map(|it| (it.file_name().into_string().unwrap(), files(&it.path()).unwrap()))
            .collect();
        let plan = base.join("plan.json");
        let partitions = MOVED.map(|(name, to)| {
            let (topic, number) = name.rsplit_once('-').unwrap();
            let to = dirs[to].display();
            format!(r#"{{"topic":"{topic}","partition":{number},"replicas":[1],"log_dirs":["{to}"]}}"#)
        });
        fs::write(&plan, format!(r#"{{"version":1,"partitions":[{}]}}"#, partitions.join(","))).unwrap();
        Some(Place { _temp: temp, _other: other, pristine, dirs, plan, held })
    }

    fn fresh(&self) {
        for dir in &self.dirs {
            let _ = fs::remove_dir_all(dir);
        }
        copy(&self.pristine, &self.dirs[0]);
        let meta = fs::read_to_string(self.pristine.join("meta.properties")).unwrap();
        for (dir, id) in self.dirs[1..].iter().zip(["AAAAAAAAAAAAAAAAAAAB9g", "AAAAAAAAAAAAAAAAAAAB9w"]) {
            fs::create_dir(dir).unwrap();
            let line = |line: &str| match line.split_once('=') {
                Some(("directory.id", _)) => format!("directory.id={id}\n"),
                _ => format!("{line}\n"),
            };
            fs::write(dir.join("meta.properties"), meta.lines().map(line).collect::<String>()).unwrap();
        }
    }

    fn log_dirs(&self) -> String {
        self.dirs.each_ref().map(|dir| dir.display().to_string()).join(",")
    }

    fn args(&self, verb: &str) -> Vec<String> {
        let mut args = vec!["reassign".to_owned(), verb.to_owned(), "-d".to_owned(), self.log_dirs()];
        if verb == "execute" {
            args.extend(["--reassignment-json-file".to_owned(), self.plan.display().to_string()]);
        }
        args
    }

    fn run(&self, verb: &str, place: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
        let output = command.env_clear().args(self.args(verb)).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{place}: {verb}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Where a broker finds partitions; `None` where it refuses to start.
    fn broker(&self, place: &str) -> Option<BTreeMap<String, PathBuf>> {
        let mut serves = BTreeMap::new();
        for path in self.dirs.iter().flat_map(|dir| fs::read_dir(dir).unwrap().map(|it| it.unwrap().path())) {
            if !path.is_dir() {
                continue;
            }
            let name = PartitionDirName::parse(path.file_name().unwrap()).ok()?;
            if name.kind == DirKind::Live {
                let twice = serves.insert(name.to_string(), path);
                assert_eq!(twice, None, "{place}: {name} is there twice");
            }
        }
        Some(serves)
    }

    fn check_after_kill(&self, place: &str) {
        let serves = self.broker(place);
        for (name, held) in &self.held {
            match &serves {
                Some(serves) => {
                    let dir = serves.get(name).unwrap_or_else(|| panic!("{place}: {name} is gone"));
                    assert_eq!(files(dir).as_ref(), Some(held), "{place}: {}", dir.display());
                }
                None => {
                    let paths =
                        self.dirs.iter().flat_map(|dir| fs::read_dir(dir).unwrap().map(|it| it.unwrap().path()));
                    let whole = paths.filter(|path| path.is_dir() && files(path).as_ref() == Some(held)).count();
                    assert!(whole > 0, "{place}: there is no whole copy of {name}");
                }
            }
        }
    }

    /// Whether everything is where the plan wants it, or where it was; in both cases nothing else is there.
    fn check(&self, place: &str, moved: bool) {
        let serves = self.broker(place).unwrap_or_else(|| panic!("{place}: a broker refuses to start"));
        for (name, held) in &self.held {
            let to = MOVED.iter().find(|(it, _)| it == name).filter(|_| moved).map_or(0, |(_, to)| *to);
            assert_eq!(serves.get(name), Some(&self.dirs[to].join(name)), "{place}: {name}");
            assert_eq!(files(&serves[name]).as_ref(), Some(held), "{place}: {name}");
            for checkpoint in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint"] {
                let (topic, number) = name.rsplit_once('-').unwrap();
                let start = format!("{topic} {number} ");
                let entry = |dir: &Path| {
                    let text = fs::read_to_string(dir.join(checkpoint)).unwrap_or_default();
                    text.lines().find(|line| line.starts_with(&start)).map(str::to_owned)
                };
                for (number, dir) in self.dirs.iter().enumerate() {
                    let expected = entry(&self.pristine).filter(|_| number == to);
                    assert_eq!(entry(dir), expected, "{place}: {name} in {}/{checkpoint}", dir.display());
                }
            }
        }
        for path in self.dirs.iter().flat_map(|dir| fs::read_dir(dir).unwrap().map(|it| it.unwrap().path())) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_left = name.ends_with("-delete") || (name.starts_with(".logdir") && !name.ends_with(".done"));
            assert!(!is_left, "{place}: {} is left", path.display());
        }
    }
}

#[test]
fn killed_at_any_moment_nothing_is_lost_and_it_is_finished_or_taken_back() {
    let Some(place) = Place::new() else {
        println!("skipped: /dev/shm is no file system of its own");
        return;
    };
    let every: usize = std::env::var("LOGDIR_KILL_EVERY").map_or(41, |text| text.parse().unwrap());
    let log = place.plan.with_file_name("calls");
    let args = place.args("execute");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    place.fresh();
    let traced = strace(&["-f", "-o", log.to_str().unwrap()], &args);
    if !traced.is_some_and(|status| status.success()) || !log.is_file() {
        println!("skipped: strace is not there, or may not trace");
        return;
    }
    place.check("a whole run", true);
    place.run("rollback", "a whole run, taken back");
    place.check("a whole run, taken back", false);
    let (mut number, mut killed, mut refused) = (0, 0, 0);
    for (name, count) in &calls(&log) {
        for when in 1..=*count {
            number += 1;
            let telling = ["rename", "mkdir", "rmdir", "unlink", "sync"].iter().any(|change| name.contains(change));
            if number % every != 0 && !(telling && number % every.min(5) == 0) {
                continue;
            }
            place.fresh();
            let inject = format!("inject={name}:signal=KILL:when={when}");
            let status = strace(&["-f", "-o", "/dev/null", "-e", &inject], &args).unwrap();
            killed += usize::from(!status.success());
            let when = format!("killed at call {when} of {name}");
            place.check_after_kill(&when);
            refused += usize::from(place.broker(&when).is_none());
            if number % 2 == 0 {
                place.run("resume", &when);
                // Where nothing had begun there was nothing to resume; else nothing is left to do.
                place.run("execute", &when);
                place.check(&when, true);
            } else {
                place.run("rollback", &when);
                place.check(&when, false);
            }
        }
    }
    println!(
        "{killed} runs killed at {number} system calls or some of them; after {refused} a broker refuses to start"
    );
    assert!(killed > 10 && refused > 0 && refused < killed, "{killed} killed, {refused} refused");
}
