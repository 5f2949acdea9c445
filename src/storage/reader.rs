//! Reads one partition from an offset on, across its segments, and survives whatever it meets.
//!
//! A [`LogReader`] never writes, locks or repairs. Indexes are hints: one that is missing or points
//! anywhere but at a batch it speaks of is left aside, the segment is scanned, and a [`Notice`] says so.
//! It works on a directory that a broker is writing to: a half-written last batch is the end, a segment
//! that was deleted meanwhile is skipped and said.

use super::file_source::FileSource;
use super::fs::StorageError;
use super::index::offset::OffsetIndex;
use super::names::SegmentFileKind;
use super::partition::{Notice, Partition, Seek, open_scanner_with, seek_if_true};
use crate::batch::scan::{Advance, Damage, Depth, Entry, Found, ScanOptions, Scanner, Step, Tail};
use crate::batch::{BatchError, Frame};
use crate::types::{Offset, Position};

/// One step through a partition.
#[derive(Debug)]
pub enum ReadStep<'a> {
    /// A batch or message, in the segment of this number.
    Entry {
        /// Number of the segment in [`Partition::segments`].
        segment: usize,
        /// The entry.
        entry: Entry<'a>,
    },
    /// Bytes of a segment that hold none.
    Damage {
        /// Number of the segment.
        segment: usize,
        /// The bytes.
        damage: Damage,
    },
    /// A segment that was listed is gone: a broker deleted it, or merged it with others. What the cleaner left of
    /// it is found by listing the partition again; going on skips its offsets.
    Gone {
        /// Number of the segment.
        segment: usize,
    },
    /// The end of the partition.
    End {
        /// Number of the last segment; `None` when there are none.
        segment: Option<usize>,
        /// Where its log ends.
        position: Position,
        /// How.
        tail: Tail,
    },
}

/// Reads a partition forward.
#[derive(Debug)]
pub struct LogReader<'p> {
    partition: &'p Partition,
    max_batch_bytes: u64,
    depth: Depth,
    segment: usize,
    scanner: Option<Scanner<FileSource>>,
    /// One above the last offset read, over all segments.
    expected: Option<Offset>,
    notices: Vec<Notice>,
    /// The end of a segment in front of others was reported as damage; go on with the next.
    segment_done: bool,
    /// The entry of the last step.
    found: Option<Found>,
}

impl<'p> LogReader<'p> {
    /// Starts at the log's first byte. Entries longer than `max_batch_bytes` on disk are damage.
    pub fn new(partition: &'p Partition, depth: Depth, max_batch_bytes: u64) -> Self {
        LogReader {
            partition,
            max_batch_bytes,
            depth,
            segment: 0,
            scanner: None,
            expected: None,
            notices: Vec::new(),
            segment_done: false,
            found: None,
        }
    }

    /// Moves to the first entry that may hold `offset`, or that follows it, through the offset index
    /// (`LocalLog.read`).
    ///
    /// Entries that end below the offset may still come first: the index is sparse.
    pub fn seek(&mut self, offset: Offset) -> Result<(), StorageError> {
        self.segment = self.partition.floor_segment(offset);
        self.scanner = None;
        self.expected = None;
        self.segment_done = false;
        self.found = None;
        let Some(segment) = self.partition.segments().get(self.segment) else { return Ok(()) };
        if offset <= segment.base {
            return Ok(());
        }
        let index_path = segment.sibling(SegmentFileKind::OffsetIndex);
        let bytes = match segment.offset_index() {
            Ok(Some(bytes)) => bytes,
            // A segment without entries has an empty index; a missing one is worth a word when it costs a scan.
            Ok(None) => {
                if segment.log_len > 1 << 20 {
                    self.notices.push(Notice::new(index_path, "missing; the segment is scanned from its start"));
                }
                return Ok(());
            }
            Err(error) => {
                let said = format!("{}; the segment is scanned from its start", error.kind);
                self.notices.push(Notice::new(index_path, said));
                return Ok(());
            }
        };
        let index = OffsetIndex::from_file(segment.base, &bytes);
        if let Some(violation) = index.first_violation() {
            let said = format!("{violation}; the segment is scanned from its start");
            self.notices.push(Notice::new(index_path, said));
            return Ok(());
        }
        let entry = index.lookup(offset);
        if entry.offset == segment.base {
            return Ok(());
        }
        let Some(scanner) = self.open()? else { return Ok(()) };
        let sought = seek_if_true(scanner, entry, segment).map_err(|error| StorageError::new(&segment.log, error))?;
        if sought == Seek::Lie {
            let said = format!(
                "entry for offset {} points at position {}, where no batch of it starts; the segment is scanned from its start",
                entry.offset, entry.raw_position
            );
            self.notices.push(Notice::new(index_path, said));
        }
        Ok(())
    }

