//! Apache Kafka log directories on a local disk: read, written and understood with no broker running.
//!
//! The layers, each importing only from those above it in this list:
//!
//! - [`types`], [`wire`], [`crc`], [`json_text`]: numbers, bytes, checksums, strings in JSON;
//! - [`batch`]: record batches and messages as pure functions of bytes;
//! - [`partitioner`]: which partition a record, group or transaction belongs to; `java_map`: the order of Java's
//!   hash maps, where it decides;
//! - [`schema`]: records of the internal topics, as pure functions of bytes;
//! - [`group`]: consumer groups: who gets which partitions, as pure functions of members and topics;
//! - [`reassign`]: plans that move replicas between brokers and disks, as pure functions of who has what;
//! - [`replication`]: one partition's replicas, leader and in-sync set as a state machine, and what goes wrong in it, as pure
//!   functions of states and events;
//! - [`storage`]: the files of a log directory;
//! - [`workers`]: records shared out among threads and processes, in order by key;
//! - `cluster`: live clusters, in builds with the feature of that name;
//! - [`cli`]: arguments, printing and exit codes of the `logdir` command.
//!
//! Everything read from disk is a claim until it is checked; nothing here panics on bytes.

pub mod batch;
pub mod cli;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod crc;
pub mod group;
mod java_map;
pub mod json_text;
pub mod partitioner;
pub mod reassign;
pub mod replication;
pub mod schema;
pub mod storage;
pub mod types;
pub mod wire;
pub mod workers;
