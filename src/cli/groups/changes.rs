//! What the verbs that set offsets print: where each group stood in each partition, and where it goes.

use super::kafka;
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::json_row::JsonRow;
use crate::cli::table::{Column, Listing, ListingStyle};
use crate::cli::ui::{Pipe, Ui};
use crate::types::{Offset, TopicPartition};

/// Where one group goes in one partition.
pub struct ChangeRow<'a> {
    /// The group.
    pub group: &'a str,
    /// The partition.
    pub partition: &'a TopicPartition,
    /// What it has committed.
    pub current: Option<Offset>,
    /// What it is to commit.
    pub new: Offset,
    /// Where the log ends; `None` where it is not in these directories.
    pub log_end: Option<Offset>,
    /// What a person should know of it.
    pub note: Option<String>,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy)]
pub struct Printing {
    /// The offsets are committed, not only planned.
    pub is_executed: bool,
    /// Leave the head off tables.
    pub no_header: bool,
}

const COLUMNS: &[Column] = &[
    Column::left("GROUP", 16),
    Column::left("TOPIC", 16),
    Column::right("PARTITION", 9),
    Column::right("CURRENT-OFFSET", 14),
    Column::right("NEW-OFFSET", 14),
    Column::right("NEW-LAG", 8),
    Column::left("NOTE", 0),
];

impl ChangeRow<'_> {
    fn lag(&self) -> Option<i64> {
        self.log_end.map(|end| end.get().saturating_sub(self.new.get()))
    }
}

/// Prints them, in the format of the options.
pub fn print(rows: &[ChangeRow<'_>], printing: Printing, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<()> {
    let style = match global.output() {
        Some(OutputFormat::Kafka) => {
            let rows: Vec<_> = rows.iter().map(|row| (row.group, row.partition, row.new)).collect();
            kafka::new_offsets(&rows, ui.out().buffer());
            return Ok(());
        }
        Some(OutputFormat::Json) => None,
        Some(OutputFormat::Tsv) => Some(ListingStyle::Tsv),
        Some(OutputFormat::Table | OutputFormat::Prometheus) | None => Some(ui.table_style()),
    };
    let mut listing = Listing::new(COLUMNS, style.unwrap_or(ListingStyle::Tsv));
    if style.is_some() && !printing.no_header {
        listing.header(ui.out().buffer());
    }
    let or_dash = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
    for row in rows {
        let out = ui.out().buffer();
        if style.is_none() {
            JsonRow::new("offset")
                .field("group", row.group)
                .field("topic", row.partition.topic.clone())
                .field("partition", row.partition.partition)
                .field("current_offset", row.current.map(Offset::get))
                .field("new_offset", row.new.get())
                .field("new_lag", row.lag())
                .field("note", row.note.clone())
                .field("executed", printing.is_executed)
                .write(out);
        } else {
            listing.text(row.group.as_bytes(), out);
            listing.text(row.partition.topic.as_bytes(), out);
            listing.number(row.partition.partition, out);
            listing.text(or_dash(row.current.map(Offset::get)).as_bytes(), out);
            listing.number(row.new.get(), out);
            listing.text(or_dash(row.lag()).as_bytes(), out);
            listing.text(row.note.as_deref().unwrap_or("-").as_bytes(), out);
            listing.end_row(out);
        }
        if ui.out().drain()? == Pipe::Closed {
            break;
        }
    }
    Ok(())
}
