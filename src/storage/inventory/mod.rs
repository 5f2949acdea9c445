//! What lies in log directories: of one broker's disks, or of many brokers' side by side.
//!
//! | file | holds |
//! |---|---|
//! | [`usage`] | bytes of files, apparent and allocated; the file system around them |
//! | [`partition`] | one partition directory: its offsets, times, bytes, transactions |
//! | [`content`] | what its batches hold: codecs, ratios, records |
//! | [`cleaning`] | how dirty a compacted log is, as the log cleaner reckons |
//! | [`replicas`] | strays, duplicates, replicas out of place |
//! | [`totals`] | sums by topic, by log directory, by broker |
//!
//! A directory may hold terabytes: [`Depth::Index`] takes of each partition its listing, its small files, the first
//! batch header of each segment, the last entries of its indexes and what stands behind them in the last segment.

pub mod cleaning;
pub mod content;
pub mod partition;
pub mod replicas;
pub mod totals;
pub mod usage;

pub use self::partition::{PartitionFacts, SurveyOptions, survey};
pub use self::replicas::{LogDirFacts, LogDirs};
pub use self::totals::{Totals, TotalsKey};
pub use self::usage::{FileSystem, Usage};

/// How closely partitions are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Depth {
    /// Listings, small files, first batch headers, ends of indexes, and the log behind the last index entry.
    #[default]
    Index,
    /// The header of every batch too.
    Headers,
    /// Every batch, decompressed.
    Deep,
}
