//! The order in which Java's hash maps and sets give what was put into them.
//!
//! Some of Kafka's decisions walk over a `java.util.HashMap`: whoever wants to decide alike must walk in its order.
//! Keys come bucket by bucket, those of one bucket in the order in which they were put; the number of buckets
//! doubles when more than three quarters as many keys are in, and never shrinks.
//!
//! One thing is left out: with eight keys in one bucket Java makes a tree of them and may put another one first.
//! Hashes of real names and ids do not do that; only names made for it would.

use crate::partitioner::java_string_hash;

const BUCKETS_AT_FIRST: usize = 16;

/// The places of keys with these hashes, put in this order into a new map, in the order in which the map gives them.
pub(crate) fn order_of_puts(hashes: &[i32]) -> Vec<usize> {
    by_bucket(hashes, buckets_for_puts(hashes.len()))
}

/// The same for a map that was filled by `computeIfAbsent`, which puts a key before those of its bucket.
pub(crate) fn order_of_computes(hashes: &[i32]) -> Vec<usize> {
    let latest_first: Vec<i32> = hashes.iter().rev().copied().collect();
    let order = order_of_puts(&latest_first);
    order.into_iter().map(|place| hashes.len() - 1 - place).collect()
}

/// The same for a set that was made as the copy of a collection (`new HashSet<>(collection)`).
pub(crate) fn order_of_copy(hashes: &[i32]) -> Vec<usize> {
    // `Math.max((int) (size / .75f) + 1, 16)`, then the next power of two.
    by_bucket(hashes, (hashes.len() * 4 / 3 + 1).max(BUCKETS_AT_FIRST).next_power_of_two())
}

fn buckets_for_puts(keys: usize) -> usize {
    let mut buckets = BUCKETS_AT_FIRST;
    while keys > buckets / 4 * 3 {
        buckets *= 2;
    }
    buckets
}

fn by_bucket(hashes: &[i32], buckets: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    order.sort_by_key(|place| bucket(hashes[*place], buckets));
    order
}

/// `HashMap.hash`: the upper half of the hash takes part in the choice of a bucket.
const fn bucket(hash: i32, buckets: usize) -> usize {
    let hash = hash.cast_unsigned();
    (hash ^ hash >> 16) as usize & (buckets - 1)
}

/// `TopicPartition.hashCode`.
pub(crate) fn partition_hash(topic: &str, partition: i32) -> i32 {
    31i32.wrapping_add(partition).wrapping_mul(31).wrapping_add(java_string_hash(topic))
}

/// A `java.util.HashSet` that can say which element it gives first.
#[derive(Debug)]
pub(crate) struct JavaSet<T> {
    /// With their hashes, in the order in which they were put.
    elements: Vec<(i32, T)>,
    buckets: usize,
}

impl<T: PartialEq> JavaSet<T> {
    pub(crate) const fn new() -> JavaSet<T> {
        JavaSet { elements: Vec::new(), buckets: BUCKETS_AT_FIRST }
    }

    /// Puts an element that is not in yet.
    pub(crate) fn insert(&mut self, hash: i32, element: T) {
        self.elements.push((hash, element));
        self.buckets = self.buckets.max(buckets_for_puts(self.elements.len()));
    }

    pub(crate) fn remove(&mut self, element: &T) {
        self.elements.retain(|(_, other)| other != element);
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The element that an iterator gives first.
    pub(crate) fn first(&self) -> Option<&T> {
        self.elements.iter().min_by_key(|(hash, _)| bucket(*hash, self.buckets)).map(|(_, element)| element)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Java 17 printed as the keys of a `HashMap` after putting them in this order.
    #[test]
    fn keys_come_bucket_by_bucket() {
        let cases: [(&[&str], &[&str]); 4] = [
            (&["C0", "C1", "C2"], &["C0", "C1", "C2"]),
            // Buckets of "Aa" and "BB" are the same: the one that was put first comes first.
            (&["BB", "Aa"], &["BB", "Aa"]),
            (&["m00", "m01", "m02", "m03"], &["m03", "m00", "m02", "m01"]),
            (&["orders", "BB", "Aa", "payments", "clicks"], &["BB", "Aa", "payments", "clicks", "orders"]),
        ];
        for (keys, expected) in cases {
            let hashes: Vec<i32> = keys.iter().map(|key| java_string_hash(key)).collect();
            let order: Vec<&str> = order_of_puts(&hashes).into_iter().map(|place| keys[place]).collect();
            assert_eq!(order, expected, "{keys:?}");
        }
        assert_eq!(partition_hash("orders", 3), -1_008_769_277);
    }

    #[test]
    fn buckets_double_above_three_quarters_and_never_shrink() {
        for (keys, buckets) in [(0, 16), (12, 16), (13, 32), (24, 32), (25, 64), (48, 64), (49, 128)] {
            assert_eq!(buckets_for_puts(keys), buckets, "{keys} keys");
        }
        let mut set = JavaSet::new();
        for number in (0..20).rev() {
            set.insert(number, number);
        }
        // In 16 buckets 16 would come after 0 in the first one, and before 1.
        for number in 0..16 {
            assert_eq!(set.first(), Some(&number));
            set.remove(&number);
        }
        assert_eq!(set.first(), Some(&16));
        assert!(!set.is_empty());
    }

    #[test]
    fn a_copy_has_room_for_all_from_the_start() {
        // 12 keys fit into 16 buckets put one by one; a copy of them has 32.
        let hashes: Vec<i32> = (0..12).map(|number| if number == 0 { 16 } else { number }).collect();
        assert_eq!(order_of_puts(&hashes)[0], 0, "16 in bucket 0 of 16");
        assert_eq!(order_of_copy(&hashes)[11], 0, "16 in bucket 16 of 32");
    }
}
