//! The run: looks at both sides, reads the topics one after the other to their ends, and with `--follow` goes on with all of
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::lane::{Lane, LaneError};
use super::last::LastRecord;
use super::{offsets, topics};
use crate::batch::Compressor;
use crate::cli::Outcome;
use crate::cli::args::{GlobalArgs, now_ms};
use crate::cli::consume::select::storage_problem;
use crate::cli::interrupt::Interrupt;
use crate::cli::json_row::JsonRow;
use crate::cli::mirror::rows::{Row, Rows};
use crate::cli::mirror::to_cluster::{failed, properties, show_said};
use crate::cli::mirror::{GapArg, MirrorArgs, make_target, tell_findings};
use crate::cli::session::{session_problem, tell};
use crate::cli::topics::problem::create_problem;
use crate::cli::ui::{Problem, Ui};
use crate::cluster::client::{Cluster, REQUEST_MAX, Reader};
use crate::cluster::fetcher::{Fetched, Fetcher};
use crate::cluster::topics::{Admin, TargetConfigs, topics_of};
use crate::storage::log_dir::{LogDir, open_partition_dir};
use crate::storage::mirror::{Finding, OnGap};
use crate::storage::partition::present;
use crate::storage::writer::log::LogWriter;
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

/// Carries topics out of a cluster.
pub fn run(args: &MirrorArgs, servers: &str, to: &Path, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    if !global.dir.is_empty() {
        return Err(Problem::usage("-d names where records come from, and --from-cluster too")
            .hint("the log directory that gets the copies is named with --to")
            .into());
    }
    let interrupt = Interrupt::listen()?;
    let mut rows = Rows::new(args.no_header, global, ui)?;
    let properties = properties(&args.to_cluster, global.properties.as_deref())?;
    let cluster = Cluster::new(servers, properties).map_err(failed)?;
    let reader = cluster.reader("logdir-mirror").map_err(failed)?;
    let metadata = cluster.reach(&reader).map_err(failed)?;
    let wanted = topics::wanted(args, &topics_of(&metadata), servers)?;
    drop(metadata);
    let names: Vec<&str> = wanted.keys().map(String::as_str).collect();
    let configs = Admin::open(&cluster).and_then(|admin| admin.configs(&names)).map_err(failed)?;
    let fetcher = Fetcher::open(&cluster, true).map_err(failed)?;
    let opened = match args.dry_run {
        true => present(LogDir::open(to)).map_err(|error| storage_problem(&error))?,
        false => {
            make_target(to, cluster_id(&reader).as_deref(), None, ui)?;
            Some(LogDir::open(to).map_err(|error| storage_problem(&error))?)
        }
    };
    let copies = opened.as_ref().map_or_else(|| Ok(BTreeMap::new()), topics::copies)?;
    let mut lanes = topics::lanes(args, &wanted, &copies, &configs, (&cluster, &reader))?;
    let mut outcome = Outcome::Done;
    for lane in &mut lanes {
        lane.is_stopped = lane.finding.as_ref().is_some_and(|it| args.on_gap == GapArg::Stop || !it.can_be_passed());
    }
    let Some(opened) = opened.filter(|_| !args.dry_run) else {
        outcome |= report(args, &lanes, &mut rows, None, ui)?;
        return Ok(outcome);
    };
    let started = Instant::now();
    let mut copying =
        Copying { args, interrupt, to, opened, session: None, compressor: Compressor::default(), waiting: 0 };
    copying.open(&mut lanes, ui)?;
    let ended = copying.copy(&cluster, fetcher, &mut lanes, &configs, ui);
    let closed = copying.close(&mut lanes, ui);
    show_said(&cluster, ui);
    outcome |= ended?;
    closed?;
    let ends: BTreeMap<TopicPartition, Offset> = lanes.iter().map(|lane| (lane.name.clone(), lane.next)).collect();
    offsets::carry(&args.to_cluster.groups, &cluster, &reader, to, &ends, ui)?;
    outcome |= report(args, &lanes, &mut rows, Some(started.elapsed()), ui)?;
    if outcome == Outcome::Interrupted {
        ui.note("interrupted: what came over is whole and on disk; run it again to go on");
    }
    Ok(outcome)
}

