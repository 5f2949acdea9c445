//! The files beside a log never contradict a log that a broker wrote, not even one that was killed, cut
//! back by a new leader, moved or compacted.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::{Path, PathBuf};

use logdir::batch::scan::Depth;
use logdir::storage::evidence::Evidence;
use logdir::storage::log_dir::LogDir;
use logdir::storage::reader::{LogReader, ReadStep};
use support::kafka_data::{Case, log_dirs_below};

/// Compares every partition, stray and future ones too, with the files beside it; the number of batches.
fn no_contradiction(label: &str, dir: &Path) -> u64 {
    let log_dir = LogDir::open(dir).unwrap();
    let mut batches = 0;
    for (name, path) in log_dir.partitions() {
        let partition = log_dir.open_partition(name, path).unwrap();
        let mut evidence = Evidence::of(&partition);
        let mut reader = LogReader::new(&partition, Depth::Headers, 128 << 20);
        loop {
            match reader.next().unwrap() {
                ReadStep::Entry { segment, entry } => {
                    let in_last = segment + 1 == partition.segments().len();
                    let found = evidence.contradiction(&entry.frame, entry.position, in_last);
                    assert_eq!(found, None, "{label}: {} at {}", path.display(), entry.position);
                    batches += 1;
                }
                ReadStep::Damage { .. } => evidence.interrupt(),
                ReadStep::Gone { .. } => {}
                ReadStep::End { .. } => break,
            }
        }
    }
    batches
}

#[test]
fn real_logs_and_the_files_beside_them_agree() {
    for case in Case::all() {
        if case.name.starts_with("09") {
            continue;
        }
        let dirs: Vec<PathBuf> = log_dirs_below(case.data());
        let batches: u64 = dirs.iter().map(|dir| no_contradiction(&case.name, dir)).sum();
        println!("{}: {} log dirs, {batches} batches agree", case.name, dirs.len());
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for name in ["codecs", "transactions", "legacy", "compacted"] {
        assert!(no_contradiction(name, &fixtures.join(name).join("data")) > 50, "{name}");
    }
}
