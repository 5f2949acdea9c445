//! `logdir mirror` from log directories to another: what is told, what stops a partition, what is never written.

use std::fs;
use std::path::{Path, PathBuf};

use super::support::{copied, copy, logdir, run, state_of};

/// A log directory with topic `orders` of two partitions, and where its copy goes.
struct Place {
    _temp: tempfile::TempDir,
    source: PathBuf,
    to: PathBuf,
}

impl Place {
    fn new() -> Place {
        let temp = tempfile::tempdir().unwrap();
        let (source, to) = (temp.path().join("source"), temp.path().join("copy"));
        let place = Place { _temp: temp, source, to };
        place.produce(500);
        place
    }

    /// Appends this many records to each of the two partitions.
    fn produce(&self, count: usize) {
        for partition in ["0", "1"] {
            let lines: String = (0..count).map(|number| format!("value {number}\n")).collect();
            let dir = self.source.to_str().unwrap();
            let args =
                ["produce", "-d", dir, "-t", "orders", "--create", "2", "-p", partition, "-q", "--batch-size", "512"];
            let more = ["--segment-bytes", "8192"];
            logdir(&[&args[..], &more].concat()).write_stdin(lines).assert().success();
        }
    }

    fn mirror(&self, more: &[&str]) -> (i32, String, String) {
        let args = ["mirror", "-d", self.source.to_str().unwrap(), "--to", self.to.to_str().unwrap()];
        run(&[&args[..], more].concat())
    }

    fn values(&self, dir: &Path) -> String {
        let (code, stdout, stderr) = run(&["consume", "-d", dir.to_str().unwrap(), "-f", "%p %o %s\n"]);
        assert_eq!(code, 0, "{stderr}");
        stdout
    }
}

#[test]
fn a_copy_is_made_kept_up_and_told_of() {
    let place = Place::new();
    let (code, stdout, stderr) = place.mirror(&["-n"]);
    assert_eq!(code, 0);
    assert!(!place.to.exists(), "a dry run makes nothing");
    let lines: Vec<_> = stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["PARTITION", "ACTION", "FROM", "TO", "SIZE", "DETAIL"]);
    assert_eq!(lines[1][..4], ["orders-0", "copy", "0", "500"]);
    assert!(stderr.contains("2 partitions to copy, 0 to go on with"), "{stderr}");
    assert!(stderr.contains("nothing written"), "{stderr}");

    let (code, stdout, stderr) = place.mirror(&[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("copied"), "{stdout}");
    assert!(stderr.starts_with("2 partitions copied, 0 gone on with"), "{stderr}");
    assert_eq!(place.values(&place.to), place.values(&place.source));

    place.produce(20);
    let (code, stdout, _) = place.mirror(&["--json"]);
    assert_eq!(code, 0);
    let first: serde_json::Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["action"], &first["from_offset"], &first["to_offset"]),
        (&"grown".into(), &500.into(), &520.into())
    );
    assert_eq!(place.values(&place.to), place.values(&place.source));

    let before = state_of(&place.to);
    let (code, stdout, stderr) = place.mirror(&[]);
    assert_eq!((code, stdout.as_str()), (0, ""), "level partitions are counted, not listed");
    assert!(stderr.contains("2 were level"), "{stderr}");
    assert_eq!(state_of(&place.to), before);
    // And it is sound.
    let (code, _, stderr) = run(&["verify", "-d", place.to.to_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
}

/// Removes the sealed segments below `offset`, as retention does.
fn retain_from(dir: &Path, offset: i64) -> i64 {
    let mut bases: Vec<i64> = fs::read_dir(dir)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".log")?.parse().ok())
        .collect();
    bases.sort_unstable();
    let first = *bases.iter().rfind(|base| **base <= offset).unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let base = path.file_stem().unwrap().to_str().unwrap().parse::<i64>();
        if base.is_ok_and(|base| base < first) {
            fs::remove_file(path).unwrap();
        }
    }
    first
}

