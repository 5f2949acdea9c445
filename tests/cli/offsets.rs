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
