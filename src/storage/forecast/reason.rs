//! Why a broker does not start or gives up a directory, and which of the two an error of a load means.

use std::path::{Path, PathBuf};

use crate::storage::checkpoint::CheckpointError;
use crate::storage::fs::{StorageError, StorageErrorKind};
use crate::storage::leader_epochs::LeaderEpochError;
use crate::storage::partition_metadata::PartitionMetadataError;
use crate::storage::recovery::LoadError;

/// Why something does not go as it should: what a broker says, and about which file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The file or directory.
    pub path: PathBuf,
    /// What is said, without the path.
    pub message: String,
}

impl Reason {
    pub(super) fn new(path: impl Into<PathBuf>, message: impl Into<String>) -> Reason {
        Reason { path: path.into(), message: message.into() }
    }

    pub(super) fn of_storage(error: &StorageError) -> Reason {
        Reason::new(&error.path, error.kind.to_string())
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

/// How far a failure reaches (`LogManager.loadLogs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// An `IOException`: the log directory goes offline.
    LogDir,
    /// Any other exception: the broker does not start.
    Broker,
    /// A broker splits a segment here, and what comes of it is not forecast.
    Split,
}

/// What an error of a checkpoint file means: a number that is none is no `IOException`.
pub(super) fn reach_of_checkpoint(error: &CheckpointError) -> Reach {
    match error {
        CheckpointError::NotANumber { .. } | CheckpointError::NegativeCount { .. } => Reach::Broker,
        CheckpointError::NotUtf8 { .. }
        | CheckpointError::Header { .. }
        | CheckpointError::Version { .. }
        | CheckpointError::Malformed { .. }
        | CheckpointError::CountMismatch { .. } => Reach::LogDir,
    }
}

/// What an error of a file means.
pub(super) fn reach_of_storage(error: &StorageError) -> Reach {
    match &error.kind {
        StorageErrorKind::Io(_) | StorageErrorKind::NotAFile => Reach::LogDir,
        StorageErrorKind::Checkpoint(error) | StorageErrorKind::LeaderEpochs(LeaderEpochError::File(error)) => {
            reach_of_checkpoint(error)
        }
        StorageErrorKind::PartitionMetadata(error) => match error {
            // A line that is not there is null, and an id that is none an IllegalArgumentException.
            PartitionMetadataError::MissingLine { .. } | PartitionMetadataError::TopicId { .. } => Reach::Broker,
            PartitionMetadataError::NotUtf8 { .. }
            | PartitionMetadataError::Malformed { .. }
            | PartitionMetadataError::VersionNotANumber { .. }
            | PartitionMetadataError::Version { .. }
            | PartitionMetadataError::ZeroTopicId => Reach::LogDir,
        },
        StorageErrorKind::LeaderEpochs(LeaderEpochError::Negative { .. })
        | StorageErrorKind::TooLarge { .. }
        | StorageErrorKind::Snapshot(_)
        | StorageErrorKind::TxnIndex(_)
        | StorageErrorKind::MetaProperties(_)
        | StorageErrorKind::QuorumState(_) => Reach::Broker,
    }
}

/// What an error of loading a partition means, and in which words.
pub(super) fn of_load(error: &LoadError) -> (Reach, Reason) {
    match error {
        LoadError::Storage(error) => (reach_of_storage(error), Reason::of_storage(error)),
        LoadError::Name { path } => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let digits = name.split('.').next().unwrap_or_default();
            let message = format!("NumberFormatException: For input string: \"{digits}\"");
            (Reach::Broker, Reason::new(path, message))
        }
        LoadError::Corrupt { path, position, reason } => {
            let message = format!("CorruptRecordException: position {position}: {reason}");
            (Reach::Broker, Reason::new(path, message))
        }
        LoadError::Index { path, reason } => {
            (Reach::Broker, Reason::new(path, format!("IllegalArgumentException: {reason}")))
        }
        LoadError::Producer { path, refusal } => {
            (Reach::Broker, Reason::new(path, format!("InvalidTxnStateException: {refusal}")))
        }
        LoadError::Overflow { path, offset } => match has_overflow(path) {
            Ok(true) => {
                let message = format!(
                    "holds offset {offset}, more than 2^31 above its base: a broker splits the segment, and what \
                     comes of that is not forecast"
                );
                (Reach::Split, Reason::new(path, message))
            }
            Ok(false) => {
                let message = format!(
                    "IllegalArgumentException: Split operation is only permitted for segments with overflow: \
                     offset {offset} is not within 2^31 above the base offset that the file's name says, and the log \
                     does not end there"
                );
                (Reach::Broker, Reason::new(path, message))
            }
            Err(error) => (reach_of_storage(&error), Reason::of_storage(&error)),
        },
    }
}

/// `LogSegment.hasOverflow`: only such a segment is split.
fn has_overflow(log: &Path) -> Result<bool, StorageError> {
    use crate::batch::walk::Walker;
    use crate::storage::file_source::FileSource;
    use crate::storage::names::PartitionFile;
    use crate::types::Position;

    let base = match PartitionFile::parse(log.file_name().unwrap_or_default()) {
        PartitionFile::Segment(file) => file.offset,
        _ => return Ok(false),
    };
    let unreadable = |error| StorageError::new(log, error);
    let source = std::fs::File::open(log).and_then(FileSource::new).map_err(unreadable)?;
    let mut walker = Walker::headers(source, Position::ZERO);
    let mut last = None;
    while let Ok(walked) = walker.step().map_err(unreadable)? {
        last = Some(walked.frame.last_offset());
    }
    Ok(last.is_some_and(|last| last >= base && last.relative_to(base).is_none()))
}
