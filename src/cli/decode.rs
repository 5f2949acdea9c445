//! Records of internal topics as their fields: what `--decode` shows.
//!
//! Three forms of one record: the text of `kafka-dump-log.sh` with a decoder option ([`Decoder::kafka_text`]), the
//! line of console-consumer's formatters ([`Decoder::console_line`]), and an object for rows of this tool's JSON
//! ([`Decoder::json`]). Bytes that make no sense are an answer in all three.

use std::path::Path;

use crate::schema::coordinator::{self, CoordinatorError, CoordinatorRecord, CoordinatorTopic, CoordinatorValue};
use crate::schema::message::{Fields, SchemaError};
use crate::schema::metadata::{self, Decoded, MetadataError};
use crate::storage::metadata_log;
use crate::storage::names::{PartitionDirName, PartitionFile};
use crate::wire::Reader;

/// Which records to read as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Decode {
    /// By the topic's name
    Auto,
    /// __consumer_offsets
    Offsets,
    /// __transaction_state
    TransactionLog,
    /// __cluster_metadata and its snapshots
    ClusterMetadata,
    /// __share_group_state
    ShareGroupState,
}

/// Reads the records of one internal topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// Of a coordinator.
    Coordinator(CoordinatorTopic),
    /// `__cluster_metadata`, and snapshots of it.
    Metadata,
}

impl Decode {
    /// The decoder for records of this topic.
    pub fn of_topic(self, topic: &str) -> Option<Decoder> {
        self.fixed().or_else(|| Decoder::of_topic(topic))
    }

    /// The decoder for records of this file.
    pub fn of_path(self, path: &Path) -> Option<Decoder> {
        self.fixed().or_else(|| Decoder::of_path(path))
    }

    fn fixed(self) -> Option<Decoder> {
        match self {
            Decode::Auto => None,
            Decode::Offsets => Some(Decoder::Coordinator(CoordinatorTopic::Group)),
            Decode::TransactionLog => Some(Decoder::Coordinator(CoordinatorTopic::Transaction)),
            Decode::ShareGroupState => Some(Decoder::Coordinator(CoordinatorTopic::Share)),
            Decode::ClusterMetadata => Some(Decoder::Metadata),
        }
    }
}

/// Key and payload as `kafka-dump-log.sh` prints them; `None` for what it does not print.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KafkaText {
    /// Behind `key: `.
    pub key: Option<Vec<u8>>,
    /// Behind `payload: `.
    pub payload: Option<Vec<u8>>,
}

/// A record of a coordinator's topic without a key, at which `kafka-dump-log.sh` ends.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the record at offset {0} has no key, expected one that says what the record is about")]
pub struct NoKey(i64);

impl Decoder {
    /// The one for a topic of this name.
    pub fn of_topic(topic: &str) -> Option<Decoder> {
        if topic == metadata_log::TOPIC {
            return Some(Decoder::Metadata);
        }
        CoordinatorTopic::of_topic(topic).map(Decoder::Coordinator)
    }

    /// The one for a file, by the name of its directory; snapshots of the metadata by their own.
    pub fn of_path(path: &Path) -> Option<Decoder> {
        let name = path.file_name().unwrap_or_default();
        if name == "bootstrap.checkpoint"
            || matches!(PartitionFile::parse(name), PartitionFile::MetadataSnapshot { .. })
        {
            return Some(Decoder::Metadata);
        }
        let absolute = std::path::absolute(path).ok()?;
        let dir = PartitionDirName::parse(absolute.parent()?.file_name()?).ok()?;
        Decoder::of_topic(&dir.topic_partition.topic)
    }

