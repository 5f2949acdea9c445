//! Records per second into a reused buffer, one thread: `cargo bench --bench record_format`.

use std::hint::black_box;
use std::time::Instant;

use logdir::batch::record::{RecordContext, RecordRef, Records};
use logdir::cli::record_format::{BatchContext, Formatter, RecordFormat, Row, TextFormat};
use logdir::cli::table::{ListingStyle, TimeText};
use logdir::types::{Codec, LeaderEpoch, Offset, ProducerId, TimestampType};

const COUNT: i32 = 150;
const ROUNDS: usize = 20_000;

/// 150 records of `value_bytes` bytes with an 8-byte key.
fn payload(value_bytes: usize) -> Vec<u8> {
    let mut payload = Vec::new();
    let varint = |value: usize, out: &mut Vec<u8>| {
        let mut raw = value << 1;
        while raw >= 0x80 {
            out.push(u8::try_from(raw & 0x7f).unwrap_or_default() | 0x80);
            raw >>= 7;
        }
        out.push(u8::try_from(raw).unwrap_or_default());
    };
    for index in 0..usize::try_from(COUNT).unwrap_or_default() {
        let mut body = vec![0];
        varint(index, &mut body);
        varint(index, &mut body);
        varint(8, &mut body);
        body.extend_from_slice(format!("k{index:07}").as_bytes());
        varint(value_bytes, &mut body);
        body.extend((0..value_bytes).map(|at| b'a' + u8::try_from((at + index) % 26).unwrap_or_default()));
        varint(0, &mut body);
        varint(body.len(), &mut payload);
        payload.extend_from_slice(&body);
    }
    payload
}

fn main() {
    let payload = payload(100);
    let context = RecordContext {
        base_offset: Offset::new(1_000_000),
        base_timestamp_ms: 1_760_000_000_000,
        log_append_ms: None,
        base_sequence: -1,
        count: COUNT,
    };
    let records: Vec<RecordRef<'_>> = Records::new(context, &payload).map_while(Result::ok).collect();
    assert_eq!(records.len(), 150);
    let batch = BatchContext {
        topic: "orders",
        partition: 0,
        leader_epoch: LeaderEpoch(0),
        producer_id: ProducerId::NONE,
        producer_epoch: -1,
        codec: Codec::None,
        timestamp_type: TimestampType::Create,
        transactional: false,
        control: false,
    };
    let text = |format: &str| TextFormat::parse(format).map(RecordFormat::Text);
    let formats = [
        ("raw values", Ok(RecordFormat::Text(TextFormat::raw(None, b"\n", false)))),
        ("-O -K\\t", Ok(RecordFormat::Text(TextFormat::raw(Some(b"\t"), b"\n", true)))),
        ("-f %o\\t%k\\t%s\\n", text("%o\\t%k\\t%s\\n")),
        ("-f with 10 tokens", text("%t %p %o %T %K %S %e %i %k %s\\n")),
        ("json lines", Ok(RecordFormat::Json { meta_only: false })),
        ("kcat -J", Ok(RecordFormat::KcatJson)),
        ("tsv", Ok(RecordFormat::Listing(ListingStyle::Tsv))),
        ("table", Ok(RecordFormat::Listing(ListingStyle::Table { bold: false }))),
    ];
    for (name, format) in formats {
        let Ok(format) = format else { continue };
        let mut formatter = Formatter::new(format, TimeText::utc());
        let mut out = Vec::with_capacity(1 << 20);
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let started = Instant::now();
            for _ in 0..ROUNDS / 5 {
                out.clear();
                formatter.begin_batch(&batch);
                for record in &records {
                    formatter.write(Row { batch: &batch, record }, &mut out);
                }
                black_box(&out);
            }
            best = best.min(started.elapsed().as_secs_f64());
        }
        let written = f64::from(COUNT) * f64::from(u32::try_from(ROUNDS / 5).unwrap_or_default());
        println!("{name:<20} {:6.1} M records/s  {:4} bytes each", written / best / 1e6, out.len() / records.len());
    }
}
