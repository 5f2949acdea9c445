//! Partitions merged by timestamp: the earliest of their next records comes first.
//!
//! Within a partition the order is the log's, whatever its timestamps; equal timestamps go by topic,
//! partition and offset. One batch of each partition is in memory.

use crate::batch::{Decompressor, RecordRef};
use crate::cli::message::Message;
use crate::cli::record_format::BatchContext;
use crate::storage::fs::StorageError;
use crate::types::{Codec, LeaderEpoch, Offset, ProducerId, TimestampMs, TimestampType};

use super::stream::{OwnedRecords, PartitionStream};

/// A partition with the records of its next batch at hand.
#[derive(Debug)]
pub struct Cursor<'p> {
    stream: PartitionStream<'p>,
    records: OwnedRecords,
    at: usize,
    batch: BatchFields,
}

/// A batch's context without its topic.
#[derive(Debug, Clone, Copy)]
struct BatchFields {
    leader_epoch: LeaderEpoch,
    producer_id: ProducerId,
    producer_epoch: i16,
    codec: Codec,
    timestamp_type: TimestampType,
    transactional: bool,
    control: bool,
}

impl<'p> Cursor<'p> {
    /// Stands in front of the first record.
    pub fn new(stream: PartitionStream<'p>) -> Self {
        let batch = BatchFields {
            leader_epoch: LeaderEpoch::NONE,
            producer_id: ProducerId::NONE,
            producer_epoch: -1,
            codec: Codec::None,
            timestamp_type: TimestampType::None,
            transactional: false,
            control: false,
        };
        Cursor { stream, records: OwnedRecords::default(), at: 0, batch }
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
        while self.at >= self.records.len() {
            self.records.clear();
            self.at = 0;
            let Some(batch) = self.stream.next(messages)? else { return Ok(None) };
            let context = batch.context;
            self.batch = BatchFields {
                leader_epoch: context.leader_epoch,
                producer_id: context.producer_id,
                producer_epoch: context.producer_epoch,
                codec: context.codec,
                timestamp_type: context.timestamp_type,
                transactional: context.transactional,
                control: context.control,
            };
            let mut next = batch.first_wanted();
            let behind = batch.frame.last_offset().next();
            let mut bad = None;
            match batch.records(decompressor) {
                Ok(records) => {
                    for record in records {
                        match record {
                            Ok(record) => {
                                next = record.offset.next();
                                if batch.wanted(record.offset) {
                                    self.records.push(&record);
                                }
                            }
                            Err(error) => bad = Some(batch.payload_damage(&error, next)),
                        }
                    }
                }
                Err(error) => bad = Some(batch.payload_damage(&error, next)),
            }
            if let Some(message) = bad {
                self.stream.meet_bad_payload(message, behind, messages);
            }
        }
        Ok(self.records.get(self.at).map(|record| (record.timestamp_ms, record.offset)))
    }

    /// The record that [`Cursor::peek`] spoke of, with its batch; the cursor moves behind it.
    pub fn take(&mut self) -> Option<(BatchContext<'_>, RecordRef<'_>)> {
        let name = self.stream.partition().topic_partition();
        let record = self.records.get(self.at)?;
        self.at += 1;
        let BatchFields { leader_epoch, producer_id, producer_epoch, codec, timestamp_type, transactional, control } =
            self.batch;
        let context = BatchContext {
            topic: &name.topic,
            partition: name.partition,
            leader_epoch,
            producer_id,
            producer_epoch,
            codec,
            timestamp_type,
            transactional,
            control,
        };
        Some((context, record))
    }
}
