//! What a log knows about its producers while it grows: who may append what, and which transactions are open.
//!
//! The rules are those of `ProducerStateManager` and `ProducerAppendInfo` of Kafka 4.3, without their files:
//! snapshots come in and go out as values ([`producer_state`](super::producer_state) reads and writes them),
//! and the clock is an argument.
//!
//! ```text
//!  append    prepare(batch) ...  write the batches  commit       checks first, state changes after the write
//!  recovery  replay(batch) ...                                   the log is right, whatever it says
//!  roll      snapshot_due -> to_entries -> (file) -> snapshot_written
//! ```
//!
//! A batch without producer id passes through without a look-up. What this leaves out is Kafka's verification of
//! transactions with their coordinator (`VerificationStateEntry`): without a broker there is nobody to ask.

mod append;
mod producer;

use std::collections::{BTreeMap, HashMap};

pub use self::append::{Check, CompletedTxn, MarkerError, Origin, Pending, ProducerRefusal, TransactionVersion};
use self::append::{Marker, Update};
pub use self::producer::{BATCHES_KEPT, BatchMetadata, ProducerState};
use super::producer_state::{ProducerEntry, ProducerSnapshot};
use crate::batch::BatchView;
use crate::types::{Offset, ProducerId, TimestampMs};

/// How long a producer without an open transaction is remembered (`producer.id.expiration.ms`).
pub const EXPIRATION_MS: i64 = 86_400_000;

/// The producers and transactions of one log, up to [`ProducerStates::map_end`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerStates {
    producers: HashMap<ProducerId, ProducerState>,
    /// Open transactions by first offset.
    ongoing: BTreeMap<Offset, ProducerId>,
    /// Ended transactions whose marker is not below the high watermark: first offset, marker's offset.
    unreplicated: BTreeMap<Offset, Offset>,
    map_end: Offset,
    last_snapshot: Offset,
}

impl ProducerStates {
    /// Nothing known, of a log that starts at `log_start`.
    pub fn new(log_start: Offset) -> Self {
        ProducerStates { map_end: log_start, last_snapshot: log_start, ..ProducerStates::default() }
    }

    /// What was known at `offset`, without the producers that have expired at `now_ms`
    /// (`ProducerStateManager.loadFromSnapshot`). Of each producer its last batch is known, older resends are not.
    ///
    /// When an id stands there twice the later entry counts, as in Kafka.
    pub fn from_snapshot(snapshot: &ProducerSnapshot, offset: Offset, now_ms: TimestampMs, expiration_ms: i64) -> Self {
        let mut states = ProducerStates::new(offset);
        let loaded = snapshot.entries.iter().map(ProducerState::of_entry);
        for state in loaded.filter(|state| !state.is_expired(now_ms, expiration_ms)) {
            if let Some(first) = state.open_txn {
                states.ongoing.insert(first, state.producer_id);
            }
            states.producers.insert(state.producer_id, state);
        }
        states
    }

    /// Checks one batch of an append, with its offsets assigned, and notes in `pending` what it would change.
    ///
    /// Nothing changes here; a refused batch leaves no trace in `pending` either. A duplicate, which only
    /// [`Origin::Client`] is told of, makes the whole append one: Kafka looks for it among the batches before
    /// the append only.
    ///
    /// [`Origin::Replication`] is refused plain data inside an open transaction and control records that are no
    /// markers, nothing else.
    pub fn prepare(&self, pending: &mut Pending, batch: &BatchView<'_>) -> Result<Check, ProducerRefusal> {
        let producer_id = batch.producer_id();
        if !producer_id.is_some() {
            return Ok(Check::New);
        }
        let (origin, version) = (pending.origin, pending.version);
        if origin == Origin::Client
            && let Some(first) = self.producers.get(&producer_id).and_then(|state| state.duplicate_of(batch))
        {
            return Ok(Check::Duplicate(first));
        }
        let marker = if batch.is_control() {
            let read = Marker::of_batch(batch);
            let offset = batch.base_offset();
            Some(read.map_err(|cause| ProducerRefusal::Marker { producer_id, offset, cause })?)
        } else {
            None
        };
        let known = pending.updates.len();
        let at = pending.update_of(self, producer_id);
        let Some(update) = pending.updates.get_mut(at) else { return Ok(Check::New) };
        let done = match marker {
            None => update.data(batch, origin, version).map(|()| None),
            Some(Some(marker)) => update.marker(batch, marker, origin, version),
            Some(None) => Ok(None),
        };
        match done {
            Ok(completed) => pending.completed.extend(completed),
            Err(refusal) => {
                pending.updates.truncate(known);
                pending.by_producer.retain(|_, at| *at < known);
                return Err(refusal);
            }
        }
        Ok(Check::New)
    }

