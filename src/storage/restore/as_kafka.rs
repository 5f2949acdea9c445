//! What a broker does with a partition when it starts, done without one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Action, Lost, RestoreError, Sharing, Step, ends_of, take_over};
use crate::storage::fs::{self, StorageError};
use crate::storage::index::{offset, time, txn};
use crate::storage::names::{FileState, PartitionFile, SegmentFileKind, segment_file_name};
use crate::storage::recovery::{self, Change, CutReason, LoadOptions, Loss, Plan};
use crate::storage::swap::Ends;
use crate::types::{Offset, Position};

/// The broker's recovery of one partition.
#[derive(Debug)]
pub struct KafkaJob {
    plan: Plan,
    /// Files that no broker wrote come along.
    with_others: bool,
}

/// Plans it. Reads only.
pub fn plan(dir: &Path, options: &LoadOptions) -> Result<KafkaJob, RestoreError> {
    Ok(KafkaJob { plan: recovery::plan(dir, options)?, with_others: true })
}

impl KafkaJob {
    /// The job that a plan comes to, of the files that a broker wrote ([`is_kafkas`]) and no others.
    pub(crate) fn of_kafkas(plan: Plan) -> KafkaJob {
        KafkaJob { plan, with_others: false }
    }

    /// Every change of a file, in the order a broker makes it.
    pub fn steps(&self) -> Vec<Step> {
        // A broker also writes snapshots again that are as they were.
        let changes = self.plan.changes.in_order().filter(|change| !is_there_already(change));
        let steps: Vec<Step> = changes.map(|change| self.step(change)).collect();
        // What it renamed it removes a minute later, and at every start: nothing to put a new directory in place for.
        if steps.iter().all(|step| step.action == Action::Remove && step.file.ends_with(FileState::Deleted.suffix())) {
            return Vec::new();
        }
        steps
    }

    /// What is lost by it.
    pub fn losses(&self) -> &[Loss] {
        &self.plan.losses
    }

    /// Where the log starts and ends then.
    pub fn ends(&self) -> Ends {
        ends_of(&self.plan)
    }

    fn step(&self, change: &Change) -> Step {
        let (Change::Remove(path)
        | Change::Cut { path, .. }
        | Change::Write { path, .. }
        | Change::Rename { from: path, .. }) = change;
        let file = name(path);
        let before = std::fs::metadata(path).ok().map(|metadata| metadata.len());
        let (action, detail, after) = match change {
            Change::Remove(_) => (Action::Remove, why_removed(path).to_owned(), None),
            Change::Rename { to, .. } => (Action::Rename, format!("to {}", name(to)), before),
            Change::Cut { len, .. } => {
                let text = format!("{} → {len} bytes ({})", before.unwrap_or_default(), self.why_cut(path));
                (Action::Truncate, text, Some(*len))
            }
            Change::Write { bytes, .. } => {
                let (action, detail) = written(path, bytes);
                (action, detail, Some(bytes.len() as u64))
            }
        };
        Step { file, action, detail, bytes_before: before, bytes_after: after }
    }

    fn why_cut(&self, path: &Path) -> String {
        let cut = self.plan.losses.iter().find_map(|loss| match loss {
            Loss::Cut { log, why, bytes, next_offset, .. } if log == path => Some((why, bytes, next_offset)),
            _ => None,
        });
        match cut {
            Some((CutReason::Torn { bytes, .. }, _, next)) => {
                format!("{bytes} torn; last whole batch ends at offset {}", next.plus(-1))
            }
            Some((why, bytes, next)) => {
                format!("{why}; {bytes} bytes go; last batch before it ends at offset {}", next.plus(-1))
            }
            None => "zeros behind the last batch".to_owned(),
        }
    }

    /// Fills `staging`, an empty directory, with the files a broker would have; on disk when it returns.
    pub fn build(&self, staging: &Path, sharing: Sharing) -> Result<(), RestoreError> {
        let dir = &self.plan.dir;
        let mut cut: BTreeMap<&Path, u64> = BTreeMap::new();
        let mut dropped: Vec<&Path> = Vec::new();
        for change in self.plan.changes.in_order() {
            match change {
                Change::Cut { path, len } => drop(cut.insert(path, *len)),
                Change::Remove(path) | Change::Write { path, .. } => dropped.push(path),
                Change::Rename { .. } => {}
            }
        }
        let active = self.plan.segments.last().map(|(base, _)| *base);
        for (name, path) in files_of(dir)? {
            if dropped.contains(&path.as_path()) || !(self.with_others || is_kafkas(&name)) {
                continue;
            }
            let sealed = !cut.contains_key(path.as_path()) && is_sealed_log(&name, active);
            take_over(&path, &staging.join(&name), sharing, sealed)?;
        }
        crate::storage::fs::sync_dir(staging)?;
        self.plan.apply_in(staging)?;
        Ok(())
    }
}

