//! The text of `kafka-dump-log.sh` 4.3 (`DumpLogSegments`), byte for byte.
//!
//! For sound files stdout and stderr are the tool's. Where the tool is wrong or gives up we do better:
//!
//! | the tool | here |
//! |---|---|
//! | stops with an exception at the first thing it cannot read, also in the middle of a line | prints the same up to there, says what is wrong on stderr, and goes on with the next sound batch, entry or file |
//! | warns `-1 is followed by N` for every log that does not start at offset 0 | no such line: nothing precedes the first record |
//! | reads the rest of the log again for every time index entry, which takes hours for a large segment | one pass, the same findings |
//! | prints nothing of a compressed batch that is damaged at its end | prints the records before the damage |
//! | creates a missing `.index` when it dumps a `.timeindex`, and cuts an index that ends within an entry | never writes |
//! | needs the `.log` beside an index, and fails without it | prints the entries, and says that they could not be checked |
//! | prints its findings in the order of a hash map over the files | in the order of the files |
//! | fails (NoSuchElementException) on a preallocated index beside an empty log | prints no entry: there is none |
//! | fails on a segment over 2 GiB | reads it |
//! | decompresses until its memory ends | stops a batch at `--max-batch-bytes`, says so, and goes on |
//! | exits with 0 whatever `isvalid` says | exits with 1 after damage |
//!
//! Index entries that brokers before 0.11 wrote for the last message of an append show as mismatches, as
//! they do there; they lead a reader right, so they are no damage here.
//!
//! `Found N invalid bytes at the end of` ends a log here as it does there. What stands behind a torn
//! batch shows with any other output.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::control_json::control_json;
use super::java_text::{absolute_text, file_text, name_text, push_java_utf8, sibling};
use super::paths::{FileKind, Input};
use super::{DumpOptions, DumpOutcome, Report, Severity, Telling, batch_code, payload_code};
use crate::batch::control::{ControlType, coordinator_epoch};
use crate::batch::scan::{Damage, Depth, ScanOptions, Scanner, Source, Step};
use crate::batch::view::HEADER_LEN;
use crate::batch::{BatchError, Decompressor, Frame, MIN_LENGTH, PREFIX_LEN, PayloadError, RecordRef, entry_len};
use crate::crc::crc32;
use crate::storage::file_source::FileSource;
use crate::storage::fs::{self, StorageError, StorageErrorKind};
use crate::storage::index::offset::{OffsetEntry, OffsetIndex};
use crate::storage::index::time::TimeIndex;
use crate::storage::index::txn::TxnIndex;
use crate::storage::index::{self, IndexBytes};
use crate::storage::names::{CheckpointState, PartitionFile};
use crate::storage::producer_state::{self, ProducerEntry, SnapshotError};
use crate::types::{Codec, Offset, Position};

/// Output is handed on in pieces of about this size.
const FLUSH_BYTES: usize = 256 << 10;

/// Collects output, and hands it on in large pieces.
struct Out<'w> {
    sink: &'w mut dyn Write,
    buffer: Vec<u8>,
    /// Handed on when the buffer is this full.
    flush_bytes: usize,
}

