//! The records of `__cluster_metadata`: their tables, and the typed form of each ([`Record`], [`ControlRecord`]).
//!
//! ```text
//! uvarint frame version 1 | uvarint type | uvarint version | the message, flexible
//! ```
//!
//! (`AbstractApiMessageSerde`.) A type that Kafka 4.3 does not have, or a version above the ones it knows, makes a
//! broker refuse to start; here it is [`Decoded::Unknown`], with what is known of it.

mod control;
mod record;

use thiserror::Error;

pub use self::control::{CONTROL_RECORDS, ControlRecord, LEADER_CHANGE, Voter, VoterEndpoint, decode_control};
pub use self::record::{
    AccessControlEntry, BrokerRegistration, BrokerRegistrationChange, ControllerRegistration, DelegationToken,
    Endpoint, PartitionChangeRecord, PartitionRecord, Quota, QuotaEntity, Record, ScramCredential, Secret,
    VersionRange,
};

use super::message::{Default, Field, Fields, Kind, Message, SchemaError};
use crate::wire::{Reader, WireError};

/// The only frame version there is.
pub const FRAME_VERSION: u32 = 1;

const ARRAY_I32: Kind = Kind::Array(&Kind::I32);
const ARRAY_UUID: Kind = Kind::Array(&Kind::Uuid);
const ARRAY_STRING: Kind = Kind::Array(&Kind::String);

const REGISTER_BROKER_RECORD_BROKER_ENDPOINT: &[Field] = &[
    Field::new("name", Kind::String),
    Field::new("host", Kind::String),
    Field::new("port", Kind::U16),
    Field::new("securityProtocol", Kind::I16),
];
const REGISTER_BROKER_RECORD_BROKER_FEATURE: &[Field] = &[
    Field::new("name", Kind::String),
    Field::new("minSupportedVersion", Kind::I16),
    Field::new("maxSupportedVersion", Kind::I16),
];
const CLIENT_QUOTA_RECORD_ENTITY_DATA: &[Field] =
    &[Field::new("entityType", Kind::String), Field::new("entityName", Kind::String).nullable(0)];
