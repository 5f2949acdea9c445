//! Whether, and as what, a partition directory can be adopted; decided by reading.

use std::path::Path;

use super::existing::{begins_with, continues, is_empty};
use super::moved;
use super::remarks::{Settings, remarks};
use super::{AdoptError, AdoptPlan, Existing, OpenTransactions, Refusal, Wish, epochs};
use crate::storage::fs::StorageError;
use crate::storage::leader_epochs;
use crate::storage::log_dir::open_partition_dir;
use crate::storage::metadata_log;
use crate::storage::names::{DirKind, SegmentFileKind, segment_file_name};
use crate::storage::node::{Held, Node, NodeDir};
use crate::storage::partition::{Checkpoints, Partition, present};
use crate::storage::partition_metadata;
use crate::storage::producer_state::ProducerEntry;
use crate::storage::recovery::{self, LoadOptions};
use crate::storage::restore::as_kafka::KafkaJob;
use crate::storage::restore::ends_of;
use crate::storage::swap;
use crate::storage::writer::LogConfig;
use crate::types::{LeaderEpoch, Offset, Uuid};

/// Plans the adoption that `wish` asks for; `node` is opened on the target and the other log directories of its node.
///
/// Reads the whole source, with every checksum, and writes nothing.
pub fn plan(wish: &Wish<'_>, node: &Node) -> Result<AdoptPlan, AdoptError> {
    let mut refusals = Refusals { wish, passed: Vec::new(), open: Vec::new() };
    let (topic_id, epoch) = identity(wish, node, &mut refusals)?;
    let settings = Settings::of(node, &wish.partition.topic, wish.properties);
    let live = wish.log_dir.join(wish.partition.to_string());
    if live.is_dir() && same_place(wish.source, &live) {
        return Err(AdoptError::Same { path: live });
    }
    let source = open_source(wish.source)?;
    let options = LoadOptions {
        // Nothing is taken for granted: every batch is read.
        clean: false,
        recovery_point: Offset::ZERO,
        log_start: source.checkpoints().log_start.unwrap_or(Offset::ZERO),
        now_ms: wish.now_ms,
        config: config(wish, &settings),
    };
    let mut plan = recovery::plan(wish.source, &options)?;
    if !plan.losses.is_empty() {
        let losses = std::mem::take(&mut plan.losses);
        return Err(AdoptError::Damaged { source_dir: wish.source.to_owned(), losses });
    }
    let logs = plan.segments.iter().map(|(base, _)| wish.source.join(segment_file_name(*base, SegmentFileKind::Log)));
    if let Some(path) = logs.into_iter().find(|log| !log.is_file()) {
        return Err(AdoptError::Unfinished { path });
    }
    let open = open_transactions(&plan.producers);
    let first = open.iter().map(|producer| producer.current_txn_first_offset).min();
    let (survey, ends) = (epochs::survey(wish.source, &plan.segments, epoch)?, ends_of(&plan));
    let existing = existing(wish, &live, topic_id, &plan.segments)?;
    if existing == Existing::Records {
        if plan.segments.iter().all(|(_, len)| *len == 0) {
            return Err(AdoptError::NothingToAdopt { source_dir: wish.source.to_owned(), live });
        }
        let path = live.clone();
        if moved::was_moved_to(wish.source, &live)? {
            return Err(AdoptError::AdoptedBefore {
                path,
                how: "the source was moved there and has been made anew since",
            });
        }
        if continues(&live, wish.source, &plan.segments)? {
            return Err(AdoptError::AdoptedBefore { path, how: "its first segments have gone since" });
        }
        refusals.add(Refusal::HasRecords { path: live.clone() }, wish.replace);
    }
    if let Some(first) = first {
        let refusal = Refusal::Open { source_dir: wish.source.to_owned(), producers: open.clone(), first };
        refusals.add(refusal, wish.open != OpenTransactions::Refuse);
    }
    if existing != Existing::Adopted {
        if !refusals.open.is_empty() {
            return Err(AdoptError::Refused { refusals: refusals.open });
        }
        swap::check_place(wish.log_dir, &wish.partition)?;
    }
    let mut planned = AdoptPlan {
        source: wish.source.to_owned(),
        log_dir: wish.log_dir.to_owned(),
        partition: wish.partition.clone(),
        topic_id,
        epoch,
        existing,
        open_transactions: open,
        survey,
        ends,
        remarks: Vec::new(),
        passed: refusals.passed,
        segments: plan.segments.clone(),
        job: KafkaJob::of_kafkas(plan),
        open: wish.open,
        now_ms: wish.now_ms,
        config: options.config,
    };
    if !planned.is_done() {
        planned.remarks = remarks(&planned, &source, wish, node, &settings)?;
    }
    Ok(planned)
}

/// What stands in the way as long as no option goes past it. All of it is told at once.
struct Refusals<'a> {
    wish: &'a Wish<'a>,
    passed: Vec<Refusal>,
    open: Vec<Refusal>,
}

impl Refusals<'_> {
    fn add(&mut self, refusal: Refusal, is_passed: bool) {
        if is_passed { self.passed.push(refusal) } else { self.open.push(refusal) }
    }

    /// One that [`Wish::force`] goes past.
    fn add_forcible(&mut self, refusal: Refusal) {
        self.add(refusal, self.wish.force);
    }
}

