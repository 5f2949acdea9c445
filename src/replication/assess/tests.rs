//! Situations of which all is known.

use std::convert::Infallible;

use super::candidate::{Candidate, Instead, Standing};
use super::choice::Reason;
use super::compare::{Next, Piece, compare};
use super::*;

/// A log of batches of one record each, as `(leader epoch, first offset, end)`; the record at an offset is the same in two
/// logs when its leader epoch is.
type Log = &'static [(u32, u64, u64)];

struct Disk {
    broker: i32,
    log: Log,
    end: u64,
    high_watermark: Option<u64>,
    view: Option<View>,
}

fn disk(broker: i32, log: Log, high_watermark: u64) -> Disk {
    let end = log.last().map_or(0, |last| last.2);
    Disk { broker, log, end, high_watermark: Some(high_watermark), view: None }
}

fn situation(disks: &[Disk]) -> Situation {
    let starts: Vec<u64> = disks.iter().map(|disk| disk.log.first().map_or(0, |first| first.1)).collect();
    let mut places = starts.clone();
    let next = |number: usize| -> Result<Next, Infallible> {
        let (disk, at) = (&disks[number], places[number]);
        places[number] += 1;
        let epoch = disk.log.iter().find(|run| run.1 <= at && at < run.2).map(|run| run.0);
        Ok(match epoch {
            Some(epoch) if at < disk.end => Next::Piece(Piece { first: at, last: at, epoch: Some(epoch), crc: epoch }),
            _ => Next::End(disk.end),
        })
    };
    let comparison = compare(&starts, 0, next).unwrap_or_else(|never| match never {});
    let replica = |(disk, &start): (&Disk, &u64)| {
        let mut epochs = Epochs::default();
        disk.log.iter().for_each(|&(epoch, start, _)| epochs.assign(epoch, start));
        let broker = Some(disk.broker);
        Replica { broker, start, end: disk.end, high_watermark: disk.high_watermark, epochs, view: disk.view.clone() }
    };
    let replicas = disks.iter().zip(&starts).map(replica).collect();
    Situation { replicas, comparison, newest: None, era: Era::Fetch }
}

/// `first..end epoch holders level`, and what each follower cuts to.
fn told(candidate: &Candidate) -> Vec<String> {
    let lost = candidate.lost.iter().map(|lost| {
        let level = match lost.standing {
            Standing::Committed(Proof::HighWatermark { replica, at }) => format!("committed by {replica} at {at}"),
            Standing::Committed(Proof::LedAlone { replica }) => format!("committed by {replica} alone"),
            Standing::Open { ref in_sync_without } => format!("open, not on {in_sync_without:?}"),
        };
        let epoch = lost.epoch.map_or(-1, i64::from);
        format!("loses {:?} e{epoch} of {:?} {level}, has {:?}", lost.offsets, lost.holders, lost.instead)
    });
    let cuts = candidate.followers.iter().map(|it| {
        let differs = if it.differs.is_empty() { String::new() } else { format!(" differs {:?}", it.differs) };
        format!("{} cuts {:?} fetches {}{differs}", it.replica, it.followed.cut_to(), it.followed.end)
    });
    lost.chain(cuts).collect()
}

const SAME: Log = &[(0, 0, 5), (1, 5, 9)];

#[test]
fn equal_logs_lose_nothing() {
    let assessment = Assessment::of(&situation(&[disk(1, SAME, 9), disk(2, SAME, 8), disk(3, SAME, 9)]));
    assert!(assessment.forks.is_empty() && assessment.gone.is_empty() && !assessment.surely_loses());
    for candidate in &assessment.candidates {
        assert!(candidate.lost.is_empty(), "{candidate:?}");
        assert_eq!((candidate.keeps(), candidate.kept.len(), candidate.kept[0].with.len()), (9, 1, 2));
        assert!(candidate.followers.iter().all(|it| it.followed.cut_to().is_none() && it.followed.end == 9));
    }
    let choice = assessment.choice.unwrap();
    assert_eq!((choice.order(), choice.reason, choice.is_unclean), (&[0, 1, 2][..], Reason::Order, None));
}

