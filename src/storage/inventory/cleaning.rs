//! How dirty a compacted log is: what decides which log the cleaner takes next.
//!
//! The rules of `LogCleanerManager.cleanableOffsets`, `LogCleanerManager.calculateCleanableBytes` and `LogToClean`. Sizes
//! are those of whole segments, so a segment that is clean up to its middle counts on both sides, as it does in Kafka.

use crate::types::{Offset, TimestampMs};

/// What the cleaner needs to know of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSegment {
    /// Its base offset.
    pub base: Offset,
    /// Length of its log, in bytes.
    pub size_bytes: u64,
    /// Its largest timestamp; of one without timestamps the time its file was written.
    pub largest_ms: TimestampMs,
}

/// What the cleaner needs to know of a log.
#[derive(Debug, Clone, Copy)]
pub struct Log<'a> {
    /// Its segments, the active one last.
    pub segments: &'a [LogSegment],
    /// Its log start offset.
    pub log_start: Offset,
    /// Its log end offset.
    pub log_end: Offset,
    /// Its last stable offset; the log end where it is not known.
    pub last_stable: Offset,
    /// Its entry in `cleaner-offset-checkpoint`.
    pub checkpoint: Option<Offset>,
    /// Segments with a timestamp above this are left alone (`min.compaction.lag.ms` before now); `None`: none are.
    pub young_above_ms: Option<TimestampMs>,
}

/// What of a log is clean, and what could be cleaned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cleaning {
    /// First offset the cleaner has not seen.
    pub first_dirty: Offset,
    /// First offset it would not touch now: the base of a segment.
    pub first_uncleanable: Offset,
    /// Bytes of segments below the first dirty offset.
    pub clean_bytes: u64,
    /// Bytes of segments it would go through.
    pub cleanable_bytes: u64,
}

impl Cleaning {
    /// Of a log as the cleaner sees it; `None` of one without segments.
    pub fn of(log: &Log<'_>) -> Option<Cleaning> {
        let active = log.segments.last()?.base;
        let checkpoint = log.checkpoint.unwrap_or(log.log_start);
        let is_outside = checkpoint < log.log_start || checkpoint > log.log_end;
        let first_dirty = if is_outside { log.log_start } else { checkpoint };
        let young = log.young_above_ms.and_then(|limit| {
            let dirty = non_active_from(log.segments, first_dirty);
            dirty.iter().find(|segment| segment.largest_ms > limit).map(|segment| segment.base)
        });
        let uncleanable = [Some(log.last_stable), Some(active), young].into_iter().flatten().min()?.max(first_dirty);
        let first_uncleanable = non_active_from(log.segments, uncleanable).first().map_or(active, |it| it.base);
        let size = |segments: &[LogSegment]| segments.iter().map(|segment| segment.size_bytes).sum::<u64>();
        let below = log.segments.partition_point(|segment| segment.base < first_dirty);
        Some(Cleaning {
            first_dirty,
            first_uncleanable,
            clean_bytes: size(log.segments.get(..below).unwrap_or_default()),
            cleanable_bytes: size(between(log.segments, first_dirty.min(first_uncleanable), first_uncleanable)),
        })
    }

    /// Share of what could be cleaned in all that is not left alone (`LogToClean.cleanableRatio`), which
    /// `min.cleanable.dirty.ratio` is compared with; `None` where there is nothing of either.
    #[expect(clippy::cast_precision_loss, reason = "as Kafka reckons")]
    pub fn dirty_ratio(&self) -> Option<f64> {
        let total = self.clean_bytes + self.cleanable_bytes;
        (total > 0).then(|| self.cleanable_bytes as f64 / total as f64)
    }
}

/// `LogSegments.values`: from the segment that holds `from`, or the first, to those that start below `to`.
fn between(segments: &[LogSegment], from: Offset, to: Offset) -> &[LogSegment] {
    if from >= to {
        return &[];
    }
    let first = segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
    let end = segments.partition_point(|segment| segment.base < to);
    segments.get(first..end).unwrap_or_default()
}

/// `LogSegments.nonActiveLogSegmentsFrom`.
fn non_active_from(segments: &[LogSegment], from: Offset) -> &[LogSegment] {
    segments.last().map_or(&[], |active| between(segments, from, active.base))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments at 0, 100, 200, 300 (active), of 10, 20, 30 and 40 bytes, written at 1, 2, 3 and 4 s.
    fn cleaning(change: impl FnOnce(&mut Log<'_>)) -> (i64, i64, u64, u64) {
        let segments: Vec<_> = (0..4)
            .map(|n| LogSegment {
                base: Offset::new(n * 100),
                size_bytes: 10 * (n.unsigned_abs() + 1),
                largest_ms: (n + 1) * 1_000,
            })
            .collect();
        let end = Offset::new(350);
        let mut log = Log {
            segments: &segments,
            log_start: Offset::ZERO,
            log_end: end,
            last_stable: end,
            checkpoint: None,
            young_above_ms: None,
        };
        change(&mut log);
        let found = Cleaning::of(&log).unwrap();
        (found.first_dirty.get(), found.first_uncleanable.get(), found.clean_bytes, found.cleanable_bytes)
    }

    #[test]
    fn the_active_segment_is_neither_clean_nor_cleanable() {
        let at = |offset| Some(Offset::new(offset));
        assert_eq!(cleaning(|_| {}), (0, 300, 0, 60), "never cleaned");
        assert_eq!(cleaning(|log| log.checkpoint = at(200)), (200, 300, 30, 30), "cleaned to 200");
        assert_eq!(cleaning(|log| log.checkpoint = at(300)), (300, 300, 60, 0), "all clean");
        assert_eq!(cleaning(|log| log.checkpoint = at(150)), (150, 300, 30, 50), "a segment on both sides");
        assert_eq!(cleaning(|log| log.checkpoint = at(351)), (0, 300, 0, 60), "a checkpoint beyond the end");
        assert_eq!(
            cleaning(|log| (log.checkpoint, log.log_start) = (at(5), Offset::new(120))),
            (120, 300, 30, 50),
            "a checkpoint below the start"
        );
        assert_eq!(cleaning(|log| log.last_stable = Offset::new(150)), (0, 100, 0, 10), "an open transaction");
        assert_eq!(cleaning(|log| log.young_above_ms = Some(2_500)), (0, 200, 0, 30), "min.compaction.lag.ms");
        assert_eq!(cleaning(|log| log.segments = &log.segments[..1]), (0, 0, 0, 0), "one segment");
    }

    #[test]
    fn the_ratio_is_of_what_is_not_left_alone() {
        let cleaning = |clean_bytes, cleanable_bytes| Cleaning {
            first_dirty: Offset::ZERO,
            first_uncleanable: Offset::ZERO,
            clean_bytes,
            cleanable_bytes,
        };
        assert_eq!(cleaning(30, 10).dirty_ratio(), Some(0.25));
        assert_eq!(cleaning(0, 0).dirty_ratio(), None);
    }
}
