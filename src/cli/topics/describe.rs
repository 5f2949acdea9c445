//! `topics describe`.

use std::collections::BTreeMap;

use super::catalog::{Context, Entry, Which, with_topics};
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::json_row::JsonRow;
use crate::cli::table::{Column, Listing, ListingStyle};
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::schema::image::{is_secret_config, security_protocol};
use crate::schema::metadata::{BrokerRegistration, PartitionRecord};
use crate::schema::topic_configs::{ConfigSource, TopicConfig, topic_configs};
use crate::storage::inventory::PartitionFacts;
use crate::types::Offset;

/// Describe topics: replicas, ISR and leaders as the cluster knows them, offsets and sizes as they are on disk
///
/// One row for each replica that is here, and for each partition the cluster's metadata knows and no directory holds.
/// Without a topic the brokers and features come first. After a clean stop of the last broker of a partition its leader
/// is -1 and its ISR empty; who may lead again stands in the ELR.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("topics describe"))]
pub struct DescribeArgs {
    #[command(flatten)]
    which: Which,
    /// Only partitions with fewer replicas in sync than replicas
    #[arg(long, help_heading = "Options of kafka-topics.sh")]
    under_replicated_partitions: bool,
    /// Only partitions without a leader
    #[arg(long, help_heading = "Options of kafka-topics.sh")]
    unavailable_partitions: bool,
    /// Only partitions with fewer replicas in sync than min.insync.replicas
    #[arg(long, help_heading = "Options of kafka-topics.sh")]
    under_min_isr_partitions: bool,
    /// Only partitions with just min.insync.replicas replicas in sync
    #[arg(long, help_heading = "Options of kafka-topics.sh")]
    at_min_isr_partitions: bool,
    /// Only topics with settings of their own
    #[arg(long, help_heading = "Options of kafka-topics.sh")]
    topics_with_overrides: bool,
}

const PARTITIONS: &[Column] = &[
    Column::left("TOPIC", 20),
    Column::right("PARTITION", 9),
    Column::right("LEADER", 6),
    Column::right("EPOCH", 5),
    Column::left("REPLICAS", 8),
    Column::left("ISR", 6),
    Column::left("ELR", 6),
    Column::right("BROKER", 6),
    Column::right("LOG_START", 10),
    Column::right("RECOVERY", 10),
    Column::right("HW", 10),
    Column::right("LOG_END", 10),
    Column::right("EPOCHS", 6),
    Column::right("SIZE", 9),
    Column::left("DIR", 0),
];

const CONFIGS: &[Column] =
    &[Column::left("TOPIC", 20), Column::left("CONFIG", 28), Column::left("VALUE", 20), Column::left("SOURCE", 0)];

const BROKERS: &[Column] =
    &[Column::right("BROKER", 6), Column::left("RACK", 8), Column::left("STATE", 22), Column::left("LISTENERS", 0)];

const FEATURES: &[Column] = &[Column::left("FEATURE", 32), Column::right("LEVEL", 5)];

/// Default of min.insync.replicas.
const MIN_ISR: usize = 1;

impl DescribeArgs {
    fn chooses_partitions(&self) -> bool {
        self.under_replicated_partitions
            || self.unavailable_partitions
            || self.under_min_isr_partitions
            || self.at_min_isr_partitions
    }

    /// `DescribeOptions.shouldPrintTopicPartition`: any of the options given. Who leads is as good as alive here.
    fn chooses(&self, record: Option<&PartitionRecord>, configs: &[TopicConfig]) -> bool {
        let Some(record) = record else { return !self.chooses_partitions() };
        let min_isr = configs.iter().find(|config| config.name == "min.insync.replicas");
        let min_isr = min_isr.and_then(|config| config.value.parse().ok()).unwrap_or(MIN_ISR);
        // Replicas on their way in are not counted (`TopicCommand.getReplicationFactor`).
        let factor = record.replicas.iter().filter(|replica| !record.adding_replicas.contains(replica)).count();
        let has_leader = record.leader >= 0;
        !self.chooses_partitions()
            || (self.under_replicated_partitions && record.isr.len() < factor)
            || (self.unavailable_partitions && !has_leader)
            || (self.under_min_isr_partitions && (!has_leader || record.isr.len() < min_isr))
            || (self.at_min_isr_partitions && record.isr.len() == min_isr)
    }
}

