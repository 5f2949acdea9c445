//! From runs to segments: where one ends, and all that is derived from its batches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Fact, Files, Run, append};
use crate::batch::Frame;
use crate::storage::fs::StorageError;
use crate::storage::index::build::{IndexBuilder, IndexError, IndexedBatch};
use crate::storage::index::txn::AbortedTxn;
use crate::storage::leader_epochs::{EpochEntry, LeaderEpochs};
use crate::storage::producer_state;
use crate::storage::producer_states::{CompletedTxn, Origin, Pending, ProducerStates, TransactionVersion};
use crate::storage::restore::RestoreError;
use crate::storage::writer::LogConfig;
use crate::types::{LeaderEpoch, Offset};

/// A segment's bytes beyond this do not fit its positions.
const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;

/// A segment as it is to be.
#[derive(Debug)]
pub struct Segment {
    /// Base offset.
    pub base: Offset,
    /// What its log is made of.
    pub pieces: Vec<Run>,
    /// Bytes of its log.
    pub len: u64,
    /// Its offset index.
    pub offset_index: Vec<u8>,
    /// Its time index, the closing entry included.
    pub time_index: Vec<u8>,
    /// Its aborted transactions.
    pub txn_index: Vec<u8>,
    /// The producers where it starts, if that is to be written; none for the first segment.
    pub snapshot: Option<Vec<u8>>,
    /// Whether it is the one that grows.
    pub active: bool,
}

/// What is known when all segments are.
#[derive(Debug)]
pub struct Composed {
    /// Base offset of the first segment.
    pub first_base: Offset,
    /// Offset of the next record.
    pub log_end: Offset,
    /// The producers at the log end, if that is to be written.
    pub snapshot: Option<Vec<u8>>,
    /// Up to here everything is as it was, and the snapshots that can be read stay.
    pub pristine_to: Offset,
    /// Leader epochs.
    pub epochs: Vec<EpochEntry>,
    /// Whether the epochs of the checkpoint were of this log.
    pub epochs_agree: bool,
    /// Batches that a broker does not start over, and why.
    pub left_out: Vec<(Fact, String)>,
}

/// What decides beside the runs.
#[derive(Debug)]
pub struct Composing<'a> {
    /// What the runs are runs of.
    pub files: &'a Files,
    /// Offsets at which a segment starts, if a batch starts there or above.
    pub bases: &'a BTreeSet<Offset>,
    /// Base offsets of segments that stay also without batches.
    pub empties: &'a BTreeSet<Offset>,
    /// Base offset where there is no batch at all, and no such segment.
    pub empty_base: Offset,
    /// Snapshots that are there and can be read, by offset. They know more than the log: of producers whose
    /// batches were compacted away or lie below its start.
    pub snapshots: &'a BTreeMap<Offset, PathBuf>,
    /// Batches below it have no producer state (`UnifiedLog.rebuildProducerState`).
    pub log_start: Offset,
    /// The leader epochs of the checkpoint, as far as it can be read.
    pub known: LeaderEpochs,
    /// Settings of the log.
    pub config: LogConfig,
}

struct Composer<'a> {
    on: &'a Composing<'a>,
    current: Option<(Segment, IndexBuilder, Vec<AbortedTxn>)>,
    producers: ProducerStates,
    /// Epochs of the checkpoint with those of the batches behind them; and of the batches alone.
    epochs: LeaderEpochs,
    of_batches: LeaderEpochs,
    agree: bool,
    /// Every segment so far is as it was.
    pristine: bool,
    pristine_to: Offset,
    end: Option<Offset>,
    first_base: Option<Offset>,
    left_out: Vec<(Fact, String)>,
}

/// Takes a complete segment; says whether it is as it was.
pub type Sink<'s> = dyn FnMut(Segment) -> Result<bool, RestoreError> + 's;

