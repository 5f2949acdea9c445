//! The search: level by level, a level being the states that as many steps lead to.

use std::ops::ControlFlow;

use super::model::Model;
use super::shard::SHARDS;
use super::threads::Crew;
use super::trace::{Trace, trace};

/// How far a search may go, and with how many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Threads, the caller's among them; more than 16 are not used. The result is the same for any number.
    pub threads: usize,
    /// States after which it ends at the next occasion, some thousands later.
    pub states_max: u64,
    /// Bytes that states and their table may take; it ends before they take more. Beside them there are buffers, which
    /// hold what some thousand states lead to ([`Found::buffer_bytes`]).
    pub bytes_max: usize,
}

impl Default for Limits {
    /// One thread, any number of states, 4 GiB.
    fn default() -> Limits {
        Limits { threads: 1, states_max: u64::MAX, bytes_max: 4 << 30 }
    }
}

/// How far a search has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Steps from the beginning to the states that are being expanded.
    pub level: u32,
    /// States that a step led to, new or not, and those it began in.
    pub generated: u64,
    /// States, each counted once.
    pub distinct: u64,
    /// How many of them were not yet expanded.
    pub left: u64,
    /// Bytes taken by states and their table.
    pub bytes: usize,
}

/// How a search ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending<S, E, V> {
    /// All states there are were looked at, and none is wrong.
    Exhausted,
    /// A state is wrong. The level it is in was gone through, unless a limit was reached in it; of those that are wrong
    /// in it, this is the least.
    Violated(Trace<S, E, V>),
    /// The limit of states or bytes was reached. None of the states so far is wrong.
    BoundReached,
    /// The caller has had enough. None of the states so far is wrong.
    Interrupted,
}

/// What a search found: everything but [`Found::buffer_bytes`] the same for any number of threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<S, E, V> {
    /// How it ended.
    pub ending: Ending<S, E, V>,
    /// States that a step led to, new or not, and those it began in.
    pub generated: u64,
    /// States, each counted once.
    pub distinct: u64,
    /// Levels that have states, the first one included: after a violation, the states of its trace.
    pub depth: u32,
    /// Bytes taken by states and their table.
    pub bytes: usize,
    /// Bytes taken by buffers between them.
    pub buffer_bytes: usize,
}

/// What a search of this model finds.
pub type FoundOf<M> = Found<<M as Model>::State, <M as Model>::Event, <M as Model>::Violation>;

/// Goes through the states of a model until one is wrong, there are no more, or a limit is reached.
///
/// `watch` is told of the progress every few thousand states, on the caller's thread, and ends the search by
/// [`ControlFlow::Break`].
///
/// # Panics
///
/// Where the model does, and when it does not answer twice the same.
pub fn search<M: Model>(model: &M, limits: &Limits, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> FoundOf<M> {
    let crew = Crew::new(model, limits.bytes_max);
    std::thread::scope(|scope| {
        // A thread that the system does not give is one that the search does without.
        let help = |_: &usize| std::thread::Builder::new().spawn_scoped(scope, || crew.help()).is_ok();
        let helpers = (1..limits.threads.min(SHARDS)).take_while(help).count();
        let _dismissal = crew.start(helpers + 1);
        run(model, &crew, limits, watch)
    })
}

/// Why the search goes no further.
enum Stop {
    Exhausted,
    Bound,
    Interrupted,
}

fn run<M: Model>(
    model: &M,
    crew: &Crew<'_, M>,
    limits: &Limits,
    watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> FoundOf<M> {
    model.initial(&mut |state| crew.begin(state));
    let mut levels = 0;
    let stop = loop {
        let at = Survey::of(crew);
        if at.is_full {
            break Stop::Bound;
        }
        if at.is_level_done {
            if at.is_wrong || crew.next_level() == 0 {
                break Stop::Exhausted;
            }
            levels += 1;
            continue;
        }
        if at.distinct >= limits.states_max {
            break Stop::Bound;
        }
        let Survey { distinct, expanded, bytes, .. } = at;
        let left = distinct - expanded;
        let progress = Progress { level: levels - 1, generated: crew.generated(), distinct, left, bytes };
        if watch(&progress).is_break() {
            break Stop::Interrupted;
        }
        crew.round();
    };
    finish(model, crew, levels, &stop)
}

/// What is to be known of the shards between two rounds.
struct Survey {
    distinct: u64,
    expanded: u64,
    bytes: usize,
    is_full: bool,
    is_wrong: bool,
    is_level_done: bool,
}

impl Survey {
    fn of<M: Model>(crew: &Crew<'_, M>) -> Survey {
        let shards = crew.shards();
        Survey {
            distinct: shards.iter().map(|it| it.len() as u64).sum(),
            expanded: shards.iter().map(|it| it.next as u64).sum(),
            bytes: shards.iter().map(|it| it.bytes()).sum(),
            is_full: shards.iter().any(|it| it.is_full),
            is_wrong: shards.iter().any(|it| it.wrong.is_some()),
            is_level_done: shards.iter().all(|it| it.next == it.level_end),
        }
    }
}

fn finish<M: Model>(model: &M, crew: &Crew<'_, M>, levels: u32, stop: &Stop) -> FoundOf<M> {
    let guards = crew.shards();
    let shards = guards.each_ref().map(|it| &**it);
    let wrong =
        shards.iter().enumerate().filter_map(|(shard, it)| it.wrong.map(|(state, number)| (state, number, shard)));
    let ending = match (wrong.min(), stop) {
        (Some((_, number, shard)), _) => {
            let again = trace(model, &shards, (number, shard));
            Ending::Violated(again.expect("a model answers the same when it is asked again"))
        }
        (None, Stop::Exhausted) => Ending::Exhausted,
        (None, Stop::Bound) => Ending::BoundReached,
        (None, Stop::Interrupted) => Ending::Interrupted,
    };
    let has_newer = shards.iter().any(|it| it.len() > it.level_end);
    Found {
        ending,
        generated: crew.generated(),
        distinct: shards.iter().map(|it| it.len() as u64).sum(),
        depth: levels + u32::from(has_newer),
        bytes: shards.iter().map(|it| it.bytes()).sum(),
        buffer_bytes: crew.row_bytes(),
    }
}
