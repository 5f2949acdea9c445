//! `logdir log-dirs`: what lies in log directories, partition by partition or summed up.

mod json;
mod kafka;
mod order;
mod prometheus;
mod table;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rayon::prelude::*;

pub use self::order::SortKey;
use super::args::{GlobalArgs, OutputFormat, TopicArg, each_once, now_ms};
use super::consume::select::{OfReplicas, Selection, gone, nothing_selected, storage_problem, topic_not_found};
use super::range::Partitions;
use super::table::ListingStyle;
use super::ui::{Problem, Ui};
use super::{Outcome, dirs, man, size};
use crate::storage::forecast::{BrokerSettings, SettingError};
use crate::storage::fs::StorageError;
use crate::storage::inventory::totals::{self, Kinds};
use crate::storage::inventory::{Depth, LogDirs, PartitionFacts, Totals, TotalsKey};
use crate::storage::log_dir::LogDir;
use crate::storage::names::{DirKind, PartitionDirName};
use crate::storage::verify::{Finding, Grade};

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum By {
    /// One partition directory
    #[default]
    Partition,
    /// A topic, over all brokers
    Topic,
    /// A log directory
    Dir,
    /// A broker
    Broker,
}

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum DepthArg {
    /// Listings, small files, first batch headers, ends of indexes: quick whatever the size
    #[default]
    Index,
    /// The header of every batch too: codecs, records, open transactions
    Headers,
    /// Every batch, decompressed: compression ratios
    Deep,
}

impl DepthArg {
    const fn depth(self) -> Depth {
        match self {
            DepthArg::Index => Depth::Index,
            DepthArg::Headers => Depth::Headers,
            DepthArg::Deep => Depth::Deep,
        }
    }
}

/// What a partition directory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KindArg {
    /// In use
    Live,
    /// A copy on its way to replace a live one (-future)
    Future,
    /// Of a deleted topic (-delete)
    Delete,
    /// Set aside by a broker (-stray)
    Stray,
}

impl KindArg {
    const fn kind(self) -> DirKind {
        match self {
            KindArg::Live => DirKind::Live,
            KindArg::Future => DirKind::Future,
            KindArg::Delete => DirKind::Delete,
            KindArg::Stray => DirKind::Stray,
        }
    }
}

/// The stable word for a kind of partition directory.
const fn kind_word(kind: DirKind) -> &'static str {
    match kind {
        DirKind::Live => "live",
        DirKind::Future => "future",
        DirKind::Delete => "delete",
        DirKind::Stray => "stray",
    }
}

/// Show what lies in log directories: sizes, offsets, times, strays and duplicates
///
/// Reads only. Directories with the same node id are taken for one broker's, others stand side by side. Exits 1 when a broker
/// would refuse to start with them, or would set a partition aside: duplicates, foreign names, identities that contradict
/// each other, partitions that the cluster's metadata does not know or does not assign to the broker or the directory.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("log-dirs"))]
pub struct LogDirsArgs {
    /// Log directories. Default: those of -d or -F
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only this topic (repeatable, or a comma list; re:PATTERN)
    #[arg(short, long, visible_alias = "topic-list", value_name = "NAME", value_parser = TopicArg::parse)]
    pub topic: Vec<TopicArg>,
    /// Only these partitions: 3, 0-2, 1,5
    #[arg(short, long, value_name = "N", value_parser = Partitions::parse)]
    pub partition: Option<Partitions>,
    /// Only partition directories of this kind (repeatable, or a comma list)
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub kind: Vec<KindArg>,
    /// Only partitions whose logs have at least so many bytes
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub min_size: Option<u64>,
    /// What a row stands for
    #[arg(long, value_name = "WHAT", default_value = "partition")]
    pub by: By,
    /// What to sort by: numbers and times from the largest, names from A
    #[arg(long, value_name = "KEY", default_value = "name")]
    pub sort: SortKey,
    /// Sort the other way round
    #[arg(short, long)]
    pub reverse: bool,
    /// Only the first N rows
    #[arg(short = 'c', long = "top", visible_alias = "count", value_name = "N")]
    pub top: Option<usize>,
    /// How closely to look
    ///
    /// With index, codecs and ratios are not told, formats are those of the first batch of each segment, and open
    /// transactions are told only where a producer snapshot stands near the log end, as after a clean shutdown.
    #[arg(long, value_name = "DEPTH", default_value = "index")]
    pub depth: DepthArg,
    /// Largest batch, decompressed; one beyond it counts as damaged
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size::parse, hide_short_help = true)]
    pub max_batch_bytes: u64,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
}

