//! `logdir dump-segment`: what is in the files of a log directory, batch by batch or record by record.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::args::{GlobalArgs, OutputFormat, offset_arg};
use super::decode::Decode;
use super::dump::{Counter, DumpOptions, FileKind, Level, Output, Report, Selection, Severity};
use super::range::{Bound, OffsetArg, Offsets};
use super::ui::{Problem, Ui};
use super::{Outcome, dump, man, size};

/// Print batches and records of segment, index, snapshot and checkpoint files
///
/// Three outputs: a table, JSON lines, and --output kafka, the text of kafka-dump-log.sh.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("dump-segment"))]
pub struct DumpSegmentArgs {
    /// Files, partition directories, log directories or globs
    ///
    /// Of a directory the files in use are read; .deleted, .cleaned and .swap files when named. With a
    /// selection of batches only its logs are, and of these those that may hold one.
    #[arg(value_name = "PATH", required_unless_present_any = ["files", "dir", "properties"])]
    pub paths: Vec<PathBuf>,
    /// Files, as a comma list (kafka-dump-log.sh)
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub files: Vec<PathBuf>,
    /// Take the files for this kind, whatever their names say
    #[arg(long = "as", value_name = "KIND", hide_short_help = true, value_parser = file_kind())]
    pub kind: Option<FileKind>,
    /// Only batches with offsets in this range: 5, 5:10, -10, @-1h, ... (see consume)
    ///
    /// With --records only the records in it. A time selects by the timestamps of records.
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true, value_parser = offset_arg)]
    pub offset: Vec<OffsetArg>,
    /// Stop after N rows
    #[arg(short, long, value_name = "N", aliases = ["max-messages", "num"])]
    pub count: Option<u64>,
    /// One row per batch (default)
    #[arg(long, conflicts_with = "records")]
    pub batches: bool,
    /// One row per record
    #[arg(long)]
    pub records: bool,
    /// Show what the records of internal topics say, field by field
    ///
    /// Alone it picks the decoder by the topic's name. In --json the fields are "decoded".
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "auto")]
    pub decode: Option<Decode>,
    /// Show a batch field by field, with its bytes
    #[arg(long, conflicts_with_all = ["records", "summary"])]
    pub hex: bool,
    /// One row per file: counts, offsets, times, codecs
    #[arg(long, conflicts_with_all = ["records", "batches"])]
    pub summary: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
    /// Stop at the first file that cannot be read
    #[arg(long, hide_short_help = true)]
    pub fail_fast: bool,
    /// Largest batch, decompressed; one beyond it is damage
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size::parse, hide_short_help = true)]
    pub max_batch_bytes: u64,

    /// Only batches of this producer
    #[arg(long, value_name = "ID", help_heading = "Selection", allow_negative_numbers = true)]
    pub producer_id: Option<i64>,
    /// Only batches written in this leader epoch
    #[arg(long, value_name = "N", help_heading = "Selection", allow_negative_numbers = true)]
    pub leader_epoch: Option<i32>,
    /// Only batches of transactions
    #[arg(long, help_heading = "Selection")]
    pub transactional: bool,
    /// Only control batches
    #[arg(long, help_heading = "Selection")]
    pub control: bool,
    /// Only records with exactly this key, and batches that hold one
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, help_heading = "Selection")]
    pub key: Option<OsString>,

    /// Records too, even of uncompressed batches
    #[arg(long, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub deep_iteration: bool,
    /// Records with their keys and values
    #[arg(long, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub print_data_log: bool,
    /// Leave the metadata of records out
    #[arg(long, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub skip_record_metadata: bool,
    /// As --decode offsets, with keys and values
    #[arg(long, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub offsets_decoder: bool,
    /// As --decode transaction-log, with keys and values
    #[arg(long, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub transaction_log_decoder: bool,
    /// As --decode cluster-metadata, with keys and values
    #[arg(long, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub cluster_metadata_decoder: bool,
    /// As --decode share-group-state, with keys and values
    #[arg(long, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub share_group_state_decoder: bool,
    /// Check an index by itself, without printing it
    #[arg(long, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub index_sanity_check: bool,
    /// Check an index against its log, without printing it
    #[arg(long, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub verify_index_only: bool,
    /// Read at most this much of each log
    #[arg(long, value_name = "SIZE", value_parser = size::parse, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub max_bytes: Option<u64>,
    /// Largest message looked at when an index is checked
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = size::parse,
        default_value = "5MiB",
        help_heading = "Options of kafka-dump-log.sh",
        hide_short_help = true
    )]
    pub max_message_size: u64,
}

