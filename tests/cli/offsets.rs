//! `logdir offsets`: the questions of kafka-get-offsets, and its text.

use serde_json::Value;

use super::support::{copied, fixture, run, state_of};

fn codecs() -> String {
    fixture("codecs/data").display().to_string()
}

#[test]
fn several_times_are_answered_beside_each_other() {
    let (_temp, dir) = copied("codecs/data");
    let before = state_of(&dir);
    let path = dir.display().to_string();
    let times = ["--time", "earliest", "--time", "-1", "--time", "max-timestamp", "--time", "1700000000100"];
    let (code, stdout, stderr) = run(&[&["offsets", &path, "-t", "edge,empty-topic"][..], &times].concat());
    let expected = "TOPIC                     PARTITION  TIME                 OFFSET  EPOCH  TIMESTAMP\n\
        edge                              0  earliest                  0      0  -\n\
        edge                              0  latest                   52      0  -\n\
        edge                              0  max-timestamp            24      0  2023-12-14T22:13:20.000Z\n\
        edge                              0  1700000000100            24      0  2023-12-14T22:13:20.000Z\n\
        empty-topic                       0  earliest                  0      0  -\n\
        empty-topic                       0  latest                    0      0  -\n\
        empty-topic                       0  max-timestamp             -      -  -\n\
        empty-topic                       0  1700000000100             -      -  -\n";
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, expected, ""));
    assert_eq!(state_of(&dir), before);
    let (_, headless, _) = run(&["offsets", &path, "-t", "edge", "--no-header", "--output", "tsv"]);
    assert_eq!(headless, "edge\t0\tlatest\t52\t0\t-\n");
    // 2023-11-14T22:13:20.100Z, in the form of -o.
    let (_, at, _) = run(&["offsets", &path, "-t", "edge", "--time", "@2023-11-14T22:13:20.100Z", "--no-header"]);
    assert_eq!(at.split_whitespace().nth(3), Some("24"), "{at}");
}

#[test]
fn json_has_the_ends_beside_each_answer() {
    let path = fixture("transactions/data").display().to_string();
    let rows = |args: &[&str]| -> Vec<Value> {
        let (code, stdout, stderr) = run(&[&["offsets", &path, "--json"], args].concat());
        assert_eq!(code, 0, "{stderr}");
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (all, committed) = (rows(&[]), rows(&["--isolation-level", "read_committed"]));
    assert_eq!(all.len(), committed.len());
    let mut differ = 0;
    for (row, committed) in all.iter().zip(&committed) {
        assert_eq!((&row["type"], &row["time"], &row["time_ms"]), (&"offset".into(), &"latest".into(), &Value::Null));
        assert_eq!(
            (&row["offset"], &committed["offset"]),
            (&row["log_end_offset"], &row["last_stable_offset"]),
            "{row}"
        );
        assert!(row["log_start_offset"].as_i64() <= row["last_stable_offset"].as_i64(), "{row}");
        differ += usize::from(row["offset"] != committed["offset"]);
    }
    assert!(differ > 0, "no transaction is open");
    let by_time = rows(&["--time", "1700000000000", "-t", "re:^txn"]);
    assert!(
        by_time.iter().all(|row| row["time_ms"] == 1_700_000_000_000_i64 && row["timestamp_ms"].is_number()),
        "{by_time:?}"
    );
}

#[test]
fn the_text_of_kafka_get_offsets_leaves_out_what_has_no_answer() {
    let (_temp, dir) = copied("codecs/data");
    for number in [2, 10] {
        let (from, to) = (dir.join("oneper-0"), dir.join(format!("oneper-{number}")));
        super::support::copy(&from, &to);
    }
    let path = dir.display().to_string();
    let kafka = |args: &[&str]| run(&[&["offsets", &path, "--output", "kafka"], args].concat());
    // By the text of the partition, as the tool sorts.
    let (code, stdout, _) = kafka(&["-t", "oneper"]);
    assert_eq!((code, stdout.as_str()), (0, "oneper:0:300\noneper:10:300\noneper:2:300\n"));
    let (code, stdout, _) = kafka(&["-t", "empty-topic", "--time", "max-timestamp"]);
    assert_eq!((code, stdout.as_str()), (0, ""));
    let (_, stdout, _) = kafka(&["--topic-partitions", "one.*:1-10,edge", "--time", "earliest"]);
    assert_eq!(stdout, "edge:0:0\noneper:2:0\n");
    let (_, with, _) = kafka(&[]);
    let (_, without, _) = kafka(&["--exclude-internal-topics"]);
    assert!(with.contains("__transaction_state:0:") && !with.contains("__cluster_metadata"), "{with}");
    assert!(!without.contains("__") && with.ends_with(&without), "{without}");
}

#[test]
fn mistakes_are_answered_with_a_way_out() {
    let path = codecs();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["offsets", &path, "--time", "soon"], 2, "expected latest (-1), earliest (-2)"),
        (&["offsets", &path, "--time", "@noon"], 2, "'noon' is not a time"),
        (&["offsets", &path, "--topic-partitions", "a:x"], 2, "'a:x' is not TOPIC, TOPIC:N"),
        (&["offsets", &path, "--topic-partitions", "a", "-t", "b"], 2, "cannot be used with"),
        (&["offsets", &path, "--time", "-1", "--time", "-2", "--output", "kafka"], 2, "hint: use table, json or tsv"),
        (&["offsets", &path, "--topic-partitions", "none:0"], 3, "hint: see what there is with: logdir log-dirs"),
        (&["offsets", &path, "-t", "egde"], 3, "hint: did you mean 'edge'?"),
    ];
    for (args, expected, said) in cases {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stdout.as_str()), (expected, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
}

