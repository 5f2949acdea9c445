//! One run.

use super::clock::Clock;
use super::faults::{Fault, swarm};
use super::times::Times;
use crate::replication::broker_set::{Broker, BrokerSet};
use crate::replication::effect::{Effect, Refusal};
use crate::replication::event::{Acks, Event};
use crate::replication::log::Record;
use crate::replication::machine::{Impossible, apply};
use crate::replication::random::Random;
use crate::replication::rules::{Rules, Strategy};
use crate::replication::state::{REPLICAS_MAX, Role, State};
use crate::replication::witness::{Violation, Witness};

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// What holds.
    pub rules: Rules,
    /// Level at which the client sends.
    pub acks: Acks,
    /// Kinds of faults.
    pub faults: Vec<Fault>,
    /// Whether each run draws its own set of them.
    pub swarm: bool,
    /// Events that change something, after which no more faults come and no more records are sent.
    pub steps: usize,
    /// How long things take.
    pub times: Times,
}

/// What a run was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Events that changed something, with their times in ms.
    pub events: Vec<(u64, Event)>,
    /// What clients saw.
    pub witness: Witness,
    /// Violations that held at some time, each kind once as it first was: event number from 1, and what.
    pub first: Vec<(usize, Violation)>,
    /// Violations that hold after everything has healed.
    pub at_end: Vec<Violation>,
    /// Rules of the protocol that were broken: a fault of the machine.
    pub broken: Vec<&'static str>,
    /// Longest time without a leader that runs, in ms.
    pub unavailable_ms: u64,
    /// Virtual time, in ms.
    pub lasted_ms: u64,
}

/// Things that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The client sends its next record.
    Send,
    /// The client sends again what is not answered.
    SendAgain,
    /// A broker's fetcher acts; outdated when its number is not the newest.
    Fetch(Broker, u32),
    /// A broker hears of the newest metadata.
    Metadata(Broker),
    /// A leader's request reaches the controller.
    AlterPartition(Broker),
    /// A leader looks for followers that lag.
    LagCheck,
    /// A session ends unless the broker was heard of: number of its start.
    SessionEnds(Broker, u32),
    Start(Broker),
    Unfence(Broker, u32),
    Checkpoint(Broker),
    Flush(Broker),
    Fault,
    /// The one of this number of [`Simulator::plan`].
    Planned(usize),
    End,
}

/// Something that is to happen at a time that is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planned {
    /// An event.
    Event(Event),
    /// A fault that lasts so many ms.
    Fault(Fault, Broker, u64),
}

/// What is known of a broker beside the machine.
#[derive(Debug, Clone, Copy, Default)]
struct Host {
    /// How often it started: what was due for an earlier start is void.
    start: u32,
    /// Number of the fetch that is under way.
    fetch: u32,
    paused_until: u64,
    cut_off_until: u64,
    slow_metadata_until: u64,
    lost_responses_until: u64,
    slow_follower_until: u64,
    down: bool,
    /// Its fetch waits at the leader for something new.
    waits: bool,
}

/// When a leader last saw a follower caught up (`Replica.lastCaughtUpTimeMs`).
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    caught_up: u64,
    fetched_at: u64,
    leader_end: u64,
}

/// A partition, its brokers and a client, in virtual time.
#[derive(Debug, Clone)]
pub struct Simulator {
    options: Options,
    faults: Vec<Fault>,
    planned: Vec<Planned>,
    state: State,
    witness: Witness,
    clock: Clock<Due>,
    random: Random,
    hosts: [Host; REPLICAS_MAX],
    seen: [[Seen; REPLICAS_MAX]; REPLICAS_MAX],
    /// Records that were sent and are not answered, with the broker they were last sent to; in their order.
    unanswered: Vec<(Record, Option<Broker>)>,
    send_again_due: bool,
    events: Vec<(u64, Event)>,
    first: Vec<(usize, Violation)>,
    at_end: Vec<Violation>,
    broken: Vec<&'static str>,
    unavailable_since: Option<u64>,
    unavailable_ms: u64,
    healing: bool,
}

/// Run `number` of a seed.
pub fn simulate(options: &Options, seed: u64, number: u64) -> Run {
    let mut simulator = Simulator::new(options.clone(), seed, number);
    simulator.go_on(&|| true);
    simulator.finish()
}

