//! Every partition that real brokers left is adopted, with leader epochs as low as they go, and reads as before; what is
//! refused is damaged.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::kafka_data::Case;

const ID: &str = "yW0AUWagjn626Lt0gKLEwg";

fn logdir(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    let output = command.env_clear().args(args).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Records without leader epochs.
fn records(dir: &Path, isolation: &str) -> Vec<Value> {
    let (code, stdout, stderr) = logdir(&["consume", dir.to_str().unwrap(), "--json", "--isolation-level", isolation]);
    assert_eq!(code, 0, "{}: {stderr}", dir.display());
    let parse = |line: &str| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        record.as_object_mut().unwrap().remove("leader_epoch");
        record
    };
    stdout.lines().map(parse).collect()
}

#[test]
fn what_real_brokers_left_is_adopted_and_reads_as_before() {
    let (mut adopted, mut count, mut opened, mut refused) = (0, 0, 0, 0);
    let cases = Case::all();
    if cases.is_empty() {
        return;
    }
    for case in cases {
        for log_dir in case.log_dirs() {
            let temp = tempfile::tempdir().unwrap();
            let to = temp.path().join("data");
            fs::create_dir(&to).unwrap();
            fs::write(to.join("meta.properties"), "version=1\nnode.id=1\ncluster.id=other\n").unwrap();
            let mut dirs: Vec<_> = fs::read_dir(&log_dir).unwrap().map(|entry| entry.unwrap().path()).collect();
            dirs.retain(|dir| dir.is_dir() && !dir.file_name().unwrap().to_string_lossy().starts_with("__"));
            dirs.retain(|dir| !dir.to_string_lossy().ends_with("-delete"));
            for dir in dirs {
                let name = dir.file_name().unwrap().to_str().unwrap();
                let what = format!("{}: {name}", case.name);
                let place = dir.to_str().unwrap();
                let args = ["topics", "adopt", place, "--to", to.to_str().unwrap(), "--topic-id", ID, "--abort-open"];
                let (code, stdout, stderr) = logdir(&[&args[..], &["--execute", "--json"]].concat());
                if code == 4 && stderr.contains("\"would_lose\"") {
                    // Killed under load, or after a loss of power: a broker would cut it.
                    assert!(case.name.starts_with("06"), "{what}: {stderr}");
                    assert!(!to.join(name).exists(), "{what}");
                    refused += 1;
                    continue;
                }
                assert_eq!(code, 0, "{what}: {stderr}");
                let row: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
                let live = to.join(format!("{}-{}", row["topic"].as_str().unwrap(), row["partition"]));
                assert!(records(&live, "read_uncommitted") == records(&dir, "read_uncommitted"), "{what}");
                let (there, here) = (records(&dir, "read_committed"), records(&live, "read_committed"));
                assert!(here[..there.len()] == there[..], "{what}: read_committed");
                let open = row["abort_markers"].as_i64().unwrap();
                assert!(open > 0 || here.len() == there.len(), "{what}: read_committed");
                let epochs = fs::read_to_string(live.join("leader-epoch-checkpoint")).unwrap();
                assert!(epochs.lines().skip(2).all(|line| line.starts_with("0 ")), "{what}: {epochs}");
                let (code, found, _) = logdir(&["verify", live.to_str().unwrap()]);
                assert_eq!(code, 0, "{what}: {found}");
                opened += open;
                count += here.len();
                adopted += 1;
            }
        }
    }
    println!(
        "{adopted} partitions with {count} committed records adopted, {opened} open transactions ended, {refused} refused"
    );
    assert!(adopted > 100 && opened > 0);
}
