//! What the five machines do differently.

use super::Rules;
use super::state::{EPOCH, State};

impl Rules {
    /// Where a broker cuts its log that becomes follower of this leader in this epoch: at its end when it cuts nothing.
    /// `None` when it cannot become follower yet.
    #[inline]
    pub(super) fn cut(self, state: &State, follower: u8, leader: u8, epoch: u32) -> Option<u32> {
        let end = state.log_end(follower);
        let cut = match self {
            Rules::HighWatermark => state.high_watermark(follower),
            Rules::Kip101 => end_of_last_epoch(state, follower, leader),
            Rules::Kip279 => common_end(state, follower, leader),
            Rules::Kip320FirstTry => end,
            Rules::Kip320 => {
                let is_there = state.presumes_leadership(leader) && state.get(leader, EPOCH) == epoch + 1;
                is_there.then(|| common_end(state, follower, leader))?
            }
        };
        // A leader may have answered with more than there is. In the specification the follower waits then.
        (cut <= end).then_some(cut)
    }

    /// Whether a leader takes it that a follower has everything below `end`.
    #[inline]
    fn has_below(self, state: &State, leader: u8, follower: u8, end: u32) -> bool {
        let is_known = match self {
            Rules::Kip320 => is_in_epoch_of(state, leader, follower),
            _ => state.is_following(follower, leader),
        };
        let has = || match self {
            Rules::Kip320FirstTry => {
                state.log_end(leader) >= end
                    && state.record_epoch(follower, end - 1) == state.record_epoch(leader, end - 1)
            }
            Rules::Kip320 => true,
            _ => state.log_end(leader) >= end,
        };
        is_known && (end == 0 || (state.log_end(follower) >= end && has()))
    }

    /// Whether a follower gets the next record when it fetches.
    #[inline]
    pub(super) fn may_fetch(self, state: &State, leader: u8, follower: u8) -> bool {
        let end = state.log_end(follower);
        end < state.log_end(leader)
            && match self {
                Rules::Kip320FirstTry => self.has_below(state, leader, follower, end),
                Rules::Kip320 => is_in_epoch_of(state, leader, follower),
                _ => state.is_following(follower, leader),
            }
    }

    /// Whether a leader may raise its high watermark by one.
    #[inline]
    pub(super) fn may_raise(self, state: &State, log_size: u8, leader: u8, isr: impl Iterator<Item = u8>) -> bool {
        let high_watermark = state.high_watermark(leader);
        let has_next = match self {
            Rules::Kip320FirstTry | Rules::Kip320 => high_watermark < state.log_end(leader),
            // The leader's own log is not looked at, but that it is in the ISR.
            _ => high_watermark < u32::from(log_size),
        };
        let mut isr = isr;
        has_next
            && isr.all(|member| match self {
                Rules::Kip320FirstTry => self.has_below(state, leader, member, high_watermark + 1),
                Rules::Kip320 => is_in_epoch_of(state, leader, member) && state.log_end(member) > high_watermark,
                _ => state.is_following(member, leader) && state.log_end(member) > high_watermark,
            })
    }

    /// Whether a leader may take a broker into the ISR that is not in it.
    #[inline]
    pub(super) fn may_expand(self, state: &State, leader: u8, broker: u8) -> bool {
        let high_watermark = state.high_watermark(leader);
        let has_reached_epoch = || {
            let end = state.log_end(leader);
            high_watermark == end
                || high_watermark < end && state.record_epoch(leader, high_watermark) + 1 == state.get(leader, EPOCH)
        };
        self.has_below(state, leader, broker, high_watermark)
            && (!matches!(self, Rules::Kip320FirstTry | Rules::Kip320) || has_reached_epoch())
    }

    /// Whether a leader may take a broker out of the ISR.
    #[inline]
    pub(super) fn may_shrink(self, state: &State, leader: u8, broker: u8) -> bool {
        !self.has_below(state, leader, broker, state.log_end(leader))
    }
}

/// Whether the follower knows this leader and is in its epoch.
#[inline]
fn is_in_epoch_of(state: &State, leader: u8, follower: u8) -> bool {
    state.is_following(follower, leader) && state.get(follower, EPOCH) == state.get(leader, EPOCH)
}

/// What a leader says to be the end of the last epoch in a follower's log (`LookupOffsetForEpoch`).
#[inline]
fn end_of_last_epoch(state: &State, follower: u8, leader: u8) -> u32 {
    let (end, leader_end) = (state.log_end(follower), state.log_end(leader));
    if end == 0 {
        return 0;
    }
    if leader_end == 0 {
        return state.high_watermark(follower);
    }
    let epoch = state.record_epoch(follower, end - 1);
    if state.record_epoch(leader, leader_end - 1) == epoch {
        return leader_end;
    }
    let larger = (0..leader_end).find(|offset| state.record_epoch(leader, *offset) > epoch);
    larger.unwrap_or_else(|| state.high_watermark(follower))
}

/// The offset after the last record that both logs hold (`FirstNonMatchingOffsetFromTail`).
#[inline]
pub(super) fn common_end(state: &State, follower: u8, leader: u8) -> u32 {
    let both = state.log_end(follower).min(state.log_end(leader));
    let last = (0..both).rev().find(|offset| state.record(follower, *offset) == state.record(leader, *offset));
    last.map_or(0, |offset| offset + 1)
}

/// Whether a follower that fetches without having cut its log has to cut it now (`FollowerNeedsTruncation`).
#[inline]
pub(super) fn needs_cut(state: &State, follower: u8, leader: u8) -> bool {
    let (end, leader_end) = (state.log_end(follower), state.log_end(leader));
    end > leader_end || (end > 0 && state.record_epoch(follower, end - 1) != state.record_epoch(leader, end - 1))
}
