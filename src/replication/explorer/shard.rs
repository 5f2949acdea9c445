//! One part of the states: those whose hashes begin with the same bits.
//!
//! States are shared out among a fixed number of shards, whatever the number of threads. Each takes its candidates in
//! one order, so a state has the same number and the same parent in every run.

use super::arena::Arena;
use super::model::Model;
use super::packed::Packed;
use super::seen::{Place, Seen};

/// Bits of a hash that tell its shard.
pub(super) const SHARD_BITS: u32 = 4;
/// Number of shards; no more threads than these have work.
pub(super) const SHARDS: usize = 1 << SHARD_BITS;
/// Most states of a shard: their numbers and the shard's share 32 bits.
const STATES_MAX: usize = (1 << (32 - SHARD_BITS)) - 2;
/// Parent of a state that the search begins with.
pub(super) const NO_PARENT: u32 = u32::MAX;
/// Candidates whose places are looked up together, so that the memory answers several at once.
const TOGETHER: usize = 32;

/// A state that a step leads to, before anybody knows whether it is new.
#[derive(Clone, Copy)]
pub(super) struct Candidate<S> {
    pub(super) hash: u64,
    /// Reference of the state that the step began in.
    pub(super) parent: u32,
    pub(super) state: S,
}

/// The shard of a hash.
#[inline]
pub(super) const fn shard_of(hash: u64) -> usize {
    (hash >> (u64::BITS - SHARD_BITS)) as usize
}

/// A part of the states.
pub(super) struct Shard<S> {
    states: Arena<S>,
    parents: Arena<u32>,
    seen: Seen,
    /// The first state of this level that was not expanded, and the first of the next level.
    pub(super) next: usize,
    pub(super) level_end: usize,
    /// The least state of the newest level that is wrong, and its number.
    pub(super) wrong: Option<(S, usize)>,
    bytes_max: usize,
    /// Whether a state was left out for want of room.
    pub(super) is_full: bool,
}

impl<S: Packed> Shard<S> {
    /// An empty one that takes no more than so many bytes.
    pub(super) fn new(bytes_max: usize) -> Shard<S> {
        let (states, parents) = (Arena::new(), Arena::new());
        Shard { states, parents, seen: Seen::new(), next: 0, level_end: 0, wrong: None, bytes_max, is_full: false }
    }

    /// Number of states.
    pub(super) const fn len(&self) -> usize {
        self.states.len()
    }

    /// A state by its number.
    pub(super) fn state(&self, number: usize) -> &S {
        self.states.at(number)
    }

    /// Reference of the state it was first reached from.
    pub(super) fn parent(&self, number: usize) -> u32 {
        *self.parents.at(number)
    }

    /// Bytes taken.
    pub(super) fn bytes(&self) -> usize {
        self.states.bytes() + self.parents.bytes() + self.seen.bytes()
    }

    /// Takes in candidates that belong here, in this order.
    pub(super) fn take<M: Model<State = S>>(&mut self, model: &M, candidates: &[Candidate<S>]) {
        for together in candidates.chunks(TOGETHER) {
            self.warm(together);
            for candidate in together {
                self.take_one(model, candidate);
            }
        }
    }

    /// Reads what comparing will need: these reads wait for nothing, so the memory serves them side by side.
    pub(super) fn warm(&self, candidates: &[Candidate<S>]) {
        let mut guesses = [None; TOGETHER];
        for (guess, candidate) in guesses.iter_mut().zip(candidates) {
            *guess = self.seen.guess(candidate.hash);
        }
        let same = guesses
            .iter()
            .zip(candidates)
            .filter(|(guess, candidate)| guess.is_some_and(|number| *self.states.at(number) == candidate.state));
        std::hint::black_box(same.count());
    }

    #[inline]
    fn take_one<M: Model<State = S>>(&mut self, model: &M, candidate: &Candidate<S>) {
        let Candidate { hash, parent, state } = candidate;
        let Place::Free(at) = self.seen.find(*hash, |number| self.states.at(number) == state) else { return };
        let number = self.states.len();
        let bytes = self.bytes() + self.states.bytes_of_next() + self.parents.bytes_of_next();
        let grown = if self.seen.is_full() { self.seen.bytes_of_next() } else { 0 };
        if bytes + grown > self.bytes_max || number >= STATES_MAX {
            self.is_full = true;
            return;
        }
        self.states.push(*state);
        self.parents.push(*parent);
        if grown > 0 {
            self.seen.grow(self.states.iter().map(Packed::hash));
        } else {
            self.seen.put(at, *hash, low_half(number));
        }
        if model.verdict(state).is_some() && self.wrong.is_none_or(|(least, _)| *state < least) {
            self.wrong = Some((*state, number));
        }
    }
}

/// What a parent is known by: its number and its shard.
#[inline]
pub(super) fn reference(number: usize, shard: usize) -> u32 {
    low_half(number << SHARD_BITS | shard)
}

/// Number and shard of a reference.
pub(super) const fn of_reference(reference: u32) -> (usize, usize) {
    ((reference >> SHARD_BITS) as usize, reference as usize % SHARDS)
}

#[expect(clippy::cast_possible_truncation, reason = "numbers are limited so that they and a shard's fit")]
const fn low_half(number: usize) -> u32 {
    number as u32
}
