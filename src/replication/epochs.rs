//! The leader-epoch cache: where each leader epoch begins in a log (`LeaderEpochFileCache`).

use smallvec::SmallVec;

/// Where an epoch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EpochStart {
    /// Leader epoch.
    pub epoch: u32,
    /// Offset of its first record.
    pub start: u64,
}

/// End of a leader epoch, as a leader answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EpochEnd {
    /// The epoch asked for, or the largest below it that the log has.
    pub epoch: u32,
    /// First offset that is not of this epoch or one before it.
    pub end: u64,
}

/// Epochs and where they begin, strictly increasing in both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Epochs {
    entries: SmallVec<[EpochStart; 4]>,
}

impl Epochs {
    /// Entries in their order.
    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// The last epoch.
    pub fn last(&self) -> Option<u32> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// Notes that `epoch` begins at `start`. Nothing when it is the last epoch already; entries that would not stay below the
    /// new one go (`LeaderEpochFileCache.assign`).
    pub fn assign(&mut self, epoch: u32, start: u64) {
        if self.last() == Some(epoch) {
            return;
        }
        while self.entries.last().is_some_and(|last| last.epoch >= epoch || last.start >= start) {
            self.entries.pop();
        }
        self.entries.push(EpochStart { epoch, start });
    }

    /// Forgets epochs that begin at or above `end`.
    pub fn cut(&mut self, end: u64) {
        while self.entries.last().is_some_and(|last| last.start >= end) {
            self.entries.pop();
        }
    }

    /// End of `epoch` in a log that ends at `log_end`; none when it is unknown: above all that the log has
    /// (`LeaderEpochFileCache.endOffsetFor`).
    ///
    /// With `exact`, the epoch answered is the largest one the log has up to `epoch` (KIP-279); without, it is `epoch` itself,
    /// and an epoch below the first is unknown too (KIP-101).
    pub fn end_of(&self, epoch: u32, log_end: u64, exact: bool) -> Option<EpochEnd> {
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let floor = above.checked_sub(1).and_then(|at| self.entries.get(at)).map(|entry| entry.epoch);
        match (self.entries.get(above), floor) {
            (Some(next), floor) if exact => Some(EpochEnd { epoch: floor.unwrap_or(epoch), end: next.start }),
            (Some(next), Some(_)) => Some(EpochEnd { epoch, end: next.start }),
            (None, Some(last)) if last == epoch => Some(EpochEnd { epoch, end: log_end }),
            _ => None,
        }
    }

    /// Whether the log has records of `epoch`.
    pub fn has(&self, epoch: u32) -> bool {
        self.entries.iter().any(|entry| entry.epoch == epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(u32, u64)]) -> Epochs {
        let mut epochs = Epochs::default();
        entries.iter().for_each(|&(epoch, start)| epochs.assign(epoch, start));
        epochs
    }

    #[test]
    fn the_end_of_an_epoch_is_the_start_of_the_next() {
        let cache = epochs(&[(1, 0), (3, 4), (6, 9)]);
        let end = |epoch, exact| cache.end_of(epoch, 12, exact).map(|end| (end.epoch, end.end));
        assert_eq!(end(6, true), Some((6, 12)), "the last epoch ends with the log");
        assert_eq!(end(3, true), Some((3, 9)));
        assert_eq!(end(5, true), Some((3, 9)), "the largest that the log has");
        assert_eq!(end(5, false), Some((5, 9)));
        assert_eq!(end(0, true), Some((0, 0)), "below the first");
        assert_eq!(end(0, false), None);
        assert_eq!(end(7, true), None);
        assert_eq!(Epochs::default().end_of(0, 0, true), None);
    }

    #[test]
    fn entries_stay_strictly_increasing() {
        let mut cache = epochs(&[(0, 0), (1, 5)]);
        cache.assign(2, 5);
        assert_eq!(cache, epochs(&[(0, 0), (2, 5)]), "an epoch without records gives way");
        cache.assign(2, 8);
        assert_eq!(cache.entries().len(), 2);
        cache.cut(5);
        assert_eq!(cache, epochs(&[(0, 0)]));
    }
}
