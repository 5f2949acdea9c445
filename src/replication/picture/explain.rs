//! The lines that stand under a step in which violations begin.

use super::cause::causes;
use super::history::{History, names};
use super::why::Cause;
use crate::replication::log::Record;
use crate::replication::witness::Violation;

/// A violation in the row where it began, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Number of the step after which it held.
    pub step: usize,
    /// What it is.
    pub violation: Violation,
    /// Its records that no finding before named, or all when there is none.
    pub fresh: Vec<Record>,
    /// Why, for the records that are new.
    pub causes: Vec<Cause>,
}

impl Finding {
    /// The verdict's word, and what is new of it.
    pub fn title(&self) -> String {
        if self.fresh.is_empty() {
            return self.violation.to_string();
        }
        format!("{} {}", self.violation.word(), names(&self.fresh))
    }

    /// Whether it holds with all that is new of it among `violations`.
    pub fn is_among(&self, violations: &[Violation]) -> bool {
        violations.iter().any(|violation| match (violation, &self.violation) {
            (Violation::AckedLost(records), Violation::AckedLost(_))
            | (Violation::SentLost(records), Violation::SentLost(_))
            | (Violation::Duplicate(records), Violation::Duplicate(_)) => {
                self.fresh.iter().all(|record| records.binary_search(record).is_ok())
            }
            (violation, own) => violation == own,
        })
    }
}

/// Every violation in the rows where it began, in their order.
pub fn findings(history: &History<'_>) -> Vec<Finding> {
    let rows = history.timeline.rows.iter().enumerate();
    rows.flat_map(|(at, row)| row.new_violations.iter().map(move |violation| (at, violation)))
        .scan([Vec::new(), Vec::new(), Vec::new()], |known, (at, violation)| {
            Some(finding(history, at, violation, known))
        })
        .collect()
}

fn finding(history: &History<'_>, row: usize, violation: &Violation, known: &mut [Vec<Record>; 3]) -> Finding {
    let place = match violation {
        Violation::AckedLost(_) => 0,
        Violation::SentLost(_) => 1,
        _ => 2,
    };
    let mut fresh: Vec<Record> = match violation {
        Violation::AckedLost(records) | Violation::SentLost(records) | Violation::Duplicate(records) => records.clone(),
        _ => Vec::new(),
    };
    if !fresh.is_empty() {
        let all = std::mem::replace(&mut known[place], fresh.clone());
        fresh.retain(|record| all.binary_search(record).is_err());
        if fresh.is_empty() {
            fresh.clone_from(&known[place]);
        }
    }
    let narrowed = match violation {
        Violation::AckedLost(_) => Violation::AckedLost(fresh.clone()),
        Violation::SentLost(_) => Violation::SentLost(fresh.clone()),
        Violation::Duplicate(_) => Violation::Duplicate(fresh.clone()),
        other => other.clone(),
    };
    Finding { step: row + 1, violation: violation.clone(), causes: causes(history, row, &narrowed), fresh }
}

/// The lines under a step: what is violated, with offsets, levels and brokers; then why.
pub fn lines(history: &History<'_>, finding: &Finding) -> Vec<String> {
    let mut lines = facts(history, finding);
    lines.extend(finding.causes.iter().map(|cause| format!("  because {cause} (step {})", cause.root())));
    lines
}

fn facts(history: &History<'_>, finding: &Finding) -> Vec<String> {
    let row = finding.step - 1;
    let state = history.after(row);
    let leader = state.true_leader().or(state.controller.leader);
    let leader = leader.map_or_else(String::new, |leader| format!("b{leader} in e{}", state.controller.leader_epoch));
    let word = finding.violation.word();
    match &finding.violation {
        Violation::AckedLost(_) | Violation::SentLost(_) => {
            let mut groups: Vec<(Vec<Record>, u64, String)> = Vec::new();
            for &record in &finding.fresh {
                let Some(told) = history.told(record, row) else { continue };
                let epoch = history.after(told.row).replica(told.broker).leader_epoch;
                let (step, acks) = (told.row + 1, told.acks.name());
                let by = format!("acks={acks}, told by b{} in e{epoch} in step {step}", told.broker);
                match groups.last_mut() {
                    Some((records, first, said)) if *said == by && *first + records.len() as u64 == told.offset => {
                        records.push(record);
                    }
                    _ => groups.push((vec![record], told.offset, by)),
                }
            }
            let line = |(records, first, by): (Vec<Record>, u64, String)| {
                let last = first + records.len() as u64 - 1;
                let at = if first == last { format!("offset {first}") } else { format!("offsets {first} to {last}") };
                format!("{word} {} ({at}, {by}): missing at the leader, {leader}", names(&records))
            };
            groups.into_iter().map(line).collect()
        }
        Violation::ConsumerChanged(offset) => {
            let read = history.consumed(*offset).map_or_else(String::new, |(stored, told)| {
                let (record, broker, step) = (stored.record, told.broker, told.row + 1);
                format!(": a consumer read m{record}@e{} from b{broker} in step {step}", stored.epoch)
            });
            let now = state.true_leader().and_then(|leader| state.replica(leader).log.get(*offset));
            let now = now.map_or_else(|| "nothing".to_owned(), |now| format!("m{}@e{}", now.record, now.epoch));
            vec![format!("{word} offset {offset}{read}, the leader, {leader}, has {now}")]
        }
        Violation::Diverged { a, b, below } => {
            let (one, other) = (&state.replica(*a).log, &state.replica(*b).log);
            let at = one.first_difference(other, *below).unwrap_or(*below);
            let name = |log: &crate::replication::log::Log| {
                log.get(at)
                    .map_or_else(|| "nothing".to_owned(), |stored| format!("m{}@e{}", stored.record, stored.epoch))
            };
            vec![format!("{word} b{a}/b{b} below {below}: at offset {at} b{a} has {}, b{b} {}", name(one), name(other))]
        }
        Violation::Duplicate(_) => vec![format!("{word} {} at the leader, {leader}", names(&finding.fresh))],
        Violation::Reordered(record) => vec![format!("{word} m{record} at the leader, {leader}")],
    }
}
