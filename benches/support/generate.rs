//! Makes logs to measure: batches of 16 KiB as a producer with default settings fills them.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use logdir::crc::crc32c;
use logdir::types::Codec;
use logdir::wire::{put_varint, put_varlong};

/// Uncompressed bytes of records in a batch (`batch.size`).
const BATCH_BYTES: usize = 16_384;

/// Words of a log line, picked by a counter: compressible, but not a constant.
const WORDS: [&str; 16] = [
    "order",
    "basket",
    "checkout",
    "eu-west",
    "us-east",
    "pending",
    "shipped",
    "cancelled",
    "price",
    "currency",
    "customer",
    "invoice",
    "sensor",
    "humidity",
    "pressure",
    "temperature",
];

/// A small generator of numbers (xorshift): the same log on every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Writes a log of about `bytes` uncompressed bytes to `path`, and says how many records it holds.
///
/// Each record has a key of 8 bytes and a value of 92.
pub fn log(path: &Path, bytes: u64, codec: Codec) -> u64 {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::io::BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut offset, mut made) = (0i64, 0u64);
    let mut records = Vec::with_capacity(BATCH_BYTES + 256);
    let mut body = Vec::new();
    let mut value = Vec::new();
    while made < bytes {
        records.clear();
        let mut count = 0i32;
        while records.len() < BATCH_BYTES - 110 {
            value.clear();
            write!(value, "{{\"seq\":{},\"v\":\"", offset + i64::from(count)).unwrap();
            while value.len() < 89 {
                let word = WORDS[usize::try_from(numbers.next() % 16).unwrap()];
                write!(value, "{word} ").unwrap();
            }
            value.truncate(90);
            value.extend_from_slice(b"\"}");
            body.clear();
            body.push(0);
            put_varlong(&mut body, i64::from(count));
            put_varint(&mut body, count);
            put_varint(&mut body, 8);
            write!(body, "k{:07}", numbers.next() % 10_000_000).unwrap();
            put_varint(&mut body, i32::try_from(value.len()).unwrap());
            body.extend_from_slice(&value);
            put_varint(&mut body, 0);
            put_varint(&mut records, i32::try_from(body.len()).unwrap());
            records.extend_from_slice(&body);
            count += 1;
        }
        made += records.len() as u64 + 61;
        let payload = match codec {
            Codec::Zstd => zstd::bulk::compress(&records, 3).unwrap(),
            Codec::Lz4 => lz4(&records),
            _ => records.clone(),
        };
        file.write_all(&batch(offset, count, codec, &payload)).unwrap();
        offset += i64::from(count);
    }
    file.flush().unwrap();
    u64::try_from(offset).unwrap()
}

/// An LZ4 frame as Kafka writes it: 64 KiB blocks, independent, no checksums.
fn lz4(records: &[u8]) -> Vec<u8> {
    let mut out = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
    for block in records.chunks(64 << 10) {
        let packed = lz4_flex::block::compress(block);
        out.extend_from_slice(&u32::try_from(packed.len()).unwrap().to_le_bytes());
        out.extend_from_slice(&packed);
    }
    out.extend_from_slice(&[0; 4]);
    out
}

fn batch(offset: i64, count: i32, codec: Codec, payload: &[u8]) -> Vec<u8> {
    let mut covered = Vec::with_capacity(payload.len() + 40);
    covered.extend_from_slice(&i16::from(codec.id()).to_be_bytes());
    covered.extend_from_slice(&(count - 1).to_be_bytes());
    let base = 1_700_000_000_000 + offset;
    covered.extend_from_slice(&base.to_be_bytes());
    covered.extend_from_slice(&(base + i64::from(count) - 1).to_be_bytes());
    covered.extend_from_slice(&(-1i64).to_be_bytes());
    covered.extend_from_slice(&(-1i16).to_be_bytes());
    covered.extend_from_slice(&(-1i32).to_be_bytes());
    covered.extend_from_slice(&count.to_be_bytes());
    covered.extend_from_slice(payload);
    let mut out = Vec::with_capacity(covered.len() + 21);
    out.extend_from_slice(&offset.to_be_bytes());
    out.extend_from_slice(&i32::try_from(covered.len() + 9).unwrap().to_be_bytes());
    out.extend_from_slice(&0i32.to_be_bytes());
    out.push(2);
    out.extend_from_slice(&crc32c(&covered).to_be_bytes());
    out.extend_from_slice(&covered);
    out
}
