//! Moves that are made otherwise, for fewer of them.

use super::{EDGE, Work};
use crate::reassign::bounds::Bounds;
use crate::reassign::quota::to_f64;

/// How often it is begun anew.
const RUNS: u32 = 24;
/// How many changes are tried each time.
const TRIES: u32 = 300_000;
/// How many for each partition and broker, where these are few.
const TRIES_EACH: u32 = 200;
/// Most moved replicas of which better ones are looked for: among more there is little to gain, unless a rule is not met.
const REPLICAS_MAX: u32 = 2_000;
/// How near to the fewest replicas and bytes is near enough.
const NEAR: f64 = 1.02;

// Worth of what is to be as little as can be, in mean sizes; one byte that is moved counts as one.
/// One more replica that is moved, beside its bytes.
const REPLICA_WORTH: f64 = 3.3;
/// A replica above its topic's ceiling.
const CROWD_WORTH: f64 = 0.3;
/// A replica outside of a broker's quota.
const COUNT_WORTH: f64 = 40.0;
/// A byte outside of a broker's tolerance.
const OUT_WORTH: f64 = 6.0;
/// A broker outside of its quota or tolerance, of a plan that is done.
const MISSED_WORTH: f64 = 1e4;
/// A byte that a broker has no room for.
const FULL_WORTH: f64 = 1e5;
/// By how much a change may make it worse at first; at the end, none may.
const WORSE: f64 = 2.7;
/// How much of that when it goes on from the best.
const HEAT: f64 = 0.6;
/// And by how much more for each byte that it is about: what is large has few places, and a long way between them.
const WORSE_BY_SIZE: f64 = 1.0;

/// A change: a replica from the one broker to the other, and perhaps one back.
#[derive(Clone, Copy)]
struct Change {
    a: u16,
    b: u16,
    there: usize,
    back: Option<usize>,
}

/// Numbers that look like chance and are the same every time (xorshift).
struct Chance(u64);

impl Chance {
    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }

    /// In 0..1.
    fn part(&mut self) -> f64 {
        to_f64(self.next() >> 11) / to_f64(1 << 53)
    }
}

