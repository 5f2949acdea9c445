//! How many replicas, and how many bytes, each broker should have.

use std::collections::BTreeMap;

use super::cluster::{Disk, Problem, Rules};

/// What is fair.
#[derive(Debug, Clone, PartialEq)]
pub struct Quotas {
    /// Fewest and most replicas of each broker, where counts are as level as the rules allow; (0, 0) of one that is drained.
    pub counts: Vec<(u64, u64)>,
    /// Fair bytes of each broker.
    pub bytes: Vec<f64>,
    /// Most preferred leaders of a broker.
    pub leaders: u64,
}

impl Quotas {
    /// What is fair under the rules.
    ///
    /// Where racks are of different sizes and replicas have to be spread over them, racks are filled like connected vessels,
    /// each between what it must and what it can have, and levelled inside.
    pub fn of(problem: &Problem<'_>) -> Quotas {
        let counts = counts(problem);
        let targets = problem.is_target.iter().filter(|it| **it).count() as u64;
        let total: f64 =
            problem.levelled.iter().zip(&problem.cluster.sizes).map(|(rf, size)| f64::from(*rf) * to_f64(*size)).sum();
        let weights: u64 = counts.iter().map(|(low, high)| low + high).sum();
        let share = |(low, high): &(u64, u64)| {
            if weights == 0 { 0.0 } else { total * to_f64(low + high) / to_f64(weights) }
        };
        let bytes = counts.iter().map(share).collect();
        Quotas { counts, bytes, leaders: (problem.cluster.partitions() as u64).div_ceil(targets.max(1)) }
    }
}

/// What is fair among the disks of a broker.
#[derive(Debug, Clone, PartialEq)]
pub struct DiskShares {
    /// Fair bytes of each: its part of the broker's, by capacity; all the same where a capacity is not known.
    pub fair: Vec<f64>,
    /// Fewest bytes it should have.
    pub fewest: Vec<f64>,
    /// Most.
    pub most: Vec<f64>,
    /// Most bytes it may have, with the head room that is asked for; infinite where its capacity is not known.
    pub limit: Vec<f64>,
}

impl DiskShares {
    /// Of so many bytes on these disks.
    pub fn of(rules: &Rules, disks: &[Disk], total: f64) -> DiskShares {
        let weights: Option<Vec<f64>> = disks.iter().map(|disk| disk.capacity.map(to_f64)).collect();
        let weights = weights.filter(|all| all.iter().sum::<f64>() > 0.0).unwrap_or_else(|| vec![1.0; disks.len()]);
        let all: f64 = weights.iter().sum();
        let fair: Vec<f64> = weights.iter().map(|weight| total * weight / all).collect();
        let limit: Vec<f64> = disks.iter().map(|disk| disk.limit(rules.headroom)).collect();
        let part =
            |more: f64| move |share: &f64| rules.disk_tolerance.map(|tolerance| share * (1.0 + more * tolerance));
        let fewest = fair.iter().map(|share| part(-1.0)(share).unwrap_or(0.0)).collect();
        let asked = |limit: &f64| if rules.headroom.is_some() { *limit } else { f64::INFINITY };
        let most = fair.iter().zip(&limit);
        let most = most.map(|(share, limit)| part(1.0)(share).unwrap_or(f64::INFINITY).min(asked(limit))).collect();
        DiskShares { fair, fewest, most, limit }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a byte in 2^53 does not matter for what is fair")]
pub(super) const fn to_f64(number: u64) -> f64 {
    number as f64
}

fn counts(problem: &Problem<'_>) -> Vec<(u64, u64)> {
    let racks = usize::from(problem.racks.max(1));
    let mut brokers = vec![0u64; racks];
    let rack_of = |broker: usize| problem.rack.get(broker).map_or(0, |rack| usize::from(*rack));
    for broker in (0..problem.is_target.len()).filter(|broker| problem.is_target[*broker]) {
        if let Some(count) = brokers.get_mut(rack_of(broker)) {
            *count += 1;
        }
    }
    // What each rack must and can have: a broker holds one replica of a partition at most.
    let mut by_factor: BTreeMap<u16, u64> = BTreeMap::new();
    for factor in &problem.levelled {
        *by_factor.entry(*factor).or_default() += 1;
    }
    let (mut least, mut most) = (vec![0u64; racks], vec![0u64; racks]);
    for (factor, partitions) in by_factor {
        let cap = u64::from(problem.rack_cap(factor));
        let can: Vec<u64> = brokers.iter().map(|count| cap.min(*count)).collect();
        let all: u64 = can.iter().sum();
        for (rack, can) in can.iter().enumerate() {
            most[rack] += can * partitions;
            least[rack] += u64::from(factor).saturating_sub(all - can) * partitions;
        }
    }
    let total = problem.total();
    let filled = |level: f64| -> f64 {
        (0..racks).map(|it| (to_f64(brokers[it]) * level).max(to_f64(least[it])).min(to_f64(most[it]))).sum()
    };
    let (mut low, mut high) = (0.0, to_f64(total) + 1.0);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if filled(middle) < to_f64(total) { low = middle } else { high = middle }
    }
    // Racks at one of their ends; the others share the rest.
    let mut fixed: Vec<Option<u64>> = vec![None; racks];
    let mut rest = total;
    for rack in 0..racks {
        let at = to_f64(brokers[rack]) * high;
        if at <= to_f64(least[rack]) + 1e-6 {
            fixed[rack] = Some(least[rack]);
        } else if at >= to_f64(most[rack]) - 1e-6 {
            fixed[rack] = Some(most[rack]);
        }
        rest = rest.saturating_sub(fixed[rack].unwrap_or(0));
    }
    let free: u64 = (0..racks).filter(|rack| fixed[*rack].is_none()).map(|rack| brokers[rack]).sum();
    let level = |count: u64, brokers: u64| match brokers {
        0 => (0, 0),
        _ => (count / brokers, count.div_ceil(brokers)),
    };
    let of = |broker: usize| {
        let rack = rack_of(broker);
        match fixed.get(rack) {
            _ if !problem.is_target[broker] => (0, 0),
            Some(Some(count)) => level(*count, brokers[rack]),
            _ => level(rest, free),
        }
    };
    (0..problem.is_target.len()).map(of).collect()
}
