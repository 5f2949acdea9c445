//! The `logdir` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("error: a bug in logdir {}: {panic}", env!("CARGO_PKG_VERSION"));
        eprintln!("hint: please report it, with this message and the command line; no data was meant to change");
        std::process::exit(101);
    }));
    ExitCode::from(logdir::cli::run(std::env::args_os().collect()))
}
