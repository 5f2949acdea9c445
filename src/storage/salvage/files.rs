//! The logs that batches come from, and their batches read again.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{Fact, Run};
use crate::batch::scan::Source;
use crate::batch::walk::Walker;
use crate::batch::{Decompressor, Frame};
use crate::storage::file_source::FileSource;
use crate::storage::fs::StorageError;
use crate::types::{Offset, Position};

/// One log.
#[derive(Debug, Clone)]
pub struct LogFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The directory it counts for: 0 for the one to be restored, then the replicas in their order.
    pub replica: usize,
    /// Base offset, by its name.
    pub base: Offset,
    /// Its length when it was surveyed.
    pub len: u64,
    /// Sound batches it holds.
    pub sound: u64,
}

/// All logs, by number.
#[derive(Debug, Default)]
pub struct Files {
    files: Vec<LogFile>,
}

/// A repaired batch is read whole; its size was checked when it was found.
fn patched(source: &mut FileSource, run: &Run) -> std::io::Result<Vec<u8>> {
    let len = usize::try_from(run.len()).map_err(std::io::Error::other)?;
    let mut bytes = source.window(run.start, len)?.get(..len).map(<[u8]>::to_vec).ok_or_else(changed)?;
    if let (Some(prefix), Some(head)) = (&run.repaired, bytes.first_chunk_mut()) {
        *head = *prefix;
    }
    Ok(bytes)
}

fn changed() -> std::io::Error {
    std::io::Error::other("the file changed while it was read; run again")
}

impl Files {
    /// Adds a log; returns its number.
    pub fn add(&mut self, file: LogFile) -> usize {
        self.files.push(file);
        self.files.len() - 1
    }

    /// All of them.
    pub fn all(&self) -> &[LogFile] {
        &self.files
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut LogFile> {
        self.files.get_mut(number)
    }

    /// The log with this number.
    pub fn path(&self, number: usize) -> &Path {
        self.files.get(number).map_or(Path::new(""), |file| &file.path)
    }

    fn open(&self, run: &Run) -> Result<FileSource, StorageError> {
        let path = self.path(run.file);
        File::open(path)
            .and_then(|file| FileSource::up_to(file, run.end))
            .map_err(|error| StorageError::new(path, error))
    }

    /// Hands every batch of a run to `visit`: what it claims and, with `whole`, all of its bytes, else its header.
    ///
    /// `visit` ends the walk by `false`.
    pub fn walk(
        &self,
        run: &Run,
        whole: bool,
        visit: &mut dyn FnMut(&Fact, &Frame<'_>) -> bool,
    ) -> Result<(), StorageError> {
        let path = self.path(run.file);
        let io = |error| StorageError::new(path, error);
        let mut source = self.open(run)?;
        let mut decompressor = Decompressor::default();
        if run.repaired.is_some() {
            let bytes = patched(&mut source, run).map_err(io)?;
            let frame = Frame::parse(&bytes).map_err(|error| io(std::io::Error::other(error)))?;
            let fact = fact_of(run.file, run.start, &frame, &mut decompressor);
            visit(&Fact { repaired: run.repaired, ..fact }, &frame);
            return Ok(());
        }
        let start = Position::new(run.start);
        let mut walker = if whole { Walker::trusting(source, start) } else { Walker::headers(source, start) };
        let mut previous: Option<Offset> = None;
        while walker.position().get() < run.end {
            let (position, size, control) = match walker.step().map_err(io)? {
                Ok(walked) => (walked.position.get(), walked.size_bytes, walked.frame.is_control()),
                Err(_) => return Err(io(changed())),
            };
            // A marker is needed whole, and of anything asked for whole also what the walker holds in part.
            let want = usize::try_from(size).map_err(|error| io(std::io::Error::other(error)))?;
            let window_len = if whole || control { want } else { want.min(crate::batch::view::HEADER_LEN) };
            let window = walker.source_mut().window(position, want.min(window_len.max(1))).map_err(io)?;
            let full = window.get(..want);
            let frame = match full {
                Some(bytes) => Frame::parse(bytes),
                None => Frame::parse_header(window, want),
            };
            let frame = frame.map_err(|error| io(std::io::Error::other(error)))?;
            let mut fact = fact_of(run.file, position, &frame, &mut decompressor);
            fact.len = size;
            if previous.is_some_and(|previous| fact.first <= previous) {
                return Err(io(changed()));
            }
            previous = Some(fact.last);
            if !visit(&fact, &frame) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The batches of a run that overlap `first..=last`.
    pub fn overlapping(&self, run: &Run, first: Offset, last: Offset) -> Result<Vec<Fact>, StorageError> {
        let mut found = Vec::new();
        self.walk(run, false, &mut |fact, _| {
            if fact.overlaps(first, last) {
                found.push(*fact);
            }
            fact.first <= last
        })?;
        Ok(found)
    }

    /// The run in two: what ends below `at`, and the rest.
    pub fn split(&self, run: &Run, at: Offset) -> Result<(Option<Run>, Option<Run>), StorageError> {
        let mut parts: (Option<Run>, Option<Run>) = (None, None);
        self.walk(run, false, &mut |fact, _| {
            let part = if fact.last < at { &mut parts.0 } else { &mut parts.1 };
            match part {
                Some(part) => drop(part.take(fact)),
                None => *part = Some(Run::of(fact)),
            }
            true
        })?;
        Ok(parts)
    }

    /// Hands the bytes of a run to `write`, a piece at a time.
    pub fn copy(
        &self,
        run: &Run,
        write: &mut dyn FnMut(&[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        const PIECE: usize = 1 << 20;
        let io = |error| StorageError::new(self.path(run.file), error);
        let mut source = self.open(run)?;
        if run.repaired.is_some() {
            return write(&patched(&mut source, run).map_err(io)?);
        }
        let mut at = run.start;
        while at < run.end {
            let want = usize::try_from(run.end - at).unwrap_or(PIECE).min(PIECE);
            let window = source.window(at, want).map_err(io)?;
            let piece = window.get(..want).ok_or_else(|| io(changed()))?;
            write(piece)?;
            at += want as u64;
        }
        Ok(())
    }
}

/// What a batch claims.
pub fn fact_of(file: usize, position: u64, frame: &Frame<'_>, decompressor: &mut Decompressor) -> Fact {
    let last = frame.last_offset();
    let first = frame.base_offset().or_else(|| {
        // A wrapper stores its last offset only.
        let mut records = frame.records(decompressor).ok()?;
        records.next()?.ok().map(|record| record.offset)
    });
    Fact {
        file,
        position,
        len: frame.bytes().len() as u64,
        first: first.unwrap_or(last).min(last),
        last,
        epoch: frame.leader_epoch(),
        crc: frame.stored_crc(),
        magic: frame.magic(),
        repaired: None,
    }
}
