//! Range: topic by topic, a run of partitions to each subscriber (`RangeAssignor`).
//!
//! When racks of members and of replicas are known and differ between partitions, members first get partitions of
//! their rack, as many as their share allows; topics with the same subscribers and the same number of partitions
//! are then assigned together, so that equal numbers of them stay with one member.

use std::collections::{BTreeSet, HashMap};

use super::roster::{Partitions, Roster};

pub(super) fn assign(roster: &Roster<'_>) -> Partitions {
    let turns = roster.turns();
    let mut topics: Vec<TopicState<'_>> =
        (0..roster.topics.len()).map(|at| TopicState::new(roster, at, &turns)).collect();
    let mut partitions = vec![Vec::new(); roster.members.len()];
    if topics.iter().any(|topic| topic.rack_aware) {
        assign_within_racks(&mut topics, &mut partitions);
    }
    for topic in &mut topics {
        topic.assign_runs(false, &mut partitions);
    }
    partitions
}

/// What is left of one topic (`RangeAssignor.TopicAssignmentState`).
struct TopicState<'a> {
    first: usize,
    /// Subscribers in turn, each with its rack and the number of partitions it has got.
    subscribers: Vec<(usize, Option<&'a str>, usize)>,
    /// Partitions nobody has yet, counted from the first one.
    free: BTreeSet<usize>,
    /// The racks of each partition; empty when no subscriber has a rack.
    racks: Vec<&'a [String]>,
    rack_aware: bool,
    /// Partitions that every subscriber gets, and how many still get one more.
    share: usize,
    extra: usize,
}

impl<'a> TopicState<'a> {
    fn new(roster: &Roster<'a>, at: usize, turns: &[usize]) -> TopicState<'a> {
        let topic = &roster.topics[at];
        let subscribes = |member: &&usize| topic.subscribers.binary_search(member).is_ok();
        let subscribers: Vec<_> =
            turns.iter().filter(subscribes).map(|member| (*member, roster.rack(*member), 0)).collect();
        let member_racks: BTreeSet<&str> = subscribers.iter().filter_map(|(_, rack, _)| *rack).collect();
        let racks: Vec<&[String]> = match member_racks.is_empty() {
            true => Vec::new(),
            false => topic.numbers().map(|number| roster.racks(number)).collect(),
        };
        TopicState {
            first: topic.first,
            share: topic.partitions / subscribers.len(),
            extra: topic.partitions % subscribers.len(),
            subscribers,
            free: (0..topic.partitions).collect(),
            rack_aware: racks_matter(&member_racks, &racks),
            racks,
        }
    }

    fn rack_matches(&self, subscriber: usize, partition: usize) -> bool {
        let holds = |rack| self.racks.get(partition).is_some_and(|racks| racks.iter().any(|other| other == rack));
        self.subscribers[subscriber].1.is_none_or(holds)
    }

    /// How many partitions a subscriber may still get.
    fn room(&self, subscriber: usize) -> usize {
        (self.share + usize::from(self.extra > 0)).saturating_sub(self.subscribers[subscriber].2)
    }

    fn give(&mut self, subscriber: usize, partition: usize, partitions: &mut Partitions) {
        let (member, _, got) = &mut self.subscribers[subscriber];
        partitions[*member].push(self.first + partition);
        *got += 1;
        if *got == self.share + 1 {
            self.extra = self.extra.saturating_sub(1);
        }
        self.free.remove(&partition);
    }

    /// To each subscriber in turn the first free partitions, all its share at once.
    fn assign_runs(&mut self, within_racks: bool, partitions: &mut Partitions) {
        for subscriber in 0..self.subscribers.len() {
            if self.free.is_empty() {
                break;
            }
            let fits = |partition: &&usize| !within_racks || self.rack_matches(subscriber, **partition);
            let run: Vec<usize> = self.free.iter().filter(fits).take(self.room(subscriber)).copied().collect();
            for partition in run {
                self.give(subscriber, partition, partitions);
            }
        }
    }
}

/// Whether racks make a difference: some member is in a rack of a replica, and not all partitions are in the same
/// racks (`AbstractPartitionAssignor.useRackAwareAssignment`).
pub(super) fn racks_matter<'a>(member_racks: &BTreeSet<&str>, racks: &[&'a [String]]) -> bool {
    let set = |racks: &'a [String]| -> BTreeSet<&'a str> { racks.iter().map(String::as_str).collect() };
    let all: BTreeSet<&str> = racks.iter().flat_map(|racks| set(racks)).collect();
    !member_racks.is_disjoint(&all) && racks.iter().any(|racks| set(racks) != all)
}

fn assign_within_racks(topics: &mut [TopicState<'_>], partitions: &mut Partitions) {
    // Topics of different groups share nothing but members, and each topic counts its own: the order is free.
    let mut groups: HashMap<(Vec<usize>, usize), Vec<usize>> = HashMap::new();
    for (at, topic) in topics.iter().enumerate().filter(|(_, topic)| !topic.racks.is_empty()) {
        let subscribers = topic.subscribers.iter().map(|(member, ..)| *member).collect();
        groups.entry((subscribers, topic.racks.len())).or_default().push(at);
    }
    for ((subscribers, count), together) in groups {
        match together[..] {
            [alone] if topics[alone].rack_aware => topics[alone].assign_runs(true, partitions),
            [_] => {}
            _ => assign_co_partitioned(topics, &together, subscribers.len(), count, partitions),
        }
    }
}

/// Partitions of one number in all topics to the first subscriber whose rack holds them all.
fn assign_co_partitioned(
    topics: &mut [TopicState<'_>],
    together: &[usize],
    subscribers: usize,
    count: usize,
    partitions: &mut Partitions,
) {
    let mut remaining: Vec<usize> = (0..subscribers).collect();
    for partition in 0..count {
        let fits = |subscriber: &usize| {
            let mut all = together.iter().map(|at| &topics[*at]);
            all.all(|topic| topic.room(*subscriber) > 0 && topic.rack_matches(*subscriber, partition))
        };
        let Some(place) = remaining.iter().position(fits) else { continue };
        let subscriber = remaining[place];
        for at in together {
            topics[*at].give(subscriber, partition, partitions);
        }
        if together.iter().all(|at| topics[*at].room(subscriber) == 0) {
            remaining.remove(place);
            if remaining.is_empty() {
                break;
            }
        }
    }
}
