//! Cooperative-sticky: sticky, and no partition before its owner has let go of it (`CooperativeStickyAssignor`).
//!
//! A partition that changes its owner is given to nobody; its owner gives it up, which starts the next rebalance,
//! and there it is free.

use std::collections::HashSet;

use super::roster::{Partitions, Roster};
use super::sticky::{self, Sticky};

pub(super) fn assign(roster: &Roster<'_>) -> Partitions {
    let Sticky { mut partitions, transfers } = sticky::assign(roster);
    let withheld = transfers.unwrap_or_else(|| claimed_by_others(roster, &partitions));
    for of_member in &mut partitions {
        of_member.retain(|partition| !withheld.contains(partition));
    }
    partitions
}

/// Partitions that are new to their member and that another one says it has, whatever the generation
/// (`computePartitionsTransferringOwnership`).
fn claimed_by_others(roster: &Roster<'_>, partitions: &Partitions) -> HashSet<usize> {
    let (mut added, mut revoked): (HashSet<usize>, HashSet<usize>) = Default::default();
    for (member, assigned) in roster.members.iter().zip(partitions) {
        let owned: HashSet<usize> = roster.numbers(&member.owned).into_iter().collect();
        let assigned: HashSet<usize> = assigned.iter().copied().collect();
        added.extend(assigned.difference(&owned));
        revoked.extend(owned.difference(&assigned));
    }
    added.retain(|partition| revoked.contains(partition));
    added
}
