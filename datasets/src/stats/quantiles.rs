//! Mean and quantiles of a sample.

use evenkeel_numbers::quantile::occurring;
use serde::Serialize;

/// Mean and quantiles of a sample; NaNs are left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 0.9 quantile.
    pub p90: f64,
    /// 0.99 quantile.
    pub p99: f64,
    /// Maximum.
    pub max: f64,
}

impl Quantiles {
    /// Summarises a sample by nearest rank: the `q` quantile is the smallest value which at least
    /// that share of the sample does not exceed. `None` when there is no value.
    pub fn new<T: Copy + Into<f64>>(mut sample: Vec<T>) -> Option<Self> {
        sample.retain(|value| !(*value).into().is_nan());
        sample.sort_unstable_by(|a, b| (*a).into().total_cmp(&(*b).into()));
        let max = (*sample.last()?).into();
        let at = |q: f64| occurring(&sample, q).map_or(f64::NAN, Into::into);
        let mean = sample.iter().map(|value| (*value).into()).sum::<f64>() / sample.len() as f64;
        Some(Self { mean, p50: at(0.5), p90: at(0.9), p99: at(0.99), max })
    }
}
