//! One record applied to an image, as the deltas of `org.apache.kafka.image` do.

use std::collections::BTreeMap;

use super::super::metadata::{
    BrokerRegistration, BrokerRegistrationChange, ControlRecord, PartitionChangeRecord, PartitionRecord, Record,
};
use super::{
    ConfigResource, ImageError, KRAFT_VERSION, MetadataImage, Provenance, TOPIC, Topic, UNKNOWN_NAMED_MAX,
    UnknownRecords,
};
use crate::types::{LeaderEpoch, Uuid};

impl MetadataImage {
    /// Applies one record. Marks of transactions are nothing to it: see [`super::ImageBuilder`].
    ///
    /// After an error the image is as it was before.
    pub fn apply(&mut self, record: Record) -> Result<(), ImageError> {
        match record {
            Record::RegisterBroker(mut broker) => {
                sort_directories(&mut broker.directories);
                self.brokers.insert(broker.broker_id, broker);
            }
            Record::UnregisterBroker { broker_id, .. } => {
                self.brokers.remove(&broker_id);
            }
            Record::Topic { name, topic_id } => {
                self.names.insert(name.clone(), topic_id);
                self.topics.insert(topic_id, Topic { name, topic_id, partitions: BTreeMap::new() });
            }
            Record::Partition(record) => self.set_partition(record)?,
            Record::PartitionChange(change) => self.change_partition(change)?,
            Record::RemoveTopic { topic_id } => self.remove_topic(topic_id)?,
            Record::Config { resource_type, resource_name, name, value } => {
                self.set_config(resource_type, resource_name, name, value);
            }
            Record::FenceBroker { broker_id, broker_epoch } => self.broker_mut(broker_id, broker_epoch)?.fenced = true,
            Record::UnfenceBroker { broker_id, broker_epoch } => {
                self.broker_mut(broker_id, broker_epoch)?.fenced = false;
            }
            Record::BrokerRegistrationChange(change) => self.change_broker(change)?,
            Record::RegisterController(controller) => {
                self.controllers.insert(controller.controller_id, controller);
            }
            Record::DelegationToken(token) => {
                self.delegation_tokens.insert(token.token_id.clone(), token);
            }
            Record::RemoveDelegationToken { token_id } => {
                self.delegation_tokens.remove(&token_id);
            }
            Record::ScramCredential { user, mechanism, credential } => {
                self.scram.entry(known_mechanism(mechanism)).or_default().insert(user, credential);
            }
            Record::RemoveScramCredential { user, mechanism } => {
                let mechanism = known_mechanism(mechanism);
                if let Some(users) = self.scram.get_mut(&mechanism) {
                    users.remove(&user);
                    if users.is_empty() {
                        self.scram.remove(&mechanism);
                    }
                }
            }
            // The level that counts is in a control record (`FeaturesDelta.replay`).
            Record::FeatureLevel { name, .. } if name == KRAFT_VERSION => {}
            Record::FeatureLevel { name, level: 0 } => {
                self.features.remove(&name);
            }
            Record::FeatureLevel { name, level } => {
                self.features.insert(name, level);
            }
            Record::ClientQuota { entity, key, value } => {
                let quotas = self.client_quotas.entry(entity.clone()).or_default();
                match value {
                    Some(value) => quotas.insert(key, value),
                    None => quotas.remove(&key),
                };
                if quotas.is_empty() {
                    self.client_quotas.remove(&entity);
                }
            }
            Record::ProducerIds { next_producer_id, .. } => self.next_producer_id = next_producer_id,
            Record::AccessControlEntry { id, entry } => {
                self.acls.insert(id, entry);
            }
            Record::RemoveAccessControlEntry { id } => {
                self.acls.remove(&id).ok_or(ImageError::NoAccessControlEntry { id })?;
            }
            Record::ClearElr { topic } => self.clear_elr(topic)?,
            Record::Unknown { api_key, name, version, .. } => {
                self.unknown_records += 1;
                let is_full = self.unknown.len() >= UNKNOWN_NAMED_MAX;
                match self.unknown.get_mut(&(api_key, version)) {
                    Some(unknown) => unknown.records += 1,
                    None if is_full => {}
                    None => {
                        self.unknown.insert((api_key, version), UnknownRecords { name, records: 1 });
                    }
                }
            }
            Record::NoOp
            | Record::ZkMigrationState { .. }
            | Record::BeginTransaction
            | Record::EndTransaction
            | Record::AbortTransaction => {}
        }
        Ok(())
    }

    /// Applies a control record, written in `epoch`.
    pub fn apply_control(&mut self, record: &ControlRecord, epoch: LeaderEpoch) {
        self.quorum.apply(record, epoch);
    }

    /// Says which record was the last.
    pub fn set_provenance(&mut self, provenance: Option<Provenance>) {
        self.provenance = provenance;
    }

    fn set_partition(&mut self, mut record: PartitionRecord) -> Result<(), ImageError> {
        let PartitionRecord { topic_id, partition, .. } = record;
        let topic = self.topics.get_mut(&topic_id).ok_or(ImageError::NoTopic { topic_id })?;
        check_recovery_state(record.leader_recovery_state)?;
        default_to_migrating(&mut record)?;
        topic.partitions.insert(partition, record);
        Ok(())
    }

