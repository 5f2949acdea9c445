//! How far each partition is done.
//!
//! Records are handed out in offset order and finished in any. What may be committed is the first offset that is not
//! finished: whoever starts there skips nothing, and repeats no more than what was handed out and lies behind it.
//!
//! ```
//! use std::sync::Arc;
//! use logdir::types::{Offset, TopicPartition};
//! use logdir::workers::Progress;
//!
//! let orders = Arc::new(TopicPartition::new("orders", 0));
//! let mut progress = Progress::default();
//! progress.assign(&orders, 1, Offset::new(40));
//! let first = progress.begin(&orders, Offset::new(40))?;
//! let second = progress.begin(&orders, Offset::new(43))?;
//! progress.finish(&second);
//! assert_eq!(progress.position(&orders), Some(Offset::new(40)));
//! progress.finish(&first);
//! assert_eq!(progress.position(&orders), Some(Offset::new(44)));
//! # Ok::<(), logdir::workers::BeginError>(())
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use thiserror::Error;

use crate::types::{Offset, TopicPartition};

/// A record that was handed out, to be given back when it is finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    partition: Arc<TopicPartition>,
    assignment: u64,
    offset: Offset,
}

impl Ticket {
    /// The record's partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The record's offset.
    pub const fn offset(&self) -> Offset {
        self.offset
    }
}

/// Why a record cannot be handed out. Nothing was changed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum BeginError {
    /// The partition is not assigned.
    #[error("{partition} is not assigned")]
    NotAssigned {
        /// The partition.
        partition: TopicPartition,
    },
    /// It was handed out or passed before.
    #[error("{partition}: offset {offset} is below {next}, up to where records were handed out already")]
    Behind {
        /// The partition.
        partition: TopicPartition,
        /// The record's offset.
        offset: Offset,
        /// The lowest that can be handed out.
        next: Offset,
    },
}

/// What is handed out and finished of each partition.
///
/// Memory is that of the records from the first unfinished one on, 16 bytes each; [`Progress::span`] counts them.
#[derive(Debug, Default)]
pub struct Progress {
    partitions: BTreeMap<Arc<TopicPartition>, Tracked>,
}

#[derive(Debug)]
struct Tracked {
    assignment: u64,
    /// Everything below was handed out or passed.
    next: Offset,
    /// In offset order; the first is not finished.
    handed_out: VecDeque<HandedOut>,
    unfinished: usize,
}

#[derive(Debug)]
struct HandedOut {
    offset: Offset,
    finished: bool,
}

impl Progress {
    /// Starts a partition at `position`, the first offset that is not finished.
    ///
    /// `assignment` is a number that the partition never had before: tickets of its earlier assignments, and of the
    /// one it may have now, count for nothing from here on.
    pub fn assign(&mut self, partition: &Arc<TopicPartition>, assignment: u64, position: Offset) {
        let tracked = Tracked { assignment, next: position, handed_out: VecDeque::new(), unfinished: 0 };
        self.partitions.insert(Arc::clone(partition), tracked);
    }

    /// Hands a record out. Offsets rise; gaps, as compaction and markers leave them, are passed.
    pub fn begin(&mut self, partition: &TopicPartition, offset: Offset) -> Result<Ticket, BeginError> {
        let not_assigned = || BeginError::NotAssigned { partition: partition.clone() };
        let name = self.partitions.get_key_value(partition).map(|(name, _)| Arc::clone(name));
        let (Some(name), Some(tracked)) = (name, self.partitions.get_mut(partition)) else {
            return Err(not_assigned());
        };
        if offset < tracked.next {
            return Err(BeginError::Behind { partition: partition.clone(), offset, next: tracked.next });
        }
        tracked.next = offset.next();
        tracked.handed_out.push_back(HandedOut { offset, finished: false });
        tracked.unfinished += 1;
        Ok(Ticket { partition: name, assignment: tracked.assignment, offset })
    }

