//! Range on the broker: static members take their turn first, each gets a run of every topic it wants.

use super::super::roster::turn;
use super::{Roster, Targets};

pub(super) fn assign(roster: &Roster<'_>) -> Targets {
    let mut turns: Vec<usize> = (0..roster.members.len()).collect();
    let of = |member: usize| (roster.members[member].instance.as_deref(), roster.members[member].id.as_str());
    turns.sort_by(|a, b| turn(of(*a), of(*b)));
    let mut place = vec![0; turns.len()];
    for (at, member) in turns.into_iter().enumerate() {
        place[member] = at;
    }
    let mut targets = vec![Vec::new(); roster.members.len()];
    for (topic, of_topic) in roster.topics.iter().enumerate() {
        let mut subscribers = of_topic.subscribers.clone();
        subscribers.sort_by_key(|member| place[*member]);
        let mut partitions = 0..of_topic.partitions;
        // A topic is in the roster because some member wants it: there is one to divide by.
        let (share, extra) = (partitions.len() / subscribers.len(), partitions.len() % subscribers.len());
        for (turn, member) in subscribers.into_iter().enumerate() {
            let run = partitions.by_ref().take(share + usize::from(turn < extra));
            targets[member].extend(run.map(|partition| (topic, partition)));
        }
    }
    targets
}
