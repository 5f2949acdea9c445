//! `logdir verify --forecast`: the next start of a broker, as a listing or as JSON lines.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::cli::Outcome;
use crate::cli::args::{GlobalArgs, OutputFormat, now_ms};
use crate::cli::table::{Column, Listing, ListingStyle};
use crate::cli::ui::{Problem, Progress, Ui};
use crate::storage::forecast::{
    self, BrokerSettings, Fate, FileChange, Forecast, ForecastOptions, LogDirForecast, MetadataSource, Observer,
    PartitionForecast, Reach, Reason,
};

/// What to take the last shutdown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Assume {
    /// Cleanly shut down: the files are trusted
    Clean,
    /// Not cleanly: what is above the recovery points is read through
    Unclean,
}

/// Options of `--forecast`.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct ForecastArgs {
    /// Take the last shutdown for clean or unclean; default: as .kafka_cleanshutdown says
    #[arg(long, value_name = "HOW", requires = "forecast", help_heading = "Forecast")]
    pub assume: Option<Assume>,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
}

/// Forecasts a start with `dirs` and prints it.
pub fn run(dirs: &[PathBuf], args: &ForecastArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let format = global.output().unwrap_or(OutputFormat::Table);
    if format == OutputFormat::Kafka {
        let problem = Problem::usage("--output kafka: no tool of Kafka's forecasts a start");
        return Err(problem.hint("use table, json or tsv").into());
    }
    check_dirs(dirs)?;
    let settings = BrokerSettings::from_properties(&global.broker_settings()?).map_err(|error| {
        let problem = Problem::new("malformed", error.to_string());
        global.properties.iter().fold(problem, |problem, path| problem.path(path))
    })?;
    let options = ForecastOptions {
        settings,
        assume_clean: args.assume.map(|assume| assume == Assume::Clean),
        now_ms: now_ms(),
        image: None,
    };
    // The first caller of this process decides; a later one finds what it wants anyway.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(global.threads().get()).build_global();
    let bar = Bar(Mutex::new(ui.progress(0, "reading logs")));
    let forecast = forecast::forecast(dirs, &options, &bar);
    drop(bar);
    match format {
        OutputFormat::Json => json_rows(&forecast, ui)?,
        _ => table(&forecast, format, args.no_header, ui)?,
    }
    say(&forecast, format, ui);
    Ok(if forecast.is_harmless() { Outcome::Done } else { Outcome::Findings })
}

/// What is named has to be a log directory, or be meant as one: a partition cannot be started with.
fn check_dirs(dirs: &[PathBuf]) -> anyhow::Result<()> {
    for dir in dirs {
        if !dir.exists() {
            let problem = Problem::new("not_found", "no such directory").path(dir);
            return Err(problem.hint("name a log directory, as in log.dirs").into());
        }
        let is_partition = !crate::storage::log_dir::LogDir::is_one(dir)
            && dir.file_name().is_some_and(|name| crate::storage::names::PartitionDirName::parse(name).is_ok());
        if is_partition || dir.is_file() {
            let problem =
                Problem::new("wrong_kind", "a broker starts with log directories, and this is none").path(dir);
            return Err(problem.hint("name the log directory around it").into());
        }
    }
    Ok(())
}

struct Bar(Mutex<Progress>);

impl Observer for Bar {
    fn total(&self, bytes: u64) {
        if let Ok(mut bar) = self.0.lock() {
            bar.set_total(bytes);
        }
    }

    fn done(&self, bytes: u64) {
        if let Ok(mut bar) = self.0.lock() {
            bar.add(bytes);
        }
    }
}

/// Sums of a forecast.
#[derive(Default)]
struct Totals {
    partitions: u64,
    strays: u64,
    bytes_lost: u64,
    records_lost: u64,
    with_losses: u64,
}

impl Totals {
    fn of(forecast: &Forecast) -> Totals {
        let mut totals = Totals::default();
        for partition in &forecast.partitions {
            totals.partitions += 1;
            totals.strays += u64::from(matches!(partition.fate, Fate::Stray(_)));
            if let (Some(loaded), true) = (&partition.loaded, partition.fate != Fate::Deleted) {
                totals.bytes_lost += loaded.bytes_lost;
                totals.records_lost += loaded.records_lost;
                totals.with_losses += u64::from(loaded.loses_data());
            }
        }
        totals
    }
}

