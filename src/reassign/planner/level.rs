//! As many replicas for each broker as its quota says.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet, VecDeque};

use super::Work;

/// What a broker that is outside of its quota gives or takes at least.
const MUST: i64 = 1_000;
/// What it is worth, in parts of a mean size, not to crowd a topic, or to relieve it.
const TOPIC_WORTH: f64 = 0.15;
/// What it is worth that a replica costs nothing more: it is made anew anyway, or was on both.
const FRESH_WORTH: f64 = 10.0;
/// What it costs to send one back to where it was; somebody else had better go.
const BACK_COST: f64 = 10.0;

/// Brokers in the order of how much each has to give, or to take; those with nothing are not in it.
struct Order {
    worth: Vec<i64>,
    brokers: BTreeSet<(Reverse<i64>, u16)>,
}

impl Order {
    fn new(brokers: usize) -> Order {
        Order { worth: vec![0; brokers], brokers: BTreeSet::new() }
    }

    fn set(&mut self, broker: u16, worth: i64) {
        let old = std::mem::replace(&mut self.worth[usize::from(broker)], worth);
        if old > 0 {
            self.brokers.remove(&(Reverse(old), broker));
        }
        if worth > 0 {
            self.brokers.insert((Reverse(worth), broker));
        }
    }

    fn iter(&self) -> impl Iterator<Item = u16> {
        self.brokers.iter().map(|(_, broker)| *broker)
    }

    /// The first that has to, and has not been given up.
    fn first(&self, given_up: &BTreeSet<u16>) -> Option<(i64, u16)> {
        let must = self.brokers.iter().take_while(|(Reverse(worth), _)| *worth >= MUST);
        must.map(|(Reverse(worth), broker)| (*worth, *broker)).find(|(_, broker)| !given_up.contains(broker))
    }
}

