//! `logdir verify`: everything that can be checked about log directories without a broker.

pub mod forecast;
mod report;
pub mod target;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use self::report::{Form, Printer};
pub use self::report::{hint as finding_hint, json as finding_json};
use self::target::{Target, Targets, Wanted};
use super::args::{GlobalArgs, OutputFormat, TopicArg, each_once};
use super::consume::select::storage_problem;
use super::json_row::JsonRow;
use super::range::Partitions;
use super::ui::{Pipe, Problem, Ui};
use super::{Outcome, man, size};
use crate::storage::fs::StorageError;
use crate::storage::names::DirKind;
use crate::storage::verify::log_dir::TopicIds;
use crate::storage::verify::partition::{self, PartitionReport};
use crate::storage::verify::{Depth, Grade, Options};

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DepthArg {
    /// Headers of batches: fast, blind to damage inside a batch
    Headers,
    /// Checksums of all bytes
    Crc,
    /// Records too: decompressed, counted, their offsets compared
    Deep,
}

/// Check everything in a log directory: logs, indexes, snapshots, checkpoints, names
///
/// Reads only. Each finding says what is wrong, where, how bad it is (stops broker, loses data, slows, cosmetic)
/// and what to do. Exits 1 when anything more than cosmetic is found.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("verify"))]
pub struct VerifyArgs {
    /// Log directories, partition directories or segment files. Default: the log directories of -d or -F
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only this topic (repeatable, or a comma list; re:PATTERN)
    #[arg(short, long, value_name = "NAME", value_parser = TopicArg::parse)]
    pub topic: Vec<TopicArg>,
    /// Only these partitions: 3, 0-2, 1,5
    #[arg(short, long, value_name = "N", value_parser = Partitions::parse)]
    pub partition: Option<Partitions>,
    /// How closely to look at batches
    #[arg(long, value_name = "DEPTH", default_value = "deep")]
    pub depth: DepthArg,
    /// Stop at the first partition with a problem
    #[arg(long)]
    pub fail_fast: bool,
    /// Largest batch, decompressed; one beyond it is damage
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size::parse, hide_short_help = true)]
    pub max_batch_bytes: u64,
    /// Instead of checking: what a Kafka 4.3 broker would do at its next start
    ///
    /// Which partitions it would cut and where, which files it would delete, rebuild or set aside, what it would refuse
    /// to start over. Exits 1 when it would not start, a directory would go offline, or data would be lost or set aside.
    #[arg(long, conflicts_with_all = ["topic", "partition", "fail_fast"], help_heading = "Forecast")]
    pub forecast: bool,
    /// Options of the forecast.
    #[command(flatten)]
    pub options: forecast::ForecastArgs,
}

/// Checks, and prints what was found.
pub fn run(args: &VerifyArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    if args.forecast {
        let dirs = if args.paths.is_empty() { global.log_dirs()? } else { each_once(args.paths.clone()) };
        return forecast::run(&dirs, &args.options, global, ui);
    }
    let form = match global.output() {
        Some(OutputFormat::Json) => Form::Json,
        Some(OutputFormat::Table) | None => Form::Table,
        Some(OutputFormat::Tsv | OutputFormat::Kafka | OutputFormat::Prometheus) => {
            return Err(Problem::usage("verify prints a table or JSON").hint("use --json").into());
        }
    };
    let wanted = Wanted { paths: &args.paths, topics: &args.topic, partitions: args.partition.as_ref() };
    let mut targets = Targets::find(&wanted, global, ui)?;
    let options = Options {
        depth: match args.depth {
            DepthArg::Headers => Depth::Headers,
            DepthArg::Crc => Depth::Crc,
            DepthArg::Deep => Depth::Deep,
        },
        max_batch_bytes: usize::try_from(args.max_batch_bytes).unwrap_or(usize::MAX),
        rebuild: None,
    };
    let started = Instant::now();
    let mut outcome = Outcome::Done;
    let mut printer = Printer::new(form, ui);
    if !args.options.no_header {
        printer.header(ui.out().buffer());
    }
    if args.topic.is_empty() && args.partition.is_none() {
        for dir in &mut targets.dirs {
            let findings = std::mem::take(&mut dir.findings);
            printer.findings(&findings, ui.out().buffer());
        }
    }
    let mut ids = TopicIds::with(&targets.cluster);
    let failed = check_all(&targets.partitions, &options, global, ui, |target, mut report, ui| {
        let is_live = target.partition.name().kind == DirKind::Live;
        if let Some(id) = report.topic_id.filter(|_| is_live) {
            report.findings.extend(ids.add(&report.topic_partition, id, target.partition.dir()));
        }
        let is_bad = report.findings.problems() > 0;
        printer.partition(&report, target.partition.dir(), ui.out().buffer());
        !(args.fail_fast && is_bad)
    })?;
    if failed {
        outcome |= Outcome::Failed;
    }
    printer.finish(ui.out().buffer());
    if !targets.failures.is_empty() {
        outcome |= Outcome::Failed;
    }
    targets.failures.drain(..).for_each(|problem| ui.error(problem));
    summarize(&printer, form, started.elapsed(), ui);
    if printer.sums.worst > Some(Grade::Cosmetic) {
        outcome |= Outcome::Findings;
    }
    Ok(outcome)
}

