//! Which nodes of the tree a record is about.

use super::super::metadata::{ControlRecord, Record};
use super::text::{quota_entity, resource_name, scram_mechanism};
use super::{ConfigResource, METADATA_VERSION, MetadataImage, TOPIC, escape};
use crate::types::Uuid;

/// Paths of the nodes that `record`, applied to `image`, can change: these and what is below them.
///
/// None for a record about a topic that `image` does not have.
pub fn touched(record: &Record, image: &MetadataImage) -> Vec<String> {
    let topic = |id: Uuid| image.topic(id).map(|topic| topic_path(&topic.name));
    match record {
        Record::RegisterBroker(broker) => vec![broker_path(broker.broker_id)],
        Record::UnregisterBroker { broker_id, .. }
        | Record::FenceBroker { broker_id, .. }
        | Record::UnfenceBroker { broker_id, .. } => vec![broker_path(*broker_id)],
        Record::BrokerRegistrationChange(change) => vec![broker_path(change.broker_id)],
        Record::RegisterController(controller) => {
            vec![format!("/image/cluster/controllers/{}", controller.controller_id)]
        }
        Record::Topic { name, .. } => vec![topic_path(name)],
        Record::Partition(record) => partition_path(topic(record.topic_id), record.partition),
        Record::PartitionChange(change) => partition_path(topic(change.topic_id), change.partition),
        Record::RemoveTopic { topic_id } => match image.topic(*topic_id) {
            Some(topic) => vec![topic_path(&topic.name), config_path(TOPIC, &topic.name)],
            None => Vec::new(),
        },
        Record::Config { resource_type, resource_name, name, .. } => {
            vec![format!("{}/{}", config_path(*resource_type, resource_name), escape(name))]
        }
        Record::FeatureLevel { name, .. } if name == METADATA_VERSION => {
            vec!["/image/features/metadataVersion".to_owned()]
        }
        Record::FeatureLevel { name, .. } => vec![format!("/image/features/finalized_{}", escape(name))],
        Record::ClientQuota { entity, key, .. } => {
            vec![format!("/image/clientQuotas/{}/{}", escape(&quota_entity(entity)), escape(key))]
        }
        Record::ProducerIds { .. } => vec!["/image/producerIds/nextProducerId".to_owned()],
        Record::AccessControlEntry { id, .. } | Record::RemoveAccessControlEntry { id } => {
            vec![format!("/image/acls/byId/{id}")]
        }
        Record::ScramCredential { user, mechanism, .. } | Record::RemoveScramCredential { user, mechanism } => {
            vec![format!("/image/scram/{}/{}", scram_mechanism(*mechanism), escape(user))]
        }
        Record::DelegationToken(token) => vec![token_path(&token.token_id)],
        Record::RemoveDelegationToken { token_id } => vec![token_path(token_id)],
        Record::ClearElr { topic: Some(name) } => vec![topic_path(name)],
        Record::ClearElr { topic: None } => vec!["/image/topics/byName".to_owned()],
        Record::NoOp
        | Record::ZkMigrationState { .. }
        | Record::BeginTransaction
        | Record::EndTransaction
        | Record::AbortTransaction
        | Record::Unknown { .. } => Vec::new(),
    }
}

impl ControlRecord {
    /// Paths of the nodes that it can change: these and what is below them.
    pub fn touched(&self) -> &'static [&'static str] {
        match self {
            ControlRecord::LeaderChange { .. } => &["/quorum/leader", "/quorum/voters"],
            ControlRecord::KRaftVersion { .. } => &["/quorum/kraftVersion"],
            ControlRecord::Voters { .. } => &["/quorum/voters"],
            ControlRecord::SnapshotHeader { .. } | ControlRecord::SnapshotFooter | ControlRecord::Unknown { .. } => &[],
        }
    }
}

fn topic_path(name: &str) -> String {
    format!("/image/topics/byName/{}", escape(name))
}

fn partition_path(topic: Option<String>, partition: i32) -> Vec<String> {
    topic.into_iter().map(|topic| format!("{topic}/{partition}")).collect()
}

fn broker_path(broker_id: i32) -> String {
    format!("/image/cluster/brokers/{broker_id}")
}

fn config_path(resource_type: i32, name: &str) -> String {
    let resource = ConfigResource { resource_type, name: name.to_owned() };
    format!("/image/configs/{}", escape(&resource_name(&resource)))
}

fn token_path(id: &str) -> String {
    format!("/image/delegationToken/{}", escape(id))
}
