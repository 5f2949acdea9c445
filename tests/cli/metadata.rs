//! `logdir metadata`: what a person and a script see of a cluster.

use serde_json::Value;

use super::support::{copied, fixture, run, run_in, state_of};

fn data() -> String {
    fixture("metadata/data").display().to_string()
}

fn rows(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_tree_is_the_shells_text_and_hides_secrets() {
    let (_temp, dir) = copied("metadata/data");
    let before = state_of(&dir);
    let dir = dir.display().to_string();
    let (code, stdout, stderr) = run(&["metadata", "tree", "-d", &dir, "--node", "/image/scram"]);
    let expected = "SCRAM-SHA-256:\n\
         \u{20}\u{20}alice: ScramCredentialData(salt=[redacted], storedKey=[redacted], serverKey=[redacted], iterations=16384)\n\
         SCRAM-SHA-512:\n\
         \u{20}\u{20}alice: ScramCredentialData(salt=[redacted], storedKey=[redacted], serverKey=[redacted], iterations=8192)\n";
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, expected, ""));
    let snapshot = format!("{dir}/__cluster_metadata-0/00000000000000000104-0000000001.checkpoint");
    let args = ["metadata", "tree", &snapshot, "--node", "/image", "--output", "kafka", "--show-secrets"];
    let (code, stdout, _) = run(&args);
    let truth = fixture("metadata/truth/tree.00000000000000000104-0000000001.checkpoint.txt");
    let truth = std::fs::read_to_string(truth).unwrap();
    let differing: Vec<_> = stdout.lines().zip(truth.lines()).filter(|(ours, theirs)| ours != theirs).collect();
    assert_eq!((code, stdout.lines().count(), differing.len()), (0, truth.lines().count(), 1));
    assert!(differing[0].0.starts_with("  offset 103, epoch 1, time 2026-"), "{differing:?}");
    let (_, everything, _) = run(&["metadata", "tree", "-d", &dir, "--json"]);
    let key = truth.split("storedKey=").nth(1).unwrap().split(',').next().unwrap();
    assert!(key.len() > 20 && stdout.contains(key) && !everything.contains(key), "{key}");
    let paths: Vec<Value> = rows(&everything).iter().map(|row| row["path"].clone()).collect();
    assert!(
        paths.contains(&"/image/clientQuotas/clientId(app\\/1)_user(alice)/producer_byte_rate".into()),
        "{paths:?}"
    );
    assert_eq!(state_of(std::path::Path::new(&dir)), before, "reading writes nothing");
}

#[test]
fn get_answers_with_one_document() {
    let data = data();
    let get = |args: &[&str]| run(&[&["metadata", "get"][..], args].concat());
    let (code, stdout, _) = get(&["image/topics/byName/orders/0", &data, "--json", "-o", "60"]);
    let partition: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &partition["leader"], &partition["isr"]), (0, &1.into(), &vec![1].into()));
    let (_, stdout, _) = get(&["image/topics/byName/orders/0", &data, "--json"]);
    let stopped: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&stopped["leader"], &stopped["elr"]), (&(-1).into(), &vec![1].into()), "after a clean stop");
    let (code, stdout, _) = get(&["/image/configs/{TOPIC:orders,BROKER:?}/*", "-d", &data]);
    let expected = "/image/configs/BROKER:1/log.cleaner.backoff.ms: 20000\n\
                    /image/configs/TOPIC:orders/retention.ms: 172800000\n";
    assert_eq!((code, stdout.as_str()), (0, expected));
    let (code, stdout, _) = get(&[r"/image/clientQuotas/clientId(app\/1)_user(alice)/producer_byte_rate", "-d", &data]);
    assert_eq!((code, stdout.as_str()), (0, "1048576.0\n"));
    let (_, stdout, _) = get(&["/image/clientQuotas/user(alice)/consumer_byte_rate", "-d", &data]);
    assert_eq!(stdout, "2.0E7\n", "as Java writes it");
    let (code, stdout, stderr) = get(&["/image/topics/byName/order/0", "-d", &data]);
    assert_eq!((code, stdout.as_str()), (3, ""));
    assert!(stderr.contains("hint: did you mean '/image/topics/byName/orders'?"), "{stderr}");
    let (code, _, stderr) = get(&["/image", "-d", &data, "-o", "5:9"]);
    assert_eq!(code, 2, "{stderr}");
}

