//! `logdir offsets`: earliest, latest and by-time offsets of partitions, as a broker would answer.

use std::path::PathBuf;

use rayon::prelude::*;
use regex::Regex;

use super::args::{GlobalArgs, OutputFormat, TopicArg, now_ms};
use super::consume::IsolationLevel;
use super::consume::select::{OfReplicas, Selection, select, storage_problem};
use super::json_row::JsonRow;
use super::message::show_remarks;
use super::range::{self, Partitions};
use super::table::{Column, Listing, ListingStyle};
use super::ui::{Pipe, Problem, Ui};
use super::{Outcome, dirs, man, size};
use crate::storage::fs::StorageError;
use crate::storage::list_offsets::{Found, Isolation, ListOffsets, OffsetSpec};
use crate::storage::metadata_log;
use crate::storage::partition::Partition;
use crate::storage::remarks::Remarks;
use crate::storage::replicas::Other;
use crate::types::{Offset, TopicPartition};

/// Print earliest, latest and by-time offsets of partitions
///
/// The latest offset is the log end, or with --isolation-level read_committed the last stable offset. A broker answers
/// with the high watermark: on disk there is only a checkpoint of it that lags behind, and a leader moves it to the log end
/// once all in-sync replicas have caught up (at its start, where it is the only one). --json has both beside each answer.
///
/// With the directories of several brokers, the replica whose log reaches furthest answers. Exits 1 when damage was passed
/// over on the way to an answer.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("offsets"))]
pub struct OffsetsArgs {
    /// Partition directories or log directories, instead of -d
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Topic; re:PATTERN for several (repeatable)
    #[arg(short, long, value_name = "TOPIC", value_parser = TopicArg::parse)]
    pub topic: Vec<TopicArg>,
    /// Partitions, such as 0,3-5; default all
    #[arg(short, long, visible_alias = "partitions", value_name = "LIST", value_parser = Partitions::parse)]
    pub partition: Option<Partitions>,
    /// Topics and partitions in one: orders:0,payments:1-3,re.*:5-,x:-2 (ends exclusive)
    ///
    /// As kafka-get-offsets.sh has it: the topic is a regular expression of the whole name, and all topics where it is left
    /// out; behind the colon a number, a range without its end, a start or an end, or nothing for all partitions.
    #[arg(long, value_name = "LIST", value_parser = TopicPartitions::parse, conflicts_with_all = ["topic", "partition"])]
    pub topic_partitions: Option<TopicPartitions>,
    /// Leave internal topics (__*) out
    #[arg(long)]
    pub exclude_internal_topics: bool,
    /// Which offset: latest, earliest, max-timestamp, ... or a time (repeatable) [default: latest]
    ///
    /// -1 or latest, -2 or earliest, -3 or max-timestamp, -4 or earliest-local, -5 or latest-tiered, -6 or
    /// earliest-pending-upload; a number of milliseconds since 1970 for the first record at or after it; or @T as -o has
    /// it: @2026-11-22, @2026-11-22T10:00:00Z, @-1h. What is only in remote storage has no answer.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = TimeArg::parse)]
    pub time: Vec<TimeArg>,
    /// Whether latest is the log end or the last stable offset
    #[arg(long, value_name = "LEVEL", default_value = "read_uncommitted")]
    pub isolation_level: IsolationLevel,
    /// Largest batch, decompressed; one beyond it is passed over
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size::parse, hide_short_help = true)]
    pub max_batch_bytes: u64,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
}

/// One `--time`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeArg {
    spec: OffsetSpec,
    /// Kafka's word for it, else as written.
    text: String,
}

impl TimeArg {
    /// Reads a word, a number as Kafka's tool takes it, or a time behind `@`.
    pub fn parse(text: &str) -> Result<TimeArg, String> {
        let words = [
            OffsetSpec::Latest,
            OffsetSpec::Earliest,
            OffsetSpec::MaxTimestamp,
            OffsetSpec::EarliestLocal,
            OffsetSpec::LatestTiered,
            OffsetSpec::EarliestPendingUpload,
        ];
        let spec = match text {
            "start" | "beginning" => OffsetSpec::Earliest,
            "end" => OffsetSpec::Latest,
            _ => match (words.into_iter().find(|spec| spec.word() == Some(text)), text.strip_prefix('@')) {
                (Some(spec), _) => spec,
                (None, Some(time)) => {
                    OffsetSpec::Timestamp(range::parse_time(time, now_ms()).map_err(|error| error.to_string())?)
                }
                (None, None) => match text.parse().map(OffsetSpec::of_number) {
                    Ok(spec) if !matches!(spec, OffsetSpec::Timestamp(..0)) => spec,
                    _ => {
                        return Err("expected latest (-1), earliest (-2), max-timestamp (-3), earliest-local (-4), \
                                    latest-tiered (-5), earliest-pending-upload (-6), milliseconds since 1970, or @TIME"
                            .to_owned());
                    }
                },
            },
        };
        Ok(TimeArg { spec, text: spec.word().unwrap_or(text).to_owned() })
    }
}

