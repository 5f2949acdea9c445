//! What the verbs look at: the coordinator's state, and the transactions that are open in partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rayon::prelude::*;

use crate::cli::Outcome;
use crate::cli::args::{GlobalArgs, TopicArg, now_ms};
use crate::cli::consume::select::{missing_topic, topic_not_found};
use crate::cli::dirs::{self, Opened};
use crate::cli::message::show_remarks;
use crate::cli::range::{self, Partitions};
use crate::cli::ui::{Problem, Ui};
use crate::partitioner::PartitionCount;
use crate::schema::coordinator::CoordinatorTopic;
use crate::storage::active_producers::{Extent, active_producers, extents};
use crate::storage::coordinator::transactions::{OpenTransaction, TransactionCoordinator, Verdict};
use crate::storage::fs::StorageError;
use crate::storage::log_dir::LogDir;
use crate::storage::names::DirKind;
use crate::storage::partition::Partition;
use crate::storage::remarks::Remarks;
use crate::storage::replicas::{self, Chosen};
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
    /// As in -o @T, with or without the @: 13 digits (ms), 10 digits (s), 2026-11-22, RFC 3339, -1h. For a snapshot: when
    /// it was taken.
    #[arg(long, value_name = "T", allow_hyphen_values = true, value_parser = moment)]
    pub now: Option<TimestampMs>,
}

