//! What the pool promises, under random delays, failures, revocations and crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::task::task;
use super::*;
use crate::partitioner::{PartitionCount, partition_for_key};
use crate::types::{Offset, TopicPartition};

const SOON: Duration = Duration::from_secs(20);
const NOW: Duration = Duration::ZERO;

fn partition(number: i32) -> Arc<TopicPartition> {
    Arc::new(TopicPartition::new("t", number))
}

/// Workers that all do the same.
fn start<F>(options: Options, work: F) -> Workers
where
    F: Fn(&Task) -> Result<(), WorkError> + Clone + Send + 'static,
{
    Workers::start(options, None, move |_| Ok(Box::new(work.clone()))).unwrap()
}

fn must_take(workers: &mut Workers, task: Task) {
    let submission = workers.submit(task, SOON);
    assert!(matches!(submission, Submission::Submitted), "{submission:?}");
}

fn key_of(offset: i64) -> String {
    format!("key-{}", (offset * 7 + offset / 5) % 16)
}

/// Waits for something that another thread does.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < SOON, "{what}");
        sleep(Duration::from_micros(200));
    }
}

#[test]
fn records_of_one_key_keep_their_order_and_others_go_side_by_side() {
    let seen: Arc<Mutex<Vec<(String, i64)>>> = Arc::default();
    let (busy, busiest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let work = {
        let (seen, busy, busiest) = (Arc::clone(&seen), Arc::clone(&busy), Arc::clone(&busiest));
        move |task: &Task| {
            busiest.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_micros(fastrand::u64(0..600)));
            let key = String::from_utf8(task.key.clone().unwrap()).unwrap();
            seen.lock().unwrap().push((key, task.offset.get()));
            busy.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    };
    let mut workers = start(Options { workers: 8, ..Options::default() }, work);
    let one = partition(1);
    workers.assign(&one, 1, Offset::ZERO);
    for offset in 0..2_000 {
        must_take(&mut workers, task(&one, offset, Some(key_of(offset).as_bytes()), None));
        let finished: BTreeSet<i64> = seen.lock().unwrap().iter().map(|(_, offset)| *offset).collect();
        let position = workers.position(&one).unwrap().get();
        assert!((0..position).all(|offset| finished.contains(&offset)), "position {position} is not finished");
    }
    assert!(workers.drain(SOON));
    assert_eq!(workers.position(&one), Some(Offset::new(2_000)));
    assert_eq!(workers.finished(), 2_000);
    let seen = seen.lock().unwrap();
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for (key, offset) in seen.iter() {
        let before = last.insert(key, *offset);
        assert!(before < Some(*offset), "{key}: {offset} behind {before:?}");
    }
    assert_eq!((seen.len(), last.len()), (2_000, 16));
    assert!(busiest.load(Ordering::SeqCst) >= 4, "{busiest:?} at a time");
}

#[test]
fn the_keys_of_one_partition_have_different_workers() {
    // The partition takes the lower bits of the same hash.
    let eight = PartitionCount::new(8).unwrap();
    let keys = (0..8_000).map(|n| format!("customer-{n}")).filter(|key| partition_for_key(key.as_bytes(), eight) == 3);
    let mut counts = [0; 8];
    for key in keys {
        counts[pool::lane_of_key(key.as_bytes(), 8)] += 1;
    }
    assert!(counts.iter().all(|count| (85..165).contains(count)), "{counts:?}");
    for lanes in [1, 2, 3, 1_000] {
        assert!((0..500).all(|n| pool::lane_of_key(format!("{n}").as_bytes(), lanes) < lanes));
    }
}

/// Workers that wait to be told for every record; each `send` lets one go on.
fn gated(options: Options) -> (Workers, Sender<Result<(), WorkError>>, Receiver<i64>) {
    let (open, gate) = channel();
    let (begun, begins) = channel();
    let gate = Arc::new(Mutex::new(gate));
    let workers = start(options, move |task: &Task| {
        begun.send(task.offset.get()).unwrap();
        gate.lock().unwrap().recv().unwrap_or(Ok(()))
    });
    (workers, open, begins)
}

#[test]
fn what_is_under_way_is_bounded_in_records_and_bytes() {
    let one = partition(1);
    let (mut workers, open, _begins) = gated(Options { records_max: 3, ..Options::default() });
    workers.assign(&one, 1, Offset::ZERO);
    for offset in 0..3 {
        must_take(&mut workers, task(&one, offset, None, None));
    }
    let started = Instant::now();
    let full = workers.submit(task(&one, 3, None, None), Duration::from_millis(50));
    assert!(matches!(&full, Submission::Full(task) if task.offset == Offset::new(3)), "{full:?}");
    assert!(started.elapsed() >= Duration::from_millis(50), "it waits for room");
    open.send(Ok(())).unwrap();
    must_take(&mut workers, task(&one, 3, None, None));
    drop(open);
    assert!(workers.drain(SOON));

    let (mut workers, open, _begins) = gated(Options { bytes_max: 10_000, ..Options::default() });
    workers.assign(&one, 1, Offset::ZERO);
    let large = |offset, bytes| task(&one, offset, None, Some(&vec![0; bytes]));
    must_take(&mut workers, large(0, 20_000));
    assert!(matches!(workers.submit(large(1, 10), NOW), Submission::Full(_)), "one that is too large goes alone");
    open.send(Ok(())).unwrap();
    must_take(&mut workers, large(1, 4_000));
    must_take(&mut workers, large(2, 4_000));
    assert!(matches!(workers.submit(large(3, 4_000), NOW), Submission::Full(_)));
    drop(open);
    assert!(workers.drain(SOON));
}

#[test]
fn one_slow_record_holds_back_what_a_crash_would_repeat() {
    let one = partition(1);
    let options = Options { workers: 2, records_max: 10, ..Options::default() };
    let slow = (0..).map(|n| format!("k{n}")).find(|key| pool::lane_of_key(key.as_bytes(), 2) == 0).unwrap();
    let fast = (0..).map(|n| format!("k{n}")).find(|key| pool::lane_of_key(key.as_bytes(), 2) == 1).unwrap();
    let go_on = Arc::new(AtomicBool::new(false));
    let work = {
        let (slow, go_on) = (slow.clone(), Arc::clone(&go_on));
        move |task: &Task| {
            if task.key.as_deref() == Some(slow.as_bytes()) {
                until("it may go on", || go_on.load(Ordering::SeqCst));
            }
            Ok(())
        }
    };
    let mut workers = start(options, work);
    workers.assign(&one, 1, Offset::ZERO);
    must_take(&mut workers, task(&one, 0, Some(slow.as_bytes()), None));
    for offset in 1..20 {
        must_take(&mut workers, task(&one, offset, Some(fast.as_bytes()), None));
    }
    let refused = workers.submit(task(&one, 20, Some(fast.as_bytes()), None), Duration::from_millis(100));
    assert!(matches!(refused, Submission::Full(_)), "20 records lie behind the position: {refused:?}");
    assert_eq!(workers.position(&one), Some(Offset::ZERO));
    go_on.store(true, Ordering::SeqCst);
    must_take(&mut workers, task(&one, 20, Some(fast.as_bytes()), None));
    assert!(workers.drain(SOON));
    assert_eq!(workers.position(&one), Some(Offset::new(21)));
}

#[test]
fn the_first_failure_stops_everything() {
    let one = partition(1);
    let (mut workers, open, begins) = gated(Options { workers: 2, ..Options::default() });
    workers.assign(&one, 1, Offset::ZERO);
    for offset in 0..10 {
        must_take(&mut workers, task(&one, offset, None, None));
    }
    // Two are in process; the one that gets the error stops both workers, the other one's record counts.
    let begun = [begins.recv().unwrap(), begins.recv().unwrap()];
    open.send(Err(WorkError::new("no"))).unwrap();
    until("the failure is told", || {
        workers.poll(NOW);
        workers.failure().is_some()
    });
    open.send(Ok(())).unwrap();
    assert!(!workers.drain(SOON), "nothing is begun any more");
    workers.close(SOON);
    let failure = workers.failure().unwrap().clone();
    assert_eq!((failure.error.to_string(), failure.dead_letter.clone()), ("no".to_owned(), None));
    assert!(begun.contains(&failure.offset.get()));
    assert!(begins.try_recv().is_err(), "nothing behind it is processed");
    assert!(workers.position(&one).unwrap() <= failure.offset);
    assert_eq!(workers.finished(), 1);
    assert_eq!(workers.take_events(), [Event::Failed(failure)]);
    assert!(matches!(workers.submit(task(&one, 10, None, None), NOW), Submission::Stopped(_)));
}

#[test]
fn a_worker_that_panics_stops_everything() {
    let one = partition(1);
    let on_failure = OnFailure::Retry { retries: 5, backoff: NOW, then: Then::DeadLetter };
    let mut workers = start(Options { on_failure, ..Options::default() }, |_: &Task| panic!("on purpose"));
    workers.assign(&one, 1, Offset::new(5));
    must_take(&mut workers, task(&one, 5, None, None));
    assert!(!workers.drain(SOON));
    workers.close(SOON);
    assert_eq!(workers.failure().unwrap().error.to_string(), "the worker panicked");
    assert_eq!(workers.position(&one), Some(Offset::new(5)));
}

/// Fails so many times for each record.
fn failing(times: usize) -> impl Fn(&Task) -> Result<(), WorkError> + Clone + Send + 'static {
    let attempts: Arc<Mutex<BTreeMap<i64, usize>>> = Arc::default();
    move |task: &Task| {
        let mut attempts = attempts.lock().unwrap();
        let attempt = attempts.entry(task.offset.get()).or_default();
        *attempt += 1;
        if *attempt <= times { Err(WorkError::new(format!("attempt {attempt}"))) } else { Ok(()) }
    }
}

