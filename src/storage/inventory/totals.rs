//! Sums of partitions: by topic, by log directory, by broker, and of all.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{Content, Magics};
use super::partition::PartitionFacts;
use super::usage::Usage;
use crate::storage::names::DirKind;
use crate::types::{TimestampMs, TopicPartition};

/// What partitions are summed up by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TotalsKey {
    /// A topic, whoever holds it.
    Topic(String),
    /// A log directory, by its number.
    LogDir(usize),
    /// A broker, by its number.
    Broker(usize),
    /// All of them.
    All,
}

/// Partition directories of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds([u64; 4]);

impl Kinds {
    /// All kinds, in the order they are told.
    pub const ALL: [DirKind; 4] = [DirKind::Live, DirKind::Future, DirKind::Delete, DirKind::Stray];

    /// How many of this kind there are.
    pub fn of(&self, kind: DirKind) -> u64 {
        Kinds::ALL.iter().position(|one| *one == kind).and_then(|at| self.0.get(at)).copied().unwrap_or(0)
    }

    fn add(&mut self, kind: DirKind) {
        let at = Kinds::ALL.iter().position(|one| *one == kind);
        if let Some(count) = at.and_then(|at| self.0.get_mut(at)) {
            *count += 1;
        }
    }
}

/// Sums.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Partition directories.
    pub kinds: Kinds,
    /// Segments in them.
    pub segments: u64,
    /// Bytes of their logs.
    pub log_bytes: u64,
    /// Bytes of all their files.
    pub usage: Usage,
    /// Offsets between log start and log end: at least as many as there are records.
    pub offsets: u64,
    /// Open transactions; `None` where those of a partition are not known.
    pub open_transactions: Option<u64>,
    /// The earliest timestamp of a first batch.
    pub oldest_ms: Option<TimestampMs>,
    /// The largest timestamp.
    pub newest_ms: Option<TimestampMs>,
    /// The last write.
    pub last_write_ms: Option<TimestampMs>,
    /// Formats of batches.
    pub magics: Magics,
    /// What the batches hold; `None` where they were not read.
    pub content: Option<Content>,
    partitions: BTreeSet<TopicPartition>,
}

impl Totals {
    /// Different partitions; of one that several brokers hold, one.
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// Partition directories of every kind.
    pub fn directories(&self) -> u64 {
        Kinds::ALL.into_iter().map(|kind| self.kinds.of(kind)).sum()
    }

    /// Takes one more partition directory.
    pub fn add(&mut self, facts: &PartitionFacts) {
        let is_first = self.directories() == 0;
        self.kinds.add(facts.name.kind);
        self.segments += facts.segments as u64;
        self.log_bytes += facts.log_bytes;
        self.usage.merge(&facts.usage);
        self.offsets += u64::try_from(facts.log_end.get().saturating_sub(facts.log_start.get())).unwrap_or(0);
        let open = facts.open_transactions.map(|open| open.count as u64);
        self.open_transactions =
            if is_first { open } else { self.open_transactions.zip(open).map(|(sum, more)| sum + more) };
        self.oldest_ms = [self.oldest_ms, facts.oldest_ms].into_iter().flatten().min();
        self.newest_ms = self.newest_ms.max(facts.newest_ms);
        self.last_write_ms = self.last_write_ms.max(facts.last_write_ms);
        self.magics.merge(facts.magics);
        if let Some(content) = &facts.content {
            self.content.get_or_insert_default().merge(content);
        }
        // Of a deleted or stray directory the name may be cut; it is no partition in use anyway.
        if matches!(facts.name.kind, DirKind::Live | DirKind::Future) {
            self.partitions.insert(facts.name.topic_partition.clone());
        }
    }
}

/// Sums `partitions` by the keys that `key` gives them.
pub fn by<'p>(
    partitions: impl IntoIterator<Item = &'p PartitionFacts>,
    key: impl Fn(&PartitionFacts) -> TotalsKey,
) -> BTreeMap<TotalsKey, Totals> {
    let mut sums: BTreeMap<TotalsKey, Totals> = BTreeMap::new();
    for facts in partitions {
        sums.entry(key(facts)).or_default().add(facts);
    }
    sums
}
