//! What was met while something was looked up, and what its answer has to be seen beside: files that were made up for,
//! damage that was passed over, partitions that could not be read.
//!
//! Nothing of it keeps a reader from answering; whoever shows the answer shows this too.

use std::path::{Path, PathBuf};

use super::fs::StorageError;
use super::partition::Notice;
use crate::batch::PayloadError;
use crate::batch::scan::Damage;
use crate::types::{Offset, Position};

/// Places of damage that are kept one by one; more are counted only.
const PLACES_MAX: usize = 20;

/// All of it, in the order it was met.
#[derive(Debug, Default)]
pub struct Remarks {
    /// Files that could not be used and were made up for.
    pub notices: Vec<Notice>,
    /// Bytes of logs that hold no batch, or one whose records cannot be read.
    pub damages: LogDamages,
    /// What could not be read at all; the answer is without it.
    pub failures: Vec<StorageError>,
}

impl Remarks {
    /// Takes in those of another look-up.
    pub fn merge(&mut self, other: Remarks) {
        self.notices.extend(other.notices);
        self.damages.merge(other.damages);
        self.failures.extend(other.failures);
    }
}

/// A place in a log that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDamage {
    /// The file.
    pub log: PathBuf,
    /// Where it begins.
    pub position: Position,
    /// What is wrong there.
    pub reason: PayloadError,
    /// First offset that can be read behind it, where there is one in the same file.
    pub next: Option<Offset>,
}

/// Places in logs that cannot be read, each once.
///
/// Memory: the first 20 are kept, of the others only how far they reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogDamages {
    places: Vec<LogDamage>,
    more: u64,
    /// The highest `next` of all; [`Offset::MAX`] where one has none.
    reach: Option<Offset>,
}

impl LogDamages {
    /// Takes one more; one that is known by its place is not counted again.
    pub fn add(&mut self, damage: LogDamage) {
        self.reach = self.reach.max(Some(damage.next.unwrap_or(Offset::MAX)));
        if self.places.iter().any(|known| known.position == damage.position && known.log == damage.log) {
            return;
        }
        if self.places.len() < PLACES_MAX {
            self.places.push(damage);
        } else {
            self.more += 1;
        }
    }

    /// Takes what a scan of `log` came across.
    pub fn add_scanned(&mut self, log: &Path, damage: &Damage) {
        let Damage { position, reason, next, .. } = *damage;
        self.add(LogDamage { log: log.to_owned(), position, reason: reason.into(), next });
    }

    /// Takes in those of another walk.
    pub fn merge(&mut self, other: LogDamages) {
        other.places.into_iter().for_each(|damage| self.add(damage));
        self.more += other.more;
        self.reach = self.reach.max(other.reach);
    }

    /// The first of them.
    pub fn places(&self) -> &[LogDamage] {
        &self.places
    }

    /// How many there are beside those.
    pub const fn more(&self) -> u64 {
        self.more
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether something above `offset` may have been lost in one of them. They are taken for those of one partition.
    pub fn reach_above(&self, offset: Offset) -> bool {
        self.reach.is_some_and(|reach| reach > offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchError;

    fn damage(position: u64, next: Option<i64>) -> LogDamage {
        let reason = BatchError::UnknownMagic(9).into();
        LogDamage { log: "a.log".into(), position: Position::new(position), reason, next: next.map(Offset::new) }
    }

    #[test]
    fn damage_is_counted_once_and_reaches_as_far_as_its_last_place() {
        let mut damages = LogDamages::default();
        assert!(damages.is_empty() && !damages.reach_above(Offset::ZERO));
        for position in [100, 0, 100] {
            damages.add(damage(position, Some(7)));
        }
        assert_eq!((damages.places().len(), damages.more()), (2, 0));
        assert!(damages.reach_above(Offset::new(6)) && !damages.reach_above(Offset::new(7)));
        let mut other = LogDamages::default();
        (0..50).for_each(|position| other.add(damage(200 + position, Some(9))));
        other.add(damage(1, None));
        damages.merge(other);
        assert_eq!((damages.places().len(), damages.more()), (PLACES_MAX, 2 + 50 + 1 - 20));
        assert!(damages.reach_above(Offset::new(1 << 40)), "nothing is readable behind the last");
    }
}
