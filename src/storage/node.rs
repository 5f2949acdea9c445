//! The log directories of one node, and what the cluster's metadata among them says of it.
//!
//! A broker of a KRaft cluster keeps a copy of the metadata log (`__cluster_metadata-0`) in one of its log directories,
//! whether it is a controller or not. From it is known which id a topic has, which of its partitions this node holds,
//! and in which directory. It is as new as the node's last contact with its controllers: ids never change, a leader
//! epoch only grows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::cluster_metadata::{self, Choice, ClusterMetadata};
use super::forecast::{self, METADATA_DIR};
use super::fs::StorageError;
use super::log_dir::LogDir;
use super::meta_properties::MetaProperties;
use super::metadata_log;
use super::names::DirKind;
use crate::schema::image::{MetadataImage, Topic};
use crate::schema::metadata::PartitionRecord;
use crate::types::{TopicPartition, Uuid};

/// Directory ids below this one say where a replica is not known to be (`DirectoryId.reserved`).
const RESERVED_DIRECTORY_IDS: u128 = 100;

/// Why nothing is known of a node.
#[derive(Debug, Error)]
pub enum NodeError {
    /// A directory cannot be listed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A directory is another node's than the first.
    #[error("{stranger}, as {} does", first.display())]
    Stranger {
        /// The directory.
        dir: PathBuf,
        /// The first that says whose it is.
        first: PathBuf,
        /// How they differ.
        stranger: Stranger,
    },
    /// The metadata log is there, and cannot be read or is damaged.
    #[error("the cluster's metadata cannot be read: {0}")]
    Metadata(forecast::Reason),
}

/// How a log directory is of another node: what its `meta.properties` says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Stranger {
    /// Of another cluster.
    #[error("belongs to the cluster {theirs}, not {ours}")]
    Cluster {
        /// The cluster asked about.
        ours: String,
        /// The directory's.
        theirs: String,
    },
    /// Of another node of the cluster.
    #[error("belongs to node {theirs}, not {ours}")]
    Node {
        /// The node asked about.
        ours: i32,
        /// The directory's.
        theirs: i32,
    },
}

/// Whether the log directory with `theirs` is of another node than the one with `ours`; what neither says is no difference.
pub fn stranger(ours: &MetaProperties, theirs: &MetaProperties) -> Option<Stranger> {
    if let (Some(ours), Some(theirs)) = (ours.cluster_id(), theirs.cluster_id())
        && ours != theirs
    {
        return Some(Stranger::Cluster { ours: ours.to_owned(), theirs: theirs.to_owned() });
    }
    match (ours.node_id(), theirs.node_id()) {
        (Some(ours), Some(theirs)) if ours != theirs => Some(Stranger::Node { ours, theirs }),
        _ => None,
    }
}

/// The log directories of a node.
#[derive(Debug)]
pub struct Node {
    /// As they were named; one that is not there yet holds nothing.
    pub dirs: Vec<NodeDir>,
    /// What the metadata log in one of them says.
    pub cluster: Option<Cluster>,
}

/// One of a node's log directories.
#[derive(Debug)]
pub struct NodeDir {
    /// Its path.
    pub path: PathBuf,
    /// What is in it; `None` where it is not there.
    pub listed: Option<LogDir>,
}

impl NodeDir {
    /// Its `directory.id`.
    pub fn id(&self) -> Option<Uuid> {
        self.listed.as_ref()?.meta()?.directory_id()
    }

    /// Partition directories of this kind.
    pub fn partitions(&self, kind: DirKind) -> impl Iterator<Item = (&TopicPartition, &Path)> {
        let all = self.listed.iter().flat_map(LogDir::partitions);
        all.filter(move |(name, _)| name.kind == kind).map(|(name, path)| (&name.topic_partition, path))
    }
}

/// The cluster, as the node's copy of the metadata log knows it.
#[derive(Debug)]
pub struct Cluster {
    /// Topics, partitions and settings.
    pub image: MetadataImage,
    /// The directory of the metadata log.
    pub log: PathBuf,
    /// This node, by the `meta.properties` beside the log.
    pub node_id: Option<i32>,
}

