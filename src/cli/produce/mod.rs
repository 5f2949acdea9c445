//! `logdir produce`: records from stdin or files into the partitions of a topic.

mod feed;
mod lanes;
mod replicas;
mod report;
mod sealer;
mod target;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use self::feed::{Feed, Ready};
use self::lanes::{Lanes, Taken};
use self::target::Target;
use super::args::{GlobalArgs, OutputFormat, now_ms};
use super::consume::{Delimiter, delimiter};
use super::input::{ConsoleReader, Fixed, Grammar, InputFormat, Lines};
use super::interrupt::Interrupt;
use super::range::parse_time;
use super::record_format::TextFormat;
use super::topics::create::PARTITIONS_MAX;
use super::ui::{Pipe, Problem, Ui};
use super::{Outcome, man, size};
use crate::batch::compression::Compression;
use crate::partitioner::Strategy;
use crate::storage::writer::{Durability, LogConfig};
use crate::types::{TimestampMs, Uuid};

/// Append records to the partitions of a topic
///
/// Records come from stdin, a line each, unless -f, --input or a FILE says otherwise. A running broker's
/// directory is refused; several logdir processes take turns. A directory that was not shut down cleanly is
/// recovered first, as a broker does, but nothing is cut without --allow-truncate.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("produce"))]
pub struct ProduceArgs {
    /// Files, each one value; default: records from stdin
    #[arg(value_name = "FILE", conflicts_with_all = ["lines", "format", "input", "key_delimiter", "property"])]
    pub files: Vec<PathBuf>,
    /// Topic; may be left out when every record names its own (--input json, %t)
    #[arg(short, long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Partition of every record
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..), conflicts_with = "partitioner")]
    pub partition: Option<i32>,
    /// How records find their partition: murmur2, sticky, round-robin, random, crc32
    ///
    /// murmur2 (default): the Java producer's way, by key, without one a partition per batch. crc32: librdkafka's.
    /// sticky, round-robin, random ignore keys. Without this option a partition that the input names is used.
    #[arg(long, value_name = "NAME", value_parser = strategy)]
    pub partitioner: Option<Strategy>,
    /// Decide all chance (sticky, round-robin, random) by this number
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub seed: Option<u64>,
    /// Read records from FILE instead of stdin; - is stdin
    #[arg(short, long = "lines", value_name = "FILE", help_heading = "Input")]
    pub lines: Option<PathBuf>,
    /// What the input is
    #[arg(long, value_name = "KIND", default_value = "lines", conflicts_with = "format", help_heading = "Input")]
    pub input: InputKind,
    /// Read by a format, such as '%k %s\n' (tokens as in consume)
    #[arg(short, long, value_name = "STR", allow_hyphen_values = true, help_heading = "Input")]
    pub format: Option<String>,
    /// The key stands before DELIM, the value after it
    #[arg(short = 'K', long, value_name = "DELIM", allow_hyphen_values = true, value_parser = delimiter, help_heading = "Input")]
    pub key_delimiter: Option<Delimiter>,
    /// Records end with DELIM
    #[arg(short = 'D', long, value_name = "DELIM", allow_hyphen_values = true, default_value = "\\n", value_parser = delimiter, help_heading = "Input")]
    pub delimiter: Delimiter,
    /// Key of records that have none
    #[arg(short, long, value_name = "KEY", allow_hyphen_values = true, help_heading = "Input")]
    pub key: Option<OsString>,
    /// Header of every record (repeatable); K alone is a null value
    #[arg(short = 'H', long, value_name = "K=V", help_heading = "Input")]
    pub header: Vec<OsString>,
    /// Empty keys and values are null
    #[arg(short = 'Z', long, help_heading = "Input")]
    pub null: bool,
    /// console-producer's input: parse.key=true, key.separator=:, null.marker=NULL, ...
    #[arg(
        long,
        value_name = "K=V",
        alias = "reader-property",
        conflicts_with_all = ["key_delimiter", "format"],
        hide_short_help = true,
        help_heading = "Input"
    )]
    pub property: Vec<String>,
    /// Copy the input to stdout
    #[arg(short = 'T', long, help_heading = "Input")]
    pub tee: bool,
    /// Stop after N records
    #[arg(short, long, value_name = "N", visible_alias = "max-messages", alias = "num", help_heading = "Input")]
    pub count: Option<u64>,
    /// At a record that cannot be read: stop, or skip and count it
    ///
    /// stop: what stands before it is stored, nothing of it is. Both end with 1.
    #[arg(long, value_name = "ACTION", default_value = "stop", hide_short_help = true, help_heading = "Input")]
    pub on_error: OnError,
    /// Timestamp of every record: now, or a time as in consume -o @T
    ///
    /// Default: the input's, where it has one, else the time of the append.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = timestamp, conflicts_with = "timestamps_from_input", help_heading = "Records")]
    pub timestamp: Option<Timestamp>,
    /// A record without a timestamp is an error
    #[arg(long, hide_short_help = true, help_heading = "Records")]
    pub timestamps_from_input: bool,
    /// Store records at the offsets and leader epochs of the input, gaps included
    #[arg(long, requires = "input", conflicts_with_all = ["idempotent", "producer_id", "state"], help_heading = "Records")]
    pub keep_offsets: bool,
    /// Compression: none, gzip, snappy, lz4, zstd, with a level as zstd:7
    #[arg(short = 'z', long, value_name = "CODEC", default_value = "none", value_parser = Compression::parse, help_heading = "Batches")]
    pub compression: Compression,
    /// Size at which a batch is full
    #[arg(long, value_name = "SIZE", default_value = "16384", value_parser = size::parse, hide_short_help = true, help_heading = "Batches")]
    pub batch_size: u64,
    /// How long a batch waits for more while the input has none
    #[arg(long, value_name = "MS", default_value_t = 5, hide_short_help = true, help_heading = "Batches")]
    pub linger: u64,
    /// Write a producer id, epoch and sequences under a new id
    ///
    /// A rerun gets another id: only --state or --producer-id make a rerun add nothing twice.
    #[arg(long, help_heading = "Idempotence")]
    pub idempotent: bool,
    /// Producer id; records whose sequence the partition has are left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..), conflicts_with = "state", help_heading = "Idempotence")]
    pub producer_id: Option<i64>,
    /// Epoch of the producer id; one below the partition's is fenced off
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i16).range(0..), hide_short_help = true, help_heading = "Idempotence")]
    pub producer_epoch: i16,
    /// Sequence of the input's first record in each partition
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..), requires = "producer_id", help_heading = "Idempotence")]
    pub from_sequence: i32,
    /// Keep the producer id in FILE, so that a rerun with the same input adds only what is missing
    #[arg(long, value_name = "FILE", help_heading = "Idempotence")]
    pub state: Option<PathBuf>,
    /// Make the topic with N partitions when it is missing, and the log directory too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=PARTITIONS_MAX), help_heading = "Create")]
    pub create: Option<i32>,
    /// Id of a topic that is made; default: a new one
    #[arg(long, value_name = "UUID", value_parser = uuid, requires = "create", hide_short_help = true, help_heading = "Create")]
    pub topic_id: Option<Uuid>,
    /// Cluster id of a log directory that is made; default: a new one
    #[arg(long, value_name = "ID", requires = "create", hide_short_help = true, help_heading = "Create")]
    pub cluster_id: Option<String>,
    /// Node id of a log directory that is made
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(0..), requires = "create", hide_short_help = true, help_heading = "Create")]
    pub node_id: i32,
    /// Id of a log directory that is made; default: a new one
    #[arg(long, value_name = "UUID", value_parser = uuid, requires = "create", hide_short_help = true, help_heading = "Create")]
    pub directory_id: Option<Uuid>,
    /// When records are on disk: end, batch or never
    ///
    /// end: when the command has returned 0. batch: before they are reported, many batches and partitions with one
    /// wait. never: the kernel writes them when it likes; they survive the end of this process, not of the
    /// machine, and the directory is left for a broker to recover.
    #[arg(long, value_name = "WHEN", default_value = "end", help_heading = "Durability")]
    pub fsync: Fsync,
    /// Flush a partition after so many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), hide_short_help = true, help_heading = "Durability")]
    pub flush_messages: Option<u64>,
    /// Flush all partitions after so many milliseconds
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..), hide_short_help = true, help_heading = "Durability")]
    pub flush_ms: Option<u64>,
    /// Replicas that must have a record: 0, 1 or all
    ///
    /// About replicas, not disks: see --fsync. With one directory 1 and all are the same; with 0 no offsets are
    /// reported. With -d of several brokers of a cluster the replicas of a partition are written to together, led by
    /// the one that reaches furthest of those that may lead (ISR, ELR). All of these have to be at hand; with all, as
    /// many as --min-insync-replicas asks for have to be in sync too.
    #[arg(long, value_name = "N", default_value = "all", hide_short_help = true, help_heading = "Durability")]
    pub acks: Acks,
    /// min.insync.replicas of the topic [default: the cluster metadata's, else -F's, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), hide_short_help = true, help_heading = "Topic settings")]
    pub min_insync_replicas: Option<u32>,
    /// Open logs that recovery shortens
    #[arg(long, hide_short_help = true, help_heading = "Durability")]
    pub allow_truncate: bool,
    /// segment.bytes of the topic [default: -F's log.segment.bytes, else 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = size_31, hide_short_help = true, help_heading = "Topic settings")]
    pub segment_bytes: Option<u32>,
    /// segment.ms of the topic [default: -F's log.roll.ms, else 7 days]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(i64).range(1..), hide_short_help = true, help_heading = "Topic settings")]
    pub segment_ms: Option<i64>,
    /// segment.index.bytes of the topic [default: -F's log.index.size.max.bytes, else 10MiB]
    #[arg(long, value_name = "SIZE", value_parser = size_31, hide_short_help = true, help_heading = "Topic settings")]
    pub segment_index_bytes: Option<u32>,
    /// index.interval.bytes of the topic [default: -F's log.index.interval.bytes, else 4096]
    #[arg(long, value_name = "SIZE", value_parser = size_31, hide_short_help = true, help_heading = "Topic settings")]
    pub index_interval_bytes: Option<u32>,
    /// max.message.bytes of the topic [default: -F's message.max.bytes, else 1048588]
    #[arg(long, value_name = "SIZE", value_parser = size_31, hide_short_help = true, help_heading = "Topic settings")]
    pub max_message_bytes: Option<u32>,
    /// preallocate of the topic [default: -F's log.preallocate]
    #[arg(long, hide_short_help = true, help_heading = "Topic settings")]
    pub preallocate: bool,
    /// Print a line for every record stored, such as '%p %o\n' (tokens as in consume)
    #[arg(long, value_name = "STR", allow_hyphen_values = true, value_parser = TextFormat::parse, conflicts_with = "tee", help_heading = "Report")]
    pub output_format: Option<TextFormat>,
    /// Say what would be written, write nothing
    #[arg(short = 'n', long, help_heading = "Report")]
    pub dry_run: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true, help_heading = "Report")]
    pub no_header: bool,
}

