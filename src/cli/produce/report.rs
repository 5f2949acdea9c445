//! What was written: a line for the person, and rows by partition for those who ask.

use std::time::Duration;

use super::ProduceArgs;
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::table::{Column, Listing, ListingStyle};
use crate::cli::ui::Ui;
use crate::types::{Offset, ProducerId, TopicPartition};

/// What one partition got.
#[derive(Debug, Clone)]
pub struct LaneTally {
    pub partition: TopicPartition,
    pub records: u64,
    pub batches: u64,
    pub bytes: u64,
    pub uncompressed_bytes: u64,
    /// Records it had already.
    pub duplicates: u64,
    pub first: Option<Offset>,
    pub last: Option<Offset>,
}

impl LaneTally {
    pub const fn new(partition: TopicPartition) -> LaneTally {
        LaneTally {
            partition,
            records: 0,
            batches: 0,
            bytes: 0,
            uncompressed_bytes: 0,
            duplicates: 0,
            first: None,
            last: None,
        }
    }

    /// Counts a batch.
    pub fn stored(&mut self, first: Offset, last: Offset, records: u64, bytes: u64, uncompressed_bytes: u64) {
        self.records += records;
        self.batches += 1;
        self.bytes += bytes;
        self.uncompressed_bytes += uncompressed_bytes;
        self.first.get_or_insert(first);
        self.last = Some(last);
    }

    /// Uncompressed by stored size.
    fn ratio(&self) -> f64 {
        ratio(self.uncompressed_bytes, self.bytes)
    }
}

#[expect(clippy::cast_precision_loss, reason = "two digits of it are shown")]
fn ratio(uncompressed: u64, stored: u64) -> f64 {
    if stored == 0 { 1.0 } else { uncompressed as f64 / stored as f64 }
}

/// What all partitions got.
#[derive(Debug)]
pub struct Tally {
    pub lanes: Vec<LaneTally>,
    pub skipped: u64,
    pub producer: Option<(ProducerId, i16)>,
    /// Whether offsets are told (not with `--acks 0`).
    pub offsets_known: bool,
}

const COLUMNS: &[Column] = &[
    Column::left("TOPIC", 16),
    Column::right("PARTITION", 9),
    Column::right("FIRST_OFFSET", 12),
    Column::right("LAST_OFFSET", 12),
    Column::right("RECORDS", 9),
    Column::right("DUPLICATES", 10),
    Column::right("BATCHES", 8),
    Column::right("SIZE", 9),
    Column::right("RATIO", 6),
];

