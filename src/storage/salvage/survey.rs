//! One directory's logs read through: sound batches, and what is between them.

use std::fs::File;
use std::path::Path;

use super::Fact;
use super::arrange::{Arranged, Arranger, prefix};
use super::files::{Files, LogFile, fact_of};
use crate::batch::scan::{Advance, Damage, Depth, Doubt, ScanOptions, Scanner, Source, Step, Tail};
use crate::batch::view::{CRC_FROM, HEADER_LEN};
use crate::batch::{Decompressor, Frame, PREFIX_LEN};
use crate::crc::{crc32, crc32c};
use crate::storage::file_source::FileSource;
use crate::storage::fs::StorageError;
use crate::storage::leader_epochs::{self, LeaderEpochs};
use crate::storage::partition::Partition;
use crate::types::Offset;

/// Remarks of one kind beyond this many are only counted.
const REMARKS_MAX: u64 = 20;

/// Reads every log of `partition`, which is the `replica`th, and puts its batches in order.
pub fn survey(
    partition: &Partition,
    replica: usize,
    max_batch_bytes: u64,
    files: &mut Files,
) -> Result<Arranged, StorageError> {
    let known = known_epochs(partition.dir());
    let mut surveyor = Surveyor {
        arranger: Arranger::new(known),
        decompressor: Decompressor::with_cap(usize::try_from(max_batch_bytes).unwrap_or(usize::MAX)),
        max_batch_bytes,
        undecodable: 0,
    };
    let mut expected: Option<Offset> = None;
    for segment in partition.segments() {
        let file = LogFile { path: segment.log.clone(), replica, base: segment.base, len: segment.log_len, sound: 0 };
        let number = files.add(file);
        let sound = surveyor
            .log(number, &segment.log, segment.base, segment.log_len, &mut expected)
            .map_err(|error| StorageError::new(&segment.log, error))?;
        if let Some(file) = files.get_mut(number) {
            file.sound = sound;
        }
    }
    if surveyor.undecodable > REMARKS_MAX {
        let more = surveyor.undecodable - REMARKS_MAX;
        surveyor.arranger.remark(format!("{more} more batches whose checksum holds cannot be decoded; kept"));
    }
    surveyor.arranger.finish(files)
}

/// The leader epochs of the checkpoint in `dir`; none where it cannot be read.
pub(super) fn known_epochs(dir: &Path) -> LeaderEpochs {
    leader_epochs::read(&dir.join(leader_epochs::FILE_NAME)).unwrap_or_default()
}

struct Surveyor {
    arranger: Arranger,
    decompressor: Decompressor,
    max_batch_bytes: u64,
    undecodable: u64,
}

impl Surveyor {
    /// One log; returns how many sound batches it holds.
    fn log(
        &mut self,
        file: usize,
        path: &Path,
        base: Offset,
        len: u64,
        expected: &mut Option<Offset>,
    ) -> std::io::Result<u64> {
        let options = ScanOptions { depth: Depth::Crc, base_offset: Some(base), max_batch_bytes: self.max_batch_bytes };
        let source = FileSource::up_to(File::open(path)?, len)?;
        let mut scanner = Scanner::new(source, crate::types::Position::ZERO, options);
        if let Some(expected) = *expected {
            scanner.continue_from(expected);
        }
        let mut sound = 0;
        loop {
            match scanner.advance()? {
                Advance::Entry(found) => match scanner.load(found)? {
                    Step::Entry(entry) => {
                        let fact = fact_of(file, entry.position.get(), &entry.frame, &mut self.decompressor);
                        self.decode(&fact, &entry.frame);
                        let doubted = matches!(entry.doubt, Some(Doubt::OffsetOrder { .. }));
                        self.arranger.push(fact, doubted);
                        sound += 1;
                    }
                    Step::Damage(damage) => self.gap(file, &damage),
                    Step::End(..) => {}
                },
                Advance::Damage(damage) => match repair(file, &damage, scanner.source_mut(), self.max_batch_bytes)? {
                    Some(fact) => {
                        self.arranger.remark(format!(
                            "batch at position {} (base offset {}): {}; the checksum holds, so length and magic are repaired",
                            fact.position, fact.first, damage.reason
                        ));
                        let fits = damage.expected.is_none_or(|expected| fact.first >= expected)
                            && damage.next.is_none_or(|next| fact.last < next);
                        self.arranger.push(fact, !fits);
                        sound += 1;
                    }
                    None => self.gap(file, &damage),
                },
                Advance::End(position, tail) => {
                    let (bytes, reason) = match tail {
                        Tail::Clean => (0, ""),
                        Tail::Torn { bytes, .. } => (bytes, "a batch cut short"),
                        Tail::Zeros { bytes } => (bytes, "zeros"),
                    };
                    if bytes > 0 {
                        self.arranger.damage(file, position.get(), bytes, reason.to_owned());
                    }
                    break;
                }
            }
        }
        if sound > 0 {
            *expected = scanner.next_offset().max(*expected);
        }
        Ok(sound)
    }

    fn gap(&mut self, file: usize, damage: &Damage) {
        let bytes = damage.end.get().saturating_sub(damage.position.get());
        self.arranger.damage(file, damage.position.get(), bytes, damage.reason.to_string());
    }

    /// Says so where the records cannot be had; the batch is kept for its checksum.
    fn decode(&mut self, fact: &Fact, frame: &Frame<'_>) {
        let read = frame.records(&mut self.decompressor).and_then(|mut records| {
            let mut count = 0;
            records.try_for_each(|record| record.map(|_| count += 1))?;
            Ok(count)
        });
        if let Err(error) = read {
            self.undecodable += 1;
            if self.undecodable <= REMARKS_MAX {
                self.arranger.remark(format!(
                    "batch at position {} (base offset {}): the checksum holds, the records cannot be read: {error}; kept",
                    fact.position, fact.first
                ));
            }
        }
    }
}

/// The batch that damaged bytes are, if their checksum is that of a batch which fills them: then only its length or its
/// magic, which no checksum covers, can be wrong.
fn repair(
    file: usize,
    damage: &Damage,
    source: &mut FileSource,
    max_batch_bytes: u64,
) -> std::io::Result<Option<Fact>> {
    let position = damage.position.get();
    let bytes = damage.end.get().saturating_sub(position);
    let Some(len) = usize::try_from(bytes).ok().filter(|_| bytes <= max_batch_bytes) else { return Ok(None) };
    let Some(mut whole) = source.window(position, len)?.get(..len).map(<[u8]>::to_vec) else { return Ok(None) };
    let stored = |whole: &[u8], at: usize| {
        whole.get(at..).and_then(<[u8]>::first_chunk::<4>).map(|raw| u32::from_be_bytes(*raw))
    };
    let is_batch = len >= HEADER_LEN && stored(&whole, 17) == whole.get(CRC_FROM..).map(crc32c);
    let is_message = len > PREFIX_LEN && stored(&whole, 12) == whole.get(16..).map(crc32) && whole[16] <= 1;
    let Ok(length) = i32::try_from(len.saturating_sub(crate::batch::ENTRY_OVERHEAD)) else { return Ok(None) };
    if !(is_batch || is_message) {
        return Ok(None);
    }
    whole[8..12].copy_from_slice(&length.to_be_bytes());
    if is_batch {
        whole[16] = 2;
    }
    let Ok(frame) = Frame::parse(&whole) else { return Ok(None) };
    if frame.verify_crc().is_err() {
        return Ok(None);
    }
    let fact = fact_of(file, position, &frame, &mut Decompressor::default());
    Ok(Some(Fact { repaired: Some(prefix(&fact)), ..fact }))
}