    /// Takes over what [`ProducerStates::prepare`] noted, after the batches were written, and empties `pending`.
    ///
    /// `end` is the offset after the last of them. The answer is the transactions that ended, in the order of
    /// their markers: those aborted belong in the transaction index of the segment ([`CompletedTxn::index_entry`]).
    pub fn commit(&mut self, pending: &mut Pending, end: Offset) -> Vec<CompletedTxn> {
        for Update { after, started, .. } in pending.updates.drain(..) {
            let state = self.producers.entry(after.producer_id).or_insert(ProducerState::unknown(after.producer_id));
            state.enter_epoch(after.producer_epoch);
            after.batches().iter().for_each(|batch| state.batches.push(*batch));
            state.coordinator_epoch = after.coordinator_epoch;
            state.last_timestamp_ms = after.last_timestamp_ms;
            state.open_txn = after.open_txn;
            self.ongoing.extend(started.into_iter().map(|first| (first, after.producer_id)));
        }
        pending.by_producer.clear();
        let mut completed = std::mem::take(&mut pending.completed);
        completed.iter_mut().for_each(|txn| self.complete(txn));
        self.map_end = end;
        completed
    }

    /// Takes one batch of the log as it is: recovery, and rebuilding the state from a snapshot on.
    ///
    /// Refused is only what Kafka's start trips over as well, see [`ProducerStates::prepare`].
    pub fn replay(&mut self, batch: &BatchView<'_>) -> Result<Option<CompletedTxn>, ProducerRefusal> {
        let mut pending = Pending::new(Origin::Replication, TransactionVersion::V0);
        self.prepare(&mut pending, batch)?;
        Ok(self.commit(&mut pending, batch.last_offset().next()).pop())
    }

    /// `lastStableOffset` and `completeTxn`.
    fn complete(&mut self, txn: &mut CompletedTxn) {
        let other = self.ongoing.iter().find(|(_, producer_id)| **producer_id != txn.producer_id);
        txn.last_stable_offset = other.map_or(txn.last_offset.next(), |(first, _)| *first);
        self.ongoing.remove(&txn.first_offset);
        self.unreplicated.insert(txn.first_offset, txn.last_offset);
    }

