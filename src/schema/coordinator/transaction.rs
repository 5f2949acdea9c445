//! Records of `__transaction_state`: what the transaction coordinator knows of each transactional id
//! (`TransactionLog`, `TransactionMetadata`).

use thiserror::Error;

use super::RecordType;
use crate::schema::message::{Default, Field, Fields, Kind, Message, Value};
use crate::types::{ProducerId, TimestampMs, TopicPartition};

const ARRAY_I32: Kind = Kind::Array(&Kind::I32);

const TRANSACTION_LOG_VALUE_PARTITIONS_SCHEMA: &[Field] =
    &[Field::new("topic", Kind::String), Field::new("partitionIds", ARRAY_I32)];

/// The record type of Kafka 4.3.
pub const RECORDS: &[RecordType] = &[RecordType {
    id: 0,
    name: "TransactionLog",
    key: Message {
        api_key: 0,
        name: "TransactionLogKey",
        versions: (0, 0),
        flexible_from: i16::MAX,
        fields: &[Field::new("transactionalId", Kind::String)],
    },
    value: Message {
        api_key: 0,
        name: "TransactionLogValue",
        versions: (0, 1),
        flexible_from: 1,
        fields: &[
            Field::new("producerId", Kind::I64),
            Field::new("previousProducerId", Kind::I64).since(1).tagged(0, 1).or(Default::Number(-1)),
            Field::new("nextProducerId", Kind::I64).since(1).tagged(1, 1).or(Default::Number(-1)),
            Field::new("producerEpoch", Kind::I16),
            Field::new("nextProducerEpoch", Kind::I16).since(1).tagged(3, 1).or(Default::Number(-1)),
            Field::new("transactionTimeoutMs", Kind::I32),
            Field::new("transactionStatus", Kind::I8),
            Field::new("transactionPartitions", Kind::Array(&Kind::Struct(TRANSACTION_LOG_VALUE_PARTITIONS_SCHEMA)))
                .nullable(0),
            Field::new("transactionLastUpdateTimestampMs", Kind::I64),
            Field::new("transactionStartTimestampMs", Kind::I64),
            Field::new("clientTransactionVersion", Kind::I16).since(1).tagged(2, 1),
        ],
    },
}];

/// State of a transaction (`TransactionState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionStatus {
    /// None has begun since the id was initialised.
    Empty,
    /// Begun; partitions may still be added.
    Ongoing,
    /// To be committed: markers are on their way to the partitions.
    PrepareCommit,
    /// To be aborted: markers are on their way.
    PrepareAbort,
    /// Committed, every partition has its marker.
    CompleteCommit,
    /// Aborted, every partition has its marker.
    CompleteAbort,
    /// The id has expired.
    Dead,
    /// The producer is about to be fenced.
    PrepareEpochFence,
}

impl TransactionStatus {
    const ALL: [(TransactionStatus, &str, &str); 8] = [
        (TransactionStatus::Empty, "Empty", "EMPTY"),
        (TransactionStatus::Ongoing, "Ongoing", "ONGOING"),
        (TransactionStatus::PrepareCommit, "PrepareCommit", "PREPARE_COMMIT"),
        (TransactionStatus::PrepareAbort, "PrepareAbort", "PREPARE_ABORT"),
        (TransactionStatus::CompleteCommit, "CompleteCommit", "COMPLETE_COMMIT"),
        (TransactionStatus::CompleteAbort, "CompleteAbort", "COMPLETE_ABORT"),
        (TransactionStatus::Dead, "Dead", "DEAD"),
        (TransactionStatus::PrepareEpochFence, "PrepareEpochFence", "PREPARE_EPOCH_FENCE"),
    ];

    /// The one of this number.
    pub fn of_id(id: i64) -> Option<TransactionStatus> {
        let known = TransactionStatus::ALL.get(usize::try_from(id).ok()?)?;
        Some(known.0)
    }

