//! Which member of a group gets which partitions, exactly as Kafka 4.3 chooses.
//!
//! In a classic group the leader decides, with one of the [`ClientAssignor`]s that all members support; in a group
//! of the protocol of KIP-848 the broker does, with a [`ServerAssignor`].
//!
//! Where Kafka walks over a hash map, so that the order of hashes decides, the order here is that of Java. Where
//! Kafka's own answer breaks a rule (a partition of a topic that the member does not read, one that is given
//! twice or that the topic does not have, an exception), the answer here keeps it; each place says how.
//!
//! ```
//! use logdir::group::assignor::{ClientAssignor, Member, Topics};
//!
//! let topics = Topics::new().with("t0", 10);
//! let members = ["C0", "C1", "C2"].map(|id| Member::new(id, ["t0"]));
//!
//! let range = ClientAssignor::Range.assign(&topics, &members);
//! assert_eq!(range.topic("C0", "t0"), [0, 1, 2, 3]);
//! assert_eq!(range.topic("C1", "t0"), [4, 5, 6]);
//! assert_eq!(range.topic("C2", "t0"), [7, 8, 9]);
//! ```

mod assignment;
mod cooperative_sticky;
mod members;
mod range;
mod roster;
mod round_robin;
mod server;
mod sticky;

pub use assignment::{GroupAssignment, Moves, moves};
pub use members::{Member, Topics};
pub use server::{ServerAssignor, ServerMember, UnknownTopic};

use roster::Roster;

/// How a classic group rebalances (`ConsumerPartitionAssignor.RebalanceProtocol`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protocol {
    /// Every member gives up all its partitions before it joins.
    Eager,
    /// Members keep theirs, and give up only what the assignment takes from them.
    Cooperative,
}

/// The assignors of Kafka's Java consumer (`partition.assignment.strategy`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAssignor {
    /// Topic by topic, a run of partitions to each subscriber (`RangeAssignor`).
    ///
    /// Members take their turn by `group.instance.id`, then those without one by member id. When racks of members
    /// and replicas are known and differ, members get partitions of their rack first.
    Range,
    /// All partitions of all topics in turn to the next subscriber (`RoundRobinAssignor`).
    ///
    /// ```
    /// use logdir::group::assignor::{ClientAssignor, Member, Topics};
    ///
    /// let topics = Topics::new().with("t0", 3).with("t1", 3);
    /// let members = ["C0", "C1", "C2"].map(|id| Member::new(id, ["t0", "t1"]));
    /// let equal = ClientAssignor::RoundRobin.assign(&topics, &members);
    /// assert_eq!(equal.to_string(), "C0: t0-0 t1-0\nC1: t0-1 t1-1\nC2: t0-2 t1-2\n");
    ///
    /// let topics = Topics::new().with("t0", 1).with("t1", 2).with("t2", 3);
    /// let members = [
    ///     Member::new("C0", ["t0"]),
    ///     Member::new("C1", ["t0", "t1"]),
    ///     Member::new("C2", ["t0", "t1", "t2"]),
    /// ];
    /// let different = ClientAssignor::RoundRobin.assign(&topics, &members);
    /// assert_eq!(different.to_string(), "C0: t0-0\nC1: t1-0\nC2: t1-1 t2-0 t2-1 t2-2\n");
    /// ```
    RoundRobin,
    /// As evenly as subscriptions allow, moving as little as that needs (`StickyAssignor`).
    Sticky,
    /// As sticky, but what moves is given to nobody until its owner has let go of it (`CooperativeStickyAssignor`).
    CooperativeSticky,
}

impl ClientAssignor {
    /// All of them.
    pub const ALL: [ClientAssignor; 4] =
        [ClientAssignor::Range, ClientAssignor::RoundRobin, ClientAssignor::Sticky, ClientAssignor::CooperativeSticky];

    /// The name that members propose and that group metadata records as `protocol`.
    pub const fn name(self) -> &'static str {
        match self {
            ClientAssignor::Range => "range",
            ClientAssignor::RoundRobin => "roundrobin",
            ClientAssignor::Sticky => "sticky",
            ClientAssignor::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The assignor with this name; `None` for one that Kafka does not bring.
    pub fn from_name(name: &str) -> Option<ClientAssignor> {
        ClientAssignor::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// The protocols it can be used with; a consumer takes the last that all its assignors have.
    pub const fn protocols(self) -> &'static [Protocol] {
        match self {
            ClientAssignor::CooperativeSticky => &[Protocol::Eager, Protocol::Cooperative],
            ClientAssignor::Range | ClientAssignor::RoundRobin | ClientAssignor::Sticky => &[Protocol::Eager],
        }
    }

    /// What each member gets, as the group's leader decides it in its first rebalance.
    ///
    /// `members` come in the order in which the broker tells the leader of them; it decides only between ids that
    /// fall into the same bucket of Java's hash map. Of several members with one id the last counts. Topics without
    /// metadata are left out.
    pub fn assign(self, topics: &Topics, members: &[Member]) -> GroupAssignment<String> {
        let roster = Roster::new(topics, members);
        let partitions = match self {
            ClientAssignor::Range => range::assign(&roster),
            ClientAssignor::RoundRobin => round_robin::assign(&roster),
            ClientAssignor::Sticky => sticky::assign(&roster).partitions,
            ClientAssignor::CooperativeSticky => cooperative_sticky::assign(&roster),
        };
        roster.named(partitions)
    }
}
