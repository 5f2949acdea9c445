//! A set of brokers.

/// Brokers by number, below 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Brokers(u16);

impl Brokers {
    pub(super) const NONE: Brokers = Brokers(0);

    /// The first so many.
    pub(super) const fn first(count: usize) -> Brokers {
        Brokers((1 << count) - 1)
    }

    pub(super) const fn one(broker: usize) -> Brokers {
        Brokers(1 << broker)
    }

    pub(super) const fn has(self, broker: usize) -> bool {
        self.0 & (1 << broker) != 0
    }

    pub(super) const fn with(self, broker: usize) -> Brokers {
        Brokers(self.0 | (1 << broker))
    }

    pub(super) const fn without(self, broker: usize) -> Brokers {
        Brokers(self.0 & !(1 << broker))
    }

    pub(super) const fn and(self, other: Brokers) -> Brokers {
        Brokers(self.0 & other.0)
    }

    pub(super) const fn or(self, other: Brokers) -> Brokers {
        Brokers(self.0 | other.0)
    }

    pub(super) const fn except(self, other: Brokers) -> Brokers {
        Brokers(self.0 & !other.0)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The lowest number: replicas are numbered in the order of the assignment.
    pub(super) const fn lowest(self) -> Option<usize> {
        if self.is_empty() { None } else { Some(self.0.trailing_zeros() as usize) }
    }
}
