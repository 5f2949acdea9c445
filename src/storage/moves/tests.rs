//! Every moment at which a run can end: by the loss of power, by a disk that is full or bad. What a broker would find then,
//! and what becomes of it afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use super::*;
use crate::batch::builder::{BatchBuilder, BatchSpec, NewRecord};
use crate::batch::compression::Compressor;
use crate::storage::checkpoint::{self, HIGH_WATERMARK, LOG_START, RECOVERY_POINT};
use crate::storage::fs;
use crate::storage::names::{DirKind, PartitionDirName};
use crate::storage::partition;
use crate::storage::power_loss::disk::{Disk, Keep};
use crate::storage::power_loss::journal::{self as recording, Fails};
use crate::types::{Offset, TopicPartition};

const LOG: &str = "00000000000000000000.log";
const INDEX: &str = "00000000000000000000.index";
const ONE_BY_ONE: Options = Options { workers: 1, per_disk: 1, throttle: None, force: false };

type Files = BTreeMap<String, Vec<u8>>;

fn batch(value: &str) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec { base_sequence: -1, ..BatchSpec::default() });
    builder.push(&NewRecord { timestamp_ms: 1_000, value: Some(value.as_bytes()), ..NewRecord::default() }).unwrap();
    builder.seal(&mut Compressor::default()).unwrap().bytes().to_vec()
}

fn files(dir: &Path) -> Option<Files> {
    let entries = std::fs::read_dir(dir).ok()?.map(Result::unwrap);
    Some(
        entries
            .map(|it| (it.file_name().into_string().unwrap(), std::fs::read(it.path()).unwrap_or_default()))
            .collect(),
    )
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// All files are as old as each other: what tells that a file was written to is its time.
fn set_times(dir: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            set_times(&entry.path());
        } else {
            std::fs::File::options().write(true).open(entry.path()).unwrap().set_modified(time).unwrap();
        }
    }
}

/// Two log directories of broker 1, one of broker 2, and what the partitions in them hold.
struct Place {
    _temp: tempfile::TempDir,
    root: PathBuf,
    pristine: PathBuf,
    held: BTreeMap<TopicPartition, Files>,
}

const PARTITIONS: [(&str, i32); 5] = [("orders", 0), ("orders", 1), ("other", 0), ("stays", 0), ("late", 0)];

