//! What the batches of a partition hold: how many, of which format and codec, and how well they are compressed.

use std::io;

use super::Depth;
use crate::batch::scan::{self, ScanOptions, Step};
use crate::batch::view::HEADER_LEN;
use crate::batch::{Decompressor, Frame};
use crate::storage::fs::StorageError;
use crate::storage::partition::{Partition, open_scanner_with};
use crate::types::{Codec, NO_TIMESTAMP, TimestampMs};

/// Batches of one codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CodecFacts {
    /// Batches; of magic 0 and 1 messages and wrappers.
    pub batches: u64,
    /// Records in them; `None` where compressed wrappers were not opened.
    pub records: Option<u64>,
    /// Bytes of their records as stored, without the batches' headers.
    pub stored_bytes: u64,
    /// The same decompressed; `None` where nothing was.
    pub uncompressed_bytes: Option<u64>,
}

impl CodecFacts {
    /// How many times larger the records are decompressed; `None` where that is not known.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn ratio(&self) -> Option<f64> {
        let uncompressed = self.uncompressed_bytes?;
        (self.stored_bytes > 0).then(|| uncompressed as f64 / self.stored_bytes as f64)
    }

    /// Takes the batches of another one.
    pub fn merge(&mut self, other: &CodecFacts) {
        let is_first = self.batches == 0;
        let both = |a: Option<u64>, b: Option<u64>| if is_first { b } else { a.zip(b).map(|(a, b)| a + b) };
        if other.batches == 0 {
            return;
        }
        self.records = both(self.records, other.records);
        self.uncompressed_bytes = both(self.uncompressed_bytes, other.uncompressed_bytes);
        self.batches += other.batches;
        self.stored_bytes += other.stored_bytes;
    }
}

/// What a partition's batches hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Content {
    /// By codec, in the order of [`Codec::ALL`].
    by_codec: [CodecFacts; Codec::ALL.len()],
    /// Places without a sound batch, or with one that does not decompress.
    pub damaged: u64,
}

impl Content {
    /// The codecs found, and what there is of each.
    pub fn codecs(&self) -> impl Iterator<Item = (Codec, &CodecFacts)> {
        Codec::ALL.into_iter().zip(&self.by_codec).filter(|(_, facts)| facts.batches > 0)
    }

    /// All codecs together.
    pub fn total(&self) -> CodecFacts {
        let mut total = CodecFacts { records: Some(0), ..CodecFacts::default() };
        self.by_codec.iter().for_each(|facts| total.merge(facts));
        total
    }

    /// Takes the batches of another one.
    pub fn merge(&mut self, other: &Content) {
        self.by_codec.iter_mut().zip(&other.by_codec).for_each(|(facts, more)| facts.merge(more));
        self.damaged += other.damaged;
    }

    fn add(&mut self, codec: Codec, facts: &CodecFacts) {
        if let Some(of_codec) = self.by_codec.get_mut(usize::from(codec.id())) {
            of_codec.merge(facts);
        }
    }
}

/// Formats of batches that were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Magics(u8);

impl Magics {
    /// One more.
    pub fn add(&mut self, magic: i8) {
        if let Some(bit) = u32::try_from(magic).ok().and_then(|shift| 1_u8.checked_shl(shift)) {
            self.0 |= bit;
        }
    }

    /// Those of another one too.
    pub fn merge(&mut self, other: Magics) {
        self.0 |= other.0;
    }

    /// Each once, ascending.
    pub fn iter(self) -> impl Iterator<Item = i8> {
        (0..8).filter(move |magic| self.0 & (1 << magic) != 0)
    }
}

/// What a walk over all batches finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Walked {
    /// What they hold.
    pub content: Content,
    /// Their formats.
    pub magics: Magics,
    /// Their largest timestamp.
    pub newest_ms: Option<TimestampMs>,
}

