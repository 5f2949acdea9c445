//! `logdir metadata log`: the records, one a line.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use serde_json::Value;

use super::{SourceArgs, source};
use crate::cli::args::{GlobalArgs, OutputFormat, TopicArg, offset_arg};
use crate::cli::consume::select::{distance, missing_topic, storage_problem, topic_not_found};
use crate::cli::range::{Bound, OffsetArg, Offsets};
use crate::cli::table::{Column, Listing, ListingStyle, TimeText};
use crate::cli::ui::{Pipe, Problem, Ui};
use crate::cli::{Outcome, man};
use crate::schema::image::{Secrets, is_secret_config};
use crate::schema::message::Fields;
use crate::schema::metadata::{CONTROL_RECORDS, ControlRecord, Decoded, KnownRecord, RECORDS, Record};
use crate::storage::metadata_log::{Content, Entry, MetadataLog, Moment};
use crate::types::{Offset, Uuid};

/// Show the records of the metadata log, one a line
///
/// Control records too. NoOpRecords, which an idle controller writes twice a second, are left out unless --type asks
/// for them. Records below a snapshot are shown as long as they are there.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("metadata log"))]
pub struct LogArgs {
    /// Where the metadata comes from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Which records: N, N:M, -N, @T1:T2 ...
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true, value_parser = offset_arg)]
    pub offset: Vec<OffsetArg>,
    /// Only records of this type (repeatable, or a comma list): TopicRecord, topic, PARTITION_CHANGE
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = type_arg)]
    pub types: Vec<String>,
    /// Only records about this topic (repeatable, or a comma list; re:PATTERN)
    #[arg(short, long, value_name = "NAME", value_parser = TopicArg::parse)]
    pub topic: Vec<TopicArg>,
    /// Only records about this broker: its registration, its settings, partitions it holds (repeatable)
    #[arg(long, value_name = "ID")]
    pub broker: Vec<i32>,
    /// Stop after this many
    #[arg(short, long, value_name = "N", visible_alias = "max-messages")]
    pub count: Option<u64>,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
}

/// `PartitionChangeRecord`, `partition-change` and `PARTITION_CHANGE_RECORD` are one.
fn plain(name: &str) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let bare = letters.strip_suffix("record").or_else(|| letters.strip_suffix("message")).unwrap_or(&letters);
    bare.to_owned()
}

fn type_arg(text: &str) -> Result<String, String> {
    let wanted = plain(text);
    let all = || RECORDS.iter().chain(CONTROL_RECORDS).map(|message| message.name);
    if all().any(|name| plain(name) == wanted) {
        return Ok(wanted);
    }
    let near = all().min_by_key(|name| distance(&wanted, &plain(name))).unwrap_or_default();
    Err(format!("no type of metadata record; did you mean {near}?"))
}

const COLUMNS: &[Column] = &[
    Column::right("OFFSET", 9),
    Column::left("TIME", 24),
    Column::right("EPOCH", 5),
    Column::left("TYPE", 30),
    Column::left("DATA", 4),
];

