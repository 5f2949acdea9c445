//! The machine, fed with what was observed, and compared with it at every step.
//!
//! Fed, because it depends on time or on the network: which broker the controller takes for dead or alive, and when; which
//! ISR change of a leader arrives; which version of the partition a broker hears of, and when; which record arrives at which
//! broker; at which moments a fetch is counted, and its answer taken; that an election was asked for; kills and stops; which
//! high watermark a start finds in the checkpoint.
//!
//! Inferred, because no line tells of it:
//!
//! - the order of what two brokers, or two threads of one, say within [`CLOSE_MS`]: that of cause and effect, such as an
//!   answer that is taken before the next fetch is counted. Neither what is counted nor what comes of it is taken from there;
//! - that a fetch whose offset or leader epoch its follower has left behind was sent before: a leader that was paused serves
//!   what waited for it. The machine is given the follower as it was then;
//! - that an answer holds a high watermark that its leader had within that time before;
//! - how much an answer holds, up to what the leader had: that is up to the network;
//! - that a leader which does not ask for a follower's return within a second of its being unfenced has not heard of that yet;
//! - what a killed broker did behind its last line: appends by its directory, fetches by its last high watermark;
//! - that the leader epochs of a broker killed within a second of a cut may be those from before it: another thread writes the
//!   file (`LeaderEpochFileCache.truncateFromEndAsyncFlush`), and the start that comes next cuts them again.
//!
//! - that an answer which is taken within that time of its follower's hearing of a new leader came before: the fetcher goes on
//!   until it is taken off its leader, which is after the partition has become a follower (`ReplicaManager.applyLocalFollowersDelta`);
//! - that a record which an idempotent producer sent again, and which lies below the high watermark in the end, was acknowledged as a
//!   duplicate: no line tells of one.
//!
//! An election is fed when the metadata log has a new leader that no broker's coming or going explains; whether it is one the
//! machine allows is compared. After a decision that differs the machine is given the real one, so that one mismatch does not
//! bring others.
//!
//! Compared, because the machine has to come to it by itself: leader, leader epoch, ISR, ELR, last known leader and partition
//! epoch after every batch of the metadata log; log end and high watermark at every change of leader; offset of every append
//! and of every fetch; what an answer holds; where a log is cut; high watermarks of leaders; acknowledgements; and every
//! replica with its epochs, at each kill and in the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use logdir::replication::broker_set::{Broker, BrokerSet};
use logdir::replication::effect::Effect;
use logdir::replication::event::{Acks, Event};
use logdir::replication::log::Log;
use logdir::replication::machine::apply;
use logdir::replication::rules::Rules;
use logdir::replication::state::{Controller, IsrRequest, REPLICAS_MAX, Replica, State};
use logdir::schema::metadata::PartitionChangeRecord;

use crate::observed::{CLOSE_MS, Decided, Id, Line, Seen};
use crate::replica::{Lies, OnDisk};

/// `replica.lag.time.max.ms` of the cluster.
pub const LAG_MS: i64 = 2_000;

/// A fetch that its leader has counted, and whose answer is under way.
struct UnderWay {
    leader: Broker,
    offset: u64,
    /// The leader when it answers; none while there is nothing to answer with.
    answer: Option<Replica<REPLICAS_MAX>>,
    /// The leader as it was last.
    last: Replica<REPLICAS_MAX>,
    /// High watermarks that the leader has had since the fetch before.
    watermarks: BTreeSet<u64>,
}

/// How far a follower was, as its leader sees it (`ReplicaState`).
#[derive(Debug, Clone, Copy, Default)]
struct CaughtUp {
    last_ms: i64,
    fetch_ms: i64,
    /// The leader's log end at the last fetch.
    fetch_end: u64,
    offset: Option<u64>,
}

impl CaughtUp {
    /// `Replica.updateFetchStateOrThrow`.
    fn fetches(&mut self, offset: u64, leader_end: u64, now_ms: i64) {
        if offset >= leader_end {
            self.last_ms = self.last_ms.max(now_ms);
        } else if offset >= self.fetch_end {
            self.last_ms = self.last_ms.max(self.fetch_ms);
        }
        *self = CaughtUp { fetch_ms: now_ms, fetch_end: leader_end, offset: Some(offset), ..*self };
    }

    /// `ReplicaState.isCaughtUp`.
    fn is(&self, leader_end: u64, now_ms: i64) -> bool {
        self.offset == Some(leader_end) || now_ms - self.last_ms <= LAG_MS
    }
}

