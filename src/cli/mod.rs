//! The logdir command: arguments, printing and exit codes.
//!
//! [`run`] parses, dispatches and returns the exit code. One file per command holds its arguments, whose
//! doc comments are its help, and a `run` that wires the library to them.

pub mod args;
pub mod completions;
pub mod consume;
pub mod decode;
pub mod dirs;
pub mod dump;
pub mod dump_segment;
pub mod filter;
pub mod groups;
pub mod input;
mod interrupt;
pub mod json_row;
pub mod kafka_table;
mod live;
pub mod log_dirs;
pub mod man;
pub mod message;
pub mod metadata;
pub mod mirror;
pub mod offsets;
mod outcome;
pub mod partition_of;
pub mod produce;
pub mod range;
pub mod reassign;
pub mod record_format;
pub mod recover;
mod session;
pub mod simulate_failover;
pub mod size;
pub mod table;
pub mod topics;
pub mod transactions;
pub mod ui;
pub mod verify;
pub mod verify_index;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

pub use self::args::GlobalArgs;
pub use self::outcome::Outcome;
use self::ui::{Problem, Ui};

/// Environment variables and what they do.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("LOGDIR_DIR", "Log directories, as -d."),
    ("LOGDIR_OUTPUT", "Format of stdout, as --output."),
    ("LOGDIR_THREADS", "Threads, as --threads."),
    ("NO_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM", "Whether to use colour, with --color auto."),
];

/// Version, the commit where the build was told of it, and what can be read.
fn long_version() -> String {
    let commit = option_env!("LOGDIR_COMMIT").map_or(String::new(), |commit| format!(" ({commit})"));
    let version = env!("CARGO_PKG_VERSION");
    format!("{version}{commit}\nrecord batches: magic 0, 1, 2; compression: none, gzip, snappy, lz4, zstd")
}

/// Read and write Apache Kafka log directories, with no broker running
#[derive(Parser, Debug)]
#[command(
    name = "logdir",
    version,
    long_version = long_version(),
    before_long_help = man::examples(""),
    max_term_width = 100,
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
}

/// What to do.
#[expect(missing_docs, reason = "a comment here would replace the help that stands at the arguments")]
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    Produce(Box<produce::ProduceArgs>),
    Consume(Box<consume::ConsumeArgs>),
    #[command(alias = "dump")]
    DumpSegment(Box<dump_segment::DumpSegmentArgs>),
    VerifyIndex(verify_index::VerifyIndexArgs),
    Verify(verify::VerifyArgs),
    Metadata(metadata::MetadataArgs),
    PartitionOf(partition_of::PartitionOfArgs),
    Recover(Box<recover::RecoverArgs>),
    Transactions(transactions::TransactionsArgs),
    LogDirs(Box<log_dirs::LogDirsArgs>),
    Offsets(offsets::OffsetsArgs),
    Topics(topics::TopicsArgs),
    Groups(groups::GroupsArgs),
    Reassign(reassign::ReassignArgs),
    Mirror(Box<mirror::MirrorArgs>),
    #[command(alias = "simulate")]
    SimulateFailover(simulate_failover::SimulateFailoverArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Does what `args` (with the program's name first) ask for; returns the exit code.
pub fn run(args: Vec<OsString>) -> u8 {
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &args),
    };
    let mut ui = Ui::new(cli.global.settings());
    let Some(command) = &cli.command else {
        let help = Cli::command().render_help();
        let text = if ui.table_style() == (table::ListingStyle::Table { bold: true }) {
            help.ansi().to_string()
        } else {
            help.to_string()
        };
        ui.out().buffer().extend_from_slice(text.as_bytes());
        return ui.finish(Outcome::Usage).exit_code();
    };
    say_sources(&cli.global, &mut ui);
    live::warn(command, &cli.global, &mut ui);
    let outcome = dispatch(command, &cli.global, &mut ui).unwrap_or_else(|error| {
        let problem = Problem::of(&error);
        let outcome = problem.ends_with();
        // What was found before the error belongs before it.
        let _ = ui.out().send();
        ui.error(problem);
        outcome
    });
    ui.finish(outcome).exit_code()
}

fn dispatch(command: &Command, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    if global.output() == Some(args::OutputFormat::Prometheus) && !matches!(command, Command::LogDirs(_)) {
        let problem = Problem::usage("--output prometheus: this command counts nothing to be scraped");
        return Err(problem.hint("use --output table or json").into());
    }
    match command {
        Command::Produce(args) => produce::run(args, global, ui),
        Command::Consume(args) => consume::run(args, global, ui),
        Command::DumpSegment(args) => dump_segment::run(args, global, ui),
        Command::VerifyIndex(args) => verify_index::run(args, global, ui),
        Command::Verify(args) => verify::run(args, global, ui),
        Command::Metadata(args) => metadata::run(args, global, ui),
        Command::PartitionOf(args) => partition_of::run(args, global, ui),
        Command::Recover(args) => recover::run(args, global, ui),
        Command::Transactions(args) => transactions::run(args, global, ui),
        Command::LogDirs(args) => log_dirs::run(args, global, ui),
        Command::Offsets(args) => offsets::run(args, global, ui),
        Command::Topics(args) => topics::run(args, global, ui),
        Command::Groups(args) => groups::run(args, global, ui),
        Command::Reassign(args) => reassign::run(args, global, ui),
        Command::Mirror(args) => mirror::run(args, global, ui),
        Command::SimulateFailover(args) => simulate_failover::run(args, global, ui),
        Command::Completions(args) => completions::run(args, ui),
        Command::Man(args) => man::run(args, ui),
    }
}

/// With `-v`: which settings come from the environment.
fn say_sources(global: &GlobalArgs, ui: &mut Ui) {
    if ui.verbose() == 0 {
        return;
    }
    for (name, used) in [
        ("LOGDIR_DIR", global.dir.is_empty() && global.properties.is_none()),
        ("LOGDIR_OUTPUT", !global.json),
        ("LOGDIR_THREADS", true),
    ] {
        if let (true, Some(value)) = (used, std::env::var_os(name)) {
            ui.detail(&format!("from the environment: {name}={}", value.to_string_lossy()));
        }
    }
}

/// Prints help and version on stdout, usage errors on stderr: as JSON when that is asked for.
fn refuse(error: &clap::Error, args: &[OsString]) -> u8 {
    let json = args.iter().zip(args.iter().skip(1).map(Some).chain([None])).any(|(arg, next)| {
        arg == "--json" || arg == "--output=json" || (arg == "--output" && next.is_some_and(|next| next == "json"))
    });
    if error.use_stderr() && json {
        let text = error.render().to_string();
        let message = text.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
        let mut ui = Ui::new(ui::Settings { json: true, ..ui::Settings::default() });
        ui.error(Problem::usage(message));
        return Outcome::Usage.exit_code();
    }
    // A closed stdout is no reason to complain about help.
    let _ = error.print();
    u8::try_from(error.exit_code()).unwrap_or(Outcome::Usage.exit_code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }
}