impl DumpSegmentArgs {
    /// The range to show.
    pub fn offsets(&self) -> anyhow::Result<Offsets> {
        let offsets = Offsets::new(&self.offset).map_err(|error| Problem::usage(format!("--offset: {error}")))?;
        if offsets.ranges().any(|range| range.start == Bound::Stored) {
            return Err(Problem::usage("--offset: 'stored' is a group's committed offset, and a file has none")
                .hint("give a number, -N, start, end or @TIME (see logdir consume --help)")
                .into());
        }
        Ok(offsets)
    }

    /// What to decode. Of several decoders the first counts that kafka-dump-log.sh looks for.
    pub fn decode(&self) -> Option<Decode> {
        let flags = [
            (self.offsets_decoder, Decode::Offsets),
            (self.transaction_log_decoder, Decode::TransactionLog),
            (self.cluster_metadata_decoder, Decode::ClusterMetadata),
            (self.share_group_state_decoder, Decode::ShareGroupState),
        ];
        self.decode.or_else(|| flags.into_iter().find(|(given, _)| *given).map(|(_, decode)| decode))
    }

    /// Everything named, in the order given, `--files` last.
    pub fn all_paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.paths.iter().chain(&self.files)
    }
}

/// `--as`: the kinds the engine knows.
fn file_kind() -> impl TypedValueParser<Value = FileKind> {
    let names = FileKind::ALL.map(FileKind::name);
    PossibleValuesParser::new(names).map(|name| {
        let known = FileKind::ALL.into_iter().find(|kind| kind.name() == name);
        known.unwrap_or(FileKind::Log)
    })
}

/// Prints what the files hold.
pub fn run(args: &DumpSegmentArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let threads = global.threads().get();
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    let output = match global.output() {
        Some(OutputFormat::Json) => Output::Json,
        Some(OutputFormat::Kafka) => Output::Kafka,
        Some(OutputFormat::Table) | None => Output::Table,
        Some(OutputFormat::Tsv | OutputFormat::Prometheus) => {
            return Err(Problem::usage("dump-segment has no tsv; use --json").into());
        }
    };
    refuse_without_effect(args, output)?;
    let named_dirs = !global.dir.is_empty() || global.properties.is_some();
    let mut paths: Vec<PathBuf> = args.all_paths().cloned().collect();
    if paths.is_empty() {
        paths = global.log_dirs()?;
    } else if named_dirs {
        return Err(Problem::usage("a PATH and -d or -F both say what to dump").hint("leave one of them out").into());
    }
    let options = DumpOptions {
        paths,
        output,
        level: if args.records || (args.decode().is_some() && !args.batches) { Level::Records } else { Level::Batches },
        deep_iteration: args.deep_iteration,
        print_data_log: args.print_data_log || args.decode().is_some(),
        decode: args.decode(),
        skip_record_metadata: args.skip_record_metadata,
        index_sanity_check: args.index_sanity_check,
        verify_index_only: args.verify_index_only,
        max_bytes: args.max_bytes.map_or(i32::MAX, |bytes| i32::try_from(bytes).unwrap_or(i32::MAX)),
        max_message_size: i32::try_from(args.max_message_size).unwrap_or(i32::MAX),
        select: Selection {
            producer_id: args.producer_id,
            leader_epoch: args.leader_epoch,
            transactional: args.transactional.then_some(true),
            control: args.control.then_some(true),
            key: args.key.as_ref().map(|key| key.as_encoded_bytes().to_vec()),
            ..Selection::default()
        },
        ranges: args.offsets()?,
        fail_fast: args.fail_fast,
        count: args.count,
        hex: args.hex,
        summary: args.summary,
        as_kind: args.kind,
        max_batch_bytes: usize::try_from(args.max_batch_bytes).unwrap_or(usize::MAX),
        no_header: args.no_header,
        exact_bytes: global.bytes,
        progress: Counter::default(),
    };
    dump_all(&options, ui)
}

