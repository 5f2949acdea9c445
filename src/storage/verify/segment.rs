//! One pass over a segment: its batches, and along with them its indexes, its producers and its snapshots.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::finding::{Advice, Fault, Finding, Findings, Grade};
use super::offset_index::{Interval, OffsetIndexCheck};
use super::producers::Producers;
use super::time_index::{TimeIndexCheck, TimeIndexOutcome};
use super::{Depth, IndexResult, Options, Placed};
use crate::batch::scan::{self, Damage, Doubt, ScanOptions, Step, Tail};
use crate::batch::{Decompressor, Frame};
use crate::storage::evidence::{Contradiction, Evidence};
use crate::storage::fs::StorageError;
use crate::storage::index::build::{IndexBuilder, IndexedBatch, NewEntries};
use crate::storage::index::offset::OffsetIndex;
use crate::storage::index::time::TimeIndex;
use crate::storage::index::txn::{AbortedTxn, TxnIndex, TxnIndexError};
use crate::storage::index::{self, IndexBytes};
use crate::storage::names::SegmentFileKind;
use crate::storage::partition::{Segment, open_scanner_with, present};
use crate::types::{LeaderEpoch, NO_TIMESTAMP, Offset, Position};

/// A batch that inflates to more than this, and more than [`INFLATES_RATIO`] times its size, is told of.
const INFLATES_BYTES: usize = 32 << 20;
const INFLATES_RATIO: usize = 100;

/// What is known of the place of a segment in its partition.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The last segment, which grows.
    pub is_last: bool,
    /// A broker that starts trusts the log: the directory has the marker of a clean shutdown.
    pub is_trusted: bool,
    /// The log was compacted, as far as its checkpoints tell.
    pub is_compacted: bool,
}

/// Offsets between two batches that no batch holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// First of them.
    pub from: Offset,
    /// The one behind.
    pub to: Offset,
    /// Where the batch behind starts.
    pub position: Position,
}

/// So many holes of a segment are told one by one.
const HOLES_MAX: usize = 100;

/// One index beside its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexReport {
    /// Which.
    pub kind: SegmentFileKind,
    /// The file.
    pub path: PathBuf,
    /// Entries before any padding.
    pub entries: usize,
    /// Entries of zeros behind them.
    pub padding: usize,
    /// Bytes behind the last whole entry.
    pub trailing_bytes: usize,
    /// What it comes to; `None`: the file is not there, though it should be, or cannot be read.
    pub result: Option<IndexResult>,
}

/// The bytes of a segment's index files as a rebuild makes them; `None` where the one that is there can stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIndexes {
    /// Offset index.
    pub offset: Option<Vec<u8>>,
    /// Time index, with its closing entry.
    pub time: Option<Vec<u8>>,
    /// Transaction index; `None` too where there is none and nothing to list, or what was open before is not known.
    pub txn: Option<Vec<u8>>,
}

/// What a pass over a segment came to.
#[derive(Debug, Default)]
pub struct SegmentReport {
    /// Base offset.
    pub base: Offset,
    /// Its log.
    pub log: PathBuf,
    /// Bytes of its log.
    pub size_bytes: u64,
    /// First offset, of its first sound batch.
    pub first: Option<Offset>,
    /// Last offset of the first batch that lies wholly below the base offset of the name.
    pub below_base: Option<Offset>,
    /// One above its last offset.
    pub next: Option<Offset>,
    /// Batches, and messages of magic 0 and 1.
    pub batches: u64,
    /// Records; `None` where a compressed wrapper was not opened.
    pub records: Option<u64>,
    /// Holes between its batches, the first of them.
    pub holes: Vec<Hole>,
    /// Number of holes.
    pub hole_count: u64,
    /// Some batch has lost records, as compaction leaves it.
    pub was_cleaned: bool,
    /// Some batch has a leader epoch.
    pub has_epochs: bool,
    /// Some batch has a producer id.
    pub has_producers: bool,
    /// Some bytes hold no sound batch.
    pub is_damaged: bool,
    /// Bytes behind the last batch, which are its end.
    pub tail_bytes: u64,
    /// Its indexes: offset, time, and that of transactions where there is or should be one.
    pub indexes: Vec<IndexReport>,
    /// What the offset index tells of `index.interval.bytes`.
    pub interval: Option<Interval>,
    /// Its indexes made again, where that was asked for and something is wrong with them.
    pub rebuilt: Option<NewIndexes>,
    /// What was found.
    pub findings: Findings,
}

