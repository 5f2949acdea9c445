//! Batches as Kafka 4.3 itself encodes and refuses them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use logdir::batch::legacy::{self, LegacyMagic, MessageSetSpec};
use logdir::batch::{
    BatchBuilder, BatchError, BatchSpec, Compression, Compressor, Decompressor, Frame, NewHeader, NewRecord,
    PayloadError, RecordRef, Timestamps,
};
use logdir::types::{Codec, LeaderEpoch, Offset, ProducerId, TimestampType};
use serde_json::{Value, json};

fn bytes_or_digest(bytes: Option<&[u8]>, expected: &Value) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    // Long values are stored as a digest; their length is what can be compared without one.
    if let Some(len) = expected.get("len") {
        return json!({"len": bytes.len(), "sha256": expected["sha256"], "same_len": len == bytes.len()});
    }
    Value::String(data_encoding::HEXLOWER.encode(bytes))
}

fn record_json(record: &RecordRef<'_>, expected: &Value) -> Value {
    let headers: Vec<Value> = record
        .headers
        .iter()
        .enumerate()
        .map(|(at, (key, value))| {
            json!([String::from_utf8_lossy(key), bytes_or_digest(value, &expected["headers"][at][1])])
        })
        .collect();
    json!({
        "offset": record.offset.get(), "timestamp": record.timestamp_ms, "sequence": record.sequence,
        "key": bytes_or_digest(record.key, &expected["key"]),
        "value": bytes_or_digest(record.value, &expected["value"]),
        "headers": headers,
    })
}

#[test]
fn valid_batches_decode_to_the_same_fields() {
    let Some(cases) = support::lines("batches-valid") else { return };
    let mut decompressor = Decompressor::default();
    let (mut batches, mut records, mut unreadable) = (0, 0, 0);
    for case in &cases {
        let id = &case["id"];
        let bytes = support::hex(case, "bytes");
        let mut rest = &bytes[..];
        if case["readable"] == Value::Bool(false) {
            unreadable += 1;
            let frame = Frame::parse(rest).unwrap();
            let read: Result<Vec<_>, PayloadError> =
                frame.records(&mut decompressor).and_then(|records| records.collect());
            assert!(read.is_err(), "{id}: Kafka cannot read this payload, we did");
            continue;
        }
        for expected in case["batches"].as_array().unwrap() {
            let frame = Frame::parse(rest).unwrap_or_else(|error| panic!("{id}: {error}"));
            rest = &rest[frame.bytes().len()..];
            batches += 1;
            assert_eq!(frame.verify_crc(), Ok(()), "{id}");
            let codec = frame.codec().unwrap().name();
            let timestamp_type = frame.timestamp_type().kafka_name();
            let mut found = json!({
                "last_offset": frame.last_offset().get(), "size": frame.size_bytes(), "magic": frame.magic(), "codec": codec,
                "timestamp_type": timestamp_type, "max_timestamp": frame.max_timestamp_ms(), "crc": frame.stored_crc(),
            });
            if let Frame::Batch(batch) = frame {
                let more = json!({
                    "base_offset": batch.base_offset().get(), "partition_leader_epoch": batch.leader_epoch().0,
                    "attributes": batch.attributes(), "last_offset_delta": batch.last_offset_delta(),
                    "base_timestamp": batch.base_timestamp_ms(), "producer_id": batch.producer_id().0,
                    "producer_epoch": batch.producer_epoch(), "base_sequence": batch.base_sequence(),
                    "last_sequence": batch.last_sequence(), "count": batch.record_count(),
                    "transactional": batch.is_transactional(), "control": batch.is_control(),
                    "delete_horizon_ms": batch.delete_horizon_ms(),
                });
                found.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            }
            for (field, value) in found.as_object().unwrap() {
                if let Some(wanted) = expected.get(field) {
                    assert_eq!(value, wanted, "{id}: {field}");
                }
            }
            let read: Result<Vec<_>, PayloadError> =
                frame.records(&mut decompressor).and_then(|records| records.collect());
            let read = read.unwrap_or_else(|error| panic!("{id}: {error}"));
            let wanted = expected["records"].as_array().unwrap();
            assert_eq!(read.len(), wanted.len(), "{id}: records");
            for (record, wanted) in read.iter().zip(wanted) {
                records += 1;
                let found = record_json(record, wanted);
                for (field, value) in found.as_object().unwrap() {
                    if let Some(digest) = value.get("same_len") {
                        assert_eq!(digest, true, "{id}: {field}");
                    } else if let Some(wanted) = wanted.get(field) {
                        assert_eq!(value, wanted, "{id}: {field}");
                    }
                }
                if frame.magic() == 0 {
                    assert_eq!(record.timestamp_type, TimestampType::None, "{id}");
                }
            }
        }
        assert!(rest.is_empty(), "{id}: {} bytes left", rest.len());
    }
    println!("batches-valid: {} cases, {batches} batches, {records} records, {unreadable} unreadable", cases.len());
}

