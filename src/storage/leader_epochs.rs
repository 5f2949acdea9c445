//! Leader epochs of one partition: which leadership wrote which offsets.
//!
//! Epoch `e` covers everything from its start offset up to the start of the next epoch, the last one
//! up to the log end. The file `leader-epoch-checkpoint` has the frame of an offset checkpoint
//! ([`super::checkpoint`]) with entries `epoch start-offset`.
//!
//! [`LeaderEpochs`] follows `LeaderEpochFileCache` of Kafka 4.3.

use std::path::Path;

use thiserror::Error;

use super::checkpoint::{self, CheckpointError};
use super::fs::{self, StorageError};
use crate::types::{LeaderEpoch, Offset};

/// The file's name in a partition directory.
pub const FILE_NAME: &str = "leader-epoch-checkpoint";

/// One leadership and the first offset it wrote, or could have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEntry {
    /// The leadership.
    pub epoch: LeaderEpoch,
    /// Its first offset.
    pub start: Offset,
}

/// Why entries cannot be leader epochs.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum LeaderEpochError {
    /// The file itself is malformed.
    #[error("{0}")]
    File(#[from] CheckpointError),
    /// Kafka throws IllegalArgumentException; met at load, the broker does not start.
    #[error("expected an epoch and an offset from 0, found epoch {epoch} at offset {start}")]
    Negative {
        /// The epoch.
        epoch: LeaderEpoch,
        /// Its start.
        start: Offset,
    },
}

/// The answer to "where did this epoch end?" (`OffsetsForLeaderEpoch`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochEnd {
    /// `epoch` is the one asked for or the closest below it that is known; it ended before `end`.
    /// When the one asked for is below all known, it is repeated here with the start of the first.
    Known {
        /// The epoch answered for.
        epoch: LeaderEpoch,
        /// Exclusive end of its offsets.
        end: Offset,
    },
    /// Above all known epochs, or nothing was asked for; Kafka answers `(-1, -1)`.
    Unknown,
}

/// The epochs of one log, ascending in epoch and in start offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochEntry>,
}

impl LeaderEpochs {
    /// No epochs.
    pub const fn new() -> Self {
        LeaderEpochs { entries: Vec::new() }
    }

    /// Assigns `entries` in file order: where two conflict the later wins, as at load.
    pub fn from_entries(entries: &[EpochEntry]) -> Result<Self, LeaderEpochError> {
        let mut epochs = LeaderEpochs::new();
        for entry in entries {
            epochs.assign(entry.epoch, entry.start)?;
        }
        Ok(epochs)
    }

    /// The entries, ascending.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The newest epoch known.
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// Records that `epoch` starts at `start`; entries in conflict with that are dropped.
    ///
    /// `false` when nothing changed: the latest epoch, at or above its start.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> Result<bool, LeaderEpochError> {
        if epoch.0 < 0 || start < Offset::ZERO {
            return Err(LeaderEpochError::Negative { epoch, start });
        }
        if self.latest().is_some_and(|last| last.epoch == epoch && start >= last.start) {
            return Ok(false);
        }
        self.drop_from_end(|entry| entry.epoch >= epoch || entry.start >= start);
        self.entries.push(EpochEntry { epoch, start });
        Ok(true)
    }

    /// The log now ends at `end`: epochs that start there or later are gone.
    pub fn truncate_from_end(&mut self, end: Offset) {
        if end >= Offset::ZERO {
            self.drop_from_end(|entry| entry.start >= end);
        }
    }

    /// The log now starts at `start`: epochs below it are gone, the one that covers it starts there.
    pub fn truncate_from_start(&mut self, start: Offset) {
        let below = self.entries.iter().take_while(|entry| entry.start <= start).count();
        if let Some(covering) = below.checked_sub(1) {
            self.entries.drain(..covering);
            self.entries[0].start = start;
        }
    }

    /// Where `epoch` ended in a log that ends at `log_end`.
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> EpochEnd {
        if epoch == LeaderEpoch::NONE {
            return EpochEnd::Unknown;
        }
        if self.latest().is_some_and(|last| last.epoch == epoch) {
            return EpochEnd::Known { epoch, end: log_end };
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let Some(next) = self.entries.get(above) else { return EpochEnd::Unknown };
        let floor = above.checked_sub(1).and_then(|at| self.entries.get(at));
        EpochEnd::Known { epoch: floor.map_or(epoch, |entry| entry.epoch), end: next.start }
    }

    /// The epoch that wrote `offset`; `None` below the first.
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self.entries.partition_point(|entry| entry.start <= offset);
        above.checked_sub(1).and_then(|at| self.entries.get(at)).map(|entry| entry.epoch)
    }

    /// The text of the checkpoint file.
    pub fn to_text(&self) -> String {
        to_text(&self.entries)
    }

    fn drop_from_end(&mut self, gone: impl Fn(&EpochEntry) -> bool) {
        let kept = self.entries.iter().rposition(|entry| !gone(entry)).map_or(0, |at| at + 1);
        self.entries.truncate(kept);
    }
}

