//! The benchmark's results: who was how fast, and how far Evenkeel is from each.

use std::fmt::Write as _;

use crate::evaluate::contender::TRAINED;
use crate::evaluate::entry::{Entry, Figure};
use crate::evaluate::outcome::{Benchmark, Sweep};
use crate::evaluate::setting::Label;
use crate::report::number;

use super::name;

/// More settings than this are summed up instead of shown one by one.
const SETTINGS_SHOWN: usize = 6;
/// The figures with a column of their own, and what stands over it.
const VALUES: [(&str, &str); 4] =
    [("latency_mean_s", "mean"), ("latency_p50_s", "p50"), ("latency_p99_s", "p99"), ("ttft_mean_s", "TTFT")];
/// The figures of which Evenkeel's difference is shown.
const DIFFERENCES: [(&str, &str); 3] = [("latency_mean_s", "mean"), ("latency_p99_s", "p99"), ("ttft_mean_s", "TTFT")];

const LEGEND: &str = "\
-4.1 ±0.8: evenkeel is 4.1 % lower; paired by seed, with the 95 % interval.
! evenkeel is worse by more than that. * Tuned on the validation part.
Oracles see what no balancer can: bounds, not choices.
";

/// A table of each setting, or where there are many, of the first sweep's mean over its loads,
/// and a line for each sweep.
pub fn benchmark(benchmark: &Benchmark) -> String {
    if benchmark.settings().is_empty() || benchmark.contenders().is_empty() {
        return "Nothing was evaluated.\n".to_owned();
    }
    let mut text = String::new();
    if benchmark.settings().len() <= SETTINGS_SHOWN {
        for setting in benchmark.settings() {
            let _ = writeln!(text, "{}", block(&setting.label, &number::load(setting.label.load), &setting.entries));
        }
    } else {
        let sweeps = benchmark.sweeps();
        let first = &sweeps[0];
        let _ = writeln!(text, "{}", block(&first.mean[0].scenario, &loads(&first.mean_loads), &first.mean));
        text.push_str(&overview(&sweeps));
        text.push('\n');
    }
    text.push_str(LEGEND);
    text
}

/// Loads in words: one, or which ones a mean is over.
fn loads(loads: &[f64]) -> String {
    if let [load] = loads {
        return number::load(*load);
    }
    let list: Vec<String> = loads.iter().map(|load| number::plain((load * 1000.0).round() / 10.0)).collect();
    format!("mean of {} %", list.join(", "))
}

