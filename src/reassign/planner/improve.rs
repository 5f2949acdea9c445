//! Moves that are made anew, for fewer of them.

use super::Work;
use crate::reassign::cluster::BrokerIndex;
use crate::reassign::quota::to_f64;

/// How often moves are made anew.
const ROUNDS: usize = 1_500;
/// What one more replica is worth beside its bytes, in mean sizes.
const REPLICA_WORTH: f64 = 4.0;
/// What a replica above its topic's ceiling is worth, in mean sizes.
const CROWD_WORTH: f64 = 0.2;

impl Work<'_> {
    /// Replicas that are somewhere else than before: partition, where it was, where it is. Where several of a partition have
    /// moved, any may have come from any.
    pub(super) fn moved(&self) -> Vec<(usize, u16, u16)> {
        let mut moved = Vec::new();
        for (partition, list) in self.lists.iter().enumerate() {
            let old = self.problem.cluster.current.of(partition);
            let mut gone =
                old.iter().map(|it| it.0).filter(|it| self.problem.is_target[usize::from(*it)] && !list.contains(it));
            for new in list.iter().filter(|it| !old.contains(&BrokerIndex(**it))) {
                if let Some(from) = gone.next() {
                    moved.push((partition, from, *new));
                }
            }
        }
        moved
    }

    /// What is to be as little as can be.
    pub(super) fn cost(&self) -> f64 {
        let (mut bytes, mut replicas, mut out) = (0.0, 0.0, 0.0);
        for (partition, list) in self.lists.iter().enumerate() {
            let old = self.problem.cluster.current.of(partition);
            let new = list.iter().filter(|it| !old.contains(&BrokerIndex(**it))).count();
            if new > 0 {
                bytes += self.size(partition) * new as f64;
                replicas += new as f64;
            }
        }
        let tolerance = self.problem.rules.bytes_tolerance.unwrap_or(f64::INFINITY);
        for broker in (0..self.counts.len()).filter(|it| self.problem.is_target[*it]) {
            let share = self.quotas.bytes[broker];
            if tolerance.is_finite() {
                out += (self.bytes[broker] - share * (1.0 + tolerance) - 1.0)
                    .max(share * (1.0 - tolerance) - 1.0 - self.bytes[broker])
                    .max(0.0);
            }
            let (count, quota) = (self.counts[broker], self.quotas.counts[broker]);
            let off = (count - quota.1 as i64).max(quota.0 as i64 - count).max(0);
            out += off as f64 * 1e15;
        }
        let crowd: u64 = self
            .spread
            .chunks(self.counts.len())
            .zip(&self.ceiling)
            .map(|(topic, ceiling)| topic.iter().map(|it| u64::from(it.saturating_sub(*ceiling))).sum::<u64>())
            .sum();
        bytes + (replicas * REPLICA_WORTH + to_f64(crowd) * CROWD_WORTH) * self.replica_price + out * 1e3
    }

    /// Takes some of the moves back and makes them anew, again and again, and keeps what is better.
    pub(super) fn improve(&mut self) {
        let mut chance = 0x9E37_79B9_7F4A_7C15u64;
        let mut below = |end: usize| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            usize::try_from(chance % end.max(1) as u64).unwrap_or(0)
        };
        let moved = self.moved();
        if moved.is_empty() || moved.len() > 400 || self.problem.rules.bytes_tolerance.is_none() {
            return;
        }
        let mut best = self.cost();
        for _ in 0..ROUNDS {
            let moved = self.moved();
            if moved.is_empty() {
                return;
            }
            let mut other = self.clone();
            let seed = moved[below(moved.len())];
            let mut undone = 0;
            let wanted = 1 + below(6);
            let start = below(moved.len());
            for number in 0..moved.len() {
                let (partition, from, to) = moved[(start + number) % moved.len()];
                let is_near = from == seed.1 || to == seed.2 || from == seed.2 || to == seed.1;
                if (is_near || below(8) == 0)
                    && other.lists[partition].contains(&to)
                    && other.may(partition, from, Some(to))
                {
                    other.go(partition, to, from);
                    undone += 1;
                    if undone >= wanted {
                        break;
                    }
                }
            }
            other.level();
            other.within_tolerance();
            let cost = other.cost();
            if cost < best {
                best = cost;
                *self = other;
            }
        }
    }
}