/// All there is to print.
struct Report<'a> {
    dirs: &'a LogDirs,
    /// Every partition that was asked for.
    partitions: &'a [PartitionFacts],
    /// What is more than cosmetic; with `-v` everything.
    findings: &'a [Finding],
    /// Log directories that could not be read.
    unreadable: &'a [PathBuf],
    by: By,
    sort: SortKey,
    reverse: bool,
    top: usize,
}

impl Report<'_> {
    /// The partitions to show, in order.
    fn rows(&self) -> Vec<&PartitionFacts> {
        let mut rows: Vec<&PartitionFacts> = self.partitions.iter().collect();
        order::partitions(&mut rows, self.sort, self.reverse);
        rows.truncate(self.top);
        rows
    }

    /// The sums to show, in order. Log directories and brokers without a partition have a row too.
    fn totals(&self) -> Vec<(TotalsKey, Totals)> {
        let facts = self.dirs.facts();
        let broker = |log_dir: usize| facts.get(log_dir).map_or(0, |facts| facts.broker);
        let mut sums = totals::by(self.partitions, |partition| match self.by {
            By::Topic => TotalsKey::Topic(partition.name.topic_partition.topic.clone()),
            By::Dir => TotalsKey::LogDir(partition.log_dir),
            By::Broker => TotalsKey::Broker(broker(partition.log_dir)),
            By::Partition => TotalsKey::All,
        });
        for number in 0..facts.len() {
            match self.by {
                By::Dir => drop(sums.entry(TotalsKey::LogDir(number)).or_default()),
                By::Broker => drop(sums.entry(TotalsKey::Broker(broker(number))).or_default()),
                By::Partition | By::Topic => {}
            }
        }
        let mut rows: Vec<_> = sums.into_iter().collect();
        order::totals(&mut rows, self.sort, self.reverse);
        rows.truncate(self.top);
        rows
    }

    /// The sums of each log directory, by its number.
    fn by_dir(&self) -> Vec<Totals> {
        let mut sums: Vec<Totals> = self.dirs.facts().iter().map(|_| Totals::default()).collect();
        for partition in self.partitions {
            if let Some(sum) = sums.get_mut(partition.log_dir) {
                sum.add(partition);
            }
        }
        sums
    }

    fn all(&self) -> Totals {
        let mut sum = Totals::default();
        self.partitions.iter().for_each(|partition| sum.add(partition));
        sum
    }
}

/// Log directories that are named, opened.
pub(in crate::cli) struct Opened {
    /// Those that can be read.
    pub dirs: LogDirs,
    /// Their paths.
    pub readable: Vec<PathBuf>,
    /// The others, of which was told.
    pub unreadable: Vec<PathBuf>,
    /// What the others make of the run.
    pub outcome: Outcome,
}

