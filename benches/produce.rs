//! How fast records are written, beside how fast the same bytes can be written at all.
//!
//! `cargo bench --bench produce` makes a file of 100-byte lines, appends it to a fresh topic along every
//! path in interleaved rounds and prints one table. The machine is shared: read the ratios.
//!
//! Environment: `LOGDIR_BENCH_MIB` (512), `LOGDIR_BENCH_ROUNDS` (5), `LOGDIR_BENCH_DIR` (a temporary
//! directory; where the logs are written), `LOGDIR_KAFKA_LIBS` (a folder with the jars of a Kafka: a broker
//! on this machine and its kafka-producer-perf-test join the table).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

#[path = "../tests/support/broker.rs"]
mod broker;
#[path = "support/rounds.rs"]
#[allow(dead_code, reason = "the other benchmarks use the rest")]
mod rounds;

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use logdir::batch::{Decompressor, Frame};
use logdir::types::Codec;
use rounds::{Measured, env, measure, median_of, report};

const LINE_BYTES: usize = 100;

/// Lines of words and numbers, 99 bytes and a newline; the same on every run.
fn make_lines(path: &Path, bytes: u64) -> u64 {
    const WORDS: [&str; 12] = [
        "order", "basket", "eu-west", "us-east", "pending", "shipped", "price", "customer", "invoice", "sensor",
        "humidity", "pressure",
    ];
    let mut file = std::io::BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut line = Vec::with_capacity(LINE_BYTES + 32);
    let lines = bytes / LINE_BYTES as u64;
    for n in 0..lines {
        line.clear();
        write!(line, "{n:010} ").unwrap();
        while line.len() < LINE_BYTES - 1 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let word = WORDS[usize::try_from(state % 12).unwrap()];
            write!(line, "{word}={} ", (state >> 32) % 10_000).unwrap();
        }
        line.truncate(LINE_BYTES - 1);
        line.push(b'\n');
        file.write_all(&line).unwrap();
    }
    file.flush().unwrap();
    lines
}

/// The limit: the bytes of the log, read from the page cache and written a megabyte at a time.
fn copy(from: &Path, to: &Path, sync: bool) {
    use std::io::Read;
    let mut source = File::open(from).unwrap();
    let mut target = File::create(to).unwrap();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = source.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        target.write_all(&buffer[..read]).unwrap();
    }
    if sync {
        target.sync_all().unwrap();
    }
}

