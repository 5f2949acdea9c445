//! The text of kafka-log-dirs.sh --describe (`LogDirsCommand`), as a broker that has these directories open would make it.
//!
//! The tool prints Java hash maps as they come. Their order is followed, so that texts can be compared: a bucket holds what
//! falls into it in the order it was put there, and that is the order of the broker's answer, which comes out of hash maps
//! of its own (`LogManager.currentLogs`, and Scala's by topic).

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde_json::Value;

use super::Report;
use crate::cli::ui::Ui;
use crate::storage::forecast::METADATA_DIR;
use crate::storage::inventory::PartitionFacts;
use crate::storage::names::DirKind;
use crate::types::TopicPartition;

/// What the tool says of a directory that is offline.
const OFFLINE: &str = "org.apache.kafka.common.errors.KafkaStorageException";

/// One log directory of a broker.
struct Dir<'a> {
    path: String,
    partitions: Vec<&'a PartitionFacts>,
    error: Option<&'static str>,
}

/// Prints the three lines.
pub fn print(report: &Report<'_>, ui: &mut Ui) -> anyhow::Result<()> {
    let mut brokers: Vec<(i32, Vec<Dir<'_>>)> = Vec::new();
    let mut of_broker = |id: i32, dir| match brokers.iter_mut().find(|(known, _)| *known == id) {
        Some((_, dirs)) => dirs.push(dir),
        None => brokers.push((id, vec![dir])),
    };
    let facts = report.dirs.facts();
    for (number, dir) in facts.iter().enumerate() {
        let is_served = |partition: &&PartitionFacts| {
            let is_metadata = partition.path.file_name().is_some_and(|name| name == METADATA_DIR);
            partition.log_dir == number
                && matches!(partition.name.kind, DirKind::Live | DirKind::Future)
                && !is_metadata
        };
        let partitions = report.partitions.iter().filter(is_served).collect();
        of_broker(dir.node_id.unwrap_or(-1), Dir { path: absolute(&dir.path), partitions, error: None });
    }
    for path in report.unreadable {
        let id = facts.iter().find_map(|facts| facts.node_id).unwrap_or(-1);
        of_broker(id, Dir { path: absolute(path), partitions: Vec::new(), error: Some(OFFLINE) });
    }
    let brokers = in_hash_order(brokers, 16, |(id, _)| *id);
    let ids: Vec<String> = brokers.iter().map(|(id, _)| id.to_string()).collect();
    let text: Vec<String> = brokers.into_iter().map(|(id, dirs)| broker(id, dirs)).collect();
    let out = ui.out().buffer();
    out.extend_from_slice(b"Querying brokers for log directories information\n");
    out.extend_from_slice(format!("Received log directory information from brokers {}\n", ids.join(",")).as_bytes());
    out.extend_from_slice(format!("{{\"brokers\":[{}],\"version\":1}}\n", text.join(",")).as_bytes());
    Ok(())
}

fn absolute(path: &std::path::Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn broker(id: i32, mut dirs: Vec<Dir<'_>>) -> String {
    dirs.sort_by(|a, b| a.path.cmp(&b.path));
    // End of the current replica of each partition, wherever it is.
    let current: HashMap<&TopicPartition, i64> = dirs
        .iter()
        .flat_map(|dir| &dir.partitions)
        .filter(|partition| partition.name.kind == DirKind::Live)
        .map(|partition| (&partition.name.topic_partition, partition.log_end.get()))
        .collect();
    let one = |partition: &PartitionFacts| {
        let is_future = partition.name.kind == DirKind::Future;
        // `ReplicaManager.getLogEndOffsetLag`: a high watermark is never above its own log's end.
        let lag = match current.get(&partition.name.topic_partition) {
            Some(end) if is_future => end - partition.log_end.get(),
            Some(_) => 0,
            None => -1,
        };
        let name = Value::from(partition.name.topic_partition.to_string());
        let size = partition.log_bytes;
        format!("{{\"partition\":{name},\"size\":{size},\"offsetLag\":{lag},\"isFuture\":{is_future}}}")
    };
    let ranks = ranks(&dirs);
    for dir in &mut dirs {
        dir.partitions.sort_by_key(|partition| ranks.get(&partition.path));
    }
    let count = dirs.len();
    let dirs = in_hash_order(dirs, count, |dir| string_hash(&dir.path));
    let dirs = dirs.into_iter().map(|dir| {
        let partitions = in_hash_order(dir.partitions, 16, |partition| hash(&partition.name.topic_partition));
        let partitions: Vec<String> = partitions.into_iter().map(one).collect();
        let (path, error) = (Value::from(dir.path), Value::from(dir.error));
        format!("{{\"partitions\":[{}],\"error\":{error},\"logDir\":{path}}}", partitions.join(","))
    });
    format!("{{\"broker\":{id},\"logDirs\":[{}]}}", dirs.collect::<Vec<_>>().join(","))
}

/// The place of each partition directory in a broker's answer (`ReplicaManager.describeLogDirs`): topics as a map of
/// Scala's has them, and those of a topic as a map of all the broker's logs has them, future ones last.
fn ranks(dirs: &[Dir<'_>]) -> HashMap<PathBuf, usize> {
    let logs = |kind| {
        let of_kind = dirs.iter().flat_map(|dir| &dir.partitions).filter(move |partition| partition.name.kind == kind);
        let logs: Vec<&PartitionFacts> = of_kind.copied().collect();
        // A concurrent map grows when it is three quarters full, not beyond.
        let count = logs.len() + 1;
        in_hash_order_of(logs, table_for(count, 16), |partition| hash(&partition.name.topic_partition))
    };
    let mut all = logs(DirKind::Live);
    all.extend(logs(DirKind::Future));
    let mut topics: Vec<&str> = all.iter().map(|partition| partition.name.topic_partition.topic.as_str()).collect();
    topics.sort_unstable();
    topics.dedup();
    let topics = in_scala_order(topics.into_iter().map(|topic| (improve(string_hash(topic)), topic)).collect(), 0);
    let places: HashMap<&str, usize> = topics.iter().enumerate().map(|(place, (_, topic))| (*topic, place)).collect();
    all.sort_by_key(|partition| places.get(partition.name.topic_partition.topic.as_str()));
    all.iter().enumerate().map(|(rank, partition)| (partition.path.clone(), rank)).collect()
}

/// The order of Scala's `immutable.HashMap`, a tree of nodes with a place for each five bits of the hash: what has a
/// place of its own first, then what shares one.
fn in_scala_order(entries: Vec<(u32, &str)>, shift: u32) -> Vec<(u32, &str)> {
    if shift >= 32 {
        return entries;
    }
    let mut places: BTreeMap<u32, Vec<(u32, &str)>> = BTreeMap::new();
    for entry in entries {
        places.entry((entry.0 >> shift) & 31).or_default().push(entry);
    }
    let (alone, shared): (Vec<_>, Vec<_>) = places.into_values().partition(|entries| entries.len() == 1);
    let shared = shared.into_iter().flat_map(|entries| in_scala_order(entries, shift + 5));
    alone.into_iter().flatten().chain(shared).collect()
}

/// `scala.collection.Hashing.improve`.
fn improve(hash: i32) -> u32 {
    let hash = hash.cast_unsigned();
    let hash = hash.wrapping_add(!(hash << 9));
    let hash = hash ^ (hash >> 14);
    let hash = hash.wrapping_add(hash << 4);
    hash ^ (hash >> 10)
}

/// In the order a `java.util.HashMap` made for `capacity` gives its entries back.
fn in_hash_order<T>(entries: Vec<T>, capacity: usize, hash: impl Fn(&T) -> i32) -> Vec<T> {
    let table = table_for(entries.len(), capacity);
    in_hash_order_of(entries, table, hash)
}

/// Buckets of a map that was made for `capacity` and holds `count`: it grows when it is more than three quarters full.
fn table_for(count: usize, capacity: usize) -> usize {
    let mut table = capacity.max(1).next_power_of_two();
    while count > table * 3 / 4 {
        table *= 2;
    }
    table
}

/// In the order of their buckets in a table of this size; those in one bucket stay in theirs.
fn in_hash_order_of<T>(mut entries: Vec<T>, table: usize, hash: impl Fn(&T) -> i32) -> Vec<T> {
    entries.sort_by_key(|entry| {
        let hash = hash(entry).cast_unsigned();
        (hash ^ (hash >> 16)) as usize & (table - 1)
    });
    entries
}

/// `String.hashCode`.
fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// `TopicPartition.hashCode`.
fn hash(partition: &TopicPartition) -> i32 {
    31_i32.wrapping_add(partition.partition).wrapping_mul(31).wrapping_add(string_hash(&partition.topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_and_their_order_are_javas() {
        // "hello".hashCode(), and a string that overflows.
        assert_eq!((string_hash("hello"), string_hash("polygenelubricants")), (99_162_322, i32::MIN));
        let brokers = in_hash_order(vec![1001, 3, 17, 1, 2], 16, |id| *id);
        assert_eq!(brokers, [17, 1, 2, 3, 1001], "17 and 1 share a bucket");
        let many = in_hash_order((0..20).rev().collect(), 16, |id| *id);
        assert_eq!(many, (0..20).collect::<Vec<_>>(), "the table has grown to 32");
    }
}
