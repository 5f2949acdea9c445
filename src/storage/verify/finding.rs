//! What a check found: which fault, how bad, where, and what to do about it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::types::{Offset, Position};

/// How bad a finding is, from least to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Nothing to fear: left-overs, what a broker tidies up by itself.
    Cosmetic,
    /// Costs time or memory, or makes a broker do work again; no record is in danger.
    Slows,
    /// Records are gone, hidden or shown where they should not be, or a broker would make it so.
    LosesData,
    /// A broker does not start with it, or takes the log directory offline.
    StopsBroker,
}

impl Grade {
    /// All of them, from least to worst.
    pub const ALL: [Grade; 4] = [Grade::Cosmetic, Grade::Slows, Grade::LosesData, Grade::StopsBroker];

    /// The stable word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Grade::Cosmetic => "cosmetic",
            Grade::Slows => "slows",
            Grade::LosesData => "loses_data",
            Grade::StopsBroker => "stops_broker",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Grade::Cosmetic => "cosmetic",
            Grade::Slows => "slows",
            Grade::LosesData => "loses data",
            Grade::StopsBroker => "stops broker",
        })
    }
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident $code:literal,)*) => {
        /// What is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Fault] = &[$(Fault::$name,)*];

            /// The stable word for it.
            pub const fn code(self) -> &'static str {
                match self { $(Fault::$name => $code,)* }
            }
        }
    };
}

faults! {
    /// Bytes of a log that are no sound batch: checksum, length or magic.
    Damage "damage",
    /// A log ends inside a batch.
    TornTail "torn_tail",
    /// A log ends in zeros.
    ZeroTail "zero_tail",
    /// A sound batch whose offsets do not fit between its neighbours.
    OffsetOrder "offset_order",
    /// A batch whose leader epoch falls behind the one before, or is not that of `leader-epoch-checkpoint`.
    EpochOrder "leader_epoch",
    /// Offsets that no batch holds, in a log that shows no sign of compaction.
    Gap "gap",
    /// Offsets that two segments hold.
    Overlap "overlap",
    /// Records that cannot be read as their batch declares them.
    Records "bad_records",
    /// A batch that inflates beyond measure.
    Inflates "inflates",
    /// A control batch that is no marker, or a batch that its producer cannot have written.
    Producer "bad_producer",
    /// A file whose name does not say what it holds, or that a broker trips over.
    Name "bad_name",
    /// An offset index that leads look-ups astray.
    OffsetIndex "offset_index",
    /// A time index that leads look-ups astray.
    TimeIndex "time_index",
    /// A transaction index that does not list the aborted transactions of its segment.
    TxnIndex "txn_index",
    /// An index that is not there.
    IndexMissing "index_missing",
    /// An index with fewer entries than its segment asks for.
    IndexSparse "index_sparse",
    /// A time index without the entry that closing a segment adds.
    ClosingEntry "closing_entry",
    /// Zeros behind the entries of an index, as a broker that was killed leaves them.
    IndexPadding "index_padding",
    /// Bytes behind the last whole entry of an index.
    IndexBytes "index_bytes",
    /// An index entry that no broker writes, though look-ups work.
    IndexOdd "index_odd",
    /// A producer snapshot that cannot be read, or does not say what the log says.
    Snapshot "snapshot",
    /// A `leader-epoch-checkpoint` that is missing, cannot be read, or contradicts the log.
    EpochFile "epoch_file",
    /// A checkpoint file that cannot be read, or contradicts the log.
    Checkpoint "checkpoint",
    /// `meta.properties` is missing, cannot be read, or contradicts another log directory's.
    MetaProperties "meta_properties",
    /// `partition.metadata` is missing, cannot be read, or names another topic id.
    PartitionMetadata "partition_metadata",
    /// A partition that is in two log directories.
    Duplicate "duplicate",
    /// A replica that the cluster's metadata does not assign to this broker.
    Stray "stray",
    /// A replica that the cluster's metadata has in another log directory.
    Misplaced "misplaced",
    /// Files that wait for a broker to remove or to put them in place.
    LeftOver "left_over",
    /// An owner or mode that keeps a broker from a file.
    Access "access",
    /// A file that could not be read.
    Unreadable "unreadable",
}

/// What to do about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Advice {
    /// Nothing: a broker does it at its next start, or it does no harm.
    Nothing,
    /// See what can be kept, and from which replica the rest can come.
    Salvage,
    /// Fill the hole from another replica.
    Merge,
    /// Fill the hole with what waits to be removed.
    TakeDeleted,
    /// Cut the log as a broker would.
    Recover,
    /// Make the indexes again.
    RebuildIndexes,
    /// Remove the file.
    Remove,
    /// Move the directory or file out of the log directory.
    MoveAway,
    /// Take the file from another copy.
    Restore,
    /// Give the file to the user the broker runs as, readable and writable.
    Permit,
    /// Look at the batch.
    Inspect,
    /// See what a start would make of the log directory.
    Forecast,
}

