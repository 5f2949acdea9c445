//! `quorum-state`: a controller's vote and the leader it knows, in `__cluster_metadata-0`.
//!
//! One line of JSON. Data version 0 is that of a static quorum, 1 that of a dynamic one. Fields of
//! the other version and unknown ones are ignored; a missing one is an error, as in `FileQuorumStateStore`.

use std::path::Path;

use serde_json::{Map, Value};
use thiserror::Error;

use super::fs::{self, StorageError};
use super::java;
use crate::types::{LeaderEpoch, Offset, Uuid};

/// The file's name in `__cluster_metadata-0`.
pub const FILE_NAME: &str = "quorum-state";

/// What a node knows of its quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumState {
    /// The leader; `None` when it is not known.
    pub leader_id: Option<i32>,
    /// The newest epoch seen.
    pub leader_epoch: LeaderEpoch,
    /// Who this node voted for in that epoch.
    pub voted_id: Option<i32>,
    /// What only one version stores.
    pub version: VersionFields,
}

/// Fields of one version of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionFields {
    /// Static quorum.
    V0 {
        /// The cluster; 4.x writes an empty text.
        cluster_id: String,
        /// Written, but used by nobody.
        applied_offset: Offset,
        /// Ids of the voters.
        current_voters: Vec<i32>,
    },
    /// Dynamic quorum.
    V1 {
        /// Directory of the node voted for; all zero when there was no vote, or it is not known.
        voted_directory_id: Uuid,
    },
}

impl VersionFields {
    /// The stored `data_version`.
    pub const fn data_version(&self) -> i16 {
        match self {
            VersionFields::V0 { .. } => 0,
            VersionFields::V1 { .. } => 1,
        }
    }
}

/// Why a file is not a quorum state.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum QuorumStateError {
    /// An empty file, or an empty first line.
    #[error("expected a line of JSON, found nothing")]
    Empty,
    /// Not JSON.
    #[error("not JSON: {reason}")]
    Json {
        /// What the JSON parser says.
        reason: String,
    },
    /// JSON, but not an object.
    #[error("expected a JSON object")]
    NotAnObject,
    /// A field the version requires is not there.
    #[error("{field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field of another type, or out of its range.
    #[error("{field}: expected {expected}, found {found}")]
    Field {
        /// The field.
        field: &'static str,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A version of the future.
    #[error("data_version: expected 0 or 1, found {found}")]
    Version {
        /// The stored version.
        found: i16,
    },
}

/// Parses the first line of the file; Kafka reads no further.
pub fn parse(bytes: &[u8]) -> Result<QuorumState, QuorumStateError> {
    use QuorumStateError as E;
    let line = bytes.split(|b| matches!(b, b'\n' | b'\r')).next().unwrap_or_default();
    // One value is read; what follows it on the line is not looked at.
    let value = match serde_json::Deserializer::from_slice(line).into_iter::<Value>().next() {
        None => return Err(E::Empty),
        Some(Err(error)) => return Err(E::Json { reason: error.to_string() }),
        Some(Ok(value)) => value,
    };
    let fields = Fields(value.as_object().ok_or(E::NotAnObject)?);
    let version = match fields.number::<i16>("data_version", "a version")? {
        0 => VersionFields::V0 {
            cluster_id: fields.text("clusterId")?.to_owned(),
            applied_offset: Offset::new(fields.number("appliedOffset", "an offset")?),
            current_voters: fields.voters()?,
        },
        1 => {
            let text = fields.text("votedDirectoryId")?;
            let voted_directory_id = Uuid::parse(text).ok_or_else(|| E::Field {
                field: "votedDirectoryId",
                expected: "22 characters of base64",
                found: java::clip(text),
            })?;
            VersionFields::V1 { voted_directory_id }
        }
        found => return Err(E::Version { found }),
    };
    let known = |id: i32| (id != -1).then_some(id);
    Ok(QuorumState {
        leader_id: known(fields.number("leaderId", "a node id")?),
        leader_epoch: LeaderEpoch(fields.number("leaderEpoch", "an epoch")?),
        voted_id: known(fields.number("votedId", "a node id")?),
        version,
    })
}

