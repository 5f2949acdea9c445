//! `logdir mirror`: topics carried to another log directory, and kept up with their source.

mod rows;
mod to_dir;

use std::path::PathBuf;

use super::args::{GlobalArgs, TopicArg, offset_arg};
use super::range::{OffsetArg, Partitions, parse_time};
use super::ui::Ui;
use super::{Outcome, man};
use crate::storage::mirror::OnGap;
use crate::types::TimestampMs;

/// Carry topics to another log directory, with their offsets, and keep them up with their source
///
/// Records, offsets, timestamps, leader epochs, producers and transactions come over as they are, and what consumer groups
/// committed with them. A second run brings what is new; one that was killed is finished by the next. Where the source does
/// not go on from the copy (offsets that are gone, a log that was truncated, a topic that was re-created) the partition is left
/// as it is and reported, with exit code 1.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("mirror"))]
pub struct MirrorArgs {
    /// The log directory that gets the copies; made where it is not there
    #[arg(long, value_name = "LOG_DIR")]
    pub to: PathBuf,
    /// Topics (repeatable, comma list, or re:PATTERN) [default: all, internal ones too]
    #[arg(short, long = "topic", value_name = "TOPIC", value_parser = TopicArg::parse)]
    pub topics: Vec<TopicArg>,
    /// Partitions, such as 0,3-5
    #[arg(short, long, value_name = "LIST", value_parser = Partitions::parse)]
    pub partitions: Option<Partitions>,
    /// Which offsets: START:END, @TIME, P=RANGE ...; a batch that reaches beyond the end stays away
    #[arg(short, long, value_name = "RANGE", value_parser = offset_arg, allow_hyphen_values = true)]
    pub offset: Vec<OffsetArg>,
    /// Cut all partitions at one moment: transactions whole, no group ahead of the records
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true, conflicts_with = "offset")]
    pub until: Option<TimestampMs>,
    /// Where the source does not go on from the copy: leave the partition (stop), or keep what the copy has and go on behind
    /// what is missing (keep)
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    pub on_gap: GapArg,
    /// Open copies that a recovery shortens; what it cuts comes again from the source
    #[arg(long)]
    pub allow_truncate: bool,
    /// Bytes a second, such as 50MiB
    #[arg(long, value_name = "SIZE", value_parser = super::reassign::throttle)]
    pub throttle: Option<u64>,
    /// Leave internal topics (__*) behind, and with them the groups
    #[arg(long)]
    pub exclude_internal: bool,
    /// Say what would be copied
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
}

/// What to do where a source does not go on from its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum GapArg {
    /// Leave the partition as it is, and report it
    Stop,
    /// Keep what the copy has, and go on behind what is missing
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

/// Copies.
pub fn run(args: &MirrorArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    to_dir::run(args, global, ui)
}
