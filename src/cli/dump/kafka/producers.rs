//! The text of producer snapshots.

use std::io;
use std::path::Path;

use super::Kafka;
use super::log::{first_sequence, optional_long};
use crate::storage::producer_state::{ProducerEntry, SnapshotError};
use crate::storage::{fs, producer_state};
use crate::types::Offset;

impl Kafka<'_, '_, '_, '_> {
    pub(super) fn producer_snapshot(&mut self, path: &Path) -> io::Result<()> {
        let bytes = match fs::read_small(path, producer_state::SNAPSHOT_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.telling.unreadable(&error);
                return Ok(());
            }
        };
        let snapshot = match producer_state::parse(&bytes) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                // The tool says it on stderr and goes on: so it stands there in its words.
                let stderr = &mut self.telling.outcome.kafka_stderr;
                stderr.extend_from_slice(corrupt_snapshot(&error).as_bytes());
                stderr.push(b'\n');
                self.telling.outcome.damage = true;
                return Ok(());
            }
        };
        for entry in &snapshot.entries {
            self.producer_line(entry);
            self.out.relieve()?;
        }
        Ok(())
    }

    pub(super) fn producer_line(&mut self, entry: &ProducerEntry) {
        let out = &mut self.out;
        out.field("producerId: ", entry.producer_id.0);
        out.field(" producerEpoch: ", entry.producer_epoch);
        out.field(" coordinatorEpoch: ", entry.coordinator_epoch);
        out.text(" currentTxnFirstOffset: ");
        optional_long(out, entry.open_txn().map(Offset::get));
        out.field(" lastTimestamp: ", entry.timestamp);
        if entry.has_batch() {
            out.field(" firstSequence: ", first_sequence(entry.last_sequence, entry.offset_delta));
            out.field(" lastSequence: ", entry.last_sequence);
            out.field(" lastOffset: ", entry.last_offset.get());
            out.field(" offsetDelta: ", entry.offset_delta);
            out.field(" timestamp: ", entry.timestamp);
        }
        out.line();
    }
}

/// `CorruptSnapshotException.getMessage` for what `ProducerStateManager.readSnapshot` refuses.
pub(super) fn corrupt_snapshot(error: &SnapshotError) -> String {
    let schema = "Snapshot failed schema validation: ";
    match error {
        // Thrown inside the `try` whose handler wraps it again.
        SnapshotError::Version { found } => format!("{schema}Snapshot contained an unknown file version {found}"),
        SnapshotError::CrcMismatch { stored, computed } => {
            format!("Snapshot is corrupt (CRC is no longer valid). Stored crc: {stored}. Computed crc: {computed}")
        }
        SnapshotError::NegativeCount { .. } => {
            format!("{schema}non-nullable field producerEntries was serialized as null")
        }
        SnapshotError::CountTooLarge { count, remaining } => {
            format!(
                "{schema}Tried to allocate a collection of size {count}, but there are only {remaining} bytes remaining."
            )
        }
        // BufferUnderflowException has no message.
        SnapshotError::Truncated { .. } => format!("{schema}null"),
    }
}
