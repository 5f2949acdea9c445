//! Before and after: what each broker, rack and disk has, and what a plan comes to beside the least that any could move.

use std::collections::BTreeMap;

use super::bounds::Bounds;
use super::changes::Layout;
use super::cluster::Problem;
use super::measure::{Moves, breach};
use super::quota::{Quotas, to_f64};

/// What somebody has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Replicas.
    pub replicas: u64,
    /// Partitions of which it is the preferred leader.
    pub leaders: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What a broker, a rack or a disk has before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Row {
    /// Before.
    pub before: Load,
    /// After.
    pub after: Load,
    /// Bytes that would be fair; `None` of what is to be emptied, and where nobody knows.
    pub fair_bytes: Option<f64>,
}

impl Row {
    /// Bytes after as a part of what would be fair.
    pub fn share(&self) -> Option<f64> {
        self.fair_bytes.filter(|fair| *fair > 0.0).map(|fair| to_f64(self.after.bytes) / fair)
    }
}

/// What a plan comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// By broker, in the order of the cluster's.
    pub brokers: Vec<Row>,
    /// By the name of the rack; empty where no broker has one.
    pub racks: BTreeMap<String, Row>,
    /// By disk of each broker. Replicas whose disk the broker is to choose are in none.
    pub disks: Vec<Vec<Row>>,
    /// What moves.
    pub moves: Moves,
    /// How little could.
    pub bounds: Bounds,
    /// Most bytes of one broker that no plan can be below: the mean.
    pub mean_bytes: u64,
    /// Most preferred leaders of a broker where they are level.
    pub leaders_max: u64,
    /// Partitions whose replicas break a rule, before and after.
    pub breaches: (usize, usize),
    /// Replicas above or below the level counts after.
    pub count_excess: u64,
}

impl Report {
    /// Of a plan.
    pub fn of(problem: &Problem<'_>, quotas: &Quotas, after: Layout<'_>) -> Report {
        let cluster = problem.cluster;
        let brokers = cluster.brokers.len();
        let mut report = Report {
            brokers: vec![Row::default(); brokers],
            racks: BTreeMap::new(),
            disks: cluster.brokers.iter().map(|broker| vec![Row::default(); broker.disks.len()]).collect(),
            moves: Moves::to_disks(problem, after.assignment, after.disks),
            bounds: Bounds::of(problem, quotas),
            mean_bytes: 0,
            leaders_max: quotas.leaders,
            breaches: (0, 0),
            count_excess: 0,
        };
        report.add(problem, Layout::current(cluster), |row| &mut row.before);
        report.add(problem, after, |row| &mut row.after);
        let (mut over, mut under, mut total) = (0, 0, 0u64);
        for (broker, row) in report.brokers.iter_mut().enumerate() {
            let (low, high) = quotas.counts[broker];
            if problem.is_target[broker] {
                row.fair_bytes = Some(quotas.bytes[broker]);
                over += row.after.replicas.saturating_sub(high);
                under += low.saturating_sub(row.after.replicas);
            }
            total = total.saturating_add(row.after.bytes);
        }
        report.count_excess = over.max(under);
        if problem.rules.only_disks {
            // Whoever leaves replica lists as they are is held to nothing else.
            (report.bounds.replicas, report.bounds.bytes, report.count_excess) = (0, 0, 0);
        }
        let targets = problem.is_target.iter().filter(|it| **it).count().max(1) as u64;
        report.mean_bytes = total.div_ceil(targets);
        report.sum_racks(problem);
        report.share_disks(problem);
        let broken = |layout: Layout<'_>| {
            (0..layout.assignment.len()).filter(|it| breach(problem, *it, layout.assignment.of(*it)).is_some()).count()
        };
        report.breaches = (broken(Layout::current(cluster)), broken(after));
        report
    }

    fn add(&mut self, problem: &Problem<'_>, layout: Layout<'_>, of: impl Fn(&mut Row) -> &mut Load) {
        for partition in 0..layout.assignment.len() {
            let bytes = problem.cluster.sizes[partition];
            for (number, place) in layout.places(problem.cluster, partition).enumerate() {
                let add = |row: &mut Row| {
                    let load = of(row);
                    load.replicas += 1;
                    load.leaders += u64::from(number == 0);
                    load.bytes = load.bytes.saturating_add(bytes);
                };
                let broker = place.broker.at();
                self.brokers.get_mut(broker).map(add);
                let disks = self.disks.get_mut(broker);
                disks.zip(place.disk).and_then(|(disks, disk)| disks.get_mut(usize::from(disk))).map(add);
            }
        }
    }

    fn sum_racks(&mut self, problem: &Problem<'_>) {
        for (broker, row) in problem.cluster.brokers.iter().zip(&self.brokers) {
            let Some(rack) = &broker.rack else { continue };
            let sum = self.racks.entry(rack.clone()).or_default();
            for (sum, load) in [(&mut sum.before, row.before), (&mut sum.after, row.after)] {
                sum.replicas += load.replicas;
                sum.leaders += load.leaders;
                sum.bytes = sum.bytes.saturating_add(load.bytes);
            }
            sum.fair_bytes = match (sum.fair_bytes, row.fair_bytes) {
                (Some(sum), Some(fair)) => Some(sum + fair),
                (sum, fair) => sum.or(fair),
            };
        }
    }

    /// A disk's fair part of its broker's bytes is its part of the broker's capacity.
    fn share_disks(&mut self, problem: &Problem<'_>) {
        for ((broker, rows), row) in problem.cluster.brokers.iter().zip(&mut self.disks).zip(&self.brokers) {
            let capacity: Option<u64> =
                broker.disks.iter().map(|disk| disk.capacity).try_fold(0u64, |sum, it| sum.checked_add(it?));
            let Some(capacity) = capacity.filter(|it| *it > 0 && !broker.state.is_emptied()) else { continue };
            for (disk, of_disk) in broker.disks.iter().zip(rows) {
                let part = to_f64(disk.capacity.unwrap_or(0)) / to_f64(capacity);
                of_disk.fair_bytes = Some(to_f64(row.after.bytes) * part);
            }
        }
    }

    /// How many times the least that could move does: of replicas and of bytes. `None` where the least is nothing, and
    /// something moves.
    pub fn ratios(&self) -> (Option<f64>, Option<f64>) {
        let ratio = |moved: u64, least: u64| match (moved, least) {
            (0, 0) => Some(1.0),
            (_, 0) => None,
            _ => Some(to_f64(moved) / to_f64(least)),
        };
        (ratio(self.moves.replicas, self.bounds.replicas), ratio(self.moves.bytes, self.bounds.bytes))
    }
}
