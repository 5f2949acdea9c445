//! `logdir mirror`: topics carried to another log directory, or into a running cluster, and kept up with their source.

mod from_cluster;
mod rows;
mod to_cluster;
mod to_dir;

use std::path::{Path, PathBuf};

use self::to_cluster::ToClusterArgs;
use super::args::{GlobalArgs, TopicArg, offset_arg};
use super::consume::select::storage_problem;
use super::range::{OffsetArg, Partitions, parse_time};
use super::topics::problem::create_problem;
use super::ui::{Problem, Ui};
use super::{Outcome, man};
use crate::storage::fs::StorageError;
use crate::storage::mirror::{Finding, OnGap};
use crate::storage::partition::present;
use crate::storage::{create, meta_properties};
use crate::types::{TimestampMs, TopicPartition};

/// Carry topics to another log directory, or into a running cluster, exactly
///
/// To a log directory (--to) batches come over byte for byte: offsets, timestamps, leader epochs, producers, transactions, and
/// what groups have committed. Into a cluster (--to-cluster) every record goes to the same partition, once, with its key, value,
/// headers and timestamp; out of one (--from-cluster, --to) under its own offsets. A second run brings what is new; one that was
/// killed is finished by the next. Where the source does not go on from what was mirrored (offsets that are gone, a log that was
/// truncated, a topic that was made again) that is reported, with exit code 1, and needs a decision: --on-gap. Until then that
/// partition is left as it is; into a cluster nothing is written at all, where it is seen before the first record is sent.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("mirror"))]
#[command(group = clap::ArgGroup::new("target").required(true).args(["to", "to_cluster"]))]
#[command(group = clap::ArgGroup::new("cluster").args(["from_cluster", "to_cluster"]))]
pub struct MirrorArgs {
    /// The log directory that gets the copies; made where it is not there
    #[arg(long, value_name = "LOG_DIR")]
    pub to: Option<PathBuf>,
    /// Brokers of a running cluster that the records come from, such as broker1:9092,broker2:9092
    #[arg(long, value_name = "HOST:PORT,..", conflicts_with_all = ["offset", "until", "exclude_internal"])]
    pub from_cluster: Option<String>,
    /// Go on as the cluster's topics grow, until interrupted (--from-cluster)
    #[arg(long, requires = "from_cluster", conflicts_with = "dry_run")]
    pub follow: bool,
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
    match (&args.to, &args.from_cluster, &args.to_cluster.to_cluster) {
        (Some(to), Some(servers), _) => from_cluster::run(args, servers, to, global, ui),
        (Some(to), None, _) => to_dir::run(args, to, global, ui),
        (None, _, servers) => to_cluster::run(args, servers.as_deref().unwrap_or_default(), global, ui),
    }
}

/// Tells what is in the way of a partition; a decision that was made leaves a warning.
fn tell_findings(
    on_gap: OnGap,
    partition: &TopicPartition,
    findings: &[Finding],
    is_stopped: bool,
    ui: &mut Ui,
) -> Outcome {
    let mut outcome = Outcome::Done;
    for finding in findings {
        let text = format!("{partition}: {finding}");
        let problem = Problem::new(finding.word(), text).outcome(Outcome::Findings);
        if on_gap == OnGap::Keep && !matches!(finding, Finding::Refused { .. }) {
            let what = if is_stopped { "the copy is kept as it is" } else { "what is missing is passed" };
            ui.warning(problem.hint(what));
            continue;
        }
        outcome |= Outcome::Findings;
        ui.error(problem.hint(match finding {
            Finding::Gap { .. } | Finding::Hole { .. } => "to go on behind what is missing: --on-gap keep".to_owned(),
            Finding::Damage { .. } => {
                "fill it from a replica first: logdir recover --mode merge; to go on behind it: --on-gap keep".to_owned()
            }
            Finding::Shorter { .. } | Finding::Differs { .. } | Finding::Recreated { .. } => format!(
                "to keep the copy and leave this partition: --on-gap keep; to copy it anew, into another directory: --to, or \
                 delete the copy first: logdir topics delete {} --execute",
                partition.topic
            ),
            Finding::Refused { .. } => "see what is there with: logdir dump-segment".to_owned(),
        }));
    }
    outcome
}

/// Makes the log directory of the copies, where it is not there, of this cluster and node; tells where it is of another cluster.
fn make_target(to: &Path, cluster_id: Option<&str>, node_id: Option<i32>, ui: &mut Ui) -> anyhow::Result<()> {
    let path = to.join(meta_properties::FILE_NAME);
    let found = present(meta_properties::read(&path)).map_err(|error| storage_problem(&error))?;
    let Some(found) = found else {
        let random = || create::random_uuid().map_err(|error| StorageError::new(to, error));
        let id = match cluster_id {
            Some(id) => id.to_owned(),
            None => random().map_err(|error| storage_problem(&error))?.to_string(),
        };
        let directory_id = random().map_err(|error| storage_problem(&error))?;
        let made = create::log_dir(to, &id, node_id.unwrap_or(1), directory_id);
        return made.map_err(|error| create_problem(&error).into());
    };
    if let (Some(ours), Some(theirs)) = (found.cluster_id(), cluster_id)
        && ours != theirs
    {
        let text = format!(
            "is of cluster {ours}, the source of {theirs}: a broker of that cluster does not know these topics"
        );
        ui.warning(Problem::new("notice", text).path(to).hint(
            "to have a broker of another cluster serve them: logdir topics adopt, or logdir mirror --to-cluster",
        ));
    }
    Ok(())
}
