//! Partitions of keys and ids as Kafka 4.3 computes them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use logdir::partitioner::{
    PartitionCount, Strategy, java_string_hash, murmur2, partition_for_id, partition_for_key, partition_for_key_crc32,
};
use support::{int, text};

/// Number of partitions and the partition, of an object that maps one to the other.
fn partitions(case: &serde_json::Value, name: &str) -> Vec<(PartitionCount, i64)> {
    let map = case[name].as_object().unwrap();
    map.iter().map(|(n, at)| (PartitionCount::new(n.parse().unwrap()).unwrap(), at.as_i64().unwrap())).collect()
}

#[test]
fn keys_go_where_kafkas_producer_sends_them() {
    let Some(cases) = support::lines("partition-keys") else { return };
    let (mut compared, mut pairs) = (0, 0);
    for case in &cases {
        let id = &case["id"];
        let key = support::hex(case, "key");
        assert_eq!(i64::from(murmur2(&key).cast_signed()), int(case, "murmur2"), "{id}");
        assert_eq!(i64::from(murmur2(&key) & 0x7fff_ffff), int(case, "to_positive"), "{id}");
        assert_eq!(i64::from(logdir::crc::crc32(&key)), int(case, "crc32"), "{id}");
        for (count, expected) in partitions(case, "partition") {
            assert_eq!(i64::from(partition_for_key(&key, count)), expected, "{id} of {count}");
            let decided = Strategy::Murmur2.partition_of(Some(&key), count);
            assert_eq!(decided.map(i64::from), Some(expected), "{id} of {count}");
            pairs += 1;
        }
        for (count, expected) in partitions(case, "consistent_partition") {
            assert_eq!(i64::from(partition_for_key_crc32(&key, count)), expected, "{id} of {count}");
            pairs += 1;
        }
        compared += 1;
    }
    println!("{pairs} pairs of key and number of partitions");
    support::compared_all("partition-keys", compared, cases.len());
}

#[test]
fn groups_and_transactions_belong_where_the_coordinators_put_them() {
    let Some(cases) = support::lines("partition-ids") else { return };
    let mut compared = 0;
    for case in &cases {
        let id = &case["id"];
        let name = text(case, "text");
        assert_eq!(i64::from(java_string_hash(name)), int(case, "hash_code"), "{id}");
        for (count, expected) in partitions(case, "partition") {
            assert_eq!(i64::from(partition_for_id(name, count)), expected, "{id} of {count}");
        }
        compared += 1;
    }
    support::compared_all("partition-ids", compared, cases.len());
}
