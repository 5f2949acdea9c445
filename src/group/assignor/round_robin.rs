//! Round-robin: every partition, in the order of topics and numbers, to the next member that wants its topic
//! (`RoundRobinAssignor`).

use super::roster::{Partitions, Roster};

pub(super) fn assign(roster: &Roster<'_>) -> Partitions {
    let mut partitions = vec![Vec::new(); roster.members.len()];
    let mut turns = roster.turns().into_iter().cycle();
    for topic in &roster.topics {
        let subscribed = subscribers(roster.members.len(), &topic.subscribers);
        for number in topic.numbers() {
            // A topic is in the roster because some member wants it: the search ends within one round.
            let Some(member) = turns.find(|member| subscribed[*member]) else { return partitions };
            partitions[member].push(number);
        }
    }
    partitions
}

fn subscribers(members: usize, of_topic: &[usize]) -> Vec<bool> {
    let mut subscribed = vec![false; members];
    for member in of_topic {
        subscribed[*member] = true;
    }
    subscribed
}