#[test]
fn an_old_leaders_tail_is_what_a_new_one_loses() {
    const OLD: Log = &[(0, 0, 50), (1, 50, 57), (2, 57, 82)];
    const NEW: Log = &[(0, 0, 50), (1, 50, 57), (3, 57, 90)];
    let mut disks = [disk(1, OLD, 57), disk(2, NEW, 90), disk(3, NEW, 88)];
    disks[0].view = Some(View { leader: Some(1), leader_epoch: 2, isr: vec![1, 2, 3], ..View::default() });
    let mut situation = situation(&disks);
    situation.newest = Some(View { replicas: vec![1, 2, 3], isr: vec![2, 3], ..View::default() });
    let assessment = Assessment::of(&situation);
    let [fork] = &assessment.forks[..] else { panic!("{:?}", assessment.forks) };
    let branches: Vec<_> =
        fork.branches.iter().map(|it| (it.replicas.clone(), it.epochs[0].epoch, it.epochs[0].offsets.end)).collect();
    assert_eq!((fork.at, branches), (57, vec![(vec![0], Some(2), 82), (vec![1, 2], Some(3), 90)]));
    assert_eq!(
        told(&assessment.candidates[0]),
        [
            "loses 57..82 e3 of [1, 2] committed by 1 at 90, has Epoch(Some(2))",
            "loses 82..90 e3 of [1, 2] committed by 1 at 90, has End",
            "1 cuts Some(57) fetches 57",
            "2 cuts Some(57) fetches 57",
        ]
    );
    for number in [1, 2] {
        let other = 3 - number;
        assert_eq!(
            told(&assessment.candidates[number]),
            [
                "loses 57..82 e2 of [0] open, not on [1, 2], has Epoch(Some(3))".to_owned(),
                "0 cuts Some(57) fetches 57".to_owned(),
                format!("{other} cuts None fetches 90"),
            ]
        );
    }
    assert_eq!(assessment.candidates[0].loses_committed(), 33);
    let choice = assessment.choice.as_ref().unwrap();
    assert_eq!((choice.order(), choice.reason, choice.is_unclean), (&[1, 2, 0][..], Reason::Order, Some(false)));
    assert!(!assessment.surely_loses());
}

#[test]
fn forks_upon_forks_are_a_tree() {
    // Two unclean elections in a row, and a third replica that parted from the first only later.
    const A: Log = &[(0, 0, 20), (1, 20, 30), (3, 30, 34)];
    const B: Log = &[(0, 0, 20), (2, 20, 26)];
    const C: Log = &[(0, 0, 20), (1, 20, 25), (4, 25, 27)];
    let assessment = Assessment::of(&situation(&[disk(1, A, 34), disk(2, B, 20), disk(3, C, 27)]));
    let forks: Vec<_> = assessment.forks.iter().map(|fork| (fork.at, fork.branches.len(), fork.same_epoch)).collect();
    assert_eq!(forks, [(20, 2, false), (25, 2, false)]);
    let first = &assessment.forks[0].branches;
    assert_eq!((&first[0].replicas[..], &first[1].replicas[..]), (&[0, 2][..], &[1][..]));
    assert_eq!(first[0].epochs, [fork::EpochRange { epoch: Some(1), offsets: 20..25 }], "up to where it forks again");
    assert_eq!(
        told(&assessment.candidates[1]),
        [
            "loses 20..25 e1 of [0, 2] committed by 0 at 34, has Epoch(Some(2))",
            "loses 25..26 e1 of [0] committed by 0 at 34, has Epoch(Some(2))",
            "loses 25..26 e4 of [2] committed by 2 at 27, has Epoch(Some(2))",
            "loses 26..30 e1 of [0] committed by 0 at 34, has End",
            "loses 26..27 e4 of [2] committed by 2 at 27, has End",
            "loses 30..34 e3 of [0] committed by 0 at 34, has End",
            "0 cuts Some(20) fetches 20",
            "2 cuts Some(20) fetches 20",
        ]
    );
    let choice = assessment.choice.as_ref().unwrap();
    assert_eq!((choice.order(), choice.reason), (&[0, 2, 1][..], Reason::Committed));
    assert_eq!(
        (assessment.candidates[0].loses_committed(), assessment.candidates[0].loses_perhaps_committed()),
        (2, 6)
    );
    assert!(assessment.surely_loses());
}

