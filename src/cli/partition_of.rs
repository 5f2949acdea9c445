//! `logdir partition-of`: where keys, groups and transactional ids belong.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, BufRead};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::Context as _;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use serde_json::Value;

use super::args::{GlobalArgs, OutputFormat};
use super::consume::select::{storage_problem, topic_not_found};
use super::table::{Column, Listing, ListingStyle};
use super::ui::{Pipe, Problem, Ui};
use super::{Outcome, man};
use crate::partitioner::{INTERNAL_TOPIC_PARTITIONS, PartitionCount, Strategy, partition_for_id};
use crate::storage::log_dir::LogDir;
use crate::storage::names::DirKind;

/// Tell the partition of keys, consumer groups and transactional ids
///
/// Keys go where the Java producer sends them, or librdkafka with --partitioner crc32. Groups and
/// transactional ids belong to a partition of __consumer_offsets and __transaction_state. Reads only.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("partition-of"))]
pub struct PartitionOfArgs {
    /// Keys; - reads one a line from stdin
    #[arg(value_name = "KEY", required_unless_present_any = ["group", "transactional_id"], requires = "partition_count")]
    pub keys: Vec<OsString>,
    /// Number of partitions
    ///
    /// For groups and transactional ids without it: what -d holds of the internal topic, else 50.
    #[arg(long, value_name = "N", value_parser = partition_count, group = "partition_count")]
    pub partitions: Option<PartitionCount>,
    /// Topic in a log directory, to count its partitions
    #[arg(short, long, value_name = "NAME", group = "partition_count", requires = "keys")]
    pub topic: Option<String>,
    /// How keys find their partition: murmur2 (Java producer) or crc32 (librdkafka's default)
    #[arg(long, value_name = "NAME", default_value = "murmur2", value_parser = strategy)]
    pub partitioner: Strategy,
    /// Consumer group (repeatable)
    #[arg(long, short = 'G', value_name = "ID")]
    pub group: Vec<String>,
    /// Transactional id (repeatable)
    #[arg(long, value_name = "ID")]
    pub transactional_id: Vec<String>,
    /// Keys are in hex
    #[arg(long, conflicts_with = "base64", requires = "keys")]
    pub hex: bool,
    /// Keys are in base64
    #[arg(long, requires = "keys")]
    pub base64: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
}

fn partition_count(text: &str) -> Result<PartitionCount, String> {
    let count = text.parse().ok().and_then(PartitionCount::new);
    count.ok_or_else(|| "expected a number of partitions from 1 to 2147483647".to_owned())
}

fn strategy(text: &str) -> Result<Strategy, String> {
    match Strategy::parse(text) {
        Ok(strategy @ (Strategy::Murmur2 | Strategy::Crc32)) => Ok(strategy),
        Ok(other) => Err(format!("{other} does not look at the key; expected murmur2 or crc32")),
        Err(_) => Err("expected murmur2 or crc32".to_owned()),
    }
}

const COLUMNS: &[Column] = &[
    Column::right("PARTITION", 9),
    Column::right("PARTITIONS", 10),
    Column::left("TOPIC", 19),
    Column::left("KIND", 16),
    Column::left("KEY_OR_ID", 9),
];

const GROUPS: &str = "__consumer_offsets";
const TRANSACTIONS: &str = "__transaction_state";

