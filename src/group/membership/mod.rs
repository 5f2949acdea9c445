//! Who is in a classic group, and who reads which partitions: the choreography of joins and rebalances, without a server.
//!
//! In Kafka the group coordinator keeps this state and the members' clients answer it over the network. Here every
//! process of a group takes its turn at one [`Membership`], and moves it one step: there is no coordinator to ask, only rules.
//! They are Kafka's (`ClassicGroup`, `GroupMetadataManager`, `ConsumerCoordinator`), with two simplifications that the turn
//! allows: whoever sees that all members have joined completes the rebalance at once, so nobody waits in
//! `CompletingRebalance`; and the assignors are pure, so it need not be the leader who runs them.
//!
//! - [`Membership`]: the group. [`Membership::join`], [`Membership::leave`] and [`Membership::remove`] begin a rebalance,
//!   [`Membership::complete`] ends it with the next generation, [`Membership::check`] says who may commit.
//! - [`Attendance`]: one member's own side: what it has, and what it must do next.
//!
//! Pure: times are arguments, in ms of one clock.

mod attendance;
mod member;

pub use attendance::{Attendance, Demand};
pub use member::{Interest, Join, Member};

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::assignor::{self, ClientAssignor, Topics};
use crate::java_map;
use crate::partitioner::java_string_hash;
use crate::schema::consumer_protocol::{Assignment, PROTOCOL_TYPE};
use crate::schema::coordinator::group::{ClassicGroup, ClassicMember};
use crate::schema::message::SchemaError;
use crate::types::{TimestampMs, TopicPartition};

/// Version in which Kafka 4.3's consumer writes subscriptions and assignments (`ConsumerProtocol`).
const PROTOCOL_VERSION: i16 = 3;

/// A group of consumers and its members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Membership {
    generation: i32,
    /// The assignor of the last completed rebalance; none in an empty group.
    assignor: Option<ClientAssignor>,
    leader: Option<String>,
    /// Since when members join for the next generation; `None`: the group is stable, or empty.
    rebalance_since_ms: Option<TimestampMs>,
    members: BTreeMap<String, Member>,
    /// Topics and their partitions as of the last completed rebalance.
    counts: BTreeMap<String, u32>,
    /// How many joins there were: members that joined before are older.
    joins: u64,
}

/// The state of a group (`ClassicGroupState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No members.
    Empty,
    /// Members join for the next generation.
    PreparingRebalance,
    /// Every member has its assignment.
    Stable,
}

/// Why a member cannot join.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Its assignors and those of the others have none in common (`INCONSISTENT_GROUP_PROTOCOL`).
    #[error(
        "the other members of the group know none of the assignors {}: theirs are {}",
        listed(asked),
        listed(others)
    )]
    InconsistentProtocol {
        /// Its.
        asked: Vec<ClientAssignor>,
        /// Those that all others know.
        others: Vec<ClientAssignor>,
    },
}

fn listed(assignors: &[ClientAssignor]) -> String {
    assignors.iter().map(|assignor| assignor.name()).collect::<Vec<_>>().join(", ")
}

/// Why a member's commit does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fenced {
    /// It is not in the group, or not any more (`UNKNOWN_MEMBER_ID`).
    #[error("the group has no member {id}: it was silent for too long, or has left")]
    UnknownMember {
        /// The member.
        id: String,
    },
    /// A rebalance that it has not taken part in yet (`ILLEGAL_GENERATION`).
    #[error("generation {asked} of member {id} is over: the group is in generation {current}")]
    IllegalGeneration {
        /// The member.
        id: String,
        /// The member's.
        asked: i32,
        /// The group's.
        current: i32,
    },
    /// Another one has joined under its instance id (`FENCED_INSTANCE_ID`).
    #[error("member {id} of the instance {instance_id} is over: {by} has taken its place")]
    FencedInstance {
        /// The member.
        id: String,
        /// Its `group.instance.id`.
        instance_id: String,
        /// Who has it now.
        by: String,
    },
}

/// What came of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// A rebalance goes on, and the member takes part.
    Rebalancing,
    /// A static member is back and keeps what its predecessor had; the generation stays, its record is to be written.
    Replaced,
    /// Nothing has changed.
    Unchanged,
}