/// With the `@` of `-o @T`, or without.
fn moment(text: &str) -> Result<TimestampMs, range::RangeError> {
    range::parse_time(text.strip_prefix('@').unwrap_or(text), now_ms())
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
    /// Topics of the directories, of the cluster's metadata and of transactions.
    topics: BTreeSet<String>,
    /// The broker that leads each of the coordinator's partitions, or holds it.
    brokers: BTreeMap<i32, i32>,
    outcome: Outcome,
    /// Everything could be read: what is not there is nowhere.
    is_complete: bool,
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
    /// Reads the coordinator's topic in the log directories that the options name. What cannot be read is told.
    pub fn open(global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Books> {
        let paths = global.log_dirs()?;
        let Opened { dirs: log_dirs, outcome } = dirs::open(&paths, ui);
        let mut remarks = Remarks::default();
        let coordinator = TransactionCoordinator::read(&log_dirs, &mut remarks);
        let is_complete = outcome == Outcome::Done && remarks.failures.is_empty();
        let mut books = Books {
            log_dirs,
            paths,
            coordinator,
            count: None,
            topics: BTreeSet::new(),
            brokers: BTreeMap::new(),
            outcome,
            is_complete,
        };
        books.outcome |= show_remarks(remarks, ui);
        if !books.coordinator.damaged().is_empty() {
            books.outcome |= Outcome::Findings;
        }
        books.place(ui);
        Ok(books)
    }

    /// How a run ends because of what was read: damage was met, or something could not be read.
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Where the coordinator's partitions are, from the cluster's metadata or the directories alone; and which topics there
    /// are.
    fn place(&mut self, ui: &mut Ui) {
        let topic = CoordinatorTopic::Transaction.topic();
        for log_dir in &self.log_dirs {
            let node = log_dir.meta().and_then(|meta| meta.node_id());
            for (name, _) in log_dir.partitions().filter(|(name, _)| name.kind == DirKind::Live) {
                if let Some(node) = node.filter(|_| name.topic_partition.topic == topic) {
                    self.brokers.entry(name.topic_partition.partition).or_insert(node);
                }
                self.topics.insert(name.topic_partition.topic.clone());
            }
        }
        let in_transactions = self.coordinator.ids().flat_map(|(_, known)| &known.state.partitions);
        self.topics.extend(in_transactions.map(|partition| partition.topic.clone()));
        let (believed, told) = dirs::believed_metadata(&self.log_dirs, ui);
        self.outcome |= told;
        let Some(believed) = believed else { return };
        self.topics.extend(believed.image.topics().map(|topic| topic.name.clone()));
        // What stood behind damage may have been more partitions, or other leaders.
        let Some(known) = believed.image.topic_named(topic).filter(|_| !believed.is_damaged) else { return };
        self.count = u32::try_from(known.partitions.len()).ok().and_then(PartitionCount::new);
        let led = known.partitions.iter().filter(|(_, partition)| partition.leader >= 0);
        self.brokers.extend(led.map(|(number, partition)| (*number, partition.leader)));
    }

    /// Refuses a scope that names a topic which is nowhere, as far as all could be read.
    pub fn check(&self, scope: &TxnScope) -> anyhow::Result<()> {
        let topics: BTreeSet<&str> = self.topics.iter().map(String::as_str).collect();
        match missing_topic(&scope.topic, &topics).filter(|_| self.is_complete) {
            Some(name) => Err(topic_not_found(name, &topics, &self.paths).into()),
            None => Ok(()),
        }
    }

    /// The broker whose coordinator has this partition of `__transaction_state`; -1 for unknown.
    pub fn broker_of(&self, coordinator_partition: i32) -> i32 {
        self.brokers.get(&coordinator_partition).copied().unwrap_or(-1)
    }

    /// The wanted partitions, each once; and how the run ends where one could not be read. None at all is an error.
    pub fn partitions(
        &self,
        scope: &TxnScope,
        ui: &mut Ui,
    ) -> anyhow::Result<(BTreeMap<TopicPartition, Partition>, Outcome)> {
        self.check(scope)?;
        let mut failures = Vec::new();
        let chosen = replicas::furthest(&self.log_dirs, &|partition| scope.holds(partition), &mut failures);
        let is_narrow = !scope.topic.is_empty() || scope.partition.is_some();
        if chosen.is_empty() && failures.is_empty() && is_narrow && self.is_complete {
            let problem = Problem::new("not_found", "no such partition in these directories");
            return Err(problem.hint("see what there is with: logdir log-dirs").into());
        }
        let outcome = show_remarks(Remarks { failures, ..Remarks::default() }, ui);
        let told = |chosen: &Chosen| Some((chosen.partition.dir().display().to_string(), chosen.told()?));
        for (dir, told) in chosen.values().filter_map(told) {
            ui.detail(&format!("{dir}: {told}"));
        }
        Ok((chosen.into_iter().map(|(name, chosen)| (name, chosen.partition)).collect(), outcome))
    }

    /// The transactions that are open in the wanted partitions, in the order of partitions and offsets; and how the run
    /// ends where a partition is damaged or could not be read.
    pub fn open_transactions(
        &self,
        scope: &TxnScope,
        global: &GlobalArgs,
        ui: &mut Ui,
    ) -> anyhow::Result<(Vec<Open>, Outcome)> {
        let (partitions, mut outcome) = self.partitions(scope, ui)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(global.threads().get()).build()?;
        let now_ms = scope.now_ms();
        let found: Vec<(Vec<Open>, Remarks)> = pool.install(|| {
            let one = |partition: &Partition| {
                let mut remarks = Remarks::default();
                let open = self.open_in(partition, now_ms, &mut remarks);
                (
                    open.unwrap_or_else(|error| {
                        remarks.failures.push(error);
                        Vec::new()
                    }),
                    remarks,
                )
            };
            partitions.par_iter().map(|(_, partition)| one(partition)).collect()
        });
        let mut all = Vec::new();
        for (open, remarks) in found {
            all.extend(open);
            outcome |= show_remarks(remarks, ui);
        }
        Ok((all, outcome))
    }

    fn open_in(
        &self,
        partition: &Partition,
        now_ms: TimestampMs,
        remarks: &mut Remarks,
    ) -> Result<Vec<Open>, StorageError> {
        let states = active_producers(partition, remarks)?;
        let since: BTreeMap<_, _> = states.open_txns().map(|(first, producer)| (producer, first)).collect();
        let mut open = Vec::with_capacity(since.len());
        if since.is_empty() {
            return Ok(open);
        }
        let log_end = partition.log_end()?;
        let extents = extents(partition, &since, &mut remarks.damages)?;
        for (number, (first, producer_id)) in states.open_txns().enumerate() {
            let Some(state) = states.producer(producer_id) else { continue };
            let known = self.coordinator.of_producer(producer_id);
            let may_have_ended = remarks.damages.reach_above(first);
            let txn =
                OpenTransaction { partition: partition.topic_partition().clone(), producer_id, first, may_have_ended };
            open.push(Open {
                producer_epoch: state.producer_epoch,
                coordinator_epoch: state.coordinator_epoch,
                last_timestamp_ms: state.last_timestamp_ms,
                since_ms: match known {
                    Some((_, known)) if known.state.holds(&txn.partition) => known.state.start_ms,
                    _ => state.last_timestamp_ms,
                },
                extent: extents.get(&producer_id).copied().unwrap_or_default(),
                holds_last_stable: number == 0,
                log_end,
                transactional_id: known.map(|(id, _)| id.to_owned()),
                verdict: self.coordinator.judge(&txn, self.count, now_ms),
                txn,
            });
        }
        Ok(open)
    }
}
