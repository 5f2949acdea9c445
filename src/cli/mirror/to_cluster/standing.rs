//! Where the mirror stands, by the target's own account, and whether the source and the target still are what they were then.

use std::collections::BTreeMap;

use super::lane::Lane;
use super::offsets::Groups;
use super::problem::{failed, refused};
use crate::cli::mirror::GapArg;
use crate::cli::ui::{Problem, Ui};
use crate::cluster::mm2::{OffsetSync, Span};
use crate::cluster::progress::Progress;
use crate::storage::leader_epochs::{self, EpochEnd};
use crate::types::{Offset, TopicPartition};

/// The last sync of each partition, without its runs.
#[derive(Debug, Default)]
pub struct Standing {
    latest: BTreeMap<TopicPartition, OffsetSync>,
}

impl Standing {
    /// Reads the syncs; `see` gets each of ours, with its runs.
    pub fn read(progress: &Progress<'_>, topic: &str, mut see: impl FnMut(&OffsetSync)) -> anyhow::Result<Standing> {
        let mut latest = BTreeMap::new();
        let read = progress.read_syncs(topic, |mut sync| {
            if !sync.is_ours {
                return;
            }
            see(&sync);
            sync.span.runs = Vec::new();
            latest.insert(sync.partition.clone(), sync);
        });
        read.map_err(failed)?;
        Ok(Standing { latest })
    }

    /// The last sync of a partition.
    pub fn of(&self, partition: &TopicPartition) -> Option<&OffsetSync> {
        self.latest.get(partition)
    }
}

/// What is wrong before anything is sent.
#[derive(Debug, Default)]
pub struct Findings {
    /// Missing or changed offsets: exit 1, unless they are to be kept.
    pub gaps: Vec<Problem>,
    /// Exit 4.
    pub refusals: Vec<Problem>,
}

/// A partition of the target.
#[derive(Debug, Clone, Copy, Default)]
pub struct TargetEnds {
    /// First offset.
    pub low: i64,
    /// Next offset.
    pub high: i64,
}

/// Puts each lane where it goes on.
pub fn place(
    lane: &mut Lane<'_>,
    sync: Option<&OffsetSync>,
    target: TargetEnds,
    append: bool,
    groups: &mut Groups,
    findings: &mut Findings,
) {
    let name = lane.name();
    lane.target_next = target.high;
    let Some(sync) = sync else {
        if target.high > target.low && !append {
            findings.refusals.push(
                refused(format!(
                    "{name} holds records in the cluster (offsets {}..{}), and nothing tells which of them are from here",
                    target.low, target.high
                ))
                .hint(
                    "if this source was mirrored under another name, give it with --name; add its records to those \
                     that are there with --append",
                ),
            );
        }
        // Nothing below the start will ever be mirrored.
        let start = lane.start.get();
        let nothing = Span { from: 0, upstream: start, downstream: target.high, runs: Vec::new() };
        groups.translator.learn(name, lane.topic_id, &nothing);
        lane.start_at(lane.start);
        return;
    };
    lane.is_claimed = true;
    lane.leader_epoch = sync.leader_epoch;
    let (done, log_start) = (Offset::new(sync.span.upstream), lane.partition.log_start());
    let mut gap = |text: String, hint: &str| {
        findings.gaps.push(Problem::new("gap", text).path(lane.partition.dir()).hint(hint.to_owned()));
    };
    let (mut start, mut told) = (done, done);
    if let (Some(was), Some(is)) = (sync.topic_id, lane.topic_id)
        && was != is
    {
        let text = format!(
            "{name}: the topic was made again: offsets up to {done} were mirrored of the one with the id {was}, this one \
             has {is} and offsets {log_start}..{}",
            lane.end
        );
        gap(text, "mirror the new topic behind the old one with: --on-gap keep");
        (start, told) = (log_start, Offset::ZERO);
    } else if let Some(end) = diverged(lane, sync) {
        let text = format!(
            "{name}: offsets {end}..{done} were mirrored and are not in the source any more: its log was truncated to {end}"
        );
        gap(text, "mirror what the source has now, behind what was mirrored, with: --on-gap keep");
        (start, told) = (end, end);
    } else if done < log_start {
        let text = format!(
            "{name}: offsets {done}..{log_start} were not mirrored and are gone: the log starts at {log_start}"
        );
        gap(text, "go on behind them with: --on-gap keep");
        start = log_start;
    }
    if target.high < sync.span.downstream {
        groups.cut(name, target.high);
        let text = format!(
            "{name}: the cluster's log ends at {}, but what was mirrored reaches {}: the topic there was made again, or \
             lost records",
            target.high, sync.span.downstream
        );
        gap(text, "mirror all of it anew under another --name, or go on behind what was mirrored with: --on-gap keep");
    }
    lane.start_at(start);
    lane.told = told;
}

/// Where the source's log ends to be the one that was mirrored.
fn diverged(lane: &Lane<'_>, sync: &OffsetSync) -> Option<Offset> {
    let done = Offset::new(sync.span.upstream);
    let log_end = lane.partition.log_end().ok()?;
    let epochs = leader_epochs::read(&lane.partition.dir().join(leader_epochs::FILE_NAME)).ok();
    let by_epoch =
        epochs.zip(sync.leader_epoch).and_then(|(epochs, epoch)| match epochs.end_offset_for(epoch, log_end) {
            EpochEnd::Known { end, .. } => Some(end),
            EpochEnd::Unknown => None,
        });
    let end = by_epoch.unwrap_or(log_end).min(log_end);
    (end < done).then_some(end)
}

/// Shows what is wrong; whether to go on.
pub fn go_on(findings: Findings, on_gap: GapArg, ui: &mut Ui) -> Option<crate::cli::Outcome> {
    use crate::cli::Outcome;
    let mut outcome = None;
    for problem in findings.gaps {
        if on_gap == GapArg::Stop {
            outcome = outcome.max(Some(Outcome::Findings));
            ui.error(problem);
        } else {
            ui.warning(problem.hint("going on, as --on-gap keep says"));
        }
    }
    for problem in findings.refusals {
        outcome = outcome.max(Some(Outcome::Refused));
        ui.error(problem);
    }
    outcome
}
