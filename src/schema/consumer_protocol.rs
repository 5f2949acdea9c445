//! What the members of a classic consumer group tell each other: subscriptions, and assignments in return.
//!
//! ```text
//! i16 version | fields, never flexible
//! ```
//!
//! (`ConsumerProtocol` of Kafka 4.3.) They are the `subscription` and `assignment` bytes of a group whose protocol
//! type is `consumer`; other types (Connect's `connect`) have bytes of their own. A version above those of the
//! tables is read as the newest one.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use super::coordinator::prefixed;
use super::message::{Default, Field, Fields, Kind, Message, SchemaError, Value};
use crate::java_map;
use crate::partitioner::java_string_hash;
use crate::types::TopicPartition;
use crate::wire::Reader;

const ARRAY_I32: Kind = Kind::Array(&Kind::I32);
const ARRAY_STRING: Kind = Kind::Array(&Kind::String);
const CONSUMER_PROTOCOL_SUBSCRIPTION_TOPIC_PARTITION: &[Field] =
    &[Field::new("topic", Kind::String).since(1), Field::new("partitions", ARRAY_I32).since(1)];
const CONSUMER_PROTOCOL_ASSIGNMENT_TOPIC_PARTITION: &[Field] =
    &[Field::new("topic", Kind::String), Field::new("partitions", ARRAY_I32)];

/// What a member wants, and what it has.
pub const CONSUMER_PROTOCOL_SUBSCRIPTION: Message = Message {
    api_key: 0,
    name: "ConsumerProtocolSubscription",
    versions: (0, 3),
    flexible_from: i16::MAX,
    fields: &[
        Field::new("topics", ARRAY_STRING),
        Field::new("userData", Kind::Bytes).nullable(0).or(Default::Null),
        Field::new("ownedPartitions", Kind::Array(&Kind::Struct(CONSUMER_PROTOCOL_SUBSCRIPTION_TOPIC_PARTITION)))
            .since(1),
        Field::new("generationId", Kind::I32).since(2).or(Default::Number(-1)),
        Field::new("rackId", Kind::String).since(3).nullable(3).or(Default::Null),
    ],
};
/// What a member gets.
pub const CONSUMER_PROTOCOL_ASSIGNMENT: Message = Message {
    api_key: 0,
    name: "ConsumerProtocolAssignment",
    versions: (0, 3),
    flexible_from: i16::MAX,
    fields: &[
        Field::new("assignedPartitions", Kind::Array(&Kind::Struct(CONSUMER_PROTOCOL_ASSIGNMENT_TOPIC_PARTITION))),
        Field::new("userData", Kind::Bytes).nullable(0).or(Default::Null),
    ],
};

/// The user data that the sticky assignor puts into a subscription; version 0 has no generation. No number of the
/// version comes first.
const STICKY_USER_DATA: Message = Message {
    api_key: 0,
    name: "StickyAssignorUserData",
    versions: (0, 1),
    flexible_from: i16::MAX,
    fields: &[
        Field::new("previous_assignment", Kind::Array(&Kind::Struct(CONSUMER_PROTOCOL_ASSIGNMENT_TOPIC_PARTITION))),
        Field::new("generation", Kind::I32).since(1).or(Default::Number(-1)),
    ],
};

/// Protocol type of the groups that speak it.
pub const PROTOCOL_TYPE: &str = "consumer";

/// What a member wants, and what it has (`ConsumerPartitionAssignor.Subscription`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Topics.
    pub topics: Vec<String>,
    /// Bytes for the assignor.
    pub user_data: Option<Vec<u8>>,
    /// Partitions it has; none before version 1.
    pub owned: Vec<TopicPartition>,
    /// Generation in which it got them; none before version 2.
    pub generation: Option<i32>,
    /// Its rack; none before version 3.
    pub rack: Option<String>,
}

/// What a member gets (`ConsumerPartitionAssignor.Assignment`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Partitions.
    pub partitions: Vec<TopicPartition>,
    /// Bytes of the assignor.
    pub user_data: Option<Vec<u8>>,
}

/// What a member tells the sticky assignor in the user data of its subscription: its partitions, and since when
/// (`StickyAssignor`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StickyUserData {
    /// Partitions of its last assignment.
    pub owned: Vec<TopicPartition>,
    /// Generation of that assignment; none in version 0.
    pub generation: Option<i32>,
}

/// Why bytes are neither.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum ConsumerProtocolError {
    /// Too short for a version.
    #[error("too short for a version")]
    Short,
    /// A version that cannot be read.
    #[error("unsupported version {0}")]
    Version(i16),
    /// Fields that cannot be read.
    #[error(transparent)]
    Fields(#[from] SchemaError),
}

/// Which of the two messages a field of a group's member holds.
pub fn message_in(field: &str) -> Option<&'static Message> {
    match field {
        "subscription" => Some(&CONSUMER_PROTOCOL_SUBSCRIPTION),
        "assignment" => Some(&CONSUMER_PROTOCOL_ASSIGNMENT),
        _ => None,
    }
}