impl Place {
    fn new() -> Place {
        // In memory where there is such a place: what a disk keeps is decided here, and not by one.
        let temp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let base = temp.path().canonicalize().unwrap();
        let (root, pristine) = (base.join("root"), base.join("pristine"));
        let mut held = BTreeMap::new();
        for dir in ["d0", "d1", "d2"] {
            std::fs::create_dir_all(pristine.join(dir)).unwrap();
            std::fs::write(pristine.join(dir).join("meta.properties"), "version=1\n").unwrap();
            std::fs::write(pristine.join(dir).join(".kafka_cleanshutdown"), "{\"version\":0,\"brokerEpoch\":1}")
                .unwrap();
        }
        let mut checkpoint = String::from("0\n5\n");
        for (topic, number) in PARTITIONS {
            let partition = TopicPartition::new(topic, number);
            let dir = pristine.join("d0").join(partition.to_string());
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join(LOG), batch(&format!("{partition} holds this"))).unwrap();
            std::fs::write(dir.join(INDEX), [0; 32]).unwrap();
            std::fs::write(dir.join("partition.metadata"), "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n").unwrap();
            held.insert(partition, files(&dir).unwrap());
            checkpoint.push_str(&format!("{topic} {number} 1\n"));
        }
        for name in [HIGH_WATERMARK, RECOVERY_POINT, LOG_START] {
            std::fs::write(pristine.join("d0").join(name), &checkpoint).unwrap();
        }
        // Broker 2 was to have it, and has nothing of it yet.
        std::fs::create_dir(pristine.join("d2/late-0")).unwrap();
        std::fs::write(pristine.join("d2/late-0").join(LOG), "").unwrap();
        Place { _temp: temp, root, pristine, held }
    }

    fn fresh(&self) {
        let _ = std::fs::remove_dir_all(&self.root);
        let copied = std::process::Command::new("cp").arg("-r").arg(&self.pristine).arg(&self.root).status().unwrap();
        assert!(copied.success());
        set_times(&self.root);
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn dirs(&self) -> Vec<PathBuf> {
        ["d0", "d1", "d2"].map(|name| self.dir(name)).to_vec()
    }

    /// One that is copied, one that gets another name, one that another broker gets and one that goes after that.
    fn jobs(&self) -> Vec<Job> {
        let job = |number: usize, act: Act, to: &str, renames: bool| {
            let (topic, partition) = PARTITIONS[number];
            let partition = TopicPartition::new(topic, partition);
            let to = (act != Act::Drop).then(|| self.dir(to));
            let id = format!("{:032x}", number + if act == Act::Drop { 9 } else { 1 });
            let job = match &to {
                Some(to) if topic == "late" => Job::replacing(id, &partition, &self.dir("d0"), to),
                to => Job::new(id, &partition, act, &self.dir("d0"), to.as_deref()),
            };
            let mut job = job.unwrap();
            // As if there were another file system.
            job.renames = renames;
            job.look().unwrap();
            job
        };
        vec![
            job(0, Act::Move, "d1", false),
            job(1, Act::Move, "d1", true),
            job(2, Act::Copy, "d2", false),
            job(2, Act::Drop, "d0", false),
            job(4, Act::Copy, "d2", false),
        ]
    }

    fn whole_run(&self) -> Result<Finished, MoveError> {
        let journal = begin(self.jobs(), None, None)?;
        run(journal, &ONE_BY_ONE, &|| false, &mut |_| {})
    }

    /// Goes on where a run was interrupted; `None` where none had begun.
    fn resume(&self, place: &str) -> Option<Finished> {
        let found = find(&self.dirs()).unwrap();
        found.stale.iter().for_each(|path| fs::remove_if_present(path).unwrap());
        let path = found.open.first()?;
        let journal = Journal::read(path).unwrap_or_else(|error| panic!("{place}: {error}"));
        let finished = run(journal, &ONE_BY_ONE, &|| false, &mut |_| {});
        Some(finished.unwrap_or_else(|error| panic!("{place}: {error}")))
    }

    /// Brings the run to its end: one that was interrupted, or one that had not begun.
    fn resume_or_begin(&self, when: &str) {
        if self.resume(when).is_none() && find(&self.dirs()).unwrap().done.is_empty() {
            self.whole_run().unwrap_or_else(|error| panic!("{when}: {error}"));
        }
    }

    /// What a broker finds in its log directories: it refuses to start, or serves these partitions from these directories.
    fn broker(&self, place: &str, dirs: &[&str]) -> Option<BTreeMap<TopicPartition, PathBuf>> {
        let mut serves = BTreeMap::new();
        for dir in dirs.iter().map(|dir| self.dir(dir)) {
            for name in names(&dir).into_iter().filter(|name| dir.join(name).is_dir()) {
                let Ok(parsed) = PartitionDirName::parse(name.as_ref()) else { return None };
                if parsed.kind == DirKind::Live {
                    let taken = serves.insert(parsed.topic_partition, dir.join(&name));
                    assert_eq!(taken, None, "{place}: {name} is there twice");
                }
            }
        }
        Some(serves)
    }

    /// At least one whole copy; a broker serves all, and from where it was deleted up to, or does not start.
    fn check_after_crash(&self, place: &str) {
        let on_1 = self.broker(place, &["d0", "d1"]);
        let on_2 = self.broker(place, &["d2"]).unwrap_or_else(|| panic!("{place}: broker 2 does not start"));
        for (partition, held) in &self.held {
            let Some(on_1) = &on_1 else {
                // Broker 1 loses nothing, whatever it finds: it does not start.
                let has =
                    self.dirs().into_iter().flat_map(|dir| names(&dir).into_iter().map(move |name| dir.join(name)));
                let whole = has.filter(|path| files(path).as_ref() == Some(held)).count();
                assert!(whole > 0, "{place}: no whole copy of {partition}");
                continue;
            };
            let mut dirs: Vec<&PathBuf> = on_1.get(partition).into_iter().collect();
            if partition.topic == "late" {
                self.check_late(place, held);
            } else {
                dirs.extend(on_2.get(partition));
            }
            assert!(!dirs.is_empty(), "{place}: nobody serves {partition}");
            for dir in dirs {
                assert_eq!(files(dir).as_ref(), Some(held), "{place}: {}", dir.display());
                let log_starts = checkpoint::read(&dir.parent().unwrap().join(LOG_START)).unwrap();
                assert_eq!(log_starts.get(partition), Some(Offset::new(1)), "{place}: deleted records of {partition}");
            }
        }
    }

    /// What broker 2 has of the partition that it is to have: nothing yet, or all.
    fn check_late(&self, place: &str, held: &Files) {
        let found = files(&self.dir("d2/late-0"));
        let nothing = Files::from([(LOG.to_owned(), Vec::new())]);
        assert!(found.as_ref().is_none_or(|it| it == held || *it == nothing), "{place}: late-0: {found:?}");
    }

    /// A broker starts, removes what is to be removed, writes its checkpoints anew, and stops.
    fn broker_runs(&self, dirs: &[&str]) {
        let Some(serves) = self.broker("a broker starts", dirs) else { return };
        for dir in dirs.iter().map(|dir| self.dir(dir)) {
            for name in names(&dir).into_iter().filter(|name| name.ends_with("-delete")) {
                std::fs::remove_dir_all(dir.join(name)).unwrap();
            }
            for name in [HIGH_WATERMARK, RECOVERY_POINT, LOG_START] {
                let Ok(stored) = checkpoint::read(&dir.join(name)) else { continue };
                let here = |partition: &TopicPartition| serves.get(partition).is_some_and(|at| at.starts_with(&dir));
                let kept = stored.entries().iter().filter(|(partition, _)| here(partition)).cloned();
                let kept: checkpoint::OffsetCheckpoint = kept.collect();
                std::fs::write(dir.join(name), kept.to_text()).unwrap();
            }
        }
    }

    fn check_finished(&self, place: &str, held: &BTreeMap<TopicPartition, Files>) {
        let expected = [("orders", 0, "d1"), ("orders", 1, "d1"), ("other", 0, "d2"), ("stays", 0, "d0")];
        for (topic, number, dir) in expected {
            let partition = TopicPartition::new(topic, number);
            let at = self.dir(dir).join(partition.to_string());
            assert_eq!(files(&at).as_ref(), held.get(&partition), "{place}: {partition}");
            for name in [HIGH_WATERMARK, RECOVERY_POINT, LOG_START] {
                for other in self.dirs() {
                    let stored = partition::present(checkpoint::read(&other.join(name))).unwrap().unwrap_or_default();
                    let expected = (other == self.dir(dir)).then(|| Offset::new(1));
                    assert_eq!(stored.get(&partition), expected, "{place}: {partition} in {}/{name}", other.display());
                }
            }
        }
        let late = TopicPartition::new("late", 0);
        for dir in ["d0/late-0", "d2/late-0"] {
            assert_eq!(files(&self.dir(dir)).as_ref(), held.get(&late), "{place}: {dir}");
        }
        let log_starts = checkpoint::read(&self.dir("d2").join(LOG_START)).unwrap();
        assert_eq!(log_starts.get(&late), Some(Offset::new(1)), "{place}");
        self.check_nothing_else(place);
    }

    fn check_nothing_else(&self, place: &str) {
        for dir in self.dirs() {
            for name in names(&dir) {
                let is_done = name.ends_with(".done") || !name.starts_with(".logdir");
                // What is left of a checkpoint that was being written is written over by the next one, as a broker's is.
                let is_aside = name.ends_with("-delete") || name.ends_with(".moved");
                assert!(is_done && !is_aside, "{place}: {} is left", dir.join(name).display());
            }
        }
    }

    fn check_undone(&self, place: &str) {
        for (partition, held) in &self.held {
            let at = self.dir("d0").join(partition.to_string());
            assert_eq!(files(&at).as_ref(), Some(held), "{place}: {partition}");
            if partition.topic == "late" {
                self.check_late(place, held);
                continue;
            }
            for name in [HIGH_WATERMARK, RECOVERY_POINT, LOG_START] {
                for dir in self.dirs() {
                    let stored = partition::present(checkpoint::read(&dir.join(name))).unwrap().unwrap_or_default();
                    let expected = (dir == self.dir("d0")).then(|| Offset::new(1));
                    assert_eq!(stored.get(partition), expected, "{place}: {partition} in {}/{name}", dir.display());
                }
            }
        }
        self.check_nothing_else(place);
    }
}

