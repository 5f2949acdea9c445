//! One partition's records: how far they are read, and what is committed.
//!
//! What happens in the group does not depend on what is read, and no partition's records on another's. So it is enough to
//! follow each partition by itself through all that can happen in the group.

use super::world::{Effect, SLOTS};

/// So many records a partition has.
pub const RECORDS: u8 = 2;
const NOWHERE: u8 = 3;

/// How far a partition is read, in 14 bits: two for each number, the last two for the partition's own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Records {
    partition: u8,
    committed: u8,
    /// The furthest that anybody has read.
    furthest: u8,
    /// Where each slot's process is, if it reads the partition.
    positions: [u8; SLOTS],
    /// Somebody has died, was stopped or fenced: records may be read twice from now on.
    is_disturbed: bool,
}

impl Records {
    pub fn unread(partition: u8) -> Records {
        Records { partition, committed: 0, furthest: 0, positions: [NOWHERE; SLOTS], is_disturbed: false }
    }

    pub fn pack(self) -> u16 {
        let numbers = [self.partition, self.committed, self.furthest].into_iter().chain(self.positions);
        numbers.fold(u16::from(self.is_disturbed), |packed, number| packed << 2 | u16::from(number))
    }

    pub fn unpack(packed: u16) -> Records {
        let number = |place: u32| (packed >> (2 * place) & 3) as u8;
        Records {
            partition: number(5),
            committed: number(4),
            furthest: number(3),
            positions: [number(2), number(1), number(0)],
            is_disturbed: packed >> 12 != 0,
        }
    }

    /// What becomes of them, or which law is broken.
    pub fn after(mut self, effect: Effect, loads_nothing: bool) -> Result<Records, String> {
        let has = |bits: u8| bits >> self.partition & 1 == 1;
        let Records { partition, committed, furthest, .. } = self;
        let Some(position) = self.positions.get_mut(usize::from(effect.slot)) else { return Ok(self) };
        if has(effect.committed) {
            if *position == NOWHERE || *position > furthest {
                return Err(format!("records: t-{partition} is committed up to {position}, and read to {furthest}"));
            }
            if *position < committed {
                return Err(format!(
                    "records: the committed offset of t-{partition} goes back from {committed} to {position}"
                ));
            }
            self.committed = *position;
        }
        if has(effect.dropped) {
            *position = NOWHERE;
        }
        if has(effect.loaded) {
            *position = if loads_nothing { 0 } else { self.committed };
        }
        self.is_disturbed |= effect.is_loss;
        if has(effect.read) && *position < RECORDS {
            if *position < furthest && !self.is_disturbed {
                return Err(format!("records: record {position} of t-{partition} is read twice, and nobody died"));
            }
            *position += 1;
            self.furthest = furthest.max(*position);
        }
        Ok(self)
    }

    /// The law that these records break, if these slots' processes read the partition, and those may commit.
    pub fn broken(self, readers: u8, committers: u8) -> Option<String> {
        let Records { partition, committed, .. } = self;
        for (slot, position) in self.positions.into_iter().enumerate() {
            let (reads, commits) = (readers >> slot & 1 == 1, committers >> slot & 1 == 1);
            if reads != (position != NOWHERE) {
                return Some(format!("records: slot {slot} reads t-{partition}: {reads}, and is at {position}"));
            }
            if reads && commits && position < committed {
                return Some(format!(
                    "records: slot {slot} is at {position} of t-{partition}, committed is {committed}"
                ));
            }
        }
        None
    }
}
