//! The rules, by stories of the catalogue and by chance.

use super::super::configuration::{Configuration, Flush};
use super::super::rates::Rates;
use super::super::{Acks, Strategy};
use super::{Brokers, Cause, Due, Fault, Loss, Model, Partition, Stage, Wait};
use crate::replication::random::Random;

/// What happened to a partition: losses, and from when on writes waited for what.
#[derive(Debug, Default, PartialEq)]
struct Story {
    losses: Vec<(f64, Loss)>,
    waits: Vec<(f64, Option<Wait>)>,
}

impl Story {
    fn note(&mut self, partition: &mut Partition<'_>) {
        assert_sane(partition);
        let now_s = (partition.now_s * 1e6).round() / 1e6;
        if let Some(loss) = partition.loss.take() {
            self.losses.push((now_s, loss));
        }
        match self.waits.last_mut() {
            Some((at_s, wait)) if *at_s >= now_s => *wait = partition.wait,
            _ => self.waits.push((now_s, partition.wait)),
        }
        self.waits.dedup_by_key(|(_, wait)| *wait);
    }

    /// Goes on until a time, or until all is well.
    fn until(&mut self, partition: &mut Partition<'_>, to_s: f64) -> bool {
        loop {
            let (due_s, due) = partition.due();
            if due_s > to_s || due == Due::Calm {
                partition.advance(to_s.min(due_s));
                return due == Due::Calm && due_s <= to_s;
            }
            partition.advance(due_s);
            partition.happen(due);
            self.note(partition);
        }
    }
}

/// Faults at times: kind, number of the broker among those it can hit, time of its repair.
fn story(configuration: Configuration, faults: &[(f64, Fault, usize, f64)]) -> Story {
    let rates = Rates { catch_up_records_per_s: 11_000.0, ..Rates::default() };
    let model = Model::new(&configuration, &rates);
    let mut partition = Partition::new(&model);
    let mut story = Story::default();
    for (at_s, fault, number, repair_s) in faults {
        story.until(&mut partition, *at_s);
        partition.strike(*fault, *number, || *repair_s);
        story.note(&mut partition);
    }
    assert!(story.until(&mut partition, 1e9), "{configuration}: never well again: {story:?}");
    story
}

/// What must hold whatever happens (I12, and what the fluid means).
fn assert_sane(partition: &Partition<'_>) {
    let up = |broker: usize| partition.replicas[broker].is_up();
    if partition.model.is_majority {
        assert!(!partition.is_leading || partition.leader.is_some_and(up), "{partition:?}");
        return;
    }
    assert!(partition.isr.and(partition.elr).is_empty(), "{partition:?}");
    assert!(partition.isr.count() < partition.model.min_isr || partition.elr.is_empty(), "{partition:?}");
    if let Some(leader) = partition.leader {
        assert!(partition.isr.has(leader) && partition.unfenced.has(leader), "{partition:?}");
    }
    let fenced = partition.isr.except(partition.unfenced);
    let is_lone = partition.isr.count() == 1 && !partition.model.configuration.has_elr;
    assert!(fenced.is_empty() || is_lone, "a fenced member: {partition:?}");
    for (broker, replica) in partition.replicas.iter().enumerate() {
        assert!(replica.log_end <= partition.acked, "{partition:?}");
        assert_eq!(partition.unfenced.has(broker), replica.stage != Stage::Fenced, "{partition:?}");
        if replica.stage == Stage::InSync {
            assert!(partition.isr.has(broker), "in sync and not in the ISR: {partition:?}");
        }
    }
    if partition.is_leading {
        let leader = partition.leader.unwrap();
        assert!(partition.replicas[leader].stage == Stage::InSync, "{partition:?}");
    }
    assert!(partition.isr != Brokers::NONE || partition.leader.is_none(), "{partition:?}");
}

fn three(min_insync_replicas: u8, has_elr: bool) -> Configuration {
    Configuration { min_insync_replicas, has_elr, ..Configuration::default() }
}

