//! What the verbs look at: the coordinator's state, the cluster's metadata, and the ends of the logs that groups read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use rayon::prelude::*;

use crate::batch::compression::MAX_BATCH_BYTES;
use crate::cli::Outcome;
use crate::cli::args::GlobalArgs;
use crate::cli::consume::select::distance;
use crate::cli::dirs::{self, Opened};
use crate::cli::message::show_remarks;
use crate::cli::ui::{Problem, Ui};
use crate::partitioner::{PartitionCount, partition_for_id};
use crate::schema::coordinator::CoordinatorTopic;
use crate::schema::coordinator::group::modern::{Partitions, TopicKey};
use crate::schema::coordinator::group::{ClassicGroup, ClassicMember, ModernKind, ModernMember};
use crate::schema::image::MetadataImage;
use crate::storage::coordinator::groups::{Group, GroupCoordinator, Protocol};
use crate::storage::leader_epochs;
use crate::storage::list_offsets::ListOffsets;
use crate::storage::log_dir::LogDir;
use crate::storage::names::DirKind;
use crate::storage::partition::present;
use crate::storage::partition_metadata;
use crate::storage::remarks::Remarks;
use crate::storage::replicas;
use crate::types::{LeaderEpoch, Offset, TopicPartition, Uuid};

/// The coordinator's state, and what it is read beside.
pub struct Books {
    /// The log directories.
    pub log_dirs: Vec<LogDir>,
    /// Their paths.
    pub paths: Vec<PathBuf>,
    /// What `__consumer_offsets` says.
    pub coordinator: GroupCoordinator,
    /// What the metadata log says of the cluster, where there is one.
    pub image: Option<MetadataImage>,
    topics: HashMap<Uuid, String>,
    outcome: Outcome,
}

/// Where a log begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// First offset that may be read.
    pub log_start: Offset,
    /// Offset of the next record.
    pub log_end: Offset,
}

