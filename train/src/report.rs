//! The report of a run: one HTML page that needs nothing else.

mod autoscale;
mod axis;
pub mod benchmark;
mod chart;
pub(crate) mod compare;
mod definitions;
mod forecast;
mod html;
mod latency;
pub(crate) mod number;
mod palette;
mod results;
#[cfg(test)]
pub(crate) mod sample;
mod summary;
mod training;

use crate::forecast::evaluate::SeriesResult;
use crate::metrics::Metrics;
use crate::scale::{Comparison, NeededOn, Outcome};

/// The whole page: styles, script and charts are inside it. Values that are not finite
/// are shown as missing.
pub fn render(metrics: &Metrics) -> String {
    let groups = compare::groups(&metrics.policies);
    let palette = palette::Palette::new(&metrics.policies);
    let mut page = head(&summary::title(&groups));
    page.push_str(&summary::header(metrics, &groups));
    page.push_str(&results::section(&groups));
    page.push_str(&results::losses_section(&groups));
    page.push_str(&latency::distribution_section(&groups, &palette));
    page.push_str(&latency::load_section(&groups, &palette));
    page.push_str(&forecast::section(&metrics.forecasts, metrics.run.no_forecaster.as_deref()));
    page.push_str(&training::section(metrics));
    page.push_str(&definitions::section());
    page.push_str(&foot());
    page
}

/// A page of forecasts alone: every model's figures, and the trained one's forecasts.
pub fn forecast_page(results: &[SeriesResult]) -> String {
    head("Evenkeel: forecasts") + &forecast::page(results) + &foot()
}

/// A page of autoscalers: replica-hours against misses, and how accurate each was.
pub fn autoscale_page(outcomes: &[Outcome], needed: &[NeededOn]) -> String {
    head("Evenkeel: autoscaling") + &autoscale::page(outcomes, needed) + &foot()
}

/// A page of how searches tuned a scaler.
pub fn scale_tune_page(series: &str, cold_start_s: f64, comparison: &Comparison) -> String {
    head("Evenkeel: tuning the autoscaler") + &autoscale::tune_page(series, cold_start_s, comparison) + &foot()
}

fn head(title: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
        include_str!("report/style.css"),
    )
}

fn foot() -> String {
    format!("</main>\n<script>\n{}</script>\n</body>\n</html>\n", include_str!("report/script.js"))
}

#[cfg(test)]
mod tests;
