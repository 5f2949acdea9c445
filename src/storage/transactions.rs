//! Which transactional records count: open transactions, and the aborted ones of each segment.
//!
//! Kafka answers from `.txnindex` and producer snapshots. Both are only copies of what the batches say,
//! so where one is missing or makes no sense, the headers of the segment are replayed instead
//! (`ProducerStateManager`, `LogSegment.updateProducerState`). What is damaged is passed over: a marker may have stood
//! there, and [`Transactions::take_damages`] says where.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;

use super::fs::StorageError;
use super::index::offset::OffsetIndex;
use super::index::txn::{AbortedTxn, TxnIndex};
use super::names::SegmentFileKind;
use super::partition::{Notice, Partition, Segment, open_scanner, present, seek_if_true};
use super::producer_state::ProducerSnapshot;
use super::reader::cut_inside_the_log;
use super::remarks::{LogDamage, LogDamages};
use super::{active_producers, fs, index};
use crate::batch::control::ControlType;
use crate::batch::scan::{Depth, Source, Step};
use crate::batch::{BatchView, Decompressor, Frame, FrameRecords};
use crate::types::{Offset, ProducerId};

/// Open transactions: producer and first offset.
pub type OpenTxns = BTreeMap<ProducerId, Offset>;

/// An aborted transaction within a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aborted {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// Offset of its first record.
    pub first: Offset,
    /// Offset of the marker that ended it.
    pub last: Offset,
}

impl From<AbortedTxn> for Aborted {
    fn from(txn: AbortedTxn) -> Self {
        Aborted { producer_id: txn.producer_id, first: txn.first_offset, last: txn.last_offset }
    }
}

/// Aborted transactions of a stretch of log, to be asked for every batch of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AbortedTxns(HashMap<ProducerId, Vec<Aborted>>);

impl AbortedTxns {
    /// Whether a batch of this producer that starts at `offset` belongs to one of them.
    pub fn holds(&self, producer_id: ProducerId, offset: Offset) -> bool {
        let Some(of_producer) = self.0.get(&producer_id) else { return false };
        // One after the other: a producer has one transaction at a time.
        let next = of_producer.partition_point(|txn| txn.last < offset);
        of_producer.get(next).is_some_and(|txn| txn.first <= offset)
    }
}

impl FromIterator<Aborted> for AbortedTxns {
    fn from_iter<I: IntoIterator<Item = Aborted>>(aborted: I) -> Self {
        let mut by_producer: HashMap<ProducerId, Vec<Aborted>> = HashMap::new();
        for txn in aborted {
            by_producer.entry(txn.producer_id).or_default().push(txn);
        }
        by_producer.values_mut().for_each(|of_producer| of_producer.sort_by_key(|txn| txn.last));
        AbortedTxns(by_producer)
    }
}

/// What became of the transactions of one segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct SegmentTxns {
    /// Those whose abort marker stands in the segment.
    aborted: Vec<Aborted>,
    /// Those still open at its end.
    open: OpenTxns,
}

/// Answers questions about a partition's transactions, reading no more of it than a question needs.
#[derive(Debug)]
pub struct Transactions<'p> {
    partition: &'p Partition,
    segments: Vec<Option<SegmentTxns>>,
    notices: Vec<Notice>,
    damages: LogDamages,
}

impl<'p> Transactions<'p> {
    /// Reads nothing yet.
    pub fn new(partition: &'p Partition) -> Self {
        let segments = vec![None; partition.segments().len()];
        Transactions { partition, segments, notices: Vec::new(), damages: LogDamages::default() }
    }

    /// Index files and snapshots that could not be used, and were made up for.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Damage that was passed over.
    pub fn take_damages(&mut self) -> LogDamages {
        std::mem::take(&mut self.damages)
    }

    /// The last stable offset of a log that ends at `end`: the first offset of the earliest transaction
    /// that no marker below `end` has ended, else `end`.
    ///
    /// `end` is the log end offset or the high watermark.
    pub fn last_stable(&mut self, end: Offset) -> Result<Offset, StorageError> {
        let open = self.open_at(end, u64::MAX)?.unwrap_or_default();
        Ok(open.values().copied().min().map_or(end, |first| first.min(end)))
    }

    /// The transactions that no marker below `end` has ended; `None` when it takes reading the headers of more than
    /// `replay_bytes_max` bytes of log to tell.
    ///
    /// A log that was closed cleanly has a producer snapshot at its end, and nothing is read.
    pub fn open_at(&mut self, end: Offset, replay_bytes_max: u64) -> Result<Option<OpenTxns>, StorageError> {
        let Some(last) = self.last_segment_below(end) else { return Ok(Some(OpenTxns::new())) };
        let (from, mut open) = match self.newest_snapshot(end)? {
            Some((offset, open)) if offset >= end => return Ok(Some(open)),
            Some((offset, open)) => (offset, open),
            None => (Offset::ZERO, OpenTxns::new()),
        };
        let first = self.partition.floor_segment(from);
        let numbers = first..last.max(first) + 1;
        let segments = &self.partition.segments()[numbers.clone()];
        if segments.iter().map(|segment| segment.log_len).sum::<u64>() > replay_bytes_max {
            return Ok(None);
        }
        for number in numbers {
            replay(self.partition, number, from..end, &mut open, &mut Vec::new(), &mut self.damages)?;
        }
        Ok(Some(open))
    }