/// One thing a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub fault: Fault,
    /// How bad it is here.
    pub grade: Grade,
    /// The file or directory.
    pub path: PathBuf,
    /// The byte in it, where there is one.
    pub position: Option<Position>,
    /// The offset it is about, where there is one.
    pub offset: Option<Offset>,
    /// What was expected and what was found.
    pub message: String,
    /// What to do about it.
    pub advice: Advice,
    /// Log directories of the broker it is about, where what to do concerns them all.
    pub log_dirs: Vec<PathBuf>,
}

impl Finding {
    /// A finding about a file as a whole.
    pub fn new(fault: Fault, grade: Grade, path: impl Into<PathBuf>, message: impl Into<String>) -> Finding {
        Finding {
            fault,
            grade,
            path: path.into(),
            position: None,
            offset: None,
            message: message.into(),
            advice: Advice::Nothing,
            log_dirs: Vec::new(),
        }
    }

    /// About a broker with these log directories.
    pub fn of_broker(mut self, log_dirs: &[PathBuf]) -> Finding {
        self.log_dirs = log_dirs.to_vec();
        self
    }

    /// At this byte.
    pub fn at(mut self, position: Position) -> Finding {
        self.position = Some(position);
        self
    }

    /// About this offset.
    pub fn offset(mut self, offset: Offset) -> Finding {
        self.offset = Some(offset);
        self
    }

    /// What to do about it.
    pub fn advice(mut self, advice: Advice) -> Finding {
        self.advice = advice;
        self
    }
}

/// So many findings of one fault in one file are told one by one; a file of nothing but faults does not fill the memory.
pub const TOLD_MAX: u64 = 100;

/// Findings as they come, the first [`TOLD_MAX`] of each fault in each file, the rest counted.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    told: Vec<Finding>,
    counts: BTreeMap<(PathBuf, Fault), u64>,
    by_grade: [u64; Grade::ALL.len()],
}

impl Findings {
    /// Takes one more.
    pub fn push(&mut self, finding: Finding) {
        self.by_grade[finding.grade as usize] += 1;
        let count = match self.counts.get_mut(&(finding.path.clone(), finding.fault)) {
            Some(count) => count,
            None => self.counts.entry((finding.path.clone(), finding.fault)).or_default(),
        };
        *count += 1;
        if *count <= TOLD_MAX {
            self.told.push(finding);
        }
    }

    /// Takes those of another check.
    pub fn append(&mut self, other: Findings) {
        for (count, more) in self.by_grade.iter_mut().zip(other.by_grade) {
            *count += more;
        }
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        self.told.extend(other.told);
    }

    /// Those told one by one.
    pub fn told(&self) -> &[Finding] {
        &self.told
    }

    /// Of which fault in which file more were found than are told, and how many more.
    pub fn untold(&self) -> impl Iterator<Item = (&Path, Fault, u64)> {
        let more = self.counts.iter().filter(|(_, count)| **count > TOLD_MAX);
        more.map(|((path, fault), count)| (path.as_path(), *fault, count - TOLD_MAX))
    }

    /// Number of each grade, from least to worst, told or not.
    pub const fn by_grade(&self) -> [u64; Grade::ALL.len()] {
        self.by_grade
    }

    /// The worst grade of all.
    pub fn worst(&self) -> Option<Grade> {
        Grade::ALL.into_iter().rev().find(|grade| self.by_grade[*grade as usize] > 0)
    }

    /// Number of all, told or not.
    pub fn len(&self) -> u64 {
        self.by_grade.iter().sum()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of those that are more than cosmetic.
    pub fn problems(&self) -> u64 {
        self.by_grade.iter().skip(1).sum()
    }

    /// Puts them in the order of files and bytes.
    pub fn sort(&mut self) {
        self.told.sort_by(|a, b| {
            let key = |of: &Finding| (of.path.clone(), of.position, of.offset, of.fault);
            key(a).cmp(&key(b))
        });
    }
}

impl Extend<Finding> for Findings {
    fn extend<T: IntoIterator<Item = Finding>>(&mut self, findings: T) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_of_a_kind_are_counted_not_kept() {
        let mut findings = Findings::default();
        for position in 0..1_000 {
            let at = Position::new(position);
            findings.push(Finding::new(Fault::Damage, Grade::LosesData, "a.log", "x").at(at));
            findings.push(Finding::new(Fault::LeftOver, Grade::Cosmetic, "b.log", "x").at(at));
        }
        assert_eq!((findings.told().len(), findings.len(), findings.problems()), (200, 2_000, 1_000));
        assert_eq!(findings.worst(), Some(Grade::LosesData));
        let untold: Vec<_> = findings.untold().collect();
        assert_eq!(untold, [(Path::new("a.log"), Fault::Damage, 900), (Path::new("b.log"), Fault::LeftOver, 900)]);
    }

    #[test]
    fn every_fault_has_a_word_of_its_own() {
        let mut words: Vec<_> = Fault::ALL.iter().map(|fault| fault.code()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Fault::ALL.len());
    }
}
