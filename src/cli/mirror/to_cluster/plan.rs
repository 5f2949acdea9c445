//! What there is to carry over: topics with their settings, and how much of each partition is left.

use std::collections::{BTreeMap, BTreeSet};

use super::lane::{Lane, State};
use super::targets::SourceTopic;
use crate::batch::scan::Depth;
use crate::schema::image::MetadataImage;
use crate::storage::log_dir::LogDir;
use crate::storage::names::DirKind;
use crate::storage::partition::Partition;
use crate::storage::reader::{LogReader, ReadStep};
use crate::types::{Codec, Offset, TimestampMs};

/// Partitions whose first batch is looked at for the codec.
const SAMPLE_MAX: usize = 64;
const BATCH_BYTES_MAX: u64 = 128 << 20;

/// The topics of `partitions`, by name: as the cluster's metadata has them, else as the directories show.
pub fn source_topics(partitions: &[Partition], log_dirs: &[LogDir], image: Option<&MetadataImage>) -> Vec<SourceTopic> {
    let mut held: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for (name, _) in log_dirs.iter().flat_map(LogDir::partitions).filter(|(name, _)| name.kind == DirKind::Live) {
        held.entry(&name.topic_partition.topic).or_default().insert(name.topic_partition.partition);
    }
    let mut topics: BTreeMap<&str, SourceTopic> = BTreeMap::new();
    for partition in partitions {
        let name = partition.topic_partition().topic.as_str();
        topics.entry(name).or_insert_with(|| {
            let known = image.and_then(|image| image.topic_named(name));
            let configs = image.and_then(|image| image.topic_config(name)).cloned().unwrap_or_default();
            let count = known.and_then(|topic| i32::try_from(topic.partitions.len()).ok());
            let held = held.remove(name).unwrap_or_default();
            let highest = held.last().copied();
            SourceTopic {
                name: name.to_owned(),
                partitions: count.or(highest.map(|highest| highest + 1)).unwrap_or_default(),
                held,
                configs,
                is_known: known.is_some(),
                oldest_ms: None,
            }
        });
    }
    topics.into_values().collect()
}

/// The first batch at or behind `from`: its codec and largest timestamp.
fn first_batch(partition: &Partition, from: Offset) -> Option<(Codec, TimestampMs)> {
    let mut reader = LogReader::new(partition, Depth::Headers, BATCH_BYTES_MAX);
    reader.seek(from).ok()?;
    // An index is sparse: some batches in front of it may come first.
    for _ in 0..10_000 {
        match reader.next().ok()? {
            ReadStep::Entry { entry, .. } if entry.frame.last_offset() >= from && !entry.frame.is_control() => {
                return Some((entry.frame.codec().ok()?, entry.frame.max_timestamp_ms()));
            }
            ReadStep::Entry { .. } => {}
            _ => return None,
        }
    }
    None
}

/// Looks at the start of what is left: the codec that most of it has, and how old topics' records are.
pub fn sample(lanes: &[Lane<'_>], topics: &mut [SourceTopic]) -> Codec {
    let mut counts: BTreeMap<u8, (usize, Codec)> = BTreeMap::new();
    for lane in lanes.iter().filter(|lane| lane.state == State::Open).take(SAMPLE_MAX) {
        let Some((codec, timestamp_ms)) = first_batch(lane.partition, lane.start) else { continue };
        counts.entry(codec.id()).or_insert((0, codec)).0 += 1;
        if let Some(topic) = topics.iter_mut().find(|topic| topic.name == lane.name().topic) {
            topic.oldest_ms = Some(topic.oldest_ms.map_or(timestamp_ms, |oldest| oldest.min(timestamp_ms)));
        }
    }
    counts.into_values().max_by_key(|(count, _)| *count).map_or(Codec::None, |(_, codec)| codec)
}

/// Bytes of the log from the lane's start on, as far as its index tells.
pub fn bytes_left(lane: &Lane<'_>) -> u64 {
    if lane.state == State::Open { lane.partition.bytes_from(lane.start) } else { 0 }
}
