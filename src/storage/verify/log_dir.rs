//! Log directories: their small files, what else is in them, and several of them against each other.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::access::Survey;
use super::finding::{Advice, Fault, Finding, Findings, Grade};
use super::partition::Around;
use crate::schema::image::MetadataImage;
use crate::storage::checkpoint::{self, CLEANER, HIGH_WATERMARK, LOG_START, RECOVERY_POINT};
use crate::storage::cluster_metadata::{self, Choice, MetadataProblem};
use crate::storage::ensemble::{self, Contradiction, Identity};
use crate::storage::forecast;
use crate::storage::fs::StorageError;
use crate::storage::log_dir::LogDir;
use crate::storage::meta_properties::{self, MetaProperties};
use crate::storage::names::{DirKind, PartitionDirName};
use crate::storage::partition::present;
use crate::storage::placement::{self, Replicas};
use crate::types::{TopicPartition, Uuid};

/// One log directory, opened, with what its own files say.
#[derive(Debug)]
pub struct CheckedDir {
    /// The directory.
    pub log_dir: LogDir,
    /// What its partitions need to know of it.
    pub around: Around,
    /// What was found about its own files, and about it and the other directories.
    pub findings: Findings,
}

/// Opens log directories and checks all about them but their partitions.
///
/// Directories with the same node id are taken for one broker's.
pub fn check(dirs: &[PathBuf]) -> Result<Vec<CheckedDir>, StorageError> {
    check_as(dirs, None)
}

/// The same; with a `node_id` all directories are meant to be that broker's.
pub fn check_as(dirs: &[PathBuf], node_id: Option<i32>) -> Result<Vec<CheckedDir>, StorageError> {
    let mut checked = dirs.iter().map(|dir| check_dir(dir)).collect::<Result<Vec<_>, _>>()?;
    against_each_other(&mut checked, node_id);
    let any_meta = checked.iter().any(|dir| dir.log_dir.meta().is_some());
    for dir in &mut checked {
        let path = dir.log_dir.dir().join(meta_properties::FILE_NAME);
        if dir.log_dir.meta().is_none() && !path.exists() {
            let said = match any_meta {
                true => "not there, though other log directories have it; a broker does not start",
                false => "not there; a broker does not start with a directory that was not formatted",
            };
            let finding = Finding::new(Fault::MetaProperties, Grade::StopsBroker, path, said);
            dir.findings.push(finding.advice(Advice::Restore));
        }
    }
    Ok(checked)
}

fn check_dir(dir: &Path) -> Result<CheckedDir, StorageError> {
    let log_dir = LogDir::open(dir)?;
    let mut findings = Findings::default();
    for name in [RECOVERY_POINT, LOG_START, HIGH_WATERMARK, CLEANER] {
        check_checkpoint(&log_dir, name, &mut findings);
    }
    let meta_path = dir.join(meta_properties::FILE_NAME);
    let meta = match present(meta_properties::read(&meta_path)) {
        Ok(meta) => meta,
        Err(error) => {
            let said = format!("{}; a broker does not start", error.kind);
            let finding = Finding::new(Fault::MetaProperties, Grade::StopsBroker, &meta_path, said);
            findings.push(finding.advice(Advice::Restore));
            None
        }
    };
    let is_kraft = meta.as_ref().is_some_and(|meta| meta.version() > 0);
    if meta.is_some() && !is_kraft {
        let said = "version 0, of the ZooKeeper era; a broker of 4.0 or later does not start with it";
        findings.push(Finding::new(Fault::MetaProperties, Grade::Cosmetic, &meta_path, said));
    }
    check_entries(dir, &mut findings)?;
    let around = Around { is_trusted: log_dir.clean_shutdown().is_some(), is_kraft, is_compacted: false };
    Ok(CheckedDir { log_dir, around, findings })
}

fn check_checkpoint(log_dir: &LogDir, name: &str, findings: &mut Findings) {
    let path = log_dir.dir().join(name);
    let entries = match present(checkpoint::read(&path)) {
        Ok(found) => found.unwrap_or_default(),
        Err(error) => {
            let said = format!("{}; a broker takes the log directory offline", error.kind);
            let finding = Finding::new(Fault::Checkpoint, Grade::StopsBroker, path, said);
            return findings.push(finding.advice(Advice::Salvage));
        }
    };
    let here: HashSet<_> = log_dir.partitions().map(|(name, _)| &name.topic_partition).collect();
    for (partition, offset) in entries.entries() {
        if !here.contains(partition) {
            let said = format!("{partition} at {offset} is not in this directory; a broker drops the entry");
            findings.push(Finding::new(Fault::Checkpoint, Grade::Cosmetic, &path, said));
        }
    }
}

