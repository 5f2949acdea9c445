//! Records of the coordinators' topics and the messages inside them, as Kafka 4.3 writes and reads them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::borrow::Cow;

use logdir::schema::consumer_protocol::{Assignment, Subscription};
use logdir::schema::coordinator::transaction::{TransactionError, TransactionState};
use logdir::schema::coordinator::{self, CoordinatorError, CoordinatorTopic, CoordinatorValue};
use logdir::schema::message::{Field, Fields, Kind, Value};
use logdir::types::{TopicPartition, Uuid};
use serde_json::Value as Json;
use support::{int, text};

/// The fields that Kafka's JSON form names; the others keep their defaults.
fn fields_of(table: &'static [Field], version: i16, json: &Json) -> Fields<'static> {
    let given = json.as_object().unwrap();
    let mut fields = Fields::of_defaults(table, version);
    let mut used = 0;
    for field in table {
        if let Some(value) = given.get(field.name) {
            fields = fields.with(field.name, value_of(field.kind, version, value));
            used += 1;
        }
    }
    assert_eq!(used, given.len(), "every field of {json} is in the table");
    fields
}

fn value_of(kind: Kind, version: i16, json: &Json) -> Value<'static> {
    match (kind, json) {
        (_, Json::Null) => Value::Null,
        (_, Json::Bool(value)) => Value::Bool(*value),
        (Kind::F64, Json::Number(number)) => Value::Float(number.as_f64().unwrap()),
        (_, Json::Number(number)) => Value::Number(number.as_i64().unwrap()),
        (Kind::Uuid, Json::String(text)) => Value::Uuid(Uuid::parse(text).unwrap()),
        (Kind::Bytes, Json::String(text)) => {
            Value::Bytes(data_encoding::BASE64.decode(text.as_bytes()).unwrap().leak())
        }
        (Kind::String, Json::String(text)) => Value::String(Cow::Owned(text.clone())),
        (Kind::Array(kind), Json::Array(elements)) => {
            Value::Array(elements.iter().map(|element| value_of(*kind, version, element)).collect())
        }
        (Kind::Struct(table), Json::Object(_)) => Value::Struct(fields_of(table, version, json)),
        (kind, json) => panic!("{kind:?} of {json}"),
    }
}

fn json_of(fields: &Fields<'_>) -> Json {
    let mut json = Vec::new();
    fields.write_json(&mut json);
    serde_json::from_slice(&json).unwrap()
}

