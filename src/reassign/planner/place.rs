//! Replicas that are missing.

use super::{Work, index_u16};
use crate::reassign::quota::to_f64;

impl Work<'_> {
    pub(super) fn lacking(&self, broker: usize) -> (f64, f64) {
        let (low, high) = self.quotas.counts[broker];
        let count = (to_f64(low) + to_f64(high)) / 2.0 - self.counts[broker] as f64;
        (count, self.quotas.bytes[broker] - self.bytes[broker])
    }

    /// Places what is missing, the largest first.
    pub(super) fn place(&mut self) {
        let mut missing: Vec<usize> =
            (0..self.lists.len()).filter(|it| self.lists[*it].len() < usize::from(self.problem.wanted[*it])).collect();
        missing.sort_by_key(|it| (std::cmp::Reverse(self.problem.cluster.sizes[*it]), *it));
        for partition in missing {
            while self.lists[partition].len() < usize::from(self.problem.wanted[partition]) {
                let size = self.size(partition);
                let score = |broker: u16| {
                    let at = usize::from(broker);
                    let (low, high) = self.quotas.counts[at];
                    let class = if self.counts[at] < low as i64 {
                        0
                    } else if self.counts[at] < high as i64 {
                        1
                    } else {
                        2
                    };
                    let (count, bytes) = self.lacking(at);
                    let crowd = self.spread[self.spread_at(partition, broker)]
                        >= self.ceiling[self.topic_of[partition] as usize];
                    // How far from what is lacking for each replica that is lacking.
                    let fit = if count > 0.0 { bytes / count.max(0.5) } else { bytes - size };
                    (class, crowd, -fit)
                };
                let mut best: Option<(u16, (i32, bool, f64))> = None;
                for broker in 0..index_u16(self.counts.len()) {
                    if !self.problem.is_target[usize::from(broker)] || !self.may(partition, broker, None) {
                        continue;
                    }
                    let it = score(broker);
                    if best.as_ref().is_none_or(|(_, old)| it.partial_cmp(old) == Some(std::cmp::Ordering::Less)) {
                        best = Some((broker, it));
                    }
                }
                let Some((broker, _)) = best else { break };
                self.add(partition, broker);
            }
        }
    }
}