/// The same, for as long as `goes_on`; `None` when it was broken off.
pub fn simulate_while(options: &Options, seed: u64, number: u64, goes_on: &dyn Fn() -> bool) -> Option<Run> {
    let mut simulator = Simulator::new(options.clone(), seed, number);
    simulator.go_on(goes_on).then(|| simulator.finish())
}

impl Simulator {
    /// Takes steps to the end, or until `goes_on` says no; whether the end was reached.
    fn go_on(&mut self, goes_on: &dyn Fn() -> bool) -> bool {
        let mut steps = 0_u64;
        while self.step() {
            steps += 1;
            if steps.is_multiple_of(1024) && !goes_on() {
                return false;
            }
        }
        true
    }

    /// At time 0, everything in order.
    pub fn new(options: Options, seed: u64, number: u64) -> Simulator {
        let mut random = Random::new(seed, number);
        let faults = if options.swarm { swarm(&options.faults, &mut random) } else { options.faults.clone() };
        let state = State::initial(&options.rules);
        let mut simulator = Simulator {
            faults,
            planned: Vec::new(),
            state,
            witness: Witness::default(),
            clock: Clock::new(),
            random,
            hosts: [Host::default(); REPLICAS_MAX],
            seen: [[Seen::default(); REPLICAS_MAX]; REPLICAS_MAX],
            unanswered: Vec::new(),
            send_again_due: false,
            events: Vec::new(),
            first: Vec::new(),
            at_end: Vec::new(),
            broken: Vec::new(),
            unavailable_since: None,
            unavailable_ms: 0,
            healing: false,
            options,
        };
        let times = simulator.options.times;
        simulator.clock.after(1, Due::Send);
        simulator.clock.after(times.replica_lag_max / 2, Due::LagCheck);
        let first_fault = simulator.up_to(times.fault_interval_max);
        simulator.clock.after(first_fault, Due::Fault);
        for broker in simulator.options.rules.all().iter() {
            simulator.schedule_fetch(broker, 1);
            simulator.clock.after(times.hw_checkpoint, Due::Checkpoint(broker));
            let flush = simulator.up_to(times.writeback_max);
            simulator.clock.after(flush, Due::Flush(broker));
        }
        simulator
    }

    /// The time, in ms.
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// What has happened so far, with the times.
    pub fn events(&self) -> &[(u64, Event)] {
        &self.events
    }

    /// What clients have seen so far.
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Has something happen in `delay` ms.
    pub fn plan(&mut self, delay: u64, planned: Planned) {
        self.clock.after(delay, Due::Planned(self.planned.len()));
        self.planned.push(planned);
    }

    /// The partition now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Does what is due next; false when the run is over.
    pub fn step(&mut self) -> bool {
        let Some(due) = self.clock.next() else { return false };
        if !self.healing && self.events.len() >= self.options.steps {
            self.heal();
        }
        match due {
            Due::End => return false,
            Due::Send => self.send(),
            Due::SendAgain => self.send_again(),
            Due::Fetch(broker, number) => self.fetch(broker, number),
            Due::Metadata(broker) => self.metadata(broker),
            Due::AlterPartition(broker) => {
                if !self.delayed(broker, due) && self.state.replica(broker).pending.is_some() {
                    self.happen(Event::AlterPartition(Some(broker)));
                }
            }
            Due::LagCheck => self.look_for_lag(),
            Due::SessionEnds(broker, start) => self.end_session(broker, start),
            Due::Start(broker) => self.start(broker),
            Due::Unfence(broker, start) => {
                if self.hosts[usize::from(broker)].start == start && !self.delayed(broker, due) {
                    self.happen(Event::Unfence(broker));
                }
            }
            Due::Checkpoint(broker) => {
                let replica = self.state.replica(broker);
                if replica.up && replica.hw != replica.hw_checkpoint && !self.is_paused(broker) {
                    self.happen(Event::Checkpoint(broker));
                }
                self.clock.after(self.options.times.hw_checkpoint, due);
            }
            Due::Flush(broker) => {
                let replica = self.state.replica(broker);
                if replica.up && replica.flushed < replica.leo() {
                    self.happen(Event::Flush(broker));
                }
                let next = self.up_to(self.options.times.writeback_max);
                self.clock.after(next, due);
            }
            Due::Fault => self.fault(),
            Due::Planned(number) => match self.planned.get(number).copied() {
                Some(Planned::Event(event)) => {
                    self.happen(event);
                }
                Some(Planned::Fault(kind, broker, long)) => self.inflict(kind, broker, long),
                None => {}
            },
        }
        true
    }

