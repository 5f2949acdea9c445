//! `logdir verify`: for now, what a broker would do at its next start.

pub mod forecast;

use std::path::PathBuf;

use super::args::GlobalArgs;
use super::ui::{Problem, Ui};
use super::{Outcome, man};

/// Say what a broker would do with log directories at its next start
///
/// Reads only. Exits 1 when a broker would not start, a directory would go offline, or data would be lost or set aside.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("verify"))]
pub struct VerifyArgs {
    /// Log directories, as -d
    #[arg(value_name = "PATH", conflicts_with = "dir")]
    pub paths: Vec<PathBuf>,
    /// Forecast the next start of a Kafka 4.3 broker: what it cuts, deletes, rebuilds, sets aside, or refuses over
    #[arg(long)]
    pub forecast: bool,
    /// Options of the forecast.
    #[command(flatten)]
    pub options: forecast::ForecastArgs,
}

/// Runs it.
pub fn run(args: &VerifyArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    if !args.forecast {
        return Err(Problem::usage("nothing to verify").hint("add --forecast").into());
    }
    let dirs = if args.paths.is_empty() { global.log_dirs()? } else { args.paths.clone() };
    forecast::run(&dirs, &args.options, global, ui)
}
