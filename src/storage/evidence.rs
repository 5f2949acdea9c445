//! What the files beside a log say about its batches, where the log alone cannot tell.
//!
//! No checksum covers a batch's base offset and leader epoch. Neighbours give most changes away, but the
//! last batch of a log has only one. Other files repeat what it says:
//!
//! - `leader-epoch-checkpoint` holds every epoch of the log and where it starts: a broker writes and syncs an epoch's entry
//!   before it appends the first batch of that epoch (`UnifiedLog.append`, `LeaderEpochFileCache.assign`);
//! - the last entries of `.index` and `.timeindex` and the entries of the newest `.snapshot` name offsets
//!   that some batch of the last segment holds.
//!
//! Only offsets below the log's end count: a crash may leave an index that is ahead of its log. What was
//! compacted cannot mislead either: compaction writes new indexes, and leaves the last segment alone.
//! A file that is missing, unreadable or out of order says nothing.

use std::fmt;
use std::path::{Path, PathBuf};

use super::index::offset::OffsetIndex;
use super::index::time::TimeIndex;
use super::leader_epochs::{self, LeaderEpochs};
use super::names::{FileState, PartitionFile, SegmentFileKind};
use super::partition::{Partition, Segment};
use super::producer_state;
use crate::batch::Frame;
use crate::types::{LeaderEpoch, Offset, Position};

/// Of each index so many last entries are looked at: only the end of a log lacks a neighbour.
const LAST_ENTRIES: usize = 8;

/// The files beside one log, to be compared with its batches in order.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    epochs: LeaderEpochs,
    epochs_path: PathBuf,
    /// An epoch was found wanting; of a checkpoint that is wrong as a whole one word is enough.
    epoch_said: bool,
    /// Offsets that batches of the last segment hold, the highest first.
    witnesses: Vec<(Offset, PathBuf)>,
    /// Last offset of the batch before, if it stands right in front.
    previous: Option<Offset>,
}

/// A batch that cannot be what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contradiction {
    /// Its leader epoch is not the one of its offsets.
    Epoch {
        /// The batch's epoch.
        found: LeaderEpoch,
        /// The file that holds the epochs.
        file: PathBuf,
    },
    /// An offset between it and the batch before was written, and no batch holds it.
    Offset {
        /// The missing offset.
        missing: Offset,
        /// The file that names it.
        file: PathBuf,
    },
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |file: &Path| file.file_name().unwrap_or_default().display().to_string();
        match self {
            Contradiction::Epoch { found, file } => {
                write!(f, "leader epoch {found} is not that of its offsets in {}; one of them is damaged", name(file))
            }
            Contradiction::Offset { missing, file } => write!(
                f,
                "no batch holds offset {missing}, which {} names; the base offset is damaged, or a batch is missing",
                name(file)
            ),
        }
    }
}

impl Contradiction {
    /// The stable word for it.
    pub const fn code(&self) -> &'static str {
        match self {
            Contradiction::Epoch { .. } => "leader_epoch",
            Contradiction::Offset { .. } => "offset_order",
        }
    }
}

impl Evidence {
    /// Reads the files beside the log of `partition`, a whole directory.
    pub fn of(partition: &Partition) -> Evidence {
        let mut evidence = Evidence::default();
        evidence.epochs_path = partition.dir().join(leader_epochs::FILE_NAME);
        evidence.epochs = leader_epochs::read(&evidence.epochs_path).unwrap_or_default();
        if let Some(last) = partition.segments().last() {
            evidence.add_indexes(last);
            evidence.add_snapshot(partition.dir(), last.base);
        }
        evidence.witnesses.sort();
        evidence.witnesses.reverse();
        evidence
    }

    fn add_indexes(&mut self, segment: &Segment) {
        if let Ok(Some(bytes)) = segment.offset_index() {
            let index = OffsetIndex::from_file(segment.base, &bytes);
            if index.first_violation().is_none() {
                let path = segment.sibling(SegmentFileKind::OffsetIndex);
                let last = index.entries().rev().take(LAST_ENTRIES);
                self.witnesses.extend(last.map(|entry| (entry.offset, path.clone())));
            }
        }
        if let Ok(Some(bytes)) = segment.time_index() {
            let index = TimeIndex::from_file(segment.base, &bytes);
            if index.first_violation().is_none() {
                let path = segment.sibling(SegmentFileKind::TimeIndex);
                let last = index.entries().rev().take(LAST_ENTRIES);
                self.witnesses.extend(last.map(|entry| (entry.offset, path.clone())));
            }
        }
    }

    fn add_snapshot(&mut self, dir: &Path, base: Offset) {
        let Ok(listing) = std::fs::read_dir(dir) else { return };
        let newest = listing.flatten().filter_map(|entry| match PartitionFile::parse(&entry.file_name()) {
            PartitionFile::Segment(file)
                if file.kind == SegmentFileKind::Snapshot && file.state == FileState::Live && file.offset > base =>
            {
                Some((file.offset, entry.path()))
            }
            _ => None,
        });
        let Some((_, path)) = newest.max() else { return };
        let Ok(snapshot) = producer_state::read(&path) else { return };
        let offsets = snapshot.entries.iter().filter(|entry| entry.has_batch()).map(|entry| entry.last_offset);
        let mut offsets: Vec<Offset> = offsets.filter(|offset| *offset >= base).collect();
        offsets.sort_unstable();
        self.witnesses.extend(offsets.into_iter().rev().take(LAST_ENTRIES).map(|offset| (offset, path.clone())));
    }

    /// Compares the batch at `position`; `in_last`: of the last segment.
    pub fn contradiction(&mut self, frame: &Frame<'_>, position: Position, in_last: bool) -> Option<Contradiction> {
        let last = frame.last_offset();
        if in_last && position == Position::ZERO {
            self.previous = Some(last);
        }
        let offset = in_last.then(|| self.missing_before(frame.base_offset(), last)).flatten();
        offset.or_else(|| self.unknown_epoch(frame.leader_epoch(), last))
    }

    fn missing_before(&mut self, first: Option<Offset>, last: Offset) -> Option<Contradiction> {
        // A wrapper of magic 0 or 1 tells its last offset only, and holds everything up to it.
        let gap = first.filter(|_| self.previous.is_some());
        self.previous = Some(last);
        let mut missing = None;
        while let Some((offset, file)) = self.witnesses.pop_if(|(offset, _)| *offset <= last) {
            if gap.is_some_and(|first| offset < first) && missing.is_none() {
                missing = Some(Contradiction::Offset { missing: offset, file });
            }
        }
        missing
    }

    fn unknown_epoch(&mut self, found: LeaderEpoch, last: Offset) -> Option<Contradiction> {
        if found == LeaderEpoch::NONE || self.epoch_said || self.agrees(found, last) {
            return None;
        }
        // A running broker may have added it since: it writes the epoch first, then the batch.
        self.epochs = leader_epochs::read(&self.epochs_path).unwrap_or_default();
        if self.agrees(found, last) {
            return None;
        }
        self.epoch_said = true;
        Some(Contradiction::Epoch { found, file: self.epochs_path.clone() })
    }

    /// Whether a batch that ends at `last` may be of this epoch; always, where nothing is known.
    fn agrees(&self, found: LeaderEpoch, last: Offset) -> bool {
        self.epochs.epoch_for_offset(last).is_none_or(|epoch| epoch == found)
    }

    /// Bytes that hold no batch, or one out of place, follow: what they held is not known to be missing.
    pub const fn interrupt(&mut self) {
        self.previous = None;
    }
}
