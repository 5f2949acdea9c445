//! Record batches and messages: what a `.log` file is made of, as pure functions of bytes.
//!
//! A `.log` file is entries back to back. The first 17 bytes of every format agree enough to tell
//! them apart: an offset at 0, the length of what follows at 8, the magic byte at 16.
//!
//! - [`Frame::parse`] finds where an entry ends and what it is; it proves the frame and nothing else;
//! - [`Frame::verify_crc`] is the explicit second step;
//! - [`Frame::records`] decompresses and reads, with a cap on what it will decompress to;
//! - [`scan`] finds the next sound entry behind damage; [`walk`] stops where Kafka's loader stops.
//!
//! Nothing here knows a file, a path or a clock.

pub mod builder;
pub mod compression;
pub mod control;
pub mod legacy;
pub mod record;
pub mod scan;
pub mod view;
pub mod walk;

use std::ops::ControlFlow;

use thiserror::Error;

use crate::types::{Codec, LeaderEpoch, Offset, ProducerId, TimestampMs, TimestampType};
pub use builder::{BatchBuf, BatchBuilder, BatchSpec, BuildError, NewHeader, NewRecord, RatioEstimator, Timestamps};
pub use compression::{Compression, CompressionError, Compressor, Decompressor, LevelError};
pub use legacy::{InnerMessages, MessageView};
pub use record::{Headers, RecordError, RecordRef, Records};
pub use view::BatchView;

/// Bytes of an entry that its length field does not count: offset and length.
pub const ENTRY_OVERHEAD: usize = 12;
/// Bytes that tell the format of an entry: up to and with the magic byte.
pub const PREFIX_LEN: usize = 17;
/// The smallest length field of any format; below it nothing can be framed (`LegacyRecord.RECORD_OVERHEAD_V0`).
pub const MIN_LENGTH: i32 = 14;