    /// Key and payload of a record that is no control record (`DumpLogSegments.CoordinatorRecordMessageParser`,
    /// `ClusterMetadataLogMessageParser`).
    pub fn kafka_text(self, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<KafkaText, NoKey> {
        let topic = match self {
            Decoder::Metadata => return Ok(KafkaText { key: None, payload: Some(metadata_text(offset, value)) }),
            Decoder::Coordinator(topic) => topic,
        };
        let key = key.ok_or(NoKey(offset))?;
        let skipped = |why: String| KafkaText { key: Some(why.into_bytes()), payload: None };
        let record = match coordinator::decode(topic, key, value) {
            Ok(record) => record,
            Err(CoordinatorError::UnknownType { id }) => {
                return Ok(skipped(format!("Unknown record type {id} at offset {offset}, skipping.")));
            }
            Err(error) => return Ok(skipped(format!("Error at offset {offset}, skipping. {}", error.kafka_text()))),
        };
        let mut key = format!("{{\"type\":\"{}\",\"data\":", record.kind.id).into_bytes();
        record.key.write_json(&mut key);
        key.push(b'}');
        let payload = match &record.value {
            CoordinatorValue::Tombstone => b"<DELETE>".to_vec(),
            CoordinatorValue::Known(fields) => {
                let mut payload = format!("{{\"version\":\"{}\",\"data\":", fields.version()).into_bytes();
                record.write_value_json(&mut payload);
                payload.push(b'}');
                payload
            }
            CoordinatorValue::Unknown { version, .. } => {
                let id = record.kind.id;
                let why = format!("Found an unknown record version {version} for {id} type");
                return Ok(skipped(format!("Error at offset {offset}, skipping. {why}")));
            }
        };
        Ok(KafkaText { key: Some(key), payload: Some(payload) })
    }

    /// Appends one line as the formatters of console-consumer print it (`CoordinatorRecordMessageFormatter`), of any
    /// record type; metadata as `kafka-dump-log.sh` has it. What cannot be read is an object with an `error`.
    pub fn console_line(self, key: Option<&[u8]>, value: Option<&[u8]>, out: &mut Vec<u8>) {
        match self {
            Decoder::Metadata => self.json(key, value, out),
            Decoder::Coordinator(topic) => match coordinator::decode(topic, key.unwrap_or_default(), value) {
                Err(error) => write_error(&error.to_string(), out),
                Ok(record) => {
                    out.extend_from_slice(format!("{{\"key\":{{\"type\":{},\"data\":", record.kind.id).as_bytes());
                    record.key.write_json(out);
                    out.extend_from_slice(b"},\"value\":");
                    write_console_value(&record, out);
                    out.push(b'}');
                }
            },
        }
        out.push(b'\n');
    }

    /// A key and a value for columns: the record's type with what it is about, and what it says. Of what cannot be read, `-`
    /// and the object that [`Decoder::json`] gives.
    pub fn cells(self, key: Option<&[u8]>, value: Option<&[u8]>) -> (String, String) {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (mut about, mut said) = (Vec::new(), Vec::new());
        match self {
            Decoder::Coordinator(topic) => {
                if let Ok(record) = coordinator::decode(topic, key.unwrap_or_default(), value) {
                    about.extend_from_slice(record.kind.name.as_bytes());
                    about.push(b' ');
                    record.key.write_json(&mut about);
                    match &record.value {
                        CoordinatorValue::Tombstone => said.extend_from_slice(b"null"),
                        CoordinatorValue::Known(_) => record.write_value_json(&mut said),
                        CoordinatorValue::Unknown { version, bytes } => write_unknown(*version, bytes, &mut said),
                    }
                    return (text(about), text(said));
                }
            }
            Decoder::Metadata => match metadata::decode(value.unwrap_or_default()) {
                Ok(Decoded::Known(record)) => {
                    record.fields.write_json(&mut said);
                    return (record.message.name.to_owned(), text(said));
                }
                Ok(Decoded::Unknown { name: Some(name), version, bytes, .. }) => {
                    write_unknown(version, bytes, &mut said);
                    return (name.to_owned(), text(said));
                }
                Ok(Decoded::Unknown { name: None, .. }) | Err(_) => {}
            },
        }
        self.json(key, value, &mut said);
        ("-".to_owned(), text(said))
    }

    /// Appends an object: the record's `type` by name, its `key` and `value` in Kafka's JSON form, the value's
    /// `version`. A tombstone's value is null; of an unknown type or version what is known, and the bytes in base64.
    pub fn json(self, key: Option<&[u8]>, value: Option<&[u8]>, out: &mut Vec<u8>) {
        match self {
            Decoder::Coordinator(topic) => match coordinator::decode(topic, key.unwrap_or_default(), value) {
                Ok(record) => write_coordinator(&record, out),
                Err(CoordinatorError::UnknownType { id }) => {
                    out.extend_from_slice(format!("{{\"type\":null,\"type_id\":{id}}}").as_bytes());
                }
                Err(error) => write_error(&error.to_string(), out),
            },
            Decoder::Metadata => match metadata::decode(value.unwrap_or_default()) {
                Ok(Decoded::Known(record)) => {
                    let start = format!("{{\"type\":\"{}\",\"version\":{}", record.message.name, record.version);
                    out.extend_from_slice(start.as_bytes());
                    out.extend_from_slice(b",\"value\":");
                    record.fields.write_json(out);
                    write_unknown_fields(&record.fields, out);
                    out.push(b'}');
                }
                Ok(Decoded::Unknown { api_key, name, version, bytes }) => {
                    let name = serde_json::Value::from(name);
                    let start = format!("{{\"type\":{name},\"type_id\":{api_key},\"version\":{version}");
                    out.extend_from_slice(start.as_bytes());
                    write_base64("value_base64", bytes, out);
                    out.push(b'}');
                }
                Err(error) => write_error(&error.to_string(), out),
            },
        }
    }
}

fn write_coordinator(record: &CoordinatorRecord<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"type\":\"{}\",\"key\":", record.kind.name).as_bytes());
    record.key.write_json(out);
    match &record.value {
        CoordinatorValue::Tombstone => out.extend_from_slice(b",\"version\":null,\"value\":null"),
        CoordinatorValue::Known(fields) => {
            out.extend_from_slice(format!(",\"version\":{},\"value\":", fields.version()).as_bytes());
            record.write_value_json(out);
            write_unknown_fields(fields, out);
        }
        CoordinatorValue::Unknown { version, bytes } => {
            out.extend_from_slice(format!(",\"version\":{version}").as_bytes());
            write_base64("value_base64", bytes, out);
        }
    }
    out.push(b'}');
}

