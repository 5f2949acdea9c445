//! A word of warning where a broker is running on what is about to be read.

use std::path::{Path, PathBuf};

use super::ui::{Problem, Ui};
use super::{Command, GlobalArgs, groups, metadata, reassign, simulate_failover, topics};
use crate::storage::lock;

/// What a command that only reads was given to read; `None` of a command that writes, or that asks for locks itself.
fn read_by(command: &Command, global: &GlobalArgs) -> Option<Vec<PathBuf>> {
    match command {
        Command::Consume(args) => Some(args.paths.clone()),
        Command::DumpSegment(args) => Some(args.all_paths().cloned().collect()),
        Command::VerifyIndex(args) => (!args.execute).then(|| args.paths.clone()),
        Command::Verify(args) => (!args.forecast).then(|| args.paths.clone()),
        Command::LogDirs(args) => Some(args.paths.clone()),
        Command::Offsets(args) => Some(args.paths.clone()),
        Command::Transactions(_) | Command::Mirror(_) => Some(Vec::new()),
        Command::Groups(args) => groups::only_reads(args).then(Vec::new),
        Command::Metadata(args) => Some(metadata::paths(args)),
        Command::Topics(args) => topics::only_reads(args).then(Vec::new),
        Command::Reassign(args) => reassign::only_reads(args, global).then(Vec::new),
        Command::SimulateFailover(args) => simulate_failover::read_by(args),
        Command::Produce(_)
        | Command::PartitionOf(_)
        | Command::Recover(_)
        | Command::Completions(_)
        | Command::Man(_) => None,
    }
}

/// Warns once of each log directory that a broker has open: what is read there is of this moment, and what it has not yet
/// written is missing.
///
/// Another `logdir` that appends is no reason to warn: readers and it are made for each other.
pub fn warn(command: &Command, global: &GlobalArgs, ui: &mut Ui) {
    let Some(paths) = read_by(command, global) else { return };
    // Whoever reads says what is wrong with the names.
    let named = if paths.is_empty() { global.log_dirs().unwrap_or_default() } else { paths };
    let mut dirs: Vec<PathBuf> = named.iter().filter_map(|path| log_dir_of(path)).collect();
    dirs.sort();
    dirs.dedup();
    for dir in dirs {
        let Ok(Some(holder)) = lock::holder(&dir) else { continue };
        if holder.pid.is_none() {
            continue;
        }
        let said = format!("is open in {holder}; what is said of it is of this moment, and may have changed since");
        ui.warning(Problem::new("in_use", said).path(&dir));
    }
}

/// The log directory that `path` is, or is in: a partition directory, or a file in one.
fn log_dir_of(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    path.ancestors().take(3).find(|dir| dir.join(lock::FILE_NAME).is_file()).map(Path::to_owned)
}
