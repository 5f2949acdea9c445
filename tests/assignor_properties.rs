//! What holds for every group, whatever its members want and say they have.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use logdir::group::assignor::{ClientAssignor, GroupAssignment, Member, ServerAssignor, ServerMember, Topics, moves};
use logdir::types::{TopicPartition, Uuid};
use proptest::prelude::*;

/// A group and its cluster; topic `n` is named `tn`, and topics that nobody made are wanted and owned too.
#[derive(Debug, Clone)]
struct Group {
    /// For each topic the racks of each partition.
    topics: Vec<Vec<Vec<String>>>,
    members: Vec<Member>,
}

impl Group {
    fn cluster(&self) -> Topics {
        let numbered = self.topics.iter().enumerate();
        numbered.fold(Topics::new(), |topics, (n, racks)| topics.with_racks(format!("t{n}"), racks.clone()))
    }

    fn partitions_wanted(&self) -> BTreeSet<(String, i32)> {
        let wanted: BTreeSet<&String> = self.members.iter().flat_map(|member| &member.topics).collect();
        let topics = (0..).map(|n| format!("t{n}")).zip(&self.topics).filter(|(name, _)| wanted.contains(name));
        topics.flat_map(|(name, racks)| (0..).take(racks.len()).map(move |number| (name.clone(), number))).collect()
    }

    fn wanting_everything(mut self) -> Group {
        let all: Vec<String> = (0..self.topics.len()).map(|n| format!("t{n}")).collect();
        self.members.iter_mut().for_each(|member| member.topics.clone_from(&all));
        self
    }

    /// The next rebalance, in which members say that they have what they were given.
    fn owning(mut self, assignment: &GroupAssignment<String>, generation: i32) -> Group {
        for member in &mut self.members {
            let topics = assignment.member(&member.id).unwrap().iter();
            let owned =
                topics.flat_map(|(topic, list)| list.iter().map(move |n| TopicPartition::new(topic.as_str(), *n)));
            member.owned = owned.collect();
            member.generation = Some(generation);
            member.subscription_generation = Some(generation);
        }
        self
    }
}

fn rack() -> impl Strategy<Value = Option<String>> {
    prop_oneof![2 => Just(None), 3 => "[abc]".prop_map(Some)]
}

fn member() -> impl Strategy<Value = Member> {
    let owned = prop::collection::vec((0..6u8, -1..9i32), 0..12);
    let generation = prop::option::of(-1..4i32);
    let topics = prop::collection::vec(0..6u8, 0..6);
    (prop::option::of("[ab]"), rack(), topics, owned, generation.clone(), generation).prop_map(
        |(instance, rack, topics, owned, generation, subscription_generation)| Member {
            instance,
            rack,
            topics: topics.into_iter().map(|n| format!("t{n}")).collect(),
            owned: owned.into_iter().map(|(topic, n)| TopicPartition::new(format!("t{topic}"), n)).collect(),
            generation,
            subscription_generation,
            ..Member::default()
        },
    )
}

fn group() -> impl Strategy<Value = Group> {
    let replicas = prop::collection::vec(rack(), 0..3).prop_map(|racks| racks.into_iter().flatten().collect());
    let topics = prop::collection::vec(prop::collection::vec(replicas, 0..8), 0..5);
    let members = prop::collection::btree_map("[a-z]{1,3}", member(), 0..9);
    (topics, members).prop_map(|(topics, members)| {
        let members = members.into_iter().map(|(id, member)| Member { id, ..member });
        Group { topics, members: members.collect() }
    })
}

/// Everything given, each to one member, who wants it.
fn given<T: Ord + Clone + std::fmt::Debug>(
    assignment: &GroupAssignment<T>,
    wants: impl Fn(&str, &T) -> bool,
) -> BTreeSet<(T, i32)> {
    let mut given = BTreeSet::new();
    for (member, topics) in assignment.members() {
        for (topic, partitions) in topics {
            assert!(wants(member, topic), "{member} does not want {topic:?}");
            for number in partitions {
                assert!(given.insert((topic.clone(), *number)), "{topic:?}-{number} is given twice");
            }
        }
    }
    given
}

fn given_of(group: &Group, assignment: &GroupAssignment<String>) -> BTreeSet<(String, i32)> {
    assert_eq!(assignment.members().count(), group.members.len());
    let wants = |id: &str, topic: &String| {
        let mut members = group.members.iter();
        members.any(|member| member.id == id && member.topics.contains(topic))
    };
    given(assignment, wants)
}