fn write_console_value(record: &CoordinatorRecord<'_>, out: &mut Vec<u8>) {
    match &record.value {
        CoordinatorValue::Tombstone => out.extend_from_slice(b"null"),
        CoordinatorValue::Known(fields) => {
            out.extend_from_slice(format!("{{\"version\":{},\"data\":", fields.version()).as_bytes());
            record.write_value_json(out);
            out.push(b'}');
        }
        CoordinatorValue::Unknown { version, bytes } => {
            out.extend_from_slice(format!("{{\"version\":{version}").as_bytes());
            write_base64("data_base64", bytes, out);
            out.push(b'}');
        }
    }
}

/// A value of a version that is not known.
fn write_unknown(version: impl std::fmt::Display, bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"version\":{version}").as_bytes());
    write_base64("value_base64", bytes, out);
    out.push(b'}');
}

/// Tagged fields that a newer Kafka added to a version we know.
fn write_unknown_fields(fields: &Fields<'_>, out: &mut Vec<u8>) {
    for (at, (tag, bytes)) in fields.unknown().iter().enumerate() {
        out.extend_from_slice(if at == 0 { b",\"unknown_tagged_fields\":[" } else { b"," });
        out.extend_from_slice(format!("{{\"tag\":{tag}").as_bytes());
        write_base64("bytes_base64", bytes, out);
        out.push(b'}');
    }
    if !fields.unknown().is_empty() {
        out.push(b']');
    }
}

fn write_base64(name: &str, bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!(",\"{name}\":\"{}\"", data_encoding::BASE64.encode(bytes)).as_bytes());
}

fn write_error(error: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"error\":{}}}", serde_json::Value::from(error)).as_bytes());
}

/// `MetadataRecordSerde` and what `DumpLogSegments` makes of it.
fn metadata_text(offset: i64, value: Option<&[u8]>) -> Vec<u8> {
    let value = value.unwrap_or_default();
    let mut text = Vec::new();
    let why = match metadata::decode(value) {
        Ok(Decoded::Known(record)) => {
            record.write_json(&mut text);
            return text;
        }
        Ok(Decoded::Unknown { api_key, name: None, .. }) => {
            format!("org.apache.kafka.common.errors.UnsupportedVersionException: Unknown metadata id {api_key}")
        }
        Ok(Decoded::Unknown { api_key, version, .. }) => {
            format!("type {api_key} in version {version}, which is newer than Kafka 4.3")
        }
        Err(MetadataError::Frame { found: 0 }) => "Could not deserialize metadata record with frame version 0. Note \
             that upgrades from the preview release of KRaft in 2.8 to newer versions are not supported."
            .to_owned(),
        Err(MetadataError::Frame { found }) => format!(
            "Could not deserialize metadata record due to unknown frame version {found}(only frame version 1 is \
             supported)"
        ),
        Err(MetadataError::Message { name, reason: SchemaError::LeftOver { left }, .. }) => {
            format!("Found {left} byte(s) of garbage after {}", api_key_of(name))
        }
        Err(MetadataError::Message { name, .. }) => {
            format!("Failed to deserialize record with type {}", api_key_of(name))
        }
        Err(MetadataError::Wire(_)) => format!("Error while reading {}", cut_field(value)),
    };
    format!("Error at {offset}, skipping. {why}").into_bytes()
}

fn api_key_of(name: &str) -> u32 {
    metadata::RECORDS.iter().find(|message| message.name == name).map_or(0, |message| message.api_key)
}

/// The number of the frame that its bytes end in.
fn cut_field(value: &[u8]) -> &'static str {
    let mut reader = Reader::new(value);
    let fields = ["frame version", "type", "version"];
    fields.into_iter().find(|_| reader.unsigned_varint().is_err()).unwrap_or("version")
}
