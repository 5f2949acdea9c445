//! The assignors of the broker, for groups of the protocol of KIP-848 (`group.consumer.assignors`).

mod balancer;
mod mixed;
mod range;
mod uniform;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::GroupAssignment;
use crate::types::Uuid;

/// The assignors of Kafka's group coordinator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ServerAssignor {
    /// Topic by topic, a run of partitions to each subscriber (`assignor.RangeAssignor`). It keeps nothing on purpose,
    /// and knows no racks.
    Range,
    /// As evenly as subscriptions allow, and members keep what they have (`assignor.UniformAssignor`). The default.
    Uniform,
}

/// One member of a group of KIP-848, as the coordinator knows it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServerMember {
    /// Member id.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance: Option<String>,
    /// Ids of the topics it wants.
    pub topics: Vec<Uuid>,
    /// Its present target assignment, in the order in which Kafka's maps give it: of what is too much for a member the
    /// last goes first.
    pub current: Vec<(Uuid, Vec<i32>)>,
}

/// A member wants a topic that the cluster does not have (`PartitionAssignorException`).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "member {member} wants topic {topic}, which does not exist; leave the topic out or give its number of partitions"
)]
pub struct UnknownTopic {
    /// The member.
    pub member: String,
    /// The topic.
    pub topic: Uuid,
}

impl ServerAssignor {
    /// All of them.
    pub const ALL: [ServerAssignor; 2] = [ServerAssignor::Uniform, ServerAssignor::Range];

    /// The name that members and group metadata give it.
    pub const fn name(self) -> &'static str {
        match self {
            ServerAssignor::Range => "range",
            ServerAssignor::Uniform => "uniform",
        }
    }

    /// The assignor with this name; `None` for one that Kafka does not bring.
    pub fn from_name(name: &str) -> Option<ServerAssignor> {
        ServerAssignor::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// The new target assignment of every member.
    ///
    /// `topics`: how many partitions each topic has. `members` come in the order in which the coordinator visits them;
    /// for `Uniform` it decides between equals. Of several members with one id the last counts. Partitions of the
    /// present assignment that do not exist, or that a member before has too, count as nobody's.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use logdir::group::assignor::{ServerAssignor, ServerMember};
    /// use logdir::types::Uuid;
    ///
    /// let topic = Uuid([7; 16]);
    /// let member = |id: &str| ServerMember { id: id.to_owned(), topics: vec![topic], ..ServerMember::default() };
    /// let mut members = vec![member("a")];
    /// members[0].current = vec![(topic, vec![0, 1, 2, 3])];
    /// members.push(member("b"));
    /// let assignment = ServerAssignor::Uniform.assign(&BTreeMap::from([(topic, 4)]), &members)?;
    /// assert_eq!(assignment.topic("a", &topic), [0, 1]);
    /// assert_eq!(assignment.topic("b", &topic), [2, 3]);
    /// # Ok::<(), logdir::group::assignor::UnknownTopic>(())
    /// ```
    pub fn assign(
        self,
        topics: &BTreeMap<Uuid, u32>,
        members: &[ServerMember],
    ) -> Result<GroupAssignment<Uuid>, UnknownTopic> {
        let roster = Roster::new(topics, members)?;
        let targets = match self {
            ServerAssignor::Range => range::assign(&roster),
            ServerAssignor::Uniform if roster.homogeneous => uniform::assign(&roster),
            ServerAssignor::Uniform => mixed::assign(&roster),
        };
        Ok(roster.named(targets))
    }
}

/// For each member its partitions, each as the number of its topic and its own.
type Targets = Vec<Vec<(usize, i32)>>;

struct Topic {
    id: Uuid,
    partitions: i32,
    /// The members that want it, in the order in which they are visited.
    subscribers: Vec<usize>,
}

/// The group with its topics as numbers; members stay in the order in which they are visited.
struct Roster<'a> {
    members: Vec<&'a ServerMember>,
    /// In the order in which a member first wants them.
    topics: Vec<Topic>,
    /// For each member the numbers of the topics it wants, in its order.
    subscribed: Vec<Vec<usize>>,
    /// For each member what it has now of the topics it wants, topic by topic.
    current: Vec<Vec<(usize, Vec<i32>)>>,
    /// Whether all members want the same topics.
    homogeneous: bool,
}

impl<'a> Roster<'a> {
    fn new(cluster: &BTreeMap<Uuid, u32>, given: &'a [ServerMember]) -> Result<Roster<'a>, UnknownTopic> {
        let mut members: Vec<&ServerMember> = Vec::with_capacity(given.len());
        let mut places: HashMap<&str, usize> = HashMap::with_capacity(given.len());
        for member in given {
            match places.get(member.id.as_str()) {
                Some(place) => members[*place] = member,
                None => {
                    places.insert(&member.id, members.len());
                    members.push(member);
                }
            }
        }
        let mut topics: Vec<Topic> = Vec::new();
        let mut at: HashMap<Uuid, usize> = HashMap::new();
        let mut subscribed = Vec::with_capacity(members.len());
        for (number, member) in members.iter().enumerate() {
            let (mut wants, mut seen) = (Vec::with_capacity(member.topics.len()), HashSet::new());
            for &topic in member.topics.iter().filter(|topic| seen.insert(**topic)) {
                let Some(&partitions) = cluster.get(&topic) else {
                    return Err(UnknownTopic { member: member.id.clone(), topic });
                };
                let place = *at.entry(topic).or_insert_with(|| {
                    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
                    topics.push(Topic { id: topic, partitions, subscribers: Vec::new() });
                    topics.len() - 1
                });
                topics[place].subscribers.push(number);
                wants.push(place);
            }
            subscribed.push(wants);
        }
        let mut taken: HashSet<(usize, i32)> = HashSet::new();
        let mut current = Vec::with_capacity(members.len());
        for (number, member) in members.iter().enumerate() {
            let known = member.current.iter().filter_map(|(id, partitions)| Some((*at.get(id)?, partitions)));
            let wanted = known.filter(|(topic, _)| topics[*topic].subscribers.binary_search(&number).is_ok());
            let wanted = wanted.map(|(topic, partitions)| {
                let exists = |partition: &i32| (0..topics[topic].partitions).contains(partition);
                let mine = partitions.iter().copied().filter(exists);
                (topic, mine.filter(|partition| taken.insert((topic, *partition))).collect())
            });
            current.push(wanted.collect());
        }
        let homogeneous = topics.iter().all(|topic| topic.subscribers.len() == members.len());
        Ok(Roster { members, topics, subscribed, current, homogeneous })
    }

    fn named(&self, targets: Targets) -> GroupAssignment<Uuid> {
        let mut named = GroupAssignment::new();
        for (member, mut partitions) in self.members.iter().zip(targets) {
            named.add_member(&member.id);
            partitions.sort_unstable();
            for (topic, partition) in partitions {
                named.add(&member.id, self.topics[topic].id, partition);
            }
        }
        named
    }
}
