//! Which partitions are assessed, and where their replicas lie.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::AssessArgs;
use crate::cli::Outcome;
use crate::cli::args::{GlobalArgs, each_once};
use crate::cli::consume::select::{is_partition_dir, missing_topic, storage_problem, topic_not_found};
use crate::cli::dirs;
use crate::cli::ui::{Problem, Ui};
use crate::storage::assess::ReplicaDir;
use crate::storage::fs::StorageError;
use crate::storage::log_dir::LogDir;
use crate::storage::names::{DirKind, PartitionDirName};
use crate::types::TopicPartition;

/// Partitions that are named when none is chosen.
const NAMED_MAX: usize = 8;

/// One partition and its replicas.
pub struct Target {
    /// The partition.
    pub partition: TopicPartition,
    /// Its replicas, in the order in which their directories were named.
    pub replicas: Vec<ReplicaDir>,
}

/// What is to be assessed.
pub struct Targets {
    /// Partitions, by name.
    pub all: Vec<Target>,
    /// All log directories that were named, or hold a partition directory that was.
    pub log_dirs: Vec<LogDir>,
    /// What could not be read, and was told, makes of the run.
    pub outcome: Outcome,
}

/// Partition directories, by partition.
type Found = BTreeMap<TopicPartition, Vec<PathBuf>>;

