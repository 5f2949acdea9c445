//! Transactional ids as `__transaction_state` has them, and transactions that are open in partitions.
//!
//! The coordinator says what shall become of a transaction, partitions say what has: a transaction is open there from
//! its first record to its marker. Where the two do not fit, nobody will ever write the marker, and consumers with
//! read_committed wait for ever: the transaction hangs (KIP-664).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Applied, Event, partitions, replay};
use crate::partitioner::PartitionCount;
use crate::schema::coordinator::transaction::{TransactionState, TransactionStatus};
use crate::schema::coordinator::{self, CoordinatorTopic, CoordinatorValue};
use crate::schema::message::Value;
use crate::storage::log_dir::LogDir;
use crate::storage::partition::Notice;
use crate::storage::remarks::Remarks;
use crate::types::{Offset, ProducerId, TimestampMs, TopicPartition};

/// The newest record of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionalId {
    /// The partition of `__transaction_state` it stands in.
    pub coordinator_partition: i32,
    /// Offset of the record there.
    pub offset: Offset,
    /// What it says.
    pub state: TransactionState,
}

/// All that log directories hold of the transaction coordinator's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransactionCoordinator {
    ids: BTreeMap<String, TransactionalId>,
    by_producer: HashMap<ProducerId, String>,
    partitions: BTreeSet<i32>,
    /// Those of them in which records could not be read.
    damaged: BTreeSet<i32>,
}

/// What a partition's log says of a transaction that no marker has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTransaction {
    /// The partition.
    pub partition: TopicPartition,
    /// Whose it is.
    pub producer_id: ProducerId,
    /// First offset of it.
    pub first: Offset,
    /// Behind that the log is damaged: its marker may have stood there.
    pub may_have_ended: bool,
}

/// What will become of an open transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, or its coordinator ends it.
    Open,
    /// Its coordinator has decided to commit and sends the marker once it runs.
    WillCommit,
    /// Its coordinator has decided to abort and sends the marker once it runs.
    WillAbort,
    /// Older than its timeout: its coordinator aborts it once it runs.
    Expired,
    /// Its coordinator knows nothing of it: no marker will ever come.
    Hanging(Hanging),
    /// It cannot be told.
    Unknown(Unsure),
}

/// Why no marker will ever come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hanging {
    /// No transactional id has this producer.
    NoProducer,
    /// The transaction of the id does not hold this partition.
    NotInTransaction,
}

/// Why it cannot be told what becomes of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsure {
    /// The part of the coordinator's state that would tell is not in these directories, or damaged.
    Coordinator,
    /// Its coordinator does not know it, but the partition's log is damaged where its marker may have stood.
    Log,
}

impl Verdict {
    /// A word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Open => "open",
            Verdict::WillCommit => "will commit",
            Verdict::WillAbort => "will abort",
            Verdict::Expired => "expired",
            Verdict::Hanging(_) => "hanging",
            Verdict::Unknown(_) => "unknown",
        }
    }

    /// Whether somebody should look at it: it is past its timeout, or will never end.
    pub const fn is_trouble(self) -> bool {
        matches!(self, Verdict::Expired | Verdict::Hanging(_))
    }

    /// What it means, and what will happen.
    pub const fn reason(self) -> &'static str {
        match self {
            Verdict::Open => "within its timeout; its producer may go on",
            Verdict::WillCommit => "the coordinator has decided to commit it and sends the marker once it runs",
            Verdict::WillAbort => "the coordinator has decided to abort it and sends the marker once it runs",
            Verdict::Expired => "past its timeout; the coordinator aborts it once it runs",
            Verdict::Hanging(Hanging::NoProducer) => "no transactional id has its producer: no marker will ever come",
            Verdict::Hanging(Hanging::NotInTransaction) => {
                "the coordinator's transaction does not hold this partition: no marker will ever come"
            }
            Verdict::Unknown(Unsure::Coordinator) => {
                "the partition of __transaction_state that would tell is missing or damaged"
            }
            Verdict::Unknown(Unsure::Log) => {
                "its coordinator does not know it, but the log is damaged behind it: its marker may have stood there"
            }
        }
    }
}

