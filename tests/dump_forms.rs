//! Table, JSON, hex view and summary of real files.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

use logdir::cli::dump::{self, DumpOptions, DumpOutcome, Level, Output, Report, Selection, Severity};
use serde_json::Value;

struct Ran {
    text: String,
    outcome: DumpOutcome,
    reports: Vec<Report>,
}

impl Ran {
    fn rows(&self) -> Vec<Value> {
        self.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn rows_of(&self, kind: &str) -> Vec<Value> {
        self.rows().into_iter().filter(|row| row["type"] == kind).collect()
    }
}

fn run(options: &DumpOptions) -> Ran {
    let mut reports = Vec::new();
    let mut out = Vec::new();
    let outcome = dump::run(options, &mut out, &mut |report| reports.push(report)).unwrap();
    Ran { text: String::from_utf8(out).unwrap(), outcome, reports }
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

fn json(path: PathBuf) -> DumpOptions {
    DumpOptions { paths: vec![path], output: Output::Json, ..DumpOptions::default() }
}

const BATCH_KEYS: [&str; 20] = [
    "type",
    "base_offset",
    "last_offset",
    "count",
    "position",
    "size_bytes",
    "magic",
    "codec",
    "timestamp_type",
    "base_timestamp_ms",
    "max_timestamp_ms",
    "producer_id",
    "producer_epoch",
    "base_sequence",
    "leader_epoch",
    "transactional",
    "control",
    "delete_horizon_ms",
    "crc",
    "crc_valid",
];

#[test]
fn a_batch_row_has_the_documented_keys_in_order() {
    let log = fixture("transactions/data/txn-a-0/00000000000000000001.log");
    let ran = run(&DumpOptions { count: Some(2), ..json(log) });
    assert_eq!(ran.outcome, DumpOutcome::default());
    assert_eq!(ran.text.lines().count(), 2);
    for line in ran.text.lines() {
        let mut from = 0;
        for key in BATCH_KEYS {
            let at = line[from..].find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{key} in order in {line}"));
            from += at;
        }
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row.as_object().unwrap().len(), BATCH_KEYS.len(), "{line}");
        assert_eq!(row["crc_valid"], true);
    }
}

#[test]
fn record_rows_say_what_the_consumer_got() {
    for case in ["codecs", "transactions", "legacy"] {
        let consumed = fixture(case).join("truth/consumed.read_uncommitted.ndjson.gz");
        let truth =
            std::io::read_to_string(flate2::read::GzDecoder::new(std::fs::File::open(consumed).unwrap())).unwrap();
        let mut compared = 0;
        let mut options = json(fixture(case).join("data"));
        options.level = Level::Records;
        let ran = run(&options);
        let mut found = std::collections::BTreeMap::new();
        let mut partition = String::new();
        for row in ran.rows() {
            match row["type"].as_str().unwrap() {
                "file" => {
                    let path = PathBuf::from(row["path"].as_str().unwrap());
                    partition = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
                }
                "record" => {
                    found.insert((partition.clone(), row["offset"].as_i64().unwrap()), row);
                }
                _ => {}
            }
        }
        let base64 = |row: &Value, name: &str| match (&row[name], &row[format!("{name}_base64")]) {
            (Value::String(text), _) => Value::String(data_encoding::BASE64.encode(text.as_bytes())),
            (_, Value::String(text)) => Value::String(text.clone()),
            _ => Value::Null,
        };
        for line in truth.lines() {
            let expected: Value = serde_json::from_str(line).unwrap();
            let name = format!("{}-{}", expected["topic"].as_str().unwrap(), expected["partition"]);
            let offset = expected["offset"].as_i64().unwrap();
            let row = found.get(&(name.clone(), offset)).unwrap_or_else(|| panic!("{case}: {name} at {offset}"));
            let headers: Vec<Value> = row["headers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|header| Value::Array(vec![header["key"].clone(), base64(header, "value")]))
                .collect();
            assert_eq!(base64(row, "key"), expected["key"], "{line}");
            assert_eq!(base64(row, "value"), expected["value"], "{line}");
            assert_eq!(Value::Array(headers), expected["headers"], "{line}");
            let timestamp = row["timestamp_ms"].as_i64().unwrap_or(-1);
            assert_eq!(Some(timestamp), expected["timestamp"].as_i64(), "{line}");
            compared += 1;
        }
        println!("{case}: {compared} records compared");
        assert!(compared > 0, "{case}");
    }
}

#[test]
fn every_kind_of_file_has_rows() {
    let ran = run(&json(fixture("transactions/data")));
    assert_eq!(ran.outcome.exit_code(), 0, "{:?}", ran.reports);
    for kind in [
        "file",
        "batch",
        "index_entry",
        "aborted_transaction",
        "producer",
        "checkpoint",
        "leader_epoch",
        "partition_metadata",
        "meta_properties",
    ] {
        assert!(!ran.rows_of(kind).is_empty(), "{kind}");
    }
}

#[test]
fn a_selection_narrows_batches_and_records() {
    let log = fixture("transactions/data/txn-b-0/00000000000000000068.log");
    let records = |select: Selection| run(&DumpOptions { level: Level::Records, select, ..json(log.clone()) });
    let all = records(Selection::default()).rows();
    assert!(all.len() > 10, "{}", all.len());
    let offsets = |rows: &[Value]| -> Vec<i64> { rows.iter().map(|row| row["offset"].as_i64().unwrap()).collect() };
    let few = records(Selection { offset_from: Some(70), offset_to: Some(75), ..Selection::default() }).rows();
    let expected: Vec<i64> = offsets(&all).into_iter().filter(|offset| (70..75).contains(offset)).collect();
    assert_eq!(offsets(&few), expected);
    let control = records(Selection { control: Some(true), ..Selection::default() }).rows();
    assert!(!control.is_empty() && control.iter().all(|row| row["control_type"].is_string()), "{control:?}");
    let producer = all[0]["producer_id"].as_i64().unwrap();
    let own = records(Selection { producer_id: Some(producer), ..Selection::default() }).rows();
    assert!(!own.is_empty() && own.iter().all(|row| row["producer_id"] == producer));
    let key = all.iter().find_map(|row| row["key"].as_str()).unwrap().as_bytes().to_vec();
    let keyed = Selection { key: Some(key.clone()), ..Selection::default() };
    let of_key = records(keyed.clone()).rows();
    assert!(!of_key.is_empty() && of_key.iter().all(|row| row["key"].as_str().map(str::as_bytes) == Some(&key)));
    let batches = run(&DumpOptions { select: keyed, ..json(log) }).rows();
    assert!(!batches.is_empty() && batches.len() <= of_key.len());
}

/// A sound log with a byte flipped in its second batch, and one with its tail torn off.
#[test]
fn damage_is_a_row_and_a_torn_tail_a_warning() {
    let source = fixture("transactions/data/idem-0/00000000000000000000.log");
    let sound = std::fs::read(&source).unwrap();
    let rows = run(&json(source)).rows_of("batch");
    let second = usize::try_from(rows[1]["position"].as_u64().unwrap()).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("00000000000000000000.log");

    let mut flipped = sound.clone();
    flipped[second + 80] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    let ran = run(&json(path.clone()));
    assert_eq!(ran.outcome.exit_code(), 1);
    assert_eq!(ran.rows_of("batch").len(), rows.len(), "the damaged batch is shown too");
    assert_eq!(ran.rows_of("batch")[1]["crc_valid"], false);
    let damage = &ran.rows_of("damage")[0];
    assert_eq!((damage["position"].as_u64(), damage["code"].as_str()), (Some(second as u64), Some("crc_mismatch")));
    assert_eq!(damage["next_offset"], rows[2]["base_offset"]);
    assert_eq!((ran.reports.len(), ran.reports[0].position), (1, Some(second as u64)));

    std::fs::write(&path, &sound[..sound.len() - 10]).unwrap();
    let ran = run(&json(path.clone()));
    assert_eq!(ran.outcome.exit_code(), 0);
    assert_eq!((ran.reports[0].severity, ran.reports[0].code), (Severity::Warning, "torn_tail"));
    assert_eq!(ran.rows_of("tail")[0]["code"], "torn_tail");

    // In front of another segment the same is damage.
    std::fs::write(temp.path().join("00000000000000000900.log"), b"").unwrap();
    let ran = run(&json(path.clone()));
    assert_eq!((ran.outcome.exit_code(), ran.reports[0].severity), (1, Severity::Error));
}

#[test]
fn no_damaged_file_ends_a_dump_in_any_form() {
    let paths = vec![fixture("damaged/data")];
    for (output, hex, summary, level) in [
        (Output::Table, false, false, Level::Batches),
        (Output::Table, false, false, Level::Records),
        (Output::Table, true, false, Level::Batches),
        (Output::Table, false, true, Level::Batches),
        (Output::Json, false, false, Level::Batches),
        (Output::Json, false, false, Level::Records),
        (Output::Json, false, true, Level::Batches),
        (Output::Kafka, false, false, Level::Batches),
    ] {
        let options = DumpOptions {
            paths: paths.clone(),
            output,
            hex,
            summary,
            level,
            print_data_log: true,
            ..DumpOptions::default()
        };
        let ran = run(&options);
        assert!(ran.outcome.damage, "{output:?} hex {hex} summary {summary}");
        assert!(!ran.text.is_empty());
        if output == Output::Json {
            ran.rows();
        }
    }
}

#[test]
fn a_hex_view_names_every_byte_of_a_header() {
    let log = fixture("transactions/data/txn-a-0/00000000000000000000.log");
    let ran = run(&DumpOptions { paths: vec![log], hex: true, count: Some(1), ..DumpOptions::default() });
    for name in [
        "base offset",
        "length",
        "leader epoch",
        "magic",
        "crc",
        "attributes",
        "last offset delta",
        "base timestamp",
        "max timestamp",
        "producer id",
        "producer epoch",
        "base sequence",
        "records",
        "timestamp delta",
        "key length",
        "value length",
        "headers",
    ] {
        assert!(ran.text.contains(&format!(" {name} ")), "{name} in\n{}", ran.text);
    }
    assert_eq!(ran.outcome.exit_code(), 0);
    println!("{}", ran.text);
}

#[test]
fn a_summary_adds_up() {
    let data = fixture("transactions/data");
    let ran = run(&DumpOptions { summary: true, ..json(data.clone()) });
    let rows = ran.rows();
    let records = run(&DumpOptions { level: Level::Records, ..json(data.clone()) }).rows_of("record").len() as u64;
    let batches = run(&json(data.clone())).rows_of("batch");
    let of = |scope: &str| rows.iter().filter(|row| row["scope"] == scope).collect::<Vec<_>>();
    let sum = |scope: &str, key: &str| of(scope).iter().map(|row| row[key].as_u64().unwrap()).sum::<u64>();
    for scope in ["file", "directory", "total"] {
        assert_eq!(sum(scope, "records"), records, "{scope}");
        assert_eq!(sum(scope, "batches"), batches.len() as u64, "{scope}");
        let bytes = batches.iter().map(|row| row["size_bytes"].as_u64().unwrap()).sum::<u64>();
        assert_eq!(sum(scope, "size_bytes"), bytes, "{scope}");
    }
    assert_eq!(of("total").len(), 1);
    let table = run(&DumpOptions { summary: true, paths: vec![data], ..DumpOptions::default() });
    assert!(table.text.contains("total, "), "{}", table.text);
}

#[test]
fn patterns_and_missing_files_are_told_apart() {
    let pattern = fixture("transactions/data/txn-?-0/0*68.log");
    let ran = run(&json(pattern));
    assert_eq!((ran.rows_of("batch").len() > 3, ran.outcome.exit_code()), (true, 0));
    for path in ["transactions/data/none*.log", "transactions/data/none.log"] {
        let ran = run(&json(fixture(path)));
        assert_eq!((ran.outcome.exit_code(), ran.reports[0].code), (3, "not_found"), "{path}");
    }
}

#[test]
fn a_reader_that_went_away_is_a_broken_pipe() {
    struct Gone;
    impl std::io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for output in [Output::Table, Output::Json, Output::Kafka] {
        let options = DumpOptions { paths: vec![fixture("codecs/data")], output, ..DumpOptions::default() };
        let error = dump::run(&options, &mut Gone, &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{output:?}");
    }
}