impl Out<'_> {
    #[inline(always)]
    fn text(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
    }

    #[inline(always)]
    fn bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    #[inline(always)]
    fn int(&mut self, value: impl itoa::Integer) {
        self.buffer.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// `text` and a number behind it.
    #[inline(always)]
    fn field(&mut self, text: &str, value: impl itoa::Integer) {
        self.text(text);
        self.int(value);
    }

    fn flag(&mut self, text: &str, value: bool) {
        self.text(text);
        self.text(if value { "true" } else { "false" });
    }

    fn line(&mut self) {
        self.buffer.push(b'\n');
    }

    /// To be called between lines.
    fn relieve(&mut self) -> io::Result<()> {
        if self.buffer.len() >= self.flush_bytes { self.finish() } else { Ok(()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.sink.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// What the tool prints on stderr once all files are done, file by file.
#[derive(Default)]
struct Findings {
    mismatches: Vec<(PathBuf, Vec<(i64, i64)>)>,
    time_mismatches: Vec<(PathBuf, Vec<(i64, i64)>)>,
    time_order: Vec<(PathBuf, Vec<(i64, i64)>)>,
    not_found: Vec<(PathBuf, Vec<(i64, i64)>)>,
    gaps: Vec<(PathBuf, Vec<(i64, i64)>)>,
}

fn note(list: &mut Vec<(PathBuf, Vec<(i64, i64)>)>, path: &Path, pair: (i64, i64)) {
    match list.iter_mut().find(|(known, _)| known == path) {
        Some((_, pairs)) => pairs.push(pair),
        None => list.push((path.to_owned(), vec![pair])),
    }
}

impl Findings {
    fn text(mut self, out: &mut Vec<u8>) {
        // `TreeMap`s: sorted, of equal keys the last value.
        for (_, pairs) in &mut self.mismatches {
            pairs.reverse();
            pairs.sort_by_key(|pair| std::cmp::Reverse(pair.0));
            pairs.dedup_by_key(|pair| pair.0);
        }
        for (_, pairs) in &mut self.gaps {
            pairs.reverse();
            pairs.sort_by_key(|pair| pair.0);
            pairs.dedup_by_key(|pair| pair.0);
        }
        let sections = [
            (&self.mismatches, "Mismatches in :", "  Index offset: ", ", log offset: "),
            (&self.time_mismatches, "Found timestamp mismatch in :", "  Index timestamp: ", ", log timestamp: "),
            (
                &self.time_order,
                "Found out of order timestamp in :",
                "  Index timestamp: ",
                ", Previously indexed timestamp: ",
            ),
            (
                &self.not_found,
                "The following indexed offsets are not found in :",
                "Indexed offset: ",
                ", found log offset: ",
            ),
            (&self.gaps, "Non-consecutive offsets in ", "  ", " is followed by "),
        ];
        for (files, title, first, second) in sections {
            for (path, pairs) in files {
                out.extend_from_slice(title.as_bytes());
                out.extend_from_slice(&absolute_text(path));
                out.push(b'\n');
                for (a, b) in pairs {
                    out.extend_from_slice(format!("{first}{a}{second}{b}\n").as_bytes());
                }
            }
        }
    }
}

struct Kafka<'o, 'w, 't, 'a> {
    options: &'o DumpOptions,
    out: Out<'w>,
    telling: &'t mut Telling<'a>,
    findings: Findings,
    decompressor: Decompressor,
    /// Memory of pieces printed in parallel, for the next ones.
    buffers: Vec<Vec<u8>>,
}

/// Dumps `inputs` in the tool's form.
pub(super) fn dump(
    options: &DumpOptions,
    inputs: &[Input],
    out: &mut dyn Write,
    telling: &mut Telling<'_>,
) -> io::Result<()> {
    let mut kafka = Kafka {
        options,
        out: Out { sink: out, buffer: Vec::with_capacity(FLUSH_BYTES + (64 << 10)), flush_bytes: FLUSH_BYTES },
        telling,
        findings: Findings::default(),
        decompressor: Decompressor::with_cap(options.max_batch_bytes),
        buffers: Vec::new(),
    };
    for input in inputs {
        if kafka.telling.is_over(options) {
            break;
        }
        kafka.file(input)?;
    }
    kafka.out.finish()?;
    let Kafka { findings, telling, .. } = kafka;
    findings.text(&mut telling.outcome.kafka_stderr);
    Ok(())
}

/// What the tool takes a file for: it goes by what follows the last dot.
fn kind_of(options: &DumpOptions, name: &[u8]) -> Option<FileKind> {
    if options.as_kind.is_some() {
        return options.as_kind;
    }
    let dot = name.iter().rposition(|byte| *byte == b'.')?;
    match name.get(dot..)? {
        b".log" => Some(FileKind::Log),
        b".checkpoint" => Some(FileKind::MetadataSnapshot),
        b".index" => Some(FileKind::OffsetIndex),
        b".timeindex" => Some(FileKind::TimeIndex),
        b".snapshot" => Some(FileKind::ProducerSnapshot),
        b".txnindex" => Some(FileKind::TxnIndex),
        _ => None,
    }
}

impl Kafka<'_, '_, '_, '_> {
    fn file(&mut self, input: &Input) -> io::Result<()> {
        let path = input.path.as_path();
        let text = file_text(path);
        self.out.text("Dumping ");
        self.out.bytes(&text);
        self.out.line();
        match kind_of(self.options, &name_text(path)) {
            Some(kind @ (FileKind::Log | FileKind::MetadataSnapshot)) => self.log(path, kind, input.is_last)?,
            Some(FileKind::OffsetIndex) => self.offset_index(path)?,
            Some(FileKind::TimeIndex) => self.time_index(path)?,
            Some(FileKind::TxnIndex) => self.txn_index(path)?,
            Some(FileKind::ProducerSnapshot) => self.producer_snapshot(path)?,
            _ => {
                let stderr = &mut self.telling.outcome.kafka_stderr;
                stderr.extend_from_slice(b"Ignoring unknown file ");
                stderr.extend_from_slice(&text);
                stderr.push(b'\n');
            }
        }
        self.out.relieve()
    }

    /// The offset the name starts with, as the tool takes it: what stands before the first dot.
    fn base_offset(&mut self, path: &Path) -> Option<Offset> {
        let name = name_text(path);
        let digits = name.split(|byte| *byte == b'.').next().unwrap_or_default();
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        if number.is_none() {
            let message = "the name does not start with an offset; a broker refuses to start over it";
            self.telling.damage(Report::new(Severity::Error, "bad_name", path, message));
        }
        number.map(Offset::new)
    }

    fn open(&mut self, path: &Path) -> Option<FileSource> {
        let opened = fs::open_file(path, u64::MAX)
            .and_then(|(file, _)| FileSource::new(file).map_err(StorageErrorKind::Io))
            .map_err(|kind| StorageError::new(path, kind));
        match opened {
            Ok(source) => Some(source),
            Err(error) => {
                self.telling.unreadable(&error);
                None
            }
        }
    }

    fn log(&mut self, path: &Path, kind: FileKind, is_last: bool) -> io::Result<()> {
        let mut base = None;
        if kind == FileKind::Log {
            base = self.base_offset(path);
            if let Some(base) = base {
                self.out.field("Log starting offset: ", base.get());
                self.out.line();
            }
        } else if name_text(path) == b"bootstrap.checkpoint" {
            self.out.text("KRaft bootstrap snapshot\n");
        } else {
            match path.file_name().map(PartitionFile::parse) {
                Some(PartitionFile::MetadataSnapshot { end_offset, epoch, state: CheckpointState::Complete }) => {
                    self.out.field("Snapshot end offset: ", end_offset.get());
                    self.out.field(", epoch: ", epoch.0);
                    self.out.line();
                }
                _ => {
                    let message = "the name is not that of a snapshot (end offset, epoch)";
                    self.telling.damage(Report::new(Severity::Error, "bad_name", path, message));
                }
            }
        }
        let Some(mut source) = self.open(path) else { return Ok(()) };
        let limit = u64::try_from(self.options.max_bytes).unwrap_or(0);
        let is_whole = self.options.max_bytes == i32::MAX;
        let file_len = source.len();
        let end = if is_whole { file_len } else { file_len.min(limit) };
        let walked = self.batches(path, &mut source, end, base);
        let stopped = match walked {
            Ok(stopped) => stopped,
            Err(WalkError::Out(error)) => return Err(error),
            Err(WalkError::Read(error)) => {
                self.telling.unreadable(&StorageError::new(path, error));
                return Ok(());
            }
        };
        if let Some(position) = stopped
            && end > position
            && is_whole
        {
            self.out.field("Found ", end - position);
            self.out.text(" invalid bytes at the end of ");
            self.out.bytes(&name_text(path));
            self.out.line();
            self.judge_tail(path, source, position, base, is_last);
        }
        Ok(())
    }

    /// Says whether what the tool calls invalid bytes at the end is just that.
    fn judge_tail(&mut self, path: &Path, source: FileSource, at: u64, base: Option<Offset>, is_last: bool) {
        let mut scanner = Scanner::new(source, Position::new(at), self.scan_options(base));
        match scanner.next() {
            Ok(Step::Damage(damage)) => self.damage(path, &damage),
            Ok(Step::End(position, tail)) => super::walk::report_tail(self.telling, path, position, tail, is_last),
            Ok(Step::Entry(_)) => {}
            Err(error) => self.telling.unreadable(&StorageError::new(path, error)),
        }
    }

    fn scan_options(&self, base_offset: Option<Offset>) -> ScanOptions {
        ScanOptions { depth: Depth::Crc, base_offset, max_batch_bytes: self.options.max_batch_bytes as u64 }
    }

    fn damage(&mut self, path: &Path, damage: &Damage) {
        super::walk::report_damage(self.telling, path, damage);
    }

    /// Batches up to `end`, as `FileLogInputStream` finds them. Where it ends; `None` after an end that
    /// the tool would not have reached.
    fn batches(
        &mut self,
        path: &Path,
        source: &mut FileSource,
        end: u64,
        base: Option<Offset>,
    ) -> Result<Option<u64>, WalkError> {
        let deep = self.options.deep_iteration || self.options.print_data_log;
        let mut at = 0;
        let mut seen = Seen { expected: base, ..Seen::default() };
        // Up to here nothing is printed in parallel: a look ahead found too little.
        let mut alone_until = 0;
        loop {
            if at + PREFIX_LEN as u64 >= end {
                return Ok(Some(at));
            }
            let window = source.window(at, PREFIX_LEN)?;
            let Some(prefix) = window.first_chunk::<PREFIX_LEN>() else { return Ok(Some(at)) };
            let len = match entry_len(prefix) {
                Ok(len) if at + len > end => return Ok(Some(at)),
                Ok(len) if len <= self.options.max_batch_bytes as u64 => usize::try_from(len).unwrap_or(usize::MAX),
                // The tool ends with an exception here.
                _ => match self.resume(path, source, at, end, seen.expected)? {
                    Some(next) => {
                        at = next;
                        continue;
                    }
                    None => return Ok(None),
                },
            };
            if deep && at >= alone_until {
                let done = self.in_parallel(path, source, at, end, &mut seen)?;
                if done > 0 {
                    at += done;
                    continue;
                }
                alone_until = at + STRETCH_BYTES as u64;
            }
            let window = source.window(at, len)?;
            let Some(bytes) = window.get(..len) else { return Ok(Some(at)) };
            self.batch(path, bytes, at, deep, &mut seen).map_err(WalkError::Out)?;
            at += len as u64;
        }
    }

    /// One batch, as it stands at `at`.
    fn batch(&mut self, path: &Path, bytes: &[u8], at: u64, deep: bool, seen: &mut Seen) -> io::Result<()> {
        match Frame::parse(bytes) {
            Ok(frame) => {
                let crc = frame.verify_crc();
                self.batch_line(&frame, at, crc.is_ok());
                if let Err(error) = frame.check_magic().and(crc) {
                    let message = format!("batch: {error}");
                    let report = Report::new(Severity::Error, batch_code(&error), path, message)
                        .at(at, frame.base_offset().map(Offset::get));
                    self.telling.damage(report);
                }
                seen.expected = Some(frame.last_offset().next()).max(seen.expected);
                if deep {
                    self.records(path, &frame, at, seen)?;
                }
            }
            Err(error) => {
                self.broken_batch_line(bytes, at);
                let report = Report::new(Severity::Error, batch_code(&error), path, format!("batch: {error}"));
                self.telling.damage(report.at(at, None));
            }
        }
        self.out.relieve()
    }

    /// Prints a stretch of batches from `at` on that are not compressed, several pieces of it at once. How
    /// many bytes were printed so: 0 where there is no such stretch.
    ///
    /// Compressed batches are left to the caller: a piece of them could become any size in memory.
    fn in_parallel(
        &mut self,
        path: &Path,
        source: &mut FileSource,
        at: u64,
        end: u64,
        seen: &mut Seen,
    ) -> Result<u64, WalkError> {
        if rayon::current_num_threads() < 2 {
            return Ok(0);
        }
        let window = source.window(at, STRETCH_BYTES)?;
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        let window = window.get(..left.min(STRETCH_BYTES)).unwrap_or(window);
        let pieces = plain_pieces(window);
        let total: usize = pieces.iter().map(|(piece, _)| <[u8]>::len(piece)).sum();
        if total < 2 * PIECE_BYTES {
            return Ok(0);
        }
        let options = self.options;
        let mut buffers = std::mem::take(&mut self.buffers);
        buffers.resize_with(pieces.len(), Vec::new);
        let printed: Vec<Printed> = pieces
            .par_iter()
            .zip(buffers)
            .map(|((piece, offset), buffer)| print_piece(options, path, piece, at + *offset as u64, buffer))
            .collect();
        self.out.finish().map_err(WalkError::Out)?;
        for mut piece in printed {
            self.out.sink.write_all(&piece.text).map_err(WalkError::Out)?;
            piece.text.clear();
            self.buffers.push(piece.text);
            self.telling.outcome.damage |= piece.outcome.damage;
            piece.reports.into_iter().for_each(|report| self.telling.say(report));
            if let Some(first) = piece.seen.first {
                gap(&mut self.findings, path, seen, first);
                seen.previous = piece.seen.previous;
            }
            for (_, pairs) in piece.findings.gaps {
                pairs.into_iter().for_each(|pair| note(&mut self.findings.gaps, path, pair));
            }
            seen.expected = piece.seen.expected.max(seen.expected);
        }
        Ok(total as u64)
    }

    /// The next sound batch at or behind `at`, where no length can be read.
    fn resume(
        &mut self,
        path: &Path,
        source: &FileSource,
        at: u64,
        end: u64,
        expected: Option<Offset>,
    ) -> Result<Option<u64>, WalkError> {
        let own = FileSource::new(source.file().try_clone()?)?;
        let mut scanner = Scanner::new(own, Position::new(at), self.scan_options(expected));
        loop {
            match scanner.next()? {
                Step::Damage(damage) => self.damage(path, &damage),
                Step::Entry(entry) => {
                    let next = entry.position.get();
                    return Ok((next > at && next < end).then_some(next));
                }
                Step::End(position, tail) => {
                    super::walk::report_tail(self.telling, path, position, tail, true);
                    return Ok(None);
                }
            }
        }
    }

    fn batch_line(&mut self, frame: &Frame<'_>, at: u64, is_valid: bool) {
        let out = &mut self.out;
        match frame {
            Frame::Batch(batch) => {
                out.field("baseOffset: ", batch.base_offset().get());
                out.field(" lastOffset: ", batch.last_offset().get());
                out.field(" count: ", batch.record_count());
                out.field(" baseSequence: ", batch.base_sequence());
                out.field(" lastSequence: ", batch.last_sequence());
                out.field(" producerId: ", batch.producer_id().0);
                out.field(" producerEpoch: ", batch.producer_epoch());
                out.field(" partitionLeaderEpoch: ", batch.leader_epoch().0);
                out.flag(" isTransactional: ", batch.is_transactional());
                out.flag(" isControl: ", batch.is_control());
                out.text(" deleteHorizonMs: ");
                optional_long(out, batch.delete_horizon_ms());
            }
            Frame::Message(message) => out.field("offset: ", message.offset().get()),
        }
        out.field(" position: ", at);
        out.text(" ");
        out.text(frame.timestamp_type().kafka_name());
        out.field(": ", frame.max_timestamp_ms());
        out.field(" size: ", frame.bytes().len());
        out.field(" magic: ", frame.magic());
        out.text(" compresscodec: ");
        codec_name(out, frame.codec());
        out.field(" crc: ", frame.stored_crc());
        out.flag(" isvalid: ", is_valid);
        out.line();
    }

    /// The line of a message whose key or value does not fit into it, which the tool only notices later.
    fn broken_batch_line(&mut self, bytes: &[u8], at: u64) {
        let magic = bytes.get(16).map_or(0, |byte| byte.cast_signed());
        if magic >= 2 || bytes.len() < 26 {
            return;
        }
        let out = &mut self.out;
        let number =
            |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk::<8>).map_or(0, |raw| i64::from_be_bytes(*raw));
        let attributes = bytes.get(17).copied().unwrap_or(0);
        let stored = bytes.get(12..).and_then(<[u8]>::first_chunk::<4>).map_or(0, |raw| u32::from_be_bytes(*raw));
        out.field("offset: ", number(0));
        out.field(" position: ", at);
        match (magic, attributes & 0x08) {
            (0, _) => out.text(" NoTimestampType: -1"),
            (_, 0) => out.field(" CreateTime: ", number(18)),
            _ => out.field(" LogAppendTime: ", number(18)),
        }
        out.field(" size: ", bytes.len());
        out.field(" magic: ", magic);
        out.text(" compresscodec: ");
        codec_name(out, Codec::from_id(attributes & 7).ok_or(BatchError::UnknownCodec(attributes & 7)));
        out.field(" crc: ", stored);
        out.flag(" isvalid: ", stored == crc32(bytes.get(16..).unwrap_or_default()));
        out.line();
    }

    fn records(&mut self, path: &Path, frame: &Frame<'_>, at: u64, seen: &mut Seen) -> io::Result<()> {
        let shape = Shape {
            timestamp_type: frame.timestamp_type().kafka_name(),
            is_batch: matches!(frame, Frame::Batch(_)),
            is_control: frame.is_control(),
            metadata: !self.options.skip_record_metadata,
            contents: self.options.print_data_log,
        };
        let base = frame.base_offset().map(Offset::get);
        let Kafka { out, decompressor, findings, telling, .. } = self;
        let mut reused = Reused::default();
        let mut failed = None;
        match frame.records(decompressor) {
            Err(error) => failed = Some(error),
            Ok(crate::batch::FrameRecords::Batch(records)) => {
                for record in records {
                    match record {
                        Ok(record) => {
                            gap(findings, path, seen, record.offset.get());
                            if let Err(error) = record_line(out, &mut reused, &shape, &record) {
                                telling.damage(
                                    Report::new(Severity::Error, "bad_control", path, error.to_string()).at(at, base),
                                );
                            }
                            out.relieve()?;
                        }
                        Err(error) => failed = Some(PayloadError::Record(error)),
                    }
                }
            }
            Ok(records) => {
                for record in records {
                    match record {
                        Ok(record) => {
                            gap(findings, path, seen, record.offset.get());
                            // A message holds no control record: nothing in it can be unreadable.
                            let _ = record_line(out, &mut reused, &shape, &record);
                            out.relieve()?;
                        }
                        Err(error) => failed = Some(error),
                    }
                }
            }
        }
        if let Some(error) = failed {
            let report = Report::new(Severity::Error, payload_code(&error), path, format!("records: {error}"));
            telling.damage(report.at(at, base));
        }
        Ok(())
    }

    /// The log beside an index, as the tool names it.
    fn log_of(&self, path: &Path) -> PathBuf {
        beside(path, b".log")
    }

    fn index_bytes(&mut self, path: &Path) -> Option<IndexBytes> {
        match index::read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.telling.unreadable(&error);
                None
            }
        }
    }

    fn offset_index(&mut self, path: &Path) -> io::Result<()> {
        let Some(base) = self.base_offset(path) else { return Ok(()) };
        let mut log = self.open(&self.log_of(path));
        let Some(bytes) = self.index_bytes(path) else { return Ok(()) };
        let index = OffsetIndex::from_file(base, &bytes);
        if index.raw_entries() == 0 {
            self.out.bytes(&file_text(path));
            self.out.text(" is empty.\n");
            return Ok(());
        }
        if self.options.index_sanity_check {
            return self.sanity(path, index.sanity_check());
        }
        if let Some(violation) = index.first_violation() {
            self.telling.damage(Report::new(Severity::Error, "bad_index", path, violation.to_string()));
        }
        for at in 0..index.raw_entries() {
            let Some(entry) = index.get(at) else { break };
            if at > 0 && entry.offset == base {
                break;
            }
            if let Some(log) = &mut log {
                if at == 0 && index.is_empty() && log.is_empty() {
                    break;
                }
                self.check_offset_entry(path, log, entry);
            }
            if !self.options.verify_index_only {
                self.out.field("offset: ", entry.offset.get());
                self.out.field(" position: ", entry.raw_position);
                self.out.line();
                self.out.relieve()?;
            }
        }
        Ok(())
    }

    fn sanity(&mut self, path: &Path, checked: Result<(), index::SanityError>) -> io::Result<()> {
        match checked {
            Ok(()) => {
                self.out.bytes(&file_text(path));
                self.out.text(" passed sanity check.\n");
            }
            Err(error) => self.telling.damage(Report::new(Severity::Error, "bad_index", path, error.to_string())),
        }
        Ok(())
    }

    fn check_offset_entry(&mut self, path: &Path, log: &mut FileSource, entry: OffsetEntry) {
        let size = u64::try_from(self.options.max_message_size).unwrap_or(0);
        let found = match entry.position() {
            Some(position) if position.get() <= log.len() => {
                let end = log.len().min(position.get().saturating_add(size));
                entry_at(log, position.get(), end)
            }
            _ => Ok(None),
        };
        match found {
            Ok(Some(found)) if found.last == entry.offset => {}
            Ok(Some(found)) => {
                note(&mut self.findings.mismatches, path, (entry.offset.get(), found.last.get()));
                // Brokers before 0.11 index the last message of an append at its first one: that leads
                // a reader right. An entry that points behind its offset does not.
                if found.first.unwrap_or(Offset::ZERO) > entry.offset {
                    let message = format!(
                        "entry for offset {} points at position {}, where a batch up to offset {} stands",
                        entry.offset, entry.raw_position, found.last
                    );
                    self.telling.damage(Report::new(Severity::Error, "bad_index", path, message));
                }
            }
            Ok(None) => {
                let message = format!(
                    "entry for offset {} points at position {}, where no batch stands",
                    entry.offset, entry.raw_position
                );
                self.telling.damage(Report::new(Severity::Error, "bad_index", path, message));
            }
            Err(error) => self.telling.unreadable(&StorageError::new(self.log_of(path), error)),
        }
    }

    fn time_index(&mut self, path: &Path) -> io::Result<()> {
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

    fn txn_index(&mut self, path: &Path) -> io::Result<()> {
        let Some(base) = self.base_offset(path) else { return Ok(()) };
        let bytes = match fs::read_small(path, index::INDEX_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.telling.unreadable(&error);
                return Ok(());
            }
        };
        let index = TxnIndex::new(base, &bytes);
        if let Some(violation) = index.first_violation() {
            self.telling.damage(Report::new(Severity::Error, "bad_index", path, violation.to_string()));
        }
        for txn in index.entries() {
            // Kafka reads only the first byte of the two.
            let [version, _] = txn.version.to_be_bytes();
            self.out.field("version: ", version.cast_signed());
            self.out.field(" producerId: ", txn.producer_id.0);
            self.out.field(" firstOffset: ", txn.first_offset.get());
            self.out.field(" lastOffset: ", txn.last_offset.get());
            self.out.field(" lastStableOffset: ", txn.last_stable_offset.get());
            self.out.line();
            self.out.relieve()?;
        }
        Ok(())
    }

    fn producer_snapshot(&mut self, path: &Path) -> io::Result<()> {
        let bytes = match fs::read_small(path, producer_state::SNAPSHOT_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.telling.unreadable(&error);
                return Ok(());
            }
        };
        let snapshot = match producer_state::parse(&bytes) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                // The tool says it on stderr and goes on: so it stands there in its words.
                let stderr = &mut self.telling.outcome.kafka_stderr;
                stderr.extend_from_slice(corrupt_snapshot(&error).as_bytes());
                stderr.push(b'\n');
                self.telling.outcome.damage = true;
                return Ok(());
            }
        };
        for entry in &snapshot.entries {
            self.producer_line(entry);
            self.out.relieve()?;
        }
        Ok(())
    }

    fn producer_line(&mut self, entry: &ProducerEntry) {
        let out = &mut self.out;
        out.field("producerId: ", entry.producer_id.0);
        out.field(" producerEpoch: ", entry.producer_epoch);
        out.field(" coordinatorEpoch: ", entry.coordinator_epoch);
        out.text(" currentTxnFirstOffset: ");
        optional_long(out, entry.open_txn().map(Offset::get));
        out.field(" lastTimestamp: ", entry.timestamp);
        if entry.has_batch() {
            out.field(" firstSequence: ", first_sequence(entry.last_sequence, entry.offset_delta));
            out.field(" lastSequence: ", entry.last_sequence);
            out.field(" lastOffset: ", entry.last_offset.get());
            out.field(" offsetDelta: ", entry.offset_delta);
            out.field(" timestamp: ", entry.timestamp);
        }
        out.line();
    }
}

