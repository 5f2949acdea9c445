//! What a command came to, and the exit code that says so.

/// How a command ended, from best to worst: of several, the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Outcome {
    /// Done, or the answer is yes. A reader of stdout that went away counts as done.
    #[default]
    Done,
    /// It ran and the answer is no: damage met, mismatch, nothing found that had to be there.
    Findings,
    /// Refused to write; nothing changed.
    Refused,
    /// Could not do it: unreadable, not a file of the kind claimed, I/O error.
    Failed,
    /// The command line asks for something that cannot be.
    Usage,
    /// Interrupted by a signal.
    Interrupted,
}

impl Outcome {
    /// All of them with their meaning, for the man pages.
    pub const ALL: [(Outcome, &'static str); 6] = [
        (Outcome::Done, "Done; a check found nothing wrong; the reader of stdout went away."),
        (Outcome::Findings, "It ran and the answer is no: damage was met (a torn last batch is the end, not damage)."),
        (Outcome::Usage, "Usage: an unknown option, a bad value, options that contradict each other."),
        (Outcome::Failed, "Could not do it: a file is missing, unreadable or not of the kind claimed; I/O error."),
        (Outcome::Refused, "Refused to write; nothing changed."),
        (Outcome::Interrupted, "Interrupted."),
    ];

    /// The process's exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::Findings => 1,
            Outcome::Usage => 2,
            Outcome::Failed => 3,
            Outcome::Refused => 4,
            Outcome::Interrupted => 130,
        }
    }

    /// The worse of both.
    #[must_use]
    pub fn and(self, other: Outcome) -> Outcome {
        self.max(other)
    }
}

impl std::ops::BitOrAssign for Outcome {
    fn bitor_assign(&mut self, other: Outcome) {
        *self = self.and(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_counts() {
        use Outcome::*;
        for (outcomes, code) in [
            (&[][..], 0),
            (&[Done, Findings, Done], 1),
            (&[Findings, Failed, Findings], 3),
            (&[Refused, Findings], 4),
            (&[Failed, Interrupted], 130),
        ] {
            let mut worst = Done;
            outcomes.iter().for_each(|outcome| worst |= *outcome);
            assert_eq!(worst.exit_code(), code, "{outcomes:?}");
        }
    }
}
