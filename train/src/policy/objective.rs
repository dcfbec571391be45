//! What a policy is fine-tuned for, on two scales: the objective of a whole replay, and
//! the reward of each of its decisions.
//!
//! ```text
//! objective = latency · ln mean + tail · ½ (ln p99 + ln TTFT p99) + ttft · ln TTFT mean
//!           + timeout · share of requests that failed or timed out
//! ```
//!
//! Logarithms, so that a percent counts alike in an idle and in a busy fleet. The rewards
//! are the gradient of that objective, decision by decision: a second of latency is worth
//! 1 / mean of a logarithm. The tail stands in for the 99th percentile by the mean over the
//! slowest twentieth (Rockafellar and Uryasev's CVaR, 2000), which each decision in the
//! tail shifts by its share.

use evenkeel_env::metrics::{Metrics, MetricsOptions, Sample};
use evenkeel_env::oracle::Prospect;
use evenkeel_env::{Outcome, Record, Status};
use serde::{Deserialize, Serialize};

/// How much each part counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
pub struct RewardWeights {
    /// Weight of the mean latency in the policy's reward.
    #[arg(long = "reward-latency", value_name = "WEIGHT", default_value_t = Self::DEFAULT.latency)]
    pub latency: f64,
    /// Weight of the tails of latency and of time to first token.
    #[arg(long = "reward-tail", value_name = "WEIGHT", default_value_t = Self::DEFAULT.tail)]
    pub tail: f64,
    /// Weight of the mean time to first token.
    #[arg(long = "reward-ttft", value_name = "WEIGHT", default_value_t = Self::DEFAULT.ttft)]
    pub ttft: f64,
    /// Weight of requests that time out or fail.
    #[arg(long = "reward-timeout", value_name = "WEIGHT", default_value_t = Self::DEFAULT.timeout)]
    pub timeout: f64,
}

/// A decision, and what was to come of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Number of the request.
    pub request: u32,
    /// What was to come of the choice.
    pub chosen: Prospect,
    /// Where in [`Alternatives`] the hosts of this decision begin and end; nowhere if nobody
    /// looked at them.
    pub alternatives: (usize, usize),
}

/// Of the decisions where all hosts were looked at: the probability of each host's choice,
/// and what was to come of it.
pub type Alternatives = [(f64, Prospect)];

/// What the decisions of an episode earned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rewards {
    /// Each decision's reward.
    pub earned: Vec<f32>,
    /// The reward that was to be expected before the die was cast, over all hosts; NaN
    /// where nobody looked at the others.
    pub expected: Vec<f32>,
}

/// The tail is the slowest twentieth.
const TAIL_FROM: f64 = 0.95;

/// No part of a cost counts for more: on a host that is down they are infinite.
const COST_MAX: f64 = 30.0;

impl RewardWeights {
    /// Half for means, half for tails.
    pub const DEFAULT: Self = Self { latency: 0.4, tail: 0.4, ttft: 0.2, timeout: 1.0 };

    /// The objective of a replay; lower is better.
    pub fn objective(&self, metrics: &Metrics) -> f64 {
        let ln = |seconds: f64| seconds.max(1e-6).ln();
        self.latency * ln(metrics.latency_mean_s)
            + self.tail * 0.5 * (ln(metrics.latency_p99_s) + ln(metrics.ttft_p99_s))
            + self.ttft * ln(metrics.ttft_mean_s)
            + self.timeout * (metrics.timeout_share + metrics.failed_share)
    }

    /// Minus what each decision added to the objective, times the number of requests.
    ///
    /// Credit goes to the decision that caused a delay, when it caused it: the simulator's
    /// remaining completion times are a potential, and with it as shaping (Ng, Harada and
    /// Russell, ICML 1999) the time that all requests spend becomes the growth of that
    /// potential at each decision, its marginal cost. Tail, time to first token and failure
    /// are the request's own, as they turned out.
    ///
    /// The expected reward is a counterfactual baseline (Foerster et al., AAAI 2018): what the
    /// simulator foresees for each host, weighted with the probability of its choice. It does
    /// not depend on the choice, so it takes noise away and no bias is added.
    pub fn rewards(&self, outcome: &Outcome, placements: &[Placement], alternatives: &Alternatives) -> Rewards {
        let latency = Distribution::new(outcome.records.iter().map(counted_latency_s));
        let ttft = Distribution::new(outcome.records.iter().map(counted_ttft_s));
        let cost = |prospect: &Prospect| {
            self.latency * (prospect.marginal_s / latency.mean).min(COST_MAX)
                + self.tail * 0.5 * latency.tail_share(prospect.latency_s).min(COST_MAX)
                + self.tail * 0.5 * ttft.tail_share(prospect.ttft_s).min(COST_MAX)
                + self.ttft * (prospect.ttft_s / ttft.mean).min(COST_MAX)
        };
        let mut rewards = Rewards::default();
        for placement in placements {
            let record = &outcome.records[placement.request as usize];
            let failed = self.timeout * f64::from(u8::from(record.status != Status::Answered));
            let turned_out =
                Prospect { latency_s: counted_latency_s(record), ttft_s: counted_ttft_s(record), ..placement.chosen };
            rewards.earned.push(-(cost(&turned_out) + failed) as f32);
            let others = &alternatives[placement.alternatives.0..placement.alternatives.1];
            let expected: f64 = others.iter().map(|(probability, prospect)| probability * cost(prospect)).sum();
            rewards.expected.push(if others.is_empty() { f32::NAN } else { -(expected + failed) as f32 });
        }
        rewards
    }
}

