//! What the verbs that write share: which groups may be changed, and the log they are written to.

use super::books::Books;
use crate::cli::Outcome;
use crate::cli::args::now_ms;
use crate::cli::consume::select::storage_problem;
use crate::cli::session::{session_problem, tell};
use crate::cli::ui::{Problem, Ui};
use crate::schema::coordinator::group::ModernKind;
use crate::storage::coordinator::group_log::{Change, GroupLog, GroupLogError};
use crate::storage::coordinator::groups::{Group, Protocol};
use crate::storage::writer::{Durability, LogConfig, SessionOptions};

/// Whether a group may be changed from outside: `None`, or why not.
pub fn why_not(id: &str, group: &Group, force: bool) -> Option<Problem> {
    if let Protocol::Modern(modern) = &group.protocol
        && modern.kind != ModernKind::Consumer
    {
        let text = format!("'{id}' is a {} group; only those of consumers are changed here", group.protocol_type());
        return Some(Problem::new("refused", text).outcome(Outcome::Refused));
    }
    if group.members() == 0 || force {
        return None;
    }
    // As the coordinator refuses it (`NonEmptyGroupException`).
    let text = format!("group '{id}' is not empty: it is {} and has {} members", group.state_name(), group.members());
    let hint = "members that did not leave before their broker stopped stand there still; go past it with --force if they are gone";
    Some(Problem::new("refused", text).outcome(Outcome::Refused).hint(hint))
}

/// Why nothing can be written of a group, as a person is told of it.
pub fn log_problem(error: &GroupLogError) -> Problem {
    match error {
        GroupLogError::Session(error) => session_problem(error),
        GroupLogError::NoTopic => Problem::new("not_found", error.to_string()).hint(
            "in a cluster's directory, start its broker once and let a consumer commit; else make it with: logdir topics create __consumer_offsets --partitions 50",
        ),
        GroupLogError::Incomplete { .. } | GroupLogError::Elsewhere { .. } => {
            Problem::new("not_found", error.to_string()).hint("name all log directories of the cluster with -d")
        }
        GroupLogError::Record { .. } | GroupLogError::Build(_) => Problem::new("refused", error.to_string()),
    }
}

/// Writes what changes of each group, all of it on disk when this returns.
pub fn write(books: &Books, changes: &[(&str, Vec<Change>)], ui: &mut Ui) -> anyhow::Result<()> {
    let options =
        SessionOptions { config: LogConfig::default(), durability: Durability::Synced, allow_truncate: false };
    let problem = |error: GroupLogError| log_problem(&error);
    let mut log = GroupLog::find(&books.log_dirs, books.partition_count(), options).map_err(problem)?;
    let written = changes.iter().filter(|(_, changes)| !changes.is_empty());
    // All locks first: nothing is written where something could not be.
    log.lock(written.clone().map(|(group, _)| *group)).map_err(problem)?;
    for (group, changes) in written {
        log.append(group, changes, now_ms()).map_err(problem)?;
    }
    let mut events = log.take_events();
    events.extend(log.close(now_ms()).map_err(problem)?);
    events.iter().for_each(|event| tell(event, ui));
    Ok(())
}

/// Refuses what was read in part: what stands in the rest may be newer.
pub fn check_whole(books: &Books, ids: &[&str]) -> anyhow::Result<()> {
    for id in ids {
        let Some(group) = books.coordinator.group(id) else { continue };
        if books.coordinator.damaged().contains(&group.coordinator_partition) {
            let text = format!(
                "__consumer_offsets-{} is damaged: what is known of group '{id}' may be old",
                group.coordinator_partition
            );
            let hint = "see where with: logdir verify; mend it with: logdir recover --mode salvage";
            return Err(Problem::new("refused", text).outcome(Outcome::Refused).hint(hint).into());
        }
    }
    Ok(())
}

/// An error of a file that the user named.
pub fn file_problem(path: &std::path::Path, error: std::io::Error) -> Problem {
    storage_problem(&crate::storage::fs::StorageError::new(path, error))
}