/// Why a walk over a log ended early.
enum WalkError {
    Read(io::Error),
    Out(io::Error),
}

impl From<io::Error> for WalkError {
    fn from(error: io::Error) -> Self {
        WalkError::Read(error)
    }
}

fn beside(path: &Path, suffix: &[u8]) -> PathBuf {
    let mut name = name_text(path).split(|byte| *byte == b'.').next().unwrap_or_default().to_vec();
    name.extend_from_slice(suffix);
    sibling(path, &name)
}

/// `CorruptSnapshotException.getMessage` for what `ProducerStateManager.readSnapshot` refuses.
fn corrupt_snapshot(error: &SnapshotError) -> String {
    let schema = "Snapshot failed schema validation: ";
    match error {
        // Thrown inside the `try` whose handler wraps it again.
        SnapshotError::Version { found } => format!("{schema}Snapshot contained an unknown file version {found}"),
        SnapshotError::CrcMismatch { stored, computed } => {
            format!("Snapshot is corrupt (CRC is no longer valid). Stored crc: {stored}. Computed crc: {computed}")
        }
        SnapshotError::NegativeCount { .. } => {
            format!("{schema}non-nullable field producerEntries was serialized as null")
        }
        SnapshotError::CountTooLarge { count, remaining } => {
            format!(
                "{schema}Tried to allocate a collection of size {count}, but there are only {remaining} bytes remaining."
            )
        }
        // BufferUnderflowException has no message.
        SnapshotError::Truncated { .. } => format!("{schema}null"),
    }
}

