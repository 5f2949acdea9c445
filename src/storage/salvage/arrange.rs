//! Batches as a damaged log has them, put into the order of their offsets.
//!
//! Batches arrive in file order. One whose offsets rise joins the runs; one that does not is a stray, judged when all
//! are known:
//!
//! - a copy of a batch that is there is dropped;
//! - one that fits into a hole, or right behind the end, goes there: two batches were swapped;
//! - one that stands where exactly its number of offsets is missing gets those: its base offset was damaged;
//! - of two different ones for the same offsets that of the higher leader epoch stays, else the first;
//! - anything else is left out, and said.

use std::collections::VecDeque;

use super::{Fact, Files, Prefix, Run, append};
use crate::batch::ENTRY_OVERHEAD;
use crate::storage::fs::StorageError;
use crate::storage::leader_epochs::LeaderEpochs;
use crate::storage::restore::Lost;
use crate::types::{LeaderEpoch, Offset, Position};

/// Bytes that do not come into the result as they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Number of the file.
    pub file: usize,
    /// First byte.
    pub position: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Last offset read before it.
    pub after: Option<Offset>,
    /// First offset read behind it; `None` when nothing followed.
    pub before: Option<Offset>,
    /// What is wrong with them.
    pub reason: String,
}

/// A log in order.
#[derive(Debug, Default)]
pub struct Arranged {
    /// Its batches, offsets rising over all runs.
    pub runs: Vec<Run>,
    /// What is damaged.
    pub holes: Vec<Hole>,
    /// What was repaired, dropped or moved, in words.
    pub remarks: Vec<String>,
}

#[derive(Debug)]
struct Stray {
    fact: Fact,
    after: Option<Offset>,
    before: Option<Offset>,
}

/// Takes batches in file order.
#[derive(Debug)]
pub struct Arranger {
    known: LeaderEpochs,
    runs: Vec<Run>,
    /// Batches whose leader epoch is not settled: it takes the two behind them.
    open: VecDeque<Fact>,
    strays: Vec<Stray>,
    holes: Vec<Hole>,
    /// Strays and holes behind the last batch: what follows them is not known yet.
    waiting_strays: usize,
    waiting_holes: usize,
    end: Option<Offset>,
    epoch: LeaderEpoch,
    remarks: Vec<String>,
}

impl Arranger {
    /// `known` are the leader epochs of the checkpoint beside the log, as far as it can be read.
    pub fn new(known: LeaderEpochs) -> Arranger {
        Arranger {
            known,
            runs: Vec::new(),
            open: VecDeque::new(),
            strays: Vec::new(),
            holes: Vec::new(),
            waiting_strays: 0,
            waiting_holes: 0,
            end: None,
            epoch: LeaderEpoch::NONE,
            remarks: Vec::new(),
        }
    }

    /// The next batch; `doubted` where its offsets are out of place.
    pub fn push(&mut self, fact: Fact, doubted: bool) {
        if doubted || self.end.is_some_and(|end| fact.first <= end) || fact.last < fact.first {
            self.strays.push(Stray { fact, after: self.end, before: None });
            self.waiting_strays += 1;
            return;
        }
        let strays = self.strays.len() - self.waiting_strays;
        self.strays[strays..].iter_mut().for_each(|stray| stray.before = Some(fact.first));
        let holes = self.holes.len() - self.waiting_holes;
        self.holes[holes..].iter_mut().for_each(|hole| hole.before = Some(fact.first));
        (self.waiting_strays, self.waiting_holes) = (0, 0);
        self.end = Some(fact.last);
        self.open.push_back(fact);
        self.settle(3);
    }

    /// Bytes that hold no batch.
    pub fn damage(&mut self, file: usize, position: u64, bytes: u64, reason: String) {
        self.holes.push(Hole { file, position, bytes, after: self.end, before: None, reason });
        self.waiting_holes += 1;
    }

    /// Something to be said.
    pub fn remark(&mut self, text: String) {
        self.remarks.push(text);
    }

    /// Settles the leader epochs of batches while more than `keep - 1` are open.
    fn settle(&mut self, keep: usize) {
        while self.open.len() >= keep.max(1)
            && let Some(mut fact) = self.open.pop_front()
        {
            let following = [self.open.front(), self.open.get(1)].map(|fact| fact.map(|fact| fact.epoch));
            let known = self.known.epoch_for_offset(fact.first);
            if let Some(epoch) = judge_epoch(self.epoch, fact.epoch, following, known) {
                self.remarks.push(format!(
                    "batch at position {} (base offset {}): leader epoch {} does not fit, repaired to {epoch}",
                    fact.position, fact.first, fact.epoch
                ));
                fact.epoch = epoch;
                fact.repaired = Some(prefix(&fact));
            }
            self.epoch = self.epoch.max(fact.epoch);
            append(&mut self.runs, &fact);
        }
    }

