//! States in 256 bits and back, exact: equal states are equal bits, and what comes back behaves the same.
//!
//! What only ever matters in comparison is kept as its comparison: whether a broker's metadata is the newest, whether the
//! broker epoch in a request is still that of the registration.

use smallvec::SmallVec;

use super::bits::{Reader, Writer};
use super::{Packed, Point, REPLICAS, Spent, has_questions};
use crate::replication::broker_set::{Broker, BrokerSet};
use crate::replication::epochs::Epochs;
use crate::replication::log::{Log, Record, Stored};
use crate::replication::rules::{Flush, Rules};
use crate::replication::state::{Controller, IsrRequest, Replica, Role, State, Waiting};

const OFFSET: u32 = 3;
const EPOCH: u32 = 3;
const BROKER: u32 = 2;
const RECORD: u32 = 2;

/// The state's bits.
pub(super) fn pack(rules: &Rules, point: &Point) -> Packed {
    let (mut out, state) = (Writer::default(), &point.state);
    let controller = &state.controller;
    let set = |set: BrokerSet| u32::from(set.0);
    out.put(index(controller.leader), BROKER);
    out.put(controller.leader_epoch, EPOCH);
    out.put(set(controller.isr), 3);
    out.put(set(controller.elr), 3);
    out.put(index(controller.last_known), BROKER);
    out.put(set(controller.unfenced), 3);
    out.put(state.next_record, 3);
    out.put(u32::from(point.acked), 4);
    out.put(u32::from(point.read), 4);
    for spent in [point.spent.fences, point.spent.elections, point.spent.power_losses, point.spent.kills] {
        out.put(u32::from(spent), 2);
    }
    for broker in rules.all().iter() {
        let replica = state.replica(broker);
        out.put(small(replica.leo()), OFFSET);
        for stored in replica.log.entries() {
            out.put(stored.record, RECORD);
            out.put(stored.epoch, EPOCH);
        }
        out.put(small(replica.hw), OFFSET);
        // All other entries of the cache follow from the log.
        match replica.epochs.entries().last().filter(|last| last.start == replica.leo()) {
            Some(last) => out.put(last.epoch << 1 | 1, EPOCH + 1),
            None => out.put(0, 1),
        }
        if !replica.up {
            out.put(0, 1);
            continue;
        }
        out.put(1, 1);
        let role = match replica.role {
            Role::None => 0,
            Role::Leader => 1,
            Role::Follower(None) => 2,
            Role::Follower(Some(leader)) => 3 + u32::from(leader),
        };
        out.put(role, 3);
        if replica.role == Role::None {
            continue;
        }
        out.put(replica.leader_epoch, EPOCH);
        out.put(u32::from(replica.partition_epoch == Some(controller.partition_epoch)), 1);
        if has_questions(rules) {
            out.put(u32::from(replica.asks), 1);
        }
        if replica.role != Role::Leader {
            continue;
        }
        out.put(set(replica.isr), 3);
        match replica.pending {
            Some(IsrRequest { joins: Some((joins, epoch)), .. }) => {
                out.put(u32::from(joins) + 1, BROKER);
                out.put(u32::from(epoch == controller.broker_epoch[usize::from(joins)]), 1);
            }
            // In these scopes nobody asks to remove a follower.
            _ => out.put(0, BROKER),
        }
        out.put(small(replica.epoch_start), OFFSET);
        for other in rules.all().without(broker).iter() {
            out.put(small(replica.fetched[usize::from(other)].unwrap_or(0)), OFFSET);
        }
        out.put(replica.waiting.iter().fold(0, |waiting, request| waiting | 1 << request.record), 4);
    }
    out.finish()
}

/// The state of these bits.
pub(super) fn unpack(rules: &Rules, packed: &Packed) -> Point {
    let mut bits = Reader::new(packed);
    let set = |bits: &mut Reader<'_>| BrokerSet(narrow(bits.take(3)));
    let controller = Controller {
        leader: broker(bits.take(BROKER)),
        leader_epoch: bits.take(EPOCH),
        partition_epoch: 1,
        isr: set(&mut bits),
        elr: set(&mut bits),
        last_known: broker(bits.take(BROKER)),
        unfenced: set(&mut bits),
        broker_epoch: [1; REPLICAS],
        last_broker_epoch: 1,
    };
    let next_record: Record = bits.take(3);
    let acked = byte(bits.take(4));
    let read = byte(bits.take(4));
    let spent = Spent {
        fences: byte(bits.take(2)),
        elections: byte(bits.take(2)),
        power_losses: byte(bits.take(2)),
        kills: byte(bits.take(2)),
    };
    let mut brokers: [Replica<REPLICAS>; REPLICAS] = std::array::from_fn(|_| Replica::empty());
    for own in rules.all().iter() {
        let replica = &mut brokers[usize::from(own)];
        let len = bits.take(OFFSET);
        let (mut log, mut epochs) = (Log::default(), Epochs::default());
        for _ in 0..len {
            let stored = Stored { record: bits.take(RECORD), epoch: bits.take(EPOCH) };
            epochs.assign(stored.epoch, log.end());
            log.push(stored);
        }
        replica.hw = u64::from(bits.take(OFFSET));
        if bits.take(1) == 1 {
            epochs.assign(bits.take(EPOCH), log.end());
        }
        replica.flushed = if rules.flush == Flush::Never { 0 } else { log.end() };
        (replica.log, replica.epochs) = (log, epochs);
        replica.up = bits.take(1) == 1;
        if !replica.up {
            continue;
        }
        replica.role = match bits.take(3) {
            0 => continue,
            1 => Role::Leader,
            2 => Role::Follower(None),
            leader => Role::Follower(Some(byte(leader - 3))),
        };
        replica.leader_epoch = bits.take(EPOCH);
        let current = bits.take(1);
        replica.partition_epoch = Some(current);
        replica.asks = has_questions(rules) && bits.take(1) == 1;
        if replica.role != Role::Leader {
            continue;
        }
        replica.isr = set(&mut bits);
        if let Some(joins) = broker(bits.take(BROKER)) {
            let isr = replica.isr.with(joins);
            replica.pending = Some(IsrRequest { isr, joins: Some((joins, bits.take(1))), partition_epoch: current });
        }
        replica.epoch_start = u64::from(bits.take(OFFSET));
        for other in rules.all().without(own).iter() {
            replica.fetched[usize::from(other)] = Some(u64::from(bits.take(OFFSET)));
        }
        let waiting = bits.take(4);
        let requests = (0..4).filter(|record| waiting >> record & 1 == 1);
        let request = |record| replica.log.find(record).map(|offset| Waiting { record, end: offset + 1 });
        replica.waiting = requests.filter_map(request).collect::<SmallVec<_>>();
    }
    Point { state: State { controller, brokers, next_record }, acked, read, spent }
}

/// 0 for none.
fn index(broker: Option<Broker>) -> u32 {
    broker.map_or(0, |broker| u32::from(broker) + 1)
}

fn broker(index: u32) -> Option<Broker> {
    index.checked_sub(1).map(byte)
}

#[expect(clippy::cast_possible_truncation, reason = "read from fewer bits than eight")]
fn byte(value: u32) -> u8 {
    value as u8
}

#[expect(clippy::cast_possible_truncation, reason = "read from fewer bits than sixteen")]
fn narrow(value: u32) -> u16 {
    value as u16
}

#[expect(clippy::cast_possible_truncation, reason = "offsets of a few records")]
fn small(offset: u64) -> u32 {
    offset as u32
}
