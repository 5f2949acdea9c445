//! One partition as a stream of batches: where it starts and ends, what of it counts, what is damaged.
//!
//! [`PartitionStream::next`] yields the next batch with something wanted in it. Control batches, aborted
//! transactions and copies are left out here; single records are cut to the range by
//! [`StreamBatch::wanted`]. Damage becomes a [`Message`] and, where the user asked to stop, the end.

use super::{IsolationLevel, OnCorrupt};
use crate::batch::scan::{Damage, Depth, Doubt, Tail};
use crate::batch::{Decompressor, Frame, FrameRecords, PayloadError, RecordRef};
use crate::cli::message::{Message, batch_code, payload_code};
use crate::cli::range::{Bound, OffsetRange};
use crate::cli::record_format::BatchContext;
use crate::storage::evidence::{Contradiction, Evidence};
use crate::storage::fs::StorageError;
use crate::storage::partition::{Notice, Partition};
use crate::storage::reader::{LogReader, ReadStep};
use crate::storage::transactions::{AbortedTxns, Transactions};
use crate::types::{Codec, Offset, Position, TimestampMs, TopicPartition};

/// What is wanted of a partition.
#[derive(Clone, Copy, Debug)]
pub struct StreamOptions {
    /// From where to where.
    pub range: OffsetRange,
    /// Which records of transactions.
    pub isolation: IsolationLevel,
    /// End at the high watermark, where its checkpoint has one.
    pub until_high_watermark: bool,
    /// Control batches too.
    pub control: bool,
    /// What to do at damage.
    pub on_corrupt: OnCorrupt,
    /// Largest batch, on disk and decompressed.
    pub max_batch_bytes: usize,
    /// The log goes on: a torn end is only "not yet".
    pub follow: bool,
    /// Skip segments that were deleted since they were listed; else they end the stream as outdated.
    pub skip_gone: bool,
}

/// A batch with records that are wanted.
#[derive(Debug)]
pub struct StreamBatch<'a> {
    /// The batch.
    pub frame: Frame<'a>,
    /// What its records have in common.
    pub context: BatchContext<'a>,
    /// First offset wanted.
    pub start: Offset,
    /// First offset not wanted any more.
    pub end: Offset,
    /// Where it stands, for messages.
    pub place: Place<'a>,
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The partition.
    pub partition: &'a Partition,
    /// Number of its segment.
    pub segment: usize,
    /// Position in the segment.
    pub position: Position,
}

/// What the records of a batch have in common.
pub fn context_of<'a>(frame: &Frame<'_>, name: &'a TopicPartition) -> BatchContext<'a> {
    BatchContext {
        topic: &name.topic,
        partition: name.partition,
        leader_epoch: frame.leader_epoch(),
        producer_id: frame.producer_id(),
        producer_epoch: frame.producer_epoch(),
        codec: frame.codec().unwrap_or(Codec::None),
        timestamp_type: frame.timestamp_type(),
        transactional: frame.is_transactional(),
        control: frame.is_control(),
    }
}

impl StreamBatch<'_> {
    /// The first offset it may give.
    pub fn first_wanted(&self) -> Offset {
        self.frame.base_offset().unwrap_or(self.start).max(self.start)
    }

    /// Whether a record of this offset lies in the range.
    #[inline]
    pub fn wanted(&self, offset: Offset) -> bool {
        offset >= self.start && offset < self.end
    }

    /// The records; with those outside the range.
    pub fn records<'b>(&'b self, decompressor: &'b mut Decompressor) -> Result<FrameRecords<'b>, PayloadError> {
        self.frame.records(decompressor)
    }

    /// The message about a payload that could not be read from `from` on.
    pub fn payload_damage(&self, error: &PayloadError, from: Offset) -> Message {
        let Place { partition, segment, position } = self.place;
        let last = self.frame.last_offset();
        let base = self.frame.base_offset().unwrap_or(last);
        let text = format!("batch at position {position} (offsets {base}..={last}): {error}");
        Message::error(payload_code(error), text).at(&partition.segments()[segment].log, position, Some(base)).hint(
            match from <= last {
                true => format!("offsets {from}..={last} are not read; the next batch starts above {last}"),
                false => format!("all offsets up to {last} are read; the next batch starts above {last}"),
            },
        )
    }
}

