//! A replay of producers along the log, compared with the snapshots on the way.
//!
//! A snapshot says what the log says up to its offset. So a segment can be checked from the snapshot at its
//! base to the one at its end, and segments side by side; a snapshot that is wrong is found by the segment
//! before it. What a snapshot no longer has because it expired is no fault, and neither is what it has from
//! before the log's start.

use std::path::{Path, PathBuf};

use super::finding::{Advice, Fault, Finding, Findings, Grade};
use super::txn_index::ExpectedAborts;
use crate::batch::BatchView;
use crate::storage::producer_state::{self, ProducerEntry};
use crate::storage::producer_states::ProducerStates;
use crate::types::{Offset, Position};

/// A snapshot on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Everything below is in it.
    pub offset: Offset,
    /// The file.
    pub path: PathBuf,
}

/// The producers of a log at one point of a walk.
#[derive(Debug)]
pub struct Producers {
    states: ProducerStates,
    /// What came before is not known.
    known_from: Offset,
    /// Snapshots ahead, the nearest last.
    ahead: Vec<SnapshotFile>,
    aborted: ExpectedAborts,
    /// What was open at the start is known: a snapshot told, or the log starts there.
    is_complete: bool,
    /// Bytes that hold no batch were met: what they said of producers is not known.
    is_sure: bool,
}

/// `producer.id.expiration.ms`, by default.
const EXPIRATION_MS: i64 = 86_400_000;

impl Producers {
    /// At the start of a log, or of a segment without a snapshot.
    pub fn unknown(start: Offset, ahead: Vec<SnapshotFile>) -> Producers {
        Producers::with(ProducerStates::new(start), start, ahead)
    }

    /// As the snapshot at the start of a segment has them; when it cannot be read, nothing is known.
    pub fn from_snapshot(start: &SnapshotFile, ahead: Vec<SnapshotFile>, findings: &mut Findings) -> Producers {
        match producer_state::read(&start.path) {
            Ok(snapshot) => {
                // Nothing expires: that is for the time the snapshot was written.
                let states = ProducerStates::from_snapshot(&snapshot, start.offset, 0, i64::MAX);
                Producers::with(states, Offset::ZERO, ahead)
            }
            Err(error) => {
                let said = format!("{}; a broker removes it and reads the log from an older one on", error.kind);
                let finding = Finding::new(Fault::Snapshot, Grade::Slows, &start.path, said).offset(start.offset);
                findings.push(finding.advice(Advice::Nothing));
                Producers { is_complete: false, ..Producers::unknown(start.offset, ahead) }
            }
        }
    }

