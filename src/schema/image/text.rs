//! Leaves as Kafka's metadata shell prints them (`toString` of its classes), and Kafka's names of numbers.
//!
//! What is secret is `[redacted]` unless it is asked for: salts and keys of SCRAM credentials, settings of the type
//! PASSWORD, which KRaft stores as they are. The HMAC of a delegation token is in no record.

use std::fmt::Write as _;

use super::super::message::java_double;
use super::super::metadata::{
    AccessControlEntry, BrokerRegistration, ControllerRegistration, DelegationToken, Endpoint, PartitionRecord,
    QuotaEntity, ScramCredential, Secret, VersionRange, Voter,
};
use super::{ConfigResource, Leaf, Provenance};
use crate::types::{TimestampMs, Uuid};

/// Whether secrets are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// They are `[redacted]`.
    Hidden,
    /// They are shown.
    Shown,
}

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

impl Leaf<'_> {
    /// Kafka's text of it.
    pub fn text(&self, secrets: Secrets) -> String {
        match self {
            Leaf::Provenance(None) => "unknown".to_owned(),
            Leaf::Provenance(Some(provenance)) => provenance_text(provenance),
            Leaf::MetadataVersion(None) => "Optional.empty".to_owned(),
            Leaf::MetadataVersion(Some(level)) => format!("Optional[{}]", feature_level(*level)),
            Leaf::Feature(level) => level.to_string(),
            Leaf::Broker(broker) => broker_text(broker),
            Leaf::Controller(controller) => controller_text(controller),
            Leaf::TopicName(name) => (*name).to_owned(),
            Leaf::TopicId(id) => id.to_string(),
            Leaf::Partition(partition) => partition_text(partition),
            Leaf::Config { name, .. } if secrets == Secrets::Hidden && is_secret_config(name) => REDACTED.to_owned(),
            Leaf::Config { value, .. } => (*value).to_owned(),
            Leaf::Quota(quota) => java_double(quota.get()),
            Leaf::NextProducerId(id) => id.to_string(),
            Leaf::AccessControlEntry(entry) => acl_text(entry),
            Leaf::ScramCredential(credential) => scram_text(credential, secrets),
            Leaf::DelegationToken(token) => token_text(token),
            Leaf::Leader(None) => "unknown".to_owned(),
            Leaf::Leader(Some((leader, epoch))) => format!("{leader}, epoch {epoch}"),
            Leaf::KRaftVersion(level) => level.to_string(),
            Leaf::Voter(voter) => voter_text(voter),
        }
    }
}

/// Whether a setting's value is a secret: those of the type PASSWORD in `KafkaConfig`, also with a listener's prefix.
pub fn is_secret_config(name: &str) -> bool {
    const ENDS: [&str; 8] = [
        "password",
        "passphrase",
        "secret",
        "secret.key",
        "sasl.jaas.config",
        "ssl.keystore.key",
        "ssl.keystore.certificate.chain",
        "ssl.truststore.certificates",
    ];
    ENDS.iter().any(|end| name.ends_with(end))
}

/// `ConfigResource.Type`.
pub fn resource_type(id: i32) -> &'static str {
    match id {
        2 => "TOPIC",
        4 => "BROKER",
        8 => "BROKER_LOGGER",
        16 => "CLIENT_METRICS",
        32 => "GROUP",
        _ => "UNKNOWN",
    }
}

/// `TOPIC:orders`; `BROKER` alone for the default of all (`ConfigurationsImageNode`).
pub fn resource_name(resource: &ConfigResource) -> String {
    let kind = resource_type(resource.resource_type);
    if resource.name.is_empty() { kind.to_owned() } else { format!("{kind}:{}", resource.name) }
}

