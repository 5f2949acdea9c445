//! A replica's log as the protocol sees it: which record lies at which offset, and in which leader epoch it was written.

use smallvec::SmallVec;

/// Number of a record: records are m0, m1, ... in the order in which the client first sends them.
pub type Record = u32;

/// Consecutive records of one leader epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// Leader epoch they were appended in.
    pub epoch: u32,
    /// The first of them; those that follow are numbered on from it.
    pub record: Record,
    /// How many.
    pub len: u32,
}

/// One stored record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stored {
    /// Which record.
    pub record: Record,
    /// Leader epoch it was appended in.
    pub epoch: u32,
}

/// A log: runs of records from its start offset to its end, each as long as it can be, so that equal logs are equal values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Log {
    start: u64,
    end: u64,
    runs: SmallVec<[Run; 4]>,
}

impl Log {
    /// An empty log that begins at `start`.
    pub fn starting_at(start: u64) -> Log {
        Log { start, end: start, runs: SmallVec::new() }
    }

    /// First offset it holds.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Log end offset (LEO): that of the next record.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Runs in the order of their offsets.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// What is stored, from the first offset on.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = Stored> + '_ {
        self.runs.iter().flat_map(|run| (0..run.len).map(|at| Stored { record: run.record + at, epoch: run.epoch }))
    }

    /// The record at `offset`.
    pub fn get(&self, offset: u64) -> Option<Stored> {
        let mut rest = offset.checked_sub(self.start)?;
        for run in &self.runs {
            if rest < u64::from(run.len) {
                let at = u32::try_from(rest).ok()?;
                return Some(Stored { record: run.record + at, epoch: run.epoch });
            }
            rest -= u64::from(run.len);
        }
        None
    }

    /// Leader epoch of the last record.
    pub fn last_epoch(&self) -> Option<u32> {
        self.runs.last().map(|run| run.epoch)
    }

    /// Offset of the first copy of `record`.
    pub fn find(&self, record: Record) -> Option<u64> {
        let mut at = self.start;
        for run in &self.runs {
            if (run.record..run.record + run.len).contains(&record) {
                return Some(at + u64::from(record - run.record));
            }
            at += u64::from(run.len);
        }
        None
    }

    /// Appends one record.
    pub fn push(&mut self, stored: Stored) {
        match self.runs.last_mut() {
            Some(run) if run.epoch == stored.epoch && run.record + run.len == stored.record => run.len += 1,
            _ => self.runs.push(Run { epoch: stored.epoch, record: stored.record, len: 1 }),
        }
        self.end += 1;
    }

    /// Removes everything from `end` on; nothing when the log is shorter.
    pub fn cut(&mut self, end: u64) {
        let mut over = self.end.saturating_sub(end.max(self.start));
        self.end -= over;
        while let Some(run) = self.runs.last_mut() {
            let len = u64::from(run.len);
            if over < len {
                run.len -= u32::try_from(over).unwrap_or(0);
                return;
            }
            over -= len;
            self.runs.pop();
        }
    }

    /// The first offset below `below` at which the two logs do not hold the same record of the same epoch. Only offsets that
    /// both can hold are compared: those from the higher of the two starts on.
    pub fn first_difference(&self, other: &Log, below: u64) -> Option<u64> {
        let (mut at, mut mine, mut theirs) = (self.start.max(other.start), Cursor::new(self), Cursor::new(other));
        mine.seek(at);
        theirs.seek(at);
        while at < below {
            let (Some((a, a_left)), Some((b, b_left))) = (mine.here(), theirs.here()) else { return Some(at) };
            if a != b {
                return Some(at);
            }
            // Within both runs the records count up together.
            let step = a_left.min(b_left);
            at += u64::from(step);
            mine.advance(step);
            theirs.advance(step);
        }
        None
    }
}

/// A place in a log.
struct Cursor<'a> {
    runs: &'a [Run],
    start: u64,
    /// Records of the first of `runs` that are passed.
    passed: u32,
}

impl<'a> Cursor<'a> {
    fn new(log: &'a Log) -> Cursor<'a> {
        Cursor { runs: &log.runs, start: log.start, passed: 0 }
    }

    fn seek(&mut self, offset: u64) {
        let mut over = offset.saturating_sub(self.start);
        while let Some(run) = self.runs.first() {
            if over < u64::from(run.len) {
                self.passed = u32::try_from(over).unwrap_or(0);
                return;
            }
            over -= u64::from(run.len);
            self.runs = &self.runs[1..];
        }
    }

    fn here(&self) -> Option<(Stored, u32)> {
        let run = self.runs.first()?;
        Some((Stored { record: run.record + self.passed, epoch: run.epoch }, run.len - self.passed))
    }

    fn advance(&mut self, by: u32) {
        self.passed += by;
        if self.runs.first().is_some_and(|run| self.passed == run.len) {
            self.runs = &self.runs[1..];
            self.passed = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(entries: &[(u32, u32)]) -> Log {
        let mut log = Log::default();
        entries.iter().for_each(|&(record, epoch)| log.push(Stored { record, epoch }));
        log
    }

    #[test]
    fn runs_are_as_long_as_they_can_be() {
        let mut one = log(&[(0, 0), (1, 0), (2, 1), (3, 1)]);
        assert_eq!(one.runs().len(), 2);
        assert_eq!(one.get(2), Some(Stored { record: 2, epoch: 1 }));
        assert_eq!(one.get(4), None);
        one.cut(2);
        one.push(Stored { record: 2, epoch: 0 });
        assert_eq!(one, log(&[(0, 0), (1, 0), (2, 0)]));
        one.cut(7);
        assert_eq!(one.end(), 3);
        one.cut(0);
        assert_eq!(one, Log::default());
    }

    #[test]
    fn the_first_difference_is_that_of_an_offset_by_offset_comparison() {
        let entries = [(0, 0), (1, 0), (2, 1), (3, 1), (2, 2), (7, 2), (8, 2), (3, 3)];
        let mut logs = vec![Log::default()];
        for skip in 0..entries.len() {
            for take in 1..=entries.len() - skip {
                logs.push(log(&entries[skip..skip + take]));
                logs.push(log(&entries[..take]));
            }
        }
        for (a, b) in logs.iter().flat_map(|a| logs.iter().map(move |b| (a, b))) {
            for below in 0..10 {
                let naive = (0..below).find(|&at| a.get(at).is_none() || a.get(at) != b.get(at));
                assert_eq!(a.first_difference(b, below), naive, "{a:?} {b:?} below {below}");
            }
        }
    }
}
