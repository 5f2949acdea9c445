//! A partition to be salvaged or merged: the plan, and the new directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use super::arrange::Arranged;
use super::compose::{Composed, Composing, Segment, compose};
use super::files::Files;
use super::merge::merge;
use super::survey::{known_epochs, survey};
use crate::batch::walk::{Stop, Walker};
use crate::storage::file_source::FileSource;
use crate::storage::fs::{self, Opening, StorageError};
use crate::storage::index::offset::OffsetIndex;
use crate::storage::index::time::TimeIndex;
use crate::storage::index::{self};
use crate::storage::leader_epochs::{self, EpochEntry, LeaderEpochs};
use crate::storage::names::{FileState, PartitionFile, SegmentFileKind, segment_file_name};
use crate::storage::partition::{Checkpoints, Partition, present};
use crate::storage::recovery::{self, LoadOptions};
use crate::storage::restore::as_kafka::{files_of, written};
use crate::storage::restore::{Action, Lost, RestoreError, Sharing, Step, take_over};
use crate::storage::swap::Ends;
use crate::storage::verify::offset_index::OffsetIndexCheck;
use crate::storage::verify::time_index::TimeIndexCheck;
use crate::storage::verify::{IndexResult, Placed};
use crate::storage::writer::LogConfig;
use crate::storage::{partition_metadata, producer_state, writer};
use crate::types::{Offset, Position, Uuid};

/// What is wanted of a salvage.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// The log's settings.
    pub config: LogConfig,
    /// From `log-start-offset-checkpoint`; 0 where it has no entry.
    pub log_start: Offset,
    /// Batches beyond it are damage.
    pub max_batch_bytes: u64,
    /// Partition directories of replicas.
    pub replicas: Vec<PathBuf>,
    /// Nothing is taken from replicas at or above it.
    pub to_offset: Option<Offset>,
    /// The topic's id, where it is known from elsewhere.
    pub topic_id: Option<Uuid>,
    /// It counts more than what `partition.metadata` says.
    pub insist_on_id: bool,
    /// Replicas of another topic id are taken all the same.
    pub force: bool,
    /// What waits in `.deleted` and `.cleaned` segments is taken too, where it fills a hole or follows the end.
    pub with_deleted: bool,
}

/// A plan.
#[derive(Debug)]
pub struct SalvageJob {
    dir: PathBuf,
    files: Files,
    arranged: Arranged,
    bases: BTreeSet<Offset>,
    empties: BTreeSet<Offset>,
    empty_base: Offset,
    /// Snapshots that can be read.
    snapshots: BTreeMap<Offset, PathBuf>,
    wishes: Wishes,
    /// Written, if it is not what is there.
    topic_id: Option<Uuid>,
    steps: Vec<Step>,
    losses: Vec<Lost>,
    ends: Ends,
}

/// What becomes of one file of a segment.
enum Fate {
    /// It stays as it is.
    Stays,
    /// It is written.
    Written,
    /// There is none, before and after.
    None,
}

/// Plans it. Reads every log, of the replicas too; writes nothing.
pub fn plan(partition: &Partition, wishes: Wishes) -> Result<SalvageJob, RestoreError> {
    let mut files = Files::default();
    let mut arranged = survey(partition, 0, wishes.max_batch_bytes, &mut files)?;
    for (number, dir) in wishes.replicas.iter().enumerate() {
        let replica = Partition::open(dir, Checkpoints::default())?;
        let theirs = survey(&replica, number + 1, wishes.max_batch_bytes, &mut files)?;
        arranged.runs = merge(&arranged.runs, &theirs.runs, wishes.to_offset, &files)?;
    }
    if wishes.with_deleted {
        let set_aside = Partition::set_aside(partition.dir())?;
        let theirs = survey(&set_aside, wishes.replicas.len() + 1, wishes.max_batch_bytes, &mut files)?;
        arranged.runs = merge(&arranged.runs, &theirs.runs, wishes.to_offset, &files)?;
    }
    let bases = bases(&arranged, &files);
    let first_base = partition.segments().first().map_or(wishes.log_start, |segment| segment.base);
    let mut job = SalvageJob {
        dir: partition.dir().to_owned(),
        losses: Vec::new(),
        empty_base: first_base.max(wishes.log_start),
        empties: empties(&files),
        snapshots: snapshots(partition.dir())?,
        files,
        arranged,
        bases,
        topic_id: None,
        steps: Vec::new(),
        ends: Ends { log_start: first_base, first_base, log_end: first_base },
        wishes,
    };
    let end = job.arranged.runs.last().map(|run| run.last.next());
    if end.is_some_and(|end| job.wishes.log_start > end) {
        let text = format!(
            "the log start offset {} of the checkpoint lies above the log's end; it is not followed",
            job.wishes.log_start
        );
        job.arranged.remarks.push(text);
        job.wishes.log_start = Offset::ZERO;
    }
    job.plan_topic_id()?;
    job.plan_steps()?;
    job.losses.extend(job.arranged.losses(&job.files));
    job.losses.sort_by(|a, b| (a.first, &a.file, a.position).cmp(&(b.first, &b.file, b.position)));
    Ok(job)
}

