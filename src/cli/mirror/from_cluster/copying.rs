//! Topics read one after the other to where they ended when they were looked at, and with `--follow` all of them from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::lane::{Lane, LaneError};
use super::last::LastRecord;
use super::topics::{self, Source};
use crate::batch::Compressor;
use crate::cli::Outcome;
use crate::cli::args::now_ms;
use crate::cli::consume::select::storage_problem;
use crate::cli::mirror::to_cluster::{failed, show_said};
use crate::cli::mirror::{GapArg, MirrorArgs};
use crate::cli::session::{session_problem, tell};
use crate::cli::topics::problem::create_problem;
use crate::cli::ui::{Problem, Ui};
use crate::cluster::fetcher::{Fetched, Fetcher, Record};
use crate::storage::log_dir::LogDir;
use crate::storage::mirror::open_copy;
use crate::storage::moves::throttle::Throttle;
use crate::storage::writer::{AppendSession, Durability, LogConfig, SessionOptions};
use crate::types::{Offset, TopicPartition};

/// How long to wait for what comes next.
const WAIT: Duration = Duration::from_millis(100);
/// What came over is on disk after this time at the latest.
const FLUSH_EVERY: Duration = Duration::from_secs(2);
/// A cluster from which nothing comes for so long is given up, unless it is followed.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// Bytes that wait in all partitions together.
const WAITING_MAX: usize = 16 << 20;
/// Files that are open for a partition.
const FILES_PER_LOG: u64 = 4;
/// Files that are open beside.
const FILES_BESIDE: u64 = 64;

/// The copies, while they are written.
pub struct Copying<'a> {
    args: &'a MirrorArgs,
    source: &'a Source<'a>,
    to: &'a Path,
    opened: LogDir,
    session: Option<AppendSession>,
    compressor: Compressor,
    throttle: Option<Throttle>,
    /// Bytes that wait in lanes.
    waiting: usize,
    flushed: Instant,
    files_max: u64,
}

