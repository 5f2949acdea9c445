//! The replicas of one partition on the log directories of several brokers: one leads, the others follow it.
//!
//! Who leads, where a follower's log goes on differently and is cut, what it copies, whether enough are in sync, and how far
//! the high watermark is, is decided by the state machine ([`machine::apply`]), as it decides it for `simulate-failover`.
//! Here its decisions are carried out, on logs of any length (`cells`).
//!
//! Who may lead is known from the cluster's metadata: the ISR, and where it is empty the ELR. Without metadata all that are at
//! hand may. Followers that have been made level join the ISR, as a controller would let them; it hears of them from their
//! leader once brokers run.
//!
//! There is no new leader epoch here: what is written continues the last one of the log. So whoever may lead by the metadata
//! has to be at hand, whatever `acks` is: it may hold other records of that epoch, and the protocol would not find out. For the
//! same reason the last batch that two logs have in common has to be the same one ([`ReplicaSet::check_ends`]). A replica that
//! fails ends the work, and then high watermarks are left as they were.

mod cells;
mod initial;

use thiserror::Error;

use self::cells::Cells;
pub use self::initial::{Initial, NotTheScenarios};
use super::fs::StorageError;
use super::leader_epochs::LeaderEpochs;
use super::partition::Partition;
use super::replicas::{Reach, by_reach};
use super::writer::log::{Appended, Refusal};
use super::writer::{AppendSession, LogWriter, SessionError};
use crate::batch::Frame;
use crate::batch::builder::BatchBuf;
use crate::batch::scan::Depth;
use crate::replication::assess::View;
use crate::replication::broker_set::{Broker, BrokerSet};
use crate::replication::effect::{CutBy, Effect};
use crate::replication::event::{Acks, Event};
use crate::replication::log::{Log, Stored};
use crate::replication::machine;
use crate::replication::rules::{Era, Rules};
use crate::replication::state::{REPLICAS_MAX, Replica, Role, State};
use crate::storage::reader::{LogReader, ReadStep};
use crate::types::{LeaderEpoch, Offset, TimestampMs, TopicPartition};

/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 20;
/// Longest batch that is copied; what is longer is damage.
const BATCH_BYTES_MAX: u64 = i32::MAX as u64;

/// What of a replica's log decides.
#[derive(Debug, Clone, Default)]
pub struct LogView {
    /// First offset that may be read.
    pub log_start: Offset,
    /// Offset of the next record.
    pub log_end: Offset,
    /// Its leader epochs.
    pub epochs: LeaderEpochs,
}

impl LogView {
    /// Of an open log.
    pub fn of(log: &LogWriter) -> LogView {
        LogView { log_start: log.log_start(), log_end: log.log_end(), epochs: log.epochs().clone() }
    }

    /// Never held a record, as far as it tells: such a log begins where its leader's does.
    fn is_new(&self) -> bool {
        self.log_end == Offset::ZERO
    }

    fn reach(&self) -> Reach {
        Reach { epoch: self.epochs.latest().map(|entry| entry.epoch), log_end: self.log_end }
    }
}

/// A replica that is at hand.
#[derive(Debug, Clone)]
pub struct Member {
    /// The broker it belongs to; `None` where its log directory does not say.
    pub broker: Option<i32>,
    /// Number of its log directory, and of the session there.
    pub dir: usize,
    /// Its log.
    pub log: LogView,
    /// High watermark its broker knew last.
    pub high_watermark: Offset,
}

/// A directory of a broker that has no replica of the partition.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("broker {broker} has a directory of the partition, and its replicas are on the brokers {}", list(replicas))]
pub struct NoReplica {
    /// The broker.
    pub broker: i32,
    /// Those that have one.
    pub replicas: Vec<i32>,
}

/// Number of a broker in the machine: its place among the partition's replicas.
fn number_in(replicas: &[i32], broker: i32) -> Result<Broker, NoReplica> {
    let at = replicas.iter().position(|replica| *replica == broker);
    let number = at.and_then(|at| Broker::try_from(at).ok());
    number.ok_or_else(|| NoReplica { broker, replicas: replicas.to_vec() })
}

/// Numbers of brokers in the machine; those that have no replica are left out.
fn numbers_in(replicas: &[i32], brokers: &[i32]) -> BrokerSet {
    brokers.iter().filter_map(|broker| number_in(replicas, *broker).ok()).collect()
}