/// `min.insync.replicas`, where it is said outside the cluster's metadata.
#[derive(Debug, Clone, Copy)]
struct MinInsync {
    /// By the option: before all else.
    asked: Option<u32>,
    /// By the broker's settings: after the topic's.
    broker: Option<u32>,
}

/// What the input is.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// Delimited values, with -K keys too
    Lines,
    /// JSON lines, as consume --json or kcat's -J print them
    Json,
}

/// What to do at a record that cannot be read.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// End there
    Stop,
    /// Go on behind it
    Skip,
}

/// When records are on disk.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Once, before the command returns
    End,
    /// Before records are reported
    Batch,
    /// When the kernel writes them
    Never,
}

/// Replicas that must have a record.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// None is asked
    #[value(name = "0")]
    None,
    /// The leader
    #[value(name = "1")]
    Leader,
    /// All in-sync replicas
    #[value(name = "all", alias = "-1")]
    All,
}

/// Timestamp of every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamp {
    /// When it is appended.
    Now,
    /// This one.
    At(TimestampMs),
}

fn strategy(text: &str) -> Result<Strategy, String> {
    Strategy::parse(text).map_err(|error| error.to_string())
}

fn timestamp(text: &str) -> Result<Timestamp, String> {
    if text == "now" {
        return Ok(Timestamp::Now);
    }
    parse_time(text.strip_prefix('@').unwrap_or(text), now_ms()).map(Timestamp::At).map_err(|error| error.to_string())
}

