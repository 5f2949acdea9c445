//! One replica as leader: what is kept, what is lost and how bad that is, and what the others do to their logs.

use std::ops::Range;

use super::compare::{Held, Stretch};
use super::follow::{Followed, follow};
use super::{Proof, Situation, proof};

/// What a leader has in place of records that it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// Nothing: its log ends before them.
    End,
    /// Nothing: its log has a gap there that compaction does not explain.
    Gap,
    /// Records of this leader epoch; none before magic 2.
    Epoch(Option<u32>),
}

/// How bad a loss is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The records were committed: acknowledged at `acks=all`, and consumers may have read them.
    Committed(Proof),
    /// They may have been acknowledged: surely at `acks=1`. At `acks=all` too if they were committed after the last checkpoint.
    Open {
        /// Replicas that were in the ISR of that leader epoch, by the metadata of the one that knew it, and have not got them:
        /// while there is any, they were committed only if it had them and lost them since.
        in_sync_without: Vec<usize>,
    },
}

/// Records that others have and a leader does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Their offsets.
    pub offsets: Range<u64>,
    /// Leader epoch they were written in; none before magic 2.
    pub epoch: Option<u32>,
    /// Replicas that have them.
    pub holders: Vec<usize>,
    /// How bad it is.
    pub standing: Standing,
    /// What the leader has there.
    pub instead: Instead,
}

impl Lost {
    /// How many offsets.
    pub const fn len(&self) -> u64 {
        self.offsets.end - self.offsets.start
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.offsets.start == self.offsets.end
    }
}

/// Offsets that a leader has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// They.
    pub offsets: Range<u64>,
    /// Other replicas that have the same.
    pub with: Vec<usize>,
}

/// Another replica, when this one leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    /// It.
    pub replica: usize,
    /// Where it cuts its log.
    pub followed: Followed,
    /// Offsets it keeps although the leader has something else there: the protocol does not find them.
    pub differs: Vec<Range<u64>>,
}

/// A replica as leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// It.
    pub replica: usize,
    /// What it has.
    pub kept: Vec<Kept>,
    /// What it has not, and others have.
    pub lost: Vec<Lost>,
    /// Offsets below its log start that others have: removed by retention or DeleteRecords; its followers remove them too.
    pub below_start: Option<Range<u64>>,
    /// What the others do.
    pub followers: Vec<Follower>,
}

impl Candidate {
    /// Replica `number` of `situation` as leader; `committed` is up to where each knows its records to be committed.
    pub(super) fn of(situation: &Situation, committed: &[(u64, Proof)], number: usize) -> Candidate {
        let replicas = &situation.replicas;
        let mut candidate =
            Candidate { replica: number, kept: Vec::new(), lost: Vec::new(), below_start: None, followers: Vec::new() };
        let Some(leader) = replicas.get(number) else { return candidate };
        let mut points: Vec<u64> = committed.iter().map(|(below, _)| *below).collect();
        points.extend(replicas.iter().flat_map(|replica| replica.epochs.entries().iter().map(|entry| entry.start)));
        points.push(leader.start);
        for stretch in situation.comparison.split_at(&points) {
            let own = stretch.held.get(number).copied().flatten();
            if stretch.to <= leader.start {
                let from = candidate.below_start.as_ref().map_or(stretch.from, |range| range.start);
                candidate.below_start = Some(from..stretch.to);
                continue;
            }
            if let Some(own) = own {
                candidate.keep(&stretch, own);
            }
            for held in stretch.copies().filter(|held| own.is_none_or(|own| own.copy != held.copy)) {
                let standing = match proof(replicas, committed, &stretch, held.copy) {
                    Some(proof) => Standing::Committed(proof),
                    None => Standing::Open { in_sync_without: in_sync_without(situation, &stretch, held) },
                };
                let instead = match own {
                    Some(own) => Instead::Epoch(own.epoch),
                    None if stretch.from < leader.end => Instead::Gap,
                    None => Instead::End,
                };
                candidate.lose(&stretch, held, standing, instead);
            }
        }
        candidate.followers = (0..replicas.len())
            .filter(|&other| other != number)
            .map(|other| followed_by(situation, number, other))
            .collect();
        candidate
    }

    fn keep(&mut self, stretch: &Stretch, own: Held) {
        let with: Vec<usize> = stretch.holders(own.copy).filter(|&other| other != self.replica).collect();
        match self.kept.last_mut() {
            Some(last) if last.offsets.end == stretch.from && last.with == with => last.offsets.end = stretch.to,
            _ => self.kept.push(Kept { offsets: stretch.from..stretch.to, with }),
        }
    }