#[test]
fn an_empty_replica_is_the_worst_and_one_behind_loses_what_it_lacks() {
    let empty = Disk { broker: 2, log: &[], end: 0, high_watermark: None, view: None };
    const BEHIND: Log = &[(0, 0, 5), (1, 5, 7)];
    let assessment = Assessment::of(&situation(&[empty, disk(1, SAME, 6), disk(3, BEHIND, 6)]));
    assert!(assessment.forks.is_empty(), "a log that ends does not part");
    assert_eq!(
        told(&assessment.candidates[0])[..2],
        [
            "loses 0..5 e0 of [1, 2] committed by 1 at 6, has End",
            "loses 5..6 e1 of [1, 2] committed by 1 at 6, has End"
        ]
    );
    assert_eq!(
        told(&assessment.candidates[2]),
        ["loses 7..9 e1 of [1] open, not on [], has End", "0 cuts None fetches 0", "1 cuts Some(7) fetches 7"]
    );
    assert_eq!(
        assessment.choice.as_ref().map(|it| (it.order().to_vec(), it.reason)),
        Some((vec![1, 2, 0], Reason::PerhapsCommitted))
    );
}

#[test]
fn what_retention_removed_is_not_lost() {
    const LATE: Log = &[(1, 6, 9)];
    let assessment = Assessment::of(&situation(&[disk(1, SAME, 9), disk(2, LATE, 9)]));
    let late = &assessment.candidates[1];
    assert_eq!((late.below_start.clone(), late.lost.len()), (Some(0..6), 0));
    assert!(assessment.candidates[0].lost.is_empty() && assessment.forks.is_empty());
    assert!(late.followers[0].differs.is_empty());
}

#[test]
fn a_lost_tail_is_still_known_to_be_committed() {
    // Broker 1 knew of 9 and has 6 left; broker 2 has the rest, or only some of it.
    let mut cut = disk(1, SAME, 9);
    cut.end = 6;
    let assessment = Assessment::of(&situation(&[cut, disk(2, SAME, 5)]));
    assert_eq!(told(&assessment.candidates[0])[0], "loses 6..9 e1 of [1] committed by 0 at 9, has End");
    assert!(assessment.gone.is_empty());
    assert_eq!(assessment.choice.as_ref().map(|it| (it.best(), it.reason)), Some((1, Reason::Committed)));

    let (mut cut, mut short) = (disk(1, SAME, 9), disk(2, SAME, 9));
    (cut.end, short.end) = (4, 7);
    let assessment = Assessment::of(&situation(&[cut, short]));
    assert_eq!(assessment.gone, [Gone { offsets: 7..9, epoch: Some(1), replica: 0 }]);
    assert!(assessment.surely_loses(), "whoever leads");
}

#[test]
fn a_leader_alone_in_the_isr_had_committed_all() {
    const ALONE: Log = &[(0, 0, 60)];
    const ELECTED: Log = &[(0, 0, 40), (1, 40, 55)];
    let view = View { leader: Some(3), isr: vec![3], min_insync_replicas: Some(1), ..View::default() };
    for (view, expected) in [
        (Some(view.clone()), "loses 40..55 e0 of [1] committed by 1 alone, has Epoch(Some(1))"),
        (
            Some(View { min_insync_replicas: None, ..view.clone() }),
            "loses 40..55 e0 of [1] open, not on [], has Epoch(Some(1))",
        ),
        (Some(View { isr: vec![3, 1], ..view.clone() }), "loses 40..55 e0 of [1] open, not on [0], has Epoch(Some(1))"),
        (Some(View { leader: Some(1), ..view }), "loses 40..55 e0 of [1] open, not on [], has Epoch(Some(1))"),
        (None, "loses 40..55 e0 of [1] open, not on [], has Epoch(Some(1))"),
    ] {
        let mut old = disk(3, ALONE, 40);
        old.view = view;
        let assessment = Assessment::of(&situation(&[disk(1, ELECTED, 55), old]));
        assert_eq!(told(&assessment.candidates[0])[0], expected);
    }
}

#[test]
fn what_the_protocol_does_not_find_is_told() {
    // Scenario S05 by the rules before 0.11: other records at offset 1, below the high watermark of both.
    const ONE: Log = &[(0, 0, 2)];
    const OTHER: Log = &[(0, 0, 1), (3, 1, 2)];
    let mut situation = situation(&[disk(1, OTHER, 2), disk(2, ONE, 2)]);
    let follower = |situation: &Situation| told(&Assessment::of(situation).candidates[0]).pop();
    assert_eq!(follower(&situation).as_deref(), Some("1 cuts Some(1) fetches 1"));
    situation.era = Era::Hw;
    assert_eq!(follower(&situation).as_deref(), Some("1 cuts None fetches 2 differs [1..2]"));
}