#[test]
fn a_record_is_tried_again_with_growing_pauses() {
    let one = partition(1);
    let backoff = Duration::from_millis(20);
    let on_failure = OnFailure::Retry { retries: 2, backoff, then: Then::Stop };
    let mut workers = start(Options { on_failure, ..Options::default() }, failing(2));
    workers.assign(&one, 1, Offset::ZERO);
    let started = Instant::now();
    must_take(&mut workers, task(&one, 0, None, None));
    assert!(workers.drain(SOON));
    assert!(started.elapsed() >= backoff * 3, "20 and 40 ms");
    assert_eq!(workers.position(&one), Some(Offset::new(1)));
    let again = |attempt, pause| Event::Retry {
        partition: TopicPartition::new("t", 1),
        offset: Offset::ZERO,
        error: WorkError::new(format!("attempt {attempt}")),
        attempt,
        pause,
    };
    assert_eq!(workers.take_events(), [again(1, backoff), again(2, backoff * 2)]);

    let mut workers = start(Options { on_failure, ..Options::default() }, failing(3));
    workers.assign(&one, 1, Offset::ZERO);
    must_take(&mut workers, task(&one, 0, None, None));
    assert!(!workers.drain(SOON));
    assert_eq!(workers.failure().unwrap().error.to_string(), "attempt 3");
    assert_eq!(workers.position(&one), Some(Offset::ZERO));
}