    /// What it was.
    pub fn finish(mut self) -> Run {
        if let Some(since) = self.unavailable_since {
            self.unavailable_ms = self.unavailable_ms.max(self.clock.now() - since);
        }
        Run {
            events: self.events,
            witness: self.witness,
            first: self.first,
            at_end: self.at_end,
            broken: self.broken,
            unavailable_ms: self.unavailable_ms,
            lasted_ms: self.clock.now(),
        }
    }

    fn up_to(&mut self, most: u32) -> u64 {
        u64::from(self.random.between(1, most.max(1)))
    }

    fn latency(&mut self) -> u64 {
        self.up_to(self.options.times.latency_max)
    }

    fn is_paused(&self, broker: Broker) -> bool {
        self.clock.now() < self.hosts[usize::from(broker)].paused_until
    }

    /// Puts something off until its broker acts again and hears of the controller.
    fn delayed(&mut self, broker: Broker, due: Due) -> bool {
        let host = &self.hosts[usize::from(broker)];
        let until = host.paused_until.max(host.cut_off_until);
        let wait = until.saturating_sub(self.clock.now());
        if wait > 0 {
            self.clock.after(wait, due);
        }
        wait > 0
    }

    /// An event takes place, if it can; what follows from it is put on the clock.
    fn happen(&mut self, event: Event) -> bool {
        self.set_joining();
        let mut effects = Vec::new();
        let (partition_epoch, record) = (self.state.controller.partition_epoch, self.state.next_record);
        let before = matches!(event, Event::Fetch { .. } | Event::Metadata(_)).then(|| self.state.clone());
        match apply(&self.options.rules, &mut self.state, event, &mut |effect| effects.push(effect)) {
            Ok(()) => {}
            Err(Impossible::AsksFirst(broker)) => return self.happen(Event::EpochQuery(broker)),
            Err(_) => return false,
        }
        let changed = before.is_none_or(|before| before != self.state);
        if changed {
            self.events.push((self.clock.now(), event));
        }
        for effect in &effects {
            self.witness.see(effect, &self.state);
            self.follow_up(effect);
        }
        if self.state.controller.partition_epoch != partition_epoch {
            for broker in self.options.rules.all().iter() {
                let mut delay = self.latency();
                // All that came in between is applied as one.
                delay += self.hosts[usize::from(broker)].slow_metadata_until.saturating_sub(self.clock.now());
                self.clock.after(delay, Due::Metadata(broker));
            }
        }
        if changed || self.state.next_record != record {
            self.judge();
        }
        true
    }

    fn follow_up(&mut self, effect: &Effect) {
        let now = self.clock.now();
        match *effect {
            Effect::Appended { broker, .. } => self.wake_followers(broker),
            Effect::HwMoved { broker, .. } if self.state.replica(broker).leads() => self.wake_followers(broker),
            Effect::Acked { record, .. } => self.unanswered.retain(|&(sent, _)| sent != record),
            Effect::Refused { record, why } => {
                let is_final = matches!(why, Refusal::OutOfOrderSequence | Refusal::DuplicateSequence);
                if is_final {
                    self.unanswered.retain(|&(sent, _)| sent != record);
                } else {
                    self.mark_unsent(|sent, _| sent == record);
                }
            }
            Effect::Unknown { record, .. } => self.mark_unsent(|sent, _| sent == record),
            Effect::IsrAsked { broker, .. } => {
                let delay = self.latency();
                self.clock.after(delay, Due::AlterPartition(broker));
            }
            Effect::Leads { broker, .. } => {
                let isr = self.state.replica(broker).isr;
                for other in self.options.rules.all().iter() {
                    let caught_up = if isr.has(other) { now } else { 0 };
                    self.seen[usize::from(broker)][usize::from(other)] =
                        Seen { caught_up, fetched_at: 0, leader_end: u64::MAX };
                }
            }
            Effect::Follows { broker, leader: Some(_), .. } => {
                let delay = self.latency();
                self.schedule_fetch(broker, delay);
            }
            _ => {}
        }
    }

