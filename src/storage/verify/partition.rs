//! One partition directory: its segments one by one, and against each other, its small files and its checkpoints.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;

use super::access::Survey;
use super::finding::{Advice, Fault, Finding, Findings, Grade};
use super::producers::{Producers, SnapshotFile};
use super::segment::{self, Hole, Place, SegmentReport};
use super::{IndexResult, Options};
use crate::batch::Decompressor;
use crate::storage::evidence::Evidence;
use crate::storage::fs::StorageError;
use crate::storage::leader_epochs::{self, LeaderEpochs};
use crate::storage::names::{FileState, PartitionFile, SegmentFileKind, SegmentFileName};
use crate::storage::partition::{Checkpoints, Partition};
use crate::storage::{checkpoint, metadata_log, partition_metadata};
use crate::types::{Offset, TopicPartition, Uuid};

/// What the log directory says about a partition.
#[derive(Debug, Clone, Copy, Default)]
pub struct Around {
    /// It has the marker of a clean shutdown, so a broker that starts trusts its logs.
    pub is_trusted: bool,
    /// Its brokers know topic ids: `meta.properties` has version 1.
    pub is_kraft: bool,
    /// The cluster's metadata has a cleanup.policy for the topic with `compact` in it.
    pub is_compacted: bool,
}

/// What a check of a partition came to.
#[derive(Debug)]
pub struct PartitionReport {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// Each segment, in order.
    pub segments: Vec<SegmentReport>,
    /// The topic's id, of `partition.metadata`.
    pub topic_id: Option<Uuid>,
    /// First offset that may be read.
    pub log_start: Offset,
    /// Offset of the next record: one above the last sound batch.
    pub log_end: Offset,
    /// Whether the log shows signs of compaction, so that holes are legal.
    pub is_compacted: bool,
    /// Everything found, in its segments too.
    pub findings: Findings,
}

impl PartitionReport {
    /// Bytes of its logs.
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size_bytes).sum()
    }

    /// Batches in it.
    pub fn batches(&self) -> u64 {
        self.segments.iter().map(|segment| segment.batches).sum()
    }

    /// Records in it; `None` where compressed wrappers were not opened.
    pub fn records(&self) -> Option<u64> {
        self.segments.iter().map(|segment| segment.records).sum()
    }
}

