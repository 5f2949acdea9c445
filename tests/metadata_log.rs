//! A real metadata log with snapshots, and what becomes of it: at every offset and time, with history gone, snapshots
//! cut, batches damaged, records of the future. And images of arbitrary records.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use logdir::batch::builder::{BatchBuilder, BatchSpec, NewRecord};
use logdir::batch::compression::Compressor;
use logdir::schema::image::{ImageBuilder, Leaf, MetadataImage, Node, Secrets, diff, escape};
use logdir::schema::metadata::{PartitionRecord, Quota, Record, decode};
use logdir::storage::metadata_log::{MetadataLog, MetadataLogError, Moment, ProblemKind, Replay};
use logdir::types::{LeaderEpoch, Offset, Uuid};
use proptest::prelude::*;

const LOG: &str = "00000000000000000000.log";
const FIRST: &str = "00000000000000000053-0000000001.checkpoint";
const SECOND: &str = "00000000000000000104-0000000001.checkpoint";
const END: i64 = 117;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/metadata")
}

/// A copy of the metadata log with only these files.
fn copy(names: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("__cluster_metadata-0");
    fs::create_dir(&dir).unwrap();
    for name in names {
        fs::write(dir.join(name), fs::read(fixture().join("data/__cluster_metadata-0").join(name)).unwrap()).unwrap();
    }
    (temp, dir)
}

fn replayed(log: &MetadataLog, moment: Moment) -> Replay<'_> {
    let mut replay = log.replay(moment).unwrap();
    replay.advance(moment, &mut |_, _| {}).unwrap();
    replay
}

fn at(log: &MetadataLog, offset: i64) -> MetadataImage {
    let replay = replayed(log, Moment::At(Offset::new(offset)));
    assert_eq!(replay.problems().1, 0, "{:?}", replay.problems());
    replay.into_image()
}

/// All but who led, which a snapshot does not say.
fn same(what: &str, a: &MetadataImage, b: &MetadataImage) {
    let changes = diff(a, b).into_iter().map(|change| change.path);
    let changes: Vec<String> = changes.filter(|path| path != "/quorum/leader").collect();
    assert_eq!(changes, [""; 0], "{what}");
}

/// Every leaf by its path, as text.
fn leaves(image: &MetadataImage) -> BTreeMap<String, String> {
    fn below(node: Node<'_>, path: &str, found: &mut BTreeMap<String, String>) {
        if let Some(leaf) = node.leaf() {
            found.insert(path.to_owned(), leaf.text(Secrets::Shown));
        }
        for (name, child) in node.children() {
            below(child, &format!("{path}/{}", escape(&name)), found);
        }
    }
    let mut found = BTreeMap::new();
    below(Node::root(image), "", &mut found);
    found.retain(|path, _| path != "/image/provenance" && !path.starts_with("/image/topics/byId/"));
    found
}

/// `diff` takes one image's leaves to the other's.
fn check_diff(from: &MetadataImage, to: &MetadataImage) {
    assert_eq!(diff(from, from), []);
    let mut patched = leaves(from);
    let text = |leaf: Option<Leaf<'_>>| leaf.map(|leaf| leaf.text(Secrets::Shown));
    for change in diff(from, to) {
        assert_eq!(patched.get(&change.path).cloned(), text(change.old), "{}", change.path);
        match text(change.new) {
            Some(new) => patched.insert(change.path, new),
            None => patched.remove(&change.path),
        };
    }
    assert_eq!(patched, leaves(to));
}

