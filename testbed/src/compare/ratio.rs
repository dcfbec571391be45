//! Figures as ratios to the best policy that comes with a proxy: measured, simulated, and how
//! far these two are apart.

use std::fmt::Write as _;

use evenkeel_env::metrics::{Estimate, relative_difference};

use super::figure::{FIGURES, Figure, Result};

/// Points of a hundredth between a simulated ratio and the measured one beyond which the
/// simulator is called wrong.
pub const POINTS_MAX: f64 = 10.0;

/// Figures whose ratios are checked, and their names in the check's table.
const CHECKED: [(usize, &str); 3] = [(0, "mean"), (2, "p99"), (3, "TTFT")];

/// A figure of one proxy over the same figure of the best built-in policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratio {
    /// Name of the proxy that has the best.
    pub best: String,
    /// Measured, with a paired bootstrap interval over the repeats.
    pub measured: Estimate,
    /// Simulated; `None` where the simulator lacks one of the two policies.
    pub simulated: Option<f64>,
}

impl Ratio {
    /// `None` without a built-in policy.
    pub fn of(results: &[Result], result: &Result, figure: Figure) -> Option<Self> {
        let best = best_built_in(results, figure)?;
        let difference = relative_difference(&result.values(figure), &best.values(figure));
        let mean = |result: &Result| result.predicted(figure).map(|predicted| predicted.value);
        Some(Self {
            best: best.proxy.name.clone(),
            measured: Estimate {
                value: 1.0 + difference.value,
                low: 1.0 + difference.low,
                high: 1.0 + difference.high,
            },
            simulated: mean(result).zip(mean(best)).map(|(own, best)| own / best),
        })
    }

    /// Simulated less measured, in points of a hundredth.
    pub fn points_off(&self) -> Option<f64> {
        self.simulated.map(|simulated| 100.0 * (simulated - self.measured.value))
    }

    fn is_reference(&self, result: &Result) -> bool {
        self.best == result.proxy.name
    }
}

/// The built-in policy with the least of a figure.
fn best_built_in(results: &[Result], figure: Figure) -> Option<&Result> {
    let built_in = results.iter().filter(|result| result.proxy.is_built_in);
    built_in.min_by(|a, b| a.measured(figure).value.total_cmp(&b.measured(figure).value))
}

/// A table of all ratios, and whether the simulator is within [`POINTS_MAX`] of each; empty
/// without a built-in policy.
pub fn check(results: &[Result]) -> String {
    let references = CHECKED.map(|(figure, _)| best_built_in(results, FIGURES[figure].1));
    let [Some(mean), Some(p99), Some(ttft)] = references.map(|best| best.map(|best| best.proxy.name.as_str())) else {
        return String::new();
    };
    let mut text = format!(
        "\nRatios to the best policy that comes with a proxy (mean: {mean}; p99: {p99}; TTFT: {ttft}).\n\
         Measured, simulated, and how many points the simulator is off:\n{:<26}",
        ""
    );
    for (_, name) in CHECKED {
        let _ = write!(text, "{:>28}", format!("{name}: measured simulated"));
    }
    text.push('\n');
    let mut within = [0; CHECKED.len()];
    let mut compared = [0; CHECKED.len()];
    for result in results {
        let _ = write!(text, "{:<26}", result.proxy.name);
        for (at, (figure, _)) in CHECKED.iter().enumerate() {
            let Some(ratio) = Ratio::of(results, result, FIGURES[*figure].1) else { continue };
            let off = ratio.points_off().filter(|_| !ratio.is_reference(result));
            compared[at] += u32::from(off.is_some());
            within[at] += u32::from(off.is_some_and(|off| off.abs() <= POINTS_MAX));
            let simulated = ratio.simulated.map_or("–".to_owned(), |simulated| format!("{simulated:.2}"));
            let off = off
                .map_or(String::new(), |off| format!("{off:+.0}{}", if off.abs() <= POINTS_MAX { ' ' } else { '!' }));
            let _ = write!(text, "{:>15.2}{simulated:>7}{off:>6}", ratio.measured.value);
        }
        text.push('\n');
    }
    let counts: Vec<String> = CHECKED
        .iter()
        .zip(within.iter().zip(&compared))
        .map(|((_, name), (within, compared))| format!("{name} {within} of {compared}"))
        .collect();
    let _ = writeln!(text, "Simulated within {POINTS_MAX} points of measured: {}.", counts.join(", "));
    text
}

/// What the trained policy reaches, a line a figure.
pub fn conclusions(results: &[Result]) -> String {
    let mut text = String::new();
    for result in results.iter().filter(|result| result.proxy.is_trained()) {
        for (name, figure) in FIGURES {
            let Some(Ratio { best, measured, simulated }) = Ratio::of(results, result, figure) else { continue };
            let interval = if measured.low < measured.high {
                format!(" ({:.2} to {:.2})", measured.low, measured.high)
            } else {
                String::new()
            };
            let simulated = simulated.map_or(String::new(), |simulated| format!(", simulated {simulated:.2}"));
            let _ =
                writeln!(text, "{}: {name} {:.2} of {best}'s{interval}{simulated}", result.proxy.name, measured.value);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{POINTS_MAX, Ratio, check, conclusions};
    use crate::compare::Proxy;
    use crate::compare::figure::{FIGURES, Result};
    use crate::compare::setting::TRAINED;
    use evenkeel_env::metrics::Metrics;

    fn result(name: &str, simulated_as: Option<&str>, measured_s: &[f64], predicted_s: &[f64]) -> Result {
        let metrics = |seconds: &f64| Metrics {
            latency_mean_s: *seconds,
            latency_p99_s: 4.0 * seconds,
            ttft_mean_s: 0.1 * seconds,
            ..Metrics::default()
        };
        let proxy = Proxy {
            name: name.to_owned(),
            authority: String::new(),
            simulated_as: simulated_as.map(str::to_owned),
            is_built_in: simulated_as.is_none(),
        };
        let [measured, predicted] = [measured_s, predicted_s].map(|all| all.iter().map(metrics).collect());
        Result { proxy, measured, predicted }
    }

    fn results() -> [Result; 4] {
        [
            result("worse", None, &[4.0, 6.0], &[5.0, 5.0]),
            result("best", None, &[2.0, 3.0], &[2.0, 2.0]),
            result("ours", Some(TRAINED), &[1.0, 2.0], &[1.3, 1.3]),
            result("unknown", Some("ext"), &[2.0, 2.0], &[]),
        ]
    }

    #[test]
    fn ratios_are_to_the_best_that_comes_with_a_proxy() {
        let results = results();
        let ratio = Ratio::of(&results, &results[2], FIGURES[0].1).unwrap();
        assert_eq!(ratio.best, "best");
        assert!((ratio.measured.value - 0.6).abs() < 1e-12);
        assert!((ratio.points_off().unwrap() - 5.0).abs() < 1e-9);
        assert!(Ratio::of(&results, &results[3], FIGURES[0].1).unwrap().simulated.is_none());
        assert!(Ratio::of(&results[2..], &results[2], FIGURES[0].1).is_none());
    }

    #[test]
    fn the_check_counts_what_is_within_the_limit_and_marks_what_is_not() {
        let text = check(&results());
        assert!(text.contains(&format!("within {POINTS_MAX} points of measured: mean 1 of 2")), "{text}");
        let worse = text.lines().find(|line| line.starts_with("worse")).unwrap();
        assert!(worse.contains("+50!"), "{text}");
        assert!(conclusions(&results()).contains("ours: latency_mean_s 0.60 of best's"));
        assert_eq!(check(&results()[2..]), "");
    }
}
