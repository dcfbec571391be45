//! Quantiles of sorted samples, between neighbours by linear interpolation. The numbers of the kinds are
//! those of Hyndman and Fan, "Sample quantiles in statistical packages" (1996).

/// Describes a sample: the quantile at `share`, 0 to 1, of kind 7, so that 0 gives the least and 1 the
/// greatest value. NaN of no values.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1) as f64;
    at_rank(sorted, share.clamp(0.0, 1.0) * last)
}

/// Predicts from a sample: the value that another one of its kind exceeds with probability
/// `1 - probability`, of kind 6, at rank `probability · (n + 1)`. NaN of no values.
pub fn predicted(sorted: &[f32], probability: f32) -> f64 {
    at_rank(sorted, f64::from(probability) * (sorted.len() + 1) as f64 - 1.0)
}

/// Picks the value of a sample that a share of it, 0 to 1, does not exceed, of kind 1: one that occurred.
/// `None` of no values.
pub fn occurring<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let rank = sorted.len() as f64 * share;
    // Rounded up: conversion cuts, and the fraction that it cuts belongs to the next.
    let whole = rank as usize;
    let rank = whole + usize::from(rank > whole as f64);
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

/// The value at a rank counted from 0, or at the end that is next to it.
fn at_rank<T: Copy + Into<f64>>(sorted: &[T], rank: f64) -> f64 {
    let rank = rank.clamp(0.0, sorted.len().saturating_sub(1) as f64);
    let below = rank as usize;
    let share = rank - below as f64;
    let value = |index: usize| sorted.get(index).map_or(f64::NAN, |value| (*value).into());
    // Without this an infinite neighbour would spoil a value that it has no part in.
    if share == 0.0 {
        return value(below);
    }
    value(below) + share * (value(below + 1) - value(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_runs_from_the_least_to_the_greatest() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        let shares = [0.0, 0.5, 0.75, 1.0, 2.0];
        assert_eq!(shares.map(|share| quantile(&sorted, share)), [1.0, 3.0, 5.0, 8.0, 8.0]);
        assert_eq!(quantile(&[3.0], 0.3), 3.0);
        assert!(quantile(&[], 0.5).is_nan());
        assert_eq!(quantile(&[1.0, 2.0, f64::INFINITY], 0.5), 2.0);
    }

    #[test]
    fn an_occurring_value_is_one_of_the_sample() {
        let sorted = [1, 2, 4, 8];
        let shares = [0.0, 0.25, 0.26, 0.5, 0.99, 1.0];
        assert_eq!(shares.map(|share| occurring(&sorted, share)), [1, 1, 2, 2, 8, 8].map(Some));
        assert_eq!(occurring::<u8>(&[], 0.5), None);
    }

    #[test]
    fn a_prediction_leaves_room_at_both_ends() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        assert_eq!([0.1, 0.5, 0.9].map(|probability| predicted(&sorted, probability)), [1.0, 2.5, 4.0]);
        assert!(predicted(&[], 0.5).is_nan());
    }
}
