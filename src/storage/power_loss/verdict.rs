//! What a broker finds in a log directory, and whether that is what it may be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::batch::Frame;
use crate::batch::compression::Decompressor;
use crate::batch::walk::Walker;
use crate::storage::file_source::FileSource;
use crate::storage::index;
use crate::storage::index::offset::OffsetIndex;
use crate::storage::index::time::{TimeEntry, TimeIndex};
use crate::storage::leader_epochs::LeaderEpochs;
use crate::storage::log_dir::LogDir;
use crate::storage::names::{DirKind, SegmentFileKind, segment_file_name};
use crate::storage::recovery::{self, LoadOptions, Plan};
use crate::storage::writer::LogConfig;
use crate::storage::{partition, partition_metadata};
use crate::types::{NO_TIMESTAMP, Offset, ProducerId, TopicPartition, Uuid};

/// What was done so far, as far as it matters for what may and what must be there.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub topic_id: Option<Uuid>,
    /// Every record that an append was tried with, by the offset it got.
    pub written: BTreeMap<(TopicPartition, i64), BTreeSet<Vec<u8>>>,
    /// Records that a flush or close has returned for.
    pub acknowledged: BTreeMap<(TopicPartition, i64), Vec<u8>>,
    /// Partitions whose making has returned.
    pub made: BTreeSet<TopicPartition>,
    /// Sessions that do not wait for the disk were at work: what they wrote may be missing between two segments.
    pub gaps: bool,
    /// A session that waits for the disk at its end has returned from it, and nothing was begun since.
    pub closed: bool,
}

/// Of a log that was read through: records by offset, first offsets of epochs, last sequences.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub records: BTreeMap<i64, Vec<u8>>,
    epochs: LeaderEpochs,
    sequences: BTreeMap<ProducerId, i32>,
    /// Records are missing in front of a segment.
    has_gap: bool,
}

/// Reads all there is; `Err` when an offset is missing or there twice.
pub fn read(plan: &Plan, gaps: bool) -> Result<Found, String> {
    let mut found = Found::default();
    let mut next: Option<Offset> = plan.segments.first().map(|(base, _)| plan.log_start.max(*base));
    for (base, len) in &plan.segments {
        let path = plan.dir.join(segment_file_name(*base, SegmentFileKind::Log));
        let Ok(file) = std::fs::File::open(&path) else {
            // One that opening makes.
            continue;
        };
        if gaps && next.is_some_and(|next| next < *base) {
            found.has_gap = true;
            next = Some(*base);
        }
        let mut walker = Walker::new(FileSource::up_to(file, *len).unwrap());
        while let Ok(walked) = walker.step().unwrap() {
            let Frame::Batch(batch) = walked.frame else { return Err("a message of an old format".to_owned()) };
            let _ = found.epochs.assign(batch.leader_epoch(), batch.base_offset());
            if batch.producer_id().is_some() {
                let last = batch.base_sequence() + batch.last_offset_delta();
                found.sequences.insert(batch.producer_id(), last);
            }
            for record in Frame::Batch(batch).records(&mut Decompressor::default()).map_err(|e| e.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                if let Some(expected) = next.filter(|expected| *expected != record.offset) {
                    return Err(format!("{}: offset {} follows, expected {expected}", path.display(), record.offset));
                }
                next = Some(record.offset.next());
                found.records.insert(record.offset.get(), record.value.unwrap_or_default().to_vec());
            }
        }
        if walker.position().get() != *len {
            return Err(format!("{}: batches end at {}, the log at {len}", path.display(), walker.position()));
        }
    }
    let end = next.unwrap_or(plan.log_start);
    if end != plan.log_end {
        return Err(format!("{}: the log ends at {}, its records at {end}", plan.dir.display(), plan.log_end));
    }
    Ok(found)
}

/// Opens every log as a broker would that starts now; `Err` says which promise was broken.
pub fn of(dir: &Path, known: &Known, config: LogConfig) -> Result<(), String> {
    let log_dir = LogDir::open(dir).map_err(|error| error.to_string())?;
    if let Some(notice) = log_dir.notices().first() {
        return Err(format!("a broker would not start: {}: {}", notice.path.display(), notice.message));
    }
    let is_clean = log_dir.clean_shutdown().is_some();
    if known.closed && !is_clean {
        return Err("no marker after a close".to_owned());
    }
    let mut live = BTreeSet::new();
    for (name, path) in log_dir.partitions() {
        let metadata = partition::present(partition_metadata::read(&path.join(partition_metadata::FILE_NAME)));
        let metadata = metadata.map_err(|error| format!("a broker would not start: {error}"))?;
        match (name.kind, metadata.map(|metadata| metadata.topic_id)) {
            (DirKind::Live, id) if id == known.topic_id => {}
            (DirKind::Live, id) => return Err(format!("{} has the topic id {id:?}", path.display())),
            (DirKind::Delete, _) => {
                let options = LoadOptions {
                    clean: is_clean,
                    recovery_point: Offset::ZERO,
                    log_start: Offset::ZERO,
                    now_ms: 0,
                    config,
                };
                recovery::plan(path, &options).map_err(|error| format!("a broker would not start: {error}"))?;
                continue;
            }
            _ => return Err(format!("{}: a directory of an odd kind", path.display())),
        }
        live.insert(name.topic_partition.clone());
        let stored = log_dir.checkpoints(name);
        let options = LoadOptions {
            clean: is_clean,
            recovery_point: stored.recovery_point.unwrap_or(Offset::ZERO),
            log_start: stored.log_start.unwrap_or(Offset::ZERO),
            now_ms: 0,
            config,
        };
        one(path, &name.topic_partition, &options, known).map_err(|error| {
            let how = if is_clean { "clean" } else { "unclean" };
            format!("{how}, recovery point {:?}: {error}", stored.recovery_point.map(Offset::get))
        })?;
    }
    if let Some(lost) = known.made.difference(&live).next() {
        return Err(format!("partition {lost} is gone"));
    }
    Ok(())
}

