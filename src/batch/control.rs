//! Control records: what the broker writes between the data, in batches with the control bit.
//!
//! The key is two numbers, `i16 version, i16 type`. The value of a transaction marker is
//! `i16 version, i32 coordinator epoch`; the other types are generated messages of the metadata log.

use super::builder::{BatchBuf, BatchBuilder, BatchSpec, BuildError, NewRecord};
use super::compression::Compressor;
use crate::types::{LeaderEpoch, Offset, ProducerId, TimestampMs};
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

    /// The id stored in the key.
    pub const fn id(self) -> i16 {
        match self {
            ControlType::Abort => 0,
            ControlType::Commit => 1,
            ControlType::LeaderChange => 2,
            ControlType::SnapshotHeader => 3,
            ControlType::SnapshotFooter => 4,
            ControlType::KRaftVersion => 5,
            ControlType::KRaftVoters => 6,
            ControlType::Unknown(id) => id,
        }
    }

    /// The key of a control record of this type, version 0 (`ControlRecordType.recordKey`).
    pub const fn key(self) -> [u8; 4] {
        let [high, low] = self.id().to_be_bytes();
        [0, 0, high, low]
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

/// The marker that ends a transaction in one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransactionMarker {
    /// Whether its records count.
    pub commit: bool,
    /// Epoch of the transaction coordinator that ends it.
    pub coordinator_epoch: i32,
    /// Whose transaction it is.
    pub producer_id: ProducerId,
    /// The producer's epoch: the transaction's, or the one after it with transaction version 2 (KIP-890).
    pub producer_epoch: i16,
    /// When it ends.
    pub timestamp_ms: TimestampMs,
}

impl TransactionMarker {
    /// The marker's batch at `base_offset`, as the leader of `leader_epoch` appends it
    /// (`MemoryRecords.writeEndTransactionalMarker`).
    pub fn seal(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Result<BatchBuf, BuildError> {
        let mut builder = BatchBuilder::new(BatchSpec {
            base_offset,
            leader_epoch,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            transactional: true,
            control: true,
            ..BatchSpec::default()
        });
        let kind = if self.commit { ControlType::Commit } else { ControlType::Abort };
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        let value = [0, 0, a, b, c, d];
        builder.push(&NewRecord {
            timestamp_ms: self.timestamp_ms,
            key: Some(&kind.key()),
            value: Some(&value),
            headers: &[],
        })?;
        builder.seal(&mut Compressor::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_byte_for_byte_that_of_a_broker() {
        // From a log written by Kafka 4.3 with transaction version 2.
        let stored = "0000000000000003000000420000000002\
                      3c50b606003000000000000001a203567258000001a203567258000000000000000b0005ffffffff00000001\
                      200000000800000001 0c000000000000 00"
            .replace(' ', "");
        let stored = data_encoding::HEXLOWER.decode(stored.as_bytes()).unwrap();
        let marker = TransactionMarker {
            commit: true,
            coordinator_epoch: 0,
            producer_id: ProducerId(11),
            producer_epoch: 5,
            timestamp_ms: 0x1a2_0356_7258,
        };
        let sealed = marker.seal(Offset::new(3), LeaderEpoch(0)).unwrap();
        assert_eq!(sealed.bytes(), stored);
        let nobody = TransactionMarker { producer_id: ProducerId::NONE, ..marker };
        assert_eq!(nobody.seal(Offset::ZERO, LeaderEpoch(0)), Err(BuildError::NoProducerId));
    }

    #[test]
    fn keys_name_their_types() {
        for id in -1..=7 {
            let key = [0, 0, i16::to_be_bytes(id)[0], i16::to_be_bytes(id)[1]];
            let kind = ControlType::of_key(&key).unwrap();
            assert_eq!((kind.id(), kind.key()), (id, key));
        }
    }
}
