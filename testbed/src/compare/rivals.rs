//! The trained policy against each of the others.

use std::fmt::Write as _;

use evenkeel_env::metrics::{Estimate, relative_difference};
use serde_json::{Value, json};

use super::figure::{FIGURES, Figure, Result};

/// Figures that are compared: index in [`FIGURES`] and title.
const COMPARED: [(usize, &str); 3] = [(0, "mean"), (2, "p99"), (3, "TTFT, mean")];

/// A figure of one proxy over the same figure of another, with a paired bootstrap interval over the
/// repeats.
fn ratio(own: &Result, rival: &Result, figure: Figure) -> Estimate {
    let difference = relative_difference(&own.values(figure), &rival.values(figure));
    Estimate { value: 1.0 + difference.value, low: 1.0 + difference.low, high: 1.0 + difference.high }
}

/// Pairs of a trained policy and one that is not.
fn pairs(results: &[Result]) -> impl Iterator<Item = (&Result, &Result)> {
    let trained = results.iter().filter(|result| result.proxy.is_trained());
    trained.flat_map(|own| results.iter().filter(|other| !other.proxy.is_trained()).map(move |rival| (own, rival)))
}

/// A table with a line a pair; empty without a trained policy or without a rival.
pub fn table(results: &[Result]) -> String {
    if pairs(results).next().is_none() {
        return String::new();
    }
    let mut text = format!("\n{:<52}", "ratios, with 95 % intervals over the repeats");
    for (_, title) in COMPARED {
        let _ = write!(text, "{title:>22}");
    }
    text.push('\n');
    for (own, rival) in pairs(results) {
        let _ = write!(text, "{:<52}", format!("{} over {}", own.proxy.name, rival.proxy.name));
        for (figure, _) in COMPARED {
            let Estimate { value, low, high } = ratio(own, rival, FIGURES[figure].1);
            let interval = if low < high { format!(" ({low:.2}–{high:.2})") } else { String::new() };
            let _ = write!(text, "{:>22}", format!("{value:.2}{interval}"));
        }
        text.push('\n');
    }
    text
}

/// The same for programs.
pub fn json(results: &[Result]) -> Value {
    let one = |(own, rival): (&Result, &Result)| {
        let figures = FIGURES.map(|(name, figure)| (name.to_owned(), json!(ratio(own, rival, figure))));
        json!({
            "proxy": own.proxy.name,
            "over": rival.proxy.name,
            "ratios": serde_json::Map::from_iter(figures),
        })
    };
    pairs(results).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::{json, table};
    use crate::compare::Proxy;
    use crate::compare::figure::Result;
    use crate::compare::setting::TRAINED;
    use evenkeel_env::metrics::Metrics;

    fn result(name: &str, is_trained: bool, measured_s: &[f64]) -> Result {
        let metrics = |seconds: &f64| Metrics { latency_mean_s: *seconds, ..Metrics::default() };
        let proxy = Proxy {
            name: name.to_owned(),
            authority: String::new(),
            simulated_as: is_trained.then(|| TRAINED.to_owned()),
            is_built_in: !is_trained,
        };
        Result { proxy, measured: measured_s.iter().map(metrics).collect(), predicted: Vec::new() }
    }

    #[test]
    fn each_trained_policy_meets_each_rival() {
        let results = [
            result("plain", false, &[2.0, 4.0]),
            result("weighted", false, &[1.0, 3.0]),
            result("ours", true, &[1.0, 2.0]),
        ];
        let text = table(&results);
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(line("ours over plain").contains(" 0.50"), "{text}");
        assert!(line("ours over weighted").contains(" 0.75 (0.67–1.00)"), "{text}");
        assert_eq!(json(&results).as_array().unwrap().len(), 2);
        assert_eq!(table(&results[..2]), "");
    }
}