/// `DefaultRecordBatch.decrementSequence`.
fn first_sequence(last: i32, delta: i32) -> i32 {
    if last < delta {
        i32::MAX.wrapping_sub(delta.wrapping_sub(last)).wrapping_add(1)
    } else {
        last.wrapping_sub(delta)
    }
}

fn optional_long(out: &mut Out<'_>, value: Option<i64>) {
    match value {
        Some(value) => {
            out.field("OptionalLong[", value);
            out.text("]");
        }
        None => out.text("OptionalLong.empty"),
    }
}

/// The tool throws at an unknown codec, after the first part of the line.
fn codec_name(out: &mut Out<'_>, codec: Result<Codec, BatchError>) {
    match codec {
        Ok(codec) => out.text(codec.name()),
        Err(BatchError::UnknownCodec(id)) => {
            out.field("unknown(", id);
            out.text(")");
        }
        Err(_) => out.text("unknown"),
    }
}

fn gap(findings: &mut Findings, path: &Path, seen: &mut Seen, offset: i64) {
    // The tool starts from -1 and so reports the first record of every log that starts above 0.
    match seen.previous {
        Some(before) if offset != before.wrapping_add(1) => note(&mut findings.gaps, path, (before, offset)),
        Some(_) => {}
        None => seen.first = Some(offset),
    }
    seen.previous = Some(offset);
}

