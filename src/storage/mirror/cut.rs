//! One moment over many partitions: where to end each of them, so that together they are what somebody could have seen then.
//!
//! ```text
//!  orders-0     r  r  r  |  r  r          by time: up to the first record of that moment or a later one
//!  orders-1     r [t  t  |  t] c          a transaction that is not over there: up to where it begins ...
//!  payments-0   r  r [t] c  r  |  r       ... in every partition it wrote to
//!  groups       c  c  c  |                nobody has committed what the others do not have
//! ```
//!
//! Each step only lowers an end, and they are repeated until none does: the result is the latest such moment that the rules
//! lead to, and a beginning of every log, so that a later run can go on from it.

use std::collections::{BTreeMap, BTreeSet};

use super::standing::BATCH_BYTES_MAX;
use crate::batch::compression::MAX_BATCH_BYTES;
use crate::batch::scan::Depth;
use crate::schema::coordinator::group::{CommittedOffset, ids};
use crate::schema::coordinator::{self as records, CoordinatorTopic, CoordinatorValue};
use crate::storage::coordinator::{self, Event};
use crate::storage::fs::StorageError;
use crate::storage::partition::Partition;
use crate::storage::reader::{LogReader, ReadStep};
use crate::storage::remarks::Remarks;
use crate::storage::transactions::Transactions;
use crate::types::{Offset, ProducerId, TimestampMs, TopicPartition};

/// How far before the moment transactions are looked for at first: `transaction.max.timeout.ms`, and time for the markers.
const WINDOW_MS: TimestampMs = 20 * 60_000;
/// Markers of one transaction are this close to each other, by the clocks of several brokers.
const SKEW_MS: TimestampMs = 60_000;

/// Where one partition ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The first offset that is not part of it.
    pub offset: Offset,
    /// The same by time alone.
    pub by_time: Offset,
    /// Why it is lower.
    pub why: Option<Why>,
}

/// Why a partition ends before the moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// A transaction was not over, here or in another partition.
    #[error("the transaction of producer {0} was not over in all partitions")]
    Transaction(ProducerId),
    /// A group had committed more than is there.
    #[error("group '{group}' had committed offset {committed} of {partition}, which ends at {end}")]
    Group {
        /// The group.
        group: String,
        /// What it reads.
        partition: TopicPartition,
        /// Where it stands.
        committed: Offset,
        /// Where that partition ends.
        end: Offset,
    },
}

/// What one transaction wrote to one partition.
#[derive(Debug, Clone, Copy)]
struct Part {
    partition: usize,
    producer: ProducerId,
    epoch: i16,
    first: Offset,
    /// Where and when it was ended; `None` while it is open.
    marker: Option<(Offset, TimestampMs)>,
}

/// Where each of `partitions` ends at `at_ms`, in their order. Reads only.
pub fn cut(partitions: &[Partition], at_ms: TimestampMs) -> Result<Vec<End>, StorageError> {
    let (mut by_time, mut log_ends) = (Vec::new(), Vec::new());
    for partition in partitions {
        let log_end = partition.log_end()?;
        let found = partition.find_timestamp(at_ms, partition.log_start(), MAX_BATCH_BYTES)?;
        by_time.push(found.map_or(log_end, |(offset, _)| offset));
        log_ends.push(log_end);
    }
    let mut since_ms = at_ms.saturating_sub(WINDOW_MS);
    loop {
        let mut parts = Vec::new();
        for (number, partition) in partitions.iter().enumerate() {
            parts.extend(parts_since(number, partition, since_ms, by_time[number])?);
        }
        let mut transactions = whole_transactions(parts.clone());
        // Ends only get lower than these: what lies behind all of them is cut in no case.
        transactions.retain(|parts| parts.iter().any(|part| part.first < by_time[part.partition]));
        let ends = lower(partitions, &by_time, &log_ends, transactions)?;
        // What is left out here may have parts elsewhere that were written before what was looked at: records may bear any time,
        // and the ends that come of it lie anywhere. Markers bear the time of their broker.
        let left_out = parts.iter().filter_map(|part| part.marker.filter(|(at, _)| *at >= ends[part.partition].offset));
        let earliest = left_out.map(|(_, time)| time.saturating_sub(SKEW_MS)).min();
        match earliest.filter(|earliest| *earliest < since_ms) {
            Some(earliest) => since_ms = earliest,
            None => return Ok(ends),
        }
    }
}