    /// Followers whose fetch waits for something new get it.
    fn wake_followers(&mut self, leader: Broker) {
        for broker in self.options.rules.all().iter() {
            let replica = self.state.replica(broker);
            let waits = self.hosts[usize::from(broker)].waits;
            if waits && replica.up && replica.role == Role::Follower(Some(leader)) {
                let delay = self.latency();
                self.schedule_fetch(broker, delay);
            }
        }
    }

    fn schedule_fetch(&mut self, broker: Broker, delay: u64) {
        let host = &mut self.hosts[usize::from(broker)];
        host.fetch += 1;
        host.waits = false;
        let due = Due::Fetch(broker, host.fetch);
        self.clock.after(delay, due);
    }

    fn fetch(&mut self, broker: Broker, number: u32) {
        let host = self.hosts[usize::from(broker)];
        let replica = self.state.replica(broker);
        let Role::Follower(Some(leader)) = replica.role else { return };
        if host.fetch != number || !replica.up {
            return;
        }
        let now = self.clock.now();
        let wait = host.paused_until.max(host.slow_follower_until).max(self.hosts[usize::from(leader)].paused_until);
        if wait > now {
            return self.schedule_fetch(broker, wait - now + 1);
        }
        let lost = now < host.lost_responses_until && self.random.in_thousand(500);
        let (offset, leader_end) = (replica.leo(), self.state.replica(leader).leo());
        let mut refused = false;
        let (events, end) = (self.events.len(), replica.leo());
        let asks = replica.asks;
        self.happen(Event::Fetch { broker, lost });
        let replica = self.state.replica(broker);
        if !self.state.replica(leader).up || !self.state.replica(leader).leads() {
            refused = true;
        }
        refused |= self.options.rules.switches.fence && replica.leader_epoch != self.state.replica(leader).leader_epoch;
        if refused {
            return self.schedule_fetch(broker, self.options.times.fetch_backoff);
        }
        if !asks && self.state.replica(leader).fetched[usize::from(broker)] == Some(offset) {
            let seen = &mut self.seen[usize::from(leader)][usize::from(broker)];
            if offset >= leader_end {
                seen.caught_up = now;
            } else if offset >= seen.leader_end {
                seen.caught_up = seen.caught_up.max(seen.fetched_at);
            }
            (seen.fetched_at, seen.leader_end) = (now, leader_end);
        }
        let idle = !lost && (self.events.len() == events || self.state.replica(broker).leo() == end) && !asks;
        let delay = if idle { self.options.times.fetch_wait_max } else { self.latency() };
        // An idle fetch is answered at once when there is something new: see `wake_followers`.
        if self.hosts[usize::from(broker)].fetch == number {
            self.schedule_fetch(broker, delay);
            self.hosts[usize::from(broker)].waits = idle;
        }
    }

    fn metadata(&mut self, broker: Broker) {
        if self.state.replica(broker).up && !self.delayed(broker, Due::Metadata(broker)) {
            self.happen(Event::Metadata(broker));
        }
    }

    /// Followers outside the ISR that are caught up hold the high watermark back.
    fn set_joining(&mut self) {
        if !self.options.rules.switches.wait_for_joining {
            return;
        }
        let (now, lag) = (self.clock.now(), self.options.times.replica_lag_max);
        for leader in self.options.rules.all().iter() {
            if !self.state.replica(leader).leads() {
                continue;
            }
            let unfenced = self.state.controller.unfenced;
            let outside = unfenced.minus(self.state.replica(leader).isr).without(leader);
            let is_close = |broker: &Broker| {
                let caught_up = self.seen[usize::from(leader)][usize::from(*broker)].caught_up;
                caught_up > 0 && now.saturating_sub(caught_up) <= lag
            };
            let joining: BrokerSet = outside.iter().filter(is_close).collect();
            self.state.replica_mut(leader).joining = joining;
        }
    }

