//! The offset grammar of `-o`: where a read starts and ends, by offset, by count or by time.
//!
//! ```text
//!  start beginning earliest      log start -> log end      end latest     log end -> log end
//!  stored                        committed -> log end      N   N:         N -> log end
//!  N:M   :M   N:+K               N -> M, start -> M, N -> N+K
//!  -N    -N:-M                   last N; last N without the last M        +N   all but the first N
//!  @T    @T1:T2   @:T            by timestamp               s@MS e@MS     kcat's, as two options
//!  P=RANGE  P,Q-R=RANGE          the same for some partitions only
//! ```
//!
//! Ends are exclusive. Pure: "now", which durations count back from, is an argument. What an offset
//! outside the log means is left to the reader of the log.

use std::ops::RangeInclusive;

use jiff::civil;
use jiff::tz::TimeZone;
use thiserror::Error;

use crate::types::{Offset, TimestampMs};

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The log start offset.
    LogStart,
    /// The log end offset (or the high watermark, or the last stable offset: whatever the read ends at).
    LogEnd,
    /// The group's committed offset.
    Stored,
    /// This offset.
    At(Offset),
    /// This many offsets after the log start.
    FromStart(u64),
    /// This many offsets before the log end.
    FromEnd(u64),
    /// The first record whose timestamp is this or later.
    Timestamp(TimestampMs),
}

/// From `start` up to, and without, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// First offset wanted.
    pub start: Bound,
    /// First offset not wanted.
    pub end: Bound,
}

impl OffsetRange {
    /// The whole log.
    pub const ALL: OffsetRange = OffsetRange { start: Bound::LogStart, end: Bound::LogEnd };

    /// Whether an end of it counts from the log's start or end.
    pub fn is_counted(&self) -> bool {
        let counted = |bound| matches!(bound, Bound::FromStart(_) | Bound::FromEnd(_));
        counted(self.start) || counted(self.end) || self.start == Bound::LogEnd
    }

    /// Whether the range has no end of its own, so that `--follow` may go on past the log end.
    pub fn is_open(&self) -> bool {
        self.end == Bound::LogEnd
    }
}

/// Why a text is not a range.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum RangeError {
    /// Nothing was given.
    #[error("a range is empty; expected an offset, START:END, -N, +N, @TIME, start or end")]
    Empty,
    /// Not a form of the grammar.
    #[error("'{0}' is not an offset; expected N, N:M, -N, +N, @TIME, start or end")]
    NotAnOffset(String),
    /// Not a form of time.
    #[error(
        "'{0}' is not a time; expected 13 digits (ms), 10 digits (s), 2026-11-22, 2026-11-22T10:00:00Z or -1h back from now"
    )]
    NotATime(String),
    /// A timestamp in digits whose unit cannot be told.
    #[error("the time '{0}' has {1} digits; milliseconds have 13, seconds have 10")]
    Digits(String, usize),
    /// A duration that says neither "before now" nor "after the start".
    #[error("the duration '{0}' needs a sign here: -{0} counts back from now")]
    Unsigned(String),
    /// A number that does not fit.
    #[error("{0} does not fit in 63 bits")]
    TooLarge(String),
    /// The ends are the wrong way round.
    #[error("the end ({end}) is before the start ({start})")]
    Reversed {
        /// Start as written.
        start: String,
        /// End as written.
        end: String,
    },
    /// `+N` after a start it cannot be added to.
    #[error("the end '{0}' counts from a start offset; write START:{0} with a number before it")]
    RelativeEnd(String),
    /// `stored` as an end.
    #[error("'stored' can only be a start")]
    StoredEnd,
    /// The part before `=` is not a list of partitions.
    #[error("{0}")]
    Partitions(#[from] PartitionsError),
    /// Two ranges for the same partitions.
    #[error("{what} is given twice")]
    Twice {
        /// Which one.
        what: String,
    },
}

/// Partitions by number: `0,3-5`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Partitions(Vec<RangeInclusive<i32>>);