fn uuid(text: &str) -> Result<Uuid, String> {
    Uuid::parse(text)
        .filter(|id| *id != Uuid::ZERO)
        .ok_or_else(|| "expected 22 characters of URL-safe base64".to_owned())
}

fn size_31(text: &str) -> Result<u32, String> {
    let bytes = size::parse(text).map_err(|error| error.to_string())?;
    u32::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= i32::MAX.cast_unsigned())
        .ok_or_else(|| "expected at most 2147483647 bytes".to_owned())
}

impl ProduceArgs {
    /// The log's settings: from the options, the broker's properties, Kafka's defaults, in this order.
    fn config(&self, global: &GlobalArgs) -> anyhow::Result<LogConfig> {
        let broker = Broker { settings: global.broker_settings()?, path: global.properties.clone() };
        let defaults = LogConfig::default();
        let hours = broker.get("log.roll.hours")?.map(|hours: i64| hours.saturating_mul(3_600_000));
        let roll_ms = broker.get("log.roll.ms")?.or(hours);
        let size = |option: Option<u32>, name, default| -> anyhow::Result<u32> {
            Ok(option.or(broker.get(name)?).unwrap_or(default))
        };
        Ok(LogConfig {
            segment_bytes: size(self.segment_bytes, "log.segment.bytes", defaults.segment_bytes)?,
            segment_ms: self.segment_ms.or(roll_ms).unwrap_or(defaults.segment_ms),
            segment_index_bytes: size(
                self.segment_index_bytes,
                "log.index.size.max.bytes",
                defaults.segment_index_bytes,
            )?,
            index_interval_bytes: size(
                self.index_interval_bytes,
                "log.index.interval.bytes",
                defaults.index_interval_bytes,
            )?,
            max_message_bytes: size(self.max_message_bytes, "message.max.bytes", defaults.max_message_bytes)?,
            preallocate: self.preallocate || broker.get("log.preallocate")?.unwrap_or(false),
            flush_messages: match self.flush_messages {
                Some(messages) => messages,
                None => broker.get("log.flush.interval.messages")?.unwrap_or(defaults.flush_messages),
            },
            flush_ms: match self.flush_ms {
                Some(ms) => ms,
                None => broker.get("log.flush.interval.ms")?.unwrap_or(defaults.flush_ms),
            },
            ..defaults
        })
    }

