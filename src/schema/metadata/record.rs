//! Typed forms of the metadata records: one variant a type of Kafka 4.3, and one for all others.

use std::collections::BTreeMap;
use std::fmt;

use super::super::message::Fields;
use super::KnownRecord;
use super::control::port;
use crate::types::{TimestampMs, Uuid};

/// `PartitionChangeRecord.leader` where the leader stays (`LeaderConstants.NO_LEADER_CHANGE`).
const NO_LEADER_CHANGE: i32 = -2;

/// `PartitionChangeRecord.leaderRecoveryState` where it stays (`LeaderRecoveryState.NO_CHANGE`).
const NO_RECOVERY_CHANGE: i32 = -1;

/// What a metadata record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A broker is there, in place of what was known of it.
    RegisterBroker(BrokerRegistration),
    /// A broker is gone for good.
    UnregisterBroker {
        /// The broker.
        broker_id: i32,
        /// Epoch of its registration.
        broker_epoch: i64,
    },
    /// A topic, with no partitions yet.
    Topic {
        /// Its name.
        name: String,
        /// Its id.
        topic_id: Uuid,
    },
    /// A partition, whole.
    Partition(PartitionRecord),
    /// A setting of a topic (resource type 2), a broker (4) and others.
    Config {
        /// `ConfigResource.Type`.
        resource_type: i32,
        /// Name of the topic, id of the broker; empty for all brokers.
        resource_name: String,
        /// The setting.
        name: String,
        /// Its value; `None` removes it.
        value: Option<String>,
    },
    /// A change of a partition.
    PartitionChange(PartitionChangeRecord),
    /// A broker leads nothing any more (before Kafka 3.3; now [`Record::BrokerRegistrationChange`]).
    FenceBroker {
        /// The broker.
        broker_id: i32,
        /// Epoch of its registration.
        broker_epoch: i64,
    },
    /// A broker may lead again.
    UnfenceBroker {
        /// The broker.
        broker_id: i32,
        /// Epoch of its registration.
        broker_epoch: i64,
    },
    /// A topic is gone.
    RemoveTopic {
        /// Its id.
        topic_id: Uuid,
    },
    /// A delegation token, new or renewed. Its HMAC is in no record: brokers compute it.
    DelegationToken(DelegationToken),
    /// A user's credential for SCRAM.
    ScramCredential {
        /// The user.
        user: String,
        /// `ScramMechanism`: 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i32,
        /// The credential.
        credential: ScramCredential,
    },
    /// A feature's level; 0 removes it.
    FeatureLevel {
        /// The feature.
        name: String,
        /// Its level.
        level: i32,
    },
    /// A quota of clients.
    ClientQuota {
        /// Whom it limits.
        entity: QuotaEntity,
        /// What it limits.
        key: String,
        /// The limit; `None` removes it.
        value: Option<Quota>,
    },
    /// A block of producer ids was handed out.
    ProducerIds {
        /// The broker that got it.
        broker_id: i32,
        /// Epoch of its registration.
        broker_epoch: i64,
        /// First producer id of the next block.
        next_producer_id: i64,
    },
    /// A change of a broker's registration.
    BrokerRegistrationChange(BrokerRegistrationChange),
    /// An access control entry.
    AccessControlEntry {
        /// Its id.
        id: Uuid,
        /// The entry.
        entry: AccessControlEntry,
    },
    /// An access control entry is gone.
    RemoveAccessControlEntry {
        /// Its id.
        id: Uuid,
    },
    /// Nothing: an idle controller shows that it lives.
    NoOp,
    /// How far the move from ZooKeeper is.
    ZkMigrationState {
        /// `ZkMigrationState`.
        state: i32,
    },
    /// A user's credential is gone.
    RemoveScramCredential {
        /// The user.
        user: String,
        /// `ScramMechanism`.
        mechanism: i32,
    },
    /// What follows counts only once it is ended.
    BeginTransaction,
    /// What came since the begin counts.
    EndTransaction,
    /// What came since the begin does not count.
    AbortTransaction,
    /// A delegation token is gone.
    RemoveDelegationToken {
        /// Its id.
        token_id: String,
    },
    /// A controller is there.
    RegisterController(ControllerRegistration),
    /// Eligible leader replicas are forgotten.
    ClearElr {
        /// Of this topic; `None`: of all.
        topic: Option<String>,
    },
    /// Of a type or version that Kafka 4.3 does not have.
    Unknown {
        /// Its type.
        api_key: u32,
        /// Its type's name, where only the version is new.
        name: Option<&'static str>,
        /// Its version.
        version: u32,
        /// The message as it is.
        bytes: Vec<u8>,
    },
}

