//! A worker's own random numbers.

use evenkeel_numbers::random::{self, SplitMix64};

/// Random choices, repeatable from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(SplitMix64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// An index, drawn in proportion to its weight; `None` if all weights are 0.
    pub(crate) fn weighted(&mut self, weights: impl Iterator<Item = u32> + Clone) -> Option<usize> {
        let total: u64 = weights.clone().map(u64::from).sum();
        let mut at = random::below(self.0.bits(), total);
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
        random::below(self.0.bits(), end as u64) as usize
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