/// Reads one of the two messages; a version above those of the table counts as the newest.
pub fn decode<'a>(message: &Message, bytes: &'a [u8]) -> Result<Fields<'a>, ConsumerProtocolError> {
    let (version, mut reader) = version_of(bytes)?;
    Ok(message.decode(version.min(message.versions.1), &mut reader)?)
}

/// Reads one of the two messages, of a version that the table describes.
pub fn decode_as_stored<'a>(message: &Message, bytes: &'a [u8]) -> Result<Fields<'a>, ConsumerProtocolError> {
    let (version, mut reader) = version_of(bytes)?;
    if !message.knows(version) {
        return Err(ConsumerProtocolError::Version(version));
    }
    Ok(message.decode(version, &mut reader)?)
}

fn version_of(bytes: &[u8]) -> Result<(i16, Reader<'_>), ConsumerProtocolError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16().map_err(|_| ConsumerProtocolError::Short)?;
    if version < 0 { Err(ConsumerProtocolError::Version(version)) } else { Ok((version, reader)) }
}

impl Subscription {
    /// Reads it.
    pub fn parse(bytes: &[u8]) -> Result<Subscription, ConsumerProtocolError> {
        let fields = decode(&CONSUMER_PROTOCOL_SUBSCRIPTION, bytes)?;
        let mut read =
            Subscription { owned: fields.partitions("ownedPartitions", "partitions"), ..Subscription::default() };
        if let Some(Value::Array(topics)) = fields.get("topics") {
            read.topics = topics.iter().filter_map(text_of).collect();
        }
        read.user_data = bytes_of(fields.get("userData"));
        if let Some(Value::Number(generation)) = fields.get("generationId") {
            read.generation = i32::try_from(*generation).ok().filter(|generation| *generation >= 0);
        }
        read.rack = fields.get("rackId").and_then(text_of).filter(|rack| !rack.is_empty());
        Ok(read)
    }

    /// Its bytes in this version: topics and owned partitions in Java's order of strings.
    pub fn to_bytes(&self, version: i16) -> Result<Vec<u8>, SchemaError> {
        let message = &CONSUMER_PROTOCOL_SUBSCRIPTION;
        let mut topics: Vec<&String> = self.topics.iter().collect();
        topics.sort_by(|a, b| java_order(a, b));
        let mut owned: Vec<&TopicPartition> = self.owned.iter().collect();
        owned.sort_by(|a, b| java_order(&a.topic, &b.topic).then(a.partition.cmp(&b.partition)));
        let topics = topics.into_iter().map(|topic| Value::String(Cow::Borrowed(topic.as_str()))).collect();
        let table = CONSUMER_PROTOCOL_SUBSCRIPTION_TOPIC_PARTITION;
        let owned = by_topic(owned.into_iter(), table, version);
        let mut fields = message.fields(version).with("topics", Value::Array(topics)).with("ownedPartitions", owned);
        fields = fields.with("userData", bytes_value(self.user_data.as_deref()));
        fields = fields.with("generationId", Value::Number(self.generation.unwrap_or(-1).into()));
        let rack = self.rack.as_deref().map_or(Value::Null, |rack| Value::String(Cow::Borrowed(rack)));
        prefixed(version, message, &fields.with("rackId", rack))
    }
}

impl Assignment {
    /// Reads it.
    pub fn parse(bytes: &[u8]) -> Result<Assignment, ConsumerProtocolError> {
        let fields = decode(&CONSUMER_PROTOCOL_ASSIGNMENT, bytes)?;
        let partitions = fields.partitions("assignedPartitions", "partitions");
        Ok(Assignment { partitions, user_data: bytes_of(fields.get("userData")) })
    }

    /// Its bytes in this version: topics in the order in which they come first, partitions in their order.
    pub fn to_bytes(&self, version: i16) -> Result<Vec<u8>, SchemaError> {
        let table = CONSUMER_PROTOCOL_ASSIGNMENT_TOPIC_PARTITION;
        let partitions = by_topic(self.partitions.iter(), table, version);
        let fields = CONSUMER_PROTOCOL_ASSIGNMENT.fields(version).with("assignedPartitions", partitions);
        let fields = fields.with("userData", bytes_value(self.user_data.as_deref()));
        prefixed(version, &CONSUMER_PROTOCOL_ASSIGNMENT, &fields)
    }
}

impl StickyUserData {
    /// Reads version 1, or else version 0; bytes that are neither say what Kafka takes them for: no partitions, in
    /// generation -1 (`StickyAssignor.deserializeTopicPartitionAssignment`).
    pub fn parse(bytes: &[u8]) -> StickyUserData {
        let read = |version| STICKY_USER_DATA.decode(version, &mut Reader::new(bytes)).ok();
        let Some(fields) = read(1).or_else(|| read(0)) else {
            return StickyUserData { owned: Vec::new(), generation: Some(-1) };
        };
        let generation = match fields.get("generation") {
            Some(Value::Number(generation)) if fields.version() == 1 => i32::try_from(*generation).ok(),
            _ => None,
        };
        StickyUserData { owned: fields.partitions("previous_assignment", "partitions"), generation }
    }