/// Reads what is wanted of one partition.
#[derive(Debug)]
pub struct PartitionStream<'p> {
    partition: &'p Partition,
    options: StreamOptions,
    reader: LogReader<'p>,
    transactions: Transactions<'p>,
    /// First offset of the range.
    range_start: Offset,
    /// First offset still wanted.
    start: Offset,
    /// First offset not wanted; the log's end is found by reading when it is [`Offset::MAX`].
    end: Offset,
    aborted: Option<(usize, AbortedTxns)>,
    evidence: Evidence,
    damaged: bool,
    /// Damage ended it.
    stopped: bool,
    /// The listing it started from is no longer true.
    outdated: bool,
    done: bool,
    /// Offsets that were asked for by number, and are still to be compared with the log's end.
    asked: AskedOffsets,
}

/// The offset that `bound` means in a log of which what lies below `visible` may be read; `None` where no record is that
/// young.
pub(in crate::cli) fn resolve(
    partition: &Partition,
    bound: Bound,
    visible: Offset,
    max_batch_bytes: usize,
) -> Result<Option<Offset>, StorageError> {
    let log_start = partition.log_start();
    let end = || Ok::<_, StorageError>(partition.log_end()?.min(visible));
    let step = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Ok(match bound {
        Bound::LogStart | Bound::Stored => Some(log_start),
        Bound::LogEnd => Some(end()?),
        Bound::At(offset) => Some(offset),
        Bound::FromStart(count) => Some(Offset::new(log_start.get().saturating_add(step(count)))),
        Bound::FromEnd(count) => Some(Offset::new(end()?.get().saturating_sub(step(count))).max(log_start)),
        Bound::Timestamp(at_ms) => {
            partition.find_timestamp(at_ms, log_start, max_batch_bytes)?.map(|(offset, _)| offset)
        }
    })
}

impl<'p> PartitionStream<'p> {
    /// Finds where the range starts and ends; reads no records yet.
    pub fn open(
        partition: &'p Partition,
        options: StreamOptions,
        messages: &mut dyn FnMut(Message),
    ) -> Result<Self, StorageError> {
        let max = options.max_batch_bytes as u64;
        let mut stream = PartitionStream {
            partition,
            options,
            reader: LogReader::new(partition, Depth::Crc, max),
            transactions: Transactions::new(partition),
            range_start: Offset::ZERO,
            start: Offset::ZERO,
            end: Offset::MAX,
            aborted: None,
            // A log that is followed grows, and the files beside it with it.
            evidence: if partition.is_whole() && !options.follow {
                Evidence::of(partition)
            } else {
                Evidence::default()
            },
            damaged: false,
            stopped: false,
            outdated: false,
            done: false,
            asked: AskedOffsets::default(),
        };
        for notice in partition.notices() {
            messages(warning_of(notice));
        }
        let visible = stream.visible_end(messages)?;
        stream.find_end(visible.unwrap_or(Offset::MAX))?;
        stream.find_start(visible.unwrap_or(Offset::MAX), messages)?;
        stream.range_start = stream.start;
        stream.done = stream.start >= stream.end;
        if let Some(visible) = visible {
            stream.compare_with_end(visible, messages);
        }
        if !stream.done {
            stream.reader.seek(stream.start)?;
        }
        stream.pass_on_notices(messages);
        Ok(stream)
    }

