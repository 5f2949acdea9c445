//! `logdir partition-of`: keys, groups and transactional ids, and how many partitions there are.

use serde_json::{Value, json};

use super::support::{fixture, logdir, run};

fn data(name: &str) -> String {
    fixture(name).join("data").display().to_string()
}

fn json_rows(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn keys_groups_and_ids_in_three_formats() {
    let all =
        ["partition-of", "customer-77", "", "--partitions", "12", "--group", "my-group", "--transactional-id", "t 1"];
    let (code, stdout, stderr) = run(&all);
    let expected = "PARTITION  PARTITIONS  TOPIC                KIND              KEY_OR_ID\n\
                    \u{20}       1          12  -                    key               customer-77\n\
                    \u{20}       9          12  -                    key               \"\"\n\
                    \u{20}       6          12  __consumer_offsets   group             my-group\n\
                    \u{20}       5          12  __transaction_state  transactional_id  t 1\n";
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, expected, ""));

    let (code, stdout, _) = run(&[&all[..], &["--output", "tsv"]].concat());
    assert_eq!(code, 0);
    assert_eq!(stdout.lines().next(), Some("partition\tpartitions\ttopic\tkind\tkey_or_id"));
    assert_eq!(stdout.lines().last(), Some("5\t12\t__transaction_state\ttransactional_id\tt 1"));

    let (code, stdout, _) = run(&[&all[..], &["--json"]].concat());
    assert_eq!(code, 0);
    let rows = json_rows(&stdout);
    assert!(stdout.starts_with("{\"type\":\"key\","), "{stdout}");
    let key = json!({"type": "key", "key": "customer-77", "partition": 1, "partitions": 12, "topic": null, "partitioner": "murmur2"});
    assert_eq!(rows[0], key);
    let group =
        json!({"type": "group", "group": "my-group", "partition": 6, "partitions": 12, "topic": "__consumer_offsets"});
    assert_eq!(rows[2], group);
}

#[test]
fn partitions_are_counted_where_the_topic_lies() {
    let transactions = data("transactions");
    let (code, stdout, stderr) = run(&["partition-of", "k", "-d", &transactions, "-t", "txn-a", "--no-header"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("  3  txn-a "), "{stdout}");

    // Internal topics: 3 partitions in that directory, 50 by default.
    let ids = ["--group", "g", "--transactional-id", "t", "--json"];
    let counts = |args: &[&str]| -> Vec<Value> {
        let (code, stdout, stderr) = run(args);
        assert_eq!(code, 0, "{stderr}");
        json_rows(&stdout).iter().map(|row| row["partitions"].clone()).collect()
    };
    assert_eq!(counts(&[&["partition-of", "-d", &transactions][..], &ids].concat()), [json!(3), json!(3)]);
    assert_eq!(counts(&[&["partition-of"][..], &ids].concat()), [json!(50), json!(50)]);
    let (code, stdout, stderr) = run(&["partition-of", "-d", &data("codecs"), "--group", "g", "--no-header"]);
    assert_eq!(code, 0);
    assert!(stdout.contains(" 50  __consumer_offsets"), "{stdout}");
    assert!(stderr.contains("no __consumer_offsets in ") && stderr.contains("default of 50"), "{stderr}");

    // Part of a topic only: its end may be missing as well.
    let dir = tempfile::tempdir().unwrap();
    for partition in [0, 3] {
        std::fs::create_dir(dir.path().join(format!("orders-{partition}"))).unwrap();
    }
    let here = dir.path().display().to_string();
    let (code, stdout, stderr) = run(&["partition-of", "k", "-d", &here, "-t", "orders", "--no-header"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("  4  orders "), "{stdout}");
    let said = "warning: orders has no directory here for partition 1, 2: it may have more than 4\n\
                hint: give the number of its partitions with --partitions N\n";
    assert_eq!(stderr, said);
    let (code, stdout, stderr) = run(&["partition-of", "k", "-d", &here, "-t", "order"]);
    assert_eq!((code, stdout.as_str()), (3, ""));
    assert!(stderr.contains("error: topic 'order' not found") && stderr.contains("did you mean 'orders'?"), "{stderr}");
}

#[test]
fn keys_come_as_bytes_and_from_stdin() {
    let of = |args: &[&str], stdin: &[u8]| {
        let args = [&["partition-of", "--partitions", "100", "--json"], args].concat();
        let output = logdir(&args).write_stdin(stdin).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        json_rows(&String::from_utf8(output.stdout).unwrap())
    };
    let by_name = of(&["abc"], b"");
    assert_eq!(of(&["--hex", "616263"], b""), by_name);
    assert_eq!(of(&["--hex", "616263"], b""), of(&["--base64", "YWJj"], b""));
    assert_eq!(of(&["-"], b"abc\n"), by_name);
    assert_eq!(of(&["--hex", "-"], b"616263 \r\n"), by_name);
    let lines = of(&["-"], b"one\n\ntwo\r\n\xff\xfe");
    let keys: Vec<_> = lines.iter().map(|row| row["key"].clone()).collect();
    assert_eq!(keys, [json!("one"), json!(""), json!("two\r"), Value::Null]);
    assert_eq!(lines[3]["key_base64"], "//4=");

    // Whatever is in a key, the terminal gets text.
    let (_, stdout, _) = run(&["partition-of", "--hex", "1b5b316dff", "--partitions", "2", "--no-header"]);
    assert!(stdout.ends_with("  \\x1b[1m\\xff\n"), "{stdout}");
}

#[test]
fn librdkafka_leaves_an_empty_key_to_chance() {
    let (code, stdout, stderr) =
        run(&["partition-of", "abc", "", "--partitions", "10", "--partitioner", "crc32", "--json"]);
    assert_eq!(code, 1);
    let rows = json_rows(&stdout);
    // CRC-32 of "abc" is 0x352441c2.
    assert_eq!((&rows[0]["partition"], &rows[1]["partition"]), (&json!(0x3524_41c2 % 10), &Value::Null));
    assert!(stderr.contains("random partition"), "{stderr}");
}

#[test]
fn what_cannot_be_answered_is_said() {
    let cases: [(&[&str], &str); 9] = [
        (&[], "required"),
        (&["key"], "--partitions <N>|--topic <NAME>"),
        (&["key", "--partitions", "0"], "expected a number of partitions from 1 to 2147483647"),
        (&["key", "--partitions", "3", "-t", "orders"], "cannot be used with"),
        (&["key", "--partitions", "3", "--partitioner", "sticky"], "sticky does not look at the key"),
        (&["key", "--partitions", "3", "--partitioner", "fnv"], "expected murmur2 or crc32"),
        (&["xyz", "--partitions", "3", "--hex"], "error: key 'xyz' is not hex"),
        (&["xyz", "--partitions", "3", "--hex", "--base64"], "cannot be used with"),
        (&["key", "--partitions", "3", "--output", "kafka"], "--output kafka is not offered"),
    ];
    for (args, expected) in cases {
        let (code, stdout, stderr) = run(&[&["partition-of"], args].concat());
        assert_eq!(code, 2, "{args:?}: {stderr}");
        assert!(!stdout.contains("xyz") && stderr.contains(expected), "{args:?}: {stderr}");
    }
    let output =
        logdir(&["partition-of", "--partitions", "3", "--base64", "-"]).write_stdin("YWJj\n?\n").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 2 of stdin is not base64"));
}
