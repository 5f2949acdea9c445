//! The way to a state.

use super::model::Model;
use super::shard::{NO_PARENT, Shard, of_reference};

/// One step of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<S, E> {
    /// What happened; nothing before the first state.
    pub event: Option<E>,
    /// What there was then.
    pub state: S,
}

/// A way to a violation with as few steps as there can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace<S, E, V> {
    /// What is wrong with the last state.
    pub violation: V,
    /// From a state that the model begins in to the one that is wrong.
    pub steps: Vec<Step<S, E>>,
}

/// The trace of a model's search.
pub(super) type TraceOf<M> = Trace<<M as Model>::State, <M as Model>::Event, <M as Model>::Violation>;

/// The way to a state of one of the shards.
///
/// Shards hold canonical states; here the steps are taken again, so that each begins where the one before has ended.
/// `None` when the model does not answer as it did before.
pub(super) fn trace<M: Model>(model: &M, shards: &[&Shard<M::State>], wrong: (usize, usize)) -> Option<TraceOf<M>> {
    let (mut number, mut shard) = wrong;
    let mut way = vec![*shards[shard].state(number)];
    loop {
        let parent = shards[shard].parent(number);
        if parent == NO_PARENT {
            break;
        }
        (number, shard) = of_reference(parent);
        way.push(*shards[shard].state(number));
    }
    let mut steps: Vec<Step<M::State, M::Event>> = Vec::with_capacity(way.len());
    for canonical in way.into_iter().rev() {
        let mut step = None;
        let mut keep = |event, state| {
            if step.is_none() && model.canonical(state) == canonical {
                step = Some(Step { event, state });
            }
        };
        match steps.last() {
            None => model.initial(&mut |state| keep(None, state)),
            Some(last) => model.successors(&last.state, &mut |event, state| keep(Some(event), state)),
        }
        steps.push(step?);
    }
    let violation = model.verdict(&steps.last()?.state)?;
    Some(Trace { violation, steps })
}
