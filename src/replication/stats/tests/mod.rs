//! The simulation against formulas, and its promises.

mod availability;
mod loss;
mod promises;

use super::cycle::Cycles;
use super::partition::Model;
use super::tally::Measure;
use super::{Configuration, DAY_S, Effort, Flush, Outcome, Rates, Strategy, simulate};
use crate::replication::random::Random;

/// Years, one thread, a seed.
fn run(configuration: &Configuration, rates: &Rates, years: f64, seed: u64) -> Outcome {
    simulate(configuration, rates, &Effort { years, seed, threads: 1 }).unwrap()
}

/// Any broker that is up may lead, and nothing is lost to power.
fn all_isr(replication_factor: u8, min_insync_replicas: u8) -> Configuration {
    Configuration {
        replication_factor,
        min_insync_replicas,
        is_unclean_allowed: true,
        flush: Flush::EveryRecord,
        ..Configuration::default()
    }
}

fn majority(replication_factor: u8) -> Configuration {
    Configuration { strategy: Strategy::Majority, ..all_isr(replication_factor, 1) }
}

/// Down one part in a thousand of the time, and as the defaults of the command have it.
const IDEALS: [Rates; 2] = [Rates::ideal(999.0 * 600.0, 600.0), Rates::ideal(90.0 * DAY_S, 600.0)];

/// Rates and errors of all measures, from all cycles of a run and from as many plain ones.
fn plain_and_all(configuration: &Configuration, rates: &Rates, cycles: u64, seed: u64) -> [[(f64, f64); 4]; 2] {
    let model = Model::new(configuration, rates);
    let measures = [Measure::Losses, Measure::Records, Measure::NoWrites, Measure::NoReads];
    let mut runs = Cycles::new(&model);
    let all = runs.run(0..cycles, &mut Random::new(seed, 0));
    let plain = runs.run_plain(cycles, &mut Random::new(seed, 1));
    let calm_s = runs.calm_s();
    [all, plain].map(|tally| measures.map(|measure| tally.rate(measure, calm_s)))
}
