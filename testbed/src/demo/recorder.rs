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

/// Figures that are compared, as the page names them.
pub const FIGURES: [&str; 3] = ["p99_s", "mean_s", "first_token_mean_s"];
/// Length of the stretches of time in which they are compared.
const STRETCH_S: f64 = 15.0;
/// Stretches that are kept: older ones no longer tell of what is now.
const STRETCHES: usize = 80;

/// The [`FIGURES`] of the requests that ended within a stretch of time.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// Its number, from the start of the hosts' clock.
    pub index: u64,
    /// NaN where no request ended.
    pub figures: [f64; FIGURES.len()],
}

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
    answered: u64,
    failed: u64,
    means_s: VecDeque<f64>,
    p99s_s: VecDeque<f64>,
    stretches: VecDeque<Stretch>,
    /// The stretch that is under way.
    present: u64,
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

    /// Forgets what is too old, adds a point to the curves, and ends stretches of time.
    pub fn tick(&mut self, now_s: f64) {
        let now = (now_s / STRETCH_S) as u64;
        if now > self.present {
            self.end_stretch();
            self.present = now;
        }
        self.seen.retain(|seen| seen.ended_s > now_s - WINDOW_S);
        let latencies = self.latencies();
        keep(&mut self.means_s, latencies.mean(), POINTS);
        keep(&mut self.p99s_s, latencies.quantile(0.99), POINTS);
    }

    /// The latest stretches of time that are over, oldest first.
    pub fn stretches(&self) -> impl Iterator<Item = &Stretch> {
        self.stretches.iter()
    }

    fn end_stretch(&mut self) {
        let within = |seen: &&Seen| (seen.ended_s / STRETCH_S) as u64 == self.present;
        let sample = |read: fn(&Seen) -> f64| Sample::new(self.seen.iter().filter(within).map(read).collect());
        let (latencies, first_tokens) = (sample(|seen| seen.latency_s), sample(|seen| seen.first_token_s));
        let figures = [latencies.quantile(0.99), latencies.mean(), first_tokens.mean()];
        keep(&mut self.stretches, Stretch { index: self.present, figures }, STRETCHES);
    }

    /// Everything, for the page.
    pub fn json(&self) -> Value {
        let latencies = self.latencies();
        let first_tokens = Sample::new(self.seen.iter().map(|seen| seen.first_token_s).collect());
        let [p99, mean, first_token_mean] = FIGURES;
        json!({
            "answered": self.answered,
            "failed": self.failed,
            mean: number(latencies.mean()),
            "p50_s": number(latencies.quantile(0.5)),
            p99: number(latencies.quantile(0.99)),
            first_token_mean: number(first_tokens.mean()),
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

/// The bounds of the distributions, for the page's axis.
pub fn axis() -> Value {
    json!({"bins": BINS, "first_s": BIN_FIRST_S, "last_s": BIN_LAST_S, "window_s": WINDOW_S})
}

fn keep<T>(points: &mut VecDeque<T>, value: T, most: usize) {
    if points.len() == most {
        points.pop_front();
    }
    points.push_back(value);
}

/// JSON has no NaN.
fn number(value: f64) -> Value {
    if value.is_finite() { json!((value * 1e4).round() / 1e4) } else { Value::Null }
}
