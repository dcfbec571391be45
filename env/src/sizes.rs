//! How large requests are expected to be: what an oracle without request sizes knows.

use evenkeel_datasets::Trace;
use evenkeel_numbers::random::{mix, unit};

use crate::random::lognormal_parameters;

/// Whether an oracle sees what each request will turn out to need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Only the expectation, given what the request has needed so far.
    Expected,
    /// The `draw`-th of `draws` evenly spread guesses from the distribution of what requests
    /// turn out to need, given what they have needed so far. The mean of a cost over all
    /// draws is nearer to its expectation than the cost of expected sizes: in a full host
    /// the first to leave leaves long before the average request does. Where a FIFO
    /// service's trace has no times, as [`Expected`](Self::Expected).
    Guessed {
        /// Which of the guesses, below `draws`.
        draw: u32,
        /// How many there are.
        draws: u32,
    },
    /// The truth.
    True,
}

/// Expected remaining sizes, from a training trace: mean residual lives.
#[derive(Clone, Debug, PartialEq)]
pub struct SizeModel {
    /// Of each number of generated tokens: expected tokens still to come, rounded.
    output_left: Vec<u32>,
    /// Output lengths of the trace, sorted, at most [`QUANTILES_MAX`] of them evenly spread.
    outputs: Vec<u32>,
    /// Service times of the trace, sorted, and the sum of those from each on.
    service: Vec<(f64, f64)>,
}

/// Enough for a guess; each costs a binary search.
const QUANTILES_MAX: usize = 4096;

/// Sizes beyond this many tokens are expected to double.
const OUTPUT_TABLE_MAX: usize = 16_384;

impl SizeModel {
    /// Learns from the trace that policies are trained on.
    pub fn new(training: &Trace) -> Self {
        Self { output_left: output_left(training), outputs: outputs(training), service: service_table(training) }
    }

    /// Tokens that a request will have generated in the end if it is at the quantile `share`
    /// of those longer than what it has `generated`; more than that.
    pub fn output_tokens_at(&self, generated: u32, share: f64) -> u32 {
        let from = self.outputs.partition_point(|tokens| *tokens <= generated);
        let longer = &self.outputs[from..];
        match longer.get((share * longer.len() as f64) as usize) {
            Some(tokens) => *tokens,
            None => generated + self.output_tokens_left(generated),
        }
    }

    /// Service that a request still needs, in seconds at speed 1, if it is at the quantile
    /// `share` of those longer than `served_s`; `None` if the trace has no service times.
    pub fn service_left_at_s(&self, served_s: f64, share: f64) -> Option<f64> {
        let from = self.service.partition_point(|(service_s, _)| *service_s <= served_s);
        let longer = &self.service[from..];
        match longer.get((share * longer.len() as f64) as usize) {
            Some((service_s, _)) => Some(service_s - served_s),
            None => self.service_left_s(served_s),
        }
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

/// The quantile at which a request is guessed in one of several draws: those of a request
/// are evenly spread, those of different requests independent.
pub(crate) fn share_of_guess(request: u32, draw: u32, draws: u32) -> f64 {
    let offset = unit(mix(u64::from(request)));
    (offset + f64::from(draw) / f64::from(draws.max(1))).fract()
}

fn outputs(trace: &Trace) -> Vec<u32> {
    let mut tokens: Vec<u32> = trace.requests.iter().map(|request| request.output_tokens).collect();
    tokens.retain(|tokens| *tokens > 0);
    tokens.sort_unstable();
    let kept = tokens.len().min(QUANTILES_MAX);
    (0..kept).map(|rank| tokens[(2 * rank + 1) * tokens.len() / (2 * kept)]).collect()
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
    use super::{SizeModel, lognormal_left, share_of_guess};
    use crate::random::{Purpose, log_normal, lognormal_parameters, stream};

    #[test]
    fn guesses_are_spread_over_what_is_longer() {
        let outputs = [10, 20, 30, 40];
        let requests = outputs.map(|tokens| evenkeel_datasets::Request::new(0.0, 1, tokens)).to_vec();
        let sizes = SizeModel::new(&evenkeel_datasets::Trace { requests, ..Default::default() });
        assert_eq!([0.0, 0.3, 0.6, 0.9].map(|share| sizes.output_tokens_at(0, share)), outputs);
        assert_eq!([0.0, 0.49, 0.51].map(|share| sizes.output_tokens_at(20, share)), [30, 30, 40]);
        assert!(sizes.output_tokens_at(40, 0.5) > 40, "longer than any in training");
        let mean = |request| (0..4).map(|draw| share_of_guess(request, draw, 4)).sum::<f64>() / 4.0;
        assert!((0..100).all(|request| (0.375..0.625).contains(&mean(request))));
    }

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