/// A loss of Kafka's in the words of all modes.
pub(super) fn lost(loss: &Loss) -> Lost {
    match loss {
        Loss::Cut { log, position, bytes, why, next_offset } => Lost {
            file: name(log),
            position: *position,
            bytes: *bytes,
            first: Some(*next_offset),
            next: None,
            reason: format!("{why}; a broker cuts the log here"),
        },
        Loss::NotAFile { log } => Lost {
            file: name(log),
            position: Position::ZERO,
            bytes: 0,
            first: None,
            next: None,
            reason: "not a regular file; a broker goes on without this segment".to_owned(),
        },
        Loss::Segment { log, bytes } => Lost {
            file: name(log),
            position: Position::ZERO,
            bytes: *bytes,
            first: None,
            next: None,
            reason: "a broker drops the whole segment with what it cuts before it".to_owned(),
        },
    }
}

/// Regular files of a partition directory by name, those of this program apart.
pub(crate) fn files_of(dir: &Path) -> Result<Vec<(std::ffi::OsString, PathBuf)>, StorageError> {
    let error = |error| StorageError::new(dir, error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(error)? {
        let entry = entry.map_err(error)?;
        if entry.file_name() != crate::storage::swap::JOURNAL && fs::is_file(&entry.path())? {
            files.push((entry.file_name(), entry.path()));
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file of a partition directory is, by its name, one that a broker writes and reads.
pub(crate) fn is_kafkas(name: &std::ffi::OsStr) -> bool {
    match PartitionFile::parse(name) {
        PartitionFile::Segment(file) => file.state != FileState::Deleted,
        PartitionFile::LeaderEpochs | PartitionFile::PartitionMetadata => true,
        _ => false,
    }
}

fn is_there_already(change: &Change) -> bool {
    match change {
        Change::Write { path, bytes } => {
            let same_len = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == bytes.len() as u64);
            same_len && std::fs::read(path).is_ok_and(|stored| stored == *bytes)
        }
        _ => false,
    }
}

/// A log nobody appends to any more.
fn is_sealed_log(name: &std::ffi::OsStr, active: Option<Offset>) -> bool {
    match PartitionFile::parse(name) {
        PartitionFile::Segment(file) => {
            file.kind == SegmentFileKind::Log && active.is_none_or(|active| file.offset < active)
        }
        _ => false,
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn why_removed(path: &Path) -> &'static str {
    let Some(PartitionFile::Segment(file)) = path.file_name().map(PartitionFile::parse) else { return "left over" };
    match file.kind {
        SegmentFileKind::Snapshot => "no segment starts there any more, or it cannot be read",
        _ if !path.with_file_name(segment_file_name(file.offset, SegmentFileKind::Log)).is_file() => {
            "no log of this name"
        }
        _ => "left over from a deletion or a cleaning",
    }
}

/// What writing a file comes to, in words.
pub(crate) fn written(path: &Path, bytes: &[u8]) -> (Action, String) {
    let count = |len: usize, what| format!("{} {what}", bytes.len() / len);
    let kind = match path.file_name().map(PartitionFile::parse) {
        Some(PartitionFile::Segment(file)) => Some(file.kind),
        _ => None,
    };
    match kind {
        Some(SegmentFileKind::OffsetIndex) => (Action::Rebuild, count(offset::ENTRY_LEN, "entries")),
        Some(SegmentFileKind::TimeIndex) => (Action::Rebuild, count(time::ENTRY_LEN, "entries")),
        Some(SegmentFileKind::TxnIndex) => (Action::Rebuild, count(txn::ENTRY_LEN, "aborted transactions")),
        Some(SegmentFileKind::Snapshot) => (Action::Write, "producer state".to_owned()),
        Some(SegmentFileKind::Log) => (Action::Write, "an empty segment".to_owned()),
        None => (Action::Write, format!("{} bytes", bytes.len())),
    }
}
