//! Replication and failover of one partition, as rules that can be played through.
//!
//! - [`rules`], [`state`], [`event`], [`effect`], [`machine`]: the state machine; [`log`], [`epochs`] and [`broker_set`] are
//!   its parts;
//! - [`witness`]: what clients have seen of it, and which promises are broken;
//! - [`play`]: a sequence of events as a timeline;
//! - [`picture`]: a timeline as a table, a diagram, a page, rows of JSON;
//! - [`scenario`]: sequences with a name and an expectation, in files;
//! - [`assess`]: what becomes of a real partition, from what is on the disks of its replicas;
//! - [`explorer`]: the search through all states of a model; [`published`]: the five published models of truncation;
//! - [`simulator`]: runs in virtual time with faults drawn from a seed; [`protocol`]: every order of events within bounds;
//! - [`stats`]: how often a partition loses records and takes no writes, in a million years;
//! - [`picture`]: timelines as tables, diagrams, pages and rows.
//!
//! Pure, as [`crate::reassign`] is: no files, clock or randomness.

pub mod assess;
pub mod broker_set;
pub mod effect;
pub mod epochs;
pub mod event;
pub mod explorer;
pub mod log;
pub mod machine;
pub mod picture;
pub mod play;
pub mod protocol;
pub mod published;
pub mod random;
pub mod rules;
pub mod scenario;
pub mod simulator;
pub mod state;
pub mod stats;
pub mod witness;