/// A failure counts as a slow answer, as in the metrics.
fn counted_latency_s(record: &Record) -> f64 {
    match record.status {
        Status::Answered => record.latency_s,
        _ => record.latency_s.max(MetricsOptions::default().failed_latency_s),
    }
}

fn counted_ttft_s(record: &Record) -> f64 {
    if record.ttft_s.is_nan() { counted_latency_s(record) } else { record.ttft_s }
}

/// What a replay's latencies are like: the units of its rewards.
struct Distribution {
    mean: f64,
    /// Where the tail begins.
    tail_from: f64,
    /// Mean of the tail.
    tail_mean: f64,
}

impl Distribution {
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.collect();
        let sample = Sample::new(values.clone());
        let tail_from = sample.quantile(TAIL_FROM);
        let excess = values.iter().map(|value| (value - tail_from).max(0.0)).sum::<f64>() / values.len() as f64;
        Self { mean: sample.mean().max(1e-6), tail_from, tail_mean: (tail_from + excess / (1.0 - TAIL_FROM)).max(1e-6) }
    }

    /// By how much, in logarithms and times the number of requests, one of them lengthens
    /// the tail.
    fn tail_share(&self, value: f64) -> f64 {
        (value - self.tail_from).max(0.0) / (1.0 - TAIL_FROM) / self.tail_mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(latency_s: f64, status: Status) -> Record {
        let ttft_s = if status == Status::Answered { 0.1 * latency_s } else { f64::NAN };
        Record { arrival_s: 0.0, latency_s, ttft_s, host: 0, balancer: 0, attempts: 1, status }
    }

    #[test]
    fn slow_and_failed_requests_cost_more_and_baselines_are_means() {
        let mut records: Vec<Record> =
            (1..=100).map(|index| record(0.1 * f64::from(index), Status::Answered)).collect();
        records.push(record(0.001, Status::Failed));
        let outcome = Outcome { records, hosts: Vec::new(), span_s: 1.0, warm_up_share: 0.0 };
        let prospect = |latency_s: f64| Prospect { marginal_s: latency_s, latency_s, ttft_s: 0.1 * latency_s };
        let alternatives = [(0.25, prospect(0.1)), (0.75, prospect(f64::INFINITY))];
        let place = |request, latency_s, alternatives| Placement { request, chosen: prospect(latency_s), alternatives };
        let placements =
            [place(0, 0.1, (0, 2)), place(50, 5.0, (0, 0)), place(99, 10.0, (0, 0)), place(100, 10.0, (0, 1))];
        let rewards = RewardWeights::DEFAULT.rewards(&outcome, &placements, &alternatives);
        assert!(rewards.earned.is_sorted_by(|a, b| a > b), "{rewards:?}");
        assert!(rewards.expected[0] < rewards.earned[0] && rewards.expected[0].is_finite(), "{rewards:?}");
        assert!(rewards.expected[1].is_nan());
    }

    #[test]
    fn a_percent_counts_alike_everywhere() {
        let metrics = |scale: f64| Metrics {
            latency_mean_s: scale,
            latency_p99_s: 4.0 * scale,
            ttft_mean_s: 0.1 * scale,
            ttft_p99_s: scale,
            ..Metrics::default()
        };
        let weights = RewardWeights::DEFAULT;
        let gain = |scale: f64| weights.objective(&metrics(1.01 * scale)) - weights.objective(&metrics(scale));
        assert!((gain(1.0) - gain(50.0)).abs() < 1e-12);
        assert!((gain(1.0) - 1.01f64.ln()).abs() < 1e-12);
    }
}
