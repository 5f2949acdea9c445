//! Writing a log as a broker does.
pub mod config;
pub mod segment;