/// Offsets at which segments start.
///
/// Those of the partition's own logs, by name, or by the first batch where that lies below the name; of a replica's
/// only where no batch of our own log of that range follows.
fn bases(arranged: &Arranged, files: &Files) -> BTreeSet<Offset> {
    // Of each log that is used: its first batch, if that stands first in it, and its last offset.
    let mut used: BTreeMap<usize, (Option<Offset>, Offset)> = BTreeMap::new();
    for run in &arranged.runs {
        let entry = used.entry(run.file).or_insert((None, run.last));
        entry.1 = entry.1.max(run.last);
        if run.start == 0 {
            entry.0 = Some(run.first);
        }
    }
    let mut bases = BTreeSet::new();
    let mut ends: Vec<(Offset, Offset)> = Vec::new();
    for (number, file) in files.all().iter().enumerate().filter(|(_, file)| file.replica == 0) {
        match used.get(&number) {
            Some((first, last)) => {
                let base = first.map_or(file.base, |first| first.min(file.base));
                bases.insert(base);
                ends.push((base, *last));
            }
            // Nothing sound in it: what replicas have of it goes under its name. Copies only: it goes.
            None if file.sound == 0 => drop(bases.insert(file.base)),
            None => {}
        }
    }
    for (number, file) in files.all().iter().enumerate().filter(|(_, file)| file.replica > 0) {
        let home = ends.iter().rev().find(|(base, _)| *base <= file.base);
        if used.contains_key(&number) && home.is_none_or(|(_, last)| *last < file.base) {
            bases.insert(file.base);
        }
    }
    bases
}

/// Segments that stay also without batches: those that are empty files already, as compaction leaves them, and the last
/// one, where the log goes on: the offsets below its base were given away once.
fn empties(files: &Files) -> BTreeSet<Offset> {
    let own = || files.all().iter().filter(|file| file.replica == 0);
    let last = own().map(|file| file.base).max();
    own().filter(|file| file.len == 0 || (file.sound == 0 && Some(file.base) == last)).map(|file| file.base).collect()
}

/// The producer snapshots in `dir` that can be read, by offset.
fn snapshots(dir: &Path) -> Result<BTreeMap<Offset, PathBuf>, StorageError> {
    let mut found = BTreeMap::new();
    for (name, path) in files_of(dir)? {
        if let PartitionFile::Segment(file) = PartitionFile::parse(&name)
            && file.kind == SegmentFileKind::Snapshot
            && file.state == FileState::Live
            && file.is_canonical
            && producer_state::read(&path).is_ok()
        {
            found.insert(file.offset, path);
        }
    }
    Ok(found)
}

impl SalvageJob {
    /// Every change of a file.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What is missing for good.
    pub fn losses(&self) -> &[Lost] {
        &self.losses
    }

    /// What was repaired, dropped or moved.
    pub fn remarks(&self) -> &[String] {
        &self.arranged.remarks
    }

    /// Where the log starts and ends.
    pub const fn ends(&self) -> Ends {
        self.ends
    }

