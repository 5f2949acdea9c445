//! Where records go: the topic's partitions in the log directories, made where they are missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ProduceArgs;
use crate::cli::Outcome;
use crate::cli::args::GlobalArgs;
use crate::cli::consume::select::{storage_problem, topic_not_found};
use crate::cli::topics::create::finish_interrupted;
use crate::cli::topics::problem::{create_problem, node_problem};
use crate::cli::ui::{Problem, Ui};
use crate::partitioner::PartitionCount;
use crate::schema::image::MetadataImage;
use crate::storage::cluster_metadata::{self, Choice};
use crate::storage::create::{self, CreateError, TopicPlan};
use crate::storage::ensemble::{self, Identity};
use crate::storage::fs::StorageError;
use crate::storage::lock;
use crate::storage::log_dir::LogDir;
use crate::storage::names::DirKind;
use crate::storage::node::{Node, NodeError};
use crate::storage::partition::present;
use crate::storage::{meta_properties, metadata_log, partition_metadata};
use crate::types::{TopicPartition, Uuid};

/// The log directories and what of the topics is in them.
#[derive(Debug)]
pub struct Target {
    /// The log directories, in the order named.
    pub dirs: Vec<PathBuf>,
    /// The broker each of them belongs to, numbered from 0, and its `node.id`.
    brokers: Vec<(usize, Option<i32>)>,
    /// Topics, by name, each with the directory of every partition.
    topics: BTreeMap<String, Topic>,
    /// The newest metadata log among the directories of several brokers, once it was looked for.
    metadata: Option<Option<MetadataImage>>,
}

/// A topic's partitions.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Partitions: the highest number there is, and one.
    pub count: PartitionCount,
    /// Which of the log directories hold a partition, by number: one of each broker that has a replica.
    dirs: BTreeMap<i32, Vec<usize>>,
    /// Partitions to be made, on each broker.
    pub missing: Vec<TopicPlan>,
}

impl Topic {
    /// Its partitions that are in one of the log directories, or will be.
    pub fn partitions(&self) -> impl Iterator<Item = i32> + '_ {
        self.dirs.keys().copied()
    }

    /// The log directories of a partition, none when there is no such partition.
    pub fn dirs_of(&self, partition: i32) -> &[usize] {
        self.dirs.get(&partition).map_or(&[], Vec::as_slice)
    }
}

