//! Numbers of a few bits each, one behind the other in 256 bits.

/// Writes them.
#[derive(Default)]
pub struct Writer {
    words: [u64; 4],
    at: u32,
}

impl Writer {
    /// The next `bits` bits: at most 16, and `value` has to fit.
    #[inline]
    pub fn put(&mut self, value: u32, bits: u32) {
        debug_assert!(value < 1 << bits, "{value} in {bits} bits");
        let (word, shift) = ((self.at / 64) as usize, self.at % 64);
        self.words[word] |= u64::from(value) << shift;
        if shift + bits > 64 {
            self.words[word + 1] |= u64::from(value) >> (64 - shift);
        }
        self.at += bits;
    }

    /// What was written.
    #[inline]
    pub fn finish(self) -> [u64; 4] {
        debug_assert!(self.at <= 256, "{} bits", self.at);
        self.words
    }
}

/// Reads them in the order in which they were written.
pub struct Reader<'a> {
    words: &'a [u64; 4],
    at: u32,
}

impl<'a> Reader<'a> {
    /// From the first.
    #[inline]
    pub fn new(words: &'a [u64; 4]) -> Reader<'a> {
        Reader { words, at: 0 }
    }

    /// The next `bits` bits.
    #[inline]
    pub fn take(&mut self, bits: u32) -> u32 {
        let (word, shift) = ((self.at / 64) as usize, self.at % 64);
        let mut value = self.words[word] >> shift;
        if shift + bits > 64 {
            value |= self.words[word + 1] << (64 - shift);
        }
        self.at += bits;
        u32::try_from(value & ((1 << bits) - 1)).unwrap_or(0)
    }
}
