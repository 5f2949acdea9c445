//! One partition on its way from a cluster into a log.

use std::time::{Duration, Instant};

use super::last::LastRecord;
use crate::batch::builder::{BatchBuilder, BatchSpec, NewHeader, NewRecord};
use crate::batch::{Compression, Compressor};
use crate::cli::ui::{Problem, Ui};
use crate::cluster::fetcher::Record;
use crate::storage::mirror::Finding;
use crate::storage::writer::log::Appended;
use crate::storage::writer::{AppendSession, SessionError};
use crate::types::{LeaderEpoch, Offset, TimestampMs, TopicPartition};

/// A batch is closed at this size, as it is encoded.
const BATCH_BYTES: usize = 1 << 20;
/// A batch is closed after this time, however small.
const BATCH_AGE: Duration = Duration::from_millis(500);

/// Why a record does not get into the log.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The log cannot be written.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The record does not fit into a batch.
    #[error(transparent)]
    Build(#[from] crate::batch::builder::BuildError),
}

/// One partition.
pub struct Lane {
    /// Its name.
    pub name: TopicPartition,
    /// The cluster's offsets of it when it was looked at.
    pub ends: (i64, i64),
    /// Where a log that never held a record begins.
    pub start: Offset,
    /// The next offset that is asked for.
    pub next: Offset,
    /// Where the copy was when this run began.
    pub from: Offset,
    /// The last record of the copy, until the source's was compared with it.
    pub last: Option<LastRecord>,
    /// The cleaner takes records out of the source.
    pub is_compacted: bool,
    /// What is in the way.
    pub findings: Vec<Finding>,
    /// It is not gone on with.
    pub is_stopped: bool,
    /// What went wrong with it was told.
    pub has_failed: bool,
    /// Records that came over.
    pub records: u64,
    /// Bytes of their batches.
    pub bytes: u64,
    spec: BatchSpec,
    builder: Option<(Offset, BatchBuilder)>,
    begun: Instant,
}

impl Lane {
    /// A lane that begins, or goes on, at `from`; the source was not looked at yet.
    pub fn new(name: TopicPartition, from: Offset, compression: Compression) -> Lane {
        let spec = BatchSpec { compression, leader_epoch: LeaderEpoch(0), ..BatchSpec::default() };
        Lane {
            name,
            ends: (0, 0),
            start: from,
            next: from,
            from,
            last: None,
            is_compacted: false,
            findings: Vec::new(),
            is_stopped: false,
            has_failed: false,
            records: 0,
            bytes: 0,
            spec,
            builder: None,
            begun: Instant::now(),
        }
    }

    /// Looks at where the source begins and ends now: whether the copy can go on where it does.
    ///
    /// With `keeps` it goes on behind offsets that are gone.
    pub fn place(&mut self, (low, high): (i64, i64), keeps: bool) {
        self.ends = (low, high);
        let (low, high) = (Offset::new(low), Offset::new(high));
        if high < self.next {
            self.stop(Finding::Shorter { source_end: high, copy_end: self.next });
        } else if low > self.next {
            self.findings.push(Finding::Gap { from: self.next, to: low });
            if keeps {
                (self.next, self.last) = (low, None);
            } else {
                self.is_stopped = true;
            }
        } else if self.last.is_some_and(|last| last.offset < low) {
            // Gone from the source, and nothing to compare with.
            self.last = None;
        }
    }

    /// Tells what went wrong with it; others are gone on with.
    pub fn fail(&mut self, problem: Problem, ui: &mut Ui) {
        (self.is_stopped, self.has_failed) = (true, true);
        ui.error(problem);
    }

    fn stop(&mut self, finding: Finding) {
        self.findings.push(finding);
        self.is_stopped = true;
    }

    /// Whether a record is the last, or behind the last, that was there when the source was looked at.
    ///
    /// The end of a partition that is written to without a pause is never told.
    pub fn is_level_with(&self, offset: i64) -> bool {
        offset >= self.ends.1 - 1
    }

    /// The offset that reading begins at: that of the copy's last record, which comes again to be compared.
    pub fn asks_from(&self) -> Offset {
        self.last.map_or(self.next, |last| last.offset)
    }

    /// Looks at what comes first, or that nothing does: unless it is the copy's last record, the source is another one.
    pub fn compare(&mut self, first: Option<&Record<'_>>) {
        let Some(last) = self.last.take() else { return };
        // The cleaner may have taken it out; what comes at its place is another record all the same.
        let may_be_gone = self.is_compacted && first.is_none_or(|first| first.offset() != last.offset.get());
        if !may_be_gone && !first.is_some_and(|first| last.is(first)) {
            self.stop(Finding::Differs { at: last.offset });
        }
    }

    /// Bytes that wait to be appended.
    pub fn waiting_bytes(&self) -> usize {
        self.builder.as_ref().map_or(0, |(_, builder)| builder.estimated_size())
    }

    /// Takes a record; appends what waits where that is enough.
    pub fn take(
        &mut self,
        record: &Record<'_>,
        session: &mut AppendSession,
        compressor: &mut Compressor,
        now_ms: TimestampMs,
    ) -> Result<(), LaneError> {
        self.compare(Some(record));
        let offset = Offset::new(record.offset());
        if self.is_stopped {
            return Ok(());
        }
        // Asked for again after a broker went away.
        if offset < self.next {
            return Ok(());
        }
        let headers: Vec<NewHeader<'_>> = record.headers().map(|(key, value)| NewHeader { key, value }).collect();
        let new = NewRecord {
            timestamp_ms: record.timestamp_ms(),
            key: record.key(),
            value: record.value(),
            headers: &headers,
        };
        let is_far = |base: Offset| offset.relative_to(base).is_none();
        let epoch = record.leader_epoch();
        if self.builder.as_ref().is_some_and(|(base, _)| is_far(*base)) || epoch != self.spec.leader_epoch {
            self.send(session, compressor, now_ms)?;
            self.spec.leader_epoch = epoch;
        }
        let (_, builder) = match &mut self.builder {
            Some(open) => open,
            none => {
                self.begun = Instant::now();
                // Offsets that are gone, or those of markers, belong to the batch behind them, as the cleaner leaves it: between
                // batches nothing is missing.
                let base = if is_far(self.next) { offset } else { self.next };
                none.insert((base, BatchBuilder::new(BatchSpec { base_offset: base, ..self.spec })))
            }
        };
        builder.push_at(offset, &new)?;
        self.next = offset.next();
        self.records += 1;
        if builder.estimated_size() >= BATCH_BYTES {
            self.send(session, compressor, now_ms)?;
        }
        Ok(())
    }

    /// Whether what waits has waited long enough.
    pub fn is_due(&self) -> bool {
        self.builder.is_some() && self.begun.elapsed() >= BATCH_AGE
    }

    /// Appends what waits; bytes appended are in `bytes`.
    pub fn send(
        &mut self,
        session: &mut AppendSession,
        compressor: &mut Compressor,
        now_ms: TimestampMs,
    ) -> Result<(), LaneError> {
        let Some((base, mut builder)) = self.builder.take() else { return Ok(()) };
        let mut batch = builder.seal(compressor)?;
        batch.assign(base, self.spec.leader_epoch);
        let appended = session.append_from(&self.name, self.start, batch.bytes(), now_ms)?;
        match appended {
            Appended::Refused(refusal) => {
                self.stop(Finding::Refused { at: base, refusal });
            }
            Appended::Stored { .. } | Appended::Duplicate { .. } => self.bytes += batch.bytes().len() as u64,
        }
        Ok(())
    }
}
