//! Sets of brokers of one partition.

use std::fmt;

/// Index of a broker among the partition's replicas, in the order of their assignment: b0, b1, ...
pub type Broker = u8;

/// A set of brokers, at most sixteen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrokerSet(pub u16);

impl BrokerSet {
    /// No broker.
    pub const NONE: BrokerSet = BrokerSet(0);

    /// The first `count` brokers.
    pub const fn first(count: u8) -> BrokerSet {
        BrokerSet(if count < 16 { (1 << count) - 1 } else { u16::MAX })
    }

    /// One broker.
    pub const fn only(broker: Broker) -> BrokerSet {
        BrokerSet(1 << broker)
    }

    /// Whether `broker` is in it.
    pub const fn has(self, broker: Broker) -> bool {
        self.0 >> broker & 1 == 1
    }

    /// With `broker`.
    #[must_use]
    pub const fn with(self, broker: Broker) -> BrokerSet {
        BrokerSet(self.0 | 1 << broker)
    }

    /// Without `broker`.
    #[must_use]
    pub const fn without(self, broker: Broker) -> BrokerSet {
        BrokerSet(self.0 & !(1 << broker))
    }

    /// Brokers of either.
    #[must_use]
    pub const fn or(self, other: BrokerSet) -> BrokerSet {
        BrokerSet(self.0 | other.0)
    }

    /// Brokers of this set that are not in `other`.
    #[must_use]
    pub const fn minus(self, other: BrokerSet) -> BrokerSet {
        BrokerSet(self.0 & !other.0)
    }

    /// Brokers of both.
    #[must_use]
    pub const fn and(self, other: BrokerSet) -> BrokerSet {
        BrokerSet(self.0 & other.0)
    }

    /// How many.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every broker of this set is in `other`.
    pub const fn is_within(self, other: BrokerSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// Brokers in the order of their index.
    pub fn iter(self) -> impl Iterator<Item = Broker> {
        (0..16).filter(move |&broker| self.has(broker))
    }
}

impl FromIterator<Broker> for BrokerSet {
    fn from_iter<I: IntoIterator<Item = Broker>>(brokers: I) -> Self {
        brokers.into_iter().fold(BrokerSet::NONE, BrokerSet::with)
    }
}

impl fmt::Display for BrokerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, broker) in self.iter().enumerate() {
            write!(f, "{}b{broker}", if at > 0 { "," } else { "" })?;
        }
        f.write_str("}")
    }
}