fn lost(story: &Story) -> Vec<(f64, f64, Cause)> {
    let rounded = |(at_s, loss): &(f64, Loss)| (*at_s, (loss.records * 1e3).round() / 1e3, loss.cause);
    story.losses.iter().map(rounded).collect()
}

#[test]
fn a_leader_fails_and_another_takes_over() {
    let story = story(three(2, true), &[(0.0, Fault::Crash, 0, 600.0)]);
    let expected = [(0.0, Some(Wait::NotNoticed)), (9.0, Some(Wait::Election)), (9.2, None)];
    assert_eq!((story.waits, story.losses), (expected.to_vec(), vec![]));
}

/// The controller does not know that the next replica is dead too.
#[test]
fn a_dead_replica_may_be_elected() {
    let story = story(three(1, true), &[(0.0, Fault::Crash, 0, 600.0), (5.0, Fault::Crash, 0, 600.0)]);
    let expected = [(0.0, Some(Wait::NotNoticed)), (14.0, Some(Wait::Election)), (14.2, None)];
    assert_eq!((story.waits, story.losses), (expected.to_vec(), vec![]));
}

/// S20: acknowledgements wait for a slow follower until it is evicted.
#[test]
fn a_slow_follower_is_waited_for_until_the_lag_limit() {
    let slow = [(0.0, Fault::SlowFollower, 1, 100.0)];
    let found = story(three(2, true), &slow).waits;
    assert_eq!(found, [(0.0, Some(Wait::SlowFollower)), (30.0, None)]);
    for other in [
        Configuration { acks: Acks::Leader, ..three(2, true) },
        Configuration { strategy: Strategy::Majority, ..three(2, true) },
    ] {
        assert_eq!(story(other, &slow).waits, [(0.0, None)], "{other}");
    }
    // Three of three are needed: it takes until it is back and has what it missed, which is nothing.
    let found = story(three(3, true), &slow).waits;
    assert_eq!(found, [(0.0, Some(Wait::SlowFollower)), (30.0, Some(Wait::TooFewInSync)), (100.0, None)]);
}

/// S11: what only the leader had is gone if it was acknowledged.
#[test]
fn acks_one_is_lost_with_its_leader() {
    for (acks, expected) in [
        (Acks::All, vec![]),
        (Acks::Leader, vec![(9.2, 10.0, Cause::NotReplicated)]),
        (Acks::None, vec![(9.2, 15.0, Cause::NotReplicated)]),
    ] {
        for strategy in [Strategy::AllIsr, Strategy::Majority] {
            let configuration = Configuration { acks, strategy, ..three(2, true) };
            let story = story(configuration, &[(0.0, Fault::Crash, 0, 600.0)]);
            assert_eq!(lost(&story), expected, "{configuration}");
        }
    }
}

/// A slow follower is in sync by the clock, and may lead with what it has.
#[test]
fn acks_one_is_lost_to_a_slow_follower() {
    let faults = [(0.0, Fault::SlowFollower, 0, 100.0), (20.0, Fault::Crash, 0, 600.0)];
    for (acks, expected) in [(Acks::Leader, vec![(29.2, 20_000.0, Cause::SlowFollower)]), (Acks::All, vec![])] {
        let story = story(Configuration { acks, ..three(2, true) }, &faults);
        assert_eq!(lost(&story), expected, "acks {acks}");
    }
}

/// S23: neither a kill nor a power loss of one loses anything.
#[test]
fn one_of_three_loses_nothing() {
    for fault in [Fault::Crash, Fault::PowerLoss, Fault::DiskLoss] {
        for broker in [0, 1] {
            for has_elr in [false, true] {
                let story = story(three(1, has_elr), &[(0.0, fault, broker, 600.0)]);
                assert_eq!(story.losses, [], "{fault} of {broker}");
            }
        }
    }
}

