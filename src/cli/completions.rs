//! `logdir completions`: scripts for shells.

use clap::CommandFactory;
use clap_complete::Shell;

use super::ui::Ui;
use super::{Cli, Outcome, man};

/// Print a completion script for a shell
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("completions"))]
pub struct CompletionsArgs {
    /// Shell to complete for
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints the script.
pub fn run(args: &CompletionsArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    clap_complete::generate(args.shell, &mut Cli::command(), "logdir", ui.out().buffer());
    Ok(Outcome::Done)
}