fn spread<T: Ord>(assignment: &GroupAssignment<T>) -> usize {
    let sizes: Vec<usize> = assignment.members().map(|(member, _)| assignment.size(member)).collect();
    sizes.iter().max().unwrap_or(&0) - sizes.iter().min().unwrap_or(&0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_partition_goes_to_one_member_that_wants_it(group in group()) {
        let wanted = group.partitions_wanted();
        for assignor in ClientAssignor::ALL {
            let assignment = assignor.assign(&group.cluster(), &group.members);
            prop_assert_eq!(&assignment, &assignor.assign(&group.cluster(), &group.members));
            let mut left: BTreeSet<_> = wanted.difference(&given_of(&group, &assignment)).cloned().collect();
            if assignor == ClientAssignor::CooperativeSticky {
                // Withheld: another member says it has it.
                left.retain(|(topic, number)| {
                    let partition = TopicPartition::new(topic.as_str(), *number);
                    !group.members.iter().any(|member| member.owned.contains(&partition))
                });
            }
            prop_assert_eq!(left, BTreeSet::new(), "{:?}", assignor);
        }
    }

    #[test]
    fn equal_subscriptions_get_equal_shares(group in group()) {
        let group = group.wanting_everything();
        for assignor in [ClientAssignor::RoundRobin, ClientAssignor::Sticky] {
            prop_assert!(spread(&assignor.assign(&group.cluster(), &group.members)) <= 1, "{:?}", assignor);
        }
    }

    /// No single move makes a new group more even.
    #[test]
    fn a_new_group_is_as_even_as_subscriptions_allow(group in group()) {
        let group = group.clone().owning(&ClientAssignor::Range.assign(&Topics::new(), &group.members), 1);
        let assignment = ClientAssignor::Sticky.assign(&group.cluster(), &group.members);
        for (owner, topics) in assignment.members() {
            for member in &group.members {
                let shared = topics.keys().any(|topic| member.topics.contains(topic));
                prop_assert!(!shared || assignment.size(owner) <= assignment.size(&member.id) + 1, "{} {}", owner, member.id);
            }
        }
    }

    #[test]
    fn nothing_moves_when_nothing_has_changed(mut group in group()) {
        // Members in no rack: others give up what is not in theirs.
        group.members.iter_mut().for_each(|member| member.rack = None);
        let new = group.clone().owning(&ClientAssignor::Range.assign(&Topics::new(), &group.members), 1);
        for assignor in [ClientAssignor::Sticky, ClientAssignor::CooperativeSticky] {
            let first = assignor.assign(&new.cluster(), &new.members);
            let group = new.clone().owning(&first, 2);
            prop_assert_eq!(assignor.assign(&group.cluster(), &group.members), first);
        }
    }

    #[test]
    fn a_member_that_leaves_costs_the_others_nothing(group in group()) {
        let mut group = group.wanting_everything();
        group.members.iter_mut().for_each(|member| member.rack = None);
        let new = group.clone().owning(&ClientAssignor::Range.assign(&Topics::new(), &group.members), 1);
        let first = ClientAssignor::Sticky.assign(&new.cluster(), &new.members);
        let mut group = new.owning(&first, 2);
        if group.members.len() > 1 {
            let gone = group.members.remove(0);
            let after = ClientAssignor::Sticky.assign(&group.cluster(), &group.members);
            for (member, moved) in moves(&first, &after) {
                prop_assert!(member == gone.id || moved.lost.is_empty(), "{} loses {:?}", member, moved.lost);
            }
        }
    }

    /// From whatever range gave: what is taken away first, given in the second step.
    #[test]
    fn cooperative_members_have_everything_after_two_steps(group in group()) {
        let group = group.wanting_everything();
        let cluster = group.cluster();
        let mut assignment = ClientAssignor::Range.assign(&cluster, &group.members);
        for generation in 1..3 {
            let members = group.clone().owning(&assignment, generation).members;
            let before = assignment;
            assignment = ClientAssignor::CooperativeSticky.assign(&cluster, &members);
            for (member, moved) in moves(&before, &assignment) {
                for partition in moved.gained {
                    let had = |other: &str| other != member && before.topic(other, &partition.0).contains(&partition.1);
                    prop_assert!(!before.members().any(|(other, _)| had(other)), "{:?} goes over at once", partition);
                }
            }
        }
        if !group.members.is_empty() {
            prop_assert_eq!(given_of(&group, &assignment), group.partitions_wanted());
            prop_assert!(spread(&assignment) <= 1);
        }
    }

    #[test]
    fn the_broker_gives_every_partition_to_one_member_that_wants_it(group in group()) {
        let id = |topic: &str| {
            let mut bytes = [0x80; 16];
            bytes[..topic.len()].copy_from_slice(topic.as_bytes());
            Uuid(bytes)
        };
        let topics: BTreeMap<Uuid, u32> = (0..6).map(|n| (id(&format!("t{n}")), n * 3 % 8)).collect();
        let member = |member: &Member| ServerMember {
            id: member.id.clone(),
            instance: member.instance.clone(),
            topics: member.topics.iter().map(|topic| id(topic)).collect(),
            current: member.owned.iter().map(|owned| (id(&owned.topic), vec![owned.partition])).collect(),
        };
        let members: Vec<ServerMember> = group.members.iter().map(member).collect();
        let wanted: BTreeSet<Uuid> = members.iter().flat_map(|member| member.topics.clone()).collect();
        let wanted = wanted.iter().flat_map(|topic| (0..).take(topics[topic] as usize).map(|number| (*topic, number)));
        let wanted: BTreeSet<(Uuid, i32)> = wanted.collect();
        let wants = |id: &str, topic: &Uuid| members.iter().any(|member| member.id == id && member.topics.contains(topic));
        for assignor in ServerAssignor::ALL {
            let assignment = assignor.assign(&topics, &members).unwrap();
            prop_assert_eq!(given(&assignment, wants), wanted.clone(), "{:?}", assignor);
        }
        // Again, with what it gave as the present assignment: nothing moves.
        let first = ServerAssignor::Uniform.assign(&topics, &members).unwrap();
        let again: Vec<ServerMember> = members.iter().map(|member| {
            let current = first.member(&member.id).unwrap().iter().map(|(topic, list)| (*topic, list.clone())).collect();
            ServerMember { current, ..member.clone() }
        }).collect();
        let second = ServerAssignor::Uniform.assign(&topics, &again).unwrap();
        if members.iter().all(|member| member.topics == members[0].topics) {
            prop_assert!(spread(&second) <= 1);
            prop_assert_eq!(second, first);
        }
    }
}

#[test]
fn ten_thousand_partitions_and_a_thousand_members_take_seconds() {
    const SLOWEST: Duration = Duration::from_secs(60);
    let names: Vec<String> = (0..1_000).map(|n| format!("topic-{n}")).collect();
    let racks = |n: usize| vec![format!("r{}", n % 3), format!("r{}", (n + 1) % 3)];
    let plain = names.iter().fold(Topics::new(), |topics, name| topics.with(name, 10));
    let racked = names.iter().fold(Topics::new(), |topics, name| topics.with_racks(name, (0..10).map(racks).collect()));
    let every = |step: usize| -> Vec<Member> {
        let wants =
            |member: usize| names.iter().enumerate().filter(move |(n, _)| (n * 7 + member).is_multiple_of(step));
        let member = |n: usize| Member {
            rack: Some(format!("r{}", n % 3)),
            ..Member::new(format!("member-{n}"), wants(n).map(|(_, name)| name.as_str()))
        };
        (0..1_000).map(member).collect()
    };
    let timed = |what: &str, topics: &Topics, members: &[Member], assignor: ClientAssignor| {
        let start = Instant::now();
        let assignment = assignor.assign(topics, members);
        let took = start.elapsed();
        println!("{:<20} {what:<40} {took:?}", assignor.name());
        assert!(took < SLOWEST, "{what}: {took:?}");
        assignment
    };
    for (step, what) in [(1, "all topics"), (2, "every second topic"), (100, "every hundredth topic")] {
        let members = every(step);
        for assignor in ClientAssignor::ALL {
            timed(what, &plain, &members, assignor);
            timed(&format!("{what}, with racks"), &racked, &members, assignor);
        }
        // A group that used range before, of which a tenth has left and as many have come.
        let before = ClientAssignor::Range.assign(&plain, &members);
        let mut group = Group { topics: Vec::new(), members }.owning(&before, 1);
        let mut members = group.members.split_off(100);
        members.extend(
            every(step).into_iter().take(100).map(|member| Member { id: format!("new-{}", member.id), ..member }),
        );
        timed(&format!("{what}, after range, a tenth replaced"), &plain, &members, ClientAssignor::Sticky);
    }
    // Member n wants the first n topics, and one member had everything: nearly every partition moves.
    let staircase = |n: usize| Member::new(format!("member-{n:04}"), names.iter().take(n).map(String::as_str));
    let members: Vec<Member> = (1..=1_000).map(staircase).collect();
    let mut before = ClientAssignor::Range.assign(&plain, &members[999..]);
    members.iter().for_each(|member| before.add_member(&member.id));
    let group = Group { topics: Vec::new(), members }.owning(&before, 1);
    timed("staircase", &plain, &group.members, ClientAssignor::Sticky);
    let id = |n: u128| Uuid((n * 0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let topics: BTreeMap<Uuid, u32> = (1..=1_000).map(|n| (id(n), 10)).collect();
    for (step, what) in [(1, "all topics"), (2, "every second topic")] {
        let member = |n: u128| ServerMember {
            id: format!("member-{n}"),
            topics: (1..=1_000).filter(|topic| (topic + n).is_multiple_of(step)).map(id).collect(),
            ..ServerMember::default()
        };
        let members: Vec<ServerMember> = (0..1_000).map(member).collect();
        for assignor in ServerAssignor::ALL {
            let start = Instant::now();
            assignor.assign(&topics, &members).unwrap();
            println!("{:<20} {what:<40} {:?}, on the broker", assignor.name(), start.elapsed());
            assert!(start.elapsed() < SLOWEST, "{what}");
        }
    }
}
