//! The small files of a log directory, against what the classes of Kafka 4.3.0 made of the same input.

mod support;

use logdir::storage::checkpoint::{self, CheckpointError};
use logdir::storage::index::SanityError;
use logdir::storage::index::offset::OffsetIndex;
use logdir::storage::index::time::TimeIndex;
use logdir::storage::index::txn::{AbortedTxn, TxnIndex, TxnIndexError, TxnViolation};
use logdir::storage::leader_epochs::{self, EpochEnd, EpochEntry, LeaderEpochs};
use logdir::storage::producer_state::{self, ProducerEntry, SnapshotError};
use logdir::storage::{clean_shutdown, partition_metadata};
use logdir::types::{LeaderEpoch, Offset, ProducerId, TopicPartition, Uuid};
use logdir::wire::{self, Reader, WireError};
use logdir::{crc, types::TimestampMs};
use serde_json::{Value, json};
use support::{compared_all, hex, int, ints, lines, list, text};

fn i32_of(case: &Value, name: &str) -> i32 {
    i32::try_from(int(case, name)).expect("32 bits")
}

fn offset_of(case: &Value, name: &str) -> Offset {
    Offset::new(int(case, name))
}

/// What Kafka throws where we return `error`, and the part of its message that tells refusals apart.
fn kafka_checkpoint_error(error: &CheckpointError) -> (&'static str, String) {
    match error {
        CheckpointError::NotUtf8 { .. } => ("KafkaStorageException", "Malformed".into()),
        CheckpointError::Header { found, .. } => ("KafkaStorageException", format!("Malformed line ... {found}")),
        CheckpointError::Malformed { found, .. } => ("KafkaStorageException", format!("Malformed line ... {found}")),
        CheckpointError::Version { found } => ("KafkaStorageException", format!("Unrecognised version:{found},")),
        CheckpointError::NegativeCount { found } => ("IllegalArgumentException", format!("Illegal Capacity: {found}")),
        CheckpointError::NotANumber { found, .. } => {
            ("NumberFormatException", format!("For input string: \"{found}\""))
        }
        CheckpointError::CountMismatch { expected, found } => {
            ("KafkaStorageException", format!("Expected [{expected}] entries ... but found only [{found}]"))
        }
    }
}

/// Whether `message` holds the parts of `expected` around ` ... `, in order.
fn says(message: &str, expected: &str) -> bool {
    let mut rest = message;
    expected.split(" ... ").all(|part| match rest.split_once(part) {
        Some((_, tail)) => {
            rest = tail;
            true
        }
        None => false,
    })
}

#[test]
fn checkpoints() {
    let Some(cases) = lines("checkpoints") else { return };
    let mut compared = 0;
    for case in &cases {
        let bytes = text(case, "text").as_bytes();
        match text(case, "kind") {
            "leader-epoch-checkpoint" => {
                let found = leader_epochs::parse(bytes);
                if let (Ok(entries), true) = (&found, case["entries"].is_array()) {
                    assert_eq!(leader_epochs::to_text(entries).as_bytes(), bytes, "{case}");
                }
                compare_checkpoint(case, found.map(|entries| json_epochs(&entries)));
            }
            "partition.metadata" => {
                let found = partition_metadata::parse(bytes).unwrap();
                assert_eq!(Some(found.topic_id), Uuid::parse(text(case, "topic_id")), "{case}");
                assert_eq!(found.topic_id.0[..], hex(case, "topic_id_hex"), "{case}");
                assert_eq!(partition_metadata::to_text(found.topic_id).as_bytes(), bytes, "{case}");
            }
            ".kafka_cleanshutdown" => {
                assert_eq!(clean_shutdown::parse(bytes).broker_epoch, case["broker_epoch"].as_i64(), "{case}");
            }
            _ => {
                let found = checkpoint::parse(bytes);
                let written = case["entries"].is_array();
                if let (Ok(file), true) = (&found, written) {
                    let again = checkpoint::to_text(file.entries().iter().map(|(p, offset)| (p, *offset)));
                    assert_eq!(again.as_bytes(), bytes, "{case}");
                }
                let found = found.map(|file| {
                    if written {
                        file.entries().iter().map(|(p, o)| json!([p.topic, p.partition, o.get()])).collect()
                    } else {
                        let mut named: Vec<&TopicPartition> = file.entries().iter().map(|(p, _)| p).collect();
                        named.sort();
                        named.dedup();
                        let offset = |p: &TopicPartition| file.get(p).map(Offset::get);
                        named.into_iter().map(|p| json!([p.to_string(), offset(p)])).collect()
                    }
                });
                compare_checkpoint(case, found);
            }
        }
        compared += 1;
    }
    compared_all("checkpoints", compared, cases.len());
}

