//! How little any plan could move that is valid and levels the counts.

use super::cluster::{BrokerIndex, Problem};
use super::measure::disk_bytes as bytes_of_disks;
use super::quota::{DiskShares, Quotas, to_f64};

/// Lower bounds that need no solver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Replicas that have to be made anew whatever is balanced: those of drained brokers, of a higher replication factor, and
    /// those that a rack has too many of.
    pub forced_replicas: u64,
    /// Their bytes.
    pub forced_bytes: u64,
    /// Replicas that have to be made anew so that counts are level too.
    pub replicas: u64,
    /// Bytes that have to be copied so that all brokers are within the tolerance too.
    pub bytes: u64,
    /// Bytes that have to go from disk to disk of their broker, so that all disks are within their tolerance of what is there now.
    pub disk_bytes: u64,
}

impl Bounds {
    /// Of these rules.
    pub fn of(problem: &Problem<'_>, quotas: &Quotas) -> Bounds {
        let cluster = problem.cluster;
        let brokers = problem.is_target.len();
        let (mut have, mut have_bytes) = (vec![0u64; brokers], vec![0u64; brokers]);
        let (mut keepable, mut forced_replicas, mut forced_bytes) = (0u64, 0u64, 0u64);
        let mut in_rack = vec![0u16; usize::from(problem.racks.max(1))];
        for (partition, replicas) in cluster.current.iter().enumerate() {
            let (wanted, size) = (problem.levelled[partition], cluster.sizes[partition]);
            // What is fixed stays, whatever racks say.
            let cap = if problem.is_fixed[partition] { u16::MAX } else { problem.rack_cap(problem.wanted[partition]) };
            in_rack.fill(0);
            let mut kept = 0u16;
            for BrokerIndex(broker) in replicas {
                let broker = usize::from(*broker);
                if !problem.is_target[broker] {
                    continue;
                }
                have[broker] += 1;
                have_bytes[broker] = have_bytes[broker].saturating_add(size);
                let count = &mut in_rack[usize::from(problem.rack[broker])];
                *count += 1;
                if !problem.has_racks() || *count <= cap {
                    kept += 1;
                }
            }
            let kept = u64::from(kept.min(wanted));
            keepable += kept;
            forced_replicas += u64::from(wanted) - kept;
            forced_bytes = forced_bytes.saturating_add((u64::from(wanted) - kept).saturating_mul(size));
        }
        let total = problem.total();
        let floor = |broker: usize| quotas.counts[broker].0;
        let base: u64 = (0..brokers).map(|broker| have[broker].min(floor(broker))).sum();
        let slots = total - (0..brokers).map(floor).sum::<u64>().min(total);
        let above = |broker: &usize| quotas.counts[*broker].1 > floor(*broker) && have[*broker] > floor(*broker);
        let extra = slots.min((0..brokers).filter(above).count() as u64);
        let by_count = total - keepable.min(base + extra);
        let bytes = match problem.rules.bytes_tolerance {
            Some(tolerance) if problem.rules.replication == super::cluster::Replication::Keep => {
                let lacking =
                    |broker: usize| (quotas.bytes[broker] * (1.0 - tolerance) - to_f64(have_bytes[broker])).max(0.0);
                let lacking: f64 = (0..brokers).map(lacking).sum();
                forced_bytes.max(whole(lacking))
            }
            _ => forced_bytes,
        };
        Bounds {
            forced_replicas,
            forced_bytes,
            replicas: forced_replicas.max(by_count),
            bytes,
            disk_bytes: disk_bytes(problem),
        }
    }
}

/// Bytes that are too many on some disks, or too few on others, whichever is more, over all brokers.
fn disk_bytes(problem: &Problem<'_>) -> u64 {
    if problem.rules.disk_tolerance.is_none() {
        return 0;
    }
    let bytes = bytes_of_disks(problem, &problem.cluster.current, &problem.cluster.disks);
    let of = |(broker, bytes): (&super::cluster::Broker, &Vec<u64>)| {
        let total = bytes.iter().map(|it| to_f64(*it)).sum();
        let shares = DiskShares::of(problem.rules, &broker.disks, total);
        let sum = |ends: &[f64], sign: f64| -> f64 {
            bytes.iter().zip(ends).map(|(bytes, end)| (sign * (to_f64(*bytes) - end)).max(0.0)).sum()
        };
        sum(&shares.most, 1.0).max(sum(&shares.fewest, -1.0))
    };
    whole(problem.cluster.brokers.iter().zip(&bytes).map(of).sum())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not below zero, and a bound")]
const fn whole(bytes: f64) -> u64 {
    bytes as u64
}