/// Why bytes are not a sound batch or message.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum BatchError {
    /// The input ends inside the entry: a torn tail when last in the log, damage anywhere else.
    #[error("needs {needed} bytes, {available} remain")]
    Truncated {
        /// Bytes the entry takes, as far as is known.
        needed: u64,
        /// Bytes left.
        available: u64,
    },
    /// The length field is below what the format's fixed fields take.
    #[error("length field is {declared}, expected {minimum} or more")]
    LengthTooSmall {
        /// The length field.
        declared: i32,
        /// Smallest legal value.
        minimum: i32,
    },
    /// The entry is longer than the reader is willing to hold.
    #[error("batch of {bytes} bytes is over the limit of {limit} (raise it with --max-batch-bytes)")]
    TooLarge {
        /// Bytes of the entry.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// No such format. A Kafka broker reads 3 to 127 as 2 and negative ones as 0.
    #[error("magic is {0}, expected 0, 1 or 2")]
    UnknownMagic(i8),
    /// The codec bits hold an id Kafka never assigned.
    #[error("unknown compression codec {0}, expected 0 to 4")]
    UnknownCodec(u8),
    /// A key or value of a message reaches past the end of the message.
    #[error("{what} length {declared} reaches past the end of the message")]
    MessageField {
        /// Which field.
        what: &'static str,
        /// The length it declares.
        declared: i32,
    },
    /// Stored and computed checksums differ.
    #[error("stored CRC {stored:#010x}, computed {computed:#010x}")]
    CrcMismatch {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
}

/// Why the records of a framed batch could not be read.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum PayloadError {
    /// The header names a codec that does not exist.
    #[error(transparent)]
    Header(#[from] BatchError),
    /// The payload does not decompress.
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// The payload is not the records it should be.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A message inside a wrapper is damaged.
    #[error("inner message: {0}")]
    Inner(BatchError),
    /// A wrapper without a value.
    #[error("compressed wrapper has a null value")]
    NullWrapper,
    /// A wrapper without messages.
    #[error("compressed wrapper holds no messages")]
    EmptyWrapper,
    /// A wrapper inside a wrapper.
    #[error("inner message at offset {offset} is compressed again")]
    NestedWrapper {
        /// The inner offset field.
        offset: Offset,
    },
    /// The relative offsets of the inner messages reach above the wrapper's offset.
    #[error("wrapper offset {wrapper} is below the last inner offset {last_inner}")]
    WrapperOffset {
        /// Offset of the wrapper.
        wrapper: Offset,
        /// Largest inner offset.
        last_inner: Offset,
    },
}

/// One entry of a `.log` file, of whichever format.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// Magic 2 (and, as in Kafka's file reader, any magic above it).
    Batch(BatchView<'a>),
    /// Magic 0 or 1 (and, as in Kafka's file reader, any negative magic).
    Message(MessageView<'a>),
}

/// Length of the entry that starts with `prefix`, from its length field.
///
/// The length is a claim: compare it with what remains before reserving or reading.
pub fn entry_len(prefix: &[u8; PREFIX_LEN]) -> Result<u64, BatchError> {
    let declared = i32::from_be_bytes(crate::wire::field::<8, 4, PREFIX_LEN>(prefix));
    match u64::try_from(declared) {
        Ok(length) if declared >= MIN_LENGTH => Ok(length + ENTRY_OVERHEAD as u64),
        _ => Err(BatchError::LengthTooSmall { declared, minimum: MIN_LENGTH }),
    }
}

impl<'a> Frame<'a> {
    /// Frames the first entry of `input`. Allocates nothing, trusts no length.
    ///
    /// Takes what Kafka's file reader takes (`FileLogInputStream.nextBatch`): any magic of 2 or above is
    /// framed as a batch, any below as a message. [`Frame::check_magic`] is for those who must refuse.
    pub fn parse(input: &'a [u8]) -> Result<Frame<'a>, BatchError> {
        let available = input.len() as u64;
        let prefix =
            input.first_chunk::<PREFIX_LEN>().ok_or(BatchError::Truncated { needed: PREFIX_LEN as u64, available })?;
        let needed = entry_len(prefix)?;
        let whole = usize::try_from(needed).ok().and_then(|len| input.get(..len));
        let bytes = whole.ok_or(BatchError::Truncated { needed, available })?;
        if prefix[16].cast_signed() < 2 {
            MessageView::of_frame(bytes).map(Frame::Message)
        } else {
            BatchView::of_frame(bytes).map(Frame::Batch)
        }
    }

    /// Frames an entry of `len` bytes of which perhaps only the header is at hand.
    ///
    /// A batch framed so knows its header and size; its payload reads as empty and its checksum as wrong.
    pub fn parse_header(window: &'a [u8], len: usize) -> Result<Frame<'a>, BatchError> {
        match window.get(16) {
            Some(magic) if magic.cast_signed() >= 2 => {
                let header = window.get(..view::HEADER_LEN.min(len)).unwrap_or(window);
                BatchView::of_frame(header).map(Frame::Batch)
            }
            _ => Frame::parse(window),
        }
    }

    /// The whole entry as stored.
    pub const fn bytes(&self) -> &'a [u8] {
        match self {
            Frame::Batch(batch) => batch.bytes(),
            Frame::Message(message) => message.bytes(),
        }
    }

    /// Bytes of the entry on disk.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Frame::Batch(batch) => u64::from(batch.length().max(0).unsigned_abs()) + ENTRY_OVERHEAD as u64,
            Frame::Message(message) => message.bytes().len() as u64,
        }
    }

    /// The magic byte.
    pub fn magic(&self) -> i8 {
        match self {
            Frame::Batch(batch) => batch.magic(),
            Frame::Message(message) => message.magic(),
        }
    }

    /// Whether the magic is one that Kafka ever wrote.
    pub fn check_magic(&self) -> Result<(), BatchError> {
        match self.magic() {
            0..=2 => Ok(()),
            other => Err(BatchError::UnknownMagic(other)),
        }
    }

    /// The lowest offset the entry may hold, as far as the header tells: a compressed wrapper
    /// stores only its last one.
    pub fn base_offset(&self) -> Option<Offset> {
        match self {
            Frame::Batch(batch) => Some(batch.base_offset()),
            Frame::Message(message) => match message.codec() {
                Ok(Codec::None) => Some(message.offset()),
                _ => None,
            },
        }
    }

    /// The highest offset the entry may hold; the next one starts above it.
    pub fn last_offset(&self) -> Offset {
        match self {
            Frame::Batch(batch) => batch.last_offset(),
            Frame::Message(message) => message.offset(),
        }
    }

    /// How it is compressed.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        match self {
            Frame::Batch(batch) => batch.codec(),
            Frame::Message(message) => message.codec(),
        }
    }

    /// Which clock its timestamps are of.
    pub fn timestamp_type(&self) -> TimestampType {
        match self {
            Frame::Batch(batch) => batch.timestamp_type(),
            Frame::Message(message) => message.timestamp_type(),
        }
    }

    /// The largest timestamp in it, as the header says.
    pub fn max_timestamp_ms(&self) -> TimestampMs {
        match self {
            Frame::Batch(batch) => batch.max_timestamp_ms(),
            Frame::Message(message) => message.timestamp_ms(),
        }
    }

    /// Epoch of the leader that appended it; none before magic 2.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        match self {
            Frame::Batch(batch) => batch.leader_epoch(),
            Frame::Message(_) => LeaderEpoch::NONE,
        }
    }

    /// Who wrote it; none before magic 2.
    pub fn producer_id(&self) -> ProducerId {
        match self {
            Frame::Batch(batch) => batch.producer_id(),
            Frame::Message(_) => ProducerId::NONE,
        }
    }

    /// The producer's fencing number; -1 for none.
    pub fn producer_epoch(&self) -> i16 {
        match self {
            Frame::Batch(batch) => batch.producer_epoch(),
            Frame::Message(_) => -1,
        }
    }

    /// Holds a marker or metadata, not data.
    pub fn is_control(&self) -> bool {
        matches!(self, Frame::Batch(batch) if batch.is_control())
    }

    /// Part of a transaction.
    pub fn is_transactional(&self) -> bool {
        matches!(self, Frame::Batch(batch) if batch.is_transactional())
    }

    /// The checksum as stored.
    pub fn stored_crc(&self) -> u32 {
        match self {
            Frame::Batch(batch) => batch.stored_crc(),
            Frame::Message(message) => message.stored_crc(),
        }
    }

    /// Whether the stored checksum is that of the bytes. Does not look at the magic, which no checksum
    /// of magic 2 covers.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        match self {
            Frame::Batch(batch) => batch.verify_crc(),
            Frame::Message(message) => message.verify_crc(),
        }
    }

    /// The records, decompressed into `decompressor`'s buffer when they are compressed.
    ///
    /// The error is the decompression's or a wrapper's; damage inside comes from the iterator.
    pub fn records<'b>(&self, decompressor: &'b mut Decompressor) -> Result<FrameRecords<'b>, PayloadError>
    where
        'a: 'b,
    {
        match self {
            Frame::Batch(batch) => {
                let context = batch.record_context();
                if context.count == 0 {
                    return Ok(FrameRecords::Batch(Records::new(context, &[])));
                }
                let payload = match batch.codec()? {
                    Codec::None => batch.payload(),
                    codec => decompressor.decompress(codec, batch.magic(), batch.payload())?,
                };
                Ok(FrameRecords::Batch(Records::new(context, payload)))
            }
            Frame::Message(message) => match message.codec()? {
                Codec::None => Ok(FrameRecords::Message(Some(message.record()))),
                Codec::Zstd => Err(CompressionError::ZstdInLegacy.into()),
                codec => {
                    let value = message.value().ok_or(PayloadError::NullWrapper)?;
                    let payload = decompressor.decompress(codec, message.magic(), value)?;
                    Ok(FrameRecords::Wrapper(InnerMessages::new(message, payload)?))
                }
            },
        }
    }
}

/// The records of one entry, of whichever format.
#[derive(Clone, Debug)]
pub enum FrameRecords<'a> {
    /// Magic 2.
    Batch(Records<'a>),
    /// One uncompressed message.
    Message(Option<RecordRef<'a>>),
    /// The messages inside a wrapper.
    Wrapper(InnerMessages<'a>),
}

impl<'a> FrameRecords<'a> {
    /// Hands every record to `visit`: see [`Records::visit`].
    #[inline]
    pub fn visit<B>(self, mut visit: impl FnMut(&RecordRef<'a>) -> ControlFlow<B>) -> Result<Option<B>, PayloadError> {
        match self {
            FrameRecords::Batch(records) => Ok(records.visit(visit)?),
            other => {
                for record in other {
                    if let ControlFlow::Break(value) = visit(&record?) {
                        return Ok(Some(value));
                    }
                }
                Ok(None)
            }
        }
    }
}

impl<'a> Iterator for FrameRecords<'a> {
    type Item = Result<RecordRef<'a>, PayloadError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            FrameRecords::Batch(records) => Some(records.next()?.map_err(PayloadError::Record)),
            FrameRecords::Message(record) => record.take().map(Ok),
            FrameRecords::Wrapper(inner) => inner.next(),
        }
    }
}
