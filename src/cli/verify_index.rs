//! `logdir verify-index`: indexes against their logs, and made again where they are wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::args::{GlobalArgs, OutputFormat, TopicArg};
use super::consume::select::storage_problem;
use super::json_row::JsonRow;
use super::range::Partitions;
use super::table::{Column, Listing};
use super::ui::{Problem, Ui};
use super::verify::target::{Targets, Wanted};
use super::verify::{check_all, finding_json};
use super::{Outcome, man, size};
use crate::storage::lock::{DirLock, LockError};
use crate::storage::verify::partition::PartitionReport;
use crate::storage::verify::rebuild::{self, NewIndex};
use crate::storage::verify::segment::IndexReport;
use crate::storage::verify::{Depth, Fault, Finding, IndexResult, Options, Rebuild};
use crate::storage::writer::config::LogConfig;

/// Check offset, time and transaction indexes against their logs
///
/// Three results: exact (the bytes a rebuild makes), equivalent (look-ups work, though other batches are indexed,
/// as after a restart or by older brokers), corrupt (look-ups go astray; says which entry breaks which rule). Exits 1
/// when one is corrupt or missing.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("verify-index"))]
pub struct VerifyIndexArgs {
    /// Log directories, partition directories, segment or index files. Default: the log directories of -d or -F
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only this topic (repeatable, or a comma list; re:PATTERN)
    #[arg(short, long, value_name = "NAME", value_parser = TopicArg::parse)]
    pub topic: Vec<TopicArg>,
    /// Only these partitions: 3, 0-2, 1,5
    #[arg(short, long, value_name = "N", value_parser = Partitions::parse)]
    pub partition: Option<Partitions>,
    /// Stop at the first partition with a corrupt or missing index
    #[arg(long)]
    pub fail_fast: bool,
    /// Make wrong and missing indexes again from the log; says what it would write, and writes with --execute
    #[arg(long)]
    pub rebuild: bool,
    /// With --rebuild: sound indexes too
    #[arg(long, requires = "rebuild")]
    pub all: bool,
    /// With --rebuild: do it
    #[arg(long, requires = "rebuild")]
    pub execute: bool,
    /// With --rebuild: log bytes between two entries. Default: log.index.interval.bytes of -F, else 4096
    #[arg(long, value_name = "SIZE", value_parser = size::parse, requires = "rebuild", hide_short_help = true)]
    pub index_interval_bytes: Option<u64>,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
}

const COLUMNS: &[Column] =
    &[Column::left("INDEX", 40), Column::right("ENTRIES", 8), Column::left("RESULT", 10), Column::left("DETAIL", 0)];

const CHANGES: &[Column] =
    &[Column::left("INDEX", 40), Column::left("ACTION", 8), Column::right("BYTES", 9), Column::left("DETAIL", 0)];

/// What is told of a log beside its indexes: damage keeps them from being checked.
const TOLD: &[Fault] = &[Fault::Damage, Fault::OffsetOrder, Fault::Unreadable];

/// Checks, and makes again what is wrong where that is asked for.
pub fn run(args: &VerifyIndexArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let json = match global.output() {
        Some(OutputFormat::Json) => true,
        Some(OutputFormat::Table) | None => false,
        Some(OutputFormat::Tsv | OutputFormat::Kafka | OutputFormat::Prometheus) => {
            let hint =
                "use --json; the text of kafka-dump-log.sh: logdir dump-segment --verify-index-only --output kafka";
            return Err(Problem::usage("verify-index prints a table or JSON").hint(hint).into());
        }
    };
    let rebuild = if args.rebuild { Some(Rebuild { limits: limits(args, global)?, all: args.all }) } else { None };
    let options = Options {
        // Nothing is built on a log that was not read.
        depth: if rebuild.is_some() { Depth::Crc } else { Depth::Headers },
        max_batch_bytes: crate::batch::compression::MAX_BATCH_BYTES,
        rebuild,
    };
    let wanted = Wanted { paths: &args.paths, topics: &args.topic, partitions: args.partition.as_ref() };
    let mut targets = Targets::find(&wanted, global, ui)?;
    let mut shown = Shown { json, listing: Listing::new(COLUMNS, ui.table_style()), counts: Counts::default() };
    let mut locks = BTreeMap::new();
    if args.execute {
        for target in &targets.partitions {
            lock_around(target.partition.dir(), &mut locks)?;
        }
    }
    if !args.no_header && !json {
        shown.listing.header(ui.out().buffer());
    }
    let mut changes: Vec<NewIndex> = Vec::new();
    let mut skipped = Vec::new();
    let mut refused = None;
    let failed = check_all(&targets.partitions, &options, global, ui, |_, mut report, ui| {
        let is_bad = shown.partition(&report, ui.out().buffer());
        if rebuild.is_some() {
            skipped.extend(report.segments.iter().filter(|segment| segment.is_damaged).map(|s| s.log.clone()));
            for segment in &mut report.segments {
                match rebuild::changes(segment) {
                    Ok(more) => changes.extend(more),
                    Err(error) => refused = Some(error),
                }
            }
        }
        if args.execute && refused.is_none() {
            refused = changes.iter().skip(shown.counts.written).find_map(|change| {
                shown.counts.written += 1;
                rebuild::write(change).err()
            });
            // What was written needs to be kept for the listing only.
            changes.iter_mut().for_each(|change| change.bytes.truncate(0));
        }
        !(args.fail_fast && is_bad) && refused.is_none()
    })?;
    if let Some(error) = refused {
        return Err(storage_problem(&error).into());
    }
    let mut outcome = if failed || !targets.failures.is_empty() { Outcome::Failed } else { Outcome::Done };
    targets.failures.drain(..).for_each(|problem| ui.error(problem));
    if rebuild.is_some() {
        list_changes(&changes, &skipped, args, json, ui);
    }
    shown.summarize(ui);
    let is_mended = args.execute && skipped.is_empty();
    if shown.counts.is_bad() && !is_mended {
        outcome |= Outcome::Findings;
    }
    Ok(outcome)
}

