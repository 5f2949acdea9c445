//! Walks over the entries of a log and finds the way on behind damage.
//!
//! [`Scanner`] yields every entry it can frame. Where Kafka's reader would stop or be misled it says
//! what is wrong and goes on at the next entry whose checksum holds:
//!
//! - no checksum of magic 2 covers base offset, length, leader epoch and magic, so these are judged by
//!   their neighbours: an entry whose offsets do not fit between them is yielded with a [`Doubt`];
//! - a wrong length frames too much or too little; the search therefore looks inside a damaged entry
//!   as well as behind it;
//! - a cut last entry, or zeros to the end of the file, is the [`Tail`], not damage.
//!
//! The bytes come from a [`Source`]: a slice, or a file read through a window.

use std::io;

use memchr::memchr3_iter;
use thiserror::Error;

use super::view::{self, HEADER_LEN};
use super::{BatchError, ENTRY_OVERHEAD, Frame, PREFIX_LEN, entry_len, legacy};
use crate::types::{LeaderEpoch, Offset, Position};
use crate::wire::field;

/// Bytes addressed by position, read a window at a time.
pub trait Source {
    /// Bytes there are, as far as is known.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes from `position` on: at least `want` of them, fewer only where the source ends.
    fn window(&mut self, position: u64, want: usize) -> io::Result<&[u8]>;

    /// The first position from `position` on that may hold something else than zero, as far as that is known without
    /// reading: the end where nothing does.
    fn skip_hole(&mut self, position: u64) -> io::Result<u64> {
        Ok(position)
    }
}

impl Source for &[u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn window(&mut self, position: u64, _want: usize) -> io::Result<&[u8]> {
        Ok(usize::try_from(position).ok().and_then(|at| self.get(at..)).unwrap_or_default())
    }
}

/// How closely entries are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// Headers only; payloads are not read. Damage inside a payload goes unnoticed.
    Headers,
    /// Checksums too.
    Crc,
}

/// What is known about the log before the first byte is read, and the limits of the reader.
#[derive(Clone, Copy, Debug)]
pub struct ScanOptions {
    /// How closely to look.
    pub depth: Depth,
    /// Base offset of the segment; entries below it, or 2^31 or more above, are out of place.
    pub base_offset: Option<Offset>,
    /// Entries longer than this on disk are damage: bounds the memory a lying length can ask for.
    pub max_batch_bytes: u64,
}

impl Default for ScanOptions {
    fn default() -> Self {
        ScanOptions {
            depth: Depth::Crc,
            base_offset: None,
            max_batch_bytes: super::compression::MAX_BATCH_BYTES as u64,
        }
    }
}

/// Why an entry whose checksum holds may still be in the wrong place.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Its offsets do not fit between those of its neighbours.
    #[error("offsets {base}..{last} are out of order, expected {expected} or above{}", below(*.next))]
    OffsetOrder {
        /// First offset it claims.
        base: Offset,
        /// Last offset it claims.
        last: Offset,
        /// Lowest offset that would fit.
        expected: Offset,
        /// First offset of the entry behind it, where that is what tells.
        next: Option<Offset>,
        /// Nothing is missing without it: the offsets it claims were read before and the log goes on
        /// behind it as if it were not there. A copy, not a batch whose offset field was damaged.
        surplus: bool,
    },
    /// Its leader epoch is below that of the entry before, and epochs never fall (-1, for none, excepted).
    #[error("leader epoch {found} is below {previous} of the batch before")]
    EpochFell {
        /// Its leader epoch.
        found: LeaderEpoch,
        /// Largest leader epoch before it.
        previous: LeaderEpoch,
    },
}

fn below(next: Option<Offset>) -> String {
    next.map(|next| format!(" and below {next}")).unwrap_or_default()
}

/// Bytes that hold no sound entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Where they start.
    pub position: Position,
    /// Where the next entry stands, or the end of the source.
    pub end: Position,
    /// What is wrong with them.
    pub reason: BatchError,
    /// The offset expected there: one above the last one read.
    pub expected: Option<Offset>,
    /// First offset of the entry at `end`, if there is one (for a compressed wrapper, its last).
    pub next: Option<Offset>,
    /// The damaged bytes still have the frame of an entry, which can be shown.
    pub framed: bool,
}

