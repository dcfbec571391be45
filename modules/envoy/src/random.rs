//! A worker's own random numbers.

/// `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// An index, drawn in proportion to its weight; `None` if all weights are 0.
    pub(crate) fn weighted(&mut self, weights: impl Iterator<Item = u32> + Clone) -> Option<usize> {
        let total: u64 = weights.clone().map(u64::from).sum();
        // Multiply-shift: without a noticeable bias for totals this small.
        let mut at = ((u128::from(self.next()) * u128::from(total)) >> 64) as u64;
        for (index, weight) in weights.enumerate() {
            if at < u64::from(weight) {
                return Some(index);
            }
            at -= u64::from(weight);
        }
        None
    }

    /// A number below `end`; 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // Multiply-shift, as above.
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_come_in_proportion_to_their_weights() {
        let mut random = Random::new(1);
        let mut drawn = [0; 4];
        for _ in 0..10_000 {
            drawn[random.weighted([1, 0, 2, 7].into_iter()).expect("a positive weight")] += 1;
        }
        assert_eq!(drawn[1], 0);
        assert!((800..1200).contains(&drawn[0]) && (6700..7300).contains(&drawn[3]), "{drawn:?}");
        assert_eq!(random.weighted([0, 0].into_iter()), None);
        assert_eq!(random.weighted(std::iter::empty()), None);
    }
}
