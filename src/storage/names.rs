//! Names in a log directory: which partition a directory holds, which segment a file belongs to.
//!
//! ```text
//! orders-0                                          live
//! orders-0.a2c9b5a26e87463a856839952763a31e-delete  scheduled for deletion
//! orders-0.a2c9b5a26e87463a856839952763a31e-future  being copied from another log dir
//! orders-0.a2c9b5a26e87463a856839952763a31e-stray   not assigned to this broker
//!   00000000000000001500.log                        segment file, by base offset
//!   00000000000000001500.index.deleted              waiting for its removal
//!   00000000000000001500-0000000003.checkpoint      metadata snapshot, by end offset and epoch
//! ```
//!
//! Names are taken as Kafka takes them (`LocalLog.parseTopicPartitionName`, `LogFileUtils`), including
//! the ones that stop a broker. Nothing here touches a disk.

use std::ffi::OsStr;
use std::fmt;

use thiserror::Error;

use super::java;
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// Longest topic name.
pub const TOPIC_LEN_MAX: usize = 249;
/// Longest name of a `-delete` or `-stray` directory; the topic is cut to fit.
const DIR_NAME_LEN_MAX: usize = 255;

/// What a partition directory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DirKind {
    /// The partition.
    Live,
    /// A deleted partition; a broker removes it.
    Delete,
    /// A copy under construction, to replace the live directory in another log dir.
    Future,
    /// Set aside because the cluster does not assign it to this broker; an operator decides.
    Stray,
}

impl DirKind {
    const SUFFIXED: [DirKind; 3] = [DirKind::Delete, DirKind::Future, DirKind::Stray];

    /// The end of the directory's name; empty for a live one.
    pub const fn suffix(self) -> &'static str {
        match self {
            DirKind::Live => "",
            DirKind::Delete => "-delete",
            DirKind::Future => "-future",
            DirKind::Stray => "-stray",
        }
    }
}

/// A partition directory, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartitionDirName {
    /// The partition. Of a `-delete` or `-stray` directory the topic may be only the first part of the real name.
    pub topic_partition: TopicPartition,
    /// What the directory is for.
    pub kind: DirKind,
    /// What stands between partition and suffix, normally 32 hex digits; `None` for a live directory.
    pub unique_id: Option<String>,
}

/// Why a directory does not hold a partition. A broker refuses to start over any of these.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum PartitionDirError {
    /// Bytes that are no text; Java cannot even name such a directory.
    #[error("name is not UTF-8")]
    NotUtf8,
    /// No dash at all.
    #[error("expected topic-partition, found no \"-\"")]
    NoDash,
    /// A suffix without the rest of its form.
    #[error("expected topic-partition.unique-id{suffix}")]
    SuffixForm {
        /// The suffix found.
        suffix: &'static str,
    },
    /// Nothing before the last dash.
    #[error("expected a topic before the last \"-\"")]
    EmptyTopic,
    /// What follows the last dash is no partition number.
    #[error("expected a partition number after the last \"-\", found \"{found}\"")]
    PartitionNumber {
        /// What is there.
        found: String,
    },
}

impl PartitionDirName {
    /// Takes a directory's name apart. The topic is not checked: see [`check_topic_name`].
    pub fn parse(name: &OsStr) -> Result<Self, PartitionDirError> {
        let name = name.to_str().ok_or(PartitionDirError::NotUtf8)?;
        if !name.contains('-') {
            return Err(PartitionDirError::NoDash);
        }
        let kind = DirKind::SUFFIXED.into_iter().find(|kind| name.ends_with(kind.suffix())).unwrap_or(DirKind::Live);
        let (plain, unique_id) = match name.strip_suffix(kind.suffix()) {
            Some(body) if kind != DirKind::Live => {
                let wrong = PartitionDirError::SuffixForm { suffix: kind.suffix() };
                let (plain, id) = body.rsplit_once('.').ok_or(wrong.clone())?;
                if name.contains(java::is_space) || !has_suffixed_form(body) {
                    return Err(wrong);
                }
                (plain, Some(id.to_owned()))
            }
            _ => (name, None),
        };
        let (topic, partition) = plain.rsplit_once('-').ok_or(PartitionDirError::NoDash)?;
        if topic.is_empty() {
            return Err(PartitionDirError::EmptyTopic);
        }
        let partition =
            partition.parse().map_err(|_| PartitionDirError::PartitionNumber { found: java::clip(partition) })?;
        Ok(PartitionDirName { topic_partition: TopicPartition::new(topic, partition), kind, unique_id })
    }

