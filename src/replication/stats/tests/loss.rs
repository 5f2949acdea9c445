//! How often records are lost.

use super::super::{Acks, Cause, DAY_S, Outcome, YEAR_S};
use super::{Configuration, Flush, Rates, Strategy, run};

/// Everything at once but repairs; power losses and disk losses only where a test wants them.
fn quick(mtbf_s: f64, power_share: f64) -> Rates {
    Rates {
        power_share,
        records_per_s: 10.0,
        catch_up_records_per_s: 1e9,
        partition_records: 1e6,
        writeback_s: 30.0,
        ..Rates::ideal(mtbf_s, 600.0)
    }
}

fn assert_near(name: &str, found: &Outcome, expected: f64) {
    let losses = found.losses;
    let error = losses.per_year / losses.effective_samples.sqrt();
    let off = (losses.per_year - expected) / error;
    assert!(off.abs() < 3.0, "{name}: {losses:?}, expected {expected:e}: {off:.2} errors off");
    assert!(losses.low < losses.per_year && losses.per_year < losses.high, "{name}: {losses:?}");
    assert!(losses.effective_samples > 100.0, "{name}: {losses:?}");
}

/// Every crash of a leader loses what no follower had, if that is anything.
#[test]
fn acks_one_loses_with_every_leader() {
    for (records_per_s, name) in [(1_000.0, "many"), (20.0, "few")] {
        let rates = Rates { records_per_s, slow_mtbf_s: f64::INFINITY, ..Rates::default() };
        for (acks, delay_s) in [(Acks::Leader, 0.01), (Acks::None, 0.015)] {
            let configuration = Configuration { acks, ..Configuration::default() };
            let found = run(&configuration, &rates, 10_000.0, 1);
            let is_any = 1.0 - libm::exp(-records_per_s * delay_s);
            let expected = (YEAR_S / rates.mtbf_s + YEAR_S / rates.disk_mtbf_s) * is_any;
            // Some crashes fall into others; they are not many.
            assert!((found.losses.per_year / expected - 1.0).abs() < 0.01, "{name}, {acks}: {:?}", found.losses);
            assert_eq!(found.main_cause(), Some(Cause::NotReplicated), "{name}, {acks}");
            let records = found.losses.records.unwrap();
            assert!((records * is_any / (records_per_s * delay_s) - 1.0).abs() < 0.01, "{name}, {acks}: {records}");
        }
    }
}

/// One replica loses its tail with every power loss, and everything with its disk.
#[test]
fn one_replica_loses_whatever_its_machine_does() {
    let rates = Rates { disk_mtbf_s: 1_000.0 * DAY_S, ..quick(90.0 * DAY_S, 0.2) };
    let (powers, disks) = (0.2 * YEAR_S / rates.mtbf_s, YEAR_S / rates.disk_mtbf_s);
    let one = |flush, acks| Configuration { replication_factor: 1, flush, acks, ..Configuration::default() };
    let up = 1.0 - rates.down_fraction() - 600.0 / rates.disk_mtbf_s;
    for (flush, expected) in [(Flush::Never, powers + disks), (Flush::EveryRecord, disks)] {
        for acks in [Acks::Leader, Acks::All] {
            let found = run(&one(flush, acks), &rates, 10_000.0, 2);
            assert_near("one replica", &found, expected * up);
        }
    }
    let found = run(&one(Flush::Never, Acks::All), &Rates { disk_mtbf_s: f64::INFINITY, ..rates }, 1_000.0, 2);
    assert!((found.losses.records.unwrap() / 300.0 - 1.0).abs() < 0.01, "30 s of 10 records: {:?}", found.losses);
}

/// S13: of two replicas with a minimum of one, the one that is left writes on, and a power loss takes what it wrote.
#[test]
fn a_replica_left_alone_loses_its_tail() {
    let mtbf_s = 1_000.0 * DAY_S;
    let two =
        |has_elr| Configuration { replication_factor: 2, min_insync_replicas: 1, has_elr, ..Configuration::default() };
    // Either goes first; the other loses power before the repair. Three faults at once are 1e-5 of that.
    let expected = YEAR_S * 2.0 / mtbf_s * 600.0 * 0.5 / mtbf_s;
    for has_elr in [false, true] {
        let found = run(&two(has_elr), &quick(mtbf_s, 0.5), 200_000.0, 3);
        assert_near("two replicas", &found, expected);
        assert_eq!(found.main_cause(), Some(Cause::PowerLoss));
    }
}