impl<'a> Copying<'a> {
    /// Nothing is opened yet.
    pub fn new(args: &'a MirrorArgs, source: &'a Source<'a>, to: &'a Path, opened: LogDir) -> Copying<'a> {
        Copying {
            args,
            source,
            to,
            opened,
            session: None,
            compressor: Compressor::default(),
            throttle: args.throttle.map(Throttle::new),
            waiting: 0,
            flushed: Instant::now(),
            files_max: raise_files_max(),
        }
    }

    /// Copies what the lanes are for. What came over is on disk after [`Copying::close`].
    pub fn run(&mut self, lanes: &mut [Lane], ui: &mut Ui) -> anyhow::Result<Outcome> {
        let mut fetcher = Fetcher::open(self.source.cluster, true).map_err(failed)?;
        let topics: BTreeSet<String> = lanes.iter().map(|lane| lane.name.topic.clone()).collect();
        for topic in topics {
            let is_of_it = |lane: &Lane| lane.name.topic == topic;
            self.open(lanes, is_of_it, ui)?;
            let outcome = self.copy_topic(&mut fetcher, &topic, lanes, ui)?;
            if outcome != Outcome::Done {
                return Ok(outcome);
            }
            // Each log has files open.
            self.close(lanes, ui)?;
        }
        if !self.args.follow {
            return Ok(Outcome::Done);
        }
        drop(fetcher);
        self.open(lanes, |_| true, ui)?;
        self.follow(lanes, ui)
    }

    /// Takes the lock, makes partitions that are missing, and finds where each copy ends.
    fn open(&mut self, lanes: &mut [Lane], is_meant: impl Fn(&Lane) -> bool, ui: &mut Ui) -> anyhow::Result<()> {
        let meant = || lanes.iter().filter(|lane| !lane.is_stopped && is_meant(lane));
        let needed = meant().count() as u64 * FILES_PER_LOG + FILES_BESIDE;
        if needed > self.files_max {
            let text = format!("{needed} files have to be open at once, {} may be; nothing was copied", self.files_max);
            let hint = format!("allow more: ulimit -n {needed}; or copy fewer partitions: -t, -p");
            return Err(Problem::new("refused", text).outcome(Outcome::Refused).hint(hint).into());
        }
        let config = LogConfig { max_message_bytes: u32::MAX, ..LogConfig::default() };
        let allow_truncate = self.args.allow_truncate;
        let options = SessionOptions { config, durability: Durability::Synced, allow_truncate };
        let mut session = AppendSession::open_alone(self.to, options).map_err(|error| session_problem(&error))?;
        let mut missing: BTreeMap<&str, Vec<TopicPartition>> = BTreeMap::new();
        for lane in meant().filter(|lane| !self.to.join(lane.name.to_string()).is_dir()) {
            missing.entry(&lane.name.topic).or_default().push(lane.name.clone());
        }
        for (topic, partitions) in missing {
            let id = topics::topic_id(&self.opened, topic)?;
            session.create_partitions(&partitions, id).map_err(|error| create_problem(&error))?;
        }
        for lane in lanes.iter_mut().filter(|lane| !lane.is_stopped && is_meant(lane)) {
            let source_start = Offset::new(lane.ends.0);
            let opened = open_copy(&mut session, &lane.name, source_start, allow_truncate, now_ms());
            let opened = opened.map_err(|error| Box::new(session_problem(&error)));
            if let Err(problem) = opened.and_then(|end| self.place(&mut session, lane, end)) {
                lane.fail(*problem, ui);
            }
            if lane.is_stopped {
                continue;
            }
            // A log that never held a record begins where the source does, even if nothing comes.
            let begun = session.append_from(&lane.name, lane.next, &[], now_ms());
            begun.map_err(|error| session_problem(&error))?;
        }
        session.take_events().iter().for_each(|event| tell(event, ui));
        self.session = Some(session);
        Ok(())
    }

    /// Where a copy goes on that ends at `end`: a recovery may have cut it.
    fn place(&self, session: &mut AppendSession, lane: &mut Lane, end: Offset) -> Result<(), Box<Problem>> {
        if end == Offset::ZERO || !lane.findings.is_empty() {
            // It begins, or begins anew behind a gap.
            return Ok(());
        }
        let is_cut = end < lane.next;
        (lane.from, lane.next) = (end.min(lane.from), end);
        if lane.records > 0 {
            // It was compared.
            return Ok(());
        }
        let copy = session.read(&lane.name, now_ms()).map_err(|error| session_problem(&error))?;
        lane.last = LastRecord::of(&copy, end).map_err(|error| storage_problem(&error))?;
        let ends = if is_cut { self.source.ends(&lane.name)? } else { lane.ends };
        lane.place(ends, self.keeps());
        Ok(())
    }

    fn keeps(&self) -> bool {
        self.args.on_gap == GapArg::Keep
    }

    fn copy_topic(
        &mut self,
        fetcher: &mut Fetcher<'_>,
        topic: &str,
        lanes: &mut [Lane],
        ui: &mut Ui,
    ) -> anyhow::Result<Outcome> {
        let of_topic = lanes.iter().enumerate().filter(|(_, lane)| lane.name.topic == *topic && !lane.is_stopped);
        // Who has all there was, and nothing to be compared, is done.
        let is_open = |lane: &Lane| lane.last.is_some() || !lane.is_level_with(lane.next.get() - 1);
        let mut open: BTreeMap<i32, usize> =
            of_topic.filter(|(_, lane)| is_open(lane)).map(|(slot, lane)| (lane.name.partition, slot)).collect();
        if open.is_empty() {
            return Ok(Outcome::Done);
        }
        read(fetcher, lanes, &slots_of(&open))?;
        let mut heard = Instant::now();
        while !open.is_empty() {
            if self.source.interrupt.is_asked() {
                return Ok(Outcome::Interrupted);
            }
            let fetched = fetcher.next(WAIT).map_err(failed)?;
            match &fetched {
                Fetched::Nothing if heard.elapsed() > SILENCE_MAX => {
                    return Err(failed(self.source.cluster.silent(SILENCE_MAX)));
                }
                Fetched::Nothing => {}
                Fetched::Record(_) | Fetched::End(_) | Fetched::OutOfRange => heard = Instant::now(),
            }
            match fetched {
                Fetched::Record(record) => {
                    let (partition, offset) = (record.place().1, record.offset());
                    let Some(&slot) = open.get(&partition) else { continue };
                    self.take(&record, &mut lanes[slot])?;
                    drop(record);
                    if lanes[slot].is_stopped || lanes[slot].is_level_with(offset) {
                        open.remove(&partition);
                        fetcher.leave(topic, partition).map_err(failed)?;
                    }
                }
                Fetched::End(partition) => {
                    if let Some(slot) = open.remove(&partition) {
                        lanes[slot].compare(None);
                    }
                }
                Fetched::OutOfRange => {
                    let slots = slots_of(&open);
                    self.look_again(lanes, &slots, ui)?;
                    open.retain(|_, slot| !lanes[*slot].is_stopped);
                    read(fetcher, lanes, &slots)?;
                }
                Fetched::Nothing => show_said(self.source.cluster, ui),
            }
            self.flush(lanes, false)?;
        }
        Ok(Outcome::Done)
    }

    /// Goes on with all partitions as they grow, until it is interrupted.
    fn follow(&mut self, lanes: &mut [Lane], ui: &mut Ui) -> anyhow::Result<Outcome> {
        let mut fetcher = Fetcher::open(self.source.cluster, false).map_err(failed)?;
        let mut places: BTreeMap<String, BTreeMap<i32, usize>> = BTreeMap::new();
        for (slot, lane) in lanes.iter().enumerate() {
            places.entry(lane.name.topic.clone()).or_default().insert(lane.name.partition, slot);
        }
        let slots: Vec<usize> = (0..lanes.len()).collect();
        read(&mut fetcher, lanes, &slots)?;
        ui.note("level with the cluster; following it");
        loop {
            if self.source.interrupt.is_asked() {
                return Ok(Outcome::Interrupted);
            }
            match fetcher.next(WAIT).map_err(failed)? {
                Fetched::Record(record) => {
                    let (topic, partition) = record.place();
                    if let Some(slot) = places.get(topic).and_then(|of_topic| of_topic.get(&partition)) {
                        self.take(&record, &mut lanes[*slot])?;
                    }
                }
                Fetched::End(_) => {}
                Fetched::OutOfRange => {
                    self.look_again(lanes, &slots, ui)?;
                    read(&mut fetcher, lanes, &slots)?;
                }
                Fetched::Nothing => show_said(self.source.cluster, ui),
            }
            self.flush(lanes, false)?;
        }
    }

    /// An offset that was asked for is gone: looks where the source begins now, and stops who cannot go on.
    fn look_again(&mut self, lanes: &mut [Lane], slots: &[usize], ui: &mut Ui) -> anyhow::Result<()> {
        // What waits is in front of what is missing.
        self.send(lanes, |_| true)?;
        let mut is_found = false;
        for slot in slots {
            let lane = &mut lanes[*slot];
            if lane.is_stopped {
                continue;
            }
            let (before, asked) = (lane.findings.len(), lane.asks_from());
            match self.source.ends(&lane.name) {
                Ok(ends) => lane.place(ends, self.keeps()),
                Err(problem) => lane.fail(*problem, ui),
            }
            is_found |= lane.findings.len() > before || lane.asks_from() != asked || lane.has_failed;
        }
        if is_found {
            return Ok(());
        }
        Err(Problem::new("unreachable", "an offset of the cluster is out of range, and in it by its own account")
            .hint("run again: a leader may just have changed")
            .into())
    }

    fn take(&mut self, record: &Record<'_>, lane: &mut Lane) -> anyhow::Result<()> {
        if lane.is_stopped {
            return Ok(());
        }
        let (before, waited) = (lane.bytes, lane.waiting_bytes());
        let Some(session) = &mut self.session else { return Ok(()) };
        lane.take(record, session, &mut self.compressor, now_ms()).map_err(|error| lane_problem(&error, lane))?;
        self.waiting = (self.waiting + lane.waiting_bytes()).saturating_sub(waited);
        self.hold_back(lane.bytes - before);
        Ok(())
    }

    /// Waits as long as the throttle asks for so many bytes.
    fn hold_back(&self, bytes: u64) {
        if let Some(throttle) = self.throttle.as_ref().filter(|_| bytes > 0) {
            throttle.wait(bytes, &|| self.source.interrupt.is_asked());
        }
    }

    /// Appends what waits in some lanes.
    fn send(&mut self, lanes: &mut [Lane], is_meant: impl Fn(&Lane) -> bool) -> anyhow::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let mut bytes = 0;
        for lane in lanes.iter_mut().filter(|lane| is_meant(lane)) {
            self.waiting = self.waiting.saturating_sub(lane.waiting_bytes());
            let before = lane.bytes;
            lane.send(session, &mut self.compressor, now_ms()).map_err(|error| lane_problem(&error, lane))?;
            bytes += lane.bytes - before;
        }
        self.hold_back(bytes);
        Ok(())
    }

    /// Appends what has waited long enough, or all when that is much, and brings it to disk from time to time.
    fn flush(&mut self, lanes: &mut [Lane], all: bool) -> anyhow::Result<()> {
        let (is_full, is_time) = (self.waiting > WAITING_MAX, all || self.flushed.elapsed() >= FLUSH_EVERY);
        if is_full || is_time {
            self.send(lanes, |lane| all || is_full || lane.is_due())?;
        }
        if !is_time {
            return Ok(());
        }
        self.flushed = Instant::now();
        let Some(session) = &mut self.session else { return Ok(()) };
        session.flush().map_err(|error| storage_problem(&error).into())
    }

    /// Ends the logs that are open as a clean shutdown does.
    pub fn close(&mut self, lanes: &mut [Lane], ui: &mut Ui) -> anyhow::Result<()> {
        if self.session.as_ref().is_none_or(AppendSession::has_failed) {
            self.session = None;
            return Ok(());
        }
        self.flush(lanes, true)?;
        let Some(mut session) = self.session.take() else { return Ok(()) };
        let open: Vec<TopicPartition> = session.logs().map(|(name, _)| name.clone()).collect();
        for name in open {
            session.vouch_for(&name, now_ms()).map_err(|error| session_problem(&error))?;
        }
        let events = session.close(now_ms()).map_err(|error| session_problem(&error))?;
        events.iter().for_each(|event| tell(event, ui));
        Ok(())
    }
}

fn slots_of(open: &BTreeMap<i32, usize>) -> Vec<usize> {
    open.values().copied().collect()
}

/// Reads what lanes are for, from where they are.
fn read(fetcher: &mut Fetcher<'_>, lanes: &[Lane], slots: &[usize]) -> anyhow::Result<()> {
    let going = slots.iter().map(|slot| &lanes[*slot]).filter(|lane| !lane.is_stopped);
    let from = going.map(|lane| (lane.name.topic.as_str(), lane.name.partition, lane.asks_from().get()));
    fetcher.read_from(from).map_err(failed)
}

/// Lets the process open as many files as it may; how many that is.
fn raise_files_max() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let allowed = if raised.is_ok() { maximum } else { current };
    // None: without a limit.
    allowed.unwrap_or(u64::MAX)
}

fn lane_problem(error: &LaneError, lane: &Lane) -> Problem {
    match error {
        LaneError::Session(error) => session_problem(error),
        LaneError::Build(error) => Problem::new("refused", format!("{}: offset {}: {error}", lane.name, lane.next)),
    }
}