    /// The name of a live directory.
    pub fn live(topic_partition: TopicPartition) -> Self {
        PartitionDirName { topic_partition, kind: DirKind::Live, unique_id: None }
    }

    /// The name of a directory that is not live; the topic is cut where Kafka cuts it.
    ///
    /// `unique_id` is 32 lower-case hex digits that no other directory uses.
    pub fn suffixed(topic_partition: &TopicPartition, kind: DirKind, unique_id: &str) -> Self {
        let TopicPartition { topic, partition } = topic_partition;
        let rest = format!("-{partition}.{unique_id}{}", kind.suffix()).len();
        let room = match kind {
            DirKind::Delete | DirKind::Stray => DIR_NAME_LEN_MAX.saturating_sub(rest),
            DirKind::Live | DirKind::Future => topic.len(),
        };
        PartitionDirName {
            topic_partition: TopicPartition::new(&topic[..topic.floor_char_boundary(room)], *partition),
            kind,
            unique_id: (kind != DirKind::Live).then(|| unique_id.to_owned()),
        }
    }
}

impl fmt::Display for PartitionDirName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.topic_partition.fmt(f)?;
        match &self.unique_id {
            Some(id) => write!(f, ".{id}{}", self.kind.suffix()),
            None => Ok(()),
        }
    }
}

/// `(\S+)-(\S+)\.(\S+)`, whole: a dash with something before it, later a dot with something around it.
fn has_suffixed_form(body: &str) -> bool {
    let Some(dash) = body.bytes().skip(1).position(|b| b == b'-').map(|at| at + 1) else { return false };
    let dot = body.bytes().rev().skip(1).position(|b| b == b'.').map(|from_end| body.len() - 2 - from_end);
    dot.is_some_and(|dot| dot >= dash + 2)
}

/// Why a topic cannot have this name (`Topic.validate`).
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum TopicNameError {
    /// No name.
    #[error("topic name is empty")]
    Empty,
    /// `.` or `..`, which are directories of their own.
    #[error("topic name cannot be \".\" or \"..\"")]
    Dots,
    /// Too long for a directory name.
    #[error("topic name has {len} characters, at most {TOPIC_LEN_MAX} are allowed")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// A character outside ASCII letters, digits, `.`, `_` and `-`.
    #[error("topic name contains {found:?}; letters, digits, \".\", \"_\" and \"-\" are allowed")]
    Character {
        /// The first such character.
        found: char,
    },
}

/// Whether a topic may have this name.
pub fn check_topic_name(name: &str) -> Result<(), TopicNameError> {
    match name {
        "" => return Err(TopicNameError::Empty),
        "." | ".." => return Err(TopicNameError::Dots),
        _ => {}
    }
    let len = name.encode_utf16().count();
    if len > TOPIC_LEN_MAX {
        return Err(TopicNameError::TooLong { len });
    }
    match name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-')) {
        Some(found) => Err(TopicNameError::Character { found }),
        None => Ok(()),
    }
}

/// What a file of a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SegmentFileKind {
    /// Record batches.
    Log,
    /// Offset index.
    OffsetIndex,
    /// Time index.
    TimeIndex,
    /// Aborted transactions.
    TxnIndex,
    /// Producer state before the offset.
    Snapshot,
}

impl SegmentFileKind {
    /// All of them.
    pub const ALL: [SegmentFileKind; 5] = [
        SegmentFileKind::Log,
        SegmentFileKind::OffsetIndex,
        SegmentFileKind::TimeIndex,
        SegmentFileKind::TxnIndex,
        SegmentFileKind::Snapshot,
    ];

    /// The end of the file's name.
    pub const fn suffix(self) -> &'static str {
        match self {
            SegmentFileKind::Log => ".log",
            SegmentFileKind::OffsetIndex => ".index",
            SegmentFileKind::TimeIndex => ".timeindex",
            SegmentFileKind::TxnIndex => ".txnindex",
            SegmentFileKind::Snapshot => ".snapshot",
        }
    }
}

/// Whether a file is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileState {
    /// In use.
    Live,
    /// Waiting to be removed; a broker removes it at start.
    Deleted,
    /// Unfinished output of the cleaner or of a split; a broker removes it at start.
    Cleaned,
    /// A finished replacement; a broker completes the swap at start.
    Swap,
}

impl FileState {
    const SUFFIXED: [FileState; 3] = [FileState::Deleted, FileState::Cleaned, FileState::Swap];