/// `PartitionRecord`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionRecord {
    /// Partition number.
    pub partition: i32,
    /// Its topic.
    pub topic_id: Uuid,
    /// Brokers that hold it, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those in sync.
    pub isr: Vec<i32>,
    /// Replicas on their way out.
    pub removing_replicas: Vec<i32>,
    /// Replicas on their way in.
    pub adding_replicas: Vec<i32>,
    /// The leader; -1 for none.
    pub leader: i32,
    /// `LeaderRecoveryState`: 1 while a leader from outside the ISR recovers, else 0.
    pub leader_recovery_state: i32,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// Number of changes.
    pub partition_epoch: i32,
    /// Log directory of each replica, in the order of `replicas`. Empty before version 1; an image has zeros then.
    pub directories: Vec<Uuid>,
    /// Eligible leader replicas.
    pub elr: Vec<i32>,
    /// The last ones known.
    pub last_known_elr: Vec<i32>,
}

/// `PartitionChangeRecord`: `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionChangeRecord {
    /// Partition number.
    pub partition: i32,
    /// Its topic.
    pub topic_id: Uuid,
    /// Replicas in sync.
    pub isr: Option<Vec<i32>>,
    /// The leader, which makes a new leader epoch; -1 for none.
    pub leader: Option<i32>,
    /// `LeaderRecoveryState`.
    pub leader_recovery_state: Option<i32>,
    /// Brokers that hold it.
    pub replicas: Option<Vec<i32>>,
    /// Replicas on their way out.
    pub removing_replicas: Option<Vec<i32>>,
    /// Replicas on their way in.
    pub adding_replicas: Option<Vec<i32>>,
    /// Log directory of each replica.
    pub directories: Option<Vec<Uuid>>,
    /// Eligible leader replicas.
    pub elr: Option<Vec<i32>>,
    /// The last ones known.
    pub last_known_elr: Option<Vec<i32>>,
}

/// `RegisterBrokerRecord`, and what an image keeps of a broker (`BrokerRegistration`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The broker.
    pub broker_id: i32,
    /// Epoch of this registration.
    pub broker_epoch: i64,
    /// Id of this start of its process.
    pub incarnation_id: Uuid,
    /// Where it listens, by name of the listener.
    pub listeners: BTreeMap<String, Endpoint>,
    /// Levels of features it takes.
    pub features: BTreeMap<String, VersionRange>,
    /// Its rack.
    pub rack: Option<String>,
    /// It may not lead.
    pub fenced: bool,
    /// It is about to stop.
    pub in_controlled_shutdown: bool,
    /// It comes from a cluster with ZooKeeper.
    pub is_migrating_zk_broker: bool,
    /// Ids of its log directories that are online, in the order of `Uuid.compareTo`.
    pub directories: Vec<Uuid>,
    /// Those of them that get no new partitions; `None` before metadata version 4.3.
    pub cordoned_directories: Option<Vec<Uuid>>,
}

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `SecurityProtocol`: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i32,
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Lowest and highest level of a feature that a node takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange {
    /// Lowest.
    pub min: i32,
    /// Highest.
    pub max: i32,
}

/// `BrokerRegistrationChangeRecord`: `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerRegistrationChange {
    /// The broker.
    pub broker_id: i32,
    /// Epoch of its registration.
    pub broker_epoch: i64,
    /// -1 it may lead again, 0 no change, 1 it may not lead (`BrokerRegistrationFencingChange`).
    pub fenced: i32,
    /// 0 no change, 1 it is about to stop (`BrokerRegistrationInControlledShutdownChange`).
    pub in_controlled_shutdown: i32,
    /// Its log directories.
    pub directories: Option<Vec<Uuid>>,
    /// Those of them that get no new partitions.
    pub cordoned_directories: Option<Vec<Uuid>>,
}

/// `RegisterControllerRecord`, and what an image keeps of a controller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControllerRegistration {
    /// The controller.
    pub controller_id: i32,
    /// Id of this start of its process.
    pub incarnation_id: Uuid,
    /// It could take over from ZooKeeper.
    pub zk_migration_ready: bool,
    /// Where it listens, by name of the listener.
    pub listeners: BTreeMap<String, Endpoint>,
    /// Levels of features it takes.
    pub features: BTreeMap<String, VersionRange>,
}