fn compare_checkpoint(case: &Value, found: Result<Vec<Value>, CheckpointError>) {
    match found {
        Ok(mut entries) => {
            assert!(case["read_error"].is_null(), "Kafka refuses {case}");
            let expected = if case["entries"].is_array() { "entries" } else { "read" };
            let mut expected = list(case, expected).to_vec();
            // Kafka's own order is that of a hash map.
            entries.sort_by_key(Value::to_string);
            expected.sort_by_key(Value::to_string);
            assert_eq!(entries, expected, "{case}");
        }
        Err(error) => {
            let (exception, message) = kafka_checkpoint_error(&error);
            assert_eq!(case["read_error"], exception, "{error} in {case}");
            assert!(says(text(case, "message"), &message), "{message} in {case}");
        }
    }
}

#[test]
fn index_sanity() {
    let Some(cases) = lines("index-sanity") else { return };
    let mut compared = 0;
    for case in &cases {
        let bytes = hex(case, "bytes");
        let base = offset_of(case, "base_offset");
        let entries = usize::try_from(int(case, "entries")).unwrap();
        let sanity = match text(case, "kind") {
            "index" => {
                let index = OffsetIndex::new(base, &bytes);
                assert_eq!(index.raw_entries(), entries, "{case}");
                let last = entries.checked_sub(1).and_then(|at| index.get(at)).map_or(base, |entry| entry.offset);
                assert_eq!(last, offset_of(case, "last_offset"), "{case}");
                assert_eq!(index.get(entries), None, "{case}");
                if case["what"] == "intact" {
                    assert_eq!((index.len(), index.first_violation()), (entries, None), "{case}");
                }
                index.sanity_check()
            }
            _ => {
                let index = TimeIndex::new(base, &bytes);
                assert_eq!(index.raw_entries(), entries, "{case}");
                let last = entries.checked_sub(1).and_then(|at| index.get(at));
                let last: (TimestampMs, Offset) = last.map_or((-1, base), |entry| (entry.timestamp, entry.offset));
                assert_eq!(vec![last.0, last.1.get()], ints(&case["last_entry"]), "{case}");
                if case["what"] == "intact" {
                    assert_eq!((index.len(), index.first_violation()), (entries, None), "{case}");
                }
                index.sanity_check()
            }
        };
        match sanity {
            Ok(()) => assert_eq!(case["sanity"], "ok", "{case}"),
            Err(error) => {
                let expected = match error {
                    SanityError::LastOffsetBelowBase { last, base } => {
                        format!("the last offset is {last} which is less than the ... offset {base}")
                    }
                    SanityError::LastTimestampBelowFirst { last, first } => {
                        format!("the last timestamp is {last} which is less than the first timestamp {first}")
                    }
                    SanityError::PartialEntry { len, entry_len } => {
                        format!("found {len} bytes which is neither positive nor a multiple of {entry_len}")
                    }
                };
                assert_eq!(case["sanity"]["error"], "CorruptIndexException", "{error} in {case}");
                assert!(says(text(&case["sanity"], "message"), &expected), "{expected} in {case}");
            }
        }
        compared += 1;
    }
    compared_all("index-sanity", compared, cases.len());
}

#[test]
fn index_lookups() {
    let Some(cases) = lines("index-segments") else { return };
    let (mut compared, mut lookups) = (0, 0);
    for case in &cases {
        let base = offset_of(case, "base_offset");
        let (offsets, times) = (hex(&case["live"], "index"), hex(&case["live"], "timeindex"));
        let (offsets, times) = (OffsetIndex::new(base, &offsets), TimeIndex::new(base, &times));
        assert_eq!((offsets.first_violation(), times.first_violation()), (None, None), "{}", case["id"]);
        for query in list(case, "offset_lookups") {
            let found = offsets.lookup(offset_of(query, "offset"));
            assert_eq!(found, offsets.raw_lookup(offset_of(query, "offset")), "{query} in {}", case["id"]);
            let found = vec![found.offset.get(), found.raw_position.into()];
            assert_eq!(found, ints(&query["index_entry"]), "{query} in {}", case["id"]);
            lookups += 1;
        }
        for query in list(case, "timeindex_lookups") {
            let found = times.lookup(int(query, "timestamp"));
            assert_eq!(vec![found.timestamp, found.offset.get()], ints(&query["entry"]), "{query} in {}", case["id"]);
            lookups += 1;
        }
        compared += 1;
    }
    println!("index-segments: {lookups} lookups");
    compared_all("index-segments", compared, cases.len());
}