impl Work<'_> {
    /// Tries changes, again and again, and keeps what is better; at first also what is a little worse, to come to what is better
    /// still (threshold accepting).
    pub(super) fn improve(&mut self) {
        if !self.has_edges || !self.is_worth_while() {
            return;
        }
        let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
        let (mut best, mut best_way) = (self.cost(), Vec::new());
        let runs = if self.moved.0 > REPLICAS_MAX { 2 } else { RUNS };
        for number in 0..runs {
            self.journal = Some(Vec::new());
            // Every other time from the best there is, more carefully.
            let is_anew = number % 2 == 0;
            if !is_anew {
                best_way.iter().for_each(|(partition, from, to)| self.go(*partition, *from, *to));
            }
            self.run(&mut chance, if is_anew { 1.0 } else { HEAT });
            if self.cost() < best {
                if !self.is_worth_while() {
                    self.journal = None;
                    return;
                }
                best = self.cost();
                best_way = self.journal.clone().unwrap_or_default();
            }
            self.undo_to(0);
        }
        self.journal = None;
        for (partition, from, to) in best_way {
            self.go(partition, from, to);
        }
    }

    /// Whether a rule is not met, or much more is moved than has to be.
    fn is_worth_while(&self) -> bool {
        if self.missed() > 0 {
            return true;
        }
        if self.moved.0 > REPLICAS_MAX {
            return false;
        }
        let Bounds { replicas, bytes, .. } = Bounds::of(self.problem, self.quotas);
        // So many replicas cannot be smaller than the smallest.
        let each = self.partitions.iter().flat_map(|it| std::iter::repeat_n(it.size, usize::from(it.wanted)));
        let smallest: f64 = each.take(usize::try_from(replicas).unwrap_or(usize::MAX)).sum();
        let (replicas, bytes) = (to_f64(replicas) * NEAR, to_f64(bytes).max(smallest) * NEAR);
        f64::from(self.moved.0) > replicas || self.moved.1 > bytes
    }

    /// Tries changes, and leaves the best that it met.
    fn run(&mut self, chance: &mut Chance, heat: f64) {
        let targets = self.targets();
        let mut moves = self.moves();
        let (mut now, mut best, mut best_at) = (0.0, 0.0, self.journal.as_ref().map_or(0, Vec::len));
        // Few partitions on few brokers need few tries.
        let ways = self.partitions.len().saturating_mul(targets.len());
        let tries = u32::try_from(ways).unwrap_or(u32::MAX).saturating_mul(TRIES_EACH).min(TRIES);
        let is_full = |it: &u16| self.bytes[usize::from(*it)] > self.limit[usize::from(*it)];
        // To find room somebody else may have to be without for a while.
        let worse_by_size = if targets.iter().any(is_full) { FULL_WORTH } else { WORSE_BY_SIZE };
        for number in 0..tries {
            let Some(change) = self.pick(&targets, &moves, chance) else { continue };
            let left = heat * (1.0 - f64::from(number) / f64::from(tries));
            let worse = WORSE * self.replica_price + worse_by_size * self.size(change.there);
            let more = self.more(&change);
            if more >= worse * left * left * left * chance.part() {
                continue;
            }
            self.make(&change, &mut moves);
            now += more;
            if now < best - 1.0 {
                best = now;
                best_at = self.journal.as_ref().map_or(0, Vec::len);
            }
        }
        self.undo_to(best_at);
        // What is still outside of quotas or tolerance.
        self.level();
        self.within_tolerance();
    }

    /// Takes back what was done since.
    fn undo_to(&mut self, len: usize) {
        let mut journal = self.journal.take().unwrap_or_default();
        for (partition, from, to) in journal.drain(len..).rev() {
            self.go(partition, to, from);
        }
        self.journal = Some(journal);
    }

    /// Replicas that are somewhere else than before: partition, where it is.
    fn moves(&self) -> Vec<(usize, u16)> {
        let mut moves = Vec::new();
        for partition in 0..self.partitions.len() {
            let old = self.old(partition);
            moves.extend(self.list(partition).iter().filter(|it| !old.contains(it)).map(|it| (partition, *it)));
        }
        moves
    }

    /// Something that could be changed: half of the time a replica that has moved, else any.
    fn pick(&self, targets: &[u16], moves: &[(usize, u16)], chance: &mut Chance) -> Option<Change> {
        let any = |chance: &mut Chance| targets.get(chance.below(targets.len())).copied();
        let (there, a, b) = if !moves.is_empty() && chance.below(2) == 0 {
            let (partition, a) = moves[chance.below(moves.len())];
            let old = self.old(partition);
            let home = old.get(chance.below(old.len())).copied().filter(|it| self.problem.is_target[usize::from(*it)]);
            (partition, a, if chance.below(3) == 0 { any(chance)? } else { home? })
        } else {
            let (a, b) = (any(chance)?, any(chance)?);
            let here = &self.here[usize::from(a)];
            // Larger ones more often: there are few of them, and they bring more.
            let from_top = if chance.below(2) == 0 { chance.part() } else { chance.part() * chance.part() };
            let place =
                here.len().checked_sub(1 + chance.below(1 + part_of(here.len().saturating_sub(1), from_top)))?;
            (*here.get(place)? as usize, a, b)
        };
        if a == b || !self.may(there, b, Some(a)) {
            return None;
        }
        let here = &self.here[usize::from(b)];
        let back = match chance.below(4) {
            0 => None,
            // One of about its size,
            1 | 2 => {
                let near = here.partition_point(|it| (*it as usize) < there) + chance.below(24);
                Some(*here.get(near.checked_sub(12)?)? as usize)
            }
            // or a small one.
            _ => Some(*here.get(part_of(here.len(), chance.part() * chance.part()))? as usize),
        };
        let is_free = back.is_none_or(|it| it != there && self.may(it, a, Some(b)));
        is_free.then_some(Change { a, b, there, back })
    }

    fn make(&mut self, change: &Change, moves: &mut Vec<(usize, u16)>) {
        let steps = [Some((change.there, change.a, change.b)), change.back.map(|it| (it, change.b, change.a))];
        for (partition, from, to) in steps.into_iter().flatten() {
            self.go(partition, from, to);
            if !self.was_on(partition, from) {
                moves.retain(|it| *it != (partition, from));
            }
            if !self.was_on(partition, to) {
                moves.push((partition, to));
            }
        }
    }

    /// What a change would add to the cost.
    fn more(&self, change: &Change) -> f64 {
        let Change { a, b, there, back } = *change;
        let (mut replicas, mut bytes, mut crowd) = (0.0, 0.0, 0.0);
        let mut step = |partition: usize, from: u16, to: u16| {
            let more = f64::from(i32::from(!self.was_on(partition, to)) - i32::from(!self.was_on(partition, from)));
            replicas += more;
            bytes += more * self.size(partition);
            crowd += f64::from(i32::from(self.topic_room(partition, to) <= 0));
            crowd -= f64::from(i32::from(self.topic_room(partition, from) < 0));
        };
        step(there, a, b);
        if let Some(back) = back {
            step(back, b, a);
        }
        let size = self.size(there) - back.map_or(0.0, |it| self.size(it));
        let count = i64::from(back.is_none());
        let off = |broker: u16, count: i64, bytes: f64| self.off(broker, count, bytes) - self.off(broker, 0, 0.0);
        let off = off(a, -count, -size) + off(b, count, size);
        bytes + (replicas * REPLICA_WORTH + crowd * CROWD_WORTH) * self.replica_price + off
    }

    /// What it counts for that a broker is outside of its quota and tolerance, with so much more.
    fn off(&self, broker: u16, count: i64, bytes: f64) -> f64 {
        let at = usize::from(broker);
        let (count, quota) = (self.counts[at] + count, self.quotas.counts[at]);
        let count = (count - quota.1 as i64).max(quota.0 as i64 - count).max(0);
        let bytes = self.bytes[at] + bytes;
        let out = (bytes - self.most[at]).max(self.least[at] - bytes).max(0.0);
        let full = (bytes - self.limit[at]).max(0.0);
        count as f64 * COUNT_WORTH * self.replica_price + out * OUT_WORTH + full * FULL_WORTH
    }

    /// How many brokers are outside of what the rules ask.
    fn missed(&self) -> usize {
        // The edges are a little inside of the rule's.
        let slack = |broker: u16| self.quotas.bytes[usize::from(broker)] * EDGE * OUT_WORTH;
        self.targets().into_iter().filter(|it| self.off(*it, 0, 0.0) > 1.0 + slack(*it)).count()
    }

    /// What is to be as little as can be; to keep to the rules comes first.
    fn cost(&self) -> f64 {
        let (replicas, bytes) = self.moved;
        let crowd = to_f64(self.crowd.above_in_all()) * CROWD_WORTH;
        let off: f64 = self.targets().into_iter().map(|it| self.off(it, 0, 0.0)).sum();
        let is_full = |it: &u16| self.bytes[usize::from(*it)] >= self.limit[usize::from(*it)] + 1.0;
        let full = self.targets().iter().filter(|it| is_full(it)).count();
        // What does not fit is worse than whatever is not level.
        let missed = to_f64((self.missed() + full * self.counts.len()) as u64) * MISSED_WORTH;
        bytes + (f64::from(replicas) * REPLICA_WORTH + crowd + missed) * self.replica_price + off
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of an index")]
fn part_of(len: usize, part: f64) -> usize {
    ((to_f64(len as u64) * part) as usize).min(len.saturating_sub(1))
}
