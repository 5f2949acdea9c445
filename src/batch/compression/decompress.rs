//! Reading compressed payloads: into one reused buffer, never beyond a cap.
//!
//! - **snappy**: snappy-java's stream (`82 "SNAPPY" 00`, two versions, then `i32 length, raw block` ...), or one
//!   raw block where that header is missing;
//! - **lz4**: the LZ4 frame format within the limits of `Lz4BlockInputStream`: independent blocks only, the
//!   content checksum ignored, one frame, and for magic 0 a header checksum that is not checked (KAFKA-3160);
//! - **gzip**: members one after the other, garbage behind the last ignored as `GZIPInputStream` does;
//! - **zstd**: any number of frames.
//!
//! Decompressed sizes written in the data are claims. Output grows as data arrives and stops at the cap.

use std::io::Read;

use super::{CompressionError, MAX_BATCH_BYTES, corrupt};
use crate::types::Codec;

/// Decompresses payloads one after the other, keeping its buffer and codec state between them.
pub struct Decompressor {
    out: Vec<u8>,
    cap: usize,
    zstd: Option<zstd::zstd_safe::DCtx<'static>>,
    snappy: snap::raw::Decoder,
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor").field("cap", &self.cap).finish_non_exhaustive()
    }
}

impl Default for Decompressor {
    fn default() -> Self {
        Decompressor::with_cap(MAX_BATCH_BYTES)
    }
}

/// Smallest buffer worth having: most batches fit the first time.
const FIRST_CAPACITY: usize = 64 << 10;

impl Decompressor {
    /// Decompresses to at most `cap` bytes a payload.
    pub fn with_cap(cap: usize) -> Self {
        Decompressor { out: Vec::new(), cap, zstd: None, snappy: snap::raw::Decoder::new() }
    }

    /// The cap, in bytes.
    pub const fn cap(&self) -> usize {
        self.cap
    }

