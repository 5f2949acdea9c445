//! A transactional id, an open transaction or a producer as one row.

use super::books::{Books, Open};
use crate::cli::json_row::JsonRow;
use crate::cli::table::{Column, Listing};
use crate::cli::ui::Ui;
use crate::schema::coordinator::transaction::TransactionStatus;
use crate::storage::coordinator::transactions::TransactionalId;
use crate::storage::producer_states::ProducerState;
use crate::types::{NO_TIMESTAMP, TimestampMs, TopicPartition};

/// Columns of transactional ids.
pub const IDS: &[Column] = &[
    Column::left("TRANSACTIONAL_ID", 20),
    Column::right("COORDINATOR", 11),
    Column::right("PRODUCER_ID", 11),
    Column::right("EPOCH", 5),
    Column::left("STATE", 14),
    Column::left("STARTED", 24),
    Column::right("AGE", 8),
    Column::right("TIMEOUT", 8),
    Column::right("PARTITIONS", 10),
];

/// Columns of open transactions.
pub const OPEN: &[Column] = &[
    Column::left("TOPIC", 12),
    Column::right("PARTITION", 9),
    Column::right("FIRST_OFFSET", 12),
    Column::right("RECORDS", 7),
    Column::right("SIZE", 9),
    Column::right("AGE", 8),
    Column::right("PRODUCER_ID", 11),
    Column::right("EPOCH", 5),
    Column::left("TRANSACTIONAL_ID", 16),
    Column::right("BLOCKS", 6),
    Column::left("VERDICT", 11),
    Column::left("REASON", 0),
];

/// Columns of producers.
pub const PRODUCERS: &[Column] = &[
    Column::left("TOPIC", 12),
    Column::right("PARTITION", 9),
    Column::right("PRODUCER_ID", 11),
    Column::right("EPOCH", 5),
    Column::right("COORDINATOR_EPOCH", 17),
    Column::right("LAST_SEQUENCE", 13),
    Column::left("LAST_TIMESTAMP", 24),
    Column::right("OPEN_SINCE", 10),
];

/// How long ago: `-` for none; negative for what is still to come, by a clock that is ahead of the one asked.
pub fn age_text(since_ms: TimestampMs, now_ms: TimestampMs) -> String {
    if since_ms == NO_TIMESTAMP { "-".to_owned() } else { span_text(now_ms.saturating_sub(since_ms)) }
}

/// A length of time in its two largest units: `3d4h`, `1m30s`, `-250ms`.
pub fn span_text(ms: i64) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    let seconds = ms / 1_000;
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit}{small}{small_unit}"),
    };
    let span = match seconds {
        _ if ms < 1_000 => format!("{ms}ms"),
        0..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    };
    format!("{sign}{span}")
}

/// Columns of the partitions that a transaction holds.
pub const PARTITIONS: &[Column] =
    &[Column::left("TRANSACTIONAL_ID", 20), Column::left("TOPIC", 12), Column::right("PARTITION", 9)];

/// Appends the row of a partition that the transaction of an id holds.
pub fn partition_row(listing: &mut Listing, id: &str, partition: &TopicPartition, out: &mut Vec<u8>) {
    listing.text(id.as_bytes(), out);
    listing.text(partition.topic.as_bytes(), out);
    listing.number(partition.partition, out);
    listing.end_row(out);
}

/// When the transaction began that is going on; -1 for none.
fn started_ms(known: &TransactionalId) -> TimestampMs {
    if known.state.status.is_pending() { known.state.start_ms } else { NO_TIMESTAMP }
}

/// Appends the row of a transactional id.
pub fn id_row(listing: &mut Listing, id: &str, known: &TransactionalId, now_ms: TimestampMs, ui: &mut Ui) {
    let mut time = ui.time_text();
    let out = ui.out().buffer();
    let state = &known.state;
    listing.text(id.as_bytes(), out);
    listing.number(known.coordinator_partition, out);
    listing.number(state.producer_id.0, out);
    listing.number(state.producer_epoch, out);
    listing.text(state.status.name().as_bytes(), out);
    listing.with(out, |cell| time.write(started_ms(known), cell));
    listing.text(age_text(started_ms(known), now_ms).as_bytes(), out);
    listing.text(span_text(state.timeout_ms.into()).as_bytes(), out);
    listing.number(state.partitions.len(), out);
    listing.end_row(out);
}

fn partitions_json(partitions: &[TopicPartition]) -> serde_json::Value {
    let one =
        |partition: &TopicPartition| serde_json::json!({"topic": partition.topic, "partition": partition.partition});
    partitions.iter().map(one).collect()
}

/// The object of a transactional id.
pub fn id_json(id: &str, known: &TransactionalId, books: &Books, now_ms: TimestampMs) -> JsonRow {
    let state = &known.state;
    let started = Some(started_ms(known)).filter(|ms| *ms >= 0);
    JsonRow::new("transactional_id")
        .field("transactional_id", id)
        .field("coordinator_partition", known.coordinator_partition)
        .field("coordinator_broker", Some(books.broker_of(known.coordinator_partition)).filter(|broker| *broker >= 0))
        .field("offset", known.offset.get())
        .field("producer_id", state.producer_id.0)
        .field("producer_epoch", state.producer_epoch)
        .field("state", state.status.name())
        .field("timeout_ms", state.timeout_ms)
        .field("start_ms", state.start_ms)
        .field("last_update_ms", state.last_update_ms)
        .field("age_ms", started.map(|ms| now_ms.saturating_sub(ms)))
        .field("expired", state.is_expired(now_ms))
        .field("client_transaction_version", state.client_version)
        .field("partitions", partitions_json(&state.partitions))
}