    /// The partition.
    pub const fn partition(&self) -> &'p Partition {
        self.partition
    }

    /// Whether damage was met so far.
    pub const fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Whether damage ended it before its end.
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether it ended because segments are gone that were listed: the partition has to be listed again.
    pub const fn is_outdated(&self) -> bool {
        self.outdated
    }

    /// First offset that was not read yet.
    pub const fn position(&self) -> Offset {
        self.start
    }

    /// The first offset that may not be read: high watermark and last stable offset, as the options ask.
    fn visible_end(&mut self, messages: &mut dyn FnMut(Message)) -> Result<Option<Offset>, StorageError> {
        let committed = self.options.isolation == IsolationLevel::ReadCommitted;
        if !committed && !self.options.until_high_watermark {
            return Ok(None);
        }
        let mut end = self.partition.log_end()?;
        if self.options.until_high_watermark {
            match self.partition.high_watermark(end) {
                Some(high_watermark) => end = high_watermark,
                None => messages(
                    Message::warning("out_of_range", "no checkpoint has its high watermark; reading to the log end")
                        .of(self.partition.dir()),
                ),
            }
        }
        if committed {
            end = self.transactions.last_stable(end)?;
        }
        Ok(Some(end))
    }

    fn find_end(&mut self, visible: Offset) -> Result<(), StorageError> {
        self.end = match self.options.range.end {
            Bound::LogEnd | Bound::Stored => visible,
            bound => self.resolve(bound, visible)?.unwrap_or(visible).min(visible),
        };
        Ok(())
    }

    fn find_start(&mut self, visible: Offset, messages: &mut dyn FnMut(Message)) -> Result<(), StorageError> {
        let log_start = self.partition.log_start();
        let asked = match self.options.range.start {
            Bound::LogStart => log_start,
            bound => match self.resolve(bound, visible)? {
                Some(offset) => offset,
                // No record is that young: nothing to read, until one arrives.
                None => self.partition.log_end()?.min(visible),
            },
        };
        if let Bound::At(offset) = self.options.range.start
            && offset < log_start
        {
            let text = format!("offset {offset} is below the log start offset {log_start}; reading from there");
            messages(Message::warning("out_of_range", text).of(self.partition.dir()));
        }
        self.start = asked.max(log_start);
        let number = |bound| match bound {
            Bound::At(offset) => Some(offset),
            _ => None,
        };
        let OffsetRange { start, end } = self.options.range;
        self.asked = AskedOffsets { start: number(start), end: number(end) };
        Ok(())
    }

    fn resolve(&self, bound: Bound, visible: Offset) -> Result<Option<Offset>, StorageError> {
        resolve(self.partition, bound, visible, self.options.max_batch_bytes)
    }

    fn pass_on_notices(&mut self, messages: &mut dyn FnMut(Message)) {
        for notice in self.reader.take_notices().iter().chain(&self.transactions.take_notices()) {
            messages(warning_of(notice));
        }
    }

    /// The next batch with something wanted in it; `None` at the end of the range or of the log.
    ///
    pub fn next(&mut self, messages: &mut dyn FnMut(Message)) -> Result<Option<StreamBatch<'_>>, StorageError> {
        let found = loop {
            if self.done {
                return Ok(None);
            }
            // The reader lends its buffer to the step; what is kept of it is plain numbers.
            let seen = match self.reader.next()? {
                ReadStep::Entry { segment, entry } => {
                    let contradiction = if matches!(entry.doubt, Some(Doubt::OffsetOrder { .. })) {
                        self.evidence.interrupt();
                        None
                    } else {
                        let in_last = segment + 1 == self.partition.segments().len();
                        self.evidence.contradiction(&entry.frame, entry.position, in_last)
                    };
                    Seen::Entry {
                        segment,
                        position: entry.position,
                        doubt: entry.doubt,
                        wanted: Wanted::of(&entry.frame),
                        contradiction,
                    }
                }
                ReadStep::Damage { segment, damage } => {
                    self.evidence.interrupt();
                    Seen::Damage { segment, damage }
                }
                ReadStep::Gone { segment } => Seen::Gone { segment },
                ReadStep::End { segment, position, tail } => Seen::End { segment, position, tail },
            };
            match seen {
                Seen::Entry { segment, position, doubt, wanted, contradiction } => {
                    // Said before the end of the range is looked for: an offset that is too high is beyond it.
                    if let Some(contradiction) = contradiction
                        && wanted.last >= self.start
                    {
                        self.damaged = true;
                        let path = &self.partition.segments()[segment].log;
                        let text = format!("batch at position {position}: {contradiction}");
                        messages(Message::error(contradiction.code(), text).at(path, position, Some(wanted.first)));
                    }
                    if let Some(doubt) = doubt
                        && !self.accept_doubt(segment, position, &wanted, doubt, messages)
                    {
                        continue;
                    }
                    let in_order = !matches!(doubt, Some(Doubt::OffsetOrder { .. }));
                    if in_order && wanted.first >= self.end {
                        self.done = true;
                        return Ok(None);
                    }
                    if wanted.last < self.start && in_order {
                        continue;
                    }
                    let (from, until) = (self.start, self.end);
                    if in_order {
                        self.start = wanted.last.next();
                    }
                    if (wanted.control && !self.options.control) || self.is_aborted(segment, &wanted)? {
                        continue;
                    }
                    break (segment, position, if in_order { from } else { Offset::new(i64::MIN) }, until);
                }
                Seen::Damage { segment, damage } => self.meet_damage(segment, &damage, messages),
                Seen::Gone { segment } if self.options.skip_gone => {
                    let path = &self.partition.segments()[segment].log;
                    let text = "deleted while it was about to be read; its offsets are skipped";
                    messages(Message::warning("not_found", text).of(path));
                }
                Seen::Gone { .. } => {
                    self.outdated = true;
                    self.done = true;
                    return Ok(None);
                }
                Seen::End { segment, position, tail } => {
                    self.meet_end(segment, position, tail, messages);
                    return Ok(None);
                }
            }
        };
        self.pass_on_notices(messages);
        let (segment, position, start, end) = found;
        let Some(frame) = self.reader.current() else { return Ok(None) };
        let context = context_of(&frame, self.partition.topic_partition());
        let place = Place { partition: self.partition, segment, position };
        Ok(Some(StreamBatch { frame, context, start, end, place }))
    }

    /// Says what the payload of the last batch does not give; false when the stream ends there.
    ///
    /// `next` is the first offset behind the batch.
    pub fn meet_bad_payload(&mut self, message: Message, next: Offset, messages: &mut dyn FnMut(Message)) {
        self.damaged = true;
        let stop = self.options.on_corrupt == OnCorrupt::Stop;
        messages(if stop { message.hint(self.how_to_go_on(Some(next))) } else { message });
        self.done |= stop;
        self.stopped |= stop;
    }

    /// Whether something in the log, between the batch that ends below `expected` and the one that starts at
    /// `next`, lies in front of the range: then it is none of the reader's business.
    ///
    /// A whole log has nothing in front of it but what lies below its log start offset.
    fn is_in_front(&self, next: Offset, expected: Option<Offset>) -> bool {
        let whole = self.options.range.start == Bound::LogStart;
        next <= self.range_start && !(whole && expected.is_none_or(|expected| expected >= self.range_start))
    }

    /// Whether an entry out of place is to be read all the same.
    fn accept_doubt(
        &mut self,
        segment: usize,
        position: Position,
        wanted: &Wanted,
        doubt: Doubt,
        messages: &mut dyn FnMut(Message),
    ) -> bool {
        let (next, expected) = match doubt {
            Doubt::OffsetOrder { last, expected, .. } => (last.next().max(expected), expected),
            Doubt::EpochFell { .. } => (wanted.last.next(), wanted.first),
        };
        if self.is_in_front(next, Some(expected)) {
            return false;
        }
        self.damaged = true;
        let path = &self.partition.segments()[segment].log;
        let (code, surplus, harmless) = match doubt {
            Doubt::OffsetOrder { surplus, .. } => ("offset_order", surplus, surplus),
            Doubt::EpochFell { .. } => ("leader_epoch", false, true),
        };
        let left_out = if surplus { "; a copy of what was read before, left out" } else { "" };
        let text = format!("batch at position {position}: {doubt}{left_out}");
        let message = Message::error(code, text).at(path, position, Some(wanted.first));
        if harmless || self.options.on_corrupt == OnCorrupt::Skip {
            messages(message);
            return !surplus;
        }
        messages(message.hint(self.how_to_go_on(Some(next))));
        self.done = true;
        self.stopped = true;
        false
    }

    fn is_aborted(&mut self, segment: usize, wanted: &Wanted) -> Result<bool, StorageError> {
        let Some(producer_id) = wanted.transactional_producer else { return Ok(false) };
        if self.options.isolation == IsolationLevel::ReadUncommitted || wanted.control {
            return Ok(false);
        }
        if self.aborted.as_ref().is_none_or(|(of, _)| *of != segment) {
            self.aborted = Some((segment, self.transactions.aborted_in(segment)?));
        }
        Ok(self.aborted.as_ref().is_some_and(|(_, aborted)| aborted.holds(producer_id, wanted.first)))
    }

    fn meet_damage(&mut self, segment: usize, damage: &Damage, messages: &mut dyn FnMut(Message)) {
        if damage.next.is_some_and(|next| self.is_in_front(next, damage.expected)) {
            return;
        }
        if damage.expected.is_some_and(|expected| expected >= self.end) {
            self.done = true;
            return;
        }
        self.damaged = true;
        let path = &self.partition.segments()[segment].log;
        let bytes = damage.end.get() - damage.position.get();
        let next = damage.next.or_else(|| self.partition.segments().get(segment + 1).map(|segment| segment.base));
        let offsets = match (damage.expected, next) {
            (Some(from), Some(to)) if from < to => format!("offsets {from}..{to} ({bytes} bytes) are not readable"),
            (Some(from), None) => format!("from offset {from} on, {bytes} bytes are not readable"),
            _ => format!("{bytes} bytes are not readable"),
        };
        let text = format!("batch at position {}: {}; {offsets}", damage.position, damage.reason);
        let mut message = Message::error(batch_code(&damage.reason), text).at(path, damage.position, damage.expected);
        if self.options.on_corrupt == OnCorrupt::Stop {
            message = message.hint(self.how_to_go_on(next));
            self.done = true;
            self.stopped = true;
        }
        messages(message);
    }

    fn how_to_go_on(&self, next: Option<Offset>) -> String {
        let dir = self.partition.dir().display();
        match next {
            Some(next) => {
                format!("go on behind it with: logdir consume {dir} -o {next}: (or all of it: --on-corrupt skip)")
            }
            None => "no readable batch follows in this partition".to_owned(),
        }
    }

    fn meet_end(&mut self, segment: Option<usize>, position: Position, tail: Tail, messages: &mut dyn FnMut(Message)) {
        if self.options.follow {
            return;
        }
        self.done = true;
        let Some(segment) = segment else {
            return self.compare_with_end(self.partition.log_start(), messages);
        };
        let path = &self.partition.segments()[segment].log;
        let message = match tail {
            Tail::Clean => None,
            Tail::Torn { bytes, needed } => {
                let of = needed.map(|needed| format!(" of {needed}")).unwrap_or_default();
                let text = format!("position {position} is past the last whole batch (torn write, {bytes}{of} bytes)");
                Some(Message::warning("torn_tail", text))
            }
            Tail::Zeros { bytes } => {
                let text =
                    format!("position {position} is past the last batch ({bytes} zero bytes, preallocated or lost)");
                Some(Message::warning("zero_tail", text))
            }
        };
        if let Some(message) = message {
            messages(message.at(path, position, self.reader.next_offset()));
        }
        if let Some(end) = self.reader.next_offset() {
            self.compare_with_end(end, messages);
        }
    }

    /// Says, once, that the range goes beyond `end`, where what can be read ends. A log that is followed
    /// has no end yet.
    fn compare_with_end(&mut self, end: Offset, messages: &mut dyn FnMut(Message)) {
        let AskedOffsets { start, end: asked_end } = std::mem::take(&mut self.asked);
        if self.options.follow {
            return;
        }
        let text = match (start, asked_end) {
            (Some(start), _) if start > end => format!("offset {start} is above the end, {end}; nothing to read"),
            (_, Some(asked)) if asked > end => format!("offset {asked} is above the end, {end}; reading up to there"),
            _ => return,
        };
        messages(Message::warning("out_of_range", text).of(self.partition.dir()));
    }
}