impl Work<'_> {
    /// The partition on `a` of at most `size_max` that may go to `b` and whose size is nearest to `size`; those that were moved
    /// anyway first.
    pub(super) fn candidate(&self, a: u16, b: u16, size: f64, size_max: f64) -> Option<usize> {
        if !self.may_ever(a, b) {
            return None;
        }
        let list = &self.here[usize::from(a)];
        let list = if size_max.is_finite() {
            &list[..list.partition_point(|it| self.size(*it as usize) <= size_max)]
        } else {
            list
        };
        let middle = list.partition_point(|it| self.size(*it as usize) < size);
        let mean = size.max(self.replica_price);
        // What none can be better than, beside its distance.
        let relief = if self.crowd.above(a) > 0 { TOPIC_WORTH } else { 0.0 };
        let has_free = self.has_cuts || self.fresh[usize::from(a)] > 0;
        let least = if has_free { -FRESH_WORTH } else { 0.0 } - relief;
        let mut best: Option<(f64, usize)> = None;
        let (mut low, mut high) = (middle, middle);
        let mut looked = 0;
        let at = |place: Option<usize>| {
            let partition = *list.get(place?)? as usize;
            Some(((self.size(partition) - size).abs(), partition))
        };
        let (mut below, mut above) = (at(low.checked_sub(1)), at(Some(high)));
        while looked < self.looks {
            let (distance, partition) = match (below, above) {
                (Some(next), other) if other.is_none_or(|it| next.0 <= it.0) => {
                    low -= 1;
                    below = at(low.checked_sub(1));
                    next
                }
                (_, Some(next)) => {
                    high += 1;
                    above = at(Some(high));
                    next
                }
                _ => break,
            };
            if best.is_some_and(|(best, _)| distance / mean + least >= best) {
                break;
            }
            if !self.may(partition, b, Some(a)) {
                continue;
            }
            looked += 1;
            let mut cost = distance / mean;
            cost += match (self.was_on(partition, a), self.was_on(partition, b)) {
                (true, true) => -FRESH_WORTH,
                (true, false) => 0.0,
                (false, false) => -FRESH_WORTH,
                (false, true) => BACK_COST,
            };
            let is_behind = |cost: f64| best.is_some_and(|(best, _)| cost >= best);
            if is_behind(cost - relief) {
                continue;
            }
            if relief > 0.0 && self.topic_room(partition, a) < 0 {
                cost -= TOPIC_WORTH;
            }
            if is_behind(cost) {
                continue;
            }
            if self.topic_room(partition, b) <= 0 {
                cost += TOPIC_WORTH;
            }
            if best.is_none_or(|(best, _)| cost < best) {
                best = Some((cost, partition));
            }
            if best.is_some() && looked > 24 && distance / mean > 0.5 {
                break;
            }
        }
        best.map(|(_, partition)| partition)
    }

    /// Brings the count of every broker into its quota.
    pub(super) fn level(&mut self) {
        let (mut givers, mut takers) = (Order::new(self.counts.len()), Order::new(self.counts.len()));
        for broker in self.targets() {
            givers.set(broker, self.gives(broker));
            takers.set(broker, self.takes(broker));
        }
        // Pairs between which nothing goes, and brokers that nothing can be done for.
        let mut stuck = HashSet::new();
        let (mut cannot_give, mut cannot_take) = (BTreeSet::new(), BTreeSet::new());
        loop {
            // Those furthest off first; any with a replica to spare, or room for one, may be the other side.
            let (giver, taker) = (givers.first(&cannot_give), takers.first(&cannot_take));
            let is_giver = match (giver, taker) {
                (None, None) => return,
                (Some((gives, _)), Some((takes, _))) => gives >= takes,
                (giver, None) => giver.is_some(),
                (None, Some(_)) => false,
            };
            let Some((_, broker)) = (if is_giver { giver } else { taker }) else { return };
            let mut one = |a: u16, b: u16| self.sendable(a, b, &mut stuck).map(|partition| vec![(partition, a, b)]);
            let found = if is_giver {
                takers.iter().find_map(|taker| one(broker, taker))
            } else {
                givers.iter().find_map(|giver| one(giver, broker))
            };
            let found = found.or_else(|| self.by_way_of_others(broker, is_giver, &mut stuck));
            let Some(moves) = found else {
                let given_up = if is_giver { &mut cannot_give } else { &mut cannot_take };
                given_up.insert(broker);
                continue;
            };
            for (partition, a, b) in moves {
                self.go(partition, a, b);
                for broker in [a, b] {
                    givers.set(broker, self.gives(broker));
                    takers.set(broker, self.takes(broker));
                }
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

    /// A replica that may go from one to the other, of the size that suits both; notes where there is none.
    fn sendable(&self, a: u16, b: u16, stuck: &mut HashSet<(u16, u16)>) -> Option<usize> {
        if a == b || !self.may_ever(a, b) || stuck.contains(&(a, b)) {
            return None;
        }
        let room = self.limit[usize::from(b)] - self.bytes[usize::from(b)];
        let found = self.candidate(a, b, self.wanted_size(a, b), room);
        if found.is_none() {
            stuck.insert((a, b));
        }
        found
    }

    /// The size of a replica that goes from `a` to `b`, so that both end near the edge of their tolerance.
    fn wanted_size(&self, a: u16, b: u16) -> f64 {
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

    /// The shortest chain of replicas, each to the next broker, that begins at a broker with too many or ends at one with too
    /// few, where none goes directly.
    fn by_way_of_others(
        &self,
        broker: u16,
        is_giver: bool,
        stuck: &mut HashSet<(u16, u16)>,
    ) -> Option<Vec<(usize, u16, u16)>> {
        let targets = self.targets();
        let mut reached: Vec<Option<(usize, u16)>> = vec![None; self.counts.len()];
        let mut queue = VecDeque::from([broker]);
        while let Some(at) = queue.pop_front() {
            for next in targets.iter().copied() {
                if next == broker || reached[usize::from(next)].is_some() {
                    continue;
                }
                let (a, b) = if is_giver { (at, next) } else { (next, at) };
                let Some(partition) = self.sendable(a, b, stuck) else { continue };
                reached[usize::from(next)] = Some((partition, at));
                let ends = if is_giver { self.takes(next) } else { self.gives(next) };
                if ends == 0 {
                    queue.push_back(next);
                    continue;
                }
                let (mut chain, mut end): (Vec<(usize, u16, u16)>, u16) = (Vec::new(), next);
                while let Some((partition, before)) = reached[usize::from(end)] {
                    let (a, b) = if is_giver { (before, end) } else { (end, before) };
                    // One partition cannot go twice.
                    if chain.iter().any(|(it, _, _)| *it == partition) {
                        break;
                    }
                    chain.push((partition, a, b));
                    end = before;
                }
                if end == broker {
                    return Some(chain);
                }
            }
        }
        None
    }
}
