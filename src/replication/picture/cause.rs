//! Looks back from where a violation began to what made it so.

use super::history::{History, Told};
use super::why::{Cause, Kept, Why};
use crate::replication::broker_set::Broker;
use crate::replication::effect::{CutBy, Effect};
use crate::replication::event::{Acks, Event};
use crate::replication::log::{Record, Stored};
use crate::replication::rules::{Strategy, Truncation};
use crate::replication::state::{Role, State};
use crate::replication::witness::Violation;

/// How far a cut is followed from leader to leader.
const DEPTH: usize = 16;

/// Why `violation` holds after `row`; one cause for all records that share it.
pub fn causes(history: &History<'_>, row: usize, violation: &Violation) -> Vec<Cause> {
    let state = history.after(row);
    let Some(leader) = state.true_leader().or(state.controller.leader) else {
        return diverged(history, row, violation, None).into_iter().collect();
    };
    let found: Vec<Cause> = match violation {
        Violation::AckedLost(records) | Violation::SentLost(records) => {
            let losses = records.iter().map(|&record| {
                let told = history.told(record, row);
                loss(history, row, leader, record, told, DEPTH)
            });
            losses.collect()
        }
        Violation::ConsumerChanged(offset) => match history.consumed(*offset) {
            Some((stored, read)) => {
                let told = history.told(stored.record, row).unwrap_or(read);
                vec![loss(history, row, leader, stored.record, Some(told), DEPTH)]
            }
            None => Vec::new(),
        },
        Violation::Duplicate(records) => records.iter().map(|&record| again(history, row, leader, record)).collect(),
        Violation::Reordered(record) => behind(history, row, leader, *record).into_iter().collect(),
        Violation::Diverged { .. } => diverged(history, row, violation, Some(leader)).into_iter().collect(),
    };
    merge(found)
}

/// Records that share a cause, together.
fn merge(found: Vec<Cause>) -> Vec<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    for cause in found {
        match causes.iter_mut().find_map(|known| joined(known, &cause).map(|why| (known, why))) {
            Some((known, why)) => {
                known.why = why;
                known.step = known.step.min(cause.step);
                known.records.extend(cause.records);
            }
            None => causes.push(cause),
        }
    }
    causes
}

/// What two causes are together, if they are one.
fn joined(known: &Cause, other: &Cause) -> Option<Why> {
    match (&known.why, &other.why) {
        (
            Why::CutToHighWatermark { broker, offsets: (from, to), hw, after },
            Why::CutToHighWatermark {
                broker: other_broker,
                offsets: (other_from, other_to),
                hw: other_hw,
                after: other_after,
            },
        ) if (broker, hw, after, known.step, *to) == (other_broker, other_hw, other_after, other.step, *other_from) => {
            Some(Why::CutToHighWatermark { broker: *broker, offsets: (*from, *other_to), hw: *hw, after: *after })
        }
        (a, b) if a == b => Some(a.clone()),
        _ => None,
    }
}

/// Why `leader`, which leads after `row`, does not have `record`.
fn loss(history: &History<'_>, row: usize, leader: Broker, record: Record, told: Option<Told>, depth: usize) -> Cause {
    let cause = |row: usize, why: Why| Cause { step: row + 1, records: vec![record], why };
    let election = history.election(leader, row);
    let lost = history.lost(leader, record, row);
    // What was lost after it had been acknowledged is the loser's doing, whoever acknowledged it.
    if let Some(lost) = lost.filter(|lost| told.is_none_or(|told| told.row < lost.row) || is_fault(lost.why)) {
        match lost.why {
            CutBy::Power | CutBy::Wipe => {
                if let Some((joined, why)) = joined_without(history, row, leader, record, Some(lost.row)) {
                    return cause(joined, why);
                }
                return match election.filter(|election| election.row > lost.row) {
                    Some(election) => {
                        let unclean = election.unclean;
                        cause(election.row, Why::ElectedAfterLoss { broker: leader, by: lost.why, unclean })
                    }
                    None => cause(lost.row, Why::LeadsAfterLoss { broker: leader, by: lost.why }),
                };
            }
            CutBy::HighWatermark => {
                let offset = history.before(lost.row).replica(leader).log.find(record).unwrap_or(lost.to);
                let offsets = (offset, offset + 1);
                let after = told.is_some();
                return cause(lost.row, Why::CutToHighWatermark { broker: leader, offsets, hw: lost.to, after });
            }
            CutBy::EpochEnd | CutBy::Divergence | CutBy::OutOfRange => {
                if let Some(followed) = followed(history.before(lost.row), leader) {
                    if history.before(lost.row).replica(followed).log.find(record).is_some() {
                        return cause(lost.row, Why::CutWrongly { broker: leader, leader: followed, by: lost.why });
                    }
                    if depth > 0 {
                        return loss(history, lost.row, followed, record, told, depth - 1);
                    }
                }
            }
        }
    }
    if let Some(told) = told.filter(|told| told.acks != Acks::All) {
        let (then, now) = (history.after(told.row), &history.after(told.row).controller);
        let epoch = then.replica(told.broker).leader_epoch;
        let deposed = (epoch < now.leader_epoch).then_some((epoch, now.leader_epoch));
        let at = if deposed.is_some() { told.row } else { election.map_or(told.row, |election| election.row) };
        return cause(at, Why::AckedAlone { broker: told.broker, acks: told.acks, leader, deposed });
    }
    if let Some(election) = election.filter(|election| election.unclean) {
        return cause(election.row, Why::ElectedUncleanly { broker: leader });
    }
    if let Some(told) = told {
        if let Some(why) = acked_wrongly(history, leader, record, told, lost.is_some()) {
            return cause(told.row, why);
        }
        if let Some((joined, why)) = joined_without(history, row, leader, record, None) {
            return cause(joined, why);
        }
    }
    cause(election.map_or(row, |election| election.row), Why::Lacks { broker: leader })
}