impl Target {
    /// Looks at the log directories; with `--create`, makes one that is not there.
    pub fn find(args: &ProduceArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Target> {
        let dirs = global.log_dirs()?;
        if args.create.is_some() {
            let mut cluster_id = args.cluster_id.clone().or_else(|| dirs.iter().find_map(|dir| cluster_of(dir)));
            for dir in dirs.iter().filter(|dir| is_unmade(dir)) {
                if args.dry_run {
                    ui.note(&format!("would make the log directory {}", dir.display()));
                    continue;
                }
                let cluster_id = match &cluster_id {
                    Some(id) => id,
                    // All that are made together are of one cluster.
                    None => cluster_id.insert(random_id(dir).map_err(|error| storage_problem(&error))?.to_string()),
                };
                match make_log_dir(dir, cluster_id, args) {
                    // By another run, since it was looked at.
                    Err(CreateError::Exists { .. }) => continue,
                    made => made.map_err(|error| create_problem(&error))?,
                }
                ui.note(&format!("made the log directory {}", dir.display()));
            }
        }
        if args.create.is_some() && !args.dry_run {
            finish_interrupted(&dirs, ui)?;
        }
        let mut opened = Vec::with_capacity(dirs.len());
        for dir in &dirs {
            let is_planned = args.dry_run && args.create.is_some() && !dir.exists();
            opened.push(match is_planned {
                true => None,
                false => Some(LogDir::open(dir).map_err(|error| storage_problem(&error))?),
            });
        }
        let identities: Vec<_> = opened.iter().map(|dir| Identity::of(dir.as_ref().and_then(LogDir::meta))).collect();
        let nodes = identities.iter().map(|identity| identity.node);
        let brokers = ensemble::brokers(&identities).into_iter().zip(nodes).collect();
        let clusters: Vec<_> = identities.iter().map(|identity| identity.cluster.map(str::to_owned)).collect();
        let mut target = Target { dirs: dirs.clone(), brokers, topics: BTreeMap::new(), metadata: None };
        for (number, opened) in opened.iter().enumerate() {
            for (name, path) in
                opened.iter().flat_map(LogDir::partitions).filter(|(name, _)| name.kind == DirKind::Live)
            {
                let TopicPartition { topic, partition } = &name.topic_partition;
                let count = u32::try_from(partition.saturating_add(1)).ok().and_then(PartitionCount::new);
                let Some(count) = count else { continue };
                let known = target.topics.entry(topic.clone()).or_insert_with(|| Topic {
                    count,
                    dirs: BTreeMap::new(),
                    missing: Vec::new(),
                });
                known.count = known.count.max(count);
                let held = known.dirs.entry(*partition).or_default();
                // On another broker of the same cluster it is another replica.
                let is_same = |other: &&usize| {
                    target.brokers[**other].0 == target.brokers[number].0 || clusters[**other] != clusters[number]
                };
                if let Some(first) = held.iter().find(is_same) {
                    if clusters[*first] != clusters[number] {
                        let text = format!(
                            "partition {} is also in {}, which is of another cluster",
                            name.topic_partition,
                            dirs[*first].display()
                        );
                        let problem = Problem::new("refused", text).path(path).outcome(Outcome::Refused);
                        return Err(problem.hint("name the log directories of one cluster").into());
                    }
                    return Err(Problem::new(
                        "duplicate",
                        format!("partition {} is also in {}", name.topic_partition, dirs[*first].display()),
                    )
                    .path(path)
                    .hint("a broker does not start with both; remove one, or name one log directory with -d")
                    .into());
                }
                held.push(number);
            }
        }
        if let (Some(topic), Some(count)) = (&args.topic, args.create) {
            target.plan_topic(topic, count, args)?;
        }
        Ok(target)
    }

    /// The topic; an error that names alternatives when there is none.
    pub fn topic(&mut self, name: &str, args: &ProduceArgs) -> anyhow::Result<&Topic> {
        if name == metadata_log::TOPIC {
            return Err(Problem::new("refused", format!("topic '{name}' is written by the controllers only"))
                .outcome(Outcome::Refused)
                .hint("read it with: logdir consume --decode")
                .into());
        }
        if !self.topics.contains_key(name) {
            match args.create {
                Some(count) => self.plan_topic(name, count, args)?,
                None => {
                    let known = self.topics.keys().map(String::as_str).collect();
                    let problem = topic_not_found(name, &known, &self.dirs);
                    return Err(if known.is_empty() {
                        problem.hint("make it with: --create PARTITIONS")
                    } else {
                        problem
                    }
                    .into());
                }
            }
        }
        self.topics.get(name).ok_or_else(|| Problem::new("not_found", format!("topic '{name}' not found")).into())
    }

    /// Notes a topic to be made, as `topics create` makes it.
    fn plan_topic(&mut self, name: &str, count: i32, args: &ProduceArgs) -> anyhow::Result<()> {
        let known = self.topics.get(name);
        let is_other = known.is_some_and(|topic| topic.count.get() != count.unsigned_abs());
        // A run that ended by force while it made them left the first ones out.
        let lacks = |topic: &Topic| (0..count).any(|partition| topic.dirs_of(partition).is_empty());
        if known.is_some_and(|topic| !is_other && !lacks(topic)) {
            return Ok(());
        }
        let (mut plans, mut topic_id) = (Vec::new(), args.topic_id);
        // Whichever broker has the topic already says which it is.
        let is_several = self.broker_count() > 1;
        for (partition, held) in known.into_iter().flat_map(|topic| &topic.dirs) {
            let Some(dir) = held.first().filter(|_| is_several && topic_id.is_none()) else { continue };
            let path = self.dirs[*dir].join(format!("{name}-{partition}")).join(partition_metadata::FILE_NAME);
            let read = present(partition_metadata::read(&path)).map_err(|error| storage_problem(&error))?;
            topic_id = read.map(|metadata| metadata.topic_id);
        }
        let (mut partitions, mut dirs) = (None, BTreeMap::<i32, Vec<usize>>::new());
        // A replica on each broker, but where the cluster knows better.
        for broker in 0..self.broker_count() {
            let ours: Vec<usize> = (0..self.dirs.len()).filter(|dir| self.brokers[*dir].0 == broker).collect();
            let paths: Vec<PathBuf> = ours.iter().map(|dir| self.dirs[*dir].clone()).collect();
            let node = Node::open(&paths).map_err(|error| node_problem(&error))?;
            let is_known = node.topic(name).is_some();
            if is_other && !is_known {
                return Ok(());
            }
            // How many partitions it has is for the cluster to say, where that is known.
            let count = (!is_known).then_some(count);
            let mut plan = match create::plan_topic(&node, name, count, topic_id) {
                Err(CreateError::NotHere { .. }) if self.broker_count() > 1 => continue,
                planned => planned.map_err(|error| create_problem(&error))?,
            };
            // The directories are this broker's; here they are numbered among all.
            for dir in plan.present.values_mut().chain(plan.missing.values_mut()) {
                *dir = ours[*dir];
            }
            topic_id = Some(plan.topic_id);
            partitions = u32::try_from(plan.count).ok().and_then(PartitionCount::new);
            for (partition, dir) in plan.present.iter().chain(&plan.missing) {
                dirs.entry(*partition).or_default().push(*dir);
            }
            if !plan.missing.is_empty() {
                plans.push(plan);
            }
        }
        let Some(count) = partitions else {
            return Err(Problem::usage("a topic has at least one partition").into());
        };
        if !plans.is_empty() {
            self.topics.insert(name.to_owned(), Topic { count, dirs, missing: plans });
        }
        Ok(())
    }

    /// Notes that a topic's partitions were made.
    pub fn made(&mut self, name: &str) {
        if let Some(topic) = self.topics.get_mut(name) {
            topic.missing.clear();
        }
    }

    /// Brokers that the log directories are of.
    pub fn broker_count(&self) -> usize {
        self.brokers.iter().map(|(broker, _)| *broker).max().unwrap_or_default() + 1
    }

    /// `node.id` of the broker a log directory belongs to.
    pub fn node_of(&self, dir: usize) -> Option<i32> {
        self.brokers.get(dir)?.1
    }

    /// What the cluster's metadata says, where one of the log directories has a metadata log.
    pub fn metadata(&mut self) -> anyhow::Result<Option<&MetadataImage>> {
        if self.metadata.is_none() {
            let Choice { believed, problems } = cluster_metadata::choose(self.dirs.iter().map(PathBuf::as_path));
            let believed = believed.filter(|believed| !believed.is_damaged);
            if let (None, Some(problem)) = (&believed, problems.into_iter().next()) {
                return Err(node_problem(&NodeError::Metadata(problem.reason)).into());
            }
            self.metadata = Some(believed.map(|believed| believed.image));
        }
        Ok(self.metadata.as_ref().and_then(Option::as_ref))
    }
}

/// Whether a log directory is still to be made: it is not there, or a run that made it ended before it was whole.
fn is_unmade(dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else { return !dir.exists() };
    let temporary = format!("{}.tmp", meta_properties::FILE_NAME);
    let mut names = entries.map_while(Result::ok).map(|entry| entry.file_name());
    names.all(|name| name == temporary.as_str() || name == lock::FILE_NAME)
}

fn make_log_dir(dir: &Path, cluster_id: &str, args: &ProduceArgs) -> Result<(), CreateError> {
    let directory_id = match args.directory_id {
        Some(id) => id,
        None => random_id(dir)?,
    };
    create::log_dir(dir, cluster_id, args.node_id, directory_id)
}

fn random_id(dir: &Path) -> Result<Uuid, StorageError> {
    create::random_uuid().map_err(|error| StorageError::new(dir, error))
}

/// The cluster that a log directory is of, where it says so.
fn cluster_of(dir: &Path) -> Option<String> {
    let meta = meta_properties::read(&dir.join(meta_properties::FILE_NAME)).ok()?;
    meta.cluster_id().map(str::to_owned)
}