#[test]
fn a_run_brings_every_partition_to_its_place() {
    let place = Place::new();
    place.fresh();
    let finished = place.whole_run().unwrap();
    assert_eq!((finished.done, finished.left), (5, 0));
    place.check_finished("a whole run", &place.held);
    let found = find(&place.dirs()).unwrap();
    assert_eq!((found.open.len(), found.done.len()), (0, 1));
}

/// The states that a loss of power leaves at every moment of a run, each handed to `each` with a word for it.
fn lose_power(each: &dyn Fn(&Place, &str)) {
    let place = Place::new();
    place.fresh();
    let mut disk = Disk::of(&place.root);
    recording::begin(&place.root);
    place.whole_run().unwrap();
    let ops = recording::end(&place.root);
    let mut random = fastrand::Rng::with_seed(11);
    for done in 0..=ops.len() {
        if done > 0 {
            disk.apply(&ops[done - 1]);
        }
        for keep in [Keep::Nothing, Keep::All, Keep::Names, Keep::Bytes, Keep::Some(50), Keep::Some(80)] {
            std::fs::remove_dir_all(&place.root).unwrap();
            std::fs::create_dir(&place.root).unwrap();
            disk.crash(&place.root, keep, &mut random);
            set_times(&place.root);
            let last = done.checked_sub(1).map(|last| ops[last].to_string()).unwrap_or_default();
            each(&place, &format!("after {done} of {} changes, the last to {last}, {keep:?}", ops.len()));
        }
    }
}