/// S08, S09, S13: two are out, and the third loses power.
#[test]
fn the_last_one_loses_its_tail() {
    let at = |power_s| {
        [(0.0, Fault::Crash, 1, 1_000.0), (100.0, Fault::Crash, 1, 1_000.0), (power_s, Fault::PowerLoss, 0, 60.0)]
    };
    // With a minimum of one it writes on until it fails: 30 s of it are not on the disk.
    let tail = |at_s, records| vec![(at_s, records, Cause::PowerLoss)];
    let cases = [
        (three(1, false), 200.0, tail(260.2, 30_000.0)),
        (three(1, true), 200.0, tail(260.2, 30_000.0)),
        // With two, the last record was acknowledged when the second one died.
        (three(2, false), 115.0, tail(175.2, 15_000.0)),
        (three(2, false), 131.0, vec![]),
        // The second one was eligible until it came back from a crash; then there is only the last known leader.
        (three(2, true), 115.0, tail(1_100.2, 15_000.0)),
        (three(2, true), 131.0, vec![]),
    ];
    for (configuration, power_s, expected) in cases {
        let found = story(configuration, &at(power_s));
        assert_eq!(lost(&found), expected, "{configuration}, power lost at {power_s}");
        let flushed = Configuration { flush: Flush::EveryRecord, ..configuration };
        assert_eq!(story(flushed, &at(power_s)).losses, [], "{flushed}, power lost at {power_s}");
    }
}

/// What the ELR is for: an evicted follower had everything when writes stopped, so it may lead in place of who lost its disk.
#[test]
fn a_follower_in_the_elr_leads() {
    let faults = |disk_s| {
        [(0.0, Fault::Crash, 1, 5_000.0), (100.0, Fault::SlowFollower, 0, 1_000.0), (disk_s, Fault::DiskLoss, 0, 100.0)]
    };
    // Until 130 s the follower is in the ISR; after that it is in the ELR, or nowhere.
    let all = vec![(240.2, 10_000_000.0 + 91_000.0, Cause::DiskLoss)];
    for (has_elr, disk_s, expected) in
        [(true, 116.0, vec![]), (true, 140.0, vec![]), (false, 116.0, vec![]), (false, 140.0, all)]
    {
        let found = story(three(2, has_elr), &faults(disk_s));
        assert_eq!(lost(&found), expected, "elr {has_elr}, disk lost at {disk_s}");
    }
}

/// S10: who was not in sync leads with less, or nobody leads.
#[test]
fn unclean_elections_trade_records_for_time() {
    let faults = [(0.0, Fault::Crash, 1, 10_000.0), (10.0, Fault::Crash, 1, 100.0), (60.0, Fault::Crash, 0, 10_000.0)];
    for has_elr in [false, true] {
        let unclean = Configuration { is_unclean_allowed: true, ..three(1, has_elr) };
        let found = story(unclean, &faults);
        // From 19 s, when the second was out, to 60 s the first wrote alone.
        assert_eq!(lost(&found), [(110.2, 41_000.0, Cause::UncleanElection)], "elr {has_elr}");
        let found = story(three(1, has_elr), &faults);
        assert_eq!(found.losses, [], "elr {has_elr}");
        let last = found.waits[found.waits.len() - 3..].to_vec();
        let expected = [(69.0, Some(Wait::NoLeader)), (10_060.0, Some(Wait::Election)), (10_060.2, None)];
        assert_eq!(last, expected, "elr {has_elr}");
    }
}

/// S14: power losses of everything take every tail.
#[test]
fn a_site_loses_what_it_did_not_flush() {
    for strategy in [Strategy::AllIsr, Strategy::Majority] {
        for (flush, expected) in
            [(Flush::Never, vec![(60.0 + 0.2, 30_000.0, Cause::SitePowerLoss)]), (Flush::EveryRecord, vec![])]
        {
            let configuration = Configuration { flush, strategy, ..three(2, true) };
            let story = story(configuration, &[(0.0, Fault::SitePowerLoss, 0, 60.0)]);
            assert_eq!(lost(&story), expected, "{configuration}");
        }
    }
}

