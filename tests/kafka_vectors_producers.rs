//! Appends by idempotent and transactional producers, against what a log of Kafka 4.3.0 made of the same batches.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;

use logdir::batch::{BatchView, Frame};
use logdir::crc::crc32c;
use logdir::storage::index::txn::{ENTRY_LEN, TxnIndex};
use logdir::storage::producer_state::{self, ProducerEntry, ProducerSnapshot};
use logdir::storage::producer_states::{Check, EXPIRATION_MS, Origin, Pending, ProducerStates, TransactionVersion};
use logdir::types::{Offset, ProducerId};
use serde_json::{Value, json};
use support::{compared_all, hex, int, lines, list, text};

/// A batch as the generator of the vectors wrote it: records of one value byte, or one marker.
fn batch_of(op: &Value, base: Offset) -> Vec<u8> {
    let marker = text(op, "op") == "marker";
    let (sequence, count) = if marker { (-1, 1) } else { (int(op, "base_sequence"), int(op, "count")) };
    let mut records = Vec::new();
    for delta in 0..u8::try_from(count).unwrap() {
        if marker {
            let key = [0, 0, 0, u8::from(op["commit"] == true)];
            let epoch = i32::try_from(int(op, "coordinator_epoch")).unwrap();
            records.extend([32, 0, 0, 0, 8].into_iter().chain(key).chain([12, 0, 0]).chain(epoch.to_be_bytes()));
            records.push(0);
        } else {
            records.extend([14, 0, 0, delta * 2, 1, 2, b'v', 0]);
        }
    }
    let attributes: i16 = match (marker, op["transactional"] == true) {
        (true, _) => 0x30,
        (false, true) => 0x10,
        (false, false) => 0,
    };
    let mut covered = attributes.to_be_bytes().to_vec();
    covered.extend(i32::try_from(count - 1).unwrap().to_be_bytes());
    covered.extend(int(op, "timestamp").to_be_bytes());
    covered.extend(int(op, "timestamp").to_be_bytes());
    covered.extend(int(op, "producer_id").to_be_bytes());
    covered.extend(i16::try_from(int(op, "producer_epoch")).unwrap().to_be_bytes());
    covered.extend(i32::try_from(sequence).unwrap().to_be_bytes());
    covered.extend(i32::try_from(count).unwrap().to_be_bytes());
    covered.extend(records);
    let mut batch = base.get().to_be_bytes().to_vec();
    batch.extend(i32::try_from(covered.len() + 9).unwrap().to_be_bytes());
    batch.extend([0, 0, 0, 0, 2]);
    batch.extend(crc32c(&covered).to_be_bytes());
    batch.extend(covered);
    batch
}

fn view(bytes: &[u8]) -> BatchView<'_> {
    match Frame::parse(bytes) {
        Ok(Frame::Batch(batch)) => batch,
        other => panic!("{other:?}"),
    }
}

#[derive(Default)]
struct Segment {
    base: Offset,
    log: Vec<u8>,
    txn_index: Vec<u8>,
}

/// A log in memory: as much of one as producers can see.
struct Log {
    segment_bytes: i64,
    segments: Vec<Segment>,
    snapshots: BTreeMap<Offset, Vec<u8>>,
    states: ProducerStates,
    end: Offset,
}

impl Log {
    fn new(segment_bytes: i64) -> Self {
        Log {
            segment_bytes,
            segments: vec![Segment::default()],
            snapshots: BTreeMap::new(),
            states: ProducerStates::new(Offset::ZERO),
            end: Offset::ZERO,
        }
    }

    fn take_snapshot(&mut self) {
        if let Some(offset) = self.states.snapshot_due() {
            self.snapshots.insert(offset, producer_state::to_bytes(&self.states.to_entries()));
            self.states.snapshot_written();
        }
    }

    fn roll_if_full(&mut self, incoming: usize) {
        let active = self.segments.last().unwrap().log.len();
        if i64::try_from(active + incoming).unwrap() > self.segment_bytes {
            self.states.set_map_end(self.end);
            self.take_snapshot();
            self.segments.push(Segment { base: self.end, ..Segment::default() });
        }
    }