    fn look_for_lag(&mut self) {
        let (now, lag) = (self.clock.now(), self.options.times.replica_lag_max);
        for leader in self.options.rules.all().iter() {
            if !self.state.replica(leader).leads() || self.is_paused(leader) {
                continue;
            }
            let isr = self.state.replica(leader).isr.without(leader);
            let lags = |broker: &Broker| {
                let seen = self.seen[usize::from(leader)][usize::from(*broker)];
                now.saturating_sub(seen.caught_up) > lag
                    && self.state.replica(*broker).leo() < self.state.replica(leader).leo()
            };
            if self.options.rules.strategy == Strategy::AllIsr
                && self.state.controller.leader == Some(leader)
                && let Some(broker) = isr.iter().find(lags)
            {
                self.happen(Event::Lag(broker));
            }
        }
        self.clock.after(lag / 2, Due::LagCheck);
    }

    fn end_session(&mut self, broker: Broker, start: u32) {
        let host = self.hosts[usize::from(broker)];
        let is_heard =
            host.start == start && !host.down && self.clock.now() >= host.paused_until.max(host.cut_off_until);
        if host.start != start || is_heard || !self.state.controller.unfenced.has(broker) {
            return;
        }
        self.happen(Event::Fence(broker));
        if !host.down {
            // It is heard of again when it is back.
            let wait = host.paused_until.max(host.cut_off_until).saturating_sub(self.clock.now()) + self.latency();
            self.clock.after(wait, Due::Unfence(broker, start));
        }
    }

    fn start(&mut self, broker: Broker) {
        if self.state.replica(broker).up {
            return;
        }
        if self.state.controller.unfenced.has(broker) && self.options.rules.strategy == Strategy::AllIsr {
            // Its earlier session has to end first.
            return self.clock.after(200, Due::Start(broker));
        }
        self.happen(Event::Start(broker));
        let host = &mut self.hosts[usize::from(broker)];
        host.start += 1;
        host.down = false;
        let start = host.start;
        let delay = self.latency();
        self.clock.after(delay, Due::Unfence(broker, start));
        let delay = self.latency();
        self.clock.after(delay, Due::Metadata(broker));
    }

    fn send(&mut self) {
        if self.healing {
            return;
        }
        let next = self.up_to(self.options.times.record_interval_max);
        self.clock.after(next, Due::Send);
        // Not more than five in flight, and nothing new before what has to be sent again (`max.in.flight.requests`).
        if self.unanswered.len() >= 5 || self.unanswered.iter().any(|(_, at)| at.is_none()) {
            return;
        }
        let at = self.state.controller.leader;
        if at.is_some_and(|at| self.is_paused(at)) {
            return;
        }
        let record = self.state.next_record;
        if self.options.acks != Acks::None {
            self.unanswered.push((record, at));
        }
        self.happen(Event::Produce { acks: self.options.acks, at });
    }

    fn mark_unsent(&mut self, is_it: impl Fn(Record, Option<Broker>) -> bool) {
        let mut any = false;
        for (record, at) in &mut self.unanswered {
            if is_it(*record, *at) {
                *at = None;
                any = true;
            }
        }
        if any && !self.send_again_due {
            self.send_again_due = true;
            self.clock.after(self.options.times.retry_backoff, Due::SendAgain);
        }
    }

    fn send_again(&mut self) {
        self.send_again_due = false;
        let Some(leader) = self.state.controller.leader.filter(|&leader| !self.is_paused(leader)) else {
            return self.mark_unsent(|_, at| at.is_none());
        };
        let waiting: Vec<Record> =
            self.unanswered.iter().filter(|(_, at)| at.is_none()).map(|(record, _)| *record).collect();
        for record in waiting {
            if let Some(entry) = self.unanswered.iter_mut().find(|(sent, _)| *sent == record) {
                entry.1 = Some(leader);
            }
            self.happen(Event::Retry { record, acks: self.options.acks, at: Some(leader) });
        }
    }

