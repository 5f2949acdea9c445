//! The binary as a person or a script sees it: stdout, stderr and exit code together.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod consume;
mod consume_group;
mod dump_segment;
mod groups;
mod log_dirs;
mod manners;
mod memory;
mod metadata;
mod mirror;
mod offsets;
mod partition_of;
mod produce;
mod produce_replicas;
mod reassign;
mod reassign_execute;
mod recover;
mod simulate_failover;
mod simulate_failover_assess;
mod support;
mod topics;
mod transactions;
mod verify;
mod verify_forecast;
mod verify_index;