/// What was seen of a log so far.
#[derive(Debug, Default)]
struct Seen {
    /// Offset of the first record.
    first: Option<i64>,
    /// Offset of the last record.
    previous: Option<i64>,
    /// One above the largest offset a batch claimed.
    expected: Option<Offset>,
}

/// How much of a log is looked at to print pieces of it in parallel, and how long a piece is.
const STRETCH_BYTES: usize = 4 << 20;
const PIECE_BYTES: usize = 256 << 10;

/// What became of a piece of a log.
struct Printed {
    text: Vec<u8>,
    seen: Seen,
    findings: Findings,
    reports: Vec<Report>,
    outcome: DumpOutcome,
}

/// The uncompressed batches that `window` starts with, in pieces, and where in it each piece stands.
fn plain_pieces(window: &[u8]) -> Vec<(&[u8], usize)> {
    let mut pieces = Vec::new();
    let (mut from, mut to) = (0, 0);
    loop {
        let rest = window.get(to..).unwrap_or_default();
        let len = rest.first_chunk::<HEADER_LEN>().and_then(|header| {
            let is_plain = header[16].cast_signed() >= 2 && header[22] & 7 == 0;
            let len = usize::try_from(entry_len(header.first_chunk()?).ok()?).ok()?;
            (is_plain && len <= rest.len()).then_some(len)
        });
        if let Some(len) = len {
            to += len;
        }
        if to - from >= PIECE_BYTES || len.is_none() {
            if to > from {
                pieces.push((window.get(from..to).unwrap_or_default(), from));
            }
            from = to;
        }
        if len.is_none() {
            return pieces;
        }
    }
}

