//! The logdir command: arguments, printing and exit codes.

pub mod filter;
pub mod range;
pub mod record_format;
pub mod size;
pub mod table;
