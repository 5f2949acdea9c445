//! A timeline as rows of cells, for the table and the page.

use std::collections::BTreeMap;

use super::explain::{self, findings};
use super::history::History;
use crate::replication::broker_set::Broker;
use crate::replication::play::{Row, Timeline};
use crate::replication::rules::Strategy;
use crate::replication::state::State;

/// What the glyphs before a replica's epoch mean, and the numbers behind it.
pub const LEGEND: &str =
    "* leads, . in ISR, - out of ISR, x down, ? leads after an unclean election; then leader epoch LEO/HW/flushed";

/// A text, and whether the row before had another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The text.
    pub text: String,
    /// Whether it changed.
    pub is_new: bool,
}

/// A replica: glyph, leader epoch, log end offset, high watermark, end of what is flushed.
pub type Group = [Cell; 5];

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Number of the step; 0 is the partition before the first.
    pub number: usize,
    /// The step's words.
    pub step: String,
    /// Each replica.
    pub replicas: Vec<Group>,
    /// ISR; nothing in the majority strategy.
    pub isr: Option<Cell>,
    /// ELR, where there is one at any time.
    pub elr: Option<Cell>,
    /// What happened.
    pub happened: String,
    /// Violations that begin to hold, and why, a line each.
    pub below: Vec<String>,
}

/// All rows, the partition before the first step among them.
pub fn grid(timeline: &Timeline) -> Vec<Line> {
    let history = History::new(timeline);
    let has_isr = timeline.rules.strategy == Strategy::AllIsr;
    let mut states = timeline.rows.iter().map(|row| &row.state).chain([&timeline.initial]);
    let has_elr = states.any(|state| !state.controller.elr.is_empty());
    let mut below: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for finding in findings(&history) {
        below.entry(finding.step).or_default().extend(explain::lines(&history, &finding));
    }
    for (row, number) in timeline.rows.iter().zip(1_usize..) {
        let known =
            number.checked_sub(2).and_then(|before| timeline.rows.get(before)).map_or(&[][..], |row| &row.broken);
        let broken = row.broken.iter().filter(|rule| !known.contains(rule));
        below.entry(number).or_default().extend(broken.map(|rule| format!("RULE BROKEN {rule}")));
    }
    let mut line = |number: usize, row: Option<&Row>, state: &State| {
        let before = row.map(|_| history.before(number - 1));
        let cell = |text: &dyn Fn(&State) -> String| {
            let now = text(state);
            Cell { is_new: before.is_some_and(|before| text(before) != now), text: now }
        };
        Line {
            number,
            step: row.map_or_else(|| "(start)".to_owned(), |row| row.event.to_string()),
            replicas: timeline
                .rules
                .all()
                .iter()
                .map(|broker| {
                    [
                        cell(&|state| glyph(&history, state, broker).to_string()),
                        cell(&|state| format!("e{}", state.replica(broker).leader_epoch)),
                        cell(&|state| state.replica(broker).leo().to_string()),
                        cell(&|state| state.replica(broker).hw.to_string()),
                        cell(&|state| state.replica(broker).flushed.to_string()),
                    ]
                })
                .collect(),
            isr: has_isr.then(|| cell(&|state| state.controller.isr.to_string())),
            elr: has_elr.then(|| cell(&|state| state.controller.elr.to_string())),
            happened: row.map_or_else(String::new, happened),
            below: below.remove(&number).unwrap_or_default(),
        }
    };
    let mut lines = vec![line(0, None, &timeline.initial)];
    lines.extend(timeline.rows.iter().zip(1..).map(|(row, number)| line(number, Some(row), &row.state)));
    lines
}

/// What came of a step, in one line.
pub fn happened(row: &Row) -> String {
    if row.effects.is_empty() && row.idle {
        return "nothing changes".to_owned();
    }
    row.effects.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// One letter for what a replica is.
pub fn glyph(history: &History<'_>, state: &State, broker: Broker) -> char {
    let replica = state.replica(broker);
    if !replica.up {
        return 'x';
    }
    if replica.leads() {
        return if history.was_unclean(broker, replica.leader_epoch) { '?' } else { '*' };
    }
    let is_out = history.timeline.rules.strategy == Strategy::AllIsr && !state.controller.isr.has(broker);
    if is_out { '-' } else { '.' }
}
