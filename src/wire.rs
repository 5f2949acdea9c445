//! Big-endian integers and Kafka's variable-length ones, read from a slice that is trusted for nothing.
//!
//! A [`Reader`] never panics and never allocates: every read either yields a value or a [`WireError`].

use thiserror::Error;

/// Why bytes could not be read as the type asked for.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// The input ends inside the value.
    #[error("needs {needed} bytes, {available} remain")]
    Underflow {
        /// Bytes the value takes.
        needed: usize,
        /// Bytes left.
        available: usize,
    },
    /// More continuation bytes than the type can hold (`ByteUtils.readVarint`).
    #[error("varint is too long, its most significant bits are {value:#x}")]
    VarintTooLong {
        /// What had been decoded when the limit was reached.
        value: u64,
    },
}

/// The `W` bytes at `AT`. A field that would leave the header does not compile.
pub fn field<const AT: usize, const W: usize, const N: usize>(header: &[u8; N]) -> [u8; W] {
    const { assert!(AT + W <= N) };
    let mut out = [0; W];
    out.copy_from_slice(&header[AT..AT + W]);
    out
}

/// Undoes zig-zag coding of 32-bit integers.
pub const fn unzigzag32(raw: u32) -> i32 {
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

/// Undoes zig-zag coding of 64-bit integers.
pub const fn unzigzag64(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

/// Zig-zag coding of 32-bit integers: small ones of either sign become small unsigned ones.
pub const fn zigzag32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

/// Zig-zag coding of 64-bit integers.
pub const fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Bytes of an unsigned variable-length integer (`ByteUtils.sizeOfUnsignedVarint`, `sizeOfVarlong`): 1 to 10.
pub const fn unsigned_varlong_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    // bits / 7 rounded up, without the division.
    (bits * 9 + 64) / 64
}

/// Appends an unsigned variable-length integer (`ByteUtils.writeUnsignedVarint`).
pub fn put_unsigned_varint(out: &mut Vec<u8>, value: u32) {
    put_unsigned_varlong(out, u64::from(value));
}

/// Appends a zig-zag variable-length 32-bit integer (`ByteUtils.writeVarint`).
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_unsigned_varint(out, zigzag32(value));
}

/// Appends a zig-zag variable-length 64-bit integer (`ByteUtils.writeVarlong`).
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_unsigned_varlong(out, zigzag64(value));
}

fn put_unsigned_varlong(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        let [low, ..] = value.to_le_bytes();
        out.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.push(low);
}

