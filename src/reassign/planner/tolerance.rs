//! As many bytes for each broker as the tolerance allows.

use super::Work;

/// How many brokers are asked to exchange something with the one that is furthest off.
const PARTNERS: usize = 24;

impl Work<'_> {
    /// Brings the bytes of every broker into the tolerance, and within what it has room for.
    pub(super) fn within_tolerance(&mut self) {
        if !self.has_edges {
            return;
        }
        let targets = self.targets();
        for _ in 0..4000.max(10 * targets.len()) {
            let most = |it: u16| self.most[usize::from(it)];
            let least = |it: u16| self.least[usize::from(it)];
            let bytes = |it: u16| self.bytes[usize::from(it)];
            let over = |it: u16| bytes(it) - most(it);
            let under = |it: u16| least(it) - bytes(it);
            let off = |it: u16| over(it).max(under(it));
            let Some(worst) = targets.iter().copied().max_by(|x, y| off(*x).total_cmp(&off(*y))) else { return };
            let need = off(worst);
            if need <= 0.0 {
                return;
            }
            let is_over = over(worst) > 0.0;
            // What would be best of all: the fewest bytes for what they bring.
            let mut best: Option<(f64, Step)> = None;
            let mut others: Vec<u16> =
                targets.iter().copied().filter(|it| *it != worst && self.may_ever(*it, worst)).collect();
            if others.len() > PARTNERS {
                let share = |it: u16| self.quotas.bytes[usize::from(it)].max(1.0);
                let filled = |it: u16| if is_over { bytes(it) / share(it) } else { -bytes(it) / share(it) };
                others.sort_by(|x, y| filled(*x).total_cmp(&filled(*y)));
                others.truncate(PARTNERS);
            }
            for other in others {
                let (a, b) = if is_over { (worst, other) } else { (other, worst) };
                // What goes may not put the other side out.
                let room = if is_over { most(b) - bytes(b) } else { bytes(a) - least(a) };
                if room <= 0.0 {
                    continue;
                }
                let out = |it: u16, more: f64| {
                    let bytes = bytes(it) + more;
                    (bytes - most(it)).max(least(it) - bytes).max(0.0)
                };
                let before = out(a, 0.0) + out(b, 0.0);
                // What both sides ask for, if they can have it; else what this one does.
                let both = off(other).max(0.0);
                for delta in [need, need.min(room), both.min(room), need.max(both).min(room)] {
                    if delta <= 0.0 {
                        continue;
                    }
                    for step in self.steps(a, b, delta) {
                        let gain = before - out(a, -step.delta) - out(b, step.delta);
                        if gain <= need * 1e-6 {
                            continue;
                        }
                        let price = (step.bytes + step.replicas.max(0.0) * self.replica_price) / gain;
                        if best.as_ref().is_none_or(|(old, _)| price < *old) {
                            best = Some((price, step));
                        }
                    }
                }
            }
            let Some((_, step)) = best else { return };
            for (partition, a, b) in step.moves {
                self.go(partition, a, b);
            }
        }
    }

    /// Ways to bring about `delta` bytes from `a` to `b`: one replica where counts allow it, or one for another.
    pub(super) fn steps(&self, a: u16, b: u16, delta: f64) -> Vec<Step> {
        let mut steps = Vec::new();
        let (ca, cb) = (usize::from(a), usize::from(b));
        if self.counts[ca] > self.quotas.counts[ca].0 as i64
            && self.counts[cb] < self.quotas.counts[cb].1 as i64
            && let Some(partition) = self.candidate(a, b, delta, f64::INFINITY)
        {
            steps.push(self.step(vec![(partition, a, b)]));
        }
        // A large one for a small one: the smallest first, of which there are many.
        let may_go_back = |it: &usize| self.may(*it, a, Some(b));
        let mut small: Vec<usize> = self.here[cb].iter().map(|it| *it as usize).filter(may_go_back).take(40).collect();
        // Of those that cost about nothing, the ones that spread their topics.
        small.sort_by_key(|it| (self.topic_room(*it, a) <= 0, self.topic_room(*it, b) >= 0));
        small.truncate(6);
        for back in small {
            if let Some(partition) = self.candidate(a, b, delta + self.size(back), f64::INFINITY)
                && partition != back
            {
                steps.push(self.step(vec![(partition, a, b), (back, b, a)]));
            }
        }
        steps
    }

    pub(super) fn step(&self, moves: Vec<(usize, u16, u16)>) -> Step {
        let (mut bytes, mut replicas, mut delta) = (0.0, 0.0, 0.0);
        for (number, (partition, a, b)) in moves.iter().enumerate() {
            let size = self.size(*partition);
            // One that was moved already costs nothing more; one that goes home gives back what it cost.
            let cost = i32::from(!self.was_on(*partition, *b)) - i32::from(!self.was_on(*partition, *a));
            bytes += size * f64::from(cost);
            replicas += f64::from(cost);
            delta += if number == 0 { size } else { -size };
        }
        Step { moves, bytes, replicas, delta }
    }
}

/// Something that brings bytes from one broker to another.
pub(super) struct Step {
    moves: Vec<(usize, u16, u16)>,
    /// What it copies more than now.
    bytes: f64,
    replicas: f64,
    /// What it brings.
    delta: f64,
}
