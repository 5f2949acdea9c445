//! Control records of the metadata log and of snapshots: the quorum's leader and voters, a snapshot's first and last
//! record.
//!
//! The type stands in the record's key. No version stands before the value: its first field is the version.

use super::super::message::{Field, Kind, Message, SchemaError, Value};
use crate::types::{TimestampMs, Uuid};
use crate::wire::Reader;

const VOTER: &[Field] = &[Field::new("voterId", Kind::I32), Field::new("voterDirectoryId", Kind::Uuid).since(1)];

/// Value of the control record of a new leader.
pub const LEADER_CHANGE: Message = Message {
    api_key: 2,
    name: "LeaderChangeMessage",
    versions: (0, 1),
    flexible_from: 0,
    fields: &[
        Field::new("version", Kind::I16),
        Field::new("leaderId", Kind::I32),
        Field::new("voters", Kind::Array(&Kind::Struct(VOTER))),
        Field::new("grantingVoters", Kind::Array(&Kind::Struct(VOTER))),
    ],
};

const VOTERS_RECORD_ENDPOINT: &[Field] =
    &[Field::new("name", Kind::String), Field::new("host", Kind::String), Field::new("port", Kind::U16)];
const VOTERS_RECORD_FEATURE: &[Field] =
    &[Field::new("minSupportedVersion", Kind::I16), Field::new("maxSupportedVersion", Kind::I16)];
const VOTERS_RECORD_VOTER: &[Field] = &[
    Field::new("voterId", Kind::I32),
    Field::new("voterDirectoryId", Kind::Uuid),
    Field::new("endpoints", Kind::Array(&Kind::Struct(VOTERS_RECORD_ENDPOINT))),
    Field::new("kRaftVersionFeature", Kind::Struct(VOTERS_RECORD_FEATURE)),
];

/// Every control record of the metadata log, by the type in its key (`ControlRecordType`).
pub const CONTROL_RECORDS: &[Message] = &[
    LEADER_CHANGE,
    Message {
        api_key: 3,
        name: "SnapshotHeaderRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("version", Kind::I16), Field::new("lastContainedLogTimestamp", Kind::I64)],
    },
    Message {
        api_key: 4,
        name: "SnapshotFooterRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("version", Kind::I16)],
    },
    Message {
        api_key: 5,
        name: "KRaftVersionRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[Field::new("version", Kind::I16), Field::new("kRaftVersion", Kind::I16)],
    },
    Message {
        api_key: 6,
        name: "VotersRecord",
        versions: (0, 0),
        flexible_from: 0,
        fields: &[
            Field::new("version", Kind::I16),
            Field::new("voters", Kind::Array(&Kind::Struct(VOTERS_RECORD_VOTER))),
        ],
    },
];

/// What a control record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlRecord {
    /// A new leader, at the start of its epoch.
    LeaderChange {
        /// The leader.
        leader_id: i32,
        /// All voters, with no endpoints.
        voters: Vec<Voter>,
    },
    /// A snapshot begins.
    SnapshotHeader {
        /// Timestamp of the last record in it; 0 in a bootstrap snapshot.
        last_contained_log_timestamp_ms: TimestampMs,
    },
    /// A snapshot is complete.
    SnapshotFooter,
    /// Level of the feature `kraft.version`.
    KRaftVersion {
        /// 0 static voters, 1 dynamic ones (KIP-853).
        level: i32,
    },
    /// The voters of a dynamic quorum.
    Voters {
        /// All of them.
        voters: Vec<Voter>,
    },
    /// Of a type or version that is not known here.
    Unknown {
        /// Type in the key.
        type_id: i16,
        /// The value as it is.
        value: Vec<u8>,
    },
}

/// A voter of the metadata quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voter {
    /// Its node id.
    pub voter_id: i32,
    /// Directory of its metadata log; all zero where it is not said.
    pub directory_id: Uuid,
    /// Where it listens.
    pub endpoints: Vec<VoterEndpoint>,
    /// Lowest and highest level of `kraft.version` it takes.
    pub kraft_version: (i32, i32),
}