#[test]
fn find_knows_paths_and_names() {
    let data = data();
    let (code, stdout, _) = run(&["metadata", "find", "image/cluster", "-d", &data]);
    let expected = "/image/cluster\n/image/cluster/brokers\n/image/cluster/brokers/1\n\
                    /image/cluster/controllers\n/image/cluster/controllers/1\n";
    assert_eq!((code, stdout.as_str()), (0, expected));
    let (_, stdout, _) = run(&["metadata", "find", "*orders", "-d", &data]);
    assert_eq!(stdout, "/image/configs/TOPIC:orders\n/image/topics/byName/orders\n");
    let (_, stdout, _) = run(&["metadata", "find", "a.b_c-d", "-d", &data, "-o", "60"]);
    assert_eq!(stdout, "/image/topics/byName/a.b_c-d\n", "deleted later");
    let (code, _, _) = run(&["metadata", "find", "nothing", "-d", &data]);
    assert_eq!(code, 3);
}

#[test]
fn diff_names_the_records_that_did_it() {
    let data = data();
    let (code, stdout, stderr) = run(&["metadata", "diff", "60", "61", "-d", &data]);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(lines[..2], ["removed  /image/configs/TOPIC:gone/retention.ms", "         1000"]);
    assert!(lines[2].starts_with("         by offset 60  2026-") && lines[2].ends_with("Z  RemoveTopicRecord"));
    assert_eq!(stderr, "offsets 60 to 61: 0 added, 5 removed, 0 changed\n");
    let (_, stdout, stderr) = run(&["metadata", "diff", "-13", "end", "-d", &data, "--json"]);
    let rows = rows(&stdout);
    let change = rows.iter().find(|row| row["path"] == "/image/topics/byName/orders/0").unwrap();
    assert_eq!(
        (&change["change"], &change["old"]["leader"], &change["new"]["leader"]),
        (&"changed".into(), &1.into(), &(-1).into())
    );
    assert_eq!(change["records"][0]["record_type"], "PartitionChangeRecord");
    let summary = rows.last().unwrap();
    assert_eq!(
        (&summary["type"], &summary["from_offset"], &summary["to_offset"], stderr.as_str()),
        (&"summary".into(), &104.into(), &117.into(), "")
    );
    let file = |name: &str| format!("{data}/__cluster_metadata-0/{name}-0000000001.checkpoint");
    let (first, second) = (file("00000000000000000053"), file("00000000000000000104"));
    let (code, stdout, _) = run(&["metadata", "diff", &first, &second]);
    assert_eq!(code, 0);
    assert!(
        stdout.contains("changed  /image/scram/SCRAM-SHA-256/alice\n         iterations: 4096 -> 16384\n"),
        "{stdout}"
    );
    let (_, same, _) = run(&["metadata", "diff", "104", "104", "-d", &data]);
    assert_eq!(same, "");
    let (code, _, stderr) = run(&["metadata", "diff", "90", "80", "-d", &data]);
    assert_eq!(code, 2);
    assert!(stderr.contains("TO (80) is before FROM (90)"), "{stderr}");
}

