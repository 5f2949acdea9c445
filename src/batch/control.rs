//! Control records: what the broker writes between the data, in batches with the control bit.
//!
//! The key is two numbers, `i16 version, i16 type`. The value of a transaction marker is
//! `i16 version, i32 coordinator epoch`; the other types are generated messages of the metadata log.

use crate::wire::Reader;

/// What a control record says (`ControlRecordType`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ControlType {
    /// Ends a transaction; its records are to be dropped.
    Abort,
    /// Ends a transaction; its records count.
    Commit,
    /// A new leader of the metadata quorum.
    LeaderChange,
    /// First record of a metadata snapshot.
    SnapshotHeader,
    /// Last record of a metadata snapshot.
    SnapshotFooter,
    /// Version of the KRaft protocol (KIP-853).
    KRaftVersion,
    /// Voters of the metadata quorum (KIP-853).
    KRaftVoters,
    /// Any other id; readers skip these.
    Unknown(i16),
}

impl ControlType {
    /// The type named by a control record's key; `None` when the key is too short to name one.
    ///
    /// Versions above 0 read as version 0 does (`ControlRecordType.parseTypeId`).
    pub fn of_key(key: &[u8]) -> Option<ControlType> {
        let mut reader = Reader::new(key);
        let version = reader.i16().ok()?;
        let id = reader.i16().ok()?;
        (version >= 0).then_some(match id {
            0 => ControlType::Abort,
            1 => ControlType::Commit,
            2 => ControlType::LeaderChange,
            3 => ControlType::SnapshotHeader,
            4 => ControlType::SnapshotFooter,
            5 => ControlType::KRaftVersion,
            6 => ControlType::KRaftVoters,
            other => ControlType::Unknown(other),
        })
    }

    /// Kafka's name of the enum constant, as its tools print it.
    pub const fn kafka_name(self) -> &'static str {
        match self {
            ControlType::Abort => "ABORT",
            ControlType::Commit => "COMMIT",
            ControlType::LeaderChange => "LEADER_CHANGE",
            ControlType::SnapshotHeader => "SNAPSHOT_HEADER",
            ControlType::SnapshotFooter => "SNAPSHOT_FOOTER",
            ControlType::KRaftVersion => "KRAFT_VERSION",
            ControlType::KRaftVoters => "KRAFT_VOTERS",
            ControlType::Unknown(_) => "UNKNOWN",
        }
    }

    /// The word used in JSON output.
    pub const fn json_name(self) -> &'static str {
        match self {
            ControlType::Abort => "abort",
            ControlType::Commit => "commit",
            ControlType::LeaderChange => "leader_change",
            ControlType::SnapshotHeader => "snapshot_header",
            ControlType::SnapshotFooter => "snapshot_footer",
            ControlType::KRaftVersion => "kraft_version",
            ControlType::KRaftVoters => "kraft_voters",
            ControlType::Unknown(_) => "unknown",
        }
    }

    /// Whether it ends a transaction.
    pub const fn is_transaction_marker(self) -> bool {
        matches!(self, ControlType::Abort | ControlType::Commit)
    }
}

/// Epoch of the transaction coordinator that wrote a marker; `None` when the value is no marker's.
pub fn coordinator_epoch(value: &[u8]) -> Option<i32> {
    let mut reader = Reader::new(value);
    let version = reader.i16().ok()?;
    let epoch = reader.i32().ok()?;
    (version >= 0).then_some(epoch)
}
