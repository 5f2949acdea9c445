//! The metadata log as a server opens it, and the image of the cluster it then has
//! (`KafkaRaftLog.createLog`, `MetadataLoader`).
//!
//! The log is never trusted: every start recovers it whole, whatever the clean-shutdown marker says. What
//! counts are the newest snapshot and all records behind it. Which of these are *committed* is not on disk: with
//! one voter all of them are, with more the last ones may be taken back once the quorum is up.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::changes::{self, FileChange};
use super::identity::unknown_record;
use super::partition::Loaded;
use super::reason::{Reason, of_load};
use super::settings::BrokerSettings;
use crate::batch::BatchError;
use crate::batch::compression::Decompressor;
use crate::schema::image::{ImageBuilder, MetadataImage};
use crate::schema::metadata::Decoded;
use crate::storage::fs::StorageError;
use crate::storage::metadata_log::{Content, FileEnd, read_file};
use crate::storage::names::{CheckpointState, PartitionFile, SegmentFileKind, segment_file_name};
use crate::storage::partition::present;
use crate::storage::quorum_state;
use crate::storage::recovery::{self, CutReason, LoadOptions, Loss, Plan};
use crate::types::{LeaderEpoch, Offset, TimestampMs};

/// Ends of the names of metadata snapshots (`Snapshots.parse`).
const SNAPSHOT_SUFFIXES: [&str; 3] = [".checkpoint", ".checkpoint.part", ".checkpoint.deleted"];

/// The metadata log once it is open.
#[derive(Debug)]
pub(super) struct MetadataLog {
    pub loaded: Loaded,
    pub image: MetadataImage,
    /// How many voters the last control record about them names; `None` where there is none.
    pub voters: Option<usize>,
}

/// A snapshot, in Kafka's order: epoch first.
type SnapshotId = (LeaderEpoch, Offset);

/// Opens the metadata log in `dir`, which exists.
pub(super) fn load(dir: &Path, settings: &BrokerSettings, now_ms: TimestampMs) -> Result<MetadataLog, Reason> {
    let zero = Offset::ZERO;
    let config = settings.metadata_log;
    let options = LoadOptions { clean: false, recovery_point: zero, log_start: zero, now_ms, config };
    let plan = recovery::plan(dir, &options).map_err(|error| of_load(&error).1)?;
    let mut loaded = Loaded::of_plan(&plan).map_err(|error| Reason::of_storage(&error))?;
    let snapshots = snapshots(dir, &plan, &mut loaded.changes)?;
    let latest = snapshots.last().copied();
    let mut truncated = false;
    if let Some((epoch, offset)) = latest {
        let log_epoch = plan.epochs.latest().map_or(LeaderEpoch(0), |entry| entry.epoch);
        truncated = epoch > log_epoch || (epoch == log_epoch && offset > plan.log_end);
        if truncated {
            truncate_fully(dir, offset, &snapshots, &mut loaded)?;
        } else if plan.epochs.latest().is_none() && !(offset == loaded.log_start && offset == loaded.log_end) {
            let message = format!(
                "Log doesn't have a last fetch epoch and there is a snapshot (offset {offset}, epoch {epoch}). \
                 Expected the snapshot's end offset to match the log's end offset ({}) and the log start offset ({})",
                loaded.log_end, loaded.log_start
            );
            return Err(Reason::new(dir, message));
        }
    }
    let quorum = dir.join(quorum_state::FILE_NAME);
    present(quorum_state::read(&quorum)).map_err(|error| {
        let message = format!("Error while reading the Quorum status from the file ({})", error.kind);
        Reason::new(&error.path, message)
    })?;
    let mut replay = Replay::default();
    let mut from = Offset::ZERO;
    if let Some((epoch, offset)) = latest {
        from = offset;
        let path = dir.join(format!("{:020}-{:010}.checkpoint", offset.get(), epoch.0));
        replay.file(&path, None, Offset::ZERO)?;
    }
    if !truncated {
        for (base, len) in &plan.segments {
            let log = dir.join(segment_file_name(*base, SegmentFileKind::Log));
            // An empty log that is only going to be made.
            if *len > 0 {
                replay.file(&log, Some(*len), from)?;
            }
        }
    }
    let image = replay.builder.build();
    Ok(MetadataLog { loaded, voters: image.quorum().voter_count(), image })
}

/// What the log loses when it is opened, beyond what a crash explains: a batch at its end that was not written whole, or
/// zeros of a file that was made longer before.
pub(super) fn damage(loaded: &Loaded) -> Vec<Reason> {
    let explained = |loss: &Loss| match loss {
        Loss::Cut { why: CutReason::Torn { .. }, .. } => loaded.segments_deleted == 0,
        Loss::Cut { why: CutReason::Corrupt(BatchError::LengthTooSmall { declared: 0, .. }), .. } => {
            loaded.records_lost == 0
        }
        Loss::Cut { .. } | Loss::Segment { .. } | Loss::NotAFile { .. } => false,
    };
    let reason = |loss: &Loss| match loss {
        Loss::Cut { log, position, why, bytes, .. } => {
            Reason::new(log, format!("position {position}: {why}; {bytes} bytes from there on do not count"))
        }
        Loss::NotAFile { log } => Reason::new(log, "not a regular file: the segment does not count"),
        Loss::Segment { log, .. } => Reason::new(log, "behind damage: the whole segment does not count"),
    };
    loaded.losses.iter().filter(|loss| !explained(loss)).map(reason).collect()
}

