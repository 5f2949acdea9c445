//! MirrorMaker 2's records of progress (`org.apache.kafka.connect.mirror.OffsetSync`, `Checkpoint`), byte for byte.
//!
//! ```text
//! offset sync   key    topic STRING, partition INT32
//!               value  upstream offset INT64, downstream offset INT64
//! checkpoint    key    group STRING, topic STRING, partition INT32
//!               value  version INT16 (0), upstream offset INT64, downstream offset INT64, metadata STRING
//! ```
//! A STRING is its length, INT16, and its bytes. Our syncs carry more, in headers that MirrorMaker does not look at: the
//! source topic's id, the leader epoch of the last offset, and every run of offsets since the last sync ([`Span`]).

use super::runs::Mapped;
use crate::types::{LeaderEpoch, TopicPartition, Uuid};
use crate::wire::{Reader, WireError, put_varlong};

/// Header with the 16 bytes of the source topic's id.
pub const TOPIC_ID: &str = "logdir.topic.id";
/// Header with the leader epoch of the offset before the upstream offset, INT32.
pub const LEADER_EPOCH: &str = "logdir.leader.epoch";
/// Header with the runs; see [`Span`].
pub const RUNS: &str = "logdir.runs";

/// Runs that one sync tells of; of more, the last ones.
pub const RUNS_MAX: usize = 4096;

/// The topic a mirror's syncs are in.
pub fn syncs_topic(name: &str) -> String {
    format!("mm2-offset-syncs.{name}.internal")
}

/// The topic a mirror's checkpoints are in.
pub fn checkpoints_topic(name: &str) -> String {
    format!("{name}.checkpoints.internal")
}

/// Offsets of a source up to `upstream`, and what became of them.
///
/// Every offset in `from..upstream` that is in no run was not mirrored: it holds no record, or one that was aborted. Of
/// offsets below `from` a span says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The first offset it tells of.
    pub from: i64,
    /// The next offset to be mirrored.
    pub upstream: i64,
    /// One above the last record's offset in the target.
    pub downstream: i64,
    /// In ascending order.
    pub runs: Vec<Mapped>,
}

impl Span {
    /// Where the first mirrored record at or after `offset` is, or will be at the earliest; `None` where it does not tell.
    pub fn translate(&self, offset: i64) -> Option<i64> {
        if offset < self.from || offset > self.upstream {
            return None;
        }
        let at = self.runs.partition_point(|run| run.source_end() <= offset);
        Some(match self.runs.get(at) {
            Some(run) => run.target.saturating_add((offset - run.source).max(0)),
            None => self.downstream,
        })
    }

    /// The value of the header.
    pub fn runs_header(&self) -> Vec<u8> {
        let left_out = self.runs.len().saturating_sub(RUNS_MAX);
        let runs = &self.runs[left_out..];
        let from = if left_out > 0 { runs.first().map_or(self.upstream, |run| run.source) } else { self.from };
        let mut out = Vec::with_capacity(8 + runs.len() * 6);
        put_varlong(&mut out, from);
        let (mut source, mut target) = (from, 0);
        for run in runs {
            put_varlong(&mut out, run.source - source);
            put_varlong(&mut out, run.target - target);
            put_varlong(&mut out, run.count.cast_signed());
            (source, target) = (run.source_end(), run.target_end());
        }
        out
    }

    /// Reads the header's value beside the sync it came with; `None` when it is none of ours.
    fn of_header(value: &[u8], upstream: i64, downstream: i64) -> Option<Span> {
        let mut reader = Reader::new(value);
        let from = reader.varlong().ok()?;
        let (mut source, mut target) = (from, 0_i64);
        let mut runs = Vec::new();
        while reader.remaining() > 0 {
            let run = Mapped {
                source: source.checked_add(reader.varlong().ok()?)?,
                target: target.checked_add(reader.varlong().ok()?)?,
                count: u64::try_from(reader.varlong().ok()?).ok()?,
            };
            (source, target) = (run.source_end(), run.target_end());
            runs.push(run);
        }
        (from <= upstream && source <= upstream).then_some(Span { from, upstream, downstream, runs })
    }
}

