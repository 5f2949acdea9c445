//! Groups that logdir has changed, as a running Kafka 4.3 shows them and its consumers resume; and the other way round.
//!
//! Skipped without `LOGDIR_KAFKA_LIBS`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/broker.rs"]
mod broker;

use std::process::{Command, Stdio};

use broker::{Broker, Kafka};

const TOOL: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

fn logdir(args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    let output = command.env_clear().args(args).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Lines that say something, sorted: Kafka's order is that of its hash maps.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// What the tool says of the running broker, and what logdir says of the directory of the stopped one.
fn of_broker(kafka: &Kafka, broker: &Broker, args: &[&str]) -> Vec<String> {
    let address = format!("127.0.0.1:{}", broker.port());
    lines(&kafka.tool(TOOL, &[&["--bootstrap-server", &address][..], args].concat()))
}

fn of_directory(data: &str, args: &[&str]) -> Vec<String> {
    let (code, stdout, stderr) = logdir(&[&["groups"][..], args, &["-d", data, "--output", "kafka"]].concat());
    assert!(code == Some(0) || code == Some(1), "{args:?}: {stderr}");
    lines(&(stdout + &stderr))
}

/// The number of offsets of `group` in JSON, and what they come to.
fn committed(data: &str, group: &str) -> (usize, i64, i64) {
    let (_, stdout, stderr) = logdir(&["groups", "describe", group, "-d", data, "--json"]);
    let rows: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sum = |name: &str| rows.iter().map(|row| row[name].as_i64().unwrap()).sum();
    assert!(!rows.is_empty(), "{stderr}");
    (rows.len(), sum("current_offset"), sum("lag"))
}

#[test]
fn a_broker_shows_and_serves_what_was_changed() {
    let Some(kafka) = Kafka::find() else { return };
    let mut broker = Broker::start(&kafka, "");
    let data = broker.data().display().to_string();
    let mut clients = broker.clients();
    clients.run("create orders 3");
    clients.run("create users 2");
    let orders: i64 = clients.run("produce orders 3 7 40").parse().unwrap();
    let users: i64 = clients.run("produce users 2 8 20").parse().unwrap();
    for (group, topic, expected) in
        [("billing", "orders", orders), ("audit", "orders", orders), ("mail", "users", users)]
    {
        assert_eq!(clients.run(&format!("resume {group} {topic}")).parse::<i64>().unwrap(), expected);
    }
    let before = of_broker(&kafka, &broker, &["--describe", "--all-groups"]);
    let listed = of_broker(&kafka, &broker, &["--list", "--state", "--type"]);
    drop(clients);
    broker.stop();

    // What the broker said while it ran, its directory says when it has stopped.
    assert_eq!(of_directory(&data, &["describe", "--all-groups"]), before);
    assert_eq!(of_directory(&data, &["list", "--state", "--type"]), listed);
    let (_, end, lag) = committed(&data, "billing");
    assert_eq!(lag, 0);

    // Without --execute nothing is written.
    let reset = ["groups", "reset-offsets", "billing", "--all-topics", "--shift-by", "-5", "-d", &data];
    assert_eq!(logdir(&reset).0, Some(0));
    assert_eq!(of_directory(&data, &["describe", "--all-groups"]), before);
    let execute = |args: &[&str]| {
        let (code, stdout, stderr) = logdir(&[&["groups"][..], args, &["--execute", "-d", &data]].concat());
        assert_eq!(code, Some(0), "{args:?}: {stdout}{stderr}");
    };
    execute(&["reset-offsets", "billing", "--all-topics", "--shift-by", "-5"]);
    assert_eq!(committed(&data, "billing"), (3, end - 15, 15));
    // A group that was not there; one that is deleted; one that loses a topic's offsets.
    execute(&["reset-offsets", "fresh", "-t", "orders", "-t", "users:1", "--to-earliest"]);
    execute(&["delete", "audit"]);
    execute(&["delete-offsets", "mail", "-t", "users", "-p", "0"]);
    let (code, stdout, stderr) = logdir(&["verify", "-d", &data]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let expected = of_directory(&data, &["describe", "--all-groups"]);
    let expected_list = of_directory(&data, &["list", "--state", "--type"]);
    assert!(expected.iter().any(|line| line.starts_with("fresh ")), "{expected:?}");
    assert!(!expected.iter().any(|line| line.contains("audit")), "{expected:?}");

    broker.restart();
    assert_eq!(of_broker(&kafka, &broker, &["--describe", "--all-groups"]), expected);
    assert_eq!(of_broker(&kafka, &broker, &["--list", "--state", "--type"]), expected_list);
    let mut clients = broker.clients();
    // From where they were set on, nothing missing, nothing twice.
    assert_eq!(clients.run("resume billing orders"), "15");
    assert_eq!(clients.run("resume fresh orders").parse::<i64>().unwrap(), orders);
    assert_eq!(clients.run("resume billing orders"), "0", "what a consumer commits comes after it");
    drop(clients);
    broker.stop();
    assert_eq!(committed(&data, "billing"), (3, end, 0), "and is what the directory says");

    // Carried over: what one directory exports, another takes.
    let (_, csv, _) =
        logdir(&["groups", "reset-offsets", "billing", "--all-topics", "--to-current", "--export", "-d", &data]);
    let file = broker.file("plan.csv");
    std::fs::write(&file, &csv).unwrap();
    execute(&["reset-offsets", "copy", "--from-file", file.to_str().unwrap()]);
    broker.restart();
    let mut clients = broker.clients();
    assert_eq!(clients.run("resume copy orders"), "0");
    println!(
        "4 groups set, deleted and carried over: {} lines as the broker's, {} bytes of CSV",
        expected.len(),
        csv.len()
    );
}

#[test]
fn offsets_go_to_and_fro_between_kafkas_tool_and_the_directory() {
    let Some(kafka) = Kafka::find() else { return };
    let mut broker = Broker::start(&kafka, "");
    let data = broker.data().display().to_string();
    let mut clients = broker.clients();
    clients.run("create orders 3");
    let orders: i64 = clients.run("produce orders 3 7 40").parse().unwrap();
    // The broker makes __consumer_offsets with the first commit.
    for group in ["billing", "a group, of \"several\" words and more"] {
        let csv = format!("\"{}\",orders,0,0\n", group.replace('"', "\"\""));
        let file = broker.file("first.csv");
        std::fs::write(&file, csv).unwrap();
        let address = format!("127.0.0.1:{}", broker.port());
        let said = kafka.tool(
            TOOL,
            &[
                "--bootstrap-server",
                &address,
                "--reset-offsets",
                "--group",
                group,
                "--from-file",
                file.to_str().unwrap(),
                "--execute",
            ],
        );
        assert!(said.contains("NEW-OFFSET"), "{said}");
    }
    assert_eq!(clients.run("resume billing orders").parse::<i64>().unwrap(), orders);
    let of_tool = |broker: &Broker, args: &[&str]| {
        let address = format!("127.0.0.1:{}", broker.port());
        lines(&kafka.tool(TOOL, &[&["--bootstrap-server", &address, "--reset-offsets"][..], args].concat()))
    };
    let export = ["--all-topics", "--to-current", "--dry-run", "--export"];
    let of_all = of_tool(&broker, &[&["--all-groups"][..], &export].concat());
    let of_one = of_tool(&broker, &[&["--group", "billing"][..], &export].concat());
    drop(clients);
    broker.stop();

    // logdir's export is Kafka's, byte for byte but for the order of its hash maps.
    let exported = |args: &[&str]| {
        let (code, stdout, stderr) = logdir(&[&["groups", "export"][..], args, &["-d", &data]].concat());
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    assert_eq!(lines(&exported(&[])), of_all);
    assert_eq!(lines(&exported(&["billing"])), of_one);
    assert_eq!(of_one.len(), 3);

    // Kafka's file is imported, under another name too; offsets are committed by hand.
    let execute = |args: &[&str]| {
        let (code, stdout, stderr) = logdir(&[&["groups"][..], args, &["-d", &data]].concat());
        assert_eq!(code, Some(0), "{args:?}: {stdout}{stderr}");
        stdout
    };
    let file = broker.file("kafka.csv");
    let file = file.to_str().unwrap();
    std::fs::write(file, of_one.join("\n") + "\n\n").unwrap();
    execute(&["import", file, "-G", "copy", "--execute"]);
    assert_eq!(committed(&data, "copy"), committed(&data, "billing"));
    execute(&["commit", "manual", "orders:0=3,0", "orders:2=1", "--metadata", "by hand"]);
    let json = exported(&["--json"]);
    std::fs::write(broker.file("all.jsonl"), &json).unwrap();
    let jsonl = broker.file("all.jsonl");
    let expected = of_directory(&data, &["describe", "--all-groups"]);
    // Without its partitions, which the cluster knows: they are made again as it says, and what was exported is there.
    let names = |entry: std::fs::DirEntry| entry.path();
    for path in std::fs::read_dir(&data).unwrap().map(|entry| names(entry.unwrap())) {
        if path.file_name().unwrap().to_str().unwrap().starts_with("__consumer_offsets-") {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    let (code, _, said) = logdir(&["groups", "import", jsonl.to_str().unwrap(), "--execute", "-d", &data]);
    assert!(code == Some(0) && said.contains("made topic '__consumer_offsets' with 3 partitions"), "{said}");
    assert_eq!(exported(&["--json"]), json);
    assert_eq!(of_directory(&data, &["describe", "--all-groups"]), expected);

    broker.restart();
    assert!(!broker.said_since_start().contains("stray"), "{}", broker.said_since_start());
    assert_eq!(of_broker(&kafka, &broker, &["--describe", "--all-groups"]), expected);
    let mut clients = broker.clients();
    assert_eq!(clients.run("resume copy orders"), "0");
    drop(clients);

    // And logdir's file is read by Kafka's tool.
    std::fs::write(file, exported(&["manual", "copy"])).unwrap();
    let groups = ["--group", "copy", "--group", "manual", "--from-file", file, "--execute"];
    let said = of_tool(&broker, &groups);
    assert!(said.iter().any(|line| line.starts_with("manual ") && line.trim_end().ends_with(" 3")), "{said:?}");
    println!("{} lines of CSV as Kafka's, {} as the broker's", of_all.len(), expected.len());
}

#[test]
fn a_broker_gets_offsets_of_a_topic_it_did_not_have() {
    let Some(kafka) = Kafka::find() else { return };
    let mut broker = Broker::start(&kafka, "");
    let data = broker.data().display().to_string();
    let mut clients = broker.clients();
    clients.run("create orders 1");
    let orders: i64 = clients.run("produce orders 1 7 40").parse().unwrap();
    drop(clients);
    broker.stop();
    // What the warning says comes true, and its way out works.
    let (code, _, said) = logdir(&["groups", "commit", "g", "orders:0=3", "-d", &data]);
    assert!(code == Some(0) && said.contains("the cluster's metadata does not know topic"), "{said}");
    let (_, json, _) = logdir(&["groups", "export", "--all-groups", "--json", "-d", &data]);
    let file = broker.file("all.jsonl");
    std::fs::write(&file, &json).unwrap();
    broker.restart();
    let mut clients = broker.clients();
    assert_eq!(clients.run("resume other orders").parse::<i64>().unwrap(), orders);
    drop(clients);
    broker.stop();
    let (_, listed, _) = logdir(&["groups", "list", "--output", "kafka", "-d", &data]);
    assert_eq!(listed, "other\n");
    let (code, _, said) = logdir(&["groups", "import", file.to_str().unwrap(), "--execute", "-d", &data]);
    assert_eq!(code, Some(0), "{said}");
    broker.restart();
    let mut clients = broker.clients();
    assert_eq!(clients.run("resume g orders").parse::<i64>().unwrap(), orders - 3);
}
