//! `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA
//! 2014): one addition and a finaliser for a number, any state is a good one, and states can be
//! shared by atomic addition.

/// Step of the generator's state: 2⁶⁴ over the golden ratio. Also the factor of Fibonacci hashing.
pub const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Gives the number that follows a state; it spreads every input bit over all output bits.
#[inline]
pub const fn mix(state: u64) -> u64 {
    let mixed = state.wrapping_add(GOLDEN);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Scales 64 random bits to a number below `end`, 0 if that is 0 (Lemire, ACM TOMACS 2019, without
/// the rejection: the bias is below `end` / 2⁶⁴).
#[inline]
pub const fn below(bits: u64, end: u64) -> u64 {
    ((bits as u128 * end as u128) >> 64) as u64
}

/// Scales the upper 53 of 64 random bits to a number from 0 up to, not including, 1.
#[inline]
pub const fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Scales the upper 24 of 64 random bits to a number from 0 up to, not including, 1.
#[inline]
pub const fn unit_f32(bits: u64) -> f32 {
    (bits >> 40) as f32 * (1.0 / (1_u32 << 24) as f32)
}

/// A generator of one's own.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// Starts from a seed; all are equally good.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Draws 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        let drawn = mix(self.0);
        self.0 = self.0.wrapping_add(GOLDEN);
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequence_comes_out() {
        // From seed 1234567, as the reference implementation in C prints it.
        let mut random = SplitMix64::new(1_234_567);
        let drawn = [random.bits(), random.bits(), random.bits()];
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn scaled_bits_stay_in_range() {
        assert_eq!([below(u64::MAX, 7), below(0, 7), below(u64::MAX, 0)], [6, 0, 0]);
        assert!(unit(u64::MAX) < 1.0 && unit_f32(u64::MAX) < 1.0);
        assert_eq!((unit(1 << 63), unit_f32(1 << 63)), (0.5, 0.5));
    }
}