/// The id the topic has in the target's cluster, and the leader epoch of the partition there, as far as it is known.
fn identity(wish: &Wish<'_>, node: &Node, refusals: &mut Refusals<'_>) -> Result<(Uuid, LeaderEpoch), AdoptError> {
    let partition = &wish.partition;
    let target = node.dirs.iter().find(|dir| dir.path == wish.log_dir);
    let meta = target.and_then(|dir| dir.listed.as_ref()).and_then(|listed| listed.meta());
    let Some(meta) = meta else { return Err(AdoptError::NotALogDir { path: wish.log_dir.to_owned() }) };
    if partition.topic == metadata_log::TOPIC {
        return Err(AdoptError::Metadata);
    }
    if partition.is_internal() {
        refusals.add_forcible(Refusal::Internal { topic: partition.topic.clone() });
    }
    let elsewhere = node.dirs.iter().filter(|dir| dir.path != wish.log_dir);
    for dir in elsewhere {
        if dir.partitions(DirKind::Live).any(|(name, _)| name == partition) {
            let (partition, path) = (partition.clone(), dir.path.clone());
            return Err(AdoptError::InOtherDirectory { partition, path });
        }
    }
    let live = wish.log_dir.join(partition.to_string());
    let Some(cluster) = &node.cluster else {
        let found = present(partition_metadata::read(&live.join(partition_metadata::FILE_NAME)))?;
        let no_id = || AdoptError::NoTopicId { topic: partition.topic.clone(), log_dir: wish.log_dir.to_owned() };
        let topic_id = wish.topic_id.or(found.map(|found| found.topic_id)).ok_or_else(no_id)?;
        // Its leader notes its epoch there as soon as it leads; where nothing is known, 0 is never too high.
        let epochs = present(leader_epochs::read(&live.join(leader_epochs::FILE_NAME)))?.unwrap_or_default();
        return Ok((topic_id, epochs.latest().map_or(LeaderEpoch(0), |latest| latest.epoch)));
    };
    let Some(topic) = cluster.image.topic_named(&partition.topic) else {
        return Err(AdoptError::UnknownTopic {
            topic: partition.topic.clone(),
            partitions: partition.partition.saturating_add(1),
            log: cluster.log.clone(),
        });
    };
    if let Some(asked) = wish.topic_id.filter(|asked| *asked != topic.topic_id) {
        return Err(AdoptError::TopicId { topic: partition.topic.clone(), asked, found: topic.topic_id });
    }
    let (directory, record) = match cluster.holds(topic, partition.partition) {
        Held::Here { directory, record } => (directory, record),
        Held::No { count } => return Err(AdoptError::NoPartition { partition: partition.clone(), count }),
        Held::Elsewhere { replicas } => {
            return Err(AdoptError::OtherNode {
                partition: partition.clone(),
                replicas: replicas.to_vec(),
                node: cluster.node_id.unwrap_or(-1),
            });
        }
    };
    if let Some(directory) = directory.filter(|id| meta.directory_id() != Some(*id)) {
        let path = node.dirs.iter().find(|dir| NodeDir::id(dir) == Some(directory)).map(|dir| dir.path.clone());
        return Err(AdoptError::OtherDirectory { partition: partition.clone(), directory, path });
    }
    if record.replicas.len() > 1 {
        let (partition, replicas) = (partition.clone(), record.replicas.clone());
        refusals.add_forcible(Refusal::Replicated { partition, replicas });
    }
    Ok((topic.topic_id, LeaderEpoch(record.leader_epoch)))
}

fn same_place(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Opens the source; what a log directory around it says counts for a partition in use.
fn open_source(dir: &Path) -> Result<Partition, AdoptError> {
    std::fs::read_dir(dir).map_err(|error| StorageError::new(dir, error))?;
    let (opened, _) = open_partition_dir(dir)?;
    let in_use = matches!(opened.name().kind, DirKind::Live | DirKind::Future);
    let partition = if in_use { opened } else { Partition::open(dir, Checkpoints::default())? };
    if partition.segments().is_empty() {
        return Err(AdoptError::NotAPartition { path: dir.to_owned() });
    }
    Ok(partition)
}

/// The broker's settings, with those of the topic that decide about its indexes.
fn config(wish: &Wish<'_>, settings: &Settings) -> LogConfig {
    let mut config = wish.config;
    let number = |name: &str| settings.number(name).and_then(|(value, _)| u32::try_from(value).ok());
    config.index_interval_bytes = number("index.interval.bytes").unwrap_or(config.index_interval_bytes);
    config.segment_index_bytes = number("segment.index.bytes").unwrap_or(config.segment_index_bytes);
    config
}

fn open_transactions(producers: &crate::storage::producer_states::ProducerStates) -> Vec<ProducerEntry> {
    let mut open: Vec<ProducerEntry> =
        producers.to_entries().into_iter().filter(|producer| producer.open_txn().is_some()).collect();
    open.sort_by_key(|producer| (producer.current_txn_first_offset, producer.producer_id));
    open
}

fn existing(wish: &Wish<'_>, live: &Path, topic_id: Uuid, segments: &[(Offset, u64)]) -> Result<Existing, AdoptError> {
    if !live.is_dir() {
        return Ok(Existing::None);
    }
    if is_empty(live)? {
        return Ok(Existing::Empty);
    }
    let id = present(partition_metadata::read(&live.join(partition_metadata::FILE_NAME))).ok().flatten();
    if id.is_some_and(|id| id.topic_id == topic_id) && begins_with(live, wish.source, segments)? {
        return Ok(Existing::Adopted);
    }
    Ok(Existing::Records)
}