    /// Judges the strays; `files` are what the batches stand in.
    pub fn finish(mut self, files: &Files) -> Result<Arranged, StorageError> {
        self.settle(1);
        let mut arranged = Arranged { runs: self.runs, holes: self.holes, remarks: self.remarks };
        for stray in self.strays {
            arranged.judge(stray, files)?;
        }
        Ok(arranged)
    }
}

/// The epoch a batch must have, if it is not the one it has: `before` is the highest in front of it, `following` those
/// of the two behind it, `known` what the checkpoint says.
fn judge_epoch(
    before: LeaderEpoch,
    found: LeaderEpoch,
    following: [Option<LeaderEpoch>; 2],
    known: Option<LeaderEpoch>,
) -> Option<LeaderEpoch> {
    let none = LeaderEpoch::NONE;
    if found == none || following.contains(&Some(none)) {
        return None;
    }
    let lowest = before.max(LeaderEpoch(0));
    let [next, second] = following;
    let too_low = found < before;
    // The next one is lower: it is wrong, or this one. The one behind it tells.
    let too_high = next.is_some_and(|next| next < found && next >= before)
        && second.is_none_or(|second| second < found || known.is_some_and(|known| known < found));
    // At the end of the log only the checkpoint tells: a broker writes it before the first batch of an epoch.
    let unknown = next.is_none() && known.is_some_and(|known| known != found);
    if !(too_low || too_high || unknown) {
        return None;
    }
    let highest = next.filter(|next| *next >= lowest);
    if highest == Some(lowest) && (second.is_some() || known == highest) {
        return highest;
    }
    known.filter(|known| *known != found && *known >= lowest && highest.is_none_or(|highest| *known <= highest))
}

/// The first bytes of a batch with the offset, length and epoch it is to have.
pub(super) fn prefix(fact: &Fact) -> Prefix {
    let mut bytes = Prefix::default();
    // A message's field holds its own offset, a wrapper's the last one in it.
    let offset = if fact.magic >= 2 { fact.first } else { fact.last };
    bytes[..8].copy_from_slice(&offset.get().to_be_bytes());
    let length = i32::try_from(fact.len.saturating_sub(ENTRY_OVERHEAD as u64)).unwrap_or(i32::MAX);
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    // Magic 0 and 1 have their checksum where magic 2 has the epoch.
    let fourth = if fact.magic >= 2 { fact.epoch.0.to_be_bytes() } else { fact.crc.to_be_bytes() };
    bytes[12..16].copy_from_slice(&fourth);
    bytes[16] = fact.magic.cast_unsigned();
    bytes
}

impl Arranged {
    /// The runs that may hold offsets of `first..=last`, by number.
    fn near(&self, first: Offset, last: Offset) -> std::ops::Range<usize> {
        let from = self.runs.partition_point(|run| run.last < first);
        let to = self.runs.partition_point(|run| run.first <= last);
        from..to.max(from)
    }

    fn judge(&mut self, stray: Stray, files: &Files) -> Result<(), StorageError> {
        let Stray { fact, after, before } = stray;
        let place = format!("batch at position {} (offsets {}..{})", fact.position, fact.first, fact.last);
        let valid = fact.first >= Offset::ZERO && fact.last >= fact.first;
        let mut over = Vec::new();
        if valid {
            for number in self.near(fact.first, fact.last) {
                over.extend(files.overlapping(&self.runs[number], fact.first, fact.last)?);
            }
        }
        if let [one] = &over[..]
            && one.is_copy_of(&fact)
        {
            self.remarks.push(format!("{place}: a copy of the batch at position {}, dropped", one.position));
            return Ok(());
        }
        let at = self.runs.partition_point(|run| run.last < fact.first);
        let follows = at > 0 && self.runs.get(at - 1).is_some_and(|run| run.last.next() == fact.first);
        let bounded = at < self.runs.len();
        if valid && over.is_empty() && (bounded || follows || self.runs.is_empty()) {
            self.remarks.push(format!("{place}: out of order, put in its place"));
            return self.insert(&fact, files);
        }
        // Exactly its offsets are missing where it stands.
        let count = fact.last.get().wrapping_sub(fact.first.get());
        if let (Some(after), Some(before)) = (after, before)
            && before.get().wrapping_sub(after.get()).wrapping_sub(2) == count
            && self.near(after.next(), before.plus(-1)).is_empty()
        {
            let mut moved = Fact { first: after.next(), last: before.plus(-1), ..fact };
            moved.repaired = Some(prefix(&moved));
            self.remarks.push(format!("{place}: base offset does not fit, repaired to {}", moved.first));
            return self.insert(&moved, files);
        }
        if !valid || over.is_empty() {
            let reason = "a sound batch whose offsets fit nowhere".to_owned();
            self.holes.push(Hole { file: fact.file, position: fact.position, bytes: fact.len, after, before, reason });
            return Ok(());
        }
        let highest = over.iter().map(|other| other.epoch).max().unwrap_or(LeaderEpoch::NONE);
        let loser = if fact.epoch > highest { over[0] } else { fact };
        if fact.epoch > highest {
            for other in &over {
                self.take_out(other, files)?;
            }
            self.insert(&fact, files)?;
        }
        self.remarks.push(format!(
            "{place}: another batch than the one at position {} for the same offsets; that of leader epoch {} is kept",
            over[0].position,
            highest.max(fact.epoch)
        ));
        let reason = "another batch holds these offsets".to_owned();
        let (after, before) = (Some(loser.first.plus(-1)), Some(loser.last.next()));
        self.holes.push(Hole { file: loser.file, position: loser.position, bytes: loser.len, after, before, reason });
        Ok(())
    }