    /// `PartitionRegistration.merge`.
    fn change_partition(&mut self, change: PartitionChangeRecord) -> Result<(), ImageError> {
        let PartitionChangeRecord { partition, topic_id, .. } = change;
        let topic = self.topics.get_mut(&topic_id).ok_or(ImageError::NoTopic { topic_id })?;
        let before = topic.partitions.get(&partition).ok_or(ImageError::NoPartition { topic_id, partition })?;
        let mut now = before.clone();
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
        if let Some(state) = change.leader_recovery_state {
            check_recovery_state(state)?;
            now.leader_recovery_state = state;
        }
        if let Some(leader) = change.leader {
            now.leader = leader;
            now.leader_epoch = now.leader_epoch.wrapping_add(1);
        }
        now.partition_epoch = now.partition_epoch.wrapping_add(1);
        default_to_migrating(&mut now)?;
        topic.partitions.insert(partition, now);
        Ok(())
    }

    fn remove_topic(&mut self, topic_id: Uuid) -> Result<(), ImageError> {
        let topic = self.topics.remove(&topic_id).ok_or(ImageError::NoTopic { topic_id })?;
        // A newer topic may have taken the name.
        if self.names.get(&topic.name) == Some(&topic_id) {
            self.names.remove(&topic.name);
            self.configs.remove(&ConfigResource { resource_type: TOPIC, name: topic.name });
        }
        Ok(())
    }

    fn set_config(&mut self, resource_type: i32, resource_name: String, name: String, value: Option<String>) {
        // `ConfigResource.Type.forId`.
        let resource_type = if matches!(resource_type, 2 | 4 | 8 | 16 | 32) { resource_type } else { 0 };
        let resource = ConfigResource { resource_type, name: resource_name };
        match value {
            Some(value) => {
                self.configs.entry(resource).or_default().insert(name, value);
            }
            None => {
                if let Some(config) = self.configs.get_mut(&resource) {
                    config.remove(&name);
                    if config.is_empty() {
                        self.configs.remove(&resource);
                    }
                }
            }
        }
    }

    /// `ClusterDelta.getBrokerOrThrow`.
    fn broker_mut(&mut self, broker_id: i32, found: i64) -> Result<&mut BrokerRegistration, ImageError> {
        let broker = self.brokers.get_mut(&broker_id).ok_or(ImageError::NoBroker { broker_id })?;
        let expected = broker.broker_epoch;
        if expected == found { Ok(broker) } else { Err(ImageError::BrokerEpoch { broker_id, expected, found }) }
    }

    /// `BrokerRegistration.cloneWith`.
    fn change_broker(&mut self, change: BrokerRegistrationChange) -> Result<(), ImageError> {
        let broker = self.broker_mut(change.broker_id, change.broker_epoch)?;
        let fenced = match change.fenced {
            -1 => false,
            0 => broker.fenced,
            1 => true,
            found => return Err(ImageError::Field { field: "fenced", found }),
        };
        let in_controlled_shutdown = match change.in_controlled_shutdown {
            0 => broker.in_controlled_shutdown,
            1 => true,
            found => return Err(ImageError::Field { field: "inControlledShutdown", found }),
        };
        broker.fenced = fenced;
        broker.in_controlled_shutdown = in_controlled_shutdown;
        if let Some(mut directories) = change.directories {
            sort_directories(&mut directories);
            broker.directories = directories;
        }
        if change.cordoned_directories.is_some() {
            broker.cordoned_directories = change.cordoned_directories;
        }
        Ok(())
    }

    /// `TopicDelta.replay` of a ClearElrRecord: a change of each partition that has any, which counts as one.
    fn clear_elr(&mut self, name: Option<String>) -> Result<(), ImageError> {
        let one = match name {
            Some(name) => Some(self.names.get(&name).copied().ok_or(ImageError::NoTopicNamed { name })?),
            None => None,
        };
        let topics = self.topics.values_mut().filter(|topic| one.is_none_or(|id| topic.topic_id == id));
        for partition in topics.flat_map(|topic| topic.partitions.values_mut()) {
            if !partition.elr.is_empty() || !partition.last_known_elr.is_empty() {
                partition.elr.clear();
                partition.last_known_elr.clear();
                partition.partition_epoch = partition.partition_epoch.wrapping_add(1);
            }
        }
        Ok(())
    }
}

/// `LeaderRecoveryState.of`.
fn check_recovery_state(found: i32) -> Result<(), ImageError> {
    match found {
        0 | 1 => Ok(()),
        found => Err(ImageError::Field { field: "leaderRecoveryState", found }),
    }
}

/// `PartitionRegistration.defaultToMigrating`: a partition without directories has the reserved one for each replica.
fn default_to_migrating(partition: &mut PartitionRecord) -> Result<(), ImageError> {
    let replicas = partition.replicas.len();
    if partition.directories.iter().all(|id| *id == Uuid::ZERO) {
        partition.directories = vec![Uuid::ZERO; replicas];
    }
    let directories = partition.directories.len();
    if directories == replicas {
        return Ok(());
    }
    let PartitionRecord { topic_id, partition, .. } = *partition;
    Err(ImageError::Directories { topic_id, partition, replicas, directories })
}

/// As `Uuid.compareTo`: two numbers with a sign.
fn sort_directories(directories: &mut [Uuid]) {
    const SIGNS: u128 = (1 << 127) | (1 << 63);
    directories.sort_by_key(|id| u128::from_be_bytes(id.0) ^ SIGNS);
}

/// `ScramMechanism.fromType`.
fn known_mechanism(mechanism: i32) -> i32 {
    if matches!(mechanism, 1 | 2) { mechanism } else { 0 }
}
