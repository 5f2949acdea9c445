//! From runs to segments: where one ends, and all that is derived from its batches.

use std::collections::BTreeSet;

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
    /// The producers where it starts; none for the first segment.
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
    /// The producers at the log end.
    pub snapshot: Vec<u8>,
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
    /// Base offset where there is no batch at all.
    pub empty_base: Offset,
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
    end: Option<Offset>,
    first_base: Option<Offset>,
    left_out: Vec<(Fact, String)>,
}

/// Walks over all batches and hands every segment to `sink` when it is complete.
pub fn compose(
    runs: &[Run],
    on: &Composing<'_>,
    sink: &mut dyn FnMut(Segment) -> Result<(), RestoreError>,
) -> Result<Composed, RestoreError> {
    let mut composer = Composer {
        on,
        current: None,
        producers: ProducerStates::new(Offset::ZERO),
        epochs: on.known.clone(),
        of_batches: LeaderEpochs::new(),
        agree: true,
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
    fn batch(
        &mut self,
        fact: &Fact,
        frame: &Frame<'_>,
        sink: &mut dyn FnMut(Segment) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
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
            self.close(false, sink)?;
            self.open(base);
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
        } else if self.epochs.epoch_for_offset(fact.first) != Some(fact.epoch) {
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

    fn open(&mut self, base: Offset) {
        let first = self.first_base.is_none();
        self.first_base.get_or_insert(base);
        self.producers.set_map_end(base);
        let due = self.producers.snapshot_due().filter(|_| !first);
        let snapshot = due.map(|_| producer_state::to_bytes(&self.producers.to_entries()));
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
    }

    fn close(
        &mut self,
        active: bool,
        sink: &mut dyn FnMut(Segment) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let Some((mut segment, mut index, aborted)) = self.current.take() else { return Ok(()) };
        index.close();
        let entries = index.take();
        segment.offset_index = entries.offset;
        segment.time_index = entries.time;
        segment.txn_index = aborted.iter().flat_map(AbortedTxn::to_bytes).collect();
        segment.active = active;
        sink(segment)
    }

    fn finish(mut self, sink: &mut dyn FnMut(Segment) -> Result<(), RestoreError>) -> Result<Composed, RestoreError> {
        if self.current.is_none() {
            self.open(self.on.empty_base);
        }
        let log_end = self.end.map_or(self.on.empty_base, Offset::next);
        self.close(true, sink)?;
        self.producers.set_map_end(log_end);
        let mut epochs = if self.agree { self.epochs } else { self.of_batches };
        epochs.truncate_from_end(log_end);
        epochs.truncate_from_start(self.on.log_start);
        Ok(Composed {
            first_base: self.first_base.unwrap_or(self.on.empty_base),
            log_end,
            snapshot: producer_state::to_bytes(&self.producers.to_entries()),
            epochs: epochs.entries().to_vec(),
            epochs_agree: self.agree,
            left_out: self.left_out,
        })
    }
}

fn index_error(files: &Files, fact: &Fact, reason: IndexError) -> RestoreError {
    StorageError::new(files.path(fact.file), std::io::Error::other(reason)).into()
}