/// Why the replicas cannot be written to together. Nothing was changed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Unreplicable {
    /// More replicas than are played through.
    #[error("{0} replicas, at most {REPLICAS_MAX} can be written to together")]
    TooMany(usize),
    /// A directory of a broker that has no replica.
    #[error(transparent)]
    NoReplica(#[from] NoReplica),
    /// Nobody who may lead is at hand.
    #[error("none of the replicas that may lead (ISR and ELR: {}) is in the log directories", list(.0))]
    NobodyMayLead(Vec<i32>),
    /// Somebody who may lead is not at hand.
    #[error("broker {} may lead (ISR and ELR), and its replica is in none of the log directories", list(.0))]
    LeaderMissing(Vec<i32>),
    /// A log directory that does not say whose it is, of a partition whose replicas are known.
    #[error("log directory {} does not name its broker (node.id in meta.properties)", .0 + 1)]
    Nameless(usize),
    /// Two logs with other records of the same leader epoch.
    #[error(
        "{follower} and the leader, {leader}, hold other records of the same leader epoch: the batches at offset {at} differ"
    )]
    SameEpoch {
        /// The follower.
        follower: String,
        /// The leader.
        leader: String,
        /// Last offset that both have.
        at: Offset,
    },
    /// A follower's log has nothing in common with the leader's.
    #[error("{follower}'s log begins at {start}, and from there on it is not that of the leader, {leader}")]
    NothingInCommon {
        /// The follower.
        follower: String,
        /// Where it begins.
        start: Offset,
        /// The leader.
        leader: String,
    },
    /// Fewer in sync than asked for.
    #[error("NOT_ENOUGH_REPLICAS: {in_sync} in sync, min.insync.replicas is {min_insync_replicas}")]
    NotEnoughReplicas {
        /// In sync.
        in_sync: u32,
        /// Asked for.
        min_insync_replicas: u32,
    },
    /// A follower's log ends before the leader's begins.
    #[error("{follower} needs offset {end} next, and the log of the leader, {leader}, begins at {start}")]
    BeforeStart {
        /// The follower.
        follower: String,
        /// Its end.
        end: Offset,
        /// The leader.
        leader: String,
        /// Where its log begins.
        start: Offset,
    },
    /// A follower's log has what no leader answers for.
    #[error("{follower} has leader epoch {epoch}, which the log of the leader, {leader}, knows nothing of")]
    UnknownEpoch {
        /// The follower.
        follower: String,
        /// Its last leader epoch.
        epoch: i32,
        /// The leader.
        leader: String,
    },
}

fn list(brokers: &[i32]) -> String {
    if brokers.is_empty() {
        return "none".to_owned();
    }
    brokers.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}

/// Something that is done to make the replicas level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which member.
    pub member: usize,
    /// What.
    pub deed: Deed,
}

/// What is done to a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Its log is cut.
    Cut {
        /// Its end.
        from: Offset,
        /// Its end then; offsets from here on are gone, or, where this is its end, only leader epochs.
        to: Offset,
        /// Why.
        why: Option<CutBy>,
    },
    /// It copies from the leader.
    Copy {
        /// From here.
        from: Offset,
        /// To below this.
        to: Offset,
    },
}

/// The replicas of one partition.
#[derive(Debug)]
pub struct ReplicaSet {
    partition: TopicPartition,
    rules: Rules,
    state: State,
    cells: Cells,
    members: Vec<Member>,
    /// By member, its number in the machine.
    numbers: Vec<Broker>,
    /// Which member leads.
    leader: usize,
    /// By member: its high watermark, now and when all were level.
    high_watermarks: Vec<(Offset, Offset)>,
    acks: Acks,
    steps: Vec<Step>,
}

