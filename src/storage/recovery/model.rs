//! `LogLoader.load` on a model of the directory: segments and snapshots as they will be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Change, Changes, CutReason, LoadError, LoadOptions, Loss, Plan, RebuildReason, Rebuilt};
use crate::batch::Frame;
use crate::batch::walk::{Stop, Walker};
use crate::storage::file_source::FileSource;
use crate::storage::fs::{self, StorageError};
use crate::storage::index::build::{IndexBuilder, IndexError, IndexedBatch};
use crate::storage::index::offset::OffsetIndex;
use crate::storage::index::txn::{AbortedTxn, TxnIndex, TxnIndexError};
use crate::storage::index::{self, IndexBytes};
use crate::storage::leader_epochs::{self, LeaderEpochs};
use crate::storage::names::{FileState, PartitionFile, SegmentFileKind, SegmentFileName, segment_file_name};
use crate::storage::partition::present;
use crate::storage::producer_states::ProducerStates;
use crate::storage::writer::segment::{LookupError, find_offset};
use crate::types::{LeaderEpoch, Offset, Position};

/// A segment as it will be.
#[derive(Debug)]
pub(super) struct ModelSegment {
    pub(super) base: Offset,
    /// Where its log lies now.
    pub(super) log: PathBuf,
    /// Length of the log, now and then.
    disk_len: u64,
    pub(super) len: u64,
    /// Offset index, now or made again.
    offset_index: Content,
    time_index: Content,
    txn_index: Content,
    /// Known after it was recovered, where its offsets are in order: one above its last batch.
    next_offset: Option<Offset>,
}

/// A file as it will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Missing,
    /// As it is, here.
    OnDisk(PathBuf),
    New(Vec<u8>),
}

impl ModelSegment {
    pub(super) fn source(&self) -> Result<FileSource, StorageError> {
        File::open(&self.log)
            .and_then(|file| FileSource::up_to(file, self.len))
            .map_err(|error| StorageError::new(&self.log, error))
    }

    fn offset_bytes(&self) -> Result<IndexBytes, StorageError> {
        match &self.offset_index {
            Content::Missing => Ok(IndexBytes::default()),
            Content::OnDisk(path) => index::read(path),
            Content::New(bytes) => Ok(IndexBytes::of(bytes.clone())),
        }
    }

    /// Position of the batch that holds `offset` or follows it (`LogSegment.translateOffset`).
    pub(super) fn translate(&self, offset: Offset) -> Result<Option<Position>, LoadError> {
        let bytes = self.offset_bytes()?;
        let start = OffsetIndex::from_file(self.base, &bytes).raw_lookup(offset).position().unwrap_or(Position::ZERO);
        find_offset(&mut Walker::headers(self.source()?, start), offset).map_err(|error| match error {
            LookupError::Io(error) => StorageError::new(&self.log, error).into(),
            LookupError::Corrupt { position, reason } => {
                LoadError::Corrupt { path: self.log.clone(), position, reason }
            }
        })
    }

    /// One above its last offset, as far as its index leads there (`LogSegment.readNextOffset`).
    fn read_next_offset(&self) -> Result<Offset, LoadError> {
        if let Some(next) = self.next_offset {
            return Ok(next);
        }
        let bytes = self.offset_bytes()?;
        let offsets = OffsetIndex::from_file(self.base, &bytes);
        let last = offsets.raw_entries().checked_sub(1).and_then(|at| offsets.get(at));
        let Some(position) = self.translate(last.map_or(self.base, |entry| entry.offset))? else {
            return Ok(self.base);
        };
        let mut walker = Walker::headers(self.source()?, position);
        let mut next = self.base;
        loop {
            match walker.step().map_err(|error| StorageError::new(&self.log, error))? {
                Ok(walked) => next = walked.frame.last_offset().next(),
                Err(Stop::Corrupt(reason)) => {
                    return Err(LoadError::Corrupt { path: self.log.clone(), position: walker.position(), reason });
                }
                Err(Stop::End | Stop::Cut { .. }) => return Ok(next),
            }
        }
    }

