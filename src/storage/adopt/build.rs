//! Building an adopted partition directory beside its place, and putting it there.

use std::path::{Path, PathBuf};

use super::{AdoptError, AdoptPlan, Existing, OpenTransactions, epochs};
use crate::batch::control::TransactionMarker;
use crate::storage::fs::{self, Opening, StorageError};
use crate::storage::leader_epochs::{self, LeaderEpochs};
use crate::storage::names::{PartitionFile, SegmentFileKind, segment_file_name};
use crate::storage::partition_metadata;
use crate::storage::producer_state;
use crate::storage::recovery::{self, LoadOptions};
use crate::storage::restore::as_kafka::files_of;
use crate::storage::restore::{RestoreError, Sharing};
use crate::storage::swap::{Ends, Old, Staging, SwapError};
use crate::types::{LeaderEpoch, Offset};

impl AdoptPlan {
    /// Whether there is nothing to do: it was done before.
    pub fn is_done(&self) -> bool {
        self.existing == Existing::Adopted
    }

    /// Batches that get another leader epoch.
    pub fn lowered(&self) -> u64 {
        self.survey.above
    }

    /// Abort markers that are added.
    pub fn markers(&self) -> usize {
        if self.open == OpenTransactions::Abort { self.open_transactions.len() } else { 0 }
    }

    /// Does it; on disk when it returns. Gives the partition's directory.
    ///
    /// With [`Sharing::Links`] sealed logs get a second name where that is possible, for a source that goes away. The
    /// caller holds the log directory's exclusive lock, and has finished what earlier runs left
    /// ([`finish_interrupted`](crate::storage::swap::finish_interrupted)).
    pub fn execute(&self, sharing: Sharing) -> Result<PathBuf, AdoptError> {
        if self.is_done() {
            return Ok(self.log_dir.join(self.partition.to_string()));
        }
        let staging = Staging::begin(&self.log_dir, &self.partition)?.as_new_log();
        let ends = match self.build(staging.dir(), sharing) {
            Ok(ends) => ends,
            Err(error) => {
                staging.abandon()?;
                return Err(error);
            }
        };
        let placed = match self.existing {
            Existing::None | Existing::Adopted => staging.install(&ends),
            Existing::Empty => staging.swap(&ends, Old::Removed),
            Existing::Records => staging.swap(&ends, Old::Condemned),
        };
        placed.map_err(|error: SwapError| error.into())
    }

    /// What is written to must not be the source's.
    pub(super) fn sharing(&self, sharing: Sharing) -> Sharing {
        if self.lowered() > 0 { Sharing::Copies } else { sharing }
    }

    /// Fills `dir`; where the log starts and ends then.
    fn build(&self, dir: &Path, sharing: Sharing) -> Result<Ends, AdoptError> {
        self.job.build(dir, self.sharing(sharing))?;
        let epochs = epochs::cap(dir, &self.segments, self.epoch)?;
        let log_end = self.end_transactions(dir, epochs.latest().map(|latest| latest.epoch))?;
        self.begin_anew(dir, log_end)?;
        self.write_small_files(dir, epochs)?;
        fs::sync_dir(dir)?;
        let ends = Ends { log_end, ..self.ends };
        self.check(dir, &ends)?;
        Ok(ends)
    }

