//! Whether a partition directory is a broker's own: strays, and a partition that is there twice.
//!
//! The rules of `BrokerMetadataPublisher.initializeManagers`, `LogManager.isStrayReplica` and `LogManager.loadLog`.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::names::{DirKind, PartitionDirName};
use crate::schema::image::MetadataImage;
use crate::schema::metadata::PartitionRecord;
use crate::types::{TopicPartition, Uuid};

/// Why a directory is none of this broker's (`LogManager.isStrayReplica`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StrayReason {
    /// It has no `partition.metadata`.
    NoTopicId,
    /// The metadata has no such topic or partition.
    NotInMetadata(Uuid),
    /// The metadata assigns it to other brokers.
    NotAssigned {
        /// This broker.
        node_id: i32,
        /// Those that hold it.
        replicas: Vec<i32>,
    },
}

impl fmt::Display for StrayReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StrayReason::NoTopicId => f.write_str("it has no partition.metadata, and so no topic id"),
            StrayReason::NotInMetadata(id) => write!(f, "the topicId {id} does not exist in the metadata image"),
            StrayReason::NotAssigned { node_id, replicas } => {
                write!(f, "the current replica assignment {replicas:?} does not contain the local brokerId {node_id}")
            }
        }
    }
}

/// Why broker `node_id` renames a directory of `partition` with this topic id to `-stray`; `None` when it serves it, as far
/// as is known: without an image or a node id, less is.
pub fn stray(
    image: Option<&MetadataImage>,
    node_id: Option<i32>,
    topic_id: Option<Uuid>,
    partition: &TopicPartition,
) -> Option<StrayReason> {
    let Some(id) = topic_id else { return Some(StrayReason::NoTopicId) };
    let replicas = image?.partition(id, partition.partition).map(|record| &record.replicas);
    let Some(replicas) = replicas.filter(|replicas| !replicas.is_empty()) else {
        return Some(StrayReason::NotInMetadata(id));
    };
    let node_id = node_id?;
    (!replicas.contains(&node_id)).then(|| StrayReason::NotAssigned { node_id, replicas: replicas.clone() })
}

/// The id of the log directory that the metadata says holds the replica of `node_id`.
pub fn directory_of(record: &PartitionRecord, node_id: i32) -> Option<Uuid> {
    let at = record.replicas.iter().position(|replica| *replica == node_id)?;
    record.directories.get(at).copied()
}

/// The replicas a broker has loaded, current ones and future ones: of each partition it takes one of either.
#[derive(Debug, Default)]
pub struct Replicas {
    current: HashMap<TopicPartition, PathBuf>,
    future: HashMap<TopicPartition, PathBuf>,
}

impl Replicas {
    /// Takes one more, and gives back the one that is there already: a broker does not start with both.
    ///
    /// Directories that wait to be deleted and those set aside as stray do not count.
    pub fn add(&mut self, name: &PartitionDirName, dir: &Path) -> Option<PathBuf> {
        let replicas = match name.kind {
            DirKind::Live => &mut self.current,
            DirKind::Future => &mut self.future,
            DirKind::Delete | DirKind::Stray => return None,
        };
        replicas.insert(name.topic_partition.clone(), dir.to_owned())
    }

    /// The partition's directory, where one is loaded.
    pub fn current(&self, partition: &TopicPartition) -> Option<&Path> {
        self.current.get(partition).map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_current_and_one_future_replica_are_no_duplicates() {
        let live = PartitionDirName::live(TopicPartition::new("t", 0));
        let of = |kind| PartitionDirName::suffixed(&live.topic_partition, kind, "0123456789abcdef0123456789abcdef");
        let mut replicas = Replicas::default();
        assert_eq!(replicas.add(&live, Path::new("a/t-0")), None);
        assert_eq!(replicas.add(&of(DirKind::Future), Path::new("b/f")), None);
        assert_eq!(replicas.add(&of(DirKind::Stray), Path::new("b/s")), None);
        assert_eq!(replicas.add(&of(DirKind::Future), Path::new("c/f")), Some(PathBuf::from("b/f")));
        assert_eq!(replicas.add(&live, Path::new("b/t-0")), Some(PathBuf::from("a/t-0")));
        assert_eq!(replicas.current(&live.topic_partition), Some(Path::new("b/t-0")));
    }

    #[test]
    fn without_an_image_only_a_missing_id_makes_a_stray() {
        let partition = TopicPartition::new("t", 0);
        assert_eq!(stray(None, Some(1), None, &partition), Some(StrayReason::NoTopicId));
        assert_eq!(stray(None, Some(1), Some(Uuid([9; 16])), &partition), None);
        let image = MetadataImage::default();
        let found = stray(Some(&image), None, Some(Uuid([9; 16])), &partition);
        assert_eq!(found, Some(StrayReason::NotInMetadata(Uuid([9; 16]))));
    }
}
