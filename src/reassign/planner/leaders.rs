//! As many preferred leaders for each broker.

use super::chains::{Choices, Numbers};
use super::{Work, index_u32};

impl Work<'_> {
    /// Chooses preferred leaders, as level as can be, changing as few as can be.
    pub(super) fn lead(&mut self) {
        let brokers = self.counts.len();
        let mut counts = vec![0i64; brokers];
        let mut leaders = Leaders { led: vec![Vec::new(); brokers] };
        let mut list = Vec::new();
        for partition in 0..self.partitions.len() {
            self.keep_order(partition, &mut list);
            if let Some(first) = self.list(partition).first().map(|it| usize::from(*it)) {
                counts[first] += 1;
                if !self.partitions[partition].is_fixed {
                    leaders.led[first].push(index_u32(partition));
                }
            }
        }
        let targets = self.targets();
        let led: i64 = targets.iter().map(|it| counts[usize::from(*it)]).sum();
        let of_each = led / (targets.len().max(1) as i64);
        let (low, high) = (of_each, of_each + i64::from(of_each * targets.len() as i64 != led));
        let quotas = counts.iter().zip(&self.problem.is_target);
        let quotas = quotas.map(|(count, is_target)| if *is_target { (low, high) } else { (*count, *count) }).collect();
        Numbers { counts, quotas }.level(self, &mut leaders);
    }

    /// Lists a partition's brokers in the order there was; what is new takes the places of what is gone.
    fn keep_order(&mut self, partition: usize, list: &mut Vec<u16>) {
        list.clear();
        let (old, now) = (self.old(partition), self.list(partition));
        let mut fresh = now.iter().filter(|it| !old.contains(it));
        list.extend(old.iter().filter_map(|it| if now.contains(it) { Some(it) } else { fresh.next() }));
        list.extend(fresh);
        let it = &self.partitions[partition];
        self.places[it.start as usize..][..list.len()].copy_from_slice(list);
    }
}

/// Partitions that each broker leads, and some that it did.
struct Leaders {
    led: Vec<Vec<u32>>,
}

impl Choices for Leaders {
    fn here(&self, broker: u16) -> &[u32] {
        &self.led[usize::from(broker)]
    }

    fn instead(&self, work: &Work<'_>, partition: usize, from: u16, number: usize) -> Option<u16> {
        let (first, others) = work.list(partition).split_first()?;
        let mut others = others.iter().copied().filter(|it| work.problem.is_target[usize::from(*it)]);
        if *first == from { others.nth(number) } else { None }
    }

    fn change(&mut self, work: &mut Work<'_>, partition: usize, _from: u16, to: u16) {
        let it = &work.partitions[partition];
        let list = &mut work.places[it.start as usize..][..usize::from(it.len)];
        if let Some(place) = list.iter().position(|it| *it == to) {
            list.swap(0, place);
        }
        self.led[usize::from(to)].push(index_u32(partition));
    }
}
