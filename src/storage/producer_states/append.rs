//! The checks of one append, batch by batch, and what it would change (`ProducerAppendInfo`).

use std::collections::HashMap;

use thiserror::Error;

use super::ProducerStates;
use super::producer::{BatchMetadata, Batches, NO_EPOCH, ProducerState};
use crate::batch::control::{self, ControlType};
use crate::batch::{BatchView, Decompressor, Frame, PayloadError};
use crate::storage::index::txn::AbortedTxn;
use crate::types::{Offset, ProducerId, TimestampMs};

/// Who hands over the batches, which decides what is checked (`AppendOrigin`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Origin {
    /// A producer: epochs, sequences and duplicates are checked.
    Client,
    /// The group or transaction coordinator, and markers: epochs are checked, sequences are not.
    Coordinator,
    /// The leader's log, or the log itself at start: what is there happened, and is taken as it is.
    Replication,
}

/// The `transaction.version` a marker or a producer works under.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum TransactionVersion {
    /// Before flexible records in the transaction log.
    #[default]
    V0,
    /// Flexible records; appends are checked as under version 0.
    V1,
    /// Every transaction has an epoch of its own (KIP-890): its marker carries a higher one.
    V2,
}

/// A transaction that a marker ended (`CompletedTxn`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompletedTxn {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its marker.
    pub last_offset: Offset,
    /// Ended by an ABORT.
    pub is_aborted: bool,
    /// First offset of the earliest transaction of another producer open at the marker, else the offset after it.
    pub last_stable_offset: Offset,
}

impl CompletedTxn {
    /// The entry for the transaction index of the segment that holds the marker; none for a COMMIT.
    pub fn index_entry(&self) -> Option<AbortedTxn> {
        self.is_aborted.then_some(AbortedTxn {
            version: 0,
            producer_id: self.producer_id,
            first_offset: self.first_offset,
            last_offset: self.last_offset,
            last_stable_offset: self.last_stable_offset,
        })
    }
}

/// What to do with a batch that may be appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// Append it.
    New,
    /// It is in the log already. Append nothing of the whole call, and answer with the offsets and the timestamp of
    /// the first time.
    Duplicate(BatchMetadata),
}

/// Why a batch may not be appended.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ProducerRefusal {
    /// A newer instance of the producer has written since, or the marker repeats an epoch that version 2 must raise.
    #[error(
        "epoch of producer {producer_id} at offset {offset} is {found}, expected {} {current}",
        if *.must_rise { "above" } else { "at least" }
    )]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// Offset the batch would get.
        offset: Offset,
        /// Epoch of the batch.
        found: i16,
        /// Newest epoch known.
        current: i16,
        /// Whether the epoch must be above the newest one: a marker under transaction version 2.
        must_rise: bool,
    },
    /// Records are missing between the producer's last batch and this one, or were sent before and are forgotten.
    #[error(
        "sequence of producer {producer_id} at offset {offset} is {found}, expected {expected} after {last_sequence}"
    )]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// Offset the batch would get.
        offset: Offset,
        /// First sequence of the batch.
        found: i32,
        /// The only sequence that may follow.
        expected: i32,
        /// Last sequence known; -1 when there is none.
        last_sequence: i32,
    },
    /// A new epoch starts in the middle.
    #[error(
        "sequence of producer {producer_id} at offset {offset} is {found}, expected 0 for epoch {epoch}, which is new after {current}"
    )]
    NewEpochSequence {
        /// The producer.
        producer_id: ProducerId,
        /// Offset the batch would get.
        offset: Offset,
        /// First sequence of the batch.
        found: i32,
        /// Epoch of the batch.
        epoch: i16,
        /// Newest epoch known.
        current: i16,
    },
    /// A transactional producer of version 2 of which no batch is known starts in the middle.
    #[error(
        "sequence of producer {producer_id} at offset {offset} is {found}, expected 0: no batch of it is known, and transactions of version 2 start at 0"
    )]
    FirstSequence {
        /// The producer.
        producer_id: ProducerId,
        /// Offset the batch would get.
        offset: Offset,
        /// First sequence of the batch.
        found: i32,
    },
    /// Plain data from a producer in the middle of a transaction.
    #[error(
        "batch of producer {producer_id} at offset {offset} is not transactional, expected one of the transaction open since offset {open_since}"
    )]
    InvalidTxnState {
        /// The producer.
        producer_id: ProducerId,
        /// Offset the batch would get.
        offset: Offset,
        /// First offset of the open transaction.
        open_since: Offset,
    },
    /// A marker from a coordinator that has been replaced.
    #[error("coordinator epoch for producer {producer_id} at offset {offset} is {found}, expected at least {current}")]
    TransactionCoordinatorFenced {
        /// The producer.
        producer_id: ProducerId,
        /// Offset the marker would get.
        offset: Offset,
        /// Epoch in the marker.
        found: i32,
        /// Newest epoch known.
        current: i32,
    },
    /// A control batch of a producer whose record is no marker.
    #[error("control batch of producer {producer_id} at offset {offset}: {cause}")]
    Marker {
        /// The producer.
        producer_id: ProducerId,
        /// Offset of the batch.
        offset: Offset,
        /// What is wrong with the record.
        cause: MarkerError,
    },
}