    /// A segment without batches.
    fn empty(dir: &Path, base: Offset) -> ModelSegment {
        ModelSegment {
            base,
            log: dir.join(segment_file_name(base, SegmentFileKind::Log)),
            disk_len: 0,
            len: 0,
            offset_index: Content::New(Vec::new()),
            time_index: Content::New(Vec::new()),
            txn_index: Content::Missing,
            next_offset: Some(base),
        }
    }

    /// Removes all batches, as Kafka does with a segment whose offsets are out of order.
    fn clear(&mut self) {
        self.len = 0;
        self.offset_index = Content::New(Vec::new());
        self.time_index = Content::New(Vec::new());
        if self.txn_index != Content::Missing {
            self.txn_index = Content::New(Vec::new());
        }
        self.next_offset = Some(self.base);
    }
}

/// The directory while it is loaded.
pub(super) struct Model<'a> {
    pub(super) dir: &'a Path,
    pub(super) options: &'a LoadOptions,
    pub(super) segments: BTreeMap<Offset, ModelSegment>,
    /// Producer snapshots, by offset.
    pub(super) snapshots: BTreeMap<Offset, Content>,
    pub(super) epochs: LeaderEpochs,
    /// Files by their final names, and where they lie now.
    files: BTreeMap<String, PathBuf>,
    changes: Changes,
    losses: Vec<Loss>,
    rebuilt: Vec<Rebuilt>,
    /// Segments that go, and the snapshots at their bases.
    dropped: Vec<ModelSegment>,
    dropped_snapshots: BTreeSet<Offset>,
}

/// Whether a broker that starts takes a file of this name for a segment.
fn is_log_in_use(name: &str) -> bool {
    matches!(
        PartitionFile::parse(name.as_ref()),
        PartitionFile::Segment(file) if file.kind == SegmentFileKind::Log && matches!(file.state, FileState::Live | FileState::Swap)
    )
}

/// What opening the directory as `options` say comes to. Reads only.
pub fn plan(dir: &Path, options: &LoadOptions) -> Result<Plan, LoadError> {
    let mut model = Model::load(dir, options)?;
    let (recovery_point, log_end) = model.recover_log()?;
    model.epochs.truncate_from_end(log_end);
    let first = model.segments.keys().next().copied().unwrap_or(options.log_start);
    let log_start = options.log_start.max(first);
    model.epochs.truncate_from_start(options.log_start);
    // Below the log start there is nothing to recover (`UnifiedLog.updateLogStartOffset`).
    let recovery_point = recovery_point.max(log_start);
    model.remove_stray_snapshots();
    let mut producers = ProducerStates::new(Offset::ZERO);
    model.rebuild_producers(&mut producers, log_start, log_end, options.clean)?;
    model.into_plan(producers, recovery_point, log_start, log_end)
}

/// As [`plan`], of a directory that a broker knows to be of a deleted topic, by its `-delete` name: nothing is
/// recovered, and it counts as empty.
pub fn plan_deleted(dir: &Path, options: &LoadOptions) -> Result<Plan, LoadError> {
    let mut model = Model::load(dir, options)?;
    let zero = Offset::ZERO;
    if model.segments.is_empty() {
        model.segments.insert(zero, ModelSegment::empty(dir, zero));
    }
    model.epochs.truncate_from_end(zero);
    let log_start = options.log_start.max(model.segments.keys().next().copied().unwrap_or(zero));
    model.into_plan(ProducerStates::new(zero), zero, log_start, zero)
}

impl<'a> Model<'a> {
    /// The segments as they are there once left-overs are out of the way.
    fn load(dir: &'a Path, options: &'a LoadOptions) -> Result<Model<'a>, LoadError> {
        let mut model = Model {
            dir,
            options,
            segments: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            epochs: LeaderEpochs::new(),
            files: BTreeMap::new(),
            changes: Changes::default(),
            losses: Vec::new(),
            rebuilt: Vec::new(),
            dropped: Vec::new(),
            dropped_snapshots: BTreeSet::new(),
        };
        model.finish_interrupted_work()?;
        let epochs_path = dir.join(leader_epochs::FILE_NAME);
        model.epochs = present(leader_epochs::read(&epochs_path))?.unwrap_or_default();
        model.load_segments()?;
        Ok(model)
    }
}

