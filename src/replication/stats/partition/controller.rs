//! What the controller and the leader decide: who is in sync, who may lead, who does.

use super::{Brokers, Cause, Loss, Partition, Stage};

/// Records fewer than this are the rounding of sums.
const NOTHING: f64 = 1e-6;

impl Partition<'_> {
    /// When a follower that stops fetching now is taken out of the ISR; never under a majority.
    pub(super) fn eviction_s(&self) -> f64 {
        if self.model.is_majority { f64::INFINITY } else { self.now_s + self.model.rates.replica_lag_time_max_s }
    }

    /// A dead broker's session ends: out of the ISR, and another leader if it led (`ReplicationControlManager.handleBrokerFenced`).
    pub(super) fn fence(&mut self, broker: usize) {
        self.unfenced = self.unfenced.without(broker);
        let replica = &mut self.replicas[broker];
        replica.stage = Stage::Fenced;
        replica.timer_s = replica.until_s;
        if !self.model.is_majority && self.isr.has(broker) {
            let is_last = self.isr.count() == 1;
            // Without the ELR the last member stays: it alone is sure to have everything.
            if self.model.configuration.has_elr || !is_last {
                self.change_isr(self.isr.without(broker));
            }
        }
        if self.leader == Some(broker) {
            self.elect();
        }
    }

    /// A broker is back. Nothing here stops cleanly, so it is taken out of the ELR (`handleUncleanBrokerShutdown`).
    pub(super) fn come_back(&mut self, broker: usize) {
        let replica = &mut self.replicas[broker];
        replica.stage = Stage::CatchingUp;
        replica.timer_s = f64::INFINITY;
        replica.log_end = replica.log_end.min(self.acked);
        self.elr = self.elr.without(broker);
        self.unfenced = self.unfenced.with(broker);
        if self.leader.is_none() {
            self.elect();
        }
    }

    /// A slow follower's time is up, by the leader's patience or because it fetches again.
    pub(super) fn slow_on(&mut self, broker: usize) {
        let replica = &mut self.replicas[broker];
        if self.now_s >= replica.until_s {
            replica.stage = Stage::CatchingUp;
            return;
        }
        replica.timer_s = replica.until_s;
        // Only a leader sees it; a new one begins to count anew.
        if self.is_leading && self.isr.has(broker) {
            self.change_isr(self.isr.without(broker));
        }
    }

    /// A follower has all the leader has: in sync, and in the ISR if it was not.
    pub(super) fn join(&mut self, broker: usize) {
        let replica = &mut self.replicas[broker];
        replica.stage = Stage::InSync;
        replica.timer_s = f64::INFINITY;
        replica.log_end = self.acked;
        (replica.cut_by, replica.is_unclean) = (None, false);
        if !self.isr.has(broker) {
            self.change_isr(self.isr.with(broker));
        }
    }

    /// Rule of the ELR (`PartitionChangeBuilder.maybeUpdateRecordEltr`): who leaves an ISR that is too small may still lead.
    fn change_isr(&mut self, isr: Brokers) {
        if isr.count() >= self.model.min_isr {
            self.elr = Brokers::NONE;
            self.last_known = None;
        } else if self.model.configuration.has_elr {
            self.elr = self.elr.or(self.isr).except(isr);
        }
        self.isr = isr;
    }

    /// Chooses a leader (`PartitionChangeBuilder.electLeader`), or none.
    fn elect(&mut self) {
        let old = self.leader;
        let new = if self.model.is_majority { self.majority_choice() } else { self.isr_choice() };
        self.is_leading = false;
        self.leader = new;
        self.takes_over_s = f64::INFINITY;
        match new {
            Some(_) => self.takes_over_s = self.now_s + self.model.rates.election_s,
            // Kept for the case that nobody is left; 4.x keeps one name.
            None if old.is_some() && self.model.configuration.has_elr => self.last_known = old,
            None => {}
        }
    }

    fn isr_choice(&mut self) -> Option<usize> {
        let in_sync = self.isr.and(self.unfenced);
        if !in_sync.is_empty() {
            return in_sync.lowest();
        }
        let eligible = if self.isr.is_empty() { self.elr.and(self.unfenced) } else { Brokers::NONE };
        let nobody_left = self.isr.is_empty() && self.elr.is_empty();
        let last_known = self.last_known.filter(|last| nobody_left && self.unfenced.has(*last));
        let new = if let Some(new) = eligible.lowest() {
            self.change_isr(Brokers::one(new));
            self.elr = self.elr.without(new);
            return Some(new);
        } else if last_known.is_some() {
            last_known
        } else if self.model.configuration.is_unclean_allowed {
            let new = self.unfenced.lowest();
            if let Some(new) = new {
                self.replicas[new].is_unclean = true;
            }
            new
        } else {
            None
        };
        if let Some(new) = new {
            self.isr = Brokers::one(new);
            self.elr = Brokers::NONE;
            self.last_known = None;
        }
        new
    }

    /// The longest log among those who answer, if they are enough.
    fn majority_choice(&self) -> Option<usize> {
        let up = || (0..self.replicas.len()).filter(|broker| self.replicas[*broker].is_up());
        if up().map(|_| 1).sum::<u32>() < self.model.majority {
            return None;
        }
        // Of equals the first: `max_by` takes the last.
        up().rev().max_by(|a, b| self.replicas[*a].log_end.total_cmp(&self.replicas[*b].log_end))
    }

    /// The elected leader serves, with the log it has. Everybody else's log is cut to what it shares with it.
    pub(super) fn take_over(&mut self) {
        self.takes_over_s = f64::INFINITY;
        let Some(leader) = self.leader.filter(|leader| self.replicas[*leader].is_up()) else { return };
        self.is_leading = true;
        let now_s = self.now_s;
        let evicted_s = self.eviction_s();
        let end = self.replicas[leader].log_end;
        let lost = self.acked - end;
        if lost > NOTHING {
            let cause = self.cause(leader, lost);
            self.loss = Some(Loss { records: lost, cause });
        }
        self.acked = end;
        for (broker, replica) in self.replicas.iter_mut().enumerate() {
            if replica.log_end > end {
                replica.log_end = end;
                if self.model.age_s > 0.0 {
                    replica.tail.cut(now_s, end);
                }
            }
            if broker == leader {
                replica.stage = Stage::InSync;
                replica.timer_s = f64::INFINITY;
                (replica.cut_by, replica.is_unclean) = (None, false);
                continue;
            }
            match replica.stage {
                Stage::InSync if replica.log_end < end => replica.stage = Stage::CatchingUp,
                Stage::Slow => replica.timer_s = replica.until_s.min(evicted_s),
                _ => {}
            }
        }
    }

    /// Why the log of the new leader lacks so many records.
    fn cause(&self, leader: usize, lost: f64) -> Cause {
        let replica = &self.replicas[leader];
        if replica.is_unclean {
            return Cause::UncleanElection;
        }
        if let Some(fault) = replica.cut_by {
            return Cause::of(fault);
        }
        if replica.stage == Stage::InSync || lost <= self.model.staked + self.model.sent + NOTHING {
            return Cause::NotReplicated;
        }
        if self.model.is_majority {
            // The best of a majority lacks what one of them had and lost.
            let voters = self.replicas.iter().filter(|replica| replica.is_up());
            if let Some(fault) = voters.filter_map(|replica| replica.cut_by).next() {
                return Cause::of(fault);
            }
        }
        Cause::SlowFollower
    }
}
