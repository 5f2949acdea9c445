//! What metadata records come to, applied in order (`org.apache.kafka.image` of Kafka 4.3).
//!
//! [`MetadataImage`] is all that a broker keeps of the metadata log: features, brokers and controllers, topics and
//! partitions, settings, quotas, producer ids, access control entries, SCRAM credentials, delegation tokens; and what
//! the control records say of the quorum. [`ImageBuilder`] makes one of records; [`Node`] shows one as the tree that
//! Kafka's metadata shell shows; [`diff`] tells two apart, and [`touched`] which records could have made the difference.
//!
//! Settings that Kafka 4.3 does not know are kept: a broker drops them on loading (`SupportedConfigChecker`).

mod apply;
mod builder;
mod diff;
mod node;
mod quorum;
mod text;
mod touched;

use std::collections::{BTreeMap, HashMap};

use thiserror::Error;

pub use self::builder::ImageBuilder;
pub use self::diff::{Change, diff};
pub use self::node::{Leaf, Node, compare_names, escape, split_path};
pub use self::quorum::Quorum;
pub use self::text::{
    Secrets, acl_operation, acl_permission, acl_resource, feature_level, is_secret_config, pattern_type, quota_entity,
    resource_name, resource_type, scram_mechanism, security_protocol,
};
pub use self::touched::touched;

use super::metadata::{
    AccessControlEntry, BrokerRegistration, ControllerRegistration, DelegationToken, PartitionRecord, Quota,
    QuotaEntity, ScramCredential,
};
use crate::types::{LeaderEpoch, Offset, TimestampMs, Uuid};

/// `ConfigResource.Type.TOPIC`.
const TOPIC: i32 = 2;
/// `ConfigResource.Type.BROKER`.
const BROKER: i32 = 4;

/// The feature whose level is the metadata version.
pub const METADATA_VERSION: &str = "metadata.version";
/// The feature that the raft layer keeps: its level comes from a control record.
pub const KRAFT_VERSION: &str = "kraft.version";

/// Different unknown types and versions that an image names; more are counted only.
const UNKNOWN_NAMED_MAX: usize = 64;

/// The cluster's metadata at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataImage {
    provenance: Option<Provenance>,
    features: BTreeMap<String, i32>,
    brokers: BTreeMap<i32, BrokerRegistration>,
    controllers: BTreeMap<i32, ControllerRegistration>,
    topics: HashMap<Uuid, Topic>,
    names: HashMap<String, Uuid>,
    configs: BTreeMap<ConfigResource, BTreeMap<String, String>>,
    client_quotas: BTreeMap<QuotaEntity, BTreeMap<String, Quota>>,
    next_producer_id: i64,
    acls: BTreeMap<Uuid, AccessControlEntry>,
    scram: BTreeMap<i32, BTreeMap<String, ScramCredential>>,
    delegation_tokens: BTreeMap<String, DelegationToken>,
    quorum: Quorum,
    unknown: BTreeMap<(u32, u32), UnknownRecords>,
    unknown_records: u64,
}

impl Default for MetadataImage {
    fn default() -> Self {
        MetadataImage {
            provenance: None,
            features: BTreeMap::new(),
            brokers: BTreeMap::new(),
            controllers: BTreeMap::new(),
            topics: HashMap::new(),
            names: HashMap::new(),
            configs: BTreeMap::new(),
            client_quotas: BTreeMap::new(),
            // `ProducerIdsImage.EMPTY`.
            next_producer_id: -1,
            acls: BTreeMap::new(),
            scram: BTreeMap::new(),
            delegation_tokens: BTreeMap::new(),
            quorum: Quorum::default(),
            unknown: BTreeMap::new(),
            unknown_records: 0,
        }
    }
}

/// The last record in an image (`MetadataProvenance`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provenance {
    /// Its offset.
    pub last_contained_offset: Offset,
    /// Epoch of the leader that wrote it.
    pub last_contained_epoch: LeaderEpoch,
    /// When it was written.
    pub last_contained_log_timestamp_ms: TimestampMs,
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

/// What settings are of (`ConfigResource`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigResource {
    /// `ConfigResource.Type`: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group; 0 for any other.
    pub resource_type: i32,
    /// Its name; empty for the default of all brokers.
    pub name: String,
}