/// The partition as the metadata log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Registered {
    leader: Option<Broker>,
    leader_epoch: u32,
    version: u32,
    isr: BrokerSet,
    elr: BrokerSet,
    last_known: Option<Broker>,
}

/// How many things were compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Compared {
    /// States of the controller.
    pub decisions: u32,
    /// Changes of leader at a broker, appends, fetches, answers and cuts.
    pub steps: u32,
    /// High watermarks.
    pub watermarks: u32,
    /// Records cut from a log.
    pub cut: u32,
    /// Fetches that reached their leader after the follower had gone on.
    pub late: u32,
    /// Records that a killed broker had and had said nothing of.
    pub unsaid: u32,
}

/// The machine under observation.
pub struct Replay<'a> {
    rules: Rules,
    state: State,
    /// Replicas in the order of their assignment.
    assigned: &'a [Id],
    /// Level that each record was sent at.
    levels: &'a BTreeMap<u32, Acks>,
    registered: Registered,
    /// What the controller had decided, by version.
    versions: BTreeMap<u32, Controller<REPLICAS_MAX>>,
    under_way: BTreeMap<Broker, UnderWay>,
    /// High watermarks of the leaders, each with when it was left.
    left_hw: BTreeMap<Broker, Vec<(i64, u64)>>,
    /// A high watermark that a leader has told of, and when.
    expected_hw: BTreeMap<Broker, (u64, i64)>,
    now_ms: i64,
    /// When each follower was caught up, as each leader sees it.
    caught_up: BTreeMap<(Broker, Broker), CaughtUp>,
    /// When each follower was unfenced, of those that a leader has not asked for since.
    unheard: BTreeMap<(Broker, Broker), i64>,
    /// Followers as they were, by leader epoch and log end: a fetch may reach a paused leader long after it was sent.
    past: BTreeMap<(Broker, u32, u64), Replica<REPLICAS_MAX>>,
    acked: BTreeSet<u32>,
    /// Leader epochs of followers before their last cut, and when that was.
    before_cut: BTreeMap<Broker, (i64, Vec<(u32, u64)>)>,
    at: String,
    /// What did not agree.
    pub mismatches: Vec<String>,
    /// What was compared.
    pub compared: Compared,
}