    fn plan_topic_id(&mut self) -> Result<(), RestoreError> {
        let path = |dir: &Path| dir.join(partition_metadata::FILE_NAME);
        // A reserved id reads well, and no topic has it.
        let read = |dir: &Path| partition_metadata::read(&path(dir)).ok().map(|metadata| metadata.topic_id);
        let own = read(&self.dir).filter(|id| !id.is_reserved());
        let mut id = if self.wishes.insist_on_id { self.wishes.topic_id } else { own.or(self.wishes.topic_id) };
        for replica in &self.wishes.replicas {
            let Ok(metadata) = partition_metadata::read(&path(replica)) else { continue };
            let expected = *id.get_or_insert(metadata.topic_id);
            if metadata.topic_id != expected && !self.wishes.force {
                return Err(RestoreError::TopicId { path: path(replica), found: metadata.topic_id, expected });
            }
        }
        match id {
            Some(id) if Some(id) != own => {
                self.topic_id = Some(id);
                let text = partition_metadata::to_text(id);
                let detail = format!("topic id {id}");
                self.small_step(partition_metadata::FILE_NAME, text.as_bytes(), detail);
            }
            Some(_) => {}
            None => self.arranged.remarks.push(
                "the topic's id is not known: a broker sets the directory aside as stray; give it with --topic-id"
                    .into(),
            ),
        }
        Ok(())
    }

    fn small_step(&mut self, name: &str, bytes: &[u8], detail: String) {
        let before = std::fs::metadata(self.dir.join(name)).ok().map(|metadata| metadata.len());
        let after = Some(bytes.len() as u64);
        self.steps.push(Step {
            file: name.to_owned(),
            action: Action::Write,
            detail,
            bytes_before: before,
            bytes_after: after,
        });
    }

