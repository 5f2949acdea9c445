//! What becomes of a dead partition when one of its replicas is made leader, told from what is left on their disks.
//!
//! [`compare`] finds which offsets of the logs hold the same records. From that, and from what their brokers knew, follow
//! the [`fork`]s of the logs, for each replica what it would keep and lose as leader and where the others would cut their
//! logs ([`candidate`], [`follow`]), and which one to take ([`choice`]).
//!
//! What a disk can tell of a record and what it cannot:
//!
//! - below a high watermark that some broker knew, it was committed: every member of the ISR had it, consumers may have read
//!   it, and its producer was told so at `acks=all`, if it was still there to be told;
//! - above all of them it was in the log of a leader, and so acknowledged if it was sent with `acks=1`. Whether it was
//!   committed is open: the checkpoint of high watermarks is up to five seconds old
//!   (`replica.high.watermark.checkpoint.interval.ms`), and a follower learns of a high watermark one fetch late.
//!
//! Offsets are counted, not records: those of transaction markers, and those that compaction emptied, are among them.

pub mod candidate;
pub mod choice;
pub mod compare;
pub mod follow;
pub mod fork;

use std::ops::Range;

use self::candidate::Candidate;
use self::choice::Choice;
use self::compare::{Comparison, Stretch};
use self::follow::Bounds;
use self::fork::Fork;
use super::epochs::Epochs;
use super::rules::Era;

/// One replica, as its disk tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its broker, where that is known.
    pub broker: Option<i32>,
    /// First offset that readers may see.
    pub start: u64,
    /// One above its last offset: above the last sound one, where its log is damaged.
    pub end: u64,
    /// That of the checkpoint; may lie above `end` when the log has lost its tail.
    pub high_watermark: Option<u64>,
    /// Leader epochs as they are recorded, also those that begin at or above `end`.
    pub epochs: Epochs,
    /// The partition as its broker's own copy of the metadata log has it: what it knew last.
    pub view: Option<View>,
}

/// The partition as a metadata log has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Brokers it is assigned to, the preferred leader first.
    pub replicas: Vec<i32>,
    /// The leader; none at the moment, perhaps.
    pub leader: Option<i32>,
    /// Its leader epoch.
    pub leader_epoch: u32,
    /// In-sync replicas.
    pub isr: Vec<i32>,
    /// Eligible leader replicas.
    pub elr: Vec<i32>,
    /// `min.insync.replicas`, where the topic or all brokers have it set; else it is a broker's own setting.
    pub min_insync_replicas: Option<u32>,
}

impl View {
    /// Whether a clean election may choose `broker`.
    pub fn is_electable(&self, broker: i32) -> bool {
        self.isr.contains(&broker) || self.elr.contains(&broker)
    }
}

impl Replica {
    /// Whether every record was committed when it was appended: its broker led, alone in the ISR, and one was enough
    /// (`min.insync.replicas` 1). It may have been about to take another in at that moment; that takes milliseconds.
    pub fn led_alone(&self) -> bool {
        let (Some(broker), Some(view)) = (self.broker, &self.view) else { return false };
        // A metadata log that ends before the log does tells of an earlier time.
        let is_of_the_end = self.epochs.last() <= Some(view.leader_epoch);
        is_of_the_end && view.leader == Some(broker) && view.isr == [broker] && view.min_insync_replicas == Some(1)
    }

    /// The log as a broker has it once it has loaded it: leader epochs without a record are gone
    /// (`UnifiedLog.initializeLeaderEpochCache`).
    pub fn loaded(&self) -> Bounds {
        let mut epochs = self.epochs.clone();
        epochs.cut(self.end);
        let high_watermark = self.high_watermark.unwrap_or(0).clamp(self.start.min(self.end), self.end);
        Bounds { start: self.start, end: self.end, high_watermark, epochs }
    }

    /// Leader epoch that wrote `offset`, as the replica has recorded it.
    fn epoch_at(&self, offset: u64) -> Option<u32> {
        self.epochs.entries().iter().take_while(|entry| entry.start <= offset).last().map(|entry| entry.epoch)
    }
}

/// Replicas of one partition, and what is known around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// The replicas.
    pub replicas: Vec<Replica>,
    /// Their logs side by side, in the same order.
    pub comparison: Comparison,
    /// The partition as the newest metadata log has it; none where that ends before the logs do.
    pub newest: Option<View>,
    /// Rules by which the brokers will follow.
    pub era: Era,
}

impl Situation {
    /// Brokers of the assignment whose replica is not among these, each with whether it may be elected cleanly: what they have
    /// is not known. By the newest metadata, else by what the replicas' own brokers knew last.
    pub fn not_looked_at(&self) -> Vec<(i32, bool)> {
        let own = || self.replicas.iter().filter_map(|it| it.view.as_ref()).max_by_key(|view| view.leader_epoch);
        let Some(view) = self.newest.as_ref().or_else(own) else { return Vec::new() };
        let is_here = |broker: &i32| self.replicas.iter().any(|replica| replica.broker == Some(*broker));
        let missing = view.replicas.iter().filter(|broker| !is_here(broker));
        missing.map(|broker| (*broker, view.is_electable(*broker))).collect()
    }
}

/// How it is known that records were committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// They are below the high watermark of this replica.
    HighWatermark {
        /// The replica.
        replica: usize,
        /// Its high watermark.
        at: u64,
    },
    /// The broker of this replica led, alone in the ISR, and one was enough.
    LedAlone {
        /// The replica.
        replica: usize,
    },
}

