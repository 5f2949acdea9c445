//! The scenarios that come with the program.

use super::{Scenario, ScenarioError};

/// Their files, in the order of their ids.
pub const CATALOGUE: [&str; 26] = [
    include_str!("catalogue/s01-steady-state.toml"),
    include_str!("catalogue/s02-follower-failure.toml"),
    include_str!("catalogue/s03-leader-failure.toml"),
    include_str!("catalogue/s04-hw-truncation-loss.toml"),
    include_str!("catalogue/s05-hw-truncation-divergence.toml"),
    include_str!("catalogue/s06-fast-failover-divergence.toml"),
    include_str!("catalogue/s07-unfenced-fetch-loss.toml"),
    include_str!("catalogue/s08-last-replica-standing.toml"),
    include_str!("catalogue/s09-elr-exhausted.toml"),
    include_str!("catalogue/s10-unclean-election.toml"),
    include_str!("catalogue/s11-acks-one-loss.toml"),
    include_str!("catalogue/s12-retry-duplicate.toml"),
    include_str!("catalogue/s13-min-isr-one.toml"),
    include_str!("catalogue/s14-correlated-power-loss.toml"),
    include_str!("catalogue/s15-stale-isr-request.toml"),
    include_str!("catalogue/s16-maximal-isr.toml"),
    include_str!("catalogue/s17-hw-regression.toml"),
    include_str!("catalogue/s18-leader-epoch-start-offset.toml"),
    include_str!("catalogue/s19-zombie-leader.toml"),
    include_str!("catalogue/s20-slow-follower.toml"),
    include_str!("catalogue/s21-under-min-isr-pending.toml"),
    include_str!("catalogue/s22-preferred-leader-move.toml"),
    include_str!("catalogue/s23-kill-versus-power.toml"),
    include_str!("catalogue/s24-rolling-restart.toml"),
    include_str!("catalogue/s25-skipped-epoch-stale-leo.toml"),
    include_str!("catalogue/s26-majority-versus-all-isr.toml"),
];

/// All of them.
///
/// # Errors
///
/// A file of the catalogue cannot be read, which a test rules out.
pub fn all() -> Result<Vec<Scenario>, ScenarioError> {
    CATALOGUE.iter().map(|text| Scenario::parse(text)).collect()
}

/// The scenario of this name or id (`S04`, in any case).
///
/// # Errors
///
/// As [`all`].
pub fn find(name: &str) -> Result<Option<Scenario>, ScenarioError> {
    let is_it = |scenario: &Scenario| {
        scenario.name == name || scenario.id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(name))
    };
    Ok(all()?.into_iter().find(is_it))
}
