//! The binary as a person or a script sees it: stdout, stderr and exit code together.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod manners;
mod support;
