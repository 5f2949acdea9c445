use std::ops::ControlFlow;
use std::panic::catch_unwind;

use super::search::FoundOf;
use super::{Ending, Found, Limits, Model, Packed, Progress, packed::mix, search};

/// A walk on a grid of three dimensions, away from a corner, by one or two.
struct Walk {
    side: u64,
    /// Where it is wrong to be.
    is_wrong: fn(&[u64; 5]) -> bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stride {
    One(usize),
    Two(usize),
}

impl Model for Walk {
    type State = [u64; 5];
    type Event = Stride;
    type Violation = u64;

    fn initial(&self, out: &mut impl FnMut([u64; 5])) {
        out([0; 5]);
    }

    fn successors(&self, state: &[u64; 5], out: &mut impl FnMut(Stride, [u64; 5])) {
        for axis in 0..3 {
            for (by, stride) in [(1, Stride::One(axis)), (2, Stride::Two(axis))] {
                let mut after = *state;
                after[axis] += by;
                if after[axis] < self.side {
                    out(stride, after);
                }
            }
        }
    }

    fn verdict(&self, state: &[u64; 5]) -> Option<u64> {
        (self.is_wrong)(state).then(|| state.iter().sum())
    }
}

fn found<M: Model>(model: &M, limits: Limits) -> FoundOf<M> {
    search(model, &limits, &mut |_| ControlFlow::Continue(()))
}

/// The same for one thread and for more.
fn found_alike<M: Model>(model: &M, limits: Limits) -> FoundOf<M>
where
    FoundOf<M>: PartialEq + std::fmt::Debug,
{
    let first = Found { buffer_bytes: 0, ..found(model, limits) };
    for threads in [2, 3, 16] {
        let again = Found { buffer_bytes: 0, ..found(model, Limits { threads, ..limits }) };
        assert_eq!(again, first, "{threads} threads");
    }
    first
}

#[test]
fn all_states_are_counted_once_and_every_step_to_them() {
    let found = found_alike(&Walk { side: 30, is_wrong: |_| false }, Limits::default());
    assert_eq!(found.ending, Ending::Exhausted);
    assert_eq!(found.distinct, 27_000);
    assert_eq!(found.generated, 1 + 3 * 900 * (29 + 28));
    assert_eq!(found.depth, 1 + 3 * 15);
}

#[test]
fn a_trace_is_as_short_as_can_be_and_ends_in_the_least_state() {
    let found = found_alike(&Walk { side: 30, is_wrong: |state| state.iter().sum::<u64>() == 40 }, Limits::default());
    let Ending::Violated(trace) = found.ending else { panic!("{:?}", found.ending) };
    assert_eq!((trace.violation, trace.steps.len(), found.depth), (40, 21, 21));
    assert_eq!(trace.steps.first().map(|it| (it.event, it.state)), Some((None, [0; 5])));
    // Twenty strides of two: of those the least.
    assert_eq!(trace.steps.last().map(|it| it.state), Some([0, 12, 28, 0, 0]));
}

#[test]
fn a_state_to_begin_in_may_be_wrong() {
    let found = found_alike(&Walk { side: 30, is_wrong: |_| true }, Limits::default());
    let Ending::Violated(trace) = found.ending else { panic!("{:?}", found.ending) };
    assert_eq!((trace.steps.len(), found.depth, found.distinct, found.generated), (1, 1, 1, 1));
}

#[test]
fn it_ends_at_the_bound_of_states() {
    let limits = Limits { states_max: 50_000, ..Limits::default() };
    let found = found_alike(&Walk { side: 100, is_wrong: |_| false }, limits);
    assert_eq!(found.ending, Ending::BoundReached);
    assert!((50_000..100_000).contains(&found.distinct), "{} states", found.distinct);
}

#[test]
fn it_never_takes_more_bytes_than_it_may() {
    for bytes_max in [0, 100_000, 5_000_000, 20_000_000] {
        let found = found_alike(&Walk { side: 100, is_wrong: |_| false }, Limits { bytes_max, ..Limits::default() });
        assert_eq!(found.ending, Ending::BoundReached, "{bytes_max} bytes");
        let least = 16 * 1024;
        assert!(found.bytes <= bytes_max.max(least), "{} of {bytes_max} bytes", found.bytes);
        let is_used = found.bytes + 16 * (44 << 12) + bytes_max / 8 >= bytes_max;
        assert!(is_used, "only {} of {bytes_max} bytes", found.bytes);
    }
}

#[test]
fn who_watches_may_end_it() {
    let mut told = Vec::new();
    let mut watch = |progress: &Progress| {
        told.push(*progress);
        if progress.distinct > 100_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let found = search(&Walk { side: 100, is_wrong: |_| false }, &Limits::default(), &mut watch);
    assert_eq!(found.ending, Ending::Interrupted);
    assert!((100_000..200_000).contains(&found.distinct), "{} states", found.distinct);
    let first = Progress { level: 0, generated: 1, distinct: 1, left: 1, bytes: told[0].bytes };
    assert_eq!(told[0], first);
    assert!(told.is_sorted_by_key(|it| (it.level, it.generated, it.distinct)));
}

#[test]
fn a_panic_ends_it_and_hangs_nobody() {
    for threads in [1, 2, 5] {
        let limits = Limits { threads, ..Limits::default() };
        let model = catch_unwind(|| {
            let is_wrong = |it: &[u64; 5]| if it[0] == 40 { panic!("a state nobody thought of") } else { false };
            found(&Walk { side: 60, is_wrong }, limits)
        });
        assert!(model.is_err(), "{threads} threads");
        let watch = catch_unwind(|| {
            let model = Walk { side: 60, is_wrong: |_| false };
            search(&model, &limits, &mut |it| if it.level > 3 { panic!("no more") } else { ControlFlow::Continue(()) })
        });
        assert!(watch.is_err(), "{threads} threads");
    }
}

/// A state whose hash tells next to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Alike(u64);

impl Packed for Alike {
    fn hash(&self) -> u64 {
        mix([self.0 % 7])
    }
}

/// Bits that are set one after the other; with `by_count`, states with as many bits are one.
struct Bits {
    by_count: bool,
}

impl Model for Bits {
    type State = Alike;
    type Event = u32;
    type Violation = ();

    fn initial(&self, out: &mut impl FnMut(Alike)) {
        out(Alike(0));
    }

    fn successors(&self, state: &Alike, out: &mut impl FnMut(u32, Alike)) {
        (0..11).filter(|bit| state.0 >> bit & 1 == 0).for_each(|bit| out(bit, Alike(state.0 | 1 << bit)));
    }

    fn verdict(&self, state: &Alike) -> Option<()> {
        (state.0.count_ones() == 11).then_some(())
    }

    fn canonical(&self, state: Alike) -> Alike {
        if self.by_count { Alike((1 << state.0.count_ones()) - 1) } else { state }
    }
}

#[test]
fn states_with_the_same_hash_are_told_apart() {
    let found = found_alike(&Bits { by_count: false }, Limits::default());
    assert_eq!((found.distinct, found.generated, found.depth), (2_048, 1 + 11 * 1_024, 12));
}

#[test]
fn canonical_states_stand_for_all_and_traces_are_of_real_ones() {
    let found = found_alike(&Bits { by_count: true }, Limits::default());
    assert_eq!((found.distinct, found.generated, found.depth), (12, 1 + 11 * 12 / 2, 12));
    let Ending::Violated(trace) = found.ending else { panic!("{:?}", found.ending) };
    for pair in trace.steps.windows(2) {
        assert_eq!(pair[1].event.map(|bit| Alike(pair[0].state.0 | 1 << bit)), Some(pair[1].state));
    }
}

#[test]
fn a_model_without_states_is_exhausted() {
    struct Nothing;
    impl Model for Nothing {
        type State = u64;
        type Event = ();
        type Violation = ();
        fn initial(&self, _: &mut impl FnMut(u64)) {}
        fn successors(&self, _: &u64, _: &mut impl FnMut((), u64)) {}
        fn verdict(&self, _: &u64) -> Option<()> {
            None
        }
    }
    let found = found_alike(&Nothing, Limits::default());
    assert_eq!((found.ending, found.distinct, found.depth), (Ending::Exhausted, 0, 0));
}
