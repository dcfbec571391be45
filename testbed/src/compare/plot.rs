//! The figures of a comparison as a page of its own: a chart a figure, a line a policy, and
//! what the simulator said beside what was measured.

use std::fmt::Write as _;

use evenkeel_env::metrics::Estimate;
use serde_json::Value;

use super::figure::{FIGURES, Figure, Result};
use super::ratio::{self, Ratio};
use super::table;

const STYLE: &str = include_str!("plot.css");

/// Figures that have a chart: index in [`FIGURES`], title, explanation.
const CHARTS: [(usize, &str, &str); 3] = [
    (0, "Mean latency", "from when a request was due to its last token, in seconds"),
    (2, "99th percentile of latency", "what the slowest request in a hundred takes, in seconds"),
    (3, "Mean time to first token", "until an answer begins, in seconds"),
];

/// Sizes of a chart, in pixels of a wide screen.
const WIDTH: f64 = 760.0;
const NAMES_WIDTH: f64 = 190.0;
const VALUE_WIDTH: f64 = 120.0;
const ROW: f64 = 26.0;
const AXIS: f64 = 26.0;

/// The page. `about`: the setting, as in the JSON of all figures.
pub fn page(results: &[Result], about: &Value) -> String {
    let mut charts = String::new();
    for (figure, title, explanation) in CHARTS {
        let _ = write!(
            charts,
            "<figure><figcaption>{title} <span>{explanation}</span></figcaption>{}</figure>",
            chart(results, FIGURES[figure].1, title)
        );
    }
    let text = escape(&format!("{}{}", table::table(results), ratio::check(results)));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Evenkeel: proxies compared</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{}</h1>\n<p>{}</p>\n\
         <p class=\"legend\"><span><i class=\"measured\"></i>measured on sockets, with its 95 % interval \
         (replays: {})</span><span><i class=\"simulated\"></i>as the simulator says</span></p>\n\
         {charts}\n<h2>In figures</h2>\n<pre>{text}</pre>\n</main>\n</body>\n</html>\n",
        escape(&headline(results)),
        escape(&setting(about)),
        results.first().map_or(0, |result| result.measured.len()),
    )
}

/// The most important in one sentence.
fn headline(results: &[Result]) -> String {
    let ours = results.iter().filter(|result| result.proxy.is_trained());
    let sentences = ours.filter_map(|result| {
        let [mean, p99] = [0, 2].map(|figure| Ratio::of(results, result, FIGURES[figure].1));
        let (mean, p99) = mean.zip(p99)?;
        Some(format!(
            "{}: mean latency {:.2} of {}, 99th percentile {:.2} of {}.",
            result.proxy.name, mean.measured.value, mean.best, p99.measured.value, p99.best
        ))
    });
    let headline = sentences.collect::<Vec<_>>().join(" ");
    if headline.is_empty() { "Proxies compared".to_owned() } else { headline }
}

fn setting(about: &Value) -> String {
    let speeds: Vec<String> = about["speeds"].as_array().into_iter().flatten().map(ToString::to_string).collect();
    format!(
        "Real proxies in front of emulated hosts of speeds {}, {} % of their capacity; {} requests of {} (test part) \
         a replay, {} times as fast as in reality; seconds are those of the hosts.",
        speeds.join(", "),
        about["load"].as_f64().map_or(f64::NAN, |load| (100.0 * load).round()),
        about["requests"],
        about["trace"].as_str().unwrap_or("a trace"),
        about["time_scale"],
    )
}