#[test]
fn a_pause_ends_with_the_workers_and_with_the_assignment() {
    let one = partition(1);
    let backoff = Duration::from_secs(600);
    let on_failure = OnFailure::Retry { retries: 1, backoff, then: Then::Stop };
    for revoke in [false, true] {
        let mut workers = start(Options { on_failure, ..Options::default() }, failing(1));
        workers.assign(&one, 1, Offset::ZERO);
        must_take(&mut workers, task(&one, 0, None, None));
        until("it has failed", || {
            workers.poll(NOW);
            !workers.take_events().is_empty()
        });
        let started = Instant::now();
        if revoke {
            assert_eq!(workers.revoke(&one, SOON), Some(Offset::ZERO));
        } else {
            workers.close(SOON);
            assert_eq!(workers.position(&one), Some(Offset::ZERO));
        }
        assert!(started.elapsed() < Duration::from_secs(5), "revoke: {revoke}");
        assert_eq!(workers.failure(), None, "who comes next tries it again");
    }
}

/// Keeps what it gets; refuses offsets from `full` on.
struct Shelf {
    letters: Arc<Mutex<Vec<(i64, String)>>>,
    full: i64,
}

impl DeadLetters for Shelf {
    fn put(&mut self, letter: &DeadLetter<'_>) -> Result<(), WorkError> {
        if letter.task.offset.get() >= self.full {
            return Err(WorkError::new("no room"));
        }
        self.letters.lock().unwrap().push((letter.task.offset.get(), letter.error.to_string()));
        Ok(())
    }
}