/// How a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Right behind the last entry.
    Clean,
    /// Inside an entry: a crash, or a broker that is still writing.
    Torn {
        /// Bytes behind the last whole entry.
        bytes: u64,
        /// Bytes the cut entry claims to take, if that much of it is there.
        needed: Option<u64>,
    },
    /// Zeros behind the last entry: a preallocated segment, or a file system that lost the data.
    Zeros {
        /// Number of zero bytes.
        bytes: u64,
    },
}

/// One step of a walk.
#[derive(Debug)]
pub enum Step<'a> {
    /// An entry. Its checksum holds, where the depth asks for that.
    Entry(Entry<'a>),
    /// Bytes that hold none; the walk goes on behind them.
    Damage(Damage),
    /// The end of the log at this position.
    End(Position, Tail),
}

/// An entry and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its first byte.
    pub position: Position,
    /// The entry. With [`Depth::Headers`] a batch's payload is missing.
    pub frame: Frame<'a>,
    /// Set when its checksum holds but its place in the log is doubtful.
    pub doubt: Option<Doubt>,
}

/// A step that does not borrow: see [`Scanner::advance`].
#[derive(Debug, Clone, Copy)]
pub enum Advance {
    /// An entry, to be had from [`Scanner::load`].
    Entry(Found),
    /// As [`Step::Damage`].
    Damage(Damage),
    /// As [`Step::End`].
    End(Position, Tail),
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    position: Position,
    len: usize,
    doubt: Option<Doubt>,
}

/// Walks over the entries of a source.
#[derive(Debug)]
pub struct Scanner<S> {
    source: S,
    options: ScanOptions,
    position: u64,
    expected: Option<Offset>,
    /// Offsets of the entry before, to know a copy of it.
    previous: Option<(Offset, Offset)>,
    epoch: LeaderEpoch,
    /// Some entry in front was read: what is below the expected offset can be a copy.
    read_any: bool,
    /// What is expected is what comes next, not a lower bound: nothing in front was jumped over.
    follows: bool,
    /// One above the last offset of the copies right in front.
    copied_to: Option<Offset>,
    /// Checksum work the search for a way on may still do; keeps crafted files from making it quadratic.
    search_budget: u64,
}

/// Once the search budget is spent, only candidates up to this size are still tried.
const CHEAP_CANDIDATE: u64 = 4 << 10;
/// How much the search looks at in one go.
const SEARCH_WINDOW: usize = 64 << 10;
/// Bytes looked at together for something that is not zero.
const ZERO_BLOCK: usize = 4 << 10;

/// Length of the blocks of zeros that `bytes` begins with. In blocks: a comparison that may stop at any byte is not
/// vectorised.
fn leading_zeros(bytes: &[u8]) -> usize {
    let is_zero = |block: &&[u8]| block.iter().fold(0, |all, byte| all | byte) == 0;
    bytes.chunks(ZERO_BLOCK).take_while(is_zero).map(<[u8]>::len).sum()
}

enum Verdict {
    Sound { len: usize, doubt: Option<Doubt> },
    Damage(Damage),
    End(Tail),
}

impl<S: Source> Scanner<S> {
    /// Starts at `position`, which should be the start of an entry.
    pub fn new(source: S, position: Position, options: ScanOptions) -> Self {
        let search_budget = source.len().saturating_mul(4).saturating_add(64 << 20);
        Scanner {
            source,
            options,
            position: position.get(),
            expected: options.base_offset,
            previous: None,
            epoch: LeaderEpoch::NONE,
            read_any: false,
            follows: position == Position::ZERO,
            copied_to: None,
            search_budget,
        }
    }

    /// Where the next step starts.
    pub const fn position(&self) -> Position {
        Position::new(self.position)
    }

    /// One above the last offset read: the log end offset once the end is reached.
    pub const fn next_offset(&self) -> Option<Offset> {
        self.expected
    }

    /// The bytes being walked over.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// The bytes being walked over, for a look beside the walk.
    pub const fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// Moves to `position`, the start of an entry whose offsets are at or above `expected`.
    pub fn seek(&mut self, position: Position, expected: Option<Offset>) {
        self.position = position.get();
        self.expected = expected;
        self.previous = None;
        self.epoch = LeaderEpoch::NONE;
        self.read_any = false;
        self.follows = position == Position::ZERO;
        self.copied_to = None;
    }

    /// Stays at the start, knowing that everything up to `expected` was read elsewhere.
    pub fn continue_from(&mut self, expected: Offset) {
        self.seek(Position::ZERO, Some(expected));
        self.read_any = true;
    }