const REGISTER_CONTROLLER_RECORD_CONTROLLER_ENDPOINT: &[Field] = &[
    Field::new("name", Kind::String),
    Field::new("host", Kind::String),
    Field::new("port", Kind::U16),
    Field::new("securityProtocol", Kind::I16),
];
const REGISTER_CONTROLLER_RECORD_CONTROLLER_FEATURE: &[Field] = &[
    Field::new("name", Kind::String),
    Field::new("minSupportedVersion", Kind::I16),
    Field::new("maxSupportedVersion", Kind::I16),
];
/// Every record type of Kafka 4.3, by its number.
pub const RECORDS: &[Message] = &[
    Message {
        api_key: 0,
        name: "RegisterBrokerRecord",
        versions: (0, 4),
        flexible_from: 0,
        fields: &[
            Field::new("brokerId", Kind::I32),
            Field::new("isMigratingZkBroker", Kind::Bool).since(2),
            Field::new("incarnationId", Kind::Uuid),
            Field::new("brokerEpoch", Kind::I64),
            Field::new("endPoints", Kind::Array(&Kind::Struct(REGISTER_BROKER_RECORD_BROKER_ENDPOINT))),
            Field::new("features", Kind::Array(&Kind::Struct(REGISTER_BROKER_RECORD_BROKER_FEATURE))),
            Field::new("rack", Kind::String).nullable(0),
            Field::new("fenced", Kind::Bool).or(Default::True),
            Field::new("inControlledShutdown", Kind::Bool).since(1),
            Field::new("logDirs", ARRAY_UUID).since(3).tagged(0, 3),
            Field::new("cordonedLogDirs", ARRAY_UUID).since(4).nullable(4).tagged(1, 4).or(Default::Null),
        ],
    },
    Message {
        api_key: 1,
        name: "UnregisterBrokerRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("brokerId", Kind::I32), Field::new("brokerEpoch", Kind::I64)],
    },
    Message {
        api_key: 2,
        name: "TopicRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("name", Kind::String), Field::new("topicId", Kind::Uuid)],
    },
    Message {
        api_key: 3,
        name: "PartitionRecord",
        versions: (0, 2),
        flexible_from: 0,
        fields: &[
            Field::new("partitionId", Kind::I32).or(Default::Number(-1)),
            Field::new("topicId", Kind::Uuid),
            Field::new("replicas", ARRAY_I32),
            Field::new("isr", ARRAY_I32),
            Field::new("removingReplicas", ARRAY_I32),
            Field::new("addingReplicas", ARRAY_I32),
            Field::new("leader", Kind::I32).or(Default::Number(-1)),
            Field::new("leaderRecoveryState", Kind::I8).tagged(0, 0),
            Field::new("leaderEpoch", Kind::I32).or(Default::Number(-1)),
            Field::new("partitionEpoch", Kind::I32).or(Default::Number(-1)),
            Field::new("directories", ARRAY_UUID).since(1),
            Field::new("eligibleLeaderReplicas", ARRAY_I32).since(2).nullable(2).tagged(1, 2).or(Default::Null),
            Field::new("lastKnownElr", ARRAY_I32).since(2).nullable(2).tagged(2, 2).or(Default::Null),
        ],
    },
    Message {
        api_key: 4,
        name: "ConfigRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[
            Field::new("resourceType", Kind::I8),
            Field::new("resourceName", Kind::String),
            Field::new("name", Kind::String),
            Field::new("value", Kind::String).nullable(0),
        ],
    },
    Message {
        api_key: 5,
        name: "PartitionChangeRecord",
        versions: (0, 2),
        flexible_from: 0,
        fields: &[
            Field::new("partitionId", Kind::I32).or(Default::Number(-1)),
            Field::new("topicId", Kind::Uuid),
            Field::new("isr", ARRAY_I32).nullable(0).tagged(0, 0).or(Default::Null),
            Field::new("leader", Kind::I32).tagged(1, 0).or(Default::Number(-2)),
            Field::new("replicas", ARRAY_I32).nullable(0).tagged(2, 0).or(Default::Null),
            Field::new("removingReplicas", ARRAY_I32).nullable(0).tagged(3, 0).or(Default::Null),
            Field::new("addingReplicas", ARRAY_I32).nullable(0).tagged(4, 0).or(Default::Null),
            Field::new("leaderRecoveryState", Kind::I8).tagged(5, 0).or(Default::Number(-1)),
            Field::new("directories", ARRAY_UUID).since(1).nullable(1).tagged(8, 1).or(Default::Null),
            Field::new("eligibleLeaderReplicas", ARRAY_I32).since(2).nullable(2).tagged(6, 2).or(Default::Null),
            Field::new("lastKnownElr", ARRAY_I32).since(2).nullable(2).tagged(7, 2).or(Default::Null),
        ],
    },
    Message {
        api_key: 7,
        name: "FenceBrokerRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("id", Kind::I32), Field::new("epoch", Kind::I64)],
    },
    Message {
        api_key: 8,
        name: "UnfenceBrokerRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("id", Kind::I32), Field::new("epoch", Kind::I64)],
    },
    Message {
        api_key: 9,
        name: "RemoveTopicRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("topicId", Kind::Uuid)],
    },
    Message {
        api_key: 10,
        name: "DelegationTokenRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[
            Field::new("owner", Kind::String),
            Field::new("requester", Kind::String),
            Field::new("renewers", ARRAY_STRING),
            Field::new("issueTimestamp", Kind::I64),
            Field::new("maxTimestamp", Kind::I64),
            Field::new("expirationTimestamp", Kind::I64),
            Field::new("tokenId", Kind::String),
        ],
    },
    Message {
        api_key: 11,
        name: "UserScramCredentialRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[
            Field::new("name", Kind::String),
            Field::new("mechanism", Kind::I8),
            Field::new("salt", Kind::Bytes),
            Field::new("storedKey", Kind::Bytes),
            Field::new("serverKey", Kind::Bytes),
            Field::new("iterations", Kind::I32),
        ],
    },
    Message {
        api_key: 12,
        name: "FeatureLevelRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("name", Kind::String), Field::new("featureLevel", Kind::I16)],
    },
    Message {
        api_key: 14,
        name: "ClientQuotaRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[
            Field::new("entity", Kind::Array(&Kind::Struct(CLIENT_QUOTA_RECORD_ENTITY_DATA))),
            Field::new("key", Kind::String),
            Field::new("value", Kind::F64),
            Field::new("remove", Kind::Bool),
        ],
    },
    Message {
        api_key: 15,
        name: "ProducerIdsRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[
            Field::new("brokerId", Kind::I32),
            Field::new("brokerEpoch", Kind::I64).or(Default::Number(-1)),
            Field::new("nextProducerId", Kind::I64),
        ],
    },
    Message {
        api_key: 17,
        name: "BrokerRegistrationChangeRecord",
        versions: (0, 3),
        flexible_from: 0,
        fields: &[
            Field::new("brokerId", Kind::I32),
            Field::new("brokerEpoch", Kind::I64),
            Field::new("fenced", Kind::I8).tagged(0, 0),
            Field::new("inControlledShutdown", Kind::I8).since(1).tagged(1, 1),
            Field::new("logDirs", ARRAY_UUID).since(2).tagged(2, 2),
            Field::new("cordonedLogDirs", ARRAY_UUID).since(3).nullable(3).tagged(3, 3).or(Default::Null),
        ],
    },
    Message {
        api_key: 18,
        name: "AccessControlEntryRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[
            Field::new("id", Kind::Uuid),
            Field::new("resourceType", Kind::I8),
            Field::new("resourceName", Kind::String),
            Field::new("patternType", Kind::I8),
            Field::new("principal", Kind::String),
            Field::new("host", Kind::String),
            Field::new("operation", Kind::I8),
            Field::new("permissionType", Kind::I8),
        ],
    },
    Message {
        api_key: 19,
        name: "RemoveAccessControlEntryRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("id", Kind::Uuid)],
    },
    Message { api_key: 20, name: "NoOpRecord", versions: (0, 0), flexible_from: 0, fields: &[] },
    Message {
        api_key: 21,
        name: "ZkMigrationStateRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("zkMigrationState", Kind::I8)],
    },
    Message {
        api_key: 22,
        name: "RemoveUserScramCredentialRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("name", Kind::String), Field::new("mechanism", Kind::I8)],
    },
    Message {
        api_key: 23,
        name: "BeginTransactionRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("name", Kind::String).nullable(0).tagged(0, 0).or(Default::Null)],
    },
    Message { api_key: 24, name: "EndTransactionRecord", versions: (0, 0), flexible_from: 0, fields: &[] },
    Message {
        api_key: 25,
        name: "AbortTransactionRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("reason", Kind::String).nullable(0).tagged(0, 0).or(Default::Null)],
    },
    Message {
        api_key: 26,
        name: "RemoveDelegationTokenRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("tokenId", Kind::String)],
    },
    Message {
        api_key: 27,
        name: "RegisterControllerRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[
            Field::new("controllerId", Kind::I32),
            Field::new("incarnationId", Kind::Uuid),
            Field::new("zkMigrationReady", Kind::Bool),
            Field::new("endPoints", Kind::Array(&Kind::Struct(REGISTER_CONTROLLER_RECORD_CONTROLLER_ENDPOINT))),
            Field::new("features", Kind::Array(&Kind::Struct(REGISTER_CONTROLLER_RECORD_CONTROLLER_FEATURE))),
        ],
    },
    Message {
        api_key: 28,
        name: "ClearElrRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("topicName", Kind::String)],
    },
];