/// Describes them.
pub fn run(args: &DescribeArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    if global.output() == Some(OutputFormat::Prometheus) {
        return Err(Problem::usage("topics describe has no such format")
            .hint("logdir log-dirs --output prometheus has the partitions of all topics")
            .into());
    }
    let properties = global.broker_settings()?;
    with_topics(&args.which, global, ui, |topics, context, ui| {
        let node_id = context.dirs.facts().iter().find_map(|facts| facts.node_id);
        // Settings are those of topics: the metadata log is none, and neither is what the cluster does not know.
        let is_topic = |entry: &Entry<'_>| entry.known.is_some() || context.image.is_none();
        let described = topics.iter().filter_map(|(name, entry)| {
            let configs = topic_configs(context.image, name, node_id, &properties);
            let configs = if is_topic(entry) { configs } else { Vec::new() };
            let own = configs.iter().any(|config| config.source == ConfigSource::Topic);
            let numbers: Vec<i32> = entry
                .numbers()
                .into_iter()
                .filter(|number| args.chooses(record_of(entry, *number), &configs))
                .collect();
            let is_meant = (own || !args.topics_with_overrides) && !(numbers.is_empty() && args.chooses_partitions());
            is_meant.then_some(Described { name, entry, numbers, configs })
        });
        let described: Vec<Described<'_>> = described.collect();
        let with_cluster = args.which.is_all() && !args.chooses_partitions() && !args.topics_with_overrides;
        match global.output() {
            Some(OutputFormat::Json) => json(&described, context, with_cluster, ui),
            Some(OutputFormat::Kafka) => kafka(&described, args, ui),
            Some(OutputFormat::Tsv) => table(&described, context, args, with_cluster, ListingStyle::Tsv, ui),
            _ => table(&described, context, args, with_cluster, ui.table_style(), ui),
        }
        if context.image.is_none() {
            ui.note("no __cluster_metadata-0 is in these directories: leaders, replicas and settings are not known");
        }
        Ok(())
    })
}

/// A topic, and which of its partitions are shown.
struct Described<'a> {
    name: &'a str,
    entry: &'a Entry<'a>,
    numbers: Vec<i32>,
    configs: Vec<TopicConfig>,
}

fn record_of<'a>(entry: &Entry<'a>, number: i32) -> Option<&'a PartitionRecord> {
    entry.known?.partitions.get(&number)
}

fn ids(ids: &[i32]) -> String {
    if ids.is_empty() { "-".to_owned() } else { joined(ids) }
}

