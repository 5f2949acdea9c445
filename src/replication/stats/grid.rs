//! Many configurations side by side.

use super::configuration::{Configuration, Flush};
use super::outcome::Outcome;
use super::rates::{Rates, StatsError};
use super::{Acks, Strategy};
use super::{Effort, simulate};

/// Values of every setting, all combinations of which are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// Replication factors.
    pub replication_factors: Vec<u8>,
    /// `min.insync.replicas`; values above a replication factor are left out for it.
    pub min_insync_replicas: Vec<u8>,
    /// `acks`.
    pub acks: Vec<Acks>,
    /// `unclean.leader.election.enable`.
    pub is_unclean_allowed: Vec<bool>,
    /// Flush policies.
    pub flush: Vec<Flush>,
    /// With or without the ELR.
    pub has_elr: Vec<bool>,
    /// Strategies. Under a majority the settings that mean nothing to it are not told apart.
    pub strategies: Vec<Strategy>,
}

impl Default for Grid {
    /// Every setting with every value, for three replicas.
    fn default() -> Grid {
        Grid {
            replication_factors: vec![3],
            min_insync_replicas: vec![1, 2],
            acks: vec![Acks::None, Acks::Leader, Acks::All],
            is_unclean_allowed: vec![false, true],
            flush: vec![Flush::Never, Flush::EveryRecord],
            has_elr: vec![false, true],
            strategies: vec![Strategy::AllIsr, Strategy::Majority],
        }
    }
}

impl Grid {
    /// All combinations, each once.
    pub fn configurations(&self) -> Vec<Configuration> {
        let mut all = Vec::new();
        for &replication_factor in &self.replication_factors {
            for &min_insync_replicas in self.min_insync_replicas.iter().filter(|min| **min <= replication_factor) {
                for &acks in &self.acks {
                    for &is_unclean_allowed in &self.is_unclean_allowed {
                        for &flush in &self.flush {
                            for &has_elr in &self.has_elr {
                                let configuration = |&strategy| match strategy {
                                    Strategy::AllIsr => Configuration {
                                        replication_factor,
                                        min_insync_replicas,
                                        acks,
                                        is_unclean_allowed,
                                        flush,
                                        has_elr,
                                        strategy,
                                    },
                                    Strategy::Majority => Configuration {
                                        replication_factor,
                                        min_insync_replicas: replication_factor / 2 + 1,
                                        acks,
                                        is_unclean_allowed: false,
                                        flush,
                                        has_elr: false,
                                        strategy,
                                    },
                                };
                                all.extend(self.strategies.iter().map(configuration));
                            }
                        }
                    }
                }
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What each comes to, the most nines first: of losses, then of writes, to a tenth. `each` hears of every one that is done.
    pub fn run(
        &self,
        rates: &Rates,
        effort: &Effort,
        mut each: impl FnMut(&Outcome),
    ) -> Result<Vec<Outcome>, StatsError> {
        let mut rows = Vec::new();
        for configuration in self.configurations() {
            let outcome = simulate(&configuration, rates, effort)?;
            each(&outcome);
            rows.push(outcome);
        }
        // Nines as they are shown: what differs by less is chance.
        let shown = |nines: f64| -libm::round(nines * 10.0);
        rows.sort_by(|a, b| {
            let losses = shown(a.losses.nines()).total_cmp(&shown(b.losses.nines()));
            let writes = || shown(a.no_writes.nines()).total_cmp(&shown(b.no_writes.nines()));
            losses.then_with(writes).then_with(|| a.configuration.cmp(&b.configuration))
        });
        Ok(rows)
    }
}