fn is_fault(why: CutBy) -> bool {
    matches!(why, CutBy::Power | CutBy::Wipe)
}

/// Whom a broker follows.
fn followed(state: &State, broker: Broker) -> Option<Broker> {
    match state.replica(broker).role {
        Role::Follower(leader) => leader,
        _ => None,
    }
}

/// What is wrong with an acknowledgement at `acks=all` that `lacks` has no part in.
fn acked_wrongly(history: &History<'_>, lacks: Broker, record: Record, told: Told, had_cut: bool) -> Option<Why> {
    let (rules, then) = (&history.timeline.rules, history.after(told.row));
    let acker = then.replica(told.broker);
    if lacks == told.broker || then.replica(lacks).log.find(record).is_some() {
        return None;
    }
    if acker.leader_epoch < then.controller.leader_epoch {
        let (epoch, newest) = (acker.leader_epoch, then.controller.leader_epoch);
        return Some(Why::AckedDeposed { broker: told.broker, epoch, leader: lacks, newest, had_cut });
    }
    if rules.strategy == Strategy::AllIsr && acker.maximal_isr(rules).has(lacks) {
        let at = usize::from(lacks);
        let offset = acker.fetched[at].filter(|&offset| offset > told.offset)?;
        let same = |row: &usize| history.before(*row).replica(told.broker).fetched[at] == Some(offset);
        let recorded = (0..=told.row).rev().find(|row| !same(row))?;
        let epoch = history.after(recorded).replica(told.broker).leader_epoch;
        return Some(Why::StaleOffset { broker: told.broker, counted: lacks, epoch });
    }
    let has_asked = acker.pending.is_some_and(|pending| pending.isr.has(lacks));
    has_asked.then_some(Why::NotCounted { broker: told.broker, joins: lacks })
}

/// The row in which a broker joined the ISR without a record, and how that could be. `lost`: the row in which it lost it.
fn joined_without(
    history: &History<'_>,
    row: usize,
    broker: Broker,
    record: Record,
    lost: Option<usize>,
) -> Option<(usize, Why)> {
    let rows = &history.timeline.rows;
    let joins = |at: &usize| {
        matches!(rows.get(*at).map(|row| row.event), Some(Event::AlterPartition(_)))
            && history.after(*at).controller.isr.has(broker)
            && !history.before(*at).controller.isr.has(broker)
    };
    let joined = (lost.unwrap_or(0)..=row).rev().find(joins)?;
    if history.after(joined).replica(broker).log.find(record).is_some() {
        return None;
    }
    let asked = |at: usize| {
        rows.get(at)?.effects.iter().find_map(|effect| match *effect {
            Effect::IsrAsked { broker: leader, isr } if isr.has(broker) => Some((at, leader)),
            _ => None,
        })
    };
    let (asked, leader) = (0..joined).rev().find_map(asked)?;
    if history.has_started(broker, asked, joined) {
        let by = history.lost(broker, record, joined).map(|lost| lost.why).filter(|why| is_fault(*why));
        return Some((joined, Why::JoinedByOldRequest { broker, by }));
    }
    let (then, offset) = (history.before(asked).replica(leader), history.before(asked).replica(broker).leo());
    Some((joined, Why::JoinedBehind { broker, offset, leader, hw: then.hw, start: then.epoch_start }))
}

