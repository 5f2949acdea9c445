//! Whole segments, brought over as files: the beginning of a first copy.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::plan::Plan;
use super::standing::epochs;
use super::{MirrorError, OnGap};
use crate::batch::walk::{Stop, Walker};
use crate::storage::file_source::FileSource;
use crate::storage::fs::{self, StorageError};
use crate::storage::leader_epochs::{self, LeaderEpochs};
use crate::storage::moves::MoveError;
use crate::storage::moves::copy::{self, Pace};
use crate::storage::names::{DirKind, FileState, PartitionDirName, PartitionFile, SegmentFileKind, segment_file_name};
use crate::storage::partition::Segment;
use crate::storage::partition_metadata;
use crate::types::{LeaderEpoch, Offset};

/// What a file is called until it is whole. To a broker it is one of those it removes, in a directory that it removes.
const UNFINISHED: &str = ".part";

/// A partition directory that is whole, but for its name.
pub(super) struct Built {
    /// Where it is.
    pub dir: PathBuf,
    /// Where its log ends.
    pub end: Offset,
    /// Bytes of its logs.
    pub bytes: u64,
}

/// Copies the segments that `plan` wants whole, but for the last of the source, which may be written to.
///
/// Each file is read back, each batch checked; at the first segment that is not sound it ends, and [`super::grow`] tells what
/// is wrong there. `None`: there is none to be had whole.
pub(super) fn copy_whole(
    plan: &Plan,
    log_dir: &Path,
    on_gap: OnGap,
    pace: &Pace<'_>,
) -> Result<Option<Built>, MirrorError> {
    let segments = plan.source.segments();
    let first = plan.source.floor_segment(plan.from);
    let ends = segments.iter().skip(1).map(|segment| segment.base);
    let wanted = segments.iter().zip(ends).skip(first).take_while(|(_, end)| *end <= plan.to);
    let wanted: Vec<&Segment> = wanted.map(|(segment, _)| segment).collect();
    let Some(begin) = wanted.first().map(|segment| segment.base) else { return Ok(None) };
    let dir = staging(plan, log_dir);
    if !dir.is_dir() {
        fs::create_dir(&dir)?;
    }
    let (mut end, mut bytes) = (begin, 0);
    let (mut names, mut of_batches) = (BTreeSet::new(), LeaderEpochs::new());
    for segment in wanted {
        let copied = copy_segment(segment, &dir, pace)?;
        let log = dir.join(segment_file_name(segment.base, SegmentFileKind::Log));
        let may_miss = plan.may_have_holes || on_gap == OnGap::Keep;
        match sound_end(&log, end, may_miss, &mut of_batches).map_err(|error| StorageError::new(&log, error))? {
            Some(next) => end = next,
            None => break,
        }
        bytes += segment.log_len;
        names.extend(copied);
    }
    if names.is_empty() {
        remove_others(&dir, &names)?;
        return Ok(None);
    }
    names.extend(copy_snapshots(plan, &dir, end, pace)?);
    remove_others(&dir, &names)?;
    let mut of_source = epochs(plan.source.dir())?;
    of_source.truncate_from_end(end);
    // Batches name theirs too, for who lost the file.
    let of_source = if of_source.entries().is_empty() { of_batches } else { of_source };
    fs::replace_atomic(&dir.join(leader_epochs::FILE_NAME), of_source.to_text().as_bytes())?;
    if !plan.topic_id.is_reserved() {
        let metadata = partition_metadata::to_text(plan.topic_id);
        fs::replace_atomic(&dir.join(partition_metadata::FILE_NAME), metadata.as_bytes())?;
    }
    fs::sync_dir(&dir)?;
    Ok(Some(Built { dir, end, bytes }))
}

/// The same for every run over the same source: what an earlier one brought over is found again.
fn staging(plan: &Plan, log_dir: &Path) -> PathBuf {
    let id: String = plan.topic_id.0.iter().map(|byte| format!("{byte:02x}")).collect();
    log_dir.join(PartitionDirName::suffixed(plan.partition(), DirKind::Delete, &id).to_string())
}

/// Bytes of the segments that a run which was killed has brought over already.
pub(super) fn bytes_held(plan: &Plan, log_dir: &Path) -> u64 {
    let dir = staging(plan, log_dir);
    let is_held =
        |segment: &&Segment| is_same(&segment.log, &dir.join(segment_file_name(segment.base, SegmentFileKind::Log)));
    plan.source.segments().iter().filter(is_held).map(|segment| segment.log_len).sum()
}

