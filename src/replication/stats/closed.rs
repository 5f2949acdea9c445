//! Formulas that the simulation must meet.
//!
//! The fractions hold for brokers that fail independently, each down a part `p` of its time, in a cluster that notices,
//! elects and catches up at once, and where any broker that is up may lead ([`Rates::ideal`](super::Rates::ideal) with unclean
//! elections allowed, or a majority). A clean election waits for the last in-sync replica instead, and is a little worse.

/// Part of the time in which at least `needed` of `brokers` are up.
///
/// ```
/// use logdir::replication::stats::closed::{at_least_up, few_up};
///
/// assert!((few_up(3, 1, 0.001) - 1.0e-9).abs() < 1e-18);
/// assert!((few_up(3, 2, 0.001) - 2.998e-6).abs() < 1e-12);
/// assert!((at_least_up(3, 3, 0.001) - 0.997_003).abs() < 1e-6);
/// assert!((few_up(5, 3, 0.001) - 9.985e-9).abs() < 1e-12);
/// ```
pub fn at_least_up(brokers: u8, needed: u8, p: f64) -> f64 {
    1.0 - few_up(brokers, needed, p)
}

/// Part of the time in which fewer than `needed` of `brokers` are up.
///
/// Summed up by itself: next to 1 it would be lost in rounding.
pub fn few_up(brokers: u8, needed: u8, p: f64) -> f64 {
    (0..needed.min(brokers + 1)).map(|up| exactly_up(brokers, up, p)).sum()
}

fn exactly_up(brokers: u8, up: u8, p: f64) -> f64 {
    let mut chance = 1.0;
    for number in 0..up {
        chance *= f64::from(brokers - number) / f64::from(number + 1) * (1.0 - p);
    }
    for _ in up..brokers {
        chance *= p;
    }
    chance
}

/// Mean wait for the fastest `needed` of `followers`, whose delays are independent and exponential with mean 1.
///
/// ```
/// use logdir::replication::stats::closed::mean_wait;
///
/// // A majority of 5 waits for 2 of 4 followers, an ISR of 3 for both of its 2.
/// assert!((mean_wait(2, 4) - (1.0 / 4.0 + 1.0 / 3.0)).abs() < 1e-12);
/// assert!((mean_wait(2, 2) - 1.5).abs() < 1e-12);
/// ```
pub fn mean_wait(needed: u8, followers: u8) -> f64 {
    (0..needed.min(followers)).map(|done| 1.0 / f64::from(followers - done)).sum()
}

/// Mean time until `down` of `brokers` are down together for the first time, from all up.
///
/// Each that is up fails, and each that is down is repaired, after an exponential time of these means.
pub fn mean_time_to_down(brokers: u8, down: u8, mtbf_s: f64, mttr_s: f64) -> f64 {
    let mut total = 0.0;
    let mut step = 0.0;
    for already in 0..down.min(brokers) {
        // From `already` down to one more, with all the ways back in between.
        let fail = f64::from(brokers - already) / mtbf_s;
        step = (1.0 + f64::from(already) / mttr_s * step) / fail;
        total += step;
    }
    total
}
