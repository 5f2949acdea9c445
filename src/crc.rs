//! The two checksums Kafka stores. Both are fast enough that memory, not arithmetic, is the limit.

/// CRC-32C (Castagnoli): record batches of magic 2, from byte 21 on, and producer snapshots.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// CRC-32 (IEEE, zlib): messages of magic 0 and 1.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
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
        }
    }
}
