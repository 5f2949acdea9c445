//! States in a few words, and the mixing of these words.

/// A state in as few words as hold it: millions of them are kept.
///
/// Equal states are equal words: two ways to write the same state would be two states to the search.
pub trait Packed: Copy + Ord + Send + Sync {
    /// All bits of the state mixed into 64, each of which decides something: which part of the states it belongs to,
    /// where it is looked for there, and whether it is worth comparing. See [`mix`].
    fn hash(&self) -> u64;
}

impl Packed for u64 {
    fn hash(&self) -> u64 {
        mix([*self])
    }
}

impl<const WORDS: usize> Packed for [u64; WORDS] {
    fn hash(&self) -> u64 {
        mix(*self)
    }
}

/// Odd numbers with as many ones as zeros in no order: the fractions of square roots.
const SEED: u64 = 0x6a09_e667_f3bc_c909;
const FIRST: u64 = 0xbb67_ae85_84ca_a73b;
const LAST: u64 = 0xa54f_f53a_5f1d_36f1;

/// Words mixed so that every bit of them may turn every bit of the result.
///
/// Packed states differ in few bits, close together; a mixer that only moves them up makes the search several times
/// slower.
pub fn mix(words: impl IntoIterator<Item = u64>) -> u64 {
    let mixed = words.into_iter().fold(SEED, |mixed, word| fold(mixed ^ word, FIRST));
    fold(mixed, LAST)
}

/// Both halves of the product, one upon the other.
fn fold(left: u64, right: u64) -> u64 {
    let (low, high) = left.carrying_mul(right, 0);
    low ^ high
}

#[cfg(test)]
mod tests {
    use super::{Packed, mix};

    #[test]
    fn every_bit_of_a_word_turns_about_half_of_the_bits() {
        for bit in 0..128 {
            let turned: u32 = (0..64_u64)
                .map(|it| {
                    let state = [it, it << 40];
                    let mut other = state;
                    other[bit / 64] ^= 1 << (bit % 64);
                    (state.hash() ^ other.hash()).count_ones()
                })
                .sum();
            assert!((24 * 64..40 * 64).contains(&turned), "bit {bit} turns {turned} bits of 64 x 64");
        }
    }

    #[test]
    fn words_in_another_order_are_another_state() {
        assert_ne!(mix([1, 2]), mix([2, 1]));
        assert_ne!(mix([0, 0]), mix([0]));
    }
}
