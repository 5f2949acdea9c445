//! What a check prints: a row for each partition, the findings, and a summary.

use std::path::Path;

use crate::cli::json_row::JsonRow;
use crate::cli::table::{Column, Listing};
use crate::cli::ui::Ui;
use crate::storage::verify::partition::PartitionReport;
use crate::storage::verify::{Advice, Finding, Findings, Grade};

const COLUMNS: &[Column] = &[
    Column::left("TOPIC", 20),
    Column::right("PARTITION", 9),
    Column::right("SEGMENTS", 8),
    Column::right("RECORDS", 10),
    Column::right("SIZE", 10),
    Column::left("RESULT", 0),
];

/// So many findings wait for the end of the table; more are only counted.
const WAITING_MAX: usize = 10_000;

/// The form of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A table, findings after it.
    Table,
    /// A JSON object for each partition and each finding.
    Json,
}

/// Writes rows as partitions are done, and keeps the sums.
#[derive(Debug)]
pub struct Printer {
    form: Form,
    sizes: crate::cli::size::SizeStyle,
    listing: Listing,
    waiting: Vec<u8>,
    waiting_count: usize,
    /// The least grade that a table tells of.
    least: Grade,
    /// What was seen so far.
    pub sums: Sums,
}

/// What all partitions come to.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    /// Partitions checked.
    pub partitions: u64,
    /// Segments in them.
    pub segments: u64,
    /// Batches in them.
    pub batches: u64,
    /// Records; `None` where compressed wrappers were not opened.
    pub records: Option<u64>,
    /// Bytes of logs.
    pub size_bytes: u64,
    /// Findings by grade.
    pub by_grade: [u64; 4],
    /// The worst grade.
    pub worst: Option<Grade>,
}

impl Sums {
    /// Findings that are more than cosmetic.
    pub fn problems(&self) -> u64 {
        self.by_grade.iter().skip(1).sum()
    }
}

impl Printer {
    /// Prints in this form.
    pub fn new(form: Form, ui: &Ui) -> Printer {
        let sums = Sums { records: Some(0), ..Sums::default() };
        // What a broker tidies up by itself is for those who ask: a broker that was killed leaves it everywhere.
        let least = if ui.verbose() > 0 { Grade::Cosmetic } else { Grade::Slows };
        let listing = Listing::new(COLUMNS, ui.table_style());
        Printer { form, sizes: ui.size_style(), listing, waiting: Vec::new(), waiting_count: 0, least, sums }
    }

    /// The head of the table.
    pub fn header(&mut self, out: &mut Vec<u8>) {
        if self.form == Form::Table {
            self.listing.header(out);
        }
    }

    /// One partition is done. `name`: as its directory is called where that is not the plain name.
    pub fn partition(&mut self, report: &PartitionReport, dir: &Path, out: &mut Vec<u8>) {
        let sums = &mut self.sums;
        sums.partitions += 1;
        sums.segments += report.segments.len() as u64;
        sums.batches += report.batches();
        sums.records = sums.records.zip(report.records()).map(|(known, more)| known + more);
        sums.size_bytes += report.size_bytes();
        match self.form {
            Form::Table => self.row(report, out),
            Form::Json => JsonRow::new("partition")
                .field("topic", report.topic_partition.topic.clone())
                .field("partition", report.topic_partition.partition)
                .field("path", dir.display().to_string())
                .field("segments", report.segments.len())
                .field("batches", report.batches())
                .field("records", report.records())
                .field("size_bytes", report.size_bytes())
                .field("log_start_offset", report.log_start.get())
                .field("log_end_offset", report.log_end.get())
                .field("compacted", report.is_compacted)
                .field("findings", report.findings.len())
                .field("problems", report.findings.problems())
                .field("worst", report.findings.worst().map(Grade::word))
                .write(out),
        }
        self.findings(&report.findings, out);
    }

    fn row(&mut self, report: &PartitionReport, out: &mut Vec<u8>) {
        let sizes = self.sizes;
        let listing = &mut self.listing;
        listing.text(report.topic_partition.topic.as_bytes(), out);
        listing.number(report.topic_partition.partition, out);
        listing.number(report.segments.len(), out);
        match report.records() {
            Some(records) => listing.number(records, out),
            None => listing.text(b"-", out),
        }
        listing.with(out, |cell| sizes.write(report.size_bytes(), cell));
        let result = match (report.findings.problems(), report.findings.worst()) {
            (0, _) | (_, None) => "ok".to_owned(),
            (1, Some(worst)) => format!("1 problem ({worst})"),
            (many, Some(worst)) => format!("{many} problems ({worst})"),
        };
        listing.text(result.as_bytes(), out);
        listing.end_row(out);
    }