/// Where the batch stands that holds `offset`, or the end of the log that ends in front of it.
fn position_of(offset: i64, log: &[u8]) -> usize {
    let number = |at: usize| i32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let mut at = 0;
    while at < log.len() {
        let base = i64::from_be_bytes(log[at..at + 8].try_into().unwrap());
        if base + i64::from(number(at + 23)) >= offset {
            break;
        }
        at += 12 + usize::try_from(number(at + 8)).unwrap();
    }
    at
}

/// Log end and leader epoch entries of a replica.
type Replica = (i64, Option<&'static str>);

/// Copies of a partition, as brokers of one cluster have them: so many records of it, with the given leader epochs.
fn replicas(of: &[Replica]) -> (tempfile::TempDir, Vec<String>) {
    let temp = tempfile::tempdir().unwrap();
    let log = "00000000000000000000.log";
    let mut dirs = Vec::new();
    for (number, (keep, epochs)) in of.iter().enumerate() {
        let dir = temp.path().join(format!("broker-{number}"));
        let to = dir.join("oneper-0");
        super::support::copy(&fixture("codecs/data/oneper-0"), &to);
        let bytes = std::fs::read(to.join(log)).unwrap();
        std::fs::write(to.join(log), &bytes[..position_of(*keep, &bytes)]).unwrap();
        for entry in std::fs::read_dir(&to).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            // The later segments, and indexes, which speak of more than is left.
            if name.starts_with("00000") && name != log {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        match epochs {
            Some(epochs) => {
                let lines: Vec<_> = epochs.split(',').collect();
                let text = format!("0\n{}\n{}\n", lines.len(), lines.join("\n"));
                std::fs::write(to.join("leader-epoch-checkpoint"), text).unwrap();
            }
            None => drop(std::fs::remove_file(to.join("leader-epoch-checkpoint"))),
        }
        dirs.push(dir.display().to_string());
    }
    (temp, dirs)
}

#[test]
fn the_replica_that_reaches_furthest_answers_whatever_the_order() {
    let cases: [(&[Replica], usize, i64); 4] = [
        (&[(100, Some("0 0")), (110, Some("0 0")), (105, Some("0 0"))], 1, 110),
        // A newer epoch counts for more than more records: those were never committed.
        (&[(110, Some("0 0")), (100, Some("0 0,1 100"))], 1, 100),
        // Where one has no epochs, the ends alone are compared.
        (&[(110, None), (100, Some("0 0,1 100"))], 0, 110),
        (&[(50, Some("0 0")), (50, Some("0 0"))], 0, 50),
    ];
    for (replicas_of, best, end) in cases {
        let (_temp, dirs) = replicas(replicas_of);
        let differ = replicas_of.iter().any(|replica| replica != &replicas_of[0]);
        let reversed: Vec<String> = dirs.iter().rev().cloned().collect();
        for order in [&dirs, &reversed] {
            let joined = order.join(",");
            let (code, stdout, stderr) = run(&["offsets", "-d", &joined, "--json"]);
            let row: Value = serde_json::from_str(stdout.trim_end()).unwrap();
            assert_eq!((code, row["offset"].as_i64()), (0, Some(end)), "{replicas_of:?} {order:?} {stderr}");
            assert_eq!(row["other_replicas"].as_array().unwrap().len(), replicas_of.len() - 1, "{row}");
            assert!(row["other_replicas"][0]["log_end_offset"].is_number(), "{row}");
            assert!(stderr.contains("oneper-0 is also in "), "{stderr}");
            let read = run(&["consume", "-d", &joined, "-f", "%o\\n", "-t", "oneper"]);
            assert_eq!((read.0, read.1.lines().last().unwrap().parse()), (0, Ok(end - 1)), "{order:?}");
            if differ {
                let path = format!("{}/oneper-0", dirs[best]);
                assert_eq!(row["path"], path.as_str(), "{order:?}");
                let said = |stderr: &str| stderr.contains("this one is read, which reaches furthest (");
                assert!(said(&stderr) && said(&read.2) && read.2.contains(&path), "{stderr} {}", read.2);
            }
        }
    }
}

#[test]
fn damage_on_the_way_to_an_answer_is_named_and_ends_with_1() {
    let (_temp, dir) = copied("codecs/data");
    let path = dir.display().to_string();
    let log = dir.join("oneper-0/00000000000000000238.log");
    for index in ["index", "timeindex"] {
        std::fs::remove_file(dir.join(format!("oneper-0/00000000000000000238.{index}"))).unwrap();
    }
    let mut bytes = std::fs::read(&log).unwrap();
    let last = position_of(299, &bytes);
    bytes[last + 65] ^= 0x55;
    std::fs::write(&log, bytes).unwrap();
    for time in ["latest", "max-timestamp", "9999999999999"] {
        let (code, stdout, stderr) = run(&["offsets", "-d", &path, "-t", "oneper", "--time", time]);
        assert!(code == 1 && !stdout.is_empty(), "{time}: {code} {stdout}");
        let said = format!("oneper-0/00000000000000000238.log: batch at position {last}: stored CRC");
        assert!(stderr.contains(&said) && stderr.contains("hint: "), "{time}: {stderr}");
    }
    let (code, stdout, _) = run(&["offsets", "-d", &path, "-t", "oneper,edge", "--json"]);
    let rows: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, &rows[0]["damaged"], &rows[1]["damaged"]), (1, &false.into(), &true.into()));
    assert_eq!(rows[1]["offset"], 299, "one above the last sound batch");
}

#[test]
fn a_name_with_a_line_break_is_one_row() {
    let (_temp, dir) = copied("codecs/data");
    std::fs::rename(dir.join("edge-0"), dir.join("ed\nge\u{1b}[31m-0")).unwrap();
    let (_, stdout, _) = run(&["offsets", "-d", dir.to_str().unwrap(), "-t", "re:^ed", "--no-header"]);
    assert!(stdout.lines().count() == 1 && stdout.starts_with("ed\\nge\\x1b[31m "), "{stdout:?}");
}
