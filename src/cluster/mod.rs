//! Live clusters, spoken to through librdkafka: only in builds with the feature `cluster`.
//!
//! - [`properties`]: settings of clients, and which of them are secrets;
//! - [`client`]: a cluster, the clients that are opened on it, and what goes wrong with them;
//! - [`topics`]: topics there: found, described, made;
//! - [`fetcher`]: records of partitions, from offsets on;
//! - [`native`]: what librdkafka tells and its binding does not;
//! - [`sender`]: records to partitions, in transactions, and at which offsets they arrived;
//! - [`runs`]: which offsets of a source became which offsets of a target;
//! - [`mm2`]: MirrorMaker 2's records of progress, with those runs beside them;
//! - [`progress`]: where a mirror stands, as the cluster itself has it;
//! - [`translate`]: committed offsets of groups, in the target's numbers;
//! - [`groups`]: committed offsets there.
//!
//! [`runs`], [`mm2`] and [`translate`] are pure. Nothing here prints: what librdkafka says is kept in
//! [`client::Said`], without secrets, for whoever has the streams.

pub mod client;
pub mod fetcher;
pub mod groups;
pub mod mm2;
pub mod native;
pub mod progress;
pub mod properties;
pub mod runs;
pub mod sender;
pub mod topics;
pub mod translate;
