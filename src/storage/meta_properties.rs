//! `meta.properties`: which cluster and node a log directory belongs to.
//!
//! Version 1 is that of KRaft, the only one a 4.x server starts with; version 0 comes from brokers
//! under ZooKeeper. What is refused follows `MetaProperties` of Kafka 4.3.

use std::path::Path;

use thiserror::Error;

use super::fs::{self, StorageError};
use super::java;
use super::properties::{self, PropertiesError};
use crate::types::Uuid;

/// The file's name in a log directory.
pub const FILE_NAME: &str = "meta.properties";

/// The identity of a log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetaProperties {
    /// Written under ZooKeeper; a missing version means this one.
    V0 {
        /// The cluster, when it is known.
        cluster_id: Option<String>,
        /// The broker, when it is known.
        broker_id: Option<i32>,
        /// This directory, when it has an id.
        directory_id: Option<Uuid>,
    },
    /// Written by `storage format` and KRaft servers.
    V1 {
        /// The cluster, normally 22 characters of base64; any text is accepted.
        cluster_id: String,
        /// The broker or controller.
        node_id: i32,
        /// This directory, when it has an id.
        directory_id: Option<Uuid>,
    },
}

/// Why a server does not start on a `meta.properties`.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum MetaPropertiesError {
    /// Not properties text.
    #[error("{0}")]
    Properties(#[from] PropertiesError),
    /// The version is no number.
    #[error("version: expected 0 or 1, found \"{found}\"")]
    VersionNotANumber {
        /// What is there.
        found: String,
    },
    /// A version of the future.
    #[error("version: expected 0 or 1, found {found}")]
    UnknownVersion {
        /// The stored version.
        found: i32,
    },
    /// Version 1 without its cluster or node.
    #[error("{key} is missing, version 1 requires it")]
    Missing {
        /// `cluster.id` or `node.id`.
        key: &'static str,
    },
    /// A node or broker id that is no number.
    #[error("{key}: expected a number, found \"{found}\"")]
    NotANumber {
        /// `node.id` or `broker.id`.
        key: &'static str,
        /// What is there.
        found: String,
    },
    /// A directory id that is no id.
    #[error("directory.id: expected 22 characters of base64, found \"{found}\"")]
    DirectoryId {
        /// What is there.
        found: String,
    },
}

impl MetaProperties {
    /// The file's text.
    pub fn to_text(&self) -> String {
        let (id_key, id) = match self {
            MetaProperties::V0 { broker_id, .. } => ("broker.id", *broker_id),
            MetaProperties::V1 { node_id, .. } => ("node.id", Some(*node_id)),
        };
        let entries = [
            (id_key, id.map(|id| id.to_string())),
            ("directory.id", self.directory_id().map(|id| id.to_string())),
            ("version", Some(self.version().to_string())),
            ("cluster.id", self.cluster_id().map(str::to_owned)),
        ];
        properties::to_text(entries.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?))))
    }

    /// The format's version.
    pub const fn version(&self) -> i32 {
        match self {
            MetaProperties::V0 { .. } => 0,
            MetaProperties::V1 { .. } => 1,
        }
    }

    /// The cluster, where it is known.
    pub fn cluster_id(&self) -> Option<&str> {
        match self {
            MetaProperties::V0 { cluster_id, .. } => cluster_id.as_deref(),
            MetaProperties::V1 { cluster_id, .. } => Some(cluster_id),
        }
    }

    /// The broker's or node's id, where it is known.
    pub const fn node_id(&self) -> Option<i32> {
        match self {
            MetaProperties::V0 { broker_id, .. } => *broker_id,
            MetaProperties::V1 { node_id, .. } => Some(*node_id),
        }
    }

    /// This directory's id, where it has one.
    pub const fn directory_id(&self) -> Option<Uuid> {
        match self {
            MetaProperties::V0 { directory_id, .. } | MetaProperties::V1 { directory_id, .. } => *directory_id,
        }
    }
}