/// Checks `partition`. `progress` gets bytes of logs as they are done, from several threads.
pub fn check(
    partition: &Partition,
    around: Around,
    options: &Options,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<PartitionReport, StorageError> {
    let mut findings = Findings::default();
    let files = Files::list(partition.dir(), &mut findings)?;
    let reports = check_segments(partition, around, options, &files, &mut findings, progress)?;
    let mut report = PartitionReport {
        topic_partition: partition.topic_partition().clone(),
        topic_id: None,
        log_start: partition.log_start(),
        log_end: reports.iter().rev().find_map(|segment| segment.next).unwrap_or(partition.log_start()),
        is_compacted: around.is_compacted || is_compacted(partition.checkpoints(), &reports),
        segments: reports,
        findings,
    };
    if partition.is_whole() {
        report.check_between(&files);
        report.check_sparse_indexes();
        report.check_snapshots(&files, around.is_trusted);
        report.check_left_overs(&files, around);
        report.check_epochs(partition.dir(), &files);
        report.check_partition_metadata(partition, around);
        report.check_checkpoints(partition);
    }
    for segment in &mut report.segments {
        report.findings.append(std::mem::take(&mut segment.findings));
    }
    report.findings.sort();
    Ok(report)
}

/// A file whose name a broker takes for a number.
pub fn no_offset(path: &Path) -> Finding {
    let said = "its name ends like that of a segment's file and begins with no offset; a broker does not start over it";
    Finding::new(Fault::Name, Grade::StopsBroker, path, said).advice(Advice::MoveAway)
}

/// A small file of a partition, `leader-epoch-checkpoint` or `partition.metadata`, that a broker cannot read.
pub fn unreadable(fault: Fault, error: &StorageError) -> Finding {
    let said = format!("{}; a broker does not start, or takes the log directory offline", error.kind);
    let advice = if fault == Fault::EpochFile { Advice::Salvage } else { Advice::Restore };
    Finding::new(fault, Grade::StopsBroker, &error.path, said).advice(advice)
}

/// Checkpoints of the cleaner, or batches that lack records.
fn is_compacted(checkpoints: &Checkpoints, segments: &[SegmentReport]) -> bool {
    checkpoints.cleaner.is_some() || segments.iter().any(|segment| segment.was_cleaned)
}

/// Runs of segments, each from a segment with a snapshot at its start up to the next such: side by side.
fn check_segments(
    partition: &Partition,
    around: Around,
    options: &Options,
    files: &Files,
    findings: &mut Findings,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<SegmentReport>, StorageError> {
    let segments = partition.segments();
    let has_snapshot = |base: Offset| files.snapshots.iter().any(|snapshot| snapshot.offset == base);
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if !has_snapshot(segment.base) => run.end = number + 1,
            _ => runs.push(number..number + 1),
        }
    }
    let evidence = if partition.is_whole() { Evidence::of(partition) } else { Evidence::default() };
    let is_compacted = around.is_compacted || partition.checkpoints().cleaner.is_some();
    let check_run = |run: Range<usize>| -> Result<(Vec<SegmentReport>, Findings, Vec<SnapshotFile>), StorageError> {
        let mut findings = Findings::default();
        let start = segments.get(run.start).map_or(Offset::ZERO, |segment| segment.base);
        let end = segments.get(run.end).map(|segment| segment.base);
        let mut ahead = files.snapshots.clone();
        ahead.retain(|snapshot| snapshot.offset > start && end.is_none_or(|end| snapshot.offset <= end));
        let at_start = files.snapshots.iter().find(|snapshot| snapshot.offset == start);
        let mut producers = match at_start {
            Some(snapshot) => Producers::from_snapshot(snapshot, ahead, &mut findings),
            None => Producers::unknown(start, ahead),
        };
        let mut decompressor = Decompressor::with_cap(options.max_batch_bytes);
        let mut reports = Vec::new();
        for number in run {
            let Some(segment) = segments.get(number) else { break };
            let is_last = number + 1 == segments.len();
            let place = Place { is_last, is_trusted: around.is_trusted, is_compacted };
            let mut evidence = evidence.clone();
            let report =
                segment::check(segment, place, options, &mut evidence, &mut producers, &mut decompressor, progress)?;
            if report.is_damaged {
                producers.interrupt();
            }
            // What the log holds up to the next segment was seen, unless there are holes.
            if let Some(next) = report.next {
                producers.reach(next, &mut findings);
            }
            reports.push(report);
        }
        Ok((reports, findings, producers.beyond()))
    };
    let done: Vec<_> = runs.into_par_iter().map(check_run).collect::<Result<_, _>>()?;
    let mut reports = Vec::with_capacity(segments.len());
    for (run, found, _) in done {
        reports.extend(run);
        findings.append(found);
    }
    Ok(reports)
}

/// The files of a partition directory that are no segment in use.
#[derive(Debug, Default)]
struct Files {
    snapshots: Vec<SnapshotFile>,
    left_over: Vec<(SegmentFileName, std::path::PathBuf, u64)>,
    /// Indexes in use, by base offset.
    indexes: Vec<(SegmentFileName, std::path::PathBuf)>,
}

impl Files {
    fn list(dir: &Path, findings: &mut Findings) -> Result<Files, StorageError> {
        let error = |error| StorageError::new(dir, error);
        let mut files = Files::default();
        let mut survey = Survey::of(dir);
        for entry in std::fs::read_dir(dir).map_err(error)? {
            let entry = entry.map_err(error)?;
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                continue;
            }
            survey.add(&entry.path(), &metadata);
            let parsed = PartitionFile::parse(&entry.file_name());
            if parsed.stops_broker() {
                findings.push(no_offset(&entry.path()));
            }
            if parsed == PartitionFile::Other {
                let said = "no file of Kafka's; a broker leaves it alone";
                findings.push(Finding::new(Fault::LeftOver, Grade::Cosmetic, entry.path(), said));
            }
            let PartitionFile::Segment(file) = parsed else { continue };
            match (file.state, file.kind) {
                (FileState::Live, _) if !file.is_canonical => {
                    let said = format!("a broker takes the offset from this name and then makes or opens {file}");
                    let finding = Finding::new(Fault::Name, Grade::LosesData, entry.path(), said);
                    findings.push(finding.offset(file.offset).advice(Advice::MoveAway));
                }
                (FileState::Live, SegmentFileKind::Snapshot) => {
                    files.snapshots.push(SnapshotFile { offset: file.offset, path: entry.path() });
                }
                (FileState::Live, SegmentFileKind::Log) => {}
                (FileState::Live, _) => files.indexes.push((file, entry.path())),
                _ => files.left_over.push((file, entry.path(), metadata.len())),
            }
        }
        findings.extend(survey.finish());
        files.snapshots.sort_by_key(|snapshot| snapshot.offset);
        files.left_over.sort_by(|a, b| a.1.cmp(&b.1));
        files.indexes.sort_by(|a, b| a.1.cmp(&b.1));
        Ok(files)
    }
}

