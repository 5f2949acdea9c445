//! What an assignor is told: the members of a group and the topics of a cluster.

use std::collections::BTreeMap;

use super::ClientAssignor;
use crate::schema::consumer_protocol::{StickyUserData, Subscription, cooperative_generation};
use crate::types::TopicPartition;

/// One member of a classic group, as the group's leader knows it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Member {
    /// Member id.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance: Option<String>,
    /// `client.rack`; empty counts as none.
    pub rack: Option<String>,
    /// Topics it wants, in any order, also those that do not exist.
    pub topics: Vec<String>,
    /// Partitions it says it has; sticky and cooperative-sticky read them.
    pub owned: Vec<TopicPartition>,
    /// Generation in which it got them; `None`: it does not say.
    pub generation: Option<i32>,
    /// Generation of the subscription itself. It differs from `generation` where that comes from the user data.
    ///
    /// Kafka asks for this one when two members claim the same partition (`AbstractStickyAssignor.allSubscriptionsEqual`),
    /// of the member that claimed first.
    pub subscription_generation: Option<i32>,
}

impl Member {
    /// A new member, which has nothing yet.
    pub fn new<S: Into<String>>(id: impl Into<String>, topics: impl IntoIterator<Item = S>) -> Member {
        Member { id: id.into(), topics: topics.into_iter().map(Into::into).collect(), ..Member::default() }
    }

    /// The member that sent this subscription, as `assignor` reads it.
    ///
    /// Sticky finds owned partitions in the user data, cooperative-sticky in the subscription, and their generation
    /// in the user data of subscriptions older than version 2 (`StickyAssignor.memberData`,
    /// `CooperativeStickyAssignor.memberData`). The other two read neither.
    pub fn of_subscription(
        assignor: ClientAssignor,
        id: impl Into<String>,
        instance: Option<String>,
        subscription: &Subscription,
    ) -> Member {
        let user_data = subscription.user_data.as_deref();
        let (owned, generation) = match (assignor, user_data) {
            (ClientAssignor::Sticky, None | Some([])) => (Vec::new(), None),
            (ClientAssignor::Sticky, Some(bytes)) => {
                let read = StickyUserData::parse(bytes);
                (read.owned, read.generation)
            }
            (_, Some(bytes)) if assignor == ClientAssignor::CooperativeSticky && subscription.generation.is_none() => {
                (subscription.owned.clone(), Some(cooperative_generation(bytes)))
            }
            _ => (subscription.owned.clone(), subscription.generation),
        };
        Member {
            id: id.into(),
            instance,
            rack: subscription.rack.clone(),
            topics: subscription.topics.clone(),
            owned,
            generation,
            subscription_generation: subscription.generation,
        }
    }
}

/// The topics of a cluster: how many partitions each has, and in which racks their replicas are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Topics {
    topics: BTreeMap<String, Topic>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Topic {
    partitions: usize,
    /// For each partition; shorter where the rest is in no known rack.
    racks: Vec<Vec<String>>,
}

impl Topics {
    /// No topics.
    pub const fn new() -> Topics {
        Topics { topics: BTreeMap::new() }
    }

    /// Adds a topic whose replicas are in no known racks; a topic of no partitions counts as one without metadata.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, partitions: u32) -> Topics {
        self.insert(name, partitions, Vec::new());
        self
    }

    /// Adds a topic with the racks of the replicas of each partition; replicas without a rack are left out.
    #[must_use]
    pub fn with_racks(mut self, name: impl Into<String>, racks: Vec<Vec<String>>) -> Topics {
        let partitions = u32::try_from(racks.len()).unwrap_or(u32::MAX);
        self.insert(name, partitions, racks);
        self
    }

    /// Adds a topic, or puts another in the place of the one of that name.
    ///
    /// `racks`: those of the replicas of each partition, from partition 0; may be shorter than `partitions`.
    pub fn insert(&mut self, name: impl Into<String>, partitions: u32, racks: Vec<Vec<String>>) {
        // A partition's number is a Java `int`.
        let partitions = partitions.min(i32::MAX.cast_unsigned()) as usize;
        self.topics.insert(name.into(), Topic { partitions, racks });
    }

    /// How many partitions a topic has; `None` for one without metadata.
    pub(super) fn partitions(&self, name: &str) -> Option<usize> {
        self.topics.get(name).map(|topic| topic.partitions).filter(|partitions| *partitions > 0)
    }

    /// The racks of the replicas of a partition.
    pub(super) fn racks(&self, name: &str, partition: usize) -> &[String] {
        self.topics.get(name).and_then(|topic| topic.racks.get(partition)).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_assignor_finds_owned_partitions_and_generation_where_its_members_put_them() {
        let (here, there) = (TopicPartition::new("t", 1), TopicPartition::new("t", 2));
        let sticky = StickyUserData { owned: vec![there.clone()], generation: Some(4) }.to_bytes().unwrap();
        let cooperative = 3i32.to_be_bytes().to_vec();
        let subscription = |user_data: Option<&[u8]>, generation| Subscription {
            topics: vec!["t".to_owned()],
            user_data: user_data.map(<[u8]>::to_vec),
            owned: vec![here.clone()],
            generation,
            rack: Some("a".to_owned()),
        };
        use ClientAssignor::{CooperativeSticky, Sticky};
        type Given<'a> = (ClientAssignor, Option<&'a [u8]>, Option<i32>);
        type Expected<'a> = (Option<&'a TopicPartition>, Option<i32>);
        let cases: [(Given<'_>, Expected<'_>); 8] = [
            ((Sticky, None, Some(7)), (None, None)),
            ((Sticky, Some(&[]), Some(7)), (None, None)),
            ((Sticky, Some(&sticky), Some(7)), (Some(&there), Some(4))),
            ((Sticky, Some(&[1, 2]), Some(7)), (None, Some(-1))),
            ((CooperativeSticky, Some(&cooperative), Some(7)), (Some(&here), Some(7))),
            ((CooperativeSticky, Some(&cooperative), None), (Some(&here), Some(3))),
            ((CooperativeSticky, Some(&[1, 2]), None), (Some(&here), Some(-1))),
            ((CooperativeSticky, None, None), (Some(&here), None)),
        ];
        for ((assignor, user_data, generation), (owned, expected)) in cases {
            let subscription = subscription(user_data, generation);
            let member = Member::of_subscription(assignor, "m", Some("i".to_owned()), &subscription);
            let case = format!("{assignor:?} {user_data:?} {generation:?}");
            assert_eq!(member.owned.first(), owned, "{case}");
            assert_eq!(member.generation, expected, "{case}");
            assert_eq!(member.subscription_generation, generation, "{case}");
            assert_eq!((member.id.as_str(), member.instance.as_deref()), ("m", Some("i")), "{case}");
            assert_eq!((member.topics, member.rack), (vec!["t".to_owned()], Some("a".to_owned())), "{case}");
        }
    }
}
