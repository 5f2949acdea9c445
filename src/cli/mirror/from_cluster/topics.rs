//! What is copied: topics of the cluster, and where their copies stand.

use std::collections::{BTreeMap, BTreeSet};

use super::lane::Lane;
use crate::batch::Compression;
use crate::cli::args::TopicArg;
use crate::cli::consume::select::{missing_topic, storage_problem, topic_not_found};
use crate::cli::mirror::MirrorArgs;
use crate::cli::mirror::to_cluster::{failed, is_of_mirrors};
use crate::cli::ui::Problem;
use crate::cluster::client::{Cluster, Reader};
use crate::cluster::progress;
use crate::cluster::topics::{TargetConfigs, TargetTopic};
use crate::storage::fs::StorageError;
use crate::storage::log_dir::LogDir;
use crate::storage::mirror::Finding;
use crate::storage::names::DirKind;
use crate::storage::partition::present;
use crate::storage::{create, partition_metadata};
use crate::types::{Offset, TopicPartition, Uuid};

/// The topics that are meant, with how many partitions they have. Internal ones and those that mirrors keep are not among them.
pub fn wanted(
    args: &MirrorArgs,
    there: &BTreeMap<String, TargetTopic>,
    servers: &str,
) -> anyhow::Result<BTreeMap<String, i32>> {
    let names: BTreeSet<&str> = there.keys().map(String::as_str).collect();
    if let Some(missing) = missing_topic(&args.topic, &names) {
        return Err(topic_not_found(missing, &names, &[servers.into()]).into());
    }
    let is_named = |name: &str| args.topic.is_empty() || args.topic.iter().any(|topic: &TopicArg| topic.matches(name));
    let is_kept = |name: &str| name.starts_with("__") || is_of_mirrors(name);
    let wanted: BTreeMap<String, i32> = there
        .iter()
        .filter(|(name, _)| is_named(name) && !is_kept(name))
        .map(|(name, topic)| (name.clone(), topic.partitions))
        .collect();
    if wanted.is_empty() {
        return Err(Problem::new("not_found", format!("no topic of {servers} matches"))
            .hint("internal topics are not copied; groups come over with --groups")
            .into());
    }
    Ok(wanted)
}

/// The codec that a topic's settings name; lz4 where it is the producers' choice.
pub fn compression(configs: Option<&TargetConfigs>) -> Compression {
    let named = configs.and_then(|configs| configs.get("compression.type")).map_or("producer", |config| &config.value);
    let codec = if named == "producer" { "lz4" } else { named };
    Compression::parse(if codec == "uncompressed" { "none" } else { codec }).unwrap_or_default()
}

/// Where the logs of the copies end that are there.
pub fn copies(to: &LogDir) -> anyhow::Result<BTreeMap<TopicPartition, Offset>> {
    let mut copies = BTreeMap::new();
    for (name, path) in to.partitions().filter(|(name, _)| name.kind == DirKind::Live) {
        let end = to.open_partition(name, path).and_then(|partition| partition.log_end());
        let end = end.map_err(|error| storage_problem(&error))?;
        copies.insert(name.topic_partition.clone(), end);
    }
    Ok(copies)
}

/// A lane for every partition that is meant, where its copy goes on; what is in the way of one is with it.
pub fn lanes(
    args: &MirrorArgs,
    wanted: &BTreeMap<String, i32>,
    copies: &BTreeMap<TopicPartition, Offset>,
    configs: &BTreeMap<String, TargetConfigs>,
    (cluster, reader): (&Cluster, &Reader),
) -> anyhow::Result<Vec<Lane>> {
    let mut lanes = Vec::new();
    for (topic, count) in wanted {
        for partition in 0..*count {
            if args.partition.as_ref().is_some_and(|wanted| !wanted.contains(partition)) {
                continue;
            }
            let name = TopicPartition::new(topic, partition);
            let (low, high) = progress::ends(cluster, reader, topic, partition).map_err(failed)?;
            let end = copies.get(&name).copied().filter(|end| *end > Offset::ZERO);
            let (from, finding) = place(end, Offset::new(low), Offset::new(high));
            let mut lane = Lane::new(name, (low, high), from, compression(configs.get(topic)));
            lane.finding = finding;
            lane.is_compacted = configs
                .get(topic)
                .and_then(|configs| configs.get("cleanup.policy"))
                .is_some_and(|policy| policy.value.contains("compact"));
            lanes.push(lane);
        }
    }
    Ok(lanes)
}

/// Where a copy that ends at `end` goes on with a log from `low` to `high`, and what is in the way.
fn place(end: Option<Offset>, low: Offset, high: Offset) -> (Offset, Option<Finding>) {
    match end {
        None => (low, None),
        Some(end) if low > end => (low, Some(Finding::Gap { from: end, to: low })),
        Some(end) if high < end => (end, Some(Finding::Shorter { source_end: high, copy_end: end })),
        Some(end) => (end, None),
    }
}

/// The id that a topic's copies have, or get.
pub fn topic_id(to: &LogDir, topic: &str) -> anyhow::Result<Uuid> {
    for (name, path) in to.partitions().filter(|(name, _)| name.topic_partition.topic == topic) {
        if name.kind != DirKind::Live {
            continue;
        }
        let read = present(partition_metadata::read(&path.join(partition_metadata::FILE_NAME)));
        if let Some(found) = read.map_err(|error| storage_problem(&error))? {
            return Ok(found.topic_id);
        }
    }
    Ok(create::random_uuid().map_err(|error| storage_problem(&StorageError::new(to.dir(), error)))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_goes_on_where_it_ends_and_says_what_is_in_the_way() {
        let at = Offset::new;
        for (end, low, high, from, word) in [
            (None, 7, 9, 7, None),
            (Some(at(8)), 0, 9, 8, None),
            (Some(at(9)), 0, 9, 9, None),
            (Some(at(5)), 7, 9, 7, Some("gap")),
            (Some(at(10)), 0, 9, 10, Some("shorter")),
        ] {
            let (place, finding) = place(end, at(low), at(high));
            assert_eq!((place, finding.as_ref().map(Finding::word)), (at(from), word), "{end:?} {low} {high}");
        }
    }

    #[test]
    fn batches_have_the_codec_of_the_topic() {
        use crate::cluster::topics::TargetConfig;
        use crate::types::Codec;
        for (value, codec) in
            [("producer", Codec::Lz4), ("zstd", Codec::Zstd), ("uncompressed", Codec::None), ("gzip", Codec::Gzip)]
        {
            let config = TargetConfig { value: value.to_owned(), is_own: true };
            let configs = TargetConfigs::from([("compression.type".to_owned(), config)]);
            assert_eq!(compression(Some(&configs)).codec(), codec, "{value}");
        }
        assert_eq!(compression(None).codec(), Codec::Lz4);
    }
}
