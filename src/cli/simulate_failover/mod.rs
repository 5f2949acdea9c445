//! `logdir simulate-failover`: replication of a partition played through, judged and explored.

mod assess;
mod compare;
mod explore;
mod list;
mod random;
mod rules;
mod run;
mod source;
mod stats;

use std::path::PathBuf;

use super::args::{GlobalArgs, OutputFormat};
use super::ui::{Problem, Ui};
use super::{Outcome, man};

/// Play failovers of a partition through: what is acknowledged, lost, diverged, and why
///
/// Rules are those of Kafka's brokers and controller, of six eras from before 0.11 to 4.x with eligible leader replicas.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("simulate-failover"))]
pub struct SimulateFailoverArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[expect(missing_docs, reason = "a comment here would replace the help that stands at the arguments")]
#[derive(clap::Subcommand, Debug)]
pub enum Verb {
    Run(run::RunArgs),
    Random(Box<random::RandomArgs>),
    Explore(Box<explore::ExploreArgs>),
    Compare(compare::CompareArgs),
    Assess(assess::AssessArgs),
    Stats(Box<stats::StatsArgs>),
    List(list::ListArgs),
    Show(list::ShowArgs),
}

/// Directories that the verb reads; `None` where it reads none. An empty list stands for those of the options.
pub(in crate::cli) fn read_by(args: &SimulateFailoverArgs) -> Option<Vec<PathBuf>> {
    match &args.verb {
        Verb::Assess(args) => Some(args.dirs().to_vec()),
        _ => None,
    }
}

/// Does it.
pub fn run(args: &SimulateFailoverArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    match &args.verb {
        Verb::Run(args) => run::run(args, global, ui),
        Verb::Random(args) => random::run(args, global, ui),
        Verb::Explore(args) => explore::run(args, global, ui),
        Verb::Compare(args) => compare::run(args, global, ui),
        Verb::Assess(args) => assess::run(args, global, ui),
        Verb::Stats(args) => stats::run(args, global, ui),
        Verb::List(args) => list::list(args, global, ui),
        Verb::Show(args) => list::show(args, global, ui),
    }
}

/// Refuses formats that a verb does not have.
fn only(global: &GlobalArgs, offered: &[OutputFormat]) -> anyhow::Result<()> {
    match global.output() {
        Some(format) if !offered.contains(&format) => {
            let name =
                clap::ValueEnum::to_possible_value(&format).map_or_else(String::new, |value| value.get_name().into());
            let problem = Problem::usage(format!("--output {name} is not offered here"));
            Err(problem.hint("use --output table or json").into())
        }
        _ => Ok(()),
    }
}
