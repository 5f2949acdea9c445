//! What metadata records come to, applied in order (`MetadataImage`, `TopicsDelta` of Kafka 4.3).
//!
//! Only topics, their partitions and settings are kept: what is needed to tell which partitions a broker holds.

use std::collections::{BTreeMap, HashMap};

use thiserror::Error;

use super::metadata::{PartitionChangeRecord, PartitionRecord, Record};
use crate::types::Uuid;

/// `ConfigResource.Type.TOPIC`.
const TOPIC: i32 = 2;
/// `ConfigResource.Type.BROKER`.
const BROKER: i32 = 4;

/// The cluster's topics at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataImage {
    topics: HashMap<Uuid, Topic>,
    names: HashMap<String, Uuid>,
    topic_configs: HashMap<String, BTreeMap<String, String>>,
    broker_configs: HashMap<String, BTreeMap<String, String>>,
    features: BTreeMap<String, i32>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id.
    pub topic_id: Uuid,
    /// Its partitions, by number.
    pub partitions: BTreeMap<i32, PartitionRecord>,
}

/// A record that does not fit what came before it; a broker refuses to go on.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ImageError {
    /// Of a topic that is not there.
    #[error("a record about topic {topic_id}, which does not exist")]
    NoTopic {
        /// Its id.
        topic_id: Uuid,
    },
    /// Of a partition that is not there.
    #[error("a record about partition {partition} of topic {topic_id}, which does not exist")]
    NoPartition {
        /// Its topic.
        topic_id: Uuid,
        /// Its number.
        partition: i32,
    },
    /// A transaction begins or ends where it cannot.
    #[error("a transaction {what}")]
    Transaction {
        /// What is odd about it.
        what: &'static str,
    },
}

impl MetadataImage {
    /// All topics, in no order.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    /// The topic with this id.
    pub fn topic(&self, topic_id: Uuid) -> Option<&Topic> {
        self.topics.get(&topic_id)
    }

    /// The topic with this name.
    pub fn topic_named(&self, name: &str) -> Option<&Topic> {
        self.names.get(name).and_then(|id| self.topics.get(id))
    }

    /// A partition.
    pub fn partition(&self, topic_id: Uuid, partition: i32) -> Option<&PartitionRecord> {
        self.topics.get(&topic_id)?.partitions.get(&partition)
    }

    /// Settings of a topic.
    pub fn topic_config(&self, topic: &str) -> Option<&BTreeMap<String, String>> {
        self.topic_configs.get(topic)
    }

    /// Settings of one broker, by its id as text; of all brokers, by an empty text.
    pub fn broker_config(&self, broker: &str) -> Option<&BTreeMap<String, String>> {
        self.broker_configs.get(broker)
    }

    /// Level of a feature.
    pub fn feature(&self, name: &str) -> Option<i32> {
        self.features.get(name).copied()
    }

    /// Applies one record. Marks of transactions are nothing to it: see [`ImageBuilder`].
    pub fn apply(&mut self, record: Record) -> Result<(), ImageError> {
        match record {
            Record::Topic { name, topic_id } => {
                self.names.insert(name.clone(), topic_id);
                self.topics.insert(topic_id, Topic { name, topic_id, partitions: BTreeMap::new() });
            }
            Record::Partition(record) => {
                let topic_id = record.topic_id;
                let topic = self.topics.get_mut(&topic_id).ok_or(ImageError::NoTopic { topic_id })?;
                topic.partitions.insert(record.partition, record);
            }
            Record::PartitionChange(change) => self.change(change)?,
            Record::RemoveTopic { topic_id } => {
                let topic = self.topics.remove(&topic_id).ok_or(ImageError::NoTopic { topic_id })?;
                // A newer topic may have taken the name.
                if self.names.get(&topic.name) == Some(&topic_id) {
                    self.names.remove(&topic.name);
                    self.topic_configs.remove(&topic.name);
                }
            }
            Record::Config { resource_type, resource_name, name, value } => {
                let configs = match resource_type {
                    TOPIC => &mut self.topic_configs,
                    BROKER => &mut self.broker_configs,
                    _ => return Ok(()),
                };
                let config = configs.entry(resource_name).or_default();
                match value {
                    Some(value) => config.insert(name, value),
                    None => config.remove(&name),
                };
            }
            Record::FeatureLevel { name, level: 0 } => {
                self.features.remove(&name);
            }
            Record::FeatureLevel { name, level } => {
                self.features.insert(name, level);
            }
            Record::ClearElr { topic } => {
                let all = topic.is_none();
                let one = topic.and_then(|name| self.names.get(&name).copied());
                let topics = self.topics.values_mut().filter(|topic| all || Some(topic.topic_id) == one);
                for partition in topics.flat_map(|topic| topic.partitions.values_mut()) {
                    partition.elr.clear();
                    partition.last_known_elr.clear();
                }
            }
            Record::BeginTransaction | Record::EndTransaction | Record::AbortTransaction | Record::Other { .. } => {}
        }
        Ok(())
    }

