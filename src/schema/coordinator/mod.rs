//! Records of the coordinators' topics: a key that says what it is about, and a value or none.
//!
//! ```text
//! key    i16 record type    | fields, never flexible
//! value  i16 value version  | fields; no value at all is a tombstone: what the key names is gone
//! ```
//!
//! (`CoordinatorRecordSerde` of Kafka 4.3.) Bytes behind the last field are ignored. A record type or value version
//! that the tables do not have is skipped by a broker; here it is an answer with its bytes.

pub mod group;
pub mod share;
pub mod transaction;

use super::consumer_protocol;
use super::message::{Fields, Message, SchemaError, Value};
use crate::wire::Reader;

/// A topic that a coordinator keeps its state in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoordinatorTopic {
    /// `__consumer_offsets`.
    Group,
    /// `__transaction_state`.
    Transaction,
    /// `__share_group_state`.
    Share,
}

impl CoordinatorTopic {
    /// All of them.
    pub const ALL: [CoordinatorTopic; 3] =
        [CoordinatorTopic::Group, CoordinatorTopic::Transaction, CoordinatorTopic::Share];

    /// Its name.
    pub const fn topic(self) -> &'static str {
        match self {
            CoordinatorTopic::Group => "__consumer_offsets",
            CoordinatorTopic::Transaction => "__transaction_state",
            CoordinatorTopic::Share => "__share_group_state",
        }
    }

    /// The one of this name.
    pub fn of_topic(topic: &str) -> Option<CoordinatorTopic> {
        CoordinatorTopic::ALL.into_iter().find(|known| known.topic() == topic)
    }

    /// Its record types, by their number.
    pub const fn records(self) -> &'static [RecordType] {
        match self {
            CoordinatorTopic::Group => group::RECORDS,
            CoordinatorTopic::Transaction => transaction::RECORDS,
            CoordinatorTopic::Share => share::RECORDS,
        }
    }
}

/// What a key and its value look like: two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordType {
    /// Its number, with which every key of it begins.
    pub id: i16,
    /// Its name (`CoordinatorRecordType`).
    pub name: &'static str,
    /// Fields of the key.
    pub key: Message,
    /// Fields of the value.
    pub value: Message,
}

/// A record whose key is of a known type.
#[derive(Debug, Clone, PartialEq)]
pub struct CoordinatorRecord<'a> {
    /// Its type.
    pub kind: &'static RecordType,
    /// Its key.
    pub key: Fields<'a>,
    /// Its value.
    pub value: CoordinatorValue<'a>,
}

/// Value of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum CoordinatorValue<'a> {
    /// None: what the key names is gone.
    Tombstone,
    /// Of a version that the table describes.
    Known(Fields<'a>),
    /// Of another version.
    Unknown {
        /// The version.
        version: i16,
        /// Everything behind it.
        bytes: &'a [u8],
    },
}

/// Why bytes are no record of the topic.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum CoordinatorError {
    /// The key is of a type that Kafka 4.3 does not have; a broker skips it.
    #[error("unknown record type {id}")]
    UnknownType {
        /// The type.
        id: i16,
    },
    /// Too short for a record type or a version.
    #[error("the {part} is too short for its {number}")]
    Short {
        /// "key" or "value".
        part: &'static str,
        /// "record type" or "version".
        number: &'static str,
    },
    /// Fields that cannot be read.
    #[error("{name}, version {version} of the {part}: {reason}")]
    Fields {
        /// The record type's name.
        name: &'static str,
        /// "key" or "value".
        part: &'static str,
        /// The number that stands in front.
        version: i16,
        /// What is wrong.
        reason: SchemaError,
    },
}

impl CoordinatorError {
    /// What `CoordinatorRecordSerde` says of it. `UnknownType` has no text there.
    pub fn kafka_text(&self) -> String {
        match self {
            CoordinatorError::UnknownType { id } => format!("Found an unknown record type {id}"),
            CoordinatorError::Short { part, .. } => format!("Could not read version from {part}'s buffer."),
            CoordinatorError::Fields { part, version, reason, .. } => {
                let reason = reason.kafka_text();
                format!("Could not read record with version {version} from {part}'s buffer due to: {reason}.")
            }
        }
    }
}

