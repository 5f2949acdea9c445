//! Sticky: as evenly as subscriptions allow, and members keep what they have where that does not stand against it
//! (`AbstractStickyAssignor`).
//!
//! Two algorithms: [`constrained`] when all members want the same topics, [`general`] when they do not.
//!
//! Kafka's own code lets these things happen, and here they do not:
//! - an empty subscription that it meets first is overlooked when it compares subscriptions, and its member gets
//!   partitions: here it is a subscription that differs;
//! - a partition that was owned in an older generation goes back to a member that no longer wants its topic: here
//!   it does not;
//! - partitions beyond the end of a topic stay with their owner, and others are given twice or the assignor ends with
//!   an exception: here they are taken for not owned.

mod constrained;
mod general;
mod movements;
mod racks;

use std::collections::{HashMap, HashSet};

use self::racks::Racks;
use super::roster::{Partitions, Roster};

/// What the sticky assignors have in common.
pub(super) struct Sticky {
    pub(super) partitions: Partitions,
    /// The partitions that change their owner, if the algorithm keeps account of them.
    pub(super) transfers: Option<HashSet<usize>>,
}

pub(super) fn assign(roster: &Roster<'_>) -> Sticky {
    let racks = Racks::new(roster);
    let claims = Claims::new(roster);
    if roster.all_want_the_same() {
        constrained::assign(roster, &racks, claims)
    } else {
        Sticky { partitions: general::assign(roster, &racks, claims), transfers: None }
    }
}

/// Who owns what, as far as members can be believed.
struct Claims {
    owned: Partitions,
    /// Partitions that two members claim in one generation: neither is believed.
    contested: HashSet<usize>,
    /// The newest generation that a member names; -1 when none does.
    generation: i32,
}

impl Claims {
    /// Members are heard in the order of Kafka's hash map. A claim of a newer generation beats one of an older.
    fn new(roster: &Roster<'_>) -> Claims {
        let mut claims =
            Claims { owned: vec![Vec::new(); roster.members.len()], contested: HashSet::new(), generation: -1 };
        let mut owners: HashMap<usize, usize> = HashMap::new();
        for &member in &roster.visits {
            let generation = roster.members[member].generation.unwrap_or(-1);
            claims.generation = claims.generation.max(generation);
            for partition in roster.numbers(&roster.members[member].owned) {
                let Some(&other) = owners.get(&partition) else {
                    claims.owned[member].push(partition);
                    owners.insert(partition, member);
                    continue;
                };
                let generation_of_other = roster.members[other].subscription_generation.unwrap_or(-1);
                if generation < generation_of_other {
                    continue;
                }
                if generation == generation_of_other {
                    claims.contested.insert(partition);
                } else {
                    claims.owned[member].push(partition);
                }
                if let Some(place) = claims.owned[other].iter().position(|claimed| *claimed == partition) {
                    claims.owned[other].remove(place);
                }
                owners.insert(partition, member);
            }
        }
        claims
    }
}
