//! A partition that the member owns, and how far it is.

use std::sync::Arc;

use super::super::Stamp;
use crate::cli::range::{Bound, OffsetRange};
use crate::schema::coordinator::group::CommittedOffset;
use crate::storage::partition::Partition;
use crate::storage::writer::log::now_ms;
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// A partition that is read.
pub struct Owned {
    /// Which one.
    pub name: Arc<TopicPartition>,
    /// Its log.
    pub partition: Partition,
    /// What is to be read of it next.
    pub range: OffsetRange,
    /// What it looked like when it was last read.
    pub stamp: Option<Stamp>,
    /// There is nothing to read at present.
    pub is_at_end: bool,
    /// It cannot be read on.
    pub is_stopped: bool,
    /// The workers know where it starts.
    pub is_assigned: bool,
    /// Where to read on, once that is known.
    next: Option<Offset>,
    /// Up to where records have reached their reader.
    delivered: Option<Offset>,
    committed: Option<Offset>,
    leader_epoch: Option<LeaderEpoch>,
}

impl Owned {
    /// Read from `range`; `committed` is what its group has committed.
    pub fn new(partition: Partition, range: OffsetRange, committed: Option<Offset>) -> Owned {
        Owned {
            name: Arc::new(partition.topic_partition().clone()),
            partition,
            range,
            stamp: None,
            is_at_end: false,
            is_stopped: false,
            is_assigned: false,
            next: committed,
            delivered: committed,
            committed,
            leader_epoch: None,
        }
    }

    /// Whether anything was read of it.
    pub const fn is_started(&self) -> bool {
        self.stamp.is_some()
    }

    /// Whether its files have changed since it was read.
    pub fn has_changed(&self) -> bool {
        let Some(stamp) = &self.stamp else { return true };
        stamp.is_fresh || *stamp != Stamp::of(&self.partition)
    }

    /// The first read starts at `offset`: that is a position too.
    pub fn start_at(&mut self, offset: Offset) {
        if self.next.is_none() {
            self.pass(offset);
            self.deliver();
        }
    }

    /// Where to read on.
    pub const fn next(&self) -> Option<Offset> {
        self.next
    }

    /// Everything below `position` is processed, though not all that was read may be.
    pub fn deliver_to(&mut self, position: Offset) {
        self.delivered = Some(position);
        // The epoch is that of a record behind it.
        self.leader_epoch = None;
    }

    /// A record was read, and `next` comes behind it.
    pub fn read(&mut self, next: Offset, leader_epoch: LeaderEpoch) {
        self.pass(next);
        self.leader_epoch = Some(leader_epoch).filter(|epoch| *epoch != LeaderEpoch::NONE);
    }

    /// Everything below `next` is read, or nobody wants it.
    pub fn pass(&mut self, next: Offset) {
        self.next = self.next.max(Some(next));
        self.range.start = Bound::At(self.next.unwrap_or(next));
    }

    /// What was read has reached its reader.
    pub fn deliver(&mut self) {
        self.delivered = self.next;
    }

    /// Whether more was delivered than is committed.
    pub fn is_dirty(&self) -> bool {
        self.delivered != self.committed
    }

    /// What to commit: up to where records were delivered.
    pub fn to_commit(&self, metadata: &str) -> CommittedOffset {
        CommittedOffset {
            offset: self.delivered.unwrap_or(Offset::ZERO),
            leader_epoch: self.leader_epoch,
            metadata: metadata.to_owned(),
            commit_ms: now_ms(),
            expire_ms: None,
            topic_id: None,
        }
    }

    /// What was delivered is committed.
    pub fn note_committed(&mut self) {
        self.committed = self.delivered;
    }
}
