//! Every state that a protocol can get into, searched in order of steps: the first violation found is one with the
//! fewest.
//!
//! A protocol is a [`Model`]: states packed into a few words, the steps out of each, and what must never be.
//! [`search()`] goes through all of it, level by level, on as many threads as it is given; what it finds does not
//! depend on how many.
//!
//! Exact: every state is kept whole, so "exhausted" means that all of them were looked at.

mod arena;
pub mod model;
pub mod packed;
pub mod search;
mod seen;
mod shard;
#[cfg(test)]
mod tests;
mod threads;
mod trace;

pub use model::Model;
pub use packed::Packed;
pub use search::{Ending, Found, Limits, Progress, search};
pub use trace::{Step, Trace};
