//! Where a mirror stands, as the cluster itself has it: the committed records of a topic of one partition, read to its end.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Cluster, ClusterError, REQUEST_MAX, Reader, serve};
use super::mm2::{Checkpoint, OffsetSync};
use super::native;

/// How long records may still come after a reader was told that there are no more.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// How often somebody else's transaction is asked for.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Reads progress, and knows whether what it has read is all there is.
///
/// What a reader of committed records takes for the end of a topic is the last stable offset, as the replica that it asks knows
/// it. Progress that lies behind it is not seen, and its records would be sent again.
pub struct Progress<'c> {
    cluster: &'c Cluster,
    /// Sees committed records, as leaders have them.
    committed: Reader,
    /// Knows where partitions end, whatever is open in them.
    all: Reader,
    waits: bool,
}

impl<'c> Progress<'c> {
    /// Readers in `group`, which commit nothing. One that `waits` reads to the end of what there is, or fails; another one
    /// takes what is committed at that moment.
    pub fn open(cluster: &'c Cluster, group: &str, waits: bool) -> Result<Progress<'c>, ClusterError> {
        // A rack of the user's would have a follower asked, which may lag.
        let of = |isolation| cluster.reader_with(group, &[("isolation.level", isolation), ("client.rack", "")]);
        Ok(Progress { cluster, committed: of("read_committed")?, all: of("read_uncommitted")?, waits })
    }

    /// One of its clients, for other requests.
    pub const fn reader(&self) -> &Reader {
        &self.committed
    }

    /// First and next offset of a partition: what is in an open transaction counts.
    pub fn ends(&self, topic: &str, partition: i32) -> Result<(i64, i64), ClusterError> {
        let asked = Instant::now();
        loop {
            match self.all.fetch_watermarks(topic, partition, REQUEST_MAX) {
                // A leader that is new says so until it knows the end (KIP-207); librdkafka passes that on.
                Err(error) if is_passing(&error) && asked.elapsed() < REQUEST_MAX => std::thread::sleep(ASK_EVERY),
                Err(error) => return Err(self.cluster.failed(&format!("offsets of {topic}-{partition}"), &error)),
                Ok(ends) => return Ok(ends),
            }
        }
    }

    /// Hands every committed sync of `topic` to `see`, in the order written. Records that are none are passed over.
    pub fn read_syncs(&self, topic: &str, mut see: impl FnMut(OffsetSync)) -> Result<(), ClusterError> {
        self.read_to_end(topic, |message| {
            // Whose key is no text is none of a sync's.
            let headers =
                native::headers(message).filter_map(|(key, value)| Some((std::str::from_utf8(key).ok()?, value)));
            let (Some(key), Some(value)) = (message.key(), message.payload()) else { return };
            if let Ok(sync) = OffsetSync::parse(key, value, headers) {
                see(sync);
            }
        })
    }

    /// The same of checkpoints.
    pub fn read_checkpoints(&self, topic: &str, mut see: impl FnMut(Checkpoint)) -> Result<(), ClusterError> {
        self.read_to_end(topic, |message| {
            let (Some(key), Some(value)) = (message.key(), message.payload()) else { return };
            if let Ok(checkpoint) = Checkpoint::parse(key, value) {
                see(checkpoint);
            }
        })
    }

    /// Where the topic ends, once everything in front of it is decided; `None` where it holds nothing, or nobody waits.
    fn settled_end(&self, topic: &str) -> Result<Option<i64>, ClusterError> {
        if !self.waits {
            return Ok(None);
        }
        let (low, high) = self.ends(topic, 0)?;
        if low == high {
            return Ok(None);
        }
        let asked = Instant::now();
        loop {
            match ends(self.cluster, &self.committed, topic, 0) {
                Ok((_, stable)) if stable >= high => return Ok(Some(high)),
                Ok((_, stable)) if asked.elapsed() > REQUEST_MAX => {
                    return Err(ClusterError::Unsettled { topic: topic.to_owned(), stable, high });
                }
                // A new leader does not know at once.
                Err(error) if asked.elapsed() > REQUEST_MAX => return Err(error),
                _ => std::thread::sleep(ASK_EVERY),
            }
        }
    }

    /// Hands every committed record of the topic's one partition to `see`.
    fn read_to_end(&self, topic: &str, mut see: impl FnMut(&BorrowedMessage<'_>)) -> Result<(), ClusterError> {
        let reader = &self.committed;
        let what = format!("reading topic '{topic}'");
        let failed = |error: KafkaError| self.cluster.failed(&what, &error);
        let end = self.settled_end(topic)?.unwrap_or(0);
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, 0, Offset::Beginning).map_err(failed)?;
        reader.assign(&assignment).map_err(failed)?;
        let (mut heard, mut next, mut at_end) = (Instant::now(), 0, None);
        let done = loop {
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    see(&message);
                    (heard, next, at_end) = (Instant::now(), message.offset() + 1, None);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => at_end = Some(Instant::now()),
                // Brokers come and go; who stays away is met below.
                Some(Err(error)) if heard.elapsed() > REQUEST_MAX => break Err(failed(error)),
                None if heard.elapsed() > REQUEST_MAX => {
                    let reason = format!("nothing was heard for {} s", REQUEST_MAX.as_secs());
                    break Err(ClusterError::Failed { what: what.clone(), reason });
                }
                Some(Err(_)) | None => {}
            }
            let Some(since) = at_end else { continue };
            if next.max(position(reader)) >= end {
                break Ok(());
            }
            // A leader that is new may not know all of it yet. Batches without records, which compaction leaves, have no
            // position: then it is the leader's word that counts, and one that does not know says so (KIP-207).
            if since.elapsed() > SETTLE_MAX {
                match self.settled_end(topic) {
                    Ok(_) => break Ok(()),
                    Err(error) => break Err(error),
                }
            }
        };
        let _ = reader.unassign();
        serve(reader);
        done
    }
}

/// Whether a leader is only about to be there.
fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition, OffsetNotAvailable};
    error
        .rdkafka_error_code()
        .is_some_and(|code| matches!(code, LeaderNotAvailable | NotLeaderForPartition | OffsetNotAvailable))
}

/// Where the reader of one partition goes on: markers of transactions, which it is not shown, count.
fn position(reader: &Reader) -> i64 {
    let positions = reader.position().ok();
    let elements = positions.as_ref().map(TopicPartitionList::elements).unwrap_or_default();
    let known = elements.iter().filter_map(|element| match element.offset() {
        Offset::Offset(at) => Some(at),
        _ => None,
    });
    known.max().unwrap_or(0)
}

/// First and next offset of a partition; to a reader of committed records it ends where the first open transaction begins.
pub fn ends(cluster: &Cluster, reader: &Reader, topic: &str, partition: i32) -> Result<(i64, i64), ClusterError> {
    let asked = reader.fetch_watermarks(topic, partition, REQUEST_MAX);
    asked.map_err(|error| cluster.failed(&format!("offsets of {topic}-{partition}"), &error))
}

#[cfg(test)]
mod tests {
    use super::super::properties::Properties;
    use super::*;

    #[test]
    fn a_rack_of_the_users_is_no_reason_to_fail() {
        let mut properties = Properties::default();
        properties.add("client.rack=r1").unwrap();
        let cluster = Cluster::new("127.0.0.1:1", properties).unwrap();
        let progress = Progress::open(&cluster, "test", true).unwrap();
        assert_eq!(position(progress.reader()), 0, "nothing is assigned");
    }
}
