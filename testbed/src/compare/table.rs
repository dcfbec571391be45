//! Figures with their intervals, for people and for programs.

use std::fmt::Write as _;

use evenkeel_env::metrics::{Estimate, Metrics, estimate, relative_difference};
use serde_json::{Value, json};

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

/// The figures that are printed.
type Figure = fn(&Metrics) -> f64;
const FIGURES: [(&str, Figure); 5] = [
    ("latency_mean_s", |metrics| metrics.latency_mean_s),
    ("latency_p50_s", |metrics| metrics.latency_p50_s),
    ("latency_p99_s", |metrics| metrics.latency_p99_s),
    ("ttft_mean_s", |metrics| metrics.ttft_mean_s),
    ("ttft_p99_s", |metrics| metrics.ttft_p99_s),
];

impl Result {
    fn values(metrics: &[Metrics], figure: Figure) -> Vec<f64> {
        metrics.iter().map(figure).collect()
    }

    fn measured(&self, figure: Figure) -> Estimate {
        estimate(&Self::values(&self.measured, figure))
    }

    /// Prediction over measurement, less 1; `None` where there is none.
    fn prediction_error(&self, figure: Figure) -> Option<f64> {
        let (measured, predicted) = (self.measured(figure), estimate(&Self::values(&self.predicted, figure)));
        (!self.predicted.is_empty()).then(|| predicted.value / measured.value - 1.0)
    }
}

/// The built-in policy with the least of a figure.
fn best_built_in(results: &[Result], figure: Figure) -> Option<&Result> {
    let built_in = results.iter().filter(|result| result.proxy.is_built_in);
    built_in.min_by(|a, b| a.measured(figure).value.total_cmp(&b.measured(figure).value))
}

/// Ratio to the best built-in policy with its interval, and the same as predicted.
fn against_best(results: &[Result], result: &Result, figure: Figure) -> Option<(Estimate, Option<f64>, String)> {
    let best = best_built_in(results, figure)?;
    let difference =
        relative_difference(&Result::values(&result.measured, figure), &Result::values(&best.measured, figure));
    let ratio = Estimate { value: 1.0 + difference.value, low: 1.0 + difference.low, high: 1.0 + difference.high };
    let mean = |result: &Result| estimate(&Result::values(&result.predicted, figure)).value;
    let is_predicted = !result.predicted.is_empty() && !best.predicted.is_empty();
    Some((ratio, is_predicted.then(|| mean(result) / mean(best)), best.proxy.name.clone()))
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
    for result in results.iter().filter(|result| !result.proxy.is_built_in) {
        for (name, figure) in FIGURES {
            let Some((ratio, predicted, best)) = against_best(results, result, figure) else { continue };
            let interval = if ratio.low < ratio.high {
                format!(" ({:.2} to {:.2})", ratio.low, ratio.high)
            } else {
                String::new()
            };
            let predicted = predicted.map_or(String::new(), |predicted| format!(", simulated {predicted:.2}"));
            let _ = writeln!(text, "{}: {name} {:.2} of {best}'s{interval}{predicted}", result.proxy.name, ratio.value);
        }
    }
    text
}

/// Everything, for programs.
pub fn json(results: &[Result], setting: &Value) -> Value {
    let results: Vec<Value> = results.iter().map(|result| one(results, result)).collect();
    json!({"setting": setting, "results": results})
}

fn one(results: &[Result], result: &Result) -> Value {
    let figures = FIGURES.map(|(name, figure)| {
        let against = against_best(results, result, figure).map(
            |(ratio, predicted, best)| json!({"best_built_in": best, "ratio": ratio, "predicted_ratio": predicted}),
        );
        let figures = json!({
            "measured": result.measured(figure),
            "predicted": (!result.predicted.is_empty()).then(|| estimate(&Result::values(&result.predicted, figure))),
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
