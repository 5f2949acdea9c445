//! `simulate-failover assess`.

mod rows;
mod targets;
mod text;
mod words;

use std::path::PathBuf;

use self::targets::{Target, Targets};
use self::words::Names;
use crate::batch::scan::Depth;
use crate::cli::args::{GlobalArgs, OutputFormat, TopicArg};
use crate::cli::range::Partitions;
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man, size};
use crate::replication::assess::Assessment;
use crate::replication::rules::Era;
use crate::storage::assess::{self, Found, Knowledge, WalkOptions};
use crate::storage::leader_epochs;

/// How closely to look at batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum DepthArg {
    /// Headers: fast, blind to damage inside a batch
    Headers,
    /// Checksums of all bytes
    Crc,
}

/// Tell which replica of a dead partition to make leader, and what that loses
///
/// From what is on the disks of its brokers. For each replica: which records it would keep and lose as leader, which of those
/// were surely committed and which may have been acknowledged, where the others would truncate; and the best choice with its
/// reason. With the log directories that hold __cluster_metadata-0 it also knows ISR, ELR and who led. Reads only. Exits 1
/// when committed records are lost with the best choice too.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("simulate-failover assess"))]
pub struct AssessArgs {
    /// Partition directories of one partition, or log directories of its brokers. Default: the log directories of -d or -F
    #[arg(value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Only this topic (repeatable, or a comma list; re:PATTERN)
    #[arg(short, long, value_name = "NAME", value_parser = TopicArg::parse)]
    topic: Vec<TopicArg>,
    /// Only these partitions: 3, 0-2, 1,5
    #[arg(short, long, value_name = "N", value_parser = Partitions::parse)]
    partition: Option<Partitions>,
    /// Rules by which the others truncate: hw, epoch, epoch2, fenced, fetch (Kafka 2.7 and later) or elr
    #[arg(long, value_name = "ERA", default_value = "fetch", value_parser = era)]
    era: Era,
    /// How closely to look at batches
    #[arg(long, value_name = "DEPTH", default_value = "crc")]
    depth: DepthArg,
    /// Largest batch, as stored; one beyond it is damage
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size::parse, hide_short_help = true)]
    max_batch_bytes: u64,
    /// Leave the head off the table
    #[arg(long, hide_short_help = true)]
    no_header: bool,
}

impl AssessArgs {
    /// Directories that are named one by one.
    pub(super) fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }
}

fn era(text: &str) -> Result<Era, String> {
    Era::parse(text).ok_or_else(|| format!("expected one of {}", Era::ALL.map(Era::name).join(", ")))
}

/// A partition, and what it comes to.
struct Assessed<'a> {
    target: &'a Target,
    found: Found,
    assessment: Assessment,
    names: Names,
}

/// Looks, judges and tells.
pub fn run(args: &AssessArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let is_json = match global.output() {
        None | Some(OutputFormat::Table) => false,
        Some(OutputFormat::Json) => true,
        Some(OutputFormat::Tsv | OutputFormat::Kafka | OutputFormat::Prometheus) => {
            let problem = Problem::usage("what is told is a table and sentences, or JSON");
            return Err(problem
                .hint("--json gives a row for each replica, divergence, candidate and truncation")
                .into());
        }
    };
    let targets = Targets::find(args, global, ui)?;
    let mut outcome = targets.outcome;
    let paths: Vec<PathBuf> = targets.log_dirs.iter().map(|dir| dir.dir().to_owned()).collect();
    let (newest, metadata_outcome) = crate::cli::dirs::believed_metadata(&targets.log_dirs, ui);
    outcome |= metadata_outcome;
    if newest.is_none() {
        ui.note("no __cluster_metadata-0 is in these directories: who led, ISR and ELR are not known");
    }
    let knowledge = Knowledge::read(&paths, newest);
    let total = targets.all.iter().flat_map(|target| &target.replicas).map(assess::ReplicaDir::size_bytes).sum();
    let mut progress = ui.progress(total, "assess");
    let options = WalkOptions {
        depth: match args.depth {
            DepthArg::Headers => Depth::Headers,
            DepthArg::Crc => Depth::Crc,
        },
        max_batch_bytes: args.max_batch_bytes,
    };
    for (number, target) in targets.all.iter().enumerate() {
        let found = assess::read(&target.replicas, &knowledge, args.era, &options, |bytes| progress.add(bytes));
        let assessment = Assessment::of(&found.situation);
        let names = Names::of(&target.replicas);
        let assessed = Assessed { target, found, assessment, names };
        outcome |= problems(&assessed, ui);
        if is_json {
            rows::write(&assessed, ui.out().buffer());
        } else {
            if number > 0 {
                ui.out().buffer().push(b'\n');
            }
            text::write(&assessed, !args.no_header, ui);
        }
        if assessed.assessment.surely_loses() {
            outcome |= Outcome::Findings;
        }
    }
    Ok(outcome)
}

/// Tells on stderr what stood in the way of knowing more.
fn problems(assessed: &Assessed<'_>, ui: &mut Ui) -> Outcome {
    let mut outcome = Outcome::Done;
    for (replica, walked) in assessed.target.replicas.iter().zip(&assessed.found.walked) {
        for notice in replica.notices.iter().chain(replica.partition.notices()) {
            ui.warning(Problem::new("notice", notice.message.clone()).path(&notice.path));
        }
        if let Some(error) = &walked.epochs_unreadable {
            let text = format!("{}; leader epochs are taken from the batches, and a broker does not start", error.kind);
            ui.warning(Problem::new("malformed", text).path(&error.path));
        }
        let epochs = replica.partition.dir().join(leader_epochs::FILE_NAME);
        if walked.batches > 0 && !epochs.exists() {
            let text = "missing: its broker knows of no leader epochs in this log, and does not find out where another one parts from it";
            ui.warning(Problem::new("missing", text).path(epochs));
        }
        if let Some(damage) = walked.damage.as_ref().filter(|damage| damage.is_unreadable) {
            let problem = Problem::new("io", damage.reason.clone()).path(&damage.path);
            ui.error(problem.hint("what stands behind it is not known; it counts as lost"));
            outcome |= Outcome::Failed;
        }
    }
    if let Some(stale) = assessed.found.stale_epoch {
        let text = format!(
            "{}: the metadata logs here are older than the replicas, they end in leader epoch {stale}: ISR and ELR are not known",
            assessed.target.partition
        );
        let hint =
            "name the log directories of the other brokers and of the controllers that hold __cluster_metadata-0";
        ui.warning(Problem::new("unchecked", text).hint(hint));
    }
    let missing = assessed.found.situation.not_looked_at();
    if !missing.is_empty() {
        let named =
            |(broker, may_lead): &(i32, bool)| format!("{broker}{}", if *may_lead { " (ISR or ELR)" } else { "" });
        let named: Vec<String> = missing.iter().map(named).collect();
        let text = format!(
            "{}: the replicas of these brokers were not looked at, and what they have is not known: {}",
            assessed.target.partition,
            named.join(", ")
        );
        let hint = if missing.iter().any(|(_, may_lead)| *may_lead) {
            "name their directories too before you choose: one that may be elected cleanly may have more"
        } else {
            "name their directories too, if they are still there"
        };
        ui.warning(Problem::new("unchecked", text).hint(hint));
    }
    if assessed.found.situation.comparison.is_coarse {
        let text =
            "the logs differ in too many places to tell them apart; behind the last of these all count as different";
        ui.warning(Problem::new("unchecked", text));
    }
    outcome
}
