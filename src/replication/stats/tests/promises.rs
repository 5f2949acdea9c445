//! What callers rely on.

use super::super::{Acks, Grid, StatsError, report};
use super::{Configuration, Effort, Flush, Rates, run, simulate};

/// Threads share the work, not the answer.
#[test]
fn threads_change_nothing() {
    let outcomes = [1, 2, 3, 64, 1_000].map(|threads| {
        let effort = Effort { years: 2_000.0, seed: 9, threads };
        simulate(&Configuration::default(), &Rates::default(), &effort).unwrap()
    });
    for outcome in &outcomes {
        assert_eq!(*outcome, outcomes[0]);
    }
}

#[test]
fn another_seed_is_another_sample() {
    let [first, second] = [1, 2].map(|seed| run(&Configuration::default(), &Rates::default(), 1_000.0, seed));
    assert_ne!(first.no_writes, second.no_writes);
}

/// None seen is a bound: in 95 of 100 cases a rate as high would have shown itself in the plain cycles.
#[test]
fn no_loss_seen_is_never_zero() {
    let rates = Rates { disk_mtbf_s: f64::INFINITY, ..Rates::default() };
    let configuration = Configuration { flush: Flush::EveryRecord, ..Configuration::default() };
    let outcome = run(&configuration, &rates, 10_000.0, 1);
    assert_eq!(outcome.losses.seen, 0);
    let expected = -libm::log(0.05) / (0.75 * outcome.years);
    assert!((outcome.losses.high / expected - 1.0).abs() < 1e-9, "{:?}", outcome.losses);
    assert_eq!(outcome.losses.to_string(), "fewer than 4.0e-4 a year at 95 %");
    let text = report::outcome(&outcome);
    assert!(text.contains("fewer than 4.0e-4 a year at 95 %, at least 3.4 nines"), "{text}");
    let table = report::table(&[outcome]);
    assert!(table.contains(">3.4") && table.contains("< 4.0e-4"), "{table}");
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    let (configuration, rates) = (Configuration::default(), Rates::default());
    let effort = Effort { years: 1.0, ..Effort::default() };
    let cases = [
        (Configuration { replication_factor: 0, ..configuration }, rates, "replication factor 0, expected 1 to 9"),
        (Configuration { replication_factor: 10, ..configuration }, rates, "replication factor 10, expected 1 to 9"),
        (Configuration { min_insync_replicas: 0, ..configuration }, rates, "min.insync.replicas 0, expected 1 or more"),
        (configuration, Rates { mtbf_s: 0.0, ..rates }, "mtbf_s 0, expected more than 0"),
        (configuration, Rates { mtbf_s: f64::NAN, ..rates }, "mtbf_s NaN, expected more than 0"),
        (configuration, Rates { mttr_s: 0.0, ..rates }, "mttr_s 0, expected more than 0"),
        (configuration, Rates { mttr_s: f64::INFINITY, ..rates }, "mttr_s inf, expected a number from 0"),
        (configuration, Rates { zones: 0, ..rates }, "zones 0, expected more than 0"),
        (configuration, Rates { power_share: 1.5, ..rates }, "power_share 1.5, expected 0 to 1"),
        (
            configuration,
            Rates { catch_up_records_per_s: 1_000.0, ..rates },
            "catch_up_records_per_s 1000, expected more than records_per_s",
        ),
        (
            configuration,
            Rates::ideal(f64::INFINITY, 1.0),
            "no fault ever happens, expected a mean time between faults that is finite",
        ),
    ];
    for (configuration, rates, expected) in cases {
        let found = simulate(&configuration, &rates, &effort).unwrap_err();
        assert_eq!(found.to_string(), expected);
    }
    for years in [0.0, -1.0, f64::NAN, 1e30] {
        let found = simulate(&configuration, &rates, &Effort { years, ..effort });
        assert!(matches!(found, Err(StatsError::Years { .. })), "{years} years");
    }
}

/// Every combination once, most nines first.
#[test]
fn grids_are_sorted_by_nines() {
    let grid = Grid { replication_factors: vec![2, 3], ..Grid::default() };
    let configurations = grid.configurations();
    // Of each factor: 2 minima, 3 acks, unclean, flush, ELR; and of a majority 3 acks and flush.
    assert_eq!(configurations.len(), 2 * (2 * 3 * 2 * 2 * 2 + 3 * 2));
    let mut done = 0;
    let rows = grid.run(&Rates::default(), &Effort { years: 500.0, ..Effort::default() }, |_| done += 1).unwrap();
    assert_eq!((rows.len(), done), (configurations.len(), configurations.len()));
    assert!(rows.is_sorted_by(|a, b| a.losses.nines() + 0.1 >= b.losses.nines()));
    assert!(rows[rows.len() - 1].configuration.acks != Acks::All);
    assert_eq!(report::table(&rows).lines().count(), rows.len() + 1);
}

/// The whole of an outcome, to the last bit, on every machine.
#[test]
fn the_same_seed_gives_the_same_bytes() {
    let outcome = run(&Configuration::default(), &Rates::default(), 5_000.0, 42);
    let losses = outcome.losses;
    let found = [
        outcome.years,
        losses.per_year,
        losses.low,
        losses.high,
        losses.effective_samples,
        losses.records.unwrap(),
        outcome.no_writes.value,
        outcome.no_writes.standard_error,
        outcome.no_reads.value,
        outcome.no_reads.standard_error,
    ]
    .map(f64::to_bits);
    let expected: [u64; 10] = [
        0x40b3_896e_757a_e817,
        0x3e20_78d7_283a_6871,
        0x3e18_2302_53fe_3fe1,
        0x3e28_bb12_8c63_812f,
        0x4047_198f_6339_95ff,
        0x413f_1898_6de0_08fd,
        0x3edb_9e6b_cce2_7cfb,
        0x3e52_70de_7c35_1a07,
        0x3eb4_001b_15f2_25dc,
        0x3e3f_ba43_07e8_751a,
    ];
    assert_eq!(found, expected, "{outcome:?}");
}

/// Extreme settings end, and come to parts of the time.
#[test]
fn hard_lives_end() {
    let rates = Rates {
        mtbf_s: 1_200.0,
        disk_mtbf_s: 3_600.0,
        zone_mtbf_s: 7_200.0,
        site_mtbf_s: 14_400.0,
        slow_mtbf_s: 1_800.0,
        partition_records: 1e4,
        ..Rates::default()
    };
    let grid = Grid { replication_factors: vec![1, 2, 3], ..Grid::default() };
    for configuration in grid.configurations() {
        let outcome = run(&configuration, &rates, 0.001, 3);
        for part in [outcome.no_writes, outcome.no_reads] {
            assert!((0.0..=1.0).contains(&part.value), "{configuration}: {part:?}");
        }
        assert!(outcome.losses.per_year.is_finite() && outcome.losses.high.is_finite(), "{configuration}");
    }
}
