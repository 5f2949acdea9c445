//! One partition on its way: what is still to be read of it, and what of it was sent in the transaction that is open.

use std::ops::ControlFlow;

use crate::batch::{Decompressor, Frame};
use crate::cli::consume::stream::{PartitionStream, StreamOptions};
use crate::cli::consume::{IsolationLevel, OnCorrupt, storage_problem};
use crate::cli::message::Message;
use crate::cli::mirror::GapArg;
use crate::cli::range::{Bound, OffsetRange};
use crate::cluster::client::ClusterError;
use crate::cluster::runs::{self, Run};
use crate::cluster::sender::{Outgoing, Sender};
use crate::storage::partition::Partition;
use crate::storage::transactions::{AbortedTxns, Transactions};
use crate::types::{LeaderEpoch, Offset, TopicPartition, Uuid};

/// Largest batch, decompressed.
const BATCH_BYTES_MAX: usize = 128 << 20;

/// What came of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is more to read.
    Open,
    /// Everything up to its end is read.
    Done,
    /// It ends before its end: damage, a gap, or a record that is refused.
    Stopped,
}

/// How a partition is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Which records of transactions.
    pub isolation: IsolationLevel,
    /// What to do at a gap.
    pub on_gap: GapArg,
}

/// A partition on its way.
pub struct Lane<'p> {
    /// It.
    pub partition: &'p Partition,
    /// The topic's id, where its directory tells.
    pub topic_id: Option<Uuid>,
    /// The leader epoch of the last batch read.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Holes are what compaction left.
    pub is_compacted: bool,
    /// The first offset that this run reads.
    pub start: Offset,
    /// The first offset that is not to be read.
    pub end: Offset,
    /// Everything below is in the target, by its own account.
    pub committed: Offset,
    /// The first offset that the next sync tells of.
    pub told: Offset,
    /// The target says that what is mirrored to it is from here.
    pub is_claimed: bool,
    /// One above the last record's offset in the target.
    pub target_next: i64,
    /// Records and bytes of them that are in the target by this run.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What came of it.
    pub state: State,
    /// First offset that was not read yet.
    pub position: Offset,
    /// Offsets sent in the open transaction.
    pub sent: Vec<Run>,
    /// Bytes sent in the open transaction.
    pub sent_bytes: u64,
    /// Records whose timestamp, 0, cannot be sent.
    pub without_time: u64,
    /// Bytes on disk that are to be read, about.
    pub bytes_left: u64,
    is_refused: bool,
    reading: Reading,
    stream: Option<PartitionStream<'p>>,
    transactions: Transactions<'p>,
    aborted: Option<(usize, AbortedTxns)>,
}

/// What reading on has come to.
#[derive(Debug, Default)]
pub struct Fed {
    /// One for all partitions: its buffers grow with the largest batch.
    decompressor: Decompressor,
    /// Bytes of records that were sent.
    pub bytes: u64,
    /// Bytes on disk that were read.
    pub read_bytes: u64,
    /// What there is to say.
    pub messages: Vec<Message>,
}

/// Why a partition stops being read.
enum Halt {
    Cluster(ClusterError),
    /// A record that cannot be sent as it is.
    Record(Offset, &'static str),
}

impl<'p> Lane<'p> {
    /// A partition of which nothing was read yet. Ends at its last stable offset, or the log end.
    pub fn new(partition: &'p Partition, reading: Reading) -> Result<Lane<'p>, crate::storage::fs::StorageError> {
        let mut transactions = Transactions::new(partition);
        let mut end = partition.log_end()?;
        if reading.isolation == IsolationLevel::ReadCommitted {
            end = transactions.last_stable(end)?;
        }
        let start = partition.log_start();
        Ok(Lane {
            partition,
            topic_id: None,
            leader_epoch: None,
            is_compacted: partition.checkpoints().cleaner.is_some(),
            start,
            end: end.max(start),
            committed: start,
            told: Offset::ZERO,
            is_claimed: false,
            target_next: 0,
            records: 0,
            bytes: 0,
            state: State::Open,
            position: start,
            sent: Vec::new(),
            sent_bytes: 0,
            without_time: 0,
            bytes_left: 0,
            is_refused: false,
            reading,
            stream: None,
            transactions,
            aborted: None,
        })
    }

    /// Its name.
    pub fn name(&self) -> &'p TopicPartition {
        self.partition.topic_partition()
    }

