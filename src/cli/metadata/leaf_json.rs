//! Nodes as JSON: directories are objects, leaves what they hold, with Kafka's names in snake_case.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::schema::image::{
    Leaf, Node, Secrets, acl_operation, acl_permission, acl_resource, feature_level, is_secret_config, pattern_type,
    security_protocol,
};
use crate::schema::metadata::{Endpoint, PartitionRecord, Secret, VersionRange};
use crate::types::Uuid;

/// What a secret is where secrets are hidden.
const REDACTED: &str = "[redacted]";

/// A node and all below it.
pub fn node(node: Node<'_>, secrets: Secrets) -> Value {
    match node.leaf() {
        Some(found) => leaf(&found, secrets),
        None => {
            Value::Object(node.children().into_iter().map(|(name, child)| (name, self::node(child, secrets))).collect())
        }
    }
}

/// A leaf.
pub fn leaf(leaf: &Leaf<'_>, secrets: Secrets) -> Value {
    match leaf {
        Leaf::Provenance(None) | Leaf::MetadataVersion(None) | Leaf::Leader(None) => Value::Null,
        Leaf::Provenance(Some(provenance)) => json!({
            "last_contained_offset": provenance.last_contained_offset.get(),
            "last_contained_epoch": provenance.last_contained_epoch.0,
            "last_contained_log_timestamp_ms": provenance.last_contained_log_timestamp_ms,
        }),
        Leaf::MetadataVersion(Some(level)) => json!({ "level": level, "version": feature_level(*level) }),
        Leaf::Feature(level) | Leaf::KRaftVersion(level) => Value::from(*level),
        Leaf::Broker(broker) => json!({
            "broker_id": broker.broker_id,
            "broker_epoch": broker.broker_epoch,
            "incarnation_id": broker.incarnation_id.to_string(),
            "listeners": listeners(&broker.listeners),
            "features": features(&broker.features),
            "rack": broker.rack,
            "fenced": broker.fenced,
            "in_controlled_shutdown": broker.in_controlled_shutdown,
            "is_migrating_zk_broker": broker.is_migrating_zk_broker,
            "directories": ids(&broker.directories),
            "cordoned_directories": broker.cordoned_directories.as_ref().map(|dirs| ids(dirs)),
        }),
        Leaf::Controller(controller) => json!({
            "controller_id": controller.controller_id,
            "incarnation_id": controller.incarnation_id.to_string(),
            "zk_migration_ready": controller.zk_migration_ready,
            "listeners": listeners(&controller.listeners),
            "features": features(&controller.features),
        }),
        Leaf::TopicName(name) => Value::from(*name),
        Leaf::TopicId(id) => Value::from(id.to_string()),
        Leaf::Partition(record) => partition(record),
        Leaf::Config { name, .. } if secrets == Secrets::Hidden && is_secret_config(name) => Value::from(REDACTED),
        Leaf::Config { value, .. } => Value::from(*value),
        Leaf::Quota(quota) => Value::from(quota.get()),
        Leaf::NextProducerId(id) => Value::from(*id),
        Leaf::AccessControlEntry(entry) => json!({
            "resource_type": acl_resource(entry.resource_type),
            "resource_name": entry.resource_name,
            "pattern_type": pattern_type(entry.pattern_type),
            "principal": entry.principal,
            "host": entry.host,
            "operation": acl_operation(entry.operation),
            "permission_type": acl_permission(entry.permission_type),
        }),
        Leaf::ScramCredential(credential) => json!({
            "salt": secret(&credential.salt, secrets),
            "stored_key": secret(&credential.stored_key, secrets),
            "server_key": secret(&credential.server_key, secrets),
            "iterations": credential.iterations,
        }),
        Leaf::DelegationToken(token) => json!({
            "token_id": token.token_id,
            "owner": token.owner,
            "requester": token.requester,
            "renewers": token.renewers,
            "issue_timestamp_ms": token.issue_timestamp_ms,
            "max_timestamp_ms": token.max_timestamp_ms,
            "expiration_timestamp_ms": token.expiration_timestamp_ms,
        }),
        Leaf::Leader(Some((leader_id, epoch))) => json!({ "leader_id": leader_id, "leader_epoch": epoch.0 }),
        Leaf::Voter(voter) => json!({
            "voter_id": voter.voter_id,
            "directory_id": (voter.directory_id != Uuid::ZERO).then(|| voter.directory_id.to_string()),
            "endpoints": voter
                .endpoints
                .iter()
                .map(|endpoint| json!({ "name": endpoint.name, "host": endpoint.host, "port": endpoint.port }))
                .collect::<Vec<_>>(),
            "min_kraft_version": voter.kraft_version.0,
            "max_kraft_version": voter.kraft_version.1,
        }),
    }
}

fn partition(record: &PartitionRecord) -> Value {
    json!({
        "replicas": record.replicas,
        "directories": ids(&record.directories),
        "isr": record.isr,
        "removing_replicas": record.removing_replicas,
        "adding_replicas": record.adding_replicas,
        "elr": record.elr,
        "last_known_elr": record.last_known_elr,
        "leader": record.leader,
        "leader_recovery_state": if record.leader_recovery_state == 1 { "recovering" } else { "recovered" },
        "leader_epoch": record.leader_epoch,
        "partition_epoch": record.partition_epoch,
    })
}

fn ids(ids: &[Uuid]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn listeners(listeners: &BTreeMap<String, Endpoint>) -> Map<String, Value> {
    let listener = |(name, endpoint): (&String, &Endpoint)| {
        let protocol = security_protocol(endpoint.security_protocol);
        (name.clone(), json!({ "host": endpoint.host, "port": endpoint.port, "security_protocol": protocol }))
    };
    listeners.iter().map(listener).collect()
}

fn features(features: &BTreeMap<String, VersionRange>) -> Map<String, Value> {
    let feature =
        |(name, range): (&String, &VersionRange)| (name.clone(), json!({ "min": range.min, "max": range.max }));
    features.iter().map(feature).collect()
}

fn secret(secret: &Secret, secrets: Secrets) -> String {
    match secrets {
        Secrets::Hidden => REDACTED.to_owned(),
        Secrets::Shown => data_encoding::HEXLOWER.encode(&secret.0),
    }
}