#[test]
fn log_shows_records_by_type_topic_and_broker() {
    let data = data();
    let log = |args: &[&str]| {
        let (code, stdout, stderr) = run(&[&["metadata", "log", "-d", &data][..], args].concat());
        assert_eq!(code, 0, "{stderr}");
        stdout
    };
    let stdout = log(&["-o", "60:61"]);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], "   OFFSET  TIME                      EPOCH  TYPE                            DATA");
    assert!(lines.len() == 2 && lines[1].contains("  RemoveTopicRecord  "), "{stdout}");
    let json = |args: &[&str]| rows(&log(&[args, &["--json"]].concat()));
    let all = json(&[]);
    assert_eq!(all[0]["record_type"], "LeaderChangeMessage");
    assert!(all.iter().all(|row| row["type"] == "record" && row["record_type"] != "NoOpRecord"));
    assert!(all.iter().any(|row| row["record_type"] == "VotersRecord"));
    let gone = json(&["-t", "gone"]);
    assert!(gone.iter().all(|row| row["topic"] == "gone"));
    let types: Vec<&str> = gone.iter().map(|row| row["record_type"].as_str().unwrap()).collect();
    assert_eq!(types.iter().filter(|name| **name == "TopicRecord").count(), 2, "{types:?}");
    assert_eq!(types.iter().filter(|name| **name == "RemoveTopicRecord").count(), 1, "{types:?}");
    // What the topic was called is known though its record lies before the range.
    assert_eq!(json(&["-t", "gone", "-o", "60:61"]).len(), 1);
    assert_eq!(json(&["--type", "topic,remove-topic"]).len(), 8);
    assert_eq!((json(&["--type", "NoOpRecord"]).len(), json(&["--type", "NO_OP", "-c", "3"]).len()), (38, 3));
    assert!(json(&["--broker", "1", "--type", "register-broker"]).len() == 1);
    assert!(json(&["--broker", "9"]).is_empty());
    let scram = json(&["--type", "UserScramCredentialRecord"]);
    assert!(scram.iter().all(|row| row["data"]["storedKey"] == "[redacted]" && row["data"]["iterations"].is_number()));
    assert!(json(&["--type", "UserScramCredentialRecord", "--show-secrets"])[0]["data"]["salt"] != "[redacted]");
}