fn block(label: &Label, loads: &str, entries: &[Entry]) -> String {
    let unit = number::Unit::of_seconds(
        entries.iter().flat_map(|entry| VALUES.map(|(figure, _)| figure_of(&entry.metrics, figure).mean())),
    );
    let mut text = format!("{}, {}, load {loads}\n", name(&label.trace, 40), label.service);
    let _ = writeln!(text, "{}", name(&label.describe(), 80));
    let _ = writeln!(text, "{:<19}{:>28}{:>33}", "", format!("latency, {}", unit.symbol), "evenkeel against it, %");
    let mut header = format!("  {:<17}", "policy");
    for (_, title) in VALUES {
        let _ = write!(header, "{title:>7}");
    }
    for (_, title) in DIFFERENCES {
        let _ = write!(header, "{title:>10} ");
    }
    let _ = writeln!(text, "{}", header.trim_end());
    let _ = writeln!(text, "{}", "─".repeat(80));
    let (oracles, others): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| entry.oracle);
    for entry in others.into_iter().chain(oracles) {
        let mark = if entry.policy == TRAINED { '>' } else { ' ' };
        let mut row = format!("{mark} {:<17}", policy_name(entry, 17));
        for (figure, _) in VALUES {
            let _ = write!(row, "{:>7}", unit.format(figure_of(&entry.metrics, figure).mean()));
        }
        for (figure, _) in DIFFERENCES {
            let _ = write!(row, "{:>11}", difference(entry, figure));
        }
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

/// Every sweep in a line: Evenkeel against the best rule in the mean, and in p99.
fn overview(sweeps: &[Sweep<'_>]) -> String {
    let mut text =
        format!("{:<36}{:>22}{:>22}\n{}\n", "evenkeel against the best rule, %", "mean", "p99", "─".repeat(80));
    let mut trace = "";
    for sweep in sweeps {
        let label = &sweep.mean[0].scenario;
        if label.trace != trace {
            trace = &label.trace;
            let _ = writeln!(text, "{}", name(trace, 80));
        }
        let _ = writeln!(text, "  {}", name(&label.describe(), 76));
        let _ = write!(text, "{:<36}", format!("    load {}", loads(&sweep.mean_loads)));
        for figure in ["latency_mean_s", "latency_p99_s"] {
            let best = best_rule(&sweep.mean, figure);
            let cell = best.map_or_else(String::new, |best| {
                format!("{} {}", difference(best, figure).trim_end(), policy_name(best, 10))
            });
            let _ = write!(text, "{cell:>22}");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// The policy that could be deployed instead with the lowest value of a figure.
pub(crate) fn best_rule<'e>(entries: &'e [Entry], figure: &str) -> Option<&'e Entry> {
    entries
        .iter()
        .filter(|entry| !entry.oracle && entry.policy != TRAINED)
        .filter(|entry| figure_of(&entry.metrics, figure).value.is_some())
        .min_by(|a, b| figure_of(&a.metrics, figure).mean().total_cmp(&figure_of(&b.metrics, figure).mean()))
}

/// A figure by name; without a value where it was not measured.
pub(crate) fn figure_of(figures: &std::collections::BTreeMap<String, Figure>, name: &str) -> Figure {
    figures.get(name).copied().unwrap_or_default()
}

/// Evenkeel's difference to a policy in percent, with its interval, such as `-4.1 ±0.8`.
fn difference(entry: &Entry, figure: &str) -> String {
    let Some(difference) = entry.evenkeel_difference.get(figure) else {
        return String::new();
    };
    let percent = |value: f64| {
        let percent = 100.0 * value;
        if percent.abs() < 9.95 { format!("{percent:.1}") } else { format!("{percent:.0}") }
    };
    let Some(value) = difference.value else {
        return number::MISSING.to_owned();
    };
    let sign = if value > 0.0 { "+" } else { "" };
    let width = difference.half_width();
    let interval = if width.is_finite() { format!(" ±{}", percent(width)) } else { String::new() };
    let mark = if difference.is_above_zero() && !entry.oracle { '!' } else { ' ' };
    format!("{sign}{}{interval}{mark}", percent(value))
}

/// Name of a policy, with a star where its parameters were searched for.
fn policy_name(entry: &Entry, width: usize) -> String {
    if entry.tuned && !entry.parameters.is_empty() {
        format!("{}*", name(&entry.policy, width - 1))
    } else {
        name(&entry.policy, width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::entry::sample;

    fn sweep(entries: Vec<Entry>) -> Sweep<'static> {
        Sweep { settings: &[], mean_loads: vec![0.7, 0.8, 0.9], mean: entries }
    }

    #[test]
    fn benchmark_snapshot() {
        let entries = sample::entries();
        insta::assert_snapshot!(
            block(&entries[0].scenario, "70 %", &entries) + "\n" + &overview(&[sweep(entries)]) + LEGEND
        );
    }

    #[test]
    fn hostile_names_and_missing_figures_stay_within_80_columns() {
        let mut entries = sample::entries();
        for entry in &mut entries {
            entry.scenario.trace = format!("\u{1b}[31m{}", "t".repeat(200));
            entry.scenario.fleet = "f".repeat(200);
            entry.policy = entry.policy.repeat(4);
            entry.metrics.insert("latency_p99_s".to_owned(), Figure::default());
            for difference in entry.evenkeel_difference.values_mut() {
                *difference = Figure { value: Some(12.345), ci95: [Some(9.876), Some(14.9)] };
            }
        }
        let text = block(&entries[0].scenario, "mean of 70, 80, 90 %", &entries) + &overview(&[sweep(entries)]);
        assert!(!text.contains('\u{1b}'));
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        }
    }
}
