//! `recover --mode salvage` and `--mode merge` on the damaged partitions of case 09, against what Kafka keeps of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use logdir::storage::names::PartitionDirName;
use logdir::storage::recovery::{self, LoadOptions};
use logdir::storage::verify::{Depth, Fault, Finding, Grade, Options, log_dir, partition};
use logdir::storage::writer::LogConfig;
use logdir::types::Offset;
use support::copy::copy;
use support::kafka_data::Case;

fn case() -> Option<Case> {
    Some(Case::open(&support::kafka_data_dir()?.join("cases/09-corrupt")))
}

fn logdir(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_logdir")).env_clear().args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Every record of a partition, a line each.
fn records(dir: &Path) -> Vec<String> {
    let (_, out, _) = logdir(&["consume", "--json", "--on-corrupt", "skip", dir.to_str().unwrap()]);
    out.lines().map(str::to_owned).collect()
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

/// Cases with a batch behind the clean ones whose checksum holds, though its records cannot be read as they claim.
const APPENDED: [&str; 7] =
    ["codec-7", "codec-mismatch", "count-lie", "count-low", "lz4-bomb", "record-length-lie", "zstd-bomb"];
/// Records that are gone for good without a replica: all others come back by salvage alone.
const SALVAGED: [(&str, usize); 17] = [
    ("batch-removed", 127),
    ("bitflip-attr-mid", 127),
    ("bitflip-body-last", 126),
    ("bitflip-body-mid", 126),
    ("bitflip-crc-last", 126),
    ("empty-log-last", 126),
    ("empty-log-mid", 84),
    ("missing-log-first", 85),
    ("missing-log-mid", 97),
    ("segment-cleaned-suffix", 100),
    ("segment-deleted-suffix", 82),
    ("truncated-11", 129),
    ("truncated-body", 129),
    ("truncated-header", 126),
    ("truncated-mid-segment", 128),
    ("zeroed-tail", 124),
    ("partition-metadata-malformed", 130),
];

#[test]
fn salvage_keeps_every_sound_batch_and_merge_brings_back_the_rest() {
    let Some(case) = case() else { return };
    let truth = case.truth_json("summary.json").unwrap();
    let temp = tempfile::tempdir().unwrap();
    let [salvaged, merged] = ["salvaged", "merged"].map(|name| temp.path().join(name));
    for dir in [&salvaged, &merged] {
        copy(&case.data().join("corrupt"), dir);
    }
    let (corrupt, clean) = (case.data().join("corrupt"), case.data().join("clean"));
    let run = |dir: &Path, args: &[&str]| {
        let dir = dir.to_str().unwrap();
        logdir(&[&["recover", "-d", dir, "--index-interval-bytes", "300", "--in-place", "--execute"], args].concat())
    };
    let (code, _, said) = run(&salvaged, &["--mode", "salvage"]);
    assert_eq!(code, 0, "{said}");
    let from = clean.to_str().unwrap();
    // One partition's id is not that of its replica; a reserved one is none.
    let foreign = "version: 0\ntopic_id: Rxb6TNYpQwKP9QAa-GboDQ";
    fs::write(merged.join("v-index-missing-0/partition.metadata"), foreign).unwrap();
    let (code, _, said) = run(&merged, &["--mode", "merge", "--from", from]);
    assert_eq!((code, said.matches("error: ").count()), (4, 1), "{said}");
    assert!(said.contains("v-index-missing-0/partition.metadata: topic id"), "{said}");
    let id_of = |dir: &Path| fs::read_to_string(dir.join("partition.metadata")).unwrap();
    let id = id_of(&clean.join("v-index-missing-0"));
    let id = id.rsplit(' ').next().unwrap();
    let one = ["--mode", "merge", "--from", from, "-t", "v-index-missing", "--topic-id", id];
    let (code, _, said) = run(&merged, &one);
    assert_eq!(code, 0, "{said}");
    for partition in ["v-index-missing-0", "v-partition-metadata-malformed-0", "v-partition-metadata-missing-0"] {
        assert_eq!(id_of(&merged.join(partition)), id_of(&clean.join(partition)), "{partition}");
    }
    println!("{:<30} {:>6} {:>8} {:>6}  logs after merge", "CASE", "KAFKA", "SALVAGE", "MERGE");
    let mut rows = 0;
    for (name, dir) in partitions(&salvaged) {
        let topic = name.strip_prefix("v-").and_then(|name| name.strip_suffix("-0")).unwrap();
        let kafka = truth[topic]["broker_unclean"]["probe"]["records"].as_u64();
        let (kept, all) = (records(&dir), records(&merged.join(&name)));
        let (ours, theirs) = (logs(&merged.join(&name)), logs(&clean.join(&name)));
        let appended = APPENDED.contains(&topic);
        let verdict = if ours == theirs { "as the clean ones" } else { "the clean ones and what was appended" };
        let shown = kafka.map_or("-".to_owned(), |records| records.to_string());
        println!("{topic:<30} {shown:>6} {:>8} {:>6}  {verdict}", kept.len(), all.len());
        let whole = records(&clean.join(&name));
        assert_eq!(whole.len(), 130, "{topic}");
        // What was kept is what was written, each record under its offset.
        let written: std::collections::BTreeSet<&String> = whole.iter().collect();
        let foreign = kept.iter().chain(&all).filter(|record| !written.contains(record)).count();
        assert!(foreign == 0 || appended, "{topic}: {foreign} records that nobody wrote");
        if appended {
            assert!(kept.len() >= 130 && all.len() >= 130, "{topic}: {} and {}", kept.len(), all.len());
            let joined = |logs: &BTreeMap<String, Vec<u8>>| logs.values().flatten().copied().collect::<Vec<u8>>();
            assert!(joined(&ours).starts_with(&joined(&theirs)), "{topic}: the clean logs come first");
        } else {
            let expected = SALVAGED.iter().find(|(name, _)| *name == topic).map_or(130, |(_, records)| *records);
            assert_eq!((kept.len(), all.len()), (expected, 130), "{topic}");
            assert!(kafka.is_none_or(|kafka| kafka <= expected as u64), "{topic}: Kafka keeps more");
            assert_eq!(ours, theirs, "{topic}: merged, byte for byte");
        }
        for root in [&salvaged, &merged] {
            loads_without_loss(&root.join(&name));
            let aside = root.join(&name).join(".logdir-kept");
            if aside.is_dir() {
                assert_eq!(logs(&aside), logs(&corrupt.join(&name)), "{topic}: the original is kept");
            } else {
                assert_eq!(logs(&root.join(&name)), logs(&corrupt.join(&name)), "{topic}: nothing was to be done");
            }
        }
        rows += 1;
    }
    assert_eq!(rows, 60, "every case is in the table");
    for (dir, args) in [(&salvaged, &["--mode", "salvage"][..]), (&merged, &["--mode", "merge", "--from", from])] {
        let (code, out, said) = run(dir, args);
        assert_eq!((code, out.as_str()), (0, ""), "a second run has nothing to do: {said}");
        let (code, _, said) = logdir(&["recover", "-d", dir.to_str().unwrap(), "--commit", "--execute"]);
        assert_eq!(code, 0, "{said}");
        let left = partitions(dir).into_iter().filter(|(_, dir)| dir.join(".logdir-kept").exists()).count();
        assert_eq!(left, 0, "--commit removes every original");
    }
}

/// Case 07: replicas that went apart are told so, with the offset, and nothing is written.
#[test]
fn diverged_replicas_are_refused() {
    let Some(dir) = support::kafka_data_dir() else { return };
    let case = Case::open(&dir.join("cases/07-failover-divergence"));
    let log_dirs = support::kafka_data::log_dirs_below(case.data());
    let (mut merged, mut refused) = (0, 0);
    for ours in &log_dirs {
        for (name, _) in partitions(ours).into_iter().filter(|(name, _)| !name.starts_with("__")) {
            for theirs in log_dirs.iter().filter(|theirs| *theirs != ours && theirs.join(&name).is_dir()) {
                let path = ours.join(&name);
                let args = ["recover", path.to_str().unwrap(), "--mode", "merge", "--from", theirs.to_str().unwrap()];
                let (code, _, said) = logdir(&args);
                match code {
                    0 => merged += 1,
                    4 if said.contains("have diverged: offset ") && said.contains("CRC") => {
                        refused += 1;
                        if refused <= 3 {
                            println!("{name}: {}", said.lines().find(|line| line.contains("diverged")).unwrap());
                        }
                    }
                    _ => panic!("{name}: {code} {said}"),
                }
            }
        }
    }
    println!("case 07: {merged} pairs of replicas are one log, {refused} have diverged");
    assert!(merged > 0 && refused > 0);
}

/// What real brokers left in good order is left as it is: empty and compacted segments, snapshots that know of producers
/// whose batches are gone, epochs without a batch, deleted records, every format.
#[test]
fn a_healthy_directory_has_nothing_to_be_done() {
    let Some(dir) = support::kafka_data_dir() else { return };
    let mut partitions_read = 0;
    for name in [
        "01-codecs-clean",
        "01c-prealloc-recovered-clean",
        "02b-txn-hanging-clean",
        "02c-txn-tv1-kafka39",
        "03-compacted-retained",
        "04-consumer-groups",
        "05a-legacy-v0",
        "05b-legacy-v0-v1",
        "05c-legacy-mixed-magic",
        "06b-load-recovered",
        "06d-powerloss-recovered",
    ] {
        let case = Case::open(&dir.join("cases").join(name));
        for log_dir in case.log_dirs() {
            for mode in [&["--mode", "salvage"][..], &["--mode", "merge", "--from", log_dir.to_str().unwrap()]] {
                let (code, out, said) = logdir(&[&["recover", "-d", log_dir.to_str().unwrap()], mode].concat());
                assert_eq!((code, out.as_str()), (0, ""), "{name} {mode:?}: {said}");
            }
            partitions_read += partitions(&log_dir).len();
        }
    }
    println!("{partitions_read} partitions of healthy directories have nothing to be done");
    assert!(partitions_read > 100);
}

/// The next record's offset never falls below what was given away: the last segment keeps its base, also when nothing
/// of it is left.
#[test]
fn the_log_goes_on_where_its_last_segment_begins() {
    let Some(case) = case() else { return };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("v-control-untouched-0");
    copy(&case.data().join("corrupt/v-control-untouched-0"), &dir);
    let last = logs(&dir).into_iter().next_back().unwrap();
    fs::write(dir.join(&last.0), vec![0xa5; last.1.len()]).unwrap();
    let base: i64 = last.0.trim_end_matches(".log").parse().unwrap();
    let (code, _, said) = logdir(&["recover", dir.to_str().unwrap(), "--mode", "salvage", "--in-place", "--execute"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(fs::metadata(dir.join(&last.0)).unwrap().len(), 0);
    assert_eq!(loads_without_loss(&dir), Offset::new(base));
    // Every batch in front of it, and its snapshot, are as they were.
    let aside = dir.join(".logdir-kept");
    let snapshot = last.0.replace(".log", ".snapshot");
    assert_eq!(fs::read(dir.join(&snapshot)).unwrap(), fs::read(aside.join(&snapshot)).unwrap());
}

/// Magic 0 and 1 have other checksums and no leader epochs; wrappers hold many messages.
#[test]
fn messages_of_magic_0_and_1_are_salvaged_and_merged() {
    let Some(dir) = support::kafka_data_dir() else { return };
    let mut tried = 0;
    for name in ["05a-legacy-v0", "05b-legacy-v0-v1", "05c-legacy-mixed-magic"] {
        let case = Case::open(&dir.join("cases").join(name));
        let source = case.log_dirs().remove(0);
        for (partition, path) in partitions(&source).into_iter().filter(|(name, _)| !name.starts_with("__")) {
            let whole = logs(&path);
            let Some((log, bytes)) =
                whole.iter().max_by_key(|(_, bytes)| bytes.len()).filter(|(_, bytes)| bytes.len() > 600)
            else {
                continue;
            };
            let temp = tempfile::tempdir().unwrap();
            let live = temp.path().join(&partition);
            copy(&path, &live);
            let mut damaged = bytes.clone();
            let middle = damaged.len() / 2;
            damaged[middle] ^= 0x20;
            fs::write(live.join(log), &damaged).unwrap();
            let before = records(&live);
            let place = live.to_str().unwrap();
            let (code, _, said) =
                logdir(&["recover", place, "--mode", "salvage", "--in-place", "--no-backup", "--execute"]);
            assert_eq!(code, 0, "{name} {partition}: {said}");
            loads_without_loss(&live);
            let all = records(&path);
            let kept = records(&live);
            assert!(kept.len() >= before.len() && kept.len() <= all.len(), "{name} {partition}");
            assert!(kept.iter().all(|record| all.contains(record)), "{name} {partition}: records nobody wrote");
            let from = source.to_str().unwrap();
            let merge = ["recover", place, "--mode", "merge", "--from", from, "--in-place", "--no-backup", "--execute"];
            let (code, _, said) = logdir(&merge);
            assert_eq!(code, 0, "{name} {partition}: {said}");
            assert_eq!(logs(&live), whole, "{name} {partition}: merged, byte for byte");
            tried += 1;
        }
    }
    println!("{tried} partitions of magic 0 and 1, one byte damaged in each: salvaged, and merged byte for byte");
    assert!(tried >= 15);
}

/// What a check of one log directory finds that is more than cosmetic, without what cannot be mended: holes, and records
/// that their producer wrote wrong.
fn problems(dir: &Path) -> Vec<Finding> {
    let options = Options { depth: Depth::Deep, max_batch_bytes: 128 << 20, rebuild: None };
    let checked = log_dir::check(&[dir.to_owned()]).unwrap().pop().unwrap();
    let mut found: Vec<Finding> = checked.findings.told().to_vec();
    for (name, path) in checked.log_dir.partitions() {
        let partition = checked.log_dir.open_partition(name, path).unwrap();
        let report = partition::check(&partition, checked.around, &options, &|_| {}).unwrap();
        found.extend(report.findings.told().iter().cloned());
    }
    found.retain(|finding| finding.grade > Grade::Cosmetic && finding.fault != Fault::Records);
    found
}

#[test]
fn what_was_recovered_verifies_clean() {
    let Some(case) = case() else { return };
    let temp = tempfile::tempdir().unwrap();
    let clean = case.data().join("clean");
    for mode in ["kafka", "salvage", "merge"] {
        let dir = temp.path().join(mode);
        copy(&case.data().join("corrupt"), &dir);
        let (place, from) = (dir.to_str().unwrap(), clean.to_str().unwrap());
        let mut args = vec!["recover", "-d", place, "--mode", mode, "--in-place", "--execute"];
        args.extend(["--index-interval-bytes", "300", "--full"].iter().take(if mode == "kafka" { 3 } else { 2 }));
        if mode == "merge" {
            args.extend(["--from", from, "--force"]);
        }
        let (code, _, said) = logdir(&args);
        // A broker refuses some of these directories, and so does its own recovery.
        assert!(code == 0 || mode == "kafka", "{mode}: {said}");
        let mut found = problems(&dir);
        println!("{mode}: {} problems left", found.len());
        for finding in &found {
            println!("  {}: {} [{}]", finding.path.display(), finding.message, finding.fault.code());
        }
        match mode {
            "merge" => {}
            // What is gone is gone, and told; a topic id that no file has is asked for.
            "salvage" => found.retain(|finding| !matches!(finding.fault, Fault::Gap | Fault::PartitionMetadata)),
            _ => found.clear(),
        }
        assert_eq!(found, [], "{mode}");
    }
}

/// What a broker drops when it cuts a log is `.deleted` for a minute: stopped in time, all of it comes back.
#[test]
fn what_waits_to_be_removed_comes_back_when_asked_for() {
    let Some(case) = case() else { return };
    let temp = tempfile::tempdir().unwrap();
    let all = records(&case.data().join("clean/v-segment-deleted-suffix-0")).len();
    for (variant, without, with) in
        [("segment-deleted-suffix", 82, 130), ("segment-cleaned-suffix", 100, 130), ("bitflip-body-mid", 126, 126)]
    {
        let damaged = case.data().join("corrupt").join(format!("v-{variant}-0"));
        for (option, expected) in [(None, without), (Some("--with-deleted"), with)] {
            let dir = temp.path().join(format!("{variant}{expected}{}", option.is_some()));
            copy(&damaged, &dir.join(format!("v-{variant}-0")));
            fs::copy(case.data().join("corrupt/meta.properties"), dir.join("meta.properties")).unwrap();
            let mut args = vec!["recover", "-d", dir.to_str().unwrap(), "--mode", "salvage", "--in-place", "--execute"];
            args.extend(option);
            let (code, _, said) = logdir(&args);
            assert_eq!(code, 0, "{variant}: {said}");
            let dir = dir.join(format!("v-{variant}-0"));
            assert_eq!(records(&dir).len(), expected, "{variant} {option:?}");
            loads_without_loss(&dir);
        }
    }
    assert_eq!(all, 130);
}