/// Why a text is not a list of partitions.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum PartitionsError {
    /// Not a number, or not one a partition can have.
    #[error("'{0}' is not a partition; expected numbers and ranges, such as 0,3-5")]
    NotAPartition(String),
    /// The ends are the wrong way round.
    #[error("the range '{0}' ends before it starts")]
    Reversed(String),
}

impl Partitions {
    /// Reads `0,3-5`.
    pub fn parse(text: &str) -> Result<Partitions, PartitionsError> {
        let number = |part: &str, whole: &str| {
            part.parse::<i32>()
                .ok()
                .filter(|n| *n >= 0 && part.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(|| PartitionsError::NotAPartition(whole.to_owned()))
        };
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let part = part.trim();
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = number(first, part)?..=number(last, part)?;
            if range.is_empty() {
                return Err(PartitionsError::Reversed(part.to_owned()));
            }
            ranges.push(range);
        }
        Ok(Partitions(ranges))
    }

    /// Whether partition `partition` is named.
    pub fn contains(&self, partition: i32) -> bool {
        self.0.iter().any(|range| range.contains(&partition))
    }

    /// The ranges, as written.
    pub fn ranges(&self) -> &[RangeInclusive<i32>] {
        &self.0
    }
}

/// One `-o` as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetArg {
    /// For these partitions only; `None`: for those no other `-o` names.
    pub partitions: Option<Partitions>,
    /// What it says of the range.
    pub part: RangePart,
    text: String,
}

/// What one `-o` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangePart {
    /// Both ends.
    Whole(OffsetRange),
    /// kcat's `s@MS`: the start.
    Start(TimestampMs),
    /// kcat's `e@MS`: the end.
    End(TimestampMs),
}

/// Reads one `-o`. Durations count back from `now_ms`.
pub fn parse(text: &str, now_ms: TimestampMs) -> Result<OffsetArg, RangeError> {
    let (partitions, range) = match text.split_once('=') {
        Some((list, range)) => (Some(Partitions::parse(list)?), range),
        None => (None, text),
    };
    Ok(OffsetArg { partitions, part: parse_part(range, now_ms)?, text: text.to_owned() })
}

fn parse_part(text: &str, now_ms: TimestampMs) -> Result<RangePart, RangeError> {
    let kcat = |ms: &str| {
        let digits = !ms.is_empty() && ms.bytes().all(|b| b.is_ascii_digit());
        if !digits {
            return Err(RangeError::NotATime(ms.to_owned()));
        }
        ms.parse::<i64>().map_err(|_| RangeError::TooLarge(ms.to_owned()))
    };
    if let Some(ms) = text.strip_prefix("s@") {
        return Ok(RangePart::Start(kcat(ms)?));
    }
    if let Some(ms) = text.strip_prefix("e@") {
        return Ok(RangePart::End(kcat(ms)?));
    }
    let range = match text.strip_prefix('@') {
        Some(times) => parse_times(times, now_ms)?,
        None => parse_offsets(text)?,
    };
    Ok(RangePart::Whole(range))
}

fn parse_offsets(text: &str) -> Result<OffsetRange, RangeError> {
    if text.is_empty() || text == ":" {
        return Err(RangeError::Empty);
    }
    let Some((first, last)) = text.split_once(':') else {
        return Ok(OffsetRange { start: parse_bound(text)?, end: Bound::LogEnd });
    };
    let start = if first.is_empty() { Bound::LogStart } else { parse_bound(first)? };
    let end = if last.is_empty() { Bound::LogEnd } else { parse_bound(last)? };
    let end = match (start, end) {
        (_, Bound::Stored) => return Err(RangeError::StoredEnd),
        (Bound::At(base), Bound::FromStart(count)) => {
            let count = i64::try_from(count).map_err(|_| RangeError::TooLarge(last.to_owned()))?;
            let end = base.get().checked_add(count).ok_or_else(|| RangeError::TooLarge(last.to_owned()))?;
            Bound::At(Offset::new(end))
        }
        (Bound::LogStart, end @ Bound::FromStart(_)) => end,
        (_, Bound::FromStart(_)) => return Err(RangeError::RelativeEnd(last.to_owned())),
        (_, end) => end,
    };
    let reversed = match (start, end) {
        (Bound::At(start), Bound::At(end)) => end < start,
        (Bound::FromEnd(start), Bound::FromEnd(end)) => end > start,
        (Bound::LogEnd, Bound::LogStart | Bound::FromStart(_) | Bound::FromEnd(_)) => true,
        _ => false,
    };
    if reversed {
        return Err(RangeError::Reversed { start: first.to_owned(), end: last.to_owned() });
    }
    Ok(OffsetRange { start, end })
}

