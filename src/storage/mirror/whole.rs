//! Whole segments, brought over as files: the beginning of a first copy.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

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

/// How often a segment is copied that changes meanwhile.
const TRIES_MAX: usize = 3;

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
        // What is left of it by then comes over by batches.
        let Some(copied) = copy_segment(segment, &dir, pace)? else { break };
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

/// Copies a segment's files, of one moment; their names. `None` when they are exchanged or removed as often as they are copied.
///
/// The log cleaner puts another log in the place of one, and then other indexes: copied in between, they would not belong
/// together. The log is the first that it renames (`LocalLog.replaceSegments`), so one that is still there has its indexes still.
fn copy_segment(segment: &Segment, dir: &Path, pace: &Pace<'_>) -> Result<Option<Vec<String>>, MirrorError> {
    let log = segment.sibling(SegmentFileKind::Log);
    for _ in 0..TRIES_MAX {
        let before = facts(&log);
        let copied = copy_files(segment, dir, pace);
        if before.is_some() && facts(&log) == before {
            return copied.map(Some);
        }
        match copied {
            Ok(names) => names.iter().try_for_each(|name| fs::remove_if_present(&dir.join(name)))?,
            Err(MirrorError::Copy(MoveError::Source(error))) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// What tells a file from another one that takes its place. Its inode is not used again meanwhile: what the cleaner has replaced stays
/// for a minute as `.deleted` (`file.delete.delay.ms`).
fn facts(path: &Path) -> Option<(u64, u64, u64, SystemTime)> {
    let metadata = path.metadata().ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.modified().ok()?))
}

fn copy_files(segment: &Segment, dir: &Path, pace: &Pace<'_>) -> Result<Vec<String>, MirrorError> {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_segment_that_is_exchanged_while_it_is_copied_is_copied_again() {
        // How often the cleaner is faster, and what there is at the end.
        for (exchanges, expected) in [(0, Some("log 0")), (1, Some("log 1")), (2, Some("log 2")), (9, None)] {
            let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let (base, log_len) = (Offset::ZERO, 5);
            let name = |kind| segment_file_name(base, kind);
            let log = source.path().join(name(SegmentFileKind::Log));
            let index = source.path().join(name(SegmentFileKind::OffsetIndex));
            let time = SystemTime::now();
            let put = |number: usize| {
                for (path, what) in [(&log, "log"), (&index, "index")] {
                    // Same length and time: the cleaner keeps the time, and nothing may have been removed.
                    let other = path.with_extension("swap");
                    std::fs::write(&other, format!("{what} {number}")).unwrap();
                    File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
                    if number > 0 {
                        std::fs::rename(path, path.with_extension(format!("{what}.{number}.deleted"))).unwrap();
                    }
                    std::fs::rename(&other, path).unwrap();
                }
            };
            put(0);
            let done = AtomicUsize::new(0);
            let progress = |_| {
                if done.load(Ordering::Relaxed) < exchanges {
                    put(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
            };
            let pace = Pace { throttle: None, stops: &|| false, progress: &progress };
            let segment = Segment { base, log: log.clone(), log_len };
            let copied = copy_segment(&segment, target.path(), &pace).unwrap();
            assert_eq!(copied.is_some(), expected.is_some(), "{exchanges} exchanges");
            let read = |kind| std::fs::read_to_string(target.path().join(name(kind))).ok();
            assert_eq!(read(SegmentFileKind::Log).as_deref(), expected, "{exchanges} exchanges");
            let of_index = expected.map(|text| text.replace("log", "index"));
            assert_eq!(read(SegmentFileKind::OffsetIndex), of_index, "{exchanges} exchanges");
        }
    }

    #[test]
    fn a_segment_that_was_removed_is_none_to_be_had_whole() {
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let base = Offset::ZERO;
        let log = source.path().join(segment_file_name(base, SegmentFileKind::Log));
        let pace = Pace { throttle: None, stops: &|| false, progress: &|_| {} };
        assert!(copy_segment(&Segment { base, log, log_len: 5 }, target.path(), &pace).unwrap().is_none());
    }
}