/// Lowers the ends that time alone gives until nothing is cut in two.
fn lower(
    partitions: &[Partition],
    by_time: &[Offset],
    log_ends: &[Offset],
    transactions: Vec<Vec<Part>>,
) -> Result<Vec<End>, StorageError> {
    let mut ends: Vec<End> =
        by_time.iter().map(|by_time| End { offset: *by_time, by_time: *by_time, why: None }).collect();
    let mut of_logs: Vec<Transactions<'_>> = partitions.iter().map(Transactions::new).collect();
    loop {
        let mut is_lower = false;
        for (end, of_log) in ends.iter_mut().zip(&mut of_logs) {
            is_lower |= end_before_open(end, of_log)?;
        }
        for transaction in &transactions {
            is_lower |= all_or_nothing(transaction, &mut ends);
        }
        if is_lower {
            continue;
        }
        let known: BTreeMap<&TopicPartition, (Offset, Offset)> = partitions
            .iter()
            .zip(ends.iter().zip(log_ends))
            .map(|(partition, (end, log_end))| (partition.topic_partition(), (end.offset, *log_end)))
            .collect();
        let mut lowered = Vec::new();
        for (number, partition) in partitions.iter().enumerate() {
            if partition.topic_partition().topic == CoordinatorTopic::Group.topic() {
                lowered.extend(end_of_groups(partition, ends[number].offset, &known)?.map(|it| (number, it)));
            }
        }
        if lowered.is_empty() {
            return Ok(ends);
        }
        for (number, (offset, why)) in lowered {
            (ends[number].offset, ends[number].why) = (offset, Some(why));
        }
    }
}

/// No transaction that is open where it ends begins before.
fn end_before_open(end: &mut End, transactions: &mut Transactions<'_>) -> Result<bool, StorageError> {
    let before = end.offset;
    loop {
        let open = transactions.open_at(end.offset, u64::MAX)?.unwrap_or_default();
        let earliest = open.iter().min_by_key(|(_, first)| **first).filter(|(_, first)| **first < end.offset);
        let Some((producer, first)) = earliest else { return Ok(end.offset < before) };
        (end.offset, end.why) = (*first, Some(Why::Transaction(*producer)));
    }
}

/// A transaction of which one part lies beyond an end has no part.
fn all_or_nothing(transaction: &[Part], ends: &mut [End]) -> bool {
    let is_in = |part: &Part| part.marker.is_some_and(|(offset, _)| offset < ends[part.partition].offset);
    if transaction.iter().all(is_in) {
        return false;
    }
    let mut is_lower = false;
    for part in transaction {
        let end = &mut ends[part.partition];
        if part.first < end.offset {
            (end.offset, end.why) = (part.first, Some(Why::Transaction(part.producer)));
            is_lower = true;
        }
    }
    is_lower
}

/// Parts that belong together. A producer has one transaction at a time, and with KIP-890 each has an epoch of its own; where it has not,
/// markers in the order of their time are one transaction until a partition comes a second time: then too much may be taken
/// for one, never too little.
fn whole_transactions(mut parts: Vec<Part>) -> Vec<Vec<Part>> {
    let time = |part: &Part| part.marker.map_or(TimestampMs::MAX, |(_, time)| time);
    parts.sort_by_key(|part| (part.producer, part.epoch, time(part), part.first));
    let mut transactions: Vec<Vec<Part>> = Vec::new();
    let mut seen = BTreeSet::new();
    for part in parts {
        let goes_on = transactions.last().and_then(|last| last.last()).is_some_and(|last| {
            (last.producer, last.epoch) == (part.producer, part.epoch) && !seen.contains(&part.partition)
        });
        if !goes_on {
            seen.clear();
        }
        seen.insert(part.partition);
        match transactions.last_mut().filter(|_| goes_on) {
            Some(last) => last.push(part),
            None => transactions.push(vec![part]),
        }
    }
    transactions.retain(|transaction| transaction.len() > 1);
    transactions
}

