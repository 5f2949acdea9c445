//! One cycle: from the first fault after a calm until the next calm.
//!
//! Calm is all replicas in sync, for so long that the past does not matter. It has no memory, so cycles are independent,
//! and rates are what cycles bring on average over how long they take on average. The calm itself is not drawn: its mean is known.

use super::bias::{BIASED_EVERY, Bias, PLAIN_SHARE, Path};
use super::fault::{Fault, Hazards};
use super::partition::{Due, Model, Partition};
use super::tally::{Sample, Tally};
use crate::replication::random::Random;

/// Goes through cycles.
pub(super) struct Cycles<'m> {
    model: &'m Model,
    bias: Bias,
    partition: Partition<'m>,
    of_one: Hazards,
    calm: Hazards,
}

impl<'m> Cycles<'m> {
    pub(super) fn new(model: &'m Model) -> Cycles<'m> {
        let partition = Partition::new(model);
        let of_one = Hazards::of_one(&model.rates);
        let calm = of_one.times(partition.counts.0, partition.counts.1);
        Cycles { model, bias: Bias::new(&model.configuration, &model.rates), partition, of_one, calm }
    }

    /// Mean length of a calm, in seconds.
    pub(super) fn calm_s(&self) -> f64 {
        1.0 / self.calm.total
    }

    /// The cycles of these numbers.
    pub(super) fn run(&mut self, numbers: std::ops::Range<u64>, random: &mut Random) -> Tally {
        let mut tally = Tally::default();
        for number in numbers {
            let is_biased = number % BIASED_EVERY == BIASED_EVERY - 1;
            let sample = self.cycle(PLAIN_SHARE, is_biased, random);
            tally.add(is_biased, &sample);
        }
        tally
    }

    /// So many cycles, all of them plain: each counts for 1.
    #[cfg(test)]
    pub(super) fn run_plain(&mut self, cycles: u64, random: &mut Random) -> Tally {
        let mut tally = Tally::default();
        for _ in 0..cycles {
            let sample = self.cycle(1.0, false, random);
            tally.add(false, &sample);
        }
        tally
    }

    fn cycle(&mut self, plain_share: f64, is_biased: bool, random: &mut Random) -> Sample {
        let rates = &self.model.rates;
        let partition = &mut self.partition;
        let mut path = Path::new(&self.bias, plain_share, is_biased);
        let mut sample = Sample::default();
        let mut hazards = self.calm;
        let (mut own, mut biased) = (hazards.total, hazards.total);
        // The first fault is now: the calm before it counts as its mean.
        let mut patience = 0.0;
        loop {
            let (due_s, due) = partition.due();
            let changes_s = path.changes_s(partition.now_s);
            let next_s = due_s.min(changes_s);
            let fault_s = if own > 0.0 { partition.now_s + patience / own } else { f64::INFINITY };
            let is_fault = fault_s < next_s;
            let passed_s = partition.advance(if is_fault { fault_s } else { next_s });
            path.pass(passed_s, hazards.total, biased);
            let mut struck = None;
            if is_fault {
                struck = Some(path.choose(partition.now_s, &hazards, biased, random));
                patience = random.exponential();
            } else {
                patience -= passed_s * own;
            }
            if passed_s > 0.0 && (partition.wait.is_some() || !partition.is_readable) {
                sample.wait(path.weight() * passed_s, partition.wait, partition.is_readable);
            }
            if let Some((fault, part)) = struck {
                strike(partition, fault, part, rates.zones, || match fault {
                    Fault::SlowFollower => rates.slow_s * random.exponential(),
                    _ => rates.mttr_s * random.exponential(),
                });
            } else if due_s <= changes_s {
                if due == Due::Calm {
                    sample.broken_s = path.weight() * partition.now_s;
                    partition.happen(due);
                    return sample;
                }
                partition.happen(due);
                if let Some(loss) = partition.loss.take() {
                    sample.lose(path.weight(), loss);
                    path.rest();
                }
            }
            hazards = self.of_one.times(partition.counts.0, partition.counts.1);
            (own, biased) = path.rates(partition.now_s, hazards.total, !partition.is_calm());
        }
    }
}

fn strike(partition: &mut Partition<'_>, fault: Fault, part: f64, zones: u8, repair_s: impl FnMut() -> f64) {
    let (up, followers) = partition.counts;
    let among = match fault {
        Fault::Crash | Fault::PowerLoss | Fault::DiskLoss => up,
        Fault::SlowFollower => followers,
        Fault::ZonePowerLoss => u32::from(zones),
        Fault::SitePowerLoss => 1,
    };
    // The number chosen among so many, by where a uniform number falls.
    let number = (1..among).take_while(|next| part * f64::from(among) >= f64::from(*next)).count();
    partition.strike(fault, number, repair_s);
}
