//! What is copied: topics of the cluster, and where their copies stand.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::metadata::Metadata;

use super::lane::Lane;
use crate::batch::Compression;
use crate::cli::args::TopicArg;
use crate::cli::consume::select::{missing_topic, storage_problem, topic_not_found};
use crate::cli::interrupt::Interrupt;
use crate::cli::mirror::to_cluster::{cluster_problem, is_of_mirrors};
use crate::cli::mirror::{GapArg, MirrorArgs};
use crate::cli::ui::{Problem, Ui};
use crate::cluster::client::{Cluster, Reader};
use crate::cluster::progress;
use crate::cluster::topics::{TargetConfigs, TargetTopic};
use crate::storage::fs::StorageError;
use crate::storage::log_dir::LogDir;
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
///
/// One that the cluster tells no offsets of is told, and not gone on with.
pub fn lanes(
    args: &MirrorArgs,
    wanted: &BTreeMap<String, i32>,
    copies: &BTreeMap<TopicPartition, Offset>,
    configs: &BTreeMap<String, TargetConfigs>,
    source: &Source<'_>,
    ui: &mut Ui,
) -> anyhow::Result<Vec<Lane>> {
    let mut lanes = Vec::new();
    for (topic, count) in wanted {
        for partition in 0..*count {
            if args.partition.as_ref().is_some_and(|wanted| !wanted.contains(partition)) {
                continue;
            }
            if source.interrupt.is_asked() {
                return Ok(lanes);
            }
            let name = TopicPartition::new(topic, partition);
            let end = copies.get(&name).copied().filter(|end| *end > Offset::ZERO);
            let ends = source.ends(&name);
            let from = end.unwrap_or_else(|| Offset::new(ends.as_ref().map_or(0, |ends| ends.0)));
            let mut lane = Lane::new(name, from, compression(configs.get(topic)));
            lane.is_compacted = configs
                .get(topic)
                .and_then(|configs| configs.get("cleanup.policy"))
                .is_some_and(|policy| policy.value.contains("compact"));
            match ends {
                Ok(ends) => lane.place(ends, args.on_gap == GapArg::Keep),
                Err(problem) => lane.fail(*problem, ui),
            }
            lanes.push(lane);
        }
    }
    if lanes.is_empty() {
        return Err(Problem::new("not_found", "none of the topics has a partition that -p names").into());
    }
    Ok(lanes)
}

/// Partitions that no broker leads now.
pub fn leaderless(metadata: &Metadata) -> BTreeSet<TopicPartition> {
    let of_topics = metadata.topics().iter().flat_map(|topic| {
        let leaderless = topic.partitions().iter().filter(|partition| partition.leader() < 0);
        leaderless.map(|partition| TopicPartition::new(topic.name(), partition.id()))
    });
    of_topics.collect()
}

/// The cluster that is copied from.
pub struct Source<'a> {
    /// It.
    pub cluster: &'a Cluster,
    /// A client.
    pub reader: &'a Reader,
    /// Partitions that nobody can be asked about now.
    pub leaderless: BTreeSet<TopicPartition>,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
}

impl Source<'_> {
    /// The first offset of a partition, and one above the last that is committed.
    pub fn ends(&self, name: &TopicPartition) -> Result<(i64, i64), Box<Problem>> {
        if self.leaderless.contains(name) {
            let text = format!("{name}: no broker leads it now: not copied");
            return Err(Box::new(Problem::new("unreachable", text).hint("run again when its brokers are back")));
        }
        let ends = progress::ends(self.cluster, self.reader, &name.topic, name.partition);
        ends.map_err(|error| Box::new(cluster_problem(&error)))
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
    use crate::storage::mirror::Finding;

    #[test]
    fn a_copy_goes_on_where_it_ends_and_says_what_is_in_the_way() {
        let at = Offset::new;
        for (end, low, high, keeps, next, word, is_stopped) in [
            (7, 7, 9, false, 7, None, false),
            (8, 0, 9, false, 8, None, false),
            (9, 0, 9, false, 9, None, false),
            (5, 7, 9, false, 5, Some("gap"), true),
            (5, 7, 9, true, 7, Some("gap"), false),
            (10, 0, 9, true, 10, Some("shorter"), true),
        ] {
            let mut lane = Lane::new(TopicPartition::new("t", 0), at(end), Compression::default());
            lane.place((low, high), keeps);
            let found = lane.findings.first().map(Finding::word);
            assert_eq!((lane.next, found, lane.is_stopped), (at(next), word, is_stopped), "{end} {low} {high}");
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
