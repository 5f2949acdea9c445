//! The text of time indexes, checked against their log in one pass.

use std::io;
use std::path::Path;

use super::super::{Report, Severity};
use super::index::{Found, entry_at};
use super::{Kafka, beside, note};
use crate::batch::scan::Source;
use crate::batch::{BatchError, Decompressor, Frame, MIN_LENGTH, PREFIX_LEN, entry_len};
use crate::storage::file_source::FileSource;
use crate::storage::fs::StorageError;
use crate::storage::index::offset::OffsetIndex;
use crate::storage::index::time::TimeIndex;
use crate::types::Offset;

impl Kafka<'_, '_, '_, '_> {
    pub(super) fn time_index(&mut self, path: &Path) -> io::Result<()> {
        let Some(base) = self.base_offset(path) else { return Ok(()) };
        let log = self.open(&self.log_of(path));
        let offset_bytes = self.index_bytes(&beside(path, b".index"));
        let Some(bytes) = self.index_bytes(path) else { return Ok(()) };
        let index = TimeIndex::from_file(base, &bytes);
        if self.options.index_sanity_check {
            return self.sanity(path, index.sanity_check());
        }
        let offsets = offset_bytes.as_ref().map(|bytes| OffsetIndex::from_file(base, bytes));
        let mut check = log.map(|log| TimeCheck::new(log, offsets));
        let mut previous = -1;
        for at in 0..index.raw_entries() {
            let Some(entry) = index.get(at) else { break };
            if at > 0 && entry.offset == base {
                break;
            }
            if let Some(check) = &mut check {
                match check.entry(entry.offset, &mut self.decompressor) {
                    Ok(TimeAnswer::At(max)) => {
                        if max != entry.timestamp {
                            note(&mut self.findings.time_mismatches, path, (entry.timestamp, max));
                        }
                        if previous >= entry.timestamp {
                            note(&mut self.findings.time_order, path, (entry.timestamp, previous));
                        }
                    }
                    Ok(TimeAnswer::NotThere(found)) => {
                        note(&mut self.findings.not_found, path, (entry.offset.get(), found));
                    }
                    Ok(TimeAnswer::Unreadable(message)) => {
                        let message = format!("entry for offset {}: {message}", entry.offset);
                        self.telling.damage(Report::new(Severity::Error, "unchecked", path, message));
                    }
                    Err(error) => self.telling.unreadable(&StorageError::new(self.log_of(path), error)),
                }
            }
            if !self.options.verify_index_only {
                self.out.field("timestamp: ", entry.timestamp);
                self.out.field(" offset: ", entry.offset.get());
                self.out.line();
                self.out.relieve()?;
            }
            previous = entry.timestamp;
        }
        // The tool reads the log to its end for every entry, and so stumbles over damage anywhere in it.
        if let Some(check) = &mut check
            && let Some(message) = check.rest()?
        {
            self.telling.damage(Report::new(Severity::Error, "unchecked", path, message));
        }
        Ok(())
    }
}

/// What the log says to an entry of the time index.
pub(super) enum TimeAnswer {
    /// The largest timestamp of the batch that ends at the entry's offset.
    At(i64),
    /// No batch ends there; the last offset of the first batch that reaches it, or -1.
    NotThere(i64),
    /// The tool would have thrown.
    Unreadable(String),
}

/// Looks up one time index entry after the other in one pass over the log.
///
/// The tool starts at the position the offset index gives and takes the first batch that ends at or
/// above the entry's offset. As long as entries ascend, no batch before the one found for the last
/// entry can be the answer.
pub(super) struct TimeCheck<'b> {
    pub(super) log: FileSource,
    pub(super) offsets: Option<OffsetIndex<'b>>,
    pub(super) at: u64,
    pub(super) start: u64,
    pub(super) asked: Offset,
    /// A length that could not be read ends the walk.
    pub(super) stopped: Option<String>,
}

impl<'b> TimeCheck<'b> {
    pub(super) fn new(log: FileSource, offsets: Option<OffsetIndex<'b>>) -> Self {
        TimeCheck { log, offsets, at: 0, start: 0, asked: Offset::new(i64::MIN), stopped: None }
    }

    pub(super) fn entry(&mut self, offset: Offset, decompressor: &mut Decompressor) -> io::Result<TimeAnswer> {
        let position = self.offsets.map_or(0, |index| index.raw_lookup(offset).raw_position);
        let start = match u64::try_from(position) {
            Ok(start) if start <= self.log.len() => start,
            _ => {
                let message =
                    format!("the offset index points at position {position}, the log has {} bytes", self.log.len());
                return Ok(TimeAnswer::Unreadable(message));
            }
        };
        let goes_on = offset >= self.asked && start >= self.start;
        if !goes_on || start > self.at {
            self.at = start;
        }
        self.start = start;
        self.asked = offset;
        while let Some(found) = self.next()? {
            if found.last < offset {
                self.at += found.len;
                continue;
            }
            if found.last > offset {
                return Ok(TimeAnswer::NotThere(found.last.get()));
            }
            return self.largest(found, decompressor);
        }
        Ok(TimeAnswer::NotThere(-1))
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        let end = self.log.len();
        let found = entry_at(&mut self.log, self.at, end)?;
        if found.is_none() && self.stopped.is_none() && self.at + (PREFIX_LEN as u64) < end {
            let prefix = self.log.window(self.at, PREFIX_LEN)?.first_chunk::<PREFIX_LEN>().map(entry_len);
            if let Some(Err(BatchError::LengthTooSmall { declared, .. })) = prefix {
                self.stopped = Some(format!(
                    "the log cannot be read on from position {}: length field is {declared}, expected {MIN_LENGTH} or more",
                    self.at
                ));
            }
        }
        Ok(found)
    }

    /// Walks on to the end of the log; what stops it.
    pub(super) fn rest(&mut self) -> io::Result<Option<String>> {
        while let Some(found) = self.next()? {
            self.at += found.len;
        }
        Ok(self.stopped.take())
    }

    pub(super) fn largest(&mut self, found: Found, decompressor: &mut Decompressor) -> io::Result<TimeAnswer> {
        let len = usize::try_from(found.len).unwrap_or(usize::MAX);
        let window = self.log.window(found.position, len.min(decompressor.cap()))?;
        let frame = match Frame::parse(window.get(..len).unwrap_or(window)) {
            Ok(frame) => frame,
            Err(error) => return Ok(TimeAnswer::Unreadable(error.to_string())),
        };
        let records = match frame.records(decompressor) {
            Ok(records) => records,
            Err(error) => return Ok(TimeAnswer::Unreadable(error.to_string())),
        };
        let mut max = -1;
        for record in records {
            match record {
                Ok(record) => max = max.max(record.timestamp_ms),
                Err(error) => return Ok(TimeAnswer::Unreadable(error.to_string())),
            }
        }
        Ok(TimeAnswer::At(max))
    }
}