/// Copies a segment's files; their names.
fn copy_segment(segment: &Segment, dir: &Path, pace: &Pace<'_>) -> Result<Vec<String>, MirrorError> {
    let mut names = Vec::new();
    for kind in
        [SegmentFileKind::Log, SegmentFileKind::OffsetIndex, SegmentFileKind::TimeIndex, SegmentFileKind::TxnIndex]
    {
        let (from, name) = (segment.sibling(kind), segment_file_name(segment.base, kind));
        match bring(&from, dir, &name, pace) {
            Ok(()) => names.push(name),
            Err(MirrorError::Copy(MoveError::Source(error)))
                if kind != SegmentFileKind::Log && error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(names)
}

/// Producer snapshots up to the end of what was copied: a broker goes on from the newest.
fn copy_snapshots(plan: &Plan, dir: &Path, end: Offset, pace: &Pace<'_>) -> Result<Vec<String>, MirrorError> {
    let source = plan.source.dir();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(source).map_err(|error| StorageError::new(source, error))? {
        let entry = entry.map_err(|error| StorageError::new(source, error))?;
        if let PartitionFile::Segment(file) = PartitionFile::parse(&entry.file_name())
            && (file.kind, file.state) == (SegmentFileKind::Snapshot, FileState::Live)
            && file.offset <= end
        {
            let name = segment_file_name(file.offset, file.kind);
            match bring(&entry.path(), dir, &name, pace) {
                Ok(()) => names.push(name),
                Err(MirrorError::Copy(MoveError::Source(error))) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(names)
}

/// Brings one file over, unless an earlier run did: whole, on disk, and read back, before it gets its name.
fn bring(from: &Path, dir: &Path, name: &str, pace: &Pace<'_>) -> Result<(), MirrorError> {
    let to = dir.join(name);
    if is_same(from, &to) {
        if let Ok(metadata) = from.metadata() {
            (pace.progress)(metadata.len());
        }
        return Ok(());
    }
    let unfinished = dir.join(format!("{name}{UNFINISHED}"));
    let crc = copy::copy_file(from, &unfinished, pace)?.settle()?;
    let quiet = Pace { throttle: None, stops: pace.stops, progress: &|_| {} };
    let (_, found) = copy::read_back(&unfinished, &quiet)?;
    if found != crc {
        return Err(MoveError::Differs { path: unfinished }.into());
    }
    fs::rename(&unfinished, &to)?;
    Ok(())
}

/// A copy gets its name when it is whole, and has the time of its source: nobody wrote to either since.
fn is_same(from: &Path, to: &Path) -> bool {
    let facts = |path: &Path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    };
    facts(to).is_some_and(|copied| facts(from) == Some(copied))
}

fn remove_others(dir: &Path, names: &BTreeSet<String>) -> Result<(), StorageError> {
    for entry in std::fs::read_dir(dir).map_err(|error| StorageError::new(dir, error))? {
        let entry = entry.map_err(|error| StorageError::new(dir, error))?;
        if !entry.file_name().to_str().is_some_and(|name| names.contains(name)) {
            fs::remove_if_present(&entry.path())?;
        }
    }
    Ok(())
}

/// One above the last offset of a log whose batches are all sound and follow `expected` in order, without holes unless they
/// `may_miss`; `None` for any other. The epochs of the batches go to `epochs`.
fn sound_end(log: &Path, expected: Offset, may_miss: bool, epochs: &mut LeaderEpochs) -> io::Result<Option<Offset>> {
    let mut walker = Walker::new(File::open(log).and_then(FileSource::new)?);
    let mut next = expected;
    loop {
        match walker.step()? {
            Ok(walked) => {
                let (last, base) = (walked.frame.last_offset(), walked.frame.base_offset());
                // Of a compressed message of the old formats only its last offset is outside the compression.
                let first = base.unwrap_or(last);
                if last < next || first < next || (base.is_some_and(|base| base > next) && !may_miss) {
                    return Ok(None);
                }
                if walked.frame.leader_epoch() > LeaderEpoch::NONE {
                    let _ = epochs.assign(walked.frame.leader_epoch(), first);
                }
                next = last.next();
            }
            Err(Stop::End) => return Ok(Some(next)),
            Err(Stop::Cut { .. } | Stop::Corrupt(_)) => return Ok(None),
        }
    }
}
