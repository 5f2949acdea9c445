//! A classic group: its members choose among themselves who gets what (`GroupMetadataValue`, `ClassicGroup`).

use std::borrow::Cow;

use super::tables::GROUP_METADATA_VALUE_MEMBER_METADATA;
use super::{ids, record_type};
use crate::schema::consumer_protocol::{Assignment, ConsumerProtocolError, PROTOCOL_TYPE, Subscription};
use crate::schema::message::{Fields, SchemaError, Value};
use crate::types::{TimestampMs, Uuid};

/// What its newest record says of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassicGroup {
    /// What the members are: "consumer" for Kafka's own; `None` for a group without.
    pub protocol_type: Option<String>,
    /// Number of its last completed rebalance.
    pub generation: i32,
    /// Name of the assignor that all members know; `None` in an empty group.
    pub protocol: Option<String>,
    /// Id of the member that ran it.
    pub leader: Option<String>,
    /// When the group came into its present state, in ms since the epoch, where that was written.
    pub state_ms: Option<TimestampMs>,
    /// Its members, in the order of the record.
    pub members: Vec<ClassicMember>,
}

/// A member of a classic group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassicMember {
    /// Its id.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Where it connected from.
    pub client_host: String,
    /// How long it may take to join again, in ms.
    pub rebalance_timeout_ms: i32,
    /// After how much silence it counts as gone, in ms.
    pub session_timeout_ms: i32,
    /// What it subscribes to, in bytes of the group's protocol.
    pub subscription: Vec<u8>,
    /// What it was given, in bytes of the group's protocol.
    pub assignment: Vec<u8>,
}

/// Version in which Kafka 4.3 writes (`GroupCoordinatorRecordHelpers.newGroupMetadataRecord`).
const VERSION: i16 = 3;

impl ClassicGroup {
    /// Id of the group that a key names.
    pub fn key_of(key: &Fields<'_>) -> String {
        key.text("group")
    }

    /// Reads the fields of a value.
    pub fn of(value: &Fields<'_>) -> ClassicGroup {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        ClassicGroup {
            protocol_type: some(value.nullable_text("protocolType")),
            generation: value.int("generation"),
            protocol: value.nullable_text("protocol"),
            leader: value.nullable_text("leader"),
            state_ms: Some(value.long("currentStateTimestamp")).filter(|ms| *ms != -1),
            members: value.structs("members").map(ClassicMember::of).collect(),
        }
    }

    /// Bytes of the key of group `id`.
    pub fn key_bytes(id: &str) -> Result<Vec<u8>, SchemaError> {
        let kind = record_type(ids::GROUP_METADATA);
        kind.key_bytes(&kind.new_key().with("group", text_value(id)))
    }

    /// Bytes of the value, in the version Kafka 4.3 writes it in.
    pub fn value_bytes(&self) -> Result<Vec<u8>, SchemaError> {
        let kind = record_type(ids::GROUP_METADATA);
        let empty = || Fields::of_defaults(GROUP_METADATA_VALUE_MEMBER_METADATA, VERSION);
        let members = self.members.iter().map(|member| Value::Struct(member.fields(empty())));
        let value = kind
            .value
            .fields(VERSION)
            .with("protocolType", text_value(self.protocol_type.as_deref().unwrap_or_default()))
            .with("generation", Value::Number(self.generation.into()))
            .with("protocol", nullable_value(self.protocol.as_deref()))
            .with("leader", nullable_value(self.leader.as_deref()))
            .with("currentStateTimestamp", Value::Number(self.state_ms.unwrap_or(-1)))
            .with("members", Value::Array(members.collect()));
        kind.value_bytes(&value)
    }

    /// Whether its members speak the consumer protocol.
    pub fn is_consumer(&self) -> bool {
        self.protocol_type.as_deref() == Some(PROTOCOL_TYPE)
    }

    /// As it is loaded (`GroupMetadataManager.replay`): in the middle of a rebalance nothing is written.
    pub const fn state(&self) -> &'static str {
        if self.members.is_empty() { "Empty" } else { "Stable" }
    }
}

impl ClassicMember {
    fn of(fields: &Fields<'_>) -> ClassicMember {
        let session_timeout_ms = fields.int("sessionTimeout");
        let rebalance = fields.int("rebalanceTimeout");
        ClassicMember {
            id: fields.text("memberId"),
            instance_id: fields.nullable_text("groupInstanceId"),
            client_id: fields.text("clientId"),
            client_host: fields.text("clientHost"),
            rebalance_timeout_ms: if rebalance == -1 { session_timeout_ms } else { rebalance },
            session_timeout_ms,
            subscription: fields.bytes("subscription").to_vec(),
            assignment: fields.bytes("assignment").to_vec(),
        }
    }

    fn fields<'a>(&'a self, fields: Fields<'a>) -> Fields<'a> {
        fields
            .with("memberId", text_value(&self.id))
            .with("groupInstanceId", nullable_value(self.instance_id.as_deref()))
            .with("clientId", text_value(&self.client_id))
            .with("clientHost", text_value(&self.client_host))
            .with("rebalanceTimeout", Value::Number(self.rebalance_timeout_ms.into()))
            .with("sessionTimeout", Value::Number(self.session_timeout_ms.into()))
            .with("subscription", Value::Bytes(&self.subscription))
            .with("assignment", Value::Bytes(&self.assignment))
    }

    /// Its subscription, in a group of consumers.
    pub fn parse_subscription(&self) -> Result<Subscription, ConsumerProtocolError> {
        Subscription::parse(&self.subscription)
    }

    /// Its assignment, in a group of consumers; nothing was assigned where there are no bytes.
    pub fn parse_assignment(&self) -> Result<Assignment, ConsumerProtocolError> {
        if self.assignment.is_empty() { Ok(Assignment::default()) } else { Assignment::parse(&self.assignment) }
    }
}

fn text_value(text: &str) -> Value<'_> {
    Value::String(Cow::Borrowed(text))
}

fn nullable_value(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, text_value)
}

/// A member id as a broker makes one: the client's id or the static member's, and a random part
/// (`ClassicGroup.generateMemberId`).
pub fn new_member_id(client_id: &str, instance_id: Option<&str>, random: Uuid) -> String {
    format!("{}-{}", instance_id.unwrap_or(client_id), hyphenated(random))
}

/// As `java.util.UUID.toString` has it.
fn hyphenated(id: Uuid) -> String {
    let hex: String = id.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}