impl PartitionReport {
    /// Segments against each other: holes, overlaps, names.
    fn check_between(&mut self, files: &Files) {
        let mut found = Vec::new();
        let mut before: Option<&SegmentReport> = None;
        for segment in &self.segments {
            if let Some(below) = segment.below_base {
                let said = format!(
                    "the name says base offset {}, a batch in it ends at {below}; a broker that recovers the log does not start",
                    segment.base
                );
                let finding = Finding::new(Fault::Name, Grade::StopsBroker, &segment.log, said);
                found.push(finding.offset(below).advice(Advice::Salvage));
            }
            let end = before.and_then(|before| before.next);
            let first = segment.first.unwrap_or(segment.base);
            if let (Some(end), Some(before)) = (end, before) {
                if segment.base < end {
                    let said = format!(
                        "offsets from {} on are in {} too, which ends at {end}",
                        segment.base,
                        before.log.file_name().unwrap_or_default().display()
                    );
                    let finding = Finding::new(Fault::Overlap, Grade::Slows, &segment.log, said);
                    found.push(finding.offset(segment.base).advice(Advice::Salvage));
                } else if first > end {
                    // Compaction leaves holes at both ends of a segment; its base offset stays.
                    found.extend(self.hole(segment, end, first, files));
                }
            } else if before.is_some_and(|before| before.batches == 0) && segment.base > self.log_start {
                // An empty segment in front: what it held is gone.
                let from = before.map_or(self.log_start, |before| before.base);
                found.extend(self.hole(segment, from, first, files));
            }
            for Hole { from, to, position } in &segment.holes {
                found.extend(self.hole(segment, *from, *to, files).map(|finding| finding.at(*position)));
            }
            if segment.next.is_some() || before.is_none_or(|before| before.next.is_none()) {
                before = Some(segment);
            }
        }
        found.into_iter().for_each(|finding| self.findings.push(finding));
    }

    /// Offsets `from..to` are in no batch. Legal where a log is compacted.
    fn hole(&self, segment: &SegmentReport, from: Offset, to: Offset, files: &Files) -> Option<Finding> {
        let aside = files.left_over.iter().find(|(file, _, len)| {
            file.kind == SegmentFileKind::Log && *len > 0 && file.offset < to && file.offset >= from
        });
        let orphan = files.indexes.iter().find(|(file, _)| {
            let has_log = self.segments.binary_search_by_key(&file.offset, |segment| segment.base).is_ok();
            !has_log && file.offset >= from && file.offset < to
        });
        // A log that is compacted keeps its segments' names until it merges them: a name without its log is no hole.
        if self.is_compacted && aside.is_none() && orphan.is_none() {
            return None;
        }
        let count = to.get() - from.get();
        let hint = match (aside, orphan) {
            (Some((_, path, _)), _) => format!("; {} may hold them", path.file_name().unwrap_or_default().display()),
            (None, Some((_, path))) => {
                format!("; {} has lost its log", path.file_name().unwrap_or_default().display())
            }
            (None, None) => ", and the log shows no other sign of compaction".to_owned(),
        };
        let said = format!("{count} offsets are missing: {from}..{to}{hint}");
        let finding = Finding::new(Fault::Gap, Grade::LosesData, &segment.log, said);
        let advice = if aside.is_some() { Advice::TakeDeleted } else { Advice::Merge };
        Some(finding.offset(from).advice(advice))
    }

    /// An offset index that has no entry where those of other segments would have had some.
    fn check_sparse_indexes(&mut self) {
        let known: Vec<_> = self.segments.iter().map(|segment| segment.interval).collect();
        let below = known.iter().flatten().map(|interval| interval.below).min().unwrap_or(u64::MAX);
        for (segment, interval) in self.segments.iter_mut().zip(&known) {
            let is_empty = interval.is_some_and(|interval| interval.below == u64::MAX);
            let least = interval.map_or(0, |interval| interval.least);
            if is_empty && least > below.saturating_mul(2) {
                let index = segment.indexes.iter_mut().find(|index| index.kind == SegmentFileKind::OffsetIndex);
                if let Some(index) = index {
                    index.result = Some(IndexResult::Equivalent { odd: None });
                }
                let path = segment.log.with_extension("index");
                let said = format!(
                    "has no entry for a stretch of {least} bytes, where indexes of other segments have one each {below}: look-ups read from the segment's start"
                );
                let finding = Finding::new(Fault::IndexSparse, Grade::Slows, path, said);
                self.findings.push(finding.advice(Advice::RebuildIndexes));
            }
        }
    }