    fn composing(&self) -> Composing<'_> {
        Composing {
            files: &self.files,
            bases: &self.bases,
            empties: &self.empties,
            snapshots: &self.snapshots,
            empty_base: self.empty_base,
            log_start: self.wishes.log_start,
            known: known_epochs(&self.dir),
            config: self.wishes.config,
        }
    }

    fn plan_steps(&mut self) -> Result<(), RestoreError> {
        let mut steps = Vec::new();
        let mut result: BTreeSet<String> = BTreeSet::new();
        let composed = compose(&self.arranged.runs, &self.composing(), &mut |segment| {
            self.segment_steps(&segment, &mut result, &mut steps)
        })?;
        if let Some(snapshot) = &composed.snapshot {
            let name = segment_file_name(composed.log_end, SegmentFileKind::Snapshot);
            self.file_step(&name, snapshot, &mut result, &mut steps);
        }
        result.extend(
            self.kept_snapshots(&composed).map(|(offset, _)| segment_file_name(offset, SegmentFileKind::Snapshot)),
        );
        for (name, path) in files_of(&self.dir)? {
            let text = name.to_string_lossy().into_owned();
            if self.stays_out(&name) && !result.contains(&text) {
                let before = path.metadata().ok().map(|metadata| metadata.len());
                let detail = match PartitionFile::parse(&name) {
                    PartitionFile::NotAnOffset { .. } => "a broker does not start over a file of this name",
                    PartitionFile::Segment(file) if file.state == FileState::Live => "nothing of it is left",
                    _ => "left over",
                };
                let action = Action::Remove;
                steps.push(Step { file: text, action, detail: detail.into(), bytes_before: before, bytes_after: None });
            }
        }
        self.steps.extend(steps);
        self.plan_epochs(&composed);
        for (fact, why) in &composed.left_out {
            let file = self.files.path(fact.file).file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.losses.push(Lost {
                file,
                position: Position::new(fact.position),
                bytes: fact.len,
                first: Some(fact.first),
                next: Some(fact.last.next()),
                reason: format!("a broker does not start over it: {why}"),
            });
        }
        let log_start = self.wishes.log_start.max(composed.first_base);
        self.ends = Ends { log_start, first_base: composed.first_base, log_end: composed.log_end };
        Ok(())
    }

    /// Snapshots that say what is true of the result too.
    fn kept_snapshots(&self, composed: &Composed) -> impl Iterator<Item = (Offset, &Path)> {
        self.snapshots.range(..=composed.pristine_to).map(|(offset, path)| (*offset, path.as_path()))
    }

    fn plan_epochs(&mut self, composed: &Composed) {
        let path = self.dir.join(leader_epochs::FILE_NAME);
        let read = fs::read_small(&path, fs::CHECKPOINT_BYTES_MAX);
        let stored = read.as_deref().ok().and_then(|bytes| leader_epochs::parse(bytes).ok());
        if self.epochs_stay(composed) {
            return;
        }
        let why = match (&stored, composed.epochs_agree) {
            (None, _) => "from the batches",
            (Some(_), true) => "as far as the log goes",
            (Some(_), false) => "from the batches, which it contradicts",
        };
        let text = epochs_text(&composed.epochs);
        let detail = format!("{} epochs, {why}", composed.epochs.len());
        self.small_step(leader_epochs::FILE_NAME, text.as_bytes(), detail);
    }

    /// Whether the checkpoint says what it is to say; none at all is as good as one without entries.
    fn epochs_stay(&self, composed: &Composed) -> bool {
        let path = self.dir.join(leader_epochs::FILE_NAME);
        match fs::read_small(&path, fs::CHECKPOINT_BYTES_MAX) {
            Ok(bytes) => leader_epochs::parse(&bytes).is_ok_and(|stored| stored == composed.epochs),
            Err(error) => error.is_not_found() && composed.epochs.is_empty(),
        }
    }

    /// Whether a file of the original is none of the result unless it was derived anew.
    fn stays_out(&self, name: &std::ffi::OsStr) -> bool {
        matches!(
            PartitionFile::parse(name),
            PartitionFile::Segment(_) | PartitionFile::NotAnOffset { .. } | PartitionFile::Temporary
        )
    }

    fn file_step(&self, name: &str, bytes: &[u8], result: &mut BTreeSet<String>, steps: &mut Vec<Step>) {
        result.insert(name.to_owned());
        let path = self.dir.join(name);
        let before = std::fs::metadata(&path).ok().map(|metadata| metadata.len());
        if before == Some(bytes.len() as u64) && std::fs::read(&path).is_ok_and(|stored| stored == bytes) {
            return;
        }
        let (action, detail) = written(&path, bytes);
        let after = Some(bytes.len() as u64);
        steps.push(Step { file: name.to_owned(), action, detail, bytes_before: before, bytes_after: after });
    }

    fn segment_steps(
        &self,
        segment: &Segment,
        result: &mut BTreeSet<String>,
        steps: &mut Vec<Step>,
    ) -> Result<bool, RestoreError> {
        let name = segment_file_name(segment.base, SegmentFileKind::Log);
        let unchanged = self.is_unchanged(segment);
        result.insert(name.clone());
        if !unchanged {
            let before = std::fs::metadata(self.dir.join(&name)).ok().map(|metadata| metadata.len());
            let (action, detail) = self.how_written(segment, before);
            steps.push(Step { file: name, action, detail, bytes_before: before, bytes_after: Some(segment.len) });
        }
        for (kind, bytes) in index_files(segment) {
            let name = segment_file_name(segment.base, kind);
            match self.index_fate(segment, kind, bytes, unchanged)? {
                Fate::Stays => drop(result.insert(name)),
                Fate::Written => self.file_step(&name, bytes, result, steps),
                Fate::None => {}
            }
        }
        if let Some(bytes) = &segment.snapshot {
            let name = segment_file_name(segment.base, SegmentFileKind::Snapshot);
            self.file_step(&name, bytes, result, steps);
        }
        Ok(unchanged)
    }

    fn how_written(&self, segment: &Segment, before: Option<u64>) -> (Action, String) {
        let batches: u64 = segment.pieces.iter().map(|run| run.batches).sum();
        let of = |replica: bool| {
            let from = segment.pieces.iter().filter(|run| (self.replica_of(run.file) > 0) == replica);
            from.map(|run| run.batches).sum::<u64>()
        };
        let arrow = format!("{} → {} bytes", before.unwrap_or_default(), segment.len);
        match (&segment.pieces[..], before) {
            ([one], Some(_)) if one.start == 0 && self.is_own(one.file, segment.base) && one.repaired.is_none() => {
                (Action::Truncate, format!("{arrow} ({batches} batches stay)"))
            }
            (_, _) if of(true) > 0 => {
                (Action::Rewrite, format!("{arrow} ({batches} batches, {} of them of replicas)", of(true)))
            }
            (_, _) => (Action::Rewrite, format!("{arrow} ({batches} batches)")),
        }
    }

    fn replica_of(&self, file: usize) -> usize {
        self.files.all().get(file).map_or(0, |file| file.replica)
    }

    /// Whether the file is this directory's log of that base offset, under its proper name.
    fn is_own(&self, file: usize, base: Offset) -> bool {
        let name = segment_file_name(base, SegmentFileKind::Log);
        self.replica_of(file) == 0 && self.files.path(file).file_name().is_some_and(|own| own == name.as_str())
    }

    fn is_unchanged(&self, segment: &Segment) -> bool {
        match &segment.pieces[..] {
            [run] => {
                let len = self.files.all().get(run.file).map(|file| file.len);
                run.start == 0 && Some(run.end) == len && run.repaired.is_none() && self.is_own(run.file, segment.base)
            }
            [] => self
                .files
                .all()
                .iter()
                .enumerate()
                .any(|(number, file)| file.len == 0 && self.is_own(number, segment.base)),
            _ => false,
        }
    }

    fn index_fate(
        &self,
        segment: &Segment,
        kind: SegmentFileKind,
        bytes: &[u8],
        unchanged: bool,
    ) -> Result<Fate, RestoreError> {
        let path = self.dir.join(segment_file_name(segment.base, kind));
        if kind == SegmentFileKind::TxnIndex {
            // Kafka makes one with the first aborted transaction only.
            let is_empty_file = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0);
            return Ok(match (bytes.is_empty(), is_empty_file) {
                (true, true) => Fate::Stays,
                (true, false) => Fate::None,
                (false, _) => Fate::Written,
            });
        }
        let log = self.dir.join(segment_file_name(segment.base, SegmentFileKind::Log));
        let is_true =
            unchanged && index_is_true(segment, kind, &path, &log).map_err(|error| StorageError::new(&path, error))?;
        Ok(if is_true { Fate::Stays } else { Fate::Written })
    }

    /// Fills `staging`, an empty directory; on disk when it returns.
    pub fn build(&self, staging: &Path, sharing: Sharing) -> Result<(), RestoreError> {
        let composed = compose(&self.arranged.runs, &self.composing(), &mut |segment| {
            self.write_segment(&segment, staging, sharing)
        })?;
        if let Some(snapshot) = &composed.snapshot {
            write_new(&staging.join(segment_file_name(composed.log_end, SegmentFileKind::Snapshot)), snapshot)?;
        }
        for (offset, path) in self.kept_snapshots(&composed) {
            let target = staging.join(segment_file_name(offset, SegmentFileKind::Snapshot));
            if !target.exists() {
                take_over(path, &target, sharing, false)?;
            }
        }
        if !self.epochs_stay(&composed) {
            write_new(&staging.join(leader_epochs::FILE_NAME), epochs_text(&composed.epochs).as_bytes())?;
        }
        if let Some(id) = self.topic_id {
            write_new(&staging.join(partition_metadata::FILE_NAME), partition_metadata::to_text(id).as_bytes())?;
        }
        for (name, path) in files_of(&self.dir)? {
            let target = staging.join(&name);
            if !self.stays_out(&name) && !target.exists() {
                take_over(&path, &target, sharing, false)?;
            }
        }
        fs::sync_dir(staging)?;
        self.check(staging)
    }

    /// Whether a broker loads it as it is, with a marker of a clean shutdown and without.
    fn check(&self, staging: &Path) -> Result<(), RestoreError> {
        let wrong = |what: String| Err(RestoreError::NotAsPlanned { path: staging.to_owned(), what });
        for clean in [true, false] {
            let options = LoadOptions {
                clean,
                recovery_point: self.ends.log_end,
                log_start: self.wishes.log_start,
                now_ms: writer::log::now_ms(),
                config: self.wishes.config,
            };
            let plan = recovery::plan(staging, &options)?;
            if let Some(loss) = plan.losses.first() {
                return wrong(loss.to_string());
            }
            if plan.log_end != self.ends.log_end {
                return wrong(format!("it ends at offset {}, expected {}", plan.log_end, self.ends.log_end));
            }
        }
        Ok(())
    }

    fn write_segment(&self, segment: &Segment, staging: &Path, sharing: Sharing) -> Result<bool, RestoreError> {
        let name = segment_file_name(segment.base, SegmentFileKind::Log);
        let unchanged = self.is_unchanged(segment);
        let path = staging.join(&name);
        if unchanged {
            take_over(&self.dir.join(&name), &path, sharing, !segment.active)?;
        } else {
            self.write_log(segment, &path)?;
        }
        for (kind, bytes) in index_files(segment) {
            let name = segment_file_name(segment.base, kind);
            match self.index_fate(segment, kind, bytes, unchanged)? {
                Fate::Stays => take_over(&self.dir.join(&name), &staging.join(&name), sharing, false)?,
                Fate::Written => write_new(&staging.join(&name), bytes)?,
                Fate::None => {}
            }
        }
        if let Some(bytes) = &segment.snapshot {
            write_new(&staging.join(segment_file_name(segment.base, SegmentFileKind::Snapshot)), bytes)?;
        }
        Ok(unchanged)
    }

    fn write_log(&self, segment: &Segment, path: &Path) -> Result<(), RestoreError> {
        let io = |error| StorageError::new(path, error);
        let file = fs::open_to_write(path, Opening::Emptied).map_err(io)?;
        let mut at = 0;
        for piece in &segment.pieces {
            self.files.copy(piece, &mut |bytes| {
                fs::write_at(&file, path, bytes, at).map_err(io)?;
                at += bytes.len() as u64;
                Ok(())
            })?;
        }
        fs::sync_file(&file, path).map_err(io)?;
        // What was read for the plan is not believed a second time.
        let mut walker = Walker::new(FileSource::new(File::open(path).map_err(io)?).map_err(io)?);
        let stop = loop {
            if let Err(stop) = walker.step().map_err(io)? {
                break stop;
            }
        };
        if stop != Stop::End || walker.position().get() != segment.len {
            let what = format!("a batch at position {} is not what was planned; run again", walker.position());
            return Err(RestoreError::NotAsPlanned { path: path.to_owned(), what });
        }
        Ok(())
    }
}

