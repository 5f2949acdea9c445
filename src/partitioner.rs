//! Which partition a record goes to, as Kafka's and librdkafka's producers decide it; and which partition of
//! an internal topic a group or transaction belongs to.
//!
//! Everything here is arithmetic on bytes and, for records without a key, a seeded generator: the same seed
//! gives the same partitions.

use std::fmt;

use thiserror::Error;

use crate::crc::crc32;

/// Partitions of `__consumer_offsets` and `__transaction_state` unless configured otherwise.
pub const INTERNAL_TOPIC_PARTITIONS: PartitionCount = match PartitionCount::new(50) {
    Some(count) => count,
    None => PartitionCount(1),
};

/// How many partitions a topic has: 1 to 2147483647.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartitionCount(u32);

impl PartitionCount {
    /// `None` for 0 and for what Kafka's `int` cannot hold.
    pub const fn new(count: u32) -> Option<Self> {
        if count == 0 || count > i32::MAX as u32 { None } else { Some(PartitionCount(count)) }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The partition that `hash`, of any size, falls on.
    const fn of(self, hash: u32) -> i32 {
        (hash % self.0).cast_signed()
    }
}

impl fmt::Display for PartitionCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Kafka's murmur2 with its fixed seed (`Utils.murmur2`), as the 32 bits it computes with.
pub const fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    #[expect(clippy::cast_possible_truncation, reason = "the length modulo 2^32, as Java's int")]
    let mut hash = SEED ^ bytes.len() as u32;
    let mut rest = bytes;
    while let Some((word, behind)) = rest.split_first_chunk::<4>() {
        // The one little-endian read: murmur2 was born on x86 and Kafka kept its order.
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ k >> 24).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
        rest = behind;
    }
    let tail = match *rest {
        [a] => a as u32,
        [a, b] => a as u32 | (b as u32) << 8,
        [a, b, c] => a as u32 | (b as u32) << 8 | (c as u32) << 16,
        _ => 0,
    };
    if !rest.is_empty() {
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

/// The partition of a key in the Java producer, Kafka Streams and Connect (`BuiltInPartitioner.partitionForKey`).
///
/// An empty key is a key. The sign bit of the hash is cleared, which is not the same as its absolute value.
#[inline]
pub const fn partition_for_key(key: &[u8], partitions: PartitionCount) -> i32 {
    partitions.of(murmur2(key) & 0x7fff_ffff)
}

/// The partition of a key in librdkafka's `consistent` partitioner and, unless the key is empty, in its
/// default `consistent_random`: CRC-32, taken as unsigned.
pub fn partition_for_key_crc32(key: &[u8], partitions: PartitionCount) -> i32 {
    partitions.of(crc32(key))
}

/// Java's `String.hashCode`: over UTF-16 units, so that a character above U+FFFF counts as two.
pub fn java_string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The partition of an internal topic that holds what belongs to `id`: a group in `__consumer_offsets`, a
/// transactional id in `__transaction_state` (`GroupCoordinator.partitionFor`, `TransactionStateManager.partitionFor`).
///
/// The hash's absolute value, with 0 for the one that has none (`Utils.abs`).
pub fn partition_for_id(id: &str, partitions: PartitionCount) -> i32 {
    partitions.of(java_string_hash(id).checked_abs().unwrap_or(0).cast_unsigned())
}

/// How records find their partition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Strategy {
    /// Keyed: murmur2; keyless: sticky. The Java producer's default (KIP-794).
    #[default]
    Murmur2,
    /// Keyed: CRC-32; keyless or with an empty key: at random. librdkafka's default, `consistent_random`.
    Crc32,
    /// One partition until `batch_size` bytes went there, keys ignored (`partitioner.ignore.keys`).
    Sticky,
    /// Each partition in turn, keys ignored (`RoundRobinPartitioner`).
    RoundRobin,
    /// Any partition, keys ignored (librdkafka's `random`).
    Random,
}

/// A word that names no strategy.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("unknown partitioner '{0}', expected murmur2, crc32, sticky, round-robin or random")]
pub struct UnknownStrategy(String);