impl ProducerRefusal {
    /// The exception a broker answers with.
    pub const fn kafka_name(&self) -> &'static str {
        match self {
            ProducerRefusal::InvalidProducerEpoch { .. } => "InvalidProducerEpochException",
            ProducerRefusal::OutOfOrderSequence { .. }
            | ProducerRefusal::NewEpochSequence { .. }
            | ProducerRefusal::FirstSequence { .. } => "OutOfOrderSequenceException",
            ProducerRefusal::InvalidTxnState { .. } => "InvalidTxnStateException",
            ProducerRefusal::TransactionCoordinatorFenced { .. } => "TransactionCoordinatorFencedException",
            ProducerRefusal::Marker { .. } => "InvalidRecordException",
        }
    }
}

/// Why a control record is no end of a transaction (`EndTransactionMarker.deserialize`).
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum MarkerError {
    /// It cannot be read.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Its key names no type.
    #[error("key of {len} bytes names no control type, expected 4 bytes or more of version 0 or above")]
    Key {
        /// Length of the key; 0 when it is null.
        len: usize,
    },
    /// Its key names something else.
    #[error("expected COMMIT or ABORT, found {}", .0.kafka_name())]
    Type(ControlType),
    /// Its value holds no coordinator epoch.
    #[error("value of {len} bytes holds no coordinator epoch, expected 6 bytes or more of version 0 or above")]
    Value {
        /// Length of the value; 0 when it is null.
        len: usize,
    },
}

/// The one record of a marker's batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Marker {
    is_abort: bool,
    coordinator_epoch: i32,
    timestamp_ms: TimestampMs,
}

impl Marker {
    /// Reads it; `None` when compaction has removed the record and left the header.
    pub(super) fn of_batch(batch: &BatchView<'_>) -> Result<Option<Marker>, MarkerError> {
        let mut decompressor = Decompressor::default();
        let Some(record) = Frame::Batch(*batch).records(&mut decompressor)?.next() else { return Ok(None) };
        let record = record?;
        let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
        let is_abort = match ControlType::of_key(key).ok_or(MarkerError::Key { len: key.len() })? {
            ControlType::Abort => true,
            ControlType::Commit => false,
            other => return Err(MarkerError::Type(other)),
        };
        let coordinator_epoch = control::coordinator_epoch(value).ok_or(MarkerError::Value { len: value.len() })?;
        Ok(Some(Marker { is_abort, coordinator_epoch, timestamp_ms: record.timestamp_ms }))
    }
}

