//! Plans carried out, one partition after the other.

use std::path::{Path, PathBuf};

use super::grow::{Grown, grow};
use super::plan::{Plan, joined};
use super::standing::epochs;
use super::whole::copy_whole;
use super::{Finding, MirrorError, OnGap};
use crate::storage::moves::copy::Pace;
use crate::storage::moves::throttle::Throttle;
use crate::storage::recovery::Loss;
use crate::storage::writer::log::LogWriter;
use crate::storage::writer::session::Event;
use crate::storage::writer::{AppendSession, Durability, LogConfig, SessionError, SessionOptions};
use crate::types::{Offset, TimestampMs, TopicPartition};

/// Partitions that are open at once: each has files open.
const OPEN_MAX: usize = 64;

/// How copies are made.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What to do where a source does not go on from its copy.
    pub on_gap: OnGap,
    /// Open copies that a recovery shortens: what was cut is brought again from the source.
    pub allow_truncate: bool,
    /// Bytes a second.
    pub throttle: Option<u64>,
    /// The time.
    pub now_ms: TimestampMs,
}

impl Options {
    fn session(&self) -> SessionOptions {
        // Segments end where those of the source do, and nowhere else.
        let config = LogConfig {
            segment_bytes: i32::MAX.unsigned_abs(),
            segment_ms: TimestampMs::MAX,
            max_message_bytes: u32::MAX,
            ..LogConfig::default()
        };
        SessionOptions { config, durability: Durability::Synced, allow_truncate: self.allow_truncate }
    }
}

/// What became of one partition.
#[derive(Debug, Default)]
pub struct Done {
    /// Bytes that came over as whole files.
    pub whole_bytes: u64,
    /// Batches appended.
    pub batches: u64,
    /// Bytes of them.
    pub batch_bytes: u64,
    /// Where the copy ends now.
    pub end: Offset,
    /// What was in the way, passed or not.
    pub findings: Vec<Finding>,
    /// It ended before it came to where the plan ends.
    pub is_stopped: bool,
}

/// Whether a source that starts at `log_start` still has what a recovery of its copy cuts.
fn comes_again(losses: &[Loss], log_start: Offset) -> bool {
    losses.iter().all(|loss| match loss {
        Loss::Cut { next_offset, .. } => *next_offset >= log_start,
        Loss::Segment { .. } => true,
        Loss::NotAFile { .. } => false,
    }) && losses.iter().any(|loss| matches!(loss, Loss::Cut { .. }))
}

/// Opens a copy that is there, in a session that allows to truncate where `allow_truncate` says so; where it ends.
///
/// What a run that was killed left half-written is cut, if the source, which starts at `source_start`, still has it.
pub fn open_copy(
    session: &mut AppendSession,
    partition: &TopicPartition,
    source_start: Offset,
    allow_truncate: bool,
    now_ms: TimestampMs,
) -> Result<Offset, SessionError> {
    match session.log(partition, now_ms).map(LogWriter::log_end) {
        Err(SessionError::WouldLose { losses, .. }) if comes_again(&losses, source_start) => {
            session.allow_truncate(true);
            let opened = session.log(partition, now_ms).map(LogWriter::log_end);
            session.allow_truncate(allow_truncate);
            opened
        }
        opened => opened,
    }
}

/// Copies partitions into one log directory, which nobody else writes to meanwhile.
pub struct Mirror {
    dir: PathBuf,
    options: Options,
    throttle: Option<Throttle>,
    session: Option<AppendSession>,
    open: usize,
    events: Vec<Event>,
    /// A file of the copies could not be written.
    is_broken: bool,
}

impl Mirror {
    /// Takes the lock of log directory `dir`.
    pub fn open(dir: &Path, options: Options) -> Result<Mirror, MirrorError> {
        let session = AppendSession::open_alone(dir, options.session())?;
        Ok(Mirror {
            dir: dir.to_owned(),
            options,
            throttle: options.throttle.map(Throttle::new),
            session: Some(session),
            open: 0,
            events: Vec::new(),
            is_broken: false,
        })
    }

    /// What is done where a source does not go on from its copy.
    pub const fn on_gap(&self) -> OnGap {
        self.options.on_gap
    }