fn json_epochs(entries: &[EpochEntry]) -> Vec<Value> {
    entries.iter().map(|entry| json!([entry.epoch.0, entry.start.get()])).collect()
}

#[test]
fn leader_epoch_cache() {
    let Some(cases) = lines("leader-epoch-cache") else { return };
    let (mut compared, mut ops, mut queries) = (0, 0, 0);
    for case in &cases {
        let mut epochs = LeaderEpochs::new();
        for op in list(case, "ops") {
            let refused = match text(op, "op") {
                "assign" => {
                    epochs.assign(LeaderEpoch(i32_of(op, "epoch")), offset_of(op, "start_offset")).err().is_some()
                }
                "truncate_from_end" => {
                    epochs.truncate_from_end(offset_of(op, "end_offset"));
                    false
                }
                "truncate_from_start" => {
                    epochs.truncate_from_start(offset_of(op, "start_offset"));
                    false
                }
                other => panic!("{other}"),
            };
            assert_eq!(refused, op["error"].as_str().is_some_and(|e| e.starts_with("IllegalArgument")), "{op}");
            assert_eq!(json_epochs(epochs.entries()), list(op, "entries"), "{op} in {}", case["id"]);
            ops += 1;
        }
        assert_eq!(epochs.latest().map(|entry| i64::from(entry.epoch.0)), case["latest_epoch"].as_i64(), "{case}");
        for query in list(case, "end_offset_for") {
            let found = epochs.end_offset_for(LeaderEpoch(i32_of(query, "epoch")), offset_of(query, "log_end_offset"));
            let found = match found {
                EpochEnd::Known { epoch, end } => (i64::from(epoch.0), end.get()),
                EpochEnd::Unknown => (-1, -1),
            };
            assert_eq!(found, (int(query, "found_epoch"), int(query, "end_offset")), "{query} in {}", case["id"]);
            queries += 1;
        }
        for query in list(case, "epoch_for_offset") {
            let found = epochs.epoch_for_offset(offset_of(query, "offset")).map(|epoch| i64::from(epoch.0));
            assert_eq!(found, query["epoch"].as_i64(), "{query} in {}", case["id"]);
            queries += 1;
        }
        let file = text(case, "file");
        // Kafka creates the file empty and writes it only when something changes.
        let again = epochs.to_text();
        assert_eq!(if file.is_empty() { "0\n0\n" } else { file }, again, "{case}");
        let read = LeaderEpochs::from_entries(&leader_epochs::parse(file.as_bytes()).unwrap()).unwrap();
        assert_eq!(read, epochs, "{case}");
        compared += 1;
    }
    println!("leader-epoch-cache: {ops} operations, {queries} queries");
    compared_all("leader-epoch-cache", compared, cases.len());
}