/// Opens the log directories that `paths` or else the options name.
pub(in crate::cli) fn open_dirs(paths: &[PathBuf], global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Opened> {
    let mut named = dirs::of_options(paths, global)?;
    named.extend(each_once(paths.to_vec()));
    let mut outcome = Outcome::Done;
    let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
    for dir in named {
        match check_dir(&dir) {
            Ok(()) => readable.push(dir),
            Err(error) => {
                let problem = Problem::of(&error);
                outcome |= problem.ends_with();
                ui.error(problem);
                unreadable.push(dir);
            }
        }
    }
    let settings = BrokerSettings::from_properties(&global.broker_settings()?);
    let settings = settings.map_err(|error: SettingError| Problem::new("malformed", error.to_string()))?;
    let dirs = LogDirs::open(&readable, settings.node_id).map_err(|error| storage_problem(&error))?;
    Ok(Opened { dirs, readable, unreadable, outcome })
}

/// Looks and prints.
pub fn run(args: &LogDirsArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let format = global.output().unwrap_or(OutputFormat::Table);
    args.check(format)?;
    let Opened { dirs, readable, unreadable, mut outcome } = open_dirs(&args.paths, global, ui)?;
    let jobs = args.jobs(&dirs, &readable)?;
    let max_batch_bytes = usize::try_from(args.max_batch_bytes).unwrap_or(usize::MAX);
    let (mut partitions, failed) = survey_all(&jobs, &dirs, args.depth.depth(), max_batch_bytes, global, ui)?;
    if failed {
        outcome |= Outcome::Failed;
    }
    partitions.retain(|partition| args.min_size.is_none_or(|least| partition.log_bytes >= least));
    let misplaced = dirs.out_of_place(&partitions);
    let least = if ui.verbose() > 0 { Grade::Cosmetic } else { Grade::Slows };
    let of_partitions = partitions.iter().flat_map(|partition| &partition.findings);
    let findings = dirs.findings().flat_map(|findings| findings.told()).chain(&misplaced).chain(of_partitions);
    let findings: Vec<Finding> = findings.filter(|finding| finding.grade >= least).cloned().collect();
    if findings.iter().any(|finding| finding.grade > Grade::Cosmetic) {
        outcome |= Outcome::Findings;
    }
    for notice in partitions.iter().flat_map(|partition| &partition.notices) {
        ui.warn_once(
            &format!("{}", notice.path.display()),
            Problem::new("notice", notice.message.clone()).path(&notice.path),
        );
    }
    let report = Report {
        dirs: &dirs,
        partitions: &partitions,
        findings: &findings,
        unreadable: &unreadable,
        by: args.by,
        sort: args.sort,
        reverse: args.reverse,
        top: args.top.unwrap_or(usize::MAX),
    };
    match format {
        OutputFormat::Json => json::print(&report, ui)?,
        OutputFormat::Kafka => kafka::print(&report, ui)?,
        OutputFormat::Prometheus => prometheus::print(&report, ui)?,
        OutputFormat::Table => table::print(&report, ui.table_style(), args.no_header, ui)?,
        OutputFormat::Tsv => table::print(&report, ListingStyle::Tsv, args.no_header, ui)?,
    }
    if !matches!(format, OutputFormat::Json | OutputFormat::Table) {
        table::say_findings(&findings, ui);
    }
    if matches!(format, OutputFormat::Table | OutputFormat::Tsv) {
        table::say_sums(&report, ui);
    }
    Ok(outcome)
}

/// What is named has to be a log directory.
fn check_dir(dir: &Path) -> anyhow::Result<()> {
    std::fs::read_dir(dir).map_err(|error| storage_problem(&StorageError::new(dir, error)))?;
    let is_partition = dir.file_name().is_some_and(|name| PartitionDirName::parse(name).is_ok());
    if is_partition && !LogDir::is_one(dir) {
        let hint = match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => format!("name the log directory around it: logdir log-dirs {}", parent.display()),
            None => "name the log directory around it: logdir log-dirs .".to_owned(),
        };
        return Err(Problem::new("wrong_kind", "a partition directory, not a log directory")
            .path(dir)
            .hint(hint)
            .into());
    }
    Ok(())
}

/// A partition directory to look at.
pub(in crate::cli) struct Job<'a> {
    /// Number of its log directory.
    pub log_dir: usize,
    /// What its name says.
    pub name: &'a PartitionDirName,
    /// The directory.
    pub path: &'a Path,
}

impl LogDirsArgs {
    fn check(&self, format: OutputFormat) -> anyhow::Result<()> {
        if self.by != By::Partition && matches!(self.sort, SortKey::LogEnd | SortKey::Dirty) {
            let problem = Problem::usage("--sort log-end and --sort dirty are of partitions, not of sums of them");
            return Err(problem.hint("leave --by out, or sort by size").into());
        }
        let whole = matches!(format, OutputFormat::Kafka | OutputFormat::Prometheus);
        let chosen = self.by != By::Partition || self.sort != SortKey::Name || self.reverse || self.top.is_some();
        if whole && chosen {
            let problem =
                Problem::usage("--by, --sort, --reverse and --top choose and order rows, and this format has none");
            return Err(problem.hint("use --output table, json or tsv").into());
        }
        Ok(())
    }

