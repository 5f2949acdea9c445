//! Which metadata log is meant, and which moment of it.

use std::path::{Path, PathBuf};

use super::{MomentArgs, SourceArgs};
use crate::cli::Outcome;
use crate::cli::args::{GlobalArgs, now_ms};
use crate::cli::consume::select::storage_problem;
use crate::cli::message::batch_code;
use crate::cli::range::{Bound, Offsets, RangeError};
use crate::cli::ui::{Problem, Ui};
use crate::cli::{dirs, range, ui};
use crate::schema::image::MetadataImage;
use crate::storage::fs::StorageError;
use crate::storage::metadata_log::{DIR_NAME, LogProblem, MetadataLog, MetadataLogError, Moment, ProblemKind, Replay};
use crate::storage::partition::Notice;
use crate::types::Offset;

/// A moment as given: one bound of the grammar of `-o`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MomentArg {
    bound: Bound,
    text: String,
}

impl MomentArg {
    /// Reads `N`, `-N`, `+N`, `@T`, `start` or `end`.
    pub fn parse(text: &str) -> Result<MomentArg, String> {
        let moment = |error: RangeError| error.to_string();
        let offsets = Offsets::new(&[range::parse(text, now_ms()).map_err(moment)?]).map_err(moment)?;
        let range = offsets.for_partition(0);
        if range.start == Bound::Stored || range.end != Bound::LogEnd || text.contains('=') {
            return Err("expected one moment: N, -N, +N, @TIME, start or end".to_owned());
        }
        Ok(MomentArg { bound: range.start, text: text.to_owned() })
    }

    /// The moment in `log`.
    pub fn of(&self, log: &MetadataLog) -> anyhow::Result<Moment> {
        if log.is_snapshot() && self.bound != Bound::LogEnd {
            let text = format!("a snapshot is one moment: '{}' is none in it", self.text);
            return Err(Problem::usage(text).path(log.path()).hint("name the directory it is in").into());
        }
        moment(self.bound, log)
    }

