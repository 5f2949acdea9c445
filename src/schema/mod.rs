//! Records of Kafka's internal topics, from bytes to fields.
//!
//! - [`message`]: the encoding of Kafka's generated messages, read by tables that describe them;
//! - [`metadata`]: the tables of the cluster metadata records (`__cluster_metadata`), and typed forms of those
//!   that decide where partitions are;
//! - [`coordinator`]: the tables of the coordinators' records (`__consumer_offsets`, `__transaction_state`,
//!   `__share_group_state`);
//! - [`consumer_protocol`]: the subscriptions and assignments inside a classic group's record;
//! - [`topic_configs`]: a topic's settings and where each comes from;
//! - [`image`]: what the metadata records come to when they are applied in order: topics, partitions, replicas.
//!
//! Pure: bytes in, values out. A type or version that no table knows is an answer, with its bytes as they are.

pub mod consumer_protocol;
pub mod coordinator;
pub mod image;
pub mod message;
pub mod metadata;
pub mod topic_configs;
