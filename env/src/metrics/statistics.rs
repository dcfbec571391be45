//! Quantiles, confidence intervals, and comparisons of policies seed by seed.

use evenkeel_numbers::quantile::quantile;

use crate::random::{Purpose, below, stream};

/// Sorted numbers.
#[derive(Clone, Debug)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// Sorts them.
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }

    /// Mean; NaN if there are none.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// Quantile, interpolated between neighbours; NaN if there are none.
    pub fn quantile(&self, share: f64) -> f64 {
        quantile(&self.0, share)
    }
}

/// A mean with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Mean over seeds, with Student's 95 % interval; the interval of a single value is
/// infinite. To compare policies, give the differences (or ratios) seed by seed: paired
/// differences cancel what the seeds have in common.
pub fn estimate(values: &[f64]) -> Estimate {
    let count = values.len() as f64;
    let value = values.iter().sum::<f64>() / count;
    if values.len() < 2 {
        return Estimate { value, low: f64::NEG_INFINITY, high: f64::INFINITY };
    }
    let variance = values.iter().map(|x| (x - value) * (x - value)).sum::<f64>() / (count - 1.0);
    let half = student_975(values.len() - 1) * libm::sqrt(variance / count);
    Estimate { value, low: value - half, high: value + half }
}

/// Difference of two policies' means over the same seeds, ours less theirs, with a paired
/// bootstrap interval.
///
/// # Panics
/// If the two are of different lengths or empty.
pub fn difference(ours: &[f64], theirs: &[f64]) -> Estimate {
    paired([ours, theirs], |[ours, theirs]| ours - theirs)
}

/// Ratio of two policies' means over the same seeds, minus 1, with a paired bootstrap
/// interval.
///
/// # Panics
/// If the two are of different lengths or empty.
pub fn relative_difference(ours: &[f64], theirs: &[f64]) -> Estimate {
    paired([ours, theirs], |[ours, theirs]| ours / theirs - 1.0)
}

/// The share of the way from a rule to an oracle that a policy goes: (rule − ours) /
/// (rule − oracle) of means over the same seeds, with a paired bootstrap interval. NaN
/// where the oracle is not better than the rule: then there is no way to go.
///
/// # Panics
/// If the three are of different lengths or empty.
pub fn headroom_closed(ours: &[f64], rule: &[f64], oracle: &[f64]) -> Estimate {
    paired(
        [ours, rule, oracle],
        |[ours, rule, oracle]| {
            if rule > oracle { (rule - ours) / (rule - oracle) } else { f64::NAN }
        },
    )
}

/// A statistic of the means of samples that are paired by seed, with its bootstrap
/// interval: seeds are drawn again with replacement, all samples' values together, and the
/// middle 95 % of the statistics are taken (Efron's percentile interval; with fewer than
/// about 8 seeds it is somewhat too narrow). Draws without a value are left out.
fn paired<const N: usize>(samples: [&[f64]; N], statistic: impl Fn([f64; N]) -> f64) -> Estimate {
    const RESAMPLES: usize = 2000;
    let seeds = samples[0].len();
    assert!(seeds > 0 && samples.iter().all(|sample| sample.len() == seeds), "values are paired by seed");
    let of = |pick: &mut dyn FnMut(usize) -> usize| {
        let mut sums = [0.0; N];
        for index in 0..seeds {
            let seed = pick(index);
            for (sum, sample) in sums.iter_mut().zip(samples) {
                *sum += sample[seed];
            }
        }
        statistic(sums.map(|sum| sum / seeds as f64))
    };
    let mut rng = stream(0, Purpose::Resample, 0);
    let draws = (0..RESAMPLES).map(|_| of(&mut |_| below(&mut rng, seeds)));
    let resampled = Sample::new(draws.filter(|value| !value.is_nan()).collect());
    Estimate { value: of(&mut |index| index), low: resampled.quantile(0.025), high: resampled.quantile(0.975) }
}

/// 97.5 % quantile of Student's t, from a table; normal beyond 30 degrees of freedom,
/// corrected to second order (Cornish and Fisher).
fn student_975(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    match TABLE.get(degrees.saturating_sub(1)) {
        Some(quantile) => *quantile,
        None => 1.959964 + 2.372 / degrees as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::{Sample, difference, estimate, headroom_closed, relative_difference};

    #[test]
    fn quantiles_interpolate() {
        let sample = Sample::new(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!(sample.quantile(0.0), 1.0);
        assert_eq!(sample.quantile(0.5), 2.5);
        assert_eq!(sample.quantile(1.0), 4.0);
        assert!(Sample::new(vec![]).quantile(0.5).is_nan());
    }

    #[test]
    fn intervals_hold_the_mean() {
        let estimate = estimate(&[1.0, 2.0, 3.0]);
        assert_eq!(estimate.value, 2.0);
        assert!((estimate.high - (2.0 + 4.303 / 3f64.sqrt())).abs() < 1e-12);
    }

    #[test]
    fn pairs_cancel_what_seeds_have_in_common() {
        let theirs = [1.0, 10.0, 100.0];
        let ours = theirs.map(|x| 0.9 * x);
        let difference = relative_difference(&ours, &theirs);
        assert!((difference.value + 0.1).abs() < 1e-12);
        assert!(difference.high < -0.099 && difference.low > -0.101);
    }

    #[test]
    fn headroom_is_the_share_of_the_way() {
        let (rule, oracle) = ([10.0, 20.0, 30.0], [5.0, 10.0, 15.0]);
        assert_eq!(headroom_closed(&rule, &rule, &oracle).value, 0.0);
        assert_eq!(headroom_closed(&oracle, &rule, &oracle).value, 1.0);
        let half = [7.5, 15.0, 22.5];
        let closed = headroom_closed(&half, &rule, &oracle);
        assert!((closed.value - 0.5).abs() < 1e-12 && closed.low <= closed.value && closed.value <= closed.high);
        assert!(headroom_closed(&half, &oracle, &rule).value.is_nan(), "the rule beats its oracle");
        let less = difference(&half, &rule);
        assert!((less.value + 5.0).abs() < 1e-12 && less.high < 0.0);
    }
}
