//! The settings of a log, under Kafka's names and with its defaults.

use crate::storage::index::build::IndexLimits;
use crate::types::TimestampMs;

/// What of a topic's and a broker's configuration decides about the files of a log.
///
/// Defaults are those of Kafka 4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment never grows beyond it.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment rolls when an append is so much younger than its first batch.
    pub segment_ms: TimestampMs,
    /// `segment.index.bytes`: size at which an index is full and the segment rolls.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`: log bytes between two index entries.
    pub index_interval_bytes: u32,
    /// `max.message.bytes`: largest batch that is taken, as stored.
    pub max_message_bytes: u32,
    /// `preallocate`: a new segment's log has its full size from the start, filled with zeros.
    pub preallocate: bool,
    /// `flush.messages`: records after which a log is flushed.
    pub flush_messages: u64,
    /// `flush.ms`: time after which a log is flushed.
    pub flush_ms: u64,
    /// `producer.id.expiration.ms`: a producer that wrote nothing for so long is forgotten.
    pub producer_id_expiration_ms: TimestampMs,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            max_message_bytes: 1_048_588,
            preallocate: false,
            flush_messages: u64::MAX,
            flush_ms: u64::MAX,
            producer_id_expiration_ms: 24 * 3_600_000,
        }
    }
}

impl LogConfig {
    /// The part that decides about index entries.
    pub fn index_limits(&self) -> IndexLimits {
        IndexLimits {
            interval_bytes: u64::from(self.index_interval_bytes),
            index_bytes_max: u64::from(self.segment_index_bytes),
        }
    }
}
