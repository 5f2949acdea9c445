//! The inventory as a listing, aligned or tab-separated.

use super::{By, Report, kind_word};
use crate::cli::size::SizeStyle;
use crate::cli::table::{Column, Listing, ListingStyle, TimeText};
use crate::cli::ui::{Pipe, Problem, Ui};
use crate::cli::verify::finding_hint;
use crate::storage::inventory::content::{Content, Magics};
use crate::storage::inventory::{LogDirFacts, PartitionFacts, Totals, TotalsKey};
use crate::storage::names::DirKind;
use crate::storage::verify::Finding;
use crate::types::{Offset, TimestampMs};

const PARTITIONS: &[Column] = &[
    Column::left("TOPIC", 24),
    Column::right("PARTITION", 9),
    Column::left("KIND", 6),
    Column::right("SEGMENTS", 8),
    Column::right("SIZE", 10),
    Column::right("ALLOCATED", 10),
    Column::right("LOG-START", 10),
    Column::right("HIGH-WATERMARK", 14),
    Column::right("LAST-STABLE", 11),
    Column::right("LOG-END", 10),
    Column::right("OPEN-TXNS", 9),
    Column::right("DIRTY", 5),
    Column::left("NEWEST", 24),
    Column::left("LAST-WRITE", 24),
    Column::left("MAGICS", 6),
    Column::left("CODECS", 6),
    Column::left("DIR", 0),
];

const TOPICS: &[Column] = &[
    Column::left("TOPIC", 24),
    Column::right("PARTITIONS", 10),
    Column::right("DIRECTORIES", 11),
    Column::right("SEGMENTS", 8),
    Column::right("SIZE", 10),
    Column::right("ALLOCATED", 10),
    Column::right("OFFSETS", 12),
    Column::left("OLDEST", 24),
    Column::left("NEWEST", 24),
    Column::left("LAST-WRITE", 24),
    Column::left("CODECS", 0),
];

const DIRS: &[Column] = &[
    Column::left("DIR", 24),
    Column::right("NODE", 4),
    Column::left("DIRECTORY-ID", 22),
    Column::left("CLEAN", 5),
    Column::right("LIVE", 6),
    Column::right("FUTURE", 6),
    Column::right("DELETE", 6),
    Column::right("STRAY", 5),
    Column::right("SEGMENTS", 8),
    Column::right("SIZE", 10),
    Column::right("ALLOCATED", 10),
    Column::right("DISK-FREE", 10),
    Column::right("DISK-SIZE", 10),
    Column::right("PROBLEMS", 8),
    Column::left("LAST-WRITE", 0),
];

const BROKERS: &[Column] = &[
    Column::right("NODE", 4),
    Column::left("CLUSTER", 22),
    Column::right("DIRS", 4),
    Column::right("PARTITIONS", 10),
    Column::right("DIRECTORIES", 11),
    Column::right("SEGMENTS", 8),
    Column::right("SIZE", 10),
    Column::right("ALLOCATED", 10),
    Column::right("PROBLEMS", 8),
    Column::left("LAST-WRITE", 0),
];

/// Prints the rows and, in a table, what was found after them.
pub fn print(report: &Report<'_>, style: ListingStyle, no_header: bool, ui: &mut Ui) -> anyhow::Result<()> {
    let columns = match report.by {
        By::Partition => PARTITIONS,
        By::Topic => TOPICS,
        By::Dir => DIRS,
        By::Broker => BROKERS,
    };
    let sizes = if style == ListingStyle::Tsv { SizeStyle::Exact } else { ui.size_style() };
    let mut rows = Rows { listing: Listing::new(columns, style), sizes, times: ui.time_text(), report };
    if !no_header {
        rows.listing.header(ui.out().buffer());
    }
    match report.by {
        By::Partition => {
            for partition in report.rows() {
                rows.partition(partition, ui.out().buffer());
                if ui.out().drain()? == Pipe::Closed {
                    return Ok(());
                }
            }
        }
        By::Topic | By::Dir | By::Broker => {
            for (key, totals) in report.totals() {
                rows.totals(&key, &totals, ui.out().buffer());
                if ui.out().drain()? == Pipe::Closed {
                    return Ok(());
                }
            }
        }
    }
    if style != ListingStyle::Tsv {
        report.findings.iter().for_each(|finding| write_finding(finding, ui.out().buffer()));
    }
    Ok(())
}

