//! Comparisons of figures that are paired by seed.
//!
//! All policies meet the same arrivals, sizes and slowdowns in a seed. What seeds have in
//! common cancels in the differences, so that their intervals are narrower than the
//! policies' own.

use evenkeel_env::metrics::{Estimate, estimate};

/// Mean of ours less theirs, with Student's 95 % interval.
pub fn difference(ours: &[f64], theirs: &[f64]) -> Estimate {
    let differences: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs).collect();
    estimate(&differences)
}

/// Mean of ours over mean of theirs, less 1.
pub fn relative_difference(ours: &[f64], theirs: &[f64]) -> Estimate {
    let excess: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs).collect();
    ratio(&excess, theirs)
}

/// The share of the way from a rule to an oracle that ours goes: mean of (rule − ours) over
/// mean of (rule − oracle). NaN where the oracle is not better than the rule in the mean:
/// then there is no way to go.
pub fn headroom_closed(ours: &[f64], rule: &[f64], oracle: &[f64]) -> Estimate {
    let gained: Vec<f64> = rule.iter().zip(ours).map(|(rule, ours)| rule - ours).collect();
    let to_gain: Vec<f64> = rule.iter().zip(oracle).map(|(rule, oracle)| rule - oracle).collect();
    if to_gain.iter().sum::<f64>() > 0.0 {
        ratio(&gained, &to_gain)
    } else {
        Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN }
    }
}

/// Ratio of two means, with the interval of the classical ratio estimator (Cochran, Sampling
/// Techniques, 1977, section 6.4): Student's over the residuals of each pair from the ratio,
/// in units of the denominator's mean. Six seeds are too few for a bootstrap.
fn ratio(numerators: &[f64], denominators: &[f64]) -> Estimate {
    let mean = denominators.iter().sum::<f64>() / denominators.len() as f64;
    let ratio = numerators.iter().sum::<f64>() / denominators.len() as f64 / mean;
    let linear = |(numerator, denominator): (&f64, &f64)| ratio + (numerator - ratio * denominator) / mean;
    estimate(&numerators.iter().zip(denominators).map(linear).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::{headroom_closed, relative_difference};

    #[test]
    fn what_seeds_have_in_common_cancels() {
        let theirs = [1.0, 10.0, 100.0];
        let constant = relative_difference(&theirs.map(|theirs| 0.9 * theirs), &theirs);
        assert!((constant.value + 0.1).abs() < 1e-12);
        assert!(constant.high - constant.low < 1e-9, "{constant:?}");
        let varied = relative_difference(&[0.8, 9.5, 91.0], &theirs);
        assert!(varied.low < varied.value && varied.value < varied.high);
    }

    #[test]
    fn headroom_is_the_share_of_the_way_to_the_oracle() {
        let closed = headroom_closed(&[6.0, 7.0], &[10.0, 11.0], &[5.0, 6.0]);
        assert!((closed.value - 0.8).abs() < 1e-12);
        assert!(headroom_closed(&[1.0, 1.0], &[2.0, 2.0], &[3.0, 3.0]).value.is_nan());
    }
}
