//! Forecasts: a table of their errors, what came against what was expected, calibration.

use crate::forecast::evaluate::SeriesResult;
use crate::metrics::ForecastResult;

use super::axis::Axis;
use super::chart::{Chart, thin};
use super::html::{escape, estimate_cell, put, typeset};
use super::number;
use super::palette::legend;

/// More series than this are listed but not drawn.
const DRAWN_SERIES: usize = 48;
/// Points drawn over all series together, which bounds the size of the page.
const DRAWN_POINTS: usize = 16_000;
/// Width and height of the chart of a series.
const SIZE: [f64; 2] = [640.0, 280.0];

/// Table and charts, or the reason for none.
pub(super) fn section(forecasts: &[ForecastResult], no_forecaster: Option<&str>) -> String {
    let mut out = String::from("<section id=\"forecast\">\n<h2>Forecast</h2>\n");
    if let Some(reason) = no_forecaster {
        put!(
            out,
            "<p class=\"empty\">The artifact has no forecaster: {}. What scalers read is then the present demand \
             alone.</p>\n</section>\n",
            escape(reason)
        );
        return out;
    }
    if forecasts.is_empty() {
        out.push_str("<p class=\"empty\">No series was forecast.</p>\n</section>\n");
        return out;
    }
    let beaten = forecasts.iter().filter(|forecast| forecast.wql_over_seasonal_naive < 1.0).count();
    put!(
        out,
        "<p>Demand forecast on the test split. The loss is lower than that of the seasonal naive \
         forecast on <b>{beaten} of {}</b> series. Where a fallback was better on the validation \
         split, it serves the series, as the table says.</p>\n",
        forecasts.len()
    );
    out.push_str(&table(forecasts));
    out.push_str(&drawings(forecasts));
    out.push_str("</section>\n");
    out
}