/// The settings entries are made by.
fn limits(args: &VerifyIndexArgs, global: &GlobalArgs) -> anyhow::Result<crate::storage::index::build::IndexLimits> {
    let settings = global.broker_settings()?;
    let mut limits = LogConfig::default().index_limits();
    for (key, value) in [
        ("log.index.interval.bytes", &mut limits.interval_bytes),
        ("log.index.size.max.bytes", &mut limits.index_bytes_max),
    ] {
        if let Some(text) = settings.get(key) {
            *value = text
                .trim()
                .parse()
                .map_err(|_| Problem::usage(format!("{key}: expected a number, found \"{text}\"")))?;
        }
    }
    limits.interval_bytes = args.index_interval_bytes.unwrap_or(limits.interval_bytes);
    Ok(limits)
}

/// Locks the log directory around a partition directory for changing.
fn lock_around(partition: &Path, locks: &mut BTreeMap<PathBuf, DirLock>) -> anyhow::Result<()> {
    let absolute = partition.canonicalize().map_err(|error| Problem::new("io", error.to_string()).path(partition))?;
    let Some(dir) = absolute.parent() else { return Ok(()) };
    if locks.contains_key(dir) {
        return Ok(());
    }
    match DirLock::exclusive(dir) {
        Ok(lock) => locks.insert(dir.to_owned(), lock),
        Err(error @ LockError::Held { .. }) => {
            return Err(Problem::new("locked", error.to_string())
                .outcome(Outcome::Refused)
                .hint("stop the broker first; without --execute nothing is written")
                .into());
        }
        Err(LockError::Storage(error)) => return Err(storage_problem(&error).into()),
    };
    Ok(())
}

#[derive(Debug, Default)]
struct Counts {
    exact: u64,
    equivalent: u64,
    corrupt: u64,
    missing: u64,
    log_bytes: u64,
    written: usize,
}

impl Counts {
    const fn is_bad(&self) -> bool {
        self.corrupt + self.missing > 0
    }
}

struct Shown {
    json: bool,
    listing: Listing,
    counts: Counts,
}

impl Shown {
    /// Prints the indexes of a partition; answers whether one is corrupt or missing.
    fn partition(&mut self, report: &PartitionReport, out: &mut Vec<u8>) -> bool {
        let mut is_bad = false;
        for segment in &report.segments {
            self.counts.log_bytes += segment.size_bytes;
            for index in &segment.indexes {
                is_bad |= matches!(index.result, None | Some(IndexResult::Corrupt(_)));
                self.index(index, segment.interval.map(|interval| (interval.least, interval.below)), out);
            }
        }
        for finding in report.findings.told().iter().filter(|finding| TOLD.contains(&finding.fault)) {
            self.finding(finding, out);
        }
        is_bad
    }

