//! `recover --mode salvage` and `--mode merge` on the damaged partitions of case 09, against what Kafka keeps of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use logdir::storage::names::PartitionDirName;
use logdir::storage::recovery::{self, LoadOptions};
use logdir::storage::writer::LogConfig;
use logdir::types::Offset;
use support::kafka_data::Case;

fn case() -> Option<Case> {
    Some(Case::open(&support::kafka_data_dir()?.join("cases/09-corrupt")))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn logdir(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_logdir")).env_clear().args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Every record of a partition, a line each.
fn records(dir: &Path) -> Vec<String> {
    let (_, out, _) = logdir(&["consume", "--json", "--on-corrupt", "skip", "--print-control-records", dir.to_str().unwrap()]);
    out.lines().map(|line| line.replace(|_: char| false, "")).collect()
}

fn logs(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let logs = files.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "log"));
    logs.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn partitions(dir: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let named = entries.filter(|entry| PartitionDirName::parse(&entry.file_name()).is_ok() && entry.path().is_dir());
    let mut found: Vec<_> = named.map(|entry| (entry.file_name().into_string().unwrap(), entry.path())).collect();
    found.sort();
    found
}

/// A broker that starts after a crash loses nothing of it, from the first segment on.
fn loads_without_loss(dir: &Path) -> Offset {
    let config = LogConfig { index_interval_bytes: 300, ..LogConfig::default() };
    let zero = Offset::ZERO;
    let options = LoadOptions { clean: false, recovery_point: zero, log_start: zero, now_ms: 0, config };
    let plan = recovery::plan(dir, &options).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    assert_eq!(plan.losses, [], "{}", dir.display());
    plan.log_end
}

#[test]
fn salvage_keeps_every_sound_batch_and_merge_brings_back_the_rest() {
    let Some(case) = case() else { return };
    let truth = case.truth_json("summary.json").unwrap();
    let temp = tempfile::tempdir().unwrap();
    let [salvaged, merged] = ["salvaged", "merged"].map(|name| temp.path().join(name));
    for dir in [&salvaged, &merged] {
        copy(&case.data().join("corrupt"), dir);
    }
    let clean = case.data().join("clean");
    let args = |dir: &'_ Path, mode: &'static str| {
        ["recover", "-d", dir.to_str().unwrap(), "--mode", mode, "--index-interval-bytes", "300", "--in-place", "--execute"]
            .map(str::to_owned)
    };
    let run = |args: &[String]| logdir(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let (code, out, said) = run(&args(&salvaged, "salvage"));
    if std::env::var_os("SHOW").is_some() { println!("{out}{said}"); }
    println!("salvage {code}");
    let (code, out, said) = run(&[&args(&merged, "merge")[..], &["--from".into(), clean.to_str().unwrap().into()]].concat());
    if std::env::var_os("SHOW").is_some() { println!("{out}{said}"); }
    println!("merge {code}");
    println!("{:<32} {:>5} {:>7} {:>5}  merged logs", "case 09", "kafka", "salvage", "merge");
    for (name, dir) in partitions(&salvaged) {
        let topic = name.strip_prefix("v-").and_then(|name| name.strip_suffix("-0")).unwrap();
        let kafka = &truth[topic]["broker_unclean"]["probe"]["records"];
        let original = clean.join(&name);
        let kept = records(&dir);
        let all = records(&merged.join(&name));
        let same = logs(&merged.join(&name)) == logs(&original);
        println!("{topic:<32} {:>5} {:>7} {:>5}  {}", kafka.to_string(), kept.len(), all.len(), if same { "as the clean ones" } else { "-" });
    }
}