/// Prints the report: rows on stdout when a format was asked for, the sum on stderr.
pub fn print(
    args: &ProduceArgs,
    global: &GlobalArgs,
    tally: &Tally,
    elapsed: Duration,
    ui: &mut Ui,
) -> anyhow::Result<()> {
    let sum = |of: &dyn Fn(&LaneTally) -> u64| tally.lanes.iter().map(of).sum::<u64>();
    let (records, batches, bytes) = (sum(&|lane| lane.records), sum(&|lane| lane.batches), sum(&|lane| lane.bytes));
    let (duplicates, uncompressed) = (sum(&|lane| lane.duplicates), sum(&|lane| lane.uncompressed_bytes));
    let partitions = tally.lanes.iter().filter(|lane| lane.records > 0).count();
    match global.output() {
        Some(OutputFormat::Json) => {
            let out = ui.out().buffer();
            for lane in &tally.lanes {
                json_lane(lane, tally.offsets_known, args.dry_run, out);
            }
            let producer = tally.producer.map(|(id, _)| id.0);
            let row = serde_json::json!({
                "type": "summary", "records": records, "duplicates": duplicates, "skipped": tally.skipped,
                "partitions": partitions, "batches": batches, "size_bytes": bytes, "uncompressed_bytes": uncompressed,
                "producer_id": producer, "dry_run": args.dry_run,
                "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            });
            out.extend_from_slice(in_order(&row, SUMMARY_KEYS).as_bytes());
        }
        Some(format @ (OutputFormat::Table | OutputFormat::Tsv)) => {
            let style = if format == OutputFormat::Tsv { ListingStyle::Tsv } else { ui.table_style() };
            let size = ui.size_style();
            let mut listing = Listing::new(COLUMNS, style);
            let out = ui.out().buffer();
            if !args.no_header {
                listing.header(out);
            }
            for lane in &tally.lanes {
                table_lane(lane, tally.offsets_known, &mut listing, out, |bytes, out| {
                    if style == ListingStyle::Tsv {
                        out.extend_from_slice(bytes.to_string().as_bytes());
                    } else {
                        size.write(bytes, out);
                    }
                });
            }
        }
        Some(OutputFormat::Kafka | OutputFormat::Prometheus) | None => {}
    }
    let plural = |n: u64, one: &'static str, many: &'static str| if n == 1 { one } else { many };
    let mut text = format!(
        "{}{records} {} to {partitions} {}, {batches} {}, {}, {:.2} s",
        if args.dry_run { "would write " } else { "" },
        plural(records, "record", "records"),
        plural(partitions as u64, "partition", "partitions"),
        plural(batches, "batch", "batches"),
        ui.size_style().text(bytes),
        elapsed.as_secs_f64()
    );
    if uncompressed > bytes && bytes > 0 {
        text.push_str(&format!(", compressed {:.2}x", ratio(uncompressed, bytes)));
    }
    if duplicates > 0 {
        text.push_str(&format!(", {duplicates} there already"));
    }
    if tally.skipped > 0 {
        text.push_str(&format!(", {} skipped", tally.skipped));
    }
    ui.note(&text);
    if let Some((id, epoch)) = tally.producer {
        ui.detail(&format!("producer id {id}, epoch {epoch}"));
    }
    Ok(())
}

const LANE_KEYS: &[&str] = &[
    "type",
    "topic",
    "partition",
    "first_offset",
    "last_offset",
    "records",
    "duplicates",
    "batches",
    "size_bytes",
    "uncompressed_bytes",
    "dry_run",
];
const SUMMARY_KEYS: &[&str] = &[
    "type",
    "records",
    "duplicates",
    "skipped",
    "partitions",
    "batches",
    "size_bytes",
    "uncompressed_bytes",
    "producer_id",
    "dry_run",
    "elapsed_ms",
];

/// One object a line, its keys in the order a person wants to read them.
fn in_order(row: &serde_json::Value, keys: &[&str]) -> String {
    let fields = keys.iter().map(|key| format!("\"{key}\":{}", row[*key]));
    format!("{{{}}}\n", fields.collect::<Vec<_>>().join(","))
}

fn json_lane(lane: &LaneTally, offsets_known: bool, dry_run: bool, out: &mut Vec<u8>) {
    let offset = |offset: Option<Offset>| offset.filter(|_| offsets_known).map(Offset::get);
    let row = serde_json::json!({
        "type": "partition", "topic": lane.partition.topic, "partition": lane.partition.partition,
        "first_offset": offset(lane.first), "last_offset": offset(lane.last), "records": lane.records,
        "duplicates": lane.duplicates, "batches": lane.batches, "size_bytes": lane.bytes,
        "uncompressed_bytes": lane.uncompressed_bytes, "dry_run": dry_run,
    });
    out.extend_from_slice(in_order(&row, LANE_KEYS).as_bytes());
}

fn table_lane(
    lane: &LaneTally,
    offsets_known: bool,
    listing: &mut Listing,
    out: &mut Vec<u8>,
    size: impl Fn(u64, &mut Vec<u8>),
) {
    listing.text(lane.partition.topic.as_bytes(), out);
    listing.number(lane.partition.partition, out);
    for offset in [lane.first, lane.last] {
        match offset.filter(|_| offsets_known) {
            Some(offset) => listing.number(offset.get(), out),
            None => listing.text(b"-", out),
        }
    }
    listing.number(lane.records, out);
    listing.number(lane.duplicates, out);
    listing.number(lane.batches, out);
    listing.with(out, |out| size(lane.bytes, out));
    listing.text(format!("{:.2}", lane.ratio()).as_bytes(), out);
    listing.end_row(out);
}
