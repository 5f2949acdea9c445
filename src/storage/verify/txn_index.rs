//! A transaction index against the control batches of its segment.

use std::collections::BTreeMap;

use super::{Corrupt, IndexResult};
use crate::storage::index::txn::{AbortedTxn, TxnIndex};
use crate::types::{Offset, ProducerId};

/// What the log of a segment says about aborted transactions.
#[derive(Debug, Clone, Default)]
pub struct ExpectedAborts {
    /// Entries that a replay of the segment leads to, in order.
    pub entries: Vec<AbortedTxn>,
    /// What began below is not known: the log starts there, or the producers at the segment's start are not known.
    pub known_from: Offset,
    /// Compaction may have removed first batches and whole transactions.
    pub is_compacted: bool,
}

/// Compares an index with what its segment leads to.
///
/// A missing entry shows aborted records to readers of committed ones, a surplus one hides committed records.
pub fn check(index: &TxnIndex<'_>, expected: &ExpectedAborts) -> IndexResult {
    if index.trailing_bytes() == 0 && index.entries().eq(expected.entries.iter().copied()) {
        return IndexResult::Exact;
    }
    if let Some(violation) = index.first_violation() {
        let said = violation.to_string();
        let what = said.split_once(": ").map_or(said.as_str(), |(_, what)| what).to_owned();
        return IndexResult::Corrupt(Corrupt { entry: violation.entry(), what });
    }
    let mut missing: BTreeMap<(Offset, ProducerId), &AbortedTxn> =
        expected.entries.iter().map(|txn| ((txn.last_offset, txn.producer_id), txn)).collect();
    let mut odd = None;
    for (entry, found) in index.entries().enumerate() {
        let what = match missing.remove(&(found.last_offset, found.producer_id)) {
            Some(txn) if txn.first_offset == found.first_offset => {
                if txn.last_stable_offset != found.last_stable_offset {
                    let (expected, found) = (txn.last_stable_offset, found.last_stable_offset);
                    odd.get_or_insert(Corrupt {
                        entry,
                        what: format!("last stable offset {found}, expected {expected}"),
                    });
                }
                continue;
            }
            Some(txn) => format!("begins at offset {}, the log says {}", found.first_offset, txn.first_offset),
            None => format!("the log has no abort marker of producer {} at {}", found.producer_id, found.last_offset),
        };
        if found.first_offset >= expected.known_from && !expected.is_compacted {
            return IndexResult::Corrupt(Corrupt { entry, what });
        }
        odd.get_or_insert(Corrupt { entry, what });
    }
    match missing.into_values().next() {
        Some(AbortedTxn { producer_id, first_offset, last_offset, .. }) => IndexResult::Corrupt(Corrupt {
            entry: index.len(),
            what: format!("producer {producer_id} aborted {first_offset}..={last_offset}, which is not listed"),
        }),
        None => IndexResult::Equivalent { odd },
    }
}