    /// The partition directories that are asked for, in the order of their names.
    fn jobs<'a>(&self, dirs: &'a LogDirs, places: &[PathBuf]) -> anyhow::Result<Vec<Job<'a>>> {
        let all = || dirs.partitions().map(|(log_dir, name, path)| Job { log_dir, name, path });
        let is_selected = |job: &Job<'_>| {
            let partition = &job.name.topic_partition;
            (self.topic.is_empty() || self.topic.iter().any(|topic| topic.matches(&partition.topic)))
                && self.partition.as_ref().is_none_or(|wanted| wanted.contains(partition.partition))
        };
        let is_wanted = |job: &Job<'_>| {
            is_selected(job) && (self.kind.is_empty() || self.kind.iter().any(|kind| kind.kind() == job.name.kind))
        };
        let names = self.topic.iter().filter_map(|topic| match topic {
            TopicArg::Names(names) => Some(names),
            TopicArg::Pattern(_) => None,
        });
        let topics = all().map(|job| job.name.topic_partition.topic.as_str()).collect();
        if let Some(name) = names.flatten().find(|name| !std::collections::BTreeSet::contains(&topics, name.as_str())) {
            return Err(topic_not_found(name, &topics, places).into());
        }
        let mut jobs: Vec<Job<'a>> = all().filter(is_wanted).collect();
        // That there is none of some kind is an answer; what is named has to be there.
        if all().next().is_some() && !all().any(|job| is_selected(&job)) {
            let seen = all().map(|job| job.name.topic_partition.clone()).collect();
            let wanted = Selection {
                paths: &[],
                log_dirs: places,
                topics: &self.topic,
                partitions: self.partition.as_ref(),
                internal: true,
                of_replicas: OfReplicas::Furthest,
            };
            return Err(nothing_selected(&wanted, &seen, places).into());
        }
        let rank = |kind| Kinds::ALL.iter().position(|one| *one == kind);
        jobs.sort_by(|a, b| {
            let key = |job: &Job<'a>| (&job.name.topic_partition, rank(job.name.kind), job.log_dir, job.path);
            key(a).cmp(&key(b))
        });
        Ok(jobs)
    }
}

/// Looks at partitions side by side; they come out in the order of `jobs`. Answers too whether one could not be read.
pub(in crate::cli) fn survey_all(
    jobs: &[Job<'_>],
    dirs: &LogDirs,
    depth: Depth,
    max_batch_bytes: usize,
    global: &GlobalArgs,
    ui: &mut Ui,
) -> anyhow::Result<(Vec<PartitionFacts>, bool)> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(global.threads().get()).build()?;
    let mut progress = ui.progress(0, "log-dirs");
    let (sender, done) = mpsc::channel::<u64>();
    let surveyed: Vec<Result<PartitionFacts, StorageError>> = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            pool.install(|| {
                let one = |sender: &mut mpsc::Sender<u64>, job: &Job<'_>| {
                    let facts = dirs.survey(job.log_dir, job.name, job.path, depth, now_ms(), max_batch_bytes);
                    let bytes = facts.as_ref().map_or(0, |facts| facts.log_bytes);
                    // Progress is nobody's business but that of whoever looks on.
                    let _ = sender.send(bytes);
                    facts
                };
                jobs.par_iter().map_with(sender, one).collect()
            })
        });
        loop {
            match done.recv_timeout(Duration::from_millis(100)) {
                Ok(bytes) => progress.add(bytes),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        work.join()
    })
    .map_err(|_| Problem::new("error", "a thread that looked at partitions ended early"))?;
    drop(progress);
    let (mut found, mut failed) = (Vec::with_capacity(surveyed.len()), false);
    for facts in surveyed {
        match facts {
            Ok(facts) => found.push(facts),
            Err(error) if error.is_not_found() => gone(&error).show(ui),
            Err(error) => {
                failed = true;
                ui.error(storage_problem(&error));
            }
        }
    }
    Ok((found, failed))
}
