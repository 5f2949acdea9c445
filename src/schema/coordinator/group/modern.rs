//! Groups whose members talk to the coordinator, which assigns: consumer groups of KIP-848, share groups, streams groups.
//!
//! What the records of one group come to, in whatever order they stand: `ModernGroup` and its subclasses of Kafka 4.3.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{RECORDS, RecordType};
use crate::schema::message::{Fields, SchemaError, Value};
use crate::types::{TimestampMs, Uuid};

/// Which protocol a group speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModernKind {
    /// KIP-848.
    Consumer,
    /// KIP-932.
    Share,
    /// KIP-1071.
    Streams,
}

/// State of a group, as it follows from its records (`ConsumerGroup.maybeUpdateGroupState` and its like).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModernState {
    /// No members.
    Empty,
    /// Its target assignment is of an older epoch than the group.
    Assigning,
    /// Members are on their way to their target assignment.
    Reconciling,
    /// Every member has what it is to have.
    Stable,
    /// Topics it needs are missing (streams only).
    NotReady,
}

impl ModernState {
    /// As Kafka's tools have it.
    pub const fn name(self) -> &'static str {
        match self {
            ModernState::Empty => "Empty",
            ModernState::Assigning => "Assigning",
            ModernState::Reconciling => "Reconciling",
            ModernState::Stable => "Stable",
            ModernState::NotReady => "NotReady",
        }
    }
}

/// What its records say of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModernGroup {
    /// Its protocol.
    pub kind: ModernKind,
    /// Raised whenever members or subscriptions change.
    pub epoch: i32,
    /// Epoch of the target assignment; -1 for none.
    pub assignment_epoch: i32,
    /// When that was made, in ms since the epoch.
    pub assignment_ms: TimestampMs,
    /// Its members, by their ids.
    pub members: BTreeMap<String, ModernMember>,
    /// What members are to have, by their ids.
    pub target: BTreeMap<String, Partitions>,
    /// Topics that regular expressions of subscriptions came to.
    pub resolved: BTreeMap<String, Vec<String>>,
}

/// Partitions by the ids of their topics; of streams groups by the names of subtopologies.
pub type Partitions = BTreeMap<TopicKey, BTreeSet<i32>>;

/// What partitions are of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKey {
    /// A topic.
    Topic(Uuid),
    /// A part of a topology.
    Subtopology(String),
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModernMember {
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `client.rack`.
    pub rack_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Where it connected from.
    pub client_host: String,
    /// Topics it subscribes to by name.
    pub topics: Vec<String>,
    /// A regular expression of topics.
    pub topic_regex: Option<String>,
    /// The assignor it would like the coordinator to use.
    pub server_assignor: Option<String>,
    /// It joined with the classic protocol.
    pub is_classic: bool,
    /// Epoch it has reached; -1 for a member that has left.
    pub epoch: i32,
    /// 0 for a member that has what its epoch gives it (`MemberState.STABLE`).
    pub state: i8,
    /// What it has.
    pub assigned: Partitions,
    /// What it has still to give back.
    pub pending_revocation: Partitions,
}

/// What a record of a modern group is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Group,
    Member,
    TargetMetadata,
    TargetMember,
    CurrentAssignment,
    Regex,
    /// Nothing that is kept here: the topics a group sees, its topology, the state of share partitions.
    Other,
}

/// The protocol and the subject of a record type; `None` for those of offsets and classic groups.
fn about(kind: &RecordType) -> Option<(ModernKind, About)> {
    let (kind_of_group, rest) = [
        (ModernKind::Consumer, "ConsumerGroup"),
        (ModernKind::Share, "ShareGroup"),
        (ModernKind::Streams, "StreamsGroup"),
    ]
    .into_iter()
    .find_map(|(of, prefix)| Some((of, kind.name.strip_prefix(prefix)?)))?;
    let about = match rest {
        "Metadata" => About::Group,
        "MemberMetadata" => About::Member,
        "TargetAssignmentMetadata" => About::TargetMetadata,
        "TargetAssignmentMember" => About::TargetMember,
        "CurrentMemberAssignment" => About::CurrentAssignment,
        "RegularExpression" => About::Regex,
        _ => About::Other,
    };
    Some((kind_of_group, about))
}

/// The protocol of a record's group and the group's id; `None` for records of offsets and classic groups.
pub fn group_of(kind: &RecordType, key: &Fields<'_>) -> Option<(ModernKind, String)> {
    about(kind).map(|(of, _)| (of, key.text("groupId")))
}

impl ModernGroup {
    /// One of which nothing is known.
    pub const fn new(kind: ModernKind) -> ModernGroup {
        ModernGroup {
            kind,
            epoch: 0,
            assignment_epoch: -1,
            assignment_ms: 0,
            members: BTreeMap::new(),
            target: BTreeMap::new(),
            resolved: BTreeMap::new(),
        }
    }

