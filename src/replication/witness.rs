//! What clients have seen, and what is wrong: the invariants a replicated log has to keep, in the verdict's words.

use std::collections::BTreeMap;
use std::fmt;

use super::broker_set::Broker;
use super::effect::Effect;
use super::event::Acks;
use super::log::{Log, Record, Stored};
use super::rules::{Rules, Strategy};
use super::state::State;

/// Producers and consumers of the partition: what they were told and what they read. Without influence on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witness {
    /// Highest level at which each record was acknowledged (`acks=0`: sent).
    acked: BTreeMap<Record, Acks>,
    /// Records whose producer was refused before anything was stored.
    refused: Vec<Record>,
    /// Records whose producer got an error afterwards.
    unknown: Vec<Record>,
    /// What was read at each offset.
    consumed: Vec<Stored>,
    /// Largest high watermark that any leader reached in the newest epoch.
    true_hw: u64,
    /// Records below it.
    committed: Vec<Stored>,
}

impl Witness {
    /// What is known of a partition that has records already: what is below the furthest high watermark was acknowledged by
    /// all, and may have been read.
    pub fn of<const N: usize>(state: &State<N>) -> Witness {
        let mut witness = Witness::default();
        let known = |replica: &&super::state::Replica<N>| replica.hw.min(replica.leo());
        if let Some(replica) = state.brokers.iter().max_by_key(known) {
            witness.true_hw = known(&replica);
            witness.committed = (0..witness.true_hw).map_while(|offset| replica.log.get(offset)).collect();
            witness.consumed.clone_from(&witness.committed);
            witness.acked = witness.committed.iter().map(|stored| (stored.record, Acks::All)).collect();
        }
        witness
    }

    /// Takes note of a consequence. `state` is that after the event.
    pub fn see<const N: usize>(&mut self, effect: &Effect, state: &State<N>) {
        match *effect {
            Effect::Acked { record, acks, .. } => {
                let level = self.acked.entry(record).or_insert(acks);
                *level = (*level).max(acks);
            }
            Effect::Refused { record, .. } => self.refused.push(record),
            Effect::Unknown { record, .. } => self.unknown.push(record),
            Effect::Consumed { broker, to } => {
                let log = &state.replica(broker).log;
                let from = self.consumed.len() as u64;
                self.consumed.extend((from..to).map_while(|offset| log.get(offset)));
            }
            Effect::HwMoved { broker, to, .. } if state.true_leader() == Some(broker) && to > self.true_hw => {
                self.true_hw = to;
                let log = &state.replica(broker).log;
                let from = self.committed.len() as u64;
                self.committed.extend((from..to).map_while(|offset| log.get(offset)));
            }
            _ => {}
        }
    }

    /// Records acknowledged at any level, in their order, with the level.
    pub fn acked(&self) -> impl Iterator<Item = (Record, Acks)> + '_ {
        self.acked.iter().map(|(&record, &acks)| (record, acks))
    }

    /// Records refused before anything was stored.
    pub fn refused(&self) -> &[Record] {
        &self.refused
    }

    /// Records whose producer got an error though they had been stored.
    pub fn unknown(&self) -> &[Record] {
        &self.unknown
    }

    /// Offsets a consumer has read: all below.
    pub fn consumed_to(&self) -> u64 {
        self.consumed.len() as u64
    }

    /// What is wrong in `state`, in a fixed order.
    pub fn violations<const N: usize>(&self, rules: &Rules, state: &State<N>) -> Vec<Violation> {
        let mut found = Vec::new();
        if let Some(leader) = state.true_leader() {
            let log = &state.replica(leader).log;
            let missing = |wanted: fn(Acks) -> bool| -> Vec<Record> {
                self.acked()
                    .filter(|&(record, acks)| wanted(acks) && log.find(record).is_none())
                    .map(|(record, _)| record)
                    .collect()
            };
            let (acked, sent) = (missing(|acks| acks != Acks::None), missing(|acks| acks == Acks::None));
            found.extend((!acked.is_empty()).then_some(Violation::AckedLost(acked)));
            found.extend((!sent.is_empty()).then_some(Violation::SentLost(sent)));
            let changed = self.consumed.iter().zip(0..).find(|&(&seen, offset)| log.get(offset) != Some(seen));
            found.extend(changed.map(|(_, offset)| Violation::ConsumerChanged(offset)));
            if !counts_up(log) {
                let twice = twice(log);
                found.extend((!twice.is_empty()).then_some(Violation::Duplicate(twice)));
                found.extend(reordered(rules, log).map(Violation::Reordered));
            }
        }
        for a in rules.all().iter() {
            for b in a + 1..rules.replicas {
                let (one, other) = (state.replica(a), state.replica(b));
                let below = one.hw.min(other.hw).min(one.leo()).min(other.leo());
                if one.log.first_difference(&other.log, below).is_some() {
                    found.push(Violation::Diverged { a, b, below });
                }
            }
        }
        found
    }

    /// Rules of the protocol itself that `state` breaks: I7, I11, I12 and I13. Any of them is a fault of the machine, or of a
    /// switch that is off.
    pub fn broken_rules<const N: usize>(&self, rules: &Rules, state: &State<N>) -> Vec<&'static str> {
        let (controller, mut broken) = (&state.controller, Vec::new());
        let (isr, elr) = (controller.isr, controller.elr);
        let hw_beyond = rules.all().iter().any(|broker| state.replica(broker).hw > state.replica(broker).leo());
        broken.extend(hw_beyond.then_some("I11: a high watermark is beyond its log's end"));
        let insane = !isr.is_within(rules.all())
            || controller.leader.is_some_and(|leader| !isr.has(leader))
            || !isr.and(elr).is_empty()
            || (isr.len() >= rules.min_isr() && !elr.is_empty());
        let by_isr = rules.strategy == Strategy::AllIsr;
        broken.extend((insane && by_isr).then_some("I12: ISR, ELR and leader do not fit"));
        let is_increasing = |broker: Broker| {
            let entries = state.replica(broker).epochs.entries();
            entries.windows(2).all(|pair| pair[0].epoch < pair[1].epoch && pair[0].start < pair[1].start)
        };
        broken
            .extend((!rules.all().iter().all(is_increasing)).then_some("I13: a leader-epoch cache is not increasing"));
        if let Some(leader) = state.true_leader().filter(|_| rules.switches.maximal_isr && by_isr) {
            let replica = state.replica(leader);
            if replica.isr.len() >= rules.min_isr() && !isr.or(elr).is_within(replica.maximal_isr(rules)) {
                broken.push("I7: the leader's maximal ISR leaves out a member of ISR or ELR");
            }
        }
        broken
    }

    /// Brokers of ISR and ELR that run and do not have all that was committed (I6): electing one would lose it.
    pub fn lacking<const N: usize>(&self, rules: &Rules, state: &State<N>) -> Vec<Broker> {
        let members = state.controller.isr.or(state.controller.elr).and(state.up(rules));
        let lacks = |&broker: &Broker| {
            let log = &state.replica(broker).log;
            self.committed.iter().zip(0..).any(|(&stored, offset)| log.get(offset) != Some(stored))
        };
        members.iter().filter(lacks).collect()
    }
}

