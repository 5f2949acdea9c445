//! `logdir topics`: the plans, what is made, renamed and adopted, and every refusal with its hint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use logdir::storage::lock::DirLock;
use serde_json::Value;

use super::support::{copied, copy, fixture, logdir, run, state_of};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn rows(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn id_of(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("partition.metadata")).unwrap()
}

/// An empty log directory.
fn new_dir(root: &Path, name: &str) -> PathBuf {
    let dir = root.join(name);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("meta.properties"), "version=1\nnode.id=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\n").unwrap();
    dir
}

/// Records at these offsets, leader epochs and times, in partition 0 of a new topic.
fn made_log(root: &Path, topic: &str, records: &[(i64, i32, i64)]) -> PathBuf {
    let dir = root.join(format!("source-{topic}"));
    let lines: Vec<String> = records
        .iter()
        .map(|(offset, epoch, time)| {
            format!(
                "{{\"topic\":\"{topic}\",\"partition\":0,\"offset\":{offset},\"leader_epoch\":{epoch},\"timestamp_ms\":{time},\"value\":\"v{offset}\"}}\n"
            )
        })
        .collect();
    let args = ["produce", "-d", text(&dir), "--create", "1", "--input", "json", "--keep-offsets"];
    let output = logdir(&args).write_stdin(lines.concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir.join(format!("{topic}-0"))
}

#[test]
fn create_spreads_partitions_and_names_what_it_made() {
    let temp = tempfile::tempdir().unwrap();
    let (one, two) = (new_dir(temp.path(), "d1"), new_dir(temp.path(), "d2"));
    let dirs = format!("{},{}", text(&one), text(&two));
    let create = |args: &[&str]| run(&[&["topics", "create", "-d", &dirs], args].concat());
    let before = state_of(temp.path());
    let (code, stdout, stderr) = create(&["orders", "--partitions", "3", "-n"]);
    assert_eq!((code, stdout.lines().count()), (0, 4), "{stderr}");
    assert!(stderr.ends_with("nothing made; run again without -n\n"), "{stderr}");
    assert_eq!(state_of(temp.path()), before, "nothing is made");
    let (code, stdout, stderr) = create(&["orders", "--partitions", "3", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    let made = rows(&stdout);
    let dirs_made: Vec<_> = made[..3].iter().map(|row| row["dir"].as_str().unwrap()).collect();
    assert_eq!(dirs_made, [text(&one), text(&two), text(&one)], "each where the fewest are");
    assert_eq!(made[3]["type"], "summary");
    let live = |dir: &Path| {
        names(dir).into_iter().filter(|name| name.contains('-') && !name.contains("checkpoint")).collect::<Vec<_>>()
    };
    assert_eq!((live(&one), live(&two)), (vec!["orders-0".to_owned(), "orders-2".into()], vec!["orders-1".into()]));
    assert!(one.join(".kafka_cleanshutdown").is_file(), "a broker has nothing to recover");
    // The directory with fewer logs first.
    let (_, stdout, _) = create(&["next", "--partitions", "1", "--json"]);
    assert_eq!(rows(&stdout)[0]["dir"], text(&two));
    for (args, code, said) in [
        (&["orders", "--partitions", "3"][..], 4, "hint: --if-not-exists takes that for success"),
        (&["orders", "--partitions", "4"], 4, "has 3 partitions in"),
        (&["orders", "--partitions", "3", "--if-not-exists"], 0, "is there, with 3 partitions"),
        (&["a b", "--partitions", "1"], 2, "topic name contains ' '"),
        (&["none"], 2, "hint: say it with --partitions N"),
        (&["x", "--partitions", "0"], 2, "0 is not in 1.."),
        (&["x", "--partitions", "1", "--topic-id", "short"], 2, "expected 22 characters of base64"),
        (&["x", "--partitions", "1", "--config", "retention.ms=5"], 4, "--entity-name x --add-config retention.ms=5"),
        (&["__cluster_metadata", "--partitions", "1"], 4, "made by the controllers only"),
        (&["a.b", "--partitions", "1"], 0, "Due to limitations in metric names, topics with a period"),
        (&["a_b", "--partitions", "1"], 4, "differs from 'a.b'"),
        (&["x", "--partitions", "1", "--output", "kafka"], 2, "--output kafka is not offered"),
    ] {
        let (found, _, stderr) = create(args);
        assert_eq!(found, code, "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
    // Half made: the rest is made, under the same id.
    let id = id_of(&two.join("orders-1"));
    std::fs::remove_dir_all(one.join("orders-0")).unwrap();
    let (code, _, stderr) = create(&["orders", "--partitions", "3"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("made 1 more of topic 'orders' with 3 partitions"), "{stderr}");
    assert_eq!(id_of(&one.join("orders-0")), id);
    let held = DirLock::exclusive(&two).unwrap();
    let before = state_of(&one);
    let (code, _, stderr) = create(&["locked", "--partitions", "2"]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("is open in another logdir process"), "{stderr}");
    let partitions = |state: BTreeMap<PathBuf, _>| state.into_keys().collect::<Vec<_>>();
    assert_eq!(partitions(state_of(&one)), partitions(before), "nothing is made where not all can be");
    drop(held);
    let (code, _, stderr) = run(&["topics", "create", "x", "--partitions", "1", "-d", text(&temp.path().join("no"))]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("kafka-storage.sh format"), "{stderr}");
}

#[test]
fn create_takes_id_count_and_owner_from_the_clusters_metadata() {
    let (_temp, data) = copied("transactions/data");
    let id = id_of(&data.join("txn-a-1"));
    std::fs::remove_dir_all(data.join("txn-a-1")).unwrap();
    let create = |args: &[&str]| run(&[&["topics", "create", "-d", text(&data)], args].concat());
    let (code, _, stderr) = create(&["txn-a", "--partitions", "5"]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("has 3 partitions in") && stderr.contains("hint: say --partitions 3"), "{stderr}");
    let (code, _, stderr) = create(&["txn-a", "--topic-id", "4L6g3nShT-eMCtK--X86sw"]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("hint: leave --topic-id out"), "{stderr}");
    let (code, stdout, stderr) = create(&["txn-a", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(rows(&stdout).last().unwrap()["known_to_cluster"], true);
    assert_eq!(id_of(&data.join("txn-a-1")), id);
    assert!(!stderr.contains("stray"), "{stderr}");
    let (code, _, stderr) = create(&["other", "--partitions", "2"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("a broker renames its partitions -stray at its start"), "{stderr}");
    assert!(stderr.contains("logdir topics adopt other-0.*-stray --to LOG_DIR --execute"), "{stderr}");
    // Another node of the cluster: none of its partitions are assigned to it.
    let meta = data.join("meta.properties");
    let node = std::fs::read_to_string(&meta).unwrap().replace("node.id=1", "node.id=8");
    std::fs::write(&meta, node).unwrap();
    std::fs::remove_dir_all(data.join("txn-a-1")).unwrap();
    let (code, _, stderr) = create(&["txn-a"]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("has no partition on this node (8)"), "{stderr}");
    // A directory that is not named.
    let node = std::fs::read_to_string(&meta).unwrap().replace("node.id=8", "node.id=1");
    std::fs::write(&meta, node.replace("directory.id=y", "directory.id=z")).unwrap();
    let (code, _, stderr) = create(&["txn-a"]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("hint: name all log directories of the node, with -d or -F"), "{stderr}");
}

#[test]
fn produce_makes_a_topic_as_create_does() {
    let (_temp, data) = copied("transactions/data");
    let id = id_of(&data.join("txn-b-1"));
    std::fs::remove_dir_all(data.join("txn-b-1")).unwrap();
    let args = ["produce", "-d", text(&data), "-t", "txn-b", "--create", "2", "-p", "1"];
    let output = logdir(&args).write_stdin("x\n").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(id_of(&data.join("txn-b-1")), id, "the id the cluster uses");
}

#[test]
fn delete_plans_first_and_then_does_what_a_broker_does() {
    let (_temp, data) = copied("transactions/data");
    let delete = |args: &[&str]| run(&[&["topics", "delete", "-d", text(&data)], args].concat());
    let before = state_of(&data);
    let (code, stdout, stderr) = delete(&["txn-a"]);
    assert_eq!(code, 0, "{stderr}");
    let first = stdout.lines().nth(1).unwrap();
    assert!(first.starts_with("txn-a-0               rename    14.0 KiB  "), "{stdout}");
    assert!(stdout.contains("/recovery-point-offset-checkpoint: without txn-a-"), "{stdout}");
    assert!(stderr.starts_with("nothing deleted; run again with --execute\n"), "{stderr}");
    assert!(
        stderr.contains("warning: the cluster still knows topic 'txn-a': a broker makes its partitions anew"),
        "{stderr}"
    );
    assert!(stderr.contains("hint: delete it in the cluster too: kafka-topics.sh"), "{stderr}");
    assert_eq!(state_of(&data), before, "nothing is written, not even a lock file");
    let (code, stdout, stderr) = delete(&["txn-a", "-p", "0,2", "--execute", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    let renamed = rows(&stdout);
    for (row, partition) in renamed.iter().zip([0, 2]) {
        let to = row["renamed_to"].as_str().unwrap();
        let id = to.strip_prefix(&format!("txn-a-{partition}.")).unwrap().strip_suffix("-delete").unwrap();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()), "{to}");
        assert!(data.join(to).join("00000000000000000000.log").is_file(), "{to}");
        assert!(!data.join(format!("txn-a-{partition}")).exists());
    }
    assert!(data.join("txn-a-1").is_dir());
    for file in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint"] {
        let text = std::fs::read_to_string(data.join(file)).unwrap();
        assert!(!text.contains("txn-a 0 ") && !text.contains("txn-a 2 ") && text.contains("txn-a 1 "), "{text}");
    }
    let (code, _, _) = delete(&["-t", "re:^(txn|idem|__)", "--execute"]);
    assert_eq!(code, 0);
    assert!(data.join("__consumer_offsets-0").is_dir(), "a pattern passes over internal topics");
    let held = DirLock::exclusive(&data).unwrap();
    for (args, code, said) in [
        (&["mixed", "--execute"][..], 4, "hint: stop it first"),
        (&["mixed"], 0, "warning: "),
        (&["mixd"], 3, "did you mean 'mixed'?"),
        (&["txn-a"], 3, "topic 'txn-a' not found"),
        (&["mixed", "-p", "7"], 3, "hint: leave -p out"),
        (&["__consumer_offsets"], 4, "hint: if that is meant: --force"),
        (&["__cluster_metadata", "--force"], 4, "without it the cluster is gone"),
        (&["-t", "re:^__"], 3, "but for --force"),
        (&[], 2, "required"),
    ] {
        let (found, _, stderr) = delete(args);
        assert_eq!(found, code, "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
    drop(held);
    // What an interrupted run left: entries without a directory.
    std::fs::rename(data.join("mixed-0"), data.join("mixed-0.0123456789abcdef0123456789abcdef-delete")).unwrap();
    let (code, stdout, stderr) = delete(&["mixed", "--execute"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("without mixed-0"), "{stdout}");
    std::fs::write(data.join("recovery-point-offset-checkpoint"), "0\n9\nx").unwrap();
    let (code, _, stderr) = delete(&["__consumer_offsets", "--force", "--execute"]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("logdir recover -d DIR --mode salvage"), "{stderr}");
    assert!(data.join("__consumer_offsets-0").is_dir());
}

/// The target of adoptions: the fixture's node, whose partition `txn-a-1` is as its broker made it, empty.
fn target() -> (tempfile::TempDir, PathBuf) {
    let (temp, data) = copied("transactions/data");
    std::fs::remove_dir_all(data.join("txn-a-1")).unwrap();
    let (code, _, stderr) = run(&["topics", "create", "txn-a", "-d", text(&data)]);
    assert_eq!(code, 0, "{stderr}");
    std::fs::write(data.join(".kafka_cleanshutdown"), "{\"version\":0,\"brokerEpoch\":5}").unwrap();
    (temp, data)
}

#[test]
fn adopt_plans_first_then_takes_the_place_of_an_empty_partition() {
    let (_temp, data) = target();
    let from = fixture("transactions/data/txn-a-1");
    let (live, id) = (data.join("txn-a-1"), id_of(&data.join("txn-a-0")));
    let adopt = ["topics", "adopt", text(&from), "--to", text(&data)];
    let before = state_of(&data);
    let (code, stdout, stderr) = run(&adopt);
    assert_eq!(code, 0, "{stderr}");
    let columns: Vec<_> = stdout.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(columns, ["PARTITION", "ACTION", "LOG_START", "LOG_END", "SIZE", "TOPIC_ID", "DETAIL"]);
    assert!(stdout.contains("; takes the place of an empty partition\n"), "{stdout}");
    assert!(
        stderr.contains("1 of 2 segments are beyond retention.ms of topic 'txn-a' (604800000, DEFAULT_CONFIG)"),
        "{stderr}"
    );
    assert!(stderr.ends_with("nothing adopted; run again with --execute\n"), "{stderr}");
    assert_eq!(state_of(&data), before, "nothing is written");
    let (code, _, stderr) = run(&[&adopt[..], &["--execute"]].concat());
    assert_eq!(code, 0, "{stderr}");
    for isolation in ["read_uncommitted", "read_committed"] {
        let records = |dir: &Path| run(&["consume", text(dir), "--json", "--isolation-level", isolation]).1;
        assert_eq!(records(&live), records(&from), "{isolation}");
        assert!(records(&live).lines().count() > 50);
    }
    for log in ["00000000000000000000.log", "00000000000000000002.log", "00000000000000000002.txnindex"] {
        assert_eq!(std::fs::read(live.join(log)).unwrap(), std::fs::read(from.join(log)).unwrap(), "{log}");
    }
    assert_eq!(id_of(&live), id);
    // Nothing of the producers, wherever a start replays from.
    let snapshots: Vec<_> = names(&live).into_iter().filter(|name| name.ends_with(".snapshot")).collect();
    assert_eq!(snapshots, ["00000000000000000117.snapshot"]);
    assert_eq!(std::fs::read(live.join(&snapshots[0])).unwrap(), [0, 1, 0x48, 0x67, 0x4b, 0xc7, 0, 0, 0, 0]);
    assert_eq!(std::fs::read(live.join("00000000000000000117.log")).unwrap(), b"");
    for file in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint"] {
        let text = std::fs::read_to_string(data.join(file)).unwrap();
        assert!(text.contains("\ntxn-a 1 117\n"), "{file}: {text}");
    }
    assert!(data.join(".kafka_cleanshutdown").is_file(), "what a clean start trusts is true");
    assert!(!names(&data).iter().any(|name| name.ends_with("-delete") || name.ends_with("-stray")));
    let (code, stdout, _) = run(&["verify", text(&live)]);
    assert_eq!(code, 0, "{stdout}");
    // Again: nothing to do, whatever was appended since.
    let written =
        logdir(&["produce", "-d", text(&data), "-t", "txn-a", "-p", "1"]).write_stdin("new\n").output().unwrap();
    assert!(written.status.success());
    let before = state_of(&live);
    let (code, stdout, stderr) = run(&[&adopt[..], &["--execute", "--json"]].concat());
    assert_eq!(code, 0, "{stderr}");
    assert_eq!((&rows(&stdout)[0]["action"], &rows(&stdout)[0]["existing"]), (&"none".into(), &"adopted".into()));
    assert_eq!(state_of(&live), before);
}

#[test]
fn adopt_lowers_leader_epochs_that_the_cluster_has_not_come_to() {
    let (temp, data) = target();
    let now = jiff::Timestamp::now().as_millisecond();
    let from = made_log(temp.path(), "old", &[(0, 0, now), (30, 3, now), (90, 9, now)]);
    let adopt = ["topics", "adopt", text(&from), "--to", text(&data), "--as", "txn-a-1"];
    let (code, stdout, stderr) = run(&[&adopt[..], &["--execute", "--json"]].concat());
    assert_eq!(code, 0, "{stderr}");
    let row = &rows(&stdout)[0];
    let ours = row["leader_epoch"].as_i64().unwrap();
    assert!((0..9).contains(&ours), "{row}");
    assert_eq!((&row["highest_epoch"], &row["log_end_offset"]), (&9.into(), &91.into()));
    assert_eq!(row["batches_lowered"], i64::from(ours < 3) + 1);
    let epochs = |dir: &Path| run(&["consume", text(dir), "-f", "%o %e %s\n"]).1;
    let lowered = |epoch: i64| epoch.min(ours);
    assert_eq!(epochs(&data.join("txn-a-1")), format!("0 0 v0\n30 {} v30\n90 {} v90\n", lowered(3), lowered(9)));
    assert_eq!(epochs(&from), "0 0 v0\n30 3 v30\n90 9 v90\n", "the source is as it was");
    let file = std::fs::read_to_string(data.join("txn-a-1/leader-epoch-checkpoint")).unwrap();
    let expected = if ours > 3 { format!("0\n3\n0 0\n3 30\n{ours} 90\n") } else { format!("0\n2\n0 0\n{ours} 30\n") };
    assert!(ours > 0, "a cluster that was restarted has come to more than 0");
    assert_eq!(file, expected);
}

#[test]
fn adopt_ends_open_transactions_or_leaves_them_when_told_to() {
    let from = fixture("transactions/data/txn-a-0");
    let committed = |dir: &Path| run(&["consume", text(dir), "-f", "%o\n", "--isolation-level", "read_committed"]).1;
    let (_temp, data) = target();
    let adopt = ["topics", "adopt", text(&from), "--to", text(&data), "--as", "txn-a-1", "--execute"];
    let before = state_of(&data);
    let (code, _, stderr) = run(&adopt);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("1 transaction is open from offset 97 on") && stderr.contains("--abort-open"), "{stderr}");
    assert_eq!(state_of(&data), before, "nothing is written");
    let (code, stdout, stderr) = run(&[&adopt[..], &["--abort-open", "--json"]].concat());
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(rows(&stdout)[0]["abort_markers"], 1);
    let live = data.join("txn-a-1");
    let (theirs, ours) = (committed(&from), committed(&live));
    assert!(ours.starts_with(&theirs), "what was committed still is");
    let (_, controls, _) = run(&["dump-segment", text(&live), "--records", "--json"]);
    assert!(rows(&controls).iter().any(|row| row.to_string().contains("abort")), "the marker is there");
    let (code, stdout, _) = run(&["verify", text(&live)]);
    assert_eq!(code, 0, "{stdout}");

    let (_temp, data) = target();
    let adopt = ["topics", "adopt", text(&from), "--to", text(&data), "--as", "txn-a-1", "--execute", "--keep-open"];
    let (code, _, stderr) = run(&adopt);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(committed(&data.join("txn-a-1")), theirs, "it still ends before the open transaction");
    let (_, stdout, _) = run(&["verify", "--forecast", text(&data), "--json"]);
    let forecast = rows(&stdout);
    let row = forecast.iter().find(|row| row["topic"] == "txn-a" && row["partition"] == 1).unwrap();
    assert_eq!((&row["fate"], &row["bytes_lost"]), (&"serve".into(), &0.into()), "{row}");
}

#[test]
fn adopt_moves_a_directory_that_a_broker_set_aside() {
    let (_temp, data) = target();
    let stray = data.join("txn-a-1.0123456789abcdef0123456789abcdef-stray");
    super::support::copy(&fixture("transactions/data/txn-a-1"), &stray);
    std::fs::write(stray.join("partition.metadata"), "version: 0\ntopic_id: yW0AUWagjn626Lt0gKLEwg").unwrap();
    let (code, stdout, stderr) = run(&["topics", "adopt", text(&stray), "--to", text(&data), "--move", "--execute"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("  move  "), "{stdout}");
    assert_eq!(id_of(&data.join("txn-a-1")), id_of(&data.join("txn-a-0")));
    assert!(!names(&data).iter().any(|name| name.contains('.') && name.starts_with("txn-a-1")), "{:?}", names(&data));
    let count = run(&["consume", text(&data.join("txn-a-1")), "--json"]).1.lines().count();
    assert_eq!(count, run(&["consume", text(&fixture("transactions/data/txn-a-1")), "--json"]).1.lines().count());
    // From another log directory: its checkpoints lose the entries.
    let (_temp, source) = copied("transactions/data");
    let from = source.join("txn-b-1");
    let args =
        ["topics", "adopt", text(&from), "--to", text(&data), "--as", "txn-a-1", "--replace", "--move", "--execute"];
    let (code, _, stderr) = run(&args);
    assert_eq!(code, 0, "{stderr}");
    assert!(!from.exists());
    let points = std::fs::read_to_string(source.join("recovery-point-offset-checkpoint")).unwrap();
    assert!(!points.contains("txn-b 1 ") && points.contains("txn-b 0 "), "{points}");
    let aside =
        names(&data).into_iter().filter(|name| name.starts_with("txn-a-1.") && name.ends_with("-delete")).count();
    assert_eq!(aside, 1, "the records that were there are put aside, for a broker to remove");
}

#[test]
fn adopt_refuses_what_cannot_be_right_and_says_what_to_do() {
    let (temp, data) = target();
    let sound = fixture("transactions/data/txn-a-1");
    let plain = new_dir(temp.path(), "plain");
    let damaged = fixture("damaged/data/v-truncated-mid-segment-0");
    let (_keep, other_node) = copied("transactions/data");
    let meta = |dir: &Path, from: &str, to: &str| {
        let path = dir.join("meta.properties");
        let text = std::fs::read_to_string(&path).unwrap().replace(from, to);
        std::fs::write(path, text).unwrap();
    };
    meta(&other_node, "node.id=1", "node.id=8");
    let (_keep, other_dir) = copied("transactions/data");
    meta(&other_dir, "directory.id=y", "directory.id=z");
    let id = "4L6g3nShT-eMCtK--X86sw";
    let (s, d, own) = (text(&sound), text(&data), data.join("txn-a-0"));
    let cases: &[(&[&str], i32, &str, &str)] = &[
        (
            &[s, "--to", d, "--as", "nope-0"],
            4,
            "topic 'nope' is not known to the cluster",
            "--create --topic nope --partitions 1",
        ),
        (
            &[s, "--to", d, "--as", "txn-a-9"],
            4,
            "topic 'txn-a' has 3 partitions",
            "--alter --topic txn-a --partitions 10",
        ),
        (
            &[s, "--to", d, "--as", "mixed-0"],
            4,
            "holds records of its own",
            "--replace puts it aside under a -delete name",
        ),
        (&[s, "--to", d, "--topic-id", id], 4, "has the id", "leave --topic-id out"),
        (&[s, "--to", d, "--as", "__consumer_offsets-0"], 4, "internal to its cluster", "--force"),
        (&[s, "--to", d, "--as", "__cluster_metadata-0"], 4, "internal to its cluster", "moves into no other cluster"),
        (&[text(&damaged), "--to", d, "--as", "txn-a-1"], 4, "would go", "--mode salvage --to DIR --execute"),
        (&[s, "--to", text(&other_node)], 4, "belongs to the nodes [1], this one is 8", "on that node"),
        (&[s, "--to", text(&other_dir)], 4, "is assigned to the log directory with the id", "--to"),
        (&[s, "--to", text(&plain)], 4, "the id of topic 'txn-a' is not known", "--topic-id"),
        (&[s, "--to", text(temp.path())], 3, "no log directory: it has no meta.properties", "kafka-storage.sh format"),
        (&[s, "--to", "no/such/place"], 3, "there is no such log directory", "name the log directory"),
        (&["no/such/dir", "--to", d], 3, "no/such/dir", ""),
        (&[text(temp.path()), "--to", d], 3, "does not say which partition it holds", "--as TOPIC-PARTITION"),
        (&[text(temp.path()), "--to", d, "--as", "txn-a-1"], 3, "holds no segment's log", ".log files"),
        (&[text(&own), "--to", d], 4, "is that partition already", "another cluster"),
        (&[s, text(&damaged), "--to", d, "--as", "txn-a-1"], 2, "names one partition, and there are 2", "--as txn-a"),
        (&[s, s, "--to", d], 2, "becomes txn-a-1 too", "one by one"),
        (&[s, "--to", d, "--abort-open", "--keep-open"], 2, "cannot be used with", ""),
        (&["--to", d], 2, "required", ""),
    ];
    let before = state_of(&data);
    for (args, code, said, hint) in cases {
        for execute in [&[][..], &["--execute"]] {
            let (found, _, stderr) = run(&[&["topics", "adopt"], *args, execute].concat());
            assert_eq!(found, *code, "{args:?}: {stderr}");
            assert!(stderr.contains(said), "{args:?}: {stderr}");
            let hinted = stderr.lines().any(|line| line.starts_with("hint: ") && line.contains(hint));
            assert!(hint.is_empty() || hinted, "{args:?}: {stderr}");
        }
    }
    // One of several: none is adopted.
    let (code, _, stderr) = run(&["topics", "adopt", s, text(&damaged), "--to", d, "--execute"]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.ends_with("nothing adopted\n"), "{stderr}");
    let held = DirLock::exclusive(&data).unwrap();
    let (code, _, stderr) = run(&["topics", "adopt", s, "--to", d, "--execute"]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("hint: stop it first"), "{stderr}");
    let (code, ..) = run(&["topics", "adopt", s, "--to", d]);
    assert_eq!(code, 0, "a plan is shown meanwhile");
    drop(held);
    let (_keep, source) = copied("transactions/data");
    let held = DirLock::exclusive(&source).unwrap();
    let (code, _, stderr) = run(&["topics", "adopt", text(&source.join("txn-a-1")), "--to", d]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("its logs change while they are read"), "{stderr}");
    drop(held);
    // In another directory of the node.
    let second = new_dir(temp.path(), "second");
    std::fs::create_dir(second.join("txn-a-1")).unwrap();
    // Another cluster's: what is in it says nothing of this node.
    let (code, _, stderr) = run(&["topics", "adopt", s, "--to", d, "-d", text(&second)]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("second: belongs to the cluster 4L6g3nShT-eMCtK--X86sw, not "), "{stderr}");
    assert!(stderr.contains("hint: with -d or -F name the log directories of the node"), "{stderr}");
    std::fs::copy(data.join("meta.properties"), second.join("meta.properties")).unwrap();
    meta(&second, "node.id=1", "node.id=8");
    let (code, _, stderr) = run(&["topics", "adopt", s, "--to", d, "-d", text(&second)]);
    assert!(code == 0 && stderr.contains("belongs to node 8, not 1"), "{code} {stderr}");
    meta(&second, "node.id=8", "node.id=1");
    let (code, _, stderr) = run(&["topics", "adopt", s, "--to", d, "-d", text(&second)]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("a broker does not start with two"), "{stderr}");
    let ignored = |path: &Path| path.ends_with(".lock");
    let unchanged = |state: BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)>| {
        state.into_iter().filter(|(path, _)| !ignored(path)).collect::<Vec<_>>()
    };
    assert_eq!(unchanged(state_of(&data)), unchanged(before), "nothing was written by any of them");
}

#[test]
fn a_name_that_is_no_topic_is_refused_before_anything_is_read() {
    let (_temp, data) = copied("transactions/data");
    let from = fixture("transactions/data/txn-a-0");
    for name in ["../evil", "a/b", "..", "a b", "a b-1", ""] {
        let args =
            ["topics", "adopt", from.to_str().unwrap(), "--to", data.to_str().unwrap(), "--as", name, "--execute"];
        let (code, _, stderr) = run(&args);
        assert_eq!(code, 2, "{name:?}: {stderr}");
    }
}

#[test]
fn a_move_does_not_remove_what_it_does_not_take_along() {
    let temp = tempfile::tempdir().unwrap();
    let (_target, data) = copied("transactions/data");
    for left in ["00000000000000000500.log.deleted", ".logdir-kept", "notes.txt"] {
        let source = temp.path().join("txn-a-0");
        copy(&fixture("transactions/data/txn-a-0"), &source);
        match left.starts_with(".logdir") {
            true => std::fs::create_dir(source.join(left)).unwrap(),
            false => std::fs::write(source.join(left), "records").unwrap(),
        }
        let args = ["topics", "adopt", source.to_str().unwrap(), "--to", data.to_str().unwrap(), "--move", "--execute"];
        let (code, _, stderr) = run(&args);
        assert!(code == 4 && stderr.contains("leave --move out") && stderr.contains(left), "{left}: {code} {stderr}");
        assert!(source.join(left).exists());
        std::fs::remove_dir_all(&source).unwrap();
    }
}

#[test]
fn adopt_tells_all_that_an_option_is_needed_for_at_once() {
    let (_temp, data) = target();
    let from = fixture("transactions/data/txn-a-0");
    let adopt = ["topics", "adopt", text(&from), "--to", text(&data), "--as", "__consumer_offsets-1"];
    let reasons = ["is internal to its cluster", "holds records of its own", "1 transaction is open from offset 97 on"];
    // Options, and which reasons are left to refuse it.
    let cases: [(&[&str], &[usize]); 5] = [
        (&[], &[0, 1, 2]),
        (&["--force"], &[1, 2]),
        (&["--replace"], &[0, 2]),
        (&["--abort-open", "--force"], &[1]),
        (&["--force", "--replace"], &[2]),
    ];
    for (options, left) in cases {
        let (code, _, stderr) = run(&[&adopt[..], options].concat());
        assert_eq!(code, 4, "{options:?}: {stderr}");
        for (at, reason) in reasons.iter().enumerate() {
            assert_eq!(stderr.contains(reason), left.contains(&at), "{options:?}: {reason}: {stderr}");
        }
        for (at, option) in ["--force", "--replace", "--abort-open"].iter().enumerate() {
            let hint = stderr.lines().find(|line| line.starts_with("hint: ")).unwrap();
            assert_eq!(hint.contains(option), left.contains(&at), "{options:?}: {hint}");
        }
    }
    let (code, _, stderr) = run(&[&adopt[..], &["--force", "--replace", "--keep-open"]].concat());
    assert_eq!(code, 0, "{stderr}");
    for reason in reasons {
        assert!(
            stderr.lines().any(|line| line.starts_with("warning: ") && line.contains(reason)),
            "{reason}: {stderr}"
        );
    }
}

#[test]
fn adopt_says_what_becomes_of_the_records() {
    let (temp, data) = target();
    let now = jiff::Timestamp::now().as_millisecond();
    let from = made_log(temp.path(), "old", &[(0, 0, now), (30, 1, now), (90, 2, now)]);
    let properties = temp.path().join("server.properties");
    let said = |from: &Path, settings: &str, partition: &str, options: &[&str]| {
        std::fs::write(&properties, format!("log.dirs={}\n{settings}", data.display())).unwrap();
        let args = ["topics", "adopt", text(from), "--to", text(&data), "--as", partition, "-F", text(&properties)];
        let (code, _, stderr) = run(&[&args[..], options].concat());
        assert_eq!(code, 0, "{stderr}");
        stderr
    };
    let stderr = said(&from, "", "txn-a-1", &[]);
    assert!(stderr.contains("offsets 1 to 29 are in no batch (and 1 more): compaction"), "{stderr}");
    assert!(!stderr.contains("retention") && !stderr.contains("compacted"), "{stderr}");
    // Settings of the broker: its file, a unit of its own.
    let aged = made_log(temp.path(), "aged", &[(0, 0, now - 7_200_000)]);
    let stderr = said(&aged, "log.retention.minutes=60\n", "txn-a-1", &[]);
    assert!(
        stderr.contains("1 of 1 segments are beyond retention.ms of topic 'txn-a' (3600000, STATIC_BROKER_CONFIG)")
    );
    // The last segment goes only where what is left without it is not below the limit.
    let two = fixture("transactions/data/txn-a-1");
    let stderr = said(&two, "log.retention.bytes=10\n", "txn-a-1", &[]);
    assert!(stderr.contains("1 of 2 segments are beyond retention.bytes of topic 'txn-a' (10, STATIC_BROKER_CONFIG)"));
    assert!(stderr.contains("--add-config retention.bytes=-1"), "{stderr}");
    assert!(!said(&two, "log.retention.bytes=1000000\n", "txn-a-1", &[]).contains("retention.bytes"));
    // A topic that is compacted, in the cluster's metadata or by the broker's file.
    let keyless = "the record at offset 0 has no key, and topic";
    assert!(said(&from, "", "__consumer_offsets-0", &["--force", "--replace"]).contains(keyless));
    assert!(said(&from, "log.cleanup.policy=compact\n", "txn-a-1", &[]).contains(keyless));
    // What a broker cut off and did not remove.
    std::fs::write(from.join("00000000000000000091.log.deleted"), "x").unwrap();
    std::fs::write(from.join("00000000000000000000.log.deleted"), "below its end").unwrap();
    let stderr = said(&from, "", "txn-a-1", &[]);
    assert!(stderr.contains("1 segment from offset 91 on, which a broker had cut off (.log.deleted), is not adopted"));
    // A partition that its retention has emptied.
    let live = data.join("txn-a-1");
    for kind in ["log", "index", "timeindex"] {
        let name = |base: i64| live.join(format!("{base:020}.{kind}"));
        std::fs::rename(name(0), name(5000)).unwrap();
    }
    let stderr = said(&from, "", "txn-a-1", &[]);
    assert!(stderr.contains("the partition there has come to offset 5000, the adopted log ends at 91"), "{stderr}");
}

#[test]
fn adopt_takes_what_a_broker_writes_and_leaves_the_rest() {
    let (temp, data) = target();
    let source = temp.path().join("txn-a-1");
    copy(&fixture("transactions/data/txn-a-1"), &source);
    for name in
        ["notes.txt", ".logdir-moved", "leader-epoch-checkpoint.tmp", "00000000000000000000-0000000000.checkpoint"]
    {
        std::fs::write(source.join(name), "x").unwrap();
    }
    let args = ["topics", "adopt", text(&source), "--to", text(&data), "--execute"];
    std::fs::write(source.join("before.snapshot"), "x").unwrap();
    let (code, _, stderr) = run(&args);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("before.snapshot: a segment file needs a number for a name"), "{stderr}");
    assert!(stderr.contains("hint: no broker gives a file such a name: move it out"), "{stderr}");
    std::fs::remove_file(source.join("before.snapshot")).unwrap();
    let (code, _, stderr) = run(&args);
    assert_eq!(code, 0, "{stderr}");
    let made = names(&data.join("txn-a-1"));
    let known = |name: &String| {
        ["leader-epoch-checkpoint", "partition.metadata"].contains(&&**name) || name.starts_with("0000000000")
    };
    assert!(made.iter().all(known) && !made.iter().any(|name| name.ends_with(".checkpoint")), "{made:?}");
}

#[test]
fn what_stands_in_the_way_of_a_swap_is_told_before_anything_is_copied() {
    let from = fixture("transactions/data/txn-a-1");
    let checkpoint = "log-start-offset-checkpoint";
    for (what, said, hint) in [
        ("kept", "holds the originals of an earlier run", "--commit --execute"),
        ("link", "is a symbolic link", "give the directory itself that name"),
        ("checkpoint", "expected version 0, found 1", "logdir recover -d DIR --mode salvage"),
    ] {
        let (temp, data) = target();
        let live = data.join("txn-a-1");
        match what {
            "kept" => std::fs::create_dir(live.join(".logdir-kept")).unwrap(),
            "link" => {
                let place = temp.path().join("elsewhere");
                std::fs::rename(&live, &place).unwrap();
                std::os::unix::fs::symlink(&place, &live).unwrap();
            }
            _ => std::fs::write(data.join(checkpoint), "1\n1\ntxn-a 1 500\n").unwrap(),
        }
        let before = names(&data);
        for execute in [&[][..], &["--execute"]] {
            let (code, _, stderr) = run(&[&["topics", "adopt", text(&from), "--to", text(&data)], execute].concat());
            assert!(code == 4 || (code == 3 && what == "checkpoint"), "{what}: {code} {stderr}");
            assert!(stderr.contains(said) && stderr.contains(hint), "{what}: {stderr}");
        }
        let after: Vec<_> = names(&data).into_iter().filter(|name| name != ".lock" || before.contains(name)).collect();
        assert_eq!(after, before, "{what}");
        if what == "checkpoint" {
            assert_eq!(std::fs::read_to_string(data.join(checkpoint)).unwrap(), "1\n1\ntxn-a 1 500\n");
        }
    }
}

#[test]
fn a_topic_made_again_does_not_start_where_the_deleted_one_did() {
    let temp = tempfile::tempdir().unwrap();
    let dir = new_dir(temp.path(), "data");
    let create = ["topics", "create", "orders", "--partitions", "1", "-d", text(&dir)];
    // As a deletion that was killed leaves it: the directory has its other name, its entries are there.
    for name in ["log-start-offset-checkpoint", "recovery-point-offset-checkpoint", "cleaner-offset-checkpoint"] {
        std::fs::write(dir.join(name), "0\n2\norders 0 500\nother 3 7\n").unwrap();
    }
    let (code, _, stderr) = run(&create);
    assert_eq!(code, 0, "{stderr}");
    for name in ["log-start-offset-checkpoint", "recovery-point-offset-checkpoint", "cleaner-offset-checkpoint"] {
        assert_eq!(std::fs::read_to_string(dir.join(name)).unwrap(), "0\n1\nother 3 7\n", "{name}");
    }
}

#[test]
fn what_has_a_segments_name_and_is_no_file_is_not_passed_over() {
    let (_source, from) = copied("codecs/data");
    let (from, last) = (from.join("c-none-0"), "00000000000000000321.log");
    for kind in ["link", "directory"] {
        let (_temp, data) = target();
        std::fs::remove_dir_all(from.join(last)).or_else(|_| std::fs::remove_file(from.join(last))).unwrap();
        match kind {
            "link" => std::os::unix::fs::symlink("/nowhere/at/all", from.join(last)).unwrap(),
            _ => std::fs::create_dir(from.join(last)).unwrap(),
        }
        let before = state_of(&data);
        let args = ["topics", "adopt", text(&from), "--to", text(&data), "--as", "txn-a-1", "--replace", "--execute"];
        let (code, _, stderr) = run(&args);
        assert!(code == 4 && stderr.contains("not a regular file"), "{kind}: {code} {stderr}");
        let changed: Vec<_> = state_of(&data).into_iter().filter(|(path, _)| !path.ends_with(".lock")).collect();
        assert_eq!(changed, before.into_iter().filter(|(path, _)| !path.ends_with(".lock")).collect::<Vec<_>>());
    }
    // Nor does a producer go on at a lower offset.
    let dir = from.parent().unwrap();
    let output =
        logdir(&["produce", "-d", text(dir), "-t", "c-none", "-p", "0"]).write_stdin("hello\n").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(4) && stderr.contains("not a regular file"), "{stderr}");
}

#[test]
fn an_empty_source_takes_the_place_of_no_records_and_set_aside_segments_are_records() {
    let (_source, from) = copied("codecs/data");
    let (_temp, data) = target();
    let adopt = |source: &str| {
        let source = from.join(source);
        let args = ["topics", "adopt", text(&source), "--to", text(&data), "--as", "txn-a-1", "--execute"];
        let (code, _, stderr) = run(&args);
        let (forced, _, said) = run(&[&args[..], &["--replace"]].concat());
        (code, stderr, forced, said)
    };
    // What a broker cut off waits there for a minute more: nobody said that it may go.
    let live = data.join("txn-a-1");
    let set_aside = live.join("00000000000000000000.log.deleted");
    std::fs::copy(from.join("c-none-0/00000000000000000000.log"), &set_aside).unwrap();
    let (code, stderr, forced, said) = adopt("c-none-0");
    assert!(code == 4 && stderr.contains("--replace"), "{code} {stderr}");
    assert_eq!(forced, 0, "{said}");
    let condemned = names(&data).into_iter().find(|name| name.starts_with("txn-a-1.") && name.ends_with("-delete"));
    assert!(data.join(condemned.unwrap()).join("00000000000000000000.log.deleted").exists());
    let before = names(&live);
    let (code, stderr, forced, said) = adopt("empty-topic-0");
    assert!(code == 4 && stderr.contains("holds no record"), "{code} {stderr}");
    assert!(forced == 4 && said.contains("holds no record"), "{forced} {said}");
    assert_eq!(names(&live), before);
}

#[test]
fn what_was_adopted_and_has_moved_on_is_not_replaced_by_its_source() {
    let (_source, from) = copied("codecs/data");
    let (_temp, data) = target();
    let from = from.join("c-none-0");
    let args = ["topics", "adopt", text(&from), "--to", text(&data), "--as", "txn-a-1", "--replace", "--execute"];
    let (code, _, stderr) = run(&args);
    assert_eq!(code, 0, "{stderr}");
    // As retention does it.
    for entry in std::fs::read_dir(data.join("txn-a-1")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("00000000000000000000.") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let before = names(&data.join("txn-a-1"));
    let (code, _, stderr) = run(&args);
    assert!(code == 4 && stderr.contains("was adopted from there before"), "{code} {stderr}");
    assert_eq!(names(&data.join("txn-a-1")), before);
}

#[test]
fn directories_of_two_nodes_get_no_topic_together() {
    let temp = tempfile::tempdir().unwrap();
    let (one, two) = (new_dir(temp.path(), "d1"), new_dir(temp.path(), "d2"));
    std::fs::write(two.join("meta.properties"), "version=1\nnode.id=2\ncluster.id=4L6g3nShT-eMCtK--X86sw\n").unwrap();
    let dirs = format!("{},{}", text(&one), text(&two));
    let (code, _, stderr) = run(&["topics", "create", "orders", "--partitions", "3", "-d", &dirs]);
    assert!(code == 4 && stderr.contains("belongs to node 2, not 1"), "{code} {stderr}");
    assert!(!one.join("orders-0").exists() && !two.join("orders-0").exists());
    let (code, _, stderr) = run(&["topics", "create", "orders", "--partitions", "2147483647", "-n", "-d", text(&one)]);
    assert!(code == 2 && stderr.contains("1000000"), "{code} {stderr}");
}

#[test]
fn a_damaged_metadata_log_is_named_beside_what_it_still_tells() {
    let (_temp, data) = copied("codecs/data");
    let log = data.join("__cluster_metadata-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[346] ^= 0xff;
    std::fs::write(&log, bytes).unwrap();
    for verb in ["list", "describe"] {
        let (code, _, stderr) = run(&["topics", verb, "-d", text(&data)]);
        assert!(code == 1 && stderr.contains("__cluster_metadata-0"), "{verb}: {code} {stderr}");
    }
}

#[test]
fn what_the_superuser_makes_belongs_to_whom_the_directory_belongs() {
    use std::os::unix::fs::{MetadataExt, chown};
    let temp = tempfile::tempdir().unwrap();
    let dir = new_dir(temp.path(), "data");
    if std::fs::metadata(&dir).unwrap().uid() != 0 || chown(&dir, Some(65534), Some(65534)).is_err() {
        eprintln!("skipped: only the superuser makes files for others");
        return;
    }
    chown(dir.join("meta.properties"), Some(65534), Some(65534)).unwrap();
    let (code, _, stderr) = run(&["topics", "create", "orders", "--partitions", "2", "-d", text(&dir)]);
    assert_eq!(code, 0, "{stderr}");
    let output = logdir(&["produce", "-d", text(&dir), "-t", "orders"]).write_stdin("hello\n").output().unwrap();
    assert!(output.status.success());
    let mut left = vec![dir];
    while let Some(path) = left.pop() {
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (65534, 65534), "{}", path.display());
        if metadata.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}
