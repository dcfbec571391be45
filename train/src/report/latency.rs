//! Charts of the latency: its distribution at each load, and its tail against load.

use evenkeel_numbers::quantile::quantile;

use crate::metrics::PolicyResult;

use super::axis::{Axis, range};
use super::chart::Chart;
use super::compare::{self, Group, Measure, Role, display_name};
use super::html::{escape, put};
use super::number;
use super::palette::Palette;

/// One distribution chart for each load, traces apart.
pub(super) fn distribution_section(groups: &[Group], palette: &Palette) -> String {
    if !groups.iter().any(|group| !quantiles(group).is_empty()) {
        return String::new();
    }
    let mut out = String::from(
        "<section id=\"distribution\">\n<h2>Latency distribution</h2>\n\
         <p>Share of the requests answered within a time; the farther left, the better. The \
         vertical scale is stretched towards both ends, so that the tail can be read; dots mark the \
         99th percentile. All loads of a trace share one scale.</p>\n",
    );
    out.push_str(&palette.legend());
    for trace in groups.chunk_by(|a, b| a.trace == b.trace) {
        put!(out, "<h3>{}</h3>\n<div class=\"multiples\">\n", escape(trace[0].trace));
        let extent = trace
            .iter()
            .flat_map(quantiles)
            .flat_map(|quantiles| [quantile(quantiles, 0.01), quantile(quantiles, highest_share(quantiles))]);
        let extent = range(extent).unwrap_or((0.1, 10.0));
        for group in trace {
            out.push_str(&distribution(group, extent, palette));
        }
        out.push_str("</div>\n");
    }
    out.push_str("</section>\n");
    out
}

fn quantiles<'a>(group: &Group<'a>) -> Vec<&'a [f64]> {
    group
        .results
        .iter()
        .map(|result| result.latency_quantiles_s.as_slice())
        .filter(|quantiles| quantiles.len() > 1)
        .collect()
}

/// The highest share at which a distribution of so many points still says something.
fn highest_share(quantiles: &[f64]) -> f64 {
    let intervals = (quantiles.len() - 1) as f64;
    (1.0 - 1.0 / intervals).clamp(0.99, 0.999)
}

fn distribution(group: &Group, extent: (f64, f64), palette: &Palette) -> String {
    let x = Axis::log("latency", [extent.0, extent.1], number::seconds_short);
    let high = quantiles(group).into_iter().map(highest_share).fold(0.99, f64::max);
    let y = Axis::share("share of the requests", high);
    let title = format!("{} load", number::load(group.load));
    let description = format!("Latency distribution of each policy at {title}");
    let mut chart = Chart::new([340.0, 300.0], x, y, &description);
    for result in ours_on_top(group) {
        let quantiles = &result.latency_quantiles_s;
        if quantiles.len() < 2 {
            continue;
        }
        let last = (quantiles.len() - 1) as f64;
        let points: Vec<(f64, f64)> = quantiles
            .iter()
            .enumerate()
            .map(|(index, value)| (*value, index as f64 / last))
            .filter(|(_, share)| (0.01..=high).contains(share))
            .collect();
        let class = palette.class(&result.policy);
        let p99_s = quantile(quantiles, 0.99);
        let tooltip = format!(
            "{}: p50 {}, p99 {}",
            display_name(&result.policy),
            number::seconds(quantile(quantiles, 0.5)),
            number::seconds(p99_s)
        );
        chart.line(class, &points, &tooltip);
        chart.dot(class, (p99_s, 0.99), &tooltip);
    }
    format!("<figure><figcaption>{}</figcaption>{}</figure>\n", escape(&title), chart.finish())
}

/// The results of a group in the order of drawing.
fn ours_on_top<'a>(group: &Group<'a>) -> Vec<&'a PolicyResult> {
    let mut results: Vec<&PolicyResult> = group.with_role(Role::Oracle).collect();
    results.extend(group.attainable());
    results
}

/// Tail and mean latency against load, for each trace with more than one load.
pub(super) fn load_section(groups: &[Group], palette: &Palette) -> String {
    let traces: Vec<&[Group]> = groups.chunk_by(|a, b| a.trace == b.trace).filter(|trace| trace.len() > 1).collect();
    if traces.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<section id=\"load\">\n<h2>Latency against load</h2>\n\
         <p>How each policy holds up as the fleet fills. Bars are 95\u{202f}% confidence \
         intervals.</p>\n",
    );
    for trace in traces {
        put!(out, "<h3>{}</h3>\n<div class=\"pair\">\n", escape(trace[0].trace));
        for measure in [compare::P99, compare::MEAN] {
            out.push_str(&load_chart(trace, measure, palette));
        }
        out.push_str("</div>\n");
    }
    out.push_str("</section>\n");
    out
}

fn load_chart(trace: &[Group], measure: Measure, palette: &Palette) -> String {
    let values = || {
        trace.iter().flat_map(|group| &group.results).map(|result| measure.value(result)).filter(|value| *value > 0.0)
    };
    let y = match range(values()) {
        Some((low, high)) if high > 8.0 * low => Axis::log(measure.name, values(), number::seconds_short),
        _ => Axis::linear(measure.name, values().chain([0.0]), number::seconds_short),
    };
    let loads = || trace.iter().map(|group| group.load);
    let (first, last) = range(loads()).unwrap_or((0.0, 1.0));
    let margin = (last - first).max(0.01) * 0.06;
    let ticks = spread(loads(), 0.14 * (last - first)).into_iter().map(|load| (load, number::load(load))).collect();
    let x = Axis::fixed("offered load", [first - margin, last + margin], ticks);
    let description = format!("{} of each policy against offered load", measure.name);
    let mut chart = Chart::new([500.0, 330.0], x, y, &description).with_end_labels(112.0);

    let mut policies: Vec<&str> = Vec::new();
    for result in trace.iter().flat_map(ours_on_top) {
        if !policies.contains(&result.policy.as_str()) {
            policies.push(&result.policy);
        }
    }
    policies.sort_by_key(|policy| match compare::role(policy) {
        Role::Oracle => 0,
        Role::Proxy | Role::Rule => 1,
        Role::Ours => 2,
    });
    for policy in policies {
        let class = palette.class(policy);
        let name = display_name(policy);
        let results: Vec<&PolicyResult> =
            trace.iter().flat_map(|group| &group.results).copied().filter(|result| result.policy == policy).collect();
        let points: Vec<(f64, f64)> = results.iter().map(|result| (result.load, measure.value(result))).collect();
        chart.line(class, &points, &name);
        for result in &results {
            let estimate = (measure.of)(result);
            chart.interval(class, result.load, estimate.ci95);
            let tooltip = format!("{name} at {}: {}", number::load(result.load), number::seconds(estimate.value));
            chart.dot(class, (result.load, estimate.value), &tooltip);
        }
        if let Some((_, value)) = points.last() {
            chart.end_label(class, *value, &short_name(&name));
        }
    }
    format!("<figure>{}</figure>\n", chart.finish())
}

/// Of ascending values those that are at least so far apart, so that their ticks can be read.
fn spread(values: impl Iterator<Item = f64>, distance: f64) -> Vec<f64> {
    let mut kept: Vec<f64> = Vec::new();
    for value in values {
        if kept.last().is_none_or(|last| value - last >= distance) {
            kept.push(value);
        }
    }
    kept
}

/// A name that fits beside a chart.
pub(super) fn short_name(name: &str) -> String {
    if name.chars().count() <= 16 {
        return name.to_owned();
    }
    name.chars().take(15).chain(['…']).collect()
}
