//! Where a replica cuts its log when another one leads, by the questions and answers that the two exchange.
//!
//! The rules are those of [`crate::replication::machine`], for logs that are there already: the leader has just taken a leader
//! epoch above all others, and nothing was written in it.

use crate::replication::epochs::Epochs;
use crate::replication::rules::{Era, Truncation};

/// What the exchange needs to know of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// First offset that may be read.
    pub start: u64,
    /// One above its last offset.
    pub end: u64,
    /// As its broker knows it when it starts: that of the checkpoint, at most `end`; 0 where there is none.
    pub high_watermark: u64,
    /// Leader epochs and where they begin.
    pub epochs: Epochs,
}

/// What a follower does until its fetches are answered with records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Followed {
    /// Offsets it cuts its log to, one after the other.
    pub cuts: Vec<u64>,
    /// It drops its whole log and begins anew at this offset, the log start of the leader.
    pub restarts_at: Option<u64>,
    /// The first offset it fetches then.
    pub end: u64,
}

impl Followed {
    /// Where what it keeps of its own log ends; none when it keeps all of it.
    pub fn cut_to(&self) -> Option<u64> {
        self.restarts_at.or_else(|| self.cuts.last().copied())
    }
}

/// Has `follower` follow `leader` in leader epoch `new_epoch` by the rules of `era`.
pub fn follow(era: Era, new_epoch: u32, leader: &Bounds, follower: &Bounds) -> Followed {
    let mut answering = leader.clone();
    // Before KIP-279 a leader notes its epoch with the first record.
    if era >= Era::Epoch2 {
        answering.epochs.assign(new_epoch, leader.end);
    }
    let mut exchange = Exchange { leader: answering, own: follower.clone(), done: Followed::default() };
    match era.truncation() {
        Truncation::ToHighWatermark => exchange.cut(follower.high_watermark),
        Truncation::AskEnd => exchange.ask(false),
        Truncation::AskEpochAndEnd => exchange.ask(true),
        Truncation::OnFetch => exchange.fetch(),
    }
    exchange.into_range()
}

struct Exchange {
    leader: Bounds,
    own: Bounds,
    done: Followed,
}

impl Exchange {
    /// Cuts the follower's log to `to`, if it is longer.
    fn cut(&mut self, to: u64) {
        if to < self.own.end {
            self.own.end = to;
            self.own.start = self.own.start.min(to);
            self.own.epochs.cut(to);
            self.done.cuts.push(to);
        }
    }

    /// The question of eras 0.11 to 2.6, until it need not be put again (`OffsetsForLeaderEpoch`).
    fn ask(&mut self, exact: bool) {
        loop {
            let asked = self.own.epochs.last();
            let answer = asked.and_then(|epoch| self.leader.epochs.end_of(epoch, self.leader.end, exact));
            let Some(answer) = answer else { return self.cut(self.own.high_watermark) };
            let own = self.own.epochs.end_of(answer.epoch, self.own.end, true).filter(|_| exact);
            match own {
                Some(own) if own.epoch != answer.epoch => {
                    let before = self.own.end;
                    self.cut(own.end);
                    if self.own.end == before {
                        return;
                    }
                }
                Some(own) => return self.cut(own.end.min(answer.end)),
                None => return self.cut(answer.end),
            }
        }
    }

    /// Fetches from 2.7 on, until one is answered with records (`ReplicaFetcherThread.truncateOnFetchResponse`).
    fn fetch(&mut self) {
        if self.own.epochs.last().is_none() {
            // Without leader epochs, as before magic 2, there is nothing to compare (`ReplicaManager.initialFetchOffset`).
            return self.cut(self.own.high_watermark);
        }
        while let Some(epoch) = self.own.epochs.last() {
            let Some(answer) = self.leader.epochs.end_of(epoch, self.leader.end, true) else { return };
            if answer.epoch == epoch && answer.end >= self.own.end {
                return;
            }
            let before = (self.own.end, self.own.epochs.entries().len());
            let own = self.own.epochs.end_of(answer.epoch, self.own.end, true);
            self.cut(match own {
                // It does not have that epoch: back to the end of the largest one below, and the next fetch tells more.
                Some(own) if own.epoch != answer.epoch => own.end,
                Some(own) => own.end.min(answer.end),
                None => answer.end,
            });
            // A follower whose file of leader epochs contradicts its log would ask for ever.
            if before == (self.own.end, self.own.epochs.entries().len()) {
                return;
            }
        }
    }

