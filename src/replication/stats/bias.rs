//! How rare events are met: faults come more often in some cycles, and those cycles count for less.
//!
//! Three of four cycles are plain. In the fourth, once something is broken, faults come so often that another one is about as
//! likely as the repair, and rare kinds nearly as often as common ones (failure biasing). Whichever way a cycle was made, it is
//! weighed by how likely it was in the mixture of both (the balance heuristic), so no weight is above 4/3, and events that
//! plain cycles see are not estimated worse than by plain cycles alone.

use super::configuration::Configuration;
use super::fault::{Fault, Hazards};
use super::rates::Rates;
use crate::replication::random::Random;

/// One in so many cycles is biased.
pub(super) const BIASED_EVERY: u64 = 4;
/// Part of the cycles that is not.
#[expect(clippy::cast_precision_loss, reason = "a small number")]
pub(super) const PLAIN_SHARE: f64 = 1.0 - 1.0 / BIASED_EVERY as f64;

/// Faults expected, if nothing else happens, while the last one is fresh, and in the mean time of a repair after that.
///
/// Well below 1: where repairs take long, weights grow with the power of this, and above 0.5 a few of them outweigh the rest.
const HOT_FAULTS: f64 = 0.4;
const COOL_FAULTS: f64 = 0.4;

/// Rates of faults in biased cycles.
#[derive(Debug, Clone)]
pub(super) struct Bias {
    /// How long a fault is fresh: while it is not noticed, or something is not on the disk.
    pub(super) hot_s: f64,
    hot_per_s: f64,
    cool_per_s: f64,
    /// Faults after which a cycle is left to itself.
    faults_max: u32,
}

impl Bias {
    pub(super) fn new(configuration: &Configuration, rates: &Rates) -> Bias {
        let hot_s = rates.broker_session_timeout_s + rates.writeback_s;
        Bias {
            hot_s,
            hot_per_s: if hot_s > 0.0 { HOT_FAULTS / hot_s } else { 0.0 },
            cool_per_s: COOL_FAULTS / rates.mttr_s,
            faults_max: u32::from(configuration.replication_factor) + 1,
        }
    }
}

/// How likely a cycle was as it went, by plain rates and by biased ones.
#[derive(Debug, Clone)]
pub(super) struct Path<'b> {
    bias: &'b Bias,
    plain_share: f64,
    is_biased: bool,
    faults: u32,
    is_off: bool,
    hot_until_s: f64,
    /// Plain over biased likelihood: a product, and the exponent of what stands before it.
    ratio: f64,
    exponent: f64,
}

impl<'b> Path<'b> {
    /// A cycle of one kind, in a mixture of so many plain ones.
    pub(super) const fn new(bias: &'b Bias, plain_share: f64, is_biased: bool) -> Path<'b> {
        Path { bias, plain_share, is_biased, faults: 0, is_off: false, hot_until_s: 0.0, ratio: 1.0, exponent: 0.0 }
    }

    /// When the rates change though nothing happens.
    pub(super) const fn changes_s(&self, now_s: f64) -> f64 {
        if now_s < self.hot_until_s { self.hot_until_s } else { f64::INFINITY }
    }

    /// Faults a second by which a cycle of this kind is made, and by which biased ones are.
    pub(super) fn rates(&self, now_s: f64, plain: f64, is_broken: bool) -> (f64, f64) {
        let bias = self.bias;
        let biased = if self.is_off || !is_broken || plain == 0.0 {
            plain
        } else if now_s < self.hot_until_s {
            bias.hot_per_s.max(plain)
        } else {
            bias.cool_per_s.max(plain)
        };
        (if self.is_biased { biased } else { plain }, biased)
    }

    /// Time has passed without a fault.
    pub(super) fn pass(&mut self, passed_s: f64, plain: f64, biased: f64) {
        self.exponent += (biased - plain) * passed_s;
    }

    /// Chooses what breaks now, by the kind of cycle; and a number from 0 to 1 that chooses whom.
    pub(super) fn choose(&mut self, now_s: f64, hazards: &Hazards, biased: f64, random: &mut Random) -> (Fault, f64) {
        let is_favoured = |kind: usize| hazards.of[kind] > 0.0 && Fault::ALL[kind] != Fault::SlowFollower;
        let favoured = (0..hazards.of.len()).filter(|kind| is_favoured(*kind)).count();
        let plain = 1.0 / hazards.total;
        // Half by how often they are, half evenly among kinds: slow followers are frequent enough.
        let (mixed, even) = match u32::try_from(favoured) {
            Ok(count) if count > 0 && !self.is_off => (0.5 * plain, 0.5 / f64::from(count)),
            _ => (plain, 0.0),
        };
        let share = |kind: usize| hazards.of[kind] * mixed + if is_favoured(kind) { even } else { 0.0 };
        let mut left = random.unit();
        let (mut chosen, mut part) = (0, 0.0);
        for kind in 0..hazards.of.len() {
            let share = if self.is_biased { share(kind) } else { hazards.of[kind] * plain };
            if share > 0.0 {
                (chosen, part) = (kind, (left / share).min(1.0));
                if left < share {
                    break;
                }
                left -= share;
            }
        }
        self.ratio *= hazards.of[chosen] / (biased * share(chosen));
        self.faults += 1;
        self.hot_until_s = now_s + self.bias.hot_s;
        self.is_off |= self.faults > self.bias.faults_max;
        (Fault::ALL[chosen], part)
    }

    /// The rare thing has happened: the rest is left to itself.
    pub(super) const fn rest(&mut self) {
        self.is_off = true;
    }

    /// What it counts for, as far as it has come.
    pub(super) fn weight(&self) -> f64 {
        let ratio = self.ratio * libm::exp(self.exponent);
        if ratio == 0.0 { 0.0 } else { 1.0 / (self.plain_share + (1.0 - self.plain_share) / ratio) }
    }
}
