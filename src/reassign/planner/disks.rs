//! Disks for the replicas of each broker.

use std::cmp::Reverse;

use crate::reassign::cluster::{Assignment, Cluster, Problem};
use crate::reassign::quota::{DiskShares, to_f64};

/// The disk of each replica of an assignment: where it is now, or where there is most room for one that is made anew. Where a
/// rule asks for it, replicas move between the disks of their broker, with as few bytes as come to what it asks for.
///
/// Empty where nothing is known of disks.
pub(super) fn disks(problem: &Problem<'_>, assignment: &Assignment) -> Vec<Option<u16>> {
    let cluster = problem.cluster;
    if cluster.disks.is_empty() {
        return Vec::new();
    }
    let mut by_broker: Vec<Vec<Replica>> = vec![Vec::new(); cluster.brokers.len()];
    let mut number = 0;
    for (partition, list) in assignment.iter().enumerate() {
        for broker in list {
            let disk = cluster.disk_of(partition, *broker);
            let has_been = cluster.current.of(partition).contains(broker);
            let size = to_f64(cluster.sizes[partition]);
            by_broker[broker.at()].push(Replica {
                number,
                size,
                disk,
                was_on: disk,
                has_been,
                is_fixed: problem.is_fixed[partition],
            });
            number += 1;
        }
    }
    let mut disks = vec![None; number];
    for (broker, mut replicas) in by_broker.into_iter().enumerate() {
        if cluster.brokers[broker].disks.is_empty() {
            continue;
        }
        // What is on a disk that nobody knows of stays there.
        replicas.retain(|it| it.disk.is_some() || !it.has_been);
        replicas.sort_by_key(|it| (Reverse(Size(it.size)), it.number));
        let total = replicas.iter().map(|it| it.size).sum();
        let mut shelf = Shelf::new(cluster, problem, broker, total, replicas);
        shelf.place();
        shelf.level();
        shelf.replicas.iter().for_each(|it| disks[it.number] = it.disk);
    }
    disks
}

/// A size to sort by.
#[derive(PartialEq)]
struct Size(f64);

impl Eq for Size {}

impl PartialOrd for Size {
    fn partial_cmp(&self, other: &Size) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Size {
    fn cmp(&self, other: &Size) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[derive(Debug, Clone, Copy)]
struct Replica {
    /// Its place in the assignment.
    number: usize,
    size: f64,
    disk: Option<u16>,
    was_on: Option<u16>,
    has_been: bool,
    is_fixed: bool,
}

/// The disks of one broker.
struct Shelf {
    shares: DiskShares,
    bytes: Vec<f64>,
    /// The largest first.
    replicas: Vec<Replica>,
    /// For each disk the replicas on it that may leave it, the largest first: those that are where they were, and those that are
    /// not.
    here: Vec<[Vec<usize>; 2]>,
}

impl Shelf {
    fn new(cluster: &Cluster, problem: &Problem<'_>, broker: usize, total: f64, replicas: Vec<Replica>) -> Shelf {
        let disks = &cluster.brokers[broker].disks;
        let shares = DiskShares::of(problem.rules, disks, total);
        let mut bytes = vec![0.0; disks.len()];
        for it in &replicas {
            if let Some(sum) = it.disk.and_then(|disk| bytes.get_mut(usize::from(disk))) {
                *sum += it.size;
            }
        }
        Shelf { shares, here: vec![[Vec::new(), Vec::new()]; disks.len()], bytes, replicas }
    }

    /// New replicas go where most is lacking, and where they fit.
    fn place(&mut self) {
        for number in 0..self.replicas.len() {
            let Replica { size, disk: None, .. } = self.replicas[number] else { continue };
            let best = (0u16..).zip(&self.bytes).max_by_key(|(disk, bytes)| {
                let at = usize::from(*disk);
                (**bytes + size <= self.shares.limit[at], Size(self.shares.fair[at] - **bytes), Reverse(*disk))
            });
            if let Some((disk, _)) = best {
                self.replicas[number].disk = Some(disk);
                self.bytes[usize::from(disk)] += size;
            }
        }
    }

    fn over(&self, disk: usize) -> f64 {
        self.bytes[disk] - self.shares.most[disk]
    }

    fn under(&self, disk: usize) -> f64 {
        self.shares.fewest[disk] - self.bytes[disk]
    }

    /// Moves replicas until every disk is within what the rules ask of it, or none helps.
    fn level(&mut self) {
        for number in 0..self.replicas.len() {
            self.list(number);
        }
        for _ in 0..2 * self.replicas.len() {
            let off = |it: &usize| self.over(*it).max(self.under(*it));
            let Some(worst) = (0..self.bytes.len()).max_by_key(|it| (Size(off(it)), Reverse(*it))) else { return };
            if off(&worst) < 1.0 {
                return;
            }
            let fill = |it: &usize| self.bytes[*it] - self.shares.fair[*it];
            let is_over = self.over(worst) > 0.0;
            let mut others: Vec<usize> = (0..self.bytes.len()).filter(|it| *it != worst).collect();
            others.sort_by_key(|it| Size(if is_over { fill(it) } else { -fill(it) }));
            let step = others.into_iter().find_map(|other| {
                let (from, to) = if is_over { (worst, other) } else { (other, worst) };
                self.pick(from, to, off(&worst)).map(|number| (number, from, to))
            });
            let Some((number, from, to)) = step else { return };
            self.here[from].iter_mut().for_each(|list| list.retain(|it| *it != number));
            self.replicas[number].disk = u16::try_from(to).ok();
            self.bytes[from] -= self.replicas[number].size;
            self.bytes[to] += self.replicas[number].size;
            self.list(number);
        }
    }

    /// Notes where a replica is now.
    fn list(&mut self, number: usize) {
        let it = &self.replicas[number];
        let Some(disk) = it.disk.map(usize::from).filter(|_| !it.is_fixed && it.size > 0.0) else { return };
        let list = &mut self.here[disk][usize::from(it.was_on != it.disk)];
        let place = list.partition_point(|other| *other < number);
        list.insert(place, number);
    }

    /// The replica that brings `need` bytes from the one disk to the other best: the largest that is not more, else the smallest
    /// that is; one that is not where it was before first, as it costs nothing.
    fn pick(&self, from: usize, to: usize, need: f64) -> Option<usize> {
        let room = (self.shares.most[to] - self.bytes[to]).min(self.bytes[from] - self.shares.fewest[from]);
        let size = |number: &usize| self.replicas[*number].size;
        let [home, free] = &self.here[from];
        let no_more = |list: &[usize]| list.get(list.partition_point(|it| size(it) > need.min(room))).copied();
        let more = |list: &[usize]| {
            let place = list.partition_point(|it| size(it) > need).checked_sub(1)?;
            list.get(place).copied().filter(|it| size(it) <= room)
        };
        no_more(free).or_else(|| no_more(home)).or_else(|| more(free)).or_else(|| more(home))
    }
}