/// Prints the batches of `piece`, which stands at `at` in its log, into memory.
fn print_piece(options: &DumpOptions, path: &Path, piece: &[u8], at: u64, buffer: Vec<u8>) -> Printed {
    let mut reports = Vec::new();
    let mut outcome = DumpOutcome::default();
    let mut seen = Seen::default();
    let mut report = |report| reports.push(report);
    let mut telling = Telling { report: &mut report, outcome: &mut outcome };
    let mut nowhere = io::sink();
    let mut kafka = Kafka {
        options,
        out: Out { sink: &mut nowhere, buffer, flush_bytes: usize::MAX },
        telling: &mut telling,
        findings: Findings::default(),
        decompressor: Decompressor::with_cap(options.max_batch_bytes),
        buffers: Vec::new(),
    };
    let mut done = 0;
    while let Some(rest) = piece.get(done..).filter(|rest| !rest.is_empty()) {
        let len =
            rest.first_chunk().and_then(|prefix| entry_len(prefix).ok()).and_then(|len| usize::try_from(len).ok());
        let Some(batch) = len.and_then(|len| rest.get(..len)) else { break };
        // Writing to memory does not fail.
        if kafka.batch(path, batch, at + done as u64, true, &mut seen).is_err() {
            break;
        }
        done += batch.len();
    }
    let Kafka { out, findings, .. } = kafka;
    Printed { text: out.buffer, seen, findings, reports, outcome }
}

