//! The logdir command.

pub mod dump;