impl<'a> Replay<'a> {
    pub fn new(rules: Rules, assigned: &'a [Id], levels: &'a BTreeMap<u32, Acks>) -> Replay<'a> {
        let mut state = State::initial(&rules);
        state.next_record = levels.keys().max().map_or(0, |last| last + 1);
        let controller = &state.controller;
        let registered = Registered {
            leader: controller.leader,
            leader_epoch: 0,
            version: 0,
            isr: controller.isr,
            elr: BrokerSet::NONE,
            last_known: None,
        };
        let versions = BTreeMap::from([(0, controller.clone())]);
        Replay {
            rules,
            state,
            assigned,
            levels,
            registered,
            versions,
            under_way: BTreeMap::new(),
            left_hw: BTreeMap::new(),
            expected_hw: BTreeMap::new(),
            now_ms: 0,
            caught_up: BTreeMap::new(),
            unheard: BTreeMap::new(),
            past: BTreeMap::new(),
            acked: BTreeSet::new(),
            before_cut: BTreeMap::new(),
            at: String::new(),
            mismatches: Vec::new(),
            compared: Compared::default(),
        }
    }

    fn broker(&self, id: Id) -> Broker {
        let at = self.assigned.iter().position(|assigned| *assigned == id).expect("a replica");
        u8::try_from(at).unwrap()
    }

    fn set(&self, ids: &[Id]) -> BrokerSet {
        ids.iter().map(|id| self.broker(*id)).collect()
    }

    fn differs(&mut self, what: impl AsRef<str>) {
        self.mismatches.push(format!("{}: {}", self.at, what.as_ref()));
    }

    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, seen: T, machine: T) {
        self.compared.steps += 1;
        if seen != machine {
            self.differs(format!("{what} is {seen:?}, in the machine {machine:?}"));
        }
    }

    fn step(&mut self, event: Event) -> Option<Vec<Effect>> {
        let mut effects = Vec::new();
        match apply(&self.rules, &mut self.state, event, &mut |effect| effects.push(effect)) {
            Ok(()) => {
                self.note(&effects);
                Some(effects)
            }
            Err(why) => {
                self.differs(format!("{event}: {why}"));
                None
            }
        }
    }

    fn note(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Acked { record, acks: Acks::All, .. } => {
                    self.acked.insert(*record);
                }
                Effect::Cut { from, to, .. } => self.compared.cut += u32::try_from(from - to).unwrap(),
                _ => {}
            }
        }
    }

    /// Goes through all that was seen until `end_ms`: by its time, and within [`CLOSE_MS`] by cause and effect. Every source
    /// keeps its own order. The first source has to be the metadata log, the second what the test did, then brokers 1 to 3.
    pub fn play(&mut self, sources: Vec<Vec<(i64, Seen)>>, end_ms: i64) {
        let until = |source: Vec<(i64, Seen)>| source.into_iter().take_while(|(at, _)| *at <= end_ms).collect();
        let mut sources: Vec<VecDeque<(i64, Seen)>> = sources.into_iter().map(until).collect();
        loop {
            let head = |(at, source): (usize, &VecDeque<(i64, Seen)>)| Some((source.front()?.0, at));
            let mut heads: Vec<(i64, usize)> = sources.iter().enumerate().filter_map(head).collect();
            heads.sort_unstable();
            let Some(&(first_ms, first)) = heads.first() else { return };
            let is_due = |&&(at, source): &&(i64, usize)| match &sources[source][0].1 {
                // It has said all that it said before.
                Seen::Killed(id, _) | Seen::Stopped(id) => {
                    let said = usize::try_from(*id).unwrap() + 1;
                    sources[said].front().is_none_or(|(line_at, _)| *line_at > at)
                }
                seen => self.is_due(seen),
            };
            let close = heads.iter().take_while(|(at, _)| *at <= first_ms + CLOSE_MS);
            let next = close.into_iter().find(is_due).map_or(first, |(_, source)| *source);
            if let Some((at, seen)) = sources[next].pop_front() {
                if std::env::var_os("LOGDIR_LIVE_STORY").is_some() {
                    println!("    {} {seen:?}", at.rem_euclid(1_000_000));
                }
                self.see(at, &seen);
            }
        }
    }

    /// Whether what it is the effect of has been seen.
    fn is_due(&self, seen: &Seen) -> bool {
        match seen {
            Seen::Said(_, Line::Leads { version, .. } | Line::Follows { version, .. }) => {
                self.versions.contains_key(version)
            }
            Seen::Said(_, Line::Again { version } | Line::IsrUpdated { version }) => {
                self.versions.contains_key(version)
            }
            Seen::Said(leader, Line::Recorded { follower, offset, .. }) => {
                let (leader, follower) = (self.broker(*leader), self.broker(*follower));
                let (asked, asks) = (self.state.replica(leader), self.state.replica(follower));
                // It is served: they are in one leader epoch.
                (asks.leo() == *offset && asks.leader_epoch == asked.leader_epoch)
                    || self.sent_before(leader, follower, *offset).is_some()
            }
            Seen::Said(id, Line::Received { from, to, .. }) => {
                self.under_way.get(&self.broker(*id)).is_some_and(|fetch| {
                    let leader = self.state.replica(fetch.leader);
                    fetch.offset == *from && (leader.leo() >= *to || fetch.last.leo() >= *to)
                })
            }
            // An ISR is accepted after it was asked for. Alone in its batch it is a leader's; beside a broker's coming or going
            // (one batch may hold what several events brought) it is one if it grows.
            Seen::Metadata(batch) => batch.iter().all(|record| {
                let Decided::Changed(change) = record else { return true };
                let (None, Some(isr)) = (change.leader, &change.isr) else { return true };
                let (isr, controller) = (self.set(isr), &self.state.controller);
                let is_leaders = batch.len() == 1 || !isr.minus(controller.isr).is_empty();
                let pending = controller.leader.and_then(|leader| self.state.replica(leader).pending);
                !is_leaders || pending.is_some_and(|pending| pending.isr == isr)
            }),
            _ => true,
        }
    }

    /// Goes on by what was seen.
    fn see(&mut self, time_ms: i64, seen: &Seen) {
        self.now_ms = time_ms;
        let second = time_ms.rem_euclid(1_000_000);
        self.at = match seen {
            Seen::Killed(id, _) => format!("{second} killed {id}"),
            Seen::Metadata(batch) => format!("{second} {batch:?}"),
            other => format!("{second} {other:?}"),
        };
        match seen {
            Seen::Metadata(batch) => self.decided(batch),
            Seen::Said(id, line) => self.said(self.broker(*id), line),
            Seen::Killed(id, replica) => self.killed(self.broker(*id), replica),
            Seen::Stopped(id) => {
                let broker = self.broker(*id);
                self.step(Event::Stop(broker));
            }
        }
        for (broker, replica) in (0..self.rules.replicas).map(|broker| (broker, self.state.replica(broker))) {
            if replica.up {
                self.past.entry((broker, replica.leader_epoch, replica.leo())).or_insert_with(|| replica.clone());
            }
        }
        for fetch in self.under_way.values_mut() {
            let leader = self.state.replica(fetch.leader);
            if leader.leads() {
                fetch.watermarks.insert(leader.hw);
            }
        }
        for broker in self.rules.all().iter().filter(|&broker| self.state.replica(broker).leads()) {
            let (hw, left) = (self.state.replica(broker).hw, self.left_hw.entry(broker).or_default());
            match left.last_mut() {
                Some((until, last)) if *last == hw => *until = time_ms,
                _ => left.push((time_ms, hw)),
            }
            left.retain(|(until, _)| *until + CLOSE_MS >= time_ms);
        }
        let told: Vec<Broker> = self.expected_hw.keys().copied().collect();
        told.into_iter().for_each(|broker| self.settle_hw(broker, false));
    }

    /// One batch of the metadata log: what is about brokers is fed, what is about the partition has to follow from it, or
    /// from an ISR that the machine's leader has asked for, or from an election of a member of the ISR.
    fn decided(&mut self, batch: &[Decided]) {
        let changes: Vec<&PartitionChangeRecord> = batch
            .iter()
            .filter_map(|record| if let Decided::Changed(change) = record { Some(change.as_ref()) } else { None })
            .collect();
        let mut asked = Vec::new();
        for record in batch {
            match record {
                Decided::Fenced(id) if self.state.controller.unfenced.has(self.broker(*id)) => {
                    asked.push(Event::Fence(self.broker(*id)));
                }
                Decided::Unfenced(id) => {
                    for leader in self.rules.all().iter() {
                        self.unheard.insert((leader, self.broker(*id)), self.now_ms);
                    }
                    asked.push(Event::Unfence(self.broker(*id)));
                }
                Decided::Registered(id) => {
                    let broker = self.broker(*id);
                    // Its session was over, and what comes of that is in the same batch (`ClusterControlManager.registerBroker`).
                    if self.state.controller.unfenced.has(broker) && !self.state.replica(broker).up {
                        asked.push(Event::Fence(broker));
                    }
                    asked.push(Event::Start(broker));
                }
                Decided::Fenced(_) | Decided::Created | Decided::Changed(_) => {}
            }
        }
        let before = self.state.controller.partition_epoch;
        // Of a batch that holds both, the changes that no broker is the cause of come from before.
        let by_brokers = {
            let mut trial = self.state.clone();
            for event in &asked {
                let _ = apply(&self.rules, &mut trial, *event, &mut |_| {});
            }
            usize::try_from(trial.controller.partition_epoch - before).unwrap()
        };
        for (at, change) in changes.iter().enumerate() {
            self.register(change);
            if at + by_brokers < changes.len() {
                self.by_itself(change);
                self.compare();
            }
        }
        for event in asked {
            self.step(event);
            self.versions.insert(self.state.controller.partition_epoch, self.state.controller.clone());
        }
        self.compare();
    }

    /// Takes a change into what the metadata log says (`PartitionRegistration.merge`).
    fn register(&mut self, change: &PartitionChangeRecord) {
        let leader = change.leader.map(|leader| Some(leader).filter(|leader| *leader >= 0).map(|id| self.broker(id)));
        let [isr, elr] = [&change.isr, &change.elr].map(|ids| ids.as_ref().map(|ids| self.set(ids)));
        let last_known = change.last_known_elr.as_ref().map(|ids| ids.first().map(|id| self.broker(*id)));
        let registered = &mut self.registered;
        if let Some(leader) = leader {
            registered.leader = leader;
            registered.leader_epoch += 1;
        }
        registered.isr = isr.unwrap_or(registered.isr);
        registered.elr = elr.unwrap_or(registered.elr);
        registered.last_known = last_known.unwrap_or(registered.last_known);
        registered.version += 1;
    }

    /// A change that no broker's coming or going is the cause of.
    fn by_itself(&mut self, change: &PartitionChangeRecord) {
        match (&change.leader, &change.isr) {
            (Some(leader), _) => {
                let leader = self.broker(*leader);
                self.step(Event::Elect(Some(leader)));
            }
            (None, Some(isr)) => {
                let (isr, leader) = (self.set(isr), self.state.controller.leader);
                let asked = leader.and_then(|leader| self.state.replica(leader).pending);
                if asked.map(|asked| asked.isr) == Some(isr) {
                    self.step(Event::AlterPartition(leader));
                } else {
                    self.differs(format!("ISR {isr} is asked for, by the machine's leader {asked:?}"));
                    self.state.controller.isr = isr;
                    self.state.controller.partition_epoch += 1;
                }
            }
            // Directories only.
            (None, None) => self.state.controller.partition_epoch += 1,
        }
        self.versions.insert(self.state.controller.partition_epoch, self.state.controller.clone());
    }

    fn compare(&mut self) {
        let controller = &self.state.controller;
        let machine = Registered {
            leader: controller.leader,
            leader_epoch: controller.leader_epoch,
            version: controller.partition_epoch,
            isr: controller.isr,
            elr: controller.elr,
            last_known: controller.last_known,
        };
        self.compared.decisions += 1;
        if machine == self.registered {
            return;
        }
        self.differs(format!("the controller has {:?}, the machine {machine:?}", self.registered));
        // What comes after is compared with what really was.
        let (registered, controller) = (self.registered.clone(), &mut self.state.controller);
        controller.leader = registered.leader;
        controller.leader_epoch = registered.leader_epoch;
        controller.partition_epoch = registered.version;
        controller.isr = registered.isr;
        controller.elr = registered.elr;
        controller.last_known = registered.last_known;
        self.versions.insert(registered.version, controller.clone());
    }

    /// A broker hears of this version, which need not be the newest any more.
    fn hears(&mut self, broker: Broker, version: u32) {
        let Some(then) = self.versions.get(&version).cloned() else {
            return self.differs(format!("version {version} is not decided yet"));
        };
        let now = std::mem::replace(&mut self.state.controller, then);
        self.step(Event::Metadata(broker));
        self.state.controller = now;
    }

    /// In a new leader epoch those in the ISR are taken for caught up (`Replica.resetReplicaState`).
    fn leads(&mut self, leader: Broker, version: u32) {
        let isr = self.versions.get(&version).map_or(BrokerSet::NONE, |decided| decided.isr);
        for follower in self.rules.all().without(leader).iter() {
            let last_ms = if isr.has(follower) { self.now_ms } else { 0 };
            self.caught_up.insert((leader, follower), CaughtUp { last_ms, ..CaughtUp::default() });
        }
    }

    /// Whether a leader may not have heard yet that a follower is unfenced: it has not asked for it since.
    fn is_unheard(&self, leader: Broker, follower: Broker) -> bool {
        self.unheard.get(&(leader, follower)).is_some_and(|at| self.now_ms - at < 5 * CLOSE_MS)
    }

    /// Which followers outside the ISR hold a leader's high watermark back, because they were caught up within the lag limit
    /// (`Partition.shouldWaitForReplicaToJoinIsr`): the machine has no clock.
    fn joining(&mut self, leader: Broker) {
        let replica = self.state.replica(leader);
        let joins = |follower: &Broker| {
            let caught_up = self.caught_up.get(&(leader, *follower)).copied().unwrap_or_default();
            self.state.controller.unfenced.has(*follower)
                && !self.is_unheard(leader, *follower)
                && caught_up.is(replica.leo(), self.now_ms)
        };
        let joining = self.rules.all().minus(replica.isr).iter().filter(joins).collect();
        self.state.replica_mut(leader).joining = joining;
    }

    fn said(&mut self, broker: Broker, line: &Line) {
        self.joining(broker);
        match line {
            Line::Leads { epoch, version, from, hw } | Line::Follows { epoch, version, from, hw } => {
                // The first version is where the machine begins.
                if *version == 0 {
                    return;
                }
                self.settle_hw(broker, true);
                let replica = self.state.replica(broker);
                let (end, machine_hw) = (replica.leo(), replica.hw);
                self.same("log end", *from, end);
                self.same("high watermark", *hw, machine_hw);
                if let Line::Leads { .. } = line {
                    self.leads(broker, *version);
                }
                self.hears(broker, *version);
                let (leader_epoch, leads) =
                    (self.state.replica(broker).leader_epoch, self.state.replica(broker).leads());
                self.same("leader epoch", *epoch, leader_epoch);
                self.same("it leads", matches!(line, Line::Leads { .. }), leads);
            }
            Line::Again { version } | Line::IsrUpdated { version } if *version > 0 => self.hears(broker, *version),
            Line::Again { .. } | Line::IsrUpdated { .. } => {}
            Line::Shrinks { out } => self.shrinks(broker, out),
            Line::IsrRefused => {
                self.step(Event::AlterPartition(Some(broker)));
                let pending = self.state.replica(broker).pending.is_some();
                self.same("it waits for the controller", false, pending);
            }
            Line::Appended { offset, record } => self.appended(broker, *offset, *record),
            Line::Recorded { follower, offset, asks } => {
                self.recorded(broker, self.broker(*follower), *offset, *asks);
            }
            Line::Received { from, to, hw } => self.received(broker, *from, *to, Some(*hw)),
            Line::Cut { to } => self.cut(broker, *to),
            Line::CutToHw { to } => {
                let end = self.state.replica(broker).leo();
                self.same("log end that nothing is cut from", *to, end);
            }
            Line::HwUpdated { to } => drop(self.expected_hw.insert(broker, (*to, self.now_ms))),
            Line::Loaded { hw } => self.state.replica_mut(broker).hw = *hw,
        }
    }

    /// A leader's high watermark comes to be the one it has told of; the fetch that moved it may be told of a little later.
    fn settle_hw(&mut self, broker: Broker, at_once: bool) {
        let Some(&(to, since_ms)) = self.expected_hw.get(&broker) else { return };
        let hw = self.state.replica(broker).hw;
        if hw < to && !at_once && self.now_ms <= since_ms + CLOSE_MS {
            return;
        }
        self.expected_hw.remove(&broker);
        self.compared.watermarks += 1;
        if hw < to {
            self.differs(format!("high watermark of b{broker} is {to}, in the machine {hw}"));
        }
    }

    fn shrinks(&mut self, broker: Broker, out: &[Id]) {
        if let [id] = out
            && self.state.controller.leader == Some(broker)
        {
            self.step(Event::Lag(self.broker(*id)));
            return;
        }
        // Several at once, or of a leader that the controller has let go.
        let out = self.set(out);
        let replica = self.state.replica_mut(broker);
        let request = IsrRequest {
            isr: replica.isr.minus(out),
            joins: None,
            partition_epoch: replica.partition_epoch.unwrap_or(0),
        };
        replica.pending = Some(request);
    }

    fn appended(&mut self, broker: Broker, offset: u64, record: u32) {
        let end = self.state.replica(broker).leo();
        self.same("offset of the append", offset, end);
        let acks = self.levels.get(&record).copied().unwrap_or(Acks::Leader);
        let effects = self.step(Event::Retry { record, acks, at: Some(broker) }).unwrap_or_default();
        if !effects.iter().any(|effect| matches!(effect, Effect::Appended { .. })) {
            self.differs(format!("m{record} is not appended: {effects:?}"));
        }
        let leader = self.state.replica(broker).clone();
        for waits in self.under_way.values_mut().filter(|waits| waits.leader == broker) {
            waits.last = leader.clone();
            if waits.answer.is_none() {
                waits.answer = Some(leader.clone());
            }
        }
    }

    /// The follower that sent a fetch of this offset in its leader's epoch, when it has gone on since.
    fn sent_before(&self, leader: Broker, follower: Broker, offset: u64) -> Option<Replica<REPLICAS_MAX>> {
        let (epoch, now) = (self.state.replica(leader).leader_epoch, self.state.replica(follower));
        let is_past = !now.up || now.leader_epoch > epoch || (now.leader_epoch == epoch && now.leo() > offset);
        self.past.get(&(follower, epoch, offset)).filter(|_| is_past).cloned()
    }

    fn recorded(&mut self, leader: Broker, follower: Broker, offset: u64, asks: bool) {
        if let Some(then) = self.sent_before(leader, follower, offset) {
            self.compared.late += 1;
            let now = std::mem::replace(self.state.replica_mut(follower), then);
            self.counted(leader, follower, offset, asks);
            *self.state.replica_mut(follower) = now;
            return;
        }
        // What moved it just before may have been told of by another thread, and have come after.
        let left = self.left_hw.get(&leader).into_iter().flatten();
        let close: Vec<u64> = left.filter(|(until, _)| *until + CLOSE_MS >= self.now_ms).map(|(_, hw)| *hw).collect();
        let (before, mut watermarks) = self.counted(leader, follower, offset, asks);
        watermarks.extend(close);
        let last = self.state.replica(leader).clone();
        let answer = (before.leo() > offset).then_some(before);
        watermarks
            .extend(self.under_way.get(&follower).filter(|fetch| fetch.leader == leader).map(|fetch| fetch.last.hw));
        self.under_way.insert(follower, UnderWay { leader, offset, answer, last, watermarks });
    }

    /// A fetch is counted; the leader before, and its high watermarks.
    fn counted(
        &mut self,
        leader: Broker,
        follower: Broker,
        offset: u64,
        asks: bool,
    ) -> (Replica<REPLICAS_MAX>, BTreeSet<u64>) {
        let end = self.state.replica(follower).leo();
        self.same("fetch offset", offset, end);
        let before = self.state.replica(leader).clone();
        let hw_before = before.hw;
        self.caught_up.entry((leader, follower)).or_default().fetches(offset, before.leo(), self.now_ms);
        if asks {
            self.unheard.remove(&(leader, follower));
        }
        let unfenced = self.state.controller.unfenced;
        let is_new = self.is_unheard(leader, follower);
        self.joining(leader);
        if is_new {
            self.state.controller.unfenced = unfenced.without(follower);
        }
        let effects = self.step(Event::Fetch { broker: follower, lost: true }).unwrap_or_default();
        self.state.controller.unfenced = unfenced;
        if let Some(Effect::NotServed { why, .. }) =
            effects.iter().find(|effect| matches!(effect, Effect::NotServed { .. }))
        {
            self.differs(format!("the fetch is refused: {why}"));
        }
        let watermarks = BTreeSet::from([hw_before, self.state.replica(leader).hw]);
        (before, watermarks)
    }

    /// The answer arrives: the leader is the one that gave it, whatever has become of it since.
    fn received(&mut self, follower: Broker, from: u64, to: u64, hw: Option<u64>) {
        let Some(under_way) = self.under_way.get(&follower) else {
            return self.differs("an answer to no fetch");
        };
        let (offset, leader) = (under_way.offset, under_way.leader);
        let now = self.state.replica(leader);
        let (now_leads, epoch) = (now.leads(), now.leader_epoch);
        let given = match &under_way.answer {
            Some(answer) if to > from && answer.leo() >= to => answer.clone(),
            // It was read when there was more: what one thread appends another may tell of first.
            Some(answer) if to > from && now_leads && epoch == answer.leader_epoch => {
                Replica { hw: answer.hw, ..now.clone() }
            }
            _ if now_leads && epoch == under_way.last.leader_epoch => now.clone(),
            _ => under_way.last.clone(),
        };
        let watermarks = under_way.watermarks.clone();
        self.same("offset of the answered fetch", offset, from);
        let mut then = self.state.clone();
        let heard = self.state.replica(follower).clone();
        let before = self.past.get(&(follower, given.leader_epoch, from)).cloned();
        let of_former = before.filter(|_| heard.leader_epoch > given.leader_epoch && heard.leo() == from);
        let is_of_former = of_former.is_some();
        if let Some(before) = of_former {
            *then.replica_mut(follower) = before;
        }
        *then.replica_mut(leader) = given;
        // How much one answer holds is up to the network.
        let rules = Rules { records_per_fetch: Some(to - from), ..self.rules.clone() };
        let mut effects = Vec::new();
        let event = Event::Fetch { broker: follower, lost: false };
        if let Err(why) = apply(&rules, &mut then, event, &mut |effect| effects.push(effect)) {
            return self.differs(format!("{event}: {why}"));
        }
        let mut replica = then.replica(follower).clone();
        if is_of_former {
            replica = Replica { log: replica.log, epochs: replica.epochs, hw: replica.hw, ..heard };
        }
        self.same("log end after the answer", to, replica.leo());
        if let Some(hw) = hw {
            self.compared.watermarks += 1;
            if !watermarks.contains(&hw) {
                self.differs(format!("the answer's high watermark is {hw}, in the machine {watermarks:?}"));
            }
        }
        *self.state.replica_mut(follower) = replica;
        // What it is told is what it has.
        if let Some(hw) = hw {
            self.state.replica_mut(follower).hw = hw.min(to);
        }
    }

    fn cut(&mut self, follower: Broker, to: u64) {
        self.under_way.remove(&follower);
        self.before_cut.insert(follower, (self.now_ms, epochs(self.state.replica(follower))));
        let effects = self.step(Event::Fetch { broker: follower, lost: false }).unwrap_or_default();
        let end = self.state.replica(follower).leo();
        self.same("log end after the cut", to.min(end.max(to)), end);
        if !effects.iter().any(|effect| matches!(effect, Effect::Cut { .. } | Effect::EpochsCut { .. })) {
            self.differs(format!("nothing is cut: {effects:?}"));
        }
    }

    /// It is compared with what is on its disk. A log line may be missing for what it did last.
    fn killed(&mut self, broker: Broker, disk: &OnDisk) {
        if !self.state.replica(broker).up {
            // It had been started and had not registered yet.
            return self.compare_replica(broker, disk);
        }
        let end = self.state.replica(broker).leo();
        let unsaid: Vec<Lies> = disk.records.iter().copied().filter(|lies| lies.offset >= end).collect();
        if !unsaid.is_empty() {
            self.compared.unsaid += u32::try_from(unsaid.len()).unwrap();
            if self.state.replica(broker).leads() {
                unsaid.iter().for_each(|lies| self.appended(broker, lies.offset, lies.record));
            } else {
                self.received(broker, end, disk.end(), None);
            }
        }
        let is_old = |(at, old): &(i64, Vec<_>)| self.now_ms - at < 5 * CLOSE_MS && *old == disk.epochs;
        if self.before_cut.get(&broker).is_some_and(is_old) {
            self.compared.unsaid += 1;
            let written = OnDisk { epochs: epochs(self.state.replica(broker)), records: disk.records.clone() };
            self.compare_replica(broker, &written);
        } else {
            self.compare_replica(broker, disk);
        }
        if let Some((to, _)) = self.expected_hw.remove(&broker) {
            self.uncounted(broker, to);
        }
        self.step(Event::Kill(broker));
        self.under_way.remove(&broker);
    }

    /// A killed leader has told of a high watermark, and not any more of the fetches that moved it there.
    fn uncounted(&mut self, leader: Broker, to: u64) {
        for follower in self.rules.all().without(leader).iter() {
            let replica = self.state.replica(leader);
            let is_counted = replica.fetched[usize::from(follower)].is_some_and(|offset| offset >= to);
            if replica.hw < to && !is_counted && self.state.replica(follower).leo() >= to && replica.isr.has(follower) {
                self.compared.unsaid += 1;
                self.step(Event::Fetch { broker: follower, lost: true });
            }
        }
        self.expected_hw.insert(leader, (to, self.now_ms));
        self.settle_hw(leader, true);
    }

    /// Compares a replica with its directory.
    pub fn compare_replica(&mut self, broker: Broker, disk: &OnDisk) {
        let replica = self.state.replica(broker);
        let machine = OnDisk { records: records(&replica.log), epochs: epochs(replica) };
        self.compared.steps += 1;
        if machine != *disk {
            self.differs(format!("b{broker} has {disk:?}, in the machine {machine:?}"));
        }
    }

    /// Compares all replicas, and what was acknowledged; `resends`: the producer sends again by itself.
    pub fn end(&mut self, disks: &[OnDisk], acknowledged: &BTreeSet<u32>, resends: bool) {
        self.at = "in the end".into();
        for (broker, disk) in (0..).zip(disks) {
            self.compare_replica(broker, disk);
        }
        let mut unknown: Vec<u32> = acknowledged.difference(&self.acked).copied().collect();
        if let Some(leader) = self.state.controller.leader.filter(|_| resends) {
            let leader = self.state.replica(leader);
            let below: Vec<Lies> = records(&leader.log).into_iter().filter(|lies| lies.offset < leader.hw).collect();
            let all = unknown.len();
            unknown.retain(|record| !below.iter().any(|lies| lies.record == *record));
            self.compared.unsaid += u32::try_from(all - unknown.len()).unwrap();
        }
        if !unknown.is_empty() {
            self.differs(format!("acknowledged, and not by the machine: {unknown:?}"));
        }
    }
}

fn records(log: &Log) -> Vec<Lies> {
    let entries = (log.start()..).zip(log.entries());
    entries.map(|(offset, stored)| Lies { offset, epoch: stored.epoch, record: stored.record }).collect()
}

fn epochs(replica: &Replica<REPLICAS_MAX>) -> Vec<(u32, u64)> {
    replica.epochs.entries().iter().map(|entry| (entry.epoch, entry.start)).collect()
}