/// Records of one type and version that Kafka 4.3 does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownRecords {
    /// The type's name, where only the version is new.
    pub name: Option<&'static str>,
    /// How many there were.
    pub records: u64,
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
    /// Of a topic that is not there.
    #[error("a record about topic '{name}', which does not exist")]
    NoTopicNamed {
        /// Its name.
        name: String,
    },
    /// Of a partition that is not there.
    #[error("a record about partition {partition} of topic {topic_id}, which does not exist")]
    NoPartition {
        /// Its topic.
        topic_id: Uuid,
        /// Its number.
        partition: i32,
    },
    /// Replicas and their directories differ in number.
    #[error("partition {partition} of topic {topic_id} has {replicas} replicas and {directories} directories")]
    Directories {
        /// Its topic.
        topic_id: Uuid,
        /// Its number.
        partition: i32,
        /// Number of replicas.
        replicas: usize,
        /// Number of directories.
        directories: usize,
    },
    /// Of a broker that is not registered.
    #[error("a record about broker {broker_id}, which is not registered")]
    NoBroker {
        /// The broker.
        broker_id: i32,
    },
    /// Of another registration of the broker.
    #[error("a record about epoch {found} of broker {broker_id}, which is registered with epoch {expected}")]
    BrokerEpoch {
        /// The broker.
        broker_id: i32,
        /// Epoch of its registration.
        expected: i64,
        /// Epoch in the record.
        found: i64,
    },
    /// A field whose value means nothing.
    #[error("{field}: {found} has no meaning")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        found: i32,
    },
    /// An access control entry is removed that is not there.
    #[error("access control entry {id} is removed, which does not exist")]
    NoAccessControlEntry {
        /// Its id.
        id: Uuid,
    },
    /// A transaction begins or ends where it cannot.
    #[error("a transaction {what}")]
    Transaction {
        /// What is odd about it.
        what: &'static str,
    },
}

impl MetadataImage {
    /// The last record in it; `None` where that is not known, or there is none.
    pub fn provenance(&self) -> Option<Provenance> {
        self.provenance
    }

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

    /// Settings of a topic; `None` where it has none of its own.
    pub fn topic_config(&self, topic: &str) -> Option<&BTreeMap<String, String>> {
        self.config(TOPIC, topic)
    }

    /// Settings of one broker, by its id as text; of all brokers, by an empty text.
    pub fn broker_config(&self, broker: &str) -> Option<&BTreeMap<String, String>> {
        self.config(BROKER, broker)
    }

    /// Settings of a resource, by `ConfigResource.Type` and name.
    pub fn config(&self, resource_type: i32, name: &str) -> Option<&BTreeMap<String, String>> {
        self.configs.get(&ConfigResource { resource_type, name: name.to_owned() })
    }

    /// All resources that have settings, and these.
    pub fn configs(&self) -> impl Iterator<Item = (&ConfigResource, &BTreeMap<String, String>)> {
        self.configs.iter()
    }

    /// Brokers that are registered, fenced ones among them, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &BrokerRegistration> {
        self.brokers.values()
    }

    /// A broker.
    pub fn broker(&self, broker_id: i32) -> Option<&BrokerRegistration> {
        self.brokers.get(&broker_id)
    }

    /// Controllers that are registered, by id.
    pub fn controllers(&self) -> impl Iterator<Item = &ControllerRegistration> {
        self.controllers.values()
    }

    /// A controller.
    pub fn controller(&self, controller_id: i32) -> Option<&ControllerRegistration> {
        self.controllers.get(&controller_id)
    }

    /// Level of a feature; of `metadata.version` too.
    pub fn feature(&self, name: &str) -> Option<i32> {
        self.features.get(name).copied()
    }

    /// Features and their levels, `metadata.version` among them.
    pub fn features(&self) -> impl Iterator<Item = (&str, i32)> {
        self.features.iter().map(|(name, level)| (name.as_str(), *level))
    }

    /// Quotas of clients, by entity and key.
    pub fn client_quotas(&self) -> impl Iterator<Item = (&QuotaEntity, &BTreeMap<String, Quota>)> {
        self.client_quotas.iter()
    }

    /// First producer id that no broker has; -1 before any was handed out.
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    /// Access control entries, by id.
    pub fn acls(&self) -> impl Iterator<Item = (Uuid, &AccessControlEntry)> {
        self.acls.iter().map(|(id, entry)| (*id, entry))
    }

    /// SCRAM credentials: mechanism, user, credential.
    pub fn scram_credentials(&self) -> impl Iterator<Item = (i32, &str, &ScramCredential)> {
        self.scram.iter().flat_map(|(mechanism, users)| {
            users.iter().map(|(user, credential)| (*mechanism, user.as_str(), credential))
        })
    }

    /// Delegation tokens, by id.
    pub fn delegation_tokens(&self) -> impl Iterator<Item = &DelegationToken> {
        self.delegation_tokens.values()
    }

    /// What the control records say.
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// Whether records were passed over that Kafka 4.3 does not know: the image may lack what they say.
    pub fn is_incomplete(&self) -> bool {
        self.unknown_records > 0
    }

    /// Types and versions of the records that were passed over, and how often; the first 64 different ones.
    pub fn unknown_records(&self) -> impl Iterator<Item = (u32, u32, &UnknownRecords)> {
        self.unknown.iter().map(|((api_key, version), records)| (*api_key, *version, records))
    }
}