/// Goes over all batches of the partition. `depth` is beyond [`Depth::Index`]; batches larger than `max_batch_bytes`,
/// decompressed, count as damaged.
pub fn walk(partition: &Partition, depth: Depth, max_batch_bytes: usize) -> Result<Walked, StorageError> {
    let mut walked = Walked::default();
    let mut decompressor = Decompressor::with_cap(max_batch_bytes);
    for segment in partition.segments() {
        let error = |error: io::Error| StorageError::new(&segment.log, error);
        let options = ScanOptions {
            depth: if depth == Depth::Deep { scan::Depth::Crc } else { scan::Depth::Headers },
            base_offset: Some(segment.base),
            max_batch_bytes: max_batch_bytes as u64,
        };
        let mut scanner = match open_scanner_with(segment, options) {
            Ok(scanner) => scanner,
            // Deleted by a running broker since it was listed.
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error),
        };
        loop {
            match scanner.next().map_err(error)? {
                Step::Entry(entry) => walked.frame(&entry.frame, depth, &mut decompressor),
                Step::Damage(_) => walked.content.damaged += 1,
                Step::End(..) => break,
            }
        }
    }
    Ok(walked)
}

impl Walked {
    fn frame(&mut self, frame: &Frame<'_>, depth: Depth, decompressor: &mut Decompressor) {
        self.magics.add(frame.magic());
        if frame.max_timestamp_ms() != NO_TIMESTAMP {
            self.newest_ms = self.newest_ms.max(Some(frame.max_timestamp_ms()));
        }
        let Ok(codec) = frame.codec() else {
            self.content.damaged += 1;
            return;
        };
        let (stored_bytes, records) = match frame {
            Frame::Batch(batch) => {
                let stored = frame.size_bytes().saturating_sub(HEADER_LEN as u64);
                (stored, Some(u64::from(batch.record_count().max(0).unsigned_abs())))
            }
            Frame::Message(message) if codec == Codec::None => (message.bytes().len() as u64, Some(1)),
            Frame::Message(message) => (message.value().map_or(0, |value| value.len() as u64), None),
        };
        let mut facts = CodecFacts { batches: 1, records, stored_bytes, uncompressed_bytes: None };
        if depth == Depth::Deep {
            match opened(frame, codec, stored_bytes, decompressor) {
                Some((uncompressed, records)) => {
                    facts.uncompressed_bytes = Some(uncompressed);
                    facts.records = Some(records);
                }
                None => {
                    self.content.damaged += 1;
                    return;
                }
            }
        }
        self.content.add(codec, &facts);
    }
}

/// Bytes of the records once they are decompressed, and how many records there are; `None` when they do not open.
fn opened(frame: &Frame<'_>, codec: Codec, stored: u64, decompressor: &mut Decompressor) -> Option<(u64, u64)> {
    let count = frame.records(decompressor).ok()?.map_while(Result::ok).count() as u64;
    let payload = match frame {
        _ if codec == Codec::None => return Some((stored, count)),
        Frame::Batch(batch) => batch.payload(),
        Frame::Message(message) => message.value()?,
    };
    // Once more: the buffer that the records were read from is not to be had from them.
    let uncompressed = decompressor.decompress(codec, frame.magic(), payload).ok()?;
    Some((uncompressed.len() as u64, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_add_up_and_what_is_unknown_stays_unknown() {
        let known = CodecFacts { batches: 2, records: Some(10), stored_bytes: 100, uncompressed_bytes: Some(300) };
        let unknown = CodecFacts { batches: 1, records: None, stored_bytes: 50, uncompressed_bytes: None };
        let mut content = Content::default();
        content.add(Codec::Lz4, &known);
        content.add(Codec::Lz4, &known);
        assert_eq!(content.total().ratio(), Some(3.0));
        assert_eq!(
            content.codecs().map(|(codec, facts)| (codec, facts.records)).collect::<Vec<_>>(),
            [(Codec::Lz4, Some(20))]
        );
        content.add(Codec::Gzip, &unknown);
        let total = content.total();
        assert_eq!((total.batches, total.records, total.stored_bytes, total.ratio()), (5, None, 250, None));
        assert_eq!(Content::default().total(), CodecFacts { records: Some(0), ..CodecFacts::default() });
        let mut magics = Magics::default();
        [2, 0, 2, -1, 77].into_iter().for_each(|magic| magics.add(magic));
        assert_eq!(magics.iter().collect::<Vec<_>>(), [0, 2]);
    }
}
