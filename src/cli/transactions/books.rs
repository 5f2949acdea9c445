//! What the verbs look at: the coordinator's state, and the transactions that are open in partitions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::cli::Outcome;
use crate::cli::args::{GlobalArgs, TopicArg, now_ms};
use crate::cli::consume::storage_problem;
use crate::cli::range::{self, Partitions};
use crate::cli::ui::{Problem, Ui};
use crate::partitioner::PartitionCount;
use crate::schema::coordinator::CoordinatorTopic;
use crate::storage::active_producers::{Extent, active_producers, extent};
use crate::storage::coordinator::furthest_replicas;
use crate::storage::coordinator::transactions::{OpenTransaction, TransactionCoordinator, Verdict};
use crate::storage::forecast::metadata_image;
use crate::storage::fs::StorageError;
use crate::storage::log_dir::LogDir;
use crate::storage::partition::{Notice, Partition};
use crate::types::{Offset, TimestampMs, TopicPartition};

/// Which partitions are looked at, and from which moment.
#[derive(clap::Args, Debug, Clone)]
pub struct TxnScope {
    /// Topic; re:PATTERN for several (repeatable)
    #[arg(short, long, value_name = "TOPIC", value_parser = TopicArg::parse)]
    pub topic: Vec<TopicArg>,
    /// Partitions, such as 0,3-5; default all
    #[arg(short, long, value_name = "LIST", value_parser = Partitions::parse)]
    pub partition: Option<Partitions>,
    /// The moment that ages and timeouts count to; default: now
    ///
    /// As in -o @T: 13 digits (ms), 10 digits (s), 2026-11-22, RFC 3339, -1h. For a snapshot: when it was taken.
    #[arg(long, value_name = "T", allow_hyphen_values = true, value_parser = moment)]
    pub now: Option<TimestampMs>,
}

fn moment(text: &str) -> Result<TimestampMs, range::RangeError> {
    range::parse_time(text, now_ms())
}

impl TxnScope {
    /// The moment that ages count to.
    pub fn now_ms(&self) -> TimestampMs {
        self.now.unwrap_or_else(now_ms)
    }

    /// Whether the partition is meant.
    pub fn holds(&self, partition: &TopicPartition) -> bool {
        let by_topic = self.topic.is_empty() || self.topic.iter().any(|topic| topic.matches(&partition.topic));
        by_topic && self.partition.as_ref().is_none_or(|wanted| wanted.contains(partition.partition))
    }
}

/// The coordinator's state, and where it was read.
pub struct Books {
    /// The log directories.
    pub log_dirs: Vec<LogDir>,
    /// Their paths.
    pub paths: Vec<PathBuf>,
    /// What `__transaction_state` says.
    pub coordinator: TransactionCoordinator,
    /// Partitions that `__transaction_state` has, as the cluster's metadata knows; directories alone do not tell what is
    /// elsewhere.
    pub count: Option<PartitionCount>,
    /// The broker that leads each of them, or holds it.
    brokers: BTreeMap<i32, i32>,
}

/// A transaction that is open in a partition, with all that is known of it.
pub struct Open {
    /// Where it is open, and since when.
    pub txn: OpenTransaction,
    /// Epoch of its producer there.
    pub producer_epoch: i16,
    /// Epoch of the coordinator that wrote the producer's last marker; -1 for none.
    pub coordinator_epoch: i32,
    /// Timestamp of its last batch, as its producer wrote it.
    pub last_timestamp_ms: TimestampMs,
    /// When it began: the coordinator's clock where it knows of it, else that timestamp.
    pub since_ms: TimestampMs,
    /// What it holds.
    pub extent: Extent,
    /// It is the first open one: nothing behind its first offset is seen by read_committed.
    pub holds_last_stable: bool,
    /// One above the partition's last offset.
    pub log_end: Offset,
    /// Its transactional id.
    pub transactional_id: Option<String>,
    /// What will become of it.
    pub verdict: Verdict,
}