#[test]
fn offsets_that_are_gone_stop_a_partition_until_that_is_decided() {
    let place = Place::new();
    assert_eq!(place.mirror(&[]).0, 0);
    place.produce(1000);
    let start = retain_from(&place.source.join("orders-0"), 1200);
    assert!(start > 500);
    let (code, stdout, stderr) = place.mirror(&[]);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr
            .contains(&format!("error: orders-0: offsets 500..{start} are gone from the source: the copy ends at 500")),
        "{stderr}"
    );
    assert!(stderr.contains("--on-gap keep"), "{stderr}");
    let row = stdout.lines().find(|line| line.starts_with("orders-0")).unwrap();
    assert!(row.contains("stopped") && row.ends_with("gap"), "{row}");
    // The other partition is gone on with; this one is as it was.
    let (_, offsets, _) = run(&["offsets", "-d", place.to.to_str().unwrap(), "--output", "kafka"]);
    assert_eq!(offsets, "orders:0:500\norders:1:1500\n");
    let (code, _, _) = place.mirror(&["-n"]);
    assert_eq!(code, 1, "a dry run says so too");

    let (code, _, stderr) = place.mirror(&["--on-gap", "keep"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("warning: orders-0: offsets 500.."), "{stderr}");
    let (_, offsets, _) = run(&["offsets", "-d", place.to.to_str().unwrap(), "--output", "kafka"]);
    assert_eq!(offsets, "orders:0:1500\norders:1:1500\n");
    assert_eq!(place.mirror(&[]).0, 0, "decided once, it goes on");
}