#[test]
fn producer_snapshots() {
    let Some(cases) = lines("producer-snapshots") else { return };
    let mut compared = 0;
    for case in &cases {
        let bytes = hex(case, "bytes");
        match producer_state::parse(&bytes) {
            Ok(snapshot) => {
                let expected: Vec<_> = list(case, "entries")
                    .iter()
                    .map(|entry| ProducerEntry {
                        producer_id: ProducerId(int(entry, "producer_id")),
                        producer_epoch: i16::try_from(int(entry, "producer_epoch")).unwrap(),
                        last_sequence: i32_of(entry, "last_sequence"),
                        last_offset: offset_of(entry, "last_offset"),
                        offset_delta: i32_of(entry, "offset_delta"),
                        timestamp: int(entry, "timestamp"),
                        coordinator_epoch: i32_of(entry, "coordinator_epoch"),
                        current_txn_first_offset: offset_of(entry, "current_txn_first_offset"),
                    })
                    .collect();
                let mut found = snapshot.entries.clone();
                let mut sorted = expected.clone();
                found.sort_by_key(|entry| entry.producer_id);
                sorted.sort_by_key(|entry| entry.producer_id);
                assert_eq!(found, sorted, "{case}");
                assert_eq!(snapshot.trailing_bytes, 0, "{case}");
                assert_eq!(producer_state::to_bytes(&snapshot.entries), bytes, "{case}");
            }
            Err(error) => {
                let expected = match error {
                    SnapshotError::Truncated { .. } => "schema validation: null".into(),
                    SnapshotError::Version { found } => format!("unknown file version {found}"),
                    SnapshotError::NegativeCount { .. } => "was serialized as null".into(),
                    SnapshotError::CountTooLarge { count, remaining } => {
                        format!("collection of size {count}, but there are only {remaining} bytes remaining")
                    }
                    SnapshotError::CrcMismatch { stored, computed } => {
                        format!("Stored crc: {stored}. Computed crc: {computed}")
                    }
                };
                assert_eq!(case["error"], "CorruptSnapshotException", "{error} in {case}");
                assert!(says(text(case, "error_message"), &expected), "{expected} in {case}");
            }
        }
        compared += 1;
    }
    compared_all("producer-snapshots", compared, cases.len());
}

fn json_txn(txn: &AbortedTxn) -> Vec<i64> {
    vec![txn.producer_id.0, txn.first_offset.get(), txn.last_offset.get(), txn.last_stable_offset.get()]
}

#[test]
fn txn_index() {
    let Some(cases) = lines("txn-index") else { return };
    let (mut compared, mut queries, mut damaged_files) = (0, 0, 0);
    for case in &cases {
        let bytes = hex(case, "bytes");
        let base = offset_of(case, "start_offset");
        let index = TxnIndex::new(base, &bytes);
        let mut appended: Vec<AbortedTxn> = Vec::new();
        for txn in list(case, "appends") {
            let entry = AbortedTxn {
                version: 0,
                producer_id: ProducerId(int(txn, "producer_id")),
                first_offset: offset_of(txn, "first_offset"),
                last_offset: offset_of(txn, "last_offset"),
                last_stable_offset: offset_of(txn, "last_stable_offset"),
            };
            // Kafka refuses to append what would not rise; we call a file that holds it anyway a violation.
            let refused = appended.last().is_some_and(|last| last.last_offset >= entry.last_offset);
            assert_eq!(refused, txn["append_error"].is_string(), "{txn} in {}", case["id"]);
            if refused {
                let bytes: Vec<u8> = appended.iter().chain([&entry]).flat_map(AbortedTxn::to_bytes).collect();
                let found = TxnIndex::new(base, &bytes).first_violation();
                assert!(matches!(found, Some(TxnViolation::LastOffset { .. })), "{found:?} for {txn}");
            } else {
                appended.push(entry);
            }
        }
        assert_eq!(index.entries().collect::<Vec<_>>(), appended, "{case}");
        assert_eq!(appended.iter().flat_map(AbortedTxn::to_bytes).collect::<Vec<_>>(), bytes, "{case}");
        // The generator chose some markers below the base offset; Kafka does not look when it appends.
        let in_segment = appended.iter().all(|txn| txn.last_offset >= base);
        assert_eq!(
            (index.sanity_check().is_ok(), index.first_violation().is_none()),
            (in_segment, in_segment),
            "{case}"
        );
        for query in list(case, "queries") {
            let found =
                index.collect_aborted(offset_of(query, "fetch_offset"), offset_of(query, "upper_bound")).unwrap();
            let aborted: Vec<_> = found.aborted.iter().map(json_txn).collect();
            assert_eq!(json!(aborted), query["aborted"], "{query} in {}", case["id"]);
            assert_eq!(found.is_complete, query["is_complete"], "{query} in {}", case["id"]);
            queries += 1;
        }
        if case["truncate_to"].is_i64() {
            let len = index.len_truncated_to(offset_of(case, "truncate_to")).unwrap().unwrap_or(bytes.len());
            assert_eq!(bytes[..len], hex(case, "bytes_after_truncate"), "{case}");
        }
        if case["damaged"].is_object() {
            let damaged = &case["damaged"];
            let bytes = hex(damaged, "bytes");
            let index = TxnIndex::new(base, &bytes);
            match index.sanity_check() {
                Ok(()) => {
                    assert_eq!(damaged["sanity"], "ok", "{case}");
                    assert_eq!(index.len() as i64, int(damaged, "entries"), "{case}");
                }
                Err(TxnIndexError::Version { found, .. }) => {
                    assert_eq!(damaged["sanity"], "KafkaException", "{case}");
                    assert!(says(text(damaged, "message"), &format!("transaction version {found} ")), "{case}");
                }
                Err(TxnIndexError::LastOffsetBelowBase { last, base, .. }) => {
                    assert_eq!(damaged["sanity"], "CorruptIndexException", "{case}");
                    let expected = format!("lastOffset={last}, ... less than start offset {base}");
                    assert!(says(text(damaged, "message"), &expected), "{case}");
                }
            }
            damaged_files += 1;
        }
        compared += 1;
    }
    println!("txn-index: {queries} queries, {damaged_files} damaged files");
    compared_all("txn-index", compared, cases.len());
}

