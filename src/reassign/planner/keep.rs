//! Replicas that may stay.

use std::cmp::Reverse;

use super::chains::{Choices, Numbers};
use super::{Work, index_u32};

impl Work<'_> {
    /// Keeps what may stay. Of several that could go, the one whose broker has most above its quota goes.
    pub(super) fn keep(&mut self) {
        for partition in 0..self.partitions.len() {
            for number in 0..self.old(partition).len() {
                let broker = self.old(partition)[number];
                let at = usize::from(broker);
                let stays = self.problem.is_target[at] || self.problem.is_excluded(at);
                if stays || self.partitions[partition].is_fixed {
                    self.add(partition, broker);
                }
            }
        }
        let mut cut = Vec::new();
        for partition in 0..self.partitions.len() {
            let mut was_cut = false;
            while let Some((gone, is_over)) = self.surplus(partition) {
                self.remove(partition, gone);
                was_cut |= is_over;
            }
            if was_cut {
                cut.push(partition);
            }
        }
        self.trade_cuts(&cut);
    }

    /// A replica that has to go, and whether that is because the partition has too many.
    fn surplus(&self, partition: usize) -> Option<(u16, bool)> {
        if self.partitions[partition].is_fixed {
            return None;
        }
        let list = self.list(partition);
        let wanted = self.partitions[partition].wanted;
        let rack = |broker: u16| self.problem.rack[usize::from(broker)];
        let crowd = |broker: u16| list.iter().filter(|it| rack(**it) == rack(broker)).count();
        let most = if self.problem.has_racks() { list.iter().map(|it| crowd(*it)).max()? } else { 0 };
        let is_over = list.len() > usize::from(wanted);
        if !is_over && most <= usize::from(self.problem.rack_cap(wanted)) {
            return None;
        }
        let above = |it: u16| self.counts[usize::from(it)] - self.quotas.counts[usize::from(it)].1 as i64;
        let is_target = |it: u16| self.problem.is_target[usize::from(it)];
        let may_go = list.iter().copied().filter(|it| (most <= 1 || crowd(*it) == most) && (is_over || is_target(*it)));
        Some((may_go.max_by_key(|it| (is_target(*it), above(*it), Reverse(*it)))?, is_over))
    }

    /// What was cut could have been another replica: levels counts by that, which costs nothing.
    fn trade_cuts(&mut self, cut: &[usize]) {
        if cut.is_empty() {
            return;
        }
        let mut cuts = Cuts { here: vec![Vec::new(); self.counts.len()] };
        for partition in cut {
            for broker in self.list(*partition) {
                cuts.here[usize::from(*broker)].push(index_u32(*partition));
            }
        }
        let quotas = self.quotas.counts.iter().map(|(low, high)| (*low as i64, *high as i64)).collect();
        Numbers { counts: self.counts.clone(), quotas }.level(self, &mut cuts);
    }
}

/// Partitions that could keep another replica than they do.
struct Cuts {
    here: Vec<Vec<u32>>,
}

impl Choices for Cuts {
    fn here(&self, broker: u16) -> &[u32] {
        &self.here[usize::from(broker)]
    }

    fn instead(&self, work: &Work<'_>, partition: usize, from: u16, number: usize) -> Option<u16> {
        if !work.list(partition).contains(&from) {
            return None;
        }
        let is_free = |it: &u16| work.problem.is_target[usize::from(*it)] && work.may(partition, *it, Some(from));
        work.old(partition).iter().copied().filter(is_free).nth(number)
    }

    fn change(&mut self, work: &mut Work<'_>, partition: usize, from: u16, to: u16) {
        work.remove(partition, from);
        work.add(partition, to);
        self.here[usize::from(to)].push(index_u32(partition));
    }
}
