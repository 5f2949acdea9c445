//! Records per second into sealed batches, and keys to partitions, one thread: `cargo bench --bench build`.

use std::hint::black_box;
use std::time::Instant;

use logdir::batch::{BatchBuilder, BatchSpec, Compression, Compressor, NewHeader, NewRecord};
use logdir::partitioner::{PartitionCount, Partitioner, Strategy};

const ROUNDS: usize = 5;
const RECORDS: usize = 2_000_000;

fn main() {
    let header = [NewHeader { key: b"trace", value: Some(b"0123456789abcdef") }];
    let text: Vec<u8> =
        b"{\"order\":1042,\"customer\":\"c-77\",\"total\":129.95} ".iter().copied().cycle().take(1 << 20).collect();
    let shapes: [(&str, usize, usize, &[NewHeader<'_>]); 4] = [
        ("key 8, value 92", 8, 92, &[]),
        ("no key, value 100", 0, 100, &[]),
        ("key 8, value 1000", 8, 1_000, &[]),
        ("key 8, value 92, 1 header", 8, 92, &header),
    ];
    for batch_size in [16 << 10, 1 << 20] {
        for (name, key_bytes, value_bytes, headers) in shapes {
            let records = RECORDS * 100 / (key_bytes + value_bytes);
            run(&format!("{name}, batches of {batch_size}"), Compression::NONE, batch_size, records, |n| NewRecord {
                timestamp_ms: 1_760_000_000_000 + i64::try_from(n / 100).unwrap_or_default(),
                key: (key_bytes > 0).then(|| &text[n % 1_000..n % 1_000 + key_bytes]),
                value: Some(&text[n % 4_000..n % 4_000 + value_bytes]),
                headers,
            });
        }
    }
    for codec in ["gzip", "gzip:1", "snappy", "lz4", "lz4:1", "lz4:12", "zstd", "zstd:1", "zstd:-5"] {
        let Ok(compression) = Compression::parse(codec) else { continue };
        // Different text everywhere: what repeats after a few kilobytes compresses to nothing.
        let noise: Vec<u8> =
            (0..1u32 << 20).map(|n| b'a' + u8::try_from(n.wrapping_mul(2_654_435_761) >> 28).unwrap_or(0)).collect();
        run(&format!("{codec}, key 8, value 92, batches of {}", 256 << 10), compression, 256 << 10, RECORDS / 5, |n| {
            let at = (n * 7919) % ((1 << 20) - 100);
            NewRecord {
                timestamp_ms: 1_760_000_000_000 + i64::try_from(n / 100).unwrap_or_default(),
                key: Some(&noise[at..at + 8]),
                value: Some(if n % 2 == 0 { &noise[at + 8..at + 100] } else { &text[n % 4_000..n % 4_000 + 92] }),
                headers: &[],
            }
        });
    }
    for key_bytes in [8, 16, 36] {
        keys(&text, key_bytes);
    }
}

fn keys(text: &[u8], key_bytes: usize) {
    let Some(twelve) = PartitionCount::new(12) else { return };
    let mut partitioner = Partitioner::new(Strategy::Murmur2, twelve, 16_384, 1);
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for n in 0..RECORDS {
            black_box(partitioner.partition(Some(&text[n % 1_000..n % 1_000 + key_bytes]), 100));
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
    let millions = RECORDS as f64 / best / 1e6;
    println!("{:<52} {millions:>7.2} M keys/s", format!("murmur2, key {key_bytes}"));
}

fn run<'a>(
    name: &str,
    compression: Compression,
    batch_size: usize,
    records: usize,
    record: impl Fn(usize) -> NewRecord<'a>,
) {
    let spec = BatchSpec { compression, ..BatchSpec::default() };
    let mut builder = BatchBuilder::new(spec);
    let mut compressor = Compressor::default();
    let (mut best, mut ratio, mut bytes) = (f64::INFINITY, 0.0, 0);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        bytes = 0;
        for n in 0..records {
            if builder.push(&record(n)).is_err() {
                println!("{name}: refused");
                return;
            }
            if builder.uncompressed_size() >= batch_size || n + 1 == records {
                bytes += builder.uncompressed_size();
                let Ok(batch) = builder.seal(&mut compressor) else { return };
                black_box(batch.bytes());
                builder.recycle(batch);
                ratio = builder.observed_ratio();
            }
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
    let (millions, mib) = (records as f64 / best / 1e6, bytes as f64 / best / (1 << 20) as f64);
    println!("{name:<52} {millions:>7.2} M records/s {mib:>8.0} MiB/s  ratio {ratio:.3}");
}
