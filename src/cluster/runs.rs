//! Which offsets of a source became which offsets of a target, as runs of consecutive ones.
//!
//! Records of one partition arrive in the order in which they were sent, so what was sent and what has arrived are two lists
//! of runs of the same length in records, laid side by side by [`pair`].

/// Consecutive offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first.
    pub start: i64,
    /// How many.
    pub count: u64,
}

impl Run {
    /// One above the last.
    pub const fn end(&self) -> i64 {
        self.start.saturating_add_unsigned(self.count)
    }
}

/// Adds an offset above those that are there.
#[inline]
pub fn push(runs: &mut Vec<Run>, offset: i64) {
    match runs.last_mut() {
        Some(last) if last.end() == offset => last.count += 1,
        _ => runs.push(Run { start: offset, count: 1 }),
    }
}

/// How many offsets there are.
pub fn total(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.count).sum()
}

/// The offset of the record with this number, from 0.
pub fn nth(runs: &[Run], mut number: u64) -> Option<i64> {
    for run in runs {
        if number < run.count {
            return Some(run.start.saturating_add_unsigned(number));
        }
        number -= run.count;
    }
    None
}

/// Consecutive offsets of a source that are consecutive in the target too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// The first, in the source.
    pub source: i64,
    /// The first, in the target.
    pub target: i64,
    /// How many.
    pub count: u64,
}

impl Mapped {
    /// One above the last, in the source.
    pub const fn source_end(&self) -> i64 {
        self.source.saturating_add_unsigned(self.count)
    }

    /// One above the last, in the target.
    pub const fn target_end(&self) -> i64 {
        self.target.saturating_add_unsigned(self.count)
    }
}

/// What was sent beside where it arrived; what only one of them has is left out.
pub fn pair(sent: &[Run], arrived: &[Run]) -> Vec<Mapped> {
    let mut mapped = Vec::new();
    let (mut sent, mut arrived) = (sent.iter().copied(), arrived.iter().copied());
    let (mut source, mut target) = (sent.next(), arrived.next());
    while let (Some(from), Some(to)) = (source, target) {
        let count = from.count.min(to.count);
        mapped.push(Mapped { source: from.start, target: to.start, count });
        let rest = |run: Run| Run { start: run.start.saturating_add_unsigned(count), count: run.count - count };
        source = if from.count > count { Some(rest(from)) } else { sent.next() };
        target = if to.count > count { Some(rest(to)) } else { arrived.next() };
    }
    mapped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(offsets: &[i64]) -> Vec<Run> {
        let mut runs = Vec::new();
        offsets.iter().for_each(|offset| push(&mut runs, *offset));
        runs
    }

    #[test]
    fn offsets_are_kept_as_runs() {
        let made = runs(&[5, 6, 7, 9, 20, 21]);
        let run = |start, count| Run { start, count };
        assert_eq!(made, [run(5, 3), run(9, 1), run(20, 2)]);
        assert_eq!(total(&made), 6);
        for (number, expected) in [(0, Some(5)), (2, Some(7)), (3, Some(9)), (5, Some(21)), (6, None)] {
            assert_eq!(nth(&made, number), expected, "record {number}");
        }
    }

    #[test]
    fn what_was_sent_meets_where_it_arrived() {
        let mapped = |source, target, count| Mapped { source, target, count };
        let cases: &[(&[i64], &[i64], &[Mapped])] = &[
            (&[], &[], &[]),
            (&[3, 4, 5], &[0, 1, 2], &[mapped(3, 0, 3)]),
            // A hole in the source, a marker in the target.
            (&[3, 4, 8, 9, 10], &[0, 1, 2, 4, 5], &[mapped(3, 0, 2), mapped(8, 2, 1), mapped(9, 4, 2)]),
            (&[1, 3, 5], &[7, 8, 9], &[mapped(1, 7, 1), mapped(3, 8, 1), mapped(5, 9, 1)]),
        ];
        for (sent, arrived, expected) in cases {
            assert_eq!(pair(&runs(sent), &runs(arrived)), *expected, "{sent:?} {arrived:?}");
        }
    }
}
