//! Writing compressed payloads in the shapes Kafka writes.
//!
//! - **gzip**: one member with the header of Java 16 and later (no name, no time, OS 255);
//! - **snappy**: snappy-java's stream, blocks of 32 KiB;
//! - **lz4**: one frame of independent blocks of 64 KiB, no checksums but the header's, a block stored as it
//!   is where compression does not make it smaller;
//! - **zstd**: one frame without content size and checksum.
//!
//! Which bytes stand for the data inside is each library's choice and changes with its version, in Kafka too.
//! Only lz4 gives exactly Kafka's.

use std::fmt;

use lz4::block::CompressionMode;
use thiserror::Error;
use zstd::zstd_safe::{CCtx, CParameter, ResetDirective, compress_bound, get_error_name};

use super::CompressionError;
use crate::crc::crc32;
use crate::types::Codec;

/// A codec and how hard it tries: what `compression.type` and `compression.<codec>.level` say together.
///
/// ```
/// use logdir::batch::Compression;
/// use logdir::types::Codec;
///
/// let compression = Compression::parse("zstd:7")?;
/// assert_eq!((compression.codec(), compression.level()), (Codec::Zstd, Some(7)));
/// assert_eq!(Compression::of(Codec::Lz4).level(), Some(9));
/// assert!(Compression::parse("gzip:0").is_err());
/// # Ok::<(), logdir::batch::LevelError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Compression {
    codec: Codec,
    level: i32,
}

/// Why text or a number is no compression setting.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum LevelError {
    /// No such codec.
    #[error("unknown codec '{0}', expected none, gzip, snappy, lz4 or zstd")]
    UnknownCodec(String),
    /// The codec has nothing to set.
    #[error("{0} has no levels")]
    NoLevels(Codec),
    /// The codec does not go that far.
    #[error("{codec} level is {level}, expected {min} to {max}")]
    OutOfRange {
        /// The codec.
        codec: Codec,
        /// The level asked for.
        level: i64,
        /// Its lowest level.
        min: i32,
        /// Its highest level.
        max: i32,
    },
    /// What stands behind the colon is no number.
    #[error("{codec} level '{text}' is not a whole number")]
    NotANumber {
        /// The codec.
        codec: Codec,
        /// What stands there.
        text: String,
    },
}

/// Lowest, highest and default level (`CompressionType`); `None` for codecs without levels.
const fn levels(codec: Codec) -> Option<(i32, i32, i32)> {
    match codec {
        Codec::None | Codec::Snappy => None,
        // -1 is zlib's word for its default, which is 6.
        Codec::Gzip => Some((1, 9, -1)),
        Codec::Lz4 => Some((1, 17, LZ4_FAST)),
        Codec::Zstd => Some((-131_072, 22, 3)),
    }
}

/// The one LZ4 level that means the fast compressor; all others are the high-compression one's
/// (`Lz4BlockOutputStream`).
const LZ4_FAST: i32 = 9;

impl Compression {
    /// Records stored as they are.
    pub const NONE: Compression = Compression::of(Codec::None);

    /// `codec` at Kafka's default level.
    pub const fn of(codec: Codec) -> Self {
        let level = match levels(codec) {
            Some((_, _, default)) => default,
            None => 0,
        };
        Compression { codec, level }
    }

    /// `codec` at `level`: gzip 1 to 9 or -1, lz4 1 to 17 (9: fast), zstd -131072 to 22; no other codec has levels.
    pub fn with_level(codec: Codec, level: i32) -> Result<Self, LevelError> {
        let (min, max, default) = levels(codec).ok_or(LevelError::NoLevels(codec))?;
        if (min..=max).contains(&level) || level == default {
            Ok(Compression { codec, level })
        } else {
            Err(LevelError::OutOfRange { codec, level: i64::from(level), min, max })
        }
    }

    /// Reads `CODEC` or `CODEC:LEVEL`.
    pub fn parse(text: &str) -> Result<Self, LevelError> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let codec = Codec::ALL.into_iter().find(|codec| codec.name() == name);
        let codec = codec.ok_or_else(|| LevelError::UnknownCodec(name.to_owned()))?;
        let Some(level) = level else { return Ok(Compression::of(codec)) };
        let (min, max, _) = levels(codec).ok_or(LevelError::NoLevels(codec))?;
        let number = level.parse::<i64>().map_err(|_| LevelError::NotANumber { codec, text: level.to_owned() })?;
        let fits = i32::try_from(number).map_err(|_| LevelError::OutOfRange { codec, level: number, min, max })?;
        Compression::with_level(codec, fits)
    }

    /// The codec.
    pub const fn codec(self) -> Codec {
        self.codec
    }

    /// The level; `None` for a codec without levels. gzip's default is -1.
    pub const fn level(self) -> Option<i32> {
        match levels(self.codec) {
            Some(_) => Some(self.level),
            None => None,
        }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Compression::NONE
    }
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        Compression::of(codec)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level() {
            Some(level) if *self != Compression::of(self.codec) => write!(f, "{}:{level}", self.codec),
            _ => self.codec.fmt(f),
        }
    }
}