/// `--topic-partitions`: any of its rules lets a partition pass.
#[derive(Debug, Clone)]
pub struct TopicPartitions(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    topic: Regex,
    from: i32,
    /// Exclusive; `None` for all.
    to: Option<i32>,
}

impl TopicPartitions {
    /// Reads Kafka's form (`GetOffsetShell.parseRuleSpec`).
    pub fn parse(text: &str) -> Result<TopicPartitions, String> {
        text.split(',').map(Rule::parse).collect::<Result<_, _>>().map(TopicPartitions)
    }

    fn lets_pass(&self, partition: &TopicPartition) -> bool {
        self.0.iter().any(|rule| {
            let number = partition.partition;
            rule.topic.is_match(&partition.topic) && number >= rule.from && rule.to.is_none_or(|to| number < to)
        })
    }
}

impl Rule {
    fn parse(text: &str) -> Result<Rule, String> {
        let wrong = || format!("'{text}' is not TOPIC, TOPIC:N, TOPIC:N-M, TOPIC:N- or TOPIC:-M");
        let (topic, partitions) = text.split_once(':').unwrap_or((text, ""));
        let pattern = if topic.trim().is_empty() { ".*" } else { topic.trim() };
        let topic = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| error.to_string())?;
        let number = |digits: &str| match digits {
            "" => Ok(None),
            _ if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().map(Some).map_err(|_| wrong()),
            _ => Err(wrong()),
        };
        let (from, to) = match partitions.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None => {
                let only = number(partitions)?;
                (only, only.and_then(|number: i32| number.checked_add(1)))
            }
        };
        Ok(Rule { topic, from: from.unwrap_or(0), to })
    }
}

/// What is known of one partition.
struct Answers {
    topic_partition: TopicPartition,
    path: PathBuf,
    found: Vec<Option<Found>>,
    /// What every answer is seen beside; only where it is shown.
    ends: Option<Ends>,
    /// Replicas in other directories, which were not asked.
    others: Vec<Other>,
    /// Damage was met on the way, and passed over.
    is_damaged: bool,
}

struct Ends {
    log_start: Offset,
    log_end: Offset,
    high_watermark: Option<Offset>,
    last_stable: Offset,
}