/// A record of the syncs' topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetSync {
    /// The partition, of the same name on both sides.
    pub partition: TopicPartition,
    /// What it says. One that MirrorMaker wrote has no runs.
    pub span: Span,
    /// It has a header of ours. MirrorMaker's upstream offset is that of a record which is there, not of the next one.
    pub is_ours: bool,
    /// The source topic's id, where it was known.
    pub topic_id: Option<Uuid>,
    /// The leader epoch of the last offset, where it was known.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl OffsetSync {
    /// The record's key.
    pub fn key(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, &self.partition.topic);
        out.extend_from_slice(&self.partition.partition.to_be_bytes());
        out
    }

    /// The record's value.
    pub fn value(&self) -> Vec<u8> {
        [self.span.upstream.to_be_bytes(), self.span.downstream.to_be_bytes()].concat()
    }

    /// The record's headers.
    pub fn headers(&self) -> Vec<(&'static str, Vec<u8>)> {
        let id = self.topic_id.map(|id| (TOPIC_ID, id.0.to_vec()));
        let epoch = self.leader_epoch.map(|epoch| (LEADER_EPOCH, epoch.0.to_be_bytes().to_vec()));
        [Some((RUNS, self.span.runs_header())), id, epoch].into_iter().flatten().collect()
    }

    /// Reads a record; headers that are not there, or are none of ours, say nothing.
    pub fn parse<'h>(
        key: &[u8],
        value: &[u8],
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) -> Result<OffsetSync, WireError> {
        let mut reader = Reader::new(key);
        let topic = string(&mut reader)?;
        let partition = TopicPartition::new(topic, reader.i32()?);
        let mut reader = Reader::new(value);
        let (upstream, downstream) = (reader.i64()?, reader.i64()?);
        let point = Span { from: upstream, upstream, downstream, runs: Vec::new() };
        let mut sync = OffsetSync { partition, span: point, is_ours: false, topic_id: None, leader_epoch: None };
        for (name, value) in headers {
            let Some(value) = value else { continue };
            match name {
                TOPIC_ID => sync.topic_id = value.try_into().ok().map(Uuid),
                LEADER_EPOCH => {
                    sync.leader_epoch = value.try_into().ok().map(|bytes| LeaderEpoch(i32::from_be_bytes(bytes)));
                }
                RUNS => {
                    if let Some(span) = Span::of_header(value, upstream, downstream) {
                        (sync.span, sync.is_ours) = (span, true);
                    }
                }
                _ => {}
            }
        }
        Ok(sync)
    }
}

/// A group's committed offset, in both clusters' numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The group.
    pub group: String,
    /// The partition, of the same name on both sides.
    pub partition: TopicPartition,
    /// The next offset it reads, in the source.
    pub upstream: i64,
    /// The same in the target.
    pub downstream: i64,
    /// What the client wrote beside it.
    pub metadata: String,
}

impl Checkpoint {
    /// The record's key.
    pub fn key(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, &self.group);
        put_string(&mut out, &self.partition.topic);
        out.extend_from_slice(&self.partition.partition.to_be_bytes());
        out
    }

    /// The record's value.
    pub fn value(&self) -> Vec<u8> {
        let mut out = 0_i16.to_be_bytes().to_vec();
        out.extend_from_slice(&self.upstream.to_be_bytes());
        out.extend_from_slice(&self.downstream.to_be_bytes());
        put_string(&mut out, &self.metadata);
        out
    }

    /// Reads a record.
    pub fn parse(key: &[u8], value: &[u8]) -> Result<Checkpoint, WireError> {
        let mut reader = Reader::new(key);
        let (group, topic) = (string(&mut reader)?, string(&mut reader)?);
        let partition = TopicPartition::new(topic, reader.i32()?);
        let mut reader = Reader::new(value);
        let _version = reader.i16()?;
        let (upstream, downstream) = (reader.i64()?, reader.i64()?);
        Ok(Checkpoint { group, partition, upstream, downstream, metadata: string(&mut reader)? })
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    // Names of topics and groups are shorter by Kafka's own rules; metadata is cut as a broker would refuse it.
    let mut len = text.len().min(i16::MAX as usize);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    let length = i16::try_from(len).unwrap_or(i16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&text.as_bytes()[..len]);
}

