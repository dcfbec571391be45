//! Figures with their intervals, for people and for programs.

use std::fmt::Write as _;

use evenkeel_env::metrics::{Estimate, Metrics, estimate};
use serde_json::{Value, json};

use super::Proxy;
use super::ratio::{self, Ratio};

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
    fn prediction_error(&self, figure: Figure) -> Option<f64> {
        self.predicted(figure).map(|predicted| predicted.value / self.measured(figure).value - 1.0)
    }
}

/// A table for people.
pub fn table(results: &[Result]) -> String {
    let mut text = format!(
        "{:<26}{:>20}{:>9}{:>9}{:>9}{:>10}{:>8}{:>24}\n",
        "proxy and policy", "mean s (95 %)", "p50 s", "p99 s", "TTFT s", "TTFT p99", "failed", "simulated: mean, p99"
    );
    for result in results {
        let mean = result.measured(FIGURES[0].1);
        let interval = if mean.low.is_finite() { format!(" ±{:.2}", mean.high - mean.value) } else { String::new() };
        let value = |figure: usize| result.measured(FIGURES[figure].1).value;
        let failed = result.measured(|metrics| metrics.failed_share + metrics.timeout_share).value;
        let error = |figure: usize| result.prediction_error(FIGURES[figure].1);
        let errors = match (error(0), error(2)) {
            (Some(mean), Some(p99)) => format!("{:+.0} %, {:+.0} %", 100.0 * mean, 100.0 * p99),
            _ => "–".to_owned(),
        };
        let _ = writeln!(
            text,
            "{:<26}{:>20}{:>9.3}{:>9.2}{:>9.3}{:>10.3}{:>7.2}%{errors:>24}",
            result.proxy.name,
            format!("{:.3}{interval}", mean.value),
            value(1),
            value(2),
            value(3),
            value(4),
            100.0 * failed,
        );
    }
    text + &ratio::conclusions(results)
}

/// Everything, for programs.
pub fn json(results: &[Result], setting: &Value) -> Value {
    let results: Vec<Value> = results.iter().map(|result| one(results, result)).collect();
    json!({"setting": setting, "results": results})
}

fn one(results: &[Result], result: &Result) -> Value {
    let figures = FIGURES.map(|(name, figure)| {
        let against = Ratio::of(results, result, figure).map(|ratio| {
            json!({
                "best_built_in": ratio.best,
                "ratio": ratio.measured,
                "predicted_ratio": ratio.simulated,
                "points_off": ratio.points_off(),
            })
        });
        let figures = json!({
            "measured": result.measured(figure),
            "predicted": result.predicted(figure),
            "prediction_error": result.prediction_error(figure),
            "against_best_built_in": against,
        });
        (name.to_owned(), figures)
    });
    json!({
        "proxy": result.proxy.name,
        "simulated_as": result.proxy.simulated_as,
        "figures": serde_json::Map::from_iter(figures),
        "measured_repeats": result.measured,
        "predicted_repeats": result.predicted,
    })
}
