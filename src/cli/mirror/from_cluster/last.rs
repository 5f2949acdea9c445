//! The last record of a copy, by which its source is known again.
//!
//! The client tells no topic ids. A topic that was deleted and made again, or whose log was truncated and written anew, has
//! another record there, or none.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;

use crate::batch::Decompressor;
use crate::batch::scan::Depth;
use crate::cluster::fetcher::Record;
use crate::storage::fs::StorageError;
use crate::storage::partition::Partition;
use crate::storage::reader::{LogReader, ReadStep};
use crate::types::{Offset, TimestampMs};

/// Batches longer than this are damage.
const BATCH_BYTES_MAX: u64 = crate::batch::compression::MAX_BATCH_BYTES as u64;

/// Offset of a record, and a hash of what it holds: of thousands of partitions each may be large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRecord {
    /// Its offset.
    pub offset: Offset,
    hash: u64,
}

impl LastRecord {
    /// The last one of a log that ends at `end`; none where what is there cannot be read, or is of a transaction: the cluster
    /// hides those that were aborted.
    pub fn of(partition: &Partition, end: Offset) -> Result<Option<LastRecord>, StorageError> {
        let mut reader = LogReader::new(partition, Depth::Crc, BATCH_BYTES_MAX);
        reader.seek(end.plus(-1))?;
        let (mut decompressor, mut last) = (Decompressor::default(), None);
        loop {
            match reader.next()? {
                ReadStep::Entry { entry, .. } if entry.frame.last_offset().next() == end => {
                    if entry.frame.is_transactional() {
                        return Ok(None);
                    }
                    let each = entry.frame.records(&mut decompressor).and_then(|records| {
                        records.visit(|record| {
                            let hash = hash(record.timestamp_ms, record.key, record.value);
                            last = Some(LastRecord { offset: record.offset, hash });
                            ControlFlow::<()>::Continue(())
                        })
                    });
                    return Ok(last.filter(|_| each.is_ok()));
                }
                ReadStep::Entry { .. } | ReadStep::Damage { .. } | ReadStep::Gone { .. } => {}
                ReadStep::End { .. } => return Ok(None),
            }
        }
    }

    /// Whether it is this one.
    pub fn is(&self, record: &Record<'_>) -> bool {
        record.offset() == self.offset.get() && hash(record.timestamp_ms(), record.key(), record.value()) == self.hash
    }
}

fn hash(timestamp_ms: TimestampMs, key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (timestamp_ms, key, value).hash(&mut hasher);
    hasher.finish()
}
