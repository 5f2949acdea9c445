//! A member's own side: what it reads, and what the group's state asks of it.

use std::collections::BTreeSet;

use super::member::protocol_of;
use super::{Fenced, Interest, Membership};
use crate::group::assignor::{ClientAssignor, Protocol};
use crate::types::TopicPartition;

/// What one member has, as it knows it.
///
/// The order that keeps two members from reading one partition: a member looks at the group ([`Attendance::look`]); what it
/// has to give up it stops reading, commits, and only then [`Attendance::release`]s and joins again; what it gets it reads
/// from the offset that is committed after [`Attendance::take`]. Who leaves looks first, too: as long as it has not taken
/// the group's generation, what it has read cannot be committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attendance {
    id: String,
    instance_id: Option<String>,
    protocol: Protocol,
    topics: Vec<String>,
    rack: Option<String>,
    /// Generation of its last assignment; -1 before the first.
    generation: i32,
    owned: BTreeSet<TopicPartition>,
    previous: Vec<TopicPartition>,
    /// It has given something up and must join again.
    must_join: bool,
}

/// What the group asks of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// Nothing: go on.
    Nothing,
    /// A new generation: [`Attendance::take`] it.
    Take {
        /// Partitions that it has and does not keep: nobody else has them yet, so what was read of them is committed with the
        /// new generation.
        revoked: BTreeSet<TopicPartition>,
        /// Partitions that it has and should have given up before: others may have them, nothing of them is committed. Some
        /// of them may be among those that it gets.
        lost: BTreeSet<TopicPartition>,
        /// Partitions that it gets: read from what is committed now.
        added: BTreeSet<TopicPartition>,
    },
    /// Join again. What is in `give_up` is to be committed and released before.
    Join {
        /// Everything in the eager protocol, nothing in the cooperative one.
        give_up: BTreeSet<TopicPartition>,
    },
    /// It is out: what it has is lost, and its commits count no more. It may join as a new member, unless another one has
    /// its instance id.
    Lost(Fenced),
}

impl Attendance {
    /// A member that wants to join.
    pub fn new(
        id: impl Into<String>,
        instance_id: Option<String>,
        assignors: &[ClientAssignor],
        interest: Interest,
    ) -> Attendance {
        Attendance {
            id: id.into(),
            instance_id,
            protocol: protocol_of(assignors),
            topics: interest.topics,
            rack: interest.rack,
            generation: interest.generation,
            owned: BTreeSet::new(),
            previous: interest.previous,
            must_join: false,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its `group.instance.id`.
    pub fn instance_id(&self) -> Option<&str> {
        self.instance_id.as_deref()
    }

    /// How it rebalances.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Generation of its last assignment; -1 before the first.
    pub const fn generation(&self) -> i32 {
        self.generation
    }

    /// The partitions it reads.
    pub const fn owned(&self) -> &BTreeSet<TopicPartition> {
        &self.owned
    }

    /// Whether it has to join again on its own account: it has given something up, or wants other topics.
    pub const fn must_join(&self) -> bool {
        self.must_join
    }

    /// Wants these topics from now on; says whether that is news. It must join again then.
    pub fn subscribe(&mut self, interest: Interest) -> bool {
        let is_news = self.topics != interest.topics;
        self.topics = interest.topics;
        self.must_join |= is_news;
        is_news
    }

    /// What it says when it joins.
    pub fn interest(&self) -> Interest {
        Interest {
            topics: self.topics.clone(),
            owned: self.owned.iter().cloned().collect(),
            previous: self.previous.clone(),
            generation: self.generation,
            rack: self.rack.clone(),
        }
    }

    /// What the group asks of it now.
    pub fn look(&self, group: &Membership) -> Demand {
        let Some(member) = group.member(&self.id) else {
            return Demand::Lost(match group.check(&self.id, self.instance_id(), self.generation) {
                Err(fenced) => fenced,
                Ok(()) => Fenced::UnknownMember { id: self.id.clone() },
            });
        };
        if group.generation() != self.generation && group.generation() > member.joined_in {
            let assigned: BTreeSet<TopicPartition> = member.assignment.iter().cloned().collect();
            return match self.protocol {
                // It gives everything up before it joins. If it has something, then it has missed a rebalance.
                Protocol::Eager => Demand::Take { revoked: BTreeSet::new(), lost: self.owned.clone(), added: assigned },
                Protocol::Cooperative => {
                    // The assignor leaves a member what it said it had when it joined. Of the rest others may have read, and
                    // committed, meanwhile, even if it is this member's now: so it is for a static member that has missed a
                    // rebalance. In Kafka it meets `ILLEGAL_GENERATION`, and all it has is lost (`onPartitionsLost`).
                    let told: BTreeSet<TopicPartition> = member.interest.owned.iter().cloned().collect();
                    let safe = &self.owned & &told;
                    Demand::Take { revoked: &safe - &assigned, lost: &self.owned - &told, added: &assigned - &safe }
                }
            };
        }
        let is_asked = group.rebalance_since_ms.is_some() && !member.has_joined;
        if is_asked || self.must_join {
            let give_up = if self.protocol == Protocol::Eager { self.owned.clone() } else { BTreeSet::new() };
            return Demand::Join { give_up };
        }
        Demand::Nothing
    }

    /// Stops reading partitions; their offsets are committed, as far as they are to be.
    pub fn release(&mut self, partitions: &BTreeSet<TopicPartition>) {
        self.owned.retain(|partition| !partitions.contains(partition));
    }

    /// Takes the assignment of the group's generation.
    ///
    /// In the cooperative protocol a member that loses something by it must join again: only then others may have it.
    pub fn take(&mut self, group: &Membership) {
        let Some(member) = group.member(&self.id) else { return };
        let assigned: BTreeSet<TopicPartition> = member.assignment.iter().cloned().collect();
        self.must_join |= self.protocol == Protocol::Cooperative && !self.owned.is_subset(&assigned);
        self.owned = assigned;
        self.previous.clone_from(&member.assignment);
        self.generation = group.generation();
    }

    /// It has joined with its [`Attendance::interest`].
    pub fn joined(&mut self) {
        self.must_join = false;
    }

    /// It is out: it has nothing, and is to join under another id.
    pub fn lose(&mut self, next_id: impl Into<String>) {
        self.owned.clear();
        self.generation = -1;
        self.must_join = false;
        self.id = next_id.into();
    }
}