/// Finds the offsets and prints them.
pub fn run(args: &OffsetsArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let format = global.output().unwrap_or(OutputFormat::Table);
    let latest = [TimeArg { spec: OffsetSpec::Latest, text: "latest".to_owned() }];
    let times = if args.time.is_empty() { &latest } else { args.time.as_slice() };
    if format == OutputFormat::Kafka && times.len() > 1 {
        let problem = Problem::usage("--output kafka has no place for more than one --time");
        return Err(problem.hint("use table, json or tsv").into());
    }
    let log_dirs = dirs::of_options(&args.paths, global)?;
    let selection = Selection {
        paths: &args.paths,
        log_dirs: &log_dirs,
        topics: &args.topic,
        partitions: args.partition.as_ref(),
        internal: true,
        of_replicas: OfReplicas::Furthest,
    };
    let selected = select(&selection)?;
    selected.messages.into_iter().for_each(|message| message.show(ui));
    let mut outcome = dirs::show_all(selected.failures, ui);
    let is_wanted = |partition: &Partition| {
        let name = partition.topic_partition();
        let by_rule = args.topic_partitions.as_ref().is_none_or(|rules| rules.lets_pass(name));
        // The metadata log is no topic to Kafka's tool.
        let hidden = format == OutputFormat::Kafka && name.topic == metadata_log::TOPIC;
        by_rule && !hidden && !(args.exclude_internal_topics && name.is_internal())
    };
    let mut partitions: Vec<Partition> = selected.partitions.into_iter().filter(is_wanted).collect();
    if partitions.is_empty() && outcome == Outcome::Done {
        let problem =
            Problem::new("not_found", "no partition matches --topic-partitions and --exclude-internal-topics");
        return Err(problem.hint("see what there is with: logdir log-dirs").into());
    }
    if format == OutputFormat::Kafka {
        // A map by the text of the partition: orders-10 before orders-2.
        partitions.sort_by_cached_key(|partition| partition.topic_partition().to_string());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(global.threads().get()).build()?;
    let with_ends = format == OutputFormat::Json;
    let answers: Vec<Result<(Answers, Remarks), StorageError>> =
        pool.install(|| partitions.par_iter().map(|partition| answer(partition, times, args, with_ends)).collect());
    let mut printer = Printer::new(format, args, times, ui);
    for answers in answers {
        match answers {
            Ok((mut answers, remarks)) => {
                outcome |= show_remarks(remarks, ui);
                answers.others = selected.others.get(&answers.topic_partition).cloned().unwrap_or_default();
                printer.partition(&answers, times, ui.out().buffer());
            }
            Err(error) => outcome |= dirs::show_all([storage_problem(&error)], ui),
        }
        if ui.out().drain()? == Pipe::Closed {
            return Ok(outcome);
        }
    }
    Ok(outcome)
}

fn answer(
    partition: &Partition,
    times: &[TimeArg],
    args: &OffsetsArgs,
    with_ends: bool,
) -> Result<(Answers, Remarks), StorageError> {
    let isolation = match args.isolation_level {
        IsolationLevel::ReadUncommitted => Isolation::ReadUncommitted,
        IsolationLevel::ReadCommitted => Isolation::ReadCommitted,
    };
    let mut offsets = ListOffsets::new(partition, usize::try_from(args.max_batch_bytes).unwrap_or(usize::MAX));
    let found = times.iter().map(|time| offsets.answer(time.spec, isolation)).collect::<Result<_, _>>()?;
    let ends = if with_ends {
        let log_end = offsets.log_end()?;
        Some(Ends {
            log_start: partition.log_start(),
            log_end,
            high_watermark: partition.high_watermark(log_end),
            last_stable: offsets.last_stable()?,
        })
    } else {
        None
    };
    let remarks = offsets.take_remarks();
    let answers = Answers {
        topic_partition: partition.topic_partition().clone(),
        path: partition.dir().to_owned(),
        others: Vec::new(),
        found,
        ends,
        is_damaged: !remarks.damages.is_empty(),
    };
    Ok((answers, remarks))
}

const COLUMNS: &[Column] = &[
    Column::left("TOPIC", 24),
    Column::right("PARTITION", 9),
    Column::left("TIME", 13),
    Column::right("OFFSET", 12),
    Column::right("EPOCH", 5),
    Column::left("TIMESTAMP", 24),
];

struct Printer {
    format: OutputFormat,
    listing: Listing,
    times: super::table::TimeText,
}

impl Printer {
    fn new(format: OutputFormat, args: &OffsetsArgs, times: &[TimeArg], ui: &mut Ui) -> Printer {
        let style = if format == OutputFormat::Tsv { ListingStyle::Tsv } else { ui.table_style() };
        let mut listing = Listing::new(COLUMNS, style);
        let has_head = matches!(format, OutputFormat::Table | OutputFormat::Tsv) && !args.no_header;
        if has_head && !times.is_empty() {
            listing.header(ui.out().buffer());
        }
        Printer { format, listing, times: ui.time_text() }
    }

    fn partition(&mut self, answers: &Answers, times: &[TimeArg], out: &mut Vec<u8>) {
        for (time, found) in times.iter().zip(&answers.found) {
            match self.format {
                OutputFormat::Json => json(answers, time, *found, out),
                OutputFormat::Kafka => {
                    // Partitions without such an offset are left out.
                    if let Some(found) = found {
                        let TopicPartition { topic, partition } = &answers.topic_partition;
                        out.extend_from_slice(format!("{topic}:{partition}:{}\n", found.offset).as_bytes());
                    }
                }
                _ => self.row(answers, time, *found, out),
            }
        }
    }

    fn row(&mut self, answers: &Answers, time: &TimeArg, found: Option<Found>, out: &mut Vec<u8>) {
        let Printer { listing, times, .. } = self;
        listing.text(answers.topic_partition.topic.as_bytes(), out);
        listing.number(answers.topic_partition.partition, out);
        listing.text(time.text.as_bytes(), out);
        match found {
            Some(found) => listing.number(found.offset.get(), out),
            None => listing.text(b"-", out),
        }
        match found.and_then(|found| found.leader_epoch) {
            Some(epoch) => listing.number(epoch.0, out),
            None => listing.text(b"-", out),
        }
        match found.and_then(|found| found.timestamp_ms) {
            Some(timestamp) => listing.with(out, |cell| times.write(timestamp, cell)),
            None => listing.text(b"-", out),
        }
        listing.end_row(out);
    }
}

fn json(answers: &Answers, time: &TimeArg, found: Option<Found>, out: &mut Vec<u8>) {
    let asked = match time.spec {
        OffsetSpec::Timestamp(ms) => Some(ms),
        _ => None,
    };
    let ends = answers.ends.as_ref();
    JsonRow::new("offset")
        .field("topic", answers.topic_partition.topic.clone())
        .field("partition", answers.topic_partition.partition)
        .field("time", time.text.clone())
        .field("time_ms", asked)
        .field("offset", found.map(|found| found.offset.get()))
        .field("timestamp_ms", found.and_then(|found| found.timestamp_ms))
        .field("leader_epoch", found.and_then(|found| found.leader_epoch).map(|epoch| epoch.0))
        .field("log_start_offset", ends.map(|ends| ends.log_start.get()))
        .field("log_end_offset", ends.map(|ends| ends.log_end.get()))
        .field("high_watermark", ends.and_then(|ends| ends.high_watermark).map(Offset::get))
        .field("last_stable_offset", ends.map(|ends| ends.last_stable.get()))
        .field("path", answers.path.display().to_string())
        .field("other_replicas", answers.others.iter().map(other_json).collect::<Vec<_>>())
        .field("damaged", answers.is_damaged)
        .write(out);
}

fn other_json(other: &Other) -> serde_json::Value {
    serde_json::json!({
        "path": other.dir.display().to_string(),
        "leader_epoch": other.reach.epoch.map(|epoch| epoch.0),
        "log_end_offset": other.reach.log_end.get(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kafkas_words_and_numbers_or_ours_behind_an_at() {
        use OffsetSpec::{Earliest, EarliestPendingUpload, Latest, MaxTimestamp, Timestamp};
        let cases = [
            ("latest", Some((Latest, "latest"))),
            ("-1", Some((Latest, "latest"))),
            ("end", Some((Latest, "latest"))),
            ("beginning", Some((Earliest, "earliest"))),
            ("-3", Some((MaxTimestamp, "max-timestamp"))),
            ("-6", Some((EarliestPendingUpload, "earliest-pending-upload"))),
            ("1700000000000", Some((Timestamp(1_700_000_000_000), "1700000000000"))),
            // Kafka's tool takes every number for milliseconds.
            ("5", Some((Timestamp(5), "5"))),
            ("@1700000000", Some((Timestamp(1_700_000_000_000), "@1700000000"))),
            ("@2023-11-14T22:13:20Z", Some((Timestamp(1_700_000_000_000), "@2023-11-14T22:13:20Z"))),
            ("0", Some((Timestamp(0), "0"))),
            ("-7", None),
            ("-9223372036854775808", None),
            ("soon", None),
            ("@soon", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in cases {
            let parsed = TimeArg::parse(text).ok().map(|time| (time.spec, time.text));
            assert_eq!(parsed, expected.map(|(spec, text)| (spec, text.to_owned())), "{text}");
        }
    }

    #[test]
    fn topic_partitions_are_regular_expressions_and_half_open_ranges() {
        let cases: [(&str, &[&str], &[&str]); 9] = [
            ("orders:0", &["orders-0"], &["orders-1", "orders2-0", "xorders-0"]),
            ("orders", &["orders-0", "orders-77"], &["order-0"]),
            ("orders:1-3", &["orders-1", "orders-2"], &["orders-0", "orders-3"]),
            ("orders:5-", &["orders-5", "orders-99"], &["orders-4"]),
            ("orders:-3", &["orders-0", "orders-2"], &["orders-3"]),
            (":2", &["a-2", "b-2"], &["a-1"]),
            ("ord.*|pay:1", &["orders-1", "pay-1"], &["orders-0", "payx-1"]),
            ("a:0,b:1", &["a-0", "b-1"], &["a-1", "b-0"]),
            ("orders:", &["orders-3"], &["x-3"]),
        ];
        let name = |text: &&str| {
            let (topic, number) = text.rsplit_once('-').unwrap();
            TopicPartition::new(topic, number.parse().unwrap())
        };
        for (text, passing, stopped) in cases {
            let rules = TopicPartitions::parse(text).unwrap();
            assert!(passing.iter().all(|partition| rules.lets_pass(&name(partition))), "{text} lets {passing:?} pass");
            assert!(!stopped.iter().any(|partition| rules.lets_pass(&name(partition))), "{text} stops {stopped:?}");
        }
        for text in ["a:x", "a:1-x", "a:0-1-2", "(:1", "a:b:1"] {
            assert!(TopicPartitions::parse(text).is_err(), "{text}");
        }
    }
}