/// What is the same for every record of a batch.
struct Shape {
    timestamp_type: &'static str,
    is_batch: bool,
    is_control: bool,
    metadata: bool,
    contents: bool,
}

/// A number at the end of some text, rewritten in place: of the next record's offset or timestamp
/// mostly the last digit differs.
#[derive(Default)]
struct Counter {
    text: Vec<u8>,
    value: u64,
    /// The smallest number with one digit more; 0 before the first number.
    limit: u64,
}

impl Counter {
    /// The text `prefix` and `value`; `prefix` must be the same in all calls.
    #[inline]
    fn text(&mut self, prefix: &[&str], value: i64) -> &[u8] {
        let new = value.cast_unsigned();
        if value < 0 || new >= self.limit || new < self.limit / 10 {
            return self.rewrite(prefix, value);
        }
        let (mut left, mut old) = (new, self.value);
        for digit in self.text.iter_mut().rev() {
            if left == old {
                break;
            }
            *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
            left /= 10;
            old /= 10;
        }
        self.value = new;
        &self.text
    }

    #[cold]
    fn rewrite(&mut self, prefix: &[&str], value: i64) -> &[u8] {
        self.text.clear();
        prefix.iter().for_each(|part| self.text.extend_from_slice(part.as_bytes()));
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(value);
        self.text.extend_from_slice(digits.as_bytes());
        // 0 where there is nothing to count on from: negative numbers, and 19 digits.
        let digits = u32::try_from(digits.len()).unwrap_or(u32::MAX);
        self.limit = if value < 0 { 0 } else { 10u64.checked_pow(digits).filter(|_| digits < 19).unwrap_or(0) };
        self.value = value.cast_unsigned();
        &self.text
    }
}

/// Text of a record line that is likely to be the same, or nearly so, for the next record.
#[derive(Default)]
struct Reused {
    offset: Counter,
    timestamp: Counter,
    /// Sizes and sequence the text below is for.
    sizes: Option<(Option<usize>, Option<usize>, i32)>,
    sizes_text: Vec<u8>,
}

impl Reused {
    #[inline]
    fn sizes(&mut self, record: &RecordRef<'_>) -> &[u8] {
        let now = (record.key.map(<[u8]>::len), record.value.map(<[u8]>::len), record.sequence);
        if self.sizes != Some(now) {
            self.sizes = Some(now);
            let out = &mut self.sizes_text;
            out.clear();
            let mut size = |name: &str, len: Option<usize>| {
                out.extend_from_slice(name.as_bytes());
                match len {
                    Some(len) => out.extend_from_slice(itoa::Buffer::new().format(len).as_bytes()),
                    None => out.extend_from_slice(b"-1"),
                }
            };
            size(" keySize: ", now.0);
            size(" valueSize: ", now.1);
            out.extend_from_slice(b" sequence: ");
            out.extend_from_slice(itoa::Buffer::new().format(now.2).as_bytes());
            out.extend_from_slice(b" headerKeys: [");
        }
        &self.sizes_text
    }
}