    /// Says that nothing below `next` is still to be handed out: what stands there is a marker, filtered, or gone.
    ///
    /// Without it the position stays behind the last record finished. An offset below that changes nothing.
    pub fn pass(&mut self, partition: &TopicPartition, next: Offset) {
        if let Some(tracked) = self.partitions.get_mut(partition) {
            tracked.next = tracked.next.max(next);
        }
    }

    /// Takes a record as finished; false when the ticket is of an earlier assignment, or was given back before.
    pub fn finish(&mut self, ticket: &Ticket) -> bool {
        let Some(tracked) = self.partitions.get_mut(&*ticket.partition) else { return false };
        if tracked.assignment != ticket.assignment {
            return false;
        }
        let found = tracked.handed_out.binary_search_by_key(&ticket.offset, |record| record.offset);
        let Some(record) = found.ok().and_then(|at| tracked.handed_out.get_mut(at)) else { return false };
        if std::mem::replace(&mut record.finished, true) {
            return false;
        }
        tracked.unfinished -= 1;
        while tracked.handed_out.front().is_some_and(|record| record.finished) {
            tracked.handed_out.pop_front();
        }
        true
    }

    /// The offset to commit: that of the first record not finished, or where the next one is looked for when all are.
    ///
    /// `None` when the partition is not assigned. It never falls within an assignment.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.partitions.get(partition).map(Tracked::position)
    }

    /// The offset to commit of every partition.
    pub fn positions(&self) -> impl Iterator<Item = (&TopicPartition, Offset)> {
        self.partitions.iter().map(|(name, tracked)| (&**name, tracked.position()))
    }

    /// Records handed out and not finished.
    pub fn unfinished(&self, partition: &TopicPartition) -> usize {
        self.partitions.get(partition).map_or(0, |tracked| tracked.unfinished)
    }

    /// Records handed out from the first unfinished one on, finished or not: what a crash now would repeat, once the
    /// position is committed.
    pub fn span(&self, partition: &TopicPartition) -> usize {
        self.partitions.get(partition).map_or(0, |tracked| tracked.handed_out.len())
    }

    /// Forgets a partition; returns the offset to commit. Tickets of it count for nothing from here on.
    pub fn revoke(&mut self, partition: &TopicPartition) -> Option<Offset> {
        self.partitions.remove(partition).map(|tracked| tracked.position())
    }
}