/// Kafka's text is that of whole files, as its tool prints them, and other forms have their own limits: what
/// would have no effect is refused.
fn refuse_without_effect(args: &DumpSegmentArgs, output: Output) -> anyhow::Result<()> {
    let selects = args.producer_id.is_some()
        || args.leader_epoch.is_some()
        || args.transactional
        || args.control
        || args.key.is_some();
    let given = |options: &[(bool, &'static str)]| options.iter().find(|(given, _)| *given).map(|(_, name)| *name);
    let in_kafka = [
        (!args.offset.is_empty(), "--offset"),
        (args.count.is_some(), "--count"),
        (args.records, "--records"),
        (args.hex, "--hex"),
        (args.summary, "--summary"),
        (selects, "a selection of batches"),
    ];
    if output == Output::Kafka
        && let Some(name) = given(&in_kafka)
    {
        let text = format!("--output kafka prints whole files, as kafka-dump-log.sh does; {name} has no effect on it");
        let hint = "leave one of them out; --print-data-log shows records in Kafka's text, --max-bytes ends it early";
        return Err(Problem::usage(text).hint(hint).into());
    }
    if args.hex && output == Output::Json {
        return Err(Problem::usage("--hex is for people; it has no JSON").hint("use --json without --hex").into());
    }
    Ok(())
}

/// How often progress is looked at.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Bytes of the logs that a path stands for, as far as they can be seen.
fn log_bytes(path: &Path) -> u64 {
    let Ok(metadata) = std::fs::metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let of_entry = |path: PathBuf| {
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        if is_log || path.is_dir() { log_bytes(&path) } else { 0 }
    };
    entries.flatten().map(|entry| of_entry(entry.path())).sum()
}

fn dump_all(options: &DumpOptions, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let mut progress = ui.progress_if_apart(0, "dump-segment");
    if progress.is_shown() {
        progress.set_total(options.paths.iter().map(|path| log_bytes(path)).sum());
    }
    let is_over = AtomicBool::new(false);
    let dumped = std::thread::scope(|scope| {
        if progress.is_shown() {
            let (counter, is_over) = (&options.progress, &is_over);
            scope.spawn(move || {
                let mut shown = 0;
                while !is_over.load(Ordering::Relaxed) {
                    std::thread::sleep(PROGRESS_EVERY);
                    let now = counter.get();
                    progress.add(now - shown);
                    shown = now;
                }
            });
        }
        let dumped = ui.with_out(|out, ui| dump::run(options, out, &mut |report| show(report, ui)));
        is_over.store(true, Ordering::Relaxed);
        dumped
    });
    let outcome = match dumped {
        Ok(outcome) => outcome,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Outcome::Done),
        Err(error) => return Err(error.into()),
    };
    // What was printed comes first where both streams end in one place.
    ui.out().send().map(|_| ())?;
    ui.verbatim(&outcome.kafka_stderr);
    Ok(match (outcome.unreadable, outcome.damage) {
        (true, _) => Outcome::Failed,
        (false, true) => Outcome::Findings,
        (false, false) => Outcome::Done,
    })
}

fn show(report: Report, ui: &mut Ui) {
    let mut problem = Problem::new(report.code, report.message);
    if let Some(path) = report.path {
        problem = problem.path(path);
    }
    if let Some(position) = report.position {
        problem = problem.position(position);
    }
    if let Some(base_offset) = report.base_offset {
        problem = problem.base_offset(base_offset);
    }
    if let Some(hint) = report.hint {
        problem = problem.hint(hint);
    }
    match report.severity {
        Severity::Error => ui.error(problem),
        Severity::Warning => ui.warning(problem),
        Severity::Notice => ui.note(&problem.to_string()),
    }
}
