//! Figures with their intervals, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::figure::{FIGURES, Result};
use super::ratio::{self, Ratio};

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
