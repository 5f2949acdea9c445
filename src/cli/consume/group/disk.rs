//! What a member finds in its log directories: which topics there are, and the logs of its partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::cli::args::TopicArg;
use crate::cli::consume::select::{missing_topic, topic_not_found};
use crate::cli::ui::Problem;
use crate::storage::fs::StorageError;
use crate::storage::log_dir::LogDir;
use crate::storage::membership::Offer;
use crate::storage::names::DirKind;
use crate::storage::partition::Partition;
use crate::storage::replicas;
use crate::types::TopicPartition;

/// Log directories that are listed again and again.
pub struct Disk<'a> {
    /// Where they are.
    pub paths: Vec<PathBuf>,
    /// How many partitions the cluster's metadata gives to topics.
    pub known: BTreeMap<String, u32>,
    /// Topics to read.
    pub topics: &'a [TopicArg],
    /// Internal ones too.
    pub internal: bool,
}

impl Disk<'_> {
    /// What there is to read.
    ///
    /// A topic has as many partitions as the cluster's metadata says, and not fewer than the highest number found asks for.
    pub fn offer(&self) -> Offer {
        let mut counts = self.known.clone();
        for dir in &self.paths {
            // One that cannot be read now was told of at the start, or is at the next look.
            let Ok(log_dir) = LogDir::open(dir) else { continue };
            for (name, _) in log_dir.partitions().filter(|(name, _)| name.kind == DirKind::Live) {
                let TopicPartition { topic, partition } = &name.topic_partition;
                let least = u32::try_from(*partition).map_or(0, |number| number.saturating_add(1));
                let count = counts.entry(topic.clone()).or_default();
                *count = least.max(*count);
            }
        }
        let is_wanted = |name: &&String| {
            let is_internal = TopicPartition::new((*name).clone(), 0).is_internal();
            (self.internal || !is_internal) && self.topics.iter().any(|topic| topic.matches(name))
        };
        let wanted = counts.keys().filter(is_wanted).cloned().collect();
        Offer { counts, wanted }
    }

    /// Why there is nothing to wait for, if there is not.
    pub fn missing(&self, offer: &Offer) -> Option<Problem> {
        let there: BTreeSet<&str> = offer.counts.keys().map(String::as_str).collect();
        if let Some(name) = missing_topic(self.topics, &there) {
            return Some(topic_not_found(name, &there, &self.paths));
        }
        if offer.wanted.is_empty() {
            let text = "no topic here matches, internal ones left out";
            return Some(Problem::new("not_found", text).hint("see which there are with: logdir topics list"));
        }
        None
    }

    /// The logs of these partitions, of several replicas the one that reaches furthest; and what could not be opened.
    pub fn open(&self, wanted: &BTreeSet<TopicPartition>) -> (BTreeMap<TopicPartition, Partition>, Vec<StorageError>) {
        let mut failures = Vec::new();
        let mut log_dirs = Vec::new();
        for dir in &self.paths {
            match LogDir::open(dir) {
                Ok(log_dir) => log_dirs.push(log_dir),
                Err(error) => failures.push(error),
            }
        }
        let found = replicas::furthest(&log_dirs, &|partition| wanted.contains(partition), &mut failures);
        (found.into_iter().map(|(name, chosen)| (name, chosen.partition)).collect(), failures)
    }
}
