//! How fast a log is read, beside how fast the same bytes can be read at all.
//!
//! `cargo bench --bench read` makes a log of 1 GiB of 100-byte records (and the same records in lz4 and
//! zstd), measures every path in interleaved rounds and prints one table. The machine is shared: read
//! the ratios, not the figures.
//!
//! Environment: `LOGDIR_BENCH_MIB` (1024), `LOGDIR_BENCH_ROUNDS` (5), `LOGDIR_BENCH_DIR` (a temporary
//! directory), `LOGDIR_BENCH_ONLY` (a word: only paths with it in their name, and the limits),
//! `LOGDIR_KAFKA_LIBS` (a folder with the jars of a Kafka: its own tools join the table).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

#[path = "support/generate.rs"]
mod generate;
#[path = "support/rounds.rs"]
mod rounds;

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use logdir::batch::scan::{Depth, ScanOptions, Scanner, Step};
use logdir::batch::{Decompressor, Frame};
use logdir::crc::crc32c;
use logdir::storage::file_source::FileSource;
use logdir::types::{Codec, Position};
use rounds::{Measured, command, env, measure, median_of, peak_memory_mib, report};

/// The floor: every byte read once and checksummed, nothing understood.
fn read_and_checksum(path: &Path, from: u64, to: u64) {
    let file = File::open(path).unwrap();
    let mut buffer = vec![0; 256 << 10];
    let mut at = from;
    while at < to {
        let want = usize::try_from((to - at).min(buffer.len() as u64)).unwrap();
        let read = file.read_at(&mut buffer[..want], at).unwrap();
        black_box(crc32c(&buffer[..read]));
        at += read as u64;
    }
}

fn scanner(path: &Path, depth: Depth, from: u64) -> Scanner<FileSource> {
    let options = ScanOptions { depth, base_offset: None, ..ScanOptions::default() };
    let file = File::open(path).unwrap();
    let source = match depth {
        Depth::Headers => FileSource::with_read_bytes(file, 4 << 10),
        Depth::Crc => FileSource::new(file),
    };
    Scanner::new(source.unwrap(), Position::new(from), options)
}

fn scan(path: &Path, depth: Depth, from: u64, to: u64) {
    let mut scanner = scanner(path, depth, from);
    while scanner.position().get() < to {
        match scanner.next().unwrap() {
            Step::Entry(entry) => {
                black_box(entry.frame.last_offset());
            }
            Step::Damage(damage) => panic!("{damage:?}"),
            Step::End(..) => break,
        }
    }
}

fn deep(path: &Path, from: u64, to: u64) {
    let mut scanner = scanner(path, Depth::Crc, from);
    let mut decompressor = Decompressor::default();
    while scanner.position().get() < to {
        let Step::Entry(entry) = scanner.next().unwrap() else { break };
        let records = entry.frame.records(&mut decompressor).unwrap();
        let visited = records.visit(|record| {
            black_box(record);
            std::ops::ControlFlow::<()>::Continue(())
        });
        visited.unwrap();
    }
}

/// Compressed payloads in memory: bare decompression into a buffer of the right size, and nothing else.
fn bare_decompression(path: &Path, codec: Codec) -> Box<dyn Fn()> {
    let bytes = std::fs::read(path).unwrap();
    Box::new(move || {
        let mut rest = &bytes[..];
        let mut out = Vec::with_capacity(4 << 20);
        let mut unpacked = vec![0; 4 << 20];
        let mut zstd = zstd::bulk::Decompressor::new().unwrap();
        while let Ok(Frame::Batch(batch)) = Frame::parse(rest) {
            rest = &rest[batch.bytes().len()..];
            out.clear();
            match codec {
                Codec::Zstd => {
                    zstd.decompress_to_buffer(batch.payload(), &mut out).unwrap();
                }
                _ => {
                    // The blocks of the frame, one after the other, behind its 7-byte header.
                    let mut blocks = &batch.payload()[7..];
                    let mut at = 0;
                    while let Some((len, tail)) = blocks.split_first_chunk::<4>() {
                        let len = u32::from_le_bytes(*len) as usize;
                        if len == 0 {
                            break;
                        }
                        let (block, after) = tail.split_at(len & 0x7fff_ffff);
                        at += lz4_flex::block::decompress_into(block, &mut unpacked[at..]).unwrap();
                        blocks = after;
                    }
                }
            }
            black_box((&out, &unpacked));
        }
    })
}

fn halves(path: &Path, work: impl Fn(&Path, u64, u64) + Sync) {
    let len = path.metadata().unwrap().len();
    // The first batch behind the middle: a reader may start there.
    let mut middle = scanner(path, Depth::Headers, 0);
    while middle.position().get() < len / 2 {
        middle.next().unwrap();
    }
    let middle = middle.position().get();
    std::thread::scope(|scope| {
        scope.spawn(|| work(path, 0, middle));
        work(path, middle, len);
    });
}

fn java(libs: &Path, main: &str, args: &[&str]) -> Box<dyn Fn()> {
    let classpath = format!("{}/*", libs.display());
    let mut all = vec!["-Xmx1g", "-cp", &classpath, main];
    all.extend(args);
    command(Path::new("java"), &all)
}

