//! Log directories: their small files, what else is in them, and several of them against each other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::access::Survey;
use super::finding::{Advice, Fault, Finding, Findings, Grade};
use super::partition::Around;
use crate::schema::image::MetadataImage;
use crate::storage::checkpoint::{self, CLEANER, HIGH_WATERMARK, LOG_START, RECOVERY_POINT};
use crate::storage::forecast;
use crate::storage::fs::StorageError;
use crate::storage::log_dir::LogDir;
use crate::storage::meta_properties::{self, MetaProperties};
use crate::storage::names::{DirKind, PartitionDirName};
use crate::storage::partition::present;
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
    let mut checked = dirs.iter().map(|dir| check_dir(dir)).collect::<Result<Vec<_>, _>>()?;
    for number in 0..checked.len() {
        let (before, rest) = checked.split_at_mut(number);
        let Some(dir) = rest.first_mut() else { break };
        for other in before.iter() {
            against(dir, other);
        }
    }
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

/// Two log directories of one broker.
fn against(dir: &mut CheckedDir, other: &CheckedDir) {
    let meta = |of: &CheckedDir| of.log_dir.meta().cloned();
    let (mine, theirs) = (meta(dir), meta(other));
    let path = dir.log_dir.dir().join(meta_properties::FILE_NAME);
    let elsewhere = other.log_dir.dir().display().to_string();
    if let (Some(mine), Some(theirs)) = (&mine, &theirs) {
        if mine.directory_id().is_some() && mine.directory_id() == theirs.directory_id() {
            let said = format!("has the same directory.id as {elsewhere}; a broker does not start with both");
            let finding = Finding::new(Fault::MetaProperties, Grade::StopsBroker, &path, said);
            dir.findings.push(finding.advice(Advice::Restore));
        }
        if mine.node_id() != theirs.node_id() {
            return;
        }
        if mine.cluster_id() != theirs.cluster_id() {
            let of = |meta: &MetaProperties| meta.cluster_id().unwrap_or("none").to_owned();
            let said = format!("cluster.id {}, in {elsewhere} {}; a broker does not start", of(mine), of(theirs));
            let finding = Finding::new(Fault::MetaProperties, Grade::StopsBroker, &path, said);
            dir.findings.push(finding.advice(Advice::Restore));
        }
    }
    let there: HashMap<_, _> = other.log_dir.partitions().collect();
    for (name, path) in dir.log_dir.partitions().filter(|(name, _)| name.kind == DirKind::Live) {
        if let Some(twin) = there.get(name) {
            let said = format!("is in {} too; a broker does not start with both", twin.display());
            let finding = Finding::new(Fault::Duplicate, Grade::StopsBroker, path, said);
            dir.findings.push(finding.advice(Advice::MoveAway));
        }
    }
}

/// What the cluster's metadata says of topics, read from the metadata log in one of the log directories.
#[derive(Debug, Default)]
pub struct ClusterTopics {
    image: Option<MetadataImage>,
}

impl ClusterTopics {
    /// Of the first of `dirs` that has a metadata log. One that cannot be read is a finding of its directory.
    pub fn read(dirs: &mut [CheckedDir]) -> ClusterTopics {
        // Directories of different clusters have nothing to say about each other.
        let clusters: HashSet<_> = dirs.iter().filter_map(|dir| dir.log_dir.meta()?.cluster_id()).collect();
        if clusters.len() > 1 {
            return ClusterTopics::default();
        }
        for dir in dirs {
            match forecast::metadata_image(dir.log_dir.dir()) {
                Ok(None) => {}
                Ok(image) => return ClusterTopics { image },
                Err(reason) => {
                    let path = dir.log_dir.dir().join(forecast::METADATA_DIR);
                    let said = format!("the metadata log cannot be opened: {reason}; a broker does not start");
                    let finding = Finding::new(Fault::Unreadable, Grade::StopsBroker, path, said);
                    dir.findings.push(finding.advice(Advice::Inspect));
                    return ClusterTopics::default();
                }
            }
        }
        ClusterTopics::default()
    }

    /// Whether the topic's own cleanup.policy has `compact` in it.
    pub fn is_compacted(&self, topic: &str) -> bool {
        let policy = self.image.as_ref().and_then(|image| image.topic_config(topic)?.get("cleanup.policy"));
        policy.is_some_and(|policy| policy.split(',').any(|word| word.trim() == "compact"))
    }

    /// A partition directory with topic id `id` whose topic the metadata knows by another id, or not at all.
    fn contradicts(&self, partition: &TopicPartition, id: Uuid, dir: &Path) -> Option<Finding> {
        let image = self.image.as_ref()?;
        let topic = match image.topic_named(&partition.topic) {
            Some(topic) if topic.topic_id == id => return None,
            topic => topic,
        };
        let said = match topic {
            Some(topic) => format!("topic id {id}, in the cluster's metadata it is {}", topic.topic_id),
            None => format!("topic id {id}, and the cluster's metadata knows no topic '{}'", partition.topic),
        };
        let path = dir.join(crate::storage::partition_metadata::FILE_NAME);
        let said = format!("{said}: a broker renames the directory to -stray");
        Some(Finding::new(Fault::PartitionMetadata, Grade::LosesData, path, said).advice(Advice::Restore))
    }
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
