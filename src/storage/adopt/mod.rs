//! A partition directory of one cluster taken into a log directory of another.
//!
//! ```text
//!  source, read through            lies about nothing        else: recover it first
//!   `- target's metadata           knows topic, id, node     else: make it there first
//!       `- topic-0.<id>-delete/new/    built, checked, synced    a broker that starts meanwhile removes it
//!           `- topic-0/                takes its name in one step ([`super::swap`]); checkpoints follow
//! ```
//!
//! What belongs to the log comes along: batches byte for byte, offsets, aborted transactions. What belongs to the cluster
//! it came from does not:
//!
//! - **the topic id** is the one the target's cluster gave the topic;
//! - **leader epochs** above those of the target become its own (`epochs` says which Kafka code decides);
//! - **producer state**: ids and their epochs are given out by each cluster from 0 on (`ProducerIdsRecord`), so that a
//!   producer of the target sooner or later has one that wrote here. Its first batch would be taken for a duplicate and
//!   dropped, or refused (`ProducerStateManager`, `ProducerAppendInfo.checkSequence`). So the adopted log ends with an
//!   empty segment and an empty snapshot at its base: no start, clean or not, replays what is below;
//! - **open transactions** have their coordinator elsewhere, where nobody will end them here: a consumer with
//!   read_committed would wait before them for ever. They are refused, or ended by abort markers;
//! - **checkpoints**: recovery point and high watermark are the log's end, the cleaner begins anew.
//!
//! The clean-shutdown marker of the target is left alone: at every moment what has the partition's name is whole, with the
//! indexes and the snapshot a clean start trusts, and the recovery point never vouches for more than is there.

mod build;
mod epochs;
mod existing;
mod moved;
mod plan;
mod remarks;
mod space;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use self::epochs::Survey;
pub use self::moved::{Moved, moved_before};
pub use self::plan::plan;
pub use self::remarks::{Limit, Remark};
pub use self::space::check_space;
use super::fs::StorageError;
use super::names::PartitionDirError;
use super::node::NodeError;
use super::producer_state::ProducerEntry;
use super::recovery::{LoadError, Loss};
use super::restore::RestoreError;
use super::restore::as_kafka::KafkaJob;
use super::swap::{Ends, SwapError};
use super::writer::LogConfig;
use crate::types::{LeaderEpoch, Offset, TimestampMs, TopicPartition, Uuid};

/// What becomes of transactions that are open at the end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenTransactions {
    /// The log is not adopted.
    Refuse,
    /// Each is ended by an abort marker.
    Abort,
    /// They stay open.
    Keep,
}

/// A partition directory to adopt, and where to.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// The directory. Its name, but for what it is for, does not matter.
    pub source: &'a Path,
    /// The log directory it goes to.
    pub log_dir: &'a Path,
    /// The partition it becomes.
    pub partition: TopicPartition,
    /// The topic's id, where the target's metadata does not say it.
    pub topic_id: Option<Uuid>,
    /// Go past [`Refusal::Internal`] and [`Refusal::Replicated`].
    pub force: bool,
    /// Take the place of a partition that holds records, which gets a `-delete` name.
    pub replace: bool,
    /// What becomes of open transactions.
    pub open: OpenTransactions,
    /// The time.
    pub now_ms: TimestampMs,
    /// Settings of the broker; those of the topic are taken from the metadata.
    pub config: LogConfig,
    /// The broker's `server.properties`; empty where it is not known.
    pub properties: &'a BTreeMap<String, String>,
}

/// What adopting a partition comes to.
#[derive(Debug)]
pub struct AdoptPlan {
    /// The directory it comes from.
    pub source: PathBuf,
    /// The log directory it goes to.
    pub log_dir: PathBuf,
    /// The partition it becomes.
    pub partition: TopicPartition,
    /// The topic's id.
    pub topic_id: Uuid,
    /// The leader epoch of the partition in its cluster, as far as it is known: batches get none above.
    pub epoch: LeaderEpoch,
    /// What is there under its name.
    pub existing: Existing,
    /// Transactions that are open at its end.
    pub open_transactions: Vec<ProducerEntry>,
    /// What the batches say.
    pub survey: Survey,
    /// Where its log starts and ends, before markers are added.
    pub ends: Ends,
    /// What a person should know.
    pub remarks: Vec<Remark>,
    /// What would have been refused, but for an option.
    pub passed: Vec<Refusal>,
    job: KafkaJob,
    segments: Vec<(Offset, u64)>,
    open: OpenTransactions,
    now_ms: TimestampMs,
    config: LogConfig,
}

/// What is there under the partition's name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Nothing.
    None,
    /// A partition without a record, as a broker makes it: its place is taken, and it goes.
    Empty,
    /// A partition with records, that gets a `-delete` name.
    Records,
    /// This log, adopted before.
    Adopted,
}

/// Why a partition is not adopted unless an option says so.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// An internal topic speaks of groups, transactions and topics of its own cluster ([`Wish::force`]).
    #[error(
        "topic '{topic}' is internal to its cluster: what it says of groups, producers and topics is true there only"
    )]
    Internal {
        /// The topic.
        topic: String,
    },
    /// It has several replicas: the others have another log, and the leader's counts ([`Wish::force`]).
    #[error(
        "partition {partition} has the replicas {replicas:?}: where another one leads, this one truncates its log to the \
         leader's"
    )]
    Replicated {
        /// The partition.
        partition: TopicPartition,
        /// Its replicas.
        replicas: Vec<i32>,
    },
    /// The partition that is there holds records ([`Wish::replace`]).
    #[error("{}: holds records of its own", path.display())]
    HasRecords {
        /// Its directory.
        path: PathBuf,
    },
    /// Transactions are open at the end of the source ([`Wish::open`]).
    #[error(
        "{}: {} transaction{} open from offset {first} on; the coordinator is in another cluster, and nothing here ends what it began",
        source_dir.display(), producers.len(), if producers.len() == 1 { " is" } else { "s are" }
    )]
    Open {
        /// The source.
        source_dir: PathBuf,
        /// Whose.
        producers: Vec<ProducerEntry>,
        /// First offset of the first.
        first: Offset,
    },
}