impl Targets {
    /// Finds them. Fails where it is not clear which partition is meant.
    pub fn find(args: &AssessArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Targets> {
        let mut named = dirs::of_options(&args.dirs, global)?;
        named.extend(args.dirs.iter().cloned());
        let (mut problems, mut log_dirs, mut partition_dirs) = (Vec::new(), Vec::new(), Vec::new());
        for path in each_once(named) {
            match kind_of(&path) {
                Ok(Kind::Partition) => partition_dirs.push(path),
                Ok(Kind::Log) => match LogDir::open(&path) {
                    Ok(dir) => log_dirs.push(dir),
                    Err(error) => problems.push(storage_problem(&error)),
                },
                Err(error) => problems.push(Problem::of(&error)),
            }
        }
        let mut outcome = dirs::show_all(problems, ui);
        partition_dirs.retain(|path| match unfit(path) {
            None => true,
            Some(problem) => {
                outcome |= dirs::show_all([problem], ui);
                false
            }
        });
        let named_log_dirs = log_dirs.len();
        let mut targets = Targets { all: Vec::new(), log_dirs, outcome };
        let mut found = Found::new();
        for path in &partition_dirs {
            match ReplicaDir::open(path) {
                Ok(replica) => {
                    found.entry(replica.partition.topic_partition().clone()).or_default().push(path.clone());
                    targets.add_log_dir_of(&replica);
                }
                Err(error) => targets.outcome |= dirs::show_all([storage_problem(&error)], ui),
            }
        }
        let by_name: BTreeSet<TopicPartition> = found.keys().cloned().collect();
        // Log directories that were named hold replicas too; those around a partition directory tell only of it.
        for dir in targets.log_dirs.iter().take(named_log_dirs) {
            for (name, path) in dir.partitions().filter(|(name, _)| name.kind == DirKind::Live) {
                let dirs = found.entry(name.topic_partition.clone()).or_default();
                let is_known = dirs.iter().any(|known| is_same(known, path));
                if !is_known && (by_name.is_empty() || by_name.contains(&name.topic_partition)) {
                    dirs.push(path.to_owned());
                }
            }
        }
        for (partition, paths) in chosen(args, found, &by_name, &targets.log_dirs)? {
            targets.open(partition, &paths, ui);
        }
        Ok(targets)
    }

    /// The log directory around a partition directory knows of checkpoints and perhaps of the cluster.
    fn add_log_dir_of(&mut self, replica: &ReplicaDir) {
        let Some(path) = replica.log_dir.as_ref().filter(|path| LogDir::is_one(path)) else { return };
        if !self.log_dirs.iter().any(|dir| is_same(dir.dir(), path))
            && let Ok(dir) = LogDir::open(path)
        {
            self.log_dirs.push(dir);
        }
    }

    fn open(&mut self, partition: TopicPartition, paths: &[PathBuf], ui: &mut Ui) {
        let mut replicas = Vec::with_capacity(paths.len());
        for path in paths {
            match ReplicaDir::open(path) {
                Ok(replica) => replicas.push(replica),
                Err(error) => self.outcome |= dirs::show_all([storage_problem(&error)], ui),
            }
        }
        let ids: BTreeMap<_, _> =
            replicas.iter().filter_map(|it| Some((it.topic_id?.0, it.partition.dir().display().to_string()))).collect();
        if ids.len() > 1 {
            let dirs = ids.into_values().collect::<Vec<_>>().join(", ");
            let text =
                format!("{partition}: these are of different topics of the same name, by their topic ids: {dirs}");
            let problem = Problem::new("topic_id", text).hint("name the directories of one of them");
            self.outcome |= dirs::show_all([problem], ui);
        } else if !replicas.is_empty() {
            self.all.push(Target { partition, replicas });
        }
    }
}

/// Why a directory that holds a log is no replica, if it is not.
fn unfit(path: &Path) -> Option<Problem> {
    let name = path.canonicalize().ok().and_then(|path| path.file_name().map(ToOwned::to_owned))?;
    let text = match PartitionDirName::parse(&name).map(|name| name.kind) {
        Ok(DirKind::Live | DirKind::Future) => return None,
        Ok(DirKind::Delete) => "a broker removes it when it starts: it is no replica any more",
        Ok(DirKind::Stray) => "a broker took it for no replica of the cluster, and put it aside",
        Err(_) => "its name is not TOPIC-PARTITION, so whose replica it is cannot be told",
    };
    Some(
        Problem::new("wrong_kind", text)
            .path(path)
            .hint("copy or rename it to TOPIC-PARTITION if it is to count as a replica"),
    )
}

enum Kind {
    Partition,
    Log,
}

fn kind_of(path: &Path) -> anyhow::Result<Kind> {
    let metadata = std::fs::metadata(path).map_err(|error| storage_problem(&StorageError::new(path, error)))?;
    if metadata.is_dir() && is_partition_dir(path) {
        return Ok(Kind::Partition);
    }
    if metadata.is_dir() && LogDir::is_one(path) {
        return Ok(Kind::Log);
    }
    Err(Problem::new("wrong_kind", "neither a log directory nor a partition directory")
        .path(path)
        .hint("a log directory holds meta.properties or NAME-N directories, a partition directory .log files")
        .into())
}

fn is_same(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Of all partitions those that are wanted; without a wish the only one it can be about.
fn chosen(
    args: &AssessArgs,
    found: Found,
    by_name: &BTreeSet<TopicPartition>,
    places: &[LogDir],
) -> anyhow::Result<Found> {
    let topics: BTreeSet<&str> = found.keys().map(|partition| partition.topic.as_str()).collect();
    if let Some(name) = missing_topic(&args.topic, &topics) {
        let places: Vec<PathBuf> = places.iter().map(|dir| dir.dir().to_owned()).collect();
        return Err(topic_not_found(name, &topics, &places).into());
    }
    let is_chosen = !args.topic.is_empty() || args.partition.is_some();
    let is_wanted = |partition: &TopicPartition, dirs: &[PathBuf]| {
        let by_topic = args.topic.is_empty() || args.topic.iter().any(|topic| topic.matches(&partition.topic));
        let by_number = args.partition.as_ref().is_none_or(|wanted| wanted.contains(partition.partition));
        // The metadata log has no leader that a partition's rules would elect.
        let is_partition = partition.topic != "__cluster_metadata";
        let is_meant = is_chosen || by_name.contains(partition) || (by_name.is_empty() && dirs.len() > 1);
        by_topic && by_number && is_partition && is_meant && !dirs.is_empty()
    };
    let wanted: Found = found.into_iter().filter(|(partition, dirs)| is_wanted(partition, dirs)).collect();
    if wanted.is_empty() {
        let text = if is_chosen {
            "no partition is of that name"
        } else {
            "no partition has replicas in several of these directories"
        };
        return Err(Problem::new("not_found", text)
            .hint("name the directories of all its replicas, or -t NAME -p N")
            .into());
    }
    if wanted.len() > 1 && !is_chosen {
        let mut names: Vec<String> = wanted.keys().take(NAMED_MAX).map(ToString::to_string).collect();
        if wanted.len() > NAMED_MAX {
            names.push(format!("{} more", wanted.len() - NAMED_MAX));
        }
        let text = format!("which partition is meant? there are {}", names.join(", "));
        return Err(Problem::usage(text).hint("name it with -t NAME -p N; -t re:. takes all").into());
    }
    Ok(wanted)
}
