//! A replica's batches put into the holes of a log, if both are the same log.

use thiserror::Error;

use super::{Fact, Files, Run, append};
use crate::batch::record::RecordRef;
use crate::batch::{Decompressor, Frame};
use crate::storage::fs::StorageError;
use crate::types::{LeaderEpoch, Offset};

/// Two replicas hold different records under one offset, or under epochs that cannot follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the replicas have diverged: offset {offset} is of leader epoch {ours_epoch}, CRC {ours_crc:#010x} in {ours}, and of leader epoch {theirs_epoch}, CRC {theirs_crc:#010x} in {theirs}: {why}"
)]
pub struct Divergence {
    /// First offset that differs.
    pub offset: Offset,
    /// The log that was kept so far.
    pub ours: String,
    /// Its batch's leader epoch.
    pub ours_epoch: LeaderEpoch,
    /// Its batch's checksum.
    pub ours_crc: u32,
    /// The replica's log.
    pub theirs: String,
    /// Its batch's leader epoch.
    pub theirs_epoch: LeaderEpoch,
    /// Its batch's checksum.
    pub theirs_crc: u32,
    /// What differs.
    pub why: String,
}

/// Why nothing was merged.
#[derive(Debug, Error)]
pub enum MergeError {
    /// A log cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// They are not the same log.
    #[error(transparent)]
    Diverged(#[from] Box<Divergence>),
}

/// The batches of runs, one after the other; a chunk of them in memory.
struct Cursor<'a> {
    files: &'a Files,
    runs: &'a [Run],
    at: usize,
    /// Where in the run the next chunk starts.
    from: u64,
    chunk: std::collections::VecDeque<Fact>,
}

const CHUNK: usize = 4096;

impl<'a> Cursor<'a> {
    fn new(files: &'a Files, runs: &'a [Run]) -> Cursor<'a> {
        Cursor { files, runs, at: 0, from: 0, chunk: std::collections::VecDeque::new() }
    }

    fn peek(&mut self) -> Result<Option<Fact>, StorageError> {
        while self.chunk.is_empty() {
            let Some(run) = self.runs.get(self.at) else { return Ok(None) };
            let rest = Run { start: run.start.max(self.from), ..*run };
            let chunk = &mut self.chunk;
            let mut end = run.end;
            self.files.walk(&rest, false, &mut |fact, _| {
                chunk.push_back(*fact);
                end = fact.position + fact.len;
                chunk.len() < CHUNK
            })?;
            if end >= run.end {
                self.at += 1;
                self.from = 0;
            } else {
                self.from = end;
            }
        }
        Ok(self.chunk.front().copied())
    }

    fn step(&mut self) {
        self.chunk.pop_front();
    }
}

/// `ours` with what `theirs` has below `to_offset` and `ours` has not. Both rise.
///
/// A batch of theirs is taken if all its offsets are missing. Where both hold an offset, the records must be the same;
/// batches may differ, as two replicas are compacted on their own.
pub fn merge(ours: &[Run], theirs: &[Run], to_offset: Option<Offset>, files: &Files) -> Result<Vec<Run>, MergeError> {
    let mut out: Vec<Run> = Vec::new();
    let (mut a, mut b) = (Cursor::new(files, ours), Cursor::new(files, theirs));
    let mut comparer = Comparer { files, left: Decompressor::default(), right: Decompressor::default() };
    // Of what was put out last: its last offset and highest epoch.
    let mut last: Option<Fact> = None;
    let mut epoch = LeaderEpoch::NONE;
    loop {
        let (ours, theirs) = (a.peek()?, b.peek()?);
        let Some(theirs) = theirs.filter(|fact| to_offset.is_none_or(|to| fact.first < to)) else {
            match ours {
                Some(ours) => {
                    append(&mut out, &ours);
                    a.step();
                    continue;
                }
                None => return Ok(out),
            }
        };
        if let Some(last) = last.filter(|last| theirs.first <= last.last) {
            // A batch that reaches into what is there already.
            if theirs.overlaps(last.first, last.last) {
                comparer.same(&last, &theirs)?;
            }
            if let Some(ours) = ours.filter(|ours| theirs.overlaps(ours.first, ours.last)) {
                comparer.same(&ours, &theirs)?;
            }
            b.step();
            continue;
        }
        match ours {
            Some(ours) if theirs.overlaps(ours.first, ours.last) => {
                comparer.same(&ours, &theirs)?;
                append(&mut out, &ours);
                epoch = epoch.max(ours.epoch);
                last = Some(ours);
                a.step();
                if theirs.last <= ours.last {
                    b.step();
                }
            }
            Some(ours) if ours.first < theirs.first => {
                append(&mut out, &ours);
                epoch = epoch.max(ours.epoch);
                last = Some(ours);
                a.step();
            }
            next => {
                // Its offsets are missing, all of them, if none lies beyond what was asked for.
                let whole = to_offset.is_none_or(|to| theirs.last < to);
                if whole {
                    if let Some(neighbour) = neighbour_against(&theirs, last, epoch, next) {
                        let why = "leader epochs would fall along the log".to_owned();
                        return Err(diverged(files, &neighbour, &theirs, theirs.first, why).into());
                    }
                    append(&mut out, &theirs);
                    epoch = epoch.max(theirs.epoch);
                    last = Some(theirs);
                }
                b.step();
            }
        }
    }
}