/// The numbers of a range, as given.
#[derive(Debug, Clone, Copy, Default)]
struct AskedOffsets {
    start: Option<Offset>,
    end: Option<Offset>,
}

/// What is kept of a step once its buffer is given back.
enum Seen {
    Entry {
        segment: usize,
        position: Position,
        doubt: Option<Doubt>,
        wanted: Wanted,
        contradiction: Option<Contradiction>,
    },
    Damage {
        segment: usize,
        damage: Damage,
    },
    Gone {
        segment: usize,
    },
    End {
        segment: Option<usize>,
        position: Position,
        tail: Tail,
    },
}

/// What decides whether a batch is wanted.
struct Wanted {
    first: Offset,
    last: Offset,
    control: bool,
    transactional_producer: Option<crate::types::ProducerId>,
}

impl Wanted {
    fn of(frame: &Frame<'_>) -> Wanted {
        let last = frame.last_offset();
        Wanted {
            first: frame.base_offset().unwrap_or(last),
            last,
            control: frame.is_control(),
            transactional_producer: frame.is_transactional().then(|| frame.producer_id()),
        }
    }
}

fn warning_of(notice: &Notice) -> Message {
    Message::warning("notice", notice.message.clone()).of(&notice.path)
}

/// One record that outlives its batch: for merging partitions.
#[derive(Debug, Default)]
pub struct OwnedRecords {
    bytes: Vec<u8>,
    records: Vec<OwnedRecord>,
}