/// What Kafka's exception says, as the reason this library gives for the same thing.
fn reason_agrees(kafka: &str, ours: &PayloadError) -> bool {
    use logdir::batch::RecordError as R;
    let (said, record) = match ours {
        PayloadError::Record(record) => ("record", Some(record)),
        PayloadError::Compression(_) => ("compression", None),
        PayloadError::Header(BatchError::UnknownCodec(_)) => ("codec", None),
        _ => ("wrapper", None),
    };
    let rules: [(&str, bool); 12] = [
        ("Unknown compression type", said == "codec"),
        ("Found invalid record count", matches!(record, Some(R::NegativeCount(_)))),
        ("records still remaining", matches!(record, Some(R::TrailingBytes { .. }))),
        ("premature EOF", matches!(record, Some(R::PrematureEnd { .. } | R::Field { .. } | R::SizeBeyondBatch { .. }))),
        (
            "reached EOF",
            matches!(record, Some(R::SizeBeyondBatch { .. } | R::PrematureEnd { .. })) || said == "compression",
        ),
        ("the buffer has only", matches!(record, Some(R::SizeBeyondBatch { .. }))),
        (
            "expected to read",
            matches!(
                record,
                Some(R::SizeMismatch { .. } | R::Field { .. } | R::HeaderCount { .. } | R::SizeBeyondBatch { .. })
            ),
        ),
        ("invalid number of record headers", matches!(record, Some(R::HeaderCount { .. } | R::Field { .. }))),
        // Kafka reads an uncompressed record's fields past its own end, into the next record.
        ("negative header key size", matches!(record, Some(R::HeaderKeyLength { .. } | R::Field { .. }))),
        (
            "invalid record structure",
            matches!(record, Some(R::Field { .. } | R::HeaderCount { .. } | R::SizeBeyondBatch { .. })),
        ),
        ("Varint is too long", matches!(record, Some(R::Field { .. }))),
        ("Varlong is too long", matches!(record, Some(R::Field { .. }))),
    ];
    match rules.iter().find(|(words, _)| kafka.contains(words)) {
        // Kafka decompresses record by record and meets a broken record before the codec's own checksum.
        Some((_, agrees)) => *agrees || said == "compression",
        None => said == "compression" || said == "wrapper",
    }
}

#[test]
fn invalid_batches_are_refused_where_kafka_refuses_them() {
    let Some(cases) = support::lines("batches-invalid") else { return };
    let mut decompressor = Decompressor::default();
    let (mut frames, mut refused) = (0, 0);
    let mut wrong = Vec::new();
    for case in &cases {
        let label = format!("{} ({})", case["id"], case["what"]);
        let bytes = support::hex(case, "bytes");
        let mut rest = &bytes[..];
        for expected in case["file"]["batches"].as_array().unwrap() {
            frames += 1;
            let frame = match Frame::parse(rest) {
                Ok(frame) => frame,
                Err(error) => {
                    // Kafka frames a v2 batch shorter than its header and then finds it invalid.
                    if expected["ensure_valid"] == "ok" {
                        wrong.push(format!("{label}: does not frame: {error}"));
                    }
                    refused += 1;
                    break;
                }
            };
            rest = &rest[frame.bytes().len()..];
            let valid = frame.verify_crc().is_ok();
            if valid != (expected["ensure_valid"] == "ok") {
                wrong.push(format!("{label}: crc holds {valid}, Kafka {}", expected["ensure_valid"]));
            }
            let read: Result<Vec<_>, PayloadError> =
                frame.records(&mut decompressor).and_then(|records| records.collect());
            match (&read, &expected["iterate"]) {
                (Ok(records), Value::String(_)) => {
                    let offsets: Vec<_> = records.iter().map(|record| record.offset.get()).collect();
                    if json!(offsets) != expected["offsets"] {
                        wrong.push(format!("{label}: offsets {offsets:?}, Kafka {}", expected["offsets"]));
                    }
                }
                (Err(error), Value::Object(kafka)) => {
                    refused += 1;
                    let message = kafka["message"].as_str().unwrap_or_default();
                    if !reason_agrees(message, error) {
                        wrong.push(format!("{label}: we say '{error}', Kafka '{}: {message}'", kafka["error"]));
                    }
                }
                (read, kafka) => wrong.push(format!("{label}: {:?}, Kafka {kafka}", read.as_ref().map(Vec::len))),
            }
        }
    }
    println!("batches-invalid: {} cases, {frames} frames, {refused} refusals", cases.len());
    assert!(wrong.is_empty(), "{} disagree:\n{}", wrong.len(), wrong.join("\n"));
}

