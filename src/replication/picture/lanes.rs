//! The space-time diagram as data: what stands on which lane and what goes between which, step by step.
//!
//! Lanes are, from the left: clients, replicas in their order, the controller. Time runs downwards. Each step has lines;
//! everything of a step has a line on which it is alone between the lanes that it touches.

use super::explain::{findings, lines};
use super::history::History;
use super::items::items;
use crate::replication::broker_set::Broker;
use crate::replication::log::Log;
use crate::replication::play::Timeline;
use crate::replication::state::State;

/// A vertical lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Producers and consumers.
    Clients,
    /// A replica.
    Broker(Broker),
    /// The controller.
    Controller,
}

/// What an arrow carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrowKind {
    /// A question: a fetch, a record to append, an ISR that is asked for.
    Request,
    /// An answer.
    Answer,
    /// An answer that refuses.
    Refusal,
    /// What the controller has decided.
    Metadata,
}

/// Something that goes from one lane to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrow {
    /// From here.
    pub from: Lane,
    /// To there.
    pub to: Lane,
    /// What it carries.
    pub kind: ArrowKind,
    /// In a few words.
    pub text: String,
    /// Whether it does not arrive.
    pub is_lost: bool,
}

/// What a mark stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    /// It leads from here on, or the controller has chosen who is to.
    Leads,
    /// The controller has chosen somebody who need not have what was committed, or finds nobody.
    Unclean,
    /// It does not run from here on.
    Down,
    /// It runs from here on.
    Up,
    /// Its log lost what lay between the two offsets.
    Cut {
        /// Log end offset before.
        from: u64,
        /// Log end offset now.
        to: u64,
    },
    /// Its high watermark.
    HighWatermark,
    /// Its log end offset.
    LogEnd,
    /// Anything else.
    Note,
}

/// Something that happens on one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Where.
    pub lane: Lane,
    /// What it stands for.
    pub kind: MarkKind,
    /// In a few words.
    pub text: String,
}

/// An arrow or a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Between lanes.
    Arrow(Arrow),
    /// On one.
    Mark(Mark),
}

/// A replica after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Whether its process runs.
    pub is_up: bool,
    /// Whether it believes to lead.
    pub leads: bool,
    /// Leader epoch it believes.
    pub epoch: u32,
    /// Where records of an epoch lie: epoch, first record, first offset, how many.
    pub runs: Vec<(u32, u32, u64, u32)>,
    /// Log end offset.
    pub leo: u64,
    /// High watermark.
    pub hw: u64,
    /// End of what is flushed.
    pub flushed: u64,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number, from 1; 0 is the partition before the first.
    pub number: usize,
    /// Its words.
    pub words: String,
    /// What is drawn, each with its line, from 0.
    pub items: Vec<(usize, Item)>,
    /// How many lines it takes.
    pub lines: usize,
    /// The replicas afterwards.
    pub replicas: Vec<Shown>,
    /// Violations that begin, and why.
    pub violations: Vec<String>,
}

/// A space-time diagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagram {
    /// Lanes from the left.
    pub lanes: Vec<Lane>,
    /// The partition before the first step, and all steps.
    pub steps: Vec<Step>,
    /// The least and the largest offset at which any log begins or ends.
    pub offsets: (u64, u64),
}

impl Lane {
    /// What stands above it.
    pub fn name(self) -> String {
        match self {
            Lane::Clients => "clients".to_owned(),
            Lane::Broker(broker) => format!("b{broker}"),
            Lane::Controller => "controller".to_owned(),
        }
    }
}

impl Diagram {
    /// Draws a timeline. `with_numbers`: log ends and high watermarks are marks of their own, for want of a drawn log.
    pub fn of(timeline: &Timeline, with_numbers: bool) -> Diagram {
        let history = History::new(timeline);
        let mut lanes = vec![Lane::Clients];
        lanes.extend(timeline.rules.all().iter().map(Lane::Broker));
        lanes.push(Lane::Controller);
        let mut steps = vec![step(0, "(start)", &timeline.initial, timeline)];
        for (row, number) in timeline.rows.iter().zip(1..) {
            let mut drawn = step(number, &row.event.to_string(), &row.state, timeline);
            let mut items = items(history.before(number - 1), row);
            items.retain(|item| with_numbers || !item.is_number());
            (drawn.items, drawn.lines) = place(items, &lanes);
            steps.push(drawn);
        }
        for finding in findings(&history) {
            if let Some(step) = steps.get_mut(finding.step) {
                step.violations.extend(lines(&history, &finding));
            }
        }
        let logs = || {
            let states = timeline.rows.iter().map(|row| &row.state).chain([&timeline.initial]);
            states.flat_map(|state| timeline.rules.all().iter().map(|broker| &state.replica(broker).log))
        };
        let first = logs().map(Log::start).min().unwrap_or(0);
        let last = logs().map(Log::end).max().unwrap_or(0);
        Diagram { lanes, steps, offsets: (first, last) }
    }

    /// Place of a lane, from 0 on the left.
    pub fn place(&self, lane: Lane) -> usize {
        place_of(&self.lanes, lane)
    }
}

fn place_of(lanes: &[Lane], lane: Lane) -> usize {
    lanes.iter().position(|it| *it == lane).unwrap_or(0)
}

fn step(number: usize, words: &str, state: &State, timeline: &Timeline) -> Step {
    let shown = |broker: Broker| {
        let replica = state.replica(broker);
        let mut at = replica.log.start();
        let runs = replica.log.runs().iter().map(|run| {
            let first = at;
            at += u64::from(run.len);
            (run.epoch, run.record, first, run.len)
        });
        Shown {
            is_up: replica.up,
            leads: replica.leads(),
            epoch: replica.leader_epoch,
            runs: runs.collect(),
            leo: replica.leo(),
            hw: replica.hw,
            flushed: replica.flushed,
        }
    };
    let replicas = timeline.rules.all().iter().map(shown).collect();
    Step { number, words: words.to_owned(), items: Vec::new(), lines: 0, replicas, violations: Vec::new() }
}

impl Item {
    fn is_number(&self) -> bool {
        matches!(self, Item::Mark(Mark { kind: MarkKind::HighWatermark | MarkKind::LogEnd, .. }))
    }
}

/// Gives each item the first line on which nothing is in its way, and not above what it follows from.
fn place(items: Vec<Item>, lanes: &[Lane]) -> (Vec<(usize, Item)>, usize) {
    // The segment behind each lane, and the last line on which the lane was touched.
    let (mut free, mut touched) = (vec![0; lanes.len()], vec![0; lanes.len()]);
    let mut placed = Vec::with_capacity(items.len());
    for item in items {
        let (segments, begins, ends) = match &item {
            Item::Arrow(arrow) => {
                let (from, to) = (place_of(lanes, arrow.from), place_of(lanes, arrow.to));
                (from.min(to)..from.max(to), from, to)
            }
            Item::Mark(mark) => {
                let at = place_of(lanes, mark.lane);
                (at..at + 1, at, at)
            }
        };
        let line = free[segments.clone()].iter().copied().max().unwrap_or(0).max(touched[begins]);
        free[segments].fill(line + 1);
        touched[begins] = touched[begins].max(line);
        touched[ends] = touched[ends].max(line);
        placed.push((line, item));
    }
    let lines = placed.iter().map(|(line, _)| line + 1).max().unwrap_or(0);
    (placed, lines)
}
