//! What a person should know of an adoption that is possible.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use super::{AdoptPlan, Existing, Wish};
use crate::batch::compression::Decompressor;
use crate::batch::walk::Walker;
use crate::schema::topic_configs::{ConfigSource, TopicConfig, topic_configs};
use crate::storage::file_source::FileSource;
use crate::storage::fs::StorageError;
use crate::storage::names::{FileState, PartitionDirName, PartitionFile, SegmentFileKind, segment_file_name};
use crate::storage::node::Node;
use crate::storage::partition::Partition;
use crate::storage::restore::as_kafka::files_of;
use crate::types::{NO_TIMESTAMP, Offset, Position};

/// `log.retention.hours`, where nothing else is said.
const RETENTION_MS: i64 = 7 * 24 * 3_600_000;

/// Something about an adoption that its user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// Segments that the topic's retention removes half a minute after the broker's start.
    Retention {
        /// How many.
        segments: usize,
        /// Of how many.
        of: usize,
        /// The limit that they are over.
        limit: Limit,
        /// Its value, in milliseconds or bytes.
        value: i64,
        /// Who set it; `None` where it is Kafka's default.
        source: Option<ConfigSource>,
    },
    /// The topic is compacted, and a record has no key: the cleaner drops such records (`Cleaner.shouldRetainRecord`), and
    /// a broker takes none from producers (`LogValidator`).
    Keyless {
        /// The first.
        first: Offset,
    },
    /// Offsets between batches that no batch has.
    Holes {
        /// How many holes.
        holes: u64,
        /// First offset that is missing.
        first: Offset,
        /// First offset there is behind it.
        next: Offset,
    },
    /// Logs that a broker had marked as deleted, beyond what is adopted.
    LeftBehind {
        /// How many.
        segments: usize,
        /// Base offset of the first.
        first: Offset,
    },
    /// The partition that is there has come further than the log that takes its place.
    EndsLower {
        /// The offset it has come to, at least.
        was: Offset,
        /// The adopted log's end.
        log_end: Offset,
    },
    /// Offsets that may never have been replicated where they come from.
    AboveHighWatermark {
        /// The high watermark, as it was last noted.
        high_watermark: Offset,
        /// The log's end.
        log_end: Offset,
    },
    /// Other replicas learn of the producers when they fetch the batches.
    ProducersReplicated,
    /// There is no metadata log: nothing was compared with what the cluster knows.
    NoMetadata,
}

/// A limit beyond which a broker removes segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `retention.ms`.
    Age,
    /// `retention.bytes`.
    Size,
}

/// The settings the topic has on the target's broker, as far as its metadata and `server.properties` say.
pub(super) struct Settings(Vec<TopicConfig>);

impl Settings {
    pub(super) fn of(node: &Node, topic: &str, properties: &BTreeMap<String, String>) -> Settings {
        let cluster = node.cluster.as_ref();
        let (image, id) = (cluster.map(|cluster| &cluster.image), cluster.and_then(|cluster| cluster.node_id));
        Settings(topic_configs(image, topic, id, properties))
    }

    fn get(&self, name: &str) -> Option<&TopicConfig> {
        self.0.iter().find(|config| config.name == name)
    }

    /// A number, and who set it.
    pub(super) fn number(&self, name: &str) -> Option<(i64, ConfigSource)> {
        let config = self.get(name)?;
        Some((config.value.trim().parse().ok()?, config.source))
    }

    fn has_policy(&self, policy: &str) -> bool {
        self.get("cleanup.policy").map_or("delete", |config| config.value.as_str()).contains(policy)
    }
}

/// All there is to say of `plan`, whose log is in `source`.
pub(super) fn remarks(
    plan: &AdoptPlan,
    source: &Partition,
    wish: &Wish<'_>,
    node: &Node,
    settings: &Settings,
) -> Result<Vec<Remark>, StorageError> {
    let mut remarks = Vec::new();
    if node.cluster.is_none() {
        remarks.push(Remark::NoMetadata);
    }
    if node.cluster.is_some() || !wish.properties.is_empty() {
        remarks.extend(by_age(plan, wish.now_ms, settings));
        remarks.extend(by_size(plan, settings));
    }
    if settings.has_policy("compact")
        && let Some(first) = first_keyless(plan)?
    {
        remarks.push(Remark::Keyless { first });
    }
    if let Some((first, next)) = plan.survey.first_hole {
        remarks.push(Remark::Holes { holes: plan.survey.holes, first, next });
    }
    remarks.extend(left_behind(plan)?);
    remarks.extend(ends_lower(plan, node)?);
    let high_watermark = source.checkpoints().high_watermark.filter(|it| *it < plan.ends.log_end);
    if let Some(high_watermark) = high_watermark {
        remarks.push(Remark::AboveHighWatermark { high_watermark, log_end: plan.ends.log_end });
    }
    let topic = node.topic(&wish.partition.topic);
    let record = topic.and_then(|topic| topic.partitions.get(&wish.partition.partition));
    let replicated = record.is_some_and(|record| record.replicas.len() > 1);
    let expiration_ms = wish.config.producer_id_expiration_ms;
    let remembered = |newest: i64| wish.now_ms.saturating_sub(newest) < expiration_ms;
    if replicated && plan.survey.newest_producer_ms.is_some_and(remembered) {
        remarks.push(Remark::ProducersReplicated);
    }
    Ok(remarks)
}