/// `OFFSET_COMMIT` of `OffsetCommit`.
fn constant_name(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

#[test]
fn every_record_of_the_group_coordinator_is_read_and_written() {
    let Some(cases) = support::lines("coordinator-records") else { return };
    let mut compared = 0;
    for case in &cases {
        let id = &case["id"];
        let key = support::hex(case, "key");
        let value = (!case["value"].is_null()).then(|| support::hex(case, "value"));
        let decoded = coordinator::decode(CoordinatorTopic::Group, &key, value.as_deref());
        if text(case, "how") == "invalid" {
            refused_as_kafka(case, decoded.map(|record| record.value));
            compared += 1;
            continue;
        }
        let record = decoded.unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(i64::from(record.kind.id), int(case, "type_id"), "{id}");
        assert_eq!(constant_name(record.kind.name), text(case, "type"), "{id}");
        assert_eq!(json_of(&record.key), case["key_json"], "{id}");
        assert_eq!(record.kind.key_bytes(&record.key).unwrap(), key, "{id}: the key as it was read");
        let written = fields_of(record.kind.key.fields, 0, &case["key_json"]);
        assert_eq!(record.kind.key_bytes(&written).unwrap(), key, "{id}: the key made of its fields");
        match (&record.value, &value) {
            (CoordinatorValue::Tombstone, None) => assert!(case["value_json"].is_null(), "{id}"),
            (CoordinatorValue::Known(fields), Some(value)) => {
                assert_eq!(i64::from(fields.version()), int(case, "value_version"), "{id}");
                assert_eq!(json_of(fields), case["value_json"], "{id}");
                assert_eq!(record.kind.value_bytes(fields).unwrap(), *value, "{id}: the value as it was read");
                let written = fields_of(record.kind.value.fields, fields.version(), &case["value_json"]);
                assert_eq!(record.kind.value_bytes(&written).unwrap(), *value, "{id}: the value made of its fields");
            }
            other => panic!("{id}: {other:?}"),
        }
        compared += 1;
    }
    support::compared_all("coordinator-records", compared, cases.len());
}

/// What Kafka's reader refuses, and with which words.
fn refused_as_kafka(case: &Json, decoded: Result<CoordinatorValue<'_>, CoordinatorError>) {
    let id = &case["id"];
    match (case["error"].as_str(), &decoded) {
        (None, Ok(_)) => {}
        (Some("UnknownRecordVersionException"), Ok(CoordinatorValue::Unknown { .. }))
        | (Some("UnknownRecordTypeException"), Err(CoordinatorError::UnknownType { .. })) => {}
        (Some("RuntimeException"), Err(error)) => assert_eq!(error.kafka_text(), text(case, "error_message"), "{id}"),
        (expected, found) => panic!("{id}: {expected:?} expected, {found:?} found"),
    }
}

#[test]
fn every_record_of_the_transaction_coordinator_is_read_and_written() {
    let Some(cases) = support::lines("transaction-log") else { return };
    let mut compared = 0;
    for case in &cases {
        let id = &case["id"];
        let key = support::hex(case, "key");
        let value = (!case["value"].is_null()).then(|| support::hex(case, "value"));
        let record = coordinator::decode(CoordinatorTopic::Transaction, &key, value.as_deref());
        let record = record.unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(json_of(&record.key)["transactionalId"], case["transactional_id"], "{id}");
        assert_eq!(record.kind.key_bytes(&record.key).unwrap(), key, "{id}");
        compared += 1;
        let (fields, value) = match (&record.value, &value) {
            (CoordinatorValue::Known(fields), Some(value)) => (fields, value),
            (CoordinatorValue::Tombstone, None) => {
                assert_eq!(text(case, "reads_as"), "TxnTombstone", "{id}");
                continue;
            }
            other => panic!("{id}: {other:?}"),
        };
        assert_eq!(i64::from(fields.version()), int(case, "value_version"), "{id}");
        assert_eq!(json_of(fields), case["value_json"], "{id}");
        assert_eq!(record.kind.value_bytes(fields).unwrap(), *value, "{id}: as it was read");
        let written = fields_of(record.kind.value.fields, fields.version(), &case["value_json"]);
        assert_eq!(record.kind.value_bytes(&written).unwrap(), *value, "{id}: made of its fields");
        match (text(case, "reads_as"), TransactionState::of(fields)) {
            ("TxnRecord", Ok(state)) => assert_eq!(state.status.constant_name(), text(case, "state"), "{id}"),
            ("error", Err(error)) => {
                let kafka = text(case, "error_message");
                let word = match error {
                    TransactionError::Status(_) => "Unknown transaction state id",
                    TransactionError::Partitions(_) => "transactionPartitions()\" is null",
                    TransactionError::ClientVersion(_) => "No feature:transaction.version",
                };
                assert!(kafka.contains(word), "{id}: {kafka}; {error}");
            }
            other => panic!("{id}: {other:?}"),
        }
    }
    support::compared_all("transaction-log", compared, cases.len());
}

fn narrow(json: &Json) -> i32 {
    i32::try_from(json.as_i64().unwrap()).unwrap()
}

fn partitions(json: &Json) -> Vec<TopicPartition> {
    let pair = |pair: &Json| TopicPartition::new(pair[0].as_str().unwrap(), narrow(&pair[1]));
    json.as_array().map(|pairs| pairs.iter().map(pair).collect()).unwrap_or_default()
}

fn user_data(json: &Json) -> Option<Vec<u8>> {
    json["user_data"].as_str().map(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap())
}

fn subscription(json: &Json) -> Subscription {
    Subscription {
        topics: support::list(json, "topics").iter().map(|topic| topic.as_str().unwrap().to_owned()).collect(),
        user_data: user_data(json),
        owned: partitions(&json["owned"]),
        generation: (!json["generation"].is_null()).then(|| narrow(&json["generation"])),
        rack: json["rack"].as_str().map(str::to_owned),
    }
}

fn assignment(json: &Json) -> Assignment {
    Assignment { partitions: partitions(&json["partitions"]), user_data: user_data(json) }
}

#[test]
fn every_subscription_and_assignment_is_read_and_written() {
    let Some(cases) = support::lines("consumer-protocol") else { return };
    let mut compared = 0;
    for case in &cases {
        let id = &case["id"];
        let bytes = support::hex(case, "bytes");
        let version = i16::try_from(int(case, "version")).unwrap();
        let (decoded, input) = (&case["decoded"], &case["input"]);
        match text(case, "kind") {
            "subscription" => {
                assert_eq!(Subscription::parse(&bytes).unwrap(), subscription(decoded), "{id}");
                assert_eq!(subscription(input).to_bytes(version).unwrap(), bytes, "{id}");
            }
            "assignment" => {
                assert_eq!(Assignment::parse(&bytes).unwrap(), assignment(decoded), "{id}");
                assert_eq!(assignment(input).to_bytes(version).unwrap(), bytes, "{id}");
            }
            kind => panic!("{id}: {kind}"),
        }
        for cut in 0..bytes.len() {
            let _ = Subscription::parse(&bytes[..cut]);
            let _ = Assignment::parse(&bytes[..cut]);
        }
        compared += 1;
    }
    support::compared_all("consumer-protocol", compared, cases.len());
}