    /// `PartitionRegistration.merge`.
    fn change(&mut self, change: PartitionChangeRecord) -> Result<(), ImageError> {
        let PartitionChangeRecord { partition, topic_id, .. } = change;
        let topic = self.topics.get_mut(&topic_id).ok_or(ImageError::NoTopic { topic_id })?;
        let now = topic.partitions.get_mut(&partition).ok_or(ImageError::NoPartition { topic_id, partition })?;
        let set = |field: &mut Vec<i32>, value: Option<Vec<i32>>| {
            if let Some(value) = value {
                *field = value;
            }
        };
        set(&mut now.isr, change.isr);
        set(&mut now.replicas, change.replicas);
        set(&mut now.removing_replicas, change.removing_replicas);
        set(&mut now.adding_replicas, change.adding_replicas);
        set(&mut now.elr, change.elr);
        set(&mut now.last_known_elr, change.last_known_elr);
        if let Some(directories) = change.directories {
            now.directories = directories;
        }
        if let Some(leader) = change.leader {
            now.leader = leader;
            now.leader_epoch = now.leader_epoch.wrapping_add(1);
        }
        now.partition_epoch = now.partition_epoch.wrapping_add(1);
        Ok(())
    }
}

/// Makes an image of records, those between a begin and its end only with the end.
#[derive(Debug, Default)]
pub struct ImageBuilder {
    image: MetadataImage,
    /// Of a transaction that has begun.
    pending: Option<Vec<Record>>,
}

impl ImageBuilder {
    /// Takes the next record.
    pub fn push(&mut self, record: Record) -> Result<(), ImageError> {
        match record {
            Record::BeginTransaction => match self.pending.replace(Vec::new()) {
                None => Ok(()),
                Some(_) => Err(ImageError::Transaction { what: "begins inside another" }),
            },
            Record::EndTransaction => {
                let pending = self.pending.take().ok_or(ImageError::Transaction { what: "ends that did not begin" })?;
                pending.into_iter().try_for_each(|record| self.image.apply(record))
            }
            Record::AbortTransaction => match self.pending.take() {
                Some(_) => Ok(()),
                None => Err(ImageError::Transaction { what: "is aborted that did not begin" }),
            },
            record => match &mut self.pending {
                Some(pending) => {
                    pending.push(record);
                    Ok(())
                }
                None => self.image.apply(record),
            },
        }
    }

    /// The image; of a transaction without an end nothing counts.
    pub fn build(self) -> MetadataImage {
        self.image
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid([7; 16]);

    fn partition(replicas: &[i32]) -> Record {
        Record::Partition(PartitionRecord {
            partition: 0,
            topic_id: ID,
            replicas: replicas.to_vec(),
            isr: replicas.to_vec(),
            removing_replicas: vec![],
            adding_replicas: vec![],
            leader: 1,
            leader_epoch: 4,
            partition_epoch: 9,
            directories: vec![],
            elr: vec![],
            last_known_elr: vec![],
        })
    }

    fn change(leader: Option<i32>, replicas: Option<Vec<i32>>) -> Record {
        Record::PartitionChange(PartitionChangeRecord {
            partition: 0,
            topic_id: ID,
            isr: None,
            leader,
            replicas,
            removing_replicas: None,
            adding_replicas: None,
            directories: None,
            elr: None,
            last_known_elr: None,
        })
    }

    fn topic() -> Record {
        Record::Topic { name: "t".into(), topic_id: ID }
    }

    fn built(records: Vec<Record>) -> Result<MetadataImage, ImageError> {
        let mut builder = ImageBuilder::default();
        records.into_iter().try_for_each(|record| builder.push(record))?;
        Ok(builder.build())
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let image = built(vec![topic(), partition(&[1, 2]), change(Some(-1), None), change(None, Some(vec![3]))]);
        let image = image.unwrap();
        let now = image.partition(ID, 0).unwrap();
        assert_eq!((now.leader, now.leader_epoch, now.partition_epoch), (-1, 5, 11));
        assert_eq!((&now.replicas[..], &now.isr[..]), (&[3][..], &[1, 2][..]));
        assert_eq!(image.topic_named("t").map(|topic| topic.topic_id), Some(ID));
    }

    #[test]
    fn transactions_count_once_ended() {
        use Record::{AbortTransaction, BeginTransaction, EndTransaction};
        for (records, topics) in [
            (vec![BeginTransaction, topic()], 0),
            (vec![BeginTransaction, topic(), AbortTransaction], 0),
            (vec![BeginTransaction, topic(), EndTransaction], 1),
            (vec![topic(), Record::RemoveTopic { topic_id: ID }], 0),
        ] {
            let what = format!("{records:?}");
            assert_eq!(built(records).unwrap().topics().count(), topics, "{what}");
        }
        assert!(built(vec![EndTransaction]).is_err());
        assert!(built(vec![BeginTransaction, BeginTransaction]).is_err());
    }

    #[test]
    fn records_about_nothing_are_refused() {
        assert_eq!(built(vec![partition(&[1])]), Err(ImageError::NoTopic { topic_id: ID }));
        let missing = ImageError::NoPartition { topic_id: ID, partition: 0 };
        assert_eq!(built(vec![topic(), change(None, None)]), Err(missing));
    }
}