impl Tracked {
    fn position(&self) -> Offset {
        self.handed_out.front().map_or(self.next, |record| record.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn partition(number: i32) -> Arc<TopicPartition> {
        Arc::new(TopicPartition::new("t", number))
    }

    #[test]
    fn a_ticket_of_an_earlier_assignment_counts_for_nothing() {
        let one = partition(1);
        let mut progress = Progress::default();
        progress.assign(&one, 7, Offset::new(10));
        let old = progress.begin(&one, Offset::new(10)).unwrap();
        assert_eq!(progress.revoke(&one), Some(Offset::new(10)));
        assert!(!progress.finish(&old), "revoked");
        assert_eq!(progress.position(&one), None);
        progress.assign(&one, 8, Offset::new(10));
        let new = progress.begin(&one, Offset::new(10)).unwrap();
        assert!(!progress.finish(&old), "assigned again");
        assert_eq!(progress.position(&one), Some(Offset::new(10)));
        assert!(progress.finish(&new));
        assert!(!progress.finish(&new), "twice");
        assert_eq!(progress.position(&one), Some(Offset::new(11)));
    }

    #[test]
    fn offsets_rise_and_what_is_passed_is_passed() {
        let one = partition(1);
        let mut progress = Progress::default();
        let at = Offset::new;
        assert!(matches!(progress.begin(&one, at(3)), Err(BeginError::NotAssigned { .. })));
        progress.assign(&one, 1, at(3));
        progress.pass(&one, at(5));
        assert_eq!(progress.position(&one), Some(at(5)), "nothing is handed out");
        let error = progress.begin(&one, at(4)).unwrap_err();
        assert_eq!(error.to_string(), "t-1: offset 4 is below 5, up to where records were handed out already");
        let first = progress.begin(&one, at(8)).unwrap();
        progress.pass(&one, at(20));
        progress.pass(&one, at(2));
        assert_eq!(progress.position(&one), Some(at(8)), "what is behind an unfinished record");
        assert!(progress.finish(&first));
        assert_eq!(progress.position(&one), Some(at(20)));
    }

    /// One thing that is done to both.
    #[derive(Debug, Clone)]
    enum Step {
        Assign { partition: usize, at: i64 },
        Begin { partition: usize, gap: i64 },
        Pass { partition: usize, by: i64 },
        Finish { which: prop::sample::Index },
        Revoke { partition: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => (0..2usize, 0..30i64).prop_map(|(partition, at)| Step::Assign { partition, at }),
            12 => (0..2usize, -1..4i64).prop_map(|(partition, gap)| Step::Begin { partition, gap }),
            3 => (0..2usize, -2..5i64).prop_map(|(partition, by)| Step::Pass { partition, by }),
            12 => any::<prop::sample::Index>().prop_map(|which| Step::Finish { which }),
            1 => (0..2usize).prop_map(|partition| Step::Revoke { partition }),
        ]
    }

    /// Keeps every offset ever handed out.
    #[derive(Default)]
    struct Naive {
        assignment: Option<u64>,
        records: Vec<(i64, bool)>,
        next: i64,
    }

    impl Naive {
        fn position(&self) -> Option<Offset> {
            self.assignment?;
            let first = self.records.iter().find(|(_, finished)| !finished);
            Some(Offset::new(first.map_or(self.next, |(offset, _)| *offset)))
        }
    }

    proptest! {
        #[test]
        fn it_does_what_the_naive_way_does(steps in prop::collection::vec(step(), 1..200)) {
            let names = [partition(0), partition(1)];
            let mut progress = Progress::default();
            let mut naive = [Naive::default(), Naive::default()];
            let mut tickets: Vec<(usize, Ticket)> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Assign { partition, at } => {
                        progress.assign(&names[partition], number as u64, Offset::new(at));
                        naive[partition] = Naive { assignment: Some(number as u64), records: Vec::new(), next: at };
                    }
                    Step::Begin { partition, gap } => {
                        let naive = &mut naive[partition];
                        let offset = naive.next + gap;
                        let begun = progress.begin(&names[partition], Offset::new(offset));
                        prop_assert_eq!(begun.is_ok(), naive.assignment.is_some() && gap >= 0);
                        if let Ok(ticket) = begun {
                            naive.records.push((offset, false));
                            naive.next = offset + 1;
                            tickets.push((partition, ticket));
                        }
                    }
                    Step::Pass { partition, by } => {
                        let naive = &mut naive[partition];
                        progress.pass(&names[partition], Offset::new(naive.next + by));
                        naive.next = naive.next.max(naive.next + by);
                    }
                    Step::Finish { which } => {
                        if tickets.is_empty() {
                            continue;
                        }
                        let (partition, ticket) = &tickets[which.index(tickets.len())];
                        let naive = &mut naive[*partition];
                        let is_now = naive.assignment == Some(ticket.assignment);
                        let record = naive.records.iter_mut().find(|(at, _)| is_now && *at == ticket.offset.get());
                        let counts = record.is_some_and(|(_, finished)| !std::mem::replace(finished, true));
                        prop_assert_eq!(progress.finish(ticket), counts);
                    }
                    Step::Revoke { partition } => {
                        prop_assert_eq!(progress.revoke(&names[partition]), naive[partition].position());
                        naive[partition] = Naive::default();
                    }
                }
                for (name, naive) in names.iter().zip(&naive) {
                    prop_assert_eq!(progress.position(name), naive.position());
                    let unfinished = naive.records.iter().filter(|(_, finished)| !finished).count();
                    prop_assert_eq!(progress.unfinished(name), unfinished);
                    let first = naive.records.iter().position(|(_, finished)| !finished);
                    let span = first.map_or(0, |first| naive.records.len() - first);
                    prop_assert_eq!(progress.span(name), span, "memory is that of the span");
                }
            }
        }
    }
}
