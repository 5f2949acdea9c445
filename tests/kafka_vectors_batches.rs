//! Batches as Kafka 4.3 itself encodes and refuses them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use logdir::batch::{BatchError, Decompressor, Frame, PayloadError, RecordRef};
use logdir::types::TimestampType;
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
