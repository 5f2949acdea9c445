//! Every moment at which a swap can end, and what a broker may have done before it goes on.

use super::*;
use crate::storage::checkpoint::{CLEANER, HIGH_WATERMARK, LOG_START, RECOVERY_POINT};
use crate::storage::power_loss::disk::{Disk, Keep};
use crate::storage::power_loss::journal as recording;

const ENDS: Ends = Ends { log_start: Offset::ZERO, first_base: Offset::ZERO, log_end: Offset::new(50) };
const LOGS: [&str; 2] = ["00000000000000000000.log", "00000000000000000030.log"];

fn partition() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn contents(dir: &Path) -> Option<Vec<String>> {
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_else(|_| "none".into());
    dir.is_dir().then(|| LOGS.map(read).to_vec())
}

fn text(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A log directory with one partition, and the new one built beside it: one log by a second name, one anew.
fn begun(log_dir: &Path) -> Staging {
    let live = log_dir.join("orders-0");
    if !live.exists() {
        std::fs::create_dir(&live).unwrap();
        std::fs::write(live.join(LOGS[0]), "sealed").unwrap();
        std::fs::write(live.join(LOGS[1]), "old").unwrap();
        std::fs::write(log_dir.join(RECOVERY_POINT), "0\n2\norders 0 90\norders 1 7\n").unwrap();
        std::fs::write(log_dir.join(HIGH_WATERMARK), "0\n1\norders 0 90\n").unwrap();
    }
    let staging = Staging::begin(log_dir, &partition()).unwrap();
    assert!(fs::hard_link(&live.join(LOGS[0]), &staging.dir().join(LOGS[0])).unwrap());
    let second = staging.dir().join(LOGS[1]);
    let file = fs::open_to_write(&second, fs::Opening::Emptied).unwrap();
    fs::write_at(&file, &second, b"new", 0).unwrap();
    fs::sync_file(&file, &second).unwrap();
    staging
}

/// The steps of a swap that end with the exchange, and no further; the wrapper.
fn exchanged(log_dir: &Path, old: Old, in_one_step: bool) -> PathBuf {
    let mut staging = begun(log_dir);
    checkpoints::prepare(log_dir, &partition(), &ENDS, false).unwrap();
    staging.ready(&ENDS, old).unwrap();
    let (live, wrapper) = (log_dir.join("orders-0"), stray(log_dir, &staging.journal));
    fs::rename(&staging.wrapper, &wrapper).unwrap();
    if in_one_step {
        assert!(fs::exchange(&wrapper.join(NEW), &live).unwrap());
    } else {
        fs::rename(&live, &wrapper.join(OLD)).unwrap();
        fs::rename(&wrapper.join(NEW), &live).unwrap();
    }
    wrapper
}

/// What a broker leaves of a wrapper it loads: an empty log at the partition's log start.
fn loaded(wrapper: &Path) {
    for name in ["00000000000000000000.log", "00000000000000000000.index", "leader-epoch-checkpoint"] {
        std::fs::write(wrapper.join(name), "").unwrap();
    }
}

/// A broker set the partition aside, with the journal in it and the originals: it is nobody's to remove.
#[test]
fn what_was_in_place_once_is_not_removed_under_another_name() {
    for (name, with_originals) in [("orders-0.4711-stray", true), ("orders-0.4711-delete", false)] {
        let dir = tempfile::tempdir().unwrap();
        let staging = begun(dir.path());
        let journal = std::fs::read(staging.wrapper.join(JOURNAL)).unwrap();
        let begun = staging.wrapper.clone();
        let renamed = dir.path().join(name);
        std::fs::rename(dir.path().join("orders-0"), &renamed).unwrap();
        std::fs::write(renamed.join(JOURNAL), journal).unwrap();
        if with_originals {
            std::fs::create_dir(renamed.join(KEPT)).unwrap();
        }
        let done = finish_interrupted(dir.path()).unwrap();
        assert_eq!(done, [Interrupted::Removed(begun)], "{name}");
        assert_eq!(contents(&renamed).unwrap(), ["sealed", "old"], "{name}");
    }
}

#[test]
fn a_swap_keeps_the_original_and_makes_the_checkpoints_true() {
    let dir = tempfile::tempdir().unwrap();
    let live = begun(dir.path()).swap(&ENDS, Old::Kept).unwrap();
    assert_eq!(contents(&live).unwrap(), ["sealed", "new"]);
    assert_eq!(contents(&live.join(KEPT)).unwrap(), ["sealed", "old"]);
    assert_eq!(text(dir.path(), RECOVERY_POINT), "0\n2\norders 1 7\norders 0 50\n");
    assert_eq!(text(dir.path(), HIGH_WATERMARK), "0\n1\norders 0 50\n");
    assert_eq!(find_interrupted(dir.path()).unwrap(), Vec::<PathBuf>::new());
    let again = Staging::begin(dir.path(), &partition());
    assert!(matches!(again, Err(SwapError::KeptAlready { .. })));
    assert!(commit(&live).unwrap());
    assert!(!commit(&live).unwrap());
    begun(dir.path()).swap(&ENDS, Old::Removed).unwrap();
    assert_eq!(names(dir.path()), ["orders-0", RECOVERY_POINT, HIGH_WATERMARK]);
    assert_eq!(contents(&live.join(KEPT)), None);
    begun(dir.path()).swap(&ENDS, Old::Condemned).unwrap();
    let aside = names(dir.path()).into_iter().find(|name| name.ends_with("-delete")).unwrap();
    assert_eq!(
        contents(&dir.path().join(aside)).unwrap(),
        ["sealed", "new"],
        "the whole directory, for a broker to remove"
    );
}

#[test]
fn a_link_and_checkpoints_that_cannot_be_read_are_refused_before_anything_changes() {
    let dir = tempfile::tempdir().unwrap();
    begun(dir.path()).abandon().unwrap();
    let before = names(dir.path());
    for name in checkpoint::ALL {
        let stored = std::fs::read(dir.path().join(name)).ok();
        for damaged in ["1\n1\norders 0 90\n", "0\n9\norders 0 90\n", "what"] {
            std::fs::write(dir.path().join(name), damaged).unwrap();
            let refused = Staging::begin(dir.path(), &partition()).unwrap_err();
            assert!(matches!(&refused, SwapError::Storage(error) if error.path.ends_with(name)), "{name}: {refused}");
            assert_eq!(text(dir.path(), name), damaged);
        }
        match stored {
            Some(stored) => std::fs::write(dir.path().join(name), stored).unwrap(),
            None => std::fs::remove_file(dir.path().join(name)).unwrap(),
        }
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let place = elsewhere.path().join("orders-0");
    std::fs::rename(dir.path().join("orders-0"), &place).unwrap();
    std::os::unix::fs::symlink(&place, dir.path().join("orders-0")).unwrap();
    assert!(matches!(Staging::begin(dir.path(), &partition()), Err(SwapError::Link { .. })));
    assert_eq!(names(dir.path()), before);
    assert_eq!(contents(&place).unwrap(), ["sealed", "old"]);
}

#[test]
fn power_lost_at_any_moment_leaves_the_original_or_the_result() {
    for old in [Old::Kept, Old::Condemned, Old::Removed] {
        lose_power(old);
    }
}

fn lose_power(old: Old) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    begun(&root).abandon().unwrap();
    let mut disk = Disk::of(&root);
    recording::begin(&root);
    begun(&root).swap(&ENDS, old).unwrap();
    let ops = recording::end(&root);
    let mut random = fastrand::Rng::with_seed(7);
    let (mut tried, mut before, mut after) = (0, 0, 0);
    for done in 0..=ops.len() {
        if done > 0 {
            disk.apply(&ops[done - 1]);
        }
        let some = std::iter::repeat_n(Keep::Some(50), if old == Old::Kept { 6 } else { 2 });
        for keep in [Keep::Nothing, Keep::All, Keep::Names, Keep::Bytes].into_iter().chain(some) {
            let crashed = tempfile::tempdir().unwrap();
            disk.crash(crashed.path(), keep, &mut random);
            let place = format!("{old:?}, after {done} of {} changes, {keep:?}", ops.len());
            // What a broker would find is whole already.
            let live = crashed.path().join("orders-0");
            let found = contents(&live).unwrap_or_else(|| panic!("{place}: the partition is gone"));
            let is_old = found == ["sealed", "old"];
            assert!(is_old || found == ["sealed", "new"], "{place}: {found:?}");
            assert!(!is_old || done < ops.len(), "{place}: it had returned");
            let stored = checkpoint::read(&crashed.path().join(RECOVERY_POINT)).unwrap();
            let point = stored.get(&partition()).unwrap_or(Offset::ZERO);
            assert!(is_old || point <= ENDS.log_end, "{place}: recovery point {point} vouches for what is not there");
            // Nothing that a broker loads under the partition's recovery point holds a log.
            for name in names(crashed.path()).into_iter().filter(|name| name.ends_with("-stray")) {
                assert_eq!(contents(&crashed.path().join(&name)).unwrap(), ["none", "none"], "{place}: {name}");
            }
            finish_interrupted(crashed.path()).unwrap_or_else(|error| panic!("{place}: {error}"));
            assert_eq!(contents(&live).unwrap(), found, "{place}: finishing changes nothing of it");
            let left: Vec<_> = find_interrupted(crashed.path()).unwrap();
            assert!(left.is_empty(), "{place}: {left:?}");
            let aside = names(crashed.path()).into_iter().find(|name| name.ends_with("-delete"));
            let original = match old {
                Old::Kept => contents(&live.join(KEPT)),
                Old::Condemned => aside.and_then(|name| contents(&crashed.path().join(name))),
                Old::Removed => aside.map(|name| vec![name]),
            };
            let expected = (!is_old && old != Old::Removed).then(|| vec!["sealed".to_owned(), "old".to_owned()]);
            assert_eq!(original, expected, "{place}: the original");
            tried += 1;
            if is_old { before += 1 } else { after += 1 }
        }
    }
    println!(
        "{old:?}: {tried} losses of power over {} changes: {before} left the original, {after} the result",
        ops.len()
    );
    assert!(before > 50 && after > 50);
}

/// A broker started while both directories were there, and produced; then the rest is done.
#[test]
fn what_a_broker_wrote_between_a_crash_and_the_rerun_stays() {
    for old in [Old::Kept, Old::Removed, Old::Condemned] {
        for in_one_step in [true, false] {
            for (number, append) in [true, false].into_iter().enumerate() {
                let place = format!("{old:?}, in one step {in_one_step}, case {number}");
                let dir = tempfile::tempdir().unwrap();
                let wrapper = exchanged(dir.path(), old, in_one_step);
                let live = dir.path().join("orders-0");
                loaded(&wrapper);
                if append {
                    std::fs::write(live.join(LOGS[1]), "new and more").unwrap();
                } else {
                    // Records below are deleted.
                    std::fs::write(dir.path().join(LOG_START), "0\n1\norders 0 20\n").unwrap();
                }
                std::fs::write(live.join("00000000000000000060.log"), "rolled").unwrap();
                std::fs::write(dir.path().join(RECOVERY_POINT), "0\n1\norders 0 70\n").unwrap();
                std::fs::write(dir.path().join(HIGH_WATERMARK), "0\n1\norders 0 75\n").unwrap();
                std::fs::write(dir.path().join(CLEANER), "0\n1\norders 0 30\n").unwrap();
                assert_eq!(finish_interrupted(dir.path()).unwrap(), [Interrupted::Finished(live.clone())], "{place}");
                let second = if append { "new and more" } else { "new" };
                assert_eq!(contents(&live).unwrap(), ["sealed", second], "{place}");
                assert_eq!(text(&live, "00000000000000000060.log"), "rolled", "{place}");
                for (name, stored) in [(RECOVERY_POINT, 70), (HIGH_WATERMARK, 75), (CLEANER, 30)] {
                    assert_eq!(text(dir.path(), name), format!("0\n1\norders 0 {stored}\n"), "{place}: {name}");
                }
                let start = checkpoint::read(&dir.path().join(LOG_START)).ok();
                let start = start.and_then(|start| start.get(&partition()));
                assert_eq!(start, (!append).then_some(Offset::new(20)), "{place}");
                let kept = match old {
                    Old::Kept => contents(&live.join(KEPT)),
                    Old::Removed => Some(vec!["sealed".into(), "old".into()]),
                    Old::Condemned => {
                        let aside = names(dir.path()).into_iter().find(|name| name.ends_with("-delete"));
                        contents(&dir.path().join(aside.unwrap()))
                    }
                };
                assert_eq!(kept.unwrap(), ["sealed", "old"], "{place}: the original");
                let wrappers = names(dir.path()).into_iter().filter(|name| name.ends_with("-stray")).count();
                assert_eq!((wrappers, find_interrupted(dir.path()).unwrap().len()), (0, 0), "{place}");
            }
        }
    }
}

/// The same before the exchange: the original is in use, and what was built goes.
#[test]
fn what_a_broker_wrote_before_the_exchange_stays() {
    for renamed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut staging = begun(dir.path());
        checkpoints::prepare(dir.path(), &partition(), &ENDS, true).unwrap();
        staging.ready(&ENDS, Old::Kept).unwrap();
        let mut wrapper = staging.wrapper.clone();
        if renamed {
            wrapper = stray(dir.path(), &staging.journal);
            fs::rename(&staging.wrapper, &wrapper).unwrap();
        }
        loaded(&wrapper);
        let live = dir.path().join("orders-0");
        std::fs::write(live.join(LOGS[1]), "old and more").unwrap();
        std::fs::write(dir.path().join(RECOVERY_POINT), "0\n1\norders 0 95\n").unwrap();
        assert_eq!(finish_interrupted(dir.path()).unwrap(), [Interrupted::Removed(wrapper)]);
        assert_eq!(contents(&live).unwrap(), ["sealed", "old and more"]);
        assert_eq!(text(dir.path(), RECOVERY_POINT), "0\n1\norders 0 95\n");
        assert_eq!(names(dir.path()), ["orders-0", RECOVERY_POINT, HIGH_WATERMARK]);
    }
}