    /// Snapshots that belong to no segment, and those beyond the log.
    fn check_snapshots(&mut self, files: &Files, is_trusted: bool) {
        let bases: BTreeSet<Offset> = self.segments.iter().map(|segment| segment.base).collect();
        let last_base = bases.last().copied().unwrap_or(Offset::ZERO);
        let is_damaged = self.segments.last().is_some_and(|segment| segment.is_damaged);
        // A broker keeps one at the base of every segment but the first.
        let has_producers = self.segments.iter().any(|segment| segment.has_producers);
        if bases.len() > 1 && has_producers && files.snapshots.is_empty() {
            let then = match is_trusted {
                true => "a broker that trusts the log starts without its producers, and takes their duplicates",
                false => "a broker reads the whole log to know its producers",
            };
            let path = self.segments.last().map(|segment| segment.log.with_extension("snapshot")).unwrap_or_default();
            let grade = if is_trusted { Grade::LosesData } else { Grade::Slows };
            let said = format!("there is no producer snapshot at all: {then}");
            self.findings.push(Finding::new(Fault::Snapshot, grade, path, said).advice(Advice::Recover));
        }
        for (number, snapshot) in files.snapshots.iter().enumerate() {
            let is_newest = number + 1 == files.snapshots.len();
            if snapshot.offset > self.log_end {
                let said = format!(
                    "says what producers had done up to offset {}, the log ends at {}: records in between are gone",
                    snapshot.offset, self.log_end
                );
                let finding = Finding::new(Fault::Snapshot, Grade::LosesData, &snapshot.path, said);
                self.findings.push(finding.offset(self.log_end).advice(Advice::Salvage));
            } else if !(bases.contains(&snapshot.offset) || is_newest && snapshot.offset > last_base) {
                let said = "belongs to no segment; a broker removes it at its start";
                let finding = Finding::new(Fault::LeftOver, Grade::Cosmetic, &snapshot.path, said);
                self.findings.push(finding.offset(snapshot.offset).advice(Advice::Nothing));
            } else if is_newest && snapshot.offset > last_base && !is_damaged {
                // Of a segment's base the pass over the segment tells.
                if let Err(error) = crate::storage::producer_state::read(&snapshot.path) {
                    let said = format!("{}; a broker removes it and reads the log from an older one on", error.kind);
                    let finding = Finding::new(Fault::Snapshot, Grade::Slows, &snapshot.path, said);
                    self.findings.push(finding.offset(snapshot.offset).advice(Advice::Nothing));
                }
            }
        }
    }

    /// Files that wait to be removed or put in place, and indexes without a log.
    fn check_left_overs(&mut self, files: &Files, around: Around) {
        for (file, path, len) in &files.left_over {
            let then = match file.state {
                FileState::Swap => "a finished replacement, which a broker puts in place at its start",
                FileState::Cleaned => "an unfinished replacement, which a broker removes at its start",
                _ => "waits to be removed; a broker does so at its start",
            };
            let finding = Finding::new(Fault::LeftOver, Grade::Cosmetic, path, format!("{then} ({len} bytes)"));
            self.findings.push(finding.offset(file.offset).advice(Advice::Nothing));
        }
        for (file, path) in &files.indexes {
            if self.segments.binary_search_by_key(&file.offset, |segment| segment.base).is_err() {
                let said = "there is no log of this name; a broker removes it at its start";
                let finding = Finding::new(Fault::LeftOver, Grade::Cosmetic, path, said);
                self.findings.push(finding.offset(file.offset).advice(Advice::Nothing));
            }
        }
        let has_producers = !files.snapshots.is_empty();
        let newest = files.snapshots.last().map(|snapshot| snapshot.offset);
        if around.is_trusted && has_producers && newest.is_some_and(|newest| newest < self.log_end) {
            let said = format!(
                "no producer snapshot at the log's end, {}, though the log was closed in good order; a broker reads the log from {} on",
                self.log_end,
                newest.unwrap_or(Offset::ZERO)
            );
            let path = self.segments.last().map(|segment| segment.log.clone()).unwrap_or_default();
            self.findings.push(Finding::new(Fault::Snapshot, Grade::Cosmetic, path, said));
        }
    }