#[derive(Debug, Clone)]
struct OwnedRecord {
    offset: Offset,
    timestamp_ms: TimestampMs,
    timestamp_type: crate::types::TimestampType,
    sequence: i32,
    key: Option<std::ops::Range<usize>>,
    value: Option<std::ops::Range<usize>>,
    headers: (u32, std::ops::Range<usize>),
}

impl OwnedRecords {
    /// Forgets all records, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    /// Number of records held.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Takes a copy.
    pub fn push(&mut self, record: &RecordRef<'_>) {
        let mut keep = |bytes: &[u8]| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            start..self.bytes.len()
        };
        let (count, headers) = record.headers.parts();
        self.records.push(OwnedRecord {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            timestamp_type: record.timestamp_type,
            sequence: record.sequence,
            key: record.key.map(&mut keep),
            value: record.value.map(&mut keep),
            headers: (count, keep(headers)),
        });
    }

    /// Record number `at`.
    pub fn get(&self, at: usize) -> Option<RecordRef<'_>> {
        let record = self.records.get(at)?;
        let bytes = |range: &std::ops::Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        Some(RecordRef {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            timestamp_type: record.timestamp_type,
            sequence: record.sequence,
            key: record.key.as_ref().map(bytes),
            value: record.value.as_ref().map(bytes),
            headers: crate::batch::Headers::of_parts(record.headers.0, bytes(&record.headers.1)),
            raw: &[],
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// A copy of a partition with several segments, indexes, snapshots and epochs.
    fn copied() -> (tempfile::TempDir, PathBuf) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transactions/data/txn-b-0");
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("txn-b-0");
        std::fs::create_dir(&dir).unwrap();
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            std::fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
        }
        (temp, dir)
    }

    /// What `consume DIR` meets: records printed, whether it ends with 1, and what it says.
    fn consumed(dir: &Path, on_corrupt: OnCorrupt) -> (usize, bool, Vec<Message>) {
        let partition = Partition::open(dir, crate::storage::partition::Checkpoints::default()).unwrap();
        let options = StreamOptions {
            range: OffsetRange::ALL,
            isolation: IsolationLevel::ReadUncommitted,
            until_high_watermark: false,
            control: true,
            on_corrupt,
            max_batch_bytes: 1 << 20,
            follow: false,
            skip_gone: false,
        };
        let mut said = Vec::new();
        let mut decompressor = Decompressor::default();
        let mut stream = PartitionStream::open(&partition, options, &mut |message| said.push(message)).unwrap();
        let mut count = 0;
        while let Some(batch) = stream.next(&mut |message| said.push(message)).unwrap() {
            let records = batch.records(&mut decompressor).unwrap();
            count += records.map_while(Result::ok).filter(|record| batch.wanted(record.offset)).count();
        }
        let damaged = stream.is_damaged();
        (count, damaged, said)
    }

    #[test]
    fn every_flipped_byte_of_the_last_segment_is_reported() {
        let (_temp, dir) = copied();
        let log = dir.join("00000000000000000134.log");
        let sound = std::fs::read(&log).unwrap();
        let (all, damaged, said) = consumed(&dir, OnCorrupt::Skip);
        assert!(all > 100 && !damaged && said.is_empty(), "{all} {said:?}");
        let mut starts = Vec::new();
        let mut at = 0;
        while at < sound.len() {
            starts.push(at);
            at += Frame::parse(&sound[at..]).unwrap().bytes().len();
        }
        let (mut flips, mut silent) = (0, Vec::new());
        for at in 0..sound.len() {
            let start = starts[starts.partition_point(|start| *start <= at) - 1];
            // No checksum covers the first 17 bytes of a batch: there a change may go either way.
            let masks: &[u8] = if at - start < 17 { &[0x55, 0x80, 0x02] } else { &[0x55] };
            for mask in masks {
                let mut bytes = sound.clone();
                bytes[at] ^= mask;
                std::fs::write(&log, &bytes).unwrap();
                let (count, damaged, said) = consumed(&dir, OnCorrupt::Skip);
                assert!(count <= all && count + 8 >= all, "byte {at}, mask {mask:#x}: {count} of {all} records");
                flips += 1;
                if !damaged {
                    silent.push((start == *starts.last().unwrap(), at - start, said));
                }
            }
        }
        println!("{flips} flips, {} silent", silent.len());
        // A length of the last batch that is too large makes it a torn write, which is the end of a log, and said.
        assert!(silent.iter().all(|(last, at, said)| *last && (8..12).contains(at) && !said.is_empty()), "{silent:?}");
    }
}
