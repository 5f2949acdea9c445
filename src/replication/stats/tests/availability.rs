//! Times without writes and reads (S26).

use super::super::closed::{few_up, mean_time_to_down, mean_wait};
use super::super::{Acks, DAY_S, YEAR_S, waits};
use super::{Configuration, IDEALS, Rates, all_isr, majority, run};

/// Configurations, and how many brokers of theirs have to be up for writes.
fn table() -> [(Configuration, u8); 5] {
    [(all_isr(3, 1), 1), (all_isr(3, 2), 2), (all_isr(3, 3), 3), (majority(3), 2), (majority(5), 3)]
}

/// At p = 0.001, what the specification says: 1e-9, 2.998e-6, 1 - 0.997003, 2.998e-6, 9.985e-9.
#[test]
fn formulas_give_the_figures_of_s26() {
    let expected = [1.0e-9, 2.998e-6, 1.0 - 0.997_003, 2.998e-6, 9.985e-9];
    for ((configuration, needed), expected) in table().into_iter().zip(expected) {
        let found = few_up(configuration.replication_factor, needed, IDEALS[0].down_fraction());
        assert!((found / expected - 1.0).abs() < 3e-4, "{configuration}: {found}, expected {expected}");
    }
}

/// In a cluster that notices, elects and catches up at once, writes stop exactly while too few brokers are up.
#[test]
fn writes_stop_as_often_as_the_formulas_say() {
    for (rates, years, precision) in [(IDEALS[0], 2_000.0, 0.05), (IDEALS[1], 20_000.0, 0.1)] {
        for (configuration, needed) in table() {
            let p = rates.down_fraction();
            let expected = few_up(configuration.replication_factor, needed, p);
            let found = run(&configuration, &rates, years, 1).no_writes;
            let off = (found.value - expected) / found.standard_error;
            assert!(off.abs() < 3.0, "{configuration}, p {p:e}: {found:?}, expected {expected:e}: {off:.2} errors off");
            let relative = found.standard_error / expected;
            assert!(relative < precision, "{configuration}, p {p:e}: error of {relative:.3}");
        }
    }
}

/// Standard errors are what they say: over 200 seeds the formula is within 1.96 of them in 90 to 99 % of the cases.
#[test]
fn standard_errors_cover_the_formulas() {
    for (rates, years) in [(IDEALS[0], 40.0), (IDEALS[1], 600.0)] {
        for (configuration, needed) in table() {
            let expected = few_up(configuration.replication_factor, needed, rates.down_fraction());
            let within = |seed: &u64| {
                let found = run(&configuration, &rates, years, 1_000 + *seed).no_writes;
                (found.value - expected).abs() <= 1.96 * found.standard_error
            };
            let covered = (0..200).filter(within).count();
            println!("{configuration}: {covered} of 200");
            assert!((180..=198).contains(&covered), "{configuration}: {covered} of 200");
        }
    }
}

/// Without unclean elections the partition waits for its last in-sync replica: what it waits for is one broker, not any.
#[test]
fn clean_elections_wait_for_the_last_in_sync_replica() {
    let rates = IDEALS[0];
    let (fail, repair) = (1.0 / rates.mtbf_s, 1.0 / rates.mttr_s);
    // The formula: all down begins as often as before, but then takes a whole repair and not the third part of one.
    let p = rates.down_fraction();
    let begins = few_up(3, 2, p) * fail;
    for has_elr in [false, true] {
        let configuration = Configuration { is_unclean_allowed: false, has_elr, ..all_isr(3, 1) };
        let found = run(&configuration, &rates, 4_000.0, 2).no_writes;
        let expected = begins / repair;
        let off = (found.value - expected) / found.standard_error;
        // Other brokers come and go meanwhile: the formula is right up to terms of p.
        assert!(off.abs() < 3.0, "elr {has_elr}: {found:?}, expected {expected:e}: {off:.2} errors off");
        assert!(found.standard_error < 0.05 * expected, "elr {has_elr}: {found:?}");
    }
}

