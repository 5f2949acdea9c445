//! One walk through a replica's log: its batches, its leader epochs, and where it stops being sound.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{ReplicaDir, raw};
use crate::batch::Frame;
use crate::batch::scan::{Depth, Doubt, Tail};
use crate::replication::assess::compare::{Next, Piece};
use crate::storage::fs::StorageError;
use crate::storage::leader_epochs::{self, LeaderEpochs};
use crate::storage::partition::present;
use crate::storage::reader::{LogReader, ReadStep};
use crate::types::{LeaderEpoch, Offset, Position};

/// How a log is read.
#[derive(Debug, Clone, Copy)]
pub struct WalkOptions {
    /// Headers only, or checksums too.
    pub depth: Depth,
    /// Batches longer than this on disk are damage.
    pub max_batch_bytes: u64,
}

/// What a broker does about damage when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It recovers the segment, finds it, and cuts the log there.
    Cut,
    /// It recovers the segment and empties all of it, as its offsets are out of order.
    Emptied,
    /// It does not look: the damage is below the recovery point, or the shutdown was clean. Consumers and followers stop there.
    Stays,
}

/// The first damage of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamageFound {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub position: Position,
    /// What is wrong.
    pub reason: String,
    /// What a broker does about it.
    pub fate: Fate,
    /// One above the last sound offset that stands behind it, where any does.
    pub behind: Option<Offset>,
    /// The file could not be read there.
    pub is_unreadable: bool,
}

/// How the walk through a log went.
#[derive(Debug)]
pub struct Walked {
    /// One above the last offset in front of the first damage: the log's end, where there is none.
    pub end: Offset,
    /// Leader epochs as recorded, with those that a recovery adds from the batches.
    pub epochs: LeaderEpochs,
    /// The first damage.
    pub damage: Option<DamageFound>,
    /// How the log ends, where it is sound.
    pub tail: Tail,
    /// Batches in front of the first damage.
    pub batches: u64,
    /// Why the file of leader epochs could not be used; a broker does not start over it. They are taken from the batches then.
    pub epochs_unreadable: Option<StorageError>,
}

impl Walked {
    /// Of a log that could not be walked through at all.
    pub(super) fn failed() -> Walked {
        Walked {
            end: Offset::ZERO,
            epochs: LeaderEpochs::new(),
            damage: None,
            tail: Tail::Clean,
            batches: 0,
            epochs_unreadable: None,
        }
    }
}

/// Walks through the log of `replica` and hands its batches over in chunks, until `take` says no. Bytes that were read are
/// added to `done`.
pub(super) fn walk(
    replica: &ReplicaDir,
    options: &WalkOptions,
    chunk: usize,
    done: &AtomicU64,
    take: &dyn Fn(Vec<Next>) -> bool,
) -> Walked {
    let partition = &replica.partition;
    let mut walk = Walk {
        replica,
        recovered_from: recovered_from(replica),
        reads_epochs: false,
        walked: Walked { end: partition.log_start(), ..Walked::failed() },
    };
    match present(leader_epochs::read(&partition.dir().join(leader_epochs::FILE_NAME))) {
        Ok(epochs) => walk.walked.epochs = epochs.unwrap_or_default(),
        Err(error) => {
            walk.walked.epochs_unreadable = Some(error);
            walk.reads_epochs = true;
        }
    }
    let mut reader = LogReader::new(partition, options.depth, options.max_batch_bytes);
    if let Err(error) = reader.seek(partition.log_start()) {
        walk.unreadable(&error);
    }
    let mut pieces = Vec::with_capacity(chunk);
    while !walk.walked.damage.as_ref().is_some_and(|damage| damage.is_unreadable) {
        match reader.next() {
            Ok(ReadStep::Entry { segment, entry }) => {
                done.fetch_add(entry.frame.size_bytes(), Ordering::Relaxed);
                let order = entry.doubt.filter(|doubt| matches!(doubt, Doubt::OffsetOrder { .. }));
                match order {
                    Some(doubt) => walk.damaged(segment, entry.position, doubt.to_string(), Fate::Emptied),
                    None => pieces.extend(walk.entry(segment, &entry.frame).map(Next::Piece)),
                }
            }
            Ok(ReadStep::Damage { segment, damage }) => {
                done.fetch_add(damage.end.get() - damage.position.get(), Ordering::Relaxed);
                walk.damaged(segment, damage.position, damage.reason.to_string(), Fate::Cut);
            }
            // Deleted by a broker that runs: a gap, as any other.
            Ok(ReadStep::Gone { .. }) => {}
            Ok(ReadStep::End { tail, .. }) => {
                walk.walked.tail = tail;
                break;
            }
            Err(error) => walk.unreadable(&error),
        }
        if pieces.len() >= chunk {
            let full = std::mem::replace(&mut pieces, Vec::with_capacity(chunk));
            if !take(full) {
                return walk.walked;
            }
        }
    }
    // A last segment without batches begins where the log ends.
    if walk.walked.damage.is_none() {
        let last = partition.segments().last().map_or(Offset::ZERO, |segment| segment.base);
        walk.walked.end = walk.walked.end.max(last);
    }
    pieces.push(Next::End(raw(walk.walked.end)));
    take(pieces);
    walk.walked
}