/// A record as the vectors describe it, with bytes of its own.
struct Described {
    offset: Offset,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Described {
    /// Long values are stored as a digest: those come from `read`, the same record out of Kafka's bytes.
    fn new(record: &Value, read: &RecordRef<'_>) -> Self {
        let bytes = |field: &Value, read: Option<&[u8]>| match field {
            Value::Null => None,
            Value::String(hex) => Some(data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()),
            digest => {
                assert_eq!(digest["len"], json!(read.unwrap().len()));
                Some(read.unwrap().to_vec())
            }
        };
        let headers = support::list(record, "headers").iter().zip(read.headers.iter());
        Described {
            offset: Offset::new(support::int(record, "offset")),
            // What the record stores, where it reads with another timestamp.
            timestamp_ms: match &record["append_timestamp"] {
                Value::Null => support::int(record, "timestamp"),
                stored => stored.as_i64().unwrap(),
            },
            key: bytes(&record["key"], read.key),
            value: bytes(&record["value"], read.value),
            headers: headers.map(|(h, read)| (h[0].as_str().unwrap().to_owned(), bytes(&h[1], read.1))).collect(),
        }
    }

    fn with<T>(&self, then: impl FnOnce(&NewRecord<'_>) -> T) -> T {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(key, value)| NewHeader { key: key.as_bytes(), value: value.as_deref() })
            .collect();
        then(&NewRecord {
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        })
    }
}

fn batch_from(
    description: &Value,
    records: &[Described],
    compression: Compression,
    compressor: &mut Compressor,
) -> Vec<u8> {
    let int = |name| support::int(description, name);
    let mut builder = BatchBuilder::new(BatchSpec {
        base_offset: Offset::new(int("base_offset")),
        leader_epoch: LeaderEpoch(i32::try_from(int("partition_leader_epoch")).unwrap()),
        compression,
        timestamps: timestamps(description),
        producer_id: ProducerId(int("producer_id")),
        producer_epoch: i16::try_from(int("producer_epoch")).unwrap(),
        base_sequence: i32::try_from(int("base_sequence")).unwrap(),
        transactional: description["transactional"] == true,
        control: description["control"] == true,
        delete_horizon_ms: description["delete_horizon_ms"].as_i64(),
    });
    let last_offset_delta = i32::try_from(int("last_offset_delta")).unwrap();
    if records.is_empty() {
        return builder.seal_empty(last_offset_delta, int("max_timestamp")).into_bytes();
    }
    for record in records {
        record.with(|new| builder.push_at(record.offset, new)).unwrap();
    }
    builder.set_last_offset_delta(last_offset_delta).unwrap();
    builder.seal(compressor).unwrap().into_bytes()
}

fn timestamps(description: &Value) -> Timestamps {
    match description["timestamp_type"].as_str() {
        Some("LogAppendTime") => Timestamps::LogAppend(support::int(description, "max_timestamp")),
        _ => Timestamps::Create,
    }
}

fn message_set_from(batches: &[Value], records: &[Described], codec: Codec, compressor: &mut Compressor) -> Vec<u8> {
    let magic = if batches[0]["magic"] == 0 { LegacyMagic::V0 } else { LegacyMagic::V1 };
    let records: Vec<_> = records
        .iter()
        .map(|record| {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            (record.offset, NewRecord { timestamp_ms: record.timestamp_ms, key, value, headers: &[] })
        })
        .collect();
    let spec = MessageSetSpec { magic, compression: codec.into(), timestamps: timestamps(&batches[0]) };
    let mut out = Vec::new();
    legacy::encode(spec, &records, compressor, &mut out).unwrap();
    out
}

/// Everything that reading gives, but sizes and checksums, which are the codec's.
fn readable(bytes: &[u8], decompressor: &mut Decompressor) -> Vec<String> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let frame = Frame::parse(rest).unwrap();
        rest = &rest[frame.bytes().len()..];
        assert_eq!(frame.verify_crc(), Ok(()));
        if let Frame::Batch(batch) = frame {
            found.push(data_encoding::HEXLOWER.encode(&batch.header()[21..]));
        }
        found.push(format!(
            "{} {:?} {:?} {}",
            frame.last_offset(),
            frame.codec(),
            frame.timestamp_type(),
            frame.max_timestamp_ms()
        ));
        for record in frame.records(decompressor).unwrap() {
            let RecordRef { offset, timestamp_ms, timestamp_type, sequence, key, value, headers, raw } =
                record.unwrap();
            let headers: Vec<_> = headers.iter().collect();
            found.push(format!(
                "{offset} {timestamp_ms} {timestamp_type:?} {sequence} {key:?} {value:?} {headers:?} {raw:?}"
            ));
        }
    }
    found
}