/// The word for what happens to a partition: of one that serves, what its load does.
fn action(partition: &PartitionForecast) -> &'static str {
    let Some(loaded) = &partition.loaded else { return partition.fate.word() };
    match &partition.fate {
        Fate::Served | Fate::Metadata if loaded.truncated_to_snapshot => "restart-at-snapshot",
        Fate::Served | Fate::Metadata if loaded.hidden_end.is_some() => "hide",
        Fate::Served | Fate::Metadata if loaded.loses_data() => "truncate",
        Fate::Served if loaded.segments_recovered > 0 => "recover",
        Fate::Served => "load",
        Fate::Metadata => "recover",
        other => other.word(),
    }
}

/// Why, and what is lost, in words.
fn why(partition: &PartitionForecast) -> Option<String> {
    let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
    match &partition.fate {
        Fate::Failed { reason, .. } => Some(format!("{}: {}", name(&reason.path), reason.message)),
        Fate::Stray(reason) => Some(reason.to_string()),
        _ => {
            let loaded = partition.loaded.as_ref()?;
            if let Some(end) = loaded.hidden_end {
                let from = loaded.log_end;
                return Some(format!(
                    "sound batches go on to offset {end}, but with the files trusted the log ends at {from}, and their \
                     offsets are given away again"
                ));
            }
            let first = loaded.losses.first()?;
            let more = match loaded.losses.len() - 1 {
                0 => String::new(),
                1 => " (and 1 more)".to_owned(),
                more => format!(" (and {more} more)"),
            };
            Some(format!("{}{more}", loss_text(first)))
        }
    }
}

fn loss_text(loss: &crate::storage::recovery::Loss) -> String {
    use crate::storage::recovery::Loss;
    let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
    match loss {
        Loss::Cut { log, position, bytes, why, .. } => {
            format!("{} is cut at position {position} ({bytes} bytes): {why}", name(log))
        }
        Loss::NotAFile { log } => format!("{} is no regular file and does not count", name(log)),
        Loss::Segment { log, bytes } => format!("{} is deleted ({bytes} bytes)", name(log)),
    }
}

fn dir_state(forecast: &Forecast, log_dir: &LogDirForecast) -> &'static str {
    match (log_dir.offline.is_empty(), forecast.starts()) {
        (false, _) => "offline",
        (true, true) => "online",
        (true, false) => "not-started",
    }
}

const COLUMNS: &[Column] = &[
    Column::left("PARTITION", 32),
    Column::left("ACTION", 8),
    Column::right("LOG-START", 10),
    Column::right("LOG-END", 10),
    Column::right("SEGMENTS", 8),
    Column::right("RECOVERED", 9),
    Column::right("DELETED", 7),
    Column::right("LOST", 9),
    Column::right("RECORDS-LOST", 12),
    Column::left("DIR", 12),
    Column::left("WHY", 0),
];

fn table(forecast: &Forecast, format: OutputFormat, no_header: bool, ui: &mut Ui) -> anyhow::Result<()> {
    let style = if format == OutputFormat::Tsv { ListingStyle::Tsv } else { ui.table_style() };
    let size = ui.size_style();
    let changes = ui.verbose() > 0;
    let mut listing = Listing::new(COLUMNS, style);
    if !no_header {
        listing.header(ui.out().buffer());
    }
    for partition in &forecast.partitions {
        let out = ui.out().buffer();
        let name = partition.dir.file_name().unwrap_or_default();
        listing.text(name.as_encoded_bytes(), out);
        listing.text(action(partition).as_bytes(), out);
        match &partition.loaded {
            Some(loaded) => {
                listing.number(loaded.log_start.get(), out);
                listing.number(loaded.log_end.get(), out);
                listing.number(loaded.segments, out);
                listing.number(loaded.segments_recovered, out);
                listing.number(loaded.segments_deleted, out);
                listing.with(out, |out| {
                    if style == ListingStyle::Tsv {
                        out.extend_from_slice(loaded.bytes_lost.to_string().as_bytes());
                    } else {
                        size.write(loaded.bytes_lost, out);
                    }
                });
                listing.number(loaded.records_lost, out);
            }
            None => (0..7).for_each(|_| listing.text(b"-", out)),
        }
        let dir = forecast.log_dirs.get(partition.log_dir).map(|log_dir| log_dir.dir.display().to_string());
        listing.text(dir.unwrap_or_default().as_bytes(), out);
        listing.text(why(partition).unwrap_or_default().as_bytes(), out);
        listing.end_row(out);
        if let (true, Some(loaded)) = (changes, &partition.loaded) {
            for change in &loaded.changes {
                ui.detail(&format!("{}: {change}", partition.dir.display()));
            }
        }
        if ui.out().drain()? == crate::cli::ui::Pipe::Closed {
            return Ok(());
        }
    }
    if changes {
        for log_dir in &forecast.log_dirs {
            for change in &log_dir.changes {
                ui.detail(&format!("{}: {change}", log_dir.dir.display()));
            }
        }
    }
    Ok(())
}