fn cluster_id(reader: &Reader) -> Option<String> {
    reader.client().fetch_cluster_id(REQUEST_MAX)
}

struct Copying<'a> {
    args: &'a MirrorArgs,
    interrupt: Interrupt,
    to: &'a Path,
    opened: LogDir,
    session: Option<AppendSession>,
    compressor: Compressor,
    /// Bytes that wait in lanes.
    waiting: usize,
}

impl Copying<'_> {
    fn session(&mut self) -> anyhow::Result<&mut AppendSession> {
        self.session.as_mut().ok_or_else(|| Problem::new("error", "the log directory is closed").into())
    }

    /// Takes the lock, makes partitions that are missing, and finds where each copy ends.
    fn open(&mut self, lanes: &mut [Lane], ui: &mut Ui) -> anyhow::Result<()> {
        let config = LogConfig { max_message_bytes: u32::MAX, ..LogConfig::default() };
        // What a recovery cuts comes again.
        let options = SessionOptions { config, durability: Durability::Synced, allow_truncate: true };
        let mut session = AppendSession::open_alone(self.to, options).map_err(|error| session_problem(&error))?;
        let mut missing: BTreeMap<&str, Vec<TopicPartition>> = BTreeMap::new();
        for lane in lanes.iter().filter(|lane| !self.to.join(lane.name.to_string()).is_dir()) {
            missing.entry(&lane.name.topic).or_default().push(lane.name.clone());
        }
        for (topic, partitions) in missing {
            let id = topics::topic_id(&self.opened, topic)?;
            session.create_partitions(&partitions, id).map_err(|error| create_problem(&error))?;
        }
        for lane in lanes.iter_mut().filter(|lane| !lane.is_stopped) {
            let end =
                session.log(&lane.name, now_ms()).map(LogWriter::log_end).map_err(|error| session_problem(&error))?;
            // A recovery may have cut it, and it goes on behind a gap where that is decided.
            if end > Offset::ZERO && lane.finding.is_none() {
                (lane.from, lane.next, lane.start) = (end, end, end);
                // What is gone from the source by now is nothing to compare with.
                let last = open_partition_dir(&self.to.join(lane.name.to_string()))
                    .and_then(|(partition, _)| LastRecord::of(&partition, end))
                    .map_err(|error| storage_problem(&error))?;
                lane.last = last.filter(|last| last.offset.get() >= lane.ends.0);
            }
        }
        session.take_events().iter().for_each(|event| tell(event, ui));
        self.session = Some(session);
        Ok(())
    }

    fn copy(
        &mut self,
        cluster: &Cluster,
        mut fetcher: Fetcher<'_>,
        lanes: &mut [Lane],
        configs: &BTreeMap<String, TargetConfigs>,
        ui: &mut Ui,
    ) -> anyhow::Result<Outcome> {
        let mut flushed = Instant::now();
        for topic in configs.keys() {
            let mut of_topic: BTreeMap<i32, usize> = BTreeMap::new();
            for (slot, lane) in lanes.iter().enumerate().filter(|(_, lane)| lane.name.topic == *topic) {
                if !lane.is_stopped {
                    of_topic.insert(lane.name.partition, slot);
                }
            }
            let from = of_topic.values().map(|slot| &lanes[*slot]);
            let from: Vec<_> = from.map(|lane| (topic.as_str(), lane.name.partition, lane.asks_from().get())).collect();
            fetcher.read_from(from.into_iter()).map_err(failed)?;
            let mut open: BTreeSet<i32> = of_topic.keys().copied().collect();
            let mut heard = Instant::now();
            while !open.is_empty() {
                if self.interrupt.is_asked() {
                    return Ok(Outcome::Interrupted);
                }
                let fetched = fetcher.next(WAIT).map_err(failed)?;
                match &fetched {
                    Fetched::Nothing if heard.elapsed() > SILENCE_MAX => {
                        return Err(failed(cluster.silent(SILENCE_MAX)));
                    }
                    Fetched::Nothing => {}
                    Fetched::Record(_) | Fetched::End(_) => heard = Instant::now(),
                }
                match fetched {
                    Fetched::Record(record) => {
                        let partition = record.place().1;
                        if let Some(slot) = of_topic.get(&partition) {
                            self.take(&record, &mut lanes[*slot])?;
                            if lanes[*slot].is_stopped && open.remove(&partition) {
                                drop(record);
                                fetcher.leave(topic, partition).map_err(failed)?;
                            }
                        }
                    }
                    Fetched::End(partition) => {
                        if let Some(slot) = of_topic.get(&partition) {
                            lanes[*slot].compare(None);
                        }
                        open.remove(&partition);
                    }
                    Fetched::Nothing => show_said(cluster, ui),
                }
                self.flush(lanes, &mut flushed, false)?;
            }
            self.flush(lanes, &mut flushed, true)?;
        }
        if !self.args.follow {
            return Ok(Outcome::Done);
        }
        drop(fetcher);
        self.follow(cluster, lanes, ui)
    }

    /// Goes on with all partitions as they grow, until it is interrupted.
    fn follow(&mut self, cluster: &Cluster, lanes: &mut [Lane], ui: &mut Ui) -> anyhow::Result<Outcome> {
        let mut fetcher = Fetcher::open(cluster, false).map_err(failed)?;
        let slots: BTreeMap<(String, i32), usize> = lanes
            .iter()
            .enumerate()
            .filter(|(_, lane)| !lane.is_stopped)
            .map(|(slot, lane)| ((lane.name.topic.clone(), lane.name.partition), slot))
            .collect();
        let from: Vec<_> = slots
            .iter()
            .map(|((topic, partition), slot)| (topic.as_str(), *partition, lanes[*slot].next.get()))
            .collect();
        fetcher.read_from(from.into_iter()).map_err(failed)?;
        ui.note("level with the cluster; following it");
        let mut flushed = Instant::now();
        loop {
            if self.interrupt.is_asked() {
                return Ok(Outcome::Interrupted);
            }
            match fetcher.next(WAIT).map_err(failed)? {
                Fetched::Record(record) => {
                    let (topic, partition) = record.place();
                    if let Some(slot) = slots.get(&(topic.to_owned(), partition)) {
                        self.take(&record, &mut lanes[*slot])?;
                    }
                }
                Fetched::End(_) => {}
                Fetched::Nothing => show_said(cluster, ui),
            }
            self.flush(lanes, &mut flushed, false)?;
        }
    }

    fn take(&mut self, record: &crate::cluster::fetcher::Record<'_>, lane: &mut Lane) -> anyhow::Result<()> {
        if lane.is_stopped {
            return Ok(());
        }
        let (before, waited) = (lane.bytes, lane.waiting_bytes());
        let Some(session) = &mut self.session else { return Ok(()) };
        lane.take(record, session, &mut self.compressor, now_ms()).map_err(|error| lane_problem(&error))?;
        self.waiting = (self.waiting + lane.waiting_bytes()).saturating_sub(waited);
        let bytes = lane.bytes - before;
        if let Some(rate) = self.args.throttle.filter(|_| bytes > 0) {
            // Long enough for what this took, at this rate.
            #[expect(clippy::cast_precision_loss, reason = "bytes of one batch")]
            std::thread::sleep(Duration::from_secs_f64(bytes as f64 / rate as f64).min(Duration::from_secs(5)));
        }
        Ok(())
    }

    /// Appends what has waited long enough, or all when that is much, and brings it to disk from time to time.
    fn flush(&mut self, lanes: &mut [Lane], flushed: &mut Instant, all: bool) -> anyhow::Result<()> {
        let (is_full, is_time) = (self.waiting > WAITING_MAX, all || flushed.elapsed() >= FLUSH_EVERY);
        if !is_full && !is_time {
            return Ok(());
        }
        let Some(session) = &mut self.session else { return Ok(()) };
        for lane in lanes.iter_mut().filter(|lane| all || is_full || lane.is_due()) {
            self.waiting = self.waiting.saturating_sub(lane.waiting_bytes());
            lane.send(session, &mut self.compressor, now_ms()).map_err(|error| lane_problem(&error))?;
        }
        if !is_time {
            return Ok(());
        }
        *flushed = Instant::now();
        self.session()?.flush().map_err(|error| storage_problem(&error).into())
    }

    fn close(&mut self, lanes: &mut [Lane], ui: &mut Ui) -> anyhow::Result<()> {
        let Some(mut session) = self.session.take() else { return Ok(()) };
        if session.has_failed() {
            return Ok(());
        }
        for lane in lanes.iter_mut().filter(|lane| !lane.is_stopped) {
            lane.send(&mut session, &mut self.compressor, now_ms()).map_err(|error| lane_problem(&error))?;
            session.vouch_for(&lane.name, now_ms()).map_err(|error| session_problem(&error))?;
        }
        let events = session.close(now_ms()).map_err(|error| session_problem(&error))?;
        events.iter().for_each(|event| tell(event, ui));
        Ok(())
    }
}

