//! Records into a live cluster and out of it: `logdir mirror` beside librdkafka's own speed with the same settings.
//!
//! Needs a broker: `LOGDIR_BENCH_KAFKA=127.0.0.1:9092 cargo bench --features cluster --bench mirror_cluster`. `LOGDIR_BENCH_RECORDS`
//! (default 4,000,000) of 100 bytes each. Topics and transactional ids have names of their own for every run.
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use logdir::cluster::client::Cluster;
use logdir::cluster::properties::Properties;
use logdir::cluster::topics::{Admin, Wanted};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

const PARTITIONS: i32 = 4;

fn records() -> u64 {
    std::env::var("LOGDIR_BENCH_RECORDS").map_or(4_000_000, |text| text.parse().unwrap())
}

fn value(number: u64) -> [u8; 100] {
    let mut value =
        *b"0000000000 The quick brown fox jumps over the lazy dog, again and again, until it is tired of it all....";
    let digits = format!("{number:010}");
    value[..10].copy_from_slice(digits.as_bytes());
    value[..100].try_into().unwrap()
}

/// Makes a topic.
fn create(servers: &str, topic: &str) {
    let cluster = Cluster::new(servers, Properties::default()).unwrap();
    let admin = Admin::open(&cluster).unwrap();
    let wanted =
        [Wanted { name: topic.to_owned(), partitions: PARTITIONS, replication_factor: -1, configs: Vec::new() }];
    admin.create(&wanted, false).unwrap();
    admin.wait_for(&cluster.reader("bench").unwrap(), &wanted).unwrap();
}

/// librdkafka alone: the settings of the mirror's producer, one transaction.
fn alone(servers: &str, topic: &str) -> f64 {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("transactional.id", format!("bench-{topic}"))
        .set("transaction.timeout.ms", "300000")
        .set("queue.buffering.max.messages", "100000")
        .set("queue.buffering.max.kbytes", "32768")
        .set("linger.ms", "5")
        .set("batch.num.messages", "100000")
        .set("batch.size", "1044480")
        .create()
        .unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
    producer.begin_transaction().unwrap();
    let started = Instant::now();
    for number in 0..records() {
        let value = value(number);
        let partition = i32::try_from(number / 2_000 % PARTITIONS as u64).unwrap();
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).payload(&value[..]).partition(partition);
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            record = back;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    producer.commit_transaction(Duration::from_secs(60)).unwrap();
    records() as f64 / started.elapsed().as_secs_f64()
}

/// Records a second of a mirror, its start included; `memory` is the most that one took, in MiB.
fn mirror(args: &[&str], memory: &mut u64) -> f64 {
    let started = Instant::now();
    let mut mirror = Command::new(env!("CARGO_BIN_EXE_logdir"))
        .args(["mirror", "-q"])
        .args(args)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", mirror.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: u64 = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0);
        *memory = (*memory).max(kib / 1024);
        if let Some(status) = mirror.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{args:?}");
    records() as f64 / started.elapsed().as_secs_f64()
}

/// librdkafka alone: committed records of a topic, its start included.
fn consumed(servers: &str, topic: &str) -> f64 {
    let started = Instant::now();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.message.max.bytes", "1048576")
        .set("fetch.queue.backoff.ms", "5")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut count = 0;
    while count < records() {
        if let Some(message) = consumer.poll(Duration::from_secs(1)) {
            assert_eq!(message.unwrap().payload().map(<[u8]>::len), Some(100));
            count += 1;
        }
    }
    records() as f64 / started.elapsed().as_secs_f64()
}

fn main() {
    let Ok(servers) = std::env::var("LOGDIR_BENCH_KAFKA") else {
        println!("skipped: LOGDIR_BENCH_KAFKA names no broker");
        return;
    };
    let run = std::process::id();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let topic = format!("mirrored-{run}");
    let mut produce = Command::new(env!("CARGO_BIN_EXE_logdir"))
        .args(["produce", "-q", "-d", data.to_str().unwrap(), "-t", &topic, "--create", "4", "--batch-size", "262144"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    {
        use std::io::Write;
        let mut lines = std::io::BufWriter::new(produce.stdin.take().unwrap());
        for number in 0..records() {
            lines.write_all(&value(number)).unwrap();
            lines.write_all(b"\n").unwrap();
        }
    }
    assert!(produce.wait().unwrap().success());
    let mut memory = 0;
    for round in 0..3 {
        let plain = format!("plain-{run}-{round}");
        create(&servers, &plain);
        let alone = alone(&servers, &plain);
        let name = format!("bench-{run}-{round}");
        let args = ["-d", data.to_str().unwrap(), "--to-cluster", &servers, "--name", &name, "--append"];
        let mirrored = mirror(&args, &mut memory);
        println!("into: librdkafka {alone:.0} records/s, mirror {mirrored:.0} records/s: {:.2}", mirrored / alone);
    }
    println!("into: {memory} MiB at most");
    memory = 0;
    for round in 0..3 {
        let topic = format!("plain-{run}-{round}");
        let alone = consumed(&servers, &topic);
        let to = dir.path().join(format!("copy-{round}"));
        let mirrored = mirror(&["--from-cluster", &servers, "--to", to.to_str().unwrap(), "-t", &topic], &mut memory);
        println!("out of: librdkafka {alone:.0} records/s, mirror {mirrored:.0} records/s: {:.2}", mirrored / alone);
    }
    println!("out of: {memory} MiB at most");
}