/// Directories that are no partitions, partitions that are not in use, and whom all belong to.
fn check_entries(dir: &Path, findings: &mut Findings) -> Result<(), StorageError> {
    let mut survey = Survey::of(dir);
    let mut entries = std::fs::read_dir(dir)
        .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
        .map_err(|error| StorageError::new(dir, error))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        survey.add(&path, &metadata);
        if !metadata.is_dir() || entry.file_name() == crate::storage::log_dir::REMOTE_CACHE {
            continue;
        }
        let said = match PartitionDirName::parse(&entry.file_name()) {
            Err(error) => {
                let said = format!("{error}; a broker does not start over it");
                let finding = Finding::new(Fault::Name, Grade::StopsBroker, &path, said);
                findings.push(finding.advice(Advice::MoveAway));
                continue;
            }
            Ok(name) => match name.kind {
                DirKind::Live => continue,
                DirKind::Delete => "of a deleted topic; a broker removes it",
                DirKind::Future => "a copy under way between log directories; a broker goes on with it",
                DirKind::Stray => "set aside by a broker as not its own; kept until someone removes it",
            },
        };
        findings.push(Finding::new(Fault::LeftOver, Grade::Cosmetic, &path, said));
    }
    findings.extend(survey.finish());
    Ok(())
}

/// The log directories of each broker against each other.
fn against_each_other(checked: &mut [CheckedDir], node_id: Option<i32>) {
    let meta = |dir: &CheckedDir| dir.log_dir.meta().cloned();
    let metas: Vec<Option<MetaProperties>> = checked.iter().map(meta).collect();
    let dirs: Vec<PathBuf> = checked.iter().map(|dir| dir.log_dir.dir().to_owned()).collect();
    let identities: Vec<Identity<'_>> = metas.iter().map(|meta| Identity::of(meta.as_ref())).collect();
    // A directory of another cluster among those of a node may be another node's of that number, or be in the wrong place:
    // which one cannot be told, so it is said, and its partitions are not taken for duplicates.
    let of_node: Vec<Identity<'_>> = identities.iter().map(|it| Identity { cluster: None, ..*it }).collect();
    let grouped = |identities: &[Identity<'_>]| match node_id {
        Some(_) => vec![0; identities.len()],
        None => ensemble::brokers(identities),
    };
    let (nodes, brokers) = (grouped(&of_node), grouped(&identities));
    let found = || dirs.iter().zip(&metas).filter_map(|(dir, meta)| Some((dir.as_path(), meta.as_ref()?)));
    let mut contradictions = Vec::new();
    for node in 0..=nodes.iter().copied().max().unwrap_or(0) {
        let of_node = dirs.iter().zip(&metas).zip(&nodes).filter(|(_, of)| **of == node);
        let of_node = of_node.filter_map(|((dir, meta), _)| Some((dir.as_path(), meta.as_ref()?)));
        let all = ensemble::contradictions(of_node, node_id);
        contradictions.extend(all.into_iter().filter(|it| !matches!(it, Contradiction::SameId { .. })));
    }
    // A copy has the id of its original, whosever it is.
    let same = |it: &Contradiction| matches!(it, Contradiction::SameId { .. });
    contradictions.extend(ensemble::contradictions(found(), None).into_iter().filter(same));
    for contradiction in contradictions {
        let Some(at) = dirs.iter().position(|dir| dir == contradiction.dir()) else { continue };
        let path = dirs[at].join(meta_properties::FILE_NAME);
        let said = contradiction_text(&contradiction);
        let finding = Finding::new(Fault::MetaProperties, Grade::StopsBroker, path, said);
        checked[at].findings.push(finding.advice(Advice::Restore));
    }
    let mut replicas: Vec<Replicas> = brokers.iter().map(|_| Replicas::default()).collect();
    for (dir, broker) in checked.iter_mut().zip(&brokers) {
        let Some(replicas) = replicas.get_mut(*broker) else { continue };
        for (name, path) in dir.log_dir.partitions().filter(|(name, _)| name.kind == DirKind::Live) {
            if let Some(twin) = replicas.add(name, path) {
                let said = format!("is in {} too; a broker does not start with both", twin.display());
                let finding = Finding::new(Fault::Duplicate, Grade::StopsBroker, path, said);
                dir.findings.push(finding.advice(Advice::MoveAway));
            }
        }
    }
}

