//! The numbers and names every layer shares, each with its own type.
//!
//! An offset, a byte position and a timestamp are all 64-bit integers on disk; mixing them up
//! compiles in most languages and corrupts data in all of them.

use std::fmt;

/// Milliseconds since the Unix epoch; `-1` where Kafka stores "no timestamp".
pub type TimestampMs = i64;

/// The value Kafka stores where a batch or message has no timestamp.
pub const NO_TIMESTAMP: TimestampMs = -1;

/// A record's logical address within one partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Offset(i64);

impl Offset {
    /// The first offset a partition can have.
    pub const ZERO: Offset = Offset(0);
    /// Above every offset a log can hold; the exclusive end of "everything".
    pub const MAX: Offset = Offset(i64::MAX);

    /// Any 64-bit value, as read from disk: negative ones are damage, which the caller judges.
    pub const fn new(raw: i64) -> Self {
        Offset(raw)
    }

    /// The stored number.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The offset after this one (wrapping at the end of the range, as Kafka's arithmetic does).
    pub const fn next(self) -> Self {
        Offset(self.0.wrapping_add(1))
    }

    /// `self + delta`, wrapping as Java's `long` does.
    pub const fn plus(self, delta: i64) -> Self {
        Offset(self.0.wrapping_add(delta))
    }