fn main() {
    // `cargo test --benches` runs this too; it is no test.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let bytes = env("LOGDIR_BENCH_MIB", 1024) << 20;
    let rounds = usize::try_from(env("LOGDIR_BENCH_ROUNDS", 5)).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("LOGDIR_BENCH_DIR").map_or_else(|| temp.path().to_owned(), PathBuf::from);
    let mut logs = Vec::new();
    let mut records = 0;
    for (topic, codec) in [("plain-0", Codec::None), ("lz4-0", Codec::Lz4), ("zstd-0", Codec::Zstd)] {
        let path = dir.join(topic).join("00000000000000000000.log");
        let made = generate::log(&path, bytes, codec);
        if codec == Codec::None {
            records = made;
        }
        eprintln!("{topic}: {} records, {:.0} MiB", made, path.metadata().unwrap().len() >> 20);
        logs.push((path, made));
    }
    let (plain, lz4, zstd) = (logs[0].0.clone(), logs[1].0.clone(), logs[2].0.clone());
    let len = plain.metadata().unwrap().len();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_logdir"));
    let partition = plain.parent().unwrap().display().to_string();

    let mut paths: Vec<Measured> = Vec::new();
    let mut add = |name: &str, bytes: u64, records: u64, limit, aim, run: Box<dyn Fn()>| {
        paths.push(Measured { name: name.into(), bytes, records, run, limit, aim, once: false, times: Vec::new() });
    };
    let on = |path: &PathBuf, work: fn(&Path)| -> Box<dyn Fn()> {
        let path = path.clone();
        Box::new(move || work(&path))
    };
    add(
        "read+crc: one thread",
        len,
        records,
        None,
        "",
        on(&plain, |p| read_and_checksum(p, 0, p.metadata().unwrap().len())),
    );
    add("read+crc2: two threads", len, records, None, "", on(&plain, |p| halves(p, read_and_checksum)));
    add("header scan", len, records, Some(0), "", on(&plain, |p| scan(p, Depth::Headers, 0, u64::MAX)));
    add(
        "CRC of every batch, one thread",
        len,
        records,
        Some(0),
        ">= 4 GB/s",
        on(&plain, |p| scan(p, Depth::Crc, 0, u64::MAX)),
    );
    add(
        "CRC of every batch, two threads",
        len,
        records,
        Some(1),
        ">= 7 GB/s",
        on(&plain, |p| halves(p, |p, a, b| scan(p, Depth::Crc, a, b))),
    );
    add("deep iteration, one thread", len, records, Some(0), ">= 25 M rec/s", on(&plain, |p| deep(p, 0, u64::MAX)));
    add("deep iteration, two threads", len, records, Some(1), "", on(&plain, |p| halves(p, deep)));
    for (name, format, aim) in [
        ("consume, values", vec![], ">= 20 M rec/s"),
        ("consume, offset<TAB>key<TAB>value", vec!["-f", "%o\\t%k\\t%s\\n"], ">= 20 M rec/s"),
        ("consume, NDJSON", vec!["--json"], ">= 6 M rec/s"),
    ] {
        let mut args = vec!["consume", &partition];
        args.extend(format);
        add(name, len, records, Some(0), aim, command(&program, &args));
    }
    let plain_text = plain.display().to_string();
    add("dump-segment, batches", len, records, Some(0), "", command(&program, &["dump-segment", &plain_text]));
    add(
        "dump-segment --output kafka --print-data-log",
        len,
        records,
        Some(0),
        "<= 1/20 of kafka-dump-log",
        command(&program, &["dump-segment", "--output", "kafka", "--print-data-log", &plain_text]),
    );
    for (name, path, codec, made) in [("lz4", &lz4, Codec::Lz4, logs[1].1), ("zstd", &zstd, Codec::Zstd, logs[2].1)] {
        // The bare run does not make the pass over the records: the aim adds that of the plain log.
        add(&format!("{name} bare: decompression alone"), bytes, made, None, "", bare_decompression(path, codec));
        add(
            &format!("{name}, deep iteration"),
            bytes,
            made,
            None,
            "<= 1.15 x (bare + plain deep)",
            on(path, |p| deep(p, 0, u64::MAX)),
        );
    }
    let libs = std::env::var_os("LOGDIR_KAFKA_LIBS").map(PathBuf::from);
    if let Some(libs) = &libs {
        let run = java(libs, "org.apache.kafka.tools.DumpLogSegments", &["--print-data-log", "--files", &plain_text]);
        paths.push(Measured {
            name: "kafka-dump-log --print-data-log".into(),
            bytes: len,
            records,
            run,
            limit: Some(0),
            aim: "",
            once: true,
            times: Vec::new(),
        });
    }

    if let Ok(word) = std::env::var("LOGDIR_BENCH_ONLY") {
        let mut number = 0;
        paths.retain(|path| {
            number += 1;
            number <= 2 || path.name.contains(&word)
        });
        paths.iter_mut().for_each(|path| path.limit = path.limit.filter(|limit| *limit < 2));
    }
    measure(&mut paths, rounds);
    report(&paths);
    if std::env::var_os("LOGDIR_BENCH_ONLY").is_some() {
        return;
    }

    let median = |name: &str| median_of(&paths, name);
    let pass = median("deep iteration, one");
    for codec in ["lz4", "zstd"] {
        let (bare, ours) = (median(&format!("{codec} bare")), median(&format!("{codec}, deep")));
        println!("{codec}: {:.2} x (bare decompression + plain deep iteration)", ours / (bare + pass));
    }
    if libs.is_some() {
        println!(
            "dump: 1/{:.0} of kafka-dump-log's time",
            median("kafka-dump-log") / median("dump-segment --output kafka")
        );
    }
    let start = Instant::now();
    for _ in 0..200 {
        (command(&program, &["--version"]))();
    }
    println!("start-up: {:.2} ms a run of `logdir --version`", start.elapsed().as_secs_f64() * 1e3 / 200.0);
    for args in [
        vec!["consume", partition.as_str(), "--json"],
        vec!["dump-segment", "--output", "kafka", "--print-data-log", plain_text.as_str()],
    ] {
        if let Some(peak) = peak_memory_mib(&program, &args) {
            println!("peak memory: {peak:.1} MiB for {} (aim <= 32)", args.join(" ").replace(&partition, "..."));
        }
    }
}
