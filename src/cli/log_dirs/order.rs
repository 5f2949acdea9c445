//! The order of rows.

use std::cmp::{Ordering, Reverse};

use crate::storage::inventory::{PartitionFacts, Totals, TotalsKey};

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum SortKey {
    /// Topic and partition, or what a row stands for
    #[default]
    Name,
    /// Bytes of logs
    Size,
    /// Bytes allocated on disk
    Allocated,
    /// Segments
    Segments,
    /// Log end offset
    LogEnd,
    /// Last write of a log file
    LastWrite,
    /// Earliest timestamp
    Oldest,
    /// Latest timestamp
    Newest,
    /// Dirty ratio
    Dirty,
}

/// Sorts partitions, which come in the order of their names; of equal ones that order stays.
pub fn partitions(rows: &mut [&PartitionFacts], key: SortKey, reverse: bool) {
    let number = |row: &PartitionFacts| -> Option<i128> {
        match key {
            SortKey::Name => None,
            SortKey::Size => Some(row.log_bytes.into()),
            SortKey::Allocated => Some(row.usage.allocated_bytes.into()),
            SortKey::Segments => i128::try_from(row.segments).ok(),
            SortKey::LogEnd => Some(row.log_end.get().into()),
            SortKey::LastWrite => row.last_write_ms.map(Into::into),
            SortKey::Oldest => row.oldest_ms.map(Into::into),
            SortKey::Newest => row.newest_ms.map(Into::into),
            // Ratios to the billionth: they compare as their numbers do.
            SortKey::Dirty => row.cleaning.and_then(|cleaning| cleaning.dirty_ratio()).map(billionths),
        }
    };
    sort(rows, |row| number(row), reverse);
}

/// Sorts sums, which come in the order of what they stand for.
pub fn totals(rows: &mut [(TotalsKey, Totals)], key: SortKey, reverse: bool) {
    let number = |(_, row): &(TotalsKey, Totals)| -> Option<i128> {
        match key {
            SortKey::Name | SortKey::Dirty => None,
            SortKey::Size => Some(row.log_bytes.into()),
            SortKey::Allocated => Some(row.usage.allocated_bytes.into()),
            SortKey::Segments => Some(row.segments.into()),
            SortKey::LogEnd => Some(row.offsets.into()),
            SortKey::LastWrite => row.last_write_ms.map(Into::into),
            SortKey::Oldest => row.oldest_ms.map(Into::into),
            SortKey::Newest => row.newest_ms.map(Into::into),
        }
    };
    sort(rows, number, reverse);
}

/// From the largest number, those without one last; in reverse the other way round.
fn sort<T>(rows: &mut [T], number: impl Fn(&T) -> Option<i128>, reverse: bool) {
    rows.sort_by(|a, b| -> Ordering { Reverse(number(a)).cmp(&Reverse(number(b))) });
    if reverse {
        rows.reverse();
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a ratio is from 0 to 1")]
fn billionths(ratio: f64) -> i128 {
    (ratio * 1e9) as i128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_comes_first_and_what_has_no_number_last() {
        let mut rows = ["b", "ccc", "", "dd", "a"];
        let number = |row: &&str| (!row.is_empty()).then(|| i128::try_from(row.len()).unwrap());
        sort(&mut rows, number, false);
        assert_eq!(rows, ["ccc", "dd", "b", "a", ""], "equal ones stay in order");
        sort(&mut rows, number, true);
        assert_eq!(rows, ["", "a", "b", "dd", "ccc"]);
    }
}
