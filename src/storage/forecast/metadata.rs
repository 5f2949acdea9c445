//! The metadata log as a server opens it, and the image of the cluster it then has
//! (`KafkaRaftLog.createLog`, `MetadataLoader`).
//!
//! The log is never trusted: every start recovers it whole, whatever the clean-shutdown marker says. What
//! counts are the newest snapshot and all records behind it. Which of these are *committed* is not on disk: with
//! one voter all of them are, with more the last ones may be taken back once the quorum is up.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::changes::{self, FileChange};
use super::identity::records;
use super::partition::Loaded;
use super::reason::{Reason, of_load};
use super::settings::BrokerSettings;
use crate::batch::Frame;
use crate::batch::compression::{Decompressor, MAX_BATCH_BYTES};
use crate::batch::control::ControlType;
use crate::batch::walk::{Stop, Walker};
use crate::schema::image::{ImageBuilder, MetadataImage};
use crate::schema::message::Value;
use crate::schema::metadata::LEADER_CHANGE;
use crate::storage::file_source::FileSource;
use crate::storage::fs::StorageError;
use crate::storage::names::{CheckpointState, PartitionFile, SegmentFileKind, segment_file_name};
use crate::storage::partition::present;
use crate::storage::quorum_state;
use crate::storage::recovery::{self, LoadOptions, Plan};
use crate::types::{LeaderEpoch, Offset, Position, TimestampMs};
use crate::wire::Reader;

/// Ends of the names of metadata snapshots (`Snapshots.parse`).
const SNAPSHOT_SUFFIXES: [&str; 3] = [".checkpoint", ".checkpoint.part", ".checkpoint.deleted"];

/// The metadata log once it is open.
#[derive(Debug)]
pub(super) struct MetadataLog {
    pub loaded: Loaded,
    pub image: MetadataImage,
    /// How many voters the last leader change names; `None` where there is none.
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
        replay.snapshot(&path)?;
    }
    if !truncated {
        for (base, len) in &plan.segments {
            let log = dir.join(segment_file_name(*base, SegmentFileKind::Log));
            // An empty log that is only going to be made.
            if *len > 0 {
                replay.segment(&log, *len, from)?;
            }
        }
    }
    Ok(MetadataLog { loaded, image: replay.builder.build(), voters: replay.voters })
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
    voters: Option<usize>,
}

impl Replay {
    /// A snapshot, whose checksums a server verifies. A part of a batch at its end is not read.
    fn snapshot(&mut self, path: &Path) -> Result<(), Reason> {
        let file = File::open(path).map_err(|error| Reason::of_storage(&StorageError::new(path, error)))?;
        let len = file.metadata().map_err(|error| Reason::of_storage(&StorageError::new(path, error)))?.len();
        self.file(path, file, len, Offset::ZERO)
    }

    fn segment(&mut self, path: &Path, len: u64, from: Offset) -> Result<(), Reason> {
        let file = File::open(path).map_err(|error| Reason::of_storage(&StorageError::new(path, error)))?;
        self.file(path, file, len, from)
    }

    fn file(&mut self, path: &Path, file: File, len: u64, from: Offset) -> Result<(), Reason> {
        let io = |error| Reason::of_storage(&StorageError::new(path, error));
        let whole = file.try_clone().map_err(io)?;
        let mut walker = Walker::new(FileSource::up_to(file, len).map_err(io)?);
        loop {
            let position = walker.position();
            let walked = match walker.step().map_err(io)? {
                Ok(walked) => walked,
                Err(Stop::End | Stop::Cut { .. }) => return Ok(()),
                Err(Stop::Corrupt(reason)) => {
                    return Err(Reason::new(path, format!("position {position}: {reason}")));
                }
            };
            if walked.frame.last_offset() < from {
                continue;
            }
            let wrong = |reason: String| Reason::new(path, format!("batch at position {position}: {reason}"));
            // Of a large batch the walk has the header alone.
            let bytes;
            let mut frame = walked.frame;
            if walked.size_bytes > LARGE_BATCH_BYTES {
                bytes = read_batch(&whole, position, walked.size_bytes).map_err(io)?;
                frame = Frame::parse(&bytes).map_err(|error| wrong(error.to_string()))?;
            }
            if frame.is_control() {
                self.control(&frame);
                continue;
            }
            for record in records(&frame, &mut self.decompressor).map_err(wrong)? {
                self.builder.push(record).map_err(|error| wrong(error.to_string()))?;
            }
        }
    }

    /// Notes the voters that a new leader names.
    fn control(&mut self, frame: &Frame<'_>) {
        let Ok(payload) = frame.records(&mut self.decompressor) else { return };
        let mut voters = None;
        let _ = payload.visit(|record| {
            if record.key.and_then(ControlType::of_key) == Some(ControlType::LeaderChange) {
                voters = record.value.and_then(voters_of).or(voters);
            }
            std::ops::ControlFlow::<()>::Continue(())
        });
        self.voters = voters.or(self.voters);
    }
}

/// Batches above this size are read apart from the walk, which keeps only their headers beyond 4 MiB.
const LARGE_BATCH_BYTES: u64 = 1 << 20;

fn read_batch(file: &File, position: Position, size_bytes: u64) -> std::io::Result<Vec<u8>> {
    let len = usize::try_from(size_bytes).ok().filter(|len| *len <= MAX_BATCH_BYTES);
    let mut bytes = vec![0; len.ok_or_else(|| std::io::Error::other("the batch is larger than 128 MiB"))?];
    file.read_exact_at(&mut bytes, position.get())?;
    Ok(bytes)
}

fn voters_of(value: &[u8]) -> Option<usize> {
    // No version stands in front: the first field is it.
    let version = Reader::new(value).i16().ok().filter(|version| LEADER_CHANGE.knows(*version))?;
    let fields = LEADER_CHANGE.decode_all(version, value).ok()?;
    match fields.get("voters") {
        Some(Value::Array(voters)) => Some(voters.len()),
        _ => None,
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
