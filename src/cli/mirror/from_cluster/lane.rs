//! One partition on its way from a cluster into a log.

use std::time::{Duration, Instant};

use super::last::LastRecord;
use crate::batch::builder::{BatchBuilder, BatchSpec, NewHeader, NewRecord};
use crate::batch::{Compression, Compressor};
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
    pub finding: Option<Finding>,
    /// It is not gone on with.
    pub is_stopped: bool,
    /// Records that came over.
    pub records: u64,
    /// Bytes of their batches.
    pub bytes: u64,
    spec: BatchSpec,
    builder: Option<(Offset, BatchBuilder)>,
    begun: Instant,
}

impl Lane {
    /// A lane that begins, or goes on, at `from`.
    pub fn new(name: TopicPartition, ends: (i64, i64), from: Offset, compression: Compression) -> Lane {
        let spec = BatchSpec { compression, leader_epoch: LeaderEpoch(0), ..BatchSpec::default() };
        Lane {
            name,
            ends,
            start: from,
            next: from,
            from,
            last: None,
            is_compacted: false,
            finding: None,
            is_stopped: false,
            records: 0,
            bytes: 0,
            spec,
            builder: None,
            begun: Instant::now(),
        }
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
            self.finding = Some(Finding::Differs { at: last.offset });
            self.is_stopped = true;
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
        let headers: Vec<NewHeader<'_>> =
            record.headers().map(|(key, value)| NewHeader { key: key.as_bytes(), value }).collect();
        let new = NewRecord {
            timestamp_ms: record.timestamp_ms(),
            key: record.key(),
            value: record.value(),
            headers: &headers,
        };
        let far = self.builder.as_ref().is_some_and(|(base, _)| offset.relative_to(*base).is_none());
        if far {
            self.send(session, compressor, now_ms)?;
        }
        let spec = BatchSpec { base_offset: offset, ..self.spec };
        let (_, builder) = match &mut self.builder {
            Some(open) => open,
            none => {
                self.begun = Instant::now();
                none.insert((offset, BatchBuilder::new(spec)))
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

    /// Appends what waits.
    pub fn send(
        &mut self,
        session: &mut AppendSession,
        compressor: &mut Compressor,
        now_ms: TimestampMs,
    ) -> Result<(), LaneError> {
        let Some((base, mut builder)) = self.builder.take() else { return Ok(()) };
        let mut batch = builder.seal(compressor)?;
        batch.assign(base, LeaderEpoch(0));
        let appended = session.append_from(&self.name, self.start, batch.bytes(), now_ms)?;
        match appended {
            Appended::Refused(refusal) => {
                self.finding = Some(Finding::Refused { at: base, refusal });
                self.is_stopped = true;
            }
            Appended::Stored { .. } | Appended::Duplicate { .. } => self.bytes += batch.bytes().len() as u64,
        }
        Ok(())
    }
}
