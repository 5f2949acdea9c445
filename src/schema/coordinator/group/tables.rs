//! The record types as tables, made from Kafka's message definitions.

use crate::schema::coordinator::RecordType;
use crate::schema::message::{Default, Field, Kind, Message};

const ARRAY_I16: Kind = Kind::Array(&Kind::I16);
const ARRAY_I32: Kind = Kind::Array(&Kind::I32);
const ARRAY_STRING: Kind = Kind::Array(&Kind::String);

/// Fields of a member in a classic group's record.
pub(super) const GROUP_METADATA_VALUE_MEMBER_METADATA: &[Field] = &[
    Field::new("memberId", Kind::String),
    Field::new("groupInstanceId", Kind::String).since(3).nullable(3).or(Default::Null),
    Field::new("clientId", Kind::String),
    Field::new("clientHost", Kind::String),
    Field::new("rebalanceTimeout", Kind::I32).since(1).or(Default::Number(-1)),
    Field::new("sessionTimeout", Kind::I32),
    Field::new("subscription", Kind::Bytes),
    Field::new("assignment", Kind::Bytes),
];
const CONSUMER_GROUP_PARTITION_METADATA_VALUE_TOPIC_METADATA_PARTITION_METADATA: &[Field] =
    &[Field::new("partition", Kind::I32), Field::new("racks", ARRAY_STRING)];
const CONSUMER_GROUP_PARTITION_METADATA_VALUE_TOPIC_METADATA: &[Field] = &[
    Field::new("topicId", Kind::Uuid),
    Field::new("topicName", Kind::String),
    Field::new("numPartitions", Kind::I32),
    Field::new(
        "partitionMetadata",
        Kind::Array(&Kind::Struct(CONSUMER_GROUP_PARTITION_METADATA_VALUE_TOPIC_METADATA_PARTITION_METADATA)),
    ),
];
const CONSUMER_GROUP_MEMBER_METADATA_VALUE_CLASSIC_MEMBER_METADATA_CLASSIC_PROTOCOL: &[Field] =
    &[Field::new("name", Kind::String), Field::new("metadata", Kind::Bytes)];
const CONSUMER_GROUP_MEMBER_METADATA_VALUE_CLASSIC_MEMBER_METADATA: &[Field] = &[
    Field::new("sessionTimeoutMs", Kind::I32),
    Field::new(
        "supportedProtocols",
        Kind::Array(&Kind::Struct(CONSUMER_GROUP_MEMBER_METADATA_VALUE_CLASSIC_MEMBER_METADATA_CLASSIC_PROTOCOL)),
    ),
];
const CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER_VALUE_TOPIC_PARTITION: &[Field] =
    &[Field::new("topicId", Kind::Uuid), Field::new("partitions", ARRAY_I32)];
const CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE_TOPIC_PARTITIONS: &[Field] = &[
    Field::new("topicId", Kind::Uuid),
    Field::new("partitions", ARRAY_I32),
    Field::new("assignmentEpochs", ARRAY_I32).nullable(0).tagged(0, 0),
];
const SHARE_GROUP_TARGET_ASSIGNMENT_MEMBER_VALUE_TOPIC_PARTITION: &[Field] =
    &[Field::new("topicId", Kind::Uuid), Field::new("partitions", ARRAY_I32)];
const SHARE_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE_TOPIC_PARTITIONS: &[Field] =
    &[Field::new("topicId", Kind::Uuid), Field::new("partitions", ARRAY_I32)];
const SHARE_GROUP_STATE_PARTITION_METADATA_VALUE_TOPIC_PARTITIONS_INFO: &[Field] =
    &[Field::new("topicId", Kind::Uuid), Field::new("topicName", Kind::String), Field::new("partitions", ARRAY_I32)];
const SHARE_GROUP_STATE_PARTITION_METADATA_VALUE_TOPIC_INFO: &[Field] =
    &[Field::new("topicId", Kind::Uuid), Field::new("topicName", Kind::String)];