/// Writes wait for the death of any member to be noticed, and for followers that lag; reads only for leaders.
#[test]
fn waits_of_real_clusters_add_up() {
    let rates = Rates { disk_mtbf_s: f64::INFINITY, ..Rates::default() };
    let configuration = Configuration { min_insync_replicas: 1, ..Configuration::default() };
    let found = run(&configuration, &rates, 20_000.0, 3);
    let slow_s = rates.slow_s * (1.0 - libm::exp(-rates.replica_lag_time_max_s / rates.slow_s));
    let crashes = 3.0 * rates.broker_session_timeout_s + rates.election_s;
    let writes = crashes / rates.mtbf_s + 2.0 * slow_s / rates.slow_mtbf_s;
    let reads = (rates.broker_session_timeout_s + rates.election_s) / rates.mtbf_s;
    for (name, found, expected) in [("writes", found.no_writes, writes), ("reads", found.no_reads, reads)] {
        // The formulas leave out faults that fall together: some parts in ten thousand.
        assert!((found.value / expected - 1.0).abs() < 0.005, "{name}: {found:?}, expected {expected:e}");
    }
    let sum: f64 = found.waits.iter().map(|(_, part)| part).sum();
    assert!((sum / found.no_writes.value - 1.0).abs() < 1e-9, "{:?}", found.waits);
}

/// Producers that do not wait for followers are not stopped by them.
#[test]
fn acks_one_waits_for_leaders_only() {
    let configuration = Configuration { acks: Acks::Leader, ..Configuration::default() };
    let found = run(&configuration, &Rates::default(), 1_000.0, 4);
    assert!((found.no_writes.value - found.no_reads.value).abs() < 1e-15, "{found:?}");
}

/// S26: mean waits for acknowledgements.
#[test]
fn acknowledgements_wait_as_long_as_the_formulas_say() {
    for (n, fastest, slowest) in [(1, 0.5, 1.0), (2, 0.583, 1.5), (3, 0.617, 1.833)] {
        for (needed, followers, rounded) in [(n, 2 * n, fastest), (n, n, slowest)] {
            let expected = mean_wait(needed, followers);
            assert!((expected - rounded).abs() < 5e-4, "{needed} of {followers}: {expected}");
            let found = waits::mean_wait(needed, followers, 100_000, 5);
            let off = (found.mean - expected) / found.standard_error;
            assert!(off.abs() < 3.0, "{needed} of {followers}: {found:?}, expected {expected}: {off:.2} errors off");
        }
    }
}

/// The mean time until so many brokers are down together, where that takes from days to longer than the universe is old.
#[test]
fn time_to_so_many_down_is_as_the_formula_says() {
    for (brokers, down) in [(3, 1), (3, 2), (3, 3), (5, 3), (5, 5)] {
        for mtbf_s in [DAY_S, 90.0 * DAY_S] {
            let expected = mean_time_to_down(brokers, down, mtbf_s, 600.0);
            let found = waits::mean_time_to_down(brokers, down, mtbf_s, 600.0, 100_000, 6);
            let years = expected / YEAR_S;
            let off = (found.mean - expected) / found.standard_error.max(expected * 1e-12);
            assert!(off.abs() < 3.0, "{down} of {brokers}: {found:?}, expected {years:e} years: {off:.2} errors off");
            assert!(found.standard_error < 0.03 * expected, "{down} of {brokers}: {found:?}");
        }
    }
}

/// Of one broker it is its time between failures; of two, known from books.
#[test]
fn time_to_so_many_down_by_hand() {
    let (mtbf_s, mttr_s) = (1_000.0, 10.0);
    for (brokers, down, expected) in
        [(1, 1, mtbf_s), (3, 1, mtbf_s / 3.0), (2, 2, mtbf_s / 2.0 + mtbf_s * (1.0 + mtbf_s / (2.0 * mttr_s)))]
    {
        let found = mean_time_to_down(brokers, down, mtbf_s, mttr_s);
        assert!((found / expected - 1.0).abs() < 1e-12, "{down} of {brokers}: {found}, expected {expected}");
    }
}
