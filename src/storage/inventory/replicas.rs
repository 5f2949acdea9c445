//! The log directories side by side: whose they are, and which partition directories in them are a broker's own.
//!
//! What a directory's own files and those of its sisters say is checked by [`log_dir`]; which replicas a broker
//! would set aside, by [`placement`](crate::storage::placement). Nothing is decided here a second time.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::Depth;
use super::partition::{PartitionFacts, SurveyOptions, TopicId, survey};
use super::usage::{FileSystem, Usage};
use crate::schema::image::MetadataImage;
use crate::storage::ensemble::{self, Identity};
use crate::storage::forecast::METADATA_DIR;
use crate::storage::fs::StorageError;
use crate::storage::names::{DirKind, PartitionDirName};
use crate::storage::verify::log_dir::{self, CheckedDir, ClusterTopics, Replica, TopicIds};
use crate::storage::verify::{Fault, Finding, Findings, Grade};
use crate::types::{TimestampMs, TopicPartition, Uuid};

/// One log directory, but for its partitions.
#[derive(Debug, Clone)]
pub struct LogDirFacts {
    /// The directory.
    pub path: PathBuf,
    /// `cluster.id` in its `meta.properties`.
    pub cluster_id: Option<String>,
    /// `node.id`, or `broker.id` of version 0.
    pub node_id: Option<i32>,
    /// `directory.id`.
    pub directory_id: Option<Uuid>,
    /// Version of its `meta.properties`: 0 of the ZooKeeper era, 1 of KRaft; `None` where there is none.
    pub meta_version: Option<i32>,
    /// There is a marker of a clean shutdown.
    pub is_clean: bool,
    /// The broker epoch in that marker.
    pub broker_epoch: Option<i64>,
    /// Number of its broker among those of the directories.
    pub broker: usize,
    /// Number of its cluster among those of the directories.
    pub cluster: usize,
    /// Where it is.
    pub file_system: Option<FileSystem>,
    /// Bytes of the files that stand in it beside the partitions.
    pub own: Usage,
}

/// Log directories, opened.
#[derive(Debug)]
pub struct LogDirs {
    checked: Vec<CheckedDir>,
    facts: Vec<LogDirFacts>,
    /// What is known of the topics of each cluster.
    clusters: Vec<ClusterTopics>,
}

impl LogDirs {
    /// Opens `dirs`, all readable directories; with a `node_id` they are all meant to be that broker's.
    pub fn open(dirs: &[PathBuf], node_id: Option<i32>) -> Result<LogDirs, StorageError> {
        let mut checked = log_dir::check_as(dirs, node_id)?;
        let brokers = match node_id {
            Some(_) => vec![0; checked.len()],
            None => {
                let identities: Vec<_> = checked.iter().map(|dir| Identity::of(dir.log_dir.meta())).collect();
                ensemble::brokers(&identities)
            }
        };
        let mut cluster_numbers: BTreeMap<Option<String>, usize> = BTreeMap::new();
        let mut facts = Vec::new();
        for (dir, broker) in checked.iter().zip(brokers) {
            let log_dir = &dir.log_dir;
            let meta = log_dir.meta();
            let cluster_id = meta.and_then(|meta| meta.cluster_id()).map(str::to_owned);
            let next = cluster_numbers.len();
            let cluster = *cluster_numbers.entry(cluster_id.clone()).or_insert(next);
            facts.push(LogDirFacts {
                path: log_dir.dir().to_owned(),
                cluster_id,
                node_id: meta.and_then(|meta| meta.node_id()).or(node_id),
                directory_id: meta.and_then(|meta| meta.directory_id()),
                meta_version: meta.map(|meta| meta.version()),
                is_clean: log_dir.clean_shutdown().is_some(),
                broker_epoch: log_dir.clean_shutdown().and_then(|marker| marker.broker_epoch),
                broker,
                cluster,
                file_system: FileSystem::of(log_dir.dir()),
                own: Usage::of_files_in(log_dir.dir())?,
            });
        }
        let mut clusters = Vec::new();
        for number in 0..cluster_numbers.len() {
            let dirs = checked.iter_mut().zip(&facts).filter(|(_, facts)| facts.cluster == number);
            clusters.push(ClusterTopics::of_cluster(dirs.map(|(dir, _)| dir)));
        }
        Ok(LogDirs { checked, facts, clusters })
    }

    /// The directories, in the order given.
    pub fn facts(&self) -> &[LogDirFacts] {
        &self.facts
    }

    /// What was found about the directories themselves and about one beside another.
    pub fn findings(&self) -> impl Iterator<Item = &Findings> {
        self.checked.iter().map(|dir| &dir.findings)
    }

