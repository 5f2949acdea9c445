//! What of a broker's `server.properties` decides about its start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use thiserror::Error;

use crate::schema::image::MetadataImage;
use crate::storage::writer::LogConfig;

/// Settings of a broker, with Kafka's defaults where nothing is set.
#[derive(Debug, Clone, Default)]
pub struct BrokerSettings {
    /// `node.id`, else `broker.id`; `None`: what `meta.properties` says is taken for right.
    pub node_id: Option<i32>,
    /// `process.roles`; `None`: a broker, and perhaps a controller.
    pub roles: Option<Vec<String>>,
    /// `metadata.log.dir`; `None`: the first log directory, or the one that has `__cluster_metadata-0`.
    pub metadata_log_dir: Option<PathBuf>,
    /// The only voter of the quorum is this node, as far as `controller.quorum.voters` tells.
    pub is_only_voter: bool,
    /// Settings of logs whose topic has none of its own.
    pub log: LogConfig,
    /// Settings of the metadata log.
    pub metadata_log: LogConfig,
    /// `log.dirs` names the log directories, and their order is the broker's.
    pub dirs_in_order: bool,
}

/// A setting that cannot be what it says.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{name}: expected a number, found \"{found}\"")]
pub struct SettingError {
    /// The setting.
    pub name: &'static str,
    /// What is there.
    pub found: String,
}

impl BrokerSettings {
    /// Reads them from the entries of a `server.properties`.
    pub fn from_properties(entries: &BTreeMap<String, String>) -> Result<BrokerSettings, SettingError> {
        let get = |name: &'static str| entries.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        fn number<T: std::str::FromStr>(name: &'static str, text: Option<&str>) -> Result<Option<T>, SettingError> {
            let parse = |text: &str| text.parse().map_err(|_| SettingError { name, found: text.to_owned() });
            text.map(parse).transpose()
        }
        let size = |name: &'static str, default: u32| Ok(number(name, get(name))?.unwrap_or(default));
        let defaults = LogConfig::default();
        let log = LogConfig {
            segment_bytes: size("log.segment.bytes", defaults.segment_bytes)?,
            segment_index_bytes: size("log.index.size.max.bytes", defaults.segment_index_bytes)?,
            index_interval_bytes: size("log.index.interval.bytes", defaults.index_interval_bytes)?,
            producer_id_expiration_ms: number("producer.id.expiration.ms", get("producer.id.expiration.ms"))?
                .unwrap_or(defaults.producer_id_expiration_ms),
            ..defaults
        };
        let node_id = number("node.id", get("node.id"))?;
        let node_id = if node_id.is_some() { node_id } else { number("broker.id", get("broker.id"))? };
        let list = |text: &str| text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>();
        let voters = get("controller.quorum.voters").map(list).unwrap_or_default();
        let of_voter = |voter: &String| voter.split_once('@').and_then(|(id, _)| id.parse::<i32>().ok());
        Ok(BrokerSettings {
            node_id,
            roles: get("process.roles").map(list),
            metadata_log_dir: get("metadata.log.dir").map(PathBuf::from),
            is_only_voter: matches!(&voters[..], [only] if of_voter(only) == node_id && node_id.is_some()),
            log,
            metadata_log: LogConfig {
                segment_bytes: size("metadata.log.segment.bytes", defaults.segment_bytes)?,
                ..defaults
            }
            .as_metadata(),
            dirs_in_order: entries.contains_key("log.dirs") || entries.contains_key("log.dir"),
        })
    }

    /// Whether partitions are loaded at all: a controller alone has none.
    pub fn is_broker(&self) -> bool {
        self.roles.as_ref().is_none_or(|roles| roles.iter().any(|role| role == "broker"))
    }

    /// Whether it is known to be a controller too.
    pub fn is_controller(&self) -> bool {
        self.roles.as_ref().is_some_and(|roles| roles.iter().any(|role| role == "controller"))
    }

    /// Settings of a topic's logs: those of the broker, and over them its own (`LogManager.fetchLogConfig`).
    pub(super) fn log_of(&self, topic: &str, image: Option<&MetadataImage>) -> LogConfig {
        let mut log = self.log;
        let Some(own) = image.and_then(|image| image.topic_config(topic)) else { return log };
        let number = |name: &str| own.get(name).and_then(|text| text.trim().parse().ok());
        let set = |field: &mut u32, name| *field = number(name).unwrap_or(*field);
        set(&mut log.segment_bytes, "segment.bytes");
        set(&mut log.segment_bytes, "internal.segment.bytes");
        set(&mut log.segment_index_bytes, "segment.index.bytes");
        set(&mut log.index_interval_bytes, "index.interval.bytes");
        log
    }
}

impl LogConfig {
    /// As the metadata log is opened (`KafkaRaftLog.createLog`): no producer expires.
    fn as_metadata(self) -> LogConfig {
        LogConfig { producer_id_expiration_ms: i32::MAX.into(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::metadata::Record;

    #[test]
    fn settings_are_read_under_kafkas_names() {
        let entries = |text: &str| crate::storage::properties::parse(text.as_bytes()).unwrap();
        let read = |text: &str| BrokerSettings::from_properties(&entries(text));
        let all = read(
            "process.roles=broker, controller\nnode.id=3\ncontroller.quorum.voters=3@a:1\n\
             log.index.interval.bytes=100\nlog.dirs=/a\nmetadata.log.dir=/m\n",
        )
        .unwrap();
        assert!(all.is_broker() && all.is_controller() && all.is_only_voter && all.dirs_in_order);
        assert_eq!((all.node_id, all.log.index_interval_bytes), (Some(3), 100));
        let alone = read("process.roles=controller\nnode.id=3\ncontroller.quorum.voters=3@a:1,4@b:1").unwrap();
        assert!(!alone.is_broker() && !alone.is_only_voter);
        assert!(read("").unwrap().is_broker());
        assert_eq!(read("node.id=x").unwrap_err().to_string(), "node.id: expected a number, found \"x\"");
    }

    #[test]
    fn a_topics_own_settings_come_before_the_brokers() {
        let mut image = MetadataImage::default();
        for (name, value) in [("index.interval.bytes", "77"), ("segment.bytes", "not a number")] {
            let value = Some(value.to_owned());
            let config = Record::Config { resource_type: 2, resource_name: "t".into(), name: name.into(), value };
            image.apply(config).unwrap();
        }
        let settings = BrokerSettings::default();
        let (own, other) = (settings.log_of("t", Some(&image)), settings.log_of("u", Some(&image)));
        assert_eq!((own.index_interval_bytes, other.index_interval_bytes), (77, 4096));
        assert_eq!(own.segment_bytes, other.segment_bytes);
    }
}