impl Model<'_> {
    /// Steps 1 to 3: left-overs of deletion, cleaning and splitting.
    fn finish_interrupted_work(&mut self) -> Result<(), LoadError> {
        let unreadable = |error| StorageError::new(self.dir, error);
        let mut names: Vec<(String, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(self.dir).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            // Names that are not UTF-8 are none of Kafka's.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if fs::is_file(&entry.path())? {
                names.push((name, entry.path()));
            } else if is_log_in_use(&name) {
                self.losses.push(Loss::NotAFile { log: entry.path() });
            }
        }
        names.sort();
        let state_of = |name: &str| match PartitionFile::parse(name.as_ref()) {
            PartitionFile::Segment(file) => Some((file.offset, file.kind, file.state)),
            _ => None,
        };
        let is = |name: &str, state: FileState| name.ends_with(state.suffix());
        let cleaned = names.iter().filter(|(name, _)| is(name, FileState::Cleaned));
        let min_cleaned = cleaned.filter_map(|(name, _)| state_of(name)).map(|(offset, ..)| offset).min();
        let mut swaps = Vec::new();
        for (name, path) in names {
            // Kafka takes the offset of every such file.
            let is_number = name.split('.').next().is_some_and(|digits| digits.parse::<i64>().is_ok());
            if is(&name, FileState::Cleaned) && !is_number {
                return Err(LoadError::Name { path });
            }
            if (is(&name, FileState::Deleted) && !name.ends_with(".checkpoint.deleted"))
                || is(&name, FileState::Cleaned)
            {
                self.changes.early.push(Change::Remove(path));
            } else if is(&name, FileState::Swap) {
                match (state_of(&name), min_cleaned) {
                    (Some((offset, ..)), Some(min)) if offset >= min => {
                        self.changes.stale.push(Change::Remove(path));
                    }
                    (Some((_, kind, _)), _) => swaps.push((name, path, kind)),
                    // Kafka takes the offset of every such file.
                    (None, _) => return Err(LoadError::Name { path }),
                }
            } else {
                self.files.insert(name, path);
            }
        }
        self.put_swaps_in_place(swaps, state_of)
    }

    fn put_swaps_in_place(
        &mut self,
        swaps: Vec<(String, PathBuf, SegmentFileKind)>,
        state_of: impl Fn(&str) -> Option<(Offset, SegmentFileKind, FileState)>,
    ) -> Result<(), LoadError> {
        let mut range: Option<(Offset, Offset)> = None;
        for (name, path, kind) in &swaps {
            let (Some((base, ..)), SegmentFileKind::Log) = (state_of(name), kind) else { continue };
            let disk_len = std::fs::metadata(path).map_err(|error| StorageError::new(path, error))?.len();
            let index = self.dir.join(segment_file_name(base, SegmentFileKind::OffsetIndex) + FileState::Swap.suffix());
            let segment = ModelSegment {
                log: path.clone(),
                disk_len,
                len: disk_len,
                offset_index: if index.is_file() { Content::OnDisk(index) } else { Content::Missing },
                next_offset: None,
                ..ModelSegment::empty(self.dir, base)
            };
            let next = segment.read_next_offset()?;
            let (min, max) = range.unwrap_or((base, next));
            range = Some((min.min(base), max.max(next)));
        }
        if let Some((min, max)) = range {
            // Segment files and snapshots alike: whatever starts with an offset in the range.
            let replaced = self.files.extract_if(.., |name, _| {
                name.split_once('.').and_then(|(digits, _)| digits.parse().ok()).is_some_and(|offset: i64| {
                    let offset = Offset::new(offset);
                    offset >= min && offset < max
                })
            });
            let replaced: Vec<_> = replaced.map(|(_, path)| Change::Remove(path)).collect();
            self.changes.early.extend(replaced);
        }
        for (name, path, _) in swaps {
            let plain = name.strip_suffix(FileState::Swap.suffix()).unwrap_or(&name).to_owned();
            self.changes.swapped.push(Change::Rename { from: path.clone(), to: self.dir.join(&plain) });
            self.files.insert(plain, path);
        }
        Ok(())
    }

    /// Step 4: opens every segment; those without an offset index are recovered at once.
    fn load_segments(&mut self) -> Result<(), LoadError> {
        let files: Vec<(String, PathBuf)> = self.files.iter().map(|(n, p)| (n.clone(), p.clone())).collect();
        for (name, path) in &files {
            match PartitionFile::parse(name.as_ref()) {
                PartitionFile::Segment(SegmentFileName { offset, kind: SegmentFileKind::Snapshot, .. }) => {
                    self.snapshots.insert(offset, Content::OnDisk(path.clone()));
                }
                // Of a snapshot too: `ProducerStateManager.listSnapshotFiles` makes a number of what is before the dot.
                PartitionFile::NotAnOffset { state: FileState::Live, .. } => {
                    return Err(LoadError::Name { path: path.clone() });
                }
                _ => {}
            }
        }
        for (name, path) in files {
            let PartitionFile::Segment(SegmentFileName { offset: base, kind, .. }) =
                PartitionFile::parse(name.as_ref())
            else {
                continue;
            };
            let sibling = |kind| self.files.get(&segment_file_name(base, kind)).cloned();
            let on_disk = |kind| sibling(kind).map_or(Content::Missing, Content::OnDisk);
            match kind {
                SegmentFileKind::Snapshot => {}
                SegmentFileKind::OffsetIndex | SegmentFileKind::TimeIndex | SegmentFileKind::TxnIndex => {
                    if sibling(SegmentFileKind::Log).is_none() {
                        self.changes.early.push(Change::Remove(self.dir.join(&name)));
                    }
                }
                SegmentFileKind::Log => {
                    let disk_len = std::fs::metadata(&path).map_err(|error| StorageError::new(&path, error))?.len();
                    let mut segment = ModelSegment {
                        base,
                        log: path,
                        disk_len,
                        len: disk_len,
                        offset_index: on_disk(SegmentFileKind::OffsetIndex),
                        time_index: match on_disk(SegmentFileKind::TimeIndex) {
                            Content::Missing => Content::New(Vec::new()),
                            other => other,
                        },
                        txn_index: on_disk(SegmentFileKind::TxnIndex),
                        next_offset: None,
                    };
                    let why = if segment.offset_index == Content::Missing {
                        Some(RebuildReason::NoOffsetIndex)
                    } else {
                        (!txn_index_is_sane(&segment)?).then_some(RebuildReason::TxnIndex)
                    };
                    if let Some(why) = why {
                        let producers = self.producers_at(base)?;
                        match self.recover_segment(&mut segment, why, producers)? {
                            Ok(stop) => self.note_cut(&segment, stop)?,
                            Err(reason) => return Err(LoadError::Index { path: segment.log, reason }),
                        }
                    }
                    self.segments.insert(base, segment);
                }
            }
        }
        Ok(())
    }

    /// `LogLoader.recoverLog`: the recovery point and the log end offset.
    fn recover_log(&mut self) -> Result<(Offset, Offset), LoadError> {
        let LoadOptions { clean, recovery_point, log_start, .. } = *self.options;
        if !clean {
            let floor = self.segments.range(..=recovery_point).next_back().map(|(base, _)| *base);
            let bases: Vec<Offset> =
                self.segments.range(floor.unwrap_or(Offset::new(i64::MIN))..).map(|(b, _)| *b).collect();
            for base in bases {
                // With the segment in its place: where snapshots are taken depends on the last ones.
                let producers = self.producers_at(base)?;
                let Some(mut segment) = self.segments.remove(&base) else { continue };
                // What was cut while it was loaded, for want of an index, does not count: Kafka keeps what follows.
                let loaded_len = segment.len;
                let outcome = self.recover_segment(&mut segment, RebuildReason::Unflushed, producers)?;
                let cut = match outcome {
                    Ok(stop) => {
                        let cut = segment.len < loaded_len;
                        if cut {
                            self.note_cut(&segment, stop)?;
                        }
                        cut
                    }
                    Err(IndexError::OffsetOrder { .. }) => {
                        let reason = outcome.err();
                        segment.clear();
                        if let Some(reason) = reason {
                            self.losses.push(Loss::Cut {
                                log: segment.log.clone(),
                                position: Position::ZERO,
                                bytes: segment.disk_len,
                                why: CutReason::Order(reason),
                                next_offset: base,
                            });
                        }
                        loaded_len > 0
                    }
                    Err(reason) => return Err(LoadError::Index { path: segment.log, reason }),
                };
                self.segments.insert(base, segment);
                if cut {
                    let behind = self.segments.split_off(&base.next());
                    self.drop_segments(behind.into_values());
                    break;
                }
            }
        }
        let mut known_end = None;
        if let Some((_, last)) = self.segments.last_key_value() {
            let log_end = last.read_next_offset()?;
            if log_end >= log_start {
                known_end = Some(log_end);
            } else {
                let all = std::mem::take(&mut self.segments);
                self.drop_segments(all.into_values());
                self.epochs = LeaderEpochs::new();
                self.snapshots.clear();
            }
        }
        if self.segments.is_empty() {
            self.segments.insert(log_start, ModelSegment::empty(self.dir, log_start));
        }
        Ok(match known_end {
            Some(end) if clean => (end, end),
            Some(end) => (recovery_point.min(end), end),
            None => (recovery_point.min(log_start), log_start),
        })
    }

    fn drop_segments(&mut self, segments: impl Iterator<Item = ModelSegment>) {
        for segment in segments {
            self.losses.push(Loss::Segment { log: segment.log.clone(), bytes: segment.disk_len });
            // Those above a recovered segment are gone already, as its producers were rebuilt without them; one
            // made again since goes too, if one of its name was there from the start.
            let name = segment_file_name(segment.base, SegmentFileKind::Snapshot);
            if self.files.contains_key(&name)
                && let Some(Content::OnDisk(_)) = self.snapshots.remove(&segment.base)
            {
                self.dropped_snapshots.insert(segment.base);
            }
            self.dropped.push(segment);
        }
    }

    /// What is known of producers where a segment starts that is to be recovered.
    fn producers_at(&mut self, base: Offset) -> Result<ProducerStates, LoadError> {
        let mut producers = ProducerStates::new(Offset::ZERO);
        self.rebuild_producers(&mut producers, self.options.log_start, base, false)?;
        Ok(producers)
    }

    /// `LogSegment.recover`: how the walk ended, or which entry the indexes refused.
    fn recover_segment(
        &mut self,
        segment: &mut ModelSegment,
        why: RebuildReason,
        mut producers: ProducerStates,
    ) -> Result<Result<Stop, IndexError>, LoadError> {
        self.rebuilt.push(Rebuilt { base: segment.base, why });
        let mut builder = IndexBuilder::new(segment.base, self.options.config.index_limits());
        let mut aborted: Vec<AbortedTxn> = Vec::new();
        let mut next = segment.base;
        let mut in_order = true;
        let mut walker = Walker::new(segment.source()?);
        let stop = loop {
            let step = walker.step().map_err(|error| StorageError::new(&segment.log, error))?;
            let walked = match step {
                Ok(walked) => walked,
                Err(stop) => break stop,
            };
            let frame = walked.frame;
            let last_offset = frame.last_offset();
            let indexed = IndexedBatch {
                // Kafka's positions are 31 bits; a longer file does not open there either.
                position: u32::try_from(walked.position.get()).unwrap_or(u32::MAX),
                size_bytes: walked.size_bytes,
                last_offset,
                max_timestamp_ms: frame.max_timestamp_ms(),
            };
            match builder.add(indexed) {
                Ok(()) => {}
                Err(IndexError::Range { offset, .. }) => {
                    return Err(LoadError::Overflow { path: segment.log.clone(), offset });
                }
                Err(error) => return Ok(Err(error)),
            }
            in_order &= last_offset >= next && frame.base_offset().unwrap_or(last_offset) >= next;
            next = last_offset.next();
            if let Frame::Batch(batch) = &frame {
                let epoch = batch.leader_epoch();
                if epoch >= LeaderEpoch(0) && self.epochs.latest().is_none_or(|latest| epoch > latest.epoch) {
                    // A negative base offset is the only thing it refuses.
                    let _ = self.epochs.assign(epoch, batch.base_offset());
                }
                let completed = producers
                    .replay(batch)
                    .map_err(|refusal| LoadError::Producer { path: segment.log.clone(), refusal })?;
                aborted.extend(completed.and_then(|txn| txn.index_entry()));
                producers.set_map_end(next);
            }
        };
        segment.len = walker.position().get();
        builder.close();
        let entries = builder.take();
        segment.offset_index = self.content(&segment.offset_index, entries.offset)?;
        segment.time_index = self.content(&segment.time_index, entries.time)?;
        let aborted: Vec<u8> = aborted.iter().flat_map(AbortedTxn::to_bytes).collect();
        if segment.txn_index != Content::Missing || !aborted.is_empty() {
            segment.txn_index = self.content(&segment.txn_index, aborted)?;
        }
        // Where offsets go back, which only the index would have noticed, Kafka ends where the new index leads.
        segment.next_offset = in_order.then_some(next);
        self.take_snapshot(&mut producers);
        Ok(Ok(stop))
    }

    /// `bytes`, or what is on disk if that is the same: a plan keeps only what it will write.
    fn content(&self, now: &Content, bytes: Vec<u8>) -> Result<Content, StorageError> {
        let Content::OnDisk(path) = now else { return Ok(Content::New(bytes)) };
        let unreadable = |error| StorageError::new(path, error);
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.len() != bytes.len() as u64 {
            return Ok(Content::New(bytes));
        }
        let mut stored = Vec::with_capacity(bytes.len());
        file.take(bytes.len() as u64 + 1).read_to_end(&mut stored).map_err(unreadable)?;
        Ok(if stored == bytes { Content::OnDisk(path.clone()) } else { Content::New(bytes) })
    }

    /// Notes what a recovered segment loses; zeros behind the last batch are nothing to lose.
    fn note_cut(&mut self, segment: &ModelSegment, stop: Stop) -> Result<(), StorageError> {
        let Some(why) = CutReason::of(stop) else { return Ok(()) };
        if ends_in_zeros(segment).map_err(|error| StorageError::new(&segment.log, error))? {
            return Ok(());
        }
        self.losses.push(Loss::Cut {
            log: segment.log.clone(),
            position: Position::new(segment.len),
            bytes: segment.disk_len - segment.len,
            why,
            next_offset: segment.next_offset.unwrap_or(segment.base),
        });
        Ok(())
    }

    /// `ProducerStateManager.removeStraySnapshots`.
    fn remove_stray_snapshots(&mut self) {
        let is_base = |offset: &Offset| self.segments.contains_key(offset);
        let strays: Vec<Offset> = self.snapshots.keys().filter(|offset| !is_base(offset)).copied().collect();
        let newest_base = self.segments.keys().next_back().copied();
        for (at, stray) in strays.iter().enumerate() {
            let newest = at + 1 == strays.len();
            if !newest || newest_base.is_some_and(|base| *stray < base) {
                self.snapshots.remove(stray);
            }
        }
    }

    fn into_plan(
        mut self,
        producers: ProducerStates,
        recovery_point: Offset,
        log_start: Offset,
        log_end: Offset,
    ) -> Result<Plan, LoadError> {
        let dir = self.dir.to_owned();
        let mut changes = std::mem::take(&mut self.changes);
        for segment in self.dropped.iter().rev() {
            let snapshot_stays = !self.dropped_snapshots.contains(&segment.base);
            let kinds = SegmentFileKind::ALL.into_iter();
            let kinds = kinds.filter(|kind| !(snapshot_stays && *kind == SegmentFileKind::Snapshot));
            for name in kinds.map(|kind| segment_file_name(segment.base, kind)) {
                if self.files.remove(&name).is_some() {
                    let to = dir.join(name.clone() + FileState::Deleted.suffix());
                    changes.dropped.push(Change::Rename { from: dir.join(name), to });
                }
            }
        }
        for segment in self.segments.values() {
            let path = |kind| dir.join(segment_file_name(segment.base, kind));
            let log = path(SegmentFileKind::Log);
            if segment.len < segment.disk_len {
                changes.cut.push(Change::Cut { path: log, len: segment.len });
            } else if !self.files.contains_key(&segment_file_name(segment.base, SegmentFileKind::Log)) {
                changes.written.push(Change::Write { path: log, bytes: Vec::new() });
            }
            for (kind, content) in [
                (SegmentFileKind::OffsetIndex, &segment.offset_index),
                (SegmentFileKind::TimeIndex, &segment.time_index),
                (SegmentFileKind::TxnIndex, &segment.txn_index),
            ] {
                if let Content::New(bytes) = content {
                    changes.written.push(Change::Write { path: path(kind), bytes: bytes.clone() });
                }
            }
        }
        self.plan_snapshots(&mut changes);
        let epochs_path = dir.join(leader_epochs::FILE_NAME);
        let stored = present(fs::read_small(&epochs_path, fs::CHECKPOINT_BYTES_MAX))?;
        let same = match &stored {
            None => false,
            Some(bytes) => leader_epochs::parse(bytes).is_ok_and(|entries| entries == self.epochs.entries()),
        };
        if !same {
            let empty = stored.is_none() && self.epochs.entries().is_empty();
            let text = if empty { String::new() } else { self.epochs.to_text() };
            changes.written.push(Change::Write { path: epochs_path, bytes: text.into_bytes() });
        }
        Ok(Plan {
            dir,
            changes,
            losses: self.losses,
            rebuilt: self.rebuilt,
            segments: self.segments.values().map(|segment| (segment.base, segment.len)).collect(),
            log_start,
            log_end,
            recovery_point,
            epochs: self.epochs,
            producers,
        })
    }

    fn plan_snapshots(&self, changes: &mut Changes) {
        for (offset, content) in &self.snapshots {
            if let Content::New(bytes) = content {
                let path = self.dir.join(segment_file_name(*offset, SegmentFileKind::Snapshot));
                changes.written.push(Change::Write { path, bytes: bytes.clone() });
            }
        }
        for name in self.files.keys() {
            if let PartitionFile::Segment(SegmentFileName { offset, kind: SegmentFileKind::Snapshot, .. }) =
                PartitionFile::parse(name.as_ref())
                && !self.snapshots.contains_key(&offset)
                && !self.dropped_snapshots.contains(&offset)
            {
                changes.removed.push(Change::Remove(self.dir.join(name)));
            }
        }
    }
}

/// A marker before the segment makes Kafka recover it; a version it does not know (`KafkaException`) stops the broker.
fn txn_index_is_sane(segment: &ModelSegment) -> Result<bool, StorageError> {
    let Content::OnDisk(path) = &segment.txn_index else { return Ok(true) };
    let bytes = fs::read_small(path, index::INDEX_BYTES_MAX)?;
    match TxnIndex::new(segment.base, &bytes).sanity_check() {
        Ok(()) => Ok(true),
        Err(TxnIndexError::LastOffsetBelowBase { .. }) => Ok(false),
        Err(error @ TxnIndexError::Version { .. }) => Err(StorageError::new(path, error)),
    }
}

fn ends_in_zeros(segment: &ModelSegment) -> std::io::Result<bool> {
    let file = File::open(&segment.log)?;
    let mut chunk = vec![0; 64 << 10];
    let mut at = segment.len;
    while at < segment.disk_len {
        let read = file.read_at(&mut chunk, at)?;
        if read == 0 {
            break;
        }
        if chunk[..read].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += read as u64;
    }
    Ok(true)
}