/// Walks over all batches and hands every segment to `sink` when it is complete.
pub fn compose(runs: &[Run], on: &Composing<'_>, sink: &mut Sink<'_>) -> Result<Composed, RestoreError> {
    let mut composer = Composer {
        on,
        current: None,
        producers: ProducerStates::new(Offset::ZERO),
        epochs: on.known.clone(),
        of_batches: LeaderEpochs::new(),
        agree: true,
        pristine: true,
        pristine_to: Offset::ZERO,
        end: None,
        first_base: None,
        left_out: Vec::new(),
    };
    for run in runs {
        let mut done: Result<(), RestoreError> = Ok(());
        on.files.walk(run, false, &mut |fact, frame| {
            done = composer.batch(fact, frame, sink);
            done.is_ok()
        })?;
        done?;
    }
    composer.finish(sink)
}

impl Composer<'_> {
    fn batch(&mut self, fact: &Fact, frame: &Frame<'_>, sink: &mut Sink<'_>) -> Result<(), RestoreError> {
        // First of all, for what a broker does not start over is no part of the log.
        let mut completed = None;
        if let Frame::Batch(batch) = frame
            && batch.producer_id().is_some()
            && fact.last >= self.on.log_start
        {
            let mut pending = Pending::new(Origin::Replication, TransactionVersion::V0);
            match self.producers.prepare(&mut pending, batch) {
                Ok(_) => completed = Some(pending),
                Err(refusal) => {
                    self.left_out.push((*fact, refusal.to_string()));
                    return Ok(());
                }
            }
        }
        if let Some(base) = self.new_base(fact) {
            self.open_empties(Some(base), sink)?;
            self.close(false, sink)?;
            self.open(base)?;
        }
        let Some((segment, index, aborted)) = &mut self.current else { return Ok(()) };
        let indexed = IndexedBatch {
            position: u32::try_from(segment.len).unwrap_or(u32::MAX),
            size_bytes: fact.len,
            last_offset: fact.last,
            max_timestamp_ms: frame.max_timestamp_ms(),
        };
        index.add(indexed).map_err(|reason| index_error(self.on.files, fact, reason))?;
        append(&mut segment.pieces, fact);
        segment.len += fact.len;
        if let Some(mut pending) = completed {
            let txns = self.producers.commit(&mut pending, fact.last.next());
            aborted.extend(txns.iter().filter_map(CompletedTxn::index_entry));
        }
        self.producers.set_map_end(fact.last.next());
        self.end = Some(fact.last);
        self.note_epoch(fact);
        Ok(())
    }

    fn note_epoch(&mut self, fact: &Fact) {
        if fact.epoch < LeaderEpoch(0) || fact.magic < 2 {
            return;
        }
        if self.of_batches.latest().is_none_or(|latest| fact.epoch > latest.epoch) {
            let _ = self.of_batches.assign(fact.epoch, fact.first);
        }
        if self.epochs.latest().is_none_or(|latest| fact.epoch > latest.epoch) {
            let _ = self.epochs.assign(fact.epoch, fact.first);
        } else if fact.last >= self.on.log_start
            // Below the log start the checkpoint says nothing.
            && self.epochs.epoch_for_offset(fact.first.max(self.on.log_start)) != Some(fact.epoch)
        {
            self.agree = false;
        }
    }

    /// The base offset of the segment that starts with this batch; `None` when it belongs into the open one.
    fn new_base(&self, fact: &Fact) -> Option<Offset> {
        let wanted = self.on.bases.range(..=fact.first).next_back().copied();
        let Some((segment, index, _)) = &self.current else { return Some(wanted.unwrap_or(fact.first)) };
        let full = index.is_full()
            || segment.len + fact.len > SEGMENT_BYTES_MAX
            || fact.last.relative_to(segment.base).is_none();
        let wanted = wanted.filter(|wanted| *wanted > segment.base);
        match wanted {
            // A batch in front reaches beyond it: the segment starts where this one does.
            Some(wanted) if self.end.is_some_and(|end| wanted <= end) => Some(fact.first),
            Some(wanted) => Some(wanted),
            None => full.then_some(fact.first),
        }
    }

    /// Opens the segments without batches in front of `before`, or at the end.
    fn open_empties(&mut self, before: Option<Offset>, sink: &mut Sink<'_>) -> Result<(), RestoreError> {
        for base in self.on.empties.iter().copied() {
            let behind = self.current.as_ref().is_none_or(|(segment, ..)| segment.base < base);
            if behind && self.end.is_none_or(|end| end < base) && before.is_none_or(|before| base < before) {
                self.close(false, sink)?;
                self.open(base)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, base: Offset) -> Result<(), RestoreError> {
        let first = self.first_base.is_none();
        self.first_base.get_or_insert(base);
        self.producers.set_map_end(base);
        if self.pristine {
            self.pristine_to = base;
        }
        let mut snapshot = None;
        match self.on.snapshots.get(&base).filter(|_| self.pristine && base > self.on.log_start) {
            Some(path) => {
                // What it knows is not to be forgotten because it is old.
                let stored = producer_state::read(path)?;
                self.producers = ProducerStates::from_snapshot(&stored, base, 0, i64::MAX);
            }
            // None is needed at every segment; behind what changed those there were are not of this log.
            None if first || self.pristine => {}
            None => {
                snapshot =
                    self.producers.snapshot_due().map(|_| producer_state::to_bytes(&self.producers.to_entries()));
            }
        }
        if snapshot.is_some() {
            self.producers.snapshot_written();
        }
        let segment = Segment {
            base,
            pieces: Vec::new(),
            len: 0,
            offset_index: Vec::new(),
            time_index: Vec::new(),
            txn_index: Vec::new(),
            snapshot,
            active: false,
        };
        self.current = Some((segment, IndexBuilder::new(base, self.on.config.index_limits()), Vec::new()));
        Ok(())
    }

    fn close(&mut self, active: bool, sink: &mut Sink<'_>) -> Result<(), RestoreError> {
        let Some((mut segment, mut index, aborted)) = self.current.take() else { return Ok(()) };
        index.close();
        let entries = index.take();
        segment.offset_index = entries.offset;
        segment.time_index = entries.time;
        segment.txn_index = aborted.iter().flat_map(AbortedTxn::to_bytes).collect();
        segment.active = active;
        self.pristine &= sink(segment)?;
        Ok(())
    }

    fn finish(mut self, sink: &mut Sink<'_>) -> Result<Composed, RestoreError> {
        self.open_empties(None, sink)?;
        if self.current.is_none() {
            self.open(self.on.empty_base)?;
        }
        // The log goes on at its last segment's base, though nothing is left of that one.
        let active_base = self.current.as_ref().map_or(self.on.empty_base, |(segment, ..)| segment.base);
        let log_end = self.end.map_or(active_base, |end| end.next().max(active_base));
        let first_base = self.first_base.unwrap_or(self.on.empty_base);
        self.close(true, sink)?;
        self.producers.set_map_end(log_end);
        if self.pristine {
            self.pristine_to = log_end;
        }
        let is_there = self.pristine && self.on.snapshots.contains_key(&log_end);
        let snapshot = (!is_there && log_end > first_base.max(self.on.log_start))
            .then(|| producer_state::to_bytes(&self.producers.to_entries()));
        let mut epochs = if self.agree { self.epochs } else { self.of_batches };
        // An epoch that starts at the end wrote nothing yet; a leader was elected all the same.
        epochs.truncate_from_end(log_end.next());
        epochs.truncate_from_start(self.on.log_start);
        Ok(Composed {
            first_base,
            log_end,
            snapshot,
            pristine_to: self.pristine_to,
            epochs: epochs.entries().to_vec(),
            epochs_agree: self.agree,
            left_out: self.left_out,
        })
    }
}

fn index_error(files: &Files, fact: &Fact, reason: IndexError) -> RestoreError {
    StorageError::new(files.path(fact.file), std::io::Error::other(reason)).into()
}