    /// The next entry, damage, or the end; after the end, the end again (or more, if the source grew).
    #[expect(clippy::should_implement_trait, reason = "a step borrows the scanner's buffer, an Iterator's item cannot")]
    pub fn next(&mut self) -> io::Result<Step<'_>> {
        match self.advance()? {
            Advance::Entry(found) => self.load(found),
            Advance::Damage(damage) => Ok(Step::Damage(damage)),
            Advance::End(position, tail) => Ok(Step::End(position, tail)),
        }
    }

    /// Goes one step, without borrowing the entry: for callers that decide in between.
    pub fn advance(&mut self) -> io::Result<Advance> {
        let at = self.position;
        Ok(match self.judge(at)? {
            Verdict::Sound { len, doubt } => {
                self.position = at + len as u64;
                Advance::Entry(Found { position: Position::new(at), len, doubt })
            }
            Verdict::Damage(damage) => {
                self.position = damage.end.get();
                Advance::Damage(damage)
            }
            Verdict::End(tail) => Advance::End(Position::new(at), tail),
        })
    }

    /// The entry that [`Scanner::advance`] found.
    pub fn load(&mut self, found: Found) -> io::Result<Step<'_>> {
        let Found { position, len, doubt } = found;
        let expected = self.expected;
        let header_only = self.options.depth == Depth::Headers;
        let window = self.source.window(position.get(), if header_only { HEADER_LEN.min(len) } else { len })?;
        let frame = if header_only {
            Frame::parse_header(window, len)
        } else {
            Frame::parse(window.get(..len).unwrap_or(window))
        };
        Ok(match frame {
            Ok(frame) => Step::Entry(Entry { position, frame, doubt }),
            // The bytes changed between two looks: a file being rewritten under the reader.
            Err(reason) => {
                let end = position.plus(len as u64);
                Step::Damage(Damage { position, end, reason, expected, next: None, framed: false })
            }
        })
    }

    fn judge(&mut self, at: u64) -> io::Result<Verdict> {
        let remaining = self.source.len().saturating_sub(at);
        if remaining == 0 {
            return Ok(Verdict::End(Tail::Clean));
        }
        let head = self.source.window(at, HEADER_LEN)?;
        let Some(prefix) = head.first_chunk::<PREFIX_LEN>() else {
            return self.judge_tail(at, None);
        };
        let magic = prefix[16].cast_signed();
        let needed = match entry_len(prefix) {
            Ok(needed) => needed,
            Err(reason) => return self.judge_unframed(at, reason),
        };
        if needed > remaining {
            return self.judge_tail(at, Some(needed));
        }
        if needed > self.options.max_batch_bytes {
            let reason = BatchError::TooLarge { bytes: needed, limit: self.options.max_batch_bytes };
            return self.judge_damaged(at, Some(needed), reason);
        }
        let Ok(len) = usize::try_from(needed) else {
            return self.judge_tail(at, Some(needed));
        };
        // Headers of magic 2 tell all; a message must be read whole to know its key and value.
        let header_only = self.options.depth == Depth::Headers && magic >= 2;
        let window = self.source.window(at, if header_only { HEADER_LEN.min(len) } else { len })?;
        let parsed = if header_only {
            Frame::parse_header(window, len)
        } else if window.len() < len {
            return self.judge_tail(at, Some(needed));
        } else {
            Frame::parse(&window[..len])
        };
        let checked = parsed.and_then(|frame| {
            frame.check_magic()?;
            if !header_only {
                frame.verify_crc()?;
            }
            Ok(Span::of(&frame))
        });
        match checked {
            Ok(span) => self.judge_place(at, len, span),
            Err(reason) => self.judge_damaged(at, Some(needed), reason),
        }
    }

    /// An entry is sound; do its offsets and epoch fit where it stands?
    fn judge_place(&mut self, at: u64, len: usize, span: Span) -> io::Result<Verdict> {
        let first = span.base.unwrap_or(span.last);
        let mut doubt = self.judge_offsets(at + len as u64, first, span.last)?;
        if doubt.is_none() {
            self.expected = Some(span.last.next());
            self.previous = Some((first, span.last));
            self.read_any = true;
            self.follows = true;
            self.copied_to = None;
            if span.epoch >= self.epoch {
                self.epoch = span.epoch;
            } else if span.epoch != LeaderEpoch::NONE {
                doubt = Some(Doubt::EpochFell { found: span.epoch, previous: self.epoch });
            }
        }
        Ok(Verdict::Sound { len, doubt })
    }

    fn judge_offsets(&mut self, behind: u64, first: Offset, last: Offset) -> io::Result<Option<Doubt>> {
        let Some(expected) = self.expected else { return Ok(None) };
        let named = self.options.base_offset;
        let ceiling = named.map_or(Offset::MAX, |base| base.plus(i64::from(i32::MAX)));
        let doubt = |next, surplus| Some(Doubt::OffsetOrder { base: first, last, expected, next, surplus });
        if last < first || last > ceiling {
            return Ok(doubt(None, false));
        }
        if first < expected {
            let next = self.first_offset_at(behind)?;
            let seen = last < expected && self.read_any;
            let surplus = match next {
                Some(next) => seen && next <= expected,
                // At the end only its neighbour tells: the entry it repeats, or copies it continues.
                None => seen && (self.previous == Some((first, last)) || self.copied_to == Some(first)),
            };
            self.copied_to = surplus.then(|| last.next());
            return Ok(doubt(None, surplus));
        }
        if named.is_some_and(|base| first < base) {
            return Ok(doubt(None, false));
        }
        if first > expected && self.follows {
            // A gap is what compaction leaves, unless the entry behind belongs into it.
            let next = self.first_offset_at(behind)?;
            if next.is_some_and(|next| next >= expected && next <= last) {
                return Ok(doubt(next, false));
            }
        }
        Ok(None)
    }

    /// The offset stored first in whatever entry starts at `at`, if one plausibly does.
    fn first_offset_at(&mut self, at: u64) -> io::Result<Option<Offset>> {
        let remaining = self.source.len().saturating_sub(at);
        let window = self.source.window(at, PREFIX_LEN)?;
        let Some(prefix) = window.first_chunk::<PREFIX_LEN>() else { return Ok(None) };
        let fits = entry_len(prefix).is_ok_and(|len| len <= remaining);
        let known = (0..=2).contains(&prefix[16].cast_signed());
        Ok((fits && known).then(|| Offset::new(i64::from_be_bytes(field::<0, 8, PREFIX_LEN>(prefix)))))
    }

    /// The length field cannot be one: zeros to the end are a tail, anything else is damage.
    fn judge_unframed(&mut self, at: u64, reason: BatchError) -> io::Result<Verdict> {
        if self.only_zeros_from(at)? {
            let bytes = self.source.len().saturating_sub(at);
            return Ok(Verdict::End(Tail::Zeros { bytes }));
        }
        self.judge_damaged(at, None, reason)
    }

    /// The source ends inside an entry: torn, unless sound entries follow or only the length is wrong.
    fn judge_tail(&mut self, at: u64, needed: Option<u64>) -> io::Result<Verdict> {
        if self.only_zeros_from(at)? {
            let bytes = self.source.len().saturating_sub(at);
            return Ok(Verdict::End(Tail::Zeros { bytes }));
        }
        let available = self.source.len().saturating_sub(at);
        let reason = BatchError::Truncated { needed: needed.unwrap_or(PREFIX_LEN as u64), available };
        if let Some(next) = self.search(at + 1, u64::MAX)? {
            return Ok(Verdict::Damage(self.damage(at, next, reason, false)?));
        }
        let starts_like_one = self.starts_like_an_entry(at, available)?;
        if needed.is_some() && (!starts_like_one || self.sound_but_for_length(at, available)?) {
            let end = at + available;
            return Ok(Verdict::Damage(self.damage(at, end, reason, false)?));
        }
        Ok(Verdict::End(Tail::Torn { bytes: available, needed }))
    }

    /// Whether what is there of a cut entry could be the start of one: a crash cuts batches, it makes no garbage.
    fn starts_like_an_entry(&mut self, at: u64, available: u64) -> io::Result<bool> {
        let expectations = Expectations { max_len: u64::MAX, ..self.expectations() };
        let window = self.source.window(at, HEADER_LEN)?;
        let Some(prefix) = window.first_chunk::<PREFIX_LEN>() else { return Ok(true) };
        if available >= HEADER_LEN as u64 {
            return Ok(plausible(window, u64::MAX, &expectations).is_some());
        }
        let offset = Offset::new(i64::from_be_bytes(field::<0, 8, PREFIX_LEN>(prefix)));
        let in_range = offset >= expectations.lowest && offset <= expectations.highest;
        Ok(in_range && (0..=2).contains(&prefix[16].cast_signed()))
    }

    /// Whether all that remains is one batch whose checksum holds, so that only its length field is wrong.
    fn sound_but_for_length(&mut self, at: u64, available: u64) -> io::Result<bool> {
        let Ok(len) = usize::try_from(available) else { return Ok(false) };
        if available > self.options.max_batch_bytes || len < HEADER_LEN {
            return Ok(false);
        }
        let window = self.source.window(at, len)?;
        let stored = window.get(17..21).and_then(<[u8]>::first_chunk::<4>).map(|raw| u32::from_be_bytes(*raw));
        Ok(stored == window.get(view::CRC_FROM..len).map(crate::crc::crc32c))
    }

    fn only_zeros_from(&mut self, at: u64) -> io::Result<bool> {
        let mut from = at;
        loop {
            // Most times the first bytes tell; a file that was preallocated is a hole to its end.
            let window = self.source.window(from, PREFIX_LEN)?;
            if window.is_empty() {
                return Ok(true);
            }
            let len = window.len();
            if leading_zeros(window) < len {
                return Ok(false);
            }
            from = self.source.skip_hole(from + len as u64)?;
        }
    }

    /// Where the walk goes on behind a damaged entry.
    fn judge_damaged(&mut self, at: u64, framed_len: Option<u64>, reason: BatchError) -> io::Result<Verdict> {
        let Some(behind) = framed_len.map(|len| at + len) else {
            let next = self.search(at + 1, u64::MAX)?.unwrap_or(self.source.len());
            return Ok(Verdict::Damage(self.damage(at, next, reason, false)?));
        };
        // A length that is too large swallowed sound entries: they line up with what stands behind.
        if let Some(inside) = self.search(at + 1, behind)?
            && self.lines_up(inside, behind)?
        {
            return Ok(Verdict::Damage(self.damage(at, inside, reason, false)?));
        }
        if behind == self.source.len() || self.plausible_at(behind)? {
            return Ok(Verdict::Damage(self.damage(at, behind, reason, true)?));
        }
        let next = self.search(at + 1, u64::MAX)?.unwrap_or(self.source.len());
        Ok(Verdict::Damage(self.damage(at, next, reason, false)?))
    }

    fn damage(&mut self, at: u64, end: u64, reason: BatchError, framed: bool) -> io::Result<Damage> {
        let next = self.first_offset_at(end)?;
        Ok(Damage {
            position: Position::new(at),
            end: Position::new(end),
            reason,
            expected: self.expected,
            next,
            framed,
        })
    }

    /// Whether entries from `from` on end exactly at `end`, or the last of them reaches over it with a
    /// checksum that holds: then `from` is a real entry and not bytes that look like one inside a value.
    fn lines_up(&mut self, from: u64, end: u64) -> io::Result<bool> {
        let expectations = self.expectations();
        let mut at = from;
        while at < end {
            let remaining = self.source.len().saturating_sub(at);
            let window = self.source.window(at, HEADER_LEN)?;
            let Some(len) = plausible(window, remaining, &expectations) else { return Ok(false) };
            if at + len > end {
                return self.sound_at(at, len);
            }
            at += len;
        }
        Ok(true)
    }

    fn plausible_at(&mut self, at: u64) -> io::Result<bool> {
        let expectations = self.expectations();
        let remaining = self.source.len().saturating_sub(at);
        let window = self.source.window(at, HEADER_LEN)?;
        Ok(plausible(window, remaining, &expectations).is_some())
    }

    fn sound_at(&mut self, at: u64, len: u64) -> io::Result<bool> {
        let Ok(len) = usize::try_from(len) else { return Ok(false) };
        let window = self.source.window(at, len)?;
        Ok(window.get(..len).is_some_and(|bytes| {
            Frame::parse(bytes).is_ok_and(|frame| frame.check_magic().is_ok() && frame.verify_crc().is_ok())
        }))
    }

    fn expectations(&self) -> Expectations {
        let lowest = self.expected.unwrap_or(Offset::ZERO).max(Offset::ZERO);
        let base = self.options.base_offset.unwrap_or(lowest);
        Expectations { lowest, highest: base.plus(i64::from(i32::MAX)), max_len: self.options.max_batch_bytes }
    }

    /// The first position at or behind `from`, and before `until`, with an entry whose checksum holds.
    fn search(&mut self, from: u64, until: u64) -> io::Result<Option<u64>> {
        let expectations = self.expectations();
        let mut at = from;
        loop {
            let end = self.source.len().min(until);
            let total = self.source.len();
            if at >= end || total - at < PREFIX_LEN as u64 {
                return Ok(None);
            }
            let window = self.source.window(at, SEARCH_WINDOW)?;
            if window.len() < PREFIX_LEN {
                return Ok(None);
            }
            let whole_headers = at + window.len() as u64 >= total;
            let (len, zeros) = (window.len(), leading_zeros(window));
            if zeros >= ZERO_BLOCK {
                // No entry has its length field among zeros.
                let behind = at + zeros as u64;
                let behind = if zeros == len { self.source.skip_hole(behind)? } else { behind };
                at = behind - (ENTRY_OVERHEAD as u64 - 1);
                continue;
            }
            let mut candidate = None;
            for start in memchr3_iter(0, 1, 2, &window[PREFIX_LEN - 1..]) {
                let position = at + start as u64;
                if position >= end {
                    break;
                }
                let header = &window[start..];
                if header.len() < HEADER_LEN && !whole_headers {
                    break;
                }
                if let Some(len) = plausible(header, total - position, &expectations) {
                    candidate = Some((position, len));
                    break;
                }
            }
            match candidate {
                Some((position, len)) => {
                    let affordable = len <= CHEAP_CANDIDATE || len <= self.search_budget;
                    if affordable {
                        self.search_budget = self.search_budget.saturating_sub(len);
                        if self.sound_at(position, len)? {
                            return Ok(Some(position));
                        }
                    }
                    at = position + 1;
                }
                None if whole_headers => return Ok(None),
                None => at += (len - (HEADER_LEN - 1)) as u64,
            }
        }
    }
}

