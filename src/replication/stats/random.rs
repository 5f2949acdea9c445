//! Random numbers that are the same on every machine and in every release.
//!
//! xoshiro256++ 1.0 of Blackman and Vigna, seeded by Steele, Lea and Flood's `SplitMix64`. Written down here because
//! "same seed, same bytes" is a promise of this crate, and crates for random numbers promise it for one version only.

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of this number that belongs to a seed; streams of one seed share nothing.
    pub fn new(seed: u64, stream: u64) -> Random {
        let mut mix = SplitMix(SplitMix(seed).next() ^ SplitMix(!stream).next());
        Random { state: [mix.next(), mix.next(), mix.next(), mix.next()] }
    }

    /// 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let bits = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        bits
    }

    /// A number from 0 to just below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    pub const fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// A wait whose mean is 1, exponential.
    pub fn exponential(&mut self) -> f64 {
        // 1 - unit is above 0: its logarithm is finite.
        -libm::log(1.0 - self.unit())
    }
}

/// Spreads a seed over the state of another generator.
struct SplitMix(u64);

impl SplitMix {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_mix_is_as_published() {
        let mut mix = SplitMix(1_234_567);
        for expected in
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423, 4_593_380_528_125_082_431]
        {
            assert_eq!(mix.next(), expected);
        }
    }

    #[test]
    fn xoshiro_is_as_published() {
        let mut random = Random { state: [1, 2, 3, 4] };
        let expected: [u64; 10] = [
            41_943_041,
            58_720_359,
            3_588_806_011_781_223,
            3_591_011_842_654_386,
            9_228_616_714_210_784_205,
            9_973_669_472_204_895_162,
            14_011_001_112_246_962_877,
            12_406_186_145_184_390_807,
            15_849_039_046_786_891_736,
            10_450_023_813_501_588_000,
        ];
        for (number, expected) in expected.into_iter().enumerate() {
            assert_eq!(random.bits(), expected, "number {number}");
        }
    }

    #[test]
    fn waits_have_mean_and_variance_one() {
        let mut random = Random::new(7, 0);
        let count = 100_000;
        let waits: Vec<f64> = (0..count).map(|_| random.exponential()).collect();
        let mean = waits.iter().sum::<f64>() / f64::from(count);
        let variance = waits.iter().map(|wait| (wait - mean) * (wait - mean)).sum::<f64>() / f64::from(count);
        assert!((mean - 1.0).abs() < 0.01 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
    }

    #[test]
    fn streams_differ() {
        let first: Vec<u64> = (0..100).map(|stream| Random::new(1, stream).bits()).collect();
        let mut sorted = first.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), first.len());
    }
}
