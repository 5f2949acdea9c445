//! The logdir command.