const STREAMS_GROUP_METADATA_VALUE_LAST_ASSIGNMENT_CONFIG: &[Field] =
    &[Field::new("key", Kind::String), Field::new("value", Kind::String)];
const STREAMS_GROUP_MEMBER_METADATA_VALUE_ENDPOINT: &[Field] =
    &[Field::new("host", Kind::String), Field::new("port", Kind::U16)];
const STREAMS_GROUP_MEMBER_METADATA_VALUE_KEY_VALUE: &[Field] =
    &[Field::new("key", Kind::String), Field::new("value", Kind::String)];
const STREAMS_GROUP_TARGET_ASSIGNMENT_MEMBER_VALUE_TASK_IDS: &[Field] =
    &[Field::new("subtopologyId", Kind::String), Field::new("partitions", ARRAY_I32)];
const STREAMS_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE_TASK_IDS: &[Field] = &[
    Field::new("subtopologyId", Kind::String),
    Field::new("partitions", ARRAY_I32),
    Field::new("assignmentEpochs", ARRAY_I32).nullable(0).tagged(0, 0),
];
const STREAMS_GROUP_TOPOLOGY_VALUE_SUBTOPOLOGY_TOPIC_INFO_TOPIC_CONFIG: &[Field] =
    &[Field::new("key", Kind::String), Field::new("value", Kind::String)];
const STREAMS_GROUP_TOPOLOGY_VALUE_SUBTOPOLOGY_TOPIC_INFO: &[Field] = &[
    Field::new("name", Kind::String),
    Field::new("partitions", Kind::I32),
    Field::new("replicationFactor", Kind::I16),
    Field::new(
        "topicConfigs",
        Kind::Array(&Kind::Struct(STREAMS_GROUP_TOPOLOGY_VALUE_SUBTOPOLOGY_TOPIC_INFO_TOPIC_CONFIG)),
    ),
];
const STREAMS_GROUP_TOPOLOGY_VALUE_SUBTOPOLOGY_COPARTITION_GROUP: &[Field] = &[
    Field::new("sourceTopics", ARRAY_I16),
    Field::new("sourceTopicRegex", ARRAY_I16),
    Field::new("repartitionSourceTopics", ARRAY_I16),
];
const STREAMS_GROUP_TOPOLOGY_VALUE_SUBTOPOLOGY: &[Field] = &[
    Field::new("subtopologyId", Kind::String),
    Field::new("sourceTopics", ARRAY_STRING),
    Field::new("sourceTopicRegex", ARRAY_STRING),
    Field::new("stateChangelogTopics", Kind::Array(&Kind::Struct(STREAMS_GROUP_TOPOLOGY_VALUE_SUBTOPOLOGY_TOPIC_INFO))),
    Field::new("repartitionSinkTopics", ARRAY_STRING),
    Field::new(
        "repartitionSourceTopics",
        Kind::Array(&Kind::Struct(STREAMS_GROUP_TOPOLOGY_VALUE_SUBTOPOLOGY_TOPIC_INFO)),
    ),
    Field::new(
        "copartitionGroups",
        Kind::Array(&Kind::Struct(STREAMS_GROUP_TOPOLOGY_VALUE_SUBTOPOLOGY_COPARTITION_GROUP)),
    ),
];

// `assignmentEpochs`, `classicMemberMetadata` and `lastAssignmentConfigs` may be null but are empty by default: the
// definitions say `"default": null`, which the generator does not take for the word "null". A broker writes the null.

