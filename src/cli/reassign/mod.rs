//! `logdir reassign`: plans that move replicas between brokers and disks, how far directories are from one, and the moves.

mod compare;
mod execute;
mod files;
mod generate;
mod moving;
mod problem;
mod resume;
mod rows;
mod sources;
mod verify;

use super::args::GlobalArgs;
use super::ui::Ui;
use super::{Outcome, man, size};

/// Plan partition reassignments, see how far they are, and move directories while brokers are stopped
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
    Execute(execute::ExecuteArgs),
    Resume(resume::ResumeArgs),
    Rollback(resume::RollbackArgs),
}

/// Whether the verb reads the log directories of the options, and changes nothing.
pub(in crate::cli) fn only_reads(args: &ReassignArgs, global: &GlobalArgs) -> bool {
    match &args.verb {
        Verb::Generate(args) => args.reads_dirs(global),
        Verb::Verify(_) => true,
        Verb::Execute(_) | Verb::Resume(_) | Verb::Rollback(_) => false,
    }
}

/// Does it.
pub fn run(args: &ReassignArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    match &args.verb {
        Verb::Generate(args) => generate::run(args, global, ui),
        Verb::Verify(args) => verify::run(args, global, ui),
        Verb::Execute(args) => execute::run(args, global, ui),
        Verb::Resume(args) => resume::resume(args, global, ui),
        Verb::Rollback(args) => resume::rollback(args, global, ui),
    }
}

/// Bytes a second, with or without `/s`.
pub(in crate::cli) fn throttle(text: &str) -> Result<u64, String> {
    let rate = size::parse(text.strip_suffix("/s").unwrap_or(text)).map_err(|error| error.to_string())?;
    if rate == 0 { Err("nothing moves at 0 bytes a second".to_owned()) } else { Ok(rate) }
}