#[test]
fn a_topic_that_was_made_again_is_not_taken_for_the_old_one() {
    let place = Place::new();
    assert_eq!(place.mirror(&[]).0, 0);
    fs::remove_dir_all(&place.source).unwrap();
    place.produce(700);
    let before = state_of(&place.to);
    let (code, _, stderr) = place.mirror(&[]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("orders-0: the topic was re-created: the source's id is "), "{stderr}");
    assert!(stderr.contains("logdir topics delete orders --execute"), "{stderr}");
    assert_eq!(state_of(&place.to), before, "nothing is written");
    let (code, _, stderr) = place.mirror(&["--on-gap", "keep"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("the copy is kept as it is"), "{stderr}");
    assert_eq!(state_of(&place.to), before);
}

#[test]
fn a_source_that_was_truncated_or_written_anew_is_told_apart() {
    let place = Place::new();
    let old = place.source.with_file_name("old");
    copy(&place.source, &old);
    place.produce(100);
    assert_eq!(place.mirror(&[]).0, 0);
    let before = state_of(&place.to);
    // An earlier snapshot: shorter.
    fs::remove_dir_all(&place.source).unwrap();
    copy(&old, &place.source);
    let (code, _, stderr) = place.mirror(&[]);
    assert_eq!(code, 1);
    assert!(stderr.contains("the source ends at offset 500, the copy at 600"), "{stderr}");
    // It went on with other records: as long, and longer.
    for count in [100, 200] {
        place.produce(count);
        let (code, _, stderr) = place.mirror(&[]);
        assert_eq!(code, 1);
        assert!(stderr.contains("are not those of the source"), "{stderr}");
        assert_eq!(state_of(&place.to), before, "nothing is written");
    }
}

#[test]
fn damage_in_the_source_is_copied_up_to_and_no_further() {
    let place = Place::new();
    let mut logs: Vec<PathBuf> = fs::read_dir(place.source.join("orders-0"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    let log = logs.iter().max_by_key(|log| fs::metadata(log).unwrap().len()).unwrap();
    let mut bytes = fs::read(log).unwrap();
    // In the middle, and in a record.
    let middle = bytes.len() / 2 + 100;
    bytes[middle] ^= 0xff;
    fs::write(log, bytes).unwrap();
    let (code, stdout, stderr) = place.mirror(&["--json"]);
    assert_eq!(code, 1, "{stderr}");
    let row: serde_json::Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&row["action"], &row["findings"][0]["code"]), (&"stopped".into(), &"damage".into()), "{row}");
    let message = row["findings"][0]["message"].as_str().unwrap();
    assert!(message.contains(log.to_str().unwrap()) && message.contains("stored CRC"), "{message}");
    let (code, _, stderr) = place.mirror(&["--on-gap", "keep"]);
    assert_eq!(code, 0, "{stderr}");
    let (_, offsets, _) = run(&["offsets", "-d", place.to.to_str().unwrap(), "--output", "kafka"]);
    assert_eq!(offsets, "orders:0:500\norders:1:500\n", "it goes on behind the damage");
}

#[test]
fn offsets_and_partitions_can_be_chosen() {
    let place = Place::new();
    let (code, _, stderr) = place.mirror(&["-p", "1", "-o", "100:200"]);
    assert_eq!(code, 0, "{stderr}");
    let values = place.values(&place.to);
    let (first, last) = (values.lines().next().unwrap(), values.lines().last().unwrap());
    assert_eq!(first, "1 100 value 100");
    let last: i64 = last.split(' ').nth(1).unwrap().parse().unwrap();
    assert!((150..200).contains(&last), "up to the last whole batch below the end: {last}");
    assert!(values.lines().all(|line| line.starts_with("1 ")));
    // Without an end it goes on from there.
    assert_eq!(place.mirror(&[]).0, 0);
    let all = place.values(&place.to);
    assert_eq!(all.lines().filter(|line| line.starts_with("1 ")).count(), 400);
    assert_eq!(all.lines().filter(|line| line.starts_with("0 ")).count(), 500);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let place = Place::new();
    let source = place.source.to_str().unwrap();
    let (code, _, stderr) = run(&["mirror", "-d", source, "--to", source]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("itself"), "{stderr}");
    let (code, _, stderr) = place.mirror(&["-t", "ordrs"]);
    assert_eq!(code, 3);
    assert!(stderr.contains("did you mean 'orders'?"), "{stderr}");
    assert!(!place.to.exists());
    // Somebody else is in the target.
    assert_eq!(place.mirror(&[]).0, 0);
    place.produce(10);
    let lock = logdir::storage::lock::DirLock::exclusive(&place.to).unwrap();
    let (code, _, stderr) = place.mirror(&[]);
    assert_eq!(code, 4, "{stderr}");
    drop(lock);
}

#[test]
fn a_cut_at_one_moment_is_a_beginning_that_a_later_run_goes_on_from() {
    let (_temp, source) = copied("transactions/data");
    let temp = tempfile::tempdir().unwrap();
    let to = temp.path().join("copy");
    let args = ["mirror", "-d", source.to_str().unwrap(), "--to", to.to_str().unwrap()];
    let (code, stdout, stderr) = run(&[&args[..], &["--until", "1795352693000", "--json"]].concat());
    assert_eq!(code, 0, "{stderr}");
    let summary: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert!(summary["copied"].as_i64() > Some(0), "{summary}");
    let (code, open, _) = run(&["transactions", "list", "-d", to.to_str().unwrap(), "--json"]);
    assert_eq!(code, 0, "{open}");
    let (code, _, stderr) = run(&args);
    assert_eq!(code, 0, "{stderr}");
    let dump = |dir: &Path| {
        run(&["consume", "-d", dir.to_str().unwrap(), "-t", "re:^[^_]|^__[^c]|^__co", "--include-internal", "--json"]).1
    };
    assert_eq!(dump(&to), dump(&source));
}

#[test]
#[cfg(not(feature = "cluster"))]
fn a_build_without_a_client_says_how_to_get_one() {
    let place = Place::new();
    let (code, _, stderr) = run(&["mirror", "-d", place.source.to_str().unwrap(), "--to-cluster", "127.0.0.1:1"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("cargo install logdir --features cluster"), "{stderr}");
}

#[test]
fn a_mirror_has_one_target() {
    let (code, _, stderr) = run(&["mirror", "-d", "x"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("--to <LOG_DIR>|--to-cluster"), "{stderr}");
    for args in [
        &["--to", "y", "--to-cluster", "z:1"][..],
        &["--to-cluster", "z:1", "--until", "-1h"],
        &["--to", "y", "--append"],
        &["--to", "y", "-X", "a=b"],
        &["--from-cluster", "z:1"],
        &["--from-cluster", "z:1", "--to-cluster", "y:1"],
        &["--to", "y", "--follow"],
    ] {
        let (code, _, stderr) = run(&[&["mirror", "-d", "x"], args].concat());
        assert_eq!(code, 2, "{args:?}: {stderr}");
    }
}