    /// The decompressed `payload` of a batch or wrapper of this `magic`; valid until the next call.
    ///
    /// What was decompressed before an error is lost: a payload that is damaged anywhere is refused whole.
    pub fn decompress<'b>(
        &'b mut self,
        codec: Codec,
        magic: i8,
        payload: &'b [u8],
    ) -> Result<&'b [u8], CompressionError> {
        // A bomb must not leave its buffer behind for the rest of a run.
        if self.out.capacity() > (4 << 20) && self.out.len() < (1 << 20) {
            self.out = Vec::new();
        }
        self.out.clear();
        match codec {
            Codec::None => return Ok(payload),
            Codec::Gzip => self.gzip(payload)?,
            Codec::Snappy => self.snappy(payload)?,
            Codec::Lz4 => self.lz4(payload, magic)?,
            Codec::Zstd => self.zstd(payload)?,
        }
        Ok(&self.out)
    }

    fn over_cap(&self, codec: Codec) -> CompressionError {
        CompressionError::OverCap { codec, cap: self.cap }
    }

    fn gzip(&mut self, payload: &[u8]) -> Result<(), CompressionError> {
        let mut rest = payload;
        loop {
            let mut member = flate2::bufread::GzDecoder::new(rest);
            let room = self.cap - self.out.len();
            let read = (&mut member).take(room as u64 + 1).read_to_end(&mut self.out);
            match read {
                Ok(_) if self.out.len() > self.cap => return Err(self.over_cap(Codec::Gzip)),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Err(CompressionError::Truncated { codec: Codec::Gzip, what: "a member" });
                }
                Err(error) => return Err(corrupt(Codec::Gzip, &error)),
            }
            rest = member.into_inner();
            // `GZIPInputStream.readTrailer`: whatever does not start another member is ignored.
            if !rest.starts_with(&[0x1f, 0x8b, 8]) {
                return Ok(());
            }
        }
    }

    fn snappy(&mut self, payload: &[u8]) -> Result<(), CompressionError> {
        const MAGIC: &[u8] = b"\x82SNAPPY\0";
        const HEADER_LEN: usize = 16;
        if payload.len() < HEADER_LEN || !payload.starts_with(MAGIC) {
            return self.snappy_block(payload);
        }
        let mut rest = payload.get(HEADER_LEN..).unwrap_or_default();
        while let Some((raw_len, tail)) = rest.split_first_chunk::<4>() {
            // Concatenated streams repeat the header where a length would stand.
            if rest.len() >= HEADER_LEN && rest.starts_with(MAGIC) {
                rest = rest.get(HEADER_LEN..).unwrap_or_default();
                continue;
            }
            let len = usize::try_from(i32::from_be_bytes(*raw_len))
                .map_err(|_| corrupt(Codec::Snappy, &"negative block length"))?;
            let (block, after) = tail
                .split_at_checked(len)
                .ok_or(CompressionError::Truncated { codec: Codec::Snappy, what: "a block" })?;
            self.snappy_block(block)?;
            rest = after;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(CompressionError::Truncated { codec: Codec::Snappy, what: "a block length" })
        }
    }

    fn snappy_block(&mut self, block: &[u8]) -> Result<(), CompressionError> {
        let claimed = snap::raw::decompress_len(block).map_err(|error| corrupt(Codec::Snappy, &error))?;
        let start = self.out.len();
        if claimed > self.cap - start {
            return Err(self.over_cap(Codec::Snappy));
        }
        // A copy element makes at most 64 bytes of 3, so an honest block cannot claim more than this.
        if claimed / 32 > block.len() {
            return Err(corrupt(Codec::Snappy, &"block claims more than it can hold"));
        }
        self.out.resize(start + claimed, 0);
        let target = self.out.get_mut(start..).unwrap_or_default();
        self.snappy.decompress(block, target).map_err(|error| corrupt(Codec::Snappy, &error))?;
        Ok(())
    }

    fn lz4(&mut self, payload: &[u8], magic: i8) -> Result<(), CompressionError> {
        const CUT: CompressionError = CompressionError::Truncated { codec: Codec::Lz4, what: "the frame" };
        let frame = Lz4Frame::parse(payload, magic)?;
        let mut rest = frame.blocks;
        loop {
            let (raw_len, tail) = rest.split_first_chunk::<4>().ok_or(CUT)?;
            let field = u32::from_le_bytes(*raw_len);
            if field == 0 {
                // End mark. A content checksum may follow; like Kafka, nothing behind is looked at.
                if frame.content_checksum && tail.len() < 4 {
                    return Err(CUT);
                }
                return Ok(());
            }
            let stored_plain = field & 0x8000_0000 != 0;
            let len = (field & 0x7fff_ffff) as usize;
            if len > frame.max_block {
                return Err(CompressionError::Lz4("block is larger than the frame's maximum"));
            }
            let (block, mut after) = tail.split_at_checked(len).ok_or(CUT)?;
            if frame.block_checksum {
                let (sum, behind) = after.split_first_chunk::<4>().ok_or(CUT)?;
                if u32::from_le_bytes(*sum) != twox_hash::XxHash32::oneshot(0, block) {
                    return Err(CompressionError::Lz4("block checksum mismatch"));
                }
                after = behind;
            }
            self.lz4_block(block, stored_plain, frame.max_block)?;
            rest = after;
        }
    }

    fn lz4_block(&mut self, block: &[u8], stored_plain: bool, max_block: usize) -> Result<(), CompressionError> {
        let start = self.out.len();
        let room = self.cap - start;
        if stored_plain {
            if block.len() > room {
                return Err(self.over_cap(Codec::Lz4));
            }
            self.out.extend_from_slice(block);
            return Ok(());
        }
        self.out.resize(start + max_block.min(room), 0);
        let target = self.out.get_mut(start..).unwrap_or_default();
        match lz4_flex::block::decompress_into(block, target) {
            Ok(written) => {
                self.out.truncate(start + written);
                Ok(())
            }
            Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if room < max_block => {
                Err(self.over_cap(Codec::Lz4))
            }
            Err(error) => Err(corrupt(Codec::Lz4, &error)),
        }
    }

    fn zstd(&mut self, payload: &[u8]) -> Result<(), CompressionError> {
        use zstd::zstd_safe::{DCtx, get_error_name};
        // ZSTD_error_dstSize_tooSmall, the one error that asks for another try.
        const TOO_SMALL: usize = 70;
        if payload.is_empty() {
            return Ok(());
        }
        let context = match &mut self.zstd {
            Some(context) => context,
            empty => empty.insert(
                DCtx::try_create().ok_or_else(|| corrupt(Codec::Zstd, &"no memory for a decompression context"))?,
            ),
        };
        // Kafka writes no content size, so the size is found by trying. In one pass straight into the buffer
        // this is faster than the streaming interface, which copies everything once more.
        let mut capacity = FIRST_CAPACITY.max(payload.len().saturating_mul(8)).max(self.out.capacity()).min(self.cap);
        loop {
            self.out.clear();
            self.out.reserve_exact(capacity);
            match context.decompress(&mut self.out, payload) {
                Ok(_) if self.out.len() > self.cap => return Err(self.over_cap(Codec::Zstd)),
                Ok(_) => return Ok(()),
                Err(code) if code.wrapping_neg() == TOO_SMALL => {
                    if capacity >= self.cap {
                        return Err(self.over_cap(Codec::Zstd));
                    }
                    capacity = capacity.saturating_mul(4).min(self.cap);
                }
                Err(code) => return Err(corrupt(Codec::Zstd, &get_error_name(code))),
            }
        }
    }
}

