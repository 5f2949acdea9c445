//! `consume --json` of real directories, record by record against what a real consumer got.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use data_encoding::BASE64;
use serde_json::{Value, json};
use support::kafka_data::Case;

/// A field that is text, or base64 under another name, as base64.
fn bytes(row: &Value, field: &str) -> Value {
    if let Some(packed) = row.get(format!("{field}_base64")) {
        assert!(row.get(field).is_none(), "both {field} and its base64: {row}");
        return packed.clone();
    }
    match &row[field] {
        Value::String(text) => Value::String(BASE64.encode(text.as_bytes())),
        other => other.clone(),
    }
}

/// One of our rows in the form of the truth.
fn as_truth(row: &Value) -> Value {
    let timestamp_type = match row["timestamp_type"].as_str() {
        Some("create") => "CreateTime",
        Some("log_append") => "LogAppendTime",
        _ => "NoTimestampType",
    };
    let headers: Vec<Value> = row["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|header| {
            let key = match header.get("key") {
                Some(key) => key.clone(),
                None => panic!("header keys of the data are text: {header}"),
            };
            json!([key, bytes(header, "value")])
        })
        .collect();
    json!({
        "topic": row["topic"], "partition": row["partition"], "offset": row["offset"],
        "timestamp": row["timestamp_ms"], "timestampType": timestamp_type, "leaderEpoch": row["leader_epoch"],
        "key": bytes(row, "key"), "value": bytes(row, "value"), "headers": headers,
    })
}

fn consume(dirs: &[PathBuf], isolation: &str) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    command.arg("consume").args(["--json", "--isolation-level", isolation]);
    for dir in dirs {
        command.arg("-d").arg(dir);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{dirs:?}: {said}");
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Compares one case; the number of records that were equal.
fn compare(name: &str, truth: &Path, dirs: &[PathBuf]) -> usize {
    let mut compared = 0;
    for isolation in ["read_uncommitted", "read_committed"] {
        let uncommitted = truth.join("consumed.read_uncommitted.ndjson.gz");
        let own = truth.join(format!("consumed.{isolation}.ndjson.gz"));
        let Some(file) = [own, uncommitted].into_iter().find(|file| file.is_file()) else { continue };
        // A few fields of the truth are absent where the broker had none to tell.
        let mut expected = support::json_lines(&file);
        for record in &mut expected {
            if record["leaderEpoch"].is_null() {
                record["leaderEpoch"] = json!(-1);
            }
        }
        let mut found: Vec<Value> = consume(dirs, isolation).iter().map(as_truth).collect();
        for record in &mut found {
            if record["leaderEpoch"].is_null() {
                record["leaderEpoch"] = json!(-1);
            }
        }
        for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "{name}, {isolation}: record {number}");
        }
        assert_eq!(found.len(), expected.len(), "{name}, {isolation}: number of records");
        compared += found.len();
    }
    compared
}

#[test]
fn real_directories_give_what_a_real_consumer_got() {
    let (mut cases, mut records) = (0, 0);
    for case in Case::all() {
        let compared = compare(&case.name, &case.truth, &case.log_dirs());
        cases += usize::from(compared > 0);
        records += compared;
    }
    println!("consume: {cases} cases, {records} records compared");
}

#[test]
fn the_fixtures_give_what_a_real_consumer_got() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for name in ["codecs", "transactions", "legacy", "compacted"] {
        let dir = fixtures.join(name);
        let compared = compare(name, &dir.join("truth"), &[dir.join("data")]);
        assert!(compared > 300, "{name}: only {compared} records");
        println!("{name}: {compared} records compared");
    }
}
