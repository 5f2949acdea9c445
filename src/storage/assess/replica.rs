//! One replica's directory, and what its log directory says of it.

use std::path::{Path, PathBuf};

use super::log_dir_of;
use crate::storage::fs::StorageError;
use crate::storage::log_dir::open_partition_dir;
use crate::storage::partition::{Notice, Partition, present};
use crate::storage::{clean_shutdown, meta_properties, partition_metadata};
use crate::types::Uuid;

/// A replica's directory, opened.
#[derive(Debug)]
pub struct ReplicaDir {
    /// Its segments, and its entries in the checkpoints.
    pub partition: Partition,
    /// The log directory it is in.
    pub log_dir: Option<PathBuf>,
    /// Its broker (`node.id`, `broker.id`), where `meta.properties` has it.
    pub broker: Option<i32>,
    /// Its broker was stopped in good order: it flushed, and its checkpoints are of that moment.
    pub is_clean: bool,
    /// Its topic's id.
    pub topic_id: Option<Uuid>,
    /// What was odd about the checkpoints.
    pub notices: Vec<Notice>,
}

impl ReplicaDir {
    /// Opens the partition directory `dir`.
    pub fn open(dir: &Path) -> Result<ReplicaDir, StorageError> {
        let (partition, notices) = open_partition_dir(dir)?;
        let log_dir = log_dir_of(dir);
        let meta = log_dir.as_ref().and_then(|dir| meta_properties::read(&dir.join(meta_properties::FILE_NAME)).ok());
        let marker = log_dir.as_ref().map(|dir| clean_shutdown::read(&dir.join(clean_shutdown::FILE_NAME)));
        let metadata = present(partition_metadata::read(&dir.join(partition_metadata::FILE_NAME))).unwrap_or(None);
        Ok(ReplicaDir {
            partition,
            log_dir,
            broker: meta.and_then(|meta| meta.node_id()),
            is_clean: matches!(marker, Some(Ok(Some(_)))),
            topic_id: metadata.map(|metadata| metadata.topic_id),
            notices,
        })
    }

    /// Bytes of its log.
    pub fn size_bytes(&self) -> u64 {
        self.partition.segments().iter().map(|segment| segment.log_len).sum()
    }
}
