//! `logdir simulate-failover assess`: the table, the rows, which partition is meant, and damage.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::support::{copy, logdir, run, run_in, state_of};

/// Two brokers that had the same ten records; then the old leader, broker 1, got five more in leader epoch 1, and broker 2
/// three in leader epoch 2, which were committed.
struct Forked {
    temp: tempfile::TempDir,
}

impl Forked {
    fn new() -> Forked {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        produce(&root.join("one"), "orders", 0..10, &["--create", "1"]);
        copy(&root.join("one"), &root.join("two"));
        let meta = fs::read_to_string(root.join("one/meta.properties")).unwrap();
        fs::write(root.join("two/meta.properties"), meta.replace("node.id=1", "node.id=2")).unwrap();
        for (dir, records, epoch, mark) in [("one", 10..15, 1, 10), ("two", 20..23, 2, 13)] {
            let dir = root.join(dir);
            let log = dir.join("orders-0/00000000000000000000.log");
            let before = usize::try_from(fs::metadata(&log).unwrap().len()).unwrap();
            produce(&dir, "orders", records, &[]);
            // The leader epoch is outside of the checksum.
            let mut bytes = fs::read(&log).unwrap();
            bytes[before + 12..before + 16].copy_from_slice(&i32::to_be_bytes(epoch));
            fs::write(&log, bytes).unwrap();
            fs::write(dir.join("orders-0/leader-epoch-checkpoint"), format!("0\n2\n0 0\n{epoch} 10\n")).unwrap();
            fs::write(dir.join("replication-offset-checkpoint"), format!("0\n1\norders 0 {mark}\n")).unwrap();
        }
        fs::remove_file(root.join("one/.kafka_cleanshutdown")).unwrap();
        Forked { temp }
    }

    fn root(&self) -> &Path {
        self.temp.path()
    }

    fn log(&self, broker: &str) -> PathBuf {
        self.root().join(broker).join("orders-0/00000000000000000000.log")
    }

    fn rows(&self, args: &[&str]) -> (i32, Vec<Value>) {
        let (code, stdout, stderr) =
            run_in(self.root(), &[&["simulate-failover", "assess", "--json", "-q"], args].concat());
        let rows: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(!rows.is_empty(), "{code} {stderr}");
        (code, rows)
    }
}

fn produce(dir: &Path, topic: &str, records: std::ops::Range<u32>, more: &[&str]) {
    let dir = dir.display().to_string();
    let lines: String = records.map(|it| format!("{it}\n")).collect();
    let args = [&["produce", "-q", "-d", &dir, "-t", topic], more].concat();
    logdir(&args).write_stdin(lines).assert().success();
}

fn of_type<'a>(rows: &'a [Value], kind: &str) -> Vec<&'a Value> {
    rows.iter().filter(|row| row["type"] == kind).collect()
}

#[test]
fn the_table_tells_who_loses_what_and_whom_to_take() {
    let forked = Forked::new();
    let before = state_of(forked.root());
    let (code, stdout, stderr) = run_in(forked.root(), &["simulate", "assess", "one", "two"]);
    let expected = "\
orders-0: 2 replicas

BROKER  LOG_START    LOG_END  HIGH_WATERMARK  IN_SYNC  STOPPED  LOG      EPOCHS                    DIRECTORY
     1          0         15              10  ?        unclean  sound    0@0,1@10                  one/orders-0
     2          0         13              13  ?        clean    sound    0@0,2@10                  two/orders-0

the logs part at 10: broker 1 with leader epoch 1 at 10 to 14; broker 2 with leader epoch 2 at 10 to 12

broker 2 as leader
  keeps     0 to 9 (as broker 1)
  keeps     10 to 12 (no other has)
  loses     10 to 14 of leader epoch 1, on broker 1 (5 offsets): acknowledged if sent with acks=1; with acks=all only if they were committed, which no checkpoint here shows
  then      broker 1 truncates to 10 (10 to 14 of its own go)

broker 1 as leader
  keeps     0 to 9 (as broker 2)
  keeps     10 to 14 (no other has)
  loses     10 to 12 of leader epoch 2, on broker 2 (3 offsets): committed, below the high watermark 13 of broker 2
  then      broker 2 truncates to 10 (10 to 12 of its own go, below its high watermark 13)

best: broker 2: it loses nothing that is known to be committed, but 5 offsets that may have been committed; broker 1 would lose 3 committed offsets
";
    assert_eq!((code, stdout.as_str()), (0, expected));
    assert_eq!(stderr, "no __cluster_metadata-0 is in these directories: who led, ISR and ELR are not known\n");
    assert_eq!(state_of(forked.root()), before, "nothing is written");
    for others in
        [&["one/orders-0", "two/orders-0"][..], &["-d", "one,two"], &["one/orders-0", "two", "--depth", "headers"]]
    {
        let again = run_in(forked.root(), &[&["simulate-failover", "assess"], others].concat());
        assert_eq!(again, (code, stdout.clone(), stderr.clone()), "{others:?}");
    }
}

