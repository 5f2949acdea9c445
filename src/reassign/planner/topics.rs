//! Topics over as many brokers as there are, as far as it costs nothing.

use super::{Work, index_u16, index_u32};

impl Work<'_> {
    /// Exchanges the places of replicas that are made anew anyway, so that topics are spread better.
    pub(super) fn spread_topics(&mut self) {
        let mut fresh: Vec<Vec<u32>> = vec![Vec::new(); self.counts.len()];
        for partition in self.by_size() {
            for broker in &self.lists[partition as usize] {
                if !self.was_on(partition as usize, *broker) {
                    fresh[usize::from(*broker)].push(partition);
                }
            }
        }
        for _ in 0..3 {
            let mut has_changed = false;
            for a in 0..index_u16(self.counts.len()) {
                for number in 0..fresh[usize::from(a)].len() {
                    let p = fresh[usize::from(a)][number] as usize;
                    let topic = self.topic_of[p] as usize;
                    if self.spread[self.spread_at(p, a)] <= self.ceiling[topic] {
                        continue;
                    }
                    if let Some((from, q)) = self.instead_of(p, a) {
                        self.go(p, a, from);
                        self.go(q, from, a);
                        fresh[usize::from(a)][number] = index_u32(q);
                        has_changed = true;
                    } else if let Some((b, other)) = self.exchange_for(p, a, &fresh) {
                        let q = fresh[usize::from(b)][other] as usize;
                        self.remove(p, a);
                        self.remove(q, b);
                        self.add(p, b);
                        self.add(q, a);
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
        let Some(tolerance) = self.problem.rules.bytes_tolerance else { return true };
        let (bytes, share) = (self.bytes[usize::from(broker)] + more, self.quotas.bytes[usize::from(broker)]);
        bytes <= share * (1.0 + tolerance) && bytes >= share * (1.0 - tolerance)
    }

    /// A partition of another topic that could have come to `a` instead of `p`, and from where.
    pub(super) fn instead_of(&self, p: usize, a: u16) -> Option<(u16, usize)> {
        let size = self.size(p);
        let topic = self.topic_of[p] as usize;
        for from in self.problem.cluster.current.of(p).iter().map(|it| it.0) {
            if !self.problem.is_target[usize::from(from)]
                || !self.may(p, from, Some(a))
                || self.spread[self.spread_at(p, from)] >= self.ceiling[topic]
            {
                continue;
            }
            let list = &self.here[usize::from(from)];
            let middle = list.partition_point(|it| self.size(*it as usize) <= size * 1.0005);
            let low = middle.saturating_sub(200);
            for q in list[low..middle].iter().rev().map(|it| *it as usize) {
                let delta = self.size(q) - size;
                if self.topic_of[q] as usize != topic
                    && self.lists[q].contains(&from)
                    && self.was_on(q, from)
                    && self.spread[self.spread_at(q, a)] < self.ceiling[self.topic_of[q] as usize]
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
            if self.spread[self.spread_at(p, b)] >= self.ceiling[self.topic_of[p] as usize] {
                continue;
            }
            let list = &fresh[usize::from(b)];
            let size = self.size(p);
            let middle = list.partition_point(|it| self.size(*it as usize) < size);
            let (low, high) = (middle.saturating_sub(60), (middle + 60).min(list.len()));
            for (other, q) in list.iter().enumerate().take(high).skip(low) {
                let q = *q as usize;
                if q == p || self.topic_of[q] == self.topic_of[p] || !self.lists[q].contains(&b) || self.was_on(q, a) {
                    continue;
                }
                let delta = self.size(q) - size;
                if self.spread[self.spread_at(q, a)] < self.ceiling[self.topic_of[q] as usize]
                    && self.may(q, a, Some(b))
                    && self.fits(a, delta)
                    && self.fits(b, -delta)
                {
                    return Some((b, other));
                }
            }
        }
        None
    }
}