/// Parses the file. Keys that are not used in its version are not looked at.
pub fn parse(bytes: &[u8]) -> Result<MetaProperties, MetaPropertiesError> {
    let mut entries = properties::parse(bytes)?;
    let version = entries.remove("version").unwrap_or_else(|| "0".to_owned());
    // The version alone is trimmed, as Java trims: control characters too.
    let version = version.trim_matches(|c: char| c <= ' ');
    let version: i32 =
        version.parse().map_err(|_| MetaPropertiesError::VersionNotANumber { found: java::clip(version) })?;
    if !matches!(version, 0 | 1) {
        return Err(MetaPropertiesError::UnknownVersion { found: version });
    }
    let cluster_id = entries.remove("cluster.id");
    let directory_id = match entries.remove("directory.id") {
        None => None,
        Some(text) => match Uuid::parse(&text) {
            None => return Err(MetaPropertiesError::DirectoryId { found: java::clip(&text) }),
            id => id,
        },
    };
    let mut number = |key: &'static str| match entries.remove(key) {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) => Err(MetaPropertiesError::NotANumber { key, found: java::clip(&text) }),
        },
    };
    if version == 0 {
        return Ok(MetaProperties::V0 { cluster_id, broker_id: number("broker.id")?, directory_id });
    }
    Ok(MetaProperties::V1 {
        node_id: number("node.id")?.ok_or(MetaPropertiesError::Missing { key: "node.id" })?,
        cluster_id: cluster_id.ok_or(MetaPropertiesError::Missing { key: "cluster.id" })?,
        directory_id,
    })
}

/// Reads the file at `path`.
pub fn read(path: &Path) -> Result<MetaProperties, StorageError> {
    fs::read_parsed(path, fs::PROPERTIES_BYTES_MAX, parse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REAL: &str = "#\n#Sun Nov 22 12:54:11 UTC 2026\nnode.id=1\ndirectory.id=9IeDSnKmSqOco9U4PUMEBQ\nversion=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\n";

    #[test]
    fn a_real_file_is_read() {
        let meta = parse(REAL.as_bytes()).unwrap();
        assert_eq!((meta.version(), meta.cluster_id(), meta.node_id()), (1, Some("4L6g3nShT-eMCtK--X86sw"), Some(1)));
        assert_eq!(meta.directory_id(), Uuid::parse("9IeDSnKmSqOco9U4PUMEBQ"));
    }

    /// Recorded from `MetaProperties.Builder` of Kafka 4.3.0.
    #[test]
    fn accepted_as_kafka_accepts() {
        let v0 = |cluster: Option<&str>, broker_id| MetaProperties::V0 {
            cluster_id: cluster.map(str::to_owned),
            broker_id,
            directory_id: None,
        };
        let v1 =
            |cluster: &str, node_id| MetaProperties::V1 { cluster_id: cluster.to_owned(), node_id, directory_id: None };
        let cases = [
            ("", v0(None, None)),
            ("version=0\n", v0(None, None)),
            ("broker.id=3\n", v0(None, Some(3))),
            ("version=0\nbroker.id=-1", v0(None, Some(-1))),
            ("version=0\nnode.id=x\ncluster.id=z", v0(Some("z"), None)),
            ("version=1\ncluster.id=c\nnode.id=1\nbroker.id=q", v1("c", 1)),
            ("version=1 \ncluster.id=c\nnode.id=1", v1("c", 1)),
            ("version=+1\ncluster.id=c\nnode.id=-1", v1("c", -1)),
            ("version=01\ncluster.id=\nnode.id=1", v1("", 1)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn refused_as_kafka_refuses() {
        use MetaPropertiesError as E;
        let cases = [
            ("version=1\nnode.id=1", E::Missing { key: "cluster.id" }),
            ("version=1\ncluster.id=c", E::Missing { key: "node.id" }),
            ("version=2", E::UnknownVersion { found: 2 }),
            ("version=x", E::VersionNotANumber { found: "x".into() }),
            ("version=", E::VersionNotANumber { found: String::new() }),
            ("version=1\ncluster.id=c\nnode.id=1 ", E::NotANumber { key: "node.id", found: "1 ".into() }),
            ("broker.id=", E::NotANumber { key: "broker.id", found: String::new() }),
            ("directory.id=", E::DirectoryId { found: String::new() }),
            ("a=\\u1", E::Properties(PropertiesError::UnicodeEscape { line: 1 })),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn the_text_is_read_back() {
        let id = Uuid::parse("9IeDSnKmSqOco9U4PUMEBQ");
        for meta in [
            MetaProperties::V1 { cluster_id: "a b:\u{e4}".into(), node_id: 3, directory_id: id },
            MetaProperties::V1 { cluster_id: "4L6g3nShT-eMCtK--X86sw".into(), node_id: 0, directory_id: None },
            MetaProperties::V0 { cluster_id: None, broker_id: Some(1), directory_id: None },
        ] {
            assert_eq!(parse(meta.to_text().as_bytes()), Ok(meta));
        }
    }

    proptest! {
        #[test]
        fn mutations_never_panic(at in 0..REAL.len(), byte: u8, cut in 0..=REAL.len()) {
            let mut bytes = REAL.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = parse(&bytes[..cut]);
            let _ = parse(&bytes);
        }
    }
}