    fn last_segment_below(&self, end: Offset) -> Option<usize> {
        self.partition.segments().iter().rposition(|segment| segment.base < end)
    }

    /// The aborted transactions that data in segment `number` may belong to.
    ///
    /// A transaction may end segments later; those are looked at only while one that was open at the end
    /// of this segment still is.
    pub fn aborted_in(&mut self, number: usize) -> Result<AbortedTxns, StorageError> {
        let mut aborted = self.segment(number)?.aborted.clone();
        let mut open = self.segment(number)?.open.clone();
        let mut next = number + 1;
        while !open.is_empty() && next < self.segments.len() {
            let txns = self.segment(next)?;
            aborted.extend(txns.aborted.iter().filter(|txn| open.get(&txn.producer_id) == Some(&txn.first)));
            open.retain(|producer, first| txns.open.get(producer) == Some(first));
            next += 1;
        }
        Ok(aborted.into_iter().collect())
    }

    fn segment(&mut self, number: usize) -> Result<&SegmentTxns, StorageError> {
        if self.segments[number].is_none() {
            let txns = self.read_segment(number)?;
            self.segments[number] = Some(txns);
        }
        Ok(self.segments[number].get_or_insert_default())
    }

    fn read_segment(&mut self, number: usize) -> Result<SegmentTxns, StorageError> {
        let segment = &self.partition.segments()[number];
        if let Some(aborted) = self.indexed(segment)? {
            let next = self.partition.segments().get(number + 1);
            if let Some(open) = next.map(|next| self.snapshot_at(next.base)).transpose()?.flatten() {
                return Ok(SegmentTxns { aborted, open });
            }
        }
        let mut open = match self.snapshot_at(segment.base)? {
            Some(open) => open,
            None if number == 0 => OpenTxns::new(),
            None => self.open_before(number)?,
        };
        let mut aborted = Vec::new();
        let all = segment.base..Offset::MAX;
        replay(self.partition, number, all, &mut open, &mut aborted, &mut self.damages)?;
        Ok(SegmentTxns { aborted, open })
    }

    /// Open transactions at the end of segment `number - 1`, replayed from the last state that is known.
    fn open_before(&mut self, number: usize) -> Result<OpenTxns, StorageError> {
        let mut first = number;
        let mut open = OpenTxns::new();
        while first > 0 {
            first -= 1;
            if let Some(known) = &self.segments[first] {
                open = known.open.clone();
                first += 1;
                break;
            }
            if let Some(known) = self.snapshot_at(self.partition.segments()[first].base)? {
                open = known;
                break;
            }
        }
        for number in first..number {
            let all = self.partition.segments()[number].base..Offset::MAX;
            replay(self.partition, number, all, &mut open, &mut Vec::new(), &mut self.damages)?;
        }
        Ok(open)
    }

    /// The entries of the segment's transaction index; `None` when there is no index, or one that lies.
    fn indexed(&mut self, segment: &Segment) -> Result<Option<Vec<Aborted>>, StorageError> {
        let path = segment.sibling(SegmentFileKind::TxnIndex);
        let why = match present(fs::read_small(&path, index::INDEX_BYTES_MAX)) {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) => {
                let index = TxnIndex::new(segment.base, &bytes);
                match (index.first_violation(), index.trailing_bytes()) {
                    (None, 0) => return Ok(Some(index.entries().map(Aborted::from).collect())),
                    (Some(violation), _) => violation.to_string(),
                    (None, trailing) => format!("{trailing} bytes behind the last whole entry"),
                }
            }
            Err(error) => error.kind.to_string(),
        };
        self.notices.push(Notice::new(path, format!("{why}; the log was scanned instead")));
        Ok(None)
    }

    /// Open transactions as the producer snapshot of exactly this offset has them.
    fn snapshot_at(&mut self, offset: Offset) -> Result<Option<OpenTxns>, StorageError> {
        Ok(active_producers::snapshot_at(self.partition, offset, &mut self.notices).as_ref().map(open_of))
    }

    /// Open transactions as the newest readable producer snapshot at or below `end` has them.
    fn newest_snapshot(&mut self, end: Offset) -> Result<Option<(Offset, OpenTxns)>, StorageError> {
        let newest = active_producers::newest_snapshot(self.partition, end, &mut self.notices)?;
        Ok(newest.map(|(offset, snapshot)| (offset, open_of(&snapshot))))
    }
}

fn open_of(snapshot: &ProducerSnapshot) -> OpenTxns {
    let open = snapshot.entries.iter();
    open.filter_map(|entry| Some((entry.producer_id, entry.open_txn()?))).collect()
}