/// Committed offsets that no replica has any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// They.
    pub offsets: Range<u64>,
    /// Leader epoch they were written in, as the replica has recorded it.
    pub epoch: Option<u32>,
    /// The replica whose high watermark was above them.
    pub replica: usize,
}

/// What follows from a situation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// Where logs part, in the order of offsets.
    pub forks: Vec<Fork>,
    /// By replica: what it would be as leader.
    pub candidates: Vec<Candidate>,
    /// Committed offsets that are lost whoever leads.
    pub gone: Vec<Gone>,
    /// Which one to take; none where there is no replica.
    pub choice: Option<Choice>,
}

impl Assessment {
    /// Assesses `situation`.
    pub fn of(situation: &Situation) -> Assessment {
        let replicas = &situation.replicas;
        let committed: Vec<(u64, Proof)> =
            replicas.iter().enumerate().flat_map(|(number, replica)| committed(number, replica)).collect();
        let forks = fork::find(replicas.len(), &situation.comparison.stretches);
        let candidates: Vec<Candidate> =
            (0..replicas.len()).map(|number| Candidate::of(situation, &committed, number)).collect();
        let gone = gone(replicas, &situation.comparison.stretches);
        let choice = choice::choose(situation, &candidates);
        Assessment { forks, candidates, gone, choice }
    }

    /// Whether records that were surely committed are lost with the best choice too.
    pub fn surely_loses(&self) -> bool {
        let best = self.choice.as_ref().and_then(|choice| self.candidates.get(choice.best()));
        !self.gone.is_empty() || best.is_some_and(|best| best.loses_committed() > 0)
    }
}

/// Up to where replica `number` knows its records to be committed, and how.
fn committed(number: usize, replica: &Replica) -> impl Iterator<Item = (u64, Proof)> {
    let by_mark = replica.high_watermark.map(|at| (at, Proof::HighWatermark { replica: number, at }));
    let alone = replica.led_alone().then_some((replica.end, Proof::LedAlone { replica: number }));
    by_mark.into_iter().chain(alone)
}

/// Whether what some replicas have on `stretch` under `copy` was committed, and by whose word.
///
/// A replica speaks for what it has. For what it has lost, behind its end, it speaks by its leader epochs: another log with
/// the same epoch at the same offset has what it had.
fn proof(replicas: &[Replica], committed: &[(u64, Proof)], stretch: &Stretch, copy: usize) -> Option<Proof> {
    let speaks = |&&(below, proof): &&(u64, Proof)| {
        let (Proof::HighWatermark { replica: number, .. } | Proof::LedAlone { replica: number }) = proof;
        let (Some(replica), Some(held)) = (replicas.get(number), stretch.held.get(number)) else { return false };
        stretch.from < below
            && match held {
                Some(held) => held.copy == copy,
                None => stretch.from >= replica.end && has_epoch(replica, stretch, copy),
            }
    };
    // A high watermark that was written down needs no conclusion; of equals the first.
    let weight = |(below, proof): &&(u64, Proof)| (matches!(proof, Proof::HighWatermark { .. }), *below);
    committed.iter().rev().filter(speaks).max_by_key(weight).map(|(_, proof)| *proof)
}

/// Whether `replica` has recorded for the offsets of `stretch` the leader epoch that `copy` is of.
fn has_epoch(replica: &Replica, stretch: &Stretch, copy: usize) -> bool {
    let epoch = stretch.held.get(copy).copied().flatten().and_then(|held| held.epoch);
    epoch.is_some() && replica.epoch_at(stretch.from) == epoch
}

/// Offsets below a high watermark that its replica has not got, and no other log with the same leader epoch there has.
fn gone(replicas: &[Replica], stretches: &[Stretch]) -> Vec<Gone> {
    let mut gone: Vec<Gone> = Vec::new();
    for (number, replica) in replicas.iter().enumerate() {
        let Some(mark) = replica.high_watermark.filter(|&mark| mark > replica.end) else { continue };
        let mut points = vec![replica.end, mark];
        points.extend(replica.epochs.entries().iter().map(|entry| entry.start));
        points.extend(stretches.iter().flat_map(|stretch| [stretch.from, stretch.to]));
        points.retain(|&point| replica.end <= point && point <= mark);
        points.sort_unstable();
        points.dedup();
        for (&from, &to) in points.iter().zip(points.iter().skip(1)) {
            let there = stretches.iter().find(|stretch| stretch.from <= from && from < stretch.to);
            let epoch = replica.epoch_at(from);
            let is_there = there.is_some_and(|stretch| stretch.copies().any(|held| held.epoch == epoch));
            if is_there {
                continue;
            }
            match gone.last_mut() {
                Some(last) if last.offsets.end == from && last.epoch == epoch && last.replica == number => {
                    last.offsets.end = to;
                }
                _ => gone.push(Gone { offsets: from..to, epoch, replica: number }),
            }
        }
    }
    // Several replicas may have known of the same.
    let mut once: Vec<Gone> = Vec::new();
    for it in gone {
        let is_known = |other: &Gone| {
            other.epoch == it.epoch && other.offsets.start <= it.offsets.start && it.offsets.end <= other.offsets.end
        };
        if !once.iter().any(is_known) {
            once.push(it);
        }
    }
    once
}

#[cfg(test)]
mod tests;
