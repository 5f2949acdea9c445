//! The text of a log: its batches and, where asked for, their records.

use std::io;
use std::path::Path;

use rayon::prelude::*;

use super::super::java_text::name_text;
use super::super::paths::FileKind;
use super::super::{DumpOptions, DumpOutcome, Report, Severity, Telling, batch_code, payload_code};
use super::record::{Reused, record_line};
use super::{Findings, Kafka, Out, note};
use crate::batch::scan::{Scanner, Source, Step};
use crate::batch::view::HEADER_LEN;
use crate::batch::{BatchError, Decompressor, Frame, PREFIX_LEN, PayloadError, entry_len};
use crate::cli::decode::Decoder;
use crate::crc::crc32;
use crate::storage::file_source::FileSource;
use crate::storage::fs::StorageError;
use crate::storage::names::{CheckpointState, PartitionFile};
use crate::types::{Codec, Offset, Position};

impl Kafka<'_, '_, '_, '_> {
    pub(super) fn log(&mut self, path: &Path, kind: FileKind, is_last: bool) -> io::Result<()> {
        let mut base = None;
        self.decoder = self.options.decode.and_then(|decode| decode.of_path(path));
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
    pub(super) fn judge_tail(&mut self, path: &Path, source: FileSource, at: u64, base: Option<Offset>, is_last: bool) {
        let mut scanner = Scanner::new(source, Position::new(at), self.scan_options(base));
        match scanner.next() {
            Ok(Step::Damage(damage)) => self.damage(path, &damage),
            Ok(Step::End(position, tail)) => {
                super::super::walk::report_tail(self.telling, path, position, tail, is_last)
            }
            Ok(Step::Entry(_)) => {}
            Err(error) => self.telling.unreadable(&StorageError::new(path, error)),
        }
    }

    /// Batches up to `end`, as `FileLogInputStream` finds them. Where it ends; `None` after an end that
    /// the tool would not have reached.
    pub(super) fn batches(
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
    pub(super) fn batch(&mut self, path: &Path, bytes: &[u8], at: u64, deep: bool, seen: &mut Seen) -> io::Result<()> {
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
    pub(super) fn in_parallel(
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
    pub(super) fn resume(
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
                    super::super::walk::report_tail(self.telling, path, position, tail, true);
                    return Ok(None);
                }
            }
        }
    }

    pub(super) fn batch_line(&mut self, frame: &Frame<'_>, at: u64, is_valid: bool) {
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
    pub(super) fn broken_batch_line(&mut self, bytes: &[u8], at: u64) {
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

    pub(super) fn records(&mut self, path: &Path, frame: &Frame<'_>, at: u64, seen: &mut Seen) -> io::Result<()> {
        let shape = Shape {
            timestamp_type: frame.timestamp_type().kafka_name(),
            is_batch: matches!(frame, Frame::Batch(_)),
            is_control: frame.is_control(),
            metadata: !self.options.skip_record_metadata,
            contents: self.options.print_data_log,
            decoder: self.decoder,
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
                                let report = Report::new(Severity::Error, error.code(), path, error.to_string());
                                telling.damage(report.at(at, base));
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
                            if let Err(error) = record_line(out, &mut reused, &shape, &record) {
                                let report = Report::new(Severity::Error, error.code(), path, error.to_string());
                                telling.damage(report.at(at, base));
                            }
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
}

/// Why a walk over a log ended early.
pub(super) enum WalkError {
    Read(io::Error),
    Out(io::Error),
}

impl From<io::Error> for WalkError {
    fn from(error: io::Error) -> Self {
        WalkError::Read(error)
    }
}

/// `DefaultRecordBatch.decrementSequence`.
pub(super) fn first_sequence(last: i32, delta: i32) -> i32 {
    if last < delta {
        i32::MAX.wrapping_sub(delta.wrapping_sub(last)).wrapping_add(1)
    } else {
        last.wrapping_sub(delta)
    }
}

pub(super) fn optional_long(out: &mut Out<'_>, value: Option<i64>) {
    match value {
        Some(value) => {
            out.field("OptionalLong[", value);
            out.text("]");
        }
        None => out.text("OptionalLong.empty"),
    }
}

/// The tool throws at an unknown codec, after the first part of the line.
pub(super) fn codec_name(out: &mut Out<'_>, codec: Result<Codec, BatchError>) {
    match codec {
        Ok(codec) => out.text(codec.name()),
        Err(BatchError::UnknownCodec(id)) => {
            out.field("unknown(", id);
            out.text(")");
        }
        Err(_) => out.text("unknown"),
    }
}

pub(super) fn gap(findings: &mut Findings, path: &Path, seen: &mut Seen, offset: i64) {
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
pub(super) struct Seen {
    /// Offset of the first record.
    pub(super) first: Option<i64>,
    /// Offset of the last record.
    pub(super) previous: Option<i64>,
    /// One above the largest offset a batch claimed.
    pub(super) expected: Option<Offset>,
}

/// How much of a log is looked at to print pieces of it in parallel, and how long a piece is.
pub(super) const STRETCH_BYTES: usize = 4 << 20;

pub(super) const PIECE_BYTES: usize = 256 << 10;

/// What became of a piece of a log.
pub(super) struct Printed {
    pub(super) text: Vec<u8>,
    pub(super) seen: Seen,
    pub(super) findings: Findings,
    pub(super) reports: Vec<Report>,
    pub(super) outcome: DumpOutcome,
}

/// The uncompressed batches that `window` starts with, in pieces, and where in it each piece stands.
pub(super) fn plain_pieces(window: &[u8]) -> Vec<(&[u8], usize)> {
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
pub(super) fn print_piece(options: &DumpOptions, path: &Path, piece: &[u8], at: u64, buffer: Vec<u8>) -> Printed {
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
        decoder: options.decode.and_then(|decode| decode.of_path(path)),
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
pub(super) struct Shape {
    pub(super) timestamp_type: &'static str,
    pub(super) is_batch: bool,
    pub(super) is_control: bool,
    pub(super) metadata: bool,
    pub(super) contents: bool,
    pub(super) decoder: Option<Decoder>,
}