    /// Puts a batch where its offsets are free.
    fn insert(&mut self, fact: &Fact, files: &Files) -> Result<(), StorageError> {
        let at = self.runs.partition_point(|run| run.last < fact.first);
        if let Some(run) = self.runs.get(at).filter(|run| run.first <= fact.first) {
            let (left, right) = files.split(run, fact.first)?;
            let parts = left.into_iter().chain([Run::of(fact)]).chain(right);
            self.runs.splice(at..=at, parts);
        } else {
            self.runs.insert(at, Run::of(fact));
        }
        Ok(())
    }

    fn take_out(&mut self, fact: &Fact, files: &Files) -> Result<(), StorageError> {
        let at = self.runs.partition_point(|run| run.last < fact.first);
        let Some(run) = self.runs.get(at).copied() else { return Ok(()) };
        let (left, rest) = files.split(&run, fact.first)?;
        let right = match rest {
            Some(rest) => files.split(&rest, fact.last.next())?.1,
            None => None,
        };
        self.runs.splice(at..=at, left.into_iter().chain(right));
        Ok(())
    }

    /// What is missing for good: of every hole the offsets that no run holds.
    pub fn losses(&self, files: &Files) -> Vec<Lost> {
        let mut losses = Vec::new();
        for hole in &self.holes {
            let file = files.path(hole.file).file_name().unwrap_or_default().to_string_lossy().into_owned();
            let lost = |first: Option<Offset>, next: Option<Offset>| Lost {
                file: file.clone(),
                position: Position::new(hole.position),
                bytes: hole.bytes,
                first,
                next,
                reason: hole.reason.clone(),
            };
            let Some(after) = hole.after else {
                losses.push(lost(Some(Offset::ZERO), self.runs.first().map(|run| run.first)));
                continue;
            };
            let mut from = after.next();
            let to = hole.before;
            let near = self.runs.iter().skip(self.runs.partition_point(|run| run.last < from));
            let mut filled = false;
            for run in near {
                if to.is_some_and(|to| run.first >= to) {
                    break;
                }
                if run.first > from {
                    losses.push(lost(Some(from), Some(run.first)));
                }
                filled = true;
                from = run.last.next();
            }
            match to {
                Some(to) if from < to => losses.push(lost(Some(from), Some(to))),
                None if !filled => losses.push(lost(Some(from), None)),
                _ => {}
            }
        }
        losses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_epoch_is_repaired_where_one_value_is_left() {
        let epoch = LeaderEpoch;
        let some = |value: i32| Some(LeaderEpoch(value));
        // before, found, the two behind, checkpoint: what it must be.
        let cases = [
            ((0, 7, some(0), some(0), None), some(0)),
            ((0, 7, some(0), None, None), None),
            ((0, 7, some(0), None, some(0)), some(0)),
            ((3, 5, some(3), some(5), None), None),
            ((3, 3, some(5), some(5), None), None),
            ((5, 3, some(5), some(5), None), some(5)),
            ((5, 3, some(6), some(6), None), None),
            ((5, 3, some(6), some(6), some(5)), some(5)),
            ((2, 9, None, None, some(2)), some(2)),
            ((2, 9, None, None, None), None),
            ((2, 3, None, None, some(3)), None),
            ((-1, -1, some(0), some(0), some(0)), None),
        ];
        for ((before, found, next, second, known), expected) in cases {
            let judged = judge_epoch(epoch(before), epoch(found), [next, second], known);
            assert_eq!(judged, expected, "{before} {found} {next:?} {second:?} {known:?}");
        }
    }
}
