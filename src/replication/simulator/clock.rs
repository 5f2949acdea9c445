//! What is to happen when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Things due, in the order of their time; of the same time in the order in which they were asked for.
#[derive(Debug, Clone)]
pub struct Clock<A> {
    now: u64,
    asked: u64,
    due: BinaryHeap<Reverse<Due<A>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Due<A> {
    at: u64,
    number: u64,
    what: A,
}

impl<A: Ord> Clock<A> {
    /// At time 0.
    pub fn new() -> Clock<A> {
        Clock { now: 0, asked: 0, due: BinaryHeap::new() }
    }

    /// The time, in ms.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// `what` is due in `delay` ms.
    pub fn after(&mut self, delay: u64, what: A) {
        self.asked += 1;
        self.due.push(Reverse(Due { at: self.now + delay, number: self.asked, what }));
    }

    /// Goes on to what is due next.
    pub fn next(&mut self) -> Option<A> {
        let Reverse(due) = self.due.pop()?;
        self.now = self.now.max(due.at);
        Some(due.what)
    }
}