#[derive(Debug, thiserror::Error)]
enum ControlLineError {
    #[error("control record key is too short, or its version is negative")]
    Key,
    #[error("transaction marker's value is too short, or its version is negative")]
    Marker,
    #[error(transparent)]
    Value(#[from] super::control_json::ControlError),
}

#[inline]
fn record_line(
    out: &mut Out<'_>,
    reused: &mut Reused,
    shape: &Shape,
    record: &RecordRef<'_>,
) -> Result<(), ControlLineError> {
    let mut result = Ok(());
    if shape.metadata {
        out.bytes(reused.offset.text(&["| offset: "], record.offset.get()));
        if shape.is_batch {
            out.bytes(reused.timestamp.text(&[" ", shape.timestamp_type, ": "], record.timestamp_ms));
            out.bytes(reused.sizes(record));
            if !record.headers.is_empty() {
                header_keys(out, record);
            }
            out.text("]");
        } else {
            out.text(" ");
            out.text(shape.timestamp_type);
            out.field(": ", record.timestamp_ms);
            legacy_fields(out, record);
        }
        if shape.is_control {
            result = control_fields(out, record);
        }
    }
    if shape.contents && !shape.is_control {
        let mut prefix = if shape.metadata { " " } else { "| " };
        if let Some(key) = record.key {
            out.text(prefix);
            out.text("key: ");
            push_java_utf8(&mut out.buffer, key);
            prefix = " ";
        }
        if let Some(value) = record.value {
            out.text(prefix);
            out.text("payload: ");
            push_java_utf8(&mut out.buffer, value);
        }
    }
    out.line();
    result
}

fn header_keys(out: &mut Out<'_>, record: &RecordRef<'_>) {
    for (at, (key, _)) in record.headers.iter().enumerate() {
        if at > 0 {
            out.text(",");
        }
        push_java_utf8(&mut out.buffer, key);
    }
}

/// Sizes as stored (any negative number is null), and the message's own checksum.
fn legacy_fields(out: &mut Out<'_>, record: &RecordRef<'_>) {
    let number = |at: usize| {
        let raw = record.raw.get(at..).and_then(<[u8]>::first_chunk::<4>);
        raw.map_or(-1, |raw| i32::from_be_bytes(*raw))
    };
    let key_at = if record.raw.get(4) == Some(&0) { 6 } else { 14 };
    let key_size = number(key_at);
    out.field(" keySize: ", key_size);
    out.field(" valueSize: ", number(key_at + 4 + usize::try_from(key_size).unwrap_or(0)));
    let stored = number(0).cast_unsigned();
    out.flag(" isValid: ", stored == crc32(record.raw.get(4..).unwrap_or_default()));
    out.field(" crc: ", stored);
}

fn control_fields(out: &mut Out<'_>, record: &RecordRef<'_>) -> Result<(), ControlLineError> {
    let key = record.key.unwrap_or_default();
    let kind = ControlType::of_key(key).ok_or(ControlLineError::Key)?;
    match kind {
        ControlType::Abort | ControlType::Commit => {
            let epoch = record.value.and_then(coordinator_epoch).ok_or(ControlLineError::Marker)?;
            out.text(" endTxnMarker: ");
            out.text(kind.kafka_name());
            out.field(" coordinatorEpoch: ", epoch);
        }
        ControlType::Unknown(id) => {
            out.field(" controlType: UNKNOWN(", id);
            out.text(")");
        }
        _ => {
            let json = control_json(kind, record.value)?.unwrap_or_default();
            out.text(match kind {
                ControlType::LeaderChange => " LeaderChange: ",
                ControlType::SnapshotHeader => " SnapshotHeader ",
                ControlType::SnapshotFooter => " SnapshotFooter ",
                ControlType::KRaftVersion => " KRaftVersion ",
                _ => " KRaftVoters ",
            });
            out.bytes(&json);
        }
    }
    Ok(())
}

/// An entry of a log, by its header.
#[derive(Clone, Copy)]
struct Found {
    position: u64,
    len: u64,
    first: Option<Offset>,
    last: Offset,
}

/// The entry at `at` that ends at or before `end`; `None` when there is none, or no length can be read.
fn entry_at(log: &mut FileSource, at: u64, end: u64) -> io::Result<Option<Found>> {
    if at + PREFIX_LEN as u64 >= end {
        return Ok(None);
    }
    let window = log.window(at, HEADER_LEN)?;
    let Some(prefix) = window.first_chunk::<PREFIX_LEN>() else { return Ok(None) };
    let Ok(len) = entry_len(prefix) else { return Ok(None) };
    if at + len > end {
        return Ok(None);
    }
    let [offset, ..] = prefix.as_chunks::<8>().0 else { return Ok(None) };
    let offset = Offset::new(i64::from_be_bytes(*offset));
    let last = if prefix[16].cast_signed() < 2 {
        offset
    } else {
        let delta = window.get(23..).and_then(<[u8]>::first_chunk::<4>).map_or(0, |raw| i32::from_be_bytes(*raw));
        offset.plus(i64::from(delta))
    };
    // A compressed wrapper keeps only its last offset.
    let is_wrapper = prefix[16].cast_signed() < 2 && window.get(17).is_some_and(|attributes| attributes & 7 != 0);
    Ok(Some(Found { position: at, len, first: (!is_wrapper).then_some(offset), last }))
}

/// What the log says to an entry of the time index.
enum TimeAnswer {
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
struct TimeCheck<'b> {
    log: FileSource,
    offsets: Option<OffsetIndex<'b>>,
    at: u64,
    start: u64,
    asked: Offset,
    /// A length that could not be read ends the walk.
    stopped: Option<String>,
}

impl<'b> TimeCheck<'b> {
    fn new(log: FileSource, offsets: Option<OffsetIndex<'b>>) -> Self {
        TimeCheck { log, offsets, at: 0, start: 0, asked: Offset::new(i64::MIN), stopped: None }
    }

    fn entry(&mut self, offset: Offset, decompressor: &mut Decompressor) -> io::Result<TimeAnswer> {
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

    fn next(&mut self) -> io::Result<Option<Found>> {
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
    fn rest(&mut self) -> io::Result<Option<String>> {
        while let Some(found) = self.next()? {
            self.at += found.len;
        }
        Ok(self.stopped.take())
    }

    fn largest(&mut self, found: Found, decompressor: &mut Decompressor) -> io::Result<TimeAnswer> {
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
