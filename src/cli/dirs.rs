//! Which directories a command looks at, and which of them can be read.

use std::path::PathBuf;

use super::Outcome;
use super::args::GlobalArgs;
use super::consume::storage_problem;
use super::ui::{Problem, Ui};
use crate::storage::cluster_metadata::{self, ClusterMetadata};
use crate::storage::log_dir::LogDir;

/// The log directories of the options, unless paths are named; refuses both at once.
pub fn of_options(paths: &[PathBuf], global: &GlobalArgs) -> anyhow::Result<Vec<PathBuf>> {
    if paths.is_empty() {
        return global.log_dirs();
    }
    if !global.dir.is_empty() || global.properties.is_some() {
        return Err(Problem::usage("a PATH and -d or -F both say what to read").hint("leave one of them out").into());
    }
    Ok(Vec::new())
}

/// The same of a command that takes a broker's settings from -F, for what PATHs name too.
pub fn beside_settings(paths: &[PathBuf], global: &GlobalArgs) -> anyhow::Result<Vec<PathBuf>> {
    if paths.is_empty() {
        return global.log_dirs();
    }
    if !global.dir.is_empty() {
        return Err(Problem::usage("a PATH and -d both say what to read").hint("leave one of them out").into());
    }
    Ok(Vec::new())
}

/// Log directories, opened.
pub struct Opened {
    /// Those that can be read.
    pub dirs: Vec<LogDir>,
    /// What the others, of which was told, make of the run.
    pub outcome: Outcome,
}

/// Opens log directories one by one: what cannot be read is told, and the rest is looked at.
pub fn open(paths: &[PathBuf], ui: &mut Ui) -> Opened {
    let mut opened = Opened { dirs: Vec::with_capacity(paths.len()), outcome: Outcome::Done };
    for path in paths {
        match LogDir::open(path) {
            Ok(dir) => opened.dirs.push(dir),
            Err(error) => opened.outcome |= show_all([storage_problem(&error)], ui),
        }
    }
    opened
}

/// The metadata log that is believed of those in `log_dirs`; what is wrong with them is told.
pub fn believed_metadata(log_dirs: &[LogDir], ui: &mut Ui) -> (Option<ClusterMetadata>, Outcome) {
    let choice = cluster_metadata::choose(log_dirs.iter().map(LogDir::dir));
    let mut outcome = Outcome::Done;
    for problem in choice.problems {
        let text = format!("the metadata log: {}", problem.reason.message);
        let (code, ends) = match problem.is_unreadable {
            true => ("malformed", Outcome::Failed),
            false => ("notice", Outcome::Findings),
        };
        ui.warning(Problem::new(code, text).path(problem.reason.path));
        outcome |= ends;
    }
    (choice.believed, outcome)
}

/// Shows what could not be used, and says how the run ends for it.
pub fn show_all(problems: impl IntoIterator<Item = Problem>, ui: &mut Ui) -> Outcome {
    let mut outcome = Outcome::Done;
    for problem in problems {
        outcome |= problem.ends_with();
        ui.error(problem);
    }
    outcome
}
