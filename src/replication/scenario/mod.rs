//! Scenarios: named sequences of events with what is expected of them, in files that people and programs write.

mod catalogue;
mod file;
pub mod judge;
mod write;

pub use catalogue::{CATALOGUE, all, find};
pub use file::{SETTINGS, ScenarioError};
pub use write::to_file;

use super::event::Event;
use super::rules::Rules;

/// A story that is told in one or more variants: under other eras, with other settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Place in the catalogue (`S04`), if it is of it.
    pub id: Option<String>,
    /// Name, to run it by.
    pub name: String,
    /// In one line.
    pub title: String,
    /// What happens, and why.
    pub about: String,
    /// What it shows.
    pub expected: String,
    /// At least one.
    pub variants: Vec<Variant>,
}

/// One way to tell a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Its name; the scenario's where there is one only.
    pub name: String,
    /// What holds.
    pub rules: Rules,
    /// Real replica directories that the partition begins with; none: all replicas are empty.
    pub from: Vec<String>,
    /// What happens.
    pub steps: Vec<Event>,
    /// What must come out.
    pub expect: Expect,
}

/// What must come out; what is not said may be anything, but violations must be named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expect {
    /// Leader and leader epoch that the controller has, `b1 e3` or `none e3`.
    pub leader: Option<String>,
    /// ISR.
    pub isr: Option<Vec<String>>,
    /// ELR.
    pub elr: Option<Vec<String>>,
    /// Records that were acknowledged.
    pub acked: Option<Vec<String>>,
    /// Violations that held after any step, in the order in which they came up.
    pub violations: Option<Vec<String>>,
    /// Violations that hold after the last.
    pub at_end: Option<Vec<String>>,
    /// Acknowledged records that are lost in the end.
    pub acked_lost: Option<Vec<String>>,
    /// Whether replicas differ below their high watermarks in the end.
    pub diverged: Option<bool>,
    /// Of each replica.
    pub replicas: Vec<(u8, ExpectReplica)>,
}

/// What must become of one replica.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectReplica {
    /// Log end offset.
    pub leo: Option<u64>,
    /// High watermark.
    pub hw: Option<u64>,
    /// Whether it leads.
    pub leader: Option<bool>,
    /// Whether it runs.
    pub up: Option<bool>,
    /// Records with their epochs, `m0@e0 m1@e0`.
    pub log: Option<String>,
}