    /// As `kafka-transactions.sh` prints it: `PrepareCommit`.
    pub fn name(self) -> &'static str {
        TransactionStatus::ALL[self as usize].1
    }

    /// As Kafka's code has it: `PREPARE_COMMIT`.
    pub fn constant_name(self) -> &'static str {
        TransactionStatus::ALL[self as usize].2
    }

    /// Whether a transaction is going on: begun, and not every partition has its marker.
    pub const fn is_pending(self) -> bool {
        matches!(
            self,
            TransactionStatus::Ongoing
                | TransactionStatus::PrepareCommit
                | TransactionStatus::PrepareAbort
                | TransactionStatus::PrepareEpochFence
        )
    }
}

/// What the coordinator knows of a transactional id (`TransactionMetadata`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionState {
    /// Id of its producer.
    pub producer_id: ProducerId,
    /// The id before, where it changed; -1 for none.
    pub previous_producer_id: ProducerId,
    /// The id to come, while a change is prepared; -1 for none.
    pub next_producer_id: ProducerId,
    /// Epoch of the producer.
    pub producer_epoch: i16,
    /// After how many ms a transaction is aborted.
    pub timeout_ms: i32,
    /// State of the transaction.
    pub status: TransactionStatus,
    /// Partitions of the transaction.
    pub partitions: Vec<TopicPartition>,
    /// When this was written, in ms since the epoch.
    pub last_update_ms: TimestampMs,
    /// When the transaction began, in ms since the epoch; -1 for never.
    pub start_ms: TimestampMs,
    /// Transaction version of the client (KIP-890).
    pub client_version: i16,
}

/// A value that no coordinator of Kafka 4.3 can load (`TransactionLog.read`).
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum TransactionError {
    /// No such state.
    #[error("unknown transaction status {0}")]
    Status(i64),
    /// No list of partitions, which only an empty transaction may have.
    #[error("no partitions, although the transaction is {0}")]
    Partitions(&'static str),
    /// No such transaction version of a client.
    #[error("unknown client transaction version {0}")]
    ClientVersion(i16),
}

/// Newest `transaction.version` of Kafka 4.3.
const TRANSACTION_VERSION_MAX: i16 = 2;

impl TransactionState {
    /// Whether an ongoing transaction is older than its timeout (`TransactionStateManager.timedOutTransactions`).
    pub const fn is_expired(&self, now_ms: TimestampMs) -> bool {
        matches!(self.status, TransactionStatus::Ongoing)
            && self.start_ms.saturating_add(self.timeout_ms as i64) < now_ms
    }

    /// Whether a transaction is going on in this partition.
    pub fn holds(&self, partition: &TopicPartition) -> bool {
        self.status.is_pending() && self.partitions.contains(partition)
    }

    /// Reads the fields of a value of [`RECORDS`].
    pub fn of(fields: &Fields<'_>) -> Result<TransactionState, TransactionError> {
        let short = |name: &str| i16::try_from(fields.long(name)).unwrap_or(-1);
        let status_id = fields.long("transactionStatus");
        let status = TransactionStatus::of_id(status_id).ok_or(TransactionError::Status(status_id))?;
        if status != TransactionStatus::Empty && fields.get("transactionPartitions") == Some(&Value::Null) {
            return Err(TransactionError::Partitions(status.name()));
        }
        let client_version = short("clientTransactionVersion");
        if !(0..=TRANSACTION_VERSION_MAX).contains(&client_version) {
            return Err(TransactionError::ClientVersion(client_version));
        }
        Ok(TransactionState {
            producer_id: ProducerId(fields.long("producerId")),
            previous_producer_id: ProducerId(fields.long("previousProducerId")),
            next_producer_id: ProducerId(fields.long("nextProducerId")),
            producer_epoch: short("producerEpoch"),
            timeout_ms: fields.int("transactionTimeoutMs"),
            status,
            partitions: fields.partitions("transactionPartitions", "partitionIds"),
            last_update_ms: fields.long("transactionLastUpdateTimestampMs"),
            start_ms: fields.long("transactionStartTimestampMs"),
            client_version,
        })
    }
}