/// Everything that is not a row, on stderr: the verdict, and what it rests on.
fn say(forecast: &Forecast, format: OutputFormat, ui: &mut Ui) {
    let problem = |code: &'static str, reason: &Reason| Problem::new(code, reason.message.clone()).path(&reason.path);
    for log_dir in &forecast.log_dirs {
        for warning in &log_dir.warnings {
            ui.warning(problem("notice", warning));
        }
        for reason in &log_dir.offline {
            let text = format!("log directory {} goes offline: {}", log_dir.dir.display(), reason.message);
            ui.error(Problem::new("offline", text).path(&reason.path));
        }
    }
    for partition in &forecast.partitions {
        if let Fate::Failed { reach: Reach::Split, reason } = &partition.fate {
            ui.warning(problem("unchecked", reason));
        }
    }
    for reason in &forecast.refusals {
        ui.error(
            Problem::new("no_start", format!("the broker refuses to start: {}", reason.message))
                .path(&reason.path)
                .hint(hint(reason)),
        );
    }
    match &forecast.metadata {
        MetadataSource::Unknown if forecast.starts() => ui.warning(
            Problem::new("unchecked", "no directory has a metadata log: which partitions are stray is not known").hint(
                "a broker sets those aside as -stray whose topic id the cluster does not know, or that it does \
                     not assign to this broker; name the directory with __cluster_metadata-0 too",
            ),
        ),
        MetadataSource::Log { dir, is_committed: false } => ui.warning(
            Problem::new(
                "unchecked",
                "the quorum has several voters or none known: the last records may not be committed, and newer ones \
                 may be elsewhere; which partitions are stray is told as of this log",
            )
            .path(dir),
        ),
        _ => {}
    }
    if format == OutputFormat::Json {
        return;
    }
    let totals = Totals::of(forecast);
    let offline = forecast.log_dirs.iter().filter(|log_dir| !log_dir.offline.is_empty()).count();
    let verdict = if forecast.starts() { "the broker starts" } else { "the broker refuses to start" };
    let mut text = format!("{verdict}: {} partitions", totals.partitions);
    if totals.with_losses > 0 {
        let lost = ui.size_style().text(totals.bytes_lost);
        let records = totals.records_lost;
        text.push_str(&format!(", {} lose data ({lost}, {records} records)", totals.with_losses));
    }
    if totals.strays > 0 {
        text.push_str(&format!(", {} set aside as -stray", totals.strays));
    }
    if offline > 0 {
        text.push_str(&format!(", {offline} of {} log directories offline", forecast.log_dirs.len()));
    }
    ui.note(&text);
}

/// What to do about a refusal.
fn hint(reason: &Reason) -> String {
    let path = reason.path.display();
    let says = |text: &str| reason.message.contains(text);
    if says("Failed to acquire lock") {
        "stop the process that holds it; the forecast is of a start after that".to_owned()
    } else if says("is not in the form of topic-partition") || says("Duplicate log directories") {
        format!("move one of them out of the log directory: {path}")
    } else if says("kafka-storage.sh") {
        "format the directory, or mount the disk that is missing".to_owned()
    } else if says("NumberFormatException") {
        format!("move the file out of the partition directory: {path}")
    } else {
        format!("see what is there with: logdir dump-segment {path}")
    }
}

/// One object a line, `type` first.
fn row(kind: &str, fields: &[(&str, Value)], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"type\":\"{kind}\"").as_bytes());
    for (name, value) in fields {
        out.extend_from_slice(format!(",\"{name}\":{value}").as_bytes());
    }
    out.extend_from_slice(b"}\n");
}

fn change_json(change: &FileChange) -> Value {
    match change {
        FileChange::Remove { file } => json!({"change": change.word(), "file": file}),
        FileChange::Rename { file, to } => json!({"change": change.word(), "file": file, "to": to}),
        FileChange::Cut { file, size_bytes } | FileChange::Write { file, size_bytes } => {
            json!({"change": change.word(), "file": file, "size_bytes": size_bytes})
        }
    }
}

