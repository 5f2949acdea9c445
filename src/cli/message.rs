//! What an engine has to say while it works, before it is known how it is shown.

use std::path::Path;

use super::Outcome;
use super::consume::storage_problem;
use super::ui::{Problem, Ui};
use crate::batch::{BatchError, CompressionError, PayloadError};
use crate::storage::remarks::{LogDamage, Remarks};
use crate::types::{Offset, Position};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Data is damaged or cannot be had.
    Error,
    /// Something was got around.
    Warning,
}

/// An error or warning about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How bad it is.
    pub severity: Severity,
    /// What, where and what next.
    pub problem: Problem,
}

impl Message {
    /// Something is damaged; `code` is one of [`super::ui::CODES`].
    pub fn error(code: &'static str, text: impl Into<String>) -> Message {
        Message { severity: Severity::Error, problem: Problem::new(code, text) }
    }

    /// Something was got around.
    pub fn warning(code: &'static str, text: impl Into<String>) -> Message {
        Message { severity: Severity::Warning, problem: Problem::new(code, text) }
    }

    /// About this file or directory.
    pub fn of(mut self, path: &Path) -> Message {
        self.problem = self.problem.path(path);
        self
    }

    /// About these bytes of this file.
    pub fn at(mut self, path: &Path, position: Position, base_offset: Option<Offset>) -> Message {
        self.problem = self.problem.path(path).position(position.get());
        if let Some(offset) = base_offset {
            self.problem = self.problem.base_offset(offset.get());
        }
        self
    }

    /// What to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Message {
        self.problem = self.problem.hint(hint);
        self
    }

    /// Puts it on stderr.
    pub fn show(self, ui: &mut Ui) {
        match self.severity {
            Severity::Error => ui.error(self.problem),
            Severity::Warning => ui.warning(self.problem),
        }
    }
}

/// Shows what an answer has to be seen beside, and says how a run ends for it: damage with 1, what cannot be read with 3.
pub fn show_remarks(remarks: Remarks, ui: &mut Ui) -> Outcome {
    let mut outcome = Outcome::Done;
    for notice in remarks.notices {
        ui.warning(Problem::new("notice", notice.message).path(notice.path));
    }
    for damage in remarks.damages.places() {
        outcome |= Outcome::Findings;
        ui.error(damage_problem(damage));
    }
    if remarks.damages.more() > 0 {
        ui.error(Problem::new("error", format!("{} more places of damage", remarks.damages.more())));
    }
    for error in remarks.failures {
        let problem = storage_problem(&error);
        outcome |= problem.ends_with();
        ui.error(problem);
    }
    outcome
}

/// A place in a log that was passed over.
fn damage_problem(damage: &LogDamage) -> Problem {
    let LogDamage { log, position, reason, next } = damage;
    let next = match next {
        Some(next) => format!("read on at offset {next}"),
        None => "nothing behind it is readable".to_owned(),
    };
    let dir = log.parent().unwrap_or(log).display();
    Problem::new(payload_code(reason), format!("batch at position {position}: {reason}; {next}"))
        .path(log)
        .position(position.get())
        .hint(format!("what was passed over is not in the answer; see all with: logdir verify {dir}"))
}

/// The stable word for why bytes are no batch.
pub const fn batch_code(error: &BatchError) -> &'static str {
    match error {
        BatchError::Truncated { .. } => "truncated",
        BatchError::LengthTooSmall { .. } => "bad_length",
        BatchError::TooLarge { .. } => "too_large",
        BatchError::UnknownMagic(_) => "unknown_magic",
        BatchError::UnknownCodec(_) => "unknown_codec",
        BatchError::MessageField { .. } => "bad_message",
        BatchError::CrcMismatch { .. } => "crc_mismatch",
    }
}

/// The stable word for why records cannot be read.
pub const fn payload_code(error: &PayloadError) -> &'static str {
    match error {
        PayloadError::Header(error) => batch_code(error),
        PayloadError::Compression(CompressionError::OverCap { .. }) => "too_large",
        PayloadError::Compression(_) => "bad_compression",
        PayloadError::Record(_) => "bad_record",
        _ => "bad_message",
    }
}