impl ReplicaSet {
    /// Chooses the leader among `members`, and says in [`ReplicaSet::steps`] what makes the others level with it. Changes
    /// nothing.
    ///
    /// The leader is the member of ISR or ELR that reaches furthest, as [`by_reach`] counts; of equals the first. Without
    /// `registered` all members are in sync, and there are as many replicas as `min_insync_replicas` asks for; with it that
    /// counts at most as many as there are (`Partition.effectiveMinIsr`).
    pub fn plan(
        partition: &TopicPartition,
        members: Vec<Member>,
        registered: Option<&View>,
        min_insync_replicas: u32,
        acks: Acks,
    ) -> Result<ReplicaSet, Unreplicable> {
        let (numbers, replicas) = numbered(&members, registered, min_insync_replicas)?;
        let electable = registered.map_or_else(Vec::new, |view| [&view.isr[..], &view.elr].concat());
        let all = || numbers.iter().copied().collect();
        let may_lead = registered.map_or_else(all, |view| numbers_in(&view.replicas, &electable));
        let candidates: Vec<usize> = (0..members.len()).filter(|member| may_lead.has(numbers[*member])).collect();
        let reaches: Vec<Reach> = candidates.iter().map(|member| members[*member].log.reach()).collect();
        let Some(leader) = by_reach(&reaches).first().map(|first| candidates[*first]) else {
            return Err(Unreplicable::NobodyMayLead(electable));
        };
        let mut missing = electable;
        missing.retain(|broker| members.iter().all(|member| member.broker != Some(*broker)));
        if !missing.is_empty() {
            return Err(Unreplicable::LeaderMissing(missing));
        }
        let mut members = members;
        let steps = without_epochs(&mut members, leader);
        let isr = registered.map_or(may_lead, |view| numbers_in(&view.replicas, &view.isr)).with(numbers[leader]);
        let rules = Rules { min_insync_replicas, ..Rules::of(Era::Fetch, replicas) };
        let cells = Cells::new(members.iter().flat_map(places).collect());
        let state = state_of(&rules, &members, &numbers, leader, isr, &cells);
        let mut set = ReplicaSet {
            partition: partition.clone(),
            rules,
            state,
            cells,
            members,
            high_watermarks: Vec::new(),
            numbers,
            leader,
            acks,
            steps,
        };
        set.level()?;
        set.check_enough()?;
        // What a follower had behind the leader's end is gone.
        set.cells.cut(set.log_end());
        let known = |number: &Broker| set.cells.offset(set.state.replica(*number).hw);
        let known: Vec<Offset> = set.numbers.iter().map(known).collect();
        set.high_watermarks = known.into_iter().map(|offset| (offset, offset)).collect();
        Ok(set)
    }

    /// What has to be done before the first append, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The replicas at hand.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Which of them leads.
    pub const fn leader(&self) -> usize {
        self.leader
    }

    /// Number of a member's log directory.
    pub fn dir(&self, member: usize) -> usize {
        self.members[member].dir
    }

    /// End of the leader's log before the first append.
    pub fn log_end(&self) -> Offset {
        self.members[self.leader].log.log_end
    }

    /// A member in words.
    pub fn name(&self, member: usize) -> String {
        named(&self.members, member)
    }

    /// Replicas in sync, and how many `min.insync.replicas` asks for.
    pub fn in_sync(&self) -> (u32, u32) {
        (self.state.controller.isr.len(), self.rules.min_isr())
    }

    /// Where the follower's log and the leader's end to be the same, before the follower copies anything.
    fn common_end(&self, member: usize) -> Offset {
        let steps = self.steps.iter().filter(|step| step.member == member);
        let cut = steps.filter_map(|step| if let Deed::Cut { to, .. } = step.deed { Some(to) } else { None }).min();
        let log = &self.members[member].log;
        cut.map_or(log.log_end, |to| to.min(log.log_end)).min(self.log_end())
    }

    /// Compares the last batch that each follower has in common with the leader; `open` opens a member's directory. Where the
    /// log cleaner was batches may differ, and nothing is said.
    pub fn check_ends(
        &self,
        mut open: impl FnMut(usize) -> Result<Partition, StorageError>,
    ) -> Result<Result<(), Unreplicable>, StorageError> {
        let leader = open(self.leader)?;
        for member in self.followers() {
            let end = self.common_end(member);
            let starts_at = self.members[member].log.log_start.max(self.members[self.leader].log.log_start);
            if end <= starts_at {
                continue;
            }
            if !same_end(&leader, &open(member)?, end)? {
                let (follower, leader) = (self.name(member), self.name(self.leader));
                return Ok(Err(Unreplicable::SameEpoch { follower, leader, at: end.plus(-1) }));
            }
        }
        Ok(Ok(()))
    }

