//! The settings of a topic and where each of them comes from (`ServerTopicConfigSynonyms`, `ConfigHelper`).
//!
//! | source | set by |
//! |---|---|
//! | `DYNAMIC_TOPIC_CONFIG` | the topic itself |
//! | `DYNAMIC_BROKER_CONFIG` | its broker, in the cluster's metadata |
//! | `DYNAMIC_DEFAULT_BROKER_CONFIG` | all brokers, in the cluster's metadata |
//! | `STATIC_BROKER_CONFIG` | the broker's `server.properties` |
//!
//! The first one that sets it counts. What nobody sets has Kafka's default and is not told.

use std::collections::BTreeMap;

use super::image::MetadataImage;

/// A broker's name for a topic's setting, and by what its value is multiplied.
type Synonym = (&'static str, i64);

const MINUTES: i64 = 60_000;
const HOURS: i64 = 3_600_000;

/// The settings of topics that brokers have a setting for, each with the broker's names for it, the strongest first.
const SYNONYMS: &[(&str, &[Synonym])] = &[
    ("cleanup.policy", &[("log.cleanup.policy", 1)]),
    ("compression.gzip.level", &[("compression.gzip.level", 1)]),
    ("compression.lz4.level", &[("compression.lz4.level", 1)]),
    ("compression.type", &[("compression.type", 1)]),
    ("compression.zstd.level", &[("compression.zstd.level", 1)]),
    ("delete.retention.ms", &[("log.cleaner.delete.retention.ms", 1)]),
    ("file.delete.delay.ms", &[("log.segment.delete.delay.ms", 1)]),
    ("flush.messages", &[("log.flush.interval.messages", 1)]),
    ("flush.ms", &[("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)]),
    ("index.interval.bytes", &[("log.index.interval.bytes", 1)]),
    ("local.retention.bytes", &[("log.local.retention.bytes", 1)]),
    ("local.retention.ms", &[("log.local.retention.ms", 1)]),
    ("max.compaction.lag.ms", &[("log.cleaner.max.compaction.lag.ms", 1)]),
    ("max.message.bytes", &[("message.max.bytes", 1)]),
    ("message.timestamp.after.max.ms", &[("log.message.timestamp.after.max.ms", 1)]),
    ("message.timestamp.before.max.ms", &[("log.message.timestamp.before.max.ms", 1)]),
    ("message.timestamp.type", &[("log.message.timestamp.type", 1)]),
    ("min.cleanable.dirty.ratio", &[("log.cleaner.min.cleanable.ratio", 1)]),
    ("min.compaction.lag.ms", &[("log.cleaner.min.compaction.lag.ms", 1)]),
    ("min.insync.replicas", &[("min.insync.replicas", 1)]),
    ("preallocate", &[("log.preallocate", 1)]),
    ("retention.bytes", &[("log.retention.bytes", 1)]),
    ("retention.ms", &[("log.retention.ms", 1), ("log.retention.minutes", MINUTES), ("log.retention.hours", HOURS)]),
    ("segment.bytes", &[("log.segment.bytes", 1)]),
    ("segment.index.bytes", &[("log.index.size.max.bytes", 1)]),
    ("segment.jitter.ms", &[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", HOURS)]),
    ("segment.ms", &[("log.roll.ms", 1), ("log.roll.hours", HOURS)]),
    ("unclean.leader.election.enable", &[("unclean.leader.election.enable", 1)]),
];

/// Who set a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// The topic.
    Topic,
    /// Its broker, in the cluster's metadata.
    Broker,
    /// All brokers, in the cluster's metadata.
    DefaultBroker,
    /// `server.properties`.
    Static,
}

impl ConfigSource {
    /// As Kafka's admin client names it (`ConfigEntry.ConfigSource`).
    pub const fn name(self) -> &'static str {
        match self {
            ConfigSource::Topic => "DYNAMIC_TOPIC_CONFIG",
            ConfigSource::Broker => "DYNAMIC_BROKER_CONFIG",
            ConfigSource::DefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            ConfigSource::Static => "STATIC_BROKER_CONFIG",
        }
    }
}

/// A setting of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    /// The topic's name for it.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Who set it.
    pub source: ConfigSource,
}

/// The settings of `topic` that somebody set, by name: as the broker `node_id` with these `properties` has them.
pub fn topic_configs(
    image: Option<&MetadataImage>,
    topic: &str,
    node_id: Option<i32>,
    properties: &BTreeMap<String, String>,
) -> Vec<TopicConfig> {
    let own = image.and_then(|image| image.topic_config(topic));
    let broker = image.zip(node_id).and_then(|(image, node)| image.broker_config(&node.to_string()));
    let all = image.and_then(|image| image.broker_config(""));
    let of_brokers =
        [(ConfigSource::Broker, broker), (ConfigSource::DefaultBroker, all), (ConfigSource::Static, Some(properties))];
    let mut configs: BTreeMap<&str, TopicConfig> = BTreeMap::new();
    for (name, synonyms) in SYNONYMS {
        let set = of_brokers.iter().find_map(|(source, entries)| {
            let value = synonyms.iter().find_map(|(synonym, factor)| multiplied((*entries)?.get(*synonym)?, *factor));
            Some(TopicConfig { name: (*name).to_owned(), value: value?, source: *source })
        });
        configs.extend(set.map(|config| (*name, config)));
    }
    for (name, value) in own.into_iter().flatten() {
        let config = TopicConfig { name: name.clone(), value: value.clone(), source: ConfigSource::Topic };
        configs.insert(name, config);
    }
    configs.into_values().collect()
}

/// A value in the unit of the topic's setting; what is no number stays as it is.
fn multiplied(value: &str, factor: i64) -> Option<String> {
    match value.trim().parse::<i64>() {
        // -1 is no limit, in every unit.
        Ok(number) if factor != 1 && number >= 0 => Some(number.saturating_mul(factor).to_string()),
        _ => Some(value.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::metadata::Record;

    #[test]
    fn the_strongest_source_counts() {
        let mut image = MetadataImage::default();
        let mut set = |resource_type, resource_name: &str, name: &str, value: &str| {
            let (resource_name, name) = (resource_name.to_owned(), name.to_owned());
            image.apply(Record::Config { resource_type, resource_name, name, value: Some(value.to_owned()) }).unwrap();
        };
        set(2, "t", "retention.ms", "5");
        set(4, "1", "log.segment.bytes", "111");
        set(4, "", "log.segment.bytes", "222");
        set(4, "", "min.insync.replicas", "2");
        let entries = [("log.retention.hours", "3"), ("log.roll.hours", "2"), ("log.cleanup.policy", "compact")];
        let properties: BTreeMap<String, String> =
            entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let told = |topic: &str, node| -> Vec<(String, String, ConfigSource)> {
            let configs = topic_configs(Some(&image), topic, node, &properties);
            configs.into_iter().map(|config| (config.name, config.value, config.source)).collect()
        };
        let row = |name: &str, value: &str, source| (name.to_owned(), value.to_owned(), source);
        let shared = [
            row("cleanup.policy", "compact", ConfigSource::Static),
            row("min.insync.replicas", "2", ConfigSource::DefaultBroker),
        ];
        let mut expected = shared.to_vec();
        expected.push(row("retention.ms", "5", ConfigSource::Topic));
        expected.push(row("segment.bytes", "111", ConfigSource::Broker));
        expected.push(row("segment.ms", "7200000", ConfigSource::Static));
        assert_eq!(told("t", Some(1)), expected);
        let other = told("u", None);
        assert!(other.contains(&row("retention.ms", "10800000", ConfigSource::Static)), "{other:?}");
        assert!(other.contains(&row("segment.bytes", "222", ConfigSource::DefaultBroker)), "{other:?}");
        assert!(topic_configs(None, "t", None, &BTreeMap::new()).is_empty());
    }
}
