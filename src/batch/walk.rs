//! Walks over a log as Kafka's own loader does: to the first thing it refuses, and no further.
//!
//! [`scan`](super::scan) finds every sound entry of a damaged log. This is the other question: which
//! bytes does a broker keep when it recovers the log? Its answer ignores neighbours, offsets and epochs,
//! and stops for good at the first entry that is not valid (`FileLogInputStream.nextBatch`,
//! `RecordBatch.ensureValid`): a length below 14, a checksum that does not hold, a header that is cut.
//! A magic above 2 passes for 2.

use std::io;

use super::scan::Source;
use super::view::{CRC_FROM, HEADER_LEN};
use super::{BatchError, ENTRY_OVERHEAD, Frame, PREFIX_LEN, entry_len};
use crate::crc::Crc32c;
use crate::types::Position;

/// Entries longer than this are checked in pieces: a lying length must not make anyone allocate it.
const WHOLE_BYTES: usize = 4 << 20;
/// Size of a piece.
const PIECE_BYTES: usize = 1 << 20;

/// Why a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The source ends behind the last entry.
    End,
    /// Too few bytes for an entry, or for the one that starts here: Kafka ignores these when it reads,
    /// and cuts them when it recovers.
    Cut {
        /// Bytes behind the last entry.
        bytes: u64,
        /// Bytes the cut entry claims to take, if that much of it is there.
        needed: Option<u64>,
    },
    /// An entry that is not valid (`CorruptRecordException`).
    Corrupt(BatchError),
}

/// One entry: where it stands and its header, and where they were asked for and are few its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Walked<'a> {
    /// Its first byte.
    pub position: Position,
    /// Its size on disk.
    pub size_bytes: u64,
    /// The entry; of a batch beyond 4 MiB the header alone.
    pub frame: Frame<'a>,
}

/// Walks over entries from one position on.
#[derive(Debug)]
pub struct Walker<S> {
    source: S,
    position: u64,
    look: Look,
}

/// How much of an entry is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Header,
    Bytes,
    Checksum,
}

impl<S: Source> Walker<S> {
    /// From the start, with every checksum, as a recovery does.
    pub const fn new(source: S) -> Self {
        Walker::checked(source, Position::ZERO)
    }

    /// As [`Walker::new`], from `position` on.
    pub const fn checked(source: S, position: Position) -> Self {
        Walker { source, position: position.get(), look: Look::Checksum }
    }

    /// Reads the bytes of entries and trusts them, as a replay of producer state does.
    pub const fn trusting(source: S, position: Position) -> Self {
        Walker { source, position: position.get(), look: Look::Bytes }
    }

    /// Reads headers only, as a look-up of an offset does.
    pub const fn headers(source: S, position: Position) -> Self {
        Walker { source, position: position.get(), look: Look::Header }
    }

    /// Where the next entry is expected: all bytes before it are valid.
    pub const fn position(&self) -> Position {
        Position::new(self.position)
    }

    /// What is walked over.
    pub const fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// The next valid entry, or why there is none.
    pub fn step(&mut self) -> io::Result<Result<Walked<'_>, Stop>> {
        let (at, remaining) = (self.position, self.source.len().saturating_sub(self.position));
        if remaining == 0 {
            return Ok(Err(Stop::End));
        }
        let cut = |needed| Ok(Err(Stop::Cut { bytes: remaining, needed }));
        let head = self.source.window(at, HEADER_LEN)?;
        let Some(prefix) = head.first_chunk::<PREFIX_LEN>().filter(|_| remaining > PREFIX_LEN as u64) else {
            return cut(None);
        };
        let needed = match entry_len(prefix) {
            Ok(needed) => needed,
            Err(reason) => return Ok(Err(Stop::Corrupt(reason))),
        };
        if needed > remaining {
            return cut(Some(needed));
        }
        let len = usize::try_from(needed).map_err(io::Error::other)?;
        let is_batch = prefix[16].cast_signed() >= 2;
        // Of a message everything is needed; none is larger than what a broker takes.
        let verify = self.look == Look::Checksum;
        let whole = !is_batch || (self.look != Look::Header && len <= WHOLE_BYTES);
        if verify
            && !whole
            && let Err(reason) = self.verify_in_pieces(at, len)?
        {
            return Ok(Err(Stop::Corrupt(reason)));
        }
        self.position = at + needed;
        let window = self.source.window(at, if whole { len } else { HEADER_LEN.min(len) })?;
        let frame = if whole {
            let Some(bytes) = window.get(..len) else { return cut(Some(needed)) };
            Frame::parse(bytes)
        } else {
            Frame::parse_header(window, len)
        };
        let frame = frame.and_then(|frame| {
            if whole && verify {
                frame.verify_crc()?;
            }
            Ok(frame)
        });
        match frame {
            Ok(frame) => Ok(Ok(Walked { position: Position::new(at), size_bytes: needed, frame })),
            Err(reason) => {
                self.position = at;
                Ok(Err(Stop::Corrupt(reason)))
            }
        }
    }

    fn verify_in_pieces(&mut self, at: u64, len: usize) -> io::Result<Result<(), BatchError>> {
        let stored = {
            let window = self.source.window(at, HEADER_LEN)?;
            match Frame::parse_header(window, len) {
                Ok(frame) => frame.stored_crc(),
                Err(reason) => return Ok(Err(reason)),
            }
        };
        let mut crc = Crc32c::new();
        let mut done = CRC_FROM;
        while done < len {
            let want = PIECE_BYTES.min(len - done);
            let window = self.source.window(at + done as u64, want)?;
            let Some(piece) = window.get(..want) else {
                return Ok(Err(BatchError::Truncated { needed: len as u64, available: (done + window.len()) as u64 }));
            };
            crc.add(piece);
            done += want;
        }
        let computed = crc.value();
        Ok(if stored == computed { Ok(()) } else { Err(BatchError::CrcMismatch { stored, computed }) })
    }
}

const _: () = assert!(ENTRY_OVERHEAD == 12, "FileLogInputStream counts 12 bytes before what the length covers");
