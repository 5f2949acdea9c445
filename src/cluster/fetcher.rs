//! Records of partitions from offsets on, as a consumer gets them that sees committed records only.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset as Position, Timestamp, TopicPartitionList};

use super::client::{Cluster, ClusterError, REQUEST_MAX, Reader};
use super::native::{self, RawHeader};
use crate::types::{LeaderEpoch, NO_TIMESTAMP, TimestampMs};

/// What came.
pub enum Fetched<'f> {
    /// A record.
    Record(Record<'f>),
    /// The end of a partition of the topic that is read, as it is now: all that is committed came.
    End(i32),
    /// An offset that was asked for is not there (any more), of one of the partitions: it is read no more.
    OutOfRange,
    /// Nothing, for as long as it was waited for.
    Nothing,
}

/// A record as it came.
pub struct Record<'f>(BorrowedMessage<'f>);

impl Record<'_> {
    /// Topic and partition.
    pub fn place(&self) -> (&str, i32) {
        (self.0.topic(), self.0.partition())
    }

    /// Its offset.
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// Its timestamp; -1 for none.
    pub fn timestamp_ms(&self) -> TimestampMs {
        match self.0.timestamp() {
            Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => ms,
            Timestamp::NotAvailable => NO_TIMESTAMP,
        }
    }

    /// Its key.
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// Its value.
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// The leader epoch of its batch; 0 where the broker does not tell.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(native::leader_epoch(&self.0).unwrap_or(0))
    }

    /// Its headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = RawHeader<'_>> {
        native::headers(&self.0)
    }
}

/// Reads partitions.
pub struct Fetcher<'c> {
    cluster: &'c Cluster,
    consumer: Reader,
    /// What is read, for errors.
    what: String,
}

impl<'c> Fetcher<'c> {
    /// Opens a client; with `tells_ends`, [`Fetched::End`] is told, and all that is read at once has to be of one topic.
    pub fn open(cluster: &'c Cluster, tells_ends: bool) -> Result<Fetcher<'c>, ClusterError> {
        let mut ours = vec![
            // An offset that is gone is told, not passed over.
            ("auto.offset.reset", "error"),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", if tells_ends { "true" } else { "false" }),
        ];
        for (name, value) in [
            ("queued.max.messages.kbytes", "16384"),
            ("fetch.message.max.bytes", "1048576"),
            // A full queue is filled on after this time; in librdkafka's second it has long run dry.
            ("fetch.queue.backoff.ms", "5"),
        ] {
            if !cluster.properties().has(name) {
                ours.push((name, value));
            }
        }
        let consumer = cluster.reader_with("logdir-mirror", &ours)?;
        Ok(Fetcher { cluster, consumer, what: String::new() })
    }

    /// Reads these from now on, and nothing else.
    pub fn read_from<'p>(&mut self, from: impl Iterator<Item = (&'p str, i32, i64)>) -> Result<(), ClusterError> {
        let (mut list, mut topics) = (TopicPartitionList::new(), BTreeSet::new());
        let mut add = |topic, partition, offset| list.add_partition_offset(topic, partition, Position::Offset(offset));
        for (topic, partition, offset) in from {
            topics.insert(topic);
            add(topic, partition, offset).map_err(|error| self.cluster.failed("reading partitions", &error))?;
        }
        let one = topics.first().copied().filter(|_| topics.len() == 1);
        self.what = one.map_or_else(|| "reading topics".to_owned(), |topic| format!("reading '{topic}'"));
        // A topic that the client knows of is read at once; of one that it does not it finds the leaders once a second.
        let _ = self.consumer.fetch_metadata(one, REQUEST_MAX);
        self.consumer.assign(&list).map_err(|error| self.cluster.failed(&self.what, &error))
    }

    /// Reads this one no more.
    pub fn leave(&mut self, topic: &str, partition: i32) -> Result<(), ClusterError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let left = self.consumer.pause(&list);
        left.map_err(|error| self.cluster.failed("leaving a partition", &error))
    }

    /// What comes next, waited for so long.
    pub fn next(&self, wait: Duration) -> Result<Fetched<'_>, ClusterError> {
        match self.consumer.poll(wait) {
            None => Ok(Fetched::Nothing),
            Some(Ok(message)) => Ok(Fetched::Record(Record(message))),
            Some(Err(KafkaError::PartitionEOF(partition))) => Ok(Fetched::End(partition)),
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => Ok(Fetched::OutOfRange),
                // It tries again by itself. A name that is not resolved and a login that fails are what a broker that starts again
                // looks like; who is reached at all is known by now.
                Some(
                    RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::Resolve
                    | RDKafkaErrorCode::Authentication
                    | RDKafkaErrorCode::SSL
                    | RDKafkaErrorCode::MessageTimedOut
                    | RDKafkaErrorCode::OperationTimedOut
                    | RDKafkaErrorCode::RequestTimedOut
                    | RDKafkaErrorCode::NotLeaderForPartition
                    | RDKafkaErrorCode::LeaderNotAvailable
                    | RDKafkaErrorCode::ReplicaNotAvailable
                    | RDKafkaErrorCode::CoordinatorNotAvailable
                    | RDKafkaErrorCode::CoordinatorLoadInProgress,
                ) => Ok(Fetched::Nothing),
                _ => Err(self.cluster.failed(&self.what, &error)),
            },
        }
    }
}
