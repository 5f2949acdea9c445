//! What is to be done for one partition, found by reading only.

use std::path::Path;

use super::standing::{compare, epochs, topic_id};
use super::whole::bytes_held;
use super::{Finding, OnGap};
use crate::storage::fs::StorageError;
use crate::storage::leader_epochs::{EpochEntry, LeaderEpochs};
use crate::storage::partition::Partition;
use crate::types::{Offset, TopicPartition, Uuid};

/// Which offsets of a source are wanted; ends that are not given are those of its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wish {
    /// The first one.
    pub start: Option<Offset>,
    /// The first one that is not wanted. Batches that reach beyond it stay away whole.
    pub end: Option<Offset>,
    /// Offsets may be missing in the middle: the topic is compacted (`cleanup.policy`).
    pub is_compacted: bool,
}

/// What is to be done for one partition.
#[derive(Debug)]
pub struct Plan {
    /// What is copied.
    pub source: Partition,
    /// The topic's id; [`Uuid::ZERO`] where the source has none.
    pub topic_id: Uuid,
    /// There is a copy already.
    pub has_copy: bool,
    /// There is no copy, or one that never held a record: it begins where the source does.
    pub begins: bool,
    /// Where the copy goes on, or begins.
    pub from: Offset,
    /// Where it is to end, exclusive.
    pub to: Offset,
    /// Bytes of the source's log from `from` to `to`, as far as indexes tell.
    pub bytes: u64,
    /// What keeps it from going on; with [`OnGap::Keep`] it goes on behind it where that is possible.
    pub finding: Option<Finding>,
    /// Where the source's log ends.
    pub source_end: Offset,
    /// Offsets may be missing in the middle.
    pub may_have_holes: bool,
    /// The copy has all records, and a run that was killed did not come to writing down what else is known of them.
    pub is_unfinished: bool,
}

impl Plan {
    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        self.source.topic_partition()
    }

    /// Bytes that have to be free in `log_dir` for the copy: without those that a run which was killed has brought there.
    pub fn bytes_needed(&self, log_dir: &Path) -> u64 {
        let held = if self.has_copy { 0 } else { bytes_held(self, log_dir) };
        self.bytes.saturating_sub(held)
    }

    /// Whether nothing is to be done, and nothing is in the way.
    pub fn is_level(&self) -> bool {
        self.finding.is_none() && self.has_copy && self.from >= self.to && !self.is_unfinished
    }

    /// Whether something is to be written.
    pub fn has_work(&self, on_gap: OnGap) -> bool {
        let passes = self.finding.as_ref().is_none_or(|finding| on_gap == OnGap::Keep && finding.can_be_passed());
        passes && (!self.has_copy || self.from < self.to || self.is_unfinished)
    }
}

/// Compares `source` with its copy, where there is one. Reads only.
pub fn plan(source: Partition, copy: Option<&Partition>, wish: Wish) -> Result<Plan, StorageError> {
    let tail = source.tail()?;
    let source_end = tail.log_end;
    let may_have_holes = wish.is_compacted || source.checkpoints().cleaner.is_some();
    let mut from = wish.start.unwrap_or(Offset::ZERO).max(source.log_start());
    let to = wish.end.unwrap_or(source_end).min(source_end);
    let (mut finding, mut is_unfinished, mut begins) = (None, false, true);
    if let Some(copy) = copy {
        let copy_end = copy.log_end()?;
        finding = compare(&source, source_end, copy, copy_end, may_have_holes)?;
        begins = copy_end <= Offset::ZERO;
        if !begins && finding.is_none() && from > copy_end {
            finding = Some(Finding::Gap { from: copy_end, to: from });
        }
        let passed = matches!(finding, Some(Finding::Gap { .. })) || begins;
        from = if passed { from.max(copy_end) } else { copy_end };
        if finding.is_none() && copy_end == source_end {
            is_unfinished = !is_described(&source, copy, copy_end)?;
            // Nothing sound stands behind it, or there would be something to copy.
            finding = tail.damage.map(|damage| Finding::Damage {
                log: source.segments().last().map(|segment| segment.log.clone()).unwrap_or_default(),
                position: damage.position,
                reason: damage.reason.to_string(),
                from: copy_end,
            });
        }
    }
    let to = to.max(from);
    let topic_id = topic_id(source.dir())?.unwrap_or(Uuid::ZERO);
    let mut plan = Plan {
        topic_id,
        has_copy: copy.is_some(),
        begins,
        from,
        to,
        bytes: 0,
        finding,
        source_end,
        may_have_holes,
        is_unfinished,
        source,
    };
    plan.bytes = bytes_between(&plan.source, from, to, source_end);
    Ok(plan)
}

/// Whether what checkpoints and leader epochs say of a source holds for its copy, which has all of its records.
fn is_described(source: &Partition, copy: &Partition, end: Offset) -> Result<bool, StorageError> {
    let told = |partition: &Partition| (partition.high_watermark(end), partition.checkpoints().cleaner);
    let ((high_watermark, cleaner), of_copy) = (told(source), told(copy));
    let is_same = high_watermark.is_none_or(|_| high_watermark == of_copy.0)
        && cleaner.is_none_or(|cleaner| of_copy.1 == Some(cleaner.min(end)));
    let of_copy = epochs(copy.dir())?;
    Ok(is_same && joined(&of_copy, &epochs(source.dir())?) == of_copy)
}

/// The leader epochs of a source, and in front of them those of offsets that only its copy still has.
pub(super) fn joined(copy: &LeaderEpochs, source: &LeaderEpochs) -> LeaderEpochs {
    let Some(first) = source.entries().first() else { return copy.clone() };
    let older = |entry: &EpochEntry| entry.start < first.start && entry.epoch <= first.epoch;
    let mut entries: Vec<EpochEntry> = copy.entries().iter().copied().filter(older).collect();
    let is_same = entries.last().is_some_and(|last| last.epoch == first.epoch);
    entries.extend(source.entries().iter().skip(usize::from(is_same)));
    LeaderEpochs::from_entries(&entries).unwrap_or_else(|_| source.clone())
}

fn bytes_between(source: &Partition, from: Offset, to: Offset, source_end: Offset) -> u64 {
    if from >= to {
        return 0;
    }
    let behind = if to >= source_end { 0 } else { source.bytes_from(to) };
    source.bytes_from(from).saturating_sub(behind)
}