#[test]
fn valid_batches_are_encoded_again_to_the_same_bytes() {
    let Some(cases) = support::lines("batches-valid") else { return };
    let (mut compressor, mut decompressor) = (Compressor::default(), Decompressor::default());
    let (mut unreadable, mut identical, mut compressed) = (0, 0, std::collections::BTreeMap::new());
    for case in &cases {
        let id = &case["id"];
        if case["readable"] == false {
            // Nothing is described that could be built.
            unreadable += 1;
            continue;
        }
        let bytes = support::hex(case, "bytes");
        let batches = support::list(case, "batches");
        let codec = batches[0]["codec"].as_str().unwrap();
        let codec = Codec::ALL.into_iter().find(|known| known.name() == codec).unwrap();
        let mut built = Vec::new();
        let (mut set, mut last) = (Vec::new(), Vec::new());
        let mut rest = &bytes[..];
        for description in batches {
            let frame = Frame::parse(rest).unwrap();
            rest = &rest[frame.bytes().len()..];
            let read: Result<Vec<_>, _> = frame.records(&mut decompressor).unwrap().collect();
            let records = support::list(description, "records").iter().zip(read.as_ref().unwrap());
            let records: Vec<_> = records.map(|(record, read)| Described::new(record, read)).collect();
            if frame.magic() == 2 {
                built.extend(batch_from(description, &records, codec.into(), &mut compressor));
                last = records;
            } else {
                set.extend(records);
            }
        }
        if !set.is_empty() {
            built = message_set_from(batches, &set, codec, &mut compressor);
        }
        if codec == Codec::None {
            assert_eq!(data_encoding::HEXLOWER.encode(&built), support::text(case, "bytes"), "{id}");
            identical += 1;
        } else {
            let found = readable(&built, &mut decompressor);
            assert_eq!(found, readable(&bytes, &mut decompressor), "{id}");
            let (all, same): &mut (u32, u32) = compressed.entry(codec).or_default();
            *all += 1;
            *same += u32::from(built == bytes);
            let foreign = support::list(case, "tags").iter().any(|tag| tag == "foreign");
            if codec == Codec::Lz4 && !foreign && built != bytes {
                // The same library at another level.
                let mut level = |level| {
                    let compression = Compression::with_level(codec, level).unwrap();
                    batch_from(&batches[0], &last, compression, &mut compressor) == bytes
                };
                assert!((1..=17).any(&mut level), "{id}: no level gives Kafka's bytes");
                *same += 1;
            }
        }
    }
    let decoded: u32 = compressed.values().map(|(all, _)| all).sum();
    println!("uncompressed: {identical} the same bytes; {unreadable} described by nothing");
    for (codec, (all, same)) in compressed {
        println!("{codec}: {all} read the same, {same} of them the same bytes");
    }
    assert!(identical >= 290 && decoded >= 280, "{identical} uncompressed, {decoded} compressed");
    assert!(unreadable <= 24, "{unreadable} cases cannot be read");
    let compared = identical + usize::try_from(decoded).unwrap() + unreadable;
    support::compared_all("batches-valid, encoded again", compared, cases.len());
}
