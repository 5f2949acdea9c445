//! `logdir metadata`: the cluster that a metadata log comes to, at any moment of its life.

mod diff;
mod find;
mod get;
mod glob;
mod leaf_json;
mod log;
mod source;
mod tree;

use std::path::PathBuf;

use self::source::MomentArg;
use super::args::GlobalArgs;
use super::ui::Ui;
use super::{Outcome, man};
use crate::schema::image::Secrets;

/// Read the cluster's metadata: brokers, topics, settings, quotas, access control
///
/// From the metadata log of a log directory, from a snapshot of it or from bootstrap.checkpoint, as the cluster was at
/// the end, at an offset or at a time. The tree has the names of Kafka's metadata shell. Reads only.
///
/// Which records are committed is not on disk: of a quorum with several voters the last ones may be taken back.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("metadata"))]
pub struct MetadataArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[expect(missing_docs, reason = "a comment here would replace the help that stands at the arguments")]
#[derive(clap::Subcommand, Debug, Clone)]
pub enum Verb {
    Tree(tree::TreeArgs),
    #[command(alias = "cat")]
    Get(get::GetArgs),
    Find(find::FindArgs),
    Diff(diff::DiffArgs),
    Log(log::LogArgs),
}

/// Where the metadata comes from.
#[derive(clap::Args, Debug, Clone)]
pub struct SourceArgs {
    /// Log directory, __cluster_metadata-0 in one, .checkpoint file or .log file. Default: the log directory of -d or -F
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// Show keys and salts of SCRAM credentials, and settings that are passwords
    #[arg(long)]
    pub show_secrets: bool,
}

/// What the command line names to be read.
pub(in crate::cli) fn paths(args: &MetadataArgs) -> Vec<PathBuf> {
    let source = match &args.verb {
        Verb::Tree(args) => &args.source,
        Verb::Get(args) => &args.source,
        Verb::Find(args) => &args.source,
        Verb::Diff(args) => &args.source,
        Verb::Log(args) => &args.source,
    };
    source.path.iter().cloned().collect()
}

impl SourceArgs {
    fn secrets(&self) -> Secrets {
        if self.show_secrets { Secrets::Shown } else { Secrets::Hidden }
    }
}

/// One moment of it.
#[derive(clap::Args, Debug, Clone)]
pub struct MomentArgs {
    /// As it was before this offset (N), the last N records (-N) or this time (@T). Default: end
    #[arg(
        short,
        long,
        value_name = "OFFSET|@T",
        default_value = "end",
        allow_hyphen_values = true,
        value_parser = MomentArg::parse
    )]
    pub offset: MomentArg,
}

/// Does what the verb says.
pub fn run(args: &MetadataArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    match &args.verb {
        Verb::Tree(args) => tree::run(args, global, ui),
        Verb::Get(args) => get::run(args, global, ui),
        Verb::Find(args) => find::run(args, global, ui),
        Verb::Diff(args) => diff::run(args, global, ui),
        Verb::Log(args) => log::run(args, global, ui),
    }
}