/// What one append would change: its batches are checked against each other and the state, which stays as it is
/// until [`ProducerStates::commit`] (`UnifiedLog.analyzeAndValidateProducerState`).
///
/// Dropping it, or [`Pending::clear`], forgets the append: that is all there is to do when a batch is refused,
/// is a duplicate, or could not be written.
#[derive(Clone, Debug)]
pub struct Pending {
    pub(super) origin: Origin,
    pub(super) version: TransactionVersion,
    /// Few: an append holds batches of one producer, a fetch of some.
    pub(super) updates: Vec<Update>,
    /// Where an update stands, once there are too many to look through.
    pub(super) by_producer: HashMap<ProducerId, usize>,
    pub(super) completed: Vec<CompletedTxn>,
}

/// Above this, updates are found by hash.
const SCANNED_MAX: usize = 8;

/// What an append makes of one producer (`ProducerAppendInfo`).
#[derive(Clone, Debug)]
pub(super) struct Update {
    /// Epoch before the append; -1 for an unknown producer.
    epoch_before: i16,
    /// Last sequence before the append; -1 for none.
    last_sequence_before: i32,
    /// Whether no batch was remembered before the append.
    is_empty_before: bool,
    /// After it; its batches are those of the append only.
    pub(super) after: ProducerState,
    pub(super) started: Vec<Offset>,
}

impl Pending {
    /// An append by `origin`; `version` matters for markers and for the first batch of a transactional producer.
    pub fn new(origin: Origin, version: TransactionVersion) -> Self {
        Pending { origin, version, updates: Vec::new(), by_producer: HashMap::new(), completed: Vec::new() }
    }

    /// Forgets all batches, and is for an append by `origin` from now on.
    pub fn restart(&mut self, origin: Origin, version: TransactionVersion) {
        self.clear();
        (self.origin, self.version) = (origin, version);
    }

    /// Forgets all batches, and keeps the memory for the next append.
    pub fn clear(&mut self) {
        self.updates.clear();
        self.by_producer.clear();
        self.completed.clear();
    }

    fn position(&self, producer_id: ProducerId) -> Option<usize> {
        if self.updates.len() > SCANNED_MAX {
            return self.by_producer.get(&producer_id).copied();
        }
        self.updates.iter().rposition(|update| update.after.producer_id == producer_id)
    }

    fn push(&mut self, update: Update) -> usize {
        let at = self.updates.len();
        self.updates.push(update);
        if at == SCANNED_MAX {
            self.by_producer.extend(self.updates.iter().enumerate().map(|(at, update)| (update.after.producer_id, at)));
        } else if at > SCANNED_MAX
            && let Some(update) = self.updates.last()
        {
            self.by_producer.insert(update.after.producer_id, at);
        }
        at
    }

    pub(super) fn update_of(&mut self, states: &ProducerStates, producer_id: ProducerId) -> usize {
        if let Some(at) = self.position(producer_id) {
            return at;
        }
        let unknown = ProducerState::unknown(producer_id);
        let before = states.producers.get(&producer_id).unwrap_or(&unknown);
        self.push(Update {
            epoch_before: before.producer_epoch,
            last_sequence_before: before.last_sequence(),
            is_empty_before: before.batches().is_empty(),
            after: ProducerState { batches: Batches::default(), ..*before },
            started: Vec::new(),
        })
    }
}

impl Update {
    pub(super) fn data(
        &mut self,
        batch: &BatchView<'_>,
        origin: Origin,
        version: TransactionVersion,
    ) -> Result<(), ProducerRefusal> {
        let offset = batch.base_offset();
        if origin != Origin::Replication {
            self.check_epoch(batch, false)?;
        }
        if origin == Origin::Client {
            self.check_sequence(batch, version)?;
        }
        let is_transactional = batch.is_transactional();
        if let (Some(open_since), false) = (self.after.open_txn, is_transactional) {
            return Err(ProducerRefusal::InvalidTxnState { producer_id: self.after.producer_id, offset, open_since });
        }
        let timestamp_ms = batch.max_timestamp_ms();
        self.after.enter_epoch(batch.producer_epoch());
        self.after.batches.push(BatchMetadata {
            last_sequence: batch.last_sequence(),
            last_offset: batch.last_offset(),
            offset_delta: batch.last_offset_delta(),
            timestamp_ms,
        });
        self.after.last_timestamp_ms = timestamp_ms;
        if is_transactional && self.after.open_txn.is_none() {
            self.after.open_txn = Some(offset);
            self.started.push(offset);
        }
        Ok(())
    }

