//! Rates and windows as CSV.

use super::requests::Summary;
use crate::rates::{Counts, Rates, Window};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Classes with columns of their own.
const CLASSES_MAX: usize = 16;
/// The column of the classes that have none.
const OTHER: &str = "other";

/// A field of a CSV.
pub(crate) fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// Writes the rates of all classes together, then requests by class, as every command that takes series reads
/// them. The first and the last step are not whole, and left out where others are left.
pub(crate) fn write_rates(rates: &Rates, path: &Path) -> Result<()> {
    let span = rates.span()?;
    let whole = if span.end - span.start > 4 { span.start + 1..span.end - 1 } else { span };
    let step_s = rates.step_us as f64 / 1e6;
    let total = rates.total();
    let has_tokens = total.values().any(|counts| counts.prompt + counts.output > 0.0);
    let classes = classes(rates);
    let mut text = "t_s,requests_per_s".to_owned();
    if has_tokens {
        text.push_str(",prompt_tokens_per_s,output_tokens_per_s");
    }
    for name in classes.keys() {
        let _ = write!(text, ",{}", field(&format!("{name}_requests_per_s")));
    }
    text.push('\n');
    for step in whole {
        let counts = total.get(&step).copied().unwrap_or_default();
        let _ = write!(text, "{},{}", step as f64 * step_s, counts.requests / step_s);
        if has_tokens {
            let _ = write!(text, ",{},{}", counts.prompt / step_s, counts.output / step_s);
        }
        for steps in classes.values() {
            let _ = write!(text, ",{}", steps.get(&step).map_or(0.0, |counts| counts.requests) / step_s);
        }
        text.push('\n');
    }
    fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))
}

/// Counts by class: the largest ones, and the sum of the others. Nothing where there is but one.
fn classes(rates: &Rates) -> BTreeMap<String, BTreeMap<i64, Counts>> {
    if rates.classes.len() < 2 {
        return BTreeMap::new();
    }
    let requests = |steps: &BTreeMap<i64, Counts>| steps.values().map(|counts| counts.requests).sum::<f64>();
    let mut by_size: Vec<_> = rates.classes.iter().map(|(name, steps)| (requests(steps), name, steps)).collect();
    by_size.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut classes: BTreeMap<String, BTreeMap<i64, Counts>> = BTreeMap::new();
    for (index, (_, name, steps)) in by_size.into_iter().enumerate() {
        let name = match name.as_str() {
            _ if index >= CLASSES_MAX => OTHER,
            "" => "without_class",
            name => name,
        };
        let sums = classes.entry(name.to_owned()).or_default();
        for (&step, counts) in steps {
            sums.entry(step).or_default().requests += counts.requests;
        }
    }
    classes
}

/// Writes load and lengths of every window; of the chosen ones also what their requests showed.
pub(crate) fn write_windows(windows: &[Window], chosen: &[usize], kept: &[Summary], path: &Path) -> Result<()> {
    let mut text = "begin_s,requests,peak_to_mean,dispersion,prompt_mean,prompt_sd,output_mean,output_sd,chosen,\
                    interarrival_cv,prompt_p50,prompt_p90,prompt_p99,output_p50,output_p90,output_p99\n"
        .to_owned();
    for (index, window) in windows.iter().enumerate() {
        let [[prompt, prompt_sd], [output, output_sd]] = window.counts.lengths();
        let _ = write!(
            text,
            "{},{},{:.3},{:.3},{prompt:.2},{prompt_sd:.2},{output:.2},{output_sd:.2}",
            window.begin_us / 1_000_000,
            window.counts.requests,
            window.peak_to_mean,
            window.dispersion
        );
        match chosen.binary_search(&index).ok().and_then(|at| Some((at, kept.get(at)?))) {
            None => text.push_str(",,,,,,,,\n"),
            Some((at, summary)) => {
                let [prompt, output] = summary.quantiles();
                let _ = write!(text, ",{at},{:.4}", summary.interarrival_cv());
                prompt.iter().chain(&output).for_each(|tokens| {
                    let _ = write!(text, ",{tokens}");
                });
                text.push('\n');
            }
        }
    }
    fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))
}