/// Whether each record has a higher number than the one before it, as in nearly every log.
fn counts_up(log: &Log) -> bool {
    log.runs().windows(2).all(|pair| pair[0].record + pair[0].len <= pair[1].record)
}

/// Records that a log has more than once.
fn twice(log: &Log) -> Vec<Record> {
    let mut records: Vec<Record> = log.entries().map(|stored| stored.record).collect();
    records.sort_unstable();
    let mut twice: Vec<Record> = records.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    twice.dedup();
    twice
}

/// The first record of a producer that stands behind a later one of the same, where each is first stored.
fn reordered(rules: &Rules, log: &Log) -> Option<Record> {
    let mut last: Vec<Option<Record>> = vec![None; rules.producers.max(1) as usize];
    let mut seen = std::collections::BTreeSet::new();
    log.entries().map(|stored| stored.record).find(|&record| {
        let first = seen.insert(record);
        let last = &mut last[(record % rules.producers.max(1)) as usize];
        let behind = first && last.is_some_and(|last| last > record);
        *last = (*last).max(Some(record));
        behind
    })
}

/// Something that a replicated log must not do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Violation {
    /// Acknowledged records that the leader does not have.
    AckedLost(Vec<Record>),
    /// Records sent at `acks=0` that the leader does not have.
    SentLost(Vec<Record>),
    /// The first offset at which the leader has something else than a consumer read, or nothing.
    ConsumerChanged(u64),
    /// Records that the leader has more than once.
    Duplicate(Vec<Record>),
    /// A record that stands behind a later one of its producer.
    Reordered(Record),
    /// Two replicas that differ below the high watermarks of both.
    Diverged {
        /// One.
        a: Broker,
        /// The other.
        b: Broker,
        /// Both say that all below is committed.
        below: u64,
    },
}

impl Violation {
    /// All words.
    pub const WORDS: [&str; 6] = ["ACKED-LOST", "SENT-LOST", "CONSUMER-CHANGED", "DUPLICATE", "REORDERED", "DIVERGED"];

    /// The verdict's word.
    pub const fn word(&self) -> &'static str {
        match self {
            Violation::AckedLost(_) => "ACKED-LOST",
            Violation::SentLost(_) => "SENT-LOST",
            Violation::ConsumerChanged(_) => "CONSUMER-CHANGED",
            Violation::Duplicate(_) => "DUPLICATE",
            Violation::Reordered(_) => "REORDERED",
            Violation::Diverged { .. } => "DIVERGED",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.word())?;
        match self {
            Violation::AckedLost(records) | Violation::SentLost(records) | Violation::Duplicate(records) => {
                f.write_str(&names(records))
            }
            Violation::ConsumerChanged(offset) => write!(f, "offset {offset}"),
            Violation::Reordered(record) => write!(f, "m{record}"),
            Violation::Diverged { a, b, below } => write!(f, "b{a}/b{b} below {below}"),
        }
    }
}

/// `m0,m3`.
pub fn names(records: &[Record]) -> String {
    let names: Vec<String> = records.iter().map(|record| format!("m{record}")).collect();
    names.join(",")
}
