//! What the formulas of [`closed`](super::closed) say beside availability, by simulation.

use crate::replication::random::Random;

/// A mean and how far off it may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error.
    pub standard_error: f64,
}

/// [`closed::mean_wait`](super::closed::mean_wait), by drawing so many acknowledgements.
pub fn mean_wait(needed: u8, followers: u8, draws: u32, seed: u64) -> Estimate {
    let mut random = Random::new(seed, 0);
    let mut delays = vec![0.0; usize::from(followers)];
    let (mut sum, mut squares) = (0.0, 0.0);
    for _ in 0..draws {
        for delay in &mut delays {
            *delay = random.exponential();
        }
        delays.sort_unstable_by(f64::total_cmp);
        let wait = match usize::from(needed.min(followers)) {
            0 => 0.0,
            needed => delays[needed - 1],
        };
        sum += wait;
        squares += wait * wait;
    }
    let draws = f64::from(draws);
    let mean = sum / draws;
    Estimate { mean, standard_error: libm::sqrt((squares / draws - mean * mean).max(0.0) / (draws - 1.0)) }
}

/// [`closed::mean_time_to_down`](super::closed::mean_time_to_down), by going through so many cycles from all up to all up.
///
/// Once a broker is down, the next event is a failure as often as a repair, and the cycle is weighed for it: the mean time
/// is that of a cycle, or of its part before the goal, over the chance that a cycle gets there.
pub fn mean_time_to_down(brokers: u8, down: u8, mtbf_s: f64, mttr_s: f64, cycles: u32, seed: u64) -> Estimate {
    let mut random = Random::new(seed, 0);
    let (brokers, down) = (f64::from(brokers), f64::from(down.min(brokers)));
    let (mut plain, mut biased) = (Pair::default(), Pair::default());
    for cycle in 0..cycles {
        // Plain cycles tell how long cycles are, biased ones how often they get there.
        let is_biased = cycle % 2 == 1;
        let (mut already, mut length, mut weight) = (1.0, mtbf_s / brokers, 1.0);
        while already > 0.0 && already < down {
            let (fail, repair) = ((brokers - already) / mtbf_s, already / mttr_s);
            length += 1.0 / (fail + repair);
            let chance = fail / (fail + repair);
            let forced = if is_biased { 0.5 } else { chance };
            if random.unit() < forced {
                weight *= chance / forced;
                already += 1.0;
            } else {
                weight *= (1.0 - chance) / (1.0 - forced);
                already -= 1.0;
            }
        }
        if is_biased {
            biased.add(if already > 0.0 { weight } else { 0.0 });
        } else {
            plain.add(length);
        }
    }
    let ((length, length_variance), (hit, hit_variance)) = (plain.mean(), biased.mean());
    let mean = length / hit;
    let relative = length_variance / (length * length) + hit_variance / (hit * hit);
    Estimate { mean, standard_error: mean * libm::sqrt(relative) }
}

/// Sums of values and of their squares.
#[derive(Default)]
struct Pair {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Pair {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        self.squares += value * value;
    }

    /// The mean and its variance.
    fn mean(&self) -> (f64, f64) {
        let mean = self.sum / self.count;
        (mean, (self.squares / self.count - mean * mean).max(0.0) / (self.count - 1.0))
    }
}
