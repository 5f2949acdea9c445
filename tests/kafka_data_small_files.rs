//! Every small file that real brokers wrote is read, and nothing in it looks wrong.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use logdir::storage::index::offset::OffsetIndex;
use logdir::storage::index::time::TimeIndex;
use logdir::storage::index::txn::TxnIndex;
use logdir::storage::names::{FileState, PartitionDirName, PartitionFile, SegmentFileKind};
use logdir::storage::{
    checkpoint, clean_shutdown, index, leader_epochs, meta_properties, partition_metadata, producer_state, quorum_state,
};

/// How many files of each kind were read.
type Counts = BTreeMap<&'static str, usize>;

#[test]
fn every_small_file_of_undamaged_directories_is_read() {
    let Some(root) = support::kafka_data_dir() else { return };
    let mut counts = Counts::new();
    for case in entries(&root.join("cases")) {
        let name = case.file_name().and_then(|n| n.to_str()).expect("a case name").to_owned();
        // Case 09 holds damage on purpose; archives are left packed.
        if !name.starts_with("09") && case.join("data").is_dir() {
            log_dirs(&case.join("data"), &mut counts);
        }
    }
    println!("kafka-data: {counts:?}");
    assert!(counts.values().sum::<usize>() > 1_000, "{counts:?}");
}

fn entries(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir).expect("a directory").map(|e| e.expect("an entry").path()).collect();
    found.sort();
    found
}

/// Some cases hold one log dir, some one for each broker and disk.
fn log_dirs(dir: &Path, counts: &mut Counts) {
    if dir.join(meta_properties::FILE_NAME).exists() {
        return log_dir(dir, counts);
    }
    for path in entries(dir).iter().filter(|path| path.is_dir()) {
        log_dirs(path, counts);
    }
}

fn log_dir(dir: &Path, counts: &mut Counts) {
    for path in entries(dir) {
        let name = path.file_name().expect("a name");
        if path.is_dir() {
            let found = PartitionDirName::parse(name).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(found.to_string(), name.to_string_lossy());
            partition(&path, counts);
            continue;
        }
        let kind = match name.to_str().expect("a name of Kafka's") {
            name @ (checkpoint::RECOVERY_POINT
            | checkpoint::LOG_START
            | checkpoint::HIGH_WATERMARK
            | checkpoint::CLEANER) => {
                let file = checkpoint::read(&path).unwrap_or_else(|e| panic!("{e}"));
                let again = checkpoint::to_text(file.entries().iter().map(|(p, offset)| (p, *offset)));
                let text = fs::read_to_string(&path).expect("text");
                assert!(text == again || text.is_empty(), "{name}");
                "checkpoint"
            }
            meta_properties::FILE_NAME => {
                meta_properties::read(&path).unwrap_or_else(|e| panic!("{e}"));
                "meta.properties"
            }
            clean_shutdown::FILE_NAME => {
                clean_shutdown::read(&path).unwrap_or_else(|e| panic!("{e}")).expect("it is there");
                "clean shutdown"
            }
            _ => continue,
        };
        *counts.entry(kind).or_default() += 1;
    }
}

fn partition(dir: &Path, counts: &mut Counts) {
    for path in entries(dir) {
        let at = path.display();
        let kind = match PartitionFile::parse(path.file_name().expect("a name")) {
            PartitionFile::Segment(file) if file.state == FileState::Live => {
                assert!(file.is_canonical, "{at}");
                match file.kind {
                    SegmentFileKind::Log => "log",
                    SegmentFileKind::OffsetIndex => {
                        let bytes = index::read(&path).unwrap_or_else(|e| panic!("{e}"));
                        let index = OffsetIndex::from_file(file.offset, &bytes);
                        assert_eq!((index.first_violation(), index.trailing_bytes()), (None, 0), "{at}");
                        "index"
                    }
                    SegmentFileKind::TimeIndex => {
                        let bytes = index::read(&path).unwrap_or_else(|e| panic!("{e}"));
                        let index = TimeIndex::from_file(file.offset, &bytes);
                        assert_eq!((index.first_violation(), index.trailing_bytes()), (None, 0), "{at}");
                        "timeindex"
                    }
                    SegmentFileKind::TxnIndex => {
                        let bytes = fs::read(&path).expect("bytes");
                        let index = TxnIndex::new(file.offset, &bytes);
                        assert_eq!((index.sanity_check(), index.first_violation()), (Ok(()), None), "{at}");
                        "txnindex"
                    }
                    SegmentFileKind::Snapshot => {
                        let snapshot = producer_state::read(&path).unwrap_or_else(|e| panic!("{e}"));
                        assert_eq!(
                            producer_state::to_bytes(&snapshot.entries),
                            fs::read(&path).expect("bytes"),
                            "{at}"
                        );
                        "snapshot"
                    }
                }
            }
            PartitionFile::LeaderEpochs => {
                let epochs = leader_epochs::read(&path).unwrap_or_else(|e| panic!("{e}"));
                let text = fs::read_to_string(&path).expect("text");
                assert!(text == epochs.to_text() || text.is_empty(), "{at}");
                "leader epochs"
            }
            PartitionFile::PartitionMetadata => {
                let metadata = partition_metadata::read(&path).unwrap_or_else(|e| panic!("{e}"));
                assert_eq!(partition_metadata::to_text(metadata.topic_id), fs::read_to_string(&path).expect("text"));
                "partition.metadata"
            }
            PartitionFile::QuorumState => {
                quorum_state::read(&path).unwrap_or_else(|e| panic!("{e}"));
                "quorum-state"
            }
            PartitionFile::MetadataSnapshot { .. } => "metadata snapshot",
            other => panic!("{at}: {other:?}"),
        };
        *counts.entry(kind).or_default() += 1;
    }
}
