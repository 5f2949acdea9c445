//! Replicas that are missing.

use std::cmp::Ordering;

use super::Work;
use crate::reassign::quota::to_f64;

impl Work<'_> {
    /// Who is to have the next replica: those below their fewest, then those below their most; each with most bytes lacking for
    /// each replica that is lacking first.
    fn is_before(&self, a: u16, b: u16) -> Ordering {
        let key = |broker: u16| {
            let at = usize::from(broker);
            let (low, high) = self.quotas.counts[at];
            let count = self.counts[at];
            let class = u8::from(count >= low as i64) + u8::from(count >= high.max(low) as i64);
            let lacking = (to_f64(low) + to_f64(high)) / 2.0 - count as f64;
            let bytes = self.quotas.bytes[at] - self.bytes[at];
            (class, if lacking > 0.0 { bytes / lacking.max(0.5) } else { bytes })
        };
        let ((class, fit), (other_class, other_fit)) = (key(a), key(b));
        class.cmp(&other_class).then(other_fit.total_cmp(&fit)).then(a.cmp(&b))
    }

    /// Places what is missing, the largest first.
    pub(super) fn place(&mut self) {
        let mut order = self.targets();
        order.sort_by(|a, b| self.is_before(*a, *b));
        for partition in (0..self.partitions.len()).rev() {
            while self.list(partition).len() < usize::from(self.partitions[partition].wanted) {
                let Some(place) = self.place_in(&order, partition) else { break };
                let broker = order.remove(place);
                self.add(partition, broker);
                let place = order.partition_point(|it| self.is_before(*it, broker) == Ordering::Less);
                order.insert(place, broker);
            }
        }
    }

    /// Where in the order the first is that may have a replica and has the bytes for it; among those of a class one that has room
    /// for the topic. Where nobody has the bytes, who lacks least: others may make room later.
    fn place_in(&self, order: &[u16], partition: usize) -> Option<usize> {
        let class = |broker: u16| {
            let (count, (low, high)) = (self.counts[usize::from(broker)], self.quotas.counts[usize::from(broker)]);
            u8::from(count >= low as i64) + u8::from(count >= high.max(low) as i64)
        };
        let mut crowded: Option<(usize, u8)> = None;
        for (place, broker) in order.iter().copied().enumerate() {
            if let Some((place, best)) = crowded
                && class(broker) > best
            {
                return Some(place);
            }
            if self.has_room(partition, broker) && self.may(partition, broker, None) {
                if self.topic_room(partition, broker) > 0 {
                    return Some(place);
                }
                crowded = crowded.or(Some((place, class(broker))));
            }
        }
        let room = |broker: u16| self.limit[usize::from(broker)] - self.bytes[usize::from(broker)];
        let free = || order.iter().enumerate().filter(|(_, it)| self.may(partition, **it, None));
        crowded.map(|(place, _)| place).or_else(|| {
            free().max_by(|(_, a), (_, b)| room(**a).total_cmp(&room(**b)).then(b.cmp(a))).map(|(place, _)| place)
        })
    }
}