fn summarize(printer: &Printer, form: Form, took: Duration, ui: &mut Ui) {
    let sums = &printer.sums;
    let count = |grade: Grade| sums.by_grade[grade as usize];
    if form == Form::Json {
        let mut row = JsonRow::new("summary")
            .field("partitions", sums.partitions)
            .field("segments", sums.segments)
            .field("batches", sums.batches)
            .field("records", sums.records)
            .field("size_bytes", sums.size_bytes)
            .field("problems", sums.problems());
        for grade in Grade::ALL {
            row = row.field(grade.word(), count(grade));
        }
        row.field("elapsed_ms", u64::try_from(took.as_millis()).unwrap_or(u64::MAX)).write(ui.out().buffer());
        return;
    }
    let size = ui.size_style().text(sums.size_bytes);
    let seconds = took.as_secs_f64();
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
    let rate = ui.size_style().text((sums.size_bytes as f64 / seconds.max(1e-6)) as u64);
    let problems = match sums.problems() {
        0 => "no problems".to_owned(),
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    let notes = match count(Grade::Cosmetic) {
        0 => String::new(),
        notes if ui.verbose() > 0 => format!(", {notes} cosmetic"),
        notes => format!(", {notes} cosmetic (-v shows them)"),
    };
    let partitions = if sums.partitions == 1 { "partition" } else { "partitions" };
    ui.note(&format!(
        "{} {partitions}, {size} checked in {seconds:.1} s ({rate}/s), {problems}{notes}",
        sums.partitions
    ));
}

/// Checks partitions side by side and hands over each report in the order of `targets`, until `take` says no.
///
/// Answers whether one could not be read.
pub fn check_all(
    targets: &[Target],
    options: &Options,
    global: &GlobalArgs,
    ui: &mut Ui,
    mut take: impl FnMut(&Target, PartitionReport, &mut Ui) -> bool,
) -> anyhow::Result<bool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(global.threads().get()).build()?;
    let total = targets.iter().flat_map(|target| target.partition.segments()).map(|segment| segment.log_len).sum();
    let mut progress = ui.progress(total, "verify");
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (sender, reports) = mpsc::channel::<(usize, Result<PartitionReport, StorageError>)>();
    let mut failed = false;
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let (done, stop) = (&done, &stop);
        scope.spawn(move || {
            pool.install(|| {
                targets.par_iter().enumerate().for_each_with(sender, |sender, (number, target)| {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let count = |bytes| {
                        done.fetch_add(bytes, Ordering::Relaxed);
                    };
                    let report = partition::check(&target.partition, target.around, options, &count);
                    // The receiver is gone when the reader of stdout is.
                    let _ = sender.send((number, report));
                });
            });
        });
        let mut early = std::collections::BTreeMap::new();
        let (mut next, mut shown) = (0, 0);
        loop {
            let now = done.load(Ordering::Relaxed);
            progress.add(now - shown);
            shown = now;
            match reports.recv_timeout(Duration::from_millis(100)) {
                Ok((number, report)) => early.insert(number, report),
                Err(mpsc::RecvTimeoutError::Timeout) => continue,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            };
            while let Some(report) = early.remove(&next) {
                let Some(target) = targets.get(next) else { break };
                next += 1;
                let goes_on = match report {
                    Ok(report) => take(target, report, ui),
                    Err(error) => {
                        failed = true;
                        ui.error(storage_problem(&error));
                        true
                    }
                };
                if !goes_on || ui.out().drain()? == Pipe::Closed {
                    stop.store(true, Ordering::Relaxed);
                    return Ok(());
                }
            }
        }
    })?;
    Ok(failed)
}
