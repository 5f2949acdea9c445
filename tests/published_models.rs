//! The five published models of log truncation come to the counts that TLC has for them, and to traces as short.
//!
//! Distinct states are TLC's. Generated ones are TLC's too, but where the specification takes one step by two ways
//! (KIP-279 and KIP-320): TLC counts that step twice. The largest are run with `LOGDIR_EXPLORE=full`.

use std::ops::ControlFlow;

use logdir::replication::explorer::{Ending, Found, Limits, Model, search};
use logdir::replication::published::Invariant::{self, Nothing, StrongIsr, WeakIsr};
use logdir::replication::published::Rules::{self, HighWatermark, Kip101, Kip279, Kip320, Kip320FirstTry};
use logdir::replication::published::{Event, Published, Scope, Violation, state::State};

type Result = Found<State, Event, Violation>;

fn model(rules: Rules, [replicas, log_size, records, epoch_max]: [u8; 4], invariant: Invariant) -> Published {
    Published::new(rules, Scope::new(replicas, log_size, records, epoch_max).expect("a scope that has room"), invariant)
}

fn found(model: &Published, threads: usize) -> Result {
    search(model, &Limits { threads, ..Limits::default() }, &mut |_| ControlFlow::Continue(()))
}

/// All states there are, with one thread and with more.
fn exhausts(model: &Published, generated: u64, distinct: u64) {
    for threads in [1, 2, 3] {
        let found = found(model, threads);
        assert_eq!(found.ending, Ending::Exhausted, "{threads} threads");
        assert_eq!((found.generated, found.distinct), (generated, distinct), "{threads} threads");
    }
}

/// The trace has so many states, the first one included, is one that the model can take, and is the same for any number
/// of threads.
fn is_violated(model: &Published, states: usize) {
    let first = found(model, 1);
    let Ending::Violated(trace) = &first.ending else { panic!("{:?}", first.ending) };
    assert_eq!(trace.steps.len(), states, "{trace:?}");
    assert_eq!(first.depth as usize, states);
    let mut before = None;
    for step in &trace.steps {
        let mut is_possible = false;
        let mut look = |event, state| is_possible |= (event, state) == (step.event, step.state);
        match &before {
            None => model.initial(&mut |state| look(None, state)),
            Some(before) => model.successors(before, &mut |event, state| look(Some(event), state)),
        }
        assert!(is_possible, "{step:?} after {before:?}");
        before = Some(step.state);
    }
    assert_eq!(before.and_then(|it| model.verdict(&it)), Some(trace.violation));
    for threads in [2, 3, 16] {
        let again = found(model, threads);
        assert_eq!(Found { buffer_bytes: 0, ..again }, Found { buffer_bytes: 0, ..first.clone() }, "{threads} threads");
    }
}

fn is_full_run() -> bool {
    std::env::var_os("LOGDIR_EXPLORE").is_some_and(|it| it == "full")
}

#[test]
fn two_replicas_have_as_many_states_as_tlc_finds() {
    for (rules, generated, distinct) in [
        (HighWatermark, 24_459, 10_131),
        (Kip101, 21_447, 9_045),
        (Kip279, 21_877, 9_027),
        (Kip320FirstTry, 19_387, 8_429),
        (Kip320, 11_733, 5_973),
    ] {
        println!("{rules:?}");
        exhausts(&model(rules, [2, 2, 2, 2], Nothing), generated, distinct);
    }
}

#[test]
fn three_replicas_have_a_sixth_of_the_states_when_they_are_exchanged() {
    exhausts(&model(HighWatermark, [3, 2, 2, 2], Nothing).with_symmetry(), 1_251_670, 332_037);
}

#[test]
fn three_replicas_have_as_many_states_as_tlc_finds() {
    let found = found(&model(HighWatermark, [3, 2, 2, 2], Nothing), 2);
    assert_eq!(found.ending, Ending::Exhausted);
    assert_eq!((found.generated, found.distinct, found.depth), (7_491_589, 1_988_158, 28));
}

#[test]
fn kip_320_keeps_what_is_committed() {
    exhausts(&model(Kip320, [3, 2, 2, 2], StrongIsr), 1_929_154, 737_794);
}

#[test]
fn kip_320_keeps_what_is_committed_in_four_epochs() {
    if !is_full_run() {
        println!("left out: takes long without optimisation; LOGDIR_EXPLORE=full runs it");
        return;
    }
    exhausts(&model(Kip320, [3, 3, 2, 3], StrongIsr).with_symmetry(), 4_441_142, 1_665_204);
}

#[test]
fn what_breaks_earlier_rules_takes_as_many_steps_as_tlc_finds() {
    for (rules, invariant, states) in
        [(HighWatermark, StrongIsr, 9), (HighWatermark, WeakIsr, 9), (Kip101, WeakIsr, 11), (Kip279, WeakIsr, 11)]
    {
        println!("{rules:?} {invariant:?}");
        is_violated(&model(rules, [3, 3, 3, 3], invariant), states);
    }
}

#[test]
fn the_first_design_of_kip_320_breaks_after_twelve_steps() {
    is_violated(&model(Kip320FirstTry, [3, 3, 3, 3], StrongIsr).with_symmetry(), 13);
    if is_full_run() {
        is_violated(&model(Kip320FirstTry, [3, 3, 3, 3], StrongIsr), 13);
    }
}

#[test]
fn a_trace_is_told_in_words() {
    let model = model(HighWatermark, [3, 3, 3, 3], StrongIsr);
    let Ending::Violated(trace) = found(&model, 1).ending else { panic!("no violation") };
    let told: Vec<String> = trace.steps.iter().filter_map(|it| it.event).map(|it| it.to_string()).collect();
    assert_eq!(
        told,
        [
            "controller elects b0",
            "controller takes b2 out of the ISR",
            "b0 becomes leader of e1",
            "b0 appends a record",
            "b1 becomes follower in e0",
            "b1 fetches a record from b0",
            "b0 raises its high watermark",
            "b1 becomes follower in e1",
        ]
    );
    let last = trace.steps.last().map(|it| model.describe(&it.state).to_string());
    let expected = "b0 leads e1 ISR {b0,b1} LEO/HW 1/1 m0@e1; b1 follows b0 e1 ISR {b0,b1} LEO/HW 0/0; \
                    b2 knows no epoch ISR {} LEO/HW 0/0; controller: b0 e1 ISR {b0,b1}";
    assert_eq!(last.as_deref(), Some(expected));
    let violation = "b1 is in the ISR and does not have what b0 has below its high watermark 1";
    assert_eq!(trace.violation.to_string(), violation);
}

#[test]
fn a_scope_without_room_is_refused() {
    for (scope, expected) in [
        ([4, 2, 2, 2], "number of replicas is 4, and 1 to 3 have room"),
        ([3, 5, 2, 2], "log size is 5, and 1 to 4 have room"),
        ([3, 2, 5, 2], "number of records is 5, and 0 to 4 have room"),
        ([3, 2, 2, 4], "highest leader epoch is 4, and 0 to 3 have room"),
    ] {
        let [replicas, log_size, records, epoch_max] = scope;
        let refused = Scope::new(replicas, log_size, records, epoch_max).map_err(|it| it.to_string());
        assert_eq!(refused, Err(expected.to_owned()), "{scope:?}");
    }
}