/// Offsets and leader epoch of an entry.
#[derive(Clone, Copy)]
struct Span {
    base: Option<Offset>,
    last: Offset,
    epoch: LeaderEpoch,
}

impl Span {
    fn of(frame: &Frame<'_>) -> Span {
        Span { base: frame.base_offset(), last: frame.last_offset(), epoch: frame.leader_epoch() }
    }
}

/// What an entry must look like to be worth a checksum.
struct Expectations {
    lowest: Offset,
    highest: Offset,
    max_len: u64,
}

/// Length of the entry that `header` starts, if every field that can be judged without its payload is legal.
fn plausible(header: &[u8], remaining: u64, expect: &Expectations) -> Option<u64> {
    let prefix = header.first_chunk::<PREFIX_LEN>()?;
    let len = entry_len(prefix).ok().filter(|len| *len <= remaining && *len <= expect.max_len)?;
    let offset = Offset::new(i64::from_be_bytes(field::<0, 8, PREFIX_LEN>(prefix)));
    let in_range = offset >= expect.lowest && offset <= expect.highest;
    if !in_range {
        return None;
    }
    match prefix[16] {
        2 => {
            let header = header.first_chunk::<HEADER_LEN>()?;
            let delta = i32::from_be_bytes(field::<23, 4, HEADER_LEN>(header));
            let count = i32::from_be_bytes(field::<57, 4, HEADER_LEN>(header));
            let legal = len >= HEADER_LEN as u64
                && delta >= 0
                && (0..=i64::from(delta) + 1).contains(&i64::from(count))
                && header[22] & 0x80 == 0
                && header[22] & 0x07 <= 4;
            legal.then_some(len)
        }
        magic @ (0 | 1) => {
            let (minimum, fields_at) =
                if magic == 0 { (legacy::MIN_LENGTH_V0, 18) } else { (legacy::MIN_LENGTH_V1, 26) };
            let key_len =
                header.get(fields_at..).and_then(<[u8]>::first_chunk::<4>).map(|raw| i32::from_be_bytes(*raw))?;
            let room = len - ENTRY_OVERHEAD as u64;
            let legal = room >= u64::from(minimum.unsigned_abs())
                && key_len >= -1
                && i64::from(key_len) <= i64::try_from(room).unwrap_or(i64::MAX)
                && header.get(17).is_some_and(|attributes| attributes & 0xf0 == 0);
            legal.then_some(len)
        }
        _ => None,
    }
}