/// `logdir produce` of the lines into a fresh log directory.
fn produce(dir: &Path, lines: &Path, args: &[&str]) -> Box<dyn Fn()> {
    let (dir, lines) = (dir.join("data"), lines.to_owned());
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    Box::new(move || {
        let _ = std::fs::remove_dir_all(&dir);
        let output = Command::new(env!("CARGO_BIN_EXE_logdir"))
            .args(["produce", "-q", "-t", "t", "-d"])
            .arg(&dir)
            .args(&args)
            .stdin(File::open(&lines).unwrap())
            .stdout(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    })
}

/// Records of a log in that codec, batch by batch, compressed again by the codec's library and nothing else.
fn bare_compression(log: &Path, codec: Codec) -> Box<dyn Fn()> {
    let bytes = std::fs::read(log).unwrap();
    let mut decompressor = Decompressor::default();
    let (mut rest, mut batches) = (&bytes[..], Vec::new());
    while let Ok(Frame::Batch(batch)) = Frame::parse(rest) {
        rest = &rest[batch.bytes().len()..];
        batches.push(decompressor.decompress(codec, 2, batch.payload()).unwrap().to_vec());
    }
    Box::new(move || {
        let mut zstd = zstd::bulk::Compressor::new(3).unwrap();
        let mut out = vec![0; 4 << 20];
        for batch in &batches {
            if codec == Codec::Zstd {
                black_box(zstd.compress_to_buffer(batch, &mut out).unwrap());
                continue;
            }
            for block in batch.chunks(64 << 10) {
                let mode = Some(lz4::block::CompressionMode::FAST(1));
                black_box(lz4::block::compress_to_buffer(block, mode, false, &mut out).unwrap());
            }
        }
    })
}

/// A record, then a wait for the disk, and again: what group commit saves.
fn one_sync_a_record(path: &Path, records: usize) -> Box<dyn Fn()> {
    let path = path.to_owned();
    Box::new(move || {
        let mut file = File::create(&path).unwrap();
        for _ in 0..records {
            file.write_all(&[7; 173]).unwrap();
            file.sync_data().unwrap();
        }
    })
}

fn main() {
    // `cargo test --benches` runs this too; it is no test.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let rounds = usize::try_from(env("LOGDIR_BENCH_ROUNDS", 5)).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("LOGDIR_BENCH_DIR").map_or_else(|| temp.path().to_owned(), PathBuf::from);
    let lines = dir.join("lines.txt");
    let records = make_lines(&lines, env("LOGDIR_BENCH_MIB", 512) << 20);
    // The log to be copied, and the compressed ones to be compressed again.
    let log = |args: &[&str], name: &str| {
        produce(&dir, &lines, &[&["--create", "1", "--fsync", "never"], args].concat())();
        let kept = dir.join(name);
        std::fs::rename(dir.join("data/t-0/00000000000000000000.log"), &kept).unwrap();
        kept
    };
    let plain = log(&[], "plain.log");
    let len = plain.metadata().unwrap().len();
    eprintln!("{records} records, {} MiB of log", len >> 20);

    let mut paths: Vec<Measured> = Vec::new();
    let mut add = |name: &str, bytes: u64, records: u64, limit, aim, run: Box<dyn Fn()>| {
        paths.push(Measured { name: name.into(), bytes, records, run, limit, aim, once: false, times: Vec::new() });
    };
    let copied = dir.join("copy.log");
    for (name, sync) in [("copy: plain, no fsync", false), ("copy+fsync: plain", true)] {
        let (plain, copied) = (plain.clone(), copied.clone());
        add(name, len, records, None, "", Box::new(move || copy(&plain, &copied, sync)));
    }
    let one = ["--create", "1"];
    let with = |more: &[&'static str]| produce(&dir, &lines, &[&one[..], more].concat());
    add("produce --fsync never", len, records, Some(0), ">= 8 M rec/s", with(&["--fsync", "never"]));
    add("produce --fsync end", len, records, Some(1), "<= 1.25 x copy+fsync", with(&[]));
    add("produce --fsync batch", len, records, Some(1), ">= 100 x one fsync a record", with(&["--fsync", "batch"]));
    let keyed = produce(&dir, &lines, &["--create", "12", "-K ", "--fsync", "never"]);
    add("produce -K, 12 partitions, never", len, records, Some(0), "", keyed);
    for codec in [Codec::Lz4, Codec::Zstd] {
        let name = codec.name();
        let bare = bare_compression(&log(&["-z", name], name), codec);
        add(&format!("{name} bare: compression alone"), len, records, None, "", bare);
        let at = |threads: &'static str| with(&["-z", name, "--threads", threads, "--fsync", "never"]);
        add(&format!("produce -z {name}, one thread"), len, records, None, "<= 1.15 x (bare + never)", at("1"));
        add(&format!("produce -z {name}, two threads"), len, records, None, ">= 1.7 x one thread", at("2"));
    }
    let synced = 200;
    let run = one_sync_a_record(&copied, synced);
    add("one fsync a record: 200 of them", 173 * synced as u64, synced as u64, None, "", run);
    measure(&mut paths, rounds);
    report(&paths);

    let median = |name: &str| median_of(&paths, name);
    let never = median("produce --fsync never");
    for codec in ["lz4", "zstd"] {
        let (bare, one, two) = (
            median(&format!("{codec} bare")),
            median(&format!("produce -z {codec}, one")),
            median(&format!("produce -z {codec}, two")),
        );
        println!(
            "{codec}: {:.2} x (bare compression + plain pass), two threads {:.2} x one",
            one / (bare + never),
            one / two
        );
    }
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = |records: u64, seconds: f64| records as f64 / seconds;
    println!(
        "group commit: {:.0} x one fsync a record",
        rate(records, median("produce --fsync batch")) / rate(synced as u64, median("one fsync"))
    );
    peak_memory(&dir, &lines);
    kafka(records);
}

fn peak_memory(dir: &Path, lines: &Path) {
    for args in [&["--create", "1"][..], &["--create", "1", "-z", "zstd"], &["--create", "100", "-K "]] {
        let _ = std::fs::remove_dir_all(dir.join("data"));
        let output = Command::new("/usr/bin/time")
            .args(["-f", "%M", env!("CARGO_BIN_EXE_logdir"), "produce", "-q", "-t", "t", "-d"])
            .arg(dir.join("data"))
            .args(args)
            .stdin(File::open(lines).unwrap())
            .output();
        let Ok(output) = output else { return };
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let Some(kib) = text.lines().last().and_then(|line| line.trim().parse::<f64>().ok()) else { return };
        println!("peak memory: {:.1} MiB with {} (aim <= 64)", kib / 1024.0, args.join(" "));
    }
}

/// kafka-producer-perf-test against a broker of one node on this machine: no keys, 100 bytes, one partition.
fn kafka(records: u64) {
    let Some(kafka) = broker::Kafka::find() else { return };
    let broker = broker::Broker::start(&kafka, "num.partitions=1\n");
    for acks in ["1", "all"] {
        let start = Instant::now();
        let output = Command::new("java")
            .args(["-Xmx512m", "-cp"])
            .arg(kafka.jars())
            .args(["org.apache.kafka.tools.ProducerPerformance", "--topic", &format!("perf-{acks}"), "--num-records"])
            .arg(records.min(3_000_000).to_string())
            .args(["--record-size", "100", "--throughput", "-1", "--producer-props"])
            .args([format!("bootstrap.servers=127.0.0.1:{}", broker.port()), format!("acks={acks}")])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = text.lines().rev().find(|line| line.contains("records/sec")).unwrap_or("no answer");
        println!("kafka-producer-perf-test, acks={acks}: {last} ({:.1} s with the JVM)", start.elapsed().as_secs_f64());
    }
}