    /// What is appended to the file's name; empty for a file in use.
    pub const fn suffix(self) -> &'static str {
        match self {
            FileState::Live => "",
            FileState::Deleted => ".deleted",
            FileState::Cleaned => ".cleaned",
            FileState::Swap => ".swap",
        }
    }
}

/// A file of a segment, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentFileName {
    /// Base offset of the segment; of a snapshot the offset it was taken at.
    pub offset: Offset,
    /// What it holds.
    pub kind: SegmentFileKind,
    /// Whether it is in use.
    pub state: FileState,
    /// Whether this is how Kafka spells the offset: 20 digits. Otherwise (`5.log`) a broker takes
    /// the number from this name and then opens the file with the proper name.
    pub is_canonical: bool,
}

impl fmt::Display for SegmentFileName {
    /// The canonical name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", offset_digits(self.offset), self.kind.suffix(), self.state.suffix())
    }
}

/// A segment's file in use, as Kafka names it.
pub fn segment_file_name(base: Offset, kind: SegmentFileKind) -> String {
    SegmentFileName { offset: base, kind, state: FileState::Live, is_canonical: true }.to_string()
}

/// The state of a metadata snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckpointState {
    /// Complete, unless its footer is missing.
    Complete,
    /// Being written when the writer stopped.
    Part,
    /// Waiting to be removed.
    Deleted,
}

/// What a file in a partition directory is, as far as its name tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PartitionFile {
    /// A file of a segment, or a producer snapshot.
    Segment(SegmentFileName),
    /// It ends like a file of a segment, but does not begin with an offset (`copy of 000.log`).
    NotAnOffset {
        /// What it would hold.
        kind: SegmentFileKind,
        /// Whether it would be in use.
        state: FileState,
    },
    /// A snapshot of the cluster's metadata; only in `__cluster_metadata-0`.
    MetadataSnapshot {
        /// Everything below is in it.
        end_offset: Offset,
        /// Leader epoch of the last record in it.
        epoch: LeaderEpoch,
        /// Whether it is complete.
        state: CheckpointState,
    },
    /// `leader-epoch-checkpoint`.
    LeaderEpochs,
    /// `partition.metadata`.
    PartitionMetadata,
    /// `quorum-state`; only in `__cluster_metadata-0`.
    QuorumState,
    /// What a checkpoint writer left behind (`*.tmp`); harmless.
    Temporary,
    /// Nothing of Kafka's; ignored.
    Other,
}

impl PartitionFile {
    /// Tells what a file is. Any name is something; bytes that are not text make no offset.
    pub fn parse(name: &OsStr) -> Self {
        let name = name.to_string_lossy();
        match &*name {
            super::leader_epochs::FILE_NAME => return PartitionFile::LeaderEpochs,
            super::partition_metadata::FILE_NAME => return PartitionFile::PartitionMetadata,
            super::quorum_state::FILE_NAME => return PartitionFile::QuorumState,
            _ if name.ends_with(".tmp") => return PartitionFile::Temporary,
            _ => {}
        }
        metadata_snapshot(&name).or_else(|| segment_file(&name)).unwrap_or(PartitionFile::Other)
    }

    /// Whether a broker that finds the file does not start: it takes the name for a number.
    ///
    /// A `.deleted` file is removed unread.
    pub fn stops_broker(&self) -> bool {
        matches!(self, PartitionFile::NotAnOffset { state, .. } if *state != FileState::Deleted)
    }
}

fn segment_file(name: &str) -> Option<PartitionFile> {
    let state = FileState::SUFFIXED.into_iter().find(|s| name.ends_with(s.suffix())).unwrap_or(FileState::Live);
    let plain = name.strip_suffix(state.suffix())?;
    let kind = SegmentFileKind::ALL.into_iter().find(|kind| plain.ends_with(kind.suffix()))?;
    let (digits, _) = name.split_once('.')?;
    let Ok(offset) = digits.parse() else { return Some(PartitionFile::NotAnOffset { kind, state }) };
    let mut file = SegmentFileName { offset: Offset::new(offset), kind, state, is_canonical: false };
    file.is_canonical = file.to_string() == name;
    Some(PartitionFile::Segment(file))
}