fn parse_bound(text: &str) -> Result<Bound, RangeError> {
    let number = |digits: &str| -> Result<i64, RangeError> {
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(RangeError::NotAnOffset(text.to_owned()));
        }
        digits.parse().map_err(|_| RangeError::TooLarge(text.to_owned()))
    };
    Ok(match text {
        "start" | "beginning" | "earliest" => Bound::LogStart,
        "end" | "latest" => Bound::LogEnd,
        "stored" => Bound::Stored,
        _ => match text.split_at_checked(1) {
            Some(("-", digits)) => Bound::FromEnd(number(digits)?.unsigned_abs()),
            Some(("+", digits)) => Bound::FromStart(number(digits)?.unsigned_abs()),
            _ => Bound::At(Offset::new(number(text)?)),
        },
    })
}

/// `T`, `T1:T2`, `:T`, `T:`. Times hold colons of their own, so each colon is tried as the divider.
fn parse_times(text: &str, now_ms: TimestampMs) -> Result<OffsetRange, RangeError> {
    if text.is_empty() || text == ":" {
        return Err(RangeError::Empty);
    }
    let whole = parse_time(text, now_ms);
    if let Ok(start) = whole {
        return Ok(OffsetRange { start: Bound::Timestamp(start), end: Bound::LogEnd });
    }
    let mut first_error = None;
    for (at, _) in text.match_indices(':') {
        let (first, last) = (&text[..at], &text[at + 1..]);
        match parse_time_pair(first, last, now_ms) {
            Ok(range) => return Ok(range),
            Err(error @ RangeError::Reversed { .. }) => return Err(error),
            // Only a divider after a sound start says which of the times is wrong.
            Err(error) if first.is_empty() || parse_time(first, now_ms).is_ok() => {
                first_error = first_error.or(Some(error));
            }
            Err(_) => {}
        }
    }
    match (first_error, whole) {
        (Some(error), _) | (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(RangeError::Empty),
    }
}

fn parse_time_pair(first: &str, last: &str, now_ms: TimestampMs) -> Result<OffsetRange, RangeError> {
    let start = if first.is_empty() { None } else { Some(parse_time(first, now_ms)?) };
    let end = match (last, start) {
        ("" | "end" | "latest", _) => None,
        (_, Some(start)) => match parse_duration(last.strip_prefix('+').unwrap_or(last)) {
            Some(span) => Some(start.checked_add(span).ok_or_else(|| RangeError::TooLarge(last.to_owned()))?),
            None => Some(parse_time(last, now_ms)?),
        },
        (_, None) => Some(parse_time(last, now_ms)?),
    };
    if let (Some(from), Some(to)) = (start, end)
        && to < from
    {
        return Err(RangeError::Reversed { start: first.to_owned(), end: last.to_owned() });
    }
    Ok(OffsetRange {
        start: start.map_or(Bound::LogStart, Bound::Timestamp),
        end: end.map_or(Bound::LogEnd, Bound::Timestamp),
    })
}

/// One point in time, in ms since the epoch.
///
/// 13 digits are milliseconds and 10 are seconds; dates and RFC 3339 without a zone are UTC; a negative
/// duration counts back from `now_ms`.
pub fn parse_time(text: &str, now_ms: TimestampMs) -> Result<TimestampMs, RangeError> {
    let bad = || RangeError::NotATime(text.to_owned());
    if text == "now" {
        return Ok(now_ms);
    }
    if let Some(span) = text.strip_prefix('-') {
        let span = parse_duration(span).ok_or_else(bad)?;
        return now_ms.checked_sub(span).ok_or_else(|| RangeError::TooLarge(text.to_owned()));
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return match (text.len(), text.parse::<i64>()) {
            (13, Ok(ms)) => Ok(ms),
            (10, Ok(seconds)) => Ok(seconds * 1_000),
            _ => Err(RangeError::Digits(text.to_owned(), text.len())),
        };
    }
    if parse_duration(text).is_some() {
        return Err(RangeError::Unsigned(text.to_owned()));
    }
    // A date before anything else of jiff's: "T10" and "10:00" alone are not times of any day.
    if !text.as_bytes().first().is_some_and(u8::is_ascii_digit) || text.as_bytes().get(4) != Some(&b'-') {
        return Err(bad());
    }
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Ok(timestamp.as_millisecond());
    }
    let civil = text
        .parse::<civil::DateTime>()
        .or_else(|_| text.parse::<civil::Date>().map(|date| date.to_datetime(civil::Time::midnight())))
        .map_err(|_| bad())?;
    Ok(TimeZone::UTC.to_timestamp(civil).map_err(|_| bad())?.as_millisecond())
}