/// The entries of a `leader-epoch-checkpoint`, as they stand in the file.
///
/// What a log makes of them is [`LeaderEpochs::from_entries`]; the difference is what a broker repairs at load.
pub fn parse(bytes: &[u8]) -> Result<Vec<EpochEntry>, CheckpointError> {
    checkpoint::parse_frame(bytes, |line, [epoch, start]: [&str; 2]| {
        let epoch = LeaderEpoch(checkpoint::number(line, "a leader epoch", epoch)?);
        let start = Offset::new(checkpoint::number(line, "an offset", start)?);
        Ok(EpochEntry { epoch, start })
    })
}

/// Reads the file at `path` and assigns its entries, as a broker does at load.
pub fn read(path: &Path) -> Result<LeaderEpochs, StorageError> {
    fs::read_parsed(path, fs::CHECKPOINT_BYTES_MAX, |bytes| -> Result<_, LeaderEpochError> {
        LeaderEpochs::from_entries(&parse(bytes)?)
    })
}

/// The text of a checkpoint file with these entries.
pub fn to_text(entries: &[EpochEntry]) -> String {
    checkpoint::frame_text(entries.iter().map(|entry| format!("{} {}", entry.epoch, entry.start)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Epochs and their start offsets.
    type Entries = &'static [(i32, i64)];

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let entries: Vec<_> =
            entries.iter().map(|&(e, s)| EpochEntry { epoch: LeaderEpoch(e), start: Offset::new(s) }).collect();
        LeaderEpochs::from_entries(&entries).unwrap()
    }

    #[test]
    fn the_latest_assignment_wins() {
        let cases: [(Entries, Entries); 4] = [
            (&[(0, 0), (2, 100), (1, 200)], &[(0, 0), (1, 200)]),
            (&[(0, 0), (1, 50), (1, 60)], &[(0, 0), (1, 50)]),
            (&[(0, 0), (1, 50), (1, 40)], &[(0, 0), (1, 40)]),
            (&[(0, 10), (1, 5)], &[(1, 5)]),
        ];
        for (given, expected) in cases {
            assert_eq!(epochs(given), LeaderEpochs { entries: epochs(expected).entries }, "{given:?}");
            assert_eq!(epochs(given).entries().len(), expected.len(), "{given:?}");
        }
        let negative = LeaderEpochs::new().assign(LeaderEpoch(-1), Offset::ZERO);
        assert!(matches!(negative, Err(LeaderEpochError::Negative { .. })));
    }

    #[test]
    fn ends_of_known_missing_and_future_epochs() {
        let known = epochs(&[(0, 0), (3, 1500), (7, 2000)]);
        let cases = [
            (7, Some((7, 2600))),
            (3, Some((3, 2000))),
            (5, Some((3, 2000))),
            (1, Some((0, 1500))),
            (8, None),
            (-1, None),
        ];
        for (asked, expected) in cases {
            let expected = expected
                .map_or(EpochEnd::Unknown, |(e, end)| EpochEnd::Known { epoch: LeaderEpoch(e), end: Offset::new(end) });
            assert_eq!(known.end_offset_for(LeaderEpoch(asked), Offset::new(2600)), expected, "epoch {asked}");
        }
        let late = epochs(&[(3, 500)]);
        let expected = EpochEnd::Known { epoch: LeaderEpoch(1), end: Offset::new(500) };
        assert_eq!(late.end_offset_for(LeaderEpoch(1), Offset::new(600)), expected);
    }

    #[test]
    fn the_log_start_moves_the_covering_epoch() {
        let mut moved = epochs(&[(0, 0), (3, 10)]);
        moved.truncate_from_start(Offset::new(4));
        assert_eq!(moved, epochs(&[(0, 4), (3, 10)]));
        moved.truncate_from_start(Offset::new(10));
        assert_eq!(moved, epochs(&[(3, 10)]));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn mutations_never_panic(at in 0usize..24, byte: u8) {
            let mut bytes = b"0\n2\n0 5\n12 15000\n".to_vec();
            if let Some(b) = bytes.get_mut(at) { *b = byte; } else { bytes.truncate(byte.into()); }
            if let Ok(entries) = parse(&bytes) { let _ = LeaderEpochs::from_entries(&entries); }
        }

        #[test]
        fn always_ascending_and_the_text_round_trips(ops in proptest::collection::vec((0i32..9, 0i64..99, 0u8..3), 0..20)) {
            let mut epochs = LeaderEpochs::new();
            for (epoch, offset, op) in ops {
                match op {
                    0 => epochs.truncate_from_end(Offset::new(offset)),
                    1 => epochs.truncate_from_start(Offset::new(offset)),
                    _ => { epochs.assign(LeaderEpoch(epoch), Offset::new(offset)).unwrap(); }
                }
                for pair in epochs.entries().windows(2) {
                    prop_assert!(pair[0].epoch < pair[1].epoch && pair[0].start < pair[1].start, "{pair:?}");
                }
            }
            prop_assert_eq!(parse(epochs.to_text().as_bytes()).unwrap(), epochs.entries());
        }
    }
}