#[test]
fn a_dead_letter_is_finished_once_it_is_stored() {
    let one = partition(1);
    let cases = [
        (OnFailure::DeadLetter, "attempt 1"),
        (OnFailure::Retry { retries: 1, backoff: NOW, then: Then::DeadLetter }, "attempt 2"),
    ];
    for (on_failure, expected) in cases {
        let letters: Arc<Mutex<Vec<(i64, String)>>> = Arc::default();
        let shelf = Shelf { letters: Arc::clone(&letters), full: 2 };
        let (options, work) = (Options { on_failure, ..Options::default() }, failing(9));
        let mut workers =
            Workers::start(options, Some(Box::new(shelf)), |_| Ok(Box::new(work.clone()) as Box<dyn Worker>)).unwrap();
        workers.assign(&one, 1, Offset::ZERO);
        for offset in 0..2 {
            must_take(&mut workers, task(&one, offset, None, None));
        }
        assert!(workers.drain(SOON));
        assert_eq!(workers.position(&one), Some(Offset::new(2)));
        assert_eq!(*letters.lock().unwrap(), [(0, expected.to_owned()), (1, expected.to_owned())]);
        let diverted = workers.take_events().into_iter().filter(|event| matches!(event, Event::Diverted { .. }));
        assert_eq!(diverted.count(), 2);
        for offset in 2..4 {
            let _ = workers.submit(task(&one, offset, None, None), SOON);
        }
        assert!(!workers.drain(SOON));
        workers.close(SOON);
        let failure = workers.failure().unwrap();
        assert_eq!(failure.dead_letter.as_ref().unwrap().to_string(), "no room");
        assert_eq!(workers.position(&one), Some(Offset::new(2)), "{on_failure:?}");
    }
}

#[test]
fn a_revoked_partition_is_dropped_from_the_queues_and_its_record_in_process_waited_for() {
    let (one, two) = (partition(1), partition(2));
    let (mut workers, open, begins) = gated(Options::default());
    workers.assign(&one, 1, Offset::ZERO);
    workers.assign(&two, 1, Offset::ZERO);
    for offset in 0..3 {
        must_take(&mut workers, task(&one, offset, None, None));
        must_take(&mut workers, task(&two, offset, None, None));
    }
    assert_eq!(begins.recv().unwrap(), 0);
    open.send(Ok(())).unwrap();
    // The record of the other partition is in process now.
    assert_eq!(begins.recv().unwrap(), 0);
    assert_eq!(workers.revoke(&one, SOON), Some(Offset::new(1)), "what is in process is not of it");
    assert_eq!(workers.revoke(&one, SOON), None);
    let helper = std::thread::spawn({
        let open = open.clone();
        move || {
            sleep(Duration::from_millis(50));
            open.send(Ok(())).unwrap();
        }
    });
    assert_eq!(workers.revoke(&two, SOON), Some(Offset::new(1)), "it is waited for");
    helper.join().unwrap();
    assert!(workers.drain(SOON), "nothing is left of either");
    assert!(begins.try_recv().is_err());

    // One that takes too long counts for nothing, and the same record goes behind it.
    workers.assign(&one, 2, Offset::new(1));
    must_take(&mut workers, task(&one, 1, None, None));
    assert_eq!(begins.recv().unwrap(), 1);
    assert_eq!(workers.revoke(&one, Duration::from_millis(20)), Some(Offset::new(1)));
    workers.assign(&one, 3, Offset::new(1));
    must_take(&mut workers, task(&one, 1, None, None));
    open.send(Ok(())).unwrap();
    assert_eq!(begins.recv().unwrap(), 1);
    assert_eq!(workers.position(&one), Some(Offset::new(1)), "the first one's end is of an earlier assignment");
    open.send(Ok(())).unwrap();
    assert!(workers.drain(SOON));
    assert_eq!(workers.position(&one), Some(Offset::new(2)));
}

#[test]
fn a_record_that_cannot_be_handed_out_is_given_back() {
    let one = partition(1);
    let mut workers = start(Options::default(), |_: &Task| Ok(()));
    let refused = workers.submit(task(&one, 0, None, None), NOW);
    assert!(matches!(refused, Submission::Refused(_, BeginError::NotAssigned { .. })), "{refused:?}");
    workers.assign(&one, 1, Offset::new(8));
    let refused = workers.submit(task(&one, 7, None, None), NOW);
    assert!(matches!(refused, Submission::Refused(_, BeginError::Behind { .. })), "{refused:?}");
    workers.pass(&one, Offset::new(12));
    assert!(workers.drain(NOW));
    assert_eq!(workers.position(&one), Some(Offset::new(12)));
}

