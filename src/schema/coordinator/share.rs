//! Records of `__share_group_state`: how far each share group is in each partition (`ShareCoordinatorRecordSerde`).
//!
//! An update counts on top of the snapshot with the same snapshot epoch.

use super::RecordType;
use crate::schema::message::{Default, Field, Kind, Message};

const SHARE_SNAPSHOT_VALUE_STATE_BATCH: &[Field] = &[
    Field::new("firstOffset", Kind::I64),
    Field::new("lastOffset", Kind::I64),
    Field::new("deliveryState", Kind::I8),
    Field::new("deliveryCount", Kind::I16),
];
const SHARE_UPDATE_VALUE_STATE_BATCH: &[Field] = &[
    Field::new("firstOffset", Kind::I64),
    Field::new("lastOffset", Kind::I64),
    Field::new("deliveryState", Kind::I8),
    Field::new("deliveryCount", Kind::I16),
];

/// The record types of Kafka 4.3.
pub const RECORDS: &[RecordType] = &[
    RecordType {
        id: 0,
        name: "ShareSnapshot",
        key: Message {
            api_key: 0,
            name: "ShareSnapshotKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[
                Field::new("groupId", Kind::String),
                Field::new("topicId", Kind::Uuid),
                Field::new("partition", Kind::I32),
            ],
        },
        value: Message {
            api_key: 0,
            name: "ShareSnapshotValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new("snapshotEpoch", Kind::I32),
                Field::new("stateEpoch", Kind::I32),
                Field::new("leaderEpoch", Kind::I32),
                Field::new("startOffset", Kind::I64),
                Field::new("deliveryCompleteCount", Kind::I32).tagged(0, 0).or(Default::Number(-1)),
                Field::new("createTimestamp", Kind::I64),
                Field::new("writeTimestamp", Kind::I64),
                Field::new("stateBatches", Kind::Array(&Kind::Struct(SHARE_SNAPSHOT_VALUE_STATE_BATCH))),
            ],
        },
    },
    RecordType {
        id: 1,
        name: "ShareUpdate",
        key: Message {
            api_key: 1,
            name: "ShareUpdateKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[
                Field::new("groupId", Kind::String),
                Field::new("topicId", Kind::Uuid),
                Field::new("partition", Kind::I32),
            ],
        },
        value: Message {
            api_key: 1,
            name: "ShareUpdateValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new("snapshotEpoch", Kind::I32),
                Field::new("leaderEpoch", Kind::I32),
                Field::new("startOffset", Kind::I64),
                Field::new("deliveryCompleteCount", Kind::I32).tagged(0, 0).or(Default::Number(-1)),
                Field::new("stateBatches", Kind::Array(&Kind::Struct(SHARE_UPDATE_VALUE_STATE_BATCH))),
            ],
        },
    },
];