    fn with(states: ProducerStates, known_from: Offset, mut ahead: Vec<SnapshotFile>) -> Producers {
        ahead.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.offset));
        let aborted = ExpectedAborts { known_from, ..ExpectedAborts::default() };
        Producers { states, known_from, ahead, aborted, is_complete: true, is_sure: true }
    }

    /// Takes the next batch of a producer.
    pub fn batch(&mut self, batch: &BatchView<'_>, log: &Path, position: u64, findings: &mut Findings) {
        self.reach(batch.base_offset(), findings);
        match self.states.replay(batch) {
            Ok(ended) => self.aborted.entries.extend(ended.and_then(|txn| txn.index_entry())),
            Err(refusal) => {
                self.is_sure = false;
                let said = format!("{refusal}; a broker that reads the log at its start fails on it");
                let finding = Finding::new(Fault::Producer, Grade::StopsBroker, log, said);
                let finding = finding.at(Position::new(position)).offset(batch.base_offset());
                findings.push(finding.advice(Advice::Inspect));
            }
        }
    }

    /// Bytes were met that hold no batch: from here on nothing is certain.
    pub fn interrupt(&mut self) {
        self.is_sure = false;
    }

    /// The log has been walked up to `offset`: snapshots up to there are compared.
    pub fn reach(&mut self, offset: Offset, findings: &mut Findings) {
        while let Some(snapshot) = self.ahead.pop_if(|snapshot| snapshot.offset <= offset) {
            self.compare(&snapshot, findings);
        }
    }

    /// Snapshots that no batch reached.
    pub fn beyond(self) -> Vec<SnapshotFile> {
        self.ahead
    }

    /// Whether transactions that were open at the start of the walk are known, and no damage was met.
    pub const fn is_known(&self) -> bool {
        self.is_sure && self.is_complete
    }

    /// Aborted transactions since the last call.
    pub fn take_aborted(&mut self) -> ExpectedAborts {
        let known_from = self.known_from;
        std::mem::replace(&mut self.aborted, ExpectedAborts { known_from, ..ExpectedAborts::default() })
    }

    fn compare(&self, snapshot: &SnapshotFile, findings: &mut Findings) {
        // One that cannot be read is told of by the segment that starts there, or behind the last one.
        let Ok(read) = producer_state::read(&snapshot.path) else { return };
        if !self.is_sure {
            return;
        }
        let mut wrong = |entry: &ProducerEntry, what: String| {
            let said = format!(
                "producer {}: {what}; a broker that trusts it takes duplicates or refuses what is new",
                entry.producer_id
            );
            let finding = Finding::new(Fault::Snapshot, Grade::LosesData, &snapshot.path, said);
            findings.push(finding.offset(snapshot.offset).advice(Advice::Remove));
        };
        for entry in &read.entries {
            let is_old =
                entry.last_offset < self.known_from || entry.open_txn().is_some_and(|first| first < self.known_from);
            match self.states.producer(entry.producer_id) {
                _ if is_old => {}
                None if entry.has_batch() => {
                    wrong(entry, format!("last offset {}, the log holds no batch of it", entry.last_offset));
                }
                None => {}
                Some(state) => {
                    let log = state.to_entry();
                    let of = |entry: &ProducerEntry| {
                        (entry.producer_epoch, entry.last_sequence, entry.last_offset, entry.current_txn_first_offset)
                    };
                    if of(entry) != of(&log) {
                        wrong(entry, format!("says {}, the log says {}", said(entry), said(&log)));
                    }
                }
            }
        }
        self.compare_missing(snapshot, &read.entries, findings);
    }

    /// Producers of the log that the snapshot lacks, though they had not expired when it was written.
    fn compare_missing(&self, snapshot: &SnapshotFile, entries: &[ProducerEntry], findings: &mut Findings) {
        let written = std::fs::metadata(&snapshot.path).and_then(|metadata| metadata.modified()).ok();
        let written = written.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let Some(written_ms) = written.and_then(|at| i64::try_from(at.as_millis()).ok()) else { return };
        let known: std::collections::HashSet<_> = entries.iter().map(|entry| entry.producer_id).collect();
        let young = |state: &&crate::storage::producer_states::ProducerState| {
            let age = written_ms.saturating_sub(state.last_timestamp_ms);
            !known.contains(&state.producer_id) && (0..EXPIRATION_MS).contains(&age)
        };
        let mut missing: Vec<_> = self.states.producers().filter(young).map(|state| state.producer_id).collect();
        missing.sort_unstable();
        if let Some(first) = missing.first() {
            let said = format!(
                "{} producers of the log are not in it, the first is {first}: their next batch is taken whatever its sequence",
                missing.len()
            );
            // Forgotten all at once: so a broker does where a log has no snapshot at a clean start, and `topics adopt`, as
            // the ids of another cluster's producers mean others here.
            let is_meant = entries.iter().all(|entry| entry.open_txn().is_some());
            let grade = if is_meant { Grade::Cosmetic } else { Grade::Slows };
            let advice = if is_meant { Advice::Nothing } else { Advice::Remove };
            let finding = Finding::new(Fault::Snapshot, grade, &snapshot.path, said);
            findings.push(finding.offset(snapshot.offset).advice(advice));
        }
    }
}

fn said(entry: &ProducerEntry) -> String {
    let open = entry.open_txn().map_or(String::new(), |first| format!(", transaction open since {first}"));
    format!(
        "epoch {}, last sequence {} at offset {}{open}",
        entry.producer_epoch, entry.last_sequence, entry.last_offset
    )
}