    /// Takes in the newest record of a key, which has a value.
    pub fn apply(&mut self, kind: &RecordType, key: &Fields<'_>, value: &Fields<'_>) {
        let Some((_, about)) = about(kind) else { return };
        let member_id = || key.text("memberId");
        match about {
            About::Group => self.epoch = value.int("epoch"),
            About::Member => {
                let member = self.members.entry(member_id()).or_default();
                member.instance_id = value.get("instanceId").and_then(|_| value.nullable_text("instanceId"));
                member.rack_id = value.nullable_text("rackId");
                member.client_id = value.text("clientId");
                member.client_host = value.text("clientHost");
                if value.get("subscribedTopicNames").is_some() {
                    member.topics = value.texts("subscribedTopicNames");
                }
                if self.kind == ModernKind::Consumer {
                    member.topic_regex = value.nullable_text("subscribedTopicRegex").filter(|text| !text.is_empty());
                    member.server_assignor = value.nullable_text("serverAssignor");
                    member.is_classic = !matches!(value.get("classicMemberMetadata"), None | Some(Value::Null));
                }
            }
            About::TargetMetadata => {
                self.assignment_epoch = value.int("assignmentEpoch");
                self.assignment_ms = value.long("assignmentTimestamp");
            }
            About::TargetMember => {
                let lists: &[&str] = match self.kind {
                    ModernKind::Streams => &["activeTasks"],
                    ModernKind::Consumer | ModernKind::Share => &["topicPartitions"],
                };
                self.target.insert(member_id(), partitions(value, lists));
            }
            About::CurrentAssignment => {
                let (assigned, pending): (&[&str], &[&str]) = match self.kind {
                    ModernKind::Streams => (&["activeTasks"], &["activeTasksPendingRevocation"]),
                    ModernKind::Consumer => (&["assignedPartitions"], &["partitionsPendingRevocation"]),
                    ModernKind::Share => (&["assignedPartitions"], &[]),
                };
                let member = self.members.entry(member_id()).or_default();
                member.epoch = value.int("memberEpoch");
                member.state = i8::try_from(value.long("state")).unwrap_or(i8::MAX);
                member.assigned = partitions(value, assigned);
                member.pending_revocation = partitions(value, pending);
            }
            About::Regex => {
                self.resolved.insert(key.text("regularExpression"), value.texts("topics"));
            }
            About::Other => {}
        }
    }

    /// The state it is loaded in.
    pub fn state(&self) -> ModernState {
        if self.members.is_empty() {
            ModernState::Empty
        } else if self.kind == ModernKind::Share {
            ModernState::Stable
        } else if self.epoch > self.assignment_epoch {
            ModernState::Assigning
        } else if self.members.values().all(|member| member.state == 0 && member.epoch == self.assignment_epoch) {
            ModernState::Stable
        } else {
            ModernState::Reconciling
        }
    }

    /// The assignor that most members ask for, else the first of a broker's `group.consumer.assignors`
    /// (`ConsumerGroup.preferredServerAssignor`).
    pub fn assignor(&self) -> &str {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for assignor in self.members.values().filter_map(|member| member.server_assignor.as_deref()) {
            *votes.entry(assignor).or_default() += 1;
        }
        let most = votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(assignor, _)| assignor);
        most.unwrap_or(match self.kind {
            ModernKind::Consumer => "uniform",
            ModernKind::Share => "simple",
            ModernKind::Streams => "sticky",
        })
    }

    /// Keys of the records of consumer group `id`, in the order in which a coordinator removes them: what belongs to members
    /// before the members, the group last (`ConsumerGroup.createGroupTombstoneRecords`).
    pub fn tombstone_keys(&self, id: &str) -> Result<Vec<Vec<u8>>, SchemaError> {
        let members: BTreeSet<&String> = self.members.keys().chain(self.target.keys()).collect();
        let mut keys = Vec::new();
        let mut add = |name: &str, field: Option<(&str, &str)>| -> Result<(), SchemaError> {
            let Some(kind) = RECORDS.iter().find(|kind| kind.name == name) else { return Ok(()) };
            let text = |text| Value::String(Cow::Borrowed(text));
            let mut key = kind.new_key().with("groupId", text(id));
            if let Some((field, value)) = field {
                key = key.with(field, text(value));
            }
            keys.push(kind.key_bytes(&key)?);
            Ok(())
        };
        for name in ["ConsumerGroupCurrentMemberAssignment", "ConsumerGroupTargetAssignmentMember"] {
            members.iter().try_for_each(|member| add(name, Some(("memberId", member))))?;
        }
        add("ConsumerGroupTargetAssignmentMetadata", None)?;
        members.iter().try_for_each(|member| add("ConsumerGroupMemberMetadata", Some(("memberId", member))))?;
        let regexes = self.resolved.keys();
        for regex in regexes {
            add("ConsumerGroupRegularExpression", Some(("regularExpression", regex)))?;
        }
        add("ConsumerGroupPartitionMetadata", None)?;
        add("ConsumerGroupMetadata", None)?;
        Ok(keys)
    }

    /// Whether a member subscribes to the topic, by its name or by what its regular expression came to.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        let resolved =
            |regex: &String| self.resolved.get(regex).is_some_and(|topics| topics.iter().any(|it| it == topic));
        self.members.values().any(|member| {
            member.topics.iter().any(|it| it == topic) || member.topic_regex.as_ref().is_some_and(resolved)
        })
    }
}

fn partitions(value: &Fields<'_>, lists: &[&str]) -> Partitions {
    let mut all = Partitions::new();
    for fields in lists.iter().flat_map(|list| value.structs(list)) {
        let key = match fields.get("topicId") {
            Some(Value::Uuid(id)) => TopicKey::Topic(*id),
            _ => TopicKey::Subtopology(fields.text("subtopologyId")),
        };
        all.entry(key).or_default().extend(fields.ints("partitions").unwrap_or_default());
    }
    all
}
