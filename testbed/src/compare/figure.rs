//! Figures of a proxy, measured and predicted.

use evenkeel_env::metrics::{Estimate, Metrics, estimate};

use super::Proxy;

/// A proxy's figures, repeat by repeat.
#[derive(Clone, Debug)]
pub struct Result {
    /// The proxy.
    pub proxy: Proxy,
    /// What was measured.
    pub measured: Vec<Metrics>,
    /// What the simulator says; empty where it has no such policy.
    pub predicted: Vec<Metrics>,
}

/// A figure of a replay.
pub type Figure = fn(&Metrics) -> f64;

/// The figures that are printed, with their names.
pub const FIGURES: [(&str, Figure); 5] = [
    ("latency_mean_s", |metrics| metrics.latency_mean_s),
    ("latency_p50_s", |metrics| metrics.latency_p50_s),
    ("latency_p99_s", |metrics| metrics.latency_p99_s),
    ("ttft_mean_s", |metrics| metrics.ttft_mean_s),
    ("ttft_p99_s", |metrics| metrics.ttft_p99_s),
];

impl Result {
    /// A figure of each replay.
    pub fn values(&self, figure: Figure) -> Vec<f64> {
        self.measured.iter().map(figure).collect()
    }

    /// A figure over the replays.
    pub fn measured(&self, figure: Figure) -> Estimate {
        estimate(&self.values(figure))
    }

    /// The same as the simulator has it; `None` where it has none.
    pub fn predicted(&self, figure: Figure) -> Option<Estimate> {
        let values: Vec<f64> = self.predicted.iter().map(figure).collect();
        (!values.is_empty()).then(|| estimate(&values))
    }

    /// Prediction over measurement, less 1; `None` where there is none.
    pub(super) fn prediction_error(&self, figure: Figure) -> Option<f64> {
        self.predicted(figure).map(|predicted| predicted.value / self.measured(figure).value - 1.0)
    }
}