/// Why bytes are not a metadata record.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum MetadataError {
    /// Cut inside the frame.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// Another frame version (`SerializationException`).
    #[error("expected frame version {FRAME_VERSION}, found {found}")]
    Frame {
        /// The stored version.
        found: u32,
    },
    /// A message that cannot be read.
    #[error("{name} version {version}: {reason}")]
    Message {
        /// Its type.
        name: &'static str,
        /// Its version.
        version: i16,
        /// What is wrong.
        reason: SchemaError,
    },
}

/// One metadata record.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded<'a> {
    /// Of a type and version that the tables know.
    Known(KnownRecord<'a>),
    /// Of another type or a newer version.
    Unknown {
        /// Its type.
        api_key: u32,
        /// Its type's name, where only the version is new.
        name: Option<&'static str>,
        /// Its version.
        version: u32,
        /// The message as it is.
        bytes: &'a [u8],
    },
}

/// A record with its fields.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownRecord<'a> {
    /// Its table.
    pub message: &'static Message,
    /// Its version.
    pub version: i16,
    /// Its fields.
    pub fields: Fields<'a>,
}

/// Reads the value of one record of the metadata log or of a snapshot.
pub fn decode(value: &[u8]) -> Result<Decoded<'_>, MetadataError> {
    let mut reader = Reader::new(value);
    let found = reader.unsigned_varint()?;
    if found != FRAME_VERSION {
        return Err(MetadataError::Frame { found });
    }
    let api_key = reader.unsigned_varint()?;
    let raw_version = reader.unsigned_varint()?;
    let message = RECORDS.iter().find(|message| message.api_key == api_key);
    let version = i16::try_from(raw_version).ok();
    match (message, version) {
        (Some(message), Some(version)) if message.knows(version) => {
            let fields = message.decode_all(version, reader.rest());
            let fields = fields.map_err(|reason| MetadataError::Message { name: message.name, version, reason })?;
            Ok(Decoded::Known(KnownRecord { message, version, fields }))
        }
        _ => Ok(Decoded::Unknown {
            api_key,
            name: message.map(|message| message.name),
            version: raw_version,
            bytes: reader.rest(),
        }),
    }
}

