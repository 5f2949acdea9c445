//! `logdir groups`: groups and what they have committed, from `__consumer_offsets`.

mod assign;
mod books;
mod changes;
mod commit;
mod csv;
mod delete;
mod describe;
mod export;
mod import;
mod kafka;
mod list;
mod offsets_file;
mod reset;
pub(in crate::cli) mod write;

pub(in crate::cli) use self::write::{log_problem, open_log, prepare};
use super::args::GlobalArgs;
use super::ui::Ui;
use super::{Outcome, man};

/// Consumer groups: which there are, their members, committed offsets and lag
///
/// Reads __consumer_offsets as a broker's coordinator loads it: classic, KIP-848, share and streams groups, with what open
/// transactions are about to commit. With many brokers' directories, name them all with -d: of replicas the one that
/// reaches furthest is read.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("groups"))]
pub struct GroupsArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with groups.
#[expect(missing_docs, reason = "a comment here would replace the help that stands at the arguments")]
#[derive(clap::Subcommand, Debug)]
pub enum Verb {
    List(list::ListArgs),
    Describe(describe::DescribeArgs),
    Commit(commit::CommitArgs),
    ResetOffsets(Box<reset::ResetArgs>),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Delete(delete::DeleteArgs),
    Assign(assign::AssignArgs),
    DeleteOffsets(delete::DeleteOffsetsArgs),
}

/// Whether the verb changes nothing.
pub(in crate::cli) const fn only_reads(args: &GroupsArgs) -> bool {
    matches!(args.verb, Verb::List(_) | Verb::Describe(_) | Verb::Export(_) | Verb::Assign(_))
}

/// Does it.
pub fn run(args: &GroupsArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    match &args.verb {
        Verb::List(args) => list::run(args, global, ui),
        Verb::Describe(args) => describe::run(args, global, ui),
        Verb::Commit(args) => commit::run(args, global, ui),
        Verb::Export(args) => export::run(args, global, ui),
        Verb::Import(args) => import::run(args, global, ui),
        Verb::ResetOffsets(args) => reset::run(args, global, ui),
        Verb::Assign(args) => assign::run(args, global, ui),
        Verb::Delete(args) => delete::run(args, global, ui),
        Verb::DeleteOffsets(args) => delete::run_offsets(args, global, ui),
    }
}