    /// Distance from `base`, as index entries store it.
    ///
    /// `None` when `self` is below `base` or the distance does not fit in 31 bits.
    /// The second case is why a segment may roll before it is full.
    pub fn relative_to(self, base: Offset) -> Option<u32> {
        let distance = self.0.checked_sub(base.0)?;
        u32::try_from(distance).ok().filter(|d| *d <= i32::MAX as u32)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A byte address inside one segment's `.log` file.
///
/// Kafka's own are below 2 GiB; wider here because a damaged or foreign file may be longer and
/// must still be readable to its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position(u64);

impl Position {
    /// The start of the file.
    pub const ZERO: Position = Position(0);

    /// A byte address.
    pub const fn new(raw: u64) -> Self {
        Position(raw)
    }

    /// The address as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The address `bytes` further on.
    pub const fn plus(self, bytes: u64) -> Self {
        Position(self.0.saturating_add(bytes))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a partition's leadership; `-1` where none was recorded (messages before magic 2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeaderEpoch(pub i32);

impl LeaderEpoch {
    /// No leader epoch recorded.
    pub const NONE: LeaderEpoch = LeaderEpoch(-1);
}

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identity of an idempotent or transactional producer; `-1` where there is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProducerId(pub i64);

impl ProducerId {
    /// Written without idempotence.
    pub const NONE: ProducerId = ProducerId(-1);

    /// Whether a producer is named at all.
    pub const fn is_some(self) -> bool {
        self.0 >= 0
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which clock a batch's timestamps come from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TimestampType {
    /// Magic 0: there are no timestamps.
    None,
    /// Set by the producer.
    Create,
    /// Set by the leader when it appended; every record of a batch carries the same one.
    LogAppend,
}

impl TimestampType {
    /// Kafka's name, as its tools print it (`TimestampType.toString`).
    pub const fn kafka_name(self) -> &'static str {
        match self {
            TimestampType::None => "NoTimestampType",
            TimestampType::Create => "CreateTime",
            TimestampType::LogAppend => "LogAppendTime",
        }
    }

    /// The word used in JSON output; `None` for magic 0.
    pub const fn json_name(self) -> Option<&'static str> {
        match self {
            TimestampType::None => None,
            TimestampType::Create => Some("create"),
            TimestampType::LogAppend => Some("log_append"),
        }
    }
}

/// How a batch's records are compressed (`CompressionType`), by the id stored in the attributes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Codec {
    /// Stored as they are.
    None,
    /// RFC 1952.
    Gzip,
    /// Raw or in snappy-java's framing.
    Snappy,
    /// LZ4 frame format, within Kafka's limits.
    Lz4,
    /// RFC 8878; magic 2 only.
    Zstd,
}

impl Codec {
    /// All of them, by id.
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec with this id; `None` for 5 to 7, which the three bits can hold but Kafka never assigned.
    pub fn from_id(id: u8) -> Option<Codec> {
        Codec::ALL.get(usize::from(id)).copied()
    }

    /// The id stored in the attributes.
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// Kafka's name (`compression.type`).
    pub const fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One partition of one topic, as a directory name and a checkpoint line name it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct TopicPartition {
    /// Topic name.
    pub topic: String,
    /// Partition number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names partition `partition` of `topic`.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        TopicPartition { topic: topic.into(), partition }
    }

    /// Whether Kafka reserves the topic for itself (`__consumer_offsets`, `__transaction_state` ...).
    ///
    /// The rule here is the two leading underscores: it also covers `__cluster_metadata` and
    /// `__remote_log_metadata`, which `Topic.isInternal` leaves out.
    pub fn is_internal(&self) -> bool {
        is_internal_topic(&self.topic)
    }
}

/// Whether a topic is Kafka's own: see [`TopicPartition::is_internal`].
pub fn is_internal_topic(topic: &str) -> bool {
    topic.starts_with("__")
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

const BASE64_DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A topic or directory id: 16 bytes, written as URL-safe base64 without padding (22 characters).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// All zero: "no id".
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// Whether no topic has it: zero, or one, which is that of `__cluster_metadata` (`Uuid.RESERVED`).
    pub const fn is_reserved(&self) -> bool {
        u128::from_be_bytes(self.0) <= 1
    }

    /// Parses Kafka's text form (`Uuid.fromString`); `None` when it is not 16 bytes of URL-safe base64.
    ///
    /// As in Java the padding, `==`, may be there, and the last four bits, which belong to no byte, may be anything.
    pub fn parse(text: &str) -> Option<Uuid> {
        let bare = text.strip_suffix("==").unwrap_or(text).as_bytes();
        // 22 digits of 6 bits each are 4 bits more than 16 bytes; a strict decoder wants those zero.
        let (last, rest) = bare.split_last()?;
        let digit = BASE64_DIGITS.iter().position(|d| d == last)?;
        let mut strict = [0; 22];
        let (end, start) = strict.split_last_mut()?;
        start.copy_from_slice(Some(rest).filter(|rest| rest.len() == start.len())?);
        *end = *BASE64_DIGITS.get(digit & !0xf)?;
        let bytes = data_encoding::BASE64URL_NOPAD.decode(&strict).ok()?;
        Some(Uuid(bytes.try_into().ok()?))
    }
}

impl Uuid {
    /// The two halves, as Java's signed numbers.
    fn java_halves(&self) -> (i64, i64) {
        let bits = u128::from_be_bytes(self.0);
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let low = bits as u64;
        (((bits >> 64) as u64).cast_signed(), low.cast_signed())
    }

    /// Java's hash of it (`Uuid.hashCode`).
    pub fn java_hash(&self) -> i32 {
        let (high, low) = self.java_halves();
        let mixed = (high ^ low).cast_unsigned();
        #[expect(clippy::cast_possible_truncation, reason = "the lower half of the two")]
        let hash = (mixed >> 32 ^ mixed) as u32;
        hash.cast_signed()
    }

    /// Java's order (`Uuid.compareTo`): an id whose first bit is set comes before one whose is not.
    pub fn java_cmp(&self, other: &Uuid) -> std::cmp::Ordering {
        self.java_halves().cmp(&other.java_halves())
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Java 17 printed them.
    #[test]
    fn ids_have_javas_hash_and_order() {
        let high = Uuid::parse("lASGAB4TD34nJigWPIg4NA").unwrap();
        let low = Uuid::parse("AYLOL4NByBpGA2HAP5yH0g").unwrap();
        assert_eq!(high.java_hash(), -1_850_107_556);
        assert_eq!(high.java_cmp(&low), std::cmp::Ordering::Less, "its first bit is set");
        assert!(high > low, "bytes compare the other way");
    }

    #[test]
    fn relative_offset_fits_31_bits_or_is_refused() {
        let base = Offset::new(1_000);
        let cases = [
            (1_000, Some(0)),
            (1_005, Some(5)),
            (999, None),
            (1_000 + i64::from(i32::MAX), Some(i32::MAX as u32)),
            (1_001 + i64::from(i32::MAX), None),
            (i64::MIN, None),
        ];
        for (raw, expected) in cases {
            assert_eq!(Offset::new(raw).relative_to(base), expected, "offset {raw}");
        }
    }

    #[test]
    fn uuid_text_round_trips_and_rejects_other_lengths() {
        let id = Uuid::parse("Rxb6TNYpQwKP9QAa-GboDQ").expect("a topic id from a real directory");
        assert_eq!(id.to_string(), "Rxb6TNYpQwKP9QAa-GboDQ");
        for same in ["Rxb6TNYpQwKP9QAa-GboDQ==", "Rxb6TNYpQwKP9QAa-GboDR"] {
            assert_eq!(Uuid::parse(same), Some(id), "{same}");
        }
        let bad = ["", "abc", "Rxb6TNYpQwKP9QAa+GboDQ", "Rxb6TNYpQwKP9QAa-GboDQAA", "Rxb6TNYpQwKP9QAa-GboDQ=", "=="];
        for bad in bad {
            assert_eq!(Uuid::parse(bad), None, "{bad}");
        }
    }
}