impl CoordinatorRecord<'_> {
    /// Appends the value as `kafka-dump-log.sh` has its `data`: Kafka's JSON form, and in a consumer group the
    /// subscriptions and assignments of members as such. Nothing for a value that is not [`CoordinatorValue::Known`].
    pub fn write_value_json(&self, out: &mut Vec<u8>) {
        let CoordinatorValue::Known(fields) = &self.value else { return };
        let is_consumer = match fields.get("protocolType") {
            Some(Value::String(kind)) => kind == consumer_protocol::PROTOCOL_TYPE,
            _ => false,
        };
        let member_bytes = |name: &'static str, value: &Value<'_>, out: &mut Vec<u8>| {
            let (Value::Bytes(bytes), Some(message)) = (value, consumer_protocol::message_in(name)) else {
                return false;
            };
            // What cannot be read stays as it is.
            let Ok(fields) = consumer_protocol::decode_as_stored(message, bytes) else { return false };
            fields.write_json(out);
            true
        };
        if is_consumer { fields.write_json_with(&member_bytes, out) } else { fields.write_json(out) }
    }
}

/// Reads one record of a coordinator's topic. Control records are none: leave them out.
pub fn decode<'a>(
    topic: CoordinatorTopic,
    key: &'a [u8],
    value: Option<&'a [u8]>,
) -> Result<CoordinatorRecord<'a>, CoordinatorError> {
    let (kind, key) = decode_key(topic, key)?;
    let Some(value) = value else {
        return Ok(CoordinatorRecord { kind, key, value: CoordinatorValue::Tombstone });
    };
    let mut reader = Reader::new(value);
    let version = reader.i16().map_err(|_| CoordinatorError::Short { part: "value", number: "version" })?;
    let value = if kind.value.knows(version) {
        let fields = kind.value.decode(version, &mut reader);
        CoordinatorValue::Known(fields.map_err(|reason| kind.error("value", version, reason))?)
    } else {
        CoordinatorValue::Unknown { version, bytes: reader.rest() }
    };
    Ok(CoordinatorRecord { kind, key, value })
}

/// Reads the key of a record: its type and fields.
pub fn decode_key(topic: CoordinatorTopic, key: &[u8]) -> Result<(&'static RecordType, Fields<'_>), CoordinatorError> {
    let mut reader = Reader::new(key);
    let id = reader.i16().map_err(|_| CoordinatorError::Short { part: "key", number: "record type" })?;
    let kind = topic.records().iter().find(|kind| kind.id == id).ok_or(CoordinatorError::UnknownType { id })?;
    let fields = kind.key.decode(KEY_VERSION, &mut reader).map_err(|reason| kind.error("key", id, reason))?;
    Ok((kind, fields))
}

/// All keys are of this version.
const KEY_VERSION: i16 = 0;

impl RecordType {
    /// A key of this type with the defaults in its fields.
    pub fn new_key<'a>(&self) -> Fields<'a> {
        self.key.fields(KEY_VERSION)
    }

    /// Bytes of a key.
    pub fn key_bytes(&self, key: &Fields<'_>) -> Result<Vec<u8>, SchemaError> {
        prefixed(self.id, &self.key, key)
    }

    /// Bytes of a value, in the version its fields are of.
    pub fn value_bytes(&self, value: &Fields<'_>) -> Result<Vec<u8>, SchemaError> {
        prefixed(value.version(), &self.value, value)
    }

    fn error(&self, part: &'static str, version: i16, reason: SchemaError) -> CoordinatorError {
        CoordinatorError::Fields { name: self.name, part, version, reason }
    }
}

/// The message behind its number (`MessageUtil.toVersionPrefixedBytes`).
pub(super) fn prefixed(number: i16, message: &Message, fields: &Fields<'_>) -> Result<Vec<u8>, SchemaError> {
    let mut bytes = number.to_be_bytes().to_vec();
    message.encode(fields, &mut bytes)?;
    Ok(bytes)
}