/// Follows the transactions of segment `number` in `range`: opens and closes them in `open`, and notes those that a marker
/// aborts.
fn replay(
    partition: &Partition,
    number: usize,
    range: Range<Offset>,
    open: &mut OpenTxns,
    aborted: &mut Vec<Aborted>,
    damages: &mut LogDamages,
) -> Result<(), StorageError> {
    each_producer_batch(partition, number, range, Depth::Headers, damages, &mut |batch| {
        if !batch.is_transactional() {
            return;
        }
        let (producer_id, last) = (batch.producer_id(), batch.base_offset());
        if !batch.is_control() {
            open.entry(producer_id).or_insert(last);
            return;
        }
        // `None` when compaction emptied it.
        let marker = marker_of(batch).filter(|marker| marker.is_transaction_marker());
        if let Some(marker) = marker
            && let Some(first) = open.remove(&producer_id)
            && marker == ControlType::Abort
        {
            aborted.push(Aborted { producer_id, first, last });
        }
    })
}

/// Visits the batches of producers in `range` of segment `number`, in order: those of data as closely as `depth` says,
/// control batches whole and with their checksums.
///
/// What is damaged within the range is passed over, and a word on it is in `damages`.
pub(super) fn each_producer_batch(
    partition: &Partition,
    number: usize,
    range: Range<Offset>,
    depth: Depth,
    damages: &mut LogDamages,
    visit: &mut dyn FnMut(&BatchView<'_>),
) -> Result<(), StorageError> {
    let Some(segment) = partition.segments().get(number) else { return Ok(()) };
    let error = |error: io::Error| StorageError::new(&segment.log, error);
    let mut scanner = match open_scanner(segment, depth) {
        Ok(scanner) => scanner,
        // Deleted under us by retention: its transactions no longer matter.
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    };
    if range.start > segment.base
        && let Ok(Some(bytes)) = segment.offset_index()
    {
        let index = OffsetIndex::from_file(segment.base, &bytes);
        seek_if_true(&mut scanner, index.lookup(range.start), segment).map_err(error)?;
    }
    let concerns = |damage: &crate::batch::scan::Damage| {
        damage.next.is_none_or(|next| next > range.start) && damage.expected.is_none_or(|expected| expected < range.end)
    };
    loop {
        let (position, size) = match scanner.next().map_err(error)? {
            Step::End(position, tail) => {
                let next = partition.segments().get(number + 1).map(|segment| segment.base);
                let cut = cut_inside_the_log(position, tail, scanner.next_offset(), next);
                if let Some(cut) = cut.filter(|cut| next.is_some() && concerns(cut)) {
                    damages.add_scanned(&segment.log, &cut);
                }
                return Ok(());
            }
            Step::Damage(damage) => {
                if concerns(&damage) {
                    damages.add_scanned(&segment.log, &damage);
                }
                continue;
            }
            Step::Entry(entry) => {
                let Frame::Batch(batch) = entry.frame else { continue };
                if batch.base_offset() >= range.end {
                    return Ok(());
                }
                if batch.last_offset() < range.start || !batch.producer_id().is_some() {
                    continue;
                }
                if !batch.is_control() {
                    visit(&batch);
                    continue;
                }
                (entry.position, entry.frame.size_bytes())
            }
        };
        let Ok(size) = usize::try_from(size) else { continue };
        let window = scanner.source_mut().window(position.get(), size).map_err(error)?;
        let Ok(Frame::Batch(batch)) = Frame::parse(window) else { continue };
        match batch.verify_crc() {
            Ok(()) => visit(&batch),
            Err(reason) => {
                let next = Some(batch.last_offset().next());
                damages.add(LogDamage { log: segment.log.clone(), position, reason: reason.into(), next });
            }
        }
    }
}

/// The type of the control record in a batch; `None` when compaction emptied it.
fn marker_of(batch: &BatchView<'_>) -> Option<ControlType> {
    let mut decompressor = Decompressor::default();
    let Ok(FrameRecords::Batch(mut records)) = Frame::Batch(*batch).records(&mut decompressor) else { return None };
    records.next().and_then(Result::ok).and_then(|record| ControlType::of_key(record.key?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_belongs_to_the_transaction_around_it_and_to_no_other() {
        let txn = |producer, first, last| Aborted {
            producer_id: ProducerId(producer),
            first: Offset::new(first),
            last: Offset::new(last),
        };
        let aborted: AbortedTxns = [txn(7, 20, 25), txn(7, 3, 9), txn(8, 5, 6)].into_iter().collect();
        let cases = [(7, 2, false), (7, 3, true), (7, 9, true), (7, 10, false), (7, 22, true), (7, 26, false)];
        for (producer, offset, expected) in cases {
            assert_eq!(aborted.holds(ProducerId(producer), Offset::new(offset)), expected, "{producer} at {offset}");
        }
        assert!(aborted.holds(ProducerId(8), Offset::new(5)) && !aborted.holds(ProducerId(8), Offset::new(7)));
        assert!(!aborted.holds(ProducerId(9), Offset::new(5)));
    }
}