/// The header of an LZ4 frame, as far as Kafka reads it.
///
/// ```text
///  04 22 4d 18   magic
///  FLG           7-6 version (01), 5 independent blocks, 4 block checksum, 3 content size,
///                2 content checksum, 1-0 reserved (0)
///  BD            6-4 block maximum: 4 = 64 KiB ... 7 = 4 MiB, others 0
///  [8]           content size, if flagged
///  HC            second byte of the xxh32 of what stands between the magic and here
/// ```
struct Lz4Frame<'a> {
    max_block: usize,
    block_checksum: bool,
    content_checksum: bool,
    blocks: &'a [u8],
}

impl<'a> Lz4Frame<'a> {
    fn parse(payload: &'a [u8], magic: i8) -> Result<Self, CompressionError> {
        const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
        const CUT: CompressionError = CompressionError::Truncated { codec: Codec::Lz4, what: "the frame header" };
        let (start, rest) = payload.split_first_chunk::<4>().ok_or(CUT)?;
        if *start != MAGIC {
            return Err(CompressionError::Lz4("not an lz4 frame (magic bytes)"));
        }
        let &[flags, descriptor, ..] = rest else { return Err(CUT) };
        let checks = [
            (flags >> 6 == 1, "frame version is not 1"),
            (flags & 0x03 == 0, "reserved flag bits are set (a dictionary id is not supported)"),
            (flags & 0x20 != 0, "dependent block stream is unsupported"),
            (descriptor & 0x8f == 0, "reserved block descriptor bits are set"),
            (matches!(descriptor >> 4, 4..=7), "block size value must be between 4 and 7"),
        ];
        if let Some((_, what)) = checks.iter().find(|(holds, _)| !holds) {
            return Err(CompressionError::Lz4(what));
        }
        let described = if flags & 0x08 != 0 { 10 } else { 2 };
        let (descriptor_bytes, rest) = rest.split_at_checked(described).ok_or(CUT)?;
        let (&[header_checksum], blocks) = rest.split_first_chunk::<1>().ok_or(CUT)?;
        // Magic 0 was written with a checksum over the wrong bytes (KAFKA-3160), which Kafka never checks.
        if magic >= 1 {
            let [_, _, second, _] = twox_hash::XxHash32::oneshot(0, descriptor_bytes).to_be_bytes();
            if second != header_checksum {
                return Err(CompressionError::Lz4("frame descriptor checksum mismatch"));
            }
        }
        Ok(Lz4Frame {
            max_block: 1 << (8 + 2 * usize::from(descriptor >> 4)),
            block_checksum: flags & 0x10 != 0,
            content_checksum: flags & 0x04 != 0,
            blocks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::read::GzEncoder::new(bytes, flate2::Compression::default());
        let mut out = Vec::new();
        encoder.read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn bombs_stop_at_the_cap() {
        let zeros = vec![0u8; 300_000];
        let compressed = [
            (Codec::Gzip, gzip(&zeros)),
            (Codec::Zstd, zstd::bulk::compress(&zeros, 3).unwrap()),
            (Codec::Snappy, snap::raw::Encoder::new().compress_vec(&zeros).unwrap()),
        ];
        for (codec, payload) in compressed {
            let mut roomy = Decompressor::with_cap(300_000);
            assert_eq!(roomy.decompress(codec, 2, &payload).unwrap(), zeros, "{codec}");
            let mut tight = Decompressor::with_cap(299_999);
            let refused = tight.decompress(codec, 2, &payload).unwrap_err();
            assert_eq!(refused, CompressionError::OverCap { codec, cap: 299_999 });
        }
    }

    #[test]
    fn gzip_members_join_and_garbage_behind_them_is_ignored() {
        let payload = [gzip(b"one "), gzip(b"two"), b"garbage".to_vec()].concat();
        assert_eq!(Decompressor::default().decompress(Codec::Gzip, 2, &payload).unwrap(), b"one two");
    }

    #[test]
    fn a_snappy_block_cannot_claim_memory_it_does_not_fill() {
        // Length varint of 100 MiB, then two bytes of data.
        let block = [0x80, 0x80, 0x80, 0x32, 0x00, 0x00];
        assert!(matches!(
            Decompressor::default().decompress(Codec::Snappy, 2, &block),
            Err(CompressionError::Corrupt { codec: Codec::Snappy, .. })
        ));
    }
}