/// Prints one row for each key and id.
pub fn run(args: &PartitionOfArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let style = match global.output() {
        None | Some(OutputFormat::Table) => Some(ui.table_style()),
        Some(OutputFormat::Tsv) => Some(ListingStyle::Tsv),
        Some(OutputFormat::Json) => None,
        Some(OutputFormat::Kafka | OutputFormat::Prometheus) => {
            return Err(Problem::usage("there is no Kafka tool for this: --output kafka is not offered")
                .hint("use --output table, json or tsv")
                .into());
        }
    };
    let topics = Topics::new(global, args.topic.is_some())?;
    let mut rows = Rows {
        listing: style.map(|style| Listing::new(COLUMNS, style)),
        header: !args.no_header,
        table: style != Some(ListingStyle::Tsv),
        outcome: Outcome::Done,
    };
    if !args.keys.is_empty() {
        let count = match (args.partitions, &args.topic) {
            (Some(count), _) => count,
            (None, Some(topic)) => topics.count(topic, ui).ok_or_else(|| topics.not_found(topic))?,
            (None, None) => return Err(Problem::usage("number of partitions unknown").into()),
        };
        if keys(args, count, &mut rows, ui)? == Pipe::Closed {
            return Ok(rows.outcome);
        }
    }
    for (kind, topic, ids) in
        [("group", GROUPS, &args.group), ("transactional_id", TRANSACTIONS, &args.transactional_id)]
    {
        if ids.is_empty() {
            continue;
        }
        let count = args.partitions.or_else(|| topics.count(topic, ui)).unwrap_or_else(|| {
            if topics.is_looked_at() {
                let places = topics.places();
                ui.note(&format!("no {topic} in {places}: Kafka's default of {INTERNAL_TOPIC_PARTITIONS} partitions"));
            }
            INTERNAL_TOPIC_PARTITIONS
        });
        for id in ids {
            let partition = Some(partition_for_id(id, count));
            let row = Row { kind, topic: Some(topic), strategy: None, bytes: id.as_bytes(), partition, count };
            if rows.write(&row, ui)? == Pipe::Closed {
                return Ok(rows.outcome);
            }
        }
    }
    Ok(rows.outcome)
}

fn keys(args: &PartitionOfArgs, count: PartitionCount, rows: &mut Rows, ui: &mut Ui) -> anyhow::Result<Pipe> {
    let mut one = |text: &[u8], place: &dyn Fn() -> String, ui: &mut Ui| {
        let key = decode(text, args).map_err(|reason| {
            let kind = if args.hex { "hex" } else { "base64" };
            Problem::usage(format!("{} is not {kind}: {reason}", place()))
        })?;
        let partition = args.partitioner.partition_of(Some(&key), count);
        let topic = args.topic.as_deref();
        rows.write(&Row { kind: "key", topic, strategy: Some(args.partitioner), bytes: &key, partition, count }, ui)
    };
    for key in &args.keys {
        if key != "-" {
            if one(key.as_bytes(), &|| format!("key '{}'", shown(key.as_bytes())), ui)? == Pipe::Closed {
                return Ok(Pipe::Closed);
            }
            continue;
        }
        let (mut input, mut line) = (io::stdin().lock(), Vec::new());
        for number in 1_u64.. {
            line.clear();
            if input.read_until(b'\n', &mut line).context("stdin")? == 0 {
                break;
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            if one(text, &|| format!("line {number} of stdin"), ui)? == Pipe::Closed {
                return Ok(Pipe::Closed);
            }
        }
    }
    Ok(Pipe::Open)
}

fn decode(text: &[u8], args: &PartitionOfArgs) -> Result<Vec<u8>, data_encoding::DecodeError> {
    if args.hex {
        HEXLOWER_PERMISSIVE.decode(text.trim_ascii())
    } else if args.base64 {
        BASE64.decode(text.trim_ascii())
    } else {
        Ok(text.to_vec())
    }
}

/// Bytes as text that is safe on a terminal: control characters and what is no UTF-8 as `\xNN`.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    let escape = |byte: &u8| format!("\\x{byte:02x}");
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() {
                text.extend(letter.encode_utf8(&mut [0; 4]).as_bytes().iter().map(escape));
            } else {
                text.push(letter);
            }
        }
        text.extend(chunk.invalid().iter().map(escape));
    }
    text
}

struct Row<'a> {
    kind: &'static str,
    topic: Option<&'a str>,
    strategy: Option<Strategy>,
    bytes: &'a [u8],
    /// `None` where chance decides.
    partition: Option<i32>,
    count: PartitionCount,
}

struct Rows {
    /// `None` for JSON.
    listing: Option<Listing>,
    /// Still to be written: an error before the first row leaves stdout empty.
    header: bool,
    table: bool,
    outcome: Outcome,
}