fn chart(results: &[Result], figure: Figure, title: &str) -> String {
    let mut rows: Vec<(&Result, Estimate, Option<f64>)> = results
        .iter()
        .map(|result| (result, result.measured(figure), result.predicted(figure).map(|predicted| predicted.value)))
        .collect();
    rows.sort_by(|a, b| a.1.value.total_cmp(&b.1.value));
    let ends = rows.iter().flat_map(|(_, measured, predicted)| {
        [measured.value, if measured.high.is_finite() { measured.high } else { 0.0 }, predicted.unwrap_or(0.0)]
    });
    let most = ends.fold(f64::MIN_POSITIVE, f64::max);
    let place = |value: f64| NAMES_WIDTH + (WIDTH - NAMES_WIDTH - VALUE_WIDTH) * (value / most).clamp(0.0, 1.0);
    let height = ROW * rows.len() as f64 + AXIS;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">");
    let step = step(most);
    for tick in (0..).map(|tick| f64::from(tick) * step).take_while(|value| *value <= most) {
        let (x, bottom) = (place(tick), height - AXIS);
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{x:.1} 0V{bottom}\"/>\
             <text class=\"axis\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            height - 8.0,
            trimmed(tick)
        );
    }
    for (index, (result, measured, predicted)) in rows.iter().enumerate() {
        let y = ROW * (index as f64 + 0.5);
        let class = if result.proxy.is_trained() { "row ours" } else { "row" };
        let _ = write!(
            svg,
            "<g class=\"{class}\"><text x=\"0\" y=\"{:.1}\">{}</text>",
            y + 4.5,
            escape(&result.proxy.name)
        );
        if measured.low.is_finite() {
            let _ = write!(
                svg,
                "<path class=\"interval\" d=\"M{:.1} {y}H{:.1}\"/>",
                place(measured.low),
                place(measured.high)
            );
        }
        if let Some(predicted) = predicted {
            let x = place(*predicted);
            let _ = write!(svg, "<path class=\"simulated\" d=\"M{x:.1} {}l6 6l-6 6l-6 -6z\"/>", y - 6.0);
        }
        let x = place(measured.value);
        let _ = write!(
            svg,
            "<circle class=\"measured\" cx=\"{x:.1}\" cy=\"{y}\" r=\"5\"/>\
             <text class=\"value\" x=\"{WIDTH}\" y=\"{:.1}\">{}</text></g>",
            y + 4.5,
            value(measured)
        );
    }
    svg + "</svg>"
}

/// A figure with half its interval.
fn value(measured: &Estimate) -> String {
    let digits = if measured.value < 1.0 { 3 } else { 2 };
    let half = measured.high - measured.value;
    let interval = if half.is_finite() { format!(" ± {half:.digits$}") } else { String::new() };
    format!("{:.digits$}{interval} s", measured.value)
}

/// Distance of grid lines: 1, 2 or 5 times a power of ten, so that there are four to ten.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf((most / 5.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| most / step <= 8.0).unwrap_or(most)
}

/// A tick's number without needless digits.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{Result, page, step, trimmed};
    use crate::compare::Proxy;
    use crate::compare::setting::TRAINED;
    use evenkeel_env::metrics::Metrics;

    #[test]
    fn every_policy_has_a_row_in_every_chart() {
        let metrics = |seconds: f64| Metrics {
            latency_mean_s: seconds,
            latency_p50_s: seconds,
            latency_p99_s: seconds,
            ttft_mean_s: seconds,
            ttft_p99_s: seconds,
            ..Metrics::default()
        };
        let result = |name: &str, simulated_as: &str, seconds: f64| Result {
            proxy: Proxy {
                name: name.to_owned(),
                authority: String::new(),
                simulated_as: Some(simulated_as.to_owned()),
                is_built_in: simulated_as != TRAINED,
            },
            measured: vec![metrics(seconds); 2],
            predicted: vec![metrics(1.1 * seconds)],
        };
        let results = [result("nginx <least>", "least_request", 2.0), result("nginx ours", TRAINED, 1.0)];
        let page = page(&results, &serde_json::json!({"speeds": [1, 2], "load": 0.8}));
        assert_eq!(page.matches("<figure>").count(), 3);
        assert_eq!(page.matches(">nginx &lt;least&gt;<").count(), 3, "{page}");
        assert!(page.contains("<h1>nginx ours: mean latency 0.50 of nginx &lt;least&gt;"), "{page}");
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }

    #[test]
    fn ticks_are_round_and_few() {
        for (most, expected) in [(1.0, 0.2), (9.9, 2.0), (0.031, 0.005), (42.0, 10.0)] {
            assert!((step(most) - expected).abs() < 1e-9 * expected, "{most}: {}", step(most));
        }
        assert_eq!((trimmed(20.0).as_str(), trimmed(0.25).as_str()), ("20", "0.25"));
    }
}