fn string(reader: &mut Reader<'_>) -> Result<String, WireError> {
    let len = usize::try_from(reader.i16()?).unwrap_or(0);
    Ok(String::from_utf8_lossy(reader.bytes(len)?).into_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn span(from: i64, upstream: i64, downstream: i64, runs: &[(i64, i64, u64)]) -> Span {
        let runs =
            runs.iter().map(|(source, target, count)| Mapped { source: *source, target: *target, count: *count });
        Span { from, upstream, downstream, runs: runs.collect() }
    }

    fn read(sync: &OffsetSync) -> OffsetSync {
        let headers = sync.headers();
        let headers = headers.iter().map(|(name, value)| (*name, Some(value.as_slice())));
        OffsetSync::parse(&sync.key(), &sync.value(), headers).unwrap()
    }

    #[test]
    fn a_sync_has_the_bytes_of_mirrormaker() {
        let sync = OffsetSync {
            partition: TopicPartition::new("orders", 3),
            span: span(0, 258, 5, &[(0, 0, 5)]),
            is_ours: true,
            topic_id: Some(Uuid([7; 16])),
            leader_epoch: Some(LeaderEpoch(4)),
        };
        assert_eq!(sync.key(), b"\0\x06orders\0\0\0\x03");
        assert_eq!(sync.value(), [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(read(&sync), sync);
        // As MirrorMaker itself writes it.
        let bare = OffsetSync::parse(&sync.key(), &sync.value(), std::iter::empty()).unwrap();
        assert_eq!((bare.span, bare.is_ours), (span(258, 258, 5, &[]), false));
    }

    #[test]
    fn a_checkpoint_has_the_bytes_of_mirrormaker() {
        let checkpoint = Checkpoint {
            group: "g".into(),
            partition: TopicPartition::new("t", 1),
            upstream: 2,
            downstream: 1,
            metadata: "m".into(),
        };
        assert_eq!(checkpoint.key(), b"\0\x01g\0\x01t\0\0\0\x01");
        assert_eq!(checkpoint.value(), b"\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01\0\x01m");
        assert_eq!(Checkpoint::parse(&checkpoint.key(), &checkpoint.value()), Ok(checkpoint.clone()));
        for cut in 0..checkpoint.value().len() {
            assert!(Checkpoint::parse(&checkpoint.key(), &checkpoint.value()[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn the_first_record_at_or_after_an_offset() {
        // 10..13 at 100, nothing at 13..20, 20..22 at 104, nothing at 22..25.
        let span = span(5, 25, 106, &[(10, 100, 3), (20, 104, 2)]);
        let cases = [
            (4, None),
            (5, Some(100)),
            (10, Some(100)),
            (12, Some(102)),
            (13, Some(104)),
            (19, Some(104)),
            (21, Some(105)),
            (22, Some(106)),
            (25, Some(106)),
            (26, None),
        ];
        for (offset, expected) in cases {
            assert_eq!(span.translate(offset), expected, "offset {offset}");
        }
    }

    #[test]
    fn of_too_many_runs_the_last_are_told() {
        let runs: Vec<_> = (0..RUNS_MAX as i64 + 10).map(|n| (n * 2, n, 1)).collect();
        let end = runs.len() as i64;
        let long = span(0, end * 2, end, &runs);
        let read = Span::of_header(&long.runs_header(), long.upstream, long.downstream).unwrap();
        assert_eq!((read.from, read.runs.len()), (20, RUNS_MAX));
        assert_eq!((read.translate(19), read.translate(21)), (None, long.translate(21)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read_or_refused(key: Vec<u8>, value: Vec<u8>, runs: Vec<u8>) {
            let _ = Checkpoint::parse(&key, &value);
            let _ = OffsetSync::parse(&key, &value, [(RUNS, Some(runs.as_slice()))].into_iter());
            if let Some(span) = Span::of_header(&runs, i64::MAX, 0) {
                let _ = span.translate(5);
            }
        }
    }
}
