//! The text of offset and transaction indexes, and the entries of a log they point at.

use std::io;
use std::path::Path;

use super::super::java_text::file_text;
use super::super::{Report, Severity};
use super::{Kafka, note};
use crate::batch::scan::Source;
use crate::batch::view::HEADER_LEN;
use crate::batch::{PREFIX_LEN, entry_len};
use crate::storage::file_source::FileSource;
use crate::storage::fs::StorageError;
use crate::storage::index::IndexBytes;
use crate::storage::index::offset::{OffsetEntry, OffsetIndex};
use crate::storage::index::txn::TxnIndex;
use crate::storage::{fs, index};
use crate::types::Offset;

impl Kafka<'_, '_, '_, '_> {
    pub(super) fn index_bytes(&mut self, path: &Path) -> Option<IndexBytes> {
        match index::read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.telling.unreadable(&error);
                None
            }
        }
    }

    pub(super) fn offset_index(&mut self, path: &Path) -> io::Result<()> {
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

    pub(super) fn sanity(&mut self, path: &Path, checked: Result<(), index::SanityError>) -> io::Result<()> {
        match checked {
            Ok(()) => {
                self.out.bytes(&file_text(path));
                self.out.text(" passed sanity check.\n");
            }
            Err(error) => self.telling.damage(Report::new(Severity::Error, "bad_index", path, error.to_string())),
        }
        Ok(())
    }

    pub(super) fn check_offset_entry(&mut self, path: &Path, log: &mut FileSource, entry: OffsetEntry) {
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

    pub(super) fn txn_index(&mut self, path: &Path) -> io::Result<()> {
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
}

/// An entry of a log, by its header.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) position: u64,
    pub(super) len: u64,
    pub(super) first: Option<Offset>,
    pub(super) last: Offset,
}

/// The entry at `at` that ends at or before `end`; `None` when there is none, or no length can be read.
pub(super) fn entry_at(log: &mut FileSource, at: u64, end: u64) -> io::Result<Option<Found>> {
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
