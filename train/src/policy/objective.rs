//! What a policy is fine-tuned for, on two scales: the objective of a whole replay, and
//! the reward of each of its decisions.
//!
//! ```text
//! objective = latency · ln mean + median · ln p50 + tail · ½ (ln p99 + ln TTFT p99) + ttft · ln TTFT mean
//!           + timeout · share of requests that failed or timed out
//! ```
//!
//! Beside it stands a replay under the analytic rule: of each logarithm, `regret` times what it
//! exceeds the rule's is added.
//!
//! Logarithms, so that a percent counts alike in an idle and in a busy fleet. The rewards
//! are the gradient of that objective, decision by decision: a second of latency is worth
//! 1 / mean of a logarithm. The tail stands in for the 99th percentile by the mean over the
//! slowest twentieth (the conditional value at risk of Rockafellar and Uryasev, 2000), which each decision in the
//! tail shifts by its share.

use evenkeel_env::metrics::{Metrics, MetricsOptions, Sample};
use evenkeel_env::{Outcome, Record, Status};
use serde::{Deserialize, Serialize};

/// How much each part counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
pub struct RewardWeights {
    /// Weight of the mean latency in the policy's reward.
    #[arg(long = "reward-latency", value_name = "WEIGHT", default_value_t = Self::DEFAULT.latency)]
    pub latency: f64,
    /// Weight of the median latency, for evolution strategies and for choosing: no single decision
    /// moves a median, so that PPO's reward has none.
    #[arg(long = "reward-median", value_name = "WEIGHT", default_value_t = Self::DEFAULT.median)]
    #[serde(default)]
    pub median: f64,
    /// Weight of the tails of latency and of time to first token.
    #[arg(long = "reward-tail", value_name = "WEIGHT", default_value_t = Self::DEFAULT.tail)]
    pub tail: f64,
    /// Weight of the mean time to first token.
    #[arg(long = "reward-ttft", value_name = "WEIGHT", default_value_t = Self::DEFAULT.ttft)]
    pub ttft: f64,
    /// Weight of requests that time out or fail.
    #[arg(long = "reward-timeout", value_name = "WEIGHT", default_value_t = Self::DEFAULT.timeout)]
    pub timeout: f64,
    /// How many times more it counts where a figure is worse than the analytic rule's: what is
    /// won in one figure is not to be paid for by another. For evolution strategies and for
    /// choosing, as the median.
    #[arg(long = "reward-regret", value_name = "WEIGHT", default_value_t = Self::DEFAULT.regret)]
    #[serde(default)]
    pub regret: f64,
}

/// A decision and what is known of it at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Number of the request.
    pub request: u32,
    /// The chosen host's marginal cost in seconds: by how much the sum of completion times
    /// grew (expected sizes).
    pub marginal_s: f64,
}

/// The tail is the slowest twentieth.
const TAIL_FROM: f64 = 0.95;

/// A marginal cost counts as at most this many mean latencies: on a host that is down it
/// is infinite.
const MARGINAL_MAX: f64 = 30.0;

impl RewardWeights {
    /// Two thirds for means and the median, one third for tails.
    pub const DEFAULT: Self = Self { latency: 0.35, median: 0.15, tail: 0.34, ttft: 0.16, timeout: 1.0, regret: 4.0 };

    /// The objective of a replay, beside one under the analytic rule; lower is better.
    pub fn objective(&self, metrics: &Metrics, rule: &Metrics) -> f64 {
        let cost = |weight: f64, figure: fn(&Metrics) -> f64| {
            let [own, of_rule] = [metrics, rule].map(|metrics| figure(metrics).max(1e-6).ln());
            weight * (own + self.regret * (own - of_rule).max(0.0))
        };
        cost(self.latency, |metrics| metrics.latency_mean_s)
            + cost(self.median, |metrics| metrics.latency_p50_s)
            + cost(0.5 * self.tail, |metrics| metrics.latency_p99_s)
            + cost(0.5 * self.tail, |metrics| metrics.ttft_p99_s)
            + cost(self.ttft, |metrics| metrics.ttft_mean_s)
            + self.timeout * unanswered_share(metrics)
    }

