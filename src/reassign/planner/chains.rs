//! Things on brokers that may stand on some others instead: chains of such changes bring numbers level.

use std::collections::VecDeque;

use super::Work;

/// What may change its broker.
pub(super) trait Choices {
    /// Partitions that may have something on a broker.
    fn here(&self, broker: u16) -> &[u32];
    /// The brokers where the partition's thing on `from` could be instead; none when it is no longer there.
    fn instead(&self, work: &Work<'_>, partition: usize, from: u16, number: usize) -> Option<u16>;
    /// Changes it.
    fn change(&mut self, work: &mut Work<'_>, partition: usize, from: u16, to: u16);
}

/// How many things brokers have, and how many they should.
pub(super) struct Numbers {
    pub(super) counts: Vec<i64>,
    /// Fewest and most of each.
    pub(super) quotas: Vec<(i64, i64)>,
}

impl Numbers {
    /// Brings the numbers as near to the quotas as chains of changes can; shorter chains first (Dinic's algorithm: all of the
    /// shortest in one go).
    pub(super) fn level(&mut self, work: &mut Work<'_>, choices: &mut impl Choices) {
        // First whoever has too many, to whoever has room; then whoever has too few, from whoever can spare one.
        for is_forced in [true, false] {
            let edge = |(low, high): (i64, i64)| if is_forced { high } else { low };
            while let Some(distance) = self.distances(work, choices, edge) {
                if !self.send_all(work, choices, edge, &distance) {
                    break;
                }
            }
        }
    }

    /// How far each broker is from one that has more than its edge; `None` when nobody with less can be reached.
    fn distances(&self, work: &Work<'_>, choices: &impl Choices, edge: impl Fn((i64, i64)) -> i64) -> Option<Vec<u32>> {
        let mut distance = vec![u32::MAX; self.counts.len()];
        let is_over = |it: &usize| self.counts[*it] > edge(self.quotas[*it]);
        let is_under = |it: usize| self.counts[it] < edge(self.quotas[it]);
        if !(0..self.counts.len()).any(is_under) {
            return None;
        }
        let mut queue: VecDeque<u16> = VecDeque::new();
        for broker in (0..self.counts.len()).filter(is_over) {
            distance[broker] = 0;
            queue.push_back(super::index_u16(broker));
        }
        let mut reached = None;
        while let Some(at) = queue.pop_front() {
            let next = distance[usize::from(at)] + 1;
            if reached.is_some_and(|it| next > it) {
                break;
            }
            for partition in choices.here(at) {
                for number in 0.. {
                    let Some(to) = choices.instead(work, *partition as usize, at, number) else { break };
                    let to_at = usize::from(to);
                    if distance[to_at] == u32::MAX {
                        distance[to_at] = next;
                        if is_under(to_at) {
                            reached = Some(next);
                        }
                        queue.push_back(to);
                    }
                }
            }
        }
        reached.map(|_| distance)
    }

    /// Makes changes along shortest chains until there is none left; whether there was one.
    fn send_all(
        &mut self,
        work: &mut Work<'_>,
        choices: &mut impl Choices,
        edge: impl Fn((i64, i64)) -> i64,
        distance: &[u32],
    ) -> bool {
        let mut has_sent = false;
        // Where to go on looking: what was in vain once is so until distances are new.
        let mut next: Vec<(usize, usize)> = vec![(0, 0); self.counts.len()];
        let mut chain: Vec<(u16, usize, u16)> = Vec::new();
        for start in 0..super::index_u16(self.counts.len()) {
            if distance[usize::from(start)] != 0 {
                continue;
            }
            chain.clear();
            while self.counts[usize::from(start)] > edge(self.quotas[usize::from(start)]) {
                let at = chain.last().map_or(start, |(_, _, to)| *to);
                let at_index = usize::from(at);
                if !chain.is_empty() && self.counts[at_index] < edge(self.quotas[at_index]) {
                    for (from, partition, to) in chain.drain(..).rev() {
                        choices.change(work, partition, from, to);
                        self.counts[usize::from(from)] -= 1;
                        self.counts[usize::from(to)] += 1;
                    }
                    has_sent = true;
                    continue;
                }
                let (item, number) = next[at_index];
                let Some(partition) = choices.here(at).get(item).map(|it| *it as usize) else {
                    // A dead end: whoever led here looks further.
                    let Some((from, _, _)) = chain.pop() else { break };
                    next[usize::from(from)].1 += 1;
                    continue;
                };
                match choices.instead(work, partition, at, number) {
                    None => next[at_index] = (item + 1, 0),
                    Some(to)
                        if distance[usize::from(to)] == distance[at_index] + 1
                            && chain.iter().all(|(_, it, _)| *it != partition) =>
                    {
                        chain.push((at, partition, to));
                    }
                    Some(_) => next[at_index].1 += 1,
                }
            }
        }
        has_sent
    }
}