#[test]
fn varints() {
    let Some(cases) = lines("varints") else { return };
    let mut compared = 0;
    for case in &cases {
        let bytes = hex(case, "bytes");
        match text(case, "kind") {
            "varint" => {
                let value = i32_of(case, "value");
                assert_eq!(written(|out| wire::put_varint(out, value)), bytes, "{case}");
                assert_eq!(bytes.len() as i64, int(case, "size"), "{case}");
                assert_eq!(read_whole(&bytes, Reader::varint), Ok(value), "{case}");
                let unsigned = hex(case, "unsigned_bytes");
                assert_eq!(written(|out| wire::put_unsigned_varint(out, value.cast_unsigned())), unsigned, "{case}");
                assert_eq!(unsigned.len() as i64, int(case, "unsigned_size"), "{case}");
                assert_eq!(read_whole(&unsigned, Reader::unsigned_varint), Ok(value.cast_unsigned()), "{case}");
            }
            "varlong" => {
                let value = int(case, "value");
                assert_eq!(written(|out| wire::put_varlong(out, value)), bytes, "{case}");
                assert_eq!(bytes.len() as i64, int(case, "size"), "{case}");
                assert_eq!(read_whole(&bytes, Reader::varlong), Ok(value), "{case}");
            }
            "decode" => {
                compare_decoded(&bytes, &case["varint"], Reader::varint);
                compare_decoded(&bytes, &case["varlong"], Reader::varlong);
                // Java has no unsigned type: its reader returns the same 32 bits as an int.
                compare_decoded(&bytes, &case["unsigned_varint"], |r| r.unsigned_varint().map(u32::cast_signed));
            }
            other => panic!("{other}"),
        }
        compared += 1;
    }
    compared_all("varints", compared, cases.len());
}

fn written(write: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn read_whole<'a, T>(bytes: &'a [u8], read: impl Fn(&mut Reader<'a>) -> Result<T, WireError>) -> Result<T, WireError> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader)?;
    assert_eq!(reader.remaining(), 0);
    Ok(value)
}

fn compare_decoded<'a, T: Into<i64>>(
    bytes: &'a [u8],
    expected: &Value,
    read: impl Fn(&mut Reader<'a>) -> Result<T, WireError>,
) {
    let mut reader = Reader::new(bytes);
    match read(&mut reader) {
        Ok(value) => {
            let taken = bytes.len() - reader.remaining();
            assert_eq!((value.into(), taken as i64), (int(expected, "value"), int(expected, "read")), "{expected}");
        }
        Err(WireError::Underflow { .. }) => assert_eq!(expected["error"], "BufferUnderflowException", "{bytes:x?}"),
        Err(WireError::VarintTooLong { value }) => {
            assert_eq!(expected["error"], "IllegalArgumentException", "{bytes:x?}");
            let message = text(expected, "message");
            assert!(message.ends_with(&format!("converted value: {value:x}")), "{value:x} in {message}");
        }
    }
}

#[test]
fn crcs() {
    let Some(cases) = lines("crcs") else { return };
    let mut compared = 0;
    for case in &cases {
        let bytes = hex(case, "bytes");
        assert_eq!(i64::from(crc::crc32c(&bytes)), int(case, "crc32c"), "{case}");
        assert_eq!(i64::from(crc::crc32(&bytes)), int(case, "crc32"), "{case}");
        compared += 1;
    }
    compared_all("crcs", compared, cases.len());
}