    /// Ends open transactions in a segment of its own, which is made whole as a broker makes one whole; the log's end.
    fn end_transactions(&self, dir: &Path, epoch: Option<LeaderEpoch>) -> Result<Offset, AdoptError> {
        let start = self.ends.log_end;
        if self.markers() == 0 {
            return Ok(start);
        }
        let (mut bytes, mut end) = (Vec::new(), start);
        for producer in &self.open_transactions {
            let marker = TransactionMarker {
                commit: false,
                // As kafka-transactions.sh has it where no coordinator has written yet.
                coordinator_epoch: producer.coordinator_epoch.max(0),
                producer_id: producer.producer_id,
                producer_epoch: producer.producer_epoch,
                timestamp_ms: self.now_ms,
            };
            let sealed = marker.seal(end, epoch.unwrap_or(LeaderEpoch(0)));
            let sealed = sealed.map_err(|error| StorageError::new(dir, std::io::Error::other(error)))?;
            bytes.extend_from_slice(sealed.bytes());
            end = end.next();
        }
        write(&dir.join(segment_file_name(start, SegmentFileKind::Log)), &bytes)?;
        fs::sync_dir(dir)?;
        let plan = recovery::plan(dir, &self.options(false, start))?;
        if plan.log_end != end || plan.producers.first_unstable_offset().is_some() || !plan.losses.is_empty() {
            return Err(not_as_planned(dir, format!("it ends at {}, expected {end}", plan.log_end)));
        }
        plan.apply_in(dir)?;
        Ok(end)
    }

    /// An empty segment at the log's end, and at its base what is to be known of producers: nothing, but for transactions
    /// that are to stay open.
    fn begin_anew(&self, dir: &Path, log_end: Offset) -> Result<(), AdoptError> {
        for kind in [SegmentFileKind::Log, SegmentFileKind::OffsetIndex, SegmentFileKind::TimeIndex] {
            write(&dir.join(segment_file_name(log_end, kind)), b"")?;
        }
        for (name, path) in files_of(dir)? {
            if let PartitionFile::Segment(file) = PartitionFile::parse(&name)
                && file.kind == SegmentFileKind::Snapshot
            {
                fs::remove_if_present(&path)?;
            }
        }
        let open: &[_] = if self.open == OpenTransactions::Keep { &self.open_transactions } else { &[] };
        let path = dir.join(segment_file_name(log_end, SegmentFileKind::Snapshot));
        write(&path, &producer_state::to_bytes(open))?;
        Ok(())
    }

    fn write_small_files(&self, dir: &Path, mut epochs: LeaderEpochs) -> Result<(), AdoptError> {
        epochs.truncate_from_start(self.ends.log_start);
        fs::replace_atomic(&dir.join(leader_epochs::FILE_NAME), epochs.to_text().as_bytes())?;
        let metadata = partition_metadata::to_text(self.topic_id);
        fs::replace_atomic(&dir.join(partition_metadata::FILE_NAME), metadata.as_bytes())?;
        Ok(())
    }

    fn options(&self, clean: bool, recovery_point: Offset) -> LoadOptions {
        let log_start = self.ends.log_start;
        LoadOptions { clean, recovery_point, log_start, now_ms: self.now_ms, config: self.config }
    }

    /// Whether a broker takes the result for what it is meant to be, after a clean shutdown and after another.
    fn check(&self, dir: &Path, ends: &Ends) -> Result<(), AdoptError> {
        let expected = if self.open == OpenTransactions::Keep { self.open_transactions.len() } else { 0 };
        for clean in [true, false] {
            let plan = recovery::plan(dir, &self.options(clean, ends.log_end))?;
            let found = (plan.log_start, plan.log_end, plan.losses.len(), plan.producers.producers().len());
            if found != (ends.log_start, ends.log_end, 0, expected) {
                let text = format!(
                    "offsets {} to {}, {} losses, {} producers; expected {} to {}, none, {expected}",
                    found.0, found.1, found.2, found.3, ends.log_start, ends.log_end
                );
                return Err(not_as_planned(dir, text));
            }
        }
        Ok(())
    }
}

fn not_as_planned(dir: &Path, what: String) -> AdoptError {
    RestoreError::NotAsPlanned { path: dir.to_owned(), what }.into()
}

/// Writes a file that is not there, or empty; on disk when it returns.
fn write(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let written = fs::open_to_write(path, Opening::Emptied).and_then(|file| {
        fs::write_at(&file, path, bytes, 0)?;
        fs::sync_file(&file, path)
    });
    written.map_err(|error| StorageError::new(path, error))
}