/// `90s`, `500ms`, `10m`, `1h30m`, `1d`, `2w`: whole numbers with units, in ms; `None` for anything else.
pub fn parse_duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let scale: i64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(scale)?)?;
        rest = tail;
    }
    Some(total)
}

/// All `-o` of a command line: a default and exceptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offsets {
    default: OffsetRange,
    given: bool,
    exceptions: Vec<(Partitions, OffsetRange)>,
}

impl Default for Offsets {
    fn default() -> Self {
        Offsets { default: OffsetRange::ALL, given: false, exceptions: Vec::new() }
    }
}

impl Offsets {
    /// Puts the options together; `s@` and `e@` for the same partitions complete each other.
    pub fn new(args: &[OffsetArg]) -> Result<Offsets, RangeError> {
        type Group<'a> = (Option<&'a Partitions>, Option<Bound>, Option<Bound>);
        let mut groups: Vec<Group<'_>> = Vec::new();
        for arg in args {
            let partitions = arg.partitions.as_ref();
            let (start, end) = match arg.part {
                RangePart::Whole(range) => (Some(range.start), Some(range.end)),
                RangePart::Start(ms) => (Some(Bound::Timestamp(ms)), None),
                RangePart::End(ms) => (None, Some(Bound::Timestamp(ms))),
            };
            let twice = || RangeError::Twice { what: format!("the range '{}'", arg.text) };
            match groups.iter_mut().find(|group| group.0 == partitions) {
                None => groups.push((partitions, start, end)),
                Some(group) => {
                    if (start.is_some() && group.1.is_some()) || (end.is_some() && group.2.is_some()) {
                        return Err(twice());
                    }
                    group.1 = group.1.or(start);
                    group.2 = group.2.or(end);
                }
            }
        }
        let mut offsets = Offsets { given: !args.is_empty(), ..Offsets::default() };
        for (partitions, start, end) in groups {
            let range = OffsetRange { start: start.unwrap_or(Bound::LogStart), end: end.unwrap_or(Bound::LogEnd) };
            if let (Bound::Timestamp(from), Bound::Timestamp(to)) = (range.start, range.end)
                && to < from
            {
                return Err(RangeError::Reversed { start: from.to_string(), end: to.to_string() });
            }
            match partitions {
                None => offsets.default = range,
                Some(partitions) => offsets.exceptions.push((partitions.clone(), range)),
            }
        }
        Ok(offsets)
    }

    /// The range to read of partition `partition`: the first exception that names it, else the default.
    pub fn for_partition(&self, partition: i32) -> OffsetRange {
        let exception = self.exceptions.iter().find(|(partitions, _)| partitions.contains(partition));
        exception.map_or(self.default, |(_, range)| *range)
    }

    /// Whether any `-o` was given.
    pub fn is_given(&self) -> bool {
        self.given
    }

    /// Every range that some partition may get.
    pub fn ranges(&self) -> impl Iterator<Item = OffsetRange> + '_ {
        std::iter::once(self.default).chain(self.exceptions.iter().map(|(_, range)| *range))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_760_000_000_000; // 2025-10-09T08:53:20Z

    fn range(text: &str) -> Result<OffsetRange, RangeError> {
        Offsets::new(&[parse(text, NOW)?]).map(|offsets| offsets.for_partition(0))
    }

    #[test]
    fn every_form_of_the_grammar_is_read() {
        use Bound::*;
        let at = |n| At(Offset::new(n));
        let cases = [
            ("start", LogStart, LogEnd),
            ("beginning", LogStart, LogEnd),
            ("earliest", LogStart, LogEnd),
            ("end", LogEnd, LogEnd),
            ("latest", LogEnd, LogEnd),
            ("stored", Stored, LogEnd),
            ("5", at(5), LogEnd),
            ("5:", at(5), LogEnd),
            ("5:end", at(5), LogEnd),
            ("5:10", at(5), at(10)),
            ("5:5", at(5), at(5)),
            ("5:+10", at(5), at(15)),
            (":10", LogStart, at(10)),
            ("start:10", LogStart, at(10)),
            (":+10", LogStart, FromStart(10)),
            ("-10", FromEnd(10), LogEnd),
            ("-10:-5", FromEnd(10), FromEnd(5)),
            ("100:-5", at(100), FromEnd(5)),
            ("+10", FromStart(10), LogEnd),
            ("9223372036854775807", at(i64::MAX), LogEnd),
            ("@1759990000000", Timestamp(1_759_990_000_000), LogEnd),
            ("@1759990000", Timestamp(1_759_990_000_000), LogEnd),
            ("@2025-10-09", Timestamp(1_759_968_000_000), LogEnd),
            ("@2025-10-09T08:53:20", Timestamp(NOW), LogEnd),
            ("@2025-10-09T08:53", Timestamp(NOW - 20_000), LogEnd),
            ("@2025-10-09 08:53:20.148Z", Timestamp(NOW + 148), LogEnd),
            ("@2025-10-09T10:53:20+02:00", Timestamp(NOW), LogEnd),
            ("@now", Timestamp(NOW), LogEnd),
            ("@-1h", Timestamp(NOW - 3_600_000), LogEnd),
            ("@-1h30m", Timestamp(NOW - 5_400_000), LogEnd),
            ("@-1h:10m", Timestamp(NOW - 3_600_000), Timestamp(NOW - 3_000_000)),
            ("@-1h:+10m", Timestamp(NOW - 3_600_000), Timestamp(NOW - 3_000_000)),
            ("@-1h:-30m", Timestamp(NOW - 3_600_000), Timestamp(NOW - 1_800_000)),
            ("@:-30m", LogStart, Timestamp(NOW - 1_800_000)),
            ("@-1d:", Timestamp(NOW - 86_400_000), LogEnd),
            ("@-90s:end", Timestamp(NOW - 90_000), LogEnd),
            ("@-500ms", Timestamp(NOW - 500), LogEnd),
            ("@1759990000000:1759990000500", Timestamp(1_759_990_000_000), Timestamp(1_759_990_000_500)),
            ("@2025-10-09T08:53:20:2025-10-09T08:53:21Z", Timestamp(NOW), Timestamp(NOW + 1_000)),
            ("@2025-10-09T10:53:20+02:00:1s", Timestamp(NOW), Timestamp(NOW + 1_000)),
            ("@2025-10-08:2025-10-09", Timestamp(1_759_881_600_000), Timestamp(1_759_968_000_000)),
            ("s@123", Timestamp(123), LogEnd),
            ("e@123", LogStart, Timestamp(123)),
        ];
        for (text, start, end) in cases {
            assert_eq!(range(text), Ok(OffsetRange { start, end }), "{text}");
        }
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let cases = [
            ("", "a range is empty; expected an offset, START:END, -N, +N, @TIME, start or end"),
            (":", "a range is empty; expected an offset, START:END, -N, +N, @TIME, start or end"),
            ("@", "a range is empty; expected an offset, START:END, -N, +N, @TIME, start or end"),
            ("10:5", "the end (5) is before the start (10)"),
            ("-5:-10", "the end (-10) is before the start (-5)"),
            ("end:-5", "the end (-5) is before the start (end)"),
            ("@-1h:-2h", "the end (-2h) is before the start (-1h)"),
            ("ten", "'ten' is not an offset; expected N, N:M, -N, +N, @TIME, start or end"),
            ("-", "'-' is not an offset; expected N, N:M, -N, +N, @TIME, start or end"),
            ("1:2:3", "'2:3' is not an offset; expected N, N:M, -N, +N, @TIME, start or end"),
            ("9223372036854775808", "9223372036854775808 does not fit in 63 bits"),
            ("@12345", "the time '12345' has 5 digits; milliseconds have 13, seconds have 10"),
            ("@1h", "the duration '1h' needs a sign here: -1h counts back from now"),
            ("-10:+5", "the end '+5' counts from a start offset; write START:+5 with a number before it"),
            ("5:stored", "'stored' can only be a start"),
            ("x=5", "'x' is not a partition; expected numbers and ranges, such as 0,3-5"),
            ("5-3=7", "the range '5-3' ends before it starts"),
        ];
        for (text, expected) in cases {
            assert_eq!(range(text).unwrap_err().to_string(), expected, "{text}");
        }
        for text in ["@yesterday", "@10:00", "@2025-13-09", "@-1y", "s@", "s@-5", "e@x"] {
            assert!(matches!(range(text), Err(RangeError::NotATime(_))), "{text}: {:?}", range(text));
        }
    }

    #[test]
    fn ranges_differ_by_partition_and_kcats_two_ends_make_one() {
        let parse_all = |texts: &[&str]| {
            let args: Result<Vec<_>, _> = texts.iter().map(|text| parse(text, NOW)).collect();
            Offsets::new(&args?)
        };
        let offsets = parse_all(&["0=100:200", "1,3-4=@-1h", "-10"]).unwrap();
        let at = |n| Bound::At(Offset::new(n));
        let since = OffsetRange { start: Bound::Timestamp(NOW - 3_600_000), end: Bound::LogEnd };
        assert_eq!(offsets.for_partition(0), OffsetRange { start: at(100), end: at(200) });
        assert_eq!(offsets.for_partition(1), since);
        assert_eq!(offsets.for_partition(4), since);
        assert_eq!(offsets.for_partition(2), OffsetRange { start: Bound::FromEnd(10), end: Bound::LogEnd });

        let kcat = OffsetRange { start: Bound::Timestamp(5), end: Bound::Timestamp(9) };
        assert_eq!(parse_all(&["s@5", "e@9"]).unwrap().for_partition(7), kcat);
        assert_eq!(parse_all(&["e@9", "s@5"]).unwrap().for_partition(7), kcat);
        assert_eq!(parse_all(&["0=s@5", "0=e@9"]).unwrap().for_partition(0), kcat);
        assert_eq!(parse_all(&["0=s@5", "0=e@9"]).unwrap().for_partition(1), OffsetRange::ALL);

        for (texts, expected) in [
            (&["5", "6"][..], "the range '6' is given twice"),
            (&["s@5", "s@6"], "the range 's@6' is given twice"),
            (&["s@9", "e@5"], "the end (5) is before the start (9)"),
        ] {
            assert_eq!(parse_all(texts).unwrap_err().to_string(), expected, "{texts:?}");
        }
    }

    #[test]
    fn partition_lists() {
        let list = Partitions::parse("0,3-5").unwrap();
        let named: Vec<i32> = (0..8).filter(|p| list.contains(*p)).collect();
        assert_eq!(named, [0, 3, 4, 5]);
        for bad in ["", "a", "1,", "-1", "1-", "5-3", "1-2-3", "99999999999"] {
            assert!(Partitions::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "[-+@:=se0-9hmdT.Z ]{0,24}", now in any::<i64>()) {
            let _ = parse(&text, now);
        }

        #[test]
        fn two_offsets_are_a_range_when_in_order(start in 0..i64::MAX, end in 0..i64::MAX) {
            let read = parse(&format!("{start}:{end}"), NOW);
            prop_assert_eq!(read.is_ok(), start <= end);
        }
    }
}
