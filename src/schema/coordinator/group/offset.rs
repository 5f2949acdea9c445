//! A committed offset (`OffsetCommitKey`, `OffsetCommitValue`, `OffsetAndMetadata`).

use std::borrow::Cow;

use super::{ids, record_type};
use crate::schema::message::{Fields, SchemaError, Value};
use crate::types::{LeaderEpoch, Offset, TimestampMs, TopicPartition, Uuid};

/// What a group has committed for a partition: where it goes on reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset it will read.
    pub offset: Offset,
    /// Leader epoch of the last record it has read, where its client said so.
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the client wrote beside it.
    pub metadata: String,
    /// When it was committed, in ms since the epoch.
    pub commit_ms: TimestampMs,
    /// When it expires, whatever the retention: clients before 2.1 could say so.
    pub expire_ms: Option<TimestampMs>,
    /// The topic's id, where its client knew it.
    pub topic_id: Option<Uuid>,
}

/// Versions in which Kafka 4.3 writes (`GroupCoordinatorRecordHelpers.offsetCommitValueVersion`).
const VERSION: i16 = 4;
/// The only version with a time of expiry.
const VERSION_WITH_EXPIRY: i16 = 1;

impl CommittedOffset {
    /// Whose it is, of the fields of a key of either kind: the group and the partition.
    pub fn key_of(key: &Fields<'_>) -> (String, TopicPartition) {
        (key.text("group"), TopicPartition::new(key.text("topic"), key.int("partition")))
    }

    /// Reads the fields of a value.
    pub fn of(value: &Fields<'_>) -> CommittedOffset {
        let known = |number: i64| Some(number).filter(|number| *number >= 0);
        let epoch = value.get("leaderEpoch").map_or(-1, |_| value.int("leaderEpoch"));
        let topic_id = match value.get("topicId") {
            Some(Value::Uuid(id)) => Some(*id).filter(|id| *id != Uuid::default()),
            _ => None,
        };
        CommittedOffset {
            offset: Offset::new(value.long("offset")),
            leader_epoch: Some(LeaderEpoch(epoch)).filter(|epoch| epoch.0 >= 0),
            metadata: value.text("metadata"),
            commit_ms: value.long("commitTimestamp"),
            expire_ms: value.get("expireTimestamp").and_then(|_| known(value.long("expireTimestamp"))),
            topic_id,
        }
    }

    /// Bytes of the key of `group` and `partition`.
    pub fn key_bytes(group: &str, partition: &TopicPartition) -> Result<Vec<u8>, SchemaError> {
        let kind = record_type(ids::OFFSET_COMMIT);
        let text = |text| Value::String(Cow::Borrowed(text));
        let key = kind.new_key().with("group", text(group)).with("topic", text(&partition.topic));
        kind.key_bytes(&key.with("partition", Value::Number(partition.partition.into())))
    }

    /// Bytes of the value, in the version Kafka 4.3 writes it in.
    pub fn value_bytes(&self) -> Result<Vec<u8>, SchemaError> {
        let kind = record_type(ids::OFFSET_COMMIT);
        let version = if self.expire_ms.is_some() { VERSION_WITH_EXPIRY } else { VERSION };
        let value = kind
            .value
            .fields(version)
            .with("offset", Value::Number(self.offset.get()))
            .with("leaderEpoch", Value::Number(self.leader_epoch.map_or(-1, |epoch| epoch.0).into()))
            .with("metadata", Value::String(Cow::Borrowed(&self.metadata)))
            .with("commitTimestamp", Value::Number(self.commit_ms))
            .with("expireTimestamp", Value::Number(self.expire_ms.unwrap_or(-1)))
            .with("topicId", Value::Uuid(self.topic_id.unwrap_or_default()));
        kind.value_bytes(&value)
    }

    /// Whether a broker removes it now (`OffsetExpirationConditionImpl`): past its own time, or `retention_ms` after `base_ms`,
    /// which is when it was committed or when its group became empty.
    pub fn is_expired(&self, base_ms: TimestampMs, retention_ms: i64, now_ms: TimestampMs) -> bool {
        match self.expire_ms {
            Some(expire_ms) => now_ms >= expire_ms,
            None => now_ms.saturating_sub(base_ms) >= retention_ms,
        }
    }
}