/// `AccessControlEntryRecord` without its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessControlEntry {
    /// `ResourceType`.
    pub resource_type: i32,
    /// Name of the resource, or its start.
    pub resource_name: String,
    /// `PatternType`.
    pub pattern_type: i32,
    /// Whom it is about.
    pub principal: String,
    /// From which host; `*` from any.
    pub host: String,
    /// `AclOperation`.
    pub operation: i32,
    /// `AclPermissionType`.
    pub permission_type: i32,
}

/// Bytes that nobody should see by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// A user's credential for SCRAM (`ScramCredentialData`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramCredential {
    /// Salt.
    pub salt: Secret,
    /// Stored key.
    pub stored_key: Secret,
    /// Server key.
    pub server_key: Secret,
    /// Iterations of the hash.
    pub iterations: i32,
}

/// A delegation token (`TokenInformation`). Principals are as stored, `User:alice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegationToken {
    /// Its id.
    pub token_id: String,
    /// Whom it stands for.
    pub owner: String,
    /// Who asked for it.
    pub requester: String,
    /// Who may renew it.
    pub renewers: Vec<String>,
    /// When it was issued.
    pub issue_timestamp_ms: TimestampMs,
    /// When it ends for good.
    pub max_timestamp_ms: TimestampMs,
    /// When it ends unless it is renewed.
    pub expiration_timestamp_ms: TimestampMs,
}

/// Whom a quota limits: names by entity type (`user`, `client-id`, `ip`); `None` is the default of the type.
pub type QuotaEntity = BTreeMap<String, Option<String>>;

/// A limit. Equal when the bits are, as two `Double` of Java.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Quota(u64);

impl Quota {
    /// A limit of this number.
    pub fn new(number: f64) -> Quota {
        Quota(number.to_bits())
    }

    /// The number.
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quota({})", self.get())
    }
}

impl KnownRecord<'_> {
    /// The typed form.
    pub fn typed(&self) -> Record {
        let f = &self.fields;
        match self.message.api_key {
            0 => Record::RegisterBroker(broker(f)),
            1 => Record::UnregisterBroker { broker_id: f.int("brokerId"), broker_epoch: f.long("brokerEpoch") },
            2 => Record::Topic { name: f.text("name"), topic_id: f.uuid("topicId") },
            3 => Record::Partition(partition(f)),
            4 => Record::Config {
                resource_type: f.int("resourceType"),
                resource_name: f.text("resourceName"),
                name: f.text("name"),
                value: f.nullable_text("value"),
            },
            5 => Record::PartitionChange(partition_change(f)),
            7 => Record::FenceBroker { broker_id: f.int("id"), broker_epoch: f.long("epoch") },
            8 => Record::UnfenceBroker { broker_id: f.int("id"), broker_epoch: f.long("epoch") },
            9 => Record::RemoveTopic { topic_id: f.uuid("topicId") },
            10 => Record::DelegationToken(DelegationToken {
                token_id: f.text("tokenId"),
                owner: f.text("owner"),
                requester: f.text("requester"),
                renewers: f.texts("renewers"),
                issue_timestamp_ms: f.long("issueTimestamp"),
                max_timestamp_ms: f.long("maxTimestamp"),
                expiration_timestamp_ms: f.long("expirationTimestamp"),
            }),
            11 => Record::ScramCredential {
                user: f.text("name"),
                mechanism: f.int("mechanism"),
                credential: ScramCredential {
                    salt: Secret(f.bytes("salt").to_vec()),
                    stored_key: Secret(f.bytes("storedKey").to_vec()),
                    server_key: Secret(f.bytes("serverKey").to_vec()),
                    iterations: f.int("iterations"),
                },
            },
            12 => Record::FeatureLevel { name: f.text("name"), level: f.int("featureLevel") },
            14 => Record::ClientQuota {
                entity: f
                    .structs("entity")
                    .map(|entity| (entity.text("entityType"), entity.nullable_text("entityName")))
                    .collect(),
                key: f.text("key"),
                value: (!f.flag("remove")).then(|| Quota::new(f.float("value"))),
            },
            15 => Record::ProducerIds {
                broker_id: f.int("brokerId"),
                broker_epoch: f.long("brokerEpoch"),
                next_producer_id: f.long("nextProducerId"),
            },
            17 => Record::BrokerRegistrationChange(BrokerRegistrationChange {
                broker_id: f.int("brokerId"),
                broker_epoch: f.long("brokerEpoch"),
                fenced: f.int("fenced"),
                in_controlled_shutdown: f.int("inControlledShutdown"),
                // An empty list is no change: a broker has at least one.
                directories: f.uuids("logDirs").filter(|dirs| !dirs.is_empty()),
                cordoned_directories: f.uuids("cordonedLogDirs"),
            }),
            18 => Record::AccessControlEntry {
                id: f.uuid("id"),
                entry: AccessControlEntry {
                    resource_type: f.int("resourceType"),
                    resource_name: f.text("resourceName"),
                    pattern_type: f.int("patternType"),
                    principal: f.text("principal"),
                    host: f.text("host"),
                    operation: f.int("operation"),
                    permission_type: f.int("permissionType"),
                },
            },
            19 => Record::RemoveAccessControlEntry { id: f.uuid("id") },
            20 => Record::NoOp,
            21 => Record::ZkMigrationState { state: f.int("zkMigrationState") },
            22 => Record::RemoveScramCredential { user: f.text("name"), mechanism: f.int("mechanism") },
            23 => Record::BeginTransaction,
            24 => Record::EndTransaction,
            25 => Record::AbortTransaction,
            26 => Record::RemoveDelegationToken { token_id: f.text("tokenId") },
            27 => Record::RegisterController(ControllerRegistration {
                controller_id: f.int("controllerId"),
                incarnation_id: f.uuid("incarnationId"),
                zk_migration_ready: f.flag("zkMigrationReady"),
                listeners: listeners(f),
                features: features(f),
            }),
            28 => Record::ClearElr { topic: Some(f.text("topicName")).filter(|name| !name.is_empty()) },
            // A table without a typed form is a mistake of ours, which the tests find.
            api_key => Record::Unknown {
                api_key,
                name: Some(self.message.name),
                version: self.version.unsigned_abs().into(),
                bytes: Vec::new(),
            },
        }
    }
}