/// Reads forward over a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// Bytes not yet read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Number of bytes not yet read.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes the next `len` bytes.
    #[inline(always)]
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(WireError::Underflow { needed: len, available: self.rest.len() }),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(WireError::Underflow { needed: N, available: self.rest.len() }),
        }
    }

    /// A signed byte.
    #[inline]
    pub fn i8(&mut self) -> Result<i8, WireError> {
        self.array().map(i8::from_be_bytes)
    }

    /// A 16-bit integer.
    #[inline]
    pub fn i16(&mut self) -> Result<i16, WireError> {
        self.array().map(i16::from_be_bytes)
    }

    /// A 32-bit integer.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, WireError> {
        self.array().map(i32::from_be_bytes)
    }

    /// An unsigned 32-bit integer.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A 64-bit integer.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, WireError> {
        self.array().map(i64::from_be_bytes)
    }

    /// An unsigned variable-length 32-bit integer: at most five bytes (`ByteUtils.readUnsignedVarint`).
    ///
    /// Bits above the 32nd in the fifth byte are dropped, as Java's shift drops them.
    #[inline(always)]
    pub fn unsigned_varint(&mut self) -> Result<u32, WireError> {
        // One or two bytes in nearly every record: deltas, sizes and lengths below 8192.
        match self.rest {
            [first, rest @ ..] if *first < 0x80 => {
                self.rest = rest;
                Ok(u32::from(*first))
            }
            [first, second, rest @ ..] if *second < 0x80 => {
                self.rest = rest;
                Ok(u32::from(*first & 0x7f) | u32::from(*second) << 7)
            }
            _ => self.unsigned_varint_slow(),
        }
    }

    #[cold]
    fn unsigned_varint_slow(&mut self) -> Result<u32, WireError> {
        let mut value: u32 = 0;
        for (at, &byte) in self.rest.iter().take(5).enumerate() {
            value |= u32::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        if self.rest.len() < 5 {
            return Err(WireError::Underflow { needed: self.rest.len() + 1, available: self.rest.len() });
        }
        Err(WireError::VarintTooLong { value: u64::from(value) })
    }

    /// A zig-zag variable-length 32-bit integer.
    #[inline(always)]
    pub fn varint(&mut self) -> Result<i32, WireError> {
        self.unsigned_varint().map(unzigzag32)
    }

    /// A zig-zag variable-length 64-bit integer: at most ten bytes (`ByteUtils.readVarlong`).
    #[inline(always)]
    pub fn varlong(&mut self) -> Result<i64, WireError> {
        match self.rest {
            [first, rest @ ..] if *first < 0x80 => {
                self.rest = rest;
                Ok(unzigzag64(u64::from(*first)))
            }
            [first, second, rest @ ..] if *second < 0x80 => {
                self.rest = rest;
                Ok(unzigzag64(u64::from(*first & 0x7f) | u64::from(*second) << 7))
            }
            _ => self.varlong_slow(),
        }
    }

    #[cold]
    fn varlong_slow(&mut self) -> Result<i64, WireError> {
        let mut value: u64 = 0;
        for (at, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(unzigzag64(value));
            }
        }
        if self.rest.len() < 10 {
            return Err(WireError::Underflow { needed: self.rest.len() + 1, available: self.rest.len() });
        }
        Err(WireError::VarintTooLong { value })
    }

    /// Bytes behind a varint length; `None` for any negative length, as `Utils.readBytes` reads it.
    #[inline(always)]
    pub fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        let len = self.varint()?;
        match usize::try_from(len) {
            Ok(len) => self.bytes(len).map(Some),
            Err(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_cut_is_an_underflow_and_too_long_is_said() {
        let full = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(Reader::new(&full).varint(), Ok(i32::MIN));
        for cut in 0..full.len() {
            assert!(matches!(Reader::new(&full[..cut]).varint(), Err(WireError::Underflow { .. })), "cut {cut}");
        }
        assert!(matches!(Reader::new(&[0xff; 5]).varint(), Err(WireError::VarintTooLong { .. })));
        assert!(matches!(Reader::new(&[0xff; 10]).varlong(), Err(WireError::VarintTooLong { .. })));
    }

    proptest! {
        #[test]
        fn lengths_are_known_before_writing(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let mut out = Vec::new();
            put_unsigned_varlong(&mut out, value);
            prop_assert_eq!(out.len(), unsigned_varlong_len(value));
        }

        #[test]
        fn what_is_written_is_read(value: i64, small: i32) {
            let mut out = Vec::new();
            put_varlong(&mut out, value);
            put_varint(&mut out, small);
            put_unsigned_varint(&mut out, small.cast_unsigned());
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varlong(), Ok(value));
            prop_assert_eq!(reader.varint(), Ok(small));
            prop_assert_eq!(reader.unsigned_varint(), Ok(small.cast_unsigned()));
            prop_assert_eq!(reader.remaining(), 0);
        }
    }

    #[test]
    fn negative_lengths_are_null() {
        assert_eq!(Reader::new(&[0x01]).nullable_bytes(), Ok(None));
        assert_eq!(Reader::new(&[0x05]).nullable_bytes(), Ok(None), "-3");
        assert_eq!(Reader::new(&[0x00]).nullable_bytes(), Ok(Some(&[][..])));
    }
}
