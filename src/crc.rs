//! The two checksums Kafka stores. Both are fast enough that memory, not arithmetic, is the limit.

/// CRC-32C (Castagnoli): record batches of magic 2, from byte 21 on, and producer snapshots.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// CRC-32 (IEEE, zlib): messages of magic 0 and 1.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// CRC-32C of bytes that come in pieces.
#[derive(Debug, Clone)]
pub struct Crc32c(crc_fast::Digest);

impl Crc32c {
    /// Of no bytes yet.
    pub fn new() -> Self {
        Crc32c(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
    }

    /// Goes on with `piece`.
    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The checksum of all pieces.
    pub fn value(&self) -> u32 {
        // The crate has one type for all widths; the upper half of a 32-bit checksum is zero.
        u32::try_from(self.0.finalize() & u64::from(u32::MAX)).unwrap_or_default()
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Crc32c::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn check_values_of_the_catalogue() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    proptest! {
        /// The fast crate is young and full of `unsafe`: an old, slow one must agree.
        #[test]
        fn two_implementations_agree(bytes in proptest::collection::vec(any::<u8>(), 0..5_000), from in 0usize..64) {
            let tail = bytes.get(from..).unwrap_or_default();
            prop_assert_eq!(crc32c(tail), ::crc32c::crc32c(tail));
            let mut pieces = Crc32c::new();
            tail.chunks(700).for_each(|piece| pieces.add(piece));
            prop_assert_eq!(pieces.value(), crc32c(tail));
        }
    }
}