/// `KafkaRaftLog.recoverSnapshots`: those that stay, in order; the others are removed.
fn snapshots(dir: &Path, plan: &Plan, changes: &mut Vec<FileChange>) -> Result<Vec<SnapshotId>, Reason> {
    let unreadable = |error| Reason::of_storage(&StorageError::new(dir, error));
    let (mut kept, mut removed) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let text = name.to_string_lossy().into_owned();
        match PartitionFile::parse(&name) {
            PartitionFile::MetadataSnapshot { end_offset, epoch, state: CheckpointState::Complete }
                if end_offset >= plan.log_start =>
            {
                kept.push((epoch, end_offset));
            }
            PartitionFile::MetadataSnapshot { .. } => removed.push(FileChange::Remove { file: text }),
            _ if SNAPSHOT_SUFFIXES.iter().any(|suffix| text.ends_with(suffix)) => {
                let message = "NumberFormatException: a metadata snapshot is named by its end offset and epoch";
                return Err(Reason::new(dir.join(name), message));
            }
            _ => {}
        }
    }
    kept.sort_unstable();
    if plan.log_start > Offset::ZERO && kept.is_empty() {
        let message = format!(
            "Inconsistent snapshot state: there must be a snapshot at an offset larger then the current log start \
             offset {}, but the latest snapshot is Optional.empty",
            plan.log_start
        );
        return Err(Reason::new(dir, message));
    }
    removed.sort_by(|a, b| a.file().cmp(b.file()));
    changes.append(&mut removed);
    Ok(kept)
}

/// `KafkaRaftLog.truncateToLatestSnapshot`: the log starts anew where the snapshot ends.
fn truncate_fully(dir: &Path, start: Offset, snapshots: &[SnapshotId], loaded: &mut Loaded) -> Result<(), Reason> {
    let files = changes::files_after(dir, &loaded.changes).map_err(|error| Reason::of_storage(&error))?;
    for file in files.keys() {
        if matches!(PartitionFile::parse(file.as_ref()), PartitionFile::Segment(_)) {
            let to = format!("{file}.deleted");
            loaded.changes.push(FileChange::Rename { file: file.clone(), to });
        }
    }
    for kind in [SegmentFileKind::Log, SegmentFileKind::OffsetIndex, SegmentFileKind::TimeIndex] {
        loaded.changes.push(FileChange::Write { file: segment_file_name(start, kind), size_bytes: 0 });
    }
    for (epoch, offset) in snapshots.iter().take(snapshots.len().saturating_sub(1)) {
        let file = format!("{:020}-{:010}.checkpoint", offset.get(), epoch.0);
        let to = format!("{file}.deleted");
        loaded.changes.push(FileChange::Rename { file, to });
    }
    (loaded.log_start, loaded.log_end, loaded.recovery_point) = (start, start, start);
    loaded.truncated_to_snapshot = true;
    Ok(())
}

#[derive(Default)]
struct Replay {
    builder: ImageBuilder,
    decompressor: Decompressor,
}

impl Replay {
    /// The records of a snapshot, or of a segment from `from` on. What a server cannot read it does not start with; a
    /// part of a batch at the end of a snapshot is not read.
    fn file(&mut self, path: &Path, len: Option<u64>, from: Offset) -> Result<(), Reason> {
        let mut wrong = None;
        let builder = &mut self.builder;
        let end = read_file(path, len, from, &mut self.decompressor, &mut |entry| {
            let taken = match &entry.content {
                Content::Data(Decoded::Known(known)) => {
                    builder.push(known.typed()).map_err(|error| format!("offset {}: {error}", entry.offset))
                }
                Content::Data(Decoded::Unknown { api_key, name, version, .. }) => {
                    Err(unknown_record(entry.offset, *api_key, *name, *version))
                }
                Content::Control { record, .. } => {
                    builder.push_control(record, entry.leader_epoch);
                    Ok(())
                }
                Content::Unreadable(error) => Err(format!("offset {}: {error}", entry.offset)),
            };
            match taken {
                Ok(()) => ControlFlow::Continue(()),
                Err(reason) => {
                    wrong = Some(Reason::new(path, format!("batch at position {}: {reason}", entry.position)));
                    ControlFlow::Break(())
                }
            }
        });
        let end = end.map_err(|error| Reason::of_storage(&error))?;
        match (wrong, end) {
            (Some(reason), _) => Err(reason),
            (None, FileEnd::Corrupt { position, reason }) => {
                Err(Reason::new(path, format!("position {position}: {reason}")))
            }
            (None, FileEnd::Whole | FileEnd::Stopped | FileEnd::Cut { .. }) => Ok(()),
        }
    }
}

/// Where the image of a forecast comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataSource {
    /// The metadata log of this directory.
    Log {
        /// Its directory.
        dir: PathBuf,
        /// Every record in it is committed: there is one voter, as far as can be told.
        is_committed: bool,
    },
    /// The caller.
    Given,
    /// A new metadata log, which knows no topic: this node is the only voter.
    New,
    /// Nowhere: no directory has a metadata log, and a broker asks its controllers.
    Unknown,
}
