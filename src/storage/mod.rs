//! The files of a log directory.
//!
//! Every format has one file here, and one shape: a pure parser over bytes, which trusts no length
//! and no count it finds, and where useful a `read` that opens a file, caps what it takes from it
//! and adds the path to whatever went wrong ([`fs`]).
//!
//! ```text
//!  log dir                            meta_properties  clean_shutdown  checkpoint
//!   `- topic-0/            names      partition_metadata  leader_epochs  (quorum_state)
//!       |- NNN.log
//!       |- NNN.index       index::offset
//!       |- NNN.timeindex   index::time
//!       |- NNN.txnindex    index::txn
//!       `- NNN.snapshot    producer_state  producer_states
//! ```
//!
//! Reading takes no lock and writes nothing. What changes a directory takes Kafka's lock ([`lock`]), makes a plan of
//! what a broker would do on opening it ([`recovery`]), and then appends ([`writer`]), adds ([`create`]), removes ([`delete`]) or
//! takes in what another cluster wrote ([`adopt`]); [`moves`] brings partitions to other log directories. Whose partitions a node holds is known to its metadata log ([`node`]).
//!
//! What the coordinators keep in their topics is read by [`coordinator`]; [`membership`] takes part in a group.
//! The metadata log, and the cluster it comes to at any moment, is read by [`metadata_log`].
//!
//! What a broker would do with whole directories at its next start is told by [`forecast`]; what several replicas of one
//! partition hold, side by side, by [`assess`]. Appending to all of them together is [`replicated`]'s.
//!
//! Parsers accept what Kafka 4.3 accepts and refuse what it refuses; where a broker would refuse to
//! start, the error says what it tripped over.

pub mod active_producers;
pub mod adopt;
pub mod assess;
pub mod checkpoint;
pub mod clean_shutdown;
pub mod cluster_metadata;
pub mod coordinator;
pub mod create;
pub mod delete;
pub mod ensemble;
pub mod evidence;
pub mod file_source;
pub mod forecast;
pub mod fs;
pub mod index;
pub mod inventory;
mod java;
pub mod leader_epochs;
pub mod list_offsets;
pub mod lock;
pub mod log_dir;
pub mod membership;
pub mod meta_properties;
pub mod metadata_log;
pub mod mirror;
pub mod moves;
pub mod names;
pub mod node;
pub mod partition;
pub mod partition_metadata;
pub mod placement;
#[cfg(test)]
mod power_loss;
pub mod producer_state;
pub mod producer_states;
pub mod properties;
pub mod quorum_state;
pub mod reader;
pub mod recovery;
pub mod remarks;
pub mod replicas;
pub mod replicated;
pub mod restore;
pub mod salvage;
pub mod stage;
pub mod swap;
pub mod transactions;
pub mod verify;
pub mod writer;