    /// Has the sessions write the high watermarks that were known before anything is done.
    pub fn keep_high_watermarks(&self, sessions: &mut [Option<AppendSession>]) {
        for (number, member) in self.members.iter().enumerate() {
            if let Some(session) = sessions.get_mut(member.dir).and_then(Option::as_mut) {
                let known = member.high_watermark.min(self.common_end(number)).max(member.log.log_start);
                session.set_high_watermark(&self.partition, known);
            }
        }
    }

    /// Has the sessions write the high watermarks as they are, or, when something has failed, as they were.
    pub fn tell_high_watermarks(&self, sessions: &mut [Option<AppendSession>], has_failed: bool) {
        for (member, (now, before)) in self.members.iter().zip(&self.high_watermarks) {
            if let Some(session) = sessions.get_mut(member.dir).and_then(Option::as_mut) {
                session.set_high_watermark(&self.partition, if has_failed { *before } else { *now });
            }
        }
    }

    /// Whether the leader would take a record with these `acks`.
    fn check_enough(&self) -> Result<(), Unreplicable> {
        let mut tried = self.state.clone();
        let mut refused = false;
        play(&self.rules, &mut tried, Event::Produce { acks: self.acks, at: None }, &mut |effect| {
            refused |= matches!(effect, Effect::Refused { .. });
        });
        let (in_sync, min_insync_replicas) = self.in_sync();
        if refused { Err(Unreplicable::NotEnoughReplicas { in_sync, min_insync_replicas }) } else { Ok(()) }
    }

    /// Lets every follower fetch until it has all that the leader has, and notes what that does.
    fn level(&mut self) -> Result<(), Unreplicable> {
        let leader = self.members[self.leader].log.clone();
        let leader_name = self.name(self.leader);
        for member in self.followers() {
            let (follower, name) = (&self.members[member].log, self.name(member));
            let (leader_name, start) = (leader_name.clone(), leader.log_start);
            let before_start =
                |end| Unreplicable::BeforeStart { follower: name.clone(), end, leader: leader_name.clone(), start };
            if follower.log_end < leader.log_start && !follower.is_new() {
                return Err(before_start(follower.log_end));
            }
            // Every answer but the last one cuts an epoch off, or brings all there is.
            let mut left = follower.epochs.entries().len() + leader.epochs.entries().len() + 4;
            loop {
                let (steps, is_idle) = self.fetch(member);
                for step in steps {
                    if let Deed::Cut { to, .. } | Deed::Copy { from: to, .. } = step.deed
                        && to < leader.log_start
                        && !self.members[member].log.is_new()
                    {
                        return Err(before_start(to));
                    }
                    self.steps.push(step);
                }
                if is_idle {
                    self.join();
                    break;
                }
                left -= 1;
                if left == 0 {
                    let log = &self.state.replica(self.numbers[member]).log;
                    if log.start() == log.end() {
                        let start = self.members[member].log.log_start;
                        return Err(Unreplicable::NothingInCommon { follower: name, start, leader: leader_name });
                    }
                    let epoch = self.members[member].log.epochs.latest().map_or(-1, |entry| entry.epoch.0);
                    return Err(Unreplicable::UnknownEpoch { follower: name, epoch, leader: leader_name });
                }
            }
        }
        Ok(())
    }

    /// A follower that the leader has asked for since its last fetch is in sync from now on.
    fn join(&mut self) {
        if self.state.replica(self.numbers[self.leader]).pending.is_some() {
            play(&self.rules, &mut self.state, Event::AlterPartition(None), &mut |_| {});
            for number in &self.numbers {
                play(&self.rules, &mut self.state, Event::Metadata(*number), &mut |_| {});
            }
        }
    }

