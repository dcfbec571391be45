//! Figures from outcomes.

use crate::outcome::{Outcome, Record, Status};
use crate::random::{Purpose, below, stream};

/// How outcomes are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricsOptions {
    /// A request that failed or timed out counts as having taken at least this long, in
    /// seconds, so that failing fast never looks like being fast.
    pub failed_latency_s: f64,
    /// A request within these counts towards goodput: latency, in seconds.
    pub slo_latency_s: f64,
    /// The same: time to first token, in seconds.
    pub slo_ttft_s: f64,
}

impl Default for MetricsOptions {
    fn default() -> Self {
        Self { failed_latency_s: 60.0, slo_latency_s: 30.0, slo_ttft_s: 2.0 }
    }
}

/// Figures of one outcome. Latencies in seconds, from arrival to end, all requests counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Metrics {
    /// Mean latency.
    pub latency_mean_s: f64,
    /// Median latency.
    pub latency_p50_s: f64,
    /// 90th percentile of latency.
    pub latency_p90_s: f64,
    /// 99th percentile of latency.
    pub latency_p99_s: f64,
    /// 99.9th percentile of latency.
    pub latency_p999_s: f64,
    /// Mean time to first token (LLM) or byte (FIFO).
    pub ttft_mean_s: f64,
    /// Its 99th percentile.
    pub ttft_p99_s: f64,
    /// Share of the requests that timed out.
    pub timeout_share: f64,
    /// Share of the requests that failed.
    pub failed_share: f64,
    /// Answered requests within the SLO, a second of the measured arrivals' span.
    pub goodput_per_s: f64,
    /// Mean over maximum of the hosts' work done per speed: 1 if all hosts bore the same
    /// share of their capacity.
    pub balance_efficiency: f64,
    /// Jain's fairness index of the same: (Σu)² / (n·Σu²).
    pub balance_jain: f64,
}

impl Metrics {
    /// Judges an outcome.
    pub fn of(outcome: &Outcome, options: &MetricsOptions) -> Self {
        let measured = outcome.measured();
        let at_least =
            |seconds: f64, answered: bool| if answered { seconds } else { seconds.max(options.failed_latency_s) };
        let is_answered = |record: &Record| record.status == Status::Answered;
        let latencies =
            Sample::new(measured.iter().map(|record| at_least(record.latency_s, is_answered(record))).collect());
        let ttft =
            |record: &Record| if record.ttft_s.is_nan() { at_least(record.latency_s, false) } else { record.ttft_s };
        let ttfts = Sample::new(measured.iter().map(ttft).collect());
        let share = |status| {
            measured.iter().filter(|record| record.status == status).count() as f64 / measured.len().max(1) as f64
        };
        let is_good = |record: &&Record| {
            is_answered(record) && record.latency_s <= options.slo_latency_s && record.ttft_s <= options.slo_ttft_s
        };
        let span_s = match (measured.first(), measured.last()) {
            (Some(first), Some(last)) => last.arrival_s - first.arrival_s,
            _ => 0.0,
        };
        let good = measured.iter().filter(is_good).count() as f64;
        let (balance_efficiency, balance_jain) = balance(outcome);
        Self {
            latency_mean_s: latencies.mean(),
            latency_p50_s: latencies.quantile(0.5),
            latency_p90_s: latencies.quantile(0.9),
            latency_p99_s: latencies.quantile(0.99),
            latency_p999_s: latencies.quantile(0.999),
            ttft_mean_s: ttfts.mean(),
            ttft_p99_s: ttfts.quantile(0.99),
            timeout_share: share(Status::TimedOut),
            failed_share: share(Status::Failed),
            goodput_per_s: if span_s > 0.0 { good / span_s } else { 0.0 },
            balance_efficiency,
            balance_jain,
        }
    }

    /// Names and values, in the order of the fields.
    pub fn fields(&self) -> [(&'static str, f64); 12] {
        [
            ("latency_mean_s", self.latency_mean_s),
            ("latency_p50_s", self.latency_p50_s),
            ("latency_p90_s", self.latency_p90_s),
            ("latency_p99_s", self.latency_p99_s),
            ("latency_p999_s", self.latency_p999_s),
            ("ttft_mean_s", self.ttft_mean_s),
            ("ttft_p99_s", self.ttft_p99_s),
            ("timeout_share", self.timeout_share),
            ("failed_share", self.failed_share),
            ("goodput_per_s", self.goodput_per_s),
            ("balance_efficiency", self.balance_efficiency),
            ("balance_jain", self.balance_jain),
        ]
    }
}

/// Mean over maximum, and Jain's index, of the hosts' work per speed.
fn balance(outcome: &Outcome) -> (f64, f64) {
    let uses: Vec<f64> = outcome.hosts.iter().map(|host| host.work_s / host.speed).collect();
    let sum: f64 = uses.iter().sum();
    let squares: f64 = uses.iter().map(|u| u * u).sum();
    let max = uses.iter().copied().fold(0.0, f64::max);
    if max == 0.0 {
        return (1.0, 1.0);
    }
    let hosts = uses.len() as f64;
    (sum / hosts / max, sum * sum / (hosts * squares))
}

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

    /// Quantile, interpolated between neighbours (type 7 of Hyndman and Fan, 1996); NaN if
    /// there are none.
    pub fn quantile(&self, share: f64) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else { return f64::NAN };
        let position = share.clamp(0.0, 1.0) * last as f64;
        let below = position as usize;
        let above = (below + 1).min(last);
        self.0[below] + (position - below as f64) * (self.0[above] - self.0[below])
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

/// Ratio of two policies' means over the same seeds, minus 1, with a paired bootstrap
/// interval: seeds are drawn again with replacement, both policies' values together.
///
/// # Panics
/// If the two are of different lengths or empty.
pub fn relative_difference(ours: &[f64], theirs: &[f64]) -> Estimate {
    const RESAMPLES: usize = 2000;
    assert!(ours.len() == theirs.len() && !ours.is_empty(), "values are paired by seed");
    let ratio = |pick: &mut dyn FnMut(usize) -> usize| {
        let (mut our, mut their) = (0.0, 0.0);
        for index in 0..ours.len() {
            let seed = pick(index);
            our += ours[seed];
            their += theirs[seed];
        }
        our / their - 1.0
    };
    let mut rng = stream(0, Purpose::Resample, 0);
    let resampled = Sample::new((0..RESAMPLES).map(|_| ratio(&mut |_| below(&mut rng, ours.len()))).collect());
    Estimate { value: ratio(&mut |index| index), low: resampled.quantile(0.025), high: resampled.quantile(0.975) }
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
    use super::{Sample, estimate, relative_difference};

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
}
