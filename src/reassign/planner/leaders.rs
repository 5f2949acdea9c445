//! As many preferred leaders for each broker.

use super::{Work, index_u32};
use crate::reassign::cluster::BrokerIndex;

impl Work<'_> {
    /// Chooses preferred leaders, as level as can be, changing as few as can be.
    pub(super) fn lead(&mut self) {
        let brokers = self.counts.len();
        let targets = self.problem.is_target.iter().filter(|it| **it).count().max(1);
        let (low, high) = ((self.lists.len() / targets) as i64, self.lists.len().div_ceil(targets) as i64);
        let mut leaders = vec![0i64; brokers];
        let mut led: Vec<Vec<u32>> = vec![Vec::new(); brokers];
        for partition in 0..self.lists.len() {
            let old = self.problem.cluster.current.of(partition);
            // In the order there was; what is new takes the places of what is gone.
            let now = &self.lists[partition];
            let mut fresh =
                now.iter().copied().filter(|it| !old.contains(&BrokerIndex(*it))).collect::<Vec<_>>().into_iter();
            let mut list: Vec<u16> = Vec::with_capacity(now.len());
            for it in old {
                if now.contains(&it.0) {
                    list.push(it.0);
                } else if let Some(new) = fresh.next() {
                    list.push(new);
                }
            }
            list.extend(fresh);
            list.truncate(now.len());
            if let Some(first) = list.first() {
                leaders[usize::from(*first)] += 1;
                led[usize::from(*first)].push(index_u32(partition));
            }
            self.lists[partition] = list;
        }
        // Along partitions whose leader may be another one, from brokers that lead too many.
        loop {
            let is_target = |it: usize| self.problem.is_target[it];
            let over: Vec<usize> = (0..brokers).filter(|it| is_target(*it) && leaders[*it] > high).collect();
            let lacking = (0..brokers).any(|it| is_target(it) && leaders[it] < low);
            let starts: Vec<usize> = if !over.is_empty() {
                over.clone()
            } else if lacking {
                (0..brokers).filter(|it| leaders[*it] > low).collect()
            } else {
                return;
            };
            let limit = if over.is_empty() { low } else { high };
            let mut from: Vec<Option<(usize, u32)>> = vec![None; brokers];
            let mut seen = vec![false; brokers];
            starts.iter().for_each(|it| seen[*it] = true);
            let mut queue: std::collections::VecDeque<usize> = starts.into();
            let mut end = None;
            'search: while let Some(at) = queue.pop_front() {
                for partition in &led[at] {
                    let list = &self.lists[*partition as usize];
                    if list.first().map(|it| usize::from(*it)) != Some(at) {
                        continue;
                    }
                    for next in list.iter().skip(1).map(|it| usize::from(*it)) {
                        if seen[next] {
                            continue;
                        }
                        seen[next] = true;
                        from[next] = Some((at, *partition));
                        if leaders[next] < limit {
                            end = Some(next);
                            break 'search;
                        }
                        queue.push_back(next);
                    }
                }
            }
            let Some(mut at) = end else { return };
            while let Some((before, partition)) = from[at] {
                let list = &mut self.lists[partition as usize];
                if let Some(place) = list.iter().position(|it| usize::from(*it) == at) {
                    list.swap(0, place);
                }
                leaders[before] -= 1;
                leaders[at] += 1;
                led[at].push(partition);
                at = before;
            }
        }
    }
}