/// Whether a node holds a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held<'a> {
    /// It does.
    Here {
        /// The directory it is assigned to; `None` where that is left to the node.
        directory: Option<Uuid>,
        /// What the cluster says of it.
        record: &'a PartitionRecord,
    },
    /// Other nodes do.
    Elsewhere {
        /// They.
        replicas: &'a [i32],
    },
    /// The topic has no such partition.
    No {
        /// Partitions of the topic.
        count: usize,
    },
}

impl Cluster {
    /// Whether this node holds partition `partition` of `topic`.
    ///
    /// With an unknown node id every partition is held here.
    pub fn holds<'a>(&self, topic: &'a Topic, partition: i32) -> Held<'a> {
        let Some(record) = topic.partitions.get(&partition) else { return Held::No { count: topic.partitions.len() } };
        let at = match self.node_id {
            Some(node) => record.replicas.iter().position(|replica| *replica == node),
            None => Some(0),
        };
        let Some(at) = at else { return Held::Elsewhere { replicas: &record.replicas } };
        let directory = record.directories.get(at).copied();
        let directory = directory.filter(|id| u128::from_be_bytes(id.0) >= RESERVED_DIRECTORY_IDS);
        Held::Here { directory, record }
    }
}

impl Node {
    /// Looks at log directories of one node. Reads only.
    ///
    /// A metadata log that is damaged is not believed: what stood behind the damage would be taken for unknown.
    pub fn open(dirs: &[PathBuf]) -> Result<Node, NodeError> {
        let mut node = Node { dirs: Vec::with_capacity(dirs.len()), cluster: None };
        for path in dirs {
            let listed = if path.exists() { Some(LogDir::open(path)?) } else { None };
            node.dirs.push(NodeDir { path: path.clone(), listed });
        }
        let meta = |dir: &NodeDir| dir.listed.as_ref()?.meta().cloned();
        let mut known: Option<(PathBuf, MetaProperties)> = None;
        for (dir, meta) in node.dirs.iter().filter_map(|dir| Some((dir, meta(dir)?))) {
            let (first, ours) = known.get_or_insert_with(|| (dir.path.clone(), meta.clone()));
            if let Some(stranger) = stranger(ours, &meta) {
                return Err(NodeError::Stranger { dir: dir.path.clone(), first: first.clone(), stranger });
            }
        }
        let Choice { believed, problems } = cluster_metadata::choose(dirs.iter().map(PathBuf::as_path));
        match (believed.filter(|believed| !believed.is_damaged), problems.into_iter().next()) {
            (Some(ClusterMetadata { image, log_dir, .. }), _) => {
                let dir = node.dirs.iter().find(|dir| dir.path == log_dir);
                let node_id = dir.and_then(|dir| dir.listed.as_ref()?.meta()?.node_id());
                node.cluster = Some(Cluster { image, log: log_dir.join(METADATA_DIR), node_id });
            }
            (None, Some(problem)) => return Err(NodeError::Metadata(problem.reason)),
            (None, None) => {}
        }
        Ok(node)
    }

    /// The topic with this name, as the cluster knows it.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.cluster.as_ref()?.image.topic_named(name)
    }

    /// Partitions of a topic that have their directory, by number, with the number of the log directory.
    pub fn partitions_of(&self, topic: &str) -> BTreeMap<i32, usize> {
        let dirs = self.dirs.iter().enumerate();
        let live = dirs.flat_map(|(at, dir)| dir.partitions(DirKind::Live).map(move |(name, _)| (at, name)));
        live.filter(|(_, name)| name.topic == topic).map(|(at, name)| (name.partition, at)).collect()
    }

    /// Logs in each directory, as a broker counts them to find the emptiest (`LogManager.nextLogDirs`): those in use and
    /// those being copied. The metadata log is none of them.
    pub fn logs(&self) -> Vec<usize> {
        let count = |dir: &NodeDir| {
            let live = dir.partitions(DirKind::Live).filter(|(name, _)| name.topic != metadata_log::TOPIC).count();
            live + dir.partitions(DirKind::Future).count()
        };
        self.dirs.iter().map(count).collect()
    }
}
