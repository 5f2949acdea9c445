//! One partition directory: what it holds, and where its log begins and ends.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Depth;
use super::cleaning::{self, Cleaning};
use super::content::{self, Content, Magics};
use super::usage::{DirUsage, Usage};
use crate::batch::view::HEADER_LEN;
use crate::batch::{Frame, PREFIX_LEN, entry_len};
use crate::storage::fs::StorageError;
use crate::storage::index;
use crate::storage::leader_epochs::{self, EpochEntry};
use crate::storage::names::{PartitionDirName, SegmentFileKind};
use crate::storage::partition::{Checkpoints, Notice, Partition, Segment, present};
use crate::storage::partition_metadata;
use crate::storage::transactions::Transactions;
use crate::storage::verify::{Advice, Fault, Finding, Grade, partition as check};
use crate::types::{NO_TIMESTAMP, Offset, TimestampMs, TimestampType, Uuid};

/// With [`Depth::Index`], headers of so much log are read to tell open transactions; where it takes more, they are not told.
const REPLAY_BYTES_MAX: u64 = 1 << 20;
/// The largest message of magic 0 or 1 that is read whole for its timestamp.
const FIRST_MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// How to look at a partition.
#[derive(Debug, Clone, Copy)]
pub struct SurveyOptions {
    /// How closely.
    pub depth: Depth,
    /// Its topic is compacted, as the cluster's metadata says.
    pub is_compacted: bool,
    /// The topic's `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// The time.
    pub now_ms: TimestampMs,
    /// Largest batch, decompressed.
    pub max_batch_bytes: usize,
}

/// What is known of a partition's topic id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicId {
    /// `partition.metadata` names it.
    Known(Uuid),
    /// There is no such file.
    None,
    /// There is one, and it cannot be read.
    Unreadable,
}

/// Transactions without a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTransactions {
    /// How many.
    pub count: usize,
    /// First offset of the earliest.
    pub first: Option<Offset>,
}

/// One partition directory.
#[derive(Debug, Clone)]
pub struct PartitionFacts {
    /// What its name says.
    pub name: PartitionDirName,
    /// The directory.
    pub path: PathBuf,
    /// Number of its log directory.
    pub log_dir: usize,
    /// Its topic's id.
    pub topic_id: TopicId,
    /// Segments in use.
    pub segments: usize,
    /// Bytes of their logs: what a broker calls the size of a log (`UnifiedLog.size`).
    pub log_bytes: u64,
    /// Bytes of all its files.
    pub usage: Usage,
    /// The first offset a reader may see.
    pub log_start: Offset,
    /// The offset the next record would get.
    pub log_end: Offset,
    /// What the checkpoints say.
    pub checkpoints: Checkpoints,
    /// Transactions that are open at the log end; `None` where telling takes more reading than was asked for.
    pub open_transactions: Option<OpenTransactions>,
    /// Timestamp of the first batch on disk.
    pub oldest_ms: Option<TimestampMs>,
    /// The largest timestamp, as the time indexes and the tail of the log have it.
    pub newest_ms: Option<TimestampMs>,
    /// When a log file was last written to.
    pub last_write_ms: Option<TimestampMs>,
    /// Formats of batches: of the first of each segment, and with more depth of all.
    pub magics: Magics,
    /// Entries of the leader epoch file.
    pub leader_epochs: usize,
    /// The last of them.
    pub last_epoch: Option<EpochEntry>,
    /// Bytes behind the last whole batch.
    pub is_torn: bool,
    /// Places without a sound batch among those looked at; with [`Depth::Index`] of the end of the log only.
    pub damaged: u64,
    /// How dirty a compacted log is.
    pub cleaning: Option<Cleaning>,
    /// What its batches hold; `None` with [`Depth::Index`].
    pub content: Option<Content>,
    /// Files that could not be used.
    pub notices: Vec<Notice>,
    /// Files over which a broker stumbles.
    pub findings: Vec<Finding>,
}

