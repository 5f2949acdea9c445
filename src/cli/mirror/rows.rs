//! What is printed of each partition: a table, tab-separated values, or JSON lines.

use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::json_row::JsonRow;
use crate::cli::table::{Column, Listing, ListingStyle};
use crate::cli::ui::{Problem, Ui};
use crate::storage::mirror::{Done, Finding, Plan};
use crate::types::{Offset, TopicPartition};
use serde_json::json;

const COLUMNS: &[Column] = &[
    Column::left("PARTITION", 20),
    Column::left("ACTION", 7),
    Column::right("FROM", 9),
    Column::right("TO", 9),
    Column::right("SIZE", 10),
    Column::left("DETAIL", 6),
];

/// What was done, or is to be done, with one partition.
pub(super) struct Row<'a> {
    /// The partition.
    pub partition: &'a TopicPartition,
    /// The word for it.
    pub action: &'static str,
    /// Where the copy went on, or goes on.
    pub from: Offset,
    /// Where the copy ends, or will.
    pub to: Offset,
    /// Where the source ends.
    pub source_end: Offset,
    /// Bytes of log that came over, or will.
    pub bytes: u64,
    /// What was in the way.
    pub findings: &'a [Finding],
}

/// How rows with these columns are printed; `None` as JSON.
pub(super) fn listing(columns: &'static [Column], global: &GlobalArgs, ui: &Ui) -> anyhow::Result<Option<Listing>> {
    Ok(match global.output() {
        Some(OutputFormat::Json) => None,
        Some(OutputFormat::Tsv) => Some(Listing::new(columns, ListingStyle::Tsv)),
        Some(OutputFormat::Table) | None => Some(Listing::new(columns, ui.table_style())),
        Some(OutputFormat::Kafka | OutputFormat::Prometheus) => {
            let problem = Problem::usage("no tool of Kafka's prints what was mirrored: --output kafka is not offered");
            return Err(problem.hint("use --output table, json or tsv").into());
        }
    })
}

/// Prints rows as they are found.
pub(super) struct Rows {
    listing: Option<Listing>,
    has_header: bool,
}

impl Rows {
    pub(super) fn new(no_header: bool, global: &GlobalArgs, ui: &Ui) -> anyhow::Result<Rows> {
        let listing = listing(COLUMNS, global, ui)?;
        Ok(Rows { listing, has_header: no_header })
    }

    pub(super) const fn is_json(&self) -> bool {
        self.listing.is_none()
    }

    pub(super) fn row(&mut self, row: &Row<'_>, ui: &mut Ui) -> anyhow::Result<()> {
        let partition = row.partition;
        let Some(listing) = &mut self.listing else {
            let findings: Vec<_> = row
                .findings
                .iter()
                .map(|finding| json!({ "code": finding.word(), "message": finding.to_string() }))
                .collect();
            JsonRow::new("partition")
                .field("topic", partition.topic.clone())
                .field("partition", partition.partition)
                .field("action", row.action)
                .field("from_offset", row.from.get())
                .field("to_offset", row.to.get())
                .field("source_end_offset", row.source_end.get())
                .field("size_bytes", row.bytes)
                .field("findings", findings)
                .write(ui.out().buffer());
            let _ = ui.out().send()?;
            return Ok(());
        };
        let size = ui.size_style();
        if !std::mem::replace(&mut self.has_header, true) {
            listing.header(ui.out().buffer());
        }
        let out = ui.out().buffer();
        listing.text(partition.to_string().as_bytes(), out);
        listing.text(row.action.as_bytes(), out);
        listing.number(row.from.get(), out);
        listing.number(row.to.get(), out);
        listing.text(size.text(row.bytes).as_bytes(), out);
        let words: Vec<&str> = row.findings.iter().map(Finding::word).collect();
        listing.text(if words.is_empty() { "-".to_owned() } else { words.join(",") }.as_bytes(), out);
        listing.end_row(out);
        let _ = ui.out().send()?;
        Ok(())
    }
}

impl<'a> Row<'a> {
    /// Of a plan that was, or would be, carried out up to `to`.
    pub(super) fn of(plan: &'a Plan, action: &'static str, to: Offset, bytes: u64, findings: &'a [Finding]) -> Row<'a> {
        let (partition, from, source_end) = (plan.partition(), plan.from, plan.source_end);
        Row { partition, action, from, to, source_end, bytes, findings }
    }
}

/// The word for what became of a partition.
pub(super) fn action_of(plan: &Plan, done: &Done) -> &'static str {
    match (plan.has_copy, done.is_stopped) {
        (_, true) => "stopped",
        (false, false) => "copied",
        (true, false) if done.batches == 0 => "level",
        (true, false) => "grown",
    }
}