/// `clientId(a)_user(b)` (`ClientQuotasImageNode`); the default of a type is `<default>`.
pub fn quota_entity(entity: &QuotaEntity) -> String {
    let mut text = String::new();
    // In this order, and any other type behind them.
    let known = [("client-id", "clientId"), ("ip", "ip"), ("user", "user")];
    let others = entity.keys().filter(|kind| known.iter().all(|(known, _)| known != kind));
    let kinds = known.into_iter().chain(others.map(|kind| (kind.as_str(), kind.as_str())));
    for (kind, shown) in kinds {
        let Some(name) = entity.get(kind) else { continue };
        if !text.is_empty() {
            text.push('_');
        }
        let name = match name {
            None => "<default>".to_owned(),
            // So that the default is one name only.
            Some(name) if name == "<default>" => "\\<default>".to_owned(),
            Some(name) => name.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)"),
        };
        let _ = write!(text, "{shown}({name})");
    }
    text
}

/// `ScramMechanism.mechanismName`.
pub fn scram_mechanism(id: i32) -> &'static str {
    match id {
        1 => "SCRAM-SHA-256",
        2 => "SCRAM-SHA-512",
        _ => "UNKNOWN",
    }
}

/// `SecurityProtocol`; `null` for a number that is none, as in Kafka's texts.
pub fn security_protocol(id: i32) -> &'static str {
    match id {
        0 => "PLAINTEXT",
        1 => "SSL",
        2 => "SASL_PLAINTEXT",
        3 => "SASL_SSL",
        _ => "null",
    }
}

/// `ResourceType` of an access control entry.
pub fn acl_resource(id: i32) -> &'static str {
    let names = ["ANY", "TOPIC", "GROUP", "CLUSTER", "TRANSACTIONAL_ID", "DELEGATION_TOKEN", "USER"];
    named(id, &names)
}

/// `PatternType`.
pub fn pattern_type(id: i32) -> &'static str {
    named(id, &["ANY", "MATCH", "LITERAL", "PREFIXED"])
}

/// `AclOperation`.
pub fn acl_operation(id: i32) -> &'static str {
    let names = [
        "ANY",
        "ALL",
        "READ",
        "WRITE",
        "CREATE",
        "DELETE",
        "ALTER",
        "DESCRIBE",
        "CLUSTER_ACTION",
        "DESCRIBE_CONFIGS",
        "ALTER_CONFIGS",
        "IDEMPOTENT_WRITE",
        "CREATE_TOKENS",
        "DESCRIBE_TOKENS",
        "TWO_PHASE_COMMIT",
    ];
    named(id, &names)
}

/// `AclPermissionType`.
pub fn acl_permission(id: i32) -> &'static str {
    named(id, &["ANY", "DENY", "ALLOW"])
}

