//! How a rate repeats itself: autocorrelation at the day, the week and in general.

use super::arrivals::Counts;
use crate::Series;
use serde::Serialize;

const DAY_S: f64 = 86_400.0;
/// A period is worth its name from this autocorrelation on.
const CORRELATION_MIN: f64 = 0.3;
/// Longer series are averaged down to this length before all their lags are tried.
const LEN_MAX: usize = 4096;
/// Bins for the rate of a trace, all of which divide a day.
const BINS_S: [f64; 10] = [1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 900.0, 1800.0, 3600.0];

/// Autocorrelations of a rate. What the span is too short for is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Seasonality {
    /// Autocorrelation at a lag of a day, where the span has two.
    pub day: Option<f64>,
    /// Autocorrelation at a lag of a week, where the span has two.
    pub week: Option<f64>,
    /// The lag with the highest autocorrelation beyond its first fall, up to half the span, if
    /// that autocorrelation is at least 0.3.
    pub period_s: Option<f64>,
    /// The autocorrelation there.
    pub period: Option<f64>,
}

impl Seasonality {
    /// Of the rate of arrivals over a span.
    pub(super) fn of_counts(counts: &Counts, span_s: f64) -> Self {
        let fits = |bin_s: &&f64| span_s / **bin_s <= LEN_MAX as f64;
        let bin_s = *BINS_S.iter().find(fits).unwrap_or(&BINS_S[BINS_S.len() - 1]);
        Self::of_rate(&counts.rates(bin_s), bin_s)
    }

    /// Of a series.
    pub(super) fn of_series(series: &Series) -> Self {
        Self::of_rate(&series.values, series.step_s)
    }

    fn of_rate(values: &[f32], step_s: f64) -> Self {
        let values: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
        let at = |lag_s: f64| {
            let lag = (lag_s / step_s).round() as usize;
            (lag > 0 && values.len() >= 2 * lag).then(|| autocorrelation(&centred(&values), lag)).flatten()
        };
        let factor = values.len().div_ceil(LEN_MAX).max(1);
        let coarse: Vec<f64> = values.chunks(factor).map(mean).collect();
        let (lag, period) = dominant(&centred(&coarse)).unzip();
        let period_s = lag.map(|lag| lag as f64 * factor as f64 * step_s);
        Self { day: at(DAY_S), week: at(7.0 * DAY_S), period_s, period }
    }
}

/// Mean of the values that are there.
fn mean(values: &[f64]) -> f64 {
    let present = values.iter().filter(|value| !value.is_nan());
    present.clone().sum::<f64>() / present.count() as f64
}

/// The values less their mean.
fn centred(values: &[f64]) -> Vec<f64> {
    let mean = mean(values);
    values.iter().map(|value| value - mean).collect()
}

/// Correlation of the values with themselves `lag` later, over the pairs that are there.
fn autocorrelation(centred: &[f64], lag: usize) -> Option<f64> {
    let (mut product, mut early, mut late) = (0.0, 0.0, 0.0);
    for (x, y) in centred.iter().zip(&centred[lag..]) {
        if !(x.is_nan() || y.is_nan()) {
            product += x * y;
            early += x * x;
            late += y * y;
        }
    }
    let norm = (early * late).sqrt();
    (norm > 0.0).then(|| product / norm)
}

/// The best lag beyond the first minimum of the autocorrelation, which every smooth series has
/// near lag 0.
fn dominant(centred: &[f64]) -> Option<(usize, f64)> {
    let all: Vec<f64> = (1..centred.len() / 2).map_while(|lag| autocorrelation(centred, lag)).collect();
    let fall = all.windows(2).position(|pair| pair[1] > pair[0])?;
    let peaks = (fall + 1..all.len().saturating_sub(1)).filter(|&i| all[i] >= all[i - 1] && all[i] >= all[i + 1]);
    let best = peaks.max_by(|&a, &b| all[a].total_cmp(&all[b]))?;
    (all[best] >= CORRELATION_MIN).then_some((best + 1, all[best]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(step_s: f64, values: impl Iterator<Item = f64>) -> Series {
        Series { step_s, values: values.map(|value| value as f32).collect(), ..Series::default() }
    }

    #[test]
    fn a_day_is_found() {
        let wave = |i: i32| if i % 50 == 7 { f64::NAN } else { (f64::from(i) * std::f64::consts::TAU / 96.0).sin() };
        let found = Seasonality::of_series(&series(900.0, (0..96 * 15).map(wave)));
        assert!(found.day.unwrap() > 0.99 && found.week.unwrap() > 0.99);
        assert_eq!(found.period_s.unwrap() % DAY_S, 0.0);
    }

    #[test]
    fn noise_has_none() {
        let mut rng = crate::random::generator(1, 1);
        let found = Seasonality::of_series(&series(60.0, (0..1000).map(|_| crate::random::uniform(&mut rng))));
        assert_eq!((found.day, found.period_s), (None, None));
        let constant = Seasonality::of_series(&series(60.0, (0..5000).map(|_| 1.0)));
        assert_eq!((constant.day, constant.period_s), (None, None));
    }
}
