//! The five codecs as Kafka reads and writes them, with all their state reused from batch to batch.
//!
//! The codecs are crates; the framing around snappy and LZ4 blocks is Kafka's own dialect and is read and
//! written here. [`Decompressor`] never passes a cap; [`Compressor`] writes what every Kafka since 2.1 reads;
//! [`Compression`] is a codec with a level that the codec has.

mod compress;
mod decompress;

use std::sync::Arc;

use thiserror::Error;

use crate::types::Codec;
pub use compress::{Compression, Compressor, LevelError};
pub use decompress::Decompressor;

/// Default cap of one decompressed batch: 128 MiB.
pub const MAX_BATCH_BYTES: usize = 128 << 20;

/// Why a payload does not decompress, or could not be compressed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum CompressionError {
    /// The decompressed payload would pass the cap: a bomb, or a cap too low for honest data.
    #[error("{codec} payload decompresses to more than {cap} bytes (raise the limit with --max-batch-bytes)")]
    OverCap {
        /// Codec of the payload.
        codec: Codec,
        /// The cap.
        cap: usize,
    },
    /// The codec's library refuses the data.
    #[error("{codec} payload does not decompress: {reason}")]
    Corrupt {
        /// Codec of the payload.
        codec: Codec,
        /// The library's words.
        reason: Arc<str>,
    },
    /// The payload ends before its codec's end mark.
    #[error("{codec} payload ends inside {what}")]
    Truncated {
        /// Codec of the payload.
        codec: Codec,
        /// What the end cuts.
        what: &'static str,
    },
    /// A valid LZ4 frame that Kafka does not read.
    #[error("lz4 frame: {0}")]
    Lz4(&'static str),
    /// zstd came with magic 2; a message cannot use it.
    #[error("zstd is not a codec of magic 0 and 1")]
    ZstdInLegacy,
    /// The codec's library could not compress: it had no memory.
    #[error("{codec} cannot compress: {reason}")]
    Refused {
        /// The codec.
        codec: Codec,
        /// The library's words.
        reason: Arc<str>,
    },
}

fn corrupt(codec: Codec, reason: &dyn ToString) -> CompressionError {
    CompressionError::Corrupt { codec, reason: reason.to_string().into() }
}