fn write_finding(finding: &Finding, out: &mut Vec<u8>) {
    let Finding { fault, grade, path, message, .. } = finding;
    out.extend_from_slice(format!("{grade}: {}: {message} [{}]\n", path.display(), fault.code()).as_bytes());
    if let Some(hint) = finding_hint(finding) {
        out.extend_from_slice(format!("  do: {hint}\n").as_bytes());
    }
}

/// What was found, on stderr: for formats that have no place for it.
pub fn say_findings(findings: &[Finding], ui: &mut Ui) {
    for finding in findings {
        let text = format!("{} ({})", finding.message, finding.grade);
        let mut problem = Problem::new("notice", text).path(&finding.path);
        if let Some(hint) = finding_hint(finding) {
            problem = problem.hint(hint);
        }
        ui.warning(problem);
    }
}

/// The sums of all, on stderr.
pub fn say_sums(report: &Report<'_>, ui: &mut Ui) {
    let all = report.all();
    let dirs = report.dirs.facts().len();
    let plural = |n: usize, one: &'static str, many: &'static str| if n == 1 { one } else { many };
    let directories = usize::try_from(all.directories()).unwrap_or(usize::MAX);
    let problems = match report.findings.len() {
        0 => "no problems".to_owned(),
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    ui.note(&format!(
        "{directories} {} in {dirs} log {}, {} of logs, {} allocated, {problems}",
        plural(directories, "partition directory", "partition directories"),
        plural(dirs, "directory", "directories"),
        ui.size_style().text(all.log_bytes),
        ui.size_style().text(all.usage.allocated_bytes),
    ));
}

struct Rows<'a> {
    listing: Listing,
    sizes: SizeStyle,
    times: TimeText,
    report: &'a Report<'a>,
}

