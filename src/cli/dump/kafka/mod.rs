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

mod index;
mod log;
mod producers;
mod record;
mod time_index;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::java_text::{absolute_text, file_text, name_text, sibling};
use super::paths::{FileKind, Input};
use super::{DumpOptions, Report, Severity, Telling};
use crate::batch::Decompressor;
use crate::batch::scan::{Damage, Depth, ScanOptions};
use crate::cli::decode::Decoder;
use crate::storage::file_source::FileSource;
use crate::storage::fs::{self, StorageError, StorageErrorKind};
use crate::types::Offset;

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
    /// For the records of the file at hand.
    decoder: Option<Decoder>,
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
        decoder: None,
        buffers: Vec::new(),
    };
    for input in inputs {
        if kafka.telling.is_over(options) {
            break;
        }
        kafka.file(input)?;
        options.progress.add(std::fs::metadata(&input.path).map_or(0, |metadata| metadata.len()));
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

    fn scan_options(&self, base_offset: Option<Offset>) -> ScanOptions {
        ScanOptions { depth: Depth::Crc, base_offset, max_batch_bytes: self.options.max_batch_bytes as u64 }
    }

    fn damage(&mut self, path: &Path, damage: &Damage) {
        super::walk::report_damage(self.telling, path, damage);
    }

    /// The log beside an index, as the tool names it.
    fn log_of(&self, path: &Path) -> PathBuf {
        beside(path, b".log")
    }
}

fn beside(path: &Path, suffix: &[u8]) -> PathBuf {
    let mut name = name_text(path).split(|byte| *byte == b'.').next().unwrap_or_default().to_vec();
    name.extend_from_slice(suffix);
    sibling(path, &name)
}