    /// Minus what each decision added to the objective, times the number of requests.
    ///
    /// What a request inflicts on the others is in its marginal cost: the simulator's sum
    /// of remaining completion times is a potential, and with it as shaping (Ng, Harada and
    /// Russell, ICML 1999) the time that all requests spend is credited to the decisions
    /// that caused it, when they caused it. Tail, time to first token and failures are the
    /// request's own.
    pub fn rewards(&self, outcome: &Outcome, placements: &[Placement]) -> Vec<f32> {
        let latency = Distribution::new(outcome.records.iter().map(counted_latency_s));
        let ttft = Distribution::new(outcome.records.iter().map(counted_ttft_s));
        let reward = |placement: &Placement| {
            let record = &outcome.records[placement.request as usize];
            let (latency_s, ttft_s) = (counted_latency_s(record), counted_ttft_s(record));
            let marginal = (placement.marginal_s / latency.mean).min(MARGINAL_MAX);
            let cost = self.latency * marginal
                + self.tail * 0.5 * (latency.tail_share(latency_s) + ttft.tail_share(ttft_s))
                + self.ttft * ttft_s / ttft.mean
                + self.timeout * f64::from(u8::from(record.status != Status::Answered));
            -cost as f32
        };
        placements.iter().map(reward).collect()
    }
}

/// Share of the requests that were not answered, for whatever reason. Where clients ask for what
/// is not there, it is the same under every policy; a host that refuses everything must not be
/// liked for the work that it keeps from the others.
fn unanswered_share(metrics: &Metrics) -> f64 {
    metrics.timeout_share + metrics.failed_share + metrics.aborted_share + metrics.no_work_share
}

/// A failure counts as a slow answer, as in the metrics.
fn counted_latency_s(record: &Record) -> f64 {
    MetricsOptions::default().counted_latency_s(record)
}

fn counted_ttft_s(record: &Record) -> f64 {
    MetricsOptions::default().counted_ttft_s(record)
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
    fn slow_and_failed_requests_cost_more() {
        let mut records: Vec<Record> =
            (1..=100).map(|index| record(0.1 * f64::from(index), Status::Answered)).collect();
        records.push(record(0.001, Status::Failed));
        let outcome = Outcome { records, hosts: Vec::new(), span_s: 1.0, warm_up_share: 0.0 };
        let placements = [0, 50, 99, 100].map(|request| Placement { request, marginal_s: 1.0 });
        let rewards = RewardWeights::DEFAULT.rewards(&outcome, &placements);
        assert!(rewards.is_sorted_by(|a, b| a > b), "{rewards:?}");
    }

    #[test]
    fn a_percent_counts_alike_everywhere() {
        let metrics = |scale: f64| Metrics {
            latency_mean_s: scale,
            latency_p50_s: 0.7 * scale,
            latency_p99_s: 4.0 * scale,
            ttft_mean_s: 0.1 * scale,
            ttft_p99_s: scale,
            ..Metrics::default()
        };
        let weights = RewardWeights::DEFAULT;
        let objective = |scale: f64, rule: f64| weights.objective(&metrics(scale), &metrics(rule));
        let gain = |scale: f64| objective(1.01 * scale, 2.0 * scale) - objective(scale, 2.0 * scale);
        assert!((gain(1.0) - gain(50.0)).abs() < 1e-12);
        assert!((gain(1.0) - 1.01f64.ln()).abs() < 1e-12);
        // Worse than the rule, it counts more.
        let regretted = objective(1.01, 1.0) - objective(1.0, 1.0);
        assert!((regretted - (1.0 + weights.regret) * 1.01f64.ln()).abs() < 1e-12);
    }
}