#[test]
fn power_lost_at_any_moment_loses_nothing_and_a_rerun_finishes() {
    lose_power(&|place, when| {
        place.check_after_crash(when);
        place.resume_or_begin(when);
        place.check_finished(when, &place.held);
    });
}

#[test]
fn a_broker_may_run_between_a_crash_and_the_rerun() {
    lose_power(&|place, when| {
        let mut held = place.held.clone();
        place.broker_runs(&["d0", "d1"]);
        place.broker_runs(&["d2"]);
        // Records that came in meanwhile go along.
        let orders = TopicPartition::new("orders", 0);
        let source = place.dir("d0").join("orders-0").join(LOG);
        if place.broker(when, &["d0", "d1"]).is_some()
            && let Ok(mut bytes) = std::fs::read(&source)
        {
            bytes.extend(batch("came in meanwhile"));
            std::fs::write(&source, &bytes).unwrap();
            held.get_mut(&orders).unwrap().insert(LOG.to_owned(), bytes);
        }
        place.resume_or_begin(when);
        place.check_finished(when, &held);
    });
}

#[test]
fn power_lost_at_any_moment_and_all_taken_back() {
    lose_power(&|place, when| {
        let found = find(&place.dirs()).unwrap();
        found.stale.iter().for_each(|path| fs::remove_if_present(path).unwrap());
        let Some(path) = found.open.first().or(found.done.first()) else { return place.check_undone(when) };
        let mut journal = Journal::read(path).unwrap();
        undo(&mut journal).unwrap_or_else(|error| panic!("{when}: {error}"));
        // A replica that was dropped is copied back from the one that took its place.
        let dropped = journal.jobs.iter().filter(|it| it.job.act == Act::Drop && it.state == State::Done);
        let dropped: Vec<TopicPartition> = dropped.map(|it| it.job.partition()).collect();
        let mut back = Vec::new();
        let mut drops = Vec::new();
        for (number, (partition, act, from, to)) in reversed(&journal).into_iter().enumerate() {
            let id = format!("{:032x}", 100 + number);
            let (act, to) = match act {
                Act::Drop if dropped.contains(&partition) => {
                    let id = format!("{:032x}", 200 + number);
                    back.push(Job::new(id, &partition, Act::Copy, &from, Some(&place.dir("d0"))).unwrap());
                    (Act::Drop, None)
                }
                act => (act, Some(to)),
            };
            let job = Job::new(id, &partition, act, &from, to.as_deref().filter(|_| act != Act::Drop)).unwrap();
            if act == Act::Drop { drops.push(job) } else { back.push(job) }
        }
        back.extend(drops);
        let done = if found.open.is_empty() { journal.path().to_owned() } else { journal.close().unwrap() };
        fs::remove_if_present(&done).unwrap();
        if !back.is_empty() {
            let journal = begin(back, Some("that".to_owned()), None).unwrap_or_else(|error| panic!("{when}: {error}"));
            run(journal, &ONE_BY_ONE, &|| false, &mut |_| {}).unwrap_or_else(|error| panic!("{when}: {error}"));
        }
        place.check_undone(when);
    });
}

