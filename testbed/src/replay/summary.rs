//! Figures and histograms of a replay.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use evenkeel_env::metrics::{Metrics, MetricsOptions};
use evenkeel_env::{Outcome, Record, Status};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::observation::Observation;

/// Histograms hold microseconds up to a day, to three digits.
const US_MAX: u64 = 86_400_000_000;

/// What a replay comes to. Times in seconds of service time.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The figures that `evenkeel eval` prints, computed by the same code.
    pub metrics: Metrics,
    /// Requests that they are about.
    pub measured: usize,
    latency: Histogram<u64>,
    first_token: Histogram<u64>,
    between_tokens: Histogram<u64>,
    gap_max: Histogram<u64>,
    lag: Histogram<u64>,
    /// Requests that each host answered.
    pub answered_by_host: BTreeMap<String, u64>,
    /// How often what went wrong.
    pub errors: BTreeMap<String, u64>,
}

impl Summary {
    /// Sums up. The first `warm_up_share` of the requests are left out.
    ///
    /// # Panics
    /// Never: the histograms' bounds are constants.
    pub fn new(observations: &[Observation], warm_up_share: f64) -> Self {
        let outcome = outcome(observations, warm_up_share);
        let histogram = || Histogram::new_with_bounds(1, US_MAX, 3).expect("constant bounds");
        let mut summary = Self {
            metrics: Metrics::of(&outcome, &MetricsOptions::default()),
            measured: outcome.measured().len(),
            latency: histogram(),
            first_token: histogram(),
            between_tokens: histogram(),
            gap_max: histogram(),
            lag: histogram(),
            answered_by_host: BTreeMap::new(),
            errors: BTreeMap::new(),
        };
        let skipped = observations.len() - summary.measured;
        for observation in in_order(observations).into_iter().skip(skipped) {
            record(&mut summary.latency, observation.latency_s);
            record(&mut summary.first_token, observation.first_token_s);
            record(&mut summary.between_tokens, observation.between_tokens_s());
            record(&mut summary.gap_max, observation.gap_max_s);
            record(&mut summary.lag, observation.lag_s);
            if let (Status::Answered, Some(host)) = (observation.status, &observation.host) {
                *summary.answered_by_host.entry(host.clone()).or_default() += 1;
            }
            if let Some(error) = &observation.error {
                *summary.errors.entry(error.clone()).or_default() += 1;
            }
        }
        summary
    }

    /// Everything, for other programs.
    pub fn json(&self) -> Value {
        json!({
            "measured_requests": self.measured,
            "metrics": self.metrics,
            "latency_s": quantiles(&self.latency),
            "first_token_s": quantiles(&self.first_token),
            "between_tokens_s": quantiles(&self.between_tokens),
            "gap_max_s": quantiles(&self.gap_max),
            "lag_s": quantiles(&self.lag),
            "answered_by_host": self.answered_by_host,
            "errors": self.errors,
        })
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let row = |name: &str, h: &Histogram<u64>| {
            let at = |quantile: f64| h.value_at_quantile(quantile) as f64 * 1e-6;
            format!(
                "{name:<22}{:>9.3}{:>9.3}{:>9.3}{:>9.3}{:>9.3}{:>9.3}\n",
                h.mean() * 1e-6,
                at(0.5),
                at(0.9),
                at(0.99),
                at(0.999),
                h.max() as f64 * 1e-6
            )
        };
        let mut table = format!(
            "{} requests measured, {:.2} % failed, {:.2} % given up\n{:<22}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}\n",
            self.measured,
            100.0 * self.metrics.failed_share,
            100.0 * self.metrics.timeout_share,
            "seconds",
            "mean",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
        );
        table += &row("latency", &self.latency);
        table += &row("first token", &self.first_token);
        table += &row("between tokens", &self.between_tokens);
        table += &row("longest pause", &self.gap_max);
        table += &row("sent late by", &self.lag);
        for (error, count) in &self.errors {
            let _ = writeln!(table, "{count:>8} × {error}");
        }
        table
    }
}

/// The observations in the form of the simulator's records, so that one code judges both.
pub fn outcome(observations: &[Observation], warm_up_share: f64) -> Outcome {
    let records: Vec<Record> = in_order(observations)
        .into_iter()
        .map(|observation| Record {
            arrival_s: observation.due_s,
            latency_s: observation.latency_s,
            ttft_s: observation.first_token_s,
            host: 0,
            balancer: 0,
            attempts: 1,
            status: observation.status,
        })
        .collect();
    let span_s = records.iter().map(|record| record.arrival_s + record.latency_s).fold(0.0, f64::max);
    Outcome { records, hosts: Vec::new(), span_s, warm_up_share }
}

fn in_order(observations: &[Observation]) -> Vec<&Observation> {
    let mut ordered: Vec<_> = observations.iter().collect();
    ordered.sort_by_key(|observation| observation.index);
    ordered
}

fn record(histogram: &mut Histogram<u64>, seconds: f64) {
    if seconds.is_finite() {
        histogram.saturating_record((seconds * 1e6).round().max(1.0) as u64);
    }
}

fn quantiles(histogram: &Histogram<u64>) -> Value {
    const POINTS: usize = 200;
    let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 * 1e-6;
    json!({
        "count": histogram.len(),
        "mean": histogram.mean() * 1e-6,
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p999": at(0.999),
        "max": histogram.max() as f64 * 1e-6,
        "quantiles": (0..POINTS).map(|point| at(point as f64 / (POINTS - 1) as f64)).collect::<Vec<f64>>(),
    })
}
