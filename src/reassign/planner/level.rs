//! As many replicas for each broker as its quota says.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::{Work, index_u16, index_u32};

/// What a broker that is outside of its quota gives or takes at least.
const MUST: i64 = 1_000;

impl Work<'_> {
    /// All partitions, ascending by size.
    pub(super) fn by_size(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..index_u32(self.lists.len())).collect();
        order.sort_by_key(|it| (self.problem.cluster.sizes[*it as usize], *it));
        order
    }

    pub(super) fn index(&mut self) {
        for list in &mut self.here {
            list.clear();
        }
        for partition in self.by_size() {
            for broker in &self.lists[partition as usize] {
                self.here[usize::from(*broker)].push(partition);
            }
        }
    }

    /// The partition on `a` that may go to `b` whose size is nearest to `size`; those that were moved anyway first.
    pub(super) fn candidate(&self, a: u16, b: u16, size: f64) -> Option<usize> {
        let list = &self.here[usize::from(a)];
        let middle = list.partition_point(|it| self.size(*it as usize) < size);
        let mut best: Option<(f64, usize)> = None;
        let (mut low, mut high) = (middle, middle);
        let mut looked = 0;
        while (low > 0 || high < list.len()) && looked < 400 {
            let below = low.checked_sub(1).and_then(|at| list.get(at)).map(|it| (size - self.size(*it as usize)).abs());
            let above = list.get(high).map(|it| (self.size(*it as usize) - size).abs());
            let partition = match (below, above) {
                (Some(below), Some(above)) if below <= above => {
                    low -= 1;
                    list[low]
                }
                (_, Some(_)) => {
                    high += 1;
                    list[high - 1]
                }
                (Some(_), None) => {
                    low -= 1;
                    list[low]
                }
                (None, None) => break,
            } as usize;
            if !self.lists[partition].contains(&a) || !self.may(partition, b, Some(a)) {
                continue;
            }
            looked += 1;
            let distance = (self.size(partition) - size).abs();
            let topic = self.topic_of[partition] as usize;
            let crowd = self.spread[self.spread_at(partition, b)] >= self.ceiling[topic];
            let relief = self.spread[self.spread_at(partition, a)] > self.ceiling[topic];
            let original = self.was_on(partition, a);
            let back = self.was_on(partition, b);
            let mean = size.max(self.replica_price);
            let cost = distance / mean + if crowd { 0.15 } else { 0.0 } - if relief { 0.15 } else { 0.0 }
                + if original { 0.0 } else { -10.0 }
                - if back { 20.0 } else { 0.0 };
            if best.is_none_or(|(old, _)| cost < old) {
                best = Some((cost, partition));
            }
            if distance / mean > 0.5 && best.is_some() && looked > 24 {
                break;
            }
        }
        best.map(|(_, partition)| partition)
    }

    /// Brings the count of every broker into its quota.
    pub(super) fn level(&mut self) {
        self.index();
        let targets: Vec<u16> =
            (0..index_u16(self.counts.len())).filter(|it| self.problem.is_target[usize::from(*it)]).collect();
        let mut stuck = BTreeSet::new();
        loop {
            // Those furthest off first; any with a replica to spare, or room for one, may be the other side.
            let giver = targets.iter().copied().max_by_key(|it| (self.gives(*it), Reverse(*it)));
            let taker = targets.iter().copied().max_by_key(|it| (self.takes(*it), Reverse(*it)));
            let (Some(giver), Some(taker)) = (giver, taker) else { return };
            if self.gives(giver) < MUST && self.takes(taker) < MUST {
                return;
            }
            if self.send(giver, taker, &mut stuck) {
                continue;
            }
            let mut pairs: Vec<(i64, u16, u16)> = Vec::new();
            for a in targets.iter().copied() {
                for b in targets.iter().copied() {
                    if self.can_send(a, b) && !stuck.contains(&(a, b)) {
                        pairs.push((-(self.gives(a) + self.takes(b)), a, b));
                    }
                }
            }
            pairs.sort_unstable();
            let has_moved = pairs.into_iter().any(|(_, a, b)| self.send(a, b, &mut stuck));
            if !has_moved && !self.by_way_of_another() {
                return;
            }
        }
    }

    /// How much a broker has to give: nothing, one if it is asked for, or at least [`MUST`].
    fn gives(&self, broker: u16) -> i64 {
        let (count, quota) = (self.counts[usize::from(broker)], self.quotas.counts[usize::from(broker)]);
        match count - quota.1 as i64 {
            over if over > 0 => MUST + over,
            _ => i64::from(count > quota.0 as i64),
        }
    }

    /// How much it has to take.
    fn takes(&self, broker: u16) -> i64 {
        let (count, quota) = (self.counts[usize::from(broker)], self.quotas.counts[usize::from(broker)]);
        match quota.0 as i64 - count {
            under if under > 0 => MUST + under,
            _ => i64::from(count < quota.1 as i64),
        }
    }

    /// Whether a replica from one to the other helps one of them, and harms none.
    fn can_send(&self, a: u16, b: u16) -> bool {
        let (gives, takes) = (self.gives(a), self.takes(b));
        a != b && gives > 0 && takes > 0 && (gives >= MUST || takes >= MUST)
    }

    /// Moves a replica from one to the other, of the size that suits both; notes where there is none.
    fn send(&mut self, a: u16, b: u16, stuck: &mut BTreeSet<(u16, u16)>) -> bool {
        if a == b || self.gives(a) == 0 || self.takes(b) == 0 || stuck.contains(&(a, b)) {
            return false;
        }
        let Some(partition) = self.candidate(a, b, self.wanted_size(a, b)) else {
            stuck.insert((a, b));
            return false;
        };
        self.go(partition, a, b);
        true
    }

    /// The size of a replica that goes from `a` to `b`, so that both end near the edge of their tolerance.
    pub(super) fn wanted_size(&self, a: u16, b: u16) -> f64 {
        let tolerance = self.problem.rules.bytes_tolerance.unwrap_or(0.1) * 0.97;
        let (a, b) = (usize::from(a), usize::from(b));
        let leaving = (self.counts[a] - self.quotas.counts[a].1 as i64).max(1) as f64;
        let coming = (self.quotas.counts[b].0 as i64 - self.counts[b]).max(1) as f64;
        let must_leave = ((self.bytes[a] - self.quotas.bytes[a] * (1.0 + tolerance)) / leaving).max(0.0);
        let must_come = ((self.quotas.bytes[b] * (1.0 - tolerance) - self.bytes[b]) / coming).max(0.0);
        let may_leave = ((self.bytes[a] - self.quotas.bytes[a] * (1.0 - tolerance)) / leaving).max(0.0);
        let may_come = ((self.quotas.bytes[b] * (1.0 + tolerance) - self.bytes[b]) / coming).max(0.0);
        must_leave.max(must_come).min(may_leave.min(may_come).max(must_come))
    }

    pub(super) fn go(&mut self, partition: usize, a: u16, b: u16) {
        self.remove(partition, a);
        self.add(partition, b);
        let (size, number) = (self.problem.cluster.sizes[partition], index_u32(partition));
        let list = &self.here[usize::from(b)];
        let at = list.partition_point(|it| (self.problem.cluster.sizes[*it as usize], *it) < (size, number));
        if list.get(at) != Some(&number) {
            self.here[usize::from(b)].insert(at, number);
        }
    }

    /// Where no replica can go directly from one that has too many to one that has too few.
    pub(super) fn by_way_of_another(&mut self) -> bool {
        let brokers = index_u16(self.counts.len());
        let targets: Vec<u16> = (0..brokers).filter(|it| self.problem.is_target[usize::from(*it)]).collect();
        for a in &targets {
            for b in &targets {
                if !self.can_send(*a, *b) {
                    continue;
                }
                for m in &targets {
                    if m == a || m == b {
                        continue;
                    }
                    let size = self.wanted_size(*a, *b);
                    if let (Some(first), Some(second)) = (self.candidate(*a, *m, size), self.candidate(*m, *b, size))
                        && first != second
                    {
                        self.go(first, *a, *m);
                        self.go(second, *m, *b);
                        return true;
                    }
                }
            }
        }
        false
    }
}
