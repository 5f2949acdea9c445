//! `topics list`.

use super::catalog::{Entry, Which, with_topics};
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::json_row::JsonRow;
use crate::cli::table::{Column, Listing, ListingStyle};
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::types::{NO_TIMESTAMP, is_internal_topic};

const COLUMNS: &[Column] = &[
    Column::left("TOPIC", 20),
    Column::right("PARTITIONS", 10),
    Column::right("REPLICAS", 8),
    Column::right("SEGMENTS", 8),
    Column::right("RECORDS≤", 9),
    Column::right("SIZE", 9),
    Column::left("OLDEST", 24),
    Column::left("NEWEST", 24),
];

/// List topics: those with partition directories, and those the cluster's metadata knows
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("topics list"))]
pub struct ListArgs {
    #[command(flatten)]
    which: Which,
}

/// A topic in numbers.
struct Sums {
    partitions: usize,
    replicas: usize,
    segments: usize,
    /// Offsets between log start and log end, of each partition once: at least as many as there are records.
    offset_span: i64,
    size_bytes: u64,
    oldest_ms: Option<i64>,
    newest_ms: Option<i64>,
}

impl Sums {
    fn of(entry: &Entry<'_>) -> Sums {
        let span = |facts: &crate::storage::inventory::PartitionFacts| facts.log_end.get() - facts.log_start.get();
        let spans = entry.partitions.values().map(|replicas| replicas.iter().map(span).max().unwrap_or(0).max(0));
        Sums {
            partitions: entry.numbers().len(),
            replicas: entry.replicas().count(),
            segments: entry.replicas().map(|facts| facts.segments).sum(),
            offset_span: spans.sum(),
            size_bytes: entry.replicas().map(|facts| facts.log_bytes).sum(),
            oldest_ms: entry.replicas().filter_map(|facts| facts.oldest_ms).min(),
            newest_ms: entry.replicas().filter_map(|facts| facts.newest_ms).max(),
        }
    }
}

/// Lists them.
pub fn run(args: &ListArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let style = match global.output() {
        Some(OutputFormat::Tsv) => ListingStyle::Tsv,
        Some(OutputFormat::Prometheus) => {
            return Err(Problem::usage("topics list has no such format")
                .hint("logdir log-dirs --output prometheus has the partitions of all topics")
                .into());
        }
        _ => ui.table_style(),
    };
    with_topics(&args.which, global, ui, |topics, _, ui| {
        let mut time = ui.time_text();
        let sizes = ui.size_style();
        let out = ui.out().buffer();
        let mut listing = Listing::new(COLUMNS, style);
        let is_table = !matches!(global.output(), Some(OutputFormat::Json | OutputFormat::Kafka));
        if is_table && !args.which.no_header {
            listing.header(out);
        }
        for (name, entry) in topics {
            let sums = Sums::of(entry);
            match global.output() {
                // As `kafka-topics.sh --list`.
                Some(OutputFormat::Kafka) => {
                    out.extend_from_slice(name.as_bytes());
                    out.push(b'\n');
                }
                Some(OutputFormat::Json) => JsonRow::new("topic")
                    .field("topic", name.as_str())
                    .field("topic_id", entry.topic_id().map(|id| id.to_string()))
                    .field("in_metadata", entry.known.is_some())
                    .field("partitions", sums.partitions)
                    .field("replicas_here", sums.replicas)
                    .field("segments", sums.segments)
                    .field("offset_span", sums.offset_span)
                    .field("size_bytes", sums.size_bytes)
                    .field("oldest_ms", sums.oldest_ms)
                    .field("newest_ms", sums.newest_ms)
                    .field("internal", is_internal_topic(name))
                    .write(out),
                _ => {
                    listing.text(name.as_bytes(), out);
                    listing.number(sums.partitions, out);
                    listing.number(sums.replicas, out);
                    listing.number(sums.segments, out);
                    listing.number(sums.offset_span, out);
                    listing.text(sizes.text(sums.size_bytes).as_bytes(), out);
                    for ms in [sums.oldest_ms, sums.newest_ms] {
                        listing.with(out, |cell| time.write(ms.unwrap_or(NO_TIMESTAMP), cell));
                    }
                    listing.end_row(out);
                }
            }
        }
        Ok(())
    })
}
