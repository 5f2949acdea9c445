//! `logdir reassign execute`, `resume` and `rollback`: what is moved, what stays, what is told, and every refusal.
//!
//! The log directories are those of a real broker; a third one is on another file system, where this machine has one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use logdir::storage::checkpoint;
use logdir::storage::lock::DirLock;
use logdir::types::{Offset, TopicPartition};
use serde_json::{Value, json};

use super::support::{copied, copy, logdir, run, state_of};

const LOG: &str = "00000000000000000000.log";
const HIGH_WATERMARK: &str = "replication-offset-checkpoint";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Partitions, and what is on its way to be one or to be none.
fn partitions(dir: &Path) -> Vec<String> {
    names(dir).into_iter().filter(|name| !name.starts_with('.') && dir.join(name).is_dir()).collect()
}

fn rows(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Bytes, mode and time of the last write of every file of a partition.
type Held = BTreeMap<String, (Vec<u8>, u32, (i64, i64))>;

fn held(dir: &Path) -> Held {
    let one = |name: String| {
        let path = dir.join(&name);
        let found = fs::metadata(&path).unwrap();
        (name, (fs::read(&path).unwrap(), found.mode() & 0o7777, (found.mtime(), found.mtime_nsec())))
    };
    names(dir).into_iter().map(one).collect()
}

fn high_watermark(dir: &Path, topic: &str, partition: i32) -> Option<Offset> {
    checkpoint::read(&dir.join(HIGH_WATERMARK)).ok()?.get(&TopicPartition::new(topic, partition))
}

/// The broker of the fixture with two log directories more, and a broker 2 beside it.
struct Place {
    temp: tempfile::TempDir,
    other: Option<tempfile::TempDir>,
    d0: PathBuf,
    /// Where a rename leads to.
    d1: PathBuf,
    /// Where only a copy leads to, where there is another file system.
    d2: PathBuf,
    broker_2: PathBuf,
}

impl Place {
    fn new() -> Place {
        let (temp, d0) = copied("transactions/data");
        let root = temp.path().canonicalize().unwrap();
        let d0 = root.join(d0.file_name().unwrap());
        let on = |dir: &Path| fs::metadata(dir).map(|found| found.dev()).ok();
        let other = tempfile::tempdir_in("/dev/shm").ok().filter(|other| on(other.path()) != on(&root));
        if other.is_none() {
            eprintln!("everything here is on one file system: nothing is copied");
        }
        let d2 = other.as_ref().map_or(root.join("d2"), |other| other.path().join("d2"));
        let place = Place { d1: root.join("d1"), d2, broker_2: root.join("broker-2"), temp, other, d0 };
        place.make_log_dir(&place.d1, 1);
        place.make_log_dir(&place.d2, 1);
        place.make_log_dir(&place.broker_2, 2);
        place
    }

    /// An empty log directory in the fixture's cluster.
    fn make_log_dir(&self, dir: &Path, broker: i32) {
        let meta = fs::read_to_string(self.d0.join("meta.properties")).unwrap();
        let meta: String = meta
            .lines()
            .filter(|line| !line.starts_with("directory.id="))
            .map(|line| line.replace("node.id=1", &format!("node.id={broker}")) + "\n")
            .collect();
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("meta.properties"), meta).unwrap();
    }

    fn log_dirs(&self) -> String {
        [&self.d0, &self.d1, &self.d2, &self.broker_2].map(|dir| text(dir)).join(",")
    }

    /// A plan: topic, partition, replicas and their log directories.
    fn plan(&self, partitions: &[(&str, i32, &[i32], &[&str])]) -> String {
        let one = |(topic, partition, replicas, log_dirs): &(&str, i32, &[i32], &[&str])| json!({"topic": topic, "partition": partition, "replicas": replicas, "log_dirs": log_dirs});
        let plan = json!({"version": 1, "partitions": partitions.iter().map(one).collect::<Vec<_>>()});
        let file = self.temp.path().join("plan.json");
        fs::write(&file, plan.to_string()).unwrap();
        text(&file).to_owned()
    }

    /// One partition to the other file system, one to the other directory on the same.
    fn two_moves(&self) -> String {
        self.plan(&[("txn-a", 0, &[1], &[text(&self.d2)]), ("txn-a", 1, &[1], &[text(&self.d1)])])
    }

    fn args(&self, verb: &str, plan: &str, more: &[&str]) -> Vec<String> {
        let mut args = vec!["reassign", verb, "-d"];
        let log_dirs = self.log_dirs();
        args.push(&log_dirs);
        if matches!(verb, "execute" | "verify") {
            args.extend(["--reassignment-json-file", plan]);
        }
        args.extend(more);
        args.into_iter().map(str::to_owned).collect()
    }

    /// Exit code, stdout and stderr of a verb on all of the log directories.
    fn run(&self, verb: &str, plan: &str, more: &[&str]) -> (i32, String, String) {
        let args = self.args(verb, plan, more);
        run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn all(&self) -> Vec<BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)>> {
        [&self.d0, &self.d1, &self.d2, &self.broker_2].map(|dir| state_of(dir)).into()
    }

    /// A run that is interrupted while it copies.
    fn interrupt(&self, plan: &str) -> (i32, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_logdir"))
            .env_clear()
            .args(self.args("execute", plan, &["--throttle", "100"]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let started = Instant::now();
        let copies = || partitions(&self.d2).iter().any(|name| name.ends_with("-delete"));
        while !copies() {
            assert!(started.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(5));
        }
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

#[test]
fn a_dry_run_shows_what_would_be_done_and_writes_nothing() {
    let place = Place::new();
    let plan = place.two_moves();
    let before = place.all();
    let (code, stdout, stderr) = place.run("execute", &plan, &["-n", "--throttle", "100"]);
    assert_eq!(code, 0, "{stderr}");
    let lines: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["PARTITION", "ACTION", "SIZE", "STATE", "FROM", "TO"]);
    assert_eq!(lines[2], ["txn-a-1", "move", "-", "planned", text(&place.d0), text(&place.d1)]);
    if place.other.is_some() {
        assert_eq!(lines[1], ["txn-a-0", "move", "14.7", "KiB", "planned", text(&place.d0), text(&place.d2)]);
        assert_eq!(stderr, "2 to do, 14.7 KiB to be copied, 151 s at the throttle; nothing written\n");
    }
    let (code, stdout, _) = place.run("execute", &plan, &["-n", "--no-header", "--output", "tsv"]);
    assert_eq!((code, stdout.lines().count()), (0, 2), "{stdout}");
    assert_eq!(place.all(), before, "nothing is written, not even a lock");
}

#[test]
fn partitions_go_to_other_log_directories_of_their_broker_with_all_that_is_theirs() {
    let place = Place::new();
    let plan = place.two_moves();
    let old_time = std::time::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    for name in ["txn-a-0", "txn-a-1"] {
        let log = fs::File::options().write(true).open(place.d0.join(name).join(LOG)).unwrap();
        log.set_permissions(fs::Permissions::from_mode(0o640)).unwrap();
        log.set_modified(old_time).unwrap();
    }
    let [zero, one] = ["txn-a-0", "txn-a-1"].map(|name| held(&place.d0.join(name)));
    let [mark_0, mark_1] = [0, 1].map(|number| high_watermark(&place.d0, "txn-a", number));
    assert!(mark_0.is_some() && mark_1.is_some());
    let (code, said, _) = place.run("verify", &plan, &[]);
    assert_eq!(code, 1, "{said}");

    let (code, stdout, stderr) = place.run("execute", &plan, &["--json"]);
    assert_eq!(code, 0, "{stderr}");
    let done = rows(&stdout);
    assert_eq!(done.len(), 3, "{stdout}");
    let copies = place.other.is_some();
    for row in &done[..2] {
        let renames = row["partition"] == 1 || !copies;
        assert_eq!((&row["state"], &row["renames"]), (&json!("done"), &json!(renames)), "{row}");
        assert_eq!(row["size_bytes"].is_null(), renames, "{row}");
    }
    let summary = &done[2];
    let bytes: usize = if copies { zero.values().map(|(bytes, ..)| bytes.len()).sum() } else { 0 };
    let expected = json!({"type": "summary", "moves": 2, "size_bytes": bytes, "obstacles": 0, "for_controllers": 0, "executed": true});
    assert_eq!(*summary, expected);

    assert_eq!(held(&place.d2.join("txn-a-0")), zero);
    assert_eq!(held(&place.d1.join("txn-a-1")), one);
    assert_eq!(zero[LOG].1, 0o640);
    assert_eq!(zero[LOG].2, (1_700_000_000, 123_456_789));
    assert_eq!(
        (partitions(&place.d1), partitions(&place.d2)),
        (vec!["txn-a-1".to_owned()], vec!["txn-a-0".to_owned()])
    );
    assert!(partitions(&place.d0).iter().all(|name| !["txn-a-0", "txn-a-1"].contains(&name.as_str())));
    assert_eq!(high_watermark(&place.d2, "txn-a", 0), mark_0);
    assert_eq!(high_watermark(&place.d1, "txn-a", 1), mark_1);
    assert_eq!([0, 1].map(|number| high_watermark(&place.d0, "txn-a", number)), [None, None]);
    assert!(place.d2.join(".kafka_cleanshutdown").is_file(), "a broker need not look through what it was given");

    let (code, said, _) = place.run("verify", &plan, &[]);
    assert!(code == 0 && said.contains("Reassignment of replica txn-a-0-1 completed successfully."), "{said}");
    let after = place.all();
    let (code, stdout, stderr) = place.run("execute", &plan, &[]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", "nothing to do\n"));
    let (code, stdout, stderr) = place.run("resume", "", &[]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", "no run was interrupted in these log directories\n"));
    assert_eq!(place.all(), after);

    let (code, stdout, _) = place.run("rollback", "", &["-n", "--no-header", "--output", "tsv"]);
    assert!(code == 0 && stdout.lines().all(|line| line.contains("\tto be undone\t")), "{stdout}");
    assert_eq!(place.all(), after);
    let (code, _, stderr) = place.run("rollback", "", &[]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(["txn-a-0", "txn-a-1"].map(|name| held(&place.d0.join(name))), [zero, one]);
    assert_eq!([0, 1].map(|number| high_watermark(&place.d0, "txn-a", number)), [mark_0, mark_1]);
    assert_eq!((partitions(&place.d1).len(), partitions(&place.d2).len()), (0, 0));
    let (code, _, stderr) = place.run("rollback", "", &[]);
    assert_eq!((code, stderr.as_str()), (0, "there is no run to take back in these log directories\n"));
}

#[test]
fn what_a_running_broker_has_locked_is_left_alone() {
    let place = Place::new();
    let plan = place.two_moves();
    let lock = DirLock::exclusive(&place.d1).unwrap();
    let before = [&place.d0, &place.d2].map(|dir| partitions(dir));
    let (code, stdout, stderr) = place.run("execute", &plan, &[]);
    assert_eq!((code, stdout.as_str()), (4, ""), "{stderr}");
    assert!(stderr.contains("d1 is open in ") && stderr.contains("hint: stop the broker first"), "{stderr}");
    assert_eq!([&place.d0, &place.d2].map(|dir| partitions(dir)), before);
    assert_eq!(partitions(&place.d1).len(), 0);
    // The plan is shown all the same.
    let (code, stdout, stderr) = place.run("execute", &plan, &["-n"]);
    assert_eq!((code, stdout.lines().count()), (0, 3), "{stderr}");
    assert!(
        stderr.starts_with("warning: ") && stderr.contains("what is planned now may not be true any more later"),
        "{stderr}"
    );
    drop(lock);
    assert_eq!(place.run("execute", &plan, &[]).0, 0);
}

#[test]
fn a_run_that_was_interrupted_is_finished_or_taken_back_before_another_begins() {
    for verb in ["resume", "rollback"] {
        let place = Place::new();
        if place.other.is_none() {
            return;
        }
        let plan = place.two_moves();
        let before = held(&place.d0.join("txn-a-0"));
        let (code, said) = place.interrupt(&plan);
        assert_eq!(code, 130, "{said}");
        let hint = "interrupted; go on with: logdir reassign resume; take it back with: logdir reassign rollback\n";
        assert!(said.ends_with(hint), "{said}");
        assert_eq!(held(&place.d0.join("txn-a-0")), before, "it is where it was");

        let left = place.all();
        let (code, stdout, stderr) = place.run("execute", &plan, &[]);
        assert_eq!((code, stdout.as_str()), (4, ""), "{stderr}");
        assert!(
            stderr
                .contains("is the journal of a run that was interrupted\nhint: finish it with: logdir reassign resume"),
            "{stderr}"
        );
        let (code, stdout, _) = place.run(verb, "", &["-n", "--json"]);
        assert_eq!(code, 0);
        let states: BTreeMap<i64, Value> =
            rows(&stdout).iter().map(|row| (row["partition"].as_i64().unwrap(), row["state"].clone())).collect();
        let of_0 = if verb == "resume" { "copying" } else { "to be undone" };
        assert_eq!(states[&0], of_0, "{stdout}");
        assert_eq!(place.all(), left, "a dry run and a refusal write nothing");

        // What it was begun with holds for the rest where nothing else is said.
        let (code, _, stderr) = place.run(verb, "", &["--throttle", "1GiB/s"]);
        assert_eq!(code, 0, "{stderr}");
        let (is, is_not) = if verb == "resume" { (&place.d2, &place.d0) } else { (&place.d0, &place.d2) };
        assert_eq!(held(&is.join("txn-a-0")), before, "{verb}");
        assert!(!is_not.join("txn-a-0").exists(), "{verb}");
        assert_eq!(partitions(&place.d1), if verb == "resume" { vec!["txn-a-1".to_owned()] } else { Vec::new() });
        let aside = [&place.d0, &place.d1, &place.d2].map(|dir| partitions(dir)).concat();
        assert!(aside.iter().all(|name| !name.contains('.')), "{aside:?}");
        let (code, _, stderr) = place.run("resume", "", &[]);
        assert_eq!((code, stderr.as_str()), (0, "no run was interrupted in these log directories\n"));
        assert_eq!(place.run("execute", &plan, &[]).0, 0, "and another run begins");
    }
}

#[test]
fn a_damaged_log_stays_where_it_is_unless_it_is_to_go_as_it_is() {
    let place = Place::new();
    if place.other.is_none() {
        return;
    }
    let log = place.d0.join("txn-a-0/00000000000000000001.log");
    let mut bytes = fs::read(&log).unwrap();
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let damaged = held(&place.d0.join("txn-a-0"));
    let plan = place.plan(&[("txn-a", 0, &[1], &[text(&place.d2)]), ("txn-b", 0, &[1], &[text(&place.d2)])]);
    let (code, stdout, stderr) = place.run("execute", &plan, &["--json"]);
    assert_eq!(code, 1, "{stderr}");
    let states: BTreeMap<String, Value> = rows(&stdout)
        .iter()
        .filter(|row| row["type"] == "move")
        .map(|row| (row["topic"].as_str().unwrap().to_owned(), row["state"].clone()))
        .collect();
    assert_eq!(states, BTreeMap::from([("txn-a".to_owned(), json!("failed")), ("txn-b".to_owned(), json!("done"))]));
    let error: Value = serde_json::from_str(stderr.lines().next().unwrap()).unwrap();
    assert_eq!((&error["code"], &error["path"]), (&json!("crc_mismatch"), &json!(text(&log))));
    let position = error["position"].as_u64().unwrap();
    assert!(position > 0 && position < last as u64, "{error}");
    assert_eq!(held(&place.d0.join("txn-a-0")), damaged, "it stays");
    let (code, _, stderr) = place.run("resume", "", &[]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains(&format!("{}: position {position}: ", text(&log))), "{stderr}");
    assert!(
        stderr.contains("hint: it stays where it is") && stderr.contains("to move it as it is: --force"),
        "{stderr}"
    );
    let (code, _, stderr) = place.run("resume", "", &["--force"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(held(&place.d2.join("txn-a-0")), damaged, "as it is");
    // A rename asks nothing: the bytes stay where they are on the disk.
    let plan = place.plan(&[("txn-a", 2, &[1], &[text(&place.d1)])]);
    fs::write(place.d0.join("txn-a-2").join(LOG), "no batch at all, and more than the head of one, which ends it here")
        .unwrap();
    assert_eq!(place.run("execute", &plan, &[]).0, 0);
}

#[test]
fn another_broker_gets_a_copy_only_when_the_controllers_know() {
    let place = Place::new();
    let plan = place.plan(&[("txn-a", 0, &[2], &["any"])]);
    let before = place.all();
    let partition = held(&place.d0.join("txn-a-0"));
    let for_controllers = place.temp.path().join("for-controllers.json");
    let (code, stdout, stderr) =
        place.run("execute", &plan, &["--controller-json-file", text(&for_controllers), "--json"]);
    assert_eq!(code, 1, "{stderr}");
    let told = rows(&stdout);
    let obstacles: Vec<_> = told.iter().filter(|row| row["type"] == "obstacle").collect();
    assert_eq!(obstacles.len(), 2, "{stdout}");
    assert_eq!((&obstacles[0]["yields_to_force"], &obstacles[1]["yields_to_force"]), (&json!(true), &json!(false)));
    let message = obstacles[0]["message"].as_str().unwrap();
    assert!(message.starts_with("broker 2 is not in the replica list that the controllers have"), "{message}");
    let summary = told.last().unwrap();
    assert_eq!(
        (&summary["obstacles"], &summary["for_controllers"], &summary["executed"]),
        (&json!(2), &json!(1), &json!(false))
    );
    let written: Value = serde_json::from_str(&fs::read_to_string(&for_controllers).unwrap()).unwrap();
    let expected = json!({"topic": "txn-a", "partition": 0, "replicas": [2], "log_dirs": ["any"]});
    assert_eq!(written, json!({"version": 1, "partitions": [expected]}));
    assert_eq!(place.all(), before, "nothing is copied");

    let (code, stdout, stderr) = place.run("execute", &plan, &["--force", "--no-header"]);
    assert_eq!(code, 1, "the original stays: {stderr}");
    assert!(stdout.starts_with("txn-a-0 ") && stdout.contains(" copy ") && stdout.contains(" done "), "{stdout}");
    assert!(
        stderr.contains("broker 1 is in the replica list that the controllers have, and would begin with an empty log"),
        "{stderr}"
    );
    assert_eq!(
        [&place.d0, &place.broker_2].map(|dir| held(&dir.join("txn-a-0"))),
        [partition.clone(), partition.clone()]
    );
    assert_eq!(high_watermark(&place.broker_2, "txn-a", 0), high_watermark(&place.d0, "txn-a", 0));
    // What holds no more than where it came from goes again.
    let (code, _, stderr) = place.run("rollback", "", &[]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!((partitions(&place.broker_2).len(), held(&place.d0.join("txn-a-0"))), (0, partition));
    assert_eq!(high_watermark(&place.broker_2, "txn-a", 0), None);
}

#[test]
fn a_replica_that_the_controllers_do_not_list_goes_and_one_that_reaches_further_does_not() {
    let place = Place::new();
    for name in ["txn-a-1", "txn-a-2"] {
        copy(&place.d0.join(name), &place.broker_2.join(name));
    }
    // Broker 1 lost the end of it.
    let log = fs::File::options().write(true).open(place.d0.join("txn-a-2/00000000000000000005.log")).unwrap();
    log.set_len(2_000).unwrap();
    let plan = place.plan(&[("txn-a", 1, &[1], &["any"]), ("txn-a", 2, &[1], &["any"])]);
    let (code, stdout, stderr) = place.run("execute", &plan, &["--no-header"]);
    assert_eq!((code, stdout.lines().count()), (1, 1), "{stdout}{stderr}");
    assert!(stdout.starts_with("txn-a-1 ") && stdout.contains(" drop "), "{stdout}");
    assert!(stderr.contains("txn-a-2: what broker 2 has reaches further than all that would stay"), "{stderr}");
    assert_eq!(partitions(&place.broker_2), ["txn-a-2"]);
    let (code, _, stderr) = place.run("rollback", "", &[]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("txn-a-1: was dropped there, and does not come back\nhint: copy it from another replica"),
        "{stderr}"
    );
    let (code, _, stderr) = place.run("execute", &plan, &["--force"]);
    assert_eq!((code, partitions(&place.broker_2).len()), (0, 0), "{stderr}");
}

#[test]
fn what_stands_in_the_way_is_named_and_the_rest_is_done() {
    type Make = fn(&Place);
    let cases: [(&str, Make, i32, &str); 6] = [
        (
            "sub",
            |place| fs::create_dir(place.d0.join("txn-a-1/sub")).unwrap(),
            4,
            "txn-a-1/sub: is not a file that a broker makes\nhint: move it out of the partition's directory",
        ),
        (
            "kept",
            |place| fs::create_dir(place.d0.join("txn-a-1/.logdir-kept")).unwrap(),
            4,
            "holds the originals of a recovery\nhint: look whether the result is good",
        ),
        (
            "link",
            |place| {
                let away = place.temp.path().join("elsewhere");
                fs::rename(place.d0.join("txn-a-1"), &away).unwrap();
                symlink(&away, place.d0.join("txn-a-1")).unwrap();
            },
            4,
            "txn-a-1: is not a directory, or a symbolic link to one",
        ),
        (
            "target",
            |place| fs::write(place.d2.join("txn-a-1"), "no directory").unwrap(),
            4,
            "d2/txn-a-1: is there already",
        ),
        (
            "twice",
            |place| copy(&place.d0.join("txn-a-1"), &place.d2.join("txn-a-1")),
            1,
            "txn-a-1: broker 1 has it in two log directories, and does not start",
        ),
        (
            "future",
            |place| {
                let name = "txn-a-1.0123456789abcdef0123456789abcdef-future";
                copy(&place.d0.join("txn-a-1"), &place.d1.join(name));
            },
            1,
            "txn-a-1: broker 1 was moving it to another log directory itself",
        ),
    ];
    for (case, make, expected, said) in cases {
        let place = Place::new();
        make(&place);
        let plan = place.plan(&[("txn-a", 1, &[1], &[text(&place.d2)]), ("txn-b", 0, &[1], &[text(&place.d2)])]);
        let before = state_of(&place.d0);
        let of_1 = |it: &BTreeMap<PathBuf, _>| {
            it.iter()
                .filter(|(path, _)| path.starts_with(place.d0.join("txn-a-1")))
                .map(|(path, _)| path.clone())
                .collect::<Vec<_>>()
        };
        let (code, stdout, stderr) = place.run("execute", &plan, &["--no-header", "--force"]);
        if place.other.is_none() && matches!(case, "sub" | "kept") {
            continue;
        }
        assert_eq!(code, expected, "{case}: {stdout}{stderr}");
        assert_eq!(stderr.matches(said).count(), 1, "{case}: told once: {stderr}");
        assert_eq!(stdout.lines().count(), 1, "{case}: {stdout}");
        assert!(stdout.starts_with("txn-b-0 ") && stdout.contains(" done "), "{case}: {stdout}");
        assert_eq!(of_1(&state_of(&place.d0)), of_1(&before), "{case}");
        let alone = place.plan(&[("txn-a", 1, &[1], &[text(&place.d2)])]);
        let (code, stdout, stderr) = place.run("execute", &alone, &[]);
        assert_eq!((code, stdout.as_str()), (expected, ""), "{case}: {stderr}");
        assert!(stderr.ends_with("nothing that can be done here\n"), "{case}: {stderr}");
    }
}

#[test]
fn a_plan_that_cannot_be_read_or_names_what_is_not_here_changes_nothing() {
    let place = Place::new();
    let before = place.all();
    let file = place.temp.path().join("plan.json");
    for (plan, said) in [
        ("{\"version\":1,\"partitions\":[{\"topic\":}]}", "plan.json: expected value at line 1 column 37\n"),
        ("", "plan.json: "),
        ("{\"version\":2,\"partitions\":[]}", "plan.json: "),
        (
            "{\"version\":1,\"partitions\":[{\"topic\":\"a\",\"partition\":0,\"replicas\":[1],\"log_dirs\":[\"/a\",\"/b\"]}]}",
            "plan.json: ",
        ),
    ] {
        fs::write(&file, plan).unwrap();
        let (code, stdout, stderr) = place.run("execute", text(&file), &[]);
        assert_eq!((code, stdout.as_str()), (3, ""), "{plan}: {stderr}");
        assert!(stderr.contains(said), "{plan}: {stderr}");
    }
    for (topic, number, replicas, log_dir, said) in [
        (
            "txn-a",
            1,
            &[1][..],
            "/nowhere",
            "txn-a-1: /nowhere is none of the log directories of broker 1 that are named\nhint: name it with -d",
        ),
        ("txn-a", 1, &[7], "any", "txn-a-1: no log directory of broker 7 is named"),
        ("no-such-topic", 0, &[1], "any", "no-such-topic-0: "),
    ] {
        let plan = place.plan(&[(topic, number, replicas, &[log_dir])]);
        for more in [&[][..], &["-n"], &["--force"]] {
            let (code, stdout, stderr) = place.run("execute", &plan, more);
            assert_eq!((code, stdout.as_str()), (1, ""), "{more:?}: {stderr}");
            assert!(stderr.contains(said), "{more:?}: {stderr}");
        }
    }
    assert_eq!(place.all(), before);
    let empty = place.plan(&[]);
    assert_eq!(place.run("execute", &empty, &[]), (0, String::new(), "nothing to do\n".to_owned()));
    let output = logdir(&["reassign", "execute", "-d", &place.log_dirs(), "--reassignment-json-file", "-"])
        .write_stdin(fs::read_to_string(place.two_moves()).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "a plan from stdin: {output:?}");
}

/// A file system of so many MiB, until it is dropped; only the superuser may.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf, mib: u32) -> Option<Small> {
        fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        let options = format!("size={mib}m,mode=700");
        let done = mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at).stderr(Stdio::null()).status();
        if done.is_ok_and(|status| status.success()) {
            return Some(Small(at));
        }
        eprintln!("skipped: a small file system cannot be mounted here");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn without_room_nothing_begins_and_a_disk_that_fills_up_meanwhile_can_be_gone_on_with() {
    let place = Place::new();
    let Some(small) = Small::mount(place.temp.path().canonicalize().unwrap().join("small"), 8) else { return };
    let d3 = small.0.join("d3");
    place.make_log_dir(&d3, 1);
    let named = format!("{},{}", place.log_dirs(), text(&d3));
    let args = |verb: &'static str, plan: &str, more: &[&str]| {
        let mut args = vec!["reassign", verb, "-d", &named];
        if verb == "execute" {
            args.extend(["--reassignment-json-file", plan]);
        }
        args.extend(more);
        run(&args)
    };
    let plan = place.plan(&[("txn-a", 1, &[1], &[text(&d3)])]);
    let index = place.d0.join("txn-a-1/00000000000000000000.index");
    fs::write(&index, vec![0; 9 << 20]).unwrap();
    let before = place.all();
    for more in [&["-n"][..], &[]] {
        let (code, _, stderr) = args("execute", &plan, more);
        assert_eq!(code, 4, "{stderr}");
        assert!(stderr.contains("d3/txn-a-1: ") && stderr.contains(" bytes have to be free for it, "), "{stderr}");
        assert!(stderr.contains("hint: make room, or move less at once: 1 partitions wait for room\n"), "{stderr}");
        assert_eq!(partitions(&d3).len(), 0, "not one byte");
    }
    assert_eq!(place.all()[0].len(), before[0].len() + 1, "but for the lock file");

    fs::write(&index, vec![0; 6 << 20]).unwrap();
    let partition = held(&place.d0.join("txn-a-1"));
    let filled = small.0.join("another-program");
    let (filling, dir) = (filled.clone(), d3.clone());
    let fills = std::thread::spawn(move || {
        let started = Instant::now();
        while partitions(&dir).is_empty() && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(2));
        }
        fs::write(&filling, vec![1; 4 << 20]).unwrap();
    });
    let (code, _, stderr) = args("execute", &plan, &["--throttle", "2MiB"]);
    fills.join().unwrap();
    assert_eq!(code, 3, "{stderr}");
    assert!(
        stderr.contains("No space left on device") && stderr.contains("hint: go on with: logdir reassign resume"),
        "{stderr}"
    );
    assert_eq!(held(&place.d0.join("txn-a-1")), partition, "it is where it was");
    assert!(!d3.join("txn-a-1").exists());
    let (code, _, stderr) = args("resume", "", &[]);
    assert_eq!(code, 4, "there is no room yet: {stderr}");
    // What the unfinished copy takes is no reason to refuse to finish it.
    fs::remove_file(&filled).unwrap();
    let (code, _, stderr) = args("resume", "", &[]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!((held(&d3.join("txn-a-1")), partitions(&d3)), (partition, vec!["txn-a-1".to_owned()]));
}
