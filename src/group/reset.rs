//! Where a group is to go on reading: the choices of `kafka-consumer-groups.sh --reset-offsets` (`OffsetsUtils` of Kafka 4.3).

use thiserror::Error;

use crate::types::Offset;

/// A choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// The first offset that may be read.
    Earliest,
    /// The log end.
    Latest,
    /// Where it is; the log end where nothing was committed.
    Current,
    /// This one, within what the log has.
    To(Offset),
    /// So many further, or back, within what the log has.
    Shift(i64),
    /// The first record of a moment or later; the log end where there is none.
    Time,
}

/// What is known of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// First offset that may be read.
    pub log_start: Offset,
    /// Offset of the next record.
    pub log_end: Offset,
    /// What the group has committed.
    pub committed: Option<Offset>,
    /// For [`Reset::Time`]: the first offset of that moment or later.
    pub at_time: Option<Offset>,
}

/// Where a group goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewOffset {
    /// The offset.
    pub offset: Offset,
    /// Why it is not the one that was asked for.
    pub moved: Option<Moved>,
}

/// Why an offset is not the one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// That one is above the log end.
    AboveEnd(Offset),
    /// That one is below the log start.
    BelowStart(Offset),
    /// There is no record so late.
    NothingSoLate,
}

/// Why there is nowhere to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ResetError {
    /// Nothing to shift.
    #[error("nothing is committed there that could be shifted")]
    NothingCommitted,
}

impl Reset {
    /// Where a group goes that stands at `place`.
    pub fn apply(self, place: &Place) -> Result<NewOffset, ResetError> {
        let exact = |offset| NewOffset { offset, moved: None };
        Ok(match self {
            Reset::Earliest => exact(place.log_start),
            Reset::Latest => exact(place.log_end),
            Reset::Current => exact(place.committed.unwrap_or(place.log_end)),
            Reset::To(offset) => place.within(offset),
            Reset::Shift(by) => {
                let committed = place.committed.ok_or(ResetError::NothingCommitted)?;
                place.within(Offset::new(committed.get().saturating_add(by)))
            }
            Reset::Time => match place.at_time {
                Some(offset) => exact(offset),
                None => NewOffset { offset: place.log_end, moved: Some(Moved::NothingSoLate) },
            },
        })
    }
}

impl Place {
    /// The offset, or the end of the log that is nearest to it (`OffsetsUtils.checkOffsetsRange`).
    fn within(&self, asked: Offset) -> NewOffset {
        if asked > self.log_end {
            NewOffset { offset: self.log_end, moved: Some(Moved::AboveEnd(asked)) }
        } else if asked < self.log_start {
            NewOffset { offset: self.log_start, moved: Some(Moved::BelowStart(asked)) }
        } else {
            NewOffset { offset: asked, moved: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_stay_within_the_log() {
        let place = |committed: Option<i64>, at_time: Option<i64>| Place {
            log_start: Offset::new(10),
            log_end: Offset::new(100),
            committed: committed.map(Offset::new),
            at_time: at_time.map(Offset::new),
        };
        let to = |offset| Reset::To(Offset::new(offset));
        let cases = [
            (Reset::Earliest, place(None, None), 10, None),
            (Reset::Latest, place(Some(20), None), 100, None),
            (Reset::Current, place(Some(20), None), 20, None),
            (Reset::Current, place(Some(500), None), 500, None),
            (Reset::Current, place(None, None), 100, None),
            (to(50), place(None, None), 50, None),
            (to(10), place(None, None), 10, None),
            (to(100), place(None, None), 100, None),
            (to(101), place(None, None), 100, Some(Moved::AboveEnd(Offset::new(101)))),
            (to(-5), place(None, None), 10, Some(Moved::BelowStart(Offset::new(-5)))),
            (Reset::Shift(5), place(Some(20), None), 25, None),
            (Reset::Shift(-15), place(Some(20), None), 10, Some(Moved::BelowStart(Offset::new(5)))),
            (Reset::Shift(i64::MAX), place(Some(20), None), 100, Some(Moved::AboveEnd(Offset::MAX))),
            (Reset::Time, place(Some(20), Some(33)), 33, None),
            (Reset::Time, place(Some(20), None), 100, Some(Moved::NothingSoLate)),
        ];
        for (reset, place, offset, moved) in cases {
            let expected = NewOffset { offset: Offset::new(offset), moved };
            assert_eq!(reset.apply(&place), Ok(expected), "{reset:?} {place:?}");
        }
        assert_eq!(Reset::Shift(1).apply(&place(None, None)), Err(ResetError::NothingCommitted));
    }
}
