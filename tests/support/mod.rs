//! Where the material recorded from Kafka lies, and how to read it.
#![allow(dead_code, reason = "every test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub mod copy;
pub mod kafka_data;
pub mod strace;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Test vectors of Kafka 4.3.0: `LOGDIR_VECTORS`, else beside this checkout. `None` when they are absent.
pub fn vectors_dir() -> Option<PathBuf> {
    dir("LOGDIR_VECTORS", "../shared/vectors", "vectors")
}

/// Log directories written by real brokers: `LOGDIR_KAFKA_DATA`, else beside this checkout.
pub fn kafka_data_dir() -> Option<PathBuf> {
    dir("LOGDIR_KAFKA_DATA", "../shared/kafka-data", "kafka data")
}

fn dir(variable: &str, default: &str, what: &str) -> Option<PathBuf> {
    let path = match std::env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(default),
    };
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no {what} at {}", path.display());
    None
}

/// The cases of one vector file, `name.ndjson` or `name.ndjson.gz`; `None` when there are no vectors.
///
/// Vectors without this file are an error: a test must not pass because of a wrong name.
pub fn lines(name: &str) -> Option<Vec<Value>> {
    let path = vectors_dir()?.join(format!("{name}.ndjson"));
    let packed = path.with_extension("ndjson.gz");
    Some(json_lines(if path.is_file() { &path } else { &packed }))
}

/// One JSON value a line, of a file that may be packed.
pub fn json_lines(path: &Path) -> Vec<Value> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let reader: Box<dyn Read> = match path.extension() {
        Some(extension) if extension == "gz" => Box::new(flate2::read::MultiGzDecoder::new(file)),
        _ => Box::new(file),
    };
    let parse =
        |line: std::io::Result<String>| serde_json::from_str(&line.expect("a readable line")).expect("a line of JSON");
    BufReader::new(reader).lines().map(parse).collect()
}

/// Says how much was compared, and insists that it was everything.
pub fn compared_all(name: &str, compared: usize, cases: usize) {
    println!("{name}: {compared} of {cases} cases compared");
    assert!(cases > 0, "{name} is empty");
    assert_eq!(compared, cases, "{name}: every case is compared");
}

/// Field `name` as text.
pub fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_else(|| panic!("{name} is text in {case}"))
}

/// Field `name` as a number.
pub fn int(case: &Value, name: &str) -> i64 {
    case[name].as_i64().unwrap_or_else(|| panic!("{name} is a number in {case}"))
}

/// Field `name` as a list.
pub fn list<'a>(case: &'a Value, name: &str) -> &'a [Value] {
    case[name].as_array().unwrap_or_else(|| panic!("{name} is a list in {case}"))
}

/// Field `name` as bytes in lower-case hex.
pub fn hex(case: &Value, name: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text(case, name).as_bytes()).expect("lower-case hex")
}

/// A list of numbers.
pub fn ints(list: &Value) -> Vec<i64> {
    list.as_array().expect("a list").iter().map(|n| n.as_i64().expect("a number")).collect()
}

/// SHA-256 in lower-case hex, as the vectors give it for long files.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes))
}
