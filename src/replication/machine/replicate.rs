//! Fetches, the questions of the older eras, and the high watermark.

use super::{Impossible, Step};
use crate::replication::broker_set::Broker;
use crate::replication::effect::{CutBy, Effect, Refusal};
use crate::replication::event::Acks;
use crate::replication::rules::{Strategy, Truncation};
use crate::replication::state::{IsrRequest, Role};

/// How a leader answers a fetch.
enum Answer {
    /// Records from the fetch offset to here, and this high watermark.
    Records { to: u64, hw: u64 },
    /// The logs are the same up to the end of this epoch.
    Diverging(crate::replication::epochs::EpochEnd),
    /// The fetch offset, or the follower's last epoch, is beyond the log.
    OutOfRange,
}

impl<S: FnMut(Effect), const N: usize> Step<'_, S, N> {
    /// A follower's fetch, and what it does with the answer.
    pub(super) fn fetch(&mut self, broker: Broker, lost: bool) -> Result<(), Impossible> {
        // Whoever follows nobody has nothing to fetch.
        let Some(leader) = self.leader_of(broker)? else { return Ok(()) };
        if self.state.replica(broker).asks {
            return Err(Impossible::AsksFirst(broker));
        }
        if let Some(why) = self.refusal(broker, leader, true) {
            self.tell(Effect::NotServed { broker, leader, why });
            return Ok(());
        }
        let answer = self.answer_fetch(broker, leader);
        if lost {
            self.tell(Effect::AnswerLost { broker, leader });
            return Ok(());
        }
        match answer {
            Answer::Records { to, hw } => self.take_records(broker, leader, to, hw),
            Answer::Diverging(end) => {
                let replica = self.state.replica(broker);
                let own = replica.epochs.end_of(end.epoch, replica.leo(), true);
                let to = own.map_or(end.end, |own| own.end.min(end.end)).min(replica.leo());
                self.cut(broker, to, CutBy::Divergence);
            }
            Answer::OutOfRange => {
                self.tell(Effect::NotServed { broker, leader, why: Refusal::OutOfRange });
                let leader_end = self.state.replica(leader).leo();
                if leader_end < self.state.replica(broker).leo() {
                    self.cut(broker, leader_end, CutBy::OutOfRange);
                }
            }
        }
        Ok(())
    }

    /// Whom a follower asks.
    fn leader_of(&self, broker: Broker) -> Result<Option<Broker>, Impossible> {
        self.must_run(broker)?;
        match self.state.replica(broker).role {
            Role::Follower(leader) => Ok(leader),
            _ => Ok(None),
        }
    }

    /// Why `leader` does not serve a fetch or a question of `broker`, if it does not.
    fn refusal(&self, broker: Broker, leader: Broker, fetch: bool) -> Option<Refusal> {
        let (follower, leader) = (self.state.replica(broker), self.state.replica(leader));
        if !leader.up {
            return Some(Refusal::Down);
        }
        if self.rules.switches.fence {
            match follower.leader_epoch.cmp(&leader.leader_epoch) {
                std::cmp::Ordering::Less => return Some(Refusal::FencedLeaderEpoch),
                std::cmp::Ordering::Greater => return Some(Refusal::UnknownLeaderEpoch),
                std::cmp::Ordering::Equal => {}
            }
        }
        // Without fencing a question is answered by whoever has the log.
        ((fetch || self.rules.switches.fence) && leader.role != Role::Leader).then_some(Refusal::NotLeader)
    }

    /// The leader's half of a fetch (`Partition.fetchRecords`, `Partition.updateFollowerFetchState`).
    fn answer_fetch(&mut self, broker: Broker, leader: Broker) -> Answer {
        let (offset, last_epoch) = {
            let follower = self.state.replica(broker);
            (follower.leo(), follower.epochs.last())
        };
        let replica = self.state.replica(leader);
        if self.rules.era.truncation() == Truncation::OnFetch
            && let Some(epoch) = last_epoch
        {
            match replica.epochs.end_of(epoch, replica.leo(), true) {
                None => return Answer::OutOfRange,
                Some(end) if end.epoch < epoch || end.end < offset => return Answer::Diverging(end),
                Some(_) => {}
            }
        }
        if offset > replica.leo() {
            return Answer::OutOfRange;
        }
        let most = self.rules.records_per_fetch.unwrap_or(u64::MAX);
        let (to, before) = (replica.leo().min(offset.saturating_add(most)), replica.hw);
        self.state.replica_mut(leader).fetched[usize::from(broker)] = Some(offset);
        self.maybe_ask_to_add(leader, broker, offset);
        self.advance_hw(leader);
        // An empty answer waits, and is read again when it is complete.
        Answer::Records { to, hw: if to > offset { before } else { self.state.replica(leader).hw } }
    }

    /// A follower that has caught up is proposed for the ISR (`Partition.maybeExpandIsr`).
    fn maybe_ask_to_add(&mut self, leader: Broker, broker: Broker, offset: u64) {
        let (rules, controller, replica) = (self.rules, &self.state.controller, self.state.replica(leader));
        if rules.strategy == Strategy::Majority
            || replica.isr.has(broker)
            || replica.pending.is_some()
            || !controller.unfenced.has(broker)
            || offset < replica.hw
            || (rules.switches.leso && offset < replica.epoch_start)
        {
            return;
        }
        let isr = replica.isr.with(broker);
        let joins = Some((broker, controller.broker_epoch[usize::from(broker)]));
        let request = IsrRequest { isr, joins, partition_epoch: replica.partition_epoch.unwrap_or(0) };
        self.state.replica_mut(leader).pending = Some(request);
        self.tell(Effect::IsrAsked { broker: leader, isr });
    }

    /// The follower's half (`ReplicaFetcherThread.processPartitionData`).
    fn take_records(&mut self, broker: Broker, leader: Broker, to: u64, hw: u64) {
        let epoch = self.state.replica(broker).leader_epoch;
        let from = self.state.replica(broker).leo();
        let mut at = from;
        while at < to {
            let Some(stored) = self.state.replica(leader).log.get(at) else { break };
            // KAFKA-18723: nothing from a leader epoch that the fetch was not made in.
            if stored.epoch > epoch {
                break;
            }
            let replica = self.state.replica_mut(broker);
            replica.log.push(stored);
            replica.epochs.assign(stored.epoch, at);
            at += 1;
        }
        if at > from {
            self.tell(Effect::Copied { broker, leader, from, to: at });
            self.flush_as_configured(broker);
        } else {
            self.tell(Effect::Idle { broker, leader });
        }
        self.set_hw(broker, hw.min(at));
    }

    /// A follower asks where its last epoch ends at the leader, and cuts its log there.
    pub(super) fn epoch_query(&mut self, broker: Broker) -> Result<(), Impossible> {
        let Some(leader) = self.leader_of(broker)?.filter(|_| self.state.replica(broker).asks) else {
            return Err(Impossible::NothingToAsk(broker));
        };
        if let Some(why) = self.refusal(broker, leader, false) {
            self.tell(Effect::NotServed { broker, leader, why });
            return Ok(());
        }
        let exact = self.rules.era.truncation() == Truncation::AskEpochAndEnd;
        let (asked, answering) = (self.state.replica(broker), self.state.replica(leader));
        let answer = asked.epochs.last().and_then(|epoch| answering.epochs.end_of(epoch, answering.leo(), exact));
        let (to, why, done) = match answer {
            None => (asked.hw, CutBy::HighWatermark, true),
            Some(end) if !exact => (end.end, CutBy::EpochEnd, true),
            Some(end) => match asked.epochs.end_of(end.epoch, asked.leo(), true) {
                Some(own) if own.epoch == end.epoch => (own.end.min(end.end), CutBy::EpochEnd, true),
                // It does not have that epoch: back to the end of the largest one below, and the question is put again.
                Some(own) => (own.end, CutBy::EpochEnd, false),
                None => (end.end, CutBy::EpochEnd, true),
            },
        };
        self.state.replica_mut(broker).asks = !done;
        self.cut(broker, to, why);
        Ok(())
    }

    /// Cuts a follower's log, and with it all that speaks of what was cut.
    pub(super) fn cut(&mut self, broker: Broker, to: u64, why: CutBy) {
        let replica = self.state.replica_mut(broker);
        let from = replica.leo();
        // Also where there is nothing to cut: an epoch without records may begin at the end (`UnifiedLog.truncateTo`).
        let epochs = replica.epochs.entries().len();
        replica.epochs.cut(to);
        if to >= from {
            if replica.epochs.entries().len() < epochs {
                self.tell(Effect::EpochsCut { broker, to });
            }
            return;
        }
        replica.log.cut(to);
        let to = replica.log.end();
        replica.flushed = replica.flushed.min(to);
        replica.hw_checkpoint = replica.hw_checkpoint.min(to);
        let hw = replica.hw.min(to);
        self.tell(Effect::Cut { broker, from, to, why });
        self.set_hw(broker, hw);
    }

    /// Moves a leader's high watermark as far as its followers allow, and answers the producers that waited
    /// (`Partition.maybeIncrementLeaderHW`).
    pub(super) fn advance_hw(&mut self, leader: Broker) {
        let (rules, replica) = (self.rules, self.state.replica(leader));
        let end_of = |broker: Broker| {
            if broker == leader { replica.leo() } else { replica.fetched[usize::from(broker)].unwrap_or(0) }
        };
        let new = match rules.strategy {
            Strategy::AllIsr => {
                if rules.switches.hw_needs_min_isr && replica.isr.len() < rules.min_isr() {
                    return;
                }
                let joining = if rules.switches.wait_for_joining {
                    replica.joining
                } else {
                    super::super::broker_set::BrokerSet::NONE
                };
                let counted = replica.maximal_isr(rules).or(joining);
                counted.iter().map(end_of).fold(replica.leo(), u64::min)
            }
            Strategy::Majority => {
                let mut ends: Vec<u64> = rules.all().iter().map(end_of).collect();
                ends.sort_unstable_by(|a, b| b.cmp(a));
                let most = ends.get(rules.majority() as usize - 1).copied().unwrap_or(0);
                // Only a record of its own epoch tells a leader that those before it are stored for good.
                if most <= replica.epoch_start { replica.hw } else { most }
            }
        };
        if new > replica.hw {
            self.set_hw(leader, new);
            self.answer_waiting(leader);
        }
    }

    /// Answers producers whose record is below the high watermark (`Partition.checkEnoughReplicasReachOffset`).
    pub(super) fn answer_waiting(&mut self, leader: Broker) {
        let (rules, replica) = (self.rules, self.state.replica(leader));
        let hw = replica.hw;
        if replica.waiting.iter().all(|waiting| waiting.end > hw) {
            return;
        }
        let enough = rules.strategy == Strategy::Majority || replica.maximal_isr(rules).len() >= rules.min_isr();
        let waiting = std::mem::take(&mut self.state.replica_mut(leader).waiting);
        for request in waiting {
            if request.end > hw {
                self.state.replica_mut(leader).waiting.push(request);
            } else if enough {
                self.tell(Effect::Acked { record: request.record, offset: request.end - 1, acks: Acks::All });
            } else {
                let why = Refusal::NotEnoughReplicasAfterAppend;
                self.tell(Effect::Unknown { record: request.record, why });
            }
        }
    }
}
