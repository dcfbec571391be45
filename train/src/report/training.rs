//! How the networks came to be: training curves, parity of their implementations, times.

use crate::metrics::{Curve, Estimate, Metrics, ParityResult, PolicyStage, StageTime};

use super::axis::{Axis, range};
use super::chart::{Chart, thin};
use super::html::{escape, put, typeset};
use super::number;
use super::palette::legend;

/// Largest relative difference allowed between implementations of a network.
pub(super) const PARITY_LIMIT: f64 = 1e-5;

const DRAWN_POINTS: usize = 600;

/// Curves, parity and stage times.
pub(super) fn section(metrics: &Metrics) -> String {
    let mut out = String::from("<section id=\"training\">\n<h2>Training</h2>\n");
    if metrics.curves.is_empty() {
        out.push_str("<p class=\"empty\">No training curve was recorded.</p>\n");
    } else {
        out.push_str(&legend(&[("actual", "training loss".to_owned()), ("ours", "validation loss".to_owned())]));
        out.push_str("<div class=\"pair\">\n");
        for curve in &metrics.curves {
            out.push_str(&curve_chart(curve));
        }
        out.push_str("</div>\n");
    }
    out.push_str(&policy_stages(&metrics.policy_stages));
    out.push_str("<div class=\"pair\">\n");
    out.push_str(&parity(&metrics.parity));
    out.push_str(&stages(&metrics.stages));
    out.push_str("</div>\n</section>\n");
    out
}

fn curve_chart(curve: &Curve) -> String {
    let points = &curve.points;
    let train = |index: usize| points[index].train;
    let train: Vec<(f64, f64)> = thin(points.len(), DRAWN_POINTS, train)
        .into_iter()
        .map(|index| (points[index].step as f64, points[index].train))
        .collect();
    let validation: Vec<(f64, f64)> =
        points.iter().filter_map(|point| Some((point.step as f64, point.validation?))).collect();
    let kept = thin(validation.len(), DRAWN_POINTS, |index| validation[index].1);
    let validation: Vec<(f64, f64)> = kept.into_iter().map(|index| validation[index]).collect();

    let losses = || train.iter().chain(&validation).map(|(_, loss)| *loss);
    let y = match range(losses()) {
        Some((low, high)) if low > 0.0 && high > 5.0 * low => Axis::log("loss", losses(), number::plain),
        _ => Axis::linear("loss", losses(), number::plain),
    };
    let last = points.last().map_or(1, |point| point.step.max(1)) as f64;
    let steps = Axis::linear("optimiser steps", [0.0, last], number::compact);
    let steps = steps.ending_at(last);
    let description = format!("Training and validation loss of the {} network", curve.network);
    let mut chart = Chart::new([500.0, 280.0], steps, y, &description);
    chart.line("actual faint", &train, "training loss");
    chart.line("ours", &validation, "validation loss");
    let final_loss = validation
        .last()
        .map_or_else(String::new, |(_, loss)| format!(" <i>validation {} at the end</i>", number::significant(*loss)));
    format!(
        "<figure><figcaption>{} network{final_loss}</figcaption>{}</figure>\n",
        escape(&curve.network),
        chart.finish()
    )
}

/// What each stage of the policy's training added; nothing if none was judged.
fn policy_stages(stages: &[PolicyStage]) -> String {
    if stages.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<h3>Stages of the policy</h3>\n<p>On the validation split, against the analytic rule EXT in the same \
         settings: change of the geometric mean, with its 95&nbsp;% interval over the settings. Intervals are \
         of one training; between seeds of training they are wider.</p>\n\
         <div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">after</th><th scope=\"col\">mean</th>\
         <th scope=\"col\">p99</th><th scope=\"col\">mean TTFT</th><th scope=\"col\">p99 of TTFT</th></tr></thead>\n\
         <tbody>\n",
    );
    for stage in stages {
        let ratios = [stage.latency_mean_ratio, stage.latency_p99_ratio, stage.ttft_mean_ratio, stage.ttft_p99_ratio];
        put!(out, "<tr><th scope=\"row\">{}</th>", escape(&stage.stage));
        for ratio in ratios {
            put!(out, "<td>{}</td>", typeset(&change(&ratio)));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// A ratio as a change in percent, with its interval.
fn change(ratio: &Estimate) -> String {
    let percent = |ratio: f64| format!("{:+.1}", 100.0 * (ratio - 1.0));
    let [low, high] = ratio.ci95.map(percent);
    format!("{} % ({low} to {high})", percent(ratio.value))
}

fn parity(results: &[ParityResult]) -> String {
    let mut out = String::from(
        "<div>\n<h3>Parity</h3>\n<p>Largest relative difference of the outputs on random inputs. \
         Limit: 1\u{202f}×\u{202f}10<sup>−5</sup>.</p>\n",
    );
    if results.is_empty() {
        out.push_str("<p class=\"empty\">Parity was not checked.</p>\n</div>\n");
        return out;
    }
    out.push_str(
        "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">network</th>\
         <th scope=\"col\">tract–runtime</th><th scope=\"col\">burn–runtime</th>\
         <th scope=\"col\">burn–tract</th><th scope=\"col\">limit</th></tr></thead>\n<tbody>\n",
    );
    for result in results {
        let verdict = if worst_difference(result) <= PARITY_LIMIT {
            "<span class=\"better\">holds</span>"
        } else {
            "<span class=\"worse\">broken</span>"
        };
        put!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{verdict}</td></tr>\n",
            escape(&result.network),
            scientific(result.tract_runtime),
            scientific(result.burn_runtime),
            scientific(result.burn_tract),
        );
    }
    out.push_str("</tbody></table></div>\n</div>\n");
    out
}

/// The largest of the three differences, infinite where one is unknown.
pub(super) fn worst_difference(result: &ParityResult) -> f64 {
    let all = [result.tract_runtime, result.burn_runtime, result.burn_tract];
    if all.iter().all(|difference| difference.is_finite()) { result.worst() } else { f64::INFINITY }
}

/// `3.1 × 10⁻⁷` as HTML.
fn scientific(value: f64) -> String {
    if !value.is_finite() {
        return number::MISSING.to_owned();
    }
    let text = format!("{value:.1e}");
    match text.split_once('e') {
        Some((digits, exponent)) if value != 0.0 => {
            format!("{digits}\u{202f}×\u{202f}10<sup>{}</sup>", typeset(exponent))
        }
        _ => "0".to_owned(),
    }
}

fn stages(stages: &[StageTime]) -> String {
    let mut out = String::from("<div>\n<h3>Time</h3>\n");
    let known = || stages.iter().map(|stage| stage.wall_s).filter(|wall_s| wall_s.is_finite());
    let (total_s, longest_s) = (known().sum::<f64>(), known().fold(0.0, f64::max));
    if stages.is_empty() {
        out.push_str("<p class=\"empty\">No stage was timed.</p>\n</div>\n");
        return out;
    }
    put!(
        out,
        "<p>Wall-clock time of each stage, {} in all.</p>\n<table class=\"stages\">\n<tbody>\n",
        typeset(&number::seconds(total_s))
    );
    for stage in stages {
        let share = (stage.wall_s / longest_s).clamp(0.0, 1.0) * 100.0;
        let width = if share.is_finite() { share } else { 0.0 };
        put!(
            out,
            "<tr><th scope=\"row\">{}</th><td><span class=\"bar\" style=\"width:{width:.1}%\">\
             </span></td><td>{}</td></tr>\n",
            escape(&stage.stage),
            typeset(&number::seconds(stage.wall_s))
        );
    }
    out.push_str("</tbody></table>\n</div>\n");
    out
}