/// Compresses payloads one after the other; each codec's state is made at its first use and kept.
pub struct Compressor {
    gzip: Option<(i32, flate2::Compress)>,
    snappy: snap::raw::Encoder,
    zstd: Option<(i32, CCtx<'static>)>,
    /// One compressed block of snappy or lz4, before its length is known to be worth it.
    block: Vec<u8>,
}

impl Default for Compressor {
    fn default() -> Self {
        Compressor { gzip: None, snappy: snap::raw::Encoder::new(), zstd: None, block: Vec::new() }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

fn refused(codec: Codec, reason: &dyn ToString) -> CompressionError {
    CompressionError::Refused { codec, reason: reason.to_string().into() }
}

impl Compressor {
    /// Appends `payload`, compressed for a batch or wrapper of this `magic`, to `out`.
    ///
    /// On an error `out` holds an undefined part of it.
    pub fn compress(
        &mut self,
        compression: Compression,
        magic: i8,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        match compression.codec {
            Codec::None => {
                out.extend_from_slice(payload);
                Ok(())
            }
            Codec::Gzip => self.gzip(compression.level, payload, out),
            Codec::Snappy => self.snappy(payload, out),
            Codec::Lz4 => self.lz4(compression.level, magic, payload, out),
            Codec::Zstd if magic < 2 => Err(CompressionError::ZstdInLegacy),
            Codec::Zstd => self.zstd(compression.level, payload, out),
        }
    }

    fn gzip(&mut self, level: i32, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
        const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
        let deflate = match &mut self.gzip {
            Some((made_for, deflate)) if *made_for == level => {
                deflate.reset();
                deflate
            }
            other => {
                let zlib_level =
                    u32::try_from(level).map_or_else(|_| flate2::Compression::default(), flate2::Compression::new);
                &mut other.insert((level, flate2::Compress::new(zlib_level, false))).1
            }
        };
        out.extend_from_slice(&HEADER);
        let mut rest = payload;
        loop {
            // Text shrinks to a fraction; what does not, comes around again.
            out.reserve((rest.len() / 2).max(1024));
            let before = deflate.total_in();
            let status = deflate
                .compress_vec(rest, out, flate2::FlushCompress::Finish)
                .map_err(|error| refused(Codec::Gzip, &error))?;
            let taken = usize::try_from(deflate.total_in() - before).unwrap_or(usize::MAX);
            rest = rest.get(taken..).unwrap_or_default();
            if status == flate2::Status::StreamEnd {
                break;
            }
        }
        out.extend_from_slice(&crc32(payload).to_le_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "RFC 1952: the size modulo 2^32")]
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        Ok(())
    }

    fn snappy(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
        const HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
        const BLOCK_BYTES: usize = 32 << 10;
        out.extend_from_slice(&HEADER);
        self.block.resize(self.block.len().max(snap::raw::max_compress_len(BLOCK_BYTES)), 0);
        for chunk in payload.chunks(BLOCK_BYTES) {
            let len = self.snappy.compress(chunk, &mut self.block).map_err(|error| refused(Codec::Snappy, &error))?;
            put_block(
                out,
                u32::try_from(len).unwrap_or_default().to_be_bytes(),
                self.block.get(..len).unwrap_or_default(),
            );
        }
        Ok(())
    }

    fn lz4(&mut self, level: i32, magic: i8, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
        const BLOCK_BYTES: usize = 64 << 10;
        const STORED: u32 = 0x8000_0000;
        // Magic 0 got its checksum over the frame's magic bytes as well (KAFKA-3160).
        let header_checksum = if magic == 0 { 0x1a } else { 0x82 };
        out.extend_from_slice(&[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, header_checksum]);
        let block_bytes_max = lz4::block::compress_bound(BLOCK_BYTES).map_err(|error| refused(Codec::Lz4, &error))?;
        self.block.resize(self.block.len().max(block_bytes_max), 0);
        // liblz4 is what Kafka's lz4-java wraps: the same blocks come out.
        let mode = if level == LZ4_FAST { CompressionMode::DEFAULT } else { CompressionMode::HIGHCOMPRESSION(level) };
        for chunk in payload.chunks(BLOCK_BYTES) {
            let len = lz4::block::compress_to_buffer(chunk, Some(mode), false, &mut self.block)
                .map_err(|error| refused(Codec::Lz4, &error))?;
            let (stored, block) = match self.block.get(..len) {
                Some(block) if len < chunk.len() => (0, block),
                _ => (STORED, chunk),
            };
            let field = stored | u32::try_from(block.len()).unwrap_or_default();
            put_block(out, field.to_le_bytes(), block);
        }
        out.extend_from_slice(&[0; 4]);
        Ok(())
    }

    fn zstd(&mut self, level: i32, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
        let failed = |code| refused(Codec::Zstd, &get_error_name(code));
        let context = match &mut self.zstd {
            Some((made_for, context)) if *made_for == level => context,
            other => {
                let mut context =
                    CCtx::try_create().ok_or_else(|| refused(Codec::Zstd, &"no memory for a compression context"))?;
                context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
                context.set_parameter(CParameter::ContentSizeFlag(false)).map_err(failed)?;
                &mut other.insert((level, context)).1
            }
        };
        let start = out.len();
        out.reserve(compress_bound(payload.len()));
        let mut target = std::io::Cursor::new(out);
        target.set_position(start as u64);
        match context.compress2(&mut target, payload) {
            Ok(_) => Ok(()),
            Err(code) => {
                // Whatever state the failure left behind must not reach the next batch.
                let _ = context.reset(ResetDirective::SessionOnly);
                Err(failed(code))
            }
        }
    }
}

fn put_block(out: &mut Vec<u8>, field: [u8; 4], block: &[u8]) {
    out.reserve(field.len() + block.len());
    out.extend_from_slice(&field);
    out.extend_from_slice(block);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Decompressor;

    /// Text, noise, zeros; around every block size and far above.
    fn payloads() -> Vec<Vec<u8>> {
        let text = |len: usize| b"the quick brown fox 0123456789 ".iter().copied().cycle().take(len).collect();
        let noise = |len: usize| {
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            let next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            };
            std::iter::repeat_with(next).take(len).collect()
        };
        let sizes = [0, 1, 7, 100, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 300_000];
        sizes.iter().flat_map(|&len| [text(len), noise(len), vec![0; len]]).collect()
    }

