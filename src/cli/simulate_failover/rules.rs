//! `--era` and `--set`: rules that are wanted in place of others.

use crate::cli::ui::Problem;
use crate::replication::event::Acks;
use crate::replication::rules::{Era, Rules};
use crate::replication::scenario::{SETTINGS, ScenarioError};

/// Which rules hold.
#[derive(clap::Args, Debug, Clone, Default)]
#[command(next_help_heading = "Rules")]
pub struct RuleArgs {
    /// Rules of this generation of Kafka: hw, epoch, epoch2, fenced, fetch or elr
    ///
    /// It brings its own protective rules. Default: what the scenario says; elr where there is none (random, explore).
    #[arg(long, value_name = "ERA", value_parser = era)]
    pub era: Option<Era>,
    /// Change a setting: min.insync.replicas=2, unclean.leader.election.enable=true, enable.idempotence=true,
    /// flush=every-record, records_per_fetch=1, strategy=majority, or a protective rule: fence=false (repeatable)
    ///
    /// Protective rules: fence, leso, broker_epoch_check, maximal_isr, hw_needs_min_isr, elr, clear_rem, bump_on_shrink,
    /// wait_for_joining. What each keeps out is told by: logdir simulate-failover explore --known
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
}

/// The era of this name.
pub fn era(text: &str) -> Result<Era, String> {
    Era::parse(text).ok_or_else(|| format!("eras are {}", Era::ALL.map(Era::name).join(", ")))
}

/// `acks` of a producer.
pub fn acks(text: &str) -> Result<Acks, String> {
    Acks::parse(text).ok_or_else(|| "expected 0, 1 or all".to_owned())
}

/// `KEY=VALUE`, with a key that there is and a value it can have.
pub fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Rules::of(Era::Fetch, 3).set(key, value).map_err(|error| error.to_string())?;
    Ok((key.to_owned(), value.to_owned()))
}

impl RuleArgs {
    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.era.is_none() && self.set.is_empty()
    }

    /// `rules` with what is wanted instead. Another era brings its own protective rules.
    pub fn apply(&self, rules: &mut Rules) -> Result<(), ScenarioError> {
        if let Some(era) = self.era {
            rules.era = era;
            rules.switches = era.switches();
        }
        self.set.iter().try_for_each(|(key, value)| rules.set(key, value))
    }

    /// The options as they would be typed again.
    pub fn typed(&self) -> String {
        let era = self.era.map(|era| format!(" --era {era}")).unwrap_or_default();
        self.set.iter().fold(era, |typed, (key, value)| format!("{typed} --set {key}={value}"))
    }
}

/// A setting that cannot be, as a mistake in the command line.
pub fn refused(error: &ScenarioError) -> Problem {
    let settings: Vec<&str> = SETTINGS.iter().map(|(name, _)| *name).collect();
    Problem::usage(error.to_string()).hint(format!("settings are {}", settings.join(", ")))
}