#[test]
fn at_every_offset_the_image_is_that_of_the_records_below() {
    let (_temp, bare) = copy(&[LOG]);
    let (bare, whole) = (MetadataLog::open(&bare).unwrap(), MetadataLog::open(&fixture().join("data")).unwrap());
    assert_eq!((whole.log_start(), whole.log_end().unwrap()), (Offset::ZERO, Offset::new(END)));
    let mut builder = ImageBuilder::default();
    let mut states = vec![builder.image().clone()];
    let problems = bare.read(Offset::ZERO, &mut |entry| {
        use logdir::storage::metadata_log::Content;
        match &entry.content {
            Content::Data(decoded) => builder.push(decoded.typed()).unwrap(),
            Content::Control { record, .. } => builder.push_control(record, entry.leader_epoch),
            Content::Unreadable(error) => panic!("{error}"),
        }
        states.push(builder.image().clone());
        ControlFlow::Continue(())
    });
    assert_eq!(problems.unwrap(), []);
    assert_eq!(states.len(), usize::try_from(END).unwrap() + 1);
    // One replay that goes on from offset to offset, and one of its own for each.
    let mut running = bare.replay(Moment::At(Offset::ZERO)).unwrap();
    for (offset, state) in (0..).zip(&states) {
        running.advance(Moment::At(Offset::new(offset)), &mut |_, _| {}).unwrap();
        same("running", running.image(), state);
        same("by itself", &at(&bare, offset), state);
        // The snapshot of offset 0 holds the voters before a record says them.
        if offset >= 53 {
            same("from a snapshot", &at(&whole, offset), state);
        }
        check_diff(&states[0], state);
        check_diff(&states[usize::try_from(offset).unwrap() / 2], state);
    }
}

#[test]
fn a_time_is_the_state_before_the_first_batch_of_that_time() {
    let whole = MetadataLog::open(&fixture().join("data")).unwrap();
    let mut times: Vec<(i64, i64)> = Vec::new();
    let read = whole.read(Offset::ZERO, &mut |entry| {
        times.push((entry.base_offset.get(), entry.timestamp_ms));
        ControlFlow::Continue(())
    });
    read.unwrap();
    times.dedup();
    let mut compared = 0;
    for window in times.windows(2).filter(|window| window[0].1 < window[1].1) {
        let replay = replayed(&whole, Moment::Time(window[1].1));
        assert_eq!(replay.next_offset().get(), window[1].0, "{window:?}");
        let base = replay.base().unwrap().path.clone();
        same("time", replay.image(), &at(&whole, window[1].0));
        // Never a snapshot that holds what came later.
        assert!(window[1].0 >= 104 || !base.ends_with(SECOND), "{window:?} {base:?}");
        compared += 1;
    }
    assert!(compared > 30, "{compared}");
}

#[test]
fn the_tree_is_what_kafkas_shell_printed() {
    let mut lines = 0;
    for name in [FIRST, SECOND, LOG] {
        let printed = fs::read_to_string(fixture().join(format!("truth/tree.{name}.txt"))).unwrap();
        let log = MetadataLog::open(&fixture().join("data/__cluster_metadata-0").join(name)).unwrap();
        let image = replayed(&log, Moment::End).into_image();
        let mut expected: Vec<&str> = printed.lines().collect();
        // The shell takes the provenance from the offsets inside the file.
        let at = expected.iter().position(|line| *line == "provenance:").unwrap() + 1;
        expected.remove(at);
        let mut ours = Vec::new();
        print(Node::root(&image).child("image").unwrap(), 0, &mut ours);
        ours.remove(at);
        assert_eq!(ours, expected, "{name}");
        lines += ours.len();
    }
    assert!(lines > 400, "{lines}");
}

fn print(node: Node<'_>, depth: usize, out: &mut Vec<String>) {
    if let Some(leaf) = node.leaf() {
        out.push(format!("{}{}", "  ".repeat(depth), leaf.text(Secrets::Shown)));
    }
    for (name, child) in node.children() {
        out.push(format!("{}{name}:", "  ".repeat(depth)));
        print(child, depth + 1, out);
    }
}

#[test]
fn what_is_gone_is_said_with_the_offset_that_can_be_asked_for() {
    let (_temp, dir) = copy(&[LOG, FIRST, SECOND]);
    let whole = MetadataLog::open(&dir).unwrap();
    let expected = at(&whole, 60);
    let mut position = None;
    let read = whole.read(Offset::new(53), &mut |entry| {
        position = Some((entry.position.get(), entry.base_offset.get()));
        ControlFlow::Break(())
    });
    read.unwrap();
    let (position, base) = position.unwrap();
    assert_eq!(base, 53, "a snapshot ends with a batch");
    let bytes = fs::read(dir.join(LOG)).unwrap();
    fs::remove_file(dir.join(LOG)).unwrap();
    let tail = bytes.get(usize::try_from(position).unwrap()..).unwrap();
    fs::write(dir.join("00000000000000000053.log"), tail).unwrap();
    let log = MetadataLog::open(&dir).unwrap();
    assert_eq!(log.log_start(), Offset::new(53));
    same("offset 60", &at(&log, 60), &expected);
    for moment in [Moment::At(Offset::new(52)), Moment::Time(1)] {
        let error = log.replay(moment).unwrap_err();
        let MetadataLogError::HistoryGone { log_start, first, .. } = error else { panic!("{error}") };
        assert_eq!((log_start, first), (Offset::new(53), Some(Offset::new(53))));
    }
    fs::remove_file(dir.join(FIRST)).unwrap();
    fs::remove_file(dir.join(SECOND)).unwrap();
    let error = MetadataLog::open(&dir).unwrap().replay(Moment::End).unwrap_err();
    assert!(matches!(error, MetadataLogError::HistoryGone { first: None, .. }), "{error}");
}

