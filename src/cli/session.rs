//! What a person is told of sessions that append: why one cannot be opened, and what it did on the way.

use super::Outcome;
use super::consume::select::storage_problem;
use super::ui::{Problem, Ui};
use crate::storage::lock::LockError;
use crate::storage::recovery::Loss;
use crate::storage::writer::SessionError;
use crate::storage::writer::session::Event;

/// Tells what a session did that its user should know.
pub fn tell(event: &Event, ui: &mut Ui) {
    match event {
        Event::Recovered { dir, segments, changes, is_shared } => {
            let plural = if *segments == 1 { "segment" } else { "segments" };
            if *is_shared {
                ui.detail(&format!("{}: recovered {segments} {plural} that others write to", dir.display()));
            } else {
                ui.note(&format!("{}: recovered {segments} {plural} after an unclean shutdown", dir.display()));
            }
            for change in changes {
                ui.detail(&format!("{}: {change}", dir.display()));
            }
        }
        Event::Lost { losses, .. } => {
            for loss in losses {
                let text = loss.to_string().replace("would go", "are gone");
                ui.warning(Problem::new("lost", text));
            }
        }
        Event::MarkedCleanButIsNot { dir } => ui.warning(
            Problem::new("notice", "the log directory says that it was shut down cleanly, this log was not").path(dir),
        ),
    }
}

/// Why a session or a partition cannot be opened, as a person is told of it.
pub fn session_problem(error: &SessionError) -> Problem {
    match error {
        SessionError::Lock(LockError::Held { .. }) => Problem::new("locked", error.to_string())
            .outcome(Outcome::Refused)
            .hint("stop it first; reading commands work meanwhile"),
        SessionError::Lock(LockError::Storage(error)) | SessionError::Storage(error) => storage_problem(error),
        SessionError::Load(_) => Problem::new("malformed", error.to_string())
            .outcome(Outcome::Failed)
            .hint("look at it with: logdir dump-segment FILE"),
        SessionError::WouldLose { losses, .. } => {
            let at = losses.iter().find_map(|loss| match loss {
                Loss::Cut { log, next_offset, .. } => Some((log, next_offset)),
                Loss::Segment { .. } | Loss::NotAFile { .. } => None,
            });
            let problem = Problem::new("would_lose", error.to_string()).outcome(Outcome::Refused);
            problem.hint(match at {
                Some((log, next)) => format!(
                    "everything below offset {next} is sound; save what follows with: logdir consume {} -o {next}: --on-corrupt skip --json, then cut with --allow-truncate",
                    log.parent().unwrap_or(log).display()
                ),
                None => "cut it with --allow-truncate".to_owned(),
            })
        }
        SessionError::NoPartition { .. } => Problem::new("not_found", error.to_string()).outcome(Outcome::Failed),
    }
}