impl TransactionCoordinator {
    /// Reads every partition of `__transaction_state` in `log_dirs`. What cannot be read is left out, with a word in
    /// `remarks`.
    pub fn read(log_dirs: &[LogDir], remarks: &mut Remarks) -> TransactionCoordinator {
        let mut coordinator = TransactionCoordinator::default();
        for (number, partition) in partitions(log_dirs, CoordinatorTopic::Transaction, &mut remarks.failures) {
            coordinator.partitions.insert(number);
            let mut said = Vec::new();
            let read = replay(&partition, Offset::ZERO, remarks, &mut |event| {
                let Event::Record { record, .. } = event else { return };
                if let Err(error) = coordinator.apply(number, record) {
                    said.push(Notice::new(partition.dir(), format!("record at offset {}: {error}", record.offset)));
                }
            });
            let is_whole = match read {
                Ok(replayed) => replayed.is_whole,
                Err(error) => {
                    remarks.failures.push(error);
                    false
                }
            };
            if !is_whole || !said.is_empty() {
                coordinator.damaged.insert(number);
            }
            remarks.notices.append(&mut said);
        }
        coordinator.by_producer = coordinator.producers();
        coordinator
    }

    fn apply(&mut self, coordinator_partition: i32, record: Applied<'_>) -> Result<(), String> {
        let key = record.key.ok_or("no key")?;
        let decoded = coordinator::decode(CoordinatorTopic::Transaction, key, record.value);
        let decoded = decoded.map_err(|error| error.to_string())?;
        let Some(Value::String(id)) = decoded.key.get("transactionalId") else { return Err("no id".into()) };
        let state = match &decoded.value {
            CoordinatorValue::Tombstone => {
                self.ids.remove(id.as_ref());
                return Ok(());
            }
            CoordinatorValue::Known(fields) => TransactionState::of(fields).map_err(|error| error.to_string())?,
            CoordinatorValue::Unknown { version, .. } => return Err(format!("value of unknown version {version}")),
        };
        let offset = record.offset;
        self.ids.insert(id.clone().into_owned(), TransactionalId { coordinator_partition, offset, state });
        Ok(())
    }

    fn producers(&self) -> HashMap<ProducerId, String> {
        let of_id = |(id, known): (&String, &TransactionalId)| {
            let state = &known.state;
            let ids = [state.previous_producer_id, state.next_producer_id, state.producer_id];
            ids.into_iter()
                .filter(|producer| producer.is_some())
                .map(|producer| (producer, id.clone()))
                .collect::<Vec<_>>()
        };
        self.ids.iter().flat_map(of_id).collect()
    }

    /// Transactional ids, by name.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = (&str, &TransactionalId)> {
        self.ids.iter().map(|(id, known)| (id.as_str(), known))
    }

    /// One of them.
    pub fn id(&self, id: &str) -> Option<&TransactionalId> {
        self.ids.get(id)
    }

    /// The id whose producer this is, or was before or will be after a change of producers.
    pub fn of_producer(&self, producer_id: ProducerId) -> Option<(&str, &TransactionalId)> {
        let (id, known) = self.ids.get_key_value(self.by_producer.get(&producer_id)?)?;
        Some((id, known))
    }

    /// Partitions of `__transaction_state` that were read.
    pub fn partitions(&self) -> &BTreeSet<i32> {
        &self.partitions
    }

    /// Partitions in which records could not be read: what their ids came to is not certain.
    pub fn damaged(&self) -> &BTreeSet<i32> {
        &self.damaged
    }

    /// Whether all of `count` partitions were read, to the last record.
    pub fn is_whole(&self, count: PartitionCount) -> bool {
        let is_read = |number: &i32| self.partitions.contains(number) && !self.damaged.contains(number);
        (0..count.get()).all(|number| i32::try_from(number).is_ok_and(|number| is_read(&number)))
    }

    /// What will become of a transaction that is open in a partition, at the time `now_ms`. `count` is the number of
    /// partitions of `__transaction_state`, as far as it is known.
    pub fn judge(&self, open: &OpenTransaction, count: Option<PartitionCount>, now_ms: TimestampMs) -> Verdict {
        let hangs = |why| if open.may_have_ended { Verdict::Unknown(Unsure::Log) } else { Verdict::Hanging(why) };
        let unsure = Verdict::Unknown(Unsure::Coordinator);
        let Some((_, known)) = self.of_producer(open.producer_id) else {
            let is_whole = count.is_some_and(|count| self.is_whole(count));
            return if is_whole { hangs(Hanging::NoProducer) } else { unsure };
        };
        let state = &known.state;
        if !state.holds(&open.partition) {
            let is_damaged = self.damaged.contains(&known.coordinator_partition);
            return if is_damaged { unsure } else { hangs(Hanging::NotInTransaction) };
        }
        match state.status {
            TransactionStatus::PrepareCommit => Verdict::WillCommit,
            TransactionStatus::PrepareAbort | TransactionStatus::PrepareEpochFence => Verdict::WillAbort,
            _ if state.is_expired(now_ms) => Verdict::Expired,
            _ => Verdict::Open,
        }
    }
}