impl Strategy {
    /// All of them.
    pub const ALL: [Strategy; 5] =
        [Strategy::Murmur2, Strategy::Crc32, Strategy::Sticky, Strategy::RoundRobin, Strategy::Random];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Murmur2 => "murmur2",
            Strategy::Crc32 => "crc32",
            Strategy::Sticky => "sticky",
            Strategy::RoundRobin => "round-robin",
            Strategy::Random => "random",
        }
    }

    /// The strategy with this name.
    pub fn parse(name: &str) -> Result<Self, UnknownStrategy> {
        let known = Strategy::ALL.into_iter().find(|strategy| strategy.name() == name);
        known.ok_or_else(|| UnknownStrategy(name.to_owned()))
    }

    /// The partition of `key` where the key alone decides; `None` where chance or the records before do.
    pub fn partition_of(self, key: Option<&[u8]>, partitions: PartitionCount) -> Option<i32> {
        match (self, key) {
            (Strategy::Murmur2, Some(key)) => Some(partition_for_key(key, partitions)),
            (Strategy::Crc32, Some(key)) if !key.is_empty() => Some(partition_for_key_crc32(key, partitions)),
            _ => None,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Gives the records of one topic their partitions, one after the other.
///
/// ```
/// use logdir::partitioner::{PartitionCount, Partitioner, Strategy};
///
/// let three = PartitionCount::new(3).ok_or("not zero")?;
/// let mut partitioner = Partitioner::new(Strategy::Murmur2, three, 16_384, 1);
/// assert_eq!(partitioner.partition(Some(b"customer-77"), 100), partitioner.partition(Some(b"customer-77"), 9_000));
/// // Records without a key stay together until a batch is full.
/// assert_eq!(partitioner.partition(None, 100), partitioner.partition(None, 100));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug)]
pub struct Partitioner {
    strategy: Strategy,
    partitions: PartitionCount,
    /// Where keyless records go now, and the bytes that went there.
    sticky: Option<(i32, u64)>,
    batch_size: u64,
    /// The next of round-robin.
    turn: u32,
    random: fastrand::Rng,
}

impl Partitioner {
    /// Starts with nothing sent. `batch_size` counts for sticky partitions only; `seed` decides all chance.
    pub fn new(strategy: Strategy, partitions: PartitionCount, batch_size: u64, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let turn = random.u32(0..partitions.get());
        Partitioner { strategy, partitions, sticky: None, batch_size, turn, random }
    }

    /// The strategy.
    pub const fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The partition of the next record, which takes `record_bytes` in its batch.
    ///
    /// A sticky partition is left once `batch_size` bytes went to it, as the Java producer does where
    /// no partition is slower than another; keyed records do not count (`BuiltInPartitioner`).
    #[inline]
    pub fn partition(&mut self, key: Option<&[u8]>, record_bytes: usize) -> i32 {
        match self.strategy.partition_of(key, self.partitions) {
            Some(partition) => partition,
            None => self.keyless(record_bytes),
        }
    }

    fn keyless(&mut self, record_bytes: usize) -> i32 {
        match self.strategy {
            Strategy::Murmur2 | Strategy::Sticky => {
                let (partition, sent) = match self.sticky {
                    Some((partition, sent)) if sent < self.batch_size => (partition, sent),
                    _ => (self.any(), 0),
                };
                self.sticky = Some((partition, sent.saturating_add(record_bytes as u64)));
                partition
            }
            Strategy::RoundRobin => {
                let turn = self.turn;
                self.turn = (turn + 1) % self.partitions.get();
                turn.cast_signed()
            }
            Strategy::Crc32 | Strategy::Random => self.any(),
        }
    }

    fn any(&mut self) -> i32 {
        self.random.u32(0..self.partitions.get()).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn count(n: u32) -> PartitionCount {
        PartitionCount::new(n).unwrap()
    }

    #[test]
    fn hashes_are_those_of_kafkas_own_tests() {
        // `UtilsTest.testMurmur2`.
        let cases: [(&[u8], i32); 8] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
            (&[0xff, 0xfe, 0xfd, 0xfc, 0xfb], murmur2_by_bytes(&[0xff, 0xfe, 0xfd, 0xfc, 0xfb]).cast_signed()),
        ];
        for (bytes, expected) in cases {
            assert_eq!(murmur2(bytes).cast_signed(), expected, "{bytes:?}");
        }
        assert_eq!(java_string_hash("hello"), 99_162_322);
        assert_eq!(java_string_hash("\u{1f680}"), 0xd83d * 31 + 0xde80);
        // Its hash is i32::MIN, whose absolute value does not exist.
        assert_eq!(java_string_hash("polygenelubricants"), i32::MIN);
        assert_eq!(partition_for_id("polygenelubricants", INTERNAL_TOPIC_PARTITIONS), 0);
    }

    /// The textbook's way, byte by byte.
    fn murmur2_by_bytes(bytes: &[u8]) -> u32 {
        let m = 0x5bd1_e995_u32;
        let mut hash = 0x9747_b28c ^ u32::try_from(bytes.len()).unwrap();
        let whole = bytes.len() / 4 * 4;
        for at in (0..whole).step_by(4) {
            let mut k = 0;
            for n in 0..4 {
                k |= u32::from(bytes[at + n]) << (8 * n);
            }
            k = k.wrapping_mul(m);
            k ^= k >> 24;
            hash = hash.wrapping_mul(m) ^ k.wrapping_mul(m);
        }
        for n in (whole..bytes.len()).rev() {
            hash ^= u32::from(bytes[n]) << (8 * (n - whole));
            if n == whole {
                hash = hash.wrapping_mul(m);
            }
        }
        hash ^= hash >> 13;
        hash = hash.wrapping_mul(m);
        hash ^ hash >> 15
    }

    proptest! {
        #[test]
        fn words_and_bytes_hash_alike(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            prop_assert_eq!(murmur2(&bytes), murmur2_by_bytes(&bytes));
        }

        #[test]
        fn partitions_exist(key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)), n in 1..=i32::MAX, seed: u64) {
            let partitions = count(n.cast_unsigned());
            for strategy in Strategy::ALL {
                let mut partitioner = Partitioner::new(strategy, partitions, 100, seed);
                let mut again = partitioner.clone();
                for _ in 0..5 {
                    let found = partitioner.partition(key.as_deref(), 60);
                    prop_assert!((0..n).contains(&found), "{}: {}", strategy, found);
                    prop_assert_eq!(again.partition(key.as_deref(), 60), found);
                }
            }
        }
    }

    #[test]
    fn sticky_partitions_change_after_a_batch() {
        for strategy in [Strategy::Murmur2, Strategy::Sticky] {
            let mut partitioner = Partitioner::new(strategy, count(1_000_000), 300, 7);
            let mut runs: Vec<(i32, u32)> = Vec::new();
            for _ in 0..30 {
                let partition = partitioner.partition(None, 100);
                match runs.last_mut() {
                    Some((last, run)) if *last == partition => *run += 1,
                    _ => runs.push((partition, 1)),
                }
            }
            assert_eq!(runs.iter().map(|(_, run)| *run).collect::<Vec<_>>(), [3; 10], "{strategy}");
        }
    }

    #[test]
    fn chance_is_even_and_turns_are_in_order() {
        let seven = count(7);
        let mut partitioner = Partitioner::new(Strategy::RoundRobin, seven, 1, 3);
        let first = partitioner.partition(Some(b"ignored"), 1);
        let turns: Vec<_> = (0..14).map(|_| partitioner.partition(None, 1)).collect();
        assert_eq!(turns, (1..=14).map(|n| (first + n) % 7).collect::<Vec<_>>());
        // An empty key is none to librdkafka.
        for (strategy, key) in [(Strategy::Random, None), (Strategy::Crc32, None), (Strategy::Crc32, Some(&b""[..]))] {
            let mut partitioner = Partitioner::new(strategy, seven, 1, 3);
            let mut hits = [0; 7];
            for _ in 0..7_000 {
                hits[usize::try_from(partitioner.partition(key, 1)).unwrap()] += 1;
            }
            assert!(hits.iter().all(|hits| (850..1_150).contains(hits)), "{strategy}: {hits:?}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for strategy in Strategy::ALL {
            assert_eq!(Strategy::parse(strategy.name()), Ok(strategy));
        }
        assert!(Strategy::parse("Murmur2").is_err());
        assert_eq!(PartitionCount::new(0), None);
        assert_eq!(PartitionCount::new(1 << 31), None);
    }
}