fn json_rows(forecast: &Forecast, ui: &mut Ui) -> anyhow::Result<()> {
    let path = |path: &Path| Value::from(path.to_string_lossy());
    let changes = |changes: &[FileChange]| Value::from(changes.iter().map(change_json).collect::<Vec<_>>());
    let reasons = |reasons: &[Reason]| {
        let one = |reason: &Reason| json!({"path": path(&reason.path), "message": reason.message});
        Value::from(reasons.iter().map(one).collect::<Vec<_>>())
    };
    for log_dir in &forecast.log_dirs {
        let fields = [
            ("dir", path(&log_dir.dir)),
            ("state", dir_state(forecast, log_dir).into()),
            ("clean", log_dir.clean.into()),
            ("offline", reasons(&log_dir.offline)),
            ("warnings", reasons(&log_dir.warnings)),
            ("changes", changes(&log_dir.changes)),
        ];
        row("forecast_dir", &fields, ui.out().buffer());
    }
    for partition in &forecast.partitions {
        let loaded = partition.loaded.as_ref();
        let number = |of: fn(&forecast::Loaded) -> i64| Value::from(loaded.map(of));
        let count = |of: fn(&forecast::Loaded) -> u64| Value::from(loaded.map(of));
        let dir = forecast.log_dirs.get(partition.log_dir).map_or(Value::Null, |log_dir| path(&log_dir.dir));
        let losses = loaded.map(|loaded| loaded.losses.iter().map(loss_text).collect::<Vec<_>>());
        let fields = [
            ("topic", Value::from(partition.name.topic_partition.topic.as_str())),
            ("partition", partition.name.topic_partition.partition.into()),
            ("dir", dir),
            ("directory", path(Path::new(partition.dir.file_name().unwrap_or_default()))),
            ("topic_id", partition.topic_id.map(|id| id.to_string()).into()),
            ("action", action(partition).into()),
            ("fate", partition.fate.word().into()),
            ("reason", why(partition).into()),
            ("log_start", number(|loaded| loaded.log_start.get())),
            ("log_end", number(|loaded| loaded.log_end.get())),
            ("hidden_end", loaded.and_then(|loaded| loaded.hidden_end).map(|end| end.get()).into()),
            ("recovery_point", number(|loaded| loaded.recovery_point.get())),
            ("segments", count(|loaded| loaded.segments as u64)),
            ("segments_recovered", count(|loaded| loaded.segments_recovered as u64)),
            ("segments_deleted", count(|loaded| loaded.segments_deleted as u64)),
            ("indexes_rebuilt", count(|loaded| loaded.indexes_rebuilt as u64)),
            ("snapshots_removed", count(|loaded| loaded.snapshots_removed as u64)),
            ("bytes_lost", count(|loaded| loaded.bytes_lost)),
            ("records_lost", count(|loaded| loaded.records_lost)),
            ("losses", losses.into()),
            ("changes", loaded.map_or(Value::Null, |loaded| changes(&loaded.changes))),
        ];
        row("forecast_partition", &fields, ui.out().buffer());
        if ui.out().drain()? == crate::cli::ui::Pipe::Closed {
            return Ok(());
        }
    }
    let totals = Totals::of(forecast);
    let metadata = match &forecast.metadata {
        MetadataSource::Log { is_committed: true, .. } => "log",
        MetadataSource::Log { is_committed: false, .. } => "log_uncommitted",
        MetadataSource::Given => "given",
        MetadataSource::New => "new",
        MetadataSource::Unknown => "unknown",
    };
    let fields = [
        ("starts", Value::from(forecast.starts())),
        ("harmless", forecast.is_harmless().into()),
        ("refusals", reasons(&forecast.refusals)),
        ("node_id", forecast.node_id.into()),
        ("metadata", metadata.into()),
        ("dirs", forecast.log_dirs.len().into()),
        ("dirs_offline", forecast.log_dirs.iter().filter(|it| !it.offline.is_empty()).count().into()),
        ("partitions", totals.partitions.into()),
        ("partitions_with_losses", totals.with_losses.into()),
        ("partitions_stray", totals.strays.into()),
        ("bytes_lost", totals.bytes_lost.into()),
        ("records_lost", totals.records_lost.into()),
    ];
    row("summary", &fields, ui.out().buffer());
    Ok(())
}