/// What transactions wrote to a partition that were committed since `since_ms`, or are open; and all those at or behind
/// `by_time`.
fn parts_since(
    number: usize,
    partition: &Partition,
    since_ms: TimestampMs,
    by_time: Offset,
) -> Result<Vec<Part>, StorageError> {
    let found = partition.find_timestamp(since_ms, partition.log_start(), MAX_BATCH_BYTES)?;
    let start = found.map_or(by_time, |(offset, _)| offset.min(by_time));
    let mut open = BTreeMap::<ProducerId, Part>::new();
    for (producer, first) in Transactions::new(partition).open_at(start, u64::MAX)?.unwrap_or_default() {
        let epoch = epoch_at(partition, first)?;
        open.insert(producer, Part { partition: number, producer, epoch, first, marker: None });
    }
    let mut reader = LogReader::new(partition, Depth::Headers, BATCH_BYTES_MAX);
    reader.seek(start)?;
    let mut parts = Vec::new();
    loop {
        let frame = match reader.next()? {
            ReadStep::Entry { entry, .. } => entry.frame,
            ReadStep::Damage { .. } | ReadStep::Gone { .. } => continue,
            ReadStep::End { .. } => break,
        };
        if !frame.is_transactional() || frame.last_offset() < start {
            continue;
        }
        let producer = frame.producer_id();
        if !frame.is_control() {
            let first = frame.base_offset().unwrap_or(frame.last_offset());
            let epoch = frame.producer_epoch();
            open.entry(producer).or_insert(Part { partition: number, producer, epoch, first, marker: None });
            continue;
        }
        if let Some(part) = open.remove(&producer) {
            let marker = Some((frame.last_offset(), frame.max_timestamp_ms()));
            parts.push(Part { marker, ..part });
        }
    }
    parts.extend(open.into_values());
    Ok(parts)
}

/// The producer's epoch in the batch that begins at `first`.
fn epoch_at(partition: &Partition, first: Offset) -> Result<i16, StorageError> {
    let mut reader = LogReader::new(partition, Depth::Headers, BATCH_BYTES_MAX);
    reader.seek(first)?;
    loop {
        match reader.next()? {
            ReadStep::Entry { entry, .. } if entry.frame.last_offset() >= first => {
                return Ok(entry.frame.producer_epoch());
            }
            ReadStep::End { .. } => return Ok(-1),
            _ => {}
        }
    }
}

/// The longest beginning of a partition of `__consumer_offsets`, up to `end`, in which no group has committed more of a
/// partition than `known` says there is; `None` where that is all of it.
///
/// A group that is ahead of the source itself (whose log was truncated, or whose topic was made again) holds nobody up.
fn end_of_groups(
    partition: &Partition,
    end: Offset,
    known: &BTreeMap<&TopicPartition, (Offset, Offset)>,
) -> Result<Option<(Offset, Why)>, StorageError> {
    let mut ahead: BTreeMap<(String, TopicPartition), Offset> = BTreeMap::new();
    let mut pending: BTreeMap<ProducerId, Vec<(String, TopicPartition, Option<Offset>)>> = BTreeMap::new();
    let (mut whole_until, mut why, mut at) = (end, None, Offset::ZERO);
    let mut settle = |at: Offset, group: String, of: TopicPartition, committed: Option<Offset>| {
        let is_ahead = committed.zip(known.get(&of)).is_some_and(|(it, (cut, log_end))| it > *cut && it <= *log_end);
        let was_level = ahead.is_empty();
        match committed.filter(|_| is_ahead) {
            Some(committed) => {
                if was_level {
                    let end = known.get(&of).map_or(Offset::ZERO, |(cut, _)| *cut);
                    (whole_until, why) =
                        (at, Some(Why::Group { group: group.clone(), partition: of.clone(), committed, end }));
                }
                ahead.insert((group, of), committed);
            }
            None => {
                ahead.remove(&(group, of));
                if !was_level && ahead.is_empty() {
                    (whole_until, why) = (end, None);
                }
            }
        }
    };
    coordinator::replay(partition, Offset::ZERO, &mut Remarks::default(), &mut |event| match event {
        Event::Record { record, transaction } if record.offset < end => {
            at = record.offset;
            let Some((group, of, committed)) = record.key.and_then(|key| commit_of(key, record.value)) else { return };
            match transaction {
                Some(producer) => pending.entry(producer).or_default().push((group, of, committed)),
                None => settle(at, group, of, committed),
            }
        }
        Event::Record { .. } => {}
        Event::End { producer, is_commit } => {
            for (group, of, committed) in pending.remove(&producer).unwrap_or_default() {
                if is_commit {
                    settle(at, group, of, committed);
                }
            }
        }
    })?;
    Ok(why.map(|why| (whole_until, why)))
}

fn commit_of(key: &[u8], value: Option<&[u8]>) -> Option<(String, TopicPartition, Option<Offset>)> {
    let record = records::decode(CoordinatorTopic::Group, key, value).ok()?;
    if record.kind.id != ids::OFFSET_COMMIT {
        return None;
    }
    let (group, partition) = CommittedOffset::key_of(&record.key);
    let committed = match &record.value {
        CoordinatorValue::Known(fields) => Some(CommittedOffset::of(fields).offset),
        CoordinatorValue::Tombstone | CoordinatorValue::Unknown { .. } => None,
    };
    Some((group, partition, committed))
}