impl Books {
    /// Reads the coordinator's topic in the log directories that the options name.
    pub fn open(global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Books> {
        let paths = global.log_dirs()?;
        let log_dirs = paths.iter().map(|path| LogDir::open(path)).collect::<Result<Vec<_>, _>>();
        let log_dirs = log_dirs.map_err(|error| storage_problem(&error))?;
        let mut notices = Vec::new();
        let coordinator = TransactionCoordinator::read(&log_dirs, &mut notices);
        let coordinator = coordinator.map_err(|error| storage_problem(&error))?;
        say(notices, ui);
        let mut books = Books { log_dirs, paths, coordinator, count: None, brokers: BTreeMap::new() };
        books.place(ui);
        Ok(books)
    }

    /// How a run ends because of what was read: damage was met.
    pub fn outcome(&self) -> Outcome {
        if self.coordinator.damaged().is_empty() { Outcome::Done } else { Outcome::Findings }
    }

    /// Where the coordinator's partitions are, from the cluster's metadata or the directories alone.
    fn place(&mut self, ui: &mut Ui) {
        let topic = CoordinatorTopic::Transaction.topic();
        for log_dir in &self.log_dirs {
            let node = log_dir.meta().and_then(|meta| meta.node_id());
            for (name, _) in log_dir.partitions().filter(|(name, _)| name.topic_partition.topic == topic) {
                if let Some(node) = node {
                    self.brokers.entry(name.topic_partition.partition).or_insert(node);
                }
            }
        }
        for path in &self.paths {
            match metadata_image(path) {
                Ok(None) => {}
                Ok(Some(image)) => {
                    let Some(known) = image.topic_named(topic) else { return };
                    self.count = u32::try_from(known.partitions.len()).ok().and_then(PartitionCount::new);
                    let led = known.partitions.iter().filter(|(_, partition)| partition.leader >= 0);
                    self.brokers.extend(led.map(|(number, partition)| (*number, partition.leader)));
                    return;
                }
                Err(reason) => {
                    let text = format!("the metadata log cannot be read: {reason}");
                    ui.warning(Problem::new("malformed", text).path(path));
                    return;
                }
            }
        }
    }

    /// The broker whose coordinator has this partition of `__transaction_state`; -1 for unknown.
    pub fn broker_of(&self, coordinator_partition: i32) -> i32 {
        self.brokers.get(&coordinator_partition).copied().unwrap_or(-1)
    }

    /// The wanted partitions, each once.
    pub fn partitions(&self, scope: &TxnScope, ui: &mut Ui) -> anyhow::Result<BTreeMap<TopicPartition, Partition>> {
        let mut notices = Vec::new();
        let found = furthest_replicas(&self.log_dirs, &|partition| scope.holds(partition), &mut notices);
        let found = found.map_err(|error| storage_problem(&error))?;
        notices.into_iter().for_each(|notice| ui.detail(&format!("{}: {}", notice.path.display(), notice.message)));
        Ok(found)
    }

    /// The transactions that are open in the wanted partitions, in the order of partitions and offsets; and how the run
    /// ends where a partition could not be read.
    pub fn open_transactions(
        &self,
        scope: &TxnScope,
        global: &GlobalArgs,
        ui: &mut Ui,
    ) -> anyhow::Result<(Vec<Open>, Outcome)> {
        let partitions = self.partitions(scope, ui)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(global.threads().get()).build()?;
        let now_ms = scope.now_ms();
        type Found = Result<(Vec<Open>, Vec<Notice>), StorageError>;
        let found: Vec<Found> =
            pool.install(|| partitions.par_iter().map(|(_, partition)| self.open_in(partition, now_ms)).collect());
        let (mut all, mut outcome) = (Vec::new(), Outcome::Done);
        for of_partition in found {
            match of_partition {
                Ok((open, notices)) => {
                    all.extend(open);
                    say(notices, ui);
                }
                Err(error) => {
                    outcome |= Outcome::Failed;
                    ui.error(storage_problem(&error));
                }
            }
        }
        Ok((all, outcome))
    }

    fn open_in(&self, partition: &Partition, now_ms: TimestampMs) -> Result<(Vec<Open>, Vec<Notice>), StorageError> {
        let mut notices = Vec::new();
        let states = active_producers(partition, &mut notices)?;
        let mut open = Vec::new();
        if states.open_txns().len() == 0 {
            return Ok((open, notices));
        }
        let log_end = partition.log_end()?;
        for (number, (first, producer_id)) in states.open_txns().enumerate() {
            let Some(state) = states.producer(producer_id) else { continue };
            let known = self.coordinator.of_producer(producer_id);
            let txn = OpenTransaction { partition: partition.topic_partition().clone(), producer_id, first };
            open.push(Open {
                producer_epoch: state.producer_epoch,
                coordinator_epoch: state.coordinator_epoch,
                last_timestamp_ms: state.last_timestamp_ms,
                since_ms: match known {
                    Some((_, known)) if known.state.holds(&txn.partition) => known.state.start_ms,
                    _ => state.last_timestamp_ms,
                },
                extent: extent(partition, producer_id, first)?,
                holds_last_stable: number == 0,
                log_end,
                transactional_id: known.map(|(id, _)| id.to_owned()),
                verdict: self.coordinator.judge(&txn, self.count, now_ms),
                txn,
            });
        }
        Ok((open, notices))
    }
}

/// What was got around, as warnings.
pub fn say(notices: Vec<Notice>, ui: &mut Ui) {
    for notice in notices {
        ui.warning(Problem::new("malformed", notice.message).path(notice.path));
    }
}