#[test]
fn a_bad_or_full_disk_at_any_step_loses_nothing_and_a_rerun_finishes() {
    let place = Place::new();
    place.fresh();
    recording::begin(&place.root);
    place.whole_run().unwrap();
    let attempts = recording::attempts(&place.root);
    recording::end(&place.root);
    let mut failed = 0;
    for fails in [Fails::Once(Errno::IO), Fails::Once(Errno::NOSPC), Fails::Full] {
        for attempt in 0..attempts {
            place.fresh();
            recording::begin(&place.root);
            recording::fail_at(&place.root, attempt, fails);
            let done = place.whole_run();
            recording::end(&place.root);
            let when = format!("{fails:?} at attempt {attempt} of {attempts}: {:?}", done.as_ref().err());
            failed += usize::from(done.is_err());
            place.check_after_crash(&when);
            place.resume_or_begin(&when);
            place.check_finished(&when, &place.held);
        }
    }
    println!("{failed} runs failed at one of {attempts} steps each, and were finished");
    assert!(failed > attempts, "{failed} of {attempts}");
}

/// Power is lost in the middle of taking back, and again and again: `resume` or another attempt brings it to its end.
#[test]
fn taking_back_may_be_interrupted_too() {
    let place = Place::new();
    place.fresh();
    let mut disk = Disk::of(&place.root);
    recording::begin(&place.root);
    place.whole_run().unwrap();
    let ops = recording::end(&place.root);
    let mut random = fastrand::Rng::with_seed(5);
    let mut tried = 0;
    for done in 0..=ops.len() {
        if done > 0 {
            disk.apply(&ops[done - 1]);
        }
        // What changes names is where it matters.
        let is_naming = done.checked_sub(1).is_some_and(|at| matches!(ops[at], recording::Op::Renamed { .. }));
        if !is_naming && done % 23 != 0 {
            continue;
        }
        let restore = |disk: &Disk, keep: Keep, random: &mut fastrand::Rng| {
            std::fs::remove_dir_all(&place.root).unwrap();
            std::fs::create_dir(&place.root).unwrap();
            disk.crash(&place.root, keep, random);
            set_times(&place.root);
        };
        restore(&disk, Keep::All, &mut random);
        let found = find(&place.dirs()).unwrap();
        let Some(path) = found.open.first().cloned() else { continue };
        let mut second = Disk::of(&place.root);
        recording::begin(&place.root);
        let mut journal = Journal::read(&path).unwrap();
        undo(&mut journal).unwrap();
        drop(journal);
        let undone = recording::end(&place.root);
        for moment in 0..=undone.len() {
            if moment > 0 {
                second.apply(&undone[moment - 1]);
            }
            for (keep, resumes) in [(Keep::All, true), (Keep::Nothing, true), (Keep::All, false)] {
                restore(&second, keep, &mut random);
                let when = format!("after {done} changes, and {moment} of {} back, {keep:?}, {resumes}", undone.len());
                place.check_after_crash(&when);
                if resumes {
                    place.resume(&when);
                } else {
                    let mut journal = Journal::read(&path).unwrap();
                    undo(&mut journal).unwrap_or_else(|error| panic!("{when}: {error}"));
                    assert!(journal.jobs.iter().all(|it| it.state >= State::Done), "{when}");
                }
                place.check_after_crash(&when);
                assert!(place.broker(&when, &["d0", "d1"]).is_some(), "{when}: broker 1 does not start");
                tried += 1;
            }
        }
    }
    println!("{tried} interruptions of taking back");
}

