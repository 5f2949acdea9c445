//! `logdir mirror --to-cluster`: its options, and the run in builds that can speak to clusters.

#[cfg(feature = "cluster")]
mod copy;
#[cfg(feature = "cluster")]
mod lane;
#[cfg(feature = "cluster")]
mod map;
#[cfg(feature = "cluster")]
mod offsets;
#[cfg(feature = "cluster")]
mod plan;
#[cfg(feature = "cluster")]
mod problem;
#[cfg(feature = "cluster")]
mod report;
#[cfg(feature = "cluster")]
mod run;
#[cfg(feature = "cluster")]
mod standing;
#[cfg(feature = "cluster")]
mod targets;

use std::fmt;
use std::path::PathBuf;

use super::MirrorArgs;
use crate::cli::Outcome;
use crate::cli::args::GlobalArgs;
use crate::cli::consume::IsolationLevel;
#[cfg(not(feature = "cluster"))]
use crate::cli::ui::Problem;
use crate::cli::ui::Ui;

/// A `key=value` of the command line, which may be a secret.
#[derive(Clone)]
pub struct PropertyArg(String);

impl fmt::Debug for PropertyArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split_once('=').map_or("[redacted]", |(name, _)| name))
    }
}

impl PropertyArg {
    /// Takes any text: what is wrong with it is told without repeating it.
    #[expect(clippy::unnecessary_wraps, reason = "clap asks for a parser")]
    fn parse(text: &str) -> Result<PropertyArg, String> {
        Ok(PropertyArg(text.to_owned()))
    }
}

/// Into a running cluster.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Options for clusters")]
pub struct ToClusterArgs {
    /// Brokers of the cluster that the records go to, such as broker1:9092,broker2:9092
    #[arg(long, value_name = "HOST:PORT,..")]
    pub to_cluster: Option<String>,
    /// Setting of the client, as librdkafka names it (repeatable)
    ///
    /// Others of this machine see a command line: a password belongs into the file of --command-config.
    #[arg(short = 'X', value_name = "K=V", requires = "cluster", value_parser = PropertyArg::parse)]
    pub client_property: Vec<PropertyArg>,
    /// File with such settings, one key=value a line, # in front of comments
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pub command_config: Option<PathBuf>,
    /// Which records of transactions are carried over
    #[arg(long, value_name = "LEVEL", default_value = "read_committed", hide_short_help = true)]
    pub isolation_level: IsolationLevel,
    /// Name of the source, which progress is kept under [default: its cluster's id]
    #[arg(long, value_name = "NAME", conflicts_with = "to")]
    pub name: Option<String>,
    /// Groups whose committed offsets go along, or all
    #[arg(long, value_name = "GROUP,..", value_delimiter = ',', requires = "cluster")]
    pub groups: Vec<String>,
    /// Write which offsets of the source became which of the target: CSV, or with .json and .ndjson a JSON object a line
    ///
    /// A map that is there is added to, with what the cluster still knows of earlier runs; any other file is left alone.
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    pub map: Option<PathBuf>,
    /// Replicas of topics that are made [default: the cluster's default]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=i64::from(i16::MAX)), conflicts_with = "to")]
    pub replication_factor: Option<i32>,
    /// Go on in topics that hold records which are not from here
    #[arg(long, conflicts_with = "to")]
    pub append: bool,
    /// Most bytes of records in one transaction
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = crate::cli::size::parse, hide_short_help = true)]
    pub transaction_bytes: u64,
}

#[cfg(feature = "cluster")]
pub(super) use self::problem::{cluster_problem, failed, show_said};
#[cfg(feature = "cluster")]
pub(super) use self::run::{is_of_mirrors, properties};

/// Carries topics into a cluster.
#[cfg(feature = "cluster")]
pub fn run(args: &MirrorArgs, servers: &str, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    run::run(args, servers, global, ui)
}

/// Says that this build cannot.
#[cfg(not(feature = "cluster"))]
pub fn run(_: &MirrorArgs, _: &str, _: &GlobalArgs, _: &mut Ui) -> anyhow::Result<Outcome> {
    let problem = Problem::usage("--to-cluster: this build has no client for clusters (feature 'cluster')");
    Err(problem.hint("install one that has: cargo install logdir --features cluster").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_shows_its_name_only() {
        for (text, expected) in [("sasl.password=hunter2", "sasl.password"), ("hunter2", "[redacted]")] {
            assert_eq!(format!("{:?}", PropertyArg::parse(text).unwrap()), expected);
        }
    }

    #[cfg(not(feature = "cluster"))]
    #[test]
    fn a_build_without_a_client_says_so() {
        let args = ["logdir", "mirror", "-d", "data", "--to-cluster", "127.0.0.1:9092"];
        assert_eq!(crate::cli::run(args.map(Into::into).to_vec()), Outcome::Usage.exit_code());
    }
}