/// What the outside world sees of all runs: each record as it is processed.
#[derive(Default)]
struct World {
    seen: Mutex<Vec<(usize, i64)>>,
}

/// Runs from `from` until it "crashes" or all is done; returns what was committed then, and the offset behind the last
/// record handed out. A crash is one at any moment: nothing that happens after it reaches the world.
fn run_until_crash(world: &Arc<World>, run: usize, from: i64, end: i64, rng: &mut fastrand::Rng) -> (i64, i64) {
    let one = partition(1);
    let crashed = Arc::new(AtomicBool::new(false));
    let work = {
        let (world, crashed) = (Arc::clone(world), Arc::clone(&crashed));
        move |task: &Task| {
            if fastrand::u8(..) < 40 {
                sleep(Duration::from_micros(fastrand::u64(0..150)));
            }
            let mut seen = world.seen.lock().unwrap();
            if !crashed.load(Ordering::SeqCst) {
                seen.push((run, task.offset.get()));
            }
            Ok(())
        }
    };
    let mut workers = start(Options { workers: 4, records_max: 8, ..Options::default() }, work);
    workers.assign(&one, run as u64, Offset::new(from));
    let (mut next, mut committed) = (from, from);
    let lifetime = rng.i64(0..60);
    let mut steps = 0;
    while committed < end && steps < lifetime {
        steps += 1;
        if next < end {
            match workers.submit(task(&one, next, Some(key_of(next).as_bytes()), None), Duration::from_micros(300)) {
                Submission::Submitted => next += 1,
                Submission::Full(_) => {}
                other => panic!("{other:?}"),
            }
        } else {
            workers.poll(Duration::from_micros(300));
        }
        if rng.u8(..) < 100 {
            workers.poll(NOW);
            committed = workers.position(&one).unwrap().get();
            let seen = world.seen.lock().unwrap();
            let seen: BTreeSet<i64> = seen.iter().map(|(_, offset)| *offset).collect();
            assert!((0..committed).all(|offset| seen.contains(&offset)), "run {run} skips below {committed}");
        }
    }
    let seen = world.seen.lock().unwrap();
    crashed.store(true, Ordering::SeqCst);
    drop(seen);
    (committed, next)
}

#[test]
fn a_crash_skips_nothing_and_repeats_what_was_under_way() {
    let mut rng = fastrand::Rng::with_seed(11);
    let (mut runs, mut repeated) = (0, 0);
    while runs < 200 {
        let world: Arc<World> = Arc::default();
        let end = 300;
        let (mut committed, first_run) = (0, runs);
        // What may be seen again: from what was committed up to what was handed out, for each crash.
        let mut spans: Vec<(i64, i64)> = Vec::new();
        while committed < end {
            let from = committed;
            let next;
            (committed, next) = run_until_crash(&world, runs, from, end, &mut rng);
            assert!(from <= committed && committed <= next, "run {runs}: {from} {committed} {next}");
            assert!(next - from <= 60 + 32, "run {runs}");
            spans.push((committed, next));
            runs += 1;
        }
        let seen = world.seen.lock().unwrap();
        let mut times: BTreeMap<i64, i64> = BTreeMap::new();
        let mut last: BTreeMap<(usize, String), i64> = BTreeMap::new();
        for (run, offset) in seen.iter() {
            *times.entry(*offset).or_default() += 1;
            let before = last.insert((*run, key_of(*offset)), *offset);
            assert!(before < Some(*offset), "run {run}: {offset} behind {before:?}");
            let from = if *run == first_run { 0 } else { spans[*run - first_run - 1].0 };
            assert!(*offset >= from, "run {run}: {offset} was committed, {from}");
        }
        assert!((0..end).all(|offset| times.contains_key(&offset)), "a record was skipped");
        for (offset, times) in times {
            let under_way = spans.iter().filter(|(from, to)| (*from..*to).contains(&offset)).count();
            assert!(times <= 1 + i64::try_from(under_way).unwrap(), "{offset}: {times} times, {under_way} crashes");
            repeated += times - 1;
        }
    }
    assert!(repeated > 50, "the test repeats something: {repeated}");
}
