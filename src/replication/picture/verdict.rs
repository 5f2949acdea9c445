//! What became of the records, and why: the verdict on a timeline.

use std::fmt;

use super::cause::causes;
use super::explain::{Finding, findings};
use super::history::History;
use super::tolerance::Tolerance;
use super::why::Cause;
use crate::replication::broker_set::Broker;
use crate::replication::event::Acks;
use crate::replication::log::{Log, Record};
use crate::replication::play::Timeline;
use crate::replication::witness::Violation;

/// Records of one level, counted; each once, at the highest level that it was sent at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Sent by a producer.
    pub sent: u64,
    /// Acknowledged; at `acks=0` appended by a leader, which no producer is told.
    pub acknowledged: u64,
    /// Of those, missing at the leader in the end.
    pub lost: u64,
    /// Of those sent, that the leader has more than once in the end.
    pub duplicated: u64,
    /// Of those sent, that stand behind a later one of their producer in the end.
    pub reordered: u64,
}

/// The verdict on a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Records by level: `acks=0`, `acks=1`, `acks=all`.
    pub counts: [Counts; 3],
    /// Records whose producer was refused before anything was stored.
    pub refused: u64,
    /// Records whose producer got an error though they had been stored, and which were not acknowledged after all.
    pub unknown: u64,
    /// Pairs of replicas that differ below the high watermarks of both in the end.
    pub diverged: Vec<(Broker, Broker)>,
    /// Pairs that differ above the high watermark of one of them in the end, which is harmless.
    pub forked: Vec<(Broker, Broker)>,
    /// Offsets that a consumer read and at which the leader has something else in the end.
    pub consumer_changed: u64,
    /// Offsets that a consumer read and which the leader does not have in the end.
    pub consumer_gap: u64,
    /// Offsets that a consumer read.
    pub consumed: u64,
    /// Steps after which nobody could lead.
    pub unavailable: u64,
    /// The first of them.
    pub unavailable_from: Option<usize>,
    /// Steps.
    pub steps: usize,
    /// Whether there is a leader in the end: without one nobody can tell what is lost.
    pub has_leader: bool,
    /// Who was elected last, and in which leader epoch, where it has not heard of it yet or does not run.
    pub elected: Option<(Broker, u32)>,
    /// Lossy restarts tolerated, and that there were.
    pub tolerance: Tolerance,
    /// Every violation where it began, with its causes.
    pub findings: Vec<Finding>,
    /// Violations that hold in the end.
    pub at_end: Vec<Violation>,
    /// Why replicas differ still, where this is not why they came to differ.
    pub lasting: Vec<Cause>,
}

/// The verdict on a timeline. Counts are of the end; [`Verdict::findings`] are of all steps.
pub fn verdict(timeline: &Timeline) -> Verdict {
    let history = History::new(timeline);
    let state = timeline.last();
    let leader = state.true_leader();
    let log = leader.map(|leader| &state.replica(leader).log);
    let (mut diverged, mut forked) = (Vec::new(), Vec::new());
    for a in timeline.rules.all().iter() {
        for b in a + 1..timeline.rules.replicas {
            let (one, other) = (state.replica(a), state.replica(b));
            let end = one.leo().min(other.leo());
            match one.log.first_difference(&other.log, end) {
                Some(offset) if offset < one.hw.min(other.hw) => diverged.push((a, b)),
                Some(_) => forked.push((a, b)),
                None => {}
            }
        }
    }
    let seen = log.map_or(&[][..], |_| history.all_consumed());
    let changed = |gap: bool| {
        let there = seen.iter().zip(0..).map(|(stored, offset)| (stored, log.and_then(|log| log.get(offset))));
        there.filter(|(stored, now)| now.is_none() == gap && now.as_ref() != Some(*stored)).count() as u64
    };
    let mut unavailable = timeline.rows.iter().zip(1..).filter(|(row, _)| row.unavailable).map(|(_, step)| step);
    let unavailable_from = unavailable.next();
    let findings = findings(&history);
    Verdict {
        counts: counts(&history, log),
        refused: distinct(timeline.witness.refused()),
        unknown: distinct(&unanswered(timeline)),
        diverged,
        forked,
        consumer_changed: changed(false),
        consumer_gap: changed(true),
        consumed: history.all_consumed().len() as u64,
        unavailable: unavailable_from.map_or(0, |_| 1 + unavailable.count() as u64),
        unavailable_from,
        steps: timeline.rows.len(),
        has_leader: leader.is_some(),
        elected: {
            let controller = &timeline.last().controller;
            controller.leader.filter(|_| leader.is_none()).map(|elected| (elected, controller.leader_epoch))
        },
        tolerance: Tolerance::of(timeline),
        lasting: lasting(&history, &findings),
        findings,
        at_end: timeline.at_end.clone(),
    }
}

/// Records whose producers got an error after the append and nothing better later.
fn unanswered(timeline: &Timeline) -> Vec<Record> {
    let is_acked = |record: &Record| timeline.witness.acked().any(|(acked, _)| acked == *record);
    timeline.witness.unknown().iter().copied().filter(|record| !is_acked(record)).collect()
}

