//! One log from its first byte to its end, batch by batch, with what is wrong in between.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::paths::{FileKind, Input};
use super::{DumpOptions, Report, Severity, Telling, batch_code};
use crate::batch::scan::{Damage, Depth, Doubt, ScanOptions, Scanner, Source, Step, Tail};
use crate::batch::{BatchError, Frame};
use crate::storage::file_source::FileSource;
use crate::storage::fs::{self, StorageError, StorageErrorKind};
use crate::storage::names::PartitionFile;
use crate::types::{Offset, Position};

/// What a walk meets.
pub(super) enum Event<'a> {
    /// A batch or message, sound or, with `wrong`, damaged but framed.
    Batch {
        /// Its first byte.
        position: u64,
        /// The batch.
        frame: Frame<'a>,
        /// What is wrong with it.
        wrong: Option<BatchError>,
        /// Sound, but perhaps in the wrong place.
        doubt: Option<Doubt>,
    },
    /// Bytes that hold no sound batch.
    Damage(Damage),
    /// The log ends inside a batch or in zeros.
    Tail(Position, Tail),
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Go on.
    On,
    /// Enough was seen.
    Stop,
}

/// Walks over the log `input`, reporting damage, doubts and how it ends. Fails only when `visit` does.
pub(super) fn walk(
    options: &DumpOptions,
    input: &Input,
    telling: &mut Telling<'_>,
    visit: &mut dyn FnMut(Event<'_>, &mut Telling<'_>) -> io::Result<Flow>,
) -> io::Result<Flow> {
    let path = input.path.as_path();
    let opened = fs::open_file(path, u64::MAX)
        .and_then(|(file, _): (File, u64)| FileSource::new(file).map_err(StorageErrorKind::Io))
        .map_err(|kind| StorageError::new(path, kind));
    let source = match opened {
        Ok(source) => source,
        Err(error) => {
            telling.unreadable(&error);
            return Ok(Flow::On);
        }
    };
    let base_offset = match path.file_name().map(PartitionFile::parse) {
        Some(PartitionFile::Segment(file)) if input.kind == Some(FileKind::Log) => Some(file.offset),
        _ => None,
    };
    let limit = match options.max_bytes {
        i32::MAX => u64::MAX,
        bytes => u64::try_from(bytes).unwrap_or(0),
    };
    let scan = ScanOptions { depth: Depth::Crc, base_offset, max_batch_bytes: options.max_batch_bytes as u64 };
    let mut scanner = Scanner::new(source, Position::ZERO, scan);
    let mut evidence = input.evidence.clone().unwrap_or_default();
    loop {
        let damage = match scanner.next() {
            Ok(Step::Entry(entry)) => {
                let position = entry.position.get();
                options.progress.add(entry.frame.size_bytes());
                if position.saturating_add(entry.frame.size_bytes()) > limit {
                    return Ok(Flow::On);
                }
                if let Some(doubt) = entry.doubt {
                    report_doubt(telling, path, position, &entry.frame, &doubt);
                }
                if matches!(entry.doubt, Some(Doubt::OffsetOrder { .. })) {
                    evidence.interrupt();
                } else if let Some(found) = evidence.contradiction(&entry.frame, entry.position, input.is_last) {
                    let report = Report::new(Severity::Error, found.code(), path, format!("batch: {found}"));
                    telling.damage(report.at(position, entry.frame.base_offset().map(Offset::get)));
                }
                let base = entry.frame.base_offset().map_or(i64::MIN, Offset::get);
                if entry.doubt.is_none() && input.select.ends_before(base) {
                    return Ok(Flow::On);
                }
                if !input.select.may_hold(&entry.frame) {
                    continue;
                }
                let event = Event::Batch { position, frame: entry.frame, wrong: None, doubt: entry.doubt };
                match visit(event, telling)? {
                    Flow::On => continue,
                    Flow::Stop => return Ok(Flow::Stop),
                }
            }
            Ok(Step::Damage(damage)) => damage,
            Ok(Step::End(position, tail)) => {
                if position.get() < limit && tail != Tail::Clean {
                    report_tail(telling, path, position, tail, input.is_last);
                    return visit(Event::Tail(position, tail), telling);
                }
                return Ok(Flow::On);
            }
            Err(error) => {
                telling.unreadable(&StorageError::new(path, error));
                return Ok(Flow::On);
            }
        };
        if damage.position.get() >= limit {
            return Ok(Flow::On);
        }
        evidence.interrupt();
        report_damage(telling, path, &damage);
        let len = usize::try_from(damage.end.get() - damage.position.get()).unwrap_or(usize::MAX);
        if damage.framed && len <= options.max_batch_bytes {
            let window = match scanner.source_mut().window(damage.position.get(), len) {
                Ok(window) => window,
                Err(error) => {
                    telling.unreadable(&StorageError::new(path, error));
                    return Ok(Flow::On);
                }
            };
            if let Ok(frame) = Frame::parse(window.get(..len).unwrap_or(window)) {
                let position = damage.position.get();
                let event = Event::Batch { position, frame, wrong: Some(damage.reason), doubt: None };
                if visit(event, telling)? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
        }
        if visit(Event::Damage(damage), telling)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
}

/// Says what is wrong with bytes of a log, and where the way goes on.
pub(super) fn report_damage(telling: &mut Telling<'_>, path: &Path, damage: &Damage) {
    let message = match damage.next {
        Some(next) => {
            format!("{}; the next sound batch is at position {} (offset {next})", damage.reason, damage.end)
        }
        None => format!("{}; no sound batch follows", damage.reason),
    };
    let base = damage.expected.map(Offset::get);
    telling.damage(
        Report::new(Severity::Error, batch_code(&damage.reason), path, message).at(damage.position.get(), base).hint(
            format!("read what is sound with: logdir consume {} --on-corrupt skip", partition_of(path).display()),
        ),
    );
}

/// Says how a log ends. In the last segment an unfinished batch is what a crash leaves, and no damage.
pub(super) fn report_tail(telling: &mut Telling<'_>, path: &Path, position: Position, tail: Tail, is_last: bool) {
    let (code, message) = match tail {
        Tail::Clean => return,
        Tail::Torn { bytes, .. } => {
            ("torn_tail", format!("position {position} is past the last whole batch (torn write, {bytes} bytes)"))
        }
        Tail::Zeros { bytes } => ("zero_tail", format!("{bytes} zero bytes behind the last batch")),
    };
    if is_last {
        let hint = "a broker cuts this off when it starts after a crash; nothing in front of it is affected";
        telling.say(Report::new(Severity::Warning, code, path, message).at(position.get(), None).hint(hint));
    } else {
        let message = format!("{message}, and segments follow");
        telling.damage(Report::new(Severity::Error, code, path, message).at(position.get(), None));
    }
}

/// The stable word for why a sound batch is in doubt.
pub(super) const fn doubt_code(doubt: &Doubt) -> &'static str {
    match doubt {
        Doubt::OffsetOrder { .. } => "offset_order",
        Doubt::EpochFell { .. } => "leader_epoch",
    }
}

fn report_doubt(telling: &mut Telling<'_>, path: &Path, position: u64, frame: &Frame<'_>, doubt: &Doubt) {
    let report = Report::new(Severity::Error, doubt_code(doubt), path, format!("batch: {doubt}"));
    telling.damage(report.at(position, frame.base_offset().map(Offset::get)));
}

fn partition_of(path: &Path) -> PathBuf {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}
