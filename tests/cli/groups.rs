//! `logdir groups`: what a person and a script see.

use std::path::Path;

use logdir::batch::builder::{BatchBuf, BatchBuilder, BatchSpec, NewRecord};
use logdir::batch::compression::Compressor;
use logdir::partitioner::{PartitionCount, partition_for_id};
use logdir::schema::coordinator::group::{ClassicGroup, ClassicMember, CommittedOffset};
use logdir::storage::writer::{AppendSession, Durability, LogConfig, SessionOptions};
use logdir::types::{LeaderEpoch, Offset, ProducerId, TopicPartition, Uuid};
use serde_json::Value;

use super::support::{copied, run, run_in, state_of};

/// A directory without a metadata log, with a topic of two partitions and three partitions of `__consumer_offsets`.
fn made() -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let input = temp.path().join("records");
    std::fs::write(&input, (0..40).map(|number| format!("k{number}:v\n")).collect::<String>()).unwrap();
    let (code, _, stderr) = run_in(
        temp.path(),
        &["produce", "-d", "data", "-t", "orders", "--create", "2", "-K", ":", "-l", input.to_str().unwrap()],
    );
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) =
        run_in(temp.path(), &["topics", "create", "__consumer_offsets", "--partitions", "3", "-d", "data"]);
    assert_eq!(code, 0, "{stderr}");
    temp
}

fn groups(dir: &Path, args: &[&str]) -> (i32, String, String) {
    run_in(dir, &[&["groups"][..], args, &["-d", "data"]].concat())
}

