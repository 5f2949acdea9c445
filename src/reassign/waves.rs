//! A plan in waves: in an order in which no disk overflows at any moment, and in portions as large as wanted.
//!
//! While a wave runs, new replicas take room and old ones keep theirs: Kafka deletes what is given up when the new ones are
//! in sync. Room is therefore freed between waves only. First come the moves that empty the fullest disks, of those the
//! largest.

use std::collections::{BTreeMap, BTreeSet};

use super::changes::{Change, Layout, Place};
use super::cluster::{BrokerIndex, Cluster};
use super::inventory::Inventory;
use super::quota::to_f64;

/// So many changes that a wave has no place for are looked past for smaller ones behind them.
const LOOKED_PAST_MAX: usize = 256;

/// How large a wave may be.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Most bytes that are copied; a partition that alone has more is a wave of its own.
    pub bytes: Option<u64>,
    /// Most partitions that change.
    pub partitions: Option<usize>,
    /// Most partitions that change and of which a broker gains or gives up a replica.
    pub per_broker: Option<usize>,
    /// Part of each disk's capacity that is not filled.
    pub headroom: f64,
}

/// Changes that run at the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wave {
    /// Which, by their numbers among all.
    pub changes: Vec<usize>,
    /// Replicas that are made anew.
    pub replicas: u64,
    /// Bytes that are copied.
    pub bytes: u64,
    /// Most bytes that enter or leave one broker: divided by the throttle it is the shortest time that the wave takes.
    pub largest_flow: u64,
}

impl Wave {
    /// Seconds that it takes at least when no broker sends or receives more than so many bytes in a second.
    pub const fn seconds(&self, throttle: u64) -> u64 {
        if throttle == 0 { 0 } else { self.largest_flow.div_ceil(throttle) }
    }
}

/// Changes that no order makes room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRoom {
    /// The partition of one of them: that which lacks least.
    pub partition: usize,
    /// Where it is to go.
    pub place: Place,
    /// Bytes that are lacking there.
    pub lacking: u64,
    /// How many changes are stuck.
    pub stuck: usize,
    /// Waves before.
    pub waves: Vec<Wave>,
}

impl NoRoom {
    /// In words.
    pub fn told(&self, inventory: &Inventory) -> String {
        let (topic, number) = inventory.name(self.partition);
        let broker = inventory.cluster.brokers.get(self.place.broker.at());
        let disk = broker.zip(self.place.disk).and_then(|(broker, disk)| broker.disks.get(usize::from(disk)));
        let id = broker.map_or(-1, |broker| broker.id);
        let place = disk.map_or_else(|| format!("broker {id}"), |disk| format!("{} of broker {id}", disk.path));
        format!("{place} lacks {} bytes for {topic}-{number}", self.lacking)
    }
}

/// The order of `changes`.
///
/// Every change is in one wave; applied one after the other, waves come to the whole. The same input gives the same waves.
pub fn waves(cluster: &Cluster, changes: &[Change], limits: &Limits) -> Result<Vec<Wave>, Box<NoRoom>> {
    let mut rooms = Rooms::new(cluster, limits.headroom);
    let order = order(cluster, changes, &rooms);
    // By their place in the order: those to look at, and those that wait for room somewhere, by their size.
    let mut ready: BTreeSet<usize> = (0..changes.len()).collect();
    let mut waiting: BTreeMap<Place, BTreeSet<(u64, usize)>> = BTreeMap::new();
    let (mut waves, mut left) = (Vec::new(), changes.len());
    while left > 0 {
        let mut wave = Open::new(cluster.brokers.len());
        let (mut taken, mut parked, mut looked_past) = (Vec::new(), Vec::new(), 0);
        for rank in &ready {
            let change = &changes[order[*rank]];
            if let Some(place) = rooms.lacking(change).map(|(place, _)| place) {
                parked.push((*rank, place));
            } else if wave.takes(change, limits) {
                wave.add(order[*rank], change);
                rooms.take(change);
                taken.push(*rank);
            } else {
                looked_past += 1;
            }
            if looked_past > LOOKED_PAST_MAX || limits.partitions.is_some_and(|most| taken.len() >= most.max(1)) {
                break;
            }
        }
        for (rank, place) in parked {
            ready.remove(&rank);
            waiting.entry(place).or_default().insert((changes[order[rank]].bytes, rank));
        }
        if taken.is_empty() {
            // Whoever was not woken because another was to come first, and that one did not.
            let lacking = |(_, rank): &(u64, usize)| (rooms.lacking(&changes[order[*rank]]), *rank);
            let (stuck, free): (Vec<_>, Vec<_>) =
                waiting.values().flatten().map(lacking).partition(|(lacking, _)| lacking.is_some());
            if free.is_empty() {
                let least = stuck.iter().filter_map(|(lacking, rank)| {
                    let (place, lacking) = (*lacking)?;
                    Some((lacking, order[*rank], place))
                });
                let Some((lacking, change, place)) = least.min() else { break };
                let partition = changes[change].partition;
                return Err(Box::new(NoRoom { partition, place, lacking, stuck: left, waves }));
            }
            ready.extend(free.iter().map(|(_, rank)| *rank));
            waiting.values_mut().for_each(|queue| queue.retain(|(_, rank)| !ready.contains(rank)));
            continue;
        }
        let mut freed = BTreeSet::new();
        for rank in &taken {
            ready.remove(rank);
            rooms.leave(&changes[order[*rank]], &mut freed);
        }
        for place in freed {
            wake(place, &rooms, &mut waiting, &mut ready);
        }
        left -= taken.len();
        waves.push(wave.close());
    }
    Ok(waves)
}

