//! What was seen lately, in the form in which the page draws it.

use std::collections::VecDeque;

use evenkeel_env::Status;
use evenkeel_env::metrics::Sample;
use serde_json::{Value, json};

use crate::replay::observation::Observation;

/// Requests of this many seconds of service time make up the distributions.
const WINDOW_S: f64 = 90.0;
/// Points of the curves over time, one a tick.
const POINTS: usize = 240;
/// Bins of the distribution: logarithmic, from the first to the last bound.
const BINS: usize = 56;
const BIN_FIRST_S: f64 = 0.2;
const BIN_LAST_S: f64 = 120.0;
/// What was given up or refused counts as having taken this long.
const FAILED_S: f64 = 60.0;

#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "units come last in names")]
struct Seen {
    ended_s: f64,
    latency_s: f64,
    first_token_s: f64,
}

/// The latest requests of one side.
#[derive(Debug, Default)]
pub struct Recorder {
    seen: VecDeque<Seen>,
    /// The window has been full once.
    is_warm: bool,
    answered: u64,
    failed: u64,
    means_s: VecDeque<f64>,
    p99s_s: VecDeque<f64>,
}

impl Recorder {
    /// Takes in a request that ended. `begin_s`: when its replay began, on the hosts' clock.
    pub fn push(&mut self, begin_s: f64, observation: &Observation) {
        let answered = observation.status == Status::Answered;
        let counted = |seconds: f64| if answered { seconds } else { seconds.max(FAILED_S) };
        self.answered += u64::from(answered);
        self.failed += u64::from(!answered);
        self.seen.push_back(Seen {
            ended_s: begin_s + observation.due_s + observation.latency_s,
            latency_s: counted(observation.latency_s),
            first_token_s: counted(observation.first_token_s),
        });
    }

    /// Forgets what is too old, and adds a point to the curves.
    pub fn tick(&mut self, now_s: f64) {
        let before = self.seen.len();
        self.seen.retain(|seen| seen.ended_s > now_s - WINDOW_S);
        self.is_warm |= self.seen.len() < before;
        let latencies = self.latencies();
        keep(&mut self.means_s, latencies.mean());
        keep(&mut self.p99s_s, latencies.quantile(0.99));
    }

    /// Everything, for the page.
    pub fn json(&self) -> Value {
        let latencies = self.latencies();
        let first_tokens = Sample::new(self.seen.iter().map(|seen| seen.first_token_s).collect());
        json!({
            "is_warm": self.is_warm,
            "answered": self.answered,
            "intervals": {
                "mean_s": mean_interval(self.seen.iter().map(|seen| seen.latency_s)).map(number),
                "p99_s": quantile_interval(&latencies, self.seen.len(), 0.99).map(number),
                "first_token_mean_s": mean_interval(self.seen.iter().map(|seen| seen.first_token_s)).map(number),
            },
            "failed": self.failed,
            "mean_s": number(latencies.mean()),
            "p50_s": number(latencies.quantile(0.5)),
            "p99_s": number(latencies.quantile(0.99)),
            "first_token_mean_s": number(first_tokens.mean()),
            "distribution": self.distribution(),
            "means_s": self.means_s.iter().map(|value| number(*value)).collect::<Vec<_>>(),
            "p99s_s": self.p99s_s.iter().map(|value| number(*value)).collect::<Vec<_>>(),
        })
    }

    fn latencies(&self) -> Sample {
        Sample::new(self.seen.iter().map(|seen| seen.latency_s).collect())
    }

    /// Share of the requests in each bin.
    fn distribution(&self) -> Vec<f64> {
        let mut shares = vec![0.0; BINS];
        let width = (BIN_LAST_S / BIN_FIRST_S).ln() / BINS as f64;
        for seen in &self.seen {
            let bin = ((seen.latency_s / BIN_FIRST_S).ln() / width).clamp(0.0, BINS as f64 - 1.0);
            shares[bin as usize] += 1.0 / self.seen.len() as f64;
        }
        shares
    }
}

/// Half a 95 % interval, in standard errors.
const STANDARD_ERRORS: f64 = 1.96;

/// A mean's 95 % interval, by the normal approximation.
fn mean_interval(values: impl Iterator<Item = f64> + Clone) -> [f64; 2] {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let variance = values.map(|value| (value - mean) * (value - mean)).sum::<f64>() / (count - 1.0);
    let half = STANDARD_ERRORS * (variance / count).sqrt();
    [mean - half, mean + half]
}

/// A quantile's 95 % interval, by the ranks between which it lies.
fn quantile_interval(sample: &Sample, count: usize, share: f64) -> [f64; 2] {
    let half = STANDARD_ERRORS * (share * (1.0 - share) / count as f64).sqrt();
    [sample.quantile(share - half), sample.quantile(share + half)]
}

/// The bounds of the distributions, for the page's axis.
pub fn axis() -> Value {
    json!({"bins": BINS, "first_s": BIN_FIRST_S, "last_s": BIN_LAST_S, "window_s": WINDOW_S})
}

fn keep(points: &mut VecDeque<f64>, value: f64) {
    if points.len() == POINTS {
        points.pop_front();
    }
    points.push_back(value);
}

/// JSON has no NaN.
fn number(value: f64) -> Value {
    if value.is_finite() { json!((value * 1e4).round() / 1e4) } else { Value::Null }
}
