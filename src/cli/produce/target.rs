//! Where records go: the topic's partitions in the log directories, made where they are missing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::ProduceArgs;
use crate::cli::Outcome;
use crate::cli::args::GlobalArgs;
use crate::cli::consume::select::{storage_problem, topic_not_found};
use crate::cli::topics::create::finish_interrupted;
use crate::cli::topics::problem::{create_problem, node_problem};
use crate::cli::ui::{Problem, Ui};
use crate::partitioner::PartitionCount;
use crate::storage::create::{self, CreateError, TopicPlan};
use crate::storage::fs::StorageError;
use crate::storage::lock;
use crate::storage::log_dir::LogDir;
use crate::storage::names::DirKind;
use crate::storage::node::Node;
use crate::storage::{meta_properties, metadata_log};
use crate::types::TopicPartition;

/// The log directories and what of the topics is in them.
#[derive(Debug)]
pub struct Target {
    /// The log directories, in the order named.
    pub dirs: Vec<PathBuf>,
    /// Topics, by name, each with the directory of every partition.
    topics: BTreeMap<String, Topic>,
}

/// A topic's partitions.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Partitions: the highest number there is, and one.
    pub count: PartitionCount,
    /// Which of the log directories holds a partition, by number.
    dirs: BTreeMap<i32, usize>,
    /// Partitions to be made.
    pub missing: Option<TopicPlan>,
}

impl Topic {
    /// The log directory of a partition; `None` when there is no such partition.
    pub fn dir_of(&self, partition: i32) -> Option<usize> {
        self.dirs.get(&partition).copied()
    }
}

impl Target {
    /// Looks at the log directories; with `--create`, makes one that is not there.
    pub fn find(args: &ProduceArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Target> {
        let dirs = global.log_dirs()?;
        if args.create.is_some() {
            for dir in dirs.iter().filter(|dir| is_unmade(dir)) {
                if args.dry_run {
                    ui.note(&format!("would make the log directory {}", dir.display()));
                    continue;
                }
                match make_log_dir(dir, args) {
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
        let mut target = Target { dirs: dirs.clone(), topics: BTreeMap::new() };
        for (number, dir) in dirs.iter().enumerate() {
            if args.dry_run && args.create.is_some() && !dir.exists() {
                continue;
            }
            let opened = LogDir::open(dir).map_err(|error| storage_problem(&error))?;
            for (name, path) in opened.partitions().filter(|(name, _)| name.kind == DirKind::Live) {
                let TopicPartition { topic, partition } = &name.topic_partition;
                let count = u32::try_from(partition.saturating_add(1)).ok().and_then(PartitionCount::new);
                let Some(count) = count else { continue };
                let known = target.topics.entry(topic.clone()).or_insert_with(|| Topic {
                    count,
                    dirs: BTreeMap::new(),
                    missing: None,
                });
                known.count = known.count.max(count);
                if let Some(first) = known.dirs.insert(*partition, number) {
                    return Err(Problem::new(
                        "duplicate",
                        format!("partition {} is also in {}", name.topic_partition, dirs[first].display()),
                    )
                    .path(path)
                    .hint("a broker does not start with both; remove one, or name one log directory with -d")
                    .into());
                }
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
        let lacks = |topic: &Topic| (0..count).any(|partition| !topic.dirs.contains_key(&partition));
        if known.is_some_and(|topic| !is_other && !lacks(topic)) {
            return Ok(());
        }
        let node = Node::open(&self.dirs).map_err(|error| node_problem(&error))?;
        let is_known = node.topic(name).is_some();
        if is_other && !is_known {
            return Ok(());
        }
        // How many partitions it has is for the cluster to say, where that is known.
        let count = (!is_known).then_some(count);
        let plan = create::plan_topic(&node, name, count, args.topic_id).map_err(|error| create_problem(&error))?;
        if plan.missing.is_empty() {
            return Ok(());
        }
        let partitions = u32::try_from(plan.count).ok().and_then(PartitionCount::new);
        let Some(partitions) = partitions else {
            return Err(Problem::usage("a topic has at least one partition").into());
        };
        let dirs = plan.present.iter().chain(&plan.missing).map(|(partition, dir)| (*partition, *dir)).collect();
        self.topics.insert(name.to_owned(), Topic { count: partitions, dirs, missing: Some(plan) });
        Ok(())
    }

    /// Notes that a topic's partitions were made.
    pub fn made(&mut self, name: &str) {
        if let Some(topic) = self.topics.get_mut(name) {
            topic.missing = None;
        }
    }
}

/// Whether a log directory is still to be made: it is not there, or a run that made it ended before it was whole.
fn is_unmade(dir: &std::path::Path) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else { return !dir.exists() };
    let temporary = format!("{}.tmp", meta_properties::FILE_NAME);
    let mut names = entries.map_while(Result::ok).map(|entry| entry.file_name());
    names.all(|name| name == temporary.as_str() || name == lock::FILE_NAME)
}

fn make_log_dir(dir: &std::path::Path, args: &ProduceArgs) -> Result<(), CreateError> {
    let new = || create::random_uuid().map_err(|error| CreateError::from(StorageError::new(dir, error)));
    let cluster_id = match &args.cluster_id {
        Some(id) => id.clone(),
        None => new()?.to_string(),
    };
    let directory_id = match args.directory_id {
        Some(id) => id,
        None => new()?,
    };
    create::log_dir(dir, &cluster_id, args.node_id, directory_id)
}
