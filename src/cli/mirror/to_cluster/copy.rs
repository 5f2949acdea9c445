//! Transactions: records of many partitions, and how far that is, all or nothing.
//!
//! ```text
//! begin | records of some partitions | wait for all reports | syncs, checkpoints | commit
//! ```
//! What is in the target and what the target says of it change together, so a run that is killed anywhere leaves one or the
//! other state, and the next run takes up from what it reads there.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::lane::{Fed, Lane, State};
use super::map::MapFile;
use super::offsets::Groups;
use super::problem::{failed, show_said};
use crate::cli::Outcome;
use crate::cli::interrupt::Interrupt;
use crate::cli::ui::{Problem, Progress, Ui};
use crate::cluster::client::{Cluster, ClusterError};
use crate::cluster::mm2::{Checkpoint, OffsetSync, Span};
use crate::cluster::runs;
use crate::cluster::sender::{Outgoing, Sender};

/// Partitions that are read in turn: enough for every broker to have something to do.
const WINDOW: usize = 16;
/// Bytes of one partition before it is the next one's turn.
const TURN_BYTES: u64 = 256 << 10;
/// How long records are collected for one transaction.
const COLLECT_MAX: Duration = Duration::from_secs(2);
/// How often a transaction is tried.
const TRIES_MAX: u32 = 5;

/// What a copy needs beside its lanes.
pub struct Copy<'a> {
    /// The target.
    pub cluster: &'a Cluster,
    /// Its producer.
    pub sender: Sender,
    /// Topic of syncs.
    pub syncs_topic: String,
    /// Topic of checkpoints.
    pub checkpoints_topic: String,
    /// Most bytes a second.
    pub throttle: Option<u64>,
    /// Bytes of records in a transaction.
    pub transaction_bytes: u64,
    /// `--map`.
    pub map: Option<MapFile>,
    /// Groups that go along.
    pub groups: Groups,
    /// Ctrl-C.
    pub interrupt: Interrupt,
    /// Transactions that were committed.
    pub transactions: u64,
    /// Bytes sent since the start, for the throttle.
    pub sent_bytes: u64,
}

