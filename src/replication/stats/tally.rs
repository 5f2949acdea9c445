//! What cycles came to, summed up so that tallies of other threads can be added.

use super::loss::{Cause, Wait};
use super::partition::Loss;

/// What one cycle came to, weighed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    /// How long it took from the first fault to the next calm.
    pub(super) broken_s: f64,
    /// In the order of [`Measure`].
    measures: [f64; 4],
    causes: [f64; Cause::ALL.len()],
    waits_s: [f64; Wait::ALL.len()],
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(super) enum Measure {
    /// Events in which acknowledged records were lost.
    Losses,
    /// Records lost in them.
    Records,
    /// Seconds without writes.
    NoWrites,
    /// Seconds without reads.
    NoReads,
}

impl Sample {
    /// So long, weighed, the partition could not be written to for a reason, or not be read.
    pub(super) fn wait(&mut self, weighed_s: f64, wait: Option<Wait>, is_readable: bool) {
        if let Some(wait) = wait {
            self.measures[Measure::NoWrites as usize] += weighed_s;
            self.waits_s[wait as usize] += weighed_s;
        }
        if !is_readable {
            self.measures[Measure::NoReads as usize] += weighed_s;
        }
    }

    /// Records were lost: that many are expected to be, so that it was at least one is not certain.
    pub(super) fn lose(&mut self, weight: f64, loss: Loss) {
        let is_any = -libm::expm1(-loss.records);
        self.measures[Measure::Losses as usize] += weight * is_any;
        self.measures[Measure::Records as usize] += weight * loss.records;
        self.causes[loss.cause as usize] += weight * is_any;
    }
}

/// Sums of one measure over cycles of one kind.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    first: f64,
    square: f64,
    /// Of products with the length of the cycle.
    product: f64,
}

/// Cycles of one kind, plain or biased.
#[derive(Debug, Clone, Copy, Default)]
struct Stratum {
    cycles: f64,
    broken_s: Sums,
    measures: [Sums; 4],
}

impl Stratum {
    /// Variance of a sum, less `rate` for each second of the cycles, over the cycles of this kind.
    fn variance(&self, measure: usize, rate: f64) -> f64 {
        let (cycles, of, length) = (self.cycles, &self.measures[measure], &self.broken_s);
        if cycles < 2.0 {
            return 0.0;
        }
        let first = of.first - rate * length.first;
        let square = of.square - 2.0 * rate * of.product + rate * rate * length.square;
        (square - first * first / cycles).max(0.0) * cycles / (cycles - 1.0)
    }
}

/// What many cycles came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    strata: [Stratum; 2],
    /// Cycles in which something was lost, and the largest of their weights.
    pub(super) hits: u64,
    pub(super) largest: f64,
    pub(super) causes: [f64; Cause::ALL.len()],
    pub(super) waits_s: [f64; Wait::ALL.len()],
}

impl Tally {
    pub(super) fn add(&mut self, is_biased: bool, sample: &Sample) {
        let stratum = &mut self.strata[usize::from(is_biased)];
        stratum.cycles += 1.0;
        stratum.broken_s.first += sample.broken_s;
        stratum.broken_s.square += sample.broken_s * sample.broken_s;
        for (sums, value) in stratum.measures.iter_mut().zip(sample.measures) {
            sums.first += value;
            sums.square += value * value;
            sums.product += value * sample.broken_s;
        }
        let losses = sample.measures[Measure::Losses as usize];
        if losses > 0.0 {
            self.hits += 1;
            self.largest = self.largest.max(losses);
            add_all(&mut self.causes, &sample.causes);
        }
        if sample.measures[Measure::NoWrites as usize] > 0.0 {
            add_all(&mut self.waits_s, &sample.waits_s);
        }
    }

    /// Adds what other cycles came to. Sums of fractions depend on their order: merge in the order of cycles.
    pub(super) fn merge(&mut self, other: &Tally) {
        for (mine, theirs) in self.strata.iter_mut().zip(&other.strata) {
            mine.cycles += theirs.cycles;
            let sums = mine.measures.iter_mut().chain([&mut mine.broken_s]);
            for (mine, theirs) in sums.zip(theirs.measures.iter().chain([&theirs.broken_s])) {
                mine.first += theirs.first;
                mine.square += theirs.square;
                mine.product += theirs.product;
            }
        }
        self.hits += other.hits;
        self.largest = self.largest.max(other.largest);
        add_all(&mut self.causes, &other.causes);
        add_all(&mut self.waits_s, &other.waits_s);
    }

    pub(super) fn cycles(&self) -> f64 {
        self.strata.iter().map(|stratum| stratum.cycles).sum()
    }

    /// Seconds that all cycles took together, with calms of this mean.
    pub(super) fn length_s(&self, calm_s: f64) -> f64 {
        self.cycles() * calm_s + self.strata.iter().map(|stratum| stratum.broken_s.first).sum::<f64>()
    }

    /// A measure's sum, and the sum of its squares, over all cycles.
    pub(super) fn sums(&self, measure: Measure) -> (f64, f64) {
        let of = |stratum: &Stratum| stratum.measures[measure as usize];
        let squares = self.strata.iter().map(|stratum| of(stratum).square).sum();
        (self.strata.iter().map(|stratum| of(stratum).first).sum(), squares)
    }

    /// How much a measure amounts to for each second, and the standard error of that.
    pub(super) fn rate(&self, measure: Measure, calm_s: f64) -> (f64, f64) {
        let length_s = self.length_s(calm_s);
        let rate = self.sums(measure).0 / length_s;
        let variance: f64 = self.strata.iter().map(|stratum| stratum.variance(measure as usize, rate)).sum();
        (rate, libm::sqrt(variance) / length_s)
    }
}

fn add_all<const N: usize>(mine: &mut [f64; N], theirs: &[f64; N]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        *mine += theirs;
    }
}