/// Reads the file at `path`.
pub fn read(path: &Path) -> Result<QuorumState, StorageError> {
    fs::read_parsed(path, fs::PROPERTIES_BYTES_MAX, parse)
}

struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn get(&self, field: &'static str) -> Result<&'a Value, QuorumStateError> {
        self.0.get(field).ok_or(QuorumStateError::Missing { field })
    }

    fn number<T: TryFrom<i64>>(&self, field: &'static str, expected: &'static str) -> Result<T, QuorumStateError> {
        let value = self.get(field)?;
        value.as_i64().and_then(|n| T::try_from(n).ok()).ok_or_else(|| wrong(field, expected, value))
    }

    fn text(&self, field: &'static str) -> Result<&'a str, QuorumStateError> {
        let value = self.get(field)?;
        value.as_str().ok_or_else(|| wrong(field, "text", value))
    }

    fn voters(&self) -> Result<Vec<i32>, QuorumStateError> {
        let value = self.get("currentVoters")?;
        let voters = match value {
            Value::Null => return Ok(Vec::new()),
            Value::Array(voters) => voters,
            other => return Err(wrong("currentVoters", "a list", other)),
        };
        let id = |voter: &Value| {
            let voter = voter.as_object().ok_or_else(|| wrong("currentVoters", "a list of objects", voter))?;
            Fields(voter).number("voterId", "a node id")
        };
        voters.iter().map(id).collect()
    }
}

fn wrong(field: &'static str, expected: &'static str, found: &Value) -> QuorumStateError {
    QuorumStateError::Field { field, expected, found: java::clip(&found.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V0: &str = r#"{"clusterId":"","leaderId":1,"leaderEpoch":2,"votedId":3,"appliedOffset":0,"currentVoters":[{"voterId":1},{"voterId":3}],"data_version":0}"#;
    const V1: &str =
        r#"{"leaderId":-1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#;

    #[test]
    fn both_versions_are_read() {
        let v0 = QuorumState {
            leader_id: Some(1),
            leader_epoch: LeaderEpoch(2),
            voted_id: Some(3),
            version: VersionFields::V0 {
                cluster_id: String::new(),
                applied_offset: Offset::ZERO,
                current_voters: vec![1, 3],
            },
        };
        let v1 = QuorumState {
            leader_id: None,
            leader_epoch: LeaderEpoch(1),
            voted_id: None,
            version: VersionFields::V1 { voted_directory_id: Uuid::ZERO },
        };
        assert_eq!(parse(V0.as_bytes()), Ok(v0));
        assert_eq!(parse(V1.as_bytes()), Ok(v1.clone()));
        assert_eq!(parse(format!("{V1} junk\n{{more").as_bytes()), Ok(v1), "only the first value is read");
    }

    /// Which texts are refused was recorded from `FileQuorumStateStore` of Kafka 4.3.0.
    #[test]
    fn refusals_name_the_field() {
        use QuorumStateError as E;
        let cases = [
            ("", E::Empty),
            ("[]", E::NotAnObject),
            ("{}", E::Missing { field: "data_version" }),
            (r#"{"data_version":2}"#, E::Version { found: 2 }),
            (r#"{"data_version":0}"#, E::Missing { field: "clusterId" }),
            (&V1.replace("votedDirectoryId", "x"), E::Missing { field: "votedDirectoryId" }),
            (&V1.replace("votedId", "x"), E::Missing { field: "votedId" }),
            (&V0.replace("leaderId", "x"), E::Missing { field: "leaderId" }),
            (
                &V0.replace(":2,", ":9999999999,"),
                E::Field { field: "leaderEpoch", expected: "an epoch", found: "9999999999".into() },
            ),
            (&V0.replace(":2,", ":1.5,"), E::Field { field: "leaderEpoch", expected: "an epoch", found: "1.5".into() }),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), Err(expected), "{text}");
        }
        assert!(matches!(parse(b"nonsense"), Err(E::Json { .. })));
    }

    proptest! {
        #[test]
        fn mutations_never_panic(at in 0..V0.len(), byte: u8, cut in 0..=V0.len()) {
            let mut bytes = V0.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = parse(&bytes[..cut]);
            let _ = parse(&bytes);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }
    }
}
