//! Instance files: a cluster with rules, sizes and the bounds that a solver found, as planners are measured on.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use super::cluster::{Assignment, Broker, BrokerIndex, BrokerState, Cluster, Disk, Replication, Rules, Topic};

/// What a file of this kind calls itself.
const SCHEMA: &str = "reassign-instance/1";

/// A cluster, its rules and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// The cluster.
    pub cluster: Cluster,
    /// The rules.
    pub rules: Rules,
    /// Exact bounds by name.
    pub bounds: BTreeMap<String, f64>,
}

/// Why a text is no instance.
#[derive(Debug, Error)]
pub enum InstanceError {
    /// It is not JSON of the right shape.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
    /// Another schema.
    #[error("its schema is '{0}', expected '{SCHEMA}'")]
    Schema(String),
    /// It contradicts itself.
    #[error("{0}")]
    Contradiction(String),
}

#[derive(Deserialize)]
struct Text {
    schema: String,
    name: String,
    rules: RulesText,
    brokers: Vec<BrokerText>,
    topics: Vec<TopicText>,
    #[serde(default)]
    bounds: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct RulesText {
    rack: Option<String>,
    bytes_tolerance: Option<f64>,
    target_rf: Option<ReplicationText>,
    disk_tolerance: Option<f64>,
    scope: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ReplicationText {
    All(usize),
    Topics(BTreeMap<String, usize>),
}

#[derive(Deserialize)]
struct BrokerText {
    id: i32,
    rack: Option<String>,
    state: StateText,
    #[serde(default)]
    log_dirs: Vec<DiskText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateText {
    Keep,
    New,
    Drain,
}

#[derive(Deserialize)]
struct DiskText {
    path: String,
    capacity: Option<u64>,
}

#[derive(Deserialize)]
struct TopicText {
    name: String,
    partitions: Vec<PartitionText>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PartitionText {
    OnDisks(u64, Vec<i32>, Vec<u16>),
    Plain(u64, Vec<i32>),
}

impl Instance {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Instance, InstanceError> {
        let text: Text = serde_json::from_str(text)?;
        if text.schema != SCHEMA {
            return Err(InstanceError::Schema(text.schema));
        }
        let contradiction = |text: String| Err(InstanceError::Contradiction(text));
        let mut brokers: Vec<Broker> = text.brokers.into_iter().map(BrokerText::broker).collect();
        brokers.sort_by_key(|broker| broker.id);
        if let Some(twice) = brokers.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return contradiction(format!("broker {} is named twice", twice[0].id));
        }
        if brokers.len() > usize::from(u16::MAX) {
            return contradiction(format!("{} brokers are more than {}", brokers.len(), u16::MAX));
        }
        let mut cluster = Cluster { brokers, current: Assignment::new(), ..Cluster::default() };
        let mut replicas = Vec::new();
        for topic in text.topics {
            let first = cluster.sizes.len();
            for (number, partition) in topic.partitions.into_iter().enumerate() {
                let (size, ids, disks) = match partition {
                    PartitionText::OnDisks(size, ids, disks) => (size, ids, Some(disks)),
                    PartitionText::Plain(size, ids) => (size, ids, None),
                };
                replicas.clear();
                for id in &ids {
                    let Some(index) = cluster.broker(*id) else {
                        return contradiction(format!("{}-{number}: there is no broker {id}", topic.name));
                    };
                    replicas.push(index);
                }
                if let Some(disks) = disks {
                    if disks.len() != ids.len() {
                        let (disks, ids) = (disks.len(), ids.len());
                        return contradiction(format!("{}-{number}: {disks} disks for {ids} replicas", topic.name));
                    }
                    let known = |(broker, disk): (&BrokerIndex, &u16)| {
                        usize::from(*disk) < cluster.brokers[broker.at()].disks.len()
                    };
                    if !replicas.iter().zip(&disks).all(known) {
                        return contradiction(format!("{}-{number}: a broker has no such disk", topic.name));
                    }
                    cluster.disks.extend(disks.into_iter().map(Some));
                }
                cluster.sizes.push(size);
                cluster.current.push(&replicas);
            }
            cluster.topics.push(Topic { name: topic.name, partitions: first..cluster.sizes.len() });
        }
        let all: usize = cluster.current.iter().map(<[BrokerIndex]>::len).sum();
        if !cluster.disks.is_empty() && cluster.disks.len() != all {
            return contradiction("only some partitions name disks".to_owned());
        }
        let rules = Rules {
            spreads_racks: text.rules.rack.as_deref() == Some("distinct"),
            bytes_tolerance: text.rules.bytes_tolerance,
            replication: match text.rules.target_rf {
                None => Replication::Keep,
                Some(ReplicationText::All(count)) => Replication::All(count),
                Some(ReplicationText::Topics(counts)) => Replication::Topics(counts),
            },
            disk_tolerance: text.rules.disk_tolerance,
            only_disks: text.rules.scope.as_deref() == Some("disks"),
            ..Rules::default()
        };
        let bounds = text.bounds.into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?))).collect();
        Ok(Instance { name: text.name, cluster, rules, bounds })
    }
}

impl BrokerText {
    fn broker(self) -> Broker {
        let state = match self.state {
            StateText::Keep => BrokerState::Keep,
            StateText::New => BrokerState::New,
            StateText::Drain => BrokerState::Drain,
        };
        let disks = self.log_dirs.into_iter().map(|it| Disk { path: it.path, capacity: it.capacity }).collect();
        Broker { id: self.id, rack: self.rack, state, disks }
    }
}
