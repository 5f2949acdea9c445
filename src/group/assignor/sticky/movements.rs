//! Which partitions a rebalance has moved from whom to whom (`AbstractStickyAssignor.PartitionMovements`).

use std::collections::HashMap;

use crate::java_map::JavaSet;

/// A partition with what a movement needs to know of it.
#[derive(Clone, Copy)]
pub(super) struct Moved {
    pub(super) partition: usize,
    /// Its topic's number.
    pub(super) topic: usize,
    /// `TopicPartition.hashCode`.
    pub(super) hash: i32,
}

/// From whom to whom.
type Pair = (usize, usize);

/// Moves so far; a partition that moved twice counts as moved once, from its first owner to its last.
#[derive(Default)]
pub(super) struct Movements {
    of_partition: HashMap<usize, Pair>,
    /// By topic and pair.
    between: HashMap<(usize, Pair), JavaSet<usize>>,
}

impl Movements {
    /// The partition that moves instead of this one: the first that the same rebalance has moved the other way, so
    /// that it goes home. Which is first depends on Java's hash set.
    pub(super) fn instead_of(&self, moved: Moved, from: usize, to: usize) -> usize {
        let from = self.of_partition.get(&moved.partition).map_or(from, |(home, _)| *home);
        let back = self.between.get(&(moved.topic, (to, from)));
        back.and_then(JavaSet::first).copied().unwrap_or(moved.partition)
    }

    /// Takes note of a move.
    pub(super) fn note(&mut self, moved: Moved, from: usize, to: usize) {
        let from = match self.of_partition.remove(&moved.partition) {
            None => from,
            Some(pair) => {
                let key = (moved.topic, pair);
                if let Some(set) = self.between.get_mut(&key) {
                    set.remove(&moved.partition);
                    if set.is_empty() {
                        self.between.remove(&key);
                    }
                }
                pair.0
            }
        };
        if from != to {
            self.of_partition.insert(moved.partition, (from, to));
            let set = self.between.entry((moved.topic, (from, to))).or_insert_with(JavaSet::new);
            set.insert(moved.hash, moved.partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_moved_the_other_way_goes_home_instead() {
        let moved = |partition: usize| Moved { partition, topic: 0, hash: i32::try_from(partition).unwrap() };
        let mut movements = Movements::default();
        assert_eq!(movements.instead_of(moved(1), 5, 6), 1, "nothing has moved");
        movements.note(moved(3), 6, 5);
        movements.note(moved(2), 6, 5);
        assert_eq!(movements.instead_of(moved(1), 5, 6), 2, "the first by hash of those that came from 6");
        assert_eq!(movements.instead_of(Moved { topic: 1, ..moved(1) }, 5, 6), 1, "only of the same topic");
        movements.note(moved(2), 5, 6);
        assert_eq!(movements.instead_of(moved(1), 5, 6), 3, "2 is at home");
        movements.note(moved(3), 5, 7);
        assert_eq!(movements.instead_of(moved(1), 5, 6), 1);
        assert_eq!(movements.instead_of(moved(1), 7, 6), 3, "moved twice: from 6 to 7");
        movements.note(moved(4), 9, 7);
        assert_eq!(movements.instead_of(moved(4), 7, 6), 4, "its own first owner counts, not the present one");
    }
}
