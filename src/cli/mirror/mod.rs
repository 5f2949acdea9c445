//! `logdir mirror`: topics carried to another log directory, or into a running cluster, and kept up with their source.

mod rows;
mod to_cluster;
mod to_dir;

use std::path::PathBuf;

use self::to_cluster::ToClusterArgs;
use super::args::{GlobalArgs, TopicArg, offset_arg};
use super::range::{OffsetArg, Partitions, parse_time};
use super::ui::Ui;
use super::{Outcome, man};
use crate::storage::mirror::OnGap;
use crate::types::TimestampMs;

/// Carry topics to another log directory, or into a running cluster, exactly
///
/// To a log directory (--to) batches come over byte for byte: offsets, timestamps, leader epochs, producers, transactions, and
/// what groups have committed. Into a cluster (--to-cluster) every record goes to the same partition, once, with its key, value,
/// headers and timestamp. A second run brings what is new; one that was killed is finished by the next. Where the source
/// does not go on from what was mirrored (offsets that are gone, a log that was truncated, a topic that was made again) that is
/// reported, with exit code 1, and needs a decision: --on-gap.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("mirror"))]
#[command(group = clap::ArgGroup::new("target").required(true).args(["to", "to_cluster"]))]
pub struct MirrorArgs {
    /// The log directory that gets the copies; made where it is not there
    #[arg(long, value_name = "LOG_DIR")]
    pub to: Option<PathBuf>,
    /// Topic; re:PATTERN for several (repeatable) [default: all; into a cluster, but internal ones]
    #[arg(short, long, value_name = "TOPIC", value_parser = TopicArg::parse)]
    pub topic: Vec<TopicArg>,
    /// Partitions, such as 0,3-5; default all
    #[arg(short, long, value_name = "LIST", value_parser = Partitions::parse)]
    pub partition: Option<Partitions>,
    /// Which offsets: START:END, @TIME, P=RANGE ...; a batch that reaches beyond the end stays away (--to)
    #[arg(
        short,
        long,
        value_name = "RANGE",
        value_parser = offset_arg,
        allow_hyphen_values = true,
        conflicts_with = "to_cluster"
    )]
    pub offset: Vec<OffsetArg>,
    /// Cut all partitions at one moment: transactions whole, no group ahead of the records (--to)
    #[arg(
        long,
        value_name = "TIME",
        value_parser = time,
        allow_hyphen_values = true,
        conflicts_with_all = ["offset", "to_cluster"]
    )]
    pub until: Option<TimestampMs>,
    /// What to do where the source does not go on from what was mirrored
    #[arg(long, value_name = "ACTION", default_value = "stop")]
    pub on_gap: GapArg,
    /// Most bytes a second, such as 50MiB
    #[arg(long, value_name = "SIZE", value_parser = super::reassign::throttle)]
    pub throttle: Option<u64>,
    /// Leave internal topics (__*) behind, and with them the groups (--to)
    #[arg(long, conflicts_with = "to_cluster")]
    pub exclude_internal: bool,
    /// Open copies that a recovery shortens; what it cuts comes again from the source (--to)
    #[arg(long, conflicts_with = "to_cluster", hide_short_help = true)]
    pub allow_truncate: bool,
    /// Say what would be done, do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
    /// Into a running cluster.
    #[command(flatten)]
    pub to_cluster: ToClusterArgs,
}

/// What to do where a source does not go on from what was mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum GapArg {
    /// Stop in front of it, and report it with exit code 1
    #[default]
    Stop,
    /// Keep what was mirrored, and go on behind what is missing
    Keep,
}

impl From<GapArg> for OnGap {
    fn from(arg: GapArg) -> OnGap {
        match arg {
            GapArg::Stop => OnGap::Stop,
            GapArg::Keep => OnGap::Keep,
        }
    }
}

fn time(text: &str) -> Result<TimestampMs, String> {
    parse_time(text.strip_prefix('@').unwrap_or(text), super::args::now_ms()).map_err(|error| error.to_string())
}

/// Carries them over.
pub fn run(args: &MirrorArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    match (&args.to, &args.to_cluster.to_cluster) {
        (Some(to), _) => to_dir::run(args, to, global, ui),
        (None, servers) => to_cluster::run(args, servers.as_deref().unwrap_or_default(), global, ui),
    }
}