impl Copy<'_> {
    /// Carries over what the lanes hold.
    pub fn run(&mut self, lanes: &mut [Lane<'_>], progress: &mut Progress, ui: &mut Ui) -> anyhow::Result<Outcome> {
        let started = Instant::now();
        let mut turns = Turns::of(lanes);
        let mut fed = Fed::default();
        let (mut outcome, mut tries) = (Outcome::Done, 0);
        loop {
            let done = self.transaction(lanes, &mut turns, &mut fed, progress);
            show_said(self.cluster, ui);
            for message in fed.messages.drain(..) {
                if message.severity == crate::cli::message::Severity::Error {
                    outcome |= Outcome::Findings;
                }
                message.show(ui);
            }
            match done {
                Ok(true) => {
                    tries = 0;
                    self.hold_back(fed.bytes, started);
                }
                Ok(false) => break,
                Err(Trouble::Cluster(ClusterError::Record { slot, number, reason })) => {
                    // Everything in front of it still goes over.
                    let lane = &mut lanes[slot];
                    let offset = lane.offset_sent(number);
                    lane.refuse(offset);
                    // A batch is refused as a whole.
                    let text = format!("{}: records from offset {offset} on are refused: {reason}", lane.name());
                    ui.error(Problem::new("refused", text).path(lane.partition.dir()));
                    outcome |= Outcome::Failed;
                    self.take_back(lanes, &mut turns)?;
                }
                Err(Trouble::Cluster(ClusterError::Aborted(reason))) if tries < TRIES_MAX => {
                    tries += 1;
                    ui.warning(Problem::new(
                        "notice",
                        format!("a transaction was aborted, and is tried again: {reason}"),
                    ));
                    self.take_back(lanes, &mut turns)?;
                }
                Err(Trouble::Cluster(error)) => {
                    if !matches!(error, ClusterError::Fenced(_)) {
                        let _ = self.sender.abort();
                    }
                    return Err(failed(error));
                }
                Err(Trouble::Other(error)) => return Err(error),
            }
            if self.interrupt.is_asked() {
                outcome |= Outcome::Interrupted;
                break;
            }
        }
        Ok(outcome)
    }

    fn take_back(&mut self, lanes: &mut [Lane<'_>], turns: &mut Turns) -> anyhow::Result<()> {
        self.sender.abort().map_err(failed)?;
        lanes.iter_mut().filter(|lane| lane.position != lane.committed).for_each(Lane::rewind);
        *turns = Turns::of(lanes);
        Ok(())
    }

    /// One transaction; false when nothing is left.
    fn transaction(
        &mut self,
        lanes: &mut [Lane<'_>],
        turns: &mut Turns,
        fed: &mut Fed,
        progress: &mut Progress,
    ) -> Result<bool, Trouble> {
        let Some(mut slot) = turns.next(lanes) else { return Ok(false) };
        self.sender.begin()?;
        let (begun, mut touched) = (Instant::now(), BTreeSet::new());
        fed.bytes = 0;
        // Nothing waits inside a transaction: brokers end one that takes too long.
        let bytes_max = self.throttle.map_or(self.transaction_bytes, |rate| rate.min(self.transaction_bytes));
        loop {
            let lane = &mut lanes[slot];
            let fed_it = lane.feed(slot, &mut self.sender, TURN_BYTES.min(bytes_max), fed);
            progress.add(std::mem::take(&mut fed.read_bytes));
            if lane.position > lane.committed {
                touched.insert(slot);
            }
            fed_it?;
            turns.give_back(slot, lanes);
            let is_full = fed.bytes >= bytes_max || begun.elapsed() >= COLLECT_MAX;
            if is_full || self.interrupt.is_asked() {
                break;
            }
            match turns.next(lanes) {
                Some(next) => slot = next,
                None => break,
            }
        }
        if touched.is_empty() {
            self.sender.abort()?;
            return Ok(turns.is_left());
        }
        self.end(lanes, &touched)?;
        Ok(true)
    }

    /// Says of partitions that nothing was mirrored to yet that they are this mirror's, before anything is.
    ///
    /// A transaction that a kill cuts short leaves its markers, and no progress: without a claim nobody could tell them from what
    /// somebody else has written.
    pub fn claim(&mut self, lanes: &mut [Lane<'_>]) -> anyhow::Result<()> {
        let unclaimed = || lanes.iter().filter(|lane| !lane.is_claimed && lane.state == State::Open);
        if unclaimed().next().is_none() {
            return Ok(());
        }
        self.sender.begin().map_err(failed)?;
        for lane in unclaimed() {
            let (from, upstream) = (lane.told.get(), lane.position.get());
            let nothing = Span { from, upstream, downstream: lane.target_next, runs: Vec::new() };
            self.send_sync(&sync_of(lane, nothing)).map_err(failed)?;
        }
        self.sender.settle().and_then(|()| self.sender.commit()).map_err(failed)?;
        for lane in lanes.iter_mut().filter(|lane| !lane.is_claimed && lane.state == State::Open) {
            (lane.is_claimed, lane.told) = (true, lane.position);
        }
        Ok(())
    }

    fn send_sync(&mut self, sync: &OffsetSync) -> Result<(), ClusterError> {
        let (key, value, headers) = (sync.key(), sync.value(), sync.headers());
        let record = Outgoing { key: Some(&key), value: Some(&value), timestamp_ms: None };
        let headers = headers.iter().map(|(name, value)| (*name, Some(value.as_slice())));
        self.sender.send_aside((&self.syncs_topic, 0), &record, headers)
    }

    /// Writes how far it went, and commits.
    fn end(&mut self, lanes: &mut [Lane<'_>], touched: &BTreeSet<usize>) -> Result<(), Trouble> {
        self.sender.settle()?;
        let mut ended = Vec::with_capacity(touched.len());
        for slot in touched {
            let lane = &lanes[*slot];
            let arrived = self.sender.take_arrived(*slot);
            if runs::total(&arrived) != runs::total(&lane.sent) {
                return Err(ClusterError::Aborted(format!("{}: not all reports came", lane.name())).into());
            }
            let mapped = runs::pair(&lane.sent, &arrived);
            let downstream = mapped.last().map_or(lane.target_next, runs::Mapped::target_end);
            let span = Span { from: lane.told.get(), upstream: lane.position.get(), downstream, runs: mapped };
            let sync = sync_of(lane, span);
            self.send_sync(&sync)?;
            ended.push(sync);
        }
        // What it learns holds only if this is committed.
        let translator = self.groups.translator.clone();
        for sync in &ended {
            self.groups.translator.learn(&sync.partition, sync.topic_id, &sync.span);
        }
        let checkpoints = self.groups.new_checkpoints(ended.iter().map(|sync| &sync.partition));
        if let Err(error) = self.send_checkpoints(&checkpoints) {
            self.groups.translator = translator;
            return Err(error.into());
        }
        self.transactions += 1;
        self.groups.written(checkpoints);
        for (slot, sync) in touched.iter().zip(ended) {
            let lane = &mut lanes[*slot];
            lane.records += runs::total(&lane.sent);
            lane.bytes += std::mem::take(&mut lane.sent_bytes);
            lane.sent.clear();
            lane.committed = lane.position;
            lane.told = lane.position;
            lane.target_next = sync.span.downstream;
            if let Some(map) = &mut self.map {
                map.add(lane.name(), &sync.span.runs)?;
            }
        }
        if let Some(map) = &mut self.map {
            map.flush()?;
        }
        Ok(())
    }

    /// Writes checkpoints that no transaction of records had.
    pub fn write_checkpoints(&mut self) -> anyhow::Result<()> {
        let partitions = self.groups.partitions();
        let checkpoints = self.groups.new_checkpoints(partitions.iter());
        if checkpoints.is_empty() {
            return Ok(());
        }
        self.sender.begin().map_err(failed)?;
        self.send_checkpoints(&checkpoints).map_err(failed)?;
        self.groups.written(checkpoints);
        Ok(())
    }

    /// The last of a transaction.
    fn send_checkpoints(&mut self, checkpoints: &[Checkpoint]) -> Result<(), ClusterError> {
        for checkpoint in checkpoints {
            let (key, value) = (checkpoint.key(), checkpoint.value());
            let record = Outgoing { key: Some(&key), value: Some(&value), timestamp_ms: None };
            self.sender.send_aside((&self.checkpoints_topic, 0), &record, std::iter::empty())?;
        }
        self.sender.settle()?;
        self.sender.commit()
    }

    /// Waits as long as the throttle asks.
    fn hold_back(&mut self, bytes: u64, started: Instant) {
        self.sent_bytes += bytes;
        let Some(rate) = self.throttle else { return };
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let due = Duration::from_secs_f64(self.sent_bytes as f64 / rate as f64);
        while started.elapsed() < due && !self.interrupt.is_asked() {
            std::thread::sleep((due - started.elapsed().min(due)).min(Duration::from_millis(50)));
        }
    }
}

enum Trouble {
    Cluster(ClusterError),
    Other(anyhow::Error),
}

impl From<ClusterError> for Trouble {
    fn from(error: ClusterError) -> Trouble {
        Trouble::Cluster(error)
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Trouble {
        Trouble::Other(error)
    }
}

/// Whose turn it is: a few lanes one after the other, the others once those are through.
struct Turns {
    window: VecDeque<usize>,
    waiting: VecDeque<usize>,
}

impl Turns {
    fn of(lanes: &[Lane<'_>]) -> Turns {
        let open = lanes.iter().enumerate().filter(|(_, lane)| lane.state == State::Open);
        Turns { window: VecDeque::new(), waiting: open.map(|(slot, _)| slot).collect() }
    }

    fn next(&mut self, lanes: &[Lane<'_>]) -> Option<usize> {
        while self.window.len() < WINDOW
            && let Some(slot) = self.waiting.pop_front()
        {
            self.window.push_back(slot);
        }
        let slot = self.window.pop_front()?;
        if lanes[slot].state == State::Open { Some(slot) } else { self.next(lanes) }
    }

    fn give_back(&mut self, slot: usize, lanes: &[Lane<'_>]) {
        if lanes[slot].state == State::Open {
            self.window.push_back(slot);
        }
    }

    fn is_left(&self) -> bool {
        !self.window.is_empty() || !self.waiting.is_empty()
    }
}

fn sync_of(lane: &Lane<'_>, span: Span) -> OffsetSync {
    OffsetSync {
        partition: lane.name().clone(),
        span,
        is_ours: true,
        topic_id: lane.topic_id,
        leader_epoch: lane.leader_epoch,
    }
}