impl Books {
    /// Reads `__consumer_offsets` in the log directories that the options name. What cannot be read is told.
    pub fn open(global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Books> {
        let paths = global.log_dirs()?;
        let Opened { dirs: log_dirs, mut outcome } = dirs::open(&paths, ui);
        let mut remarks = Remarks::default();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(global.threads().get()).build()?;
        let coordinator = pool.install(|| GroupCoordinator::read(&log_dirs, &mut remarks));
        outcome |= show_remarks(remarks, ui);
        if !coordinator.damaged().is_empty() {
            outcome |= Outcome::Findings;
        }
        let (believed, told) = dirs::believed_metadata(&log_dirs, ui);
        outcome |= told;
        let image = believed.map(|believed| believed.image);
        let mut topics = HashMap::new();
        for log_dir in &log_dirs {
            for (name, path) in log_dir.partitions().filter(|(name, _)| name.kind == DirKind::Live) {
                let file = path.join(partition_metadata::FILE_NAME);
                if let Ok(Some(found)) = present(partition_metadata::read(&file)) {
                    topics.entry(found.topic_id).or_insert_with(|| name.topic_partition.topic.clone());
                }
            }
        }
        Ok(Books { log_dirs, paths, coordinator, image, topics, outcome })
    }

    /// How a run ends because of what was read: damage was met, or something could not be read.
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The group of this id; else why there is none.
    pub fn group(&self, id: &str) -> Result<&Group, Box<Problem>> {
        self.coordinator.group(id).ok_or_else(|| Box::new(self.unknown(id)))
    }

    fn unknown(&self, id: &str) -> Problem {
        let topic = CoordinatorTopic::Group.topic();
        let count = self.partition_count();
        let home = count.map(|count| partition_for_id(id, count));
        let dirs = self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        let problem = Problem::new("not_found", format!("group '{id}' not found in {dirs}"));
        let missing = home.filter(|home| !self.coordinator.partitions().contains(home));
        if let Some(home) = missing {
            return problem.hint(format!("it belongs to {topic}-{home}, which is not in these directories"));
        }
        let near = self.coordinator.groups().keys().map(|known| (distance(id, known), known)).min();
        problem.hint(match near {
            Some((distance, known)) if distance <= 1 + id.len() / 4 => format!("did you mean '{known}'?"),
            Some(_) => "see which there are with: logdir groups list".to_owned(),
            None => format!("there is no group in any of their partitions of {topic}"),
        })
    }

    /// How many partitions `__consumer_offsets` has, as far as the cluster's metadata tells.
    pub fn partition_count(&self) -> Option<PartitionCount> {
        let known = self.image.as_ref()?.topic_named(CoordinatorTopic::Group.topic())?;
        PartitionCount::new(u32::try_from(known.partitions.len()).ok()?)
    }

    /// Partitions by the names of their topics; of streams groups by subtopology. A topic that nobody knows has its id.
    pub fn named(&self, partitions: &Partitions) -> BTreeSet<TopicPartition> {
        let name = |key: &TopicKey| match key {
            TopicKey::Subtopology(name) => name.clone(),
            TopicKey::Topic(id) => {
                let known = self.image.as_ref().and_then(|image| image.topic(*id)).map(|topic| topic.name.clone());
                known.or_else(|| self.topics.get(id).cloned()).unwrap_or_else(|| id.to_string())
            }
        };
        let each = |(key, numbers): (&TopicKey, &BTreeSet<i32>)| {
            let topic = name(key);
            numbers.iter().map(move |number| TopicPartition::new(topic.clone(), *number)).collect::<Vec<_>>()
        };
        partitions.iter().flat_map(each).collect()
    }

    /// Every partition that is in the log directories.
    pub fn all_partitions(&self) -> BTreeSet<TopicPartition> {
        let live = self.log_dirs.iter().flat_map(LogDir::partitions).filter(|(name, _)| name.kind == DirKind::Live);
        live.map(|(name, _)| name.topic_partition.clone()).collect()
    }

    /// Whether the cluster's metadata knows the partition.
    pub fn is_known(&self, partition: &TopicPartition) -> bool {
        let topic = self.image.as_ref().and_then(|image| image.topic_named(&partition.topic));
        topic.is_some_and(|topic| topic.partitions.contains_key(&partition.partition))
    }

    /// The id of a topic, as the cluster's metadata knows it, else by its directories.
    pub fn topic_id(&self, topic: &str) -> Option<Uuid> {
        let known = self.image.as_ref().and_then(|image| image.topic_named(topic)).map(|topic| topic.topic_id);
        known.or_else(|| self.topics.iter().find(|(_, name)| *name == topic).map(|(id, _)| *id))
    }

    /// The newest leader epoch of a partition, by its replicas here and the cluster's metadata; `None` where neither tells.
    pub fn leader_epoch(&self, partition: &TopicPartition) -> Option<LeaderEpoch> {
        let topic = self.image.as_ref().and_then(|image| image.topic_named(&partition.topic));
        let known =
            topic.and_then(|topic| topic.partitions.get(&partition.partition)).map(|record| record.leader_epoch);
        let of_log = |log_dir: &LogDir| {
            let path = log_dir.dir().join(partition.to_string()).join(leader_epochs::FILE_NAME);
            leader_epochs::read(&path).ok()?.latest().map(|entry| entry.epoch)
        };
        known.map(LeaderEpoch).into_iter().chain(self.log_dirs.iter().filter_map(of_log)).max()
    }

    /// Where the logs of these partitions begin and end; those that are not there are left out.
    pub fn ends(
        &self,
        wanted: &BTreeSet<TopicPartition>,
        global: &GlobalArgs,
        ui: &mut Ui,
    ) -> anyhow::Result<(BTreeMap<TopicPartition, Ends>, Outcome)> {
        let mut remarks = Remarks::default();
        let found = replicas::furthest(&self.log_dirs, &|partition| wanted.contains(partition), &mut remarks.failures);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(global.threads().get()).build()?;
        let look = |chosen: &replicas::Chosen| {
            let mut offsets = ListOffsets::new(&chosen.partition, MAX_BATCH_BYTES);
            let log_end = offsets.log_end();
            (log_end.map(|log_end| Ends { log_start: chosen.partition.log_start(), log_end }), offsets.take_remarks())
        };
        let looked: Vec<_> =
            pool.install(|| found.par_iter().map(|(partition, chosen)| (partition.clone(), look(chosen))).collect());
        let mut ends = BTreeMap::new();
        for (partition, (result, said)) in looked {
            remarks.merge(said);
            match result {
                Ok(found) => drop(ends.insert(partition, found)),
                Err(error) => remarks.failures.push(error),
            }
        }
        Ok((ends, show_remarks(remarks, ui)))
    }

    /// The broker that coordinates groups of this partition of `__consumer_offsets`, and where it listens; `None` where that
    /// is not known.
    pub fn coordinator_of(&self, partition: i32) -> Option<(i32, Option<(String, u16)>)> {
        let image = self.image.as_ref();
        let record = image
            .and_then(|image| image.topic_named(CoordinatorTopic::Group.topic()))
            .and_then(|topic| topic.partitions.get(&partition));
        let leader = record.map(|record| record.leader).filter(|leader| *leader >= 0);
        // A broker that stopped in good order leads nothing: it is the one that has the partition.
        let node = leader.or_else(|| record.and_then(|record| record.replicas.first().copied())).or_else(|| {
            let holds = |log_dir: &&LogDir| {
                log_dir.partitions().any(|(name, _)| {
                    name.kind == DirKind::Live
                        && name.topic_partition.topic == CoordinatorTopic::Group.topic()
                        && name.topic_partition.partition == partition
                })
            };
            self.log_dirs.iter().find(holds)?.meta()?.node_id()
        })?;
        let broker = image.and_then(|image| image.broker(node));
        let endpoint = broker.and_then(|broker| broker.listeners.values().next());
        Some((node, endpoint.map(|endpoint| (endpoint.host.clone(), endpoint.port))))
    }

    /// The members of a group, by their ids.
    pub fn members(&self, group: &Group) -> Vec<Member> {
        match &group.protocol {
            Protocol::Simple => Vec::new(),
            Protocol::Classic(classic) => {
                let mut members: Vec<Member> = classic.members.iter().map(|it| Member::classic(it, classic)).collect();
                members.sort_by(|a, b| a.id.cmp(&b.id));
                members
            }
            Protocol::Modern(modern) => {
                let target = |id: &String| modern.target.get(id).map(|target| self.named(target)).unwrap_or_default();
                let member = |(id, member): (&String, &ModernMember)| Member {
                    id: id.clone(),
                    instance_id: member.instance_id.clone(),
                    client_id: member.client_id.clone(),
                    host: member.client_host.clone(),
                    epoch: Some(member.epoch),
                    assigned: self.named(&member.assigned),
                    target: Some(target(id)),
                    is_upgraded: (modern.kind == ModernKind::Consumer).then_some(!member.is_classic),
                };
                modern.members.iter().map(member).collect()
            }
        }
    }
}

/// A member of a group of any kind.
pub struct Member {
    /// Its id.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Where it connected from.
    pub host: String,
    /// The epoch it has reached; `None` in a classic group.
    pub epoch: Option<i32>,
    /// What it has.
    pub assigned: BTreeSet<TopicPartition>,
    /// What it is to have; `None` in a classic group.
    pub target: Option<BTreeSet<TopicPartition>>,
    /// Whether it speaks KIP-848 in a group of that kind.
    pub is_upgraded: Option<bool>,
}

impl Member {
    fn classic(member: &ClassicMember, group: &ClassicGroup) -> Member {
        // What other clients of the coordinator write there is theirs; what cannot be read gives nothing.
        let assignment = if group.is_consumer() { member.parse_assignment().ok() } else { None };
        Member {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            host: member.client_host.clone(),
            epoch: None,
            assigned: assignment.map(|assignment| assignment.partitions.into_iter().collect()).unwrap_or_default(),
            target: None,
            is_upgraded: None,
        }
    }
}