/// Where it was killed after the original was put aside, a broker may have made the partition anew, and empty.
#[test]
fn what_a_broker_made_in_the_place_of_a_copy_is_not_taken_for_it() {
    let place = Place::new();
    place.fresh();
    let mut journal = begin(place.jobs(), None, None).unwrap();
    let job = journal.jobs[0].job.clone();
    journal.note(&[0], State::Copying).unwrap();
    journal.note(&[0], State::Retiring).unwrap();
    drop(journal);
    std::fs::rename(job.source(), job.retired()).unwrap();
    std::fs::create_dir(job.target()).unwrap();
    std::fs::write(job.target().join(LOG), "").unwrap();
    let found = find(&place.dirs()).unwrap();
    let mut failed = Vec::new();
    let journal = Journal::read(&found.open[0]).unwrap();
    let finished = run(journal, &ONE_BY_ONE, &|| false, &mut |event| {
        if let Event::Failed(job, error) = event {
            failed.push((job.partition().to_string(), error.to_string()));
        }
    });
    let finished = finished.unwrap();
    assert_eq!((finished.done, finished.left), (4, 1), "the others are done");
    let said = format!("{}: is there already", job.target().display());
    assert_eq!(failed, [("orders-0".to_owned(), said)]);
    assert_eq!(files(&job.retired()).as_ref(), place.held.get(&job.partition()), "the original stays");
    assert!(undo(&mut Journal::read(&found.open[0]).unwrap()).is_err());
    assert_eq!(files(&job.retired()).as_ref(), place.held.get(&job.partition()), "the original stays");
    // When what the broker made is out of the way, it goes on.
    std::fs::remove_dir_all(job.target()).unwrap();
    place.resume("later").unwrap();
    place.check_finished("later", &place.held);
}

#[test]
fn a_replica_that_was_written_to_since_is_not_dropped() {
    let place = Place::new();
    place.fresh();
    let journal = begin(place.jobs(), None, None).unwrap();
    let stops = std::sync::atomic::AtomicBool::new(true);
    let stopped = || stops.load(std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(run(journal, &ONE_BY_ONE, &stopped, &mut |_| {}), Err(MoveError::Stopped)));
    let log = place.dir("d0/other-0").join(LOG);
    let mut bytes = std::fs::read(&log).unwrap();
    bytes.extend(batch("newer"));
    std::fs::write(&log, &bytes).unwrap();
    place.resume("written to");
    assert_eq!(std::fs::read(&log).unwrap(), bytes, "it stays");
    assert_eq!(std::fs::read(place.dir("d2/other-0").join(LOG)).unwrap(), bytes, "and the copy has the newer record");
}

#[test]
fn a_replica_is_dropped_when_one_that_stays_is_sound() {
    let place = Place::new();
    for (damaged, dropped) in [(true, false), (false, true)] {
        place.fresh();
        let other = TopicPartition::new("other", 0);
        let kept = place.dir("d2/other-0");
        std::fs::create_dir(&kept).unwrap();
        let mut bytes = place.held[&other][LOG].clone();
        if damaged {
            *bytes.last_mut().unwrap() ^= 1;
        }
        std::fs::write(kept.join(LOG), &bytes).unwrap();
        let job = Job::dropping("0".repeat(32), &other, &place.dir("d0"), [place.dir("d2")]).unwrap();
        let mut failed = None;
        let finished = run(begin(vec![job], None, None).unwrap(), &ONE_BY_ONE, &|| false, &mut |event| {
            if let Event::Failed(_, error) = event {
                failed = Some(error.to_string());
            }
        });
        assert_eq!(finished.unwrap().left, usize::from(!dropped), "{failed:?}");
        assert_eq!(place.dir("d0/other-0").is_dir(), !dropped);
        assert_eq!(failed.is_some_and(|said| said.contains("d2/other-0")), damaged);
    }
}

#[test]
fn a_journal_that_is_damaged_or_not_mounted_is_no_finished_one() {
    let place = Place::new();
    place.fresh();
    let journal = begin(place.jobs(), None, None).unwrap();
    let path = journal.path().to_owned();
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    for at in (0..last).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(Journal::read(&path), Err(MoveError::Journal { .. })), "byte {at} of {}", whole.len());
    }
    std::fs::write(&path, &whole).unwrap();
    let dir = path.parent().unwrap();
    let away = dir.with_file_name("away");
    std::fs::rename(dir, &away).unwrap();
    std::fs::create_dir(dir).unwrap();
    let others: Vec<PathBuf> = place.dirs().into_iter().filter(|other| other != dir).collect();
    let found = find(&others).unwrap();
    assert_eq!((found.open.len(), found.stale.len(), found.unreachable.as_slice()), (0, 0, &[path][..]));
}
