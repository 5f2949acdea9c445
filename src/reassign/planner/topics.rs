//! Topics over as many brokers as there are, as far as it costs nothing.

use super::{Work, index_u16, index_u32};

/// How many replicas are looked at in all, for others to exchange with.
const LOOKS: usize = 200_000_000;
/// How many of each broker.
const LOOKS_EACH: usize = 120;

impl Work<'_> {
    /// Exchanges the places of replicas that are made anew anyway, so that topics are spread better.
    pub(super) fn spread_topics(&mut self) {
        let mut fresh: Vec<Vec<u32>> = vec![Vec::new(); self.counts.len()];
        for partition in 0..self.partitions.len() {
            let old = self.old(partition);
            for broker in self.list(partition).iter().filter(|it| !old.contains(it)) {
                fresh[usize::from(*broker)].push(index_u32(partition));
            }
        }
        // Of very many that are crowded only so many are looked at.
        let mut looks = LOOKS;
        for _ in 0..3 {
            let mut has_changed = false;
            for a in 0..index_u16(self.counts.len()) {
                for number in 0..fresh[usize::from(a)].len() {
                    let p = fresh[usize::from(a)][number] as usize;
                    if self.topic_room(p, a) >= 0 {
                        continue;
                    }
                    let Some(left) = looks.checked_sub(LOOKS_EACH + LOOKS_EACH * self.counts.len()) else { return };
                    looks = left;
                    if let Some((from, q)) = self.instead_of(p, a) {
                        self.go(p, a, from);
                        self.go(q, from, a);
                        fresh[usize::from(a)][number] = index_u32(q);
                        has_changed = true;
                    } else if let Some((b, other)) = self.exchange_for(p, a, &fresh) {
                        let q = fresh[usize::from(b)][other] as usize;
                        self.go(p, a, b);
                        self.go(q, b, a);
                        fresh[usize::from(a)][number] = index_u32(q);
                        fresh[usize::from(b)][other] = index_u32(p);
                        has_changed = true;
                    }
                }
            }
            if !has_changed {
                return;
            }
        }
    }

    /// Whether a broker is within the tolerance with so many bytes more.
    fn fits(&self, broker: u16, more: f64) -> bool {
        let at = usize::from(broker);
        let bytes = self.bytes[at] + more;
        !self.has_edges || (self.least[at]..=self.most[at]).contains(&bytes)
    }

    /// A partition of another topic that could have come to `a` instead of `p`, and from where.
    pub(super) fn instead_of(&self, p: usize, a: u16) -> Option<(u16, usize)> {
        let size = self.size(p);
        let topic = self.partitions[p].topic;
        for from in self.old(p).iter().copied() {
            if !self.problem.is_target[usize::from(from)]
                || !self.may(p, from, Some(a))
                || self.topic_room(p, from) <= 0
            {
                continue;
            }
            let list = &self.here[usize::from(from)];
            let middle = list.partition_point(|it| self.size(*it as usize) <= size * 1.0005);
            let low = middle.saturating_sub(200);
            for q in list[low..middle].iter().rev().map(|it| *it as usize) {
                let delta = self.size(q) - size;
                if self.partitions[q].topic != topic
                    && self.was_on(q, from)
                    && self.topic_room(q, a) > 0
                    && self.may(q, a, Some(from))
                    && self.fits(a, delta)
                    && self.fits(from, -delta)
                {
                    return Some((from, q));
                }
            }
        }
        None
    }

    pub(super) fn exchange_for(&self, p: usize, a: u16, fresh: &[Vec<u32>]) -> Option<(u16, usize)> {
        for b in 0..index_u16(self.counts.len()) {
            if b == a || !self.problem.is_target[usize::from(b)] || !self.may(p, b, Some(a)) || self.was_on(p, b) {
                continue;
            }
            if self.topic_room(p, b) <= 0 {
                continue;
            }
            let list = &fresh[usize::from(b)];
            let size = self.size(p);
            let middle = list.partition_point(|it| self.size(*it as usize) < size);
            let (low, high) = (middle.saturating_sub(LOOKS_EACH / 2), (middle + LOOKS_EACH / 2).min(list.len()));
            for (other, q) in list.iter().enumerate().take(high).skip(low) {
                let q = *q as usize;
                if q == p
                    || self.partitions[q].topic == self.partitions[p].topic
                    || !self.list(q).contains(&b)
                    || self.was_on(q, a)
                {
                    continue;
                }
                let delta = self.size(q) - size;
                if self.topic_room(q, a) > 0 && self.may(q, a, Some(b)) && self.fits(a, delta) && self.fits(b, -delta) {
                    return Some((b, other));
                }
            }
        }
        None
    }
}