    /// First offset of a transaction that is open, or whose marker is not below the high watermark yet.
    ///
    /// The last stable offset is this, or the high watermark where that is lower or this is `None`.
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let first = [self.ongoing.keys().next(), self.unreplicated.keys().next()];
        first.into_iter().flatten().min().copied()
    }

    /// Forgets the ended transactions whose marker lies below the new high watermark.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        self.unreplicated.retain(|_, marker| *marker >= high_watermark);
    }

    /// The log now starts at `log_start`; `newest_snapshot` is the offset of the newest snapshot that is left
    /// (`onLogStartOffsetIncremented`).
    pub fn on_log_start(&mut self, log_start: Offset, newest_snapshot: Option<Offset>) {
        self.unreplicated.retain(|_, marker| *marker >= log_start);
        self.map_end = self.map_end.max(log_start);
        self.last_snapshot = newest_snapshot.unwrap_or(log_start);
    }

    /// Whether a log cut at `log_end` needs its state loaded again: from the newest snapshot at or below
    /// `log_end` and above the log start, and replayed from there (`truncateAndReload`).
    /// Otherwise [`ProducerStates::on_log_start`] is all there is to do.
    pub fn needs_reload(&self, log_end: Offset) -> bool {
        self.map_end != log_end
    }

    /// Forgets everything; the log goes on empty at `offset`, and its snapshots are to be deleted
    /// (`truncateFullyAndStartAt`).
    pub fn truncate_fully(&mut self, offset: Offset) {
        *self = ProducerStates { map_end: offset, ..ProducerStates::default() };
    }

    /// Forgets the producers that have expired at `now_ms`, a check for every ten minutes
    /// (`producer.id.expiration.check.interval.ms`). Their next batch may start at any sequence.
    pub fn remove_expired(&mut self, now_ms: TimestampMs, expiration_ms: i64) {
        self.producers.retain(|_, state| !state.is_expired(now_ms, expiration_ms));
    }

    /// The offset a snapshot is due at, to be written at a roll and on closing: the end of the state, unless a
    /// snapshot is there already.
    pub fn snapshot_due(&self) -> Option<Offset> {
        (self.map_end > self.last_snapshot).then_some(self.map_end)
    }

    /// A snapshot of the present state is on disk.
    pub fn snapshot_written(&mut self) {
        self.last_snapshot = self.map_end;
    }

    /// The entries of a snapshot, by producer id. Kafka's stand in the order of a hash map, which nothing reads.
    pub fn to_entries(&self) -> Vec<ProducerEntry> {
        let mut entries: Vec<_> = self.producers.values().map(ProducerState::to_entry).collect();
        entries.sort_unstable_by_key(|entry| entry.producer_id);
        entries
    }

    /// The offset after the last batch the state covers (`mapEndOffset`).
    pub fn map_end(&self) -> Offset {
        self.map_end
    }

    /// The state covers the log up to `end`: batches without producer do not pass through here.
    pub fn set_map_end(&mut self, end: Offset) {
        self.map_end = end;
    }

    /// What is known of a producer.
    pub fn producer(&self, producer_id: ProducerId) -> Option<&ProducerState> {
        self.producers.get(&producer_id)
    }

    /// All producers known, in no particular order.
    pub fn producers(&self) -> impl ExactSizeIterator<Item = &ProducerState> {
        self.producers.values()
    }

    /// Open transactions: first offset and producer, by offset.
    pub fn open_txns(&self) -> impl ExactSizeIterator<Item = (Offset, ProducerId)> {
        self.ongoing.iter().map(|(first, producer_id)| (*first, *producer_id))
    }

    /// Whether no producer is known and every ended transaction is replicated (`ProducerStateManager.isEmpty`).
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty() && self.unreplicated.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Frame;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    struct Spec {
        offset: i64,
        id: i64,
        epoch: i16,
        sequence: i32,
        count: i32,
        transactional: bool,
        /// Whether it aborts, and the coordinator's epoch.
        marker: Option<(bool, i32)>,
    }

    const DATA: Spec = Spec { offset: 0, id: 7, epoch: 0, sequence: 0, count: 1, transactional: false, marker: None };
    const TXN: Spec = Spec { transactional: true, ..DATA };
    const ABORT: Spec = Spec { sequence: -1, marker: Some((true, 0)), ..TXN };

    /// Timestamps are the offset; checksums are left out, nobody here looks at them.
    fn bytes(spec: Spec) -> Vec<u8> {
        let marker = spec.marker.map(|(abort, epoch)| {
            let mut record = vec![32, 0, 0, 0, 8, 0, 0, 0, u8::from(!abort), 12, 0, 0];
            record.extend(epoch.to_be_bytes());
            record.push(0);
            record
        });
        let payload = marker.clone().unwrap_or_default();
        let attributes = i16::from(spec.transactional) << 4 | i16::from(marker.is_some()) << 5;
        let mut out = spec.offset.to_be_bytes().to_vec();
        out.extend(i32::try_from(49 + payload.len()).unwrap().to_be_bytes());
        out.extend([0, 0, 0, 0, 2, 0, 0, 0, 0]);
        out.extend(attributes.to_be_bytes());
        out.extend((spec.count - 1).to_be_bytes());
        out.extend(spec.offset.to_be_bytes());
        out.extend(spec.offset.to_be_bytes());
        out.extend(spec.id.to_be_bytes());
        out.extend(spec.epoch.to_be_bytes());
        out.extend(spec.sequence.to_be_bytes());
        out.extend(spec.count.to_be_bytes());
        out.extend(payload);
        out
    }

    fn view(bytes: &[u8]) -> BatchView<'_> {
        match Frame::parse(bytes) {
            Ok(Frame::Batch(batch)) => batch,
            other => panic!("{other:?}"),
        }
    }

    fn append(
        states: &mut ProducerStates,
        origin: Origin,
        version: TransactionVersion,
        specs: &[Spec],
    ) -> Result<(Check, Vec<CompletedTxn>), ProducerRefusal> {
        let mut pending = Pending::new(origin, version);
        let mut end = states.map_end();
        for spec in specs {
            let batch = bytes(*spec);
            match states.prepare(&mut pending, &view(&batch))? {
                Check::New => end = view(&batch).last_offset().next(),
                duplicate => return Ok((duplicate, Vec::new())),
            }
        }
        Ok((Check::New, states.commit(&mut pending, end)))
    }

    fn after(specs: &[Spec]) -> ProducerStates {
        let mut states = ProducerStates::new(Offset::ZERO);
        for spec in specs {
            states.replay(&view(&bytes(*spec))).unwrap();
        }
        states
    }

    #[test]
    fn refusals_say_what_was_found_and_expected() {
        use Origin::{Client, Coordinator, Replication};
        use TransactionVersion::{V0, V2};
        let one = [Spec { sequence: 4, epoch: 3, ..DATA }];
        let open = [Spec { epoch: 3, ..TXN }, Spec { offset: 1, epoch: 3, marker: Some((false, 5)), ..ABORT }];
        let at = Spec { offset: 9, ..DATA };
        let cases: &[(&[Spec], Origin, TransactionVersion, Spec, &str)] = &[
            (&one, Client, V0, Spec { sequence: 5, epoch: 3, ..at }, ""),
            (
                &one,
                Client,
                V0,
                Spec { sequence: 6, epoch: 3, ..at },
                "sequence of producer 7 at offset 9 is 6, expected 5 after 4",
            ),
            (&one, Coordinator, V0, Spec { sequence: 6, epoch: 3, ..at }, ""),
            (
                &one,
                Client,
                V0,
                Spec { sequence: 5, epoch: 2, ..at },
                "epoch of producer 7 at offset 9 is 2, expected at least 3",
            ),
            (
                &one,
                Coordinator,
                V0,
                Spec { sequence: 5, epoch: 2, ..at },
                "epoch of producer 7 at offset 9 is 2, expected at least 3",
            ),
            (&one, Replication, V0, Spec { sequence: 1, epoch: 2, ..at }, ""),
            (
                &one,
                Client,
                V0,
                Spec { sequence: 5, epoch: 4, ..at },
                "sequence of producer 7 at offset 9 is 5, expected 0 for epoch 4, which is new after 3",
            ),
            (&one, Client, V0, Spec { sequence: 0, epoch: 4, ..at }, ""),
            (&[], Client, V0, Spec { sequence: 12, ..at }, ""),
            (
                &[],
                Client,
                V2,
                Spec { sequence: 12, transactional: true, ..at },
                "sequence of producer 7 at offset 9 is 12, expected 0: no batch of it is known, and transactions of version 2 start at 0",
            ),
            (
                &open[..1],
                Replication,
                V0,
                Spec { epoch: 3, ..at },
                "batch of producer 7 at offset 9 is not transactional, expected one of the transaction open since offset 0",
            ),
            (
                &open,
                Coordinator,
                V0,
                Spec { offset: 9, epoch: 3, marker: Some((true, 4)), ..ABORT },
                "coordinator epoch for producer 7 at offset 9 is 4, expected at least 5",
            ),
            (&open, Replication, V0, Spec { offset: 9, epoch: 3, marker: Some((true, 4)), ..ABORT }, ""),
            (
                &open[..1],
                Coordinator,
                V2,
                Spec { offset: 9, epoch: 3, ..ABORT },
                "epoch of producer 7 at offset 9 is 3, expected above 3",
            ),
            (&open[..1], Coordinator, V0, Spec { offset: 9, epoch: 3, ..ABORT }, ""),
            (&open, Coordinator, V2, Spec { offset: 9, epoch: 3, marker: Some((false, 5)), ..ABORT }, ""),
        ];
        for (number, (before, origin, version, spec, expected)) in cases.iter().enumerate() {
            let mut states = after(before);
            let unchanged = states.clone();
            let found = append(&mut states, *origin, *version, &[*spec]);
            let message = found.as_ref().err().map_or(String::new(), ToString::to_string);
            assert_eq!(message, *expected, "case {number}");
            assert_eq!(found.is_err(), states == unchanged, "case {number}");
        }
    }

    #[test]
    fn the_batches_of_one_append_build_on_each_other_and_count_together() {
        let mut states = ProducerStates::new(Offset::ZERO);
        let batch = |offset, sequence| Spec { offset, sequence, ..DATA };
        let append =
            |states: &mut ProducerStates, specs: &[Spec]| append(states, Origin::Client, TransactionVersion::V0, specs);
        append(&mut states, &[batch(0, 0), batch(1, 1), batch(2, 2)]).unwrap();
        assert_eq!(states.producer(ProducerId(7)).unwrap().last_sequence(), 2);
        let before = states.clone();
        let found = append(&mut states, &[batch(3, 3), batch(4, 5)]);
        assert!(matches!(found, Err(ProducerRefusal::OutOfOrderSequence { found: 5, expected: 4, .. })), "{found:?}");
        assert_eq!(states, before, "nothing of a refused append stays");
        let (found, _) = append(&mut states, &[batch(3, 3), batch(4, 1)]).unwrap();
        let first = BatchMetadata { last_sequence: 1, last_offset: Offset::new(1), offset_delta: 0, timestamp_ms: 1 };
        assert_eq!((found, &states), (Check::Duplicate(first), &before));
        append(&mut states, &(3..8).map(|n| batch(i64::from(n), n)).collect::<Vec<_>>()).unwrap();
        let kept: Vec<_> = states.producer(ProducerId(7)).unwrap().batches().iter().map(|b| b.last_sequence).collect();
        assert_eq!(kept, [3, 4, 5, 6, 7]);
    }

    #[test]
    fn transactions_hold_the_last_stable_offset_until_their_marker_is_replicated() {
        let mut states = after(&[TXN, Spec { offset: 1, id: 8, ..TXN }, Spec { offset: 2, id: 9, ..TXN }]);
        let end = |states: &mut ProducerStates, offset, id| {
            states.replay(&view(&bytes(Spec { offset, id, ..ABORT }))).unwrap().unwrap()
        };
        let ended = end(&mut states, 3, 8);
        assert_eq!((ended.first_offset, ended.last_stable_offset), (Offset::new(1), Offset::ZERO));
        assert_eq!(ended.index_entry().unwrap().last_offset, Offset::new(3));
        assert_eq!(end(&mut states, 4, 7).last_stable_offset, Offset::new(2));
        for (high_watermark, expected) in [(3, Some(0)), (4, Some(0)), (5, Some(2))] {
            states.on_high_watermark(Offset::new(high_watermark));
            assert_eq!(states.first_unstable_offset(), expected.map(Offset::new), "high watermark {high_watermark}");
        }
        assert_eq!(end(&mut states, 5, 9).last_stable_offset, Offset::new(6));
        states.on_log_start(Offset::new(6), None);
        assert_eq!((states.first_unstable_offset(), states.snapshot_due()), (None, None));
        let none = states.replay(&view(&bytes(Spec { offset: 6, count: 0, ..ABORT }))).unwrap();
        assert_eq!(none, None, "compaction took the marker's record");
    }

    #[test]
    fn producers_expire_by_their_last_timestamp_unless_a_transaction_is_open() {
        let mut states = after(&[DATA, Spec { offset: 10, id: 8, ..DATA }, Spec { offset: 20, id: 9, ..TXN }]);
        let snapshot = ProducerSnapshot { entries: states.to_entries(), trailing_bytes: 0 };
        for (now_ms, expected) in [(99, &[7, 8, 9][..]), (100, &[8, 9]), (110, &[9]), (i64::MAX, &[9])] {
            states.remove_expired(now_ms, 100);
            let ids: Vec<_> = states.to_entries().iter().map(|entry| entry.producer_id.0).collect();
            assert_eq!(ids, expected, "now {now_ms}");
            let loaded = ProducerStates::from_snapshot(&snapshot, Offset::new(21), now_ms, 100);
            assert_eq!(loaded.to_entries(), states.to_entries(), "now {now_ms}");
            assert_eq!(loaded.first_unstable_offset(), Some(Offset::new(20)));
        }
        states.truncate_fully(Offset::new(50));
        assert!(states.is_empty() && states.needs_reload(Offset::new(49)) && !states.needs_reload(Offset::new(50)));
        assert_eq!(states.snapshot_due(), Some(Offset::new(50)));
    }

    #[test]
    fn control_records_that_end_no_transaction_are_refused() {
        let marker = bytes(ABORT);
        let body = crate::batch::view::HEADER_LEN;
        for (at, byte, expected) in [
            (body + 8, 2, "expected COMMIT or ABORT, found LEADER_CHANGE"),
            (body + 4, 6, ""),
            (body + 5, 0x80, "key of 4 bytes names no control type"),
            (body + 10, 0x80, "value of 6 bytes holds no coordinator epoch"),
            (body, 90, "record 0 declares 45 bytes, 16 remain"),
        ] {
            let mut damaged = marker.clone();
            damaged[at] = byte;
            let found = ProducerStates::new(Offset::ZERO).replay(&view(&damaged)).unwrap_err();
            assert!(matches!(found, ProducerRefusal::Marker { .. }), "{found:?}");
            assert!(found.to_string().contains(expected), "{found}");
        }
    }

    #[test]
    fn first_sequences_wrap_below_zero() {
        for ((last, delta), expected) in [((5, 2), 3), ((1, 3), i32::MAX - 1), ((0, 0), 0), ((2, 3), i32::MAX)] {
            let batch = BatchMetadata { last_sequence: last, offset_delta: delta, ..BatchMetadata::default() };
            assert_eq!(batch.first_sequence(), expected, "{last} - {delta}");
        }
    }

    fn any_spec() -> impl Strategy<Value = Spec> {
        (
            0_i64..30,
            0_i16..3,
            -1_i32..4,
            1_i32..3,
            any::<bool>(),
            proptest::option::weighted(0.3, (any::<bool>(), 0..3)),
        )
            .prop_map(|(id, epoch, sequence, count, transactional, marker)| {
                let count = if marker.is_some() { 1 } else { count };
                Spec { offset: 0, id, epoch, sequence, count, transactional: transactional || marker.is_some(), marker }
            })
    }

    proptest! {
        /// A fetch of many batches, of more producers than are looked through one by one, is the batches one after
        /// the other. (Not when an epoch goes up and back within it: then Kafka, too, remembers more.)
        #[test]
        fn committing_together_is_replaying_one_by_one(specs in proptest::collection::vec(any_spec(), 0..60)) {
            let (mut one_by_one, mut together) = (ProducerStates::new(Offset::ZERO), ProducerStates::new(Offset::ZERO));
            let mut pending = Pending::new(Origin::Replication, TransactionVersion::V0);
            let (mut ended, mut end) = (Vec::new(), Offset::ZERO);
            for (number, spec) in specs.into_iter().enumerate() {
                let batch = bytes(Spec { offset: end.get(), epoch: i16::try_from(number / 20).unwrap(), ..spec });
                let prepared = together.prepare(&mut pending, &view(&batch));
                let replayed = one_by_one.replay(&view(&batch));
                prop_assert_eq!(prepared.is_err(), replayed.is_err());
                if let Ok(completed) = replayed {
                    ended.extend(completed);
                    end = view(&batch).last_offset().next();
                }
            }
            let committed = together.commit(&mut pending, end);
            let names = |txns: &[CompletedTxn]| -> Vec<_> {
                txns.iter().map(|txn| (txn.producer_id, txn.first_offset, txn.last_offset)).collect()
            };
            prop_assert_eq!(names(&committed), names(&ended));
            prop_assert_eq!(together, one_by_one);
        }

        #[test]
        fn arbitrary_batches_never_panic(
            raw in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 61..100), 0_u8..2), 0..8),
        ) {
            let mut states = ProducerStates::new(Offset::ZERO);
            for (mut batch, low) in raw {
                let len = i32::try_from(batch.len() - 12).unwrap();
                batch[8..12].copy_from_slice(&len.to_be_bytes());
                batch[16] = 2;
                batch[43..51].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, low]);
                for origin in [Origin::Client, Origin::Coordinator, Origin::Replication] {
                    let _ = states.prepare(&mut Pending::new(origin, TransactionVersion::V2), &view(&batch));
                }
                let _ = states.replay(&view(&batch));
            }
            let _ = (states.to_entries(), states.first_unstable_offset());
        }
    }
}
