//! One partition, its brokers and its controller, between faults: what is due next, and what it does.
//!
//! Records are a fluid here: logs are as long as rates and times make them, and the records between two ends are a number
//! with a fraction. Of logs only the part is kept that agrees with the newest leader's, so ends alone say who has what.

mod brokers;
mod controller;
mod faults;
#[cfg(test)]
mod tests;

use super::configuration::{Configuration, Flush};
use super::fault::Fault;
use super::loss::{Cause, Wait};
use super::rates::Rates;
use super::tail::Tail;
use super::{Acks, Strategy};
use brokers::Brokers;

/// What does not change from cycle to cycle.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) rates: Rates,
    pub(super) configuration: Configuration,
    replicas: usize,
    brokers: u32,
    min_isr: u32,
    majority: u32,
    is_majority: bool,
    waits_for_all: bool,
    /// Acknowledged records that no follower has, while the leader takes writes.
    staked: f64,
    /// Records on their way to the leader that count as acknowledged, of `acks=0`.
    sent: f64,
    /// How far back logs matter: 0 where power losses take nothing.
    age_s: f64,
}

impl Model {
    pub(super) fn new(configuration: &Configuration, rates: &Rates) -> Model {
        let has_power_losses = (rates.power_share > 0.0 && rates.mtbf_s.is_finite())
            || rates.zone_mtbf_s.is_finite()
            || rates.site_mtbf_s.is_finite();
        let sent = if configuration.acks == Acks::None { rates.records_per_s * rates.send_delay_s } else { 0.0 };
        let delay_s = if configuration.acks == Acks::All { 0.0 } else { rates.replication_delay_s };
        Model {
            rates: *rates,
            configuration: *configuration,
            replicas: usize::from(configuration.replication_factor),
            brokers: u32::from(configuration.replication_factor),
            min_isr: u32::from(configuration.min_isr()),
            majority: u32::from(configuration.majority()),
            is_majority: configuration.strategy == Strategy::Majority,
            waits_for_all: configuration.acks == Acks::All,
            staked: rates.records_per_s * delay_s,
            sent,
            age_s: if configuration.flush == Flush::Never && has_power_losses { rates.writeback_s } else { 0.0 },
        }
    }
}

/// How a broker is, and what its `timer_s` counts down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Up, with all the leader has. No timer.
    InSync,
    /// Up and behind; fetches until it is in sync.
    CatchingUp,
    /// Up, and does not fetch: until it is evicted or fetches again.
    Slow,
    /// Dead and taken for alive, until it is fenced.
    Dead,
    /// Dead and fenced, until it is back.
    Fenced,
}

/// One broker and its replica.
#[derive(Debug, Clone)]
struct Replica {
    stage: Stage,
    timer_s: f64,
    /// When a dead broker is back, or a slow one fetches again.
    until_s: f64,
    /// End of the part of its log that agrees with the leader's.
    log_end: f64,
    tail: Tail,
    /// What cut its log since it was in sync.
    cut_by: Option<Fault>,
    /// Whether it is in the ISR by an unclean election only.
    is_unclean: bool,
}

impl Replica {
    const fn is_up(&self) -> bool {
        matches!(self.stage, Stage::InSync | Stage::CatchingUp | Stage::Slow)
    }
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Due {
    /// A broker's stage ends.
    Broker(usize),
    /// The elected leader takes over.
    Leader,
    /// All is well, and was long enough for the past to be forgotten.
    Calm,
}

/// Acknowledged records that are gone, because the leader that took over had not got them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Loss {
    /// How many are expected to be.
    pub(super) records: f64,
    pub(super) cause: Cause,
}

/// The partition at one time of a cycle, which begins at 0 with all replicas in sync and broker 0 the leader.
#[derive(Debug, Clone)]
pub(super) struct Partition<'m> {
    model: &'m Model,
    pub(super) now_s: f64,
    replicas: Vec<Replica>,
    isr: Brokers,
    elr: Brokers,
    unfenced: Brokers,
    last_known: Option<usize>,
    leader: Option<usize>,
    /// Whether the leader is up and has taken over.
    is_leading: bool,
    takes_over_s: f64,
    calm_s: f64,
    /// End of what is acknowledged, and of the leader's log.
    acked: f64,
    /// Records a second that it takes now.
    per_s: f64,
    /// Why it takes no writes, if so.
    pub(super) wait: Option<Wait>,
    /// Whether it can be read from.
    pub(super) is_readable: bool,
    /// What was lost since this was taken.
    pub(super) loss: Option<Loss>,
    /// Brokers that are up, and followers that could become slow.
    pub(super) counts: (u32, u32),
}