#[test]
fn a_snapshot_without_its_footer_is_passed_over_at_every_cut() {
    let (_temp, dir) = copy(&[LOG, FIRST, SECOND]);
    let expected = at(&MetadataLog::open(&dir).unwrap(), END);
    let bytes = fs::read(dir.join(SECOND)).unwrap();
    for len in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        fs::write(dir.join(SECOND), &bytes[..len]).unwrap();
        let log = MetadataLog::open(&dir).unwrap();
        let replay = replayed(&log, Moment::End);
        assert!(replay.base().unwrap().path.ends_with(FIRST), "cut at {len}");
        assert_eq!(replay.notices().len(), 1, "cut at {len}");
        same("cut", replay.image(), &expected);
    }
    fs::rename(dir.join(SECOND), dir.join(format!("{SECOND}.part"))).unwrap();
    let log = MetadataLog::open(&dir).unwrap();
    assert_eq!((log.snapshots().len(), log.notices().len()), (1, 1));
    same("part", &at(&log, END), &expected);
}

#[test]
fn a_torn_tail_is_the_end_and_damage_is_where_a_server_cuts() {
    let (_temp, dir) = copy(&[LOG]);
    let bytes = fs::read(dir.join(LOG)).unwrap();
    let whole = at(&MetadataLog::open(&dir).unwrap(), END);
    for tail in [1, 17, 60] {
        fs::write(dir.join(LOG), [&bytes[..], &bytes[..tail]].concat()).unwrap();
        same("torn", &at(&MetadataLog::open(&dir).unwrap(), END), &whole);
    }
    let mut batches: Vec<(usize, i64)> = Vec::new();
    let read = MetadataLog::open(&fixture().join("data")).unwrap().read(Offset::ZERO, &mut |entry| {
        batches.push((usize::try_from(entry.position.get()).unwrap(), entry.base_offset.get()));
        ControlFlow::Continue(())
    });
    read.unwrap();
    batches.dedup();
    for (start, base) in batches {
        // From the checksum's own bytes on: what stands before them it does not cover.
        for position in [start + 17, start + 23, start + 60] {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x10;
            fs::write(dir.join(LOG), &damaged).unwrap();
            let log = MetadataLog::open(&dir).unwrap();
            let replay = replayed(&log, Moment::End);
            let [problem] = replay.problems().0 else { panic!("{position}: {:?}", replay.problems()) };
            assert!(matches!(problem.kind, ProblemKind::Batch(_)), "{position}: {problem:?}");
            let found = (usize::try_from(problem.position).unwrap(), replay.next_offset().get());
            assert_eq!(found, (start, base), "damage at {position}");
            fs::write(dir.join(LOG), &bytes).unwrap();
            same("damaged", replay.image(), &at(&MetadataLog::open(&dir).unwrap(), base));
        }
    }
}

#[test]
fn a_record_of_the_future_is_named_and_the_rest_counts() {
    let (_temp, dir) = copy(&[LOG]);
    let whole = at(&MetadataLog::open(&dir).unwrap(), END);
    let spec = BatchSpec { base_offset: Offset::new(END), leader_epoch: LeaderEpoch(1), ..BatchSpec::default() };
    let mut builder = BatchBuilder::new(spec);
    for value in [&[1, 200, 1, 0, 9, 9][..], &[1, 2, 7, 1], &[1, 20, 0, 0]] {
        builder.push(&NewRecord { timestamp_ms: 1, value: Some(value), ..NewRecord::default() }).unwrap();
    }
    let mut bytes = fs::read(dir.join(LOG)).unwrap();
    bytes.extend_from_slice(builder.seal(&mut Compressor::default()).unwrap().bytes());
    fs::write(dir.join(LOG), bytes).unwrap();
    let log = MetadataLog::open(&dir).unwrap();
    let image = at(&log, END + 3);
    same("unknown", &image, &whole);
    assert!(image.is_incomplete() && !whole.is_incomplete());
    let unknown: Vec<_> = image.unknown_records().map(|(api_key, version, it)| (api_key, version, it.name)).collect();
    assert_eq!(unknown, [(2, 7, Some("TopicRecord")), (200, 0, None)]);
}

