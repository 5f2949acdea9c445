//! What the metadata logs beside the replicas know of the partition: every node has one, and they are not equally new.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{ReplicaDir, raw};
use crate::replication::assess::View;
use crate::schema::image::MetadataImage;
use crate::storage::cluster_metadata::ClusterMetadata;
use crate::storage::forecast::metadata_log;
use crate::storage::meta_properties;
use crate::types::{TopicPartition, Uuid};

/// Metadata logs, read.
#[derive(Debug, Default)]
pub struct Knowledge {
    /// By node, its own.
    own: BTreeMap<i32, MetadataImage>,
    newest: Option<ClusterMetadata>,
}

impl Knowledge {
    /// Reads each node's own metadata log in `log_dirs`; `newest` is the one that is believed of the cluster as it is.
    pub fn read(log_dirs: &[PathBuf], newest: Option<ClusterMetadata>) -> Knowledge {
        let mut own = BTreeMap::new();
        for dir in log_dirs {
            let meta = meta_properties::read(&dir.join(meta_properties::FILE_NAME)).ok();
            let Some(node) = meta.and_then(|meta| meta.node_id()) else { continue };
            // One that cannot be read was told of by whoever chose the newest.
            if let Ok(Some(opened)) = metadata_log(dir) {
                own.insert(node, opened.image);
            }
        }
        Knowledge { own, newest }
    }

    /// The partition as the replica's own broker knew it last.
    pub fn view_of(&self, replica: &ReplicaDir) -> Option<View> {
        view(self.own.get(&replica.broker?)?, replica)
    }

    /// The partition as it is, as far as any metadata log here knows.
    pub fn newest(&self, replicas: &[ReplicaDir]) -> Option<View> {
        let newest = self.newest.as_ref()?;
        replicas.iter().find_map(|replica| view(&newest.image, replica))
    }

    /// Up to where the log cleaner may have been on any of the replicas. One that has fetched anew what another had cleaned
    /// has gaps without an entry of its own, so the highest counts for all.
    pub fn cleaned_below(&self, replicas: &[ReplicaDir]) -> u64 {
        let cleaned = replicas.iter().filter_map(|replica| replica.partition.checkpoints().cleaner).max();
        cleaned.map_or(0, raw)
    }
}

fn view(image: &MetadataImage, replica: &ReplicaDir) -> Option<View> {
    view_in(image, replica.topic_id, replica.partition.topic_partition())
}

/// `min.insync.replicas` of a topic, where it or all brokers have it set.
pub fn min_insync_replicas_in(image: &MetadataImage, topic: &str) -> Option<u32> {
    let configs = [image.topic_config(topic), image.broker_config("")];
    configs.into_iter().flatten().find_map(|config| config.get("min.insync.replicas")?.parse().ok())
}

/// The partition in `image`: of the topic of this id, or of this name where no id is known.
pub fn view_in(image: &MetadataImage, topic_id: Option<Uuid>, name: &TopicPartition) -> Option<View> {
    let topic = match topic_id {
        Some(id) => image.topic(id),
        None => image.topic_named(&name.topic),
    }?;
    let record = topic.partitions.get(&name.partition)?;
    Some(View {
        replicas: record.replicas.clone(),
        leader: (record.leader >= 0).then_some(record.leader),
        leader_epoch: u32::try_from(record.leader_epoch).unwrap_or(0),
        isr: record.isr.clone(),
        elr: record.elr.clone(),
        min_insync_replicas: min_insync_replicas_in(image, &topic.name),
    })
}
