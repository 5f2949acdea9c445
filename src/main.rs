//! The `logdir` command.

fn main() {}
