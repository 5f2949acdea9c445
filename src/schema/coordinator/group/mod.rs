//! Records of `__consumer_offsets`: committed offsets, and the groups of every protocol (`GroupCoordinatorRecordSerde`).
//!
//! Keys name a group and what belongs to it; the last value of a key counts, and no value removes it. Subscription
//! and assignment of a classic group's members are bytes of their own, see [`crate::schema::consumer_protocol`].
//!
//! - [`offset`]: a committed offset, read and written
//! - [`classic`]: a group whose members talk among themselves, read and written
//! - [`modern`]: a group whose members talk to the coordinator (KIP-848, share and streams groups), read

pub mod classic;
pub mod modern;
pub mod offset;
mod tables;

pub use self::classic::{ClassicGroup, ClassicMember};
pub use self::modern::{ModernGroup, ModernKind, ModernMember, ModernState};
pub use self::offset::CommittedOffset;
pub use self::tables::RECORDS;
use super::RecordType;

/// The record type with this number, which is one of [`RECORDS`].
fn record_type(id: i16) -> &'static RecordType {
    match RECORDS.iter().find(|kind| kind.id == id) {
        Some(kind) => kind,
        None => unreachable!("no record type {id}"),
    }
}

/// Names by which a coordinator knows the numbers of its record types (`CoordinatorRecordType`).
pub mod ids {
    /// `LegacyOffsetCommit`, of a broker before 0.9; read as `OffsetCommit`.
    pub const LEGACY_OFFSET_COMMIT: i16 = 0;
    /// `OffsetCommit`.
    pub const OFFSET_COMMIT: i16 = 1;
    /// `GroupMetadata`.
    pub const GROUP_METADATA: i16 = 2;
}