/// The body of a page of its own: models side by side, then what the trained one forecast.
pub(super) fn page(results: &[SeriesResult]) -> String {
    let mut out = String::from(
        "<header><h1>Forecasts</h1></header>\n<section id=\"models\">\n<h2>Models</h2>\n\
         <p>On the test split, over all horizons, all models at the same origins; 95\u{202f}% intervals from \
         a bootstrap over blocks of a day. WQL is the weighted quantile loss over nine quantiles; MASE is \
         scaled by the training split's difference to the day before; sMAPE runs from 0 to 2.</p>\n\
         <div class=\"scroll\"><table class=\"results\">\n<thead><tr><th scope=\"col\">model</th>\
         <th scope=\"col\">WQL</th><th scope=\"col\">against seasonal naive</th><th scope=\"col\">MASE</th>\
         <th scope=\"col\">sMAPE</th><th scope=\"col\">at or under q10</th>\
         <th scope=\"col\">at or under q90</th></tr></thead>\n",
    );
    for result in results {
        put!(
            out,
            "<tbody>\n<tr class=\"load\"><th colspan=\"7\" scope=\"rowgroup\">{}, every {}, {} forecasts</th></tr>\n",
            escape(&result.series),
            typeset(&number::span(result.step_s)),
            result.origins
        );
        for (index, (model, figures)) in result.models.iter().enumerate() {
            let class = if index == 0 { "ours" } else { "baseline" };
            put!(out, "<tr class=\"{class}\"><th scope=\"row\">{}</th>", escape(model));
            let [wql, ratio, mase, smape, low, .., high] = figures;
            for figure in [wql, ratio, mase, smape] {
                put!(out, "{}", estimate_cell(figure, number::significant));
            }
            for figure in [low, high] {
                put!(out, "{}", estimate_cell(figure, number::percent));
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody>\n");
    }
    out.push_str("</table></div>\n</section>\n<section id=\"forecast\">\n<h2>What came, and what was expected</h2>\n");
    let drawn: Vec<ForecastResult> = results.iter().map(SeriesResult::summary).collect();
    out.push_str(&drawings(&drawn));
    out.push_str("</section>\n");
    out
}

/// A chart and a calibration for each series.
fn drawings(forecasts: &[ForecastResult]) -> String {
    let mut out = String::new();
    out.push_str(&legend(&[
        ("actual", "actual".to_owned()),
        ("ours", "forecast, median".to_owned()),
        ("ours area", "forecast, 10–90 % band".to_owned()),
    ]));
    let drawn = &forecasts[..forecasts.len().min(DRAWN_SERIES)];
    let limit = (DRAWN_POINTS / drawn.len().max(1)).clamp(100, 700);
    for forecast in drawn {
        put!(out, "<div class=\"forecast\">\n{}{}</div>\n", plot(forecast, limit), calibration(forecast));
    }
    if drawn.len() < forecasts.len() {
        put!(out, "<p class=\"empty\">Drawn are the first {} series of {}.</p>\n", drawn.len(), forecasts.len());
    }
    out
}

fn table(forecasts: &[ForecastResult]) -> String {
    let mut out = String::from(
        "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">series</th>\
         <th scope=\"col\" class=\"text\">served by</th><th scope=\"col\">step</th>\
         <th scope=\"col\">WQL</th><th scope=\"col\">against seasonal naive</th>\
         <th scope=\"col\">MASE</th><th scope=\"col\">within 10–90\u{202f}% \
         <i>nominal 80\u{202f}%</i></th><th scope=\"col\">worst quantile \
         <i>actual for nominal</i></th></tr></thead>\n<tbody>\n",
    );
    for forecast in forecasts {
        let ratio = forecast.wql_over_seasonal_naive;
        let class = if ratio < 1.0 { "better" } else { "level" };
        let worst = (0..9)
            .map(|index| (forecast.coverage[index], nominal(index)))
            .max_by(|a, b| (a.0 - a.1).abs().total_cmp(&(b.0 - b.1).abs()));
        let worst = worst.map_or_else(String::new, |(actual, nominal)| {
            format!("{} for {}", number::percent(actual), number::load(nominal))
        });
        put!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"text\">{}</td><td>{}</td><td>{}</td>\
             <td><span class=\"{class}\">×\u{202f}{}</span></td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape(&forecast.series),
            escape(&forecast.served_by),
            typeset(&number::span(forecast.step_s)),
            typeset(&number::significant(forecast.wql)),
            typeset(&number::significant(ratio)),
            typeset(&number::significant(forecast.mase)),
            typeset(&number::percent(forecast.coverage[8] - forecast.coverage[0])),
            escape(&worst),
        );
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// The nominal share of the coverage at `index`.
fn nominal(index: usize) -> f64 {
    (index + 1) as f64 / 10.0
}

/// Forecast against actual over time.
fn plot(forecast: &ForecastResult, limit: usize) -> String {
    let plot = &forecast.plot;
    // Lists of unequal length are drawn as far as they go.
    let at = |values: &[f64], index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let actual = |index: usize| plot.actual.get(index).copied().flatten().unwrap_or(f64::NAN);
    let count = plot.time_s.len();
    let kept = thin(count, limit, actual);
    let series = |of: &dyn Fn(usize) -> f64| -> Vec<(f64, f64)> {
        kept.iter().map(|&index| (plot.time_s[index], of(index))).collect()
    };
    let band: Vec<(f64, f64, f64)> =
        kept.iter().map(|&index| (plot.time_s[index], at(&plot.q10, index), at(&plot.q90, index))).collect();
    let values = (0..count).flat_map(|index| [actual(index), at(&plot.q10, index), at(&plot.q90, index)]).chain([0.0]);
    let title = if count == 0 {
        escape(&forecast.series)
    } else {
        format!("{} <i>{} ahead</i>", escape(&forecast.series), escape(&number::span(plot.horizon_s)))
    };
    let mut chart = Chart::new(
        SIZE,
        Axis::time(plot.time_s.iter().copied()),
        Axis::linear("value", values, number::compact),
        &format!("Forecast and actual values of {}", forecast.series),
    );
    chart.band("ours", &band, "forecast, 10–90 % band");
    chart.line("actual", &series(&actual), "actual");
    chart.line("ours thin", &series(&|index| at(&plot.q50, index)), "forecast, median");
    format!("<figure class=\"wide\"><figcaption>{title}</figcaption>{}</figure>\n", chart.finish())
}

/// Nominal against actual coverage: on the diagonal the quantiles mean what they say.
fn calibration(forecast: &ForecastResult) -> String {
    let ticks = || [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| (share, number::load(share))).into();
    let mut chart = Chart::new(
        [300.0, 280.0],
        Axis::fixed("nominal quantile", [0.0, 1.0], ticks()),
        Axis::fixed("actual values at or under it", [0.0, 1.0], ticks()),
        &format!("Calibration of the forecast of {}", forecast.series),
    );
    chart.line("ideal", &[(0.0, 0.0), (1.0, 1.0)], "ideal");
    let points: Vec<(f64, f64)> = (0..9).map(|index| (nominal(index), forecast.coverage[index])).collect();
    chart.line("ours", &points, "coverage");
    for point in points {
        let tooltip = format!("{} of the values for a nominal {}", number::percent(point.1), number::load(point.0));
        chart.dot("ours", point, &tooltip);
    }
    format!("<figure><figcaption>Calibration</figcaption>{}</figure>\n", chart.finish())
}