impl Membership {
    /// The group as its newest record has it, when none of its members can be there any more: of those only static members
    /// are kept, for as long as their session timeout allows from now on (`GroupMetadataManager.onLoaded`).
    pub fn of_record(record: &ClassicGroup, now_ms: TimestampMs) -> Membership {
        let mut group = Membership { generation: record.generation.max(0), ..Membership::default() };
        if !record.is_consumer() {
            return group;
        }
        let Some(assignor) = record.protocol.as_deref().and_then(ClientAssignor::from_name) else { return group };
        group.assignor = Some(assignor);
        for stored in &record.members {
            let Some(member) = Member::of_record(stored, record.generation, assignor, group.joins, now_ms) else {
                continue;
            };
            group.joins += 1;
            group.members.insert(stored.id.clone(), member);
        }
        let all: BTreeSet<&TopicPartition> = group.members.values().flat_map(|member| &member.assignment).collect();
        if group.members.len() < record.members.len() || all.is_empty() {
            // Somebody is missing: what it had has to go to the others.
            group.leader = None;
            group.rebalance_since_ms = (!group.members.is_empty()).then_some(now_ms);
        } else {
            group.leader.clone_from(&record.leader);
        }
        if group.members.is_empty() {
            group.assignor = None;
        }
        group
    }

    /// The record that says so; for an empty group too.
    pub fn record(&self, now_ms: TimestampMs) -> Result<ClassicGroup, SchemaError> {
        let assignor = self.assignor.filter(|_| !self.members.is_empty());
        let member = |(id, member): (&String, &Member)| {
            Ok(ClassicMember {
                id: id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms: member.session_timeout_ms,
                subscription: match assignor {
                    Some(assignor) => member.interest.subscription(assignor)?.to_bytes(PROTOCOL_VERSION)?,
                    None => Vec::new(),
                },
                assignment: Assignment { partitions: member.assignment.clone(), user_data: None }
                    .to_bytes(PROTOCOL_VERSION)?,
            })
        };
        Ok(ClassicGroup {
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            generation: self.generation,
            protocol: assignor.map(|assignor| assignor.name().to_owned()),
            leader: self.leader.clone(),
            state_ms: Some(now_ms),
            members: self.members.iter().map(member).collect::<Result<_, SchemaError>>()?,
        })
    }

    /// Number of the last completed rebalance; 0 before the first.
    pub const fn generation(&self) -> i32 {
        self.generation
    }

    /// Its state.
    pub fn state(&self) -> State {
        match (self.members.is_empty(), self.rebalance_since_ms) {
            (true, _) => State::Empty,
            (false, Some(_)) => State::PreparingRebalance,
            (false, None) => State::Stable,
        }
    }

    /// The assignor of the last completed rebalance; none in an empty group.
    pub const fn assignor(&self) -> Option<ClientAssignor> {
        self.assignor
    }

    /// The member that leads; in Kafka it runs the assignor.
    pub fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    /// Members by their ids.
    pub const fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// One of them.
    pub fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    /// All topics that some member wants.
    pub fn topics(&self) -> BTreeSet<&str> {
        self.members.values().flat_map(|member| &member.interest.topics).map(String::as_str).collect()
    }

    /// Takes in a new member, or one that joins again: with another subscription, or for the next generation.
    pub fn join(&mut self, join: Join, now_ms: TimestampMs) -> Result<Joined, Refusal> {
        let predecessor = join.instance_id.as_deref().and_then(|instance| self.instance(instance)).map(str::to_owned);
        let replaces = |id: &str| id == join.id || predecessor.as_deref() == Some(id);
        let others: Vec<&Member> =
            self.members.iter().filter(|(id, _)| !replaces(id)).map(|(_, member)| member).collect();
        let common = common_assignors(&others);
        if !others.is_empty() && !join.assignors.iter().any(|assignor| common.contains(assignor)) {
            return Err(Refusal::InconsistentProtocol { asked: join.assignors, others: common });
        }
        let Join { id, instance_id, client_id, client_host, session_timeout_ms, rebalance_timeout_ms, .. } = join;
        let Join { assignors, interest, presence, .. } = join;
        self.joins += 1;
        let mut member = Member {
            instance_id,
            client_id,
            client_host,
            session_timeout_ms,
            rebalance_timeout_ms,
            assignors,
            interest,
            presence,
            has_joined: false,
            assignment: Vec::new(),
            joined_at: self.joins,
            joined_in: self.generation,
            silent_since_ms: now_ms,
        };
        if let Some(predecessor) = predecessor.filter(|predecessor| *predecessor != id) {
            return Ok(self.replace(&predecessor, id, member, now_ms));
        }
        if let Some(known) = self.members.get(&id) {
            (member.joined_at, member.joined_in) = (known.joined_at, known.joined_in);
            member.assignment.clone_from(&known.assignment);
            let same = known.assignors == member.assignors && known.interest.is_same(&member.interest);
            if same && self.state() == State::Stable {
                self.members.insert(id, member);
                return Ok(Joined::Unchanged);
            }
        }
        Ok(self.take_part(id, member, now_ms))
    }

