//! The plan on stdout: a row for each file, and what is lost.

use std::path::Path;

use serde_json::Value;

use super::RecoverArgs;
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::json_row::JsonRow;
use crate::cli::table::{Column, Listing, ListingStyle};
use crate::cli::ui::{Problem, Ui};
use crate::storage::partition::Partition;
use crate::storage::restore::{Job, Step};

const COLUMNS: &[Column] =
    &[Column::left("PARTITION", 20), Column::left("FILE", 30), Column::left("ACTION", 8), Column::left("DETAIL", 6)];

/// Rows of the plan, in the format asked for.
pub struct Rows {
    /// `None` for JSON.
    listing: Option<Listing>,
    header: bool,
    partitions: usize,
    steps: usize,
    losses: usize,
    failures: usize,
    executed: bool,
}

impl Rows {
    pub fn new(args: &RecoverArgs, global: &GlobalArgs, ui: &Ui) -> Rows {
        let style = match global.output() {
            Some(OutputFormat::Json) => None,
            Some(OutputFormat::Tsv) => Some(ListingStyle::Tsv),
            _ => Some(ui.table_style()),
        };
        Rows {
            listing: style.map(|style| Listing::new(COLUMNS, style)),
            header: !args.no_header,
            partitions: 0,
            steps: 0,
            losses: 0,
            failures: 0,
            executed: args.execute,
        }
    }

    fn row(&mut self, cells: [&str; 4], ui: &mut Ui) -> anyhow::Result<()> {
        let Some(listing) = &mut self.listing else { return Ok(()) };
        let out = ui.out().buffer();
        if std::mem::take(&mut self.header) {
            listing.header(out);
        }
        for cell in cells {
            listing.text(cell.as_bytes(), out);
        }
        listing.end_row(out);
        let _ = ui.out().drain()?;
        Ok(())
    }

    fn json(row: JsonRow, ui: &mut Ui) -> anyhow::Result<()> {
        row.write(ui.out().buffer());
        let _ = ui.out().drain()?;
        Ok(())
    }

    /// One change of one file.
    pub fn step(&mut self, partition: &Partition, step: &Step, ui: &mut Ui) -> anyhow::Result<()> {
        self.steps += 1;
        let name = partition.topic_partition();
        if self.listing.is_some() {
            return self.row([&name.to_string(), &step.file, step.action.word(), &step.detail], ui);
        }
        let row = JsonRow::new("step")
            .field("topic", name.topic.as_str())
            .field("partition", name.partition)
            .field("file", step.file.as_str())
            .field("action", step.action.word())
            .field("bytes_before", step.bytes_before)
            .field("bytes_after", step.bytes_after)
            .field("detail", step.detail.as_str());
        Self::json(row, ui)
    }

    /// One change of a log directory's own file.
    pub fn dir_step(&mut self, dir: &Path, step: &Step, ui: &mut Ui) -> anyhow::Result<()> {
        self.steps += 1;
        if self.listing.is_some() {
            return self.row(["-", &step.file, step.action.word(), &step.detail], ui);
        }
        let row = JsonRow::new("step")
            .field("topic", Value::Null)
            .field("partition", Value::Null)
            .field("dir", dir.to_string_lossy().into_owned())
            .field("file", step.file.as_str())
            .field("action", step.action.word())
            .field("bytes_before", step.bytes_before)
            .field("bytes_after", step.bytes_after)
            .field("detail", step.detail.as_str());
        Self::json(row, ui)
    }

    /// What a job comes to.
    pub fn job(&mut self, partition: &Partition, job: &Job, ui: &mut Ui) -> anyhow::Result<()> {
        self.partitions += 1;
        for loss in job.losses() {
            self.losses += 1;
            if self.listing.is_none() {
                let name = partition.topic_partition();
                let row = JsonRow::new("lost")
                    .field("topic", name.topic.as_str())
                    .field("partition", name.partition)
                    .field("file", loss.file.as_str())
                    .field("position", loss.position.get())
                    .field("bytes", loss.bytes)
                    .field("first_offset", loss.first.map(|offset| offset.get()))
                    .field("next_offset", loss.next.map(|offset| offset.get()))
                    .field("reason", loss.reason.as_str());
                Self::json(row, ui)?;
            }
            ui.warning(Problem::new("would_lose", loss.to_string()).path(partition.dir().join(&loss.file)));
        }
        for remark in job.remarks() {
            ui.warning(Problem::new("notice", remark.clone()).path(partition.dir()));
        }
        Ok(())
    }

    /// Originals that were kept.
    pub fn kept(&mut self, partition: &Partition, kept: &Path, ui: &mut Ui) -> anyhow::Result<()> {
        self.partitions += 1;
        self.steps += 1;
        let name = partition.topic_partition();
        let file = kept.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if self.listing.is_some() {
            return self.row([&name.to_string(), &file, "remove", "the originals of an earlier run"], ui);
        }
        let row = JsonRow::new("step")
            .field("topic", name.topic.as_str())
            .field("partition", name.partition)
            .field("file", file)
            .field("action", "remove")
            .field("detail", "the originals of an earlier run");
        Self::json(row, ui)
    }

    /// A partition that could not be done.
    pub fn failed(&mut self) {
        self.failures += 1;
    }

    /// The last row of JSON.
    pub fn summary(&mut self, changed: usize, ui: &mut Ui) -> anyhow::Result<()> {
        if self.listing.is_some() {
            return Ok(());
        }
        let row = JsonRow::new("summary")
            .field("partitions", self.partitions)
            .field("changed", changed)
            .field("steps", self.steps)
            .field("losses", self.losses)
            .field("failures", self.failures)
            .field("executed", self.executed);
        Self::json(row, ui)
    }
}