    fn followers(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|member| *member != self.leader).collect()
    }

    /// One fetch of a follower: what it did, and whether it brought nothing.
    fn fetch(&mut self, member: usize) -> (Vec<Step>, bool) {
        let broker = self.numbers[member];
        let (mut steps, mut is_idle) = (Vec::new(), false);
        let (cells, numbers, high_watermarks) = (&self.cells, &self.numbers, &mut self.high_watermarks);
        play(&self.rules, &mut self.state, Event::Fetch { broker, lost: false }, &mut |effect| {
            if let Effect::HwMoved { broker, to, .. } = effect {
                let known = numbers.iter().zip(high_watermarks.iter_mut()).find(|(number, _)| **number == broker);
                if let Some((_, (now, _))) = known {
                    *now = cells.offset(to);
                }
            }
            let deed = match effect {
                Effect::Cut { from, to, why, .. } => {
                    Deed::Cut { from: cells.offset(from), to: cells.offset(to), why: Some(why) }
                }
                Effect::EpochsCut { to, .. } => Deed::Cut { from: cells.offset(to), to: cells.offset(to), why: None },
                Effect::Copied { from, to, .. } => Deed::Copy { from: cells.offset(from), to: cells.offset(to) },
                Effect::Idle { .. } => {
                    is_idle = true;
                    return;
                }
                _ => return,
            };
            steps.push(Step { member, deed });
        });
        (steps, is_idle)
    }

    /// Does a step to the logs.
    pub fn carry_out(
        &self,
        step: &Step,
        sessions: &mut [Option<AppendSession>],
        now_ms: TimestampMs,
    ) -> Result<(), SessionError> {
        match step.deed {
            Deed::Cut { to, .. } => self.session(sessions, step.member)?.truncate_to(&self.partition, to, now_ms),
            Deed::Copy { from, to } => {
                self.copy(step.member, from, to, sessions, now_ms)?;
                Ok(self.session(sessions, step.member)?.write_out_log(&self.partition)?)
            }
        }
    }

    fn copy(
        &self,
        member: usize,
        from: Offset,
        to: Offset,
        sessions: &mut [Option<AppendSession>],
        now_ms: TimestampMs,
    ) -> Result<(), SessionError> {
        let leader = self.session(sessions, self.leader)?.read(&self.partition, now_ms)?;
        let session = self.session(sessions, member)?;
        let (start, chunk) = (self.members[self.leader].log.log_start, COPY_BYTES.min(session.segment_bytes()));
        let mut reader = LogReader::new(&leader, Depth::Crc, BATCH_BYTES_MAX);
        reader.seek(from)?;
        let mut bytes = Vec::new();
        let mut send = |bytes: &mut Vec<u8>| -> Result<(), SessionError> {
            // A batch may reach below the leader's log start: then the new log begins with it.
            let first = Frame::parse(bytes).ok().and_then(|frame| frame.base_offset()).unwrap_or(start);
            let appended = session.append_from(&self.partition, start.min(first), bytes, now_ms)?;
            bytes.clear();
            match appended {
                Appended::Refused(refusal) => Err(not_taken(&leader, session, &self.partition, &refusal)),
                Appended::Stored { .. } | Appended::Duplicate { .. } => Ok(()),
            }
        };
        loop {
            match reader.next()? {
                ReadStep::Entry { entry, .. } => {
                    let frame = entry.frame;
                    if frame.base_offset().unwrap_or(frame.last_offset()) >= to {
                        break;
                    }
                    if frame.last_offset() < from {
                        continue;
                    }
                    if !bytes.is_empty() && bytes.len() + frame.bytes().len() > chunk {
                        send(&mut bytes)?;
                    }
                    bytes.extend_from_slice(frame.bytes());
                }
                ReadStep::Damage { segment, damage } => {
                    let path = leader.segments().get(segment).map_or(leader.dir().to_owned(), |it| it.log.clone());
                    let text = format!("position {}: {}", damage.position, damage.reason);
                    return Err(StorageError::new(path, std::io::Error::other(text)).into());
                }
                ReadStep::Gone { .. } => {}
                ReadStep::End { .. } => break,
            }
        }
        if bytes.is_empty() { Ok(()) } else { send(&mut bytes) }
    }

    fn session<'s>(
        &self,
        sessions: &'s mut [Option<AppendSession>],
        member: usize,
    ) -> Result<&'s mut AppendSession, SessionError> {
        let session = sessions.get_mut(self.members[member].dir).and_then(Option::as_mut);
        session.ok_or_else(|| SessionError::NoPartition {
            partition: self.partition.clone(),
            dir: self.name(member).into(),
        })
    }

    /// Appends a batch to the leader's log, and lets every follower fetch it; with `keep_offsets` with those it has.
    ///
    /// When this returns [`Appended::Stored`], all have it, whatever was asked for: the difference between `acks` 1 and all
    /// is in who has to be there.
    pub fn append(
        &mut self,
        sessions: &mut [Option<AppendSession>],
        batch: &mut BatchBuf,
        keep_offsets: bool,
        now_ms: TimestampMs,
    ) -> Result<Appended, SessionError> {
        let leader = self.session(sessions, self.leader)?;
        let appended = if keep_offsets {
            leader.append_with_offsets(&self.partition, batch.bytes(), now_ms)?
        } else {
            leader.append(&self.partition, batch, now_ms)?
        };
        let Appended::Stored { last, .. } = appended else { return Ok(appended) };
        // However this process ends, no follower has what the leader lacks.
        leader.write_out_log(&self.partition)?;
        self.cells.push(last.next());
        play(&self.rules, &mut self.state, Event::Produce { acks: self.acks, at: None }, &mut |_| {});
        for member in self.followers() {
            for step in self.fetch(member).0 {
                let Deed::Copy { .. } = step.deed else { continue };
                let session = self.session(sessions, member)?;
                if let Appended::Refused(refusal) =
                    session.append_with_offsets(&self.partition, batch.bytes(), now_ms)?
                {
                    let leader = self.session(sessions, self.leader)?.read(&self.partition, now_ms)?;
                    let session = self.session(sessions, member)?;
                    return Err(not_taken(&leader, session, &self.partition, &refusal));
                }
            }
        }
        // The next fetch tells the leader, and the one after that the follower.
        for _ in 0..2 {
            for member in self.followers() {
                self.fetch(member);
            }
        }
        Ok(appended)
    }
}