#[test]
fn other_bytes_of_the_same_epoch_are_a_fork_that_nothing_heals() {
    let mut situation = situation(&[disk(1, SAME, 9), disk(2, SAME, 9)]);
    let next = |number: usize, at: u64| {
        let crc = if at == 3 { u32::try_from(number).unwrap() } else { 0 };
        Next::Piece(Piece { first: at, last: at, epoch: Some(u32::from(at >= 5)), crc })
    };
    let mut places = [0; 2];
    let walk = |number: usize| -> Result<Next, Infallible> {
        places[number] += 1;
        Ok(if places[number] > 9 { Next::End(9) } else { next(number, places[number] - 1) })
    };
    situation.comparison = compare(&[0, 0], 0, walk).unwrap_or_else(|never| match never {});
    let assessment = Assessment::of(&situation);
    assert_eq!(assessment.forks.iter().map(|fork| (fork.at, fork.same_epoch)).collect::<Vec<_>>(), [(3, true)]);
    assert_eq!(
        told(&assessment.candidates[0]),
        ["loses 3..4 e0 of [1] committed by 1 at 9, has Epoch(Some(0))", "1 cuts None fetches 9 differs [3..4]"]
    );
    let [lost] = &assessment.candidates[1].lost[..] else { panic!() };
    assert_eq!(lost.instead, Instead::Epoch(lost.epoch), "the same epoch, other bytes");
}

/// Logs of `replicas` brokers that elected leaders in turn, as `(leader epoch, first offset, end)`: who follows cuts its log to
/// where it parts from the leader's, and fetches some of it. Unclean elections all of them.
fn history(replicas: usize, seed: u64) -> Vec<Vec<(u32, u64, u64)>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut chance = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    let mut logs: Vec<Vec<u32>> = vec![Vec::new(); replicas];
    for epoch in 0..u32::try_from(3 + chance(5)).unwrap() {
        let leader = usize::try_from(chance(replicas as u64)).unwrap();
        let len = logs[leader].len() + usize::try_from(chance(4)).unwrap();
        logs[leader].resize(len, epoch);
        for follower in (0..replicas).filter(|&it| it != leader) {
            if chance(3) == 0 {
                continue;
            }
            let same = logs[leader].iter().zip(&logs[follower]).take_while(|(a, b)| a == b).count();
            let to = (same + usize::try_from(chance(6)).unwrap()).min(len);
            logs[follower] = logs[leader][..to].to_vec();
        }
    }
    let runs = |log: &Vec<u32>| {
        let mut runs: Vec<(u32, u64, u64)> = Vec::new();
        for (&epoch, at) in log.iter().zip(0..) {
            match runs.last_mut() {
                Some(last) if last.0 == epoch => last.2 = at + 1,
                _ => runs.push((epoch, at, at + 1)),
            }
        }
        runs
    };
    logs.iter().map(runs).collect()
}

#[test]
fn a_follower_keeps_what_is_the_same_and_nothing_else() {
    let mut cuts = 0;
    for seed in 0..3_000 {
        let logs: Vec<Log> = history(3, seed).into_iter().map(|log| &*log.leak()).collect();
        let disks: Vec<Disk> = logs.iter().zip(1..).map(|(log, broker)| disk(broker, log, 0)).collect();
        let mut situation = situation(&disks);
        for era in [Era::Epoch2, Era::Fetch] {
            situation.era = era;
            let assessment = Assessment::of(&situation);
            for candidate in &assessment.candidates {
                for follower in &candidate.followers {
                    let pair = |stretch: &&Stretch| {
                        let held = |number: usize| stretch.held[number].map(|held| held.copy);
                        held(candidate.replica).is_some() && held(candidate.replica) == held(follower.replica)
                    };
                    let same = situation.comparison.stretches.iter().take_while(pair).last().map_or(0, |it| it.to);
                    assert_eq!(follower.followed.end, same, "{era} seed {seed}: {logs:?} {candidate:?}");
                    assert!(follower.differs.is_empty(), "{era} seed {seed}: {logs:?}");
                    cuts += usize::from(follower.followed.cut_to().is_some());
                }
                // What it keeps and what it loses is all there is.
                let there: u64 =
                    situation.comparison.stretches.iter().map(|it| it.len() * it.copies().count() as u64).sum();
                let lost: u64 = candidate.lost.iter().map(|it| it.len()).sum();
                assert_eq!(candidate.keeps() + lost, there, "seed {seed}: {logs:?}");
                assert_eq!(candidate.loses_committed(), 0, "no high watermark, no proof");
            }
        }
    }
    assert!(cuts > 5_000, "{cuts}");
}