impl PartitionFacts {
    /// The high watermark of the checkpoint, at most the log end.
    pub fn high_watermark(&self) -> Option<Offset> {
        self.checkpoints.high_watermark.map(|stored| stored.min(self.log_end))
    }

    /// The last stable offset, with all below the log end taken for replicated; `None` where it is not known.
    pub fn last_stable(&self) -> Option<Offset> {
        let open = self.open_transactions?;
        Some(open.first.map_or(self.log_end, |first| first.min(self.log_end)))
    }
}

/// Looks at the partition directory `dir` of log directory number `log_dir`.
pub fn survey(
    name: &PartitionDirName,
    dir: &Path,
    log_dir: usize,
    checkpoints: Checkpoints,
    options: &SurveyOptions,
) -> Result<PartitionFacts, StorageError> {
    let partition = Partition::open(dir, checkpoints)?;
    let listed = DirUsage::of(dir)?;
    let mut findings: Vec<Finding> = listed.stopping.iter().map(|path| check::no_offset(path)).collect();
    let is_finding = |notice: &&Notice| !listed.stopping.contains(&notice.path);
    let notices: Vec<Notice> = partition.notices().iter().filter(is_finding).cloned().collect();
    let topic_id = match present(partition_metadata::read(&dir.join(partition_metadata::FILE_NAME))) {
        Ok(Some(metadata)) => TopicId::Known(metadata.topic_id),
        Ok(None) => TopicId::None,
        Err(error) => {
            findings.push(check::unreadable(Fault::PartitionMetadata, &error));
            TopicId::Unreadable
        }
    };
    let epochs = match present(leader_epochs::read(&dir.join(leader_epochs::FILE_NAME))) {
        Ok(epochs) => epochs.unwrap_or_default(),
        Err(error) => {
            findings.push(check::unreadable(Fault::EpochFile, &error));
            leader_epochs::LeaderEpochs::new()
        }
    };
    let tail = partition.tail()?;
    let mut facts = PartitionFacts {
        name: name.clone(),
        path: dir.to_owned(),
        log_dir,
        topic_id,
        segments: partition.segments().len(),
        log_bytes: partition.segments().iter().map(|segment| segment.log_len).sum(),
        usage: listed.usage,
        log_start: partition.log_start(),
        log_end: tail.log_end,
        checkpoints,
        open_transactions: None,
        oldest_ms: None,
        newest_ms: tail.largest.map(|(timestamp, _)| timestamp).filter(|timestamp| *timestamp != NO_TIMESTAMP),
        last_write_ms: listed.last_write_ms,
        magics: Magics::default(),
        leader_epochs: epochs.entries().len(),
        last_epoch: epochs.latest(),
        damaged: u64::from(tail.damage.is_some()),
        is_torn: tail.end != crate::batch::scan::Tail::Clean,
        cleaning: None,
        content: None,
        notices,
        findings,
    };
    let segments = facts.look_at_segments(&partition)?;
    facts.look_at_transactions(&partition, options.depth)?;
    if options.depth > Depth::Index {
        let walked = content::walk(&partition, options.depth, options.max_batch_bytes)?;
        facts.magics.merge(walked.magics);
        facts.newest_ms = walked.newest_ms;
        facts.damaged = walked.content.damaged;
        facts.content = Some(walked.content);
    }
    if facts.damaged > 0 {
        let places = if facts.damaged == 1 { "place" } else { "places" };
        let said = format!("{} {places} without a sound batch; logdir verify says where", facts.damaged);
        let finding = Finding::new(Fault::Damage, Grade::LosesData, dir, said);
        facts.findings.push(finding.advice(Advice::Salvage));
    }
    if options.is_compacted || checkpoints.cleaner.is_some() {
        let lag = options.min_compaction_lag_ms;
        facts.cleaning = Cleaning::of(&cleaning::Log {
            segments: &segments,
            log_start: facts.log_start,
            log_end: facts.log_end,
            last_stable: facts.last_stable().unwrap_or(facts.log_end),
            checkpoint: checkpoints.cleaner,
            young_above_ms: (lag > 0).then(|| options.now_ms.saturating_sub(lag)),
        });
    }
    Ok(facts)
}