    /// What the reader got around since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// One above the last offset read.
    pub const fn next_offset(&self) -> Option<Offset> {
        self.expected
    }

    /// The entry of the last step again, for callers that looked at something else in between.
    pub fn current(&mut self) -> Option<Frame<'_>> {
        match self.scanner.as_mut()?.load(self.found?) {
            Ok(Step::Entry(entry)) => Some(entry.frame),
            _ => None,
        }
    }

    fn open(&mut self) -> Result<Option<&mut Scanner<FileSource>>, StorageError> {
        if self.scanner.is_none() {
            let Some(segment) = self.partition.segments().get(self.segment) else { return Ok(None) };
            let options = ScanOptions {
                depth: self.depth,
                base_offset: Some(segment.base),
                max_batch_bytes: self.max_batch_bytes,
            };
            let mut scanner = match open_scanner_with(segment, options) {
                Ok(scanner) => scanner,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            };
            // Segments do not overlap: what the one before already held is out of place in this one.
            if let Some(expected) = self.expected {
                scanner.continue_from(expected);
            }
            self.scanner = Some(scanner);
        }
        Ok(self.scanner.as_mut())
    }

    /// The next entry, damage or the end; after the end, the end again.
    #[expect(clippy::should_implement_trait, reason = "a step borrows the reader's buffer, an Iterator's item cannot")]
    pub fn next(&mut self) -> Result<ReadStep<'_>, StorageError> {
        let count = self.partition.segments().len();
        let (number, found) = loop {
            if self.segment_done {
                self.segment_done = false;
                self.scanner = None;
                self.segment += 1;
            }
            let number = self.segment;
            let Some(segment) = self.partition.segments().get(number) else {
                return Ok(ReadStep::End { segment: None, position: Position::ZERO, tail: Tail::Clean });
            };
            let is_last = number + 1 == count;
            let Some(scanner) = self.open()? else {
                self.segment_done = true;
                return Ok(ReadStep::Gone { segment: number });
            };
            let advance = scanner.advance().map_err(|error| StorageError::new(&segment.log, error))?;
            let expected = scanner.next_offset();
            self.expected = expected.max(self.expected);
            match advance {
                Advance::Entry(found) => break (number, found),
                Advance::Damage(damage) => return Ok(ReadStep::Damage { segment: number, damage }),
                Advance::End(position, tail) if is_last => {
                    return Ok(ReadStep::End { segment: Some(number), position, tail });
                }
                Advance::End(position, tail) => {
                    self.segment_done = true;
                    let next = self.partition.segments().get(number + 1).map(|segment| segment.base);
                    if let Some(damage) = cut_inside_the_log(position, tail, expected, next) {
                        return Ok(ReadStep::Damage { segment: number, damage });
                    }
                    self.notice_gap(number, expected, next);
                }
            }
        };
        self.found = Some(found);
        let path = &self.partition.segments()[number].log;
        let Some(scanner) = self.scanner.as_mut() else {
            return Ok(ReadStep::Gone { segment: number });
        };
        match scanner.load(found).map_err(|error| StorageError::new(path, error))? {
            Step::Entry(entry) => Ok(ReadStep::Entry { segment: number, entry }),
            Step::Damage(damage) => Ok(ReadStep::Damage { segment: number, damage }),
            Step::End(position, tail) => Ok(ReadStep::End { segment: Some(number), position, tail }),
        }
    }
}

impl LogReader<'_> {
    /// Offsets between two segments are in neither. Compaction leaves such gaps, and then the log cleaner's
    /// checkpoint names the partition; else a segment may be missing, which no broker notices.
    fn notice_gap(&mut self, segment: usize, expected: Option<Offset>, next: Option<Offset>) {
        let (Some(from), Some(to)) = (expected, next) else { return };
        if from < to && self.partition.checkpoints().cleaner.is_none() {
            let said = format!(
                "offsets {from}..{to} are in no segment: one is missing, or the log was compacted; they are skipped"
            );
            self.notices.push(Notice::new(&self.partition.segments()[segment].log, said));
        }
    }
}

/// A torn end is the end only in the last segment; in front of others it is damage.
pub(super) fn cut_inside_the_log(
    position: Position,
    tail: Tail,
    expected: Option<Offset>,
    next: Option<Offset>,
) -> Option<Damage> {
    let (bytes, needed) = match tail {
        Tail::Clean => return None,
        Tail::Torn { bytes, needed } => (bytes, needed.unwrap_or(bytes + 1)),
        Tail::Zeros { bytes } => (bytes, bytes + 1),
    };
    let reason = match tail {
        Tail::Zeros { .. } => BatchError::LengthTooSmall { declared: 0, minimum: crate::batch::MIN_LENGTH },
        _ => BatchError::Truncated { needed, available: bytes },
    };
    Some(Damage { position, end: position.plus(bytes), reason, expected, next, framed: false })
}
