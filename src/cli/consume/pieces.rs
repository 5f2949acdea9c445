//! Batches taken out of the reader's window, to be decompressed and formatted on several threads.
//!
//! One thread reads and checks; formatting costs several times that. So a slot for each thread is filled
//! with batches, all slots are formatted at once while the next ones are filled, and their output leaves in
//! the order of the log.

use std::ops::{ControlFlow, Range};

use super::stream::{Place, StreamBatch, context_of};
use crate::batch::{Decompressor, Frame};
use crate::cli::filter::RecordFilter;
use crate::cli::message::Message;
use crate::cli::record_format::{Formatter, Row};
use crate::storage::partition::Partition;
use crate::types::{Offset, Position};

/// Bytes of batches a slot takes before it is full.
const PIECE_BYTES: usize = 1 << 20;
/// Output at which a slot stops, to go on once that is written: compressed batches may grow a lot.
const OUTPUT_BYTES: usize = 4 << 20;

/// What one thread works on.
#[derive(Debug)]
pub struct Slot {
    formatter: Formatter,
    decompressor: Decompressor,
    bytes: Vec<u8>,
    batches: Vec<Copied>,
    /// Batches formatted so far.
    done: usize,
    /// What to print.
    pub out: Vec<u8>,
    /// Payloads that could not be read, each with the first offset that is missing.
    pub bad: Vec<(Message, Offset)>,
}

/// Where a batch lies in the slot, and what of it is wanted.
#[derive(Debug)]
struct Copied {
    range: Range<usize>,
    start: Offset,
    end: Offset,
    segment: usize,
    position: Position,
}

impl Slot {
    /// An empty slot that prints as `formatter` does.
    pub fn new(formatter: &Formatter, max_batch_bytes: usize) -> Slot {
        Slot {
            formatter: formatter.clone(),
            decompressor: Decompressor::with_cap(max_batch_bytes),
            bytes: Vec::new(),
            batches: Vec::new(),
            done: 0,
            out: Vec::new(),
            bad: Vec::new(),
        }
    }

    /// Takes a copy of a batch.
    pub fn push(&mut self, batch: &StreamBatch<'_>) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(batch.frame.bytes());
        self.batches.push(Copied {
            range: at..self.bytes.len(),
            start: batch.start,
            end: batch.end,
            segment: batch.place.segment,
            position: batch.place.position,
        });
    }

    /// Whether it holds enough to be worth a thread.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= PIECE_BYTES
    }

    /// Whether there are batches not yet formatted.
    pub fn has_more(&self) -> bool {
        self.done < self.batches.len()
    }

    /// Forgets the batches; a buffer that one large batch made is given back.
    pub fn clear(&mut self) {
        if self.bytes.capacity() > 4 * PIECE_BYTES {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.batches.clear();
        self.done = 0;
    }

    /// Formats batches until all are done or the output is large; with `stop`, damage ends it for good.
    pub fn format(&mut self, partition: &Partition, filter: &RecordFilter, stop: bool) {
        let every_record = filter.is_empty();
        while let Some(copied) = self.batches.get(self.done)
            && self.out.len() < OUTPUT_BYTES
        {
            self.done += 1;
            let Ok(frame) =
                self.bytes.get(copied.range.clone()).map_or(Err(()), |bytes| Frame::parse(bytes).map_err(drop))
            else {
                continue;
            };
            let place = Place { partition, segment: copied.segment, position: copied.position };
            let context = context_of(&frame, partition.topic_partition());
            let batch = StreamBatch { frame, context, start: copied.start, end: copied.end, place };
            self.formatter.begin_batch(&batch.context);
            let mut next = batch.first_wanted();
            let (formatter, out) = (&mut self.formatter, &mut self.out);
            let read = batch.records(&mut self.decompressor).and_then(|records| {
                records.visit(|record| {
                    next = record.offset.next();
                    if batch.wanted(record.offset) && (every_record || filter.matches(record)) {
                        formatter.write(Row { batch: &batch.context, record }, out);
                    }
                    ControlFlow::<()>::Continue(())
                })
            });
            if let Err(error) = read {
                self.bad.push((batch.payload_damage(&error, next), batch.frame.last_offset().next()));
                if stop {
                    self.done = self.batches.len();
                    return;
                }
            }
        }
    }

    /// Records printed so far.
    pub fn written(&self) -> u64 {
        self.formatter.written()
    }
}

/// Formats all slots at once, and does something else `meanwhile` on this thread.
///
/// One slot alone, as of a small partition, is not worth waking a thread.
pub fn format_all(
    slots: &mut [Slot],
    partition: &Partition,
    filter: &RecordFilter,
    stop: bool,
    meanwhile: impl FnOnce(),
) {
    let mut filled: Vec<_> = slots.iter_mut().filter(|slot| slot.has_more()).collect();
    if let [only] = &mut filled[..] {
        only.format(partition, filter, stop);
        return meanwhile();
    }
    rayon::in_place_scope(|scope| {
        for slot in filled {
            scope.spawn(move |_| slot.format(partition, filter, stop));
        }
        meanwhile();
    });
}
