//! What the search asks of a protocol.

use super::packed::Packed;

/// A protocol: where it begins, which steps it can take, and what must never be.
///
/// Everything here is a function of its arguments: asked again, it answers the same, in the same order. Traces are put
/// together by asking again.
pub trait Model: Sync {
    /// All there is to know, in a few words.
    type State: Packed;
    /// What happened in a step.
    type Event: Copy;
    /// What was found wrong with a state.
    type Violation;

    /// The states it can begin in.
    fn initial(&self, out: &mut impl FnMut(Self::State));

    /// The states one step away, each as often as there are steps to it.
    ///
    /// A step left out is one that is never taken: so a model limits itself to what is to be looked at.
    fn successors(&self, state: &Self::State, out: &mut impl FnMut(Self::Event, Self::State));

    /// What is wrong with the state, if anything.
    fn verdict(&self, state: &Self::State) -> Option<Self::Violation>;

    /// The one state looked at in place of all that differ from it in nothing that matters, for instance in the names
    /// of replicas. Such states must have the same steps, up to the same difference, and be as right or as wrong.
    fn canonical(&self, state: Self::State) -> Self::State {
        state
    }
}