/// Every record type of Kafka 4.3, by its number. 9 and 18 do not exist.
pub const RECORDS: &[RecordType] = &[
    RecordType {
        id: 0,
        name: "LegacyOffsetCommit",
        key: Message {
            api_key: 0,
            name: "LegacyOffsetCommitKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[
                Field::new("group", Kind::String),
                Field::new("topic", Kind::String),
                Field::new("partition", Kind::I32),
            ],
        },
        value: Message {
            api_key: 0,
            name: "LegacyOffsetCommitValue",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[
                Field::new("offset", Kind::I64),
                Field::new("metadata", Kind::String),
                Field::new("commitTimestamp", Kind::I64),
            ],
        },
    },
    RecordType {
        id: 1,
        name: "OffsetCommit",
        key: Message {
            api_key: 1,
            name: "OffsetCommitKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[
                Field::new("group", Kind::String),
                Field::new("topic", Kind::String),
                Field::new("partition", Kind::I32),
            ],
        },
        value: Message {
            api_key: 1,
            name: "OffsetCommitValue",
            versions: (0, 4),
            flexible_from: 4,
            fields: &[
                Field::new("offset", Kind::I64),
                Field::new("leaderEpoch", Kind::I32).since(3).or(Default::Number(-1)),
                Field::new("metadata", Kind::String),
                Field::new("commitTimestamp", Kind::I64),
                Field::new("expireTimestamp", Kind::I64).since(1).until(1).or(Default::Number(-1)),
                Field::new("topicId", Kind::Uuid).since(4).tagged(0, 4),
            ],
        },
    },
    RecordType {
        id: 2,
        name: "GroupMetadata",
        key: Message {
            api_key: 2,
            name: "GroupMetadataKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("group", Kind::String)],
        },
        value: Message {
            api_key: 2,
            name: "GroupMetadataValue",
            versions: (0, 4),
            flexible_from: 4,
            fields: &[
                Field::new("protocolType", Kind::String),
                Field::new("generation", Kind::I32),
                Field::new("protocol", Kind::String).nullable(0),
                Field::new("leader", Kind::String).nullable(0),
                Field::new("currentStateTimestamp", Kind::I64).since(2).or(Default::Number(-1)),
                Field::new("members", Kind::Array(&Kind::Struct(GROUP_METADATA_VALUE_MEMBER_METADATA))),
            ],
        },
    },
    RecordType {
        id: 3,
        name: "ConsumerGroupMetadata",
        key: Message {
            api_key: 3,
            name: "ConsumerGroupMetadataKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String)],
        },
        value: Message {
            api_key: 3,
            name: "ConsumerGroupMetadataValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[Field::new("epoch", Kind::I32), Field::new("metadataHash", Kind::I64).tagged(0, 0)],
        },
    },
    RecordType {
        id: 4,
        name: "ConsumerGroupPartitionMetadata",
        key: Message {
            api_key: 4,
            name: "ConsumerGroupPartitionMetadataKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String)],
        },
        value: Message {
            api_key: 4,
            name: "ConsumerGroupPartitionMetadataValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[Field::new(
                "topics",
                Kind::Array(&Kind::Struct(CONSUMER_GROUP_PARTITION_METADATA_VALUE_TOPIC_METADATA)),
            )],
        },
    },
    RecordType {
        id: 5,
        name: "ConsumerGroupMemberMetadata",
        key: Message {
            api_key: 5,
            name: "ConsumerGroupMemberMetadataKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String), Field::new("memberId", Kind::String)],
        },
        value: Message {
            api_key: 5,
            name: "ConsumerGroupMemberMetadataValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new("instanceId", Kind::String).nullable(0),
                Field::new("rackId", Kind::String).nullable(0),
                Field::new("clientId", Kind::String),
                Field::new("clientHost", Kind::String),
                Field::new("subscribedTopicNames", ARRAY_STRING),
                Field::new("subscribedTopicRegex", Kind::String).nullable(0),
                Field::new("rebalanceTimeoutMs", Kind::I32).or(Default::Number(-1)),
                Field::new("serverAssignor", Kind::String).nullable(0),
                Field::new(
                    "classicMemberMetadata",
                    Kind::Struct(CONSUMER_GROUP_MEMBER_METADATA_VALUE_CLASSIC_MEMBER_METADATA),
                )
                .nullable(0)
                .tagged(0, 0),
            ],
        },
    },
    RecordType {
        id: 6,
        name: "ConsumerGroupTargetAssignmentMetadata",
        key: Message {
            api_key: 6,
            name: "ConsumerGroupTargetAssignmentMetadataKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String)],
        },
        value: Message {
            api_key: 6,
            name: "ConsumerGroupTargetAssignmentMetadataValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new("assignmentEpoch", Kind::I32),
                Field::new("assignmentTimestamp", Kind::I64).tagged(0, 0),
            ],
        },
    },
    RecordType {
        id: 7,
        name: "ConsumerGroupTargetAssignmentMember",
        key: Message {
            api_key: 7,
            name: "ConsumerGroupTargetAssignmentMemberKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String), Field::new("memberId", Kind::String)],
        },
        value: Message {
            api_key: 7,
            name: "ConsumerGroupTargetAssignmentMemberValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[Field::new(
                "topicPartitions",
                Kind::Array(&Kind::Struct(CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER_VALUE_TOPIC_PARTITION)),
            )],
        },
    },
    RecordType {
        id: 8,
        name: "ConsumerGroupCurrentMemberAssignment",
        key: Message {
            api_key: 8,
            name: "ConsumerGroupCurrentMemberAssignmentKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String), Field::new("memberId", Kind::String)],
        },
        value: Message {
            api_key: 8,
            name: "ConsumerGroupCurrentMemberAssignmentValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new("memberEpoch", Kind::I32),
                Field::new("previousMemberEpoch", Kind::I32),
                Field::new("state", Kind::I8),
                Field::new(
                    "assignedPartitions",
                    Kind::Array(&Kind::Struct(CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE_TOPIC_PARTITIONS)),
                ),
                Field::new(
                    "partitionsPendingRevocation",
                    Kind::Array(&Kind::Struct(CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE_TOPIC_PARTITIONS)),
                ),
            ],
        },
    },
    RecordType {
        id: 10,
        name: "ShareGroupMemberMetadata",
        key: Message {
            api_key: 10,
            name: "ShareGroupMemberMetadataKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String), Field::new("memberId", Kind::String)],
        },
        value: Message {
            api_key: 10,
            name: "ShareGroupMemberMetadataValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new("rackId", Kind::String).nullable(0),
                Field::new("clientId", Kind::String),
                Field::new("clientHost", Kind::String),
                Field::new("subscribedTopicNames", ARRAY_STRING),
            ],
        },
    },
    RecordType {
        id: 11,
        name: "ShareGroupMetadata",
        key: Message {
            api_key: 11,
            name: "ShareGroupMetadataKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String)],
        },
        value: Message {
            api_key: 11,
            name: "ShareGroupMetadataValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[Field::new("epoch", Kind::I32), Field::new("metadataHash", Kind::I64)],
        },
    },
    RecordType {
        id: 12,
        name: "ShareGroupTargetAssignmentMetadata",
        key: Message {
            api_key: 12,
            name: "ShareGroupTargetAssignmentMetadataKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String)],
        },
        value: Message {
            api_key: 12,
            name: "ShareGroupTargetAssignmentMetadataValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new("assignmentEpoch", Kind::I32),
                Field::new("assignmentTimestamp", Kind::I64).tagged(0, 0),
            ],
        },
    },
    RecordType {
        id: 13,
        name: "ShareGroupTargetAssignmentMember",
        key: Message {
            api_key: 13,
            name: "ShareGroupTargetAssignmentMemberKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String), Field::new("memberId", Kind::String)],
        },
        value: Message {
            api_key: 13,
            name: "ShareGroupTargetAssignmentMemberValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[Field::new(
                "topicPartitions",
                Kind::Array(&Kind::Struct(SHARE_GROUP_TARGET_ASSIGNMENT_MEMBER_VALUE_TOPIC_PARTITION)),
            )],
        },
    },
    RecordType {
        id: 14,
        name: "ShareGroupCurrentMemberAssignment",
        key: Message {
            api_key: 14,
            name: "ShareGroupCurrentMemberAssignmentKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String), Field::new("memberId", Kind::String)],
        },
        value: Message {
            api_key: 14,
            name: "ShareGroupCurrentMemberAssignmentValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new("memberEpoch", Kind::I32),
                Field::new("previousMemberEpoch", Kind::I32),
                Field::new("state", Kind::I8),
                Field::new(
                    "assignedPartitions",
                    Kind::Array(&Kind::Struct(SHARE_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE_TOPIC_PARTITIONS)),
                ),
            ],
        },
    },
    RecordType {
        id: 15,
        name: "ShareGroupStatePartitionMetadata",
        key: Message {
            api_key: 15,
            name: "ShareGroupStatePartitionMetadataKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String)],
        },
        value: Message {
            api_key: 15,
            name: "ShareGroupStatePartitionMetadataValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new(
                    "initializingTopics",
                    Kind::Array(&Kind::Struct(SHARE_GROUP_STATE_PARTITION_METADATA_VALUE_TOPIC_PARTITIONS_INFO)),
                ),
                Field::new(
                    "initializedTopics",
                    Kind::Array(&Kind::Struct(SHARE_GROUP_STATE_PARTITION_METADATA_VALUE_TOPIC_PARTITIONS_INFO)),
                ),
                Field::new(
                    "deletingTopics",
                    Kind::Array(&Kind::Struct(SHARE_GROUP_STATE_PARTITION_METADATA_VALUE_TOPIC_INFO)),
                ),
            ],
        },
    },
    RecordType {
        id: 16,
        name: "ConsumerGroupRegularExpression",
        key: Message {
            api_key: 16,
            name: "ConsumerGroupRegularExpressionKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String), Field::new("regularExpression", Kind::String)],
        },
        value: Message {
            api_key: 16,
            name: "ConsumerGroupRegularExpressionValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new("topics", ARRAY_STRING),
                Field::new("version", Kind::I64),
                Field::new("timestamp", Kind::I64),
            ],
        },
    },
    RecordType {
        id: 17,
        name: "StreamsGroupMetadata",
        key: Message {
            api_key: 17,
            name: "StreamsGroupMetadataKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String)],
        },
        value: Message {
            api_key: 17,
            name: "StreamsGroupMetadataValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new("epoch", Kind::I32),
                Field::new("metadataHash", Kind::I64),
                Field::new("validatedTopologyEpoch", Kind::I32).tagged(0, 0).or(Default::Number(-1)),
                Field::new(
                    "lastAssignmentConfigs",
                    Kind::Array(&Kind::Struct(STREAMS_GROUP_METADATA_VALUE_LAST_ASSIGNMENT_CONFIG)),
                )
                .nullable(0)
                .tagged(1, 0),
            ],
        },
    },
    RecordType {
        id: 19,
        name: "StreamsGroupMemberMetadata",
        key: Message {
            api_key: 19,
            name: "StreamsGroupMemberMetadataKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String), Field::new("memberId", Kind::String)],
        },
        value: Message {
            api_key: 19,
            name: "StreamsGroupMemberMetadataValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new("instanceId", Kind::String).nullable(0),
                Field::new("rackId", Kind::String).nullable(0),
                Field::new("clientId", Kind::String),
                Field::new("clientHost", Kind::String),
                Field::new("rebalanceTimeoutMs", Kind::I32).or(Default::Number(-1)),
                Field::new("topologyEpoch", Kind::I32),
                Field::new("processId", Kind::String),
                Field::new("userEndpoint", Kind::Struct(STREAMS_GROUP_MEMBER_METADATA_VALUE_ENDPOINT))
                    .nullable(0)
                    .or(Default::Null),
                Field::new("clientTags", Kind::Array(&Kind::Struct(STREAMS_GROUP_MEMBER_METADATA_VALUE_KEY_VALUE))),
            ],
        },
    },
    RecordType {
        id: 20,
        name: "StreamsGroupTargetAssignmentMetadata",
        key: Message {
            api_key: 20,
            name: "StreamsGroupTargetAssignmentMetadataKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String)],
        },
        value: Message {
            api_key: 20,
            name: "StreamsGroupTargetAssignmentMetadataValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new("assignmentEpoch", Kind::I32),
                Field::new("assignmentTimestamp", Kind::I64).tagged(0, 0),
            ],
        },
    },
    RecordType {
        id: 21,
        name: "StreamsGroupTargetAssignmentMember",
        key: Message {
            api_key: 21,
            name: "StreamsGroupTargetAssignmentMemberKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String), Field::new("memberId", Kind::String)],
        },
        value: Message {
            api_key: 21,
            name: "StreamsGroupTargetAssignmentMemberValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new(
                    "activeTasks",
                    Kind::Array(&Kind::Struct(STREAMS_GROUP_TARGET_ASSIGNMENT_MEMBER_VALUE_TASK_IDS)),
                ),
                Field::new(
                    "standbyTasks",
                    Kind::Array(&Kind::Struct(STREAMS_GROUP_TARGET_ASSIGNMENT_MEMBER_VALUE_TASK_IDS)),
                ),
                Field::new(
                    "warmupTasks",
                    Kind::Array(&Kind::Struct(STREAMS_GROUP_TARGET_ASSIGNMENT_MEMBER_VALUE_TASK_IDS)),
                ),
            ],
        },
    },
    RecordType {
        id: 22,
        name: "StreamsGroupCurrentMemberAssignment",
        key: Message {
            api_key: 22,
            name: "StreamsGroupCurrentMemberAssignmentKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String), Field::new("memberId", Kind::String)],
        },
        value: Message {
            api_key: 22,
            name: "StreamsGroupCurrentMemberAssignmentValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new("memberEpoch", Kind::I32),
                Field::new("previousMemberEpoch", Kind::I32),
                Field::new("state", Kind::I8),
                Field::new(
                    "activeTasks",
                    Kind::Array(&Kind::Struct(STREAMS_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE_TASK_IDS)),
                ),
                Field::new(
                    "standbyTasks",
                    Kind::Array(&Kind::Struct(STREAMS_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE_TASK_IDS)),
                ),
                Field::new(
                    "warmupTasks",
                    Kind::Array(&Kind::Struct(STREAMS_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE_TASK_IDS)),
                ),
                Field::new(
                    "activeTasksPendingRevocation",
                    Kind::Array(&Kind::Struct(STREAMS_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE_TASK_IDS)),
                ),
                Field::new(
                    "standbyTasksPendingRevocation",
                    Kind::Array(&Kind::Struct(STREAMS_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE_TASK_IDS)),
                ),
                Field::new(
                    "warmupTasksPendingRevocation",
                    Kind::Array(&Kind::Struct(STREAMS_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE_TASK_IDS)),
                ),
            ],
        },
    },
    RecordType {
        id: 23,
        name: "StreamsGroupTopology",
        key: Message {
            api_key: 23,
            name: "StreamsGroupTopologyKey",
            versions: (0, 0),
            flexible_from: i16::MAX,
            fields: &[Field::new("groupId", Kind::String)],
        },
        value: Message {
            api_key: 23,
            name: "StreamsGroupTopologyValue",
            versions: (0, 0),
            flexible_from: 0,
            fields: &[
                Field::new("epoch", Kind::I32),
                Field::new("subtopologies", Kind::Array(&Kind::Struct(STREAMS_GROUP_TOPOLOGY_VALUE_SUBTOPOLOGY))),
            ],
        },
    },
];