fn rows(dir: &Path, args: &[&str]) -> Vec<Value> {
    let (_, stdout, stderr) = groups(dir, &[args, &["--json"]].concat());
    assert!(!stdout.is_empty(), "{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn offsets_are_set_moved_and_deleted() {
    let temp = made();
    let dir = temp.path();
    let ends: Vec<i64> = {
        let (_, stdout, _) = run_in(dir, &["offsets", "-d", "data", "-t", "orders", "--json"]);
        stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["offset"].as_i64().unwrap()).collect()
    };
    assert_eq!(ends.iter().sum::<i64>(), 40);

    // A dry run changes no byte.
    let before = state_of(&dir.join("data"));
    let (code, stdout, stderr) = groups(dir, &["reset-offsets", "billing", "-t", "orders", "--to-latest"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("GROUP ") && stderr.contains("nothing written"), "{stdout}{stderr}");
    assert_eq!(state_of(&dir.join("data")), before);

    let set = |args: &[&str]| {
        let (code, stdout, stderr) = groups(dir, &[args, &["--execute"]].concat());
        assert_eq!(code, 0, "{args:?}: {stdout}{stderr}");
    };
    set(&["reset-offsets", "billing", "-t", "orders", "--to-latest"]);
    let described = rows(dir, &["describe", "billing"]);
    let offsets: Vec<i64> = described.iter().map(|row| row["current_offset"].as_i64().unwrap()).collect();
    assert_eq!(offsets, ends);
    assert!(described.iter().all(|row| row["lag"] == 0 && row["trouble"].is_null()), "{described:?}");

    set(&["reset-offsets", "billing", "-t", "orders:0", "--shift-by", "-3"]);
    assert_eq!(rows(dir, &["describe", "billing"])[0]["lag"], 3);
    set(&["reset-offsets", "billing", "-t", "orders:1", "--to-offset", "999"]);
    assert_eq!(rows(dir, &["describe", "billing"])[1]["current_offset"], ends[1], "the nearest end");

    let (code, csv, _) = groups(dir, &["reset-offsets", "billing", "--all-topics", "--to-current", "--export"]);
    assert_eq!((code, csv.as_str()), (0, format!("orders,0,{}\norders,1,{}\n", ends[0] - 3, ends[1]).as_str()));
    std::fs::write(dir.join("plan.csv"), &csv).unwrap();
    set(&["reset-offsets", "copy", "--from-file", "plan.csv"]);
    assert_eq!(rows(dir, &["describe", "copy"])[0]["current_offset"], ends[0] - 3);

    let (code, kafka, _) =
        groups(dir, &["reset-offsets", "copy", "--all-topics", "--to-earliest", "--output", "kafka"]);
    let expected = "\nGROUP           TOPIC           PARTITION  NEW-OFFSET\n\
                    copy            orders          0          0\n\
                    copy            orders          1          0\n";
    assert_eq!((code, kafka.as_str()), (0, expected));

    set(&["delete-offsets", "copy", "-t", "orders", "-p", "1"]);
    assert_eq!(rows(dir, &["describe", "copy"]).len(), 1);
    set(&["delete", "copy"]);
    let (_, listed, _) = groups(dir, &["list", "--output", "kafka"]);
    assert_eq!(listed, "billing\n");
    let (code, stdout, stderr) = run_in(dir, &["verify", "-d", "data"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn what_is_not_there_is_said() {
    let temp = made();
    let dir = temp.path();
    groups(dir, &["reset-offsets", "billing", "-t", "orders", "--to-latest", "--execute"]);
    for (args, code, said) in [
        (&["describe", "biling"][..], 3, "hint: did you mean 'billing'?"),
        (&["delete", "nobody"], 3, "error: group 'nobody' not found in data"),
        (&["reset-offsets", "g", "-t", "ordres", "--to-latest"], 3, "hint: did you mean 'orders'?"),
        (&["reset-offsets", "g", "-t", "orders:7", "--to-latest"], 3, "topic 'orders' has none of these partitions"),
        (&["reset-offsets", "g", "--all-topics", "--to-latest"], 3, "these groups have committed nothing"),
        (&["reset-offsets", "g", "-t", "orders", "--shift-by", "1"], 3, "nothing is committed there"),
        (&["reset-offsets", "g", "-t", "orders"], 2, "required"),
        (&["delete-offsets", "billing", "-t", "users"], 3, "has committed nothing there"),
        (&["list", "--state", "Dead"], 2, "no state of groups"),
    ] {
        let (found, stdout, stderr) = groups(dir, args);
        assert!(found == code && stderr.contains(said), "{args:?}: {found} {stdout}{stderr}");
    }
}

/// Names of directories, sorted.
fn directories(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_topic_is_made_by_whoever_commits_first() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    std::fs::write(dir.join("records"), "a\nb\n").unwrap();
    let (code, _, stderr) = run_in(dir, &["produce", "-d", "data", "-t", "orders", "--create", "1", "-l", "records"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(groups(dir, &["list", "--json"]).1, "");
    let before = state_of(&dir.join("data"));
    let reset = ["reset-offsets", "g", "-t", "orders", "--to-latest"];
    let (code, _, stderr) = groups(dir, &reset);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("would make topic '__consumer_offsets' with 50 partitions first"), "{stderr}");
    assert_eq!(state_of(&dir.join("data")), before, "a dry run makes nothing");

    let (code, _, stderr) = groups(dir, &[&reset[..], &["--execute"]].concat());
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("made topic '__consumer_offsets' with 50 partitions, id "), "{stderr}");
    assert!(stderr.contains("no metadata log is in these directories"), "{stderr}");
    assert_eq!(directories(&dir.join("data")).len(), 51);
    assert_eq!(rows(dir, &["describe", "g"])[0]["current_offset"], 2);
    let (code, stdout, stderr) = run_in(dir, &["verify", "-d", "data"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let (_, stdout, _) = run_in(dir, &["topics", "describe", "__consumer_offsets", "-d", "data", "--json"]);
    assert!(stdout.contains("\"topic_id\":\""), "{stdout}");

    // As a run leaves it that ended while the partitions got their names: the next one makes the rest, under the same id.
    let id =
        |partition: &str| std::fs::read_to_string(dir.join("data").join(partition).join("partition.metadata")).unwrap();
    let made = id("__consumer_offsets-49");
    for number in 0..40 {
        std::fs::remove_dir_all(dir.join(format!("data/__consumer_offsets-{number}"))).unwrap();
    }
    // "g" stands in one that has records: it cannot be told whether the rest were lost.
    let reset = |args: &[&str]| groups(dir, &[&["reset-offsets", "h", "-t", "orders", "--execute"][..], args].concat());
    let holds = (40..50).find(|number| {
        let log = dir.join(format!("data/__consumer_offsets-{number}/00000000000000000000.log"));
        std::fs::metadata(log).unwrap().len() > 0
    });
    if let Some(number) = holds {
        let (code, _, stderr) = reset(&["--to-latest"]);
        assert!(code == 3 && stderr.contains("how many it has is not known"), "{code} {stderr}");
        let name = format!("data/__consumer_offsets-{number}/00000000000000000000.log");
        std::fs::write(dir.join(name), "").unwrap();
    }
    let (code, _, stderr) = reset(&["--to-latest"]);
    assert!(code == 0 && stderr.contains("of topic '__consumer_offsets' with 50 partitions"), "{code} {stderr}");
    assert_eq!(directories(&dir.join("data")).len(), 51);
    assert_eq!(id("__consumer_offsets-0"), made);

    // With what a broker's settings say, on several directories.
    let (code, _, stderr) = run_in(dir, &["produce", "-d", "a", "-t", "orders", "--create", "1", "-l", "records"]);
    assert_eq!(code, 0, "{stderr}");
    std::fs::create_dir(dir.join("b")).unwrap();
    let properties = format!("log.dirs={0}/a,{0}/b\noffsets.topic.num.partitions=4\n", dir.display());
    std::fs::write(dir.join("server.properties"), properties).unwrap();
    let (code, _, stderr) = run_in(
        dir,
        &["groups", "reset-offsets", "g", "-t", "orders", "--to-latest", "--execute", "-F", "server.properties"],
    );
    assert_eq!(code, 0, "{stderr}");
    let made: Vec<String> = ["a", "b"].iter().flat_map(|name| directories(&dir.join(name))).collect();
    assert_eq!(made.iter().filter(|name| name.starts_with("__consumer_offsets-")).count(), 4, "{made:?}");
}

#[test]
fn a_topic_that_its_cluster_does_not_know_is_made_with_a_warning() {
    let (_temp, dir) = copied("codecs/data");
    let path = dir.display().to_string();
    let before = state_of(&dir);
    let (code, stdout, _) = run(&["groups", "list", "-d", &path, "--json"]);
    assert_eq!((code, stdout.as_str()), (0, ""));
    let reset = ["groups", "reset-offsets", "g", "-t", "edge", "--to-latest", "-d", &path];
    let (code, _, stderr) = run(&reset);
    let said = "the cluster's metadata does not know topic '__consumer_offsets'";
    assert!(code == 0 && stderr.contains(said), "{code} {stderr}");
    assert_eq!(state_of(&dir), before);
    let (code, _, stderr) = run(&[&reset[..], &["--execute"]].concat());
    assert!(code == 0 && stderr.contains(said) && stderr.contains("logdir groups import FILE"), "{code} {stderr}");
    let (_, stdout, _) = run(&["groups", "list", "-d", &path, "--output", "kafka"]);
    assert_eq!(stdout, "g\n");
}

/// `__consumer_offsets-N` of a group, of `made`'s three partitions.
fn home(group: &str) -> TopicPartition {
    TopicPartition::new("__consumer_offsets", partition_for_id(group, PartitionCount::new(3).unwrap()))
}

/// Writes what no verb writes: members, old times, transactions.
fn append(dir: &Path, write: impl FnOnce(&mut AppendSession)) {
    let options =
        SessionOptions { config: LogConfig::default(), durability: Durability::Buffered, allow_truncate: false };
    let mut session = AppendSession::open(&dir.join("data"), options).unwrap();
    write(&mut session);
    session.close(0).unwrap();
}

fn batch(spec: BatchSpec, key: &[u8], value: &[u8]) -> BatchBuf {
    let mut builder = BatchBuilder::new(spec);
    builder.push(&NewRecord { timestamp_ms: 0, key: Some(key), value: Some(value), headers: &[] }).unwrap();
    builder.seal(&mut Compressor::default()).unwrap()
}

fn committed(offset: i64, commit_ms: i64) -> CommittedOffset {
    CommittedOffset {
        offset: Offset::new(offset),
        leader_epoch: None,
        metadata: String::new(),
        commit_ms,
        expire_ms: None,
        topic_id: None,
    }
}

/// A group whose one member never left.
fn with_member(dir: &Path, group: &str) {
    let member = ClassicMember { id: "m-1".to_owned(), client_id: "c".to_owned(), ..ClassicMember::default() };
    let classic = ClassicGroup {
        protocol_type: Some("consumer".to_owned()),
        generation: 3,
        protocol: Some("range".to_owned()),
        leader: Some("m-1".to_owned()),
        state_ms: Some(5),
        members: vec![member],
    };
    let (key, value) = (ClassicGroup::key_bytes(group).unwrap(), classic.value_bytes().unwrap());
    append(dir, |session| {
        session.append(&home(group), &mut batch(BatchSpec::default(), &key, &value), 0).unwrap();
    });
}

#[test]
fn offsets_are_committed_by_hand() {
    let temp = made();
    let dir = temp.path();
    let before = state_of(&dir.join("data"));
    let (code, stdout, stderr) = groups(dir, &["commit", "billing", "orders:0=3", "-n"]);
    assert!(code == 0 && stderr.contains("nothing written; run again without -n"), "{stdout}{stderr}");
    assert_eq!(state_of(&dir.join("data")), before);

    let (code, stdout, stderr) = groups(dir, &["commit", "billing", "orders:0=3,0", "orders:1=2", "--metadata", "m 1"]);
    assert_eq!((code, stderr.as_str()), (0, "2 offsets committed\n"), "{stdout}");
    let row: Vec<&str> = stdout.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(&row[..5], ["billing", "orders", "0", "-", "3"]);
    let described = rows(dir, &["describe", "billing"]);
    assert_eq!(
        (&described[0]["current_offset"], &described[0]["leader_epoch"], &described[0]["metadata"]),
        (&Value::from(3), &Value::from(0), &Value::from("m 1"))
    );
    assert_eq!(described[1]["leader_epoch"], Value::Null);
    let again = rows(dir, &["commit", "billing", "orders:0=4"]);
    assert_eq!(again.len(), 1);
    assert_eq!((&again[0]["current_offset"], &again[0]["new_offset"]), (&Value::from(3), &Value::from(4)));

    let long = "x".repeat(4097);
    with_member(dir, "live");
    let before = state_of(&dir.join("data"));
    for (args, code, said) in [
        (&["billing", "orders:0=999"][..], 4, "error: 999 is above the log end of orders-0, "),
        (&["billing", "orders:0=999"], 4, "hint: a consumer would not resume there; the log has 0 to "),
        (&["billing", "orders:0=1,7"], 4, "leader epoch 7 is above the newest of orders-0, 0"),
        (&["billing", "orders:7=1"], 3, "topic 'orders' has no partition 7 here"),
        (&["billing", "ordres:0=1"], 3, "did you mean 'orders'?"),
        (&["billing", "orders:0=1", "orders:0=2"], 2, "orders-0 is named twice"),
        (&["billing", "orders:0=x"], 2, "'x' is no offset"),
        (&["", "orders:0=1"], 2, "a value is required"),
        (&["billing", "orders:0=1", "--metadata", &long], 2, "4097 characters; a broker takes 4096"),
        (&["live", "orders:0=1"], 4, "group 'live' is not empty: it is Stable and has 1 members"),
    ] {
        let (found, stdout, stderr) = groups(dir, &[&["commit"], args].concat());
        assert!(found == code && stderr.contains(said), "{args:?}: {found} {stdout}{stderr}");
    }
    assert_eq!(state_of(&dir.join("data")), before, "nothing of a refused commit is written");
    for (args, offset) in
        [(["commit", "billing", "orders:0=999", "--force"], 999), (["commit", "live", "orders:0=1", "--force"], 1)]
    {
        let (code, _, stderr) = groups(dir, &args);
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(rows(dir, &["describe", args[1]])[0]["current_offset"], offset);
    }
    let (code, stdout, stderr) = run_in(dir, &["verify", "-d", "data"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn an_export_is_imported_as_it_was() {
    let temp = made();
    let dir = temp.path();
    let long = "a group of more than 24 letters, \"quoted\"";
    for (group, args) in
        [("billing", &["orders:0=3,0", "orders:1=2", "--metadata", "näme\n\"x\""][..]), (long, &["orders:1=1"])]
    {
        let (code, _, stderr) = groups(dir, &[&["commit", group], args].concat());
        assert_eq!(code, 0, "{stderr}");
    }
    // Of a client of before 2.1, and of one that knows topic ids.
    let old = CommittedOffset { expire_ms: Some(4_102_444_800_000), ..committed(1, 5) };
    let new = CommittedOffset {
        topic_id: Some(Uuid::parse("5L6g3nShT-eMCtK--X86sw").unwrap()),
        leader_epoch: Some(LeaderEpoch(4)),
        ..committed(7, 1_790_000_000_000)
    };
    append(dir, |session| {
        for (group, partition, offset) in [("old", 0, &old), ("new", 9, &new)] {
            let key = CommittedOffset::key_bytes(group, &TopicPartition::new("users", partition)).unwrap();
            let mut batch = batch(BatchSpec::default(), &key, &offset.value_bytes().unwrap());
            session.append(&home(group), &mut batch, 0).unwrap();
        }
    });
    let (code, csv, stderr) = groups(dir, &["export"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(
        csv,
        "\"a group of more than 24 letters, \"\"quoted\"\"\",orders,1,1\nbilling,orders,0,3\nbilling,orders,1,2\n\
         new,users,9,7\nold,users,0,1\n"
    );
    assert!(stderr.contains("3 offsets have metadata or a time of expiry, which CSV leaves out"), "{stderr}");
    assert_eq!(groups(dir, &["export", "billing"]).1, "orders,0,3\norders,1,2\n");
    assert_eq!(
        groups(dir, &["export", "--group", "old", "billing", "--output", "kafka"]).1,
        "billing,orders,0,3\nbilling,orders,1,2\nold,users,0,1\n"
    );
    let (code, json, stderr) = groups(dir, &["export", "--all-groups", "--json"]);
    assert_eq!((code, json.lines().count()), (0, 5), "{stderr}");
    let last: Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!((&last["commit_ms"], &last["expire_ms"]), (&Value::from(5), &Value::from(4_102_444_800_000_i64)));
    let (code, _, stderr) = groups(dir, &["export", "--output", "tsv"]);
    assert!(code == 2 && stderr.contains("Kafka's CSV or as JSON"), "{stderr}");
    let (code, _, stderr) = groups(dir, &["export", "biling"]);
    assert!(code == 3 && stderr.contains("did you mean 'billing'?"), "{stderr}");

    for (name, text, format) in [("offsets.csv", &csv, "kafka"), ("offsets.jsonl", &json, "json")] {
        std::fs::write(dir.join(name), text).unwrap();
        let empty = dir.join(format!("empty-{format}"));
        std::fs::create_dir(&empty).unwrap();
        std::fs::copy(dir.join("data/meta.properties"), empty.join("meta.properties")).unwrap();
        let path = empty.to_str().unwrap();
        let import = ["groups", "import", name, "-d", path];
        let (code, stdout, stderr) = run_in(dir, &import);
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains("no such log here"), "{stdout}");
        assert!(
            stderr.contains("would make topic '__consumer_offsets'") && stderr.contains("nothing written"),
            "{stderr}"
        );
        assert!(directories(&empty).is_empty());
        let (code, stdout, stderr) = run_in(dir, &[&import[..], &["--execute"]].concat());
        assert_eq!(code, 0, "{stdout}{stderr}");
        assert!(stderr.contains("5 offsets of 4 groups committed"), "{stderr}");
        let (code, again, stderr) = run_in(dir, &["groups", "export", "-d", path, "--output", format]);
        assert_eq!((code, &again), (0, text), "{stderr}");
        let (code, stdout, stderr) = run_in(dir, &["verify", "-d", path]);
        assert_eq!(code, 0, "{stdout}{stderr}");
    }
    // A second time there is nothing to do: no byte changes.
    let before = state_of(&dir.join("empty-json"));
    let again = ["groups", "import", "offsets.jsonl", "-d", "empty-json", "--execute"];
    let (code, stdout, stderr) = run_in(dir, &again);
    assert!(code == 0 && stderr.contains("0 offsets of 4 groups committed, 5 stood there already"), "{stdout}{stderr}");
    assert_eq!(state_of(&dir.join("empty-json")), before);
    // "new" was committed long ago: a broker would remove it; --renew makes it one of today.
    std::fs::write(
        dir.join("server.properties"),
        format!("log.dirs={}\noffsets.retention.minutes=1\n", dir.join("empty-json").display()),
    )
    .unwrap();
    let retained = |args: &[&str]| run_in(dir, &[&["groups"], args, &["-F", "server.properties"]].concat());
    let (_, stdout, _) = retained(&["import", "offsets.jsonl", "-G", "new"]);
    assert!(stdout.contains("stands there already") && stdout.contains("expired: a broker removes it"), "{stdout}");
    let (code, stdout, stderr) = retained(&["import", "offsets.jsonl", "--group", "new", "--renew", "--execute"]);
    assert!(code == 0 && !stdout.contains("expired"), "{stdout}{stderr}");
    let (_, stdout, _) = retained(&["describe", "new", "--json"]);
    assert!(stdout.contains("\"expired\":false"), "{stdout}");
}

#[test]
fn an_import_is_refused_as_a_whole() {
    let temp = made();
    let dir = temp.path();
    with_member(dir, "live");
    let id = {
        let (_, stdout, _) = run_in(dir, &["topics", "describe", "orders", "-d", "data", "--json"]);
        let row: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
        row["topic_id"].as_str().unwrap().to_owned()
    };
    let before = state_of(&dir.join("data"));
    let import = |text: &str, args: &[&str]| {
        std::fs::write(dir.join("file"), text).unwrap();
        groups(dir, &[&["import", "file"], args].concat())
    };
    for (text, args, code, said) in [
        ("g,orders,0,1\ng,orders,x,1\ng,orders\n", &["--execute"][..], 3, "error: file: line 2: 'x' is no partition"),
        ("g,orders,0,1\ng,orders,x,1\ng,orders\n", &["--execute"], 3, "error: file: line 3: 2 cells"),
        ("", &["--execute"], 3, "file: holds no offsets"),
        ("orders,0,1\n", &["--execute"], 2, "hint: name the group with --group"),
        ("g,orders,0,1\n", &["-G", "h", "--execute"], 3, "the file says nothing of these groups"),
        ("g,orders,0,1\nlive,orders,0,1\n", &["--execute"], 4, "group 'live' is not empty: it is Stable"),
        (
            "{\"group\":\"g\",\"topic\":\"orders\",\"partition\":0}\n",
            &["--execute"],
            3,
            "line 1: missing field `offset`",
        ),
    ] {
        let (found, stdout, stderr) = import(text, args);
        assert!(found == code && stderr.contains(said), "{text:?} {args:?}: {found} {stdout}{stderr}");
    }
    assert_eq!(state_of(&dir.join("data")), before);
    let many: String = (0..30).map(|number| format!("bad {number}\n")).collect();
    let (_, _, stderr) = import(&many, &[]);
    assert_eq!(stderr.matches("error: ").count(), 20, "{stderr}");
    assert!(stderr.contains("10 more lines are wrong; nothing of the file is taken"), "{stderr}");
    let (code, _, stderr) = groups(dir, &["import", "nowhere"]);
    assert!(code == 3 && stderr.contains("nowhere"), "{code} {stderr}");

    // What is of another topic of that name, or of a longer log, is left out where it would do harm, and said.
    let row = |id: &str, epoch: i32, offset: i64| {
        format!(
            "{{\"group\":\"g\",\"topic\":\"orders\",\"partition\":0,\"offset\":{offset},\"leader_epoch\":{epoch},\"topic_id\":\"{id}\"}}\n"
        )
    };
    for (text, note, epoch, kept) in [
        (row(&id, 0, 1), None, Some(0), true),
        (row("5L6g3nShT-eMCtK--X86sw", 0, 1), Some("of a topic with another id"), None, false),
        (row(&id, 7, 1), Some("leader epoch 7 is above the log's 0: left out"), None, true),
        (row(&id, 0, 500), Some("above the log end"), Some(0), true),
    ] {
        let (code, stdout, stderr) = import(&text, &["--execute", "--json"]);
        assert_eq!(code, 0, "{stderr}");
        let printed: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
        match note {
            None => assert_eq!(printed["note"], Value::Null, "{text}"),
            Some(note) => assert!(printed["note"].as_str().unwrap().contains(note), "{text}: {printed}"),
        }
        let described = &rows(dir, &["describe", "g"])[0];
        assert_eq!(described["leader_epoch"].as_i64(), epoch, "{text}");
        assert_eq!(described["topic_id"].as_str() == Some(id.as_str()), kept, "{text}");
    }
    let (code, _, stderr) = import("live,orders,0,1\n", &["--execute", "--force"]);
    assert_eq!(code, 0, "{stderr}");
    // The CSV of one group, for two of them.
    let (code, _, stderr) = import("orders,0,1\n\"orders\",1,2\r\n\n", &["-G", "x", "-G", "y", "--execute"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(rows(dir, &["describe", "x", "y"]).len(), 4);
}

#[test]
fn a_group_of_many_partitions_is_imported() {
    let temp = made();
    let dir = temp.path();
    let name = "a-topic-with-a-name-of-some-length".repeat(3);
    let text: String = (0..12_000).map(|number| format!("g,{name},{number},{number}\n")).collect();
    std::fs::write(dir.join("file"), &text).unwrap();
    let (code, _, stderr) = groups(dir, &["import", "file", "--execute", "-qq"]);
    assert_eq!(code, 0, "{stderr}");
    let (_, csv, _) = groups(dir, &["export", "--all-groups"]);
    assert_eq!(csv.replace('"', ""), text, "more than fits into a batch");
    let (code, stdout, stderr) = run_in(dir, &["verify", "-d", "data"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn what_is_wrong_with_an_offset_is_pointed_out() {
    let temp = made();
    let dir = temp.path();
    let ends = |partition: i32| {
        let (_, stdout, _) = run_in(dir, &["offsets", "-d", "data", "-t", "orders", "--json"]);
        let row: Value = serde_json::from_str(stdout.lines().nth(partition as usize).unwrap()).unwrap();
        row["offset"].as_i64().unwrap()
    };
    let latest = format!("orders:0={}", ends(0));
    let (code, _, stderr) = groups(dir, &["commit", "billing", &latest, "orders:1=0"]);
    assert_eq!(code, 0, "{stderr}");
    // The log loses its records, as by a truncation, behind the group's back.
    let log = dir.join("data/orders-0/00000000000000000000.log");
    std::fs::write(&log, "").unwrap();
    for name in ["00000000000000000000.index", "00000000000000000000.timeindex"] {
        std::fs::write(dir.join("data/orders-0").join(name), "").unwrap();
    }
    let (code, stdout, stderr) = groups(dir, &["describe", "billing"]);
    assert!(code == 1 && stdout.contains("above the log end"), "{code} {stdout}{stderr}");

    // Long ago, of an empty group; with a tombstone behind it; and in a transaction that is open, aborted or committed.
    let key =
        |group: &str, partition| CommittedOffset::key_bytes(group, &TopicPartition::new("orders", partition)).unwrap();
    let value = |offset: i64| committed(offset, 5).value_bytes().unwrap();
    append(dir, |session| {
        session.append(&home("old"), &mut batch(BatchSpec::default(), &key("old", 0), &value(0)), 0).unwrap();
        session.append(&home("gone"), &mut batch(BatchSpec::default(), &key("gone", 0), &value(0)), 0).unwrap();
        let mut builder = BatchBuilder::new(BatchSpec::default());
        let tombstone = key("gone", 0);
        builder.push(&NewRecord { timestamp_ms: 0, key: Some(&tombstone), value: None, headers: &[] }).unwrap();
        session.append(&home("gone"), &mut builder.seal(&mut Compressor::default()).unwrap(), 0).unwrap();
        let spec = BatchSpec {
            producer_id: ProducerId(77),
            producer_epoch: 0,
            base_sequence: 0,
            transactional: true,
            ..BatchSpec::default()
        };
        session.append(&home("txn"), &mut batch(BatchSpec::default(), &key("txn", 1), &value(1)), 0).unwrap();
        session.append(&home("txn"), &mut batch(spec, &key("txn", 1), &value(2)), 0).unwrap();
    });
    let noted = |group: &str| {
        let (_, stdout, stderr) = groups(dir, &["describe", group, "--no-header"]);
        let mut rows: Vec<(String, String)> = Vec::new();
        for line in stdout.lines() {
            let cells: Vec<&str> = line.split("  ").filter(|cell| !cell.trim().is_empty()).map(str::trim).collect();
            rows.push((cells[3].to_owned(), cells[8].to_owned()));
        }
        assert!(!rows.is_empty(), "{stderr}");
        rows
    };
    let pair = |offset: &str, note: &str| (offset.to_owned(), note.to_owned());
    assert_eq!(noted("old"), [pair("0", "expired")]);
    // Nothing expires where a transaction is about to commit.
    assert_eq!(noted("txn"), [pair("1", "-"), pair("2", "pending, producer 77")]);
    let described = rows(dir, &["describe", "old", "txn"]);
    assert_eq!(described.iter().map(|row| row["expired"].as_bool().unwrap()).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(described[2]["pending_producer_id"], 77);
    let (_, stdout, _) = groups(dir, &["describe", "gone", "--no-header"]);
    assert_eq!(stdout, "", "a tombstone takes it away");
    let (_, csv, stderr) = groups(dir, &["export", "old", "txn"]);
    assert_eq!(csv, "old,orders,0,0\ntxn,orders,1,1\n");
    assert!(
        stderr.contains("1 offsets are expired") && stderr.contains("1 offsets stand in open transactions"),
        "{stderr}"
    );
}

#[test]
fn assignors_decide_as_kafkas_do() {
    let assigned = |args: &[&str]| -> Vec<(String, Vec<String>)> {
        let (code, stdout, stderr) = run(&[&["groups", "assign", "--json"][..], args].concat());
        assert_eq!(code, 0, "{args:?}: {stderr}");
        let rows: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let names = |row: &Value| {
            row["assignment"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        let members = rows.iter().filter(|row| row["type"] == "member");
        members.map(|row| (row["member"].as_str().unwrap().to_owned(), names(row))).collect()
    };
    let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let range = assigned(&["-t", "t0=10", "--members", "3", "--assignor", "range"]);
    assert_eq!(range[0], ("C0".to_owned(), strings(&["t0-0", "t0-1", "t0-2", "t0-3"])));
    assert_eq!(range[2].1, strings(&["t0-7", "t0-8", "t0-9"]));
    let robin = assigned(&["-t", "t0=3,t1=3", "--members", "3", "--assignor", "roundrobin"]);
    assert_eq!(robin[1].1, strings(&["t0-1", "t1-1"]));
    for assignor in ["sticky", "cooperative-sticky", "uniform", "server-range"] {
        let sizes: Vec<usize> = assigned(&["-t", "t0=10", "--members", "3", "--assignor", assignor])
            .iter()
            .map(|(_, all)| all.len())
            .collect();
        assert_eq!((sizes.iter().sum::<usize>(), sizes.iter().max()), (10, Some(&4)), "{assignor} {sizes:?}");
    }
    // One more joins: it takes from those that have most, and nothing else moves.
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("members");
    std::fs::write(
        &file,
        "{\"id\":\"a\",\"topics\":[\"t\"],\"owned\":{\"t\":[0,1,2]},\"generation\":4}\n\
         {\"id\":\"b\",\"topics\":[\"t\"],\"owned\":{\"t\":[3,4,5]},\"generation\":4}\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let (code, stdout, _) =
        run(&["groups", "assign", "-t", "t=6", "--members", file, "--add", "1", "--assignor", "sticky"]);
    let kept: Vec<Vec<&str>> = stdout.lines().skip(1).map(|line| line.split_whitespace().take(5).collect()).collect();
    assert_eq!(
        (code, kept),
        (0, vec![vec!["N0", "2", "0", "2", "0"], vec!["a", "2", "2", "0", "1"], vec!["b", "2", "2", "0", "1"]])
    );
    for (args, code, said) in [
        (&["-t", "t=x", "--members", "2"][..], 2, "is no number of partitions"),
        (&["-t", "t=2", "--members", "2", "--assignor", "rang"], 2, "no assignor of Kafka"),
        (&["-t", "t=2", "--members", "2", "--remove", "C7"], 3, "there are: C0 C1"),
        (&["-t", "t=2"], 2, "required"),
    ] {
        let (found, _, stderr) = run(&[&["groups", "assign"], args].concat());
        assert!(found == code && stderr.contains(said), "{args:?}: {found} {stderr}");
    }
}