    /// `min.insync.replicas` by the option, or else by the broker's settings.
    fn min_insync_replicas(&self, global: &GlobalArgs) -> anyhow::Result<MinInsync> {
        let broker = Broker { settings: global.broker_settings()?, path: global.properties.clone() };
        Ok(MinInsync { asked: self.min_insync_replicas, broker: broker.get("min.insync.replicas")? })
    }

    fn durability(&self) -> Durability {
        if self.fsync == Fsync::Never { Durability::Buffered } else { Durability::Synced }
    }

    fn grammar(&self) -> anyhow::Result<Grammar> {
        let mut fixed = Fixed::default().with_empty_as_null(self.null);
        if let Some(key) = &self.key {
            fixed = fixed.with_key(key.as_bytes());
        }
        for header in &self.header {
            let bytes = header.as_bytes();
            let (key, value) = match bytes.iter().position(|byte| *byte == b'=') {
                Some(at) => (&bytes[..at], bytes.get(at + 1..)),
                None => (bytes, None),
            };
            fixed = fixed.with_header(key, value);
        }
        if !self.files.is_empty() {
            return Ok(Grammar::Whole(fixed));
        }
        if let Some(format) = &self.format {
            let format = InputFormat::parse(format, fixed)
                .map_err(|error| Problem::usage(format!("invalid value for '--format': {error}")))?;
            return Ok(Grammar::Format(format));
        }
        if self.input == InputKind::Json {
            if self.key.is_some() || !self.header.is_empty() || self.null || self.key_delimiter.is_some() {
                return Err(Problem::usage("--input json brings keys, headers and nulls itself")
                    .hint("leave out -K, -k, -H and -Z")
                    .into());
            }
            return Ok(Grammar::Json);
        }
        let setup = |error: super::input::SetupError| Problem::usage(error.to_string());
        let mut lines = Lines::new(&self.delimiter.0, fixed).map_err(setup)?;
        if let Some(delimiter) = &self.key_delimiter {
            lines = lines.with_key_delimiter(&delimiter.0).map_err(setup)?;
        }
        if !self.property.is_empty() {
            lines = lines.with_console(ConsoleReader::new(&self.property).map_err(setup)?);
        }
        Ok(Grammar::Lines(lines))
    }
}

/// A broker's settings.
struct Broker {
    settings: BTreeMap<String, String>,
    path: Option<PathBuf>,
}

impl Broker {
    fn get<T: std::str::FromStr>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let Some(text) = self.settings.get(name).map(|text| text.trim()).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => {
                let problem = Problem::new("malformed", format!("{name} is '{text}', expected a number in its range"));
                Err(problem.path(self.path.clone().unwrap_or_default()).into())
            }
        }
    }
}