impl PartitionFacts {
    /// The first batch of each segment, and the end of its time index.
    fn look_at_segments(&mut self, partition: &Partition) -> Result<Vec<cleaning::LogSegment>, StorageError> {
        let mut segments = Vec::with_capacity(partition.segments().len());
        for (number, segment) in partition.segments().iter().enumerate() {
            if let Some(first) = present(first_batch(segment))?.flatten() {
                self.magics.add(first.magic);
                if number == 0 {
                    self.oldest_ms = first.timestamp_ms;
                }
            }
            let path = segment.sibling(SegmentFileKind::TimeIndex);
            let last = index::tail::time(segment.base, &path).unwrap_or_else(|error| {
                self.notices.push(Notice::new(path, format!("{}; its timestamps are left out", error.kind)));
                None
            });
            let timestamp = last.map(|entry| entry.timestamp).filter(|timestamp| *timestamp >= 0);
            self.newest_ms = self.newest_ms.max(timestamp);
            segments.push(cleaning::LogSegment {
                base: segment.base,
                size_bytes: segment.log_len,
                largest_ms: timestamp.or(self.last_write_ms).unwrap_or(NO_TIMESTAMP),
            });
        }
        Ok(segments)
    }

    fn look_at_transactions(&mut self, partition: &Partition, depth: Depth) -> Result<(), StorageError> {
        let most = if depth > Depth::Index { u64::MAX } else { REPLAY_BYTES_MAX };
        let mut transactions = Transactions::new(partition);
        let open = transactions.open_at(self.log_end, most)?;
        self.notices.append(&mut transactions.take_notices());
        self.open_transactions =
            open.map(|open| OpenTransactions { count: open.len(), first: open.values().copied().min() });
        Ok(())
    }
}

/// What the header of a batch tells.
struct FirstBatch {
    magic: i8,
    timestamp_ms: Option<TimestampMs>,
}

/// The first batch of a segment; `None` when it has none.
fn first_batch(segment: &Segment) -> Result<Option<FirstBatch>, StorageError> {
    let error = |error: std::io::Error| StorageError::new(&segment.log, error);
    if segment.log_len < PREFIX_LEN as u64 {
        return Ok(None);
    }
    // What is listed may be a pipe by now: opening one waits for its other end.
    if !std::fs::metadata(&segment.log).map_err(error)?.is_file() {
        return Ok(None);
    }
    let file = std::fs::File::open(&segment.log).map_err(error)?;
    let mut window = vec![0; HEADER_LEN.min(usize::try_from(segment.log_len).unwrap_or(HEADER_LEN))];
    let filled = file.read_at(&mut window, 0).map_err(error)?;
    window.truncate(filled);
    let Some(prefix) = window.first_chunk::<PREFIX_LEN>() else { return Ok(None) };
    let Ok(len) = entry_len(prefix) else { return Ok(None) };
    // A message has its timestamp in its header too, but is framed whole.
    if prefix[16].cast_signed() < 2 && len <= FIRST_MESSAGE_BYTES_MAX.min(segment.log_len) {
        window.resize(usize::try_from(len).unwrap_or(0), 0);
        let filled = file.read_at(&mut window, 0).map_err(error)?;
        window.truncate(filled);
    }
    let Ok(frame) = Frame::parse_header(&window, usize::try_from(len).unwrap_or(usize::MAX)) else { return Ok(None) };
    let timestamp = match &frame {
        Frame::Batch(batch) if batch.timestamp_type() == TimestampType::Create => batch.base_timestamp_ms(),
        _ => frame.max_timestamp_ms(),
    };
    Ok(Some(FirstBatch { magic: frame.magic(), timestamp_ms: (timestamp != NO_TIMESTAMP).then_some(timestamp) }))
}
