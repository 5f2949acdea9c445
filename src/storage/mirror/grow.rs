//! Batches appended to a copy, from where it ends.

use super::plan::Plan;
use super::run::Options;
use super::standing::BATCH_BYTES_MAX;
use super::{Finding, MirrorError, OnGap};
use crate::batch::scan::{Damage, Depth, Doubt, Entry};
use crate::storage::moves::MoveError;
use crate::storage::moves::copy::Pace;
use crate::storage::reader::{LogReader, ReadStep};
use crate::storage::writer::AppendSession;
use crate::storage::writer::log::Appended;
use crate::types::Offset;

/// Bytes appended at once.
const APPEND_BYTES: usize = 1 << 20;

/// How far an append came.
#[derive(Debug, Default)]
pub(super) struct Grown {
    /// Batches appended.
    pub batches: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What was in the way: passed, or the reason why it ended.
    pub findings: Vec<Finding>,
    /// It ended before it came to where the plan ends.
    pub is_stopped: bool,
}

/// Appends the batches of the source from `start` on, up to the end of the plan. A log that never held a record begins with
/// the first of them, or at `start` where there is none.
///
/// A batch that reaches beyond the end stays away, as does everything behind something that is in the way, unless that can be
/// passed and is to be ([`OnGap::Keep`]).
pub(super) fn grow(
    session: &mut AppendSession,
    plan: &Plan,
    start: Offset,
    options: &Options,
    pace: &Pace<'_>,
) -> Result<Grown, MirrorError> {
    let mut reader = LogReader::new(&plan.source, Depth::Crc, BATCH_BYTES_MAX);
    reader.seek(start)?;
    let mut growth = Growth {
        session,
        plan,
        options,
        start,
        expected: start,
        is_new: plan.begins && start == plan.from,
        waiting: Vec::new(),
        segment: None,
        grown: Grown::default(),
    };
    while !growth.grown.is_stopped {
        if (pace.stops)() {
            growth.send()?;
            return Err(MoveError::Stopped.into());
        }
        match reader.next()? {
            ReadStep::Entry { segment, entry } if !growth.takes(segment, &entry, pace)? => break,
            ReadStep::Entry { .. } => {}
            ReadStep::Damage { segment, damage } => growth.meets(segment, &damage),
            // Merged or removed while it was read: the next run finds what there is then.
            ReadStep::Gone { .. } => growth.grown.is_stopped = true,
            ReadStep::End { .. } => break,
        }
    }
    growth.send()?;
    Ok(growth.grown)
}

struct Growth<'a> {
    session: &'a mut AppendSession,
    plan: &'a Plan,
    options: &'a Options,
    /// Where a log that never held a record begins.
    start: Offset,
    /// The offset that comes next.
    expected: Offset,
    /// Nothing of the partition was copied before.
    is_new: bool,
    /// Batches that are appended together.
    waiting: Vec<u8>,
    /// The segment of the source that is being read.
    segment: Option<usize>,
    grown: Grown,
}

impl Growth<'_> {
    /// Takes one batch; `false` at the end of what is wanted.
    fn takes(&mut self, segment: usize, entry: &Entry<'_>, pace: &Pace<'_>) -> Result<bool, MirrorError> {
        let (last, base) = (entry.frame.last_offset(), entry.frame.base_offset());
        if last < self.expected && entry.doubt.is_none() {
            return Ok(true);
        }
        if last >= self.plan.to {
            return Ok(false);
        }
        // Of a compressed message of the old formats only its last offset is outside the compression.
        let first = base.unwrap_or(self.expected);
        if let Some(doubt @ Doubt::OffsetOrder { .. }) = entry.doubt {
            // Its checksum holds, its place does not: whoever keeps what is there keeps the rest.
            let (log, position) = (self.log(segment), entry.position);
            self.passes_or_stops(Finding::Damage { log, position, reason: doubt.to_string(), from: self.expected });
            return Ok(true);
        }
        if first < self.expected && !self.is_new {
            self.stop(Finding::Differs { at: first });
            return Ok(true);
        }
        if first > self.expected && !self.plan.may_have_holes {
            let hole = Finding::Hole { log: self.log(segment), from: self.expected, to: first };
            self.passes_or_stops(hole);
            if self.grown.is_stopped {
                return Ok(true);
            }
        }
        let bytes = entry.frame.bytes();
        if pace.throttle.is_some_and(|throttle| !throttle.wait(bytes.len() as u64, pace.stops)) {
            return Ok(true);
        }
        self.enter(segment)?;
        if self.waiting.len() + bytes.len() > APPEND_BYTES {
            self.send()?;
        }
        if self.is_new {
            self.start = base.unwrap_or(self.start);
            self.is_new = false;
        }
        self.waiting.extend_from_slice(bytes);
        self.grown.batches += 1;
        self.grown.bytes += bytes.len() as u64;
        self.expected = last.next();
        (pace.progress)(bytes.len() as u64);
        Ok(true)
    }

    /// Segments end where those of the source do, so that retention takes the same of both.
    fn enter(&mut self, segment: usize) -> Result<(), MirrorError> {
        let begins_here = || self.plan.source.segments().get(segment).is_some_and(|it| it.base >= self.expected);
        let is_next = match self.segment {
            Some(before) => before != segment,
            None => begins_here(),
        };
        self.segment = Some(segment);
        if is_next {
            self.send()?;
            self.session.roll(self.plan.partition(), self.options.now_ms)?;
        }
        Ok(())
    }

    fn meets(&mut self, segment: usize, damage: &Damage) {
        if damage.next.is_some_and(|next| next <= self.expected) {
            return;
        }
        let (log, position, reason) = (self.log(segment), damage.position, damage.reason.to_string());
        self.passes_or_stops(Finding::Damage { log, position, reason, from: self.expected });
    }

    fn passes_or_stops(&mut self, finding: Finding) {
        self.grown.is_stopped = self.options.on_gap == OnGap::Stop;
        self.grown.findings.push(finding);
    }

    fn stop(&mut self, finding: Finding) {
        self.grown.is_stopped = true;
        self.grown.findings.push(finding);
    }

    fn log(&self, segment: usize) -> std::path::PathBuf {
        self.plan.source.segments().get(segment).map(|segment| segment.log.clone()).unwrap_or_default()
    }

    /// Appends what waits.
    fn send(&mut self) -> Result<(), MirrorError> {
        let partition = self.plan.partition();
        let appended = self.session.append_from(partition, self.start, &self.waiting, self.options.now_ms)?;
        if let Appended::Refused(refusal) = appended {
            self.stop(Finding::Refused { at: self.start.max(self.plan.from), refusal });
        }
        self.waiting.clear();
        Ok(())
    }
}
