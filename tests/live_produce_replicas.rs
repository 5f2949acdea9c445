//! Records written to the replicas of a stopped cluster of three brokers, all together: once it runs again they are there on
//! every broker, and no broker had to cut or copy anything.
//!
//! Skipped without `LOGDIR_KAFKA_LIBS`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/broker.rs"]
mod broker;
#[path = "support/cluster.rs"]
mod cluster;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use broker::Kafka;
use cluster::Cluster;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const PARTITIONS: usize = 3;
const RECORDS: usize = 20_000;

fn produce(dirs: &str, args: &[&str], input: String) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    command.env_clear().args(["produce", "-t", "orders", "-d", dirs]).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    // A run that refuses does not read it.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = process.wait_with_output().unwrap();
    writer.join().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn log_of(dir: &Path, partition: usize) -> Vec<u8> {
    std::fs::read(dir.join(format!("orders-{partition}/00000000000000000000.log"))).unwrap()
}

#[test]
fn what_is_written_to_all_replicas_of_a_stopped_cluster_stays() {
    let Some(kafka) = Kafka::find() else { return };
    let mut cluster = Cluster::start(&kafka, 1, "");
    let said = cluster.tool(
        TOPICS,
        &[
            &["--create", "--topic", "orders", "--partitions", "3", "--replication-factor", "3"][..],
            &["--config", "min.insync.replicas=2"],
        ]
        .concat(),
    );
    assert!(said.contains("Created topic"), "{said}");
    let mut clients = cluster.clients();
    clients.run(&format!("produce orders {PARTITIONS} 1 100"));
    let read = cluster.file("read");
    let consume = format!("consume read_committed {} orders", read.display());
    let before: usize = clients.run(&consume).parse().unwrap();
    drop(clients);
    // One after the other: nobody is in sync any more then, two of them are eligible to lead.
    cluster.stop();
    let dirs: Vec<PathBuf> = (1..=3).flat_map(|id| cluster.log_dirs(id)).collect();
    let named = |dirs: &[PathBuf]| dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(",");

    let input: String = (0..RECORDS).map(|number| format!("key{number}:value{number}\n")).collect();
    let (code, said) = produce(&named(&dirs), &["-K", ":", "-z", "lz4", "-v"], input);
    println!("{said}");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("3 in sync, min.insync.replicas 2"), "{said}");
    let written: Vec<Vec<u8>> = (0..PARTITIONS).map(|partition| log_of(&dirs[0], partition)).collect();
    for dir in &dirs {
        for (partition, written) in written.iter().enumerate() {
            assert!(log_of(dir, partition) == *written, "{} orders-{partition}", dir.display());
        }
    }
    // Broker 1 was the last to stop.
    let (code, said) = produce(&named(&dirs[..2]), &["--min-insync-replicas", "3", "-p", "0"], "x\n".into());
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("orders-0: NOT_ENOUGH_REPLICAS: 2 in sync, min.insync.replicas is 3"), "{said}");
    let (code, said) = produce(&named(&dirs[1..]), &["-p", "0"], "x\n".into());
    assert_eq!(code, 4, "{said}");
    // How much of that the others heard before they stopped is up to them.
    let refused = ["none of the replicas that may lead", "broker 1 may lead"];
    assert!(refused.iter().any(|text| said.contains(text)), "{said}");

    cluster.restart();
    let mut clients = cluster.clients();
    assert_eq!(clients.run(&consume), (RECORDS + before).to_string());
    let described = cluster.tool(TOPICS, &["--describe", "--topic", "orders"]);
    println!("{described}");
    for id in 1..=3 {
        let said = cluster.said_since_start(id);
        let cuts: Vec<&str> =
            said.lines().filter(|line| line.contains("orders-") && line.contains("Truncat")).collect();
        assert!(cuts.is_empty(), "{cuts:?}");
    }
    drop(clients);
    cluster.stop();
    for dir in &dirs {
        for (partition, written) in written.iter().enumerate() {
            assert!(log_of(dir, partition) == *written, "{} orders-{partition} after the brokers", dir.display());
        }
    }
}
