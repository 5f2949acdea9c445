//! `recover --mode kafka` on every "before" of the recorded pairs gives the "after" that a broker made.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use logdir::storage::leader_epochs::{self, LeaderEpochs};
use logdir::storage::log_dir::LogDir;
use logdir::storage::names::{PartitionDirName, PartitionFile, SegmentFileKind};
use logdir::storage::producer_state;
use logdir::storage::recovery::LoadOptions;
use logdir::storage::restore::{Sharing, as_kafka};
use logdir::storage::swap::{KEPT, Old, Staging};
use logdir::storage::writer::LogConfig;
use support::copy::copy;
use support::kafka_data::Case;

fn case(name: &str) -> Option<Case> {
    Some(Case::open(&support::kafka_data_dir()?.join("cases").join(name)))
}

fn partitions(dir: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let named = entries.filter(|entry| PartitionDirName::parse(&entry.file_name()).is_ok() && entry.path().is_dir());
    let mut found: Vec<_> = named.map(|entry| (entry.file_name().into_string().unwrap(), entry.path())).collect();
    found.sort();
    found
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.path().is_file());
    files.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn kind(name: &str) -> Option<SegmentFileKind> {
    match PartitionFile::parse(name.as_ref()) {
        PartitionFile::Segment(file) => Some(file.kind),
        _ => None,
    }
}

/// What was compared, and what differs.
#[derive(Default, Debug)]
struct Compared {
    logs: usize,
    indexes: usize,
    snapshots: usize,
    epochs: usize,
    others: usize,
    /// The partition being compared was set aside.
    stray: bool,
    wrong: Vec<String>,
    /// Where a second plan would change something again.
    unsettled: Vec<String>,
    /// What a broker does not start over.
    refused: Vec<String>,
}

impl Compared {
    /// `ours` against `kafkas`, the directory after the broker's recovery and clean stop.
    fn partition(&mut self, name: &str, ours: &Path, kafkas: &Path) {
        let (ours, kafkas) = (files(ours), files(kafkas));
        let names: std::collections::BTreeSet<&String> = ours.keys().chain(kafkas.keys()).collect();
        for file in names {
            let (found, expected) = (ours.get(file), kafkas.get(file));
            let place = format!("{name}/{file}");
            let bare = file.strip_suffix(".deleted").unwrap_or(file);
            match kind(bare) {
                Some(SegmentFileKind::Snapshot) => self.snapshot(&place, found, expected),
                Some(kind) => {
                    // A log set aside as stray is never closed: its last indexes keep the size they were opened with.
                    let preallocated = self.stray
                        && kind != SegmentFileKind::Log
                        && found.zip(expected).is_some_and(|(found, expected)| {
                            expected.starts_with(found) && expected[found.len()..].iter().all(|byte| *byte == 0)
                        });
                    if found != expected && !preallocated {
                        let len = |bytes: Option<&Vec<u8>>| bytes.map(Vec::len);
                        self.wrong.push(format!("{place}: {:?} bytes, Kafka's has {:?}", len(found), len(expected)));
                    }
                    if kind == SegmentFileKind::Log { self.logs += 1 } else { self.indexes += 1 }
                }
                None if file == leader_epochs::FILE_NAME => self.epochs(&place, found, expected),
                None => {
                    self.others += 1;
                    if found != expected {
                        self.wrong.push(format!("{place}: differs"));
                    }
                }
            }
        }
    }

    /// By content: Kafka's entries stand in the order of a hash map.
    fn snapshot(&mut self, place: &str, found: Option<&Vec<u8>>, expected: Option<&Vec<u8>>) {
        self.snapshots += 1;
        let entries = |bytes: &Vec<u8>| {
            producer_state::parse(bytes).ok().map(|mut snapshot| {
                snapshot.entries.sort_by_key(|entry| entry.producer_id);
                snapshot.entries
            })
        };
        if found.map(entries) != expected.map(entries) {
            self.wrong.push(format!("{place}: {:?}, Kafka's has {:?}", found.map(entries), expected.map(entries)));
        }
    }

    /// The restarted broker was elected again: it adds one epoch at the log end, and drops those it contradicts.
    fn epochs(&mut self, place: &str, found: Option<&Vec<u8>>, expected: Option<&Vec<u8>>) {
        self.epochs += 1;
        if found == expected {
            return;
        }
        let read = |bytes: Option<&Vec<u8>>| {
            let entries = leader_epochs::parse(bytes.map(Vec::as_slice).unwrap_or_default()).unwrap();
            LeaderEpochs::from_entries(&entries).unwrap().entries().to_vec()
        };
        let (found, expected) = (read(found), read(expected));
        // What `LeaderEpochFileCache.assign` makes of ours at the election.
        let mut elected = LeaderEpochs::from_entries(&found).unwrap();
        if let Some(last) = expected.last() {
            elected.assign(last.epoch, last.start).unwrap();
        }
        if found != expected && elected.entries() != expected {
            self.wrong.push(format!("{place}: {found:?}, Kafka's has {expected:?}"));
        }
    }