/// Goes over `segment`. `producers` is what is known at its start, and is carried on to its end.
pub fn check(
    segment: &Segment,
    place: Place,
    options: &Options,
    evidence: &mut Evidence,
    producers: &mut Producers,
    decompressor: &mut Decompressor,
    progress: &dyn Fn(u64),
) -> Result<SegmentReport, StorageError> {
    let mut findings = Findings::default();
    let offset_bytes = read_index(segment, SegmentFileKind::OffsetIndex, &mut findings);
    let time_bytes = read_index(segment, SegmentFileKind::TimeIndex, &mut findings);
    let report = SegmentReport {
        base: segment.base,
        log: segment.log.clone(),
        size_bytes: segment.log_len,
        records: Some(0),
        findings,
        ..SegmentReport::default()
    };
    let mut pass = Pass {
        segment,
        place,
        options,
        report,
        offset: offset_bytes.as_ref().map(|bytes| OffsetIndexCheck::new(OffsetIndex::from_file(segment.base, bytes))),
        time: time_bytes.as_ref().map(|bytes| TimeIndexCheck::new(TimeIndex::from_file(segment.base, bytes))),
        builder: options.rebuild.map(|rebuild| IndexBuilder::new(segment.base, rebuild.limits)),
    };
    pass.walk(evidence, producers, decompressor, progress)?;
    pass.finish(offset_bytes.as_ref(), time_bytes.as_ref(), producers)
}

fn read_index(segment: &Segment, kind: SegmentFileKind, findings: &mut Findings) -> Option<IndexBytes> {
    let path = segment.sibling(kind);
    match present(index::read(&path)) {
        Ok(found) => found,
        Err(error) => {
            findings.push(Finding::new(Fault::Unreadable, Grade::LosesData, path, error.kind.to_string()));
            None
        }
    }
}

struct Pass<'a> {
    segment: &'a Segment,
    place: Place,
    options: &'a Options,
    report: SegmentReport,
    offset: Option<OffsetIndexCheck<'a>>,
    time: Option<TimeIndexCheck<'a>>,
    builder: Option<IndexBuilder>,
}