    pub(super) fn marker(
        &mut self,
        batch: &BatchView<'_>,
        marker: Marker,
        origin: Origin,
        version: TransactionVersion,
    ) -> Result<Option<CompletedTxn>, ProducerRefusal> {
        let (producer_id, offset) = (self.after.producer_id, batch.base_offset());
        if origin != Origin::Replication {
            self.check_epoch(batch, version >= TransactionVersion::V2)?;
            let (found, current) = (marker.coordinator_epoch, self.after.coordinator_epoch);
            if current > found {
                return Err(ProducerRefusal::TransactionCoordinatorFenced { producer_id, offset, found, current });
            }
        }
        let completed = self.after.open_txn.take().map(|first_offset| CompletedTxn {
            producer_id,
            first_offset,
            last_offset: offset,
            is_aborted: marker.is_abort,
            last_stable_offset: offset.next(),
        });
        self.after.enter_epoch(batch.producer_epoch());
        self.after.coordinator_epoch = marker.coordinator_epoch;
        self.after.last_timestamp_ms = marker.timestamp_ms;
        Ok(completed)
    }

    /// `ProducerAppendInfo.checkProducerEpoch`.
    fn check_epoch(&self, batch: &BatchView<'_>, must_rise: bool) -> Result<(), ProducerRefusal> {
        let (found, current) = (batch.producer_epoch(), self.after.producer_epoch);
        // The coordinator repeats a marker whose acknowledgement it did not get. At the highest epoch there is no
        // room to raise it, so there the same epoch is all a marker can have.
        let is_retry = found == current && (self.after.open_txn.is_none() || found == i16::MAX);
        if found > current || (found == current && !must_rise) || (must_rise && is_retry) {
            return Ok(());
        }
        let (producer_id, offset) = (self.after.producer_id, batch.base_offset());
        Err(ProducerRefusal::InvalidProducerEpoch { producer_id, offset, found, current, must_rise })
    }

    /// `ProducerAppendInfo.checkSequence`.
    fn check_sequence(&self, batch: &BatchView<'_>, version: TransactionVersion) -> Result<(), ProducerRefusal> {
        let (producer_id, offset) = (self.after.producer_id, batch.base_offset());
        let (epoch, found) = (batch.producer_epoch(), batch.base_sequence());
        // Kafka looks at the state before the append only, so it refuses a second batch too; no client sends one.
        let is_first = self.is_empty_before && self.after.batches().is_empty();
        if version >= TransactionVersion::V2 && batch.is_transactional() && is_first && found != 0 {
            return Err(ProducerRefusal::FirstSequence { producer_id, offset, found });
        }
        let current = self.after.producer_epoch;
        if epoch != current {
            if found != 0 && current != NO_EPOCH {
                return Err(ProducerRefusal::NewEpochSequence { producer_id, offset, found, epoch, current });
            }
            return Ok(());
        }
        let last_sequence = match self.after.batches().last() {
            Some(last) => last.last_sequence,
            None if epoch == self.epoch_before => self.last_sequence_before,
            None => -1,
        };
        let expected = if last_sequence == i32::MAX { 0 } else { last_sequence.wrapping_add(1) };
        // Of a producer that was unknown before the append nothing is checked, not even its own batches.
        if self.epoch_before != NO_EPOCH && found != expected {
            return Err(ProducerRefusal::OutOfOrderSequence { producer_id, offset, found, expected, last_sequence });
        }
        Ok(())
    }
}