/// The names from 1 on.
fn named(id: i32, names: &[&'static str]) -> &'static str {
    let at = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
    at.and_then(|at| names.get(at)).copied().unwrap_or("UNKNOWN")
}

/// `MetadataVersion` of a level, `4.3-IV0`; the bare number of one that Kafka 4.3 does not have.
pub fn feature_level(level: i32) -> String {
    const FIRST: i32 = 7;
    const VERSIONS: [&str; 25] = [
        "3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2", "3.7-IV0", "3.7-IV1",
        "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0", "4.0-IV0", "4.0-IV1", "4.0-IV2", "4.0-IV3", "4.1-IV0",
        "4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0", "4.4-IV0",
    ];
    let at = level.checked_sub(FIRST).and_then(|at| usize::try_from(at).ok());
    at.and_then(|at| VERSIONS.get(at)).map_or_else(|| level.to_string(), |version| (*version).to_owned())
}

/// As `Arrays.toString`.
fn list<T: std::fmt::Display>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", texts.join(", "))
}

fn partition_text(p: &PartitionRecord) -> String {
    let recovery = if p.leader_recovery_state == 1 { "RECOVERING" } else { "RECOVERED" };
    format!(
        "PartitionRegistration(replicas={}, directories={}, isr={}, removingReplicas={}, addingReplicas={}, elr={}, \
         lastKnownElr={}, leader={}, leaderRecoveryState={recovery}, leaderEpoch={}, partitionEpoch={})",
        list(&p.replicas),
        list(&p.directories),
        list(&p.isr),
        list(&p.removing_replicas),
        list(&p.adding_replicas),
        list(&p.elr),
        list(&p.last_known_elr),
        p.leader,
        p.leader_epoch,
        p.partition_epoch
    )
}

fn listeners_text(listeners: &std::collections::BTreeMap<String, Endpoint>) -> String {
    let text = |(name, endpoint): (&String, &Endpoint)| {
        format!(
            "Endpoint(listenerName='{name}', securityProtocol={}, host='{}', port={})",
            security_protocol(endpoint.security_protocol),
            endpoint.host,
            endpoint.port
        )
    };
    let texts: Vec<String> = listeners.iter().map(text).collect();
    texts.join(", ")
}

fn features_text(features: &std::collections::BTreeMap<String, VersionRange>) -> String {
    let texts: Vec<String> = features.iter().map(|(name, range)| format!("{name}: {}", range_text(*range))).collect();
    texts.join(", ")
}

/// `VersionRange.toString`.
fn range_text(range: VersionRange) -> String {
    let VersionRange { min, max } = range;
    if min == max {
        min.to_string()
    } else if max == i32::from(i16::MAX) {
        format!("{min}+")
    } else {
        format!("{min}-{max}")
    }
}

fn broker_text(b: &BrokerRegistration) -> String {
    let rack = b.rack.as_ref().map_or_else(|| "Optional.empty".to_owned(), |rack| format!("Optional[{rack}]"));
    let cordoned = b.cordoned_directories.as_ref().map_or_else(|| "null".to_owned(), |dirs| list(dirs));
    format!(
        "BrokerRegistration(id={}, epoch={}, incarnationId={}, listeners=[{}], supportedFeatures={{{}}}, rack={rack}, \
         fenced={}, inControlledShutdown={}, isMigratingZkBroker={}, directories={}, cordonedDirectories={cordoned})",
        b.broker_id,
        b.broker_epoch,
        b.incarnation_id,
        listeners_text(&b.listeners),
        features_text(&b.features),
        b.fenced,
        b.in_controlled_shutdown,
        b.is_migrating_zk_broker,
        list(&b.directories),
    )
}

fn controller_text(c: &ControllerRegistration) -> String {
    format!(
        "ControllerRegistration(id={}, incarnationId={}, zkMigrationReady={}, listeners=[{}], supportedFeatures={{{}}})",
        c.controller_id,
        c.incarnation_id,
        c.zk_migration_ready,
        listeners_text(&c.listeners),
        features_text(&c.features),
    )
}

/// `StandardAcl`, a record of Java.
fn acl_text(a: &AccessControlEntry) -> String {
    format!(
        "StandardAcl[resourceType={}, resourceName={}, patternType={}, principal={}, host={}, operation={}, \
         permissionType={}]",
        acl_resource(a.resource_type),
        a.resource_name,
        pattern_type(a.pattern_type),
        a.principal,
        a.host,
        acl_operation(a.operation),
        acl_permission(a.permission_type),
    )
}

fn scram_text(credential: &ScramCredential, secrets: Secrets) -> String {
    let hex = |secret: &Secret| match secrets {
        Secrets::Hidden => REDACTED.to_owned(),
        Secrets::Shown => data_encoding::HEXLOWER.encode(&secret.0),
    };
    format!(
        "ScramCredentialData(salt={}, storedKey={}, serverKey={}, iterations={})",
        hex(&credential.salt),
        hex(&credential.stored_key),
        hex(&credential.server_key),
        credential.iterations
    )
}

/// `DelegationTokenDataNode`, its unbalanced parentheses included.
fn token_text(t: &DelegationToken) -> String {
    format!(
        "DelegationTokenDatatokenId={}(owner={}(tokenRequester={}(renewers={}, issueTimestamp={}, maxTimestamp={}), \
         expiryTimestamp={}",
        t.token_id,
        t.owner,
        t.requester,
        t.renewers.join(" "),
        t.issue_timestamp_ms,
        t.max_timestamp_ms,
        t.expiration_timestamp_ms
    )
}

fn voter_text(v: &Voter) -> String {
    let endpoint = |e: &super::super::metadata::VoterEndpoint| format!("{}://{}:{}", e.name, e.host, e.port);
    let endpoints: Vec<String> = v.endpoints.iter().map(endpoint).collect();
    let directory = if v.directory_id == Uuid::ZERO { "unknown".to_owned() } else { v.directory_id.to_string() };
    let (min, max) = v.kraft_version;
    format!("Voter(directoryId={directory}, endpoints=[{}], supportedKRaftVersion={min}-{max})", endpoints.join(", "))
}

fn provenance_text(p: &Provenance) -> String {
    let time = zoned(p.last_contained_log_timestamp_ms);
    format!("offset {}, epoch {}, time {time}", p.last_contained_offset, p.last_contained_epoch)
}

/// `DateTimeFormatter.ISO_ZONED_DATE_TIME` in the zone UTC: no fraction of zero, no zeros at its end.
fn zoned(ms: TimestampMs) -> String {
    let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Days to civil date, by eras of 400 years.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes, seconds) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1_000 % 60);
    let mut fraction = match in_day % 1_000 {
        0 => String::new(),
        ms => format!(".{ms:03}"),
    };
    while fraction.ends_with('0') {
        fraction.pop();
    }
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}{fraction}Z[UTC]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_java_does() {
        for (ms, expected) in [
            (1_760_000_000_148, "2025-10-09T08:53:20.148Z[UTC]"),
            (1_760_000_000_100, "2025-10-09T08:53:20.1Z[UTC]"),
            (1_709_164_800_000, "2024-02-29T00:00:00Z[UTC]"),
            (0, "1970-01-01T00:00:00Z[UTC]"),
            (-1, "1969-12-31T23:59:59.999Z[UTC]"),
        ] {
            assert_eq!(zoned(ms), expected, "{ms}");
        }
        for extreme in [i64::MIN, i64::MAX] {
            zoned(extreme);
        }
    }

    #[test]
    fn entities_of_quotas_have_one_name_each() {
        let entity = |parts: &[(&str, Option<&str>)]| -> QuotaEntity {
            parts.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned))).collect()
        };
        for (parts, expected) in [
            (&[("user", Some("al(ice)")), ("client-id", Some("c\\"))][..], "clientId(c\\\\)_user(al\\(ice\\))"),
            (&[("user", None)], "user(<default>)"),
            (&[("user", Some("<default>"))], "user(\\<default>)"),
            (&[("ip", Some("10.0.0.1"))], "ip(10.0.0.1)"),
            (&[("colour", Some("red"))], "colour(red)"),
            (&[], ""),
        ] {
            assert_eq!(quota_entity(&entity(parts)), expected);
        }
    }

    #[test]
    fn secrets_are_hidden_unless_asked_for() {
        let secret = |byte| Secret(vec![byte; 3]);
        let credential =
            ScramCredential { salt: secret(1), stored_key: secret(2), server_key: secret(0xab), iterations: 4096 };
        let leaf = Leaf::ScramCredential(&credential);
        let hidden =
            "ScramCredentialData(salt=[redacted], storedKey=[redacted], serverKey=[redacted], iterations=4096)";
        assert_eq!(leaf.text(Secrets::Hidden), hidden);
        let shown = "ScramCredentialData(salt=010101, storedKey=020202, serverKey=ababab, iterations=4096)";
        assert_eq!(leaf.text(Secrets::Shown), shown);
        assert!(!format!("{credential:?}").contains("171"));
        for (name, is_secret) in [
            ("ssl.keystore.password", true),
            ("listener.name.external.plain.sasl.jaas.config", true),
            ("delegation.token.secret.key", true),
            ("retention.ms", false),
            ("ssl.keystore.location", false),
        ] {
            let leaf = Leaf::Config { resource_type: 4, name, value: "x" };
            assert_eq!(leaf.text(Secrets::Hidden) == "[redacted]", is_secret, "{name}");
            assert_eq!(leaf.text(Secrets::Shown), "x");
        }
    }

    #[test]
    fn numbers_have_kafkas_names() {
        assert_eq!(
            (feature_level(30), feature_level(7), feature_level(6)),
            ("4.3-IV0".into(), "3.3-IV3".into(), "6".into())
        );
        assert_eq!((acl_operation(3), acl_operation(15), acl_operation(0)), ("READ", "TWO_PHASE_COMMIT", "UNKNOWN"));
        assert_eq!((acl_permission(3), pattern_type(4), acl_resource(7)), ("ALLOW", "PREFIXED", "USER"));
    }
}