    fn check(&self, what: &str, expected: [usize; 5], refused: &[&str]) {
        let counts = [self.logs, self.indexes, self.snapshots, self.epochs, self.others];
        println!("{what}: {counts:?} logs, indexes, snapshots, epoch files and others are as the broker's");
        assert!(self.wrong.is_empty(), "{what}: {:#?}", self.wrong);
        assert!(self.unsettled.is_empty(), "{what}: {:#?}", self.unsettled);
        assert_eq!(counts, expected, "{what}: everything is compared");
        let names: Vec<&str> = self.refused.iter().map(|text| text.split(": ").next().unwrap()).collect();
        assert_eq!(names, refused, "{what}: {:#?}", self.refused);
    }
}

/// A topic's settings as they were: no file of a log directory has them.
fn config_of(topics: &serde_json::Value, topic: &str) -> LogConfig {
    let defaults = LogConfig::default();
    let configs = &topics[topic]["configs"];
    let number = |name: &str, default: u32| configs[name].as_str().map_or(default, |text| text.parse().unwrap());
    LogConfig {
        index_interval_bytes: number("index.interval.bytes", defaults.index_interval_bytes),
        segment_index_bytes: number("segment.index.bytes", defaults.segment_index_bytes),
        ..defaults
    }
}

/// When the brokers of these cases were restarted: producers expire a day after they last wrote.
const NOW_MS: i64 = 1_795_353_000_000;

/// Recovers every partition of a copy of `before`, in place, as a broker that starts without a clean-shutdown marker.
fn compare(before: &Path, after: &Path, truth: &serde_json::Value, full: bool) -> Compared {
    let temp = tempfile::tempdir().unwrap();
    let work = temp.path().join("data");
    copy(before, &work);
    let log_dir = LogDir::open(&work).unwrap();
    let mut compared = Compared::default();
    for (name, dir) in partitions(&work) {
        let partition = PartitionDirName::parse(name.as_ref()).unwrap();
        let kafkas = after.join(&name);
        let stray = fs::read_dir(after).unwrap().map(|entry| entry.unwrap()).find(|entry| {
            let entry = entry.file_name().into_string().unwrap();
            entry.starts_with(&format!("{name}.")) && entry.ends_with("-stray")
        });
        if name == "__cluster_metadata-0" {
            continue;
        }
        let checkpoints = log_dir.checkpoints(&partition);
        let options = LoadOptions {
            clean: false,
            recovery_point: checkpoints.recovery_point.filter(|_| !full).unwrap_or_default(),
            log_start: checkpoints.log_start.unwrap_or_default(),
            now_ms: NOW_MS,
            config: config_of(truth, &partition.topic_partition.topic),
        };
        let job = match as_kafka::plan(&dir, &options) {
            Ok(job) => job,
            Err(error) => {
                // The broker did not start over it.
                compared.refused.push(format!("{name}: {error}"));
                continue;
            }
        };
        let staging = Staging::begin(&work, &partition.topic_partition).unwrap();
        job.build(staging.dir(), Sharing::Links).unwrap();
        let original = files(&dir);
        staging.swap(&job.ends(), Old::Kept).unwrap();
        assert_eq!(files(&dir.join(KEPT)), original, "{name}: the original is kept as it was");
        // Planned again there is nothing left to do.
        let again = LoadOptions { recovery_point: job.ends().log_end, ..options };
        let again = as_kafka::plan(&dir, &again).unwrap();
        assert_eq!(again.losses(), [], "{name}");
        let left = again.steps();
        if !left.is_empty() {
            compared.unsettled.push(format!("{name}: {left:?}"));
        }
        compared.stray = stray.is_some();
        compared.partition(&name, &dir, &stray.map_or(kafkas, |entry| entry.path()));
    }
    compared
}

#[test]
fn pairs_of_killed_brokers_come_out_as_the_restarted_broker_left_them() {
    for (before, after, counts) in [
        ("01b-prealloc-killed", "01c-prealloc-recovered-clean", [6, 12, 6, 4, 4]),
        ("02a-txn-hanging-killed", "02b-txn-hanging-clean", [27, 64, 25, 14, 14]),
        ("06a-load-killed", "06b-load-recovered", [8, 16, 8, 4, 4]),
        ("06c-powerloss-before", "06d-powerloss-recovered", [8, 16, 8, 4, 4]),
    ] {
        let (Some(before), Some(after)) = (case(before), case(after)) else { return };
        let truth = after.truth_json("topics.json").unwrap();
        let compared = compare(before.data(), after.data(), &truth, false);
        compared.check(&format!("{} -> {}", before.name, after.name), counts, &[]);
    }
}

#[test]
fn damaged_partitions_come_out_as_the_brokers_full_recovery_left_them() {
    let Some(case) = case("09-corrupt") else { return };
    let (before, after) = (case.data().join("corrupt"), case.data().join("after-unclean-recovery"));
    let compared = compare(&before, &after, &case.truth_json("topics.json").unwrap(), true);
    // The recorded broker did not start over any of these.
    let refused = ["v-foreign-log-name-0", "v-leader-epoch-malformed-0", "v-segment-renamed-0"];
    compared.check("09-corrupt, unclean, from recovery point 0", [236, 473, 222, 57, 59], &refused);
}