impl Decoded<'_> {
    /// The typed form; of a record that the tables do not know, [`Record::Unknown`] with its bytes.
    pub fn typed(&self) -> Record {
        match self {
            Decoded::Known(known) => known.typed(),
            Decoded::Unknown { api_key, name, version, bytes } => {
                Record::Unknown { api_key: *api_key, name: *name, version: *version, bytes: bytes.to_vec() }
            }
        }
    }
}

impl KnownRecord<'_> {
    /// Appends the record as `kafka-dump-log.sh --cluster-metadata-decoder` prints it.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        // PartitionChangeRecord is PARTITION_CHANGE_RECORD there.
        out.extend_from_slice(b"{\"type\":\"");
        for (at, byte) in self.message.name.bytes().enumerate() {
            if at > 0 && byte.is_ascii_uppercase() {
                out.push(b'_');
            }
            out.push(byte.to_ascii_uppercase());
        }
        out.extend_from_slice(b"\",\"version\":");
        out.extend_from_slice(itoa::Buffer::new().format(self.version).as_bytes());
        out.extend_from_slice(b",\"data\":");
        self.fields.write_json(out);
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;
    use proptest::prelude::*;

    fn known(hex: &str) -> KnownRecord<'static> {
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        match decode(Box::leak(bytes.into_boxed_slice())).unwrap() {
            Decoded::Known(record) => record,
            other => panic!("{other:?}"),
        }
    }

    /// From the metadata log of a 4.3.0 broker.
    const CHANGE: &str = "010502000000000000000000000000000000000000000001081102f487834a72a64aa39ca3d5383d430405";

    #[test]
    fn a_partition_changes_only_in_what_is_there() {
        let Record::PartitionChange(change) = known(CHANGE).typed() else { panic!() };
        assert_eq!(change.directories, Some(vec![Uuid::parse("9IeDSnKmSqOco9U4PUMEBQ").unwrap()]));
        assert_eq!((change.leader, change.replicas, change.isr), (None, None, None));
    }

    #[test]
    fn another_type_or_version_is_named_and_kept() {
        for (bytes, api_key, name, version) in
            [(&[1, 2, 9, 5, 6][..], 2, Some("TopicRecord"), 9), (&[1, 0xc8, 1, 0, 5, 6], 200, None, 0)]
        {
            let expected = Decoded::Unknown { api_key, name, version, bytes: &[5, 6] };
            assert_eq!(decode(bytes), Ok(expected));
        }
        assert_eq!(decode(&[2, 2, 0]), Err(MetadataError::Frame { found: 2 }));
    }

    /// Zero bytes are a message of nearly every type: null where they may be, else refused.
    #[test]
    fn typed_forms_ask_for_fields_that_are_there() {
        for message in RECORDS {
            for version in message.versions.0..=message.versions.1 {
                // One is an empty list or text, and no tagged fields behind it.
                for filler in [0, 1] {
                    for len in 0..120 {
                        if let Ok(fields) = message.decode_all(version, &vec![filler; len]) {
                            KnownRecord { message, version, fields }.typed();
                        }
                    }
                }
            }
        }
        for message in RECORDS {
            let mut bytes = Vec::new();
            for field in message.fields.iter().filter(|field| field.tag.is_none()) {
                match field.kind {
                    Kind::I8 | Kind::Bool => bytes.push(0),
                    Kind::I16 | Kind::U16 => bytes.extend([0; 2]),
                    Kind::I32 => bytes.extend([0; 4]),
                    Kind::I64 | Kind::F64 => bytes.extend([0; 8]),
                    Kind::Uuid => bytes.extend([0; 16]),
                    _ => bytes.push(1),
                }
            }
            bytes.push(0);
            let version = message.versions.1;
            let fields = message.decode_all(version, &bytes).unwrap();
            let typed = KnownRecord { message, version, fields }.typed();
            assert!(!matches!(typed, Record::Unknown { .. }), "{}", message.name);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..60), api_key in 0u8..29, version in 0u8..5) {
            let _ = decode(&bytes);
            let framed = [&[1, api_key, version][..], &bytes].concat();
            if let Ok(Decoded::Known(record)) = decode(&framed) {
                record.write_json(&mut Vec::new());
                record.typed();
            }
        }

        #[test]
        fn every_cut_is_refused(cut in 0usize..44) {
            let bytes = data_encoding::HEXLOWER.decode(CHANGE.as_bytes()).unwrap();
            prop_assume!(cut < bytes.len());
            prop_assert!(decode(&bytes[..cut]).is_err());
        }
    }
}