fn play(rules: &Rules, state: &mut State, event: Event, sink: &mut impl FnMut(Effect)) {
    // Everybody at hand runs and follows the leader: neither a fetch nor a record is impossible.
    let applied = machine::apply(rules, state, event, sink);
    debug_assert!(applied.is_ok(), "{event:?}: {applied:?}");
}

/// A follower whose log has no leader epochs cuts it at its high watermark, before all else
/// (`AbstractFetcherThread.truncateToHighWatermark`).
fn without_epochs(members: &mut [Member], leader: usize) -> Vec<Step> {
    let end = members[leader].log.log_end;
    let mut steps = Vec::new();
    for (number, member) in members.iter_mut().enumerate() {
        let (from, to) = (member.log.log_end, member.high_watermark.min(end).max(member.log.log_start));
        if number != leader && member.log.epochs.entries().is_empty() && to < from {
            member.log.log_end = to;
            steps.push(Step { member: number, deed: Deed::Cut { from, to, why: Some(CutBy::HighWatermark) } });
        }
    }
    steps
}

/// Whether the last batch below `end` is the same in two logs that should be the same up to there.
fn same_end(a: &Partition, b: &Partition, end: Offset) -> Result<bool, StorageError> {
    if [a, b].iter().any(|log| log.checkpoints().cleaner.is_some_and(|cleaned| cleaned >= end)) {
        return Ok(true);
    }
    let last = |log: &Partition| -> Result<Option<(Offset, u64)>, StorageError> {
        let mut reader = LogReader::new(log, Depth::Crc, BATCH_BYTES_MAX);
        reader.seek(end.plus(-1))?;
        let mut last = None;
        while let ReadStep::Entry { entry, .. } = reader.next()? {
            let frame = entry.frame;
            if frame.base_offset().unwrap_or(frame.last_offset()) >= end {
                break;
            }
            let mut hasher = std::hash::DefaultHasher::new();
            std::hash::Hash::hash(frame.bytes(), &mut hasher);
            last = Some((frame.last_offset(), std::hash::Hasher::finish(&hasher)));
        }
        Ok(last)
    };
    Ok(last(a)? == last(b)?)
}

/// A follower's log does not take what its leader's took.
fn not_taken(
    leader: &Partition,
    follower: &AppendSession,
    partition: &TopicPartition,
    refusal: &Refusal,
) -> SessionError {
    let text = format!("does not take what {} has: {refusal}", leader.dir().display());
    StorageError::new(follower.dir().join(partition.to_string()), std::io::Error::other(text)).into()
}

/// The number of each member in the machine, and how many replicas there are.
fn numbered(
    members: &[Member],
    registered: Option<&View>,
    min_insync_replicas: u32,
) -> Result<(Vec<Broker>, u8), Unreplicable> {
    let least = usize::try_from(min_insync_replicas).map_or(REPLICAS_MAX, |least| least.min(REPLICAS_MAX));
    let count = registered.map_or(members.len().max(least), |registered| registered.replicas.len());
    let replicas = u8::try_from(count).ok().filter(|count| usize::from(*count) <= REPLICAS_MAX);
    let Some(replicas) = replicas else { return Err(Unreplicable::TooMany(count)) };
    let number = |(at, member): (Broker, &Member)| match (registered, member.broker) {
        (Some(view), Some(broker)) => Ok(number_in(&view.replicas, broker)?),
        (Some(_), None) => Err(Unreplicable::Nameless(member.dir)),
        (None, _) => Ok(at),
    };
    Ok(((0..).zip(members).map(number).collect::<Result<_, _>>()?, replicas))
}