/// What a broker reads of the checkpoints at any moment harms neither of the two directories.
#[test]
fn a_log_start_above_the_new_logs_end_is_lowered_before_it_is_in_place() {
    let dir = tempfile::tempdir().unwrap();
    begun(dir.path()).abandon().unwrap();
    std::fs::write(dir.path().join(LOG_START), "0\n1\norders 0 500\n").unwrap();
    std::fs::write(dir.path().join(CLEANER), "0\n1\norders 0 400\n").unwrap();
    exchanged(dir.path(), Old::Kept, true);
    assert_eq!(text(dir.path(), LOG_START), "0\n1\norders 0 0\n");
    assert_eq!(text(dir.path(), CLEANER), "0\n1\norders 0 50\n");
    assert_eq!(text(dir.path(), RECOVERY_POINT), "0\n2\norders 1 7\norders 0 0\n");
    finish_interrupted(dir.path()).unwrap();
    assert_eq!(text(dir.path(), LOG_START), "0\n0\n");
    assert_eq!(text(dir.path(), RECOVERY_POINT), "0\n2\norders 1 7\norders 0 50\n");
}

/// The topic was deleted, or the partition set aside, by a broker that ran in between.
#[test]
fn the_original_of_a_partition_that_has_gone_since_is_left_alone() {
    for again in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let wrapper = exchanged(dir.path(), Old::Kept, true);
        let live = dir.path().join("orders-0");
        std::fs::rename(&live, dir.path().join("orders-0.4711-delete")).unwrap();
        if again {
            std::fs::create_dir(&live).unwrap();
            std::fs::write(live.join(LOGS[0]), "another").unwrap();
        }
        let before = names(dir.path());
        assert_eq!(finish_interrupted(dir.path()).unwrap(), [Interrupted::Left(wrapper.join(NEW))]);
        assert_eq!(names(dir.path()), before);
        assert_eq!(contents(&wrapper.join(NEW)).unwrap(), ["sealed", "old"]);
    }
}

