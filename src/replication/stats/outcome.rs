//! What a configuration comes to.

use std::fmt;

use super::bias::PLAIN_SHARE;
use super::configuration::Configuration;
use super::interval;
use super::loss::{Cause, Wait};
use super::rates::YEAR_S;
use super::tally::{Measure, Tally};

/// Losses with fewer effective samples than this are known roughly.
pub const ROUGH_BELOW: f64 = 30.0;

/// How often acknowledged records are lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses {
    /// Events in a partition-year; 0 where none was seen, and then only [`high`](Losses::high) means anything.
    pub per_year: f64,
    /// Lower bound of that at 95 %.
    pub low: f64,
    /// Upper bound at 95 %; one-sided where none was seen.
    pub high: f64,
    /// Cycles in which it happened.
    pub seen: u64,
    /// As many plain events tell as much as those that were seen with their weights.
    pub effective_samples: f64,
    /// Mean records lost in an event.
    pub records: Option<f64>,
}

impl Losses {
    /// Nines of partition-years without a loss: 3 means that one in a thousand has one. Of the bound where none was seen.
    pub fn nines(&self) -> f64 {
        let per_year = if self.seen == 0 { self.high } else { self.per_year };
        nines(-libm::expm1(-per_year))
    }
}

impl fmt::Display for Losses {
    /// `3.1e-9 a year (2.9e-9 to 3.3e-9)`, or `fewer than 2.4e-5 a year at 95 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seen == 0 {
            return write!(f, "fewer than {:.1e} a year at 95 %", self.high);
        }
        write!(f, "{:.1e} a year ({:.1e} to {:.1e})", self.per_year, self.low, self.high)
    }
}

/// A part of the time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fraction {
    /// Of 1.
    pub value: f64,
    /// Its standard error.
    pub standard_error: f64,
}

impl Fraction {
    /// Nines of the rest: 3 means that one part in a thousand is missing; infinite where nothing was seen to be.
    pub fn nines(&self) -> f64 {
        nines(self.value)
    }
}

fn nines(missing: f64) -> f64 {
    0.0 - libm::log10(missing.min(1.0))
}

/// What a configuration comes to, over so many partition-years.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Of what.
    pub configuration: Configuration,
    /// Partition-years that were gone through.
    pub years: f64,
    /// Cycles, each from one calm to the next.
    pub cycles: f64,
    /// Acknowledged records lost.
    pub losses: Losses,
    /// Time without writes at the level of `acks`.
    pub no_writes: Fraction,
    /// Time without a leader to read from.
    pub no_reads: Fraction,
    /// Losses a partition-year by cause, the most frequent first; only causes that were seen.
    pub causes: Vec<(Cause, f64)>,
    /// Time without writes by reason, the longest first; only reasons that were seen.
    pub waits: Vec<(Wait, f64)>,
}

impl Outcome {
    pub(super) fn new(configuration: &Configuration, tally: &Tally, calm_s: f64) -> Outcome {
        let length_s = tally.length_s(calm_s);
        let years = length_s / YEAR_S;
        let (sum, squares) = tally.sums(Measure::Losses);
        // Where none was seen, any of them might have been plain, and such a cycle counts for this at most.
        let largest = if tally.hits == 0 { 1.0 / PLAIN_SHARE } else { tally.largest };
        let (low, high) = interval::of_weights(sum, squares, largest);
        let losses = Losses {
            per_year: sum / years,
            low: low / years,
            high: high / years,
            seen: tally.hits,
            effective_samples: if squares > 0.0 { sum * sum / squares } else { 0.0 },
            records: (sum > 0.0).then(|| tally.sums(Measure::Records).0 / sum),
        };
        let fraction = |measure| {
            let (value, standard_error) = tally.rate(measure, calm_s);
            Fraction { value, standard_error }
        };
        Outcome {
            configuration: *configuration,
            years,
            cycles: tally.cycles(),
            losses,
            no_writes: fraction(Measure::NoWrites),
            no_reads: fraction(Measure::NoReads),
            causes: seen(&Cause::ALL, &tally.causes, years),
            waits: seen(&Wait::ALL, &tally.waits_s, length_s),
        }
    }

    /// What loses records most often.
    pub fn main_cause(&self) -> Option<Cause> {
        self.causes.first().map(|(cause, _)| *cause)
    }
}

/// Those above 0, the largest first; of equals the first named.
fn seen<T: Copy>(names: &[T], sums: &[f64], over: f64) -> Vec<(T, f64)> {
    let mut seen: Vec<(T, f64)> =
        names.iter().zip(sums).filter(|(_, sum)| **sum > 0.0).map(|(name, sum)| (*name, sum / over)).collect();
    seen.sort_by(|a, b| b.1.total_cmp(&a.1));
    seen
}
