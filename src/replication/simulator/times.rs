//! How long things take.

/// Times of brokers and clients, in ms; Kafka's defaults under Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// `replica.lag.time.max.ms`: a follower that was not caught up for so long leaves the ISR. Looked at every half of it.
    pub replica_lag_max: u64,
    /// `replica.fetch.wait.max.ms`: an empty fetch is answered after so long.
    pub fetch_wait_max: u64,
    /// `replica.fetch.backoff.ms`: a fetch that was refused is made again after so long.
    pub fetch_backoff: u64,
    /// `replica.high.watermark.checkpoint.interval.ms`.
    pub hw_checkpoint: u64,
    /// `broker.session.timeout.ms`: a broker that was not heard of for so long is fenced.
    pub session_timeout: u64,
    /// `retry.backoff.ms` of the producer.
    pub retry_backoff: u64,
    /// Most that a message is under way.
    pub latency_max: u32,
    /// Most between two records that the client sends.
    pub record_interval_max: u32,
    /// Most until the system has written a page back to its disk.
    pub writeback_max: u32,
    /// Most between two faults.
    pub fault_interval_max: u32,
    /// After the last fault everything runs for so long, so that what stays wrong is seen.
    pub healing: u64,
}

impl Default for Times {
    fn default() -> Times {
        Times {
            replica_lag_max: 30_000,
            fetch_wait_max: 500,
            fetch_backoff: 1_000,
            hw_checkpoint: 5_000,
            session_timeout: 9_000,
            retry_backoff: 100,
            latency_max: 5,
            record_interval_max: 400,
            writeback_max: 30_000,
            fault_interval_max: 6_000,
            healing: 120_000,
        }
    }
}