fn lane_problem(error: &LaneError) -> Problem {
    match error {
        LaneError::Session(error) => session_problem(error),
        LaneError::Build(error) => Problem::new("refused", error.to_string()),
    }
}

/// Rows, findings and the sum; `took`: nothing was done without it.
fn report(
    args: &MirrorArgs,
    lanes: &[Lane],
    rows: &mut Rows,
    took: Option<Duration>,
    ui: &mut Ui,
) -> anyhow::Result<Outcome> {
    let on_gap = OnGap::from(args.on_gap);
    let (mut outcome, mut records, mut bytes) = (Outcome::Done, 0, 0);
    for lane in lanes {
        let action = match (lane.is_stopped, took, lane.records) {
            (true, _, _) => "stopped",
            (_, None, _) => "copy",
            (_, Some(_), 0) => "level",
            (_, Some(_), _) => "copied",
        };
        let findings: Vec<Finding> = lane.finding.iter().cloned().collect();
        let to = if took.is_some() { lane.next } else { Offset::new(lane.ends.1) };
        let row = Row {
            partition: &lane.name,
            action,
            from: lane.from,
            to,
            source_end: Offset::new(lane.ends.1),
            bytes: lane.bytes,
            findings: &findings,
        };
        if action != "level" || rows.is_json() {
            rows.row(&row, ui)?;
        }
        outcome |= tell_findings(on_gap, &lane.name, &findings, lane.is_stopped, ui);
        (records, bytes) = (records + lane.records, bytes + lane.bytes);
    }
    let seconds = took.map_or(0.0, |took| took.as_secs_f64());
    if rows.is_json() {
        JsonRow::new("summary")
            .field("partitions", lanes.len())
            .field("records", records)
            .field("size_bytes", bytes)
            .field("elapsed_ms", u64::try_from(took.unwrap_or_default().as_millis()).unwrap_or(u64::MAX))
            .field("executed", took.is_some())
            .write(ui.out().buffer());
    }
    let size = ui.size_style().text(bytes);
    match took {
        Some(_) => ui.note(&format!("{records} records, {size} from {} partitions in {seconds:.1} s", lanes.len())),
        None => ui.note(&format!("{} partitions; nothing written", lanes.len())),
    }
    Ok(outcome)
}
