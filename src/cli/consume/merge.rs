//! Partitions merged by timestamp: the earliest of their next records comes first.
//!
//! Within a partition the order is the log's, whatever its timestamps; equal timestamps go by topic,
//! partition and offset. One batch of each partition is in memory.

use std::ops::ControlFlow;

use crate::batch::{Decompressor, RecordRef};
use crate::cli::message::Message;
use crate::cli::record_format::BatchContext;
use crate::storage::fs::StorageError;
use crate::types::{Offset, TimestampMs};

use super::stream::{OwnedRecords, PartitionStream, context_of};

/// A partition with the records of its next batch at hand.
#[derive(Debug)]
pub struct Cursor<'p> {
    stream: PartitionStream<'p>,
    records: OwnedRecords,
    at: usize,
    /// What the records at hand have in common.
    context: Option<BatchContext<'p>>,
}

impl<'p> Cursor<'p> {
    /// Stands in front of the first record.
    pub fn new(stream: PartitionStream<'p>) -> Self {
        Cursor { stream, records: OwnedRecords::default(), at: 0, context: None }
    }

    /// The partition's stream.
    pub const fn stream(&self) -> &PartitionStream<'p> {
        &self.stream
    }

    /// Timestamp and offset of the next record; reads the next batch when the last is used up.
    pub fn peek(
        &mut self,
        decompressor: &mut Decompressor,
        messages: &mut dyn FnMut(Message),
    ) -> Result<Option<(TimestampMs, Offset)>, StorageError> {
        let name = self.stream.partition().topic_partition();
        while self.at >= self.records.len() {
            self.records.clear();
            self.at = 0;
            let Some(batch) = self.stream.next(messages)? else { return Ok(None) };
            self.context = Some(context_of(&batch.frame, name));
            let mut next = batch.first_wanted();
            let behind = batch.frame.last_offset().next();
            let kept = &mut self.records;
            let read = batch.records(decompressor).and_then(|records| {
                records.visit(|record| {
                    next = record.offset.next();
                    if batch.wanted(record.offset) {
                        kept.push(record);
                    }
                    ControlFlow::<()>::Continue(())
                })
            });
            let bad = read.err().map(|error| batch.payload_damage(&error, next));
            if let Some(message) = bad {
                self.stream.meet_bad_payload(message, behind, messages);
            }
        }
        Ok(self.records.get(self.at).map(|record| (record.timestamp_ms, record.offset)))
    }

    /// The record that [`Cursor::peek`] spoke of, with its batch; the cursor moves behind it.
    pub fn take(&mut self) -> Option<(BatchContext<'p>, RecordRef<'_>)> {
        let record = self.records.get(self.at)?;
        self.at += 1;
        Some((self.context?, record))
    }
}
