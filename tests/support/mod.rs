//! Where the shared test data lives, and how to read it.

use std::io::Read;
use std::path::PathBuf;

/// The folder named by `variable`, or `default` beside the project; `None` when it does not exist.
fn folder(variable: &str, default: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable)
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(default), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: nothing at {} (set {variable})", path.display());
    None
}

/// Cases computed by Kafka's own classes.
pub fn vectors_dir() -> Option<PathBuf> {
    folder("LOGDIR_VECTORS", "../shared/vectors")
}

/// One JSON object a line of the vector file `name`, which may end in `.gz`.
pub fn lines(name: &str) -> Vec<serde_json::Value> {
    let Some(dir) = vectors_dir() else { return Vec::new() };
    let raw = std::fs::read(dir.join(name)).unwrap();
    let mut text = String::new();
    if name.ends_with(".gz") {
        flate2::read::MultiGzDecoder::new(&raw[..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(raw).unwrap();
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Bytes written as lower-case hex.
pub fn hex(value: &serde_json::Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}