/// Prints the records.
pub fn run(args: &LogArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let style = match global.output() {
        None | Some(OutputFormat::Table) => Some(ui.table_style()),
        Some(OutputFormat::Tsv) => Some(ListingStyle::Tsv),
        Some(OutputFormat::Json) => None,
        Some(OutputFormat::Kafka | OutputFormat::Prometheus) => {
            return Err(Problem::usage("log prints a table, tsv or JSON")
                .hint("the text of kafka-dump-log.sh: logdir dump-segment --cluster-metadata-decoder --output kafka")
                .into());
        }
    };
    let log = source::open(args.source.path.as_deref(), global)?;
    known_topics(&log, &args.topic)?;
    let range = Offsets::new(&args.offset).map_err(|error| Problem::usage(error.to_string()))?.for_partition(0);
    if range.start == Bound::Stored {
        return Err(Problem::usage("no group reads the metadata log: 'stored' is no offset of it").into());
    }
    let (start, end) = (source::moment(range.start, &log)?, source::moment(range.end, &log)?);
    // A range that starts at its end is empty: the grammar's `end`.
    if start == Moment::End {
        return Ok(Outcome::Done);
    }
    for notice in log.notices() {
        ui.warning(source::notice_problem(notice));
    }
    let mut rows = Rows {
        args,
        names: Names { names: names_before(&log, start)?, ..Names::default() },
        listing: style.map(|style| Listing::new(COLUMNS, style)),
        times: ui.time_text(),
        secrets: args.source.secrets(),
        has_begun: false,
        shown: 0,
    };
    if let (Some(listing), false) = (&mut rows.listing, args.no_header) {
        listing.header(ui.out().buffer());
    }
    let from = match start {
        Moment::At(offset) => offset,
        Moment::End | Moment::Time(_) => Offset::ZERO,
    };
    let (mut failed, mut reached_end, mut unreadable) = (None, true, 0_u64);
    let problems = log.read(from, &mut |entry| {
        let is_past = match end {
            Moment::End => false,
            Moment::At(offset) => entry.offset >= offset,
            Moment::Time(time_ms) => entry.timestamp_ms >= time_ms,
        };
        if is_past || args.count.is_some_and(|count| rows.shown >= count) {
            reached_end = false;
            return ControlFlow::Break(());
        }
        rows.names.note(&entry.content);
        rows.has_begun |= match start {
            Moment::Time(time_ms) => entry.timestamp_ms >= time_ms,
            Moment::At(_) | Moment::End => true,
        };
        if !rows.has_begun {
            return ControlFlow::Continue(());
        }
        if let Content::Unreadable(error) = &entry.content {
            unreadable += 1;
            let text = format!("position {}, offset {}: {error}", entry.position, entry.offset);
            ui.error(Problem::new("bad_record", text).path(entry.path).position(entry.position.get()));
            return ControlFlow::Continue(());
        }
        rows.show(entry, ui.out().buffer());
        match ui.out().drain() {
            Ok(Pipe::Open) => ControlFlow::Continue(()),
            Ok(Pipe::Closed) => {
                reached_end = false;
                ControlFlow::Break(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    let problems = problems.map_err(|error| storage_problem(&error))?;
    let outcome = source::show_problems(&problems, problems.len() as u64, ui);
    if reached_end && end == Moment::End && !log.is_snapshot() {
        source::say_committed(rows.names.voters.or_else(|| log.static_voters()), log.path(), ui);
    }
    Ok(if unreadable > 0 { outcome.and(Outcome::Findings) } else { outcome })
}

/// Refuses a topic that is named and that no record of the whole log or of its newest snapshot speaks of.
fn known_topics(log: &MetadataLog, wanted: &[TopicArg]) -> anyhow::Result<()> {
    if missing_topic(wanted, &BTreeSet::new()).is_none() {
        return Ok(());
    }
    let mut rows = Names { names: names_before(log, Moment::End)?, ..Names::default() };
    let read = log.read(Offset::ZERO, &mut |entry| {
        rows.note(&entry.content);
        if let Content::Data(decoded) = &entry.content {
            rows.others.extend(rows.topic_of(&decoded.typed()));
        }
        ControlFlow::Continue(())
    });
    read.map_err(|error| storage_problem(&error))?;
    let topics: BTreeSet<&str> = rows.names.values().chain(&rows.others).map(String::as_str).collect();
    match missing_topic(wanted, &topics) {
        Some(name) => Err(topic_not_found(name, &topics, &[log.path().to_owned()]).into()),
        None => Ok(()),
    }
}

/// Names of the topics that were there before the records to show. An id never gets another name, so those of a later
/// snapshot do where earlier ones are gone.
fn names_before(log: &MetadataLog, start: Moment) -> anyhow::Result<HashMap<Uuid, String>> {
    if log.is_snapshot() || log.is_segment() {
        return Ok(HashMap::new());
    }
    let Ok(mut replay) = log.replay(start).or_else(|_| log.replay(Moment::End)) else { return Ok(HashMap::new()) };
    replay.advance(start, &mut |_, _| {}).map_err(|error| storage_problem(&error))?;
    Ok(replay.image().topics().map(|topic| (topic.topic_id, topic.name.clone())).collect())
}

/// What earlier records said that later ones do not say again.
#[derive(Debug, Default)]
struct Names {
    /// Topics by their ids.
    names: HashMap<Uuid, String>,
    /// Topics that records name, whether they are there or not.
    others: BTreeSet<String>,
    voters: Option<usize>,
}

struct Rows<'a> {
    args: &'a LogArgs,
    names: Names,
    listing: Option<Listing>,
    times: TimeText,
    secrets: Secrets,
    has_begun: bool,
    shown: u64,
}

impl Names {
    /// Remembers what later records do not say.
    fn note(&mut self, content: &Content<'_>) {
        match content {
            Content::Data(Decoded::Known(known)) if known.message.api_key == 2 => {
                if let Record::Topic { name, topic_id } = known.typed() {
                    self.names.insert(topic_id, name);
                }
            }
            Content::Control {
                record: ControlRecord::LeaderChange { voters, .. } | ControlRecord::Voters { voters },
                ..
            } => self.voters = Some(voters.len()),
            _ => {}
        }
    }

    /// The topic a record is about.
    fn topic_of(&self, record: &Record) -> Option<String> {
        match record {
            Record::Topic { name, .. } => Some(name.clone()),
            Record::Partition(record) => self.names.get(&record.topic_id).cloned(),
            Record::PartitionChange(change) => self.names.get(&change.topic_id).cloned(),
            Record::RemoveTopic { topic_id } => self.names.get(topic_id).cloned(),
            Record::Config { resource_type: 2, resource_name, .. } => Some(resource_name.clone()),
            Record::AccessControlEntry { entry, .. } if entry.resource_type == 2 && entry.pattern_type == 3 => {
                Some(entry.resource_name.clone())
            }
            Record::ClearElr { topic } => topic.clone(),
            _ => None,
        }
    }
}

impl Rows<'_> {
    fn show(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let (name, record) = match &entry.content {
            Content::Data(Decoded::Known(known)) => (known.message.name, Some(known.typed())),
            Content::Data(unknown @ Decoded::Unknown { name, .. }) => {
                (name.unwrap_or("Unknown"), Some(unknown.typed()))
            }
            Content::Control { kind, .. } => {
                let id = u32::try_from(kind.id()).ok();
                let message = CONTROL_RECORDS.iter().find(|message| Some(message.api_key) == id);
                (message.map_or("Unknown", |message| message.name), None)
            }
            Content::Unreadable(_) => return,
        };
        let topic = record.as_ref().and_then(|record| self.names.topic_of(record));
        if !self.is_wanted(name, record.as_ref(), topic.as_deref()) {
            return;
        }
        self.shown += 1;
        let mut data = Vec::new();
        match &entry.content {
            Content::Data(Decoded::Known(known)) => known_data(known, self.secrets, &mut data),
            Content::Data(Decoded::Unknown { api_key, version, bytes, .. }) => {
                let bytes = data_encoding::BASE64.encode(bytes);
                let value = serde_json::json!({ "apiKey": api_key, "version": version, "bytes": bytes });
                data.extend_from_slice(value.to_string().as_bytes());
            }
            Content::Control { record, .. } => data.extend_from_slice(control_data(record).to_string().as_bytes()),
            Content::Unreadable(_) => {}
        }
        let Some(listing) = &mut self.listing else {
            json_row(entry, name, topic.as_deref(), &data, out);
            return;
        };
        listing.number(entry.offset.get(), out);
        let times = &mut self.times;
        listing.with(out, |cell| times.write(entry.timestamp_ms, cell));
        listing.number(entry.leader_epoch.0, out);
        listing.text(name.as_bytes(), out);
        listing.text(&data, out);
        listing.end_row(out);
    }

    fn is_wanted(&self, name: &str, record: Option<&Record>, topic: Option<&str>) -> bool {
        let by_type = match self.args.types.as_slice() {
            [] => record != Some(&Record::NoOp),
            types => types.contains(&plain(name)),
        };
        let by_topic = match self.args.topic.as_slice() {
            [] => true,
            topics => topic.is_some_and(|topic| topics.iter().any(|wanted| wanted.matches(topic))),
        };
        let by_broker = match self.args.broker.as_slice() {
            [] => true,
            brokers => record.is_some_and(|record| brokers.iter().any(|broker| is_about_broker(record, *broker))),
        };
        by_type && by_topic && by_broker
    }
}

fn is_about_broker(record: &Record, broker: i32) -> bool {
    let among = |lists: &[Option<&Vec<i32>>]| lists.iter().flatten().any(|list| list.contains(&broker));
    match record {
        Record::RegisterBroker(registration) => registration.broker_id == broker,
        Record::BrokerRegistrationChange(change) => change.broker_id == broker,
        Record::UnregisterBroker { broker_id, .. }
        | Record::FenceBroker { broker_id, .. }
        | Record::UnfenceBroker { broker_id, .. }
        | Record::ProducerIds { broker_id, .. } => *broker_id == broker,
        Record::Config { resource_type: 4 | 8, resource_name, .. } => *resource_name == broker.to_string(),
        Record::Partition(record) => {
            record.leader == broker || among(&[Some(&record.replicas), Some(&record.isr), Some(&record.elr)])
        }
        Record::PartitionChange(change) => {
            change.leader == Some(broker)
                || among(&[change.replicas.as_ref(), change.isr.as_ref(), change.elr.as_ref()])
        }
        _ => false,
    }
}

/// The fields of a record as Kafka's tools write them, what is secret hidden.
fn known_data(known: &KnownRecord<'_>, secrets: Secrets, out: &mut Vec<u8>) {
    let hidden: &[&str] = match known.message.api_key {
        _ if secrets == Secrets::Shown => &[],
        11 => &["salt", "storedKey", "serverKey"],
        4 if is_secret(&known.fields) => &["value"],
        _ => &[],
    };
    known.fields.write_json(out);
    if hidden.is_empty() {
        return;
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(out) else {
        // It is JSON; should it not be, nothing of it is shown.
        out.clear();
        out.extend_from_slice(b"{}");
        return;
    };
    for name in hidden {
        if let Some(value) = fields.get_mut(*name).filter(|value| !value.is_null()) {
            *value = Value::from("[redacted]");
        }
    }
    out.clear();
    out.extend_from_slice(Value::Object(fields).to_string().as_bytes());
}

fn is_secret(fields: &Fields<'_>) -> bool {
    use crate::schema::message::Value as Field;
    matches!(fields.get("name"), Some(Field::String(name)) if is_secret_config(name))
}

fn control_data(record: &ControlRecord) -> Value {
    use serde_json::json;
    let voters = |voters: &[crate::schema::metadata::Voter]| -> Vec<Value> {
        let endpoint = |endpoint: &crate::schema::metadata::VoterEndpoint| json!({ "name": endpoint.name, "host": endpoint.host, "port": endpoint.port });
        let voter = |voter: &crate::schema::metadata::Voter| {
            let endpoints: Vec<Value> = voter.endpoints.iter().map(endpoint).collect();
            json!({
                "voterId": voter.voter_id,
                "voterDirectoryId": voter.directory_id.to_string(),
                "endpoints": endpoints,
            })
        };
        voters.iter().map(voter).collect()
    };
    match record {
        ControlRecord::LeaderChange { leader_id, voters: of } => json!({ "leaderId": leader_id, "voters": voters(of) }),
        ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms } => {
            json!({ "lastContainedLogTimestamp": last_contained_log_timestamp_ms })
        }
        ControlRecord::SnapshotFooter => json!({}),
        ControlRecord::KRaftVersion { level } => json!({ "kRaftVersion": level }),
        ControlRecord::Voters { voters: of } => json!({ "voters": voters(of) }),
        ControlRecord::Unknown { type_id, value } => {
            json!({ "type": type_id, "bytes": data_encoding::BASE64.encode(value) })
        }
    }
}

/// By hand, because `data` is JSON already.
fn json_row(entry: &Entry<'_>, name: &str, topic: Option<&str>, data: &[u8], out: &mut Vec<u8>) {
    let (api_key, version) = match &entry.content {
        Content::Data(Decoded::Known(known)) => (Some(known.message.api_key), i64::from(known.version)),
        Content::Data(Decoded::Unknown { api_key, version, .. }) => (Some(*api_key), i64::from(*version)),
        Content::Control { .. } | Content::Unreadable(_) => (None, 0),
    };
    let head = crate::cli::json_row::JsonRow::new("record")
        .field("offset", entry.offset.get())
        .field("timestamp_ms", entry.timestamp_ms)
        .field("leader_epoch", entry.leader_epoch.0)
        .field("record_type", name)
        .field("api_key", api_key)
        .field("version", api_key.map(|_| version))
        .field("control", api_key.is_none())
        .field("topic", topic)
        .finish();
    out.extend_from_slice(head.strip_suffix('}').unwrap_or(&head).as_bytes());
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(data);
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_many_spellings() {
        for (text, expected) in [
            ("TopicRecord", Some("topic")),
            ("PARTITION_CHANGE_RECORD", Some("partitionchange")),
            ("partition-change", Some("partitionchange")),
            ("LeaderChangeMessage", Some("leaderchange")),
            ("voters", Some("voters")),
        ] {
            assert_eq!(type_arg(text).ok().as_deref(), expected, "{text}");
        }
        assert!(type_arg("TopcRecord").unwrap_err().contains("did you mean TopicRecord?"));
    }
}
