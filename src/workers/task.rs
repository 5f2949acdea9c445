//! One record as a worker gets it, and how its processing ends.

use std::sync::Arc;

use thiserror::Error;

use crate::batch::{Headers, RecordRef};
use crate::types::{LeaderEpoch, Offset, TimestampMs, TopicPartition};

/// What a task takes beside its key, value, headers and line, about.
const TASK_OVERHEAD: usize = 192;

/// A record to be processed; it outlives its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its partition.
    pub partition: Arc<TopicPartition>,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp, ms; -1 when there is none.
    pub timestamp_ms: TimestampMs,
    /// Epoch of the leader that wrote it.
    pub leader_epoch: LeaderEpoch,
    /// The key; `None` for null.
    pub key: Option<Vec<u8>>,
    /// The value; `None` for null.
    pub value: Option<Vec<u8>>,
    /// The record as the consumer's format writes it, with a newline at its end; empty where no worker reads lines.
    pub line: Vec<u8>,
    header_count: u32,
    header_bytes: Vec<u8>,
}

impl Task {
    /// A copy of `record`.
    pub fn of(
        partition: &Arc<TopicPartition>,
        record: &RecordRef<'_>,
        leader_epoch: LeaderEpoch,
        line: Vec<u8>,
    ) -> Task {
        let (header_count, header_bytes) = record.headers.parts();
        Task {
            partition: Arc::clone(partition),
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            leader_epoch,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            line,
            header_count,
            header_bytes: header_bytes.to_vec(),
        }
    }

    /// The headers, in the order written.
    pub fn headers(&self) -> Headers<'_> {
        Headers::of_parts(self.header_count, &self.header_bytes)
    }

    /// Bytes it takes in memory, about.
    pub fn size_bytes(&self) -> usize {
        let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        len(&self.key) + len(&self.value) + self.line.len() + self.header_bytes.len() + TASK_OVERHEAD
    }
}

/// Why a record was not processed, in one line.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{0}")]
pub struct WorkError(String);

impl WorkError {
    /// With this text.
    pub fn new(text: impl Into<String>) -> WorkError {
        WorkError(text.into())
    }
}

/// Ends, from another thread, what a worker is processing; that record then fails.
pub type Abort = Arc<dyn Fn() + Send + Sync>;

/// Processes records, one after the other, on a thread of its own.
///
/// A closure that takes a [`Task`] is one.
pub trait Worker: Send {
    /// Processes one record. `Ok` is a promise: the record may be committed, and is then never seen again.
    fn process(&mut self, task: &Task) -> Result<(), WorkError>;

    /// How to end what it is processing when there is no more time; `None` where that cannot be done.
    fn abort(&self) -> Option<Abort> {
        None
    }
}

impl<F: FnMut(&Task) -> Result<(), WorkError> + Send> Worker for F {
    fn process(&mut self, task: &Task) -> Result<(), WorkError> {
        self(task)
    }
}

/// A record of topic `t`.
#[cfg(test)]
pub(super) fn task(partition: &Arc<TopicPartition>, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Task {
    let record = RecordRef {
        offset: Offset::new(offset),
        timestamp_ms: 1_700_000_000_000 + offset,
        timestamp_type: crate::types::TimestampType::Create,
        sequence: -1,
        key,
        value,
        headers: Headers::default(),
        raw: &[],
    };
    Task::of(partition, &record, LeaderEpoch(0), Vec::new())
}