    /// Findings: at once in JSON, after the table else.
    pub fn findings(&mut self, findings: &Findings, out: &mut Vec<u8>) {
        for (count, more) in self.sums.by_grade.iter_mut().zip(findings.by_grade()) {
            *count += more;
        }
        self.sums.worst = self.sums.worst.max(findings.worst());
        for finding in findings.told() {
            match self.form {
                Form::Json => json(finding, out),
                Form::Table if finding.grade < self.least => {}
                Form::Table if self.waiting_count < WAITING_MAX => {
                    text(finding, &mut self.waiting);
                    self.waiting_count += 1;
                }
                Form::Table => self.waiting_count += 1,
            }
        }
        for (path, fault, more) in findings.untold() {
            let (path, fault) = (path.display().to_string(), fault.code());
            match self.form {
                Form::Json => {
                    JsonRow::new("more_findings")
                        .field("path", path)
                        .field("code", fault)
                        .field("more", more)
                        .write(out);
                }
                Form::Table => {
                    let line = format!("{path}: {more} more findings like these [{fault}]\n");
                    self.waiting.extend_from_slice(line.as_bytes());
                }
            }
        }
    }

    /// What waited for the end of the table.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.waiting);
        let more = self.waiting_count.saturating_sub(WAITING_MAX);
        if more > 0 {
            out.extend_from_slice(format!("{more} more findings; --json has them all\n").as_bytes());
        }
    }
}

/// Where in the file, in words.
fn place(finding: &Finding) -> String {
    let position = finding.position.map(|position| format!("position {position}"));
    let offset = finding.offset.map(|offset| format!("offset {offset}"));
    let both: Vec<String> = [position, offset].into_iter().flatten().collect();
    if both.is_empty() { String::new() } else { format!("{}: ", both.join(", ")) }
}

fn text(finding: &Finding, out: &mut Vec<u8>) {
    let Finding { fault, grade, path, message, .. } = finding;
    let line = format!("{grade}: {}: {}{message} [{}]\n", path.display(), place(finding), fault.code());
    out.extend_from_slice(line.as_bytes());
    if let Some(hint) = hint(finding) {
        out.extend_from_slice(format!("  do: {hint}\n").as_bytes());
    }
}

/// A finding as an object of its own.
pub fn json(finding: &Finding, out: &mut Vec<u8>) {
    JsonRow::new("finding")
        .field("grade", finding.grade.word())
        .field("code", finding.fault.code())
        .field("path", finding.path.display().to_string())
        .field("position", finding.position.map(crate::types::Position::get))
        .field("offset", finding.offset.map(crate::types::Offset::get))
        .field("message", finding.message.clone())
        .field("hint", hint(finding))
        .write(out);
}

/// What to do next, if possible a command to paste.
pub fn hint(finding: &Finding) -> Option<String> {
    let path = finding.path.display();
    let dir = match finding.path.parent() {
        Some(dir) if !finding.path.is_dir() => dir,
        _ => &finding.path,
    };
    let dir = dir.display();
    Some(match finding.advice {
        Advice::Nothing => return None,
        Advice::Salvage => format!("see what can be kept with: logdir recover {dir} --mode salvage"),
        Advice::Merge => format!("fill it from a replica with: logdir recover {dir} --mode merge --from REPLICA_DIR"),
        Advice::TakeDeleted => format!("take it back with: logdir recover {dir} --mode salvage --with-deleted"),
        Advice::Recover => format!("see what a broker would cut with: logdir recover {dir}"),
        Advice::RebuildIndexes => format!("make it again from the log: logdir verify-index {dir} --rebuild --execute"),
        Advice::Remove => format!("move it away, and remove .kafka_cleanshutdown: a broker makes it again: {path}"),
        Advice::MoveAway => format!("move it out of the log directory: {path}"),
        Advice::Restore => "take it from another copy, or from the cluster's metadata".to_owned(),
        Advice::Permit => format!("give it to the user the broker runs as: chown and chmod u+rw {path}"),
        Advice::Forecast => {
            let own = || finding.path.parent().unwrap_or(&finding.path).display().to_string();
            let dirs: Vec<_> = finding.log_dirs.iter().map(|dir| dir.display().to_string()).collect();
            let dirs = if dirs.is_empty() { own() } else { dirs.join(",") };
            format!(
                "see all that a start would do, and move what is not wanted away first: logdir verify --forecast -d {dirs}"
            )
        }
        Advice::Inspect => match finding.offset {
            Some(offset) => format!("look at it with: logdir dump-segment {path} -o {offset} -c 1 --hex"),
            None => format!("look at it with: logdir dump-segment {path}"),
        },
    })
}
