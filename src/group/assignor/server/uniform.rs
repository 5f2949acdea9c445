//! Uniform when all members want the same topics (`UniformHomogeneousAssignmentBuilder`).
//!
//! Every member ends with the average rounded down, some with one more. Each keeps what it has up to that, and what
//! is left goes to those that have less, one member after the other.

use std::collections::HashSet;

use super::{Roster, Targets};
use crate::java_map;

pub(super) fn assign(roster: &Roster<'_>) -> Targets {
    let members = roster.members.len();
    let mut targets: Targets = vec![Vec::new(); members];
    let Some(topics) = roster.subscribed.first() else { return targets };
    // Kafka copies the first member's topics into a hash set and walks over that.
    let hashes: Vec<i32> = topics.iter().map(|topic| roster.topics[*topic].id.java_hash()).collect();
    let topics = java_map::order_of_copy(&hashes).into_iter().map(|place| topics[place]);
    let taken = roster.current.iter().flatten();
    let taken: HashSet<(usize, i32)> =
        taken.flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition))).collect();
    let (mut total, mut free) = (0usize, Vec::new());
    for topic in topics {
        let partitions = 0..roster.topics[topic].partitions;
        total += partitions.len();
        free.extend(partitions.map(|partition| (topic, partition)).filter(|partition| !taken.contains(partition)));
    }

    let (share, mut extra) = (total / members, total % members);
    let mut room = vec![0; members];
    for (member, current) in roster.current.iter().enumerate() {
        let mut quota = share + usize::from(extra > 0);
        let mut has_extra = extra > 0;
        for (topic, partitions) in current {
            let (kept, too_many) = partitions.split_at(quota.min(partitions.len()));
            quota -= kept.len();
            targets[member].extend(kept.iter().map(|partition| (*topic, *partition)));
            free.extend(too_many.iter().map(|partition| (*topic, *partition)));
        }
        // The extra is for members that have one already, as long as enough members come after this one.
        if quota > 0 && has_extra && members - member > extra {
            quota -= 1;
            has_extra = false;
        }
        room[member] = quota;
        extra -= usize::from(has_extra);
    }
    let mut free = free.into_iter();
    for (target, room) in targets.iter_mut().zip(room) {
        target.extend(free.by_ref().take(room));
    }
    targets
}