    /// What is beyond the leader's end is cut, and a log that ends before the leader's begins is dropped
    /// (`AbstractFetcherThread.fetchOffsetAndTruncate`).
    fn into_range(mut self) -> Followed {
        self.cut(self.leader.end);
        if self.own.end < self.leader.start {
            self.done.restarts_at = Some(self.leader.start);
            self.own.end = self.leader.start;
        }
        self.done.end = self.own.end;
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(start: u64, end: u64, high_watermark: u64, entries: &[(u32, u64)]) -> Bounds {
        let mut epochs = Epochs::default();
        entries.iter().for_each(|&(epoch, start)| epochs.assign(epoch, start));
        Bounds { start, end, high_watermark, epochs }
    }

    #[test]
    fn a_follower_cuts_where_the_protocol_says() {
        // Recorded from Kafka 4.3.0: a killed leader with a tail of its own, and two unclean elections in a row.
        let old = bounds(0, 82, 57, &[(0, 0), (1, 50), (2, 57)]);
        let new = bounds(0, 90, 90, &[(0, 0), (1, 50), (3, 57)]);
        let (zig, zag) = (bounds(0, 34, 34, &[(0, 0), (2, 30)]), bounds(0, 26, 26, &[(0, 0), (1, 20)]));
        let (long, short) = (bounds(0, 34, 34, &[(0, 0), (1, 20), (3, 30)]), bounds(0, 26, 20, &[(0, 0), (2, 20)]));
        let empty = bounds(0, 0, 0, &[]);
        let late = bounds(60, 90, 90, &[(1, 60), (3, 70)]);
        let bare = bounds(0, 20, 12, &[]);
        type Case<'a> = (&'a str, &'a Bounds, &'a Bounds, &'a [u64], Option<u64>, u64);
        let cases: [Case<'_>; 13] = [
            ("tail of an old leader", &new, &old, &[57], None, 57),
            ("the other way round", &old, &new, &[57], None, 57),
            ("an epoch that the leader skipped", &zig, &zag, &[20], None, 20),
            ("and the follower does not have the answer's epoch", &long, &short, &[20], None, 20),
            ("the newer fork follows the older, in two steps", &zag, &zig, &[30, 20], None, 20),
            ("equal", &new, &new, &[], None, 90),
            ("behind", &new, &bounds(0, 70, 60, &[(0, 0), (1, 50), (3, 57)]), &[], None, 70),
            ("ahead", &bounds(0, 70, 60, &[(0, 0), (1, 50), (3, 57)]), &new, &[70], None, 70),
            ("an empty follower", &new, &empty, &[], None, 0),
            ("an empty leader", &empty, &new, &[0], None, 0),
            ("below the leader's start", &late, &bounds(0, 55, 55, &[(0, 0), (1, 50)]), &[], Some(60), 60),
            (
                "the leader's epochs begin above the follower's last",
                &late,
                &bounds(0, 65, 65, &[(0, 0)]),
                &[60],
                None,
                60,
            ),
            ("no leader epochs", &new, &bare, &[12], None, 12),
        ];
        for (name, leader, follower, cuts, restarts_at, end) in cases {
            let expected = Followed { cuts: cuts.to_vec(), restarts_at, end };
            assert_eq!(follow(Era::Fetch, 9, leader, follower), expected, "{name}");
        }
    }

    #[test]
    fn older_eras_cut_by_their_own_rules() {
        // KIP-279: leader e0 to 2, then e2; the follower has m2 of e1 at offset 1.
        let (leader, follower) = (bounds(0, 3, 3, &[(0, 0), (2, 2)]), bounds(0, 2, 1, &[(0, 0), (1, 1)]));
        let cut = |era| follow(era, 3, &leader, &follower).end;
        assert_eq!(Era::ALL.map(cut), [1, 2, 1, 1, 1, 1]);
        // A follower that is ahead, before its high watermark was known to it.
        let (leader, follower) = (bounds(0, 5, 5, &[(0, 0)]), bounds(0, 6, 3, &[(0, 0)]));
        let cut = |era| follow(era, 3, &leader, &follower).end;
        assert_eq!(Era::ALL.map(cut), [3, 5, 5, 5, 5, 5]);
    }
}
