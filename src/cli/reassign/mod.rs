//! `logdir reassign`: plans that move replicas between brokers and disks, and how far directories are from one.

mod compare;
mod files;
mod generate;
mod problem;
mod rows;
mod sources;
mod verify;

use super::args::GlobalArgs;
use super::ui::Ui;
use super::{Outcome, man};

/// Plan partition reassignments, and see how far they are
///
/// From log directories, from the JSON of kafka-reassign-partitions.sh, or both. Plans are the JSON that the tool takes.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("reassign"))]
pub struct ReassignArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with reassignments.
#[expect(missing_docs, reason = "a comment here would replace the help that stands at the arguments")]
#[derive(clap::Subcommand, Debug)]
pub enum Verb {
    Generate(Box<generate::GenerateArgs>),
    Verify(verify::VerifyArgs),
}

/// Whether the verb reads the log directories of the options, and changes nothing.
pub(in crate::cli) fn only_reads(args: &ReassignArgs, global: &GlobalArgs) -> bool {
    match &args.verb {
        Verb::Generate(args) => args.reads_dirs(global),
        Verb::Verify(_) => true,
    }
}

/// Does it.
pub fn run(args: &ReassignArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    match &args.verb {
        Verb::Generate(args) => generate::run(args, global, ui),
        Verb::Verify(args) => verify::run(args, global, ui),
    }
}
