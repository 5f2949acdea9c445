//! Replicas that may stay.

use super::{Work, index_u16};

impl Work<'_> {
    /// Keeps what may stay. Of several that could go, the one whose broker has most above its quota goes.
    pub(super) fn keep(&mut self) {
        let cluster = self.problem.cluster;
        for partition in 0..cluster.partitions() {
            let targets = cluster.current.of(partition).iter().filter(|it| self.problem.is_target[it.at()]);
            for broker in targets.map(|it| it.0).collect::<Vec<_>>() {
                self.add(partition, broker);
            }
        }
        let mut cut = Vec::new();
        for partition in 0..cluster.partitions() {
            loop {
                let wanted = self.problem.wanted[partition];
                let cap = usize::from(self.problem.rack_cap(wanted));
                let list = &self.lists[partition];
                let rack = |broker: u16| self.problem.rack[usize::from(broker)];
                let crowd = |broker: u16| list.iter().filter(|it| rack(**it) == rack(broker)).count();
                let most = list.iter().map(|it| crowd(*it)).max().unwrap_or(0);
                let is_over = list.len() > usize::from(wanted);
                if !is_over && (!self.problem.has_racks() || most <= cap) {
                    break;
                }
                let must = self.problem.has_racks() && most > 1;
                let gone = list.iter().copied().filter(|it| !must || crowd(*it) == most).max_by_key(|it| {
                    (
                        self.counts[usize::from(*it)] - self.quotas.counts[usize::from(*it)].1 as i64,
                        std::cmp::Reverse(*it),
                    )
                });
                let Some(gone) = gone else { break };
                self.remove(partition, gone);
                if is_over {
                    cut.push(partition);
                }
            }
        }
        self.trade_cuts(&cut);
    }

    /// What was cut could have been another replica: levels counts by that, which costs nothing.
    pub(super) fn trade_cuts(&mut self, cut: &[usize]) {
        let brokers = self.counts.len();
        loop {
            // From brokers that have too many, along lists that may give one up for another that was there.
            let mut from: Vec<Option<(u16, usize)>> = vec![None; brokers];
            let mut seen = vec![false; brokers];
            let over: Vec<u16> = (0..index_u16(brokers))
                .filter(|it| {
                    self.problem.is_target[usize::from(*it)]
                        && self.counts[usize::from(*it)] > self.quotas.counts[usize::from(*it)].1 as i64
                })
                .collect();
            let lacking = (0..brokers).any(|it| self.counts[it] < self.quotas.counts[it].0 as i64);
            let is_forced = !over.is_empty();
            let starts: Vec<u16> = if is_forced {
                over
            } else if lacking {
                (0..index_u16(brokers))
                    .filter(|it| self.counts[usize::from(*it)] > self.quotas.counts[usize::from(*it)].0 as i64)
                    .collect()
            } else {
                return;
            };
            let mut edges: Vec<Vec<(u16, usize)>> = vec![Vec::new(); brokers];
            for partition in cut {
                let missing: Vec<u16> = self
                    .problem
                    .cluster
                    .current
                    .of(*partition)
                    .iter()
                    .map(|it| it.0)
                    .filter(|it| self.problem.is_target[usize::from(*it)] && !self.lists[*partition].contains(it))
                    .collect();
                for a in &self.lists[*partition] {
                    for b in &missing {
                        if self.may(*partition, *b, Some(*a)) {
                            edges[usize::from(*a)].push((*b, *partition));
                        }
                    }
                }
            }
            let mut queue: std::collections::VecDeque<u16> = starts.iter().copied().collect();
            starts.iter().for_each(|it| seen[usize::from(*it)] = true);
            let mut end = None;
            'search: while let Some(at) = queue.pop_front() {
                for (next, partition) in &edges[usize::from(at)] {
                    if seen[usize::from(*next)] {
                        continue;
                    }
                    seen[usize::from(*next)] = true;
                    from[usize::from(*next)] = Some((at, *partition));
                    let quota = self.quotas.counts[usize::from(*next)];
                    let limit = if is_forced { quota.1 } else { quota.0 };
                    if self.counts[usize::from(*next)] < limit as i64 {
                        end = Some(*next);
                        break 'search;
                    }
                    queue.push_back(*next);
                }
            }
            let Some(mut at) = end else { return };
            let mut path = Vec::new();
            while let Some((before, partition)) = from[usize::from(at)] {
                path.push((before, at, partition));
                at = before;
            }
            let mut used = std::collections::BTreeSet::new();
            for (a, b, partition) in path {
                if !used.insert(partition) || !self.lists[partition].contains(&a) || !self.may(partition, b, Some(a)) {
                    continue;
                }
                self.remove(partition, a);
                self.add(partition, b);
            }
        }
    }
}