    fn index(&mut self, index: &IndexReport, interval: Option<(u64, u64)>, out: &mut Vec<u8>) {
        let (word, mut detail) = match &index.result {
            None => ("missing", String::new()),
            Some(result @ IndexResult::Corrupt(corrupt)) => (result.word(), corrupt.to_string()),
            Some(result @ IndexResult::Equivalent { odd: Some(odd) }) => {
                (result.word(), format!("{odd}, which no broker writes"))
            }
            Some(result) => (result.word(), String::new()),
        };
        match &index.result {
            None => self.counts.missing += 1,
            Some(IndexResult::Exact) => self.counts.exact += 1,
            Some(IndexResult::Equivalent { .. }) => self.counts.equivalent += 1,
            Some(IndexResult::Corrupt(_)) => self.counts.corrupt += 1,
        }
        if self.json {
            let interval = interval.filter(|_| index.kind == crate::storage::names::SegmentFileKind::OffsetIndex);
            JsonRow::new("index")
                .field("path", index.path.display().to_string())
                .field("entries", index.entries)
                .field("result", word)
                .field("detail", Some(detail).filter(|detail| !detail.is_empty()))
                .field("padding_entries", index.padding)
                .field("trailing_bytes", index.trailing_bytes)
                .field("interval_bytes_min", interval.map(|(least, _)| least))
                .field("interval_bytes_below", interval.map(|(_, below)| below).filter(|below| *below < u64::MAX))
                .write(out);
            return;
        }
        if index.padding > 0 {
            detail.push_str(&format!("{}{} entries of zeros", separator(&detail), index.padding));
        }
        if index.trailing_bytes > 0 {
            detail.push_str(&format!("{}{} stray bytes", separator(&detail), index.trailing_bytes));
        }
        self.listing.text(index.path.as_os_str().as_encoded_bytes(), out);
        self.listing.number(index.entries, out);
        self.listing.text(word.as_bytes(), out);
        if !detail.is_empty() {
            self.listing.text(detail.as_bytes(), out);
        }
        self.listing.end_row(out);
    }

    fn finding(&self, finding: &Finding, out: &mut Vec<u8>) {
        let Finding { path, position, message, fault, .. } = finding;
        if self.json {
            return finding_json(finding, out);
        }
        let at = position.map_or(String::new(), |position| format!("position {position}: "));
        out.extend_from_slice(format!("{}: {at}{message} [{}]\n", path.display(), fault.code()).as_bytes());
    }

    fn summarize(&self, ui: &mut Ui) {
        let Counts { exact, equivalent, corrupt, missing, log_bytes, written } = self.counts;
        let indexes = exact + equivalent + corrupt + missing;
        if self.json {
            JsonRow::new("summary")
                .field("indexes", indexes)
                .field("exact", exact)
                .field("equivalent", equivalent)
                .field("corrupt", corrupt)
                .field("missing", missing)
                .field("rebuilt", written)
                .field("log_bytes", log_bytes)
                .write(ui.out().buffer());
            return;
        }
        let text =
            format!("{indexes} indexes: {exact} exact, {equivalent} equivalent, {corrupt} corrupt, {missing} missing");
        ui.note(&text);
    }
}

const fn separator(text: &str) -> &'static str {
    if text.is_empty() { "" } else { "; " }
}

fn list_changes(changes: &[NewIndex], skipped: &[PathBuf], args: &VerifyIndexArgs, json: bool, ui: &mut Ui) {
    let mut listing = Listing::new(CHANGES, ui.table_style());
    if !json && !changes.is_empty() {
        listing.header(ui.out().buffer());
    }
    for change in changes {
        let action = if change.old_bytes.is_some() { "rebuild" } else { "create" };
        let out = ui.out().buffer();
        if json {
            JsonRow::new("rebuild")
                .field("path", change.path.display().to_string())
                .field("action", action)
                .field("bytes", change.new_bytes)
                .field("old_bytes", change.old_bytes)
                .field("done", args.execute)
                .write(out);
            continue;
        }
        listing.text(change.path.as_os_str().as_encoded_bytes(), out);
        listing.text(action.as_bytes(), out);
        listing.number(change.new_bytes, out);
        if let Some(old) = change.old_bytes {
            listing.text(format!("{old} bytes before").as_bytes(), out);
        }
        listing.end_row(out);
    }
    for log in skipped {
        let problem = Problem::new("bad_index", "the log is damaged, and no index of it can tell the truth");
        let dir = log.parent().unwrap_or(log).display();
        ui.warning(problem.path(log).hint(format!("see what can be kept with: logdir recover {dir} --mode salvage")));
    }
    match (changes.len(), args.execute) {
        (0, _) => ui.note("nothing to make again"),
        (_, false) => ui.note("nothing written; run again with --execute"),
        (many, true) => ui.note(&format!("{many} indexes made again")),
    }
}
