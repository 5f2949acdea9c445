//! Where a mirror stands, as the cluster itself has it: the committed records of a topic of one partition, read to its end.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Cluster, ClusterError, REQUEST_MAX, Reader, serve};
use super::mm2::{Checkpoint, OffsetSync};

/// Hands every committed sync of `topic` to `see`, in the order written. Records that are none are passed over.
pub fn read_syncs(
    cluster: &Cluster,
    reader: &Reader,
    topic: &str,
    mut see: impl FnMut(OffsetSync),
) -> Result<(), ClusterError> {
    read_to_end(cluster, reader, topic, |message| {
        let headers = message.headers();
        let headers = headers.into_iter().flat_map(|headers| headers.iter().map(|header| (header.key, header.value)));
        let (Some(key), Some(value)) = (message.key(), message.payload()) else { return };
        if let Ok(sync) = OffsetSync::parse(key, value, headers) {
            see(sync);
        }
    })
}

/// The same of checkpoints.
pub fn read_checkpoints(
    cluster: &Cluster,
    reader: &Reader,
    topic: &str,
    mut see: impl FnMut(Checkpoint),
) -> Result<(), ClusterError> {
    read_to_end(cluster, reader, topic, |message| {
        let (Some(key), Some(value)) = (message.key(), message.payload()) else { return };
        if let Ok(checkpoint) = Checkpoint::parse(key, value) {
            see(checkpoint);
        }
    })
}

/// Hands every committed record of the topic's one partition to `see`.
fn read_to_end(
    cluster: &Cluster,
    reader: &Reader,
    topic: &str,
    mut see: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), ClusterError> {
    let what = format!("reading topic '{topic}'");
    let failed = |error: KafkaError| cluster.failed(&what, &error);
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning).map_err(failed)?;
    reader.assign(&assignment).map_err(failed)?;
    let mut heard = Instant::now();
    let done = loop {
        match reader.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                see(&message);
                heard = Instant::now();
            }
            Some(Err(KafkaError::PartitionEOF(_))) => break Ok(()),
            // Brokers come and go; who stays away is met below.
            Some(Err(error)) if heard.elapsed() > REQUEST_MAX => break Err(failed(error)),
            None if heard.elapsed() > REQUEST_MAX => {
                let reason = format!("nothing was heard for {} s", REQUEST_MAX.as_secs());
                break Err(ClusterError::Failed { what: what.clone(), reason });
            }
            Some(Err(_)) | None => {}
        }
    };
    let _ = reader.unassign();
    serve(reader);
    done
}

/// First and next offset of a partition.
pub fn ends(cluster: &Cluster, reader: &Reader, topic: &str, partition: i32) -> Result<(i64, i64), ClusterError> {
    let asked = reader.fetch_watermarks(topic, partition, REQUEST_MAX);
    asked.map_err(|error| cluster.failed(&format!("offsets of {topic}-{partition}"), &error))
}