fn distinct(records: &[Record]) -> u64 {
    let mut records = records.to_vec();
    records.sort_unstable();
    records.dedup();
    records.len() as u64
}

fn counts(history: &History<'_>, log: Option<&Log>) -> [Counts; 3] {
    let mut counts = [Counts::default(); 3];
    for (_, acks) in history.levels() {
        counts[acks as usize].sent += 1;
    }
    for (record, acks) in history.timeline.witness.acked() {
        let counts = &mut counts[acks as usize];
        counts.acknowledged += 1;
        counts.lost += u64::from(log.is_some_and(|log| log.find(record).is_none()));
    }
    let mut of_level = |record: Record, count: fn(&mut Counts)| {
        if let Some(acks) = history.level(record) {
            count(&mut counts[acks as usize]);
        }
    };
    if let Some(log) = log {
        let producers = history.timeline.rules.producers.max(1);
        let mut last: Vec<Option<Record>> = vec![None; producers as usize];
        let mut seen: std::collections::BTreeMap<Record, bool> = std::collections::BTreeMap::new();
        for record in log.entries().map(|stored| stored.record) {
            let last = &mut last[(record % producers) as usize];
            match seen.get_mut(&record) {
                Some(true) => {}
                Some(twice) => {
                    *twice = true;
                    of_level(record, |counts| counts.duplicated += 1);
                }
                None => {
                    seen.insert(record, false);
                    if last.is_some_and(|last| last > record) {
                        of_level(record, |counts| counts.reordered += 1);
                    }
                }
            }
            *last = (*last).max(Some(record));
        }
    }
    counts
}

/// Why replicas differ in the end, if it is not only that they have not compared their logs yet.
fn lasting(history: &History<'_>, findings: &[Finding]) -> Vec<Cause> {
    let Some(last) = history.timeline.rows.len().checked_sub(1) else { return Vec::new() };
    let diverged = history.timeline.at_end.iter().filter(|violation| matches!(violation, Violation::Diverged { .. }));
    let known = |cause: &Cause| findings.iter().any(|finding| finding.causes.contains(cause));
    let causes = diverged.flat_map(|violation| causes(history, last, violation));
    causes.filter(|cause| cause.is_lasting() && !known(cause)).collect()
}

impl Verdict {
    /// Whether nothing is wrong: no violation at any time. Steps without a leader are not counted.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Verdict {
    /// A block of lines, each with a line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "acks  sent  acknowledged  lost  duplicated  reordered")?;
        for (acks, counts) in Acks::ALL.iter().zip(&self.counts).filter(|(_, counts)| counts.sent > 0) {
            let Counts { sent, acknowledged, lost, duplicated, reordered } = counts;
            let lost = if self.has_leader { lost.to_string() } else { "?".to_owned() };
            writeln!(
                f,
                "{:<4}  {sent:>4}  {acknowledged:>12}  {lost:>4}  {duplicated:>10}  {reordered:>9}",
                acks.name()
            )?;
        }
        if self.refused + self.unknown > 0 {
            writeln!(f, "refused: {}; stored but not acknowledged for an error: {}", self.refused, self.unknown)?;
        }
        let pairs = |pairs: &[(Broker, Broker)]| {
            let texts: Vec<String> = pairs.iter().map(|(a, b)| format!("b{a}/b{b}")).collect();
            if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
        };
        let (diverged, forked) = (pairs(&self.diverged), pairs(&self.forked));
        writeln!(f, "diverged in the end: {diverged}; forked above a high watermark, harmless: {forked}")?;
        let (changed, gap) = (self.consumer_changed, self.consumer_gap);
        writeln!(f, "offsets read by a consumer: {}; changed since: {changed}; gone since: {gap}", self.consumed)?;
        let from = self.unavailable_from.map_or_else(String::new, |step| format!(", from step {step} on"));
        writeln!(f, "steps without a leader: {} of {}{from}", self.unavailable, self.steps)?;
        if let Some((broker, epoch)) = self.elected {
            writeln!(f, "b{broker} is elected in e{epoch} and does not lead yet: what is lost cannot be told")?;
        } else if !self.has_leader {
            writeln!(f, "there is no leader in the end: what is lost cannot be told")?;
        }
        writeln!(f, "tolerance: {}", self.tolerance)?;
        for finding in &self.findings {
            let until = if finding.is_among(&self.at_end) { "to the end" } else { "not in the end" };
            writeln!(f, "{}, from step {}, {until}", finding.title(), finding.step)?;
            for cause in &finding.causes {
                writeln!(f, "  because {cause} (step {})", cause.root())?;
            }
        }
        for cause in &self.lasting {
            writeln!(f, "still different: {cause} (step {})", cause.root())?;
        }
        if self.findings.is_empty() {
            writeln!(f, "no violation")?;
        }
        Ok(())
    }
}
