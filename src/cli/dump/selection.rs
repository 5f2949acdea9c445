//! Which batches and records are shown.

use crate::batch::{Frame, RecordRef};
use crate::cli::range::{Bound, OffsetRange};
use crate::types::Offset;

/// Log start and log end.
pub(super) type Bounds = (Offset, Offset);

/// Conditions, all of which must hold. The default holds for everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Lowest offset.
    pub offset_from: Option<i64>,
    /// Offset to end before.
    pub offset_to: Option<i64>,
    /// Lowest timestamp.
    pub time_from_ms: Option<i64>,
    /// Timestamp to end before.
    pub time_to_ms: Option<i64>,
    /// Only this producer.
    pub producer_id: Option<i64>,
    /// Only batches of this leader epoch.
    pub leader_epoch: Option<i32>,
    /// Only batches that are part of a transaction, or only others.
    pub transactional: Option<bool>,
    /// Only control batches, or only others.
    pub control: Option<bool>,
    /// Only records with this key, and batches that hold one.
    pub key: Option<Vec<u8>>,
}

impl Selection {
    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        *self == Selection::default()
    }

    /// The same within a range of a log with these bounds.
    pub(super) fn within(mut self, range: OffsetRange, (start, end): Bounds) -> Selection {
        let step = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let offset = |bound: Bound| match bound {
            Bound::At(offset) => Some(offset.get()),
            Bound::FromStart(count) => Some(start.get().saturating_add(step(count))),
            Bound::FromEnd(count) => Some(end.get().saturating_sub(step(count))),
            Bound::LogStart | Bound::LogEnd | Bound::Stored | Bound::Timestamp(_) => None,
        };
        let time = |bound: Bound| match bound {
            Bound::Timestamp(at_ms) => Some(at_ms),
            _ => None,
        };
        self.offset_from = if range.start == Bound::LogEnd { Some(end.get()) } else { offset(range.start) };
        self.offset_to = offset(range.end);
        self.time_from_ms = time(range.start);
        self.time_to_ms = time(range.end);
        self
    }

    /// Whether a segment from `base` up to the next one's base may hold something selected.
    pub(super) fn may_hold_offsets(&self, base: i64, next: Option<i64>) -> bool {
        self.offset_to.is_none_or(|to| base < to)
            && self.offset_from.is_none_or(|from| next.is_none_or(|next| from < next))
    }

    /// Whether a batch may hold something selected, as far as its header tells.
    pub(super) fn may_hold(&self, frame: &Frame<'_>) -> bool {
        let first = frame.base_offset().map_or(i64::MIN, |base| base.get());
        let first_ms = match frame {
            // The delete horizon takes the place of the base timestamp.
            Frame::Batch(batch) if batch.delete_horizon_ms().is_none() => batch.base_timestamp_ms(),
            _ => i64::MIN,
        };
        self.offset_from.is_none_or(|from| frame.last_offset().get() >= from)
            && self.offset_to.is_none_or(|to| first < to)
            && self.time_from_ms.is_none_or(|from| frame.max_timestamp_ms() >= from)
            && self.time_to_ms.is_none_or(|to| first_ms < to)
            && self.producer_id.is_none_or(|id| frame.producer_id().0 == id)
            && self.leader_epoch.is_none_or(|epoch| frame.leader_epoch().0 == epoch)
            && self.transactional.is_none_or(|wanted| frame.is_transactional() == wanted)
            && self.control.is_none_or(|wanted| frame.is_control() == wanted)
    }

    /// Whether a record of a selected batch is selected.
    pub(super) fn holds(&self, record: &RecordRef<'_>) -> bool {
        self.offset_from.is_none_or(|from| record.offset.get() >= from)
            && self.offset_to.is_none_or(|to| record.offset.get() < to)
            && self.time_from_ms.is_none_or(|from| record.timestamp_ms >= from)
            && self.time_to_ms.is_none_or(|to| record.timestamp_ms < to)
            && self.key.as_ref().is_none_or(|key| record.key == Some(key))
    }

    /// Whether nothing of a batch that starts at `base`, nor behind it, can be selected.
    pub(super) fn ends_before(&self, base: i64) -> bool {
        self.offset_to.is_some_and(|to| base >= to)
    }
}
