//! How often a configuration loses acknowledged records, and how long it takes no writes, by simulating years of faults.
//!
//! One partition, its brokers and its controller, in continuous time; only changes of state are gone through. Rules are those
//! of Kafka 4.3: a dead broker is fenced after its session; the ISR shrinks and grows; an election takes the first live
//! replica of the ISR, else of the ELR, else the last known leader, else anyone if unclean elections are allowed; the high
//! watermark moves while the ISR is large enough. The other strategy, a majority, is there to compare with.
//!
//! ```text
//!  calm ── fault ──> fenced ── elected ── repaired ── caught up ──> calm      one cycle; rates = sums over cycles / their time
//!            └─ while broken, more faults, made frequent in some cycles and weighed for it ─┘
//! ```
//!
//! - [`Configuration`], [`Rates`]: what is compared, and how often things break. **The rates are the user's**: the outcome
//!   is as good as they are.
//! - [`simulate`]: one configuration; [`Grid`]: many, sorted by nines; [`report`]: both as text.
//! - [`closed`]: formulas that the simulation meets; [`waits`]: other things they tell, simulated.
//!
//! What is left out: records are a fluid, so loss is what is expected of Poisson arrivals; every crash is unclean, as there are
//! no controlled shutdowns (so nobody who was down is in the ELR when it returns); no broker is cut off while it is up, so
//! there are no zombie leaders; what is down breaks no more, except by power it shares; the controller never fails; a broker
//! has one disk, and followers that catch up do not slow each other down; moves back to the preferred leader take no time;
//! the faults of the protocol that the other simulators look for do not happen. Under a majority elections are as slow to
//! notice as in Kafka, and reads need one too.
//!
//! The same seed gives the same bytes on every machine, with any number of threads.

mod bias;
pub mod closed;
mod configuration;
mod cycle;
mod fault;
mod grid;
mod interval;
mod loss;
mod outcome;
mod partition;
mod rates;
pub mod report;
mod tail;
mod tally;
#[cfg(test)]
mod tests;
pub mod waits;

pub use configuration::{Configuration, Flush, REPLICAS_MAX};

pub use super::event::Acks;
pub use super::rules::Strategy;
pub use fault::Fault;
pub use grid::Grid;
pub use loss::{Cause, Wait};
pub use outcome::{Fraction, Losses, Outcome, ROUGH_BELOW};

pub use rates::{DAY_S, Rates, StatsError, YEAR_S};

use crate::replication::random::Random;
use cycle::Cycles;
use partition::Model;
use tally::Tally;

/// Parts into which all cycles are divided, whatever the number of threads.
const PORTIONS: u64 = 64;
/// Fewest and most cycles: fewer say nothing of their spread, more would not end.
const CYCLES: (f64, f64) = (4_096.0, 1e12);

/// How long to simulate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Partition-years for each configuration: 1 000 000.
    pub years: f64,
    /// Seed of the random numbers: 0.
    pub seed: u64,
    /// Threads, which change nothing but the time it takes: 1.
    pub threads: usize,
}

impl Default for Effort {
    fn default() -> Effort {
        Effort { years: 1e6, seed: 0, threads: 1 }
    }
}

/// What the configuration comes to.
///
/// ```
/// use logdir::replication::stats::{Configuration, Effort, Rates, simulate};
///
/// let effort = Effort { years: 1_000.0, ..Effort::default() };
/// let outcome = simulate(&Configuration::default(), &Rates::default(), &effort)?;
/// assert!(outcome.losses.high < 1e-3 && outcome.no_writes.value < 1e-3);
/// # Ok::<(), logdir::replication::stats::StatsError>(())
/// ```
pub fn simulate(configuration: &Configuration, rates: &Rates, effort: &Effort) -> Result<Outcome, StatsError> {
    rates.check(configuration)?;
    let model = Model::new(configuration, rates);
    let calm_s = Cycles::new(&model).calm_s();
    if !calm_s.is_finite() {
        return Err(StatsError::NoFaults);
    }
    let cycles = effort.years * YEAR_S / calm_s;
    if !(effort.years > 0.0 && cycles <= CYCLES.1) {
        return Err(StatsError::Years { found: effort.years, most: CYCLES.1 * calm_s / YEAR_S });
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between the fewest and the most")]
    let cycles = (cycles.max(CYCLES.0) as u64).next_multiple_of(bias::BIASED_EVERY);
    let portion = |number: u64| {
        let range = cycles * number / PORTIONS..cycles * (number + 1) / PORTIONS;
        Cycles::new(&model).run(range, &mut Random::new(effort.seed, number))
    };
    let threads = (effort.threads.max(1) as u64).min(PORTIONS);
    let mut tallies: Vec<(u64, Tally)> = std::thread::scope(|scope| {
        let portion = &portion;
        let share =
            |first: u64| move || (first..PORTIONS).step_by(stride(threads)).map(|it| (it, portion(it))).collect();
        let others: Vec<_> = (1..threads).map(|first| scope.spawn(share(first))).collect();
        let mut tallies: Vec<(u64, Tally)> = share(0)();
        for other in others {
            match other.join() {
                Ok(more) => tallies.extend::<Vec<_>>(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        tallies
    });
    tallies.sort_by_key(|(number, _)| *number);
    let mut tally = Tally::default();
    for (_, part) in &tallies {
        tally.merge(part);
    }
    Ok(Outcome::new(configuration, &tally, calm_s))
}

fn stride(threads: u64) -> usize {
    usize::try_from(threads).unwrap_or(1)
}
