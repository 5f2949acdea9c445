//! A member, and what it says when it joins.

use serde::{Deserialize, Serialize};

use crate::group::assignor::{ClientAssignor, Protocol};
use crate::schema::consumer_protocol::{StickyUserData, Subscription};
use crate::schema::coordinator::group::ClassicMember;
use crate::schema::message::SchemaError;
use crate::types::{TimestampMs, TopicPartition};

/// What a member wants and has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interest {
    /// Topics, ascending.
    pub topics: Vec<String>,
    /// Partitions it reads while it joins; none in the eager protocol.
    pub owned: Vec<TopicPartition>,
    /// Partitions of its last assignment: what the sticky assignor goes by.
    pub previous: Vec<TopicPartition>,
    /// Generation of its last assignment; -1 before the first.
    pub generation: i32,
    /// `client.rack`.
    pub rack: Option<String>,
}

impl Interest {
    /// Wants these topics and has nothing.
    pub fn of_topics<S: Into<String>>(topics: impl IntoIterator<Item = S>) -> Interest {
        let mut topics: Vec<String> = topics.into_iter().map(Into::into).collect();
        topics.sort();
        topics.dedup();
        Interest { topics, generation: -1, ..Interest::default() }
    }

    /// Its bytes' contents, as a consumer with this assignor sends them (`ConsumerCoordinator.metadata`,
    /// `subscriptionUserData` of the assignors).
    pub fn subscription(&self, assignor: ClientAssignor) -> Result<Subscription, SchemaError> {
        let known = (self.generation >= 0).then_some(self.generation);
        let user_data = match assignor {
            ClientAssignor::Sticky if self.generation < 0 => None,
            ClientAssignor::Sticky => {
                Some(StickyUserData { owned: self.previous.clone(), generation: known }.to_bytes()?)
            }
            ClientAssignor::CooperativeSticky => Some(self.generation.to_be_bytes().to_vec()),
            ClientAssignor::Range | ClientAssignor::RoundRobin => None,
        };
        Ok(Subscription {
            topics: self.topics.clone(),
            user_data,
            owned: self.owned.clone(),
            generation: known,
            rack: self.rack.clone(),
        })
    }

    /// Whether a join with it, by a member with the other one, changes anything.
    pub fn is_same(&self, other: &Interest) -> bool {
        self.topics == other.topics && self.owned == other.owned && self.rack == other.rack
    }
}

/// A member joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Its id, different from all others.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Where it runs.
    pub client_host: String,
    /// After how much silence it counts as gone, in ms.
    pub session_timeout_ms: i32,
    /// How long a rebalance waits for it, in ms: `max.poll.interval.ms` of a consumer.
    pub rebalance_timeout_ms: i32,
    /// The assignors it knows, those it likes best first.
    pub assignors: Vec<ClientAssignor>,
    /// What it wants and has.
    pub interest: Interest,
    /// Where its presence is seen; the driver's.
    pub presence: Option<u32>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Where it runs.
    pub client_host: String,
    /// After how much silence it counts as gone, in ms.
    pub session_timeout_ms: i32,
    /// How long a rebalance waits for it, in ms.
    pub rebalance_timeout_ms: i32,
    /// The assignors it knows, those it likes best first.
    pub assignors: Vec<ClientAssignor>,
    /// What it wants and has.
    pub interest: Interest,
    /// Where its presence is seen; the driver's. `None`: it is away since `silent_since_ms`.
    pub presence: Option<u32>,
    /// It has joined for the generation that is being prepared.
    pub has_joined: bool,
    /// What it was given in the last completed rebalance.
    pub assignment: Vec<TopicPartition>,
    /// Number of the join with which it came.
    pub joined_at: u64,
    /// The group's generation then: it is part of those that follow.
    pub joined_in: i32,
    /// Since when it is away, if it is.
    pub silent_since_ms: TimestampMs,
}

impl Member {
    /// A static member of a group's record, which is away.
    pub(super) fn of_record(
        stored: &ClassicMember,
        generation: i32,
        assignor: ClientAssignor,
        joined_at: u64,
        now_ms: TimestampMs,
    ) -> Option<Member> {
        let instance_id = stored.instance_id.clone()?;
        let subscription = stored.parse_subscription().ok()?;
        let mut interest = Interest::of_topics(subscription.topics);
        interest.owned = subscription.owned;
        interest.generation = subscription.generation.unwrap_or(-1);
        interest.rack = subscription.rack;
        Some(Member {
            instance_id: Some(instance_id),
            client_id: stored.client_id.clone(),
            client_host: stored.client_host.clone(),
            session_timeout_ms: stored.session_timeout_ms,
            rebalance_timeout_ms: stored.rebalance_timeout_ms,
            // The others that it knew are not on record.
            assignors: vec![assignor],
            interest,
            presence: None,
            has_joined: false,
            assignment: stored.parse_assignment().ok()?.partitions,
            joined_at,
            joined_in: generation.saturating_sub(1),
            silent_since_ms: now_ms,
        })
    }
}

/// The protocol a member rebalances by: the highest that all its assignors have (`ConsumerCoordinator`).
pub(super) fn protocol_of(assignors: &[ClientAssignor]) -> Protocol {
    if assignors.iter().all(|assignor| assignor.protocols().contains(&Protocol::Cooperative)) {
        Protocol::Cooperative
    } else {
        Protocol::Eager
    }
}
