//! How large requests are expected to be: what an oracle without request sizes knows.

use evenkeel_datasets::Trace;

use crate::random::lognormal_parameters;

/// Whether an oracle sees what each request will turn out to need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Only the expectation, given what the request has needed so far.
    Expected,
    /// The truth.
    True,
}

/// Expected remaining sizes, from a training trace: mean residual lives.
#[derive(Clone, Debug, PartialEq)]
pub struct SizeModel {
    /// Of each number of generated tokens: expected tokens still to come, rounded.
    output_left: Vec<u32>,
    /// Service times of the trace, sorted, and the sum of those from each on.
    service: Vec<(f64, f64)>,
}

/// Sizes beyond this many tokens are expected to double.
const OUTPUT_TABLE_MAX: usize = 16_384;

impl SizeModel {
    /// Learns from the trace that policies are trained on.
    pub fn new(training: &Trace) -> Self {
        Self { output_left: output_left(training), service: service_table(training) }
    }

    /// Tokens that a request is expected still to generate, at least 1.
    pub fn output_tokens_left(&self, generated: u32) -> u32 {
        match self.output_left.get(generated as usize) {
            Some(left) => *left,
            None => generated.max(1),
        }
    }

    /// Service that a request is expected still to need, in seconds at speed 1, by the
    /// trace's measured service times; `None` if it has none.
    pub fn service_left_s(&self, served_s: f64) -> Option<f64> {
        if self.service.is_empty() {
            return None;
        }
        let from = self.service.partition_point(|(service_s, _)| *service_s <= served_s);
        let longer = self.service.len() - from;
        Some(match self.service.get(from) {
            Some((_, sum_s)) => sum_s / longer as f64 - served_s,
            None => served_s,
        })
    }
}

/// Mean residual life of the lognormal distribution: E\[S − a | S > a\].
pub(crate) fn lognormal_left(mean: f64, variation: f64, served: f64) -> f64 {
    if served <= 0.0 {
        return mean;
    }
    if variation <= 0.0 {
        return (mean - served).max(0.0);
    }
    let (mu, sigma) = lognormal_parameters(mean, variation);
    let upper_tail = |z: f64| 0.5 * libm::erfc(z * core::f64::consts::FRAC_1_SQRT_2);
    let z = (libm::log(served) - mu) / sigma;
    let longer = upper_tail(z);
    // So far out that the tail underflows; a lognormal's residual life grows with age.
    if longer < 1e-12 {
        return served;
    }
    (mean * upper_tail(z - sigma) / longer - served).max(0.0)
}

fn output_left(trace: &Trace) -> Vec<u32> {
    let longest = trace.requests.iter().map(|request| request.output_tokens as usize).max().unwrap_or(0);
    let table = longest.min(OUTPUT_TABLE_MAX);
    let mut counts = vec![0u64; table + 1];
    let mut beyond = (0u64, 0u64);
    for request in trace.requests.iter().filter(|request| request.output_tokens > 0) {
        match counts.get_mut(request.output_tokens as usize) {
            Some(count) => *count += 1,
            None => beyond = (beyond.0 + 1, beyond.1 + u64::from(request.output_tokens)),
        }
    }
    let mut left = vec![1; table + 1];
    let (mut longer, mut tokens) = beyond;
    for generated in (0..=table).rev() {
        if longer > 0 {
            left[generated] = ((tokens as f64 / longer as f64 - generated as f64).round() as u32).max(1);
        } else {
            left[generated] = (generated as u32).max(1);
        }
        longer += counts[generated];
        tokens += counts[generated] * generated as u64;
    }
    left
}

fn service_table(trace: &Trace) -> Vec<(f64, f64)> {
    let mut times: Vec<f64> =
        trace.requests.iter().map(|request| f64::from(request.service_s)).filter(|time| time.is_finite()).collect();
    times.sort_unstable_by(f64::total_cmp);
    let mut sum_s = 0.0;
    let mut table: Vec<_> = times
        .into_iter()
        .rev()
        .map(|time| {
            sum_s += time;
            (time, sum_s)
        })
        .collect();
    table.reverse();
    table
}

#[cfg(test)]
mod tests {
    use super::lognormal_left;
    use crate::random::{Purpose, log_normal, lognormal_parameters, stream};

    #[test]
    fn residual_life_agrees_with_a_sample() {
        let (mu, sigma) = lognormal_parameters(2.0, 1.5);
        let mut rng = stream(1, Purpose::ServiceTime, 0);
        let sample: Vec<f64> = (0..400_000).map(|_| log_normal(&mut rng, mu, sigma)).collect();
        for served in [0.0, 0.5, 2.0, 6.0] {
            let longer: Vec<f64> = sample.iter().copied().filter(|size| *size > served).collect();
            let left = longer.iter().sum::<f64>() / longer.len() as f64 - served;
            let expected = lognormal_left(2.0, 1.5, served);
            assert!((left / expected - 1.0).abs() < 0.03, "after {served}: sample {left}, formula {expected}");
        }
    }
}