/// Why a leader has a record twice.
fn again(history: &History<'_>, row: usize, leader: Broker, record: Record) -> Cause {
    let second = history.appended(record, row).last();
    let (at, broker, offset) = second.map_or((row, leader, 0), |second| (second.row, second.broker, second.offset));
    let idempotent = history.timeline.rules.idempotence;
    Cause { step: at + 1, records: vec![record], why: Why::AppendedAgain { broker, offset, idempotent } }
}

/// Why a record stands behind a later one.
fn behind(history: &History<'_>, row: usize, leader: Broker, record: Record) -> Option<Cause> {
    let producers = history.timeline.rules.producers.max(1);
    let log = &history.after(row).replica(leader).log;
    let offset = log.find(record)?;
    let before = log.entries().take_while(|stored| stored.record != record);
    let later = before.filter(|stored| stored.record % producers == record % producers).map(|it| it.record).max()?;
    let appended = history.appended(record, row).rev().find(|appended| appended.offset == offset);
    let (at, broker) = appended.map_or((row, leader), |appended| (appended.row, appended.broker));
    Some(Cause { step: at + 1, records: vec![record], why: Why::AppendedBehind { broker, offset, later } })
}

/// Why two replicas differ below their high watermarks.
fn diverged(history: &History<'_>, row: usize, violation: &Violation, leader: Option<Broker>) -> Option<Cause> {
    let &Violation::Diverged { a, b, below } = violation else { return None };
    let state = history.after(row);
    let offset = state.replica(a).log.first_difference(&state.replica(b).log, below)?;
    let at = |broker: Broker| state.replica(broker).log.get(offset);
    // The one that is not as the leader is; that the other is so need not be.
    let is_like_leader = |broker: Broker| leader.is_some_and(|leader| at(leader) == at(broker));
    let (keeper, other) = match (is_like_leader(a), is_like_leader(b)) {
        (true, _) => (b, a),
        (_, true) => (a, b),
        _ if at(a).map(|it| it.epoch) < at(b).map(|it| it.epoch) => (a, b),
        _ => (b, a),
    };
    let kept = at(keeper)?;
    let (step, how) = how_kept(history, row, keeper, kept, other, leader);
    let instead = at(other).map(|stored| stored.record);
    let why = Why::Kept { broker: keeper, offset, other, instead, how };
    Some(Cause { step, records: vec![kept.record], why })
}

fn how_kept(
    history: &History<'_>,
    row: usize,
    keeper: Broker,
    kept: Stored,
    other: Broker,
    leader: Option<Broker>,
) -> (usize, Kept) {
    let state = history.after(row);
    let (rules, replica) = (&history.timeline.rules, state.replica(keeper));
    let newest = leader.map_or(state.controller.leader_epoch, |leader| state.replica(leader).leader_epoch);
    let compared = replica.up && replica.leader_epoch >= newest && !replica.asks && !replica.leads();
    // The step in which it took up the epoch, or asked.
    let since = |is_it: &dyn Fn(&Event) -> bool| {
        history.timeline.rows[..=row].iter().rposition(|row| is_it(&row.event)).unwrap_or(row)
    };
    match rules.era.truncation() {
        Truncation::ToHighWatermark if compared => {
            (since(&|event| *event == Event::Metadata(keeper)) + 1, Kept::BelowHighWatermark(replica.hw))
        }
        Truncation::AskEnd if compared => {
            let asked = since(&|event| *event == Event::EpochQuery(keeper));
            let before = history.before(asked);
            let answer = followed(before, keeper).and_then(|leader| {
                let (epoch, answering) = (before.replica(keeper).epochs.last()?, before.replica(leader));
                let end = answering.epochs.end_of(epoch, answering.leo(), false)?.end;
                (!answering.epochs.has(epoch)).then_some(Kept::EpochUnknown { leader, epoch, end })
            });
            (asked + 1, answer.unwrap_or(Kept::Unknown))
        }
        _ => {
            // Whoever wrote the other record led without this one.
            let instead = state.replica(other).log.find(kept.record).is_none();
            let writer = leader.filter(|_| instead);
            let told = history.told(kept.record, row);
            let loss = writer.map(|writer| Box::new(loss(history, row, writer, kept.record, told, DEPTH)));
            (loss.as_ref().map_or(row + 1, |loss| loss.step), Kept::NotYet(loss))
        }
    }
}