fn partition(f: &Fields<'_>) -> PartitionRecord {
    PartitionRecord {
        partition: f.int("partitionId"),
        topic_id: f.uuid("topicId"),
        replicas: f.ints("replicas").unwrap_or_default(),
        isr: f.ints("isr").unwrap_or_default(),
        removing_replicas: f.ints("removingReplicas").unwrap_or_default(),
        adding_replicas: f.ints("addingReplicas").unwrap_or_default(),
        leader: f.int("leader"),
        leader_recovery_state: f.int("leaderRecoveryState"),
        leader_epoch: f.int("leaderEpoch"),
        partition_epoch: f.int("partitionEpoch"),
        directories: f.uuids("directories").unwrap_or_default(),
        elr: f.ints("eligibleLeaderReplicas").unwrap_or_default(),
        last_known_elr: f.ints("lastKnownElr").unwrap_or_default(),
    }
}

fn partition_change(f: &Fields<'_>) -> PartitionChangeRecord {
    PartitionChangeRecord {
        partition: f.int("partitionId"),
        topic_id: f.uuid("topicId"),
        isr: f.ints("isr"),
        leader: Some(f.int("leader")).filter(|leader| *leader != NO_LEADER_CHANGE),
        leader_recovery_state: Some(f.int("leaderRecoveryState")).filter(|state| *state != NO_RECOVERY_CHANGE),
        replicas: f.ints("replicas"),
        removing_replicas: f.ints("removingReplicas"),
        adding_replicas: f.ints("addingReplicas"),
        directories: f.uuids("directories"),
        elr: f.ints("eligibleLeaderReplicas"),
        last_known_elr: f.ints("lastKnownElr"),
    }
}

fn broker(f: &Fields<'_>) -> BrokerRegistration {
    BrokerRegistration {
        broker_id: f.int("brokerId"),
        broker_epoch: f.long("brokerEpoch"),
        incarnation_id: f.uuid("incarnationId"),
        listeners: listeners(f),
        features: features(f),
        rack: f.nullable_text("rack"),
        fenced: f.flag("fenced"),
        in_controlled_shutdown: f.flag("inControlledShutdown"),
        is_migrating_zk_broker: f.flag("isMigratingZkBroker"),
        directories: f.uuids("logDirs").unwrap_or_default(),
        cordoned_directories: f.uuids("cordonedLogDirs"),
    }
}

fn listeners(f: &Fields<'_>) -> BTreeMap<String, Endpoint> {
    f.structs("endPoints")
        .map(|endpoint| {
            let place = Endpoint {
                security_protocol: endpoint.int("securityProtocol"),
                host: endpoint.text("host"),
                port: endpoint.get("port").and_then(port).unwrap_or(0),
            };
            (endpoint.text("name"), place)
        })
        .collect()
}

fn features(f: &Fields<'_>) -> BTreeMap<String, VersionRange> {
    let range = |f: &Fields<'_>| VersionRange { min: f.int("minSupportedVersion"), max: f.int("maxSupportedVersion") };
    f.structs("features").map(|feature| (feature.text("name"), range(feature))).collect()
}