struct Walk<'a> {
    replica: &'a ReplicaDir,
    /// The first segment that a broker recovers at its next start; none after a clean shutdown.
    recovered_from: Option<usize>,
    /// Leader epochs come from all batches.
    reads_epochs: bool,
    walked: Walked,
}

/// Recovery begins with the segment that holds the recovery point (`LogLoader.recoverLog`).
fn recovered_from(replica: &ReplicaDir) -> Option<usize> {
    let point = replica.partition.checkpoints().recovery_point.unwrap_or(Offset::ZERO);
    (!replica.is_clean).then(|| replica.partition.floor_segment(point))
}

impl Walk<'_> {
    /// Takes note of a sound batch; of what is behind damage only where it ends.
    fn entry(&mut self, segment: usize, frame: &Frame<'_>) -> Option<Piece> {
        let last = frame.last_offset();
        if let Some(damage) = &mut self.walked.damage {
            damage.behind = damage.behind.max(Some(last.next()));
            return None;
        }
        if last < self.replica.partition.log_start() {
            return None;
        }
        let first = frame.base_offset().unwrap_or(self.walked.end);
        let epoch = frame.leader_epoch();
        let is_recovered = self.recovered_from.is_some_and(|from| from <= segment);
        if epoch > LeaderEpoch::NONE && (is_recovered || self.reads_epochs) {
            let is_new = self.walked.epochs.latest().is_none_or(|latest| latest.epoch < epoch);
            // As recovery does (`LogSegment.recover`); a batch has neither a negative epoch nor a negative offset here.
            if is_new {
                let _ = self.walked.epochs.assign(epoch, first);
            }
        }
        self.walked.batches += 1;
        self.walked.end = last.next();
        Some(Piece { first: raw(first), last: raw(last), epoch: u32::try_from(epoch.0).ok(), crc: frame.stored_crc() })
    }

    fn damaged(&mut self, segment: usize, position: Position, reason: String, when_recovered: Fate) {
        if self.walked.damage.is_some() {
            return;
        }
        let is_recovered = self.recovered_from.is_some_and(|from| from <= segment);
        let fate = if is_recovered { when_recovered } else { Fate::Stays };
        let path = self.replica.partition.segments().get(segment).map(|segment| segment.log.clone());
        let path = path.unwrap_or_else(|| self.replica.partition.dir().to_owned());
        self.walked.damage = Some(DamageFound { path, position, reason, fate, behind: None, is_unreadable: false });
    }

    /// Nothing is known of what stands behind a place that cannot be read.
    fn unreadable(&mut self, error: &StorageError) {
        let found = DamageFound {
            path: error.path.clone(),
            position: Position::ZERO,
            reason: error.kind.to_string(),
            fate: Fate::Stays,
            behind: None,
            is_unreadable: true,
        };
        let damage = self.walked.damage.get_or_insert(found);
        damage.is_unreadable = true;
    }
}

/// Where a damage is, for messages: its file and position.
impl std::fmt::Display for DamageFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.path.file_name().map_or(self.path.as_path(), Path::new);
        if self.is_unreadable && self.position == Position::ZERO {
            return write!(f, "{}: {}", name.display(), self.reason);
        }
        write!(f, "{}: position {}: {}", name.display(), self.position, self.reason)
    }
}