/// Those that wait for room at `freed` and fit there now, the largest first, as many as fit together.
fn wake(
    freed: Place,
    rooms: &Rooms,
    waiting: &mut BTreeMap<Place, BTreeSet<(u64, usize)>>,
    ready: &mut BTreeSet<usize>,
) {
    let Some(queue) = waiting.get_mut(&freed) else { return };
    let mut room = rooms.at(freed).unwrap_or(i128::MAX);
    while let Some(next) = queue.range(..=(u64::try_from(room.max(0)).unwrap_or(u64::MAX), usize::MAX)).next_back() {
        let next = *next;
        if room <= 0 && next.0 > 0 {
            break;
        }
        room -= i128::from(next.0);
        queue.remove(&next);
        ready.insert(next.1);
    }
}

/// Numbers of changes: first those that leave the fullest disks, of equals the largest.
fn order(cluster: &Cluster, changes: &[Change], rooms: &Rooms) -> Vec<usize> {
    let full = |place: &Place| {
        let disks = cluster.brokers.get(place.broker.at()).map_or(&[][..], |broker| &broker.disks);
        let capacity = match place.disk {
            Some(disk) => disks.get(usize::from(disk)).and_then(|disk| disk.capacity),
            None => disks.iter().map(|disk| disk.capacity).sum(),
        };
        let (capacity, room) = (capacity.filter(|it| *it > 0)?, rooms.at(*place)?);
        // In thousandths, so that it can be compared.
        Some(1_000 - room.saturating_mul(1_000) / i128::from(capacity))
    };
    let key = |number: &usize| {
        let change = &changes[*number];
        let fullest = change.leaves.iter().filter_map(full).max().unwrap_or(0);
        (std::cmp::Reverse((fullest, change.bytes)), *number)
    };
    let mut order: Vec<usize> = (0..changes.len()).collect();
    order.sort_by_cached_key(key);
    order
}

/// What can still be put where.
struct Rooms {
    /// Of each disk of each broker; `None` where its capacity is not known.
    disks: Vec<Vec<Option<i128>>>,
    /// Of all disks of a broker; `None` where one of them is not known.
    brokers: Vec<Option<i128>>,
}

impl Rooms {
    fn new(cluster: &Cluster, headroom: f64) -> Rooms {
        #[expect(clippy::cast_possible_truncation, reason = "a part of a capacity")]
        let usable = |capacity: u64| i128::from(capacity) - (to_f64(capacity) * headroom) as i128;
        let of_broker =
            |broker: &super::cluster::Broker| broker.disks.iter().map(|disk| disk.capacity.map(usable)).collect();
        let disks: Vec<Vec<Option<i128>>> = cluster.brokers.iter().map(of_broker).collect();
        let brokers = disks.iter().map(|disks| if disks.is_empty() { None } else { disks.iter().copied().sum() });
        let mut rooms = Rooms { brokers: brokers.collect(), disks };
        let before = Layout::current(cluster);
        for partition in 0..cluster.partitions() {
            for place in before.places(cluster, partition) {
                rooms.add(place, -i128::from(cluster.sizes[partition]));
            }
        }
        rooms
    }