/// Appends what the input holds.
pub fn run(args: &ProduceArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    check(args, global)?;
    let begun = Instant::now();
    let interrupt = Interrupt::listen()?;
    let grammar = args.grammar()?;
    let feeds = Feed::of(args, &grammar)?;
    let target = Target::find(args, global, ui)?;
    let mut lanes = Lanes::new(args, global, target, ui)?;
    let fed = feed_all(args, feeds, &mut lanes, &interrupt, ui);
    // Whatever ended the input, what came before it is stored and closed in good order.
    let outcome = match fed {
        Ok(outcome) => outcome,
        Err(error) => {
            let problem = Problem::of(&error);
            let outcome = problem.ends_with();
            ui.error(problem);
            outcome
        }
    };
    let (closed, tally) = lanes.finish(outcome, ui)?;
    report::print(args, global, &tally, begun.elapsed(), ui)?;
    Ok(closed)
}

fn check(args: &ProduceArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    if matches!(global.output(), Some(OutputFormat::Kafka)) {
        return Err(Problem::usage("there is no Kafka tool for this: --output kafka is not offered").into());
    }
    if args.keep_offsets && args.input != InputKind::Json {
        return Err(Problem::usage("--keep-offsets needs an input that says them").hint("add --input json").into());
    }
    if args.topic.is_none() && args.input != InputKind::Json && args.format.is_none() {
        return Err(Problem::usage("no topic named").hint("name it with -t TOPIC").into());
    }
    if args.acks == Acks::None && args.output_format.is_some() {
        return Err(Problem::usage(
            "with --acks 0 nobody learns where a record was stored: --output-format has nothing to say",
        )
        .into());
    }
    if args.tee && (global.output().is_some()) {
        return Err(Problem::usage("-T and --output both want stdout").into());
    }
    Ok(())
}

fn feed_all(
    args: &ProduceArgs,
    feeds: Vec<Feed>,
    lanes: &mut Lanes<'_>,
    interrupt: &Interrupt,
    ui: &mut Ui,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Done;
    let mut left = args.count.unwrap_or(u64::MAX);
    let total = feeds.iter().map(Feed::len).sum::<Option<u64>>();
    let mut progress = match total {
        Some(total) => ui.progress(total, "produce"),
        // Somebody may be typing.
        None => ui.progress_if_apart(0, "produce"),
    };
    for mut feed in feeds {
        loop {
            while left > 0 {
                let Some(next) = feed.input.next_buffered() else { break };
                let record = match next {
                    Ok(record) => record,
                    Err(error) => {
                        let problem = feed.problem(&error);
                        outcome |= Outcome::Findings;
                        if args.on_error == OnError::Stop {
                            lanes.drain(ui)?;
                            return Err(problem.outcome(Outcome::Findings).into());
                        }
                        lanes.skipped += 1;
                        ui.warn_once("bad record", problem);
                        continue;
                    }
                };
                left -= 1;
                match lanes.take(&record, ui)? {
                    Taken::Yes => {}
                    Taken::No => {
                        let (number, position) = (feed.input.record_number(), feed.input.record_position());
                        let problem = feed.refused(number, position, lanes.reason());
                        outcome |= Outcome::Findings;
                        if args.on_error == OnError::Stop {
                            lanes.drain(ui)?;
                            return Err(problem.outcome(Outcome::Findings).into());
                        }
                        lanes.skipped += 1;
                        ui.warn_once("refused record", problem);
                    }
                }
            }
            if interrupt.is_asked() {
                return Ok(outcome | Outcome::Interrupted);
            }
            if left == 0 {
                return Ok(outcome);
            }
            // While more is there to read nothing is hurried; when there is not, batches leave after their linger.
            let mut wait = Some(Duration::ZERO);
            loop {
                match feed.wait(wait)? {
                    Ready::Yes => break,
                    Ready::Interrupted if interrupt.is_asked() => {
                        return Ok(outcome | Outcome::Interrupted);
                    }
                    Ready::Interrupted | Ready::No => {}
                }
                wait = lanes.rest(Duration::from_millis(args.linger), ui)?;
                if ui.out().send()? == Pipe::Closed && args.output_format.is_some() {
                    return Ok(outcome);
                }
            }
            let before = feed.read_bytes();
            let more = feed.fill(args.tee, ui)?;
            progress.add(feed.read_bytes() - before);
            if !more {
                break;
            }
            lanes.flush_if_due()?;
        }
    }
    Ok(outcome)
}

impl std::ops::BitOr for Outcome {
    type Output = Outcome;

    fn bitor(self, other: Outcome) -> Outcome {
        self.and(other)
    }
}