/// What is wrong with the identity of a directory, and what comes of it.
fn contradiction_text(contradiction: &Contradiction) -> String {
    match contradiction {
        Contradiction::Cluster { found, expected, first, .. } => {
            format!("cluster.id {found}, in {} {expected}; a broker does not start with both", first.display())
        }
        Contradiction::Node { found, expected, .. } => {
            format!("node.id {found}, the broker is {expected}; it does not start")
        }
        Contradiction::ReservedId { id, .. } => {
            format!("directory.id {id} is reserved and stands for no directory; a broker does not start")
        }
        Contradiction::SameId { other, .. } => {
            format!("has the same directory.id as {}; a broker does not start with both", other.display())
        }
    }
}

/// What the cluster's metadata says of topics, read from the metadata log in one of the log directories.
#[derive(Debug, Default)]
pub struct ClusterTopics {
    image: Option<MetadataImage>,
    /// The log directories of each node.
    dirs: BTreeMap<i32, Vec<PathBuf>>,
}

impl ClusterTopics {
    /// Of the metadata log in `dirs` that is to be believed ([`cluster_metadata`]). One that cannot be read, or is damaged, is
    /// a finding of its directory.
    ///
    /// Directories of different clusters have nothing to say about each other: then none is read.
    pub fn read(dirs: &mut [CheckedDir]) -> ClusterTopics {
        let clusters: HashSet<_> = dirs.iter().filter_map(|dir| dir.log_dir.meta()?.cluster_id()).collect();
        if clusters.len() > 1 {
            return ClusterTopics::default();
        }
        ClusterTopics::of_cluster(dirs.iter_mut())
    }