/// Where a voter listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoterEndpoint {
    /// Name of the listener.
    pub name: String,
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Reads the value of a control record whose key names `type_id`.
pub fn decode_control(type_id: i16, value: &[u8]) -> Result<ControlRecord, SchemaError> {
    let unknown = || Ok(ControlRecord::Unknown { type_id, value: value.to_vec() });
    let Some(message) = CONTROL_RECORDS.iter().find(|message| i64::from(message.api_key) == i64::from(type_id)) else {
        return unknown();
    };
    let version = Reader::new(value).i16().map_err(|reason| SchemaError::Wire { field: "version", reason })?;
    if !message.knows(version) {
        return unknown();
    }
    let fields = message.decode_all(version, value)?;
    Ok(match type_id {
        2 => ControlRecord::LeaderChange {
            leader_id: fields.int("leaderId"),
            voters: fields
                .structs("voters")
                .map(|voter| Voter {
                    voter_id: voter.int("voterId"),
                    directory_id: voter.uuid("voterDirectoryId"),
                    endpoints: Vec::new(),
                    kraft_version: (0, 0),
                })
                .collect(),
        },
        3 => {
            ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms: fields.long("lastContainedLogTimestamp") }
        }
        4 => ControlRecord::SnapshotFooter,
        5 => ControlRecord::KRaftVersion { level: fields.int("kRaftVersion") },
        _ => ControlRecord::Voters { voters: fields.structs("voters").map(voter).collect() },
    })
}

fn voter(fields: &super::Fields<'_>) -> Voter {
    let endpoint = |endpoint: &super::Fields<'_>| VoterEndpoint {
        name: endpoint.text("name"),
        host: endpoint.text("host"),
        port: endpoint.get("port").and_then(port).unwrap_or(0),
    };
    let range = fields.structs("kRaftVersionFeature").next();
    Voter {
        voter_id: fields.int("voterId"),
        directory_id: fields.uuid("voterDirectoryId"),
        endpoints: fields.structs("endpoints").map(endpoint).collect(),
        kraft_version: range
            .map_or((0, 0), |range| (range.int("minSupportedVersion"), range.int("maxSupportedVersion"))),
    }
}

/// A field of 16 bits without a sign.
pub(super) fn port(value: &Value<'_>) -> Option<u16> {
    match value {
        Value::Number(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(type_id: i16, hex: &str) -> ControlRecord {
        decode_control(type_id, &data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()).unwrap()
    }

    /// Values written by Kafka 4.3.0.
    #[test]
    fn control_records_are_read() {
        let leader = decoded(2, "00000000000703000000010000000007000100");
        let ControlRecord::LeaderChange { leader_id: 7, voters } = leader else { panic!("{leader:?}") };
        assert_eq!(voters.iter().map(|voter| voter.voter_id).collect::<Vec<_>>(), [1, 7]);
        let header = ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms: 1_760_000_000_000 };
        assert_eq!(decoded(3, "000000000199c82cc00000"), header);
        assert_eq!(decoded(4, "000000"), ControlRecord::SnapshotFooter);
        assert_eq!(decoded(5, "0000000100"), ControlRecord::KRaftVersion { level: 1 });
        let voters = decoded(
            6,
            "000003000000034716fa4cd62943028ff5001af866e80d020b434f4e54524f4c4c45520b68226f5c73097401c3a9fde80000000001000000000004000000000000000000000000000000000100000000000000",
        );
        let ControlRecord::Voters { voters } = voters else { panic!("{voters:?}") };
        assert_eq!((voters.len(), voters[0].voter_id, voters[0].endpoints[0].port), (2, 3, 65_000));
        assert_eq!(voters[0].kraft_version, (0, 1));
        assert_eq!(decoded(9, "0000"), ControlRecord::Unknown { type_id: 9, value: vec![0, 0] });
        assert_eq!(decoded(5, "000900"), ControlRecord::Unknown { type_id: 5, value: vec![0, 9, 0] });
    }

    proptest! {
        #[test]
        fn any_value_is_answered(type_id in -1i16..9, value in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode_control(type_id, &value);
            let _ = decode_control(type_id, &[&[0, 0][..], &value].concat());
        }
    }
}