    fn check_epochs(&mut self, dir: &Path, files: &Files) {
        let path = dir.join(leader_epochs::FILE_NAME);
        let epochs = match leader_epochs::read(&path) {
            Ok(epochs) => epochs,
            Err(error) if error.is_not_found() => {
                // Logs of magic 0 and 1 only never had one.
                if self.segments.iter().any(|segment| segment.has_epochs) {
                    let said = "not there: a broker that trusts the log starts without epochs, and followers fall back to the high watermark";
                    let finding = Finding::new(Fault::EpochFile, Grade::Slows, path, said);
                    self.findings.push(finding.advice(Advice::Salvage));
                }
                return;
            }
            Err(error) => return self.findings.push(unreadable(Fault::EpochFile, &error)),
        };
        self.check_first_epoch(&epochs, &path, files);
        if let Some(beyond) = epochs.entries().iter().find(|entry| entry.start > self.log_end) {
            let said = format!(
                "epoch {} starts at offset {}, the log ends at {}: records in between are gone",
                beyond.epoch, beyond.start, self.log_end
            );
            let finding = Finding::new(Fault::EpochFile, Grade::LosesData, path, said);
            self.findings.push(finding.offset(beyond.start).advice(Advice::Salvage));
        }
    }

    /// Whoever deletes the first segments moves the first epoch's start along.
    fn check_first_epoch(&mut self, epochs: &LeaderEpochs, path: &Path, files: &Files) {
        let Some(base) = self.segments.first().map(|segment| segment.base) else { return };
        let Some(first) = epochs.entries().first().filter(|entry| entry.start < base) else { return };
        // The file may lag behind for a moment, but not longer than the files wait to be removed.
        if files.left_over.iter().any(|(file, ..)| file.state == FileState::Deleted && file.offset < base) {
            return;
        }
        let said = format!(
            "epoch {} starts at offset {}, the first segment at {base}: segments below may be missing; no broker deletes them without moving the epoch's start",
            first.epoch, first.start
        );
        let finding = Finding::new(Fault::Gap, Grade::LosesData, path, said);
        self.findings.push(finding.offset(first.start).advice(Advice::Salvage));
    }

    fn check_partition_metadata(&mut self, partition: &Partition, around: Around) {
        // The metadata log's directory has none.
        if partition.topic_partition().topic == metadata_log::TOPIC {
            return;
        }
        let path = partition.dir().join(partition_metadata::FILE_NAME);
        match partition_metadata::read(&path) {
            Ok(metadata) if metadata.topic_id.is_reserved() => {
                let said = format!(
                    "topic id {} is reserved: no topic has it, and a broker renames the directory to -stray",
                    metadata.topic_id
                );
                let finding = Finding::new(Fault::PartitionMetadata, Grade::LosesData, path, said);
                self.findings.push(finding.advice(Advice::Restore));
            }
            Ok(metadata) => self.topic_id = Some(metadata.topic_id),
            Err(error) if error.is_not_found() => {
                let (grade, said) = match around.is_kraft {
                    true => (
                        Grade::LosesData,
                        "not there: a broker renames the directory to -stray and starts an empty log in its place",
                    ),
                    false => (Grade::Cosmetic, "not there, as in directories of the ZooKeeper era"),
                };
                self.findings.push(Finding::new(Fault::PartitionMetadata, grade, path, said).advice(Advice::Restore));
            }
            Err(error) => self.findings.push(unreadable(Fault::PartitionMetadata, &error)),
        }
    }

    fn check_checkpoints(&mut self, partition: &Partition) {
        let Some(around) = partition.dir().parent() else { return };
        let Checkpoints { log_start, high_watermark, recovery_point, cleaner } = *partition.checkpoints();
        let (end, name) = (self.log_end, partition.topic_partition());
        let mut above = |file: &str, value: Option<Offset>, grade, then: &str| {
            if let Some(value) = value.filter(|value| *value > end) {
                let said = format!("{name} has {value}, the log ends at {end}{then}");
                let finding = Finding::new(Fault::Checkpoint, grade, around.join(file), said);
                self.findings.push(finding.offset(end).advice(Advice::Salvage));
            }
        };
        let gone = ": records in between are gone";
        above(checkpoint::RECOVERY_POINT, recovery_point, Grade::LosesData, gone);
        above(checkpoint::HIGH_WATERMARK, high_watermark, Grade::LosesData, gone);
        let all = "; a broker deletes the whole log and starts an empty one there";
        above(checkpoint::LOG_START, log_start, Grade::LosesData, all);
        above(checkpoint::CLEANER, cleaner, Grade::Cosmetic, "; a broker starts over with cleaning");
    }
}
