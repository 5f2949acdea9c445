//! The records of one file of the metadata log, or of a snapshot of it, in their order.

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::batch::compression::{Decompressor, MAX_BATCH_BYTES};
use crate::batch::control::ControlType;
use crate::batch::walk::{Stop, Walker};
use crate::batch::{BatchError, Frame};
use crate::schema::metadata::{ControlRecord, Decoded, decode, decode_control};
use crate::storage::file_source::FileSource;
use crate::storage::fs::StorageError;
use crate::types::{LeaderEpoch, Offset, Position, TimestampMs};

/// Batches above this size are read apart from the walk, which keeps only their headers beyond 4 MiB.
const LARGE_BATCH_BYTES: u64 = 1 << 20;

/// One record, and the batch it is in.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The file.
    pub path: &'a Path,
    /// First byte of its batch.
    pub position: Position,
    /// Its offset; in a snapshot a number of the file's own, from 0 on.
    pub offset: Offset,
    /// First offset of its batch.
    pub base_offset: Offset,
    /// Last offset of its batch.
    pub last_offset: Offset,
    /// When its batch was appended: all records of a batch have the same time.
    pub timestamp_ms: TimestampMs,
    /// Epoch of the leader that wrote it.
    pub leader_epoch: LeaderEpoch,
    /// What it says.
    pub content: Content<'a>,
}

/// What a record says.
#[derive(Debug)]
pub enum Content<'a> {
    /// A metadata record.
    Data(Decoded<'a>),
    /// A control record.
    Control {
        /// The type in its key.
        kind: ControlType,
        /// Its value.
        record: ControlRecord,
    },
    /// It cannot be read, and of a batch that cannot be unpacked nothing can; in words, why.
    Unreadable(String),
}

/// Why there are no more entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileEnd {
    /// The file ends behind the last one.
    Whole,
    /// The visitor said so.
    Stopped,
    /// Bytes that are no whole batch: a server ignores these at the end of a snapshot, and cuts them in a log.
    Cut {
        /// Where they begin.
        position: Position,
        /// How many.
        bytes: u64,
    },
    /// A batch that is not sound: a server refuses a snapshot for it, and cuts a log there.
    Corrupt {
        /// Where it begins.
        position: Position,
        /// What is wrong with it.
        reason: BatchError,
    },
}

/// Visits the records of `path` from offset `from` on, in its first `len` bytes where that is said.
///
/// Checksums are verified. Memory: one batch.
pub fn read_file(
    path: &Path,
    len: Option<u64>,
    from: Offset,
    decompressor: &mut Decompressor,
    visit: &mut dyn FnMut(&Entry<'_>) -> ControlFlow<()>,
) -> Result<FileEnd, StorageError> {
    let io = |error| StorageError::new(path, error);
    let file = File::open(path).map_err(io)?;
    let whole = file.try_clone().map_err(io)?;
    let source = match len {
        Some(len) => FileSource::up_to(file, len),
        None => FileSource::new(file),
    };
    let mut walker = Walker::new(source.map_err(io)?);
    loop {
        let position = walker.position();
        let walked = match walker.step().map_err(io)? {
            Ok(walked) => walked,
            Err(Stop::End) => return Ok(FileEnd::Whole),
            Err(Stop::Cut { bytes, .. }) => return Ok(FileEnd::Cut { position, bytes }),
            Err(Stop::Corrupt(reason)) => return Ok(FileEnd::Corrupt { position, reason }),
        };
        if walked.frame.last_offset() < from {
            continue;
        }
        // Of a large batch the walk has the header alone.
        let bytes;
        let mut frame = walked.frame;
        if walked.size_bytes > LARGE_BATCH_BYTES {
            bytes = read_batch(&whole, position, walked.size_bytes).map_err(io)?;
            match Frame::parse(&bytes) {
                Ok(parsed) => frame = parsed,
                Err(reason) => return Ok(FileEnd::Corrupt { position, reason }),
            }
        }
        if visit_batch(path, position, &frame, from, decompressor, visit).is_break() {
            return Ok(FileEnd::Stopped);
        }
    }
}

fn visit_batch(
    path: &Path,
    position: Position,
    frame: &Frame<'_>,
    from: Offset,
    decompressor: &mut Decompressor,
    visit: &mut dyn FnMut(&Entry<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let last_offset = frame.last_offset();
    let base_offset = frame.base_offset().unwrap_or(last_offset);
    let (timestamp_ms, leader_epoch) = (frame.max_timestamp_ms(), frame.leader_epoch());
    let entry = |offset, content| Entry {
        path,
        position,
        offset,
        base_offset,
        last_offset,
        timestamp_ms,
        leader_epoch,
        content,
    };
    let unreadable = |error: String, visit: &mut dyn FnMut(&Entry<'_>) -> ControlFlow<()>| {
        visit(&entry(base_offset.max(from), Content::Unreadable(error)))
    };
    let payload = match frame.records(decompressor) {
        Ok(payload) => payload,
        Err(error) => return unreadable(error.to_string(), visit),
    };
    let visited = payload.visit(|record| {
        if record.offset < from {
            return ControlFlow::Continue(());
        }
        let value = record.value.unwrap_or_default();
        let content = match record.key.filter(|_| frame.is_control()).and_then(ControlType::of_key) {
            _ if !frame.is_control() => match decode(value) {
                Ok(decoded) => Content::Data(decoded),
                Err(error) => Content::Unreadable(error.to_string()),
            },
            Some(kind) => match decode_control(kind.id(), value) {
                Ok(record) => Content::Control { kind, record },
                Err(error) => Content::Unreadable(format!("{}: {error}", kind.kafka_name())),
            },
            None => Content::Unreadable("a control record whose key names no type".to_owned()),
        };
        visit(&entry(record.offset, content))
    });
    match visited {
        Ok(Some(())) => ControlFlow::Break(()),
        Ok(None) => ControlFlow::Continue(()),
        Err(error) => unreadable(error.to_string(), visit),
    }
}

fn read_batch(file: &File, position: Position, size_bytes: u64) -> std::io::Result<Vec<u8>> {
    let len = usize::try_from(size_bytes).ok().filter(|len| *len <= MAX_BATCH_BYTES);
    let mut bytes = vec![0; len.ok_or_else(|| std::io::Error::other("the batch is larger than 128 MiB"))?];
    file.read_exact_at(&mut bytes, position.get())?;
    Ok(bytes)
}