    /// What the vectors call the result.
    fn append(&mut self, op: &Value) -> Value {
        let bytes = batch_of(op, self.end);
        let batch = view(&bytes);
        batch.verify_crc().unwrap();
        self.roll_if_full(bytes.len());
        let origin = match op["origin"].as_str() {
            Some("CLIENT") => Origin::Client,
            Some("COORDINATOR") => Origin::Coordinator,
            _ => Origin::Replication,
        };
        let version = match op["transaction_version"].as_i64() {
            Some(2) => TransactionVersion::V2,
            Some(1) => TransactionVersion::V1,
            _ => TransactionVersion::V0,
        };
        let mut pending = Pending::new(origin, version);
        match self.states.prepare(&mut pending, &batch) {
            Ok(Check::New) => {}
            Ok(Check::Duplicate(first)) => {
                return json!({
                    "result": "duplicate", "first_offset": first.first_offset().get(),
                    "last_offset": first.last_offset.get(), "timestamp_of_duplicate": first.timestamp_ms,
                });
            }
            Err(refusal) => {
                assert!(refusal.to_string().contains(&op["producer_id"].to_string()), "{refusal}");
                return json!({ "result": "error", "error": refusal.kafka_name() });
            }
        }
        let active = self.segments.last_mut().unwrap();
        active.log.extend(&bytes);
        for txn in self.states.commit(&mut pending, batch.last_offset().next()) {
            active.txn_index.extend(txn.index_entry().iter().flat_map(|entry| entry.to_bytes()));
        }
        self.end = batch.last_offset().next();
        self.states.on_high_watermark(self.end);
        json!({ "result": "accepted", "first_offset": batch.base_offset().get(), "last_offset": batch.last_offset().get() })
    }

    fn last_stable(&self) -> Offset {
        self.states.first_unstable_offset().unwrap_or(self.end).min(self.end)
    }

    /// Closed, and opened again after a clean shutdown: `LogLoader`, `UnifiedLog.rebuildProducerState`.
    fn restart(&mut self, now_ms: i64) {
        self.take_snapshot();
        let bases: Vec<_> = self.segments.iter().map(|segment| segment.base).collect();
        let newest_stray = self.snapshots.keys().rev().find(|offset| !bases.contains(offset)).copied();
        let newest_base = *bases.last().unwrap();
        self.snapshots
            .retain(|offset, _| bases.contains(offset) || (Some(*offset) == newest_stray && *offset >= newest_base));
        self.states = ProducerStates::new(Offset::ZERO);
        if self.states.needs_reload(self.end) {
            let end = self.end;
            self.snapshots.retain(|offset, _| *offset <= end && *offset > Offset::ZERO);
            if let Some((offset, bytes)) = self.snapshots.last_key_value() {
                let snapshot = producer_state::parse(bytes).unwrap();
                self.states = ProducerStates::from_snapshot(&snapshot, *offset, now_ms, EXPIRATION_MS);
            }
        }
        assert_eq!(self.states.map_end(), self.end, "a clean close leaves a snapshot at the end");
        self.take_snapshot();
        // What is loaded from the snapshot is what a replay of the whole log gives, but for older batches.
        let replayed = self.replayed();
        let loaded: Vec<_> = self.states.open_txns().collect();
        assert_eq!(replayed.open_txns().collect::<Vec<_>>(), loaded);
        assert_eq!(replayed.to_entries(), self.states.to_entries());
    }

    fn replayed(&self) -> ProducerStates {
        let mut states = ProducerStates::new(Offset::ZERO);
        for segment in &self.segments {
            let (mut rest, mut txn_index) = (&segment.log[..], Vec::new());
            while !rest.is_empty() {
                let batch = view(rest);
                rest = &rest[batch.bytes().len()..];
                let completed = states.replay(&batch).unwrap();
                txn_index.extend(completed.iter().filter_map(|txn| txn.index_entry()).flat_map(|txn| txn.to_bytes()));
            }
            assert_eq!(txn_index, segment.txn_index, "recovery writes the index that appending wrote");
        }
        states
    }

    fn producers(&self) -> Value {
        let mut producers: Vec<_> = self.states.producers().collect();
        producers.sort_by_key(|state| state.producer_id);
        let json = producers.into_iter().map(|state| {
            let batches = state.batches().iter().map(|batch| {
                json!({
                    "first_sequence": batch.first_sequence(), "last_sequence": batch.last_sequence,
                    "first_offset": batch.first_offset().get(), "last_offset": batch.last_offset.get(),
                    "timestamp": batch.timestamp_ms,
                })
            });
            json!({
                "producer_id": state.producer_id.0, "producer_epoch": state.producer_epoch,
                "coordinator_epoch": state.coordinator_epoch, "last_timestamp": state.last_timestamp_ms,
                "current_txn_first_offset": state.open_txn.map(Offset::get), "batches": batches.collect::<Vec<_>>(),
            })
        });
        json.collect()
    }
}

