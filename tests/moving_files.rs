//! A partition whose files a broker renames: every state of a compaction reads the same, and a listing
//! outlives what happens to its files.
//!
//! The states are those that `LocalLog.replaceSegments` goes through. A reader that looked only for files in
//! use found no record at all between the old segments' end and the new one's beginning.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use logdir::batch::scan::Depth;
use logdir::storage::partition::{Checkpoints, Partition};
use logdir::storage::reader::{LogReader, ReadStep};

/// A copy of a partition with segments 0, 180, 371 and 661.
fn partition_dir(root: &Path) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/compacted/data/compact-1");
    let dir = root.join("compact-1");
    fs::create_dir(&dir).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
    }
    dir
}

fn log(dir: &Path, base: u64, suffix: &str) -> PathBuf {
    dir.join(format!("{base:020}.log{suffix}"))
}

/// Segments 0 and 180 in one, as the cleaner would write them if it had nothing to remove.
fn merged(dir: &Path) -> Vec<u8> {
    [fs::read(log(dir, 0, "")).unwrap(), fs::read(log(dir, 180, "")).unwrap()].concat()
}

fn drop_segment(dir: &Path, base: u64) {
    fs::rename(log(dir, base, ""), log(dir, base, ".deleted")).unwrap();
}

/// Its name, how it comes about, and how many segments it has.
type State = (&'static str, fn(&Path), usize);

/// Last offsets of all batches, and the numbers of segments that are gone.
fn read(partition: &Partition) -> (Vec<i64>, Vec<usize>) {
    let mut reader = LogReader::new(partition, Depth::Crc, 1 << 20);
    let (mut offsets, mut gone) = (Vec::new(), Vec::new());
    loop {
        match reader.next().unwrap() {
            ReadStep::Entry { entry, .. } => {
                assert_eq!(entry.doubt, None);
                offsets.push(entry.frame.last_offset().get());
            }
            ReadStep::Damage { damage, .. } => panic!("{damage:?}"),
            ReadStep::Gone { segment } => gone.push(segment),
            ReadStep::End { .. } => return (offsets, gone),
        }
    }
}

#[test]
fn every_state_of_a_compaction_reads_the_same() {
    let states: [State; 7] = [
        ("untouched", |_| {}, 4),
        ("cleaned", |dir| fs::write(log(dir, 0, ".cleaned"), merged(dir)).unwrap(), 4),
        ("nothing dropped yet", |dir| fs::write(log(dir, 0, ".swap"), merged(dir)).unwrap(), 4),
        (
            "first dropped",
            |dir| {
                fs::write(log(dir, 0, ".swap"), merged(dir)).unwrap();
                drop_segment(dir, 0);
            },
            3,
        ),
        (
            "all dropped",
            |dir| {
                fs::write(log(dir, 0, ".swap"), merged(dir)).unwrap();
                drop_segment(dir, 0);
                drop_segment(dir, 180);
            },
            3,
        ),
        (
            "in place",
            |dir| {
                let merged = merged(dir);
                drop_segment(dir, 0);
                drop_segment(dir, 180);
                fs::write(log(dir, 0, ""), merged).unwrap();
            },
            3,
        ),
        (
            "a split of which only the second part is finished",
            |dir| {
                let merged = merged(dir);
                fs::rename(log(dir, 180, ""), log(dir, 180, ".swap")).unwrap();
                fs::rename(log(dir, 0, ""), log(dir, 0, ".cleaned")).unwrap();
                fs::write(log(dir, 0, ""), merged).unwrap();
            },
            3,
        ),
    ];
    let mut expected = None;
    for (state, change, segments) in states {
        let temp = tempfile::tempdir().unwrap();
        let dir = partition_dir(temp.path());
        change(&dir);
        let partition = Partition::open(&dir, Checkpoints::default()).unwrap();
        let (offsets, gone) = read(&partition);
        assert_eq!((gone, partition.segments().len()), (vec![], segments), "{state}");
        assert_eq!(offsets.len(), 10, "{state}: batches");
        assert_eq!(&offsets, expected.get_or_insert_with(|| offsets.clone()), "{state}");
    }
}

#[test]
fn a_listing_is_readable_until_its_files_are_removed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = partition_dir(temp.path());
    fs::rename(log(&dir, 371, ""), log(&dir, 371, ".swap")).unwrap();
    let partition = Partition::open(&dir, Checkpoints::default()).unwrap();
    let (all, gone) = read(&partition);
    assert_eq!((gone, partition.segments().len()), (vec![], 4));

    fs::rename(log(&dir, 371, ".swap"), log(&dir, 371, "")).unwrap();
    assert_eq!(read(&partition), (all.clone(), vec![]), "the replacement is in place");
    for base in [180, 371, 661] {
        drop_segment(&dir, base);
    }
    assert_eq!(read(&partition), (all.clone(), vec![]), "dropped");
    fs::remove_file(log(&dir, 180, ".deleted")).unwrap();
    fs::remove_file(log(&dir, 661, ".deleted")).unwrap();
    let (some, gone) = read(&partition);
    assert_eq!(gone, [1, 3], "removed");
    let left = |offset: &i64| !(180..371).contains(offset) && *offset < 661;
    assert_eq!(some, all.iter().copied().filter(left).collect::<Vec<_>>());
}