#[test]
fn what_is_no_metadata_log_is_refused() {
    let data = fixture().join("data");
    for path in [data.join("meta.properties"), fixture().join("truth"), data.join("__cluster_metadata-0/quorum-state")]
    {
        let error = MetadataLog::open(&path).unwrap_err();
        assert!(matches!(error, MetadataLogError::NotOne { .. }), "{error}");
    }
    assert!(matches!(MetadataLog::open(&data.join("none")), Err(MetadataLogError::Storage(_))));
    let bootstrap = MetadataLog::open(&data.join("bootstrap.checkpoint")).unwrap();
    let image = replayed(&bootstrap, Moment::End).into_image();
    assert!(image.feature("metadata.version").is_some());
}

fn record() -> impl Strategy<Value = Record> {
    let id = (0u8..4).prop_map(|byte| Uuid([byte; 16]));
    let name = "[a-c/\\\\]{0,2}";
    let ids = proptest::collection::vec(-1i32..4, 0..4);
    prop_oneof![
        (name, id.clone()).prop_map(|(name, topic_id)| Record::Topic { name, topic_id }),
        (id.clone(), 0..3i32, ids, 0..3i32).prop_map(|(topic_id, partition, replicas, leader_recovery_state)| {
            Record::Partition(PartitionRecord {
                topic_id,
                partition,
                isr: replicas.clone(),
                replicas,
                leader_recovery_state,
                ..PartitionRecord::default()
            })
        }),
        id.prop_map(|topic_id| Record::RemoveTopic { topic_id }),
        (0..40i32, name, name, proptest::option::of(name)).prop_map(|(resource_type, resource_name, name, value)| {
            Record::Config { resource_type, resource_name, name, value }
        }),
        (name, 0..3i32).prop_map(|(name, level)| Record::FeatureLevel { name, level }),
        (name, proptest::option::of(name), name, proptest::option::of(any::<f64>())).prop_map(
            |(kind, entity, key, value)| Record::ClientQuota {
                entity: [(kind, entity)].into_iter().collect(),
                key,
                value: value.map(Quota::new)
            }
        ),
        (0..3i32, any::<i64>()).prop_map(|(broker_id, broker_epoch)| Record::FenceBroker { broker_id, broker_epoch }),
        Just(Record::BeginTransaction),
        Just(Record::EndTransaction),
        Just(Record::AbortTransaction),
        // Any other type, made of bytes.
        (0u8..29, 0u8..5, proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(2), any::<u8>()], 0..90))
            .prop_map(|(api_key, version, bytes)| {
                let framed = [&[1, api_key, version][..], &bytes].concat();
                (0..=bytes.len())
                    .find_map(|cut| decode(&framed[..framed.len() - cut]).ok().map(|decoded| decoded.typed()))
                    .unwrap_or(Record::NoOp)
            }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_records_make_an_image_and_differences_add_up(
        first in proptest::collection::vec(record(), 0..30),
        second in proptest::collection::vec(record(), 0..30),
    ) {
        let mut builder = ImageBuilder::default();
        let push = |record: Record, builder: &mut ImageBuilder| {
            let before = builder.clone();
            let _ = logdir::schema::image::touched(&record, builder.latest());
            // A record that does not fit changes nothing.
            if builder.push(record).is_err() {
                prop_assert_eq!(before.latest(), builder.latest());
            }
            Ok(())
        };
        for record in first {
            push(record, &mut builder)?;
        }
        let from = builder.image().clone();
        for record in second {
            push(record, &mut builder)?;
        }
        let to = builder.build();
        check_diff(&from, &to);
        check_diff(&to, &from);
    }
}