    /// Starts here.
    pub fn start_at(&mut self, offset: Offset) {
        (self.start, self.committed, self.position) = (offset, offset, offset);
        self.state = if offset >= self.end { State::Done } else { State::Open };
    }

    /// Back to what is committed: the transaction was aborted.
    pub fn rewind(&mut self) {
        self.position = self.committed;
        self.sent.clear();
        self.sent_bytes = 0;
        self.stream = None;
        // What stopped it is met again.
        self.state = if self.position < self.end { State::Open } else { self.ended() };
    }

    /// The record with this number in the open transaction.
    pub fn offset_sent(&self, number: u64) -> Offset {
        // One that was refused before it was counted follows those that were.
        runs::nth(&self.sent, number).map_or(self.position, Offset::new)
    }

    /// The record at `offset` is refused: what is in front of it is all that goes over.
    pub fn refuse(&mut self, offset: Offset) {
        self.end = offset;
        self.is_refused = true;
        self.rewind();
    }

    /// How it ends when everything up to its end is read.
    const fn ended(&self) -> State {
        if self.is_refused { State::Stopped } else { State::Done }
    }

    /// Reads on and sends, until `budget` bytes are sent or there is no more.
    pub fn feed(&mut self, slot: usize, sender: &mut Sender, budget: u64, fed: &mut Fed) -> Result<(), ClusterError> {
        let fed_before = fed.bytes;
        if let Err(error) = self.open(fed) {
            self.fail(&error, fed);
            return Ok(());
        }
        while self.state == State::Open && fed.bytes - fed_before < budget {
            if let Err(error) = self.step(slot, sender, fed)? {
                self.fail(&error, fed);
            }
        }
        if self.state != State::Open {
            (self.stream, self.aborted) = (None, None);
        }
        Ok(())
    }

    fn fail(&mut self, error: &crate::storage::fs::StorageError, fed: &mut Fed) {
        self.state = State::Stopped;
        let problem = storage_problem(error);
        fed.messages.push(Message { severity: crate::cli::message::Severity::Error, problem });
    }