#[test]
fn what_cannot_be_asked_is_said_with_a_way_on() {
    let (temp, dir) = copied("metadata/data");
    let log = dir.join("__cluster_metadata-0");
    // Only what follows the first larger snapshot: the log begins there.
    let bytes = std::fs::read(log.join("00000000000000000000.log")).unwrap();
    let (_, dump, _) = run(&["dump-segment", &log.display().to_string(), "--json", "-o", "53", "-c", "1"]);
    let position = rows(&dump).iter().find_map(|row| row["position"].as_u64()).unwrap();
    std::fs::write(log.join("00000000000000000053.log"), &bytes[usize::try_from(position).unwrap()..]).unwrap();
    for name in ["log", "index", "timeindex"] {
        std::fs::remove_file(log.join(format!("00000000000000000000.{name}"))).unwrap();
    }
    let here = temp.path();
    let (code, stdout, stderr) = run_in(here, &["metadata", "tree", "data", "-o", "20"]);
    assert_eq!((code, stdout.as_str()), (3, ""));
    let said = "error: data/__cluster_metadata-0: the log begins at offset 53, and no snapshot holds what was before offset 20\n\
                hint: what was before offset 53 is gone; that moment is: logdir metadata tree data/__cluster_metadata-0 -o 53\n";
    assert_eq!(stderr, said);
    let (code, _, _) = run_in(here, &["metadata", "tree", "data/__cluster_metadata-0", "-o", "53"]);
    assert_eq!(code, 0);
    let (code, _, stderr) = run_in(here, &["metadata", "tree", "data/meta.properties"]);
    assert_eq!(code, 3);
    assert!(stderr.contains("neither a metadata log nor a snapshot of one"), "{stderr}");
    let (code, _, stderr) = run_in(here, &["metadata", "tree", "data/bootstrap.checkpoint", "-o", "1"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("a snapshot is one moment"), "{stderr}");
    super::support::copy(&fixture("metadata/data"), &here.join("other"));
    let (code, _, stderr) = run_in(here, &["metadata", "tree", "-d", "data,other"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("several metadata logs: in data, other\nhint: name one: data"), "{stderr}");
    let none = fixture("legacy/data").display().to_string();
    let (code, _, stderr) = run_in(here, &["metadata", "tree", "-d", &none]);
    assert_eq!(code, 3);
    assert!(stderr.contains("no __cluster_metadata-0 in "), "{stderr}");
}

/// Of three voters the last records may be taken back: said once, on stderr.
#[test]
fn several_voters_are_a_warning() {
    let (_temp, dir) = copied("metadata/data");
    let log = dir.join("__cluster_metadata-0");
    let said = |dir: &std::path::Path| {
        let (code, _, stderr) = run(&["metadata", "tree", "-d", &dir.display().to_string(), "--node", "/quorum"]);
        assert_eq!(code, 0);
        stderr
    };
    assert_eq!(said(&dir), "");
    // The same log of a quorum that was made static, with three voters in quorum-state and none in the records.
    for entry in std::fs::read_dir(&log).unwrap().flatten() {
        if entry.path().extension().is_some_and(|end| end == "checkpoint") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    std::fs::write(log.join("00000000000000000000.log"), b"").unwrap();
    let state = r#"{"clusterId":"","leaderId":1,"leaderEpoch":2,"votedId":3,"appliedOffset":0,"currentVoters":[{"voterId":1},{"voterId":2},{"voterId":3}],"data_version":0}"#;
    std::fs::write(log.join("quorum-state"), state).unwrap();
    assert!(said(&dir).contains("the quorum has 3 voters: the last records may not be committed"), "{}", said(&dir));
}

/// Two brokers' copies of a metadata log that has no snapshot; the first is damaged in front of its last topics.
fn two_brokers() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dirs = ["a", "b"].map(|name| temp.path().join(name));
    for dir in &dirs {
        super::support::copy(&fixture("metadata/data"), dir);
        for name in ["00000000000000000053-0000000001", "00000000000000000104-0000000001"] {
            std::fs::remove_file(dir.join(format!("__cluster_metadata-0/{name}.checkpoint"))).unwrap();
        }
        // What the last topic would have: unknown to a metadata log that is cut before it.
        let partition = dir.join("orders-0");
        super::support::copy(&fixture("codecs/data/edge-0"), &partition);
        let (_, id, _) = run(&["metadata", "get", "/image/topics/byName/orders", "-d", &dir.display().to_string()]);
        assert!(!id.is_empty());
        let (_, log, _) =
            run(&["metadata", "log", "-d", &dir.display().to_string(), "-t", "orders", "--type", "topic", "--json"]);
        let topic = rows(&log)[0]["data"]["topicId"].as_str().unwrap().to_owned();
        std::fs::write(partition.join("partition.metadata"), format!("version: 0\ntopic_id: {topic}")).unwrap();
    }
    let [a, b] = dirs;
    let meta = std::fs::read_to_string(b.join("meta.properties")).unwrap();
    let id = meta.lines().find(|line| line.starts_with("directory.id=")).unwrap();
    let meta = meta.replace(id, "directory.id=AAAAAAAAAAAAAAAAAAABAA");
    std::fs::write(b.join("meta.properties"), meta).unwrap();
    let log = a.join("__cluster_metadata-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).unwrap();
    let (_, dump, _) = run(&["dump-segment", &log.display().to_string(), "--json", "-o", "15:16"]);
    let position = rows(&dump).iter().find_map(|row| row["position"].as_u64()).unwrap();
    bytes[usize::try_from(position).unwrap() + 65] ^= 0x55;
    std::fs::write(&log, bytes).unwrap();
    (temp, a, b)
}

#[test]
fn a_damaged_metadata_log_is_named_and_a_sound_one_believed_before_it() {
    let (_temp, a, b) = two_brokers();
    let (a, b) = (a.display().to_string(), b.display().to_string());
    let strays = |dirs: &str| {
        let (code, stdout, _) = run(&["log-dirs", "-d", dirs, "--json"]);
        let findings: Vec<Value> = rows(&stdout).into_iter().filter(|row| row["type"] == "problem").collect();
        let texts = findings.iter().map(|row| row.to_string()).collect::<Vec<_>>();
        (code, texts)
    };
    // Alone, it makes a stray of what it does not know any more; why is said.
    let (code, alone) = strays(&a);
    assert_eq!(code, 1);
    assert!(alone.iter().any(|text| text.contains("the metadata log is damaged: position ")), "{alone:?}");
    assert!(alone.iter().any(|text| text.contains("renames the directory to -stray")), "{alone:?}");
    // Beside a sound one, in either order, it is only damaged.
    for dirs in [format!("{a},{b}"), format!("{b},{a}")] {
        let (code, found) = strays(&dirs);
        assert_eq!(code, 1, "{found:?}");
        assert!(found.iter().any(|text| text.contains("is taken from") && text.contains("damaged")), "{found:?}");
        assert!(!found.iter().any(|text| text.contains("does not exist in the metadata image")), "{found:?}");
        assert!(!found.iter().any(|text| text.contains("to -stray")), "{found:?}");
        // The directory of the other one is not the one the partition is assigned to; its broker has both.
        let misplaced = found.iter().find(|text| text.contains("\"misplaced\"")).unwrap();
        assert!(misplaced.contains(&format!("logdir verify --forecast -d {dirs}")), "{misplaced}");
    }
    // Nothing is made on the word of a damaged one.
    let (code, _, stderr) = run(&["topics", "create", "new", "--partitions", "1", "-d", &a]);
    assert!(code != 0 && stderr.contains("00000000000000000000.log: position "), "{code} {stderr}");
    let (code, _, stderr) = run(&["transactions", "list", "-d", &a]);
    assert!(code == 1 && stderr.contains("the metadata log: position "), "{code} {stderr}");
}

#[test]
fn a_topic_no_record_speaks_of_is_not_found() {
    let (code, stdout, stderr) = run(&["metadata", "log", "-d", &data(), "-t", "ordres"]);
    assert_eq!((code, stdout.as_str()), (3, ""));
    assert!(stderr.contains("topic 'ordres' not found in ") && stderr.contains("did you mean 'orders'?"), "{stderr}");
    // One that was deleted, outside its records.
    let (code, stdout, _) = run(&["metadata", "log", "-d", &data(), "-t", "gone", "-o", "114:", "--no-header"]);
    assert_eq!((code, stdout.as_str()), (0, ""));
}

#[test]
fn moments_that_make_no_sense_are_refused() {
    let cases: [(&[&str], i32, &str); 5] = [
        (&["diff", "end", "60"], 2, "TO (60) is before FROM (end)"),
        (&["diff", "@2027-01-01", "60"], 2, "TO (60) is before FROM (@2027-01-01)"),
        (&["diff", "60", "@2020-01-01"], 2, "TO (@2020-01-01) is before FROM (60)"),
        (&["diff", "60", "500"], 3, "offset 500 is behind the end of the log, 117"),
        (&["diff", "500", "600"], 3, "offset 500 is behind the end of the log, 117"),
    ];
    for (args, expected, said) in cases {
        let (code, stdout, stderr) = run(&[&["metadata"], args, &["-d", &data()]].concat());
        assert_eq!((code, stdout.as_str()), (expected, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(said) && stderr.contains("hint: "), "{args:?}: {stderr}");
    }
    let properties = fixture("metadata/data/meta.properties").display().to_string();
    let (code, _, stderr) = run(&["metadata", "tree", &data(), "-F", &properties]);
    assert!(code == 2 && stderr.contains("a PATH and -d or -F both say what to read"), "{code} {stderr}");
}