impl Rows<'_> {
    fn size(&mut self, bytes: u64, out: &mut Vec<u8>) {
        let sizes = self.sizes;
        self.listing.with(out, |cell| sizes.write(bytes, cell));
    }

    fn time(&mut self, at_ms: Option<TimestampMs>, out: &mut Vec<u8>) {
        let Rows { listing, times, .. } = self;
        match at_ms {
            Some(at_ms) => listing.with(out, |cell| times.write(at_ms, cell)),
            None => listing.text(b"-", out),
        }
    }

    fn offset(&mut self, offset: Option<Offset>, out: &mut Vec<u8>) {
        match offset {
            Some(offset) => self.listing.number(offset.get(), out),
            None => self.listing.text(b"-", out),
        }
    }

    fn partition(&mut self, facts: &PartitionFacts, out: &mut Vec<u8>) {
        self.listing.text(facts.name.topic_partition.topic.as_bytes(), out);
        self.listing.number(facts.name.topic_partition.partition, out);
        self.listing.text(kind_word(facts.name.kind).as_bytes(), out);
        self.listing.number(facts.segments, out);
        self.size(facts.log_bytes, out);
        self.size(facts.usage.allocated_bytes, out);
        self.offset(Some(facts.log_start), out);
        self.offset(facts.high_watermark(), out);
        self.offset(facts.last_stable(), out);
        self.offset(Some(facts.log_end), out);
        match facts.open_transactions {
            Some(open) => self.listing.number(open.count, out),
            None => self.listing.text(b"-", out),
        }
        match facts.cleaning.and_then(|cleaning| cleaning.dirty_ratio()) {
            Some(ratio) => self.listing.text(format!("{ratio:.2}").as_bytes(), out),
            None => self.listing.text(b"-", out),
        }
        self.time(facts.newest_ms, out);
        self.time(facts.last_write_ms, out);
        self.listing.text(magics(facts.magics).as_bytes(), out);
        self.listing.text(codecs(facts.content.as_ref()).as_bytes(), out);
        let dir = self.report.dirs.facts().get(facts.log_dir);
        self.listing.text(dir.map(|dir| dir.path.display().to_string()).unwrap_or_default().as_bytes(), out);
        self.listing.end_row(out);
    }

    fn totals(&mut self, key: &TotalsKey, totals: &Totals, out: &mut Vec<u8>) {
        match key {
            TotalsKey::Topic(name) => self.topic(name, totals, out),
            TotalsKey::LogDir(number) => {
                if let Some(facts) = self.report.dirs.facts().get(*number) {
                    self.log_dir(facts, totals, out);
                }
            }
            TotalsKey::Broker(number) => self.broker(*number, totals, out),
            TotalsKey::All => return,
        }
        self.listing.end_row(out);
    }

    fn topic(&mut self, name: &str, totals: &Totals, out: &mut Vec<u8>) {
        self.listing.text(name.as_bytes(), out);
        self.listing.number(totals.partitions(), out);
        self.listing.number(totals.directories(), out);
        self.listing.number(totals.segments, out);
        self.size(totals.log_bytes, out);
        self.size(totals.usage.allocated_bytes, out);
        self.listing.number(totals.offsets, out);
        self.time(totals.oldest_ms, out);
        self.time(totals.newest_ms, out);
        self.time(totals.last_write_ms, out);
        self.listing.text(codecs(totals.content.as_ref()).as_bytes(), out);
    }

    fn log_dir(&mut self, facts: &LogDirFacts, totals: &Totals, out: &mut Vec<u8>) {
        self.listing.text(facts.path.display().to_string().as_bytes(), out);
        self.node(facts.node_id, out);
        let id = facts.directory_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        self.listing.text(id.as_bytes(), out);
        self.listing.text(if facts.is_clean { b"yes" } else { b"no" }, out);
        for kind in [DirKind::Live, DirKind::Future, DirKind::Delete, DirKind::Stray] {
            self.listing.number(totals.kinds.of(kind), out);
        }
        self.listing.number(totals.segments, out);
        self.size(totals.log_bytes, out);
        self.size(totals.usage.allocated_bytes + facts.own.allocated_bytes, out);
        match facts.file_system {
            Some(system) => {
                self.size(system.free_bytes, out);
                self.size(system.size_bytes, out);
            }
            None => (0..2).for_each(|_| self.listing.text(b"-", out)),
        }
        let inside = self.report.findings.iter().filter(|finding| finding.path.starts_with(&facts.path)).count();
        self.listing.number(inside, out);
        self.time(totals.last_write_ms, out);
    }

    fn broker(&mut self, number: usize, totals: &Totals, out: &mut Vec<u8>) {
        let dirs: Vec<&LogDirFacts> = self.report.dirs.facts().iter().filter(|facts| facts.broker == number).collect();
        self.node(dirs.iter().find_map(|facts| facts.node_id), out);
        let cluster = dirs.iter().find_map(|facts| facts.cluster_id.as_deref()).unwrap_or("-");
        self.listing.text(cluster.as_bytes(), out);
        self.listing.number(dirs.len(), out);
        self.listing.number(totals.partitions(), out);
        self.listing.number(totals.directories(), out);
        self.listing.number(totals.segments, out);
        self.size(totals.log_bytes, out);
        self.size(totals.usage.allocated_bytes + dirs.iter().map(|dir| dir.own.allocated_bytes).sum::<u64>(), out);
        let of_broker = |finding: &&Finding| dirs.iter().any(|dir| finding.path.starts_with(&dir.path));
        let problems = self.report.findings.iter().filter(of_broker).count();
        self.listing.number(problems, out);
        self.time(totals.last_write_ms, out);
    }

    fn node(&mut self, node_id: Option<i32>, out: &mut Vec<u8>) {
        match node_id {
            Some(id) => self.listing.number(id, out),
            None => self.listing.text(b"-", out),
        }
    }
}

fn magics(magics: Magics) -> String {
    let all: Vec<String> = magics.iter().map(|magic| magic.to_string()).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(",") }
}

/// `lz4:2.41,none`: codecs, and how many times larger their records are decompressed.
fn codecs(content: Option<&Content>) -> String {
    let Some(content) = content else { return "-".to_owned() };
    let one =
        |(codec, facts): (crate::types::Codec, &crate::storage::inventory::content::CodecFacts)| match facts.ratio() {
            Some(ratio) if codec != crate::types::Codec::None => format!("{}:{ratio:.2}", codec.name()),
            _ => codec.name().to_owned(),
        };
    let all: Vec<String> = content.codecs().map(one).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(",") }
}