    /// Begins a rebalance, if none goes on, and has the member joined for it.
    fn take_part(&mut self, id: String, mut member: Member, now_ms: TimestampMs) -> Joined {
        self.prepare(now_ms);
        member.has_joined = true;
        self.members.insert(id, member);
        Joined::Rebalancing
    }

    /// A static member comes back under a new id (`GroupMetadataManager.updateStaticMemberThenRebalanceOrCompleteJoin`).
    fn replace(&mut self, predecessor: &str, id: String, mut member: Member, now_ms: TimestampMs) -> Joined {
        let Some(old) = self.members.remove(predecessor) else { return Joined::Unchanged };
        (member.joined_at, member.joined_in) = (old.joined_at, old.joined_in);
        member.assignment = old.assignment;
        if self.leader.as_deref() == Some(predecessor) {
            self.leader = Some(id.clone());
        }
        let wants_the_same = old.assignors == member.assignors && old.interest.topics == member.interest.topics;
        // In the cooperative protocol the predecessor may have had to let go of something and join again: nobody is to have
        // that before. Its successor has nothing to let go of, so this join is the one that is waited for.
        let is_awaited = old.interest.owned.iter().any(|partition| !member.assignment.contains(partition));
        if wants_the_same && !is_awaited && self.rebalance_since_ms.is_none() {
            // What the predecessor said it had stands in the group's record.
            member.interest = old.interest;
            self.members.insert(id, member);
            return Joined::Replaced;
        }
        // It waits for the rebalance that it has joined, as the others do: what its predecessor had may go to somebody else
        // in it, before or after this member gets to look.
        member.joined_in = self.generation;
        self.take_part(id, member, now_ms)
    }

    /// The member leaves of its own will. A static member does not: it stays until its session times out, and may come back.
    pub fn leave(&mut self, id: &str, now_ms: TimestampMs) -> bool {
        let is_dynamic = self.members.get(id).is_some_and(|member| member.instance_id.is_none());
        is_dynamic && self.remove(id, now_ms)
    }

    /// Takes a member out that is gone, or was silent for longer than its session timeout. Says whether it was in.
    pub fn remove(&mut self, id: &str, now_ms: TimestampMs) -> bool {
        if self.members.remove(id).is_none() {
            return false;
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = None;
        }
        self.prepare(now_ms);
        true
    }

    /// Begins a rebalance when partitions were added to topics that members want, or topics made
    /// (`ConsumerCoordinator.rejoinNeededOrPending`). Says whether it did.
    pub fn refresh(&mut self, counts: &BTreeMap<String, u32>, now_ms: TimestampMs) -> bool {
        if self.state() != State::Stable || self.wanted(counts) == self.counts {
            return false;
        }
        self.prepare(now_ms);
        true
    }

    fn wanted(&self, counts: &BTreeMap<String, u32>) -> BTreeMap<String, u32> {
        let wanted = self.topics();
        counts.iter().filter(|(topic, _)| wanted.contains(topic.as_str())).map(|(t, n)| (t.clone(), *n)).collect()
    }

    fn instance(&self, instance_id: &str) -> Option<&str> {
        let has_it = |(_, member): &(&String, &Member)| member.instance_id.as_deref() == Some(instance_id);
        self.members.iter().find(has_it).map(|(id, _)| id.as_str())
    }

    /// Everybody has to join again.
    fn prepare(&mut self, now_ms: TimestampMs) {
        if self.rebalance_since_ms.is_none() {
            self.rebalance_since_ms = Some(now_ms);
            self.members.values_mut().for_each(|member| member.has_joined = false);
        }
    }

