//! The files of a log directory.

pub mod file_source;