/// Appends the row of an open transaction.
pub fn open_row(listing: &mut Listing, open: &Open, now_ms: TimestampMs, ui: &mut Ui) {
    let size = ui.size_style().text(open.extent.size_bytes);
    let out = ui.out().buffer();
    listing.text(open.txn.partition.topic.as_bytes(), out);
    listing.number(open.txn.partition.partition, out);
    listing.number(open.txn.first.get(), out);
    listing.number(open.extent.records, out);
    listing.text(size.as_bytes(), out);
    listing.text(age_text(open.since_ms, now_ms).as_bytes(), out);
    listing.number(open.txn.producer_id.0, out);
    listing.number(open.producer_epoch, out);
    listing.text(open.transactional_id.as_deref().unwrap_or("-").as_bytes(), out);
    match open.holds_last_stable {
        true => listing.number(blocked(open), out),
        false => listing.text(b"-", out),
    }
    listing.text(open.verdict.name().as_bytes(), out);
    listing.text(open.verdict.reason().as_bytes(), out);
    listing.end_row(out);
}

/// Offsets that consumers with read_committed do not get to see because of it.
fn blocked(open: &Open) -> i64 {
    open.log_end.get() - open.txn.first.get()
}

/// The object of an open transaction.
pub fn open_json(open: &Open, books: &Books, now_ms: TimestampMs) -> JsonRow {
    let known = books.coordinator.of_producer(open.txn.producer_id).map(|(_, known)| known);
    JsonRow::new("open_transaction")
        .field("topic", open.txn.partition.topic.as_str())
        .field("partition", open.txn.partition.partition)
        .field("first_offset", open.txn.first.get())
        .field("batches", open.extent.batches)
        .field("records", open.extent.records)
        .field("size_bytes", open.extent.size_bytes)
        .field("last_timestamp_ms", open.last_timestamp_ms)
        .field("age_ms", now_ms.saturating_sub(open.since_ms))
        .field("producer_id", open.txn.producer_id.0)
        .field("producer_epoch", open.producer_epoch)
        .field("coordinator_epoch", open.coordinator_epoch)
        .field("transactional_id", open.transactional_id.as_deref())
        .field("state", known.map(|known| known.state.status.name()))
        .field("start_ms", known.map(|known| known.state.start_ms))
        .field("timeout_ms", known.map(|known| known.state.timeout_ms))
        .field("holds_last_stable_offset", open.holds_last_stable)
        .field("blocked_offsets", open.holds_last_stable.then(|| blocked(open)))
        .field("verdict", open.verdict.name())
        .field("reason", open.verdict.reason())
}

/// Appends the row of a producer.
pub fn producer_row(listing: &mut Listing, partition: &TopicPartition, state: &ProducerState, ui: &mut Ui) {
    let mut time = ui.time_text();
    let out = ui.out().buffer();
    listing.text(partition.topic.as_bytes(), out);
    listing.number(partition.partition, out);
    listing.number(state.producer_id.0, out);
    listing.number(state.producer_epoch, out);
    listing.number(state.coordinator_epoch, out);
    listing.number(state.last_sequence(), out);
    listing.with(out, |cell| time.write(state.last_timestamp_ms, cell));
    match state.open_txn {
        Some(first) => listing.number(first.get(), out),
        None => listing.text(b"-", out),
    }
    listing.end_row(out);
}

/// The object of a producer.
pub fn producer_json(partition: &TopicPartition, state: &ProducerState) -> JsonRow {
    JsonRow::new("producer")
        .field("topic", partition.topic.as_str())
        .field("partition", partition.partition)
        .field("producer_id", state.producer_id.0)
        .field("producer_epoch", state.producer_epoch)
        .field("coordinator_epoch", state.coordinator_epoch)
        .field("last_sequence", state.last_sequence())
        .field("last_timestamp_ms", state.last_timestamp_ms)
        .field("current_txn_first_offset", state.open_txn.map(|first| first.get()))
}

/// The status of this name, in any case.
pub fn status(text: &str) -> Result<TransactionStatus, String> {
    let all: Vec<_> = (0..).map_while(TransactionStatus::of_id).collect();
    let found = all.iter().find(|status| status.name().eq_ignore_ascii_case(text)).copied();
    found.ok_or_else(|| {
        let names = all.iter().map(|status| status.name()).collect::<Vec<_>>().join(", ");
        format!("expected one of {names}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_two_units() {
        let cases = [
            (0, "0ms"),
            (999, "999ms"),
            (59_999, "59s"),
            (60_000, "1m"),
            (90_000, "1m30s"),
            (3_660_000, "1h1m"),
            (86_400_000, "1d"),
            (90_000_000, "1d1h"),
        ];
        for (ms, expected) in cases {
            assert_eq!(span_text(ms), expected, "{ms}");
        }
        assert_eq!((age_text(-1, 5), age_text(7, 5), age_text(5, 5)), ("-".into(), "-2ms".into(), "0ms".into()));
        assert_eq!(age_text(90_000, 0), "-1m30s");
        assert!(age_text(i64::MIN, i64::MAX).ends_with('h') && age_text(i64::MAX, i64::MIN).starts_with('-'));
    }
}