fn index_files(segment: &Segment) -> [(SegmentFileKind, &[u8]); 3] {
    [
        (SegmentFileKind::OffsetIndex, &segment.offset_index),
        (SegmentFileKind::TimeIndex, &segment.time_index),
        (SegmentFileKind::TxnIndex, &segment.txn_index),
    ]
}

fn epochs_text(entries: &[EpochEntry]) -> String {
    LeaderEpochs::from_entries(entries).unwrap_or_default().to_text()
}

/// Writes a file that is not there yet; on disk but for its name.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let written = fs::open_to_write(path, Opening::Emptied).and_then(|file| {
        fs::write_at(&file, path, bytes, 0)?;
        fs::sync_file(&file, path)
    });
    written.map_err(|error| StorageError::new(path, error))
}

/// Whether the index of a log that stays as it is can stay too, though it was made with another
/// `index.interval.bytes`: whole, and no look-up goes astray by it.
fn index_is_true(segment: &Segment, kind: SegmentFileKind, path: &Path, log: &Path) -> std::io::Result<bool> {
    let Ok(Some(bytes)) = present(index::read(path)) else { return Ok(false) };
    let offsets = OffsetIndex::from_file(segment.base, &bytes);
    let times = TimeIndex::from_file(segment.base, &bytes);
    let is_offsets = kind == SegmentFileKind::OffsetIndex;
    let (entries, entry_len) = match is_offsets {
        true => (offsets.len(), index::offset::ENTRY_LEN),
        false => (times.len(), index::time::ENTRY_LEN),
    };
    // None at all is true, and of no use where there should be some.
    if entries * entry_len != bytes.file_len() || (is_offsets && entries == 0 && !segment.offset_index.is_empty()) {
        return Ok(false);
    }
    let (mut offsets, mut times) = (OffsetIndexCheck::new(offsets), TimeIndexCheck::new(times));
    let mut walker = Walker::headers(FileSource::with_read_bytes(File::open(log)?, 4 << 10)?, Position::ZERO);
    while let Ok(walked) = walker.step()? {
        let placed = Placed::of(&walked.frame, walked.position);
        match is_offsets {
            true => drop(offsets.batch(&placed)),
            false => times.batch(&placed, false),
        }
    }
    let is_sound = |result: &IndexResult| !matches!(result, IndexResult::Corrupt(_));
    if is_offsets {
        return Ok(is_sound(&offsets.finish(segment.len).0));
    }
    let times = times.finish(true);
    Ok(is_sound(&times.result) && times.missing_closing.is_none())
}