#[test]
fn an_install_forgets_what_was_noted_of_a_directory_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    for name in checkpoint::ALL {
        std::fs::write(dir.path().join(name), "0\n2\norders 0 500\norders 1 7\n").unwrap();
    }
    let staging = Staging::begin(dir.path(), &partition()).unwrap().as_new_log();
    std::fs::write(staging.dir().join(LOGS[0]), "new").unwrap();
    staging.install(&ENDS).unwrap();
    assert_eq!(text(dir.path(), LOG_START), "0\n1\norders 1 7\n");
    assert_eq!(text(dir.path(), CLEANER), "0\n1\norders 1 7\n");
    assert_eq!(text(dir.path(), HIGH_WATERMARK), "0\n2\norders 1 7\norders 0 50\n");
    assert_eq!(find_interrupted(dir.path()).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn between_two_renames_the_data_is_in_the_wrapper_and_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut staging = begun(dir.path());
    staging.ready(&ENDS, Old::Kept).unwrap();
    let (live, wrapper) = (dir.path().join("orders-0"), stray(dir.path(), &staging.journal));
    fs::rename(&staging.wrapper, &wrapper).unwrap();
    fs::rename(&live, &wrapper.join(OLD)).unwrap();
    loaded(&wrapper);
    // A broker that starts now makes the partition again: nothing is taken from it.
    std::fs::create_dir(&live).unwrap();
    assert!(matches!(finish_interrupted(dir.path()), Err(SwapError::Between { .. })));
    std::fs::remove_dir(&live).unwrap();
    assert_eq!(finish_interrupted(dir.path()).unwrap(), [Interrupted::Finished(live.clone())]);
    assert_eq!(contents(&live).unwrap(), ["sealed", "new"]);
    assert_eq!(contents(&live.join(KEPT)).unwrap(), ["sealed", "old"]);
}
