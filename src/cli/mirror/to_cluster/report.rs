//! What was carried over, or would be: a row a partition, and a summary.

use std::time::Duration;

use super::lane::{Lane, State};
use crate::cli::args::GlobalArgs;
use crate::cli::json_row::JsonRow;
use crate::cli::mirror::rows;
use crate::cli::table::{Column, Listing};
use crate::cli::ui::Ui;

const COLUMNS: &[Column] = &[
    Column::left("TOPIC", 20),
    Column::right("PARTITION", 9),
    Column::right("FROM", 10),
    Column::right("TO", 10),
    Column::right("RECORDS", 10),
    Column::right("SIZE", 10),
    Column::right("TARGET_END", 10),
    Column::left("RESULT", 6),
];

/// How rows are printed; `None` as JSON.
pub fn listing(global: &GlobalArgs, ui: &Ui) -> anyhow::Result<Option<Listing>> {
    rows::listing(COLUMNS, global, ui)
}

/// What a run came to.
#[derive(Debug, Clone, Copy)]
pub struct Sum {
    /// Topics that were made, or would be.
    pub topics_made: usize,
    /// Transactions that were committed.
    pub transactions: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Nothing was written.
    pub is_dry: bool,
}

fn result(lane: &Lane<'_>, is_dry: bool) -> &'static str {
    match (lane.state, is_dry) {
        (State::Done, _) => "done",
        (State::Stopped, _) => "stopped",
        (State::Open, true) => "to do",
        (State::Open, false) => "unfinished",
    }
}

/// Prints the rows and the summary.
pub fn print(lanes: &[Lane<'_>], mut listing: Option<Listing>, no_header: bool, sum: &Sum, ui: &mut Ui) {
    let sizes = ui.size_style();
    let out = ui.out().buffer();
    if let Some(listing) = listing.as_mut().filter(|_| !no_header) {
        listing.header(out);
    }
    let (mut records, mut bytes) = (0_u64, 0_u64);
    for lane in lanes {
        // What is to come can only be told by offsets and bytes on disk.
        let to = if sum.is_dry { lane.end } else { lane.committed };
        let span = u64::try_from(to.get() - lane.start.get()).unwrap_or(0);
        let lane_records = if sum.is_dry { span } else { lane.records };
        let lane_bytes = if sum.is_dry { lane.bytes_left } else { lane.bytes };
        records += lane_records;
        bytes += lane_bytes;
        let name = lane.name();
        match &mut listing {
            Some(listing) => {
                listing.text(name.topic.as_bytes(), out);
                listing.number(name.partition, out);
                listing.number(lane.start.get(), out);
                listing.number(to.get(), out);
                listing.number(lane_records, out);
                listing.text(sizes.text(lane_bytes).as_bytes(), out);
                listing.number(lane.target_next, out);
                listing.text(result(lane, sum.is_dry).as_bytes(), out);
                listing.end_row(out);
            }
            None => {
                let (records, size) =
                    if sum.is_dry { ("records_max", "disk_bytes") } else { ("records", "size_bytes") };
                JsonRow::new("partition")
                    .field("topic", name.topic.clone())
                    .field("partition", name.partition)
                    .field("from", lane.start.get())
                    .field("to", to.get())
                    .field("end", lane.end.get())
                    .field(records, lane_records)
                    .field(size, lane_bytes)
                    .field("target_end", lane.target_next)
                    .field("result", result(lane, sum.is_dry))
                    .write(out);
            }
        }
    }
    let unfinished = lanes.iter().filter(|lane| lane.state != State::Done).count();
    let seconds = sum.elapsed.as_secs_f64();
    if listing.is_none() {
        let (all_records, size) = if sum.is_dry { ("records_max", "disk_bytes") } else { ("records", "size_bytes") };
        JsonRow::new("summary")
            .field("partitions", lanes.len())
            .field("unfinished", unfinished)
            .field("topics_made", sum.topics_made)
            .field(all_records, records)
            .field(size, bytes)
            .field("transactions", sum.transactions)
            .field("elapsed_ms", u64::try_from(sum.elapsed.as_millis()).unwrap_or(u64::MAX))
            .field("executed", !sum.is_dry)
            .write(out);
    }
    let size = sizes.text(bytes);
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    if sum.is_dry {
        ui.note(&format!(
            "at most {records} records in {unfinished} partition{} ({size} on disk), {} topic{} to make; nothing written, \
             run again without -n",
            plural(unfinished),
            sum.topics_made,
            plural(sum.topics_made)
        ));
        return;
    }
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
    let rate = (records as f64 / seconds.max(0.001)) as u64;
    ui.note(&format!(
        "{records} records of {} partition{}, {size}, {} transactions, {seconds:.2} s ({rate} records/s)",
        lanes.len(),
        plural(lanes.len()),
        sum.transactions
    ));
}