/// Two of three are out, writes have stopped, and the third loses its disk: everything is gone though everything was flushed.
#[test]
fn the_last_of_three_loses_its_disk() {
    let rates = Rates { disk_mtbf_s: 10.0 * YEAR_S, ..quick(90.0 * DAY_S, 0.0) };
    let down = 600.0 / rates.mtbf_s + 600.0 / rates.disk_mtbf_s;
    let expected = 3.0 * down * down * YEAR_S / rates.disk_mtbf_s;
    for has_elr in [false, true] {
        let configuration = Configuration { flush: Flush::EveryRecord, has_elr, ..Configuration::default() };
        let found = run(&configuration, &rates, 60_000.0, 4);
        assert_near("three replicas", &found, expected);
        assert_eq!(found.causes.len(), 1, "{:?}", found.causes);
        assert!((found.losses.records.unwrap() / 1e6 - 1.0).abs() < 0.01, "{:?}", found.losses);
    }
}

/// S14: power losses of everything take every tail, whatever is set but the flush.
#[test]
fn site_power_losses_take_what_is_not_flushed() {
    let rates = Rates { site_mtbf_s: 20.0 * YEAR_S, ..Rates::default() };
    for (strategy, has_elr) in [(Strategy::AllIsr, false), (Strategy::AllIsr, true), (Strategy::Majority, false)] {
        let configuration = Configuration { strategy, has_elr, ..Configuration::default() };
        let found = run(&configuration, &rates, 2_000.0, 5);
        assert_near("site", &found, 0.05);
        assert_eq!(found.main_cause(), Some(Cause::SitePowerLoss), "{configuration}");
        let flushed = run(&Configuration { flush: Flush::EveryRecord, ..configuration }, &rates, 2_000.0, 5);
        assert!(flushed.losses.per_year < 1e-6, "{configuration}: {:?}", flushed.losses);
    }
}

/// A zone with one replica takes no more than a machine does; a zone with all of them is the site.
#[test]
fn zones_matter_when_they_are_shared() {
    for (zones, expected) in [(1, Some(0.05)), (3, None)] {
        let rates = Rates { zones, zone_mtbf_s: 20.0 * YEAR_S, ..Rates::default() };
        let found = run(&Configuration::default(), &rates, 2_000.0, 6);
        match expected {
            Some(expected) => assert_near("one zone", &found, expected),
            None => assert!(found.losses.per_year < 1e-5, "{:?}", found.losses),
        }
    }
}

/// What is found by making faults frequent is what is found by waiting: faults that are frequent anyway tell.
#[test]
fn weighed_cycles_agree_with_plain_ones() {
    let rates = Rates { mtbf_s: 2.0 * 3_600.0, disk_mtbf_s: DAY_S, slow_mtbf_s: 3.0 * 3_600.0, ..Rates::default() };
    for configuration in super::super::Grid::default().configurations() {
        if configuration.acks != Acks::All {
            continue;
        }
        let [all, plain] = super::plain_and_all(&configuration, &rates, 40_000, 7);
        for (name, (all, all_error), (plain, plain_error)) in [
            ("losses", all[0], plain[0]),
            ("records", all[1], plain[1]),
            ("no writes", all[2], plain[2]),
            ("no reads", all[3], plain[3]),
        ] {
            let off = (all - plain) / libm::sqrt(all_error * all_error + plain_error * plain_error);
            assert!(off.abs() < 3.5, "{configuration}, {name}: {all:e} and {plain:e}: {off:.2} errors apart");
        }
    }
}

/// Bounds at 95 % hold in about as many cases, or more where few events are seen.
#[test]
fn bounds_cover_the_formula() {
    let mtbf_s = 1_000.0 * DAY_S;
    let expected = YEAR_S * 2.0 / mtbf_s * 600.0 * 0.5 / mtbf_s;
    let two = Configuration { replication_factor: 2, min_insync_replicas: 1, ..Configuration::default() };
    let within = |seed: &u64| {
        let losses = run(&two, &quick(mtbf_s, 0.5), 10_000.0, 2_000 + *seed).losses;
        losses.low <= expected && expected <= losses.high
    };
    let covered = (0..200).filter(within).count();
    println!("{covered} of 200");
    assert!((184..=200).contains(&covered), "{covered} of 200");
}
