//! The offsets of several logs, few enough for the state machine.
//!
//! The machine counts records one by one, and a real log has billions. What the protocol decides by are only the places where
//! an epoch or a log begins or ends: what lies between two such places, on whichever replica, is one cell, and a cell is one
//! record of the machine.

use std::collections::VecDeque;

use crate::types::Offset;

/// Cells that are kept behind the last one: more than a fetch looks back once all replicas are level.
const KEPT: usize = 1024;

/// Where cells begin, and the last one ends.
#[derive(Debug, Clone)]
pub struct Cells {
    /// Number of the first place kept.
    first: u64,
    places: VecDeque<Offset>,
}

impl Cells {
    /// Cells between these places; there has to be one.
    pub fn new(mut places: Vec<Offset>) -> Cells {
        places.sort_unstable();
        places.dedup();
        Cells { first: 0, places: places.into() }
    }

    /// Where cell `number` begins; for one that is not there the nearest place.
    pub fn offset(&self, number: u64) -> Offset {
        let at = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let place = self.places.get(at).or(self.places.back());
        place.copied().unwrap_or(Offset::ZERO)
    }

    /// Number of the cell that begins at `offset`, or of the first behind it.
    pub fn number(&self, offset: Offset) -> u64 {
        self.first + self.places.partition_point(|place| *place < offset) as u64
    }

    /// Numbers of all places.
    pub fn numbers(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.places.len() as u64
    }

    /// Forgets places behind `end`.
    pub fn cut(&mut self, end: Offset) {
        while self.places.back().is_some_and(|place| *place > end) {
            self.places.pop_back();
        }
    }

    /// Adds a cell that ends at `end`, which is behind all others.
    pub fn push(&mut self, end: Offset) {
        debug_assert!(self.places.back().is_none_or(|last| *last < end), "{end} is not behind the last place");
        self.places.push_back(end);
        while self.places.len() > KEPT {
            self.places.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_numbered_in_order_and_old_ones_are_forgotten() {
        let at = Offset::new;
        let mut cells = Cells::new(vec![at(90), at(0), at(40), at(90)]);
        assert_eq!(cells.numbers(), 0..3);
        assert_eq!([0, 1, 2].map(|number| cells.offset(number)), [at(0), at(40), at(90)]);
        assert_eq!([at(0), at(40), at(41), at(90)].map(|offset| cells.number(offset)), [0, 1, 2, 2]);
        cells.cut(at(60));
        assert_eq!((cells.numbers(), cells.offset(1)), (0..2, at(40)));
        cells.push(at(90));
        for end in 91..3000 {
            cells.push(at(end));
        }
        assert_eq!(cells.numbers().end, 3 + 2909);
        assert_eq!(cells.number(at(2999)), cells.numbers().end - 1);
        assert_eq!(cells.offset(cells.numbers().end - 1), at(2999));
    }
}