    /// What was done that its user should know, since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Copies what `plan` wants. On disk after [`Mirror::settle`].
    ///
    /// `stops` is asked between pieces, `progress` told of bytes that came over.
    pub fn carry_out(
        &mut self,
        plan: &Plan,
        stops: &(dyn Fn() -> bool + Sync),
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Done, MirrorError> {
        let mut done = Done { end: plan.from, findings: plan.finding.iter().cloned().collect(), ..Done::default() };
        if !plan.has_work(self.options.on_gap) {
            done.is_stopped = !plan.is_level();
            return Ok(done);
        }
        if self.open >= OPEN_MAX {
            self.settle()?;
        }
        self.open += 1;
        let (options, throttle) = (self.options, self.throttle.take());
        let pace = Pace { throttle: throttle.as_ref(), stops, progress };
        let copied = self.copy(plan, &options, &pace, &mut done);
        self.throttle = throttle;
        if let Some(session) = &mut self.session {
            self.events.extend(session.take_events());
        }
        self.is_broken = copied.as_ref().is_err_and(|error| error.is_at(&self.dir));
        copied?;
        Ok(done)
    }

    /// Whether a file of the copies could not be written: it will not be for the next partition.
    pub fn has_failed(&self) -> bool {
        self.is_broken || self.session.as_ref().is_some_and(AppendSession::has_failed)
    }

    fn session(&mut self) -> Result<&mut AppendSession, MirrorError> {
        match &mut self.session {
            Some(_) => {}
            none => *none = Some(AppendSession::open_alone(&self.dir, self.options.session())?),
        }
        self.session.as_mut().ok_or_else(|| unreachable!("it was opened"))
    }

    fn copy(&mut self, plan: &Plan, options: &Options, pace: &Pace<'_>, done: &mut Done) -> Result<(), MirrorError> {
        let (partition, now_ms) = (plan.partition(), options.now_ms);
        let mut start = plan.from;
        if !plan.has_copy {
            let dir = self.dir.clone();
            let built = copy_whole(plan, &dir, options.on_gap, pace)?;
            let session = self.session()?;
            match built {
                Some(built) => {
                    let first = plan.source.segments().get(plan.source.floor_segment(plan.from));
                    let log_start = Some(plan.from).filter(|start| first.is_some_and(|first| *start > first.base));
                    session.install(&built.dir, partition, log_start, built.end)?;
                    (start, done.whole_bytes) = (built.end, built.bytes);
                }
                None => drop(session.create_partition(partition, plan.topic_id)?),
            }
        }
        let session = self.session()?;
        if plan.has_copy {
            let end = open_copy(session, partition, plan.source.log_start(), options.allow_truncate, now_ms)?;
            // Behind a gap it goes on where the source does.
            start = if plan.finding.is_some() || plan.begins { start } else { end };
        }
        let Grown { batches, bytes, findings, is_stopped } = grow(session, plan, start, options, pace)?;
        (done.batches, done.batch_bytes, done.is_stopped) = (batches, bytes, is_stopped);
        done.findings.extend(findings);
        let log = session.log(partition, now_ms)?;
        done.end = log.log_end();
        let log_start = if plan.begins { plan.from } else { log.log_start() };
        // Epochs in which nothing was written have no batch that names them.
        let mut of_source = epochs(plan.source.dir())?;
        if done.end < plan.source_end {
            of_source.truncate_from_end(done.end);
        }
        let all = joined(log.epochs(), &of_source);
        session.describe(partition, log_start, all, now_ms)?;
        session.vouch_for(partition, now_ms)?;
        if let Some(cleaner) = plan.source.checkpoints().cleaner {
            session.set_cleaner_point(partition, cleaner.min(done.end));
        }
        if let Some(high_watermark) = plan.source.high_watermark(done.end) {
            session.set_high_watermark(partition, high_watermark);
        }
        Ok(())
    }

    /// Brings everything to disk, and ends the logs as a clean shutdown does.
    ///
    /// Where something could not be written nothing more is: the next run goes on from what is there.
    pub fn settle(&mut self) -> Result<(), MirrorError> {
        self.open = 0;
        if let Some(session) = self.session.take().filter(|session| !session.has_failed()) {
            self.events.extend(session.close(self.options.now_ms)?);
        }
        Ok(())
    }
}