fn by_id(bytes: &[u8]) -> Vec<ProducerEntry> {
    let ProducerSnapshot { mut entries, trailing_bytes } = producer_state::parse(bytes).unwrap();
    assert_eq!(trailing_bytes, 0);
    entries.sort_by_key(|entry| entry.producer_id);
    entries
}

#[test]
fn producer_states_follow_kafka_append_by_append() {
    let Some(cases) = lines("producer-state") else { return };
    let (mut compared, mut ops) = (0, 0);
    for case in &cases {
        let mut log = Log::new(int(case, "segment_bytes"));
        let mut now_ms = 1_750_000_000_000;
        for op in list(case, "ops") {
            ops += 1;
            if text(op, "op") == "restart" {
                log.restart(now_ms);
                assert_eq!(log.end.get(), int(op, "log_end_offset"), "{op} in {}", case["id"]);
                continue;
            }
            now_ms = int(op, "timestamp");
            let found = log.append(op);
            for (name, value) in found.as_object().unwrap() {
                assert_eq!(op[name], *value, "{name} of {op} in {}", case["id"]);
            }
            assert_eq!(log.last_stable().get(), int(op, "last_stable_offset"), "{op} in {}", case["id"]);
        }
        assert_eq!(log.producers(), case["producers"], "{}", case["id"]);
        assert_eq!(log.end.get(), int(case, "log_end_offset"), "{}", case["id"]);
        assert_eq!(log.last_stable().get(), int(case, "last_stable_offset"), "{}", case["id"]);
        let unstable = log.states.first_unstable_offset().map(Offset::get);
        assert_eq!(unstable, case["first_unstable_offset"].as_i64(), "{}", case["id"]);
        compare_files(case, &mut log);
        log.replayed();
        compared += 1;
    }
    println!("producer-state: {ops} operations");
    compared_all("producer-state", compared, cases.len());
}

fn compare_files(case: &Value, log: &mut Log) {
    let mut aborted = Vec::new();
    for segment in &log.segments {
        let index = TxnIndex::new(segment.base, &segment.txn_index);
        assert_eq!(index.first_violation(), None, "{}", case["id"]);
        aborted.extend(index.entries().map(|txn| {
            json!([txn.producer_id.0, txn.first_offset.get(), txn.last_offset.get(), txn.last_stable_offset.get()])
        }));
    }
    assert_eq!(Value::from(aborted), case["aborted_transactions"], "{}", case["id"]);

    log.take_snapshot();
    let (mut snapshots, mut segments) = (Vec::new(), 0);
    for file in list(case, "files_after_close") {
        let (stem, extension) = text(file, "name").split_once('.').unwrap_or((text(file, "name"), ""));
        let segment = || {
            let base = Offset::new(stem.parse().unwrap());
            log.segments.iter().find(|segment| segment.base == base).unwrap_or_else(|| panic!("{file} in {case}"))
        };
        match extension {
            "snapshot" => {
                let offset = Offset::new(stem.parse().unwrap());
                let ours = log.snapshots.get(&offset).unwrap_or_else(|| panic!("{file} in {case}"));
                // Kafka's entries stand in the order of its hash map.
                assert_eq!(by_id(ours), by_id(&hex(file, "bytes")), "{file} in {case}");
                assert_eq!(producer_state::to_bytes(&by_id(&hex(file, "bytes"))), *ours, "{file} in {case}");
                snapshots.push(offset);
            }
            "log" => {
                assert_eq!(segment().log.len() as i64, int(file, "size"), "{file} in {case}");
                segments += 1;
            }
            "txnindex" => assert_eq!(segment().txn_index, hex(file, "bytes"), "{file} in {case}"),
            _ => {}
        }
    }
    assert_eq!(log.snapshots.keys().copied().collect::<Vec<_>>(), snapshots, "{}", case["id"]);
    assert_eq!(log.segments.len(), segments, "{}", case["id"]);
    let listed = list(case, "files_after_close").iter().filter(|file| text(file, "name").ends_with("txnindex")).count();
    let ours = log.segments.iter().filter(|segment| segment.txn_index.len() >= ENTRY_LEN).count();
    assert_eq!(ours, listed, "{}", case["id"]);
    assert!(log.states.producers().all(|state| state.producer_id > ProducerId::NONE));
}