    /// The same of directories that are all of one cluster.
    pub fn of_cluster<'a>(dirs: impl Iterator<Item = &'a mut CheckedDir>) -> ClusterTopics {
        let mut dirs: Vec<&mut CheckedDir> = dirs.collect();
        let Choice { believed, problems } = cluster_metadata::choose(dirs.iter().map(|dir| dir.log_dir.dir()));
        for MetadataProblem { log_dir, reason, is_unreadable } in problems {
            let Some(dir) = dirs.iter_mut().find(|dir| dir.log_dir.dir() == log_dir) else { continue };
            if is_unreadable {
                let path = log_dir.join(forecast::METADATA_DIR);
                let said = format!("the metadata log cannot be opened: {reason}; a broker does not start");
                let finding = Finding::new(Fault::Unreadable, Grade::StopsBroker, path, said);
                dir.findings.push(finding.advice(Advice::Inspect));
                continue;
            }
            let instead = match &believed {
                Some(believed) if !believed.is_damaged => {
                    format!("; what is known of the cluster is taken from {}", believed.log_dir.display())
                }
                _ => {
                    "; what was made or changed there is not known here, and its partitions look like strays".to_owned()
                }
            };
            let said = format!("the metadata log is damaged: {}{instead}", reason.message);
            let finding = Finding::new(Fault::Damage, Grade::LosesData, reason.path, said);
            dir.findings.push(finding.advice(Advice::Inspect));
        }
        let mut of_nodes: BTreeMap<i32, Vec<PathBuf>> = BTreeMap::new();
        for dir in &dirs {
            if let Some(node) = dir.log_dir.meta().and_then(MetaProperties::node_id) {
                of_nodes.entry(node).or_default().push(dir.log_dir.dir().to_owned());
            }
        }
        ClusterTopics { image: believed.map(|believed| believed.image), dirs: of_nodes }
    }

    /// Whether the topic's own cleanup.policy has `compact` in it.
    pub fn is_compacted(&self, topic: &str) -> bool {
        let policy = self.image.as_ref().and_then(|image| image.topic_config(topic)?.get("cleanup.policy"));
        policy.is_some_and(|policy| policy.split(',').any(|word| word.trim() == "compact"))
    }

    /// A partition directory with topic id `id` whose topic the metadata knows by another id, or not at all.
    fn contradicts(&self, partition: &TopicPartition, id: Uuid, dir: &Path) -> Option<Finding> {
        let image = self.image.as_ref()?;
        let said = match image.topic_named(&partition.topic) {
            Some(topic) if topic.topic_id == id => {
                placement::stray(Some(image), None, Some(id), partition)?;
                format!("the cluster's metadata knows no partition {} of the topic", partition.partition)
            }
            Some(topic) => format!("topic id {id}, in the cluster's metadata it is {}", topic.topic_id),
            None => format!("topic id {id}, and the cluster's metadata knows no topic '{}'", partition.topic),
        };
        let path = dir.join(crate::storage::partition_metadata::FILE_NAME);
        let said = format!("{said}: a broker renames the directory to -stray");
        Some(Finding::new(Fault::PartitionMetadata, Grade::LosesData, path, said).advice(Advice::Restore))
    }

    /// A replica that node `node_id` would set aside as stray, or that the metadata has in another log directory than the one
    /// with `directory_id`.
    pub fn out_of_place(&self, replica: &Replica<'_>) -> Option<Finding> {
        let Replica { partition, topic_id, node_id, directory_id, dir } = *replica;
        if let Some(found) = topic_id.and_then(|id| self.contradicts(partition, id, dir)) {
            return Some(found);
        }
        let image = self.image.as_ref();
        let of_broker = || node_id.and_then(|node| self.dirs.get(&node)).map_or(&[][..], Vec::as_slice);
        if let Some(reason) = placement::stray(image, node_id, topic_id, partition) {
            let said = format!("{reason}: a broker renames the directory to -stray");
            let finding = Finding::new(Fault::Stray, Grade::LosesData, dir, said).advice(Advice::Forecast);
            return Some(finding.of_broker(of_broker()));
        }
        let record = image?.partition(topic_id?, partition.partition)?;
        let assigned = placement::directory_of(record, node_id?).filter(|id| !ensemble::is_reserved(*id))?;
        if assigned == directory_id? {
            return None;
        }
        let said = format!(
            "the cluster's metadata has it in the log directory with id {assigned}: a broker tells the controller that it \
             is here, or puts a finished -future copy there in its place"
        );
        let finding = Finding::new(Fault::Misplaced, Grade::Slows, dir, said).advice(Advice::Forecast);
        Some(finding.of_broker(of_broker()))
    }

    /// What the metadata log says of the cluster; `None` where there is none that can be read.
    pub fn image(&self) -> Option<&MetadataImage> {
        self.image.as_ref()
    }
}

/// A partition directory in use, and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Replica<'a> {
    /// The partition that its name says.
    pub partition: &'a TopicPartition,
    /// The topic's id in its `partition.metadata`.
    pub topic_id: Option<Uuid>,
    /// The node its log directory belongs to.
    pub node_id: Option<i32>,
    /// The id of its log directory.
    pub directory_id: Option<Uuid>,
    /// The directory.
    pub dir: &'a Path,
}

/// Topic ids of partitions: those of one topic agree, with each other and with the cluster's metadata.
#[derive(Debug, Default)]
pub struct TopicIds<'c> {
    cluster: Option<&'c ClusterTopics>,
    known: BTreeMap<String, (Uuid, PathBuf)>,
}

impl<'c> TopicIds<'c> {
    /// Compares with these too.
    pub fn with(cluster: &'c ClusterTopics) -> TopicIds<'c> {
        TopicIds { cluster: Some(cluster), ..TopicIds::default() }
    }

    /// Takes the id that a partition directory names; a finding when the metadata or another of the topic has another one.
    pub fn add(&mut self, partition: &TopicPartition, id: Uuid, dir: &Path) -> Option<Finding> {
        if let Some(found) = self.cluster.and_then(|cluster| cluster.contradicts(partition, id, dir)) {
            return Some(found);
        }
        let (known, from) =
            self.known.entry(partition.topic.to_string()).or_insert_with(|| (id, dir.to_owned())).clone();
        if known == id {
            return None;
        }
        let path = dir.join(crate::storage::partition_metadata::FILE_NAME);
        let said = format!(
            "topic id {id}, in {} it is {known}: a broker renames the directory with the wrong one to -stray",
            from.display()
        );
        Some(Finding::new(Fault::PartitionMetadata, Grade::LosesData, path, said).advice(Advice::Restore))
    }
}
