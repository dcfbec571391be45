use super::*;
use crate::metrics::{Estimate, ForecastPlot};

/// Names of the elements of `html`, failing where they are not properly nested.
pub(super) fn check_well_formed(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html.strip_prefix("<!DOCTYPE html>").expect("a doctype");
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("the end of a tag");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "before {}", &rest[..rest.len().min(80)]);
            continue;
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes of <{tag}>");
        if tag.ends_with('/') {
            continue;
        }
        let name = tag.split_whitespace().next().expect("the name of a tag");
        if name == "style" || name == "script" {
            let close = format!("</{name}>");
            let end = rest.find(&close).expect("the end of raw text");
            rest = &rest[end + close.len()..];
        } else {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn the_page_is_well_formed_and_needs_nothing_else() {
    let page = render(&sample::metrics());
    check_well_formed(&page);
    for foreign in ["http://", "https://", "src=", "url(", "@import", "NaN", "inf"] {
        let found = page.find(foreign);
        assert!(found.is_none_or(|place| foreign == "inf" && page[place..].starts_with("info")), "{foreign}");
    }
    for section in [
        "Results",
        "Where Evenkeel loses",
        "Latency distribution",
        "Latency against load",
        "Forecast",
        "Training",
        "Parity",
        "Definitions",
    ] {
        assert!(page.contains(&format!("{section}</h")), "{section}");
    }
}

#[test]
fn the_headline_follows_the_data() {
    let mut metrics = sample::metrics();
    let headline = |metrics: &Metrics| {
        let page = render(metrics);
        let start = page.find("<h1>").unwrap();
        page[start..page.find("</h1>").unwrap()].to_owned()
    };
    assert!(headline(&metrics).contains("class=\"better\""));
    for result in &mut metrics.policies {
        if result.policy == compare::OURS {
            result.latency_p99_s = Estimate { value: 1e3, ci95: [9e2, 1.1e3] };
        }
    }
    assert!(headline(&metrics).contains("Evenkeel loses here"));
    for result in &mut metrics.policies {
        result.latency_p99_s.ci95 = [0.0, 1e4];
    }
    assert!(headline(&metrics).contains("no clear difference"));
    metrics.policies.retain(|result| result.policy != compare::OURS);
    assert!(headline(&metrics).contains("Nothing to compare"));
}

#[test]
fn hostile_names_are_escaped() {
    let hostile = "<script>alert('x')</script>\"\u{0}&amp;";
    let mut metrics = sample::metrics();
    let run = &mut metrics.run;
    run.no_forecaster = Some(hostile.to_owned());
    for name in [&mut run.version, &mut run.device, &mut run.scenario] {
        *name = hostile.to_owned();
    }
    run.traces = vec![hostile.to_owned()];
    run.series = vec![hostile.to_owned()];
    for result in &mut metrics.policies {
        result.trace = hostile.to_owned();
        if result.policy == "p2c" {
            result.policy = hostile.to_owned();
        }
    }
    for forecast in &mut metrics.forecasts {
        forecast.series = hostile.to_owned();
        forecast.served_by = hostile.to_owned();
    }
    for curve in &mut metrics.curves {
        curve.network = hostile.to_owned();
    }
    for parity in &mut metrics.parity {
        parity.network = hostile.to_owned();
    }
    for stage in &mut metrics.stages {
        stage.stage = hostile.to_owned();
    }
    let page = render(&metrics);
    check_well_formed(&page);
    assert_eq!(page.matches("<script>").count(), 1);
    assert!(!page.contains('\u{0}'));
}

#[test]
fn missing_parts_are_said_and_nothing_panics() {
    let mut metrics = sample::metrics();
    metrics.policies.clear();
    metrics.forecasts.clear();
    metrics.curves.clear();
    metrics.parity.clear();
    metrics.stages.clear();
    let page = render(&metrics);
    check_well_formed(&page);
    assert!(page.contains("No policy was evaluated"));
    assert!(page.contains("No series was forecast"));
}

#[test]
fn an_artifact_without_a_forecaster_is_said_to_have_none() {
    let mut metrics = sample::metrics();
    metrics.forecasts.clear();
    metrics.run.no_forecaster = Some("the trace is short; add --series <FILE>".to_owned());
    let page = render(&metrics);
    check_well_formed(&page);
    assert!(page.contains("no forecaster: the trace is short; add --series &lt;FILE&gt;"));
    assert!(page.contains("forecaster</b>"));
}

#[test]
fn values_that_are_not_finite_are_shown_as_missing() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0] {
        let mut metrics = sample::metrics();
        for result in &mut metrics.policies {
            let unknown = Estimate { value, ci95: [value; 2] };
            result.latency_mean_s = unknown;
            result.latency_p99_s = unknown;
            result.failed_share = unknown;
            result.balance_efficiency = unknown;
            result.latency_quantiles_s.fill(value);
        }
        metrics.policies[0].load = value;
        metrics.policies[1].latency_quantiles_s.clear();
        for forecast in &mut metrics.forecasts {
            forecast.wql = value;
            forecast.wql_over_seasonal_naive = value;
            forecast.coverage = [value; 9];
            forecast.plot.q10.fill(value);
            forecast.plot.q90.truncate(5);
            forecast.plot.time_s[3] = value;
        }
        metrics.forecasts[1].plot = ForecastPlot::default();
        for point in &mut metrics.curves[0].points {
            point.train = value;
            point.validation = Some(value);
        }
        metrics.curves[1].points.clear();
        metrics.parity[0].burn_tract = value;
        metrics.stages[0].wall_s = value;
        let page = render(&metrics);
        check_well_formed(&page);
        assert!(!page.contains("NaN"));
    }
}

#[test]
fn a_large_run_stays_small() {
    let page = render(&sample::large_metrics());
    check_well_formed(&page);
    let megabytes = page.len() as f64 / 1e6;
    assert!(megabytes < 2.0, "{megabytes} MB");
}

/// Writes the sample for a look at it: `cargo test -- --ignored write_sample`.
#[test]
#[ignore = "writes target/report-sample.html for a look at it"]
fn write_sample() {
    let target = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::fs::create_dir_all(&target).unwrap();
    std::fs::write(target.join("report-sample.html"), render(&sample::metrics())).unwrap();
}