fn named(members: &[Member], member: usize) -> String {
    match members[member].broker {
        Some(broker) => format!("broker {broker}"),
        None => format!("the broker of log directory {}", members[member].dir + 1),
    }
}

/// Offsets of a log that the protocol may ask for.
fn places(member: &Member) -> impl Iterator<Item = Offset> + '_ {
    let log = &member.log;
    let within = |offset: Offset| offset.max(log.log_start).min(log.log_end);
    let epochs = log.epochs.entries().iter().map(move |entry| within(entry.start));
    epochs.chain([log.log_start, log.log_end, within(member.high_watermark)])
}

/// The machine's state: everybody at hand runs and follows the leader, in the leader's last epoch.
fn state_of(
    rules: &Rules,
    members: &[Member],
    numbers: &[Broker],
    leader: usize,
    isr: BrokerSet,
    cells: &Cells,
) -> State {
    let epoch = members[leader].log.epochs.latest().map_or(0, |entry| raw(entry.epoch));
    let mut state = state_on_disk(rules, members, numbers, leader, cells);
    for (at, number) in numbers.iter().enumerate() {
        let replica = state.replica_mut(*number);
        (replica.up, replica.leader_epoch, replica.partition_epoch) = (true, epoch, Some(0));
        replica.role = if at == leader { Role::Leader } else { Role::Follower(Some(numbers[leader])) };
        if at == leader {
            replica.isr = isr;
        }
    }
    let controller = &mut state.controller;
    controller.leader = Some(numbers[leader]);
    controller.leader_epoch = epoch;
    controller.isr = isr;
    controller.unfenced = numbers.iter().fold(isr, |all, number| all.with(*number));
    state
}

/// Nobody runs; of the members there are the logs, leader epochs and high watermarks.
///
/// A cell of the log of `reference` is the record of its number. Another log has the same record there where it has the same
/// epoch, else one that is no other's.
fn state_on_disk(rules: &Rules, members: &[Member], numbers: &[Broker], reference: usize, cells: &Cells) -> State {
    let mut state = State::initial(rules);
    for replica in &mut state.brokers {
        *replica = Replica { up: false, ..Replica::empty() };
    }
    let first = members[reference].log.log_start;
    let mut next_record = u32::try_from(cells.numbers().end).unwrap_or(u32::MAX);
    let mut others: Vec<(u64, u32, u32)> = Vec::new();
    for (member, number) in members.iter().zip(numbers) {
        let log = &member.log;
        let start = if log.is_new() { first } else { log.log_start };
        let replica = state.replica_mut(*number);
        replica.log = Log::starting_at(cells.number(start));
        for entry in log.epochs.entries() {
            replica.epochs.assign(raw(entry.epoch), cells.number(entry.start.max(start)));
        }
        for cell in cells.number(start)..cells.number(log.log_end.max(start)) {
            let offset = cells.offset(cell);
            let of = |log: &LogView| log.epochs.epoch_for_offset(offset).map_or(0, raw);
            let (epoch, reference) = (of(log), &members[reference].log);
            let is_there = offset >= reference.log_start && offset < reference.log_end && epoch == of(reference);
            let known = others.iter().find(|(at, of, _)| (*at, *of) == (cell, epoch));
            let record = match known {
                _ if is_there => u32::try_from(cell).unwrap_or(u32::MAX),
                Some((_, _, record)) => *record,
                None => {
                    others.push((cell, epoch, next_record));
                    next_record += 1;
                    next_record - 1
                }
            };
            replica.log.push(Stored { record, epoch });
        }
        replica.hw = cells.number(member.high_watermark.max(start).min(log.log_end.max(start)));
        replica.hw_checkpoint = replica.hw;
    }
    state.next_record = next_record;
    state
}

fn raw(epoch: LeaderEpoch) -> u32 {
    u32::try_from(epoch.0).unwrap_or(0)
}