    fn fault(&mut self) {
        if self.healing || self.faults.is_empty() {
            return;
        }
        let next = self.up_to(self.options.times.fault_interval_max);
        self.clock.after(next, Due::Fault);
        let kind = self.faults[self.random.below(u32::try_from(self.faults.len()).unwrap_or(1)) as usize];
        let broker = u8::try_from(self.random.below(u32::from(self.options.rules.replicas))).unwrap_or(0);
        // A follower that is slow has to be so for longer than a broker is away to be noticed.
        let long = self.up_to(if kind == Fault::SlowFollower { 60_000 } else { 20_000 });
        self.inflict(kind, broker, long);
    }

    /// A fault of this kind befalls a broker for so many ms.
    fn inflict(&mut self, kind: Fault, broker: Broker, long: u64) {
        let now = self.clock.now();
        let host = &mut self.hosts[usize::from(broker)];
        let is_up = self.state.replica(broker).up;
        match kind {
            Fault::SlowMetadata => host.slow_metadata_until = now + long,
            Fault::LostResponses => host.lost_responses_until = now + long,
            Fault::SlowFollower => host.slow_follower_until = now + long,
            Fault::Pause => {
                host.paused_until = now + long;
                let start = host.start;
                self.clock.after(self.options.times.session_timeout, Due::SessionEnds(broker, start));
            }
            Fault::CutOff => {
                host.cut_off_until = now + long;
                let start = host.start;
                self.clock.after(self.options.times.session_timeout, Due::SessionEnds(broker, start));
            }
            Fault::Election => {
                self.happen(Event::Elect(Some(broker)));
            }
            Fault::Kill | Fault::PowerLoss | Fault::Stop | Fault::Wipe if is_up => self.take_down(kind, broker, long),
            Fault::Kill | Fault::PowerLoss | Fault::Stop | Fault::Wipe => {}
        }
    }

    fn take_down(&mut self, kind: Fault, broker: Broker, long: u64) {
        let replica = self.state.replica(broker);
        let tail = u32::try_from(replica.leo().saturating_sub(replica.flushed)).unwrap_or(0);
        let keep = replica.flushed + u64::from(self.random.between(0, tail));
        self.happen(match kind {
            Fault::PowerLoss => Event::PowerLoss { broker, keep },
            Fault::Stop => Event::Stop(broker),
            _ => Event::Kill(broker),
        });
        if kind == Fault::Wipe {
            self.happen(Event::Wipe(broker));
        }
        let host = &mut self.hosts[usize::from(broker)];
        let start = host.start;
        *host = Host { start, fetch: host.fetch + 1, down: true, ..Host::default() };
        self.clock.after(self.options.times.session_timeout, Due::SessionEnds(broker, start));
        self.clock.after(long, Due::Start(broker));
        // Requests in flight to it are never answered.
        self.mark_unsent(|_, at| at == Some(broker));
    }

    /// No more faults, no more records: everything comes back.
    fn heal(&mut self) {
        self.healing = true;
        let now = self.clock.now();
        for host in &mut self.hosts {
            for until in [
                &mut host.paused_until,
                &mut host.cut_off_until,
                &mut host.slow_metadata_until,
                &mut host.lost_responses_until,
                &mut host.slow_follower_until,
            ] {
                *until = (*until).min(now);
            }
        }
        self.clock.after(self.options.times.healing, Due::End);
    }

    fn judge(&mut self) {
        let number = self.events.len();
        let now = self.witness.violations(&self.options.rules, &self.state);
        for violation in &now {
            if !self.first.iter().any(|(_, known)| known.word() == violation.word()) {
                self.first.push((number, violation.clone()));
            }
        }
        self.at_end = now;
        for broken in self.witness.broken_rules(&self.options.rules, &self.state) {
            if !self.broken.contains(&broken) {
                self.broken.push(broken);
            }
        }
        // A leader whose process is stopped answers nobody, whatever the controller thinks of it.
        let is_paused = self.state.controller.leader.is_some_and(|leader| self.is_paused(leader));
        let is_available = self.state.is_available(&self.options.rules) && !is_paused;
        match (is_available, self.unavailable_since) {
            (false, None) => self.unavailable_since = Some(self.clock.now()),
            (true, Some(since)) => {
                self.unavailable_ms = self.unavailable_ms.max(self.clock.now() - since);
                self.unavailable_since = None;
            }
            _ => {}
        }
    }
}