    /// Completes the rebalance if there is one and all members have joined, or those that have not had their time: who is
    /// not static is out then. Says whether a new generation has begun, whose record is to be written.
    pub fn complete(&mut self, counts: &BTreeMap<String, u32>, now_ms: TimestampMs) -> bool {
        let Some(since_ms) = self.rebalance_since_ms else { return false };
        if self.members.values().any(|member| !member.has_joined) {
            let longest = self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0);
            if now_ms.saturating_sub(since_ms) < i64::from(longest) {
                return false;
            }
            self.members.retain(|_, member| member.has_joined || member.instance_id.is_some());
            if !self.members.is_empty() && !self.members.values().any(|member| member.has_joined) {
                // Only static members that are away: they have another round (`completeClassicGroupJoin`).
                self.rebalance_since_ms = Some(now_ms);
                return false;
            }
        }
        self.rebalance_since_ms = None;
        self.generation = self.generation.wrapping_add(1).max(1);
        self.assignor = self.elect_assignor();
        if self.leader.as_ref().is_none_or(|leader| !self.members.contains_key(leader)) {
            let joined = self.members.iter().filter(|(_, member)| member.has_joined);
            self.leader = joined.min_by_key(|(_, member)| member.joined_at).map(|(id, _)| id.clone());
        }
        self.counts = self.wanted(counts);
        self.assign();
        true
    }

    fn assign(&mut self) {
        let Some(assignor) = self.assignor else { return };
        let topics = self.counts.iter().fold(Topics::new(), |topics, (name, count)| topics.with(name, *count));
        let told = |(id, member): (&String, &Member)| {
            let subscription = member.interest.subscription(assignor).unwrap_or_default();
            assignor::Member::of_subscription(assignor, id.clone(), member.instance_id.clone(), &subscription)
        };
        let members: Vec<assignor::Member> = self.members.iter().map(told).collect();
        let assigned = assignor.assign(&topics, &members);
        for (id, member) in &mut self.members {
            let topics = assigned.member(id).into_iter().flatten();
            member.assignment = topics
                .flat_map(|(topic, numbers)| numbers.iter().map(|number| TopicPartition::new(topic.clone(), *number)))
                .collect();
        }
    }

    /// Each member votes for the first of its assignors that all know; most votes win (`ClassicGroup.selectProtocol`).
    fn elect_assignor(&self) -> Option<ClientAssignor> {
        let members: Vec<&Member> = self.members.values().collect();
        let candidates = common_assignors(&members);
        let mut votes: Vec<(ClientAssignor, usize)> = Vec::new();
        for member in members {
            let Some(vote) = member.assignors.iter().find(|assignor| candidates.contains(assignor)) else { continue };
            match votes.iter_mut().find(|(assignor, _)| assignor == vote) {
                Some((_, count)) => *count += 1,
                None => votes.push((*vote, 1)),
            }
        }
        // As Kafka does, the first with the most, in the order of a hash map of their names.
        let hashes: Vec<i32> = votes.iter().map(|(assignor, _)| java_string_hash(assignor.name())).collect();
        let mut best: Option<(ClientAssignor, usize)> = None;
        for place in java_map::order_of_puts(&hashes) {
            let candidate = votes[place];
            if best.is_none_or(|(_, count)| candidate.1 > count) {
                best = Some(candidate);
            }
        }
        best.map(|(assignor, _)| assignor)
    }

    /// Whether this member of this generation may commit (`ClassicGroup.validateOffsetCommit`).
    pub fn check(&self, id: &str, instance_id: Option<&str>, generation: i32) -> Result<(), Fenced> {
        if !self.members.contains_key(id) {
            if let Some((instance, by)) = instance_id.and_then(|it| self.instance(it).map(|by| (it, by))) {
                let (instance_id, by) = (instance.to_owned(), by.to_owned());
                return Err(Fenced::FencedInstance { id: id.to_owned(), instance_id, by });
            }
            return Err(Fenced::UnknownMember { id: id.to_owned() });
        }
        if generation != self.generation {
            return Err(Fenced::IllegalGeneration { id: id.to_owned(), asked: generation, current: self.generation });
        }
        Ok(())
    }

    /// Notes that a static member is away; for the driver, which sees whose process is there.
    pub fn note_away(&mut self, id: &str, since_ms: TimestampMs) {
        if let Some(member) = self.members.get_mut(id) {
            member.presence = None;
            member.silent_since_ms = since_ms;
        }
    }
}

/// The assignors that all these members know, in the order of the first one; all there are of no members.
fn common_assignors(members: &[&Member]) -> Vec<ClientAssignor> {
    let Some((first, rest)) = members.split_first() else { return ClientAssignor::ALL.to_vec() };
    let is_common = |assignor: &&ClientAssignor| rest.iter().all(|member| member.assignors.contains(assignor));
    first.assignors.iter().filter(is_common).copied().collect()
}

#[cfg(test)]
mod tests;