    fn open(&mut self, fed: &mut Fed) -> Result<(), crate::storage::fs::StorageError> {
        if self.stream.is_none() {
            let options = StreamOptions {
                range: OffsetRange { start: Bound::At(self.position), end: Bound::At(self.end) },
                // Markers and aborted records are told from holes here.
                isolation: IsolationLevel::ReadUncommitted,
                until_high_watermark: false,
                control: true,
                on_corrupt: OnCorrupt::Stop,
                max_batch_bytes: BATCH_BYTES_MAX,
                follow: false,
                skip_gone: false,
            };
            let stream = PartitionStream::open(self.partition, options, &mut |message| fed.messages.push(message))?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// The next batch.
    fn step(
        &mut self,
        slot: usize,
        sender: &mut Sender,
        fed: &mut Fed,
    ) -> Result<Result<(), crate::storage::fs::StorageError>, ClusterError> {
        let Some(stream) = &mut self.stream else { return Ok(Ok(())) };
        let batch = match stream.next(&mut |message| fed.messages.push(message)) {
            Ok(batch) => batch,
            Err(error) => return Ok(Err(error)),
        };
        let Some(batch) = batch else {
            let (stopped, outdated) = (stream.is_stopped(), stream.is_outdated());
            if outdated {
                let text =
                    "segments were deleted while they were about to be read; run again to read what there is now";
                fed.messages.push(Message::error("gap", text).of(self.partition.dir()));
            }
            if stopped || outdated {
                self.state = State::Stopped;
            } else {
                self.position = self.end;
                self.state = self.ended();
            }
            return Ok(Ok(()));
        };
        fed.read_bytes += batch.frame.size_bytes();
        let name = self.partition.topic_partition();
        let missing = batch.frame.base_offset().filter(|base| *base > self.position && !self.is_compacted);
        if let Some(base) = missing {
            let from = self.position;
            let text = format!("{name}: offsets {from}..{base} are missing, and the topic is not compacted");
            if self.reading.on_gap == GapArg::Stop {
                let hint = "mirror what is behind them too with: --on-gap keep";
                fed.messages.push(Message::error("gap", text).of(self.partition.dir()).hint(hint));
                self.state = State::Stopped;
                return Ok(Ok(()));
            }
            fed.messages.push(Message::warning("gap", format!("{text}; going on at {base}")).of(self.partition.dir()));
        }
        let next = batch.frame.last_offset().next().min(self.end);
        self.leader_epoch = Some(batch.frame.leader_epoch()).filter(|epoch| epoch.0 >= 0).or(self.leader_epoch);
        let is_aborted = self.reading.isolation == IsolationLevel::ReadCommitted
            && batch.frame.is_transactional()
            && !batch.frame.is_control()
            && match is_aborted(&mut self.transactions, &mut self.aborted, batch.place.segment, &batch.frame) {
                Ok(is_aborted) => is_aborted,
                Err(error) => return Ok(Err(error)),
            };
        if batch.frame.is_control() || is_aborted {
            self.position = next;
            return Ok(Ok(()));
        }
        let to = (name.topic.as_str(), name.partition);
        let (sent, position) = (&mut self.sent, &mut self.position);
        let (mut bytes, mut without_time) = (0_u64, 0);
        let visited = match batch.records(&mut fed.decompressor) {
            Err(error) => Err(error),
            Ok(records) => records.visit(|record| {
                if !batch.wanted(record.offset) || record.offset < *position {
                    return ControlFlow::Continue(());
                }
                let is_text = |key: &[u8]| std::str::from_utf8(key).is_ok();
                if !record.headers.is_empty() && !record.headers.iter().all(|(key, _)| is_text(key)) {
                    let why = "a header's key is not UTF-8, which no client of Kafka's can send";
                    return ControlFlow::Break(Halt::Record(record.offset, why));
                }
                let headers = record.headers.iter().map(|(key, value)| (std::str::from_utf8(key).unwrap_or(""), value));
                let outgoing =
                    Outgoing { key: record.key, value: record.value, timestamp_ms: Some(record.timestamp_ms) };
                if let Err(error) = sender.send(slot, to, &outgoing, headers) {
                    return ControlFlow::Break(Halt::Cluster(error));
                }
                without_time += u64::from(record.timestamp_ms == 0);
                bytes += record.raw.len() as u64;
                runs::push(sent, record.offset.get());
                *position = record.offset.next();
                ControlFlow::Continue(())
            }),
        };
        fed.bytes += bytes;
        self.sent_bytes += bytes;
        self.without_time += without_time;
        match visited {
            Ok(None) => self.position = next,
            Ok(Some(Halt::Cluster(error))) => return Err(error),
            Ok(Some(Halt::Record(offset, why))) => {
                let text = format!("{name}: the record at offset {offset} is not mirrored: {why}");
                fed.messages.push(Message::error("bad_record", text).of(self.partition.dir()));
                self.state = State::Stopped;
            }
            Err(error) => {
                fed.messages.push(batch.payload_damage(&error, self.position));
                self.state = State::Stopped;
            }
        }
        Ok(Ok(()))
    }
}

fn is_aborted(
    transactions: &mut Transactions<'_>,
    known: &mut Option<(usize, AbortedTxns)>,
    segment: usize,
    frame: &Frame<'_>,
) -> Result<bool, crate::storage::fs::StorageError> {
    if known.as_ref().is_none_or(|(of, _)| *of != segment) {
        *known = Some((segment, transactions.aborted_in(segment)?));
    }
    let base = frame.base_offset().unwrap_or_else(|| frame.last_offset());
    Ok(known.as_ref().is_some_and(|(_, aborted)| aborted.holds(frame.producer_id(), base)))
}
