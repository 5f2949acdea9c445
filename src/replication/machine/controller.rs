//! The controller: who may lead, who is in sync (`ReplicationControlManager`, `PartitionChangeBuilder`).

use super::{Impossible, Step};
use crate::replication::broker_set::{Broker, BrokerSet};
use crate::replication::effect::{Effect, Refusal};
use crate::replication::rules::Strategy;
use crate::replication::state::IsrRequest;

/// A change of the partition that is being put together.
#[derive(Clone, Copy)]
struct Change {
    isr: BrokerSet,
    elr: BrokerSet,
}

impl<S: FnMut(Effect), const N: usize> Step<'_, S, N> {
    /// A follower is too slow: its leader asks to remove it (`Partition.maybeShrinkIsr`).
    pub(super) fn lag(&mut self, broker: Broker) -> Result<(), Impossible> {
        self.must_have_isr("lag")?;
        let leads = |leader: &Broker| {
            let replica = self.state.replica(*leader);
            replica.leads() && replica.isr.has(broker) && *leader != broker
        };
        let leader = self.state.controller.leader.filter(leads);
        let leader = leader.or_else(|| self.rules.all().iter().find(leads)).ok_or(Impossible::NotInIsr(broker))?;
        let replica = self.state.replica(leader);
        if replica.pending.is_some() {
            return Err(Impossible::AlreadyAsked(leader));
        }
        let isr = replica.isr.without(broker);
        let partition_epoch = replica.partition_epoch.unwrap_or(0);
        self.state.replica_mut(leader).pending = Some(IsrRequest { isr, joins: None, partition_epoch });
        self.tell(Effect::IsrAsked { broker: leader, isr });
        Ok(())
    }

    /// An ISR that a leader has asked for arrives (`ReplicationControlManager.alterPartition`).
    pub(super) fn alter_partition(&mut self, broker: Option<Broker>) -> Result<(), Impossible> {
        self.must_have_isr("alter-partition")?;
        let asked = |broker: &Broker| self.state.replica(*broker).up && self.state.replica(*broker).pending.is_some();
        let broker = match broker {
            Some(broker) => Some(broker).filter(asked).ok_or(Impossible::NotAsked(broker))?,
            None => {
                let waits = self.rules.all().iter().filter(asked);
                waits.max_by_key(|&waits| self.state.replica(waits).leader_epoch).ok_or(Impossible::NothingAsked)?
            }
        };
        let replica = self.state.replica(broker);
        let (Some(request), controller) = (replica.pending, &self.state.controller) else {
            return Err(Impossible::NotAsked(broker));
        };
        let is_current = controller.leader == Some(broker)
            && controller.leader_epoch == replica.leader_epoch
            && controller.partition_epoch == request.partition_epoch;
        if !is_current {
            self.tell(Effect::IsrRefused { broker, why: Refusal::StaleEpoch });
            return Ok(());
        }
        let is_registered = |(joins, epoch): (Broker, u32)| controller.broker_epoch[usize::from(joins)] == epoch;
        let is_eligible = request.isr.is_within(controller.unfenced)
            && (!self.rules.switches.broker_epoch_check || request.joins.is_none_or(is_registered));
        if !is_eligible {
            self.state.replica_mut(broker).pending = None;
            self.tell(Effect::IsrRefused { broker, why: Refusal::IneligibleReplica });
            self.advance_hw(broker);
            return Ok(());
        }
        let change = Change { isr: request.isr, elr: controller.elr };
        if self.rules.switches.bump_on_shrink && request.isr.len() < controller.isr.len() {
            self.state.controller.leader_epoch += 1;
        }
        self.commit(change, BrokerSet::NONE);
        Ok(())
    }

    /// A clean election that somebody asks for.
    pub(super) fn elect(&mut self, broker: Option<Broker>) -> Result<(), Impossible> {
        if self.rules.strategy == Strategy::Majority {
            return self.elect_by_majority();
        }
        let broker = broker.ok_or(Impossible::WhoElected)?;
        if self.state.controller.leader == Some(broker) {
            return Err(Impossible::LeadsAlready(broker));
        }
        let controller = &self.state.controller;
        let mut change = Change { isr: controller.isr, elr: controller.elr };
        if !self.is_valid(broker, change) {
            return Err(Impossible::NotElectable(broker));
        }
        self.install(broker, false, &mut change);
        self.commit(change, BrokerSet::NONE);
        Ok(())
    }

    /// Whoever has most of those that run, if they are a majority.
    fn elect_by_majority(&mut self) -> Result<(), Impossible> {
        let up = self.state.up(self.rules);
        let needed = self.rules.majority();
        let most = |&broker: &Broker| {
            let replica = self.state.replica(broker);
            (replica.log.last_epoch(), replica.leo(), std::cmp::Reverse(broker))
        };
        let winner = up.iter().max_by_key(most).filter(|_| up.len() >= needed);
        let winner = winner.ok_or(Impossible::NoMajority { up: up.len(), needed })?;
        let controller = &mut self.state.controller;
        controller.leader = Some(winner);
        controller.leader_epoch += 1;
        controller.partition_epoch += 1;
        let epoch = controller.leader_epoch;
        self.tell(Effect::Elected { broker: winner, epoch, unclean: false });
        Ok(())
    }

    /// The controller takes a broker for dead.
    pub(super) fn fence(&mut self, broker: Broker) -> Result<(), Impossible> {
        self.must_have_isr("fence")?;
        if !self.state.controller.unfenced.has(broker) {
            return Err(Impossible::Fenced(broker));
        }
        self.leave(broker);
        Ok(())
    }

    /// A broker leaves: out of the ISR, and somebody else leads.
    pub(super) fn leave(&mut self, broker: Broker) {
        let controller = &mut self.state.controller;
        controller.unfenced = controller.unfenced.without(broker);
        let change = Change { isr: self.without_member(broker), elr: self.state.controller.elr };
        let (isr, leader) = (self.state.controller.isr, self.state.controller.leader);
        if isr.has(broker) || leader == Some(broker) {
            self.settle(change, BrokerSet::NONE);
            let controller = &mut self.state.controller;
            // A new leader, or none, has a new epoch anyway (`triggerLeaderEpochBumpForIsrShrinkIfNeeded`).
            if self.rules.switches.bump_on_shrink
                && controller.leader == leader
                && leader.is_some()
                && controller.isr.len() < isr.len()
            {
                controller.leader_epoch += 1;
            }
        }
    }

    /// The ISR without a broker; without eligible leader replicas the last member stays.
    fn without_member(&self, broker: Broker) -> BrokerSet {
        let isr = self.state.controller.isr.without(broker);
        if isr.is_empty() && !self.rules.switches.elr { self.state.controller.isr } else { isr }
    }

    /// The controller takes a broker for alive.
    pub(super) fn unfence(&mut self, broker: Broker) -> Result<(), Impossible> {
        self.must_have_isr("unfence")?;
        self.must_run(broker)?;
        let controller = &mut self.state.controller;
        if controller.unfenced.has(broker) {
            return Err(Impossible::Unfenced(broker));
        }
        controller.unfenced = controller.unfenced.with(broker);
        if controller.leader.is_none() {
            let (change, version) = (Change { isr: controller.isr, elr: controller.elr }, controller.partition_epoch);
            self.settle(change, BrokerSet::NONE);
            let controller = &mut self.state.controller;
            if controller.leader.is_none() {
                // Nothing has changed, and that is not written (`PartitionChangeBuilder.changeRecordIsNoOp`).
                controller.partition_epoch = version;
            }
        }
        Ok(())
    }

    /// A broker registers. Without a valid clean-shutdown marker it may have lost what it had: it leaves the ELR.
    pub(super) fn register(&mut self, broker: Broker, is_clean: bool) {
        let elr = self.rules.switches.elr && self.rules.strategy == Strategy::AllIsr;
        let controller = &mut self.state.controller;
        controller.last_broker_epoch += 1;
        controller.broker_epoch[usize::from(broker)] = controller.last_broker_epoch;
        if elr && !is_clean && (controller.elr.has(broker) || controller.isr.has(broker)) {
            let change = Change { isr: controller.isr.without(broker), elr: controller.elr.without(broker) };
            self.settle(change, BrokerSet::only(broker));
        }
    }

    fn is_valid(&self, broker: Broker, change: Change) -> bool {
        self.state.controller.unfenced.has(broker)
            && (change.isr.has(broker) || (change.isr.is_empty() && change.elr.has(broker)))
    }

    /// Elects if the leader may not go on, and commits (`PartitionChangeBuilder.electLeader`).
    fn settle(&mut self, mut change: Change, unclean: BrokerSet) {
        let controller = &self.state.controller;
        let leader = controller.leader;
        if !leader.is_some_and(|leader| self.is_valid(leader, change)) {
            let last_known = controller.last_known.filter(|&last| controller.unfenced.has(last));
            let nobody = change.isr.is_empty() && change.elr.is_empty();
            if let Some(valid) = self.rules.all().iter().find(|&broker| self.is_valid(broker, change)) {
                self.install(valid, false, &mut change);
            } else if let Some(last) = last_known.filter(|_| self.rules.switches.elr && nobody) {
                self.install(last, true, &mut change);
            } else if let Some(live) = self
                .rules
                .all()
                .iter()
                .find(|&live| controller.unfenced.has(live))
                .filter(|_| self.rules.unclean_leader_election)
            {
                self.install(live, true, &mut change);
            } else if leader.is_some() {
                let controller = &mut self.state.controller;
                controller.leader = None;
                controller.leader_epoch += 1;
                if self.rules.switches.elr && controller.last_known.is_none() {
                    controller.last_known = leader;
                }
                let epoch = controller.leader_epoch;
                self.tell(Effect::NoLeader { epoch });
            }
        }
        self.commit(change, unclean);
    }

    fn install(&mut self, broker: Broker, unclean: bool, change: &mut Change) {
        let from_elr = !unclean && !change.isr.has(broker);
        if unclean {
            *change = Change { isr: BrokerSet::only(broker), elr: BrokerSet::NONE };
        } else if from_elr {
            *change = Change { isr: BrokerSet::only(broker), elr: change.elr.without(broker) };
        }
        let controller = &mut self.state.controller;
        if unclean {
            // What it had is not asked for any more.
            controller.isr = BrokerSet::only(broker);
        }
        controller.leader = Some(broker);
        controller.leader_epoch += 1;
        // While somebody leads nobody is the last who did (`PartitionChangeBuilder.maybeUpdateLastKnownLeader`).
        controller.last_known = None;
        let epoch = controller.leader_epoch;
        self.tell(Effect::Elected { broker, epoch, unclean });
    }

    /// Writes the change, with the ELR that follows from it (`PartitionChangeBuilder.maybePopulateTargetElr`).
    fn commit(&mut self, change: Change, unclean: BrokerSet) {
        let (elr_on, min_isr) = (self.rules.switches.elr, self.rules.min_isr());
        let controller = &mut self.state.controller;
        let before = (controller.isr, controller.elr);
        if !elr_on || change.isr.len() >= min_isr {
            controller.elr = BrokerSet::NONE;
        } else {
            controller.elr = change.elr.or(controller.isr).minus(change.isr).minus(unclean);
        }
        controller.isr = change.isr;
        controller.partition_epoch += 1;
        let now = (controller.isr, controller.elr);
        if before != now {
            self.tell(Effect::IsrChanged { isr: now.0, elr: now.1 });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::replication::event::Event;
    use crate::replication::play::play;
    use crate::replication::rules::{Era, Rules, Strategy};
    use crate::replication::state::State;

    fn after(steps: &[&str]) -> State {
        let rules = Rules { min_insync_replicas: 2, ..Rules::of(Era::Elr, 3) };
        let events: Vec<Event> = steps.iter().map(|step| Event::parse(step, 3).unwrap().0).collect();
        play(&rules, State::initial(&rules), &events).unwrap().last().clone()
    }

    /// Seen on Kafka 4.3.0: nobody leads, a member of the ELR comes back and leads, and `lastKnownElr` is empty.
    #[test]
    fn the_last_known_leader_is_kept_while_nobody_leads() {
        let fenced = ["fence b2", "fence b1", "fence b0"];
        let controller = after(&fenced).controller;
        assert_eq!((controller.leader, controller.last_known), (None, Some(0)));
        let controller = after(&[&fenced[..], &["unfence b1"]].concat()).controller;
        assert_eq!((controller.leader, controller.last_known), (Some(1), None));
    }

    /// Before metadata version 3.6 a shrinking ISR raises the leader epoch, and a new leader does not raise it twice.
    #[test]
    fn a_leader_epoch_is_raised_once() {
        let mut rules = Rules { min_insync_replicas: 2, ..Rules::of(Era::Fetch, 3) };
        rules.switches.bump_on_shrink = true;
        for (step, leader) in [("fence b0", 1), ("fence b2", 0)] {
            let event = Event::parse(step, 3).unwrap().0;
            let controller = play(&rules, State::initial(&rules), &[event]).unwrap().last().controller.clone();
            assert_eq!((controller.leader, controller.leader_epoch), (Some(leader), 1), "{step}");
        }
    }

    /// Who led is for the majority to say, also when a broker comes back.
    #[test]
    fn a_majority_elects_nobody_by_the_isr() {
        let rules = Rules { strategy: Strategy::Majority, ..Rules::of(Era::Elr, 3) };
        let steps = ["kill b0", "start b0"].map(|step| Event::parse(step, 3).unwrap().0);
        let timeline = play(&rules, State::initial(&rules), &steps).unwrap();
        assert_eq!((timeline.last().controller.leader, timeline.last().controller.leader_epoch), (Some(0), 0));
        assert!(timeline.rows.iter().all(|row| row.broken.is_empty()));
    }

    /// As above, but who comes back may not lead: the partition epoch stays.
    #[test]
    fn a_broker_that_comes_back_and_may_not_lead_changes_nothing() {
        let steps = ["kill b2", "fence b2", "fence b1", "fence b0", "start b2"];
        let before = after(&steps).controller;
        let controller = after(&[&steps[..], &["unfence b2"]].concat()).controller;
        assert_eq!((controller.leader, controller.partition_epoch), (None, before.partition_epoch));
        assert!(controller.unfenced.has(2));
    }
}