/// `UnifiedLog.deleteRetentionMsBreachedSegments`: a segment goes only with all that are before it.
fn by_age(plan: &AdoptPlan, now_ms: i64, settings: &Settings) -> Option<Remark> {
    let set = settings.number("retention.ms");
    let (value, source) = set.map_or((RETENTION_MS, None), |(value, source)| (value, Some(source)));
    let newest = &plan.survey.newest_ms;
    let expired = |newest: &&i64| **newest != NO_TIMESTAMP && now_ms.saturating_sub(**newest) > value;
    let segments = newest.iter().take_while(expired).count();
    let applies = settings.has_policy("delete") && value >= 0 && segments > 0;
    applies.then_some(Remark::Retention { segments, of: newest.len(), limit: Limit::Age, value, source })
}

/// `UnifiedLog.deleteRetentionSizeBreachedSegments`: the first go while what is left is not below the limit.
fn by_size(plan: &AdoptPlan, settings: &Settings) -> Option<Remark> {
    let (value, source) = settings.number("retention.bytes")?;
    let limit = u64::try_from(value).ok()?;
    let mut over = plan.survey.size_bytes.checked_sub(limit)?;
    let goes = |(_, len): &&(Offset, u64)| match over.checked_sub(*len) {
        Some(left) => {
            over = left;
            true
        }
        None => false,
    };
    let segments = plan.segments.iter().take_while(goes).count();
    let applies = settings.has_policy("delete") && segments > 0;
    let (of, source) = (plan.segments.len(), Some(source));
    applies.then_some(Remark::Retention { segments, of, limit: Limit::Size, value, source })
}

/// Offset of the first data record without a key; records that cannot be decompressed are passed over.
fn first_keyless(plan: &AdoptPlan) -> Result<Option<Offset>, StorageError> {
    let mut decompressor = Decompressor::default();
    for (base, len) in &plan.segments {
        let path = plan.source.join(segment_file_name(*base, SegmentFileKind::Log));
        let error = |error| StorageError::new(&path, error);
        let file = File::open(&path).map_err(error)?;
        let source = FileSource::up_to(file, *len).map_err(error)?;
        let mut walker = Walker::trusting(source, Position::ZERO);
        while let Ok(walked) = walker.step().map_err(error)? {
            if walked.frame.is_control() {
                continue;
            }
            let Ok(records) = walked.frame.records(&mut decompressor) else { continue };
            let keyless = records.visit(|record| match record.key {
                None => ControlFlow::Break(record.offset),
                Some(_) => ControlFlow::Continue(()),
            });
            if let Ok(Some(first)) = keyless {
                return Ok(Some(first));
            }
        }
    }
    Ok(None)
}

/// `.log.deleted` files beyond the log's end: what a broker cut off, and did not come to remove.
fn left_behind(plan: &AdoptPlan) -> Result<Option<Remark>, StorageError> {
    let mut bases = Vec::new();
    for (name, _) in files_of(&plan.source)? {
        if let PartitionFile::Segment(file) = PartitionFile::parse(&name)
            && (file.kind, file.state) == (SegmentFileKind::Log, FileState::Deleted)
            && file.offset >= plan.ends.log_end
        {
            bases.push(file.offset);
        }
    }
    let first = bases.iter().min().copied();
    Ok(first.map(|first| Remark::LeftBehind { segments: bases.len(), first }))
}

/// Consumers that come back with an offset above the log's end are sent to its start, or its end, without a word.
fn ends_lower(plan: &AdoptPlan, node: &Node) -> Result<Option<Remark>, StorageError> {
    if !matches!(plan.existing, Existing::Empty | Existing::Records) {
        return Ok(None);
    }
    let target = node.dirs.iter().find(|dir| dir.path == plan.log_dir).and_then(|dir| dir.listed.as_ref());
    let name = PartitionDirName::live(plan.partition.clone());
    let noted = target.map(|dir| dir.checkpoints(&name)).unwrap_or_default();
    let was = come_to(&plan.log_dir.join(name.to_string()), [noted.recovery_point, noted.high_watermark])?;
    let markers = i64::try_from(plan.markers()).unwrap_or_default();
    let log_end = plan.ends.log_end.plus(markers);
    Ok((was > log_end).then_some(Remark::EndsLower { was, log_end }))
}

/// The offset a partition has come to at least: the base of its last segment, or what was noted of it.
fn come_to(dir: &Path, noted: [Option<Offset>; 2]) -> Result<Offset, StorageError> {
    let partition = Partition::open(dir, Default::default())?;
    let last = partition.segments().last().map(|segment| segment.base);
    Ok(noted.into_iter().flatten().chain(last).max().unwrap_or(Offset::ZERO))
}