    #[test]
    fn every_codec_and_level_gives_back_what_it_got() {
        let settings = [
            "none",
            "gzip",
            "gzip:1",
            "gzip:9",
            "gzip:-1",
            "snappy",
            "lz4",
            "lz4:1",
            "lz4:12",
            "lz4:17",
            "zstd",
            "zstd:-5",
            "zstd:-131072",
            "zstd:1",
            "zstd:19",
            "zstd:22",
        ];
        let mut compressor = Compressor::default();
        let mut decompressor = Decompressor::default();
        for payload in payloads() {
            for setting in settings {
                let compression = Compression::parse(setting).unwrap();
                for magic in [0, 1, 2] {
                    // What stands before is the batch header.
                    let mut out = b"header".to_vec();
                    let done = compressor.compress(compression, magic, &payload, &mut out);
                    if compression.codec() == Codec::Zstd && magic < 2 {
                        assert_eq!(done, Err(CompressionError::ZstdInLegacy));
                        continue;
                    }
                    assert_eq!(done, Ok(()), "{setting}, {} bytes", payload.len());
                    let compressed = out.strip_prefix(b"header").unwrap();
                    let back = decompressor.decompress(compression.codec(), magic, compressed).unwrap();
                    assert!(back == payload, "{setting}, magic {magic}, {} bytes", payload.len());
                }
            }
        }
    }

    #[test]
    fn frames_start_as_kafkas_do() {
        let payload = vec![b'a'; 100_000];
        let cases: [(&str, i8, &[u8]); 6] = [
            ("gzip", 2, &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]),
            ("snappy", 2, b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"),
            ("lz4", 2, &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]),
            ("lz4:3", 1, &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]),
            ("lz4", 0, &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x1a]),
            ("zstd", 2, &[0x28, 0xb5, 0x2f, 0xfd, 0x00]),
        ];
        for (setting, magic, start) in cases {
            let mut out = Vec::new();
            Compressor::default().compress(Compression::parse(setting).unwrap(), magic, &payload, &mut out).unwrap();
            assert_eq!(out.get(..start.len()), Some(start), "{setting}, magic {magic}");
            assert!(out.len() < 10_000, "{setting}: {} bytes", out.len());
        }
    }

    #[test]
    fn levels_are_those_of_kafka() {
        let good = [
            ("none", None),
            ("snappy", None),
            ("gzip", Some(-1)),
            ("gzip:9", Some(9)),
            ("lz4", Some(9)),
            ("lz4:17", Some(17)),
            ("zstd", Some(3)),
            ("zstd:-131072", Some(-131_072)),
            ("zstd:22", Some(22)),
        ];
        for (text, level) in good {
            let compression = Compression::parse(text).unwrap();
            assert_eq!(compression.level(), level, "{text}");
            assert_eq!(compression.to_string(), text);
        }
        let bad = [
            ("gzip:0", "gzip level is 0, expected 1 to 9"),
            ("gzip:10", "gzip level is 10, expected 1 to 9"),
            ("lz4:18", "lz4 level is 18, expected 1 to 17"),
            ("lz4:0", "lz4 level is 0, expected 1 to 17"),
            ("zstd:23", "zstd level is 23, expected -131072 to 22"),
            ("zstd:9999999999", "zstd level is 9999999999, expected -131072 to 22"),
            ("zstd:fast", "zstd level 'fast' is not a whole number"),
            ("zstd:", "zstd level '' is not a whole number"),
            ("snappy:1", "snappy has no levels"),
            ("none:1", "none has no levels"),
            ("LZ4", "unknown codec 'LZ4', expected none, gzip, snappy, lz4 or zstd"),
        ];
        for (text, message) in bad {
            assert_eq!(Compression::parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }
}
