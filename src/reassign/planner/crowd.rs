//! How many replicas of each topic are on each broker.

use super::{Partition, index_u32};
use crate::reassign::cluster::Problem;

/// Topics of more partitions have a number for each broker; those of fewer, of which there may be many, are counted.
const COUNTED: usize = 8;

/// Replicas of topics on brokers, beside what would be level.
pub(super) struct Crowd {
    topics: Vec<Topic>,
    /// For each large topic its replicas on each broker.
    numbers: Vec<u16>,
    /// For each small topic its partitions.
    members: Vec<u32>,
    /// Replicas on each broker above their topic's ceiling, of large topics.
    above: Vec<u32>,
}

struct Topic {
    /// Where its numbers or members begin.
    start: usize,
    /// Members of a small one; `None` of a large one.
    members: Option<usize>,
    /// Most replicas of it that a broker should have.
    ceiling: u16,
}

impl Crowd {
    pub(super) fn new(problem: &Problem<'_>, partitions: &[Partition]) -> Crowd {
        let brokers = problem.is_target.len();
        let targets = problem.is_target.iter().filter(|it| **it).count().max(1);
        let (mut numbers, mut members) = (0, 0);
        let mut topics = Vec::with_capacity(problem.cluster.topics.len());
        for topic in &problem.cluster.topics {
            let wanted: usize = topic.partitions.clone().map(|it| usize::from(problem.levelled[it])).sum();
            let ceiling = u16::try_from(wanted.div_ceil(targets).max(1)).unwrap_or(u16::MAX);
            let len = topic.partitions.len();
            if len > COUNTED {
                topics.push(Topic { start: numbers, members: None, ceiling });
                numbers += brokers;
            } else {
                topics.push(Topic { start: members, members: Some(len), ceiling });
                members += len;
            }
        }
        let mut crowd = Crowd { topics, numbers: vec![0; numbers], members: vec![0; members], above: vec![0; brokers] };
        let mut filled = vec![0; crowd.topics.len()];
        for (partition, it) in partitions.iter().enumerate() {
            let topic = &crowd.topics[it.topic as usize];
            if topic.members.is_some() {
                crowd.members[topic.start + filled[it.topic as usize]] = index_u32(partition);
                filled[it.topic as usize] += 1;
            }
        }
        crowd
    }

    /// How many more replicas of a topic a broker may have; `is_on` tells whether a partition is on the broker.
    pub(super) fn room(&self, topic: u32, broker: u16, is_on: impl Fn(usize) -> bool) -> i32 {
        let it = &self.topics[topic as usize];
        let count = match it.members {
            None => i32::from(self.numbers[it.start + usize::from(broker)]),
            Some(1) => return i32::from(it.ceiling) - i32::from(is_on(self.members[it.start] as usize)),
            Some(len) => {
                let members = self.members[it.start..][..len].iter();
                members.map(|it| i32::from(is_on(*it as usize))).sum()
            }
        };
        i32::from(it.ceiling) - count
    }

    pub(super) fn add(&mut self, topic: u32, broker: u16) {
        let it = &self.topics[topic as usize];
        if it.members.is_none() {
            let count = &mut self.numbers[it.start + usize::from(broker)];
            *count += 1;
            self.above[usize::from(broker)] += u32::from(*count > it.ceiling);
        }
    }

    pub(super) fn remove(&mut self, topic: u32, broker: u16) {
        let it = &self.topics[topic as usize];
        if it.members.is_none() {
            let count = &mut self.numbers[it.start + usize::from(broker)];
            self.above[usize::from(broker)] -= u32::from(*count > it.ceiling);
            *count -= 1;
        }
    }

    /// Replicas on a broker above their topic's ceiling. Those of small topics are not counted.
    pub(super) fn above(&self, broker: u16) -> u32 {
        self.above[usize::from(broker)]
    }

    /// The same on all brokers.
    pub(super) fn above_in_all(&self) -> u64 {
        self.above.iter().map(|it| u64::from(*it)).sum()
    }
}