/// A majority lives through one failure without a wait, and through none more.
#[test]
fn a_majority_does_not_wait_for_the_slowest() {
    let three = Configuration { strategy: Strategy::Majority, ..three(2, true) };
    let found = story(three, &[(0.0, Fault::Crash, 1, 600.0)]).waits;
    assert_eq!(found, [(0.0, None)]);
    let found = story(three, &[(0.0, Fault::Crash, 1, 600.0), (100.0, Fault::Crash, 1, 1_000.0)]).waits;
    // The first is back at 600 s and 100 s of 1 000 records behind, which come at 11 000 a second while none are written.
    let back_s: f64 = 600.0 + 100_000.0 / 11_000.0;
    assert_eq!(found, [(0.0, None), (100.0, Some(Wait::TooFewInSync)), ((back_s * 1e6).round() / 1e6, None)]);
}

/// S26 (a): a majority that is up has everything; of fewer the partition waits.
#[test]
fn a_majority_elects_who_has_most() {
    let five = Configuration { replication_factor: 5, strategy: Strategy::Majority, ..Configuration::default() };
    let found = story(five, &[(0.0, Fault::Crash, 3, 50.0), (49.9, Fault::Crash, 0, 600.0)]);
    assert_eq!(lost(&found), []);
    let power = [(0.0, Fault::PowerLoss, 0, 50.0), (1.0, Fault::PowerLoss, 0, 60.0), (2.0, Fault::PowerLoss, 0, 1e4)];
    // Three of five lost their tails, two have everything and are no majority until the first is back.
    assert_eq!(lost(&story(five, &power)), []);
    let disks = [(0.0, Fault::Crash, 4, 1e5), (100.0, Fault::DiskLoss, 0, 50.0), (100.0, Fault::Crash, 0, 1e4)];
    assert_eq!(lost(&story(five, &disks)), []);
    let three = Configuration { replication_factor: 3, flush: Flush::EveryRecord, ..five };
    // One is behind, one loses its disk, one is down: the two that are up are a majority and have not got everything.
    let disks = [(0.0, Fault::Crash, 2, 200.0), (100.0, Fault::DiskLoss, 0, 50.0), (100.0, Fault::Crash, 0, 1e4)];
    let found = story(three, &disks);
    assert_eq!(lost(&found), [(200.2, 100_000.0, Cause::DiskLoss)]);
}

/// Any order of faults keeps the rules, in every configuration.
#[test]
fn chance_keeps_the_rules() {
    let grid = super::super::Grid { replication_factors: vec![1, 2, 3, 5], ..super::super::Grid::default() };
    let mut random = Random::new(11, 0);
    for configuration in grid.configurations() {
        let rates = Rates { zones: 2, partition_records: 1e5, ..Rates::default() };
        let model = Model::new(&configuration, &rates);
        for _ in 0..200 {
            let mut partition = Partition::new(&model);
            let mut story = Story::default();
            let mean_s = [1.0, 20.0, 300.0][usize::try_from(random.bits() % 3).unwrap()];
            for _ in 0..30 {
                let at_s = partition.now_s + mean_s * random.exponential();
                if story.until(&mut partition, at_s) {
                    break;
                }
                let fault = Fault::ALL[usize::try_from(random.bits() % 6).unwrap()];
                let number = usize::try_from(random.bits() % 2).unwrap();
                let repair_s = mean_s * random.exponential();
                partition.strike(fault, number, || repair_s);
                story.note(&mut partition);
            }
            assert!(story.until(&mut partition, 1e9), "{configuration}: never well again: {partition:?}");
            assert!(story.losses.iter().all(|(_, loss)| loss.records > 0.0), "{story:?}");
        }
    }
}