fn one(dir: &Path, partition: &TopicPartition, options: &LoadOptions, known: &Known) -> Result<(), String> {
    let not_started = |error| format!("a broker would not start: {error}");
    let plan = recovery::plan(dir, options).map_err(not_started)?;
    let all = LoadOptions { clean: false, recovery_point: Offset::ZERO, ..*options };
    let full = recovery::plan(dir, &all).map_err(not_started)?;
    if (plan.log_start, plan.log_end) != (full.log_start, full.log_end) {
        let (start, end, all_start, all_end) = (plan.log_start, plan.log_end, full.log_start, full.log_end);
        return Err(format!(
            "{partition}: a broker takes {start} to {end} for the log, {all_start} to {all_end} are sound"
        ));
    }
    if options.clean && !(full.losses.is_empty() && plan.losses.is_empty()) {
        return Err(format!("{partition}: marked clean, and damaged: {:?}", full.losses));
    }
    // What a broker does not look at again has to be right: all, or the segments below the recovery point.
    for (at, (base, _)) in plan.segments.iter().enumerate() {
        let end = plan.segments.get(at + 1).map_or(plan.log_end, |(next, _)| *next);
        if options.clean || end <= options.recovery_point && at + 1 < plan.segments.len() {
            indexes_are_true(dir, *base)?;
        }
    }
    let found = read(&plan, known.gaps)?;
    if found != read(&full, known.gaps)? {
        return Err(format!("{partition}: the broker's records are not those of a full recovery"));
    }
    for (offset, value) in &found.records {
        if !known.written.get(&(partition.clone(), *offset)).is_some_and(|written| written.contains(value)) {
            return Err(format!("{partition}: what is at offset {offset} was not written there"));
        }
    }
    for ((_, offset), value) in known.acknowledged.iter().filter(|((of, _), _)| of == partition) {
        if found.records.get(offset) != Some(value) {
            let (start, end, losses) = (plan.log_start, plan.log_end, &plan.losses);
            return Err(format!(
                "{partition}: offset {offset} was acknowledged and is not there; {start} to {end} are, losses {losses:?}"
            ));
        }
    }
    if plan.epochs != found.epochs && !found.has_gap {
        let (has, should) = (plan.epochs.entries(), found.epochs.entries());
        return Err(format!("{partition}: leader epochs are {has:?}, the log's {should:?}"));
    }
    let sequences: BTreeMap<ProducerId, i32> =
        plan.producers.producers().map(|state| (state.to_entry().producer_id, state.last_sequence())).collect();
    if sequences != found.sequences {
        return Err(format!("{partition}: last sequences are {sequences:?}, the log's {:?}", found.sequences));
    }
    Ok(())
}

/// Entries of a segment's indexes name batches that are there, and the last time entry the largest timestamp.
fn indexes_are_true(dir: &Path, base: Offset) -> Result<(), String> {
    let path = |kind| dir.join(segment_file_name(base, kind));
    let log = path(SegmentFileKind::Log);
    let file = std::fs::File::open(&log).map_err(|error| error.to_string())?;
    let mut walker = Walker::new(FileSource::new(file).unwrap());
    let (mut positions, mut times, mut largest) = (BTreeMap::new(), BTreeSet::new(), NO_TIMESTAMP);
    while let Ok(walked) = walker.step().unwrap() {
        let (last, timestamp) = (walked.frame.last_offset(), walked.frame.max_timestamp_ms());
        positions.insert(walked.position, last);
        times.insert((timestamp, last));
        largest = largest.max(timestamp);
    }
    let bytes = index::read(&path(SegmentFileKind::OffsetIndex)).map_err(|error| error.to_string())?;
    for entry in OffsetIndex::from_file(base, &bytes).entries() {
        if entry.position().and_then(|position| positions.get(&position)) != Some(&entry.offset) {
            return Err(format!("{}: no batch for the index entry {entry:?}", log.display()));
        }
    }
    let bytes = index::read(&path(SegmentFileKind::TimeIndex)).map_err(|error| error.to_string())?;
    let entries: Vec<TimeEntry> = TimeIndex::from_file(base, &bytes).entries().collect();
    if let Some(wrong) = entries.iter().find(|entry| !times.contains(&(entry.timestamp, entry.offset))) {
        return Err(format!("{}: no batch for the time index entry {wrong:?}", log.display()));
    }
    let last = entries.last().map_or(NO_TIMESTAMP, |entry| entry.timestamp);
    if last != largest {
        return Err(format!("{}: the last time entry is {last}, the largest timestamp {largest}", log.display()));
    }
    Ok(())
}