impl Rows {
    fn write(&mut self, row: &Row<'_>, ui: &mut Ui) -> anyhow::Result<Pipe> {
        if row.partition.is_none() {
            self.outcome |= Outcome::Findings;
            ui.warn_once(
                "empty key",
                Problem::new("unchecked", "librdkafka sends a record with an empty key to a random partition")
                    .hint("the Java producer does not: --partitioner murmur2"),
            );
        }
        let out = ui.out().buffer();
        match &mut self.listing {
            Some(listing) => {
                if std::mem::take(&mut self.header) {
                    listing.header(out);
                }
                match row.partition {
                    Some(partition) => listing.number(partition, out),
                    None => listing.text(b"-", out),
                }
                listing.number(row.count.get(), out);
                listing.text(row.topic.unwrap_or("-").as_bytes(), out);
                listing.text(row.kind.as_bytes(), out);
                // An empty cell at the end of a row cannot be seen.
                let text = if row.bytes.is_empty() && self.table { "\"\"".to_owned() } else { shown(row.bytes) };
                listing.text(text.as_bytes(), out);
                listing.end_row(out);
            }
            None => row.put_json(out),
        }
        let pipe = if ui.out_is_terminal() { ui.out().send() } else { ui.out().drain() };
        pipe.context("stdout")
    }
}

impl Row<'_> {
    /// One line, with its type first.
    fn put_json(&self, out: &mut Vec<u8>) {
        use std::io::Write as _;
        let quoted = |text: &str| Value::from(text).to_string();
        let (name, text) = match str::from_utf8(self.bytes) {
            Ok(text) => (self.kind, quoted(text)),
            Err(_) => ("key_base64", quoted(&BASE64.encode(self.bytes))),
        };
        let kind = self.kind;
        let (partition, topic) = (Value::from(self.partition), Value::from(self.topic));
        let count = self.count;
        // Writing to memory cannot fail.
        let _ = write!(out, r#"{{"type":"{kind}","{name}":{text},"partition":{partition},"partitions":{count}"#);
        let _ = write!(out, r#","topic":{topic}"#);
        if let Some(strategy) = self.strategy {
            let _ = write!(out, r#","partitioner":"{strategy}""#);
        }
        out.extend_from_slice(b"}\n");
    }
}

/// The topics of the log directories that were named, with the numbers of their partitions.
struct Topics {
    dirs: Vec<PathBuf>,
    found: BTreeMap<String, BTreeSet<i32>>,
}

impl Topics {
    /// Looks into the log directories; without `needed` only where one was named.
    fn new(global: &GlobalArgs, needed: bool) -> anyhow::Result<Topics> {
        let named = needed
            || !global.dir.is_empty()
            || global.properties.is_some()
            || std::env::var_os("LOGDIR_DIR").is_some_and(|dirs| !dirs.is_empty());
        let dirs = if named { global.log_dirs()? } else { Vec::new() };
        let mut found: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
        for dir in &dirs {
            let log_dir = LogDir::open(dir).map_err(|error| storage_problem(&error))?;
            for (name, _) in log_dir.partitions().filter(|(name, _)| name.kind == DirKind::Live) {
                let topic = name.topic_partition.topic.clone();
                found.entry(topic).or_default().insert(name.topic_partition.partition);
            }
        }
        Ok(Topics { dirs, found })
    }

    fn is_looked_at(&self) -> bool {
        !self.dirs.is_empty()
    }

    fn places(&self) -> String {
        self.dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Partitions of `topic`: the highest number and one. Says so when there are gaps, for then the
    /// directories are only some of the topic's, and its end may be missing too.
    fn count(&self, topic: &str, ui: &mut Ui) -> Option<PartitionCount> {
        let numbers = self.found.get(topic)?;
        let highest = u32::try_from(*numbers.last()?).ok()?;
        let count = PartitionCount::new(highest.checked_add(1)?)?;
        let missing: Vec<_> =
            (0..count.get().cast_signed()).filter(|number| !numbers.contains(number)).take(11).collect();
        if !missing.is_empty() {
            let mut list = missing.iter().take(10).map(ToString::to_string).collect::<Vec<_>>().join(", ");
            if missing.len() > 10 {
                list.push_str(", ...");
            }
            let text = format!("{topic} has no directory here for partition {list}: it may have more than {count}");
            ui.warning(Problem::new("unchecked", text).hint("give the number of its partitions with --partitions N"));
        }
        Some(count)
    }

    fn not_found(&self, topic: &str) -> Problem {
        topic_not_found(topic, &self.found.keys().map(String::as_str).collect(), &self.dirs)
    }
}