    /// Its bytes in version 1: topics in the order of Java's hash map, which is how Kafka groups the partitions.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SchemaError> {
        let mut topics: Vec<(&str, Vec<&TopicPartition>)> = Vec::new();
        let mut at: HashMap<&str, usize> = HashMap::new();
        for partition in &self.owned {
            let place = *at.entry(&partition.topic).or_insert_with(|| {
                topics.push((&partition.topic, Vec::new()));
                topics.len() - 1
            });
            topics[place].1.push(partition);
        }
        let hashes: Vec<i32> = topics.iter().map(|(topic, _)| java_string_hash(topic)).collect();
        let order = java_map::order_of_computes(&hashes);
        let ordered = order.into_iter().flat_map(|place| topics[place].1.iter().copied());
        let owned = by_topic(ordered, CONSUMER_PROTOCOL_ASSIGNMENT_TOPIC_PARTITION, 1);
        let fields = STICKY_USER_DATA.fields(1).with("previous_assignment", owned);
        let fields = fields.with("generation", Value::Number(self.generation.unwrap_or(-1).into()));
        let mut bytes = Vec::new();
        STICKY_USER_DATA.encode(&fields, &mut bytes)?;
        Ok(bytes)
    }
}

/// The generation that cooperative-sticky puts into the user data of a subscription, for members that do not read
/// version 2; -1 for bytes too short for one (`CooperativeStickyAssignor.memberData`).
pub fn cooperative_generation(user_data: &[u8]) -> i32 {
    Reader::new(user_data).i32().unwrap_or(-1)
}

/// Java compares UTF-16 units: a character above U+FFFF comes before U+E000 to U+FFFF.
pub fn java_order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// Partitions of one topic after those of another.
fn by_topic<'a>(
    partitions: impl Iterator<Item = &'a TopicPartition>,
    table: &'static [Field],
    version: i16,
) -> Value<'a> {
    let mut topics: Vec<(&str, Vec<Value<'a>>)> = Vec::new();
    let mut at: HashMap<&str, usize> = HashMap::new();
    for partition in partitions {
        let place = *at.entry(partition.topic.as_str()).or_insert_with(|| {
            topics.push((&partition.topic, Vec::new()));
            topics.len() - 1
        });
        topics[place].1.push(Value::Number(partition.partition.into()));
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        let fields = Fields::of_defaults(table, version).with("topic", Value::String(Cow::Borrowed(topic)));
        Value::Struct(fields.with("partitions", Value::Array(partitions)))
    });
    Value::Array(topics.collect())
}

fn text_of(value: &Value<'_>) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone().into_owned()),
        _ => None,
    }
}

fn bytes_of(value: Option<&Value<'_>>) -> Option<Vec<u8>> {
    match value {
        Some(Value::Bytes(bytes)) => Some(bytes.to_vec()),
        _ => None,
    }
}

fn bytes_value(bytes: Option<&[u8]>) -> Value<'_> {
    bytes.map_or(Value::Null, Value::Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of Kafka 4.3.0's `StickyAssignor`: "Aa" and "BB" share a bucket, and the later one comes first.
    const KAFKAS: &str = "00000005000241610000000200000001000000000002424200000002000000010000000000087061796d656e7473\
        0000000200000001000000000006636c69636b7300000002000000010000000000066f7264657273000000020000000100000000\
        00000007";

    #[test]
    fn the_user_data_of_the_sticky_assignor_is_kafkas() {
        let bytes = data_encoding::HEXLOWER.decode(KAFKAS.as_bytes()).unwrap();
        let topics = ["orders", "BB", "Aa", "payments", "clicks"];
        let owned: Vec<TopicPartition> =
            topics.iter().flat_map(|topic| [1, 0].map(|number| TopicPartition::new(*topic, number))).collect();
        let written = StickyUserData { owned: owned.clone(), generation: Some(7) };
        assert_eq!(data_encoding::HEXLOWER.encode(&written.to_bytes().unwrap()), KAFKAS);
        let read = StickyUserData::parse(&bytes);
        let sorted = |mut partitions: Vec<TopicPartition>| {
            partitions.sort();
            partitions
        };
        assert_eq!((sorted(read.owned), read.generation), (sorted(owned.clone()), Some(7)));

        let old = StickyUserData::parse(&bytes[..bytes.len() - 4]);
        assert_eq!((sorted(old.owned), old.generation), (sorted(owned), None), "version 0 ends before the generation");
        for cut in 0..bytes.len() - 4 {
            let none = StickyUserData { owned: Vec::new(), generation: Some(-1) };
            assert_eq!(StickyUserData::parse(&bytes[..cut]), none, "{cut} bytes");
        }
        assert_eq!(cooperative_generation(&7i32.to_be_bytes()), 7);
        assert_eq!(cooperative_generation(&[0, 0, 7]), -1);
    }
}