    fn lose(&mut self, stretch: &Stretch, held: Held, standing: Standing, instead: Instead) {
        let new = Lost {
            offsets: stretch.from..stretch.to,
            epoch: held.epoch,
            holders: stretch.holders(held.copy).collect(),
            standing,
            instead,
        };
        let goes_on = |last: &&mut Lost| {
            last.offsets.end == new.offsets.start
                && (last.epoch, &last.holders, &last.standing, last.instead)
                    == (new.epoch, &new.holders, &new.standing, new.instead)
        };
        match self.lost.iter_mut().rev().take(16).find(goes_on) {
            Some(last) => last.offsets.end = new.offsets.end,
            None => self.lost.push(new),
        }
    }

    /// Offsets it would lose that were surely committed.
    pub fn loses_committed(&self) -> u64 {
        self.lost.iter().filter(|lost| matches!(lost.standing, Standing::Committed(_))).map(Lost::len).sum()
    }

    /// Offsets it would lose that may have been committed: everybody in the ISR of their leader epoch has them, or its ISR is
    /// not known. No checkpoint shows it, and those are up to `replica.high.watermark.checkpoint.interval.ms` old after a kill.
    pub fn loses_perhaps_committed(&self) -> u64 {
        let is_perhaps =
            |lost: &&Lost| matches!(&lost.standing, Standing::Open { in_sync_without } if in_sync_without.is_empty());
        self.lost.iter().filter(is_perhaps).map(Lost::len).sum()
    }

    /// Offsets it would lose that somebody in the ISR of their leader epoch has not got: acknowledged at `acks=1`, at most.
    pub fn loses_unreplicated(&self) -> u64 {
        let is_one =
            |lost: &&Lost| matches!(&lost.standing, Standing::Open { in_sync_without } if !in_sync_without.is_empty());
        self.lost.iter().filter(is_one).map(Lost::len).sum()
    }

    /// How many offsets it has.
    pub fn keeps(&self) -> u64 {
        self.kept.iter().map(|kept| kept.offsets.end - kept.offsets.start).sum()
    }
}

/// Members of the ISR in which `held` was written that have not got it.
fn in_sync_without(situation: &Situation, stretch: &Stretch, held: Held) -> Vec<usize> {
    // Of those that knew this leader epoch the leader itself tells best: it is the one that changes the ISR.
    let views = situation.replicas.iter().filter_map(|replica| Some((replica.broker, replica.view.as_ref()?)));
    let of_epoch = views.filter(|(_, view)| Some(view.leader_epoch) == held.epoch);
    let view = of_epoch.max_by_key(|(broker, view)| view.leader.is_some() && view.leader == *broker);
    let Some((_, view)) = view else { return Vec::new() };
    let lacks = |number: &usize| stretch.held.get(*number).copied().flatten().is_none_or(|it| it.copy != held.copy);
    let is_member = |number: &usize| {
        situation
            .replicas
            .get(*number)
            .and_then(|replica| replica.broker)
            .is_some_and(|broker| view.isr.contains(&broker))
    };
    (0..situation.replicas.len()).filter(is_member).filter(lacks).collect()
}

fn followed_by(situation: &Situation, leader: usize, other: usize) -> Follower {
    let bounds = |number: usize| situation.replicas.get(number).map(super::Replica::loaded);
    let nothing = Follower { replica: other, followed: Followed::default(), differs: Vec::new() };
    let (Some(leads), Some(follows)) = (bounds(leader), bounds(other)) else { return nothing };
    let followed = follow(situation.era, new_epoch(situation), &leads, &follows);
    let keeps_to = if followed.restarts_at.is_some() { 0 } else { followed.end };
    let mut differs: Vec<Range<u64>> = Vec::new();
    for stretch in situation.comparison.stretches.iter().take_while(|stretch| stretch.from < keeps_to) {
        let held = |number: usize| stretch.held.get(number).copied().flatten();
        // Where the leader has nothing the follower's own stays too, unless it is below the leader's start.
        let same = match (held(leader), held(other)) {
            (Some(ours), Some(theirs)) => ours.copy == theirs.copy,
            (None, Some(_)) => stretch.from < leads.start,
            (Some(_), None) => stretch.from < follows.start,
            (None, None) => true,
        };
        if same {
            continue;
        }
        let to = stretch.to.min(keeps_to);
        match differs.last_mut() {
            Some(last) if last.end == stretch.from => last.end = to,
            _ => differs.push(stretch.from..to),
        }
    }
    Follower { replica: other, followed, differs }
}

/// The leader epoch of the election: above all that are known.
fn new_epoch(situation: &Situation) -> u32 {
    let views = situation.replicas.iter().filter_map(|replica| replica.view.as_ref()).chain(&situation.newest);
    let epochs = situation.replicas.iter().filter_map(|replica| replica.epochs.last());
    epochs.chain(views.map(|view| view.leader_epoch)).max().map_or(0, |epoch| epoch.saturating_add(1))
}