/// Why a partition is not adopted. Nothing was changed.
#[derive(Debug, Error)]
pub enum AdoptError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The metadata log of the target cannot be read.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The source has no segment.
    #[error("{}: holds no segment's log: it is no partition directory", path.display())]
    NotAPartition {
        /// The source.
        path: PathBuf,
    },
    /// The source's name says nothing of a partition.
    #[error("{}: its name does not say which partition it holds: {reason}", path.display())]
    Name {
        /// The source.
        path: PathBuf,
        /// What is wrong with it.
        reason: PartitionDirError,
    },
    /// The target is no log directory.
    #[error("{}: no log directory: it has no meta.properties", path.display())]
    NotALogDir {
        /// The target.
        path: PathBuf,
    },
    /// The source is where it would go.
    #[error("{}: is that partition already", path.display())]
    Same {
        /// The source.
        path: PathBuf,
    },
    /// The cluster's metadata is no topic to be taken from one cluster to another.
    #[error("topic '{}' is internal to its cluster: it is the cluster's metadata", super::metadata_log::TOPIC)]
    Metadata,
    /// The target's cluster has no such topic.
    #[error("topic '{topic}' is not known to the cluster: {} has no topic of that name", log.display())]
    UnknownTopic {
        /// The topic.
        topic: String,
        /// How many partitions it would need.
        partitions: i32,
        /// The metadata log.
        log: PathBuf,
    },
    /// Its topic has fewer partitions.
    #[error("partition {partition} does not exist: topic '{}' has {count} partitions in its cluster", partition.topic)]
    NoPartition {
        /// The partition.
        partition: TopicPartition,
        /// How many there are.
        count: usize,
    },
    /// Other nodes hold it.
    #[error("partition {partition} belongs to the nodes {replicas:?}, this one is {node}")]
    OtherNode {
        /// The partition.
        partition: TopicPartition,
        /// Those that hold it.
        replicas: Vec<i32>,
        /// This node.
        node: i32,
    },
    /// It is assigned to another log directory of the node.
    #[error("partition {partition} is assigned to the log directory with the id {directory}{}", of_path(path.as_deref()))]
    OtherDirectory {
        /// The partition.
        partition: TopicPartition,
        /// That directory's id.
        directory: Uuid,
        /// That directory, where it was named.
        path: Option<PathBuf>,
    },
    /// It is there in another log directory of the node: a broker would not start with two.
    #[error("partition {partition} has its directory in {}", path.display())]
    InOtherDirectory {
        /// The partition.
        partition: TopicPartition,
        /// That log directory.
        path: PathBuf,
    },
    /// The id given is not the one the cluster uses.
    #[error("topic '{topic}' has the id {found} in its cluster, not {asked}")]
    TopicId {
        /// The topic.
        topic: String,
        /// The id that was given.
        asked: Uuid,
        /// The cluster's.
        found: Uuid,
    },
    /// Nothing says which id the topic has.
    #[error("the id of topic '{topic}' is not known: {} has no metadata log and no directory of that partition", log_dir.display())]
    NoTopicId {
        /// The topic.
        topic: String,
        /// The target.
        log_dir: PathBuf,
    },
    /// A broker would not open the source.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A broker would cut the source.
    #[error("{}: {}", source_dir.display(), first_of(losses))]
    Damaged {
        /// The source.
        source_dir: PathBuf,
        /// What would go.
        losses: Vec<Loss>,
    },
    /// The source holds no record, and the partition there does.
    #[error("{}: holds no record, and {} does", source_dir.display(), live.display())]
    NothingToAdopt {
        /// The source.
        source_dir: PathBuf,
        /// The partition.
        live: PathBuf,
    },
    /// It was adopted there before, and one is not what the other was.
    #[error("{}: was adopted from there before; {how}", path.display())]
    AdoptedBefore {
        /// The partition.
        path: PathBuf,
        /// What is different now.
        how: &'static str,
    },
    /// A cleaning or a split was interrupted in the source; a broker finishes it at its start.
    #[error("{}: is not in place yet: a cleaning of the log was interrupted", path.display())]
    Unfinished {
        /// The log that is to be.
        path: PathBuf,
    },
    /// Options that were not given stand in the way: all of them.
    #[error("{}", all_of(refusals))]
    Refused {
        /// Each with its reason.
        refusals: Vec<Refusal>,
    },
    /// There is no room for the copy.
    #[error("{}: {needed} bytes are to be written, {free} are free", log_dir.display())]
    NoSpace {
        /// The target.
        log_dir: PathBuf,
        /// Bytes that the copies take.
        needed: u64,
        /// Bytes that its file system has left.
        free: u64,
    },
    /// The result could not be built.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The result could not be put in place.
    #[error(transparent)]
    Swap(#[from] SwapError),
}

fn all_of(refusals: &[Refusal]) -> String {
    let texts: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    texts.join("; and ")
}

fn of_path(path: Option<&Path>) -> String {
    path.map(|path| format!(", {}", path.display())).unwrap_or_default()
}

fn first_of(losses: &[Loss]) -> String {
    let more = losses.len().saturating_sub(1);
    let first = losses.first().map(Loss::to_string).unwrap_or_default();
    if more > 0 { format!("{first} (and {more} more)") } else { first }
}