    fn add(&mut self, place: Place, bytes: i128) {
        let disk = place.disk.and_then(|disk| self.disks.get_mut(place.broker.at())?.get_mut(usize::from(disk)));
        for room in [disk.and_then(Option::as_mut), self.brokers.get_mut(place.broker.at()).and_then(Option::as_mut)]
            .into_iter()
            .flatten()
        {
            *room += bytes;
        }
    }

    /// Of a disk; of the whole broker where none is named.
    fn at(&self, place: Place) -> Option<i128> {
        match place.disk {
            Some(disk) => *self.disks.get(place.broker.at())?.get(usize::from(disk))?,
            None => *self.brokers.get(place.broker.at())?,
        }
    }

    /// Where a change has no room yet, and how much is lacking.
    fn lacking(&self, change: &Change) -> Option<(Place, u64)> {
        // Of equals the last counts, and says more.
        let places = change.gains.iter().flat_map(|gain| [Place { disk: None, ..*gain }, *gain]);
        let lacking = places.filter_map(|place| Some((place, i128::from(change.bytes) - self.at(place)?)));
        let lacking = lacking.filter(|(_, lacking)| *lacking > 0 && change.bytes > 0);
        lacking.max_by_key(|(_, it)| *it).map(|(place, it)| (place, u64::try_from(it).unwrap_or(u64::MAX)))
    }

    fn take(&mut self, change: &Change) {
        change.gains.iter().for_each(|gain| self.add(*gain, -i128::from(change.bytes)));
    }

    /// Gives room back, and adds where to `freed`.
    fn leave(&mut self, change: &Change, freed: &mut BTreeSet<Place>) {
        for leave in &change.leaves {
            self.add(*leave, i128::from(change.bytes));
            freed.extend([*leave, Place { disk: None, ..*leave }]);
        }
    }
}

/// A wave while it is filled.
struct Open {
    wave: Wave,
    /// Partitions by broker.
    partitions: Vec<usize>,
    inflow: Vec<u64>,
    outflow: Vec<u64>,
}

impl Open {
    fn new(brokers: usize) -> Open {
        Open {
            wave: Wave::default(),
            partitions: vec![0; brokers],
            inflow: vec![0; brokers],
            outflow: vec![0; brokers],
        }
    }

    fn takes(&self, change: &Change, limits: &Limits) -> bool {
        if self.wave.changes.is_empty() {
            return true;
        }
        let bytes = self.wave.bytes.saturating_add(copied(change));
        limits.bytes.is_none_or(|most| bytes <= most)
            && limits.partitions.is_none_or(|most| self.wave.changes.len() < most)
            && limits.per_broker.is_none_or(|most| brokers(change).all(|broker| self.partitions[broker] < most.max(1)))
    }

    fn add(&mut self, number: usize, change: &Change) {
        self.wave.changes.push(number);
        self.wave.bytes = self.wave.bytes.saturating_add(copied(change));
        self.wave.replicas += change.gains.len() as u64;
        brokers(change).for_each(|broker| self.partitions[broker] += 1);
        for gain in &change.gains {
            let inflow = &mut self.inflow[gain.broker.at()];
            *inflow = inflow.saturating_add(change.bytes);
            // A copy to another disk of a broker passes no other one.
            if let Some(source) = change.source.filter(|_| !change.is_within(*gain)) {
                let outflow = &mut self.outflow[source.at()];
                *outflow = outflow.saturating_add(change.bytes);
            }
        }
    }

    fn close(mut self) -> Wave {
        self.wave.largest_flow = self.inflow.into_iter().chain(self.outflow).max().unwrap_or(0);
        self.wave.changes.sort_unstable();
        self.wave
    }
}

/// Bytes that a change copies.
fn copied(change: &Change) -> u64 {
    change.bytes.saturating_mul(change.gains.len() as u64)
}

/// Brokers that gain or give up a replica, each once.
fn brokers(change: &Change) -> impl Iterator<Item = usize> {
    let gains = change.gains.iter().map(|place| place.broker);
    let is_within = |broker: &BrokerIndex| change.gains.iter().any(|gain| gain.broker == *broker);
    let leaves = change.leaves.iter().map(|place| place.broker).filter(move |broker| !is_within(broker));
    gains.chain(leaves).map(BrokerIndex::at)
}