impl<'m> Partition<'m> {
    pub(super) fn new(model: &'m Model) -> Partition<'m> {
        let stage = Stage::InSync;
        let tail = Tail::default();
        let replica =
            Replica { stage, timer_s: 0.0, until_s: 0.0, log_end: 0.0, tail, cut_by: None, is_unclean: false };
        let mut partition = Partition {
            model,
            now_s: 0.0,
            replicas: vec![replica; model.replicas],
            isr: Brokers::NONE,
            elr: Brokers::NONE,
            unfenced: Brokers::NONE,
            last_known: None,
            leader: None,
            is_leading: false,
            takes_over_s: 0.0,
            calm_s: 0.0,
            acked: 0.0,
            per_s: 0.0,
            wait: None,
            is_readable: true,
            loss: None,
            counts: (0, 0),
        };
        partition.reset();
        partition
    }

    /// All is well again, and was for long. The preferred leader leads, as `auto.leader.rebalance.enable` sees to.
    pub(super) fn reset(&mut self) {
        let model = self.model;
        for replica in &mut self.replicas {
            replica.stage = Stage::InSync;
            replica.timer_s = f64::INFINITY;
            replica.log_end = 0.0;
            replica.cut_by = None;
            replica.is_unclean = false;
            if model.age_s > 0.0 {
                replica.tail.grow_evenly(model.rates.records_per_s, model.age_s);
            }
        }
        self.now_s = 0.0;
        self.isr = Brokers::first(model.replicas);
        self.elr = Brokers::NONE;
        self.unfenced = self.isr;
        self.last_known = None;
        self.leader = Some(0);
        self.is_leading = true;
        self.takes_over_s = f64::INFINITY;
        self.calm_s = f64::INFINITY;
        self.acked = 0.0;
        self.per_s = model.rates.records_per_s;
        self.wait = None;
        self.is_readable = true;
        self.loss = None;
        self.counts = (model.brokers, model.brokers - 1);
    }

    /// Whether all is well, though perhaps not for long.
    pub(super) fn is_calm(&self) -> bool {
        self.calm_s.is_finite()
    }

    /// The next thing that happens if nothing breaks before.
    pub(super) fn due(&self) -> (f64, Due) {
        let mut due = (self.calm_s, Due::Calm);
        if self.takes_over_s < due.0 {
            due = (self.takes_over_s, Due::Leader);
        }
        for (broker, replica) in self.replicas.iter().enumerate() {
            if replica.timer_s < due.0 {
                due = (replica.timer_s, Due::Broker(broker));
            }
        }
        due
    }

    /// Lets time pass. Says how much.
    pub(super) fn advance(&mut self, to_s: f64) -> f64 {
        let passed_s = to_s - self.now_s;
        self.now_s = to_s;
        if passed_s > 0.0 && self.is_leading {
            self.acked += self.per_s * passed_s;
            for replica in &mut self.replicas {
                match replica.stage {
                    Stage::InSync => replica.log_end = self.acked,
                    Stage::CatchingUp => {
                        let end = replica.log_end + self.model.rates.catch_up_records_per_s * passed_s;
                        replica.log_end = end.min(self.acked);
                    }
                    Stage::Slow | Stage::Dead | Stage::Fenced => {}
                }
            }
        }
        passed_s
    }

    /// Does what is due.
    pub(super) fn happen(&mut self, due: Due) {
        match due {
            Due::Calm => return self.reset(),
            Due::Leader => self.take_over(),
            Due::Broker(broker) => match self.replicas[broker].stage {
                Stage::Dead => self.fence(broker),
                Stage::Fenced => self.come_back(broker),
                Stage::Slow => self.slow_on(broker),
                Stage::CatchingUp => self.join(broker),
                Stage::InSync => {}
            },
        }
        self.refresh();
    }

    /// What follows from who is where: whether writes and reads go on, how fast logs grow, when followers have caught up.
    fn refresh(&mut self) {
        let model = self.model;
        let (mut up, mut in_sync, mut fetching) = (0_u32, 0_u32, 0_u32);
        for (broker, replica) in self.replicas.iter().enumerate() {
            up += u32::from(replica.is_up());
            if replica.stage == Stage::InSync {
                in_sync += 1;
                fetching += u32::from(self.leader != Some(broker));
            }
        }
        self.counts = (up, if self.is_leading { fetching } else { 0 });
        self.is_readable = self.is_leading && (!model.is_majority || up >= model.majority);
        self.wait = self.reason_to_wait(in_sync);
        self.per_s = if self.wait.is_none() { model.rates.records_per_s } else { 0.0 };
        let is_calm = in_sync == model.brokers && self.is_leading;
        if is_calm && self.calm_s.is_infinite() {
            self.calm_s = self.now_s + model.age_s;
        } else if !is_calm {
            self.calm_s = f64::INFINITY;
        }
        let catch_up = model.rates.catch_up_records_per_s;
        for replica in &mut self.replicas {
            let mut per_s = 0.0;
            match replica.stage {
                Stage::InSync if self.is_leading => per_s = self.per_s,
                Stage::CatchingUp if self.is_leading => {
                    per_s = catch_up;
                    replica.timer_s = self.now_s + (self.acked - replica.log_end) / (catch_up - self.per_s);
                }
                Stage::CatchingUp => replica.timer_s = f64::INFINITY,
                _ => {}
            }
            if model.age_s > 0.0 && per_s.is_finite() {
                replica.tail.grow(self.now_s, replica.log_end, per_s, model.age_s);
            }
        }
    }

    fn reason_to_wait(&self, in_sync: u32) -> Option<Wait> {
        let model = self.model;
        let Some(leader) = self.leader else { return Some(Wait::NoLeader) };
        if !self.is_leading {
            let is_up = self.replicas[leader].is_up();
            return Some(if is_up { Wait::Election } else { Wait::NotNoticed });
        }
        if !model.waits_for_all {
            return None;
        }
        if model.is_majority {
            return (in_sync < model.majority).then_some(Wait::TooFewInSync);
        }
        if self.isr.count() < model.min_isr {
            return Some(Wait::TooFewInSync);
        }
        let members = self.replicas.iter().enumerate().filter(|(broker, _)| self.isr.has(*broker));
        let mut wait = None;
        for (_, member) in members {
            match member.stage {
                Stage::InSync => {}
                Stage::Slow | Stage::CatchingUp => wait = wait.or(Some(Wait::SlowFollower)),
                Stage::Dead | Stage::Fenced => wait = Some(Wait::NotNoticed),
            }
        }
        wait
    }
}
