//! Which replica to make leader.

use std::cmp::Reverse;

use super::Situation;
use super::candidate::Candidate;

/// What decided between the best choice and the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is no other.
    Only,
    /// It loses fewer offsets that were surely committed.
    Committed,
    /// It loses as many of those, and fewer that may have been committed.
    PerhapsCommitted,
    /// It loses as many of both, and a clean election may choose it.
    Electable,
    /// It may be elected as cleanly, and loses fewer that can have been acknowledged at `acks=1` only.
    Unreplicated,
    /// It loses as many, and its log reaches further: by its last leader epoch, then by its end.
    Reach,
    /// Nothing tells them apart but the order of the assignment.
    Order,
}

/// Replicas from the best choice on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Their numbers; at least one.
    order: Vec<usize>,
    /// What decided between the first two.
    pub reason: Reason,
    /// Whether it takes an unclean election to make the best one leader; none where ISR and ELR are not known.
    pub is_unclean: Option<bool>,
}

impl Choice {
    /// The best.
    pub fn best(&self) -> usize {
        self.order.first().copied().unwrap_or(0)
    }

    /// All, the best first.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The second best.
    pub fn next(&self) -> Option<usize> {
        self.order.get(1).copied()
    }
}

/// Orders `candidates`: the least loss of what was surely committed, then of what may have been; then those whom a clean election
/// may choose, for what was acknowledged at `acks=1` alone was never promised to outlive its leader; then the least loss of that,
/// then the longest log, as an election among them would have it (KIP-966), then the assignment.
pub(super) fn choose(situation: &Situation, candidates: &[Candidate]) -> Option<Choice> {
    let broker = |number: usize| situation.replicas.get(number).and_then(|replica| replica.broker);
    let view = situation.newest.as_ref();
    let electable = |number: usize| Some(view?.is_electable(broker(number)?));
    let key = |candidate: &Candidate| {
        let number = candidate.replica;
        let reach = situation.replicas.get(number).map(|replica| {
            let loaded = replica.loaded();
            (loaded.epochs.last(), loaded.end)
        });
        let assigned = view.and_then(|view| view.replicas.iter().position(|it| Some(*it) == broker(number)));
        (
            candidate.loses_committed(),
            candidate.loses_perhaps_committed(),
            Reverse(electable(number)),
            candidate.loses_unreplicated(),
            Reverse(reach),
            assigned.unwrap_or(usize::MAX),
        )
    };
    let mut order: Vec<&Candidate> = candidates.iter().collect();
    order.sort_by_key(|candidate| key(candidate));
    let best = key(order.first()?);
    let reason = match order.get(1).map(|next| key(next)) {
        None => Reason::Only,
        Some(next) if next.0 != best.0 => Reason::Committed,
        Some(next) if next.1 != best.1 => Reason::PerhapsCommitted,
        Some(next) if next.2 != best.2 => Reason::Electable,
        Some(next) if next.3 != best.3 => Reason::Unreplicated,
        Some(next) if next.4 != best.4 => Reason::Reach,
        Some(_) => Reason::Order,
    };
    let order: Vec<usize> = order.iter().map(|candidate| candidate.replica).collect();
    let is_unclean = electable(*order.first()?).map(|electable| !electable);
    Some(Choice { order, reason, is_unclean })
}