fn metadata_snapshot(name: &str) -> Option<PartitionFile> {
    let (stem, state) = if let Some(stem) = name.strip_suffix(".checkpoint") {
        (stem, CheckpointState::Complete)
    } else if let Some(stem) = name.strip_suffix(".checkpoint.part") {
        (stem, CheckpointState::Part)
    } else {
        (name.strip_suffix(".checkpoint.deleted")?, CheckpointState::Deleted)
    };
    let (end_offset, rest) = stem.split_once('-')?;
    // A temporary name carries a random part: 20-10-random.checkpoint.part.
    let epoch = match rest.split_once('-') {
        Some((epoch, _)) if state == CheckpointState::Part => epoch,
        _ => rest,
    };
    let digits = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(end_offset, 20) || !digits(epoch, 10) {
        return None;
    }
    Some(PartitionFile::MetadataSnapshot {
        end_offset: Offset::new(end_offset.parse().ok()?),
        epoch: LeaderEpoch(epoch.parse().ok()?),
        state,
    })
}

/// An offset as file names spell it (`LogFileUtils.filenamePrefixFromOffset`).
fn offset_digits(offset: Offset) -> String {
    let sign = if offset < Offset::ZERO { "-" } else { "" };
    format!("{sign}{:020}", offset.get().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStrExt;

    /// Recorded from `LocalLog.parseTopicPartitionName` of Kafka 4.3.0.
    #[test]
    fn partition_directories_are_named_as_kafka_reads_them() {
        use DirKind::{Delete, Future, Live, Stray};
        let cases = [
            ("a-0", Some(("a", 0, Live, None))),
            ("a-+5", Some(("a", 5, Live, None))),
            ("a--5", Some(("a-", 5, Live, None))),
            ("a-b-07", Some(("a-b", 7, Live, None))),
            (" -0", Some((" ", 0, Live, None))),
            ("a b-0", Some(("a b", 0, Live, None))),
            ("x-delete-0", Some(("x-delete", 0, Live, None))),
            ("a-0.abc-delete", Some(("a", 0, Delete, Some("abc")))),
            ("a.b-0.x-delete", Some(("a.b", 0, Delete, Some("x")))),
            ("a-0.x-future", Some(("a", 0, Future, Some("x")))),
            ("a-0.1-2-stray", Some(("a", 0, Stray, Some("1-2")))),
            ("a-0.x-y-delete", Some(("a", 0, Delete, Some("x-y")))),
            ("a-0.abc-future-delete", Some(("a", 0, Delete, Some("abc-future")))),
            ("-0", None),
            ("a-", None),
            ("a", None),
            ("", None),
            ("a-0.-delete", None),
            ("a-delete", None),
            ("-delete", None),
            ("a b-0.x-delete", None),
            ("a-x.y-future", None),
            ("a.b-3.c.d-stray", None),
            ("a-2147483648", None),
            ("a.-delete", None),
            ("a-b.-c.d-delete", None),
        ];
        for (name, expected) in cases {
            let found = PartitionDirName::parse(OsStr::new(name));
            let found = found.ok().map(|dir| (dir.topic_partition, dir.kind, dir.unique_id));
            let expected = expected.map(|(t, p, kind, id)| (TopicPartition::new(t, p), kind, id.map(str::to_owned)));
            assert_eq!(found, expected, "{name:?}");
        }
    }

    #[test]
    fn a_refused_directory_says_why() {
        use PartitionDirError as E;
        let cases = [
            ("nodash", E::NoDash),
            ("a-delete", E::SuffixForm { suffix: "-delete" }),
            ("-3", E::EmptyTopic),
            ("a-b", E::PartitionNumber { found: "b".into() }),
        ];
        for (name, expected) in cases {
            assert_eq!(PartitionDirName::parse(OsStr::new(name)), Err(expected), "{name}");
        }
        assert_eq!(PartitionDirName::parse(OsStr::from_bytes(b"a\xff-0")), Err(E::NotUtf8));
    }

    #[test]
    fn a_long_topic_is_cut_to_fit_255_characters_except_in_a_future_directory() {
        let partition = TopicPartition::new("t".repeat(249), 12);
        let id = "a2c9b5a26e87463a856839952763a31e";
        for (kind, len) in [(DirKind::Delete, 255), (DirKind::Stray, 255), (DirKind::Future, 292)] {
            let name = PartitionDirName::suffixed(&partition, kind, id);
            assert_eq!(name.to_string().len(), len, "{kind:?}");
            assert_eq!(PartitionDirName::parse(OsStr::new(&name.to_string())), Ok(name), "{kind:?}");
        }
    }

    #[test]
    fn topic_names() {
        use TopicNameError as E;
        let long = "x".repeat(250);
        let cases = [
            ("a.b_c-9", Ok(())),
            (&long[..249], Ok(())),
            ("...", Ok(())),
            ("", Err(E::Empty)),
            (".", Err(E::Dots)),
            ("..", Err(E::Dots)),
            (&long, Err(E::TooLong { len: 250 })),
            ("a b", Err(E::Character { found: ' ' })),
            ("é", Err(E::Character { found: 'é' })),
        ];
        for (name, expected) in cases {
            assert_eq!(check_topic_name(name), expected, "{name:?}");
        }
    }

    #[test]
    fn files_of_a_partition() {
        use PartitionFile as F;
        use SegmentFileKind::{Log, OffsetIndex, Snapshot, TimeIndex, TxnIndex};
        let segment = |offset, kind, state, is_canonical| {
            F::Segment(SegmentFileName { offset: Offset::new(offset), kind, state, is_canonical })
        };
        let snapshot =
            |end, epoch, state| F::MetadataSnapshot { end_offset: Offset::new(end), epoch: LeaderEpoch(epoch), state };
        let cases = [
            ("00000000000000001500.log", segment(1500, Log, FileState::Live, true)),
            ("00000000000000001500.index", segment(1500, OffsetIndex, FileState::Live, true)),
            ("00000000000000001500.timeindex.deleted", segment(1500, TimeIndex, FileState::Deleted, true)),
            ("00000000000000001500.txnindex.cleaned", segment(1500, TxnIndex, FileState::Cleaned, true)),
            ("00000000000000001500.log.swap", segment(1500, Log, FileState::Swap, true)),
            ("09223372036854775807.snapshot", segment(i64::MAX, Snapshot, FileState::Live, true)),
            ("5.log", segment(5, Log, FileState::Live, false)),
            ("+5.log", segment(5, Log, FileState::Live, false)),
            ("5.copy.log", segment(5, Log, FileState::Live, false)),
            ("000000000000000001500.log", segment(1500, Log, FileState::Live, false)),
            ("copy of 000.log", F::NotAnOffset { kind: Log, state: FileState::Live }),
            (".log", F::NotAnOffset { kind: Log, state: FileState::Live }),
            ("9223372036854775808.log", F::NotAnOffset { kind: Log, state: FileState::Live }),
            ("x.index.deleted", F::NotAnOffset { kind: OffsetIndex, state: FileState::Deleted }),
            ("00000000000000001500-0000000003.checkpoint", snapshot(1500, 3, CheckpointState::Complete)),
            ("00000000000000001500-0000000003-7162.checkpoint.part", snapshot(1500, 3, CheckpointState::Part)),
            ("00000000000000001500-0000000003.checkpoint.deleted", snapshot(1500, 3, CheckpointState::Deleted)),
            ("1500-3.checkpoint", F::Other),
            ("leader-epoch-checkpoint", F::LeaderEpochs),
            ("leader-epoch-checkpoint.tmp", F::Temporary),
            ("partition.metadata", F::PartitionMetadata),
            ("quorum-state", F::QuorumState),
            ("README.txt", F::Other),
            ("", F::Other),
        ];
        for (name, expected) in cases {
            let found = F::parse(OsStr::new(name));
            assert_eq!(found, expected, "{name:?}");
            if let F::Segment(file) = found
                && file.is_canonical
            {
                assert_eq!(file.to_string(), name);
            }
        }
        let odd = F::parse(OsStr::from_bytes(b"\xff.log"));
        assert!(odd.stops_broker(), "{odd:?}");
        assert!(!F::parse(OsStr::new("x.index.deleted")).stops_broker());
    }

    proptest! {
        #[test]
        fn any_name_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let name = OsStr::from_bytes(&bytes);
            let _ = PartitionDirName::parse(name);
            PartitionFile::parse(name);
        }

        #[test]
        fn accepted_directories_round_trip(name in "[a-c.-]{1,9}-[0-9+]{1,3}(\\.[a-c.-]{1,5}-(delete|future|stray))?") {
            if let Ok(dir) = PartitionDirName::parse(OsStr::new(&name)) {
                prop_assert_eq!(PartitionDirName::parse(OsStr::new(&dir.to_string())), Ok(dir));
            }
        }

        #[test]
        fn suffixed_form_is_the_regular_expression(body in "[a-b.-]{0,12}") {
            let pattern = regex::Regex::new(r"^\S+-\S+\.\S+$").unwrap();
            prop_assert_eq!(has_suffixed_form(&body), pattern.is_match(&body));
        }
    }
}
