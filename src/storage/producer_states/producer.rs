//! What is known of one producer: its epoch, its newest batches, its open transaction.

use super::super::producer_state::ProducerEntry;
use crate::batch::BatchView;
use crate::types::{Offset, ProducerId, TimestampMs};

/// Batches remembered per producer, to recognise resends (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
pub const BATCHES_KEPT: usize = 5;

pub(super) const NO_EPOCH: i16 = -1;

/// One appended batch, as long as it is remembered (`BatchMetadata`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BatchMetadata {
    /// Sequence of its last record.
    pub last_sequence: i32,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Last minus first offset, and last minus first sequence.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub timestamp_ms: TimestampMs,
}

impl BatchMetadata {
    /// Sequence of its first record: `last_sequence - offset_delta`, wrapping below 0 to 2147483647
    /// (`DefaultRecordBatch.decrementSequence`).
    pub const fn first_sequence(&self) -> i32 {
        if self.last_sequence < self.offset_delta {
            i32::MAX.wrapping_sub(self.offset_delta.wrapping_sub(self.last_sequence)).wrapping_add(1)
        } else {
            self.last_sequence.wrapping_sub(self.offset_delta)
        }
    }

    /// Offset of its first record.
    pub fn first_offset(&self) -> Offset {
        self.last_offset.plus(-i64::from(self.offset_delta))
    }
}

/// The newest batches of a producer, oldest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Batches {
    kept: [BatchMetadata; BATCHES_KEPT],
    len: usize,
}

impl Batches {
    fn as_slice(&self) -> &[BatchMetadata] {
        self.kept.get(..self.len).unwrap_or_default()
    }

    pub(super) fn push(&mut self, batch: BatchMetadata) {
        match self.kept.get_mut(self.len) {
            Some(free) => {
                *free = batch;
                self.len += 1;
            }
            None => {
                self.kept.rotate_left(1);
                self.kept[BATCHES_KEPT - 1] = batch;
            }
        }
    }
}

/// What is known of one producer (`ProducerStateEntry`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerState {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its newest epoch; -1 before its first batch.
    pub producer_epoch: i16,
    /// Epoch of the coordinator that wrote its last marker; -1 when there was none.
    pub coordinator_epoch: i32,
    /// Largest timestamp of its last batch, or that of its last marker.
    pub last_timestamp_ms: TimestampMs,
    /// First offset of its open transaction.
    pub open_txn: Option<Offset>,
    pub(super) batches: Batches,
}

impl ProducerState {
    pub(super) fn unknown(producer_id: ProducerId) -> Self {
        ProducerState {
            producer_id,
            producer_epoch: NO_EPOCH,
            coordinator_epoch: -1,
            last_timestamp_ms: -1,
            open_txn: None,
            batches: Batches::default(),
        }
    }

    pub(super) fn of_entry(entry: &ProducerEntry) -> Self {
        let mut state = ProducerState {
            producer_epoch: entry.producer_epoch,
            coordinator_epoch: entry.coordinator_epoch,
            last_timestamp_ms: entry.timestamp,
            open_txn: entry.open_txn(),
            ..ProducerState::unknown(entry.producer_id)
        };
        if entry.has_batch() {
            state.batches.push(BatchMetadata {
                last_sequence: entry.last_sequence,
                last_offset: entry.last_offset,
                offset_delta: entry.offset_delta,
                timestamp_ms: entry.timestamp,
            });
        }
        state
    }

    /// The batches remembered, at most [`BATCHES_KEPT`] and all of the newest epoch, oldest first.
    pub fn batches(&self) -> &[BatchMetadata] {
        self.batches.as_slice()
    }

    /// Sequence of the last record; -1 when no batch of this epoch is remembered.
    pub fn last_sequence(&self) -> i32 {
        self.batches().last().map_or(-1, |batch| batch.last_sequence)
    }

    /// The producer as a snapshot stores it: with its last batch only.
    pub fn to_entry(&self) -> ProducerEntry {
        let last = self.batches().last();
        ProducerEntry {
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            last_sequence: self.last_sequence(),
            last_offset: last.map_or(Offset::new(-1), |batch| batch.last_offset),
            offset_delta: last.map_or(0, |batch| batch.offset_delta),
            timestamp: self.last_timestamp_ms,
            coordinator_epoch: self.coordinator_epoch,
            current_txn_first_offset: self.open_txn.unwrap_or(Offset::new(-1)),
        }
    }

    pub(super) fn duplicate_of(&self, batch: &BatchView<'_>) -> Option<BatchMetadata> {
        if batch.producer_epoch() != self.producer_epoch {
            return None;
        }
        let (first, last) = (batch.base_sequence(), batch.last_sequence());
        self.batches().iter().find(|kept| kept.last_sequence == last && kept.first_sequence() == first).copied()
    }

    /// Whether it is forgotten at `now_ms`: its last timestamp is `expiration_ms` old and no transaction is open.
    pub(super) fn is_expired(&self, now_ms: TimestampMs, expiration_ms: i64) -> bool {
        self.open_txn.is_none() && now_ms.wrapping_sub(self.last_timestamp_ms) >= expiration_ms
    }

    pub(super) fn enter_epoch(&mut self, epoch: i16) {
        if self.producer_epoch != epoch {
            self.batches = Batches::default();
            self.producer_epoch = epoch;
        }
    }
}