impl Pass<'_> {
    fn log(&self, fault: Fault, grade: Grade, position: Position, message: String) -> Finding {
        Finding::new(fault, grade, &self.segment.log, message).at(position)
    }

    fn walk(
        &mut self,
        evidence: &mut Evidence,
        producers: &mut Producers,
        decompressor: &mut Decompressor,
        progress: &dyn Fn(u64),
    ) -> Result<(), StorageError> {
        let error = |error| StorageError::new(&self.segment.log, error);
        let depth = if self.options.depth == Depth::Headers { scan::Depth::Headers } else { scan::Depth::Crc };
        let options = ScanOptions {
            depth,
            base_offset: Some(self.segment.base),
            max_batch_bytes: self.options.max_batch_bytes as u64,
        };
        let mut scanner = open_scanner_with(self.segment, options)?;
        let mut told = 0;
        loop {
            let (placed, control) = match scanner.next().map_err(error)? {
                Step::Entry(entry) => {
                    let placed = Placed::of(&entry.frame, entry.position);
                    if let Some(doubt) = entry.doubt {
                        self.doubt(doubt, &placed);
                    }
                    // A batch out of place is judged as such; what it says of others would only mislead.
                    if matches!(entry.doubt, Some(Doubt::OffsetOrder { .. })) {
                        evidence.interrupt();
                        producers.interrupt();
                        if placed.last < self.segment.base {
                            self.report.below_base.get_or_insert(placed.last);
                        }
                        if let Some(offset) = &mut self.offset {
                            offset.damage(placed.position + placed.size);
                        }
                        continue;
                    }
                    if let Some(found) = evidence.contradiction(&entry.frame, entry.position, self.place.is_last) {
                        self.contradiction(&found, &placed);
                    }
                    self.batch(&entry.frame, &placed, decompressor);
                    let control = match entry.frame {
                        Frame::Batch(batch) if batch.producer_id().is_some() => {
                            if batch.is_control() {
                                true
                            } else {
                                producers.batch(&batch, &self.segment.log, placed.position, &mut self.report.findings);
                                false
                            }
                        }
                        _ => false,
                    };
                    (placed, control)
                }
                Step::Damage(damage) => {
                    evidence.interrupt();
                    producers.interrupt();
                    self.damage(&damage);
                    continue;
                }
                Step::End(position, tail) => {
                    self.tail(position, tail);
                    progress(self.segment.log_len.saturating_sub(told));
                    return Ok(());
                }
            };
            if control {
                // A marker is in the payload, which a pass over headers has not read.
                use crate::batch::scan::Source as _;
                let size = usize::try_from(placed.size).unwrap_or(0);
                let window = scanner.source_mut().window(placed.position, size).map_err(error)?;
                if let Some(Ok(Frame::Batch(batch))) = window.get(..size).map(Frame::parse) {
                    producers.batch(&batch, &self.segment.log, placed.position, &mut self.report.findings);
                }
            }
            let done = scanner.position().get();
            if done.saturating_sub(told) >= 1 << 20 {
                progress(done - told);
                told = done;
            }
        }
    }

    fn batch(&mut self, frame: &Frame<'_>, placed: &Placed, decompressor: &mut Decompressor) {
        let report = &mut self.report;
        let expected = report.next.unwrap_or(self.segment.base);
        if let Some(first) = placed.first {
            if report.first.is_some() && first > expected {
                report.hole_count += 1;
                if report.holes.len() < HOLES_MAX {
                    let position = Position::new(placed.position);
                    report.holes.push(Hole { from: expected, to: first, position });
                }
            }
            report.first.get_or_insert(first);
        }
        // A compressed wrapper tells its last offset only, and holds everything from the base on.
        report.first.get_or_insert(self.segment.base.min(placed.last));
        report.has_producers |= frame.producer_id().is_some();
        report.has_epochs |= frame.leader_epoch() != LeaderEpoch::NONE;
        report.next = report.next.max(Some(placed.last.next()));
        report.batches += 1;
        if let Some(builder) = &mut self.builder {
            let indexed = IndexedBatch {
                position: u32::try_from(placed.position).unwrap_or(u32::MAX),
                size_bytes: placed.size,
                last_offset: placed.last,
                max_timestamp_ms: placed.max_timestamp,
            };
            if builder.add(indexed).is_err() {
                self.builder = None;
            }
        }
        let indexed = self.offset.as_mut().is_some_and(|offset| offset.batch(placed));
        if let Some(time) = &mut self.time {
            time.batch(placed, indexed);
        }
        if let Err(reason) = frame.codec() {
            let finding = self.log(
                Fault::Records,
                Grade::LosesData,
                Position::new(placed.position),
                format!("{reason}; a consumer stops at this batch"),
            );
            self.report.records = None;
            self.report.findings.push(finding.offset(placed.first.unwrap_or(placed.last)).advice(Advice::Inspect));
            return;
        }
        if self.options.depth == Depth::Deep {
            self.records(frame, placed, decompressor);
            return;
        }
        let count = match frame {
            Frame::Batch(batch) => u64::try_from(batch.record_count()).ok(),
            Frame::Message(_) if frame.codec() == Ok(crate::types::Codec::None) => Some(1),
            Frame::Message(_) => None,
        };
        if let Frame::Batch(batch) = frame {
            self.report.was_cleaned |= batch.record_count() <= batch.last_offset_delta();
        }
        self.report.records = self.report.records.zip(count).map(|(known, more)| known + more);
    }

    fn records(&mut self, frame: &Frame<'_>, placed: &Placed, decompressor: &mut Decompressor) {
        let first = placed.first.unwrap_or(self.segment.base);
        let (mut count, mut last, mut wrong, mut bytes) = (0, None::<Offset>, None, 0);
        let read = frame.records(decompressor).and_then(|records| {
            records.visit(|record| {
                count += 1;
                bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
                let at = record.offset;
                if at < first || at > placed.last {
                    wrong = Some(format!("record {count} has offset {at}, the batch holds {first}..={}", placed.last));
                    return ControlFlow::Break(());
                }
                if last.is_some_and(|last| at <= last) {
                    wrong = Some(format!("record {count} has offset {at}, which does not follow the record before"));
                    return ControlFlow::Break(());
                }
                last = Some(at);
                ControlFlow::Continue(())
            })
        });
        let wrong = match read {
            Ok(_) => wrong,
            Err(error) => Some(error.to_string()),
        };
        if let Frame::Batch(batch) = frame {
            let declared = i64::from(batch.record_count());
            if wrong.is_none() && declared != count {
                wrong_count(self, placed, declared, count);
            }
            self.report.was_cleaned |= batch.record_count() <= batch.last_offset_delta();
        }
        if let Some(wrong) = wrong {
            let position = Position::new(placed.position);
            let said = format!("{wrong}; a consumer stops at this batch");
            let finding = self.log(Fault::Records, Grade::LosesData, position, said);
            self.report.findings.push(finding.offset(first).advice(Advice::Inspect));
        }
        let size = usize::try_from(placed.size).unwrap_or(usize::MAX);
        if bytes > INFLATES_BYTES && bytes / INFLATES_RATIO > size {
            let said =
                format!("{size} bytes hold {bytes} bytes of keys and values: a consumer needs the memory for it");
            let finding = self.log(Fault::Inflates, Grade::Cosmetic, Position::new(placed.position), said);
            self.report.findings.push(finding.offset(first).advice(Advice::Inspect));
        }
        self.report.records = self.report.records.map(|known| known + u64::try_from(count).unwrap_or(0));

        fn wrong_count(pass: &mut Pass<'_>, placed: &Placed, declared: i64, count: i64) {
            let said = format!("{declared} records declared, {count} found; a consumer stops at this batch");
            let finding = pass.log(Fault::Records, Grade::LosesData, Position::new(placed.position), said);
            pass.report.findings.push(finding.offset(placed.first.unwrap_or(placed.last)).advice(Advice::Inspect));
        }
    }

    fn doubt(&mut self, doubt: Doubt, placed: &Placed) {
        let (fault, advice, then) = match doubt {
            Doubt::OffsetOrder { .. } => {
                (Fault::OffsetOrder, Advice::Salvage, "; a broker that recovers the log empties the whole segment")
            }
            Doubt::EpochFell { .. } => (Fault::EpochOrder, Advice::Inspect, "; no checksum covers it"),
        };
        let position = Position::new(placed.position);
        let finding = self.log(fault, Grade::LosesData, position, format!("{doubt}{then}"));
        self.report.findings.push(finding.offset(placed.first.unwrap_or(placed.last)).advice(advice));
    }

    fn contradiction(&mut self, found: &Contradiction, placed: &Placed) {
        let fault = match found {
            Contradiction::Epoch { .. } => Fault::EpochOrder,
            Contradiction::Offset { .. } => Fault::Gap,
        };
        let finding = self.log(fault, Grade::LosesData, Position::new(placed.position), found.to_string());
        self.report.findings.push(finding.offset(placed.first.unwrap_or(placed.last)).advice(Advice::Inspect));
    }

    fn damage(&mut self, damage: &Damage) {
        self.report.is_damaged = true;
        if let Some(offset) = &mut self.offset {
            offset.damage(damage.end.get());
        }
        if let Some(time) = &mut self.time {
            time.damage();
        }
        let bytes = damage.end.get() - damage.position.get();
        let from = damage.expected.unwrap_or(self.segment.base);
        let lost = match damage.next {
            Some(next) if next > from => format!("offsets {from}..{next} cannot be read"),
            _ => format!("offsets from {from} on cannot be read"),
        };
        let said = format!("{}; {bytes} bytes hold no sound batch, {lost}", damage.reason);
        let finding = self.log(Fault::Damage, Grade::LosesData, damage.position, said);
        self.report.findings.push(finding.offset(from).advice(Advice::Salvage));
        // What is behind is judged by itself.
        if let Some(next) = damage.next {
            self.report.next = self.report.next.max(Some(next));
        }
    }

    fn tail(&mut self, position: Position, tail: Tail) {
        let Place { is_last, is_trusted, .. } = self.place;
        let (fault, bytes, said) = match tail {
            Tail::Clean => return,
            Tail::Torn { bytes, needed: Some(needed) } => {
                (Fault::TornTail, bytes, format!("the log ends inside a batch: {bytes} bytes of {needed} are there"))
            }
            Tail::Torn { bytes, needed: None } => {
                (Fault::TornTail, bytes, format!("the log ends inside a batch: {bytes} bytes of its header are there"))
            }
            Tail::Zeros { bytes } => (Fault::ZeroTail, bytes, format!("the log ends in {bytes} zero bytes")),
        };
        self.report.tail_bytes = bytes;
        let (grade, advice, then) = match (is_last, is_trusted, fault) {
            (false, ..) => {
                self.report.is_damaged = true;
                (Grade::LosesData, Advice::Salvage, ", though segments follow: what stood there is lost")
            }
            (true, true, Fault::ZeroTail) if bytes > 17 => (
                Grade::StopsBroker,
                Advice::Recover,
                ", and a broker that trusts the clean shutdown marker fails on them",
            ),
            (true, true, Fault::TornTail) => {
                let then = ", and a broker that trusts the clean shutdown marker may take the log to end far before";
                (Grade::LosesData, Advice::Recover, then)
            }
            _ => (Grade::Cosmetic, Advice::Recover, ", as a crash or a copy of a live log leaves it; a broker cuts it"),
        };
        let finding = self.log(fault, grade, position, format!("{said}{then}"));
        let next = self.report.next.unwrap_or(self.segment.base);
        self.report.findings.push(finding.offset(next).advice(advice));
    }

    fn finish(
        mut self,
        offset_bytes: Option<&IndexBytes>,
        time_bytes: Option<&IndexBytes>,
        producers: &mut Producers,
    ) -> Result<SegmentReport, StorageError> {
        let len = self.segment.log_len - self.report.tail_bytes;
        self.finish_offset_index(offset_bytes, len);
        self.finish_time_index(time_bytes);
        let aborted = self.finish_txn_index(producers);
        self.finish_rebuild(aborted);
        Ok(self.report)
    }

    fn finish_offset_index(&mut self, bytes: Option<&IndexBytes>, len: u64) {
        let path = self.segment.sibling(SegmentFileKind::OffsetIndex);
        let (Some(check), Some(bytes)) = (self.offset.take(), bytes) else {
            return self.missing(SegmentFileKind::OffsetIndex, path, "offset");
        };
        let (result, interval) = check.finish(len);
        self.told(Fault::OffsetIndex, &path, &result);
        let index = OffsetIndex::from_file(self.segment.base, bytes);
        self.report.interval = Some(interval).filter(|_| matches!(result, IndexResult::Exact));
        self.index(IndexReport {
            kind: SegmentFileKind::OffsetIndex,
            path,
            entries: index.len(),
            padding: index.raw_entries() - index.len(),
            trailing_bytes: index.trailing_bytes(),
            result: Some(result),
        });
    }

    fn finish_time_index(&mut self, bytes: Option<&IndexBytes>) {
        let path = self.segment.sibling(SegmentFileKind::TimeIndex);
        let (Some(check), Some(bytes)) = (self.time.take(), bytes) else {
            return self.missing(SegmentFileKind::TimeIndex, path, "time");
        };
        let closed = !self.place.is_last || self.place.is_trusted;
        let TimeIndexOutcome { result, missing_closing } = check.finish(closed);
        self.told(Fault::TimeIndex, &path, &result);
        let index = TimeIndex::from_file(self.segment.base, bytes);
        if let (Some(entry), false) = (missing_closing, matches!(result, IndexResult::Corrupt(_))) {
            let said = format!(
                "the entry that closing adds is missing: the segment's largest timestamp is {}, the last entry's {}; retention by time and look-ups use it",
                entry.timestamp,
                index.last().map_or(NO_TIMESTAMP, |entry| entry.timestamp),
            );
            let finding = Finding::new(Fault::ClosingEntry, Grade::Slows, &path, said).offset(entry.offset);
            self.report.findings.push(finding.advice(Advice::RebuildIndexes));
        }
        self.index(IndexReport {
            kind: SegmentFileKind::TimeIndex,
            path,
            entries: index.len(),
            padding: index.raw_entries() - index.len(),
            trailing_bytes: index.trailing_bytes(),
            result: Some(result),
        });
    }

    /// Answers the bytes of an index made again, where what it needs is known.
    fn finish_txn_index(&mut self, producers: &mut Producers) -> Option<Vec<u8>> {
        let path = self.segment.sibling(SegmentFileKind::TxnIndex);
        let is_known = producers.is_known();
        let mut expected = producers.take_aborted();
        expected.is_compacted = self.place.is_compacted || self.report.was_cleaned;
        let made = expected.entries.iter().flat_map(AbortedTxn::to_bytes).collect();
        let mut report = IndexReport {
            kind: SegmentFileKind::TxnIndex,
            path,
            entries: 0,
            padding: 0,
            trailing_bytes: 0,
            result: None,
        };
        let bytes = match present(index::read(&report.path)) {
            Ok(bytes) => bytes,
            Err(error) => {
                let finding = Finding::new(Fault::Unreadable, Grade::LosesData, &report.path, error.kind.to_string());
                self.report.findings.push(finding);
                self.index(report);
                return None;
            }
        };
        if self.report.is_damaged {
            // What damaged bytes held may be what the index lists.
            expected.known_from = Offset::MAX;
        }
        let Some(bytes) = bytes else {
            let first = expected.entries.first()?;
            let said = format!(
                "not there, though {} transactions were aborted in the segment, the first at {}..={}: their records show to readers of committed ones",
                expected.entries.len(),
                first.first_offset,
                first.last_offset
            );
            let finding = Finding::new(Fault::TxnIndex, Grade::LosesData, &report.path, said);
            self.report.findings.push(finding.offset(first.first_offset).advice(Advice::RebuildIndexes));
            self.index(report);
            return is_known.then_some(made);
        };
        // Zeros count here: the file is never preallocated.
        let mut whole = bytes.bytes().to_vec();
        whole.resize(bytes.file_len(), 0);
        let index = TxnIndex::new(self.segment.base, &whole);
        let result = super::txn_index::check(&index, &expected);
        match index.sanity_check() {
            Err(error @ TxnIndexError::Version { .. }) => {
                let said = format!("{error}; a broker fails on it instead of making the index again");
                let finding = Finding::new(Fault::TxnIndex, Grade::StopsBroker, &report.path, said);
                self.report.findings.push(finding.advice(Advice::RebuildIndexes));
            }
            _ => self.told(Fault::TxnIndex, &report.path, &result),
        }
        report.entries = index.len();
        report.trailing_bytes = index.trailing_bytes();
        report.result = Some(result);
        self.index(report);
        is_known.then_some(made)
    }

    /// Keeps the indexes made again where something is wrong with those there are.
    fn finish_rebuild(&mut self, txn: Option<Vec<u8>>) {
        let (Some(mut builder), Some(rebuild)) = (self.builder.take(), self.options.rebuild) else { return };
        // Of a damaged log no index can tell the truth.
        if self.report.is_damaged {
            return;
        }
        builder.close();
        let NewEntries { offset, time } = builder.take();
        let findings = self.report.findings.told();
        let is_due = |kind: SegmentFileKind| {
            let path = self.segment.sibling(kind);
            let is_wrong = |finding: &Finding| finding.advice == Advice::RebuildIndexes && finding.path == path;
            rebuild.all || findings.iter().any(is_wrong)
        };
        let is_empty = |report: &IndexReport| report.kind == SegmentFileKind::OffsetIndex && report.entries == 0;
        let is_sparse = !offset.is_empty() && self.report.indexes.iter().any(is_empty);
        let made = NewIndexes {
            offset: (is_sparse || is_due(SegmentFileKind::OffsetIndex)).then_some(offset),
            time: is_due(SegmentFileKind::TimeIndex).then_some(time),
            txn: txn.filter(|_| is_due(SegmentFileKind::TxnIndex)),
        };
        self.report.rebuilt =
            Some(made).filter(|made| made.offset.is_some() || made.time.is_some() || made.txn.is_some());
    }

    fn told(&mut self, fault: Fault, path: &std::path::Path, result: &IndexResult) {
        let finding = match result {
            IndexResult::Exact | IndexResult::Equivalent { odd: None } => return,
            IndexResult::Equivalent { odd: Some(odd) } => {
                Finding::new(Fault::IndexOdd, Grade::Cosmetic, path, format!("{odd}; look-ups work"))
            }
            IndexResult::Corrupt(corrupt) => {
                let finding = Finding::new(fault, Grade::LosesData, path, corrupt.to_string());
                finding.advice(Advice::RebuildIndexes)
            }
        };
        self.report.findings.push(finding);
    }

    /// Notes an index, and tells of what stands behind its entries.
    fn index(&mut self, report: IndexReport) {
        let IndexReport { path, padding, trailing_bytes, .. } = &report;
        if *padding > 0 {
            let is_active = self.place.is_last && !self.place.is_trusted;
            let said = format!("{padding} entries of zeros behind the last one");
            let (grade, then) = match is_active {
                true => (Grade::Cosmetic, ", as a broker that runs or was killed leaves them"),
                false => (Grade::Slows, "; a closed index has none, and a broker takes them for entries"),
            };
            let finding = Finding::new(Fault::IndexPadding, grade, path, format!("{said}{then}"));
            // A broker that runs or recovers sees to it by itself.
            let advice = if is_active { Advice::Nothing } else { Advice::RebuildIndexes };
            self.report.findings.push(finding.advice(advice));
        }
        if *trailing_bytes > 0 {
            let said = format!("{trailing_bytes} bytes behind the last whole entry, which Kafka ignores");
            let finding = Finding::new(Fault::IndexBytes, Grade::Cosmetic, path, said);
            self.report.findings.push(finding.advice(Advice::RebuildIndexes));
        }
        self.report.indexes.push(report);
    }

    fn missing(&mut self, kind: SegmentFileKind, path: PathBuf, what: &str) {
        // Made on first use: an empty segment that is still written to may have none.
        if self.place.is_last && self.report.batches == 0 {
            return;
        }
        let is_told = self.report.findings.told().iter().any(|finding| finding.path == path);
        if !is_told {
            let said = format!("the {what} index is not there; a broker reads the segment through to make it again");
            let finding = Finding::new(Fault::IndexMissing, Grade::Slows, &path, said);
            self.report.findings.push(finding.advice(Advice::RebuildIndexes));
        }
        self.index(IndexReport { kind, path, entries: 0, padding: 0, trailing_bytes: 0, result: None });
    }
}