/// The neighbour whose leader epoch does not let `fact` in.
fn neighbour_against(fact: &Fact, last: Option<Fact>, epoch: LeaderEpoch, next: Option<Fact>) -> Option<Fact> {
    if fact.epoch == LeaderEpoch::NONE {
        return None;
    }
    let above = next.filter(|next| next.epoch != LeaderEpoch::NONE && next.epoch < fact.epoch);
    last.filter(|_| fact.epoch < epoch).or(above)
}

fn diverged(files: &Files, ours: &Fact, theirs: &Fact, offset: Offset, why: String) -> Box<Divergence> {
    Box::new(Divergence {
        offset,
        ours: files.path(ours.file).display().to_string(),
        ours_epoch: ours.epoch,
        ours_crc: ours.crc,
        theirs: files.path(theirs.file).display().to_string(),
        theirs_epoch: theirs.epoch,
        theirs_crc: theirs.crc,
        why,
    })
}

struct Comparer<'a> {
    files: &'a Files,
    left: Decompressor,
    right: Decompressor,
}

impl Comparer<'_> {
    /// Whether both hold the same records at the offsets that both have.
    fn same(&mut self, ours: &Fact, theirs: &Fact) -> Result<(), MergeError> {
        let Comparer { files, left, right } = self;
        if ours.is_copy_of(theirs) {
            // Also where the epochs differ: the field is in no checksum, and one of them is damaged.
            return Ok(());
        }
        let mut found: Result<Option<(Offset, String)>, StorageError> = Ok(None);
        files.walk(&Run::of(ours), true, &mut |_, our_frame| {
            found = files
                .walk_one(&Run::of(theirs), &mut |their_frame| differing(our_frame, their_frame, left, right))
                .map(|difference| difference.flatten());
            false
        })?;
        match found? {
            Some((offset, why)) => Err(diverged(files, ours, theirs, offset, why).into()),
            None => Ok(()),
        }
    }
}

impl Files {
    fn walk_one<T>(&self, run: &Run, visit: &mut dyn FnMut(&Frame<'_>) -> T) -> Result<Option<T>, StorageError> {
        let mut answer = None;
        self.walk(run, true, &mut |_, frame| {
            answer = Some(visit(frame));
            false
        })?;
        Ok(answer)
    }
}

/// The first offset at which both have a record, and not the same one.
fn differing(
    ours: &Frame<'_>,
    theirs: &Frame<'_>,
    left: &mut Decompressor,
    right: &mut Decompressor,
) -> Option<(Offset, String)> {
    let first = ours.base_offset().unwrap_or(ours.last_offset());
    let unreadable = |error| Some((first, format!("the batches differ, and one cannot be decoded: {error}")));
    let mut ours = match ours.records(left) {
        Ok(records) => records,
        Err(error) => return unreadable(error),
    };
    let mut theirs = match theirs.records(right) {
        Ok(records) => records,
        Err(error) => return unreadable(error),
    };
    let (mut a, mut b) = (ours.next(), theirs.next());
    loop {
        match (a, b) {
            (Some(Err(error)), _) | (_, Some(Err(error))) => return unreadable(error),
            (None, _) | (_, None) => return None,
            (Some(Ok(left)), Some(Ok(right))) => {
                if left.offset == right.offset {
                    if !same_record(&left, &right) {
                        return Some((left.offset, "the records differ".to_owned()));
                    }
                    (a, b) = (ours.next(), theirs.next());
                } else if left.offset < right.offset {
                    (a, b) = (ours.next(), Some(Ok(right)));
                } else {
                    (a, b) = (Some(Ok(left)), theirs.next());
                }
            }
        }
    }
}

/// The same but for how the batch stores it.
fn same_record(a: &RecordRef<'_>, b: &RecordRef<'_>) -> bool {
    (a.key, a.value, a.timestamp_ms) == (b.key, b.value, b.timestamp_ms) && a.headers.iter().eq(b.headers.iter())
}
