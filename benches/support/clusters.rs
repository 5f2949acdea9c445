//! Clusters that brokers were added to, the same on every run.

use logdir::reassign::cluster::{Assignment, Broker, BrokerIndex, BrokerState, Cluster, Rules, Topic};

/// How large a cluster is.
pub struct Growth {
    pub partitions: usize,
    pub topics: usize,
    /// Brokers that have all replicas.
    pub brokers: usize,
    /// Brokers that have joined.
    pub added: usize,
    pub racks: usize,
}

/// A small generator of numbers (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize
    }

    /// In 0..1.
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Normally distributed (Box and Muller).
    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.part()).ln()).sqrt() * (std::f64::consts::TAU * self.part()).cos()
    }
}

/// Three replicas of each partition in three racks, spread as Kafka spreads them; sizes are log-normal, over topics and in them.
pub fn grown(growth: &Growth) -> (Cluster, Rules) {
    let Growth { partitions, topics, brokers, added, racks } = *growth;
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let broker = |number: usize| Broker {
        id: i32::try_from(number).unwrap(),
        rack: Some(format!("rack-{:02}", number % racks)),
        state: if number < brokers { BrokerState::Keep } else { BrokerState::New },
        disks: Vec::new(),
    };
    let all = (0..brokers + added).map(broker).collect();
    let mut cluster = Cluster { brokers: all, current: Assignment::new(), ..Cluster::default() };
    for topic in 0..topics {
        let first = cluster.sizes.len();
        let end = partitions * (topic + 1) / topics;
        let scale = 18.0 + numbers.normal() * 0.7;
        let start = numbers.next() % brokers;
        let mut shift = numbers.next() % brokers;
        for number in 0..end - first {
            let leader = (start + number) % brokers;
            if number % brokers == 0 {
                shift += 1;
            }
            let mut list = vec![leader];
            for follower in 1..3 {
                let mut rack = (leader + follower + shift) % racks;
                while list.iter().any(|it| it % racks == rack) {
                    rack = (rack + 1) % racks;
                }
                let place = (leader / racks + shift + follower * 7) % (brokers / racks);
                list.push(place * racks + rack);
            }
            let list: Vec<BrokerIndex> = list.into_iter().map(|it| BrokerIndex(u16::try_from(it).unwrap())).collect();
            cluster.sizes.push((scale + numbers.normal()).exp() as u64);
            cluster.current.push(&list);
        }
        cluster.topics.push(Topic { name: format!("topic-{topic}"), partitions: first..end });
    }
    (cluster, Rules { spreads_racks: true, bytes_tolerance: Some(0.1), ..Rules::default() })
}
