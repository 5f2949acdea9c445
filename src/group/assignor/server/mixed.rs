//! Uniform when members want different topics (`UniformHeterogeneousAssignmentBuilder`).
//!
//! Members keep what they have of topics they want. Free partitions go to the subscribers with the fewest, topics
//! with the most partitions for each subscriber first. Then, topic by topic, partitions move from members with the
//! most to those with the fewest.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::balancer::Balancer;
use super::{Roster, Targets, Topic};

/// How often all topics are gone through (`MAX_ITERATION_COUNT`).
const ROUNDS_MAX: usize = 16;

pub(super) fn assign(roster: &Roster<'_>) -> Targets {
    let mut builder = Builder {
        roster,
        owners: roster.topics.iter().map(|topic| (0..topic.partitions).map(|_| None).collect()).collect(),
        sizes: vec![0; roster.members.len()],
    };
    for (member, current) in roster.current.iter().enumerate() {
        for (topic, partitions) in current {
            for partition in partitions {
                if let Ok(place) = usize::try_from(*partition) {
                    builder.give(*topic, place, member);
                }
            }
        }
    }
    let mut topics: Vec<usize> = (0..roster.topics.len()).collect();
    topics.sort_by(|a, b| in_order(roster, *a, *b));
    builder.assign_free(&topics);
    topics.retain(|topic| roster.topics[*topic].subscribers.len() > 1);
    builder.balance(&topics);

    let mut targets = vec![Vec::new(); roster.members.len()];
    for (topic, owners) in builder.owners.into_iter().enumerate() {
        for (partition, owner) in (0..).zip(owners) {
            if let Some(member) = owner {
                targets[member].push((topic, partition));
            }
        }
    }
    targets
}

/// Most partitions for each subscriber first, then fewest subscribers, then by id, whose halves are signed.
fn in_order(roster: &Roster<'_>, a: usize, b: usize) -> Ordering {
    let (a, b) = (&roster.topics[a], &roster.topics[b]);
    let each = |topic: &Topic| f64::from(topic.partitions) / topic.subscribers.len() as f64;
    let quotients = each(b).total_cmp(&each(a));
    quotients.then(a.subscribers.len().cmp(&b.subscribers.len())).then_with(|| a.id.java_cmp(&b.id))
}

struct Builder<'a> {
    roster: &'a Roster<'a>,
    /// The owner of each partition of each topic.
    owners: Vec<Vec<Option<usize>>>,
    /// Partitions of each member.
    sizes: Vec<usize>,
}

impl Builder<'_> {
    fn give(&mut self, topic: usize, partition: usize, member: usize) {
        if let Some(owner) = self.owners[topic][partition].replace(member) {
            self.sizes[owner] -= 1;
        }
        self.sizes[member] += 1;
    }

    fn assign_free(&mut self, topics: &[usize]) {
        for &topic in topics {
            let free = self.owners[topic].iter().enumerate().filter(|(_, owner)| owner.is_none());
            let free: Vec<usize> = free.map(|(partition, _)| partition).collect();
            let mut balancer = Balancer::new(&self.roster.topics[topic].subscribers, &self.sizes);
            for partition in free {
                let member = balancer.next_lightest(&self.sizes);
                self.give(topic, partition, member);
            }
        }
    }

    /// Goes through all topics until a whole round has moved nothing.
    fn balance(&mut self, topics: &[usize]) {
        let mut last_moved = None;
        for _ in 0..ROUNDS_MAX {
            for &topic in topics {
                if last_moved == Some(topic) {
                    return;
                }
                if self.balance_topic(topic) || last_moved.is_none() {
                    last_moved = Some(topic);
                }
            }
        }
    }

    /// Says whether anything moved.
    fn balance_topic(&mut self, topic: usize) -> bool {
        let mut balancer = Balancer::new(&self.roster.topics[topic].subscribers, &self.sizes);
        if balancer.imbalance(&self.sizes) <= 1 {
            return false;
        }
        // What each member has of this topic; the partition with the highest number goes first.
        let mut movable: HashMap<usize, Vec<usize>> = HashMap::new();
        for (partition, owner) in self.owners[topic].iter().enumerate() {
            movable.entry(owner.unwrap_or(usize::MAX)).or_default().push(partition);
        }
        let mut moved = false;
        while !balancer.is_balanced() {
            let partition = loop {
                let Some(heaviest) = balancer.next_heaviest(&self.sizes) else { return moved };
                match movable.get_mut(&heaviest).and_then(Vec::pop) {
                    Some(partition) => break partition,
                    None => balancer.exclude_heaviest(),
                }
            };
            let lightest = balancer.next_lightest(&self.sizes);
            if balancer.is_balanced() {
                break;
            }
            self.give(topic, partition, lightest);
            moved = true;
        }
        moved
    }
}
