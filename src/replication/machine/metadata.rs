//! What a broker does when it hears of the controller's newest state (`Partition.makeLeader`, `Partition.makeFollower`). It may
//! jump over several changes: it acts on the newest only.

use super::{Impossible, Step};
use crate::replication::broker_set::Broker;
use crate::replication::effect::{CutBy, Effect, Refusal};
use crate::replication::rules::{Strategy, Truncation};
use crate::replication::state::Role;

impl<S: FnMut(Effect), const N: usize> Step<'_, S, N> {
    /// The broker applies the controller's state.
    pub(super) fn metadata(&mut self, broker: Broker) -> Result<(), Impossible> {
        self.must_run(broker)?;
        let controller = &self.state.controller;
        let (leader, epoch, version) = (controller.leader, controller.leader_epoch, controller.partition_epoch);
        let replica = self.state.replica(broker);
        if replica.partition_epoch.is_some_and(|known| known >= version) {
            return Ok(());
        }
        let is_new_epoch = replica.partition_epoch.is_none() || epoch > replica.leader_epoch;
        self.state.replica_mut(broker).partition_epoch = Some(version);
        if leader == Some(broker) {
            self.lead(broker, epoch, is_new_epoch);
        } else if is_new_epoch {
            self.follow(broker, leader, epoch);
        }
        Ok(())
    }

    fn lead(&mut self, broker: Broker, epoch: u32, is_new_epoch: bool) {
        let (rules, isr) = (self.rules, self.isr_for_leader());
        let replica = self.state.replica_mut(broker);
        let led_before = replica.role == Role::Leader;
        replica.isr = isr;
        replica.pending = None;
        if is_new_epoch {
            replica.role = Role::Leader;
            replica.leader_epoch = epoch;
            replica.epoch_start = replica.leo();
            replica.asks = false;
            if matches!(rules.era.truncation(), Truncation::AskEpochAndEnd | Truncation::OnFetch) {
                let start = replica.leo();
                replica.epochs.assign(epoch, start);
            }
            // A leader that led before keeps what it knows of the ISR's offsets, however many epochs ago it learned it: S25.
            let keeps = led_before && !rules.switches.clear_rem;
            for other in rules.all().iter().filter(|&other| !keeps || !isr.has(other)) {
                replica.fetched[usize::from(other)] = None;
            }
            self.tell(Effect::Leads { broker, epoch });
        }
        self.advance_hw(broker);
    }

    fn isr_for_leader(&self) -> crate::replication::broker_set::BrokerSet {
        match self.rules.strategy {
            Strategy::AllIsr => self.state.controller.isr,
            Strategy::Majority => self.rules.all(),
        }
    }

    fn follow(&mut self, broker: Broker, leader: Option<Broker>, epoch: u32) {
        let truncation = self.rules.era.truncation();
        let replica = self.state.replica_mut(broker);
        replica.role = Role::Follower(leader);
        replica.leader_epoch = epoch;
        replica.asks = leader.is_some() && matches!(truncation, Truncation::AskEnd | Truncation::AskEpochAndEnd);
        replica.isr = crate::replication::broker_set::BrokerSet::NONE;
        replica.pending = None;
        replica.epoch_start = 0;
        replica.fetched = [None; N];
        replica.joining = crate::replication::broker_set::BrokerSet::NONE;
        let (waiting, hw) = (std::mem::take(&mut replica.waiting), replica.hw);
        self.tell(Effect::Follows { broker, leader, epoch });
        for request in waiting {
            self.tell(Effect::Unknown { record: request.record, why: Refusal::NotLeader });
        }
        if truncation == Truncation::ToHighWatermark && leader.is_some() {
            self.cut(broker, hw, CutBy::HighWatermark);
        }
    }
}
