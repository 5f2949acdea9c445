//! What a broker does with a producer's record, and what a consumer sees.

use super::Step;
use crate::replication::broker_set::Broker;
use crate::replication::effect::{Effect, Refusal};
use crate::replication::event::Acks;
use crate::replication::log::{Log, Record, Stored};
use crate::replication::rules::{Flush, Rules, Strategy};
use crate::replication::state::Waiting;

/// Batches of a producer that a log remembers (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
const BATCHES_REMEMBERED: usize = 5;

/// What a log says of a producer's sequence.
enum Sequence {
    Next,
    Known(u64),
    Refused(Refusal),
}

impl<S: FnMut(Effect), const N: usize> Step<'_, S, N> {
    /// A record arrives at `at`, or at the controller's leader.
    pub(super) fn produce(&mut self, record: Record, acks: Acks, at: Option<Broker>) {
        let Some(broker) = at.or(self.state.controller.leader) else {
            return self.tell(Effect::Refused { record, why: Refusal::LeaderNotAvailable });
        };
        let (rules, replica) = (self.rules, self.state.replica(broker));
        if !replica.leads() {
            let why = if replica.up { Refusal::NotLeader } else { Refusal::Down };
            return self.tell(Effect::Refused { record, why });
        }
        let all_isr = rules.strategy == Strategy::AllIsr;
        if acks == Acks::All && all_isr && replica.isr.len() < rules.min_isr() {
            return self.tell(Effect::Refused { record, why: Refusal::NotEnoughReplicas });
        }
        let sequence = if rules.idempotence { sequence(rules, &replica.log, record) } else { Sequence::Next };
        let offset = match sequence {
            Sequence::Refused(why) => return self.tell(Effect::Refused { record, why }),
            Sequence::Known(offset) => {
                self.tell(Effect::Known { broker, record, offset });
                offset
            }
            Sequence::Next => self.append(broker, record, acks),
        };
        if acks == Acks::All {
            self.state.replica_mut(broker).waiting.push(Waiting { record, end: offset + 1 });
        } else {
            self.tell(Effect::Acked { record, offset, acks });
        }
        self.advance_hw(broker);
        // A record known already may be below the high watermark.
        self.answer_waiting(broker);
    }

    fn append(&mut self, broker: Broker, record: Record, acks: Acks) -> u64 {
        let replica = self.state.replica_mut(broker);
        let (offset, stored) = (replica.leo(), Stored { record, epoch: replica.leader_epoch });
        replica.log.push(stored);
        replica.epochs.assign(stored.epoch, offset);
        self.tell(Effect::Appended { broker, offset, stored, acks });
        self.flush_as_configured(broker);
        offset
    }

    /// Flushes when `log.flush.interval.messages` asks for it.
    pub(super) fn flush_as_configured(&mut self, broker: Broker) {
        let replica = self.state.replica_mut(broker);
        if matches!(self.rules.flush, Flush::Every(records) if replica.log.end() - replica.flushed >= records) {
            replica.flushed = replica.log.end();
        }
    }

    pub(super) fn consume(&mut self) {
        let Some(broker) = self.state.controller.leader else { return };
        let replica = self.state.replica(broker);
        if replica.leads() {
            let to = replica.hw;
            self.tell(Effect::Consumed { broker, to });
        }
    }
}

/// What `log` says of the record's sequence (`ProducerAppendInfo.checkSequence`, `ProducerStateEntry.findDuplicateBatch`).
fn sequence(rules: &Rules, log: &Log, record: Record) -> Sequence {
    let producers = rules.producers.max(1);
    let (mut end, mut remembered, mut last) = (log.end(), 0, None);
    for stored in log.entries().rev() {
        end -= 1;
        if stored.record % producers != record % producers {
            continue;
        }
        if stored.record == record {
            return Sequence::Known(end);
        }
        last = last.or(Some(stored.record));
        remembered += 1;
        if remembered == BATCHES_REMEMBERED {
            break;
        }
    }
    match last {
        // Of a producer that the log does not know any sequence is taken.
        None => Sequence::Next,
        Some(last) if record == last + producers => Sequence::Next,
        Some(last) if record > last => Sequence::Refused(Refusal::OutOfOrderSequence),
        Some(_) => Sequence::Refused(Refusal::DuplicateSequence),
    }
}
