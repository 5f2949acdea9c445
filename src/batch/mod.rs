//! Record batches and messages: what a `.log` file is made of, as pure functions of bytes.
//!
//! Nothing here knows a file, a path or a clock.

pub mod record;
