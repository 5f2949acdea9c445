//! A group made ready for an assignor: members, topics and partitions as numbers.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use super::{GroupAssignment, Member, Topics};
use crate::java_map;
use crate::partitioner::java_string_hash;
use crate::schema::consumer_protocol::java_order;
use crate::types::TopicPartition;

/// For each member its partitions, in any order.
pub(super) type Partitions = Vec<Vec<usize>>;

/// A topic with metadata that some member wants.
pub(super) struct Topic<'a> {
    pub(super) name: &'a str,
    /// The number of its partition 0; the others follow.
    pub(super) first: usize,
    pub(super) partitions: usize,
    /// The members that want it, ascending.
    pub(super) subscribers: Vec<usize>,
}

impl Topic<'_> {
    /// The numbers of its partitions.
    pub(super) fn numbers(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.partitions
    }
}

/// Members and topics are numbered in Java's order of their names, so that comparing numbers compares names.
pub(super) struct Roster<'a> {
    pub(super) members: Vec<&'a Member>,
    /// Members in the order of Kafka's hash map of subscriptions.
    pub(super) visits: Vec<usize>,
    pub(super) topics: Vec<Topic<'a>>,
    /// The topics that each member wants and that have partitions, ascending.
    pub(super) subscribed: Vec<Vec<usize>>,
    /// The topic of each partition.
    topic_of: Vec<usize>,
    cluster: &'a Topics,
}

impl<'a> Roster<'a> {
    pub(super) fn new(cluster: &'a Topics, given: &'a [Member]) -> Roster<'a> {
        let given = last_of_each_id(given);
        let hashes: Vec<i32> = given.iter().map(|member| java_string_hash(&member.id)).collect();
        let mut by_id: Vec<usize> = (0..given.len()).collect();
        by_id.sort_by(|a, b| java_order(&given[*a].id, &given[*b].id));
        let mut number_of = vec![0; given.len()];
        for (number, place) in by_id.iter().enumerate() {
            number_of[*place] = number;
        }
        let visits = java_map::order_of_puts(&hashes).into_iter().map(|place| number_of[place]).collect();
        let members: Vec<&Member> = by_id.into_iter().map(|place| given[place]).collect();

        let wanted: BTreeSet<&str> = members.iter().flat_map(|member| &member.topics).map(String::as_str).collect();
        let mut wanted: Vec<(&str, usize)> =
            wanted.into_iter().filter_map(|name| Some((name, cluster.partitions(name)?))).collect();
        wanted.sort_by(|a, b| java_order(a.0, b.0));
        let (mut topics, mut topic_of) = (Vec::with_capacity(wanted.len()), Vec::new());
        for (name, partitions) in wanted {
            topics.push(Topic { name, first: topic_of.len(), partitions, subscribers: Vec::new() });
            topic_of.resize(topic_of.len() + partitions, topics.len() - 1);
        }
        let at: HashMap<&str, usize> = topics.iter().enumerate().map(|(number, topic)| (topic.name, number)).collect();
        let subscribed = members.iter().map(|member| {
            let known: BTreeSet<usize> =
                member.topics.iter().filter_map(|name| at.get(name.as_str()).copied()).collect();
            known.into_iter().collect()
        });
        let subscribed: Vec<Vec<usize>> = subscribed.collect();
        for (member, wants) in subscribed.iter().enumerate() {
            for topic in wants {
                topics[*topic].subscribers.push(member);
            }
        }
        Roster { members, visits, topics, subscribed, topic_of, cluster }
    }

    /// How many partitions all topics have.
    pub(super) fn partitions(&self) -> usize {
        self.topic_of.len()
    }

    /// The topic of a partition.
    pub(super) fn topic_of(&self, partition: usize) -> &Topic<'a> {
        &self.topics[self.topic_of[partition]]
    }

    /// The number of a partition's topic.
    pub(super) fn topic_number(&self, partition: usize) -> usize {
        self.topic_of[partition]
    }

    /// Whether a member wants the topic of this partition.
    pub(super) fn wants(&self, member: usize, partition: usize) -> bool {
        self.subscribed[member].binary_search(&self.topic_of[partition]).is_ok()
    }

    /// Whether all members name the same topics, with metadata or without.
    pub(super) fn all_want_the_same(&self) -> bool {
        let Some(first) = self.members.first() else { return true };
        let set = |member: &'a Member| member.topics.iter().collect::<BTreeSet<_>>();
        let of_first = set(first);
        self.members.iter().all(|member| member.topics == first.topics || set(member) == of_first)
    }

    /// The numbers of partitions that have one: of a topic that a member wants, and not beyond its end.
    pub(super) fn numbers(&self, partitions: &[TopicPartition]) -> Vec<usize> {
        // Names come in runs, and a binary search compares few of them.
        let number = |partition: &TopicPartition| {
            let at = self.topics.binary_search_by(|topic| java_order(topic.name, &partition.topic)).ok()?;
            let number = usize::try_from(partition.partition).ok()?;
            (number < self.topics[at].partitions).then(|| self.topics[at].first + number)
        };
        partitions.iter().filter_map(number).collect()
    }

    /// Members as range and round-robin let them take their turn: static ones first, by `group.instance.id`, then by
    /// id (`AbstractPartitionAssignor.MemberInfo`).
    pub(super) fn turns(&self) -> Vec<usize> {
        let mut turns = self.visits.clone();
        turns.sort_by(|a, b| {
            let of = |member: usize| (self.members[member].instance.as_deref(), self.members[member].id.as_str());
            turn(of(*a), of(*b))
        });
        turns
    }

    /// The rack of a member.
    pub(super) fn rack(&self, member: usize) -> Option<&'a str> {
        self.members[member].rack.as_deref().filter(|rack| !rack.is_empty())
    }

    /// The racks of the replicas of a partition.
    pub(super) fn racks(&self, partition: usize) -> &'a [String] {
        let topic = self.topic_of(partition);
        self.cluster.racks(topic.name, partition - topic.first)
    }

    /// Numbers become names again.
    pub(super) fn named(&self, partitions: Partitions) -> GroupAssignment<String> {
        let mut named = GroupAssignment::new();
        for (member, mut numbers) in self.members.iter().zip(partitions) {
            named.add_member(&member.id);
            numbers.sort_unstable();
            for number in numbers {
                let topic = self.topic_of(number);
                // `Topics` holds no partition above what a Java `int` says.
                let partition = i32::try_from(number - topic.first).unwrap_or(i32::MAX);
                named.add(&member.id, topic.name.to_owned(), partition);
            }
        }
        named
    }
}

/// Who takes a turn first of two, each with `group.instance.id` and member id.
pub(super) fn turn(a: (Option<&str>, &str), b: (Option<&str>, &str)) -> Ordering {
    match (a.0, b.0) {
        (Some(a), Some(b)) => java_order(a, b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => java_order(a.1, b.1),
    }
}

/// As a map keeps them: a second member with an id takes the place of the first.
fn last_of_each_id(given: &[Member]) -> Vec<&Member> {
    let mut members: Vec<&Member> = Vec::with_capacity(given.len());
    let mut at: HashMap<&str, usize> = HashMap::with_capacity(given.len());
    for member in given {
        match at.get(member.id.as_str()) {
            Some(place) => members[*place] = member,
            None => {
                at.insert(&member.id, members.len());
                members.push(member);
            }
        }
    }
    members
}