    /// What had to be got around on opening them.
    pub fn notices(&self) -> impl Iterator<Item = &crate::storage::partition::Notice> {
        self.checked.iter().flat_map(|dir| dir.log_dir.notices())
    }

    /// Partition directories of every kind, with the number of their log directory.
    pub fn partitions(&self) -> impl Iterator<Item = (usize, &PartitionDirName, &Path)> {
        self.checked
            .iter()
            .enumerate()
            .flat_map(|(number, dir)| dir.log_dir.partitions().map(move |(name, path)| (number, name, path)))
    }

    /// Looks at one of [`LogDirs::partitions`].
    pub fn survey(
        &self,
        log_dir: usize,
        name: &PartitionDirName,
        path: &Path,
        depth: Depth,
        now_ms: TimestampMs,
        max_batch_bytes: usize,
    ) -> Result<PartitionFacts, StorageError> {
        let topic = &name.topic_partition.topic;
        // Entries under the plain name are those of a live or a future replica.
        let has_entries = matches!(name.kind, DirKind::Live | DirKind::Future);
        let checkpoints = self.checked.get(log_dir).filter(|_| has_entries).map(|dir| dir.log_dir.checkpoints(name));
        let topics = self.topics_of(log_dir);
        let config = topics.and_then(|topics| topics.image()?.topic_config(topic));
        let lag = config.and_then(|config| config.get("min.compaction.lag.ms")?.parse().ok());
        let options = SurveyOptions {
            depth,
            is_compacted: name.kind == DirKind::Live && topics.is_some_and(|topics| topics.is_compacted(topic)),
            min_compaction_lag_ms: lag.unwrap_or(0),
            now_ms,
            max_batch_bytes,
        };
        survey(name, path, log_dir, checkpoints.unwrap_or_default(), &options)
    }

    /// The cluster that a log directory is of, as the longest metadata log among the directories knows it.
    pub fn image(&self, log_dir: usize) -> Option<&MetadataImage> {
        self.topics_of(log_dir)?.image()
    }

    fn topics_of(&self, log_dir: usize) -> Option<&ClusterTopics> {
        self.clusters.get(self.facts.get(log_dir)?.cluster)
    }

    /// Which of the partitions a broker would set aside as stray, and which are in another directory than the metadata says.
    ///
    /// Without a metadata log in one of the directories of a cluster less is known: only that topic ids contradict each
    /// other, or that there is none.
    pub fn out_of_place(&self, partitions: &[PartitionFacts]) -> Vec<Finding> {
        let mut ids: Vec<TopicIds<'_>> = self.clusters.iter().map(|_| TopicIds::default()).collect();
        let mut findings = Vec::new();
        let moving = self.moving();
        for partition in partitions {
            let name = &partition.name;
            let is_in_use = matches!(name.kind, DirKind::Live | DirKind::Future);
            let (Some(facts), Some(topics)) = (self.facts.get(partition.log_dir), self.topics_of(partition.log_dir))
            else {
                continue;
            };
            // Before KRaft no directory had an id, and the metadata log's has none now.
            let is_kraft = facts.meta_version.is_some_and(|version| version > 0);
            let is_metadata = partition.path.file_name().is_some_and(|file| file == METADATA_DIR);
            let topic_id = match partition.topic_id {
                TopicId::Known(id) => Some(id),
                TopicId::None => None,
                TopicId::Unreadable => continue,
            };
            if !is_in_use || is_metadata || !(is_kraft || topic_id.is_some()) {
                continue;
            }
            let replica = Replica {
                partition: &name.topic_partition,
                topic_id,
                node_id: facts.node_id,
                // A copy on its way is in the directory it is to be in.
                directory_id: facts.directory_id.filter(|_| name.kind == DirKind::Live),
                dir: &partition.path,
            };
            let found = topics
                .out_of_place(&replica)
                .filter(|it| it.fault != Fault::Misplaced || !moving.contains(&(facts.broker, &name.topic_partition)))
                .or_else(|| ids.get_mut(facts.cluster)?.add(&name.topic_partition, topic_id?, &partition.path));
            findings.extend(found);
        }
        findings
    }

    /// Partitions of which a copy is on its way to another directory of their broker, which goes on with it.
    fn moving(&self) -> HashSet<(usize, &TopicPartition)> {
        let each = self.facts.iter().zip(&self.checked);
        let named = each.flat_map(|(facts, dir)| dir.log_dir.partitions().map(|(name, _)| (facts.broker, name)));
        let future = named.filter(|(_, name)| name.kind == DirKind::Future);
        future.map(|(broker, name)| (broker, &name.topic_partition)).collect()
    }

    /// Whether something is more than cosmetic.
    pub fn has_problems(&self) -> bool {
        self.findings().any(|findings| findings.worst() > Some(Grade::Cosmetic))
    }
}
