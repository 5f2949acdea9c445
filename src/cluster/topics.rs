//! Topics of a live cluster: found, described, made.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigSource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::Consumer;
use rdkafka::metadata::Metadata;

use super::client::{Cluster, ClusterError, Listener, REQUEST_MAX, Reader, serve};

/// Topics that one request describes or makes.
const TOPICS_PER_REQUEST: usize = 100;

/// A topic that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetTopic {
    /// How many partitions it has.
    pub partitions: i32,
    /// The least number of replicas of one.
    pub replicas: usize,
    /// Every partition has a leader.
    pub has_leaders: bool,
}

/// The topics among `metadata`, by name.
pub fn topics_of(metadata: &Metadata) -> BTreeMap<String, TargetTopic> {
    let there = metadata.topics().iter().filter(|topic| topic.error().is_none());
    let described = there.map(|topic| {
        let partitions = topic.partitions();
        let described = TargetTopic {
            partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
            replicas: partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or(0),
            has_leaders: partitions.iter().all(|partition| partition.leader() >= 0),
        };
        (topic.name().to_owned(), described)
    });
    described.collect()
}

/// A setting of a topic that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetConfig {
    /// Its value.
    pub value: String,
    /// The topic itself sets it.
    pub is_own: bool,
}

/// Settings of a topic by name.
pub type TargetConfigs = BTreeMap<String, TargetConfig>;

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas of each; -1 as the cluster's default has it.
    pub replication_factor: i32,
    /// Its own settings.
    pub configs: Vec<(String, String)>,
}

/// Asks for topics and makes them.
pub struct Admin<'c> {
    cluster: &'c Cluster,
    client: AdminClient<Listener>,
}

impl<'c> Admin<'c> {
    /// Opens a client.
    pub fn open(cluster: &'c Cluster) -> Result<Admin<'c>, ClusterError> {
        let client = cluster.client(&[], cluster.listener().clone())?;
        Ok(Admin { cluster, client })
    }

    fn options() -> AdminOptions {
        AdminOptions::new().request_timeout(Some(REQUEST_MAX)).operation_timeout(Some(REQUEST_MAX))
    }

    /// The settings of topics that are there.
    pub fn configs(&self, topics: &[&str]) -> Result<BTreeMap<String, TargetConfigs>, ClusterError> {
        let mut all = BTreeMap::new();
        for some in topics.chunks(TOPICS_PER_REQUEST) {
            let asked: Vec<_> = some.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
            let what = "settings of topics";
            let answers = block_on(self.client.describe_configs(asked.iter(), &Admin::options()));
            for answer in answers.map_err(|error| self.cluster.failed(what, &error))? {
                let described =
                    answer.map_err(|code| ClusterError::Failed { what: what.to_owned(), reason: code.to_string() })?;
                let OwnedResourceSpecifier::Topic(topic) = described.specifier else { continue };
                let entries = described.entries.into_iter().filter_map(|entry| {
                    let is_own = entry.source == ConfigSource::DynamicTopic;
                    Some((entry.name, TargetConfig { value: entry.value?, is_own }))
                });
                all.insert(topic, entries.collect());
            }
        }
        Ok(all)
    }

    /// The settings of topics that were made just now: some brokers may not know them yet.
    pub fn configs_of_made(&self, topics: &[&str]) -> Result<BTreeMap<String, TargetConfigs>, ClusterError> {
        let started = Instant::now();
        loop {
            match self.configs(topics) {
                Err(_) if started.elapsed() < REQUEST_MAX => std::thread::sleep(Duration::from_millis(100)),
                answered => return answered,
            }
        }
    }

    /// Makes topics; one that somebody else made meanwhile is an error too. `validate_only` asks whether it could be.
    pub fn create(&self, topics: &[Wanted], validate_only: bool) -> Result<(), ClusterError> {
        for some in topics.chunks(TOPICS_PER_REQUEST) {
            let new = some.iter().map(|wanted| NewTopic {
                name: &wanted.name,
                num_partitions: wanted.partitions,
                replication: TopicReplication::Fixed(wanted.replication_factor),
                config: wanted.configs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            });
            let new: Vec<NewTopic<'_>> = new.collect();
            let options = Admin::options().validate_only(validate_only);
            let answers = block_on(self.client.create_topics(new.iter(), &options));
            for answer in answers.map_err(|error| self.cluster.failed("making topics", &error))? {
                answer.map_err(|(topic, code)| ClusterError::Failed {
                    what: format!("making topic '{topic}'"),
                    reason: code.to_string(),
                })?;
            }
        }
        Ok(())
    }

    /// Waits until every topic that was made has leaders, as the brokers see it; gives all topics there are then.
    pub fn wait_for(&self, reader: &Reader, topics: &[Wanted]) -> Result<BTreeMap<String, TargetTopic>, ClusterError> {
        let started = Instant::now();
        loop {
            let metadata = reader.fetch_metadata(None, REQUEST_MAX);
            serve(reader);
            let there = topics_of(&metadata.map_err(|error| self.cluster.failed("metadata of topics", &error))?);
            let is_ready = |wanted: &&Wanted| {
                there.get(&wanted.name).is_some_and(|topic| topic.partitions >= wanted.partitions && topic.has_leaders)
            };
            let Some(missing) = topics.iter().find(|wanted| !is_ready(wanted)) else { return Ok(there) };
            if started.elapsed() > REQUEST_MAX {
                let what = format!("waiting for topic '{}'", missing.name);
                return Err(ClusterError::Failed { what, reason: "a partition has no leader".to_owned() });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The outcome of a future that another thread works on.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        std::thread::park();
    }
}