fn joined(ids: &[i32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// A value that may be told: passwords are not.
fn shown(config: &TopicConfig) -> &str {
    if is_secret_config(&config.name) { "[redacted]" } else { &config.value }
}

fn table(
    described: &[Described<'_>],
    context: &Context<'_>,
    args: &DescribeArgs,
    with_cluster: bool,
    style: ListingStyle,
    ui: &mut Ui,
) {
    let sizes = ui.size_style();
    let out = ui.out().buffer();
    let head = |listing: &mut Listing, out: &mut Vec<u8>| {
        if !args.which.no_header {
            listing.header(out);
        }
    };
    if let (Some(image), true) = (context.image, with_cluster) {
        let mut listing = Listing::new(BROKERS, style);
        head(&mut listing, out);
        for broker in image.brokers() {
            listing.number(broker.broker_id, out);
            listing.text(broker.rack.as_deref().unwrap_or("-").as_bytes(), out);
            listing.text(state_of(broker).as_bytes(), out);
            listing.text(listeners(broker).join(" ").as_bytes(), out);
            listing.end_row(out);
        }
        out.push(b'\n');
        let mut listing = Listing::new(FEATURES, style);
        head(&mut listing, out);
        for (name, level) in image.features() {
            listing.text(name.as_bytes(), out);
            listing.number(level, out);
            listing.end_row(out);
        }
        out.push(b'\n');
    }
    let mut listing = Listing::new(PARTITIONS, style);
    head(&mut listing, out);
    for topic in described {
        for number in &topic.numbers {
            let record = record_of(topic.entry, *number);
            let replicas = topic.entry.partitions.get(number).map_or(&[][..], Vec::as_slice);
            for facts in replicas.iter().map(Some).chain(replicas.is_empty().then_some(None)) {
                listing.text(topic.name.as_bytes(), out);
                listing.number(*number, out);
                match record {
                    Some(record) => {
                        listing.number(record.leader, out);
                        listing.number(record.leader_epoch, out);
                        for list in [&record.replicas, &record.isr, &record.elr] {
                            listing.text(ids(list).as_bytes(), out);
                        }
                    }
                    None => (0..5).for_each(|_| listing.text(b"-", out)),
                }
                replica_cells(&mut listing, facts, context, sizes, out);
                listing.end_row(out);
            }
        }
    }
    if described.iter().any(|topic| !topic.configs.is_empty()) {
        out.push(b'\n');
        let mut listing = Listing::new(CONFIGS, style);
        head(&mut listing, out);
        for topic in described {
            for config in &topic.configs {
                for text in [topic.name, &config.name, shown(config), config.source.name()] {
                    listing.text(text.as_bytes(), out);
                }
                listing.end_row(out);
            }
        }
    }
}

fn replica_cells(
    listing: &mut Listing,
    facts: Option<&PartitionFacts>,
    context: &Context<'_>,
    sizes: crate::cli::size::SizeStyle,
    out: &mut Vec<u8>,
) {
    let Some(facts) = facts else {
        (0..8).for_each(|_| listing.text(b"-", out));
        return;
    };
    let mut number = |value: Option<i64>| match value {
        Some(value) => listing.number(value, out),
        None => listing.text(b"-", out),
    };
    number(broker_of(facts, context).map(i64::from));
    number(Some(facts.log_start.get()));
    number(facts.checkpoints.recovery_point.map(Offset::get));
    number(facts.high_watermark().map(Offset::get));
    number(Some(facts.log_end.get()));
    number(i64::try_from(facts.leader_epochs).ok());
    listing.text(sizes.text(facts.log_bytes).as_bytes(), out);
    listing.text(facts.path.as_os_str().as_encoded_bytes(), out);
}

fn broker_of(facts: &PartitionFacts, context: &Context<'_>) -> Option<i32> {
    context.dirs.facts().get(facts.log_dir)?.node_id
}

fn state_of(broker: &BrokerRegistration) -> &'static str {
    match (broker.fenced, broker.in_controlled_shutdown) {
        (true, _) => "fenced",
        (false, true) => "in controlled shutdown",
        (false, false) => "unfenced",
    }
}

/// `PLAINTEXT://host:9092`, and the security protocol where the listener is named otherwise.
fn listeners(broker: &BrokerRegistration) -> Vec<String> {
    let one = |(name, endpoint): (&String, &crate::schema::metadata::Endpoint)| {
        let protocol = security_protocol(endpoint.security_protocol);
        let protocol = if protocol == name { String::new() } else { format!(" ({protocol})") };
        format!("{name}://{}:{}{protocol}", endpoint.host, endpoint.port)
    };
    broker.listeners.iter().map(one).collect()
}

fn json(described: &[Described<'_>], context: &Context<'_>, with_cluster: bool, ui: &mut Ui) {
    let out = ui.out().buffer();
    let texts = |ids: &[crate::types::Uuid]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    if let (Some(image), true) = (context.image, with_cluster) {
        for broker in image.brokers() {
            let listeners: Vec<_> = broker
                .listeners
                .iter()
                .map(|(name, endpoint)| {
                    let protocol = security_protocol(endpoint.security_protocol);
                    serde_json::json!({"name": name, "host": endpoint.host, "port": endpoint.port, "protocol": protocol})
                })
                .collect();
            JsonRow::new("broker")
                .field("broker", broker.broker_id)
                .field("broker_epoch", broker.broker_epoch)
                .field("rack", broker.rack.as_deref())
                .field("fenced", broker.fenced)
                .field("in_controlled_shutdown", broker.in_controlled_shutdown)
                .field("listeners", listeners)
                .field("directory_ids", texts(&broker.directories))
                .write(out);
        }
        for (name, level) in image.features() {
            JsonRow::new("feature").field("feature", name).field("level", level).write(out);
        }
    }
    for topic in described {
        let configs: Vec<_> = topic
            .configs
            .iter()
            .map(|config| {
                let (value, source) = (shown(config), config.source.name());
                serde_json::json!({"name": config.name, "value": value, "source": source})
            })
            .collect();
        JsonRow::new("topic")
            .field("topic", topic.name)
            .field("topic_id", topic.entry.topic_id().map(|id| id.to_string()))
            .field("in_metadata", topic.entry.known.is_some())
            .field("partitions", topic.entry.numbers().len())
            .field("replication_factor", topic.entry.known.map(replication_factor))
            .field("configs", configs)
            .write(out);
        for number in &topic.numbers {
            let record = record_of(topic.entry, *number);
            let list = |of: fn(&PartitionRecord) -> &Vec<i32>| record.map(|record| of(record).clone());
            let replicas = topic.entry.partitions.get(number).map_or(&[][..], Vec::as_slice);
            let replicas: Vec<_> = replicas.iter().map(|facts| replica_json(facts, context)).collect();
            JsonRow::new("partition")
                .field("topic", topic.name)
                .field("partition", *number)
                .field("leader", record.map(|record| record.leader))
                .field("leader_epoch", record.map(|record| record.leader_epoch))
                .field("partition_epoch", record.map(|record| record.partition_epoch))
                .field("replicas", list(|record| &record.replicas))
                .field("isr", list(|record| &record.isr))
                .field("elr", list(|record| &record.elr))
                .field("last_known_elr", list(|record| &record.last_known_elr))
                .field("adding_replicas", list(|record| &record.adding_replicas))
                .field("removing_replicas", list(|record| &record.removing_replicas))
                .field("directory_ids", record.map(|record| texts(&record.directories)))
                .field("replicas_here", replicas)
                .write(out);
        }
    }
}

fn replica_json(facts: &PartitionFacts, context: &Context<'_>) -> serde_json::Value {
    let dir = context.dirs.facts().get(facts.log_dir);
    let fields: BTreeMap<&str, serde_json::Value> = BTreeMap::from([
        ("broker", broker_of(facts, context).into()),
        ("directory_id", dir.and_then(|dir| dir.directory_id).map(|id| id.to_string()).into()),
        ("path", facts.path.to_string_lossy().into()),
        ("log_start", facts.log_start.get().into()),
        ("recovery_point", facts.checkpoints.recovery_point.map(Offset::get).into()),
        ("high_watermark", facts.high_watermark().map(Offset::get).into()),
        ("log_end", facts.log_end.get().into()),
        ("leader_epochs", facts.leader_epochs.into()),
        ("last_leader_epoch", facts.last_epoch.map(|entry| entry.epoch.0).into()),
        ("segments", facts.segments.into()),
        ("size_bytes", facts.log_bytes.into()),
    ]);
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
}

fn replication_factor(topic: &crate::schema::image::Topic) -> usize {
    topic
        .partitions
        .values()
        .next()
        .map_or(0, |first| first.replicas.len() - first.adding_replicas.len().min(first.replicas.len()))
}

/// `TopicCommand.TopicDescription` and `PartitionDescription`: of what the cluster's metadata knows.
fn kafka(described: &[Described<'_>], args: &DescribeArgs, ui: &mut Ui) {
    let out = ui.out().buffer();
    for topic in described {
        let Some(known) = topic.entry.known else { continue };
        // As there, choosing partitions leaves the lines of topics out.
        if !args.chooses_partitions() {
            let configs: Vec<_> =
                topic.configs.iter().map(|config| format!("{}={}", config.name, shown(config))).collect();
            let line = format!(
                "Topic: {}\tTopicId: {}\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}\n",
                topic.name,
                known.topic_id,
                known.partitions.len(),
                replication_factor(known),
                configs.join(",")
            );
            out.extend_from_slice(line.as_bytes());
        }
        if args.topics_with_overrides {
            continue;
        }
        for record in topic.numbers.iter().filter_map(|number| known.partitions.get(number)) {
            let leader = if record.leader >= 0 { record.leader.to_string() } else { "none".to_owned() };
            let mut line = format!(
                "\tTopic: {}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}",
                topic.name,
                record.partition,
                joined(&record.replicas),
                joined(&record.isr)
            );
            if !record.adding_replicas.is_empty() || !record.removing_replicas.is_empty() {
                let (adding, removing) = (joined(&record.adding_replicas), joined(&record.removing_replicas));
                line.push_str(&format!("\tAdding Replicas: {adding}\tRemoving Replicas: {removing}"));
            }
            line.push_str(&format!(
                "\tElr: {}\tLastKnownElr: {}\n",
                joined(&record.elr),
                joined(&record.last_known_elr)
            ));
            out.extend_from_slice(line.as_bytes());
        }
    }
}
