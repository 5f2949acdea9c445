//! What faults do to brokers.

use super::{Fault, Flush, Partition, Stage};

impl Partition<'_> {
    /// A fault hits the broker of this number among those it can hit; `repair_s` gives times of repair, one for each that is down.
    pub(in super::super) fn strike(&mut self, fault: Fault, number: usize, mut repair_s: impl FnMut() -> f64) {
        match fault {
            Fault::Crash | Fault::PowerLoss | Fault::DiskLoss => {
                let up = (0..self.replicas.len()).filter(|broker| self.replicas[*broker].is_up());
                if let Some(broker) = up.clone().nth(number) {
                    self.crash(broker, fault, repair_s());
                }
            }
            Fault::SlowFollower => {
                let is_hit = |broker: &usize| {
                    self.replicas[*broker].stage == Stage::InSync && self.leader != Some(*broker) && self.is_leading
                };
                if let Some(broker) = (0..self.replicas.len()).filter(is_hit).nth(number) {
                    self.slow_down(broker, repair_s());
                }
            }
            Fault::ZonePowerLoss => {
                let zones = usize::from(self.model.rates.zones);
                for broker in (number..self.replicas.len()).step_by(zones) {
                    self.crash(broker, fault, repair_s());
                }
            }
            Fault::SitePowerLoss => {
                for broker in 0..self.replicas.len() {
                    self.crash(broker, fault, repair_s());
                }
            }
        }
        self.refresh();
    }

    /// A broker goes down, or loses power while it is down already: then it may take longer.
    fn crash(&mut self, broker: usize, fault: Fault, repair_s: f64) {
        if self.leader == Some(broker) && self.is_leading {
            self.stop_leading();
        }
        let now_s = self.now_s;
        let model = self.model;
        let replica = &mut self.replicas[broker];
        let durable = match fault {
            Fault::DiskLoss => -model.rates.partition_records,
            Fault::Crash | Fault::SlowFollower => replica.log_end,
            _ if model.configuration.flush == Flush::EveryRecord || model.age_s == 0.0 => replica.log_end,
            _ => replica.tail.end_at(now_s - model.age_s).min(replica.log_end),
        };
        if durable < replica.log_end {
            replica.log_end = durable;
            replica.cut_by = Some(fault);
        }
        if !matches!(fault, Fault::Crash) {
            replica.tail.is_durable(now_s, replica.log_end);
        }
        if replica.is_up() {
            replica.stage = Stage::Dead;
            replica.timer_s = now_s + model.rates.broker_session_timeout_s;
            // A broker registers again only after its earlier session has ended.
            replica.until_s = replica.timer_s.max(now_s + repair_s);
        } else {
            replica.until_s = replica.until_s.max(now_s + repair_s);
            if replica.stage == Stage::Fenced {
                replica.timer_s = replica.until_s;
            }
        }
    }

    /// The leader is gone; what it had acknowledged alone is in no follower's log.
    fn stop_leading(&mut self) {
        self.is_leading = false;
        let (staked, sent) = if self.per_s > 0.0 { (self.model.staked, self.model.sent) } else { (0.0, 0.0) };
        self.acked += sent;
        for (broker, replica) in self.replicas.iter_mut().enumerate() {
            if replica.stage == Stage::InSync && self.leader != Some(broker) {
                replica.log_end -= staked;
            }
        }
    }

    /// A follower stops fetching.
    fn slow_down(&mut self, broker: usize, length_s: f64) {
        let evicted_s = self.eviction_s();
        let replica = &mut self.replicas[broker];
        replica.stage = Stage::Slow;
        replica.until_s = self.now_s + length_s;
        replica.timer_s = replica.until_s.min(evicted_s);
    }
}