    /// As given.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The moment of one end of a range.
pub fn moment(bound: Bound, log: &MetadataLog) -> anyhow::Result<Moment> {
    let plus = |offset: Offset, count: u64| {
        let sum = i64::try_from(count).ok().and_then(|count| offset.get().checked_add(count));
        sum.map_or(Offset::MAX, Offset::new)
    };
    Ok(match bound {
        Bound::LogStart | Bound::Stored => Moment::At(log.log_start()),
        Bound::LogEnd => Moment::End,
        Bound::At(offset) => Moment::At(offset),
        Bound::FromStart(count) => Moment::At(plus(log.log_start(), count)),
        Bound::FromEnd(count) => {
            let end = log.log_end().map_err(|error| storage_problem(&error))?.get();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            Moment::At(Offset::new(end.saturating_sub(count).max(log.log_start().get())))
        }
        Bound::Timestamp(time_ms) => Moment::Time(time_ms),
    })
}

/// Opens what `path` names, or the metadata log in the log directories of the options.
pub fn open(path: Option<&Path>, global: &GlobalArgs) -> anyhow::Result<MetadataLog> {
    if let Some(path) = path {
        dirs::of_options(&[path.to_owned()], global)?;
        return MetadataLog::open(path).map_err(|error| problem(&error).into());
    }
    let mut dirs = global.log_dirs()?;
    if global.properties.is_some() && global.dir.is_empty() {
        // `metadata.log.dir`, else the first of log.dirs.
        match global.broker_settings()?.get("metadata.log.dir") {
            Some(dir) => dirs = vec![PathBuf::from(dir)],
            None => dirs.truncate(1),
        }
    }
    let found: Vec<&PathBuf> = dirs.iter().filter(|dir| dir.join(DIR_NAME).is_dir()).collect();
    match found.as_slice() {
        [dir] => MetadataLog::open(dir).map_err(|error| problem(&error).into()),
        [] => {
            for dir in &dirs {
                std::fs::metadata(dir).map_err(|error| storage_problem(&StorageError::new(dir, error)))?;
            }
            let names = joined(dirs.iter());
            Err(Problem::new("not_found", format!("no {DIR_NAME} in {names}"))
                .hint("a broker has it in metadata.log.dir, by default the first of log.dirs; a snapshot can be named as PATH")
                .into())
        }
        [dir, ..] => Err(Problem::usage(format!("several metadata logs: in {}", joined(found.iter().copied())))
            .hint(format!("name one: {}", dir.display()))
            .into()),
    }
}

fn joined<'a>(dirs: impl Iterator<Item = &'a PathBuf>) -> String {
    dirs.map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Why a metadata log could not be opened or asked.
pub fn problem(error: &MetadataLogError) -> Problem {
    match error {
        MetadataLogError::Storage(error) => storage_problem(error),
        MetadataLogError::NotOne { path } => {
            Problem::new("wrong_kind", "neither a metadata log nor a snapshot of one").path(path).hint(format!(
                "name a log directory with {DIR_NAME} in it, that directory, or one of its .checkpoint and .log files"
            ))
        }
        MetadataLogError::HistoryGone { path, log_start, wanted, first } => {
            let text = format!("the log begins at offset {log_start}, and no snapshot holds what was before {wanted}");
            let hint = match first {
                Some(first) => format!(
                    "what was before offset {first} is gone; that moment is: logdir metadata tree {} -o {first}",
                    path.display()
                ),
                None => format!("the records that are left: logdir metadata log {}", path.display()),
            };
            Problem::new("out_of_range", text).path(path).hint(hint)
        }
    }
}

/// The image of what the options name, with all that has to be said about it.
pub fn open_image(
    source: &SourceArgs,
    moment: &MomentArgs,
    global: &GlobalArgs,
    ui: &mut Ui,
) -> anyhow::Result<(MetadataImage, Outcome)> {
    image(&open(source.path.as_deref(), global)?, &moment.offset, ui)
}

/// The image of `log` at `moment`, with all that has to be said about it.
pub fn image(log: &MetadataLog, arg: &MomentArg, ui: &mut Ui) -> anyhow::Result<(MetadataImage, Outcome)> {
    let moment = arg.of(log)?;
    let mut replay = log.replay(moment).map_err(|error| problem(&error))?;
    replay.advance(moment, &mut |_, _| {}).map_err(|error| storage_problem(&error))?;
    let outcome = report(log, &replay, moment, ui);
    Ok((replay.into_image(), outcome))
}

/// Says what was passed over, what is wrong and what is not known.
pub fn report(log: &MetadataLog, replay: &Replay<'_>, moment: Moment, ui: &mut Ui) -> Outcome {
    for notice in log.notices().iter().chain(replay.notices()) {
        ui.warning(notice_problem(notice));
    }
    let (problems, count) = replay.problems();
    let outcome = show_problems(problems, count, ui);
    let image = replay.image();
    if image.is_incomplete() {
        let kinds: Vec<String> = image.unknown_records().map(unknown_text).collect();
        let text = format!("the image may be incomplete: records that Kafka 4.3 does not know: {}", kinds.join(", "));
        ui.warning(Problem::new("notice", text).path(log.path()));
    }
    if replay.in_transaction() {
        let text = "the records end inside a transaction; nothing in it counts";
        ui.warning(Problem::new("notice", text).path(log.path()));
    }
    if let Moment::At(offset) = moment
        && replay.is_at_end()
        && replay.next_offset() < offset
    {
        let text = format!("offset {offset} is behind the last record; shown is the end, {}", replay.next_offset());
        ui.warning(Problem::new("out_of_range", text).path(log.path()));
    }
    if replay.is_at_end() && !log.is_snapshot() {
        say_committed(image.quorum().voter_count().or_else(|| log.static_voters()), log.path(), ui);
    }
    if let Some(base) = replay.base() {
        let text = format!("from {} to offset {}", base.path.display(), replay.next_offset());
        ui.detail(&text);
    }
    outcome
}

/// Of several voters the last records may not be committed, which no file says.
pub fn say_committed(voters: Option<usize>, path: &Path, ui: &mut Ui) {
    let text = match voters {
        Some(1) => return,
        Some(voters) => format!("the quorum has {voters} voters: the last records may not be committed"),
        None => "how many voters the quorum has is not said: the last records may not be committed".to_owned(),
    };
    ui.warning(Problem::new("notice", text).path(path));
}

fn unknown_text(kind: (u32, u32, &crate::schema::image::UnknownRecords)) -> String {
    let (api_key, version, records) = kind;
    let name = records.name.map(|name| format!(" ({name})")).unwrap_or_default();
    format!("{} of type {api_key}{name}, version {version}", records.records)
}

/// A file that was passed over.
pub fn notice_problem(notice: &Notice) -> Problem {
    Problem::new("notice", notice.message.clone()).path(&notice.path)
}

/// Shows problems of a log; `count` may be more than the list holds.
pub fn show_problems(problems: &[LogProblem], count: u64, ui: &mut Ui) -> Outcome {
    for problem in problems {
        let code = match &problem.kind {
            ProblemKind::Batch(reason) => batch_code(reason),
            ProblemKind::Cut => "truncated",
            ProblemKind::Record => "bad_record",
            ProblemKind::Misfit => "malformed",
            ProblemKind::Gap => "offset_order",
        };
        debug_assert!(ui::CODES.iter().any(|(known, _)| *known == code), "{code}");
        let offset = problem.offset.map(|offset| format!(", offset {offset}")).unwrap_or_default();
        let text = format!("position {}{offset}: {}", problem.position, problem.message);
        ui.error(Problem::new(code, text).path(&problem.path).position(problem.position));
    }
    let more = count.saturating_sub(problems.len() as u64);
    if more > 0 {
        ui.error(Problem::new("malformed", format!("{more} more problems in the metadata log")));
    }
    if count > 0 { Outcome::Findings } else { Outcome::Done }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_one_bound() {
        for (text, expected) in [
            ("12", Some(Bound::At(Offset::new(12)))),
            ("end", Some(Bound::LogEnd)),
            ("start", Some(Bound::LogStart)),
            ("-5", Some(Bound::FromEnd(5))),
            ("@1760000000000", Some(Bound::Timestamp(1_760_000_000_000))),
            ("1:2", None),
            ("stored", None),
            ("0=5", None),
            ("x", None),
        ] {
            assert_eq!(MomentArg::parse(text).ok().map(|moment| moment.bound), expected, "{text}");
        }
    }
}