#[test]
fn rows_tell_the_same() {
    let forked = Forked::new();
    let (code, rows) = forked.rows(&["one", "two"]);
    assert_eq!(code, 0);
    let kinds: Vec<&str> = rows.iter().map(|row| row["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["replica", "replica", "divergence", "candidate", "truncation", "candidate", "truncation", "best"]
    );
    let replica = of_type(&rows, "replica")[0];
    assert_eq!(
        (&replica["broker"], &replica["log_end_offset"], &replica["clean_shutdown"]),
        (&json!(1), &json!(15), &json!(false))
    );
    let branches = json!([
        {"replicas": [1], "epochs": [{"leader_epoch": 1, "first_offset": 10, "last_offset": 14}]},
        {"replicas": [2], "epochs": [{"leader_epoch": 2, "first_offset": 10, "last_offset": 12}]},
    ]);
    let divergence = of_type(&rows, "divergence")[0];
    assert_eq!((&divergence["offset"], &divergence["branches"]), (&json!(10), &branches));
    let candidate = of_type(&rows, "candidate")[0];
    assert_eq!(
        (&candidate["broker"], &candidate["loses_perhaps_committed"], &candidate["loses_committed"]),
        (&json!(2), &json!(5), &json!(0))
    );
    let lost: Vec<_> =
        candidate["lost"].as_array().unwrap().iter().map(|it| (&it["acks_all"], &it["instead"])).collect();
    assert_eq!(lost, [(&json!("open"), &json!({"leader_epoch": 2})), (&json!("open"), &json!("log_end"))]);
    let truncation = of_type(&rows, "truncation")[0];
    assert_eq!(
        (&truncation["leader"], &truncation["broker"], &truncation["truncates_to"]),
        (&json!(2), &json!(1), &json!(10))
    );
    let best = of_type(&rows, "best")[0];
    assert_eq!((&best["broker"], &best["reason"], &best["unclean"]), (&json!(2), &json!("committed"), &Value::Null));
}

#[test]
fn a_damaged_candidate_keeps_only_what_is_sound() {
    let forked = Forked::new();
    let log = forked.log("two");
    let mut bytes = fs::read(&log).unwrap();
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    fs::write(&log, bytes).unwrap();
    // What broker 2 knew to be committed is nowhere else: lost whoever leads.
    let (code, stdout, _) = run_in(forked.root(), &["simulate-failover", "assess", "one", "two"]);
    assert_eq!(code, 1, "{stdout}");
    assert!(stdout.contains("broker 2: damaged from offset 10: 00000000000000000000.log: position "), "{stdout}");
    assert!(stdout.contains("stored CRC") && stdout.contains("a broker that starts does not look there"), "{stdout}");
    let gone = "lost whoever leads: 10 to 12 of leader epoch 2, committed, as broker 2 knew; no replica here has them";
    assert!(stdout.contains(gone), "{stdout}");
    assert!(
        stdout.contains("\nbest: broker 1: it loses nothing that another replica has; broker 2 would lose 5 offsets"),
        "{stdout}"
    );
    // Headers alone do not show it.
    assert_eq!(forked.rows(&["one", "two", "--depth", "headers"]).0, 0);

    // Damage in the middle: what stands behind it is sound and out of reach.
    let forked = Forked::new();
    let log = forked.log("two");
    let mut bytes = fs::read(&log).unwrap();
    bytes[80] ^= 1;
    fs::write(&log, bytes).unwrap();
    let (code, rows) = forked.rows(&["one", "two"]);
    assert_eq!(code, 1);
    let damage = &of_type(&rows, "replica")[1]["damage"];
    assert_eq!(
        (&damage["broker"], &damage["sound_behind_to"], &damage["position"]),
        (&json!("keeps"), &json!(12), &json!(0))
    );
    assert_eq!(of_type(&rows, "gone")[0]["first_offset"], 10);
}

#[test]
fn the_partition_must_be_clear() {
    let forked = Forked::new();
    let root = forked.root();
    let assess = |args: &[&str]| run_in(root, &[&["simulate-failover", "assess"], args].concat());
    produce(&root.join("one"), "payments", 0..1, &["--create", "1"]);
    let (code, ..) = assess(&["one", "two"]);
    assert_eq!(code, 0, "only one has replicas in both");
    let (code, stdout, stderr) = assess(&["one", "two", "-t", "payments"]);
    assert_eq!((code, stdout.lines().next()), (0, Some("payments-0: 1 replica")), "{stderr}");
    assert!(
        stdout.ends_with("best: broker 1: it loses nothing that another replica has; there is no other\n"),
        "{stdout}"
    );
    copy(&root.join("one/payments-0"), &root.join("two/payments-0"));
    let (code, stdout, stderr) = assess(&["one", "two"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains("which partition is meant? there are orders-0, payments-0\n"), "{stderr}");
    let (code, stdout, _) = assess(&["one", "two", "-t", "re:.", "-q"]);
    assert_eq!((code, stdout.matches("\nbest: ").count()), (0, 2));
    let (code, _, stderr) = assess(&["one", "two", "-t", "order"]);
    assert!(code == 3 && stderr.contains("did you mean 'orders'?"), "{stderr}");
    let (code, _, stderr) = assess(&["one", "gone"]);
    assert!(code == 3 && stderr.contains("gone: "), "{stderr}");
    fs::write(root.join("two/orders-0/partition.metadata"), "version: 0\ntopic_id: 80knjNxASpejwi06IM2Z5g").unwrap();
    let (code, stdout, stderr) = assess(&["one", "two", "-t", "orders"]);
    assert_eq!((code, stdout.as_str()), (3, ""));
    assert!(stderr.contains("orders-0: these are of different topics of the same name"), "{stderr}");
    let (code, _, stderr) = run(&["simulate-failover", "assess", "x", "--era", "kip"]);
    assert!(code == 2 && stderr.contains("expected one of hw, epoch, epoch2, fenced, fetch, elr"), "{stderr}");
}
